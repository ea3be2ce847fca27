/* normalise.c: the copy of a payload that dashboards read (contract §7.6 "→ Ours", protocol §5, decisions.md "data").
 *
 * Blocks are written by their own rules (blocks.h), under their modern names. `extra` and keys that nobody knows stand as they came, nulls
 * and nesting of any depth included. Every key is written once. What was left out, cut or corrected is told in `_meta` and `errors`, which
 * come last. A copy of a copy is the same. */
#include "blocks.h"

#include "picket/base/error.h"

enum { MESSAGE_MAX = 8192 };
static void put_message(struct block_writer *b, struct str name, const struct json *v);

/* Keys with rules. A known key that is not here stands as it came unless it is null. What is written in any case is skipped here. */
static block_put_fn *const rules[EVENT_KEY_OTHER] = {
    [EVENT_KEY_ID] = block_skip,
    [EVENT_KEY_TYPE] = block_skip,
    [EVENT_KEY_TIMESTAMP] = block_skip,
    [EVENT_KEY_LEVEL] = block_skip,
    [EVENT_KEY_PLATFORM] = block_skip,
    [EVENT_KEY_ENVIRONMENT] = block_skip,
    [EVENT_KEY_LOGENTRY] = block_skip,
    [EVENT_KEY_CONTEXTS] = block_skip,
    [EVENT_KEY_TAGS] = block_skip,
    [EVENT_KEY_USER] = block_skip,
    [EVENT_KEY_MESSAGE] = put_message,
    [EVENT_KEY_EXCEPTION] = block_exception,
    [EVENT_KEY_STACKTRACE] = block_event_stacktrace,
    [EVENT_KEY_THREADS] = block_threads,
    [EVENT_KEY_BREADCRUMBS] = block_breadcrumbs,
    [EVENT_KEY_REQUEST] = block_request,
};

/* A message in object form has moved to logentry. */
static void put_message(struct block_writer *b, struct str name, const struct json *v)
{
    if (json_type(v) == JSON_STRING || json_type(v) == JSON_NUMBER)
        block_limited(b, name, v, MESSAGE_MAX, 0);
}

static void put_known(struct block_writer *b, enum event_key key)
{
    struct str name = event_key_name(key);
    const struct json *v = b->view->at[key];
    if (json_type(v) <= JSON_NULL) {
        if (key == EVENT_KEY_SDK)
            block_envelope_sdk(b);
        return;
    }
    if (rules[key]) {
        rules[key](b, name, v);
    } else if (!block_scalar(b, name, v)) {
        json_key(b->json, name);
        json_put_value(b->json, v);
    }
}

static void put_unknown(struct block_writer *b)
{
    struct members m;
    members_of_object(b->root, b->arena, &m);
    for (size_t i = 0; i < m.n; i++) {
        if (event_key_of(m.at[i].key) != EVENT_KEY_OTHER || block_scalar(b, m.at[i].key, m.at[i].value))
            continue;
        json_key(b->json, m.at[i].key);
        json_put_value(b->json, m.at[i].value);
    }
}

/* Lists that become {"values": […]} in the copy. */
static void find_bare_lists(struct block_writer *b)
{
    static const enum event_key lists[] = {EVENT_KEY_EXCEPTION, EVENT_KEY_THREADS, EVENT_KEY_BREADCRUMBS};
    _Static_assert(ARRAY_LEN(lists) <= NOTES_WRAPPED, "each may be one");
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        if (json_type(b->view->at[lists[i]]) == JSON_ARRAY)
            notes_wrap(&b->notes, event_key_name(lists[i]));
}

/* The event's own environment, or the tag of that name. */
static void put_environment(struct block_writer *b, const struct json *tag)
{
    const struct json *v = b->view->at[EVENT_KEY_ENVIRONMENT];
    if (json_type(v) <= JSON_NULL)
        v = tag;
    if (json_type(v) > JSON_NULL)
        block_environment(b, event_key_name(EVENT_KEY_ENVIRONMENT), v);
}

static void put_event(struct block_writer *b)
{
    const struct json *environment;
    char hex[ID_HEX + 1];
    id_hex(&b->row->event_id, hex);
    json_begin_object(b->json);
    json_field_str(b->json, event_key_name(EVENT_KEY_ID), str_of(hex, ID_HEX));
    block_top(b); /* first: it finds by how much times are to be corrected */
    for (unsigned key = 0; key < EVENT_KEY_OTHER; key++)
        put_known(b, (enum event_key)key);
    block_tags(b, &environment);
    put_environment(b, environment);
    block_user(b);
    block_contexts(b);
    block_logentry(b);
    put_unknown(b);
    notes_put_errors(&b->notes, b->json, json_get(b->root, STR("errors")));
    notes_put_meta(&b->notes, b->json, json_get(b->root, STR("_meta")));
    json_end_object(b->json);
}

void block_circumstances(struct block_writer *b)
{
    const struct json *platform = b->view->at[EVENT_KEY_PLATFORM], *environment;
    json_begin_object(b->json);
    if (json_type(platform) > JSON_NULL)
        block_limited(b, event_key_name(EVENT_KEY_PLATFORM), platform, EVENT_MAX_PLATFORM, 0);
    put_known(b, EVENT_KEY_SDK);
    put_known(b, EVENT_KEY_REQUEST);
    block_tags(b, &environment);
    block_user(b);
    block_contexts(b);
    json_end_object(b->json);
}

int event_normalise(struct str payload, const struct event_row *row, struct buf *out)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct event_view view;
    struct json_writer writer;
    struct arena arena;
    struct block_writer b = {.json = &writer, .arena = &arena, .view = &view, .row = row};
    int r = json_parse(payload, &doc, NULL);
    if (r < 0)
        return r;
    b.root = json_root(doc);
    r = event_view_read(b.root, &view);
    if (r < 0)
        return r;
    arena_init(&arena);
    json_writer_init(&writer, out);
    notes_init(&b.notes, &arena);
    find_bare_lists(&b);
    b.homeless_stack = block_homeless_stack(&view, &arena);
    put_event(&b);
    arena_done(&arena);
    return 0;
}
