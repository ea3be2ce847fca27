/* attachment.c: what is kept of an attachment beside its bytes (protocol §3.1). The door writes it into a spool record, the digest reads it back; so
 * names and types are cut and cleaned once, where they come in. What its project wants taken out of a name only the digest knows. */
#include "picket/event/items.h"

#include "account.h"
#include "picket/base/error.h"

/* At most `max` printable ASCII characters, or nothing. */
static struct str plain(struct str s, size_t max)
{
    s = str_trim(s);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~')
            return STR("");
    return s.n <= max ? s : STR("");
}

/* type/subtype and what may follow; anything else could not be sent back as a header. */
static struct str content_type(struct str s)
{
    s = plain(s, ITEMS_MAX_TYPE);
    size_t slash = str_find(s, '/');
    return slash > 0 && slash + 1 < s.n ? s : STR("");
}

static void put_name(struct json_writer *w, struct str name)
{
    AUTO_BUF struct buf clean = {0};
    name = str_take_code_points(str_take(name, (size_t)4 * ITEMS_MAX_FILE_NAME), ITEMS_MAX_FILE_NAME);
    for (size_t i = 0; i < name.n; i++)
        buf_append_char(&clean, (char)((unsigned char)name.p[i] < ' ' || name.p[i] == 0x7F ? '_' : name.p[i]));
    json_field_str(w, STR("name"), buf_str(&clean));
}

void attachment_write(const struct attachment *a, struct buf *out)
{
    struct json_writer w;
    struct str type = plain(a->type, ITEMS_MAX_TYPE);
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_field_str(&w, STR("sha256"), a->sha256);
    json_field_i64(&w, STR("size"), (int64_t)a->bytes);
    put_name(&w, a->name);
    json_field_str(&w, STR("content_type"), content_type(a->content_type));
    json_field_str(&w, STR("attachment_type"), type.n ? type : STR("event.attachment"));
    json_end_object(&w);
}

static bool is_hash(struct str s)
{
    uint8_t hash[ITEMS_HASH_HEX / 2];
    return str_hex_decode(s, hash, sizeof hash);
}

static void put_accepted(struct json_writer *w, int64_t at_us, int64_t bytes)
{
    struct account_line line = {
        .at_us = at_us, .category = CATEGORY_ATTACHMENT_ITEM, .outcome = OUTCOME_ID_ACCEPTED, .reason = STR(""), .quantity = 1};
    json_key(w, STR("outcomes"));
    json_begin_array(w);
    account_put(w, &line);
    line.category = CATEGORY_ATTACHMENT;
    line.quantity = bytes;
    if (bytes > 0)
        account_put(w, &line);
    json_end_array(w);
}

static struct str member(const struct json *root, struct str key, struct arena *a)
{
    struct str s;
    return json_str(json_get(root, key), a, &s) ? s : STR("");
}

/* People write these, too: protocol §5.15. */
static struct str scrubbed(struct str name, const struct item_origin *origin, struct arena *a)
{
    AUTO_BUF struct buf out = {0};
    return scrub_text(name, item_rules(origin), &out) ? arena_str(a, buf_str(&out)) : name;
}

int attachment_read(struct str payload, const struct item_origin *origin, struct buf *out)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct arena a;
    struct json_writer w;
    struct str sha256;
    int64_t bytes;
    int r = json_parse(payload, &doc, NULL);
    if (r < 0)
        return r;
    const struct json *root = json_root(doc);
    if (json_type(root) != JSON_OBJECT || !json_str_raw(json_get(root, STR("sha256")), &sha256) || !is_hash(sha256) ||
        !json_i64(json_get(root, STR("size")), &bytes) || bytes < 0)
        return -ERR_NOT_AN_OBJECT;
    arena_init(&a);
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, STR("attachment"));
    json_begin_object(&w);
    json_field_str(&w, STR("sha256"), sha256);
    json_field_i64(&w, STR("size"), bytes);
    struct str name = scrubbed(member(root, STR("name"), &a), origin, &a);
    json_field_str(&w, STR("name"), str_take_code_points(name, ITEMS_MAX_FILE_NAME));
    json_field_str(&w, STR("content_type"), str_take_code_points(member(root, STR("content_type"), &a), ITEMS_MAX_FILE_NAME));
    json_field_str(&w, STR("attachment_type"), str_take_code_points(member(root, STR("attachment_type"), &a), ITEMS_MAX_FILE_NAME));
    json_end_object(&w);
    account_put_client(&w, origin);
    put_accepted(&w, origin->received_us, bytes);
    json_end_object(&w);
    arena_done(&a);
    return 0;
}
