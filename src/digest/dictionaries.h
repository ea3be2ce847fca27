/* dictionaries.h: the projects' own dictionaries (protocol/payload.h), as one worker uses and makes them. Private to digest; of one batch's thread. */
#pragma once

#include "picket/base/arena.h"
#include "picket/db/db.h"
#include "picket/protocol/payload.h"

enum { DICTIONARIES_READY = 8, DICTIONARY_SAMPLES = 128 };

/* What the database says of a project's dictionary. */
struct dictionary_entry {
    uint64_t project_id;
    int64_t checksum;
    struct str content; /* in the batch's arena; p == NULL: not sent */
    int16_t number;     /* 0: it has none */
    bool wants_samples;
};

struct dictionary_ready {
    uint64_t project_id;
    int64_t checksum;
    uint64_t used; /* by the worker's count of uses: the smallest is replaced first */
    struct payload_dictionary *dictionary;
};

/* Of one project, until there are enough. Events only, as they are packed. */
struct dictionary_sample {
    uint64_t project_id; /* 0: of none */
    int64_t fed_us;      /* by the monotonic clock */
    int16_t number;      /* of the dictionary that the project has */
    int64_t checksum;
    unsigned n, n_tried; /* n: with those that a new one is only tried with */
    size_t payload_bytes[DICTIONARY_SAMPLES], outline_bytes[DICTIONARY_SAMPLES], tried_bytes[DICTIONARY_SAMPLES];
    struct buf payloads, outlines, tried;
};

struct dictionaries {
    struct payload_packer *packer;
    struct dictionary_ready ready[DICTIONARIES_READY];
    uint64_t uses;
    unsigned credit, n_asked;         /* credit: in events, what making one ready costs; n_asked: how many of the batch */
    struct dictionary_entry *entries; /* of the batch's projects, ascending; heap */
    size_t n_entries, entries_cap;
    struct dictionary_sample sample;
    int64_t no_samples_before_us; /* by the monotonic clock: after one could not be kept */
    struct buf made;              /* what the statement that keeps a new one stores */
};

void dictionaries_init(struct dictionaries *d);
void dictionaries_done(struct dictionaries *d);
void dictionaries_clear(struct dictionaries *d); /* the batch is over */
void dictionaries_rest(struct dictionaries *d);  /* nothing to do for a while: gives back what can be had again */

/* What to ask for a project that has `n_records` in the batch: the checksum of the dictionary that is at hand, 0: the content, -1: nothing. Once for each project. */
int64_t dictionaries_known(struct dictionaries *d, uint64_t project_id, unsigned n_records);
/* One more project's, ascending. */
void dictionaries_add(struct dictionaries *d, const struct dictionary_entry *entry);
/* Appends the frame of an event's payload. */
void dictionaries_pack(struct dictionaries *d, uint64_t project_id, struct str payload, struct buf *out);

/* Are there samples enough? */
bool dictionaries_are_ripe(struct dictionaries *d);
/* Makes one of them, if that helps, and binds the statement that keeps it, or says that it does not; some 30 ms. What is bound is the worker's until it is done, and so are the
 * samples. */
void dictionaries_bind(struct dictionaries *d, struct db_query *q, db_done_fn *done);
void dictionaries_kept(struct dictionaries *d, int r, const struct db_query *q);
