/* ingest.h: phase one: admit → append → acknowledge. Registers the ingest routes with http. Design: src/ingest/ingest.c. */
#pragma once

#include "picket/auth/keys.h"
#include "picket/http/http.h"
#include "picket/spool/spool.h"

struct ingest;
struct ingest_config {
    struct spool *spool; /* these two outlive the server that the module is registered with */
    struct key_cache *keys;
    unsigned threads;          /* of the HTTP server */
    size_t envelope_max_bytes; /* decoded */
    size_t event_max_bytes;    /* one event's JSON */
};
MUST_CHECK int ingest_open(const struct ingest_config *config, struct ingest **ret);
void ingest_free(struct ingest *i); /* after the server is closed; NULL is fine */
const struct http_module *ingest_module(struct ingest *i);

struct ingest_stats {
    uint64_t accepted_requests, accepted_events; /* answered 200 */
    uint64_t refused_requests;                   /* answered anything else by a handler */
    uint64_t dropped_broken, dropped_large;      /* items left out of an envelope that was accepted … */
    uint64_t dropped_surplus;                    /* … and events of an id that their envelope has already, or beyond its bounds */
    uint64_t skipped_items;                      /* items of kinds that are not stored */
};
void ingest_stats(const struct ingest *i, struct ingest_stats *ret);
