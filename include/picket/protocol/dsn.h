/* dsn.h: where an SDK sends its events: {scheme}://{public key}[:{secret}]@{host}[:port][/{path prefix}]/{project id} (protocol §1.1). */
#pragma once

#include "picket/base/buf.h"
#include "picket/base/id.h"

struct dsn {
    struct str scheme;      /* http or https, as written */
    struct str public_key;  /* as written: 32 hex digits of any case */
    struct str authority;   /* host[:port] */
    struct str path_prefix; /* "" or "/errors" */
    uint64_t project_id;
    struct id128 key; /* the key's 128 bits */
};

/* Borrows from `text`. -ERR_BAD_DSN when a part is missing or malformed. An empty or present secret is ignored. */
MUST_CHECK int dsn_parse(struct str text, struct dsn *ret);
/* The authority without the port that the scheme has anyway: https and :443, http and :80. */
struct str dsn_host(struct str scheme, struct str authority);
/* Appends the DSN of a project under `public_url` ("https://host/errors", no final slash needed). -EINVAL when that is no http(s) URL. */
MUST_CHECK int dsn_format(struct buf *out, struct str public_url, const struct id128 *key, uint64_t project_id);
/* Appends {base}/api/{project id}/{endpoint}/, e.g. endpoint "envelope". */
void dsn_endpoint(struct buf *out, const struct dsn *dsn, struct str endpoint);
