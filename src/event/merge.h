/* merge.h: one JSON object of several. Pure. Private to event. */
#pragma once

#include "picket/json/json.h"

enum { MERGE_MAX_DEPTH = 20 };

/* Writes an object with the members of all `layers`; what is no object is left out. Where several have a member, the first one's value
 * counts; objects are merged in the same way, MERGE_MAX_DEPTH deep. Members that are null count as absent. */
void merge_objects(struct json_writer *w, const struct json *const *layers, size_t n, struct arena *a);
