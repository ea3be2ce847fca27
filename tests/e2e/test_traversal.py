"""Traversal in every path parameter (issue 4, "Security"): the tables of routes give the parameters, and each takes what climbs out of a directory, ends a
C string early, is another spelling of that, or is too long. The answer is a plain refusal, never another resource, and the connection goes on; nothing
is made, changed or removed, in the database or on the disk."""
import os
import re
import time
import uuid

import pytest

import described
import server
import wire
from client import accepted
from waiting import until

def routes_of(*path):
    return [(method, route) for method, route, _, _ in described.routes_of(*path) if "{" in route]


API, INGEST = routes_of("api", "api.c"), routes_of("ingest", "fronts.c")
FEEDBACK = "/api/0/projects/{organization}/{project}/user-feedback/"


def is_free(route, name):
    """It is no name of anything there: a monitor's slug is made of whatever was sent (event/check_in.c), nobody asks for an organisation, and words are
    for the project whose key comes with them (ingest/words.c)."""
    return name in ("slug", "organization") or (route, name) == (FEEDBACK, "project")


# What may appear on the disk meanwhile, below DATA_DIR.
OURS = re.compile(r"spool/[a-z0-9.-]+|attachments(/holds(/[0-9a-f]{32})?|/\d+(/[0-9a-f]{2}(/[0-9a-f]{64})?)?)?")
TAKEN_OVER = {"name": "taken over", "is_active": False, "state": "resolved", "status": "ok", "monitor_slug": "taken", "message": "taken over", "comments": "taken over"}


def bad_values(valid, above):
    """`valid` names something that is there, `above` is the segment before it."""
    climb = "%2e%2e%2f"
    return ["..", "../", "../..", ".", "%2e", "%2e%2e", climb, "%2e%2e/", "%2E%2E%5C", "%252e%252e%252f", "..;/", "....//", "../../../../../../etc/passwd",
            climb * 8 + "etc%2fpasswd", f"../{above}/{valid}", f"%2e%2e/{above}/{valid}", f"%2e%2e%2f{above}%2f{valid}", f".%2f{valid}", f"{valid}%2f..", f"{valid}%2f",
            "%00", f"%00{valid}", f"{valid}%00", f"{valid}%00.json", "\\", "..\\", f"..\\{valid}", f"{valid}%5c..", "..%5c..%5cetc%5cpasswd", "a" * 4000, "9" * 4000,
            climb * 1500, climb * 20_000, "%c0%ae%c0%ae%c0%af", "%c0%ae%c0%ae/", "\xc0\xae\xc0\xae\xc0\xaf", "%e0%80%ae%e0%80%ae%e0%80%af", "%c1%9c", "%ff", "%", "%2"]


class World:
    """A project in which there is one of everything."""

    def __init__(self, picket):
        self.picket, self.project = picket, picket.new_project()
        event = wire.error_event(value="climbed over")
        accepted(self.project.post(wire.envelope({"event_id": event["event_id"]}, wire.item("event", event), wire.item("attachment", b"bytes", filename="a.txt"),
                                                 wire.item("check_in", {"check_in_id": uuid.uuid4().hex, "monitor_slug": "job", "status": "ok", "monitor_config":
                                                                        {"schedule": {"type": "interval", "value": 1, "unit": "hour"}}}),
                                                 wire.item("user_report", {"event_id": event["event_id"], "comments": "words"}))))
        detail = self.project.find(event["event_id"])
        path = self.project.path
        self.valid = {"project": self.project.id, "issue": detail["issue_id"], "event": detail["id"], "monitor": self.first(path + "/monitors")["slug"],
                      "attachment": self.first(path + "/attachments")["id"], "feedback": self.first(path + "/feedback")["id"],
                      "key": self.first(path + "/keys")["id"], "token": self.picket.api.post("/api/tokens", json={}).json()["id"], "letter": 1, "erasure": 1,
                      "short": f"{self.project.slug}-1",
                      "channel": self.made("/api/alert-channels", channel_type="webhook", config={"url": "https://a.example"}),
                      "rule": self.made(path + "/alert-rules", alert_type="new_issue"), "user": self.member(), "tag": "level", "login": self.log_in(),
                      "invitation": self.picket.api.post("/api/invitations", json={}).json()["id"]}
        until(lambda: "level" in str(self.project.api.read(f"{path}/issues/{detail['issue_id']}/tags")), "no tag is counted")
        self.ingest = {"project": self.project.id, "key": self.project.key, "slug": "job", "event": event["event_id"], "organization": "sentry"}
        for method, route in INGEST:
            if method == "POST" and not route.endswith(("/minidump/", "{key}/", "/nel/")):
                body, content_type = body_of(route)
                right = re.sub(r"\{(\w+)\}", lambda name: str(self.ingest[name.group(1)]), route)
                answer = self.project.post(body, {"Content-Type": content_type}, path=right)
                assert answer.status_code < 300, (route, answer.status_code, answer.text)

    def member(self):
        me = self.picket.api.read("/auth/me")["id"]
        assert self.picket.api.post(self.project.path + "/members", json={"user_id": me}).status_code == 201
        return me

    def made(self, path, **members):
        return self.picket.api.post(path, json={"name": f"made {time.monotonic_ns()}", **members}).json()["id"]

    def log_in(self):
        assert self.picket.api.post("/auth/login", json=dict(zip(("email", "password"), server.ADMIN))).status_code == 200
        return self.picket.api.read("/api/sessions")["items"][0]["id"]

    def first(self, path):
        def look():
            answer = self.project.api.read(path)
            rows = answer["items"] if isinstance(answer, dict) else answer
            return rows and rows[0]
        return until(look, lambda: f"nothing at {path}")

    def state(self):
        """What a climber may have made, changed or taken away."""
        self.project.drain()
        counts = {table: self.picket.sql(f"SELECT count(*) FROM {table} WHERE project_id = %s", self.project.id)[0][0]
                  for table in ("events", "issues", "attachments", "project_keys", "erasures", "alert_rules", "project_members")}
        names = [self.picket.sql(f"SELECT id, name FROM {table} ORDER BY id") for table in ("projects", "alert_channels")]
        people = [self.picket.sql(f"SELECT * FROM {table} ORDER BY id") for table in ("users", "user_links")]
        return counts, names, people, [self.picket.sql(f"SELECT count(*) FROM {table}") for table in ("api_tokens", "sessions", "audit_log")], os.listdir("/")

    def files(self):
        root = self.picket.directory.path
        return {os.path.relpath(os.path.join(base, name), root) for base, folders, names in os.walk(root) for name in folders + names}


@pytest.fixture(scope="module")
def world(picket):
    return World(picket)


def body_of(route):
    """Such as would be taken at the right address."""
    event = wire.error_event()
    if route.endswith("/envelope/"):
        return wire.event_envelope(event), "application/x-sentry-envelope"
    if route.endswith(("/security/", "/csp-report/")):
        return wire.dumps({"csp-report": {"document-uri": "https://a.example/", "violated-directive": "img-src", "blocked-uri": "https://b.example/x"}}), "application/csp-report"
    if route.endswith(("/attachments/", "/minidump/")):
        return b'--b\r\nContent-Disposition: form-data; name="upload_file_minidump"; filename="../../a.dmp"\r\n\r\nMDMP\r\n--b--\r\n', "multipart/form-data; boundary=b"
    return wire.dumps({**TAKEN_OVER, "event_id": event["event_id"]}), "application/json"


class Climber:
    """One connection, made anew when the server has ended it, which it does in an orderly way."""

    def __init__(self, port):
        self.port, self.connection = port, wire.Connection(port)

    def ask(self, data):
        self.connection.send(data)
        answer = self.connection.read_answer()
        if answer.headers.get("connection") == "close":
            assert answer.status in (400, 414, 431) and self.connection.is_closed()
            self.connection = wire.Connection(self.port)
        return answer

    def is_sane(self):
        return self.ask(wire.request("GET", "/health", [])).status == 200


def climb(world, method, route, valid, headers):
    """Each parameter in turn; the others name what is there. Yields (parameter, value, answer)."""
    climber = Climber(world.project.port)
    body, content_type = body_of(route) if method in ("POST", "PATCH") else (b"", "")
    headers = [*headers.items(), *([("Content-Type", content_type)] if body else [])]
    segments = route.split("/")
    with climber.connection:
        for at, segment in enumerate(segments):
            if not segment.startswith("{"):
                continue
            for value in bad_values(valid[segment[1:-1]], segments[at - 1]):
                filled = [value if i == at else str(valid[s[1:-1]]) if s.startswith("{") else s for i, s in enumerate(segments)]
                answer = climber.ask(wire.request(method, "/".join(filled), headers, body))
                assert climber.is_sane(), (route, segment, value[:80])
                yield segment[1:-1], value, answer
    climber.connection.socket.close()


def check(world, method, route, valid, headers):
    for name, value, answer in climb(world, method, route, valid, headers):
        what = f"{method} {route}, {name} = {value[:80]!r}: {answer.status} {answer.body[:200]}"
        assert 400 <= answer.status < 500 or (is_free(route, name) and 200 <= answer.status < 300), what
        assert len(answer.body) < 1000 and b"root:" not in answer.body and b"climbed over" not in answer.body, what


@pytest.fixture(scope="module", autouse=True)
def untouched(world):
    """Around all of them."""
    before, files = world.state(), world.files()
    yield
    assert world.state() == before
    after = world.files()
    gone = {path for path in files - after if not path.startswith("data/spool/")}
    odd = {path for path in after - files if not OURS.fullmatch(path.removeprefix("data/"))}
    assert not gone and not odd, (gone, odd)
    assert all(re.fullmatch(r"[a-z0-9_-]{1,50}", slug) for slug, in world.picket.sql("SELECT slug FROM monitors WHERE project_id = %s", world.project.id))


def test_the_tables_were_read(world):
    """And what is said to be there is there: each of these is found by its right address."""
    assert len(API) >= 30 and len(INGEST) >= 14 and ("DELETE", "/api/projects/{project}/attachments/{attachment}") in API
    for method, route in API:
        if method == "GET" and "{letter}" not in route and "{erasure}" not in route:
            assert world.picket.api.get(re.sub(r"\{(\w+)\}", lambda name: str(world.valid[name.group(1)]), route)).status_code == 200, route


@pytest.mark.parametrize("method, route", API, ids=[f"{method} {route}" for method, route in API])
def test_api(world, method, route):
    check(world, method, route, world.valid, world.picket.api.headers)


@pytest.mark.parametrize("method, route", INGEST, ids=[f"{method} {route}" for method, route in INGEST])
def test_ingest(world, method, route):
    check(world, method, route, world.ingest, {} if "{key}" in route else world.project.auth)
