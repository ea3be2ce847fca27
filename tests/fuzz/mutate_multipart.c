/* mutate_multipart.c: makes forms out of forms. A boundary stands in three places, and a change of bytes in one of them leaves a body without parts, so
 * blind changes rarely get behind the first delimiter. So the form is cut into its parts, one of them is changed in a way that means something,
 * and the whole is put together again around a boundary that fits, or does not on purpose. One time in four the bytes are changed plainly. */
#include "fuzz.h"

#include "picket/base/buf.h"
#include "picket/protocol/multipart.h"

enum { PARTS_MAX = 32, PIECE_MAX = 16384, PARAMS_MAX = 5 };

struct piece {
    struct str headers, content; /* headers: lines, and the empty one */
};

struct form {
    struct arena arena;
    struct str type;     /* the Content-Type; p == NULL: made of the boundary */
    struct str boundary; /* "": the body is no form yet */
    struct str preamble, tail;
    struct piece parts[PARTS_MAX];
    unsigned n;
    uint64_t dice;
};

static unsigned roll(struct form *f, unsigned sides)
{
    f->dice = f->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(f->dice >> 33) % sides;
}

static struct str any(struct form *f, const char *const *texts, unsigned n)
{
    return str_from(texts[roll(f, n)]);
}
#define ANY(f, texts) any(f, texts, ARRAY_LEN(texts))

static void cut(struct form *f, struct str body)
{
    struct multipart m;
    struct multipart_part part;
    f->type = str_cut(&body, '\n');
    if (!body.p)
        body = STR("");
    f->tail = body;
    if (multipart_open(f->type, body, &f->arena, &m) < 0 && !multipart_open_nested(body, &f->arena, &m))
        return;
    f->boundary = str_drop(m.delimiter, 4);
    for (const char *at = m.rest.p; f->n < PARTS_MAX && multipart_next(&m, &part) == 1; at = m.rest.p)
        f->parts[f->n++] = (struct piece){str_of(at, (size_t)(part.content.p - at)), part.content};
    f->tail = m.is_over ? str_drop(m.rest, str_starts(m.rest, STR("--")) ? 2 : 0) : STR("");
}

/* The piece with some of its bytes changed by libFuzzer. */
static struct str shaken(struct form *f, struct str s)
{
    size_t n = s.n < PIECE_MAX / 2 ? s.n : PIECE_MAX / 2;
    uint8_t *copy = arena_alloc(&f->arena, PIECE_MAX);
    if (n)
        memcpy(copy, s.p, n);
    return str_of((const char *)copy, LLVMFuzzerMutate(copy, n, PIECE_MAX));
}

/* ---- headers */

static struct str new_disposition(struct form *f)
{
    static const char *const params[] = {"name=a",
                                         "name=\"a\"",
                                         "name=\"sentry[release]\"",
                                         "NAME=\"a\\\"b\\\\c\"",
                                         "name=\"%22%0D%0A%0d%0a%41\"",
                                         "name=\"a\\",
                                         "name=\"a",
                                         "name=a\"b",
                                         "name=\"a\"b",
                                         "name",
                                         "=a",
                                         "name=",
                                         "name=\"\"",
                                         "name*=UTF-8''%C3%A4%2f",
                                         "name*=utf-8'en'a%00b",
                                         "name*=iso-8859-1''%E4\xe4%7f",
                                         "name*=koi8-r''x",
                                         "name*=utf-8'x",
                                         "name*=utf-8''%4",
                                         "filename=a.dmp",
                                         "filename=\"\"",
                                         "filename=\"C:\\dir\\f\"",
                                         "filename=\"../../etc/passwd\"",
                                         "filename=\"a;b=c\"",
                                         "filename*=UTF-8''%e2%82%ac%20rates",
                                         "filename*=\"utf-8''x\"",
                                         "size=5",
                                         "",
                                         " \t",
                                         "a=\"b\";"};
    static const char *const kinds[] = {"form-data", "form-data", "form-data", "form-data", "Form-Data ", "attachment", "", "form-data\t"};
    AUTO_BUF struct buf out = {0};
    buf_append_str(&out, ANY(f, kinds));
    for (unsigned n = roll(f, PARAMS_MAX); n > 0; n--) {
        buf_append_str(&out, roll(f, 6) ? STR("; ") : STR(";"));
        buf_append_str(&out, ANY(f, params));
    }
    return arena_str(&f->arena, buf_str(&out));
}

static struct str new_headers(struct form *f)
{
    static const char *const others[] = {"Content-Type: text/plain",
                                         "content-type:application/octet-stream",
                                         "Content-Type:",
                                         "Content-Transfer-Encoding: base64",
                                         "Content-Disposition: form-data; name=b",
                                         "X-Odd!#$%&'*+-.^_`|~: y",
                                         ": no name",
                                         "no colon",
                                         " folded: x",
                                         "a b: c",
                                         "\ttab",
                                         "bare\rcr: x",
                                         "bare\nlf: x"};
    AUTO_BUF struct buf out = {0};
    unsigned before = roll(f, 8) ? 0 : 1 + roll(f, 2);
    while (before--)
        buf_printf(&out, "%.*s\r\n", STR_ARG(ANY(f, others)));
    if (roll(f, 20))
        buf_printf(&out, "Content-Disposition: %.*s\r\n", STR_ARG(new_disposition(f)));
    if (roll(f, 40) == 0) { /* about as long as they may be */
        buf_append_str(&out, STR("X-Long: "));
        for (size_t n = MULTIPART_MAX_HEADER - 8 + roll(f, 16); out.n + 4 < n;)
            buf_append_char(&out, 'l');
        buf_append_str(&out, STR("\r\n"));
    }
    while (roll(f, 3) == 0)
        buf_printf(&out, "%.*s\r\n", STR_ARG(ANY(f, others)));
    buf_append_str(&out, STR("\r\n"));
    return arena_str(&f->arena, buf_str(&out));
}

/* ---- boundaries */

static struct str new_boundary(struct form *f)
{
    static const char *const texts[] = {"b",   "-",         "--",           "----WebKitFormBoundary7MA4YWxkTrZu0gW",
                                        "a b", "a ",        "'()+_,-./:=?", "\"",
                                        "\\",  "b\r\nX: y", "\xc3\xa4",     "",
                                        "0"};
    unsigned how = roll(f, 2 * ARRAY_LEN(texts));
    if (how < ARRAY_LEN(texts))
        return str_from(texts[how]);
    if (how % 3 == 0) { /* about as long as it may be */
        AUTO_BUF struct buf out = {0};
        for (size_t n = MULTIPART_MAX_BOUNDARY - 2 + roll(f, 5); out.n < n;)
            buf_append_char(&out, 'b');
        return arena_str(&f->arena, buf_str(&out));
    }
    return how % 3 == 1 ? str_take(f->boundary, f->boundary.n - 1)
                        : arena_printf(&f->arena, "%.*s%s", STR_ARG(f->boundary), roll(f, 2) ? "-" : "x");
}

static struct str new_type(struct form *f)
{
    static const char *const forms[] = {"multipart/form-data; boundary=%.*s",
                                        "multipart/form-data; boundary=\"%.*s\"",
                                        "Multipart/Form-Data;BOUNDARY=%.*s; charset=x",
                                        "multipart/form-data; charset=\"a;b\"; boundary=%.*s",
                                        "multipart/form-data;; ;boundary=%.*s;",
                                        "multipart/form-data; boundary=a; boundary=%.*s",
                                        "multipart/mixed; boundary=%.*s",
                                        "multipart/form-data; boundary=\"%.*s",
                                        "multipart/form-data; boundary =\t%.*s ",
                                        "multipart/form-data%.*s"};
    unsigned how = roll(f, 3 * ARRAY_LEN(forms));
    AUTO_BUF struct buf out = {0};
    struct str form = str_from(forms[how < ARRAY_LEN(forms) ? how : how % 2]);
    size_t at = str_find(form, '%');
    buf_append_str(&out, str_take(form, at));
    buf_append_str(&out, f->boundary);
    buf_append_str(&out, str_drop(form, at + 4));
    return arena_str(&f->arena, buf_str(&out));
}

/* ---- changes */

static void insert(struct form *f, struct piece piece)
{
    unsigned at = roll(f, f->n + 1);
    if (f->n == PARTS_MAX)
        return;
    memmove(f->parts + at + 1, f->parts + at, (f->n - at) * sizeof *f->parts);
    f->parts[at] = piece;
    f->n++;
}

/* What begins like a delimiter, in the midst of a content. */
static struct str almost_delimited(struct form *f, struct str content)
{
    static const char *const ends[] = {"", "x", "-", " ", " \t\r\n", "\r", "\n", "-\r\n", "--", "\r\n"};
    static const char *const starts[] = {"\r\n--", "\n--", "--", "\r\n-", "\r--", "\r\n\r\n--"};
    size_t at = roll(f, (unsigned)content.n + 1);
    struct str boundary = roll(f, 4) ? f->boundary : str_take(f->boundary, roll(f, (unsigned)f->boundary.n + 1));
    AUTO_BUF struct buf out = {0};
    buf_append_str(&out, str_take(content, at));
    buf_append_str(&out, ANY(f, starts));
    buf_append_str(&out, boundary);
    buf_append_str(&out, ANY(f, ends));
    buf_append_str(&out, str_drop(content, at));
    return arena_str(&f->arena, buf_str(&out));
}

/* A form of some of the parts, around a boundary that may begin as ours does (protocol §1.6, old Electron). */
static struct str nested(struct form *f)
{
    AUTO_BUF struct buf out = {0};
    struct str boundary = roll(f, 3) ? STR("inner") : new_boundary(f);
    for (unsigned n = 1 + roll(f, 3); n > 0; n--) {
        struct piece one = f->n && roll(f, 2) ? f->parts[roll(f, f->n)] : (struct piece){new_headers(f), STR("within")};
        buf_printf(&out, "--%.*s\r\n", STR_ARG(boundary));
        buf_append_str(&out, one.headers);
        buf_append_str(&out, one.content);
        buf_append_str(&out, STR("\r\n"));
    }
    if (roll(f, 4))
        buf_printf(&out, "--%.*s--", STR_ARG(boundary));
    return arena_str(&f->arena, str_take(buf_str(&out), PIECE_MAX));
}

static void change(struct form *f)
{
    struct piece *part = f->n ? &f->parts[roll(f, f->n)] : NULL;
    switch (part ? roll(f, 12) : 8 + roll(f, 4)) {
    case 0:
        part->content = shaken(f, part->content);
        break;
    case 1:
    case 2:
        part->headers = new_headers(f);
        break;
    case 3:
        part->headers = shaken(f, part->headers);
        break;
    case 4:
        insert(f, *part);
        break;
    case 5:
        *part = f->parts[--f->n];
        break;
    case 6:
        part->content = almost_delimited(f, part->content);
        break;
    case 7:
        part->content = nested(f);
        break;
    case 8:
        f->boundary = new_boundary(f);
        f->type = new_type(f);
        break;
    case 9:
        f->type = roll(f, 4) ? new_type(f) : shaken(f, f->type);
        break;
    case 10:
        *(roll(f, 2) ? &f->preamble : &f->tail) = roll(f, 2) ? almost_delimited(f, STR("before\r\n")) : shaken(f, f->tail);
        break;
    case 11:
        insert(f, (struct piece){new_headers(f), roll(f, 3) ? STR("content") : STR("")});
        break;
    }
}

static void put_end(struct buf *out, struct form *f)
{
    static const char *const odd[] = {"\n", "", "\r", " \t\r\n", " x\r\n", "\r\r\n"};
    buf_append_str(out, roll(f, 30) ? STR("\r\n") : ANY(f, odd));
}

static size_t join(struct form *f, uint8_t *data, size_t max_size)
{
    AUTO_BUF struct buf out = {0};
    buf_append_str(&out, f->type);
    buf_append_char(&out, '\n');
    buf_append_str(&out, f->preamble);
    for (unsigned i = 0; i < f->n; i++) {
        buf_printf(&out, "--%.*s", STR_ARG(f->boundary));
        put_end(&out, f);
        buf_append_str(&out, f->parts[i].headers);
        buf_append_str(&out, f->parts[i].content);
        if (f->parts[i].content.n || roll(f, 2)) /* the CRLF of the headers may be the delimiter's */
            put_end(&out, f);
    }
    if (f->n && roll(f, 10))
        buf_printf(&out, "--%.*s%s", STR_ARG(f->boundary), roll(f, 20) ? "--" : "-");
    buf_append_str(&out, f->tail);
    struct str whole = str_take(buf_str(&out), max_size);
    memcpy(data, whole.p, whole.n);
    return whole.n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    struct form f = {.type = STR(""), .dice = seed};
    if (roll(&f, 4) == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    arena_init(&f.arena);
    cut(&f, str_of((const char *)data, size));
    for (unsigned changes = 1 + roll(&f, 3); changes > 0; changes--)
        change(&f);
    size_t n = join(&f, data, max_size);
    arena_done(&f.arena);
    return n;
}
