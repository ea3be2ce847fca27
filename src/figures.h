/* figures.h: what the running server tells about itself: /api/status, the dead letters of /health/ready. Main thread, but for the callbacks of
 * the API, which any HTTP thread calls. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "catch_up.h"
#include "config.h"
#include "picket/api/api.h"
#include "picket/digest/digest.h"
#include "picket/ingest/ingest.h"
#include "picket/spool/spool.h"
#include "watch.h"

enum { FIGURES_SAMPLES = 12 };

struct figures_sample {
    int64_t at_us; /* monotonic; 0: none yet */
    uint64_t accepted, digested;
};

struct figures { /* zeroed: never opened */
    const struct config *config;
    struct spool *spool;
    const struct catch_up *catch_up; /* borrowed, as `watch` is: why the server is not ready */
    const struct watch *watch;
    const struct ingest *ingest;   /* set before the HTTP threads run */
    struct digest *_Atomic digest; /* NULL: not started yet */
    int64_t started_us, started_mono_us;
    uv_timer_t timer;
    bool opened;
    pthread_mutex_t lock; /* guards the samples */
    struct figures_sample samples[FIGURES_SAMPLES];
    unsigned next;
};

/* All that is given outlives it. */
void figures_open(struct figures *f, uv_loop_t *loop, const struct config *config, struct spool *spool, const struct catch_up *catch_up,
                  const struct watch *watch);
void figures_set_digest(struct figures *f, struct digest *digest);
/* Age of the oldest record that is not digested, at most; <0: there is none. `digest` is zeroed when none has started. */
int64_t figures_oldest_age_us(const struct spool_stats *spool, const struct digest_stats *digest);
void figures_put_metrics(void *figures, const struct http_server *server, struct metric_text *t); /* metrics.c */
/* The callbacks of the API that speak for `f`. */
struct api_insight figures_insight(struct figures *f);
/* After the HTTP threads, before the digest; the loop runs on until the timer is closed. Fine on one that was never opened. */
void figures_close(struct figures *f);
