/* credentials.h: which project key a request carries, in every form of protocol §1.4 (decisions.md "ingest credentials").
 * Pure functions; nothing of the source is kept. */
#pragma once

#include "picket/base/error.h"
#include "picket/protocol/dsn.h"

/* What of the request can carry credentials. Absent: the empty slice. */
struct credentials_source {
    struct str x_sentry_auth; /* header X-Sentry-Auth; ignored unless it starts with the word Sentry in any case */
    struct str authorization; /* header Authorization: scheme Sentry, or Basic with the key as user name; other schemes are not ours */
    struct str query;         /* the URL's query without '?': sentry_key, sentry_version, sentry_client … percent-encoded */
    struct str path_key;      /* the part of the path that is a key, where the route has one; p == NULL: it has none */
};

enum { CREDENTIALS_MAX_CLIENT = 64 };

struct credentials {
    bool present; /* false: nothing above names a key (the envelope's dsn may) */
    struct id128 key;
    unsigned version;                    /* sentry_version, 0 when absent */
    char client[CREDENTIALS_MAX_CLIENT]; /* see credentials_client() */
    size_t client_n;
    int login_error; /* 0, or why a Basic login names no key: it may be a proxy's, and matters only if nothing else names one */
};

/* name/version: sentry_client, decoded where it came in a query, or what credentials_name_client said; without control characters; what is longer is cut. "" when absent. Borrows *c. */
static inline struct str credentials_client(const struct credentials *c)
{
    return str_of(c->client, c->client_n);
}

/* 0, also when none is present (credentials_missing); -ERR_BAD_AUTH_HEADER (no sentry_key in a Sentry header), -ERR_BAD_KEY, -ERR_BAD_VERSION,
 * -ERR_MANY_CREDENTIALS (several that name different keys; several of the same key are fine). */
MUST_CHECK int credentials_read(const struct credentials_source *src, struct credentials *ret);

/* What the sender calls itself in another place, where credentials_read found nothing. Without a name nothing; the version may be "". */
void credentials_name_client(struct credentials *c, struct str name, struct str version);

/* Why none is, once there is nowhere left to look: -ERR_NO_CREDENTIALS, or what was wrong with the login. */
static inline int credentials_missing(const struct credentials *c)
{
    return c->login_error ? c->login_error : -ERR_NO_CREDENTIALS;
}

/* Joins the envelope header's dsn (empty: absent) with what the request carried and with the path's project: fills c->key when the
 * dsn is the only credential. As credentials_missing, -ERR_BAD_DSN, -ERR_DSN_MISMATCH. */
MUST_CHECK int credentials_join_dsn(struct credentials *c, struct str dsn, uint64_t project_id);
