/* metrics.c: GET /metrics for Prometheus: what the server counts and measures, by no statement, so that it is told with the database away, too. It
 * tells rates of events, hence only to this machine (as status.c) and to who bears METRICS_TOKEN: an API token would have to be looked up. */
#include "internal.h"

static bool bears_token(const struct http_call *call)
{
    const struct api *api = api_of(call);
    struct str given = http_header(call, "authorization");
    uint8_t hash[SECRET_HASH_BYTES];
    if (!api->has_metrics_token || !str_starts(given, STR("Bearer ")))
        return false;
    secret_hash(str_drop(given, STR("Bearer ").n), hash);
    return memcmp(hash, api->metrics_hash, sizeof hash) == 0; /* of hashes: how long it takes tells nothing of the token */
}

void metrics_show(struct http_call *call)
{
    const struct api_insight *insight = &api_of(call)->config.insight;
    if (!api_is_from_here(call) && !bears_token(call)) {
        http_answer_error(call, -ERR_UNAUTHORIZED, STR("this machine, or Authorization: Bearer with METRICS_TOKEN"));
        return;
    }
    AUTO_BUF struct buf out = {0};
    struct metric_text t = {.out = &out};
    if (insight->put_metrics)
        insight->put_metrics(insight->arg, call->worker->server, &t);
    http_answer(call, 200, STR("text/plain; version=0.0.4; charset=utf-8"), buf_str(&out));
}
