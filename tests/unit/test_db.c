/* The pool against a real PostgreSQL: results and errors, one callback per query and never inside a call, bounds, deadlines, cancelling, lost
 * connections, servers that go and come back, and a libpq that gets no memory. */
#include "shared_cluster.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>

#include <libpq-fe.h>

/* ---- results */

static void answers_from_prepared_statements(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 1;
    kit_open_with(&k, &config);
    for (int i = 0; i < 3; i++)
        assert_int_equal(kit_number(&k, STMT_PING), 1);
    assert_int_equal(kit_number_of(&k, STMT_TEST_STATEMENTS, "ping"), 1); /* prepared once, used three times */
    assert_true(db_connected(k.db));
    kit_close(&k);
}

static void see_settings(void *arg, const struct db_rows *rows)
{
    int *seen = arg;
    assert_int_equal(db_count(rows), 1);
    assert_true(str_eq(db_text(rows, 0, 0), STR("UTC")));
    assert_true(str_eq(db_text(rows, 0, 1), STR("UTF8")));
    assert_true(str_eq(db_text(rows, 0, 2), STR("7s")));
    assert_true(str_eq(db_text(rows, 0, 3), STR("picket test")));
    assert_true(str_eq(db_text(rows, 0, 4), STR("pg_catalog")));
    ++*seen;
}

static void sets_the_session_and_keeps_the_callers_options(void **state)
{
    (void)state;
    struct kit k;
    AUTO_BUF struct buf conninfo = {0};
    buf_printf(&conninfo, "%s options='-c search_path=pg_catalog -c TimeZone=Asia/Tokyo'", fixture_conninfo(&cluster));
    struct db_config config = kit_config(buf_cstr(&conninfo));
    config.query_ms = 7000;
    kit_open_with(&k, &config);
    struct db_query q;
    int seen = 0;
    db_query_init(&q, STMT_TEST_SETTINGS, NULL);
    assert_int_equal(db_wait(k.db, &q, see_settings, &seen), 0);
    assert_int_equal(seen, 1);
    kit_close(&k);
}

static void refuses_what_is_no_connection_string(void **state)
{
    (void)state;
    struct kit k;
    kit_make_loop(&k);
    struct db_config config = kit_config("colour=blue");
    assert_int_equal(db_open(&k.loop, &config, &k.db), -EINVAL);
    kit_close_loop(&k);
}

static void large_values_travel_both_ways(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k, fixture_conninfo(&cluster));
    AUTO_BUF struct buf text = {0};
    for (int i = 0; i < 8 << 20; i++)
        buf_append_char(&text, (char)('a' + i % 26));
    struct op op;
    op_init(&op, STMT_TEST_ECHO);
    db_bind_text(&op.q, buf_str(&text));
    assert_int_equal(op_run(&k, &op), 0);
    assert_int_equal(op.n_rows, 1);
    kit_close(&k);
}

static void nulls_do_not_settle_a_parameters_type(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 1;
    kit_open_with(&k, &config);
    struct op op;
    for (int i = 0; i < 4; i++) { /* null, number, null, number: the server alone would guess four bytes for $1 */
        op_init(&op, STMT_TEST_GUESS);
        op.q.done = op_done_text;
        if (i % 2)
            db_bind_i64(&op.q, INT64_C(9000000000));
        else
            db_bind_null(&op.q);
        assert_int_equal(op_run(&k, &op), 0);
        assert_string_equal(op.text, i % 2 ? "9000000000" : "7");
    }
    assert_int_equal(kit_number_of(&k, STMT_TEST_STATEMENTS, "test_guess"), 2);
    kit_close(&k);
}

/* ---- errors */

static void maps_sqlstates(void **state)
{
    static const struct {
        const char *sqlstate;
        int r;
    } cases[] = {
        {"40001", -ERR_DB_TRANSIENT}, {"40P01", -ERR_DB_TRANSIENT}, {"53200", -ERR_DB_TRANSIENT}, {"53300", -ERR_DB_TRANSIENT},
        {"57P03", -ERR_DB_TRANSIENT}, {"08006", -ERR_DB_TRANSIENT}, {"55P03", -ERR_DB_TRANSIENT}, {"25006", -ERR_DB_TRANSIENT},
        {"57014", -ERR_DB_TIMEOUT},   {"23505", -ERR_DB_CONFLICT},  {"23503", -ERR_DB_FAILED},    {"22012", -ERR_DB_FAILED},
        {"22021", -ERR_DB_FAILED},    {"42601", -ERR_DB_FAILED},    {"P0001", -ERR_DB_FAILED},    {"55000", -ERR_DB_FAILED},
    };
    (void)state;
    struct kit k;
    kit_open(&k, fixture_conninfo(&cluster));
    assert_int_equal(kit_run(&k, STMT_TEST_RAISE_CREATE), 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct op op;
        op_init(&op, STMT_TEST_RAISE);
        db_bind_text(&op.q, str_from(cases[i].sqlstate));
        if (op_run(&k, &op) != cases[i].r)
            fail_msg("%s: %s", cases[i].sqlstate, err_name(op.r));
        assert_string_equal(op.q.sqlstate, cases[i].sqlstate);
        assert_string_equal(op.q.constraint, "");
    }
    kit_close(&k);
}

static int insert(struct kit *k, struct op *op, int64_t id, const char *name)
{
    op_init(op, STMT_TEST_INSERT);
    db_bind_i64(&op->q, id);
    db_bind_text(&op->q, str_from(name));
    return op_run(k, op);
}

static void names_the_violated_constraint(void **state)
{
    (void)state;
    struct kit k;
    struct op op;
    kit_open(&k, fixture_conninfo(&cluster));
    assert_int_equal(kit_run(&k, STMT_TEST_DROP), 0);
    assert_int_equal(kit_run(&k, STMT_TEST_CREATE), 0);
    assert_int_equal(insert(&k, &op, 1, "one"), 0);
    assert_int_equal(insert(&k, &op, 1, "again"), -ERR_DB_CONFLICT);
    assert_string_equal(op.q.sqlstate, "23505");
    assert_string_equal(op.q.constraint, "things_id_key");
    assert_int_equal(insert(&k, &op, 2, "much too long"), -ERR_DB_FAILED);
    assert_string_equal(op.q.sqlstate, "23514");
    assert_string_equal(op.q.constraint, "things_name_short");
    db_query_init(&op.q, STMT_PING, op_done); /* the connection is as good as before, and a query begins clean */
    assert_int_equal(op_run(&k, &op), 0);
    assert_string_equal(op.q.sqlstate, "");
    kit_close(&k);
}

/* A flight's transaction ends with its sync, behind the statement's result: that result is worth nothing before the commit (S6). */
static void a_commit_that_fails_is_the_result(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 1;
    kit_open_with(&k, &config);
    assert_int_equal(kit_run(&k, STMT_TEST_DEFERRED_CREATE), 0);
    int64_t pid = kit_number(&k, STMT_TEST_PID);
    for (int i = 0; i < 3; i++) { /* prepared with the flight, and before it */
        struct op op;
        op_init(&op, STMT_TEST_DEFERRED_INSERT);
        assert_int_equal(op_run(&k, &op), -ERR_DB_CONFLICT);
        assert_string_equal(op.q.sqlstate, "23505");
        assert_int_equal(kit_number(&k, STMT_TEST_PID), pid); /* the connection is in step */
    }
    kit_close(&k);
}

static void a_statement_that_cannot_be_parsed_fails_every_time(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k, fixture_conninfo(&cluster));
    for (int i = 0; i < 3; i++) {
        struct op op;
        op_init(&op, STMT_TEST_BROKEN);
        assert_int_equal(op_run(&k, &op), -ERR_DB_FAILED);
        assert_string_equal(op.q.sqlstate, "42703");
        assert_int_equal(kit_number(&k, STMT_PING), 1);
    }
    kit_close(&k);
}

static void prepares_anew_after_a_change_of_the_schema(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 1;
    kit_open_with(&k, &config);
    assert_int_equal(kit_run(&k, STMT_TEST_DROP), 0);
    assert_int_equal(kit_run(&k, STMT_TEST_CREATE), 0);
    assert_int_equal(kit_run(&k, STMT_TEST_STAR), 0);
    assert_int_equal(kit_run(&k, STMT_TEST_WIDEN), 0);
    assert_int_equal(kit_run(&k, STMT_TEST_STAR), -ERR_DB_TRANSIENT); /* "cached plan must not change result type" */
    assert_int_equal(kit_run(&k, STMT_TEST_STAR), 0);
    kit_close(&k);
}

static void a_bad_plan_does_not_last(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 1;
    kit_open_with(&k, &config);
    assert_int_equal(kit_run(&k, STMT_TEST_TRAP_SET), 0);
    int64_t before = 0, after = 0;
    for (int i = 2; i <= 32; i += 2) { /* its statements, of which the 32nd has new plans */
        before = after;
        assert_int_equal(kit_run(&k, STMT_TEST_TRAP_FILL), 0);
        after = kit_number(&k, STMT_TEST_TRAP_READ);
    }
    assert_true(before > 1000); /* the trap has sprung: 100 checks have read ten and more rows each */
    assert_int_equal(after, before);
    kit_close(&k);
}

/* ---- bounds and deadlines */

static void start_sleep(struct kit *k, struct op *op, int64_t ms)
{
    op_init(op, STMT_TEST_SLEEP);
    db_bind_i64(&op->q, ms);
    db_submit(k->db, &op->q);
}

static void opens_as_many_connections_as_are_needed(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 3;
    config.application = "picket needed";
    config.idle_ms = 100;
    kit_open_with(&k, &config);
    assert_int_equal(kit_number_of(&k, STMT_TEST_CONNECTIONS, "picket needed"), 1);
    struct op ops[10];
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        start_sleep(&k, &ops[i], 50);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        KIT_UNTIL(&k, ops[i].n_done == 1);
        assert_int_equal(ops[i].r, 0);
    }
    int64_t n = kit_number_of(&k, STMT_TEST_CONNECTIONS, "picket needed");
    assert_true(n >= 2 && n <= 3);
    KIT_UNTIL(&k, kit_number_of(&k, STMT_TEST_CONNECTIONS, "picket needed") == 1); /* the idle ones go, one stays */
    kit_close(&k);
}

static void refuses_more_than_may_wait(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 1;
    config.waiting_max = 3;
    kit_open_with(&k, &config);
    assert_int_equal(kit_number(&k, STMT_PING), 1);
    struct op ops[6];
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        start_sleep(&k, &ops[i], 50);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        assert_int_equal(ops[i].n_done, 0);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        KIT_UNTIL(&k, ops[i].n_done == 1);
        assert_int_equal(ops[i].r, i < 4 ? 0 : -ERR_DB_BUSY); /* one runs, three wait */
    }
    kit_close(&k);
}

static void tells_who_waits_and_who_is_refused(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    struct db_reading now = {0}, last = {0};
    config.connections = 1;
    config.waiting_max = 3;
    config.counts = metric_block(sizeof *config.counts);
    kit_open_with(&k, &config);
    assert_int_equal(kit_number(&k, STMT_PING), 1);
    struct op ops[6];
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        start_sleep(&k, &ops[i], 50);
    db_collect(config.counts, &now);
    assert_int_equal(now.waiting, 3);
    assert_int_equal(now.refused, 2);
    assert_int_equal(metric_count(&now.waits), 2); /* those two found the connection idle, or waited for it to be made */
    db_cancel(&ops[3].q);
    for (size_t i = 0; i < 3; i++)
        KIT_UNTIL(&k, ops[i].n_done == 1);
    db_collect(config.counts, &last);
    assert_int_equal(last.waiting, 0);
    assert_int_equal(metric_count(&last.waits), 4);
    assert_true(last.waits.sum - now.waits.sum >= UINT64_C(100000)); /* the first waited for one statement of 50 ms, the second for two */
    assert_true(last.waits.sum - now.waits.sum < UINT64_C(60000000));
    kit_close(&k);
    free(config.counts);
}

struct stubborn {
    struct db_query q;
    struct kit *k;
    int n_refused;
};

static void submit_again(struct db_query *q, int r, const struct db_rows *rows)
{
    (void)rows;
    struct stubborn *s = container_of(q, struct stubborn, q);
    assert_int_equal(r, -ERR_DB_BUSY);
    if (++s->n_refused < 5)
        db_submit(s->k->db, q);
}

static void a_refused_query_may_be_submitted_again_from_done(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.waiting_max = 0;
    kit_open_with(&k, &config);
    struct stubborn s = {.k = &k};
    db_query_init(&s.q, STMT_PING, submit_again);
    db_submit(k.db, &s.q);
    KIT_UNTIL(&k, s.n_refused == 5);
    kit_close(&k);
}

static void waiting_has_a_deadline(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 1;
    config.acquire_ms = 100;
    kit_open_with(&k, &config);
    KIT_UNTIL(&k, db_connected(k.db));
    assert_false(db_answered_within(k.db, 1000));
    struct op running, waiting;
    start_sleep(&k, &running, 1000);
    start_sleep(&k, &waiting, 1);
    KIT_UNTIL(&k, waiting.n_done == 1);
    assert_int_equal(waiting.r, -ERR_DB_BUSY);
    assert_int_equal(running.n_done, 0);
    assert_false(db_answered_within(k.db, 1000));
    KIT_UNTIL(&k, running.n_done == 1);
    assert_int_equal(running.r, 0);
    assert_true(db_answered_within(k.db, 1000));
    KIT_UNTIL(&k, !db_answered_within(k.db, 10));
    kit_close(&k);
}

static void the_server_ends_a_query_that_takes_too_long(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 1;
    config.query_ms = 200;
    kit_open_with(&k, &config);
    int64_t pid = kit_number(&k, STMT_TEST_PID);
    struct op op;
    start_sleep(&k, &op, 20000);
    KIT_UNTIL(&k, op.n_done == 1);
    assert_int_equal(op.r, -ERR_DB_TIMEOUT);
    assert_string_equal(op.q.sqlstate, "57014");
    assert_int_equal(kit_number(&k, STMT_TEST_PID), pid); /* the connection is fine */
    kit_close(&k);
}

static void a_server_that_says_nothing_is_given_up(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 1;
    config.query_ms = 200;
    kit_open_with(&k, &config);
    int64_t pid = kit_number(&k, STMT_TEST_PID);
    assert_int_equal(kill((pid_t)pid, SIGSTOP), 0);
    struct op op;
    op_init(&op, STMT_PING);
    assert_int_equal(op_run(&k, &op), -ERR_DB_TIMEOUT);
    assert_string_equal(op.q.sqlstate, "");
    assert_true(kit_number(&k, STMT_TEST_PID) != pid); /* its state is unknown: a new connection */
    assert_int_equal(kill((pid_t)pid, SIGCONT), 0);
    kit_close(&k);
}

/* ---- cancelling and closing */

static void cancelled_queries_are_silent(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 1;
    config.waiting_max = 2;
    kit_open_with(&k, &config);
    KIT_UNTIL(&k, db_connected(k.db));
    struct op running, waiting, last, refused, never;
    start_sleep(&k, &running, 100);
    start_sleep(&k, &waiting, 1);
    start_sleep(&k, &last, 1);
    start_sleep(&k, &refused, 1);
    op_init(&never, STMT_PING);
    struct op *const gone[] = {&running, &waiting, &refused, &never};
    for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
        db_cancel(&gone[i]->q);
        db_cancel(&gone[i]->q); /* idempotent */
        int n_done = gone[i]->n_done;
        memset(gone[i], 0xA5, sizeof *gone[i]); /* the memory is the owner's again */
        assert_int_equal(n_done, 0);
    }
    KIT_UNTIL(&k, last.n_done == 1);
    assert_int_equal(last.r, 0);
    db_cancel(&last.q); /* done: fine */
    struct op a, b;     /* two may wait again: the cancelled ones are not counted */
    start_sleep(&k, &running, 50);
    start_sleep(&k, &a, 1);
    start_sleep(&k, &b, 1);
    KIT_UNTIL(&k, running.n_done && a.n_done && b.n_done);
    assert_true(running.r == 0 && a.r == 0 && b.r == 0);
    kit_close(&k);
}

struct chain {
    struct op first, second;
    struct kit *k;
};

static void end_the_other(struct db_query *q, int r, const struct db_rows *rows)
{
    struct chain *c = container_of(q, struct chain, first.q);
    op_done(q, r, rows);
    db_cancel(&c->second.q);
    db_cancel(q);
}

static void done_may_cancel_others(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.acquire_ms = 50;
    config.conninfo = "host=/nonexistent";
    kit_open_with(&k, &config);
    struct chain c = {.k = &k};
    op_init(&c.first, STMT_PING);
    op_init(&c.second, STMT_PING);
    c.first.q.done = end_the_other;
    db_submit(k.db, &c.first.q); /* both are due in the same turn */
    db_submit(k.db, &c.second.q);
    KIT_UNTIL(&k, c.first.n_done == 1);
    assert_int_equal(c.first.r, -ERR_DB_AWAY);
    kit_close(&k);
    assert_int_equal(c.second.n_done, 0);
}

static void closing_fails_the_waiting_and_lets_the_running_finish(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 1;
    kit_open_with(&k, &config);
    KIT_UNTIL(&k, db_connected(k.db));
    struct op running, waiting, late;
    start_sleep(&k, &running, 100);
    start_sleep(&k, &waiting, 1);
    db_close(k.db, kit_closed, &k.closed);
    start_sleep(&k, &late, 1);
    KIT_UNTIL(&k, k.closed);
    assert_true(running.n_done == 1 && running.r == 0);
    assert_true(waiting.n_done == 1 && waiting.r == -ERR_DB_AWAY);
    assert_true(late.n_done == 1 && late.r == -ERR_DB_AWAY);
    kit_close_loop(&k);
}

/* Whoever waits in db_wait() would turn the loop until the server's own limit. */
static void giving_up_ends_what_runs(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 1;
    config.application = "picket given up"; /* the server sleeps on, and other tests count */
    kit_open_with(&k, &config);
    KIT_UNTIL(&k, db_connected(k.db));
    struct op running, waiting, late;
    int64_t began_us = clock_mono_us();
    start_sleep(&k, &running, 9000);
    start_sleep(&k, &waiting, 1);
    db_give_up(k.db);
    db_give_up(k.db);
    assert_int_equal(running.n_done + waiting.n_done, 0); /* never inside the call */
    KIT_UNTIL(&k, running.n_done == 1 && waiting.n_done == 1);
    assert_true(running.r == -ERR_DB_AWAY && waiting.r == -ERR_DB_AWAY);
    start_sleep(&k, &late, 1);
    KIT_UNTIL(&k, late.n_done == 1);
    assert_int_equal(late.r, -ERR_DB_AWAY);
    assert_true(clock_mono_us() - began_us < 5 * CLOCK_US_PER_S);
    kit_close(&k);
}

/* ---- losing the server */

static void nothing_there_is_away(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config("host=/nonexistent");
    config.acquire_ms = 300;
    kit_open_with(&k, &config);
    struct op op;
    int64_t began = clock_mono_us();
    op_init(&op, STMT_PING);
    assert_int_equal(op_run(&k, &op), -ERR_DB_AWAY);
    assert_true(clock_mono_us() - began >= 250000); /* a server that is restarting is waited for */
    assert_false(db_connected(k.db));
    kit_close(&k);
}

static void a_lost_connection_ends_its_query_and_is_remade(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k, fixture_conninfo(&cluster));
    int64_t pid = kit_number(&k, STMT_TEST_PID);
    assert_int_equal(kit_run(&k, STMT_TEST_END_OWN), -ERR_DB_AWAY); /* not sent again: it may have had an effect */
    assert_true(kit_number(&k, STMT_TEST_PID) != pid);
    kit_close(&k);
}

static void an_idle_connection_that_was_ended_is_remade(void **state)
{
    (void)state;
    struct kit k, other;
    kit_open(&k, fixture_conninfo(&cluster));
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.application = "picket other";
    kit_open_with(&other, &config);
    int64_t pid = kit_number(&k, STMT_TEST_PID);
    assert_int_equal(kit_number_of(&other, STMT_TEST_END_OTHERS, "picket test"), 1);
    KIT_UNTIL(&k, !db_connected(k.db));
    KIT_UNTIL(&k, db_connected(k.db));
    assert_true(kit_number(&k, STMT_TEST_PID) != pid);
    kit_close(&k);
    kit_close(&other);
}

static void queries_wait_for_a_server_that_restarts(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k, fixture_conninfo(&cluster));
    assert_int_equal(kit_number(&k, STMT_PING), 1);
    fixture_stop(&cluster);
    KIT_UNTIL(&k, !db_connected(k.db));
    struct op op;
    op_init(&op, STMT_PING);
    db_submit(k.db, &op.q);
    int64_t until = clock_mono_us() + 300000;
    KIT_UNTIL(&k, clock_mono_us() > until);
    assert_int_equal(op.n_done, 0);
    fixture_start(&cluster);
    KIT_UNTIL(&k, op.n_done == 1);
    assert_int_equal(op.r, 0);
    kit_close(&k);
}

static pid_t postmaster(void)
{
    char path[FIXTURE_PATH_MAX * 2], text[32] = "";
    assert_true(snprintf(path, sizeof path, "%s/data/postmaster.pid", cluster.dir) < (int)sizeof path);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    (void)fclose(f);
    uint64_t pid;
    assert_true(str_to_u64(str_trim(str_from(text)), &pid));
    return (pid_t)pid;
}

/* The flight breaks while it is being sent: megabytes are on their way when the server dies. */
static void a_killed_server_costs_one_callback_per_query(void **state)
{
    (void)state;
    struct kit k;
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.acquire_ms = 1000;
    kit_open_with(&k, &config);
    AUTO_BUF struct buf text = {0};
    for (int i = 0; i < 4 << 20; i++)
        buf_append_char(&text, 'x');
    struct op ops[20];
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        op_init(&ops[i], STMT_TEST_ECHO);
        db_bind_text(&ops[i].q, buf_str(&text));
        db_submit(k.db, &ops[i].q);
    }
    KIT_UNTIL(&k, ops[0].n_done == 1);
    assert_int_equal(ops[0].r, 0);
    assert_int_equal(kill(postmaster(), SIGKILL), 0);
    int n_away = 0;
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        KIT_UNTIL(&k, ops[i].n_done == 1);
        assert_true(ops[i].r == 0 || ops[i].r == -ERR_DB_AWAY ||
                    ops[i].r == -ERR_DB_BUSY); /* the last: its patience ended before the server */
        n_away += ops[i].r == -ERR_DB_AWAY;
    }
    assert_true(n_away > 0);
    db_cluster_leave(cluster.cluster); /* it is gone */
    fixture_start(&cluster);
    assert_int_equal(kit_number(&k, STMT_PING), 1);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        assert_int_equal(ops[i].n_done, 1);
    kit_close(&k);
}

/* The pool learns of the end only when it writes: the loop did not turn in between. */
static void a_connection_found_dead_while_sending_fails_later(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k, fixture_conninfo(&cluster));
    assert_int_equal(kit_number(&k, STMT_PING), 1);
    fixture_stop(&cluster);
    fixture_start(&cluster);
    AUTO_BUF struct buf text = {0};
    for (int i = 0; i < 4 << 20; i++)
        buf_append_char(&text, 'x');
    struct op op;
    op_init(&op, STMT_TEST_ECHO);
    db_bind_text(&op.q, buf_str(&text));
    assert_int_equal(op_run(&k, &op), -ERR_DB_AWAY);
    assert_int_equal(kit_number(&k, STMT_PING), 1);
    kit_close(&k);
}

/* ---- no memory */

static int results_made, result_missing; /* 0: none */

/* Stands before libpq's own, which calls it by name for each message that becomes a result. */
PGresult *PQmakeEmptyPGresult(PGconn *pg, ExecStatusType status)
{
    PGresult *(*real)(PGconn *, ExecStatusType) = (PGresult * (*)(PGconn *, ExecStatusType)) dlsym(RTLD_NEXT, "PQmakeEmptyPGresult");
    return ++results_made == result_missing ? NULL : real(pg, status);
}

/* The `missing`-th result from now on is. 0: the statement went well all the same, or failed as it should. */
static int run_without_memory(struct kit *k, enum db_stmt stmt, int missing)
{
    struct op op;
    op_init(&op, stmt);
    results_made = 0;
    result_missing = missing;
    int64_t began_us = clock_mono_us();
    int r = op_run(k, &op);
    result_missing = 0;
    if (clock_mono_us() - began_us > 5 * CLOCK_US_PER_S)
        fail_msg("statement %d without result %d: ended by a deadline (%s)", (int)stmt, missing, err_name(r));
    return r == -ERR_DB_AWAY ? r : 0;
}

/* Each result of a flight in turn, on a connection that has sent `before` statements: with the first goes a Parse, with the second the renewal of plans,
 * with the third neither. */
static void lose_each_result(enum db_stmt stmt, int before)
{
    int lost = 0;
    for (int missing = 1;; missing++) {
        struct kit k;
        struct db_config config = kit_config(fixture_conninfo(&cluster));
        config.connections = 1;
        kit_open_with(&k, &config);
        for (int i = 0; i < before; i++)
            (void)kit_run(&k, stmt);
        int r = run_without_memory(&k, stmt, missing);
        bool all = results_made < missing;
        assert_true(all || r == -ERR_DB_AWAY);
        lost += r < 0;
        for (int i = 0; i < 3; i++) /* in step, or made anew */
            assert_int_equal(kit_number(&k, STMT_PING), 1);
        kit_close(&k);
        if (all)
            break;
    }
    assert_true(lost >= 2); /* the statement's own and the end of the flight */
}

static void a_result_that_libpq_loses_ends_the_query(void **state)
{
    static const enum db_stmt stmts[] = {STMT_PING, STMT_TEST_BROKEN, STMT_TEST_DEFERRED_INSERT};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stmts); i++)
        for (int before = 0; before < 3; before++)
            lose_each_result(stmts[i], before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_from_prepared_statements),
        cmocka_unit_test(sets_the_session_and_keeps_the_callers_options),
        cmocka_unit_test(refuses_what_is_no_connection_string),
        cmocka_unit_test(large_values_travel_both_ways),
        cmocka_unit_test(nulls_do_not_settle_a_parameters_type),
        cmocka_unit_test(maps_sqlstates),
        cmocka_unit_test(names_the_violated_constraint),
        cmocka_unit_test(a_commit_that_fails_is_the_result),
        cmocka_unit_test(a_statement_that_cannot_be_parsed_fails_every_time),
        cmocka_unit_test(prepares_anew_after_a_change_of_the_schema),
        cmocka_unit_test(a_bad_plan_does_not_last),
        cmocka_unit_test(opens_as_many_connections_as_are_needed),
        cmocka_unit_test(refuses_more_than_may_wait),
        cmocka_unit_test(tells_who_waits_and_who_is_refused),
        cmocka_unit_test(a_refused_query_may_be_submitted_again_from_done),
        cmocka_unit_test(waiting_has_a_deadline),
        cmocka_unit_test(the_server_ends_a_query_that_takes_too_long),
        cmocka_unit_test(a_server_that_says_nothing_is_given_up),
        cmocka_unit_test(cancelled_queries_are_silent),
        cmocka_unit_test(done_may_cancel_others),
        cmocka_unit_test(closing_fails_the_waiting_and_lets_the_running_finish),
        cmocka_unit_test(giving_up_ends_what_runs),
        cmocka_unit_test(nothing_there_is_away),
        cmocka_unit_test(a_lost_connection_ends_its_query_and_is_remade),
        cmocka_unit_test(an_idle_connection_that_was_ended_is_remade),
        cmocka_unit_test(queries_wait_for_a_server_that_restarts),
        cmocka_unit_test(a_killed_server_costs_one_callback_per_query),
        cmocka_unit_test(a_connection_found_dead_while_sending_fails_later),
        cmocka_unit_test(a_result_that_libpq_loses_ends_the_query),
    };
    return cmocka_run_group_tests(tests, start_cluster, stop_cluster);
}
