/* sweep.h: removes the files of attachments that no row names any more. Design: src/digest/sweep.c. It lives on the loop of `db`; what blocks for
 * the disk is done on a thread of its own. */
#pragma once

#include "picket/blob/blob.h"
#include "picket/db/db.h"

struct sweep_config {
    struct db *db; /* these two outlive the sweep */
    struct blob_store *blobs;
    struct id128 node; /* nil: of no node, a command; else what it holds is said first: */
    int64_t hold_us;   /* nothing that it has not told the database yet is older */
    bool dry_run;      /* only says what would be done */
};
struct sweep_total {
    uint64_t files, bytes; /* removed, or what would be */
    uint64_t failed;       /* files that could not be removed */
};
struct sweep;
struct sweep_events {
    /* Exactly once, later; sweep_close from here on. 0, or <0: the database's or the disk's error; what is told of was done. */
    void (*done)(void *arg, int r, const struct sweep_total *total);
    void *arg;
};
MUST_CHECK int sweep_open(const struct sweep_config *config, const struct sweep_events *events, struct sweep **ret);
/* Stops one that is under way: done() will not run any more. closed() (may be NULL) runs on the loop when it is gone. */
void sweep_close(struct sweep *s, void (*closed)(void *arg), void *arg);
