/* spill.h: dead letters beyond the table's bound, as files: <dir>/<number>-<record id>.envelope. Each is an envelope that `picket send` takes.
 * Design: src/digest/spill.c. One thread writes; commands may list, read and delete beside it. */
#pragma once

#include "picket/digest/dead_letter.h"

struct spill;
struct spill_config {
    const char *dir;    /* made 0700 when the first letter comes; its parent is there. Copied */
    uint64_t max_bytes; /* beyond it the oldest files go */
};
struct spill_stats {
    uint64_t files, bytes;
    uint64_t removed; /* lost to the bound since the opening */
};
MUST_CHECK int spill_open(const struct spill_config *config, struct spill **ret);
void spill_close(struct spill *s); /* NULL is fine */
/* Durable when it returns 0. An error leaves nothing behind; -EBUSY: a command holds the directory, for moments. A letter of the same number
 * and record is replaced. */
MUST_CHECK int spill_write(struct spill *s, const struct dead_letter *letter, struct str payload);
void spill_take_back(struct spill *s, int64_t number, const struct id128 *record); /* what was just written */
/* Deletes the files of `records` (which it sorts), whatever their numbers. Durable when it returns 0. */
MUST_CHECK int spill_clean(struct spill *s, struct id128 *records, size_t n);
void spill_refresh(struct spill *s); /* looks at what others deleted, if anything has changed */
void spill_stats(const struct spill *s, struct spill_stats *ret);

/* ---- for commands */
struct spill_name {
    int64_t number;
    struct id128 record;
};
/* Ascending by number; *ret is the caller's to free. No directory: no letters. */
MUST_CHECK int spill_list(const char *dir, struct spill_name **ret, size_t *ret_n);
/* The file's name, without its directory. */
enum { SPILL_NAME_MAX = 80 };
void spill_file(const struct spill_name *name, char dst[SPILL_NAME_MAX]);
/* A letter as JSON: its file's first line, with what dead_letter_put_whole writes under "dead_letter". Borrows `buf`, which is filled. */
MUST_CHECK int spill_read_head(const char *dir, const struct spill_name *name, struct buf *buf, struct str *ret);
/* Its payload as it came. Borrows `buf`. */
MUST_CHECK int spill_read_payload(const char *dir, const struct spill_name *name, struct buf *buf, struct str *ret);
/* Nobody writes letters until the descriptor that it returns is closed. Others may hold it across a statement of the database: whoever has a loop does not
 * wait, but gets -EBUSY. */
enum spill_patience { SPILL_WAIT, SPILL_NO_WAIT };
MUST_CHECK int spill_hold(const char *dir, enum spill_patience patience);
MUST_CHECK int spill_delete(const char *dir, const struct spill_name *name);

/* Letters that first failed before `before_us` (wall) are deleted, or only counted; *ret is filled also when that fails for some. Durable when it returns
 * 0. A file whose head cannot be read counts by its last change. Who deletes holds the directory (spill_hold), so that no letter goes while it is retried.
 * now_us: names tell when letters were received, and are believed when that is not in the future. */
enum spill_aging { SPILL_COUNT_AGED, SPILL_DELETE_AGED };
struct spill_aged {
    uint64_t files, bytes;
};
MUST_CHECK int spill_age(const char *dir, int64_t before_us, int64_t now_us, enum spill_aging how, struct spill_aged *ret);
