/* test_multipart.c: forms (protocol §1.6 "Multipart rules"; RFC 7578, RFC 2046 §5.1, RFC 5987). A row of data/multipart.jsonl is a body, its
 * Content-Type (absent: multipart/form-data; boundary=b) and either its parts or the error with its offset; "nested" rows are opened as a
 * form within a field, and NOT_NESTED says that they are none. */
#include "byte_cases.h"

#include "picket/protocol/multipart.h"

static bool borrowed(const struct multipart *m, struct str s)
{
    return s.p >= m->body.p && s.p + s.n <= m->body.p + m->body.n;
}

static bool check_part(const struct byte_case *c, const struct multipart *m, const struct multipart_part *part, const struct json *row)
{
    struct byte_case wanted = {row, c->arena};
    bool is_file = json_type(json_get(row, STR("file"))) == JSON_STRING;
    return case_str(c, "field", part->name, case_bytes(&wanted, STR("field"))) && case_int(c, "is a file", part->is_file, is_file) &&
           case_str(c, "file name", part->file_name, case_bytes(&wanted, STR("file"))) &&
           case_str(c, "type", part->content_type, case_bytes(&wanted, STR("type"))) &&
           case_str(c, "content", part->content, case_bytes(&wanted, STR("content"))) &&
           case_int(c, "content borrowed", borrowed(m, part->content), true) &&
           case_int(c, "at", (int64_t)part->at, part->content.p - m->body.p);
}

/* 2: it is no nested form. */
static int open_case(const struct byte_case *c, struct str body, struct multipart *ret)
{
    bool nested = false;
    struct str type = case_bytes(c, STR("type"));
    if (json_bool(json_get(c->row, STR("nested")), &nested) && nested)
        return multipart_open_nested(body, c->arena, ret) ? 0 : 2;
    if (json_type(json_get(c->row, STR("type"))) == JSON_NONE)
        type = STR("multipart/form-data; boundary=b");
    return multipart_open(type, body, c->arena, ret);
}

static bool check_row(const struct byte_case *c)
{
    struct multipart m;
    struct multipart_part part;
    const struct json *parts = json_get(c->row, STR("parts"));
    bool wants_error = json_type(parts) != JSON_ARRAY;
    size_t n = 0;
    int r = open_case(c, case_bytes(c, STR("body")), &m);
    if (r == 2)
        return case_str(c, "result", STR("NOT_NESTED"), case_bytes(c, STR("error")));
    while (r >= 0 && (r = multipart_next(&m, &part)) == 1) {
        if (!wants_error && !check_part(c, &m, &part, json_at(parts, n)))
            return false;
        n++;
    }
    if (!case_result(c, r))
        return false;
    return wants_error ? case_int(c, "at", (int64_t)m.at, case_i64(c, STR("at"), -1))
                       : case_int(c, "parts", (int64_t)n, (int64_t)json_count(parts)) && case_int(c, "again", multipart_next(&m, &part), 0);
}

static void parses_the_table(void **state)
{
    (void)state;
    run_byte_cases("multipart.jsonl", check_row);
}

/* No prefix of a form crashes, and none that lost a byte of a closing delimiter passes for a whole form. */
static bool check_cuts(const struct byte_case *c)
{
    struct str body = case_bytes(c, STR("body"));
    for (size_t n = 0; n < body.n; n++) {
        AUTO_FREE char *exact = malloc(n ? n : 1); /* of its exact size: a sanitizer sees the first byte read beyond */
        struct multipart m;
        struct multipart_part part;
        assert_non_null(exact);
        if (n)
            memcpy(exact, body.p, n);
        int r = open_case(c, str_of(exact, n), &m);
        while (r == 0 || r == 1) {
            r = multipart_next(&m, &part);
            if (r != 1)
                break;
            assert_true(borrowed(&m, part.content));
        }
        assert_true(r <= 0 || r == 2);
        assert_true(r == 2 || m.at <= n);
        assert_true(r != 0 || memmem(exact, n, "--", 2));
    }
    return true;
}

static void survives_every_cut(void **state)
{
    (void)state;
    run_byte_cases("multipart.jsonl", check_cuts);
}

static void bounds_the_number_of_parts(void **state)
{
    (void)state;
    AUTO_BUF struct buf body = {0};
    struct multipart m;
    struct multipart_part part;
    struct arena a;
    arena_init(&a);
    for (int i = 0; i < MULTIPART_MAX_PARTS; i++)
        buf_append_str(&body, STR("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n"));
    for (int extra = 0; extra < 2; extra++) {
        int n = 0, r;
        size_t length = body.n;
        buf_append_str(&body, STR("--b--"));
        assert_int_equal(multipart_open(STR("multipart/form-data; boundary=b"), buf_str(&body), &a, &m), 0);
        while ((r = multipart_next(&m, &part)) == 1)
            n++;
        assert_int_equal(n, MULTIPART_MAX_PARTS);
        assert_int_equal(r, extra ? -ERR_TOO_MANY_PARTS : 0);
        body.n = length;
        buf_append_str(&body, STR("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n"));
    }
    arena_done(&a);
}

static int next_with_headers_of(size_t n, struct arena *a)
{
    static const struct str disposition = {"Content-Disposition: form-data; name=a\r\n", 40}, other = {"X: ", 3}, ends = {"\r\n\r\n", 4};
    AUTO_BUF struct buf body = {0};
    struct multipart m;
    struct multipart_part part;
    buf_append_str(&body, STR("--b\r\n"));
    buf_append_str(&body, disposition);
    buf_append_str(&body, other);
    while (body.n < 5 + n - ends.n)
        buf_append_char(&body, 'x');
    buf_append_str(&body, ends);
    buf_append_str(&body, STR("1\r\n--b--"));
    assert_int_equal(multipart_open(STR("multipart/form-data; boundary=b"), buf_str(&body), a, &m), 0);
    return multipart_next(&m, &part);
}

static void bounds_the_headers_of_a_part(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    assert_int_equal(next_with_headers_of(MULTIPART_MAX_HEADER, &a), 1);
    assert_int_equal(next_with_headers_of(MULTIPART_MAX_HEADER + 1, &a), -ERR_BAD_MULTIPART);
    arena_done(&a);
}

static void knows_forms_by_their_type(void **state)
{
    (void)state;
    assert_true(multipart_is_form(STR("multipart/form-data")));
    assert_true(multipart_is_form(STR(" Multipart/Form-Data ; boundary=x")));
    assert_false(multipart_is_form(STR("multipart/form-datax; boundary=x")));
    assert_false(multipart_is_form(STR("application/x-dmp")));
    assert_false(multipart_is_form(STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_the_table),           cmocka_unit_test(survives_every_cut),
        cmocka_unit_test(bounds_the_number_of_parts), cmocka_unit_test(bounds_the_headers_of_a_part),
        cmocka_unit_test(knows_forms_by_their_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
