/* channels.c: alert channels, R21 – R26 (contract §1.15). They are the installation's. Their secrets are shown to nobody: a form sends back the asterisks that
 * stand for one, and the statement takes them for what is stored (migration 0033). Nothing is sent yet: R26 says so. */
#include "channel_config.h"

enum { CHANNELS_MAX = 500 };

enum column { C_ID, C_NAME, C_TYPE, C_CONFIG, C_ENABLED, C_FAILURES, C_FAILED, C_MESSAGE, C_SUCCEEDED, C_CREATED, C_UPDATED };

static void put_channel(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    json_begin_object(w);
    json_field_i64(w, STR("id"), db_i64(rows, row, col + C_ID));
    json_field_str(w, STR("name"), db_text(rows, row, col + C_NAME));
    json_field_str(w, STR("channel_type"), db_text(rows, row, col + C_TYPE));
    json_key(w, STR("config"));
    json_put_raw(w, db_text(rows, row, col + C_CONFIG));
    json_field_bool(w, STR("is_enabled"), db_bool(rows, row, col + C_ENABLED));
    json_field_i64(w, STR("failure_count"), db_i64(rows, row, col + C_FAILURES));
    api_put_time(w, STR("last_failure_at"), rows, row, col + C_FAILED);
    api_put_text(w, STR("last_failure_message"), rows, row, col + C_MESSAGE);
    api_put_time(w, STR("last_success_at"), rows, row, col + C_SUCCEEDED);
    json_field_time(w, STR("created_at"), db_time(rows, row, col + C_CREATED));
    json_field_time(w, STR("updated_at"), db_time(rows, row, col + C_UPDATED));
    json_end_object(w);
}

static void no_channel(struct http_call *call)
{
    http_answer_error(call, -ERR_NOT_FOUND, arena_printf(&call->arena, "Channel %.*s not found", STR_ARG(str_take(call->params[0], 40))));
}

/* False: answered. */
static bool read_id(struct http_call *call, int32_t *ret)
{
    int64_t id;
    if (!str_to_i64(call->params[0], &id) || id < 1 || id > INT32_MAX) {
        no_channel(call);
        return false;
    }
    *ret = (int32_t)id;
    return true;
}

/* ---- R21, R23 */

static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (!api_failed(call, r))
        api_answer_array(call, rows, put_channel);
}

void channel_list(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_ALERT_CHANNEL_LIST, listed);
    db_bind_null(&op->query);
    db_bind_bool(&op->query, call->user.sees_all);
    api_op_submit(op);
}

static void shown(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_has_row(call, r, rows, no_channel))
        api_answer_object(call, 200, rows, 0, put_channel);
}

static void find(struct http_call *call, db_done_fn *done)
{
    int32_t id;
    if (!read_id(call, &id))
        return;
    struct api_op *op = api_op_new(call, STMT_ALERT_CHANNEL_LIST, done);
    db_bind_i32(&op->query, id);
    db_bind_bool(&op->query, call->user.sees_all);
    api_op_submit(op);
}

void channel_show(struct http_call *call)
{
    find(call, shown);
}

/* ---- R22, R24 */

static void conflict(struct http_call *call)
{
    struct str name;
    if (api_body_str(call, "name", &name))
        http_answer_error(call, -ERR_DB_CONFLICT, arena_printf(&call->arena, "Channel '%.*s' already exists", STR_ARG(str_trim(name))));
}

static void created(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (r == -ERR_DB_CONFLICT)
        conflict(call);
    else if (api_failed(call, r))
        return;
    else if (db_count(rows) == 0)
        http_answer_error(call, -ERR_DB_CONFLICT, STR("there are 500 channels already: remove some"));
    else
        api_answer_object(call, 201, rows, 0, put_channel);
}

void channel_create(struct http_call *call)
{
    struct str name, type_name, config_text;
    const struct json *config;
    enum channel_type type;
    bool is_enabled = true;
    if (!api_body_name(call, &name) || !api_body_str(call, "channel_type", &type_name) ||
        !api_body_value(call, "config", JSON_OBJECT, &config, &config_text) || !api_body_flag(call, "is_enabled", &is_enabled, NULL))
        return;
    if (!name.p) {
        api_refuse(call, "Name cannot be empty");
        return;
    }
    if (!channel_type_read(type_name, &type)) {
        api_refuse(call, "channel_type must be one of webhook, email, slack");
        return;
    }
    if (!config_text.p) {
        api_refuse(call, "config is required");
        return;
    }
    struct str why = channel_config_check(type, config, CONFIG_NEW, &call->arena);
    if (why.n > 0) {
        http_answer_error(call, -ERR_INVALID, why);
        return;
    }
    struct api_op *op = api_op_new(call, STMT_ALERT_CHANNEL_ADD, created);
    db_bind_text(&op->query, name);
    db_bind_text(&op->query, type_name);
    db_bind_text(&op->query, config_text);
    db_bind_bool(&op->query, is_enabled);
    db_bind_i64(&op->query, CHANNELS_MAX);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}

/* Columns: why it is refused, then the channel. */
static void changed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (r == -ERR_DB_CONFLICT)
        conflict(call);
    else if (api_failed(call, r))
        return;
    else if (db_count(rows) == 0)
        no_channel(call);
    else if (!db_is_null(rows, 0, 0))
        http_answer_error(call, -ERR_INVALID, db_text(rows, 0, 0));
    else
        api_answer_object(call, 200, rows, 1, put_channel);
}

/* Only the row knows which type it is of: the statement gets what there is to say against each. */
void channel_change(struct http_call *call)
{
    struct str name, config_text;
    const struct json *config;
    bool is_enabled, has_enabled;
    int32_t id;
    if (!read_id(call, &id) || !api_body_name(call, &name) || !api_body_value(call, "config", JSON_OBJECT, &config, &config_text) ||
        !api_body_flag(call, "is_enabled", &is_enabled, &has_enabled))
        return;
    struct api_op *op = api_op_new(call, STMT_ALERT_CHANNEL_CHANGE, changed);
    db_bind_i32(&op->query, id);
    api_bind_text_or_null(&op->query, name);
    api_bind_text_or_null(&op->query, config_text);
    if (has_enabled)
        db_bind_bool(&op->query, is_enabled);
    else
        db_bind_null(&op->query);
    for (unsigned type = CHANNEL_WEBHOOK; type < CHANNEL_TYPES; type++) {
        struct str why = config_text.p ? channel_config_check((enum channel_type)type, config, CONFIG_CHANGED, &call->arena) : STR("");
        api_bind_text_or_null(&op->query, why.n > 0 ? why : (struct str){NULL, 0});
    }
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}

/* ---- R25, R26 */

static void dropped(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_gone(api_op_of(q)->call, r, rows, no_channel);
}

void channel_drop(struct http_call *call)
{
    int32_t id;
    if (!read_id(call, &id))
        return;
    struct api_op *op = api_op_new(call, STMT_ALERT_CHANNEL_DROP, dropped);
    db_bind_i32(&op->query, id);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}

static void tested(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    if (!api_has_row(call, r, rows, no_channel))
        return;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_bool(&w, STR("success"), false);
    json_field_str(&w, STR("message"), STR("Nothing was sent: this release stores channels and rules, and does not send alerts yet"));
    json_end_object(&w);
    http_answer_json(call, 200, &out);
}

void channel_test(struct http_call *call)
{
    find(call, tested);
}
