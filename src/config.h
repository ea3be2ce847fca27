/* config.h: what the environment says, read once at the start and passed on as const. One table in config.c names every variable, its default,
 * its bounds and its help; `picket serve --help` prints it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "picket/base/arena.h"
#include "picket/base/log.h"
#include "picket/http/address.h"

struct config {
    char *database_url;           /* NULL: a private cluster */
    const char *postgres_bin_dir; /* NULL: found */
    uint64_t database_max_connections, database_acquire_s, database_idle_s, database_wait_s;
    const char *host;
    uint64_t port;
    const char *public_url;                       /* without a final slash */
    const char *public_origin;                    /* its scheme://host[:port] */
    const char *path_prefix;                      /* its path, "" or "/errors" */
    const char *dashboard_url, *dashboard_origin; /* "" when unset */
    const char *data_dir, *spool_dir, *cluster_dir, *dead_letters_dir, *attachments_dir;
    uint64_t http_threads, digest_workers, digest_batch_records;
    uint64_t spool_max_bytes, spool_free_floor_bytes, spool_pending_bytes, spool_delay_s, spool_segment_s;
    uint64_t dead_letters_max, dead_letters_max_bytes, dead_letters_days, dead_letters_look_s;
    uint64_t max_connections, max_body_bytes, max_envelope_bytes, max_event_bytes, max_bodies_bytes;
    uint64_t max_attachment_bytes, max_attachments_bytes, max_attachments;
    uint64_t max_check_in_bytes, max_sessions_bytes, max_sessions, max_client_reports_bytes, max_client_reports, outcomes_every_ms;
    uint64_t attachments_max_bytes, attachments_project_max_bytes, attachments_free_floor_bytes;
    uint64_t max_events[2], max_project_events[2]; /* per minute, per hour */
    uint64_t retention_days, retention_events_per_issue, retention_every_s;
    uint64_t session_idle_hours, session_max_hours;
    uint64_t audit_days;
    bool ssl_proxy, allow_registration, core_dumps;
    struct http_networks trusted_proxies;
    bool data_dir_is_set;   /* by DATA_DIR */
    bool address_is_set;    /* by PUBLIC_URL or PORT */
    char *create_superuser; /* "email:password" or NULL */
    char *metrics_token;    /* NULL: none */
    enum log_level log_level;
    struct arena arena; /* owns the strings above that were made */
};

/* Reads the environment. On failure messages for people are in `why`, a line for each setting that is wrong (the variable, the value and what is
 * allowed), and -EINVAL is returned. `getenv_fn` is getenv, or a test's. config_done() afterwards, also on failure. */
MUST_CHECK int config_read(struct config *c, char *(*getenv_fn)(const char *name), char *why, size_t why_size);
void config_done(struct config *c);
/* Overwrites what nobody needs any more. NULL is fine. */
void config_forget(char *secret);
/* The same for the secrets in the process's environment, where /proc and children would find them: after config_read, before threads. */
void config_forget_environment(void);
/* Calls tell() for each variable of Rustrak's server (contract 6.1) that is set and that Picket does not know. */
void config_find_ignored(char *(*getenv_fn)(const char *name), void (*tell)(const char *name, const char *why));
/* Every variable with its default and meaning. */
void config_help(FILE *out);
