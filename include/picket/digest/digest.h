/* digest.h: phase two. Workers claim ranges from the spool and turn each into one statement. Design: src/digest/digest.c.
 * Open and close from the main thread; everything else happens on the workers' threads. */
#pragma once

#include "picket/db/db.h"
#include "picket/spool/spool.h"

struct digest;
struct digest_config {
    struct spool *spool; /* outlives the digest */
    struct db_config db; /* of each worker's pool; connections is 1 in effect: a worker has one statement in flight */
    unsigned workers;
    unsigned batch_records; /* a batch ends at so many records … */
    uint64_t batch_bytes;   /* … or about so many spool bytes */
};

MUST_CHECK int digest_open(const struct digest_config *config, struct digest **ret);
/* Lets statements under way finish (at most grace_ms, then gives their ranges back), joins the workers. NULL is fine. */
void digest_close(struct digest *d, unsigned grace_ms);

struct digest_stats {
    uint64_t batches, records, stored, duplicates, orphans, dead; /* orphans: their project is gone */
};
void digest_stats(const struct digest *d, struct digest_stats *ret);
