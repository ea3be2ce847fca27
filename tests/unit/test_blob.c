/* test_blob.c: content-addressed files (src/blob): what is put is there, once, within bounds; what nobody names goes, and nothing else. */
#include "blob_kit.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/statvfs.h>

#include "internal.h"

static void put_and_read(void **state)
{
    (void)state;
    static const char binary[] = "a\0b\xff\n";
    const struct str contents[] = {STR(""), STR("x"), {binary, sizeof binary - 1}};
    struct kit k;
    kit_init(&k);
    for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
        struct blob_name name, again;
        assert_int_equal(blob_put(k.s, PROJECT, contents[i], &name), 0);
        assert_true(kit_holds(&k, &name, contents[i]));
        assert_int_equal(blob_put(k.s, PROJECT, contents[i], &again), 0);
        assert_memory_equal(&name, &again, sizeof name);
    }
    struct blob_stats stats;
    blob_stats(k.s, &stats);
    assert_int_equal(stats.bytes, 3 * BLOB_BLOCK);
    assert_int_equal(kit_walk(&k, INT64_MAX, NULL, 0), 3);
    kit_done(&k);
}

/* FIPS 180-4's example. */
static void named_by_sha_256(void **state)
{
    (void)state;
    char path[KIT_PATH_MAX];
    struct blob_name name;
    struct kit k;
    struct stat st;
    kit_init(&k);
    assert_int_equal(blob_put(k.s, PROJECT, STR("abc"), &name), 0);
    kit_path(&k, &name, path);
    assert_true(str_ends(str_from(path), STR("/42/ba/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    *strrchr(path, '/') = '\0';
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    kit_done(&k);
}

static void projects_are_apart(void **state)
{
    (void)state;
    struct blob_name name, other;
    struct kit k;
    uint64_t bytes;
    kit_init(&k);
    assert_int_equal(blob_put(k.s, PROJECT, STR("mine"), &name), 0);
    other = name;
    other.project_id = PROJECT + 1;
    assert_int_equal(blob_read_open(k.s, &other, &bytes), -ENOENT);
    kit_done(&k);
}

/* A file that lost its end (a disk's fault: a crash leaves none) is written again. */
static void damaged_is_replaced(void **state)
{
    (void)state;
    char path[KIT_PATH_MAX];
    struct blob_name name;
    struct kit k;
    kit_init(&k);
    assert_int_equal(blob_put(k.s, PROJECT, STR("whole"), &name), 0);
    kit_path(&k, &name, path);
    assert_int_equal(truncate(path, 2), 0);
    assert_int_equal(blob_put(k.s, PROJECT, STR("whole"), &name), 0);
    assert_true(kit_holds(&k, &name, STR("whole")));
    kit_done(&k);
}

static void bounds(void **state)
{
    (void)state;
    struct blob_name name;
    struct blob_stats stats;
    struct kit k;
    kit_init(&k);
    char zeros[3 * BLOB_BLOCK + 1] = {0};
    k.config.project_max_bytes = UINT64_C(3) * BLOB_BLOCK;
    k.config.max_bytes = UINT64_C(5) * BLOB_BLOCK;
    kit_reopen(&k);
    assert_int_equal(blob_put(k.s, 1, str_of(zeros, 3 * BLOB_BLOCK + 1), &name), -ERR_BLOB_QUOTA);
    assert_int_equal(blob_put(k.s, 1, str_of(zeros, 2 * BLOB_BLOCK + 1), &name), 0); /* a block for a part of one */
    assert_int_equal(blob_put(k.s, 1, STR("x"), &name), -ERR_BLOB_QUOTA);
    assert_int_equal(blob_put(k.s, 2, str_of(zeros, 2 * BLOB_BLOCK + 1), &name), -ERR_BLOB_QUOTA);
    assert_int_equal(blob_put(k.s, 2, STR("x"), &name), 0);
    assert_int_equal(blob_put(k.s, 2, STR(""), &name), 0); /* many empty ones fill a disk, too */
    assert_int_equal(blob_put(k.s, 2, STR("z"), &name), -ERR_BLOB_QUOTA);
    kit_reopen(&k); /* what lies there is known when it is counted */
    blob_stats(k.s, &stats);
    assert_false(stats.counted);
    assert_int_equal(blob_count(k.s), 0);
    blob_stats(k.s, &stats);
    assert_true(stats.counted);
    assert_int_equal(stats.bytes, 5 * BLOB_BLOCK);
    assert_int_equal(blob_put(k.s, 2, STR("y"), &name), -ERR_BLOB_QUOTA);
    struct blob_found found[3];
    assert_int_equal(kit_walk(&k, INT64_MAX, found, 3), 3);
    assert_int_equal(blob_remove(k.s, &found[0], INT64_MAX), 1);
    assert_int_equal(blob_put(k.s, found[0].name.project_id, STR("y"), &name), 0); /* there is room again */
    kit_done(&k);
}

static void the_floor(void **state)
{
    (void)state;
    struct blob_name name;
    struct blob_stats stats;
    struct kit k;
    kit_init(&k);
    assert_int_equal(mkdir(k.dir, 0700), 0);
    k.config.free_floor_bytes = UINT64_MAX / 2;
    kit_reopen(&k);
    assert_int_equal(blob_put(k.s, PROJECT, STR("x"), &name), -ERR_BLOB_FULL);
    blob_stats(k.s, &stats);
    assert_int_equal(stats.bytes, 0);
    assert_int_equal(kit_walk(&k, INT64_MAX, NULL, 0), 0);
    kit_done(&k);
}

/* Bytes and files: either may be used up first. */
static void room(void **state)
{
    (void)state;
    const struct statvfs ample = {.f_frsize = 4096, .f_bavail = 1000, .f_files = 1 << 20, .f_favail = BLOB_FILES_FLOOR};
    const uint64_t half = UINT64_C(500) * 4096;
    struct statvfs disk = ample;
    assert_true(blob_has_room(&disk, half, half));
    assert_false(blob_has_room(&disk, half + 1, half));
    assert_false(blob_has_room(&disk, 4096, UINT64_MAX));
    disk.f_favail--;
    assert_false(blob_has_room(&disk, 4096, 4096));
    assert_true(blob_has_room(&disk, 4096, 0)); /* nothing is left alone */
    disk.f_files = disk.f_favail = 0;           /* as of btrfs */
    assert_true(blob_has_room(&disk, 4096, 4096));
}

/* Only what was put before a time and not since is judged; removing looks again. */
static void old_ones_are_found_and_removed(void **state)
{
    (void)state;
    struct blob_name old, young, again;
    struct blob_found found[3];
    struct kit k;
    kit_init(&k);
    int64_t before_us = clock_wall_us() - OLD_US / 2;
    assert_int_equal(blob_put(k.s, PROJECT, STR("old"), &old), 0);
    assert_int_equal(blob_put(k.s, PROJECT, STR("young"), &young), 0);
    assert_int_equal(blob_put(k.s, PROJECT, STR("again"), &again), 0);
    kit_age(&k, &old);
    kit_age(&k, &again);
    assert_int_equal(kit_walk(&k, before_us, found, 3), 2);
    assert_int_equal(blob_put(k.s, PROJECT, STR("again"), &again), 0); /* between the walk and the removal */
    unsigned removed = 0;
    for (unsigned i = 0; i < 2; i++) {
        int r = blob_remove(k.s, &found[i], before_us);
        assert_true(r == 0 || r == 1);
        removed += (unsigned)r;
        assert_int_equal(blob_remove(k.s, &found[i], before_us), 0); /* gone, or young */
    }
    assert_int_equal(removed, 1);
    assert_false(kit_holds(&k, &old, STR("old")));
    assert_true(kit_holds(&k, &young, STR("young")) && kit_holds(&k, &again, STR("again")));
    kit_done(&k);
}

/* A crash's leftovers go when they are old; what is none of ours stays. */
static void leftovers(void **state)
{
    (void)state;
    static const char *const names[] = {".00112233445566778899aabbccddeeff.new", "README"};
    struct blob_name name;
    struct kit k;
    char path[KIT_PATH_MAX + 64];
    kit_init(&k);
    assert_int_equal(blob_put(k.s, PROJECT, STR("abc"), &name), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof path, "%s/42/ba/%s", k.dir, names[i]);
        AUTO_CLOSE int fd = open(path, O_CREAT | O_WRONLY, 0600);
        assert_true(fd >= 0);
    }
    (void)snprintf(path, sizeof path, "%s/42/ba/%s", k.dir, names[0]);
    assert_int_equal(kit_walk(&k, clock_wall_us() - OLD_US, NULL, 0), 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(kit_walk(&k, INT64_MAX, NULL, 0), 1);
    assert_int_equal(access(path, F_OK), -1);
    (void)snprintf(path, sizeof path, "%s/42/ba/%s", k.dir, names[1]);
    assert_int_equal(access(path, F_OK), 0);
    kit_done(&k);
}

/* What any node may still have to tell holds back what is judged. */
static void holds(void **state)
{
    (void)state;
    struct blob_name name;
    struct kit k;
    int64_t horizon, now_us = clock_wall_us();
    const struct id128 other = {{9}};
    kit_init(&k);
    assert_int_equal(blob_horizon(k.s, &horizon), -ENOENT);
    assert_int_equal(blob_put(k.s, PROJECT, STR("x"), &name), 0); /* says it by itself */
    assert_int_equal(blob_horizon(k.s, &horizon), 0);
    assert_int_equal(horizon, k.config.oldest_us - CLOCK_US_PER_HOUR);
    assert_int_equal(blob_hold(k.s, &other, now_us - OLD_US), 0);
    assert_int_equal(blob_horizon(k.s, &horizon), 0);
    assert_int_equal(horizon, now_us - OLD_US - CLOCK_US_PER_HOUR);
    assert_int_equal(blob_hold(k.s, &other, now_us + CLOCK_US_PER_HOUR), 0);
    assert_int_equal(blob_horizon(k.s, &horizon), 0);
    assert_int_equal(horizon, k.config.oldest_us - CLOCK_US_PER_HOUR);
    kit_done(&k);
}

/* Its words were said by a clock that was a day ahead, and what is put now is older than they are. */
static void holds_after_a_clock_was_set_back(void **state)
{
    (void)state;
    struct blob_name name;
    struct kit k;
    int64_t horizon, now_us = clock_wall_us();
    const struct id128 other = {{9}};
    kit_init(&k);
    assert_int_equal(blob_hold(k.s, &other, now_us + CLOCK_US_PER_DAY), 0);
    assert_int_equal(blob_hold(k.s, &k.config.node, now_us + CLOCK_US_PER_DAY), 0);
    assert_int_equal(blob_horizon(k.s, &horizon), 0);
    assert_in_range(horizon, now_us - CLOCK_US_PER_HOUR, clock_wall_us() - CLOCK_US_PER_HOUR); /* whatever they say */
    assert_int_equal(blob_put(k.s, PROJECT, STR("x"), &name), 0);
    assert_int_equal(blob_horizon(k.s, &horizon), 0);
    assert_int_equal(horizon, k.config.oldest_us - CLOCK_US_PER_HOUR);
    kit_done(&k);
}

/* ---- B3: somebody else holds the shard's lock while one of these comes */

struct visitor {
    pthread_t thread;
    struct blob_store *s;
    struct blob_found found;
    int64_t before_us;
    int r;
};

static void *visit_to_put(void *arg)
{
    struct visitor *v = arg;
    v->r = blob_put(v->s, PROJECT, STR("x"), &v->found.name);
    return NULL;
}

static void *visit_to_remove(void *arg)
{
    struct visitor *v = arg;
    v->r = blob_remove(v->s, &v->found, v->before_us);
    return NULL;
}

static int shard_lock(const struct kit *k, int how)
{
    char path[KIT_PATH_MAX];
    struct blob_name name;
    assert_int_equal(blob_put(k->s, PROJECT, STR("x"), &name), 0);
    assert_true(snprintf(path, sizeof path, "%s/%d/%02x", k->dir, PROJECT, name.sha256[0]) < (int)sizeof path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, how), 0);
    return fd;
}

/* Until the kernel lists somebody who waits for that lock (proc(5)): for ever, if nobody does. */
static void wait_for_waiter(int fd)
{
    char line[256], end[64];
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    (void)snprintf(end, sizeof end, ":%" PRIu64 " 0 EOF", (uint64_t)st.st_ino);
    for (bool seen = false; !seen; (void)sched_yield()) {
        FILE *locks = fopen("/proc/locks", "re");
        assert_non_null(locks);
        while (!seen && fgets(line, sizeof line, locks))
            seen = strstr(line, "-> FLOCK") && strstr(line, end);
        (void)fclose(locks);
    }
}

static void a_sweeper_waits_for_who_puts(void **state)
{
    (void)state;
    struct visitor v = {.before_us = clock_wall_us() - OLD_US / 2}; /* the visitor's alone while it is there */
    struct blob_name name;
    struct kit k;
    kit_init(&k);
    v.s = k.s;
    AUTO_CLOSE int lock = shard_lock(&k, LOCK_SH);
    assert_int_equal(blob_put(k.s, PROJECT, STR("x"), &name), 0); /* shared: that does not wait */
    v.found = (struct blob_found){.name = name, .bytes = 1};
    kit_age(&k, &name);
    assert_int_equal(pthread_create(&v.thread, NULL, visit_to_remove, &v), 0);
    wait_for_waiter(lock);
    assert_true(kit_holds(&k, &name, STR("x")));
    assert_int_equal(blob_put(k.s, PROJECT, STR("x"), &name), 0); /* new again */
    assert_int_equal(flock(lock, LOCK_UN), 0);
    (void)pthread_join(v.thread, NULL);
    assert_int_equal(v.r, 0);
    assert_true(kit_holds(&k, &name, STR("x")));
    kit_done(&k);
}

static void who_puts_waits_for_a_sweeper(void **state)
{
    (void)state;
    char path[KIT_PATH_MAX];
    struct visitor v = {0};
    struct kit k;
    kit_init(&k);
    v.s = k.s;
    assert_int_equal(blob_put(k.s, PROJECT, STR("x"), &v.found.name), 0);
    kit_path(&k, &v.found.name, path);
    AUTO_CLOSE int lock = shard_lock(&k, LOCK_EX);
    assert_int_equal(pthread_create(&v.thread, NULL, visit_to_put, &v), 0);
    wait_for_waiter(lock);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(flock(lock, LOCK_UN), 0);
    (void)pthread_join(v.thread, NULL);
    assert_int_equal(v.r, 0);
    assert_true(kit_holds(&k, &v.found.name, STR("x")));
    kit_done(&k);
}

/* Putters of the same contents, and a sweeper that thinks all of them unnamed and removes what is older than AGE_US: what was put since is there. */
enum { PUTTERS = 4, ROUNDS = 200, CONTENTS = 26, AGE_US = 20000 };
struct putter {
    pthread_t thread;
    struct kit *kit;
    unsigned promised, lost;
};

/* The clock by which the system stamps files. It goes in steps, and how far it is behind the other one depends on how late a tick is handled. */
static int64_t file_clock_us(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_REALTIME_COARSE, &now), 0);
    return (int64_t)now.tv_sec * CLOCK_US_PER_S + now.tv_nsec / 1000;
}

static void *put_around(void *arg)
{
    struct putter *p = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        char text[] = {(char)('a' + i % CONTENTS), 0};
        struct blob_name name;
        int64_t began_us = file_clock_us();
        int r = blob_put(p->kit->s, PROJECT, str_from(text), &name);
        if (r == -ERR_BLOB_FAILED) /* to this sweeper unfinished files are old, too: nothing was promised */
            continue;
        p->promised++;
        if (r < 0 || (!kit_holds(p->kit, &name, str_from(text)) && file_clock_us() - began_us <= AGE_US))
            p->lost++;
    }
    return NULL;
}

static void put_and_swept_at_once(void **state)
{
    (void)state;
    struct putter putters[PUTTERS];
    struct kit k;
    unsigned promised = 0, lost = 0;
    kit_init(&k);
    for (unsigned i = 0; i < PUTTERS; i++) {
        putters[i] = (struct putter){.kit = &k};
        assert_int_equal(pthread_create(&putters[i].thread, NULL, put_around, &putters[i]), 0);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        int64_t before_us = file_clock_us() - AGE_US;
        struct blob_found found[CONTENTS];
        size_t n = kit_walk(&k, INT64_MAX, found, CONTENTS); /* as if all were old and nobody named them */
        for (size_t j = 0; j < n && j < CONTENTS; j++)
            assert_true(blob_remove(k.s, &found[j], before_us) >= 0);
    }
    for (unsigned i = 0; i < PUTTERS; i++) {
        (void)pthread_join(putters[i].thread, NULL);
        promised += putters[i].promised;
        lost += putters[i].lost;
    }
    assert_true(promised > ROUNDS);
    assert_int_equal(lost, 0);
    kit_done(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_and_read),
        cmocka_unit_test(named_by_sha_256),
        cmocka_unit_test(projects_are_apart),
        cmocka_unit_test(damaged_is_replaced),
        cmocka_unit_test(bounds),
        cmocka_unit_test(the_floor),
        cmocka_unit_test(room),
        cmocka_unit_test(old_ones_are_found_and_removed),
        cmocka_unit_test(leftovers),
        cmocka_unit_test(holds),
        cmocka_unit_test(holds_after_a_clock_was_set_back),
        cmocka_unit_test(a_sweeper_waits_for_who_puts),
        cmocka_unit_test(who_puts_waits_for_a_sweeper),
        cmocka_unit_test(put_and_swept_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
