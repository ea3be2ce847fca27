/* test_door.c: who may append when more comes than is digested (src/spool/door.c). The clock is an argument, so minutes pass in milliseconds: a digest
 * that removes `pace` bytes per second is played against projects that offer theirs, a millisecond at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "door.h"
#include "picket/base/clock.h"

enum { EVENT = 1000, TICK_US = 1000, PROJECTS = 40, DELAY_US = 2 * 1000 * 1000 };
#define MIB (UINT64_C(1) << 20)
#define START_US (INT64_C(1000) * CLOCK_US_PER_S)

struct sender {
    uint64_t project, per_second; /* bytes */
    uint64_t due, offered, taken; /* due: in millionths */
};

struct scene {
    struct door door;
    int64_t now_us;
    uint64_t pace, due, held, most_held; /* of the digest */
    int64_t lump_us, next_us;            /* how far its commits lie apart, on average; when the next one is due */
    uint32_t dice;
    struct sender senders[PROJECTS];
    unsigned n;
};

static void begin(struct scene *s, int64_t delay_us, uint64_t max_bytes, uint64_t pace)
{
    *s = (struct scene){.now_us = START_US, .pace = pace};
    door_init(&s->door, delay_us, max_bytes, 16 * MIB, 0, s->now_us);
}

static struct sender *add(struct scene *s, uint64_t project, uint64_t per_second)
{
    s->senders[s->n] = (struct sender){.project = project, .per_second = per_second};
    return &s->senders[s->n++];
}

static void send_due(struct scene *s, struct sender *one)
{
    one->due += one->per_second * TICK_US;
    for (; one->due >= EVENT * UINT64_C(1000000); one->due -= EVENT * UINT64_C(1000000)) {
        one->offered += EVENT;
        if (!door_offer(&s->door, one->project, EVENT, 0, s->now_us))
            continue;
        door_settled(&s->door, door_take(&s->door, one->project, EVENT, s->now_us), EVENT);
        one->taken += EVENT;
        s->held += EVENT;
    }
}

static void digest_due(struct scene *s)
{
    s->due += s->pace * TICK_US;
    if (s->now_us < s->next_us)
        return;
    s->dice = s->dice * 1664525 + 1013904223;
    s->next_us = s->now_us + s->lump_us / 4 + s->lump_us * 3 / 2 * (int64_t)(s->dice >> 16) / 65536;
    uint64_t n = s->due / 1000000 < s->held ? s->due / 1000000 : s->held;
    if (n >= 50 * EVENT || (n > 0 && n == s->held)) { /* in batches */
        door_gone(&s->door, n, s->now_us);
        s->held -= n;
        s->due -= n * 1000000;
    }
    if (s->held == 0)
        s->due = 0;
}

static void play(struct scene *s, int64_t us)
{
    for (int64_t end = s->now_us + us; s->now_us < end; s->now_us += TICK_US) {
        for (unsigned i = 0; i < s->n; i++)
            send_due(s, &s->senders[i]);
        digest_due(s);
        if (s->held > s->most_held)
            s->most_held = s->held;
    }
}

static void forget_counts(struct scene *s)
{
    for (unsigned i = 0; i < s->n; i++)
        s->senders[i].offered = s->senders[i].taken = 0;
    s->most_held = 0;
}

static void lets_everything_in_that_is_digested_in_time(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, DELAY_US, UINT64_C(8) << 30, 10 * MIB);
    struct sender *a = add(&s, 1, 6 * MIB), *b = add(&s, 2, 3 * MIB);
    play(&s, 60 * CLOCK_US_PER_S);
    assert_true(a->taken == a->offered && b->taken == b->offered);
}

/* What the module is for. The backlog never takes 5 s, those who bring little are never refused, and the digest is never idle. */
static void holds_a_flood_to_the_pace(void **state)
{
    (void)state;
    for (uint64_t times = 2; times <= 10; times += 4) {
        struct scene s;
        begin(&s, DELAY_US, UINT64_C(8) << 30, 10 * MIB);
        struct sender *flood = add(&s, 1, times * 10 * MIB), *little = add(&s, 2, 20 * EVENT), *more = add(&s, 3, MIB);
        play(&s, 30 * CLOCK_US_PER_S);
        assert_true(s.most_held < 4 * s.pace);
        assert_true(little->taken == little->offered && more->taken == more->offered);
        forget_counts(&s);
        play(&s, 60 * CLOCK_US_PER_S);
        assert_true(s.most_held < 3 * s.pace);
        assert_true(little->taken == little->offered && more->taken == more->offered);
        uint64_t taken = flood->taken + little->taken + more->taken;
        assert_true(taken > 60 * s.pace / 100 * 97 && taken <= 60 * s.pace / 100 * 103);
        assert_true(flood->taken > 60 * (s.pace / 100) * 80);
        assert_in_range(door_retry_s(&s.door), 1, 4);
    }
}

/* A slow database commits a batch of 1,000 events once in a while, or two at once, and the low-water mark jumps. */
static void lumps_are_no_pace(void **state)
{
    (void)state;
    for (int64_t lump_us = 200 * 1000; lump_us <= 800 * 1000; lump_us += 300 * 1000) {
        struct scene s;
        begin(&s, DELAY_US, UINT64_C(8) << 30, 4 * MIB);
        s.lump_us = lump_us;
        struct sender *flood = add(&s, 1, 12 * MIB), *little = add(&s, 2, 20 * EVENT);
        play(&s, 300 * CLOCK_US_PER_S);
        assert_true(s.most_held * CLOCK_US_PER_S < s.pace * (uint64_t)(3 * CLOCK_US_PER_S + 3 * lump_us)); /* lumps are also waited for */
        assert_true(little->taken == little->offered);
        assert_true(flood->taken > 300 * (s.pace / 100) * 90 && flood->taken <= 300 * (s.pace / 100) * 103);
    }
}

static void floods_share_alike(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, DELAY_US, UINT64_C(8) << 30, 10 * MIB);
    for (unsigned i = 0; i < 4; i++)
        add(&s, i + 1, 10 * MIB);
    play(&s, 60 * CLOCK_US_PER_S);
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(s.senders[i].taken, 60 * s.pace / 100 * 20, 60 * s.pace / 100 * 30);
}

/* A pace that was measured while little came says nothing about what the digest can do. */
static void a_burst_after_a_trickle_is_let_in(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, DELAY_US, UINT64_C(8) << 30, 10 * MIB);
    struct sender *one = add(&s, 1, 2 * EVENT);
    play(&s, 30 * CLOCK_US_PER_S);
    one->per_second = 20 * MIB; /* 1.5 s to digest */
    play(&s, CLOCK_US_PER_S + CLOCK_US_PER_S / 2);
    one->per_second = 2 * EVENT;
    play(&s, 10 * CLOCK_US_PER_S);
    assert_true(one->taken == one->offered);
    assert_int_equal(s.held, 0);
}

/* While the database is away everything is taken; when it is back, what came meanwhile is no reason to refuse an ordinary rate. */
static void an_outage_is_no_flood(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, DELAY_US, UINT64_C(8) << 30, 10 * MIB);
    struct sender *a = add(&s, 1, 3 * MIB), *b = add(&s, 2, MIB);
    play(&s, 10 * CLOCK_US_PER_S);
    s.pace = 0;
    play(&s, 60 * CLOCK_US_PER_S);
    s.pace = 10 * MIB;
    play(&s, 60 * CLOCK_US_PER_S);
    assert_true(a->taken == a->offered && b->taken == b->offered);
    assert_true(s.held < MIB);
}

/* Nothing is digested and the spool fills up: one project alone may fill it, of several none takes the last place of the others. */
static void the_last_quarter_is_shared(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, DELAY_US, 600 * MIB, 0);
    struct sender *flood = add(&s, 1, 20 * MIB);
    play(&s, 20 * CLOCK_US_PER_S);
    assert_true(flood->taken == flood->offered);
    struct sender *little = add(&s, 2, 20 * EVENT);
    play(&s, 120 * CLOCK_US_PER_S);
    assert_true(flood->taken < flood->offered && little->taken == little->offered);
    assert_true(s.held < 600 * MIB);
}

static void memory_is_shared(void **state)
{
    (void)state;
    struct door d;
    int64_t now = START_US;
    uint64_t pending = 0;
    unsigned slot = 0;
    door_init(&d, 0, UINT64_C(8) << 30, 16 * MIB, 0, now);
    for (; pending + MIB <= 16 * MIB; pending += MIB) { /* alone: all of it */
        assert_true(door_offer(&d, 1, MIB, pending, now));
        slot = door_take(&d, 1, MIB, now);
    }
    assert_true(door_offer(&d, 2, 1, pending, now));
    now += 100 * 1000;
    assert_false(door_offer(&d, 1, 1, pending, now)); /* two are active */
    door_settled(&d, slot, 8 * MIB);
    assert_true(door_offer(&d, 1, 1, pending - 8 * MIB, now));
}

/* A first offer is taken however large it is, and a question beforehand says the same as the offer. */
static void even_a_flood_gets_something_in(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, DELAY_US, UINT64_C(8) << 30, MIB);
    add(&s, 1, 20 * MIB);
    play(&s, 10 * CLOCK_US_PER_S);
    assert_true(door_turns_away(&s.door, 1, 100 * MIB, s.now_us));
    assert_false(door_offer(&s.door, 1, 100 * MIB, 0, s.now_us));
    assert_false(door_turns_away(&s.door, 77, 100 * MIB, s.now_us));
    assert_true(door_offer(&s.door, 77, 100 * MIB, 0, s.now_us));
}

/* More projects than slots: they share some, and nobody is locked out for good. */
static void many_projects(void **state)
{
    (void)state;
    struct door d;
    int64_t now = START_US;
    door_init(&d, DELAY_US, UINT64_C(8) << 30, 16 * MIB, 0, now);
    for (unsigned round = 0; round < 50; round++) {
        for (uint64_t project = 1; project <= 2000; project++) {
            assert_true(door_offer(&d, project, EVENT, 0, now));
            door_settled(&d, door_take(&d, project, EVENT, now), EVENT);
            door_gone(&d, EVENT, now);
        }
        now += 100 * 1000;
    }
    for (unsigned i = 0; i < DOOR_SLOTS; i++)
        assert_int_equal(d.slots[i].pending, 0);
}

static void without_a_delay_nothing_is_refused(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, 0, UINT64_C(8) << 30, 10 * MIB);
    struct sender *flood = add(&s, 1, 50 * MIB), *other = add(&s, 2, MIB);
    play(&s, 60 * CLOCK_US_PER_S);
    assert_true(flood->taken == flood->offered && other->taken == other->offered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_everything_in_that_is_digested_in_time),
        cmocka_unit_test(holds_a_flood_to_the_pace),
        cmocka_unit_test(lumps_are_no_pace),
        cmocka_unit_test(floods_share_alike),
        cmocka_unit_test(a_burst_after_a_trickle_is_let_in),
        cmocka_unit_test(an_outage_is_no_flood),
        cmocka_unit_test(the_last_quarter_is_shared),
        cmocka_unit_test(memory_is_shared),
        cmocka_unit_test(even_a_flood_gets_something_in),
        cmocka_unit_test(many_projects),
        cmocka_unit_test(without_a_delay_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
