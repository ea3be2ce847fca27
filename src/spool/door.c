/* door.c: fairness at the door.
 *
 * The spool is one queue, digested in order. So what an event waits for is what lies before it, whoever brought that: with one project that
 * brings more than is digested, everybody's events become visible later and later. Shares of SPOOL_MAX_BYTES do not help: half of 8 GiB
 * is two million events of 4 KB, four to seven minutes of digesting at 5,000 to 8,000 events/s (2 cores, beside the flood; 10,000 to 15,000
 * when nothing else runs). For others to see their events within 5 s the whole backlog has to stay shorter than that. Hence:
 *
 *   The backlog is long when digesting it would take longer than delay_us (2 s by default) at the pace of the last moments, and its oldest
 *   byte has waited for PATIENCE_US, so that a burst into an idle server is not judged by the pace of a trickle.
 *   While it is long, each project may bring its fair share of 1/2 to 3/4 of the pace, the less the longer the backlog is; more is refused, and
 *   the backlog shrinks. Fair is max-min: projects that bring less than an equal part leave the rest to the others, so whoever brings
 *   little is never refused.
 *   As soon as it is not long any more, everybody may bring anything: the digest never runs dry for politeness.
 *
 * So with a flood the backlog hovers about delay_us, which is what everybody waits, and the time between two commits comes on top. From the
 * start of a flood until it is noticed pass PATIENCE_US: at 10 times the pace that is a backlog of 10 · 0.25 = 2.5 s, still below 5.
 *
 * The pace comes in lumps (a batch of 1,000 events in 0.1 to 0.6 s), so it is taken over up to 2 s and smoothed. It follows a slower digest
 * within seconds, but is not forgotten while nothing at all is digested: for a second that is a slow batch, and beyond, the share is 5/4 of
 * the pace, which no ordinary rate exceeds.
 *
 * While nothing at all is digested (no database, for 3 s) refusing would not help anybody's delay: then the spool fills up, and only
 *
 *   beyond 3/4 of max_bytes, with several projects active, the last quarter is given out in fair shares of 1/60 of what is left per second;
 *   of the memory for records that wait for the disk, a project takes at most 2/3, with several active: twice what it leaves.
 *
 * A backlog that is old because the database was away does not make anybody's ordinary rate a flood: that is compared with the pace, and the
 * pace of before is what counts until there is a new one.
 *
 * Records of one envelope are one project's. Projects have slots in a small table; one whose slot is taken by another that is active shares
 * it (256 slots, 8 places to look: it takes hundreds of active projects). Their number is bounded, and nothing is allocated. */
#include "door.h"

#include "picket/base/clock.h"

enum {
    MARK_US = 50 * 1000,
    PATIENCE_US = 250 * 1000,
    PACE_US = 2000 * 1000, /* the pace is that of so much time at most */
    PACE_UP = 8,           /* … and gets better within 8 marks, 0.4 s, … */
    PACE_DOWN = 64,        /* … and worse within 64, 3 s */
    STANDSTILL_US = 3 * 1000 * 1000,
    PACE_LEAST_US = 500 * 1000, /* batches come in lumps: less time would tell more about those */
    HALTED_US = 1000 * 1000,
    STALLED_US = 3 * 1000 * 1000,
    WINDOW_US = 1000 * 1000,
    PROBES = 8,
    LAST_QUARTER_S = 60,
    RETRY_MAX_S = 30,
    ROUNDS = 8,
};

void door_init(struct door *d, int64_t delay_us, uint64_t max_bytes, uint64_t max_pending_bytes, uint64_t held, int64_t now_us)
{
    *d = (struct door){
        .delay_us = delay_us, .max_bytes = max_bytes, .max_pending_bytes = max_pending_bytes, .taken = held, .share = UINT64_MAX};
    d->marks[0] = (struct door_mark){.at_us = now_us, .taken = held};
    d->n_marks = 1;
}

/* ---- slots */

static void slot_turn(struct door_slot *s, int64_t window)
{
    if (s->window == window)
        return;
    bool next = s->window + 1 == window;
    s->offered_before = next ? s->offered : 0;
    s->taken_before = next ? s->taken : 0;
    s->offered = s->taken = 0;
    s->window = window;
}

static bool slot_is_free(const struct door_slot *s, int64_t window)
{
    return s->window + 1 < window && s->pending == 0;
}

/* The project's slot, a free one that becomes its own, or one that it has to share. */
static struct door_slot *slot_of(struct door *d, uint64_t project, int64_t now_us)
{
    int64_t window = now_us / WINDOW_US;
    unsigned at = (unsigned)(project * UINT64_C(0x9e3779b97f4a7c15) >> 56);
    struct door_slot *found = NULL;
    for (unsigned i = 0; i < PROBES; i++) {
        struct door_slot *s = &d->slots[(at + i) % DOOR_SLOTS];
        if (s->project == project) {
            found = s;
            break;
        }
        if (!found && slot_is_free(s, window))
            found = s;
    }
    if (!found)
        found = &d->slots[at];
    else
        found->project = project;
    slot_turn(found, window);
    return found;
}

/* Bytes of the last second. */
static uint64_t lately(uint64_t now, uint64_t before, int64_t now_us)
{
    return now + before / WINDOW_US * (uint64_t)(WINDOW_US - now_us % WINDOW_US) +
           before % WINDOW_US * (uint64_t)(WINDOW_US - now_us % WINDOW_US) / WINDOW_US;
}

/* ---- the backlog */

static const struct door_mark *mark_back(const struct door *d, unsigned i)
{
    return &d->marks[(d->last + DOOR_MARKS - i) % DOOR_MARKS];
}

/* How long the oldest byte has waited, at least. */
static int64_t age_us(const struct door *d, int64_t now_us)
{
    if (d->taken <= d->gone)
        return 0;
    const struct door_mark *oldest = NULL;
    for (unsigned i = 0; i < d->n_marks && mark_back(d, i)->taken > d->gone; i++)
        oldest = mark_back(d, i);
    return oldest ? now_us - oldest->at_us : 0;
}

/* Bytes per second. If the oldest byte has waited all the time, the digest was never idle in it: so this is its pace, not that of the clients; else
 * it is the least that it can do. What was before a standstill does not count. */
static uint64_t pace_now(const struct door *d, int64_t age, int64_t now_us)
{
    int64_t us = age < PATIENCE_US || age > PACE_US ? PACE_US : age < PACE_LEAST_US ? PACE_LEAST_US : age, since = now_us - d->resumed_us;
    us = since >= us ? us : since < PACE_LEAST_US ? PACE_LEAST_US : since;
    const struct door_mark *from = mark_back(d, 0);
    for (unsigned i = 0; i < d->n_marks && now_us - from->at_us < us; i++)
        from = mark_back(d, i);
    int64_t over_us = now_us - from->at_us;
    return over_us > 0 ? (d->gone - from->gone) * CLOCK_US_PER_S / (uint64_t)over_us : 0;
}

/* Max-min: what is left by those who bring less than the share is shared by the others. UINT64_MAX: all bring less. */
static uint64_t fair_share(struct door *d, uint64_t capacity, int64_t now_us)
{
    uint64_t share = d->active ? capacity / d->active : UINT64_MAX;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t small = 0;
        unsigned n_large = 0;
        for (unsigned i = 0; i < DOOR_SLOTS; i++) {
            struct door_slot *s = &d->slots[i];
            uint64_t offered = lately(s->offered, s->offered_before, now_us);
            small += offered <= share ? offered : 0;
            n_large += offered > share;
        }
        if (n_large == 0)
            return UINT64_MAX;
        share = small < capacity ? (capacity - small) / n_large : share;
    }
    return share;
}

static void judge(struct door *d, int64_t now_us)
{
    uint64_t held = d->taken - d->gone, capacity = UINT64_MAX;
    int64_t age = age_us(d, now_us);
    int64_t window = now_us / WINDOW_US;
    d->active = 0;
    for (unsigned i = 0; i < DOOR_SLOTS; i++) {
        if (d->slots[i].window + 1 >= window)
            slot_turn(&d->slots[i], window);
        else
            d->slots[i].offered = d->slots[i].offered_before = 0;
        d->active += d->slots[i].offered + d->slots[i].offered_before > 0;
    }
    uint64_t now = pace_now(d, age, now_us);
    int64_t halted_us = now_us - d->gone_us;
    if (now > d->pace)
        d->pace += (now - d->pace) / PACE_UP;
    else if (now > 0 && halted_us < PACE_LEAST_US)
        d->pace -= (d->pace - now) / PACE_DOWN;
    bool known = age >= PATIENCE_US && d->pace > 0 && halted_us < STALLED_US && now_us - d->resumed_us > HALTED_US;
    uint64_t aim = (now > d->pace ? now : d->pace) / 1000 * (uint64_t)(d->delay_us / 1000);
    if (d->delay_us > 0 && known && held > aim)
        capacity = halted_us > HALTED_US ? d->pace / 4 * 5 : d->pace / 2 + d->pace / 4096 * (aim / 4096 * 1024 / (held / 4096 + 1));
    uint64_t last_quarter = d->max_bytes / 4, left = d->max_bytes > held ? d->max_bytes - held : 0;
    if (left < last_quarter && d->active > 1 && left / LAST_QUARTER_S < capacity)
        capacity = left / LAST_QUARTER_S;
    d->share = capacity == UINT64_MAX ? UINT64_MAX : fair_share(d, capacity, now_us);
}

/* The pace is only asked for while there is a backlog, and marks are only made while somebody comes or something goes. */
static void mark(struct door *d, int64_t now_us)
{
    if (now_us - d->marks[d->last].at_us < MARK_US)
        return;
    d->last = (d->last + 1) % DOOR_MARKS;
    d->n_marks += d->n_marks < DOOR_MARKS;
    d->marks[d->last] = (struct door_mark){.at_us = now_us, .taken = d->taken, .gone = d->gone};
    judge(d, now_us);
}

/* ---- coming and going */

/* A first one is always taken, however large. */
static bool has_share(const struct door *d, const struct door_slot *s, uint64_t bytes, int64_t now_us)
{
    uint64_t taken = lately(s->taken, s->taken_before, now_us);
    return taken == 0 || d->share == UINT64_MAX || taken + bytes <= d->share;
}

bool door_turns_away(struct door *d, uint64_t project, uint64_t bytes, int64_t now_us)
{
    struct door_slot *s = slot_of(d, project, now_us);
    bool away = !has_share(d, s, bytes, now_us);
    if (away) {
        s->offered += bytes;
        mark(d, now_us);
    }
    return away;
}

bool door_offer(struct door *d, uint64_t project, uint64_t bytes, uint64_t pending_bytes, int64_t now_us)
{
    struct door_slot *s = slot_of(d, project, now_us);
    s->offered += bytes;
    mark(d, now_us);
    if (!has_share(d, s, bytes, now_us))
        return false;
    uint64_t left = d->max_pending_bytes > pending_bytes ? d->max_pending_bytes - pending_bytes : 0;
    return d->active < 2 || s->pending == 0 || s->pending + bytes <= 2 * left;
}

unsigned door_take(struct door *d, uint64_t project, uint64_t bytes, int64_t now_us)
{
    struct door_slot *s = slot_of(d, project, now_us);
    s->taken += bytes;
    s->pending += bytes;
    d->taken += bytes;
    return (unsigned)(s - d->slots);
}

void door_settled(struct door *d, unsigned slot, uint64_t bytes)
{
    assert(slot < DOOR_SLOTS && bytes <= d->slots[slot].pending);
    d->slots[slot].pending -= bytes;
}

void door_gone(struct door *d, uint64_t bytes, int64_t now_us)
{
    if (now_us - d->gone_us > STANDSTILL_US && age_us(d, now_us) > STANDSTILL_US)
        d->resumed_us = now_us;
    d->gone += bytes;
    d->gone_us = now_us;
    mark(d, now_us);
}

unsigned door_retry_s(const struct door *d)
{
    uint64_t s = d->pace ? (d->taken - d->gone) / d->pace + 1 : RETRY_MAX_S;
    return s < RETRY_MAX_S ? (unsigned)s : RETRY_MAX_S;
}
