/* door.h: who may still append when more comes than is digested. Pure: time is an argument, the lock is the caller's. Design: door.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "picket/base/macros.h"

enum { DOOR_MARKS = 256, DOOR_SLOTS = 256 };

/* What a project brought lately: two windows of which the older one counts less and less. */
struct door_slot {
    uint64_t project;
    int64_t window; /* number of the window that `offered` and `taken` belong to */
    uint64_t offered, offered_before, taken, taken_before;
    uint64_t pending; /* in memory, not on disk yet */
};

struct door_mark {
    int64_t at_us;
    uint64_t taken, gone; /* until then, altogether */
};

struct door {
    int64_t delay_us; /* the backlog that is aimed at; 0: any */
    uint64_t max_bytes, max_pending_bytes;
    uint64_t taken, gone;               /* bytes, ever: what came in, what was digested; the difference is the backlog */
    struct door_mark marks[DOOR_MARKS]; /* a ring: n of them, the last at `last` */
    unsigned n_marks, last;
    int64_t gone_us, resumed_us; /* when something was digested last; when the digest began again after it had halted */
    uint64_t pace;               /* bytes per second that are digested while there is a backlog; 0: not known */
    uint64_t share;              /* bytes per second that a project may bring now; UINT64_MAX: any */
    unsigned active;             /* projects that brought something lately */
    struct door_slot slots[DOOR_SLOTS];
};

/* `held`: bytes of an earlier run. */
void door_init(struct door *d, int64_t delay_us, uint64_t max_bytes, uint64_t max_pending_bytes, uint64_t held, int64_t now_us);
/* True: an offer of about so much would be refused, so nothing need be done for it; counted as offered then. */
MUST_CHECK bool door_turns_away(struct door *d, uint64_t project, uint64_t bytes, int64_t now_us);
/* True: the project may append `bytes` as far as the others are concerned. Counts them as offered. */
MUST_CHECK bool door_offer(struct door *d, uint64_t project, uint64_t bytes, uint64_t pending_bytes, int64_t now_us);
/* Appended: pending now, until door_settled() of the slot that is returned. */
unsigned door_take(struct door *d, uint64_t project, uint64_t bytes, int64_t now_us);
void door_settled(struct door *d, unsigned slot, uint64_t bytes); /* on disk, or failed */
void door_gone(struct door *d, uint64_t bytes, int64_t now_us);   /* left the backlog: digested, or never got there */
unsigned door_retry_s(const struct door *d);                      /* when to come back, for who was refused */
