/* blocks.c: what all blocks are made of: members without duplicates, values without nulls, and the coercions that save a block from
 * being thrown away as a whole because of one wrong type in it.
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

static void add_member(struct members *m, struct str key, const struct json *value)
{
    m->at[m->n] = (struct member){.key = key, .value = value, .index = m->n};
    m->n++;
}

void members_of_object(const struct json *v, struct arena *a, struct members *ret)
{
    size_t n = json_type(v) == JSON_OBJECT ? json_count(v) : 0;
    struct members m = {.at = arena_alloc(a, (n + 1) * sizeof *m.at)};
    struct str key;
    if (n > 0)
        for (struct json_iter it = json_iter(v); json_next(&it);)
            if (json_str(it.key, a, &key))
                add_member(&m, key, it.value);
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
                add_member(&m, key, json_at(it.value, 1));
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
            json_put_value(b->json, top->it.value);
    }
}

/* ---- coercions */

void block_text(struct block_writer *b, struct str name, const struct json *v)
{
    struct str s;
    if (json_text(v, b->arena, &s))
        json_field_str(b->json, name, s);
}

/* Whole numbers without a fraction: what was "12" becomes 12. */
static void put_number(struct json_writer *w, double number)
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
        put_number(b->json, number);
    }
}

void block_bool(struct block_writer *b, struct str name, const struct json *v)
{
    bool is = false;
    int64_t number;
    struct str s;
    if (json_bool(v, &is))
        json_field_bool(b->json, name, is);
    else if (json_i64(v, &number) && (number == 0 || number == 1))
        json_field_bool(b->json, name, number == 1);
    else if (json_str_raw(v, &s) && (str_eq_nocase(s, STR("true")) || str_eq_nocase(s, STR("false"))))
        json_field_bool(b->json, name, str_eq_nocase(s, STR("true")));
}

void block_map(struct block_writer *b, struct str name, const struct json *v)
{
    if (json_type(v) != JSON_OBJECT)
        return;
    json_key(b->json, name);
    block_clean(b, v);
}

void block_level(struct block_writer *b, struct str name, const struct json *v)
{
    struct str level = event_known_level(v, b->arena);
    if (level.n > 0)
        json_field_str(b->json, name, level);
    else if (json_type(v) == JSON_STRING)
        block_text(b, name, v);
}

/* ---- objects by rules */

static block_put_fn *rule_for(const struct block_rule *rules, size_t n, struct str key)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(rules[i].key, key))
            return rules[i].put;
    return NULL;
}

void block_members(struct block_writer *b, const struct json *v, const struct block_rule *rules, size_t n)
{
    struct members m;
    members_of_object(v, b->arena, &m);
    for (size_t i = 0; i < m.n; i++) {
        block_put_fn *put = rule_for(rules, n, m.at[i].key);
        if (is_absent(m.at[i].value))
            continue;
        if (put) {
            put(b, m.at[i].key, m.at[i].value);
        } else {
            json_key(b->json, m.at[i].key);
            block_clean(b, m.at[i].value);
        }
    }
}

void block_object(struct block_writer *b, struct str name, const struct json *v, const struct block_rule *rules, size_t n)
{
    if (json_type(v) != JSON_OBJECT)
        return;
    json_key(b->json, name);
    json_begin_object(b->json);
    block_members(b, v, rules, n);
    json_end_object(b->json);
}

/* ---- lists */

/* A single element may stand alone, without a list around it (protocol §5.5). */
static bool is_lone_element(const struct json *v)
{
    return json_type(v) == JSON_OBJECT && json_count(v) > 0 && !json_get(v, STR("values"));
}

size_t block_elements(const struct json *v, struct arena *a, const struct json ***ret)
{
    const struct json *values = event_values(v), **elements = arena_alloc(a, (json_count(values) + 1) * sizeof *elements);
    size_t n = 0;
    if (is_lone_element(v))
        elements[n++] = v;
    if (values)
        for (struct json_iter it = json_iter(values); json_next(&it);)
            if (json_type(it.value) == JSON_OBJECT)
                elements[n++] = it.value;
    *ret = elements;
    return n;
}

void block_values(struct block_writer *b, struct str name, const struct json *v, block_element_fn *put)
{
    const struct json **elements;
    size_t n = block_elements(v, b->arena, &elements);
    if (n == 0 && !event_values(v))
        return;
    json_key(b->json, name);
    json_begin_object(b->json);
    json_key(b->json, STR("values"));
    json_begin_array(b->json);
    for (size_t i = 0; i < n; i++) {
        json_begin_object(b->json);
        put(b, elements[i]);
        json_end_object(b->json);
    }
    json_end_array(b->json);
    json_end_object(b->json);
}

/* ---- the flat blocks */

void block_user(struct block_writer *b, struct str name, const struct json *v)
{
    static const struct block_rule rules[] = {
        {STR("id"), block_text},       {STR("email"), block_text}, {STR("ip_address"), block_text},
        {STR("username"), block_text}, {STR("name"), block_text},
    };
    block_object(b, name, v, rules, ARRAY_LEN(rules));
}

void block_contexts(struct block_writer *b, struct str name, const struct json *v)
{
    struct members m;
    if (json_type(v) != JSON_OBJECT)
        return;
    members_of_object(v, b->arena, &m);
    json_key(b->json, name);
    json_begin_object(b->json);
    for (size_t i = 0; i < m.n; i++)
        block_map(b, m.at[i].key, m.at[i].value);
    json_end_object(b->json);
}

void block_tags(struct block_writer *b, struct str name, const struct json *v)
{
    struct members m;
    if (!is_container(v))
        return;
    if (json_type(v) == JSON_OBJECT)
        members_of_object(v, b->arena, &m);
    else
        members_of_pairs(v, b->arena, &m);
    json_key(b->json, name);
    json_begin_object(b->json);
    for (size_t i = 0; i < m.n; i++)
        block_text(b, m.at[i].key, m.at[i].value);
    json_end_object(b->json);
}

/* ---- breadcrumbs */

static void put_seconds(struct block_writer *b, struct str name, const struct json *v)
{
    double seconds;
    if (!event_seconds(v, b->arena, &seconds))
        return;
    json_key(b->json, name);
    put_number(b->json, seconds);
}

static void put_breadcrumb(struct block_writer *b, const struct json *v)
{
    static const struct block_rule rules[] = {
        {STR("timestamp"), put_seconds}, {STR("type"), block_text},   {STR("category"), block_text},
        {STR("message"), block_text},    {STR("level"), block_level}, {STR("data"), block_map},
    };
    block_members(b, v, rules, ARRAY_LEN(rules));
}

void block_breadcrumbs(struct block_writer *b, struct str name, const struct json *v)
{
    block_values(b, name, v, put_breadcrumb);
}
