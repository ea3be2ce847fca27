"""Persons who are erased (architecture, "Cooling"): their events, dead letters, feedback and session users go, whatever the person was known by; the
bytes with the rows; nobody else's data, no number and no count of an issue; and nothing that comes afterwards."""
import contextlib
import fcntl
import glob
import json
import os
import threading
import uuid

import psycopg
import pytest

import wire
from client import Api
from test_dead_letters import refusing
from test_feedback import browser_feedback, feedback, feedback_item
from test_retention import all_rows, check_stored, rows_by_age
from test_sessions import new_sid, update
from test_strays import quiet
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
    assert picket.sql("SELECT user_hash FROM session_states WHERE user_hash IS NOT NULL") == session_users(picket, project)
    project.api.post(f"/api/dead-letters/{letters(picket)[0][0]}/retry")  # the server looks after letters now, and not in some seconds
    until(lambda: len(spilled(picket)) == 1, lambda: spilled(picket), 30)
    assert "Jane" not in open(spilled(picket)[0], encoding="utf-8").read()
    until(lambda: project.api.read(f"{project.path}/erasures/1")["files"] == 1, "the file goes first, then it is counted")
    row = project.api.read(f"{project.path}/erasures/1")
    assert row["user"] == "email:jane@example.com" and (row["files"], row["dead_letters"]) == (1, 1) and row["done_at"]

    # days that are over are rewritten, and with them the bytes are gone; today's is, when it is over
    after = tables(picket)
    days = sorted(before, reverse=True)[3:3 + DAYS]  # behind those that are still to come: today first
    assert before[days[0]] == after[days[0]] and all(before[day] != after[day] for day in days[1:])
    assert picket.sql("SELECT count(*) FROM erasure_days") == [(1,)] and picket.sql("SELECT count(*) FROM erasure_rows") == [(0,)]
    assert picket.sql(f"SELECT count(*) FROM retention_due(now() + interval '1 day', 90, 0) WHERE day = (now() AT TIME ZONE 'UTC')::date") == [(1,)]

    project.send(user_event(**jane))  # new data, which stays
    project.wait_count(5)  # with the letter
    picket.command("retention", "run")
    assert users_left(project).count("jane") == 1


def test_feedback_is_found_by_its_user(picket):
    """By all that an event's user is found by, of the same spelling; what the platform makes the user's address included."""
    project, other = picket.new_project(), picket.new_project()
    users = [{"id": "jane", "email": "Jane@Example.com", "username": "jj", "ip_address": "2001:db8::1"}, {"id": "x" * 200}, {"username": "jane"},
             {"id": "joe", "email": "joe@example.com"}]
    for user in users:
        post(project, wire.item("feedback", browser_feedback(str(user["id"] if "id" in user else user), user=user, platform="python")))
    post(project, wire.item("feedback", browser_feedback("browser", user={"id": "mary"})), feedback_item("his", contact_email="joe@example.com"))
    post(other, wire.item("feedback", browser_feedback(user=users[0])))
    until(lambda: len(feedback(project)) == 6 and feedback(other), lambda: feedback(project))
    for asked, n in (("id:jane", 1), ("jane", 2), ("username:jane", 1), ("email:jane@example.com", 1), ("jj", 1), ("id:jj", 0), ("ip:2001:DB8:0::1", 1), ("2001:db8:0::1", 1),
                     ("127.0.0.1", 1), ("ip:127.0.0.2", 0), ("127.0.0.1/8", 0), ("::ffff:127.0.0.1", 1), ("x" * 200, 1), ("x" * 199, 0), ("joe@example.com", 2), ("id:joe", 1),
                     ("1.2.3", 0)):
        assert erase(picket, project, asked, "--dry-run")["feedback"] == n, asked
    for asked, left in (("jane", 4), ("ip:127.0.0.1", 3), ("email:joe@example.com", 1)):
        done = erase(picket, project, asked)
        assert len(feedback(project)) == left and done["done"] and done["bytes"] > 0, (asked, done)
    assert [item["message"] for item in feedback(project)] == ["x" * 200] and len(feedback(other)) == 1


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

    a_day_passes(picket, "requested_at", "done_at")
    run_until_forgotten(picket, 1)
    row = project.api.read(f"{project.path}/erasures/1")
    assert row["user"] is None and row["done_at"] and row["events"] == DAYS + 2
    assert picket.sql("SELECT key FROM erasures") == [("",)]


def a_day_passes(picket, *columns):
    """25 hours go by for all requests, as far as these columns tell."""
    picket.sql("UPDATE erasures SET " + ", ".join(f"{column} = {column} - interval '25 hours'" for column in columns))


def is_forgotten(picket, request):
    return picket.sql("SELECT key = '' AND forgotten_at IS NOT NULL FROM erasures WHERE id = %s", request) == [(True,)]


def run_until_forgotten(picket, request):
    """Servers tell within some seconds of the request that they have stored what they took before it."""
    def forgets():
        picket.command("retention", "run")
        return is_forgotten(picket, request)
    until(forgets, lambda: (picket.sql("SELECT * FROM erasures"), picket.sql("SELECT * FROM erasure_servers")))


@contextlib.contextmanager
def postponing(picket, table, condition, when="INSERT"):
    """While it lasts, what the database is told there fails, for a reason that passes (not enough room)."""
    picket.sql("CREATE FUNCTION postpone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'later' USING ERRCODE = 'disk_full'; END $$")
    picket.sql(f"CREATE TRIGGER postpone BEFORE {when} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION postpone()")
    try:
        yield
    finally:
        picket.sql("DROP FUNCTION postpone CASCADE")


def test_a_request_waits_for_servers_with_a_backlog(picket):
    """Nothing is forgotten while a server may have something of that person, nor before a day has gone by since the request was done."""
    project = picket.new_project()
    fill(picket, project, {"id": "jane"}, {"id": "joe"})
    with postponing(picket, "issues", "NEW.title LIKE 'Late%'"):
        project.send(wire.error_event("Late", "in the spool", fingerprint=["late"], user={"id": "jane"}))
        done = erase(picket, project, "jane")
        assert (done["done"], done["events"]) == (True, DAYS)
        a_day_passes(picket, "done_at")
        picket.command("retention", "run")
        assert picket.sql("SELECT key, heard, scanned_at >= done_at + interval '1 day' FROM erasures") == [("jane", False, True)]
    until(lambda: users_left(project).count("jane") == 1, lambda: users_left(project))
    run_until_forgotten(picket, 1)
    assert users_left(project) == ["joe"] * DAYS
    assert project.api.read(f"{project.path}/erasures/1")["events"] == DAYS + 1
    check_stored(picket)

    # Servers have told that they have all before this one; it is old, and has only just been looked into.
    assert project.api.post(f"{project.path}/erasures", json={"user": "joe"}).status_code == 201
    a_day_passes(picket, "requested_at")
    picket.command("retention", "run")
    assert picket.sql("SELECT key, heard, done_at IS NOT NULL, scanned_at IS NOT NULL FROM erasures WHERE id = 2") == [("joe", True, True, True)]
    # A server that is away: it stored something lately, and has not told.
    a_day_passes(picket, "done_at")
    picket.sql("UPDATE erasures SET heard = false WHERE id = 2")
    picket.sql("INSERT INTO digest_batches SELECT nextval('digest_batch_id'), gen_random_uuid(), 1, 0, 1, 1, 1")
    picket.command("retention", "run")
    assert not is_forgotten(picket, 2)
    picket.sql("UPDATE digest_batches SET digested_at = now() - interval '31 days' WHERE segment = 1")  # and then is waited for no more
    run_until_forgotten(picket, 2)


def test_a_run_that_could_not_look_forgets_nothing(picket):
    project = picket.new_project()
    fill(picket, project, {"id": "jane"})
    erase(picket, project, "jane")
    a_day_passes(picket, "requested_at", "done_at")
    picket.sql("UPDATE erasures SET heard = true, scanned_at = now()")  # all else is as it should be
    with postponing(picket, "erasures", "true", "UPDATE OF horizon"):
        done = picket.run("retention", "run")
        assert done.returncode == 1 and "looked through" in done.stderr, done
    assert not is_forgotten(picket, 1)
    assert picket.sql("SELECT erasure_tidy(now(), 10)") == [(0,)] and not is_forgotten(picket, 1)  # as the release before tidies
    picket.command("retention", "run")
    assert is_forgotten(picket, 1)


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


# ---- what is deleted in parts, and what it waits for

def test_tidying_is_bounded_and_holds_nothing_that_batches_wait_for(picket):
    one, two = picket.new_project(), picket.new_project()
    for project in (one, two):
        project.send(user_event(id="jane"), wire.error_event("E", "x"))
        project.wait_count(2)
        picket.sql("INSERT INTO erasures (project_id, field, key, horizon) VALUES (%s, 'any', 'jane', 0)", project.id)
        picket.sql(f"""INSERT INTO release_users SELECT {project.id}, 'r' || n, '', now() - interval '1 day', erasure_user_hash({project.id}, 'jane'), false, false
                         FROM generate_series(1, 7) n""")
        picket.sql(f"""INSERT INTO feedback SELECT {project.id}, gen_random_uuid(), NULL, NULL, now() - interval '1 day', '', 'JANE', '', '', '', '', ''
                         FROM generate_series(1, 7)""")
    picket.sql("INSERT INTO erasure_rows SELECT e.project_id, e.id, r.id, 1 FROM events e JOIN erasures r USING (project_id) WHERE e.title LIKE '%of a person%'")
    assert picket.sql("SELECT count(*) FROM erasure_rows") == [(2,)]
    with psycopg.connect(picket.conninfo()) as batch, psycopg.connect(picket.conninfo(), autocommit=True) as tidier:
        batch.execute("SELECT FROM project_counters WHERE project_id = %s FOR UPDATE", (one.id,))  # as a batch at its end
        tidier.execute("SET lock_timeout = '2s'")
        gone = [tidier.execute("SELECT erasure_tidy(now(), 5, true)").fetchone()[0] for _ in range(6)]
        assert gone == [5, 5, 5, 5, 5, 3]
        tidier.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):  # nothing but this wants the counter
            tidier.execute("SELECT erasure_tidy(now(), 5, true)")
        batch.rollback()
        tidier.execute("SET lock_timeout = '2s'")
        assert [tidier.execute("SELECT erasure_tidy(now(), 5, true)").fetchone()[0] for _ in range(3)] == [1, 1, 0]  # a project at a time
    assert picket.sql("SELECT feedback, session_users, events FROM erasures") == [(7, 7, 1)] * 2
    check_stored(picket)

    # with many others' rows there, a person's are found by an index
    picket.sql(f"INSERT INTO release_users SELECT {one.id}, 'r' || n, '', now(), gen_random_uuid(), false, false FROM generate_series(1, 3000) n")
    picket.sql(f"""INSERT INTO feedback SELECT {one.id}, gen_random_uuid(), NULL, NULL, now(), '', n || '@example.com', '', '', '', '', ''
                     FROM generate_series(1, 3000) n""")
    picket.sql("ANALYZE release_users, feedback")
    picket.sql("UPDATE feedback SET data = jsonb_build_object('user', jsonb_build_object('id', email))")
    picket.sql("VACUUM ANALYZE feedback")
    who = "person_keys(project_id, data #>> '{user,id}', data #>> '{user,email}', data #>> '{user,username}', data #>> '{user,ip_address}')"
    plan = picket.sql(f"EXPLAIN SELECT FROM feedback WHERE data ? 'user' AND {who} && person_keys({one.id}, 'jane', NULL, NULL, NULL)")
    assert "feedback_user" in str(plan), plan
    for index, condition in (("release_users_person", f"user_hash = erasure_user_hash({one.id}, 'jane')"), ("feedback_person", "lower(email) = lower('jane')")):
        table = index.removesuffix("_person")
        plan = picket.sql(f"EXPLAIN SELECT FROM {table} WHERE project_id = {one.id} AND {condition}")
        assert index in str(plan), plan


def test_strays_lock_counters_in_the_order_of_batches(picket):
    projects = sorted((picket.new_project() for _ in range(3)), key=lambda project: project.id)
    for project in projects:
        project.send(user_event(id="jane"))
        project.wait_count(1)
    with quiet(picket):
        for project in reversed(projects):  # years back, beside the days
            picket.sql(f"""INSERT INTO events SELECT project_id, uuid7_floor('2020-01-01'), gen_random_uuid(), grouping_id, batch_id, '2020-01-01', timestamp, title, level,
                           platform, release, environment, server_name, sdk_name, sdk_version, remote_addr, payload FROM events WHERE project_id = {project.id}""")
        picket.sql("UPDATE project_counters SET stored = stored + 1 WHERE project_id = ANY(%s)", [project.id for project in projects])
        with psycopg.connect(picket.conninfo()) as batch:
            batch.execute("SELECT FROM project_counters WHERE project_id = %s FOR NO KEY UPDATE", (projects[0].id,))
            run = threading.Thread(target=picket.command, args=("retention", "run"))
            run.start()
            try:
                until(lambda: picket.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%retention_tidy_strays%%'"
                                         " AND datname = current_database() AND %s > 0", 1) == [(1,)], "it waits")
                batch.execute("SELECT FROM project_counters WHERE project_id = ANY(%s) FOR NO KEY UPDATE NOWAIT", ([project.id for project in projects],))
            finally:
                batch.rollback()
                run.join()
    assert picket.sql("SELECT count(*) FROM events_default") == [(0,)]
    check_stored(picket)


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
        done = picket.run("retention", "erase", "--project", project.id, "--user", "jane", "--wait", 0, "--json")
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
