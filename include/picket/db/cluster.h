/* cluster.h: Picket's private PostgreSQL: used when no DATABASE_URL is given. Lives under <data dir>/postgres, speaks on a unix socket
 * only, keeps fsync on. Blocking, but for what says otherwise: for start-up and shutdown on the main thread before loops run, and for a thread of
 * the watch's own when it has to be started again. One thread at a time. */
#pragma once

#include <stdbool.h>

#include "picket/base/macros.h"

struct db_cluster;
struct db_cluster_config {
    const char *dir;      /* <data dir>/postgres; created by initdb if missing */
    const char *bin_dir;  /* where initdb and postgres are; NULL: newest /usr/lib/postgresql/NN/bin with NN >= 15, then $PATH */
    unsigned start_ms;    /* how long to wait until it answers */
    unsigned connections; /* max_connections of a server that this call starts; 0: a few dozen */
    unsigned stop_ms;     /* how long stop waits; 0: a minute. A shutdown that takes longer ends by itself, and a start waits for it */
};
/* initdb once, start (or find the server that an earlier, killed Picket left running and take it over), wait until it answers. On
 * failure *ret_why (static or in the log file beside) says what to do. */
MUST_CHECK int db_cluster_start(const struct db_cluster_config *config, struct db_cluster **ret, const char **ret_why);
/* For who can do without it for a while: a cluster that is there, by its directory, and nothing of it is touched or asked; db_cluster_restart() starts
 * its server. config->bin_dir is borrowed. */
MUST_CHECK int db_cluster_open(const struct db_cluster_config *config, struct db_cluster **ret, const char **ret_why);
const char *db_cluster_conninfo(const struct db_cluster *c); /* valid until stop */
bool db_cluster_created(const struct db_cluster *c);         /* initdb ran just now */
bool db_cluster_started(const struct db_cluster *c);         /* by this call, not taken over from a server that ran already */
const char *db_cluster_log(const struct db_cluster *c);      /* path of what initdb and the server print; valid until stop */
/* Is there a server process, perhaps one that does not answer yet? Cheap: a small file and a look into /proc. */
bool db_cluster_runs(struct db_cluster *c);
/* Starts the server of a cluster in use, the first time or again after it ended, or takes over the one that another Picket started meanwhile. 0: it answers.
 * -ETIMEDOUT: it runs and does not answer within wait_ms (it may be recovering) and is left to it. Never runs initdb. */
MUST_CHECK int db_cluster_restart(struct db_cluster *c, unsigned wait_ms, const char **ret_why);
/* Any thread, at any time until stop: a restart under way returns soon, with -ETIMEDOUT. */
void db_cluster_give_up(struct db_cluster *c);
/* Fast shutdown (checkpoint), waits; but if another Picket uses the server now, leaves it to that one. NULL is fine. */
void db_cluster_stop(struct db_cluster *c);
/* Forgets the cluster and lets its server run, for a later start to take over. NULL is fine. */
void db_cluster_leave(struct db_cluster *c);
