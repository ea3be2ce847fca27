/* cron.c: the parameters are called like the members of a check-in's payload, and their values are texts, which its reader takes. */
#include "cron.h"

struct str check_in_of_query(struct http_call *call)
{
    static const char *const names[] = {"status", "check_in_id", "environment", "duration"};
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    struct str value;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (http_query_param(call, str_from(names[i]), &value))
            json_field_str(&w, str_from(names[i]), value);
    json_end_object(&w);
    return arena_str(&call->arena, buf_str(&out));
}
