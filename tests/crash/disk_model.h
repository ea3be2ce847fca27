/* disk_model.h: a disk and its page cache in memory. Changes are applied to the cache; syncs make them durable; a cut of power picks what
 * of the rest had reached the disk. What it promises is no more than POSIX does and less than ext4 (rules: disk_model.c). */
#pragma once

#include "recording.h"

struct model;
struct model *model_new(void); /* an empty directory */
void model_free(struct model *m);
/* As if the call of `c` had returned. Keeps the pointer: `c` outlives the model. */
void model_apply(struct model *m, const struct change *c);

enum cut_order {
    CUT_ORDERED,   /* changes of a directory reach the disk in their order, as with a journal */
    CUT_UNORDERED, /* those of different files in any order */
};
enum cut_extent { CUT_NOTHING, CUT_SOME, CUT_EVERYTHING }; /* of what was not synced */
enum cut_grain {
    CUT_BLOCKS,  /* a block of 4 KiB is written as a whole or not */
    CUT_SECTORS, /* the last one may be torn in sectors of 512 bytes */
};
struct cut {
    enum cut_order order;
    enum cut_extent extent;
    enum cut_grain grain;
};
/* The power goes off and comes back: afterwards everything there is durable. Whether anything was lost. */
bool model_cut(struct model *m, const struct cut *cut, uint64_t *rng);
/* Writes what is seen through the cache below `path`, an empty directory. */
MUST_CHECK bool model_write(const struct model *m, const char *path);

/* splitmix64: good enough to choose with, and every seed is as good as another. */
static inline uint64_t rng_next(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}
static inline uint64_t rng_below(uint64_t *state, uint64_t n) /* 0 … n - 1 */
{
    return rng_next(state) % n;
}
