/* log.c: key=value lines on stderr, each by one write so that threads do not mix theirs. */
#include "picket/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "picket/base/clock.h"

enum { LINE_MAX_BYTES = 2048 };

static const char *const names[] = {[LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};
static atomic_int threshold = LOG_INFO;

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, level);
}

bool log_level_parse(struct str s, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq_nocase(s, str_from(names[i]))) {
            *ret = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_line(enum log_level level, const char *message, const char *pairs, ...)
{
    if ((int)level < atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    char line[LINE_MAX_BYTES], time[CLOCK_RFC3339_MAX];
    clock_format(clock_wall_us(), time);
    int n = snprintf(line, sizeof line, "time=%s level=%s msg=\"%s\"%s", time, names[level], message, pairs[0] ? " " : "");
    if (n > 0 && (size_t)n < sizeof line - 1) {
        va_list args;
        va_start(args, pairs);
        int more = vsnprintf(line + n, sizeof line - 1 - (size_t)n, pairs, args);
        va_end(args);
        if (more > 0)
            n += more;
    }
    if (n < 0 || (size_t)n > sizeof line - 2)
        n = (int)sizeof line - 2;
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, (size_t)n);
    (void)written; /* when stderr is gone there is nobody to tell */
}

const char *log_quote(struct str s, char *dst, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    assert(size >= 8);
    size_t n = 0;
    dst[n++] = '"';
    for (size_t i = 0; i < s.n && n < size - 6; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            dst[n++] = '\\';
            dst[n++] = (char)c;
        } else if (c < 0x20 || c == 0x7F) {
            dst[n++] = '\\';
            dst[n++] = 'x';
            dst[n++] = digits[c >> 4];
            dst[n++] = digits[c & 15];
        } else {
            dst[n++] = (char)c;
        }
    }
    dst[n++] = '"';
    dst[n] = '\0';
    return dst;
}
