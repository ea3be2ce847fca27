/* native_dump.h: what a minidump says, as parts of an event. Pure. Private to event. */
#pragma once

#include "picket/event/minidump.h"
#include "picket/json/json.h"

/* An object with what a dump decides: platform, exception, threads, images. `m` is NULL when the dump could not be read. */
void native_put_certain(struct json_writer *w, const struct minidump *m, struct arena *a);
/* An object with what the sender may know better: level, time, transaction, contexts. */
void native_put_likely(struct json_writer *w, const struct minidump *m, struct arena *a);
