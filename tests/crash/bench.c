/* bench.c: the states of a simulated cut of power, one after another.
 *
 * A subject is used and what it does to the disk recorded, change by change, with what was promised at which change (recording.c). A model
 * of the disk (disk_model.c) is then led through the changes up to one of them; there the process is killed or the power cut; what that
 * leaves is written into a new directory, and the subject has to live on it. That second life is recorded too, and may end in a cut of
 * power itself, and a third one follow: so recovery is cut short, and what was only in the page cache of a killed process gets lost later.
 *
 * Kills are tried after every change, and in the middle of each write. Cuts of power are drawn until there were as many as wanted; kills
 * that happen on the way (lives before a cut, or after one) are not counted among them.
 *
 *   POWERCUT_STATES=10000   the long form: so many cuts of power; default 1000
 *   POWERCUT_SEED=1         of all that is chosen. Threads, ids and times differ from run to run: to meet the same state again,
 *   POWERCUT_REPLAY=FILE    takes a file that a failed run left, with the recordings and the choices that led to it */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "picket/base/clock.h"
#include "picket/base/str.h"

enum {
    TAIL = 40, /* changes shown of a failed state */
    STATES = 1000,
    STATES_PER_RECORDING = 1500,
};

bool bench_broken(struct bench *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(b->why, sizeof b->why, fmt, args);
    va_end(args);
    return false;
}

static uint64_t rng_for(const struct bench *b, unsigned what)
{
    uint64_t rng = b->seed;
    rng = rng_next(&rng) ^ b->state;
    rng = rng_next(&rng) ^ what;
    return rng_next(&rng);
}

/* ---- one stage */

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
        b->losses += model_cut(b->model, &st->cut, &rng);
    b->subject->follow(b, st, n);
}

/* The subject lives on what the last stage left. *rec takes what it does. */
static bool stage_live(struct bench *b, struct recording *rec)
{
    bool was_cut = false;
    for (unsigned i = 0; i < b->n_stages; i++)
        was_cut |= b->stages[i].is_cut;
    *(b->stages[b->n_stages - 1].is_cut ? &b->cuts : &b->kills) += 1;
    b->later += b->n_stages > 1;
    return b->subject->next_life(b, b->model, rec, rng_for(b, 100 + b->n_stages), was_cut);
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

/* ---- a state that failed */

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
    char path[256];
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
    (void)snprintf(path, sizeof path, "%s/powercut-%s-%" PRIu64 "-%" PRIu64, P_tmpdir, b->subject->name, b->seed, b->state);
    if (failure_save(b, path))
        (void)fprintf(stderr, "again: POWERCUT_REPLAY=%s\n", path);
}

static bool failure_load(struct bench *b, const char *path)
{
    FILE *f = fopen(path, "re");
    bool ok = f && fread(&b->seed, sizeof b->seed, 1, f) == 1 && fread(&b->state, sizeof b->state, 1, f) == 1 &&
              fread(&b->n_stages, sizeof b->n_stages, 1, f) == 1 && b->n_stages > 0 && b->n_stages <= STAGES_MAX;
    for (unsigned i = 0; ok && i < b->n_stages; i++) {
        ok = fread(&b->stages[i], sizeof b->stages[i], 1, f) == 1;
        b->stages[i].rec = b->recordings[b->n_recordings++] = ok ? recording_load(f) : NULL;
        ok = ok && b->stages[i].rec && b->stages[i].n <= b->stages[i].rec->n_changes;
    }
    if (f)
        (void)fclose(f); /* only read */
    return ok;
}

/* ---- one state after another */

static void progress(struct bench *b)
{
    int64_t now = clock_mono_us();
    if (now - b->shown_us < CLOCK_US_PER_S / 4 || now - b->began_us < 2 * CLOCK_US_PER_S || !isatty(STDERR_FILENO))
        return;
    double s = (double)(now - b->began_us) / CLOCK_US_PER_S, rate = (double)b->cuts / s;
    (void)fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " power cuts, %.0f/s, %.0f s left \033[K", b->cuts, b->want, rate,
                  b->want > b->cuts && rate > 0 ? (double)(b->want - b->cuts) / rate : 0);
    b->shown_us = now;
}

/* The first stage is chosen; later ones follow as chance will have it, up to `stages_max`. */
static void state_run(struct bench *b, unsigned stages_max)
{
    bool ok = true;
    struct recording *lives[STAGES_MAX] = {NULL};
    unsigned n_lives = 0;
    b->model = model_new();
    b->subject->forget(b);
    for (bool more = true; more;) {
        struct recording *rec = lives[n_lives++] = recording_new();
        stage_apply(b, &b->stages[b->n_stages - 1]);
        ok = stage_live(b, rec);
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

/* A process may die between any two changes, and in the middle of a write. */
static void a_kill_after_each_change_breaks_no_promise(void **state)
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
    assert_in_range(b->kills, b->n_recordings, UINT64_MAX);
    assert_int_equal(b->cuts, 0);
}

static void a_power_cut_anywhere_breaks_no_promise(void **state)
{
    struct bench *b = *state;
    while (b->cuts < b->want) {
        b->state++;
        b->n_stages = 0;
        stage_choose(b, b->recordings[b->state % b->n_recordings], 25);
        state_run(b, STAGES_MAX);
    }
    assert_in_range(b->cuts, b->want, UINT64_MAX);
    assert_in_range(b->losses, b->cuts / 20, b->cuts); /* else they were kills by another name */
}

static void the_state_once_more(void **state)
{
    struct bench *b = *state;
    struct recording *rec = recording_new();
    unsigned n_stages = b->n_stages;
    b->model = model_new();
    b->subject->forget(b);
    for (b->n_stages = 0; b->n_stages < n_stages; b->n_stages++)
        stage_apply(b, &b->stages[b->n_stages]);
    bool ok = stage_live(b, rec);
    recording_print(stderr, rec, rec->n_changes, rec->n_changes);
    model_free(b->model);
    recording_free(rec);
    if (!ok)
        fail_msg("%s", b->why);
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

void bench_use_memory(void)
{
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1);
}

static void record(struct bench *b)
{
    struct recording *rec = b->recordings[b->n_recordings] = recording_new();
    unsigned n = b->n_recordings++;
    if (!b->subject->first_lives(b, rec, rng_for(b, 300 + n)))
        fail_msg("seed %" PRIu64 ", recording %u: %s", b->seed, n + 1, b->why);
}

void bench_init(struct bench *b, const struct subject *subject)
{
    const char *replay = getenv("POWERCUT_REPLAY");
    b->subject = subject;
    b->began_us = b->shown_us = clock_mono_us();
    if (replay) {
        if (!failure_load(b, replay))
            fail_msg("cannot read it");
        return;
    }
    b->seed = from_environment("POWERCUT_SEED", 1);
    b->want = from_environment("POWERCUT_STATES", STATES);
    do
        record(b);
    while (b->n_recordings < RECORDINGS_MAX && b->n_recordings < b->want / STATES_PER_RECORDING);
}

void bench_done(struct bench *b)
{
    double s = (double)(clock_mono_us() - b->began_us) / CLOCK_US_PER_S;
    if (b->shown_us > b->began_us)
        (void)fputs("\r\033[K", stderr);
    print_message("# %s%s: %" PRIu64 " power cuts (%" PRIu64 " lost something), %" PRIu64 " kills; %" PRIu64
                  " of both after one before; %" PRIu64 " checked, %s, seed %" PRIu64 ", %.1f s\n",
                  b->subject->name, b->cuts < b->want ? ", stopped early" : "", b->cuts, b->losses, b->kills, b->later, b->checked,
                  b->why[0] ? "a promise broken" : "no promise broken", b->seed, s);
    for (unsigned i = 0; i < b->n_recordings; i++)
        recording_free(b->recordings[i]);
}

int bench_run(const char *name, CMFixtureFunction setup, CMFixtureFunction teardown)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kill_after_each_change_breaks_no_promise),
        cmocka_unit_test(a_power_cut_anywhere_breaks_no_promise),
    };
    const struct CMUnitTest replay[] = {cmocka_unit_test(the_state_once_more)};
    if (getenv("POWERCUT_REPLAY"))
        return cmocka_run_group_tests_name(name, replay, setup, teardown);
    return cmocka_run_group_tests_name(name, tests, setup, teardown);
}
