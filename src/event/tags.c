/* tags.c: the tags of an event (protocol §5.6).
 *
 * A key is trimmed, its blanks become dashes, and what then is no [A-Za-z0-9_.:-]{1,200} is left out. A value is trimmed text on one line, cut
 * at 200 characters. Some names say what the event says elsewhere and are dropped; `environment` serves an event that has none. Keys may
 * become equal only here, so what is there twice is dropped after that: of pairs the first wins. */
#include "blocks.h"
#include "facets.h"

enum { KEY_MAX = 200, VALUE_MAX = 200 };

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == ':' || c == '-';
}

static struct str with_dashes(struct str s, struct arena *a)
{
    char *key = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++)
        if (key[i] == ' ')
            key[i] = '-';
    return str_of(key, s.n);
}

static bool read_key(struct str sent, struct arena *a, struct str *ret)
{
    struct str s = str_trim(sent);
    bool has_blank = false;
    if (s.n == 0 || s.n > KEY_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        has_blank |= s.p[i] == ' ';
        if (s.p[i] != ' ' && !is_key_char(s.p[i]))
            return false;
    }
    *ret = has_blank ? with_dashes(s, a) : s;
    return true;
}

/* Lenient strings (protocol §5.5). Lists and objects are more than the protocol takes: they are kept as JSON. */
static bool read_value(const struct json *v, struct arena *a, struct str *ret)
{
    bool is;
    int64_t whole;
    if (json_bool(v, &is))
        *ret = is ? STR("True") : STR("False");
    else if (json_i64(v, &whole))
        *ret = arena_printf(a, "%lld", (long long)whole);
    else
        return json_text(v, a, ret);
    return true;
}

static bool is_reserved(struct str key)
{
    static const struct str names[] = {STR("release"), STR("dist"), STR("user"), STR("filename"), STR("function"), STR("environment")};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i], key))
            return true;
    return false;
}

static struct str on_one_line(struct str s, struct arena *a)
{
    if (str_find(s, '\n') == s.n && str_find(s, '\r') == s.n)
        return s;
    char *line = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++)
        if (line[i] == '\n' || line[i] == '\r')
            line[i] = ' ';
    return str_of(line, s.n);
}

static void put_tag(struct block_writer *b, struct str key, const struct json *v)
{
    struct str sent, value;
    if (!read_value(v, b->arena, &sent))
        return;
    sent = str_trim(sent);
    value = on_one_line(sent, b->arena);
    if (value.n == 0) {
        block_invalid(b, key, v, "expected a value that is not empty");
        return;
    }
    if (value.p != sent.p)
        block_invalid(b, key, v, "expected a value without line breaks");
    block_put_text(b, key, value, VALUE_MAX, 0);
}

static void read_tags(struct block_writer *b, const struct json *v, struct members *ret)
{
    struct members sent, tags;
    struct str key;
    if (json_type(v) == JSON_OBJECT)
        members_of_object(v, b->arena, &sent);
    else
        members_of_pairs(v, b->arena, &sent);
    tags = (struct members){.at = arena_array(b->arena, struct member, sent.n + 3)}; /* and two of our own */
    for (size_t i = 0; i < sent.n; i++) {
        if (read_key(sent.at[i].key, b->arena, &key))
            members_add(&tags, key, sent.at[i].value);
        else
            block_invalid(b, sent.at[i].key, sent.at[i].value, "expected a name of letters, digits and _.:-");
    }
    *ret = tags;
}

void block_tags(struct block_writer *b, const struct json **ret_environment)
{
    const struct json *v = b->view->at[EVENT_KEY_TAGS], *dropped = block_no_pair(v, b->arena);
    const struct json *site = json_get(b->root, STR("site")), *server = b->view->at[EVENT_KEY_SERVER_NAME];
    struct members tags;
    *ret_environment = NULL;
    if (json_type(v) > JSON_NULL && json_type(v) < JSON_ARRAY)
        block_invalid(b, event_key_name(EVENT_KEY_TAGS), v, "expected tags");
    if (dropped)
        block_dropped(b, event_key_name(EVENT_KEY_TAGS), dropped, "expected pairs", json_count(v));
    if (json_type(v) < JSON_ARRAY && json_type(server) != JSON_STRING && json_type(site) != JSON_STRING)
        return;
    json_key(b->json, event_key_name(EVENT_KEY_TAGS));
    json_begin_object(b->json);
    notes_enter(&b->notes, event_key_name(EVENT_KEY_TAGS));
    read_tags(b, v, &tags);
    if (json_type(server) == JSON_STRING)
        members_add(&tags, event_key_name(EVENT_KEY_SERVER_NAME), server);
    if (json_type(site) == JSON_STRING)
        members_add(&tags, STR("site"), site);
    members_keep_first(&tags, b->arena);
    for (size_t i = 0; i < tags.n; i++) {
        if (str_eq(tags.at[i].key, event_key_name(EVENT_KEY_ENVIRONMENT)))
            *ret_environment = tags.at[i].value;
        if (!is_reserved(tags.at[i].key))
            put_tag(b, tags.at[i].key, tags.at[i].value);
    }
    notes_leave(&b->notes);
    json_end_object(b->json);
}

static void read_tag(struct event_facets *f, const struct json *sent_key, const struct json *sent_value, struct arena *a)
{
    struct str key, value;
    if (json_str(sent_key, a, &key) && read_key(key, a, &key) && !is_reserved(key) && read_value(sent_value, a, &value))
        event_facets_add(f, key, on_one_line(str_trim(value), a));
}

/* Without a list of members in between: few events name a tag twice, and then the first counts. */
void event_tags_read(const struct json *tags, struct arena *a, struct event_facets *f)
{
    for (struct json_iter it = json_iter(tags); json_next(&it);) {
        if (it.key)
            read_tag(f, it.key, it.value, a);
        else if (json_type(it.value) == JSON_ARRAY)
            read_tag(f, json_at(it.value, 0), json_at(it.value, 1), a);
    }
}
