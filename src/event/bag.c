/* bag.c: objects of anything that have a size (protocol §5.1, §5.11).
 *
 * What is spent is bytes: of keys, of values as text, and a little for each element, in document order and without nulls. The first value for which
 * too little is left is cut if it is a text, and nothing follows it, in no container: so a copy of a copy spends the same and is the same. Containers
 * below the depth become their JSON text, which is what Relay makes of them. The stack is of fixed size. */
#include "blocks.h"

enum { BAG_DEPTH = 8, ELEMENT_BYTES = 2, DOTS = 3 };

struct level {
    const struct json *value;
    struct json_iter it;
    struct str name;
    size_t written;
    bool lost; /* an element could not be written */
};

struct bag {
    struct block_writer *b;
    size_t left;
    bool full;
    unsigned depth, max_depth;
    struct level levels[BAG_DEPTH];
};

static void open_level(struct bag *k, struct str name, const struct json *v)
{
    if (json_type(v) == JSON_OBJECT)
        json_begin_object(k->b->json);
    else
        json_begin_array(k->b->json);
    notes_enter(&k->b->notes, name);
    k->levels[k->depth++] = (struct level){.value = v, .it = json_iter(v), .name = name};
}

static void close_level(struct bag *k)
{
    struct level *l = &k->levels[--k->depth];
    while (k->full && !l->lost && json_next(&l->it))
        l->lost = json_type(l->it.value) > JSON_NULL;
    if (json_type(l->value) == JSON_OBJECT)
        json_end_object(k->b->json);
    else
        json_end_array(k->b->json);
    notes_leave(&k->b->notes);
    if (l->lost)
        block_shortened(k->b, l->name, json_count(l->value));
}

/* Whole code points of at most `bytes`. */
static struct str take_bytes(struct str s, size_t bytes)
{
    while (bytes > 0 && bytes < s.n && (s.p[bytes] & 0xC0) == 0x80)
        bytes--;
    return str_take(s, bytes);
}

/* A value that is written as one text, or one number. */
static void put_leaf(struct bag *k, struct str name, const struct json *v, struct str text)
{
    enum json_type type = json_type(v);
    if (text.n > k->left)
        block_put_cut(k->b, name, text, take_bytes(text, k->left - DOTS));
    else if (type == JSON_NUMBER || type == JSON_BOOL)
        json_put_value(k->b->json, v);
    else
        json_put_str(k->b->json, text);
    k->full = text.n > k->left;
    k->left -= k->full ? k->left : text.n;
}

/* Is there room for the element, or for a part of it that is worth to be seen? */
static bool has_room(const struct bag *k, struct str key, const struct json *v, struct str text)
{
    size_t bytes = key.n + ELEMENT_BYTES;
    bool can_be_cut = json_type(v) == JSON_STRING || json_type(v) >= JSON_ARRAY;
    return bytes <= k->left && (text.n <= k->left - bytes || (can_be_cut && k->left - bytes > DOTS));
}

static void put_next(struct bag *k)
{
    struct level *l = &k->levels[k->depth - 1];
    struct str key = STR(""), text = STR("");
    bool in_object = json_type(l->value) == JSON_OBJECT;
    if (k->full || !json_next(&l->it)) {
        close_level(k);
        return;
    }
    const struct json *v = l->it.value;
    bool goes_in = json_type(v) >= JSON_ARRAY && k->depth < k->max_depth;
    if (json_type(v) <= JSON_NULL || (in_object && !json_str(l->it.key, k->b->arena, &key)) ||
        (!goes_in && !json_text(v, k->b->arena, &text)))
        return;
    if (!has_room(k, key, v, text)) {
        k->full = l->lost = true;
        return;
    }
    struct str name = in_object ? key : arena_printf(k->b->arena, "%zu", l->written);
    l->written++;
    k->left -= key.n + ELEMENT_BYTES;
    if (in_object)
        json_key(k->b->json, key);
    if (goes_in)
        open_level(k, name, v);
    else
        put_leaf(k, name, v, text);
}

void block_bag(struct block_writer *b, struct str name, const struct json *v, size_t bytes, unsigned depth)
{
    struct bag k = {.b = b, .left = bytes, .max_depth = depth};
    assert(depth > 0 && depth <= BAG_DEPTH);
    if (json_type(v) != JSON_OBJECT) {
        block_invalid(b, name, v, "expected an object");
        return;
    }
    json_key(b->json, name);
    open_level(&k, name, v);
    while (k.depth > 0)
        put_next(&k);
}
