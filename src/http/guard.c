/* guard.c: see guard.h. Why it exists: a front proxy that frames a request by one of two contradicting headers while libh2o goes by the
 * other lets a client hide a second request in the body of the first. libh2o takes the framing headers out of what handlers see, but
 * while a request is handled its bytes still lie at the start of the socket's input buffer, and nothing has acted on the request yet:
 * refusing it there and closing the connection is early enough (call.c). */
#include "picket/http/guard.h"

#include "picket/base/error.h"

struct head {
    unsigned n_length, n_encoding, n_host, n_headers;
    bool bad_length, bad_encoding, bad_host, bare_line_end;
};

static bool is_token_char(char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c && strchr("!#$%&'*+-.^_`|~", c);
}

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_token_char(s.p[i]))
            return false;
    return s.n > 0;
}

/* Without its CR LF. *ret_bare: a line feed came without carriage return, or a line has one elsewhere. */
static struct str next_line(struct str *rest, bool *ret_bare)
{
    struct str line = str_cut(rest, '\n');
    size_t end = str_find(line, '\r');
    *ret_bare = *ret_bare || end + 1 != line.n;
    return str_take(line, end);
}

/* RFC 9110 §7.2: a name or an address, and perhaps a port; what else stands there is for someone else to misread. A comma may come of two Hosts
 * that were joined on the way. */
static bool is_host(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr("\"#,/<>?@\\^`{|}", s.p[i])) /* bytes from 0x80 are negative */
            return false;
    return s.n > 0;
}

/* method SP target SP version, whose last byte is the minor version. */
static bool is_request_line(struct str line)
{
    struct str method = str_cut(&line, ' '), target = str_cut(&line, ' ');
    return is_token(method) && target.n > 0 && line.n == 8 && str_starts(line, STR("HTTP/1."));
}

static void note(struct head *h, struct str name, struct str value)
{
    uint64_t number;
    if (str_eq_nocase(name, STR("content-length"))) {
        h->n_length++;
        h->bad_length = h->bad_length || !str_to_u64(value, &number);
    } else if (str_eq_nocase(name, STR("transfer-encoding"))) {
        h->n_encoding++;
        h->bad_encoding = h->bad_encoding || !str_eq_nocase(value, STR("chunked"));
    } else if (str_eq_nocase(name, STR("host"))) {
        h->n_host++;
        h->bad_host = h->bad_host || !is_host(value);
    }
}

static int refuse(struct str why, struct str *ret_why)
{
    *ret_why = why;
    return -ERR_BAD_REQUEST;
}

static int judge(const struct head *h, bool http_1_0, struct str *ret_why)
{
    if (h->n_length + h->n_encoding > 1)
        return refuse(STR("a request has one Content-Length or one Transfer-Encoding"), ret_why);
    if (h->bad_length)
        return refuse(STR("Content-Length is not a number"), ret_why);
    if (h->bad_encoding || (h->n_encoding && http_1_0))
        return refuse(STR("Transfer-Encoding is chunked, in HTTP/1.1, or absent"), ret_why);
    if (h->n_host > 1 || (h->n_host == 0 && !http_1_0))
        return refuse(STR("a request has one Host header"), ret_why);
    if (h->bad_host)
        return refuse(STR("Host is not a host"), ret_why);
    if (h->bare_line_end)
        return refuse(STR("lines end with CR LF, and neither stands elsewhere"), ret_why);
    return 0;
}

int guard_head(struct str input, struct str *ret_why)
{
    struct head h = {0};
    struct str rest = str_take(input, GUARD_MAX_HEAD);
    struct str line = next_line(&rest, &h.bare_line_end);
    if (line.n == 0)
        line = next_line(&rest, &h.bare_line_end);
    bool http_1_0 = str_ends(line, STR("HTTP/1.0"));
    if (rest.p && !is_request_line(line))
        return refuse(STR("the request line is not a method, a target and a version"), ret_why);
    for (;;) {
        line = next_line(&rest, &h.bare_line_end);
        if (!rest.p) /* the line does not end within the limit */
            return -ERR_HEAD_TOO_LARGE;
        if (line.n == 0)
            return judge(&h, http_1_0, ret_why);
        if (++h.n_headers > GUARD_MAX_HEADERS)
            return -ERR_HEAD_TOO_LARGE;
        if (line.p[0] == ' ' || line.p[0] == '\t')
            return refuse(STR("header lines must not be folded"), ret_why);
        size_t colon = str_find(line, ':');
        if (colon == line.n || !is_token(str_take(line, colon)))
            return refuse(STR("a header's name is not a token"), ret_why);
        note(&h, str_take(line, colon), str_trim(str_drop(line, colon + 1)));
    }
}

uint64_t guard_body_bytes(struct str input)
{
    bool ignored = false;
    struct str rest = str_take(input, GUARD_MAX_HEAD);
    while (rest.p) {
        struct str value = next_line(&rest, &ignored), name = str_cut(&value, ':');
        uint64_t bytes;
        if (name.n == 0 && rest.p) /* the end of the head */
            return (uint64_t)(input.p + input.n - rest.p);
        if (str_eq_nocase(name, STR("content-length")) && str_to_u64(str_trim(value), &bytes))
            return bytes;
    }
    return 0;
}
