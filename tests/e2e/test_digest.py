"""Phase two: exactly once in effect, counters that equal the rows, grouping version 1, regressions (architecture.md "Digest", contract §3)."""
import hashlib
import json
import os
import threading
import uuid

import psycopg
import pytest

import server
import wire
from client import accepted
from waiting import away_from_midnight, until

# The same table as the unit test's: there the functions are asked, here the whole way from socket to row.
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "unit", "data", "grouping.jsonl"), encoding="utf-8") as lines:
    VECTORS = [vector for vector in map(json.loads, lines) if "sha256" in vector]


@pytest.fixture(scope="module")
def one_worker(cluster):
    """With one digest worker, what was accepted earlier is digested earlier."""
    picket = server.Picket(server.Directory(), DATABASE_URL=cluster.migrated_database(), DIGEST_WORKERS=1)
    try:
        yield picket.start()
    finally:
        picket.end()


@pytest.fixture
def project(one_worker):
    return one_worker.new_project()


def check_counters(picket, project_id=None):
    """Every counter equals the rows that it counts, for all projects or one. Reports of browsers are events of category security (3)."""
    only = "WHERE project_id IN (SELECT id FROM projects)" if project_id is None else f"WHERE project_id = {project_id}"  # deleted ones leave events
    assert picket.sql(f"""
        SELECT i.id, i.event_count, count(e.id), min(e.received_at) = i.first_seen AND max(e.received_at) = i.last_seen
          FROM (SELECT * FROM issues {only}) i JOIN groupings g ON g.project_id = i.project_id AND g.issue_id = i.id
          LEFT JOIN events e ON e.project_id = g.project_id AND e.grouping_id = g.id
         GROUP BY i.project_id, i.id, i.event_count, i.first_seen, i.last_seen
        HAVING i.event_count <> count(e.id) OR NOT (min(e.received_at) = i.first_seen AND max(e.received_at) = i.last_seen)""") == []
    assert picket.sql(f"""
        SELECT project_id, c.stored, c.digested, e.n FROM (SELECT * FROM project_counters {only}) c
          FULL JOIN (SELECT project_id, count(*) AS n FROM events {only} GROUP BY 1) e USING (project_id)
         WHERE coalesce(c.stored, 0) <> coalesce(e.n, 0) OR coalesce(c.digested, 0) <> coalesce(e.n, 0)""") == []
    assert picket.sql(f"""
        SELECT * FROM (SELECT project_id, hour, events FROM project_hours {only}) h
          FULL JOIN (SELECT project_id, date_trunc('hour', received_at, 'UTC') AS hour, count(*) AS n FROM events {only} GROUP BY 1, 2) e
         USING (project_id, hour) WHERE coalesce(h.events, 0) <> coalesce(e.n, 0)""") == []
    assert picket.sql(f"""
        SELECT * FROM (SELECT project_id, hour, sum(quantity) AS events FROM outcomes WHERE category IN (1, 3) AND outcome = 0 GROUP BY 1, 2) h
          FULL JOIN (SELECT project_id, date_trunc('hour', received_at, 'UTC') AS hour, count(*) AS n FROM events GROUP BY 1, 2) e
         USING (project_id, hour) {only} AND coalesce(h.events, 0) <> coalesce(e.n, 0)""") == []
    assert picket.sql(f"""
        SELECT * FROM (SELECT project_id, issue_id, hour, events FROM issue_hours {only}) h
          FULL JOIN (SELECT e.project_id, g.issue_id, date_trunc('hour', received_at, 'UTC') AS hour, count(*) AS n
                       FROM (SELECT * FROM events {only}) e JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id GROUP BY 1, 2, 3) e
         USING (project_id, issue_id, hour) WHERE coalesce(h.events, 0) <> coalesce(e.n, 0)""") == []


# ---- once and once only

def test_same_id_in_different_batches(one_worker, project):
    """Stored and counted once; the sender is told 200 both times (contract §2.8)."""
    event = wire.error_event()
    project.send(event)
    project.wait_count(1)
    assert project.send(event, event) == [event["event_id"]] * 2
    project.drain()
    assert project.issue("ValueError")["event_count"] == 1
    assert len(project.events(project.issue("ValueError"))) == 1
    assert project.count() == 1
    check_counters(one_worker, project.id)


def test_same_id_in_one_envelope(one_worker, project):
    """Of two events with one id the first is taken; without ids they get two, and the same two when they are sent again."""
    event_id = uuid.uuid4().hex
    body = wire.envelope({}, *[wire.item("event", {"event_id": event_id, "message": "twins"})] * 2)
    other = wire.envelope({"event_id": uuid.uuid4().hex}, wire.item("event", {"message": "twins"}), wire.item("event", {"message": "twins"}))
    for _ in range(3):
        assert accepted(project.post(body)) == event_id
        accepted(project.post(other))
    project.drain()
    assert project.issue("twins")["event_count"] == len(project.events(project.issue("twins"))) == 3
    check_counters(one_worker, project.id)


def burst(project, event, n, results):
    """The same envelope n times over one connection, pipelined, so that many copies are in one batch."""
    body = wire.event_envelope(event)
    with wire.Connection(project.port) as connection:
        connection.send(wire.request("POST", project.ingest_path, list(project.auth.items()), body) * n)
        results += [connection.read_answer().status for _ in range(n)]


def test_same_id_concurrently(one_worker, project):
    """160 copies over eight connections at once: same batch and different batches alike."""
    event, statuses = wire.error_event(value="copies"), []
    threads = [threading.Thread(target=burst, args=(project, event, 20, statuses)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 160
    project.drain()
    assert project.issue("copies")["event_count"] == 1
    assert project.count() == 1
    check_counters(one_worker, project.id)


def test_same_id_in_two_projects(one_worker, project):
    """G-5: an event id belongs to its project."""
    other = one_worker.new_project()
    event = wire.error_event()
    project.send({**event, "message": "mine"})
    other.send({**event, "message": "theirs"})
    for one, text in ((project, "mine"), (other, "theirs")):
        one.wait_count(1)
        assert text in json.dumps(one.find(event["event_id"])["data"])


def test_same_id_after_a_restart(make_picket):
    """The cursor may lag behind what is committed; nothing is digested twice."""
    picket = make_picket(DIGEST_WORKERS=1).start()
    project = picket.new_project()
    events = [wire.error_event() for _ in range(50)]
    project.send(*events)
    project.wait_count(50)
    picket.stop()
    picket.start()
    project.send(*events)
    project.drain()
    assert project.count() == 50
    check_counters(picket)


# ---- many at once

def test_two_workers_and_many_senders(picket):
    """Four senders, few issues in several projects: workers meet at the same rows; nothing deadlocks, nothing is lost or counted twice."""
    projects = [picket.new_project() for _ in range(3)]

    def send(seed):
        for i in range(60):
            project = projects[(seed + i) % 3]
            bodies = [wire.event_envelope(wire.error_event(f"E{(seed * 7 + i + k) % 11}", "contended")) for k in range(10)]
            with wire.Connection(project.port) as connection:
                connection.send(b"".join(wire.request("POST", project.ingest_path, list(project.auth.items()), body) for body in bodies))
                assert [connection.read_answer().status for _ in bodies] == [200] * 10

    threads = [threading.Thread(target=send, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: sum(project.count() for project in projects) >= 2400, lambda: f"{[p.count() for p in projects]} of 2400", 60)
    for project in projects:
        assert project.count() == 800
        assert len(project.issues()) == 11
        check_counters(picket, project.id)
    assert picket.sql("SELECT * FROM dead_letters") == []


def test_every_event_is_visible_in_order(project):
    """Events of one issue sort by arrival; the issue's first and last seen are receipt times (contract §1.12)."""
    events = [wire.error_event(value="ordered", timestamp=1700000000 + (i * 7919) % 100) for i in range(45)]
    project.send(*events)
    project.wait_count(45)
    issue = project.issue("ordered")
    newest_first = project.events(issue)
    assert [uuid.UUID(event["event_id"]).hex for event in newest_first] == [event["event_id"] for event in reversed(events)]
    assert issue["first_seen"] == project.detail(newest_first[-1])["ingested_at"]
    assert issue["last_seen"] == project.detail(newest_first[0])["ingested_at"]


# ---- transitions

def patch(project, issue, **change):
    answer = project.api.patch(project.issue_path(issue), json=change)
    assert answer.status_code == 200, answer.text
    return answer.json()


def transitions(picket, issue):
    return [kind for kind, in picket.sql("SELECT kind FROM issue_transitions WHERE issue_id = %s ORDER BY id", issue["id"])]


def test_regression(one_worker, project):
    """Contract §3.6 "→ Ours": a resolved issue reopens on a new event, and that is written down once."""
    project.send(wire.error_event())
    project.wait_count(1)
    issue = patch(project, project.issues()[0], is_resolved=True)
    assert issue["is_resolved"] and project.issues("open") == []
    project.send(wire.error_event(), wire.error_event())
    project.wait_count(3)
    again = project.issue("ValueError")
    assert again["id"] == issue["id"] and not again["is_resolved"] and again["event_count"] == 3
    assert [i["id"] for i in project.issues("open")] == [issue["id"]]
    kinds = transitions(one_worker, issue)
    assert kinds[0] == "new" and kinds.count("regressed") == 1
    check_counters(one_worker, project.id)


def test_a_duplicate_does_not_reopen(one_worker, project):
    """Only rows really inserted change anything."""
    event = wire.error_event()
    project.send(event)
    project.wait_count(1)
    patch(project, project.issues()[0], is_resolved=True)
    project.send(event)
    project.drain()
    issue = project.issue("ValueError")
    assert issue["is_resolved"] and issue["event_count"] == 1
    assert "regressed" not in transitions(one_worker, issue)


def test_an_issue_that_changes_meanwhile(one_worker, project):
    """Somebody has changed it, and not committed yet, when a batch counts in it: the batch waits, tries again, and loses neither."""
    project.send(wire.error_event())
    project.wait_count(1)
    with psycopg.connect(one_worker.conninfo()) as person:
        person.execute("UPDATE issues SET is_muted = true WHERE project_id = %s", (project.id,))
        project.send(wire.error_event(), wire.error_event(value="of another issue"))
        until(lambda: one_worker.sql("SELECT 1 FROM pg_stat_activity WHERE application_name = 'picket digest' AND wait_event_type = 'Lock'"), "nobody waits")
    project.wait_count(3)
    assert one_worker.sql("SELECT event_count, is_muted FROM issues WHERE project_id = %s ORDER BY number", project.id) == [(2, True), (1, False)]
    check_counters(one_worker, project.id)


def test_an_issue_that_goes_meanwhile(one_worker, project):
    """It is deleted when a batch has found it: its next event is a new issue's."""
    project.send(wire.error_event())
    project.wait_count(1)
    with psycopg.connect(one_worker.conninfo()) as person:
        person.execute("DELETE FROM issues WHERE project_id = %s", (project.id,))
        project.send(wire.error_event())
        until(lambda: one_worker.sql("SELECT 1 FROM pg_stat_activity WHERE application_name = 'picket digest' AND wait_event_type = 'Lock'"), "nobody waits")
    project.wait_count(2)
    assert one_worker.sql("SELECT number, event_count FROM issues WHERE project_id = %s", project.id) == [(2, 1)]


def test_muted_stays_muted(one_worker, project):
    """Mute is sticky: new events count but do not unmute (contract §3.6)."""
    project.send(wire.error_event())
    project.wait_count(1)
    patch(project, project.issues()[0], is_muted=True)
    project.send(wire.error_event())
    project.wait_count(2)
    issue = project.issue("ValueError")
    assert issue["is_muted"] and not issue["is_resolved"] and issue["event_count"] == 2
    assert project.issues("open") == []


# ---- grouping

@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_grouping_vectors(one_worker, project, vector):
    """Contract appendix A through the whole way: title in the API, SHA-256 of the key in the groupings. V14 and V15 deviate as §3.3 says."""
    payload = vector["payload"].encode() if "payload" in vector else wire.dumps(vector["event"])
    event_id, body = wire.raw_event_envelope(payload)
    accepted(project.post(body))
    assert project.find(event_id)["title"] == vector["title"]
    (version, digest), = one_worker.sql("SELECT version, hash FROM groupings WHERE project_id = %s", project.id)
    assert version == 1
    assert bytes(digest).hex() == hashlib.sha256(vector["key"].encode()).hexdigest() == vector["sha256"]


def test_same_key_same_issue(project):
    """Title and transaction make the key: stack and level take no part; another transaction is another issue."""
    project.send(wire.error_event(transaction="/a"), wire.error_event(transaction="/a", level="fatal", exception=[{"type": "ValueError", "value": "bad"}]),
                 wire.error_event(transaction="/a", fingerprint=["{{ default }}"]), wire.error_event(transaction="/b"))
    project.wait_count(4)
    assert sorted(issue["event_count"] for issue in project.issues()) == [1, 3]


def test_fingerprint_joins_different_errors(project):
    project.send(wire.error_event("A", "a", fingerprint=["db"]), wire.error_event("B", "b", fingerprint=["db"]), wire.error_event("A", "a"))
    project.wait_count(3)
    assert sorted((issue["title"], issue["event_count"]) for issue in project.issues()) == [("A: a", 1), ("A: a", 2)]


def test_new_issue_keeps_the_first_events_face(project):
    """Level and platform are the first event's (contract §1.12), null when it had none."""
    project.send(wire.message_event("face"), wire.message_event("face", level="fatal", platform="go"))
    project.wait_count(2)
    issue = project.issue("face")
    assert issue["level"] is None and issue["platform"] is None
    summaries = project.events(issue, order="asc")
    assert [(e["level"], e["platform"]) for e in summaries] == [("error", ""), ("fatal", "go")]


def test_short_ids_count_up(project):
    """SLUG-N without gaps, in the order of arrival (contract §1.12)."""
    for name in ("a", "b", "c"):
        project.send(wire.error_event("E", name))
        until(lambda text=name: project.issue(f"E: {text}"), "not visible")
    got = {issue["title"]: issue["short_id"] for issue in project.issues()}
    assert got == {f"E: {name}": f"{project.slug.upper()}-{n}" for n, name in enumerate("abc", 1)}


# ---- poison

def test_poison_is_isolated(one_worker, project):
    """A record that the database refuses for a lasting reason is kept as a dead letter with its reason, its neighbours are stored. The refusal is
    provoked by a constraint that exists only here."""
    one_worker.sql("ALTER TABLE issues ADD CONSTRAINT refuse_poison CHECK (title <> 'E: poison')")
    try:
        events = [wire.error_event("E", f"neighbour {i}") for i in range(40)]
        events[17] = wire.error_event("E", "poison")
        with wire.Connection(project.port) as connection:
            connection.send(b"".join(wire.request("POST", project.ingest_path, list(project.auth.items()), wire.event_envelope(e)) for e in events))
            assert [connection.read_answer().status for _ in events] == [200] * 40
        project.wait_count(39)
        until(lambda: one_worker.sql("SELECT 1 FROM dead_letters WHERE project_id = %s", project.id), "no dead letter")
    finally:
        one_worker.sql("ALTER TABLE issues DROP CONSTRAINT refuse_poison")
    (event_id, reason, sqlstate, attempts), = one_worker.sql("SELECT event_id, reason, sqlstate, attempts FROM dead_letters WHERE project_id = %s", project.id)
    assert event_id.hex == events[17]["event_id"] and reason and sqlstate == "23514" and attempts >= 1
    assert project.issue("poison") is None and len(project.issues()) == 39
    check_counters(one_worker, project.id)
    project.send(wire.error_event())
    project.wait_count(40)


def test_a_project_that_is_gone(one_worker):
    """Its spooled events are dropped and counted; everybody else's go on."""
    project, other = one_worker.new_project(), one_worker.new_project()
    with psycopg.connect(one_worker.conninfo()) as blocker:
        blocker.execute("LOCK TABLE groupings IN ACCESS EXCLUSIVE MODE")  # the digest waits here
        project.send(wire.error_event())
        other.send(wire.error_event())
        blocker.execute("DELETE FROM projects WHERE id = %s", (project.id,))
    other.wait_count(1)
    assert one_worker.sql("SELECT 1 FROM events WHERE project_id = %s", project.id) == []
    assert one_worker.sql("SELECT 1 FROM dead_letters WHERE project_id = %s", project.id) == []


def test_all_counters_in_the_end(one_worker, picket):
    """After everything that the tests did to these two."""
    check_counters(one_worker)
    check_counters(picket)




def test_partitions_come_before_rows(make_picket):
    """architecture "Schema rules": after a week of standstill today's partition must be there before the first event, or that day never gets one."""
    away_from_midnight()
    picket = make_picket().start()
    project = picket.new_project()
    picket.stop()
    days = [name for (name,) in picket.sql("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass")]
    for name in set(days) - {"events_default"}:
        picket.sql(f"DROP TABLE {name}")
    picket.start()
    event = wire.error_event()
    project.send(event)
    project.find(event["event_id"])
    assert picket.sql("SELECT count(*) FROM events_default") == [(0,)]
    assert picket.sql("SELECT tableoid::regclass::text = 'events_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD') FROM events") == [(True,)]


def test_no_partition_is_waited_for(make_picket):
    """A dump reads events for an hour, and a day that is to come has no partition yet: that day waits, and nobody's events do."""
    away_from_midnight()
    picket = make_picket().start()
    project = picket.new_project()
    last = picket.sql("SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'events'::regclass AND inhrelid <> 'events_default'::regclass")[0][0]
    picket.stop()
    picket.sql(f"DROP TABLE {last}")
    with psycopg.connect(picket.conninfo()) as dump:
        dump.execute("LOCK TABLE events IN ACCESS SHARE MODE")  # and its partitions
        picket.start()
        event = wire.error_event()
        project.send(event)
        project.find(event["event_id"], seconds=5)
        assert picket.sql("SELECT to_regclass(%s)", last) == [(None,)]
    picket.sql("SELECT ensure_partitions(now(), 1, 3)")
    assert picket.sql("SELECT to_regclass(%s)::text", last) == [(last,)]


def test_a_range_is_stored_once_whatever_became_of_its_rows(picket):
    """The answer to a COMMIT was lost, and before the second try retention has thinned the day out: what is not there any more is not new."""
    project = picket.new_project()

    def deliver():
        with psycopg.connect(picket.conninfo(), autocommit=True) as connection:
            return connection.execute("""
            SELECT digest_events(%(node)s, 1, 64, 128, 1::smallint, ARRAY[%(p)s], ARRAY['\\x01'::bytea], ARRAY['E'], ARRAY['v'], ARRAY['E: v'], ARRAY[''],
                                 ARRAY[''], ARRAY[''], ARRAY[''], ARRAY['error'], ARRAY['python'], ARRAY[1], ARRAY[%(id)s::uuid], ARRAY[%(event)s::uuid],
                                 ARRAY[%(now)s], ARRAY[%(now)s], ARRAY['E: v'], ARRAY['error'], ARRAY['python'], ARRAY[''], ARRAY[''], ARRAY[''], ARRAY[''],
                                 ARRAY[''], ARRAY[NULL::inet], ARRAY['\\x00'::bytea], ARRAY[0::bigint], ARRAY[1::smallint], ARRAY[1::bigint])""", values).fetchone()[0]
    now, row = picket.sql("SELECT now(), uuid7(now())")[0]
    values = {"node": uuid.uuid4(), "p": project.id, "id": row, "event": uuid.uuid4(), "now": now}
    assert deliver() == [1]
    picket.sql("DELETE FROM events WHERE project_id = %s", project.id)
    assert deliver() == [3]
    assert picket.sql("SELECT digested FROM project_counters WHERE project_id = %s", project.id) == [(1,)]
    assert picket.sql("SELECT event_count FROM issues WHERE project_id = %s", project.id) == [(1,)]
    picket.sql("DELETE FROM projects WHERE id = %s", project.id)
