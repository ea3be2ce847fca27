/* bench.h: what all simulated cuts of power share: which states are tried, in which order, and what is told of one that failed (bench.c).
 * A subject brings the thing whose writes are recorded, and its promises. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "disk_model.h"

enum { STAGES_MAX = 3, RECORDINGS_MAX = 8, WHY_BYTES = 200 };

/* What is done to the recording of one life: its first `n` changes, of the last one perhaps only `part_bytes`, then the end. */
struct stage {
    struct recording *rec;
    size_t n;
    uint64_t part_bytes; /* 0: the whole change */
    struct change part;
    bool is_cut; /* else killed: what was written stays, in the page cache */
    struct cut cut;
    uint64_t rng;
};

struct bench;
struct subject {
    const char *name;
    /* It is used as it should be, in an empty directory, and recorded. */
    MUST_CHECK bool (*first_lives)(struct bench *b, struct recording *rec, uint64_t rng);
    /* Nothing has happened yet. */
    void (*forget)(struct bench *b);
    /* Takes in what was promised until `n` of the stage's changes were complete. */
    void (*follow)(struct bench *b, const struct stage *st, size_t n);
    /* A life on what the last stage left in `m`: checks that the promises were kept, goes on, is recorded. was_cut: in any stage. */
    MUST_CHECK bool (*next_life)(struct bench *b, const struct model *m, struct recording *rec, uint64_t rng, bool was_cut);
};

struct bench { /* embedded in what its subject adds */
    const struct subject *subject;
    struct recording *recordings[RECORDINGS_MAX];
    unsigned n_recordings;
    struct stage stages[STAGES_MAX];
    unsigned n_stages;
    struct model *model;
    char why[WHY_BYTES];  /* "": all is well */
    uint64_t seed, state; /* number of the first stage; later ones have the same */
    uint64_t want;        /* cuts of power */
    uint64_t cuts, kills; /* states, by what their last stage was */
    uint64_t losses;      /* cuts that lost anything */
    uint64_t later;       /* of both: after one before */
    uint64_t checked;     /* records, letters, copies */
    int64_t began_us, shown_us;
};

/* Says why; false. */
bool PRINTF_LIKE(2, 3) bench_broken(struct bench *b, const char *fmt, ...);
/* Temporary directories lie in memory from here on: thousands of states are not worth a disk. */
void bench_use_memory(void);
/* For the group's set-up, with the subject's parts ready: records, or loads what is to be replayed. */
void bench_init(struct bench *b, const struct subject *subject);
void bench_done(struct bench *b);
int bench_run(const char *name, CMFixtureFunction setup, CMFixtureFunction teardown); /* for main */
