/* outline.c: an event without what is its own.
 *
 * A grammar of nested tables says for each member what becomes of it; what is not named is left out, so a field that nobody thought of cannot slip in. Arrays
 * are transparent: their elements are read by the table of the array. The stack is of fixed size, because the grammar has a deepest place. */
#include "picket/event/outline.h"

#include "picket/json/json.h"

enum rule {
    EMPTY, /* the name stays, its value becomes the empty one of its type */
    KEEP,  /* texts, numbers and arrays of them as they are */
    NAME,  /* as KEEP, what is not like a name is emptied */
    CODE,  /* as KEEP, what has a path in it that may name a person is emptied */
    PLACE, /* as KEEP, what is not the file of a program is emptied */
    LINES, /* as KEEP, lines of what is not such a file, a page that somebody looked at, are emptied */
    ENTER, /* by the table `inside` */
};

enum { DEPTH = 16, NAME_MAX_BYTES = 32 };

struct member {
    const char *name; /* NULL: the table's end. "*": every name that looks like one */
    enum rule rule;
    const struct member *inside;
};

static const struct member frame[] = {{"function", CODE, NULL},      {"raw_function", CODE, NULL}, {"module", CODE, NULL},
                                      {"package", PLACE, NULL},      {"filename", PLACE, NULL},    {"abs_path", EMPTY, NULL},
                                      {"lineno", KEEP, NULL},        {"colno", KEEP, NULL},        {"in_app", KEEP, NULL},
                                      {"context_line", LINES, NULL}, {"pre_context", LINES, NULL}, {"post_context", LINES, NULL},
                                      {"platform", NAME, NULL},      {"vars", EMPTY, NULL},        {"instruction_addr", EMPTY, NULL},
                                      {"symbol_addr", EMPTY, NULL},  {"image_addr", EMPTY, NULL},  {"addr_mode", NAME, NULL},
                                      {"trust", NAME, NULL},         {"symbol", CODE, NULL},       {"lang", NAME, NULL},
                                      {"native", KEEP, NULL},        {NULL, EMPTY, NULL}};
static const struct member stacktrace[] = {{"frames", ENTER, frame},
                                           {"registers", EMPTY, NULL},
                                           {"snapshot", KEEP, NULL},
                                           {NULL, EMPTY, NULL}};
static const struct member mechanism[] = {
    {"type", NAME, NULL},      {"handled", KEEP, NULL}, {"synthetic", KEEP, NULL},          {"exception_id", KEEP, NULL},
    {"parent_id", KEEP, NULL}, {"source", EMPTY, NULL}, {"is_exception_group", KEEP, NULL}, {"data", EMPTY, NULL},
    {"meta", EMPTY, NULL},     {NULL, EMPTY, NULL}};
static const struct member exception[] = {{"type", CODE, NULL},
                                          {"value", EMPTY, NULL},
                                          {"module", CODE, NULL},
                                          {"thread_id", EMPTY, NULL},
                                          {"mechanism", ENTER, mechanism},
                                          {"stacktrace", ENTER, stacktrace},
                                          {"raw_stacktrace", ENTER, stacktrace},
                                          {"values", ENTER, exception},
                                          {NULL, EMPTY, NULL}};
static const struct member thread[] = {{"id", EMPTY, NULL},       {"name", EMPTY, NULL},
                                       {"crashed", KEEP, NULL},   {"current", KEEP, NULL},
                                       {"main", KEEP, NULL},      {"daemon", KEEP, NULL},
                                       {"state", NAME, NULL},     {"stacktrace", ENTER, stacktrace},
                                       {"values", ENTER, thread}, {NULL, EMPTY, NULL}};
static const struct member crumb[] = {{"type", NAME, NULL},     {"category", NAME, NULL},   {"level", NAME, NULL},
                                      {"message", EMPTY, NULL}, {"timestamp", EMPTY, NULL}, {"event_id", EMPTY, NULL},
                                      {"data", EMPTY, NULL},    {"values", ENTER, crumb},   {NULL, EMPTY, NULL}};
static const struct member software[] = {{"name", CODE, NULL},
                                         {"version", CODE, NULL},
                                         {"build", CODE, NULL},
                                         {"kernel_version", EMPTY, NULL},
                                         {"raw_description", EMPTY, NULL},
                                         {"type", NAME, NULL},
                                         {"distribution_name", CODE, NULL},
                                         {NULL, EMPTY, NULL}};
static const struct member names[] = {{"*", EMPTY, NULL}, {NULL, EMPTY, NULL}};
static const struct member contexts[] = {{"os", ENTER, software},          {"client_os", ENTER, software}, {"runtime", ENTER, software},
                                         {"browser", ENTER, software},     {"device", ENTER, names},       {"app", ENTER, names},
                                         {"culture", ENTER, names},        {"gpu", ENTER, names},          {"trace", ENTER, names},
                                         {"cloud_resource", ENTER, names}, {"response", ENTER, names},     {NULL, EMPTY, NULL}};
static const struct member request[] = {{"url", EMPTY, NULL},
                                        {"method", NAME, NULL},
                                        {"query_string", EMPTY, NULL},
                                        {"headers", ENTER, names},
                                        {"cookies", EMPTY, NULL},
                                        {"data", EMPTY, NULL},
                                        {"env", ENTER, names},
                                        {"inferred_content_type", EMPTY, NULL},
                                        {"api_target", NAME, NULL},
                                        {"fragment", EMPTY, NULL},
                                        {NULL, EMPTY, NULL}};
static const struct member user[] = {{"id", EMPTY, NULL},         {"email", EMPTY, NULL}, {"username", EMPTY, NULL}, {"name", EMPTY, NULL},
                                     {"ip_address", EMPTY, NULL}, {"geo", EMPTY, NULL},   {"data", EMPTY, NULL},     {NULL, EMPTY, NULL}};
static const struct member package[] = {{"name", CODE, NULL}, {"version", CODE, NULL}, {NULL, EMPTY, NULL}};
static const struct member sdk[] = {{"name", CODE, NULL},     {"version", CODE, NULL},      {"integrations", KEEP, NULL},
                                    {"features", KEEP, NULL}, {"packages", ENTER, package}, {"settings", EMPTY, NULL},
                                    {NULL, EMPTY, NULL}};
static const struct member modules[] = {{"*", CODE, NULL}, {NULL, EMPTY, NULL}};
static const struct member root[] = {{"exception", ENTER, exception},
                                     {"threads", ENTER, thread},
                                     {"stacktrace", ENTER, stacktrace},
                                     {"breadcrumbs", ENTER, crumb},
                                     {"contexts", ENTER, contexts},
                                     {"request", ENTER, request},
                                     {"user", ENTER, user},
                                     {"sdk", ENTER, sdk},
                                     {"modules", ENTER, modules},
                                     {"tags", ENTER, names},
                                     {"platform", NAME, NULL},
                                     {"level", NAME, NULL},
                                     {"environment", NAME, NULL},
                                     {"release", CODE, NULL},
                                     {"dist", EMPTY, NULL},
                                     {"event_id", EMPTY, NULL},
                                     {"timestamp", EMPTY, NULL},
                                     {"received", EMPTY, NULL},
                                     {"transaction", EMPTY, NULL},
                                     {"transaction_info", ENTER, names},
                                     {"server_name", EMPTY, NULL},
                                     {"logger", NAME, NULL},
                                     {"logentry", ENTER, names},
                                     {"message", EMPTY, NULL},
                                     {"culprit", EMPTY, NULL},
                                     {"fingerprint", EMPTY, NULL},
                                     {"extra", EMPTY, NULL},
                                     {"debug_meta", EMPTY, NULL},
                                     {"type", NAME, NULL},
                                     {"version", NAME, NULL},
                                     {"_meta", EMPTY, NULL},
                                     {NULL, EMPTY, NULL}};

/* What an SDK or a developer calls something; somebody's address or sentence is none, and a number in it may be somebody's. */
static bool is_name(struct str s, bool digits)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(digits && c >= '0' && c <= '9') && c != '_' && c != '-' && c != '.')
            return false;
    }
    return s.n > 0 && s.n <= NAME_MAX_BYTES;
}

static const struct member *find(const struct member *table, struct str name)
{
    for (; table->name; table++)
        if (str_eq(name, str_from(table->name)) || (table->name[0] == '*' && is_name(name, table->rule != EMPTY)))
            return table;
    return NULL;
}

static bool has_any(struct str s, const char *const *signs, size_t n)
{
    for (; s.n > 0; s = str_drop(s, 1))
        for (size_t i = 0; i < n; i++)
            if (str_starts_nocase(s, str_from(signs[i])))
                return true;
    return false;
}

static bool begins_with_any(struct str s, const char *const *starts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_starts_nocase(s, str_from(starts[i])))
            return true;
    return false;
}

/* Below somebody's home, or where an installation has a number of its own. */
static bool is_of_somebody(struct str s)
{
    static const char *const signs[] = {"home/",    "home\\",    "homes/",    "homes\\",     "users/", "users\\", "people/",
                                        "people\\", "dokumente", "documents", "containers/", "/data/", "temp\\",  "tmp/"};
    return has_any(s, signs, ARRAY_LEN(signs));
}

static bool is_url(struct str s)
{
    return has_any(s, (const char *const[]){"://"}, 1);
}

static bool is_script(struct str s)
{
    static const char *const ends[] = {".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".vue", ".svelte", ".wasm", ".bundle", ".dart"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (str_ends(s, str_from(ends[i])))
            return true;
    return false;
}

/* The path or URL of what a program is made of. A page is none: its address may be about whoever looked at it. */
static bool is_program_file(struct str s)
{
    static const char *const roots[] = {"/usr/lib/", "/usr/local/", "/usr/src/",  "/usr/share/",   "/opt/",         "/srv/",
                                        "/app/",     "/var/www/",   "/var/task/", "/var/runtime/", "/go/",          "/workspace/",
                                        "/lib/",     "/System/",    "/Library/",  "/build/",       "c:\\windows\\", "c:\\program files"};
    if (is_of_somebody(s) || has_any(s, (const char *const[]){"?", "#", "%"}, 3))
        return false;
    if (is_url(s))
        return is_script(s) && str_find(s, '@') == s.n;
    bool is_absolute = s.n > 1 && (s.p[0] == '/' || s.p[0] == '\\' || s.p[1] == ':');
    return !is_absolute || begins_with_any(s, roots, ARRAY_LEN(roots));
}

/* Are the lines beside this frame of a program, and not of the page that somebody looked at, where it stood? */
static bool has_source(const struct json *object)
{
    static const char *const places[] = {"abs_path", "filename"};
    struct str place;
    bool some = false;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (!json_str_raw(json_get(object, str_from(places[i])), &place))
            continue;
        struct str last = place;
        for (size_t at; (at = str_find(last, '/')) < last.n;)
            last = str_drop(last, at + 1);
        if (str_find(last, '.') == last.n || str_find(place, '?') < place.n || (is_url(place) && !is_script(place)))
            return false;
        some = true;
    }
    return some;
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
    const struct json *value;
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
    o->levels[o->depth++] = (struct level){json_iter(v), v, table, is_array};
}

static void leave(struct outline *o)
{
    if (o->levels[--o->depth].is_array)
        json_end_array(&o->w);
    else
        json_end_object(&o->w);
}

/* Anything else than a text tells as little as its type. */
static bool is_kept(enum rule rule, const struct json *object, const struct json *v)
{
    struct str text;
    bool is_text = json_str_raw(v, &text), is_many = json_type(v) >= JSON_ARRAY;
    switch (rule) {
    case NAME:
        return !is_many && (!is_text || is_name(text, true));
    case CODE:
        return !is_many && (!is_text || !is_of_somebody(text));
    case PLACE:
        return !is_many && (!is_text || is_program_file(text));
    case LINES:
        return has_source(object);
    case KEEP:
        return true;
    case EMPTY:
    case ENTER:
        break;
    }
    return false;
}

static void put_member(struct outline *o, const struct member *m, const struct json *object, const struct json *v)
{
    if (m->rule == ENTER)
        enter(o, v, m->inside);
    else if (is_kept(m->rule, object, v))
        put_kept(&o->w, v);
    else
        put_empty(&o->w, v);
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
    put_member(o, m, l->value, l->it.value);
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
