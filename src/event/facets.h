/* facets.h: what people filter events by. Private to the event layer. */
#pragma once

#include "view.h"

/* Tags, level, release, environment and the like, and the user, of an event whose columns are `fields`; `address`: where it came from, or NULL. Texts
 * are the document's, the fields', or in the arena. */
void event_facets_read(const struct json *root, const struct event_view *view, const struct event_fields *fields, const uint8_t *address,
                       struct arena *a, struct event_facets *ret);
/* One more tag, cut; of one key the first stays. */
void event_facets_add(struct event_facets *f, struct str key, struct str value);
/* tags.c: adds what the event was sent with as `tags` (protocol §5.6), but what it says elsewhere. */
void event_tags_read(const struct json *tags, struct arena *a, struct event_facets *f);
