/* native.c: an event out of the parts of a crash report.
 *
 * Every part becomes a layer: a JSON object. The layers are merged (merge.h), the first that knows something wins:
 *
 *   what the dump decides · breadcrumb files · the event that came beside it · __sentry-event · the form's fields in their order · its chunks ·
 *   an event in Unreal's game data · Unreal's context · an Apple report · Crashpad's annotations · what the dump says of the system
 *
 * Fields (protocol §1.6) and Crashpad's annotations are read alike: `sentry` and `sentry___name` hold JSON, `sentry__1`, `sentry__2` … pieces of one
 * JSON text, `sentry[a][b]` one value; a field of another name becomes extra of its name, an annotation a member of contexts.crashpad. A layer that
 * is no JSON object is left out: the crash counts more than what was said about it.
 *
 * What is too large is left out by whole parts, and the event's errors name them:
 *
 *   before they are read, because a parsed text takes many times its size: the largest, until the others fit in what may be read;
 *   when they are merged: breadcrumb files, then the largest, until the event fits. As many go at once as its excess tells, at least as many as
 *   before, so it is merged a few times, whatever their number (n log² n at worst). Breadcrumbs come back where they fit beside what is left.
 *
 * Never the dump, nor the event that came beside it. */
#include "picket/event/native.h"

#include "merge.h"
#include "moment.h"
#include "native_dump.h"
#include "native_text.h"
#include "picket/protocol/msgpack.h"

enum { MAX_PATH = 15, MAX_CHUNK = 9999, FIXED_LAYERS = 24, FIXED_PARTS = 5, MAX_TOLD = 100, MAX_TOLD_NAME = 100, NOTE_BYTES = 36 };

struct chunk {
    uint64_t number;
    struct str name, text;
};
struct layer {
    struct json_doc *doc; /* NULL: nothing */
    struct str name;      /* of the part that it is; "": always kept */
    size_t bytes;
    bool is_crumbs, is_left_out;
};
struct build {
    const struct native_report *report;
    struct arena arena;
    struct layer *layers, *crumbs, *errors;
    struct chunk *chunks;
    struct str *unread; /* names of parts */
    size_t n_layers, n_chunks, n_unread, cap;
    size_t room;    /* bytes of text that may still be parsed */
    size_t largest; /* part that is read */
};

/* ---- layers */

static void leave_unread(struct build *b, struct str name)
{
    assert(b->n_unread < b->cap);
    b->unread[b->n_unread++] = name;
}

/* Parts are asked for as they came; what is written of them may be longer. */
static bool has_room(struct build *b, struct str name, struct str part)
{
    bool fits = part.n <= b->room && part.n <= b->largest;
    if (!fits)
        leave_unread(b, name);
    return fits && part.n > 0;
}

/* Its place among the layers; it may be filled later. */
static struct layer *add_place(struct build *b)
{
    assert(b->n_layers < b->cap);
    struct layer *l = &b->layers[b->n_layers++];
    *l = (struct layer){.name = STR("")};
    return l;
}

static void fill(struct layer *l, struct str name, struct str text)
{
    struct json_doc *doc;
    if (json_parse(text, &doc, NULL) < 0)
        return;
    if (json_type(json_root(doc)) != JSON_OBJECT) {
        json_free(doc);
        return;
    }
    *l = (struct layer){.doc = doc, .name = name, .bytes = text.n};
}

static void fill_read(struct build *b, struct layer *l, struct str name, struct str text)
{
    if (text.n > b->room) {
        leave_unread(b, name);
    } else if (text.n > 0) {
        b->room -= text.n;
        fill(l, name, text);
    }
}

static void add_layer(struct build *b, struct str name, struct str text)
{
    if (text.n > 0)
        fill_read(b, add_place(b), name, text);
}

static void add_dump(struct build *b, const struct minidump *m, void (*put)(struct json_writer *, const struct minidump *, struct arena *))
{
    AUTO_BUF struct buf text = {0};
    struct json_writer w;
    if (!minidump_is(b->report->dump))
        return;
    json_writer_init(&w, &text);
    put(&w, m, &b->arena);
    fill(add_place(b), STR(""), buf_str(&text));
}

/* ---- fields */

/* {"a": {"b": value}} for the path a, b. */
static void add_value(struct build *b, struct str name, const struct str *path, size_t n, struct str value)
{
    AUTO_BUF struct buf text = {0};
    struct json_writer w;
    size_t bytes = value.n;
    for (size_t i = 0; i < n; i++)
        bytes += path[i].n;
    if (bytes > b->room ||
        value.n > b->largest) { /* before it is written: values may be as large as the dump, and many may be the same bytes of it */
        leave_unread(b, name);
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
    add_layer(b, name, buf_str(&text));
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
    struct chunk chunk = {.name = name, .text = value};
    size_t n;
    if (!str_starts(name, STR("sentry")))
        return false;
    struct str rest = str_drop(name, STR("sentry").n);
    if (rest.n == 0 || str_starts(rest, STR("___"))) {
        if (has_room(b, name, value))
            add_layer(b, name, value);
    } else if (str_starts(rest, STR("__")) && str_to_u64(str_drop(rest, 2), &chunk.number) && chunk.number <= MAX_CHUNK) {
        if (has_room(b, name, value))
            b->chunks[b->n_chunks++] = chunk;
    } else if ((n = read_path(rest, path)) > 0) {
        add_value(b, name, path, n, value);
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
    if (b->n_chunks)
        add_layer(b, b->chunks[0].name, buf_str(&text));
    b->n_chunks = 0;
}

static void add_fields(struct build *b)
{
    const struct native_report *report = b->report;
    for (size_t i = 0; i < report->n_fields; i++) {
        const struct native_field *f = &report->fields[i];
        if (!add_field(b, f->name, f->value) && f->name.n)
            add_value(b, f->name, (struct str[]){STR("extra"), f->name}, 2, f->value);
    }
    add_chunks(b);
}

static void add_annotations(struct build *b, const struct minidump *m)
{
    for (size_t i = 0; m && i < m->n_annotations; i++) {
        const struct minidump_annotation *an = &m->annotations[i];
        if (!add_field(b, an->key, an->value))
            add_value(b, an->key, (struct str[]){STR("contexts"), STR("crashpad"), an->key}, 3, an->value);
    }
    add_chunks(b);
}

/* ---- MessagePack */

static void add_msgpack_event(struct build *b)
{
    AUTO_BUF struct buf text = {0};
    struct str rest = b->report->event_msgpack;
    if (has_room(b, STR("__sentry-event"), rest) && msgpack_read(&rest, &text) == 0)
        add_layer(b, STR("__sentry-event"), buf_str(&text));
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
    const struct str name = STR("breadcrumbs");
    double first_s, second_s;
    struct json_writer w;
    bool has_first = has_room(b, name, b->report->breadcrumbs[0]), has_second = has_room(b, name, b->report->breadcrumbs[1]);
    if (!has_first && !has_second)
        return;
    read_crumbs(has_first ? b->report->breadcrumbs[0] : STR(""), &b->arena, &first, &first_s);
    read_crumbs(has_second ? b->report->breadcrumbs[1] : STR(""), &b->arena, &second, &second_s);
    bool is_turned = second_s > 0 && first_s > second_s;
    json_writer_init(&w, &text);
    json_begin_object(&w);
    json_key(&w, name);
    json_begin_array(&w);
    put_elements(&w, buf_str(is_turned ? &second : &first));
    put_elements(&w, buf_str(is_turned ? &first : &second));
    json_end_array(&w);
    json_end_object(&w);
    fill_read(b, b->crumbs, name, buf_str(&text));
    b->crumbs->is_crumbs = true;
}

/* ---- all of it */

static int by_size(const void *pa, const void *pb)
{
    const size_t *a = pa, *b = pb;
    return (*a > *b) - (*a < *b);
}

/* The largest of the parts that are read: all that are not larger fit. */
static size_t largest_part(struct build *b, const struct minidump *m)
{
    const struct native_report *r = b->report;
    size_t n = FIXED_PARTS, sum = r->event.n, largest = 0;
    size_t *sizes = arena_array(&b->arena, size_t, b->cap);
    memcpy(sizes,
           (size_t[FIXED_PARTS]){r->event_msgpack.n, r->breadcrumbs[0].n, r->breadcrumbs[1].n, r->unreal_context.n, r->apple_report.n},
           FIXED_PARTS * sizeof *sizes);
    for (size_t i = 0; i < r->n_fields; i++)
        sizes[n++] = r->fields[i].value.n;
    for (size_t i = 0; m && i < m->n_annotations; i++)
        sizes[n++] = m->annotations[i].value.n;
    qsort(sizes, n, sizeof *sizes, by_size);
    for (size_t i = 0; i < n && sizes[i] <= b->room && sum + sizes[i] <= b->room; i++) {
        sum += sizes[i];
        largest = sizes[i];
    }
    return largest;
}

static void open_build(struct build *b, const struct native_report *report, const struct minidump *m)
{
    size_t n_annotations = m ? m->n_annotations : 0;
    b->report = report;
    b->room = 2 * report->max_bytes;
    b->cap = FIXED_LAYERS + report->n_fields + n_annotations;
    b->layers = arena_array(&b->arena, struct layer, b->cap);
    b->unread = arena_array(&b->arena, struct str, b->cap);
    b->chunks = arena_array(&b->arena, struct chunk, report->n_fields + n_annotations + 1);
    b->largest = largest_part(b, m);
}

static void add_texts(struct build *b)
{
    const struct native_report *report = b->report;
    AUTO_BUF struct buf game = {0};
    AUTO_BUF struct buf context = {0};
    AUTO_BUF struct buf apple = {0};
    const struct str unreal = STR("CrashContext.runtime-xml"), crash = STR("apple_crash_report");
    native_unreal(has_room(b, unreal, report->unreal_context) ? report->unreal_context : STR(""), report->unreal_user, &game, &context);
    add_layer(b, unreal, buf_str(&game));
    add_layer(b, unreal, buf_str(&context));
    if (has_room(b, crash, report->apple_report))
        native_apple(report->apple_report, &apple);
    add_layer(b, crash, buf_str(&apple));
}

/* ---- what is too large */

static void put_told(struct json_writer *w, struct str name, size_t *told)
{
    if (++*told > MAX_TOLD)
        return;
    json_begin_object(w);
    json_field_str(w, STR("type"), STR("value_too_long"));
    json_field_str(w, STR("name"), str_take_code_points(name, MAX_TOLD_NAME));
    json_end_object(w);
}

static void tell(struct build *b)
{
    AUTO_BUF struct buf text = {0};
    struct json_writer w;
    size_t told = 0;
    json_writer_init(&w, &text);
    json_begin_object(&w);
    json_key(&w, STR("errors"));
    json_begin_array(&w);
    for (size_t i = 0; i < b->n_unread; i++)
        put_told(&w, b->unread[i], &told);
    for (size_t i = 0; i < b->n_layers; i++)
        if (b->layers[i].is_left_out)
            put_told(&w, b->layers[i].name, &told);
    json_end_array(&w);
    json_end_object(&w);
    json_free(b->errors->doc);
    *b->errors = (struct layer){.name = STR("")};
    if (told > 0)
        fill(b->errors, STR(""), buf_str(&text));
}

static void merge(struct build *b, struct buf *out)
{
    struct json_writer w;
    struct arena a;
    size_t n = 0;
    arena_init(&a);
    const struct json **roots = arena_array(&a, const struct json *, b->n_layers + 1);
    tell(b);
    for (size_t i = 0; i < b->n_layers; i++)
        if (b->layers[i].doc && !b->layers[i].is_left_out)
            roots[n++] = json_root(b->layers[i].doc);
    json_writer_init(&w, out);
    merge_objects(&w, roots, n, &a);
    arena_done(&a);
}

/* Who is left out first. */
static int by_turn(const void *pa, const void *pb)
{
    const struct layer *a = *(struct layer *const *)pa, *b = *(struct layer *const *)pb;
    if (a->is_crumbs != b->is_crumbs)
        return a->is_crumbs ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    return (a > b) - (a < b);
}

/* What the event becomes shorter by, told as it is. */
static size_t gain_of(const struct layer *l)
{
    size_t note = NOTE_BYTES + l->name.n;
    return l->bytes > note ? l->bytes - note : 0;
}

/* `start`: where the event begins in `out`. */
static bool is_too_large(const struct build *b, size_t start, const struct buf *out)
{
    return out->n - start > b->report->max_bytes;
}

static void restore_crumbs(struct build *b, size_t start, struct buf *out)
{
    AUTO_BUF struct buf text = {0};
    b->crumbs->is_left_out = false;
    merge(b, &text);
    if (text.n > b->report->max_bytes)
        return;
    out->n = start;
    buf_append_str(out, buf_str(&text));
}

static void leave_out(struct build *b, size_t start, struct buf *out)
{
    struct layer **turns = arena_array(&b->arena, struct layer *, b->n_layers + 1);
    size_t n = 0, gone = 0;
    for (size_t i = 0; i < b->n_layers; i++)
        if (b->layers[i].name.n > 0)
            turns[n++] = &b->layers[i];
    if (n > 0)
        qsort(turns, n, sizeof(struct layer *), by_turn);
    while (gone < n && is_too_large(b, start, out)) {
        size_t excess = out->n - start - b->report->max_bytes, gain = 0;
        for (size_t before = gone; gone < n && (gain < excess || gone < 2 * before); gone++) {
            turns[gone]->is_left_out = true;
            gain += gain_of(turns[gone]);
        }
        out->n = start;
        merge(b, out);
    }
    if (gone > 1 && turns[0]->is_crumbs && !is_too_large(b, start, out))
        restore_crumbs(b, start, out);
}

static void close_build(struct build *b)
{
    for (size_t i = 0; i < b->n_layers; i++)
        json_free(b->layers[i].doc);
    b->n_layers = 0;
}

/* Without what was said about the crash beside the event and the dump. */
static void add_least(struct build *b, const struct minidump *m)
{
    close_build(b);
    b->room = 2 * b->report->max_bytes;
    b->n_unread = 0;
    leave_unread(b, STR("sentry"));
    add_dump(b, m, native_put_certain);
    add_layer(b, STR(""), b->report->event);
    b->errors = add_place(b);
    add_dump(b, m, native_put_likely);
}

void native_event(const struct native_report *report, struct buf *out)
{
    struct build b = {0};
    struct minidump dump;
    size_t start = out->n;
    arena_init(&b.arena);
    const struct minidump *m = minidump_read(report->dump, &b.arena, &dump) ? &dump : NULL;
    open_build(&b, report, m);
    add_dump(&b, m, native_put_certain);
    b.crumbs = add_place(&b);
    add_layer(&b, STR(""), report->event);
    add_msgpack_event(&b);
    add_fields(&b);
    add_texts(&b);
    add_annotations(&b, m);
    b.errors = add_place(&b);
    add_dump(&b, m, native_put_likely);
    add_breadcrumbs(&b); /* the last to be read: they may grow, and what others need is more */
    merge(&b, out);
    leave_out(&b, start, out);
    for (int cut = 0; cut < 2 && is_too_large(&b, start, out); cut++) {
        out->n = start;
        if (cut == 1)
            dump.n_modules = dump.n_threads = 0;
        add_least(&b, m);
        merge(&b, out);
    }
    close_build(&b);
    arena_done(&b.arena);
}
