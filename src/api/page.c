/* page.c: see page.h. */
#include "picket/api/page.h"

#include "picket/base/error.h"
#include "picket/json/json.h"

enum { CURSOR_MAX = 512 };

bool page_number(struct str text, int64_t min, int64_t max, int64_t *ret)
{
    int64_t v;
    if (!str_to_i64(text, &v))
        return false;
    *ret = v < min ? min : v > max ? max : v;
    return true;
}

int64_t page_count(int64_t total, int64_t per_page)
{
    return (total + per_page - 1) / per_page;
}

static void encode(struct buf *out, const struct buf *json)
{
    buf_reserve(out, 4 * json->n / 3 + 4);
    out->n += str_base64url_encode(json->p, json->n, out->p + out->n);
}

void page_cursor_write(struct buf *out, struct str order, const struct id128 *last)
{
    AUTO_BUF struct buf json = {0};
    struct json_writer w;
    char id[ID_DASHED + 1];
    id_dashed(last, id);
    json_writer_init(&w, &json);
    json_begin_object(&w);
    json_field_str(&w, STR("order"), order);
    json_field_str(&w, STR("last_id"), str_of(id, ID_DASHED));
    json_end_object(&w);
    encode(out, &json);
}

void page_key_write(struct buf *out, const struct page_key *key)
{
    AUTO_BUF struct buf json = {0};
    struct json_writer w;
    char id[ID_DASHED + 1];
    id_dashed(&key->id, id);
    json_writer_init(&w, &json);
    json_begin_object(&w);
    json_field_str(&w, STR("sort"), key->sort);
    json_field_str(&w, STR("order"), key->order);
    json_field_i64(&w, STR("at"), key->at);
    json_field_str(&w, STR("last_id"), str_of(id, ID_DASHED));
    json_end_object(&w);
    encode(out, &json);
}

static int refuse(struct str why, struct str *ret_why)
{
    *ret_why = why;
    return -ERR_INVALID;
}

/* str_base64_decode is lenient; a cursor has one spelling only. */
static bool is_base64url(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return false;
    }
    return true;
}

/* NULL: refused. */
static struct json_doc *decode(struct str text, struct str *ret_why)
{
    uint8_t bytes[3 * CURSOR_MAX / 4 + 3];
    struct json_doc *doc = NULL;
    ptrdiff_t n = text.n <= CURSOR_MAX && is_base64url(text) ? str_base64_decode(text, bytes) : -1;
    if (n < 0 || !str_is_utf8(str_of((const char *)bytes, (size_t)n)))
        *ret_why = STR("Invalid cursor encoding");
    else if (json_parse(str_of((const char *)bytes, (size_t)n), &doc, NULL) < 0)
        *ret_why = STR("Invalid cursor format");
    return doc;
}

int page_cursor_read(struct str text, struct id128 *ret, struct str *ret_why)
{
    AUTO_JSON struct json_doc *doc = decode(text, ret_why);
    struct str order, last;
    if (!doc)
        return -ERR_INVALID;
    if (!json_str_raw(json_get(json_root(doc), STR("order")), &order) || !json_str_raw(json_get(json_root(doc), STR("last_id")), &last) ||
        !id_parse(last, ret))
        return refuse(STR("Invalid cursor format"), ret_why);
    return 0;
}

int page_key_read(struct str text, struct page_key *ret, struct str *ret_why)
{
    AUTO_JSON struct json_doc *doc = decode(text, ret_why);
    struct str sort, order, last;
    if (!doc)
        return -ERR_INVALID;
    if (!json_str_raw(json_get(json_root(doc), STR("sort")), &sort) || !json_str_raw(json_get(json_root(doc), STR("order")), &order) ||
        !json_str_raw(json_get(json_root(doc), STR("last_id")), &last) || !json_i64(json_get(json_root(doc), STR("at")), &ret->at) ||
        !id_parse(last, &ret->id))
        return refuse(STR("Invalid cursor format"), ret_why);
    if (!str_eq(sort, ret->sort) || !str_eq(order, ret->order))
        return refuse(STR("The cursor is of a list with another sort or order"), ret_why);
    return 0;
}

void page_cursor_write_number(struct buf *out, struct str order, int64_t last)
{
    struct id128 id = {{0}};
    for (unsigned i = 0; i < 8; i++)
        id.b[15 - i] = (uint8_t)((uint64_t)last >> 8 * i);
    page_cursor_write(out, order, &id);
}

int page_cursor_read_number(struct str text, int64_t *ret, struct str *ret_why)
{
    struct id128 id;
    uint64_t n = 0;
    int r = page_cursor_read(text, &id, ret_why);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < sizeof id.b; i++) {
        if (i < 8 ? id.b[i] != 0 : i == 8 && id.b[i] > 0x7f)
            return refuse(STR("Invalid cursor format"), ret_why);
        n = n << 8 | id.b[i];
    }
    *ret = (int64_t)n;
    return 0;
}
