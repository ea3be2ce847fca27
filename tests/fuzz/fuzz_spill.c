/* fuzz_spill.c: a directory of dead letters with a file that something else has put there: the first line is its name, the rest its content. It is
 * listed only under the name of a letter, and whatever it holds is read within its bounds or refused. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "picket/digest/spill.h"

enum { PATH_BYTES = 200 };

/* Made once per process: libFuzzer calls the target often. */
static char dir[PATH_BYTES];

static void dir_remove(void)
{
    (void)rmdir(dir);
}

static void dir_make(void)
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(dir, sizeof dir, "%s/fuzz-spill-XXXXXX", tmp ? tmp : P_tmpdir);
    if (n >= (int)sizeof dir || !mkdtemp(dir) || atexit(dir_remove) != 0)
        abort();
}

static bool is_name(struct str s)
{
    return s.n > 0 && s.n < 100 && str_find(s, '/') == s.n && str_find(s, '\0') == s.n && !str_eq(s, STR(".")) && !str_eq(s, STR(".."));
}

static void check_letter(const struct spill_name *letter, struct str content)
{
    AUTO_BUF struct buf head = {0}, whole = {0};
    struct str line, payload;
    int r = spill_read_head(dir, letter, &head, &line);
    assert(r <= 0 && (r < 0 || (str_starts(content, line) && str_find(line, '\n') == line.n)));
    r = spill_read_payload(dir, letter, &whole, &payload);
    assert(r <= 0 && (r < 0 || (payload.n + 1 <= content.n && str_ends(str_take(content, content.n - 1), payload))));
}

static void check_dir(struct str name, struct str content)
{
    AUTO_FREE struct spill_name *letters = NULL;
    char expected[SPILL_NAME_MAX];
    size_t n = 0;
    int r = spill_list(dir, &letters, &n);
    assert(r == 0 && n <= 1);
    if (n == 0)
        return;
    spill_file(&letters[0], expected);
    assert(str_eq(name, str_from(expected)));
    check_letter(&letters[0], content);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str content = str_of((const char *)data, size), name = str_cut(&content, '\n');
    char path[2 * PATH_BYTES];
    if (!dir[0])
        dir_make();
    if (!is_name(name) || snprintf(path, sizeof path, "%s/%.*s", dir, STR_ARG(name)) >= (int)sizeof path)
        return 0;
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || pwrite(fd, content.p, content.n, 0) != (ssize_t)content.n)
        abort();
    check_dir(name, content);
    (void)unlink(path); /* of this process only */
    return 0;
}
