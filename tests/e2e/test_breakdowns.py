"""Breakdowns: tags, users and releases of issues, releases and environments of projects, events over time (issue 7). What is counted is compared with what was
sent; the bounds hold; what is deleted leaves nothing behind; nothing looks at events."""
import collections
import os
import random
import re
import time

import psycopg
import pytest

import server
import wire
from client import accepted
from contract import check_error
from test_retention import retention
from waiting import until

HOURLY = {"hours": 24}


def folded(picket):
    """Until everything that is stored is counted."""
    until(lambda: picket.sql("SELECT count(*) FROM rollup_batches") == [(0,)], lambda: f"{picket.sql('SELECT count(*) FROM rollup_batches')} batches wait", 30)


def counted(project, picket):
    project.drain()
    folded(picket)


def tags_of(project, issue):
    answer = project.api.read(project.issue_path(issue) + "/tags")
    return answer, {item["key"]: {v["value"]: v["events"] for v in item["top"]} for item in answer["items"]}


def send_many(project, events):
    for start in range(0, len(events), 50):
        for event in events[start:start + 50]:
            accepted(project.post(wire.event_envelope(event)))


def user_of(event):
    user = event.get("user", {})
    return next(((kind, user[kind]) for kind in ("id", "email", "username", "ip_address") if user.get(kind, "") != ""), None)


def test_what_was_sent_is_counted(picket, project):
    chance = random.Random(7)
    events = []
    for _ in range(300):
        n = chance.randrange(3)
        event = wire.error_event(type=f"Kind{n}", value="v", tags={"plan": chance.choice(["free", "team"]), "a key": f" {chance.randrange(12)} "},
                                 release=f"shop@1.{chance.randrange(4)}", environment=chance.choice(["prod", "test"]), level=chance.choice(["error", "fatal"]),
                                 user=chance.choice([{"id": chance.randrange(20)}, {"email": "a@b.example"}, {"username": "jo", "email": ""}, {"ip_address": "192.0.2.7"}, {}]))
        events.append(event)
    send_many(project, events)
    project.wait_count(300)
    counted(project, picket)
    for n in range(3):
        mine = [e for e in events if e["exception"]["values"][0]["type"] == f"Kind{n}"]
        issue = project.issue(f"Kind{n}")
        answer, tags = tags_of(project, issue)
        assert tags["plan"] == collections.Counter(e["tags"]["plan"] for e in mine)
        assert tags["release"] == collections.Counter(e["release"] for e in mine)
        assert tags["environment"] == collections.Counter(e["environment"] for e in mine)
        assert tags["level"] == collections.Counter(e["level"] for e in mine)
        expected = collections.Counter(e["tags"]["a key"].strip() for e in mine)
        of_key = next(item for item in answer["items"] if item["key"] == "a-key")
        assert of_key["values"] == len(expected) and of_key["events"] == len(mine) and len(of_key["top"]) == min(10, len(expected))
        assert answer["users"] == len({user_of(e) for e in mine} - {None})
        times = project.api.read(project.issue_path(issue) + "/stats", params=HOURLY)
        assert times["events"] == len(mine) == sum(point["events"] for point in times["series"]) and times["interval"] == "hour"
        pages = [project.api.read(project.issue_path(issue) + "/tags/a-key", params={"per_page": 5, "page": page}) for page in (1, 2, 3)]
        assert collections.Counter({v["value"]: v["events"] for page in pages for v in page["items"]}) == expected
        assert pages[0]["total_count"] == len(expected) and abs(sum(v["share"] for page in pages for v in page["items"]) - 1) < 1e-9
    for key, path in (("release", "/releases"), ("environment", "/environments")):
        rows = project.api.read(project.path + path, params={"per_page": 100})["items"]
        assert {row[key]: row["events"] for row in rows} == collections.Counter(e[key] for e in events)
        made_by = picket.sql(f"SELECT e.{key} FROM issue_transitions t JOIN events e ON e.project_id = t.project_id AND e.id = t.event_row "
                             "WHERE t.project_id = %s AND t.kind = 'new'", project.id)  # which one that is, two workers decide
        assert {row[key]: row["new_issues"] for row in rows if row["new_issues"]} == collections.Counter(value for value, in made_by) and len(made_by) == 3
        for row in rows:
            series = project.api.read(project.path + "/stats", params={key: row[key], **HOURLY})
            assert series["events"] == row["events"]
    assert project.api.read(project.path + "/stats", params=HOURLY)["events"] == 300


def test_a_copy_counts_once(picket, project):
    event = wire.error_event(type="Copied", tags={"t": "v"}, user={"id": "1"})
    for _ in range(3):
        accepted(project.post(wire.event_envelope(event)))
    counted(project, picket)
    _, tags = tags_of(project, project.issue("Copied"))
    assert tags["t"] == {"v": 1}


def test_tags_as_they_are_shown(picket, project):
    """The same keys and values as in the event's detail, in both forms that SDKs send."""
    sent = [["order", 7], ["ok", True], ["two words", "a\nb"], ["not allowed!", "x"], ["order", "8"], ["release", "no"], ["empty", " "], ["", "x"], ["long", "x" * 500]]
    events = [wire.error_event(type="Pairs", tags=sent), wire.error_event(type="Pairs", tags={k: v for k, v in sent[:3]}, server_name="web-1")]
    ids = project.send(*events)
    counted(project, picket)
    _, tags = tags_of(project, project.issue("Pairs"))
    shown = [project.find(i)["data"]["tags"] for i in ids]
    for key in ("order", "ok", "two-words"):
        assert tags[key] == {shown[0][key]: 2} == {shown[1][key]: 2}
    assert tags["long"] == {"x" * 200: 1} and tags["server_name"] == {"web-1": 1}
    assert not {"not allowed!", "not-allowed!", "empty", ""} & set(tags) and "no" not in tags.get("release", {})


def test_users_are_bounded_and_estimated(make_picket):
    """Beyond the bound a part is kept, and tells how many there are."""
    picket = make_picket().start()
    project = picket.new_project()
    project.send(wire.error_event(type="Crowd", user={"id": "0"}))
    project.wait_count(1)
    counted(project, picket)
    issue = project.issue("Crowd")
    users = 35_000
    picket.sql("""
        INSERT INTO events (project_id, id, event_id, grouping_id, batch_id, received_at, timestamp, title, level, platform, release, environment, server_name, sdk_name,
                            sdk_version, payload, tag_ids, user_hash)
        SELECT e.project_id, uuid7(now()), gen_random_uuid(), e.grouping_id, -1 - n %% 5, now(), now(), '', '', '', '', '', '', '', '', '', e.tag_ids, hashint8extended(n, 0)
          FROM events e CROSS JOIN generate_series(1, %s) n WHERE e.project_id = %s""", users, project.id)
    picket.sql("""INSERT INTO rollup_batches SELECT batch_id, ARRAY[%s], (array_agg(id ORDER BY id))[1], (array_agg(id ORDER BY id DESC))[1], count(*)
                    FROM events WHERE batch_id < 0 GROUP BY batch_id""", project.id)
    folded(picket)
    kept, = picket.sql("SELECT count(*) FROM issue_users WHERE project_id = %s", project.id)[0]
    answer, tags = tags_of(project, issue)
    assert 1000 < kept <= 10_000 and abs(answer["users"] - users) < users / 10
    assert tags["level"] == {"error": users + 1}


def test_masses_of_values_and_keys(make_picket):
    picket = make_picket().start()
    project, quiet = picket.new_project(), picket.new_project()
    n, per_event = 240, 60
    events = [wire.error_event(type="Masses", tags={"same": "s", "unique": f"u{i}", **{f"k{i}-{j}": "v" for j in range(per_event - 10)}}) for i in range(n)]
    send_many(project, events)
    quiet.send(wire.error_event(type="Quiet", tags={"t": "v"}))
    project.wait_count(n)
    counted(project, picket)
    keys, = picket.sql("SELECT count(*) FROM tag_keys WHERE project_id = %s AND NOT tag_key_is_ours(key)", project.id)[0]
    assert keys <= 200
    answer, tags = tags_of(project, project.issue("Masses"))
    assert tags["same"] == {"s": n} and next(i for i in answer["items"] if i["key"] == "unique")["events"] == n
    assert tags_of(quiet, quiet.issue("Quiet"))[1]["t"] == {"v": 1}


def intern(picket, project, key, values):
    return picket.sql("SELECT id, closed FROM tags_intern(array_fill(%s, ARRAY[%s]), array_fill(%s::text, ARRAY[%s]), %s)", project.id, len(values), key, len(values), values)


def test_values_of_a_key_are_bounded(make_picket):
    """10,000 values of a key; what is beyond counts as the rest, and known values still count."""
    picket = make_picket().start()
    project = picket.new_project()
    intern(picket, project, "request", [f"r{i}" for i in range(9_990)])
    send_many(project, [wire.error_event(type="Bomb", tags={"request": f"new{i}"}) for i in range(60)] + [wire.error_event(type="Bomb", tags={"request": "r5"})])
    project.wait_count(61)
    counted(project, picket)
    assert picket.sql("SELECT n_values FROM tag_keys WHERE project_id = %s AND key = 'request'", project.id) == [(10_000,)]
    _, tags = tags_of(project, project.issue("Bomb"))
    page = project.api.read(project.issue_path(project.issue("Bomb")) + "/tags/request", params={"per_page": 100})
    found = {v["value"]: v["events"] for v in page["items"]}
    assert page["events"] == 61 and found[""] == 50 and found["r5"] == 1 and len(found) == 12
    assert [v["is_rest"] for v in page["items"]] == [v["value"] == "" for v in page["items"]]


def test_values_of_an_issue_are_bounded(make_picket):
    picket = make_picket().start()
    project = picket.new_project()
    project.send(wire.error_event(type="Wide", tags={"n": "0"}))
    project.wait_count(1)
    counted(project, picket)
    ids = [row[0] for row in intern(picket, project, "n", [f"v{i}" for i in range(1500)])]
    picket.sql("""
        INSERT INTO events (project_id, id, event_id, grouping_id, batch_id, received_at, timestamp, title, level, platform, release, environment, server_name, sdk_name,
                            sdk_version, payload, tag_ids)
        SELECT e.project_id, uuid7(now()), gen_random_uuid(), e.grouping_id, -1 - i %% 3, now(), now(), '', '', '', '', '', '', '', '', '', decode(lpad(to_hex(i), 6, '0'), 'hex')
          FROM events e CROSS JOIN unnest(%s::int[]) i WHERE e.project_id = %s""", ids, project.id)
    picket.sql("""INSERT INTO rollup_batches SELECT batch_id, ARRAY[%s], (array_agg(id ORDER BY id))[1], (array_agg(id ORDER BY id DESC))[1], count(*)
                    FROM events WHERE batch_id < 0 GROUP BY batch_id""", project.id)
    folded(picket)
    page = project.api.read(project.issue_path(project.issue("Wide")) + "/tags/n")
    assert page["events"] == 1501 and page["total_count"] == 1001
    rest, = picket.sql("SELECT c.events FROM issue_tags c JOIN tags t ON t.project_id = c.project_id AND t.id = c.tag_id WHERE c.project_id = %s AND t.value = ''", project.id)[0]
    assert rest == 501


def test_a_deleted_issue_leaves_nothing(make_picket):
    picket = make_picket().start()
    project = picket.new_project()
    project.send(wire.error_event(type="Goes", tags={"t": "v"}, user={"id": 1}), wire.error_event(type="Stays", tags={"t": "v"}, user={"id": 1}))
    project.wait_count(2)
    counted(project, picket)
    goes, stays = project.issue("Goes"), project.issue("Stays")
    before = tags_of(project, stays)
    assert picket.api.delete(project.issue_path(goes)).status_code == 204
    check_error(picket.api.get(project.issue_path(goes) + "/tags"), 404, "NotFound")
    picket.sql("UPDATE rollup_leavings SET since = since - interval '2 hours'")
    retention(picket)
    for table in ("issue_tags", "issue_tag_keys", "issue_users", "issue_facts"):
        assert picket.sql(f"SELECT DISTINCT issue_id::text FROM {table} WHERE project_id = %s", project.id) == [(stays["id"],)], table
    assert picket.sql("SELECT count(*) FROM rollup_leavings") == [(0,)]
    assert tags_of(project, stays) == before


def test_old_values_go(make_picket):
    picket = make_picket(RETENTION_DAYS=30).start()
    project = picket.new_project()
    project.send(wire.error_event(type="Aged", tags={"pod": "old"}, release="r1"), wire.error_event(type="Aged", tags={"pod": "new"}, release="r2"))
    project.wait_count(2)
    counted(project, picket)
    picket.sql("UPDATE tags SET asked_on = asked_on - 40 WHERE value IN ('old', 'r1')")
    retention(picket)
    _, tags = tags_of(project, project.issue("Aged"))
    assert tags["pod"] == {"new": 1} and tags["release"] == {"r2": 1}
    assert [row["release"] for row in project.api.read(project.path + "/releases")["items"]] == ["r2"]
    assert picket.sql("SELECT sum(n_values) FROM tag_keys WHERE project_id = %s AND key IN ('pod', 'release')", project.id) == [(2,)]


def test_an_erased_user_is_none_of_the_issue(make_picket):
    picket = make_picket().start()
    project = picket.new_project()
    project.send(wire.error_event(type="Theirs", user={"id": "jane"}), wire.error_event(type="Theirs", user={"id": "joe"}))
    project.wait_count(2)
    counted(project, picket)
    assert picket.api.post(project.path + "/erasures", json={"user": "id:jane"}).status_code in (200, 201, 202)
    retention(picket)
    assert picket.sql("SELECT count(*) FROM issue_users WHERE project_id = %s", project.id) == [(1,)]


def held(picket):
    """From here on batches wait until a test lets them go; the event of the first start is counted."""
    until(lambda: picket.sql("SELECT count(*) FROM events") == [(1,)], "the first event is missing")
    folded(picket)
    picket.sql("ALTER TABLE rollup_batches ALTER not_before SET DEFAULT now() + interval '1 day'")


HERS = "SELECT e.project_id, e.id FROM events e WHERE e.project_id = %s AND e.user_hash = (SELECT user_hash FROM events WHERE title LIKE 'Hers%%')"


def test_an_event_to_be_erased_counts_without_its_user(make_picket):
    picket = make_picket().start()
    project = picket.new_project()
    held(picket)
    project.send(wire.error_event(type="Hers", user={"id": "jane"}), wire.error_event(type="His", user={"id": "joe"}))
    project.wait_count(2)
    project.drain()
    picket.sql(f"INSERT INTO erasure_rows SELECT h.project_id, h.id, 0, 1 FROM ({HERS}) h", project.id)
    picket.sql("UPDATE rollup_batches SET not_before = NULL")
    folded(picket)
    assert tags_of(project, project.issue("Hers"))[0]["users"] == 0 and tags_of(project, project.issue("His"))[0]["users"] == 1
    assert tags_of(project, project.issue("Hers"))[1]["level"] == {"error": 1}


def test_tags_that_name_an_erased_person_go(make_picket):
    picket = make_picket().start()
    project, jane = picket.new_project(), "jane@example.com"
    project.send(wire.error_event(type="Hers", user={"email": jane}, tags={"reply_to": "Jane@Example.com", "customer": f"email:{jane}", "plan": "free"}),
                 wire.error_event(type="Hers", user={"email": "joe@example.com"}, tags={"reply_to": "joe@example.com", "plan": "free"}))
    project.wait_count(2)
    counted(project, picket)
    assert picket.api.post(project.path + "/erasures", json={"user": f"email:{jane}"}).status_code in (200, 201, 202)
    retention(picket)
    retention(picket)  # what the first one found
    _, tags = tags_of(project, project.issue("Hers"))
    assert tags["reply_to"] == {"joe@example.com": 1} and tags["plan"] == {"free": 2}
    assert "customer" not in tags and picket.sql("SELECT count(*) FROM tags WHERE value ILIKE %s", f"%{jane}") == [(0,)]


def test_the_first_release_is_that_of_the_first_event(make_picket):
    """In whatever order batches are counted."""
    picket = make_picket(DIGEST_WORKERS=1).start()
    project = picket.new_project()
    held(picket)
    for release in ("r1", "r2", "r3"):
        project.send(wire.error_event(type="Old", release=release))
        project.drain()
    assert picket.sql("SELECT count(*) FROM rollup_batches") == [(3,)]
    for of, first, last in (("max(id)", "r3", "r3"), ("min(id)", "r1", "r3"), ("max(id)", "r1", "r3")):
        (before,), = picket.sql(f"UPDATE rollup_batches SET not_before = NULL WHERE id = (SELECT {of} FROM rollup_batches) RETURNING id")
        until(lambda: picket.sql("SELECT count(*) FROM rollup_batches WHERE id = %s", before) == [(0,)], "it waits")
        answer, _ = tags_of(project, project.issue("Old"))
        assert (answer["first_release"], answer["last_release"]) == (first, last)


def test_a_batch_that_cannot_be_counted_holds_up_no_other(make_picket):
    """One of six, and each group that it is in fails."""
    picket = make_picket(DIGEST_WORKERS=1).start()
    project = picket.new_project()
    held(picket)
    for i in range(6):
        project.send(wire.error_event(type="Many", tags={"n": str(i)}))
        project.drain()
    picket.sql("""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF EXISTS (SELECT FROM tags t WHERE t.id = NEW.tag_id AND t.key = 'n' AND t.value = '3') THEN RAISE 'no'; END IF; RETURN NEW; END $$""")
    picket.sql("CREATE TRIGGER refuse BEFORE INSERT ON issue_tags FOR EACH ROW EXECUTE FUNCTION refuse()")
    picket.sql("UPDATE rollup_batches SET not_before = NULL")
    until(lambda: picket.sql("SELECT count(*), count(*) FILTER (WHERE not_before > now() + interval '5 minutes') FROM rollup_batches") == [(1, 1)], "batches wait")
    assert set(tags_of(project, project.issue("Many"))[1]["n"]) == {"0", "1", "2", "4", "5"}
    picket.sql("DROP TRIGGER refuse ON issue_tags")
    picket.sql("UPDATE rollup_batches SET not_before = NULL")
    folded(picket)
    assert len(tags_of(project, project.issue("Many"))[1]["n"]) == 6


def test_a_batch_that_takes_too_long_is_put_off(make_picket):
    picket = make_picket(DIGEST_WORKERS=1).start()
    project = picket.new_project()
    held(picket)
    for i in range(2):
        project.send(wire.error_event(type="Long", tags={"n": str(i)}))
        project.drain()
    assert picket.sql("SELECT rollup_put_off()") == [(False,)]  # none is due
    with psycopg.connect(picket.conninfo()) as folds:
        folds.execute("SELECT pg_advisory_xact_lock(hashtext('picket.rollup'))")
        picket.sql("UPDATE rollup_batches SET not_before = NULL")
        assert picket.sql("SELECT rollup_put_off()") == [(False,)]  # somebody folds
        assert folds.execute("SELECT rollup_put_off()").fetchall() == [(True,)]
        folds.commit()
    until(lambda: picket.sql("SELECT count(*), count(not_before) FROM rollup_batches") == [(1, 1)], "it waits")
    assert tags_of(project, project.issue("Long"))[1]["n"] == {"1": 1}


def test_a_fold_holds_up_nobody(make_picket):
    """A project is renamed and deleted while a fold that counts its events is under way, and what was counted goes with it."""
    picket = make_picket(DIGEST_WORKERS=1).start()
    project = picket.new_project()
    held(picket)
    project.send(wire.error_event(type="Counted", user={"id": 1}, tags={"n": "1"}, release="r"))
    project.wait_count(1)
    project.drain()
    with psycopg.connect(picket.conninfo()) as folds:
        folds.execute("UPDATE rollup_batches SET not_before = NULL")
        assert folds.execute("SELECT events FROM rollup_fold(10, 10)").fetchall() == [(1,)]
        with psycopg.connect(picket.conninfo(), options="-c lock_timeout=2s", autocommit=True) as person:
            person.execute("UPDATE all_projects SET name = 'New' WHERE id = %s", [project.id])
        assert picket.api.delete(project.path).status_code == 204
        folds.commit()
    counted_in = ("issue_tags", "issue_tag_keys", "issue_users", "issue_facts", "project_tags", "tag_hours")
    assert all(picket.sql(f"SELECT count(*) > 0 FROM {table} WHERE project_id = %s", project.id) == [(True,)] for table in counted_in)
    retention(picket)
    for table in (*counted_in, "tags", "tag_keys", "tag_numbers"):
        assert picket.sql(f"SELECT count(*) FROM {table} WHERE project_id = %s", project.id) == [(0,)], table


def test_two_servers_on_one_database(make_picket, cluster):
    """Both store, one at a time folds; each event counts once, also when one is killed."""
    url = cluster.migrated_database()
    one, other = (server.Picket(server.Directory(), DATABASE_URL=url, CREATE_SUPERUSER=":".join(server.ADMIN)) for _ in range(2))
    try:
        one.start()
        other.start()
        project = one.new_project()
        there = type(project)(other.api, project.row())
        for i in range(120):
            (project if i % 2 else there).send(wire.error_event(type="Shared", tags={"n": str(i % 7)}, user={"id": i % 11}))
            if i == 60:
                other.kill()
                other.start()
        project.wait_count(120)
        folded(one)
        answer, tags = tags_of(project, project.issue("Shared"))
        assert sum(tags["n"].values()) == 120 and len(tags["n"]) == 7 and answer["users"] == 11
    finally:
        one.end()
        other.end()


PLANS = {"issue_tags": ("int, uuid", "{p}, '{i}'"), "issue_tag_values": ("int, uuid, text, bigint, bigint", "{p}, '{i}', 'plan', 20, 0"),
         "issue_stats": ("int, uuid, timestamptz, text", "{p}, '{i}', now() - interval '1 day', 'hour'"),
         "project_stats": ("int, timestamptz, text, text, text", "{p}, now() - interval '1 day', 'hour', 'release', 'r'"),
         "project_stats_by": ("int, timestamptz, text, text", "{p}, now() - interval '1 day', 'hour', 'release'"),
         "project_tag_page": ("int, text, text, boolean, bigint, bigint", "{p}, 'release', 'last_seen', false, 20, 0")}


@pytest.mark.parametrize("statement", PLANS)
def test_no_event_is_looked_at(picket, project, statement):
    project.send(wire.error_event(type="Planned", tags={"plan": "x"}, release="r"))
    project.wait_count(1)
    types, values = PLANS[statement]
    with open(os.path.join(server.ROOT, "sql", "queries", statement + ".sql"), encoding="utf-8") as f:
        text = f.read()
    with psycopg.connect(picket.conninfo(), autocommit=True) as connection:
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.execute(f"PREPARE s ({types}) AS {text}")
        plan = "\n".join(line for line, in connection.execute(f"EXPLAIN EXECUTE s ({values.format(p=project.id, i=project.issue('Planned')['id'])})"))
    assert "Scan" in plan and not re.search(r"\bon events", plan), plan


def test_refusals(picket, project):
    project.send(wire.error_event(type="Refused", tags={"t": "v"}))
    project.wait_count(1)
    counted(project, picket)
    path, other = project.issue_path(project.issue("Refused")), picket.new_project()
    for wrong in (path + "/tags/none", path + "/tags/%ff", path.replace(f"/{project.id}/", f"/{other.id}/") + "/tags", "/api/projects/999999/releases", "/api/projects/x/stats"):
        check_error(picket.api.get(wrong), 404, "NotFound")
    for query in ("release=a&environment=b", "by=level", "by=release&environment=a", "by=release&release=a"):
        check_error(picket.api.get(project.path + "/stats?" + query), 400, "ValidationError")
    check_error(picket.api.get(project.path + "/releases?sort=name"), 400, "ValidationError")
    assert other.api.read(other.path + "/releases") == {"items": [], "total_count": 0, "page": 1, "per_page": 20, "total_pages": 0}
    assert other.api.read(other.path + "/stats")["series"] == []


def test_releases_with_sessions(picket, project):
    project.send(wire.error_event(release="app@1"), wire.error_event(release="app@2"))
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sessions = {"aggregates": [{"started": at, "exited": 6, "crashed": 2}], "attrs": {"release": "app@1", "environment": "prod"}}
    assert project.post(wire.envelope({}, wire.item("sessions", sessions))).status_code == 200
    project.wait_count(2)
    counted(project, picket)
    rows = {row["release"]: row for row in project.api.read(project.path + "/releases")["items"]}
    assert (rows["app@1"]["sessions"], rows["app@1"]["crash_free_sessions"]) == (8, 0.75)
    assert (rows["app@2"]["sessions"], rows["app@2"]["crash_free_sessions"]) == (None, None)


def releases(project, **query):
    return project.api.read(project.path + "/releases", params=query)


def hour(ago=0):
    return time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(time.time() - 3600 * ago))


def test_releases_of_sessions_alone(picket, project):
    """Release health knows them, and no event: their times are hours."""
    hours = [hour(ago) for ago in range(6)]
    project.send(wire.error_event(release="app@1"))
    for release, ago in (("app@1", 3), ("web@1", 0), ("web@1", 2), ("web@2", 5)):
        sessions = {"aggregates": [{"started": hours[ago], "exited": 3, "crashed": 1}], "attrs": {"release": release, "environment": "prod"}}
        assert project.post(wire.envelope({}, wire.item("sessions", sessions))).status_code == 200
    project.wait_count(1)
    counted(project, picket)
    answer = releases(project, sort="first_seen", order="asc")
    assert [row["release"] for row in answer["items"]] == ["web@2", "app@1", "web@1"] and answer["total_count"] == 3
    rows = {row["release"]: row for row in answer["items"]}
    assert rows["web@1"] == {"release": "web@1", "is_rest": False, "first_seen": hours[2], "last_seen": hours[0], "events": 0, "new_issues": 0, "sessions": 8,
                             "crash_free_sessions": 0.75}
    assert rows["app@1"]["first_seen"] == hours[3] and rows["app@1"]["last_seen"] > hours[0] and rows["app@1"]["events"] == 1
    pages = [releases(project, sort="events", per_page=1, page=page)["items"] for page in (1, 2, 3, 4)]
    assert [row["release"] for items in pages for row in items] == ["app@1", "web@2", "web@1"]
    assert project.api.read(project.path + "/environments")["items"] == []


def test_first_seen_of_a_release_is_exact(picket, project):
    """The hour of its sessions began before its first event, which says nothing."""
    project.send(wire.error_event(release="app@1"))
    project.wait_count(1)
    counted(project, picket)
    (before,) = releases(project)["items"]
    sessions = {"aggregates": [{"started": before["first_seen"][:13] + ":00:00Z", "exited": 1}], "attrs": {"release": "app@1"}}
    assert project.post(wire.envelope({}, wire.item("sessions", sessions))).status_code == 200
    counted(project, picket)
    (after,) = releases(project)["items"]
    assert after["sessions"] == 1 and (after["first_seen"], after["last_seen"]) == (before["first_seen"], before["last_seen"])


def add_hours(picket, project, release, *hours):
    for at in hours:
        picket.sql("INSERT INTO release_hours VALUES (%s, %s, 'prod', %s, 1, 1, 0, 0, 0, 0)", project.id, release, at)


def test_releases_age_with_their_sessions(picket, project):
    add_hours(picket, project, "old@1", hour(50), hour(40))
    add_hours(picket, project, "old@2", hour(50), hour(1))
    assert releases(project)["total_count"] == 2
    picket.sql("DELETE FROM release_hours WHERE project_id = %s AND hour < now() - interval '45 hours'", project.id)
    assert releases(project)["total_count"] == 2
    picket.sql("DELETE FROM release_hours WHERE project_id = %s AND hour < now() - interval '35 hours'", project.id)
    assert [row["release"] for row in releases(project)["items"]] == ["old@2"]


def test_releases_of_sessions_are_bounded(picket, project):
    then, later = hour(2), hour(1)
    add_hours(picket, project, "app@1", then)
    picket.sql("INSERT INTO session_releases SELECT %s, 'many@' || n, now(), now() FROM generate_series(2, 10000) n", project.id)
    add_hours(picket, project, "app@1", later)
    add_hours(picket, project, "app@2", later)
    assert releases(project)["total_count"] == 10000
    first = releases(project, sort="last_seen", order="asc")["items"][0]
    assert first["release"] == "app@1" and first["last_seen"] == later


def split(project, key, **query):
    answer = project.api.read(project.path + "/stats", params={"by": key, **query})
    for part in [answer, *answer["values"]]:
        assert part["events"] == sum(point["events"] for point in part["series"])
    return answer["events"], [(part["value"], part["events"]) for part in answer["values"]]


def test_stats_by_release_and_environment(picket, project):
    """All, and beside them the ten that most had, each as if it had been asked for alone."""
    assert split(project, "release") == (0, [])
    project.send(*[wire.error_event(release=f"r{n:02}", environment="prod" if n % 2 else "test") for n in range(12) for _ in range(n + 1)], wire.error_event())
    project.wait_count(79)
    counted(project, picket)
    assert split(project, "release") == split(project, "release", hours=720) == (79, [(f"r{n:02}", n + 1) for n in range(11, 1, -1)])
    assert split(project, "environment")[1][:2] == [("prod", 42), ("test", 36)]
    answer = project.api.read(project.path + "/stats", params={"by": "release"})
    for part in answer["values"]:
        alone = project.api.read(project.path + "/stats", params={"release": part["value"]})
        assert (part["series"], part["events"], part["is_rest"]) == (alone["series"], alone["events"], False)
    assert "values" not in project.api.read(project.path + "/stats", params={"by": "nothing"})
    picket.sql("UPDATE tag_hours SET hour = hour - interval '3 days' WHERE project_id = %s AND tag_id = (SELECT id FROM tags WHERE project_id = %s AND value = 'r11')",
               project.id, project.id)
    assert split(project, "release")[1][0] == ("r10", 11) and split(project, "release", hours=168)[1][0] == ("r11", 12)
