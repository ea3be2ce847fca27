/* batch.h: the records of one spool range on their way to becoming rows. Private to digest; a batch belongs to its worker. */
#pragma once

#include "dictionaries.h"
#include "picket/db/db.h"
#include "picket/event/event.h"
#include "picket/spool/spool.h"
#include "rules.h"
#include "tags.h"

enum outcome {
    OUTCOME_OPEN,
    OUTCOME_STORED,
    OUTCOME_DUPLICATE,
    OUTCOME_ORPHAN,
    OUTCOME_REDELIVERED, /* stored by an earlier delivery of the same record */
    OUTCOME_REPORTED,    /* no event: stored by the statement that ends the batch */
    OUTCOME_DEAD,
};

struct batch_item {
    const struct spool_record *record;
    struct str packed;               /* of an event: what scrubbing left of the payload, as it is stored; in the batch's arena */
    const struct scrub_rules *rules; /* the project's; the batch's */
    struct event_fields fields;
    uint32_t *tags; /* of an event: as tags_find() said, then their numbers, ascending, without those that are left out; in the arena */
    unsigned n_tags;
    bool has_user;
    uint64_t user_hash;
    struct str report; /* of OUTCOME_REPORTED: what digest_reports() stores; in the arena */
    enum outcome outcome;
    bool is_kept; /* this and the next four are of OUTCOME_DEAD: it is a dead letter already */
    int reason;   /* the error code */
    char sqlstate[DB_SQLSTATE];
    struct str detail; /* the constraint that was violated, or "" */
    int64_t position;  /* where the parser stopped, or -1 */
    uint32_t group;    /* position of its group in the statement, from 1 */
};

enum batch_array { /* in the order of digest_batch's parameters from $6 on */
                   A_G_PROJECT,
                   A_G_HASH,
                   A_G_TYPE,
                   A_G_VALUE,
                   A_G_TITLE,
                   A_G_TRANSACTION,
                   A_G_FILENAME,
                   A_G_MODULE,
                   A_G_FUNCTION,
                   A_G_LEVEL,
                   A_G_PLATFORM,
                   A_R_GROUP,
                   A_R_ID,
                   A_R_EVENT_ID,
                   A_R_RECEIVED,
                   A_R_TIMESTAMP,
                   A_R_TITLE,
                   A_R_LEVEL,
                   A_R_PLATFORM,
                   A_R_RELEASE,
                   A_R_ENVIRONMENT,
                   A_R_SERVER,
                   A_R_SDK_NAME,
                   A_R_SDK_VERSION,
                   A_R_ADDR,
                   A_R_PAYLOAD,
                   A_R_KEY,
                   A_R_CATEGORY,
                   A_R_BYTES,
                   A_R_TAGS,
                   A_R_USER,
                   A_COUNT
};

struct batch {
    struct spool_range range;
    struct spool *spool;          /* of the range */
    bool retains;                 /* the records keep what they brought */
    struct buf bytes;             /* the part of the range that was read last */
    struct spool_record *records; /* meta and payload of events are gone after batch_read, unless it retains them or they are dead */
    unsigned n_records, records_cap;
    struct rules rules;                  /* of the projects in it; names are in the arena */
    struct batch_item *items;            /* sorted by (project, event_id, receipt) after batch_read, from n_open on by receipt */
    uint32_t *order;                     /* scratch: items of a slice by (project, grouping hash) */
    unsigned n_items, n_open, items_cap; /* the first n_open items go to the database, the others have their outcome */
    bool claims;                         /* the statement that was bound last claims the range */
    struct arena arena;
    struct db_array arrays[A_COUNT];
    struct dictionaries dictionaries; /* of the batch's projects, and for packing */
    struct tags tags;
    struct buf scratch, packed;
};

void batch_init(struct batch *b);
void batch_done(struct batch *b);
/* Makes the batch ready for another range; memory beyond what an ordinary batch needs is given back. */
void batch_clear(struct batch *b);
/* A cleared batch that will have nothing to do for a while: gives back most of its memory. */
void batch_rest(struct batch *b);
/* Takes up the records of the claimed b->range. Blocks for file reads, as batch_read does: digest threads only. `retains`: an event that the database refuses can
 * become a dead letter; that needs the memory of the whole range. */
MUST_CHECK int batch_load(struct batch *b, struct spool *spool, bool retains);
/* Binds the projects of the records, and what is known of them, for whoever asks what they want; takes the answer, before: */
void batch_bind_projects(struct batch *b, struct db_query *q);
void batch_take_projects(struct batch *b, const struct db_rows *rows);
/* Reads the columns of every event. Unreadable events get OUTCOME_DEAD, repeated ids OUTCOME_DUPLICATE; the rest are items [0, n_open). An error is the spool's. */
MUST_CHECK int batch_read(struct batch *b);
/* The same for one record that comes from elsewhere and belongs to no range; borrowed. */
void batch_take(struct batch *b, const struct spool_record *record);
/* Has it tags whose numbers are not known? Then they are asked for before anything is stored: binds the statement for that; takes its answer, NULL if there is
 * none: such tags are left out. */
bool batch_asks_tags(const struct batch *b);
void batch_bind_tags(struct batch *b, struct db_query *q);
void batch_take_tags(struct batch *b, const struct db_rows *rows);
/* UTC day of the batch's receipts (the spool never mixes two in one range). */
int64_t batch_day(const struct batch *b);
/* Binds the statement that stores items [from, to). Borrowed from the batch until the query is done. */
void batch_bind(struct batch *b, struct db_query *q, const struct id128 *node, unsigned from, unsigned to);
/* The address that the record came from is not stored with it: its project, or the event itself, says so. */
bool batch_hides_address(const struct batch_item *item);
/* Is there anything left for a last statement: reports, what has to be accounted for, or the claim? */
bool batch_has_rest(const struct batch *b);
/* Of the rest: reports among items [from, to). The last part has all copies of events, too, and its statement claims the range; others claim an
 * empty one. Copies are not parted, because the statement of a redelivered batch's events may claim, and then counts them by itself. */
struct batch_part {
    unsigned from, to;
    bool is_last;
};
/* Binds the claim of the range, then what the statement that ends the batch, or comes before it, stores, or the probe of it tries. */
void batch_bind_claim(const struct batch *b, struct db_query *q, const struct id128 *node, const struct batch_part *part);
void batch_bind_rest(struct batch *b, struct db_query *q, const struct batch_part *part);
/* How many reports it has, and where its second half begins: behind the first, if that is all. */
unsigned batch_count_part(const struct batch *b, const struct batch_part *part);
unsigned batch_middle_of_part(const struct batch *b, const struct batch_part *part);
/* The item at that place (from 1) of what was bound cannot be stored. The last place first: places change by this. */
void batch_refuse_rest(struct batch *b, const struct batch_part *part, unsigned place, struct str sqlstate, struct str constraint);
/* Copies the statement's outcomes to items [from, to). */
void batch_take_outcomes(struct batch *b, const struct db_rows *rows, unsigned from, unsigned to);
/* The item can never be stored: `q` is the query that said so with `r`. Of a batch that retains what came. */
void batch_give_up(struct batch *b, struct batch_item *item, int r, const struct db_query *q);
/* Binds the statement that keeps the OUTCOME_DEAD items as dead letters that are none yet; returns how many there are (0: nothing bound). */
unsigned batch_bind_dead(struct batch *b, struct db_query *q);
void batch_keep_dead(struct batch *b); /* that statement is committed */
