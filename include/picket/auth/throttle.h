/* throttle.h: slows down password guessing, per account and per address (of IPv6: its /64). In memory, bounded, thread-safe (one mutex). Up to three
 * failures within two seconds count as one (the dashboard tries every failing call three times, contract §7.1). */
#pragma once

#include "picket/base/str.h"

enum { THROTTLE_ACCOUNT_FAILURES = 5, THROTTLE_ADDRESS_FAILURES = 20, THROTTLE_WINDOW_S = 300, THROTTLE_MAX_ENTRIES = 8192 };

struct throttle;
struct throttle *throttle_new(void);
void throttle_free(struct throttle *t);
/* 0: go on; > 0: refuse, and the client may come back after so many seconds. */
unsigned throttle_check(struct throttle *t, struct str account, struct str address, int64_t mono_us);
void throttle_failed(struct throttle *t, struct str account, struct str address, int64_t mono_us);
void throttle_succeeded(struct throttle *t, struct str account); /* forgets the account's failures */
