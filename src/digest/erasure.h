/* erasure.h: persons whose data must go, and where it is. Private to digest. */
#pragma once

#include "picket/base/arena.h"
#include "picket/db/db.h"
#include "picket/digest/retention.h"
#include "picket/event/person.h"
#include "picket/spool/spool.h"

/* ---- requests that are open, ascending by project */
struct erasure_request {
    int64_t id; /* 0: what one would be */
    int32_t project;
    struct id128 before; /* records with lower ids are meant */
    int64_t horizon;
    bool heard; /* every server has stored what it took before the request */
};
struct erasure_requests {
    struct erasure_request *at; /* this and the next are the arena's */
    struct person *persons;     /* of the same places */
    size_t n;
    int64_t to_come_ms; /* by the wall clock when they were read, and a little later */
    struct arena arena;
};
/* Binds erasure_open: all requests, or what one for `only` would be if it names a project. */
void erasure_bind_open(struct db_query *q, const struct retention_person *only);
void erasure_requests_read(struct erasure_requests *e, const struct db_rows *rows); /* of erasure_open */
void erasure_requests_done(struct erasure_requests *e);                             /* {0} is fine */

/* Whose is it? The request's index, or -1. */
struct erasure_record {
    int64_t project;
    struct id128 id; /* of the receipt */
    enum spool_kind kind;
    struct str payload, meta; /* meta: the envelope header, "" for what is stored */
    struct str address;       /* the client's, or "" */
};
int erasure_owner(const struct erasure_requests *e, const struct erasure_record *record);

/* ---- spilled letters */
struct erasure_searched { /* which files were looked into for whom; {.from = INT64_MAX}: none for anybody */
    int64_t *ids;         /* heap: the requests for which all files below `from` were */
    size_t n;
    int64_t from; /* a letter's number */
};
void erasure_file_came(struct erasure_searched *s, int64_t number);
void erasure_searched_done(struct erasure_searched *s);
/* Deletes the files in `dir` that belong to a request, as far as they are not known from *searched, which is brought up to date: new files are looked
 * into for all requests, the others for new requests. Binds nothing: appends the requests' ids and sizes to the arrays (which the caller has started,
 * DB_I64), one per file. An error leaves *searched as it was, to be called again: -EBUSY when somebody else holds the directory. Blocks for files. */
MUST_CHECK int erasure_of_files(const struct erasure_requests *e, const char *dir, struct erasure_searched *searched, struct db_array *ids,
                                struct db_array *bytes);

/* ---- the scan of events and letters in the database */
struct erasure;
/* Looks through what is there; in a dry run it only counts. done() once, later, on the loop of config->db; *total is valid during the call. The
 * config outlives it. */
struct erasure *erasure_new(const struct retention_config *config,
                            void (*done)(void *arg, int r, const char *sqlstate, const struct retention_erased *total), void *arg);
/* Stops: done() will not run any more. closed() runs on the loop when it is gone; NULL is fine, and gone at once. */
void erasure_close(struct erasure *s, void (*closed)(void *arg), void *arg);
