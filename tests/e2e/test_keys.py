"""Project keys at the door: cached in memory, told by NOTIFY, and known while the database is away (architecture.md "Spool", issue items 2 and 7)."""
import os
import signal
import uuid

import pytest

import server
import wire
from client import Project
from contract import check_ingest_error
from postgres import Cluster
from waiting import until


@pytest.fixture
def own_cluster():
    """A cluster that may be stopped."""
    directory = server.Directory()
    cluster = Cluster(directory.join("postgres"))
    try:
        cluster.create()
        yield cluster
    finally:
        cluster.stop()
        directory.remove()


def with_key(project, key):
    row = {"id": project.id, "slug": project.slug, "dsn": project.dsn.replace(project.key, key)}
    return Project(project.api, row)


def test_rotated_key(picket):
    """`picket project rotate-key`: the new key works at once, the old one is refused as soon as the notice is in."""
    project = picket.new_project()
    project.send(wire.error_event())
    dsn = picket.command("project", "rotate-key", project.id).strip()
    rotated = Project(project.api, picket.api.read(f"/api/projects/{project.id}"))
    assert rotated.dsn == dsn and rotated.key != project.key
    rotated.send(wire.error_event())
    until(lambda: project.post(b"{}").status_code == 403, "the old key is still accepted", 5)
    check_ingest_error(project.post(wire.event_envelope(wire.error_event())), 403)
    rotated.wait_count(2)


def test_new_key_after_it_was_refused(picket):
    """A key that was unknown a moment ago (and remembered as such) works as soon as it exists."""
    project = picket.new_project()
    key = uuid.uuid4()
    early = with_key(project, key.hex)
    for _ in range(5):
        check_ingest_error(early.post(b"{}"), 403)
    picket.sql("INSERT INTO project_keys (project_id, public_key) VALUES (%s, %s)", project.id, key)
    until(lambda: early.post(b"{}").status_code == 200, "the new key is refused", 5)
    project.send(wire.error_event())  # the older one goes on


def test_new_project_works_at_once(picket):
    """A cold miss waits for one query: no request of a new project is refused."""
    for _ in range(10):
        picket.new_project().send(wire.error_event())


def test_deleted_project(picket):
    project = picket.new_project()
    project.send(wire.error_event())
    project.wait_count(1)
    picket.sql("DELETE FROM projects WHERE id = %s", project.id)
    until(lambda: project.post(b"{}").status_code == 403, "still accepted", 5)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_database_away(make_picket, own_cluster, how):
    """Known keys go on, unknown ones get 503 (not 403: they may be good) with Retry-After; afterwards everything is digested, once."""
    picket = make_picket(DATABASE_URL=own_cluster.migrated_database(), DATABASE_ACQUIRE_TIMEOUT_SECS=1, CREATE_SUPERUSER=None).start()
    project = picket.new_project()
    project.send(wire.error_event())
    project.wait_count(1)
    freeze(own_cluster) if how == "frozen" else own_cluster.stop()
    try:
        events = [wire.error_event(value="while it was away") for _ in range(200)]
        project.send(*events)
        if how == "stopped":
            answer = with_key(project, uuid.uuid4().hex).post(b"{}")
            check_ingest_error(answer, 503)
            assert int(answer.headers["Retry-After"]) > 0
        project.send(*events[:10])
    finally:
        thaw(own_cluster) if how == "frozen" else own_cluster.start()
    until(picket.is_ready, "not ready again", 60)
    until(lambda: reachable_count(project) == 201, lambda: f"{reachable_count(project)} of 201", 60)
    assert project.issue("while it was away")["event_count"] == 200
    check_ingest_error(with_key(project, uuid.uuid4().hex).post(b"{}"), 403)
    picket.stop()


def reachable_count(project):
    answer = project.api.get(project.path)
    return answer.json()["digested_event_count"] if answer.status_code == 200 else -1


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(child) for child in f.read().split()]


def freeze(cluster):
    """SIGSTOP: connections stay open and nothing answers, which is worse than a closed door."""
    cluster.process.send_signal(signal.SIGSTOP)
    for child in children(cluster.process.pid):
        os.kill(child, signal.SIGSTOP)


def thaw(cluster):
    for child in children(cluster.process.pid):
        os.kill(child, signal.SIGCONT)
    cluster.process.send_signal(signal.SIGCONT)


def test_key_revoked_without_a_notice(make_picket, own_cluster):
    """The listener was not connected when the key was revoked: after its reconnect all keys are read again."""
    picket = make_picket(DATABASE_URL=own_cluster.migrated_database(), DATABASE_ACQUIRE_TIMEOUT_SECS=1, CREATE_SUPERUSER=None).start()
    project = picket.new_project()
    project.send(wire.error_event())
    own_cluster.stop()
    project.send(wire.error_event())
    picket.process.send_signal(signal.SIGSTOP)
    own_cluster.start()
    picket.sql("UPDATE project_keys SET is_active = false WHERE public_key = %s", uuid.UUID(project.key))
    picket.process.send_signal(signal.SIGCONT)
    until(lambda: project.post(b"{}").status_code == 403, "the revoked key is still accepted", 30)
    picket.stop()
