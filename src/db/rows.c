/* rows.c: reading binary columns, and what an error result means. A wrong column type is a bug in our own statement: it asserts. */
#include "rows.h"

#include <arpa/inet.h>
#include <endian.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"

static uint64_t big_endian(const char *p, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

static struct str cell(const struct db_rows *rows, int row, int col)
{
    assert(row >= 0 && row < PQntuples(rows->result) && col >= 0 && col < PQnfields(rows->result));
    if (PQgetisnull(rows->result, row, col))
        return (struct str){NULL, 0};
    return str_of(PQgetvalue(rows->result, row, col), (size_t)PQgetlength(rows->result, row, col));
}

static bool has_type(const struct db_rows *rows, int col, Oid oid)
{
    return PQftype(rows->result, col) == oid;
}

int db_count(const struct db_rows *rows)
{
    return PQntuples(rows->result);
}

bool db_is_null(const struct db_rows *rows, int row, int col)
{
    return cell(rows, row, col).p == NULL;
}

bool db_bool(const struct db_rows *rows, int row, int col)
{
    assert(has_type(rows, col, OID_BOOL));
    struct str c = cell(rows, row, col);
    return c.n == 1 && c.p[0] != 0;
}

int64_t db_i64(const struct db_rows *rows, int row, int col)
{
    struct str c = cell(rows, row, col);
    if (!c.p)
        return 0;
    if (has_type(rows, col, OID_I64))
        return (int64_t)big_endian(c.p, 8);
    if (has_type(rows, col, OID_I32))
        return (int32_t)big_endian(c.p, 4);
    assert(has_type(rows, col, OID_I16));
    return (int16_t)big_endian(c.p, 2);
}

struct str db_text(const struct db_rows *rows, int row, int col)
{
    struct str c = cell(rows, row, col);
    if (has_type(rows, col, OID_JSONB))
        return c.p ? str_drop(c, 1) : c; /* a version byte, then the text */
    assert(has_type(rows, col, OID_TEXT) || has_type(rows, col, OID_VARCHAR) || has_type(rows, col, OID_NAME) ||
           has_type(rows, col, OID_JSON));
    return c;
}

struct str db_bytes(const struct db_rows *rows, int row, int col)
{
    assert(has_type(rows, col, OID_BYTEA));
    return cell(rows, row, col);
}

struct id128 db_id(const struct db_rows *rows, int row, int col)
{
    assert(has_type(rows, col, OID_UUID));
    struct id128 id = {0};
    struct str c = cell(rows, row, col);
    if (c.n == sizeof id.b)
        memcpy(id.b, c.p, sizeof id.b);
    return id;
}

int64_t db_time(const struct db_rows *rows, int row, int col)
{
    assert(has_type(rows, col, OID_TIMESTAMPTZ));
    struct str c = cell(rows, row, col);
    if (!c.p)
        return 0;
    int64_t us = (int64_t)big_endian(c.p, 8);
    if (us > CLOCK_MAX_US - DB_EPOCH_US) /* infinity, or a year beyond 9999 */
        return CLOCK_MAX_US;
    if (us < CLOCK_MIN_US - DB_EPOCH_US)
        return CLOCK_MIN_US;
    return us + DB_EPOCH_US;
}

/* A one-dimensional array: dimensions, flags, element type, length, lower bound, then the elements. */
int db_i16_count(const struct db_rows *rows, int row, int col)
{
    assert(has_type(rows, col, OID_I16_ARRAY));
    struct str c = cell(rows, row, col);
    if (c.n < 20 || big_endian(c.p, 4) != 1)
        return 0;
    size_t n = (size_t)big_endian(c.p + 12, 4);
    assert(c.n == 20 + n * 6); /* without nulls every element is a length and two bytes */
    return (int)n;
}

int16_t db_i16_at(const struct db_rows *rows, int row, int col, int i)
{
    struct str c = cell(rows, row, col);
    assert(c.p && i >= 0 && 20 + ((size_t)i + 1) * 6 <= c.n);
    return (int16_t)big_endian(c.p + 20 + (size_t)i * 6 + 4, 2);
}

static void copy_field(char *dst, size_t size, const char *text)
{
    struct str s = str_take(str_from(text), size - 1);
    if (s.n)
        memcpy(dst, s.p, s.n);
    dst[s.n] = '\0';
}

int db_error_of(const PGresult *result, char sqlstate[DB_SQLSTATE], char constraint[DB_MAX_CONSTRAINT])
{
    copy_field(sqlstate, DB_SQLSTATE, PQresultErrorField(result, PG_DIAG_SQLSTATE));
    copy_field(constraint, DB_MAX_CONSTRAINT, PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME));
    struct str state = str_from(sqlstate);
    if (str_eq(state, STR("23505")))
        return -ERR_DB_CONFLICT;
    if (str_eq(state, STR("57014"))) /* query_canceled: statement_timeout is the only one who cancels */
        return -ERR_DB_TIMEOUT;
    static const char *const passing[] = {"40", "53", "57P", "08", "55P03", "25006"};
    for (size_t i = 0; i < ARRAY_LEN(passing); i++)
        if (str_starts(state, str_from(passing[i])))
            return -ERR_DB_TRANSIENT;
    return -ERR_DB_FAILED;
}
