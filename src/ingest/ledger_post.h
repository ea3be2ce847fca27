/* ledger_post.h: the ledger's way into the spool. Private to ingest; one thread at a time. */
#pragma once

#include "ledger.h"
#include "picket/spool/spool.h"

struct ledger_post { /* zeroed but for `ledger`, which is borrowed */
    struct ledger *ledger;
    struct spool_append append;
    bool running;
    struct buf taken; /* what the ledger gave and the spool has not taken yet; its id */
    struct id128 id;
};

/* Appends what the ledger has, or what the spool did not take before. The port's thread. */
void ledger_post(struct ledger_post *p, struct spool_port *port);
/* The same at the end, when no port is open any more: blocks until it is durable, or refused. */
void ledger_post_settle(struct ledger_post *p, struct spool *spool);
void ledger_post_done(struct ledger_post *p); /* not while it is running */
