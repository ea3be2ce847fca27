/* disposition.h: how foreign bytes are handed out, so that no browser makes a page or a script of them. Pure; any thread. */
#pragma once

#include "picket/base/buf.h"

/* Appends the value of Content-Disposition: attachment, with the name's last component, in plain ASCII and, where that is not all of it, in UTF-8
 * (RFC 6266, RFC 8187). Nothing in `name` can end the value or the header. */
void disposition_write(struct str name, struct buf *out);
/* The type to answer with: the one that was sent, if it is on a short list of those that no browser runs; else application/octet-stream. */
struct str disposition_type(struct str content_type);
