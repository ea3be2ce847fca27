/* internal.h: what the files of the spool share; nobody else includes it. Design, format and invariants: spool.c. "Under lock" means
 * spool.lock, which is never held across I/O, a callback or another lock. */
#pragma once

#include <pthread.h>

#include "door.h"
#include "format.h"
#include "picket/spool/spool.h"

enum {
    QUARANTINE_MAX_BYTES = 64 * 1024 * 1024,
    TORN_MAX_BYTES = QUARANTINE_MAX_BYTES / 2, /* no torn tail is kept beyond */
};

/* ---- segments (segment.c) */
enum segment_state {
    SEGMENT_OPEN,   /* the commit thread appends to it */
    SEGMENT_CLOSED, /* full, everything synced */
    SEGMENT_SEALED, /* a write or sync failed (S5); what lies behind `end` is unknown and never read */
};

struct segment {
    struct list link; /* spool.segments, ascending by number; under lock like all below */
    uint64_t number;
    uint64_t seed; /* of its checksums; constant */
    uint64_t end;  /* everything below is durable and may be read (S1, S3) */
    uint64_t n_records;
    int64_t begun_us; /* clock_boot_us; of one that was found at the start: then. Constant */
    enum segment_state state;
    int fd;        /* -1: not open */
    unsigned refs; /* readers outside the lock */
    bool retired;  /* off the list and unlinked: the last reader frees it */
    bool untidy;   /* finished, but what lies behind its end is not cut yet: the keeper does it */
};

/* A file filled with zeros ahead of need: syncing into it changes no metadata (numbers in spool.c). */
enum spare_state { SPARE_NONE, SPARE_FILLING, SPARE_READY, SPARE_TAKEN };
#define SPARE_NAME "spare"

/* ---- appended blocks */
struct spool_block { /* heap; owned by spool.pending, then the commit thread, then the port's done list */
    struct list link;
    struct spool_append *append; /* port's thread only; NULL after a cancel */
    struct spool_port *port;
    unsigned slot; /* of the door, for its project */
    size_t bytes;  /* of data */
    unsigned n_records;
    int result;
    _Alignas(16) char data[]; /* encoded records, each padded to 8 bytes; offset and head_sum are filled by the commit thread */
};

struct spool_port {
    uv_async_t async;
    struct spool *spool;
    pthread_mutex_t lock; /* guards done, and async against being closed while the commit thread wakes it */
    struct list done;     /* blocks to answer */
    struct list batch;    /* the commit thread's: blocks of the commit under way … */
    struct list touched;  /* … and the link in its list of ports to wake */
    unsigned in_flight;   /* port's thread: blocks not answered yet, cancelled ones too */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- claims (cursor.c) */
enum claim_state { CLAIM_TAKEN, CLAIM_RELEASED };
struct claim { /* heap; on spool.claims, or on spool.skips where the state means nothing */
    struct list link;
    struct spool_range range;
    enum claim_state state;
};

/* ---- commits that went well; the commit thread's to write (counts.c) */
struct spool_counts {
    struct metric_histogram records, bytes, syncs; /* of one commit; µs of its fdatasync */
};

struct spool {
    struct spool_config config;  /* constant; dir is a copy of our own */
    struct spool_counts *counts; /* metric_block */
    char *dir;
    struct id128 node; /* constant */
    int dir_fd, lock_fd;

    pthread_mutex_t lock;
    pthread_cond_t has_pending; /* for the commit thread */
    pthread_cond_t has_chores;  /* for the keeper */
    bool closing, keeper_stop, chores;

    struct list pending; /* blocks to be written */
    uint64_t pending_bytes;
    uint64_t bytes; /* pending and on disk, not yet passed by the cursor */
    bool disk_low;
    struct door door;
    int64_t refuse_until_us; /* monotonic; 0: appends are welcome */
    unsigned n_ports;

    struct list segments;
    struct segment *current; /* NULL: the next commit starts one. Changed by the commit thread only */
    uint64_t last_number;    /* highest ever seen */
    enum spare_state spare;
    int64_t spare_after_us; /* monotonic: not before then */
    uint64_t spare_seen;    /* bytes_appended when it was looked at last */
    uint64_t spare_filled;  /* these two are the keeper's: bytes of it */
    int spare_fd;           /* -1: none is being filled */

    struct spool_pos claim_at; /* everything below was claimed or skipped once */
    struct spool_pos cursor;   /* everything below is settled (S6) */
    bool cursor_dirty;         /* the file lags */
    struct spool_pos kept;     /* what the other file says, which survives a cut of power */
    struct list claims, skips; /* ascending */
    unsigned n_released;

    struct {                         /* spool_oldest_us() */
        struct spool_pos until;      /* where the spool ended when it was asked last */
        int64_t least_us, oldest_us; /* what the wall clock has shown since, at the least; the answer */
    } age;

    uint64_t records_appended, bytes_appended, syncs, refused, turned_away, quarantined, seals, quarantine_used;
    uint64_t appends_queued, appends_ended;
    int last_error;
    int64_t quarantine_measured_us; /* monotonic */

    pthread_mutex_t wake_lock; /* held while wake() runs, so that it can be taken back */
    void (*wake)(void *arg);
    void *wake_arg;

    void (*tell)(void *arg, const struct spool_range *where); /* constant once claims are made */
    void *tell_arg;
    struct buf torn; /* of struct spool_range: tails that the start cut, until they are told of */

    pthread_t committer, keeper;
};

/* segment.c */
struct segment *segment_new(struct spool *s, uint64_t number);
void segment_free(struct segment *seg);
bool segment_is_old(const struct spool *s, const struct segment *seg);                    /* S7; any thread */
MUST_CHECK int segment_create(struct spool *s, struct segment **ret);                     /* S2; commit thread */
MUST_CHECK int segment_write_trailer(const struct spool *s, struct segment *seg, int fd); /* cuts what lies behind, too */
/* Opens it when needed. -ESTALE: removed, because it is settled; -ENOENT: somebody took the file away. */
MUST_CHECK int segment_ref(struct spool *s, uint64_t number, struct segment **ret);
void segment_unref(struct spool *s, struct segment *seg);

/* recovery.c */
MUST_CHECK int spool_recover(struct spool *s, struct spool_recovery *ret);

/* cursor.c */
bool spool_is_further(struct spool_pos a, struct spool_pos b);
void cursor_advance(struct spool *s);                                    /* under lock */
bool cursor_is_at_end(const struct spool *s, const struct segment *seg); /* under lock: all of it is settled, and nothing of a later one */
/* Sets cursor and kept. *ret_lost: there was a file, and none says anything. */
MUST_CHECK int cursor_load(struct spool *s, bool *ret_lost);
enum cursor_save { CURSOR_QUICK, CURSOR_DURABLE }; /* each has a file of its own */
MUST_CHECK int cursor_write(struct spool *s, struct spool_pos pos, enum cursor_save how);

/* port.c */
void ports_answer(struct list *blocks, int result); /* commit thread: empties the list */

/* keeper.c */
void *keeper_main(void *arg);
void keeper_kick(struct spool *s);                        /* under lock */
bool spare_is_due(const struct spool *s, int64_t now_us); /* under lock: a step of it */
void spool_floor_check(struct spool *s);

/* quarantine.c */
void quarantine_measure(struct spool *s); /* at open, and when there seems to be no room */
/* The place is counted and told of. */
void quarantine_tell(struct spool *s, uint64_t segment, uint64_t from, uint64_t to);
/* Keeps a copy of damaged bytes, once, while there is room. */
void quarantine_bytes(struct spool *s, uint64_t segment, uint64_t offset, struct str bytes);
void quarantine_file_part(struct spool *s, const struct segment *seg, uint64_t from, uint64_t to);
/* At start, before the tail is cut: a copy of what there is room for. Told of once somebody listens, not counted. */
void quarantine_torn(struct spool *s, const struct segment *seg, int fd, uint64_t from, uint64_t to);
