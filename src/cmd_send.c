/* cmd_send.c: `picket send`: what an SDK would do, by hand: makes an envelope of a sample or of a file and posts it to a DSN. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "cmd.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/client/client.h"
#include "picket/protocol/dsn.h"
#include "picket/protocol/envelope.h"
#include "version.h"

enum { TIMEOUT_MS = 30000, FILE_MAX = 64 * 1024 * 1024 };

static const char usage[] =
    "usage: picket send DSN [FILE|-] [--message TEXT]\n\n"
    "Sends an error event to a DSN and prints the answer. Without FILE it is a sample, with TEXT as its message; FILE (or - for\n"
    "standard input) is an event as JSON, or a whole envelope. The exit code is 0 when the answer is 200.";

struct frame {
    const char *function, *filename;
    int line;
    bool in_app;
};

static void put_frames(struct json_writer *w)
{
    static const struct frame frames[] = {{"main", "src/main.py", 12, true},
                                          {"dispatch", "lib/framework.py", 310, false},
                                          {"checkout", "src/shop/cart.py", 47, true}};
    json_key(w, STR("frames"));
    json_begin_array(w);
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        json_begin_object(w);
        json_field_str(w, STR("function"), str_from(frames[i].function));
        json_field_str(w, STR("filename"), str_from(frames[i].filename));
        json_field_i64(w, STR("lineno"), frames[i].line);
        json_field_bool(w, STR("in_app"), frames[i].in_app);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_exception(struct json_writer *w, struct str message)
{
    json_key(w, STR("exception"));
    json_begin_object(w);
    json_key(w, STR("values"));
    json_begin_array(w);
    json_begin_object(w);
    json_field_str(w, STR("type"), STR("SampleError"));
    json_field_str(w, STR("value"), message);
    json_key(w, STR("stacktrace"));
    json_begin_object(w);
    put_frames(w);
    json_end_object(w);
    json_end_object(w);
    json_end_array(w);
    json_end_object(w);
}

static void make_sample(struct buf *out, const struct id128 *id, struct str message)
{
    char hex[ID_HEX + 1];
    struct json_writer w;
    id_hex(id, hex);
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_field_str(&w, STR("event_id"), str_from(hex));
    json_field_time(&w, STR("timestamp"), clock_wall_us());
    json_field_str(&w, STR("platform"), STR("python"));
    json_field_str(&w, STR("level"), STR("error"));
    json_field_str(&w, STR("transaction"), STR("/checkout"));
    json_field_str(&w, STR("release"), STR("sample@1.0.0"));
    json_field_str(&w, STR("environment"), STR("sample"));
    put_exception(&w, message);
    json_key(&w, STR("tags"));
    json_begin_object(&w);
    json_field_str(&w, STR("sample"), STR("yes"));
    json_end_object(&w);
    json_key(&w, STR("sdk"));
    json_begin_object(&w);
    json_field_str(&w, STR("name"), STR("picket.send"));
    json_field_str(&w, STR("version"), STR(PICKET_VERSION));
    json_end_object(&w);
    json_end_object(&w);
}

/* Header, item header, payload (protocol §2.1). `id` NULL: the payload or the server knows. */
static void wrap(struct buf *out, const struct id128 *id, struct str event)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    if (id) {
        char hex[ID_HEX + 1];
        id_hex(id, hex);
        json_field_str(&w, STR("event_id"), str_from(hex));
    }
    json_field_time(&w, STR("sent_at"), clock_wall_us());
    json_end_object(&w);
    buf_append_char(out, '\n');
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_field_str(&w, STR("type"), STR("event"));
    json_field_i64(&w, STR("length"), (int64_t)event.n);
    json_end_object(&w);
    buf_append_char(out, '\n');
    buf_append_str(out, event);
    buf_append_char(out, '\n');
}

static int post(struct str dsn_text, struct str envelope, struct client_answer *ret)
{
    struct dsn dsn;
    *ret = (struct client_answer){0};
    int r = dsn_parse(dsn_text, &dsn);
    if (r < 0) {
        (void)snprintf(ret->error, sizeof ret->error, "this is not a DSN: scheme://key@host[:port][/path]/project is expected");
        return r;
    }
    AUTO_BUF struct buf url = {0}, auth = {0};
    dsn_endpoint(&url, &dsn, STR("envelope"));
    buf_printf(&auth, "X-Sentry-Auth: Sentry sentry_version=7, sentry_client=picket/%s, sentry_key=%.*s", PICKET_VERSION,
               STR_ARG(dsn.public_key));
    const char *const headers[] = {buf_cstr(&auth), "Content-Type: application/x-sentry-envelope", "Expect:"};
    return client_post(buf_cstr(&url), headers, ARRAY_LEN(headers), envelope, TIMEOUT_MS, ret);
}

int send_sample(const char *dsn, const char *message, struct id128 *ret_id, char *why, size_t why_size)
{
    AUTO_BUF struct buf event = {0}, envelope = {0};
    struct client_answer answer;
    struct id128 id = id_random();
    make_sample(&event, &id, str_from(message));
    wrap(&envelope, &id, buf_str(&event));
    int r = post(str_from(dsn), buf_str(&envelope), &answer);
    if (r < 0)
        (void)snprintf(why, why_size, "%s", answer.error);
    else if (answer.status != 200)
        (void)snprintf(why, why_size, "HTTP %ld %.*s", answer.status, STR_ARG(buf_str(&answer.body)));
    if (r == 0 && answer.status != 200)
        r = -EIO;
    client_answer_done(&answer);
    *ret_id = id;
    return r;
}

static int read_file(const char *name, struct buf *ret)
{
    bool standard = str_eq(str_from(name), STR("-"));
    AUTO_CLOSE int fd = standard ? dup(STDIN_FILENO) : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cmd_fail("%s: %s", name, err_text(-errno));
    for (;;) {
        buf_reserve(ret, 65536);
        ssize_t n = read(fd, ret->p + ret->n, 65536);
        if (n < 0)
            return cmd_fail("%s: %s", name, err_text(-errno));
        if (n == 0)
            return EXIT_OK;
        ret->n += (size_t)n;
        if (ret->n > FILE_MAX)
            return cmd_fail("%s: larger than 64 MiB", name);
    }
}

/* An event is one JSON value and nothing else; whatever is not goes out as it is, and the server says what it thinks of it. */
static bool is_event(struct str file)
{
    struct json_doc *doc;
    if (json_parse(file, &doc, NULL) < 0)
        return false;
    const struct json *root = json_root(doc);
    bool header_only = json_get(root, STR("dsn")) || json_get(root, STR("sent_at"));
    bool object = json_type(root) == JSON_OBJECT && json_count(root) > 0;
    json_free(doc);
    return object && !header_only;
}

static int send_text(const char *dsn, struct str envelope)
{
    struct client_answer answer;
    int r = post(str_from(dsn), envelope, &answer);
    int code = EXIT_OK;
    if (r < 0) {
        code = cmd_fail("no answer: %s", answer.error);
    } else {
        printf("%ld %.*s\n", answer.status, STR_ARG(buf_str(&answer.body)));
        code = answer.status == 200 ? EXIT_OK : EXIT_FAILED;
    }
    client_answer_done(&answer);
    return code;
}

/* The envelope to send: a sample, an event from a file, or the file as it is. */
static int make_envelope(const char *file, const char *message, struct buf *ret)
{
    AUTO_BUF struct buf content = {0};
    if (!file) {
        struct id128 id = id_random();
        make_sample(&content, &id, str_from(message));
        wrap(ret, &id, buf_str(&content));
        return EXIT_OK;
    }
    int code = read_file(file, &content);
    if (code != EXIT_OK)
        return code;
    if (is_event(buf_str(&content)))
        wrap(ret, NULL, buf_str(&content));
    else
        buf_append_str(ret, buf_str(&content));
    return EXIT_OK;
}

int cmd_send(const struct config *config, int argc, char **argv)
{
    (void)config;
    const char *message = NULL, *arguments[2] = {NULL, NULL};
    const struct cmd_option options[] = {{"--message", NULL, &message}};
    const struct cmd_line line = {"send", usage, options, ARRAY_LEN(options), arguments, ARRAY_LEN(arguments)};
    struct dsn dsn;
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    if (!arguments[0])
        return cmd_usage("send", "a DSN is missing: picket project list shows them");
    if (dsn_parse(str_from(arguments[0]), &dsn) < 0)
        return cmd_usage("send", "'%s' is not a DSN: scheme://key@host[:port][/path]/project is expected", arguments[0]);
    if (arguments[1] && message)
        return cmd_usage("send", "--message is for the sample: a file has its own");
    AUTO_BUF struct buf envelope = {0};
    code = make_envelope(arguments[1], message ? message : "This is a sample event", &envelope);
    return code == EXIT_OK ? send_text(arguments[0], buf_str(&envelope)) : code;
}
