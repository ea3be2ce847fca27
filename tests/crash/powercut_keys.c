/* powercut_keys.c: the key cache's copy in simulated cuts of power (src/auth/key_copy.h).
 *
 * Copies of different sizes follow each other. Upon each state that a kill or a cut of power may leave of that (bench.c), the copy that is
 * read must be the last whose writing returned, or one whose writing had begun, with every entry; never a damaged one, never none once one
 * was promised. Then others are written, with what was left over in the way. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "key_copy.h"
#include "promises.h"
#include "tree.h"

enum { COPIES = 14, ENTRIES_MAX = 420, PATH_BYTES = 256, COPY = 0 }; /* COPY: the only file that is promised */

struct keys_bench {
    struct bench bench;
    char dir[PATH_BYTES], file[PATH_BYTES], other[PATH_BYTES];
    struct promises promises;
};
struct life {
    struct keys_bench *keys;
    struct recording *rec;
    struct promises before; /* at its beginning */
};

static struct promise promise_now(const struct life *l)
{
    struct promises now = l->before;
    promises_follow(&now, l->rec, l->rec->n_changes);
    return now.of[COPY];
}

/* The entries of a version: from none to five blocks of 4 KiB. */
static size_t entries_of(unsigned version, struct key_entry ret[ENTRIES_MAX])
{
    uint64_t rng = version;
    size_t n = rng_next(&rng) % 4 == 0 ? rng_below(&rng, 4) : rng_below(&rng, ENTRIES_MAX);
    for (size_t i = 0; i < n; i++) {
        ret[i] =
            (struct key_entry){.info = {.project_id = rng_next(&rng), .key_id = (int64_t)rng_next(&rng), .active = rng_below(&rng, 2)}};
        uint64_t halves[2] = {rng_next(&rng), rng_next(&rng)};
        memcpy(&ret[i].key, halves, sizeof halves);
    }
    return n;
}

static bool is_version(unsigned version, const struct key_entry *entries, size_t n)
{
    struct key_entry wanted[ENTRIES_MAX];
    if (entries_of(version, wanted) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!id_eq(&entries[i].key, &wanted[i].key) || entries[i].info.project_id != wanted[i].info.project_id ||
            entries[i].info.key_id != wanted[i].info.key_id || entries[i].info.active != wanted[i].info.active)
            return false;
    return true;
}

static bool check(const struct life *l)
{
    struct bench *b = &l->keys->bench;
    struct promise p = promise_now(l);
    AUTO_FREE struct key_entry *entries = NULL;
    int64_t n = key_copy_read(l->keys->file, &entries);
    b->checked++;
    if (n == -ENOENT)
        return !p.must || bench_broken(b, "the copy is lost");
    if (n < 0)
        return bench_broken(b, "the copy cannot be read: %s", strerror((int)-n));
    for (unsigned v = 0; v < p.versions; v++)
        if (promise_permits(&p, v) && is_version(v, entries, (size_t)n))
            return true;
    return bench_broken(b, "a copy of %" PRId64 " entries was not written, or replaced by another", n);
}

static bool write_next(struct life *l)
{
    struct key_entry entries[ENTRIES_MAX];
    unsigned version = promise_now(l).versions;
    assert(version < VERSIONS_MAX);
    size_t n = entries_of(version, entries);
    recording_note(l->rec, EVENT_BEGAN, promise_seq(COPY, version), n);
    int r = key_copy_write(l->keys->file, entries, n);
    if (r < 0)
        return bench_broken(&l->keys->bench, "key_copy_write: %s", strerror(-r));
    recording_note(l->rec, EVENT_ACKED, promise_seq(COPY, version), 0);
    return true;
}

/* What was recorded makes the same directory again: no change is missing. */
static bool is_complete(const struct keys_bench *k, const struct recording *rec)
{
    struct model *m = model_new();
    for (size_t i = 0; i < rec->n_changes; i++)
        model_apply(m, rec->changes[i]);
    bool same = model_write(m, k->other) && tree_equal(k->dir, k->other, TREE_BYTES);
    model_free(m);
    tree_clear(k->other);
    return same;
}

static bool first_lives(struct bench *b, struct recording *rec, UNUSED uint64_t rng)
{
    struct keys_bench *k = container_of(b, struct keys_bench, bench);
    struct life l = {.keys = k, .rec = rec};
    bool ok = true;
    calls_record(rec, k->dir);
    for (int i = 0; ok && i < COPIES; i++)
        ok = check(&l) && write_next(&l);
    calls_stop();
    ok = ok && check(&l) && (is_complete(k, rec) || bench_broken(b, "a change was not recorded"));
    tree_clear(k->dir);
    return ok;
}

static void forget(struct bench *b)
{
    container_of(b, struct keys_bench, bench)->promises = (struct promises){.next = 0};
}

static void follow(struct bench *b, const struct stage *st, size_t n)
{
    struct keys_bench *k = container_of(b, struct keys_bench, bench);
    promises_follow(&k->promises, st->rec, n);
    promises_end(&k->promises, st->is_cut);
}

static bool next_life(struct bench *b, const struct model *m, struct recording *rec, UNUSED uint64_t rng, UNUSED bool was_cut)
{
    struct keys_bench *k = container_of(b, struct keys_bench, bench);
    struct life l = {.keys = k, .rec = rec, .before = k->promises};
    bool ok = model_write(m, k->dir) || bench_broken(b, "the state cannot be written below %s", k->dir);
    calls_record(rec, k->dir);
    ok = ok && check(&l);
    for (int i = 0; ok && i < 2; i++)
        ok = write_next(&l) && check(&l);
    calls_stop();
    tree_clear(k->dir);
    return ok;
}

static const struct subject keys = {.name = "keys", .first_lives = first_lives, .forget = forget, .follow = follow, .next_life = next_life};

static void make_dir(char dst[PATH_BYTES])
{
    const char *tmp = getenv("TMPDIR");
    assert_true(snprintf(dst, PATH_BYTES, "%s/picket-keys-XXXXXX", tmp ? tmp : P_tmpdir) < PATH_BYTES);
    assert_non_null(mkdtemp(dst));
}

static int setup(void **state)
{
    struct keys_bench *k = calloc(1, sizeof *k);
    *state = &k->bench;
    bench_use_memory();
    make_dir(k->dir);
    make_dir(k->other);
    assert_true(snprintf(k->file, sizeof k->file, "%.200s/keys", k->dir) < (int)sizeof k->file);
    bench_init(&k->bench, &keys);
    return 0;
}

static int teardown(void **state)
{
    struct keys_bench *k = container_of((struct bench *)*state, struct keys_bench, bench);
    bench_done(&k->bench);
    (void)rmdir(k->other); /* both may hold what a failed run left */
    (void)rmdir(k->dir);
    free(k);
    return 0;
}

int main(void)
{
    return bench_run("powercut_keys", setup, teardown);
}
