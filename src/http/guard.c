/* guard.c: see guard.h. Why it exists: a front proxy that frames a request by one of two contradicting headers while libh2o goes by the
 * other lets a client hide a second request in the body of the first. libh2o takes the framing headers out of what handlers see, but
 * while a request is handled its bytes still lie at the start of the socket's input buffer, and nothing has acted on the request yet:
 * refusing it there and closing the connection is early enough (call.c). */
#include "picket/http/guard.h"

#include "picket/base/error.h"

struct head {
    unsigned n_length, n_encoding, n_host, n_headers;
    bool bad_length, bad_encoding;
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

static struct str next_line(struct str *rest)
{
    struct str line = str_cut(rest, '\n');
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
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
    return 0;
}

int guard_head(struct str input, struct str *ret_why)
{
    struct head h = {0};
    struct str rest = str_take(input, GUARD_MAX_HEAD);
    struct str line = next_line(&rest);
    if (line.n == 0)
        line = next_line(&rest);
    bool http_1_0 = str_ends(line, STR("HTTP/1.0"));
    for (;;) {
        line = next_line(&rest);
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
