/* api.h: the JSON API that dashboards and scripts use (contract §1, §7): one file per resource under src/api, one table of routes in
 * src/api/api.c. Every answer is one statement, or one job on the work pool and one statement. */
#pragma once

#include "picket/auth/throttle.h"
#include "picket/base/metrics.h"
#include "picket/blob/blob.h"
#include "picket/http/http.h"

/* What the server knows about itself. Called on the HTTP threads; each may be NULL. */
struct api_insight {
    void *arg;
    void (*put_status)(void *arg, struct json_writer *w);                                    /* members of the object of GET /api/status */
    void (*put_metrics)(void *arg, const struct http_server *server, struct metric_text *t); /* of GET /metrics */
    void (*put_dead_letters)(void *arg, struct json_writer *w); /* the value of `dead_letters` in GET /health/ready */
    const char *(*unready)(void *arg); /* a static text: why the server is not ready; NULL: no reason is known here */
    void (*retry_asked)(void *arg);    /* dead letters were marked for a retry */
};

struct api;
struct api_config {
    const char *public_url;      /* base of DSNs; without a final slash */
    const char *links_url;       /* what the links of invitations and password resets begin with: the dashboard, where there is one */
    bool allow_registration;     /* POST /auth/register; otherwise it answers 403 */
    struct throttle *throttle;   /* of logins */
    struct work_pool *passwords; /* Argon2id alone: one thread bounds its memory, and expensive bodies do not keep logins waiting */
    struct blob_store *blobs;    /* attachments */
    struct work_pool *files;     /* opens them */
    struct api_insight insight;
    const char *metrics_token; /* who bears it may read GET /metrics from anywhere; not needed after api_open. NULL: nobody */
};

/* `config` is copied; its strings and the throttle outlive the server that the module is registered with. */
MUST_CHECK int api_open(const struct api_config *config, struct api **ret);
void api_free(struct api *api); /* after the server is closed; NULL is fine */
const struct http_module *api_module(struct api *api);
