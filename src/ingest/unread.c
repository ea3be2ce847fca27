/* unread.c: see the header. Such a request counts as a flood does that is turned away unread (account.c): as one of what its form brings, which of an
 * envelope is anything. Only its head is there, so a key that stands in the body is not known, nor is a project that only the body names (the tunnel), or
 * words of a person's for which a DSN serves as password: the log alone tells of these.
 *
 * The size is the client's word and may be any number: it is told, never added to anything. */
#include "unread.h"

#include "admit.h"
#include "head.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "reason.h"

enum { NO_KEY = -1 };

struct way {
    struct str path; /* as in the routes of ingest.c */
    enum admit_form form;
    int key_param; /* which of the path's parameters is a key */
};

static const struct way *way_of(const struct http_route *route)
{
    static const struct way ways[] = {
        {STR("/api/{project}/envelope/"), ADMIT_ENVELOPE, NO_KEY},
        {STR("/api/{project}/store/"), ADMIT_STORE, NO_KEY},
        {STR("/api/store/"), ADMIT_STORE, NO_KEY},
        {STR("/api/{project}/minidump/"), ADMIT_MINIDUMP, NO_KEY},
        {STR("/api/{project}/unreal/{key}/"), ADMIT_UNREAL, 1},
        {STR("/api/{project}/security/"), ADMIT_REPORT, NO_KEY},
        {STR("/api/{project}/csp-report/"), ADMIT_REPORT, NO_KEY},
        {STR("/api/{project}/nel/"), ADMIT_NEL, NO_KEY},
        {STR("/api/{project}/integration/otlp/v1/traces/"), ADMIT_TRACES, NO_KEY},
        {STR("/api/{project}/integration/otlp/v1/logs/"), ADMIT_LOGS, NO_KEY},
        {STR("/api/{project}/otlp/v1/traces/"), ADMIT_TRACES, NO_KEY},
        {STR("/api/{project}/events/{event}/attachments/"), ADMIT_FILES, NO_KEY},
        {STR("/api/{project}/cron/{slug}/"), ADMIT_CRON, NO_KEY},
        {STR("/api/{project}/cron/{slug}/{key}/"), ADMIT_CRON, 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(ways); i++)
        if (str_eq(str_from(route->path), ways[i].path))
            return &ways[i];
    return NULL;
}

/* Does the head bear a key that is good for the project of the path? */
static bool read_key(struct http_call *call, const struct way *way, struct key_cache *keys, struct credentials *ret,
                     struct key_info *ret_key)
{
    uint64_t project_id = KEY_ANY_PROJECT;
    bool names_project = str_starts(way->path, STR("/api/{project}/"));
    if (names_project && (!str_to_u64(call->params[0], &project_id) || project_id == KEY_ANY_PROJECT))
        return false;
    struct str path_key = way->key_param == NO_KEY ? (struct str){NULL, 0} : call->params[way->key_param];
    return head_credentials(call, path_key, ret) == 0 && ret->present && key_cache_check(keys, &ret->key, project_id, ret_key) == KEY_OK;
}

/* What came to /store/ may be an envelope. */
static enum admit_form form_of(struct http_call *call, const struct way *way)
{
    bool is_envelope = str_starts_nocase(http_header(call, "content-type"), STR("application/x-sentry-envelope"));
    return way->form == ADMIT_STORE && is_envelope ? ADMIT_ENVELOPE : way->form;
}

static void add(struct ledger *l, const struct key_info *key, const struct item_kind *kind, struct str client, int r, uint64_t body_bytes)
{
    struct ledger_line line = {.project_id = key->project_id,
                               .key_id = (uint64_t)key->key_id,
                               .category = kind->category == CATEGORY_ATTACHMENT ? CATEGORY_ATTACHMENT_ITEM : kind->category,
                               .outcome = reason_outcome(r),
                               .quantity = 1};
    struct ledger_case told = {.at_us = clock_wall_us(), .bytes = body_bytes < INT64_MAX ? body_bytes : INT64_MAX, .client = client};
    reason_name(r, kind, line.reason);
    ledger_add(l, &line, &told);
}

void unread_account(struct http_call *call, struct key_cache *keys, struct ledger *l, struct tally *t, int r, uint64_t body_bytes)
{
    struct credentials credentials = {0};
    struct key_info key = {0};
    const struct way *way = way_of(call->route);
    bool is_known = way && read_key(call, way, keys, &credentials, &key);
    if (is_known)
        add(l, &key, admit_kind(form_of(call, way)), credentials_client(&credentials), r, body_bytes);
    tally_add(t, r, 1, is_known ? key.project_id : 0, credentials_client(&credentials));
}
