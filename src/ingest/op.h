/* op.h: a request on its way through phase one: made and read by its front (fronts.c), carried on from its key to its answer by ingest.c. Private to
 * ingest; everything here belongs to the request's thread. */
#pragma once

#include "admit.h"
#include "cold.h"
#include "in_hand.h"
#include "picket/http/http.h"
#include "picket/spool/spool.h"

struct admit_job;
struct ingest;

/* One request; in its pool. */
struct ingest_op {
    struct in_hand_link in_hand;
    struct http_call *call;
    struct ingest *ingest;
    struct admit admit; /* of the inline way; the job's otherwise */
    struct admit *done; /* whichever was run */
    struct admit_job *job;
    struct cold_wait key_wait;
    bool is_pixel;       /* a GET: the answer is an image */
    bool tells_report;   /* the answer is what somebody wrote, as JSON */
    bool is_dialog;      /* the crash-report dialog: a key that is not good is a 404; a GET: the answer is its script */
    struct str path_key; /* the path's; p == NULL: the route has none */
    bool is_known;       /* its key was verified: what becomes of it counts for the project */
    struct spool_append append;
    bool append_running;
};

/* ---- ingest.c */
struct ingest_op *ingest_begin(struct http_call *call, enum admit_form form);
struct str ingest_authority(const struct ingest_op *op); /* host[:port] of this server's DSNs */
/* Each of these is the last that its caller does with the request: it may be answered. */
void ingest_check_key(struct ingest_op *op);                        /* project, credentials and encoding are read: goes on with it */
void ingest_refuse(struct ingest_op *op, int r, struct str detail); /* answers, and accounts for what is lost */
void ingest_refuse_at(struct ingest_op *op, int r);                 /* the same, and says where in the envelope */

/* ---- fronts.c */
void fronts_register(struct http_module *ret); /* sets its routes */
