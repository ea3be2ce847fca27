/* fuzz_credentials.c: four lines – X-Sentry-Auth, Authorization, query, dsn – and perhaps a key of the path, in any state. What is accepted names a key and a version that
 * exist; a DSN that parses is written again from its parts and parses to the same. The first two are pages, too, and the third a pattern of pages, which is kept as it is
 * when it comes again. */
#include "fuzz.h"

#include "picket/base/error.h"
#include "picket/protocol/credentials.h"
#include "picket/protocol/origin.h"

static void check_dsn(struct str text)
{
    struct dsn dsn, again;
    if (dsn_parse(text, &dsn) < 0)
        return;
    AUTO_BUF struct buf url = {0}, formatted = {0}, endpoint = {0};
    buf_append_str(&url, dsn.scheme);
    buf_append_str(&url, STR("://"));
    buf_append_str(&url, dsn.authority);
    buf_append_str(&url, dsn.path_prefix);
    int r = dsn_format(&formatted, buf_str(&url), &dsn.key, dsn.project_id);
    assert(r == 0);
    r = dsn_parse(buf_str(&formatted), &again);
    assert(r == 0 && id_eq(&dsn.key, &again.key) && dsn.project_id == again.project_id && str_eq(dsn.authority, again.authority));
    dsn_endpoint(&endpoint, &dsn, STR("envelope"));
    assert(str_ends(buf_str(&endpoint), STR("/envelope/")));
}

static void check_origin(struct str origin, struct str referer, struct str text)
{
    AUTO_BUF struct buf pattern = {0}, again = {0};
    struct origin page;
    bool is_page = origin_of(origin, referer, &page);
    assert(!is_page || page.host.n > 0);
    if (is_page)
        (void)origin_matches(text, &page); /* whatever it is */
    if (origin_pattern(text, &pattern) < 0) {
        assert(pattern.n == 0);
        return;
    }
    int r = origin_pattern(buf_str(&pattern), &again);
    assert(r == 0 && str_eq(buf_str(&pattern), buf_str(&again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct credentials_source src;
    struct credentials c;
    src.x_sentry_auth = str_cut(&rest, '\n');
    src.authorization = str_cut(&rest, '\n');
    src.query = str_cut(&rest, '\n');
    struct str dsn = str_cut(&rest, '\n');
    src.path_key = rest; /* p == NULL without a fifth line */
    check_dsn(dsn);
    check_origin(src.x_sentry_auth, src.authorization, src.query);
    int r = credentials_read(&src, &c);
    if (r < 0) {
        assert(r == -ERR_BAD_AUTH_HEADER || r == -ERR_BAD_KEY || r == -ERR_BAD_VERSION || r == -ERR_MANY_CREDENTIALS);
        return 0;
    }
    credentials_name_client(&c, dsn, src.query);
    assert(c.client_n <= sizeof c.client);
    for (size_t i = 0; i < c.client_n; i++)
        assert((unsigned char)c.client[i] >= ' ');
    assert(c.version <= 7 && (c.present || c.version == 0));
    bool before = c.present;
    int missing = credentials_missing(&c);
    assert(missing == -ERR_NO_CREDENTIALS || missing == -ERR_BAD_KEY || missing == -ERR_BAD_AUTH_HEADER);
    r = credentials_join_dsn(&c, dsn, 42);
    if (r == 0)
        assert(c.present && (before || dsn.n > 0));
    else
        assert((!before && dsn.n == 0 && r == missing) || r == -ERR_BAD_DSN || r == -ERR_DSN_MISMATCH);
    return 0;
}
