/* first_start.c: see the header. The sample is posted by libcurl on a worker thread, because that blocks; the main loop then asks the database
 * every POLL_MS for the issue, so that what is printed is what a user would find. */
#include "first_start.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "picket/auth/email.h"
#include "picket/auth/password.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/log.h"
#include "picket/protocol/dsn.h"

enum { POLL_MS = 2, PATIENCE_US = 15 * CLOCK_US_PER_S };

static const char default_email[] = "admin@picket.local";

struct counts {
    int64_t users, projects;
};

static void see_counts(void *arg, const struct db_rows *rows)
{
    struct counts *c = arg;
    c->users = db_i64(rows, 0, 0);
    c->projects = db_i64(rows, 0, 1);
}

static void see_made(void *arg, const struct db_rows *rows)
{
    *(int *)arg = db_count(rows);
}

static int make_administrator(struct first_start *f)
{
    char password[21], hash[PASSWORD_HASH_MAX];
    struct str given = str_from(f->config->create_superuser), email, text;
    if (given.n) {
        email = str_trim(str_cut(&given, ':'));
        text = given;
    } else {
        email = str_from(default_email);
        password_random(password);
        text = str_from(password);
    }
    if (!email_is_valid(email))
        return cmd_fail("CREATE_SUPERUSER: email:password is allowed, and this is not an e-mail address");
    int r = password_hash(text, hash);
    struct db_query q;
    db_query_init(&q, STMT_USER_FIRST, NULL);
    db_bind_text(&q, email);
    db_bind_text(&q, str_from(hash));
    int n = 0;
    if (r == 0)
        r = db_wait(f->db, &q, see_made, &n);
    if (r < 0)
        return cmd_fail("the first administrator cannot be made: %s", err_text(r));
    if (n == 0)
        return EXIT_OK; /* another Picket on this database was faster, or a command */
    printf("\n  Administrator  %.*s\n", STR_ARG(email));
    if (!given.p)
        printf("  Password       %s   (shown this once; change it with: picket user passwd %s)\n", password, default_email);
    explicit_bzero(password, sizeof password);
    return EXIT_OK;
}

static void see_project(void *arg, const struct db_rows *rows)
{
    if (db_count(rows) == 1)
        *(int64_t *)arg = db_i64(rows, 0, 0);
}

static int make_project(struct first_start *f)
{
    struct id128 key;
    struct db_query q;
    key = id_random(); /* shown as a UUID (contract §1.6) */
    db_query_init(&q, STMT_PROJECT_INSERT, NULL);
    db_bind_text(&q, STR("First project"));
    db_bind_text(&q, STR("first-project"));
    db_bind_id(&q, &key);
    db_bind_null(&q);
    db_bind_null(&q); /* by nobody known */
    db_bind_null(&q); /* platform */
    int r = db_wait(f->db, &q, see_project, &f->project_id);
    if (r == -ERR_DB_CONFLICT)
        return EXIT_OK;
    AUTO_BUF struct buf local = {0};
    const char *host = f->config->host;
    bool any = str_eq(str_from(host), STR("0.0.0.0")) || str_eq(str_from(host), STR("::"));
    bool six = str_find(str_from(host), ':') < strlen(host);
    buf_printf(&local, "http://%s%s%s:%u", six && !any ? "[" : "", any ? "127.0.0.1" : host, six && !any ? "]" : "",
               (unsigned)f->config->port);
    if (r == 0)
        r = dsn_format(&f->dsn, str_from(f->config->public_url), &key, (uint64_t)f->project_id);
    if (r == 0)
        r = dsn_format(&f->local_dsn, buf_str(&local), &key, (uint64_t)f->project_id);
    if (r < 0)
        return cmd_fail("the first project cannot be made: %s", err_text(r));
    f->made_project = true;
    return EXIT_OK;
}

int first_start_prepare(struct first_start *f, const struct config *config, struct db *db)
{
    *f = (struct first_start){.config = config, .db = db};
    struct counts counts = {0};
    struct db_query q;
    db_query_init(&q, STMT_FIRST_START, NULL);
    int r = db_wait(db, &q, see_counts, &counts);
    if (r < 0)
        return cmd_fail("the database cannot be asked: %s", err_text(r));
    int code = counts.users == 0 ? make_administrator(f) : EXIT_OK;
    if (code == EXIT_OK && counts.projects == 0)
        code = make_project(f);
    return code;
}

/* ---- the sample */

static void send_it(struct work_job *job)
{
    struct first_start *f = container_of(job, struct first_start, job);
    f->started_us = clock_mono_us();
    f->result = send_sample(buf_cstr(&f->local_dsn), "Picket works: this is the sample event of the first start", &f->event_id, f->why,
                            sizeof f->why);
    f->acknowledged_us = clock_mono_us();
}

static void sent_it(struct work_job *job)
{
    uv_async_send(&container_of(job, struct first_start, job)->sent);
}

static void finish(struct first_start *f)
{
    fflush(stdout);
    if (f->handles) {
        f->handles = false;
        uv_close((uv_handle_t *)&f->sent, NULL);
        uv_close((uv_handle_t *)&f->poll, NULL);
    }
}

static void on_poll(uv_timer_t *timer);

static void on_issue(struct db_query *q, int r, const struct db_rows *rows)
{
    struct first_start *f = container_of(q, struct first_start, query);
    f->querying = false;
    int64_t now = clock_mono_us();
    if (r == 0 && db_count(rows) == 1) {
        struct str slug = db_text(rows, 0, 0), title = db_text(rows, 0, 2);
        printf("  Sample event   acknowledged after %.1f ms, became issue ", (double)(f->acknowledged_us - f->started_us) / 1000);
        for (size_t i = 0; i < slug.n; i++)
            putchar(slug.p[i] >= 'a' && slug.p[i] <= 'z' ? slug.p[i] - 32 : slug.p[i]);
        printf("-%" PRId64 " \"%.*s\" %.1f ms later\n\n", db_i64(rows, 0, 1), STR_ARG(title), (double)(now - f->acknowledged_us) / 1000);
        finish(f);
    } else if (now - f->acknowledged_us > PATIENCE_US) {
        printf("  Sample event   acknowledged, but no issue shows: look at the log\n\n");
        finish(f);
    } else {
        uv_timer_start(&f->poll, on_poll, POLL_MS, 0);
    }
}

static void on_poll(uv_timer_t *timer)
{
    struct first_start *f = container_of(timer, struct first_start, poll);
    f->querying = true;
    db_query_init(&f->query, STMT_SAMPLE_ISSUE, on_issue);
    db_bind_i32(&f->query, (int32_t)f->project_id);
    db_bind_id(&f->query, &f->event_id);
    db_submit(f->db, &f->query);
}

static void on_sent(uv_async_t *async)
{
    struct first_start *f = container_of(async, struct first_start, sent);
    if (f->result == 0) {
        on_poll(&f->poll);
        return;
    }
    printf("  Sample event   was not accepted: %s\n\n", f->why);
    finish(f);
}

void first_start_show(struct first_start *f, struct work_pool *work)
{
    if (!f->made_project)
        return;
    struct dsn dsn;
    int r = dsn_parse(buf_str(&f->dsn), &dsn);
    assert(r == 0); /* made by dsn_format */
    AUTO_BUF struct buf url = {0};
    dsn_endpoint(&url, &dsn, STR("envelope"));
    printf("  DSN            %s\n", buf_cstr(&f->dsn));
    printf(
        "  Try            curl -sS '%s?sentry_key=%.*s' --data-binary $'{}\\n{\"type\":\"event\"}\\n{\"message\":\"Hello from curl\"}'\n",
        buf_cstr(&url), STR_ARG(dsn.public_key));
    fflush(stdout);
    uv_loop_t *loop = db_loop(f->db);
    uv_async_init(loop, &f->sent, on_sent);
    uv_timer_init(loop, &f->poll);
    f->handles = true;
    f->job = (struct work_job){.run = send_it, .finished = sent_it};
    r = work_submit(work, &f->job);
    if (r < 0)
        finish(f);
}

void first_start_done(struct first_start *f)
{
    if (f->querying)
        db_cancel(&f->query);
    finish(f);
    buf_done(&f->dsn);
    buf_done(&f->local_dsn);
}
