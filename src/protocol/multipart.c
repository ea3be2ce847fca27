/* multipart.c: multipart/form-data without copies.
 *
 *   form := [preamble CRLF] "--" boundary line-end part* ; part := header* CRLF content CRLF "--" boundary (line-end | "--" …)
 *
 * A delimiter is CRLF "--" boundary followed by blanks and CRLF, or by "--", which closes the form; anything else behind the boundary's text is
 * content that happens to contain it. The CRLF belongs to the delimiter, also the one that ends the headers: a part without content may lack
 * its own. Each byte is looked at by one search for the delimiter and, in headers, by one reader: no input makes it quadratic.
 *
 * Header values are read as parameters separated by semicolons. What a sender put between quotes is kept but for the escapes that senders
 * really use: a backslash counts only before a quote or a backslash, because old browsers send "C:\dir\file" unescaped. */
#include "picket/protocol/multipart.h"

#include "picket/base/error.h"

static size_t offset(const struct multipart *m, const char *p)
{
    return (size_t)(p - m->body.p);
}

static int bad(struct multipart *m, const char *p)
{
    m->at = offset(m, p);
    return -ERR_BAD_MULTIPART;
}

/* ---- parameters of a header: `a; b=c; d="e"` */

struct param {
    struct str name, value; /* the value without quotes, escapes not undone */
    bool is_quoted;
};

static struct str trim_start(struct str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = str_drop(s, 1);
    return s;
}

/* Up to the closing quote. False: there is none. */
static bool cut_quoted(struct str *rest, struct str *ret)
{
    for (size_t i = 0; i < rest->n; i++) {
        if (rest->p[i] == '"') {
            *ret = str_take(*rest, i);
            *rest = str_drop(*rest, i + 1);
            return true;
        }
        if (rest->p[i] == '\\' && i + 1 < rest->n && (rest->p[i + 1] == '"' || rest->p[i + 1] == '\\'))
            i++;
    }
    return false;
}

/* 1: *ret filled; 0: no more; -1: malformed. *rest begins behind a semicolon. */
static int next_param(struct str *rest, struct param *ret)
{
    while (rest->p && str_trim(str_take(*rest, str_find(*rest, ';'))).n == 0)
        (void)str_cut(rest, ';'); /* nothing between two semicolons */
    if (!rest->p)
        return 0;
    size_t equals = str_find(*rest, '=');
    if (equals > str_find(*rest, ';') || equals == rest->n)
        return -1;
    ret->name = str_trim(str_take(*rest, equals));
    *rest = trim_start(str_drop(*rest, equals + 1));
    ret->is_quoted = rest->n && rest->p[0] == '"';
    if (!ret->is_quoted) {
        ret->value = str_trim(str_cut(rest, ';'));
        return ret->name.n && str_find(ret->value, '"') == ret->value.n ? 1 : -1;
    }
    *rest = str_drop(*rest, 1);
    if (!cut_quoted(rest, &ret->value) || str_trim(str_cut(rest, ';')).n)
        return -1;
    return ret->name.n ? 1 : -1;
}

/* ---- values */

static bool hex_pair(struct str s, uint8_t *ret)
{
    return s.n >= 3 && s.p[0] == '%' && str_hex_decode(str_of(s.p + 1, 2), ret, 1);
}

/* What stands for one character at the beginning of a quoted value: its length in `s`; 1 for itself. */
static size_t unescape_one(struct str s, char *ret)
{
    uint8_t byte;
    *ret = s.p[0];
    if (s.n > 1 && s.p[0] == '\\' && (s.p[1] == '"' || s.p[1] == '\\')) {
        *ret = s.p[1];
        return 2;
    }
    if (hex_pair(s, &byte) && (byte == '"' || byte == '\r' || byte == '\n')) {
        *ret = (char)byte;
        return 3;
    }
    return 1;
}

static struct str unquote(const struct param *param, struct arena *a)
{
    struct str s = param->value;
    if (!param->is_quoted || (str_find(s, '\\') == s.n && str_find(s, '%') == s.n))
        return s;
    char *dst = arena_alloc(a, s.n < MULTIPART_MAX_NAME ? s.n : MULTIPART_MAX_NAME);
    size_t n = 0;
    while (s.n && n < MULTIPART_MAX_NAME)
        s = str_drop(s, unescape_one(s, &dst[n++]));
    return str_of(dst, n);
}

/* RFC 5987: charset'language'text with %XX. False: malformed, or in a charset that nobody uses. */
static bool decode_extended(struct str s, struct arena *a, struct str *ret)
{
    struct str charset = str_cut(&s, '\'');
    bool is_latin1 = str_eq_nocase(charset, STR("iso-8859-1"));
    if (!s.p || (!is_latin1 && !str_eq_nocase(charset, STR("utf-8"))))
        return false;
    (void)str_cut(&s, '\''); /* the language */
    if (!s.p)
        return false;
    char *dst = arena_alloc(a, 2 * s.n < MULTIPART_MAX_NAME ? 2 * s.n + 1 : MULTIPART_MAX_NAME);
    size_t n = 0;
    while (s.n) {
        uint8_t byte = (uint8_t)s.p[0];
        if ((byte == '%' && !hex_pair(s, &byte)) || byte == '\0')
            return false;
        s = str_drop(s, s.p[0] == '%' ? 3 : 1);
        if (n + 2 > MULTIPART_MAX_NAME)
            continue; /* not kept, but sound */
        if (is_latin1 && byte >= 0x80) {
            dst[n++] = (char)(0xC0 | byte >> 6);
            byte = 0x80 | (byte & 0x3F);
        }
        dst[n++] = (char)byte;
    }
    *ret = str_of(dst, n);
    return true;
}

/* ---- Content-Disposition */

enum { PARAM_NAME, PARAM_FILE_NAME, PARAM_NAME_EXTENDED, PARAM_FILE_NAME_EXTENDED, N_PARAMS };

static int param_of(struct str name)
{
    static const char *const names[N_PARAMS] = {"name", "filename", "name*", "filename*"};
    for (int i = 0; i < N_PARAMS; i++)
        if (str_eq_nocase(name, str_from(names[i])))
            return i;
    return -1;
}

static bool read_disposition(struct str value, struct arena *a, struct multipart_part *part)
{
    struct str found[N_PARAMS] = {{0}};
    bool has[N_PARAMS] = {false};
    struct param param;
    int r;
    if (!str_eq_nocase(str_trim(str_cut(&value, ';')), STR("form-data")))
        return false;
    while ((r = next_param(&value, &param)) == 1) {
        int i = param_of(param.name);
        if (i < 0)
            continue;
        if (has[i])
            return false;
        has[i] = true;
        if (i < PARAM_NAME_EXTENDED)
            found[i] = unquote(&param, a);
        else if (!decode_extended(param.value, a, &found[i]))
            return false;
    }
    part->name = found[has[PARAM_NAME_EXTENDED] ? PARAM_NAME_EXTENDED : PARAM_NAME];
    part->file_name = found[has[PARAM_FILE_NAME_EXTENDED] ? PARAM_FILE_NAME_EXTENDED : PARAM_FILE_NAME];
    part->is_file = has[PARAM_FILE_NAME] || has[PARAM_FILE_NAME_EXTENDED];
    return r == 0;
}

/* ---- headers of a part */

/* A line without its CRLF; `room` bytes may be read. False: it does not end so, or there are bytes in it that no header has. */
static bool cut_line(struct str *rest, size_t room, struct str *ret)
{
    struct str window = str_take(*rest, room);
    size_t n = str_find(window, '\r');
    if (n + 1 >= window.n || window.p[n + 1] != '\n')
        return false;
    *ret = str_take(window, n);
    *rest = str_drop(*rest, n + 2);
    return str_find(*ret, '\n') == n && str_find(*ret, '\0') == n;
}

/* RFC 9110 §5.6.2 */
static bool is_token(struct str s)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr(others, c))))
            return false;
    }
    return s.n > 0;
}

static bool read_header(struct str line, struct arena *a, bool *has_disposition, bool *has_type, struct multipart_part *part)
{
    struct str name = str_cut(&line, ':');
    if (!line.p || !is_token(name))
        return false;
    line = str_trim(line);
    if (str_eq_nocase(name, STR("content-disposition"))) {
        bool again = *has_disposition;
        *has_disposition = true;
        return !again && read_disposition(line, a, part);
    }
    if (str_eq_nocase(name, STR("content-type"))) {
        bool again = *has_type;
        *has_type = true;
        part->content_type = line;
        return !again;
    }
    return true;
}

static int read_headers(struct multipart *m, struct multipart_part *part)
{
    const char *start = m->rest.p;
    bool has_disposition = false, has_type = false;
    for (;;) {
        const char *at = m->rest.p;
        struct str line;
        if (!cut_line(&m->rest, MULTIPART_MAX_HEADER - (size_t)(at - start), &line))
            return bad(m, at);
        if (line.n == 0)
            return has_disposition ? 0 : bad(m, start);
        if (!read_header(line, m->arena, &has_disposition, &has_type, part))
            return bad(m, at);
    }
}

/* ---- delimiters */

enum delimiter { NO_DELIMITER, DELIMITER_NEXT, DELIMITER_CLOSE };

/* What the text behind a boundary makes of it; *rest then begins behind the delimiter. */
static enum delimiter read_line_end(struct str *rest)
{
    if (str_starts(*rest, STR("--")))
        return DELIMITER_CLOSE;
    struct str s = trim_start(*rest);
    if (!str_starts(s, STR("\r\n")))
        return NO_DELIMITER;
    *rest = str_drop(s, 2);
    return DELIMITER_NEXT;
}

/* The first delimiter in `from`: *ret_before stands in front of it. Moves m->rest behind it. */
static enum delimiter find_delimiter(struct multipart *m, struct str from, struct str *ret_before)
{
    const char *start = from.p;
    for (;;) {
        const char *p = from.n ? memmem(from.p, from.n, m->delimiter.p, m->delimiter.n) : NULL;
        if (!p)
            return NO_DELIMITER;
        from = str_drop(from, (size_t)(p - from.p) + m->delimiter.n);
        struct str rest = from;
        enum delimiter found = read_line_end(&rest);
        if (found != NO_DELIMITER) {
            *ret_before = str_of(start, (size_t)(p - start));
            m->rest = rest;
            m->is_over = found == DELIMITER_CLOSE;
            return found;
        }
    }
}

/* The first delimiter may stand at the very beginning, without a line before it. */
static bool find_first(struct multipart *m)
{
    struct str before, dashes = str_drop(m->delimiter, 2);
    if (str_starts(m->body, dashes)) {
        m->rest = str_drop(m->body, dashes.n);
        enum delimiter found = read_line_end(&m->rest);
        m->is_over = found == DELIMITER_CLOSE;
        if (found != NO_DELIMITER)
            return true;
    }
    return find_delimiter(m, m->body, &before) != NO_DELIMITER;
}

static bool is_boundary(struct str s)
{
    if (s.n == 0 || s.n > MULTIPART_MAX_BOUNDARY || s.p[s.n - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7E)
            return false;
    return true;
}

static bool start(struct str boundary, struct str body, struct arena *arena, struct multipart *ret)
{
    *ret = (struct multipart){.body = body, .rest = body, .arena = arena};
    ret->delimiter = arena_printf(arena, "\r\n--%.*s", STR_ARG(boundary));
    return find_first(ret);
}

/* ---- the form */

bool multipart_is_form(struct str content_type)
{
    return str_eq_nocase(str_trim(str_cut(&content_type, ';')), STR("multipart/form-data"));
}

int multipart_open(struct str content_type, struct str body, struct arena *arena, struct multipart *ret)
{
    struct str boundary = {0};
    struct param param;
    int r;
    *ret = (struct multipart){.body = body, .is_over = true};
    if (!multipart_is_form(content_type))
        return -ERR_BAD_BOUNDARY;
    (void)str_cut(&content_type, ';');
    while ((r = next_param(&content_type, &param)) == 1) {
        if (!str_eq_nocase(param.name, STR("boundary")))
            continue;
        if (boundary.p)
            return -ERR_BAD_BOUNDARY;
        boundary = param.value;
    }
    if (r < 0 || !is_boundary(boundary))
        return -ERR_BAD_BOUNDARY;
    return start(boundary, body, arena, ret) ? 0 : -ERR_BAD_MULTIPART;
}

bool multipart_open_nested(struct str content, struct arena *arena, struct multipart *ret)
{
    struct str boundary = str_drop(str_take(content, 2 + MULTIPART_MAX_BOUNDARY + 1), 2);
    boundary = str_take(boundary, str_find(boundary, '\r'));
    return str_starts(content, STR("--")) && is_boundary(boundary) && str_starts(str_drop(content, 2 + boundary.n), STR("\r\n")) &&
           start(boundary, content, arena, ret);
}

int multipart_next(struct multipart *m, struct multipart_part *ret)
{
    struct multipart_part part = {0};
    if (m->is_over)
        return 0;
    m->at = offset(m, m->rest.p);
    if (m->n_parts == MULTIPART_MAX_PARTS)
        return -ERR_TOO_MANY_PARTS;
    int r = read_headers(m, &part);
    if (r < 0)
        return r;
    part.at = offset(m, m->rest.p);
    struct str from = str_of(m->rest.p - 2, m->rest.n + 2); /* the CRLF of the empty line may be the delimiter's */
    if (find_delimiter(m, from, &part.content) == NO_DELIMITER)
        return bad(m, m->rest.p);
    part.content = str_drop(part.content, 2);
    if (part.content.n == 0)
        part.content = str_of(m->body.p + part.at, 0);
    m->n_parts++;
    *ret = part;
    return 1;
}
