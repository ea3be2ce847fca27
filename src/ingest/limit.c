/* limit.c: quotas come after the reading of items (protocol §4.8), so that what is broken or not stored uses none; and before the spool, so that a 200
 * means what it says. Client reports are never limited: they tell what the limits cost. An attachment is asked for before its bytes are written,
 * and before that the event that it belongs to: what one answer said of a record holds.
 *
 * An answer names only the limits that it met, with the time that is really left: SDKs renew a limit with every answer that has it
 * (sdk-observed), and would stay silent for good if every answer had. */
#include "limit.h"

#include <inttypes.h>

#include "admit.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"

enum { COUNTS_MAX = 2 };

/* What it counts as (protocol §4.5): an attachment by its bytes, of which it has at least one, lest empty ones come for ever; and by its number. */
static unsigned counts_of(const struct admit *a, const struct admit_taken *taken, struct quota_item ret[COUNTS_MAX])
{
    ret[0] = (struct quota_item){a->project_id, a->key_id, taken->kind->category, taken->quantity};
    if (taken->kind->category != CATEGORY_ATTACHMENT)
        return 1;
    if (taken->quantity == 0)
        ret[0].quantity = 1;
    ret[1] = (struct quota_item){a->project_id, a->key_id, CATEGORY_ATTACHMENT_ITEM, 1};
    return 2;
}

static void meet(struct limited *l, enum category category, const struct quota_refusal *refusal)
{
    unsigned i = 0;
    category = category == CATEGORY_ATTACHMENT_ITEM ? CATEGORY_ATTACHMENT
                                                    : quota_category(category); /* both stop the same, and are told together */
    while (i < l->n && l->met[i].category != category)
        i++;
    if (i == LIMITED_MAX)
        i--; /* no envelope brings so many categories; if one does, the last stands for the rest */
    if (i == l->n)
        l->n++;
    else if (l->met[i].refusal.retry_s >= refusal->retry_s)
        return;
    l->met[i].category = category;
    l->met[i].refusal = *refusal;
}

bool limit_take(struct admit *a, struct admit_taken *taken, const char **ret_reason)
{
    struct quota_item counts[COUNTS_MAX];
    struct quota_refusal refusal;
    unsigned n = counts_of(a, taken, counts), i = 0;
    *ret_reason = taken->refusal;
    if (taken->refusal)
        return false;
    if (taken->is_counted || taken->kind->use == ITEM_USE_CLIENT_REPORT || !a->quota)
        return true;
    while (i < n && quota_take(a->quota, &counts[i], clock_mono_us(), &refusal))
        i++;
    taken->is_counted = i == n;
    if (taken->is_counted)
        return true;
    meet(&a->limited, counts[i].category, &refusal);
    *ret_reason = taken->refusal = quota_reason(&refusal);
    while (i > 0)
        quota_give_back(a->quota, &counts[--i], clock_mono_us());
    return false;
}

void limit_untake(struct admit *a, struct admit_taken *taken)
{
    struct quota_item counts[COUNTS_MAX];
    unsigned n = counts_of(a, taken, counts);
    for (unsigned i = 0; i < n && taken->is_counted; i++)
        quota_give_back(a->quota, &counts[i], clock_mono_us());
    taken->is_counted = false;
}

void limit_records(struct admit *a)
{
    unsigned kept = 0, n_events = 0;
    for (unsigned i = 0; i < a->n_records; i++) {
        struct admit_taken *taken = &a->taken[i];
        if (!limit_take(a, taken, &a->quota_reason)) {
            admit_leave(a, &(struct admit_left){.kind = taken->kind,
                                                .reason = -ERR_RATE_LIMITED,
                                                .quota = a->quota_reason,
                                                .bytes = taken->bytes,
                                                .quantity = taken->quantity});
            if (a->joined.with == i)
                admit_leave_joined(a, -ERR_RATE_LIMITED);
            continue;
        }
        n_events += a->records[i].kind == SPOOL_EVENT;
        if (kept < i) {
            a->records[kept] = a->records[i];
            a->taken[kept] = a->taken[i];
        }
        kept++;
    }
    a->n_records = kept;
    a->n_events = n_events;
}

void limit_give_back(struct admit *a)
{
    for (unsigned i = 0; i < a->n_records; i++)
        limit_untake(a, &a->taken[i]);
}

void limit_put(const struct limited *l, struct buf *out)
{
    for (unsigned i = 0; i < l->n; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        quota_put_limit(out, &l->met[i].refusal, l->met[i].category);
    }
}

static const struct quota_refusal *longest(const struct limited *l)
{
    const struct quota_refusal *found = &l->met[0].refusal;
    for (unsigned i = 1; i < l->n; i++)
        if (l->met[i].refusal.retry_s > found->retry_s)
            found = &l->met[i].refusal;
    return found;
}

unsigned limit_retry_s(const struct limited *l)
{
    return longest(l)->retry_s;
}

struct str limit_detail(const struct limited *l, struct arena *arena)
{
    static const char *const scopes[QUOTA_SCOPES] = {"installation", "project", "key"}, *const windows[QUOTA_WINDOWS] = {"minute", "hour"};
    const struct quota_refusal *r = longest(l);
    return arena_printf(arena, "%s quota: %" PRIu64 " per %s", scopes[r->scope], r->limit, windows[r->window]);
}
