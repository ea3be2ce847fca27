"""Copies of events (sql/migrations/0022_duplicate_cases.sql): told to who asks why the second event with an id is not there, as often as they are counted;
few lines, however many copies; never twice, whatever is delivered again."""
import contextlib
import uuid

import psycopg
import pytest

import server
import wire
from client import accepted
from test_dead_letters import refusing
from test_outcomes import forget_cursor, totals, wait_totals
from waiting import until

ACCEPTED, DUPLICATE = ("error", "accepted", ""), ("error", "invalid", "duplicate")


@pytest.fixture(scope="module")
def one(cluster):
    """With one digest worker a batch sees what the batches before it have told."""
    picket = server.Picket(server.Directory(), DATABASE_URL=cluster.migrated_database(), DIGEST_WORKERS=1)
    try:
        yield picket.start()
    finally:
        picket.end()


@pytest.fixture
def project(one):
    return one.new_project()


def delivery(project):
    return project.api.read(project.path + "/delivery")["items"]


def told(project):
    """[(event's id, copies)] of the lines about copies, the newest first."""
    return [(uuid.UUID(case["event_id"]).hex, case["quantity"]) for case in delivery(project) if case["reason"] == "duplicate"]


def ids(events):
    return [event["event_id"] for event in events]


def is_waiting(picket):
    return picket.sql("""SELECT count(*) FROM pg_stat_activity
                          WHERE datname = current_database() AND application_name = 'picket digest' AND wait_event_type = 'Lock'""") == [(1,)]


@contextlib.contextmanager
def gathering(picket):
    """What is sent meanwhile is one batch."""
    project = picket.new_project()
    with psycopg.connect(picket.conninfo()) as blocker:
        blocker.execute("LOCK TABLE digest_batches IN EXCLUSIVE MODE")
        project.send(wire.error_event())
        until(lambda: is_waiting(picket), "the digest does not wait")
        yield


def store(project, *events):
    before = project.count()
    project.send(*events)
    project.wait_count(before + len(events))


def test_a_copy_is_told(one, project):
    event = wire.error_event(sdk={"name": "sentry.python", "version": "2.1.0"})
    store(project, event)
    assert delivery(project) == []
    project.send(event)
    wait_totals(project, {ACCEPTED: 1, DUPLICATE: 1})
    (case,) = delivery(project)
    ((key,),) = one.sql("SELECT id FROM project_keys WHERE project_id = %s", project.id)
    assert case == {"time": case["time"], "category": "error", "outcome": "invalid", "reason": "duplicate", "quantity": 1, "bytes": len(wire.dumps(event)),
                    "sdk": "sentry.python/2.1.0", "event_id": str(uuid.UUID(event["event_id"])), "key_id": key}
    ((at,),) = one.sql("SELECT received_at FROM events WHERE project_id = %s", project.id)
    assert case["time"] > at.strftime("%Y-%m-%dT%H:%M:%S.%f")


def test_more_copies_are_the_same_line_at_the_end(project):
    """Of another size: told is the newest."""
    event, other = wire.error_event(), wire.error_event()
    store(project, event, other)
    for n, sent in enumerate((event, other, {**event, "extra": {"a": "b"}}), 1):
        project.send(sent)
        wait_totals(project, {ACCEPTED: 2, DUPLICATE: n})
    assert told(project) == [(event["event_id"], 2), (other["event_id"], 1)]
    assert [case["bytes"] for case in delivery(project)] == [len(wire.dumps(sent)), len(wire.dumps(other))]


def test_copies_within_a_batch(one, project):
    """Of what is stored, of each other, and of another project's event with the same id."""
    stored, fresh, other = wire.error_event(), wire.error_event(sdk={"name": "sentry.go", "version": "1"}), one.new_project()
    store(project, stored)
    store(other, stored)
    with gathering(one):
        project.send(fresh, stored, fresh, wire.error_event(), fresh)
        other.send(fresh, stored, stored, stored)
    wait_totals(project, {ACCEPTED: 3, DUPLICATE: 3})
    wait_totals(other, {ACCEPTED: 2, DUPLICATE: 3})
    assert told(project) == [(fresh["event_id"], 2), (stored["event_id"], 1)] and told(other) == [(stored["event_id"], 3)]
    assert [(case["sdk"], case["bytes"]) for case in delivery(project)] == [("sentry.go/1", len(wire.dumps(fresh))), ("", len(wire.dumps(stored)))]
    with gathering(one):
        project.send(stored)
        other.send(stored)
    wait_totals(project, {ACCEPTED: 3, DUPLICATE: 4})
    wait_totals(other, {ACCEPTED: 2, DUPLICATE: 4})
    assert told(project) == [(stored["event_id"], 2), (fresh["event_id"], 2)] and told(other) == [(stored["event_id"], 4)]


def test_copies_within_an_envelope(project):
    """The door tells them."""
    event = wire.error_event()
    accepted(project.post(wire.envelope({}, wire.item("event", event), wire.item("event", event))))
    wait_totals(project, {ACCEPTED: 1, ("error", "invalid", "duplicate_item"): 1})
    (case,) = delivery(project)
    assert (case["reason"], case["quantity"], case["bytes"]) == ("duplicate_item", 1, len(wire.dumps(event)))


def test_a_thousand_copies(project):
    """Through however many batches: one line, and nothing else is pushed out."""
    event = wire.error_event()
    assert project.post(wire.raw_event_envelope(b"{ no JSON")[1]).status_code == 400
    project.send(*[event] * 1000)
    wait_totals(project, {ACCEPTED: 1, DUPLICATE: 999, ("error", "invalid", "invalid_json"): 1})
    assert told(project) == [(event["event_id"], 999)] and len(delivery(project)) == 2


def test_copies_of_many_events_leave_room_for_the_rest(one, project):
    """Whoever sends all again: 50 of the project's 200 lines, the newest."""
    one.sql("INSERT INTO outcome_cases (project_id, at, category, outcome, reason, key_id, quantity, bytes, client, event_id) "
            "SELECT %s, now() - n * interval '1 second', c, 3, r, 0, 1, 1, '', NULL "
            "  FROM generate_series(1, 100) n, (VALUES (0, 'old'), (10, 'duplicate')) v(c, r) ORDER BY n DESC", project.id)  # 10: check-ins have copies, too
    events = [wire.error_event() for _ in range(120)]
    store(project, *events)
    for n in range(0, 120, 10):
        project.send(*events[n:n + 10])
        wait_totals(project, {ACCEPTED: 120, DUPLICATE: n + 10})
    cases = delivery(project)
    assert [uuid.UUID(case["event_id"]).hex for case in cases if case["category"] == "error"] == ids(events)[:-51:-1]
    assert len(cases) == 200 and one.sql("SELECT count(*) FROM outcome_cases WHERE project_id = %s", project.id) == [(200,)]


@pytest.mark.parametrize("is_stored", [True, False], ids=["of what is stored", "of each other"])
def test_of_a_batch_some_are_told(one, project, is_stored):
    """The newest 20 of a project, and all are counted; another project has lines of its own."""
    events, other = [wire.error_event() for _ in range(60)], one.new_project()
    if is_stored:
        store(project, *events)
        store(other, events[0])
    with gathering(one):
        other.send(*events[:1] * (1 if is_stored else 2))
        project.send(*events * (1 if is_stored else 2))
    wait_totals(project, {ACCEPTED: 60, DUPLICATE: 60})
    wait_totals(other, {ACCEPTED: 1, DUPLICATE: 1})
    assert told(project) == [(event, 1) for event in ids(events)[:-21:-1]] and told(other) == [(events[0]["event_id"], 1)]


def test_nobody_waits_for_a_line(one, project):
    """Another server has the line in hand: there are two until the next copy, and none is lost."""
    event = wire.error_event()
    store(project, event)
    project.send(event)
    wait_totals(project, {ACCEPTED: 1, DUPLICATE: 1})
    with psycopg.connect(one.conninfo()) as other:
        other.execute("""SELECT duplicate_cases(array_agg(project_id), array_agg(key_id), array_agg(event_id), array_agg(now()), array_agg(category),
                                                array_agg(bytes), array_agg('a'::text), array_agg('1'::text)) FROM outcome_cases WHERE project_id = %s""", (project.id,))
        project.send(event)
        wait_totals(project, {ACCEPTED: 1, DUPLICATE: 2})
        assert told(project) == [(event["event_id"], 1)] * 2
    assert sorted(n for _, n in told(project)) == [1, 2]
    project.send(event)
    wait_totals(project, {ACCEPTED: 1, DUPLICATE: 3})
    assert told(project) == [(event["event_id"], 4)]


# ---- what is delivered again

def test_a_batch_that_comes_again(make_picket):
    """Killed before it noted how far it was."""
    picket = make_picket(DIGEST_WORKERS=1).start()
    project, event, twin = picket.new_project(), wire.error_event(), wire.error_event()
    store(project, event)
    project.send(event)
    wait_totals(project, {ACCEPTED: 1, DUPLICATE: 1})
    with gathering(picket):
        project.send(twin, event, twin)
    wanted, lines = {ACCEPTED: 2, DUPLICATE: 3}, [(twin["event_id"], 1), (event["event_id"], 2)]
    wait_totals(project, wanted)
    picket.kill()
    forget_cursor(picket)
    picket.start()
    project.settle()
    assert totals(project) == {**wanted, ACCEPTED: 3} and sorted(told(project)) == sorted(lines)


def test_halves_of_a_batch_that_come_again(make_picket):
    """A batch is stored in halves because one event cannot be; it is killed when all are stored and the statement that ends the batch is not. Copies count and
    are told with that statement alone."""
    picket = make_picket(DIGEST_WORKERS=1).start()
    project, stored, twin = picket.new_project(), wire.error_event(), wire.error_event()
    store(project, stored)
    with refusing(picket, "poison"):
        with psycopg.connect(picket.conninfo()) as blocker:
            with gathering(picket):
                project.send(twin, wire.error_event(value="poison"), stored, *(wire.error_event() for _ in range(6)), twin)
                blocker.execute("LOCK TABLE report_ids IN EXCLUSIVE MODE")
            project.wait_count(8)
            until(lambda: is_waiting(picket), "the last statement does not wait")
            assert told(project) == [] and totals(project) == {ACCEPTED: 8, ("error", "invalid", "dead_letter"): 1}
            picket.kill()
            picket.sql("SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE application_name = 'picket digest' AND datname = current_database()")
        picket.start()
        project.drain()
    wait_totals(project, {ACCEPTED: 8, ("error", "invalid", "dead_letter"): 1, DUPLICATE: 2})
    assert sorted(told(project)) == sorted([(stored["event_id"], 1), (twin["event_id"], 1)])
    assert len(picket.sql("SELECT 1 FROM outcome_cases WHERE project_id = %s", project.id)) == 3
