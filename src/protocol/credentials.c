/* credentials.c: who sends (protocol §1.4).
 *
 * Every place that may name a key is read; keys that agree are one credential, keys that differ are refused (decisions.md "ingest
 * credentials"). A Basic login whose user name is no key may be a proxy's: it counts only when nothing else names a key, the envelope's dsn included, which
 * is read later.
 * The first place that gives a version or a client decides it, in the order in which the protocol lists them. */
#include "picket/protocol/credentials.h"

#include <stdio.h>

enum { VERSION_MAX = 7, KEY_HEX = 32, KEY_BYTES = 16 };

/* Adds a key, in the text form it came in. */
static int add_key(struct credentials *c, struct str text)
{
    struct id128 key;
    if (!str_hex_decode(text, key.b, sizeof key.b))
        return -ERR_BAD_KEY;
    if (c->present && !id_eq(&c->key, &key))
        return -ERR_MANY_CREDENTIALS;
    c->key = key;
    c->present = true;
    return 0;
}

/* "7"; also "2.0", as the oldest clients wrote it. */
static int add_version(struct credentials *c, struct str text)
{
    uint64_t version;
    if (text.n == 0)
        return 0;
    if (!str_to_u64(str_take(text, str_find(text, '.')), &version) || version > VERSION_MAX)
        return -ERR_BAD_VERSION;
    if (c->version == 0)
        c->version = (unsigned)version;
    return 0;
}

/* It is only shown: in the log and in the account of what was refused. */
static void add_client(struct credentials *c, struct str client)
{
    if (c->client_n > 0)
        return;
    client = str_take(client, sizeof c->client);
    for (size_t i = 0; i < client.n; i++)
        c->client[i] = (char)((unsigned char)client.p[i] < ' ' || client.p[i] == 0x7f ? '_' : client.p[i]);
    c->client_n = client.n;
}

void credentials_name_client(struct credentials *c, struct str name, struct str version)
{
    char client[CREDENTIALS_MAX_CLIENT + 1];
    int n = snprintf(client, sizeof client, "%.*s%s%.*s", STR_ARG(str_take(name, CREDENTIALS_MAX_CLIENT)), version.n ? "/" : "",
                     STR_ARG(str_take(version, CREDENTIALS_MAX_CLIENT)));
    if (name.n > 0 && n > 0)
        add_client(c, str_from(client)); /* all of it, or what fits */
}

/* What follows the first word of `value` if that word is `scheme` in any case. */
static bool cut_scheme(struct str value, struct str scheme, struct str *ret)
{
    value = str_trim(value);
    if (!str_starts_nocase(value, scheme) || (value.n > scheme.n && value.p[scheme.n] != ' ' && value.p[scheme.n] != '\t'))
        return false;
    *ret = str_trim(str_drop(value, scheme.n));
    return true;
}

/* name=value pairs behind the word Sentry: any order, blanks or none around the commas. */
static int read_pairs(struct credentials *c, struct str rest)
{
    bool has_key = false;
    int r = 0;
    while (rest.p && r == 0) {
        struct str value = str_cut(&rest, ',');
        struct str name = str_trim(str_cut(&value, '='));
        value = str_trim(value);
        if (str_eq(name, STR("sentry_key"))) {
            has_key = true;
            r = add_key(c, value);
        } else if (str_eq(name, STR("sentry_version"))) {
            r = add_version(c, value);
        } else if (str_eq(name, STR("sentry_client"))) {
            add_client(c, value);
        }
    }
    return r == 0 && !has_key ? -ERR_BAD_AUTH_HEADER : r;
}

/* A value that decodes to more bytes than any key or version has is no key and no version. */
static struct str decode(struct str s, char *dst, size_t room)
{
    return s.n <= room ? str_of(dst, str_percent_decode(s, dst)) : s;
}

/* As much of it as can be kept when every byte is escaped. */
static void add_encoded_client(struct credentials *c, struct str value)
{
    char decoded[3 * CREDENTIALS_MAX_CLIENT];
    value = str_take(value, sizeof decoded);
    add_client(c, str_of(decoded, str_percent_decode(value, decoded)));
}

static int read_query(struct credentials *c, struct str rest)
{
    char decoded[3 * KEY_HEX];
    struct credentials q = *c; /* without a key, a version in the query says nothing: other parameters are called sentry_… too */
    bool has_key = false;
    int r = 0;
    while (rest.p && r == 0) {
        struct str value = str_cut(&rest, '&');
        struct str name = str_cut(&value, '=');
        if (str_eq(name, STR("sentry_key"))) {
            has_key = true;
            r = add_key(&q, decode(value, decoded, sizeof decoded));
        } else if (str_eq(name, STR("sentry_version"))) {
            r = add_version(&q, decode(value, decoded, sizeof decoded));
        } else if (str_eq(name, STR("sentry_client"))) {
            add_encoded_client(&q, value);
        }
    }
    if (r == 0 && has_key)
        *c = q;
    return r;
}

/* Basic: the key is the user name, whatever the password. */
static int read_basic(struct credentials *c, struct str base64)
{
    uint8_t login[256];
    ptrdiff_t n = base64.n <= sizeof login ? str_base64_decode(base64, login) : 0;
    struct str user = str_of((const char *)login, n < 0 ? 0 : (size_t)n);
    int r = n < 0 ? -ERR_BAD_AUTH_HEADER : add_key(c, str_take(user, str_find(user, ':')));
    if (r != -ERR_BAD_KEY && r != -ERR_BAD_AUTH_HEADER)
        return r;
    c->login_error = r;
    return 0;
}

int credentials_read(const struct credentials_source *src, struct credentials *ret)
{
    struct credentials c = {0};
    struct str rest;
    int r = 0;
    if (cut_scheme(src->x_sentry_auth, STR("Sentry"), &rest))
        r = read_pairs(&c, rest);
    if (r == 0 && cut_scheme(src->authorization, STR("Sentry"), &rest))
        r = read_pairs(&c, rest);
    if (r == 0)
        r = read_query(&c, src->query);
    if (r == 0 && src->path_key.p)
        r = add_key(&c, src->path_key);
    if (r == 0 && cut_scheme(src->authorization, STR("Basic"), &rest)) /* last, because it may be a proxy's */
        r = read_basic(&c, rest);
    if (r == 0)
        *ret = c;
    return r;
}

int credentials_join_dsn(struct credentials *c, struct str dsn_text, uint64_t project_id)
{
    struct dsn dsn;
    if (dsn_text.n == 0)
        return c->present ? 0 : credentials_missing(c);
    int r = dsn_parse(dsn_text, &dsn);
    if (r < 0)
        return r;
    if (dsn.project_id != project_id || (c->present && !id_eq(&dsn.key, &c->key)))
        return -ERR_DSN_MISMATCH;
    c->key = dsn.key;
    c->present = true;
    return 0;
}
