"""A database that goes away while Picket runs, the private one too; and a restart while it is away (architecture, "Spool": the copy of the key
cache): known keys go on, unknown ones are 503, and everything follows when the database comes back."""
import os
import re
import secrets
import signal
import uuid

import psycopg
import pytest

import postgres
import server
import wire
from waiting import until

MIGRATION_LOCK = 123621438911860  # sql/queries/migrate_lock.sql


@pytest.fixture
def own_cluster():
    directory = server.Directory()
    cluster = postgres.Cluster(directory.join("cluster"))
    cluster.create()
    yield cluster
    cluster.stop(signal.SIGQUIT)
    directory.remove()


@pytest.fixture
def picket(make_picket, own_cluster):
    return make_picket(DATABASE_URL=own_cluster.migrated_database(), DATABASE_ACQUIRE_TIMEOUT_SECS=1).start()


def key_copy(picket):
    return os.path.join(picket.settings["DATA_DIR"], "spool", "keys")


def start_in_the_dark(picket):
    picket.start(ready=False)
    until(lambda: "listens on" in picket.printed(), picket.said, 30)


def post_as(picket, project, key):
    path = f"{picket.url}/api/{project}/envelope/?sentry_key={key}"
    return picket.http.post(path, data=wire.event_envelope(wire.error_event()), timeout=10)


def test_restart_while_the_database_is_away(picket, own_cluster):
    project = picket.new_project()
    before = wire.error_event(value="before")
    project.send(before)
    project.find(before["event_id"])
    until(lambda: project.key in copied_keys(picket), "the key is not in the copy")
    own_cluster.stop(signal.SIGQUIT)
    picket.stop()

    start_in_the_dark(picket)
    during = [wire.error_event(value=f"during {i}") for i in range(20)]
    for event in during:
        project.send(event)  # 200
    unknown = post_as(picket, project.id, secrets.token_hex(16))
    assert unknown.status_code == 503 and unknown.headers["Retry-After"] and "database" in unknown.json()["detail"]
    assert post_as(picket, project.id + 1, project.key).status_code == 403  # known, and of another project
    assert picket.http.get(picket.url + "/health", timeout=10).status_code == 200
    assert picket.http.get(picket.url + "/health/ready", timeout=10).status_code == 503
    picket.kill()
    start_in_the_dark(picket)  # and once more, after a crash

    own_cluster.start()
    until(picket.is_ready, picket.said, 30)
    project.wait_count(len(during) + 1)
    assert {uuid.UUID(event["event_id"]).hex for event in project.all_events()} == {event["event_id"] for event in (before, *during)}
    assert sum(issue["event_count"] for issue in project.issues()) == len(during) + 1
    later = picket.new_project()
    event = wire.error_event(value="later")
    later.send(event)
    assert later.find(event["event_id"])
    assert "the database answers: digesting" in picket.log()
    picket.settings["PUBLIC_URL"] = "https://later.example.com"
    own_cluster.stop(signal.SIGQUIT)
    picket.stop()
    start_in_the_dark(picket)
    own_cluster.start()
    noted = {"DATABASE_URL": picket.settings["DATABASE_URL"], "DATA_DIR": picket.settings["DATA_DIR"]}
    until(lambda: "@later.example.com/" in server.run("project", "list", **noted).stdout, picket.log, 30, pause=0.1)


def copied_keys(picket):
    try:
        with open(key_copy(picket), "rb") as f:
            return f.read().hex()
    except FileNotFoundError:
        return ""


def private_server(picket):
    with open(os.path.join(picket.settings["DATA_DIR"], "postgres", "data", "postmaster.pid"), encoding="ascii") as f:
        return int(f.readline())


def test_private_server_that_is_killed_is_started_again(make_picket):
    """As the kernel does when memory runs out. What was accepted is digested, and the log says what happened and where to read more."""
    picket = make_picket(private=True).start()
    project = picket.new_project()
    project.send(wire.error_event())
    project.wait_count(1)
    for i in range(2):  # the second time after a pause
        old = private_server(picket)
        os.kill(old, signal.SIGKILL)
        event = wire.error_event(value=f"while it is away {i}")
        project.send(event)
        until(lambda n=i: picket.log().count("the private PostgreSQL runs again") == n + 1, picket.log, 60)
        until(picket.is_ready, picket.log, 60)
        assert private_server(picket) != old
        assert project.find(event["event_id"])
    project.wait_count(3)
    line = next(line for line in picket.log().splitlines() if "the private PostgreSQL has ended" in line)
    assert "level=error" in line and os.path.join(picket.settings["DATA_DIR"], "postgres", "log") in line
    assert "up to date" in picket.command("migrate")
    server_pid = private_server(picket)
    picket.stop()
    assert not os.path.exists(f"/proc/{server_pid}")


def test_two_users_of_a_killed_private_server(make_picket):
    """Another Picket on the same cluster (its own spool and port): both notice, one server runs afterwards, and it stays while one of them does."""
    picket = make_picket(private=True).start()
    other = make_picket(private=True, DATA_DIR=picket.settings["DATA_DIR"], INGEST_DIR=picket.directory.join("other-spool")).start()
    os.kill(private_server(picket), signal.SIGKILL)
    for one in (picket, other):
        until(lambda p=one: "the private PostgreSQL runs again" in p.log() or "database is back" in p.log(), one.log, 60)
        until(one.is_ready, one.log, 60)
    project = picket.new_project()
    event = wire.error_event()
    project.send(event)
    assert project.find(event["event_id"])
    picket.stop()
    assert other.is_ready()
    other.stop()
    assert not os.path.exists(os.path.join(picket.settings["DATA_DIR"], "postgres", "data", "postmaster.pid"))


def test_private_server_that_cannot_be_started_again(make_picket):
    """Told at error with the reason and tried again, less and less often; stopping is not delayed by it."""
    picket = make_picket(private=True).start()
    data = os.path.join(picket.settings["DATA_DIR"], "postgres", "data")
    with open(os.path.join(data, "postgresql.auto.conf"), "a", encoding="ascii") as f:
        f.write("no_such_setting = on\n")
    os.kill(private_server(picket), signal.SIGKILL)
    until(lambda: picket.log().count("does not come back") >= 2, picket.log, 60)
    line = next(line for line in picket.log().splitlines() if "does not come back" in line)
    assert "level=error" in line and "ended at once" in line
    assert picket.http.get(picket.url + "/health", timeout=10).status_code == 200
    with open(os.path.join(data, "postgresql.auto.conf"), "w", encoding="ascii") as f:
        f.write("")
    until(picket.is_ready, picket.log, 60)
    picket.stop()


def test_away_is_mentioned_while_it_lasts(picket, own_cluster):
    project = picket.new_project()
    event = wire.error_event()
    project.send(event)
    project.find(event["event_id"])
    own_cluster.stop(signal.SIGQUIT)
    project.send(wire.error_event())
    line = until(lambda: re.search(r'msg="database is still away" seconds=\d+ spooled_bytes=(\d+)', picket.log()), picket.log, 40)
    assert int(line.group(1)) > 0
    own_cluster.start()
    until(picket.is_ready, picket.log, 30)


def test_stop_in_the_dark(picket, own_cluster):
    project = picket.new_project()
    until(lambda: project.key in copied_keys(picket), "the key is not in the copy")
    own_cluster.stop(signal.SIGQUIT)
    picket.stop()
    start_in_the_dark(picket)
    picket.stop()  # exit status 0 within 10 s


@pytest.mark.parametrize("content", [None, b"", b"damaged" * 40], ids=["none", "empty", "damaged"])
def test_without_a_usable_copy_the_database_is_waited_for(picket, own_cluster, content):
    own_cluster.stop(signal.SIGQUIT)
    picket.stop()
    if os.path.exists(key_copy(picket)):
        os.unlink(key_copy(picket))
    if content is not None:
        with open(key_copy(picket), "wb") as f:
            f.write(content)
        os.chown(key_copy(picket), os.stat(os.path.dirname(key_copy(picket))).st_uid, -1)
    done = picket.run("serve", DATABASE_WAIT_SECS=1)
    assert done.returncode == 1 and "the database does not answer" in done.stderr, done.stderr
    assert content is None or "the copy of the project keys cannot be used" in done.stderr


def test_lock_of_migrations_is_waited_for(picket):
    """Without a copy of the keys, and for commands: up to DATABASE_WAIT_SECS, and then it is told who holds it."""
    picket.stop()
    with psycopg.connect(picket.conninfo()) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        done = picket.run("migrate", DATABASE_WAIT_SECS=1)
        if os.path.exists(key_copy(picket)):  # it is written a moment after a key is known
            os.unlink(key_copy(picket))
        first = picket.run("serve", DATABASE_WAIT_SECS=1)
        for one in (done, first):
            assert one.returncode == 1 and f"process {other.info.backend_pid} " in one.stderr, one.stderr
        picket.start(ready=False)
        until(lambda: "waiting for the database" in picket.log(), picket.said)
    until(picket.is_ready, picket.said, 30)


def test_migration_that_takes_long(picket, own_cluster):
    """It is ours, so it is not cut: events for known keys are accepted meanwhile. On another database, which lacks them afterwards."""
    project = picket.new_project()
    until(lambda: project.key in copied_keys(picket), "the key is not in the copy")
    picket.stop()
    picket.settings["DATABASE_URL"] = own_cluster.new_database()
    with psycopg.connect(picket.conninfo()) as other:
        other.execute("CREATE TABLE projects (obstacle int)")  # until this transaction ends, nobody knows whether there is one
        start_in_the_dark(picket)
        project.send(wire.error_event())  # 200
        ready = picket.http.get(picket.url + "/health/ready", timeout=10)
        assert ready.status_code == 503 and "being migrated" in ready.json()["reason"]
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'picket migrate' AND wait_event_type = 'Lock'"
        assert other.execute(waiting).fetchone() == (1,)
        picket.stop()  # in time, with exit status 0: this one is cut
        start_in_the_dark(picket)
        until(lambda: other.execute(waiting).fetchone() == (1,), "it does not migrate again")
        other.rollback()
    until(picket.is_ready, picket.said, 30)
    assert picket.log().count("migrating the schema") == picket.log().count("migrating the schema\" number=") > 15
    assert len(re.findall(r'"migrating the schema" number=1 ', picket.log())) == 1


def test_address_that_cannot_be_read_ends_it(picket):
    """Nothing that could pass: with a copy of the keys, too."""
    project = picket.new_project()
    until(lambda: project.key in copied_keys(picket), "the key is not in the copy")
    picket.stop()
    done = picket.run("serve", DATABASE_URL="postgres://host/name?colour=blue")
    assert done.returncode == 2 and "DATABASE_URL" in done.stderr, done.stderr


def test_schema_that_needs_a_newer_release_stops_it_later(picket, own_cluster):
    """decisions.md "a newer schema": what the start would have refused is refused when it shows."""
    project = picket.new_project()
    until(lambda: project.key in copied_keys(picket), "the key is not in the copy")
    picket.sql("update schema_info set value = '999999' where key = 'min_release'")
    own_cluster.stop(signal.SIGQUIT)
    picket.stop()
    start_in_the_dark(picket)
    event = wire.error_event()
    project.send(event)
    own_cluster.start()
    until(lambda: picket.process.poll() is not None, picket.said, 30)
    assert picket.process.returncode == 1 and "install a newer release" in picket.said()
    picket.sql("update schema_info set value = '1' where key = 'min_release'")
    picket._reap()
    picket.start()
    assert project.find(event["event_id"])
