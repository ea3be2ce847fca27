"""Users, invitations, new passwords and sessions (issue 7, "Users"). What must hold when two ask at once is tested by holding both at the row that they need."""
import concurrent.futures
import contextlib
import datetime
import hashlib
import os
import re
import secrets
import time

import psycopg
import pytest

import server
from client import Api
from contract import CURSOR_PAGE, USER, check, check_error, check_page
from waiting import until

PERSON = {**USER, "role": "string", "is_active": "bool", "all_projects": "bool", "project_ids": "ints", "created_at": "datetime", "last_login_at": "datetime|null"}
INVITATION = {"id": "int", "email": "string|null", "role": "string", "project_ids": "ints|null", "created_by": "int|null", "created_by_email": "string|null",
              "created_at": "datetime", "expires_at": "datetime"}
INVITED = {**INVITATION, "token": "string", "url": "string"}
RESET = {"user_id": "int", "email": "email", "token": "string", "url": "string", "expires_at": "datetime"}
SESSION = {"id": "int", "user_id": "int", "created_at": "datetime", "last_seen_at": "datetime", "expires_at": "datetime", "address": "string|null",
           "user_agent": "string|null", "is_current": "bool"}
PASSWORD = "a password of mine"
COOKIE = re.compile(r"rustrak_session=([A-Za-z0-9_-]{43}); HttpOnly; SameSite=Lax; Path=/")


@pytest.fixture(scope="module")
def one(cluster):
    """A Picket of this file's own, behind a proxy that it trusts: every test comes from addresses of its own, and their throttles are apart."""
    picket = server.Picket(server.Directory(), DATABASE_URL=cluster.migrated_database(), CREATE_SUPERUSER=":".join(server.ADMIN), TRUSTED_PROXIES="127.0.0.1",
                           DASHBOARD_URL="http://dashboard.test:3000/errors/")
    try:
        yield picket.start()
    finally:
        picket.end()


def address():
    return "10." + ".".join(str(byte) for byte in os.urandom(3))


def email():
    return f"u{secrets.token_hex(6)}@example.com"


@pytest.fixture
def nobody(one):
    api = Api(one.url)
    api.headers["X-Forwarded-For"] = address()
    return api


class Person(Api):
    """Somebody with a role, logged in."""

    def __init__(self, picket, role, email):
        super().__init__(picket.url)
        self.email, self.headers["X-Forwarded-For"] = email, address()
        self.log_in()
        self.row = next(user for user in picket.api.read("/api/users?limit=100")["items"] if user["email"] == email)
        self.id = self.row["id"]
        assert self.row["role"] == role

    def log_in(self, password=PASSWORD):
        answer = self.post("/auth/login", json={"email": self.email, "password": password})
        assert answer.status_code == 200, answer.text
        self.take(answer)

    def take(self, answer):
        self.headers["Cookie"] = "rustrak_session=" + COOKIE.fullmatch(answer.headers["Set-Cookie"]).group(1)

    def again(self):
        """The same person at another place."""
        other = Api(self.url)
        other.headers["X-Forwarded-For"] = self.headers["X-Forwarded-For"]
        answer = other.post("/auth/login", json={"email": self.email, "password": PASSWORD})
        other.headers["Cookie"] = "rustrak_session=" + COOKIE.fullmatch(answer.headers["Set-Cookie"]).group(1)
        return other


@pytest.fixture
def person(one):
    def make(role="member"):
        name = email()
        one.command("user", "add", name, "--password-stdin", stdin=PASSWORD + "\n")
        one.sql("UPDATE users SET role = %s WHERE email = %s", role, name)
        return Person(one, role, name)
    return make


@pytest.fixture
def admin(person):
    return person("admin")


@pytest.fixture
def alone(one):
    """The owner, of whom there is one."""
    one.sql("DELETE FROM users WHERE role = 'owner' AND email <> %s", server.ADMIN[0])
    (id,), = one.sql("SELECT id FROM users WHERE role = 'owner' AND is_active")
    return id


@contextlib.contextmanager
def held(picket, query, *arguments, waiting):
    """Runs its body while rows are locked; on leaving, lets go when so many statements wait for them."""
    with psycopg.connect(picket.conninfo()) as connection:
        connection.execute(query, arguments)
        yield
        until(lambda: picket.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")[0][0] >= waiting,
              "nobody waits for the rows")


def both(calls):
    """Starts them side by side; a function that gives their answers."""
    pool = concurrent.futures.ThreadPoolExecutor(len(calls))
    futures = [pool.submit(call) for call in calls]
    pool.shutdown(wait=False)
    return lambda: [future.result(60) for future in futures]


# ---- users

def test_users_are_listed(one, admin, person):
    """By a cursor that stays where it is while people come."""
    first = [person() for _ in range(3)]
    seen, cursor = [], None
    while True:
        page = check_page(CURSOR_PAGE, PERSON, admin.read("/api/users", params={"limit": 2, **({"cursor": cursor} if cursor else {})}))
        assert len(page["items"]) <= 2
        seen += [user["id"] for user in page["items"]]
        if len(seen) == 2:
            one.command("user", "add", email(), "--password-stdin", stdin=PASSWORD + "\n")
        if not page["has_more"]:
            break
        cursor = page["next_cursor"]
    assert seen == [id for id, in one.sql("SELECT id FROM users ORDER BY id")]
    shown = check(PERSON, admin.read(f"/api/users/{first[0].id}"))
    assert (shown["email"], shown["role"], shown["is_admin"], shown["is_active"], shown["all_projects"], shown["project_ids"]) == (first[0].email, "member", False, True, True, [])
    assert shown["last_login_at"]
    for cursor in ("nonsense", "%00", "e30"):
        check_error(admin.get("/api/users?cursor=" + cursor), 400)


@pytest.mark.parametrize("role, asks, becomes, status", [
    ("member", "owner", "owner", 200), ("member", "owner", "admin", 200), ("admin", "owner", "viewer", 200), ("owner", "owner", "member", 200),
    ("member", "admin", "admin", 200), ("member", "admin", "viewer", 200), ("admin", "admin", "member", 200),
    ("member", "admin", "owner", 403), ("admin", "admin", "owner", 403), ("owner", "admin", "member", 403), ("owner", "admin", "owner", 403),
    ("member", "member", "admin", 403), ("member", "viewer", "viewer", 403), ("member", "owner", "king", 400), ("member", "owner", 7, 400)])
def test_roles(one, person, role, asks, becomes, status):
    """Only owners decide about owners; who is no administrator decides about nobody."""
    who, by = person(role), person(asks)
    answer = by.patch(f"/api/users/{who.id}", json={"role": becomes})
    if status == 200:
        assert answer.status_code == 200, answer.text
        assert check(PERSON, answer.json())["role"] == becomes
        assert who.read("/auth/me")["is_admin"] == (becomes in ("owner", "admin"))
    else:
        check_error(answer, status)
        assert one.sql("SELECT role FROM users WHERE id = %s", who.id) == [(role,)]


def test_nobody_raises_themselves(one, admin, person):
    check_error(admin.patch(f"/api/users/{admin.id}", json={"role": "owner"}), 403)
    for role in ("member", "viewer"):
        me = person(role)
        check_error(me.patch(f"/api/users/{me.id}", json={"role": "admin"}), 403)
    assert one.sql("SELECT count(*) FROM users WHERE id = %s AND role = 'admin'", admin.id) == [(1,)]


@pytest.mark.parametrize("change", [{"is_active": False}, {"all_projects": False}, None])
def test_administrators_leave_owners_alone(one, admin, person, change):
    owner = person("owner")
    answer = admin.patch(f"/api/users/{owner.id}", json=change) if change else admin.delete(f"/api/users/{owner.id}")
    check_error(answer, 403)
    assert owner.get("/auth/me").status_code == 200


def test_last_owner_stays(one, alone):
    for change in ({"role": "admin"}, {"is_active": False}, {"role": "viewer", "is_active": True}):
        check_error(one.api.patch(f"/api/users/{alone}", json=change), 409, "Conflict")
    check_error(one.api.delete(f"/api/users/{alone}"), 409, "Conflict")
    assert one.sql("SELECT role, is_active FROM users WHERE id = %s", alone) == [("owner", True)]
    assert one.api.patch(f"/api/users/{alone}", json={"role": "owner", "is_active": True, "all_projects": True}).status_code == 200


def test_inactive_owner_does_not_count(one, alone, person):
    other = person("owner")
    assert one.api.patch(f"/api/users/{other.id}", json={"is_active": False}).status_code == 200
    check_error(one.api.patch(f"/api/users/{alone}", json={"role": "member"}), 409)


CHANGES = {"demoted": lambda by, id: by.patch(f"/api/users/{id}", json={"role": "admin"}), "deactivated": lambda by, id: by.patch(f"/api/users/{id}", json={"is_active": False}),
           "deleted": lambda by, id: by.delete(f"/api/users/{id}")}


@pytest.mark.parametrize("change", CHANGES)
def test_two_last_owners_at_once(one, alone, person, change):
    """Two owners who each take the other away at the same time: one stays."""
    a, b = person("owner"), person("owner")
    one.sql("UPDATE users SET role = 'member' WHERE id = %s", alone)
    try:
        with held(one, "SELECT FROM users WHERE id IN (%s, %s) FOR UPDATE", a.id, b.id, waiting=2):
            answers = both([lambda: CHANGES[change](a, b.id), lambda: CHANGES[change](b, a.id)])
        statuses = sorted(answer.status_code for answer in answers())
        assert statuses[0] in (200, 204) and statuses[1] in (403, 409), statuses
        assert one.sql("SELECT count(*) FROM users WHERE role = 'owner' AND is_active") == [(1,)]
    finally:
        one.sql("UPDATE users SET role = 'owner' WHERE id = %s", alone)


def test_two_owners_step_down_at_once(one, alone, person):
    """The same of themselves: of them both still are administrators when they are asked."""
    a, b = person("owner"), person("owner")
    one.sql("UPDATE users SET role = 'member' WHERE id = %s", alone)
    try:
        with held(one, "SELECT FROM users WHERE id IN (%s, %s) FOR UPDATE", a.id, b.id, waiting=2):
            answers = both([lambda: CHANGES["demoted"](a, a.id), lambda: CHANGES["demoted"](b, b.id)])
        assert sorted(answer.status_code for answer in answers()) == [200, 409]
        assert one.sql("SELECT count(*) FROM users WHERE role = 'owner' AND is_active") == [(1,)]
    finally:
        one.sql("UPDATE users SET role = 'owner' WHERE id = %s", alone)


def test_deactivation(one, admin, person):
    """Ends every session at once, also when the user is active again; tokens sleep."""
    who = person()
    token = Api(one.url, token=who.post("/api/tokens", json={}).json()["token"])
    assert check(PERSON, admin.patch(f"/api/users/{who.id}", json={"is_active": False}).json())["is_active"] is False
    check_error(who.get("/auth/me"), 401)
    check_error(token.get("/auth/me"), 401)
    assert one.sql("SELECT count(*) FROM sessions WHERE user_id = %s", who.id) == [(0,)]
    check_error(who.post("/auth/login", json={"email": who.email, "password": PASSWORD}), 401)
    assert admin.patch(f"/api/users/{who.id}", json={"is_active": True}).status_code == 200
    check_error(who.get("/auth/me"), 401)
    assert token.get("/auth/me").status_code == 200
    who.log_in()


def test_deletion(one, admin, person):
    """What they did is told further; what they had goes."""
    who = person()
    who.post("/api/tokens", json={})
    assert admin.delete(f"/api/users/{who.id}").status_code == 204
    check_error(who.get("/auth/me"), 401)
    check_error(admin.get(f"/api/users/{who.id}"), 404)
    check_error(admin.delete(f"/api/users/{who.id}"), 404)
    assert [note["action"] for note in admin.read("/api/audit-log", params={"user": who.id})["items"]] == ["token.create", "user.login"]


def test_no_such_user(admin):
    for id in ("99999999", "0", "-1", "x", "2147483648", "99999999999999999999"):
        check_error(admin.get(f"/api/users/{id}"), 404)
        check_error(admin.patch(f"/api/users/{id}", json={"is_active": True}), 404)
        check_error(admin.post(f"/api/users/{id}/password-reset"), 404)


# ---- invitations

def invite(by, **members):
    answer = by.post("/api/invitations", json=members)
    assert answer.status_code == 201, answer.text
    return check(INVITED, answer.json())


def accept(api, token, **members):
    return api.post("/auth/accept-invitation", json={"token": token, "password": PASSWORD, **members})


def test_invitation(one, admin, nobody):
    """The link is shown once and stored as its hash; who has it becomes what it says, and is logged in."""
    projects = sorted(one.new_project().id for _ in range(2))
    name = email()
    made = invite(admin, email=name, role="viewer", project_ids=projects)
    assert made["role"] == "viewer" and made["project_ids"] == projects and made["email"] == name and made["created_by"] == admin.id
    assert made["url"] == f"http://dashboard.test:3000/errors/accept-invitation#token={made['token']}" and len(made["token"]) == 43
    days = datetime.datetime.fromisoformat(made["expires_at"].replace("Z", "+00:00")) - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(days=6, hours=23) < days < datetime.timedelta(days=7, hours=1)
    assert one.sql("SELECT hash FROM user_links WHERE id = %s", made["id"]) == [(hashlib.sha256(made["token"].encode()).digest(),)]
    listed = next(row for row in check_page(CURSOR_PAGE, INVITATION, admin.read("/api/invitations?limit=100"))["items"] if row["id"] == made["id"])
    assert "token" not in listed and "url" not in listed and listed["created_by_email"] == admin.email
    answer = accept(nobody, made["token"])
    assert answer.status_code == 201 and check(USER, answer.json()["user"])["email"] == name
    mine = Api(one.url, cookie=COOKIE.fullmatch(answer.headers["Set-Cookie"]).group(1))
    user = admin.read(f"/api/users/{mine.read('/auth/me')['id']}")
    assert (user["role"], user["all_projects"], user["project_ids"]) == ("viewer", False, projects) and user["last_login_at"]
    assert made["id"] not in [row["id"] for row in admin.read("/api/invitations?limit=100")["items"]]
    check_error(accept(nobody, made["token"]), 404)
    assert nobody.post("/auth/login", json={"email": name, "password": PASSWORD}).status_code == 200


def test_invitation_of_whoever_has_it(one, admin, nobody):
    """Without an address they say their own; without projects they see all; an address of somebody who is there does not use it up."""
    made = invite(admin)
    assert made["role"] == "member" and made["project_ids"] is None and made["email"] is None
    check_error(accept(nobody, made["token"]), 400)
    check_error(accept(nobody, made["token"], email="no address"), 400)
    check_error(accept(nobody, made["token"], email=admin.email), 409)
    name = email()
    answer = accept(nobody, made["token"], email=name)
    assert answer.status_code == 201 and answer.json()["user"]["email"] == name
    assert one.sql("SELECT role, all_projects FROM users WHERE email = %s", name) == [("member", True)]


def test_invitation_keeps_its_address(one, admin, nobody):
    """Who gets a link that was made for another cannot make it theirs."""
    name = email()
    answer = accept(nobody, invite(admin, email=name)["token"], email=email())
    assert answer.status_code == 201 and answer.json()["user"]["email"] == name


def test_invitation_is_taken_once(one, admin):
    """Two at once make one user."""
    made = invite(admin)
    people = [Api(one.url) for _ in range(2)]
    for who in people:
        who.headers["X-Forwarded-For"] = address()
    names = [email(), email()]
    with held(one, "SELECT FROM user_links WHERE id = %s FOR UPDATE", made["id"], waiting=2):
        answers = both([lambda who=who, name=name: accept(who, made["token"], email=name) for who, name in zip(people, names)])
    assert sorted(answer.status_code for answer in answers()) == [201, 404]
    assert one.sql("SELECT count(*) FROM users WHERE email = ANY (%s)", names) == [(1,)]


def test_links_that_are_none(one, admin, person, nobody):
    """Used, expired, taken back, of the other kind, of nobody: one answer."""
    used, old, gone = invite(admin), invite(admin), invite(admin)
    assert accept(nobody, used["token"], email=email()).status_code == 201
    one.sql("UPDATE user_links SET expires_at = now() WHERE id = %s", old["id"])
    assert admin.delete(f"/api/invitations/{gone['id']}").status_code == 204
    check_error(admin.delete(f"/api/invitations/{gone['id']}"), 404)
    check_error(admin.delete(f"/api/invitations/{old['id']}"), 404)
    reset = admin.post(f"/api/users/{person().id}/password-reset").json()
    tokens = [used["token"], old["token"], gone["token"], reset["token"], secrets.token_urlsafe(32), "short", "x" * 5000]
    texts = {check_error(accept(nobody, token, email=email()), 404)["error"] for token in tokens}
    texts |= {check_error(nobody.post("/auth/reset-password", json={"token": token, "password": PASSWORD}), 404)["error"] for token in (used["token"], secrets.token_urlsafe(32))}
    assert len(texts) == 1
    for body in ({}, {"token": None}, {"token": 7, "password": PASSWORD}, {"token": "x"}, {"token": "x", "password": "short"}, {"password": PASSWORD},
                 {"token": "x", "password": "y" * 2000}):
        check_error(nobody.post("/auth/accept-invitation", json=body), 400)
        check_error(nobody.post("/auth/reset-password", json=body), 400)


def test_invitations_are_checked(one, admin, person):
    now = datetime.datetime.now(datetime.timezone.utc)
    for members in ({"email": "nonsense"}, {"role": "king"}, {"project_ids": "all"}, {"project_ids": ["1"]}, {"project_ids": [0]}, {"expires_at": "soon"},
                    {"expires_at": (now - datetime.timedelta(hours=1)).isoformat()}, {"expires_at": (now + datetime.timedelta(days=31)).isoformat()}):
        check_error(admin.post("/api/invitations", json=members), 400)
    check_error(admin.post("/api/invitations", json={"project_ids": [99999999]}), 404)
    check_error(admin.post("/api/invitations", json={"email": server.ADMIN[0]}), 409)
    check_error(admin.post("/api/invitations", json={"role": "owner"}), 403)
    check_error(person().post("/api/invitations", json={}), 403)
    assert invite(one.api, role="owner")["role"] == "owner"
    made = invite(admin, expires_at=(now + datetime.timedelta(days=29)).isoformat(), project_ids=[])
    assert made["project_ids"] == []


@pytest.mark.parametrize("change", [{"is_active": False}, {"role": "member"}, None])
def test_links_go_with_the_right_to_give_them(one, person, nobody, change):
    """Who was an administrator has left no door open."""
    admin, who = person("admin"), person()
    invitation, reset = invite(admin), admin.post(f"/api/users/{who.id}/password-reset").json()
    answer = one.api.patch(f"/api/users/{admin.id}", json=change) if change else one.api.delete(f"/api/users/{admin.id}")
    assert answer.status_code in (200, 204)
    check_error(accept(nobody, invitation["token"], email=email()), 404)
    check_error(nobody.post("/auth/reset-password", json={"token": reset["token"], "password": "another password"}), 404)


# ---- new passwords

def reset(api, token, password="another password"):
    return api.post("/auth/reset-password", json={"token": token, "password": password})


def test_reset(one, admin, person, nobody):
    """A link of a day; setting the password ends all sessions and takes the link; a newer link replaces the older."""
    who = person()
    older = check(RESET, admin.post(f"/api/users/{who.id}/password-reset").json())
    made = admin.post(f"/api/users/{who.id}/password-reset")
    assert made.status_code == 201
    newer = check(RESET, made.json())
    assert newer["user_id"] == who.id and newer["email"] == who.email
    assert newer["url"] == f"http://dashboard.test:3000/errors/reset-password#token={newer['token']}"
    left = datetime.datetime.fromisoformat(newer["expires_at"].replace("Z", "+00:00")) - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(hours=23) < left < datetime.timedelta(hours=25)
    check_error(reset(nobody, older["token"]), 404)
    answer = reset(nobody, newer["token"])
    assert answer.status_code == 204 and "Set-Cookie" not in answer.headers
    check_error(who.get("/auth/me"), 401)
    check_error(reset(nobody, newer["token"]), 404)
    check_error(nobody.post("/auth/login", json={"email": who.email, "password": PASSWORD}), 401)
    who.log_in("another password")


def test_reset_is_taken_once(one, admin, person):
    who = person()
    token = admin.post(f"/api/users/{who.id}/password-reset").json()["token"]
    people = [Api(one.url) for _ in range(2)]
    for api in people:
        api.headers["X-Forwarded-For"] = address()
    with held(one, "SELECT FROM user_links WHERE user_id = %s FOR UPDATE", who.id, waiting=2):
        answers = both([lambda api=api, password=password: reset(api, token, password) for api, password in zip(people, ("the first one", "the second one"))])
    assert sorted(answer.status_code for answer in answers()) == [204, 404]


def test_who_may_reset(one, admin, person, nobody):
    owner, idle = person("owner"), person()
    check_error(admin.post(f"/api/users/{owner.id}/password-reset"), 403)
    check_error(admin.post(f"/api/users/{admin.id}/password-reset"), 400)
    check_error(person().post(f"/api/users/{idle.id}/password-reset"), 403)
    assert one.api.post(f"/api/users/{owner.id}/password-reset").status_code == 201
    token = admin.post(f"/api/users/{idle.id}/password-reset").json()["token"]
    one.sql("UPDATE users SET is_active = false WHERE id = %s", idle.id)
    check_error(admin.post(f"/api/users/{idle.id}/password-reset"), 409)
    check_error(reset(nobody, token), 404)


def test_reset_by_command(one, nobody):
    """For who has locked themselves out."""
    name = email()
    one.command("user", "add", name, "--admin", "--password-stdin", stdin=PASSWORD + "\n")
    url = one.command("user", "reset-link", name).strip()
    assert url.startswith("http://dashboard.test:3000/errors/reset-password#token=")
    assert one.run("user", "reset-link", name, DASHBOARD_URL="").stdout.startswith(f"http://127.0.0.1:{one.port}/reset-password#token=")
    url = one.command("user", "reset-link", name).strip()
    assert reset(nobody, url.partition("#token=")[2]).status_code == 204
    assert nobody.post("/auth/login", json={"email": name, "password": "another password"}).status_code == 200
    assert "there is no user" in one.run("user", "reset-link", "nobody@example.com").stderr


def test_change_password(one, person):
    """The other sessions end, this one goes on; tokens do, too."""
    who = person()
    other, token = who.again(), Api(one.url, token=who.post("/api/tokens", json={}).json()["token"])
    body = {"current_password": PASSWORD, "new_password": "another password"}
    check_error(who.post("/auth/change-password", json={**body, "current_password": "not it at all"}), 400)
    for wrong in ({}, {**body, "new_password": "short"}, {**body, "new_password": None}, {"new_password": "another password"}, {**body, "current_password": 7}):
        check_error(who.post("/auth/change-password", json=wrong), 400)
    assert other.get("/auth/me").status_code == 200
    assert who.post("/auth/change-password", json=body).status_code == 204
    check_error(other.get("/auth/me"), 401)
    assert who.get("/auth/me").status_code == 200 and token.get("/auth/me").status_code == 200
    check_error(who.post("/auth/change-password", json=body), 400)
    who.log_in("another password")


def test_change_password_takes_links(one, admin, person, nobody):
    who = person()
    token = admin.post(f"/api/users/{who.id}/password-reset").json()["token"]
    assert who.post("/auth/change-password", json={"current_password": PASSWORD, "new_password": "another password"}).status_code == 204
    check_error(reset(nobody, token, "a third password"), 404)


# ---- throttles

def until_refused(ask, most=60):
    """How often before 429, which says when to come back."""
    for n in range(most):
        answer = ask(n)
        if answer.status_code == 429:
            check_error(answer, 429, "RateLimited")
            assert int(answer.headers["Retry-After"]) > 0
            return n
        assert answer.status_code in (400, 404, 409), answer.text
    raise AssertionError(f"{most} tries and no end")


@pytest.mark.parametrize("path", ["/auth/accept-invitation", "/auth/reset-password"])
def test_links_are_throttled(one, path):
    """By the link, whoever tries it, and by the address, whatever it tries. Three within two seconds count as one (contract §7.1)."""
    token = secrets.token_urlsafe(32)

    def guess(token):
        return Api(one.url).post(path, json={"token": token, "password": PASSWORD, "email": email()}, headers={"X-Forwarded-For": address()})

    assert until_refused(lambda n: guess(token)) >= 5
    assert guess(secrets.token_urlsafe(32)).status_code == 404
    place = address()
    assert until_refused(lambda n: Api(one.url).post(path, json={"token": secrets.token_urlsafe(32), "password": PASSWORD, "email": email()}, headers={"X-Forwarded-For": place}),
                         200) >= 20


def test_an_invitation_does_not_tell_who_is_there(one, admin, person):
    """Whoever has one that names nobody may try a few addresses that are taken, and not all; it stays good."""
    token, taken = admin.post("/api/invitations", json={}).json()["token"], person().email

    def take(email):
        return Api(one.url).post("/auth/accept-invitation", json={"token": token, "password": PASSWORD, "email": email}, headers={"X-Forwarded-For": address()})
    check_error(take(taken), 409)
    assert 4 <= until_refused(lambda n: take(taken)) <= 20
    assert one.sql("SELECT 1 FROM user_links WHERE hash = %s", hashlib.sha256(token.encode()).digest())


def test_registration_does_not_tell_who_is_there(make_picket):
    """One address of the network finds a few e-mail addresses taken, and then has to wait; others, and whom they belong to, do not."""
    picket = make_picket(ALLOW_REGISTRATION="true", TRUSTED_PROXIES="127.0.0.1", CREATE_SUPERUSER=":".join(server.ADMIN)).start()

    def register(email, where):
        return Api(picket.url).post("/auth/register", json={"email": email, "password": PASSWORD}, headers={"X-Forwarded-For": where})
    place = address()
    check_error(register(server.ADMIN[0], place), 400)
    assert 4 <= until_refused(lambda n: register(server.ADMIN[0], place)) <= 20
    check_error(register(email(), place), 429)
    assert register(email(), address()).status_code == 201
    assert Api(picket.url).post("/auth/login", json=dict(zip(("email", "password"), server.ADMIN))).status_code == 200


@pytest.mark.alone
def test_links_that_are_none_take_as_long(one, admin, person):
    """Neither the text nor the time tells a link that was from one that never was."""
    used = admin.post(f"/api/users/{person().id}/password-reset").json()["token"]
    one.sql("UPDATE user_links SET expires_at = now() WHERE hash = %s", hashlib.sha256(used.encode()).digest())
    was, never = [], []
    for times, token in ((was, used), (never, secrets.token_urlsafe(32))) * 4:
        began = time.monotonic()
        check_error(reset(Api(one.url), token), 404)
        times.append(time.monotonic() - began)
    assert min(was) < 2 * min(never) and min(never) < 2 * min(was) and min(was) > 0.005, (was, never)


def test_reset_while_it_is_taken_away(one, admin, person):
    """A user who is changed while they take their link: one after the other, and neither fails."""
    who = person()
    token = admin.post(f"/api/users/{who.id}/password-reset").json()["token"]
    with held(one, "SELECT FROM users WHERE id = %s FOR UPDATE", who.id, waiting=2):
        answers = both([lambda: reset(Api(one.url), token), lambda: admin.patch(f"/api/users/{who.id}", json={"role": "viewer"})])
    taken, changed = answers()
    assert taken.status_code in (204, 404) and changed.status_code == 200, (taken.text, changed.text)


def test_change_password_is_throttled(one, person):
    """With logins: a stolen session guesses no better."""
    who = person()
    assert until_refused(lambda n: who.post("/auth/change-password", json={"current_password": "not it at all", "new_password": PASSWORD})) >= 5
    check_error(who.post("/auth/login", json={"email": who.email, "password": PASSWORD}, headers={"X-Forwarded-For": address()}), 429)
    assert who.get("/auth/me").status_code == 200


# ---- sessions

def test_sessions(one, person):
    """Where and since when; ending one, and all others."""
    who = person()
    others = [who.again() for _ in range(2)]
    page = check_page(CURSOR_PAGE, SESSION, who.read("/api/sessions"))
    assert len(page["items"]) == 3 and [row["is_current"] for row in page["items"]] == [False, False, True]
    assert {row["address"] for row in page["items"]} == {who.headers["X-Forwarded-For"]} and {row["user_id"] for row in page["items"]} == {who.id}
    assert all(row["user_agent"].startswith("python-requests/") for row in page["items"])
    assert "rustrak_session" not in str(page)
    assert others[0].read("/api/sessions?limit=1")["has_more"] is True
    mine = next(row["id"] for row in others[0].read("/api/sessions")["items"] if row["is_current"])
    assert who.delete(f"/api/sessions/{mine}").status_code == 204
    check_error(others[0].get("/auth/me"), 401)
    check_error(who.delete(f"/api/sessions/{mine}"), 404)
    assert others[1].get("/auth/me").status_code == 200
    assert who.delete("/api/sessions").status_code == 204
    check_error(others[1].get("/auth/me"), 401)
    assert len(who.read("/api/sessions")["items"]) == 1


def test_sessions_of_others(one, admin, person):
    """Are administrators'."""
    who, curious = person(), person()
    theirs = admin.read("/api/sessions", params={"user": who.id})["items"]
    assert [row["user_id"] for row in theirs] == [who.id] and theirs[0]["is_current"] is False
    check_error(curious.get("/api/sessions", params={"user": who.id}), 403)
    check_error(curious.delete(f"/api/sessions/{theirs[0]['id']}"), 404)
    assert who.get("/auth/me").status_code == 200
    assert admin.delete(f"/api/sessions/{theirs[0]['id']}").status_code == 204
    check_error(who.get("/auth/me"), 401)
    for user in ("x", "", "0", "99999999999"):
        check_error(admin.get("/api/sessions", params={"user": user}), 400)
    for id in ("x", "99999999", "-1", "99999999999999999999"):
        check_error(admin.delete(f"/api/sessions/{id}"), 404)


def test_sessions_that_ended_are_not_shown(one, person):
    who = person()
    for change in ("expires_at = now() - interval '1 second'", "last_seen_at = now() - interval '400 days'"):
        who.again()
        one.sql(f"UPDATE sessions SET {change} WHERE id = (SELECT max(id) FROM sessions WHERE user_id = {who.id})")
    assert [row["is_current"] for row in who.read("/api/sessions")["items"]] == [True]


@pytest.mark.parametrize("agent, shown", [("x" * 2000, "x" * 256), (b"\xff\xfe", None), (b"a\xc3\xa9", "a\u00e9")], ids=["long", "no UTF-8", "UTF-8"])
def test_user_agents(one, person, agent, shown):
    who = person()
    who.headers["User-Agent"] = agent
    who.log_in()
    assert next(row["user_agent"] for row in who.read("/api/sessions")["items"] if row["is_current"]) == shown


def test_login_takes_no_session_over(one, person):
    """Session fixation: the cookie that comes with a login is not the one that it gives, be it made up or another's; and it opens nothing more."""
    who, other = person(), person()
    theirs = other.headers["Cookie"]
    for cookie in ("rustrak_session=" + "A" * 43, theirs):
        answer = who.post("/auth/login", json={"email": who.email, "password": PASSWORD}, headers={"Cookie": cookie})
        assert answer.status_code == 200
        given = "rustrak_session=" + COOKIE.fullmatch(answer.headers["Set-Cookie"]).group(1)
        assert given != cookie
        assert Api(one.url).read("/auth/me", headers={"Cookie": given})["email"] == who.email
    check_error(Api(one.url).get("/auth/me", headers={"Cookie": "rustrak_session=" + "A" * 43}), 401)
    assert other.read("/auth/me")["email"] == other.email


def test_a_used_session_lives_to_its_absolute_end(one, person):
    """Use moves the idle end and not the absolute one."""
    who = person()
    one.sql("UPDATE sessions SET last_seen_at = now() - interval '1 hour', expires_at = now() + interval '1 hour' WHERE user_id = %s", who.id)
    assert who.get("/auth/me").status_code == 200
    until(lambda: one.sql("SELECT 1 FROM sessions WHERE user_id = %s AND last_seen_at > now() - interval '1 minute'", who.id), "the use is not noted")
    assert one.sql("SELECT expires_at < now() + interval '61 minutes' FROM sessions WHERE user_id = %s", who.id) == [(True,)]
    one.sql("UPDATE sessions SET expires_at = now() WHERE user_id = %s", who.id)
    check_error(who.get("/auth/me"), 401)


# ---- the first of them

def test_first_administrators_at_once(make_picket, cluster):
    """Of two Pickets that each are to make another first administrator, one does. None gets to its end, which is the note, before both have found nobody."""
    url = cluster.migrated_database()
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE audit_log IN SHARE MODE")
        pickets = [make_picket(DATABASE_URL=url, CREATE_SUPERUSER=f"{name}@example.com:{PASSWORD}").start(ready=False) for name in ("ann", "bob")]
        until(lambda: pickets[0].sql("SELECT count(*) FROM pg_locks WHERE relation IN ('users'::regclass, 'audit_log'::regclass) AND NOT granted")[0][0] == 2,
              lambda: pickets[0].said() + pickets[1].said(), 60)
    for picket in pickets:
        until(picket.is_ready, lambda p=picket: p.said(), 60)
    (name, role), = pickets[0].sql("SELECT email, role FROM users")
    assert role == "owner"
    assert [f"Administrator  {name}" in picket.printed() for picket in pickets].count(True) == 1


def test_two_commands_make_one(one):
    """Of the same name, at once."""
    name = email()
    with held(one, "LOCK TABLE users IN SHARE MODE", waiting=2):
        runs = both([lambda: one.run("user", "add", name, "--admin", "--password-stdin", stdin=PASSWORD + "\n")] * 2)
    done = sorted(runs(), key=lambda run: run.returncode)
    assert [run.returncode for run in done] == [0, 1] and "already" in done[1].stderr
    assert one.sql("SELECT role FROM users WHERE email = %s", name) == [("owner",)]


def test_roles_by_command(one):
    for arguments, role in (([], "member"), (["--admin"], "owner")):
        name = email()
        one.command("user", "add", name, *arguments, "--password-stdin", stdin=PASSWORD + "\n")
        assert one.sql("SELECT role, is_admin FROM users WHERE email = %s", name) == [(role, role == "owner")]
