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
/* The same of a segment, around bad sectors: what the disk gives -EIO for, more than once and block by block, reads as zeros, and *lost_to is
 * raised to where the last such block ends (NULL is fine). The error stands when the disk gives nothing at all. */
MUST_CHECK int disk_salvage(int fd, void *p, size_t n, uint64_t at, const char *point, uint64_t *lost_to);
/* fdatasync, for directories too. Never called again on a descriptor after it failed (S5). */
MUST_CHECK int disk_sync(int fd, const char *point);
/* -ENOENT when nothing in the file system leads to the open file any more. */
MUST_CHECK int disk_named(int fd);
MUST_CHECK int disk_rename(int dir_fd, const char *from, const char *to, const char *point);
MUST_CHECK int disk_unlink(int dir_fd, const char *name, const char *point);
MUST_CHECK int disk_truncate(int fd, uint64_t size, const char *point);

#ifdef PICKET_FAULT_POINTS
/* Test builds only: what was changed on disk, in order, so that a test can make of it what a cut of power could have left. */
enum disk_effect { DISK_OPENED, DISK_MADE_DIR, DISK_WROTE, DISK_SYNCED, DISK_RENAMED, DISK_UNLINKED, DISK_TRUNCATED, DISK_TOUCHED };
struct disk_change { /* borrowed for the call */
    enum disk_effect effect;
    const char *point;
    int dir_fd;       /* of name and to; AT_FDCWD: the path that the spool was opened with */
    const char *name; /* opened, made, unlinked, renamed from */
    const char *to;   /* renamed to */
    int flags;        /* of the opening */
    int fd;           /* opened, written, synced, truncated, touched */
    uint64_t at;      /* offset of the write, or the size that the file was cut to */
    const struct iovec *iov;
    uint64_t bytes;  /* written, from iov */
    int64_t time_us; /* the file's time of change then; 0: nobody asks, as in a spool, which touches nothing */
};
/* seen() is told of every change after it succeeded, on the thread that made it; while it is set, changes happen one after the other, so
 * their order is the order of the calls. NULL ends it. One for the process, as with fault points; set only while no spool is open. */
void disk_observe(void (*seen)(void *arg, const struct disk_change *change), void *arg);
/* Reads that touch the bytes [from, to) of any file fail with -EIO, until an empty span is given. As above: one, while nobody reads. */
void disk_break(uint64_t from, uint64_t to);
#endif
