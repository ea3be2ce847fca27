/* scrub_meta.c: remarks about what was changed, where protocol §5.12 puts them: `_meta` mirrors the payload, and at the node of a changed
 * value the key "" holds {"rem": [[rule, "s", from, to]]}. What the SDK said there itself stays.
 *
 * Notes come in document order, so a way and the one before it share their beginning: the tree is written by closing nodes up to where
 * the ways part and opening nodes from there. Nothing is built in memory. */
#include "scrub_parts.h"

struct node {
    const struct json *theirs; /* the same node of the SDK's own _meta, or NULL */
    struct str name;
    size_t first; /* the first note below it */
};

struct tree {
    const struct scrub_notes *notes;
    struct json_writer *w;
    struct arena *arena;
    struct node open[SCRUB_MAX_PATH + 1];
    size_t depth; /* open nodes; open[0] is _meta itself */
};

static struct str step_name(const struct scrub_step *step, struct arena *a)
{
    struct str name;
    return json_str(step->key, a, &name) ? name : arena_printf(a, "%zu", step->index);
}

static bool is_short(const struct scrub_step *path, size_t n_path)
{
    struct str key;
    for (size_t i = 0; i < n_path; i++)
        if (json_str_raw(path[i].key, &key) && (key.n > SCRUB_MAX_NOTE_KEY || key.n == 0)) /* "" would mean the node itself */
            return false;
    return n_path <= SCRUB_MAX_PATH;
}

void scrub_notes_add(struct scrub_notes *notes, const struct scrub_step *path, size_t n_path, const struct scrub_remarks *remarks)
{
    struct arena *a = notes->arena;
    if (notes->n == SCRUB_MAX_NOTES || !is_short(path, n_path))
        return;
    if (notes->n == 0)
        notes->at = arena_alloc(a, SCRUB_MAX_NOTES * sizeof *notes->at);
    struct str *names = arena_array(a, struct str, n_path);
    struct scrub_remark *kept = arena_array(a, struct scrub_remark, remarks->n);
    for (size_t i = 0; i < n_path; i++)
        names[i] = step_name(&path[i], a);
    memcpy(kept, remarks->at, remarks->n * sizeof *kept);
    notes->at[notes->n++] = (struct scrub_note){.names = names, .n_names = n_path, .remarks = kept, .n_remarks = remarks->n};
}

static void put_remark(struct json_writer *w, const struct scrub_remark *remark)
{
    json_begin_array(w);
    json_put_str(w, scrub_reason_id(remark));
    json_put_str(w, remark->reason == SCRUB_REMOVED ? STR("x") : STR("s"));
    if (remark->reason != SCRUB_REMOVED) {
        json_put_i64(w, (int64_t)remark->from);
        json_put_i64(w, (int64_t)remark->to);
    }
    json_end_array(w);
}

/* The key "" of a changed value. */
static void put_remarks(struct tree *t, const struct json *theirs, const struct scrub_note *note)
{
    json_key(t->w, STR(""));
    json_begin_object(t->w);
    if (json_type(theirs) == JSON_OBJECT) {
        for (struct json_iter it = json_iter(theirs); json_next(&it);) {
            struct str key;
            if (!json_str_raw(it.key, &key) || str_eq(key, STR("rem")) || str_eq(key, STR("val")))
                continue; /* val: the original value that had to go */
            json_key(t->w, key);
            json_put_value(t->w, it.value);
        }
    }
    json_key(t->w, STR("rem"));
    json_begin_array(t->w);
    const struct json *rem = json_get(theirs, STR("rem"));
    if (json_type(rem) == JSON_ARRAY)
        for (struct json_iter it = json_iter(rem); json_next(&it);)
            json_put_value(t->w, it.value);
    for (size_t i = 0; i < note->n_remarks; i++)
        put_remark(t->w, &note->remarks[i]);
    json_end_array(t->w);
    json_end_object(t->w);
}

/* Whether one of the notes [first, last] has written `name` below the node at `depth`. */
static bool is_written(const struct tree *t, size_t depth, size_t first, size_t last, struct str name)
{
    for (size_t i = first; i <= last; i++) {
        const struct scrub_note *note = &t->notes->at[i];
        if (note->n_names > depth ? str_eq(note->names[depth], name) : name.n == 0)
            return true;
    }
    return false;
}

/* Closes the innermost node; `last` is the last note below it. */
static void close_node(struct tree *t, size_t last)
{
    size_t depth = --t->depth;
    const struct node *node = &t->open[depth];
    if (json_type(node->theirs) == JSON_OBJECT) {
        for (struct json_iter it = json_iter(node->theirs); json_next(&it);) {
            struct str key;
            if (!json_str(it.key, t->arena, &key) || is_written(t, depth, node->first, last, key))
                continue;
            json_key(t->w, key);
            json_put_value(t->w, it.value);
        }
    }
    json_end_object(t->w);
}

static void open_node(struct tree *t, size_t note)
{
    struct str name = t->notes->at[note].names[t->depth - 1];
    const struct json *theirs = json_get(t->open[t->depth - 1].theirs, name);
    json_key(t->w, name);
    json_begin_object(t->w);
    t->open[t->depth++] = (struct node){.theirs = theirs, .name = name, .first = note};
}

void scrub_notes_put(const struct scrub_notes *notes, const struct json *theirs, struct json_writer *w)
{
    struct tree t = {.notes = notes, .w = w, .arena = notes->arena, .open = {{.theirs = theirs}}, .depth = 1};
    json_begin_object(w);
    for (size_t i = 0; i < notes->n; i++) {
        const struct scrub_note *note = &notes->at[i];
        size_t shared = 0;
        while (shared + 1 < t.depth && shared < note->n_names && str_eq(t.open[shared + 1].name, note->names[shared]))
            shared++;
        while (t.depth > shared + 1)
            close_node(&t, i - 1);
        if (shared == note->n_names && i > 0)
            continue; /* a key that was there twice */
        while (t.depth <= note->n_names)
            open_node(&t, i);
        put_remarks(&t, json_get(t.open[t.depth - 1].theirs, STR("")), note);
    }
    while (t.depth > 0)
        close_node(&t, notes->n - 1);
}
