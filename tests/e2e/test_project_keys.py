"""Several keys of a project (issue 7, "Projects"): made, changed, rotated and deleted over HTTP, and what the door makes of it."""
import threading

import psycopg
import pytest

import wire
from client import Project
from contract import check, check_error, check_ingest_error
from waiting import until

KEY = {"id": "int", "public_key": "uuid", "dsn": "string", "label": "string", "is_active": "bool", "created_at": "datetime", "quotas": "record"}


def made(project, **members):
    answer = project.api.post(project.path + "/keys", json=members)
    assert answer.status_code == 201, answer.text
    return check(KEY, answer.json())


def listed(project):
    return [check(KEY, key) for key in project.api.read(project.path + "/keys")["items"]]


def by(project, key):
    """The project as who has that key's DSN."""
    return Project(project.api, {"id": project.id, "slug": project.slug, "dsn": key["dsn"]})


def change(project, key, **members):
    answer = project.api.patch(f"{project.path}/keys/{key['id']}", json=members)
    assert answer.status_code == 200, answer.text
    return check(KEY, answer.json())


def is_refused(project):
    return project.post(b"{}").status_code == 403


def test_another_key(project):
    """It works beside the first, which nobody has to exchange."""
    before = project.row()
    first, = listed(project)
    assert first["dsn"] == project.dsn and first["label"] == "" and first["is_active"]
    key = made(project, label="  Browsers \u00e9 ", quotas={"error": {"minute": 1000, "hour": None}})
    assert key["label"] == "Browsers \u00e9" and key["quotas"] == {"error": {"minute": 1000}} and key["is_active"] and key["dsn"] != project.dsn
    assert listed(project) == [key, first]
    by(project, key).send(wire.error_event())
    project.send(wire.error_event())
    project.wait_count(2)
    after = project.row()
    assert (after["dsn"], after["sentry_key"]) == (before["dsn"], before["sentry_key"])


def test_nothing_is_asked_for(project):
    key = made(project)
    assert key["label"] == "" and key["quotas"] == {}
    assert change(project, key) == key and change(project, key, label=None, is_active=None, quotas=None) == key


def test_disabled(project):
    """And enabled again; the other key goes on, and is the project's meanwhile."""
    other = made(project, label="other")
    first = listed(project)[-1]
    assert change(project, first, is_active=False) == {**first, "is_active": False}
    until(lambda: is_refused(project), "the disabled key is accepted", 5)
    check_ingest_error(project.post(wire.event_envelope(wire.error_event())), 403)
    by(project, other).send(wire.error_event())
    assert project.row()["dsn"] == other["dsn"]
    assert change(project, first, is_active=True, label="first") == {**first, "label": "first"}
    until(lambda: not is_refused(project), "the enabled key is refused", 5)
    assert project.row()["dsn"] == first["dsn"]


def test_deleted(project):
    key = made(project, label="short-lived")
    late = by(project, key)
    late.send(wire.error_event())
    path = f"{project.path}/keys/{key['id']}"
    answer = project.api.delete(path)
    assert answer.status_code == 204 and answer.content == b""
    until(lambda: is_refused(late), "the deleted key is accepted", 5)
    assert key["id"] not in {left["id"] for left in listed(project)}
    for again in (project.api.delete(path), project.api.patch(path, json={"label": "x"}), project.api.post(path + "/rotate")):
        check_error(again, 404, "NotFound")
    project.send(wire.error_event())


def test_without_keys(project):
    """It is shown, and takes nothing."""
    first, = listed(project)
    assert project.api.delete(f"{project.path}/keys/{first['id']}").status_code == 204
    until(lambda: is_refused(project), "the deleted key is accepted", 5)
    assert listed(project) == [] and project.row()["id"] == project.id
    new = made(project)
    by(project, new).send(wire.error_event())
    assert project.row()["dsn"] == new["dsn"]


def test_rotated(project):
    """Another public key; its number, label and quotas stay, and the project's other keys."""
    key = made(project, label="Phones", quotas={"error": {"hour": 500}})
    old = by(project, key)
    old.send(wire.error_event())
    answer = project.api.post(f"{project.path}/keys/{key['id']}/rotate")
    assert answer.status_code == 200
    rotated = check(KEY, answer.json())
    assert rotated["public_key"] != key["public_key"] and rotated["dsn"] != key["dsn"]
    assert {**rotated, "public_key": 0, "dsn": 0} == {**key, "public_key": 0, "dsn": 0}
    by(project, rotated).send(wire.error_event())
    until(lambda: is_refused(old), "the old public key is accepted", 5)
    project.send(wire.error_event())
    project.wait_count(3)


def test_quotas_from_the_beginning(project):
    limited = by(project, made(project, quotas={"error": {"minute": 1}}))
    limited.post(wire.event_envelope(wire.error_event()))
    until(lambda: limited.post(wire.event_envelope(wire.error_event())).status_code == 429, "the new key has no limit", 5)
    project.send(wire.error_event(), wire.error_event())


@pytest.mark.parametrize("members", [{"label": 7}, {"label": "x" * 256}, {"label": "a\0b"}, {"quotas": {"error": {"minute": -1}}}, {"quotas": []}])
def test_bad_bodies(project, members):
    first, = listed(project)
    check_error(project.api.post(project.path + "/keys", json=members), 400, "ValidationError")
    check_error(project.api.patch(f"{project.path}/keys/{first['id']}", json=members), 400, "ValidationError")
    check_error(project.api.patch(f"{project.path}/keys/{first['id']}", json={"is_active": "no"}), 400, "ValidationError")
    assert listed(project) == [first]


def test_keys_of_others(picket, project):
    other = picket.new_project()
    key, = listed(other)
    path = f"{project.path}/keys/{key['id']}"
    for answer in (project.api.patch(path, json={"is_active": False}), project.api.delete(path), project.api.post(path + "/rotate")):
        check_error(answer, 404, "NotFound")
    assert listed(other) == [key]
    check_error(project.api.post("/api/projects/999999/keys", json={}), 404, "NotFound")


def test_not_too_many(picket, project):
    picket.sql("INSERT INTO project_keys (project_id, public_key) SELECT %s, gen_random_uuid() FROM generate_series(1, 99)", project.id)
    check_error(project.api.post(project.path + "/keys", json={}), 409, "Conflict")
    assert project.api.delete(f"{project.path}/keys/{listed(project)[0]['id']}").status_code == 204
    made(project)


def test_no_key_of_a_project_that_goes(picket):
    """Its keys are deleted with it: one that is made at that moment must not stay."""
    project, answers = picket.new_project(), []
    asking = threading.Thread(target=lambda: answers.append(project.api.post(project.path + "/keys", json={})))
    with psycopg.connect(picket.conninfo()) as connection:
        connection.execute("SELECT project_delete(%s)", [project.id])
        asking.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%INSERT INTO project_keys%%'"
        until(lambda: picket.sql(waiting) == [(1,)], "nobody waits")
    asking.join()
    check_error(answers[0], 404, "NotFound")
    assert picket.sql("SELECT count(*) FROM project_keys WHERE project_id = %s", project.id) == [(0,)]
