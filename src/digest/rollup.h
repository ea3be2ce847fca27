/* rollup.h: folds what was stored into what people filter by: tags, users and releases of issues. Design: rollup.c. Private to digest; on one worker's loop,
 * with a connection of its own. */
#pragma once

#include "picket/db/db.h"
#include "picket/spool/spool.h"

struct rollup;
/* `spool` outlives it, and so does the loop. */
MUST_CHECK int rollup_open(uv_loop_t *loop, const struct db_config *db, struct spool *spool, struct rollup **ret);
void rollup_close(struct rollup *r); /* begins to end, which keeps the loop turning until it is done; NULL is fine */
void rollup_free(struct rollup *r);  /* when the loop has ended; NULL is fine */
void rollup_put_metrics(const struct rollup *r, struct metric_text *t); /* any thread, while it is open */
