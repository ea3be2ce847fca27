/* write.c: a stream of JSON into a buf.
 *
 * W1  What comes out is valid JSON and well-formed UTF-8, whatever bytes went in.
 * W2  Misuse of the writer by our own code asserts at the call that is wrong, not later in a client's parser.
 * W3  json_put_value does not recurse. A document's values lie in one array in document order, so the walk is a plain increment; what
 *     has to be remembered is how many slots each open container still expects, one number per level: on the C stack for usual depths,
 *     on the heap beyond. */
#include "yy.h"

#include "picket/base/clock.h"

enum { IN_OBJECT = 1, NOT_EMPTY = 2 };
enum { I64_MAX_CHARS = 20, F64_MAX_CHARS = 40 };

/* One byte, without a call while there is room. */
static inline void put_char(struct buf *out, char c)
{
    if (out->n == out->cap)
        buf_reserve(out, 1);
    out->p[out->n++] = c;
}

/* ---- strings */

enum { STRIDE = 8, ESCAPE_MAX = 6 };
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "put_quoted takes the lowest bits for the first byte");

/* A set high bit in every byte of `x` that needs a look: control characters, quote, backslash, non-ASCII. Exact for the lowest such
 * byte, which is all that is asked (a borrow only runs upwards from a true hit). */
static inline uint64_t odd_bytes(uint64_t x)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
    uint64_t quote = x ^ (ones * '"'), backslash = x ^ (ones * '\\');
    return (x | ((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash)) & highs;
}

static inline bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static size_t put_escape(char *dst, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[] = {['"'] = '"', ['\\'] = '\\', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    if (c < sizeof letters && letters[c]) {
        dst[0] = '\\';
        dst[1] = letters[c];
        return 2;
    }
    if (c == 0 || c >= 0x80) { /* NUL, or a byte that belongs to no character: U+FFFD itself, so that it is written the same again */
        memcpy(dst, "\xEF\xBF\xBD", 3);
        return 3;
    }
    memcpy(dst, "\\u00", 4);
    dst[4] = hex[c >> 4];
    dst[5] = hex[c & 15];
    return ESCAPE_MAX;
}

/* Copies while it looks. There is always room for the bytes that are left as they stand, one escape and the quotes. */
static void put_quoted(struct buf *out, struct str s)
{
    enum { SLACK = ESCAPE_MAX + 2 };
    buf_reserve(out, s.n + SLACK);
    char *dst = out->p + out->n;
    size_t at = 0;
    *dst++ = '"';
    while (at < s.n) {
        if (s.n - at >= STRIDE) {
            uint64_t eight;
            memcpy(&eight, s.p + at, STRIDE);
            memcpy(dst, &eight, STRIDE);
            uint64_t odd = odd_bytes(eight);
            size_t plain = odd ? (size_t)__builtin_ctzll(odd) / 8 : STRIDE;
            at += plain;
            dst += plain;
            if (plain == STRIDE)
                continue;
        } else if (is_plain((unsigned char)s.p[at])) {
            *dst++ = s.p[at++];
            continue;
        }
        unsigned char c = (unsigned char)s.p[at];
        size_t len = c >= 0x80 ? str_utf8_char(str_drop(s, at)) : 0;
        if (len > 0) {
            memcpy(dst, s.p + at, len);
            dst += len;
            at += len;
            continue;
        }
        dst += put_escape(dst, c);
        at++;
        out->n = (size_t)(dst - out->p);
        buf_reserve(out, s.n - at + SLACK);
        dst = out->p + out->n;
    }
    *dst++ = '"';
    out->n = (size_t)(dst - out->p);
}

/* ---- numbers */

static void put_digits(struct buf *out, uint64_t magnitude, bool negative)
{
    char text[I64_MAX_CHARS + 1];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude);
    if (negative)
        text[--at] = '-';
    buf_append(out, text + at, sizeof text - at);
}

static void put_int(struct buf *out, int64_t v)
{
    put_digits(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
}

/* The library's shortest form, made in memory on the stack. Infinity and NaN are written as null. */
static void put_real(struct buf *out, double v)
{
    char memory[512];
    yyjson_alc alc;
    yyjson_val number = {0};
    size_t n = 0;
    (void)yyjson_alc_pool_init(&alc, memory, sizeof memory); /* fails only for sizes below a few words */
    yyjson_set_real(&number, v);
    char *text = yyjson_val_write_opts(&number, YYJSON_WRITE_INF_AND_NAN_AS_NULL, &alc, &n, NULL);
    assert(text && n <= F64_MAX_CHARS);
    buf_append(out, text, n);
}

/* ---- the writer's own state */

void json_writer_init(struct json_writer *w, struct buf *out)
{
    *w = (struct json_writer){.out = out};
}

static void comma(struct json_writer *w)
{
    uint8_t *state = &w->state[w->depth - 1];
    if (*state & NOT_EMPTY)
        put_char(w->out, ',');
    *state |= NOT_EMPTY;
}

static void before_value(struct json_writer *w)
{
    if (w->depth == 0)
        return;
    if (w->state[w->depth - 1] & IN_OBJECT) {
        assert(w->key_written);
        w->key_written = false;
    } else {
        comma(w);
    }
}

static void begin(struct json_writer *w, char bracket, uint8_t state)
{
    before_value(w);
    assert(w->depth < JSON_WRITER_DEPTH);
    w->state[w->depth++] = state;
    put_char(w->out, bracket);
}

static void end(struct json_writer *w, char bracket, uint8_t kind)
{
    assert(w->depth > 0 && (w->state[w->depth - 1] & IN_OBJECT) == kind && !w->key_written);
    w->depth--;
    put_char(w->out, bracket);
}

void json_begin_object(struct json_writer *w)
{
    begin(w, '{', IN_OBJECT);
}

void json_end_object(struct json_writer *w)
{
    end(w, '}', IN_OBJECT);
}

void json_begin_array(struct json_writer *w)
{
    begin(w, '[', 0);
}

void json_end_array(struct json_writer *w)
{
    end(w, ']', 0);
}

void json_key(struct json_writer *w, struct str key)
{
    assert(w->depth > 0 && (w->state[w->depth - 1] & IN_OBJECT) && !w->key_written);
    comma(w);
    put_quoted(w->out, key);
    put_char(w->out, ':');
    w->key_written = true;
}

void json_put_str(struct json_writer *w, struct str s)
{
    before_value(w);
    put_quoted(w->out, s);
}

void json_put_i64(struct json_writer *w, int64_t v)
{
    before_value(w);
    put_int(w->out, v);
}

void json_put_f64(struct json_writer *w, double v)
{
    before_value(w);
    put_real(w->out, v);
}

void json_put_bool(struct json_writer *w, bool v)
{
    json_put_raw(w, v ? STR("true") : STR("false"));
}

void json_put_null(struct json_writer *w)
{
    json_put_raw(w, STR("null"));
}

void json_put_time(struct json_writer *w, int64_t wall_us)
{
    char text[CLOCK_RFC3339_MAX];
    size_t n = clock_format(wall_us, text);
    json_put_str(w, str_of(text, n));
}

void json_put_raw(struct json_writer *w, struct str json_text)
{
    before_value(w);
    buf_append_str(w->out, json_text);
}

/* ---- whole values */

/* One word per open container: slots still to come (a member is two: key and value), shifted left, and IN_OBJECT. */
struct walk {
    uint64_t *levels; /* `fixed`, or heap */
    size_t depth, cap;
    uint64_t fixed[64];
};

static void walk_push(struct walk *k, uint64_t level)
{
    if (k->depth == k->cap) {
        bool on_heap = k->levels != k->fixed;
        uint64_t *bigger = realloc(on_heap ? k->levels : NULL, k->cap * 2 * sizeof *bigger);
        if (!bigger)
            abort();
        if (!on_heap)
            memcpy(bigger, k->fixed, sizeof k->fixed);
        k->levels = bigger;
        k->cap *= 2;
    }
    k->levels[k->depth++] = level;
}

static void put_scalar(struct buf *out, const yyjson_val *v)
{
    double ignored;
    yyjson_val *y = (yyjson_val *)v;
    switch (yyjson_get_type(y)) {
    case YYJSON_TYPE_STR:
        put_quoted(out, str_of(unsafe_yyjson_get_str(y), unsafe_yyjson_get_len(y)));
        break;
    case YYJSON_TYPE_BOOL:
        buf_append_str(out, unsafe_yyjson_get_bool(y) ? STR("true") : STR("false"));
        break;
    case YYJSON_TYPE_NUM:
        if (yyjson_is_real(y))
            put_real(out, unsafe_yyjson_get_real(y));
        else if (yyjson_is_uint(y))
            put_digits(out, unsafe_yyjson_get_uint(y), false);
        else
            put_int(out, unsafe_yyjson_get_sint(y));
        break;
    case YYJSON_TYPE_RAW:
        if (yy_raw_number(y, &ignored)) {
            buf_append(out, unsafe_yyjson_get_raw(y), unsafe_yyjson_get_len(y));
            break;
        }
        __attribute__((fallthrough));
    default: /* null, and what reads as null */
        buf_append_str(out, STR("null"));
    }
}

/* A value at the top of `k` is complete: closes what is full, or writes what separates it from the next. False at the very end. */
static bool slot_done(struct walk *k, struct buf *out)
{
    while (k->depth > 0) {
        uint64_t *level = &k->levels[k->depth - 1];
        bool object = *level & IN_OBJECT;
        *level -= 2;
        uint64_t left = *level >> 1;
        if (left > 0) {
            put_char(out, object && (left & 1) ? ':' : ',');
            return true;
        }
        put_char(out, object ? '}' : ']');
        k->depth--;
    }
    return false;
}

void json_put_value(struct json_writer *w, const struct json *value)
{
    before_value(w);
    if (!value) {
        buf_append_str(w->out, STR("null"));
        return;
    }
    struct walk k = {.cap = ARRAY_LEN(k.fixed)};
    k.levels = k.fixed;
    const yyjson_val *v = yy_val(value);
    for (bool more = true; more; v++) {
        bool object = yyjson_is_obj((yyjson_val *)v);
        if (!object && !yyjson_is_arr((yyjson_val *)v)) {
            put_scalar(w->out, v);
            more = slot_done(&k, w->out);
            continue;
        }
        uint64_t count = unsafe_yyjson_get_len((yyjson_val *)v);
        put_char(w->out, object ? '{' : '[');
        if (count > 0) {
            walk_push(&k, object ? count << 2 | IN_OBJECT : count << 1);
        } else {
            put_char(w->out, object ? '}' : ']');
            more = slot_done(&k, w->out);
        }
    }
    if (k.levels != k.fixed)
        free(k.levels);
}

/* ---- members */

void json_field_str(struct json_writer *w, struct str key, struct str v)
{
    json_key(w, key);
    json_put_str(w, v);
}

void json_field_known(struct json_writer *w, struct str key, struct str v)
{
    if (v.n)
        json_field_str(w, key, v);
}

void json_field_i64(struct json_writer *w, struct str key, int64_t v)
{
    json_key(w, key);
    json_put_i64(w, v);
}

void json_field_bool(struct json_writer *w, struct str key, bool v)
{
    json_key(w, key);
    json_put_bool(w, v);
}

void json_field_null(struct json_writer *w, struct str key)
{
    json_key(w, key);
    json_put_null(w);
}

void json_field_time(struct json_writer *w, struct str key, int64_t wall_us)
{
    json_key(w, key);
    json_put_time(w, wall_us);
}
