/* The private cluster: made once, taken over, stopped by the last one out, and none of it undone by kill -9 at the wrong moment. */
#include "db_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tune.h"

/* Every test has a directory; those that break things while it is made begin without a cluster. */
static int make_empty(void **state)
{
    static struct cluster_fixture f;
    fixture_make(&f);
    *state = &f;
    return 0;
}

static int make_started(void **state)
{
    make_empty(state);
    fixture_start(*state);
    return 0;
}

static int leave(void **state)
{
    fixture_remove(*state);
    return 0;
}

static int try_start(const char *dir, unsigned start_ms, struct db_cluster **ret, const char **ret_why)
{
    const struct db_cluster_config config = {.dir = dir, .start_ms = start_ms};
    return db_cluster_start(&config, ret, ret_why);
}

static struct db_cluster *must_start(const char *dir)
{
    struct db_cluster *c = NULL;
    const char *why = "";
    int r = try_start(dir, FIXTURE_START_MS, &c, &why);
    if (r < 0)
        fail_msg("%d %s", r, why);
    return c;
}

static pid_t server_of(const struct db_cluster *c)
{
    struct kit k;
    kit_open(&k, db_cluster_conninfo(c));
    pid_t pid = (pid_t)kit_number(&k, STMT_TEST_POSTMASTER);
    kit_close(&k);
    return pid;
}

static void path_in(const struct cluster_fixture *f, const char *name, char dst[FIXTURE_PATH_MAX * 2])
{
    assert_true(snprintf(dst, FIXTURE_PATH_MAX * 2, "%s/%s", f->dir, name) < FIXTURE_PATH_MAX * 2);
}

static bool exists(const struct cluster_fixture *f, const char *name)
{
    char path[FIXTURE_PATH_MAX * 2];
    path_in(f, name, path);
    return access(path, F_OK) == 0;
}

static void write_file(const struct cluster_fixture *f, const char *name, const char *text)
{
    char path[FIXTURE_PATH_MAX * 2];
    path_in(f, name, path);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

/* Another Picket: a process that starts the cluster and, if it may, waits to be killed. Its exit status is 10 when it made the cluster. */
static pid_t other_picket(const char *dir, uid_t uid)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid)
        return pid;
    struct db_cluster *c;
    const char *why;
    if (uid && (setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0))
        _exit(1);
    if (try_start(dir, FIXTURE_START_MS, &c, &why) < 0)
        _exit(2);
    _exit(db_cluster_created(c) ? 10 : 11);
}

static int status_of(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Polls, with a limit, for what no event announces; gives the processor to those who are waited for. */
#define UNTIL(condition) \
    do { \
        int64_t until_us = clock_mono_us() + KIT_LIMIT_MS * INT64_C(1000); \
        while (!(condition)) { \
            if (clock_mono_us() > until_us) \
                fail_msg("never became true: %s", #condition); \
            (void)poll(NULL, 0, 1); \
        } \
    } while (0)

/* ---- the ordinary way */

struct seen_server {
    struct db_tuning tuning;
    int times;
};

static void see_server(void *arg, const struct db_rows *rows)
{
    static const char *const expected[] = {"on", "on", "UTF8", "", "C.UTF-8", "terse"};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_true(str_eq(db_text(rows, 0, (int)i), str_from(expected[i])));
    struct seen_server *seen = arg;
    assert_int_equal(db_i64(rows, 0, ARRAY_LEN(expected)), seen->tuning.shared_buffers_mb);
    assert_int_equal(db_i64(rows, 0, ARRAY_LEN(expected) + 1), seen->tuning.max_wal_size_mb);
    seen->times++;
}

static void is_durable_private_and_detached(void **state)
{
    struct cluster_fixture *f = *state;
    assert_true(db_cluster_created(f->cluster));
    assert_true(db_cluster_started(f->cluster));
    struct kit k;
    struct db_query q;
    struct seen_server seen = {.tuning = db_tune(f->dir)};
    kit_open(&k, fixture_conninfo(f));
    db_query_init(&q, STMT_TEST_SERVER, NULL);
    assert_int_equal(db_wait(k.db, &q, see_server, &seen), 0);
    assert_int_equal(seen.times, 1);
    kit_close(&k);
    struct stat st;
    char path[FIXTURE_PATH_MAX * 2];
    path_in(f, "run", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    pid_t server = server_of(f->cluster);
    assert_int_equal(getsid(server), server); /* Ctrl-C in Picket's terminal does not reach it */
    assert_true(geteuid() != 0 || st.st_uid != 0);
}

static void is_as_large_as_the_machine_allows(void **state)
{
    (void)state;
    const uint64_t gb = UINT64_C(1) << 30;
    static const struct {
        unsigned memory_gb, disk_gb, shared_buffers_mb, max_wal_size_mb;
    } cases[] = {{0, 0, 128, 1024}, {1, 8, 128, 1024}, {4, 64, 512, 4096}, {24, 252, 2048, 8192}, {512, 4096, 2048, 8192}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct db_tuning tuning = db_tuning_of(cases[i].memory_gb * gb, cases[i].disk_gb * gb);
        assert_int_equal(tuning.shared_buffers_mb, cases[i].shared_buffers_mb);
        assert_int_equal(tuning.max_wal_size_mb, cases[i].max_wal_size_mb);
    }
}

static void keeps_its_data(void **state)
{
    struct cluster_fixture *f = *state;
    struct kit k;
    kit_open(&k, fixture_conninfo(f));
    assert_int_equal(kit_run(&k, STMT_TEST_CREATE), 0);
    kit_close(&k);
    fixture_stop(f);
    assert_false(exists(f, "data/postmaster.pid"));
    fixture_start(f);
    assert_false(db_cluster_created(f->cluster));
    assert_true(db_cluster_started(f->cluster));
    kit_open(&k, fixture_conninfo(f));
    assert_int_equal(kit_number_of(&k, STMT_TEST_TABLES, "things"), 1);
    kit_close(&k);
}

static void the_last_one_out_stops_it(void **state)
{
    struct cluster_fixture *f = *state;
    pid_t server = server_of(f->cluster);
    struct db_cluster *second = must_start(f->dir), *third = must_start(f->dir);
    assert_false(db_cluster_started(second));
    assert_int_equal(server_of(second), server);
    fixture_stop(f); /* the one that started it */
    assert_int_equal(server_of(second), server);
    db_cluster_leave(second);
    assert_int_equal(server_of(third), server);
    db_cluster_stop(third);
    assert_false(exists(f, "data/postmaster.pid"));
    assert_int_equal(kill(server, 0), -1);
}

static void the_environment_does_not_lead_astray(void **state)
{
    struct cluster_fixture *f = *state;
    assert_int_equal(setenv("PGPORT", "1", 1), 0);
    assert_int_equal(setenv("PGHOSTADDR", "192.0.2.1", 1), 0);
    assert_int_equal(setenv("PGDATABASE", "no such", 1), 0);
    fixture_start(f);
    struct kit k;
    kit_open(&k, fixture_conninfo(f));
    assert_int_equal(kit_number(&k, STMT_PING), 1);
    kit_close(&k);
    assert_int_equal(unsetenv("PGPORT") | unsetenv("PGHOSTADDR") | unsetenv("PGDATABASE"), 0);
}

static void paths_that_a_socket_cannot_have(void **state)
{
    static const char *const names[] = {"it's, \"quoted\" \\ and has blanks",
                                        "a-name-that-is-longer-than-a-socket-address-can-be-a-name-that-is-longer-than-that"};
    struct cluster_fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_true(snprintf(f->dir, sizeof f->dir, "%s/%s", f->top, names[i]) < (int)sizeof f->dir);
        fixture_start(f);
        pid_t server = server_of(f->cluster);
        db_cluster_leave(f->cluster);
        f->cluster = must_start(f->dir); /* finds the socket again */
        assert_int_equal(server_of(f->cluster), server);
        struct str rest = str_from(fixture_conninfo(f));
        (void)str_cut(&rest, '\'');
        struct str run = str_cut(&rest, '\'');
        char path[FIXTURE_PATH_MAX];
        assert_true(run.n < sizeof path && snprintf(path, sizeof path, "%.*s", STR_ARG(run)) > 0);
        assert_null(strstr(path, f->top)); /* it lies elsewhere */
        fixture_stop(f);
        fixture_remove_tree(path);
    }
}

static void the_directory_may_be_relative(void **state)
{
    struct cluster_fixture *f = *state;
    AUTO_CLOSE int back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir(f->top), 0);
    struct db_cluster *c = must_start("postgres");
    assert_int_equal(fchdir(back), 0);
    assert_true(server_of(c) > 0);
    db_cluster_stop(c);
}

static void an_ordinary_user_can_have_one(void **state)
{
    struct cluster_fixture *f = *state;
    const struct passwd *nobody = getpwnam("nobody");
    if (geteuid() != 0 || !nobody)
        skip(); /* then every other test is this one */
    assert_int_equal(chown(f->top, nobody->pw_uid, nobody->pw_gid), 0);
    assert_int_equal(status_of(other_picket(f->dir, nobody->pw_uid)), 10);
    assert_true(exists(f, "data/postmaster.pid"));
    char path[FIXTURE_PATH_MAX * 2], text[32] = "";
    path_in(f, "data/postmaster.pid", path);
    FILE *in = fopen(path, "r");
    uint64_t pid;
    assert_non_null(in);
    assert_non_null(fgets(text, sizeof text, in));
    (void)fclose(in);
    assert_true(str_to_u64(str_trim(str_from(text)), &pid));
    assert_int_equal(kill((pid_t)pid, SIGINT), 0);
    UNTIL(!exists(f, "data/postmaster.pid"));
    UNTIL(kill((pid_t)pid, 0) < 0);
}

/* ---- killed at the wrong moment */

static void a_killed_picket_leaves_a_server_to_take_over(void **state)
{
    struct cluster_fixture *f = *state;
    assert_int_equal(status_of(other_picket(f->dir, 0)), 10); /* gone without a word, as if killed */
    fixture_start(f);
    assert_false(db_cluster_created(f->cluster));
    assert_false(db_cluster_started(f->cluster));
    assert_true(server_of(f->cluster) > 0);
    fixture_stop(f); /* a server that was taken over can be stopped too */
    assert_false(exists(f, "data/postmaster.pid"));
}

static void killed_while_it_is_made_or_started(void **state)
{
    static const char *const moments[] = {"data.new", "data.new/global/pg_control", "data", "data/postmaster.pid"};
    struct cluster_fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        assert_true(snprintf(f->dir, sizeof f->dir, "%s/%zu", f->top, i) < (int)sizeof f->dir);
        pid_t other = other_picket(f->dir, 0);
        UNTIL(exists(f, moments[i]));
        (void)kill(other, SIGKILL);
        (void)status_of(other);
        bool whole = exists(f, "data");
        fixture_start(f);
        if (whole == db_cluster_created(f->cluster))
            fail_msg("killed at %s: %s", moments[i], whole ? "made again" : "not made");
        assert_false(exists(f, "data.new"));
        assert_true(server_of(f->cluster) > 0);
        fixture_stop(f);
    }
}

static void starts_anew_after_its_server_was_killed(void **state)
{
    struct cluster_fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        struct kit k;
        struct op op;
        kit_open(&k, fixture_conninfo(f));
        pid_t server = server_of(f->cluster);
        op_init(&op, STMT_TEST_SLEEP); /* one of its children is busy */
        db_bind_i64(&op.q, 100000);
        db_submit(k.db, &op.q);
        KIT_UNTIL(&k, db_connected(k.db));
        assert_int_equal(kill(server, SIGKILL), 0);
        db_cluster_leave(f->cluster);
        fixture_start(f);
        assert_true(db_cluster_started(f->cluster));
        assert_true(server_of(f->cluster) != server);
        KIT_UNTIL(&k, op.n_done == 1);
        assert_int_equal(op.r, -ERR_DB_AWAY);
        kit_close(&k);
    }
}

static int restart(struct db_cluster *c, unsigned wait_ms)
{
    const char *why = "";
    return db_cluster_restart(c, wait_ms, &why);
}

/* Killed for want of memory while two Pickets use it: one starts it again, the other takes that one over. */
static void is_started_again_while_it_is_used(void **state)
{
    struct cluster_fixture *f = *state;
    struct db_cluster *second = must_start(f->dir);
    for (int i = 0; i < 2; i++) {
        pid_t server = server_of(f->cluster);
        int ends[2];
        assert_true(db_cluster_runs(f->cluster) && db_cluster_runs(second));
        assert_int_equal(pipe(ends), 0); /* inherited by what is forked, unlike ours */
        assert_int_equal(kill(server, SIGKILL), 0);
        UNTIL(!db_cluster_runs(f->cluster));
        assert_false(db_cluster_runs(second));
        assert_int_equal(restart(i ? second : f->cluster, FIXTURE_START_MS), 0);
        assert_true(db_cluster_runs(second));
        assert_int_equal(restart(i ? f->cluster : second, FIXTURE_START_MS), 0);
        assert_true(server_of(f->cluster) != server);
        assert_int_equal(server_of(second), server_of(f->cluster));
        struct pollfd end = {.fd = ends[0], .events = POLLIN};
        assert_int_equal(close(ends[1]), 0);
        assert_int_equal(poll(&end, 1, KIT_LIMIT_MS), 1);
        assert_true(end.revents & POLLHUP); /* the server has not kept it */
        assert_int_equal(close(ends[0]), 0);
    }
    db_cluster_stop(second);
    assert_true(db_cluster_runs(f->cluster));
    fixture_stop(f);
    assert_false(exists(f, "data/postmaster.pid"));
}

/* As a server does that has keys from before: the programs are not there yet, then they are. Its one server is stopped by the last who uses it. */
static void is_opened_first_and_started_later(void **state)
{
    struct cluster_fixture *f = *state;
    const struct db_cluster_config config = {.dir = f->dir, .bin_dir = f->top};
    struct db_cluster *c = NULL;
    const char *why = "";
    fixture_stop(f);
    assert_int_equal(db_cluster_open(&config, &c, &why), 0);
    assert_false(db_cluster_runs(c));
    assert_int_equal(db_cluster_restart(c, FIXTURE_START_MS, &why), -ENOENT);
    assert_non_null(strstr(why, "POSTGRES_BIN_DIR"));
    db_cluster_stop(c); /* nothing to stop, and nobody is sent a signal */
    const struct db_cluster_config found = {.dir = f->dir};
    assert_int_equal(db_cluster_open(&found, &c, &why), 0);
    assert_false(exists(f, "data/postmaster.pid"));
    assert_int_equal(restart(c, FIXTURE_START_MS), 0);
    assert_true(db_cluster_started(c));
    assert_true(server_of(c) > 0);
    fixture_start(f);
    db_cluster_stop(c);
    assert_true(db_cluster_runs(f->cluster));
    assert_int_equal(db_cluster_open(&found, &c, &why), 0); /* and one that only saw it run */
    assert_true(db_cluster_runs(c));
    fixture_stop(f);
    assert_false(db_cluster_runs(c));
    db_cluster_stop(c);
}

static void who_only_saw_it_run_stops_it_when_nobody_else_is_left(void **state)
{
    struct cluster_fixture *f = *state;
    struct db_cluster *c = NULL;
    const char *why = "";
    const struct db_cluster_config config = {.dir = f->dir};
    assert_int_equal(db_cluster_open(&config, &c, &why), 0);
    pid_t server = server_of(f->cluster);
    db_cluster_leave(f->cluster); /* a Picket that was killed */
    assert_true(db_cluster_runs(c));
    db_cluster_stop(c);
    assert_int_equal(kill(server, 0), -1);
    fixture_start(f);
}

static void a_restart_can_be_given_up_and_never_makes_a_cluster(void **state)
{
    struct cluster_fixture *f = *state;
    char path[FIXTURE_PATH_MAX * 2], away[FIXTURE_PATH_MAX * 2];
    path_in(f, "start.lock", path);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC); /* another Picket is at it */
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(restart(f->cluster, 1), -ETIMEDOUT);
    db_cluster_give_up(f->cluster);
    int64_t began_us = clock_mono_us();
    assert_int_equal(restart(f->cluster, FIXTURE_START_MS), -ETIMEDOUT);
    assert_true(clock_mono_us() - began_us < FIXTURE_START_MS * INT64_C(1000) / 2);
    assert_int_equal(flock(fd, LOCK_UN), 0);
    fixture_stop(f);
    fixture_start(f);
    pid_t server = server_of(f->cluster);
    assert_int_equal(kill(server, SIGKILL), 0);
    UNTIL(!db_cluster_runs(f->cluster));
    path_in(f, "data", path);
    path_in(f, "data.away", away);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(restart(f->cluster, FIXTURE_START_MS), -ENOENT);
    assert_false(exists(f, "data"));
    assert_int_equal(rename(away, path), 0);
    assert_int_equal(restart(f->cluster, FIXTURE_START_MS), 0);
}

static void waits_for_a_server_that_is_shutting_down(void **state)
{
    struct cluster_fixture *f = *state;
    pid_t server = server_of(f->cluster);
    assert_int_equal(kill(server, SIGINT), 0); /* by a Picket that did not wait for the end */
    db_cluster_leave(f->cluster);
    fixture_start(f);
    assert_true(db_cluster_started(f->cluster));
    assert_true(server_of(f->cluster) != server);
}

/* After a crash of the machine the number in the file belongs to somebody else, of the same user even. */
static void a_stranger_with_the_servers_number_is_no_server(void **state)
{
    struct cluster_fixture *f = *state;
    struct stat st;
    char path[FIXTURE_PATH_MAX * 2];
    path_in(f, "data", path);
    assert_int_equal(stat(path, &st), 0);
    fixture_stop(f);
    pid_t stranger = fork();
    assert_true(stranger >= 0);
    if (stranger == 0) {
        if (geteuid() == 0 && (setgid(st.st_gid) < 0 || setuid(st.st_uid) < 0))
            _exit(1);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) /* it does not outlive a test that fails */
            _exit(1);
        for (;;)
            pause();
    }
    AUTO_BUF struct buf text = {0};
    buf_printf(&text, "%d\n%s\n1700000000\n5432\n%s/run\n\n  5432001         7\nready   \n", (int)stranger, path, f->dir);
    write_file(f, "data/postmaster.pid", buf_cstr(&text));
    write_file(f, "run/.s.PGSQL.5432.lock", buf_cstr(&text));
    fixture_start(f);
    assert_true(db_cluster_started(f->cluster));
    assert_true(server_of(f->cluster) != stranger);
    fixture_stop(f);
    assert_int_equal(kill(stranger, 0), 0); /* nobody mistook it for the server */
    assert_int_equal(kill(stranger, SIGKILL), 0);
    (void)status_of(stranger);
}

static void two_first_starts_make_one_cluster(void **state)
{
    struct cluster_fixture *f = *state;
    pid_t others[3];
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        others[i] = other_picket(f->dir, 0);
    int n_made = 0;
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        int status = status_of(others[i]);
        assert_true(status == 10 || status == 11);
        n_made += status == 10;
    }
    assert_int_equal(n_made, 1);
    fixture_start(f);
    assert_false(db_cluster_started(f->cluster));
}

/* ---- refused, with a reason */

static void refuse(struct cluster_fixture *f, int r_expected, const char *word)
{
    struct db_cluster *c = NULL;
    const char *why = "";
    int r = try_start(f->dir, 5000, &c, &why);
    if (r != r_expected || !strstr(why, word))
        fail_msg("%d %s", r, why);
    assert_null(c);
}

static void another_major_version_is_refused(void **state)
{
    struct cluster_fixture *f = *state;
    fixture_stop(f);
    write_file(f, "data/PG_VERSION", "9\n");
    refuse(f, -ENOENT, "major version");
}

static void a_directory_that_is_no_cluster_is_left_alone(void **state)
{
    struct cluster_fixture *f = *state;
    char path[FIXTURE_PATH_MAX * 2];
    assert_int_equal(mkdir(f->dir, 0700), 0);
    path_in(f, "data", path);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(f, "data/precious", "mine");
    refuse(f, -ENOTEMPTY, "not a cluster");
    assert_true(exists(f, "data/precious"));
}

static void programs_that_are_missing_are_named(void **state)
{
    struct cluster_fixture *f = *state;
    const struct db_cluster_config config = {.dir = f->dir, .bin_dir = f->top, .start_ms = 1000};
    struct db_cluster *c = NULL;
    const char *why = "";
    assert_int_equal(db_cluster_start(&config, &c, &why), -ENOENT);
    assert_non_null(strstr(why, "initdb"));
}

static void a_broken_server_is_reported_and_not_left_behind(void **state)
{
    struct cluster_fixture *f = *state;
    fixture_stop(f);
    write_file(f, "data/postgresql.conf", "no_such_setting = on\n");
    refuse(f, -ECHILD, "log");
    write_file(f, "data/postgresql.conf", "");
    fixture_start(f);
}

static void expect_wal_compression(const struct cluster_fixture *f, const char *method)
{
    struct kit k;
    kit_open(&k, fixture_conninfo(f));
    struct op op;
    op_init(&op, STMT_TEST_WAL_COMPRESSION);
    op.q.done = op_done_text;
    assert_int_equal(op_run(&k, &op), 0);
    assert_string_equal(op.text, method);
    kit_close(&k);
}

static void compresses_with_what_the_server_knows(void **state)
{
    struct cluster_fixture *f = *state;
    expect_wal_compression(f, "lz4");
    char path[FIXTURE_PATH_MAX * 2], programs[FIXTURE_PATH_MAX];
    assert_true(snprintf(path, sizeof path, "/proc/%d/exe", (int)server_of(f->cluster)) < (int)sizeof path);
    ssize_t n = readlink(path, programs, sizeof programs - 1);
    assert_true(n > 0);
    programs[n] = '\0';
    *strrchr(programs, '/') = '\0';
    fixture_stop(f);
    char real[FIXTURE_PATH_MAX * 2];
    path_in(f, "initdb", path);
    assert_true(snprintf(real, sizeof real, "%s/initdb", programs) < (int)sizeof real);
    assert_int_equal(symlink(real, path), 0);
    path_in(f, "postgres", path); /* as one that was built without it */
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_true(fprintf(out, "#!/bin/sh\ncase \"$*\" in *lz4*) exit 1 ;; esac\nexec %s/postgres \"$@\"\n", programs) > 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(path, 0755), 0);
    const struct db_cluster_config config = {.dir = f->dir, .bin_dir = f->dir, .start_ms = FIXTURE_START_MS};
    const char *why = "";
    if (db_cluster_start(&config, &f->cluster, &why) < 0)
        fail_msg("%s", why);
    expect_wal_compression(f, "pglz");
}

static void others_directories_are_refused(void **state)
{
    struct cluster_fixture *f = *state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir(f->dir, 0777), 0);
    assert_int_equal(chown(f->dir, 12345, 12345), 0); /* somebody put it there and waits inside */
    refuse(f, -EPERM, "owner");
    assert_int_equal(chown(f->dir, 0, 0), 0);
    assert_int_equal(chmod(f->top, 0700), 0); /* user postgres cannot get there */
    refuse(f, -EACCES, "DATA_DIR");
    assert_int_equal(chmod(f->top, 0711), 0);
    char path[FIXTURE_PATH_MAX * 2];
    path_in(f, "run", path);
    assert_int_equal(chmod(path, 0777), 0);
    fixture_start(f);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

int main(void)
{
#define EMPTY(test) cmocka_unit_test_setup_teardown(test, make_empty, leave)
#define STARTED(test) cmocka_unit_test_setup_teardown(test, make_started, leave)
    const struct CMUnitTest tests[] = {
        STARTED(is_durable_private_and_detached),
        cmocka_unit_test(is_as_large_as_the_machine_allows),
        STARTED(keeps_its_data),
        STARTED(the_last_one_out_stops_it),
        EMPTY(the_environment_does_not_lead_astray),
        EMPTY(paths_that_a_socket_cannot_have),
        EMPTY(the_directory_may_be_relative),
        EMPTY(an_ordinary_user_can_have_one),
        EMPTY(a_killed_picket_leaves_a_server_to_take_over),
        EMPTY(killed_while_it_is_made_or_started),
        STARTED(starts_anew_after_its_server_was_killed),
        STARTED(is_started_again_while_it_is_used),
        STARTED(is_opened_first_and_started_later),
        STARTED(who_only_saw_it_run_stops_it_when_nobody_else_is_left),
        STARTED(a_restart_can_be_given_up_and_never_makes_a_cluster),
        STARTED(waits_for_a_server_that_is_shutting_down),
        STARTED(a_stranger_with_the_servers_number_is_no_server),
        EMPTY(two_first_starts_make_one_cluster),
        STARTED(another_major_version_is_refused),
        EMPTY(a_directory_that_is_no_cluster_is_left_alone),
        EMPTY(programs_that_are_missing_are_named),
        STARTED(a_broken_server_is_reported_and_not_left_behind),
        STARTED(compresses_with_what_the_server_knows),
        EMPTY(others_directories_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
