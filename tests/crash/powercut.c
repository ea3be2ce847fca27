/* powercut.c: cuts of power, simulated (architecture, "Spool"; invariants S1 to S6).
 *
 * A spool is used: records of many sizes are appended, claimed, settled in any order; segments follow each other, spares are filled and
 * taken, cursors saved, a commit fails now and then, the spool is closed and opened again, and in its last life is quiet until all is gone. Upon each state that a kill or a cut of power may
 * leave of that (bench.c) it must open; deliver each record that was acknowledged and not settled, with its very bytes; deliver nothing
 * damaged, nothing twice, nothing that was not appended, and nothing again that was settled before the spool was last closed; take new
 * records, and still have them when it is opened again. */
#include "spool_kit.h"

#include "bench.h"
#include "fates.h"

enum {
    SEGMENT_BYTES = 32 * 1024,
    HELD_MAX = 64,
    OUTSTANDING_MAX = 6,
    CLAIM_MAX = 12,
};

/* ---- one life of a spool, in a directory and with a recording of its own */

struct life {
    struct bench *bench;
    struct kit *kit;
    struct recording *rec;
    struct fates *fates; /* what to expect; a life follows its own recording */
    uint64_t rng;
    struct spool_range held[HELD_MAX]; /* claimed, not settled */
    unsigned n_held;
    uint8_t seen[FATES_MAX]; /* since it was opened */
    uint64_t last_seen;
    bool released; /* something may come again, and later than it was */
};

#define broken(l, ...) bench_broken((l)->bench, __VA_ARGS__)

static bool life_open(struct life *l)
{
    struct kit *k = l->kit;
    int r = spool_open(&k->config, &k->s, &k->recovery);
    if (r < 0) {
        k->s = NULL;
        return broken(l, "spool_open: %s", strerror(-r));
    }
    if (spool_port_open(k->s, &k->loop, &k->port) < 0)
        return broken(l, "spool_port_open failed");
    memset(l->seen, 0, sizeof l->seen);
    l->last_seen = 0;
    l->released = false;
    l->n_held = 0;
    l->rec->node = spool_node(k->s);
    if (l->fates->has_node && !id_eq(&l->rec->node, &l->fates->node))
        return broken(l, "the spool's id is another one"); /* ranges that the database knows are named by it */
    return true;
}

static void life_close(struct life *l)
{
    kit_close(l->kit);
    recording_note(l->rec, EVENT_CLOSED, 0, 0);
}

static bool append_start(struct life *l, struct kit_append *a, size_t payload_bytes)
{
    uint64_t seq = l->fates->next++;
    assert(seq < FATES_MAX);
    recording_note(l->rec, EVENT_BEGAN, seq, payload_bytes);
    l->fates->payload_bytes[seq] = (uint32_t)payload_bytes;
    l->fates->fate[seq] = FATE_BEGUN;
    int r = kit_append_start(l->kit, a, seq, payload_bytes);
    return r == 0 || broken(l, "append of %" PRIu64 ": %d", seq, r);
}

static bool append_wait(struct life *l, const struct kit_append *a, uint64_t seq)
{
    while (a->n_done == 0)
        (void)uv_run(&l->kit->loop, UV_RUN_ONCE);
    if (a->result < 0)
        return broken(l, "append of %" PRIu64 " failed: %d", seq, a->result);
    recording_note(l->rec, EVENT_ACKED, seq, 0);
    return true;
}

static bool append_one(struct life *l, size_t payload_bytes)
{
    struct kit_append a;
    uint64_t seq = l->fates->next;
    return append_start(l, &a, payload_bytes) && append_wait(l, &a, seq);
}

/* Several at once, which share commits. */
static bool append_burst(struct life *l, unsigned n)
{
    struct kit_append a[OUTSTANDING_MAX];
    uint64_t seq = l->fates->next;
    size_t payload_bytes = rng_below(&l->rng, 3) ? 1500 : 9000;
    bool ok = true;
    unsigned started = 0;
    for (; ok && started < n; started++)
        ok = append_start(l, &a[started], rng_below(&l->rng, payload_bytes));
    for (unsigned i = 0; ok && i < started; i++)
        ok = append_wait(l, &a[i], seq + i);
    return ok;
}

/* S5: the disk fails, the segment is sealed, and nothing is promised. What reached the disk nevertheless may come again. */
static bool append_in_vain(struct life *l)
{
    struct kit_append a;
    if (!append_one(l, 10)) /* so that this is not the segment's first commit, after which appends are refused for a while */
        return false;
    if (kit_stats(l->kit).synced.offset >= SEGMENT_BYTES)
        return true;
    switch (rng_below(&l->rng, 3)) {
    case 0:
        fault_arm("spool.sync", FAULT_ERROR, 1, EIO);
        break;
    case 1:
        fault_arm("spool.write", FAULT_ERROR, 1, ENOSPC);
        break;
    default:
        fault_arm("spool.write", FAULT_SHORT_WRITE, 1, 0);
        break;
    }
    bool ok = append_start(l, &a, rng_below(&l->rng, 9000));
    while (ok && a.n_done == 0)
        (void)uv_run(&l->kit->loop, UV_RUN_ONCE);
    fault_disarm();
    return ok && (a.result == -ERR_SPOOL_SEALED || broken(l, "a failed append was answered with %d", a.result));
}

/* The records of one envelope: all of them are acknowledged, or none. */
static bool append_envelope(struct life *l, unsigned n)
{
    char payloads[OUTSTANDING_MAX][1024];
    struct spool_record records[OUTSTANDING_MAX];
    uint64_t seq = l->fates->next;
    for (unsigned i = 0; i < n; i++) {
        size_t bytes = rng_below(&l->rng, sizeof payloads[0]);
        recording_note(l->rec, EVENT_BEGAN, seq + i, bytes);
        l->fates->payload_bytes[seq + i] = (uint32_t)bytes;
        l->fates->fate[seq + i] = FATE_BEGUN;
        records[i] = kit_record(seq + i, bytes, payloads[i]);
    }
    l->fates->next += n;
    int r = kit_append_records(l->kit, records, n);
    if (r < 0)
        return broken(l, "append of %" PRIu64 " and more: %d", seq, r);
    for (unsigned i = 0; i < n; i++)
        recording_note(l->rec, EVENT_ACKED, seq + i, 0);
    return true;
}

/* ---- what is delivered */

static bool is_intact(const struct spool_record *r)
{
    AUTO_FREE char *payload = malloc(r->payload.n + 1);
    struct spool_record want = kit_record(r->project_id, r->payload.n, payload);
    return id_eq(&r->id, &want.id) && id_eq(&r->event_id, &want.event_id) && memcmp(r->addr, want.addr, sizeof want.addr) == 0 &&
           r->received_us == want.received_us && r->sent_at_us == want.sent_at_us && r->kind == want.kind && str_eq(r->meta, want.meta) &&
           str_eq(r->payload, want.payload);
}

static bool delivered(struct life *l, const struct spool_record *r)
{
    uint64_t seq = r->project_id;
    l->bench->checked++;
    if (seq >= FATES_MAX || l->fates->fate[seq] == FATE_UNKNOWN)
        return broken(l, "record %" PRIu64 " was never appended", seq);
    if (r->payload.n != l->fates->payload_bytes[seq] || !is_intact(r))
        return broken(l, "record %" PRIu64 " has other bytes than were appended", seq);
    if (l->fates->fate[seq] == FATE_PASSED)
        return broken(l, "record %" PRIu64 " comes again, though it was settled before the spool was closed", seq);
    if (l->seen[seq] && !l->released)
        return broken(l, "record %" PRIu64 " comes twice", seq);
    if (seq < l->last_seen && !l->released)
        return broken(l, "record %" PRIu64 " comes after %" PRIu64, seq, l->last_seen);
    l->seen[seq] = 1;
    l->last_seen = seq;
    recording_note(l->rec, EVENT_SEEN, seq, 0);
    return true;
}

/* Claims one range and looks at its records; it is then held. *ret: whether there was one. */
static bool claim_one(struct life *l, bool *ret)
{
    struct spool_record records[CLAIM_MAX];
    struct spool_range *range = &l->held[l->n_held];
    AUTO_BUF struct buf buf = {0};
    assert(l->n_held < HELD_MAX);
    int r = spool_claim(l->kit->s, 1 + (unsigned)rng_below(&l->rng, CLAIM_MAX), 1 << 20, range);
    *ret = r > 0;
    if (r <= 0)
        return r == 0 || broken(l, "spool_claim: %d", r);
    l->n_held++;
    int n = spool_read(l->kit->s, range, &buf, records);
    bool ok = n >= 0 || broken(l, "spool_read: %d", n);
    for (int i = 0; ok && i < n; i++)
        ok = delivered(l, &records[i]);
    if (n ==
        0) /* damage alone, which fates cannot name: were it held, the cursor would stay before it, and what is settled behind it come again */
        spool_settle(l->kit->s, &l->held[--l->n_held]);
    return ok;
}

static struct spool_range held_take(struct life *l, unsigned i)
{
    struct spool_range range = l->held[i];
    l->held[i] = l->held[--l->n_held];
    return range;
}

/* The database has committed the range: its records need not come again from here on. */
static bool settle(struct life *l, unsigned i)
{
    struct spool_range range = held_take(l, i);
    struct spool_record records[CLAIM_MAX];
    AUTO_BUF struct buf buf = {0};
    int n = spool_read(l->kit->s, &range, &buf, records);
    for (int j = 0; j < n; j++)
        recording_note(l->rec, EVENT_SETTLED, records[j].project_id, 0);
    spool_settle(l->kit->s, &range);
    return n >= 0 || broken(l, "spool_read: %d", n);
}

enum settling { SETTLE_SOME, SETTLE_ALL };

/* Claims all that is there: nothing that was acknowledged and not settled may be missing. */
static bool drain(struct life *l, enum settling settling)
{
    bool some = true, ok = true;
    while (ok && some) {
        ok = claim_one(l, &some);
        bool must = settling == SETTLE_ALL || l->n_held == HELD_MAX;
        if (ok && some && l->n_held > 0 && (must || rng_below(&l->rng, 3) > 0))
            ok = settle(l, must ? l->n_held - 1 : (unsigned)rng_below(&l->rng, l->n_held));
    }
    for (uint64_t i = 0; ok && i < l->fates->next; i++)
        if (l->fates->fate[i] == FATE_ACKED && !l->seen[i])
            ok = broken(l, "record %" PRIu64 " was acknowledged and is lost", i);
    return ok;
}

/* ---- the life that is recorded first */

/* Mostly small; now and then so that the record ends about where a block of the disk does; now and then several blocks. */
static size_t any_payload(struct life *l)
{
    struct spool_stats st = kit_stats(l->kit);
    uint64_t to_border = 4096 - (st.synced.offset + kit_record_bytes(0)) % 4096 + rng_below(&l->rng, 33);
    switch (rng_below(&l->rng, 6)) {
    case 0:
    case 1:
        return rng_below(&l->rng, 60);
    case 2:
        return rng_below(&l->rng, 1500);
    case 3:
    case 4:
        return to_border > 16 ? to_border - 16 : 0;
    default:
        return 4096 + rng_below(&l->rng, 3 * 4096);
    }
}

static bool hold_or_settle(struct life *l)
{
    bool some;
    if (l->n_held < HELD_MAX / 2 && rng_below(&l->rng, 3) > 0)
        return claim_one(l, &some);
    if (l->n_held == 0)
        return true;
    if (rng_below(&l->rng, 6) == 0) {
        struct spool_range range = held_take(l, (unsigned)rng_below(&l->rng, l->n_held));
        spool_release(l->kit->s, &range);
        l->released = true;
        return true;
    }
    return settle(l, (unsigned)rng_below(&l->rng, l->n_held));
}

static bool step(struct life *l)
{
    switch (rng_below(&l->rng, 9)) {
    case 0:
        return append_burst(l, 2 + (unsigned)rng_below(&l->rng, OUTSTANDING_MAX - 1));
    case 1:
        return append_envelope(l, 2 + (unsigned)rng_below(&l->rng, OUTSTANDING_MAX - 1));
    case 2:
        return rng_below(&l->rng, 4) ? append_one(l, any_payload(l)) : append_in_vain(l);
    case 3:
    case 4:
    case 5:
        return hold_or_settle(l);
    default:
        return append_one(l, any_payload(l));
    }
}

static bool settle_held(struct life *l)
{
    bool ok = true;
    while (ok && l->n_held > 0)
        ok = settle(l, (unsigned)rng_below(&l->rng, l->n_held));
    return ok;
}

/* The cursor moves, the keeper saves it in passing. */
static bool save_cursor(struct life *l)
{
    bool some;
    unsigned n = recording_count(l->rec, "spool.cursor.rename");
    if (!append_one(l, 10) || !settle_held(l) || !claim_one(l, &some) || !settle_held(l))
        return false;
    return recording_wait(l->rec, "spool.cursor.rename", n) || broken(l, "no cursor was saved");
}

/* Fills more than half of a segment, has the keeper make a spare, and goes on until it is taken. First thing in a life. */
static bool use_spare(struct life *l)
{
    unsigned made = recording_count(l->rec, "spool.spare.sync"), segments;
    uint64_t end;
    do {
        if (!append_one(l, 2000))
            return false;
        end = kit_stats(l->kit).synced.offset;
    } while (end <= SEGMENT_BYTES / 2 || end >= SEGMENT_BYTES - 1000);
    if (!save_cursor(l))
        return false;
    if (!recording_wait(l->rec, "spool.spare.sync", made))
        return broken(l, "no spare was made");
    segments = recording_count(l->rec, "spool.segment.rename");
    while (recording_count(l->rec, "spool.segment.rename") == segments)
        if (!append_one(l, 6000))
            return false;
    return true;
}

/* S7: what is digested goes, though nothing comes any more. */
static bool quiet_life(struct life *l)
{
    bool some = true, ok;
    l->kit->config.segment_us = 1000;
    ok = life_open(l);
    for (int i = 0; ok && i < 3; i++) /* each is of another segment */
        ok = append_one(l, any_payload(l)) && append_burst(l, 2);
    while (ok && some)
        ok = claim_one(l, &some) && settle_held(l);
    for (unsigned n = recording_count(l->rec, "spool.segment.unlink"); ok && kit_segments(l->kit, NULL) > 0; n++)
        ok = recording_wait(l->rec, "spool.segment.unlink", n) || broken(l, "what is digested stays");
    l->kit->config.segment_us = 0;
    if (ok)
        life_close(l);
    return ok;
}

enum { LIVES = 3, STEPS = 26 };

/* The recorded spool is used as it should be: whatever breaks here breaks without any cut of power. */
static bool all_first_lives(struct life *l)
{
    for (int i = 0; i < LIVES; i++) {
        *l->fates = (struct fates){.next = 0};
        fates_follow(l->fates, l->rec, l->rec->n_changes);
        bool ok = life_open(l) && (i != 1 || use_spare(l));
        for (int j = 0; ok && j < STEPS; j++)
            ok = j == STEPS / 2 ? save_cursor(l) : step(l);
        if (ok && i == 1)
            ok = settle_held(l); /* at its end nothing is held: the cursor can pass all that was claimed */
        if (!ok)
            return false;
        life_close(l);
    }
    *l->fates = (struct fates){.next = 0};
    fates_follow(l->fates, l->rec, l->rec->n_changes);
    return quiet_life(l);
}

/* ---- the life after a kill or a cut of power */

static bool live_on(struct life *l, const struct fates *before, bool was_cut)
{
    if (!life_open(l) || !drain(l, SETTLE_SOME))
        return false;
    if (!was_cut && kit_stats(l->kit).quarantined > 0)
        return broken(l, "damage, though no power was cut");
    if (!append_one(l, any_payload(l)) || !append_burst(l, 2))
        return false;
    life_close(l);
    *l->fates = *before;
    fates_follow(l->fates, l->rec, l->rec->n_changes);
    if (!life_open(l) || !drain(l, SETTLE_ALL))
        return false;
    if (kit_stats(l->kit).bytes != 0)
        return broken(l, "%" PRIu64 " bytes are counted as waiting when all is settled", kit_stats(l->kit).bytes);
    life_close(l);
    return true;
}

/* ---- as the bench sees it */

struct spool_bench {
    struct bench bench;
    struct kit kit;
    struct fates fates;
};

static bool first_lives(struct bench *b, struct recording *rec, uint64_t rng)
{
    struct spool_bench *s = container_of(b, struct spool_bench, bench);
    AUTO_FREE struct fates *fates = calloc(1, sizeof *fates);
    struct life l = {.bench = b, .kit = &s->kit, .rec = rec, .fates = fates, .rng = rng};
    recording_start(rec);
    bool ok = all_first_lives(&l);
    recording_stop();
    kit_remove_tree(s->kit.spool_dir);
    return ok;
}

static void forget(struct bench *b)
{
    container_of(b, struct spool_bench, bench)->fates = (struct fates){.next = 0};
}

static void follow(struct bench *b, const struct stage *st, size_t n)
{
    fates_follow(&container_of(b, struct spool_bench, bench)->fates, st->rec, n);
}

static bool next_life(struct bench *b, const struct model *m, struct recording *rec, uint64_t rng, bool was_cut)
{
    struct spool_bench *s = container_of(b, struct spool_bench, bench);
    struct fates fates = s->fates;
    struct life l = {.bench = b, .kit = &s->kit, .rec = rec, .fates = &fates, .rng = rng};
    bool ok = model_write(m, s->kit.dir) || broken(&l, "the state cannot be written below %s", s->kit.dir);
    recording_start(rec);
    ok = ok && live_on(&l, &s->fates, was_cut);
    if (s->kit.s)
        kit_close(&s->kit);
    recording_stop();
    kit_remove_tree(s->kit.spool_dir);
    return ok;
}

static const struct subject spool = {
    .name = "spool", .first_lives = first_lives, .forget = forget, .follow = follow, .next_life = next_life};

static int setup(void **state)
{
    struct spool_bench *s = calloc(1, sizeof *s);
    *state = &s->bench;
    bench_use_memory();
    kit_init(&s->kit);
    s->kit.config.segment_bytes = SEGMENT_BYTES;
    bench_init(&s->bench, &spool);
    return 0;
}

static int teardown(void **state)
{
    struct spool_bench *s = container_of((struct bench *)*state, struct spool_bench, bench);
    bench_done(&s->bench);
    kit_done(&s->kit);
    free(s);
    return 0;
}

int main(void)
{
    return bench_run("powercut", setup, teardown);
}
