/* The digest on a real spool and a real PostgreSQL: whatever comes twice, in whatever order, through however many workers and whatever
 * breaks meanwhile, every event is stored once and every counter equals the rows that it counts (architecture "Digest", "Duplicates"). */
#include "digest_kit.h"

#include <signal.h>

/* The midnight (UTC) before now. This day, the one before and some after it have partitions; older ones share the default partition. */
static int64_t today_us(void)
{
    int64_t now = clock_wall_us();
    return now - now % CLOCK_US_PER_DAY;
}

static struct sent event_at(int64_t project, int64_t received_us, const char *title)
{
    return (struct sent){.project = project, .event_id = id_random(), .received_us = received_us, .title = title};
}

/* ---- once and once only */

static void same_id_in_one_batch(void **state)
{
    struct stage *s = *state;
    int64_t project = stage_project(s), now = clock_wall_us();
    struct sent events[] = {event_at(project, now, "twin"), event_at(project, now + 1, "twin"), event_at(project, now + 1, "other")};
    events[1].event_id = events[0].event_id;
    struct digest_stats stats = stage_run(s, events, ARRAY_LEN(events), 1, 100);
    assert_in_range(stats.batches, 1, 2); /* two when the hour ends between the first and the others */
    assert_int_equal(stats.stored, 2);
    assert_int_equal(stats.duplicates, 1);
    assert_int_equal(count_copies(s, project, &events[0].event_id), 1);
    assert_issue(s, project, "twin", 1, "new");
    assert_issue(s, project, "other", 1, "new");
    assert_int_equal(find_issue(s, project, "twin").last_us, now);
    assert_in_range(kit_number(&s->k, STMT_TEST_DIGEST_PARTITIONS), 2, 8); /* a new spool asks for no days of long ago */
    assert_everything_equals_the_rows(s);
}

static void same_id_in_two_batches(void **state)
{
    struct stage *s = *state;
    int64_t project = stage_project(s), now = clock_wall_us();
    struct sent events[] = {event_at(project, now, "again"), event_at(project, now, "again"), event_at(project, now, "again")};
    events[2].event_id = events[0].event_id;
    struct digest_stats stats = stage_run(s, events, ARRAY_LEN(events), 1, 1);
    assert_int_equal(stats.batches, 3);
    assert_int_equal(stats.stored, 2);
    assert_int_equal(stats.duplicates, 1);
    assert_issue(s, project, "again", 2, "new");
    assert_everything_equals_the_rows(s);
}

/* Every id in every batch, and four batches at once: one is held up with all of them inserted and not committed, the others meet them. */
static void same_ids_in_four_workers_at_once(void **state)
{
    enum { IDS = 60, COPIES = 8 };
    struct stage *s = *state;
    int64_t project = stage_project(s), now = clock_wall_us();
    struct sent events[IDS * COPIES];
    for (unsigned i = 0; i < ARRAY_LEN(events); i++) {
        events[i] = event_at(project, now, "copied");
        if (i >= IDS)
            events[i].event_id = events[i % IDS].event_id;
    }
    struct sent first = event_at(project, now, "copied"); /* the issue is there: nobody waits for its number */
    assert_int_equal(stage_run(s, &first, 1, 1, 1).stored, 1);
    stage_block(s, STMT_TEST_DIGEST_LOCK_COUNTERS);
    stage_send(s, events, ARRAY_LEN(events));
    stage_digest(s, 4, IDS);
    stage_until_waiting(s, 4);
    assert_int_equal(stage_stats(s).batches, 0);
    stage_unblock(s);
    stage_drain(s);
    assert_int_equal(stage_stats(s).stored, IDS);
    assert_int_equal(stage_stats(s).duplicates, IDS * (COPIES - 1));
    assert_issue(s, project, "copied", IDS + 1, "new");
    assert_everything_equals_the_rows(s);
}

/* Four workers have an event each of an issue that nobody knows yet. */
static void one_new_issue_in_four_workers_at_once(void **state)
{
    struct stage *s = *state;
    int64_t project = stage_project(s), now = clock_wall_us();
    struct sent events[] = {event_at(project, now, "news"), event_at(project, now, "news"), event_at(project, now, "news"),
                            event_at(project, now, "news")};
    stage_block(s, STMT_TEST_DIGEST_LOCK_COUNTERS);
    stage_send(s, events, ARRAY_LEN(events));
    stage_digest(s, 4, 1);
    stage_until_waiting(s, 4);
    stage_unblock(s);
    stage_drain(s);
    assert_int_equal(stage_stats(s).stored, 4);
    assert_int_equal(stage_stats(s).dead, 0);
    assert_issue(s, project, "news", 4, "new");
    assert_everything_equals_the_rows(s);
}

static void same_id_in_two_projects(void **state)
{
    struct stage *s = *state;
    int64_t now = clock_wall_us();
    struct sent events[] = {event_at(stage_project(s), now, "shared"), event_at(stage_project(s), now, "shared")};
    events[1].event_id = events[0].event_id;
    assert_int_equal(stage_run(s, events, 2, 1, 100).stored, 2);
    assert_issue(s, events[0].project, "shared", 1, "new");
    assert_issue(s, events[1].project, "shared", 1, "new");
    assert_everything_equals_the_rows(s);
}

/* An id is looked for on the day of its receipt, the day before and the day after, so within 24 hours it is always found. */
static void same_id_across_midnight(void **state)
{
    static const struct {
        int days_ago; /* of the midnight */
        int64_t first_us, second_us;
        unsigned stored;
    } cases[] = {
        {0, -1, 0, 1}, /* from partition to partition */
        {0, 1 - CLOCK_US_PER_DAY, 0, 1},
        {0, -CLOCK_US_PER_DAY / 2, CLOCK_US_PER_DAY / 2 - 1, 1},
        {1, -1, 0, 1},                                  /* from the default partition to a day's */
        {9, -1, 0, 1},                                  /* within the default partition */
        {0, CLOCK_US_PER_DAY, CLOCK_US_PER_DAY - 1, 1}, /* the clock was set back */
        {0, CLOCK_US_PER_DAY, 0, 1},
        {0, -1 - CLOCK_US_PER_DAY, 0, 2},
        {0, -10 * CLOCK_US_PER_DAY, 0, 2},
    };
    struct stage *s = *state;
    int64_t today = today_us();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t project = stage_project(s), midnight = today - cases[i].days_ago * CLOCK_US_PER_DAY;
        struct sent events[] = {event_at(project, midnight + cases[i].first_us, "late"),
                                event_at(project, midnight + cases[i].second_us, "late")};
        events[1].event_id = events[0].event_id;
        struct digest_stats stats = stage_run(s, events, 2, 1 + i % 3, 100);
        if (stats.stored != cases[i].stored)
            fail_msg("case %zu: stored %" PRIu64 " times", i, stats.stored);
        assert_int_equal(stats.stored + stats.duplicates, 2);
        assert_issue(s, project, "late", cases[i].stored, "new");
    }
    assert_everything_equals_the_rows(s);
}

/* Yesterday's last batch takes long to read, today's first is small: the worker that has the small one must not be the first to store,
 * because the other would not look for the id where it is. */
static void yesterday_is_stored_before_today(void **state)
{
    enum { MIDNIGHTS = 4, BEFORE = 30 };
    struct stage *s = *state;
    int64_t project = stage_project(s), midnight = today_us();
    struct sent events[BEFORE + 1];
    stage_digest(s, 3, 1000);
    for (unsigned round = 0; round < MIDNIGHTS; round++, midnight += CLOCK_US_PER_DAY) {
        for (unsigned i = 0; i < BEFORE; i++) {
            events[i] = event_at(project, midnight - 1, "slow");
            events[i].padding = 100000;
        }
        events[BEFORE] = event_at(project, midnight, "slow");
        events[BEFORE].event_id = events[BEFORE - 1].event_id;
        stage_send(s, events, ARRAY_LEN(events));
        stage_drain(s);
        assert_int_equal(count_copies(s, project, &events[BEFORE].event_id), 1);
    }
    assert_int_equal(stage_stats(s).stored, MIDNIGHTS * BEFORE);
    assert_issue(s, project, "slow", MIDNIGHTS * BEFORE, "new");
    assert_everything_equals_the_rows(s);
}

/* ---- everything counted equals the rows, whatever comes */

enum { STREAM_PROJECTS = 3, STREAM_ISSUES = 12, STREAM_EVENTS = 1500 };

/* A stream in the order of receipt over some days, and how many of it must be stored. */
struct stream {
    uint64_t rng;
    int64_t projects[STREAM_PROJECTS], now_us;
    struct sent events[STREAM_EVENTS];
    int64_t stored_day[STREAM_EVENTS]; /* of the event's id: the day of its youngest row */
    unsigned n, n_stored;
};

static const char *const stream_titles[STREAM_ISSUES] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};

static void stream_next(struct stream *st)
{
    struct sent *e = &st->events[st->n];
    bool quick = random_below(&st->rng, 10) != 0;
    st->now_us += random_below(&st->rng, quick ? 1000 : 3600) * (int64_t)(quick ? 1000 : CLOCK_US_PER_S);
    int64_t day = st->now_us / CLOCK_US_PER_DAY;
    if (st->n > 0 && random_below(&st->rng, 3) == 0) {
        unsigned of =
            random_below(&st->rng, 2) ? random_below(&st->rng, st->n) : st->n - 1 - random_below(&st->rng, st->n < 20 ? st->n : 20);
        *e = st->events[of];
        st->stored_day[st->n] = st->stored_day[of];
    } else {
        *e = (struct sent){.project = st->projects[random_below(&st->rng, STREAM_PROJECTS)],
                           .event_id = random_id(&st->rng),
                           .title = stream_titles[random_below(&st->rng, STREAM_ISSUES)]};
        st->stored_day[st->n] = INT64_MIN;
    }
    e->received_us = st->now_us;
    if (st->stored_day[st->n] < day - 1) {
        st->n_stored++;
        for (unsigned i = 0; i <= st->n; i++)
            if (i == st->n || id_eq(&st->events[i].event_id, &e->event_id))
                st->stored_day[i] = day;
    }
    st->n++;
}

static void stream_begin(struct stage *s, struct stream *st, uint64_t seed)
{
    *st = (struct stream){.rng = seed, .now_us = today_us() - 3 * CLOCK_US_PER_DAY};
    for (unsigned i = 0; i < STREAM_PROJECTS; i++)
        st->projects[i] = stage_project(s);
}

/* What holds when a stream is digested, of the whole database and of the stream. */
static void assert_stream(struct stage *s, const struct stream *st)
{
    int64_t stored = 0;
    for (unsigned i = 0; i < STREAM_PROJECTS; i++) {
        stored += count_events(s, st->projects[i]);
        assert_int_equal(count_dead(s, st->projects[i]), 0);
    }
    assert_int_equal(stored, st->n_stored);
    assert_everything_equals_the_rows(s);
}

static uint64_t new_seed(void)
{
    const char *given = getenv("DIGEST_SEED");
    uint64_t seed = (uint64_t)clock_wall_us();
    if (given && !str_to_u64(str_from(given), &seed))
        fail_msg("DIGEST_SEED is a number");
    print_message("# DIGEST_SEED=%" PRIu64 "\n", seed);
    return seed;
}

/* Sent in pieces while the workers are at it. */
static void counters_equal_rows_for_any_stream(void **state)
{
    static const struct {
        unsigned workers, batch_records;
    } runs[] = {{1, 1000}, {2, 40}, {4, 5}, {3, 100}};
    static struct stream st;
    struct stage *s = *state;
    uint64_t seed = new_seed();
    for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
        stream_begin(s, &st, seed + i);
        stage_digest(s, runs[i].workers, runs[i].batch_records);
        while (st.n < STREAM_EVENTS) {
            unsigned from = st.n, piece = 1 + random_below(&st.rng, 300);
            while (st.n < STREAM_EVENTS && st.n < from + piece)
                stream_next(&st);
            stage_send(s, st.events + from, st.n - from);
        }
        stage_drain(s);
        struct digest_stats stats = stage_stats(s);
        assert_int_equal(stats.stored, st.n_stored);
        assert_int_equal(stats.records, STREAM_EVENTS);
        assert_int_equal(stats.duplicates, STREAM_EVENTS - st.n_stored);
        stage_digest_close(s, KIT_LIMIT_MS);
        assert_stream(s, &st);
    }
}

/* ---- transitions (contract §3.6 "→ Ours") */

static void only_a_new_event_reopens_a_resolved_issue(void **state)
{
    struct stage *s = *state;
    int64_t project = stage_project(s), now = clock_wall_us();
    struct sent first = event_at(project, now, "bug");
    assert_int_equal(stage_run(s, &first, 1, 1, 100).stored, 1);
    assert_issue(s, project, "bug", 1, "new");
    change_issue(s, project, "bug", "resolve", now + 100);

    struct sent duplicate = first;
    duplicate.received_us = now + 200;
    assert_int_equal(stage_run(s, &duplicate, 1, 1, 100).duplicates, 1);
    assert_issue(s, project, "bug", 1, "new resolved");
    assert_true(find_issue(s, project, "bug").resolved);

    struct sent before = event_at(project, now + 99, "bug"); /* received before it was resolved, digested after */
    assert_int_equal(stage_run(s, &before, 1, 1, 100).stored, 1);
    assert_issue(s, project, "bug", 2, "new resolved");
    assert_true(find_issue(s, project, "bug").resolved);

    struct sent after[] = {event_at(project, now + 300, "bug"), event_at(project, now + 301, "bug"), event_at(project, now + 302, "bug")};
    assert_int_equal(stage_run(s, after, 3, 1, 100).stored, 3);
    assert_issue(s, project, "bug", 5, "new resolved regressed");
    assert_false(find_issue(s, project, "bug").resolved);
    assert_everything_equals_the_rows(s);
}

static void a_muted_issue_stays_muted(void **state)
{
    struct stage *s = *state;
    int64_t project = stage_project(s), now = clock_wall_us();
    struct sent first = event_at(project, now, "noise"), second = event_at(project, now + 2, "noise");
    assert_int_equal(stage_run(s, &first, 1, 1, 100).stored, 1);
    change_issue(s, project, "noise", "mute", now + 1);
    assert_int_equal(stage_run(s, &second, 1, 1, 100).stored, 1);
    assert_issue(s, project, "noise", 2, "new muted");
    struct issue issue = find_issue(s, project, "noise");
    assert_true(issue.muted && !issue.resolved);
    assert_everything_equals_the_rows(s);
}

/* ---- poison */

static void assert_letter(const struct dead *d, int i, const struct sent *e, const char *reason, const char *sqlstate)
{
    assert_true(id_eq(&d->letters[i].event_id, &e->event_id));
    assert_string_equal(d->letters[i].reason, reason);
    assert_string_equal(d->letters[i].sqlstate, sqlstate);
    AUTO_BUF struct buf payload = {0};
    put_payload(&payload, e);
    assert_true(str_eq(buf_str(&d->letters[i].payload), buf_str(&payload)));
}

/* One batch of forty: what cannot be read, what the database refuses (first of its issue, and in an issue of others), and good ones.
 * A redelivery of it all adds nothing but an attempt. */
static void poison_dies_alone(void **state)
{
    enum { N = 40, REFUSED = 17, TEXT = 20, LIST = 30, CUT = 39 };
    struct stage *s = *state;
    int64_t project = stage_project(s), now = clock_wall_us();
    struct sent events[N];
    now -= now % CLOCK_US_PER_HOUR; /* all in one hour: one batch */
    for (unsigned i = 0; i < N; i++)
        events[i] = event_at(project, now + i * 1000, i % 4 ? "good" : "fine");
    events[REFUSED].title = "Poison";
    events[TEXT].payload = "no JSON at all";
    events[LIST].payload = "[1, 2]";
    events[CUT].payload = "{\"message\": \"cut";
    static const unsigned char deaths[] = {REFUSED, TEXT, LIST, CUT};
    static const char *const reasons[][2] = {{"DB_FAILED", "23514"}, {"BAD_JSON", ""}, {"NOT_AN_OBJECT", ""}, {"BAD_JSON", ""}};

    stage_spool_close(s);
    cursor_keep(s);
    stage_spool_open(s);
    assert_int_equal(kit_run(&s->k, STMT_TEST_DIGEST_REFUSE), 0);
    for (int attempt = 1; attempt <= 2; attempt++) {
        struct digest_stats stats = stage_run(s, events, attempt == 1 ? N : 0, 2, 100);
        assert_int_equal(stats.dead, ARRAY_LEN(deaths));
        assert_int_equal(stats.stored, attempt == 1 ? N - ARRAY_LEN(deaths) : 0);
        assert_int_equal(count_events(s, project), N - ARRAY_LEN(deaths));
        AUTO_DEAD struct dead dead = {0};
        find_dead(s, project, &dead);
        assert_int_equal(dead.n, ARRAY_LEN(deaths));
        for (int i = 0; i < dead.n; i++) {
            assert_letter(&dead, i, &events[deaths[i]], reasons[i][0], reasons[i][1]);
            assert_int_equal(dead.letters[i].attempts, attempt);
        }
        assert_int_equal(find_issue(s, project, "Poison").n, 0);
        assert_everything_equals_the_rows(s);
        stage_spool_close(s);
        cursor_put(s);
        assert_int_equal(kit_run(&s->k, STMT_TEST_DIGEST_UNCLAIM), 0); /* as if it had been cut before the end */
        stage_spool_open(s);
    }
    assert_int_equal(kit_run(&s->k, STMT_TEST_DIGEST_ACCEPT), 0);
    struct digest_stats stats = stage_run(s, NULL, 0, 1, 100); /* what was refused is welcome when the reason is gone */
    assert_int_equal(stats.stored, 1);
    assert_issue(s, project, "Poison", 1, "new");
    assert_everything_equals_the_rows(s);
}

/* Many of them, in issues that good events have too, first and last of the batch included. */
static void poison_everywhere(void **state)
{
    enum { N = 64 };
    struct stage *s = *state;
    int64_t project = stage_project(s), now = clock_wall_us();
    struct sent events[N];
    for (unsigned i = 0; i < N; i++) {
        events[i] = event_at(project, now, "good");
        memset(&events[i].event_id, (int)i + 1, sizeof events[i].event_id); /* so that the order is known */
    }
    static const unsigned char deaths[] = {0, 1, 31, 32, 63};
    for (unsigned i = 0; i < ARRAY_LEN(deaths); i++)
        events[deaths[i]].payload = "{\"exception\": [{\"type\": \"Poison\"}], \"fingerprint\": [\"good\"]}";
    for (unsigned i = 0; i < N; i += 2)
        if (!events[i].payload)
            events[i].payload = "{\"exception\": [{\"type\": \"joined\"}], \"fingerprint\": [\"good\"]}";
    assert_int_equal(kit_run(&s->k, STMT_TEST_DIGEST_REFUSE), 0);
    struct digest_stats stats = stage_run(s, events, N, 1, N);
    assert_int_equal(kit_run(&s->k, STMT_TEST_DIGEST_ACCEPT), 0);
    assert_int_equal(stats.batches, 1);
    assert_int_equal(stats.dead, ARRAY_LEN(deaths));
    assert_int_equal(stats.stored, N - ARRAY_LEN(deaths));
    assert_int_equal(count_dead(s, project), ARRAY_LEN(deaths));
    assert_int_equal(count_events(s, project), N - ARRAY_LEN(deaths));
    assert_everything_equals_the_rows(s);
}

/* ---- projects that are gone */

static void a_project_deleted_before_its_events_are_digested(void **state)
{
    struct stage *s = *state;
    int64_t gone = stage_project(s), stays = stage_project(s), now = clock_wall_us();
    struct sent events[] = {event_at(gone, now, "x"), event_at(stays, now, "x"), event_at(gone, now, "y"),
                            event_at(INT64_C(1) << 40, now, "never was"), event_at(stays, now, "y")};
    stage_send(s, events, 2);
    delete_project(&s->k, gone);
    struct digest_stats stats = stage_run(s, events + 2, 3, 1, 100);
    assert_int_equal(stats.orphans, 3);
    assert_int_equal(stats.stored, 2);
    assert_int_equal(stats.dead, 0);
    assert_int_equal(count_events(s, gone), 0);
    assert_issue(s, stays, "x", 1, "new");
    assert_issue(s, stays, "y", 1, "new");
    assert_everything_equals_the_rows(s);
}

/* The batch has looked up the project's groups and waits to write: they are gone when it goes on. */
static void a_project_deleted_in_the_middle_of_a_batch(void **state)
{
    struct stage *s = *state;
    int64_t gone = stage_project(s), stays = stage_project(s), now = clock_wall_us();
    struct sent before[] = {event_at(gone, now, "x"), event_at(stays, now, "x")};
    struct sent after[] = {event_at(gone, now + 1, "x"), event_at(stays, now + 1, "x")};
    assert_int_equal(stage_run(s, before, 2, 1, 100).stored, 2);
    stage_block(s, STMT_TEST_DIGEST_LOCK_EVENTS);
    stage_send(s, after, 2);
    stage_digest(s, 1, 100);
    stage_until_waiting(s, 1);
    delete_project(&s->blocker, gone);
    assert_int_equal(kit_run(&s->blocker, STMT_MIGRATE_COMMIT), 0);
    stage_unblock(s);
    stage_drain(s);
    assert_int_equal(stage_stats(s).stored, 1);
    assert_int_equal(stage_stats(s).orphans, 1);
    assert_int_equal(stage_stats(s).dead, 0);
    assert_int_equal(count_events(s, gone), 1); /* the old one; nothing was added */
    assert_issue(s, stays, "x", 2, "new");
    assert_everything_equals_the_rows(s);
}

/* ---- a database that goes away */

static void fill_stream(struct stage *s, struct stream *st, uint64_t seed)
{
    stream_begin(s, st, seed);
    while (st->n < STREAM_EVENTS)
        stream_next(st);
}

/* Connections end when everything of their batches is done and nothing committed. */
static void connections_end_in_the_middle_of_batches(void **state)
{
    static struct stream st;
    struct stage *s = *state;
    fill_stream(s, &st, 6);
    stage_send(s, st.events, st.n);
    stage_block(s, STMT_TEST_DIGEST_LOCK_COUNTERS);
    stage_digest(s, 3, 50);
    for (int i = 0; i < 3; i++) {
        stage_until_waiting(s, 3);
        assert_int_equal(kit_number_of(&s->k, STMT_TEST_DIGEST_END, DIGEST_NAME),
                         3); /* gone when it returns: the next look sees new ones */
    }
    stage_unblock(s);
    stage_drain(s);
    assert_stream(s, &st);
}

static int64_t kill_a_backend(struct stage *s)
{
    int64_t pid = kit_number_of(&s->k, STMT_TEST_DIGEST_BACKEND, DIGEST_NAME);
    if (pid)
        assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    return pid;
}

/* A process of the server is killed: it ends all connections and recovers from its log. */
static void the_server_crashes(void **state)
{
    static struct stream st;
    struct stage *s = *state;
    fill_stream(s, &st, 7);
    stage_digest(s, 2, 10);
    stage_send(s, st.events, st.n / 2);
    KIT_UNTIL(&s->k, stage_stats(s).batches >= 20);
    stage_block(s, STMT_TEST_DIGEST_LOCK_COUNTERS);
    stage_send(s, st.events + st.n / 2, st.n - st.n / 2);
    stage_until_waiting(s, 1);
    assert_true(kill_a_backend(s) > 0);
    stage_unblock(s);
    stage_drain(s);
    stage_connect_again(s);
    assert_stream(s, &st);
}

static void the_server_stops_and_starts(void **state)
{
    static struct stream st;
    struct stage *s = *state;
    fill_stream(s, &st, 8);
    stage_digest(s, 2, 10);
    stage_send(s, st.events, st.n / 2);
    KIT_UNTIL(&s->k, stage_stats(s).batches >= 5);
    stage_block(s, STMT_TEST_DIGEST_LOCK_COUNTERS); /* until the server stops */
    stage_send(s, st.events + st.n / 2, 10);
    fixture_stop(&cluster);
    assert_false(is_drained(s));
    stage_unblock(s);
    stage_send(s, st.events + st.n / 2 + 10, st.n - st.n / 2 - 10); /* the door stays open */
    fixture_start(&cluster);
    stage_drain(s);
    stage_connect_again(s);
    assert_stream(s, &st);
}

/* ---- closing and opening again */

/* Closed again and again while batches are under way, with no time to finish; every other time the spool has forgotten how far it was. */
static void closing_midway_loses_and_repeats_nothing(void **state)
{
    static struct stream st;
    struct stage *s = *state;
    uint64_t rng = 9;
    fill_stream(s, &st, rng);
    unsigned sent = 0, rounds = 0;
    for (; sent < st.n || !is_drained(s); rounds++) {
        unsigned piece = 1 + random_below(&rng, 400), enough = random_below(&rng, 12);
        if (piece > st.n - sent)
            piece = st.n - sent;
        if (piece)
            stage_send(s, st.events + sent, piece);
        sent += piece;
        stage_digest(s, 1 + random_below(&rng, 3), 1 + random_below(&rng, 40));
        KIT_UNTIL(&s->k, is_drained(s) || stage_stats(s).batches >= enough);
        stage_digest_close(s, rounds % 3 ? 0 : KIT_LIMIT_MS);
        if (rounds % 4 == 0)
            continue; /* the same spool goes on */
        stage_spool_close(s);
        if (rounds % 2 && sent < st.n)
            cursor_put(s);
        cursor_keep(s);
        stage_spool_open(s);
    }
    assert_true(rounds > 5);
    assert_stream(s, &st);
}

/* Given back with everything done and nothing committed: the server goes on with the abandoned statements while the same records are
 * delivered again. */
static void an_abandoned_batch_may_still_commit(void **state)
{
    static struct stream st;
    struct stage *s = *state;
    fill_stream(s, &st, 12);
    stage_send(s, st.events, st.n);
    stage_block(s, STMT_TEST_DIGEST_LOCK_COUNTERS);
    stage_digest(s, 2, 30);
    stage_until_waiting(s, 2);
    int64_t began = clock_mono_us();
    stage_digest_close(s, 0);
    assert_true(clock_mono_us() - began < KIT_LIMIT_MS * INT64_C(1000) / 2); /* it does not wait for the statements */
    stage_digest(s, 2, 20);
    stage_until_waiting(s, 4);
    stage_unblock(s);
    stage_drain(s);
    assert_stream(s, &st);
}

/* What is committed is not even looked at again: the batches' rows say so. */
static void committed_ranges_are_skipped_when_the_cursor_was_not_saved(void **state)
{
    static struct stream st;
    struct stage *s = *state;
    fill_stream(s, &st, 10);
    stage_spool_close(s);
    cursor_keep(s);
    stage_spool_open(s);
    assert_int_equal(stage_run(s, st.events, st.n, 2, 30).stored, st.n_stored);
    stage_spool_close(s);
    cursor_put(s);
    stage_spool_open(s);
    assert_false(is_drained(s));
    struct sent more = event_at(st.projects[0], st.now_us, "more");
    struct digest_stats stats = stage_run(s, &more, 1, 2, 30);
    assert_int_equal(stats.records, 1);
    assert_int_equal(stats.stored, 1);
    st.n_stored++;
    assert_stream(s, &st);
}

/* ---- many workers, the same rows */

/* What two batches have in common, so that they meet there and not before. */
enum common { COMMON_NEW_ISSUE, COMMON_IDS, COMMON_ISSUES, COMMON_PROJECTS, COMMON_N };
enum { PAIR_PROJECTS = 4, PAIR_BATCH = 120 };

static void opposite_pair(uint64_t *rng, const int64_t projects[PAIR_PROJECTS], enum common common, const char *new_title, struct sent *one,
                          struct sent *other)
{
    int64_t now = today_us();
    for (unsigned i = 0; i < PAIR_BATCH; i++) {
        unsigned issue = random_below(rng, STREAM_ISSUES / 2);
        bool is_new = common == COMMON_NEW_ISSUE && i % 8 == 0;
        one[i] = event_at(projects[random_below(rng, PAIR_PROJECTS)], now, is_new ? new_title : stream_titles[issue]);
        struct sent *opposite = &other[PAIR_BATCH - 1 - i];
        *opposite = one[i];
        if (common == COMMON_PROJECTS)
            opposite->title = stream_titles[STREAM_ISSUES / 2 + issue];
        if (common >= COMMON_ISSUES || i % 2)
            opposite->event_id = random_id(rng);
    }
}

static void opposite_orders_do_not_deadlock(void **state)
{
    enum { ROUNDS = 128 }; /* enough for a wrong order of locks to show in most runs */
    static struct sent events[ROUNDS * 2 * PAIR_BATCH];
    static char titles[ROUNDS][ID_HEX + 1];
    struct stage *s = *state;
    int64_t projects[PAIR_PROJECTS], before = kit_number(&s->k, STMT_TEST_DEADLOCKS);
    uint64_t rng = 11;
    for (unsigned i = 0; i < PAIR_PROJECTS; i++)
        projects[i] = stage_project(s);
    for (size_t round = 0; round < ROUNDS; round++) {
        struct id128 title = random_id(&rng);
        struct sent *one = events + round * 2 * PAIR_BATCH;
        id_hex(&title, titles[round]);
        opposite_pair(&rng, projects, (enum common)(round % COMMON_N), titles[round], one, one + PAIR_BATCH);
    }
    stage_send(s, events, ARRAY_LEN(events));
    stage_digest(s, 2, PAIR_BATCH);
    stage_drain(s);
    assert_int_equal(stage_stats(s).duplicates, ROUNDS / 2 * PAIR_BATCH / 2);
    assert_int_equal(stage_stats(s).stored, ARRAY_LEN(events) - ROUNDS / 2 * PAIR_BATCH / 2);
    stage_digest_close(s, KIT_LIMIT_MS);
    KIT_UNTIL(&s->k, kit_number_of(&s->k, STMT_TEST_CONNECTIONS, DIGEST_NAME) == 0); /* whoever ends has told what it counted */
    assert_int_equal(kit_number(&s->k, STMT_TEST_DEADLOCKS), before);
    assert_everything_equals_the_rows(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(same_id_in_one_batch),
        STAGED(same_id_in_two_batches),
        STAGED(same_ids_in_four_workers_at_once),
        STAGED(one_new_issue_in_four_workers_at_once),
        STAGED(same_id_in_two_projects),
        STAGED(same_id_across_midnight),
        STAGED(yesterday_is_stored_before_today),
        STAGED(counters_equal_rows_for_any_stream),
        STAGED(only_a_new_event_reopens_a_resolved_issue),
        STAGED(a_muted_issue_stays_muted),
        STAGED(poison_dies_alone),
        STAGED(poison_everywhere),
        STAGED(a_project_deleted_before_its_events_are_digested),
        STAGED(a_project_deleted_in_the_middle_of_a_batch),
        STAGED(connections_end_in_the_middle_of_batches),
        STAGED(the_server_crashes),
        STAGED(the_server_stops_and_starts),
        STAGED(closing_midway_loses_and_repeats_nothing),
        STAGED(an_abandoned_batch_may_still_commit),
        STAGED(committed_ranges_are_skipped_when_the_cursor_was_not_saved),
        STAGED(opposite_orders_do_not_deadlock),
    };
    return cmocka_run_group_tests_name("digest", tests, start_migrated_cluster, stop_cluster);
}
