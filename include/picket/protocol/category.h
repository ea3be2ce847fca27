/* category.h: data categories and outcomes, as rate limits, client reports and accounts name them (protocol §4.5, §4.8). Pure; any thread. */
#pragma once

#include "picket/base/str.h"

/* The numbers are Sentry's own and are stored. */
enum category {
    CATEGORY_DEFAULT = 0,
    CATEGORY_ERROR = 1,
    CATEGORY_TRANSACTION = 2,
    CATEGORY_SECURITY = 3,
    CATEGORY_ATTACHMENT = 4,
    CATEGORY_SESSION = 5,
    CATEGORY_PROFILE = 6,
    CATEGORY_REPLAY = 7,
    CATEGORY_MONITOR = 10,
    CATEGORY_SPAN = 12,
    CATEGORY_FEEDBACK = 14,
    CATEGORY_METRIC_BUCKET = 15,
    CATEGORY_PROFILE_CHUNK = 18,
    CATEGORY_ATTACHMENT_ITEM = 22, /* attachments by number; CATEGORY_ATTACHMENT is their bytes */
    CATEGORY_LOG_ITEM = 23,        /* logs by number */
    CATEGORY_LOG_BYTE = 24,        /* their bytes */
    CATEGORY_PROFILE_CHUNK_UI = 26,
    CATEGORY_TRACE_METRIC = 33,
};
enum outcome_id {
    OUTCOME_ID_ACCEPTED = 0,
    OUTCOME_ID_FILTERED = 1,
    OUTCOME_ID_RATE_LIMITED = 2,
    OUTCOME_ID_INVALID = 3,
    OUTCOME_ID_ABUSE = 4,
    OUTCOME_ID_CLIENT_DISCARD = 5,
    OUTCOME_ID_CARDINALITY_LIMITED = 6,
};

/* -1: no category of that name. */
int category_of(struct str name);
/* "unknown" for a number that has no name. */
struct str category_name(int64_t category);
struct str outcome_name(int64_t outcome);
/* The reasons that SDKs give for what they discarded (§4.7): the name itself, as a constant, or "other", so that clients cannot fill tables. */
struct str category_client_reason(struct str reason);
