/* tags.h: the numbers of tags, as one worker remembers and asks for them. Design: tags.c. Private to digest; of one batch's thread. */
#pragma once

#include "picket/base/arena.h"
#include "picket/db/db.h"

/* A tag that is not known, in the batch's arena. */
struct tags_question {
    uint64_t project_id, hash, key_hash;
    struct str key, value;
};
struct tags_slot;
struct tags {
    struct tags_slot *slots; /* heap; NULL: none was needed yet */
    uint64_t seed;
    int64_t since_us; /* by the monotonic clock: nothing is remembered for longer */
    uint32_t victim;
    struct tags_question *asked; /* for the batch; heap */
    uint32_t n_asked, asked_cap, n_doubtful;
};

void tags_init(struct tags *t);
void tags_done(struct tags *t);
void tags_begin(struct tags *t); /* before a batch's first */
void tags_clear(struct tags *t); /* the batch is over */
void tags_rest(struct tags *t);  /* nothing to do for a while: gives memory back */

/* The number of a tag, 0 for one that is left out, or what tags_number() turns into it when the questions are answered. Texts are copied if need be. */
uint32_t tags_find(struct tags *t, uint64_t project_id, struct str key, struct str value, struct arena *a);
/* Binds what is asked for: t->n_asked tags. */
void tags_bind(const struct tags *t, struct db_query *q, struct db_array arrays[static 3]);
/* Takes the answer, after which nothing is asked for any more; NULL: there is none, and what was asked for is left out. Returns the numbers, in the arena. */
const uint32_t *tags_take(struct tags *t, const struct db_rows *rows, struct arena *a);
uint32_t tags_number(uint32_t found, const uint32_t *numbers);
