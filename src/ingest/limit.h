/* limit.h: what quotas leave of a request that was read. Private to ingest. */
#pragma once

#include "picket/base/arena.h"
#include "picket/ingest/quota.h"

struct admit;
struct admit_taken;

enum { LIMITED_MAX = 8 };
/* The limits that a request met, by category: of several in one the one that lasts longest. Zeroed: none. */
struct limited {
    unsigned n;
    struct {
        enum category category;
        struct quota_refusal refusal;
    } met[LIMITED_MAX];
};

/* Counts one more item before its record is made, because keeping it costs something: limit_records does not count it again. False: it is beyond a
 * quota, *ret_reason says which (static). Any thread, as everything here. */
MUST_CHECK bool limit_take(struct admit *a, struct admit_taken *taken, const char **ret_reason);
/* It could not be kept. */
void limit_untake(struct admit *a, struct admit_taken *taken);
/* Takes the records that are beyond a quota out of `a`: they become left-out items. The others are counted. */
void limit_records(struct admit *a);
/* Those that are counted did not come about. */
void limit_give_back(struct admit *a);
/* The value of X-Sentry-Rate-Limits for it (protocol §4.4); nothing when no limit was met. */
void limit_put(const struct limited *l, struct buf *out);
unsigned limit_retry_s(const struct limited *l); /* the longest */
/* For people: "project quota: 5 per minute". */
struct str limit_detail(const struct limited *l, struct arena *arena);
