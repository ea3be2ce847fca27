/* account.h: what becomes of a request's items that are no records of their own, by project and key in the ledger, and by reason in the log. Private to ingest. */
#pragma once

#include "admit.h"
#include "ledger.h"
#include "tally.h"

/* When nobody was refused: the items that were left out, and those that became part of an event. Returns the number of the former. */
unsigned account_left_out(struct ledger *l, struct tally *t, const struct admit *a);
/* A request that is refused with `r`: every item, when they were read (those left out for their own reasons); else the request counts as one of what
 * its form brings. Without a good key (`is_known`) it counts for no project. Returns the number of items left out. */
unsigned account_refusal(struct ledger *l, struct tally *t, const struct admit *a, bool is_known, int r);
