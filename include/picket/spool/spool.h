/* spool.h: the durable queue between ingest and digest. Records are appended by many threads, made durable by one (group commit), and
 * claimed in order by digest workers. Format, design and invariants S1–S6: src/spool/spool.c.
 *
 * Threads: spool_append from any thread that has a port; callbacks run on the port's loop. spool_claim, spool_read, spool_settle from
 * any thread. Limits are bytes. Errors are -errno or -ERR_SPOOL_*. */
#pragma once

#include <uv.h>

#include "picket/base/buf.h"
#include "picket/base/id.h"
#include "picket/base/list.h"
#include "picket/base/metrics.h"

enum { SPOOL_MAX_RECORD = 8 * 1024 * 1024 }; /* header, meta and payload together */

/* How long a segment takes records: usually, so that a quiet server makes a file an hour at most, and as a bound of what may be configured, which is
 * far below the time for which it is known what was stored (digest/digest.h). */
#define SPOOL_SEGMENT_US INT64_C(3600000000)
enum { SPOOL_SEGMENT_MAX_S = 86400 };

/* Written to disk and to dead letters: numbers are for ever. */
enum spool_kind {
    SPOOL_EVENT = 1,
    SPOOL_CLIENT_REPORT = 2,
    SPOOL_SESSION = 3,  /* an update of one session */
    SPOOL_SESSIONS = 4, /* aggregates */
    SPOOL_FEEDBACK = 5,
    SPOOL_USER_REPORT = 6,
    SPOOL_ATTACHMENT = 7, /* what describes it; its bytes are in the blob store */
    SPOOL_CHECK_IN = 8,
    SPOOL_OUTCOMES = 100, /* the door's own account (ingest/ledger.c); of no project */
};

struct spool_config {
    const char *dir;           /* created 0700 if missing; locked (flock): a second opener gets -ERR_SPOOL_LOCKED */
    uint64_t segment_bytes;    /* a segment is closed when it has grown past this … */
    int64_t segment_us;        /* … or its first record is older than this (S7), and then goes when it is digested; 0: SPOOL_SEGMENT_US */
    uint64_t max_bytes;        /* undigested bytes on disk; beyond: -ERR_SPOOL_FULL */
    uint64_t free_floor_bytes; /* free disk below this: -ERR_SPOOL_FULL; checked about once a second */
    uint64_t max_pending_bytes; /* queued in memory and not yet written; beyond: -ERR_SPOOL_FULL */
    int64_t delay_us; /* backlog, in time to digest it, beyond which projects are held to their share: -ERR_SPOOL_SHARE (door.c); 0: none */
};

struct spool_record {
    struct id128 id;       /* the server's: UUIDv7 of the receipt time */
    struct id128 event_id; /* the event's; names no file */
    uint64_t project_id;
    uint64_t key_id; /* the project key that it came by; 0: not known */
    int64_t received_us;
    int64_t sent_at_us; /* 0: none */
    uint8_t addr[16];   /* client address, IPv4 as ::ffff:a.b.c.d; all zero: unknown */
    enum spool_kind kind;
    struct str meta; /* the envelope header's JSON text */
    struct str payload;
};

struct spool_pos {
    uint64_t segment, offset;
};
/* Consecutive records of one segment: bytes [from, to). */
struct spool_range {
    uint64_t segment, from, to;
    unsigned n_records;
};

struct spool;

/* What opening found (recovery.c). */
struct spool_recovery {
    uint64_t segments;          /* not wholly digested */
    uint64_t records;           /* in them; of a segment that was finished in good order all of its records */
    uint64_t torn_bytes;        /* cut off at the end of segments that were not finished: not acknowledged, or damaged since */
    uint64_t quarantined_bytes; /* damage found before the end; the bytes are kept aside when a claim comes to them */
    bool
        cursor_lost; /* the cursor's file was there and could not be read: what was digested of these segments comes again, and is not stored again */
};
/* Opens or creates, cuts torn tails, finds the records that are not digested, starts the spool's two threads. *ret_recovery may be NULL.
 * -ERR_SPOOL_LOCKED, -ERR_SPOOL_VERSION (undigested records of another format; nothing is changed), or -errno of the directory; a bad sector (EIO) under the
 * cursor's or the node's file prevents no start. The segment for new records is made by the first append: a full disk does not prevent
 * a start, and what is spooled can be digested. */
MUST_CHECK int spool_open(const struct spool_config *config, struct spool **ret, struct spool_recovery *ret_recovery);
/* Syncs what is queued, answers it, stops the thread, saves the cursor. All ports are closed before. NULL is fine. */
void spool_close(struct spool *s);
/* This spool's own id (a file beside the segments), for digest_batches. */
struct id128 spool_node(const struct spool *s);

/* ---- appending */
struct spool_port; /* one per loop that appends */
MUST_CHECK int spool_port_open(struct spool *s, uv_loop_t *loop, struct spool_port **ret);
/* Appends under way are answered first; closed() (may be NULL) runs on the loop when the port is gone. Port's thread. */
void spool_port_close(struct spool_port *port, void (*closed)(void *arg), void *arg);

struct spool_block;
struct spool_append {                            /* the caller's, zeroed before its first use; may be used again after done() */
    void (*done)(struct spool_append *a, int r); /* 0: durable (S3); exactly once, later, on the port's loop; <0: -ERR_SPOOL_SEALED */
    struct spool_block *block;                   /* private; NULL: nothing under way */
};
/* Copies the records (all of one envelope: all durable or none acknowledged) and queues them; no I/O. <0: nothing was queued and done()
 * will not run: -ERR_SPOOL_FULL, -ERR_SPOOL_SHARE (the first record's project brings too much), -ERR_SPOOL_CLOSED, -ERR_TOO_LARGE (a record over SPOOL_MAX_RECORD, all over max_pending_bytes, or n is
 * 0), -ERR_SPOOL_SEALED (no segment can be made; tried again once a second). Port's thread. */
MUST_CHECK int spool_append(struct spool_port *port, struct spool_append *a, const struct spool_record *records, unsigned n);
/* 0, or -ERR_SPOOL_SHARE: so many bytes of the project would be refused now, so they need not be looked at. Any thread. */
MUST_CHECK int spool_turns_away(struct spool *s, uint64_t project_id, uint64_t bytes);
/* Seconds after which it makes sense to come back for who was refused with -ERR_SPOOL_SHARE. Any thread. */
unsigned spool_retry_s(struct spool *s);
/* done() will not run any more; the records are written nevertheless. Idempotent; fine after done(). Port's thread. */
void spool_append_cancel(struct spool_append *a);

/* ---- digesting */
/* The next unclaimed, durable records: up to max_records or about max_bytes (at least one), never across a segment's end nor across
 * a full hour (UTC) of their receipt times, because the digest counts by the hour. 1: *ret filled; 0: nothing there; <0: the disk cannot
 * be read. Damaged bytes on the way are quarantined and counted. May read from the disk. */
MUST_CHECK int spool_claim(struct spool *s, unsigned max_records, uint64_t max_bytes, struct spool_range *ret);
/* Reads the range with pread into `buf` (replaced) and fills records[0..n): their slices borrow `buf`. Returns the number of valid
 * records; a record whose checksum fails (S4) is quarantined, counted and left out. `records` has room for range->n_records. */
MUST_CHECK int spool_read(struct spool *s, const struct spool_range *range, struct buf *buf, struct spool_record *records);
/* The same in parts, for who need not have all of them at once: from *at on, which is range->from at first, about max_bytes (> 0), or one record that is
 * larger; *at moves behind them, and is range->to when that was all. A part may have no valid record. `records` has room for max_records, which
 * are those of the range that were not read yet. After an error *at is as it was. */
MUST_CHECK int spool_read_part(struct spool *s, const struct spool_range *range, uint64_t *at, size_t max_bytes, struct buf *buf,
                               struct spool_record *records, unsigned max_records);
/* The range's records without meta and payload, which are "", by their headers alone: what is damaged behind them is found by reading. */
MUST_CHECK int spool_heads(struct spool *s, const struct spool_range *range, struct spool_record *records);
/* The range's transaction is committed (S6): moves the low-water mark, saves the cursor from time to time, removes passed segments. */
void spool_settle(struct spool *s, const struct spool_range *range);
/* The range was not committed and will be claimed again, before anything new (in parts, if a claim then wants fewer records). Wakes nobody:
 * the caller knows when it makes sense to try again. */
void spool_release(struct spool *s, const struct spool_range *range);
/* At start, before the first claim: a range that an earlier run committed though the cursor did not get there (digest_batches). */
void spool_skip(struct spool *s, const struct spool_range *range);
/* wake() is called on the spool's thread whenever records became durable: it only signals (uv_async_send). One per spool; NULL takes it
 * back, and when that returns it is not running and will not run. */
void spool_on_durable(struct spool *s, void (*wake)(void *arg), void *arg);
/* tell() is called, on the thread that claims or reads, once for each place whose bytes are damaged or gone: what lay there is lost, and what is left
 * of it is in quarantine/. Within this call it is told of the torn tails that the opening cut; they may never have been promised. Set
 * before the first claim. */
void spool_on_damage(struct spool *s, void (*tell)(void *arg, const struct spool_range *where), void *arg);

/* Files in <dir>/quarantine that were set aside before `before_us` (wall) are removed, or only counted; *ret is filled also when that fails for some.
 * Any process may do it beside the one that has the spool open. Blocks for the disk. Durable when it returns 0; no such directory: nothing there. */
enum spool_aging { SPOOL_COUNT_AGED, SPOOL_REMOVE_AGED };
struct spool_aged {
    uint64_t files, bytes;
};
MUST_CHECK int spool_quarantine_age(const char *dir, int64_t before_us, enum spool_aging how, struct spool_aged *ret);

struct spool_stats {
    uint64_t bytes; /* undigested, on disk and pending */
    uint64_t records_appended, syncs;
    uint64_t refused;     /* appends refused or failed */
    uint64_t turned_away; /* appends and questions before them that were told -ERR_SPOOL_SHARE */
    uint64_t quarantined; /* places with damaged bytes */
    uint64_t seals;       /* segments ended by a failed write or sync (S5) */
    int last_error;       /* of the last failed commit; 0: none */
    struct spool_pos cursor, synced;
    uint64_t appends_queued; /* since the opening: that were taken, and … */
    uint64_t
        appends_ended; /* … in the same order, that are durable or failed. When this passes what the other was, all of those are below `synced` */
};
void spool_stats(struct spool *s, struct spool_stats *ret);
void spool_put_metrics(struct spool *s, struct metric_text *t); /* what is in the stats, too. Any thread */
/* Wall clock, µs, however it was set meanwhile: no record that is not settled yet was written when it showed less; a few seconds behind what could be
 * said. Now, when there is none. SPOOL_AGE_UNKNOWN, which is before everything: some of an earlier process are left. Any thread. */
#define SPOOL_AGE_UNKNOWN INT64_C(0)
int64_t spool_oldest_us(struct spool *s);
/* Wall clock, µs, by the clock as it was set then: when the oldest segment with something that is not settled was begun; now, when there is none, or when that
 * is still to come. For who prepares something for those records, and can do without. Any thread. */
int64_t spool_begun_us(struct spool *s);
