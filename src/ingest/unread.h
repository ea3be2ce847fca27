/* unread.h: requests that are refused while they arrive (http_module.refused), so that admit.c never sees them. Private to ingest. */
#pragma once

#include "ledger.h"
#include "picket/auth/keys.h"
#include "picket/http/http.h"
#include "tally.h"

/* Counts the request as one of what its path brings, and tells it, for the project whose key its head bears; without a good key only in the log. Never
 * asks the database: a key that is not in the cache is none. */
void unread_account(struct http_call *call, struct key_cache *keys, struct ledger *l, struct tally *t, int r, uint64_t body_bytes);
