"""Overload is an ordinary state with plain answers: floods, slow clients, limits. The long measurement with the bars of a release build is
tests/bench/overload.py; here the same things in small, so the limits are those of behaviour and not of speed."""
import contextlib
import json
import os
import select
import signal
import subprocess
import time

import psycopg
import pytest

import server
import wire
from waiting import TIME_FACTOR, until

LOAD = os.path.join(server.BUILD, "tests", "bench", "load")
SLOW = os.path.join(server.BUILD, "tests", "bench", "slow")
MiB = 1 << 20

pytestmark = pytest.mark.alone


@contextlib.contextmanager
def running(*command):
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True, env=server.environment())
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process, seconds=60):
    """Ends a generator; what it met."""
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=seconds * TIME_FACTOR)
    assert process.returncode == 0
    return json.loads(out)


def visible_after(project):
    """Seconds until the API shows an event that is sent now."""
    before, start = project.count(), time.monotonic()
    project.send(wire.error_event())
    until(lambda: project.count() > before, "the event is not visible", 60, pause=0.05)
    return time.monotonic() - start


def acknowledged(path):
    with open(path, encoding="ascii") as f:
        return {line.split()[1] for line in f}


def test_one_project_floods(make_picket):
    """architecture.md "Spool": what one project sends beyond its share is 429; others go on, are never refused, and see their events soon; what
    was acknowledged is stored, once; the backlog goes away. 2 s is what is aimed at, 5 s what issue 4 allows on a machine of its own."""
    picket = make_picket(SPOOL_DELAY_SECS="2", DIGEST_BATCH_RECORDS="100", DIGEST_WORKERS="1").start()
    flood, bystander = picket.new_project(), picket.new_project()
    ids = picket.directory.join("ids")
    visible_after(bystander)
    with running(LOAD, "-j", "-c", 64, "-k", 200, "-s", 0, "-i", ids, flood.dsn) as load:
        refused = until(lambda: [a for a in [flood.post(wire.event_envelope(wire.error_event()))] if a.status_code == 429], "nobody is refused", 60)[0]
        assert max(visible_after(bystander) for _ in range(4)) < 5 * max(TIME_FACTOR, 2)
        assert picket.http.get(picket.url + "/health/ready", timeout=10).status_code == 200
        assert len(picket.api.read(f"{flood.path}/issues")["items"]) > 0
        memory = picket.memory()
        met = finish(load)
    check_rate_limit(refused)
    assert set(met["statuses"]) == {"200", "429"} and met["without_retry_after"] == 0 and met["bad_answers"] == 0, met
    if not server.SANITIZED:
        assert memory < 64 * MiB, f"{memory >> 20} MiB"
    promised = acknowledged(ids)
    until(lambda: flood.count() >= len(promised), lambda: f"{flood.count()} of {len(promised)}", 120)
    rows = [row for row, in picket.sql("SELECT replace(event_id::text, '-', '') FROM events WHERE project_id = %s", flood.id)]
    assert len(rows) == len(set(rows)) and promised <= set(rows)
    flood.send(wire.error_event())


def check_rate_limit(answer):
    """protocol §4.3, §4.4; contract §2.9."""
    assert answer.headers["Retry-After"].isdigit() and int(answer.headers["Retry-After"]) >= 1
    seconds, categories, scope, _ = answer.headers["X-Sentry-Rate-Limits"].split(":")
    assert seconds == answer.headers["Retry-After"] and categories == "" and scope == "project"
    body = answer.json()
    assert body["detail"] and body["error"] == "rate_limit_exceeded" and body["retry_after"] == int(seconds)


def test_an_idle_server_takes_a_burst(make_picket):
    """What is digested within the delay is nobody's flood: 300 events at once, none refused."""
    picket = make_picket(SPOOL_DELAY_SECS="2").start()
    project = picket.new_project()
    with running(LOAD, "-j", "-c", 32, "-n", 300, "-s", 60, project.dsn) as load:
        out, _ = load.communicate(timeout=60 * TIME_FACTOR)
    assert json.loads(out)["statuses"] == {"200": 300}
    project.wait_count(300)


@pytest.mark.parametrize("kind", ["-H", "-B", "-D"])
def test_slow_clients(make_picket, kind):
    """Heads that come a byte a second, bodies of 20 MiB that come slowly, answers that nobody reads: others are served meanwhile, memory stays."""
    picket = make_picket().start()
    project, other = picket.new_project(), picket.new_project()
    other.send(*[wire.error_event() for _ in range(50)])
    before = picket.memory()
    with running(SLOW, kind, 200, "-g", f"GET {other.path}/issues", "-a", f"Authorization: Bearer {picket.token}", project.dsn) as clients:
        took = []
        end = time.monotonic() + 2 * TIME_FACTOR
        while time.monotonic() < end:
            start = time.monotonic()
            other.send(wire.error_event())
            took.append(time.monotonic() - start)
        grown = picket.memory() - before
        met = finish(clients)
    assert met["made"] >= 200 and met["failed"] == 0, met
    assert sorted(took)[len(took) * 9 // 10] < 0.5 * TIME_FACTOR
    if not server.SANITIZED:
        assert grown < 24 * MiB, f"{grown >> 10} KiB"


def waiting(connections):
    """Those that have no answer yet."""
    answered = select.select([connection.socket for connection in connections], [], [], 0)[0]
    return [connection for connection in connections if connection.socket not in answered]


def test_unfinished_bodies_are_bounded(make_picket):
    """MAX_BODIES_BYTES holds for bodies that are still arriving: those that have been arriving longest make room, and are told why."""
    picket = make_picket(MAX_BODIES_BYTES="8M", HTTP_THREADS="1").start()
    project = picket.new_project()
    head = wire.request("POST", project.ingest_path, [*project.auth.items(), ("Content-Length", str(4 * MiB))])
    stalled = []
    try:
        for _ in range(40):
            stalled.append(wire.Connection(picket.port))
            stalled[-1].send(head + b"x" * (900 << 10))  # 1 MiB of buffer each
        until(lambda: len(waiting(stalled)) <= 8, "more bodies are held than there is room for")
        held = waiting(stalled)
        until(lambda: project.post(wire.envelope({}, wire.item("attachment", b"x" * (900 << 10)))).status_code == 200,
              "large bodies find no room", 20)
        evicted = next(connection for connection in held if connection not in waiting(held))
        answer = evicted.read_answer()
        assert answer.status == 503 and answer.headers["retry-after"].isdigit() and answer.headers["connection"] == "close"
        assert answer.headers["access-control-allow-origin"] == "*" and answer.json()["detail"]
        assert evicted.is_closed()
        project.send(wire.error_event())
    finally:
        for connection in stalled:
            connection.socket.close()


def test_too_few_descriptors(make_picket):
    """The limit of open files bounds connections, and the log says so; what does not fit waits or is closed, and Picket lives."""
    picket = make_picket(HTTP_THREADS="1")
    picket.program = ["prlimit", "--nofile=256:256", *picket.program]
    picket.start()
    assert "allows fewer connections" in picket.log()
    project = picket.new_project()
    held = [wire.Connection(picket.port) for _ in range(300)]
    for connection in held:
        connection.socket.close()
    until(lambda: project.post(wire.event_envelope(wire.error_event())).status_code == 200, "nobody is served", 20)


def test_invented_keys(make_picket):
    """Who has no key invents one per request, while keys cannot be looked up: few wait for that, so dashboards and known keys do not, and all others are
    told at once to come again. Nothing is counted for the project, whose new key is taken as soon as that is over."""
    picket = make_picket(HTTP_THREADS=1, DATABASE_MAX_CONNECTIONS=4).start()
    project = picket.new_project()
    project.send(wire.error_event())
    project.wait_count(1)
    with psycopg.connect(picket.conninfo()) as connection:
        connection.execute("LOCK TABLE project_keys IN ACCESS EXCLUSIVE MODE")
        with running(LOAD, "-j", "-u", "-c", 64, "-p", 1, "-s", 300, project.dsn) as load:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%project_keys%public_key = $1%'"
            until(lambda: picket.sql(waiting)[0][0] > 0, "no key is looked up")
            before = picket.memory()
            took, end = [], time.monotonic() + 1
            while time.monotonic() < end or len(took) < 20:
                start = time.monotonic()
                project.api.read(project.path + "/issues")
                project.send(wire.error_event())
                took.append(time.monotonic() - start)
            ((most,),) = picket.sql(waiting)
            grown = picket.memory() - before
            connection.rollback()
            other = picket.new_project()
            until(lambda: other.post(wire.event_envelope(wire.error_event())).status_code == 200, "a new key is not taken")
            met = finish(load)
    assert most <= 2 and max(took) < 2 * TIME_FACTOR, (most, took)
    assert set(met["statuses"]) <= {"403", "503"} and met["statuses"]["503"] > 100 and met["without_retry_after"] == met["bad_answers"] == 0, met
    project.wait_count(1 + len(took))
    assert project.api.read(project.path + "/outcomes")["totals"] == [
        {"category": "error", "outcome": "accepted", "reason": "", "key_id": picket.sql("SELECT id FROM project_keys WHERE project_id = %s", project.id)[0][0],
         "quantity": 1 + len(took)}]
    if not server.SANITIZED:
        assert grown < 8 * MiB, f"{grown >> 10} KiB"
