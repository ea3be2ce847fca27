/* client_report.c: what SDKs threw away before they sent it (protocol §4.7). Numbers and names are the client's, so they are bounded: known
 * reasons and categories, quantities up to QUANTITY_MAX, times from a month ago to some minutes from now, by our clock. A report of another time is
 * dropped as a whole, which is no fault of the envelope: it is told, and counts as one that is invalid, as those do that cannot be read. */
#include "picket/event/items.h"

#include "account.h"
#include "moment.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"

enum { FUTURE_MAX_S = 300, CLIENT_MAX = 64 }; /* the latter as the door tells it */
#define QUANTITY_MAX INT64_C(1000000000)

void account_put(struct json_writer *w, const struct account_line *line)
{
    json_begin_object(w);
    json_field_i64(w, STR("h"), line->at_us / CLOCK_US_PER_S);
    json_field_i64(w, STR("c"), line->category);
    json_field_i64(w, STR("o"), line->outcome);
    json_field_str(w, STR("r"), line->reason);
    json_field_i64(w, STR("n"), line->quantity);
    json_end_object(w);
}

void account_put_accepted(struct json_writer *w, int64_t at_us, enum category category, int64_t quantity)
{
    json_key(w, STR("outcomes"));
    json_begin_array(w);
    account_put(w, &(struct account_line){at_us, category, OUTCOME_ID_ACCEPTED, STR(""), quantity});
    json_end_array(w);
}

void account_put_client(struct json_writer *w, const struct item_origin *origin)
{
    AUTO_BUF struct buf client = {0};
    buf_append_str(&client, origin->sdk_name);
    if (client.n && origin->sdk_version.n) {
        buf_append_char(&client, '/');
        buf_append_str(&client, origin->sdk_version);
    }
    if (client.n)
        json_field_str(w, STR("client"), str_take_code_points(buf_str(&client), CLIENT_MAX));
}

void account_put_sender(struct json_writer *w, const struct item_origin *origin, size_t bytes)
{
    json_field_i64(w, STR("bytes"), (int64_t)bytes);
    account_put_client(w, origin);
}

void account_put_left(struct json_writer *w, const struct item_origin *origin, const struct account_line *line, size_t bytes)
{
    json_begin_object(w);
    json_field_i64(w, STR("p"), (int64_t)origin->project_id);
    json_field_i64(w, STR("k"), (int64_t)origin->key_id);
    json_field_i64(w, STR("c"), line->category);
    json_field_i64(w, STR("o"), line->outcome);
    json_field_str(w, STR("r"), line->reason);
    json_field_i64(w, STR("n"), line->quantity);
    json_field_time(w, STR("at"), line->at_us);
    account_put_sender(w, origin, bytes);
    json_end_object(w);
}

static bool read_line(const struct json *v, struct arena *a, struct account_line *ret)
{
    struct str category, reason;
    if (!json_str(json_get(v, STR("category")), a, &category) || !json_i64(json_get(v, STR("quantity")), &ret->quantity) ||
        ret->quantity <= 0)
        return false;
    ret->category = category_of(category);
    if (ret->category < 0)
        ret->category = CATEGORY_DEFAULT; /* "internal", and what is newer than the table */
    if (ret->quantity > QUANTITY_MAX)
        ret->quantity = QUANTITY_MAX;
    if (!json_str(json_get(v, STR("reason")), a, &reason))
        reason = STR("");
    ret->reason = category_client_reason(reason);
    return true;
}

/* Members of a report and what they mean. */
static const struct {
    struct str name;
    enum outcome_id outcome;
    const char *reason; /* NULL: the client's */
} lists[] = {
    {{"discarded_events", 16}, OUTCOME_ID_CLIENT_DISCARD, NULL},
    {{"rate_limited_events", 19}, OUTCOME_ID_RATE_LIMITED, NULL},
    {{"filtered_events", 15}, OUTCOME_ID_FILTERED, NULL},
    {{"filtered_sampling_events", 24}, OUTCOME_ID_FILTERED, "sampled"},
};

static void put_lists(struct json_writer *w, const struct json *root, int64_t at_us, struct arena *a)
{
    unsigned n = 0;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        for (struct json_iter it = json_iter(json_get(root, lists[i].name)); n < ITEMS_MAX_ENTRIES && json_next(&it); n++) {
            struct account_line line = {.at_us = at_us, .outcome = lists[i].outcome};
            if (!read_line(it.value, a, &line))
                continue;
            if (lists[i].reason)
                line.reason = str_from(lists[i].reason);
            account_put(w, &line);
        }
    }
}

/* When it was, in microseconds of our clock; of one that does not say, its receipt. False: a time that cannot be, or too long ago. */
static bool read_time(const struct json *v, const struct item_origin *origin, struct arena *a, int64_t *ret_us)
{
    double now = (double)origin->received_us / CLOCK_US_PER_S, at;
    *ret_us = origin->received_us;
    if (json_type(v) <= JSON_NULL)
        return true;
    if (!event_seconds(v, a, &at))
        return false;
    at += (double)event_drift_us(origin->received_us, origin->sent_at_us) / CLOCK_US_PER_S;
    if (at >= now + FUTURE_MAX_S || at <= now - ITEMS_MAX_REPORT_DAYS * 86400.0)
        return false;
    *ret_us = event_us(at);
    return true;
}

static void put_dropped(struct json_writer *w, const struct item_origin *origin, size_t bytes)
{
    const struct account_line line = {.at_us = origin->received_us,
                                      .category = CATEGORY_DEFAULT,
                                      .outcome = OUTCOME_ID_INVALID,
                                      .reason = STR("timestamp"),
                                      .quantity = 1};
    account_put(w, &line);
    json_end_array(w);
    json_key(w, STR("left"));
    json_begin_array(w);
    account_put_left(w, origin, &line, bytes);
}

int client_report_read(struct str payload, const struct item_origin *origin, struct buf *out)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct json_writer w;
    int r = json_parse(payload, &doc, NULL);
    if (r < 0)
        return r;
    const struct json *root = json_root(doc);
    if (json_type(root) != JSON_OBJECT)
        return -ERR_NOT_AN_OBJECT;
    struct arena a;
    arena_init(&a);
    int64_t at_us;
    bool counts = read_time(json_get(root, STR("timestamp")), origin, &a, &at_us);
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, STR("outcomes"));
    json_begin_array(&w);
    if (counts)
        put_lists(&w, root, at_us, &a);
    else
        put_dropped(&w, origin, payload.n);
    json_end_array(&w);
    json_end_object(&w);
    arena_done(&a);
    return 0;
}
