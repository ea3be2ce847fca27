/* first_start.h: what a newcomer sees: an administrator and a project are made, their secrets printed once, and a sample event goes through
 * the front door. Part of `picket serve`; main thread. */
#pragma once

#include "cmd.h"
#include "picket/base/work.h"

struct first_start {
    const struct config *config;
    struct db *db;
    bool made_project;
    int64_t project_id;
    struct buf dsn, local_dsn; /* as printed (PUBLIC_URL), and as reached from here */
    struct work_job job;       /* private from here */
    uv_async_t sent;
    uv_timer_t poll;
    struct db_query query;
    bool handles, querying;
    struct id128 event_id;
    int result;
    char why[256];
    int64_t acknowledged_us, started_us;
};

/* Without users: makes the administrator and prints the password. Without projects: makes the first one. Runs db's loop. Exit code. */
int first_start_prepare(struct first_start *f, const struct config *config, struct db *db);
/* When a project was made: prints its DSN and a curl line, sends a sample on a worker thread, and prints the issue that it became. Later, on the loop. */
void first_start_show(struct first_start *f, struct work_pool *work);
/* After the work pool's jobs are over or before it is closed; frees. The loop runs on until its handles are closed. */
void first_start_done(struct first_start *f);
