/* buf.h: a growable run of bytes on the heap. One owner, no locking. Growth doubles; running out of memory aborts (style M4), so
 * what a client can size is checked against a limit before it is appended. What may become large can grow in a file instead. */
#pragma once

#include "picket/base/str.h"

enum { BUF_FILE_FROM = 1 << 20 };

struct buf {
    char *p;    /* heap, or a mapping of the file; NULL while empty */
    size_t n;   /* bytes in use */
    size_t cap; /* bytes allocated */
    const char *
        file_dir; /* not NULL: from BUF_FILE_FROM bytes on it grows in an unlinked file there, or on the heap when that cannot be had. Set by
                           * the owner while it is empty; borrowed until buf_done */
    int fd;       /* private: of the file, */
    bool in_file; /* when it has one */
};

void buf_done(struct buf *b);                  /* frees; the buf is empty and usable again */
void buf_reserve(struct buf *b, size_t extra); /* afterwards cap - n >= extra */
void buf_append(struct buf *b, const void *p, size_t n);
void buf_append_str(struct buf *b, struct str s);
void buf_append_char(struct buf *b, char c);
/* Formatted text of our own (log lines, file names, conninfo): never JSON, never SQL. */
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* NUL-terminates without counting it and returns the pointer, valid until the next change. */
const char *buf_cstr(struct buf *b);
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}
static inline void buf_clear(struct buf *b)
{
    b->n = 0;
}
#define AUTO_BUF __attribute__((cleanup(buf_done)))
