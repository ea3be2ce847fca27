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
/* 0, or -ERR_INVALID with the contract's text in *ret_why. The order inside is not looked at: the query's counts. */
MUST_CHECK int page_cursor_read(struct str text, struct id128 *ret, struct str *ret_why);
