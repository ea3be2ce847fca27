/* dead_letter.h: a record that could not be stored for a lasting reason, as the API, the commands and spilled files show it. Pure. */
#pragma once

#include "picket/db/db.h"
#include "picket/json/json.h"
#include "picket/spool/spool.h"

struct dead_letter { /* texts are borrowed; times are wall µs, 0: none */
    int64_t number, project;
    struct id128 event;
    struct str status; /* dead, retry, stored (sql/migrations, dead letters), or spilled */
    struct str reason; /* name in the error table */
    struct str sqlstate, detail;
    int64_t position; /* byte of the payload where the parser stopped; -1: none */
    int64_t attempts;
    int64_t received_us, first_failed_us, last_failed_us, stored_us;
    enum spool_kind kind;
    /* In whole letters only: */
    struct id128 record;
    int64_t sent_at_us;
    struct str address; /* the client's */
    struct str meta;    /* the envelope header's JSON text */
    int64_t key;        /* the project key that it came by; 0: not known */
    int64_t counted_as; /* data category that it counts in as invalid; -1: none */
};

/* What an envelope calls such an item; a name of our own for what never came in one. */
struct str dead_letter_item_type(enum spool_kind kind);

/* Reads the head of a letter, fourteen columns from `col` on, as dead_letter_page and dead_letter_show have them. */
void dead_letter_head(const struct db_rows *rows, int row, int col, struct dead_letter *ret);
/* Reads a row of dead_letter_show or dead_letter_oldest. *ret_payload: zstd, empty when the letter is stored. */
void dead_letter_whole(const struct db_rows *rows, struct dead_letter *ret, struct str *ret_payload);
/* The members of its object; the caller begins and ends it. */
void dead_letter_put_head(struct json_writer *w, const struct dead_letter *l);
void dead_letter_put_whole(struct json_writer *w, const struct dead_letter *l); /* but meta */
