/* digest_kit.h: a stage for the digest's tests: a spool of its own in a temporary directory, the database of the program's cluster (shared_cluster.h), a
 * connection to ask it and one to stand in the digest's way. What is sent is told by a small struct, from which records are made as the
 * door makes them. */
#pragma once

#include "shared_cluster.h"

#include <fcntl.h>
#include <inttypes.h>

#include "picket/digest/digest.h"
#include "picket/protocol/payload.h"

#define DIGEST_NAME "picket test digest"

enum { STAGE_PATH_MAX = 600, STAGE_CURSOR_MAX = 64, STAGE_TITLE_MAX = 64 };

struct stage {
    struct kit k;       /* asks */
    struct kit blocker; /* one connection that may hold a transaction open; db is NULL while it does not exist */
    char top[STAGE_PATH_MAX], dir[STAGE_PATH_MAX];
    uv_loop_t loop; /* the port's */
    struct spool *spool;
    struct spool_port *port;
    struct digest *digest;
    unsigned query_ms;             /* of the digest's statements; 0: KIT_LIMIT_MS */
    char cursor[STAGE_CURSOR_MAX]; /* the saved file, byte for byte; cursor_bytes < 0: there was none */
    ssize_t cursor_bytes;
};

/* One event on its way to the spool. */
struct sent {
    int64_t project;
    struct id128 event_id;
    int64_t received_us;
    const char *title;    /* the error's type: issues go by it */
    const char *payload;  /* NULL: an event with that title */
    size_t padding;       /* bytes that make the payload larger */
    enum spool_kind kind; /* 0: an event */
};

/* ---- pseudo-random numbers */

static inline uint64_t next_random(uint64_t *rng)
{
    *rng = *rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *rng >> 33;
}

static inline unsigned random_below(uint64_t *rng, unsigned n)
{
    return (unsigned)(next_random(rng) % n);
}

static inline struct id128 random_id(uint64_t *rng)
{
    struct id128 id;
    for (size_t i = 0; i < sizeof id.b; i++)
        id.b[i] = (uint8_t)next_random(rng);
    return id;
}

/* ---- the spool */

static inline void stage_spool_open(struct stage *s)
{
    const struct spool_config config = {.dir = s->dir,
                                        .segment_bytes = 64 << 20,
                                        .max_bytes = UINT64_C(1) << 32,
                                        .max_pending_bytes = 64 << 20};
    assert_int_equal(spool_open(&config, &s->spool, NULL), 0);
    assert_int_equal(spool_port_open(s->spool, &s->loop, &s->port), 0);
}

static inline void stage_spool_close(struct stage *s)
{
    if (s->port)
        spool_port_close(s->port, NULL, NULL);
    s->port = NULL;
    assert_int_equal(uv_run(&s->loop, UV_RUN_DEFAULT), 0);
    spool_close(s->spool);
    s->spool = NULL;
}

/* Copies the cursor's file; with cursor_put later, what a crash before the next save leaves. No segment may be finished meanwhile. */
static inline void cursor_keep(struct stage *s)
{
    char path[STAGE_PATH_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/cursor", s->dir);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    s->cursor_bytes = fd < 0 ? -1 : pread(fd, s->cursor, sizeof s->cursor, 0);
    assert_true(s->cursor_bytes < (ssize_t)sizeof s->cursor);
}

static inline void cursor_put(const struct stage *s)
{
    char path[STAGE_PATH_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/cursor.kept", s->dir); /* it was saved by the closing that is not to have been */
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/cursor", s->dir);
    (void)unlink(path);
    if (s->cursor_bytes < 0)
        return;
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(pwrite(fd, s->cursor, (size_t)s->cursor_bytes, 0), s->cursor_bytes);
}

struct sending {
    struct spool_append append;
    int r, n_done;
};

static inline void sending_done(struct spool_append *append, int r)
{
    struct sending *sending = container_of(append, struct sending, append);
    sending->r = r;
    sending->n_done++;
}

/* Titles are ours and need no escapes. */
static inline void put_payload(struct buf *b, const struct sent *e)
{
    if (e->payload) {
        buf_append_str(b, str_from(e->payload));
        return;
    }
    buf_append_str(b, STR("{\"exception\":[{\"type\":\""));
    buf_append_str(b, str_from(e->title));
    buf_append_str(b, STR("\"}],\"extra\":{\"padding\":["));
    for (size_t i = 0; i < e->padding; i += 2)
        buf_append_str(b, STR("0,"));
    buf_append_str(b, STR("0]}}"));
}

/* Appends all of them at once and waits until they are durable. */
static inline void stage_send(struct stage *s, const struct sent *events, unsigned n)
{
    if (n == 0)
        return;
    AUTO_FREE struct spool_record *records = calloc(n, sizeof *records);
    AUTO_FREE size_t *starts = calloc(n + 1, sizeof *starts);
    AUTO_BUF struct buf payloads = {0};
    for (unsigned i = 0; i < n; i++) {
        put_payload(&payloads, &events[i]);
        starts[i + 1] = payloads.n;
    }
    for (unsigned i = 0; i < n; i++)
        records[i] = (struct spool_record){.id = id_v7(events[i].received_us),
                                           .event_id = events[i].event_id,
                                           .project_id = (uint64_t)events[i].project,
                                           .received_us = events[i].received_us,
                                           .kind = events[i].kind ? events[i].kind : SPOOL_EVENT,
                                           .meta = STR("{\"sdk\":{\"name\":\"test\"}}"),
                                           .payload = str_of(payloads.p + starts[i], starts[i + 1] - starts[i])};
    struct sending sending = {.append.done = sending_done};
    assert_int_equal(spool_append(s->port, &sending.append, records, n), 0);
    while (sending.n_done == 0)
        (void)uv_run(&s->loop, UV_RUN_ONCE);
    assert_int_equal(sending.r, 0);
}

/* ---- the digest */

static inline void stage_digest(struct stage *s, unsigned workers, unsigned batch_records)
{
    const struct digest_config config = {
        .spool = s->spool,
        .db = {.conninfo = fixture_conninfo(&cluster),
               .application = DIGEST_NAME,
               .connections = 1,
               .waiting_max = 10,
               .acquire_ms = 2000,
               .query_ms = s->query_ms ? s->query_ms : KIT_LIMIT_MS},
        .workers = workers,
        .batch_records = batch_records,
        .batch_bytes = 4 << 20,
    };
    assert_int_equal(digest_open(&config, &s->digest), 0);
}

static inline void stage_digest_close(struct stage *s, unsigned grace_ms)
{
    digest_close(s->digest, grace_ms);
    s->digest = NULL;
}

static inline struct digest_stats stage_stats(const struct stage *s)
{
    struct digest_stats stats;
    digest_stats(s->digest, &stats);
    return stats;
}

static inline bool is_drained(const struct stage *s)
{
    struct spool_stats stats;
    spool_stats(s->spool, &stats);
    return stats.bytes == 0;
}

/* Until everything that was sent is settled. */
static inline void stage_drain(struct stage *s)
{
    KIT_UNTIL(&s->k, is_drained(s));
}

/* Sends, digests to the end, closes the digest; what it counted comes back. */
static inline struct digest_stats stage_run(struct stage *s, const struct sent *events, unsigned n, unsigned workers,
                                            unsigned batch_records)
{
    stage_send(s, events, n);
    stage_digest(s, workers, batch_records);
    stage_drain(s);
    struct digest_stats stats = stage_stats(s);
    stage_digest_close(s, KIT_LIMIT_MS);
    return stats;
}

/* ---- the whole */

static inline void stage_open(struct stage *s)
{
    *s = (struct stage){0};
    const char *tmp = getenv("TMPDIR");
    assert_true(snprintf(s->top, sizeof s->top, "%.500s/digest-test-XXXXXX", tmp && tmp[0] ? tmp : P_tmpdir) < (int)sizeof s->top);
    assert_non_null(mkdtemp(s->top));
    assert_true(snprintf(s->dir, sizeof s->dir, "%.580s/spool", s->top) < (int)sizeof s->dir);
    assert_int_equal(uv_loop_init(&s->loop), 0);
    kit_open(&s->k, fixture_conninfo(&cluster));
    stage_spool_open(s);
}

/* The asking connection anew, after the server went away under it. */
static inline void stage_connect_again(struct stage *s)
{
    kit_close(&s->k);
    kit_open(&s->k, fixture_conninfo(&cluster));
}

static inline void stage_unblock(struct stage *s)
{
    kit_close(&s->blocker); /* an open transaction ends with its connection */
    s->blocker.db = NULL;
}

static inline void stage_close(struct stage *s)
{
    if (s->blocker.db)
        stage_unblock(s);
    stage_digest_close(s, 0);
    stage_spool_close(s);
    assert_int_equal(uv_loop_close(&s->loop), 0);
    kit_close(&s->k);
    fixture_remove_tree(s->top);
}

/* Set-up and teardown of a test on a stage. */
static inline int open_stage(void **state)
{
    static struct stage s;
    stage_open(&s);
    *state = &s;
    assert_int_equal(kit_run(&s.k, STMT_TEST_DIGEST_CLEAN), 0); /* what a test that failed left */
    assert_int_equal(kit_run(&s.k, STMT_TEST_DIGEST_ACCEPT), 0);
    return 0;
}

static inline int close_stage(void **state)
{
    stage_close(*state);
    return 0;
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, open_stage, close_stage)

/* ---- asking the database */

static inline int64_t stage_project(struct stage *s)
{
    struct id128 key = id_random();
    char name[ID_HEX + 1];
    struct op op;
    id_hex(&key, name);
    op_init(&op, STMT_PROJECT_INSERT);
    op.q.done = op_done_number;
    db_bind_text(&op.q, str_from(name));
    db_bind_text(&op.q, str_from(name));
    db_bind_id(&op.q, &key);
    db_bind_null(&op.q);
    db_bind_null(&op.q);
    db_bind_null(&op.q);
    assert_int_equal(op_run(&s->k, &op), 0);
    return op.number;
}

static inline void delete_project(struct kit *k, int64_t project)
{
    struct op op;
    op_init(&op, STMT_TEST_PROJECT_DELETE);
    db_bind_i32(&op.q, (int32_t)project);
    assert_int_equal(op_run(k, &op), 0);
}

static inline int64_t count_events(struct stage *s, int64_t project)
{
    struct op op;
    op_init(&op, STMT_TEST_DIGEST_EVENTS);
    op.q.done = op_done_number;
    db_bind_i32(&op.q, (int32_t)project);
    assert_int_equal(op_run(&s->k, &op), 0);
    return op.number;
}

static inline int64_t count_copies(struct stage *s, int64_t project, const struct id128 *event_id)
{
    struct op op;
    op_init(&op, STMT_TEST_DIGEST_COPIES);
    op.q.done = op_done_number;
    db_bind_i32(&op.q, (int32_t)project);
    db_bind_id(&op.q, event_id);
    assert_int_equal(op_run(&s->k, &op), 0);
    return op.number;
}

/* Every counter equals the rows that it counts, in the whole database. */
static inline void assert_everything_equals_the_rows(struct stage *s)
{
    struct op op;
    op_init(&op, STMT_TEST_DIGEST_UNEQUAL);
    op.q.done = op_done_text;
    assert_int_equal(op_run(&s->k, &op), 0);
    assert_string_equal(op.text, "");
}

struct issue {
    int n;
    struct id128 id;
    int64_t events, first_us, last_us;
    bool resolved, muted;
    char transitions[STAGE_TITLE_MAX];
};

static inline void copy_text(struct str text, char *dst, size_t size)
{
    text = str_take(text, size - 1);
    memcpy(dst, text.p, text.n);
    dst[text.n] = '\0';
}

static inline void see_issue(void *arg, const struct db_rows *rows)
{
    struct issue *i = arg;
    i->n = db_count(rows);
    if (i->n == 0)
        return;
    i->id = db_id(rows, 0, 0);
    i->events = db_i64(rows, 0, 1);
    i->resolved = db_bool(rows, 0, 2);
    i->muted = db_bool(rows, 0, 3);
    i->first_us = db_time(rows, 0, 4);
    i->last_us = db_time(rows, 0, 5);
    copy_text(db_text(rows, 0, 6), i->transitions, sizeof i->transitions);
}

/* The project's issues of that title: n says how many, the rest is of the first. */
static inline struct issue find_issue(struct stage *s, int64_t project, const char *title)
{
    struct issue issue = {0};
    struct db_query q;
    db_query_init(&q, STMT_TEST_DIGEST_ISSUE, NULL);
    db_bind_i32(&q, (int32_t)project);
    db_bind_text(&q, str_from(title));
    assert_int_equal(db_wait(s->k.db, &q, see_issue, &issue), 0);
    return issue;
}

static inline void assert_issue(struct stage *s, int64_t project, const char *title, int64_t events, const char *transitions)
{
    struct issue issue = find_issue(s, project, title);
    assert_int_equal(issue.n, 1);
    assert_int_equal(issue.events, events);
    assert_string_equal(issue.transitions, transitions);
}

/* Resolves, mutes … at the moment at_us, as the API does. */
static inline void change_issue(struct stage *s, int64_t project, const char *title, const char *action, int64_t at_us)
{
    struct issue issue = find_issue(s, project, title);
    struct op op;
    op_init(&op, STMT_ISSUE_CHANGE);
    db_bind_i32(&op.q, (int32_t)project);
    db_bind_id(&op.q, &issue.id);
    db_bind_text(&op.q, str_from(action));
    db_bind_bool(&op.q, false);
    db_bind_null(&op.q);
    db_bind_null(&op.q);
    db_bind_time(&op.q, at_us);
    assert_int_equal(op_run(&s->k, &op), 0);
    assert_int_equal(op.n_rows, 1);
}

enum { STAGE_DEAD_MAX = 8 };
struct dead {
    int n;
    struct {
        struct id128 event_id;
        char reason[STAGE_TITLE_MAX], sqlstate[DB_SQLSTATE];
        int64_t attempts;
        struct buf payload; /* as it came */
    } letters[STAGE_DEAD_MAX];
};

static inline void see_dead(void *arg, const struct db_rows *rows)
{
    struct dead *d = arg;
    d->n = db_count(rows);
    assert_true(d->n <= STAGE_DEAD_MAX);
    for (int i = 0; i < d->n; i++) {
        d->letters[i].event_id = db_id(rows, i, 0);
        copy_text(db_text(rows, i, 1), d->letters[i].reason, sizeof d->letters[i].reason);
        copy_text(db_text(rows, i, 2), d->letters[i].sqlstate, sizeof d->letters[i].sqlstate);
        d->letters[i].attempts = db_i64(rows, i, 3);
        assert_int_equal(payload_unpack(db_bytes(rows, i, 4), STR(""), 1 << 20, &d->letters[i].payload), 0);
        assert_true(str_eq(db_bytes(rows, i, 5), STR("{\"sdk\":{\"name\":\"test\"}}")));
    }
}

static inline void dead_done(struct dead *d)
{
    for (int i = 0; i < d->n; i++)
        buf_done(&d->letters[i].payload);
}
#define AUTO_DEAD __attribute__((cleanup(dead_done)))

/* The project's dead letters in the order of their receipt. */
static inline void find_dead(struct stage *s, int64_t project, struct dead *ret)
{
    struct db_query q;
    db_query_init(&q, STMT_TEST_DIGEST_DEAD, NULL);
    db_bind_i64(&q, project);
    assert_int_equal(db_wait(s->k.db, &q, see_dead, ret), 0);
}

static inline int64_t count_dead(struct stage *s, int64_t project)
{
    AUTO_DEAD struct dead dead = {0};
    find_dead(s, project, &dead);
    return dead.n;
}

/* ---- standing in the way */

/* Takes a lock that the digest's batches come to, for as long as the blocker lives. */
static inline void stage_block(struct stage *s, enum db_stmt lock)
{
    struct db_config config = kit_config(fixture_conninfo(&cluster));
    config.connections = 1;
    kit_open_with(&s->blocker, &config);
    assert_int_equal(kit_run(&s->blocker, STMT_MIGRATE_BEGIN), 0);
    assert_int_equal(kit_run(&s->blocker, lock), 0);
}

/* Until so many of the digest's connections, or more, are held up by a lock. */
static inline void stage_until_waiting(struct stage *s, int64_t n)
{
    KIT_UNTIL(&s->k, kit_number_of(&s->k, STMT_TEST_DIGEST_WAITING, DIGEST_NAME) >= n);
}
