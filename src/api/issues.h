/* issues.h: what the files about issues share. Private to src/api. */
#pragma once

#include "internal.h"

#include "picket/api/query.h"

enum { ISSUE_COLUMNS = 20 }; /* of issue_items() */

/* An issue as lists and details have it. Columns from `col`: as issue_items() gives them. */
void issue_put(struct json_writer *w, const struct db_rows *rows, int row, int col);

/* What is searched for, and in which order. Conditions travel as arrays, one element each. */
struct issue_search {
    struct query query;
    unsigned sort, order, filter;
    struct db_array groups, negated, fields, keys, ops, texts, numbers, times;
};
void issue_search_done(struct issue_search *s); /* frees; zeroed ones too */
/* "q", "release", "environment", "filter", "order", and "sort", one of `sorts`. False: answered. */
MUST_CHECK bool issue_search_read(struct http_call *call, const char *const *sorts, struct issue_search *ret);
/* `text` as the query. False: answered. */
MUST_CHECK bool issue_search_parse(struct http_call *call, struct str text, struct issue_search *ret);
struct str issue_search_state(const struct issue_search *s); /* open, resolved, muted, all */
/* The eight parameters: groups, negated, fields, keys, ops, texts, numbers, times. */
void issue_search_bind(struct db_query *q, struct issue_search *s);

/* What a request wants changed. */
struct issue_wish {
    struct str action; /* resolve, unresolve, mute, unmute; p == NULL: none */
    bool assigns;
    int64_t assignee; /* 0: nobody */
};
/* "is_resolved", "is_muted", "assignee_id". False: answered. */
MUST_CHECK bool issue_wish_read(struct http_call *call, struct issue_wish *ret);
void issue_wish_bind(struct db_query *q, const struct issue_wish *wish); /* action, assigns, assignee */
/* True when r is a failure: it is answered then. */
bool issue_wish_failed(struct http_call *call, const struct db_query *q, int r);
