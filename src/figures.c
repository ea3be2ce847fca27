/* figures.c: counters are the modules' own; here they are only put together. Rates are those of the last minute: the counters are noted every
 * SAMPLE_MS, and an answer compares them with the oldest note.
 *
 * The age of the oldest record is known of what the digest has in hand. What it has not claimed yet came a moment ago, unless the digest
 * does not claim because the database is away: then the beginning of the spool's oldest segment says how old it can be at most. */
#include "figures.h"

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "version.h"

enum { SAMPLE_MS = 5000 };

static struct figures_sample sample(struct figures *f)
{
    struct spool_stats spool;
    struct digest_stats digest = {0};
    struct digest *d = atomic_load(&f->digest);
    spool_stats(f->spool, &spool);
    if (d)
        digest_stats(d, &digest);
    return (struct figures_sample){.at_us = clock_mono_us(), .accepted = spool.records_appended, .digested = digest.records};
}

static void note(struct figures *f)
{
    struct figures_sample now = sample(f);
    pthread_mutex_lock(&f->lock);
    f->samples[f->next] = now;
    f->next = (f->next + 1) % FIGURES_SAMPLES;
    pthread_mutex_unlock(&f->lock);
}

static struct figures_sample oldest_sample(struct figures *f)
{
    pthread_mutex_lock(&f->lock);
    struct figures_sample oldest = f->samples[f->next]; /* the next to be replaced, */
    if (oldest.at_us == 0)
        oldest = f->samples[0]; /* or, in the first minute, the first */
    pthread_mutex_unlock(&f->lock);
    return oldest;
}

static void on_timer(uv_timer_t *timer)
{
    note(container_of(timer, struct figures, timer));
}

/* ---- writing; HTTP threads */

static void put_u64(struct json_writer *w, struct str key, uint64_t v)
{
    json_field_i64(w, key, v > INT64_MAX ? INT64_MAX : (int64_t)v);
}

static void put_rate(struct json_writer *w, uint64_t from, uint64_t to, int64_t us)
{
    json_key(w, STR("per_s"));
    /* NOLINTNEXTLINE(bugprone-integer-division): one decimal, cut on purpose */
    json_put_f64(w, us > 0 ? (double)((to - from) * UINT64_C(10) * CLOCK_US_PER_S / (uint64_t)us) / 10 : 0);
}

int64_t figures_oldest_age_us(const struct spool_stats *spool, const struct digest_stats *digest)
{
    int64_t now_us = clock_wall_us(), oldest_us = digest->oldest_us;
    if (spool->bytes == 0)
        return -1;
    if (oldest_us == 0)
        oldest_us = digest->claims || spool->cursor.segment > (uint64_t)now_us ? now_us : (int64_t)spool->cursor.segment;
    return oldest_us < now_us ? now_us - oldest_us : 0;
}

static void put_spool(struct figures *f, struct json_writer *w, const struct spool_stats *spool, const struct digest_stats *digest)
{
    int64_t age_us = figures_oldest_age_us(spool, digest);
    json_key(w, STR("spool"));
    json_begin_object(w);
    put_u64(w, STR("bytes"), spool->bytes);
    put_u64(w, STR("max_bytes"), f->config->spool_max_bytes);
    if (age_us < 0)
        json_field_null(w, STR("oldest_age_s"));
    else
        json_field_i64(w, STR("oldest_age_s"), age_us / CLOCK_US_PER_S);
    put_u64(w, STR("refused"), spool->refused);
    put_u64(w, STR("quarantined"), spool->quarantined);
    put_u64(w, STR("seals"), spool->seals);
    if (spool->last_error)
        json_field_str(w, STR("last_error"), str_from(err_name(spool->last_error)));
    else
        json_field_null(w, STR("last_error"));
    json_end_object(w);
}

static void put_digest(struct json_writer *w, const struct digest_stats *s, const struct figures_sample *from,
                       const struct figures_sample *now)
{
    json_key(w, STR("digest"));
    json_begin_object(w);
    put_u64(w, STR("batches"), s->batches);
    put_u64(w, STR("records"), s->records);
    put_u64(w, STR("stored"), s->stored);
    put_u64(w, STR("duplicates"), s->duplicates);
    put_u64(w, STR("orphans"), s->orphans);
    put_u64(w, STR("dead"), s->dead);
    put_rate(w, from->digested, now->digested, now->at_us - from->at_us);
    json_end_object(w);
}

enum detail { FEW, ALL };

static void put_letters(struct figures *f, struct json_writer *w, enum detail detail)
{
    struct digest *d = atomic_load(&f->digest);
    struct digest_letters_stats s = {0};
    if (d)
        digest_letters(d, &s);
    if (!s.known) {
        json_put_null(w);
        return;
    }
    json_begin_object(w);
    put_u64(w, STR("waiting"), s.dead);
    put_u64(w, STR("retrying"), s.marked);
    put_u64(w, STR("spilled"), s.spilled);
    if (detail == ALL) {
        put_u64(w, STR("spilled_bytes"), s.spilled_bytes);
        put_u64(w, STR("spilled_lost"), s.spilled_lost);
    }
    json_end_object(w);
}

static void put_dead_letters(void *arg, struct json_writer *w)
{
    put_letters(arg, w, FEW);
}

static void put_status(void *arg, struct json_writer *w)
{
    struct figures *f = arg;
    struct spool_stats spool;
    struct digest_stats digest = {0};
    struct digest *d = atomic_load(&f->digest);
    struct figures_sample from = oldest_sample(f), now = sample(f);
    spool_stats(f->spool, &spool);
    if (d)
        digest_stats(d, &digest);
    json_field_str(w, STR("version"), STR(PICKET_VERSION));
    json_field_i64(w, STR("pid"), getpid());
    json_field_time(w, STR("started_at"), f->started_us);
    json_key(w, STR("accept"));
    json_begin_object(w);
    put_u64(w, STR("events"), spool.records_appended);
    put_rate(w, from.accepted, now.accepted, now.at_us - from.at_us);
    json_end_object(w);
    put_spool(f, w, &spool, &digest);
    if (d)
        put_digest(w, &digest, &from, &now);
    else
        json_field_null(w, STR("digest"));
    json_key(w, STR("dead_letters"));
    put_letters(f, w, ALL);
}

/* The server that is down is the reason why the schema cannot be looked at. */
static const char *unready(void *arg)
{
    const struct figures *f = arg;
    const char *why = watch_reason(f->watch);
    return why ? why : catch_up_reason(f->catch_up);
}

static void on_retry_asked(void *arg)
{
    struct digest *d = atomic_load(&((struct figures *)arg)->digest);
    if (d)
        digest_retry(d);
}

/* ---- main thread */

void figures_open(struct figures *f, uv_loop_t *loop, const struct config *config, struct spool *spool, const struct catch_up *catch_up,
                  const struct watch *watch)
{
    f->config = config;
    f->catch_up = catch_up;
    f->watch = watch;
    f->spool = spool;
    f->started_us = clock_wall_us();
    f->started_mono_us = clock_mono_us();
    f->opened = true;
    pthread_mutex_init(&f->lock, NULL);
    note(f);
    uv_timer_init(loop, &f->timer);
    uv_timer_start(&f->timer, on_timer, SAMPLE_MS, SAMPLE_MS);
}

void figures_set_digest(struct figures *f, struct digest *digest)
{
    atomic_store(&f->digest, digest);
}

struct api_insight figures_insight(struct figures *f)
{
    return (struct api_insight){.arg = f,
                                .put_status = put_status,
                                .put_metrics = figures_put_metrics,
                                .put_dead_letters = put_dead_letters,
                                .unready = unready,
                                .retry_asked = on_retry_asked};
}

void figures_close(struct figures *f)
{
    if (!f->opened)
        return;
    atomic_store(&f->digest, NULL);
    uv_close((uv_handle_t *)&f->timer, NULL);
    pthread_mutex_destroy(&f->lock);
    f->opened = false;
}
