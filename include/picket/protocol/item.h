/* item.h: the kinds of envelope items (protocol §3) and what becomes of each: one table, one row per kind. To store a kind that is not
 * stored yet, change its row. Pure; any thread. */
#pragma once

#include "picket/base/buf.h"
#include "picket/base/str.h"
#include "picket/protocol/category.h"

enum item_fate {
    ITEM_STORED,   /* read and stored */
    ITEM_SKIPPED,  /* accepted, and of no use yet */
    ITEM_UNWANTED, /* accepted and dropped; the answer asks the SDK to stop sending its category for ITEM_UNWANTED_S */
};
enum { ITEM_UNWANTED_S = 3600 };

enum item_use { /* of those that are stored: who reads them */
                ITEM_USE_NONE,
                ITEM_USE_EVENT,
                ITEM_USE_CLIENT_REPORT,
                ITEM_USE_SESSION,
                ITEM_USE_SESSIONS,
                ITEM_USE_FEEDBACK,
                ITEM_USE_USER_REPORT,
                ITEM_USE_SECURITY,
                ITEM_USE_ATTACHMENT,
                ITEM_USE_FORM_DATA,
                ITEM_USE_CHECK_IN,
                ITEM_USE_UNREAL,
};

struct item_kind {
    struct str name;
    enum item_fate fate;
    enum item_use use;
    enum category category; /* what it counts as */
    bool needs_event_id;    /* §2.2: the envelope gets an id from the server when it has none */
    struct str categories;  /* ITEM_UNWANTED: those to name in X-Sentry-Rate-Limits, separated by ';' */
};

/* The row of a type as an item header names it; names that are not in the table share one: accepted and skipped (§2.6). Never NULL. */
const struct item_kind *item_kind_of(struct str name);
/* Something that counts as of the category is stored. */
bool item_stores_category(enum category category);
/* Adds the value of X-Sentry-Rate-Limits (§4.4) that asks for nothing unwanted any more; adds nothing when no row is. */
void item_unwanted_limits(struct buf *out);
