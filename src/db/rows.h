/* rows.h: what a result is made of. Private to db. */
#pragma once

#include <libpq-fe.h>

#include "picket/db/db.h"

struct db_rows {
    const PGresult *result; /* binary columns */
};

/* Types of the server that Picket speaks (pg_type.dat). */
enum db_oid {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_NAME = 19,
    OID_I64 = 20,
    OID_I16 = 21,
    OID_I32 = 23,
    OID_TEXT = 25,
    OID_JSON = 114,
    OID_INET = 869,
    OID_VARCHAR = 1043,
    OID_TIMESTAMPTZ = 1184,
    OID_UUID = 2950,
    OID_JSONB = 3802,
    OID_I16_ARRAY = 1005,
};
#define DB_EPOCH_US INT64_C(946684800000000) /* PostgreSQL counts from 2000-01-01 */

/* *ret_r: the error code; fills sqlstate and constraint. */
int db_error_of(const PGresult *result, char sqlstate[DB_SQLSTATE], char constraint[DB_MAX_CONSTRAINT]);
