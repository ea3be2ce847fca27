/* names.h: what releases and environments may be called (protocol §5.13). Events, feedback, sessions and check-ins ask here and nowhere else, because
 * what they say is compared: the crashes of a release are told by its events and by its sessions. Private to the event layer. */
#pragma once

#include "view.h"

bool event_good_release(struct str s);
bool event_good_environment(struct str s);
/* As it is stored: trimmed and cut, a number as its text; "" for none, or none that is allowed. In the arena. */
struct str event_release(const struct json *v, struct arena *a);
struct str event_environment(const struct json *v, struct arena *a);
