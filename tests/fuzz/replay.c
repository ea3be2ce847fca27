/* replay.c: runs a fuzz target over the files of the directories that are its arguments, in TAP: one test per directory. Each input is
 * copied into a block of its exact size, so that a sanitizer build sees the first byte read beyond it. Its name is printed before, so that
 * the last one printed is the one the target died on. An empty or missing directory is a failure: a corpus that is not there tests nothing. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "picket/base/macros.h"

/* 0, or -errno when the file cannot be read. */
static int replay_file(int dir, const char *name)
{
    AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    size_t size = (size_t)st.st_size, at = 0;
    AUTO_FREE uint8_t *data = malloc(size ? size : 1);
    if (!data)
        return -ENOMEM;
    while (at < size) {
        ssize_t got = read(fd, data + at, size - at);
        if (got <= 0)
            return got < 0 ? -errno : -EIO;
        at += (size_t)got;
    }
    (void)LLVMFuzzerTestOneInput(data, size); /* a target fails by dying */
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct dirent *const *)a)[0]->d_name, ((const struct dirent *const *)b)[0]->d_name);
}

/* Number of inputs replayed, or -errno. */
static int replay_directory(const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, NULL);
    if (n < 0)
        return -errno;
    qsort(entries, (size_t)n, sizeof *entries, by_name);
    AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = dir < 0 ? -errno : 0, inputs = 0;
    for (int i = 0; i < n; i++) {
        if (r == 0 && entries[i]->d_name[0] != '.') {
            printf("# %s/%s\n", path, entries[i]->d_name);
            fflush(stdout);
            r = replay_file(dir, entries[i]->d_name);
            inputs += r == 0;
        }
        free(entries[i]);
    }
    free(entries);
    return r < 0 ? r : inputs;
}

int main(int argc, char **argv)
{
    int failures = argc < 2;
    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        int n = replay_directory(argv[i]);
        printf("%s %d - replay of %d inputs\n", n > 0 ? "ok" : "not ok", i, n < 0 ? 0 : n);
        if (n <= 0) {
            fprintf(stderr, "%s: %s\n", argv[i], n < 0 ? strerror(-n) : "no input in it");
            failures++;
        }
    }
    return failures ? 1 : 0;
}
