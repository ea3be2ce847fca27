/* quota.h: how much of each category an installation, a project and a key may bring per minute and per hour (contract §2.9, protocol §4.3–4.5). A limit
 * of N lets exactly N through in any minute or hour; 0 is none. What is counted: category.h's quantities; an attachment counts as CATEGORY_ATTACHMENT by its
 * bytes and as CATEGORY_ATTACHMENT_ITEM as one.
 *
 * Any thread but where it says otherwise. Neither asking nor counting touches the database; other Pickets on it are heard every two seconds
 * (quota_watch). Design: src/ingest/quota.c. */
#pragma once

#include "picket/base/buf.h"
#include "picket/db/db.h"
#include "picket/ingest/origins.h"
#include "picket/protocol/category.h"

enum quota_scope { QUOTA_INSTALLATION, QUOTA_PROJECT, QUOTA_KEY };
enum quota_window { QUOTA_MINUTE, QUOTA_HOUR };
enum { QUOTA_SCOPES = 3, QUOTA_WINDOWS = 2 };
#define QUOTA_UNSAID INT64_C(-1) /* as the scope's default has it */
#define QUOTA_MAX INT64_C(1000000000000000)

/* Items of category default and security count as errors: they are events. */
enum category quota_category(enum category category);
/* A limit of it means something: it counts as nothing else, and what counts as it is stored. */
bool quota_can_limit(enum category category);
/* Adds the names of those categories, with commas. */
void quota_put_categories(struct buf *out);

struct quota_limit {
    enum quota_scope scope;
    uint64_t id; /* of the project or key; 0: the default of all of the scope */
    enum category category;
    int64_t per[QUOTA_WINDOWS]; /* QUOTA_UNSAID, or 0 and more */
};

struct quota;
struct quota *quota_new(void);
void quota_free(struct quota *q); /* NULL is fine */
/* Replaces all limits by these, copied. What was counted stays counted: a limit that is lowered is at once exceeded. */
void quota_set_limits(struct quota *q, const struct quota_limit *limits, size_t n);
bool quota_is_on(const struct quota *q); /* there is any limit */

struct quota_item {
    uint64_t project_id, key_id;
    enum category category;
    uint64_t quantity;
};
struct quota_refusal { /* the limit that lasts longest */
    enum quota_scope scope;
    enum quota_window window;
    uint64_t limit;
    unsigned retry_s; /* at least 1 */
};
/* True: it is within all limits, and counted. False: it is beyond one, and nothing is counted. `mono_us`: monotonic. */
MUST_CHECK bool quota_take(struct quota *q, const struct quota_item *item, int64_t mono_us, struct quota_refusal *ret);
/* What was taken did not come about. */
void quota_give_back(struct quota *q, const struct quota_item *item, int64_t mono_us);

/* "project_minute_quota": the reason in accounts and headers; static. */
const char *quota_reason(const struct quota_refusal *refusal);
/* Adds one limit of X-Sentry-Rate-Limits (protocol §4.4): integer seconds, categories, scope, reason; the comma between two is the caller's. */
void quota_put_limit(struct buf *out, const struct quota_refusal *refusal, enum category category);

/* ---- several Pickets, and restarts */

/* Tells what was taken here since the last call, by names that mean something to quota_count only. `tell` must not come back here. */
void quota_collect(struct quota *q, int64_t mono_us, void (*tell)(void *arg, int64_t name, uint64_t quantity), void *arg);
/* Counts what was taken elsewhere, or here before a restart. */
void quota_count(struct quota *q, int64_t name, uint64_t quantity, int64_t mono_us, int64_t at_mono_us);

/* Reads the limits from the database, and which pages may send, and exchanges counts with the other Pickets on it. All on one loop's thread. */
struct quota_watch;
struct quota_watch_config {
    struct quota *quota; /* this and the next outlive the watch */
    struct origins *origins;
    uv_loop_t *loop;
    struct db *db;                        /* of this loop */
    struct id128 node;                    /* of this Picket, the same after a restart */
    int64_t installation[QUOTA_WINDOWS];  /* of errors, where the database says nothing: MAX_EVENTS_PER_MINUTE, … */
    int64_t every_project[QUOTA_WINDOWS]; /* MAX_EVENTS_PER_PROJECT_PER_MINUTE, … */
};
MUST_CHECK int quota_watch_open(const struct quota_watch_config *config, struct quota_watch **ret);
/* Before anything is taken: waits until limits and earlier counts are read, a few seconds at most. */
void quota_watch_prime(struct quota_watch *w);
/* The limits may have changed. */
void quota_watch_changed(struct quota_watch *w);
/* When nothing is taken any more: waits until the last counts are stored, a second at most. */
void quota_watch_settle(struct quota_watch *w);
void quota_watch_close(struct quota_watch *w, void (*closed)(void *arg), void *arg);
