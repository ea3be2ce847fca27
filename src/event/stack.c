/* stack.c: exceptions, threads and their stack traces, in the types that dashboards demand (contract §7.6, protocol §5.11). */
#include "blocks.h"

/* Lines of source around a frame. Their number is what places them, so a null among them becomes an empty line. */
static void put_lines(struct block_writer *b, struct str name, const struct json *v)
{
    if (json_type(v) != JSON_ARRAY)
        return;
    json_key(b->json, name);
    json_begin_array(b->json);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct str line = STR("");
        (void)json_text(it.value, b->arena, &line); /* false for null: stays empty */
        json_put_str(b->json, line);
    }
    json_end_array(b->json);
}

/* Local variables: an object, or a list that becomes one keyed by position (protocol §5.5). */
static void put_vars(struct block_writer *b, struct str name, const struct json *v)
{
    size_t index = 0;
    if (json_type(v) != JSON_ARRAY) {
        block_map(b, name, v);
        return;
    }
    json_key(b->json, name);
    json_begin_object(b->json);
    for (struct json_iter it = json_iter(v); json_next(&it); index++) {
        if (json_type(it.value) <= JSON_NULL)
            continue;
        json_key(b->json, arena_printf(b->arena, "%zu", index));
        block_clean(b, it.value);
    }
    json_end_object(b->json);
}

/* Go sends frames with abs_path alone, but a dashboard shows the filename. */
static void put_frame(struct block_writer *b, const struct json *v)
{
    static const struct block_rule rules[] = {
        {STR("filename"), block_text},     {STR("abs_path"), block_text},    {STR("function"), block_text}, {STR("module"), block_text},
        {STR("context_line"), block_text}, {STR("lineno"), block_number},    {STR("colno"), block_number},  {STR("in_app"), block_bool},
        {STR("pre_context"), put_lines},   {STR("post_context"), put_lines}, {STR("vars"), put_vars},
    };
    block_members(b, v, rules, ARRAY_LEN(rules));
    if (json_type(json_get(v, STR("filename"))) <= JSON_NULL)
        block_text(b, STR("filename"), json_get(v, STR("abs_path")));
}

static void put_frames(struct block_writer *b, struct str name, const struct json *v)
{
    if (json_type(v) != JSON_ARRAY)
        return;
    json_key(b->json, name);
    json_begin_array(b->json);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        if (json_type(it.value) != JSON_OBJECT)
            continue; /* frames may be null */
        json_begin_object(b->json);
        put_frame(b, it.value);
        json_end_object(b->json);
    }
    json_end_array(b->json);
}

void block_stacktrace(struct block_writer *b, struct str name, const struct json *v)
{
    static const struct block_rule rules[] = {{STR("frames"), put_frames}};
    block_object(b, name, v, rules, ARRAY_LEN(rules));
}

const struct json *block_homeless_stack(const struct event_view *view, struct arena *a)
{
    const struct json **elements, *stack = view->at[EVENT_KEY_STACKTRACE];
    size_t n = block_elements(view->at[EVENT_KEY_EXCEPTION], a, &elements);
    if (n != 1 || json_type(stack) != JSON_OBJECT || json_type(json_get(elements[0], STR("stacktrace"))) == JSON_OBJECT)
        return NULL;
    return stack;
}

void block_event_stacktrace(struct block_writer *b, struct str name, const struct json *v)
{
    if (!b->homeless_stack)
        block_stacktrace(b, name, v);
}

static void put_exception(struct block_writer *b, const struct json *v)
{
    static const struct block_rule rules[] = {
        {STR("type"), block_text},
        {STR("value"), block_text},
        {STR("module"), block_text},
        {STR("stacktrace"), block_stacktrace},
        {STR("raw_stacktrace"), block_stacktrace},
        {STR("mechanism"), block_map},
    };
    block_members(b, v, rules, ARRAY_LEN(rules));
    if (b->homeless_stack)
        block_stacktrace(b, event_key_name(EVENT_KEY_STACKTRACE), b->homeless_stack);
}

void block_exception(struct block_writer *b, struct str name, const struct json *v)
{
    const struct json **elements;
    if (block_elements(v, b->arena, &elements) > 0) /* dashboards read the first without looking whether there is one */
        block_values(b, name, v, put_exception);
}

static void put_thread(struct block_writer *b, const struct json *v)
{
    static const struct block_rule rules[] = {
        {STR("name"), block_text},
        {STR("crashed"), block_bool},
        {STR("current"), block_bool},
        {STR("stacktrace"), block_stacktrace},
    };
    block_members(b, v, rules, ARRAY_LEN(rules));
}

void block_threads(struct block_writer *b, struct str name, const struct json *v)
{
    block_values(b, name, v, put_thread);
}
