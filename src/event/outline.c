/* outline.c: an event without what is its own.
 *
 * A grammar of nested tables says for each member what becomes of it; what is not named is left out, so a field that nobody thought of cannot slip in. Arrays
 * are transparent: their elements are read by the table of the array. The stack is of fixed size, because the grammar has a deepest place. */
#include "picket/event/outline.h"

#include "picket/json/json.h"

enum rule {
    EMPTY, /* the name stays, its value becomes the empty one of its type */
    KEEP,  /* texts, numbers and arrays of them as they are */
    PLACE, /* as KEEP, but a path or URL that may name a person is emptied */
    ENTER, /* by the table `inside` */
};

enum { DEPTH = 16, NAME_MAX_BYTES = 32 };

struct member {
    const char *name; /* NULL: the table's end. "*": every name that looks like one */
    enum rule rule;
    const struct member *inside;
};

static const struct member frame[] = {
    {"function", KEEP, NULL},     {"raw_function", KEEP, NULL}, {"module", KEEP, NULL},
    {"package", PLACE, NULL},     {"filename", PLACE, NULL},    {"abs_path", PLACE, NULL},
    {"lineno", KEEP, NULL},       {"colno", KEEP, NULL},        {"in_app", KEEP, NULL},
    {"context_line", KEEP, NULL}, {"pre_context", KEEP, NULL},  {"post_context", KEEP, NULL},
    {"platform", KEEP, NULL},     {"vars", EMPTY, NULL},        {"instruction_addr", EMPTY, NULL},
    {"symbol_addr", EMPTY, NULL}, {"image_addr", EMPTY, NULL},  {"addr_mode", KEEP, NULL},
    {"trust", KEEP, NULL},        {"symbol", KEEP, NULL},       {"lang", KEEP, NULL},
    {"native", KEEP, NULL},       {NULL, EMPTY, NULL},
};
static const struct member stacktrace[] = {{"frames", ENTER, frame},
                                           {"registers", EMPTY, NULL},
                                           {"snapshot", KEEP, NULL},
                                           {NULL, EMPTY, NULL}};
static const struct member mechanism[] = {
    {"type", KEEP, NULL},      {"handled", KEEP, NULL}, {"synthetic", KEEP, NULL},          {"exception_id", KEEP, NULL},
    {"parent_id", KEEP, NULL}, {"source", KEEP, NULL},  {"is_exception_group", KEEP, NULL}, {"data", EMPTY, NULL},
    {"meta", EMPTY, NULL},     {NULL, EMPTY, NULL},
};
static const struct member exception[] = {
    {"type", KEEP, NULL},
    {"value", EMPTY, NULL},
    {"module", KEEP, NULL},
    {"thread_id", EMPTY, NULL},
    {"mechanism", ENTER, mechanism},
    {"stacktrace", ENTER, stacktrace},
    {"raw_stacktrace", ENTER, stacktrace},
    {"values", ENTER, exception},
    {NULL, EMPTY, NULL},
};
static const struct member thread[] = {
    {"id", EMPTY, NULL},    {"name", EMPTY, NULL}, {"crashed", KEEP, NULL},           {"current", KEEP, NULL},   {"main", KEEP, NULL},
    {"daemon", KEEP, NULL}, {"state", KEEP, NULL}, {"stacktrace", ENTER, stacktrace}, {"values", ENTER, thread}, {NULL, EMPTY, NULL},
};
static const struct member crumb[] = {
    {"type", KEEP, NULL},      {"category", KEEP, NULL}, {"level", KEEP, NULL},    {"message", EMPTY, NULL}, {"timestamp", EMPTY, NULL},
    {"event_id", EMPTY, NULL}, {"data", EMPTY, NULL},    {"values", ENTER, crumb}, {NULL, EMPTY, NULL},
};
static const struct member software[] = {
    {"name", KEEP, NULL},
    {"version", KEEP, NULL},
    {"build", KEEP, NULL},
    {"kernel_version", KEEP, NULL},
    {"raw_description", KEEP, NULL},
    {"type", KEEP, NULL},
    {"distribution_name", KEEP, NULL},
    {NULL, EMPTY, NULL},
};
static const struct member names[] = {{"*", EMPTY, NULL}, {NULL, EMPTY, NULL}};
static const struct member contexts[] = {
    {"os", ENTER, software},          {"client_os", ENTER, software}, {"runtime", ENTER, software},
    {"browser", ENTER, software},     {"device", ENTER, names},       {"app", ENTER, names},
    {"culture", ENTER, names},        {"gpu", ENTER, names},          {"trace", ENTER, names},
    {"cloud_resource", ENTER, names}, {"response", ENTER, names},     {NULL, EMPTY, NULL},
};
static const struct member request[] = {
    {"url", EMPTY, NULL},       {"method", KEEP, NULL},    {"query_string", EMPTY, NULL}, {"headers", ENTER, names},
    {"cookies", EMPTY, NULL},   {"data", EMPTY, NULL},     {"env", ENTER, names},         {"inferred_content_type", KEEP, NULL},
    {"api_target", KEEP, NULL}, {"fragment", EMPTY, NULL}, {NULL, EMPTY, NULL},
};
static const struct member user[] = {
    {"id", EMPTY, NULL},         {"email", EMPTY, NULL}, {"username", EMPTY, NULL}, {"name", EMPTY, NULL},
    {"ip_address", EMPTY, NULL}, {"geo", EMPTY, NULL},   {"data", EMPTY, NULL},     {NULL, EMPTY, NULL},
};
static const struct member package[] = {{"name", KEEP, NULL}, {"version", KEEP, NULL}, {NULL, EMPTY, NULL}};
static const struct member sdk[] = {
    {"name", KEEP, NULL},         {"version", KEEP, NULL},   {"integrations", KEEP, NULL}, {"features", KEEP, NULL},
    {"packages", ENTER, package}, {"settings", EMPTY, NULL}, {NULL, EMPTY, NULL},
};
static const struct member modules[] = {{"*", KEEP, NULL}, {NULL, EMPTY, NULL}};
static const struct member root[] = {
    {"exception", ENTER, exception},
    {"threads", ENTER, thread},
    {"stacktrace", ENTER, stacktrace},
    {"breadcrumbs", ENTER, crumb},
    {"contexts", ENTER, contexts},
    {"request", ENTER, request},
    {"user", ENTER, user},
    {"sdk", ENTER, sdk},
    {"modules", ENTER, modules},
    {"tags", ENTER, names},
    {"platform", KEEP, NULL},
    {"level", KEEP, NULL},
    {"environment", KEEP, NULL},
    {"release", KEEP, NULL},
    {"dist", EMPTY, NULL},
    {"event_id", EMPTY, NULL},
    {"timestamp", EMPTY, NULL},
    {"received", EMPTY, NULL},
    {"transaction", EMPTY, NULL},
    {"transaction_info", ENTER, names},
    {"server_name", EMPTY, NULL},
    {"logger", KEEP, NULL},
    {"logentry", ENTER, names},
    {"message", EMPTY, NULL},
    {"culprit", EMPTY, NULL},
    {"fingerprint", EMPTY, NULL},
    {"extra", EMPTY, NULL},
    {"debug_meta", EMPTY, NULL},
    {"type", KEEP, NULL},
    {"version", KEEP, NULL},
    {"_meta", EMPTY, NULL},
    {NULL, EMPTY, NULL},
};

/* What an SDK or a developer calls a field; somebody's address or sentence is none. */
static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_' && c != '-' && c != '.')
            return false;
    }
    return s.n > 0 && s.n <= NAME_MAX_BYTES;
}

static const struct member *find(const struct member *table, struct str name)
{
    for (; table->name; table++)
        if (str_eq(name, str_from(table->name)) || (table->name[0] == '*' && is_name(name)))
            return table;
    return NULL;
}

/* A path below somebody's home, or a URL with more than a path. */
static bool may_name_a_person(struct str s)
{
    static const char *const signs[] = {"home/", "home\\", "users/", "users\\", "documents and settings", "?", "#", "@", "%"};
    for (; s.n > 0; s = str_drop(s, 1))
        for (size_t i = 0; i < ARRAY_LEN(signs); i++)
            if (str_starts_nocase(s, str_from(signs[i])))
                return true;
    return false;
}

static void put_empty(struct json_writer *w, const struct json *v)
{
    switch (json_type(v)) {
    case JSON_STRING:
        json_put_str(w, STR(""));
        break;
    case JSON_NUMBER:
        json_put_i64(w, 0);
        break;
    case JSON_BOOL:
        json_put_value(w, v);
        break;
    case JSON_ARRAY:
        json_begin_array(w);
        json_end_array(w);
        break;
    case JSON_OBJECT:
        json_begin_object(w);
        json_end_object(w);
        break;
    case JSON_NULL:
    case JSON_NONE:
        json_put_null(w);
        break;
    }
}

/* Of an array its texts and numbers; of an object nothing. */
static void put_kept(struct json_writer *w, const struct json *v)
{
    if (json_type(v) != JSON_ARRAY) {
        if (json_type(v) == JSON_OBJECT)
            put_empty(w, v);
        else
            json_put_value(w, v);
        return;
    }
    json_begin_array(w);
    for (struct json_iter it = json_iter(v); json_next(&it);)
        if (json_type(it.value) < JSON_ARRAY)
            json_put_value(w, it.value);
    json_end_array(w);
}

struct level {
    struct json_iter it;
    const struct member *table;
    bool is_array;
};
struct outline {
    struct json_writer w;
    unsigned depth;
    struct level levels[DEPTH];
};

static void enter(struct outline *o, const struct json *v, const struct member *table)
{
    bool is_array = json_type(v) == JSON_ARRAY;
    if ((!is_array && json_type(v) != JSON_OBJECT) || o->depth == DEPTH) {
        put_empty(&o->w, v);
        return;
    }
    if (is_array)
        json_begin_array(&o->w);
    else
        json_begin_object(&o->w);
    o->levels[o->depth++] = (struct level){json_iter(v), table, is_array};
}

static void leave(struct outline *o)
{
    if (o->levels[--o->depth].is_array)
        json_end_array(&o->w);
    else
        json_end_object(&o->w);
}

static void put_member(struct outline *o, const struct member *m, const struct json *v)
{
    struct str text;
    if (m->rule == ENTER)
        enter(o, v, m->inside);
    else if (m->rule == EMPTY || (m->rule == PLACE && (!json_str_raw(v, &text) || may_name_a_person(text))))
        put_empty(&o->w, v);
    else
        put_kept(&o->w, v);
}

static void put_next(struct outline *o)
{
    struct level *l = &o->levels[o->depth - 1];
    struct str name;
    if (!json_next(&l->it)) {
        leave(o);
        return;
    }
    if (l->is_array) {
        enter(o, l->it.value, l->table);
        return;
    }
    const struct member *m = json_str_raw(l->it.key, &name) ? find(l->table, name) : NULL;
    if (!m)
        return;
    json_key(&o->w, name);
    put_member(o, m, l->it.value);
}

int event_outline(struct str payload, struct buf *out)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct outline o = {.depth = 0};
    int r = json_parse(payload, &doc, NULL);
    if (r < 0)
        return r;
    json_writer_init(&o.w, out);
    enter(&o, json_root(doc), root);
    while (o.depth > 0)
        put_next(&o);
    return 0;
}
