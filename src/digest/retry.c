/* retry.c: dead letters digested again.
 *
 * A retry is a mark in the letter's row, and whoever digests works off marks. The mark survives: a command that is interrupted, a server that
 * is restarted or a database that goes away delay a retry and never lose it. Three run this:
 *
 *   the server  looks for marks every few seconds, and at once when the API sets one (letters.c)
 *   picket dlq  sets marks and works off its own letters at once: that needs no server, and with one running it does not matter who is first
 *   the API     only sets marks: decoding and a statement of unknown length are not for a request's thread
 *
 * One letter is one transaction: a statement locks the row (SKIP LOCKED), stores the record by digest_batch() with an empty spool range, and
 * notes the outcome in the row. So a letter is stored once whatever runs beside it, its row never disagrees with the events, and a letter that
 * the database refuses again concerns no other. Letters are few: there is nothing to win by batches.
 *
 * A letter that fails for a lasting reason is dead again, with the new reason. After a passing failure it stays marked. */
#include "picket/digest/retry.h"

#include "batch.h"
#include "failure.h"
#include "picket/base/error.h"
#include "picket/base/ip.h"

struct retry {
    struct db *db;
    struct retry_events events;
    struct db_query query;
    struct batch batch;
    struct buf meta, payload;
    int64_t letter, last;
    bool running;
    struct retry_outcome failed; /* being noted; detail is in the batch's arena */
    char sqlstate[DB_SQLSTATE];
};

static void ask_next(struct retry *r, int64_t first);

struct retry *retry_new(struct db *db, const struct retry_events *events)
{
    struct retry *r = calloc(1, sizeof *r);
    if (!r)
        abort();
    r->db = db;
    r->events = *events;
    batch_init(&r->batch);
    db_query_init(&r->query, STMT_PING, NULL);
    return r;
}

void retry_free(struct retry *r)
{
    if (!r)
        return;
    db_cancel(&r->query);
    batch_done(&r->batch);
    buf_done(&r->meta);
    buf_done(&r->payload);
    free(r);
}

static void end(struct retry *r, int result)
{
    batch_clear(&r->batch);
    r->running = false;
    r->events.over(r->events.arg, result);
}

/* This letter is done with. */
static void tell(struct retry *r, const struct retry_outcome *outcome)
{
    r->events.tried(r->events.arg, outcome);
    if (r->letter < r->last)
        ask_next(r, r->letter + 1);
    else
        end(r, 0);
}

static void tell_result(struct retry *r, enum retry_result result, int error)
{
    struct retry_outcome outcome = {
        .letter = r->letter, .result = result, .error = error, .sqlstate = "", .detail = STR(""), .position = -1};
    if (error < 0)
        outcome.sqlstate = r->query.sqlstate;
    tell(r, &outcome);
}

static void on_noted(struct db_query *q, int result, const struct db_rows *rows)
{
    struct retry *r = container_of(q, struct retry, query);
    (void)rows;
    if (result < 0)
        tell_result(r, RETRY_LATER, result);
    else
        tell(r, &r->failed);
}

static void note_failure(struct retry *r, int error, struct str detail, int64_t position)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): container_of() is taken for NULL */
    memcpy(r->sqlstate, r->query.sqlstate, sizeof r->sqlstate);
    r->failed = (struct retry_outcome){.letter = r->letter,
                                       .result = RETRY_FAILED,
                                       .error = error,
                                       .sqlstate = r->sqlstate,
                                       .detail = arena_str(&r->batch.arena, detail),
                                       .position = position};
    db_query_init(&r->query, STMT_DEAD_LETTER_FAILED, on_noted);
    db_bind_i64(&r->query, r->letter);
    db_bind_text(&r->query, str_from(err_name(error)));
    db_bind_text(&r->query, str_from(r->sqlstate));
    db_bind_text(&r->query, r->failed.detail);
    if (position >= 0)
        db_bind_i64(&r->query, position);
    else
        db_bind_null(&r->query);
    db_submit(r->db, &r->query);
}

/* Outcomes of digest_batch(), a report is always stored; an orphan's row is dead again already. */
static void on_stored(struct db_query *q, int result, const struct db_rows *rows)
{
    enum { DUPLICATE, STORED, ORPHAN };
    struct retry *r = container_of(q, struct retry, query);
    if (result < 0 && failure_of(result, q) == FAILURE_PASSING)
        tell_result(r, RETRY_LATER, result);
    else if (result < 0)
        note_failure(r, result, str_from(q->constraint), -1);
    else if (db_count(rows) == 0)
        tell_result(r, RETRY_ELSEWHERE, 0);
    else if (db_i64(rows, 0, 0) == ORPHAN)
        tell_result(r, RETRY_FAILED, -ERR_NO_PROJECT);
    else
        tell_result(r, db_i64(rows, 0, 0) == STORED ? RETRY_STORED : RETRY_DUPLICATE, 0);
}

/* Columns of dead_letter_next from record_id on. What an event's row gets of the address, the statement takes from the letter's. */
static int read_record(struct retry *r, const struct db_rows *rows, struct spool_record *ret)
{
    struct str meta = db_bytes(rows, 0, 7);
    buf_clear(&r->meta);
    buf_clear(&r->payload);
    buf_append_str(&r->meta, meta);
    *ret = (struct spool_record){
        .id = db_id(rows, 0, 1),
        .project_id = (uint64_t)db_i64(rows, 0, 2),
        .event_id = db_id(rows, 0, 3),
        .received_us = db_time(rows, 0, 4),
        .sent_at_us = db_is_null(rows, 0, 5) ? 0 : db_time(rows, 0, 5),
        .kind = (enum spool_kind)db_i64(rows, 0, 6),
        .key_id = (uint64_t)db_i64(rows, 0, 11),
    };
    if (!db_is_null(rows, 0, 12) && !ip_parse(db_text(rows, 0, 12), ret->addr))
        memset(ret->addr, 0, sizeof ret->addr); /* a network: whose it was is not known */
    int result = payload_unpack(db_bytes(rows, 0, 8), STR(""), SPOOL_MAX_RECORD, &r->payload);
    ret->meta = buf_str(&r->meta);
    ret->payload = buf_str(&r->payload);
    return result;
}

static const struct id128 of_no_spool = {{0}};

static void store_event(struct retry *r)
{
    db_query_init(&r->query, STMT_DEAD_LETTER_RETRY, on_stored);
    batch_bind(&r->batch, &r->query, &of_no_spool, 0, 1);
    db_bind_i64(&r->query, r->letter);
    db_bind_bool(&r->query, batch_hides_address(&r->batch.items[0]));
    db_submit(r->db, &r->query);
}

/* Without an answer its new tags are left out. */
static void on_tags(struct db_query *q, int result, const struct db_rows *rows)
{
    struct retry *r = container_of(q, struct retry, query);
    if (result < 0 && failure_of(result, q) == FAILURE_PASSING) {
        tell_result(r, RETRY_LATER, result);
        return;
    }
    batch_take_tags(&r->batch, result < 0 ? NULL : rows);
    store_event(r);
}

static void on_next(struct db_query *q, int result, const struct db_rows *rows)
{
    static const struct batch_part whole = {.from = 0, .to = 1, .is_last = true};
    struct retry *r = container_of(q, struct retry, query);
    struct spool_record record;
    if (result < 0 || db_count(rows) == 0) {
        end(r, result);
        return;
    }
    r->letter = db_i64(rows, 0, 0);
    batch_clear(&r->batch);
    result = read_record(r, rows, &record);
    if (result < 0) {
        note_failure(r, result, STR("the payload that was kept"), -1);
        return;
    }
    if (!db_is_null(rows, 0, 10))
        rules_add(&r->batch.rules, record.project_id, db_text(rows, 0, 10), &r->batch.arena);
    batch_take(&r->batch, &record);
    const struct batch_item *item = &r->batch.items[0];
    if (item->outcome == OUTCOME_DEAD) {
        note_failure(r, item->reason, STR(""), item->position);
    } else if (item->outcome == OUTCOME_ORPHAN) {
        note_failure(r, -ERR_NO_PROJECT, STR(""), -1);
    } else if (item->outcome == OUTCOME_REPORTED) {
        db_query_init(&r->query, STMT_DEAD_LETTER_RETRY_REPORT, on_stored);
        batch_bind_claim(&r->batch, &r->query, &of_no_spool, &whole);
        batch_bind_rest(&r->batch, &r->query, &whole);
        db_bind_i64(&r->query, r->letter);
        db_submit(r->db, &r->query);
    } else if (batch_asks_tags(&r->batch)) {
        db_query_init(&r->query, STMT_TAGS_INTERN, on_tags);
        batch_bind_tags(&r->batch, &r->query);
        db_submit(r->db, &r->query);
    } else {
        store_event(r);
    }
}

static void ask_next(struct retry *r, int64_t first)
{
    db_query_init(&r->query, STMT_DEAD_LETTER_NEXT, on_next);
    db_bind_i64(&r->query, first);
    db_bind_i64(&r->query, r->last);
    db_submit(r->db, &r->query);
}

void retry_start(struct retry *r, int64_t first, int64_t last)
{
    assert(!r->running);
    r->running = true;
    r->last = last;
    ask_next(r, first);
}
