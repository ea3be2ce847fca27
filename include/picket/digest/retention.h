/* retention.h: one run of retention: looks for what belongs to erased persons, drops and rewrites the days that are due, then tidies up. Design: src/digest/retention.c and
 * sql/migrations (retention; attachments and what is tidied: 0019_letters_age.sql). Everything happens on the loop of `db`, without blocking it. */
#pragma once

#include "picket/db/db.h"
#include "picket/event/person.h"

struct retention_person {
    int32_t project; /* 0: nobody */
    struct person person;
};
struct retention_config {
    struct db *db;                /* one connection of its own, with a query_ms that a day's copy fits in; outlives the run */
    unsigned days;                /* how long events are kept where their project says nothing */
    unsigned per_issue;           /* how many events of an issue; 0: all */
    unsigned letter_days;         /* how long dead letters are kept since they first failed; 0: whatever their age */
    bool dry_run;                 /* only says what would be done */
    int64_t now_us;               /* wall time that ages are counted from */
    unsigned wait_ms;             /* how long another run on this database is waited for; 0: not at all */
    struct retention_person only; /* in a dry run: says what an erasure of that person would take away, and nothing else. Borrowed */
};

/* What was found of persons who are to be erased (src/digest/erasure.c); it is gone when its days are. */
struct retention_erased {
    int result;        /* <0: not all was looked through, the next run will; -ERR_DB_UNQUIET: a transaction of a Picket does not end */
    int64_t looked_at; /* events */
    int64_t events, dead_letters, bytes;
};

/* What became of one day. Bytes are those of the events' rows, about; space is given back to the file system. */
struct retention_day {
    char day[11]; /* 2026-11-21 */
    int result;   /* 0, or <0: nothing has changed; -ERR_DB_BUSY: others kept it busy, the next run tries again */
    char sqlstate[DB_SQLSTATE];
    int64_t rows, bytes; /* before */
    int64_t dropped_rows, dropped_bytes;
};
/* What goes row by row. Each is more than one table: with the counts by category, the numbers of users and states of sessions, and so on. */
enum retention_kind {
    RETENTION_FEEDBACK,
    RETENTION_CHECK_INS,
    RETENTION_OUTCOMES,
    RETENTION_SESSIONS,
    RETENTION_OTHERS, /* hourly counts of issues, notes of batches and records, events whose time was no time */
    RETENTION_DEAD_LETTERS,
    RETENTION_ERASED, /* feedback, users of sessions and today's events of erased persons; in a dry run they are not counted */
    RETENTION_KINDS,
};
const char *retention_kind_name(enum retention_kind kind); /* "check_ins" */

struct retention_total {
    unsigned days, failed_days; /* told by day(); not had, told or, behind one that others kept busy, not even tried */
    unsigned days_due;          /* known before the first day: for progress */
    int64_t dropped_rows, dropped_bytes;
    int64_t attachments, attachment_bytes; /* rows that are gone, or would be; files: sweep.h */
    int64_t tidied[RETENTION_KINDS];       /* rows that are gone, or would be */
    struct retention_erased erased;
};
struct retention;
struct retention_events {
    void (*day)(void *arg, const struct retention_day *day, const struct retention_total *so_far); /* after each; may be NULL */
    /* Exactly once, later; the run may be freed from here on. 0; -ERR_DB_BUSY: another run is under way on this database, wait_ms
     * later still; else the database's error, with its sqlstate. */
    void (*done)(void *arg, int r, const char *sqlstate, const struct retention_total *total);
    void *arg;
};
MUST_CHECK int retention_open(const struct retention_config *config, const struct retention_events *events, struct retention **ret);
/* Stops a run that is under way: done() will not run any more, a statement already sent runs on. closed() (may be NULL) runs on the loop when it is
 * gone. */
void retention_close(struct retention *r, void (*closed)(void *arg), void *arg);
