/* merge.c: the members of all layers are sorted by key, then by layer: n log n, whatever the keys. Of a key that one layer has twice the last
 * one counts, as everywhere (json.h). A stack of fixed size stands for the nesting. */
#include "merge.h"

struct entry {
    struct str key;
    const struct json *value;
    size_t layer, index;
};
struct level {
    struct entry *entries;
    size_t n, at;
};

static int by_key(const void *pa, const void *pb)
{
    const struct entry *a = pa, *b = pb;
    int r = str_cmp(a->key, b->key);
    if (r)
        return r;
    if (a->layer != b->layer)
        return a->layer < b->layer ? -1 : 1;
    return (a->index < b->index) - (a->index > b->index);
}

static struct level open_level(struct json_writer *w, const struct json *const *layers, size_t n, struct arena *a)
{
    struct level level = {0};
    size_t members = 0;
    for (size_t i = 0; i < n; i++)
        members += json_type(layers[i]) == JSON_OBJECT ? json_count(layers[i]) : 0;
    level.entries = arena_array(a, struct entry, members + 1);
    for (size_t i = 0; i < n; i++) {
        if (json_type(layers[i]) != JSON_OBJECT)
            continue;
        size_t index = 0;
        for (struct json_iter it = json_iter(layers[i]); json_next(&it); index++) {
            struct entry e = {.value = it.value, .layer = i, .index = index};
            if (json_type(it.value) != JSON_NULL && json_str_raw(it.key, &e.key))
                level.entries[level.n++] = e;
        }
    }
    if (level.n)
        qsort(level.entries, level.n, sizeof *level.entries, by_key);
    json_begin_object(w);
    return level;
}

/* The values of one key, the first of each layer. */
static size_t take_group(struct level *level, const struct json **ret)
{
    const struct entry *first = &level->entries[level->at];
    size_t n = 0, last = SIZE_MAX;
    for (; level->at < level->n && str_eq(level->entries[level->at].key, first->key); level->at++) {
        const struct entry *e = &level->entries[level->at];
        if (e->layer != last)
            ret[n++] = e->value;
        last = e->layer;
    }
    return n;
}

void merge_objects(struct json_writer *w, const struct json *const *layers, size_t n, struct arena *a)
{
    struct level stack[MERGE_MAX_DEPTH];
    const struct json **values = arena_alloc(a, (n + 1) * sizeof *values);
    unsigned depth = 0;
    stack[depth++] = open_level(w, layers, n, a);
    while (depth > 0) {
        struct level *top = &stack[depth - 1];
        if (top->at == top->n) {
            json_end_object(w);
            depth--;
            continue;
        }
        json_key(w, top->entries[top->at].key);
        size_t found = take_group(top, values);
        if (found > 1 && json_type(values[0]) == JSON_OBJECT && depth < MERGE_MAX_DEPTH)
            stack[depth++] = open_level(w, values, found, a);
        else
            json_put_value(w, values[0]);
    }
}
