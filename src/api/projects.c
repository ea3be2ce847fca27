/* projects.c: R7 – R11 (contract §1.11). DSNs are made from PUBLIC_URL. */
#include "internal.h"

#include "picket/api/slug.h"
#include "picket/event/event.h"
#include "picket/event/scrub.h"
#include "picket/protocol/dsn.h"
#include "picket/protocol/origin.h"

enum { NAME_MAX_BYTES = 255, PLATFORM_MAX_BYTES = 64 };

/* Members of the object. Columns from `col`: id, name, slug, public_key, stored, digested, created_at, updated_at, platform. */
static void put_fields(struct json_writer *w, const struct http_call *call, const struct db_rows *rows, int row, int col)
{
    AUTO_BUF struct buf dsn = {0};
    struct id128 key = {{0}};
    int64_t id = db_i64(rows, row, col);
    if (!db_is_null(rows, row, col + 3)) /* a project without a key cannot receive, but is shown */
        key = db_id(rows, row, col + 3);
    if (dsn_format(&dsn, str_from(api_of(call)->config.public_url), &key, (uint64_t)id) < 0)
        buf_clear(&dsn);
    struct id128 shown = id_conforming(&key); /* keys may be any 128 bits; the client takes conforming UUIDs only (contract §7.2) */
    json_field_i64(w, STR("id"), id);
    json_field_str(w, STR("name"), db_text(rows, row, col + 1));
    json_field_str(w, STR("slug"), db_text(rows, row, col + 2));
    api_put_id(w, STR("sentry_key"), &shown);
    json_field_str(w, STR("dsn"), buf_str(&dsn));
    json_field_i64(w, STR("stored_event_count"), db_i64(rows, row, col + 4));
    json_field_i64(w, STR("digested_event_count"), db_i64(rows, row, col + 5));
    json_field_time(w, STR("created_at"), db_time(rows, row, col + 6));
    json_field_time(w, STR("updated_at"), db_time(rows, row, col + 7));
    api_put_text(w, STR("platform"), rows, row, col + 8);
}

static void put_project(struct json_writer *w, const struct http_call *call, const struct db_rows *rows, int row, int col)
{
    json_begin_object(w);
    put_fields(w, call, rows, row, col);
    json_end_object(w);
}

static void put_number(struct json_writer *w, struct str key, const struct db_rows *rows, int col)
{
    if (db_is_null(rows, 0, col))
        json_field_null(w, key);
    else
        json_field_i64(w, key, db_i64(rows, 0, col));
}

/* The project with its settings: further columns quotas, retention_days, retention_events_per_issue, scrubbing, allowed_origins; null: as the installation
 * has it. */
static void answer_settings(struct http_call *call, int status, const struct db_rows *rows)
{
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    put_fields(&w, call, rows, 0, 0);
    json_key(&w, STR("quotas"));
    json_put_raw(&w, db_text(rows, 0, 9));
    put_number(&w, STR("retention_days"), rows, 10);
    put_number(&w, STR("retention_events_per_issue"), rows, 11);
    json_key(&w, STR("scrubbing"));
    json_put_raw(&w, db_text(rows, 0, 12));
    json_key(&w, STR("allowed_origins"));
    json_put_raw(&w, db_text(rows, 0, 13));
    json_field_i64(&w, STR("grouping_version"), EVENT_GROUPING_VERSION);
    json_end_object(&w);
    http_answer_json(call, status, &out);
}

/* ---- R7 */

struct project_page { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    struct api_page page;
};

static void page_dispose(void *memory)
{
    db_cancel(&((struct project_page *)memory)->query);
}

/* Columns: total, then a project or nulls. */
static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct project_page *op = container_of(q, struct project_page, query);
    if (api_failed(op->call, r))
        return;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (int i = 0; i < db_count(rows) && !db_is_null(rows, i, 1); i++)
        put_project(&w, op->call, rows, i, 1);
    json_end_array(&w);
    api_page_end(&w, &op->page, db_i64(rows, 0, 0));
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

void project_list(struct http_call *call)
{
    static const enum db_stmt stmts[] = {[API_DESC] = STMT_PROJECT_PAGE_DESC, [API_ASC] = STMT_PROJECT_PAGE_ASC};
    struct project_page *op = http_on_dispose(call, sizeof *op, page_dispose);
    unsigned order;
    op->call = call;
    db_query_init(&op->query, STMT_PROJECT_PAGE_DESC, listed);
    if (!api_page_read(call, &op->page) || !api_choice(call, "order", api_orders, &order))
        return;
    op->query.stmt = stmts[order];
    db_bind_i64(&op->query, op->page.per_page);
    db_bind_i64(&op->query, (op->page.page - 1) * op->page.per_page);
    http_bind_reach(call, &op->query);
    db_submit(call->worker->db, &op->query);
}

/* ---- R8 */

struct project_create { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    struct str name;
    struct id128 key;
};

static void create_dispose(void *memory)
{
    db_cancel(&((struct project_create *)memory)->query);
}

static void conflict(struct http_call *call, const struct db_query *q, struct str name)
{
    bool by_name = str_eq(str_from(q->constraint), STR("projects_name_key"));
    struct str detail = by_name ? arena_printf(&call->arena, "Project with name '%.*s' already exists", STR_ARG(name))
                                : STR("a project with that slug was created at the same time: try again");
    http_answer_error(call, -ERR_DB_CONFLICT, detail);
}

static void created(struct db_query *q, int r, const struct db_rows *rows)
{
    struct project_create *op = container_of(q, struct project_create, query);
    if (r == -ERR_DB_CONFLICT)
        conflict(op->call, q, op->name);
    else if (api_failed(op->call, r))
        return;
    else if (db_count(rows) == 0)
        http_answer_error(op->call, -ERR_DB_CONFLICT, STR("too many projects have that slug: choose another one"));
    else
        answer_settings(op->call, 201, rows);
}

/* False: answered. */
static bool check_name(struct http_call *call, struct str *ret)
{
    *ret = str_trim(*ret);
    if (ret->n == 0)
        api_refuse(call, "Name cannot be empty");
    else if (ret->n > NAME_MAX_BYTES)
        api_refuse(call, "Name cannot exceed 255 characters");
    else
        return true;
    return false;
}

/* "platform": what SDKs and their guides call one, as "python" or "javascript-react"; "": none. p == NULL: absent or null. False: answered. */
static bool read_platform(struct http_call *call, struct str *ret)
{
    if (!api_body_str(call, "platform", ret))
        return false;
    bool ok = ret->n <= PLATFORM_MAX_BYTES;
    for (size_t i = 0; i < ret->n && ok; i++)
        ok = (ret->p[i] >= 'a' && ret->p[i] <= 'z') || (ret->p[i] >= '0' && ret->p[i] <= '9') || (i > 0 && memchr("-._", ret->p[i], 3));
    if (!ok)
        api_refuse(call, "platform must be a name of at most 64 lower-case letters, digits, dashes, dots and underscores");
    return ok;
}

void project_create(struct http_call *call)
{
    struct project_create *op = http_on_dispose(call, sizeof *op, create_dispose);
    struct str wanted, platform;
    AUTO_BUF struct buf slug = {0};
    op->call = call;
    db_query_init(&op->query, STMT_PROJECT_INSERT, created);
    if (!api_body_str(call, "name", &op->name) || !check_name(call, &op->name) || !api_body_str(call, "slug", &wanted) ||
        !read_platform(call, &platform))
        return;
    if (slug_make(&slug, str_trim(wanted).n ? wanted : op->name) < 0) {
        api_refuse(call, "Cannot generate valid slug from name");
        return;
    }
    op->key = id_random();
    db_bind_text(&op->query, op->name);
    db_bind_text(&op->query, arena_str(&call->arena, buf_str(&slug)));
    db_bind_id(&op->query, &op->key);
    if (call->user.sees_all)
        db_bind_null(&op->query);
    else
        db_bind_i32(&op->query, (int32_t)call->user.id); /* else they would not see what they made */
    api_bind_actor(&op->query, call);
    api_bind_text_or_null(&op->query, platform.n ? platform : (struct str){NULL, 0});
    db_submit(call->worker->db, &op->query);
}

/* ---- R9 */

static void shown(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_has_row(call, r, rows, api_no_project))
        answer_settings(call, 200, rows);
}

void project_show(struct http_call *call)
{
    int32_t id;
    if (!api_project_id(call, &id))
        return;
    struct api_op *op = api_op_new(call, STMT_PROJECT_SHOW, shown);
    db_bind_i32(&op->query, id);
    api_op_submit(op);
}

/* ---- R11 */

static void deleted(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_gone(api_op_of(q)->call, r, rows, api_no_project);
}

/* Gone for everybody from now on; retention takes away what it had (migration 0035). */
void project_delete(struct http_call *call)
{
    int32_t id;
    if (!api_project_id(call, &id))
        return;
    struct api_op *op = api_op_new(call, STMT_PROJECT_DELETE, deleted);
    db_bind_i32(&op->query, id);
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}

/* ---- R10, and what else a project can be told */

enum { DAYS_MAX = 36500, FIELDS_MAX = 200, FIELD_MAX_BYTES = 200, ORIGINS_MAX = 100 };

static void changed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    struct str name;
    if (r == -ERR_DB_CONFLICT && api_body_str(call, "name", &name))
        conflict(call, q, str_trim(name));
    else if (api_failed(call, r))
        return;
    else if (db_count(rows) == 0)
        api_no_project(call);
    else
        answer_settings(call, 200, rows);
}

static void bind_number(struct db_query *q, int64_t v)
{
    if (v < 0)
        db_bind_null(q);
    else
        db_bind_i64(q, v);
}

static bool is_list_of_names(const struct json *v)
{
    if (json_type(v) != JSON_ARRAY || json_count(v) > FIELDS_MAX)
        return false;
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct str name;
        if (!json_str_raw(it.value, &name) || name.n == 0 || name.n > FIELD_MAX_BYTES || !str_is_utf8(name) || str_find(name, 0) < name.n)
            return false;
    }
    return true;
}

/* False: answered. */
static bool check_sensitive(struct http_call *call, const struct json *names)
{
    for (struct json_iter it = json_iter(names); json_next(&it);) {
        struct str name;
        if (json_str_raw(it.value, &name) && scrub_must_stay(name)) {
            api_refuse(
                call,
                "sensitive_fields: event_id, timestamp, platform, level, type and _meta make an event what it is and cannot be taken out");
            return false;
        }
    }
    return true;
}

/* The member "scrubbing": {"enabled", "drop_ip": flags, "sensitive_fields", "safe_fields": lists of names}, each may be null: as everybody has it. The
 * text in the arena; p == NULL: absent. False: answered. */
static bool read_scrubbing(struct http_call *call, struct str *ret)
{
    const struct json *v = json_get(json_root(call->body), STR("scrubbing"));
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    *ret = (struct str){NULL, 0};
    if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
        return true;
    bool ok = json_type(v) == JSON_OBJECT;
    for (struct json_iter it = json_iter(v); ok && json_next(&it);) {
        struct str name;
        bool flag, is_text = json_str_raw(it.key, &name), is_null = json_type(it.value) == JSON_NULL;
        if (is_text && (str_eq(name, STR("enabled")) || str_eq(name, STR("drop_ip"))))
            ok = is_null || json_bool(it.value, &flag);
        else
            ok = is_text && (str_eq(name, STR("sensitive_fields")) || str_eq(name, STR("safe_fields"))) &&
                 (is_null || is_list_of_names(it.value));
    }
    if (!ok) {
        api_refuse(call, "scrubbing must be an object of enabled and drop_ip (true or false), sensitive_fields and safe_fields (names)");
        return false;
    }
    if (!check_sensitive(call, json_get(v, STR("sensitive_fields"))))
        return false;
    json_writer_init(&w, &out);
    json_put_value(&w, v);
    *ret = arena_str(&call->arena, buf_str(&out));
    return true;
}

/* The member "allowed_origins": patterns of pages, none: all pages may send. As they are kept, JSON in the arena; p == NULL: absent or null. False: answered. */
static bool read_origins(struct http_call *call, struct str *ret)
{
    const struct json *v = json_get(json_root(call->body), STR("allowed_origins"));
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    *ret = (struct str){NULL, 0};
    if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
        return true;
    bool ok = json_type(v) == JSON_ARRAY && json_count(v) <= ORIGINS_MAX;
    json_writer_init(&w, &out);
    json_begin_array(&w);
    for (struct json_iter it = json_iter(v); ok && json_next(&it);) {
        AUTO_BUF struct buf pattern = {0};
        struct str text;
        ok = json_str(it.value, &call->arena, &text) && origin_pattern(text, &pattern) == 0;
        json_put_str(&w, buf_str(&pattern));
    }
    json_end_array(&w);
    if (ok)
        *ret = arena_str(&call->arena, buf_str(&out));
    else
        api_refuse(call, "allowed_origins must be a list of at most 100 pages, each [http:// or https://]host[:port], where host may be * "
                         "or begin with *.");
    return ok;
}

/* There is one: whoever asks for another must not believe that events are grouped by it. False: answered. */
static bool check_grouping_version(struct http_call *call)
{
    int64_t version;
    if (!api_body_number(call, "grouping_version", INT32_MAX, &version))
        return false;
    if (version < 0 || version == EVENT_GROUPING_VERSION)
        return true;
    http_answer_error(call, -ERR_INVALID,
                      arena_printf(&call->arena, "grouping_version must be %d: there is no other", (int)EVENT_GROUPING_VERSION));
    return false;
}

void project_change(struct http_call *call)
{
    int32_t id;
    struct str name, quotas, scrubbing, origins, platform;
    int64_t days, per_issue;
    if (!api_project_id(call, &id) || !api_body_str(call, "name", &name) || (name.p && !check_name(call, &name)) ||
        !api_body_quotas(call, &quotas) || !read_scrubbing(call, &scrubbing) || !api_body_number(call, "retention_days", DAYS_MAX, &days) ||
        !api_body_number(call, "retention_events_per_issue", INT32_MAX, &per_issue) || !read_origins(call, &origins) ||
        !check_grouping_version(call) || !read_platform(call, &platform))
        return;
    struct api_op *op = api_op_new(call, STMT_PROJECT_CHANGE, changed);
    db_bind_i32(&op->query, id);
    api_bind_text_or_null(&op->query, name);
    api_bind_text_or_null(&op->query, quotas);
    bind_number(&op->query, days);
    bind_number(&op->query, per_issue);
    api_bind_text_or_null(&op->query, scrubbing);
    api_bind_actor(&op->query, call);
    api_bind_text_or_null(&op->query, origins);
    api_bind_text_or_null(&op->query, platform);
    api_op_submit(op);
}
