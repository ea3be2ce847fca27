/* body.c: variants and what is written over them.
 *
 * A variant is the text of an envelope with places for what differs between events (struct place): the event's id, the trace's, times, the number of
 * the issue, a user's and an order's. All of them have a fixed width, so lengths stay right. Frames, messages and variables differ between variants,
 * not between the events of one; the issue's number picks the variant, so that an issue always looks alike.
 *
 * gzip: compressing 4 KB takes a generator as long as storing them takes the server. So each text between two places is compressed once, as a run of
 * blocks that ends at a whole byte and may refer back to the text before it, but never into a place, whose bytes are of no text; the places themselves are
 * stored blocks. What is left per event is the copy and the checksum (zlib's crc32: 2 µs for 4 KB, some 20 for 25 KB). The result is a few bytes
 * per place longer than what a client would send, and decoding it is as much work.
 *
 * Recordings: of a request that is one error event, each mention of the event's id is a place; the DSN goes, because it names another server. */
#include "body.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <zlib.h>

#include "picket/base/clock.h"
#include "picket/json/json.h"
#include "picket/protocol/encoding.h"
#include "picket/protocol/envelope.h"

enum { VARIANTS_MAX = 256, VARIANTS_BYTES = 1 << 20, PLACES_MAX = 512, RECORDED_MAX = 1 << 20, WINDOW = 32 << 10, CRUMBS_MAX = 100 };
enum { SECONDS_DIGITS = 10, MICROS_DIGITS = 6 };

/* In texts under construction a place is MARK, its kind's letter, and MARK up to its width. */
#define MARK '~'
enum kind { EVENT_ID, TRACE_ID, SPAN_ID, NOW, EARLIER, SENT_AT, ISSUE, USER, ORDER, N_KINDS };
static const struct {
    char letter;
    uint8_t width;
} kinds[N_KINDS] = {[EVENT_ID] = {'i', ID_HEX}, [TRACE_ID] = {'t', 32}, [SPAN_ID] = {'s', 16}, [NOW] = {'w', 17}, [EARLIER] = {'c', 17},
                    [SENT_AT] = {'z', 27},      [ISSUE] = {'n', 10},    [USER] = {'u', 8},     [ORDER] = {'o', 8}};

struct place {
    enum kind kind;
    unsigned at, packed_at; /* in the text, and in its compressed form */
};

struct variant {
    struct buf text, packed;
    size_t event_at, event_n; /* the event's JSON in the text */
    unsigned n_places;
    struct place *places;
};

struct bodies {
    struct body_options options;
    unsigned n_variants;
    struct variant *variants;
    struct buf scratch;
    int64_t sent_s;
    char sent_at[CLOCK_RFC3339_MAX]; /* of that second */
};

static uint64_t mix(uint64_t v)
{
    v += UINT64_C(0x9e3779b97f4a7c15);
    v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
    return v ^ v >> 31;
}

/* ---- an event's text */

static const size_t sizes[] = {[BODY_SMALL] = 4000, [BODY_LARGE] = 24600}; /* the last breadcrumb and the envelope's headers come on top */

static const char *const nouns[] = {"basket",  "order",    "invoice", "customer", "price",   "stock",  "coupon",  "payment",
                                    "address", "shipment", "refund",  "product",  "session", "ledger", "account", "quote",
                                    "catalog", "vendor",   "parcel",  "tariff",   "voucher", "review"};
static const char *const verbs[] = {"load", "apply", "check",  "store",   "compute", "render",  "resolve", "dispatch",
                                    "lock", "merge", "notify", "collect", "convert", "reserve", "release", "validate"};
static const char *const parts[] = {"views",   "models", "services",   "tasks",       "queries",
                                    "signals", "forms",  "middleware", "serializers", "cache"};
static const char *const libraries[] = {"django/core/handlers/exception.py", "django/core/handlers/base.py",
                                        "django/db/backends/utils.py",       "celery/app/trace.py",
                                        "sqlalchemy/engine/base.py",         "requests/sessions.py",
                                        "urllib3/connectionpool.py",         "redis/connection.py"};

struct pen {
    struct json_writer w;
    uint64_t seed; /* of the variant */
    unsigned n;    /* words that were drawn */
};

#define DRAW(pen, list) ((list)[draw(pen) % ARRAY_LEN(list)])

static unsigned draw(struct pen *p)
{
    return (unsigned)(mix(p->seed + p->n++) >> 33);
}

static void field(struct pen *p, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void field(struct pen *p, const char *key, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it began in the line before */
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < sizeof text);
    if (key)
        json_field_str(&p->w, str_from(key), str_of(text, (size_t)n));
    else
        json_put_str(&p->w, str_of(text, (size_t)n));
}

static const char *place(enum kind kind, char *text)
{
    memset(text, MARK, kinds[kind].width);
    text[1] = kinds[kind].letter;
    text[kinds[kind].width] = 0;
    return text;
}
#define PLACE(kind) place(kind, (char[64]){0})

static void begin(struct pen *p, const char *key)
{
    if (key)
        json_key(&p->w, str_from(key));
    json_begin_object(&p->w);
}

static void begin_list(struct pen *p, const char *key)
{
    json_key(&p->w, str_from(key));
    json_begin_array(&p->w);
}

static void put_lines(struct pen *p, const char *key, unsigned n)
{
    begin_list(p, key);
    for (unsigned i = 0; i < n; i++)
        field(p, NULL, "        %s_%s = self.%s.%s(%s, timeout=%u)", DRAW(p, verbs), DRAW(p, nouns), DRAW(p, nouns), DRAW(p, verbs),
              DRAW(p, nouns), draw(p) % 1000);
    json_end_array(&p->w);
}

static void put_source(struct pen *p)
{
    put_lines(p, "pre_context", 3);
    put_lines(p, "post_context", 3);
    begin(p, "vars");
    field(p, "self", "<shop.%s.%s object at 0x%s>", DRAW(p, nouns), DRAW(p, parts), PLACE(SPAN_ID));
    field(p, "order_id", "%s", PLACE(ORDER));
    field(p, DRAW(p, nouns), "%u", draw(p));
    field(p, "retries", "%u", draw(p) % 5);
    json_end_object(&p->w);
}

static void put_frame(struct pen *p, unsigned i, enum body_form form)
{
    bool own = i % 3 == 0;
    const char *noun = DRAW(p, nouns), *part = DRAW(p, parts);
    begin(p, NULL);
    field(p, "function", "%s_%s", DRAW(p, verbs), DRAW(p, nouns));
    if (own) {
        field(p, "module", "shop.%s.%s", noun, part);
        field(p, "filename", "shop/%s/%s.py", noun, part);
    } else {
        field(p, "filename", "%s", DRAW(p, libraries));
    }
    json_field_i64(&p->w, STR("lineno"), draw(p) % 900 + 1);
    json_field_bool(&p->w, STR("in_app"), own);
    if (own || form == BODY_LARGE)
        field(p, "context_line", "        return self.%s_%s(%s)", DRAW(p, verbs), noun, DRAW(p, nouns));
    if (form == BODY_LARGE)
        put_source(p);
    json_end_object(&p->w);
}

static void put_exception(struct pen *p, enum body_form form)
{
    begin(p, "exception");
    begin_list(p, "values");
    begin(p, NULL);
    field(p, "type", "%sError%s", DRAW(p, nouns), PLACE(ISSUE));
    field(p, "value", "cannot %s the %s of this %s", DRAW(p, verbs), DRAW(p, nouns), DRAW(p, nouns));
    field(p, "module", "shop.errors");
    begin(p, "mechanism");
    field(p, "type", "django");
    json_field_bool(&p->w, STR("handled"), false);
    json_end_object(&p->w);
    begin(p, "stacktrace");
    begin_list(p, "frames");
    for (unsigned i = 0, n = form == BODY_SMALL ? 25 : 32; i < n; i++)
        put_frame(p, i, form);
    json_end_array(&p->w);
    json_end_object(&p->w);
    json_end_object(&p->w);
    json_end_array(&p->w);
    json_end_object(&p->w);
}

static void put_crumb(struct pen *p, unsigned i)
{
    begin(p, NULL);
    json_key(&p->w, STR("timestamp"));
    json_put_raw(&p->w, str_from(PLACE(EARLIER)));
    field(p, "category", i % 2 ? "query" : "httplib");
    if (i % 2)
        field(p, "message", "SELECT * FROM %s_%s WHERE %s_id = %%s", DRAW(p, nouns), DRAW(p, parts), DRAW(p, nouns));
    else
        field(p, "message", "GET /api/%s/%s 200", DRAW(p, nouns), PLACE(ORDER));
    json_end_object(&p->w);
}

static void put_contexts(struct pen *p)
{
    begin(p, "contexts");
    begin(p, "trace");
    field(p, "trace_id", "%s", PLACE(TRACE_ID));
    field(p, "span_id", "%s", PLACE(SPAN_ID));
    field(p, "op", "http.server");
    json_end_object(&p->w);
    begin(p, "runtime");
    field(p, "name", "CPython");
    field(p, "version", "3.13.%u", draw(p) % 5);
    json_end_object(&p->w);
    json_end_object(&p->w);
}

static void put_about(struct pen *p)
{
    const char *noun = DRAW(p, nouns);
    field(p, "transaction", "/%s/%s", noun, DRAW(p, verbs));
    begin(p, "request");
    field(p, "method", "POST");
    field(p, "url", "https://shop.example/%s/%s", noun, PLACE(ORDER));
    json_end_object(&p->w);
    begin(p, "user");
    field(p, "id", "%s", PLACE(USER));
    json_end_object(&p->w);
    begin(p, "tags");
    field(p, "browser", "Firefox %u", draw(p) % 20 + 125);
    field(p, "region", "eu-%s", draw(p) % 2 ? "west" : "north");
    field(p, "plan", "%s", draw(p) % 3 ? "team" : "free");
    json_end_object(&p->w);
    field(p, "platform", "python");
    field(p, "level", "error");
    field(p, "release", "shop@4.2.%u", draw(p) % 4);
    field(p, "environment", "production");
    field(p, "server_name", "web-%u", draw(p) % 8);
    begin(p, "sdk");
    field(p, "name", "sentry.python");
    field(p, "version", "2.75.0");
    json_end_object(&p->w);
}

static void put_padding(struct pen *p, const struct buf *out, size_t bytes)
{
    AUTO_BUF struct buf digits = {0};
    while (out->n + digits.n < bytes)
        buf_printf(&digits, "%016llx", (unsigned long long)mix(p->seed ^ digits.n));
    begin(p, "extra");
    json_field_str(&p->w, STR("padding"), buf_str(&digits));
    json_end_object(&p->w);
}

static void put_event(const struct body_options *o, unsigned variant, struct buf *out)
{
    struct pen p = {.seed = mix(variant) & ~UINT64_C(0xffff)};
    json_writer_init(&p.w, out);
    json_begin_object(&p.w);
    field(&p, "event_id", "%s", PLACE(EVENT_ID));
    json_key(&p.w, STR("timestamp"));
    json_put_raw(&p.w, str_from(PLACE(NOW)));
    put_exception(&p, o->form);
    put_contexts(&p);
    put_about(&p);
    begin(&p, "breadcrumbs");
    begin_list(&p, "values");
    for (unsigned i = 0; i < CRUMBS_MAX && (i < 2 || out->n < sizes[o->form]); i++)
        put_crumb(&p, i);
    json_end_array(&p.w);
    json_end_object(&p.w);
    if (out->n < o->bytes)
        put_padding(&p, out, o->bytes);
    json_end_object(&p.w);
}

static void put_envelope(const struct body_options *o, unsigned n, struct variant *v)
{
    AUTO_BUF struct buf event = {0};
    struct pen p = {0};
    put_event(o, n, &event);
    json_writer_init(&p.w, &v->text);
    json_begin_object(&p.w);
    field(&p, "event_id", "%s", PLACE(EVENT_ID));
    field(&p, "sent_at", "%s", PLACE(SENT_AT));
    json_end_object(&p.w);
    buf_append_char(&v->text, '\n');
    json_writer_init(&p.w, &v->text);
    json_begin_object(&p.w);
    field(&p, "type", "event");
    json_field_i64(&p.w, STR("length"), (int64_t)event.n);
    json_end_object(&p.w);
    buf_append_char(&v->text, '\n');
    v->event_at = v->text.n;
    v->event_n = event.n;
    buf_append_str(&v->text, buf_str(&event));
    buf_append_char(&v->text, '\n');
}

/* ---- places */

static void add_place(struct variant *v, enum kind kind, size_t at)
{
    if (v->n_places == PLACES_MAX)
        abort();
    v->places = realloc(v->places, (v->n_places + 1) * sizeof *v->places);
    if (!v->places)
        abort();
    v->places[v->n_places++] = (struct place){.kind = kind, .at = (unsigned)at};
    memset(v->text.p + at, 0xC0, kinds[kind].width); /* in no text: nothing is compressed by reference to it */
}

static void find_marks(struct variant *v)
{
    for (size_t at = 0; at + 1 < v->text.n; at++) {
        if (v->text.p[at] != MARK)
            continue;
        for (enum kind k = 0; k < N_KINDS; k++) {
            if (v->text.p[at + 1] == kinds[k].letter) {
                add_place(v, k, at);
                break;
            }
        }
        assert(v->text.p[at] != MARK);
    }
}

static void put_digits(char *dst, unsigned width, uint64_t v)
{
    for (unsigned i = width; i-- > 0; v /= 10)
        dst[i] = (char)('0' + v % 10);
}

static void put_hex(char *dst, unsigned width, uint64_t seed)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t v = 0;
    for (unsigned i = 0; i < width; i++, v >>= 4) {
        if (i % 16 == 0)
            v = mix(seed + i);
        dst[i] = digits[v & 15];
    }
}

static void put_seconds(char *dst, int64_t us)
{
    put_digits(dst, SECONDS_DIGITS, (uint64_t)(us / CLOCK_US_PER_S));
    dst[SECONDS_DIGITS] = '.';
    put_digits(dst + SECONDS_DIGITS + 1, MICROS_DIGITS, (uint64_t)(us % CLOCK_US_PER_S));
}

static void put_sent_at(struct bodies *b, char *dst, int64_t us)
{
    enum { TO_SECONDS = 19 };
    if (us / CLOCK_US_PER_S != b->sent_s) {
        b->sent_s = us / CLOCK_US_PER_S;
        (void)clock_format(b->sent_s * CLOCK_US_PER_S, b->sent_at);
    }
    memcpy(dst, b->sent_at, TO_SECONDS);
    dst[TO_SECONDS] = '.';
    put_digits(dst + TO_SECONDS + 1, MICROS_DIGITS, (uint64_t)(us % CLOCK_US_PER_S));
    dst[TO_SECONDS + 1 + MICROS_DIGITS] = 'Z';
}

static void fill(struct bodies *b, const struct variant *v, uint64_t number, const struct id128 *id, char *text)
{
    char hex[ID_HEX + 1];
    int64_t now_us = clock_wall_us();
    uint64_t issue = b->options.issues ? number % b->options.issues : number;
    id_hex(id, hex);
    for (unsigned i = 0; i < v->n_places; i++) {
        char *at = text + v->places[i].at;
        uint64_t seed = mix(number) + i;
        switch (v->places[i].kind) {
        case EVENT_ID:
            memcpy(at, hex, ID_HEX);
            break;
        case TRACE_ID:
        case SPAN_ID:
            put_hex(at, kinds[v->places[i].kind].width, seed);
            break;
        case NOW:
            put_seconds(at, now_us);
            break;
        case EARLIER:
            put_seconds(at, now_us - (int64_t)(mix(seed) % 1000000) - (int64_t)(v->n_places - i) * CLOCK_US_PER_S);
            break;
        case SENT_AT:
            put_sent_at(b, at, now_us);
            break;
        case ISSUE:
            put_digits(at, kinds[ISSUE].width, issue);
            break;
        case USER:
        case ORDER:
            put_digits(at, kinds[USER].width, mix(seed) % 100000000);
            break;
        case N_KINDS:
            abort();
        }
    }
}

/* ---- gzip */

/* Appends text[from..to) as blocks that end at a whole byte. */
static void deflate_part(z_stream *z, const struct buf *text, size_t from, size_t to, int flush, struct buf *out)
{
    size_t before = from < WINDOW ? from : WINDOW;
    if (deflateReset(z) != Z_OK || (before && deflateSetDictionary(z, (Bytef *)text->p + from - before, (uInt)before) != Z_OK))
        abort();
    size_t bound = deflateBound(z, to - from) + 16;
    buf_reserve(out, bound);
    z->next_in = (Bytef *)text->p + from;
    z->avail_in = (uInt)(to - from);
    z->next_out = (Bytef *)out->p + out->n;
    z->avail_out = (uInt)bound;
    int r = deflate(z, flush);
    if (r != (flush == Z_FINISH ? Z_STREAM_END : Z_OK) || z->avail_in > 0)
        abort();
    out->n += bound - z->avail_out;
}

static void pack(z_stream *z, struct variant *v)
{
    static const char head[10] = "\x1f\x8b\x08\0\0\0\0\0\0\xff";
    size_t from = 0;
    buf_append(&v->packed, head, sizeof head);
    for (unsigned i = 0; i < v->n_places; i++) {
        struct place *p = &v->places[i];
        uint8_t width = kinds[p->kind].width;
        deflate_part(z, &v->text, from, p->at, Z_SYNC_FLUSH, &v->packed);
        buf_append(&v->packed, (char[]){0, (char)width, 0, (char)~width, (char)0xff},
                   5); /* a stored block: its length, and that inverted */
        p->packed_at = (unsigned)v->packed.n;
        buf_append(&v->packed, v->text.p + p->at, width);
        from = p->at + width;
    }
    deflate_part(z, &v->text, from, v->text.n, Z_FINISH, &v->packed);
}

static void pack_all(struct bodies *b)
{
    z_stream z = {0};
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    for (unsigned i = 0; i < b->n_variants; i++)
        pack(&z, &b->variants[i]);
    (void)deflateEnd(&z);
}

static void make_packed(const struct variant *v, const char *text, struct buf *out)
{
    uint32_t tail[2] = {htole32((uint32_t)crc32(0, (const Bytef *)text, (uInt)v->text.n)), htole32((uint32_t)v->text.n)};
    size_t at = out->n;
    buf_append_str(out, buf_str(&v->packed));
    for (unsigned i = 0; i < v->n_places; i++)
        memcpy(out->p + at + v->places[i].packed_at, text + v->places[i].at, kinds[v->places[i].kind].width);
    buf_append(out, tail, sizeof tail);
}

/* ---- recordings */

static void read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return;
    buf_reserve(out, RECORDED_MAX);
    out->n += fread(out->p + out->n, 1, RECORDED_MAX, f);
    (void)fclose(f);
}

/* The envelope if it is one error event and nothing else: its header without the DSN, and the rest as it came. */
static bool take_recording(struct str body, struct variant *v)
{
    struct arena arena;
    struct envelope e;
    struct envelope_item item;
    AUTO_JSON struct json_doc *doc = NULL;
    arena_init(&arena);
    bool good = envelope_open(body, &arena, &e) >= 0 && e.header.has_event_id;
    struct str rest = e.rest;
    good = good && envelope_next(&e, &item) == 1 && item.kind == item_kind_of(STR("event")) && envelope_next(&e, &item) == 0;
    good = good && json_parse(e.header.json, &doc, &(size_t){0}) >= 0;
    if (good) {
        char hex[ID_HEX + 1];
        struct pen p = {0};
        json_writer_init(&p.w, &v->text);
        json_begin_object(&p.w);
        id_hex(&e.header.event_id, hex);
        json_field_str(&p.w, STR("event_id"), str_of(hex, ID_HEX));
        json_end_object(&p.w);
        buf_append_char(&v->text, '\n');
        buf_append_str(&v->text, rest);
        for (char *at = v->text.p; (at = memmem(at, (size_t)(v->text.p + v->text.n - at), hex, ID_HEX));)
            add_place(v, EVENT_ID, (size_t)(at - v->text.p));
        good = v->n_places >= 2;
    }
    arena_done(&arena);
    return good;
}

static void read_recording(struct bodies *b, const char *directory, const char *name)
{
    AUTO_BUF struct buf path = {0};
    AUTO_BUF struct buf raw = {0};
    AUTO_BUF struct buf body = {0};
    struct variant v = {0};
    buf_printf(&path, "%s/%s", directory, name);
    read_file(buf_cstr(&path), &raw);
    enum content_encoding coding = encoding_of_file(buf_str(&raw));
    if (coding != ENCODING_IDENTITY && encoding_decode(coding, buf_str(&raw), RECORDED_MAX, &body) < 0)
        return;
    if (b->n_variants == VARIANTS_MAX || !take_recording(coding == ENCODING_IDENTITY ? buf_str(&raw) : buf_str(&body), &v)) {
        buf_done(&v.text);
        free(v.places);
        return;
    }
    b->variants[b->n_variants++] = v;
}

static void read_recordings(struct bodies *b, const char *directory)
{
    DIR *d = opendir(directory);
    for (struct dirent *e; d && (e = readdir(d));) {
        AUTO_BUF struct buf path = {0};
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        buf_printf(&path, "%s/%s", directory, e->d_name);
        if (stat(buf_cstr(&path), &st) == 0 && S_ISDIR(st.st_mode))
            read_recordings(b, buf_cstr(&path));
        else if (str_ends(str_from(e->d_name), STR(".body")))
            read_recording(b, directory, e->d_name);
    }
    if (d)
        (void)closedir(d);
}

/* ---- all of them */

static const struct variant *variant_of(const struct bodies *b, uint64_t number)
{
    return &b->variants[(b->options.issues ? number % b->options.issues : number) % b->n_variants];
}

static void make_variants(struct bodies *b)
{
    size_t each = b->options.bytes > sizes[b->options.form] ? b->options.bytes : sizes[b->options.form];
    size_t n = VARIANTS_BYTES / each < VARIANTS_MAX ? VARIANTS_BYTES / each : VARIANTS_MAX;
    if (b->options.issues && n > b->options.issues)
        n = (size_t)b->options.issues;
    for (b->n_variants = 0; b->n_variants < (n ? n : 1); b->n_variants++) {
        struct variant *v = &b->variants[b->n_variants];
        put_envelope(&b->options, b->n_variants, v);
        find_marks(v);
    }
}

/* What is written over the compressed form must be what comes out of it. */
static void check_packed(struct bodies *b)
{
    AUTO_BUF struct buf packed = {0};
    AUTO_BUF struct buf plain = {0};
    struct id128 id = id_random();
    bodies_make(b, 1, &id, &packed);
    int r = encoding_decode(ENCODING_GZIP, buf_str(&packed), (size_t)64 << 20, &plain);
    if (r < 0 || !str_eq(buf_str(&plain), buf_str(&b->scratch)))
        abort();
}

struct bodies *bodies_new(const struct body_options *options)
{
    struct bodies *b = calloc(1, sizeof *b);
    if (!b || !(b->variants = calloc(VARIANTS_MAX, sizeof *b->variants)))
        abort();
    b->options = *options;
    b->sent_s = -1;
    if (options->replay)
        read_recordings(b, options->replay);
    else
        make_variants(b);
    if (b->n_variants == 0) {
        bodies_free(b);
        return NULL;
    }
    if (options->coding == BODY_GZIP) {
        pack_all(b);
        check_packed(b);
    }
    return b;
}

void bodies_free(struct bodies *b)
{
    if (!b)
        return;
    for (unsigned i = 0; i < b->n_variants; i++) {
        buf_done(&b->variants[i].text);
        buf_done(&b->variants[i].packed);
        free(b->variants[i].places);
    }
    buf_done(&b->scratch);
    free(b->variants);
    free(b);
}

void bodies_make(struct bodies *b, uint64_t number, const struct id128 *id, struct buf *out)
{
    const struct variant *v = variant_of(b, number);
    struct buf *plain = b->options.coding == BODY_GZIP ? &b->scratch : out;
    if (plain == &b->scratch)
        buf_clear(plain);
    size_t at = plain->n;
    buf_append_str(plain, buf_str(&v->text));
    fill(b, v, number, id, plain->p + at);
    if (plain == &b->scratch)
        make_packed(v, plain->p, out);
}

void bodies_event(struct bodies *b, uint64_t number, const struct id128 *id, struct buf *out)
{
    const struct variant *v = variant_of(b, number);
    buf_clear(&b->scratch);
    buf_append_str(&b->scratch, buf_str(&v->text));
    fill(b, v, number, id, b->scratch.p);
    buf_append(out, b->scratch.p + v->event_at, v->event_n);
}
