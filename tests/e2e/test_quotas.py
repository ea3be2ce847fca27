"""Quotas (contract §2.9, protocol §4.3–4.5, §10.5 "quotas", "rate limit header"): what is beyond one is refused, told and counted; the arithmetic of
windows is tests/unit/test_window.c."""
import json
import re
import time
import uuid

import pytest

import server
import wire
from client import Api, Project, accepted
from contract import PROJECT, check, check_error, check_ingest_error
from test_outcomes import report, totals, wait_totals
from waiting import until

LIMIT = re.compile(r"[1-9]\d*:[a-z_]+(;[a-z_]+)*:(organization|project|key):[a-z_]+")
EVENTS = "default;error;security"


def post_event(project):
    return project.post(wire.event_envelope(wire.error_event()))


def post_feedback(project):
    return project.post(wire.envelope({}, wire.item("feedback", {"contexts": {"feedback": {"message": "hm"}}})))


def limits_of(answer):
    """The header as the worst parser reads it (§4.4): bare commas, integer seconds, a category and a scope in each."""
    header = answer.headers["X-Sentry-Rate-Limits"]
    parts = header.split(",")
    assert all(LIMIT.fullmatch(part) for part in parts), header
    return [part.split(":") for part in parts]


def check_429(answer, scope, reason, most=60):
    body = check_ingest_error(answer, 429)
    retry = int(answer.headers["Retry-After"])
    assert 1 <= retry <= most and body["error"] == "rate_limit_exceeded" and body["retry_after"] == retry
    assert body["detail"].startswith("Sentry dropped data due to a quota or internal rate limit being reached.")
    assert limits_of(answer) == [[str(retry), EVENTS, scope, reason]]
    return retry


def set_quotas(project, path="", **quotas):
    """Through the API, and waits until the door knows: by a feedback that it takes no more."""
    answer = project.api.patch(project.path + path, json={"quotas": {**quotas, "feedback": {"hour": 1}}})
    assert answer.status_code == 200, answer.text
    until(lambda: post_feedback(project).status_code == 429, "the quota is not known", 5)
    return answer.json()


def statuses(project, n):
    return [post_event(project).status_code for _ in range(n)]


# ---- one project

def test_exactly_n_pass(project):
    set_quotas(project, error={"minute": 5})
    assert statuses(project, 8) == [200] * 5 + [429] * 3
    check_429(post_event(project), "project", "project_minute_quota")
    assert post_event(project).json()["causes"] == ["project quota: 5 per minute"]
    project.wait_count(5)
    until(lambda: totals(project).get(("error", "rate_limited", "project_minute_quota")) == 5, lambda: totals(project))
    case = next(c for c in project.api.read(project.path + "/delivery")["items"] if c["category"] == "error")
    assert (case["reason"], case["outcome"]) == ("project_minute_quota", "rate_limited")


def test_hour(project):
    set_quotas(project, error={"hour": 2})
    assert statuses(project, 3) == [200, 200, 429]
    assert check_429(post_event(project), "project", "project_hour_quota", 3600) > 3500


def test_store_and_pixel(project):
    """The other doors to the same house."""
    set_quotas(project, error={"minute": 1})
    path = f"/api/{project.id}/store/"
    assert project.post(b'{"message":"a"}', path=path, headers={"Content-Type": "application/json"}).status_code == 200
    check_429(project.post(b'{"message":"b"}', path=path, headers={"Content-Type": "application/json"}), "project", "project_minute_quota")
    pixel = project.api.session.get(f"{project.api.url}{path}?sentry_key={project.key}&sentry_data=%7B%22message%22%3A%22c%22%7D")
    assert pixel.status_code == 429


def test_a_part_is_limited(project):
    """200 with the header; what is left out is counted, the rest is stored. Client reports are never limited."""
    set_quotas(project, error={"minute": 1})
    events = [wire.error_event() for _ in range(3)]
    session = wire.item("session", {"sid": str(uuid.uuid4()), "init": True, "started": time.time(), "attrs": {"release": "a@1"}})
    answer = project.post(wire.envelope({}, session, *(wire.item("event", e) for e in events), wire.item("transaction", {}), wire.item("event", b"{ no JSON")))
    assert accepted(answer) == events[0]["event_id"] and "Retry-After" not in answer.headers
    limits = limits_of(answer)
    assert limits[0][1:] == [EVENTS, "project", "project_minute_quota"] and 1 <= int(limits[0][0]) <= 60
    assert [entry[2:] for entry in limits[1:]] == [["organization", "not_stored"]]
    answer = project.post(wire.envelope({}, wire.item("event", events[2]), report(("ratelimit_backoff", "error", 4))))
    assert answer.status_code == 200 and limits_of(answer)[0][1] == EVENTS
    answer = project.post(wire.envelope({}, report(("ratelimit_backoff", "error", 3))))
    assert answer.status_code == 200 and "X-Sentry-Rate-Limits" not in answer.headers  # a header on every answer would silence an SDK for good
    wanted = {("error", "accepted", ""): 1, ("error", "rate_limited", "project_minute_quota"): 3, ("error", "client_discard", "ratelimit_backoff"): 7,
              ("session", "accepted", ""): 1, ("transaction", "filtered", "not_stored"): 1, ("error", "invalid", "invalid_json"): 1}
    until(lambda: wanted.items() <= totals(project).items(), lambda: totals(project))


def test_categories_have_their_own(project):
    """Aggregates count each (§4.5), and all of an item or nothing; what is broken or not stored uses nothing up."""
    set_quotas(project, error={"minute": 2}, session={"minute": 10})

    def sessions(n):
        aggregates = [{"started": time.time(), "exited": 1}] * n
        return project.post(wire.envelope({}, wire.item("sessions", {"aggregates": aggregates, "attrs": {"release": "a@1"}})))
    for _ in range(3):
        assert project.post(wire.raw_event_envelope(b"{ no JSON")[1]).status_code == 400
    assert [sessions(n).status_code for n in (6, 5, 4, 1)] == [200, 429, 200, 429]
    refused = sessions(2)
    assert refused.status_code == 429 and [entry[1] for entry in limits_of(refused)] == ["session"]
    assert statuses(project, 3) == [200, 200, 429]
    wanted = {("session", "accepted", ""): 10, ("session", "rate_limited", "project_minute_quota"): 8, ("error", "accepted", ""): 2}
    until(lambda: wanted.items() <= totals(project).items(), lambda: totals(project))


def test_a_change_acts_at_once(project):
    set_quotas(project, error={"minute": 2})
    assert statuses(project, 3) == [200, 200, 429]
    project.api.patch(project.path, json={"quotas": {"error": {"minute": 4}}})
    until(lambda: post_event(project).status_code == 200, "the higher limit is not known", 5)
    assert statuses(project, 2) == [200, 429]
    project.api.patch(project.path, json={"quotas": {"error": None}})
    until(lambda: statuses(project, 5) == [200] * 5, "still limited", 5)
    project.api.patch(project.path, json={"quotas": {"error": {"minute": 3}}})  # lower than what came already
    until(lambda: post_event(project).status_code == 429, "the limit is not known", 5)


def test_another_project_is_not_concerned(picket, project):
    other = picket.new_project()
    set_quotas(project, error={"minute": 1})
    assert statuses(project, 2) == [200, 429] and statuses(other, 3) == [200] * 3


def test_keys(picket, project):
    """A key's quota is its own; the project's holds for all of its keys."""
    second = uuid.uuid4()
    (key_id,), = picket.sql("INSERT INTO project_keys (project_id, public_key) VALUES (%s, %s) RETURNING id", project.id, second)
    other = Project(project.api, {"id": project.id, "slug": project.slug, "dsn": project.dsn.replace(project.key, second.hex)})
    first = next(key for key in project.api.read(project.path + "/keys")["items"] if key["id"] != key_id)
    assert set(first) == {"id", "public_key", "dsn", "label", "is_active", "created_at", "quotas"} and first["dsn"] == project.dsn
    changed = set_quotas(project, f"/keys/{first['id']}", error={"minute": 2})
    assert changed == {**first, "quotas": {"error": {"minute": 2}, "feedback": {"hour": 1}}}
    assert statuses(project, 3) == [200, 200, 429]
    check_429(post_event(project), "key", "key_minute_quota")
    assert statuses(other, 3) == [200] * 3
    project.api.patch(project.path, json={"quotas": {"error": {"hour": 6}}})
    until(lambda: post_event(other).status_code == 429, "the project's quota is not known", 5)
    check_error(project.api.patch(f"{project.path}/keys/999999999", json={"quotas": {}}), 404)
    check_error(project.api.get("/api/projects/99999999/keys"), 404)
    assert Api(picket.url).get(project.path + "/keys").status_code == 401


def test_the_api_of_projects(picket, project):
    """R10: name; quotas and retention. What is not named stays, null takes back."""
    row = check(PROJECT, project.row())
    assert (row["quotas"], row["retention_days"], row["retention_events_per_issue"]) == ({}, None, None)
    assert check(PROJECT, project.api.patch(project.path, json={}).json()) == row
    name = f"renamed {uuid.uuid4().hex}"
    changed = project.api.patch(project.path, json={"name": f" {name} ", "quotas": {"error": {"minute": 5, "hour": 50}}, "retention_days": 7}).json()
    assert (changed["name"], changed["slug"], changed["quotas"], changed["retention_days"]) == (name, row["slug"], {"error": {"minute": 5, "hour": 50}}, 7)
    changed = project.api.patch(project.path, json={"quotas": {"error": {"minute": None, "hour": 9}, "session": {"hour": 0}}, "retention_days": 0}).json()
    assert (changed["quotas"], changed["retention_days"]) == ({"error": {"hour": 9}, "session": {"hour": 0}}, None)
    assert project.api.patch(project.path, json={"quotas": {"session": None}}).json()["quotas"] == {"error": {"hour": 9}}
    check_error(project.api.patch(project.path, json={"name": picket.new_project().row()["name"]}), 409)
    check_error(project.api.patch("/api/projects/99999999", json={}), 404)


@pytest.mark.parametrize("body", [
    {"name": " "}, {"name": "x" * 300}, {"name": 3}, {"quotas": []}, {"quotas": {"errors": {"minute": 1}}}, {"quotas": {"default": {"minute": 1}}},
    {"quotas": {"error": 5}}, {"quotas": {"error": {"day": 5}}}, {"quotas": {"error": {"minute": -1}}}, {"quotas": {"error": {"minute": 1.5}}},
    {"quotas": {"error": {"minute": "5"}}}, {"quotas": {"error": {"minute": 1e30}}}, {"retention_days": -1}, {"retention_days": 36501}, {"retention_events_per_issue": "all"}])
def test_wrong_changes(project, body):
    check_error(project.api.patch(project.path, json=body), 400)


def test_categories_without_effect(picket, project):
    """What is never stored cannot be limited, and says so; what an older release let through can be taken back."""
    expected = "is no category that can be limited: error, attachment, session, monitor, feedback, attachment_item are"
    for name in ("transaction", "span", "log_item", "default", "errors"):
        answer = project.api.patch(project.path, json={"quotas": {name: {"minute": 1}}})
        check_error(answer, 400)
        assert answer.json()["message"] == f"quotas: {name} {expected}"
        ran = picket.run("quota", "set", name, "--project", project.id, "--minute", "1")
        assert ran.returncode == 2 and f"'{name}' {expected}" in ran.stderr
    picket.sql("""UPDATE projects SET quotas = '{"transaction": {"minute": 1}, "span": {"minute": 1}}' WHERE id = %s""", project.id)
    assert project.api.patch(project.path, json={"quotas": {"transaction": None}}).json()["quotas"] == {"span": {"minute": 1}}
    picket.command("quota", "set", "span", "--project", project.id, "--unset")
    assert project.row()["quotas"] == {}
    assert project.api.patch(project.path, json={"quotas": {"attachment_item": {"minute": 1}}}).json()["quotas"] == {"attachment_item": {"minute": 1}}


def test_command(picket, project):
    listed = json.loads(picket.command("quota", "set", "error", "--project", project.id, "--minute", 3, "--json"))
    assert listed == [{"scope": "project", "id": project.id, "category": "error", "per_minute": 3, "per_hour": None}]
    until(lambda: post_event(project).status_code == 429, "the quota is not known", 5)
    picket.command("quota", "set", "error", "--project", project.id, "--hour", 100)
    assert project.row()["quotas"] == {"error": {"minute": 3, "hour": 100}}
    assert {"scope": "project", "id": project.id, "category": "error", "per_minute": 3, "per_hour": 100} in json.loads(picket.command("quota", "list", "--json"))
    picket.command("quota", "set", "error", "--project", project.id, "--unset")
    assert project.row()["quotas"] == {}
    ((key,),) = picket.sql("SELECT id FROM project_keys WHERE project_id = %s", project.id)
    listed = json.loads(picket.command("quota", "set", "error", "--key", key, "--minute", 1, "--json"))
    assert listed == [{"scope": "key", "id": key, "category": "error", "per_minute": 1, "per_hour": None}]
    until(lambda: post_event(project).status_code == 429, "the key's quota is not known", 5)
    check_429(post_event(project), "key", "key_minute_quota")
    assert project.row()["quotas"] == {} and project.api.read(project.path + "/keys")["items"][0]["quotas"] == {"error": {"minute": 1}}
    picket.command("quota", "set", "error", "--key", key, "--unset")
    for wrong in (["set", "errors", "--minute", "1"], ["set", "error", "--minute", "x"], ["set", "error", "--project", "1", "--key", "1"], ["set"]):
        assert picket.run("quota", *wrong).returncode == 2
    for scope in ("--project", "--key"):
        assert picket.run("quota", "set", "error", scope, "99999999", "--minute", "1").returncode == 1


# ---- the installation; restarts; several Pickets

def test_variables_of_the_contract(make_picket):
    """MAX_EVENTS_PER_…: projects have theirs, a project's own word goes before; the installation has one for all. 0 of a project is no limit."""
    picket = make_picket(MAX_EVENTS_PER_MINUTE="11", MAX_EVENTS_PER_PROJECT_PER_MINUTE="3").start().wait_sample()  # which is one of the 11
    one, two, free = picket.new_project(), picket.new_project(), picket.new_project()
    set_quotas(free, error={"minute": 0})
    assert statuses(one, 4) == [200, 200, 200, 429] and statuses(two, 4) == [200, 200, 200, 429]
    check_429(post_event(one), "project", "project_minute_quota")
    assert statuses(free, 5) == [200] * 4 + [429]
    check_429(post_event(free), "organization", "installation_minute_quota")
    admin = Api(picket.url, token=picket.token)
    assert admin.read("/api/installation") == {"quotas": {}}
    assert admin.patch("/api/installation", json={"quotas": {"error": {"minute": 13}}}).json() == {"quotas": {"error": {"minute": 13}}}
    until(lambda: post_event(free).status_code == 200, "the installation's quota is not known", 5)
    assert statuses(free, 2) == [200, 429]
    picket.command("user", "add", "someone@example.com", stdin="a long password\n")
    someone = Api(picket.url, token=picket.command("token", "add", "--user", "someone@example.com").strip())
    assert someone.get("/api/installation").status_code == 403 and someone.patch("/api/installation", json={}).status_code == 403


def test_the_installations_hour(make_picket):
    """MAX_EVENTS_PER_HOUR, of all projects together."""
    picket = make_picket(MAX_EVENTS_PER_HOUR="4").start().wait_sample()  # which is one of them
    one, two = picket.new_project(), picket.new_project()
    assert statuses(one, 2) == [200] * 2 and statuses(two, 2) == [200, 429]
    assert check_429(post_event(one), "organization", "installation_hour_quota", 3600) > 3000


def test_a_restart_forgets_nothing_and_the_window_slides(make_picket):
    picket = make_picket(MAX_EVENTS_PER_PROJECT_PER_MINUTE="3", MAX_EVENTS_PER_PROJECT_PER_HOUR="5").start()
    project = picket.new_project()
    assert statuses(project, 4) == [200, 200, 200, 429]
    picket.stop()
    picket.start()
    check_429(post_event(project), "project", "project_minute_quota")
    picket.stop()  # in another process's eyes these three came 56 seconds ago
    picket.sql("UPDATE quota_ticks SET tick = (extract(epoch FROM now()) * 1000000)::bigint - 56000000")
    picket.start()
    assert check_429(post_event(project), "project", "project_minute_quota") <= 4
    until(lambda: post_event(project).status_code == 200, "the window does not slide", 10)
    assert statuses(project, 2) == [200, 429]
    assert check_429(post_event(project), "project", "project_hour_quota", 3600) > 3400
    until(lambda: told(picket) == 5, "it is not told")
    picket.kill()
    picket.start()  # what was exchanged before stays
    assert check_429(post_event(project), "project", "project_hour_quota", 3600) > 3400


def told(picket):
    """How many units servers have told each other of what was taken most of."""
    return picket.sql("SELECT max(n)::int FROM (SELECT sum(q) AS n FROM quota_ticks, unnest(names, quantities) t (name, q) GROUP BY name) s")[0][0]


def test_a_tick_that_was_stored_unheard(make_picket):
    """A commit whose answer was lost: the same tick comes back with the next exchange, and is this server's own. It counts once."""
    picket = make_picket().start()
    project = picket.new_project()
    set_quotas(project, error={"hour": 10})
    assert statuses(project, 1) == [200]
    ticks = "SELECT tick FROM quota_ticks WHERE tick > %s ORDER BY tick DESC LIMIT 1"
    (last,), = until(lambda: picket.sql(ticks, 0), "nothing was told")
    picket.sql("INSERT INTO quota_ticks SELECT node, tick + 1, names, array_fill(9::bigint, ARRAY[cardinality(names)]) FROM quota_ticks WHERE tick = %s", last)
    assert statuses(project, 1) == [200]
    until(lambda: picket.sql(ticks, last + 1), "nothing more was told", 30)  # and so the last was read
    assert statuses(project, 9) == [200] * 8 + [429]


def test_two_servers_share(make_picket):
    """What one takes the other knows by its own next exchange (src/ingest/quota.c)."""
    first = make_picket(MAX_EVENTS_PER_PROJECT_PER_HOUR="10").start()
    second = make_picket(DATABASE_URL=first.settings["DATABASE_URL"], MAX_EVENTS_PER_PROJECT_PER_HOUR="10", CREATE_SUPERUSER=None).start()
    here = first.new_project()
    there = Project(Api(second.url), {"id": here.id, "slug": here.slug, "dsn": here.dsn})

    def nodes():
        return first.sql("SELECT count(DISTINCT node) FROM quota_ticks")[0][0]
    assert statuses(here, 6) == [200] * 6
    until(lambda: nodes() == 1, "the first does not tell", 10)
    assert statuses(there, 1) == [200]
    until(lambda: nodes() == 2, "the second does not tell", 10)  # and has heard by the same statement
    assert statuses(there, 5) == [200] * 3 + [429] * 2
    until(lambda: first.sql("SELECT count(*) FROM quota_ticks")[0][0] == 3, "the rest is not told", 10)
    assert statuses(here, 1) == [429] or until(lambda: post_event(here).status_code == 429, "the first does not hear", 5)
