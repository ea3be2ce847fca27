/* notes.h: what normalisation did to an event, told in its `_meta` and `errors` (protocol §5.5, §5.12). Private to the event layer. */
#pragma once

#include "picket/json/json.h"

/* Depth of a path, notes per event. What is deeper or beyond is changed all the same, without a note. */
enum { NOTE_DEPTH = 12, NOTES_MAX = 200, NOTES_WRAPPED = 4 };

/* One note. Texts are the arena's, the document's or static. */
struct note {
    const struct str *path;   /* keys and indices from the root of the copy */
    unsigned path_n;          /* private, like path */
    struct str error;         /* kind of error; "" when something was only cut */
    struct str reason;        /* "": none */
    const struct json *value; /* what stood there; NULL: not told */
    bool cut;                 /* a string was cut: `from` code points of it are left, `to` with the dots; `len` were there */
    bool counted;             /* elements of a container were left out; `len` were there */
    int64_t from, to, len;
    bool timed; /* the clocks below belong to the error */
    int64_t sdk_us, server_us;
};

struct notes {
    struct arena *arena;
    struct str at[NOTE_DEPTH]; /* where the writer is; private */
    unsigned depth, n, wrapped_n;
    struct str wrapped[NOTES_WRAPPED];
    struct note *list, spill; /* list: NULL until there is one; spill takes what is not kept */
};

void notes_init(struct notes *n, struct arena *a);
void notes_enter(struct notes *n, struct str key);
void notes_enter_index(struct notes *n, size_t index);
void notes_leave(struct notes *n);

/* Member `key` of the root was a bare list and became {"values": […]}: what the sender's _meta says about it goes there too. */
void notes_wrap(struct notes *n, struct str key);

/* A note about member `key` of where the writer is; the caller fills in what it knows. Never NULL. */
struct note *notes_add(struct notes *n, struct str key);
/* A value was left out, or replaced. Only short values are repeated. Never NULL. */
struct note *notes_error(struct notes *n, struct str key, struct str error, struct str reason, const struct json *value);

/* "errors" and "_meta": what the sender wrote there with the notes behind it, once each; nothing at all when there is neither. */
void notes_put_errors(struct notes *n, struct json_writer *w, const struct json *sent);
void notes_put_meta(struct notes *n, struct json_writer *w, const struct json *sent);
