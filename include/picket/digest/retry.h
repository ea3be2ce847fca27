/* retry.h: dead letters that are marked (status `retry`), digested again one by one. Who runs it and why: src/digest/retry.c. Everything happens
 * on the loop of `db`. */
#pragma once

#include "picket/db/db.h"

enum retry_result {
    RETRY_STORED,
    RETRY_DUPLICATE, /* an event of that id is there already: done as well */
    RETRY_FAILED,    /* dead again: attempts and last failure are raised */
    RETRY_LATER,     /* the database could not do it now: still marked */
    RETRY_ELSEWHERE, /* somebody else has it in hand, or had */
};
struct retry_outcome { /* borrowed for the call */
    int64_t letter;
    enum retry_result result;
    int error; /* FAILED, LATER: why */
    const char *sqlstate;
    struct str detail;
    int64_t position; /* FAILED: where the parser stopped, or -1 */
};
struct retry_events {
    void (*tried)(void *arg, const struct retry_outcome *outcome); /* once per letter */
    void (*over)(void *arg, int r);                                /* once per start, its last call; <0: the database ended it early */
    void *arg;
};

struct retry;
struct retry *retry_new(struct db *db, const struct retry_events *events);
void retry_free(struct retry *r); /* ends what is under way without a call; NULL is fine */
/* Tries the marked letters from `first` to `last`, ascending. Not while one is under way. */
void retry_start(struct retry *r, int64_t first, int64_t last);
