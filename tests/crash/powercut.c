/* powercut.c: cuts of power, simulated (architecture, "Spool"; invariants S1 to S6).
 *
 * A spool is used: records of many sizes are appended, claimed, settled in any order; segments follow each other, spares are filled and
 * taken, cursors saved, a commit fails now and then, the spool is closed and opened again. What this does to the disk is recorded, change by
 * change, and at which change each record was acknowledged and settled (recording.c). A model of the disk (disk_model.c) is then led through
 * the changes up to one of them; there the process is killed or the power cut; what that leaves is written into a new directory, and a spool
 * is opened on it.
 *
 * It must open; deliver each record that was acknowledged and not settled, with its very bytes; deliver nothing damaged, nothing twice,
 * nothing that was not appended, and nothing again that was settled before the spool was last closed; take new records, and still have them
 * when it is opened again. That second life is recorded too, and may end in a cut of power itself, and a third one follow: so recovery is
 * cut short, and what was only in the page cache of a killed process gets lost later.
 *
 *   POWERCUT_STATES=10000   the long form; default 1500
 *   POWERCUT_SEED=1         of all that is chosen. Threads, ids and times differ from run to run: to meet the same state again,
 *   POWERCUT_REPLAY=FILE    takes a file that a failed run left, with the recordings and the choices that led to it */
#include "spool_kit.h"

#include "disk_model.h"
#include "fates.h"

enum {
    SEGMENT_BYTES = 32 * 1024,
    STAGES_MAX = 3,
    HELD_MAX = 64,
    OUTSTANDING_MAX = 6,
    CLAIM_MAX = 12,
    TAIL = 40, /* changes shown of a failed state */
    STATES = 1500,
    STATES_PER_RECORDING = 1500,
    RECORDINGS_MAX = 8,
};

/* ---- one life of a spool, in a directory and with a recording of its own */

struct life {
    struct kit *kit;
    struct recording *rec;
    struct fates *fates; /* what to expect; a life follows its own recording */
    uint64_t rng;
    struct spool_range held[HELD_MAX]; /* claimed, not settled */
    unsigned n_held;
    uint8_t seen[FATES_MAX]; /* since it was opened */
    uint64_t last_seen;
    bool released;    /* something may come again, and later than it was */
    uint64_t checked; /* records compared */
    char why[200];    /* "": all is well */
};

static bool PRINTF_LIKE(2, 3) broken(struct life *l, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(l->why, sizeof l->why, fmt, args);
    va_end(args);
    return false;
}

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
    l->checked++;
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
        if (ok && some && (must || rng_below(&l->rng, 3) > 0))
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

enum { LIVES = 3, STEPS = 26 };

/* The recorded spool is used as it should be: whatever breaks here breaks without any cut of power. */
static bool first_lives(struct life *l)
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
    return true;
}

/* ---- the life after a kill or a cut of power */

static bool next_life(struct life *l, const struct fates *before, bool was_cut)
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

/* ---- states */

/* What is done to the recording of one life: its first `n` changes, of the last one perhaps only `part_bytes`, then the end. */
struct stage {
    struct recording *rec;
    size_t n;
    uint64_t part_bytes; /* 0: the whole change */
    struct change part;
    bool is_cut; /* else killed: what was written stays, in the page cache */
    struct cut cut;
    uint64_t rng;
};

struct bench {
    struct kit kit;
    struct recording *recordings[RECORDINGS_MAX];
    unsigned n_recordings;
    struct stage stages[STAGES_MAX];
    unsigned n_stages;
    struct model *model;
    struct fates fates;
    char why[200];
    uint64_t seed, state; /* number of the first stage; later ones have the same */
    uint64_t want, tried, kills, cuts, later, checked;
    int64_t began_us, shown_us;
};

static uint64_t rng_for(const struct bench *b, unsigned what)
{
    uint64_t rng = b->seed;
    rng = rng_next(&rng) ^ b->state;
    rng = rng_next(&rng) ^ what;
    return rng_next(&rng);
}

static void stage_apply(struct bench *b, struct stage *st)
{
    uint64_t rng = st->rng;
    size_t n = st->part_bytes > 0 ? st->n - 1 : st->n;
    for (size_t i = 0; i < n; i++)
        model_apply(b->model, st->rec->changes[i]);
    if (st->part_bytes > 0) {
        st->part = *st->rec->changes[n];
        st->part.bytes = st->part_bytes;
        model_apply(b->model, &st->part);
    }
    if (st->is_cut)
        model_cut(b->model, &st->cut, &rng);
    fates_follow(&b->fates, st->rec, n);
}

static bool any_cut(const struct bench *b)
{
    bool cut = false;
    for (unsigned i = 0; i < b->n_stages; i++)
        cut |= b->stages[i].is_cut;
    return cut;
}

/* A spool lives on what the last stage left. *rec takes what it does. */
static bool stage_live(struct bench *b, struct recording *rec)
{
    struct fates fates = b->fates;
    struct life l = {.kit = &b->kit, .rec = rec, .fates = &fates, .rng = rng_for(b, 100 + b->n_stages)};
    bool ok = model_write(b->model, b->kit.dir) || broken(&l, "the state cannot be written below %s", b->kit.dir);
    recording_start(rec);
    ok = ok && next_life(&l, &b->fates, any_cut(b));
    if (b->kit.s)
        kit_close(&b->kit);
    recording_stop();
    kit_remove_tree(b->kit.spool_dir);
    b->checked += l.checked;
    memcpy(b->why, l.why, sizeof b->why);
    return ok;
}

/* ---- choosing */

static struct cut cut_any(uint64_t *rng)
{
    uint64_t extent = rng_below(rng, 8);
    return (struct cut){
        .order = rng_below(rng, 2) ? CUT_ORDERED : CUT_UNORDERED,
        .extent = extent == 0   ? CUT_NOTHING
                  : extent == 1 ? CUT_EVERYTHING
                                : CUT_SOME,
        .grain = rng_below(rng, 3) ? CUT_BLOCKS : CUT_SECTORS,
    };
}

/* Any change; rather often one at the start, or one upon which something was promised. */
static size_t n_any(const struct recording *rec, uint64_t *rng)
{
    uint64_t how = rng_below(rng, 100), n = rec->n_changes;
    if (how < 15)
        return (size_t)rng_below(rng, n < 8 ? n + 1 : n < 25 || rng_below(rng, 2) ? 8 : 25);
    for (unsigned i = 0; how < 45 && i < 20 && rec->events.n > 0; i++) {
        const struct event *e = recording_event(rec, (size_t)rng_below(rng, recording_n_events(rec)));
        if (e->kind == EVENT_ACKED || e->kind == EVENT_CLOSED)
            return e->at;
    }
    return (size_t)rng_below(rng, n + 1);
}

static void stage_choose(struct bench *b, struct recording *rec, unsigned kills_percent)
{
    uint64_t rng = rng_for(b, b->n_stages);
    struct stage *st = &b->stages[b->n_stages++];
    *st = (struct stage){.rec = rec, .n = n_any(rec, &rng), .is_cut = rng_below(&rng, 100) >= kills_percent, .cut = cut_any(&rng)};
    st->rng = rng;
}

static bool more_stages(const struct bench *b)
{
    uint64_t rng = rng_for(b, 200 + b->n_stages);
    assert(b->n_stages > 0);
    return b->n_stages < STAGES_MAX && (!b->stages[b->n_stages - 1].is_cut || rng_below(&rng, 3) == 0);
}

/* ---- one state after another */

static void progress(struct bench *b)
{
    int64_t now = clock_mono_us();
    if (now - b->shown_us < CLOCK_US_PER_S / 4 || now - b->began_us < 2 * CLOCK_US_PER_S || !isatty(STDERR_FILENO))
        return;
    double s = (double)(now - b->began_us) / CLOCK_US_PER_S, rate = (double)b->tried / s;
    (void)fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " states, %.0f/s, %.0f s left \033[K", b->tried, b->want, rate,
                  b->want > b->tried ? (double)(b->want - b->tried) / rate : 0);
    b->shown_us = now;
}

static bool failure_save(const struct bench *b, const char *path)
{
    FILE *f = fopen(path, "we");
    bool ok = f && fwrite(&b->seed, sizeof b->seed, 1, f) == 1 && fwrite(&b->state, sizeof b->state, 1, f) == 1 &&
              fwrite(&b->n_stages, sizeof b->n_stages, 1, f) == 1;
    for (unsigned i = 0; ok && i < b->n_stages; i++)
        ok = fwrite(&b->stages[i], sizeof b->stages[i], 1, f) == 1 && recording_save(f, b->stages[i].rec);
    return f && fclose(f) == 0 && ok;
}

static void failure_show(const struct bench *b)
{
    static const char *const extents[] = {"nothing", "some", "all"};
    char path[KIT_PATH_MAX];
    (void)fprintf(stderr, "\nseed %" PRIu64 ", state %" PRIu64 ": %s\n", b->seed, b->state, b->why);
    for (unsigned i = 0; i < b->n_stages; i++) {
        const struct stage *st = &b->stages[i];
        (void)fprintf(stderr, "life %u, %s after change %zu of %zu", i + 1, st->is_cut ? "power cut" : "killed", st->n, st->rec->n_changes);
        if (st->part_bytes > 0)
            (void)fprintf(stderr, ", of which %" PRIu64 " bytes", st->part_bytes);
        if (st->is_cut)
            (void)fprintf(stderr, ", %s of what was not synced is there, directories %s%s", extents[st->cut.extent],
                          st->cut.order == CUT_ORDERED ? "in order" : "in any order", st->cut.grain == CUT_SECTORS ? ", torn sectors" : "");
        (void)fputs(":\n", stderr);
        recording_print(stderr, st->rec, st->n, TAIL);
    }
    (void)snprintf(path, sizeof path, "%s/powercut-%" PRIu64 "-%" PRIu64, P_tmpdir, b->seed, b->state);
    if (failure_save(b, path))
        (void)fprintf(stderr, "again: POWERCUT_REPLAY=%s\n", path);
}

/* The first stage is chosen; later ones follow as chance will have it, up to `stages_max`. */
static void state_run(struct bench *b, unsigned stages_max)
{
    bool ok = true;
    struct recording *lives[STAGES_MAX] = {NULL};
    unsigned n_lives = 0;
    b->model = model_new();
    b->fates = (struct fates){.next = 0};
    for (bool more = true; more;) {
        struct recording *rec = lives[n_lives++] = recording_new();
        struct stage *st = &b->stages[b->n_stages - 1];
        stage_apply(b, st);
        ok = stage_live(b, rec);
        b->tried++;
        *(b->n_stages > 1 ? &b->later : st->is_cut ? &b->cuts : &b->kills) += 1;
        more = ok && b->n_stages < stages_max && more_stages(b);
        if (more)
            stage_choose(b, rec, 20);
    }
    progress(b);
    if (!ok)
        failure_show(b);
    model_free(b->model);
    for (unsigned i = 0; i < n_lives; i++)
        recording_free(lives[i]);
    if (!ok)
        fail_msg("seed %" PRIu64 ", state %" PRIu64 ": %s", b->seed, b->state, b->why);
}

/* S1 to S4, S6: a process may die between any two changes, and in the middle of a write. */
static void a_kill_after_each_change_loses_nothing_acknowledged(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < b->n_recordings; i++) {
        struct recording *rec = b->recordings[i];
        for (size_t n = 0; n <= rec->n_changes; n++) {
            const struct change *last = n > 0 ? rec->changes[n - 1] : NULL;
            if (last && change_is_lookup(last))
                continue;
            b->stages[0] = (struct stage){.rec = rec, .n = n};
            b->n_stages = 1;
            b->state++;
            state_run(b, 1);
            if (!last || last->effect != DISK_WROTE || last->bytes < 2)
                continue;
            uint64_t rng = rng_for(b, 0);
            b->stages[0] = (struct stage){.rec = rec, .n = n, .part_bytes = 1 + rng_below(&rng, last->bytes - 1)};
            b->n_stages = 1;
            b->state++;
            state_run(b, 1);
        }
    }
}

static void a_power_cut_anywhere_loses_nothing_acknowledged(void **state)
{
    struct bench *b = *state;
    while (b->tried < b->want) {
        b->state++;
        b->n_stages = 0;
        stage_choose(b, b->recordings[b->state % b->n_recordings], 25);
        state_run(b, STAGES_MAX);
    }
}

/* ---- set-up */

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t n;
    if (text && !str_to_u64(str_from(text), &n))
        fail_msg("%s is no number", name);
    return text ? n : otherwise;
}

static void record(struct bench *b)
{
    struct fates *fates = calloc(1, sizeof *fates);
    struct recording *rec = b->recordings[b->n_recordings] = recording_new();
    struct life l = {.kit = &b->kit, .rec = rec, .fates = fates, .rng = rng_for(b, 300 + b->n_recordings)};
    b->n_recordings++;
    recording_start(rec);
    bool ok = first_lives(&l);
    recording_stop();
    kit_remove_tree(b->kit.spool_dir);
    free(fates);
    if (!ok)
        fail_msg("seed %" PRIu64 ", recording %u: %s", b->seed, b->n_recordings, l.why);
}

static void bench_init(struct bench *b)
{
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0) /* thousands of directories: not worth a disk */
        (void)setenv("TMPDIR", "/dev/shm", 1);
    kit_init(&b->kit);
    b->kit.config.segment_bytes = SEGMENT_BYTES;
    b->began_us = b->shown_us = clock_mono_us();
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    b->seed = from_environment("POWERCUT_SEED", 1);
    b->want = from_environment("POWERCUT_STATES", STATES);
    bench_init(b);
    *state = b;
    do
        record(b);
    while (b->n_recordings < RECORDINGS_MAX && b->n_recordings < b->want / STATES_PER_RECORDING);
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    double s = (double)(clock_mono_us() - b->began_us) / CLOCK_US_PER_S;
    if (b->shown_us > b->began_us)
        (void)fputs("\r\033[K", stderr);
    print_message("# power cut%s: %" PRIu64 " states (%" PRIu64 " kills, %" PRIu64 " cuts, %" PRIu64 " later ones), %" PRIu64
                  " records checked, lost %d, seed %" PRIu64 ", %.1f s\n",
                  b->tried < b->want ? ", stopped early" : "", b->tried, b->kills, b->cuts, b->later, b->checked, b->why[0] != 0, b->seed,
                  s);
    for (unsigned i = 0; i < b->n_recordings; i++)
        recording_free(b->recordings[i]);
    kit_done(&b->kit);
    free(b);
    return 0;
}

/* ---- once more */

static bool failure_load(struct bench *b, const char *path)
{
    FILE *f = fopen(path, "re");
    bool ok = f && fread(&b->seed, sizeof b->seed, 1, f) == 1 && fread(&b->state, sizeof b->state, 1, f) == 1 &&
              fread(&b->n_stages, sizeof b->n_stages, 1, f) == 1 && b->n_stages <= STAGES_MAX;
    for (unsigned i = 0; ok && i < b->n_stages; i++) {
        ok = fread(&b->stages[i], sizeof b->stages[i], 1, f) == 1;
        b->stages[i].rec = b->recordings[b->n_recordings++] = ok ? recording_load(f) : NULL;
        ok = ok && b->stages[i].rec && b->stages[i].n <= b->stages[i].rec->n_changes;
    }
    if (f)
        (void)fclose(f); /* only read */
    return ok;
}

static int replay_setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    *state = b;
    bench_init(b);
    if (!failure_load(b, getenv("POWERCUT_REPLAY")))
        fail_msg("cannot read it");
    return 0;
}

static void the_state_once_more(void **state)
{
    struct bench *b = *state;
    struct recording *rec = recording_new();
    b->model = model_new();
    for (unsigned i = 0; i < b->n_stages; i++)
        stage_apply(b, &b->stages[i]);
    bool ok = stage_live(b, rec);
    b->tried++;
    recording_print(stderr, rec, rec->n_changes, rec->n_changes);
    model_free(b->model);
    recording_free(rec);
    if (!ok)
        fail_msg("%s", b->why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kill_after_each_change_loses_nothing_acknowledged),
        cmocka_unit_test(a_power_cut_anywhere_loses_nothing_acknowledged),
    };
    const struct CMUnitTest replay[] = {cmocka_unit_test(the_state_once_more)};
    if (getenv("POWERCUT_REPLAY"))
        return cmocka_run_group_tests_name("powercut", replay, replay_setup, teardown);
    return cmocka_run_group_tests_name("powercut", tests, setup, teardown);
}
