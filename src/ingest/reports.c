/* reports.c: what browsers report by themselves (protocol §3.9). One body may hold several reports: each is an item by itself, and becomes an event at the
 * door. They are small and their events are not: a report of thirty bytes bears the release and the address of the request that brought it. So room is
 * asked for before an event is copied, at most ADMIT_MAX_REPORTS of a request are looked into, and more than ADMIT_INLINE_REPORTS on no loop. */
#include "admit.h"

#include "picket/base/error.h"

static int take_report(struct admit *a, const struct envelope *e, const struct buf *event)
{
    if (event->n > a->limits.event_max_bytes)
        return -ERR_ITEM_TOO_LARGE;
    if (!admit_has_room(a, event->n + e->header.json.n)) /* before it is copied */
        return -ERR_TOO_MANY_ITEMS;
    return admit_add_event(a, e, arena_str(&a->arena, buf_str(event)));
}

/* As an item header has them (§2.3). */
static void read_report_header(struct admit *a, const struct envelope_item *item, struct security_origin *ret)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct str release, environment;
    if (item->header.n == 0 || json_parse(item->header, &doc, NULL) < 0)
        return;
    if (json_str_raw(json_get(json_root(doc), STR("sentry_release")), &release))
        ret->release = arena_str(&a->arena, str_take(release, (size_t)4 * EVENT_MAX_RELEASE));
    if (json_str_raw(json_get(json_root(doc), STR("sentry_environment")), &environment))
        ret->environment = arena_str(&a->arena, str_take(environment, (size_t)4 * EVENT_MAX_ENVIRONMENT));
}

/* The next report. 1: taken; 0: there are no more; <0: it is left out. What is read beyond the bound is one report of an item. */
static int take_next_report(struct admit *a, const struct envelope *e, struct security_reader *reader, const struct security_origin *origin)
{
    int r = security_next(reader, origin, &a->scratch);
    if (r == 0)
        return 0;
    if (a->n_reports == ADMIT_MAX_REPORTS)
        return -ERR_TOO_MANY_ITEMS;
    a->n_reports++;
    return r == 1 ? take_report(a, e, &a->scratch) : r;
}

static void leave_reports(struct admit *a, const struct item_kind *kind, int reason, size_t n)
{
    if (n > 0)
        admit_leave(a, &(struct admit_left){.kind = kind, .reason = reason, .n = (unsigned)n, .quantity = n});
}

int admit_reports(struct admit *a, const struct envelope *e, const struct envelope_item *item, struct security_reader *reader)
{
    struct security_origin origin = a->reported;
    int told = 0, taken = 0, r;
    if (!a->blobs && a->n_reports + reader->n_left > ADMIT_INLINE_REPORTS) {
        a->elsewhere = true;
        return 0;
    }
    origin.received_us = a->received_us;
    read_report_header(a, item, &origin);
    while (told != -ERR_TOO_MANY_ITEMS && (r = take_next_report(a, e, reader, &origin)) != 0) {
        if (r == 1) {
            taken++;
            continue;
        }
        leave_reports(a, item->kind, told, told < 0);
        told = r;
    }
    leave_reports(a, item->kind, told, reader->n_left);
    leave_reports(a, item->kind, told, taken > 0 && told < 0);
    return taken > 0 ? 1 : told;
}
