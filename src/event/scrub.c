/* scrub.c: the way through an event (protocol §5.15). What is looked for where: scrub_places.c.
 *
 * C1  The document is walked once, in document order, without recursion. Places change near the root only: what lies deeper than
 *     SCRUB_MAX_PATH levels is in the place of its ancestor at that level, and one list as far as options and their values go.
 * C2  An event from which nothing has to go costs a parse, the walk and one look at each text (two at a message that has parameters), and
 *     allocates only what the parse does.
 * C3  What is replaced is cut out of the text as it came; everything else is copied byte by byte.
 * C4  What has gone by its name is not looked into. */
#include "scrub_places.h"

#include "picket/base/error.h"

/* A container on the way to the value at hand. */
struct level {
    enum scrub_place place;
    struct scrub_step step; /* to it */
    size_t n_met;           /* elements so far */
    bool behind_option;     /* the last one was "--password", and no value of its own was met */
};

struct job {
    const struct scrub_rules *rules;
    unsigned looks; /* that the rules allow */
    struct str payload;
    const struct json_doc *doc;
    struct json_walk walk;
    struct json_locator locator;
    bool changed;
    size_t copied; /* of the payload, to `out` */
    struct buf *out;
    struct buf text, json; /* scratch: a new text, and as JSON */
    struct arena arena;
    struct scrub_notes notes;
    bool has_meta;
    enum scrub_place params; /* where they are; PLACE_PARAMS: not known yet */
    struct level levels[SCRUB_MAX_PATH + 1];
};

enum { META_MAX_BYTES = 16384 }; /* larger ones of an SDK's stay as they are */

/* ---- replacing */

static void replace(struct job *k, const struct json *v, struct str json_text)
{
    if (!k->changed)
        k->locator = json_locator(k->doc, k->payload);
    k->changed = true;
    struct str place = json_locate(&k->locator, v);
    size_t from = (size_t)(place.p - k->payload.p);
    buf_append(k->out, k->payload.p + k->copied, from - k->copied);
    buf_append_str(k->out, json_text);
    k->copied = from + place.n;
}

/* `below`: a step from the value at hand to the one that was replaced, or NULL. */
static void note(struct job *k, const struct scrub_step *below, const struct scrub_remarks *remarks)
{
    struct scrub_step path[SCRUB_MAX_PATH];
    size_t n = 0, depth = k->walk.depth;
    if (depth + 1 > SCRUB_MAX_PATH || depth == 0 || (depth > 1 && k->levels[1].place == PLACE_META))
        return;
    for (size_t i = 1; i < depth; i++)
        path[n++] = k->levels[i].step;
    path[n++] = (struct scrub_step){.key = k->walk.key, .index = k->walk.key ? 0 : k->levels[depth - 1].n_met - 1};
    if (below)
        path[n++] = *below;
    scrub_notes_add(&k->notes, path, n, remarks);
}

static void replace_whole(struct job *k, const struct json *v, const struct scrub_step *below, enum scrub_reason reason)
{
    struct scrub_remarks remarks = {.n = 1, .at = {{.reason = reason, .to = SCRUB_FILTERED.n}}};
    replace(k, v, STR("\"[Filtered]\""));
    note(k, below, &remarks);
}

static void replace_text(struct job *k, struct str text, const struct scrub_remarks *remarks)
{
    struct json_writer w;
    buf_clear(&k->json);
    json_writer_init(&w, &k->json);
    json_put_str(&w, text);
    replace(k, k->walk.value, buf_str(&k->json));
    note(k, NULL, remarks);
}

static void remove_value(struct job *k)
{
    struct scrub_remarks remarks = {.n = 1, .at = {{.reason = SCRUB_REMOVED}}};
    replace(k, k->walk.value, STR("null"));
    note(k, NULL, &remarks);
}

/* ---- what goes */

/* Nothing is hidden in what is empty, and truth values are no secrets. */
static bool is_worth(const struct json *v, enum json_type type)
{
    struct str text;
    switch (type) {
    case JSON_STRING:
        return json_str_raw(v, &text) && text.n > 0 && !str_eq(text, SCRUB_FILTERED);
    case JSON_NUMBER:
        return true;
    case JSON_ARRAY:
    case JSON_OBJECT:
        return json_count(v) > 0;
    case JSON_NONE:
    case JSON_NULL:
    case JSON_BOOL:
        break;
    }
    return false;
}

/* Where a member leads; true when its value goes by its name. */
static bool read_name(const struct job *k, enum scrub_place from, struct str name, enum scrub_place *ret)
{
    const struct scrub_place_rules *rules = &scrub_places[from];
    *ret = rules->rest;
    if (k->rules->n_safe_names > 0 && scrub_is_safe(name, k->rules)) {
        *ret = PLACE_QUIET;
        return false;
    }
    if (rules->n_turns > 0 && scrub_turn(from, name, ret))
        return k->rules->n_extra_names > 0 && k->rules->enabled && !scrub_places[*ret].stays && scrub_is_named(name, k->rules);
    if (k->rules->drops_ip && str_eq(name, STR("client.address")))
        *ret = PLACE_ADDRESS;
    if (rules->names == 0 || !k->rules->enabled || !scrub_is_sensitive(name, rules->names, k->rules))
        return false;
    if (from == PLACE_META)
        *ret = PLACE_META_SECRET;
    return from != PLACE_META;
}

/* An element of a list that is itself a pair: [["name", value]]. True when its value goes by its name. */
static bool look_at_pair(struct job *k, enum scrub_place from, enum scrub_place *ret)
{
    struct str name;
    const struct json *value = json_at(k->walk.value, 1);
    if (json_count(k->walk.value) != 2 || !json_str_raw(json_at(k->walk.value, 0), &name))
        return false;
    if (!read_name(k, from, name, ret))
        return false;
    if (is_worth(value, json_type(value)))
        replace_whole(k, value, &(struct scrub_step){.index = 1}, SCRUB_NAME);
    return true;
}

/* A command's words are the elements of a list: ["login", "--password", value]. */
static bool is_options_value(const struct job *k, struct level *list)
{
    bool is_text = k->walk.type == JSON_STRING, is_behind = list->behind_option;
    if (k->rules->enabled && scrub_places[list->place].names != 0)
        list->behind_option = is_text && scrub_is_option(k->walk.text, k->rules);
    return is_behind && (is_text ? !scrub_is_switch(k->walk.text) : k->walk.type == JSON_NUMBER) && is_worth(k->walk.value, k->walk.type);
}

static void look_at_number(struct job *k)
{
    char digits[24];
    int64_t number;
    if (!json_i64(k->walk.value, &number) || number < INT64_C(1000000000000))
        return;
    int n = snprintf(digits, sizeof digits, "%lld", (long long)number);
    if (scrub_card(str_of(digits, (size_t)n), 0) == (size_t)n)
        replace_whole(k, k->walk.value, NULL, SCRUB_CARD);
}

static void look_at_text(struct job *k, unsigned looks)
{
    struct scrub_remarks remarks;
    k->text.n = 0;
    if (scrub_look(k->walk.text, looks, k->rules, &k->text, &remarks))
        replace_text(k, buf_str(&k->text), &remarks);
}

static bool is_digits(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

static void look_at_scalar(struct job *k, enum scrub_place place)
{
    unsigned looks = scrub_places[place].looks & k->looks;
    if (place == PLACE_SECRET && is_worth(k->walk.value, k->walk.type))
        replace_whole(k, k->walk.value, NULL, SCRUB_NAME);
    if (place == PLACE_GONE || (place == PLACE_ADDRESS && k->rules->drops_ip)) {
        if (k->walk.type > JSON_NULL)
            remove_value(k);
    } else if (k->walk.type == JSON_STRING && looks) {
        if (!scrub_places[place].spares_digits || !is_digits(k->walk.text))
            look_at_text(k, looks);
    } else if (k->walk.type == JSON_NUMBER && looks & LOOK_PATTERNS && !scrub_places[place].texts_only) {
        look_at_number(k);
    }
}

/* ---- parameters of a message */

/* Something that is a secret for what stands around it: by itself nobody knows it again. */
static bool has_secret(struct job *k, const struct json *v)
{
    enum { BY_CONTEXT = 1 << SCRUB_NAME | 1 << SCRUB_KEY | 1 << SCRUB_URL | 1 << SCRUB_BEARER };
    unsigned looks = scrub_places[PLACE_PROSE].looks & k->looks;
    struct scrub_remarks remarks;
    struct str text;
    k->text.n = 0;
    return looks && json_str_raw(v, &text) && scrub_look(text, looks, k->rules, &k->text, &remarks) && remarks.reasons & BY_CONTEXT;
}

static bool leads_to(const struct job *k, enum scrub_place from, const struct json *key, enum scrub_place to)
{
    enum scrub_place place;
    struct str name;
    return json_str_raw(key, &name) && !read_name(k, from, name, &place) && place == to;
}

/* Parameters stand without the names that the message gives them, and may stand before it or, in old events, beside it. Which of them are meant
 * is not asked. */
static bool params_go(struct job *k)
{
    for (struct json_iter it = json_iter(json_root(k->doc)); json_next(&it);) {
        if (!leads_to(k, PLACE_EVENT, it.key, PLACE_LOGENTRY))
            continue;
        if (has_secret(k, it.value))
            return true;
        for (struct json_iter in = json_iter(it.value); json_next(&in);)
            if (leads_to(k, PLACE_LOGENTRY, in.key, PLACE_PROSE) && has_secret(k, in.value))
                return true;
    }
    return false;
}

static enum scrub_place place_of_params(struct job *k)
{
    if (k->params == PLACE_PARAMS)
        k->params = params_go(k) ? PLACE_SECRET : PLACE_DATA;
    return k->params;
}

/* ---- the walk */

/* What is remembered at `depth`. Below the last level that is remembered that one's place serves all. */
static inline struct level *level_at(struct job *k, size_t depth)
{
    return &k->levels[depth < SCRUB_MAX_PATH ? depth : SCRUB_MAX_PATH];
}

static void enter(struct job *k, enum scrub_place place)
{
    size_t index = k->walk.key ? 0 : level_at(k, k->walk.depth - 1)->n_met - 1;
    *level_at(k, k->walk.depth) = (struct level){.place = place, .step = {.key = k->walk.key, .index = index}};
}

static void look_at(struct job *k)
{
    struct level *parent = level_at(k, k->walk.depth - 1);
    enum scrub_place from = parent->place, place = from;
    bool is_container = k->walk.type == JSON_ARRAY || k->walk.type == JSON_OBJECT, goes = false;
    if (!k->walk.key)
        parent->n_met++;
    if (k->walk.key ? read_name(k, from, k->walk.name, &place) && is_worth(k->walk.value, k->walk.type) : is_options_value(k, parent)) {
        replace_whole(k, k->walk.value, NULL, SCRUB_NAME);
        goes = true;
    }
    if (place == PLACE_PARAMS)
        place = place_of_params(k);
    k->has_meta |= place == PLACE_META && k->walk.depth == 1;
    if (!is_container) {
        if (!goes)
            look_at_scalar(k, place);
        return;
    }
    if (!k->walk.key && k->walk.type == JSON_ARRAY)
        goes = look_at_pair(k, from, &place);
    enter(k, place);
    if (goes || place == PLACE_QUIET)
        json_walk_skip(&k->walk);
}

static void walk(struct job *k)
{
    json_walk_start(&k->walk, json_root(k->doc));
    if (json_walk_next(&k->walk)) {
        k->levels[0].place = k->walk.type == JSON_OBJECT ? PLACE_EVENT : PLACE_DATA;
        if (k->walk.type != JSON_OBJECT && k->walk.type != JSON_ARRAY)
            look_at_scalar(k, PLACE_DATA);
    }
    while (json_walk_next(&k->walk))
        look_at(k);
    json_walk_done(&k->walk);
    if (k->changed)
        buf_append_str(k->out, str_drop(k->payload, k->copied));
}

/* ---- notes */

/* The root's last member: its closing bracket makes room for a comma and what stands in {"_meta": …} behind the opening one. */
static void add_meta(struct job *k)
{
    struct json_writer w;
    struct buf *out = k->out;
    buf_clear(&k->json);
    json_writer_init(&w, &k->json);
    json_begin_object(&w);
    json_key(&w, STR("_meta"));
    scrub_notes_put(&k->notes, NULL, &w);
    json_end_object(&w);
    while (out->p[out->n - 1] != '}')
        out->n--;
    out->p[out->n - 1] = ',';
    buf_append_str(out, str_drop(buf_str(&k->json), 1));
}

/* `start`: where the new text begins in `out`. Its own _meta is replaced by one that says both. */
static void merge_meta(struct job *k, size_t start)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct json_writer w;
    struct str text = str_drop(buf_str(k->out), start);
    int r = json_parse(text, &doc, NULL);
    assert(r == 0); /* it was JSON, and JSON values were replaced by JSON values */
    const struct json *theirs = json_get(json_root(doc), STR("_meta"));
    struct json_locator locator = json_locator(doc, text);
    struct str place = json_locate(&locator, theirs);
    if (place.n > META_MAX_BYTES)
        return;
    buf_clear(&k->text);
    buf_append_str(&k->text, str_drop(text, (size_t)(place.p - text.p) + place.n));
    k->out->n = (size_t)(place.p - k->out->p);
    json_writer_init(&w, k->out);
    scrub_notes_put(&k->notes, theirs, &w);
    buf_append_str(k->out, buf_str(&k->text));
}

static void put_notes(struct job *k, size_t start)
{
    if (k->notes.n == 0)
        return;
    if (k->has_meta)
        merge_meta(k, start);
    else if (json_type(json_root(k->doc)) == JSON_OBJECT)
        add_meta(k);
}

int scrub_event(struct str payload, const struct scrub_rules *rules, struct buf *out)
{
    AUTO_JSON struct json_doc *doc = NULL;
    size_t start = out->n;
    if (!rules->enabled && !rules->drops_ip)
        return 0;
    int r = json_parse(payload, &doc, NULL);
    if (r < 0)
        return r;
    struct job k = {.rules = rules,
                    .payload = payload,
                    .doc = doc,
                    .out = out,
                    .looks = rules->enabled ? ~(unsigned)LOOK_IPS : 0,
                    .params = PLACE_PARAMS};
    if (rules->drops_ip)
        k.looks |= LOOK_IPS;
    arena_init(&k.arena);
    k.notes.arena = &k.arena;
    walk(&k);
    put_notes(&k, start);
    arena_done(&k.arena);
    buf_done(&k.text);
    buf_done(&k.json);
    return k.changed;
}
