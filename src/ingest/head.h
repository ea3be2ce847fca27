/* head.h: what an ingest request says before its body: who sends, and how the body is packed. Private to ingest; slices borrow the request. */
#pragma once

#include "picket/http/http.h"
#include "picket/protocol/credentials.h"
#include "picket/protocol/encoding.h"

/* Headers, query and `path_key` (p == NULL: the route has none) together; none present is fine. Errors as credentials_read(). */
MUST_CHECK int head_credentials(const struct http_call *call, struct str path_key, struct credentials *ret);
/* -ERR_BAD_ENCODING, also for several at once. */
MUST_CHECK int head_encoding(const struct http_call *call, enum content_encoding *ret);
/* host[:port] of a URL; without the port that its scheme has anyway. */
struct str head_authority(struct str url);
