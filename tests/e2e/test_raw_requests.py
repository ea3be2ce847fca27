"""Requests that no client library would send, byte by byte: raw_requests.jsonl is a table of them with the answers that are expected. What the
server and a proxy in front of it could read differently is refused and the connection closed, so that nothing behind it is taken for a request.

A row:
    name        what is odd about it; unique
    send        a text of latin-1 characters, or a list of texts and [text, how often]
    answers     the statuses, in order
    end         "open": a further request on the same connection is answered; "closed": the server has ended it
    stored      how many of the row's events must be stored, 0 when absent; never more
    split       each byte is a write of its own
    half_close  the client ends its side behind `send`
    plain       the last answer is libh2o's own, in plain text: the head could not be parsed, so there is no request that we could answer.
                Every other error has a JSON body of ours
    head        the answers have no bodies
    lossy       the server closes with bytes unread, so the answer may be lost on its way
    note        for people

Braces in `send` stand for: {project} {key} {token}; {envelope} of 100 bytes with an event of its own, {first 10} and {last 90} of one;
{post} and {post10} the head of a request for an envelope without its framing headers and end; {chunks} such an envelope in one chunk; {get} a
request of /health; {next} a whole request with an envelope, for hiding, and its length {next length} and {next hex}."""
import json
import os
import re
import uuid

import pytest

import server
import wire
from waiting import until

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "raw_requests.jsonl"), encoding="ascii") as table:
    ROWS = [json.loads(line) for line in table]
GET = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
HEADS = {"post": "POST /api/{project}/envelope/ HTTP/1.1\r\nHost: x\r\nX-Sentry-Auth: Sentry sentry_key={key}\r\n",
         "post10": "POST /api/{project}/envelope/ HTTP/1.0\r\nX-Sentry-Auth: Sentry sentry_key={key}\r\n", "get": GET,
         "chunks": "64\r\n{envelope}\r\n0\r\n\r\n"}
HEADS["next"] = HEADS["post"] + "Content-Length: 100\r\n\r\n{envelope}"


class Target:
    """A Picket and a project of it. One digest worker: what was accepted before is stored before."""

    def __init__(self, cluster):
        self.picket = server.Picket(server.Directory(), DATABASE_URL=cluster.migrated_database(), CREATE_SUPERUSER=":".join(server.ADMIN), DIGEST_WORKERS=1,
                                    MAX_BODY_BYTES="20M")
        self.project = None

    def start(self):
        self.picket.start()
        self.project = self.picket.new_project()

    def stored(self, ids):
        """How many of these events have been stored, now that everything has that was accepted."""
        (marker,) = self.project.send(wire.message_event("marker"))
        count = "SELECT count(*) FROM events WHERE project_id = %s AND event_id = ANY(%s)"
        until(lambda: self.picket.sql(count, self.project.id, [uuid.UUID(marker)])[0][0], "the marker is not stored", pause=0.002)
        return self.picket.sql(count, self.project.id, [uuid.UUID(i) for i in ids])[0][0]


@pytest.fixture(scope="module")
def target(cluster):
    made = Target(cluster)
    try:
        made.start()
        yield made
    finally:
        made.picket.end()


class Text:
    """The bytes of a row, with every brace filled in; remembers the ids of the events in it."""

    def __init__(self, target):
        self.ids, self.envelope = [], ""
        self.fixed = {"project": str(target.project.id), "key": target.project.key, "token": target.picket.token}
        length = len(self.fill(HEADS["next"]))
        self.ids.clear()
        self.fixed |= {"next length": str(length), "next hex": f"{length:x}"}

    def new_envelope(self):
        self.ids.append(uuid.uuid4().hex)
        text = '{}\n{"type":"event"}\n' + f'{{"event_id":"{self.ids[-1]}","message":"'
        self.envelope = text + "x" * (97 - len(text)) + '"}\n'
        return self.envelope

    def value(self, match):
        name = match.group(1)
        if name in HEADS:
            return self.fill(HEADS[name])
        if name in self.fixed:
            return self.fixed[name]
        return {"envelope": lambda: self.new_envelope(), "first 10": lambda: self.new_envelope()[:10], "last 90": lambda: self.envelope[10:]}[name]()

    def fill(self, text):
        return re.sub(r"\{([a-z0-9 ]+)\}", self.value, text)

    def bytes(self, send):
        parts = send if isinstance(send, list) else [send]
        return b"".join((self.fill(part) if isinstance(part, str) else self.fill(part[0]) * part[1]).encode("latin-1") for part in parts)


def check_error_body(answer):
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert {"error", "message", "type"} <= set(body) or "detail" in body, body


def read_answers(connection, row):
    """The statuses that come, as long as they are the expected ones."""
    statuses = []
    for wanted in row["answers"]:
        try:
            answer = connection.read_head() if row.get("head") else connection.read_answer()
        except (EOFError, ConnectionResetError):
            return row["answers"] if row.get("lossy") and not statuses else statuses
        statuses.append(answer.status)
        if answer.status != wanted:
            return statuses
        if row.get("plain") and len(statuses) == len(row["answers"]):
            assert answer.headers["content-type"].startswith("text/plain")
        elif answer.status >= 400:
            check_error_body(answer)
    return statuses


def test_names_are_unique():
    assert len({row["name"] for row in ROWS}) == len(ROWS) > 200


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_raw_request(target, row):
    text = Text(target)
    data = text.bytes(row["send"])
    with wire.Connection(target.project.port) as connection:
        try:
            for piece in [data[i:i + 1] for i in range(len(data))] if row.get("split") else [data]:
                connection.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            assert row.get("lossy")
        if row.get("half_close"):
            connection.half_close()
        assert read_answers(connection, row) == row["answers"]
        if row["end"] == "open":
            connection.send(GET.encode())
            assert connection.read_answer().status == 200
        else:
            assert connection.is_closed()
    if text.ids:
        assert target.stored(text.ids) == row.get("stored", 0)
