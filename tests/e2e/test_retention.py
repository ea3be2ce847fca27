"""Retention: what is kept of a hundred days, what a rewrite leaves alone, and what it costs others meanwhile (architecture, "Cooling")."""
import json
import threading
import time

import psycopg
import pytest

import wire
from waiting import TIME_FACTOR, away_from_midnight, until

DAYS, PER_ISSUE = 90, 1000

# Days of one issue up to today: `per_day` events a day around noon, with the counts that the digest would have made.
FILL = """
WITH issue AS (
    INSERT INTO issues (project_id, id, number, title, type, value, transaction, frame_filename, frame_module, frame_function, first_seen, last_seen,
                        event_count)
    VALUES (%(project)s, gen_random_uuid(), %(number)s, 'Old: ' || %(number)s, 'Old', '', '', '', '', '', now() - interval '99 days', now(),
            %(per_day)s * %(days)s)
    RETURNING id),
numbered AS (UPDATE project_numbering SET last_issue = last_issue + 1 WHERE project_id = %(project)s),
grouping AS (
    INSERT INTO groupings (project_id, id, issue_id, version, hash)
    SELECT %(project)s, nextval('groupings_id'), id, 1, sha256(id::text::bytea) FROM issue RETURNING id, issue_id),
moments AS (
    SELECT d, n, date_trunc('day', now(), 'UTC') - make_interval(days => d) + interval '12 hours' + n * interval '5 seconds' AS at
      FROM generate_series(0, %(days)s - 1) d CROSS JOIN generate_series(1, %(per_day)s) n),
made AS (
    INSERT INTO events (project_id, id, event_id, grouping_id, batch_id, received_at, timestamp, title, level, platform, release, environment,
                        server_name, sdk_name, sdk_version, payload)
    SELECT %(project)s, overlay(uuid7_floor(m.at)::text PLACING substr(gen_random_uuid()::text, 15) FROM 15)::uuid, gen_random_uuid(), g.id, 0, m.at,
           m.at, 'Old', 'error', 'python', '', '', '', '', '', convert_to(repeat('x', %(bytes)s), 'UTF8')
      FROM moments m CROSS JOIN grouping g),
hours AS (
    INSERT INTO issue_hours (project_id, issue_id, hour, events)
    SELECT %(project)s, g.issue_id, date_trunc('hour', m.at), count(*) FROM moments m CROSS JOIN grouping g GROUP BY 1, 2, 3)
UPDATE project_counters SET stored = stored + %(days)s * %(per_day)s, digested = digested + %(days)s * %(per_day)s WHERE project_id = %(project)s
"""


def fill(picket, project, number, per_day, size=100, days=100):
    text = FILL
    for name, value in (("project", project.id), ("number", number), ("per_day", per_day), ("bytes", size), ("days", days)):
        text = text.replace(f"%({name})s", str(value))
    picket.sql(f"SELECT ensure_partitions(now(), {days}, 3)")
    picket.sql(text)


def rows_by_age(picket, project, number=None):
    """{age in days: events} of a project or one of its issues."""
    only = "" if number is None else f"JOIN issues i ON i.project_id = g.project_id AND i.id = g.issue_id AND i.number = {number}"
    return dict(picket.sql(f"""
        SELECT (now() AT TIME ZONE 'UTC')::date - (e.received_at AT TIME ZONE 'UTC')::date, count(*)
          FROM events e JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id {only} WHERE e.project_id = {project.id} GROUP BY 1"""))


def all_rows(picket):
    return picket.sql("SELECT count(*) FROM events")[0][0]


def rows_of(picket, project):
    return picket.sql("SELECT count(*) FROM events WHERE project_id = %s", project.id)[0][0]


def check_stored(picket):
    assert picket.sql("""SELECT c.project_id, c.stored, count(e.id) FROM project_counters c LEFT JOIN events e USING (project_id)
                          GROUP BY c.project_id, c.stored HAVING c.stored <> count(e.id)""") == []


def retention(picket, *more):
    done = picket.run("retention", "run", "--json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["days"]


@pytest.fixture
def picket(make_picket):
    away_from_midnight()
    return make_picket(RETENTION_DAYS=DAYS, RETENTION_EVENTS_PER_ISSUE=PER_ISSUE).start()


class Bystander:
    """Sends events and asks for issues all the while, and notes how long both took."""

    def __init__(self, picket):
        self.project = picket.new_project()
        self.visible, self.answers = [], []
        self.stop = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while not self.stop.is_set():
                event = wire.error_event()
                began = time.monotonic()
                self.project.send(event)
                self.project.find(event["event_id"])
                self.visible.append(time.monotonic() - began)
                began = time.monotonic()
                self.project.issues()
                self.answers.append(time.monotonic() - began)
        except Exception as e:  # pylint: disable=broad-exception-caught # reported by __exit__
            self.failure = e

    def __enter__(self):
        self.thread.start()
        until(lambda: self.visible or self.failure, "no event became visible", 30)
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        if self.failure:
            raise self.failure


def test_a_hundred_days(picket):
    plain, short, deleted, bounded = (picket.new_project() for _ in range(4))
    fill(picket, plain, 1001, 60)  # noisy: 6,000
    fill(picket, plain, 1002, 1)
    fill(picket, short, 1001, 5)
    fill(picket, deleted, 1001, 3)
    fill(picket, bounded, 1001, 4, size=10_000)
    for project, option, value in ((short, "--retention-days", 10), (bounded, "--retention-bytes", 1_000_000)):
        picket.command("project", "set", project.id, option, value)
    picket.sql(f"DELETE FROM projects WHERE id = {deleted.id}")
    before = all_rows(picket)

    planned = retention(picket, "--dry-run")
    assert all_rows(picket) == before
    with Bystander(picket) as bystander:
        first = retention(picket)
    assert [(day["day"], day["dropped_rows"]) for day in first] == [(day["day"], day["dropped_rows"]) for day in planned]
    assert {day["result"] for day in first} == {"ok"}
    second = retention(picket)  # the bytes of a day are known once it was looked at
    dropped = sum(day["dropped_rows"] for day in first + second)
    assert all_rows(picket) == before - dropped + len(bystander.visible)
    assert retention(picket) == []
    check_stored(picket)
    assert max(bystander.visible) < 5 * TIME_FACTOR and max(bystander.answers) < 2 * TIME_FACTOR, (max(bystander.visible), max(bystander.answers))

    quiet = rows_by_age(picket, plain, 1002)
    assert set(quiet.values()) == {1} and set(quiet) == set(range(DAYS + 1))
    assert picket.sql("SELECT min(day) = (now() AT TIME ZONE 'UTC')::date - 90 FROM retention_days_list()") == [(True,)]
    noisy = rows_by_age(picket, plain, 1001)
    cooled = {age: n for age, n in noisy.items() if age >= 2}
    assert noisy[0] == noisy[1] == 60 and set(cooled) == set(range(2, DAYS + 1))
    assert max(cooled.values()) - min(cooled.values()) <= 1 and 2 <= min(cooled.values())  # a spread, not the end of the line
    assert 0.9 * PER_ISSUE < sum(noisy.values()) < PER_ISSUE + 2 * 60 + DAYS
    assert rows_by_age(picket, short) == dict.fromkeys(range(11), 5)
    assert picket.sql(f"SELECT count(*) FROM events WHERE project_id = {deleted.id}") == [(2 * 3,)]  # of the two days that are still hot
    kept = rows_by_age(picket, bounded)
    assert max(kept) < 30 and set(kept.values()) == {4} and sum(n for age, n in kept.items() if age >= 2) * 10_000 <= 1_000_000
    # what an issue was stays, with its number and its count of all that ever came
    assert picket.sql(f"SELECT number, event_count FROM issues WHERE project_id = {plain.id} ORDER BY number") == [(1001, 6000), (1002, 100)]


def delete(project, number):
    (issue,) = [issue for issue in project.issues() if issue["title"] == f"Old: {number}"]
    assert project.api.delete(project.issue_path(issue)).status_code == 204


LEAVINGS = "SELECT (now() AT TIME ZONE 'UTC')::date - day, rows FROM issue_leavings ORDER BY day DESC"


def test_rows_of_deleted_issues_go(picket):
    """At once where they are a tenth of a day, after a week where they are fewer; days that are still hot come later."""
    project, days = picket.new_project(), 12
    for number, per_day in ((1001, 20), (1002, 30), (1003, 1)):
        fill(picket, project, number, per_day, days=days)
    assert {day["result"] for day in retention(picket)} <= {"ok"} and retention(picket) == []
    delete(project, 1001)
    assert picket.sql(LEAVINGS) == [(age, 20) for age in range(days)]
    assert sum(day["dropped_rows"] for day in retention(picket)) == 20 * (days - 2)
    assert picket.sql(LEAVINGS) == [(0, 20), (1, 20)] and rows_of(picket, project) == 51 * days - 20 * (days - 2)
    check_stored(picket)
    delete(project, 1003)
    assert retention(picket) == []
    picket.sql("UPDATE issue_leavings SET since = since - interval '8 days'")
    assert sum(day["dropped_rows"] for day in retention(picket)) == days - 2
    assert rows_by_age(picket, project) == dict.fromkeys(range(days), 30) and retention(picket) == []
    check_stored(picket)


def test_an_issue_that_is_deleted_during_a_copy(picket):
    """Its rows are in the copy: they stay noted."""
    project = picket.new_project()
    for number in (1001, 1002):
        fill(picket, project, number, 10, days=12)
    assert retention(picket)
    delete(project, 1001)
    ((day, stage, _),) = picket.sql("SELECT day, stage, drops FROM retention_due(now(), 90, 1000) WHERE day = (now() AT TIME ZONE 'UTC')::date - 9")
    ((horizon, _),) = picket.sql("SELECT horizon, at FROM retention_begin()")
    ((rows, _, dropped, _, _),) = picket.sql(f"SELECT * FROM retention_copy('{day}', {stage}::smallint, false, {horizon}, now(), 90, 1000)")
    assert (rows, dropped) == (20, 10)
    delete(project, 1002)
    assert picket.sql(f"SELECT retention_swap_unless_held('{day}', {stage}::smallint, {horizon}, 200)") == [(0,)]
    assert picket.sql(f"SELECT rows FROM issue_leavings WHERE day = '{day}'") == [(20,)]  # what is noted together is settled together
    assert retention(picket) and rows_by_age(picket, project) == {}
    assert rows_of(picket, project) == 2 * 20 and retention(picket) == []
    check_stored(picket)


def test_oldest_and_newest_of_a_day_are_kept(picket):
    project = picket.new_project()
    fill(picket, project, 1001, 100, days=20)
    ends = """SELECT (received_at AT TIME ZONE 'UTC')::date, min(id::text), max(id::text) FROM events GROUP BY 1 ORDER BY 1"""
    before = picket.sql(ends)
    retention(picket)
    assert picket.sql(ends) == before
    gaps = picket.sql("""SELECT max(gap) / min(gap) FROM (
        SELECT extract(epoch FROM received_at - lag(received_at) OVER (PARTITION BY (received_at AT TIME ZONE 'UTC')::date ORDER BY id)) AS gap
          FROM events WHERE received_at < now() - interval '3 days') g WHERE gap IS NOT NULL""")
    assert gaps[0][0] <= 3  # evenly spread: no step is skipped, none taken twice


def test_what_comes_during_a_copy_is_kept(picket):
    project = picket.new_project()
    fill(picket, project, 1001, 50, days=45)
    ((day, stage, _),) = picket.sql("SELECT day, stage, drops FROM retention_due(now(), 90, 1000) WHERE day = (now() AT TIME ZONE 'UTC')::date - 40")
    ((horizon, _),) = picket.sql("SELECT horizon, at FROM retention_begin()")
    ((rows, _, dropped, _, _),) = picket.sql(f"SELECT * FROM retention_copy('{day}', {stage}::smallint, false, {horizon}, now(), 90, 1000)")
    assert rows == 50 and 0 < dropped < 50
    with pytest.raises(psycopg.errors.RaiseException, match="another run"):  # whose horizon is another: its rows would be missing
        picket.sql(f"SELECT retention_swap('{day}', {stage}::smallint, {horizon} + 1, 200)")
    picket.sql(f"""INSERT INTO events SELECT project_id, overlay(id::text PLACING 'ffff' FROM 20)::uuid, gen_random_uuid(), grouping_id, {horizon} + 1, received_at,
                   timestamp, title, level, platform, release, environment, server_name, sdk_name, sdk_version, remote_addr, payload
                   FROM events WHERE (received_at AT TIME ZONE 'UTC')::date = '{day}' LIMIT 1""")
    assert picket.sql(f"SELECT retention_swap('{day}', {stage}::smallint, {horizon}, 200)") == [(1,)]
    assert rows_by_age(picket, project)[40] == 50 - dropped + 1
    name = f"events_{day:%Y%m%d}"
    # it is what it was: attached, pruned to, with the key that keeps duplicates out
    assert picket.sql(f"SELECT relispartition FROM pg_class WHERE relname = '{name}'") == [(True,)]
    plan = picket.sql(f"EXPLAIN SELECT * FROM events WHERE id >= uuid7_floor('{day} UTC') AND id < uuid7_floor('{day} UTC'::timestamptz + interval '1 day')")
    assert all(name in line or "events_" not in line for (line,) in plan), plan
    with pytest.raises(psycopg.errors.UniqueViolation):
        picket.sql(f"INSERT INTO events SELECT project_id, overlay(id::text PLACING 'eeee' FROM 20)::uuid, event_id, grouping_id, 0, received_at, timestamp, title, level, "
                   f"platform, release, environment, server_name, sdk_name, sdk_version, remote_addr, payload FROM {name} LIMIT 1")
    assert picket.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'events%new'") == [(0,)]


def test_a_day_whose_swap_never_came_stays_due(picket):
    """As when pg_dump holds the table for longer than the swap is tried, or Picket is killed between copy and swap."""
    project, other = picket.new_project(), picket.new_project()
    fill(picket, project, 1001, 5, days=45)
    fill(picket, other, 1001, 5, days=45)
    retention(picket)
    picket.sql(f"UPDATE projects SET retention_days = 30 WHERE id = {other.id}")
    picket.sql(f"DELETE FROM projects WHERE id = {project.id}")
    due = "SELECT day, stage, drops FROM retention_due(now(), 90, 1000)"
    retention(picket, "--dry-run")  # to know the days' projects, which are known once a day was looked at
    before = picket.sql(due)
    assert before
    for day, stage, drops in before:
        ((horizon, _),) = picket.sql("SELECT horizon, at FROM retention_begin()")
        picket.sql(f"SELECT retention_copy('{day}', {stage}::smallint, {drops}, {horizon}, now(), 90, 1000)")
    assert picket.sql(due) == before
    retention(picket)
    assert picket.sql(due) == [] and picket.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'events%new'") == [(0,)]
    assert set(rows_by_age(picket, other)) <= set(range(31 + 1))


def test_a_swap_waits_briefly_and_not_for_batches_that_may_still_commit(picket):
    project = picket.new_project()
    fill(picket, project, 1001, 50, days=45)
    ((day, stage, _),) = picket.sql("SELECT day, stage, drops FROM retention_due(now(), 90, 1000) WHERE day = (now() AT TIME ZONE 'UTC')::date - 40")
    with psycopg.connect(picket.conninfo(), application_name="picket test") as other:
        other.execute("SELECT nextval('digest_batch_id')")
        ((horizon, at),) = picket.sql("SELECT horizon, at FROM retention_begin()")
        assert picket.sql(f"SELECT retention_quiet('{at.isoformat()}')") == [(False,)]  # its batch has a number and may yet commit
        other.rollback()
        assert picket.sql(f"SELECT retention_quiet('{at.isoformat()}')") == [(True,)]
        picket.sql(f"SELECT retention_copy('{day}', {stage}::smallint, false, {horizon}, now(), 90, 1000)")
        other.execute("LOCK TABLE events IN ROW EXCLUSIVE MODE")  # as a batch does
        began = time.monotonic()
        with pytest.raises(psycopg.errors.LockNotAvailable):
            picket.sql(f"SELECT retention_swap('{day}', {stage}::smallint, {horizon}, 200)")
        assert time.monotonic() - began < 2 * TIME_FACTOR
        other.rollback()
        picket.sql(f"SELECT retention_swap('{day}', {stage}::smallint, {horizon}, 200)")
    check_stored(picket)


def test_a_dump_keeps_the_table(picket):
    """Behind a transaction that stays, the swap gives up for all days, and never stands in line: whoever comes after it would wait, too."""
    project = picket.new_project()
    fill(picket, project, 1001, 50, days=45)
    before = all_rows(picket)
    waiting, over = [], threading.Event()

    def watch():
        with psycopg.connect(picket.conninfo(), autocommit=True) as other:
            while not over.wait(0.02):
                waiting.extend(other.execute("SELECT mode FROM pg_locks WHERE relation = 'events'::regclass AND NOT granted").fetchall())

    watcher = threading.Thread(target=watch)
    with psycopg.connect(picket.conninfo()) as dump:
        dump.execute("LOCK TABLE events IN ACCESS SHARE MODE")
        watcher.start()
        try:
            began = time.monotonic()
            done = picket.run("retention", "run", "--json")
            took = time.monotonic() - began
        finally:
            over.set()
            watcher.join()
    assert done.returncode == 1 and "days could not be had" in done.stderr, done
    assert [day["result"] for day in json.loads(done.stdout)["days"] if day["result"] != "ok"] == ["55P03"] and took < 60 * TIME_FACTOR, done
    assert waiting == []
    assert all_rows(picket) == before
    retention(picket)
    check_stored(picket)
    assert picket.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'events%new'") == [(0,)]
    assert all_rows(picket) < before


def run_day(sql, day, age):
    """What retention does with a day at that age, where events are kept for 90 days, 30 of an issue: its stage, or None when it is not due."""
    now = f"('{day}'::timestamp AT TIME ZONE 'UTC') + interval '{age} days 12 hours'"
    due = sql(f"SELECT stage, drops FROM retention_due({now}, 90, 30) WHERE day = '{day}'")
    if not due:
        return None
    ((stage, drops),) = due
    ((horizon, _),) = sql("SELECT horizon, at FROM retention_begin()")
    ((*_, is_made),) = sql(f"SELECT * FROM retention_copy('{day}', {stage}::smallint, {drops}, {horizon}, {now}, 90, 30)")
    if is_made:
        sql(f"SELECT retention_swap('{day}', {stage}::smallint, {horizon}, 5000)")
    return stage


def test_a_day_through_its_stages(picket):
    """A day from its end to where nobody keeps it. It is due at the ages of 2, 8 and 31 days; between them when a tenth of it is late (its project's days are
    over), or something for more than a week. So a small project's events may stay for that week, and no longer."""
    projects = _, small, half = [picket.new_project() for _ in range(3)]
    for project, events in zip(projects, (60, 3, 30)):
        fill(picket, project, 1001, events, days=1)
    with psycopg.connect(picket.conninfo(), autocommit=True) as connection:
        def sql(statement):
            return connection.execute(statement).fetchall()

        for project, days in ((small, 10), (half, 20)):
            sql(f"UPDATE projects SET retention_days = {days} WHERE id = {project.id} RETURNING id")
        ((day,),) = sql("SELECT (now() AT TIME ZONE 'UTC')::date")
        seen = []
        for age in range(93):
            stage = run_day(sql, day, age)
            if stage is not None:
                seen.append((age, stage, *[sql(f"SELECT count(*) FROM events WHERE project_id = {project.id}")[0][0] for project in projects]))
                check_stored(picket)
        assert seen == [(2, 1, 30, 3, 30),   # cooled: the noisy issue keeps its share
                        (8, 2, 30, 3, 30),
                        (18, 2, 30, 0, 30),  # late since the age of 11, and less than a tenth
                        (21, 2, 30, 0, 0),   # late since today, and more than that
                        (31, 3, 30, 0, 0),
                        (91, 3, 0, 0, 0)]
        assert sql(f"SELECT to_regclass('events_{day:%Y%m%d}'), count(*) FROM event_days WHERE day = '{day}'") == [(None, 0)]


def askers(picket):
    return picket.sql("SELECT count(*) FROM pg_stat_activity WHERE query ~ '^-- One retention at a time|^SELECT pg_try_advisory_lock'")[0][0]


def test_two_at_once_and_wrong_calls(picket):
    codes = []
    with psycopg.connect(picket.conninfo()) as other:
        other.execute("SELECT pg_advisory_lock(hashtext('picket.retention.run'))")
        for wait in (0, 1):
            done = picket.run("retention", "run", "--wait", wait)
            assert done.returncode == 1 and f"another retention is at work on this database, {wait} s later" in done.stderr
        before = askers(picket)
        waiting = threading.Thread(target=lambda: codes.append(picket.run("retention", "run").returncode))
        waiting.start()
        until(lambda: askers(picket) > before, lambda: (askers(picket), before))
        assert codes == []
    waiting.join()
    assert codes == [0]
    assert picket.run("retention").returncode == 2
    project = picket.new_project()
    assert picket.run("project", "set", project.id, "--retention-days", "soon").returncode == 2
    assert picket.run("project", "set", 999999, "--retention-days", 5).returncode == 1
    rules = json.loads(picket.command("project", "set", project.id, "--retention-days", 30, "--retention-events-per-issue", 7, "--json"))
    assert rules == [{"retention_days": 30, "retention_events_per_issue": 7, "retention_bytes": None}]
    rules = json.loads(picket.command("project", "set", project.id, "--retention-days", 0, "--json"))
    assert rules == [{"retention_days": None, "retention_events_per_issue": 7, "retention_bytes": None}]
