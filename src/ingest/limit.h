/* limit.h: what quotas leave of a request that was read. Private to ingest. */
#pragma once

#include "admit.h"
#include "picket/ingest/quota.h"

enum { LIMITED_MAX = 8 };
/* The limits that a request met, by category: of several in one the one that lasts longest. Zeroed: none. */
struct limited {
    unsigned n;
    struct {
        enum category category;
        struct quota_refusal refusal;
    } met[LIMITED_MAX];
};

/* Takes the records that are beyond a quota out of `a`: they become left-out items. The others are counted. */
void limit_records(struct limited *l, struct quota *q, struct admit *a, int64_t mono_us);
/* Those that are left did not come about. */
void limit_give_back(struct quota *q, const struct admit *a, int64_t mono_us);
/* The value of X-Sentry-Rate-Limits for it (protocol §4.4); nothing when no limit was met. */
void limit_put(const struct limited *l, struct buf *out);
unsigned limit_retry_s(const struct limited *l); /* the longest */
/* For people: "project quota: 5 per minute". */
struct str limit_detail(const struct limited *l, struct arena *arena);
