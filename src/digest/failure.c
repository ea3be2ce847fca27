/* failure.c: what the error table does not know of an error of the database is decided by its SQLSTATE: classes 22, 23 and 54 are lasting. Everything else (no connection, lock, disk full, a schema that is being migrated) is
 * passing. A project that is deleted meanwhile shows as a foreign key's violation (23503): that is passing too, because the next attempt no
 * longer finds the project. */
#include "failure.h"

#include "picket/base/error.h"
#include "picket/base/id.h"

enum failure failure_of(int r, const struct db_query *q)
{
    if (err_fate(r) == FATE_RETRY)
        return FAILURE_PASSING;
    struct str state = str_from(q->sqlstate), class = str_take(state, 2);
    if (str_eq(state, STR("23503")))
        return FAILURE_PASSING;
    if (str_eq(class, STR("XX")))
        return FAILURE_INTERNAL;
    bool lasting = str_eq(class, STR("22")) || str_eq(class, STR("23")) || str_eq(class, STR("54"));
    return lasting ? FAILURE_LASTING : FAILURE_PASSING;
}

uint64_t failure_jitter(uint64_t ms)
{
    uint16_t r;
    random_bytes(&r, sizeof r);
    return ms / 2 * r / UINT16_MAX;
}
