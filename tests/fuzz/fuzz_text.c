/* fuzz_text.c: the small readers of text: times, numbers, ids, base64, hex, percent escapes, UTF-8, queries, forms, cookies, tokens, e-mail addresses; and
 * what foreign text looks like in a log line. Each result is checked against another way to say the same. */
#include "fuzz.h"

#include "picket/auth/email.h"
#include "picket/auth/secret.h"
#include "picket/base/clock.h"
#include "picket/base/id.h"
#include "picket/base/log.h"
#include "picket/event/items.h"
#include "picket/event/user_form.h"
#include "picket/http/http.h"

static bool inside(struct str outer, struct str s)
{
    return s.n == 0 || (s.p >= outer.p && s.p + s.n <= outer.p + outer.n);
}

static void check_time(struct str in)
{
    int64_t us, again;
    char text[CLOCK_RFC3339_MAX];
    if (!clock_parse(in, &us))
        return;
    assert(us >= CLOCK_MIN_US && us <= CLOCK_MAX_US);
    bool parsed = clock_parse(str_of(text, clock_format(us, text)), &again);
    assert(parsed && again == us);
}

static void check_numbers(struct str in)
{
    uint64_t u;
    int64_t i;
    char text[32];
    if (str_to_u64(in, &u)) {
        int n = snprintf(text, sizeof text, "%llu", (unsigned long long)u);
        assert(str_ends(in, str_of(text, (size_t)n)));
    }
    if (str_to_i64(in, &i) && i < 0)
        assert(in.p[0] == '-');
}

static void check_ids(struct str in)
{
    struct id128 id, again;
    char hex[ID_HEX + 1], dashed[ID_DASHED + 1];
    uint8_t bytes[16];
    if (str_hex_decode(in, bytes, sizeof bytes)) {
        bool parsed = id_parse(in, &id);
        assert(parsed && memcmp(bytes, id.b, sizeof bytes) == 0);
    }
    if (!id_parse(in, &id))
        return;
    id_hex(&id, hex);
    id_dashed(&id, dashed);
    bool parsed = id_parse(str_from(hex), &again) && id_eq(&id, &again) && id_parse(str_from(dashed), &again);
    assert(parsed && id_eq(&id, &again));
    id = id_conforming(&id);
    again = id_conforming(&id);
    assert(id_eq(&id, &again));
}

static void check_base64(struct str in)
{
    AUTO_FREE uint8_t *bytes = malloc(3 * in.n / 4 + 3), *again = malloc(in.n + 3);
    AUTO_FREE char *text = malloc(4 * in.n / 3 + 4);
    assert(bytes && again && text);
    size_t n = str_base64url_encode(in.p, in.n, text);
    ptrdiff_t back = str_base64_decode(str_of(text, n), again);
    assert(back == (ptrdiff_t)in.n && memcmp(again, in.p, in.n) == 0);
    back = str_base64_decode(in, bytes);
    assert(back <= (ptrdiff_t)(3 * in.n / 4));
}

static void check_utf8(struct str in)
{
    size_t i = 0, n;
    while (i < in.n && (n = str_utf8_char(str_drop(in, i))) > 0)
        i += n;
    assert((i == in.n) == str_is_utf8(in));
    if (i == in.n)
        for (size_t points = 0; points < 5; points++)
            assert(str_is_utf8(str_take_code_points(in, points)) && str_take_code_points(in, points).n <= 4 * points);
}

static void check_headers(struct str in)
{
    struct str token, cookie = cookie_value(in, STR("a"));
    assert(str_find(cookie, ';') == cookie.n && inside(in, cookie));
    if (token_from_header(in, &token))
        assert(token.n == TOKEN_CHARS && inside(in, token));
    if (email_is_valid(in))
        assert(in.n <= EMAIL_MAX && str_is_utf8(in) && str_find(in, '@') < in.n && str_find(in, ' ') == in.n);
}

static void check_query(struct str in)
{
    struct http_call call = {.query = in};
    struct str value, copy;
    arena_init(&call.arena);
    if (http_query_param(&call, STR("a"), &value)) {
        assert(value.n <= in.n);
        copy = arena_str(&call.arena, value); /* touches every byte */
        assert(str_eq(copy, value));
    }
    arena_done(&call.arena);
}

/* What the dialog's form says is a user report that can be stored. */
static void check_user_form(struct str in)
{
    AUTO_BUF struct buf report = {0}, errors = {0}, stored = {0};
    struct id128 event_id = {{1}};
    struct item_origin origin = {.received_us = 1};
    int r = user_form_read(in, &event_id, &report, &errors);
    assert(r == 0 ? errors.n == 0 && report.n > 0 : r == -ERR_INVALID && report.n == 0 && errors.n > 0);
    if (r == 0) {
        r = user_report_read(buf_str(&report), &origin, &stored);
        assert(r == 0 && report.n <= 6 * in.n + 128);
    }
}

static void check_log(struct str in)
{
    char small[16], large[512];
    const char *texts[] = {log_quote(in, small, sizeof small), log_quote(in, large, sizeof large)};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        for (const char *c = texts[i]; *c; c++)
            assert((unsigned char)*c >= ' ' && *c != 0x7f);
    assert(strlen(small) < sizeof small && strlen(large) < sizeof large);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_of((const char *)data, size);
    check_time(in);
    check_numbers(in);
    check_ids(in);
    check_base64(in);
    check_utf8(in);
    check_headers(in);
    check_query(in);
    check_user_form(in);
    check_log(in);
    return 0;
}
