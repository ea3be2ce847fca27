"""The audit log (issue 7, "Audit log"): every route that changes something leaves a note in the same transaction, or stands here with a reason why not."""
import json
import re
import uuid

import psycopg
import pytest

import described
import server
import wire
from client import Api, accepted
from contract import CURSOR_PAGE, check, check_error, check_page
from test_dead_letters import refusing
from test_monitors import HOURLY, check_in, send
from test_people import PASSWORD, email
from waiting import until

NOTE = {"id": "int", "at": "datetime", "user_id": "int|null", "user_email": "string|null", "token_id": "int|null", "address": "string|null", "action": "string",
        "project_id": "int|null", "target": "string|null", "details": "record"}

CHANGING = [(method, path) for method, path, _, _ in described.routes_of("api", "api.c") if method != "GET"]

HUSH = {"url": "https://a.example", "secret": "hush hush"}
EXCEPT = {("POST", "/auth/logout"): "ends a session by its own cookie, whoever sends it",
          ("PATCH", "/api/projects/{project}/issues/{issue}"): "issue_transitions says who resolved or muted it",
          ("PATCH", "/api/projects/{project}/issues"): "the same, of each",
          ("POST", "/api/alert-channels/{channel}/test"): "changes nothing"}


@pytest.fixture(scope="module")
def one(cluster):
    picket = server.Picket(server.Directory(), DATABASE_URL=cluster.migrated_database(), CREATE_SUPERUSER=":".join(server.ADMIN), ALLOW_REGISTRATION="true",
                           TRUSTED_PROXIES="127.0.0.1")
    try:
        yield picket.start()
    finally:
        picket.end()


class World:
    """What there is to be changed, made as it is needed."""

    def __init__(self, picket):
        self.picket, self.project = picket, picket.new_project()
        self.api = picket.api
        self.api.headers["X-Forwarded-For"] = "10.9.8.7"
        self.path = self.project.path

    def made(self, path, **members):
        answer = self.api.post(path, json=members)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def user(self):
        name = email()
        self.picket.command("user", "add", name, "--password-stdin", stdin=PASSWORD + "\n")
        (id,), = self.picket.sql("SELECT id FROM users WHERE email = %s", name)
        return id, name

    def member(self):
        return self.made(self.path + "/members", user_id=self.user()[0])["user_id"]

    def key(self):
        return self.made(self.path + "/keys")["id"]

    def session(self):
        id, name = self.user()
        assert Api(self.picket.url).post("/auth/login", json={"email": name, "password": PASSWORD}).status_code == 200
        return self.picket.sql("SELECT max(id) FROM sessions")[0][0]

    def event(self, *items):
        event = wire.error_event()
        accepted(self.project.post(wire.envelope({"event_id": event["event_id"]}, wire.item("event", event), *items)))
        return self.project.find(event["event_id"])

    def attachment(self):
        self.event(wire.item("attachment", b"bytes", filename="a.txt"))
        return until(lambda: self.api.read(self.path + "/attachments")["items"], "no attachment")[0]["id"]

    def monitor(self):
        slug = "job-" + uuid.uuid4().hex[:8]
        send(self.project, check_in(slug, "ok", HOURLY))
        return until(lambda: [m["slug"] for m in self.api.read(self.path + "/monitors")["items"] if m["slug"] == slug], "no monitor")[0]

    def letter(self):
        word = "refused" + uuid.uuid4().hex
        with refusing(self.picket, word):
            self.project.send(wire.error_event(value=word))
            return until(lambda: self.picket.sql("SELECT max(id) FROM dead_letters WHERE status = 'dead'")[0][0], "no dead letter")

    def channel(self):
        return self.made("/api/alert-channels", name=uuid.uuid4().hex, channel_type="webhook", config=HUSH)["id"]

    def rule(self):
        self.picket.sql("DELETE FROM alert_rules")
        return self.made(self.path + "/alert-rules", name="n", alert_type="new_issue")["id"]

    def mine(self):
        """Somebody who is logged in."""
        id, name = self.user()
        answer = Api(self.picket.url).post("/auth/login", json={"email": name, "password": PASSWORD})
        return Api(self.picket.url, cookie=answer.headers["Set-Cookie"].split("=", 1)[1].split(";")[0])


def body(**members):
    return {"json": members}


# A route: what is asked for (of a path, or of what goes into its parameters), with what, as what, and the note's action.
TABLE = {
    ("POST", "/auth/register"): lambda w: ("/auth/register", body(email=email(), password=PASSWORD), "user.register"),
    ("POST", "/auth/login"): lambda w: ("/auth/login", body(email=w.user()[1], password=PASSWORD), "user.login"),
    ("POST", "/auth/accept-invitation"): lambda w: ("/auth/accept-invitation", body(token=w.made("/api/invitations")["token"], email=email(), password=PASSWORD),
                                                    "invitation.accept"),
    ("POST", "/auth/reset-password"): lambda w: ("/auth/reset-password", body(token=w.made(f"/api/users/{w.user()[0]}/password-reset")["token"], password=PASSWORD),
                                                 "user.reset_password"),
    ("POST", "/auth/change-password"): lambda w: ("/auth/change-password", body(current_password=PASSWORD, new_password=PASSWORD), "user.change_password", w.mine()),
    ("PATCH", "/api/users/{user}"): lambda w: (w.user()[0], body(role="viewer"), "user.change"),
    ("DELETE", "/api/users/{user}"): lambda w: (w.user()[0], {}, "user.delete"),
    ("POST", "/api/users/{user}/password-reset"): lambda w: (w.user()[0], {}, "user.reset_link"),
    ("POST", "/api/invitations"): lambda w: ("/api/invitations", body(), "invitation.create"),
    ("DELETE", "/api/invitations/{invitation}"): lambda w: (w.made("/api/invitations")["id"], {}, "invitation.delete"),
    ("DELETE", "/api/sessions"): lambda w: ("/api/sessions", {}, "session.end_others"),
    ("DELETE", "/api/sessions/{login}"): lambda w: (w.session(), {}, "session.end"),
    ("POST", "/api/projects"): lambda w: ("/api/projects", body(name=uuid.uuid4().hex), "project.create"),
    ("PATCH", "/api/projects/{project}"): lambda w: (w.project.id, body(retention_days=7), "project.change"),
    ("DELETE", "/api/projects/{project}"): lambda w: (w.picket.new_project().id, {}, "project.delete"),
    ("POST", "/api/projects/{project}/keys"): lambda w: (w.project.id, body(label="Browsers"), "key.create"),
    ("PATCH", "/api/projects/{project}/keys/{key}"): lambda w: ((w.project.id, w.key()), body(quotas={"error": {"minute": 7}}), "key.change"),
    ("DELETE", "/api/projects/{project}/keys/{key}"): lambda w: ((w.project.id, w.key()), {}, "key.delete"),
    ("POST", "/api/projects/{project}/keys/{key}/rotate"): lambda w: ((w.project.id, w.key()), {}, "key.rotate"),
    ("DELETE", "/api/projects/{project}/issues"): lambda w: (w.path + "/issues", body(ids=[w.event()["issue_id"]]), "issue.delete"),
    ("DELETE", "/api/projects/{project}/issues/{issue}"): lambda w: ((w.project.id, w.event()["issue_id"]), {}, "issue.delete"),
    ("POST", "/api/projects/{project}/erasures"): lambda w: (w.project.id, body(user="email:jane@example.com"), "erasure.create"),
    ("DELETE", "/api/projects/{project}/attachments/{attachment}"): lambda w: ((w.project.id, w.attachment()), {}, "attachment.delete"),
    ("DELETE", "/api/projects/{project}/monitors/{monitor}"): lambda w: ((w.project.id, w.monitor()), {}, "monitor.delete"),
    ("POST", "/api/projects/{project}/alert-rules"): lambda w: (w.project.id, body(name="n", alert_type="regression"), "rule.create"),
    ("PATCH", "/api/projects/{project}/alert-rules/{rule}"): lambda w: ((w.project.id, w.rule()), body(is_enabled=False), "rule.change"),
    ("DELETE", "/api/projects/{project}/alert-rules/{rule}"): lambda w: ((w.project.id, w.rule()), {}, "rule.delete"),
    ("POST", "/api/alert-channels"): lambda w: ("/api/alert-channels", body(name=uuid.uuid4().hex, channel_type="webhook", config=HUSH),
                                                "channel.create"),
    ("PATCH", "/api/alert-channels/{channel}"): lambda w: (w.channel(), body(config={"url": "https://b.example", "secret": "hush hush"}), "channel.change"),
    ("DELETE", "/api/alert-channels/{channel}"): lambda w: (w.channel(), {}, "channel.delete"),
    ("POST", "/api/tokens"): lambda w: ("/api/tokens", body(description="for scripts"), "token.create"),
    ("POST", "/api/projects/{project}/members"): lambda w: (w.project.id, body(user_id=w.user()[0]), "member.add"),
    ("DELETE", "/api/projects/{project}/members/{user}"): lambda w: ((w.project.id, w.member()), {}, "member.remove"),
    ("DELETE", "/api/tokens/{token}"): lambda w: (w.made("/api/tokens")["id"], {}, "token.delete"),
    ("DELETE", "/api/dead-letters/{letter}"): lambda w: (w.letter(), {}, "dead_letter.drop"),
    ("POST", "/api/dead-letters/{letter}/retry"): lambda w: (w.letter(), {}, "dead_letter.retry"),
    ("PATCH", "/api/installation"): lambda w: ("/api/installation", body(quotas={"error": {"minute": 1000}}), "installation.change"),
}


@pytest.fixture(scope="module")
def world(one):
    return World(one)


def test_every_route_that_changes_something_is_here():
    assert len(CHANGING) >= 34
    assert set(CHANGING) == set(TABLE) | set(EXCEPT) and not set(TABLE) & set(EXCEPT)


def filled(route, what):
    if isinstance(what, str) and what.startswith("/"):
        return what
    values = iter(what if isinstance(what, tuple) else (what,))
    return re.sub(r"\{\w+\}", lambda _: str(next(values)), route)


def notes(picket, since=0):
    return picket.sql("SELECT * FROM (SELECT id, action, user_email, token_id, host(address), project_id, target, details FROM audit_log WHERE id > %s) n ORDER BY id", since)


@pytest.mark.parametrize("method, route", TABLE, ids=[f"{method} {route}" for method, route in TABLE])
def test_it_leaves_a_note(world, method, route):
    """One, with who and from where; and none when it is refused."""
    what, more, action, *who = TABLE[method, route](world)
    by = who[0] if who else world.api
    public = route.startswith("/auth/") and not who
    path = filled(route, what)
    before = max([0, *(note[0] for note in notes(world.picket))])
    by.headers["X-Forwarded-For"] = "10.9.8.7"
    answer = by.request(method, path, **more)
    assert answer.status_code < 300, answer.text
    note, = notes(world.picket, before)
    _, was, who_email, token, place, project, target, details = note
    assert was == action and place == "10.9.8.7"
    assert who_email and (token is None) == (public or bool(who))
    assert ("{project}" not in route) or project == int(path.split("/")[3])
    assert target or action in ("session.end_others", "installation.change")
    assert not [secret for secret in (PASSWORD, "hush hush", "argon2", "jane@", answer.json().get("token") if answer.content else None) if secret and secret in json.dumps(details)]
    before = note[0]
    assert Api(world.picket.url).request(method, path, **({"json": {}} if more else {})).status_code >= 400
    assert notes(world.picket, before) == []


def test_what_fails_leaves_none(world):
    """Change and note are one transaction, and a refusal changes nothing."""
    before = max(note[0] for note in notes(world.picket))
    for method, path, more in (("DELETE", "/api/projects/99999999", {}), ("DELETE", "/api/alert-channels/99999999", {}), ("PATCH", "/api/users/99999999", body(role="viewer")),
                               ("DELETE", f"{world.path}/monitors/none", {}), ("POST", "/api/projects", body(name=world.project.row()["name"])),
                               ("POST", "/auth/login", body(email=server.ADMIN[0], password="not it at all"))):
        assert world.api.request(method, path, **more).status_code >= 400
    assert notes(world.picket, before) == []


def test_what_changes_nothing_leaves_none(world):
    """A PATCH that names nothing."""
    key = world.api.read(world.path + "/keys")["items"][0]["id"]
    paths = [world.path, f"{world.path}/keys/{key}", f"{world.path}/alert-rules/{world.rule()}", f"/api/alert-channels/{world.channel()}", f"/api/users/{world.user()[0]}",
             "/api/installation"]
    before = max(note[0] for note in notes(world.picket))
    for path in paths:
        assert world.api.patch(path, json={}).status_code == 200, path
    assert notes(world.picket, before) == []


def test_without_its_note_nothing_is_changed(one):
    """The database takes no note: the project stays."""
    project = one.new_project()
    one.sql("ALTER TABLE audit_log ADD CONSTRAINT no_deletion CHECK (action <> 'project.delete') NOT VALID")
    try:
        with described.failing():
            assert one.api.delete(project.path).status_code >= 500
    finally:
        one.sql("ALTER TABLE audit_log DROP CONSTRAINT no_deletion")
    assert project.row()["id"] == project.id
    assert one.api.delete(project.path).status_code == 204


def test_reading(world):
    """Newest first, by a cursor, filtered."""
    api, other = world.api, world.picket.new_project()
    for _ in range(5):
        api.patch(other.path, json={"retention_days": 9})
    seen, cursor = [], None
    while cursor is not False:
        page = check_page(CURSOR_PAGE, NOTE, api.read("/api/audit-log", params={"project": other.id, "limit": 2, **({"cursor": cursor} if cursor else {})}))
        seen += page["items"]
        cursor = page.get("next_cursor", False)
    assert [note["action"] for note in seen] == ["project.change"] * 5 + ["project.create"]
    assert [note["id"] for note in seen] == sorted((note["id"] for note in seen), reverse=True)
    assert seen[0]["details"] == {"retention_days": 9} and seen[0]["target"] == str(other.id)
    me = api.read("/auth/me")
    assert {note["user_id"] for note in seen} == {me["id"]} and {note["user_email"] for note in seen} == {me["email"]}
    assert [note["action"] for note in api.read("/api/audit-log", params={"action": "project.create", "project": other.id})["items"]] == ["project.create"]
    assert api.read("/api/audit-log", params={"user": 99999999}) == {"items": [], "has_more": False}
    everything = check_page(CURSOR_PAGE, NOTE, api.read("/api/audit-log"))
    assert len(everything["items"]) == 20 and everything["has_more"]
    for query in ("user=x", "user=0", "project=", "project=-1", "action=", "action=" + "x" * 65, "action=%00", "cursor=x", "limit=x"):
        check_error(api.get("/api/audit-log?" + query), 400)
    check_error(world.mine().get("/api/audit-log"), 403)


def test_commands(one):
    """Are of nobody known."""
    before = max(note[0] for note in notes(one))
    name = email()
    one.command("user", "add", name, "--password-stdin", stdin=PASSWORD + "\n")
    one.command("user", "passwd", name)
    one.command("user", "reset-link", name)
    token = json.loads(one.command("token", "add", "--user", name, "--json"))[0]["id"]
    one.command("token", "revoke", str(token))
    one.command("project", "add", "By command " + name)
    project = one.sql("SELECT max(id) FROM projects")[0][0]
    one.command("project", "rotate-key", str(project))
    one.command("quota", "set", "--project", str(project), "error", "--minute", "5")
    found = notes(one, before)
    assert [note[1] for note in found] == ["user.create", "user.change_password", "user.reset_link", "token.create", "token.delete", "project.create", "key.rotate",
                                         "project.quota"]
    assert all(note[2:5] == (None, None, None) for note in found)
    assert check(NOTE, one.api.read("/api/audit-log?limit=1")["items"][0])["user_id"] is None


def test_old_notes_go(make_picket):
    """AUDIT_DAYS; at the start, and then hourly."""
    picket = make_picket(AUDIT_DAYS="2").start()
    picket.stop()
    with psycopg.connect(picket.conninfo(), autocommit=True) as connection:
        connection.execute("INSERT INTO audit_log (at, action) VALUES (now() - interval '3 days', 'test.old'), (now() - interval '1 day', 'test.young')")
        connection.execute("INSERT INTO user_links (hash, kind, role, expires_at) VALUES ('old', 'invitation', 'member', now() - interval '1 day')")
    picket.start()
    until(lambda: picket.sql("SELECT action FROM audit_log WHERE action LIKE 'test.%%'") == [("test.young",)], "the old one stays")
    assert picket.sql("SELECT count(*) FROM user_links") == [(0,)]
