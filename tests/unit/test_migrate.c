/* Migrations on a real server: all of Picket's own, twice, several runners at once, one that fails, a schema from the future, a lock that others hold, a server that only
 * lets read, no server; the connection afterwards. */
#include "shared_cluster.h"

#include <errno.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <arpa/inet.h>

/* Every test has a database of its own on the one server. */
struct place {
    struct kit k;
    struct buf conninfo;
};

static int make_place(void **state)
{
    static struct place p;
    struct kit k;
    kit_open(&k, fixture_conninfo(&cluster));
    assert_int_equal(kit_run(&k, STMT_TEST_DATABASE_DROP), 0);
    assert_int_equal(kit_run(&k, STMT_TEST_DATABASE_CREATE), 0);
    kit_close(&k);
    p = (struct place){0};
    kit_make_loop(&p.k);
    buf_printf(&p.conninfo, "%s dbname=picket_test", fixture_conninfo(&cluster));
    *state = &p;
    return 0;
}

static int leave_place(void **state)
{
    struct place *p = *state;
    kit_close_loop(&p->k);
    buf_done(&p->conninfo);
    return 0;
}

static int migrate(struct place *p, struct db_migration_report *report)
{
    return db_migrate(&p->k.loop, buf_cstr(&p->conninfo), 10000, NULL, report);
}

/* A statement on the test's database, outside of the runner. */
static int64_t ask(struct place *p, enum db_stmt stmt, const char *text)
{
    struct kit k;
    kit_open(&k, buf_cstr(&p->conninfo));
    int64_t n = text ? kit_number_of(&k, stmt, text) : kit_run(&k, stmt);
    kit_close(&k);
    return n;
}

static int heard, last_heard;

static void hear(struct db_progress *p, int number, const char *name)
{
    (void)p;
    assert_true(name && name[0]);
    assert_int_equal(number, last_heard + 1);
    last_heard = number;
    heard++;
}

static void runs_all_once(void **state)
{
    struct place *p = *state;
    struct db_migration_report report;
    struct db_progress progress = {hear};
    heard = last_heard = 0;
    assert_int_equal(db_migrate(&p->k.loop, buf_cstr(&p->conninfo), 10000, &progress, &report), 0);
    assert_int_equal(heard, db_schema_known());
    assert_true(db_schema_known() >= 2);
    assert_int_equal(report.from, 0);
    assert_int_equal(report.to, db_schema_known());
    assert_int_equal(report.failed, 0);
    assert_int_equal(ask(p, STMT_TEST_TABLES, "events"), 1);
    heard = last_heard = 0;
    assert_int_equal(db_migrate(&p->k.loop, buf_cstr(&p->conninfo), 10000, &progress, &report), 0);
    assert_int_equal(heard, 0);
    assert_int_equal(report.from, db_schema_known());
    assert_int_equal(report.to, db_schema_known());
    assert_true(report.min_release >= 1 && report.min_release <= db_schema_known());
}

static void *migrate_elsewhere(void *arg)
{
    struct place *p = arg;
    uv_loop_t loop;
    struct db_migration_report report;
    intptr_t r = uv_loop_init(&loop);
    if (r == 0)
        r = db_migrate(&loop, p->conninfo.p, 30000, NULL, &report);
    if (r == 0 && uv_loop_close(&loop) != 0)
        r = -EBUSY;
    return (void *)r; /* NOLINT: a number, not an address */
}

static void several_at_once_do_it_once(void **state)
{
    struct place *p = *state;
    pthread_t threads[4];
    (void)buf_cstr(&p->conninfo);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, migrate_elsewhere, p), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        void *r;
        assert_int_equal(pthread_join(threads[i], &r), 0);
        assert_int_equal((intptr_t)r, 0);
    }
    struct db_migration_report report;
    assert_int_equal(migrate(p, &report), 0);
    assert_int_equal(report.from, db_schema_known());
}

static void a_failing_one_is_rolled_back_and_named(void **state)
{
    struct place *p = *state;
    struct db_migration_report report;
    ask(p, STMT_TEST_OBSTACLE, NULL); /* a table `projects`, which the first migration wants to make after `users` */
    assert_int_equal(migrate(p, &report), -ERR_DB_FAILED);
    assert_int_equal(report.failed, 1);
    assert_int_equal(report.from, 0);
    assert_int_equal(report.to, 0);
    assert_string_equal(report.sqlstate, "42P07");
    assert_non_null(strstr(report.message, "projects"));
    assert_int_equal(ask(p, STMT_TEST_TABLES, "users"), 0); /* nothing of it is left */
    ask(p, STMT_TEST_OBSTACLE_DROP, NULL);
    assert_int_equal(migrate(p, &report), 0); /* and once the reason is gone it runs */
    assert_int_equal(report.to, db_schema_known());
}

static void a_newer_schema_is_fine_unless_it_says_otherwise(void **state)
{
    struct place *p = *state;
    struct db_migration_report report;
    assert_int_equal(migrate(p, &report), 0);
    ask(p, STMT_TEST_FUTURE, NULL); /* migration 9000 is recorded */
    assert_int_equal(migrate(p, &report), 0);
    assert_int_equal(report.from, 9000);
    assert_int_equal(report.to, 9000);
    ask(p, STMT_TEST_FUTURE_NEEDED, NULL); /* … and needs a binary that knows it */
    assert_int_equal(migrate(p, &report), -ERR_DB_FAILED);
    assert_int_equal(report.min_release, 9000);
    assert_int_equal(report.failed, 0);
    assert_non_null(strstr(report.message, "9000"));
}

/* Somebody else migrates, or a session of theirs was forgotten. */
static void waits_for_the_lock_and_not_for_ever(void **state)
{
    struct place *p = *state;
    struct db_migration_report report;
    struct kit other;
    char pid[32];
    struct db_config one = kit_config(buf_cstr(&p->conninfo));
    one.connections = 1; /* so that it is this session whose process is asked */
    kit_open_with(&other, &one);
    assert_int_equal(kit_run(&other, STMT_MIGRATE_LOCK), 0);
    (void)snprintf(pid, sizeof pid, "process %d ", (int)kit_number(&other, STMT_TEST_PID));
    int64_t began = clock_mono_us();
    assert_int_equal(db_migrate(&p->k.loop, buf_cstr(&p->conninfo), 1300, NULL, &report), -ERR_DB_BUSY);
    assert_true(clock_mono_us() - began >= 1300000);
    assert_non_null(strstr(report.message, pid));
    assert_int_equal(report.failed, 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, migrate_elsewhere, p), 0);
    assert_int_equal(kit_run(&other, STMT_MIGRATE_UNLOCK), 0);
    void *r;
    assert_int_equal(pthread_join(thread, &r), 0);
    assert_int_equal((intptr_t)r, 0);
    kit_close(&other);
}

/* The bound is for what others do. */
static void a_migration_of_ours_takes_its_time(void **state)
{
    struct place *p = *state;
    struct db_migration_report report;
    struct kit other;
    struct op obstacle;
    kit_open(&other, buf_cstr(&p->conninfo));
    op_init(&obstacle, STMT_TEST_SLOW_OBSTACLE); /* the first migration waits for the end of its transaction */
    db_submit(other.db, &obstacle.q);
    KIT_UNTIL(&other, kit_number(&other, STMT_TEST_SLOW_SEEN) == 1);
    assert_int_equal(db_migrate(&p->k.loop, buf_cstr(&p->conninfo), 0, NULL, &report), 0);
    assert_int_equal(report.to, db_schema_known());
    KIT_UNTIL(&other, obstacle.n_done == 1);
    assert_int_equal(obstacle.r, -ERR_DB_FAILED);
    kit_close(&other);
}

/* A standby, say: nothing is written where there is nothing to do. */
static void a_server_that_only_lets_read_will_do(void **state)
{
    struct place *p = *state;
    struct db_migration_report report;
    AUTO_BUF struct buf reader = {0};
    buf_printf(&reader, "%s options='-c default_transaction_read_only=on'", buf_cstr(&p->conninfo));
    assert_int_equal(db_migrate(&p->k.loop, buf_cstr(&reader), 300, NULL, &report), -ERR_DB_FAILED);
    assert_string_equal(report.sqlstate, "25006");
    assert_int_equal(migrate(p, &report), 0);
    assert_int_equal(db_migrate(&p->k.loop, buf_cstr(&reader), 300, NULL, &report), 0);
    assert_int_equal(report.from, db_schema_known());
    ask(p, STMT_TEST_FUTURE, NULL);
    ask(p, STMT_TEST_FUTURE_NEEDED, NULL);
    assert_int_equal(db_migrate(&p->k.loop, buf_cstr(&reader), 300, NULL, &report), -ERR_DB_FAILED);
    assert_int_equal(report.min_release, 9000);
}

static void says_that_nobody_answers(void **state)
{
    struct place *p = *state;
    struct db_migration_report report;
    int64_t began = clock_mono_us();
    assert_int_equal(db_migrate(&p->k.loop, "host=/nonexistent", 300, NULL, &report), -ERR_DB_AWAY);
    assert_true(clock_mono_us() - began >= 300000);
    assert_non_null(strstr(report.message, "/nonexistent"));
    assert_int_equal(db_migrate(&p->k.loop, "colour=blue", 300, NULL, &report), -EINVAL);
    assert_true(report.message[0] != '\0');
}

static void gives_up_a_server_that_accepts_and_is_silent(void **state)
{
    struct place *p = *state;
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof addr;
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, n), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &n), 0);
    AUTO_BUF struct buf conninfo = {0};
    buf_printf(&conninfo, "host=127.0.0.1 port=%u user=picket sslmode=disable", ntohs(addr.sin_port));
    struct db_migration_report report;
    assert_int_equal(db_migrate(&p->k.loop, buf_cstr(&conninfo), 300, NULL, &report), -ERR_DB_AWAY);
    assert_non_null(strstr(report.message, "no answer"));
}

static void waits_for_a_server_that_starts(void **state)
{
    struct place *p = *state;
    fixture_stop(&cluster);
    pthread_t thread;
    (void)buf_cstr(&p->conninfo);
    assert_int_equal(pthread_create(&thread, NULL, migrate_elsewhere, p), 0);
    fixture_start(&cluster);
    void *r;
    assert_int_equal(pthread_join(thread, &r), 0);
    assert_int_equal((intptr_t)r, 0);
}

/* ---- the connection goes on */

static void see_settings(void *arg, const struct db_rows *rows)
{
    assert_true(str_eq(db_text(rows, 0, 0), STR("UTC")));
    assert_true(str_eq(db_text(rows, 0, 2), STR("10s")));
    assert_true(str_eq(db_text(rows, 0, 3), STR("picket test")));
    ++*(int *)arg;
}

static void hands_its_connection_to_a_pool(void **state)
{
    struct place *p = *state;
    struct db_migration_report report;
    struct db_config config = kit_config(buf_cstr(&p->conninfo));
    struct kit k;
    struct db_query q;
    int seen = 0;
    assert_int_equal(db_migrate_for(&p->k.loop, &config, 10000, NULL, &report), 0);
    kit_open_with(&k, &config);      /* on another loop */
    assert_true(db_connected(k.db)); /* before it turns */
    db_query_init(&q, STMT_TEST_SETTINGS, NULL);
    assert_int_equal(db_wait(k.db, &q, see_settings, &seen), 0);
    assert_int_equal(seen, 1);
    assert_int_equal(kit_number_of(&k, STMT_TEST_CONNECTIONS, "picket test"), 1);
    assert_int_equal(kit_number_of(&k, STMT_TEST_CONNECTIONS, "picket migrate"), 0);
    assert_int_equal(db_migrate(&p->k.loop, buf_cstr(&p->conninfo), 0, NULL, &report), 0); /* the lock was not handed over */
    kit_close(&k);
}

static void a_pool_survives_the_connection_that_it_was_given(void **state)
{
    struct place *p = *state;
    struct db_migration_report report;
    struct db_config config = kit_config(buf_cstr(&p->conninfo));
    struct kit k;
    assert_int_equal(db_migrate_for(&p->k.loop, &config, 10000, NULL, &report), 0);
    assert_int_equal(ask(p, STMT_TEST_END_OTHERS, "picket test"), 1);
    kit_open_with(&k, &config);
    KIT_UNTIL(&k, kit_run(&k, STMT_PING) == 0);
    kit_close(&k);
}

static void a_connection_that_no_pool_takes_is_closed(void **state)
{
    struct place *p = *state;
    struct db_migration_report report;
    struct db_config config = kit_config(buf_cstr(&p->conninfo));
    struct kit k;
    kit_open(&k, buf_cstr(&p->conninfo));
    config.application = "picket left";
    for (int i = 0; i < 2; i++) {
        config.conninfo = buf_cstr(&p->conninfo);
        assert_int_equal(db_migrate_for(&p->k.loop, &config, 10000, NULL, &report), 0);
        assert_int_equal(kit_number_of(&k, STMT_TEST_CONNECTIONS, "picket left"), 1);
        config.conninfo = "colour=blue";
        struct db *none;
        if (i == 0)
            db_session_close(config.session);
        else
            assert_int_equal(db_open(&p->k.loop, &config, &none), -EINVAL);
        KIT_UNTIL(&k, kit_number_of(&k, STMT_TEST_CONNECTIONS, "picket left") == 0);
    }
    kit_close(&k);
}

int main(void)
{
#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, leave_place)
    const struct CMUnitTest tests[] = {
        IN_PLACE(runs_all_once),
        IN_PLACE(several_at_once_do_it_once),
        IN_PLACE(a_failing_one_is_rolled_back_and_named),
        IN_PLACE(a_newer_schema_is_fine_unless_it_says_otherwise),
        IN_PLACE(waits_for_the_lock_and_not_for_ever),
        IN_PLACE(a_migration_of_ours_takes_its_time),
        IN_PLACE(a_server_that_only_lets_read_will_do),
        IN_PLACE(hands_its_connection_to_a_pool),
        IN_PLACE(a_pool_survives_the_connection_that_it_was_given),
        IN_PLACE(a_connection_that_no_pool_takes_is_closed),
        IN_PLACE(says_that_nobody_answers),
        IN_PLACE(gives_up_a_server_that_accepts_and_is_silent),
        IN_PLACE(waits_for_a_server_that_starts),
    };
    return cmocka_run_group_tests(tests, start_cluster, stop_cluster);
}
