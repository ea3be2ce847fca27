/* reply.c: bodies of answers that are not empty. */
#include "reply.h"

#include "picket/event/items.h"

/* One transparent point, GIF89a. */
static const char pixel[] = {'G', 'I', 'F', '8', '9', 'a',  1, 0, 1, 0, '\x80', 0, 0, 0, 0, 0, 0, 0,    0, 0x21, '\xf9', 4,
                             1,   0,   0,   0,   0,   0x2c, 0, 0, 0, 0, 1,      0, 1, 0, 0, 2, 2, 0x44, 1, 0,    0x3b};

void reply_pixel(struct http_call *call)
{
    http_answer(call, 200, STR("image/gif"), str_of(pixel, sizeof pixel));
}

void reply_id(struct http_call *call, const struct id128 *id)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    if (id) {
        char hex[ID_HEX + 1];
        id_hex(id, hex);
        json_field_str(&w, STR("id"), str_of(hex, ID_HEX));
    }
    json_end_object(&w);
    http_answer_json(call, 200, &out);
}

static void put_text(struct json_writer *w, struct str name, const struct json *of, struct str member, struct arena *a)
{
    struct str text;
    json_field_str(w, name, json_str(json_get(of, member), a, &text) ? text : STR(""));
}

static void put_id(struct json_writer *w, struct str name, const struct json *of, struct str member, struct arena *a)
{
    struct str text;
    struct id128 id;
    char hex[ID_HEX + 1];
    if (!json_str(json_get(of, member), a, &text) || !id_parse(text, &id)) {
        json_field_null(w, name);
        return;
    }
    id_hex(&id, hex);
    json_field_str(w, name, str_of(hex, ID_HEX));
}

void reply_report(struct http_call *call, const struct id128 *id, int64_t received_us, struct str body)
{
    AUTO_BUF struct buf read = {0}, out = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    const struct item_origin origin = {.received_us = received_us};
    struct json_writer w;
    char dashed[ID_DASHED + 1];
    int r = user_report_read(body, &origin, &read);
    if (r == 0)
        r = json_parse(buf_str(&read), &doc, NULL);
    assert(r == 0); /* it was read before */
    const struct json *report = json_get(json_root(doc), STR("feedback"));
    id_dashed(id, dashed);
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_str(&w, STR("id"), str_of(dashed, ID_DASHED));
    put_id(&w, STR("eventID"), report, STR("event_id"), &call->arena);
    put_text(&w, STR("name"), report, STR("name"), &call->arena);
    put_text(&w, STR("email"), report, STR("email"), &call->arena);
    put_text(&w, STR("comments"), report, STR("message"), &call->arena);
    json_field_time(&w, STR("dateCreated"), received_us);
    json_end_object(&w);
    http_answer_json(call, 200, &out);
}

void reply_export(struct http_call *call)
{
    if (str_starts_nocase(http_header(call, "content-type"), STR("application/x-protobuf")))
        http_answer(call, 200, STR("application/x-protobuf"), STR(""));
    else
        http_answer(call, 200, STR("application/json"), STR("{}"));
}

void reply_text(struct http_call *call, const struct id128 *id)
{
    char dashed[ID_DASHED + 1];
    id_dashed(id, dashed);
    http_answer(call, 200, STR("text/plain"), str_of(dashed, ID_DASHED));
}

/* Made from dialog.js. */
extern const unsigned char dialog_script[];
extern const size_t dialog_script_bytes;

void reply_script(struct http_call *call)
{
    http_add_header(call, STR("cache-control"), STR("no-store"));
    http_answer(call, 200, STR("text/javascript; charset=utf-8"), str_of((const char *)dialog_script, dialog_script_bytes));
}
