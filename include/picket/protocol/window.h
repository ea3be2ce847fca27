/* window.h: the arithmetic of a sliding rate limit: what was taken in the last `length`. Pure; the caller brings the time, from a clock that does not
 * jump, and the lock. Fixed size, no allocation. Design: src/protocol/window.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { WINDOW_SLOTS = 30 }; /* parts of a length; one more is kept, because the oldest is only partly over */

struct window {
    int64_t length_us; /* a multiple of WINDOW_SLOTS, at most a day */
    int64_t now_us;    /* the latest time that was seen */
    uint64_t sum;      /* of what is not over */
    uint64_t counts[WINDOW_SLOTS + 1];
    uint32_t last_us[WINDOW_SLOTS + 1]; /* within the slot: when its last was taken */
};

void window_init(struct window *w, int64_t length_us, int64_t now_us);
/* Whatever stands in the window at that time and is not over. A time before the latest one is the latest one, here and below. */
uint64_t window_sum(struct window *w, int64_t now_us);
/* 0: `n` more are within `limit`. Else how long until they would be if nothing else came, at most length_us; that, too, when they never will (n > limit). */
int64_t window_wait_us(struct window *w, int64_t now_us, uint64_t limit, uint64_t n);
/* Counts `n`, whatever the limit is. */
void window_add(struct window *w, int64_t now_us, uint64_t n);
/* Counts what was taken earlier (elsewhere, before a restart); nothing when that is over. */
void window_add_at(struct window *w, int64_t now_us, int64_t at_us, uint64_t n);
/* What was counted last and did not come about after all; at most what is there. */
void window_take_back(struct window *w, int64_t now_us, uint64_t n);
