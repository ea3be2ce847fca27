/* words.c: what people write about an error without an SDK (protocol §7.4).
 *
 * Tools and old widgets post user feedback to the web application's address, with a DSN as their password or as a user of the API; pages open the crash-report dialog, whose
 * script (dialog.js) posts a form. Both are user reports from then on. Nobody looks up the event here: a report may come before its event, and is
 * linked to it by whoever reads (feedback_page.sql), so an answer never waits for the database. */
#include "words.h"

#include "head.h"
#include "picket/auth/keys.h"
#include "picket/event/user_form.h"
#include "picket/protocol/dsn.h"

static int take_dsn(struct ingest_request *request, struct str text)
{
    struct dsn dsn;
    int r = dsn_parse(text, &dsn);
    if (r == 0 && request->project_id != KEY_ANY_PROJECT && request->project_id != dsn.project_id)
        r = -ERR_DSN_MISMATCH;
    if (r < 0)
        return r;
    request->project_id = dsn.project_id;
    request->credentials = (struct credentials){.present = true, .key = dsn.key};
    return 0;
}

/* ---- with a token of the API. Users see all projects; the report comes by the project's own key, as those do that have its DSN, and counts so. */

struct named { /* in req->pool */
    struct db_query query;
    struct http_call *call;
};

static void named_dispose(void *memory)
{
    db_cancel(&((struct named *)memory)->query);
}

static int plain_body(struct http_call *call, struct str *ret)
{
    AUTO_BUF struct buf decoded = {0};
    enum content_encoding encoding;
    struct str body = http_body_bytes(call);
    int r = head_encoding(call, &encoding);
    if (r == 0 && body.n > USER_FORM_MAX_BYTES)
        r = -ERR_TOO_LARGE;
    if (r == 0 && encoding != ENCODING_IDENTITY) {
        r = encoding_decode(encoding, body, USER_FORM_MAX_BYTES, &decoded);
        body = arena_str(&call->arena, buf_str(&decoded));
    }
    *ret = body;
    return r;
}

/* Columns: id, key or null. */
static void take_named(struct db_query *q, int r, const struct db_rows *rows)
{
    struct http_call *call = container_of(q, struct named, query)->call;
    struct ingest_request request = {.form = ADMIT_WORDS, .tells_report = true};
    if (r == 0 && db_count(rows) == 0)
        r = -ERR_NOT_FOUND;
    if (r == 0 && db_is_null(rows, 0, 1))
        r = -ERR_KEY_REJECTED;
    if (r < 0) {
        http_answer_error(call, r, STR(""));
        return;
    }
    request.project_id = (uint64_t)db_i64(rows, 0, 0);
    request.credentials = (struct credentials){.present = true, .key = db_id(rows, 0, 1)};
    request.error = plain_body(call, &request.body);
    ingest_take(call, &request);
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return s.n > 0;
}

static void post_by_user(struct http_call *call)
{
    int64_t number;
    if (!http_may(call, SCOPE_EVENT_WRITE)) {
        http_refuse_scope(call, SCOPE_EVENT_WRITE);
        return;
    }
    if (!is_name(call->params[1])) {
        http_answer_error(call, -ERR_NOT_FOUND, STR(""));
        return;
    }
    struct named *op = http_on_dispose(call, sizeof *op, named_dispose);
    op->call = call;
    db_query_init(&op->query, STMT_PROJECT_NAMED, take_named);
    if (str_to_i64(call->params[1], &number) && number > 0 && number <= INT32_MAX)
        db_bind_i32(&op->query, (int32_t)number);
    else
        db_bind_null(&op->query);
    db_bind_text(&op->query, call->params[1]);
    http_bind_reach(call, &op->query);
    db_submit(call->worker->db, &op->query);
}

/* ---- with a DSN, or as SDKs show a key */

/* The project stands in the path by its number or by its name, which the key knows better. */
void words_post(struct http_call *call)
{
    struct ingest_request request = {.form = ADMIT_WORDS, .body = http_body_bytes(call)};
    struct str authorization = http_header(call, "authorization");
    if (http_has_token(call)) {
        http_authenticate_token(call, post_by_user);
        return;
    }
    if (!str_to_u64(call->params[1], &request.project_id))
        request.project_id = KEY_ANY_PROJECT;
    if (str_starts_nocase(authorization, STR("DSN ")))
        request.error = take_dsn(&request, str_trim(str_drop(authorization, 4)));
    if (request.error == 0)
        request.error = head_encoding(call, &request.encoding);
    ingest_take(call, &request);
}

/* A DSN is public: it lets nobody read. */
void words_list(struct http_call *call)
{
    http_answer_error(call, -ERR_UNAUTHORIZED, STR("what people wrote is listed by /api/projects/{id}/feedback"));
}

/* ---- the dialog */

static int read_address(struct http_call *call, struct ingest_request *request, struct id128 *ret_event_id)
{
    struct str text;
    if (!http_query_param(call, STR("dsn"), &text) || take_dsn(request, text) < 0)
        return -ERR_NOT_FOUND;
    return http_query_param(call, STR("eventId"), &text) && id_parse(text, ret_event_id) ? 0 : -ERR_BAD_EVENT_ID;
}

void words_dialog(struct http_call *call)
{
    struct ingest_request request = {.form = ADMIT_WORDS, .project_id = KEY_ANY_PROJECT, .is_dialog = true};
    struct id128 event_id;
    request.error = read_address(call, &request, &event_id);
    ingest_take(call, &request);
}

void words_dialog_post(struct http_call *call)
{
    struct ingest_request request = {.form = ADMIT_WORDS, .project_id = KEY_ANY_PROJECT, .is_dialog = true};
    struct str form = http_body_bytes(call);
    AUTO_BUF struct buf report = {0}, errors = {0};
    struct id128 event_id;
    request.error = read_address(call, &request, &event_id);
    if (request.error == 0 && form.n > USER_FORM_MAX_BYTES)
        request.error = -ERR_TOO_LARGE;
    if (request.error == 0 && user_form_read(form, &event_id, &report, &errors) < 0) {
        http_answer_json(call, 400, &errors);
        return;
    }
    request.body = arena_str(&call->arena, buf_str(&report));
    ingest_take(call, &request);
}
