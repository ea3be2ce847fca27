/* test_encoding.c: content encodings (protocol §2.4, §10.1). A row of data/encoding.jsonl is a body ("hex") that some other program made and
 * the text in it; "file" has to be recognised by its first bytes. data/zeros_256m.br is a brotli stream of 405 bytes that unfolds to 256 MiB; the other bombs are made here. */
#include "byte_cases.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <zlib.h>
#include <zstd.h>

#include "picket/protocol/encoding.h"

enum { LIMIT = 8 << 20, MIB = 1 << 20 };

static bool row_body(const struct byte_case *c, enum content_encoding *ret_encoding, struct str *ret_body)
{
    struct str hex = case_bytes(c, STR("hex"));
    uint8_t *bytes = arena_alloc(c->arena, hex.n / 2 + 1);
    if (!str_hex_decode(hex, bytes, hex.n / 2))
        return false;
    *ret_body = str_of((const char *)bytes, hex.n / 2);
    if (str_eq(case_bytes(c, STR("encoding")), STR("file")))
        *ret_encoding = encoding_of_file(*ret_body);
    return str_eq(case_bytes(c, STR("encoding")), STR("file")) || encoding_parse(case_bytes(c, STR("encoding")), ret_encoding) == 0;
}

static struct str row_text(const struct byte_case *c)
{
    struct str text = STR("");
    (void)json_str(json_get(c->row, STR("text")), c->arena, &text); /* plain: no %XX in it */
    return text;
}

static bool check_row(const struct byte_case *c)
{
    enum content_encoding enc;
    struct str body, text = row_text(c);
    AUTO_BUF struct buf out = {0};
    buf_append_str(&out, STR("kept"));
    if (!row_body(c, &enc, &body))
        return case_str(c, "row", STR("unreadable"), STR(""));
    return case_int(c, "result", encoding_decode(enc, body, text.n, &out), 0) &&
           case_str(c, "kept", str_take(buf_str(&out), 4), STR("kept")) && case_str(c, "text", str_drop(buf_str(&out), 4), text);
}

static void decodes_the_table(void **state)
{
    (void)state;
    run_byte_cases("encoding.jsonl", check_row);
}

static bool refuse(const struct byte_case *c, const char *what, enum content_encoding enc, struct str body, size_t max_bytes, int wanted)
{
    AUTO_BUF struct buf out = {0};
    buf_append_str(&out, STR("kept"));
    return case_int(c, what, encoding_decode(enc, body, max_bytes, &out), wanted) && case_str(c, what, buf_str(&out), STR("kept"));
}

/* One byte too few of room, every cut, and one byte too many: none of them decodes, and the buffer stays as it was. */
static bool check_refusals(const struct byte_case *c)
{
    enum content_encoding enc;
    struct str body;
    if (!row_body(c, &enc, &body))
        return false;
    size_t size = row_text(c).n;
    if (size && !refuse(c, "a byte beyond the limit", enc, body, size - 1, -ERR_TOO_LARGE))
        return false;
    for (size_t n = 0; n < body.n; n++)
        if (!refuse(c, "cut short", enc, str_take(body, n), LIMIT, -ERR_CORRUPT_BODY))
            return false;
    char *longer = arena_alloc(c->arena, body.n + 1);
    memcpy(longer, body.p, body.n);
    longer[body.n] = 'x';
    return refuse(c, "trailing garbage", enc, str_of(longer, body.n + 1), LIMIT, -ERR_CORRUPT_BODY);
}

static void refuses_cut_and_lengthened_bodies(void **state)
{
    (void)state;
    run_byte_cases("encoding.jsonl", check_refusals);
}

static void refuses_garbage(void **state)
{
    (void)state;
    static const enum content_encoding all[] = {ENCODING_GZIP, ENCODING_DEFLATE, ENCODING_BR, ENCODING_ZSTD, ENCODING_XZ, ENCODING_BZIP2};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        AUTO_BUF struct buf out = {0};
        assert_int_equal(encoding_decode(all[i], STR("{\"message\":\"not compressed at all\"}"), LIMIT, &out), -ERR_CORRUPT_BODY);
        assert_int_equal(encoding_decode(all[i], (struct str){NULL, 0}, LIMIT, &out), -ERR_CORRUPT_BODY);
        assert_int_equal(out.n, 0);
    }
}

static void parses_header_values(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int encoding; /* -1: refused */
    } cases[] = {
        {"", ENCODING_IDENTITY},
        {"identity", ENCODING_IDENTITY},
        {"UTF-8", ENCODING_IDENTITY},
        {" \t", ENCODING_IDENTITY},
        {"gzip", ENCODING_GZIP},
        {" GZip ", ENCODING_GZIP},
        {"x-gzip", ENCODING_GZIP},
        {"deflate", ENCODING_DEFLATE},
        {"br", ENCODING_BR},
        {"ZSTD", ENCODING_ZSTD},
        {"gzip, br", -1},
        {"gzip,gzip", -1},
        {"identity, gzip", -1},
        {"compress", -1},
        {"xz", -1},
        {"bzip2", -1},
        {"gzi", -1},
        {"gzipp", -1},
        {"*", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum content_encoding enc = ENCODING_IDENTITY;
        int r = encoding_parse(str_from(cases[i].value), &enc);
        if (cases[i].encoding < 0 ? r != -ERR_BAD_ENCODING : r != 0 || (int)enc != cases[i].encoding)
            fail_msg("<%s>: result %d, encoding %d", cases[i].value, r, (int)enc);
    }
}

/* Tools put compressed files one behind the other. */
static bool check_twice(const struct byte_case *c)
{
    AUTO_BUF struct buf body = {0};
    AUTO_BUF struct buf out = {0};
    enum content_encoding enc;
    struct str once, text = row_text(c);
    if (!str_eq(case_bytes(c, STR("encoding")), STR("file")))
        return true;
    assert_true(row_body(c, &enc, &once));
    buf_append_str(&body, once);
    buf_append_str(&body, once);
    return case_int(c, "result", encoding_decode(enc, buf_str(&body), LIMIT, &out), 0) &&
           case_int(c, "size", (int64_t)out.n, (int64_t)(2 * text.n));
}

static void decodes_files_behind_files(void **state)
{
    (void)state;
    run_byte_cases("encoding.jsonl", check_twice);
}

static void recognises_files(void **state)
{
    (void)state;
    assert_int_equal(encoding_of_file(STR("MDMP")), ENCODING_IDENTITY);
    assert_int_equal(encoding_of_file(STR("")), ENCODING_IDENTITY);
    assert_int_equal(encoding_of_file(STR("BZ")), ENCODING_IDENTITY);
    assert_int_equal(encoding_of_file(STR("BZh9")), ENCODING_BZIP2);
    assert_int_equal(encoding_of_file(STR("\xFD\x37\x7A\x58\x5A\x00")), ENCODING_XZ);
    assert_int_equal(encoding_of_file(STR("\x1F\x8B")), ENCODING_GZIP);
    assert_int_equal(encoding_of_file(STR("\x28\xB5\x2F\xFD")), ENCODING_ZSTD);
}

/* ---- gzip members */

static void gzip_append(struct buf *out, struct str text)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t bound = deflateBound(&z, text.n) + 32;
    buf_reserve(out, bound);
    z.next_in = (Bytef *)text.p;
    z.avail_in = (uInt)text.n;
    z.next_out = (Bytef *)out->p + out->n;
    z.avail_out = (uInt)bound;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->n += bound - z.avail_out;
    assert_int_equal(deflateEnd(&z), Z_OK);
}

static void gzip_members_are_one_body(void **state)
{
    (void)state;
    AUTO_BUF struct buf in = {0}, out = {0};
    gzip_append(&in, STR("one "));
    gzip_append(&in, STR(""));
    gzip_append(&in, STR("two"));
    assert_int_equal(encoding_decode(ENCODING_GZIP, buf_str(&in), 7, &out), 0);
    assert_string_equal(buf_cstr(&out), "one two");
    assert_int_equal(encoding_decode(ENCODING_GZIP, buf_str(&in), 6, &out), -ERR_TOO_LARGE);
    assert_int_equal(encoding_decode(ENCODING_GZIP, str_take(buf_str(&in), in.n - 1), 7, &out), -ERR_CORRUPT_BODY);
}

static void a_wrong_checksum_is_damage(void **state)
{
    (void)state;
    AUTO_BUF struct buf in = {0}, out = {0};
    gzip_append(&in, STR("text"));
    in.p[in.n - 8] ^= 1;
    assert_int_equal(encoding_decode(ENCODING_GZIP, buf_str(&in), LIMIT, &out), -ERR_CORRUPT_BODY);
}

/* ---- bombs */

/* One gzip member of 1 GiB of zeros: a mebibyte deflated and flushed, repeated. Its checksum is never reached. */
static void gzip_bomb(struct buf *ret)
{
    z_stream z = {0};
    AUTO_FREE char *zeros = calloc(1, MIB);
    AUTO_FREE char *block = malloc(64 << 10);
    assert_true(zeros && block);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)zeros;
    z.avail_in = MIB;
    z.next_out = (Bytef *)block;
    z.avail_out = 64 << 10;
    assert_int_equal(deflate(&z, Z_FULL_FLUSH), Z_OK);
    assert_int_equal(z.avail_in, 0);
    buf_append(ret, "\x1F\x8B\x08\0\0\0\0\0\0\x03", 10);
    for (int i = 0; i < 1024; i++)
        buf_append(ret, block, (64 << 10) - z.avail_out);
    assert_true(deflateEnd(&z) == Z_DATA_ERROR); /* not finished, on purpose */
}

static void zstd_bomb(struct buf *ret)
{
    ZSTD_CCtx *z = ZSTD_createCCtx();
    AUTO_FREE char *zeros = calloc(1, MIB);
    assert_true(z && zeros);
    buf_reserve(ret, 4 * MIB);
    ZSTD_outBuffer out = {ret->p, ret->cap, 0};
    for (int i = 0; i < 1024; i++) {
        ZSTD_inBuffer in = {zeros, MIB, 0};
        while (in.pos < in.size)
            assert_false(ZSTD_isError(ZSTD_compressStream2(z, &out, &in, ZSTD_e_continue)));
    }
    assert_int_equal(ZSTD_endStream(z, &out), 0);
    ret->n = out.pos;
    assert_int_equal(ZSTD_freeCCtx(z), 0);
}

/* In a process of its own, so that its peak is that of the decoder. */
static void assert_cheap_refusal(enum content_encoding enc, struct str bomb)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct buf out = {0};
        struct rusage before, after;
        int r = getrusage(RUSAGE_SELF, &before);
        r = r ? 1 : encoding_decode(enc, bomb, LIMIT, &out) != -ERR_TOO_LARGE;
        r = r ? r : getrusage(RUSAGE_SELF, &after) || after.ru_maxrss - before.ru_maxrss > 64 << 10 /* KiB */ ? 2 : 0;
        _exit(r ? r : out.n || out.cap > 2 * LIMIT ? 3 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0); /* 1: not refused, 2: memory, 3: the buffer */
}

/* §10.1 test_zipbomb_content_encoding: 1 GiB each (brotli: 256 MiB), none may cost more than the limit. */
static void bombs_cost_no_more_than_the_limit(void **state)
{
    (void)state;
    AUTO_BUF struct buf gzip = {0}, zstd = {0}, br = {0};
    gzip_bomb(&gzip);
    zstd_bomb(&zstd);
    read_test_data("zeros_256m.br", &br);
    assert_cheap_refusal(ENCODING_GZIP, buf_str(&gzip));
    assert_cheap_refusal(ENCODING_DEFLATE, str_drop(buf_str(&gzip), 10)); /* behind the gzip header: raw deflate */
    assert_cheap_refusal(ENCODING_ZSTD, buf_str(&zstd));
    assert_cheap_refusal(ENCODING_BR, buf_str(&br));
}

static void a_huge_zstd_window_is_refused(void **state)
{
    (void)state;
    for (int log = 23; log <= 27; log += 4) {
        ZSTD_CCtx *z = ZSTD_createCCtx();
        char frame[256];
        AUTO_BUF struct buf out = {0};
        ZSTD_outBuffer dst = {frame, sizeof frame, 0};
        ZSTD_inBuffer src = {"{}", 2, 0};
        assert_non_null(z);
        assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, log)));
        assert_false(ZSTD_isError(ZSTD_compressStream2(z, &dst, &src, ZSTD_e_flush))); /* a flush first: the frame's size is then unknown */
        assert_int_equal(ZSTD_endStream(z, &dst), 0);
        assert_int_equal(encoding_decode(ENCODING_ZSTD, str_of(frame, dst.pos), LIMIT, &out), log > 23 ? -ERR_TOO_LARGE : 0);
        assert_int_equal(ZSTD_freeCCtx(z), 0);
    }
}

/* As `xz -6`, `-8` and `-9` wrote it, but for the text: dictionaries of 8, 32 and 64 MiB. */
static void a_huge_xz_dictionary_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int wanted;
    } cases[] = {
        {"fd377a585a000004e6d6b4460200210116000000742fe5a30100177b226d657373616765223a2266726f6d20787a202d36227d0062d6da021b469e02000130188"
         "e1bacec1fb6f37d01"
         "0000000004595a",
         0},
        {"fd377a585a000004e6d6b446020021011a000000cc9033e90100177b226d657373616765223a2266726f6d20787a202d38227d0005cafa41dba421ea000130188"
         "e1bacec1fb6f37d01"
         "0000000004595a",
         0},
        {"fd377a585a000004e6d6b446020021011c00000010cf58cc0100177b226d657373616765223a2266726f6d20787a202d39227d00cea790d091452ad5000130188"
         "e1bacec1fb6f37d01"
         "0000000004595a",
         -ERR_TOO_LARGE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t file[80];
        AUTO_BUF struct buf out = {0};
        assert_true(str_hex_decode(str_from(cases[i].hex), file, sizeof file));
        assert_int_equal(encoding_decode(ENCODING_XZ, str_of((const char *)file, sizeof file), LIMIT, &out), cases[i].wanted);
        assert_int_equal(out.n, cases[i].wanted ? 0 : strlen("{\"message\":\"from xz -6\"}"));
    }
}

/* A frame that claims 1 GiB and holds two bytes: nothing is allocated for the claim. */
static void claimed_sizes_are_not_believed(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = {0};
    static const char frame[] = "\x28\xB5\x2F\xFD\x80\x00\x00\x00\x00\x40\x11\x00\x00{}";
    assert_int_equal(encoding_decode(ENCODING_ZSTD, str_of(frame, sizeof frame - 1), LIMIT, &out), -ERR_CORRUPT_BODY);
    assert_true(out.cap < 64 << 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_the_table),
        cmocka_unit_test(refuses_cut_and_lengthened_bodies),
        cmocka_unit_test(refuses_garbage),
        cmocka_unit_test(parses_header_values),
        cmocka_unit_test(recognises_files),
        cmocka_unit_test(decodes_files_behind_files),
        cmocka_unit_test(gzip_members_are_one_body),
        cmocka_unit_test(a_wrong_checksum_is_damage),
        cmocka_unit_test(bombs_cost_no_more_than_the_limit),
        cmocka_unit_test(a_huge_zstd_window_is_refused),
        cmocka_unit_test(a_huge_xz_dictionary_is_refused),
        cmocka_unit_test(claimed_sizes_are_not_believed),
    };
    return cmocka_run_group_tests_name("encoding", tests, NULL, NULL);
}
