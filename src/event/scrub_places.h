/* scrub_places.h: the parts of an event in which the same is looked for. Private to scrub*.c. */
#pragma once

#include "scrub_parts.h"

enum scrub_place {
    PLACE_EVENT,
    PLACE_DATA,        /* what users and their programs wrote */
    PLACE_QUIET,       /* what the SDK says about program and machine: not looked at */
    PLACE_IDENTITY,    /* what makes the event what it is */
    PLACE_LABEL,       /* short words of people and programs, under names of the protocol's */
    PLACE_USER_ID,     /* likewise, but that it may be any number */
    PLACE_TRANSACTION, /* what explains its name */
    PLACE_PROSE,       /* the message */
    PLACE_VALUE,       /* the text of an exception */
    PLACE_CODE,        /* lines of source */
    PLACE_KNOWN,       /* contexts whose members the protocol knows */
    PLACE_VERSION,     /* versions in them */
    PLACE_LOGENTRY,
    PLACE_PARAMS, /* of a message: PLACE_DATA, or PLACE_SECRET if the message tells one */
    PLACE_SECRET, /* every value goes */
    PLACE_EXCEPTION,
    PLACE_STACK,
    PLACE_FRAME,
    PLACE_THREAD,
    PLACE_CRUMB,
    PLACE_REQUEST,
    PLACE_RESPONSE,
    PLACE_HEADERS,
    PLACE_COOKIES,
    PLACE_ENV,
    PLACE_USER,
    PLACE_CONTEXTS,
    PLACE_FEEDBACK, /* what somebody wrote, and who that is */
    PLACE_TRACE,
    PLACE_SDK,
    PLACE_META,
    PLACE_META_SECRET, /* remarks on a value whose name means a secret */
    PLACE_ADDRESS,     /* an IP address and nothing else */
    PLACE_GONE,        /* nothing that stands here stays */
};

struct scrub_turn {
    struct str key;
    enum scrub_place to;
};

/* Members that no turn names lead to `rest`. */
struct scrub_place_rules {
    const struct scrub_turn *turns;
    size_t n_turns;
    enum scrub_place rest;
    uint8_t looks;      /* at the texts in this place: of enum scrub_look */
    uint8_t names;      /* names of members that no turn names may mean secrets: of enum scrub_where, or 0 */
    bool any_case;      /* keys in any case */
    bool texts_only;    /* numbers are not looked at */
    bool spares_digits; /* nor are texts of nothing but digits */
    bool stays;         /* what leads here does not go by its name, whatever a project says */
};
extern const struct scrub_place_rules scrub_places[];

/* Where the member `key` of an object at `from` leads; false when no turn names it. */
bool scrub_turn(enum scrub_place from, struct str key, enum scrub_place *ret);
