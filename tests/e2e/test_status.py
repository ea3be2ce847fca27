"""`picket status` and what it asks: everything up, the server down, the database down, both down; and who may ask (src/api/status.c)."""
import glob
import json
import os
import re
import signal
import socket
import threading

import psycopg
import pytest

import postgres
import server
import wire
from waiting import until


SAMPLE = 1  # the event that a first start sends to itself


@pytest.fixture
def own_cluster():
    directory = server.Directory()
    cluster = postgres.Cluster(directory.join("cluster"))
    cluster.create()
    yield cluster
    cluster.stop(signal.SIGQUIT)
    directory.remove()


def status(picket, code, **settings):
    done = picket.run("status", "--json", **settings)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def said(picket, code, **settings):
    done = picket.run("status", **settings)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_all_up(make_picket):
    picket = make_picket().start().wait_sample()
    project = picket.new_project()
    project.send(*[wire.error_event() for _ in range(20)])
    project.wait_count(20)
    until(lambda: status(picket, 0)["server"]["digest"]["stored"] == 20 + SAMPLE, lambda: status(picket, 0))
    answer = status(picket, 0)
    one, database = answer["server"], answer["database"]
    with open(os.path.join(server.ROOT, "VERSION"), encoding="ascii") as f:
        assert one["version"] == f.read().strip()
    assert one["running"] and one["url"] == picket.url and one["pid"] == picket.process.pid
    assert one["accept"]["events"] == 20 + SAMPLE == one["digest"]["records"] and one["accept"]["per_s"] > 0 and one["digest"]["per_s"] > 0
    assert one["spool"]["bytes"] == 0 and one["spool"]["oldest_age_s"] is None and one["spool"]["max_bytes"] == 8 << 30
    assert one["digest"]["duplicates"] == one["digest"]["orphans"] == one["digest"]["dead"] == 0 < one["digest"]["batches"]
    assert one["dead_letters"] == {"waiting": 0, "retrying": 0, "spilled": 0, "spilled_bytes": 0, "spilled_lost": 0}
    assert database["reachable"] and database["schema"] == database["schema_known"] == len(glob.glob(os.path.join(server.ROOT, "sql", "migrations", "*.sql")))
    assert database["version"].split(".")[0].isdigit() and 0 < database["connections_picket"] <= database["connections"] < database["connections_max"]
    assert database["batches"]["total"] >= database["batches"]["last_minute"] > 0 and database["batches"]["events_last_minute"] == 20 + SAMPLE
    assert database["dead_letters"] == {"waiting": 0, "retrying": 0, "stored": 0} and database["bytes"] > 0
    days = [partition["day"] for partition in database["partitions"]]
    assert days[-1] is None and days[:-1] == sorted(days[:-1], reverse=True) and len(days) >= 5
    assert picket.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')")[0][0] in days
    text = said(picket, 0)
    assert f"Picket {one['version']} at {picket.url}" in text and f"{20 + SAMPLE} events" in text and "PostgreSQL" in text and days[0] in text


def test_backlog_shows(make_picket):
    """While the digest waits for a lock, bytes and the age of the oldest record are those of what waits."""
    picket = make_picket(DIGEST_WORKERS=1).start()
    project = picket.new_project()
    with psycopg.connect(picket.conninfo()) as blocker:
        blocker.execute("LOCK TABLE groupings IN ACCESS EXCLUSIVE MODE")
        project.send(*[wire.error_event() for _ in range(5)])
        until(lambda: (status(picket, 0)["server"]["spool"]["oldest_age_s"] or 0) >= 2, lambda: status(picket, 0))
        spool = status(picket, 0)["server"]["spool"]
        assert spool["bytes"] > 5 * 300 and spool["oldest_age_s"] < 60
        assert "the oldest record waits" in said(picket, 0)
    project.wait_count(5)
    until(lambda: status(picket, 0)["server"]["spool"]["bytes"] == 0, lambda: status(picket, 0))


def test_server_down(make_picket):
    picket = make_picket().start()
    picket.stop()
    answer = status(picket, 1)
    assert answer["server"]["running"] is False and answer["server"]["error"] and "accept" not in answer["server"]
    assert answer["database"]["reachable"] and answer["database"]["partitions"]
    assert f"server          does not answer at {picket.url}" in said(picket, 1)


def test_database_down(make_picket, own_cluster):
    picket = make_picket(DATABASE_URL=own_cluster.migrated_database(), DATABASE_ACQUIRE_TIMEOUT_SECS=1).start().wait_sample()
    project = picket.new_project()
    project.send(wire.error_event())
    project.wait_count(1)
    own_cluster.stop(signal.SIGQUIT)
    project.send(wire.error_event())
    answer = status(picket, 1)
    assert answer["server"]["running"] and answer["server"]["spool"]["bytes"] > 0 and answer["server"]["accept"]["events"] == 2 + SAMPLE
    assert answer["database"] == {"private": False, "reachable": False, "error": answer["database"]["error"]}
    assert own_cluster.password not in json.dumps(answer)
    assert "database        does not answer" in said(picket, 1)
    until(lambda: picket.http.get(picket.url + "/health/ready", timeout=10).status_code == 503, "still ready")
    body = picket.http.get(picket.url + "/health/ready", timeout=10).json()
    assert body == {"status": "not_ready", "checks": {"database": "error"}, "dead_letters": {"waiting": 0, "retrying": 0, "spilled": 0}}
    picket.stop()
    answer = status(picket, 1)
    assert not answer["server"]["running"] and not answer["database"]["reachable"]
    own_cluster.start()
    picket.start()
    project.wait_count(2)


def test_started_in_the_dark(make_picket, own_cluster):
    """The digest has not begun: no figures of it, and the age is bounded by the segment's."""
    picket = make_picket(DATABASE_URL=own_cluster.migrated_database(), DATABASE_ACQUIRE_TIMEOUT_SECS=1).start()
    project = picket.new_project()
    keys = os.path.join(picket.settings["DATA_DIR"], "spool", "keys")
    until(lambda: os.path.exists(keys) and project.key in open(keys, "rb").read().hex(), "the key is not in the copy")
    own_cluster.stop(signal.SIGQUIT)
    picket.stop()
    picket.start(ready=False)
    until(lambda: "listens on" in picket.printed(), picket.said, 30)
    project.send(wire.error_event())
    answer = status(picket, 1)
    assert answer["server"]["digest"] is None and answer["server"]["dead_letters"] is None and answer["server"]["spool"]["oldest_age_s"] is not None
    assert "waits for the database" in said(picket, 1)
    own_cluster.start()
    until(lambda: picket.run("status").returncode == 0, lambda: said(picket, 1), 30)


def test_private_cluster(make_picket):
    """It is asked while it runs, and neither made, started nor stopped by looking."""
    picket = make_picket(private=True)
    answer = status(picket, 1)
    assert not answer["database"]["reachable"] and "picket serve" in answer["database"]["error"]
    assert not os.path.exists(picket.settings["DATA_DIR"])
    picket.start()
    answer = status(picket, 0)
    assert answer["database"]["private"] and answer["database"]["reachable"]
    assert picket.is_ready()
    picket.kill()  # its PostgreSQL runs on, for the next start
    answer = status(picket, 1)
    assert not answer["server"]["running"] and answer["database"]["reachable"]
    answer = status(picket, 1)
    assert answer["database"]["reachable"]
    picket.start()
    picket.stop()
    assert not status(picket, 1)["database"]["reachable"]


def test_old_schema(make_picket, cluster):
    """Looking migrates nothing: it says what does."""
    picket = make_picket(DATABASE_URL=cluster.new_database())
    answer = status(picket, 1)
    assert answer["database"]["reachable"] and answer["database"]["schema"] == 0 and "picket migrate" in answer["database"]["error"]
    picket.command("migrate")
    assert "error" not in status(picket, 1)["database"]
    picket.sql("DELETE FROM schema_migrations WHERE number > 1")
    assert status(picket, 1)["database"]["schema"] == 1


def test_something_else_answers(make_picket):
    """A stranger on the port: said as such, and its control characters do not reach the terminal."""
    picket = make_picket()
    picket.command("migrate")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", picket.port))
        listener.listen()
        threading.Thread(target=answer_twice, args=(listener,), daemon=True).start()
        assert "no Picket" in said(picket, 1)
        assert "\x1b" not in said(picket, 0)


def answer_twice(listener):
    for body in (b"<html>", b'{"version":"\\u001b[31m","url":"x"}'):
        connection = listener.accept()[0]
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        connection.close()


def test_nobody_else_may_ask(picket):
    """Loopback without a proxy's headers; with one, the request may come from anywhere."""
    assert picket.http.get(picket.url + "/api/status", timeout=10).status_code == 200
    for header in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        answer = picket.http.get(picket.url + "/api/status", headers={header: "203.0.113.9"}, timeout=10)
        assert answer.status_code == 403, header


def test_wrong_calls(picket):
    assert picket.run("status", "extra").returncode == 2
    assert picket.run("status", "--nonsense").returncode == 2
    done = picket.run("status", "--help")
    assert done.returncode == 0 and "picket status" in done.stdout


def test_ready_keeps_the_contract(picket):
    """Contract §1.9: status and checks as they were; dead letters beside them."""
    body = picket.http.get(picket.url + "/health/ready", timeout=10).json()
    assert {**body, "dead_letters": None} == {"status": "ready", "checks": {"database": "ok"}, "dead_letters": None}
    assert set(body["dead_letters"]) == {"waiting", "retrying", "spilled"}
    assert picket.http.get(picket.url + "/health", timeout=10).json() == {"status": "ok"}


def test_text_has_no_json(picket):
    text = said(picket, 0)
    assert re.search(r"^server  .*\n  accepted .*\n  spool .*\n  digested .*\n  dead letters .*\ndatabase  .*\n  batches .*\n  dead letters .*\n  partitions ", text, re.M)
    assert "{" not in text
