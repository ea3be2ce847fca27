/* msgpack.h: MessagePack as crash reporters send it (protocol §1.6 "Minidump", §3.1 event.payload, event.breadcrumbs), turned into JSON. Pure; any
 * thread; nothing recurses; memory grows with what was really read, never with what the bytes claim. */
#pragma once

#include "picket/base/buf.h"

enum { MSGPACK_MAX_DEPTH = 60 };

/* Appends the JSON text of the first value in *rest to `out` and moves *rest behind it. Keys that are numbers become their text, binary data
 * is read as text, extension types become null. -ERR_BAD_MSGPACK: cut short, a reserved byte, another kind of key, too deep; `out` and *rest are
 * then as before. */
MUST_CHECK int msgpack_read(struct str *rest, struct buf *out);
