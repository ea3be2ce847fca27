"""Deleting a project (contract R11): gone for everybody at once, taken away in the background; nothing of its neighbours is touched."""
import concurrent.futures
import json
import re

import psycopg
import pytest

import wire
from contract import check_error
from test_retention import all_rows, check_stored, fill, retention
from test_traversal import API, World
from waiting import away_from_midnight, until

DAYS = 90
OF_PROJECTS = "SELECT c.conrelid::regclass::text FROM pg_constraint c WHERE c.contype = 'f' AND c.confrelid IN ('issues'::regclass, 'all_projects'::regclass)"


@pytest.fixture
def picket(make_picket):
    away_from_midnight()
    return make_picket(RETENTION_DAYS=DAYS, RETENTION_EVENTS_PER_ISSUE=1000).start()


def test_it_is_gone_at_once(picket):
    world, other = World(picket), picket.new_project()
    other.send(wire.error_event())
    other.wait_count(1)
    project, before = world.project, other.row()
    name = project.row()["name"]
    answer = picket.api.delete(project.path)
    assert answer.status_code == 204 and answer.content == b""
    for method, route in API:
        if "{project}" in route:
            path = re.sub(r"\{(\w+)\}", lambda m: str(world.valid[m.group(1)]), route)
            members = {"name": "x", "alert_type": "unmute", "user": "email:a@b.example", "is_resolved": True, "q": "x"}
            body = {"json": members} if method in ("POST", "PATCH") or (method == "DELETE" and route.endswith("/issues")) else {}
            check_error(picket.api.request(method, path, **body), 404, "NotFound")
    for rows in (picket.api.read("/api/projects")["items"], picket.projects()):
        assert other.id in (ids := [row["id"] for row in rows]) and project.id not in ids
    until(lambda: project.post(wire.event_envelope(wire.error_event())).status_code == 403, "the key still opens the door", 5)
    again = picket.new_project(name)
    assert again.slug == project.slug and again.id != project.id
    assert other.row() == before and len(other.all_events()) == 1


def test_what_it_had_is_taken_away(picket):
    """Whatever table is added for projects later: the test reads their list from the database."""
    world, other = World(picket), picket.new_project()
    project = world.project
    for each in (project, other):
        fill(picket, each, 1001, 20, days=12)
    retention(picket)
    kept = picket.sql("SELECT count(*) FROM events WHERE project_id <> %s", project.id)
    tables = [name for name, in picket.sql(OF_PROJECTS)]
    assert {"issues", "groupings", "attachments", "monitors", "alert_rules"} <= set(tables)
    assert picket.api.delete(project.path).status_code == 204
    done = picket.run("retention", "run", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["days"], done.stderr
    for table in {*tables, "feedback", "release_hours", "outcomes", "check_ins", "project_keys"}:
        assert picket.sql(f"SELECT count(*) FROM {table} WHERE project_id = %s", project.id) == [(0,)], table
    assert picket.sql("SELECT count(*) FROM all_projects WHERE id = %s", project.id) == [(0,)] and other.row()["id"] == other.id
    ages = "SELECT DISTINCT (now() AT TIME ZONE 'UTC')::date - (received_at AT TIME ZONE 'UTC')::date FROM events WHERE project_id = %s ORDER BY 1"
    assert picket.sql(ages, project.id) == [(0,), (1,)]  # days that are still hot
    assert picket.sql("SELECT count(*) FROM events WHERE project_id <> %s", project.id) == kept
    assert retention(picket) == [] and all_rows(picket) > 0
    check_stored(picket)


def test_many_rows_go_in_steps(picket):
    """More than one step takes: 12,000 hours of issues."""
    project = picket.new_project()
    picket.sql("""WITH i AS (INSERT INTO issues (project_id, id, number, title, type, value, transaction, frame_filename, frame_module, frame_function,
                                                 first_seen, last_seen)
                             SELECT %s, gen_random_uuid(), n, '', '', '', '', '', '', '', now(), now() FROM generate_series(1, 1200) n RETURNING project_id, id)
                  INSERT INTO issue_hours SELECT project_id, id, date_trunc('hour', now()) - n * interval '1 hour', 1 FROM i CROSS JOIN generate_series(1, 10) n""", project.id)
    assert picket.api.delete(project.path).status_code == 204
    steps = []
    while (n := picket.sql("SELECT projects_tidy(5000)")[0][0]) > 0:
        steps.append(n)
    assert steps[:3] == [5000, 5000, 2000] and 1200 in steps and max(steps) == 5000 and steps[-1] == 1
    assert picket.sql("SELECT count(*) FROM all_projects WHERE id = %s", project.id) == [(0,)]


def test_events_on_their_way(make_picket):
    """What was acknowledged before and is digested after belongs to nobody, and holds nobody up."""
    picket = make_picket(DIGEST_WORKERS=1).start()
    gone, other = picket.new_project(), picket.new_project()
    gone.send(wire.error_event("First"))
    gone.wait_count(1)
    with concurrent.futures.ThreadPoolExecutor(1) as threads, psycopg.connect(picket.conninfo()) as person:
        person.execute("LOCK TABLE events IN EXCLUSIVE MODE")
        gone.send(wire.error_event("First"), wire.error_event("Second"))
        other.send(wire.error_event())
        answer = threads.submit(picket.api.delete, gone.path)  # waits for a batch that makes an issue there
        until(lambda: picket.sql("SELECT 1 FROM pg_stat_activity WHERE application_name = 'picket digest' AND wait_event_type = 'Lock'"), "nobody waits")
        person.rollback()
        assert answer.result().status_code == 204
    other.wait_count(1)
    other.drain()
    assert picket.api.read("/health/ready")["status"] == "ready"
    assert picket.api.read("/api/dead-letters")["items"] == []
