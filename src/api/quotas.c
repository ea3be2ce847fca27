/* quotas.c: quotas as the API has them (src/ingest/quota.c): {"error": {"minute": 100, "hour": 1000}, "attachment": …}. A change names the categories
 * that it is about; null takes back what was said of one, or of its minute or hour. The installation's own are here, those of projects and keys
 * with their resources. */
#include "internal.h"

#include "picket/ingest/quota.h"

static bool refuse(struct http_call *call, const char *what, struct str about)
{
    http_answer_error(call, -ERR_INVALID, arena_printf(&call->arena, "quotas: %.*s %s", STR_ARG(str_take(about, 64)), what));
    return false;
}

/* What nobody counts would be a limit without effect; taking back one that was set by an older release is fine. */
static bool check_category(struct http_call *call, struct str name, const struct json *limits)
{
    AUTO_BUF struct buf known = {0};
    int category = category_of(name);
    if (category >= 0 && (quota_can_limit((enum category)category) || json_type(limits) == JSON_NULL))
        return true;
    quota_put_categories(&known);
    struct str text = arena_printf(&call->arena, "is no category that can be limited: %.*s are", STR_ARG(buf_str(&known)));
    return refuse(call, arena_cstr(&call->arena, text), name);
}

static bool put_limits(struct http_call *call, struct json_writer *w, struct str category, const struct json *v)
{
    static const char expected[] = "must be null or an object of minute and hour";
    if (json_type(v) == JSON_NULL) {
        json_field_null(w, category);
        return true;
    }
    if (json_type(v) != JSON_OBJECT)
        return refuse(call, expected, category);
    json_key(w, category);
    json_begin_object(w);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct str window;
        int64_t limit;
        if (!json_str(it.key, &call->arena, &window) || (!str_eq(window, STR("minute")) && !str_eq(window, STR("hour"))))
            return refuse(call, expected, category);
        if (json_type(it.value) == JSON_NULL)
            json_field_null(w, window);
        else if (json_i64(it.value, &limit) && limit >= 0 && limit <= QUOTA_MAX)
            json_field_i64(w, window, limit);
        else
            return refuse(call, "must be limited to a whole number, 0 for no limit", category);
    }
    json_end_object(w);
    return true;
}

bool api_body_quotas(struct http_call *call, struct str *ret)
{
    const struct json *v = json_get(json_root(call->body), STR("quotas"));
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    *ret = (struct str){NULL, 0};
    if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
        return true;
    if (json_type(v) != JSON_OBJECT) {
        api_refuse(call, "quotas must be an object");
        return false;
    }
    json_writer_init(&w, &out);
    json_begin_object(&w);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct str name;
        name = json_str(it.key, &call->arena, &name) ? name : STR("");
        if (!check_category(call, name, it.value) || !put_limits(call, &w, name, it.value))
            return false;
    }
    json_end_object(&w);
    *ret = arena_str(&call->arena, buf_str(&out));
    return true;
}

void api_bind_text_or_null(struct db_query *q, struct str s)
{
    if (s.p)
        db_bind_text(q, s);
    else
        db_bind_null(q);
}

/* ---- the installation's; column: quotas */

static void answer_installation(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    if (api_failed(call, r))
        return;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("quotas"));
    json_put_raw(&w, db_count(rows) ? db_text(rows, 0, 0) : STR("{}"));
    json_end_object(&w);
    http_answer_json(call, 200, &out);
}

void installation_show(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_INSTALLATION_CHANGE, answer_installation);
    db_bind_null(&op->query);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}

void installation_change(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_INSTALLATION_CHANGE, answer_installation);
    struct str quotas;
    if (!api_body_quotas(call, &quotas))
        return;
    api_bind_text_or_null(&op->query, quotas);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}
