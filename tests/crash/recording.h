/* recording.h: what a spool did to its disk, change by change, and what was promised meanwhile. */
#pragma once

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "picket/base/buf.h"
#include "picket/base/id.h"

#include "disk.h"

enum { RECORDING_NAME_MAX = 160, RECORDING_POINT_MAX = 32 };

/* A disk_change that is kept. */
struct change {
    enum disk_effect effect;
    int dir_fd, fd, flags;
    uint64_t at, bytes;
    int64_t time_us;
    char point[RECORDING_POINT_MAX], name[RECORDING_NAME_MAX], to[RECORDING_NAME_MAX];
    char *data; /* heap, the change's; NULL: no bytes */
};

enum event_kind {
    EVENT_BEGAN,   /* record `seq` was handed over */
    EVENT_ACKED,   /* and acknowledged (S3) */
    EVENT_SEEN,    /* was read back */
    EVENT_SETTLED, /* is about to be settled (S6) */
    EVENT_CLOSED,  /* spool_close returned */
    EVENT_GONE,    /* no record: a letter, taken away */
};
struct event {
    enum event_kind kind;
    uint64_t at; /* changes that were complete when it happened */
    uint32_t seq, payload_bytes;
};

struct recording {
    pthread_mutex_t lock; /* guards the changes: they come from the spool's threads */
    pthread_cond_t more;
    struct change **changes; /* heap, each too: they stay where they are */
    size_t n_changes, max_changes;
    struct buf events; /* of struct event */
    struct id128 node; /* of the spool that was recorded */
};

struct recording *recording_new(void);
void recording_free(struct recording *rec);
/* From here on, and until recording_stop(), every change of every spool in the process is added. While no spool is open. */
void recording_start(struct recording *rec);
void recording_stop(void);
/* For those whose changes are not told by disk_observe(): adds one. */
void recording_add(struct recording *rec, const struct disk_change *change);
void recording_note(struct recording *rec, enum event_kind kind, uint64_t seq, size_t payload_bytes);
/* It happened when `at` changes were complete, and after every event that was noted before. */
void recording_note_at(struct recording *rec, uint64_t at, enum event_kind kind, uint64_t seq);
static inline size_t recording_n_events(const struct recording *rec)
{
    return rec->events.n / sizeof(struct event);
}
static inline const struct event *recording_event(const struct recording *rec, size_t i)
{
    return (const struct event *)rec->events.p + i;
}
/* How many changes came from `point`. */
unsigned recording_count(struct recording *rec, const char *point);
/* Waits until there are more than `n` changes from `point`; false after ten seconds. */
MUST_CHECK bool recording_wait(struct recording *rec, const char *point, unsigned n);
/* Only makes a descriptor: changes nothing on the disk. */
bool change_is_lookup(const struct change *c);
/* The last `tail` of the first `n` changes, one a line. */
void recording_print(FILE *f, const struct recording *rec, size_t n, size_t tail);
/* As a file for the same build on the same machine. */
MUST_CHECK bool recording_save(FILE *f, const struct recording *rec);
struct recording *recording_load(FILE *f); /* NULL: damaged */
