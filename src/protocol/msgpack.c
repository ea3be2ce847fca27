/* msgpack.c: one pass, from the bytes into the JSON writer, with a stack of what is still to come of each container.
 *
 * Own reader: the library of Debian has another name and version in each release, and reserves memory for as many elements as five bytes say
 * that there are. */
#include "picket/protocol/msgpack.h"

#include "picket/base/error.h"
#include "picket/json/json.h"

enum kind { KIND_NIL, KIND_BOOL, KIND_UINT, KIND_INT, KIND_FLOAT, KIND_TEXT, KIND_EXTENSION, KIND_ARRAY, KIND_MAP, KIND_BAD };

struct value {
    enum kind kind;
    uint64_t number; /* of a container: its elements or pairs; of an int: two's complement */
    double real;
    struct str text;
};

/* Big-endian, as all of MessagePack. False: cut short. */
static bool take_number(struct str *rest, unsigned bytes, uint64_t *ret)
{
    uint64_t v = 0;
    if (rest->n < bytes)
        return false;
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | (unsigned char)rest->p[i];
    *rest = str_drop(*rest, bytes);
    *ret = v;
    return true;
}

static bool take_bytes(struct str *rest, uint64_t n, struct str *ret)
{
    if (rest->n < n)
        return false;
    *ret = str_take(*rest, (size_t)n);
    *rest = str_drop(*rest, (size_t)n);
    return true;
}

static bool take_float(struct str *rest, unsigned bytes, struct value *ret)
{
    uint64_t bits;
    if (!take_number(rest, bytes, &bits))
        return false;
    if (bytes == 4) {
        uint32_t narrow = (uint32_t)bits;
        float f;
        memcpy(&f, &narrow, sizeof f);
        ret->real = (double)f;
    } else {
        memcpy(&ret->real, &bits, sizeof ret->real);
    }
    return true;
}

static bool take_int(struct str *rest, unsigned bytes, struct value *ret)
{
    assert(bytes > 0);
    if (!take_number(rest, bytes, &ret->number))
        return false;
    if (bytes < 8 && ret->number >> (8 * bytes - 1))
        ret->number |= UINT64_MAX << (8 * bytes);
    return true;
}

/* What the lead bytes 0xc0 … 0xdf say: kind, and the bytes of the number that follows (of texts and containers: the length). */
static const struct lead {
    enum kind kind;
    unsigned char bytes, fixed; /* fixed: of extensions, the length when no number follows */
} leads[32] = {
    {KIND_NIL, 0, 0},       {KIND_BAD, 0, 0},       {KIND_BOOL, 0, 0},      {KIND_BOOL, 0, 0},      {KIND_TEXT, 1, 0},
    {KIND_TEXT, 2, 0},      {KIND_TEXT, 4, 0},      {KIND_EXTENSION, 1, 0}, {KIND_EXTENSION, 2, 0}, {KIND_EXTENSION, 4, 0},
    {KIND_FLOAT, 4, 0},     {KIND_FLOAT, 8, 0},     {KIND_UINT, 1, 0},      {KIND_UINT, 2, 0},      {KIND_UINT, 4, 0},
    {KIND_UINT, 8, 0},      {KIND_INT, 1, 0},       {KIND_INT, 2, 0},       {KIND_INT, 4, 0},       {KIND_INT, 8, 0},
    {KIND_EXTENSION, 0, 1}, {KIND_EXTENSION, 0, 2}, {KIND_EXTENSION, 0, 4}, {KIND_EXTENSION, 0, 8}, {KIND_EXTENSION, 0, 16},
    {KIND_TEXT, 1, 0},      {KIND_TEXT, 2, 0},      {KIND_TEXT, 4, 0},      {KIND_ARRAY, 2, 0},     {KIND_ARRAY, 4, 0},
    {KIND_MAP, 2, 0},       {KIND_MAP, 4, 0},
};

static bool take_long(struct str *rest, unsigned char first, struct value *ret)
{
    const struct lead *lead = &leads[first - 0xc0];
    uint64_t n = lead->fixed;
    *ret = (struct value){.kind = lead->kind, .number = first == 0xc3};
    switch (lead->kind) {
    case KIND_NIL:
    case KIND_BOOL:
        return true;
    case KIND_FLOAT:
        return take_float(rest, lead->bytes, ret);
    case KIND_INT:
        return take_int(rest, lead->bytes, ret);
    case KIND_UINT:
    case KIND_ARRAY:
    case KIND_MAP:
        return take_number(rest, lead->bytes, &ret->number);
    case KIND_TEXT:
        return take_number(rest, lead->bytes, &n) && take_bytes(rest, n, &ret->text);
    case KIND_EXTENSION: /* a byte for its type, too */
        return (lead->bytes == 0 || take_number(rest, lead->bytes, &n)) && take_bytes(rest, n + 1, &ret->text);
    case KIND_BAD:
        break;
    }
    return false;
}

static bool take_value(struct str *rest, struct value *ret)
{
    if (rest->n == 0)
        return false;
    unsigned char first = (unsigned char)rest->p[0];
    *rest = str_drop(*rest, 1);
    if (first >= 0xc0 && first < 0xe0)
        return take_long(rest, first, ret);
    *ret = (struct value){.kind = KIND_UINT, .number = first};
    if (first >= 0xe0) {
        ret->kind = KIND_INT;
        ret->number |= UINT64_MAX << 8;
    } else if (first >= 0xa0) {
        ret->kind = KIND_TEXT;
        return take_bytes(rest, first & 0x1f, &ret->text);
    } else if (first >= 0x80) {
        ret->kind = first >= 0x90 ? KIND_ARRAY : KIND_MAP;
        ret->number = first & 0x0f;
    }
    return true;
}

/* ---- into JSON */

struct level {
    uint64_t left; /* elements, or keys and values */
    bool is_map;
};
struct conversion {
    struct json_writer json;
    struct level levels[MSGPACK_MAX_DEPTH];
    unsigned depth;
};

static struct str number_text(const struct value *v, char dst[24])
{
    int n =
        v->kind == KIND_INT ? snprintf(dst, 24, "%lld", (long long)v->number) : snprintf(dst, 24, "%llu", (unsigned long long)v->number);
    return str_of(dst, (size_t)n);
}

static bool put_key(struct conversion *c, const struct value *v)
{
    char text[24];
    if (v->kind == KIND_TEXT)
        json_key(&c->json, v->text);
    else if (v->kind == KIND_UINT || v->kind == KIND_INT)
        json_key(&c->json, number_text(v, text));
    else
        return false;
    return true;
}

static bool open_level(struct conversion *c, const struct value *v)
{
    if (c->depth == MSGPACK_MAX_DEPTH)
        return false;
    bool is_map = v->kind == KIND_MAP;
    if (is_map)
        json_begin_object(&c->json);
    else
        json_begin_array(&c->json);
    c->levels[c->depth++] = (struct level){is_map ? 2 * v->number : v->number, is_map};
    return true;
}

static bool put_value(struct conversion *c, const struct value *v)
{
    char text[24];
    switch (v->kind) {
    case KIND_NIL:
    case KIND_EXTENSION:
        json_put_null(&c->json);
        return true;
    case KIND_BOOL:
        json_put_bool(&c->json, v->number);
        return true;
    case KIND_UINT:
    case KIND_INT:
        json_put_raw(&c->json, number_text(v, text));
        return true;
    case KIND_FLOAT:
        json_put_f64(&c->json, v->real);
        return true;
    case KIND_TEXT:
        json_put_str(&c->json, v->text);
        return true;
    case KIND_ARRAY:
    case KIND_MAP:
        return open_level(c, v);
    case KIND_BAD:
        break;
    }
    return false;
}

static void close_levels(struct conversion *c)
{
    while (c->depth && c->levels[c->depth - 1].left == 0) {
        if (c->levels[--c->depth].is_map)
            json_end_object(&c->json);
        else
            json_end_array(&c->json);
    }
}

static bool convert(struct conversion *c, struct str *rest)
{
    do {
        struct level *top = c->depth ? &c->levels[c->depth - 1] : NULL;
        struct value v;
        if (!take_value(rest, &v))
            return false;
        bool is_key = top && top->is_map && top->left % 2 == 0;
        if (top)
            top->left--;
        if (!(is_key ? put_key(c, &v) : put_value(c, &v)))
            return false;
        close_levels(c);
    } while (c->depth);
    return true;
}

int msgpack_read(struct str *rest, struct buf *out)
{
    struct conversion c = {.depth = 0};
    struct str at = *rest;
    size_t before = out->n;
    json_writer_init(&c.json, out);
    if (!convert(&c, &at)) {
        out->n = before;
        return -ERR_BAD_MSGPACK;
    }
    *rest = at;
    return 0;
}
