/* ingest.h: phase one: admit → append → acknowledge. Registers the ingest routes with http. Design: src/ingest/ingest.c. */
#pragma once

#include "picket/auth/keys.h"
#include "picket/blob/blob.h"
#include "picket/http/http.h"
#include "picket/ingest/quota.h"
#include "picket/spool/spool.h"

struct ingest;
struct ingest_config {
    struct spool *spool; /* these three outlive the server that the module is registered with */
    struct key_cache *keys;
    struct quota *quota; /* this and the next outlive the module */
    struct origins *origins;
    struct blob_store *blobs;
    unsigned threads;          /* of the HTTP server */
    size_t envelope_max_bytes; /* decoded */
    size_t event_max_bytes;    /* one event's JSON */
    size_t check_in_max_bytes; /* one check-in's */
    size_t records_max_bytes;  /* what of an envelope goes into the spool; more than ADMIT_MAX_BYTES counts as that */
    size_t attachment_max_bytes, attachments_max_bytes; /* one; all of an envelope */
    unsigned attachments_max;                           /* of an envelope; those below, too */
    size_t sessions_max_bytes, client_reports_max_bytes;
    unsigned sessions_max, client_reports_max;
    unsigned accounts_ms;   /* how often what was not taken goes into the spool */
    const char *public_url; /* what DSNs begin with: whose envelopes the tunnel takes. Borrowed */
};
MUST_CHECK int ingest_open(const struct ingest_config *config, struct ingest **ret);
/* When the server is closed and the spool is not: what the door has left to account for goes into the spool. Blocks for a commit. */
void ingest_settle(struct ingest *i);
void ingest_free(struct ingest *i); /* after the server is closed; NULL is fine */
const struct http_module *ingest_module(struct ingest *i);

/* Wall clock: when the oldest request was received that is neither in the spool nor refused yet; INT64_MAX: there is none. A request that begins while
 * this looks may be left out, by the time between its reading of the clock and its being listed. Any thread. */
int64_t ingest_oldest_us(const struct ingest *i);

void ingest_put_metrics(const struct ingest *i, struct metric_text *t); /* any thread, while the server is open */
