/* rules.c: a project's alert rules, R27 – R32 (contract §1.16): at most one of each type. They are stored and answered; nothing is sent yet, so that the
 * history is empty. */
#include "internal.h"

#include "picket/api/page.h"

enum { CHANNELS_MAX = 100, HISTORY_MAX = 100 };

enum column { R_ID, R_PROJECT, R_NAME, R_TYPE, R_ENABLED, R_CONDITIONS, R_COOLDOWN, R_TRIGGERED, R_CREATED, R_UPDATED, R_CHANNELS };

static void put_rule(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    json_begin_object(w);
    json_field_i64(w, STR("id"), db_i64(rows, row, col + R_ID));
    json_field_i64(w, STR("project_id"), db_i64(rows, row, col + R_PROJECT));
    json_field_str(w, STR("name"), db_text(rows, row, col + R_NAME));
    json_field_str(w, STR("alert_type"), db_text(rows, row, col + R_TYPE));
    json_field_bool(w, STR("is_enabled"), db_bool(rows, row, col + R_ENABLED));
    json_key(w, STR("conditions"));
    json_put_raw(w, db_text(rows, row, col + R_CONDITIONS));
    json_field_i64(w, STR("cooldown_minutes"), db_i64(rows, row, col + R_COOLDOWN));
    api_put_time(w, STR("last_triggered_at"), rows, row, col + R_TRIGGERED);
    json_key(w, STR("channel_ids"));
    json_put_raw(w, db_text(rows, row, col + R_CHANNELS));
    json_field_time(w, STR("created_at"), db_time(rows, row, col + R_CREATED));
    json_field_time(w, STR("updated_at"), db_time(rows, row, col + R_UPDATED));
    json_end_object(w);
}

static void no_rule(struct http_call *call)
{
    http_answer_error(call, -ERR_NOT_FOUND,
                      arena_printf(&call->arena, "Alert rule %.*s not found", STR_ARG(str_take(call->params[1], 40))));
}

/* False: answered. */
static bool read_ids(struct http_call *call, int32_t *ret_project, int32_t *ret)
{
    int64_t id;
    if (!api_project_id(call, ret_project))
        return false;
    if (!str_to_i64(call->params[1], &id) || id < 1 || id > INT32_MAX) {
        no_rule(call);
        return false;
    }
    *ret = (int32_t)id;
    return true;
}

/* ---- R27, R29 */

static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_has_row(call, r, rows, api_no_project))
        api_answer_array(call, rows, put_rule);
}

void rule_list(struct http_call *call)
{
    int32_t project;
    if (!api_project_id(call, &project))
        return;
    struct api_op *op = api_op_new(call, STMT_ALERT_RULE_LIST, listed);
    db_bind_i32(&op->query, project);
    db_bind_null(&op->query);
    api_op_submit(op);
}

static void shown(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (!api_has_row(call, r, rows, api_no_project))
        return;
    if (db_is_null(rows, 0, R_ID))
        no_rule(call);
    else
        api_answer_object(call, 200, rows, 0, put_rule);
}

void rule_show(struct http_call *call)
{
    int32_t project, rule;
    if (!read_ids(call, &project, &rule))
        return;
    struct api_op *op = api_op_new(call, STMT_ALERT_RULE_LIST, shown);
    db_bind_i32(&op->query, project);
    db_bind_i32(&op->query, rule);
    api_op_submit(op);
}

/* ---- R28, R30 */

struct rule { /* of a body; p == NULL, -1: absent or null */
    struct str name, conditions, channels;
    int64_t cooldown;
    bool has_enabled, is_enabled;
};

/* False: answered. */
static bool check_channels(struct http_call *call, const struct json *v)
{
    int64_t id;
    bool ok = json_count(v) <= CHANNELS_MAX;
    for (struct json_iter it = json_iter(v); ok && json_next(&it);)
        ok = json_i64(it.value, &id) && id >= INT32_MIN && id <= INT32_MAX;
    if (!ok)
        api_refuse(call, "channel_ids must be a list of at most 100 whole numbers");
    return ok;
}

/* False: answered. */
static bool read_rule(struct http_call *call, struct rule *ret)
{
    const struct json *conditions, *channels;
    return api_body_name(call, &ret->name) && api_body_value(call, "conditions", JSON_OBJECT, &conditions, &ret->conditions) &&
           api_body_value(call, "channel_ids", JSON_ARRAY, &channels, &ret->channels) && check_channels(call, channels) &&
           api_body_number(call, "cooldown_minutes", INT32_MAX, &ret->cooldown) &&
           api_body_flag(call, "is_enabled", &ret->is_enabled, &ret->has_enabled);
}

/* Channels are of the whole installation: a token that is kept to projects leaves to a rule those that it has, and does not learn which others there are. */
static bool may_use_channels(const struct http_call *call)
{
    return !call->user.token.projects.p;
}

/* Columns: a channel that does not exist or may not be used, then the rule. False: answered. */
static bool has_channels(struct http_call *call, const struct db_rows *rows)
{
    if (db_is_null(rows, 0, 0))
        return true;
    if (!may_use_channels(call)) {
        http_answer_error(call, -ERR_FORBIDDEN,
                          STR("channel_ids: channels belong to the whole installation, and the token is for some projects only"));
        return false;
    }
    http_answer_error(call, -ERR_NOT_FOUND, arena_printf(&call->arena, "Channel %lld not found", (long long)db_i64(rows, 0, 0)));
    return false;
}

static void created(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    struct str type;
    if (r == -ERR_DB_CONFLICT && api_body_str(call, "alert_type", &type))
        http_answer_error(call, r, arena_printf(&call->arena, "Alert rule for type '%.*s' already exists in this project", STR_ARG(type)));
    else if (api_failed(call, r))
        return;
    else if (db_count(rows) == 0)
        api_no_project(call);
    else if (has_channels(call, rows))
        api_answer_object(call, 201, rows, 1, put_rule);
}

static bool is_type(struct str name)
{
    return str_eq(name, STR("new_issue")) || str_eq(name, STR("regression")) || str_eq(name, STR("unmute"));
}

void rule_create(struct http_call *call)
{
    struct rule rule;
    struct str type;
    int32_t project;
    if (!api_project_id(call, &project) || !read_rule(call, &rule) || !api_body_str(call, "alert_type", &type))
        return;
    if (!rule.name.p) {
        api_refuse(call, "Name cannot be empty");
        return;
    }
    if (!is_type(type)) {
        api_refuse(call, "alert_type must be one of new_issue, regression, unmute");
        return;
    }
    struct api_op *op = api_op_new(call, STMT_ALERT_RULE_ADD, created);
    db_bind_i32(&op->query, project);
    db_bind_text(&op->query, rule.name);
    db_bind_text(&op->query, type);
    db_bind_bool(&op->query, !rule.has_enabled || rule.is_enabled);
    db_bind_text(&op->query, rule.conditions.p ? rule.conditions : STR("{}"));
    db_bind_i32(&op->query, rule.cooldown < 0 ? 0 : (int32_t)rule.cooldown);
    db_bind_text(&op->query, rule.channels.p ? rule.channels : STR("[]"));
    api_bind_actor(&op->query, call);
    db_bind_bool(&op->query, may_use_channels(call));
    api_op_submit(op);
}

static void changed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_has_row(call, r, rows, no_rule) && has_channels(call, rows))
        api_answer_object(call, 200, rows, 1, put_rule);
}

void rule_change(struct http_call *call)
{
    struct rule rule;
    int32_t project, id;
    if (!read_ids(call, &project, &id) || !read_rule(call, &rule))
        return;
    struct api_op *op = api_op_new(call, STMT_ALERT_RULE_CHANGE, changed);
    db_bind_i32(&op->query, project);
    db_bind_i32(&op->query, id);
    api_bind_text_or_null(&op->query, rule.name);
    if (rule.has_enabled)
        db_bind_bool(&op->query, rule.is_enabled);
    else
        db_bind_null(&op->query);
    api_bind_text_or_null(&op->query, rule.conditions);
    if (rule.cooldown < 0)
        db_bind_null(&op->query);
    else
        db_bind_i32(&op->query, (int32_t)rule.cooldown);
    api_bind_text_or_null(&op->query, rule.channels);
    api_bind_actor(&op->query, call);
    db_bind_bool(&op->query, may_use_channels(call));
    api_op_submit(op);
}

/* ---- R31 */

static void dropped(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_gone(api_op_of(q)->call, r, rows, no_rule);
}

void rule_drop(struct http_call *call)
{
    int32_t project, id;
    if (!read_ids(call, &project, &id))
        return;
    struct api_op *op = api_op_new(call, STMT_ALERT_RULE_DROP, dropped);
    db_bind_i32(&op->query, project);
    db_bind_i32(&op->query, id);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}

/* ---- R32 */

static void history_listed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    if (!api_has_row(call, r, rows, api_no_project))
        return;
    json_writer_init(&w, &out);
    json_begin_array(&w);
    json_end_array(&w);
    http_answer_json(call, 200, &out);
}

void rule_history(struct http_call *call)
{
    struct str text;
    int64_t limit;
    int32_t project;
    if (!api_project_id(call, &project))
        return;
    if (http_query_param(call, STR("limit"), &text) && !page_number(text, 1, HISTORY_MAX, &limit)) {
        api_refuse(call, "limit must be an integer");
        return;
    }
    struct api_op *op = api_op_new(call, STMT_ALERT_RULE_LIST, history_listed);
    db_bind_i32(&op->query, project);
    db_bind_null(&op->query);
    api_op_submit(op);
}
