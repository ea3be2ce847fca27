/* test_unreal.c: archives of Unreal's crash reporter (protocol §1.6 "Unreal"), and the XML that lies in them. */
#include "byte_cases.h"

#include "picket/protocol/unreal.h"
#include "picket/protocol/xml.h"

static void put_u32(struct buf *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        buf_append_char(out, (char)(v >> 8 * i));
}

static void put_text(struct buf *out, const char *s)
{
    static const char padding[260];
    size_t n = strlen(s);
    put_u32(out, sizeof padding);
    buf_append(out, s, n);
    buf_append(out, padding, sizeof padding - n);
}

static void put_header(struct buf *out, uint32_t n_files)
{
    put_text(out, "UECC-1");
    put_text(out, "UECC-1.uecrash");
    put_u32(out, 0);
    put_u32(out, n_files);
}

static void put_file(struct buf *out, const char *name, struct str content)
{
    put_u32(out, 0);
    put_text(out, name);
    put_u32(out, (uint32_t)content.n);
    buf_append_str(out, content);
}

enum form { MARKED, PLAIN };

static void put_archive(struct buf *out, enum form form)
{
    if (form == MARKED)
        buf_append_str(out, STR("CR1"));
    put_header(out, form == MARKED ? 2 : 0);
    put_file(out, "CrashContext.runtime-xml", STR("<a/>"));
    put_file(out, "UE4Minidump.dmp", STR("MDMP\0x"));
    if (form == PLAIN)
        put_header(out, 2);
}

static void reads_both_forms(void **state)
{
    (void)state;
    for (int form = MARKED; form <= PLAIN; form++) {
        AUTO_BUF struct buf archive = {0};
        struct unreal u;
        struct unreal_file file;
        put_archive(&archive, (enum form)form);
        assert_int_equal(unreal_open(buf_str(&archive), &u), 0);
        assert_int_equal(unreal_next(&u, &file), 1);
        assert_true(str_eq(file.name, STR("CrashContext.runtime-xml")) && str_eq(file.content, STR("<a/>")));
        assert_int_equal(unreal_next(&u, &file), 1);
        assert_true(str_eq(file.name, STR("UE4Minidump.dmp")) && str_eq(file.content, STR("MDMP\0x")));
        assert_int_equal(unreal_next(&u, &file), 0);
    }
}

/* Every prefix of a marked archive lacks something. */
static void refuses_what_is_cut_short(void **state)
{
    (void)state;
    AUTO_BUF struct buf archive = {0};
    put_archive(&archive, MARKED);
    for (size_t n = 0; n < archive.n; n++) {
        AUTO_FREE char *exact = malloc(n ? n : 1);
        struct unreal u;
        struct unreal_file file;
        assert_non_null(exact);
        memcpy(exact, archive.p, n);
        int r = unreal_open(str_of(exact, n), &u);
        while (r >= 0 && (r = unreal_next(&u, &file)) == 1)
            continue;
        assert_int_equal(r, -ERR_BAD_UNREAL);
    }
}

static void bounds_the_number_of_files(void **state)
{
    (void)state;
    for (uint32_t n = UNREAL_MAX_FILES; n <= UNREAL_MAX_FILES + 1; n++) {
        AUTO_BUF struct buf archive = {0};
        struct unreal u;
        buf_append_str(&archive, STR("CR1"));
        put_header(&archive, n);
        assert_int_equal(unreal_open(buf_str(&archive), &u), n > UNREAL_MAX_FILES ? -ERR_BAD_UNREAL : 0);
    }
}

static bool check_xml(const struct byte_case *c)
{
    struct str document = case_bytes(c, STR("xml"));
    struct xml_text *texts;
    const struct json *wanted = json_get(c->row, STR("texts"));
    size_t n;
    bool whole = json_type(json_get(c->row, STR("broken"))) == JSON_NONE;
    if (!case_int(c, "whole", xml_read(document, c->arena, &texts, &n), whole) ||
        !case_int(c, "texts", (int64_t)n, (int64_t)json_count(wanted)))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct str got =
                       arena_printf(c->arena, "%.*s/%.*s=%.*s", STR_ARG(texts[i].section), STR_ARG(texts[i].name), STR_ARG(texts[i].text)),
                   want;
        assert_true(json_str(json_at(wanted, i), c->arena, &want));
        if (!case_str(c, "text", got, want))
            return false;
    }
    return true;
}

static void reads_xml(void **state)
{
    (void)state;
    run_byte_cases("xml.jsonl", check_xml);
}

static void bounds_the_texts_of_xml(void **state)
{
    (void)state;
    AUTO_BUF struct buf xml = {0};
    struct xml_text *texts;
    struct arena a;
    size_t n;
    arena_init(&a);
    buf_append_str(&xml, STR("<r><s>"));
    for (int i = 0; i < XML_MAX_TEXTS + 1; i++)
        buf_append_str(&xml, STR("<x>1</x>"));
    buf_append_str(&xml, STR("</s></r>"));
    (void)xml_read(buf_str(&xml), &a, &texts, &n); /* whether it is whole is not the question */
    assert_int_equal(n, XML_MAX_TEXTS);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_both_forms), cmocka_unit_test(refuses_what_is_cut_short), cmocka_unit_test(bounds_the_number_of_files),
        cmocka_unit_test(reads_xml),        cmocka_unit_test(bounds_the_texts_of_xml),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
