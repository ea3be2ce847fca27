/* fates.h: what may be expected of each record, given what happened up to some moment. */
#pragma once

#include "recording.h"

enum { FATES_MAX = 1024 };
enum fate {
    FATE_UNKNOWN, /* never appended: must not appear */
    FATE_BEGUN,   /* handed over, not acknowledged: may appear */
    FATE_SEEN,    /* may appear, and the cursor is not past it */
    FATE_ACKED,   /* must appear (S3) */
    FATE_SETTLED, /* may appear again */
    FATE_PASSED,  /* settled before the spool was closed, which saves the cursor: must not appear again */
};
struct fates {
    enum fate fate[FATES_MAX]; /* by number */
    uint32_t payload_bytes[FATES_MAX];
    uint64_t next; /* number of the next record */
    bool has_node; /* a record was acknowledged, so the spool's id is fixed */
    struct id128 node;
};
/* Takes in what was recorded until `n` of the changes were complete. */
void fates_follow(struct fates *f, const struct recording *rec, size_t n);
