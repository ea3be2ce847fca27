/* account.c: see the header. What is stored is counted where it is stored (ledger.c says why). */
#include "account.h"

#include <stdio.h>

#include "picket/auth/keys.h"
#include "picket/base/error.h"
#include "reason.h"

/* Protocol §4.5: some kinds count as something else, too: by their bytes, or by what is in them. */
static void add_more(struct ledger *l, const struct ledger_line *line, enum category category, uint64_t quantity)
{
    struct ledger_line more = *line;
    more.category = category;
    more.quantity = quantity;
    if (quantity > 0)
        ledger_add(l, &more, NULL);
}

static void account(struct ledger *l, const struct admit *a, const struct admit_left *left)
{
    struct ledger_line line = {.project_id = a->project_id,
                               .key_id = a->key_id,
                               .category = left->kind->category,
                               .outcome = reason_outcome(left->reason),
                               .quantity = left->quantity};
    struct ledger_case told = {.at_us = a->received_us, .bytes = left->bytes, .client = credentials_client(&a->credentials)};
    if (left->quota)
        (void)snprintf(line.reason, sizeof line.reason, "%s", left->quota);
    else
        reason_name(left->reason, left->kind, line.reason);
    if (a->has_id)
        told.event_id = a->id;
    if (left->kind->category == CATEGORY_ATTACHMENT) {
        add_more(l, &line, CATEGORY_ATTACHMENT, left->bytes);
        line.category = CATEGORY_ATTACHMENT_ITEM;
        line.quantity = left->n;
    } else if (left->kind->category == CATEGORY_LOG_ITEM) {
        add_more(l, &line, CATEGORY_LOG_BYTE, left->bytes);
    } else if (left->kind->category == CATEGORY_TRANSACTION) {
        add_more(l, &line, CATEGORY_SPAN, left->spans);
    }
    ledger_add(l, &line, line.outcome == OUTCOME_ID_FILTERED ? NULL : &told); /* what is never stored is no case */
}

/* What became part of an event went by its quota, and there is no file: it counts by its number, so that every item is counted, not by its bytes. The event
 * is taken; if it is not stored in the end it is the event that is told so. */
static void account_joined(struct ledger *l, const struct admit *a)
{
    struct ledger_line line = {.project_id = a->project_id,
                               .key_id = a->key_id,
                               .category = CATEGORY_ATTACHMENT_ITEM,
                               .outcome = OUTCOME_ID_ACCEPTED,
                               .quantity = a->joined.n};
    if (a->joined.n > 0)
        ledger_add(l, &line, NULL);
}

static unsigned account_left(struct ledger *l, struct tally *t, const struct admit *a)
{
    unsigned n = 0;
    for (unsigned i = 0; i < a->n_left; i++) {
        const struct admit_left *left = &a->left[i];
        n += left->n;
        account(l, a, left);
        if (reason_outcome(left->reason) != OUTCOME_ID_FILTERED)
            tally_add(t, left->reason, left->n, a->project_id, credentials_client(&a->credentials));
    }
    return n;
}

unsigned account_left_out(struct ledger *l, struct tally *t, const struct admit *a)
{
    account_joined(l, a);
    return account_left(l, t, a);
}

unsigned account_refusal(struct ledger *l, struct tally *t, const struct admit *a, bool is_known, int r)
{
    struct admit_left whole = {.kind = admit_kind(a->form), .reason = r, .n = 1, .bytes = a->body.n, .quantity = 1};
    struct admit_left joined = {
        .kind = item_kind_of(STR("form_data")), .reason = r, .n = a->joined.n, .bytes = a->joined.bytes, .quantity = a->joined.n};
    unsigned n_left = 0, n = a->is_read ? a->n_records + a->joined.n : 1;
    if (a->is_read)
        n_left = account_left(l, t, a);
    else if (is_known)
        account(l, a, &whole);
    for (unsigned i = 0; i < a->n_records && a->is_read; i++) {
        const struct admit_taken *taken = &a->taken[i];
        account(l, a, &(struct admit_left){.kind = taken->kind, .reason = r, .n = 1, .bytes = taken->bytes, .quantity = taken->quantity});
    }
    if (a->joined.n > 0 && a->is_read)
        account(l, a, &joined);
    if (n > 0)
        tally_add(t, r, n, a->project_id == KEY_ANY_PROJECT ? 0 : a->project_id, credentials_client(&a->credentials));
    return n_left;
}
