/* password_work.c: see the header. The job is on the heap, because a work thread reads and writes it; it reaches its request by a pointer that is
 * cleared when that ends. */
#include "password_work.h"

struct password_job {
    struct http_job job;
    struct password_work *work;
    bool verifies, hashes, matches;
    int result;
    size_t current_bytes, wanted_bytes;
    char phc[PASSWORD_HASH_MAX], hash[PASSWORD_HASH_MAX];
    char text[]; /* the current one, then the wanted one */
};

static void job_run(struct http_job *http_job)
{
    struct password_job *job = container_of(http_job, struct password_job, job);
    if (job->verifies)
        job->matches = password_verify(str_of(job->text, job->current_bytes), job->phc);
    if (job->hashes && (job->matches || !job->verifies))
        job->result = password_hash(str_of(job->text + job->current_bytes, job->wanted_bytes), job->hash);
}

static void job_free(struct password_job *job)
{
    explicit_bzero(job->text, job->current_bytes + job->wanted_bytes);
    free(job);
}

static void job_home(struct http_job *http_job)
{
    struct password_job *job = container_of(http_job, struct password_job, job);
    struct password_work *w = job->work;
    int result = job->result;
    if (w) {
        w->job = NULL;
        w->matches = job->matches;
        memcpy(w->hash, job->hash, sizeof w->hash);
    }
    job_free(job);
    if (w && !api_failed(w->call, result))
        w->done(w);
}

void password_work_start(struct password_work *w)
{
    struct password_job *job = malloc(sizeof *job + w->current.n + w->wanted.n);
    if (!job)
        abort();
    *job = (struct password_job){.job = {.run = job_run, .home = job_home, .pool = api_of(w->call)->config.passwords},
                                 .work = w,
                                 .verifies = w->current.p,
                                 .hashes = w->wanted.p,
                                 .current_bytes = w->current.n,
                                 .wanted_bytes = w->wanted.n};
    memcpy(job->phc, w->phc, sizeof job->phc);
    if (w->current.n)
        memcpy(job->text, w->current.p, w->current.n);
    if (w->wanted.n)
        memcpy(job->text + w->current.n, w->wanted.p, w->wanted.n);
    w->job = job;
    int r = http_job_submit(w->call->worker, &job->job);
    if (r < 0) {
        w->job = NULL;
        job_free(job);
        http_answer_error(w->call, r, STR(""));
    }
}

static void wipe(struct str *password)
{
    if (password->n)
        explicit_bzero((char *)password->p, password->n);
    *password = (struct str){NULL, 0};
}

void password_work_dispose(struct password_work *w)
{
    if (w->job)
        w->job->work = NULL;
    w->job = NULL;
    wipe(&w->current);
    wipe(&w->wanted);
}

bool password_read(struct http_call *call, const char *name, enum password_kind kind, struct str *ret)
{
    struct str text, what = str_eq(str_from(name), STR("password")) ? STR("Password") : str_from(name);
    if (!api_body_str(call, name, &text))
        return false;
    const char *why = text.n == 0                                                                        ? "is required"
                      : text.n > PASSWORD_MAX_BYTES                                                      ? "is too long"
                      : kind == PASSWORD_NEW && str_take_code_points(text, PASSWORD_MIN - 1).n == text.n ? "must have at least 8 characters"
                                                                                                         : NULL;
    if (why) {
        http_answer_error(call, -ERR_INVALID, arena_printf(&call->arena, "%.*s %s", STR_ARG(what), why));
        return false;
    }
    *ret = arena_str(&call->arena, text);
    return true;
}
