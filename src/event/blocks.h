/* blocks.h: the parts of a payload that dashboards parse, written in the shape that they accept (contract §7.6). Private to the event
 * layer. Each block_* writes "name": value, or nothing at all when the value has no usable form. Nothing inside a block is null. */
#pragma once

#include "view.h"

struct block_writer {
    struct json_writer *json;
    struct arena *arena;
    const struct event_view *view;
    const struct json *homeless_stack; /* block_homeless_stack of the view */
};

/* Members of an object or of a list of pairs, each key once. Keys are well-formed UTF-8. */
struct member {
    struct str key;
    const struct json *value;
    size_t index;    /* private: place in the document */
    bool superseded; /* private */
};
struct members {
    struct member *at; /* the arena's */
    size_t n;
};
/* Of duplicates the last wins, as JSON readers have it. Empty when `v` is no object. */
void members_of_object(const struct json *v, struct arena *a, struct members *ret);
/* [[key, value], …]; of duplicates the first wins (protocol §5.6). Elements of another shape are left out. */
void members_of_pairs(const struct json *v, struct arena *a, struct members *ret);

/* `v` (not null) without the nulls inside. Below CLEAN_DEPTH levels nulls stay: no reader of blocks looks there. */
enum { CLEAN_DEPTH = 48 };
void block_clean(struct block_writer *b, const struct json *v);

/* How a member's value is written when its type matters. */
typedef void block_put_fn(struct block_writer *b, struct str name, const struct json *v);
struct block_rule {
    struct str key;
    block_put_fn *put;
};
/* The members of `v` by their rules; those without one as they are, without nulls. The caller opens and closes the object. */
void block_members(struct block_writer *b, const struct json *v, const struct block_rule *rules, size_t n);
/* An object by rules; nothing when `v` is no object. */
void block_object(struct block_writer *b, struct str name, const struct json *v, const struct block_rule *rules, size_t n);

/* The elements of a container that are objects, in the arena: of a bare array, of `values`, or a lone element. Returns their number. */
size_t block_elements(const struct json *v, struct arena *a, const struct json ***ret);
/* {"values": […]}, each element an object whose members `put` writes; nothing when `v` is no such container. */
typedef void block_element_fn(struct block_writer *b, const struct json *element);
void block_values(struct block_writer *b, struct str name, const struct json *v, block_element_fn *put);

block_put_fn block_text;   /* a string; anything else but null as its JSON text */
block_put_fn block_number; /* a number, also from a numeric string */
block_put_fn block_bool;   /* a boolean, also from 0, 1, "true", "false" */
block_put_fn block_map;    /* an object of anything */
block_put_fn block_level;  /* a known level by its name, other strings as they are */

block_put_fn block_exception, block_threads, block_stacktrace; /* stack.c */
/* The event's own stack trace, if it belongs into the only exception, which has none (protocol §5.11); else NULL. */
const struct json *block_homeless_stack(const struct event_view *view, struct arena *a);
block_put_fn block_event_stacktrace; /* the event's own, unless block_exception takes it */
block_put_fn block_breadcrumbs, block_contexts, block_tags, block_user;

/* message.c: {message, formatted, params} from `logentry`, `message` and their forms (protocol §5.10), interpolated when the sender
 * did not. */
void block_logentry(struct block_writer *b);
