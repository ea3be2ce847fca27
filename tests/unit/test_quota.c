/* test_quota.c: quotas of installation, project and key (contract §2.9) against a naive exact count of random traffic, and what two Pickets tell each
 * other. Windows themselves: test_window.c; database and HTTP: tests/e2e/test_quotas.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "picket/base/clock.h"
#include "picket/ingest/quota.h"
#include "picket/protocol/window.h"

enum { PROJECTS = 3, KEYS_EACH = 2, TAKINGS_MAX = 20000 };
static const int64_t lengths[QUOTA_WINDOWS] = {60 * CLOCK_US_PER_S, CLOCK_US_PER_HOUR};

static bool take(struct quota *q, uint64_t project, uint64_t key, enum category category, uint64_t n, int64_t now_us)
{
    struct quota_refusal refusal = {0};
    struct quota_item item = {.project_id = project, .key_id = key, .category = category, .quantity = n};
    bool ok = quota_take(q, &item, now_us, &refusal);
    assert_true(ok || (refusal.retry_s >= 1 && refusal.retry_s <= 3600 && quota_reason(&refusal)[0]));
    return ok;
}

static unsigned takes(struct quota *q, uint64_t project, uint64_t key, unsigned tries, int64_t now_us)
{
    unsigned n = 0;
    for (unsigned i = 0; i < tries; i++)
        n += take(q, project, key, CATEGORY_ERROR, 1, now_us);
    return n;
}

/* ---- limits */

static void without_limits_everything_passes(void **state)
{
    (void)state;
    struct quota *q = quota_new();
    assert_false(quota_is_on(q));
    assert_int_equal(takes(q, 1, 1, 1000, 0), 1000);
    const struct quota_limit off = {QUOTA_PROJECT, 0, CATEGORY_ERROR, {0, 0}};
    quota_set_limits(q, &off, 1);
    assert_false(quota_is_on(q));
    assert_int_equal(takes(q, 1, 1, 1000, 0), 1000);
    quota_free(q);
}

static void own_words_go_before_defaults(void **state)
{
    (void)state;
    struct quota *q = quota_new();
    const struct quota_limit limits[] = {{QUOTA_PROJECT, 0, CATEGORY_ERROR, {5, 50}},
                                         {QUOTA_PROJECT, 2, CATEGORY_ERROR, {7, QUOTA_UNSAID}},
                                         {QUOTA_PROJECT, 3, CATEGORY_ERROR, {0, 0}},
                                         {QUOTA_PROJECT, 4, CATEGORY_SESSION, {1, 1}}};
    quota_set_limits(q, limits, ARRAY_LEN(limits));
    assert_int_equal(takes(q, 1, 1, 10, 0), 5);
    assert_int_equal(takes(q, 2, 2, 10, 0), 7);
    assert_int_equal(takes(q, 3, 3, 10, 0), 10);
    assert_int_equal(takes(q, 4, 4, 10, 0), 5);
    assert_true(take(q, 1, 1, CATEGORY_SESSION, 100, 0));
    assert_true(take(q, 4, 4, CATEGORY_SESSION, 1, 0));
    assert_false(take(q, 4, 4, CATEGORY_SESSION, 1, 0));
    for (unsigned i = 1; i < 10; i++)
        assert_int_equal(takes(q, 1, 1, 10, i * 61 * CLOCK_US_PER_S), 5); /* 50 in the hour … */
    assert_int_equal(takes(q, 1, 1, 10, 11 * 61 * CLOCK_US_PER_S), 0);
    assert_int_equal(takes(q, 1, 1, 10, CLOCK_US_PER_HOUR + 61 * CLOCK_US_PER_S), 5);
    quota_free(q);
}

/* Events of every kind are errors; refused where one scope is full, nothing is counted in the others. */
static void all_or_nothing(void **state)
{
    (void)state;
    struct quota *q = quota_new();
    const struct quota_limit limits[] = {{QUOTA_INSTALLATION, 0, CATEGORY_ERROR, {6, 0}},
                                         {QUOTA_PROJECT, 1, CATEGORY_ERROR, {4, 0}},
                                         {QUOTA_KEY, 11, CATEGORY_ERROR, {2, 0}}};
    quota_set_limits(q, limits, ARRAY_LEN(limits));
    assert_int_equal(takes(q, 1, 11, 5, 0), 2);
    assert_true(take(q, 1, 12, CATEGORY_DEFAULT, 1, 0) && take(q, 1, 12, CATEGORY_SECURITY, 1, 0));
    assert_int_equal(takes(q, 1, 12, 5, 0), 0);
    assert_false(take(q, 2, 21, CATEGORY_ERROR, 3, 0)); /* two are left */
    assert_int_equal(takes(q, 2, 21, 5, 0), 2);
    quota_give_back(q, &(struct quota_item){1, 11, CATEGORY_ERROR, 1}, 0);
    assert_int_equal(takes(q, 1, 11, 5, 0), 1);
    quota_free(q);
}

static void changes_act_at_once(void **state)
{
    (void)state;
    struct quota *q = quota_new();
    struct quota_limit limit = {QUOTA_PROJECT, 1, CATEGORY_ERROR, {5, 0}};
    quota_set_limits(q, &limit, 1);
    assert_int_equal(takes(q, 1, 1, 10, 0), 5);
    limit.per[QUOTA_MINUTE] = 8;
    quota_set_limits(q, &limit, 1);
    assert_int_equal(takes(q, 1, 1, 10, 0), 3);
    limit.per[QUOTA_MINUTE] = 2;
    quota_set_limits(q, &limit, 1);
    assert_int_equal(takes(q, 1, 1, 10, 0), 0);
    quota_set_limits(q, NULL, 0);
    assert_int_equal(takes(q, 1, 1, 10, 0), 10);
    quota_free(q);
}

/* ---- against the model */

struct taking {
    int64_t at_us;
    uint64_t project, key, n;
};

static uint64_t sum(const struct taking *t, size_t n, enum quota_scope scope, uint64_t id, int64_t since_us)
{
    uint64_t all = 0;
    for (size_t i = n; i-- > 0 && t[i].at_us > since_us;)
        all += scope == QUOTA_INSTALLATION || (scope == QUOTA_PROJECT ? t[i].project : t[i].key) == id ? t[i].n : 0;
    return all;
}

static uint32_t next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

/* Would a count that keeps every taking let it pass, if windows were as long as `stretch` 30ths of themselves? */
static bool model_passes(const struct taking *t, size_t n, const struct quota_limit *limits, size_t n_limits, const struct taking *one,
                         int64_t stretch)
{
    for (size_t i = 0; i < n_limits; i++) {
        const struct quota_limit *l = &limits[i];
        bool concerns = l->scope == QUOTA_INSTALLATION || l->id == (l->scope == QUOTA_PROJECT ? one->project : one->key);
        for (unsigned w = 0; concerns && w < QUOTA_WINDOWS; w++)
            if (l->per[w] > 0 &&
                sum(t, n, l->scope, l->id, one->at_us - lengths[w] / WINDOW_SLOTS * stretch) + one->n > (uint64_t)l->per[w])
                return false;
    }
    return true;
}

static void follows_the_model(void **state)
{
    (void)state;
    static struct taking taken[TAKINGS_MAX];
    const struct quota_limit limits[] = {{QUOTA_INSTALLATION, 0, CATEGORY_ERROR, {60, 1500}},
                                         {QUOTA_PROJECT, 1, CATEGORY_ERROR, {30, 500}},
                                         {QUOTA_PROJECT, 2, CATEGORY_ERROR, {0, 400}},
                                         {QUOTA_KEY, 10, CATEGORY_ERROR, {20, 0}},
                                         {QUOTA_KEY, 21, CATEGORY_ERROR, {25, 200}}};
    for (uint64_t round = 1; round <= 4; round++) {
        struct quota *q = quota_new();
        uint64_t seed = round, passed = 0, refused = 0;
        int64_t now = 0;
        size_t n = 0;
        quota_set_limits(q, limits, ARRAY_LEN(limits));
        for (unsigned i = 0; i < TAKINGS_MAX; i++) {
            now += next(&seed) % 100 == 0 ? next(&seed) % (600 * CLOCK_US_PER_S) : next(&seed) % (2 * CLOCK_US_PER_S);
            uint64_t project = 1 + next(&seed) % PROJECTS, key = project * 10 + next(&seed) % KEYS_EACH;
            struct taking one = {now, project, key, next(&seed) % 10 ? 1 : 1 + next(&seed) % 5};
            if (take(q, one.project, one.key, CATEGORY_ERROR, one.n, now)) {
                assert_true(model_passes(taken, n, limits, ARRAY_LEN(limits), &one, WINDOW_SLOTS)); /* never more than a limit */
                taken[n++] = one;
                passed++;
            } else {
                assert_false(model_passes(taken, n, limits, ARRAY_LEN(limits), &one, WINDOW_SLOTS + 1)); /* and nothing refused for long */
                refused++;
            }
        }
        assert_true(passed > 2000 && refused > 2000);
        quota_free(q);
    }
}

/* ---- two of them */

struct telling {
    struct {
        int64_t name;
        uint64_t quantity;
    } told[4096];
    unsigned n;
};

static void note(void *arg, int64_t name, uint64_t quantity)
{
    struct telling *t = arg;
    assert_true(t->n < 4096);
    t->told[t->n].name = name;
    t->told[t->n++].quantity = quantity;
}

/* What `from` took reaches `to`, as a tick of `age_us` ago: by way of a list, as in quota_watch.c, for one never holds the lock of both. */
static bool tell(struct quota *from, struct quota *to, int64_t now_us, int64_t age_us)
{
    static struct telling t; /* large */
    t.n = 0;
    quota_collect(from, now_us, note, &t);
    for (unsigned i = 0; i < t.n; i++)
        quota_count(to, t.told[i].name, t.told[i].quantity, now_us, now_us - age_us);
    return t.n > 0;
}

static void two_share_a_limit(void **state)
{
    (void)state;
    const struct quota_limit limits[] = {{QUOTA_PROJECT, 0, CATEGORY_ERROR, {10, 100}}, {QUOTA_KEY, 5, CATEGORY_ERROR, {8, 0}}};
    struct quota *a = quota_new(), *b = quota_new();
    quota_set_limits(a, limits, ARRAY_LEN(limits));
    quota_set_limits(b, limits, ARRAY_LEN(limits));
    int64_t now = 100 * CLOCK_US_PER_S;
    assert_false(tell(a, b, now, 0));
    assert_int_equal(takes(a, 1, 5, 6, now), 6);
    assert_true(tell(a, b, now, 0));
    assert_false(tell(a, b, now, 0));            /* once */
    assert_int_equal(takes(b, 1, 5, 9, now), 2); /* the key's */
    assert_int_equal(takes(b, 1, 6, 9, now), 2); /* the project's */
    assert_true(tell(b, a, now, 0));
    assert_int_equal(takes(a, 1, 6, 9, now), 0);
    assert_int_equal(takes(a, 1, 6, 12, now + 60 * CLOCK_US_PER_S), 10);
    assert_true(tell(a, b, now + 100 * CLOCK_US_PER_S, 40 * CLOCK_US_PER_S)); /* 20 s are left of its minute */
    assert_int_equal(takes(b, 1, 6, 9, now + 100 * CLOCK_US_PER_S), 0);
    assert_int_equal(takes(b, 1, 6, 20, now + 121 * CLOCK_US_PER_S), 10);
    quota_count(b, 0, 5, now, now);
    quota_count(b, -1, 5, now, now); /* rows that nobody wrote */
    quota_free(a);
    quota_free(b);
}

static void idle_counters_go(void **state)
{
    (void)state;
    const struct quota_limit limit = {QUOTA_PROJECT, 0, CATEGORY_ERROR, {10, 0}};
    struct quota *q = quota_new(), *nobody = quota_new();
    quota_set_limits(q, &limit, 1);
    for (uint64_t i = 1; i <= 3000; i++)
        assert_int_equal(takes(q, i, 1, i % 3 ? 1 : 11, (i % 2) * CLOCK_US_PER_HOUR), i % 3 ? 1 : 10);
    for (unsigned i = 0; i < 100; i++)
        (void)tell(q, nobody, CLOCK_US_PER_HOUR + 30 * CLOCK_US_PER_S, 0);
    for (uint64_t i = 1; i <= 3000; i++) /* those that are not idle are all there, the others as new */
        assert_int_equal(takes(q, i, 1, 11, CLOCK_US_PER_HOUR + 30 * CLOCK_US_PER_S), i % 2 == 0 ? 10 : i % 3 ? 9 : 0);
    quota_free(q);
    quota_free(nobody);
}

/* ---- the header (protocol §4.4) */

static void names_categories_scope_and_reason(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = {0};
    quota_put_limit(&out, &(struct quota_refusal){QUOTA_PROJECT, QUOTA_MINUTE, 5, 42}, CATEGORY_SECURITY);
    assert_string_equal(buf_cstr(&out), "42:default;error;security:project:project_minute_quota");
    buf_clear(&out);
    quota_put_limit(&out, &(struct quota_refusal){QUOTA_INSTALLATION, QUOTA_HOUR, 5, 3600}, CATEGORY_SESSION);
    assert_string_equal(buf_cstr(&out), "3600:session:organization:installation_hour_quota");
    buf_clear(&out);
    quota_put_limit(&out, &(struct quota_refusal){QUOTA_KEY, QUOTA_HOUR, 5, 1}, CATEGORY_ATTACHMENT);
    assert_string_equal(buf_cstr(&out), "1:attachment;attachment_item:key:key_hour_quota");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_everything_passes),
        cmocka_unit_test(own_words_go_before_defaults),
        cmocka_unit_test(all_or_nothing),
        cmocka_unit_test(changes_act_at_once),
        cmocka_unit_test(follows_the_model),
        cmocka_unit_test(two_share_a_limit),
        cmocka_unit_test(idle_counters_go),
        cmocka_unit_test(names_categories_scope_and_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
