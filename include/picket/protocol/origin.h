/* origin.h: which pages of browsers may send (protocol §1.3, §1.4): what a request says of its page, and patterns of pages that a project lets in. */
#pragma once

#include "picket/base/buf.h"

enum { ORIGIN_PATTERN_MAX_BYTES = 255 };

struct origin {
    struct str scheme, host, port; /* borrowed; port is empty where it is the scheme's */
};

/* The page that a request came from: `origin` is its header Origin, else `referer` its Referer. False: it names none of http or https, as whatever is no
 * browser's. */
MUST_CHECK bool origin_of(struct str origin, struct str referer, struct origin *ret);

/* Appends a pattern as it is kept, in lower case: [scheme://]host[:port], where scheme is http or https, and host is a name, an address, "*" (any), or "*."
 * before a name (that one, and all below it). What is left out is any. Blanks around it and a slash at its end are taken off. -EINVAL: it is none. */
MUST_CHECK int origin_pattern(struct str text, struct buf *out);

/* `pattern`: of origin_pattern(); anything else matches nothing. */
bool origin_matches(struct str pattern, const struct origin *page);
