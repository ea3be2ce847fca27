/* monitors.h: the watch over cron monitors (protocol §7.2): notices runs that were missed or ran out of time, and takes the events that failures
 * become into the spool. What counts is decided in sql/migrations (monitor_tick); design: src/digest/monitors.c. Everything on one loop's thread. */
#pragma once

#include "picket/db/db.h"
#include "picket/spool/spool.h"

struct monitors;
struct monitors_config {
    struct spool *spool;  /* outlives the monitors */
    struct db_config db;  /* connections is 1 in effect */
    int64_t listening_us; /* wall clock: since when this process takes check-ins */
    /* Wall clock: when the oldest request was received that may bring check-ins and is not in the spool yet; INT64_MAX: there is none. Called on the loop's thread. */
    int64_t (*oldest_us)(const void *arg);
    const void *arg;
};

/* Looks at once and then every second. Several servers may watch one database. */
MUST_CHECK int monitors_open(const struct monitors_config *config, uv_loop_t *loop, struct monitors **ret);
/* closed() runs on the loop when it is gone, before which the spool must not be closed. What is under way is whole or not at all. */
void monitors_close(struct monitors *m, void (*closed)(void *arg), void *arg);
