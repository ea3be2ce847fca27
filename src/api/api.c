/* api.c: the table of routes (contract §1.8) and what the resources share: reading ids, paging and bodies, and the texts of refusals.
 *
 * A handler reads its input, binds one statement and returns; the statement's callback writes the answer. Who comes so far has the scope that the route names
 * and sees the project of its path (http/permit.c). Nothing is kept between requests. */
#include "internal.h"

#include <errno.h>

#include "picket/api/page.h"
#include "picket/base/clock.h"

/* A month by the hour is some 700 points of a series. */
enum { WINDOW_HOURS_DEFAULT = 24, WINDOW_HOURS_BY_HOUR = 24 * 7, WINDOW_HOURS_MAX = 24 * 366 };

static const struct http_route routes[] = {
    {HTTP_GET, "/health", HTTP_PUBLIC, HTTP_NO_BODY, health_live},
    {HTTP_GET, "/health/ready", HTTP_PUBLIC, HTTP_NO_BODY, health_ready},
    {HTTP_GET, "/api/relay/healthcheck/live/", HTTP_INGEST, HTTP_NO_BODY, health_live}, /* these two as Sentry's ingest spells them */
    {HTTP_GET, "/api/relay/healthcheck/ready/", HTTP_INGEST, HTTP_NO_BODY, health_ready},
    {HTTP_POST, "/auth/register", HTTP_PUBLIC, HTTP_JSON_BODY, login_register},
    {HTTP_POST, "/auth/login", HTTP_PUBLIC, HTTP_JSON_BODY, login_login},
    {HTTP_POST, "/auth/logout", HTTP_PUBLIC, HTTP_NO_BODY, login_logout},
    {HTTP_GET, "/auth/me", HTTP_ANY_USER, HTTP_NO_BODY, login_me},
    {HTTP_POST, "/auth/accept-invitation", HTTP_PUBLIC, HTTP_JSON_BODY, invitation_accept},
    {HTTP_POST, "/auth/reset-password", HTTP_PUBLIC, HTTP_JSON_BODY, password_reset},
    {HTTP_POST, "/auth/change-password", HTTP_USER, HTTP_JSON_BODY, password_change},
    {HTTP_GET, "/api/users", HTTP_ADMIN, HTTP_NO_BODY, user_list},
    {HTTP_GET, "/api/users/{user}", HTTP_ADMIN, HTTP_NO_BODY, user_show},
    {HTTP_PATCH, "/api/users/{user}", HTTP_ADMIN, HTTP_JSON_BODY, user_change},
    {HTTP_DELETE, "/api/users/{user}", HTTP_ADMIN, HTTP_NO_BODY, user_delete},
    {HTTP_POST, "/api/users/{user}/password-reset", HTTP_ADMIN, HTTP_NO_BODY, user_reset},
    {HTTP_GET, "/api/invitations", HTTP_ADMIN, HTTP_NO_BODY, invitation_list},
    {HTTP_POST, "/api/invitations", HTTP_ADMIN, HTTP_JSON_BODY, invitation_create},
    {HTTP_DELETE, "/api/invitations/{invitation}", HTTP_ADMIN, HTTP_NO_BODY, invitation_drop},
    {HTTP_GET, "/api/sessions", HTTP_USER, HTTP_NO_BODY, login_list},
    {HTTP_DELETE, "/api/sessions", HTTP_USER, HTTP_NO_BODY, login_drop_others},
    {HTTP_DELETE, "/api/sessions/{login}", HTTP_USER, HTTP_NO_BODY, login_drop},
    {HTTP_GET, "/api/audit-log", HTTP_ADMIN, HTTP_NO_BODY, audit_list},
    {HTTP_GET, "/api/projects", HTTP_PROJECT_READ, HTTP_NO_BODY, project_list},
    {HTTP_POST, "/api/projects", HTTP_PROJECT_WRITE, HTTP_JSON_BODY, project_create},
    {HTTP_GET, "/api/projects/{project}", HTTP_PROJECT_READ, HTTP_NO_BODY, project_show},
    {HTTP_PATCH, "/api/projects/{project}", HTTP_PROJECT_WRITE, HTTP_JSON_BODY, project_change},
    {HTTP_DELETE, "/api/projects/{project}", HTTP_PROJECT_ADMIN, HTTP_NO_BODY, project_delete},
    {HTTP_GET, "/api/projects/{project}/keys", HTTP_PROJECT_READ, HTTP_NO_BODY, key_list},
    {HTTP_POST, "/api/projects/{project}/keys", HTTP_PROJECT_WRITE, HTTP_JSON_BODY, key_create},
    {HTTP_PATCH, "/api/projects/{project}/keys/{key}", HTTP_PROJECT_WRITE, HTTP_JSON_BODY, key_change},
    {HTTP_DELETE, "/api/projects/{project}/keys/{key}", HTTP_PROJECT_WRITE, HTTP_NO_BODY, key_drop},
    {HTTP_POST, "/api/projects/{project}/keys/{key}/rotate", HTTP_PROJECT_WRITE, HTTP_NO_BODY, key_rotate},
    {HTTP_GET, "/api/projects/{project}/members", HTTP_PROJECT_ADMIN, HTTP_NO_BODY, member_list},
    {HTTP_POST, "/api/projects/{project}/members", HTTP_PROJECT_ADMIN, HTTP_JSON_BODY, member_add},
    {HTTP_DELETE, "/api/projects/{project}/members/{user}", HTTP_PROJECT_ADMIN, HTTP_NO_BODY, member_drop},
    {HTTP_GET, "/api/projects/{project}/issues", HTTP_EVENT_READ, HTTP_NO_BODY, issue_list},
    {HTTP_GET, "/api/projects/{project}/issues/{issue}", HTTP_EVENT_READ, HTTP_NO_BODY, issue_show},
    {HTTP_PATCH, "/api/projects/{project}/issues/{issue}", HTTP_EVENT_WRITE, HTTP_JSON_BODY, issue_change},
    {HTTP_DELETE, "/api/projects/{project}/issues/{issue}", HTTP_EVENT_WRITE, HTTP_NO_BODY, issue_delete},
    {HTTP_GET, "/api/projects/{project}/issues/{issue}/events", HTTP_EVENT_READ, HTTP_NO_BODY, event_list},
    {HTTP_GET, "/api/projects/{project}/issues/{issue}/events/{event}", HTTP_EVENT_READ, HTTP_NO_BODY, event_show},
    {HTTP_GET, "/api/projects/{project}/issues/{issue}/events/{event}/raw", HTTP_EVENT_READ, HTTP_NO_BODY, event_raw},
    {HTTP_GET, "/api/projects/{project}/issues/{issue}/events/{event}/markdown", HTTP_EVENT_READ, HTTP_NO_BODY, event_markdown_show},
    {HTTP_GET, "/api/projects/{project}/outcomes", HTTP_PROJECT_READ, HTTP_NO_BODY, outcome_summary},
    {HTTP_GET, "/api/projects/{project}/delivery", HTTP_PROJECT_READ, HTTP_NO_BODY, outcome_cases},
    {HTTP_GET, "/api/projects/{project}/sessions", HTTP_PROJECT_READ, HTTP_NO_BODY, session_health},
    {HTTP_GET, "/api/projects/{project}/feedback", HTTP_EVENT_READ, HTTP_NO_BODY, feedback_list},
    {HTTP_GET, "/api/projects/{project}/feedback/{feedback}", HTTP_EVENT_READ, HTTP_NO_BODY, feedback_show},
    {HTTP_GET, "/api/projects/{project}/erasures", HTTP_PROJECT_ADMIN, HTTP_NO_BODY, erasure_list},
    {HTTP_POST, "/api/projects/{project}/erasures", HTTP_PROJECT_ADMIN, HTTP_JSON_BODY, erasure_create},
    {HTTP_GET, "/api/projects/{project}/erasures/{erasure}", HTTP_PROJECT_ADMIN, HTTP_NO_BODY, erasure_show},
    {HTTP_GET, "/api/projects/{project}/attachments", HTTP_EVENT_READ, HTTP_NO_BODY, attachment_list},
    {HTTP_GET, "/api/projects/{project}/attachments/{attachment}", HTTP_EVENT_READ, HTTP_NO_BODY, attachment_show},
    {HTTP_DELETE, "/api/projects/{project}/attachments/{attachment}", HTTP_PROJECT_ADMIN, HTTP_NO_BODY, attachment_delete},
    {HTTP_GET, "/api/projects/{project}/attachments/{attachment}/download", HTTP_EVENT_READ, HTTP_NO_BODY, attachment_download},
    {HTTP_GET, "/api/projects/{project}/events/{event}/attachments", HTTP_EVENT_READ, HTTP_NO_BODY, attachment_list_of_event},
    {HTTP_GET, "/api/projects/{project}/monitors", HTTP_PROJECT_READ, HTTP_NO_BODY, monitor_list},
    {HTTP_GET, "/api/projects/{project}/monitors/{monitor}", HTTP_PROJECT_READ, HTTP_NO_BODY, monitor_show},
    {HTTP_DELETE, "/api/projects/{project}/monitors/{monitor}", HTTP_PROJECT_WRITE, HTTP_NO_BODY, monitor_drop},
    {HTTP_GET, "/api/projects/{project}/monitors/{monitor}/checkins", HTTP_PROJECT_READ, HTTP_NO_BODY, check_in_list},
    {HTTP_GET, "/api/projects/{project}/alert-rules", HTTP_ALERT_READ, HTTP_NO_BODY, rule_list},
    {HTTP_POST, "/api/projects/{project}/alert-rules", HTTP_ALERT_WRITE, HTTP_JSON_BODY, rule_create},
    {HTTP_GET, "/api/projects/{project}/alert-rules/{rule}", HTTP_ALERT_READ, HTTP_NO_BODY, rule_show},
    {HTTP_PATCH, "/api/projects/{project}/alert-rules/{rule}", HTTP_ALERT_WRITE, HTTP_JSON_BODY, rule_change},
    {HTTP_DELETE, "/api/projects/{project}/alert-rules/{rule}", HTTP_ALERT_WRITE, HTTP_NO_BODY, rule_drop},
    {HTTP_GET, "/api/projects/{project}/alert-history", HTTP_ALERT_READ, HTTP_NO_BODY, rule_history},
    {HTTP_GET, "/api/alert-channels", HTTP_ALERT_READ, HTTP_NO_BODY, channel_list},
    {HTTP_POST, "/api/alert-channels", HTTP_ALERT_WRITE, HTTP_JSON_BODY, channel_create},
    {HTTP_GET, "/api/alert-channels/{channel}", HTTP_ALERT_READ, HTTP_NO_BODY, channel_show},
    {HTTP_PATCH, "/api/alert-channels/{channel}", HTTP_ALERT_WRITE, HTTP_JSON_BODY, channel_change},
    {HTTP_DELETE, "/api/alert-channels/{channel}", HTTP_ALERT_WRITE, HTTP_NO_BODY, channel_drop},
    {HTTP_POST, "/api/alert-channels/{channel}/test", HTTP_ALERT_WRITE, HTTP_NO_BODY, channel_test},
    {HTTP_GET, "/api/tokens", HTTP_ANY_USER, HTTP_NO_BODY, token_list},
    {HTTP_POST, "/api/tokens", HTTP_ANY_USER, HTTP_JSON_BODY, token_create},
    {HTTP_DELETE, "/api/tokens/{token}", HTTP_ANY_USER, HTTP_NO_BODY, token_delete},
    {HTTP_GET, "/api/projects/{project}/issues/{issue}/tags", HTTP_EVENT_READ, HTTP_NO_BODY, issue_tag_list},
    {HTTP_GET, "/api/projects/{project}/issues/{issue}/tags/{tag}", HTTP_EVENT_READ, HTTP_NO_BODY, issue_tag_show},
    {HTTP_GET, "/api/projects/{project}/issues/{issue}/stats", HTTP_EVENT_READ, HTTP_NO_BODY, issue_stats},
    {HTTP_GET, "/api/projects/{project}/stats", HTTP_PROJECT_READ, HTTP_NO_BODY, project_stats},
    {HTTP_GET, "/api/projects/{project}/releases", HTTP_PROJECT_READ, HTTP_NO_BODY, release_list},
    {HTTP_GET, "/api/projects/{project}/environments", HTTP_PROJECT_READ, HTTP_NO_BODY, environment_list},
    {HTTP_PATCH, "/api/projects/{project}/issues", HTTP_EVENT_WRITE, HTTP_JSON_BODY, issue_bulk_change},
    {HTTP_DELETE, "/api/projects/{project}/issues", HTTP_EVENT_WRITE, HTTP_JSON_BODY, issue_bulk_delete},
    {HTTP_GET, "/api/issues", HTTP_EVENT_READ, HTTP_NO_BODY, issue_list_all},
    {HTTP_GET, "/api/issues/by-short-id/{short}", HTTP_EVENT_READ, HTTP_NO_BODY, issue_show_short},
    {HTTP_GET, "/api/projects/{project}/events", HTTP_EVENT_READ, HTTP_NO_BODY, event_list_of_project},
    {HTTP_GET, "/api/projects/{project}/events/{event}", HTTP_EVENT_READ, HTTP_NO_BODY, event_find},
    {HTTP_GET, "/api/dead-letters", HTTP_ADMIN, HTTP_NO_BODY, dead_letter_list},
    {HTTP_GET, "/api/dead-letters/{letter}", HTTP_ADMIN, HTTP_NO_BODY, dead_letter_show},
    {HTTP_DELETE, "/api/dead-letters/{letter}", HTTP_ADMIN, HTTP_NO_BODY, dead_letter_drop},
    {HTTP_GET, "/api/dead-letters/{letter}/payload", HTTP_ADMIN, HTTP_NO_BODY, dead_letter_payload},
    {HTTP_POST, "/api/dead-letters/{letter}/retry", HTTP_ADMIN, HTTP_NO_BODY, dead_letter_retry},
    {HTTP_GET, "/api/installation", HTTP_ADMIN, HTTP_NO_BODY, installation_show},
    {HTTP_PATCH, "/api/installation", HTTP_ADMIN, HTTP_JSON_BODY, installation_change},
    {HTTP_GET, "/api/status", HTTP_PUBLIC, HTTP_NO_BODY, status_show},
    {HTTP_GET, "/api/openapi.json", HTTP_PUBLIC, HTTP_NO_BODY, openapi_show},
    {HTTP_GET, "/metrics", HTTP_PUBLIC, HTTP_NO_BODY, metrics_show},
};

int api_open(const struct api_config *config, struct api **ret)
{
    struct api *api = calloc(1, sizeof *api);
    if (!api)
        return -ENOMEM;
    api->config = *config;
    api->has_metrics_token = config->metrics_token != NULL;
    secret_hash(str_from(config->metrics_token), api->metrics_hash);
    api->module = (struct http_module){.routes = routes, .n_routes = ARRAY_LEN(routes), .ctx = api};
    *ret = api;
    return 0;
}

void api_free(struct api *api)
{
    free(api);
}

const struct http_module *api_module(struct api *api)
{
    return &api->module;
}

/* ---- operations and refusals */

static void op_dispose(void *memory)
{
    db_cancel(&((struct api_op *)memory)->query);
}

struct api_op *api_op_new(struct http_call *call, enum db_stmt stmt, db_done_fn *done)
{
    struct api_op *op = http_on_dispose(call, sizeof *op, op_dispose);
    op->call = call;
    db_query_init(&op->query, stmt, done);
    return op;
}

bool api_failed(struct http_call *call, int r)
{
    if (r < 0)
        http_answer_error(call, r, STR(""));
    return r < 0;
}

bool api_refuse_limited(struct http_call *call)
{
    bool limited = http_is_cut(call) || call->user.token.expires_us;
    if (limited)
        http_answer_error(call, -ERR_FORBIDDEN,
                          STR("this is for who has logged in, or a token without scopes, project_ids and expires_at"));
    return limited;
}

void api_refuse(struct http_call *call, const char *why)
{
    http_answer_error(call, -ERR_INVALID, str_from(why));
}

enum { ID_SHOWN = 40 }; /* of an id that cannot be one */

void api_no_project(struct http_call *call)
{
    http_no_project(call, call->params[0]);
}

void api_no_issue(struct http_call *call)
{
    struct str id = str_take(call->params[1], ID_SHOWN);
    http_answer_error(call, -ERR_NOT_FOUND, arena_printf(&call->arena, "Issue %.*s not found", STR_ARG(id)));
}

/* ---- reading */

bool api_project_id(struct http_call *call, int32_t *ret)
{
    int64_t id;
    if (!str_to_i64(call->params[0], &id) || id < 1 || id > INT32_MAX) {
        api_no_project(call);
        return false;
    }
    *ret = (int32_t)id;
    return true;
}

bool api_issue_id(struct http_call *call, int32_t *ret_project, struct id128 *ret)
{
    if (!api_project_id(call, ret_project))
        return false;
    if (!id_parse(call->params[1], ret)) {
        api_no_issue(call);
        return false;
    }
    return true;
}

static bool read_number(struct http_call *call, const char *name, int64_t max, int64_t *ret)
{
    struct str text;
    if (!http_query_param(call, str_from(name), &text) || page_number(text, 1, max, ret))
        return true;
    http_answer_error(call, -ERR_INVALID, arena_printf(&call->arena, "%s must be an integer", name));
    return false;
}

bool api_page_read(struct http_call *call, struct api_page *ret)
{
    *ret = (struct api_page){.page = 1, .per_page = PAGE_DEFAULT};
    return read_number(call, "page", PAGE_LAST, &ret->page) && read_number(call, "per_page", PAGE_MAX, &ret->per_page);
}

bool api_span_read(struct http_call *call, unsigned order, struct api_span *ret)
{
    struct str text, why = STR("");
    *ret = (struct api_span){.order = order, .bound = order == API_DESC ? INT64_MAX : 0, .limit = PAGE_DEFAULT};
    if (http_query_param(call, STR("cursor"), &text) && page_cursor_read_number(text, &ret->bound, &why) < 0) {
        http_answer_error(call, -ERR_INVALID, why);
        return false;
    }
    return read_number(call, "limit", PAGE_MAX, &ret->limit);
}

bool api_window_read(struct http_call *call, struct api_window *ret)
{
    static const char *const intervals[] = {"hour", "day", NULL};
    unsigned interval;
    int64_t hours = WINDOW_HOURS_DEFAULT;
    if (!read_number(call, "hours", WINDOW_HOURS_MAX, &hours) || !api_choice(call, "interval", intervals, &interval))
        return false;
    struct str asked;
    if (!http_query_param(call, STR("interval"), &asked))
        interval = hours > WINDOW_HOURS_BY_HOUR;
    ret->interval = str_from(intervals[interval]);
    ret->to_us = clock_wall_us();
    ret->from_us = ret->to_us - hours * CLOCK_US_PER_HOUR;
    ret->from_us -= ret->from_us % (interval ? CLOCK_US_PER_DAY : CLOCK_US_PER_HOUR); /* whole intervals */
    return true;
}

void api_put_window(struct json_writer *w, const struct api_window *window)
{
    json_field_time(w, STR("from"), window->from_us);
    json_field_time(w, STR("to"), window->to_us);
    json_field_str(w, STR("interval"), window->interval);
}

const char *const api_orders[] = {[API_DESC] = "desc", [API_ASC] = "asc", NULL};

bool api_choice(struct http_call *call, const char *name, const char *const *allowed, unsigned *ret)
{
    struct str text;
    *ret = 0;
    if (!http_query_param(call, str_from(name), &text))
        return true;
    AUTO_BUF struct buf list = {0};
    for (unsigned i = 0; allowed[i]; i++) {
        if (str_eq(text, str_from(allowed[i]))) {
            *ret = i;
            return true;
        }
        buf_printf(&list, "%s%s", i ? ", " : "", allowed[i]);
    }
    http_answer_error(call, -ERR_INVALID, arena_printf(&call->arena, "%s must be one of %s", name, buf_cstr(&list)));
    return false;
}

bool api_body_str(struct http_call *call, const char *name, struct str *ret)
{
    const struct json *v = json_get(json_root(call->body), str_from(name));
    struct str raw;
    *ret = (struct str){NULL, 0};
    if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
        return true;
    bool is_text = json_str_raw(v, &raw);
    if (is_text && str_find(raw, 0) == raw.n)
        return json_str(v, &call->arena, ret);
    const char *why = is_text ? "must not contain U+0000" : "must be a string";
    http_answer_error(call, -ERR_INVALID, arena_printf(&call->arena, "%s %s", name, why));
    return false;
}

bool api_body_number(struct http_call *call, const char *name, int64_t max, int64_t *ret)
{
    const struct json *v = json_get(json_root(call->body), str_from(name));
    *ret = -1;
    if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
        return true;
    if (json_i64(v, ret) && *ret >= 0 && *ret <= max)
        return true;
    http_answer_error(call, -ERR_INVALID, arena_printf(&call->arena, "%s must be a whole number from 0 to %lld", name, (long long)max));
    return false;
}

bool api_body_flag(struct http_call *call, const char *name, bool *ret, bool *ret_has)
{
    const struct json *v = json_get(json_root(call->body), str_from(name));
    bool is_there = json_type(v) != JSON_NONE && json_type(v) != JSON_NULL;
    if (is_there && !json_bool(v, ret)) {
        http_answer_error(call, -ERR_INVALID, arena_printf(&call->arena, "%s must be a boolean", name));
        return false;
    }
    if (ret_has)
        *ret_has = is_there;
    return true;
}

bool api_body_name(struct http_call *call, struct str *ret)
{
    enum { NAME_MAX_CHARS = 255 };
    if (!api_body_str(call, "name", ret))
        return false;
    *ret = str_trim(*ret);
    if (ret->p && ret->n == 0)
        api_refuse(call, "Name cannot be empty");
    else if (str_take_code_points(*ret, NAME_MAX_CHARS).n < ret->n)
        api_refuse(call, "Name cannot exceed 255 characters");
    else
        return true;
    return false;
}

/* A number of five bytes may be one of 300 digits when it comes out of the database, which writes them all. */
static size_t growth_of(const struct json *v)
{
    enum { DIGITS_MAX = 340 };
    int64_t whole;
    double n;
    bool is_short = json_i64(v, &whole) || (json_f64(v, &n) && (n == 0 || (n > 1e-5 && n < 1e7) || (n < -1e-5 && n > -1e7)));
    return is_short ? 0 : DIGITS_MAX;
}

/* Its bytes beyond its text; SIZE_MAX: too deep. */
static size_t measure(const struct json *v)
{
    enum { LEVELS_MAX = 32 };
    struct json_walk walk;
    size_t more = 0;
    json_walk_start(&walk, v);
    while (more < SIZE_MAX && json_walk_next(&walk)) {
        if (walk.type == JSON_NUMBER)
            more += growth_of(walk.value);
        if (walk.depth > LEVELS_MAX)
            more = SIZE_MAX;
    }
    json_walk_done(&walk);
    return more;
}

bool api_body_value(struct http_call *call, const char *name, enum json_type type, const struct json **ret, struct str *ret_text)
{
    enum { VALUE_MAX_BYTES = 16 << 10 };
    const char *kind = type == JSON_OBJECT ? "an object" : "a list";
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    *ret = json_get(json_root(call->body), str_from(name));
    *ret_text = (struct str){NULL, 0};
    if (json_type(*ret) == JSON_NONE || json_type(*ret) == JSON_NULL)
        return true;
    json_writer_init(&w, &out);
    size_t more = json_type(*ret) == type ? measure(*ret) : SIZE_MAX;
    if (more <= VALUE_MAX_BYTES)
        json_put_value(&w, *ret);
    if (out.n == 0 || out.n + more > VALUE_MAX_BYTES) {
        http_answer_error(call, -ERR_INVALID, arena_printf(&call->arena, "%s must be %s of at most 16 KiB and 32 levels", name, kind));
        return false;
    }
    *ret_text = arena_str(&call->arena, buf_str(&out));
    return true;
}

void api_bind_actor(struct db_query *q, struct http_call *call)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    uint8_t addr[16];
    json_writer_init(&w, &out);
    json_begin_object(&w);
    if (call->user.id) {
        json_field_i64(&w, STR("user"), call->user.id);
        json_field_str(&w, STR("email"), call->user.email);
    }
    if (call->user.token_id)
        json_field_i64(&w, STR("token"), call->user.token_id);
    json_field_str(&w, STR("address"), http_client_address(call, addr));
    json_end_object(&w);
    db_bind_text(q, arena_str(&call->arena, buf_str(&out)));
}

/* ---- answers */

bool api_has_row(struct http_call *call, int r, const struct db_rows *rows, http_handler_fn *none)
{
    if (api_failed(call, r))
        return false;
    if (db_count(rows) == 0)
        none(call);
    return db_count(rows) > 0;
}

void api_answer_gone(struct http_call *call, int r, const struct db_rows *rows, http_handler_fn *none)
{
    if (api_has_row(call, r, rows, none))
        http_answer_empty(call, 204);
}

void api_answer_object(struct http_call *call, int status, const struct db_rows *rows, int col, api_put_fn *put)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    put(&w, rows, 0, col);
    http_answer_json(call, status, &out);
}

static void put_rows(struct json_writer *w, const struct db_rows *rows, int n, int col, api_put_fn *put)
{
    json_begin_array(w);
    for (int i = 0; i < n && !db_is_null(rows, i, col); i++)
        put(w, rows, i, col);
    json_end_array(w);
}

void api_answer_array(struct http_call *call, const struct db_rows *rows, api_put_fn *put)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    put_rows(&w, rows, db_count(rows), 0, put);
    http_answer_json(call, 200, &out);
}

void api_answer_page(struct api_op *op, int r, const struct db_rows *rows, http_handler_fn *none, api_put_fn *put)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    if (!api_has_row(op->call, r, rows, none))
        return;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    put_rows(&w, rows, db_count(rows), 1, put);
    api_page_end(&w, &op->page, db_i64(rows, 0, 0));
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

void api_answer_span(struct api_op *op, int r, const struct db_rows *rows, api_put_fn *put)
{
    AUTO_BUF struct buf out = {0}, cursor = {0};
    struct json_writer w;
    if (api_failed(op->call, r))
        return;
    bool has_more = db_count(rows) > op->span.limit;
    int n = has_more ? (int)op->span.limit : db_count(rows);
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    put_rows(&w, rows, n, 0, put);
    if (has_more) {
        page_cursor_write_number(&cursor, str_from(api_orders[op->span.order]), db_i64(rows, n - 1, 0));
        json_field_str(&w, STR("next_cursor"), buf_str(&cursor));
    }
    json_field_bool(&w, STR("has_more"), has_more);
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

/* ---- writing */

void api_page_end(struct json_writer *w, const struct api_page *page, int64_t total)
{
    json_field_i64(w, STR("total_count"), total);
    json_field_i64(w, STR("page"), page->page);
    json_field_i64(w, STR("per_page"), page->per_page);
    json_field_i64(w, STR("total_pages"), page_count(total, page->per_page));
}

void api_put_id(struct json_writer *w, struct str key, const struct id128 *id)
{
    char text[ID_DASHED + 1];
    id_dashed(id, text);
    json_field_str(w, key, str_of(text, ID_DASHED));
}

void api_put_id_or_null(struct json_writer *w, struct str key, const struct db_rows *rows, int row, int col)
{
    if (db_is_null(rows, row, col)) {
        json_field_null(w, key);
        return;
    }
    struct id128 sent = db_id(rows, row, col), id = id_conforming(&sent);
    api_put_id(w, key, &id);
}

void api_put_time(struct json_writer *w, struct str key, const struct db_rows *rows, int row, int col)
{
    if (db_is_null(rows, row, col))
        json_field_null(w, key);
    else
        json_field_time(w, key, db_time(rows, row, col));
}

void api_put_text(struct json_writer *w, struct str key, const struct db_rows *rows, int row, int col)
{
    if (db_is_null(rows, row, col))
        json_field_null(w, key);
    else
        json_field_str(w, key, db_text(rows, row, col));
}
