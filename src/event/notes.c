/* notes.c: notes are collected while the copy of an event is written, because `_meta` is a tree beside the event that can only be written
 * when all of them are known. Sorted by path they are that tree: the children of a node lie together.
 *
 * Senders have a `_meta` of their own, of things that they cut. It is merged: its nodes stand as they came, in their order, ours are added.
 * put_node calls itself, but never deeper than the path of a note, which is NOTE_DEPTH; what lies beside the paths is copied whole. A note
 * that is already there is not added again, so that a copy of a copy is the same. */
#include "notes.h"

#include <stdlib.h>

#include "picket/base/clock.h"

enum { VALUE_MAX = 500 }; /* bytes of an original value that are repeated */

void notes_init(struct notes *n, struct arena *a)
{
    *n = (struct notes){.arena = a};
}

void notes_enter(struct notes *n, struct str key)
{
    if (n->depth < NOTE_DEPTH)
        n->at[n->depth] = key;
    n->depth++;
}

void notes_enter_index(struct notes *n, size_t index)
{
    notes_enter(n, arena_printf(n->arena, "%zu", index));
}

void notes_leave(struct notes *n)
{
    assert(n->depth > 0);
    n->depth--;
}

/* A key "" cannot be told from the note of its parent. */
static bool can_be_told(const struct notes *n, struct str key)
{
    if (n->n == NOTES_MAX || n->depth >= NOTE_DEPTH || key.n == 0)
        return false;
    for (unsigned i = 0; i < n->depth; i++)
        if (n->at[i].n == 0)
            return false;
    return true;
}

void notes_wrap(struct notes *n, struct str key)
{
    assert(n->wrapped_n < NOTES_WRAPPED);
    n->wrapped[n->wrapped_n++] = key;
}

struct note *notes_add(struct notes *n, struct str key)
{
    n->spill = (struct note){0};
    if (!can_be_told(n, key))
        return &n->spill;
    struct str *path = arena_array(n->arena, struct str, n->depth + 1);
    memcpy(path, n->at, n->depth * sizeof *path);
    path[n->depth] = key;
    if (!n->list)
        n->list = arena_array(n->arena, struct note, NOTES_MAX);
    struct note *note = &n->list[n->n++];
    *note = (struct note){.path = path, .path_n = n->depth + 1};
    return note;
}

/* Numbers and booleans, and strings that are short. */
static bool is_short(const struct json *v)
{
    struct str s;
    if (json_str_raw(v, &s))
        return s.n <= VALUE_MAX;
    return json_type(v) == JSON_NUMBER || json_type(v) == JSON_BOOL;
}

struct note *notes_error(struct notes *n, struct str key, struct str error, struct str reason, const struct json *value)
{
    struct note *note = notes_add(n, key);
    note->error = error;
    note->reason = reason;
    note->value = is_short(value) ? value : NULL;
    return note;
}

/* ---- errors */

static struct str path_text(const struct note *note, struct arena *a)
{
    AUTO_BUF struct buf text = {0};
    for (unsigned i = 0; i < note->path_n; i++) {
        if (i > 0)
            buf_append_char(&text, '.');
        buf_append_str(&text, note->path[i]);
    }
    return arena_str(a, buf_str(&text));
}

static bool is_text(const struct json *v, struct str wanted)
{
    struct str s;
    return json_str_raw(v, &s) && str_eq(s, wanted);
}

static void put_times(struct json_writer *w, const struct note *note)
{
    json_field_time(w, STR("sdk_time"), note->sdk_us);
    json_field_time(w, STR("server_time"), note->server_us);
}

static void put_error(struct json_writer *w, const struct note *note, struct str name)
{
    json_begin_object(w);
    json_field_str(w, STR("type"), note->error);
    json_field_str(w, STR("name"), name);
    if (note->value) {
        json_key(w, STR("value"));
        json_put_value(w, note->value);
    }
    if (note->timed)
        put_times(w, note);
    json_end_object(w);
}

/* An error that is to be written, unless the sender's list has it. */
struct told {
    struct str name;
    bool already;
};

/* One pass over what may be a very long list. */
static void find_told(const struct notes *n, const struct json *sent, struct told *told)
{
    for (unsigned i = 0; i < n->n; i++)
        told[i].name = path_text(&n->list[i], n->arena);
    if (json_type(sent) != JSON_ARRAY)
        return;
    for (struct json_iter it = json_iter(sent); json_next(&it);) {
        struct str type, name;
        if (!json_str_raw(json_get(it.value, STR("name")), &name) || !json_str_raw(json_get(it.value, STR("type")), &type))
            continue;
        for (unsigned i = 0; i < n->n; i++)
            told[i].already |= str_eq(told[i].name, name) && str_eq(n->list[i].error, type);
    }
}

void notes_put_errors(struct notes *n, struct json_writer *w, const struct json *sent)
{
    bool any = json_type(sent) == JSON_ARRAY;
    for (unsigned i = 0; i < n->n; i++)
        any |= n->list[i].error.n > 0;
    if (!any)
        return;
    struct told *told = arena_array(n->arena, struct told, n->n + 1);
    find_told(n, sent, told);
    json_key(w, STR("errors"));
    json_begin_array(w);
    if (json_type(sent) == JSON_ARRAY)
        for (struct json_iter it = json_iter(sent); json_next(&it);)
            if (json_type(it.value) == JSON_OBJECT)
                json_put_value(w, it.value);
    for (unsigned i = 0; i < n->n; i++)
        if (n->list[i].error.n > 0 && !told[i].already)
            put_error(w, &n->list[i], told[i].name);
    json_end_array(w);
}

/* ---- _meta */

static int by_path(const void *pa, const void *pb)
{
    const struct note *a = pa, *b = pb;
    for (unsigned i = 0; i < a->path_n && i < b->path_n; i++) {
        int r = str_cmp(a->path[i], b->path[i]);
        if (r != 0)
            return r;
    }
    if (a->path_n != b->path_n)
        return a->path_n < b->path_n ? -1 : 1;
    return str_cmp(a->error, b->error);
}

/* Notes [from, to) share their first `depth` keys. */
struct branch {
    struct notes *notes;
    unsigned from, to, depth;
};

/* How many notes, from `at` on, are about the node itself or share its next key. */
static unsigned same_key(const struct branch *b, unsigned at)
{
    const struct note *list = b->notes->list;
    unsigned end = at + 1;
    while (end < b->to && list[end].path_n > b->depth && str_eq(list[end].path[b->depth], list[at].path[b->depth]))
        end++;
    return end - at;
}

static unsigned own_notes(const struct branch *b)
{
    unsigned n = 0;
    while (b->from + n < b->to && b->notes->list[b->from + n].path_n == b->depth)
        n++;
    return n;
}

/* The notes below member `key`; false: none. A binary search: the sender's tree may have a hundred thousand members. */
static bool child_branch(const struct branch *b, struct str key, struct branch *ret)
{
    const struct note *list = b->notes->list;
    unsigned low = b->from + own_notes(b), high = b->to;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (str_cmp(list[middle].path[b->depth], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == b->to || !str_eq(list[low].path[b->depth], key))
        return false;
    *ret = (struct branch){.notes = b->notes, .from = low, .to = low + same_key(b, low), .depth = b->depth + 1};
    return true;
}

static bool is_in_meta(const struct json *err, struct str kind)
{
    if (json_type(err) == JSON_ARRAY)
        for (struct json_iter it = json_iter(err); json_next(&it);)
            if (is_text(it.value, kind) || (json_type(it.value) == JSON_ARRAY && is_text(json_at(it.value, 0), kind)))
                return true;
    return false;
}

static void put_all(struct json_writer *w, const struct json *list)
{
    if (json_type(list) == JSON_ARRAY)
        for (struct json_iter it = json_iter(list); json_next(&it);)
            json_put_value(w, it.value);
}

static void put_kind(struct json_writer *w, const struct note *note)
{
    if (!note->timed && note->reason.n == 0) {
        json_put_str(w, note->error);
        return;
    }
    json_begin_array(w);
    json_put_str(w, note->error);
    json_begin_object(w);
    if (note->reason.n > 0)
        json_field_str(w, STR("reason"), note->reason);
    if (note->timed)
        put_times(w, note);
    json_end_object(w);
    json_end_array(w);
}

/* "err" and "rem": the sender's, then ours. */
static void put_lists(struct json_writer *w, const struct note *notes, unsigned n, const struct json *sent)
{
    const struct json *err = json_get(sent, STR("err")), *rem = json_get(sent, STR("rem"));
    bool has_err = json_type(err) == JSON_ARRAY, has_rem = json_type(rem) == JSON_ARRAY;
    for (unsigned i = 0; i < n; i++) {
        has_err |= notes[i].error.n > 0;
        has_rem |= notes[i].cut;
    }
    if (has_rem) {
        json_key(w, STR("rem"));
        json_begin_array(w);
        put_all(w, rem);
        for (unsigned i = 0; i < n; i++) {
            if (!notes[i].cut)
                continue;
            json_begin_array(w);
            json_put_str(w, STR("!limit"));
            json_put_str(w, STR("s"));
            json_put_i64(w, notes[i].from);
            json_put_i64(w, notes[i].to);
            json_end_array(w);
        }
        json_end_array(w);
    }
    if (has_err) {
        json_key(w, STR("err"));
        json_begin_array(w);
        put_all(w, err);
        for (unsigned i = 0; i < n; i++)
            if (notes[i].error.n > 0 && !is_in_meta(err, notes[i].error))
                put_kind(w, &notes[i]);
        json_end_array(w);
    }
}

/* What is said about the node itself: {rem, err, len, val}. */
static void put_own(struct json_writer *w, const struct branch *b, const struct json *sent)
{
    const struct note *notes = &b->notes->list[b->from];
    unsigned n = own_notes(b);
    const struct json *len = json_get(sent, STR("len")), *val = json_get(sent, STR("val"));
    json_begin_object(w);
    put_lists(w, notes, n, sent);
    if (len) {
        json_key(w, STR("len"));
        json_put_value(w, len);
    }
    for (unsigned i = 0; i < n && !len; i++)
        if (notes[i].cut || notes[i].counted) {
            json_field_i64(w, STR("len"), notes[i].len);
            break;
        }
    if (!val)
        for (unsigned i = 0; i < n && !val; i++)
            val = notes[i].value;
    if (val) {
        json_key(w, STR("val"));
        json_put_value(w, val);
    }
    json_end_object(w);
}

static void put_node(struct json_writer *w, const struct branch *b, const struct json *sent);

/* What the sender says about the elements of a bare list is said about `values` in the copy. */
static void put_wrapped(struct json_writer *w, const struct branch *b, const struct json *sent)
{
    struct branch values;
    json_begin_object(w);
    if (own_notes(b) > 0) {
        json_key(w, STR(""));
        put_own(w, b, NULL);
    }
    json_key(w, STR("values"));
    if (child_branch(b, STR("values"), &values))
        put_node(w, &values, sent);
    else
        json_put_value(w, sent);
    json_end_object(w);
}

/* Keys whose members are not copied as they came have a slot each: first the lists that were wrapped, then those with notes below them. */
enum { AS_IT_CAME = -1 };

static bool is_wrapped(int slot)
{
    return slot >= 0 && slot < NOTES_WRAPPED;
}

/* *ret: the notes below member `key`, perhaps none. */
static int slot_of(const struct branch *b, struct str key, struct branch *ret)
{
    bool has_notes = child_branch(b, key, ret);
    if (!has_notes)
        *ret = (struct branch){.notes = b->notes, .depth = b->depth + 1};
    for (unsigned i = 0; b->depth == 0 && i < b->notes->wrapped_n; i++)
        if (str_eq(b->notes->wrapped[i], key))
            return (int)i;
    return has_notes ? NOTES_WRAPPED + (int)(ret->from - b->from) : AS_IT_CAME;
}

/* The member that counts of each slot, which is the last one. In one pass: a hundred thousand may have the same key. */
static const struct json **find_last(const struct branch *b, const struct json *sent)
{
    const struct json **last = arena_array(b->notes->arena, const struct json *, NOTES_WRAPPED + b->to - b->from);
    struct branch child;
    struct str key;
    if (sent)
        for (struct json_iter it = json_iter(sent); json_next(&it);) {
            int slot = json_str_raw(it.key, &key) ? slot_of(b, key, &child) : AS_IT_CAME;
            if (slot != AS_IT_CAME)
                last[slot] = it.value;
        }
    return last;
}

static void put_sent(struct json_writer *w, const struct branch *b, const struct json *sent, const struct json *const *last)
{
    struct branch child;
    struct str key;
    for (struct json_iter it = json_iter(sent); json_next(&it);) {
        if (!json_str_raw(it.key, &key) || (key.n == 0 && own_notes(b) > 0)) /* put_own has it */
            continue;
        int slot = slot_of(b, key, &child);
        if (slot != AS_IT_CAME && last[slot] != it.value)
            continue;
        json_key(w, key);
        if (is_wrapped(slot))
            put_wrapped(w, &child, it.value);
        else if (slot != AS_IT_CAME)
            put_node(w, &child, it.value);
        else
            json_put_value(w, it.value);
    }
}

static void put_node(struct json_writer *w, const struct branch *b, const struct json *sent)
{
    struct branch child;
    if (json_type(sent) != JSON_OBJECT)
        sent = NULL;
    const struct json *const *last = find_last(b, sent);
    json_begin_object(w);
    if (own_notes(b) > 0) {
        json_key(w, STR(""));
        put_own(w, b, json_get(sent, STR("")));
    }
    if (sent)
        put_sent(w, b, sent, last);
    for (unsigned at = b->from + own_notes(b); at < b->to; at += same_key(b, at)) {
        struct str key = b->notes->list[at].path[b->depth];
        if (last[slot_of(b, key, &child)])
            continue;
        json_key(w, key);
        put_node(w, &child, NULL);
    }
    json_end_object(w);
}

void notes_put_meta(struct notes *n, struct json_writer *w, const struct json *sent)
{
    struct branch root = {.notes = n, .to = n->n};
    if (n->n == 0 && json_type(sent) != JSON_OBJECT)
        return;
    json_key(w, STR("_meta"));
    if (n->n == 0 && n->wrapped_n == 0) {
        json_put_value(w, sent);
        return;
    }
    if (n->n > 0)
        qsort(n->list, n->n, sizeof *n->list, by_path);
    put_node(w, &root, sent);
}
