/* reply.c: bodies of answers that are not empty. */
#include "reply.h"

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
