/* query.h: the language in which issues are searched: `is:open level:[error, fatal] !release:1.2* times_seen:>10 "quoted text" word`. All terms must
 * hold. Pure: reads text into conditions, which issues_search() (sql/migrations/0038_search.sql) makes a statement of; values stay values on the whole way. The
 * grammar is at the top of src/api/query.c, the fields are in README "Searching". */
#pragma once

#include "picket/base/arena.h"

enum { QUERY_MAX_BYTES = 4096, QUERY_MAX_CONDITIONS = 50 };

enum query_op { QUERY_EQ, QUERY_LT, QUERY_LE, QUERY_GT, QUERY_GE };

struct query_condition {
    unsigned group;   /* of conditions with one number one must hold; */
    bool is_negated;  /* or none of them: the same in all of a group */
    struct str field; /* as issues_search() knows it: a constant of ours, never text of the query */
    struct str key;   /* of a tag; elsewhere empty */
    enum query_op op; /* of numbers and times; QUERY_EQ elsewhere */
    struct str text;  /* a pattern for ILIKE; of tag_is, short_id what was written; empty where it is no text */
    int64_t number;   /* a count; of short_id the N of SLUG-N; of a user their hash */
    int64_t time_us;  /* of first_seen, last_seen */
};

struct query {
    struct query_condition conditions[QUERY_MAX_CONDITIONS];
    unsigned n;
};

/* `text` may be anything. Fills *ret, whose texts lie in `a`. -ERR_INVALID: *ret_why is a sentence that names the place, the column counted in code points
 * from 1, and what is allowed there. `now_us` is what -24h is before. */
MUST_CHECK int query_parse(struct str text, int64_t now_us, struct arena *a, struct query *ret, struct str *ret_why);

/* Further conditions, which must hold, too. -ERR_INVALID: there are too many, or `value` is no text that can be looked for. */
MUST_CHECK int query_add_tag(struct query *query, struct str key, struct str value, struct str *ret_why);
/* One of `fields` (as in conditions), of which `number` may be compared. */
MUST_CHECK int query_add_any(struct query *query, const struct str *fields, unsigned n, int64_t number);
/* Whether it says of which state issues are: open, resolved, muted. */
bool query_tells_state(const struct query *query);
