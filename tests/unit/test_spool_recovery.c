/* test_spool_recovery.c: what a start makes of what it finds: torn tails, damage, lost files, a killed process, a cut of power
 * (architecture, "Spool"; invariants S1, S3, S4, S6). */
#include "spool_kit.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

enum { N_SMALL = 6, BLOCK = 4096 };

static int setup(void **state)
{
    struct kit *k = malloc(sizeof *k);
    kit_init(k);
    kit_open(k);
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    kit_done(*state);
    free(*state);
    return 0;
}

/* A stopped spool with one segment: its path and bytes, its end, and where each record begins. */
struct image {
    char path[KIT_PATH_MAX];
    struct buf file;
    uint64_t end;
    uint64_t starts[1024];
    unsigned n;
};

static size_t small_bytes(unsigned i)
{
    return i * 11; /* every remainder of 8 */
}

static void image_take(struct kit *k, struct image *im, unsigned n, size_t (*bytes_of)(unsigned i))
{
    uint64_t at = KIT_SEGMENT_HEAD;
    *im = (struct image){.n = n};
    for (unsigned i = 0; i < n; i++) {
        im->starts[i] = at;
        at += kit_record_bytes(bytes_of(i));
        assert_int_equal(kit_append(k, i, bytes_of(i)), 0);
    }
    im->end = at;
    assert_int_equal(kit_stats(k).synced.offset, at);
    kit_close(k);
    assert_int_equal(kit_segments(k, im->path), 1);
    im->file = kit_file_read(im->path);
    assert_int_equal(im->file.n, at + KIT_RECORD_HEAD); /* the trailer */
}

/* A directory as it was, but with these bytes as its only segment. */
static void image_put(struct kit *k, const struct image *im, const char *p, size_t n)
{
    char path[KIT_PATH_MAX];
    kit_path(k, "cursor", path);
    (void)unlink(path);
    kit_path(k, "quarantine", path);
    kit_remove_tree(path);
    kit_file_write(im->path, p, n);
}

/* ---- torn tails */

static void s4_a_torn_tail_is_cut_at_every_byte(void **state)
{
    struct kit *k = *state;
    struct image im;
    image_take(k, &im, N_SMALL, small_bytes);
    for (size_t n = 0; n <= im.end; n++) {
        unsigned whole = 0;
        while (whole < im.n && (whole + 1 < im.n ? im.starts[whole + 1] : im.end) <= n)
            whole++;
        image_put(k, &im, im.file.p, n);
        kit_open(k);
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        kit_expect(seen, 0, whole);
        assert_int_equal(k->recovery.records, whole);
        assert_int_equal(kit_stats(k).quarantined, 0);
        kit_close(k);
    }
    buf_done(&im.file);
}

/* As in a file that was filled with zeros ahead: the length says nothing, and the tail that was not written reads as zeros. */
static void s4_a_torn_tail_before_zeros_is_cut_at_every_byte(void **state)
{
    struct kit *k = *state;
    struct image im;
    image_take(k, &im, N_SMALL, small_bytes);
    AUTO_BUF struct buf file = {0};
    for (size_t n = KIT_SEGMENT_HEAD; n <= im.end; n++) {
        unsigned whole = 0;
        buf_clear(&file);
        buf_append(&file, im.file.p, n);
        buf_reserve(&file, 2 * BLOCK);
        memset(file.p + n, 0, 2 * BLOCK);
        while (whole < im.n && (whole + 1 < im.n ? im.starts[whole + 1] : im.end) <= n)
            whole++;
        bool complete = whole < im.n && memcmp(file.p, im.file.p, whole + 1 < im.n ? im.starts[whole + 1] : im.end) == 0;
        whole += complete; /* only padding was missing */
        image_put(k, &im, file.p, n + 2 * BLOCK);
        kit_open(k);
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        kit_expect(seen, 0, whole);
        assert_true(k->recovery.torn_bytes <= im.end - (whole < im.n ? im.starts[whole] : im.end));
        kit_close(k);
    }
    buf_done(&im.file);
}

static void appends_go_on_after_a_torn_tail(void **state)
{
    struct kit *k = *state;
    struct image im;
    image_take(k, &im, N_SMALL, small_bytes);
    image_put(k, &im, im.file.p, im.end - 5);
    kit_open(k);
    uint64_t torn = kit_record_bytes(small_bytes(N_SMALL - 1)) - 5;
    assert_in_range(k->recovery.torn_bytes, torn - 3, torn); /* zeros at its end may be the file's */
    assert_int_equal(kit_append(k, N_SMALL - 1, 1), 0);
    kit_reopen(k);
    assert_int_equal(k->recovery.torn_bytes, 0);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, N_SMALL);
    buf_done(&im.file);
}

/* ---- damage */

static unsigned record_of(const struct image *im, size_t at)
{
    unsigned i = 0;
    while (i + 1 < im->n && im->starts[i + 1] <= at)
        i++;
    return i;
}

/* Every byte below the end in turn: the header costs nothing, anything else the record that it is in. `cut`: without a trailer. */
static void flip_each_byte(struct kit *k, size_t file_bytes)
{
    struct image im;
    image_take(k, &im, N_SMALL, small_bytes);
    AUTO_BUF struct buf file = {0};
    for (size_t at = 0; at < im.end; at++) {
        unsigned hit = record_of(&im, at);
        buf_clear(&file);
        buf_append_str(&file, buf_str(&im.file));
        file.p[at] ^= 0x41;
        image_put(k, &im, file.p, im.end + file_bytes);
        kit_open(k);
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        bool harmless = at < KIT_SEGMENT_HEAD || seen->n_records == im.n; /* the header, or padding */
        for (unsigned i = 0; i < im.n; i++)
            if (seen->count[i] != (i == hit && !harmless ? 0 : 1))
                fail_msg("byte %zu: record %u seen %u times", at, i, seen->count[i]);
        bool in_padding = at >= KIT_SEGMENT_HEAD && harmless;
        assert_true(!in_padding || at >= im.starts[hit] + KIT_RECORD_HEAD + STR("{\"sdk\":{}}").n + small_bytes(hit));
        bool is_tail = file_bytes == 0 && hit == im.n - 1; /* may be one that was never promised: kept, not counted */
        assert_int_equal(kit_stats(k).quarantined, harmless || is_tail ? 0 : 1);
        assert_int_equal(kit_files(k, "quarantine", "", NULL), harmless ? 0 : 1);
        assert_int_equal(kit_stats(k).bytes, 0);
        kit_close(k);
    }
    buf_done(&im.file);
}

static void s4_a_damaged_byte_costs_its_record_only(void **state)
{
    flip_each_byte(*state, 0);
}

static void s4_a_damaged_byte_in_a_finished_segment_costs_its_record_only(void **state)
{
    flip_each_byte(*state, KIT_RECORD_HEAD);
}

static void quarantine_keeps_the_damaged_bytes_once(void **state)
{
    struct kit *k = *state;
    struct image im;
    char dir[KIT_PATH_MAX], path[KIT_PATH_MAX];
    image_take(k, &im, N_SMALL, small_bytes);
    kit_file_patch(im.path, im.starts[3] + 2, "\xff\xff\xff", 3);
    AUTO_BUF struct buf file = kit_file_read(im.path);
    for (int i = 0; i < 3; i++) { /* the cursor never moves: it is met again at every start */
        struct spool_range range;
        AUTO_FREE struct kit_seen *seen = kit_seen_new();
        kit_open(k);
        while (kit_claim(k, 100, seen, &range))
            continue;
        assert_int_equal(seen->n_records, N_SMALL - 1);
        assert_int_equal(kit_stats(k).quarantined, i == 0);
        kit_close(k);
    }
    kit_path(k, "quarantine", dir);
    assert_int_equal(kit_files(k, "quarantine", "", path), 1);
    char *name = strrchr(path, '/') + 1;
    char kept_path[KIT_PATH_MAX];
    assert_true(snprintf(kept_path, sizeof kept_path, "%.300s/%.100s", dir, name) < KIT_PATH_MAX);
    AUTO_BUF struct buf kept = kit_file_read(kept_path);
    assert_int_equal(kept.n, im.starts[4] - im.starts[3]);
    assert_memory_equal(kept.p, file.p + im.starts[3], kept.n);
    buf_done(&im.file);
}

static uint64_t quarantine_bytes_on_disk(const struct kit *k)
{
    uint64_t sum = 0;
    char path[KIT_PATH_MAX];
    kit_path(k, "quarantine", path);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        struct stat st;
        assert_int_equal(fstatat(dirfd(dir), e->d_name, &st, 0), 0);
        sum += S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    }
    (void)closedir(dir);
    return sum;
}

static void quarantine_is_bounded(void **state)
{
    struct kit *k = *state;
    enum { N = 9, BYTES = 8000000 }; /* 72 MB, of which 64 MiB may be kept */
    uint64_t at = KIT_SEGMENT_HEAD + KIT_RECORD_HEAD + 1000;
    char path[KIT_PATH_MAX];
    kit_close(k);
    k->config.segment_bytes = 1 << 30;
    kit_open(k);
    kit_append_many(k, 0, N, BYTES);
    (void)kit_segments(k, path);
    for (int i = 0; i < N; i++, at += kit_record_bytes(BYTES))
        kit_file_patch(path, at, "damage", 6);
    for (int i = 0; i < 2; i++) { /* counted anew by a start */
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        kit_expect(seen, 0, 0);
        assert_int_equal(kit_stats(k).quarantined, i == 0 ? N : 1);
        assert_in_range(quarantine_bytes_on_disk(k), 7 * BYTES, 64 << 20);
        kit_append_many(k, 1, 1, BYTES);
        (void)kit_segments(k, path);
        kit_reopen(k);
        kit_file_patch(path, i == 0 ? at : KIT_SEGMENT_HEAD + KIT_RECORD_HEAD + 1000, "damage", 6);
    }
}

static void note_place(void *arg, const struct spool_range *where)
{
    struct buf *places = arg;
    buf_append(places, where, sizeof *where);
}

/* The bytes kept of the place; empty when there are none. */
static struct buf kept_of(const struct kit *k, uint64_t segment, uint64_t offset)
{
    char name[64], path[KIT_PATH_MAX];
    assert_int_equal(snprintf(name, sizeof name, "quarantine/%016" PRIx64 "-%010" PRIx64, segment, offset), 38);
    kit_path(k, name, path);
    return access(path, F_OK) == 0 ? kit_file_read(path) : (struct buf){0};
}

/* Damage to the last record of a segment that was not finished cannot be told from a write that was not finished. */
static void a_torn_tail_is_kept_and_told_of(void **state)
{
    struct kit *k = *state;
    struct image im;
    AUTO_BUF struct buf places = {0};
    image_take(k, &im, N_SMALL, small_bytes);
    uint64_t segment = strtoull(strrchr(im.path, '/') + 1, NULL, 16), from = im.starts[N_SMALL - 1];
    im.file.p[from + 3] ^= 0x41;
    memset(im.file.p + im.end, 0, im.file.n - im.end);
    image_put(k, &im, im.file.p, im.file.n);
    kit_open(k);
    spool_on_damage(k->s, note_place, &places);
    assert_int_equal(places.n, sizeof(struct spool_range));
    const struct spool_range *where = (const struct spool_range *)places.p;
    assert_true(where->segment == segment && where->from == from && where->to == from + k->recovery.torn_bytes);
    AUTO_BUF struct buf kept = kept_of(k, segment, from);
    assert_int_equal(kept.n, k->recovery.torn_bytes);
    assert_memory_equal(kept.p, im.file.p + from, kept.n);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, N_SMALL - 1);
    kit_reopen(k); /* it is cut now */
    spool_on_damage(k->s, note_place, &places);
    assert_int_equal(places.n, sizeof(struct spool_range));
    buf_done(&im.file);
}

static void torn_tails_leave_room_for_damage(void **state)
{
    struct kit *k = *state;
    enum { TAIL = 9 << 20, N_TAILS = 5 };
    struct image im;
    image_take(k, &im, N_SMALL, small_bytes);
    AUTO_BUF struct buf file = {0};
    char path[KIT_PATH_MAX];
    for (unsigned i = 0; i < N_TAILS; i++) { /* each begins elsewhere, so each is kept under a name of its own */
        uint64_t end = im.starts[N_SMALL - 1 - i];
        buf_clear(&file);
        buf_append(&file, im.file.p, end);
        buf_reserve(&file, TAIL);
        memset(file.p + end, 0x41, TAIL);
        kit_file_write(im.path, file.p, end + TAIL);
        kit_open(k);
        assert_int_equal(k->recovery.torn_bytes, TAIL);
        kit_close(k);
    }
    assert_in_range(quarantine_bytes_on_disk(k), 3 * TAIL, 32 << 20);
    kit_open(k);
    kit_append_many(k, 100, 2, 1000);
    (void)kit_segments(k, path);
    kit_file_patch(path, KIT_SEGMENT_HEAD + KIT_RECORD_HEAD + 100, "damage", 6);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    assert_int_equal(seen->count[101], 1);
    AUTO_BUF struct buf kept = kept_of(k, kit_stats(k).synced.segment, KIT_SEGMENT_HEAD);
    assert_int_equal(kept.n, kit_record_bytes(1000));
    buf_done(&im.file);
}

/* The trailer says what was promised, wherever the file ends. */
static void damage_before_a_trailer_is_no_torn_tail(void **state)
{
    struct kit *k = *state;
    struct image im;
    image_take(k, &im, N_SMALL, small_bytes);
    AUTO_BUF struct buf file = {0};
    buf_append_str(&file, buf_str(&im.file));
    buf_reserve(&file, BLOCK);
    memset(file.p + file.n, 0, BLOCK);
    for (unsigned damaged = 0; damaged < 2; damaged++) {
        file.p[im.starts[N_SMALL - 1] + 3] ^= damaged ? 0x41 : 0;
        image_put(k, &im, file.p, im.file.n + BLOCK);
        kit_open(k);
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        kit_expect(seen, 0, N_SMALL - damaged);
        assert_int_equal(k->recovery.torn_bytes, 0);
        assert_int_equal(k->recovery.quarantined_bytes, damaged ? im.end - im.starts[N_SMALL - 1] : 0);
        assert_int_equal(kit_stats(k).quarantined, damaged);
        kit_close(k);
    }
    buf_done(&im.file);
}

static size_t two_kilobytes(unsigned i)
{
    (void)i;
    return 2000;
}

/* A long stretch lost, as when blocks were never written: what lies behind is found again. */
static void finds_records_behind_a_long_gap(void **state)
{
    struct kit *k = *state;
    struct image im;
    image_take(k, &im, 200, two_kilobytes);
    memset(im.file.p + 10000, 0, 250000);
    image_put(k, &im, im.file.p, im.end);
    kit_open(k);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    unsigned lost = record_of(&im, 260000 - 1) - record_of(&im, 10000) + 1;
    assert_int_equal(seen->n_records, 200 - lost);
    assert_int_equal(k->recovery.records, 200 - lost);
    assert_int_equal(k->recovery.quarantined_bytes, lost * kit_record_bytes(2000));
    assert_int_equal(kit_stats(k).bytes, 0);
    buf_done(&im.file);
}

/* Bytes from a client, or from elsewhere in the spool, never pass for a record, wherever they come to lie. */
static void bytes_in_a_payload_never_pass_for_a_record(void **state)
{
    struct kit *k = *state;
    struct image im;
    image_take(k, &im, N_SMALL, small_bytes);
    kit_open(k);
    AUTO_FREE struct kit_seen *before = kit_drain(k);
    kit_expect(before, 0, N_SMALL);
    struct spool_record forged = {.project_id = 100, .kind = SPOOL_EVENT};
    size_t record = (size_t)(im.starts[2] - im.starts[1]);
    AUTO_BUF struct buf payload = {0};
    for (int i = 0; i < 64; i++) /* whole records of ours, at every alignment */
        buf_append(&payload, im.file.p + im.starts[1], record + (size_t)i);
    forged.payload = buf_str(&payload);
    assert_int_equal(kit_append_records(k, &forged, 1), 0);
    kit_append_many(k, 7, 1, 10);
    kit_close(k);
    char path[KIT_PATH_MAX];
    (void)kit_segments(k, path);
    kit_file_patch(path, KIT_SEGMENT_HEAD + 20, "\xee", 1); /* its header: everything in it is scanned */
    kit_open(k);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 7, 1);
    buf_done(&im.file);
}

/* ---- lost or odd files */

static void everything_comes_again_without_a_cursor(void **state)
{
    struct kit *k = *state;
    char path[KIT_PATH_MAX];
    static const char *const contents[] = {NULL, "", "garbage", "garbagegarbagegarbagegarbagegarbage"};
    kit_append_many(k, 0, 10, 100);
    AUTO_FREE struct kit_seen *first = kit_drain(k);
    kit_expect(first, 0, 10);
    for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
        kit_close(k);
        kit_path(k, "cursor", path);
        if (contents[i])
            kit_file_write(path, contents[i], strlen(contents[i]));
        else
            assert_int_equal(unlink(path), 0);
        kit_open(k);
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        kit_expect(seen, 0, 10);
    }
    kit_reopen(k);
    AUTO_FREE struct kit_seen *last = kit_drain(k);
    kit_expect(last, 0, 0);
}

static void the_nodes_id_survives(void **state)
{
    struct kit *k = *state;
    char path[KIT_PATH_MAX];
    struct id128 node = spool_node(k->s), again;
    kit_path(k, "node", path);
    kit_append_many(k, 0, 10, 100);
    kit_reopen(k);
    again = spool_node(k->s);
    assert_true(id_eq(&node, &again) && !id_is_nil(&node));
    kit_close(k);
    kit_file_write(path, "not an id", 9);
    kit_open(k); /* from a segment's header */
    again = spool_node(k->s);
    assert_true(id_eq(&node, &again));
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 10);
}

static void numbers_only_grow(void **state)
{
    struct kit *k = *state;
    uint64_t last = 0;
    for (uint64_t i = 0; i < 20; i++) {
        kit_append_many(k, i, 1, 10);
        uint64_t number = kit_stats(k).synced.segment;
        assert_true(number > last);
        last = number;
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        kit_expect(seen, i, 1);
        kit_reopen(k);
    }
    kit_close(k); /* a segment from the future: the clock jumped back since */
    char path[KIT_PATH_MAX], name[KIT_PATH_MAX];
    assert_int_equal(snprintf(name, sizeof name, "%016" PRIx64 ".seg", last + (UINT64_C(1) << 40)), 20);
    kit_path(k, name, path);
    kit_file_write(path, "", 0);
    kit_open(k);
    kit_append_many(k, 20, 1, 10);
    assert_true(kit_stats(k).synced.segment > last + (UINT64_C(1) << 40));
}

static void foreign_and_half_made_files_do_no_harm(void **state)
{
    struct kit *k = *state;
    static const char *const names[] = {"spare",
                                        "new",
                                        "cursor.tmp",
                                        "node.tmp",
                                        "0000000000000001.seg",
                                        "fffffffffffffffe.seg.bak",
                                        "000000000000000g.seg",
                                        "1.seg",
                                        "README",
                                        "ffffffffffffffff.seg",
                                        "0000000000000000.seg"};
    char path[KIT_PATH_MAX];
    kit_append_many(k, 0, 10, 100);
    kit_close(k);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        kit_path(k, names[i], path);
        kit_file_write(path, "what is this?", 13);
    }
    kit_open(k);
    kit_append_many(k, 10, 10, 100);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 20);
    kit_path(k, "spare", path);
    assert_int_not_equal(access(path, F_OK), 0);
}

/* Somebody removed a segment's file while it waited to be read. */
static void a_vanished_segment_does_not_stop_the_rest(void **state)
{
    struct kit *k = *state;
    char path[KIT_PATH_MAX];
    kit_close(k);
    k->config.segment_bytes = 1;
    kit_open(k);
    kit_append_many(k, 0, 3, 100);
    kit_reopen(k); /* nothing is held open */
    (void)kit_segments(k, path);
    assert_int_equal(unlink(path), 0);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 2);
    kit_append_many(k, 3, 1, 100);
    AUTO_FREE struct kit_seen *more = kit_drain(k);
    kit_expect(more, 3, 1);
    assert_int_equal(kit_stats(k).bytes, 0);
}

/* ---- another release's segments */

/* A sum over the names and bytes of all files. */
static uint64_t dir_sum(const struct kit *k)
{
    uint64_t sum = 0;
    char path[KIT_PATH_MAX];
    DIR *dir = opendir(k->spool_dir);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_type != DT_REG)
            continue;
        kit_path(k, e->d_name, path);
        AUTO_BUF struct buf file = kit_file_read(path);
        sum += hash64_seeded(file.p, file.n, hash64(e->d_name, strlen(e->d_name)));
    }
    (void)closedir(dir);
    return sum;
}

/* Another version, in a header of `bytes` bytes whose checksum is right. */
static void version_put(struct image *im, uint32_t version, uint32_t bytes)
{
    uint64_t sum;
    memcpy(im->file.p + 8, &version, sizeof version);
    memcpy(im->file.p + 12, &bytes, sizeof bytes);
    sum = hash64(im->file.p, bytes - sizeof sum);
    memcpy(im->file.p + bytes - sizeof sum, &sum, sizeof sum);
}

static void another_versions_records_are_left_alone(void **state)
{
    struct kit *k = *state;
    struct image im;
    char path[KIT_PATH_MAX];
    static const struct {
        uint32_t version, bytes;
    } cases[] = {{1, KIT_SEGMENT_HEAD}, {3, KIT_SEGMENT_HEAD}, {3, KIT_SEGMENT_HEAD + 64}, {2, KIT_SEGMENT_HEAD + 8}};
    image_take(k, &im, N_SMALL, small_bytes);
    AUTO_BUF struct buf ours = kit_file_read(im.path);
    kit_path(k, "spare", path);
    kit_file_write(path, "half made", 9);
    kit_path(k, "0000000000000001.seg", path); /* before it, and torn */
    kit_file_write(path, "torn", 4);
    for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) { /* finished in good order, or not */
        memcpy(im.file.p, ours.p, ours.n);
        version_put(&im, cases[i / 2].version, cases[i / 2].bytes);
        kit_file_write(im.path, im.file.p, i % 2 ? im.end - 3 : im.file.n);
        uint64_t before = dir_sum(k);
        assert_int_equal(spool_open(&k->config, &k->s, &k->recovery), -ERR_SPOOL_VERSION);
        k->s = NULL;
        assert_true(dir_sum(k) == before);
    }
    kit_file_write(im.path, ours.p, ours.n); /* the other release comes back */
    kit_open(k);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, N_SMALL);
    buf_done(&im.file);
}

static void another_versions_digested_segment_goes(void **state)
{
    struct kit *k = *state;
    struct image im;
    struct spool_range range;
    image_take(k, &im, N_SMALL, small_bytes);
    for (unsigned i = 0; i < N_SMALL; i++) {
        version_put(&im, 2, KIT_SEGMENT_HEAD);
        kit_file_write(im.path, im.file.p, im.file.n);
        kit_open(k);
        assert_int_equal(spool_claim(k->s, 1, 1 << 20, &range), 1);
        spool_settle(k->s, &range);
        kit_close(k);
        version_put(&im, 3, KIT_SEGMENT_HEAD);
        kit_file_write(im.path, im.file.p, im.file.n);
        if (i < N_SMALL - 1)
            assert_int_equal(spool_open(&k->config, &k->s, NULL), -ERR_SPOOL_VERSION);
    }
    kit_file_write(im.path, im.file.p, im.file.n - 8); /* the cursor is at the end, but is it the end? */
    assert_int_equal(spool_open(&k->config, &k->s, NULL), -ERR_SPOOL_VERSION);
    kit_file_write(im.path, im.file.p, im.file.n);
    kit_open(k);
    assert_int_equal(kit_segments(k, NULL), 0);
    assert_int_equal(kit_stats(k).bytes, 0);
    kit_append_many(k, 0, 10, 100);
    kit_reopen(k);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, 10);
    buf_done(&im.file);
}

/* ---- acknowledged against delivered */

/* xorshift: the same states in every run. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* S3 and S6: over many restarts, with ranges settled in any order, whatever was acknowledged is delivered; what was settled before the
 * cursor was saved is not delivered again. */
static void s3_s6_restarts_lose_nothing(void **state)
{
    struct kit *k = *state;
    uint64_t rng = 42, next = 0;
    AUTO_FREE struct kit_seen *seen = kit_seen_new();
    kit_close(k);
    k->config.segment_bytes = 20000;
    kit_open(k);
    for (int round = 0; round < 60; round++) {
        struct spool_range ranges[64];
        unsigned n = 0;
        for (unsigned i = (unsigned)(next_random(&rng) % 40); i > 0; i--)
            kit_append_many(k, next++, 1, next_random(&rng) % 3000);
        while (n < 64 && next_random(&rng) % 8 && kit_claim(k, 1 + (unsigned)(next_random(&rng) % 9), seen, &ranges[n]))
            n++;
        for (unsigned i = 0; i < n; i++) {
            if (next_random(&rng) % 3)
                spool_settle(k->s, &ranges[i]);
            else if (next_random(&rng) % 2)
                spool_release(k->s, &ranges[i]);
        }
        if (round % 3 == 0)
            kit_reopen(k);
    }
    kit_reopen(k);
    struct spool_range range;
    while (kit_claim(k, 100, seen, &range))
        spool_settle(k->s, &range);
    for (uint64_t i = 0; i < next; i++)
        if (seen->count[i] == 0)
            fail_msg("record %" PRIu64 " is lost", i);
    assert_int_equal(kit_stats(k).bytes, 0);
    kit_reopen(k);
    AUTO_FREE struct kit_seen *rest = kit_drain(k);
    kit_expect(rest, 0, 0);
}

static size_t any_size(unsigned i)
{
    return i * 7919 % 9000;
}

/* A cut of power: what was synced stands; of what was written after it any set of 4 KiB blocks may have reached the disk, the others keep
 * what was there before (zeros). Whatever that leaves, nothing synced is lost and nothing is delivered that was not appended. */
static void s3_a_power_cut_leaves_what_was_synced(void **state)
{
    struct kit *k = *state;
    enum { N = 60, STATES = 400 };
    struct image im;
    uint64_t rng = 7;
    image_take(k, &im, N, any_size);
    AUTO_BUF struct buf file = {0};
    for (int i = 0; i < STATES; i++) {
        unsigned synced = (unsigned)(next_random(&rng) % N);
        uint64_t from = im.starts[synced], written = im.starts[synced + next_random(&rng) % (N - synced)];
        size_t size = next_random(&rng) % 2 ? (size_t)written : (size_t)im.end + 3 * BLOCK;
        buf_clear(&file);
        buf_reserve(&file, im.end + 3 * BLOCK);
        memset(file.p, 0, im.end + 3 * BLOCK);
        memcpy(file.p, im.file.p, from);
        for (uint64_t at = from; at < written;) {
            uint64_t end = (at / BLOCK + 1) * BLOCK < written ? (at / BLOCK + 1) * BLOCK : written;
            if (next_random(&rng) % 2)
                memcpy(file.p + at, im.file.p + at, end - at);
            at = end;
        }
        image_put(k, &im, file.p, size);
        kit_open(k);
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        for (unsigned j = 0; j < N; j++)
            if (seen->count[j] > 1 || (j < synced && seen->count[j] == 0))
                fail_msg("state %d: record %u of %u synced ones seen %u times", i, j, synced, seen->count[j]);
        assert_int_equal(kit_stats(k).bytes, 0);
        kit_close(k);
    }
    buf_done(&im.file);
}

/* ---- kill -9 */

enum { OUTSTANDING = 32, ROUNDS = 25 };

struct writer {
    struct kit *k;
    int pipe;
    uint64_t next;
    struct writer_append {
        struct kit_append append;
        struct writer *writer;
        uint64_t seq;
    } appends[OUTSTANDING];
};

static void writer_start(struct writer *w, struct writer_append *wa);

static void writer_done(struct spool_append *a, int r)
{
    struct writer_append *wa = container_of(container_of(a, struct kit_append, a), struct writer_append, append);
    if (r == 0 && write(wa->writer->pipe, &wa->seq, sizeof wa->seq) != sizeof wa->seq)
        _exit(1);
    writer_start(wa->writer, wa);
}

static void writer_start(struct writer *w, struct writer_append *wa)
{
    wa->seq = w->next++;
    wa->writer = w;
    if (kit_append_start(w->k, &wa->append, wa->seq, 100 + wa->seq * 131 % 5000) < 0)
        _exit(1);
    wa->append.a.done = writer_done;
}

/* Appends until it is killed; digests a little on the way. */
static void child_run(struct kit *k, int pipe, uint64_t first)
{
    struct writer w = {.k = k, .pipe = pipe, .next = first};
    struct spool_range range;
    if (uv_loop_fork(&k->loop) < 0)
        _exit(1);
    kit_open(k);
    for (unsigned i = 0; i < OUTSTANDING; i++)
        writer_start(&w, &w.appends[i]);
    for (;;) {
        (void)uv_run(&k->loop, UV_RUN_ONCE);
        if (spool_claim(k->s, 50, 1 << 20, &range) == 1 && range.from % 16 == 0)
            spool_release(k->s, &range); /* claimed, not settled: nothing may be lost */
    }
}

/* Reads acknowledged numbers until `n` came, then kills the child and reads the rest. Returns the highest + 1. */
static uint64_t kill_after(pid_t child, int pipe, unsigned n, uint8_t *acked)
{
    uint64_t seq, next = 0;
    for (unsigned i = 0; read(pipe, &seq, sizeof seq) == sizeof seq; i++) {
        assert_true(seq < KIT_SEEN_MAX);
        acked[seq] = 1;
        next = seq + 1 > next ? seq + 1 : next;
        if (i == n)
            assert_int_equal(kill(child, SIGKILL), 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return next;
}

static void s3_kill_9_loses_nothing_acknowledged(void **state)
{
    struct kit *k = *state;
    uint64_t rng = 99, first = 0;
    AUTO_FREE uint8_t *acked = calloc(1, KIT_SEEN_MAX);
    AUTO_FREE struct kit_seen *seen = kit_seen_new();
    kit_close(k);
    k->config.segment_bytes = 300000;
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            (void)close(ends[0]);
            child_run(k, ends[1], first);
        }
        (void)close(ends[1]);
        uint64_t next = kill_after(child, ends[0], (unsigned)(next_random(&rng) % 700), acked);
        (void)close(ends[0]);
        first = next + OUTSTANDING; /* some in flight may be on disk under numbers that were never acknowledged */
        if (round % 5 == 4) {
            struct spool_range range;
            kit_open(k);
            while (kit_claim(k, 100, seen, &range))
                spool_settle(k->s, &range);
            assert_int_equal(kit_stats(k).quarantined, 0);
            kit_close(k);
        }
    }
    for (uint64_t i = 0; i < first; i++)
        if (acked[i] && seen->count[i] == 0)
            fail_msg("acknowledged record %" PRIu64 " is lost", i);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(s4_a_torn_tail_is_cut_at_every_byte),
        CASE(s4_a_torn_tail_before_zeros_is_cut_at_every_byte),
        CASE(appends_go_on_after_a_torn_tail),
        CASE(s4_a_damaged_byte_costs_its_record_only),
        CASE(s4_a_damaged_byte_in_a_finished_segment_costs_its_record_only),
        CASE(quarantine_keeps_the_damaged_bytes_once),
        CASE(quarantine_is_bounded),
        CASE(a_torn_tail_is_kept_and_told_of),
        CASE(torn_tails_leave_room_for_damage),
        CASE(damage_before_a_trailer_is_no_torn_tail),
        CASE(finds_records_behind_a_long_gap),
        CASE(bytes_in_a_payload_never_pass_for_a_record),
        CASE(everything_comes_again_without_a_cursor),
        CASE(the_nodes_id_survives),
        CASE(numbers_only_grow),
        CASE(foreign_and_half_made_files_do_no_harm),
        CASE(a_vanished_segment_does_not_stop_the_rest),
        CASE(another_versions_records_are_left_alone),
        CASE(another_versions_digested_segment_goes),
        CASE(s3_s6_restarts_lose_nothing),
        CASE(s3_a_power_cut_leaves_what_was_synced),
        CASE(s3_kill_9_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests_name("spool_recovery", tests, NULL, NULL);
}
