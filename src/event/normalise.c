/* normalise.c: the copy of a payload that dashboards read (contract §7.6 "→ Ours", decisions.md "data").
 *
 * Blocks are written by their own rules (blocks.h), under their modern names. Everything else stands as it came: `extra` and keys that
 * nobody knows, nulls and nesting of any depth included. Every key is written once. */
#include "blocks.h"

#include "picket/base/error.h"

static void put_message(struct block_writer *b, struct str name, const struct json *v);

/* Keys with rules. A known key that is not here stands as it came unless it is null. */
static block_put_fn *const rules[EVENT_KEY_OTHER] = {
    [EVENT_KEY_LEVEL] = block_level,         [EVENT_KEY_MESSAGE] = put_message,
    [EVENT_KEY_EXCEPTION] = block_exception, [EVENT_KEY_STACKTRACE] = block_event_stacktrace,
    [EVENT_KEY_THREADS] = block_threads,     [EVENT_KEY_BREADCRUMBS] = block_breadcrumbs,
    [EVENT_KEY_CONTEXTS] = block_contexts,   [EVENT_KEY_TAGS] = block_tags,
    [EVENT_KEY_USER] = block_user,           [EVENT_KEY_REQUEST] = block_map,
};

/* A message in object form has moved to logentry. */
static void put_message(struct block_writer *b, struct str name, const struct json *v)
{
    if (json_type(v) == JSON_STRING || json_type(v) == JSON_NUMBER)
        block_text(b, name, v);
}

static void put_known(struct block_writer *b, enum event_key key)
{
    const struct json *v = b->view->at[key];
    if (json_type(v) <= JSON_NULL || key == EVENT_KEY_ID || key == EVENT_KEY_LOGENTRY)
        return;
    if (rules[key]) {
        rules[key](b, event_key_name(key), v);
        return;
    }
    json_key(b->json, event_key_name(key));
    json_put_value(b->json, v);
}

static void put_unknown(struct block_writer *b, const struct json *root)
{
    struct members m;
    members_of_object(root, b->arena, &m);
    for (size_t i = 0; i < m.n; i++) {
        if (event_key_of(m.at[i].key) != EVENT_KEY_OTHER)
            continue;
        json_key(b->json, m.at[i].key);
        json_put_value(b->json, m.at[i].value);
    }
}

static void put_event(struct block_writer *b, const struct json *root, const struct id128 *event_id)
{
    char hex[ID_HEX + 1];
    id_hex(event_id, hex);
    json_begin_object(b->json);
    json_field_str(b->json, event_key_name(EVENT_KEY_ID), str_of(hex, ID_HEX));
    for (unsigned key = 0; key < EVENT_KEY_OTHER; key++)
        put_known(b, (enum event_key)key);
    block_logentry(b);
    put_unknown(b, root);
    json_end_object(b->json);
}

int event_normalise(struct str payload, const struct id128 *event_id, struct buf *out)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct event_view view;
    struct json_writer writer;
    struct arena arena;
    struct block_writer b = {.json = &writer, .arena = &arena, .view = &view};
    int r = json_parse(payload, &doc, NULL);
    if (r < 0)
        return r;
    r = event_view_read(json_root(doc), &view);
    if (r < 0)
        return r;
    arena_init(&arena);
    json_writer_init(&writer, out);
    b.homeless_stack = block_homeless_stack(&view, &arena);
    put_event(&b, json_root(doc), event_id);
    arena_done(&arena);
    return 0;
}
