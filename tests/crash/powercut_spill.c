/* powercut_spill.c: spilled dead letters in simulated cuts of power (src/digest/spill.c).
 *
 * Letters from a few bytes to several blocks become files: new ones, some again with another payload, some taken back, some deleted by a
 * command, some because they are stored, the oldest removed by the bound; now and then the disk fails. Upon each state that a kill or a cut of power may leave of that
 * (bench.c):
 *   a letter whose writing returned 0 is there, head and payload, unless it was about to be taken away since;
 *   what is listed is whole, was written, and is not older than what replaced it for sure;
 *   what was taken away stays away after a kill, and after a cut of power if a later letter was written or it was stored;
 *   the directory opens, is measured rightly, has nothing else in it, and takes new letters within its bound. */
#include "spill_kit.h"

#include <dirent.h>

#include "calls.h"
#include "promises.h"
#include "tree.h"

enum { MAX_BYTES = 40000, LIVES = 3, STEPS = 18, PAYLOAD_MAX = 12288 };

struct spill_bench {
    struct bench bench;
    struct kit kit;       /* s: NULL while nobody lives */
    struct kit reference; /* on a disk that never fails: for the heads */
    char other[KIT_PATH_MAX];
    struct promises promises;
    struct buf heads[PROMISES_MAX]; /* by number; empty: not asked for yet */
    struct buf read, wanted;        /* of the letter that is looked at */
};
struct life {
    struct spill_bench *spill;
    struct recording *rec;
    struct promises before; /* at its beginning */
    uint64_t rng;
    unsigned failed; /* the number whose writing failed last; 0: none */
};

#define broken(l, ...) bench_broken(&(l)->spill->bench, __VA_ARGS__)

static struct promises promises_now(const struct life *l)
{
    struct promises now = l->before;
    promises_follow(&now, l->rec, l->rec->n_changes);
    return now;
}

/* ---- what is written */

/* Often so that the file ends about where a block does; each version of a letter has another. */
static void payload_of(unsigned number, unsigned version, struct buf *out)
{
    uint64_t rng = promise_seq(number, version);
    size_t how = rng_below(&rng, 4), n = how == 0   ? rng_below(&rng, 60)
                                         : how == 1 ? 3300 + rng_below(&rng, 200)
                                                    : rng_below(&rng, PAYLOAD_MAX);
    buf_printf(out, "{\"letter\":%u,\n\"version\":%u,\"blob\":\"", number, version);
    for (size_t i = 0; i < n; i += sizeof(uint64_t)) {
        uint64_t letters = (rng_next(&rng) & UINT64_C(0x0f0f0f0f0f0f0f0f)) + UINT64_C(0x6161616161616161); /* a to p */
        buf_append(out, &letters, sizeof letters);
    }
    buf_append_str(out, STR("\"}"));
}

/* A head says nothing of the payload, so it is that of every version. */
static struct str head_of(struct spill_bench *s, unsigned number)
{
    struct buf *head = &s->heads[number];
    struct spill_name name = {number, kit_id(number, 0x10)};
    struct str line;
    if (head->n > 0)
        return buf_str(head);
    assert_int_equal(kit_write_payload(&s->reference, number, STR("{}")), 0);
    assert_int_equal(spill_read_head(s->reference.dir, &name, head, &line), 0);
    head->n = line.n;
    return buf_str(head);
}

/* ---- what lies there */

struct listing {
    struct spill_name *names;
    size_t n;
};

static void listing_done(struct listing *ls)
{
    free(ls->names);
}

static bool list(const struct life *l, struct listing *ret)
{
    int r = spill_list(l->spill->kit.dir, &ret->names, &ret->n);
    return r == 0 || broken(l, "spill_list: %s", strerror(-r));
}

static bool is_listed(const struct listing *ls, unsigned number)
{
    for (size_t i = 0; i < ls->n; i++)
        if (ls->names[i].number == (int64_t)number)
            return true;
    return false;
}

static bool is_version(struct spill_bench *s, unsigned number, unsigned version, struct str payload)
{
    buf_clear(&s->wanted);
    payload_of(number, version, &s->wanted);
    return str_eq(payload, buf_str(&s->wanted));
}

static bool check_letter(const struct life *l, const struct promises *now, const struct spill_name *name)
{
    struct spill_bench *s = l->spill;
    struct str head, payload;
    struct id128 record = kit_id(name->number, 0x10);
    unsigned number = name->number < PROMISES_MAX ? (unsigned)name->number : 0;
    if (number == 0 || !id_eq(&name->record, &record))
        return broken(l, "letter %" PRId64 " was never written", name->number);
    s->bench.checked++;
    int r = spill_read_head(s->kit.dir, name, &s->read, &head);
    if (r < 0 || !str_eq(head, head_of(s, number)))
        return broken(l, "letter %u has not the head that was written: %s", number, strerror(-r));
    r = spill_read_payload(s->kit.dir, name, &s->read, &payload);
    for (unsigned v = now->of[number].versions; r == 0 && v-- > 0;)
        if (is_version(s, number, v, payload))
            return promise_permits(&now->of[number], v) ||
                   broken(l, "letter %u is there in version %u, replaced or taken away since", number, v);
    return broken(l, "letter %u has not the payload that was written: %s", number, strerror(-r));
}

/* Anybody may look, before a server has opened the directory. */
static bool check(const struct life *l)
{
    struct promises now = promises_now(l);
    struct listing ls = {0};
    bool ok = list(l, &ls);
    for (size_t i = 0; ok && i < ls.n; i++)
        ok = check_letter(l, &now, &ls.names[i]);
    for (unsigned i = 0; ok && i < now.next; i++)
        if (now.of[i].must && !is_listed(&ls, i))
            ok = broken(l, "letter %u is lost", i);
    listing_done(&ls);
    return ok;
}

static bool check_measured(const struct life *l)
{
    const struct kit *k = &l->spill->kit;
    struct spill_stats is = {0}, told = kit_stats(k);
    struct listing ls = {0};
    size_t n = 0;
    DIR *d = opendir(k->dir);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        n++;
        is.bytes += fstatat(dirfd(d), e->d_name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
    }
    if (d)
        (void)closedir(d);
    bool ok = list(l, &ls);
    if (ok && ls.n != n)
        ok = broken(l, "%zu files, of which %zu letters", n, ls.n);
    if (ok && (told.files != n || told.bytes != is.bytes))
        ok =
            broken(l, "%" PRIu64 " files of %" PRIu64 " bytes are counted, there are %zu of %" PRIu64, told.files, told.bytes, n, is.bytes);
    listing_done(&ls);
    return ok;
}

/* ---- what is done */

static bool life_open(struct life *l)
{
    struct kit *k = &l->spill->kit;
    struct spill_config config = {.dir = k->dir, .max_bytes = MAX_BYTES};
    int r = spill_open(&config, &k->s);
    if (r < 0) {
        k->s = NULL;
        return broken(l, "spill_open: %s", strerror(-r));
    }
    return check_measured(l);
}

static void life_close(struct life *l)
{
    spill_close(l->spill->kit.s);
    l->spill->kit.s = NULL;
}

/* The bound took those that are gone: the oldest, but for the one that was just `written`. Their going began with change `at`, or after it. */
static bool note_removed(struct life *l, const struct listing *before, const struct listing *after, unsigned written, uint64_t at)
{
    bool older_is_there = false;
    for (size_t i = 0; i < before->n; i++) {
        unsigned number = (unsigned)before->names[i].number;
        if (is_listed(after, number)) {
            older_is_there |= number != written;
            continue;
        }
        if (older_is_there)
            return broken(l, "letter %u was removed, an older one was not", number);
        recording_note_at(l->rec, at, EVENT_SETTLED, promise_seq(number, 0));
    }
    return true;
}

static void note_gone(struct life *l, const struct listing *before, const struct listing *after)
{
    for (size_t i = 0; i < before->n; i++)
        if (!is_listed(after, (unsigned)before->names[i].number))
            recording_note(l->rec, EVENT_GONE, promise_seq((unsigned)before->names[i].number, 0), 0);
}

/* 1: written, 0: the disk failed, as a fault point had it; < 0: broken. */
static int write_letter(struct life *l, unsigned number)
{
    struct promises now = promises_now(l);
    unsigned version = now.of[number].versions;
    uint64_t at = l->rec->n_changes;
    struct listing before = {0}, after = {0};
    AUTO_BUF struct buf payload = {0};
    assert(number < PROMISES_MAX && version < VERSIONS_MAX);
    payload_of(number, version, &payload);
    bool ok = list(l, &before);
    int r = kit_write_payload(&l->spill->kit, number, buf_str(&payload));
    ok = ok && list(l, &after) && note_removed(l, &before, &after, number, at);
    recording_note_at(l->rec, at, EVENT_BEGAN, promise_seq(number, version));
    note_gone(l, &before, &after);
    recording_note(l->rec, r == 0 ? EVENT_ACKED : EVENT_GONE, promise_seq(number, version), payload.n);
    listing_done(&before);
    listing_done(&after);
    if (ok && kit_stats(&l->spill->kit).bytes > MAX_BYTES)
        ok = broken(l, "the bound does not hold");
    return !ok ? -1 : r == 0;
}

static bool write_well(struct life *l, unsigned number)
{
    int r = write_letter(l, number);
    return r > 0 || (r == 0 && broken(l, "letter %u could not be written", number));
}

/* Its row stays, and its turn may come again. */
static bool write_in_vain(struct life *l, unsigned number)
{
    static const char *const points[] = {"digest.spill.open", "digest.spill.write", "digest.spill.sync", "digest.spill.rename"};
    fault_arm(points[rng_below(&l->rng, ARRAY_LEN(points))], FAULT_ERROR, 1 + (unsigned)rng_below(&l->rng, 2), ENOSPC);
    int r = write_letter(l, number);
    fault_disarm();
    l->failed = r == 0 ? number : 0;
    return r >= 0;
}

static bool write_in_pieces(struct life *l, unsigned number)
{
    fault_arm("digest.spill.write", FAULT_SHORT_WRITE, 1, 0);
    bool ok = write_well(l, number);
    fault_disarm();
    return ok;
}

/* One of those that are there; 0: none is. */
static unsigned any_letter(struct life *l)
{
    struct promises now = promises_now(l);
    unsigned numbers[PROMISES_MAX], n = 0;
    for (unsigned i = 1; i < now.next; i++)
        if (now.of[i].must)
            numbers[n++] = i;
    return n ? numbers[rng_below(&l->rng, n)] : 0;
}

/* The directory was synced: for promises, as if one of the letters that are there had been written just now. */
static void note_synced(struct life *l)
{
    unsigned some = any_letter(l);
    if (some)
        recording_note(l->rec, EVENT_ACKED, promise_seq(some, promises_now(l).of[some].versions - 1), 0);
}

enum taker { BY_SERVER, BY_COMMAND, AS_STORED };

static bool take_away(struct life *l, unsigned number, enum taker taker)
{
    struct spill_name name = {number, kit_id(number, 0x10)};
    int r = 0;
    recording_note(l->rec, EVENT_SETTLED, promise_seq(number, 0), 0);
    if (taker == BY_SERVER)
        spill_take_back(l->spill->kit.s, number, &name.record);
    else if (taker == AS_STORED)
        r = spill_clean(l->spill->kit.s, &name.record, 1);
    else
        r = spill_delete(l->spill->kit.dir, &name);
    recording_note(l->rec, EVENT_GONE, promise_seq(number, 0), 0);
    if (r == 0 && taker == AS_STORED)
        note_synced(l);
    spill_refresh(l->spill->kit.s);
    return r == 0 || broken(l, "letter %u cannot be taken away: %s", number, strerror(-r));
}

static unsigned new_letter(const struct life *l)
{
    unsigned next = promises_now(l).next;
    return next > 0 ? next : 1;
}

static bool step(struct life *l)
{
    unsigned some = any_letter(l);
    switch (rng_below(&l->rng, 10)) {
    case 0:
        return write_in_vain(l, new_letter(l));
    case 1:
        return write_in_pieces(l, new_letter(l));
    case 2:
        return write_well(l, l->failed ? l->failed : new_letter(l));
    case 3:
    case 4:
        return write_well(l, some ? some : new_letter(l));
    case 5:
        return some == 0 || take_away(l, some, BY_SERVER);
    case 6:
        return some == 0 || take_away(l, some, BY_COMMAND);
    case 7:
        return some == 0 || take_away(l, some, AS_STORED);
    default:
        return write_well(l, new_letter(l));
    }
}

/* ---- as the bench sees it */

/* What was recorded makes the same directory again: no change is missing. */
static bool is_complete(const struct spill_bench *s, const struct recording *rec)
{
    struct model *m = model_new();
    for (size_t i = 0; i < rec->n_changes; i++)
        model_apply(m, rec->changes[i]);
    bool same = model_write(m, s->other) && tree_equal(s->kit.root, s->other, TREE_BYTES);
    model_free(m);
    tree_clear(s->other);
    return same;
}

static bool first_lives(struct bench *b, struct recording *rec, uint64_t rng)
{
    struct spill_bench *s = container_of(b, struct spill_bench, bench);
    struct life l = {.spill = s, .rec = rec, .rng = rng};
    bool ok = true;
    calls_record(rec, s->kit.root);
    for (int i = 0; ok && i < LIVES; i++) {
        ok = life_open(&l);
        for (int j = 0; ok && j < STEPS; j++)
            ok = step(&l) && check_measured(&l);
        ok = ok && check(&l) && check_measured(&l);
        life_close(&l);
    }
    calls_stop();
    ok = ok && (is_complete(s, rec) || bench_broken(b, "a change was not recorded"));
    tree_clear(s->kit.root);
    return ok;
}

static void forget(struct bench *b)
{
    container_of(b, struct spill_bench, bench)->promises = (struct promises){.next = 0};
}

static void follow(struct bench *b, const struct stage *st, size_t n)
{
    struct spill_bench *s = container_of(b, struct spill_bench, bench);
    promises_follow(&s->promises, st->rec, n);
    promises_end(&s->promises, st->is_cut);
}

static bool live_on(struct life *l)
{
    if (!check(l) || !life_open(l) || !check(l))
        return false;
    unsigned again = any_letter(l);
    if (!write_well(l, new_letter(l)) || (again && !write_well(l, again)))
        return false;
    unsigned back = any_letter(l);
    if ((back && !take_away(l, back, BY_SERVER)) || !write_well(l, new_letter(l)) || !check(l) || !check_measured(l))
        return false;
    life_close(l);
    return life_open(l) && check(l);
}

static bool next_life(struct bench *b, const struct model *m, struct recording *rec, uint64_t rng, UNUSED bool was_cut)
{
    struct spill_bench *s = container_of(b, struct spill_bench, bench);
    struct life l = {.spill = s, .rec = rec, .before = s->promises, .rng = rng};
    bool ok = model_write(m, s->kit.root) || bench_broken(b, "the state cannot be written below %s", s->kit.root);
    calls_record(rec, s->kit.root);
    ok = ok && live_on(&l);
    life_close(&l);
    calls_stop();
    tree_clear(s->kit.root);
    return ok;
}

static const struct subject spill = {
    .name = "spill", .first_lives = first_lives, .forget = forget, .follow = follow, .next_life = next_life};

static int setup(void **state)
{
    struct spill_bench *s = calloc(1, sizeof *s);
    *state = &s->bench;
    bench_use_memory();
    kit_init(&s->reference, UINT64_C(1) << 30);
    kit_init(&s->kit, MAX_BYTES);
    spill_close(TAKE_PTR(s->kit.s));
    assert_true(snprintf(s->other, sizeof s->other, "%.200s/other", s->reference.root) < (int)sizeof s->other);
    assert_int_equal(mkdir(s->other, 0700), 0);
    bench_init(&s->bench, &spill);
    return 0;
}

static int teardown(void **state)
{
    struct spill_bench *s = container_of((struct bench *)*state, struct spill_bench, bench);
    bench_done(&s->bench);
    tree_clear(s->kit.root);
    (void)rmdir(s->other);
    kit_done(&s->kit);
    kit_done(&s->reference);
    for (size_t i = 0; i < ARRAY_LEN(s->heads); i++)
        buf_done(&s->heads[i]);
    buf_done(&s->read);
    buf_done(&s->wanted);
    free(s);
    return 0;
}

int main(void)
{
    return bench_run("powercut_spill", setup, teardown);
}
