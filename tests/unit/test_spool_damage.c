/* test_spool_damage.c: what a start and a claim make of bytes that are not what was written: torn tails, damage, segments of another
 * version of the format (architecture, "Spool"; invariant S4). */
#include "spool_kit.h"

static int setup(void **state)
{
    struct kit *k = malloc(sizeof *k);
    kit_init(k);
    kit_open(k);
    *state = k;
    return 0;
}

/* Records, and what is damaged, are larger and smaller than a part. */
static int setup_in_parts(void **state)
{
    (void)setup(state);
    ((struct kit *)*state)->part_bytes = 300;
    return 0;
}

static int teardown(void **state)
{
    kit_done(*state);
    free(*state);
    return 0;
}

/* ---- torn tails */

static void s4_a_torn_tail_is_cut_at_every_byte(void **state)
{
    struct kit *k = *state;
    struct kit_image im;
    kit_image_take(k, &im, KIT_N_SMALL, kit_small_bytes);
    for (size_t n = 0; n <= im.end; n++) {
        unsigned whole = 0;
        while (whole < im.n && (whole + 1 < im.n ? im.starts[whole + 1] : im.end) <= n)
            whole++;
        kit_image_put(k, &im, im.file.p, n);
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
    struct kit_image im;
    kit_image_take(k, &im, KIT_N_SMALL, kit_small_bytes);
    AUTO_BUF struct buf file = {0};
    for (size_t n = KIT_SEGMENT_HEAD; n <= im.end; n++) {
        unsigned whole = 0;
        buf_clear(&file);
        buf_append(&file, im.file.p, n);
        buf_reserve(&file, 2 * KIT_BLOCK);
        memset(file.p + n, 0, 2 * KIT_BLOCK);
        while (whole < im.n && (whole + 1 < im.n ? im.starts[whole + 1] : im.end) <= n)
            whole++;
        bool complete = whole < im.n && memcmp(file.p, im.file.p, whole + 1 < im.n ? im.starts[whole + 1] : im.end) == 0;
        whole += complete; /* only padding was missing */
        kit_image_put(k, &im, file.p, n + 2 * KIT_BLOCK);
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
    struct kit_image im;
    kit_image_take(k, &im, KIT_N_SMALL, kit_small_bytes);
    kit_image_put(k, &im, im.file.p, im.end - 5);
    kit_open(k);
    uint64_t torn = kit_record_bytes(kit_small_bytes(KIT_N_SMALL - 1)) - 5;
    assert_in_range(k->recovery.torn_bytes, torn - 3, torn); /* zeros at its end may be the file's */
    assert_int_equal(kit_append(k, KIT_N_SMALL - 1, 1), 0);
    kit_reopen(k);
    assert_int_equal(k->recovery.torn_bytes, 0);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, KIT_N_SMALL);
    buf_done(&im.file);
}

/* ---- damage */

static unsigned record_of(const struct kit_image *im, size_t at)
{
    unsigned i = 0;
    while (i + 1 < im->n && im->starts[i + 1] <= at)
        i++;
    return i;
}

/* Every byte below the end in turn: the header costs nothing, anything else the record that it is in. `cut`: without a trailer. */
static void flip_each_byte(struct kit *k, size_t file_bytes)
{
    struct kit_image im;
    kit_image_take(k, &im, KIT_N_SMALL, kit_small_bytes);
    AUTO_BUF struct buf file = {0};
    for (size_t at = 0; at < im.end; at++) {
        unsigned hit = record_of(&im, at);
        buf_clear(&file);
        buf_append_str(&file, buf_str(&im.file));
        file.p[at] ^= 0x41;
        kit_image_put(k, &im, file.p, im.end + file_bytes);
        kit_open(k);
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        bool harmless = at < KIT_SEGMENT_HEAD || seen->n_records == im.n; /* the header, or padding */
        for (unsigned i = 0; i < im.n; i++)
            if (seen->count[i] != (i == hit && !harmless ? 0 : 1))
                fail_msg("byte %zu: record %u seen %u times", at, i, seen->count[i]);
        bool in_padding = at >= KIT_SEGMENT_HEAD && harmless;
        assert_true(!in_padding || at >= im.starts[hit] + KIT_RECORD_HEAD + STR("{\"sdk\":{}}").n + kit_small_bytes(hit));
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
    struct kit_image im;
    char dir[KIT_PATH_MAX], path[KIT_PATH_MAX];
    kit_image_take(k, &im, KIT_N_SMALL, kit_small_bytes);
    kit_file_patch(im.path, im.starts[3] + 2, "\xff\xff\xff", 3);
    AUTO_BUF struct buf file = kit_file_read(im.path);
    for (int i = 0; i < 3; i++) { /* the cursor never moves: it is met again at every start */
        struct spool_range range;
        AUTO_FREE struct kit_seen *seen = kit_seen_new();
        kit_open(k);
        while (kit_claim(k, 100, seen, &range))
            continue;
        assert_int_equal(seen->n_records, KIT_N_SMALL - 1);
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
    struct kit_image im;
    AUTO_BUF struct buf places = {0};
    kit_image_take(k, &im, KIT_N_SMALL, kit_small_bytes);
    uint64_t segment = strtoull(strrchr(im.path, '/') + 1, NULL, 16), from = im.starts[KIT_N_SMALL - 1];
    im.file.p[from + 3] ^= 0x41;
    memset(im.file.p + im.end, 0, im.file.n - im.end);
    kit_image_put(k, &im, im.file.p, im.file.n);
    kit_open(k);
    spool_on_damage(k->s, note_place, &places);
    assert_int_equal(places.n, sizeof(struct spool_range));
    const struct spool_range *where = (const struct spool_range *)places.p;
    assert_true(where->segment == segment && where->from == from && where->to == from + k->recovery.torn_bytes);
    AUTO_BUF struct buf kept = kept_of(k, segment, from);
    assert_int_equal(kept.n, k->recovery.torn_bytes);
    assert_memory_equal(kept.p, im.file.p + from, kept.n);
    AUTO_FREE struct kit_seen *seen = kit_drain(k);
    kit_expect(seen, 0, KIT_N_SMALL - 1);
    kit_reopen(k); /* it is cut now */
    spool_on_damage(k->s, note_place, &places);
    assert_int_equal(places.n, sizeof(struct spool_range));
    buf_done(&im.file);
}

/* Makes a file of quarantine/ that was changed `days` ago. */
static void put_aged(const struct kit *k, const char *name, off_t bytes, int days)
{
    char path[KIT_PATH_MAX], file[128];
    assert_true(snprintf(file, sizeof file, "quarantine/%s", name) < (int)sizeof file);
    kit_path(k, file, path);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, bytes), 0);
    struct timespec at = {.tv_sec = (time_t)(clock_wall_us() / CLOCK_US_PER_S) - days * 86400}, times[2] = {at, at};
    assert_int_equal(futimens(fd, times), 0);
}

static void what_was_set_aside_long_ago_goes(void **state)
{
    struct kit *k = *state;
    char path[KIT_PATH_MAX];
    struct spool_aged aged;
    int64_t before_us = clock_wall_us() - 30 * CLOCK_US_PER_DAY;
    kit_path(k, "", path);
    assert_int_equal(spool_quarantine_age(path, before_us, SPOOL_REMOVE_AGED, &aged), 0); /* nothing was ever set aside */
    assert_int_equal(aged.files, 0);
    kit_path(k, "quarantine", path);
    assert_int_equal(mkdir(path, 0700), 0);
    put_aged(k, "0005f00000000001-0000000040", 1000, 31);
    put_aged(k, "0005f00000000002-1000000000", 0, 31);
    put_aged(k, "0005f00000000003-0000000040", 10, 29);
    put_aged(k, "README", 100, 400); /* somebody else's */
    kit_path(k, "", path);
    assert_int_equal(spool_quarantine_age(path, before_us, SPOOL_COUNT_AGED, &aged), 0);
    assert_true(aged.files == 2 && aged.bytes == 1000);
    assert_int_equal(quarantine_bytes_on_disk(k), 1110);
    assert_int_equal(spool_quarantine_age(path, before_us, SPOOL_REMOVE_AGED, &aged), 0);
    assert_true(aged.files == 2 && aged.bytes == 1000);
    assert_int_equal(quarantine_bytes_on_disk(k), 110);
#ifdef PICKET_FAULT_POINTS
    fault_arm("spool.quarantine.unlink", FAULT_ERROR, 1, EIO);
    put_aged(k, "0005f00000000001-0000000040", 1000, 31);
    assert_int_equal(spool_quarantine_age(path, before_us, SPOOL_REMOVE_AGED, &aged), -EIO);
    fault_disarm();
    assert_int_equal(aged.files, 0);
    assert_int_equal(quarantine_bytes_on_disk(k), 1110);
#endif
}

/* Whoever removes it, also another process: the spool that is open sees that there is room again. */
static void what_goes_makes_room(void **state)
{
    struct kit *k = *state;
    char path[KIT_PATH_MAX];
    struct spool_aged aged;
    size_t kept = 0;
    kit_path(k, "quarantine", path);
    assert_int_equal(mkdir(path, 0700), 0);
    put_aged(k, "0005f00000000001-0000000040", 64 << 20, 31);
    kit_reopen(k);
    for (unsigned i = 0; i < 1000 && kept == 0; i++) {
        struct spool_pos at = kit_stats(k).synced;
        kit_append_many(k, 0, 1, 1000);
        uint64_t segment = kit_stats(k).synced.segment, offset = segment == at.segment ? at.offset : KIT_SEGMENT_HEAD;
        (void)kit_segments(k, path);
        kit_file_patch(path, offset + KIT_RECORD_HEAD + 100, "damage", 6);
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        kit_expect(seen, 0, 0);
        AUTO_BUF struct buf bytes = kept_of(k, segment, offset);
        kept = bytes.n;
        assert_true(i > 0 || kept == 0);
        kit_path(k, "", path);
        if (i == 0)
            assert_int_equal(spool_quarantine_age(path, clock_wall_us() - 30 * CLOCK_US_PER_DAY, SPOOL_REMOVE_AGED, &aged), 0);
        (void)usleep(20000); /* it is measured anew only now and then */
    }
    assert_int_equal(kept, kit_record_bytes(1000));
}

static void torn_tails_leave_room_for_damage(void **state)
{
    struct kit *k = *state;
    enum { TAIL = 9 << 20, N_TAILS = 5 };
    struct kit_image im;
    kit_image_take(k, &im, KIT_N_SMALL, kit_small_bytes);
    AUTO_BUF struct buf file = {0};
    char path[KIT_PATH_MAX];
    for (unsigned i = 0; i < N_TAILS; i++) { /* each begins elsewhere, so each is kept under a name of its own */
        uint64_t end = im.starts[KIT_N_SMALL - 1 - i];
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
    struct kit_image im;
    kit_image_take(k, &im, KIT_N_SMALL, kit_small_bytes);
    AUTO_BUF struct buf file = {0};
    buf_append_str(&file, buf_str(&im.file));
    buf_reserve(&file, KIT_BLOCK);
    memset(file.p + file.n, 0, KIT_BLOCK);
    for (unsigned damaged = 0; damaged < 2; damaged++) {
        file.p[im.starts[KIT_N_SMALL - 1] + 3] ^= damaged ? 0x41 : 0;
        kit_image_put(k, &im, file.p, im.file.n + KIT_BLOCK);
        kit_open(k);
        AUTO_FREE struct kit_seen *seen = kit_drain(k);
        kit_expect(seen, 0, KIT_N_SMALL - damaged);
        assert_int_equal(k->recovery.torn_bytes, 0);
        assert_int_equal(k->recovery.quarantined_bytes, damaged ? im.end - im.starts[KIT_N_SMALL - 1] : 0);
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
    struct kit_image im;
    kit_image_take(k, &im, 200, two_kilobytes);
    memset(im.file.p + 10000, 0, 250000);
    kit_image_put(k, &im, im.file.p, im.end);
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
    struct kit_image im;
    kit_image_take(k, &im, KIT_N_SMALL, kit_small_bytes);
    kit_open(k);
    AUTO_FREE struct kit_seen *before = kit_drain(k);
    kit_expect(before, 0, KIT_N_SMALL);
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
static void version_put(struct kit_image *im, uint32_t version, uint32_t bytes)
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
    struct kit_image im;
    char path[KIT_PATH_MAX];
    static const struct {
        uint32_t version, bytes;
    } cases[] = {{1, KIT_SEGMENT_HEAD}, {3, KIT_SEGMENT_HEAD}, {3, KIT_SEGMENT_HEAD + 64}, {2, KIT_SEGMENT_HEAD + 8}};
    kit_image_take(k, &im, KIT_N_SMALL, kit_small_bytes);
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
    kit_expect(seen, 0, KIT_N_SMALL);
    buf_done(&im.file);
}

static void another_versions_digested_segment_goes(void **state)
{
    struct kit *k = *state;
    struct kit_image im;
    struct spool_range range;
    kit_image_take(k, &im, KIT_N_SMALL, kit_small_bytes);
    for (unsigned i = 0; i < KIT_N_SMALL; i++) {
        version_put(&im, 2, KIT_SEGMENT_HEAD);
        kit_file_write(im.path, im.file.p, im.file.n);
        kit_open(k);
        assert_int_equal(spool_claim(k->s, 1, 1 << 20, &range), 1);
        spool_settle(k->s, &range);
        kit_close(k);
        version_put(&im, 3, KIT_SEGMENT_HEAD);
        kit_file_write(im.path, im.file.p, im.file.n);
        if (i < KIT_N_SMALL - 1)
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

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define CASE_IN_PARTS(name) \
    { \
#name "_in_parts", name, setup_in_parts, teardown, NULL \
    }

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
        CASE(what_was_set_aside_long_ago_goes),
        CASE(what_goes_makes_room),
        CASE(a_torn_tail_is_kept_and_told_of),
        CASE(torn_tails_leave_room_for_damage),
        CASE(damage_before_a_trailer_is_no_torn_tail),
        CASE(finds_records_behind_a_long_gap),
        CASE(bytes_in_a_payload_never_pass_for_a_record),
        CASE_IN_PARTS(s4_a_torn_tail_is_cut_at_every_byte),
        CASE_IN_PARTS(s4_a_damaged_byte_costs_its_record_only),
        CASE_IN_PARTS(s4_a_damaged_byte_in_a_finished_segment_costs_its_record_only),
        CASE_IN_PARTS(quarantine_keeps_the_damaged_bytes_once),
        CASE_IN_PARTS(bytes_in_a_payload_never_pass_for_a_record),
        CASE(another_versions_records_are_left_alone),
        CASE(another_versions_digested_segment_goes),
    };
    return cmocka_run_group_tests_name("spool_damage", tests, NULL, NULL);
}
