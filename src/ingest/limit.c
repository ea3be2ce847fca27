/* limit.c: quotas come after the reading of items (protocol §4.8), so that what is broken or not stored uses none; and before the spool, so that a 200
 * means what it says. Client reports are never limited: they tell what the limits cost.
 *
 * An answer names only the limits that it met, with the time that is really left: SDKs renew a limit with every answer that has it
 * (sdk-observed), and would stay silent for good if every answer had. */
#include "limit.h"

#include <inttypes.h>

#include "picket/base/error.h"

static bool read_item(const struct admit *a, unsigned i, struct quota_item *ret)
{
    const struct admit_taken *taken = &a->taken[i];
    *ret = (struct quota_item){.project_id = a->project_id,
                               .key_id = a->key_id,
                               .category = taken->kind->category,
                               .quantity = taken->quantity};
    return taken->kind->use != ITEM_USE_CLIENT_REPORT;
}

static void meet(struct limited *l, enum category category, const struct quota_refusal *refusal)
{
    unsigned i = 0;
    category = quota_category(category);
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

void limit_records(struct limited *l, struct quota *q, struct admit *a, int64_t mono_us)
{
    unsigned kept = 0, n_events = 0;
    for (unsigned i = 0; i < a->n_records; i++) {
        struct quota_item item;
        struct quota_refusal refusal;
        const struct admit_taken *taken = &a->taken[i];
        if (read_item(a, i, &item) && !quota_take(q, &item, mono_us, &refusal)) {
            meet(l, item.category, &refusal);
            admit_leave(a, &(struct admit_left){.kind = taken->kind,
                                                .reason = -ERR_RATE_LIMITED,
                                                .quota = quota_reason(&refusal),
                                                .bytes = taken->bytes,
                                                .quantity = taken->quantity});
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

void limit_give_back(struct quota *q, const struct admit *a, int64_t mono_us)
{
    for (unsigned i = 0; i < a->n_records; i++) {
        struct quota_item item;
        if (read_item(a, i, &item))
            quota_give_back(q, &item, mono_us);
    }
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
