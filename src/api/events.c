/* events.c: R16, R17 (contract §1.13, §7.6), the same of a project, and the raw payload (decisions.md "data").
 *
 * An issue's events are those of its groupings: the list takes the first rows of each grouping's index range and merges them, so a page
 * costs the same however many events there are. The order is that of the row ids, which is the order of arrival; the cursor is the last id.
 *
 * A payload is stored compressed. Small ones are read on the loop, larger ones on the work pool; what inflates beyond INLINE_DECODED is
 * begun again there. */
#include "internal.h"

#include "picket/api/page.h"
#include "picket/event/event.h"
#include "picket/protocol/payload.h"

enum {
    FIRST_PAGE_ASC = 100, /* the dashboard's navigation knows the first page only (contract §7.5) */
    INLINE_STORED = 32 << 10,
    INLINE_DECODED = 256 << 10,
    PAYLOAD_MAX = 64 << 20, /* far above what ingest takes: a guard against damaged rows */
};

/* ---- R16 */

struct event_page { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    unsigned order;
    int64_t per_page;
    int32_t project;
    bool of_project; /* all issues together */
    struct id128 issue, bound;
};

static void page_dispose(void *memory)
{
    db_cancel(&((struct event_page *)memory)->query);
}

/* The members that list items and details share. Columns: id, event_id, title, timestamp, level, platform, release, environment. */
static void put_summary(struct json_writer *w, const struct id128 *issue, const struct db_rows *rows, int row)
{
    struct id128 id = db_id(rows, row, 0), sent = db_id(rows, row, 1), event_id = id_conforming(&sent);
    struct str level = db_text(rows, row, 4);
    api_put_id(w, STR("id"), &id);
    api_put_id(w, STR("event_id"), &event_id);
    api_put_id(w, STR("issue_id"), issue);
    json_field_str(w, STR("title"), db_text(rows, row, 2));
    json_field_time(w, STR("timestamp"), db_time(rows, row, 3));
    json_field_str(w, STR("level"), level.n ? level : STR("error"));
    json_field_str(w, STR("platform"), db_text(rows, row, 5));
    json_field_str(w, STR("release"), db_text(rows, row, 6));
    json_field_str(w, STR("environment"), db_text(rows, row, 7));
}

static void put_cursor(struct json_writer *w, const struct event_page *op, const struct db_rows *rows, int last)
{
    AUTO_BUF struct buf cursor = {0};
    struct id128 id = db_id(rows, last, 0);
    page_cursor_write(&cursor, str_from(api_orders[op->order]), &id);
    json_field_str(w, STR("next_cursor"), buf_str(&cursor));
}

/* Columns: the summary's; of a project also the issue. */
static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    struct event_page *op = container_of(q, struct event_page, query);
    if (!api_has_row(op->call, r, rows, op->of_project ? api_no_project : api_no_issue))
        return;
    bool has_more = db_count(rows) > op->per_page; /* one more was asked for */
    int n = db_is_null(rows, 0, 0) ? 0 : has_more ? (int)op->per_page : db_count(rows);
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (int i = 0; i < n; i++) {
        struct id128 issue = op->of_project ? db_id(rows, i, 8) : op->issue;
        json_begin_object(&w);
        put_summary(&w, &issue, rows, i);
        json_end_object(&w);
    }
    json_end_array(&w);
    if (has_more) /* absent on the last page, never null (contract §7.2) */
        put_cursor(&w, op, rows, n - 1);
    json_field_bool(&w, STR("has_more"), has_more);
    json_end_object(&w);
    http_answer_json(op->call, 200, &out);
}

/* False: answered. */
static bool read_position(struct event_page *op)
{
    struct http_call *call = op->call;
    struct str text, why = STR("");
    bool has_cursor = http_query_param(call, STR("cursor"), &text);
    memset(op->bound.b, op->order == API_DESC ? 0xff : 0, sizeof op->bound.b);
    if (has_cursor && page_cursor_read(text, &op->bound, &why) < 0) {
        http_answer_error(call, -ERR_INVALID, why);
        return false;
    }
    op->per_page = op->order == API_ASC && !has_cursor ? FIRST_PAGE_ASC : PAGE_DEFAULT;
    if (http_query_param(call, STR("per_page"), &text) && !page_number(text, 1, PAGE_MAX, &op->per_page)) {
        api_refuse(call, "per_page must be an integer");
        return false;
    }
    return true;
}

void event_list(struct http_call *call)
{
    static const enum db_stmt stmts[] = {[API_DESC] = STMT_EVENT_PAGE_DESC, [API_ASC] = STMT_EVENT_PAGE_ASC};
    struct event_page *op = http_on_dispose(call, sizeof *op, page_dispose);
    op->call = call;
    db_query_init(&op->query, STMT_EVENT_PAGE_DESC, listed);
    if (!api_issue_id(call, &op->project, &op->issue) || !api_choice(call, "order", api_orders, &op->order) || !read_position(op))
        return;
    op->query.stmt = stmts[op->order];
    db_bind_i32(&op->query, op->project);
    db_bind_id(&op->query, &op->issue);
    db_bind_id(&op->query, &op->bound);
    db_bind_i64(&op->query, op->per_page + 1);
    db_submit(call->worker->db, &op->query);
}

void event_list_of_project(struct http_call *call)
{
    static const enum db_stmt stmts[] = {[API_DESC] = STMT_EVENT_PAGE_PROJECT_DESC, [API_ASC] = STMT_EVENT_PAGE_PROJECT_ASC};
    struct event_page *op = http_on_dispose(call, sizeof *op, page_dispose);
    op->call = call;
    op->of_project = true;
    db_query_init(&op->query, STMT_EVENT_PAGE_PROJECT_DESC, listed);
    if (!api_project_id(call, &op->project) || !api_choice(call, "order", api_orders, &op->order) || !read_position(op))
        return;
    op->query.stmt = stmts[op->order];
    db_bind_i32(&op->query, op->project);
    db_bind_id(&op->query, &op->bound);
    db_bind_i64(&op->query, op->per_page + 1);
    db_submit(call->worker->db, &op->query);
}

/* ---- R17, raw, and as Markdown */

enum form { NORMALISED, RAW, MARKDOWN };

/* On the heap, because a work thread reads and writes it; `op` is cleared when the request ends. */
struct payload_job {
    struct http_job job;
    struct event_op *op;
    enum form form;
    struct event_row row;
    struct arena arena; /* holds the row's texts, and this: */
    struct str dictionary, title;
    int result;
    struct buf stored, text; /* text: what is answered as `data`, or the raw payload */
};

struct event_op { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    struct payload_job *job;
    enum form form;
    int32_t project;
    bool of_project; /* looked for in all issues */
    struct id128 issue, event;
    struct buf head;      /* the answer up to `data`, unfinished */
    struct json_writer w; /* writes to head */
};

static void event_dispose(void *memory)
{
    struct event_op *op = memory;
    db_cancel(&op->query);
    buf_done(&op->head);
    if (op->job)
        op->job->op = NULL;
}

/* The payload as it is answered, appended. Any thread. */
static int read_payload(enum form form, struct str stored, struct str dictionary, const struct event_row *row, struct str title,
                        size_t max_bytes, struct buf *out)
{
    AUTO_BUF struct buf text = {0}, copy = {0};
    if (form == RAW)
        return payload_unpack(stored, dictionary, max_bytes, out);
    int r = payload_unpack(stored, dictionary, max_bytes, &text);
    if (r < 0 || form == NORMALISED)
        return r < 0 ? r : event_normalise(buf_str(&text), row, out);
    r = event_normalise(buf_str(&text), row, &copy);
    return r < 0 ? r : event_markdown(title, buf_str(&copy), out);
}

static void answer_event(struct event_op *op, int r, const struct buf *text)
{
    if (r < 0) { /* what was stored could be read when it was stored */
        http_answer_error(op->call, -ERR_DB_FAILED, STR("the stored payload cannot be read"));
        return;
    }
    if (op->form == RAW) {
        http_answer_json(op->call, 200, text);
        return;
    }
    if (op->form == MARKDOWN) {
        http_answer(op->call, 200, STR("text/markdown; charset=utf-8"), buf_str(text));
        return;
    }
    json_key(&op->w, STR("data"));
    json_put_raw(&op->w, buf_str(text));
    json_end_object(&op->w);
    http_answer_json(op->call, 200, &op->head);
}

static void job_run(struct http_job *http_job)
{
    struct payload_job *job = container_of(http_job, struct payload_job, job);
    job->result = read_payload(job->form, buf_str(&job->stored), job->dictionary, &job->row, job->title, PAYLOAD_MAX, &job->text);
}

static void job_free(struct payload_job *job)
{
    buf_done(&job->stored);
    buf_done(&job->text);
    arena_done(&job->arena);
    free(job);
}

static void job_home(struct http_job *http_job)
{
    struct payload_job *job = container_of(http_job, struct payload_job, job);
    struct event_op *op = job->op;
    if (op) {
        op->job = NULL;
        answer_event(op, job->result, &job->text); /* copies */
    }
    job_free(job);
}

static void read_elsewhere(struct event_op *op, struct str stored, struct str dictionary, const struct event_row *row, struct str title)
{
    if (http_reserve_answer(op->call, payload_size(stored)) < 0) {
        http_answer_error(op->call, -ERR_BUSY, STR("too many answers wait to be read"));
        return;
    }
    struct payload_job *job = calloc(1, sizeof *job);
    if (!job)
        abort();
    *job = (struct payload_job){.job = {.run = job_run, .home = job_home}, .op = op, .form = op->form, .row = *row};
    arena_init(&job->arena);
    job->row.client_address = arena_str(&job->arena, row->client_address); /* the rows are gone when the job runs */
    job->row.sdk_name = arena_str(&job->arena, row->sdk_name);
    job->row.sdk_version = arena_str(&job->arena, row->sdk_version);
    job->dictionary = arena_str(&job->arena, dictionary);
    job->title = arena_str(&job->arena, title);
    buf_append_str(&job->stored, stored);
    op->job = job;
    int r = http_job_submit(op->call->worker, &job->job);
    if (r < 0) {
        op->job = NULL;
        job_free(job);
        http_answer_error(op->call, r, STR(""));
    }
}

static void put_neighbour(struct json_writer *w, struct str key, const struct db_rows *rows, int col)
{
    if (db_is_null(rows, 0, col)) {
        json_field_null(w, key);
        return;
    }
    struct id128 id = db_id(rows, 0, col);
    api_put_id(w, key, &id);
}

/* Columns behind the summary's: received_at, server_name, sdk_name, sdk_version, payload, the client's address, the payload's dictionary, the issue, and
 * the events before and behind this one in the issue, the oldest and the newest there. */
static void put_head(struct event_op *op, const struct db_rows *rows)
{
    struct id128 issue = db_id(rows, 0, 15);
    json_writer_init(&op->w, &op->head);
    json_begin_object(&op->w);
    put_summary(&op->w, &issue, rows, 0);
    json_field_time(&op->w, STR("ingested_at"), db_time(rows, 0, 8));
    json_field_str(&op->w, STR("server_name"), db_text(rows, 0, 9));
    json_field_str(&op->w, STR("sdk_name"), db_text(rows, 0, 10));
    json_field_str(&op->w, STR("sdk_version"), db_text(rows, 0, 11));
    put_neighbour(&op->w, STR("previous_id"), rows, 16);
    put_neighbour(&op->w, STR("next_id"), rows, 17);
    put_neighbour(&op->w, STR("oldest_id"), rows, 18);
    put_neighbour(&op->w, STR("newest_id"), rows, 19);
}

static void no_event(const struct event_op *op)
{
    struct http_call *call = op->call;
    struct str id = str_take(call->params[op->of_project ? 1 : 2], ID_DASHED);
    http_answer_error(call, -ERR_NOT_FOUND, arena_printf(&call->arena, "Event %.*s not found", STR_ARG(id)));
}

static void found(struct db_query *q, int r, const struct db_rows *rows)
{
    struct event_op *op = container_of(q, struct event_op, query);
    if (!api_has_row(op->call, r, rows, op->of_project ? api_no_project : api_no_issue))
        return;
    if (db_is_null(rows, 0, 0)) {
        no_event(op);
        return;
    }
    if (op->form == NORMALISED)
        put_head(op, rows);
    AUTO_BUF struct buf text = {0};
    struct str stored = db_bytes(rows, 0, 12), dictionary = db_bytes(rows, 0, 14), title = db_text(rows, 0, 2);
    struct event_row row = {.event_id = db_id(rows, 0, 1),
                            .project_id = (uint64_t)op->project,
                            .received_us = db_time(rows, 0, 8),
                            .timestamp_us = db_time(rows, 0, 3),
                            .client_address = db_text(rows, 0, 13),
                            .sdk_name = db_text(rows, 0, 10),
                            .sdk_version = db_text(rows, 0, 11)};
    r = stored.n > INLINE_STORED ? -ERR_TOO_LARGE : read_payload(op->form, stored, dictionary, &row, title, INLINE_DECODED, &text);
    if (r == -ERR_TOO_LARGE)
        read_elsewhere(op, stored, dictionary, &row, title);
    else
        answer_event(op, r, &text);
}

static void show(struct http_call *call, enum form form)
{
    struct event_op *op = http_on_dispose(call, sizeof *op, event_dispose);
    op->call = call;
    op->form = form;
    db_query_init(&op->query, STMT_EVENT_SHOW, found);
    if (!api_issue_id(call, &op->project, &op->issue))
        return;
    if (!id_parse(call->params[2], &op->event)) {
        no_event(op);
        return;
    }
    db_bind_i32(&op->query, op->project);
    db_bind_id(&op->query, &op->issue);
    db_bind_id(&op->query, &op->event);
    db_submit(call->worker->db, &op->query);
}

void event_show(struct http_call *call)
{
    show(call, NORMALISED);
}

/* By the SDK's id, too, in whatever issue it is. */
void event_find(struct http_call *call)
{
    struct event_op *op = http_on_dispose(call, sizeof *op, event_dispose);
    op->call = call;
    op->form = NORMALISED;
    op->of_project = true;
    db_query_init(&op->query, STMT_EVENT_FIND, found);
    if (!api_project_id(call, &op->project))
        return;
    if (!id_parse(call->params[1], &op->event)) {
        no_event(op);
        return;
    }
    db_bind_i32(&op->query, op->project);
    db_bind_id(&op->query, &op->event);
    db_submit(call->worker->db, &op->query);
}

void event_raw(struct http_call *call)
{
    show(call, RAW);
}

void event_markdown_show(struct http_call *call)
{
    show(call, MARKDOWN);
}
