/* cmd_status.c: `picket status`: the running server is asked for what only it knows (GET /api/status), the database for the rest. Neither needs the
 * other: what cannot be had is said, and the exit code is 1. Looking changes nothing: no migration, and a private cluster that does not run is
 * not started. Everything is put into one JSON document, from which the text for people is made. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "cmd.h"
#include "picket/base/error.h"
#include "picket/client/client.h"

enum { SERVER_MS = 5000, CONNECT_MS = 3000, QUERY_MS = 10000, DAYS_SHOWN = 7 };

static const char usage[] =
    "usage: picket status [--json]\n\n"
    "Shows what the server on this machine does (rates are those of the last minute), and what lies in its database. The settings\n"
    "must be those of the server: HOST and PORT, DATABASE_URL or DATA_DIR. The exit code is 1 when one of the two does not answer.";

/* ---- the server */

static void server_url(const struct config *config, struct buf *out)
{
    struct str host = str_from(config->host);
    if (str_eq(host, STR("0.0.0.0")) || str_eq(host, STR("*")))
        host = STR("127.0.0.1");
    else if (str_eq(host, STR("::")))
        host = STR("::1");
    bool six = str_find(host, ':') < host.n;
    buf_printf(out, "http://%s%.*s%s:%u", six ? "[" : "", STR_ARG(host), six ? "]" : "", (unsigned)config->port);
}

/* Why there is no status in the answer; NULL: there is one, in *ret. */
static const char *server_failure(int r, const struct client_answer *answer, struct json_doc **ret)
{
    *ret = NULL;
    if (r < 0)
        return answer->error[0] ? answer->error : err_text(r);
    if (answer->status == 403)
        return "it takes this for another machine: is there a proxy in between?";
    if (answer->status != 200 || json_parse(buf_str(&answer->body), ret, NULL) < 0 || !json_get(json_root(*ret), STR("version")))
        return "something answers there, but it is no Picket of this release";
    return NULL;
}

/* True: it answered. */
static bool put_server(const struct config *config, struct json_writer *w)
{
    AUTO_BUF struct buf url = {0}, status_url = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    struct client_answer answer;
    server_url(config, &url);
    buf_printf(&status_url, "%s/api/status", buf_cstr(&url));
    int r = client_get(buf_cstr(&status_url), NULL, 0, SERVER_MS, &answer);
    const char *why = server_failure(r, &answer, &doc);
    json_key(w, STR("server"));
    json_begin_object(w);
    json_field_bool(w, STR("running"), !why);
    json_field_str(w, STR("url"), buf_str(&url));
    if (why)
        json_field_str(w, STR("error"), str_from(why));
    for (struct json_iter it = json_iter(why ? NULL : json_root(doc)); json_next(&it);) {
        struct str key;
        if (json_str_raw(it.key, &key)) {
            json_key(w, key);
            json_put_value(w, it.value);
        }
    }
    json_end_object(w);
    client_answer_done(&answer);
    return !why;
}

/* ---- the database */

static void see_version(void *arg, const struct db_rows *rows)
{
    uint64_t version;
    if (db_count(rows) == 1 && str_to_u64(db_text(rows, 0, 0), &version) && version <= INT32_MAX)
        *(int *)arg = (int)version;
}

/* Columns: see status_database.sql. */
static void see_database(void *arg, const struct db_rows *rows)
{
    struct json_writer *w = arg;
    json_field_str(w, STR("version"), db_text(rows, 0, 0));
    json_field_i64(w, STR("connections"), db_i64(rows, 0, 1));
    json_field_i64(w, STR("connections_picket"), db_i64(rows, 0, 2));
    json_field_i64(w, STR("connections_max"), db_i64(rows, 0, 3));
    json_field_i64(w, STR("bytes"), db_i64(rows, 0, 4));
    json_key(w, STR("batches"));
    json_begin_object(w);
    json_field_i64(w, STR("total"), db_i64(rows, 0, 5));
    json_field_i64(w, STR("last_minute"), db_i64(rows, 0, 6));
    json_field_i64(w, STR("events_last_minute"), db_i64(rows, 0, 7));
    if (db_is_null(rows, 0, 8))
        json_field_null(w, STR("last_at"));
    else
        json_field_time(w, STR("last_at"), db_time(rows, 0, 8));
    json_end_object(w);
    json_key(w, STR("dead_letters"));
    json_begin_object(w);
    json_field_i64(w, STR("waiting"), db_i64(rows, 0, 9));
    json_field_i64(w, STR("retrying"), db_i64(rows, 0, 10));
    json_field_i64(w, STR("stored"), db_i64(rows, 0, 11));
    json_end_object(w);
}

/* Columns: day or null, rows or null, bytes. */
static void see_partitions(void *arg, const struct db_rows *rows)
{
    struct json_writer *w = arg;
    json_key(w, STR("partitions"));
    json_begin_array(w);
    for (int i = 0; i < db_count(rows); i++) {
        json_begin_object(w);
        if (db_is_null(rows, i, 0))
            json_field_null(w, STR("day"));
        else
            json_field_str(w, STR("day"), db_text(rows, i, 0));
        if (db_is_null(rows, i, 1))
            json_field_null(w, STR("events_about"));
        else
            json_field_i64(w, STR("events_about"), db_i64(rows, i, 1));
        json_field_i64(w, STR("bytes"), db_i64(rows, i, 2));
        json_end_object(w);
    }
    json_end_array(w);
}

/* Columns: day, events, whether there are more, whether retention moves them. */
static void see_strays(void *arg, const struct db_rows *rows)
{
    struct json_writer *w = arg;
    json_key(w, STR("strays"));
    json_begin_array(w);
    for (int i = 0; i < db_count(rows); i++) {
        json_begin_object(w);
        json_field_str(w, STR("day"), db_text(rows, i, 0));
        json_field_i64(w, STR("events"), db_i64(rows, i, 1));
        json_field_bool(w, STR("or_more"), db_bool(rows, i, 2));
        json_field_bool(w, STR("for_retention"), db_bool(rows, i, 3));
        json_end_object(w);
    }
    json_end_array(w);
}

static int ask(struct db *db, enum db_stmt stmt, void (*seen)(void *arg, const struct db_rows *rows), void *arg, char sqlstate[DB_SQLSTATE])
{
    struct db_query q;
    db_query_init(&q, stmt, NULL);
    int r = db_wait(db, &q, seen, arg);
    memcpy(sqlstate, q.sqlstate, DB_SQLSTATE);
    return r;
}

/* Writes what there is. NULL: everything; else what is wrong. */
static const char *put_figures(struct db *db, struct json_writer *w, struct buf *why)
{
    char sqlstate[DB_SQLSTATE];
    int version = 0;
    int r = ask(db, STMT_MIGRATE_VERSION, see_version, &version, sqlstate);
    bool no_table = str_eq(str_from(sqlstate), STR("42P01"));
    json_field_bool(w, STR("reachable"), r == 0 || sqlstate[0]);
    if (r == 0 || no_table) {
        json_field_i64(w, STR("schema"), version);
        json_field_i64(w, STR("schema_known"), db_schema_known());
    }
    if (no_table || (r == 0 && version < db_schema_known()))
        return "its schema is older than this release: picket migrate, or a start of picket serve, brings it up to date";
    if (r == 0)
        r = ask(db, STMT_STATUS_DATABASE, see_database, w, sqlstate);
    if (r == 0)
        r = ask(db, STMT_STATUS_PARTITIONS, see_partitions, w, sqlstate);
    if (r == 0)
        r = ask(db, STMT_STATUS_STRAYS, see_strays, w, sqlstate);
    if (r == 0)
        return NULL;
    buf_printf(why, "%s%s%s", err_text(r), sqlstate[0] ? ", SQLSTATE " : "", sqlstate);
    return buf_cstr(why);
}

/* A private cluster that does not run has no such file. */
static bool cluster_runs(const struct config *config)
{
    AUTO_BUF struct buf path = {0};
    buf_printf(&path, "%s/data/postmaster.pid", config->cluster_dir);
    return access(buf_cstr(&path), F_OK) == 0;
}

static const char *ask_database(const struct config *config, struct cmd_db *d, struct json_writer *w, struct buf *why)
{
    struct db_config db = {
        .application = "picket status", .connections = 1, .waiting_max = 4, .acquire_ms = CONNECT_MS, .query_ms = QUERY_MS};
    const char *failure = "it cannot be opened: see the message above";
    int r = -EINVAL;
    if (!cmd_has_database(config))
        failure = "there is none in DATA_DIR: set DATA_DIR or DATABASE_URL as for the server, or start it first with picket serve";
    else if (!config->database_url && !cluster_runs(config))
        failure = "the private PostgreSQL does not run: picket serve starts it";
    else if (cmd_database_find(config, CLUSTER_MUST_EXIST, &d->cluster, &db.conninfo) == EXIT_OK) {
        r = db_open(&d->loop, &db, &d->db);
        if (r < 0)
            failure = "DATABASE_URL is neither a URL nor key=value pairs"; /* not repeated: there may be a password in it */
    }
    if (r == 0)
        return put_figures(d->db, w, why);
    json_field_bool(w, STR("reachable"), false);
    return failure;
}

/* True: it answered, and its schema is ours. */
static bool put_database(const struct config *config, struct json_writer *w)
{
    AUTO_BUF struct buf why = {0};
    struct cmd_db d = {.opened = true};
    int r = uv_loop_init(&d.loop);
    assert(r == 0);
    json_key(w, STR("database"));
    json_begin_object(w);
    json_field_bool(w, STR("private"), !config->database_url);
    const char *failure = ask_database(config, &d, w, &why);
    if (failure)
        json_field_str(w, STR("error"), str_from(failure));
    json_end_object(w);
    if (d.cluster && !db_cluster_started(d.cluster))
        db_cluster_leave(TAKE_PTR(d.cluster)); /* somebody else's */
    cmd_db_close(&d);
    return !failure;
}

/* ---- text */

/* Foreign text: whatever answers on that port may have written it. */
static void put_safe(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        buf_append_char(out, (char)((unsigned char)text.p[i] < ' ' || text.p[i] == 0x7F ? '?' : text.p[i]));
}

static void print_text(const struct json *object, const char *key, const char *before, const char *after)
{
    AUTO_BUF struct buf text = {0};
    struct str v = STR("?");
    (void)json_str_raw(json_get(object, str_from(key)), &v);
    put_safe(&text, v);
    printf("%s%s%s", before, buf_cstr(&text), after);
}

static int64_t number(const struct json *object, const char *key)
{
    int64_t v = 0;
    (void)json_i64(json_get(object, str_from(key)), &v); /* 0 otherwise */
    return v;
}

static double rate(const struct json *object)
{
    double v = 0;
    (void)json_f64(json_get(object, STR("per_s")), &v); /* 0 otherwise */
    return v;
}

enum { SIZE_TEXT = 32 };

static const char *size_text(int64_t bytes, char text[SIZE_TEXT])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t unit = 0;
    for (; v >= 1024 && unit + 1 < ARRAY_LEN(units); unit++)
        v /= 1024;
    (void)snprintf(text, SIZE_TEXT, unit ? "%.1f %s" : "%.0f %s", v, units[unit]); /* always fits */
    return text;
}

static void print_spool(const struct json *spool)
{
    char bytes[SIZE_TEXT], max[SIZE_TEXT];
    int64_t age_s;
    printf("  spool         %s of %s", size_text(number(spool, "bytes"), bytes), size_text(number(spool, "max_bytes"), max));
    if (json_i64(json_get(spool, STR("oldest_age_s")), &age_s))
        printf(", the oldest record waits for %" PRId64 " s", age_s);
    printf("; %" PRId64 " refused, %" PRId64 " quarantined, %" PRId64 " segments sealed", number(spool, "refused"),
           number(spool, "quarantined"), number(spool, "seals"));
    if (json_type(json_get(spool, STR("last_error"))) == JSON_STRING)
        print_text(spool, "last_error", ", last error ", "");
    putchar('\n');
}

static void print_server(const struct json *server)
{
    char bytes[SIZE_TEXT];
    const struct json *accept = json_get(server, STR("accept")), *digest = json_get(server, STR("digest"));
    const struct json *dead = json_get(server, STR("dead_letters"));
    if (json_type(json_get(server, STR("error"))) == JSON_STRING) {
        print_text(server, "url", "server          does not answer at ", "");
        print_text(server, "error", ": ", "\n");
        return;
    }
    print_text(server, "version", "server          Picket ", "");
    print_text(server, "url", " at ", "");
    printf(", process %" PRId64, number(server, "pid"));
    print_text(server, "started_at", ", since ", "\n");
    printf("  accepted      %" PRId64 " events, %.1f/s\n", number(accept, "events"), rate(accept));
    print_spool(json_get(server, STR("spool")));
    if (json_type(digest) == JSON_OBJECT)
        printf("  digested      %" PRId64 " events in %" PRId64 " batches, %.1f/s; %" PRId64 " stored, %" PRId64 " duplicates, %" PRId64
               " of gone projects, %" PRId64 " dead\n",
               number(digest, "records"), number(digest, "batches"), rate(digest), number(digest, "stored"), number(digest, "duplicates"),
               number(digest, "orphans"), number(digest, "dead"));
    else
        puts("  digested      nothing: it waits for the database");
    if (json_type(dead) == JSON_OBJECT)
        printf("  dead letters  %" PRId64 " waiting, %" PRId64 " to be tried again, %" PRId64 " in files (%s), %" PRId64 " files lost\n",
               number(dead, "waiting"), number(dead, "retrying"), number(dead, "spilled"), size_text(number(dead, "spilled_bytes"), bytes),
               number(dead, "spilled_lost"));
}

static void print_partitions(const struct json *partitions)
{
    char text[SIZE_TEXT];
    int64_t bytes = 0, older = 0;
    unsigned n = 0;
    for (struct json_iter it = json_iter(partitions); json_next(&it);)
        bytes += number(it.value, "bytes");
    printf("  partitions    %zu, %s\n", json_count(partitions), size_text(bytes, text));
    for (struct json_iter it = json_iter(partitions); json_next(&it);) {
        if (n++ >= DAYS_SHOWN) {
            older += number(it.value, "bytes");
            continue;
        }
        if (json_type(json_get(it.value, STR("day"))) == JSON_STRING)
            print_text(it.value, "day", "    ", "");
        else
            printf("    %-10s", "default");
        printf("  %s\n", size_text(number(it.value, "bytes"), text));
    }
    if (n > DAYS_SHOWN)
        printf("    and %u more, %s\n", n - DAYS_SHOWN, size_text(older, text));
}

static bool is_true(const struct json *object, struct str key)
{
    bool v = false;
    (void)json_bool(json_get(object, key), &v); /* false otherwise */
    return v;
}

/* Events in the default partition, if any. */
static void print_strays(const struct json *strays)
{
    int64_t events = 0;
    unsigned n = 0;
    bool more = false, many = false;
    for (struct json_iter it = json_iter(strays); json_next(&it); n++) {
        events += number(it.value, "events");
        more |= is_true(it.value, STR("or_more"));
        many |= is_true(it.value, STR("for_retention"));
    }
    if (n == 0)
        return;
    printf("  astray        %s%" PRId64 " events beside the days, dated by a clock that was off: they can be read as all others, and %s.\n"
           "                Their days:",
           more ? "more than " : "", events,
           many ? "the next run of retention moves them there" : "the server moves them there within minutes");
    n = 0;
    for (struct json_iter it = json_iter(strays); json_next(&it) && n < DAYS_SHOWN; n++)
        print_text(it.value, "day", n ? ", " : " ", "");
    if (json_count(strays) > n)
        printf(" and %zu more", json_count(strays) - n);
    putchar('\n');
}

static void print_database(const struct json *database)
{
    char bytes[SIZE_TEXT];
    const struct json *batches = json_get(database, STR("batches")), *dead = json_get(database, STR("dead_letters"));
    bool reachable = false;
    if (json_type(json_get(database, STR("error"))) == JSON_STRING) {
        (void)json_bool(json_get(database, STR("reachable")), &reachable); /* false otherwise */
        print_text(database, "error", reachable ? "database        answers, but " : "database        does not answer: ", "\n");
        return;
    }
    print_text(database, "version", "database        PostgreSQL ", "");
    printf(", schema %" PRId64 ", %s; %" PRId64 " of %" PRId64 " connections, %" PRId64 " of them Picket's\n", number(database, "schema"),
           size_text(number(database, "bytes"), bytes), number(database, "connections"), number(database, "connections_max"),
           number(database, "connections_picket"));
    printf("  batches       %" PRId64 ", %" PRId64 " in the last minute with %" PRId64 " events", number(batches, "total"),
           number(batches, "last_minute"), number(batches, "events_last_minute"));
    if (json_type(json_get(batches, STR("last_at"))) == JSON_STRING)
        print_text(batches, "last_at", ", the last at ", "");
    printf("\n  dead letters  %" PRId64 " waiting, %" PRId64 " to be tried again, %" PRId64 " stored by a retry\n", number(dead, "waiting"),
           number(dead, "retrying"), number(dead, "stored"));
    print_partitions(json_get(database, STR("partitions")));
    print_strays(json_get(database, STR("strays")));
}

static void print_all(struct str json)
{
    AUTO_JSON struct json_doc *doc = NULL;
    int r = json_parse(json, &doc, NULL);
    assert(r == 0); /* written just now */
    print_server(json_get(json_root(doc), STR("server")));
    print_database(json_get(json_root(doc), STR("database")));
}

int cmd_status(const struct config *config, int argc, char **argv)
{
    bool json = false;
    const struct cmd_option options[] = {{"--json", &json, NULL}};
    const struct cmd_line line = {.command = "status", .usage = usage, .options = options, .n_options = ARRAY_LEN(options)};
    AUTO_BUF struct buf text = {0};
    struct json_writer w;
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    json_writer_init(&w, &text);
    json_begin_object(&w);
    bool server = put_server(config, &w), database = put_database(config, &w);
    json_end_object(&w);
    if (json)
        puts(buf_cstr(&text));
    else
        print_all(buf_str(&text));
    return server && database ? EXIT_OK : EXIT_FAILED;
}
