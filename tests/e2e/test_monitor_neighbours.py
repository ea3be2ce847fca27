"""Cron monitors (protocol §7.2): what one environment, project or backlog must not cost its neighbours (0016_neighbours.sql). What takes days is done
by the database's functions, in a transaction that no server sees and that is taken back."""
import datetime as dt
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

import wire
from test_monitors import CONFIG, HOURLY, MINUTELY, UTC, check_in, check_ins, environment, forgive_rate, instant, overdue, send, statuses, wait_statuses
from test_outcomes import totals
from waiting import until

START = dt.datetime(2024, 1, 5, 23, 20, 10, tzinfo=UTC)
EACH_MINUTE = {**CONFIG, "unit": "minute"}


class Unseen:
    """A transaction with what monitors do in it."""

    def __init__(self, connection, project):
        self.connection, self.project, self.warnings = connection, project, []
        connection.add_notice_handler(lambda notice: self.warnings.append(notice.message_primary))

    def rows(self, query, *arguments):
        cursor = self.connection.execute(query, arguments or None)
        return cursor.fetchall() if cursor.description else []

    def check_in(self, at, status, config=None, slug="job", name="production", project=None):
        body = {"slug": slug, "name": slug, "id": str(uuid.uuid4()), "environment": name, "duration_ms": None, "release": "", "trace_id": None, "status": status,
                **({"config": config} if config else {})}
        ((refusal,),) = self.rows("SELECT check_in_store(%s, monitor_id(%s, %s), %s, %s::jsonb)", project or self.project.id, at, body["id"], at, json.dumps(body))
        assert refusal == ""

    def miss(self, until_, runs=1, limit=100):
        """Looks so many times; each time an environment misses one run."""
        self.rows("SELECT monitor_notice_missed(%s, %s) FROM generate_series(1, %s)", until_, limit, runs)

    def missed(self):
        return self.rows("SELECT started_at, event_id FROM check_ins WHERE project_id = %s AND status = 'missed' ORDER BY 1", self.project.id)

    def state(self, columns, slug="job", name="production"):
        (row,) = self.rows(f"SELECT {columns} FROM monitor_environments e JOIN monitors m ON m.project_id = e.project_id AND m.id = e.monitor_id "
                           "WHERE e.project_id = %s AND m.slug = %s AND e.name = %s", self.project.id, slug, name)
        return row

    def many(self, n, project=None, margin=1):
        """A monitor of minutely runs with so many environments, which expect one a minute after the start."""
        self.check_in(START, "ok", EACH_MINUTE, slug="many", name="e0", project=project)
        self.rows("INSERT INTO monitor_environments (project_id, monitor_id, name, last_check_in_at, next_expected_at, next_latest_at) "
                  "SELECT project_id, id, 'e' || n, %s, %s, %s FROM monitors, generate_series(1, %s) n WHERE project_id = %s AND slug = 'many'",
                  START, minutes(1), minutes(1 + margin), n - 1, project or self.project.id)

    def spoil(self, name="e3", **config):
        """The environment gets a monitor of its own, whose configuration cannot be used."""
        self.rows("INSERT INTO monitors (project_id, slug, name, config, created_at, updated_at) VALUES (%s, 'spoilt', '', %s::jsonb, now(), now())",
                  self.project.id, json.dumps({**EACH_MINUTE, **config}))
        self.rows("UPDATE monitor_environments SET monitor_id = (SELECT id FROM monitors WHERE project_id = %s AND slug = 'spoilt') "
                  "WHERE project_id = %s AND name = %s", self.project.id, self.project.id, name)


@pytest.fixture
def unseen(project, picket):
    with psycopg.connect(picket.conninfo()) as connection:
        yield Unseen(connection, project)
        connection.rollback()


def minutes(n):
    """Runs are due at full minutes."""
    return START.replace(second=0) + dt.timedelta(minutes=n)


# ---- an environment that is dead for ever

def test_events_of_missed_runs_thin_out(unseen):
    """Those whose place in the streak is a power of two, and the first of a day: nine of 140. What clients send all counts."""
    unseen.check_in(START, "ok", EACH_MINUTE)
    unseen.miss(START + dt.timedelta(days=2), 140)
    missed = unseen.missed()
    assert [at for at, _ in missed] == [minutes(n) for n in range(1, 141)]
    assert [at for at, event in missed if event] == [minutes(n) for n in (1, 2, 4, 8, 16, 32, 40, 64, 128)]
    for n in (141, 142, 143):
        unseen.check_in(minutes(n), "error")
    assert unseen.rows("SELECT count(*) FROM monitor_events WHERE project_id = %s", unseen.project.id) == [(12,)]
    assert unseen.rows("SELECT count(event_id) FROM check_ins WHERE project_id = %s AND status = 'error'", unseen.project.id) == [(3,)]


@pytest.mark.parametrize("threshold, unit, n, wanted", [(3, "minute", 12, (3, 4, 6, 10)), (1, "day", 9, tuple(range(1, 10)))])
def test_the_first_event_is_that_of_the_threshold(unseen, threshold, unit, n, wanted):
    """Beyond it the places count from there; of daily runs each counts."""
    unseen.check_in(START - dt.timedelta(hours=12), "ok", {**CONFIG, "unit": unit, "failures": threshold})
    unseen.miss(START + dt.timedelta(days=30), n)
    missed = unseen.missed()
    assert len(missed) == n and [i for i, (_, event) in enumerate(missed, 1) if event] == list(wanted)


@pytest.mark.parametrize("threshold, wanted", [(720, [720]), (209, [209, 210])])
def test_streaks_that_are_too_long_to_count(unseen, threshold, wanted):
    """Beyond 720 places are not known any more. 720 is place 512 of the second: no power of two then, or each run would become an event."""
    begin = START - dt.timedelta(hours=22)
    unseen.check_in(begin, "ok", {**EACH_MINUTE, "failures": threshold})
    known = 0
    for skipped, runs in ((threshold - 2, 3), (722 - threshold, 3)):  # those that are skipped were missed before
        unseen.rows("INSERT INTO check_ins (project_id, id, monitor_id, environment_id, status, started_at, opened) "
                    "SELECT project_id, monitor_id(%s, %s || n::text), monitor_id, id, 'missed', %s + (n - 1) * interval '1 minute', false "
                    "FROM monitor_environments e, generate_series(1, %s) n WHERE project_id = %s",
                    begin, skipped, unseen.state("next_expected_at")[0], skipped, unseen.project.id)
        unseen.rows("UPDATE monitor_environments SET next_expected_at = next_expected_at + make_interval(mins => %s), "
                    "next_latest_at = next_latest_at + make_interval(mins => %s) WHERE project_id = %s", skipped, skipped, unseen.project.id)
        unseen.miss(START, runs)
        known += skipped + runs
    missed = unseen.missed()
    assert len(missed) == known >= 726 and [i for i, (_, event) in enumerate(missed, 1) if event] == wanted


def test_dormant_after_a_week_and_a_hundred_runs(unseen):
    """Whichever is longer. A check-in wakes it, another environment's configuration does not."""
    unseen.check_in(START, "ok", EACH_MINUTE)
    unseen.check_in(START, "ok", {**CONFIG, "unit": "month"}, slug="rare")
    unseen.miss(START + dt.timedelta(days=6), 110)
    assert unseen.state("dormant_at, missed_runs") == (None, 110)
    unseen.rows("UPDATE monitor_environments SET missed_runs = 98 WHERE project_id = %s", unseen.project.id)
    late = START + dt.timedelta(days=400)
    unseen.miss(late)
    assert unseen.state("dormant_at, missed_runs") == (None, 99)
    assert unseen.state("next_expected_at IS NULL", slug="rare") == (False,)
    before = len(unseen.missed())
    unseen.rows("UPDATE monitor_environments e SET next_latest_at = NULL FROM monitors m WHERE m.project_id = e.project_id AND m.id = e.monitor_id "
                "AND m.slug = 'rare' AND m.project_id = %s", unseen.project.id)
    unseen.miss(late, 5)
    assert len(unseen.missed()) == before + 1 and unseen.state("dormant_at, next_expected_at, next_latest_at") == (late, None, None)
    assert unseen.state("status, incident_at IS NULL") == ("missed", False)

    unseen.check_in(late, "ok", {**EACH_MINUTE, "margin": 2}, name="another")
    assert unseen.state("dormant_at, next_expected_at") == (late, None)
    unseen.check_in(late, "ok")
    assert unseen.state("dormant_at, status, incident_at, next_latest_at - next_expected_at") == (None, "ok", None, dt.timedelta(minutes=2))
    again = unseen.state("next_expected_at")[0]
    unseen.miss(late + dt.timedelta(days=1))
    assert unseen.state("missed_since, missed_runs, dormant_at") == (again, 1, None)


def test_an_incident_outlives_its_failures(unseen):
    """They may have aged before somebody checks in again: two good runs close it all the same."""
    unseen.check_in(START, "ok", {**EACH_MINUTE, "recovery": 2})
    unseen.miss(minutes(5), 2)
    unseen.rows("DELETE FROM check_ins WHERE project_id = %s", unseen.project.id)
    unseen.check_in(minutes(200000), "ok")
    assert unseen.state("status, incident_at IS NULL") == ("ok", False)
    unseen.check_in(minutes(200001), "ok")
    assert unseen.state("status, incident_at IS NULL, resolve_at") == ("ok", True, minutes(200001))


def test_a_dormant_environment_is_shown(project, picket):
    send(project, check_in("job", "ok", MINUTELY))
    wait_statuses(project, "job", "ok")
    picket.sql("UPDATE monitor_environments SET last_check_in_at = now() - interval '9 days', missed_since = now() - interval '8 days', missed_runs = 200 "
               "WHERE project_id = %s", project.id)
    overdue(picket, project)
    until(lambda: environment(project, "job")["status"] == "dormant", lambda: environment(project, "job"))
    state = environment(project, "job")
    assert state["next_expected_at"] is None and state["next_latest_at"] is None and state["incident_started_at"]
    assert statuses(project, "job") == ["ok", "missed"]
    run = uuid.uuid4().hex
    send(project, check_in("job", "in_progress", check_in_id=run))
    until(lambda: environment(project, "job")["status"] == "missed", lambda: environment(project, "job"))
    assert instant(environment(project, "job")["next_expected_at"]) > dt.datetime.now(UTC) - dt.timedelta(seconds=30)
    send(project, check_in("job", "ok", check_in_id=run))
    until(lambda: environment(project, "job")["status"] == "ok", lambda: environment(project, "job"))
    until(lambda: (project.issue("Cron failure") or {}).get("is_resolved"), lambda: project.issues())


# ---- one that cannot be handled

def test_a_zone_that_is_gone(project, picket):
    """Of another release of the zones, or another machine: it goes by UTC, and keeps nobody else from being looked at."""
    daily = {"schedule": {"type": "crontab", "value": "30 3 * * *"}, "timezone": "Asia/Kathmandu"}
    send(project, check_in("job", "ok", {**MINUTELY, "timezone": "Europe/Berlin"}), check_in("daily", "ok", daily), check_in("other", "ok", MINUTELY))
    until(lambda: totals(project).get(("monitor", "accepted", "")) == 3, lambda: totals(project))
    picket.sql("UPDATE monitors SET config = config || '{\"timezone\": \"Nowhere/Gone\"}' WHERE project_id = %s AND slug <> 'other'", project.id)
    overdue(picket, project)
    for slug in ("job", "daily", "other"):
        until(lambda slug=slug: statuses(project, slug) == ["ok", "missed"], lambda slug=slug: (slug, statuses(project, slug)))
    assert instant(environment(project, "daily")["next_expected_at"]).astimezone(UTC).time() == dt.time(3, 30)
    forgive_rate(picket, project)
    send(project, check_in("daily", "ok"))
    until(lambda: environment(project, "daily")["status"] == "ok", lambda: environment(project, "daily"))


def test_one_that_fails_stops_nobody(project, picket):
    """Its configuration cannot be read (of another release, say): it is put off for an hour, whole; the others are looked at."""
    send(project, *(check_in(f"m{i}", "ok", HOURLY) for i in range(4)))
    until(lambda: totals(project).get(("monitor", "accepted", "")) == 4, lambda: totals(project))
    picket.sql("UPDATE monitors SET config = config || '{\"value\": \"many\"}' WHERE project_id = %s AND slug = 'm1'", project.id)
    overdue(picket, project)
    for slug in ("m0", "m2", "m3"):
        until(lambda slug=slug: statuses(project, slug) == ["ok", "missed"], lambda slug=slug: (slug, statuses(project, slug)))
    assert statuses(project, "m1") == ["ok"]
    state = environment(project, "m1")
    assert dt.timedelta(minutes=55) < instant(state["next_latest_at"]) - dt.datetime.now(UTC) < dt.timedelta(hours=1)
    assert instant(state["next_expected_at"]) < dt.datetime.now(UTC)
    picket.sql("UPDATE monitors SET config = config || '{\"value\": 1}' WHERE project_id = %s AND slug = 'm1'", project.id)
    picket.sql("UPDATE monitor_environments SET next_latest_at = next_latest_at - interval '1 hour 1 minute' WHERE project_id = %s AND next_expected_at < now()", project.id)
    until(lambda: statuses(project, "m1") == ["ok", "missed"], lambda: statuses(project, "m1"))
    missed = check_ins(project, "m1")[1]
    assert instant(missed["ended_at"]) - instant(missed["expected_at"]) == dt.timedelta(minutes=1)  # the margin; not when it could be looked at


def test_timeouts_beside_one_that_fails(unseen):
    unseen.many(5)
    unseen.rows("INSERT INTO check_ins (project_id, id, monitor_id, environment_id, status, started_at, timeout_at, opened) "
                "SELECT project_id, monitor_id(%s, name), monitor_id, id, 'in_progress', %s, %s, true FROM monitor_environments WHERE project_id = %s",
                minutes(1), minutes(1), minutes(31), unseen.project.id)
    unseen.spoil(failures="some")
    unseen.rows("UPDATE check_ins c SET monitor_id = e.monitor_id FROM monitor_environments e WHERE e.project_id = c.project_id AND e.id = c.environment_id "
                "AND c.project_id = %s", unseen.project.id)
    for _ in range(2):  # the second look leaves it alone
        unseen.rows("SELECT monitor_notice_timeouts(%s, 100)", minutes(40))
    found = unseen.rows("SELECT e.name, c.status, c.timeout_at FROM check_ins c JOIN monitor_environments e ON e.id = c.environment_id "
                        "WHERE c.project_id = %s AND c.status <> 'ok' ORDER BY 1", unseen.project.id)
    assert found == [(f"e{i}", "timeout", minutes(31)) if i != 3 else ("e3", "in_progress", minutes(100)) for i in range(5)]
    assert len(unseen.warnings) == 1 and "some" in unseen.warnings[0]


def test_what_is_everybodys_trouble_ends_the_look(unseen):
    """No room, a deadlock: it is not put off for an hour; the next look tries it again."""
    unseen.many(3)
    unseen.rows("CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room' USING ERRCODE = '53100'; END $$")
    unseen.rows("CREATE TRIGGER refuse BEFORE INSERT ON monitor_events FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse()")
    with pytest.raises(psycopg.errors.DiskFull), unseen.connection.transaction():
        unseen.miss(minutes(5))
    assert unseen.missed() == [] and unseen.warnings == []


# ---- shares

def test_many_events_of_another_project(unseen, picket):
    """The queue is taken by turns, of each project the oldest first; nothing is taken twice."""
    others = [picket.new_project().id for _ in range(2)]
    for project, n, at in ((unseen.project.id, 500, START), (others[0], 3, minutes(1)), (others[1], 30, minutes(2))):
        unseen.rows("INSERT INTO monitor_events (project_id, id, event_id, made_at, payload) "
                    "SELECT %s, monitor_id(%s + n * interval '1 second', n::text), gen_random_uuid(), now(), '{}' FROM generate_series(1, %s) n", project, at, n)
    taken = [unseen.rows("SELECT ret_project, ret_id FROM monitor_take_events(20)") for _ in range(4)]
    assert [[sum(p == project for p, _ in rows) for project in (unseen.project.id, *others)] for rows in taken] == [[9, 3, 8], [10, 0, 10], [10, 0, 10], [18, 0, 2]]
    ids = [row for rows in taken for row in rows]
    assert len(set(ids)) == 80
    first = unseen.rows("SELECT project_id, id FROM monitor_events WHERE project_id = %s ORDER BY id LIMIT 47", unseen.project.id)
    assert sorted(row for row in ids if row[0] == unseen.project.id) == sorted(first)


def test_many_missed_runs_of_another_project(unseen, picket):
    other = picket.new_project().id
    unseen.many(50)
    unseen.many(2, project=other, margin=3)  # due later than all of those
    unseen.miss(minutes(10), limit=10)
    assert unseen.rows("SELECT project_id, count(*) FROM check_ins WHERE status = 'missed' AND project_id IN (%s, %s) GROUP BY 1 ORDER BY 1",
                       unseen.project.id, other) == [(unseen.project.id, 8), (other, 2)]


def test_many_timeouts_of_another_project(unseen, picket):
    other = picket.new_project().id
    unseen.many(50)
    unseen.many(2, project=other)
    for project, started in ((unseen.project.id, minutes(1)), (other, minutes(3))):  # those of the other run longer
        unseen.rows("INSERT INTO check_ins (project_id, id, monitor_id, environment_id, status, started_at, timeout_at, opened) "
                    "SELECT project_id, monitor_id(%s, name), monitor_id, id, 'in_progress', %s, %s::timestamptz + interval '30 min', true "
                    "FROM monitor_environments WHERE project_id = %s", started, started, started, project)
    ended = "SELECT project_id, count(*) FROM check_ins WHERE status = 'timeout' AND project_id IN (%s, %s) GROUP BY 1 ORDER BY 1"
    for wanted in ([8, 2], [18, 2]):
        unseen.rows("SELECT monitor_notice_timeouts(%s, 10)", minutes(40))
        assert [n for _, n in unseen.rows(ended, unseen.project.id, other)] == wanted


# ---- silences, page by page

def test_a_silence_is_forgotten_in_parts(unseen):
    unseen.many(25)
    unseen.check_in(START, "in_progress", slug="many", name="e7")
    unseen.spoil(value="many")
    unseen.rows("INSERT INTO monitor_silences (from_at, to_at) VALUES (%s, %s)", START, minutes(60))
    done = [unseen.rows("SELECT monitor_forget_silences(10)")[0][0] for _ in range(4)]
    assert done == [False, False, True, True]
    states = dict(unseen.rows("SELECT name, next_expected_at FROM monitor_environments WHERE project_id = %s", unseen.project.id))
    assert states == {f"e{i}": None if i == 3 else minutes(61) for i in range(25)}  # of what cannot be known nothing is expected
    assert len(unseen.warnings) == 1 and "many" in unseen.warnings[0]
    assert unseen.rows("SELECT heard FROM check_ins WHERE project_id = %s AND status = 'in_progress'", unseen.project.id) == [(False,)]
    unseen.miss(minutes(60))
    assert unseen.missed() == []


def test_nothing_is_judged_before_a_silence_is_forgotten(unseen):
    """More than fits into one look."""
    unseen.many(501)
    unseen.rows("INSERT INTO monitor_silences (from_at, to_at) VALUES (%s, %s)", START, minutes(60))
    node, now = uuid.uuid4(), dt.datetime.now(UTC)
    until_ = [unseen.rows("SELECT monitor_beat(%s, %s, %s, %s)", node, now, now, minutes(90))[0][0] for _ in range(2)]
    assert until_[0] is None and until_[1] <= minutes(90)
    assert unseen.rows("SELECT min(next_expected_at) FROM monitor_environments WHERE project_id = %s", unseen.project.id) == [(minutes(61),)]


# ---- configurations that change

def expected(unseen, name):
    return unseen.state("next_expected_at", slug="many", name=name)[0]


def test_a_changed_schedule_holds_with_its_check_in(unseen):
    """For its own environment at once, for the others when they are looked at; nothing is held against them by the one that is no more."""
    unseen.many(4)
    unseen.check_in(minutes(5), "ok", {**CONFIG, "margin": 7}, slug="many", name="e0")
    assert unseen.state("next_expected_at, next_latest_at - next_expected_at", slug="many", name="e0") == (minutes(65), dt.timedelta(minutes=7))
    assert expected(unseen, "e1") == minutes(1)
    unseen.rows("UPDATE monitor_environments SET next_latest_at = %s WHERE project_id = %s AND name <> 'e1'", minutes(900), unseen.project.id)
    unseen.miss(minutes(20))
    assert unseen.missed() == [] and expected(unseen, "e1") == minutes(80)
    unseen.rows("UPDATE monitor_environments SET last_check_in_at = %s WHERE project_id = %s AND name = 'e2'", minutes(30), unseen.project.id)
    unseen.rows("SELECT monitor_expect_anew(%s, 100)", START)
    assert [expected(unseen, f"e{n}") for n in range(4)] == [minutes(65), minutes(80), minutes(90), minutes(65)]
    unseen.miss(minutes(80))
    assert [at for at, _ in unseen.missed()] == [minutes(65)]  # of e3; the margin is as long as it says now
    unseen.check_in(minutes(81), "ok", {**EACH_MINUTE, "margin": 1}, slug="many", name="e0")
    unseen.rows("SELECT monitor_expect_anew(%s, 100)", minutes(200))  # listened since then: what was due before is held against nobody
    assert [expected(unseen, f"e{n}") for n in range(4)] == [minutes(82)] + 3 * [minutes(201)]
    unseen.check_in(minutes(205), "ok", slug="many", name="new")
    assert expected(unseen, "new") == minutes(206)
    assert unseen.rows("SELECT expected_at FROM check_ins WHERE project_id = %s AND started_at = %s", unseen.project.id, minutes(205)) == [(None,)]


def test_changed_schedules_of_another_project(unseen, picket):
    """By turns, about as many environments as are asked for; what fails is put off and stops nobody."""
    other = picket.new_project().id
    for slug in ("a", "b", "c"):
        unseen.many(20)
        unseen.rows("UPDATE monitors SET slug = %s WHERE project_id = %s AND slug = 'many'", slug, unseen.project.id)
        unseen.check_in(minutes(2), "ok", CONFIG, slug=slug, name="e0")
    unseen.many(2, project=other)
    unseen.check_in(minutes(3), "ok", CONFIG, slug="many", name="e0", project=other)
    unseen.rows("UPDATE monitor_environments SET config_no = 0 WHERE project_id = %s AND name = 'e0'", other)
    unseen.rows("UPDATE monitors SET config = config || '{\"value\": \"many\"}' WHERE project_id = %s AND slug = 'b'", unseen.project.id)
    stale = ("SELECT count(*) FROM monitor_environments e JOIN monitors m ON m.project_id = e.project_id AND m.id = e.monitor_id "
             "WHERE e.project_id = %s AND e.config_no < m.config_no")
    left = []
    for _ in range(3):
        unseen.rows("SELECT monitor_expect_anew(%s, 20)", START)
        left.append(tuple(unseen.rows(stale, project)[0][0] for project in (unseen.project.id, other)))
    assert left == [(38, 0), (0, 0), (0, 0)]
    assert len(unseen.warnings) == 19 and unseen.state("next_expected_at", slug="b", name="e1") == (None,)
    assert unseen.rows("SELECT count(anew_at) FROM monitors WHERE project_id IN (%s, %s)", unseen.project.id, other) == [(0,)]


def test_configurations_that_take_turns(make_picket):
    """A thousand check-ins of a monitor with a hundred environments: nobody waits for the hundred each time, and in the end all follow the last schedule."""
    picket = make_picket(DIGEST_WORKERS=1).start()
    project, other = picket.new_project(), picket.new_project()

    def daily(clock):
        return {"schedule": {"type": "crontab", "value": f"{clock} * * 1-6"}, "timezone": "Europe/Berlin"}
    send(project, check_in("job", "ok", daily("0 3")))
    until(lambda: environment(project, "job"), "no monitor")
    picket.sql("INSERT INTO monitor_environments (project_id, monitor_id, name, last_check_in_at, next_expected_at, next_latest_at) "
               "SELECT project_id, monitor_id, 'e' || n, last_check_in_at, next_expected_at, next_latest_at FROM monitor_environments, generate_series(1, 99) n "
               "WHERE project_id = %s", project.id)
    bodies = [wire.envelope({}, check_in("job", "ok", daily("0 3" if n % 2 else "30 4"))) for n in range(1000)]
    with wire.Connection(project.port) as connection:
        for n in range(0, len(bodies), 100):
            connection.send(b"".join(wire.request("POST", project.ingest_path, list(project.auth.items()), body) for body in bodies[n:n + 100]))
            assert [connection.read_answer().status for _ in range(100)] == [200] * 100
    event = wire.error_event()
    other.send(event)
    other.find(event["event_id"], seconds=5)
    send(project, check_in("job", "ok", daily("15 6")))
    until(lambda: sum(n for (category, _, _), n in totals(project).items() if category == "monitor") == 1002, lambda: totals(project))
    clocks = "SELECT DISTINCT (next_expected_at AT TIME ZONE 'Europe/Berlin')::time FROM monitor_environments WHERE project_id = %s"
    until(lambda: picket.sql(clocks, project.id) == [(dt.time(6, 15),)], lambda: picket.sql(clocks, project.id))


# ---- issues that cannot be resolved yet

def test_others_are_resolved_meanwhile(unseen):
    """More than one look has room for wait for events that are still on their way."""
    event = wire.error_event()
    unseen.project.send(event)
    detail = unseen.project.find(event["event_id"])
    unseen.many(31)
    unseen.rows("UPDATE monitor_environments SET resolve_at = %s, event_row = gen_random_uuid() WHERE project_id = %s", START, unseen.project.id)
    unseen.rows("UPDATE monitor_environments SET resolve_at = %s, event_row = %s WHERE project_id = %s AND name = 'e30'", minutes(1), detail["id"], unseen.project.id)

    def look(at):
        unseen.rows("SELECT monitor_resolve_issues(%s, 10)", at)
        return unseen.rows("SELECT count(resolve_at) FROM monitor_environments WHERE project_id = %s", unseen.project.id)[0][0]
    left = [look(minutes(2) + dt.timedelta(milliseconds=n)) for n in range(4)]
    assert left[-1] == 30 and unseen.rows("SELECT is_resolved FROM issues WHERE project_id = %s", unseen.project.id) == [(True,)]
    assert unseen.state("resolve_look_at - resolve_at", slug="many", name="e1")[0] > dt.timedelta(minutes=2)
    assert look(minutes(2) + dt.timedelta(milliseconds=9)) == 30  # each has had its look
    assert [look(minutes(62)) for _ in range(3)] == [20, 10, 0]  # an hour later nobody waits any more


def test_resolving_beside_one_that_fails(unseen):
    events = [wire.error_event("E", f"{word} issue") for word in ("sound", "spoilt")]
    unseen.project.send(*events)
    details = [unseen.project.find(event["event_id"]) for event in events]
    unseen.rows("ALTER TABLE issues ADD CONSTRAINT refuse CHECK (NOT is_resolved OR title NOT LIKE '%%spoilt%%') NOT VALID")
    unseen.many(2)
    for name, at, detail in (("e0", 2, details[0]), ("e1", 1, details[1])):
        unseen.rows("UPDATE monitor_environments SET resolve_at = %s, event_row = %s WHERE project_id = %s AND name = %s", minutes(at), detail["id"], unseen.project.id, name)
    for _ in range(2):
        unseen.rows("SELECT monitor_resolve_issues(%s, 10)", minutes(3))
    assert unseen.rows("SELECT title LIKE '%%sound%%', is_resolved FROM issues WHERE project_id = %s ORDER BY 1", unseen.project.id) == [(False, False), (True, True)]
    assert unseen.state("resolve_at, resolve_look_at", slug="many", name="e1") == (minutes(1), minutes(63)) and len(unseen.warnings) == 1


def test_resolving_in_the_order_of_locks(unseen, picket):
    """Beside a batch that has the one issue and comes to its project's row of states: a look that had this row already would wait for that issue."""
    events = [wire.error_event("E", f"{word} issue") for word in ("one", "other")]
    unseen.project.send(*events)
    details = [unseen.project.find(event["event_id"]) for event in events]
    issues = {title: issue for issue, title in picket.sql("SELECT id, title FROM issues WHERE project_id = %s", unseen.project.id)}
    (taken,) = (issue for title, issue in issues.items() if "other" in title)
    unseen.many(2)
    for n, detail in enumerate(details):
        unseen.rows("UPDATE monitor_environments SET resolve_at = %s, resolve_look_at = %s, event_row = %s WHERE project_id = %s AND name = %s",
                    minutes(1), minutes(n), detail["id"], unseen.project.id, f"e{n}")
    pid, waits = unseen.connection.info.backend_pid, "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
    with psycopg.connect(picket.conninfo()) as batch, ThreadPoolExecutor(1) as elsewhere:
        batch.execute("SELECT FROM issues WHERE project_id = %s AND id = %s FOR NO KEY UPDATE", (unseen.project.id, taken))
        look = elsewhere.submit(unseen.rows, "SELECT monitor_resolve_issues(%s, 10)", minutes(3))
        until(lambda: picket.sql(waits, pid) == [(1,)], "nobody waits")
        batch.execute("UPDATE issues SET is_muted = true WHERE project_id = %s AND id = %s", (unseen.project.id, taken))
        batch.commit()
        look.result()
    assert unseen.rows("SELECT is_resolved FROM issues WHERE project_id = %s", unseen.project.id) == [(True,)] * 2
    assert unseen.rows("SELECT resolved, muted FROM issue_states WHERE project_id = %s", unseen.project.id) == [(2, 0)]
    assert unseen.rows("SELECT count(resolve_at) FROM monitor_environments WHERE project_id = %s", unseen.project.id) == [(0,)]
