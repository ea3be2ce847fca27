/* native.c: an event out of the parts of a crash report.
 *
 * Every part becomes a layer: a JSON object. The layers are merged (merge.h), the first that knows something wins:
 *
 *   what the dump decides · breadcrumb files · the event that came beside it · __sentry-event · the form's fields in their order · its chunks ·
 *   an event in Unreal's game data · Unreal's context · an Apple report · Crashpad's annotations · what the dump says of the system
 *
 * Fields (protocol §1.6) and Crashpad's annotations are read alike: `sentry` and `sentry___name` hold JSON, `sentry__1`, `sentry__2` … pieces of one
 * JSON text, `sentry[a][b]` one value; a field of another name becomes extra of its name, an annotation a member of contexts.crashpad. A layer that
 * is no JSON object, or larger than what may still be read (a parsed text takes many times its size), is left out: the crash counts more than what
 * was said about it. */
#include "picket/event/native.h"

#include "merge.h"
#include "moment.h"
#include "native_dump.h"
#include "native_text.h"
#include "picket/protocol/msgpack.h"

enum { MAX_PATH = 15, MAX_CHUNK = 9999, FIXED_LAYERS = 24 };

struct chunk {
    uint64_t number;
    struct str text;
};
struct build {
    const struct native_report *report;
    struct arena arena;
    struct json_doc **docs;
    const struct json **layers;
    struct chunk *chunks;
    size_t n_layers, n_chunks, cap;
    size_t room;  /* bytes of text that may still be parsed */
    bool was_cut; /* something was larger than that */
};

/* ---- layers */

static bool has_room(struct build *b, struct str text)
{
    b->was_cut = b->was_cut || text.n > b->room;
    return text.n > 0 && text.n <= b->room;
}

/* What we wrote ourselves. */
static void add_own_layer(struct build *b, struct str text)
{
    struct json_doc *doc;
    assert(b->n_layers < b->cap);
    if (json_parse(text, &doc, NULL) < 0)
        return;
    if (json_type(json_root(doc)) != JSON_OBJECT) {
        json_free(doc);
        return;
    }
    b->docs[b->n_layers] = doc;
    b->layers[b->n_layers++] = json_root(doc);
}

static void add_layer(struct build *b, struct str text)
{
    if (!has_room(b, text))
        return;
    b->room -= text.n;
    add_own_layer(b, text);
}

static void add_dump(struct build *b, const struct minidump *m, void (*put)(struct json_writer *, const struct minidump *, struct arena *))
{
    AUTO_BUF struct buf text = {0};
    struct json_writer w;
    if (!minidump_is(b->report->dump))
        return;
    json_writer_init(&w, &text);
    put(&w, m, &b->arena);
    add_own_layer(b, buf_str(&text));
}

/* ---- fields */

/* {"a": {"b": value}} for the path a, b. */
static void add_value(struct build *b, const struct str *path, size_t n, struct str value)
{
    AUTO_BUF struct buf text = {0};
    struct json_writer w;
    size_t bytes = value.n;
    for (size_t i = 0; i < n; i++)
        bytes += path[i].n;
    if (bytes > b->room) { /* before it is written: values may be as large as the dump, and many may be the same bytes of it */
        b->was_cut = true;
        return;
    }
    json_writer_init(&w, &text);
    json_begin_object(&w);
    for (size_t i = 0; i < n; i++) {
        json_key(&w, path[i]);
        if (i + 1 < n)
            json_begin_object(&w);
    }
    json_put_str(&w, value);
    for (size_t i = 0; i < n; i++)
        json_end_object(&w);
    if (text.n > b->room)
        b->room -= bytes; /* escapes take more: what is written for nothing counts, too, or it could be done again and again */
    add_layer(b, buf_str(&text));
}

/* "[a][b]" into a, b. 0: it is none. */
static size_t read_path(struct str s, struct str path[MAX_PATH])
{
    size_t n = 0;
    while (s.n) {
        size_t end = str_find(s, ']');
        if (s.p[0] != '[' || end == s.n || n == MAX_PATH)
            return 0;
        path[n++] = str_of(s.p + 1, end - 1);
        s = str_drop(s, end + 1);
    }
    return n;
}

/* False: its name says nothing of an event. */
static bool add_field(struct build *b, struct str name, struct str value)
{
    struct str path[MAX_PATH];
    struct chunk chunk = {.text = value};
    size_t n;
    if (!str_starts(name, STR("sentry")))
        return false;
    struct str rest = str_drop(name, STR("sentry").n);
    if (rest.n == 0 || str_starts(rest, STR("___"))) {
        add_layer(b, value);
    } else if (str_starts(rest, STR("__")) && str_to_u64(str_drop(rest, 2), &chunk.number) && chunk.number <= MAX_CHUNK) {
        b->chunks[b->n_chunks++] = chunk;
    } else if ((n = read_path(rest, path)) > 0) {
        add_value(b, path, n, value);
    } else {
        return false;
    }
    return true;
}

static int by_number(const void *pa, const void *pb)
{
    const struct chunk *a = pa, *b = pb;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return (a->text.p > b->text.p) - (a->text.p < b->text.p);
}

static void add_chunks(struct build *b)
{
    AUTO_BUF struct buf text = {0};
    if (b->n_chunks)
        qsort(b->chunks, b->n_chunks, sizeof *b->chunks, by_number);
    for (size_t i = 0; i < b->n_chunks; i++)
        if (text.n <= b->room) /* more is not read anyway */
            buf_append_str(&text, str_take(b->chunks[i].text, b->room + 1 - text.n));
    b->n_chunks = 0;
    add_layer(b, buf_str(&text));
}

static void add_fields(struct build *b)
{
    const struct native_report *report = b->report;
    for (size_t i = 0; i < report->n_fields; i++) {
        const struct native_field *f = &report->fields[i];
        if (!add_field(b, f->name, f->value) && f->name.n)
            add_value(b, (struct str[]){STR("extra"), f->name}, 2, f->value);
    }
    add_chunks(b);
}

static void add_annotations(struct build *b, const struct minidump *m)
{
    for (size_t i = 0; m && i < m->n_annotations; i++) {
        const struct minidump_annotation *an = &m->annotations[i];
        if (!add_field(b, an->key, an->value))
            add_value(b, (struct str[]){STR("contexts"), STR("crashpad"), an->key}, 3, an->value);
    }
    add_chunks(b);
}

/* ---- MessagePack */

static void add_msgpack_event(struct build *b)
{
    AUTO_BUF struct buf text = {0};
    struct str rest = b->report->event_msgpack;
    if (has_room(b, rest) && msgpack_read(&rest, &text) == 0)
        add_layer(b, buf_str(&text));
}

/* A file of breadcrumbs as a JSON array. *ret_last: when the newest one was. */
static void read_crumbs(struct str file, struct arena *a, struct buf *out, double *ret_last)
{
    AUTO_BUF struct buf text = {0};
    struct json_writer w;
    *ret_last = 0;
    json_writer_init(&w, out);
    json_begin_array(&w);
    while (file.n) {
        AUTO_JSON struct json_doc *doc = NULL;
        buf_clear(&text);
        if (msgpack_read(&file, &text) < 0 || json_parse(buf_str(&text), &doc, NULL) < 0)
            break; /* what came before the damage is kept */
        const struct json *root = json_root(doc), *last = root;
        if (json_type(root) == JSON_ARRAY) {
            for (struct json_iter it = json_iter(root); json_next(&it);) {
                last = it.value;
                json_put_value(&w, last);
            }
        } else {
            json_put_value(&w, root);
        }
        double at;
        if (event_seconds(json_get(last, STR("timestamp")), a, &at))
            *ret_last = at;
    }
    json_end_array(&w);
}

static void put_elements(struct json_writer *w, struct str array)
{
    AUTO_JSON struct json_doc *doc = NULL;
    if (json_parse(array, &doc, NULL) == 0 && json_count(json_root(doc)))
        for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);)
            json_put_value(w, it.value);
}

/* Two files, because one is begun anew when the other is full: whose last breadcrumb is older comes first. */
static void add_breadcrumbs(struct build *b)
{
    AUTO_BUF struct buf first = {0};
    AUTO_BUF struct buf second = {0};
    AUTO_BUF struct buf text = {0};
    double first_s, second_s;
    struct json_writer w;
    bool has_first = has_room(b, b->report->breadcrumbs[0]), has_second = has_room(b, b->report->breadcrumbs[1]);
    if (!has_first && !has_second)
        return;
    read_crumbs(has_first ? b->report->breadcrumbs[0] : STR(""), &b->arena, &first, &first_s);
    read_crumbs(has_second ? b->report->breadcrumbs[1] : STR(""), &b->arena, &second, &second_s);
    bool is_turned = second_s > 0 && first_s > second_s;
    json_writer_init(&w, &text);
    json_begin_object(&w);
    json_key(&w, STR("breadcrumbs"));
    json_begin_array(&w);
    put_elements(&w, buf_str(is_turned ? &second : &first));
    put_elements(&w, buf_str(is_turned ? &first : &second));
    json_end_array(&w);
    json_end_object(&w);
    add_layer(b, buf_str(&text));
}

/* ---- all of it */

static void open_build(struct build *b, const struct native_report *report, size_t n_annotations)
{
    b->report = report;
    b->room = 2 * report->max_bytes;
    b->cap = FIXED_LAYERS + report->n_fields + n_annotations;
    b->docs = arena_array(&b->arena, struct json_doc *, b->cap);
    b->layers = arena_array(&b->arena, const struct json *, b->cap);
    b->chunks = arena_array(&b->arena, struct chunk, report->n_fields + n_annotations + 1);
}

static void add_texts(struct build *b)
{
    const struct native_report *report = b->report;
    AUTO_BUF struct buf game = {0};
    AUTO_BUF struct buf context = {0};
    AUTO_BUF struct buf apple = {0};
    native_unreal(has_room(b, report->unreal_context) ? report->unreal_context : STR(""), report->unreal_user, &game, &context);
    add_layer(b, buf_str(&game));
    add_layer(b, buf_str(&context));
    native_apple(report->apple_report, &apple);
    add_layer(b, buf_str(&apple));
}

static void merge(struct build *b, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    merge_objects(&w, b->layers, b->n_layers, &b->arena);
}

static void tell_cut(struct build *b)
{
    AUTO_BUF struct buf text = {0};
    struct json_writer w;
    json_writer_init(&w, &text);
    json_begin_object(&w);
    json_key(&w, STR("errors"));
    json_begin_array(&w);
    json_begin_object(&w);
    json_field_str(&w, STR("type"), STR("value_too_long"));
    json_field_str(&w, STR("name"), STR("sentry"));
    json_end_object(&w);
    json_end_array(&w);
    json_end_object(&w);
    add_own_layer(b, buf_str(&text));
}

static void close_build(struct build *b)
{
    for (size_t i = 0; i < b->n_layers; i++)
        json_free(b->docs[i]);
    b->n_layers = 0;
}

/* Without what was said about the crash beside the event and the dump. */
static void add_least(struct build *b, const struct minidump *m)
{
    close_build(b);
    b->room = 2 * b->report->max_bytes;
    add_dump(b, m, native_put_certain);
    add_layer(b, b->report->event);
    tell_cut(b);
    add_dump(b, m, native_put_likely);
}

void native_event(const struct native_report *report, struct buf *out)
{
    struct build b = {0};
    struct minidump dump;
    size_t before = out->n;
    arena_init(&b.arena);
    const struct minidump *m = minidump_read(report->dump, &b.arena, &dump) ? &dump : NULL;
    open_build(&b, report, m ? m->n_annotations : 0);
    add_dump(&b, m, native_put_certain);
    add_breadcrumbs(&b);
    add_layer(&b, report->event);
    add_msgpack_event(&b);
    add_fields(&b);
    add_texts(&b);
    add_annotations(&b, m);
    if (b.was_cut)
        tell_cut(&b);
    add_dump(&b, m, native_put_likely);
    merge(&b, out);
    for (int cut = 0; cut < 2 && out->n - before > report->max_bytes; cut++) {
        out->n = before;
        if (cut == 1)
            dump.n_modules = dump.n_threads = 0;
        add_least(&b, m);
        merge(&b, out);
    }
    close_build(&b);
    arena_done(&b.arena);
}
