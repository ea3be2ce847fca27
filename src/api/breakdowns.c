/* breakdowns.c: what the events of an issue have in common: tags, releases, users; and events over time. All of it is counted where events are stored or soon
 * behind (src/digest/rollup.c): nothing here looks at events. */
#include "internal.h"

enum { TAG_KEY_MAX = 200 };

static void put_share(struct json_writer *w, struct str key, int64_t part, int64_t of)
{
    json_key(w, key);
    json_put_f64(w, of > 0 ? (double)part / (double)of : 0);
}

/* Columns from `col`: value, events, first_seen, last_seen. "": all that are beyond what is told apart. */
static void put_value(struct json_writer *w, const struct db_rows *rows, int row, int col, int64_t of)
{
    int64_t events = db_i64(rows, row, col + 1);
    json_begin_object(w);
    json_field_str(w, STR("value"), db_text(rows, row, col));
    json_field_bool(w, STR("is_rest"), db_text(rows, row, col).n == 0);
    json_field_i64(w, STR("events"), events);
    put_share(w, STR("share"), events, of);
    json_field_time(w, STR("first_seen"), db_time(rows, row, col + 2));
    json_field_time(w, STR("last_seen"), db_time(rows, row, col + 3));
    json_end_object(w);
}

/* ---- all keys */

enum tag_column { T_USERS, T_FIRST_RELEASE, T_LAST_RELEASE, T_KEY, T_KEY_EVENTS, T_KEY_VALUES, T_VALUE };

/* The rows from `i` on that are of one key; returns the next one's. */
static int put_key(struct json_writer *w, const struct db_rows *rows, int i)
{
    struct str key = db_text(rows, i, T_KEY);
    int64_t events = db_i64(rows, i, T_KEY_EVENTS);
    json_begin_object(w);
    json_field_str(w, STR("key"), key);
    json_field_i64(w, STR("events"), events);
    json_field_i64(w, STR("values"), db_i64(rows, i, T_KEY_VALUES));
    json_key(w, STR("top"));
    json_begin_array(w);
    for (; i < db_count(rows) && str_eq(db_text(rows, i, T_KEY), key); i++)
        put_value(w, rows, i, T_VALUE, events);
    json_end_array(w);
    json_end_object(w);
    return i;
}

static void keys_found(struct db_query *q, int r, const struct db_rows *rows)
{
    struct api_op *op = api_op_of(q);
    if (!api_has_row(op->call, r, rows, api_no_issue))
        return;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_i64(&w, STR("users"), db_i64(rows, 0, T_USERS));
    api_put_text(&w, STR("first_release"), rows, 0, T_FIRST_RELEASE);
    api_put_text(&w, STR("last_release"), rows, 0, T_LAST_RELEASE);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (int i = 0; i < db_count(rows) && !db_is_null(rows, i, T_KEY);)
        i = put_key(&w, rows, i);
    json_end_array(&w);
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

void issue_tag_list(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_ISSUE_TAGS, keys_found);
    struct id128 issue;
    int32_t project;
    if (!api_issue_id(call, &project, &issue))
        return;
    db_bind_i32(&op->query, project);
    db_bind_id(&op->query, &issue);
    api_op_submit(op);
}

/* ---- one key */

static void no_tag(struct http_call *call)
{
    struct str key = str_take(call->params[2], TAG_KEY_MAX);
    http_answer_error(call, -ERR_NOT_FOUND, arena_printf(&call->arena, "Tag %.*s not found", STR_ARG(key)));
}

enum value_column { V_TOTAL, V_EVENTS, V_VALUE };

static void values_found(struct db_query *q, int r, const struct db_rows *rows)
{
    struct api_op *op = api_op_of(q);
    if (!api_has_row(op->call, r, rows, api_no_issue))
        return;
    if (db_i64(rows, 0, V_TOTAL) == 0) {
        no_tag(op->call);
        return;
    }
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_str(&w, STR("key"), op->call->params[2]);
    json_field_i64(&w, STR("events"), db_i64(rows, 0, V_EVENTS));
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (int i = 0; i < db_count(rows) && !db_is_null(rows, i, V_VALUE); i++)
        put_value(&w, rows, i, V_VALUE, db_i64(rows, 0, V_EVENTS));
    json_end_array(&w);
    api_page_end(&w, &op->page, db_i64(rows, 0, V_TOTAL));
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

void issue_tag_show(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_ISSUE_TAG_VALUES, values_found);
    struct str key = call->params[2];
    struct id128 issue;
    int32_t project;
    if (!api_issue_id(call, &project, &issue) || !api_page_read(call, &op->page))
        return;
    if (key.n > TAG_KEY_MAX || !str_is_utf8(key) || str_find(key, 0) < key.n) {
        no_tag(call);
        return;
    }
    db_bind_i32(&op->query, project);
    db_bind_id(&op->query, &issue);
    db_bind_text(&op->query, key);
    db_bind_i64(&op->query, op->page.per_page);
    db_bind_i64(&op->query, (op->page.page - 1) * op->page.per_page);
    api_op_submit(op);
}

/* ---- events over time */

enum point_column { P_TIME, P_EVENTS, P_VALUE };

/* "series" and "events" of the rows from `from` to `to`. Columns: time, events; a row of nulls: none. */
static void put_series(struct json_writer *w, const struct db_rows *rows, int from, int to)
{
    int64_t events = 0;
    json_key(w, STR("series"));
    json_begin_array(w);
    for (int i = from; i < to && !db_is_null(rows, i, P_TIME); i++) {
        json_begin_object(w);
        json_field_time(w, STR("time"), db_time(rows, i, P_TIME));
        json_field_i64(w, STR("events"), db_i64(rows, i, P_EVENTS));
        json_end_object(w);
        events += db_i64(rows, i, P_EVENTS);
    }
    json_end_array(w);
    json_field_i64(w, STR("events"), events);
}

static void answer_series(struct api_op *op, const struct db_rows *rows)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    api_put_window(&w, &op->window);
    put_series(&w, rows, 0, db_count(rows));
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

static void issue_summed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct api_op *op = api_op_of(q);
    if (api_has_row(op->call, r, rows, api_no_issue))
        answer_series(op, rows);
}

void issue_stats(struct http_call *call)
{
    struct api_op *op = api_op_new(call, STMT_ISSUE_STATS, issue_summed);
    struct id128 issue;
    int32_t project;
    if (!api_issue_id(call, &project, &issue) || !api_window_read(call, &op->window))
        return;
    db_bind_i32(&op->query, project);
    db_bind_id(&op->query, &issue);
    db_bind_time(&op->query, op->window.from_us);
    db_bind_text(&op->query, op->window.interval);
    api_op_submit(op);
}

static void project_summed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct api_op *op = api_op_of(q);
    if (api_has_row(op->call, r, rows, api_no_project))
        answer_series(op, rows);
}

/* Of both together nothing is counted. p == NULL: of neither. */
static bool read_filter(struct http_call *call, struct str *ret_key, struct str *ret_value)
{
    static const struct str keys[] = {STR("release"), STR("environment")};
    struct str value;
    *ret_key = *ret_value = (struct str){NULL, 0};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (!http_query_param(call, keys[i], &value))
            continue;
        if (ret_key->p || !str_is_utf8(value) || str_find(value, 0) < value.n) {
            api_refuse(call, ret_key->p ? "release and environment cannot be asked for together" : "release and environment must be UTF-8");
            return false;
        }
        *ret_key = keys[i];
        *ret_value = value;
    }
    return true;
}

/* The first row behind `i` that is of another value. */
static int value_end(const struct db_rows *rows, int i)
{
    bool is_all = db_is_null(rows, i, P_VALUE);
    int end = i + 1;
    while (end < db_count(rows) && db_is_null(rows, end, P_VALUE) == is_all &&
           (is_all || str_eq(db_text(rows, end, P_VALUE), db_text(rows, i, P_VALUE))))
        end++;
    return end;
}

/* Columns: as a series, then the value, null for those of all, which come first. */
static void project_split(struct db_query *q, int r, const struct db_rows *rows)
{
    struct api_op *op = api_op_of(q);
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    if (!api_has_row(op->call, r, rows, api_no_project))
        return;
    int end = db_is_null(rows, 0, P_VALUE) ? value_end(rows, 0) : 0;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    api_put_window(&w, &op->window);
    put_series(&w, rows, 0, end);
    json_key(&w, STR("values"));
    json_begin_array(&w);
    for (int i = end; i < db_count(rows); i = end) {
        end = value_end(rows, i);
        json_begin_object(&w);
        json_field_str(&w, STR("value"), db_text(rows, i, P_VALUE));
        json_field_bool(&w, STR("is_rest"), db_text(rows, i, P_VALUE).n == 0);
        put_series(&w, rows, i, end);
        json_end_object(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

void project_stats(struct http_call *call)
{
    static const char *const splits[] = {"nothing", "release", "environment", NULL};
    struct api_op *op = api_op_new(call, STMT_PROJECT_STATS, project_summed);
    struct str key, value;
    int32_t project;
    unsigned split;
    if (!api_project_id(call, &project) || !api_window_read(call, &op->window) || !read_filter(call, &key, &value) ||
        !api_choice(call, "by", splits, &split))
        return;
    if (split && key.p) {
        api_refuse(call, "by cannot be asked for together with release or environment");
        return;
    }
    if (split)
        db_query_init(&op->query, STMT_PROJECT_STATS_BY, project_split);
    db_bind_i32(&op->query, project);
    db_bind_time(&op->query, op->window.from_us);
    db_bind_text(&op->query, op->window.interval);
    api_bind_text_or_null(&op->query, split ? str_from(splits[split]) : key);
    if (!split)
        api_bind_text_or_null(&op->query, value);
    api_op_submit(op);
}
