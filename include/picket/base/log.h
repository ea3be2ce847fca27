/* log.h: one line per event of note to stderr: time, level, fixed message, key=value pairs. Never payloads, keys or tokens. Any
 * thread; a line is one write(2). The level is the only process-wide setting in Picket: stderr is process-wide too. */
#pragma once

#include "picket/base/macros.h"
#include "picket/base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level);                           /* before threads start; the default is LOG_INFO */
MUST_CHECK bool log_level_parse(struct str s, enum log_level *ret); /* debug, info, warn, error */
/* `pairs` is a format for the key=value part, "" for none: log_line(LOG_WARN, "batch failed", "segment=%" PRIu64 " sqlstate=%s", …).
 * A %s value with blanks, quotes or control characters is the caller's to avoid or pass through log_quote. */
void log_line(enum log_level level, const char *message, const char *pairs, ...) PRINTF_LIKE(3, 4);
/* `s` in double quotes, control characters and quotes escaped, cut to fit; for foreign text in a log line. Returns dst. */
const char *log_quote(struct str s, char *dst, size_t size);
