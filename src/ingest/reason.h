/* reason.h: what the account calls the errors of the door. Private to ingest. */
#pragma once

#include "ledger.h"
#include "picket/protocol/item.h"

/* The reason for an item or a request that was left out by `r` (0: its kind is not stored): Sentry's (protocol §4.8) where it has one for the case, else our own. */
void reason_name(int r, const struct item_kind *kind, char dst[LEDGER_MAX_REASON]);
enum outcome_id reason_outcome(int r);
