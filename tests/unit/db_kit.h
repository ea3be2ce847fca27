/* db_kit.h: what the db layer's tests share: a loop, a pool on it, queries that remember how they ended, and waiting for a condition with a
 * limit, so that a hang is a failure with a name. */
#pragma once

#include "cluster_fixture.h"

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/db/db.h"

enum { KIT_LIMIT_MS = 30000, KIT_TEXT = 256 };

struct kit {
    uv_loop_t loop;
    struct db *db;
    bool closed;
    uv_timer_t tick; /* wakes uv_run so that a condition which no event brings is seen */
};

/* One query and what became of it. */
struct op {
    struct db_query q;
    int r, n_done, n_rows;
    int64_t number;      /* of the first cell, where it is an integer */
    char text[KIT_TEXT]; /* of the first cell, where it is text */
};

static inline void kit_on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static inline void kit_make_loop(struct kit *k)
{
    *k = (struct kit){0};
    assert_int_equal(uv_loop_init(&k->loop), 0);
    assert_int_equal(uv_timer_init(&k->loop, &k->tick), 0);
    assert_int_equal(uv_timer_start(&k->tick, kit_on_tick, 10, 10), 0);
}

static inline struct db_config kit_config(const char *conninfo)
{
    return (struct db_config){
        .conninfo = conninfo, .application = "picket test", .connections = 2, .waiting_max = 100, .acquire_ms = 10000, .query_ms = 10000};
}

static inline void kit_open_with(struct kit *k, const struct db_config *config)
{
    kit_make_loop(k);
    assert_int_equal(db_open(&k->loop, config, &k->db), 0);
}

static inline void kit_open(struct kit *k, const char *conninfo)
{
    struct db_config config = kit_config(conninfo);
    kit_open_with(k, &config);
}

/* Turns the loop until the expression is true. */
#define KIT_UNTIL(k, condition) \
    do { \
        int64_t kit_end = clock_mono_us() + KIT_LIMIT_MS * INT64_C(1000); \
        while (!(condition)) { \
            uv_run(&(k)->loop, UV_RUN_ONCE); \
            if (clock_mono_us() > kit_end) \
                fail_msg("never became true: %s", #condition); \
        } \
    } while (0)

static inline void kit_closed(void *arg)
{
    *(bool *)arg = true;
}

static inline void kit_close_loop(struct kit *k)
{
    uv_close((uv_handle_t *)&k->tick, NULL);
    uv_run(&k->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&k->loop), 0); /* nothing of ours is left on it */
}

static inline void kit_close(struct kit *k)
{
    db_close(k->db, kit_closed, &k->closed);
    assert_false(k->closed); /* never inside the call */
    KIT_UNTIL(k, k->closed);
    kit_close_loop(k);
}

static inline void op_done(struct db_query *q, int r, const struct db_rows *rows)
{
    struct op *op = container_of(q, struct op, q);
    op->n_done++;
    op->r = r;
    op->n_rows = rows ? db_count(rows) : -1;
    assert_true((rows != NULL) == (r == 0));
}

static inline void op_done_number(struct db_query *q, int r, const struct db_rows *rows)
{
    op_done(q, r, rows);
    if (r == 0 && db_count(rows) > 0)
        container_of(q, struct op, q)->number = db_i64(rows, 0, 0);
}

static inline void op_done_text(struct db_query *q, int r, const struct db_rows *rows)
{
    op_done(q, r, rows);
    struct op *op = container_of(q, struct op, q);
    if (r == 0 && db_count(rows) > 0) {
        struct str s = str_take(db_text(rows, 0, 0), KIT_TEXT - 1);
        memcpy(op->text, s.p, s.n);
        op->text[s.n] = '\0';
    }
}

static inline void op_init(struct op *op, enum db_stmt stmt)
{
    *op = (struct op){0};
    db_query_init(&op->q, stmt, op_done);
}

/* Submits, waits, returns r. */
static inline int op_run(struct kit *k, struct op *op)
{
    int before = op->n_done;
    db_submit(k->db, &op->q);
    assert_int_equal(op->n_done, before); /* never inside the call */
    KIT_UNTIL(k, op->n_done == before + 1);
    return op->r;
}

static inline int kit_run(struct kit *k, enum db_stmt stmt)
{
    struct op op;
    op_init(&op, stmt);
    return op_run(k, &op);
}

static inline int64_t kit_number(struct kit *k, enum db_stmt stmt)
{
    struct op op;
    op_init(&op, stmt);
    op.q.done = op_done_number;
    assert_int_equal(op_run(k, &op), 0);
    return op.number;
}

static inline int64_t kit_number_of(struct kit *k, enum db_stmt stmt, const char *text)
{
    struct op op;
    op_init(&op, stmt);
    op.q.done = op_done_number;
    db_bind_text(&op.q, str_from(text));
    assert_int_equal(op_run(k, &op), 0);
    return op.number;
}
