/* words.c: what people write about an error without an SDK (protocol §7.4).
 *
 * Tools and old widgets post user feedback to the web application's address, with a DSN as their password; pages open the crash-report dialog, whose
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

/* The project stands in the path by its number or by its name, which the key knows better. */
void words_post(struct http_call *call)
{
    struct ingest_request request = {.form = ADMIT_WORDS, .body = http_body_bytes(call)};
    struct str authorization = http_header(call, "authorization");
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
