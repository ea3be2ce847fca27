/* powercut_blob.c: the blob store in simulated cuts of power (src/blob/store.c and walk.c: B1–B4).
 *
 * Contents from none to some blocks are put, again and again; now and then the disk fails. Time goes by: of what was put before some moment the
 * database knows, and the node says so; every other content it has no row for any more. Two processes sweep: the node's own, and that of a
 * node which puts nothing, and which may be the first to come back. Upon each state that a kill or a cut of power may leave of that (bench.c):
 *   a content whose putting returned 0 is there, whole, under its name, and not older than that putting, unless it was about to be swept since (B1, B2);
 *   what lies under a name is whole and was put, what is unfinished is no content, and nothing else is there (B2);
 *   no sweep is shown what was put since the moment up to which the database was told, whoever sweeps first (B3);
 *   what lies there is counted rightly, and the bound holds by that (B4);
 *   once the database was told of all, a sweep leaves what has a row, and nothing else. */
#include "bench.h"

#include <fts.h>

#include "blob_kit.h"
#include "calls.h"
#include "tree.h"

enum { CONTENTS = 16, CONTENT_MAX = 9000, MAX_BYTES = 8 * BLOB_BLOCK, LIVES = 3, STEPS = 16, TICKS = 256 };
#define TICK_US (2 * CLOCK_US_PER_HOUR)              /* more than what a horizon leaves for clocks that were set */
#define BEGIN_US (INT64_C(20000) * CLOCK_US_PER_DAY) /* of the first tick */

struct content {
    struct blob_name name;
    struct buf bytes;
};
struct shelf {
    bool begun;   /* somebody may have put it */
    bool must;    /* be there … */
    unsigned put; /* … and not be older than this tick */
};
struct book {
    struct shelf of[CONTENTS];
    unsigned now, told; /* ticks; of what was put before `told` the database knows */
};
struct blob_bench {
    struct bench bench;
    struct kit kit;
    struct kit reference; /* on a disk that never fails: for the names */
    char other[KIT_PATH_MAX];
    struct content contents[CONTENTS];
    struct book book;
};
struct life {
    struct blob_bench *blob;
    struct recording *rec;
    struct book before; /* at its beginning */
    uint64_t rng;
    unsigned tick;
    bool is_calm; /* nobody puts while it is swept */
};

static const struct id128 sweeper = {{8}}; /* the other node */

#define broken(l, ...) bench_broken(&(l)->blob->bench, __VA_ARGS__)

/* ---- what was promised */

static uint64_t seq_of(unsigned what, unsigned tick)
{
    return (uint64_t)what * TICKS + tick;
}

static int64_t time_of(unsigned tick)
{
    return BEGIN_US + tick * TICK_US;
}

/* It has a row, for ever. */
static bool is_named(unsigned what)
{
    return what % 2;
}

static void follow_event(struct book *b, const struct event *e, size_t n)
{
    unsigned tick = e->seq % TICKS;
    struct shelf *s = &b->of[e->seq / TICKS];
    b->now = tick > b->now ? tick : b->now;
    switch (e->kind) {
    case EVENT_BEGAN:
        s->begun = true;
        break;
    case EVENT_ACKED:
        s->must = true;
        s->put = tick;
        break;
    case EVENT_SEEN:
        b->told = tick;
        break;
    case EVENT_SETTLED: /* is about to be swept: what that changes on the disk comes later */
        s->must = s->must && e->at >= n;
        break;
    case EVENT_CLOSED:
    case EVENT_GONE:
        break;
    }
}

static void book_follow(struct book *b, const struct recording *rec, size_t n)
{
    for (size_t e = 0; e < recording_n_events(rec) && recording_event(rec, e)->at <= n; e++)
        follow_event(b, recording_event(rec, e), n);
}

static struct book book_now(const struct life *l)
{
    struct book now = l->before;
    book_follow(&now, l->rec, l->rec->n_changes);
    return now;
}

/* ---- what lies there */

static int content_find(const struct blob_bench *s, const struct blob_name *name)
{
    for (int i = 0; i < CONTENTS; i++)
        if (s->contents[i].name.project_id == name->project_id && memcmp(s->contents[i].name.sha256, name->sha256, BLOB_HASH) == 0)
            return i;
    return -1;
}

static bool is_unfinished(struct str name)
{
    return str_starts(name, STR(".")) && str_ends(name, STR(".new"));
}

/* A file of a shard. */
static bool check_file(const struct life *l, const struct book *now, const FTSENT *e, bool seen[CONTENTS])
{
    struct blob_bench *s = l->blob;
    struct blob_name name;
    struct str file = str_from(e->fts_name), shard = str_from(e->fts_parent->fts_name),
               project = str_from(e->fts_parent->fts_parent->fts_name);
    if (is_unfinished(file))
        return true;
    if (!str_hex_decode(file, name.sha256, BLOB_HASH) || !str_to_u64(project, &name.project_id) || !str_eq(shard, str_take(file, 2)))
        return broken(l, "what is %s?", e->fts_path);
    int i = content_find(s, &name);
    if (i < 0 || !now->of[i].begun)
        return broken(l, "%s was never put", e->fts_name);
    s->bench.checked++;
    seen[i] = true;
    if (!kit_holds(&s->kit, &name, buf_str(&s->contents[i].bytes)))
        return broken(l, "content %d is not whole", i);
    int64_t changed_us = (int64_t)e->fts_statp->st_mtim.tv_sec * CLOCK_US_PER_S + e->fts_statp->st_mtim.tv_nsec / 1000;
    return !now->of[i].must || changed_us >= time_of(now->of[i].put) ||
           broken(l, "content %d was put at tick %u, and is older", i, now->of[i].put);
}

static bool check(const struct life *l)
{
    struct book now = book_now(l);
    bool seen[CONTENTS] = {false}, ok = true;
    char *paths[] = {l->blob->kit.dir, NULL};
    FTS *t = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    assert(t);
    for (FTSENT *e; ok && (e = fts_read(t)) != NULL;) {
        bool is_hold = e->fts_level == 2 && strcmp(e->fts_parent->fts_name, "holds") == 0;
        if (e->fts_info == FTS_F && !is_hold)
            ok = e->fts_level == 3 ? check_file(l, &now, e, seen) : broken(l, "what is %s?", e->fts_path);
    }
    (void)fts_close(t);
    for (unsigned i = 0; ok && i < CONTENTS; i++)
        if (now.of[i].must && !seen[i])
            ok = broken(l, "content %u is lost", i);
    return ok;
}

/* As the bound counts; an empty file takes one, too. */
static uint64_t in_blocks(uint64_t bytes)
{
    return bytes ? (bytes + BLOB_BLOCK - 1) / BLOB_BLOCK * BLOB_BLOCK : BLOB_BLOCK;
}

/* Files of contents, or unfinished ones, and what they take. */
static size_t files(const struct life *l, bool unfinished, uint64_t *ret_bytes)
{
    size_t n = 0;
    char *paths[] = {l->blob->kit.dir, NULL};
    FTS *t = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    assert(t);
    *ret_bytes = 0;
    for (FTSENT *e; (e = fts_read(t)) != NULL;) {
        if (e->fts_info != FTS_F || e->fts_level != 3 || is_unfinished(str_from(e->fts_name)) != unfinished)
            continue;
        n++;
        *ret_bytes += in_blocks((uint64_t)e->fts_statp->st_size);
    }
    (void)fts_close(t);
    return n;
}

/* ---- what is done */

static void tick(struct life *l)
{
    l->tick++;
    assert(l->tick < TICKS);
    calls_set_time(time_of(l->tick));
}

static void life_begin(struct life *l)
{
    l->tick = l->before.now;
    calls_record(l->rec, l->blob->kit.root);
    tick(l);
}

static bool check_counted(struct life *l)
{
    struct kit *k = &l->blob->kit;
    struct blob_stats stats;
    uint64_t bytes;
    int r = blob_count(k->s);
    if (r < 0)
        return broken(l, "blob_count: %s", strerror(-r));
    blob_stats(k->s, &stats);
    (void)files(l, false, &bytes);
    return (stats.counted && stats.bytes == bytes) || broken(l, "%" PRIu64 " bytes are counted, there are %" PRIu64, stats.bytes, bytes);
}

/* Counting takes a walk through all shards, as a sweep does: in some lives. */
static bool life_open(struct life *l)
{
    struct kit *k = &l->blob->kit;
    k->config.oldest_us = time_of(book_now(l).told);
    kit_reopen(k);
    return rng_below(&l->rng, 3) || check_counted(l);
}

static void life_close(struct life *l)
{
    blob_close(TAKE_PTR(l->blob->kit.s));
}

/* 1: it is promised; 0: it was refused or failed; < 0: broken. */
static int put(struct life *l, unsigned what)
{
    struct blob_bench *s = l->blob;
    const struct content *c = &s->contents[what];
    struct blob_name name;
    struct blob_stats before;
    blob_stats(s->kit.s, &before);
    recording_note(l->rec, EVENT_BEGAN, seq_of(what, l->tick), c->bytes.n);
    int r = blob_put(s->kit.s, c->name.project_id, buf_str(&c->bytes), &name);
    bool is_over = before.bytes + in_blocks(c->bytes.n) > MAX_BYTES;
    if ((r == -ERR_BLOB_QUOTA) != is_over)
        return broken(l, "the bound does not hold: %d with %" PRIu64 " bytes", r, before.bytes) - 1;
    if (r < 0)
        return 0;
    recording_note(l->rec, EVENT_ACKED, seq_of(what, l->tick), c->bytes.n);
    return content_find(s, &name) == (int)what ? 1 : broken(l, "content %u has another name", what) - 1;
}

static bool put_in_vain(struct life *l, unsigned what)
{
    static const char *const points[] = {"blob.mkdir", "blob.open", "blob.write", "blob.sync", "blob.rename", "blob.dirsync", "blob.touch"};
    fault_arm(points[rng_below(&l->rng, ARRAY_LEN(points))], FAULT_ERROR, 1 + (unsigned)rng_below(&l->rng, 3), ENOSPC);
    int r = put(l, what);
    fault_disarm();
    return r >= 0;
}

static bool put_in_pieces(struct life *l, unsigned what)
{
    fault_arm("blob.write", FAULT_SHORT_WRITE, 1, 0);
    int r = put(l, what);
    fault_disarm();
    return r >= 0;
}

/* The disk is well, so only the bound may refuse it. */
static bool put_well(struct life *l, unsigned what)
{
    struct blob_stats before;
    blob_stats(l->blob->kit.s, &before);
    int r = put(l, what);
    return r > 0 || (r == 0 && (before.bytes + in_blocks(l->blob->contents[what].bytes.n) > MAX_BYTES ||
                                broken(l, "content %u could not be put", what)));
}

/* One of those that are there; if there are none, any. */
static unsigned some(struct life *l)
{
    struct book now = book_now(l);
    unsigned any = (unsigned)rng_below(&l->rng, CONTENTS);
    for (unsigned i = 0; i < CONTENTS; i++)
        if (now.of[(any + i) % CONTENTS].must)
            return (any + i) % CONTENTS;
    return any;
}

/* The database knows more, and the node says so. */
static bool tell(struct life *l, unsigned told)
{
    struct blob_bench *s = l->blob;
    struct book now = book_now(l);
    told = told > now.told ? told : now.told;
    recording_note(l->rec, EVENT_SEEN, seq_of(0, told), 0);
    int r = blob_hold(s->kit.s, &s->kit.config.node, time_of(told));
    return r == 0 || broken(l, "blob_hold: %s", strerror(-r));
}

/* The spool has lost its cursor: some of what the database was told comes again. What is swept before the node has said so is not promised. */
static bool tell_again(struct life *l)
{
    struct blob_bench *s = l->blob;
    unsigned told = book_now(l).told, back = 1 + (unsigned)rng_below(&l->rng, 4);
    told = told > back ? told - back : 0;
    int r = blob_hold(s->kit.s, &s->kit.config.node, time_of(told));
    recording_note(l->rec, EVENT_SEEN, seq_of(0, told), 0);
    return r == 0 || broken(l, "blob_hold: %s", strerror(-r));
}

/* As src/digest/sweep.c does it, with what the database would answer. */
static bool sweep_part(struct life *l, struct blob_store *store, int64_t before_us, const struct blob_found *found, size_t n)
{
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        struct book now = book_now(l);
        int what = content_find(l->blob, &found[i].name);
        if (what < 0)
            return broken(l, "a walk finds what was never put");
        if (now.of[what].must && now.of[what].put >= now.told)
            return broken(l, "content %d, put at tick %u, would be swept, though the database was told up to %u only", what,
                          now.of[what].put, now.told);
        if (is_named((unsigned)what))
            continue;
        bool again = !l->is_calm && l->blob->kit.s && rng_below(&l->rng, 6) == 0 &&
                     put(l, (unsigned)what) == 1; /* between the walk and the removal */
        if (!again)
            recording_note(l->rec, EVENT_SETTLED, seq_of((unsigned)what, now.now), 0);
        int r = blob_remove(store, &found[i], before_us);
        ok = r == !again || broken(l, "content %d is removed, %s again: %d", what, again ? "though it was put" : "not put", r);
    }
    return ok;
}

static bool sweep(struct life *l, struct blob_store *store, const struct id128 *node, unsigned told)
{
    struct blob_walk *w = NULL;
    const struct blob_found *found;
    int64_t before_us;
    size_t n;
    bool ok = true;
    int r = blob_hold(store, node, time_of(told));
    if (r == 0)
        r = blob_horizon(store, &before_us);
    if (r == 0)
        r = blob_walk_open(store, &w);
    while (r >= 0 && ok && (r = blob_walk_next(w, before_us, &found, &n)) == 1)
        ok = sweep_part(l, store, before_us, found, n);
    blob_walk_close(w);
    return ok && (r >= 0 || broken(l, "a sweep fails: %s", strerror(-r)));
}

static bool sweep_here(struct life *l)
{
    struct kit *k = &l->blob->kit;
    return sweep(l, k->s, &k->config.node, book_now(l).told);
}

/* By a process of the other node, which has nothing to tell the database. */
static bool sweep_there(struct life *l)
{
    struct blob_config config = l->blob->kit.config;
    struct blob_store *store = NULL;
    config.node = sweeper;
    if (blob_open(&config, &store) < 0)
        return broken(l, "out of memory");
    bool ok = sweep(l, store, &sweeper, l->tick);
    blob_close(store);
    return ok;
}

/* All that was put is told, and what has no row goes. */
static bool sweep_all(struct life *l)
{
    uint64_t bytes;
    tick(l);
    l->is_calm = true;
    if (!tell(l, l->tick) || !sweep_there(l) || !check(l))
        return false;
    if (files(l, true, &bytes) > 0)
        return broken(l, "unfinished files are left");
    struct book now = book_now(l);
    size_t n = files(l, false, &bytes), at_most = 0;
    for (unsigned i = 0; i < CONTENTS; i++)
        at_most += is_named(i) && now.of[i].begun;
    return n <= at_most || broken(l, "%zu files are left of %zu contents with a row", n, at_most);
}

static bool step(struct life *l)
{
    unsigned any = (unsigned)rng_below(&l->rng, CONTENTS);
    tick(l);
    switch (rng_below(&l->rng, 13)) {
    case 0:
        return put_in_vain(l, any);
    case 1:
        return put_in_vain(l, some(l));
    case 2:
        return put_in_pieces(l, any);
    case 3:
    case 4:
        return put_well(l, some(l));
    case 5:
    case 6:
        return tell(l, l->tick - (unsigned)rng_below(&l->rng, 3));
    case 7:
        return sweep_here(l);
    case 8:
        return sweep_there(l);
    case 9:
        return tell_again(l);
    default:
        return put_well(l, any);
    }
}

/* ---- as the bench sees it */

/* What was recorded makes the same directory again: no change is missing. */
static bool is_complete(const struct blob_bench *s, const struct recording *rec)
{
    struct model *m = model_new();
    for (size_t i = 0; i < rec->n_changes; i++)
        model_apply(m, rec->changes[i]);
    bool same = model_write(m, s->other) && tree_equal(s->kit.root, s->other, TREE_TIMES);
    model_free(m);
    tree_clear(s->other);
    return same;
}

static bool first_lives(struct bench *b, struct recording *rec, uint64_t rng)
{
    struct blob_bench *s = container_of(b, struct blob_bench, bench);
    struct life l = {.blob = s, .rec = rec, .rng = rng};
    bool ok = true;
    life_begin(&l);
    for (int i = 0; ok && i < LIVES; i++) {
        ok = life_open(&l);
        for (int j = 0; ok && j < STEPS; j++)
            ok = step(&l) && check(&l);
        life_close(&l);
    }
    ok = ok && life_open(&l) && sweep_all(&l);
    life_close(&l);
    calls_stop();
    ok = ok && (is_complete(s, rec) || bench_broken(b, "a change was not recorded"));
    tree_clear(s->kit.root);
    return ok;
}

static void forget(struct bench *b)
{
    container_of(b, struct blob_bench, bench)->book = (struct book){.now = 0};
}

static void follow(struct bench *b, const struct stage *st, size_t n)
{
    book_follow(&container_of(b, struct blob_bench, bench)->book, st->rec, n);
}

static bool live_on(struct life *l)
{
    if (rng_below(&l->rng, 2) && !sweep_there(l))
        return false;
    if (!life_open(l) || !check(l) || (rng_below(&l->rng, 2) && !tell_again(l)))
        return false;
    for (int i = 0; i < 2; i++) {
        tick(l);
        if (!put_well(l, (unsigned)rng_below(&l->rng, CONTENTS)) || !put_well(l, some(l)))
            return false;
    }
    tick(l);
    if (!tell(l, l->tick - (unsigned)rng_below(&l->rng, 3)) || !check(l))
        return false;
    if (rng_below(&l->rng, 2))
        return sweep_here(l) && check(l);
    life_close(l);
    return life_open(l) && sweep_all(l);
}

static bool next_life(struct bench *b, const struct model *m, struct recording *rec, uint64_t rng, UNUSED bool was_cut)
{
    struct blob_bench *s = container_of(b, struct blob_bench, bench);
    struct life l = {.blob = s, .rec = rec, .before = s->book, .rng = rng};
    bool ok = model_write(m, s->kit.root) || bench_broken(b, "the state cannot be written below %s", s->kit.root);
    life_begin(&l);
    ok = ok && live_on(&l);
    life_close(&l);
    calls_stop();
    tree_clear(s->kit.root);
    return ok;
}

static const struct subject blob = {.name = "blob", .first_lives = first_lives, .forget = forget, .follow = follow, .next_life = next_life};

/* Of two projects, the second with two of them; one is empty, some end about where a block does. */
static void contents_make(struct blob_bench *s)
{
    for (unsigned i = 0; i < CONTENTS; i++) {
        struct content *c = &s->contents[i];
        uint64_t rng = i, how = rng_below(&rng, 3);
        size_t n = how == 0 ? rng_below(&rng, 60) : how == 1 ? 4060 + rng_below(&rng, 80) : rng_below(&rng, CONTENT_MAX);
        buf_printf(&c->bytes, "%s%u", i ? "content " : "", i);
        while (c->bytes.n < n) {
            uint64_t more = rng_next(&rng);
            buf_append(&c->bytes, &more, sizeof more);
        }
        c->bytes.n = i ? c->bytes.n : 0;
        assert_int_equal(blob_put(s->reference.s, PROJECT + (i >= CONTENTS - 2), buf_str(&c->bytes), &c->name), 0);
    }
}

static int setup(void **state)
{
    struct blob_bench *s = calloc(1, sizeof *s);
    *state = &s->bench;
    bench_use_memory();
    kit_init(&s->reference);
    kit_init(&s->kit);
    blob_close(TAKE_PTR(s->kit.s));
    s->kit.config.max_bytes = MAX_BYTES;
    contents_make(s);
    assert_true(snprintf(s->other, sizeof s->other, "%.200s/other", s->reference.root) < (int)sizeof s->other);
    assert_int_equal(mkdir(s->other, 0700), 0);
    bench_init(&s->bench, &blob);
    return 0;
}

static int teardown(void **state)
{
    struct blob_bench *s = container_of((struct bench *)*state, struct blob_bench, bench);
    bench_done(&s->bench);
    kit_done(&s->kit);
    kit_done(&s->reference);
    for (size_t i = 0; i < CONTENTS; i++)
        buf_done(&s->contents[i].bytes);
    free(s);
    return 0;
}

int main(void)
{
    return bench_run("powercut_blob", setup, teardown);
}
