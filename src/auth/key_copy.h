/* key_copy.h: the file format of the key cache's copy; see key_copy.c. Blocking; any thread. */
#pragma once

#include "picket/auth/keys.h"

struct key_entry {
    struct id128 key;
    struct key_info info;
};
/* Replaces the file as a whole: after a crash it is the old one or the new one. -errno. */
MUST_CHECK int key_copy_write(const char *path, const struct key_entry *entries, size_t n);
/* The number of entries; *ret is the caller's to free. -ENOENT: no file; -EBADMSG: damaged, or of another version; else -errno. */
MUST_CHECK int64_t key_copy_read(const char *path, struct key_entry **ret);
