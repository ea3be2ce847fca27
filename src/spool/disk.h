/* disk.h: every place where the spool touches the file system, each with the name of its fault point, so that tests can fail the n-th one.
 * All return 0 or more, or -errno. Points: spool.write and spool.sync belong to group commit alone; the others are named
 * spool.<what>.<verb>, see the callers. */
#pragma once

#include <stdint.h>
#include <sys/uio.h>

#include "picket/base/macros.h"

MUST_CHECK int disk_open(int dir_fd, const char *name, int flags, const char *point); /* the descriptor; new files get mode 0600 */
MUST_CHECK int disk_mkdir(int dir_fd, const char *name, const char *point);           /* 1: created, 0: was there */
/* All bytes or an error; what was written before an error is unknown. */
MUST_CHECK int disk_write(int fd, const void *p, size_t n, uint64_t at, const char *point);
MUST_CHECK int disk_writev(int fd, struct iovec *iov, unsigned n, uint64_t at, const char *point); /* changes iov */
/* Bytes read: fewer than `n` only at the end of the file. */
MUST_CHECK int disk_read(int fd, void *p, size_t n, uint64_t at, const char *point);
/* fdatasync, for directories too. Never called again on a descriptor after it failed (S5). */
MUST_CHECK int disk_sync(int fd, const char *point);
/* -ENOENT when nothing in the file system leads to the open file any more. */
MUST_CHECK int disk_named(int fd);
MUST_CHECK int disk_rename(int dir_fd, const char *from, const char *to, const char *point);
MUST_CHECK int disk_unlink(int dir_fd, const char *name, const char *point);
MUST_CHECK int disk_truncate(int fd, uint64_t size, const char *point);
