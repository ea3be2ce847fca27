/* cmd_serve.c: `picket serve`: puts the parts together in the order in which they need each other, and takes them apart in reverse.
 *
 *   user and directories → database (private cluster or DATABASE_URL) → migrations → first administrator and project → spool → key cache →
 *   digest → HTTP threads → (first start: a sample event through the front door) → SIGTERM or SIGINT
 *
 * With a copy of the key cache (open_database) no database is waited for longer than FIRST_SERVER_MS and FIRST_LOOK_S: known keys are
 * accepted then, and migrations and the digest follow when all is well (catch_up.c). It makes no difference why: it is away, recovers, lets
 * nobody write, its schema is locked or being migrated, or a private server does not start, which is tried again like one that ends
 * (watch.c). What cannot pass ends the server, now or when it shows: a schema that needs a newer release, a DATABASE_URL that cannot be read.
 * Without a copy nobody could be let in: the start waits, up to a limit, and says what is wrong.
 *
 * The main thread's loop carries the signals, the key cache's listener and the first start's questions to the database; everything else has
 * threads of its own. Stopping: no new connections, requests under way finish, the spool syncs and answers, the statements under way commit;
 * what is spooled and not digested is digested at the next start. */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include <uv.h>

#include "catch_up.h"
#include "cmd.h"
#include "figures.h"
#include "first_start.h"
#include "picket/api/api.h"
#include "picket/auth/keys.h"
#include "picket/auth/throttle.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/log.h"
#include "picket/blob/blob.h"
#include "picket/digest/digest.h"
#include "picket/digest/monitors.h"
#include "picket/ingest/ingest.h"
#include "picket/ingest/quota.h"
#include "privileges.h"
#include "retain.h"
#include "version.h"
#include "watch.h"

enum {
    START_GRACE_MS = 2000,
    REQUEST_GRACE_MS = 4000,
    DIGEST_GRACE_MS = 3000,
    QUERY_MS = 30000,
    DIGEST_QUERY_MS = 60000,
    TIDY_MS = 10000,
    WAITING_MAX = 512,
    WORK_THREADS = 2,
    WORK_QUEUE = 256,
    FILE_THREADS = 2, /* that read what is downloaded; a connection has one job at most */
    PASSWORD_QUEUE = 64,
    REQUEST_MS = 30000,
    KEEP_ALIVE_MS = 75000,
    SEGMENT_BYTES = 64 * 1024 * 1024,
    BATCH_BYTES = 8 * 1024 * 1024,
    FIRST_LOOK_S = 2, /* for a database that there is another way without */
    FIRST_SERVER_MS = 5000,
    CATCH_UP_GRACE_MS = 3000,
};

struct serve {
    const struct config *config;
    uv_loop_t loop;
    uv_signal_t signals[2];
    uv_timer_t tidy, grace; /* grace: of a start that is to stop */
    struct db_cluster *cluster;
    const char *conninfo;
    struct db_session *session; /* the schema was looked at with: for the first pool */
    struct buf key_copy;        /* path */
    int64_t known_keys;         /* restored from it */
    struct catch_up catch_up;
    struct db *db;
    struct db_query note; /* of PUBLIC_URL */
    struct spool *spool;
    struct blob_store *blobs;
    struct work_job count; /* of the blobs */
    struct key_cache *keys;
    struct key_watch *key_watch;
    struct quota *quota;
    struct origins *origins;
    struct quota_watch *quota_watch;
    struct work_pool *work, *passwords, *files;
    struct throttle *throttle;
    struct ingest *ingest;
    struct api *api;
    struct http_server *http;
    struct digest *digest;
    struct figures figures;
    struct retain retain;
    struct monitors *monitors;
    int64_t listening_us; /* since when requests are taken */
    struct watch watch;
    struct first_start first;
    enum privileges_start started;
    bool stopping;
    bool starting; /* db_wait() may be under way on `db` */
    int code;      /* of the exit */
};

static void usage(void)
{
    puts("usage: picket serve\n\nTakes events, digests them and answers the API until SIGTERM or SIGINT. Settings come from the "
         "environment:\n");
    config_help(stdout);
}

static void say_migration(struct db_progress *p, int number, const char *name)
{
    (void)p;
    log_line(LOG_INFO, "migrating the schema", "number=%d name=%s", number, name);
}

static struct db_config database_config(const struct serve *s, const char *application, unsigned connections, unsigned query_ms)
{
    const struct config *c = s->config;
    return (struct db_config){.conninfo = s->conninfo,
                              .application = application,
                              .connections = connections ? connections : 1,
                              .waiting_max = WAITING_MAX,
                              .acquire_ms = (unsigned)c->database_acquire_s * 1000,
                              .query_ms = query_ms,
                              .idle_ms = (unsigned)c->database_idle_s * 1000};
}

static void say_ignored(const char *name, const char *why)
{
    char text[128];
    log_line(LOG_WARN, "a setting that Picket does not have is ignored", "name=%s reason=%s", name,
             log_quote(str_from(why), text, sizeof text));
}

static int open_spool(struct serve *s)
{
    const struct config *c = s->config;
    const char *why = "";
    int r = privileges_prepare_dir(c->spool_dir, s->started, &why);
    if (r < 0)
        return cmd_fail("%s: %s (%s)", c->spool_dir, why, err_text(r));
    struct spool_config spool = {.dir = c->spool_dir,
                                 .segment_bytes = SEGMENT_BYTES,
                                 .segment_us = (int64_t)c->spool_segment_s * CLOCK_US_PER_S,
                                 .max_bytes = c->spool_max_bytes,
                                 .free_floor_bytes = c->spool_free_floor_bytes,
                                 .max_pending_bytes = c->spool_pending_bytes,
                                 .delay_us = (int64_t)c->spool_delay_s * CLOCK_US_PER_S};
    struct spool_recovery recovery;
    r = spool_open(&spool, &s->spool, &recovery);
    if (r == -ERR_SPOOL_LOCKED)
        return cmd_fail("%s: another Picket uses this spool: stop it, or set DATA_DIR or INGEST_DIR", c->spool_dir);
    if (r < 0)
        return cmd_fail("%s: the spool cannot be opened: %s", c->spool_dir, err_text(r));
    struct spool_stats stats;
    spool_stats(s->spool, &stats);
    if (recovery.cursor_lost)
        log_line(LOG_WARN, "the spool's cursor could not be read: what is there is digested from its start, and stored once all the same",
                 "records=%" PRIu64, recovery.records);
    if (recovery.torn_bytes || recovery.quarantined_bytes)
        log_line(LOG_WARN, "spool recovered", "segments=%" PRIu64 " records=%" PRIu64 " torn_bytes=%" PRIu64 " quarantined_bytes=%" PRIu64,
                 recovery.segments, recovery.records, recovery.torn_bytes, recovery.quarantined_bytes);
    else if (stats.bytes)
        log_line(LOG_INFO, "spool holds undigested events", "bytes=%" PRIu64, stats.bytes);
    figures_open(&s->figures, &s->loop, c, s->spool, &s->catch_up, &s->watch);
    return EXIT_OK;
}

static void count_blobs(struct work_job *job)
{
    int r = blob_count(container_of(job, struct serve, count)->blobs);
    if (r < 0)
        log_line(LOG_WARN, "attachments could not be counted: their bounds hold from the next sweep on", "error=%s", err_name(r));
}

static void blobs_counted(struct work_job *job)
{
    (void)job; /* nobody waits for it */
}

static int open_blobs(struct serve *s)
{
    const struct config *c = s->config;
    struct blob_config blobs = {.dir = c->attachments_dir,
                                .max_bytes = c->attachments_max_bytes,
                                .project_max_bytes =
                                    c->attachments_project_max_bytes ? c->attachments_project_max_bytes : c->attachments_max_bytes / 2,
                                .free_floor_bytes = c->attachments_free_floor_bytes,
                                .node = spool_node(s->spool),
                                .oldest_us = spool_oldest_us(s->spool)};
    int r = blob_open(&blobs, &s->blobs);
    s->count = (struct work_job){.run = count_blobs, .finished = blobs_counted};
    if (r == 0)
        r = work_submit(s->work, &s->count);
    return r < 0 ? cmd_fail("the server cannot be started: %s", err_text(r)) : EXIT_OK;
}

static void on_quotas_changed(void *arg)
{
    struct serve *s = arg;
    if (s->quota_watch) /* else it is about to be opened, and reads them then */
        quota_watch_changed(s->quota_watch);
}

/* After the spool, which knows this node. */
static int open_quotas(struct serve *s, bool away)
{
    const struct config *c = s->config;
    struct quota_watch_config watch = {
        .quota = s->quota, .origins = s->origins, .loop = &s->loop, .db = s->db, .node = spool_node(s->spool)};
    for (unsigned i = 0; i < QUOTA_WINDOWS; i++) {
        watch.installation[i] = (int64_t)c->max_events[i];
        watch.every_project[i] = (int64_t)c->max_project_events[i];
    }
    int r = quota_watch_open(&watch, &s->quota_watch);
    if (r < 0)
        return cmd_fail("the server cannot be started: %s", err_text(r));
    if (!away)
        quota_watch_prime(s->quota_watch);
    return EXIT_OK;
}

static struct db_config main_config(const struct serve *s)
{
    return database_config(s, "picket main", 1, QUERY_MS);
}

static int open_keys(struct serve *s)
{
    struct db_config db = main_config(s);
    db.session = TAKE_PTR(s->session);
    int r = db_open(&s->loop, &db, &s->db);
    struct key_watch_config watch = {.cache = s->keys,
                                     .loop = &s->loop,
                                     .db = s->db,
                                     .conninfo = s->conninfo,
                                     .work = s->work,
                                     .copy_path = buf_cstr(&s->key_copy),
                                     .quotas_changed = on_quotas_changed,
                                     .quotas_arg = s};
    if (r == 0)
        r = key_watch_open(&watch, &s->key_watch);
    return r < 0 ? cmd_fail("the key cache cannot be opened: %s", err_text(r)) : EXIT_OK;
}

static int open_digest(struct serve *s)
{
    struct digest_config digest = {.spool = s->spool,
                                   .db = database_config(s, "picket digest", 1, DIGEST_QUERY_MS),
                                   .workers = (unsigned)s->config->digest_workers,
                                   .batch_records = (unsigned)s->config->digest_batch_records,
                                   .batch_bytes = BATCH_BYTES,
                                   .letters = {.spill_dir = s->config->dead_letters_dir,
                                               .spill_max_bytes = s->config->dead_letters_max_bytes,
                                               .max_rows = s->config->dead_letters_max,
                                               .look_s = (unsigned)s->config->dead_letters_look_s,
                                               .keep_days = (unsigned)s->config->dead_letters_days,
                                               .spool_dir = s->config->spool_dir},
                                   .audit_days = (unsigned)s->config->audit_days};
    int r = digest_open(&digest, &s->digest);
    if (r == 0)
        figures_set_digest(&s->figures, s->digest);
    struct retain_config retain = {.days = (unsigned)s->config->retention_days,
                                   .per_issue = (unsigned)s->config->retention_events_per_issue,
                                   .letter_days = (unsigned)s->config->dead_letters_days,
                                   .every_ms = 1000 * s->config->retention_every_s,
                                   .spool = s->spool,
                                   .blobs = s->blobs};
    if (r == 0)
        retain_open(&s->retain, &s->loop, &digest.db, &retain);
    return r < 0 ? cmd_fail("the digest cannot be started: %s", err_text(r)) : EXIT_OK;
}

static int64_t oldest_us(const void *ingest)
{
    return ingest_oldest_us(ingest);
}

static int open_monitors(struct serve *s)
{
    struct monitors_config config = {.spool = s->spool,
                                     .db = database_config(s, "picket monitors", 1, QUERY_MS),
                                     .listening_us = s->listening_us,
                                     .oldest_us = oldest_us,
                                     .arg = s->ingest};
    int r = monitors_open(&config, &s->loop, &s->monitors);
    return r < 0 ? cmd_fail("cron monitors cannot be watched: %s", err_text(r)) : EXIT_OK;
}

static int explain_listen(const struct config *c, int r)
{
    if (r == -EADDRNOTAVAIL) {
        (void)cmd_fail("HOST=%s: an address of this machine is allowed, or a name of one", c->host);
        return EXIT_USAGE;
    }
    return cmd_fail("cannot listen on %s port %u: %s. Is something else there? HOST and PORT choose another address", c->host,
                    (unsigned)c->port, err_text(r));
}

static struct ingest_config door_config(const struct serve *s)
{
    const struct config *c = s->config;
    return (struct ingest_config){.public_url = c->public_url,
                                  .spool = s->spool,
                                  .keys = s->keys,
                                  .quota = s->quota,
                                  .origins = s->origins,
                                  .threads = (unsigned)c->http_threads,
                                  .envelope_max_bytes = c->max_envelope_bytes,
                                  .event_max_bytes = c->max_event_bytes,
                                  .check_in_max_bytes = c->max_check_in_bytes,
                                  .records_max_bytes = c->spool_pending_bytes / 2, /* nobody's envelope takes the room of all others */
                                  .blobs = s->blobs,
                                  .attachment_max_bytes = c->max_attachment_bytes,
                                  .attachments_max_bytes = c->max_attachments_bytes,
                                  .attachments_max = (unsigned)c->max_attachments,
                                  .sessions_max_bytes = c->max_sessions_bytes,
                                  .sessions_max = (unsigned)c->max_sessions,
                                  .client_reports_max_bytes = c->max_client_reports_bytes,
                                  .client_reports_max = (unsigned)c->max_client_reports,
                                  .accounts_ms = (unsigned)c->outcomes_every_ms};
}

static int open_http(struct serve *s)
{
    const struct config *c = s->config;
    struct ingest_config ingest = door_config(s);
    struct api_config api = {.public_url = c->public_url,
                             .links_url = c->dashboard_url && c->dashboard_url[0] ? c->dashboard_url : c->public_url,
                             .allow_registration = c->allow_registration,
                             .passwords = s->passwords,
                             .blobs = s->blobs,
                             .files = s->files,
                             .insight = figures_insight(&s->figures),
                             .metrics_token = c->metrics_token};
    struct http_config http = {.host = c->host,
                               .port = (unsigned)c->port,
                               .threads = (unsigned)c->http_threads,
                               .connections_max = (unsigned)c->max_connections,
                               .body_max_bytes = c->max_body_bytes,
                               .body_dir = c->spool_dir,
                               .bodies_max_bytes = c->max_bodies_bytes,
                               .request_ms = REQUEST_MS,
                               .idle_ms = KEEP_ALIVE_MS,
                               .path_prefix = c->path_prefix,
                               .dashboard_origin = c->dashboard_origin,
                               .public_origin = c->public_origin,
                               .secure_cookies = c->ssl_proxy || str_starts(str_from(c->public_url), STR("https://")),
                               .trusted_proxies = c->trusted_proxies,
                               .session_idle_us = (int64_t)c->session_idle_hours * CLOCK_US_PER_HOUR,
                               .session_absolute_us = (int64_t)c->session_max_hours * CLOCK_US_PER_HOUR,
                               .db = database_config(s, "picket http", (unsigned)(c->database_max_connections / c->http_threads), QUERY_MS),
                               .work = s->work,
                               .files = s->files};
    s->throttle = api.throttle = throttle_new();
    int r = ingest_open(&ingest, &s->ingest);
    if (r == 0)
        r = api_open(&api, &s->api);
    config_forget(c->metrics_token);
    s->figures.ingest = s->ingest;
    if (r < 0)
        return cmd_fail("the server cannot be started: %s", err_text(r));
    const struct http_module modules[] = {*ingest_module(s->ingest), *api_module(s->api)};
    r = http_server_open(&http, modules, ARRAY_LEN(modules), &s->http);
    s->listening_us = clock_wall_us();
    return r < 0 ? explain_listen(c, r) : EXIT_OK;
}

/* As many descriptors as connections need, and large bodies in files; what the system allows is what there is (http/server.c says what comes of
 * it). */
static void raise_descriptors(const struct config *c)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    rlim_t want = 2 * c->max_connections + 256;
    limit.rlim_cur = want < limit.rlim_cur ? limit.rlim_cur : want < limit.rlim_max ? want : limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void on_noted(struct db_query *q, int r, const struct db_rows *rows)
{
    (void)rows;
    if (r < 0)
        log_line(LOG_WARN, "PUBLIC_URL could not be noted for commands in other terminals: they guess it", "error=%s sqlstate=%s",
                 err_name(r), q->sqlstate[0] ? q->sqlstate : "-");
}

/* The DSNs that commands print begin like the ones of this server. */
static void note_public_url(struct serve *s)
{
    db_query_init(&s->note, STMT_PUBLIC_URL_PUT, on_noted);
    db_bind_text(&s->note, str_from(s->config->public_url));
}

static void on_caught_up(struct catch_up *c)
{
    struct serve *s = container_of(c, struct serve, catch_up);
    if (s->stopping)
        return;
    s->code = c->result < 0 ? cmd_explain_migration(c->result, &c->report) : open_digest(s);
    if (s->code == EXIT_OK)
        s->code = open_monitors(s);
    if (s->code == EXIT_OK) {
        log_line(LOG_INFO, "the database answers: digesting", "%s", "");
        note_public_url(s);
        db_submit(s->db, &s->note);
    } else {
        s->stopping = true;
        uv_stop(&s->loop);
    }
}

static void restore_keys(struct serve *s)
{
    s->known_keys = key_cache_restore(s->keys, buf_cstr(&s->key_copy));
    if (s->known_keys < 0 && s->known_keys != -ENOENT)
        log_line(LOG_WARN, "the copy of the project keys cannot be used", "error=%s", err_name((int)s->known_keys));
}

/* *ret_away: not yet, and on_caught_up() will hear of it. */
static int open_schema(struct serve *s, unsigned wait_s, bool *ret_away)
{
    struct catch_up *c = &s->catch_up;
    c->db = main_config(s);
    int r = catch_up_start(c, &s->loop);
    if (r < 0)
        return cmd_fail("the server cannot be started: %s", err_text(r));
    bool over =
        catch_up_wait(c, &s->loop, wait_s * 1000, s->config->database_wait_s ? CATCH_UP_ALL_THE_TIME : CATCH_UP_ONE_TRY, &s->stopping);
    if (over) {
        s->session = TAKE_PTR(c->db.session);
        return c->result < 0 ? cmd_explain_migration(c->result, &c->report) : EXIT_OK;
    }
    c->done = on_caught_up;
    *ret_away = true;
    log_line(LOG_WARN, "started without the database: events for known keys are accepted and digested later", "keys=%" PRId64,
             s->known_keys);
    return EXIT_OK;
}

/* *ret_away: it cannot be used yet, and the keys that were known before are good enough to begin with. */
static int open_database(struct serve *s, bool *ret_away)
{
    const struct config *c = s->config;
    struct db_progress progress = {say_migration};
    restore_keys(s);
    int code;
    if (s->known_keys <= 0 || !cmd_has_database(c)) {
        struct db_config db = main_config(s);
        code = cmd_database_start(c, CLUSTER_MAY_BE_MADE, &s->loop, (unsigned)c->database_wait_s, &s->cluster, &db, &progress);
        s->conninfo = db.conninfo;
        s->session = db.session;
        return code;
    }
    bool answers = true;
    code = c->database_url ? EXIT_OK : cmd_cluster_try(c, FIRST_SERVER_MS, &s->cluster, &answers);
    if (code != EXIT_OK)
        return code;
    s->conninfo = c->database_url ? c->database_url : db_cluster_conninfo(s->cluster);
    return open_schema(s, answers ? FIRST_LOOK_S : 0, ret_away);
}

/* Where there are keys nobody starts for the first time: a database that goes away at this moment is no reason to end. Who is to stop ends well, too. */
static int prepare_first_start(struct serve *s)
{
    int code = first_start_prepare(&s->first, s->config, s->db);
    return s->known_keys > 0 || s->stopping ? EXIT_OK : code;
}

static void open_watch(struct serve *s)
{
    s->watch = (struct watch){.cluster = s->cluster, .db = s->db, .spool = s->spool};
    watch_start(&s->watch, &s->loop);
}

static int open_all(struct serve *s)
{
    const char *why = "";
    int r = privileges_prepare_dir(s->config->data_dir, s->started, &why);
    if (r < 0)
        return cmd_fail("%s: %s (%s)", s->config->data_dir, why, err_text(r));
    r = privileges_prepare_dir(s->config->attachments_dir, s->started, &why);
    if (r < 0)
        return cmd_fail("%s: %s (%s)", s->config->attachments_dir, why, err_text(r));
    r = privileges_prepare_dir(s->config->spool_dir, s->started, &why);
    if (r == 0)
        r = privileges_drop(s->config->core_dumps ? CORES_ALLOWED : CORES_NEVER, &why);
    if (r < 0)
        return cmd_fail("%s: %s (%s)", s->config->spool_dir, why, err_text(r));
    raise_descriptors(s->config);
    /* Asked now and not only by open_http: a first start that fails there has told its password and will never tell its DSN. */
    r = http_can_listen(s->config->host, (unsigned)s->config->port);
    if (r < 0)
        return explain_listen(s->config, r);
    r = work_pool_open(WORK_THREADS, WORK_QUEUE, &s->work);
    if (r == 0)
        r = work_pool_open(1, PASSWORD_QUEUE, &s->passwords);
    if (r == 0)
        r = work_pool_open(FILE_THREADS, (unsigned)s->config->max_connections, &s->files);
    if (r == 0)
        r = key_cache_open(&s->keys);
    s->quota = quota_new();
    s->origins = origins_new();
    if (r < 0)
        return cmd_fail("the server cannot be started: %s", err_text(r));
    buf_printf(&s->key_copy, "%s/keys", s->config->spool_dir);
    bool away = false;
    int code = open_database(s, &away);
    if (code == EXIT_OK)
        code = open_keys(s);
    if (code == EXIT_OK && !away)
        code = prepare_first_start(s);
    if (code == EXIT_OK && !away) {
        note_public_url(s);
        on_noted(&s->note, db_wait(s->db, &s->note, NULL, NULL), NULL);
    }
    config_forget(s->config->create_superuser);
    if (code == EXIT_OK)
        code = open_spool(s);
    if (code == EXIT_OK)
        code = open_blobs(s);
    if (code == EXIT_OK)
        code = open_quotas(s, away);
    if (code == EXIT_OK && !away)
        code = open_digest(s);
    if (code == EXIT_OK)
        code = open_http(s);
    if (code == EXIT_OK && !away)
        code = open_monitors(s);
    if (code == EXIT_OK)
        open_watch(s);
    return code;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void wait_until(struct serve *s, const bool *closed)
{
    while (!*closed)
        uv_run(&s->loop, UV_RUN_ONCE);
}

static void close_database(struct serve *s)
{
    bool closed = false;
    if (s->key_watch) { /* before the loop turns again: its timer would hand a job to the pool that is gone */
        key_watch_close(s->key_watch, on_closed, &closed);
        wait_until(s, &closed);
    }
    closed = false;
    if (s->quota_watch) {
        quota_watch_settle(s->quota_watch);
        quota_watch_close(TAKE_PTR(s->quota_watch), on_closed, &closed);
        wait_until(s, &closed);
    }
    closed = false;
    retain_close(&s->retain, on_closed, &closed);
    wait_until(s, &closed);
    closed = false;
    if (s->db) {
        db_cancel(&s->note); /* it will be noted at the next start */
        db_close(s->db, on_closed, &closed);
        wait_until(s, &closed);
    }
    key_cache_free(s->keys);
    quota_free(s->quota);
    origins_free(s->origins);
}

/* A further signal changes nothing: stopping is under way and ends by itself. Closing a watcher restores the signal's default action, so this
 * waits until the main thread is the only one left and keeps the signals blocked. */
/* What a burst took and freed lies between what lives on, and glibc keeps it until something of its own thread's frees the end of a heap: a third of all memory
 * under overload. Given back it costs a millisecond here and some page faults later. */
static void on_tidy(uv_timer_t *timer)
{
    (void)timer;
    (void)malloc_trim(0);
}

static void close_signals(struct serve *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (size_t i = 0; i < ARRAY_LEN(s->signals); i++)
        uv_close((uv_handle_t *)&s->signals[i], NULL);
    uv_close((uv_handle_t *)&s->tidy, NULL);
    uv_close((uv_handle_t *)&s->grace, NULL);
}

static void close_monitors(struct serve *s)
{
    bool closed = false;
    if (!s->monitors)
        return;
    monitors_close(s->monitors, on_closed, &closed);
    wait_until(s, &closed);
}

static void close_all(struct serve *s)
{
    s->starting = false;
    watch_stop(&s->watch);
    close_monitors(s);
    http_server_close(s->http, REQUEST_GRACE_MS);
    if (s->ingest && s->spool)
        ingest_settle(s->ingest);
    if (s->blobs)
        blob_stop(s->blobs);
    work_pool_close(s->work);
    work_pool_close(s->passwords);
    work_pool_close(s->files);
    first_start_done(&s->first);
    bool caught_up = catch_up_stop(&s->catch_up, CATCH_UP_GRACE_MS);
    figures_close(&s->figures);
    digest_close(s->digest, DIGEST_GRACE_MS);
    ingest_free(s->ingest);
    api_free(s->api);
    throttle_free(s->throttle);
    close_database(s); /* its retention asks the spool and the blobs */
    spool_close(s->spool);
    blob_close(s->blobs);
    close_signals(s);
    if (!caught_up) { /* a migration that takes long: its connection ends with the process, and the server rolls it back */
        db_cluster_stop(s->cluster);
        _exit(s->code);
    }
    buf_done(&s->key_copy);
    uv_run(&s->loop, UV_RUN_DEFAULT); /* what is closing */
    int r = uv_loop_close(&s->loop);
    assert(r == 0);
    db_cluster_stop(s->cluster);
}

/* Again and again: the pool may not be there yet. What is answered until then is not cut short, the password of the first administrator is told once. */
static void on_grace(uv_timer_t *timer)
{
    struct serve *s = container_of(timer, struct serve, grace);
    if (s->starting && s->db)
        db_give_up(s->db);
}

/* Also while the start waits for DATABASE_URL to answer, which may take minutes: there is nothing to take apart yet. Later in the start, and where that is
 * short, the flag is seen when it is over; the loop's own stop would be used up by whoever runs the loop at that moment. */
static void on_signal(uv_signal_t *handle, int number)
{
    struct serve *s = container_of(handle->loop, struct serve, loop);
    log_line(LOG_INFO, "stopping", "signal=%d", number);
    s->stopping = true;
    if (!s->cluster && !s->spool && s->known_keys <= 0)
        exit(EXIT_OK);
    if (s->starting && !uv_is_active((uv_handle_t *)&s->grace))
        uv_timer_start(&s->grace, on_grace, START_GRACE_MS, START_GRACE_MS);
    uv_stop(handle->loop);
}

static void start_watching(struct serve *s)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        int r = uv_signal_init(&s->loop, &s->signals[i]);
        if (r == 0)
            r = uv_signal_start(&s->signals[i], on_signal, numbers[i]);
        assert(r == 0);
    }
    uv_timer_init(&s->loop, &s->grace);
    uv_timer_init(&s->loop, &s->tidy);
    uv_timer_start(&s->tidy, on_tidy, TIDY_MS, TIDY_MS);
}

/* From now on further signals change nothing: a wrapper that passes on what its process group got already must not cut the stop short. */
int cmd_serve(const struct config *config, int argc, char **argv)
{
    if (argc > 1 && (str_eq(str_from(argv[1]), STR("--help")) || str_eq(str_from(argv[1]), STR("-h")))) {
        usage();
        return EXIT_OK;
    }
    if (argc > 1)
        return cmd_usage("serve", "serve takes no arguments: settings come from the environment");
    /* glibc raises this limit to the largest block that was freed, and then keeps such blocks: 19 MiB after each password. */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    static struct serve s; /* large, and the only one */
    s = (struct serve){.config = config, .started = privileges_started(), .starting = true};
    if (uv_loop_init(&s.loop) < 0)
        return cmd_fail("cannot make an event loop: is there memory, and are there descriptors left?");
    start_watching(&s);
    config_find_ignored(getenv, say_ignored);
    int code = open_all(&s);
    if (code == EXIT_OK) {
        bool six = strchr(config->host, ':') != NULL;
        printf("Picket %s listens on http://%s%s%s:%u\n", PICKET_VERSION, six ? "[" : "", config->host, six ? "]" : "",
               (unsigned)config->port);
        fflush(stdout);
        log_line(LOG_INFO, "listening", "host=%s port=%u http_threads=%u digest_workers=%u pid=%d", config->host, (unsigned)config->port,
                 (unsigned)config->http_threads, (unsigned)config->digest_workers, (int)getpid());
        s.starting = false;
        if (!s.stopping) {
            first_start_show(&s.first, s.work);
            uv_run(&s.loop, UV_RUN_DEFAULT);
        }
        code = s.code;
    }
    s.code = code;
    close_all(&s);
    if (code == EXIT_OK)
        log_line(LOG_INFO, "stopped", "%s", "");
    return code;
}
