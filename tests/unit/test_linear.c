/* Whatever a client can make long takes time in proportion to its length. Shapes that a careless reader takes the square of their length for go
 * through all readers at two lengths, one GROWTH times the other: linear is GROWTH times the time, a square GROWTH times that. It is the processor's
 * time and the best of several tries, so a busy machine does no harm. A new shape is a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "slow_pieces.h"

#include "picket/event/items.h"
#include "picket/event/native.h"
#include "picket/event/person.h"
#include "picket/event/security.h"
#include "picket/event/user_form.h"
#include "picket/protocol/credentials.h"
#include "picket/protocol/envelope.h"
#include "picket/protocol/multipart.h"

enum { SHORT = 4 << 10, GROWTH = 8, BOUND = 3 * GROWTH, TRIES = 5, NOTHING_US = 1000 };

static const int64_t NOW_US = INT64_C(1790000000000000);

/* ---- readers: what they say does not matter */

typedef void read_fn(struct str text, struct arena *a, struct buf *out);

static void scrub(struct str text, struct arena *a, struct buf *out)
{
    struct scrub_rules rules = {.enabled = true, .drops_ip = true};
    (void)a;
    (void)!scrub_event(text, &rules, out);
}

static void scrub_words(struct str text, struct arena *a, struct buf *out)
{
    struct scrub_rules rules = {.enabled = true, .drops_ip = true};
    (void)a;
    (void)scrub_text(text, &rules, out);
    (void)scrub_member(STR("name"), text, &rules, out);
    (void)scrub_member(text, STR("value"), &rules, out);
}

static void copy(struct str text, struct arena *a, struct buf *out)
{
    struct event_row row = {.received_us = NOW_US, .timestamp_us = NOW_US};
    (void)a;
    (void)!event_normalise(text, &row, out);
}

static void columns(struct str text, struct arena *a, struct buf *out)
{
    struct event_origin origin = {.received_us = NOW_US, .envelope_header = text};
    struct event_fields fields;
    struct id128 id;
    enum event_class class;
    (void)out;
    (void)!event_peek(text, &id, &class);
    (void)!event_read(text, &origin, a, &fields);
}

static void items(struct str text, struct arena *a, struct buf *out)
{
    static int (*const readers[])(struct str, const struct item_origin *,
                                  struct buf *) = {feedback_read,      user_report_read, session_read,   sessions_read,
                                                   client_report_read, check_in_read,    attachment_read};
    struct item_origin origin = {.received_us = NOW_US, .project_id = 1};
    (void)a;
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        buf_clear(out);
        (void)!readers[i](text, &origin, out);
    }
}

static void reports(struct str text, struct arena *a, struct buf *out)
{
    struct security_origin origin = {.received_us = NOW_US};
    struct security_reader reader;
    (void)a;
    if (security_open(text, &reader) < 0)
        return;
    while (security_next(&reader, &origin, out) != 0)
        ;
    security_done(&reader);
}

static void persons(struct str text, struct arena *a, struct buf *out)
{
    struct person person;
    (void)a, (void)out;
    assert_true(person_read(STR("42"), &person));
    (void)person_in_event(&person, 1, text, STR(""));
    (void)person_in_session(&person, 1, text);
    (void)person_in_feedback(&person, 1, text, STR(""));
    (void)person_in_header(&person, 1, text);
    (void)person_in_text(&person, 1, text);
}

static void crash(struct str text, struct arena *a, struct buf *out)
{
    struct native_field fields[] = {
        {STR("sentry"), text}, {STR("sentry[a][b]"), text}, {STR("sentry__1"), text}, {STR("other"), text}, {text, STR("value")}};
    struct native_report report = {.event = text,
                                   .event_msgpack = text,
                                   .fields = fields,
                                   .n_fields = ARRAY_LEN(fields),
                                   .unreal_context = text,
                                   .unreal_user = text,
                                   .apple_report = text,
                                   .max_bytes = 1 << 20};
    (void)a;
    native_event(&report, out);
}

static void form(struct str text, struct arena *a, struct buf *out)
{
    AUTO_BUF struct buf body = {0}, errors = {0};
    struct id128 id = {{1}};
    struct multipart m;
    struct multipart_part part;
    (void)!user_form_read(text, &id, out, &errors);
    buf_append_str(&body, STR("--a\r\nContent-Disposition: form-data; name=\"a\"; "));
    buf_append_str(&body, text);
    if (multipart_open(STR("multipart/form-data; boundary=a"), buf_str(&body), a, &m) == 0)
        while (multipart_next(&m, &part) == 1)
            ;
}

static void envelope(struct str text, struct arena *a, struct buf *out)
{
    struct envelope e;
    struct envelope_item item;
    struct credentials credentials;
    struct credentials_source source = {.x_sentry_auth = text, .authorization = text, .query = text};
    (void)out;
    (void)!credentials_read(&source, &credentials);
    if (envelope_open(text, a, &e) == 0)
        while (envelope_next(&e, &item) == 1)
            ;
}

struct reader {
    const char *name;
    read_fn *read;
};
static const struct reader of_json[] = {{"scrub", scrub},     {"copy", copy},       {"columns", columns}, {"items", items},
                                        {"reports", reports}, {"persons", persons}, {"crash", crash}};
static const struct reader of_text[] = {
    {"scrub_words", scrub_words}, {"crash", crash}, {"form", form}, {"envelope", envelope}, {"persons", persons}};

/* ---- time */

static int64_t time_of(read_fn *read, const struct buf *text)
{
    AUTO_BUF struct buf out = {0};
    struct timespec from, to;
    struct arena a;
    arena_init(&a);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    read(buf_str(text), &a, &out);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    arena_done(&a);
    return (to.tv_sec - from.tv_sec) * INT64_C(1000000) + (to.tv_nsec - from.tv_nsec) / 1000;
}

/* False: it said so. */
static bool is_linear(const struct reader *r, const struct buf *small, const struct buf *large, const char *shape)
{
    int64_t least_small = INT64_MAX, least_large = INT64_MAX;
    for (unsigned i = 0; i < TRIES; i++) {
        int64_t us = time_of(r->read, large);
        least_large = us < least_large ? us : least_large;
        if (least_large < NOTHING_US)
            return true;
        us = time_of(r->read, small);
        least_small = us < least_small ? us : least_small;
        if (least_large < BOUND * least_small)
            return true;
    }
    print_error("%s of %s: %lld us for %zu bytes, %lld us for %zu\n", r->name, shape, (long long)least_small, small->n,
                (long long)least_large, large->n);
    return false;
}

/* ---- shapes of JSON: what stands between two ~ comes again and again, with commas between, up to its share of the length; # is a number of its own */

static void put_element(struct buf *out, struct str element, size_t number)
{
    for (size_t i = 0; i < element.n; i++)
        if (element.p[i] == '#')
            buf_printf(out, "%zu", number);
        else
            buf_append_char(out, element.p[i]);
}

static void make_json(const char *shape, size_t bytes, struct buf *out)
{
    struct str rest = str_from(shape);
    size_t n_marks = 0;
    for (size_t i = 0; i < rest.n; i++)
        n_marks += rest.p[i] == '~';
    buf_clear(out);
    while (rest.p) {
        buf_append_str(out, str_cut(&rest, '~'));
        if (!rest.p)
            return;
        struct str element = str_cut(&rest, '~');
        size_t end = out->n + bytes / (n_marks / 2);
        for (size_t i = 0; out->n < end; i++) {
            if (i > 0)
                buf_append_char(out, ',');
            put_element(out, element, i);
        }
    }
}

static const char *const shapes[] = {
    "{~\"k\":1~}",
    "{~\"k#\":1~}",
    "{~\"user\":{}~}",
    "{~\"sentry.interfaces.User\":{\"id\":1}~}",
    "{~\"message\":\"a\"~}",
    "[~{}~]",
    "[~[\"token\",\"a\"]~]",
    "{\"user\":{~\"k\":1~}}",
    "{\"user\":{~\"k#\":1~}}",
    "{\"user\":{~\"data\":{}~}}",
    "{\"user\":{~\"k#\":1~,\"data\":{~\"k#\":1~}}}",
    "{\"user\":{~\"k#\":1~,\"data\":{~\"d#\":1~}}}",
    "{\"user\":{~\"id\":[]~}}",
    "{\"tags\":{~\"k\":1~}}",
    "{\"tags\":{~\"k#\":1~}}",
    "{\"tags\":{~\"/#\":1~}}",
    "{\"tags\":[~[\"k#\",1]~]}",
    "{\"tags\":[~[\"environment\",1]~]}",
    "{\"contexts\":{~\"k#\":{}~}}",
    "{\"contexts\":{~\"os\":{\"raw_description\":\"a 1\"}~}}",
    "{\"contexts\":{\"feedback\":{\"message\":\"a\",~\"k#\":1~},~\"c#\":{\"type\":1}~}}",
    "{\"contexts\":{\"response\":{\"headers\":{~\"a#\":\"b\"~},\"cookies\":[~[\"a\",\"b\"]~]}}}",
    "{\"request\":{\"headers\":{~\"a#\":\"b\"~},\"cookies\":[~[\"a\",\"b\"]~],\"query_string\":[~[\"a\",\"b\"]~]}}",
    "{\"request\":{\"headers\":[~[\"user-agent\",\"b\"]~]}}",
    "{\"request\":{\"headers\":[[{~\"k#\":1~},1],~[\"a\"]~],\"cookies\":[~\"a\"~],\"query_string\":[~null~,~[[],1]~]}}",
    "{\"request\":{\"headers\":{~\"cookie\":\"a=b\"~}}}",
    "{\"logentry\":{\"message\":\"{0} %s {k} %(k)s {9}\",\"params\":[~\"a\"~]}}",
    "{\"logentry\":{\"message\":\"{0} %s {k} %(k)s {9}\",\"params\":{~\"k#\":1~}}}",
    "{\"logentry\":{\"message\":\"a\",~\"k#\":1~},\"message\":{~\"k#\":1~}}",
    "{\"logentry\":{~\"message\":\"token=a\"~,~\"params\":[1]~}}",
    "{\"exception\":[~{}~]}",
    "{\"exception\":[~{\"type\":\"a\",\"stacktrace\":{\"frames\":[{}]}}~],\"stacktrace\":{}}",
    "{\"exception\":{~\"k#\":1~,\"type\":1}}",
    "{\"exception\":[~\"a\"~],\"threads\":{\"values\":[~1~],~\"k#\":1~},\"breadcrumbs\":[~1~]}",
    "{\"exception\":{\"values\":[{\"stacktrace\":{\"frames\":[~{\"filename\":\"a\"}~]}}]}}",
    "{\"exception\":{\"values\":[{\"stacktrace\":{\"frames\":[~\"at a\"~]}}]}}",
    "{\"exception\":{\"values\":[{\"stacktrace\":{\"frames\":[{~\"in_app\":1~,\"vars\":[~null~],\"pre_context\":[~1~]}]}}]}}",
    "{\"exception\":{\"values\":[{\"mechanism\":{~\"meta\":1~,~\"k#\":1~},\"stacktrace\":{\"registers\":{~\"k#\":1~}}}]}}",
    "{\"threads\":[~{\"stacktrace\":{\"frames\":[]}}~]}",
    "{\"breadcrumbs\":[~{\"timestamp\":\"1\",\"data\":{\"a\":1}}~]}",
    "{\"breadcrumbs\":[{\"data\":{\"a\":[~null~],\"b\":[~[1]~],~\"k#\":1~}}]}",
    "{\"breadcrumbs\":[{~\"type\":1~,~\"level\":1~}]}",
    "{\"modules\":{~\"k#\":\"1\"~}}",
    "{\"debug_meta\":{\"images\":[~{\"type\":\"elf\"}~]},\"sdk\":{\"packages\":[~{\"name\":\"a\"}~],\"settings\":{~\"infer_ip\":1~}}}",
    "{\"fingerprint\":[~\"{{ default }}\"~]}",
    "{\"errors\":[~{\"type\":\"invalid_data\",\"name\":\"user\"}~],\"user\":1,\"level\":[]}",
    "{\"tags\":{\"a\":\"\"},\"_meta\":{~\"tags\":1~}}",
    "{\"tags\":{\"a\":\"\"},\"_meta\":{~\"k#\":1~}}",
    "{\"tags\":{\"a\":\"\"},\"_meta\":{~\"k#\":1~,\"tags\":{~\"a\":1~}}}",
    "{\"tags\":{\"a\":\"\"},\"_meta\":{\"tags\":{\"a\":{~\"\":{}~}}}}",
    "{\"tags\":{\"a\":\"\"},\"_meta\":{\"tags\":{\"a\":{\"\":{\"err\":[~\"a\"~],\"rem\":[~[\"a\",\"b\"]~],~\"len\":1~}}}}}",
    "{\"tags\":{~\"/#\":1~},\"_meta\":{\"tags\":{~\"/#\":1~}}}",
    "{\"breadcrumbs\":[{}],\"_meta\":{~\"breadcrumbs\":1~}}",
    "{\"breadcrumbs\":[{\"level\":[]}],\"_meta\":{\"breadcrumbs\":{~\"0\":1~}}}",
    "{\"extra\":{\"token\":\"a\"},\"_meta\":{\"extra\":{~\"token\":1~}}}",
    "{\"extra\":{~\"token\":\"a\"~}}",
    "{\"extra\":[~{\"token\":\"a\"}~]}",
    "{\"extra\":[~[\"token\",\"a\"]~]}",
    "{\"csp\":{~\"blocked_uri\":\"a\"~,~\"k#\":1~}}",
    "{\"csp-report\":{\"effective-directive\":\"a\",~\"k#\":1~}}",
    "[~{\"csp-report\":{\"effective-directive\":\"a\"}}~]",
    "{\"attrs\":{\"release\":\"a\",~\"k#\":1~},\"aggregates\":[~{\"started\":\"2026-09-21T00:00:00Z\",\"exited\":1}~]}",
    "{\"discarded_events\":[~{\"category\":\"error\",\"reason\":\"a\",\"quantity\":1}~],\"filtered_events\":[~{}~]}",
    "{\"monitor_slug\":\"a\",\"status\":\"ok\",\"monitor_config\":{~\"schedule\":{}~,~\"k#\":1~}}",
};

static void shapes_of_json(void **state)
{
    (void)state;
    AUTO_BUF struct buf small = {0}, large = {0};
    bool good = true;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        make_json(shapes[i], SHORT, &small);
        make_json(shapes[i], (size_t)SHORT * GROWTH, &large);
        for (size_t k = 0; k < ARRAY_LEN(of_json); k++)
            good = is_linear(&of_json[k], &small, &large, shapes[i]) && good;
    }
    assert_true(good);
}

/* ---- texts, by themselves and as what events have of them */

static void make_text(const char *piece, size_t bytes, struct buf *out)
{
    buf_clear(out);
    while (out->n < bytes)
        buf_append_str(out, str_from(piece));
}

/* $ is the text. */
static const char members[] =
    "{\"message\":$,\"transaction\":$,\"release\":$,\"timestamp\":$,\"comments\":$,\"name\":$,\"email\":$,\"monitor_slug\":$,\"status\":$,"
    "\"logentry\":{\"message\":$,\"params\":[$,$]},\"tags\":{\"a\":$},\"user\":{\"id\":$,\"ip_address\":$},\"extra\":{\"a\":$},"
    "\"request\":{\"url\":$,\"method\":$,\"query_string\":$,\"cookies\":$,\"data\":$,\"headers\":{\"a\":$,\"user-agent\":$,\"cookie\":$}},"
    "\"contexts\":{\"os\":{\"raw_description\":$},\"trace\":{\"trace_id\":$},\"feedback\":{\"message\":$,\"contact_email\":$}},"
    "\"exception\":{\"type\":$,\"value\":$,\"stacktrace\":{\"frames\":[{\"filename\":$,\"function\":$,\"context_line\":$}]}},"
    "\"attrs\":{\"release\":$},\"monitor_config\":{\"schedule\":{\"type\":\"crontab\",\"value\":$},\"timezone\":$},"
    "\"csp-report\":{\"effective-directive\":$,\"blocked-uri\":$,\"document-uri\":$},\"breadcrumbs\":[{\"message\":$,\"data\":{\"a\":$}}]}";

static void make_members(const char *piece, size_t bytes, struct buf *out)
{
    AUTO_BUF struct buf text = {0};
    make_text(piece, bytes, &text);
    buf_clear(out);
    for (const char *p = members; *p; p++) {
        struct json_writer w;
        if (*p == '$') {
            json_writer_init(&w, out);
            json_put_str(&w, buf_str(&text));
        } else {
            buf_append_char(out, *p);
        }
    }
}

static void texts(void **state)
{
    (void)state;
    AUTO_BUF struct buf small = {0}, large = {0};
    bool good = true;
    for (size_t i = 0; i < ARRAY_LEN(slow_pieces); i++) {
        make_text(slow_pieces[i], SHORT, &small);
        make_text(slow_pieces[i], (size_t)SHORT * GROWTH, &large);
        for (size_t k = 0; k < ARRAY_LEN(of_text); k++)
            good = is_linear(&of_text[k], &small, &large, slow_pieces[i]) && good;
        make_members(slow_pieces[i], SHORT / GROWTH, &small);
        make_members(slow_pieces[i], SHORT, &large);
        for (size_t k = 0; k < ARRAY_LEN(of_json); k++)
            good = is_linear(&of_json[k], &small, &large, slow_pieces[i]) && good;
    }
    assert_true(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes_of_json), cmocka_unit_test(texts)};
    return cmocka_run_group_tests_name("linear", tests, NULL, NULL);
}
