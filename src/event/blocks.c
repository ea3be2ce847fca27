/* blocks.c: what all blocks are made of: members without duplicates, values without nulls, and the coercions that save a block from
 * being thrown away as a whole because of one wrong type in it. What cannot be coerced is left out with a note (notes.h).
 *
 * Dashboards check a block against a schema and hide all of it on the first mismatch (contract §7.6), so here every value that the schema
 * names gets the type that it demands, or goes. block_clean walks with a stack of its own, of fixed size; block_members and the rules'
 * functions call each other, but only as deep as the tables of rules are nested, whatever the input. */
#include "blocks.h"

#include "moment.h"

/* ---- members */

static int by_key_then_index(const void *pa, const void *pb)
{
    const struct member *a = *(const struct member *const *)pa, *b = *(const struct member *const *)pb;
    int r = str_cmp(a->key, b->key);
    return r != 0 ? r : (a->index > b->index) - (a->index < b->index);
}

enum { MAX_LEVEL = 20 };
enum keep { KEEP_FIRST, KEEP_LAST };

/* Sorting keeps this n log n for whatever keys a client thinks of; the order of the document is kept. */
static void drop_duplicates(struct members *m, enum keep keep, struct arena *a)
{
    struct member **sorted = arena_alloc(a, (m->n + 1) * sizeof *sorted);
    for (size_t i = 0; i < m->n; i++)
        sorted[i] = &m->at[i];
    qsort(sorted, m->n, sizeof *sorted, by_key_then_index);
    for (size_t i = 1; i < m->n; i++)
        if (str_eq(sorted[i - 1]->key, sorted[i]->key))
            sorted[keep == KEEP_LAST ? i - 1 : i]->superseded = true;
    size_t kept = 0;
    for (size_t i = 0; i < m->n; i++)
        if (!m->at[i].superseded)
            m->at[kept++] = m->at[i];
    m->n = kept;
}

void members_add(struct members *m, struct str key, const struct json *value)
{
    m->at[m->n] = (struct member){.key = key, .value = value, .index = m->n};
    m->n++;
}

void members_keep_first(struct members *m, struct arena *a)
{
    drop_duplicates(m, KEEP_FIRST, a);
}

void members_of_object(const struct json *v, struct arena *a, struct members *ret)
{
    size_t n = json_type(v) == JSON_OBJECT ? json_count(v) : 0;
    struct members m = {.at = arena_alloc(a, (n + 1) * sizeof *m.at)};
    struct str key;
    if (n > 0)
        for (struct json_iter it = json_iter(v); json_next(&it);)
            if (json_str(it.key, a, &key))
                members_add(&m, key, it.value);
    drop_duplicates(&m, KEEP_LAST, a);
    *ret = m;
}

void members_of_pairs(const struct json *v, struct arena *a, struct members *ret)
{
    size_t n = json_type(v) == JSON_ARRAY ? json_count(v) : 0;
    struct members m = {.at = arena_alloc(a, (n + 1) * sizeof *m.at)};
    struct str key;
    if (n > 0)
        for (struct json_iter it = json_iter(v); json_next(&it);)
            if (json_type(it.value) == JSON_ARRAY && json_count(it.value) == 2 && json_text(json_at(it.value, 0), a, &key))
                members_add(&m, key, json_at(it.value, 1));
    drop_duplicates(&m, KEEP_FIRST, a);
    *ret = m;
}

/* ---- values without nulls */

static bool is_absent(const struct json *v)
{
    return json_type(v) <= JSON_NULL;
}

static bool is_container(const struct json *v)
{
    return json_type(v) >= JSON_ARRAY;
}

struct level {
    struct json_iter it;
    bool object;
};

static struct level open_level(struct json_writer *w, const struct json *v)
{
    bool object = json_type(v) == JSON_OBJECT;
    if (object)
        json_begin_object(w);
    else
        json_begin_array(w);
    return (struct level){.it = json_iter(v), .object = object};
}

static void close_level(struct json_writer *w, const struct level *level)
{
    if (level->object)
        json_end_object(w);
    else
        json_end_array(w);
}

static void put_deep(struct block_writer *b, const struct json *v)
{
    struct str text;
    if (b->of_feedback && is_container(v) && json_text(v, b->arena, &text))
        json_put_str(b->json, text);
    else
        json_put_value(b->json, v);
}

void block_clean(struct block_writer *b, const struct json *v)
{
    struct level stack[CLEAN_DEPTH];
    unsigned depth = 0;
    struct str key;
    if (!is_container(v)) {
        json_put_value(b->json, v);
        return;
    }
    stack[depth++] = open_level(b->json, v);
    while (depth > 0) {
        struct level *top = &stack[depth - 1];
        if (!json_next(&top->it)) {
            close_level(b->json, top);
            depth--;
            continue;
        }
        if (is_absent(top->it.value))
            continue;
        if (top->object && json_str_raw(top->it.key, &key))
            json_key(b->json, key);
        if (is_container(top->it.value) && depth < CLEAN_DEPTH)
            stack[depth++] = open_level(b->json, top->it.value);
        else
            put_deep(b, top->it.value);
    }
}

/* ---- coercions */

void block_invalid(struct block_writer *b, struct str name, const struct json *v, const char *reason)
{
    notes_error(&b->notes, name, STR("invalid_data"), str_from(reason), v);
}

void block_shortened(struct block_writer *b, struct str name, size_t sent)
{
    struct note *note = notes_add(&b->notes, name);
    note->counted = true;
    note->len = (int64_t)sent;
}

void block_dropped(struct block_writer *b, struct str name, const struct json *first, const char *reason, size_t sent)
{
    struct note *note = notes_error(&b->notes, name, STR("invalid_data"), str_from(reason), first);
    note->counted = true;
    note->len = (int64_t)sent;
}

void block_skip(struct block_writer *b, struct str name, const struct json *v)
{
    (void)b, (void)name, (void)v;
}

static size_t code_points(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

static void note_cut(struct block_writer *b, struct str name, struct str s, unsigned kept, unsigned dots)
{
    struct note *note = notes_add(&b->notes, name);
    note->cut = true;
    note->from = kept;
    note->to = kept + dots;
    note->len = (int64_t)code_points(s);
}

void block_put_named(struct block_writer *b, struct str name, struct str s, unsigned limit)
{
    struct str kept = str_take_code_points(s, limit);
    if (kept.n < s.n)
        note_cut(b, name, s, limit, 0);
    json_field_str(b->json, name, kept);
}

void block_put_cut(struct block_writer *b, struct str name, struct str s, struct str kept)
{
    const struct str dots = STR("...");
    note_cut(b, name, s, (unsigned)code_points(kept), (unsigned)dots.n);
    AUTO_BUF struct buf text = {0};
    buf_append_str(&text, kept);
    buf_append_str(&text, dots);
    json_put_str(b->json, buf_str(&text));
}

void block_put_text(struct block_writer *b, struct str name, struct str s, unsigned limit, unsigned slack)
{
    enum { DOTS = 3 };
    json_key(b->json, name);
    if (s.n <= limit + slack || str_take_code_points(s, limit + slack).n == s.n)
        json_put_str(b->json, s);
    else
        block_put_cut(b, name, s, str_take_code_points(s, limit - DOTS));
}

void block_limited(struct block_writer *b, struct str name, const struct json *v, unsigned limit, unsigned slack)
{
    struct str s;
    if (is_container(v))
        block_invalid(b, name, v, "expected a string");
    else if (json_text(v, b->arena, &s))
        block_put_text(b, name, s, limit, slack);
}

void block_text(struct block_writer *b, struct str name, const struct json *v)
{
    struct str s;
    if (json_text(v, b->arena, &s))
        json_field_str(b->json, name, s);
}

void block_put_number(struct json_writer *w, double number)
{
    const double exact = 0x1p53;
    if (number > -exact && number < exact && (double)(int64_t)number == number)
        json_put_i64(w, (int64_t)number);
    else
        json_put_f64(w, number);
}

void block_number(struct block_writer *b, struct str name, const struct json *v)
{
    struct str s;
    double number;
    if (json_type(v) == JSON_NUMBER) {
        json_key(b->json, name);
        json_put_value(b->json, v);
    } else if (json_str(v, b->arena, &s) && event_number(str_trim(s), &number)) {
        json_key(b->json, name);
        block_put_number(b->json, number);
    } else {
        block_invalid(b, name, v, "expected a number");
    }
}

bool block_read_bool(const struct json *v, bool *ret)
{
    int64_t number;
    struct str s;
    if (json_bool(v, ret))
        return true;
    if (json_i64(v, &number) && (number == 0 || number == 1)) {
        *ret = number == 1;
        return true;
    }
    if (!json_str_raw(v, &s) || (!str_eq_nocase(s, STR("true")) && !str_eq_nocase(s, STR("false"))))
        return false;
    *ret = str_eq_nocase(s, STR("true"));
    return true;
}

void block_bool(struct block_writer *b, struct str name, const struct json *v)
{
    bool is = false;
    if (block_read_bool(v, &is))
        json_field_bool(b->json, name, is);
    else
        block_invalid(b, name, v, "expected a boolean");
}

static bool is_hex(struct str s)
{
    enum { DIGITS = 16 };
    if (!str_starts_nocase(s, STR("0x")) || s.n < 3 || s.n > 2 + DIGITS)
        return false;
    for (size_t i = 2; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f') || (s.p[i] >= 'A' && s.p[i] <= 'F')))
            return false;
    return true;
}

void block_address(struct block_writer *b, struct str name, const struct json *v)
{
    struct str s;
    uint64_t address;
    bool is_text = json_str(v, b->arena, &s), is_number = json_type(v) == JSON_NUMBER && json_text(v, b->arena, &s);
    if (is_text && is_hex(str_trim(s)))
        json_field_str(b->json, name, str_trim(s));
    else if ((is_text || is_number) && str_to_u64(str_trim(s), &address))
        json_field_str(b->json, name, arena_printf(b->arena, "0x%llx", (unsigned long long)address));
    else
        block_invalid(b, name, v, "expected an address");
}

void block_map(struct block_writer *b, struct str name, const struct json *v)
{
    if (json_type(v) != JSON_OBJECT) {
        block_invalid(b, name, v, "expected an object");
        return;
    }
    json_key(b->json, name);
    block_clean(b, v);
}

void block_texts(struct block_writer *b, struct str name, const struct json *v)
{
    if (json_type(v) != JSON_OBJECT) {
        block_invalid(b, name, v, "expected an object");
        return;
    }
    struct members m;
    members_of_object(v, b->arena, &m);
    json_key(b->json, name);
    json_begin_object(b->json);
    for (size_t i = 0; i < m.n; i++)
        block_text(b, m.at[i].key, m.at[i].value);
    json_end_object(b->json);
}

void block_list(struct block_writer *b, struct str name, const struct json *v)
{
    if (json_type(v) != JSON_ARRAY) {
        block_invalid(b, name, v, "expected a list");
        return;
    }
    json_key(b->json, name);
    block_clean(b, v);
}

void block_level(struct block_writer *b, struct str name, const struct json *v)
{
    struct str level = event_known_level(v, b->arena);
    if (level.n > 0)
        json_field_str(b->json, name, level);
    else if (json_type(v) == JSON_STRING)
        block_limited(b, name, v, MAX_LEVEL, 0); /* as much as its column takes */
    else
        block_invalid(b, name, v, "expected a level");
}

/* ---- objects by rules */

const struct block_rule *block_rule_for(const struct block_rule *rules, size_t n, struct str key)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(rules[i].key, key))
            return &rules[i];
    return NULL;
}

void block_member(struct block_writer *b, const struct block_rule *rule, struct str key, const struct json *v)
{
    if (is_absent(v))
        return;
    if (!rule) {
        json_key(b->json, key);
        block_clean(b, v);
    } else if (rule->put) {
        rule->put(b, key, v);
    } else {
        block_limited(b, key, v, rule->limit, rule->slack);
    }
}

void block_members(struct block_writer *b, const struct json *v, const struct block_rule *rules, size_t n)
{
    struct members m;
    members_of_object(v, b->arena, &m);
    for (size_t i = 0; i < m.n; i++)
        block_member(b, block_rule_for(rules, n, m.at[i].key), m.at[i].key, m.at[i].value);
}

void block_object(struct block_writer *b, struct str name, const struct json *v, const struct block_rule *rules, size_t n)
{
    if (json_type(v) != JSON_OBJECT) {
        block_invalid(b, name, v, "expected an object");
        return;
    }
    json_key(b->json, name);
    json_begin_object(b->json);
    notes_enter(&b->notes, name);
    block_members(b, v, rules, n);
    notes_leave(&b->notes);
    json_end_object(b->json);
}

/* ---- lists */

const struct json *block_no_object(const struct json *list)
{
    if (json_type(list) == JSON_ARRAY)
        for (struct json_iter it = json_iter(list); json_next(&it);)
            if (!is_absent(it.value) && json_type(it.value) != JSON_OBJECT)
                return it.value;
    return NULL;
}

const struct json *block_no_pair(const struct json *list, struct arena *a)
{
    struct str key;
    if (json_type(list) == JSON_ARRAY)
        for (struct json_iter it = json_iter(list); json_next(&it);)
            if (!is_absent(it.value) &&
                (json_type(it.value) != JSON_ARRAY || json_count(it.value) != 2 || !json_text(json_at(it.value, 0), a, &key)))
                return it.value;
    return NULL;
}

size_t block_elements(const struct json *v, struct arena *a, const struct json ***ret)
{
    const struct json *values = event_values(v), **elements = arena_alloc(a, (json_count(values) + 1) * sizeof *elements);
    size_t n = 0;
    if (event_is_lone_element(v))
        elements[n++] = v;
    if (values)
        for (struct json_iter it = json_iter(values); json_next(&it);)
            if (json_type(it.value) == JSON_OBJECT)
                elements[n++] = it.value;
    *ret = elements;
    return n;
}

void block_values_left(struct block_writer *b, struct str name, const struct json *v)
{
    const struct str values = STR("values");
    const struct json *list = event_values(v), *first = block_no_object(list);
    struct members m = {0};
    if (list)
        members_of_object(v, b->arena, &m); /* none of a bare list */
    notes_enter(&b->notes, name);
    if (first)
        block_dropped(b, values, first, "expected objects", json_count(list));
    for (size_t i = 0; i < m.n; i++)
        if (!is_absent(m.at[i].value) && !str_eq(m.at[i].key, values))
            block_invalid(b, m.at[i].key, m.at[i].value, "expected values alone");
    notes_leave(&b->notes);
}

void block_values(struct block_writer *b, struct str name, const struct json *v, block_element_fn *put)
{
    const struct json **elements;
    size_t n = block_elements(v, b->arena, &elements);
    if (n == 0 && !event_values(v)) {
        if (json_type(v) != JSON_OBJECT || json_count(v) > 0)
            block_invalid(b, name, v, "expected a list of values");
        return;
    }
    block_values_left(b, name, v);
    json_key(b->json, name);
    json_begin_object(b->json);
    json_key(b->json, STR("values"));
    json_begin_array(b->json);
    notes_enter(&b->notes, name);
    notes_enter(&b->notes, STR("values"));
    for (size_t i = 0; i < n; i++) {
        json_begin_object(b->json);
        notes_enter_index(&b->notes, i);
        put(b, elements[i]);
        notes_leave(&b->notes);
        json_end_object(b->json);
    }
    notes_leave(&b->notes);
    notes_leave(&b->notes);
    json_end_array(b->json);
    json_end_object(b->json);
}
