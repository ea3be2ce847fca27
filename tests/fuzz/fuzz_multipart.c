/* fuzz_multipart.c: the first line is the Content-Type, the rest the body. Whatever it is, contents lie in the body, in order, and behind each
 * comes the delimiter or the end of the headers; a form within a field is read in the same way. */
#include "fuzz.h"

#include "picket/base/error.h"
#include "picket/protocol/multipart.h"

static void check_parts(struct multipart *m, struct arena *a)
{
    struct multipart_part part;
    struct multipart nested;
    size_t last = 0;
    unsigned n = 0;
    int r;
    while ((r = multipart_next(m, &part)) == 1) {
        assert(part.content.p == m->body.p + part.at && part.at >= last && part.at + part.content.n <= m->body.n);
        struct str behind = str_drop(m->body, part.at + part.content.n), dashes = str_drop(m->delimiter, 2);
        assert(str_starts(behind, m->delimiter) || (part.content.n == 0 && str_starts(behind, dashes)));
        last = part.at + part.content.n;
        n++;
        if (multipart_open_nested(part.content, a, &nested)) {
            struct multipart_part inner;
            while (multipart_next(&nested, &inner) == 1)
                assert(inner.content.p >= part.content.p && inner.content.p + inner.content.n <= part.content.p + part.content.n);
        }
    }
    assert(n <= MULTIPART_MAX_PARTS && m->at <= m->body.n);
    assert(r == 0 || r == -ERR_BAD_MULTIPART || r == -ERR_TOO_MANY_PARTS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body = str_of((const char *)data, size), type = str_cut(&body, '\n');
    struct arena a;
    struct multipart m;
    arena_init(&a);
    int r = multipart_open(type, body, &a, &m);
    assert(m.at <= size && (r == 0 || r == -ERR_BAD_BOUNDARY || r == -ERR_BAD_MULTIPART));
    if (r == 0)
        check_parts(&m, &a);
    if (multipart_open_nested(str_of((const char *)data, size), &a, &m))
        check_parts(&m, &a);
    arena_done(&a);
    return 0;
}
