"""Dead letters: kept with their reason, shown, retried once, dropped, bounded (architecture "Digest"; src/digest/retry.c, letters.c, spill.c).

A record that the database refuses for a lasting reason is made by a constraint that exists only in the test's database."""
import contextlib
import datetime
import glob
import json
import os
import stat
import time
import uuid

import psycopg
import pytest

import server
import wire
from client import Api, accepted
from test_attachments import attachments, files as stored
from test_digest import check_counters
from test_feedback import feedback, feedback_item
from test_outcomes import report, wait_totals
from test_sessions import counts, update
from waiting import until


@pytest.fixture(scope="module")
def one(cluster):
    """A Picket of this file's own: its constraints and bounds concern nobody else."""
    picket = server.Picket(server.Directory(), DATABASE_URL=cluster.migrated_database(), CREATE_SUPERUSER=":".join(server.ADMIN))
    try:
        yield picket.start()
    finally:
        picket.end()


@pytest.fixture
def project(one):
    return one.new_project()


@contextlib.contextmanager
def refusing(picket, word):
    """While it lasts, the database takes no issue with that word in its title."""
    name = f"refuse_{uuid.uuid4().hex[:8]}"
    picket.sql(f"ALTER TABLE issues ADD CONSTRAINT {name} CHECK (title NOT LIKE '%{word}%') NOT VALID")
    try:
        yield name
    finally:
        picket.sql(f"ALTER TABLE issues DROP CONSTRAINT IF EXISTS {name}")


def rows(picket, project):
    return picket.sql("SELECT id, status, attempts, reason, sqlstate, detail FROM dead_letters WHERE project_id = %s AND dropped_at IS NULL ORDER BY id",
                      project.id)


def statuses(picket, project):
    return {row[0]: row[1] for row in rows(picket, project)}


def poison(picket, project, n=1, word="poison", **fields):
    """n events that became dead letters: their ids and their numbers."""
    before = len(rows(picket, project))
    events = [wire.error_event("E", f"{word} {uuid.uuid4().hex}", **fields) for _ in range(n)]
    project.send(*events)
    until(lambda: len(rows(picket, project)) == before + n, lambda: rows(picket, project))
    return events, [row[0] for row in rows(picket, project)[before:]]


def listed(picket, *arguments):
    return json.loads(picket.command("dlq", "list", "--json", *arguments))


def shown(picket, number):
    return json.loads(picket.command("dlq", "show", number, "--json"))


def raw_zstd(payload):
    """A zstd frame with one uncompressed block (RFC 8878 §3.1.1): for rows that a test writes itself."""
    assert len(payload) < 256
    return bytes.fromhex("28b52ffd20") + bytes([len(payload)]) + (len(payload) << 3 | 1).to_bytes(3, "little") + payload


def insert_letter(picket, project, payload, **columns):
    """A dead letter that an earlier release could have left."""
    received = datetime.datetime(2026, 3, 4, 5, 6, 7, tzinfo=datetime.timezone.utc)
    record = int(received.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | uuid.uuid4().int & (1 << 62) - 1  # RFC 9562 §5.7
    values = {"record_id": uuid.UUID(int=record), "project_id": project.id, "event_id": uuid.uuid4(), "received_at": received, "reason": "DB_FAILED",
              "meta": b"{}", "payload": raw_zstd(payload), **columns}
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    (number,), = picket.sql(f"INSERT INTO dead_letters ({names}) VALUES ({marks}) RETURNING id", *values.values())
    return number


# ---- kept and shown

def test_kept_with_everything(one, project):
    with refusing(one, "poison") as constraint:
        (event,), (number,) = poison(one, project, environment="test")
    row, = [row for row in listed(one) if row["id"] == number]
    assert row == {**row, "project_id": project.id, "event_id": str(uuid.UUID(event["event_id"])), "status": "dead", "reason": "DB_FAILED", "sqlstate": "23514",
                   "position": None, "attempts": 1}
    letter = shown(one, number)
    assert letter["detail"] == constraint and letter["remote_addr"] == "127.0.0.1" and letter["first_failed_at"] == letter["last_failed_at"]
    assert json.loads(letter["meta"])["event_id"] == event["event_id"]
    assert json.loads(one.command("dlq", "show", number, "--payload")) == event
    text = one.command("dlq", "show", number)
    assert all(f"{name} " in text for name in letter) and constraint in text
    assert "23514" in one.command("dlq", "list")


def test_parser_position(one, project):
    """A payload that the parser refuses says where; retried, it fails again with the parser's reason."""
    number = insert_letter(one, project, b'{"message": "cut", ')
    done = one.run("dlq", "retry", number)
    assert done.returncode == 1 and "failed again" in done.stderr and "JSON" in done.stderr
    letter = shown(one, number)
    assert (letter["reason"], letter["position"], letter["attempts"], letter["status"], letter["sqlstate"]) == ("BAD_JSON", 19, 2, "dead", None)


# ---- retried

def test_retry_stores_once(one, project):
    with refusing(one, "poison"):
        (event,), (number,) = poison(one, project)
        done = one.run("dlq", "retry", number)  # not mended yet
        assert done.returncode == 1 and "23514" in done.stderr and "failed again" in done.stderr
    (_, status, attempts, *_), = rows(one, project)
    letter = shown(one, number)
    assert (status, attempts) == ("dead", 2) and letter["last_failed_at"] > letter["first_failed_at"]
    assert one.command("dlq", "retry", number) == f"Dead letter {number} is stored.\n"
    detail = project.find(event["event_id"])
    assert project.count() == 1 and detail["ingested_at"] == letter["received_at"]
    assert "nothing to do" in one.command("dlq", "retry", number)
    assert "nothing to do" in one.command("dlq", "retry", number, number)
    assert project.count() == 1 and shown(one, number)["status"] == "stored"
    assert one.run("dlq", "show", number, "--payload").returncode == 1
    assert one.sql("SELECT remote_addr::text, count(*) FROM events WHERE project_id = %s GROUP BY 1", project.id) == [("127.0.0.1/32", 1)]
    check_counters(one, project.id)


def test_retry_of_an_event_that_came_again(one, project):
    """The SDK sent it once more after the mend: the letter is a duplicate of it."""
    with refusing(one, "poison"):
        (event,), (number,) = poison(one, project)
    project.send(event)
    project.wait_count(1)
    assert "stored already" in one.command("dlq", "retry", number)
    assert project.count() == 1
    check_counters(one, project.id)


def test_retry_all_of_a_project(one, project):
    other = one.new_project()
    with refusing(one, "poison"):
        poison(one, project, 5)
        poison(one, other, 1)
    said = one.command("dlq", "retry", "--all", "--project", project.id)
    assert "5 of 5 dead letters stored" in said
    assert project.count() == 5 and other.count() == 0
    assert [row[1] for row in rows(one, other)] == ["dead"]
    check_counters(one, project.id)


def test_retry_of_long_ago(one, project):
    """Its day has no partition any more: it gets one, and the event does not end in the default partition."""
    number = insert_letter(one, project, b'{"message":"long ago"}')
    assert "is stored" in one.command("dlq", "retry", number)
    assert one.sql("SELECT tableoid::regclass::text FROM events WHERE project_id = %s", project.id) == [("events_20260304",)]
    check_counters(one, project.id)


def test_retry_for_a_project_that_is_gone(one):
    gone = one.new_project()
    with refusing(one, "poison"):
        _, (number,) = poison(one, gone)
    one.sql("DELETE FROM projects WHERE id = %s", gone.id)
    done = one.run("dlq", "retry", number)
    assert done.returncode == 1 and "project" in done.stderr
    letter = shown(one, number)
    assert (letter["reason"], letter["status"], letter["attempts"]) == ("NO_PROJECT", "dead", 2)
    one.command("dlq", "drop", number)


def test_two_retries_at_once(one, project):
    """Commands and the server on the same letters: each is stored once, and all of them tell so."""
    with refusing(one, "poison"):
        events, numbers = poison(one, project, 30)
    running = [server.subprocess.Popen([server.BINARY, "dlq", "retry", *map(str, order)], stdout=server.subprocess.PIPE, stderr=server.subprocess.PIPE, text=True,
                                       cwd="/", env=server.environment(**one.settings)) for order in (numbers, numbers[::-1], numbers)]
    for number in numbers:
        assert one.api.post(f"/api/dead-letters/{number}/retry").status_code in (200, 202)
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
    until(lambda: {row[1] for row in rows(one, project)} == {"stored"}, lambda: rows(one, project))
    assert project.count() == len(events)
    check_counters(one, project.id)


def test_a_mark_outlives_the_server(make_picket):
    """The API only marks; who starts next does it."""
    picket = make_picket().start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        (event,), (number,) = poison(picket, project)
    picket.stop()
    picket.sql("UPDATE dead_letters SET status = 'retry' WHERE id = %s", number)
    picket.start()
    assert project.find(event["event_id"])
    assert project.count() == 1


def test_retry_without_a_server(make_picket):
    picket = make_picket().start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        (event,), (number,) = poison(picket, project)
    picket.stop()
    assert "is stored" in picket.command("dlq", "retry", "--all")
    picket.start()
    assert project.find(event["event_id"]) and project.count() == 1
    check_counters(picket)


# ---- accounted for

def test_accounts(one, project):
    """§4.8: each counts once: as invalid when it is kept, as accepted instead when a retry has stored it; one that is dropped stays invalid. Who asks why an
    event did not arrive is told."""
    with refusing(one, "poison"):
        events, numbers = poison(one, project, 3, sdk={"name": "sentry.python", "version": "2.1.0"})
        wait_totals(project, {("error", "invalid", "dead_letter"): 3})
        one.run("dlq", "retry", numbers[0])  # fails again
    told = project.api.read(project.path + "/delivery")["items"]
    assert {case["event_id"] for case in told} == {str(uuid.UUID(event["event_id"])) for event in events}
    assert {(case["category"], case["outcome"], case["reason"]) for case in told} == {("error", "invalid", "dead_letter")}
    assert {case["bytes"] for case in told} == {len(wire.dumps(event)) for event in events} and {case["sdk"] for case in told} == {"sentry.python/2.1.0"}
    wait_totals(project, {("error", "invalid", "dead_letter"): 3})
    one.command("dlq", "retry", numbers[0])
    one.command("dlq", "drop", numbers[1])
    wait_totals(project, {("error", "invalid", "dead_letter"): 2, ("error", "accepted", ""): 1})
    one.command("dlq", "retry", numbers[2])
    wait_totals(project, {("error", "invalid", "dead_letter"): 1, ("error", "accepted", ""): 2})


def test_accounts_that_are_refused_cost_no_letter(one, project):
    name = f"refuse_{uuid.uuid4().hex[:8]}"
    one.sql(f"ALTER TABLE outcomes ADD CONSTRAINT {name} CHECK (project_id <> {project.id}) NOT VALID")
    try:
        _, (number,) = poison(one, project)
    finally:
        one.sql(f"ALTER TABLE outcomes DROP CONSTRAINT {name}")
    one.command("dlq", "retry", number)
    wait_totals(project, {("error", "accepted", ""): 1})


# ---- dropped

def test_drop(one, project):
    with refusing(one, "poison"):
        _, numbers = poison(one, project, 4)
    assert one.command("dlq", "drop", numbers[0], numbers[1]) == f"Dropped dead letter {numbers[0]}.\nDropped dead letter {numbers[1]}.\n"
    done = one.run("dlq", "drop", numbers[0])
    assert done.returncode == 1 and "picket dlq list" in done.stderr
    done = one.run("dlq", "retry", numbers[0], numbers[2])
    assert done.returncode == 1 and "is stored" in done.stdout and f"no dead letter {numbers[0]}" in done.stderr
    assert "Dropped 1 dead letters" in one.command("dlq", "drop", "--all", "--project", project.id)
    assert [row[1] for row in rows(one, project)] == ["stored"]
    assert project.count() == 1


# ---- lists

def test_pages(one, project):
    with refusing(one, "poison"):
        _, numbers = poison(one, project, 5)
    only = ["--project", project.id]
    first = one.run("dlq", "list", *only, "--limit", 2, "--json")
    assert [row["id"] for row in json.loads(first.stdout)] == numbers[:-3:-1] and f"--before {numbers[3]}" in first.stderr
    assert [row["id"] for row in listed(one, *only, "--before", numbers[3], "--limit", 2)] == [numbers[2], numbers[1]]
    assert [row["id"] for row in listed(one, *only, "--before", numbers[1])] == [numbers[0]]
    assert listed(one, *only, "--before", numbers[0]) == []
    page = one.api.read("/api/dead-letters", params={"project": project.id, "per_page": 2, "page": 3})
    assert (page["total_count"], page["total_pages"], [item["id"] for item in page["items"]]) == (5, 3, [numbers[0]])
    assert one.api.read("/api/dead-letters", params={"project": project.id, "page": 9})["items"] == []


@pytest.mark.parametrize("arguments", [["list", "--limit", "0"], ["list", "--limit", "x"], ["list", "--before", "-1"], ["list", "--project", "0"], ["list", "5"],
                                       ["show"], ["show", "x"], ["show", "1", "2"], ["show", "1", "--json", "--payload"], ["retry"], ["retry", "0"],
                                       ["retry", "1", "--all"], ["retry", "1", "--project", "1"], ["drop"], ["drop", "all"], ["nonsense"], []])
def test_wrong_calls(arguments):
    done = server.run("dlq", *arguments, DATABASE_URL="postgresql://nobody@127.0.0.1:1/x", DATABASE_WAIT_SECS=0)
    assert done.returncode == 2 and done.stdout == "" and "picket" in done.stderr, done


def test_nothing_there(one):
    for arguments in (["show", 999999999], ["retry", 999999999], ["drop", 999999999]):
        done = one.run("dlq", *arguments)
        assert done.returncode == 1 and "picket dlq list" in done.stderr


def test_no_database():
    done = server.run("dlq", "list", DATABASE_URL="postgresql://me:secret-word@127.0.0.1:1/x", DATABASE_WAIT_SECS=0)
    assert done.returncode == 1 and "DATABASE_URL" in done.stderr and "secret-word" not in done.stderr


# ---- API

def test_api(one, project):
    with refusing(one, "poison") as constraint:
        (event,), (number,) = poison(one, project)
        path = f"/api/dead-letters/{number}"
        item, = one.api.read("/api/dead-letters", params={"project": project.id})["items"]
        assert item["id"] == number and item["reason"] == "DB_FAILED" and item["sqlstate"] == "23514" and item["status"] == "dead"
        letter = one.api.read(path)
        assert {**item, **letter} == letter and letter["detail"] == constraint and letter["meta"]["event_id"] == event["event_id"]
        answer = one.api.get(path + "/payload")
        assert answer.json() == event and answer.headers["Content-Type"] == "application/octet-stream"
        answer = one.api.post(path + "/retry")
        assert answer.status_code == 202 and answer.json() == {"id": number, "status": "retry"}
        until(lambda: one.api.read(path)["attempts"] == 2, lambda: one.api.read(path))
        assert one.api.read(path)["status"] == "dead"
    assert one.api.post(path + "/retry").status_code == 202
    assert project.find(event["event_id"])
    until(lambda: one.api.read(path)["status"] == "stored", lambda: one.api.read(path))
    answer = one.api.post(path + "/retry")
    assert answer.status_code == 200 and answer.json() == {"id": number, "status": "stored"}
    assert one.api.get(path + "/payload").status_code == 404
    assert one.api.read("/api/dead-letters", params={"project": project.id, "status": "dead"})["items"] == []
    assert one.api.delete(path).status_code == 204
    assert one.api.delete(path).status_code == 404 == one.api.get(path).status_code == one.api.post(path + "/retry").status_code
    assert project.count() == 1


def test_api_large_payload(one, project):
    with refusing(one, "poison"):
        (event,), (number,) = poison(one, project, extra={"blob": os.urandom(300000).hex()})
    assert one.api.get(f"/api/dead-letters/{number}/payload").json() == event
    assert json.loads(one.command("dlq", "show", number, "--payload")) == event


@pytest.mark.parametrize("method, path", [("GET", ""), ("GET", "/1"), ("GET", "/1/payload"), ("POST", "/1/retry"), ("DELETE", "/1")])
def test_rights(one, method, path):
    """decisions.md: owner and administrators only."""
    one.run("user", "add", "member@example.com")
    member = one.command("token", "add", "--user", "member@example.com").strip()
    assert Api(one.url).request(method, "/api/dead-letters" + path).status_code == 401
    assert Api(one.url, token="0" * 40).request(method, "/api/dead-letters" + path).status_code == 401
    assert Api(one.url, token=member).request(method, "/api/dead-letters" + path).status_code == 403


@pytest.mark.parametrize("path", ["/0", "/x", "/99999999999999999999", "/1x/payload"])
def test_no_such_letter(one, path):
    assert one.api.get("/api/dead-letters" + path).status_code == 404


@pytest.mark.parametrize("query", ["project=x", "status=gone", "page=x", "per_page=x"])
def test_bad_queries(one, query):
    assert one.api.get(f"/api/dead-letters?{query}").status_code == 400


# ---- the bound

def spill_dir(picket):
    return os.path.join(picket.settings["DATA_DIR"], "dead-letters")


def look(picket):
    """A start looks at once, and not again for a while: nothing happens beside the commands that follow."""
    picket.stop()
    picket.start()


def files(picket):
    return sorted(glob.glob(os.path.join(spill_dir(picket), "*.envelope")))


def test_spilled(make_picket):
    """Above DEAD_LETTERS_MAX the oldest rows become files: 0600, listed, shown, sent elsewhere, dropped."""
    picket = make_picket(DEAD_LETTERS_MAX=3).start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        events = [wire.error_event("E", f"poison {i}") for i in range(10)]
        project.send(*events)
        until(lambda: len(files(picket)) == 7, lambda: (files(picket), rows(picket, project)))
        until(lambda: len(rows(picket, project)) == 3, lambda: rows(picket, project))
    assert stat.S_IMODE(os.stat(spill_dir(picket)).st_mode) == 0o700
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in files(picket)} == {0o600}
    letters = listed(picket)
    assert [letter["status"] for letter in letters] == ["dead"] * 3 + ["spilled"] * 7
    assert {letter["event_id"] for letter in letters} == {str(uuid.UUID(event["event_id"])) for event in events}
    assert [letter["id"] for letter in letters] == sorted((letter["id"] for letter in letters), reverse=True)
    number = letters[-1]["id"]
    letter = shown(picket, number)
    event = next(event for event in events if str(uuid.UUID(event["event_id"])) == letter["event_id"])
    assert letter["file"] == files(picket)[0] and letter["sqlstate"] == "23514" and letter["remote_addr"] == "127.0.0.1"
    assert json.loads(picket.command("dlq", "show", number, "--payload")) == event
    assert listed(picket, "--before", number) == [] and len(listed(picket, "--limit", 4)) == 4
    assert listed(picket, "--project", project.id + 1) == []

    assert event["event_id"] in picket.command("send", project.dsn, letter["file"])
    assert project.find(event["event_id"])
    assert f"Dropped dead letter {number}" in picket.command("dlq", "drop", number)
    assert letter["file"] not in files(picket)
    look(picket)
    until(lambda: health(picket)["dead_letters"] == {"waiting": 3, "retrying": 0, "spilled": 6}, lambda: health(picket))
    assert "Dropped 9 dead letters" in picket.command("dlq", "drop", "--all") and files(picket) == []


def test_spilled_are_retried(make_picket):
    """A file becomes a row again with all that it was: stored with its time and address, or dead again; beside a server that spills."""
    picket = make_picket(DEAD_LETTERS_MAX=2).start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        events = [wire.error_event("E", f"poison {i}") for i in range(8)]
        project.send(*events)
        until(lambda: len(files(picket)) == 6 and len(rows(picket, project)) == 2, lambda: (files(picket), rows(picket, project)))
        numbers = [int(os.path.basename(path)[:19]) for path in files(picket)]
        before = shown(picket, numbers[0])
        done = picket.run("dlq", "retry", numbers[0], numbers[-1] + 1000)
        assert done.returncode == 1 and "failed again" in done.stderr and f"no dead letter {numbers[-1] + 1000}" in done.stderr
        again = shown(picket, numbers[0])
        assert again["attempts"] == before["attempts"] + 1 and again["received_at"] == before["received_at"], (before, again)
        look(picket)
        until(lambda: len(files(picket)) == 6 and len(rows(picket, project)) == 2, lambda: (files(picket), rows(picket, project)))
        assert shown(picket, numbers[0])["status"] == "spilled"
    assert "is stored" in picket.command("dlq", "retry", numbers[1])
    assert len(files(picket)) == 5 and f"{numbers[1]:019d}" not in "".join(files(picket))
    event_id = next(event["event_id"] for event in events if str(uuid.UUID(event["event_id"])) == shown(picket, numbers[1])["event_id"])
    stored = picket.sql("SELECT received_at, remote_addr::text FROM events WHERE event_id = %s", uuid.UUID(event_id))
    assert stored == [(datetime.datetime.fromisoformat(shown(picket, numbers[1])["received_at"]), "127.0.0.1/32")]
    assert "nothing to do" in picket.command("dlq", "retry", numbers[1])
    assert "0 of 0 dead letters stored" in picket.command("dlq", "retry", "--all", "--project", project.id + 1)
    assert "7 of 7 dead letters stored" in picket.command("dlq", "retry", "--all")
    assert files(picket) == [] and project.count() == 8
    check_counters(picket, project.id)


def test_spilled_of_another_database(make_picket, cluster):
    """Its number may not be given yet here, or be somebody else's: the letter gets one of its own, and later letters still get theirs."""
    picket = make_picket(DEAD_LETTERS_MAX=1).start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        poison(picket, project, 1)
        project.send(*[wire.error_event("E", f"poison {i}") for i in range(3)])
        until(lambda: len(files(picket)) == 3 and len(rows(picket, project)) == 1, lambda: files(picket))
        picket.sql("TRUNCATE dead_letters RESTART IDENTITY")
        os.unlink(files(picket)[0])
        said = picket.run("dlq", "retry", "--all")
        assert said.returncode == 1 and said.stdout.count("is of another database") == 2, said
        project.send(wire.error_event("E", "poison more"))
        until(lambda: picket.sql("SELECT max(id) FROM dead_letters") == [(3,)], lambda: rows(picket, project))
    assert "3 of 3 dead letters stored" in picket.command("dlq", "retry", "--all")
    assert project.count() == 3


def test_what_is_in_a_file(make_picket):
    """A file that is damaged is told of by its name, stays, and costs no other letter its turn."""
    picket = make_picket(DEAD_LETTERS_MAX=1).start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        project.send(*[wire.error_event("E", f"poison {i}") for i in range(4)])
        until(lambda: len(files(picket)) == 3 and len(rows(picket, project)) == 1, lambda: files(picket))
    first, second, _ = files(picket)
    with open(first, "wb") as f:
        f.write(b'{"dead_letter":{"id":"x"}}\n{}\n{}\n')
    with open(second, "wb") as f:
        f.write(b"not JSON\n")
    done = picket.run("dlq", "retry", "--all")
    assert done.returncode == 1 and first in done.stderr and "22P02" in done.stderr and second in done.stderr
    assert "2 of 4 dead letters stored" in done.stdout and files(picket) == [first, second]


def health(picket):
    return picket.http.get(picket.url + "/health/ready", timeout=10).json()


def test_spilled_bytes_are_bounded(make_picket):
    """DEAD_LETTERS_MAX_BYTES: the oldest files go, and that is told."""
    picket = make_picket(DEAD_LETTERS_MAX=1, DEAD_LETTERS_MAX_BYTES="16M").start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        for i in range(24):
            project.send(wire.error_event("E", f"poison {i}", extra={"blob": "x" * 950000}))
        until(lambda: picket.sql("SELECT max(id), count(*) FROM dead_letters") == [(24, 1)], lambda: picket.sql("SELECT id FROM dead_letters"), 60)
    assert sum(os.stat(path).st_size for path in files(picket)) <= 16 << 20
    kept = [int(os.path.basename(path)[:19]) for path in files(picket)]
    assert kept == list(range(kept[0], 24)) and 10 <= len(kept) < 20
    assert "the oldest spilled dead letters were removed" in picket.log()


def test_what_cannot_be_spilled_stays(make_picket):
    """No directory can be made: the rows stay above their bound, nothing is lost, and everything else goes on."""
    picket = make_picket(DEAD_LETTERS_MAX=1).start()
    project = picket.new_project()
    with open(spill_dir(picket), "w", encoding="ascii"):
        pass
    with refusing(picket, "poison"):
        poison(picket, project, 4)
        until(lambda: "dead letters cannot be spilled" in picket.log(), picket.log)
    assert len(rows(picket, project)) == 4
    project.send(wire.error_event())
    project.wait_count(1)
    os.unlink(spill_dir(picket))
    with refusing(picket, "poison"):
        project.send(wire.error_event("E", "poison 5"))
        until(lambda: len(rows(picket, project)) == 1 and len(files(picket)) == 4, lambda: files(picket))


def test_letters_of_attachments_are_not_spilled(make_picket):
    """They keep the files that they name from the sweep, which asks rows only; and do not count against the bound of the others."""
    picket = make_picket(DEAD_LETTERS_MAX=2).start()
    project = picket.new_project()
    picket.sql("ALTER TABLE attachments ADD CONSTRAINT refuse CHECK (name NOT LIKE 'poison%')")
    contents = {f"poison {i}": os.urandom(10) for i in range(3)}
    with refusing(picket, "poison"):
        accepted(project.post(wire.envelope({}, *(wire.item("attachment", content, filename=name) for name, content in contents.items()))))
        until(lambda: len(rows(picket, project)) == 3, lambda: rows(picket, project))
        poison(picket, project, 2)
        look(picket)
        until(lambda: health(picket)["dead_letters"] == {"waiting": 5, "retrying": 0, "spilled": 0}, lambda: health(picket))
        project.send(*[wire.error_event("E", f"poison {i}") for i in range(2)])
        until(lambda: len(files(picket)) == 2 and len(rows(picket, project)) == 5, lambda: (files(picket), rows(picket, project)))
    assert picket.sql("SELECT kind, count(*) FROM dead_letters GROUP BY 1 ORDER BY 1") == [(1, 2), (7, 3)]
    for path in stored(picket):
        os.utime(path, (time.time() - 7200,) * 2)
    assert "freed" not in picket.command("retention", "run") and len(stored(picket)) == 3
    picket.sql("ALTER TABLE attachments DROP CONSTRAINT refuse")
    assert "7 of 7 dead letters stored" in picket.command("dlq", "retry", "--all")
    found = {row["name"]: project.api.get(f"{project.path}/attachments/{row['id']}/download").content for row in attachments(project)}
    assert found == contents


def test_a_cut_between_file_and_row(make_picket):
    """A file whose row is still there is listed once, as the row, and is written again when its turn comes."""
    picket = make_picket(DEAD_LETTERS_MAX=2).start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        poison(picket, project, 2)
    (number, record), *_ = picket.sql("SELECT id, record_id FROM dead_letters ORDER BY id")
    os.makedirs(spill_dir(picket), mode=0o700)
    os.chown(spill_dir(picket), os.stat(picket.settings["DATA_DIR"]).st_uid, -1)
    path = os.path.join(spill_dir(picket), f"{number:019d}-{record.hex}.envelope")
    with open(path, "wb") as f:
        f.write(b'{"dead_letter":{"id":%d,"project_id":%d}}\n{}\n\n' % (number, project.id))
    assert [letter["status"] for letter in listed(picket)] == ["dead", "dead"]
    with refusing(picket, "poison"):
        project.send(wire.error_event("E", "poison 3"))
        until(lambda: number not in [row[0] for row in rows(picket, project)], lambda: rows(picket, project))
    assert [letter["status"] for letter in listed(picket)] == ["dead", "dead", "spilled"]
    assert shown(picket, number)["reason"] == "DB_FAILED"


# ---- files that lie beside a row, left by a command that was killed between the two

def spilled(picket, project, n):
    """n letters of which all but one are files: their paths with what is in them."""
    with refusing(picket, "poison"):
        project.send(*[wire.error_event("E", f"poison {i}") for i in range(n)])
        until(lambda: len(files(picket)) == n - 1 and len(rows(picket, project)) == 1, lambda: (files(picket), rows(picket, project)))
    texts = {}
    for path in files(picket):
        with open(path, "rb") as f:
            texts[path] = f.read()
    return texts


@pytest.mark.parametrize("status", ["stored", "retry", "dead"])
def test_a_dropped_letter_takes_its_files_along(make_picket, status):
    """Dropped by the API, which sees no files, before the server has looked: nothing stands up again, and nothing is stored twice."""
    picket = make_picket(DEAD_LETTERS_MAX=1).start()
    project = picket.new_project()
    (path, text), *_ = spilled(picket, project, 2).items()
    number = int(os.path.basename(path)[:19])
    picket.command("dlq", "retry", number)
    put_back(picket, path, text)
    picket.sql("UPDATE dead_letters SET status = %s WHERE id = %s", status, number)
    project.api.delete(f"/api/dead-letters/{number}")
    assert number not in [letter["id"] for letter in listed(picket)]
    assert project.api.get(f"/api/dead-letters/{number}").status_code == project.api.delete(f"/api/dead-letters/{number}").status_code == 404
    assert picket.run("dlq", "retry", number).returncode == 1
    ((other, *_),) = [row for row in rows(picket, project) if row[0] != number]
    project.api.post(f"/api/dead-letters/{other}/retry")  # the server looks after letters now, and not in some seconds
    until(lambda: files(picket) == [], lambda: files(picket), 30)
    until(lambda: project.count() == 2, project.count)
    picket.command("dlq", "retry", "--all")
    check_counters(picket, project.id)


def test_another_servers_files(make_picket, cluster):
    """Two servers on one database, each with its own directory: the one deletes what lies in its own of letters that the other has seen stored."""
    url = cluster.new_database()
    one, other = (make_picket(DATABASE_URL=url, DEAD_LETTERS_MAX=1, DEAD_LETTERS_LOOK_SECS=1).start() for _ in range(2))
    project = one.new_project()
    with refusing(one, "poison"):
        project.send(*[wire.error_event("E", f"poison {i}") for i in range(3)])
        until(lambda: len(files(one)) + len(files(other)) == 2 and len(rows(one, project)) == 1, lambda: (files(one), files(other)))
    holder, beside = (one, other) if files(one) else (other, one)
    path = files(holder)[0]
    os.makedirs(spill_dir(beside), mode=0o700, exist_ok=True)
    os.chown(spill_dir(beside), os.stat(beside.settings["DATA_DIR"]).st_uid, -1)
    with open(path, "rb") as f:
        put_back(beside, os.path.join(spill_dir(beside), os.path.basename(path)), f.read())
    before = len(files(beside))
    holder.command("dlq", "retry", int(os.path.basename(path)[:19]))
    until(lambda: len(files(beside)) == before - 1, lambda: files(beside), 30)
    one.command("dlq", "retry", "--all")
    other.command("dlq", "retry", "--all")
    assert project.count() == 3
    check_counters(one, project.id)


def test_a_retried_letter_keeps_its_key(make_picket):
    """Outcomes are counted by key (protocol §4.8), also of what is stored by a retry, and of what lay in a file meanwhile."""
    picket = make_picket(DEAD_LETTERS_MAX=1).start()
    project = picket.new_project()
    ((key,),) = picket.sql("SELECT id FROM project_keys WHERE project_id = %s", project.id)
    texts = spilled(picket, project, 3)
    assert all(json.loads(text.split(b"\n", 1)[0])["dead_letter"]["key_id"] == key for text in texts.values())
    assert shown(picket, rows(picket, project)[0][0])["key_id"] == key
    assert "3 of 3 dead letters stored" in picket.command("dlq", "retry", "--all")
    totals = project.api.read(project.path + "/outcomes")["totals"]
    assert [(line["key_id"], line["outcome"], line["quantity"]) for line in totals] == [(key, "accepted", 3)]


# ---- what is no event

@contextlib.contextmanager
def refusing_reports(picket):
    """While it lasts, the database takes no feedback, no sessions and no accounts of what was dropped."""
    checks = {"feedback": "message NOT LIKE 'poison%'", "release_hours": "release NOT LIKE 'poison%'", "outcomes": "reason IN ('', 'duplicate')"}
    for table, check in checks.items():
        picket.sql(f"ALTER TABLE {table} ADD CONSTRAINT {table}_refused CHECK ({check}) NOT VALID")
    try:
        yield
    finally:
        for table in checks:
            picket.sql(f"ALTER TABLE {table} DROP CONSTRAINT {table}_refused")


def aggregates(n):
    return {"aggregates": [{"started": time.time(), "exited": n}], "attrs": {"release": "poison@1", "environment": "production"}}


def wait_letters(picket, n, seconds=30):
    """By their numbers: a letter that is about to become a file is both for a moment."""
    def numbers():
        return {int(os.path.basename(path).split("-")[0]) for path in files(picket)} | {number for number, in picket.sql("SELECT id FROM dead_letters")}
    until(lambda: len(numbers()) >= n, lambda: (listed(picket), picket.log()), seconds)


def poison_reports(picket, project):
    """One dead letter of each kind, the door's own account first: [(item type, payload or None)] in the order of their numbers."""
    assert project.post(wire.envelope({}, wire.item("feedback", {}))).status_code == 400
    wait_letters(picket, 1)
    items = [("feedback", feedback_item("poison")), ("session", update(str(uuid.uuid4()), "exited", release="poison@1", init=True)),
             ("sessions", wire.item("sessions", aggregates(7))), ("client_report", report(("queue_overflow", "error", 3))),
             ("user_report", wire.item("user_report", {"event_id": uuid.uuid4().hex, "comments": "poison, too"}))]
    for n, (_, item) in enumerate(items, 2):
        assert project.post(wire.envelope({}, item)).status_code == 200
        wait_letters(picket, n)
    return [("picket_outcomes", None)] + [(kind, item.split(b"\n", 1)[1]) for kind, item in items]


def sees_reports(project):
    return sorted(item["message"] for item in feedback(project)) == ["poison", "poison, too"] and \
        counts(project, "poison@1") == {"total": 8, "healthy": 8, "exited": 8}


OUTCOMES = {("feedback", "accepted", ""): 2, ("session", "accepted", ""): 2, ("error", "client_discard", "queue_overflow"): 3}


@pytest.mark.parametrize("bound, n_files", [(100, 0), (1, 5)])
def test_reports_are_retried_as_what_they_were(make_picket, bound, n_files):
    """Sessions, feedback, reports of clients and the door's own accounts, as rows and as files: told apart, stored once, and never as events."""
    picket = make_picket(DEAD_LETTERS_MAX=bound).start()
    project = picket.new_project()
    events = until(lambda: picket.sql("SELECT project_id, id FROM events"), "no sample event")  # of the server's own project
    with refusing_reports(picket):
        kinds = poison_reports(picket, project)
        until(lambda: len(files(picket)) == n_files and picket.sql("SELECT count(*) FROM dead_letters") == [(6 - n_files,)], lambda: files(picket))
        letters = listed(picket)[::-1]
        assert [(letter["item_type"], letter["sqlstate"], letter["reason"]) for letter in letters] == [(kind, "23514", "DB_FAILED") for kind, _ in kinds]
        for letter, (kind, payload) in zip(letters, kinds):
            assert shown(picket, letter["id"])["item_type"] == kind
            assert payload is None or picket.command("dlq", "show", letter["id"], "--payload").encode() == payload
        page = picket.api.read("/api/dead-letters")["items"]
        assert [item["item_type"] for item in page] == [kind for kind, _ in kinds[n_files:]][::-1]
        assert picket.api.read(f"/api/dead-letters/{page[0]['id']}")["item_type"] == "user_report"
        done = picket.run("dlq", "retry", letters[1]["id"])  # a file that becomes a row, fails and becomes a file again is still what it was
        assert done.returncode == 1 and "23514" in done.stderr
        look(picket)
        until(lambda: len(files(picket)) == n_files, lambda: files(picket))
        assert [letter["item_type"] for letter in listed(picket)[::-1]] == [kind for kind, _ in kinds]
    assert not feedback(project) and not counts(project, "poison@1")
    said = picket.command("dlq", "retry", "--all")
    assert "6 of 6 dead letters stored" in said and "stored already" not in said
    assert sees_reports(project) and files(picket) == []
    wait_totals(project, {**OUTCOMES, ("feedback", "invalid", "no_message"): 1})
    assert "0 of 0 dead letters stored" in picket.command("dlq", "retry", "--all")
    assert sees_reports(project) and project.count() == 0 and picket.sql("SELECT project_id, id FROM events") == events
    check_counters(picket, project.id)


def test_letters_of_reports_say_whose_they_are(make_picket):
    """By the header of their envelope."""
    picket = make_picket().start()
    project = picket.new_project()
    with refusing_reports(picket):
        picket.sql("ALTER TABLE outcomes DROP CONSTRAINT outcomes_refused")
        for item in (feedback_item("poison"), wire.item("sessions", aggregates(7))):
            assert project.post(wire.envelope({"sdk": {"name": "sentry.javascript.browser", "version": "9"}}, item)).status_code == 200
        wait_totals(project, {("feedback", "invalid", "dead_letter"): 1, ("session", "invalid", "dead_letter"): 1})
        told = project.api.read(project.path + "/delivery")["items"]
        assert sorted((case["category"], case["sdk"]) for case in told) == [("feedback", "sentry.javascript.browser/9"), ("session", "sentry.javascript.browser/9")]
        picket.sql("ALTER TABLE outcomes ADD CONSTRAINT outcomes_refused CHECK (quantity >= 0)")


def test_spilled_reports_are_sent_as_what_they_are(make_picket):
    """`picket send DSN FILE`: another project takes the item, and skips what is none."""
    picket = make_picket(DEAD_LETTERS_MAX=1).start()
    project, other = picket.new_project(), picket.new_project()
    with refusing_reports(picket):
        poison_reports(picket, project)
        until(lambda: len(files(picket)) == 5, lambda: files(picket))
        accepted(project.post(wire.envelope({}, feedback_item("poison no. 2"))))
        until(lambda: len(files(picket)) == 6, lambda: files(picket))
    for path in files(picket):
        picket.command("send", other.dsn, path)
    until(lambda: sees_reports(other), lambda: (feedback(other), counts(other, "poison@1")), 30)
    wait_totals(other, {**OUTCOMES, ("default", "filtered", "not_stored"): 1})  # the door's own account is no item of an SDK
    assert other.count() == 0 and not feedback(project)


def test_files_of_earlier_releases_hold_events(make_picket):
    picket = make_picket(DEAD_LETTERS_MAX=1).start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        project.send(*[wire.error_event("E", f"poison {i}") for i in range(2)])
        until(lambda: len(files(picket)) == 1 and len(rows(picket, project)) == 1, lambda: files(picket))
    path, = files(picket)
    with open(path, "rb") as f:
        head, rest = f.read().split(b"\n", 1)
    head = json.loads(head)
    assert (head["dead_letter"].pop("kind"), head["dead_letter"].pop("item_type")) == (1, "event")
    with open(path, "wb") as f:
        f.write(wire.dumps(head) + b"\n" + rest)
    assert [letter["item_type"] for letter in listed(picket)] == ["event", "event"] == [shown(picket, letter["id"])["item_type"] for letter in listed(picket)]
    assert "2 of 2 dead letters stored" in picket.command("dlq", "retry", "--all")
    project.wait_count(2)


# ---- a file beside its row

def put_back(picket, path, content):
    """As a cut left it."""
    with open(path, "wb") as f:
        f.write(content)
    os.chown(path, os.stat(spill_dir(picket)).st_uid, -1)


def test_a_cut_between_row_and_file(make_picket):
    """A retry was killed when it had made the row: the file is not shown while the row is there, and does not stand up when the row is forgotten.
    Files beside dead rows and files without rows stay. Aggregates have no id: stored twice they would count twice."""
    picket = make_picket(DEAD_LETTERS_MAX=2).start()
    project = picket.new_project()
    with refusing_reports(picket):
        for i in range(4):
            assert project.post(wire.envelope({}, wire.item("sessions", aggregates(10 ** i)))).status_code == 200
            wait_letters(picket, i + 1)
        until(lambda: len(files(picket)) == 2 and len(rows(picket, project)) == 2, lambda: files(picket))
    stale, alone = files(picket)
    number = int(os.path.basename(stale)[:19])
    with open(stale, "rb") as f:
        content = f.read()
    picket.stop()
    assert "is stored" in picket.command("dlq", "retry", number)
    assert files(picket) == [alone]
    put_back(picket, stale, content)
    (dead, record), = picket.sql("SELECT id, record_id FROM dead_letters WHERE status = 'dead' ORDER BY id LIMIT 1")
    beside = os.path.join(spill_dir(picket), f"{dead:019d}-{record.hex}.envelope")
    put_back(picket, beside, content.replace(b'"id":%d,' % number, b'"id":%d,' % dead))
    assert [letter["status"] for letter in listed(picket)] == ["dead", "dead", "spilled", "stored"]
    picket.sql("UPDATE dead_letters SET stored_at = stored_at - interval '2 minutes'")
    picket.start()
    until(lambda: len(rows(picket, project)) == 2, lambda: rows(picket, project))  # one more than the bound: forgotten when every server has looked
    assert files(picket) == [alone, beside]
    assert [letter["status"] for letter in listed(picket)] == ["dead", "dead", "spilled"]
    assert "3 of 3 dead letters stored" in picket.command("dlq", "retry", "--all")
    look(picket)
    until(lambda: files(picket) == [], lambda: files(picket))  # before its row is forgotten: it may also be dropped
    picket.sql("UPDATE dead_letters SET stored_at = now() - interval '8 days'")
    look(picket)
    until(lambda: rows(picket, project) == [], lambda: rows(picket, project))
    assert "0 of 0 dead letters stored" in picket.command("dlq", "retry", "--all") and listed(picket) == []
    assert counts(project, "poison@1") == {"total": 1111, "healthy": 1111, "exited": 1111}


def test_forgotten_only_without_its_file(make_picket):
    """The directory takes no change: the row stays, above the bound and beyond its time, because the file would count again."""
    picket = make_picket(DEAD_LETTERS_MAX=2).start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        _, (number,) = poison(picket, project)
    (record,), = picket.sql("SELECT record_id FROM dead_letters")
    assert "is stored" in picket.command("dlq", "retry", number)
    os.mkdir(spill_dir(picket))
    os.makedirs(os.path.join(spill_dir(picket), f"{number:019d}-{record.hex}.envelope", "in the way"))
    os.chown(spill_dir(picket), os.stat(picket.settings["DATA_DIR"]).st_uid, -1)
    picket.sql("UPDATE dead_letters SET stored_at = now() - interval '8 days'")
    look(picket)
    until(lambda: "files of dead letters that are stored cannot be deleted" in picket.log(), picket.log)
    assert [row[1] for row in rows(picket, project)] == ["stored"]
    os.rmdir(os.path.join(files(picket)[0], "in the way"))
    os.rmdir(files(picket)[0])
    look(picket)
    until(lambda: rows(picket, project) == [], lambda: rows(picket, project))


def test_drop_takes_the_file_of_the_record(make_picket):
    """The row of a letter of another database has a number of its own: a file that a cut left does not stand for it when it is dropped."""
    picket = make_picket().start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        _, (number,) = poison(picket, project)
    (record,), = picket.sql("SELECT record_id FROM dead_letters")
    os.mkdir(spill_dir(picket))
    os.chown(spill_dir(picket), os.stat(picket.settings["DATA_DIR"]).st_uid, -1)
    path = os.path.join(spill_dir(picket), f"{number + 50:019d}-{record.hex}.envelope")
    put_back(picket, path, b'{"dead_letter":{"id":%d,"project_id":%d}}\n{}\n\n' % (number + 50, project.id))
    assert picket.command("dlq", "drop", number) == f"Dropped dead letter {number}.\n"
    assert files(picket) == [] == listed(picket)


# ---- beside the digest

def test_letters_do_not_hold_up_others(make_picket):
    """While somebody has a letter's row locked, the letters behind it are retried, and events are stored."""
    picket = make_picket(DEAD_LETTERS_LOOK_SECS=1).start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        _, numbers = poison(picket, project, 2)
    picket.stop()
    picket.sql("UPDATE dead_letters SET status = 'retry'")
    with psycopg.connect(picket.conninfo()) as blocker:
        blocker.execute("SELECT FROM dead_letters WHERE id = %s FOR UPDATE", (numbers[0],))
        picket.start()
        until(lambda: statuses(picket, project) == {numbers[0]: "retry", numbers[1]: "stored"}, lambda: rows(picket, project))
        project.send(wire.error_event())
        project.wait_count(2)
        assert statuses(picket, project)[numbers[0]] == "retry"
    until(lambda: statuses(picket, project) == dict.fromkeys(numbers, "stored"), lambda: rows(picket, project))
    project.wait_count(3)
    check_counters(picket, project.id)
