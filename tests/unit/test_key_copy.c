/* The file that the key cache's copy is (key_copy.c): what was written is read back, and nothing that is damaged passes for keys. */
#include <stdarg.h>
#include <setjmp.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "../../src/auth/key_copy.h"

struct place {
    char dir[64], file[80], temporary[96];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/picket-keys-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->file, sizeof p->file, "%s/keys", p->dir);
    (void)snprintf(p->temporary, sizeof p->temporary, "%s.tmp", p->file);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    (void)unlink(p->file);
    (void)rmdir(p->temporary);
    assert_int_equal(rmdir(p->dir), 0); /* nothing else was left there */
    free(p);
    return 0;
}

static size_t write_some(struct place *p, struct key_entry *entries, size_t n)
{
    struct stat st;
    for (size_t i = 0; i < n; i++)
        entries[i] = (struct key_entry){id_random(), {.project_id = i + 1, .key_id = -(int64_t)i, .active = i % 2 == 0}};
    assert_int_equal(key_copy_write(p->file, entries, n), 0);
    assert_int_equal(stat(p->file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    return (size_t)st.st_size;
}

static void reads_back_what_was_written(void **state)
{
    struct place *p = *state;
    static const size_t counts[] = {1000, 1, 0, 7}; /* shorter ones after longer ones */
    for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
        struct key_entry written[1000];
        AUTO_FREE struct key_entry *read = NULL;
        (void)write_some(p, written, counts[c]);
        assert_int_equal(key_copy_read(p->file, &read), counts[c]);
        for (size_t i = 0; i < counts[c]; i++) {
            assert_true(id_eq(&read[i].key, &written[i].key));
            assert_int_equal(read[i].info.project_id, written[i].info.project_id);
            assert_int_equal(read[i].info.key_id, written[i].info.key_id);
            assert_int_equal(read[i].info.active, written[i].info.active);
        }
    }
}

static void no_file_is_told_apart(void **state)
{
    struct place *p = *state;
    struct key_entry *read = NULL;
    assert_int_equal(key_copy_read(p->file, &read), -ENOENT);
    assert_null(read);
}

static void damage_is_seen(void **state)
{
    struct place *p = *state;
    struct key_entry entries[3], *read = NULL;
    size_t size = write_some(p, entries, ARRAY_LEN(entries));
    AUTO_CLOSE int fd = open(p->file, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t at = 0; at < size; at++) {
        unsigned char byte;
        assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
        unsigned char other = byte ^ (unsigned char)(1u << at % 8);
        assert_int_equal(pwrite(fd, &other, 1, (off_t)at), 1);
        assert_int_equal(key_copy_read(p->file, &read), -EBADMSG);
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    }
    for (size_t shorter = size; shorter-- > 0;) {
        assert_int_equal(ftruncate(fd, (off_t)shorter), 0);
        assert_int_equal(key_copy_read(p->file, &read), -EBADMSG);
    }
    assert_int_equal(ftruncate(fd, (off_t)size), 0); /* zeros */
    assert_int_equal(key_copy_read(p->file, &read), -EBADMSG);
    assert_null(read);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    struct place *p = *state;
    struct key_entry entries[3];
    AUTO_FREE struct key_entry *read = NULL;
    (void)write_some(p, entries, 2);
    assert_int_equal(mkdir(p->temporary, 0700), 0); /* in the way */
    assert_int_equal(key_copy_write(p->file, entries, 3), -EISDIR);
    assert_int_equal(key_copy_read(p->file, &read), 2);
    assert_int_equal(key_copy_write("/nowhere/at/all", entries, 3), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_back_what_was_written, setup, teardown),
        cmocka_unit_test_setup_teardown(no_file_is_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_write_leaves_the_old_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
