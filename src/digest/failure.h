/* failure.h: what a failed statement says about its record. Private to digest. */
#pragma once

#include "picket/db/db.h"

enum failure {
    FAILURE_PASSING,  /* the same again, later */
    FAILURE_LASTING,  /* some record can never be stored */
    FAILURE_INTERNAL, /* class XX: one or the other; whoever has tried often enough takes it for lasting */
};
enum failure failure_of(int r, const struct db_query *q);
/* Up to half of `ms`, so that workers which failed together do not come back together. */
uint64_t failure_jitter(uint64_t ms);
