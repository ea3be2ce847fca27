/* window.c: time is cut into slots of length / WINDOW_SLOTS. A slot knows how much was taken in it and when the last of it was; all of it is over
 * one length after that moment. So
 *
 *   W1  never are more than the limit taken in any stretch of one length, wherever it begins, because nothing is forgotten too early;
 *   W2  nothing is counted for longer than a length and one slot (1/30) after it was taken, because what is in a slot waits for its last;
 *   W3  whoever is refused and comes back after the time that he was told is not refused again, if nothing else came.
 *
 * An exact window would keep the time of each taking: N of them, for each project and key. This one takes 400 bytes whatever N is, and a step
 * costs what it costs to empty the slots that time has passed over, at most once each. */
#include "picket/protocol/window.h"

#include <string.h>

#include "picket/base/macros.h"

enum { RING = WINDOW_SLOTS + 1 };

void window_init(struct window *w, int64_t length_us, int64_t now_us)
{
    assert(length_us > 0 && length_us % WINDOW_SLOTS == 0 && length_us / WINDOW_SLOTS <= UINT32_MAX);
    *w = (struct window){.length_us = length_us, .now_us = now_us < 0 ? 0 : now_us};
}

static int64_t slot_us(const struct window *w)
{
    return w->length_us / WINDOW_SLOTS;
}

static int64_t slot_of(const struct window *w, int64_t at_us)
{
    return at_us / slot_us(w);
}

static unsigned place_of(int64_t slot)
{
    return (unsigned)(slot % RING);
}

/* When all of it is over. */
static int64_t end_of(const struct window *w, int64_t slot)
{
    return slot * slot_us(w) + w->last_us[place_of(slot)] + w->length_us;
}

static void drop(struct window *w, int64_t slot)
{
    unsigned place = place_of(slot);
    w->sum -= w->counts[place];
    w->counts[place] = 0;
    w->last_us[place] = 0;
}

/* To the time that is now. */
static void turn(struct window *w, int64_t now_us)
{
    if (now_us <= w->now_us)
        return;
    int64_t from = slot_of(w, w->now_us), to = slot_of(w, now_us);
    w->now_us = now_us;
    if (to - from >= RING) {
        memset(w->counts, 0, sizeof w->counts);
        memset(w->last_us, 0, sizeof w->last_us);
        w->sum = 0;
        return;
    }
    for (int64_t slot = from + 1; slot <= to; slot++) /* its place was that of a slot that is more than a length ago */
        drop(w, slot);
    int64_t oldest = to - WINDOW_SLOTS;
    if (oldest >= 0 && w->counts[place_of(oldest)] && end_of(w, oldest) <= now_us)
        drop(w, oldest);
}

uint64_t window_sum(struct window *w, int64_t now_us)
{
    turn(w, now_us);
    return w->sum;
}

int64_t window_wait_us(struct window *w, int64_t now_us, uint64_t limit, uint64_t n)
{
    turn(w, now_us);
    if (n > limit)
        return w->length_us;
    uint64_t left = w->sum, most = limit - n;
    int64_t newest = slot_of(w, w->now_us), oldest = newest < WINDOW_SLOTS ? 0 : newest - WINDOW_SLOTS, end_us = w->now_us;
    for (int64_t slot = oldest; slot <= newest && left > most; slot++) {
        if (w->counts[place_of(slot)])
            end_us = end_of(w, slot);
        left -= w->counts[place_of(slot)];
    }
    return end_us - w->now_us;
}

static void add(struct window *w, int64_t at_us, uint64_t n)
{
    unsigned place = place_of(slot_of(w, at_us));
    uint32_t in_slot_us = (uint32_t)(at_us % slot_us(w));
    if (n > UINT64_MAX - w->sum)
        n = UINT64_MAX - w->sum;
    if (n == 0)
        return;
    w->counts[place] += n;
    w->sum += n;
    if (in_slot_us > w->last_us[place])
        w->last_us[place] = in_slot_us;
}

void window_add(struct window *w, int64_t now_us, uint64_t n)
{
    turn(w, now_us);
    add(w, w->now_us, n);
}

void window_add_at(struct window *w, int64_t now_us, int64_t at_us, uint64_t n)
{
    turn(w, now_us);
    if (at_us > w->now_us)
        at_us = w->now_us;
    if (at_us >= 0 && at_us > w->now_us - w->length_us)
        add(w, at_us, n);
}

void window_take_back(struct window *w, int64_t now_us, uint64_t n)
{
    turn(w, now_us);
    int64_t newest = slot_of(w, w->now_us), oldest = newest < WINDOW_SLOTS ? 0 : newest - WINDOW_SLOTS;
    for (int64_t slot = newest; slot >= oldest && n > 0; slot--) {
        uint64_t *count = &w->counts[place_of(slot)], part = n < *count ? n : *count;
        *count -= part;
        w->sum -= part;
        n -= part;
    }
}
