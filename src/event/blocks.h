/* blocks.h: the parts of a payload that dashboards parse, written in the shape that they accept (contract §7.6). Private to the event
 * layer. Each block_* writes "name": value, or nothing at all when the value has no usable form. Nothing inside a block is null. */
#pragma once

#include "notes.h"
#include "view.h"

struct block_writer {
    struct json_writer *json;
    struct arena *arena;
    const struct event_view *view;
    const struct json *root;
    const struct event_row *row;
    const struct json *homeless_stack; /* block_homeless_stack of the view */
    struct notes notes;
    /* What is written are the circumstances of feedback, which become a jsonb: PostgreSQL reads that by recursion, so containers that block_clean
     * does not go into are written as their JSON text; and the context of that name is stored elsewhere. */
    bool of_feedback;
    int64_t shift_us; /* what the event's own time was corrected by: all times of the event are (protocol §5.4) */
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

/* For members that the caller makes: `at` has room; the first of those with one key is kept. */
void members_add(struct members *m, struct str key, const struct json *value);
void members_keep_first(struct members *m, struct arena *a);

/* `v` (not null) without the nulls inside. Below CLEAN_DEPTH levels nulls stay: no reader of blocks looks there. */
enum { CLEAN_DEPTH = 48 };
void block_clean(struct block_writer *b, const struct json *v);

/* Whole numbers without a fraction: what was "12" becomes 12. */
void block_put_number(struct json_writer *w, double number);

/* How a member's value, which is there and not null, is written when its type matters. */
typedef void block_put_fn(struct block_writer *b, struct str name, const struct json *v);
/* Without `put`: a text of at most `limit` code points; up to `slack` more are let through (protocol §5.1 "256 (+20)"). */
struct block_rule {
    struct str key;
    block_put_fn *put;
    unsigned limit, slack;
};
#define BLOCK_RULE(name, fn) \
    { \
        STR(name), (fn), 0, 0 \
    }
#define BLOCK_TEXT(name, limit, slack) \
    { \
        STR(name), NULL, (limit), (slack) \
    }
/* A value that block_limited writes. */
static inline bool block_is_scalar(const struct json *v)
{
    return json_type(v) > JSON_NULL && json_type(v) < JSON_ARRAY;
}
/* A boolean, also from 0, 1, "true", "false". */
bool block_read_bool(const struct json *v, bool *ret);
/* Notes that member `name` had no usable value. */
void block_invalid(struct block_writer *b, struct str name, const struct json *v, const char *reason);
/* Notes that not all of the `sent` elements of member `name` were written, and nothing else: there were too many. */
void block_shortened(struct block_writer *b, struct str name, size_t sent);
/* The same where they were left out because of what they are; `first` is one of them. */
void block_dropped(struct block_writer *b, struct str name, const struct json *first, const char *reason, size_t sent);
/* What is left of a text, with dots and a note; its key is written already. */
void block_put_cut(struct block_writer *b, struct str name, struct str s, struct str kept);
/* A text that may be too long: cut, with dots and a note. */
void block_put_text(struct block_writer *b, struct str name, struct str s, unsigned limit, unsigned slack);
/* The same without dots: things are looked up by what is left. */
void block_put_named(struct block_writer *b, struct str name, struct str s, unsigned limit);
/* A string; numbers and booleans as their JSON text; lists and objects are invalid. */
void block_limited(struct block_writer *b, struct str name, const struct json *v, unsigned limit, unsigned slack);
/* The members of `v` by their rules; those without one as they are, without nulls. The caller opens and closes the object. */
void block_members(struct block_writer *b, const struct json *v, const struct block_rule *rules, size_t n);
const struct block_rule *block_rule_for(const struct block_rule *rules, size_t n, struct str key);
/* One member by its rule (NULL: none); nothing for null. */
void block_member(struct block_writer *b, const struct block_rule *rule, struct str key, const struct json *v);
/* An object by rules; nothing when `v` is no object. */
void block_object(struct block_writer *b, struct str name, const struct json *v, const struct block_rule *rules, size_t n);

/* The elements of a container that are objects, in the arena: of a bare array, of `values`, or a lone element. Returns their number. */
size_t block_elements(const struct json *v, struct arena *a, const struct json ***ret);
/* The first element of a list that is no object, or no pair of a name and a value; NULL: all are, or `list` is none. Nulls are nothing. */
const struct json *block_no_object(const struct json *list);
const struct json *block_no_pair(const struct json *list, struct arena *a);
/* Notes what of a container with `values` is left out: elements that are no objects, and members beside the list. */
void block_values_left(struct block_writer *b, struct str name, const struct json *v);
/* {"values": […]}, each element an object whose members `put` writes; nothing when `v` is no such container. */
typedef void block_element_fn(struct block_writer *b, const struct json *element);
void block_values(struct block_writer *b, struct str name, const struct json *v, block_element_fn *put);

block_put_fn block_skip;    /* nothing */
block_put_fn block_text;    /* a string; anything else but null as its JSON text */
block_put_fn block_number;  /* a number, also from a numeric string */
block_put_fn block_bool;    /* a boolean, also from 0, 1, "true", "false" */
block_put_fn block_address; /* "0x…", also from a number (protocol §5.5) */
block_put_fn block_map;     /* an object of anything */
block_put_fn block_level;   /* a known level by its name, other strings as they are */

/* An object of anything, without nulls: at most `bytes` of keys and values and `depth` containers one in another, itself included. Deeper ones become
 * their JSON text; a string that is too long is cut; what comes behind is left out. Notes say so (protocol §5.1, §5.11: "bag"). */
void block_bag(struct block_writer *b, struct str name, const struct json *v, size_t bytes, unsigned depth);

block_put_fn block_texts; /* an object of texts */
block_put_fn block_list;  /* an array of objects, or of texts */

block_put_fn block_exception, block_threads, block_stacktrace; /* stack.c */
/* The event's own stack trace, if it belongs into the only exception, which has none (protocol §5.11); else NULL. */
const struct json *block_homeless_stack(const struct event_view *view, struct arena *a);
block_put_fn block_event_stacktrace; /* the event's own, unless block_exception takes it */
block_put_fn block_breadcrumbs;      /* crumbs.c */

void block_envelope_sdk(struct block_writer *b); /* scalars.c: the SDK of the envelope, of an event that has none (protocol §2.2) */

/* message.c: {message, formatted, params} from `logentry`, `message` and their forms (protocol §5.10), interpolated when the sender
 * did not. */
void block_logentry(struct block_writer *b);

/* tags.c: from `tags`, `server_name` and `site` (protocol §5.6). *ret_environment: the tag that serves as the event's environment, or NULL. */
void block_tags(struct block_writer *b, const struct json **ret_environment);

/* user.c, request.c, contexts.c: these are written also when only something else in the event tells what belongs there. */
void block_user(struct block_writer *b);
/* The user's address as block_user shows it, or "". Reads view, row and arena only. */
struct str block_user_address(struct block_writer *b);
void block_contexts(struct block_writer *b);
block_put_fn block_request;
block_put_fn block_cookies, block_headers, block_payload; /* of requests and responses */
/* The text of a header of the request, "" when there is none. */
struct str block_request_header(const struct event_view *view, struct str name, struct arena *a);

/* normalise.c: {platform, sdk, request, tags, user, contexts}, those that are there, each as event_normalise writes it. */
void block_circumstances(struct block_writer *b);

/* scalars.c: the values of the top level that have no parts (protocol §5.1, §5.13); false for other keys. */
bool block_scalar(struct block_writer *b, struct str name, const struct json *v);
block_put_fn block_release, block_environment;
/* timestamp, received, type, platform, level, project: also when the sender did not say. */
void block_top(struct block_writer *b);
