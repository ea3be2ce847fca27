/* params.c: parameters in PostgreSQL's binary formats. Scalars are written into the query itself, text and bytes are borrowed, arrays are built
 * in a buf: header of 20 bytes (dimensions, null flag, element type, length, lower bound), then each element with its length. */
#include <endian.h>

#include "picket/base/ip.h"
#include "rows.h"

enum { ARRAY_HEADER = 20 };

static const struct {
    Oid element, array;
} types[] = {
    [DB_BOOL] = {OID_BOOL, 1000}, [DB_I16] = {OID_I16, OID_I16_ARRAY}, [DB_I32] = {OID_I32, 1007},
    [DB_I64] = {OID_I64, 1016},   [DB_TEXT] = {OID_TEXT, 1009},        [DB_BYTES] = {OID_BYTEA, 1001},
    [DB_ID] = {OID_UUID, 2951},   [DB_TIME] = {OID_TIMESTAMPTZ, 1185}, [DB_INET] = {OID_INET, 1041},
};

void db_query_init(struct db_query *q, enum db_stmt stmt, db_done_fn *done)
{
    q->stmt = stmt;
    q->done = done;
    q->sqlstate[0] = q->constraint[0] = '\0';
    q->db = NULL;
    list_init(&q->link);
    q->conn = NULL;
    q->deadline_ms = 0;
    q->n_params = 0;
}

static unsigned add(struct db_query *q, Oid type, const char *value, size_t n)
{
    assert(q->n_params < DB_MAX_PARAMS && n <= INT32_MAX);
    unsigned i = q->n_params++;
    q->types[i] = type;
    q->values[i] = value;
    q->lengths[i] = (int)n;
    return i;
}

static void add_scalar(struct db_query *q, Oid type, const void *value, size_t n)
{
    unsigned i = add(q, type, NULL, n);
    memcpy(q->scalars[i], value, n);
    q->values[i] = (const char *)q->scalars[i];
}

void db_bind_null(struct db_query *q)
{
    add(q, 0, NULL, 0);
}

void db_bind_bool(struct db_query *q, bool v)
{
    add_scalar(q, OID_BOOL, &(char){(char)v}, 1);
}

void db_bind_i16(struct db_query *q, int16_t v)
{
    add_scalar(q, OID_I16, &(uint16_t){htobe16((uint16_t)v)}, 2);
}

void db_bind_i32(struct db_query *q, int32_t v)
{
    add_scalar(q, OID_I32, &(uint32_t){htobe32((uint32_t)v)}, 4);
}

void db_bind_i64(struct db_query *q, int64_t v)
{
    add_scalar(q, OID_I64, &(uint64_t){htobe64((uint64_t)v)}, 8);
}

void db_bind_text(struct db_query *q, struct str v)
{
    add(q, OID_TEXT, v.n ? v.p : "", v.n);
}

void db_bind_bytes(struct db_query *q, struct str v)
{
    add(q, OID_BYTEA, v.n ? v.p : "", v.n);
}

void db_bind_id(struct db_query *q, const struct id128 *v)
{
    add_scalar(q, OID_UUID, v->b, sizeof v->b);
}

void db_bind_time(struct db_query *q, int64_t wall_us)
{
    add_scalar(q, OID_TIMESTAMPTZ, &(uint64_t){htobe64((uint64_t)(wall_us - DB_EPOCH_US))}, 8);
}

/* ---- arrays */

void db_array_start(struct db_array *a, enum db_type type)
{
    a->type = type;
    a->count = 0;
    a->has_null = false;
    buf_clear(&a->buf);
    buf_reserve(&a->buf, ARRAY_HEADER);
    a->buf.n = ARRAY_HEADER;
}

void db_array_done(struct db_array *a)
{
    buf_done(&a->buf);
}

static void put_be32(struct buf *b, uint32_t v)
{
    uint32_t be = htobe32(v);
    buf_append(b, &be, sizeof be);
}

static void put(struct db_array *a, enum db_type type, const void *p, size_t n)
{
    assert(a->type == type && n <= INT32_MAX);
    put_be32(&a->buf, (uint32_t)n);
    buf_append(&a->buf, p, n);
    a->count++;
}

void db_array_null(struct db_array *a)
{
    put_be32(&a->buf, UINT32_MAX);
    a->has_null = true;
    a->count++;
}

void db_array_bool(struct db_array *a, bool v)
{
    put(a, DB_BOOL, &(char){(char)v}, 1);
}

void db_array_i16(struct db_array *a, int16_t v)
{
    put(a, DB_I16, &(uint16_t){htobe16((uint16_t)v)}, 2);
}

void db_array_i32(struct db_array *a, int32_t v)
{
    put(a, DB_I32, &(uint32_t){htobe32((uint32_t)v)}, 4);
}

void db_array_i64(struct db_array *a, int64_t v)
{
    put(a, DB_I64, &(uint64_t){htobe64((uint64_t)v)}, 8);
}

void db_array_text(struct db_array *a, struct str v)
{
    put(a, DB_TEXT, v.p, v.n);
}

void db_array_bytes(struct db_array *a, struct str v)
{
    put(a, DB_BYTES, v.p, v.n);
}

void db_array_id(struct db_array *a, const struct id128 *v)
{
    put(a, DB_ID, v->b, sizeof v->b);
}

void db_array_time(struct db_array *a, int64_t wall_us)
{
    put(a, DB_TIME, &(uint64_t){htobe64((uint64_t)(wall_us - DB_EPOCH_US))}, 8);
}

/* Family (2 = IPv4, 3 = IPv6, PostgreSQL's own numbers), prefix bits, is-cidr, length, bytes. */
void db_array_inet(struct db_array *a, const uint8_t addr[16])
{
    uint8_t out[20];
    if (ip_is_unknown(addr)) {
        db_array_null(a);
    } else if (ip_is_v4(addr)) {
        memcpy(out, (const uint8_t[]){2, 32, 0, 4}, 4);
        memcpy(out + 4, addr + 12, 4);
        put(a, DB_INET, out, 8);
    } else {
        memcpy(out, (const uint8_t[]){3, 128, 0, 16}, 4);
        memcpy(out + 4, addr, 16);
        put(a, DB_INET, out, 20);
    }
}

void db_bind_array(struct db_query *q, struct db_array *a)
{
    assert(a->buf.n >= ARRAY_HEADER);
    uint32_t header[5] = {htobe32(1), htobe32(a->has_null), htobe32(types[a->type].element), htobe32(a->count), htobe32(1)};
    if (a->count == 0) { /* an empty array has no dimensions and ends after the element type */
        header[0] = 0;
        memcpy(a->buf.p, header, 12);
        add(q, types[a->type].array, a->buf.p, 12);
        return;
    }
    memcpy(a->buf.p, header, sizeof header);
    add(q, types[a->type].array, a->buf.p, a->buf.n);
}
