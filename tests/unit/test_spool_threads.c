/* test_spool_threads.c: many threads append while others claim, read, settle and release (S3, S6). Worth most under ThreadSanitizer. */
#include "spool_kit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { APPENDERS = 4, CLAIMERS = 3, PER_APPENDER = 4000, OUTSTANDING = 64, TOTAL = APPENDERS * PER_APPENDER };

struct appender {
    struct spool *spool;
    uint64_t first;
    unsigned started, answered, failed;
    uv_loop_t loop;
    struct spool_port *port;
    struct appender_slot {
        struct spool_append append;
        struct appender *owner;
        bool cancelled;
    } slots[OUTSTANDING];
    pthread_t thread;
};

struct claimer {
    struct spool *spool;
    atomic_uint *settled; /* records, of all claimers */
    uint64_t rng;
    struct kit_seen *seen;
    pthread_t thread;
};

static void slot_start(struct appender_slot *slot);

static void slot_done(struct spool_append *append, int r)
{
    struct appender_slot *slot = container_of(append, struct appender_slot, append);
    slot->owner->answered++;
    slot->owner->failed += r < 0;
    slot_start(slot);
}

static void slot_start(struct appender_slot *slot)
{
    struct appender *a = slot->owner;
    char payload[4096];
    if (a->started == PER_APPENDER) {
        if (a->answered == PER_APPENDER && a->port) {
            spool_port_close(a->port, NULL, NULL);
            a->port = NULL;
        }
        return;
    }
    uint64_t seq = a->first + a->started++;
    struct spool_record r = kit_record(seq, seq * 37 % sizeof payload, payload);
    slot->append.done = slot_done;
    int e = spool_append(a->port, &slot->append, &r, 1);
    assert(e == 0); /* cmocka's own cannot be used off its thread */
}

static void *appender_main(void *arg)
{
    struct appender *a = arg;
    int r = uv_loop_init(&a->loop);
    assert(r == 0);
    r = spool_port_open(a->spool, &a->loop, &a->port);
    assert(r == 0);
    for (unsigned i = 0; i < OUTSTANDING; i++) {
        a->slots[i].owner = a;
        slot_start(&a->slots[i]);
    }
    (void)uv_run(&a->loop, UV_RUN_DEFAULT);
    r = uv_loop_close(&a->loop);
    assert(r == 0);
    return NULL;
}

static unsigned next_random(struct claimer *c)
{
    c->rng = c->rng * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(c->rng >> 33);
}

/* Claims a few ranges, then settles or releases them in another order. */
static bool claim_some(struct claimer *c)
{
    struct spool_range ranges[4];
    struct spool_record records[50];
    AUTO_BUF struct buf buf = {0};
    unsigned n = 0;
    while (n < 4 && spool_claim(c->spool, 1 + next_random(c) % 50, 1 << 18, &ranges[n]) == 1)
        n++;
    for (unsigned i = n; i-- > 0;) {
        int got = spool_read(c->spool, &ranges[i], &buf, records);
        assert(got == (int)ranges[i].n_records);
        if (next_random(c) % 8 == 0) {
            spool_release(c->spool, &ranges[i]);
            continue;
        }
        for (int j = 0; j < got; j++)
            c->seen->count[records[j].project_id]++;
        spool_settle(c->spool, &ranges[i]);
        atomic_fetch_add(c->settled, (unsigned)got);
    }
    return n > 0;
}

static void *claimer_main(void *arg)
{
    struct claimer *c = arg;
    while (atomic_load(c->settled) < TOTAL)
        if (!claim_some(c))
            (void)sched_yield();
    return NULL;
}

static void s3_s6_each_record_is_settled_once(void **state)
{
    struct kit *k = *state;
    static struct appender appenders[APPENDERS]; /* loops are large */
    struct claimer claimers[CLAIMERS];
    atomic_uint settled = 0;
    for (unsigned i = 0; i < CLAIMERS; i++) {
        claimers[i] = (struct claimer){.spool = k->s, .settled = &settled, .rng = i + 1, .seen = kit_seen_new()};
        assert_int_equal(pthread_create(&claimers[i].thread, NULL, claimer_main, &claimers[i]), 0);
    }
    for (unsigned i = 0; i < APPENDERS; i++) {
        appenders[i] = (struct appender){.spool = k->s, .first = (uint64_t)i * PER_APPENDER};
        assert_int_equal(pthread_create(&appenders[i].thread, NULL, appender_main, &appenders[i]), 0);
    }
    for (unsigned i = 0; i < APPENDERS; i++)
        assert_int_equal(pthread_join(appenders[i].thread, NULL), 0);
    for (unsigned i = 0; i < CLAIMERS; i++)
        assert_int_equal(pthread_join(claimers[i].thread, NULL), 0);
    for (unsigned i = 0; i < APPENDERS; i++)
        assert_true(appenders[i].answered == PER_APPENDER && appenders[i].failed == 0);
    for (unsigned i = 0; i < TOTAL; i++) {
        unsigned times = 0;
        for (unsigned j = 0; j < CLAIMERS; j++)
            times += claimers[j].seen->count[i];
        if (times != 1)
            fail_msg("record %u settled %u times", i, times);
    }
    for (unsigned i = 0; i < CLAIMERS; i++)
        free(claimers[i].seen);
    assert_int_equal(kit_stats(k).bytes, 0);
    assert_int_equal(kit_stats(k).records_appended, TOTAL);
    kit_reopen(k);
    AUTO_FREE struct kit_seen *rest = kit_drain(k);
    kit_expect(rest, 0, 0);
}

/* Requests that end while their append is under way: cancelled at any moment, the callback never runs afterwards. */
static void cancelling_races_with_answers(void **state)
{
    struct kit *k = *state;
    enum { N = 3000, TURNS = 50 };
    unsigned answered = 0, cancelled = 0;
    for (unsigned i = 0; i < N; i++) {
        struct kit_append *a = malloc(sizeof *a), *b = malloc(sizeof *b);
        assert_int_equal(kit_append_start(k, a, 2 * i, 64), 0);
        assert_int_equal(kit_append_start(k, b, 2 * i + 1, 64), 0);
        for (unsigned turns = i % TURNS; turns > 0; turns--) /* none: it cannot be answered; the most: it is waited for */
            (void)uv_run(&k->loop, UV_RUN_NOWAIT);
        while (i % TURNS == TURNS - 1 && a->n_done == 0)
            (void)uv_run(&k->loop, UV_RUN_ONCE);
        answered += a->n_done;
        cancelled += !a->n_done;
        spool_append_cancel(&a->a);
        free(a); /* a later callback would be a use after free */
        while (b->n_done == 0)
            (void)uv_run(&k->loop, UV_RUN_ONCE);
        free(b);
    }
    assert_true(answered >= N / TURNS && cancelled >= N / TURNS);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 2 * N);
}

static int setup(void **state)
{
    struct kit *k = malloc(sizeof *k);
    kit_init(k);
    k->config.segment_bytes = 4 << 20;
    kit_open(k);
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    kit_done(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(s3_s6_each_record_is_settled_once, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelling_races_with_answers, setup, teardown),
    };
    return cmocka_run_group_tests_name("spool_threads", tests, NULL, NULL);
}
