/* ingest.c: phase one, the way of a request from the socket to its 200:
 *
 *   credentials in headers and query, or in the envelope's header (fronts.c) → key: cache, or one query on a cold miss → decode and read the
 *   envelope (admit.c) → what quotas leave of it (limit.c) → append to the spool → durable → 200 {"id"}
 *
 * The key comes before the work: who has none costs a look-up and, where the key can only be inside, the decoding of one header. The
 * share that its project may bring is asked for before the work, too (spool/door.c): a flood costs little more than its bytes.
 * Small bodies are decoded and read on the loop; a body that is large, inflates beyond INLINE_DECODED_BYTES, has attachments or many reports goes to a worker thread
 * with a copy of its bytes, because nothing of a request may be seen by another thread (style M3). What is large is not copied but mapped from the file
 * that it lies in, and is decoded into another file: however many such requests there are, hardly any of it is anonymous memory. Whatever is under way when the
 * client goes away is cancelled by the request's dispose callback; a job that runs on is orphaned: it frees itself when it comes home.
 * Records that are queued in the spool are written even then: the client may have them and not know.
 *
 * Nothing here reads the database but the cold miss, which is bounded (cold.h). With the database away, known keys go on; an unknown one gets 503. */
#include "picket/ingest/ingest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "account.h"
#include "cold.h"
#include "counts.h"
#include "picket/base/clock.h"
#include "head.h"
#include "ledger_post.h"
#include "picket/event/items.h"
#include "op.h"
#include "reply.h"
#include "unread.h"

enum { INLINE_BODY_BYTES = 128 * 1024, INLINE_DECODED_BYTES = 256 * 1024, TELLING_MS = 10 * 1000, QUOTA_RETRY_S = 600 };

struct ingest_worker {
    struct in_hand in_hand;
    struct cold cold;
    struct spool_port *port;
    struct ingest_counts counts;
};

struct ingest {
    struct ingest_config config;
    struct http_module module;
    struct tally *tally;
    struct ledger *ledger;
    struct str own_authority;    /* host[:port] of this server's DSNs */
    struct buf unwanted_limits;  /* X-Sentry-Rate-Limits for who sends what is not stored */
    uv_timer_t telling, posting; /* these and all below: on the first HTTP worker's loop */
    struct ledger_post post;
    unsigned n_open; /* timers to be closed */
    void (*stopped)(void *arg);
    void *stopped_arg;
    struct ingest_worker *workers; /* one per HTTP worker; each touched by its thread only, but for in_hand_oldest_us() */
};

/* Decoding and reading on a worker thread. Heap; owns a copy of the body, or a mapping of the file that it lies in. `op` is cleared, on the loop's thread, when the request ends. */
struct admit_job {
    struct http_job job;
    struct ingest_op *op;
    atomic_bool unwanted; /* nobody waits any more: not worth beginning */
    struct admit admit;
    struct http_body_map map;
    struct buf copy;
};

static struct ingest_worker *worker_of(const struct ingest_op *op)
{
    return &op->ingest->workers[op->call->worker->index];
}

static void let_go(struct ingest_op *op)
{
    in_hand_let_go(&worker_of(op)->in_hand, &op->in_hand);
}

static void dispose(void *memory)
{
    struct ingest_op *op = memory;
    let_go(op);
    cold_cancel(&op->key_wait);
    if (op->append_running)
        spool_append_cancel(&op->append);
    if (op->job) {
        op->job->op = NULL;
        atomic_store(&op->job->unwanted, true);
    }
    admit_done(&op->admit);
}

/* ---- the answer */

/* One more limit of X-Sentry-Rate-Limits: no blank behind the commas (protocol §4.4: PHP's and JavaScript's parsers). */
static void begin_limit(struct buf *all)
{
    if (all->n)
        buf_append_char(all, ',');
}

/* The quotas that were met; then what is limited for longer: room for attachments comes with time, what is unwanted stays so. */
static void put_limits(struct ingest_op *op, bool over_quota)
{
    AUTO_BUF struct buf all = {0};
    limit_put(&op->done->limited, &all);
    if (over_quota) {
        begin_limit(&all);
        buf_printf(&all, "%d:attachment;attachment_item:project:attachment_quota", QUOTA_RETRY_S);
    }
    if (op->done->unwanted && op->ingest->unwanted_limits.n) {
        begin_limit(&all);
        buf_append_str(&all, buf_str(&op->ingest->unwanted_limits));
    }
    if (all.n)
        http_add_header(op->call, STR("x-sentry-rate-limits"), buf_str(&all));
}

static bool is_crash(const struct ingest_op *op)
{
    return op->admit.form == ADMIT_MINIDUMP || op->admit.form == ADMIT_UNREAL;
}

static bool is_telemetry(const struct ingest_op *op)
{
    return op->admit.form == ADMIT_TRACES || op->admit.form == ADMIT_LOGS;
}

static bool is_protobuf(const struct ingest_op *op)
{
    return str_starts_nocase(http_header(op->call, "content-type"), STR("application/x-protobuf"));
}

void ingest_refuse(struct ingest_op *op, int r, struct str detail)
{
    struct ingest *i = op->ingest;
    let_go(op);
    metric_add(&worker_of(op)->counts.left_items, account_refusal(i->ledger, i->tally, op->done, op->is_known, r));
    if (r == -ERR_BLOB_QUOTA) {
        put_limits(op, true);
        http_answer_retry(op->call, r, detail, QUOTA_RETRY_S);
        return;
    }
    if (r == -ERR_SPOOL_SHARE && (op->admit.form == ADMIT_CRON || is_crash(op)))
        r = -ERR_BUSY; /* who calls these endpoints knows no 429 (§1.6), and what is not on disk gets no 2xx */
    if (r != -ERR_SPOOL_SHARE) {
        put_limits(op, op->done->over_quota); /* of its other items */
        http_answer_error(op->call, r, detail);
        return;
    }
    unsigned retry_s = spool_retry_s(op->ingest->config.spool);
    http_add_header(op->call, STR("x-sentry-rate-limits"),
                    arena_printf(&op->call->arena, "%u::project:backlog", retry_s)); /* protocol §4.4: no category is all of them */
    http_answer_retry(op->call, r, detail, retry_s);
}

static void count_left_out(struct ingest_op *op)
{
    metric_add(&worker_of(op)->counts.left_items, account_left_out(op->ingest->ledger, op->ingest->tally, op->done));
}

/* Nothing of it survives, and quotas took a part: every item counts as what it is, not the request as one. */
static void refuse_limited(struct ingest_op *op)
{
    let_go(op);
    count_left_out(op);
    put_limits(op, op->done->over_quota);
    http_answer_retry(op->call, -ERR_RATE_LIMITED, limit_detail(&op->done->limited, &op->call->arena), limit_retry_s(&op->done->limited));
}

static void answer_accepted(struct ingest_op *op)
{
    const struct admit *a = op->done;
    count_left_out(op);
    metric_add(&worker_of(op)->counts.events, a->n_events);
    put_limits(op, a->over_quota);
    if (op->is_pixel)
        reply_pixel(op->call);
    else if (op->admit.form == ADMIT_CRON)
        http_answer_empty(op->call, 202);
    else if (op->admit.form == ADMIT_FILES)
        http_answer_empty(op->call, 201);
    else if (is_crash(op))
        reply_text(op->call, &a->id);
    else if (is_telemetry(op))
        reply_export(op->call);
    else if (op->admit.form == ADMIT_ENVELOPE || op->admit.form == ADMIT_STORE)
        reply_id(op->call, a->has_id ? &a->id : NULL);
    else if (op->tells_report)
        reply_report(op->call, &a->records[0].id, a->received_us, op->admit.body);
    else
        http_answer_empty(op->call, 200);
}

void ingest_refuse_at(struct ingest_op *op, int r)
{
    const struct admit *a = op->done;
    struct str detail = {0};
    if (r == -ERR_BAD_ENVELOPE_HEADER || r == -ERR_BAD_ITEM_HEADER || r == -ERR_NO_NEWLINE || r == -ERR_TRUNCATED || r == -ERR_BAD_JSON ||
        r == -ERR_NOT_AN_OBJECT)
        detail = arena_printf(&op->call->arena, "at byte %zu of the envelope", a->at);
    ingest_refuse(op, r, detail);
}

/* ---- spool */

/* The quotas had let it through. */
static void refuse_untaken(struct ingest_op *op, int r)
{
    limit_give_back(op->done);
    ingest_refuse(op, r, STR(""));
}

static void on_durable(struct spool_append *append, int r)
{
    struct ingest_op *op = container_of(append, struct ingest_op, append);
    op->append_running = false;
    if (r < 0) {
        refuse_untaken(op, r);
        return;
    }
    metric_observe(&worker_of(op)->counts.acks, &metric_seconds, clock_mono_us() - http_began_us(op->call));
    answer_accepted(op);
}

static void release(struct ingest_op *op);

static void append(struct ingest_op *op)
{
    struct admit *a = op->done;
    int r = 0;
    limit_records(a);
    op->append.done = on_durable;
    if (a->n_records > 0) /* it copies them; nothing to store is nothing to make durable */
        r = spool_append(worker_of(op)->port, &op->append, a->records, a->n_records);
    let_go(op);
    release(op);
    if (r < 0)
        refuse_untaken(op, r);
    else if (a->n_records > 0)
        op->append_running = true;
    else if (a->limited.n && a->form != ADMIT_CRON && !is_crash(op)) /* these answer 2xx whatever the quotas say (§1.6) */
        refuse_limited(op);
    else
        answer_accepted(op);
}

/* ---- envelope */

static void admitted(struct ingest_op *op, struct admit *a)
{
    op->done = a;
    if (a->result == 0) {
        append(op);
        return;
    }
    release(op);
    if (a->result == -ERR_RATE_LIMITED)
        refuse_limited(op);
    else
        ingest_refuse_at(op, a->result);
}

/* What was read is in the spool's hands, or is to be refused: the bytes are not needed for the answer, which may take its time. */
static void job_release(struct admit_job *job)
{
    admit_forget(&job->admit);
    http_body_unmap(&job->map);
    buf_done(&job->copy);
}

static void release(struct ingest_op *op)
{
    if (op->done != &op->admit)
        job_release(container_of(op->done, struct admit_job, admit));
}

static void job_free(struct admit_job *job)
{
    job_release(job);
    admit_done(&job->admit);
    free(job);
}

static void job_dispose(void *memory)
{
    job_free(*(struct admit_job **)memory);
}

static void job_home(struct http_job *http_job)
{
    struct admit_job *job = container_of(http_job, struct admit_job, job);
    struct ingest_op *op = job->op;
    if (!op) { /* no record will be made of it */
        limit_give_back(&job->admit);
        job_free(job);
        return;
    }
    op->job = NULL;
    op->done = &job->admit;
    struct admit_job **slot = http_on_dispose(op->call, sizeof *slot, job_dispose); /* the request owns its memory from now on */
    *slot = job;
    int r = http_charge_body(op->call, job->admit.decoded.n + job->admit.unwrapped.n);
    if (r < 0) {
        job_release(job);
        refuse_untaken(op, r);
        return;
    }
    admitted(op, &job->admit);
}

static void job_run(struct http_job *http_job)
{
    struct admit_job *job = container_of(http_job, struct admit_job, job);
    if (atomic_load(&job->unwanted))
        return;
    int r = admit_run(&job->admit, SIZE_MAX);
    assert(r == 0);
}

static void admit_elsewhere(struct ingest_op *op)
{
    struct http_body_map map = {0};
    int r = 0;
    if (op->admit.body.p != http_body_bytes(op->call).p || !http_body_map(op->call, &map)) /* a query may be the body */
        r = http_charge_body(op->call, op->admit.body.n);
    if (r < 0) {
        ingest_refuse(op, r, STR(""));
        return;
    }
    struct admit_job *job = malloc(sizeof *job);
    if (!job)
        abort();
    *job = (struct admit_job){.job = {.run = job_run, .home = job_home}, .op = op, .map = map};
    if (!map.base)
        buf_append_str(&job->copy, op->admit.body);
    admit_init_like(&job->admit, &op->admit);
    job->admit.blobs = op->ingest->config.blobs;
    job->admit.body = map.base ? map.bytes : buf_str(&job->copy);
    job->admit.decoded.file_dir = job->admit.unwrapped.file_dir = http_config(op->call)->body_dir;
    op->job = job;
    r = http_job_submit(op->call->worker, &job->job);
    if (r < 0) {
        op->job = NULL;
        job_free(job);
        ingest_refuse(op, r, STR(""));
    }
}

/* Any answer can be read by the page that asked (http/cors.c), so that the SDK learns of its refusal. */
static bool is_from_allowed_page(const struct ingest_op *op)
{
    struct origins *o = op->ingest->config.origins;
    return !origins_are_on(o) || origins_allow(o, op->admit.project_id, http_header(op->call, "origin"), http_header(op->call, "referer"));
}

static void decode(struct ingest_op *op, const struct key_info *key)
{
    struct admit *a = &op->admit;
    op->is_known = true;
    a->key_id = (uint64_t)key->key_id;
    a->project_id = key->project_id;
    if (!is_from_allowed_page(op)) {
        ingest_refuse(op, -ERR_ORIGIN_REFUSED, STR(""));
    } else if (op->is_dialog && a->body.n == 0) {
        let_go(op);
        reply_script(op->call);
    } else if ((a->form == ADMIT_REPORT || a->form == ADMIT_NEL) && !security_is_report_type(http_header(op->call, "content-type")))
        ingest_refuse(op, -ERR_REPORT_MEDIA, STR(""));
    else if (is_telemetry(op) && !is_protobuf(op) && !str_starts_nocase(http_header(op->call, "content-type"), STR("application/json")))
        ingest_refuse(op, -ERR_TELEMETRY_MEDIA, STR(""));
    else if (spool_turns_away(op->ingest->config.spool, a->project_id, a->body.n) < 0)
        ingest_refuse(op, -ERR_SPOOL_SHARE, STR(""));
    else if (is_crash(op) || a->body.n > INLINE_BODY_BYTES || admit_run(a, INLINE_DECODED_BYTES) == 1)
        admit_elsewhere(op);
    else
        admitted(op, a);
}

/* ---- key */

static void on_key(struct cold_wait *wait, int r, enum key_verdict verdict, const struct key_info *info)
{
    struct ingest_op *op = container_of(wait, struct ingest_op, key_wait);
    if (r < 0)
        ingest_refuse(op, -ERR_KEY_UNVERIFIED, str_from(err_text(r)));
    else if (verdict != KEY_OK)
        ingest_refuse(op, op->is_dialog ? -ERR_NOT_FOUND : -ERR_KEY_REJECTED, STR(""));
    else
        decode(op, info);
}

void ingest_check_key(struct ingest_op *op)
{
    const struct admit *a = &op->admit;
    struct key_info info;
    switch (key_cache_check(op->ingest->config.keys, &a->credentials.key, a->project_id, &info)) {
    case KEY_OK:
        decode(op, &info);
        return;
    case KEY_REJECTED:
        ingest_refuse(op, op->is_dialog ? -ERR_NOT_FOUND : -ERR_KEY_REJECTED, STR(""));
        return;
    case KEY_MISS:
        op->key_wait = (struct cold_wait){.project_id = a->project_id, .done = on_key};
        if (cold_ask(&worker_of(op)->cold, &op->key_wait, op->call->worker->db, &a->credentials.key, clock_mono_us()) < 0)
            ingest_refuse(op, -ERR_KEY_BUSY, STR(""));
        return;
    }
}

/* ---- the beginning, for fronts */

struct str ingest_authority(const struct ingest_op *op)
{
    return op->ingest->own_authority;
}

struct ingest_op *ingest_begin(struct http_call *call, enum admit_form form)
{
    struct ingest *i = call->module;
    struct ingest_op *op = http_on_dispose(call, sizeof *op, dispose);
    op->call = call;
    op->ingest = i;
    admit_init(&op->admit);
    struct admit *a = op->done = &op->admit;
    a->limits = (struct admit_limits){.envelope_max_bytes = i->config.envelope_max_bytes,
                                      .event_max_bytes = i->config.event_max_bytes,
                                      .check_in_max_bytes = i->config.check_in_max_bytes,
                                      .records_max_bytes = i->config.records_max_bytes,
                                      .attachment_max_bytes = i->config.attachment_max_bytes,
                                      .attachments_max_bytes = i->config.attachments_max_bytes,
                                      .attachments_max = i->config.attachments_max,
                                      .sessions = {i->config.sessions_max_bytes, i->config.sessions_max},
                                      .client_reports = {i->config.client_reports_max_bytes, i->config.client_reports_max}};
    a->form = form;
    a->quota = i->config.quota;
    a->received_us = clock_wall_us();
    a->body = http_body_bytes(call);
    (void)http_client_address(call, a->addr); /* its text is not needed here */
    a->reported.user_agent = http_header(call, "user-agent");
    a->reported.origin = http_header(call, "origin");
    in_hand_take(&worker_of(op)->in_hand, &op->in_hand, a->received_us);
    return op;
}

/* ---- the module */

static void on_refused(struct http_call *call, int r, uint64_t body_bytes)
{
    struct ingest *i = call->module;
    unread_account(call, i->config.keys, i->ledger, i->tally, r, body_bytes);
}

static void on_telling(uv_timer_t *timer)
{
    tally_tell(container_of(timer, struct ingest, telling)->tally);
}

static void on_posting(uv_timer_t *timer)
{
    struct ingest *i = container_of(timer, struct ingest, posting);
    ledger_post(&i->post, i->workers[0].port);
}

static int worker_start(void *ctx, struct http_worker *w)
{
    struct ingest *i = ctx;
    assert(w->index < i->config.threads);
    int r = spool_port_open(i->config.spool, w->loop, &i->workers[w->index].port);
    if (r == 0 && w->index == 0) {
        uv_timer_init(w->loop, &i->telling);
        uv_timer_init(w->loop, &i->posting);
        uv_timer_start(&i->telling, on_telling, TELLING_MS, TELLING_MS);
        uv_timer_start(&i->posting, on_posting, i->config.accounts_ms, i->config.accounts_ms);
    }
    return r;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct ingest *i = handle->data;
    if (--i->n_open == 0)
        spool_port_close(TAKE_PTR(i->workers[0].port), i->stopped, i->stopped_arg);
}

static void worker_stop(void *ctx, struct http_worker *w, void (*stopped)(void *arg), void *arg)
{
    struct ingest *i = ctx;
    if (w->index > 0) {
        spool_port_close(TAKE_PTR(i->workers[w->index].port), stopped, arg);
        return;
    }
    i->stopped = stopped;
    i->stopped_arg = arg;
    uv_timer_t *const timers[] = {&i->telling, &i->posting};
    i->n_open = ARRAY_LEN(timers);
    for (size_t k = 0; k < ARRAY_LEN(timers); k++) {
        timers[k]->data = i;
        uv_close((uv_handle_t *)timers[k], on_timer_closed);
    }
}

void ingest_settle(struct ingest *i)
{
    ledger_post_settle(&i->post, i->config.spool);
}

int ingest_open(const struct ingest_config *config, struct ingest **ret)
{
    struct ingest *i = calloc(1, sizeof *i);
    if (!i)
        return -ENOMEM;
    i->config = *config;
    if (i->config.records_max_bytes > ADMIT_MAX_BYTES)
        i->config.records_max_bytes = ADMIT_MAX_BYTES;
    i->workers = aligned_alloc(_Alignof(struct ingest_worker), config->threads * sizeof *i->workers);
    if (!i->workers) {
        free(i);
        return -ENOMEM;
    }
    for (unsigned k = 0; k < config->threads; k++) {
        i->workers[k] = (struct ingest_worker){.port = NULL};
        in_hand_init(&i->workers[k].in_hand);
        cold_init(&i->workers[k].cold, config->keys);
    }
    i->tally = tally_new();
    i->ledger = i->post.ledger = ledger_new();
    item_unwanted_limits(&i->unwanted_limits);
    i->own_authority = head_authority(str_from(config->public_url));
    i->module = (struct http_module){.ctx = i, .refused = on_refused};
    fronts_register(&i->module);
    i->module.worker_start = worker_start;
    i->module.worker_stop = worker_stop;
    *ret = i;
    return 0;
}

void ingest_free(struct ingest *i)
{
    if (!i)
        return;
    tally_free(i->tally);
    ledger_free(i->ledger);
    ledger_post_done(&i->post);
    buf_done(&i->unwanted_limits);
    free(i->workers);
    free(i);
}

const struct http_module *ingest_module(struct ingest *i)
{
    return &i->module;
}

void ingest_put_metrics(const struct ingest *i, struct metric_text *t)
{
    struct ingest_reading all = {0};
    for (unsigned k = 0; k < i->config.threads; k++)
        ingest_collect(&i->workers[k].counts, &all);
    ingest_put_reading(&all, t);
}

int64_t ingest_oldest_us(const struct ingest *i)
{
    int64_t oldest_us = INT64_MAX;
    for (unsigned k = 0; k < i->config.threads; k++) {
        int64_t us = in_hand_oldest_us(&i->workers[k].in_hand);
        oldest_us = us < oldest_us ? us : oldest_us;
    }
    return oldest_us;
}
