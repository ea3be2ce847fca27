"""Events of days without a partition, which a clock some days off makes: they lie in the default partition, are moved to partitions of their days, and nobody
notices (sql/migrations/0029_strays.sql)."""
import concurrent.futures
import contextlib
import datetime
import json
import random
import threading
import time
import uuid

import psycopg
import pytest

import wire
from test_retention import check_stored
from waiting import TIME_FACTOR, away_from_midnight, until

FEW = 20000  # strays_small()


@pytest.fixture
def picket(make_picket):
    away_from_midnight()
    return make_picket(RETENTION_EVERY_SECS=86400).start().wait_sample()


def today(days=0):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).date()


def partition(day):
    return f"events_{day:%Y%m%d}"


def astray(picket):
    return picket.sql("SELECT count(*) FROM events_default")[0][0]


def places(picket, project):
    """{partition: events of a project}"""
    return dict(picket.sql("SELECT tableoid::regclass::text, count(*) FROM events WHERE project_id = %s GROUP BY 1", project.id))


def send_dated(picket, project, days, n=3, **fields):
    """Events as of a server whose clock is so many days off: sent, and dated when they are stored. {SDK id: row id}"""
    events = [wire.error_event(value=f"of {days}", **fields) for _ in range(n)]
    before = project.count()
    project.send(*events)
    project.wait_count(before + n)
    picket.sql("""UPDATE events SET id = uuid7(received_at + make_interval(days => %s)), received_at = received_at + make_interval(days => %s)
                   WHERE project_id = %s AND event_id = ANY(%s)""", days, days, project.id, [uuid.UUID(event["event_id"]) for event in events])
    return dict(picket.sql("SELECT event_id::text, id::text FROM events WHERE project_id = %s AND event_id = ANY(%s)", project.id,
                           [uuid.UUID(event["event_id"]) for event in events]))


def seen(project):
    """What the API tells of each event: by the list, and by its own page. {SDK id: (row id, data)}"""
    return {summary["event_id"]: (summary["id"], project.detail(summary)["data"]) for summary in project.all_events()}


def heal(picket):
    return picket.sql("SELECT * FROM strays_heal()")[0]


def insert_many(picket, project, days, n, size=20):
    """Rows of a day beside those that were sent, quickly."""
    picket.sql(f"""INSERT INTO events SELECT project_id, uuid7(date_trunc('day', now(), 'UTC') + interval '{days} days 1 hour' + n * interval '1 ms'), gen_random_uuid(),
                   grouping_id, batch_id, now() + interval '{days} days', timestamp, title, level, platform, release, environment, server_name, sdk_name, sdk_version, remote_addr,
                   convert_to(repeat('x', {size}), 'UTF8')
                     FROM (SELECT * FROM events WHERE project_id = {project.id} LIMIT 1) e CROSS JOIN generate_series(1, {n}) n""")
    picket.sql(f"UPDATE project_counters SET stored = stored + {n}, digested = digested + {n} WHERE project_id = {project.id}")


def ids(picket, project):
    return picket.sql("SELECT id, event_id, md5(payload) FROM events WHERE project_id = %s ORDER BY id", project.id)


@contextlib.contextmanager
def quiet(picket):
    """Nobody moves strays meanwhile: whoever does wants to make partitions alone."""
    with psycopg.connect(picket.conninfo(), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtext('picket.partitions'))")
        yield


# ---- few

def test_days_that_come_and_days_that_are_gone(picket):
    """Their events are there before and behind, with the same ids, by the same counts, with files; each day has its partition, of which retention knows, and
    the next events of today go there, but not copies."""
    project = picket.new_project()
    days = (-40, -9, 0, 5, 33)
    with quiet(picket):
        picket.sql(f"DROP TABLE {partition(today())}")  # what a clock that was just set finds
        picket.sql("UPDATE project_counters SET stored = 0")
        sent = {days: send_dated(picket, project, days, big="".join(random.choices("0123456789abcdef", k=30000))) for days in days}
        before, row, counts = seen(project), project.row(), [issue["event_count"] for issue in project.issues()]
        assert {event: row_id for event, (row_id, _) in before.items()} == {event: row_id for day in sent.values() for event, row_id in day.items()}
        assert astray(picket) == len(before) == 15, "a clock that is off fills the default partition"
        picket.stop()
    picket.start()
    until(lambda: astray(picket) == 0, lambda: places(picket, project))
    until(lambda: "events of days without a partition have one now" in picket.log(), picket.log)
    assert places(picket, project) == {partition(today(days)): 3 for days in days}
    assert seen(project) == before and project.row() == row and [issue["event_count"] for issue in project.issues()] == counts
    assert picket.sql("SELECT stored FROM project_counters WHERE project_id = %s", project.id) == [(15,)]
    indexes = """SELECT pg_get_indexdef(i.indexrelid) ~ 'UNIQUE' || ' ' || substring(pg_get_indexdef(i.indexrelid) FROM 'USING.*')
                   FROM pg_index i WHERE i.indrelid = %s::regclass AND i.indisvalid ORDER BY 1"""
    assert len({str(picket.sql(indexes, partition(today(days)))) for days in (*days, 1)}) == 1, "a partition like others"
    copy = uuid.UUID(next(iter(sent[0]))).hex
    project.send(wire.error_event(event_id=copy), event := wire.error_event())
    project.find(event["event_id"])
    project.drain()
    assert places(picket, project)[partition(today())] == 4 and len(seen(project)) == 16
    check_stored(picket)
    assert [stage for stage, in picket.sql("SELECT stage FROM retention_due(now(), 90, 1000) WHERE day IN (%s, %s)", today(-40), today(-9))] == [3, 2]


def test_some_at_a_call(picket):
    """Eight days, 20,000 events; today first. A minute later come the others."""
    project = picket.new_project()
    with quiet(picket):
        send_dated(picket, project, 20)
        picket.stop()
    for days in (*range(21, 29), -50):
        insert_many(picket, project, days, 2)
    assert heal(picket) == (8, 17, True)  # 2 of long ago, 3, and 2 of each of 6 days
    assert heal(picket) == (2, 4, False) and heal(picket) == (0, 0, False)
    insert_many(picket, project, 30, FEW // 2)
    insert_many(picket, project, 31, FEW // 2 + 1)
    insert_many(picket, project, 32, 1)
    insert_many(picket, project, 33, 3, size=12 << 20)  # large ones
    insert_many(picket, project, 34, FEW + 1)
    assert heal(picket) == (1, FEW // 2, True)
    assert heal(picket) == (2, FEW // 2 + 2, False)
    assert heal(picket) == (0, 0, False) and astray(picket) == 3 + FEW + 1, "retention's"
    check_stored(picket)
    picket.sql("DELETE FROM events_default")
    picket.sql("UPDATE events SET id = CASE n WHEN 1 THEN uuid7('9999-12-31 23:59Z') ELSE uuid7('10000-01-01 00:01Z') END "
               "FROM (SELECT id AS row, row_number() OVER () AS n FROM events LIMIT 2) e WHERE e.row = id")
    assert heal(picket) == (1, 1, False) and astray(picket) == 1, "days behind the year 9999 have no names"


def digest(connection, project, batch, events, at):
    """The statement of a batch, as the digest sends it."""
    n = len(events)
    row_ids = [row for row, in connection.execute("SELECT uuid7(%s + n * interval '1 ms') FROM generate_series(1, %s) n", (at, n)).fetchall()]
    return connection.execute("""
        SELECT digest_events(%(node)s, %(batch)s, 64, 128, 1::smallint, ARRAY[%(p)s], ARRAY['\\x01'::bytea], ARRAY['E'], ARRAY['v'], ARRAY['E: v'], ARRAY[''],
                             ARRAY[''], ARRAY[''], ARRAY[''], ARRAY['error'], ARRAY['python'], array_fill(1, ARRAY[%(n)s]), %(ids)s::uuid[], %(events)s::uuid[],
                             array_fill(%(at)s, ARRAY[%(n)s]), array_fill(%(at)s, ARRAY[%(n)s]), array_fill('E: v'::text, ARRAY[%(n)s]),
                             array_fill('error'::text, ARRAY[%(n)s]), array_fill('python'::text, ARRAY[%(n)s]), %(empty)s, %(empty)s, %(empty)s, %(empty)s, %(empty)s,
                             array_fill(NULL::inet, ARRAY[%(n)s]), array_fill('\\x00'::bytea, ARRAY[%(n)s]), array_fill(0::bigint, ARRAY[%(n)s]),
                             array_fill(1::smallint, ARRAY[%(n)s]), array_fill(1::bigint, ARRAY[%(n)s]))""",
                              {"node": uuid.uuid4(), "batch": batch, "p": project.id, "n": n, "ids": row_ids, "events": events, "at": at,
                               "empty": [""] * n}).fetchone()[0]


class Traffic:
    """Batches of some days, in each of which some events come a second time, and somebody who looks how many there are."""

    def __init__(self, picket, project, *days):
        self.picket, self.project, self.days = picket, project, days
        self.stop = threading.Event()
        self.stored, self.batches = [], 0
        self.looks, self.slowest = [], 0.0
        self.pool = concurrent.futures.ThreadPoolExecutor(3)

    def connect(self):
        return psycopg.connect(self.picket.conninfo(), autocommit=True, application_name="picket digest")

    def digest(self, number):
        at = datetime.datetime.now(datetime.timezone.utc).replace(minute=0)
        old = []
        with self.connect() as connection:
            while not self.stop.is_set():
                for days in self.days:
                    fresh = [uuid.uuid4() for _ in range(20)]
                    events = sorted(fresh + old[-5:] if days == self.days[0] else fresh)
                    began = time.monotonic()
                    outcomes = digest(connection, self.project, self.batches * 2 + number, events, at + datetime.timedelta(days=days))
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    assert [event for event, outcome in zip(events, outcomes) if outcome == 1] == sorted(fresh)
                    old = fresh if days == self.days[0] else old
                    self.stored += fresh
                    self.batches += 1

    def look(self):
        with self.connect() as connection:
            while not self.stop.is_set():
                at_least = len(self.stored)
                count, distinct = connection.execute("SELECT count(*), count(DISTINCT event_id) FROM events WHERE project_id = %s", (self.project.id,)).fetchone()
                assert count == distinct and count >= max([at_least, *self.looks[-1:]]), (count, distinct, at_least, self.looks[-1:])
                self.looks.append(count)

    def wait(self, more):
        """Until so many batches more are stored."""
        goal = self.batches + more
        until(lambda: self.batches >= goal or any(job.done() for job in self.jobs), lambda: self.batches, 60)

    def __enter__(self):
        self.jobs = [self.pool.submit(self.digest, 0), self.pool.submit(self.digest, 1), self.pool.submit(self.look)]
        return self

    def __exit__(self, *_):
        self.stop.set()
        for job in self.jobs:
            job.result(60)

    def check(self):
        assert sorted(event for _, event, _ in ids(self.picket, self.project)) == sorted(self.stored)
        assert len(self.looks) > 10
        check_stored(self.picket)


def test_batches_and_readers_meanwhile(picket):
    """Batches for the very day commit before, during and behind each move; no event is lost, refused, stored twice or out of sight for a moment."""
    project = picket.new_project()
    project.send(wire.error_event())
    project.wait_count(1)
    picket.sql("DELETE FROM events WHERE project_id = %s", project.id)
    picket.sql("UPDATE project_counters SET stored = 0 WHERE project_id = %s", project.id)
    picket.stop()
    with Traffic(picket, project, 10, 11) as traffic:
        for _ in range(12):
            traffic.wait(10)
            until(lambda: heal(picket)[0] > 0 or any(job.done() for job in traffic.jobs), "nothing is moved", 30)
            traffic.wait(5)
            picket.sql("""DO $$ BEGIN -- and they lie in the default partition again
                LOCK TABLE events IN ACCESS EXCLUSIVE MODE;
                CREATE TEMP TABLE aside ON COMMIT DROP AS SELECT * FROM events WHERE id >= uuid7_midnight((now() AT TIME ZONE 'UTC')::date + 9);
                EXECUTE (SELECT string_agg('DROP TABLE ' || relname, ';') FROM pg_class
                          WHERE relname ~ '^events_\\d{8}$' AND relname > events_day((now() AT TIME ZONE 'UTC')::date + 8));
                INSERT INTO events SELECT * FROM aside; END $$""")
        until(lambda: heal(picket) == (0, 0, False) or any(job.done() for job in traffic.jobs), "something stays", 30)
    assert astray(picket) == 0 and set(places(picket, project)) == {partition(today(10)), partition(today(11))}
    assert traffic.slowest < 2 * TIME_FACTOR
    traffic.check()


def waits(picket, over, found):
    with psycopg.connect(picket.conninfo(), autocommit=True) as other:
        while not over.wait(0.005):
            found += other.execute("""SELECT mode FROM pg_locks WHERE relation IN ('events'::regclass, 'events_default'::regclass) AND NOT granted""").fetchall()


@pytest.mark.parametrize("table", ["events", "events_default"])
def test_a_dump_keeps_the_table(picket, table):
    """As long as it does nothing is moved, nobody stands in line behind anybody, and events come and go. It happens by itself when it is over."""
    project = picket.new_project()
    with quiet(picket):
        send_dated(picket, project, 12)
        picket.stop()
    waiting, over = [], threading.Event()
    watcher = threading.Thread(target=waits, args=(picket, over, waiting))
    with psycopg.connect(picket.conninfo()) as dump:
        dump.execute(f"LOCK TABLE ONLY {table} IN ACCESS SHARE MODE")
        watcher.start()
        try:
            picket.start()
            event = wire.error_event()
            project.send(event)
            project.find(event["event_id"], seconds=5)
            began = time.monotonic()
            assert heal(picket) == (0, 0, True) and time.monotonic() - began < 2 * TIME_FACTOR
        finally:
            over.set()
            watcher.join()
        assert waiting == [] and astray(picket) == 3
    until(lambda: astray(picket) == 0, lambda: places(picket, project), 30)
    assert places(picket, project)[partition(today(12))] == 3


def test_not_while_retention_runs(picket):
    """It has listed the tables that it looks through for erased persons."""
    project = picket.new_project()
    with psycopg.connect(picket.conninfo(), autocommit=True) as run:
        run.execute("SELECT pg_advisory_lock(hashtext('picket.retention.run'))")
        send_dated(picket, project, 12)
        assert heal(picket) == (0, 0, True) and astray(picket) == 3
    until(lambda: heal(picket) and astray(picket) == 0, lambda: places(picket, project))


def test_a_person_who_was_found_astray_is_erased_in_the_day(picket):
    project = picket.new_project()
    with quiet(picket):
        rows = {days: send_dated(picket, project, days, user={"id": "jane"}) for days in (-5, 12)}
        others = send_dated(picket, project, -5, user={"id": "joe"})
        (erasure,), = picket.sql("INSERT INTO erasures (project_id, field, key, horizon) VALUES (%s, 'id', 'jane', 1000000) RETURNING id", project.id)
        for row in (row for day in rows.values() for row in day.values()):
            picket.sql("INSERT INTO erasure_rows VALUES (%s, %s, %s, 10)", project.id, row, erasure)
        picket.stop()
    assert heal(picket) == (2, 9, False)
    picket.command("retention", "run")
    picket.start()
    assert {event: row for event, (row, _) in seen(project).items()} == others
    assert picket.sql("SELECT events FROM erasures WHERE id = %s", erasure) == [(6,)]
    check_stored(picket)


# ---- many

def test_many_are_retentions(picket):
    """They are copied while batches of the same days are stored, and swapped in; few of other days go with them; a dry run moves nothing."""
    project = picket.new_project()
    with quiet(picket):
        send_dated(picket, project, 14)
        insert_many(picket, project, 15, FEW + 1)
        insert_many(picket, project, -30, 5)
        before = ids(picket, project)
        assert heal(picket) == (0, 0, True)
        told = json.loads(picket.command("retention", "run", "--dry-run", "--json"))["days"]
        assert [(day["day"], day["rows"], day["dropped_rows"]) for day in told if day["day"] == f"{today(-30)}"] == [(f"{today(-30)}", FEW + 9, 0)], told
        assert astray(picket) == len(before) == FEW + 9
    busy = picket.new_project()
    with Traffic(picket, busy, 14, 15) as traffic:
        traffic.wait(30)
        until(lambda: picket.run("retention", "run").returncode == 0 and astray(picket) == 0 or any(job.done() for job in traffic.jobs), lambda: astray(picket), 60)
        traffic.wait(30)
    traffic.check()
    assert ids(picket, project) == before and astray(picket) == 0
    assert places(picket, project) == {partition(today(14)): 3, partition(today(15)): FEW + 1, partition(today(-30)): 5}
    assert picket.sql("SELECT count(*) FROM pg_class WHERE relname ~ '^events_(\\d{8}|default)_new$'") == [(0,)]
    assert picket.sql("SELECT DISTINCT reloptions FROM pg_class WHERE relname ~ '^events_(\\d{8}|default)$'") == [(None,)]
    picket.sql("SELECT ensure_partitions(now(), 1, 20)")
    send_dated(picket, project, 50)
    until(lambda: heal(picket) and astray(picket) == 0, "it heals again")
    check_stored(picket)


def test_a_swap_takes_what_came_late(picket):
    """Of days that were copied, of those that were not, and of no other run's copy; it waits for nobody who stays."""
    project = picket.new_project()
    with quiet(picket):
        send_dated(picket, project, 14)
        picket.stop()
    with psycopg.connect(picket.conninfo(), autocommit=True) as connection:
        insert_many(picket, project, 15, FEW + 1)
        ((horizon, _),) = picket.sql("SELECT horizon, at FROM retention_begin()")
        ((rows, _, dropped, _, made),) = picket.sql(f"SELECT * FROM strays_copy({horizon})")
        assert (rows, dropped, made) == (FEW + 4, 0, True)
        late = [uuid.uuid4() for _ in range(9)]
        for i, days in enumerate((14, 15, 16)):
            digest(connection, project, i, sorted(late[i * 3:i * 3 + 3]), datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days))
    before = ids(picket, project)
    with pytest.raises(psycopg.errors.RaiseException, match="of another run"):
        picket.sql(f"SELECT strays_swap({horizon + 100}, 200)")
    with psycopg.connect(picket.conninfo()) as dump:
        dump.execute("LOCK TABLE ONLY events IN ACCESS SHARE MODE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            picket.sql(f"SELECT strays_swap({horizon}, 200)")
    assert picket.sql(f"SELECT strays_swap({horizon}, 200)") == [(9,)]
    assert ids(picket, project) == before
    assert places(picket, project) == {partition(today(14)): 6, partition(today(15)): FEW + 4, "events_default": 3}
    assert heal(picket) == (1, 3, False)
    check_stored(picket)


# ---- told

def test_status_tells(picket):
    project = picket.new_project()

    def status():
        return json.loads(picket.command("status", "--json"))["database"]["strays"], " ".join(picket.command("status").split())
    strays, words = status()
    assert strays == [] and "astray" not in words
    with quiet(picket):
        send_dated(picket, project, 12)
        insert_many(picket, project, -30, 5)
        strays, words = status()
        assert strays == [{"day": f"{today(-30)}", "events": 5, "or_more": False, "for_retention": False},
                          {"day": f"{today(12)}", "events": 3, "or_more": False, "for_retention": False}]
        assert "astray 8 events beside the days" in words and "within minutes" in words and f"Their days: {today(-30)}, {today(12)}" in words
        insert_many(picket, project, 12, FEW)
        strays, words = status()
        assert strays[1] == {"day": f"{today(12)}", "events": FEW, "or_more": True, "for_retention": True}
        assert f"astray more than {FEW + 5} events" in words and "the next run of retention moves them" in words
