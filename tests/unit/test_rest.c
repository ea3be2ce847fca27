/* What is no event, when the database is too slow for all of it at once: stored in parts, each record once, whatever ends between two parts (rest.c). */
#include "digest_kit.h"

static struct sent event_at(int64_t project, int64_t received_us, const char *title)
{
    return (struct sent){.project = project, .event_id = id_random(), .received_us = received_us, .title = title};
}

/* A batch of feedback, and of an event that comes twice; feedback is stored so slowly that not even half of it is in time. */
enum { SLOW_FEEDBACK = 8, SLOW_QUERY_MS = 250 };

static int64_t send_slow_feedback(struct stage *s)
{
    int64_t project = stage_project(s), now = clock_wall_us();
    struct sent items[SLOW_FEEDBACK + 2];
    now -= now % CLOCK_US_PER_HOUR; /* all in one hour: one batch */
    for (unsigned i = 0; i < ARRAY_LEN(items); i++) {
        items[i] = event_at(project, now + i * 1000, "twin");
        if (i < SLOW_FEEDBACK) {
            items[i].kind = SPOOL_FEEDBACK;
            items[i].payload = "{\"contexts\": {\"feedback\": {\"message\": \"slow\"}}}";
        }
    }
    items[SLOW_FEEDBACK + 1].event_id = items[SLOW_FEEDBACK].event_id;
    assert_int_equal(kit_run(&s->k, STMT_TEST_DIGEST_SLOW), 0);
    stage_send(s, items, ARRAY_LEN(items));
    s->query_ms = SLOW_QUERY_MS;
    return project;
}

static int64_t count_feedback(struct stage *s)
{
    return kit_number(&s->k, STMT_TEST_DIGEST_FEEDBACK);
}

static void assert_rest(struct stage *s, int64_t project, const char *wanted)
{
    struct op op;
    op_init(&op, STMT_TEST_DIGEST_REST);
    op.q.done = op_done_text;
    db_bind_i32(&op.q, (int32_t)project);
    assert_int_equal(op_run(&s->k, &op), 0);
    assert_string_equal(op.text, wanted);
}

static void a_rest_that_takes_too_long_is_stored_in_parts(void **state)
{
    struct stage *s = *state;
    int64_t project = send_slow_feedback(s);
    stage_digest(s, 1, 100);
    stage_drain(s);
    struct digest_stats stats = stage_stats(s);
    assert_int_equal(stats.batches, 1);
    assert_int_equal(stats.stored, 1);
    assert_int_equal(stats.duplicates, 1);
    assert_int_equal(stats.dead, 0);
    assert_rest(s, project, "8 stored, 8 accounted for, 1 copies, 1 claims");
    assert_everything_equals_the_rows(s);
}

/* Ended between two parts, and delivered again: in parts, or record by record to a database that is quick now: then the copy of the event claims its
 * range by itself, and counts. */
static void parts_of_a_rest_are_not_counted_twice(void **state)
{
    struct stage *s = *state;
    for (int quick = 0; quick <= 1; quick++) {
        assert_int_equal(kit_run(&s->k, STMT_TEST_DIGEST_CLEAN), 0);
        int64_t project = send_slow_feedback(s);
        stage_digest(s, 1, 100);
        KIT_UNTIL(&s->k, count_feedback(s) > 0);
        stage_digest_close(s, 0);
        stage_spool_close(s);
        assert_in_range(count_feedback(s), 1, SLOW_FEEDBACK - 1);
        if (quick)
            assert_int_equal(kit_run(&s->k, STMT_TEST_DIGEST_QUICK), 0);
        stage_spool_open(s);
        assert_false(is_drained(s));
        stage_digest(s, 1, quick ? 1 : 100);
        stage_drain(s);
        stage_digest_close(s, KIT_LIMIT_MS);
        assert_rest(s, project, quick ? "8 stored, 8 accounted for, 1 copies, 10 claims" : "8 stored, 8 accounted for, 1 copies, 1 claims");
        assert_everything_equals_the_rows(s);
    }
}

/* In parts, one of which the database refuses: it is found in its part. */
static void poison_in_a_part(void **state)
{
    struct stage *s = *state;
    int64_t now = clock_wall_us() / CLOCK_US_PER_HOUR * CLOCK_US_PER_HOUR, project = send_slow_feedback(s);
    struct sent poison = event_at(project, now + 4500, "");
    poison.kind = SPOOL_FEEDBACK;
    poison.payload = "{\"contexts\": {\"feedback\": {\"message\": \"Poison\"}}}";
    stage_send(s, &poison, 1);
    stage_digest(s, 1, 100);
    stage_drain(s);
    assert_int_equal(stage_stats(s).batches, 1);
    assert_int_equal(stage_stats(s).dead, 1);
    assert_int_equal(count_dead(s, project), 1);
    assert_rest(s, project, "8 stored, 8 accounted for, 1 copies, 1 claims");
    assert_everything_equals_the_rows(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(a_rest_that_takes_too_long_is_stored_in_parts),
        STAGED(parts_of_a_rest_are_not_counted_twice),
        STAGED(poison_in_a_part),
    };
    return cmocka_run_group_tests(tests, start_migrated_cluster, stop_cluster);
}
