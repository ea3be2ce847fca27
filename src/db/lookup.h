/* lookup.h: from a connection string to the keywords that PQconnectStart takes, host names resolved beforehand off the loop, because libpq's
 * own getaddrinfo() would block it. Private to db; used by io.c only. */
#pragma once

#include <stdbool.h>

#include <libpq-fe.h>
#include <uv.h>

#include "picket/base/macros.h"

bool db_lookup_valid(const char *conninfo);

struct db_lookup;
/* r: 0, or -ERR_DB_AWAY when no host name could be resolved. Later, on the loop; never inside db_lookup_start. */
typedef void db_lookup_fn(void *owner, int r);

enum { LOOKUP_READY, LOOKUP_PENDING };

/* LOOKUP_READY: there was nothing to resolve and done() will not run; LOOKUP_PENDING: done() will; -EINVAL: not a connection string, said in
 * why. A string with `hostaddr` is believed; hosts that come from a service file or from PGHOST are left to libpq. */
MUST_CHECK int db_lookup_start(uv_loop_t *loop, const char *conninfo, db_lookup_fn *done, void *owner, char why[256],
                               struct db_lookup **ret);
/* PQconnectStart with what was found. NULL: out of memory. */
PGconn *db_lookup_connect(struct db_lookup *l, const char *application, unsigned statement_ms);
void db_lookup_free(struct db_lookup *l); /* done() will not run any more; NULL is fine */
