/* native_text.h: what the texts of crash reporters say, as parts of an event. Pure. Private to event. Each appends one JSON object, or nothing when the
 * text says nothing. */
#pragma once

#include "picket/base/buf.h"

/* CrashContext.runtime-xml and the query's UserID. *ret_game: the event that the game itself wrote into its data. */
void native_unreal(struct str context, struct str user, struct buf *ret_game, struct buf *ret_context);
/* A report of macOS or iOS as text ("Incident Identifier: …"). */
void native_apple(struct str report, struct buf *out);
