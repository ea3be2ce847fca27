/* fuzz_key_copy.c: the file with the project keys, in any state. The first byte says whether the checksum is made right, so that what stands behind
 * it is reached. A file that is accepted has the entries that its head claims, and written again it is read again as the same. */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "key_copy.h"
#include "picket/base/buf.h"
#include "picket/base/hash.h"

enum { HEAD_BYTES = 32, ENTRY_BYTES = 40 };

/* A file in memory; *ret_path leads to it. */
static int file_with(const char *p, size_t n, char ret_path[64])
{
    int fd = memfd_create("keys", MFD_CLOEXEC);
    ssize_t put = fd < 0 ? -1 : write(fd, p, n);
    if (put != (ssize_t)n || snprintf(ret_path, 64, "/proc/self/fd/%d", fd) >= 64)
        abort();
    return fd;
}

static void check_again(const struct key_entry *entries, size_t n)
{
    char dir[] = P_tmpdir "/fuzz-keys-XXXXXX", path[64];
    AUTO_FREE struct key_entry *again = NULL;
    if (!mkdtemp(dir) || snprintf(path, sizeof path, "%s/keys", dir) >= (int)sizeof path)
        abort();
    int r = key_copy_write(path, entries, n);
    assert(r == 0);
    int64_t read = key_copy_read(path, &again);
    assert(read == (int64_t)n);
    for (size_t i = 0; i < n; i++)
        assert(id_eq(&entries[i].key, &again[i].key) && entries[i].info.project_id == again[i].info.project_id &&
               entries[i].info.key_id == again[i].info.key_id && entries[i].info.active == again[i].info.active);
    (void)unlink(path); /* of this process only */
    (void)rmdir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF struct buf bytes = {0};
    AUTO_FREE struct key_entry *entries = NULL;
    char path[64];
    if (size == 0)
        return 0;
    buf_append(&bytes, data + 1, size - 1);
    if (bytes.n >= HEAD_BYTES && data[0] % 2 == 1) {
        uint64_t sum = hash64(bytes.p + sizeof sum, bytes.n - sizeof sum);
        memcpy(bytes.p, &sum, sizeof sum);
    }
    int fd = file_with(bytes.p, bytes.n, path);
    int64_t n = key_copy_read(path, &entries);
    (void)close(fd); /* in memory only */
    assert(n == -EBADMSG || (n >= 0 && bytes.n == HEAD_BYTES + (size_t)n * ENTRY_BYTES));
    if (n >= 0)
        check_again(entries, (size_t)n);
    return 0;
}
