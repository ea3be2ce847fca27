/* attachments.c: what came with events (protocol §3.1), listed, shown and handed out.
 *
 * What is handed out was made by whoever can send to the project, so a browser gets it as a file to save: Content-Disposition, a type that is not run,
 * nosniff, and a policy that would forbid everything should it be shown after all (http/answer.c has both on every answer). The file is opened on a thread of its own pool and then sent by
 * http (stream.c), part by part. */
#include "internal.h"

#include "picket/api/disposition.h"

enum column { A_ID, A_EVENT, A_ISSUE, A_ROW, A_RECEIVED, A_NAME, A_CONTENT_TYPE, A_TYPE, A_SIZE, A_SHA256 };

static void put_attachment(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    struct id128 id = db_id(rows, row, col + A_ID);
    struct str type = db_text(rows, row, col + A_CONTENT_TYPE), hash = db_bytes(rows, row, col + A_SHA256);
    char hex[2 * BLOB_HASH];
    assert(hash.n == BLOB_HASH); /* the table's check */
    str_hex_encode(hash.p, hash.n, hex);
    json_begin_object(w);
    api_put_id(w, STR("id"), &id);
    api_put_id_or_null(w, STR("event_id"), rows, row, col + A_EVENT);
    api_put_id_or_null(w, STR("issue_id"), rows, row, col + A_ISSUE);
    api_put_id_or_null(w, STR("event_row_id"), rows, row, col + A_ROW);
    json_field_time(w, STR("received_at"), db_time(rows, row, col + A_RECEIVED));
    json_field_str(w, STR("name"), db_text(rows, row, col + A_NAME));
    if (type.n)
        json_field_str(w, STR("content_type"), type);
    else
        json_field_null(w, STR("content_type"));
    json_field_str(w, STR("attachment_type"), db_text(rows, row, col + A_TYPE));
    json_field_i64(w, STR("size"), db_i64(rows, row, col + A_SIZE));
    json_field_str(w, STR("sha256"), str_of(hex, sizeof hex));
    json_end_object(w);
}

/* ---- lists */

static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_page(api_op_of(q), r, rows, api_no_project, put_attachment);
}

/* Of one event, or of all when `event` has no text at all. */
static void list(struct http_call *call, struct str event)
{
    struct api_op *op = api_op_new(call, STMT_ATTACHMENT_PAGE, listed);
    int32_t project;
    struct id128 id;
    if (!api_project_id(call, &project) || !api_page_read(call, &op->page))
        return;
    db_bind_i32(&op->query, project);
    db_bind_i64(&op->query, op->page.per_page);
    db_bind_i64(&op->query, (op->page.page - 1) * op->page.per_page);
    if (!event.p)
        db_bind_null(&op->query);
    else if (id_parse(event, &id))
        db_bind_id(&op->query, &id);
    else {
        api_refuse(call, "event_id must be an event's id");
        return;
    }
    api_op_submit(op);
}

void attachment_list(struct http_call *call)
{
    struct str event;
    list(call, http_query_param(call, STR("event_id"), &event) ? event : (struct str){NULL, 0});
}

void attachment_list_of_event(struct http_call *call)
{
    list(call, call->params[1]);
}

/* ---- one */

static void no_attachment(struct http_call *call)
{
    http_answer_error(call, -ERR_NOT_FOUND, STR("there is no such attachment in this project"));
}

/* NULL: answered. */
static struct api_op *op_new(struct http_call *call, enum db_stmt stmt, db_done_fn *done)
{
    int32_t project;
    struct id128 id;
    if (!api_project_id(call, &project))
        return NULL;
    if (!id_parse(call->params[1], &id)) {
        no_attachment(call);
        return NULL;
    }
    struct api_op *op = api_op_new(call, stmt, done);
    db_bind_i32(&op->query, project);
    db_bind_id(&op->query, &id);
    return op;
}

static void ask(struct http_call *call, enum db_stmt stmt, db_done_fn *done)
{
    struct api_op *op = op_new(call, stmt, done);
    if (op)
        api_op_submit(op);
}

static void shown(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (api_has_row(call, r, rows, no_attachment))
        api_answer_object(call, 200, rows, 0, put_attachment);
}

void attachment_show(struct http_call *call)
{
    ask(call, STMT_ATTACHMENT_SHOW, shown);
}

static void deleted(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_gone(api_op_of(q)->call, r, rows, no_attachment);
}

void attachment_delete(struct http_call *call)
{
    struct api_op *op = op_new(call, STMT_ATTACHMENT_DELETE, deleted);
    if (!op)
        return;
    api_bind_actor(&op->query, call);
    api_op_submit(op);
}

/* ---- its bytes */

/* On the heap, because a work thread opens the file; `call` is cleared when the request ends. */
struct opening {
    struct http_job job;
    struct http_call *call;
    struct opening **slot; /* in the request's pool: leads its end here */
    struct blob_store *blobs;
    struct blob_name name;
    int fd; /* or -errno */
    uint64_t bytes;
    struct str type; /* constant */
};

static void opening_dispose(void *memory)
{
    struct opening *o = *(struct opening **)memory;
    if (o)
        o->call = NULL;
}

static void open_file(struct http_job *job)
{
    struct opening *o = container_of(job, struct opening, job);
    o->fd = blob_read_open(o->blobs, &o->name, &o->bytes);
}

static void file_open(struct http_job *job)
{
    struct opening *o = container_of(job, struct opening, job);
    struct http_call *call = o->call;
    AUTO_CLOSE int fd = o->fd;
    uint64_t bytes = o->bytes;
    struct str type = o->type;
    if (call)
        *o->slot = NULL;
    free(o);
    if (!call)
        return;
    if (fd < 0)
        http_answer_error(call, -ERR_NOT_FOUND, STR("the attachment's file is gone"));
    else
        http_answer_file(call, type, TAKE_FD(fd), bytes);
}

static void found(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    if (!api_has_row(call, r, rows, no_attachment))
        return;
    AUTO_BUF struct buf disposition = {0};
    struct str hash = db_bytes(rows, 0, A_SHA256);
    struct opening *o = calloc(1, sizeof *o);
    if (!o)
        abort();
    assert(hash.n == BLOB_HASH); /* the table's check */
    *o = (struct opening){.job = {.run = open_file, .home = file_open, .pool = api_of(call)->config.files},
                          .call = call,
                          .blobs = api_of(call)->config.blobs,
                          .type = disposition_type(db_text(rows, 0, A_CONTENT_TYPE))};
    memcpy(o->name.sha256, hash.p, BLOB_HASH);
    bool is_id = str_to_u64(call->params[0], &o->name.project_id);
    assert(is_id); /* api_project_id has read it */
    o->slot = http_on_dispose(call, sizeof *o->slot, opening_dispose);
    *o->slot = o;
    r = http_job_submit(call->worker, &o->job);
    if (r < 0) {
        *o->slot = NULL;
        free(o);
        http_answer_error(call, r, STR(""));
        return;
    }
    disposition_write(db_text(rows, 0, A_NAME), &disposition);
    http_add_header(call, STR("content-disposition"), buf_str(&disposition));
}

void attachment_download(struct http_call *call)
{
    ask(call, STMT_ATTACHMENT_SHOW, found);
}
