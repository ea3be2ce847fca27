/* ledger.h: the account of what the door did not take (protocol §4.8): counted by project, key, category, outcome and reason, with some of the
 * refusals in full for who asks why an event did not arrive. Any thread. Design: ledger.c. */
#pragma once

#include "picket/base/buf.h"
#include "picket/base/id.h"
#include "picket/protocol/category.h"

enum { LEDGER_MAX_REASON = 40 };

struct ledger_line {
    uint64_t project_id, key_id;
    enum category category;
    enum outcome_id outcome;
    char reason[LEDGER_MAX_REASON];
    uint64_t quantity;
};
/* What is told of one refusal or drop. */
struct ledger_case {
    int64_t at_us;
    struct id128 event_id; /* nil: not known */
    uint64_t bytes;        /* of the request's body, or of the item */
    struct str client;     /* what the SDK calls itself; borrowed */
};

struct ledger;
struct ledger *ledger_new(void);
void ledger_free(struct ledger *l); /* what was not taken is gone; NULL is fine */
/* Counts; notes the case unless many are noted already. `told` may be NULL. */
void ledger_add(struct ledger *l, const struct ledger_line *line, const struct ledger_case *told);
/* Everything since the last call, as the payload of a SPOOL_OUTCOMES record; appended to `out`. False: nothing. */
MUST_CHECK bool ledger_take(struct ledger *l, struct buf *out);
