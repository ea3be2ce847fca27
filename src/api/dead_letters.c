/* dead_letters.c: what could not be stored (decisions.md "other routes"), for administrators. Only letters in the database: those that were spilled
 * to a server's files are told of by /health/ready and shown by `picket dlq`. A retry is a mark that the digest works off (src/digest/retry.c): 202. */
#include "internal.h"

#include "picket/digest/dead_letter.h"
#include "picket/protocol/payload.h"
#include "picket/spool/spool.h"

enum { PAYLOAD_MAX = SPOOL_MAX_RECORD, ID_SHOWN = 40 };

static void no_letter(struct http_call *call)
{
    struct str id = str_take(call->params[0], ID_SHOWN);
    http_answer_error(call, -ERR_NOT_FOUND, arena_printf(&call->arena, "Dead letter %.*s not found", STR_ARG(id)));
}

/* False: the answer is given. */
static bool letter_id(struct http_call *call, int64_t *ret)
{
    if (str_to_i64(call->params[0], ret) && *ret > 0)
        return true;
    no_letter(call);
    return false;
}

/* ---- list */

static void put_head(struct json_writer *w, const struct db_rows *rows, int row, int col)
{
    struct dead_letter letter;
    dead_letter_head(rows, row, col, &letter);
    json_begin_object(w);
    dead_letter_put_head(w, &letter);
    json_end_object(w);
}

/* Columns: total, then the head of a letter or nulls. */
static void listed(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_page(api_op_of(q), r, rows, no_letter, put_head);
}

/* Binds the project, or null. False: the answer is given. */
static bool bind_project(struct api_op *op)
{
    struct str text;
    int64_t project;
    if (!http_query_param(op->call, STR("project"), &text)) {
        db_bind_null(&op->query);
        return true;
    }
    if (!str_to_i64(text, &project)) {
        api_refuse(op->call, "project must be an integer");
        return false;
    }
    db_bind_i64(&op->query, project);
    return true;
}

void dead_letter_list(struct http_call *call)
{
    static const char *const statuses[] = {"all", "dead", "retry", "stored", NULL};
    struct api_op *op = api_op_new(call, STMT_DEAD_LETTER_PAGE, listed);
    unsigned status;
    if (!api_page_read(call, &op->page) || !api_choice(call, "status", statuses, &status))
        return;
    db_bind_i64(&op->query, op->page.per_page);
    db_bind_i64(&op->query, (op->page.page - 1) * op->page.per_page);
    if (!bind_project(op))
        return;
    if (status)
        db_bind_text(&op->query, str_from(statuses[status]));
    else
        db_bind_null(&op->query);
    api_op_submit(op);
}

/* ---- show */

/* As JSON when it is, else as text: it is what a client sent. */
static void put_meta(struct json_writer *w, struct str meta)
{
    AUTO_JSON struct json_doc *doc = NULL;
    json_key(w, STR("meta"));
    if (json_parse(meta, &doc, NULL) == 0)
        json_put_value(w, json_root(doc));
    else
        json_put_str(w, meta);
}

static void shown(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = api_op_of(q)->call;
    struct dead_letter letter;
    struct str payload;
    if (!api_has_row(call, r, rows, no_letter))
        return;
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    dead_letter_whole(rows, &letter, &payload);
    json_writer_init(&w, &out);
    json_begin_object(&w);
    dead_letter_put_whole(&w, &letter);
    put_meta(&w, letter.meta);
    json_end_object(&w);
    http_answer_json(call, 200, &out);
}

void dead_letter_show(struct http_call *call)
{
    int64_t id;
    if (!letter_id(call, &id))
        return;
    struct api_op *op = api_op_new(call, STMT_DEAD_LETTER_SHOW, shown);
    db_bind_i64(&op->query, id);
    api_op_submit(op);
}

/* ---- the payload, decoded on the work pool */

struct payload_job {
    struct http_job job;
    struct payload_op *op; /* NULL: the request is gone */
    int result;
    struct buf stored, text;
};

struct payload_op { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    struct payload_job *job;
};

static void payload_dispose(void *memory)
{
    struct payload_op *op = memory;
    db_cancel(&op->query);
    if (op->job)
        op->job->op = NULL;
}

static void job_run(struct http_job *http_job)
{
    struct payload_job *job = container_of(http_job, struct payload_job, job);
    job->result = payload_unpack(buf_str(&job->stored), STR(""), PAYLOAD_MAX, &job->text);
}

static void job_free(struct payload_job *job)
{
    buf_done(&job->stored);
    buf_done(&job->text);
    free(job);
}

static void job_home(struct http_job *http_job)
{
    struct payload_job *job = container_of(http_job, struct payload_job, job);
    struct payload_op *op = job->op;
    if (op) {
        op->job = NULL;
        if (job->result < 0)
            http_answer_error(op->call, -ERR_DB_FAILED, STR("the stored payload cannot be read"));
        else
            http_answer(op->call, 200, STR("application/octet-stream"), buf_str(&job->text)); /* copies */
    }
    job_free(job);
}

static void found_payload(struct db_query *q, int r, const struct db_rows *rows)
{
    struct payload_op *op = container_of(q, struct payload_op, query);
    struct dead_letter letter;
    struct str payload = STR("");
    if (api_failed(op->call, r))
        return;
    if (db_count(rows))
        dead_letter_whole(rows, &letter, &payload);
    if (payload.n == 0) { /* no such letter, or its payload is that of an event now */
        no_letter(op->call);
        return;
    }
    if (http_reserve_answer(op->call, payload_size(payload)) < 0) {
        http_answer_error(op->call, -ERR_BUSY, STR("too many answers wait to be read"));
        return;
    }
    struct payload_job *job = calloc(1, sizeof *job);
    if (!job)
        abort();
    *job = (struct payload_job){.job = {.run = job_run, .home = job_home}, .op = op};
    buf_append_str(&job->stored, payload);
    op->job = job;
    r = http_job_submit(op->call->worker, &job->job);
    if (r < 0) {
        op->job = NULL;
        job_free(job);
        http_answer_error(op->call, r, STR(""));
    }
}

void dead_letter_payload(struct http_call *call)
{
    struct payload_op *op = http_on_dispose(call, sizeof *op, payload_dispose);
    int64_t id;
    op->call = call;
    db_query_init(&op->query, STMT_DEAD_LETTER_SHOW, found_payload);
    if (!letter_id(call, &id))
        return;
    db_bind_i64(&op->query, id);
    db_submit(call->worker->db, &op->query);
}

/* ---- retry and drop */

struct letter_op { /* in the request's pool */
    struct db_query query;
    struct http_call *call;
    struct db_array numbers;
};

static void letter_dispose(void *memory)
{
    struct letter_op *op = memory;
    db_cancel(&op->query);
    db_array_done(&op->numbers);
}

/* NULL: the answer is given. */
static struct letter_op *letter_op_new(struct http_call *call, enum db_stmt stmt, db_done_fn *done)
{
    struct letter_op *op = http_on_dispose(call, sizeof *op, letter_dispose);
    int64_t id;
    op->call = call;
    db_query_init(&op->query, stmt, done);
    if (!letter_id(call, &id))
        return NULL;
    db_array_start(&op->numbers, DB_I64);
    db_array_i64(&op->numbers, id);
    db_bind_array(&op->query, &op->numbers);
    db_bind_null(&op->query); /* of any project */
    api_bind_actor(&op->query, call);
    return op;
}

/* Columns: id, status before. A letter that is stored stays so: 200. */
static void marked(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = container_of(q, struct letter_op, query)->call;
    if (!api_has_row(call, r, rows, no_letter))
        return;
    bool is_stored = str_eq(db_text(rows, 0, 1), STR("stored"));
    const struct api_insight *insight = &api_of(call)->config.insight;
    if (!is_stored && insight->retry_asked)
        insight->retry_asked(insight->arg);
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_i64(&w, STR("id"), db_i64(rows, 0, 0));
    json_field_str(&w, STR("status"), is_stored ? STR("stored") : STR("retry"));
    json_end_object(&w);
    http_answer_json(call, is_stored ? 200 : 202, &out);
}

void dead_letter_retry(struct http_call *call)
{
    struct letter_op *op = letter_op_new(call, STMT_DEAD_LETTER_MARK, marked);
    if (op)
        db_submit(call->worker->db, &op->query);
}

static void dropped(struct db_query *q, int r, const struct db_rows *rows)
{
    api_answer_gone(container_of(q, struct letter_op, query)->call, r, rows, no_letter);
}

void dead_letter_drop(struct http_call *call)
{
    struct letter_op *op = letter_op_new(call, STMT_DEAD_LETTER_DROP, dropped);
    if (op)
        db_submit(call->worker->db, &op->query);
}
