/* digest.h: phase two. Workers claim ranges from the spool and turn each into one statement. Design: src/digest/digest.c.
 * Open and close from the main thread; everything else happens on the workers' threads. */
#pragma once

#include "picket/db/db.h"
#include "picket/spool/spool.h"

/* How long it is known what was stored, in days. What the spool hands out again is told by notes: of its range (digest_batches), and of each record
 * that has no row of its own (report_ids). Retention forgets them, by retention_tidy() of 0017_erasures_mended.sql and retention_due_report_ids() of
 * 0019_letters_age.sql, which tests/e2e/test_spool_age.py holds to these numbers. What was stored must have left the spool long before: S7 in
 * spool.c. What waits longer, because the database is away, has no notes yet. */
enum { DIGEST_RANGES_DAYS = 30, DIGEST_REPORTS_DAYS = 8 };
_Static_assert(DIGEST_REPORTS_DAYS <= DIGEST_RANGES_DAYS && 4 * SPOOL_SEGMENT_MAX_S <= DIGEST_REPORTS_DAYS * 86400,
               "no segment is nearly as old as what is forgotten");

struct digest;
struct digest_letters_config {
    const char *spill_dir;    /* where dead letters above the bound go; borrowed. NULL: nobody looks after dead letters */
    uint64_t spill_max_bytes; /* of its files together */
    uint64_t max_rows;        /* of dead letters in the database, those of attachments not counted */
    unsigned look_s;          /* between two looks for what others left to this server; 0 as 1 */
    unsigned keep_days;       /* files of letters go so long after these first failed (rows: retention.h); 0: never */
    const char *spool_dir;    /* borrowed; its damaged bytes go as long after they were set aside. NULL: they stay */
};
struct digest_config {
    struct spool *spool; /* outlives the digest */
    struct db_config db; /* of each worker's pool; connections is 1 in effect: a worker has one statement in flight */
    unsigned workers;
    unsigned batch_records; /* a batch ends at so many records … */
    uint64_t batch_bytes;   /* … or about so many spool bytes */
    struct digest_letters_config letters;
    unsigned audit_days; /* the hourly upkeep forgets what the audit log has that is older; 0: never */
};

MUST_CHECK int digest_open(const struct digest_config *config, struct digest **ret);
/* Lets statements under way finish (at most grace_ms, then gives their ranges back), joins the workers. NULL is fine. */
void digest_close(struct digest *d, unsigned grace_ms);

struct digest_stats {
    uint64_t batches, records, stored, duplicates, orphans, dead; /* orphans: their project is gone */
    int64_t oldest_us; /* receipt of the oldest record that a worker has in hand; 0: none has any */
    bool claims;       /* what is spooled is claimed soon: the database has answered once */
};
void digest_stats(struct digest *d, struct digest_stats *ret); /* any thread, while it is open, as the next two */
void digest_put_metrics(const struct digest *d, struct metric_text *t);
void digest_db_collect(const struct digest *d, struct db_reading *ret); /* the workers' pools */

/* As of the last look, which is never older than some seconds while the database answers. */
struct digest_letters_stats {
    bool known;            /* the first look succeeded: */
    uint64_t dead, marked; /* rows that are dead, and that are to be tried again */
    uint64_t spilled, spilled_bytes;
    uint64_t spilled_lost; /* files that had to go */
};
void digest_letters(struct digest *d, struct digest_letters_stats *ret); /* any thread, while it is open */
void digest_retry(struct digest *d);                                     /* marks were set: look soon. Any thread, while it is open */
