/* fronts.c: the endpoints of phase one. A front begins a request, tells where its body, its project and its credentials are, and hands it over to
 * ingest_check_key(): from there on all go one way (ingest.c). What differs later, their answers above all, hangs on admit.form. */
#include "cron.h"
#include "head.h"
#include "op.h"
#include "picket/event/user_form.h"
#include "words.h"

/* ---- head */

/* False: refused. */
static bool read_project(struct ingest_op *op)
{
    if (str_to_u64(op->call->params[0], &op->admit.project_id) && op->admit.project_id != KEY_ANY_PROJECT)
        return true;
    op->admit.project_id = 0;
    ingest_refuse(op, -ERR_BAD_PROJECT, STR(""));
    return false;
}

static void read_head(struct ingest_op *op)
{
    struct admit *a = &op->admit;
    int r = head_credentials(op->call, op->path_key, &a->credentials);
    if (r == 0 && a->body.p == http_body_bytes(op->call).p) /* what a query says is not encoded */
        r = head_encoding(op->call, &a->encoding);
    if (r == 0 && !a->credentials.present)
        r = a->form == ADMIT_ENVELOPE ? admit_peek(a) : credentials_missing(&a->credentials);
    if (r < 0)
        ingest_refuse_at(op, r);
    else
        ingest_check_key(op);
}

/* Of a route that names a project. */
static void read_named(struct ingest_op *op)
{
    if (read_project(op))
        read_head(op);
}

static void handle_envelope(struct http_call *call)
{
    struct ingest_op *op = ingest_begin(call, ADMIT_ENVELOPE);
    read_named(op);
}

/* The envelope's dsn names key and project; whatever else the request carries is not looked at. */
static void handle_tunnel(struct http_call *call)
{
    struct ingest_op *op = ingest_begin(call, ADMIT_ENVELOPE);
    struct admit *a = &op->admit;
    a->own_authority = ingest_authority(op);
    int r = head_encoding(call, &a->encoding);
    if (r == 0)
        r = admit_peek(a);
    if (r < 0)
        ingest_refuse_at(op, r);
    else
        ingest_check_key(op);
}

/* ---- /store/ (protocol §1.6): what SDKs sent before there were envelopes; some send envelopes here */

static struct ingest_op *begin_store(struct http_call *call)
{
    bool is_envelope = str_starts_nocase(http_header(call, "content-type"), STR("application/x-sentry-envelope"));
    return ingest_begin(call, is_envelope ? ADMIT_ENVELOPE : ADMIT_STORE);
}

static void handle_store(struct http_call *call)
{
    struct ingest_op *op = begin_store(call);
    read_named(op);
}

static void handle_store_by_key(struct http_call *call)
{
    struct ingest_op *op = begin_store(call);
    op->admit.project_id = KEY_ANY_PROJECT;
    read_head(op);
}

static void read_pixel(struct ingest_op *op)
{
    op->is_pixel = true;
    if (!http_query_param(op->call, STR("sentry_data"), &op->admit.body))
        op->admit.body = STR("");
    read_head(op);
}

static void handle_pixel(struct http_call *call)
{
    struct ingest_op *op = ingest_begin(call, ADMIT_STORE);
    if (read_project(op))
        read_pixel(op);
}

static void handle_pixel_by_key(struct http_call *call)
{
    struct ingest_op *op = ingest_begin(call, ADMIT_STORE);
    op->admit.project_id = KEY_ANY_PROJECT;
    read_pixel(op);
}

/* ---- /security/ (protocol §1.6): what browsers report by themselves */

static void handle_security(struct http_call *call)
{
    struct ingest_op *op = ingest_begin(call, ADMIT_REPORT);
    struct security_origin *reported = &op->admit.reported;
    (void)http_query_param(call, STR("sentry_release"), &reported->release); /* both may be absent */
    (void)http_query_param(call, STR("sentry_environment"), &reported->environment);
    read_named(op);
}

static void handle_network_errors(struct http_call *call)
{
    struct ingest_op *op = ingest_begin(call, ADMIT_NEL);
    read_named(op);
}

/* Check-ins (protocol §1.6), as a query or as JSON; the key may stand in the path. */
static void handle_cron(struct http_call *call)
{
    struct ingest_op *op = ingest_begin(call, ADMIT_CRON);
    struct admit *a = &op->admit;
    a->slug = call->params[1];
    a->limits.envelope_max_bytes = a->limits.check_in_max_bytes;
    op->path_key = call->params[2]; /* p == NULL on the route without */
    if (a->body.n == 0 || !str_starts_nocase(http_header(call, "content-type"), STR("application/json")))
        a->body = check_in_of_query(call);
    read_named(op);
}

/* ---- what comes in a form of its own (words.c) */

void ingest_take(struct http_call *call, const struct ingest_request *request)
{
    struct ingest_op *op = ingest_begin(call, request->form);
    struct admit *a = &op->admit;
    int r = request->error;
    a->limits.envelope_max_bytes = USER_FORM_MAX_BYTES;
    op->is_dialog = request->is_dialog;
    op->tells_report = request->tells_report;
    a->body = request->body;
    a->encoding = request->encoding;
    a->project_id = request->project_id;
    a->credentials = request->credentials;
    if (r == 0 && !a->credentials.present)
        r = head_credentials(call, op->path_key, &a->credentials);
    if (r == 0 && !a->credentials.present)
        r = credentials_missing(&a->credentials);
    if (r < 0)
        ingest_refuse(op, r, STR(""));
    else
        ingest_check_key(op);
}

/* ---- crash reports (protocol §1.6) */

static void handle_minidump(struct http_call *call)
{
    struct ingest_op *op = ingest_begin(call, ADMIT_MINIDUMP);
    op->admit.content_type = http_header(call, "content-type");
    read_named(op);
}

static void handle_unreal(struct http_call *call)
{
    struct ingest_op *op = ingest_begin(call, ADMIT_UNREAL);
    op->path_key = call->params[1];
    (void)http_query_param(call, STR("UserID"), &op->admit.crash.unreal_user); /* may be absent */
    read_named(op);
}

/* ---- OpenTelemetry (protocol §7.7): SDKs and exporters that are told of it by a DSN must not fail; what they send is counted */

static void handle_traces(struct http_call *call)
{
    read_named(ingest_begin(call, ADMIT_TRACES));
}

static void handle_logs(struct http_call *call)
{
    read_named(ingest_begin(call, ADMIT_LOGS));
}

/* ---- files for an event (protocol §1.6), before or after it */

static void handle_files(struct http_call *call)
{
    struct ingest_op *op = ingest_begin(call, ADMIT_FILES);
    struct admit *a = &op->admit;
    a->content_type = http_header(call, "content-type");
    a->has_id = id_parse(call->params[1], &a->id) && !id_is_nil(&a->id);
    if (!a->has_id)
        ingest_refuse(op, -ERR_BAD_EVENT_ID, STR(""));
    else
        read_named(op);
}

/* ---- routes */

static const struct http_route routes[] = {
    {HTTP_POST, "/api/{project}/envelope/", HTTP_INGEST, HTTP_NO_BODY, handle_envelope},
    {HTTP_POST, "/api/{project}/store/", HTTP_INGEST, HTTP_NO_BODY, handle_store},
    {HTTP_POST, "/api/{project}/minidump/", HTTP_INGEST, HTTP_NO_BODY, handle_minidump},
    {HTTP_POST, "/api/{project}/unreal/{key}/", HTTP_INGEST, HTTP_NO_BODY, handle_unreal},
    {HTTP_GET, "/api/{project}/store/", HTTP_INGEST, HTTP_NO_BODY, handle_pixel},
    {HTTP_POST, "/api/{project}/security/", HTTP_INGEST, HTTP_NO_BODY, handle_security},
    {HTTP_POST, "/api/{project}/csp-report/", HTTP_INGEST, HTTP_NO_BODY, handle_security},
    {HTTP_POST, "/api/{project}/nel/", HTTP_INGEST, HTTP_NO_BODY, handle_network_errors},
    {HTTP_POST, "/api/{project}/integration/otlp/v1/traces/", HTTP_INGEST, HTTP_NO_BODY, handle_traces},
    {HTTP_POST, "/api/{project}/integration/otlp/v1/logs/", HTTP_INGEST, HTTP_NO_BODY, handle_logs},
    {HTTP_POST, "/api/{project}/otlp/v1/traces/", HTTP_INGEST, HTTP_NO_BODY, handle_traces},
    {HTTP_POST, "/api/{project}/events/{event}/attachments/", HTTP_INGEST, HTTP_NO_BODY, handle_files},
    {HTTP_POST, "/api/store/", HTTP_INGEST, HTTP_NO_BODY, handle_store_by_key},
    {HTTP_GET, "/api/store/", HTTP_INGEST, HTTP_NO_BODY, handle_pixel_by_key},
    {HTTP_POST, "/api/0/projects/{organization}/{project}/user-feedback/", HTTP_INGEST, HTTP_NO_BODY, words_post},
    {HTTP_GET, "/api/0/projects/{organization}/{project}/user-feedback/", HTTP_INGEST, HTTP_NO_BODY, words_list},
    {HTTP_GET, "/api/embed/error-page/", HTTP_INGEST, HTTP_NO_BODY, words_dialog},
    {HTTP_POST, "/api/embed/error-page/", HTTP_INGEST, HTTP_NO_BODY, words_dialog_post},
    {HTTP_GET, "/api/{project}/cron/{slug}/", HTTP_INGEST, HTTP_NO_BODY, handle_cron},
    {HTTP_POST, "/api/{project}/cron/{slug}/", HTTP_INGEST, HTTP_NO_BODY, handle_cron},
    {HTTP_GET, "/api/{project}/cron/{slug}/{key}/", HTTP_INGEST, HTTP_NO_BODY, handle_cron},
    {HTTP_POST, "/api/{project}/cron/{slug}/{key}/", HTTP_INGEST, HTTP_NO_BODY, handle_cron},
    {HTTP_POST, "/tunnel/", HTTP_INGEST, HTTP_NO_BODY, handle_tunnel},
};

void fronts_register(struct http_module *ret)
{
    ret->routes = routes;
    ret->n_routes = ARRAY_LEN(routes);
}
