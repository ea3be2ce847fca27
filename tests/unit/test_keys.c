/* The cache of project keys against a real PostgreSQL: loading, NOTIFY, cold misses, a database that goes away and comes back, and the
 * answers that a change overtakes. Three loops as in the server: the watch's, a door's (an HTTP thread) and the administrator's. */
#include "shared_cluster.h"

#include <pthread.h>
#include <stdatomic.h>

#include "picket/auth/keys.h"

#define DOOR "picket test door"

struct stage {
    struct kit watch, door, admin;
    struct key_cache *cache;
    struct key_watch *follower;
    struct work_pool *work; /* with a copy */
    char copy_dir[64], copy[80];
};

/* ---- changes, made by the administrator */

static void change(struct stage *s, enum db_stmt stmt, int64_t project, const struct id128 *key)
{
    struct op op;
    op_init(&op, stmt);
    if (project)
        db_bind_i32(&op.q, (int32_t)project);
    if (key)
        db_bind_id(&op.q, key);
    assert_int_equal(op_run(&s->admin, &op), 0);
}

static int64_t new_project(struct stage *s, struct id128 *ret_key)
{
    char name[ID_HEX + 1];
    struct op op;
    *ret_key = id_random();
    id_hex(ret_key, name);
    op_init(&op, STMT_PROJECT_INSERT);
    op.q.done = op_done_number;
    db_bind_text(&op.q, str_from(name));
    db_bind_text(&op.q, str_from(name));
    db_bind_id(&op.q, ret_key);
    db_bind_null(&op.q);
    db_bind_null(&op.q);
    db_bind_null(&op.q);
    assert_int_equal(op_run(&s->admin, &op), 0);
    return op.number;
}

static struct id128 new_key(struct stage *s, int64_t project)
{
    struct id128 key = id_random();
    change(s, STMT_TEST_KEY_INSERT, project, &key);
    return key;
}

/* ---- the stage */

static enum key_verdict check(struct stage *s, const struct id128 *key, int64_t project)
{
    struct key_info info;
    return key_cache_check(s->cache, key, (uint64_t)project, &info);
}

static void follow(struct stage *s)
{
    struct key_watch_config watch = {.cache = s->cache, .loop = &s->watch.loop, .db = s->watch.db, .conninfo = fixture_conninfo(&cluster)};
    if (s->work) {
        watch.work = s->work;
        watch.copy_path = s->copy;
    }
    assert_int_equal(key_watch_open(&watch, &s->follower), 0);
}

static void stage_open(struct stage *s)
{
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    *s = (struct stage){0};
    kit_open(&s->admin, fixture_conninfo(&cluster));
    config.connections = 1;
    kit_open_with(&s->watch, &config);
    config.application = DOOR;
    kit_open_with(&s->door, &config);
    assert_int_equal(kit_run(&s->door, STMT_PING), 0); /* connected from here on */
    assert_int_equal(key_cache_open(&s->cache), 0);
}

/* With a project, its key, and a watch that listens and has loaded. */
static int64_t stage_open_following(struct stage *s, struct id128 *ret_key)
{
    stage_open(s);
    int64_t project = new_project(s, ret_key);
    follow(s);
    KIT_UNTIL(&s->watch, check(s, ret_key, project) == KEY_OK);
    return project;
}

static void stage_close(struct stage *s)
{
    bool closed = s->follower == NULL;
    if (s->follower)
        key_watch_close(s->follower, kit_closed, &closed);
    KIT_UNTIL(&s->watch, closed);
    kit_close(&s->watch);
    kit_close(&s->door);
    kit_close(&s->admin);
    key_cache_free(s->cache);
}

struct miss {
    struct key_query q;
    int r, n_done;
    enum key_verdict verdict;
};

static void miss_done(struct key_query *q, int r, enum key_verdict verdict)
{
    struct miss *m = container_of(q, struct miss, q);
    m->n_done++;
    m->r = r;
    m->verdict = verdict;
}

static void miss_start(struct stage *s, struct miss *m, const struct id128 *key, int64_t project)
{
    *m = (struct miss){.verdict = KEY_MISS};
    key_query_start(&m->q, s->cache, s->door.db, key, (uint64_t)project, miss_done);
    assert_int_equal(m->n_done, 0); /* never inside the call */
}

static enum key_verdict ask(struct stage *s, const struct id128 *key, int64_t project)
{
    struct miss m;
    miss_start(s, &m, key, project);
    KIT_UNTIL(&s->door, m.n_done == 1);
    assert_int_equal(m.r, 0);
    return m.verdict;
}

/* ---- what is known */

static void loads_every_key_at_the_start(void **state)
{
    (void)state;
    struct stage s;
    struct id128 key, foreign;
    int64_t project = stage_open_following(&s, &key), other = new_project(&s, &foreign);
    struct key_info info = {0};
    assert_int_equal(key_cache_check(s.cache, &key, (uint64_t)project, &info), KEY_OK);
    assert_int_equal(info.project_id, project);
    assert_true(info.key_id > 0 && info.active);
    assert_int_equal(check(&s, &key, other), KEY_REJECTED); /* decisions.md: a key of another project is 403 */
    struct id128 unknown = id_random();
    assert_int_equal(check(&s, &unknown, project), KEY_MISS);
    stage_close(&s);
}

static void hears_of_new_rotated_and_deleted_keys(void **state)
{
    (void)state;
    struct stage s;
    struct id128 first;
    int64_t project = stage_open_following(&s, &first);
    struct id128 second = new_key(&s, project);
    KIT_UNTIL(&s.watch, check(&s, &second, project) == KEY_OK);
    assert_int_equal(check(&s, &first, project), KEY_OK);

    struct id128 third = id_random();
    change(&s, STMT_KEY_ROTATE, project, &third);
    KIT_UNTIL(&s.watch, check(&s, &third, project) == KEY_OK && check(&s, &second, project) == KEY_REJECTED);
    KIT_UNTIL(&s.watch, check(&s, &first, project) == KEY_REJECTED);

    change(&s, STMT_TEST_KEY_DELETE, 0, &second);
    KIT_UNTIL(&s.watch, check(&s, &second, project) == KEY_MISS);
    change(&s, STMT_TEST_PROJECT_DELETE, project, NULL);
    KIT_UNTIL(&s.watch, check(&s, &third, project) == KEY_MISS && check(&s, &first, project) == KEY_MISS);
    stage_close(&s);
}

/* More notifications at once than the watch keeps in line. */
static void survives_a_burst(void **state)
{
    (void)state;
    enum { N = 2000 };
    struct stage s;
    struct id128 key, last;
    int64_t project = stage_open_following(&s, &key);
    struct op op;
    op_init(&op, STMT_TEST_KEY_FILL);
    db_bind_i32(&op.q, (int32_t)project);
    db_bind_i32(&op.q, N);
    assert_int_equal(op_run(&s.admin, &op), 0);
    assert_true(id_parse(STR("08f90c1a417155361a5c4b8d297e0d78"), &last)); /* md5 of 2000 */
    assert_true(id_parse(STR("c4ca4238a0b923820dcc509a6f75849b"), &key));  /* md5 of 1 */
    KIT_UNTIL(&s.watch, check(&s, &key, project) == KEY_OK && check(&s, &last, project) == KEY_OK);
    change(&s, STMT_TEST_PROJECT_DELETE, project, NULL);
    KIT_UNTIL(&s.watch, check(&s, &key, project) == KEY_MISS && check(&s, &last, project) == KEY_MISS);
    stage_close(&s);
}

/* ---- cold misses */

static void asks_once_for_what_it_does_not_know(void **state)
{
    (void)state;
    struct stage s;
    struct id128 key;
    stage_open(&s); /* nobody follows: the cache is empty */
    int64_t project = new_project(&s, &key);
    assert_int_equal(check(&s, &key, project), KEY_MISS);
    assert_int_equal(ask(&s, &key, project), KEY_OK);
    assert_int_equal(check(&s, &key, project), KEY_OK);
    assert_int_equal(check(&s, &key, project + 1), KEY_REJECTED);
    change(&s, STMT_KEY_ROTATE, project, &(struct id128){{7}});
    struct stage fresh;
    stage_open(&fresh);
    assert_int_equal(ask(&fresh, &key, project), KEY_REJECTED); /* inactive */
    assert_int_equal(check(&fresh, &key, project), KEY_REJECTED);
    stage_close(&fresh);
    change(&s, STMT_TEST_PROJECT_DELETE, project, NULL);
    stage_close(&s);
}

static void remembers_unknown_keys_until_they_are_made(void **state)
{
    (void)state;
    struct stage s;
    struct id128 key, late = id_random();
    int64_t project = stage_open_following(&s, &key);
    assert_int_equal(ask(&s, &late, project), KEY_REJECTED);
    assert_int_equal(check(&s, &late, project), KEY_REJECTED); /* without another query */
    change(&s, STMT_TEST_KEY_INSERT, project, &late);
    KIT_UNTIL(&s.watch, check(&s, &late, project) != KEY_REJECTED);
    KIT_UNTIL(&s.watch, check(&s, &late, project) == KEY_OK);
    stage_close(&s);
}

/* Without a listener the NOTIFY of a new key would not be heard, so absence is not remembered. */
static void trusts_no_absence_without_a_listener(void **state)
{
    (void)state;
    struct stage s;
    struct id128 key, unknown = id_random();
    stage_open(&s);
    int64_t project = new_project(&s, &key);
    assert_int_equal(ask(&s, &unknown, project), KEY_REJECTED);
    assert_int_equal(check(&s, &unknown, project), KEY_MISS);
    stage_close(&s);
}

static void cancelled_question_stays_silent(void **state)
{
    (void)state;
    struct stage s;
    struct id128 key;
    struct miss m;
    int64_t project = stage_open_following(&s, &key);
    miss_start(&s, &m, &key, project);
    key_query_cancel(&m.q);
    key_query_cancel(&m.q);
    assert_int_equal(kit_run(&s.door, STMT_PING), 0); /* the next one on the same connection is through */
    assert_int_equal(m.n_done, 0);
    stage_close(&s);
}

/* ---- answers that a change overtakes: read by the door only after the watch has heard of it */

static void wait_until_answered(struct stage *s)
{
    KIT_UNTIL(&s->admin, kit_number_of(&s->admin, STMT_TEST_KEY_ANSWERED, DOOR) == 1);
}

static void late_answer_does_not_revive_a_rotated_key(void **state)
{
    (void)state;
    struct stage s;
    struct id128 first, next = id_random();
    struct miss m;
    int64_t project = stage_open_following(&s, &first);
    struct id128 key = new_key(&s, project); /* the watch's loop does not run: a cold miss */
    assert_int_equal(check(&s, &key, project), KEY_MISS);
    miss_start(&s, &m, &key, project);
    wait_until_answered(&s);
    change(&s, STMT_KEY_ROTATE, project, &next);
    KIT_UNTIL(&s.watch, check(&s, &key, project) == KEY_REJECTED);
    KIT_UNTIL(&s.door, m.n_done == 1);
    assert_int_equal(m.verdict, KEY_OK); /* it was good when the question was asked */
    assert_int_equal(check(&s, &key, project), KEY_REJECTED);
    stage_close(&s);
}

static void late_answer_does_not_hide_a_new_key(void **state)
{
    (void)state;
    struct stage s;
    struct id128 first, key = id_random();
    struct miss m;
    int64_t project = stage_open_following(&s, &first);
    miss_start(&s, &m, &key, project);
    wait_until_answered(&s);
    change(&s, STMT_TEST_KEY_INSERT, project, &key);
    KIT_UNTIL(&s.watch, check(&s, &key, project) == KEY_OK);
    KIT_UNTIL(&s.door, m.n_done == 1);
    assert_int_equal(m.verdict, KEY_REJECTED);
    assert_int_equal(check(&s, &key, project), KEY_OK);
    stage_close(&s);
}

/* The same with a reconnect between, whose load already knows better. */
static void late_answer_does_not_outlive_a_reconnect(void **state)
{
    (void)state;
    struct stage s;
    struct id128 key, next = id_random();
    struct miss m;
    stage_open(&s);
    int64_t project = new_project(&s, &key);
    miss_start(&s, &m, &key, project);
    wait_until_answered(&s);
    change(&s, STMT_KEY_ROTATE, project, &next);
    follow(&s);
    KIT_UNTIL(&s.watch, check(&s, &next, project) == KEY_OK);
    KIT_UNTIL(&s.door, m.n_done == 1);
    assert_int_equal(check(&s, &key, project), KEY_REJECTED);
    stage_close(&s);
}

/* ---- a database that goes away */

static void known_keys_outlive_the_database(void **state)
{
    (void)state;
    struct stage s;
    struct id128 key, gone, unknown = id_random(), made = id_random();
    int64_t project = stage_open_following(&s, &key);
    gone = new_key(&s, project);
    KIT_UNTIL(&s.watch, check(&s, &gone, project) == KEY_OK);
    assert_int_equal(ask(&s, &unknown, project), KEY_REJECTED);
    assert_int_equal(check(&s, &unknown, project), KEY_REJECTED);

    fixture_stop(&cluster);
    KIT_UNTIL(&s.watch, check(&s, &unknown, project) == KEY_MISS); /* the listener noticed */
    assert_int_equal(check(&s, &key, project), KEY_OK);
    struct miss m;
    miss_start(&s, &m, &unknown, project);
    KIT_UNTIL(&s.door, m.n_done == 1);
    assert_true(m.r < 0);

    fixture_start(&cluster);
    KIT_UNTIL(&s.admin, kit_run(&s.admin, STMT_PING) == 0);
    change(&s, STMT_TEST_KEY_DELETE, 0, &gone); /* nobody listens yet */
    change(&s, STMT_TEST_KEY_INSERT, project, &made);
    KIT_UNTIL(&s.watch, check(&s, &made, project) == KEY_OK);
    assert_int_equal(check(&s, &gone, project), KEY_MISS);
    assert_int_equal(check(&s, &key, project), KEY_OK);
    change(&s, STMT_TEST_KEY_DELETE, 0, &made); /* and it listens again */
    KIT_UNTIL(&s.watch, check(&s, &made, project) == KEY_MISS);
    stage_close(&s);
}

/* ---- many doors at once */

struct reader {
    struct stage *s;
    struct id128 key;
    int64_t project;
    atomic_bool stop;
    uint64_t ok, other;
};

static void *read_on(void *arg)
{
    struct reader *r = arg;
    while (!atomic_load(&r->stop)) {
        struct key_info info;
        if (key_cache_check(r->s->cache, &r->key, (uint64_t)r->project, &info) == KEY_OK && info.project_id == (uint64_t)r->project)
            r->ok++;
        else
            r->other++;
    }
    return NULL;
}

/* The steady key is good at every look while others come and go around it, and changes are heard in spite of the crowd. */
static void readers_never_lose_a_key_that_stays(void **state)
{
    (void)state;
    enum { THREADS = 3, ROUNDS = 20 };
    struct stage s;
    struct id128 key;
    struct reader readers[THREADS];
    pthread_t threads[THREADS];
    int64_t project = stage_open_following(&s, &key);
    for (int i = 0; i < THREADS; i++) {
        readers[i] = (struct reader){.s = &s, .key = key, .project = project};
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        struct id128 passing = new_key(&s, project);
        KIT_UNTIL(&s.watch, check(&s, &passing, project) == KEY_OK);
        change(&s, STMT_TEST_KEY_DELETE, 0, &passing);
        KIT_UNTIL(&s.watch, check(&s, &passing, project) == KEY_MISS);
    }
    for (int i = 0; i < THREADS; i++) {
        atomic_store(&readers[i].stop, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(readers[i].ok > 0);
        assert_int_equal(readers[i].other, 0);
    }
    stage_close(&s);
}

/* What a restart would know of the key. */
static enum key_verdict copied(struct stage *s, const struct id128 *key, int64_t project)
{
    struct key_cache *restarted;
    struct key_info info;
    assert_int_equal(key_cache_open(&restarted), 0);
    int64_t n = key_cache_restore(restarted, s->copy);
    assert_true(n >= 0 || n == -ENOENT);
    enum key_verdict verdict = key_cache_check(restarted, key, (uint64_t)project, &info);
    key_cache_free(restarted);
    return verdict;
}

static void copy_follows_the_cache(void **state)
{
    (void)state;
    struct stage s;
    struct id128 key;
    stage_open(&s);
    (void)snprintf(s.copy_dir, sizeof s.copy_dir, "/tmp/picket-keys-XXXXXX");
    assert_non_null(mkdtemp(s.copy_dir));
    (void)snprintf(s.copy, sizeof s.copy, "%s/keys", s.copy_dir);
    assert_int_equal(work_pool_open(1, 4, &s.work), 0);
    int64_t project = new_project(&s, &key);
    assert_int_equal(copied(&s, &key, project), KEY_MISS);
    follow(&s);
    KIT_UNTIL(&s.watch, copied(&s, &key, project) == KEY_OK);
    assert_int_equal(copied(&s, &key, project + 1), KEY_REJECTED);
    struct id128 second = new_key(&s, project);
    KIT_UNTIL(&s.watch, copied(&s, &second, project) == KEY_OK);
    change(&s, STMT_TEST_KEY_DELETE, 0, &second);
    KIT_UNTIL(&s.watch, copied(&s, &second, project) == KEY_MISS); /* it cannot be told apart from one that was never there */
    assert_int_equal(copied(&s, &key, project), KEY_OK);
    stage_close(&s);
    work_pool_close(s.work);
    assert_int_equal(unlink(s.copy), 0);
    assert_int_equal(rmdir(s.copy_dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_every_key_at_the_start),
        cmocka_unit_test(hears_of_new_rotated_and_deleted_keys),
        cmocka_unit_test(survives_a_burst),
        cmocka_unit_test(asks_once_for_what_it_does_not_know),
        cmocka_unit_test(remembers_unknown_keys_until_they_are_made),
        cmocka_unit_test(trusts_no_absence_without_a_listener),
        cmocka_unit_test(cancelled_question_stays_silent),
        cmocka_unit_test(late_answer_does_not_revive_a_rotated_key),
        cmocka_unit_test(late_answer_does_not_hide_a_new_key),
        cmocka_unit_test(late_answer_does_not_outlive_a_reconnect),
        cmocka_unit_test(known_keys_outlive_the_database),
        cmocka_unit_test(readers_never_lose_a_key_that_stays),
        cmocka_unit_test(copy_follows_the_cache),
    };
    return cmocka_run_group_tests(tests, start_migrated_cluster, stop_cluster);
}
