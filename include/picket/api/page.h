/* page.h: paging of lists: clamped page numbers (contract §1.7 "→ Ours") and the cursor of event lists. Pure. */
#pragma once

#include "picket/base/buf.h"
#include "picket/base/id.h"

enum { PAGE_DEFAULT = 20, PAGE_MAX = 100 };
#define PAGE_LAST INT64_C(10000000000000) /* beyond it no list has rows; offsets stay exact, even as JSON numbers */

/* An integer of a query, clamped to min…max. False when it is none; *ret is then untouched. */
MUST_CHECK bool page_number(struct str text, int64_t min, int64_t max, int64_t *ret);
int64_t page_count(int64_t total, int64_t per_page);

/* URL-safe base64 without padding of {"order":"desc","last_id":"<uuid>"}. */
void page_cursor_write(struct buf *out, struct str order, const struct id128 *last);
void page_cursor_write_number(struct buf *out, struct str order, int64_t last); /* of rows that have numbers: in the place of an id */
MUST_CHECK int page_cursor_read_number(struct str text, int64_t *ret, struct str *ret_why); /* as page_cursor_read */
/* 0, or -ERR_INVALID with the contract's text in *ret_why. The order inside is not looked at: the query's counts. */
MUST_CHECK int page_cursor_read(struct str text, struct id128 *ret, struct str *ret_why);

/* Where a list that can be sorted in several ways went to: the last row's place in the sort and its id. The same encoding. */
struct page_key {
    struct str sort, order;
    int64_t at; /* a number, or µs */
    struct id128 id;
};
void page_key_write(struct buf *out, const struct page_key *key);
/* As page_cursor_read; also refuses one of another sort or order than stand in *ret. */
MUST_CHECK int page_key_read(struct str text, struct page_key *ret, struct str *ret_why);
