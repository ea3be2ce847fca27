/* body.h: the events that generators send: made once per variant, and for each request only what differs is written over the copy, so that
 * sending an event costs a generator less than reading it costs a server. One thread. */
#pragma once

#include "picket/base/buf.h"
#include "picket/base/id.h"

enum body_form { BODY_SMALL, BODY_LARGE }; /* about 4.2 KB with 25 frames; about 25 KB with 32, their source lines and variables */
enum body_coding { BODY_PLAIN, BODY_GZIP };

struct body_options {
    enum body_form form;
    enum body_coding coding;
    uint64_t issues;    /* distinct ones; 0: each event is a new one */
    size_t bytes;       /* at least so large, by digits that nobody can compress well; 0: as the form has it */
    const char *replay; /* a directory of recordings (tests/e2e/recordings) whose error events are sent instead; NULL: none */
};

struct bodies;
/* NULL: `replay` holds no error event. */
MUST_CHECK struct bodies *bodies_new(const struct body_options *options);
void bodies_free(struct bodies *b); /* NULL is fine */
/* Appends the envelope of the event with this number and id. The same number gives the same event but for its times. */
void bodies_make(struct bodies *b, uint64_t number, const struct id128 *id, struct buf *out);
/* Appends the event's JSON alone, as it is in that envelope, never compressed. Not with `replay`. */
void bodies_event(struct bodies *b, uint64_t number, const struct id128 *id, struct buf *out);
