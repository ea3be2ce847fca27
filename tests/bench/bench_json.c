/* bench_json.c: what the JSON layer adds to the library. One event, parsed and freed by the library alone and by json_parse, in alternating
 * rounds; then written again with json_put_value, and the same event with a lone surrogate, which takes the repairing path. The fastest
 * round of each counts: everything slower is the machine's doing.
 *
 * bench_json FILE          FILE holds one event as JSON */
#include <yyjson.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/json/json.h"

enum { ROUNDS = 15, REPEATS = 4000 };

struct subject {
    struct str text;
    const struct json *root; /* of the same text */
    struct buf *out;
};

static void parse_plain(const struct subject *s)
{
    yyjson_doc_free(yyjson_read(s->text.p, s->text.n, YYJSON_READ_NOFLAG));
}

static void parse_ours(const struct subject *s)
{
    AUTO_JSON struct json_doc *doc = NULL;
    int r = json_parse(s->text, &doc, NULL);
    assert(r == 0);
}

static void write_ours(const struct subject *s)
{
    struct json_writer w;
    buf_clear(s->out);
    json_writer_init(&w, s->out);
    json_put_value(&w, s->root);
}

static void write_plain(const struct subject *s)
{
    size_t n;
    free(yyjson_val_write((const yyjson_val *)s->root, YYJSON_WRITE_NOFLAG, &n));
}

static double best_us(void (*run)(const struct subject *), const struct subject *s, double best)
{
    int64_t start = clock_mono_us();
    for (int i = 0; i < REPEATS; i++)
        run(s);
    double us = (double)(clock_mono_us() - start) / REPEATS;
    return us < best ? us : best;
}

/* The event as an array with a lone surrogate behind it. */
static void damage(struct str text, struct buf *ret)
{
    buf_append_char(ret, '[');
    buf_append_str(ret, text);
    buf_append_str(ret, STR(",\"\\ud83d\"]"));
}

int main(int argc, char **argv)
{
    AUTO_BUF struct buf text = {0}, damaged = {0}, out = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    char chunk[4096];
    size_t n;
    FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!f) {
        fprintf(stderr, "usage: bench_json FILE\n");
        return 2;
    }
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_append(&text, chunk, n);
    (void)fclose(f); /* was only read */
    int r = json_parse(buf_str(&text), &doc, NULL);
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", argv[1], err_text(r));
        return 1;
    }
    damage(buf_str(&text), &damaged);
    const struct subject event = {buf_str(&text), json_root(doc), &out}, lone = {buf_str(&damaged), json_root(doc), &out};
    double plain = 1e9, ours = 1e9, repaired = 1e9, write = 1e9, plain_write = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        plain = best_us(parse_plain, &event, plain);
        ours = best_us(parse_ours, &event, ours);
        repaired = best_us(parse_ours, &lone, repaired);
        plain_write = best_us(write_plain, &event, plain_write);
        write = best_us(write_ours, &event, write);
    }
    printf("%zu bytes: yyjson_read %.2f us, json_parse %.2f us, with a lone surrogate %.2f us; yyjson_val_write %.2f us, json_put_value "
           "%.2f us\n",
           text.n, plain, ours, repaired, plain_write, write);
    return 0;
}
