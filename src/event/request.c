/* request.c: the HTTP request during which it happened, and the parts that contexts.response shares with it (protocol §5.8).
 *
 * Pairs (query, cookies) are lists of [name, value], as names may come more than once; headers are an object, sorted, with names spelt as
 * HTTP/1.1 does. A body that is a text and says that it is JSON or a form is read. A URL gives its query and fragment to the members
 * of that name, unless the sender filled them. */
#include "blocks.h"

#include <stdlib.h>

enum { URL_MAX = 256, URL_SLACK = 40, QUERY_PAIRS_MAX = 1000 };

/* ---- pairs */

static struct str decoded(struct str s, struct arena *a)
{
    char *dst = arena_alloc(a, s.n + 1);
    return str_of(dst, str_percent_decode(s, dst));
}

static void put_pair(struct block_writer *b, struct str name, struct str value)
{
    json_begin_array(b->json);
    json_put_str(b->json, name);
    json_put_str(b->json, value);
    json_end_array(b->json);
}

/* Of member `name` the first QUERY_PAIRS_MAX of `sent` pairs were taken. */
static void note_pairs(struct block_writer *b, struct str name, size_t sent)
{
    if (sent > QUERY_PAIRS_MAX)
        block_shortened(b, name, sent);
}

static void note_no_pairs(struct block_writer *b, struct str name, const struct json *v)
{
    const struct json *first = block_no_pair(v, b->arena);
    if (first)
        block_dropped(b, name, first, "expected pairs", json_count(v));
}

/* a=b&c=d */
static void put_query_text(struct block_writer *b, struct str member, struct str text)
{
    size_t n = 0;
    if (str_starts(text, STR("?")))
        text = str_drop(text, 1);
    for (struct str rest = text; rest.p;) {
        struct str value = str_cut(&rest, '&');
        if (value.n == 0 || n++ >= QUERY_PAIRS_MAX)
            continue;
        struct str name = str_cut(&value, '=');
        put_pair(b, decoded(name, b->arena), value.p ? decoded(value, b->arena) : STR(""));
    }
    note_pairs(b, member, n);
}

/* a=b; c=d: cookies are not decoded, their encoding is the application's own affair. */
static void put_cookie_text(struct block_writer *b, struct str member, struct str text)
{
    (void)member; /* as many as there are */
    for (struct str rest = text; rest.p;) {
        struct str value = str_trim(str_cut(&rest, ';'));
        if (value.n == 0)
            continue;
        struct str name = str_cut(&value, '=');
        put_pair(b, name, value.p ? value : STR(""));
    }
}

/* The members of an object, or of a list of pairs. */
static void put_pairs(struct block_writer *b, const struct json *v)
{
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        bool pair = json_type(v) == JSON_ARRAY;
        const struct json *key = pair ? json_at(it.value, 0) : it.key, *value = pair ? json_at(it.value, 1) : it.value;
        struct str name, text = STR("");
        if ((pair && (json_type(it.value) != JSON_ARRAY || json_count(it.value) != 2)) || !json_text(key, b->arena, &name))
            continue;
        (void)json_text(value, b->arena, &text); /* null: stays empty */
        put_pair(b, name, text);
    }
}

typedef void put_text_fn(struct block_writer *b, struct str member, struct str text);
static void put_pairs_of(struct block_writer *b, struct str name, const struct json *v, put_text_fn *put_text)
{
    struct str text;
    bool is_text = json_str(v, b->arena, &text);
    if (!is_text && json_type(v) < JSON_ARRAY) {
        block_invalid(b, name, v, "expected pairs");
        return;
    }
    note_no_pairs(b, name, v);
    json_key(b->json, name);
    json_begin_array(b->json);
    if (is_text)
        put_text(b, name, text);
    else
        put_pairs(b, v);
    json_end_array(b->json);
}

static void put_query(struct block_writer *b, struct str name, const struct json *v)
{
    put_pairs_of(b, name, v, put_query_text);
}

void block_cookies(struct block_writer *b, struct str name, const struct json *v)
{
    put_pairs_of(b, name, v, put_cookie_text);
}

/* ---- headers */

struct header {
    struct str name, value;
    size_t index;
};
struct headers {
    struct header *at; /* the arena's */
    size_t n;
};

enum letter_case { LOWER, UPPER };
static char in_case(char c, enum letter_case wanted)
{
    static const char lower[] = "abcdefghijklmnopqrstuvwxyz", upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (wanted == UPPER && c >= 'a' && c <= 'z')
        return upper[c - 'a'];
    if (wanted == LOWER && c >= 'A' && c <= 'Z')
        return lower[c - 'A'];
    return c;
}

/* user-agent: User-Agent. */
static struct str canonical(struct str name, struct arena *a)
{
    char *dst = arena_cstr(a, str_trim(name));
    size_t n = str_trim(name).n;
    for (size_t i = 0; i < n; i++)
        dst[i] = in_case(dst[i], i == 0 || dst[i - 1] == '-' ? UPPER : LOWER);
    return str_of(dst, n);
}

/* A text; the texts of a list joined by commas. */
static bool header_text(const struct json *v, struct arena *a, struct str *ret)
{
    struct str part;
    if (json_type(v) != JSON_ARRAY)
        return json_text(v, a, ret);
    AUTO_BUF struct buf joined = {0};
    for (struct json_iter it = json_iter(v); json_next(&it);)
        if (json_text(it.value, a, &part)) {
            if (joined.n > 0)
                buf_append_char(&joined, ',');
            buf_append_str(&joined, part);
        }
    *ret = arena_str(a, buf_str(&joined));
    return true;
}

static void read_headers(const struct json *v, struct arena *a, struct headers *ret)
{
    struct headers h = {.at = arena_array(a, struct header, json_count(v) + 1)};
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        bool pair = json_type(v) == JSON_ARRAY;
        const struct json *key = pair ? json_at(it.value, 0) : it.key, *value = pair ? json_at(it.value, 1) : it.value;
        struct str name;
        if ((pair && (json_type(it.value) != JSON_ARRAY || json_count(it.value) != 2)) || !json_text(key, a, &name) ||
            !header_text(value, a, &h.at[h.n].value))
            continue;
        h.at[h.n].name = canonical(name, a);
        h.at[h.n].index = h.n;
        h.n++;
    }
    *ret = h;
}

static int by_name(const void *pa, const void *pb)
{
    const struct header *a = pa, *b = pb;
    int r = str_cmp(a->name, b->name);
    return r != 0 ? r : (a->index > b->index) - (a->index < b->index);
}

/* Headers of one name lie together. */
static size_t put_header(struct block_writer *b, const struct headers *h, size_t at)
{
    AUTO_BUF struct buf joined = {0};
    size_t end = at;
    for (; end < h->n && str_eq(h->at[end].name, h->at[at].name); end++) {
        if (end > at)
            buf_append_char(&joined, ',');
        buf_append_str(&joined, h->at[end].value);
    }
    json_field_str(b->json, h->at[at].name, buf_str(&joined));
    return end;
}

/* What was scrubbed holds no cookies any more: "[Filtered]". */
static bool are_cookies(const struct header *h)
{
    return str_eq_nocase(h->name, STR("cookie")) && str_find(h->value, '=') < h->value.n;
}

void block_headers(struct block_writer *b, struct str name, const struct json *v)
{
    struct headers h;
    if (json_type(v) < JSON_ARRAY) {
        block_invalid(b, name, v, "expected pairs");
        return;
    }
    note_no_pairs(b, name, v);
    read_headers(v, b->arena, &h);
    qsort(h.at, h.n, sizeof *h.at, by_name);
    json_key(b->json, name);
    json_begin_object(b->json);
    for (size_t i = 0; i < h.n;)
        if (are_cookies(&h.at[i]))
            i++; /* they stand in `cookies` */
        else
            i = put_header(b, &h, i);
    json_end_object(b->json);
}

/* All headers of that name, joined as block_headers joins them. */
static struct str find_header(const struct json *headers, struct str name, struct arena *a)
{
    AUTO_BUF struct buf joined = {0};
    bool any = false;
    if (json_type(headers) < JSON_ARRAY)
        return STR("");
    for (struct json_iter it = json_iter(headers); json_next(&it);) {
        bool pair = json_type(headers) == JSON_ARRAY;
        const struct json *key = pair ? json_at(it.value, 0) : it.key;
        struct str sent, value;
        if ((pair && json_count(it.value) != 2) || !json_str_raw(key, &sent) || !str_eq_nocase(str_trim(sent), name) ||
            !header_text(pair ? json_at(it.value, 1) : it.value, a, &value))
            continue;
        if (any)
            buf_append_char(&joined, ',');
        buf_append_str(&joined, value);
        any = true;
    }
    return str_trim(arena_str(a, buf_str(&joined)));
}

struct str block_request_header(const struct event_view *view, struct str name, struct arena *a)
{
    return find_header(json_get(view->at[EVENT_KEY_REQUEST], STR("headers")), name, a);
}

/* ---- the body */

#define JSON_BODY STR("application/json")
#define FORM_BODY STR("application/x-www-form-urlencoded")

static bool says_json(struct str type)
{
    type = str_trim(str_take(type, str_find(type, ';')));
    return str_eq_nocase(type, JSON_BODY) || str_ends(type, STR("+json"));
}

static bool says_form(struct str type)
{
    return str_eq_nocase(str_trim(str_take(type, str_find(type, ';'))), FORM_BODY);
}

static void put_form(struct block_writer *b, struct str member, struct str text)
{
    struct members m = {.at = arena_array(b->arena, struct member, QUERY_PAIRS_MAX)};
    struct str values[QUERY_PAIRS_MAX];
    size_t n = 0;
    for (struct str rest = text; rest.p;) {
        struct str value = str_cut(&rest, '&');
        if (value.n == 0 || n++ >= QUERY_PAIRS_MAX)
            continue;
        struct str name = str_cut(&value, '=');
        values[m.n] = value.p ? decoded(value, b->arena) : STR("");
        members_add(&m, decoded(name, b->arena), NULL);
    }
    note_pairs(b, member, n);
    members_keep_first(&m, b->arena);
    json_begin_object(b->json);
    for (size_t i = 0; i < m.n; i++)
        json_field_str(b->json, m.at[i].key, values[m.at[i].index]);
    json_end_object(b->json);
}

/* Writes the body's JSON, if it is a list or an object. */
static bool put_json_body(struct block_writer *b, struct str name, struct str text)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct str start = str_trim(text);
    if (start.n == 0 || (start.p[0] != '{' && start.p[0] != '[') || json_parse(text, &doc, NULL) < 0)
        return false;
    json_key(b->json, name);
    block_clean(b, json_root(doc));
    return true;
}

/* `data`; returns what it was taken for, "" when it stands as it came. */
static struct str put_data(struct block_writer *b, const struct json *of)
{
    const struct str name = STR("data");
    const struct json *v = json_get(of, name);
    struct str type = find_header(json_get(of, STR("headers")), STR("content-type"), b->arena), text;
    if (json_type(v) <= JSON_NULL)
        return STR("");
    if (!json_str(v, b->arena, &text)) {
        json_key(b->json, name);
        block_clean(b, v);
        return STR("");
    }
    if ((type.n == 0 || says_json(type)) && put_json_body(b, name, text))
        return JSON_BODY;
    if (says_form(type)) {
        json_key(b->json, name);
        put_form(b, name, text);
        return FORM_BODY;
    }
    json_field_str(b->json, name, text);
    return STR("");
}

/* `of`: the request or response that the body belongs to. */
static void put_body(struct block_writer *b, const struct json *of)
{
    const struct str name = STR("inferred_content_type");
    const struct json *said = json_get(of, name);
    struct str type = put_data(b, of);
    if (json_type(said) > JSON_NULL)
        block_limited(b, name, said, 256, 0);
    else if (type.n > 0)
        json_field_str(b->json, name, type);
}

void block_payload(struct block_writer *b, struct str name, const struct json *v)
{
    (void)name;
    put_body(b, v);
}

/* ---- the request */

static void put_method(struct block_writer *b, struct str name, const struct json *v)
{
    enum { SHORTEST = 3, LONGEST = 32 };
    struct str s;
    bool good = json_str(v, b->arena, &s) && s.n >= SHORTEST && s.n <= LONGEST;
    char *upper = good ? arena_cstr(b->arena, s) : NULL;
    for (size_t i = 0; good && i < s.n; i++) {
        upper[i] = in_case(upper[i], UPPER);
        good = (upper[i] >= 'A' && upper[i] <= 'Z') || upper[i] == '-' || upper[i] == '_';
    }
    if (good)
        json_field_str(b->json, name, str_of(upper, s.n));
    else
        block_invalid(b, name, v, "expected a method");
}

static bool is_there(const struct json *object, struct str key)
{
    return json_type(json_get(object, key)) > JSON_NULL;
}

/* url, and what is cut off it. */
static void put_url(struct block_writer *b, const struct json *request)
{
    const struct json *v = json_get(request, STR("url"));
    struct str url, fragment, query;
    if (json_type(v) <= JSON_NULL)
        return;
    if (!json_str(v, b->arena, &url)) {
        block_invalid(b, STR("url"), v, "expected a string");
        return;
    }
    size_t at = str_find(url, '#');
    fragment = str_drop(url, at + 1);
    url = str_take(url, at);
    at = str_find(url, '?');
    query = str_drop(url, at + 1);
    url = str_take(url, at);
    block_put_text(b, STR("url"), url, URL_MAX, URL_SLACK);
    if (query.n > 0 && !is_there(request, STR("query_string"))) {
        json_key(b->json, STR("query_string"));
        json_begin_array(b->json);
        put_query_text(b, STR("query_string"), query);
        json_end_array(b->json);
    }
    if (fragment.n > 0 && !is_there(request, STR("fragment")))
        block_put_text(b, STR("fragment"), fragment, 1024, 0);
}

static void put_cookie_header(struct block_writer *b, const struct json *request)
{
    struct str text = find_header(json_get(request, STR("headers")), STR("cookie"), b->arena);
    if (str_find(text, '=') == text.n || is_there(request, STR("cookies")))
        return;
    json_key(b->json, STR("cookies"));
    json_begin_array(b->json);
    put_cookie_text(b, STR("cookies"), text);
    json_end_array(b->json);
}

void block_request(struct block_writer *b, struct str name, const struct json *v)
{
    static const struct block_rule rules[] = {
        BLOCK_RULE("url", block_skip),        BLOCK_RULE("method", put_method), BLOCK_RULE("query_string", put_query),
        BLOCK_TEXT("fragment", 1024, 0),      BLOCK_RULE("data", block_skip),   BLOCK_RULE("headers", block_headers),
        BLOCK_RULE("cookies", block_cookies), BLOCK_RULE("env", block_map),     BLOCK_RULE("inferred_content_type", block_skip),
        BLOCK_TEXT("protocol", 64, 0),        BLOCK_TEXT("api_target", 64, 0),
    };
    if (json_type(v) != JSON_OBJECT) {
        block_invalid(b, name, v, "expected an object");
        return;
    }
    json_key(b->json, name);
    json_begin_object(b->json);
    notes_enter(&b->notes, name);
    put_url(b, v);
    block_members(b, v, rules, ARRAY_LEN(rules));
    put_cookie_header(b, v);
    put_body(b, v);
    notes_leave(&b->notes);
    json_end_object(b->json);
}
