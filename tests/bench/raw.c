/* raw.c: the floor that Picket's digest is compared with: its insert into events alone, batch after batch in one statement each, on one connection.
 *
 *   raw CONNINFO STATEMENT_FILE SECONDS EVENTS
 *
 * The rows are those that Picket would make of load.c's events, of the same size and with the payload compressed the same way, in the order of their keys;
 * the table is Picket's own, with all its indexes. Making the rows costs this program as little as it can: payloads are compressed before the clock
 * starts. Stops after SECONDS or EVENTS, whichever comes first (0: no bound), then prints JSON: events that are rows, and in how many seconds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <libpq-fe.h>

#include "picket/base/clock.h"
#include "picket/db/db.h"
#include "picket/event/outline.h"
#include "picket/json/json.h"
#include "picket/protocol/payload.h"

#include "body.h"

enum { BATCH = 500, PAYLOADS = 256, GROUPS = 1000, PROJECT = 1, STATEMENT_MAX = 16 << 10 };
enum { R_PROJECT, R_ID, R_EVENT_ID, R_GROUPING, R_RECEIVED, R_TIMESTAMP, R_TITLE, R_TEXTS, R_ADDR = R_TEXTS + 7, R_PAYLOAD, R_COUNT };

static const char *const texts[] = {"error", "python", "shop@4.2.0", "production", "web-1", "sentry.python", "2.75.0"};

struct raw {
    PGconn *pg;
    struct buf payloads[PAYLOADS];
    struct db_array arrays[R_COUNT];
    struct id128 event_ids[BATCH];
};

static void fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "raw: %s: %s\n", what, why);
    exit(1);
}

/* As the digest makes one (src/digest/dictionaries.c). */
static struct payload_dictionary *make_dictionary(struct bodies *bodies)
{
    enum { SAMPLES = 112 };
    AUTO_BUF struct buf outlines = {0}, payloads = {0}, content = {0};
    size_t outline_bytes[SAMPLES], payload_bytes[SAMPLES];
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct id128 id = id_random();
        size_t outlines_before = outlines.n, payloads_before = payloads.n;
        bodies_event(bodies, PAYLOADS + i, &id, &payloads);
        payload_bytes[i] = payloads.n - payloads_before;
        if (event_outline(str_of(payloads.p + payloads_before, payload_bytes[i]), &outlines) < 0)
            abort();
        outline_bytes[i] = outlines.n - outlines_before;
    }
    const struct payload_samples chosen = {buf_str(&outlines), outline_bytes, SAMPLES},
                                 counted = {buf_str(&payloads), payload_bytes, SAMPLES};
    return payload_train(&chosen, &counted, PAYLOAD_DICTIONARY_FIRST, &content) ? payload_dictionary_new(buf_str(&content)) : NULL;
}

static void make_payloads(struct raw *r)
{
    struct bodies *bodies = bodies_new(&(struct body_options){.issues = GROUPS});
    struct payload_packer *packer = payload_packer_new();
    AUTO_BUF struct buf event = {0};
    if (!bodies)
        abort();
    struct payload_dictionary *dictionary = make_dictionary(bodies);
    for (unsigned i = 0; i < PAYLOADS; i++) {
        struct id128 id = id_random();
        buf_clear(&event);
        bodies_event(bodies, i, &id, &event);
        payload_pack(packer, dictionary, buf_str(&event), &r->payloads[i]);
    }
    payload_dictionary_free(dictionary);
    payload_packer_free(packer);
    bodies_free(bodies);
}

static int by_id(const void *a, const void *b)
{
    return id_cmp(a, b);
}

static void start_arrays(struct raw *r)
{
    static const enum db_type types[R_COUNT] = {
        [R_PROJECT] = DB_I32,   [R_ID] = DB_ID,          [R_EVENT_ID] = DB_ID, [R_GROUPING] = DB_I64,
        [R_RECEIVED] = DB_TIME, [R_TIMESTAMP] = DB_TIME, [R_ADDR] = DB_INET,   [R_PAYLOAD] = DB_BYTES};
    for (unsigned i = 0; i < R_COUNT; i++)
        db_array_start(&r->arrays[i], i >= R_TITLE && i < R_ADDR ? DB_TEXT : types[i]);
}

static void put_row(struct raw *r, uint64_t number, const struct id128 *event_id)
{
    static const uint8_t loopback[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};
    char title[64];
    int64_t now_us = clock_wall_us();
    uint64_t group = number % GROUPS;
    struct id128 id = id_v7(now_us);
    int n = snprintf(title, sizeof title, "ordeError%010" PRIu64 ": payment of basket cannot be applied", group);
    db_array_i32(&r->arrays[R_PROJECT], PROJECT);
    db_array_id(&r->arrays[R_ID], &id);
    db_array_id(&r->arrays[R_EVENT_ID], event_id);
    db_array_i64(&r->arrays[R_GROUPING], (int64_t)group + 1);
    db_array_time(&r->arrays[R_RECEIVED], now_us);
    db_array_time(&r->arrays[R_TIMESTAMP], now_us);
    db_array_text(&r->arrays[R_TITLE], str_of(title, (size_t)n));
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
        db_array_text(&r->arrays[R_TEXTS + i], str_from(texts[i]));
    db_array_inet(&r->arrays[R_ADDR], loopback);
    db_array_bytes(&r->arrays[R_PAYLOAD], buf_str(&r->payloads[number % PAYLOADS]));
}

/* Rows that were inserted. */
static uint64_t insert(struct raw *r, int64_t batch)
{
    static const int binary[DB_MAX_PARAMS] = {[0 ... DB_MAX_PARAMS - 1] = 1};
    static struct db_query q;
    uint64_t rows = 0;
    db_query_init(&q, 0, NULL);
    db_bind_i64(&q, batch);
    for (unsigned i = 0; i < R_COUNT; i++)
        db_bind_array(&q, &r->arrays[i]);
    PGresult *result = PQexecPrepared(r->pg, "raw", (int)q.n_params, q.values, q.lengths, binary, 1);
    if (PQresultStatus(result) != PGRES_COMMAND_OK || !str_to_u64(str_from(PQcmdTuples(result)), &rows))
        fail("insert", PQerrorMessage(r->pg));
    PQclear(result);
    return rows;
}

static void run(struct raw *r, double max_seconds, uint64_t max_events)
{
    int64_t start_us = clock_mono_us(), now_us = start_us;
    uint64_t rows = 0, sent = 0;
    for (int64_t batch = 1; (max_events == 0 || rows < max_events) && (max_seconds <= 0 || (double)(now_us - start_us) < max_seconds * 1e6);
         batch++) {
        random_bytes(r->event_ids, sizeof r->event_ids);
        qsort(r->event_ids, BATCH, sizeof *r->event_ids, by_id);
        start_arrays(r);
        for (unsigned i = 0; i < BATCH; i++)
            put_row(r, sent++, &r->event_ids[i]);
        rows += insert(r, batch);
        now_us = clock_mono_us();
    }
    AUTO_BUF struct buf out = {0};
    struct json_writer w;
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_field_i64(&w, STR("events"), (int64_t)rows);
    json_key(&w, STR("seconds")), json_put_f64(&w, (double)(now_us - start_us) / 1e6);
    json_end_object(&w);
    (void)printf("%.*s\n", STR_ARG(buf_str(&out)));
}

static void connect_and_prepare(struct raw *r, const char *conninfo, const char *path)
{
    char statement[STATEMENT_MAX];
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(statement, 1, sizeof statement - 1, f) : 0;
    if (!n)
        fail(path, "cannot be read");
    statement[n] = 0;
    (void)fclose(f);
    r->pg = PQconnectdb(conninfo);
    if (PQstatus(r->pg) != CONNECTION_OK)
        fail("connect", PQerrorMessage(r->pg));
    PGresult *result = PQprepare(r->pg, "raw", statement, 0, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        fail("prepare", PQerrorMessage(r->pg));
    PQclear(result);
}

int main(int argc, char **argv)
{
    static struct raw raw;
    uint64_t seconds, events;
    if (argc != 5 || !str_to_u64(str_from(argv[3]), &seconds) || !str_to_u64(str_from(argv[4]), &events) || seconds + events == 0) {
        (void)fputs("usage: raw CONNINFO STATEMENT_FILE SECONDS EVENTS\n", stderr);
        return 2;
    }
    connect_and_prepare(&raw, argv[1], argv[2]);
    make_payloads(&raw);
    run(&raw, (double)seconds, events);
    PQfinish(raw.pg);
    for (unsigned i = 0; i < PAYLOADS; i++)
        buf_done(&raw.payloads[i]);
    for (unsigned i = 0; i < R_COUNT; i++)
        db_array_done(&raw.arrays[i]);
    return 0;
}
