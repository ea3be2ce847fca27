/* outline.h: what of an event may be remembered longer than the event: names of fields, and what its program is made of (functions, files, source lines, modules,
 * SDK, operating system). What people wrote or are, and every message, variable, tag's value, address and time is left out, and so is each
 * path or URL that may name a person. A project's dictionary is made of outlines (protocol/payload.h), so that it need not forget anybody. */
#pragma once

#include "picket/base/buf.h"

/* Appends the outline of an event's payload, which is JSON. -ERR_BAD_JSON: the payload is none. Any thread. */
MUST_CHECK int event_outline(struct str payload, struct buf *out);
