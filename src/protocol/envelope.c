/* envelope.c: framing (protocol §2.1, whose rules are cited by number).
 *
 * The body is never copied: headers and payloads are slices of it. A header is found by asking the JSON layer for the first value of
 * what is left, so it may have blanks before it and span lines (rule 2); what it must not be is longer than ENVELOPE_MAX_HEADER, which
 * bounds what parsing it costs. Only the few strings of the envelope's header that outlive its document are copied to the caller's arena.
 *
 * Once framing is lost nothing behind that point can be trusted, so every failure ends the parse. Too many items are no such loss. */
#include "picket/protocol/envelope.h"

#include "picket/base/clock.h"
#include "picket/base/error.h"

static size_t offset(const struct envelope *e)
{
    return e->body.n - e->rest.n;
}

static void skip_blank(struct envelope *e)
{
    size_t i = 0;
    while (i < e->rest.n && memchr(" \t\r\n", e->rest.p[i], 4))
        i++;
    e->rest = str_drop(e->rest, i);
}

/* A header is one JSON object in UTF-8 (rules 1 and 9), ended by a newline or the end of the body. Its text goes to *ret_text. */
static int read_header(struct envelope *e, int bad_header, struct json_doc **ret, struct str *ret_text)
{
    AUTO_JSON struct json_doc *doc = NULL;
    size_t used;
    int r = json_parse_prefix(str_take(e->rest, ENVELOPE_MAX_HEADER), &doc, &used);
    if (r < 0)
        return bad_header;
    struct str text = str_take(e->rest, used);
    if (json_type(json_root(doc)) != JSON_OBJECT || !str_is_utf8(text))
        return bad_header;
    struct str rest = str_drop(e->rest, used);
    if (rest.n && rest.p[0] != '\n') {
        e->at += used;
        return -ERR_NO_NEWLINE;
    }
    e->rest = str_drop(rest, 1);
    *ret_text = text;
    *ret = TAKE_PTR(doc);
    return 0;
}

static struct str copied_string(const struct json *v, struct arena *a)
{
    struct str s;
    return json_str(v, a, &s) ? arena_str(a, s) : STR("");
}

/* Absent, null and the nil id name no event. */
static int read_event_id(const struct json *v, struct arena *a, struct envelope_header *h)
{
    struct str text;
    if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
        return 0;
    if (!json_str(v, a, &text) || !id_parse(text, &h->event_id))
        return -ERR_BAD_EVENT_ID;
    h->has_event_id = !id_is_nil(&h->event_id);
    return 0;
}

int envelope_open(struct str body, struct arena *arena, struct envelope *ret)
{
    *ret = (struct envelope){.body = body, .rest = body, .arena = arena};
    AUTO_JSON struct json_doc *doc = NULL;
    struct envelope_header *h = &ret->header;
    struct str sent_at;
    if (str_starts(body, STR("\xEF\xBB\xBF")))
        ret->rest = str_drop(body, 3);
    skip_blank(ret);
    ret->at = offset(ret);
    if (ret->rest.n == 0)
        return -ERR_EMPTY_ENVELOPE;
    int r = read_header(ret, -ERR_BAD_ENVELOPE_HEADER, &doc, &h->json);
    if (r < 0)
        return r;
    h->dsn = copied_string(json_get(json_root(doc), STR("dsn")), arena);
    if (json_str(json_get(json_root(doc), STR("sent_at")), arena, &sent_at) && !clock_parse(sent_at, &h->sent_at_us))
        h->sent_at_us = 0; /* §2.2: invalid is ignored */
    return read_event_id(json_get(json_root(doc), STR("event_id")), arena, h);
}

/* False: no length, or nothing that is one (rule 3). A number beyond every body is a length: the body is cut short. */
static bool explicit_length(const struct json *v, uint64_t *ret)
{
    int64_t n;
    double large;
    if (json_i64(v, &n)) {
        *ret = (uint64_t)n;
        return n >= 0;
    }
    *ret = UINT64_MAX;
    return json_f64(v, &large) && large >= 0x1p63;
}

/* Rules 4, 5 and 7. */
static int read_payload(struct envelope *e, const struct json *header, struct str *ret)
{
    uint64_t length;
    if (!explicit_length(json_get(header, STR("length")), &length))
        length = str_find(e->rest, '\n');
    if (length > e->rest.n)
        return -ERR_TRUNCATED;
    struct str payload = str_take(e->rest, length), rest = str_drop(e->rest, length);
    if (rest.n && rest.p[0] != '\n') {
        e->at = offset(e) + length;
        return -ERR_NO_NEWLINE;
    }
    e->rest = str_drop(rest, 1);
    *ret = payload;
    return 0;
}

/* As if it were one. */
static void take_rest(struct envelope *e, struct envelope_item *ret)
{
    *ret = (struct envelope_item){
        .kind = item_kind_of(STR("")), .header = str_take(e->rest, 0), .payload = e->rest, .at = offset(e), .is_surplus = true};
    e->rest = str_drop(e->rest, e->rest.n);
    e->n_items++;
}

int envelope_next(struct envelope *e, struct envelope_item *ret)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct envelope_item item = {0};
    struct str type;
    skip_blank(e); /* rule 6 */
    e->at = offset(e);
    if (e->rest.n == 0)
        return 0;
    if (e->n_items == ENVELOPE_MAX_TOLD) {
        take_rest(e, ret);
        return 1;
    }
    int r = read_header(e, -ERR_BAD_ITEM_HEADER, &doc, &item.header);
    if (r < 0)
        return r;
    e->at = item.at = offset(e);
    r = read_payload(e, json_root(doc), &item.payload);
    if (r < 0)
        return r;
    item.kind = item_kind_of(json_str_raw(json_get(json_root(doc), STR("type")), &type) ? type : STR(""));
    item.is_surplus = e->n_items++ >= ENVELOPE_MAX_ITEMS;
    *ret = item;
    return 1;
}
