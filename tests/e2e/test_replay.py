"""Recorded traffic of real SDKs (recordings/README.md): every envelope is accepted, and every error, attachment, session, check-in and feedback in it is
visible in the API. Headers in their order and case, transfer coding, content coding and the sharing of connections are as recorded; sessions are of today."""
import datetime
import glob
import gzip
import hashlib
import json
import os
import re
import uuid

import pytest

import server
import wire
from client import Project
from contract import EVENT_DETAIL, ISSUE, check
from test_attachments import attachments
from test_monitors import check_ins
from waiting import until

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recordings")
FOLDERS = sorted(os.path.basename(path) for path in glob.glob(os.path.join(HERE, "sentry-*")))
KEY = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
# §7.1: a session of last week is none. What was recorded in this minute, or before it, is of now, or before it.
SINCE = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime(2026, 11, 21, 4, 40, tzinfo=datetime.timezone.utc)
TIME = re.compile(rb'("(?:started|timestamp|sent_at)":")(2026-11-21T04:\d\d:\d\d)')


def of_today(match):
    """The same time, to the second, as long after SINCE."""
    return match[1] + (datetime.datetime.fromisoformat(match[2].decode()) + SINCE).strftime("%Y-%m-%dT%H:%M:%S").encode()


class Recording:
    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            for name, value in json.load(f).items():
                setattr(self, name, value)
        with open(path.removesuffix("json") + "body", "rb") as f:
            self.body = f.read()
        self.name = os.path.relpath(path, HERE)
        if self.header("content-type") != "application/octet-stream" and b'"session' in self.plain():
            self.move()

    def move(self):
        """Moves the sessions' times, and by which clock they are; that changes no item's length, but that of a packed body."""
        header, *lines = self.plain().split(b"\n")
        if any(b'"attrs":' in line for line in lines):
            header = TIME.sub(of_today, header)
        body = b"\n".join([header, *(TIME.sub(of_today, line) if b'"attrs":' in line else line for line in lines)])
        self.body = gzip.compress(body) if self.header("content-encoding") == "gzip" else body
        self.headers = [(name, str(len(self.body)) if name.lower() == "content-length" else value) for name, value in self.headers]

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name), "").lower()

    def to_bytes(self):
        body = wire.chunked(self.body, 16384) if self.header("transfer-encoding") == "chunked" else self.body
        return wire.request(self.method, self.path, [tuple(pair) for pair in self.headers], body)

    def plain(self):
        return gzip.decompress(self.body) if self.header("content-encoding") == "gzip" else self.body

    def items(self):
        """The header and (item header, payload) of all items: a reader of its own for what is known to be well-formed (protocol §2.1)."""
        head, _, rest = self.plain().partition(b"\n")
        items = []
        while rest.strip(b"\n"):
            line, _, rest = rest.lstrip(b"\n").partition(b"\n")
            header = json.loads(line)
            length = header.get("length", rest.find(b"\n") if b"\n" in rest else len(rest))
            items.append((header, rest[:length]))
            rest = rest[length:]
        return json.loads(head), items

    def of_kind(self, kind):
        """(item header, payload, envelope header) of its items of that kind."""
        head, items = self.items()
        return [(header, payload, head) for header, payload in items if header["type"] == kind]

    def bodies(self, kind):
        return [json.loads(payload) for _, payload, _ in self.of_kind(kind)]

    def sessions(self):
        """The ids of the sessions that begin here, and how many come as numbers only (§7.1)."""
        counted = [counts for body in self.bodies("sessions") for counts in body["aggregates"]]
        return ({uuid.UUID(body["sid"]) for body in self.bodies("session") if body.get("init")},
                sum(counts.get(name, 0) for counts in counted for name in ("exited", "errored", "crashed", "abnormal")))

    def attachments(self):
        """(id of its event, name, SHA-256)."""
        return {(uuid.UUID(head["event_id"]).hex, header["filename"], hashlib.sha256(payload).hexdigest())
                for header, payload, head in self.of_kind("attachment")}

    def check_ins(self):
        return self.bodies("check_in")

    def errors(self):
        """(id, event) of the error events; the envelope header's id wins, and its sdk serves when the event has none (protocol §2.2)."""
        for _, payload, head in self.of_kind("event"):
            event = json.loads(payload)
            event.setdefault("sdk", head.get("sdk") or {})
            if event.get("type") != "transaction":
                yield uuid.UUID(head.get("event_id") or event["event_id"]).hex, event


def recordings(folder):
    return [Recording(path) for path in sorted(glob.glob(os.path.join(HERE, folder, "*.json")))]


def posts(folder):
    return [recording for recording in recordings(folder) if is_ingest(recording) and recording.method == "POST"]


def is_ingest(recording):
    return recording.path.split("?")[0].endswith(("/envelope/", "/store/"))


@pytest.fixture(scope="module")
def recorded(cluster):
    """A Picket of its own, whose first project (number 1, as in the recordings) takes the recordings' key."""
    picket = server.Picket(server.Directory(), DATABASE_URL=cluster.migrated_database(), DIGEST_WORKERS=1)
    try:
        picket.start()
        picket.sql("INSERT INTO project_keys (project_id, public_key) VALUES (1, %s)", uuid.UUID(KEY))
        project = Project(picket.api, picket.api.read("/api/projects/1"))
        project.sessions_seen, project.sessions_counted = set(), 0  # by whatever was replayed so far
        project.failures = 0
        yield project
    finally:
        picket.end()


def words(event):
    """Something of the event that its title must show: the first line of what was raised or said."""
    exceptions = event.get("exception") or []
    exceptions = exceptions.get("values", []) if isinstance(exceptions, dict) else exceptions
    if exceptions and exceptions[-1].get("type"):
        text = exceptions[-1]["type"]
    else:  # a message; JavaScript 11 adds an exception without a type to it (sdk-observed "Events")
        entry, message = event.get("logentry") or {}, event.get("message")
        text = entry.get("message") or entry.get("formatted") or (message if isinstance(message, str) else message["message"])
    text = text.split("\n")[0].replace("\0", "\ufffd")
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)[:60]


def see_attachments(project, folder):
    for event_id, name, digest in sorted(entry for recording in posts(folder) for entry in recording.attachments()):
        until(lambda: (name, digest) in {(row["name"], row["sha256"]) for row in attachments(project, event_id)}, f"{name} of {event_id} is not visible")


def see_check_ins(project, folder):
    """Each run, as its last check-in left it. The job of Node's recordings came to be by a check-in that was not recorded. The monitors go, because a
    monitor takes six check-ins in a minute; what failed for good is an issue by then."""
    sent = [body for recording in posts(folder) for body in recording.check_ins()]
    known = {body["monitor_slug"] for body in sent if body.get("monitor_config")}
    runs = {(body["monitor_slug"], str(uuid.UUID(body["check_in_id"]))): body["status"] for body in sent if body["monitor_slug"] in known}

    def visible():
        return {(slug, run["check_in_id"]): run["status"] for slug in known for run in check_ins(project, slug)}
    until(lambda: visible() == runs, lambda: f"{visible()}, wanted {runs}")
    project.failures += sum(1 for (slug, _), status in runs.items() if slug == "hourly" and status == "error")  # the others wait for a second one
    until(lambda: sum(issue["event_count"] for issue in project.issues() if issue["title"].startswith("Cron failure")) == project.failures, project.issues)
    for slug in known:
        assert project.api.delete(f"{project.path}/monitors/{slug}").status_code == 204


def replay(project, folder):
    """All ingest requests in their order, each connection as recorded; every answer must be 200."""
    connections = {}
    try:
        for recording in filter(is_ingest, recordings(folder)):
            connection = connections.pop(recording.conn, None) or wire.Connection(project.port)
            connection.send(recording.to_bytes())
            answer = connection.read_answer()
            assert answer.status == 200, f"{recording.name}: {answer.status} {answer.body}"
            if recording.method == "POST":
                ids, n = recording.sessions()
                project.sessions_seen |= ids
                project.sessions_counted += n
                event_id = json.loads(recording.plain().split(b"\n")[0]).get("event_id")
                assert not event_id or answer.json()["id"] == uuid.UUID(event_id).hex, recording.name
            if answer.headers.get("connection", "") != "close" and recording.header("connection") != "close":
                connections[recording.conn] = connection
            else:
                connection.socket.close()
    finally:
        for connection in connections.values():
            connection.socket.close()


@pytest.mark.parametrize("folder", FOLDERS)
def test_replay(recorded, folder):
    errors = {event_id: event for recording in posts(folder) for event_id, event in recording.errors()}
    replay(recorded, folder)

    def visible():
        return {uuid.UUID(summary["event_id"]).hex: summary for summary in recorded.all_events()}

    until(lambda: errors.keys() <= visible().keys(), lambda: f"not visible: {errors.keys() - visible().keys()}")
    seen = visible()
    for event_id, event in errors.items():
        detail = check(EVENT_DETAIL, recorded.detail(seen[event_id]))
        assert words(event) in detail["title"], (event_id, detail["title"])
        assert detail["data"]["event_id"] == event_id
        assert detail["release"] == (event.get("release") or "") and detail["environment"] == (event.get("environment") or "")
        assert (detail["sdk_name"], detail["sdk_version"]) == (event["sdk"].get("name", ""), event["sdk"].get("version", ""))
    see_sessions(recorded)
    see_feedback(recorded, folder)
    see_attachments(recorded, folder)
    see_check_ins(recorded, folder)


def see_sessions(project):
    """Each that began, once, whatever came twice; numbers as often as they came."""
    def total():
        return sum(item["sessions"]["total"] for item in project.api.read(project.path + "/sessions")["items"])
    wanted = len(project.sessions_seen) + project.sessions_counted
    until(lambda: total() == wanted, lambda: f"{total()} sessions of {wanted}")


def see_feedback(project, folder):
    said = {body["event_id"]: body["contexts"]["feedback"] for recording in posts(folder) for body in recording.bodies("feedback")}

    def visible():
        return {uuid.UUID(item["feedback_id"]).hex: item for item in project.api.read(project.path + "/feedback")["items"]}
    until(lambda: said.keys() <= visible().keys(), lambda: f"not visible: {said.keys() - visible().keys()}")
    for feedback_id, words_said in said.items():
        item, about = visible()[feedback_id], words_said.get("associated_event_id")
        assert (item["message"], item["email"], item["name"]) == tuple(words_said[name] for name in ("message", "contact_email", "name"))
        assert item["event_id"] == (str(uuid.UUID(about)) if about else None) and bool(item["issue_id"]) == bool(about)


def test_there_are_recordings():
    """The copy is whole: a table without rows would pass everything above."""
    ingest = [recording for folder in FOLDERS for recording in recordings(folder) if is_ingest(recording)]
    assert len(FOLDERS) == 20 and len(ingest) == 340
    every = [recording for folder in FOLDERS for recording in posts(folder)]
    assert sum(1 for recording in every for _ in recording.errors()) == 136
    assert sum(len(recording.bodies("feedback")) for recording in every) == 4
    assert sum(len(recording.attachments()) for recording in every) == 16
    assert sum(len(recording.check_ins()) for recording in every) == 19
    assert (sum(len(recording.sessions()[0]) for recording in every), sum(recording.sessions()[1] for recording in every)) == (23, 12)


def test_all_issues_pass_the_dashboard(recorded):
    """Whatever the SDKs sent above, every issue passes the client's schema (contract §7.2), and nothing went to the dead letters."""
    issues = [check(ISSUE, issue) for issue in recorded.issues()]
    assert issues
    assert sum(issue["event_count"] for issue in issues) == recorded.count()


def test_replayed_twice(recorded):
    """An SDK's offline queue sends again what it could not see arrive: nothing is counted twice."""
    folders = ("sentry-python-2.75.0", "sentry-browser-11.12.0")
    for folder in folders:
        replay(recorded, folder)
    recorded.drain()
    count = recorded.count()
    for folder in folders:
        replay(recorded, folder)
    recorded.drain()
    assert recorded.count() == count
    see_sessions(recorded)
