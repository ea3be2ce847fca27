"""The newcomer's way: `picket serve` with nothing but a data directory. Its own PostgreSQL, first administrator, first project, a sample event
through the front door (issue 3 "A newcomer's two commands", decisions.md "started as root", "data directory")."""
import glob
import json
import os
import re
import signal
import stat
import subprocess
import threading

import pytest
import sentry_sdk.utils

import server
import wire
from client import Api, Project
from contract import ISSUE, PROJECT, check
from waiting import until

ADMIN = re.compile(r"^\s*Administrator\s+(\S+)$", re.M)
PASSWORD = re.compile(r"^\s*Password\s+(\S+)", re.M)
DSN = re.compile(r"^\s*DSN\s+(\S+)$", re.M)
TRY = re.compile(r"^\s*Try\s+(curl .*)$", re.M)
SAMPLE = re.compile(r"^\s*Sample event\s+acknowledged after ([\d.]+) ms, became issue (\S+) \"(.*)\" ([\d.]+) ms later$", re.M)


@pytest.fixture(scope="module")
def newcomer():
    """The tests of this file go on with one installation, in their order."""
    picket = server.Picket(server.Directory())
    try:
        yield picket
    finally:
        picket.end()


@pytest.fixture(scope="module")
def first(newcomer):
    """What the first start printed, with the sample's line."""
    newcomer.start()
    until(lambda: SAMPLE.search(newcomer.printed()), lambda: newcomer.said(), 30)
    return newcomer.printed()


def session_of(picket, email, password):
    answer = Api(picket.url).post("/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    return Api(picket.url, cookie=answer.headers["Set-Cookie"].split("=", 1)[1].split(";")[0])


def test_administrator(newcomer, first):
    """admin@picket.local with a random password, printed once, that opens the API."""
    assert ADMIN.findall(first) == ["admin@picket.local"]
    password, = PASSWORD.findall(first)
    assert len(password) >= 12
    assert session_of(newcomer, "admin@picket.local", password).read("/auth/me")["is_admin"] is True
    assert newcomer.sql("SELECT role FROM users") == [("owner",)]
    assert password not in newcomer.log()


def test_dsn(newcomer, first):
    """The first project's, made from PUBLIC_URL's default; a real SDK takes it."""
    dsn, = DSN.findall(first)
    project, = [check(PROJECT, row) for row in newcomer.api.read("/api/projects")["items"]]
    assert project["dsn"] == dsn == f"http://{sentry_sdk.utils.Dsn(dsn).public_key}@127.0.0.1:{newcomer.port}/{project['id']}"


def test_sample(newcomer, first):
    """It went through the front door and became an issue that is there; the time it took is plausible."""
    (acknowledged, short_id, title, visible), = SAMPLE.findall(first)
    project = Project(newcomer.api, newcomer.api.read("/api/projects")["items"][0])
    issue, = [check(ISSUE, row) for row in project.issues()]
    assert issue["short_id"] == short_id and issue["title"] == title and issue["event_count"] == 1
    assert 0 < float(acknowledged) < 5000 and 0 < float(visible) < 15000


def test_printed_curl(newcomer, first):
    """The line works as printed, in a shell."""
    line, = TRY.findall(first)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, env=server.environment())
    assert done.returncode == 0 and re.fullmatch(r'\{"id":"[0-9a-f]{32}"\}', done.stdout.strip()), done.stdout + done.stderr
    project = Project(newcomer.api, newcomer.api.read("/api/projects")["items"][0])
    until(lambda: project.issue("Hello from curl"), "the curl line's event is not visible")


def postgres_pids(picket):
    paths = glob.glob(os.path.join(picket.settings["DATA_DIR"], "postgres", "**", "postmaster.pid"), recursive=True)
    return [int(open(path, encoding="ascii").readline()) for path in paths]


def test_cluster_is_private(newcomer, first):
    """A unix socket only, fsync on, data that nobody else may read; as root everything belongs to user postgres."""
    settings = dict(newcomer.sql("SELECT name, setting FROM pg_settings WHERE name IN ('listen_addresses', 'fsync', 'full_page_writes', 'synchronous_commit')"))
    assert settings["listen_addresses"] == "" and settings["fsync"] == "on" and settings["full_page_writes"] == "on"
    assert int(newcomer.sql("SHOW server_version_num")[0][0]) >= 150000
    data = newcomer.settings["DATA_DIR"]
    assert stat.S_IMODE(os.stat(data).st_mode) & 0o077 == 0
    if os.geteuid() == 0:
        assert server.owner_name(data) == "postgres" and server.owner_name(f"/proc/{newcomer.process.pid}") == "postgres"


def test_private_files(newcomer, first):
    """The spool holds other people's data: nothing of it is readable for others."""
    for base, directories, files in os.walk(newcomer.settings["DATA_DIR"]):
        for name in directories + files:
            try:
                mode = os.lstat(os.path.join(base, name)).st_mode
            except FileNotFoundError:  # PostgreSQL is at work there
                continue
            assert stat.S_ISSOCK(mode) or stat.S_ISLNK(mode) or stat.S_IMODE(mode) & 0o007 == 0, os.path.join(base, name)


def test_commands_beside_it(newcomer, first):
    """Commands find the running cluster and leave it running."""
    assert "first-project" in newcomer.command("project", "list")
    assert Api(newcomer.url).get("/health/ready").status_code == 200


def test_second_picket_is_refused(newcomer, first):
    """Two on one data directory would share a spool."""
    done = newcomer.run("serve", PORT=server.free_port())
    assert done.returncode == 1
    assert "another Picket" in done.stderr and newcomer.settings["DATA_DIR"] in done.stderr


def test_port_is_taken(newcomer, first):
    """The message names host, port and what to do."""
    directory = server.Directory()
    other = server.Picket(directory)
    try:
        done = other.run("serve", PORT=newcomer.port)
        assert done.returncode == 1
        assert str(newcomer.port) in done.stderr and "PORT" in done.stderr
    finally:
        other.end()
    assert newcomer.is_alive()


def test_second_start(newcomer, first):
    """SIGTERM: exit 0 within 10 s, PostgreSQL stopped with it. The next start goes straight to listening: nothing is printed twice, data are there."""
    token = newcomer.token
    before = newcomer.api.read("/api/projects")["items"]
    pids = postgres_pids(newcomer)
    assert len(pids) == 1
    newcomer.stop()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    newcomer.start()
    assert newcomer.token == token and newcomer.api.read("/api/projects")["items"] == before
    for pattern in (ADMIN, PASSWORD, DSN, TRY, SAMPLE):
        assert not pattern.search(newcomer.printed())


def test_killed_and_started_again(newcomer, first):
    """kill -9 under load: whatever was acknowledged is there, once. The orphaned PostgreSQL is taken over."""
    project = newcomer.new_project("killed")
    acknowledged = []
    stop = threading.Event()

    def send():
        with wire.Connection(newcomer.port) as connection:
            while not stop.is_set():
                event = wire.error_event(value="acknowledged before the kill")
                connection.send(wire.request("POST", project.ingest_path, list(project.auth.items()), wire.event_envelope(event)))
                try:
                    if connection.read_answer().status == 200:
                        acknowledged.append(event["event_id"])
                except (EOFError, OSError):
                    return

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(acknowledged) >= 300, "nothing is acknowledged")
    pids = postgres_pids(newcomer)
    newcomer.kill()
    stop.set()
    for thread in threads:
        thread.join()
    assert all(os.path.exists(f"/proc/{pid}") for pid in pids), "PostgreSQL went with Picket"
    newcomer.start()
    assert postgres_pids(newcomer) == pids, "the running PostgreSQL was not taken over"

    def stored():
        return [event_id.hex for event_id, in newcomer.sql("SELECT event_id FROM events WHERE project_id = %s", project.id)]

    until(lambda: set(acknowledged) <= set(stored()), lambda: f"{len(set(acknowledged) - set(stored()))} of {len(acknowledged)} are lost")
    until(lambda: json.loads(newcomer.command("status", "--json"))["server"]["spool"]["bytes"] == 0, newcomer.said)
    ids = stored()
    assert len(ids) == len(set(ids))
    # What was written and not acknowledged (one per connection at most) may be there, too; nothing else.
    assert len(acknowledged) <= len(ids) <= len(acknowledged) + 4
    project.wait_count(len(ids))
    assert project.issue("acknowledged before the kill")["event_count"] == len(ids)


def test_killed_postgres_comes_back(newcomer, first):
    """A backend that is killed makes PostgreSQL restart itself; Picket reconnects and loses nothing."""
    project = newcomer.new_project("crashing database")
    project.send(wire.error_event())
    project.wait_count(1)
    backend, = newcomer.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'picket digest' LIMIT 1")
    os.kill(backend[0], signal.SIGKILL)
    for _ in range(20):
        project.send(wire.error_event())

    def answered():
        try:
            return project.count() == 21
        except AssertionError:
            return False  # 503 while the database recovers

    until(answered, "not all events are there", 60)


def test_migrate_beside_and_again(newcomer, first):
    """`picket migrate` on a current schema changes nothing."""
    before = newcomer.sql("SELECT * FROM schema_migrations ORDER BY number")
    assert "up to date" in newcomer.command("migrate")
    assert newcomer.sql("SELECT * FROM schema_migrations ORDER BY number") == before
    assert before and [row[0] for row in before] == list(range(1, len(before) + 1))


def test_created_superuser(make_picket):
    """CREATE_SUPERUSER (contract §6.2): that administrator instead, its password not printed."""
    picket = make_picket(CREATE_SUPERUSER="boss@example.com:a:password:with:colons").start()
    session_of(picket, "boss@example.com", "a:password:with:colons")
    until(lambda: SAMPLE.search(picket.printed()), lambda: picket.said())
    assert ADMIN.findall(picket.printed()) == ["boss@example.com"]
    assert "with:colons" not in picket.said()
    assert picket.sql("SELECT count(*) FROM users") == [(1,)]


def test_two_pickets_start_on_one_database(make_picket, cluster):
    """Nothing may assume that it is alone (architecture.md): migrations, first administrator and first project are made once."""
    url = cluster.new_database()
    pickets = [make_picket(DATABASE_URL=url, CREATE_SUPERUSER=None).start(ready=False) for _ in range(3)]
    for picket in pickets:
        until(picket.is_ready, lambda p=picket: p.said(), 60)
    assert pickets[0].sql("SELECT count(*) FROM users") == [(1,)]
    assert pickets[0].sql("SELECT count(*) FROM projects") == [(1,)]
    assert sum(bool(PASSWORD.search(picket.printed())) for picket in pickets) == 1
    project = pickets[0].new_project()
    for picket in pickets:
        Project(picket.api, picket.api.read(f"/api/projects/{project.id}")).send(wire.error_event())
    project.wait_count(3)
    assert project.issues()[0]["event_count"] == 3
