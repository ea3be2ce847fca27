"""Persons who are erased (architecture, "Cooling"): their events, dead letters, feedback and session users go, whatever the person was known by; the
bytes with the rows; nobody else's data, no number and no count of an issue; and nothing that comes afterwards."""
import fcntl
import glob
import json
import os
import uuid

import psycopg
import pytest

import wire
from client import Api
from test_dead_letters import refusing
from test_feedback import feedback, feedback_item
from test_retention import all_rows, check_stored, rows_by_age
from test_sessions import new_sid, update
from waiting import until

DAYS = 5

# Each event of a project once more on every day before today.
COPIES = """
INSERT INTO events SELECT e.project_id, overlay(uuid7_floor(at)::text PLACING substr(gen_random_uuid()::text, 15) FROM 15)::uuid, gen_random_uuid(), grouping_id,
       batch_id, at, at, title, level, platform, release, environment, server_name, sdk_name, sdk_version, remote_addr, payload
  FROM events e CROSS JOIN LATERAL (SELECT received_at - make_interval(days => d) AS at FROM generate_series(1, {days} - 1) d) t
 WHERE project_id = {project};
UPDATE project_counters c SET stored = (SELECT count(*) FROM events e WHERE e.project_id = c.project_id)
"""


def user_event(**user):
    return wire.error_event("E", "of a person", user=user)


def fill(picket, project, *users):
    """Events of `users` on DAYS days."""
    project.send(*(user_event(**user) for user in users))
    project.wait_count(len(users))
    picket.sql(f"SELECT ensure_partitions(now(), {DAYS}, 3)")
    for statement in COPIES.format(project=project.id, days=DAYS).split(";"):
        picket.sql(statement)


def erase(picket, project, user, *more):
    done = picket.run("retention", "erase", "--project", project.id, "--user", user, "--json", *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)[0]


def tables(picket):
    return dict(picket.sql("SELECT relname, oid FROM pg_class WHERE relname ~ '^events_[0-9]{8}$'"))


def users_left(project):
    return sorted(project.detail(event)["data"]["user"]["id"] for event in project.all_events())


@pytest.fixture
def picket(make_picket):
    return make_picket(DEAD_LETTERS_MAX=2).start()


def test_a_person_is_erased(picket):
    project, other = picket.new_project(), picket.new_project()
    jane, joe = {"id": "jane", "email": "Jane@example.com"}, {"id": "joe", "email": "joe@example.com", "username": "jane@example.com.org"}
    fill(picket, project, jane, joe, {"id": "mary", "username": "jane"})
    fill(picket, other, jane)
    with refusing(picket, "poison"):
        for n, user in enumerate((joe, jane, jane, joe)):  # the oldest are spilled
            project.send(wire.error_event("E", f"poison {n}", user=user))
            until(lambda: len(letters(picket)) + len(spilled(picket)) == n + 1, lambda: (letters(picket), spilled(picket)))
    until(lambda: len(spilled(picket)) == 2 and len(letters(picket)) == 2, lambda: (letters(picket), spilled(picket)))
    post(project, feedback_item("hers", contact_email="JANE@example.com"), feedback_item("his", contact_email="joe@example.com"),
         update(new_sid(), did="jane@example.com", init=True), update(new_sid(), did="joe@example.com", init=True))
    until(lambda: len(feedback(project)) == 2 and len(session_users(picket, project)) == 2, lambda: (feedback(project), session_users(picket, project)))
    before, rows, numbers = tables(picket), all_rows(picket), [(i["short_id"], i["event_count"]) for i in project.issues()]

    planned = erase(picket, project, "email:jane@example.com", "--dry-run")
    assert (planned["events"], planned["dead_letters"], planned["feedback"], planned["session_users"]) == (DAYS, 1, 1, 1) and planned["bytes"] > 0
    assert all_rows(picket) == rows and picket.sql("SELECT count(*) FROM erasures") == [(0,)] and len(feedback(project)) == 2

    done = erase(picket, project, "email:jane@example.com")
    assert {**done, "bytes": 0, "files": 0} == {"id": 1, "done": True, "events": DAYS, "dead_letters": 1, "files": 0, "feedback": 1, "session_users": 1, "bytes": 0}
    assert users_left(project) == ["joe"] * DAYS + ["mary"] * DAYS and users_left(other) == ["jane"] * DAYS
    check_stored(picket)
    assert [(i["short_id"], i["event_count"]) for i in project.issues()] == numbers  # an issue keeps its number, and what it ever counted
    assert [item["message"] for item in feedback(project)] == ["his"] and len(session_users(picket, project)) == 1
    project.api.post(f"/api/dead-letters/{letters(picket)[0][0]}/retry")  # the server looks after letters now, and not in some seconds
    until(lambda: len(spilled(picket)) == 1, lambda: spilled(picket), 30)
    assert "Jane" not in open(spilled(picket)[0], encoding="utf-8").read()
    row = project.api.read(f"{project.path}/erasures/1")
    assert row["user"] == "email:jane@example.com" and (row["files"], row["dead_letters"]) == (1, 1) and row["done_at"]

    # days that are over are rewritten, and with them the bytes are gone; today's is, when it is over
    after = tables(picket)
    days = sorted(before, reverse=True)[3:3 + DAYS]  # behind those that are still to come: today first
    assert before[days[0]] == after[days[0]] and all(before[day] != after[day] for day in days[1:])
    assert picket.sql("SELECT count(*) FROM erasure_days") == [(1,)] and picket.sql("SELECT count(*) FROM erasure_rows") == [(0,)]
    assert picket.sql(f"SELECT count(*) FROM retention_due(now() + interval '1 day', 90, 0) WHERE day = current_date") == [(1,)]

    project.send(user_event(**jane))  # new data, which stays
    project.wait_count(5)  # with the letter
    picket.command("retention", "run")
    assert users_left(project).count("jane") == 1


def post(project, *items):
    assert project.post(wire.envelope({}, *items)).status_code == 200


def spilled(picket):
    return glob.glob(os.path.join(picket.settings["DATA_DIR"], "dead-letters", "*.envelope"))


def letters(picket):
    return picket.sql("SELECT id FROM dead_letters")


def session_users(picket, project):
    return picket.sql("SELECT user_hash FROM release_users WHERE project_id = %s", project.id)


def test_what_is_digested_late_and_when_it_is_forgotten(picket):
    project = picket.new_project()
    fill(picket, project, {"id": "jane"}, {"id": "joe"})
    assert erase(picket, project, "jane")["events"] == DAYS
    # as a spool's backlog brings it: received before the request, stored after it; some days back, and today
    other = picket.new_project()
    other.send(user_event(id="jane"))
    other.wait_count(1)
    ((grouping,),) = picket.sql("SELECT min(id) FROM groupings WHERE project_id = %s", project.id)
    ((requested,),) = picket.sql("SELECT requested_at FROM erasures")
    for age in ("1 second", "3 days"):
        picket.sql(f"""INSERT INTO events SELECT {project.id}, overlay(uuid7_floor(at)::text PLACING substr(gen_random_uuid()::text, 15) FROM 15)::uuid, gen_random_uuid(),
                       {grouping}, nextval('digest_batch_id'), at, at, title, level, platform, release, environment, server_name, sdk_name, sdk_version,
                       remote_addr, payload FROM (SELECT *, timestamptz '{requested.isoformat()}' - interval '{age}' AS at FROM events) e
                       WHERE project_id = {other.id}""")
        picket.sql(f"UPDATE project_counters SET stored = stored + 1 WHERE project_id = {project.id}")
    assert users_left(project) == ["jane"] * 2 + ["joe"] * DAYS
    picket.command("retention", "run")
    assert users_left(project) == ["joe"] * DAYS and rows_by_age(picket, project) == dict.fromkeys(range(DAYS), 1)
    check_stored(picket)
    assert project.api.read(f"{project.path}/erasures/1")["events"] == DAYS + 2

    picket.sql("UPDATE erasures SET requested_at = now() - interval '25 hours'")
    picket.command("retention", "run")
    row = project.api.read(f"{project.path}/erasures/1")
    assert row["user"] is None and row["done_at"] and row["events"] == DAYS + 2
    assert picket.sql("SELECT key FROM erasures") == [("",)]


def test_files_are_searched_again_when_they_could_not_be(picket):
    """`dlq retry` holds the directory of spilled letters across statements: the server goes on meanwhile, and comes again."""
    project = picket.new_project()
    with refusing(picket, "poison"):
        for n in range(4):
            project.send(wire.error_event("E", f"poison {n}", user={"id": "jane" if n < 2 else "joe"}))
            until(lambda: len(letters(picket)) + len(spilled(picket)) == n + 1, lambda: (letters(picket), spilled(picket)))
    until(lambda: len(spilled(picket)) == 2 and len(letters(picket)) == 2, lambda: (letters(picket), spilled(picket)))
    holder = os.open(os.path.dirname(spilled(picket)[0]), os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert project.api.post(f"{project.path}/erasures", json={"user": "jane"}).status_code == 201
        ((first,), (second,)) = letters(picket)
        project.api.post(f"/api/dead-letters/{first}/retry")  # the round that sees the mark asks for requests after it
        until(lambda: picket.sql("SELECT count(*) FROM dead_letters WHERE id = %s AND status <> 'stored'", first) == [(0,)], picket.log)
        assert len(spilled(picket)) == 2
        assert "cannot be" not in picket.log()
    finally:
        os.close(holder)
    project.api.post(f"/api/dead-letters/{second}/retry")  # the server looks now, and not in some seconds
    until(lambda: not spilled(picket), lambda: spilled(picket), 30)
    until(lambda: project.api.read(f"{project.path}/erasures/1")["files"] == 2, "two files")


def test_large_payloads_are_looked_into_in_parts(picket):
    """Rows that are small as they are stored and large when they are decoded: a page of them is left where its share of the loop is used up."""
    project, many, name = picket.new_project(), 30, picket.sql("SELECT current_database()")[0][0]
    project.send(wire.error_event("E", "large", user={"id": "jane"}, extra={"x": "x" * 800_000}), user_event(id="joe"))
    project.wait_count(2)
    picket.sql(f"""INSERT INTO events SELECT e.project_id, overlay(e.id::text PLACING substr(gen_random_uuid()::text, 15) FROM 15)::uuid, gen_random_uuid(), grouping_id,
                   batch_id, received_at, received_at, title, level, platform, release, environment, server_name, sdk_name, sdk_version, remote_addr, payload
              FROM events e CROSS JOIN generate_series(2, {many})""")
    picket.sql("UPDATE project_counters c SET stored = (SELECT count(*) FROM events e WHERE e.project_id = c.project_id)")
    picket.sql(f"ALTER DATABASE \"{name}\" SET track_functions = 'pl'")
    assert erase(picket, project, "jane")["events"] == many
    assert users_left(project) == ["joe"] * many
    check_stored(picket)
    ((pages,),) = picket.sql("SELECT calls FROM pg_stat_user_functions WHERE funcname = 'erasure_page'")
    assert 800_000 * many / (8 << 20) < pages < 20, pages


def test_by_every_field_and_two_at_once(picket):
    project = picket.new_project()
    users = [{"id": 7}, {"id": "70"}, {"email": "seven@example.com"}, {"username": "7"}, {"ip_address": "192.0.2.7"}, {"id": "8"}]
    fill(picket, project, *users)
    paths = [f"{project.path}/erasures"] * 3
    for path, user in zip(paths, ("7", "ip:192.0.2.7", "email:SEVEN@example.com")):
        answer = project.api.post(path, json={"user": user})
        assert answer.status_code == 201 and answer.json()["user"] == user and answer.json()["done_at"] is None, answer.text
    picket.command("retention", "run")
    items = project.api.read(paths[0])["items"]
    assert [(item["user"], item["events"]) for item in items] == [("email:SEVEN@example.com", DAYS), ("ip:192.0.2.7", DAYS), ("7", 2 * DAYS)]
    assert all(item["done_at"] and item["bytes"] > 0 for item in items)
    assert rows_by_age(picket, project) == dict.fromkeys(range(DAYS), 2)
    check_stored(picket)
    assert users_left(project) == ["70"] * DAYS + ["8"] * DAYS


def test_behind_another_retention(picket):
    """The request is written down whatever else is at work, and the next run goes on with it."""
    project = picket.new_project()
    fill(picket, project, {"id": "jane"}, {"id": "joe"})
    with psycopg.connect(picket.conninfo()) as other:
        other.execute("SELECT pg_advisory_lock(hashtext('picket.retention.run'))")
        done = picket.run("retention", "erase", "--project", project.id, "--user", "jane", "--json")
        assert done.returncode == 1 and "next retention goes on" in done.stderr and json.loads(done.stdout)[0]["done"] is False, done
    picket.command("retention", "run")
    assert users_left(project) == ["joe"] * DAYS
    row = project.api.read(f"{project.path}/erasures/1")
    assert row["done_at"] and row["events"] == DAYS
    check_stored(picket)


def test_rights_and_wrong_calls(picket):
    project = picket.new_project()
    email = f"member-{uuid.uuid4().hex[:8]}@example.com"
    picket.run("user", "add", email, stdin="a password of some length\n")
    member = picket.command("token", "add", "--user", email).strip().splitlines()[-1]
    path = f"{project.path}/erasures"
    for method, where in (("GET", path), ("POST", path), ("GET", path + "/1")):
        assert Api(picket.url).request(method, where, json={"user": "x"}).status_code == 401
        assert Api(picket.url, token=member).request(method, where, json={"user": "x"}).status_code == 403
    for body in ({}, {"user": ""}, {"user": 7}, {"user": None}, {"user": "x" * 257}, {"user": "ip:x"}, {"user": "a\0b"}):
        assert project.api.post(path, json=body).status_code == 400, body
    assert project.api.post("/api/projects/999999/erasures", json={"user": "x"}).status_code == 404
    assert project.api.get("/api/projects/999999/erasures").status_code == 404
    for number in ("1", "x", "99999999999999999999", "-1"):
        assert project.api.get(f"{path}/{number}").status_code == 404
    assert project.api.read(path) == {"items": [], "total_count": 0, "page": 1, "per_page": 20, "total_pages": 0}
    for wrong in (["--project", 1], ["--user", "x"], ["--project", "x", "--user", "x"], ["--project", 1, "--user", ""]):
        assert picket.run("retention", "erase", *wrong).returncode == 2
    for more in ([], ["--dry-run"]):
        done = picket.run("retention", "erase", "--project", 999999, "--user", "x", *more)
        assert done.returncode == 1 and "no project 999999" in done.stderr
    assert picket.sql("SELECT count(*) FROM erasures") == [(0,)]
