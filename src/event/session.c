/* session.c: sessions, one update at a time or as aggregates (protocol §7.1; sdk-observed "Events": aggregates may lack counts, updates come out of
 * order). What an update changes depends on those before it, which the database knows (digest_items): here an update only says what it is. */
#include "picket/event/items.h"

#include <openssl/sha.h>

#include "account.h"
#include "moment.h"
#include "names.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"

#define COUNT_MAX INT64_C(1000000000)
enum { FUTURE_MAX_S = 3600 };

struct session_counts {
    int64_t total, exited, errored, abnormal, unhandled, crashed;
};

struct attributes {
    struct str release, environment; /* release "": none that is valid */
};

static struct attributes read_attributes(const struct json *root, struct arena *a)
{
    const struct json *attrs = json_get(root, STR("attrs"));
    return (struct attributes){.release = event_release(json_get(attrs, STR("release")), a),
                               .environment = event_environment(json_get(attrs, STR("environment")), a)};
}

/* When it began, in epoch seconds of our clock. NULL: it came in time; else the reason why it does not count. */
static const char *read_start(const struct json *v, const struct item_origin *origin, struct arena *a, int64_t *ret_s)
{
    double now = (double)origin->received_us / CLOCK_US_PER_S, at;
    if (!event_seconds(v, a, &at))
        return "timestamp";
    at += (double)event_drift_us(origin->received_us, origin->sent_at_us) / CLOCK_US_PER_S;
    if (at > now + FUTURE_MAX_S || at < now - ITEMS_MAX_AGE_DAYS * 86400.0)
        return "timestamp";
    *ret_s = (int64_t)at;
    return NULL;
}

/* Rule 7: hashed before it is stored. */
static void put_user(struct json_writer *w, const struct json *did, const struct item_origin *origin, struct arena *a)
{
    struct str s;
    uint8_t sum[SHA256_DIGEST_LENGTH];
    struct id128 id;
    char text[ID_DASHED + 1];
    if (!json_text(did, a, &s) || s.n == 0)
        return;
    struct str key = arena_printf(a, "%llu:%.*s", (unsigned long long)origin->project_id, STR_ARG(s));
    if (!SHA256((const unsigned char *)key.p, key.n, sum)) /* OpenSSL 3 fetches it, which may fail for want of memory */
        abort();
    memcpy(id.b, sum, sizeof id.b);
    id_dashed(&id, text);
    json_field_str(w, STR("user"), str_of(text, ID_DASHED));
}

/* Once for all sessions of an item: there may be a thousand, of some bytes each. */
static void put_attributes(struct json_writer *w, const struct attributes *at)
{
    json_field_str(w, STR("release"), at->release);
    json_field_str(w, STR("environment"), at->environment);
}

static void put_count(struct json_writer *w, struct str name, int64_t n)
{
    if (n > 0)
        json_field_i64(w, name, n);
}

static void put_session(struct json_writer *w, int64_t started_s, const struct session_counts *n)
{
    json_field_i64(w, STR("at"), started_s);
    put_count(w, STR("total"), n->total);
    put_count(w, STR("exited"), n->exited);
    put_count(w, STR("errored"), n->errored);
    put_count(w, STR("abnormal"), n->abnormal);
    put_count(w, STR("unhandled"), n->unhandled);
    put_count(w, STR("crashed"), n->crashed);
}

/* What does not count, and why. */
struct left {
    int64_t n;
    const char *reason;
};

static struct account_line line_of(const struct left *left, const struct item_origin *origin)
{
    return (struct account_line){origin->received_us, CATEGORY_SESSION, OUTCOME_ID_INVALID, str_from(left->reason), left->n};
}

/* bytes: of the item. */
static void put_account(struct json_writer *w, const struct item_origin *origin, size_t bytes, int64_t n_accepted,
                        const struct left left[2])
{
    json_key(w, STR("outcomes"));
    json_begin_array(w);
    if (n_accepted)
        account_put(w, &(struct account_line){origin->received_us, CATEGORY_SESSION, OUTCOME_ID_ACCEPTED, STR(""), n_accepted});
    for (size_t i = 0; i < 2; i++) {
        struct account_line line = line_of(&left[i], origin);
        if (line.quantity)
            account_put(w, &line);
    }
    json_end_array(w);
    if (left[0].n == 0 && left[1].n == 0)
        return;
    json_key(w, STR("left"));
    json_begin_array(w);
    for (size_t i = 0; i < 2; i++) {
        struct account_line line = line_of(&left[i], origin);
        if (line.quantity)
            account_put_left(w, origin, &line, bytes);
    }
    json_end_array(w);
}

/* ---- updates */

static struct session_counts counts_of_update(const struct json *root, struct arena *a)
{
    struct session_counts n = {0};
    struct str status;
    int64_t errors = 0;
    bool init = false;
    if (!json_str(json_get(root, STR("status")), a, &status))
        status = STR("ok");
    (void)json_i64(json_get(root, STR("errors")), &errors); /* none otherwise */
    (void)json_bool(json_get(root, STR("init")), &init);
    n.total = init; /* rule 2 */
    n.exited = str_eq(status, STR("exited"));
    n.crashed = str_eq(status, STR("crashed"));
    n.abnormal = str_eq(status, STR("abnormal"));
    n.unhandled = str_eq(status, STR("unhandled"));
    n.errored = errors > 0 || n.crashed || n.abnormal || n.unhandled || str_eq(status, STR("errored")); /* rules 3 and 4 */
    return n;
}

static void put_update(struct json_writer *w, const struct json *root, const struct attributes *at, const struct item_origin *origin,
                       struct arena *a, const char **why)
{
    struct str text;
    struct id128 sid;
    int64_t started = 0, seq = 0;
    *why = at->release.n ? read_start(json_get(root, STR("started")), origin, a, &started) : "no_release";
    if (*why)
        return;
    if (!json_str(json_get(root, STR("sid")), a, &text) || !id_parse(text, &sid) || id_is_nil(&sid))
        sid = id_random();
    struct session_counts n = counts_of_update(root, a);
    if (n.total == 0 && !json_i64(json_get(root, STR("seq")), &seq))
        seq = origin->received_us / 1000;
    char hyphenated[ID_DASHED + 1];
    id_dashed(&sid, hyphenated);
    json_begin_object(w);
    json_field_str(w, STR("sid"), str_of(hyphenated, ID_DASHED));
    json_field_i64(w, STR("seq"), seq);
    put_user(w, json_get(root, STR("did")), origin, a);
    put_session(w, started, &n);
    json_end_object(w);
}

/* ---- aggregates */

static int64_t count(const struct json *v, struct str key)
{
    int64_t n;
    return json_i64(json_get(v, key), &n) && n > 0 ? n < COUNT_MAX ? n : COUNT_MAX : 0;
}

static bool put_aggregate(struct json_writer *w, const struct json *v, const struct item_origin *origin, struct arena *a)
{
    int64_t started;
    if (json_type(v) != JSON_OBJECT || read_start(json_get(v, STR("started")), origin, a, &started))
        return false;
    struct session_counts n = {.exited = count(v, STR("exited")),
                               .errored = count(v, STR("errored")),
                               .abnormal = count(v, STR("abnormal")),
                               .unhandled = count(v, STR("unhandled")),
                               .crashed = count(v, STR("crashed"))};
    n.total = n.exited + n.errored + n.abnormal + n.unhandled + n.crashed;
    n.errored += n.abnormal + n.unhandled + n.crashed; /* rule 4 */
    json_begin_object(w);
    put_user(w, json_get(v, STR("did")), origin, a);
    put_session(w, started, &n);
    json_end_object(w);
    return true;
}

static void put_aggregates(struct json_writer *w, const struct json *root, const struct item_origin *origin, size_t bytes, struct arena *a)
{
    struct attributes at = read_attributes(root, a);
    int64_t n_taken = 0, n_left = 0, n_surplus = 0;
    put_attributes(w, &at);
    json_key(w, STR("sessions"));
    json_begin_array(w);
    for (struct json_iter it = json_iter(json_get(root, STR("aggregates"))); json_next(&it);) {
        if (at.release.n && n_taken == ITEMS_MAX_ENTRIES)
            n_surplus++;
        else if (at.release.n && put_aggregate(w, it.value, origin, a))
            n_taken++;
        else
            n_left++;
    }
    json_end_array(w);
    const struct left left[] = {{n_left, at.release.n ? "timestamp" : "no_release"}, {n_surplus, "too_many_items"}};
    put_account(w, origin, bytes, n_taken, left);
}

/* ---- items */

static int parse(struct str payload, struct json_doc **ret)
{
    int r = json_parse(payload, ret, NULL);
    return r < 0 ? r : json_type(json_root(*ret)) == JSON_OBJECT ? 0 : -ERR_NOT_AN_OBJECT;
}

int session_read(struct str payload, const struct item_origin *origin, struct buf *out)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct json_writer w;
    struct arena a;
    const char *why;
    int r = parse(payload, &doc);
    if (r < 0)
        return r;
    arena_init(&a);
    json_writer_init(&w, out);
    struct attributes at = read_attributes(json_root(doc), &a);
    json_begin_object(&w);
    put_attributes(&w, &at);
    json_key(&w, STR("sessions"));
    json_begin_array(&w);
    put_update(&w, json_root(doc), &at, origin, &a, &why);
    json_end_array(&w);
    put_account(&w, origin, payload.n, why == NULL, (const struct left[2]){{why != NULL, why ? why : ""}, {0, ""}});
    json_end_object(&w);
    arena_done(&a);
    return 0;
}

int sessions_read(struct str payload, const struct item_origin *origin, struct buf *out)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct json_writer w;
    struct arena a;
    int r = parse(payload, &doc);
    if (r < 0)
        return r;
    arena_init(&a);
    json_writer_init(&w, out);
    json_begin_object(&w);
    put_aggregates(&w, json_root(doc), origin, payload.n, &a);
    json_end_object(&w);
    arena_done(&a);
    return 0;
}
