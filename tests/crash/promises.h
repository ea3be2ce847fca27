/* promises.h: which versions of which files may, and which must be there, given what happened up to some moment. For those whose return says
 * that a file is durable and that all names taken away before are. */
#pragma once

#include "bench.h"

enum { PROMISES_MAX = 128, VERSIONS_MAX = 32 };

struct promise {
    uint32_t may;      /* bit: version */
    unsigned versions; /* begun so far */
    bool must;         /* be there, in one of these versions */
    bool going;        /* is being taken away … */
    bool gone;         /* … and was: seen no more until the power is cut */
};
struct promises {
    struct promise of[PROMISES_MAX];
    unsigned next; /* the first of which nothing was begun, nor of any behind it */
};

/* A number in events: what, and its version. EVENT_BEGAN, EVENT_ACKED: written. EVENT_SETTLED: is about to be taken away; EVENT_GONE: was. */
static inline uint64_t promise_seq(unsigned what, unsigned version)
{
    return (uint64_t)what * VERSIONS_MAX + version;
}
/* Takes in what was recorded until `n` of the changes were complete. */
void promises_follow(struct promises *p, const struct recording *rec, size_t n);
/* A life ended. */
void promises_end(struct promises *p, bool was_cut);
static inline bool promise_permits(const struct promise *p, unsigned version)
{
    return !p->gone && (p->may >> version & 1);
}
