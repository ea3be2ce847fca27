/* bench_scrub.c: what scrubbing adds to an event. One event is parsed by json_parse and scrubbed by scrub_event in alternating rounds; the
 * fastest round of each counts: everything slower is the machine's doing.
 *
 * bench_scrub FILE...          each holds one event as JSON */
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/event/event.h"
#include "picket/event/scrub.h"

enum { ROUNDS = 600, REPEATS = 100 }; /* a round fits between two interruptions */

struct subject {
    struct str text;
    struct buf *out;
    struct arena *arena;
};

static void parse(const struct subject *s)
{
    AUTO_JSON struct json_doc *doc = NULL;
    int r = json_parse(s->text, &doc, NULL);
    assert(r == 0);
}

static void scrub(const struct subject *s)
{
    struct scrub_rules rules = SCRUB_DEFAULTS;
    buf_clear(s->out);
    int r = scrub_event(s->text, &rules, s->out);
    assert(r >= 0);
}

static void read_columns(const struct subject *s)
{
    struct event_fields fields;
    struct event_origin origin = {.received_us = INT64_C(1795262400000000)};
    int r = event_read(s->text, &origin, s->arena, &fields);
    assert(r == 0);
    arena_reset(s->arena);
}

static double best_us(void (*run)(const struct subject *), const struct subject *s, double best)
{
    int64_t start = clock_mono_us();
    for (int i = 0; i < REPEATS; i++)
        run(s);
    double us = (double)(clock_mono_us() - start) / REPEATS;
    return us < best ? us : best;
}

static bool read_file(const char *name, struct buf *ret)
{
    char chunk[4096];
    size_t n;
    FILE *f = fopen(name, "rb");
    if (!f)
        return false;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_append(ret, chunk, n);
    (void)fclose(f); /* was only read */
    return true;
}

static int measure(const char *name)
{
    AUTO_BUF struct buf text = {0}, out = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    struct arena arena;
    if (!read_file(name, &text) || json_parse(buf_str(&text), &doc, NULL) < 0) {
        fprintf(stderr, "%s: cannot be read, or no JSON\n", name);
        return 1;
    }
    arena_init(&arena);
    const struct subject event = {buf_str(&text), &out, &arena};
    double parsed = 1e9, scrubbed = 1e9, columns = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        parsed = best_us(parse, &event, parsed);
        scrubbed = best_us(scrub, &event, scrubbed);
        columns = best_us(read_columns, &event, columns);
    }
    printf("%s: %zu bytes: json_parse %.2f us, scrub_event %.2f us (%s), event_read %.2f us\n", name, text.n, parsed, scrubbed,
           out.n ? "rewritten" : "nothing to do", columns);
    arena_done(&arena);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2 ? 2 : 0;
    if (argc < 2)
        fprintf(stderr, "usage: bench_scrub FILE...\n");
    for (int i = 1; i < argc; i++)
        failed |= measure(argv[i]);
    return failed;
}
