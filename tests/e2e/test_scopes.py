"""Roles, members of projects, and what a token is cut to (issue 7, "Users", "Tokens"). Which route needs which scope: test_permissions.py."""
import concurrent.futures
import datetime
import json
import os
import uuid

import psycopg
import pytest

import server
import wire
from client import Api, Project, accepted
from contract import PROJECT, TOKEN, TOKEN_CREATED, check, check_error
from waiting import until

PASSWORD = "a password of mine"


def now(**more):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**more)).isoformat()


@pytest.fixture
def make_user(picket):
    """make_user("viewer", project) is kept to that project. The API as they see it, with a token that is not cut; .email and .id."""
    def make(role, *projects):
        email = f"{role}.{uuid.uuid4().hex[:12]}@example.com"
        more = ["--project", ",".join(str(project.id) for project in projects)] if projects else []
        picket.command("user", "add", email, "--role", role, *more)
        api = Api(picket.url, token=picket.command("token", "add", "--user", email).strip())
        api.email, api.id = email, api.read("/auth/me")["id"]
        return api
    return make


def cut(api, **limits):
    """A token of the same user that may less."""
    answer = api.post("/api/tokens", json=limits)
    assert answer.status_code == 201, answer.text
    made = Api(api.url, token=check(TOKEN_CREATED, answer.json())["token"])
    made.made = answer.json()
    return made


def ids(api):
    page = api.read("/api/projects", params={"per_page": 100})
    assert page["total_count"] == len(page["items"])
    return {check(PROJECT, project)["id"] for project in page["items"]}


# ---- members

def test_a_member_of_a_project(picket, make_user):
    """Whoever is kept to projects sees those, and from the next request on those that they are added to; and no more those that they are taken from."""
    first, second = picket.new_project(), picket.new_project()
    ann = make_user("member", first)
    assert ids(ann) == {first.id}
    check_error(ann.get(second.path), 404, "NotFound")
    added = picket.api.post(second.path + "/members", json={"email": ann.email})
    assert added.status_code == 201, added.text
    assert {name: added.json()[name] for name in ("user_id", "email", "role", "is_active")} == {"user_id": ann.id, "email": ann.email, "role": "member", "is_active": True}
    again = picket.api.post(second.path + "/members", json={"user_id": ann.id})
    assert again.status_code == 200 and again.json() == added.json()
    assert picket.api.read(second.path + "/members")["items"] == [added.json()]
    assert ids(ann) == {first.id, second.id} and ann.get(second.path).status_code == 200
    assert picket.api.delete(f"{second.path}/members/{ann.id}").status_code == 204
    check_error(picket.api.delete(f"{second.path}/members/{ann.id}"), 404)
    check_error(ann.get(second.path), 404)
    assert ids(ann) == {first.id}


@pytest.mark.parametrize("body", [{}, {"user_id": 1, "email": "a@example.com"}, {"user_id": "1"}, {"user_id": -1}, {"user_id": 2_000_000_000}, {"email": "nobody@example.com"},
                                  {"email": 7}, {"email": ""}, {"user_id": None}])
def test_no_such_member(project, body):
    check_error(project.api.post(project.path + "/members", json=body), 400, "ValidationError")
    assert project.api.read(project.path + "/members") == {"items": [], "total_count": 0, "page": 1, "per_page": 20, "total_pages": 0}


def test_members_have_pages(picket, project, make_user):
    users = sorted((make_user("viewer", project) for _ in range(3)), key=lambda user: user.id)
    pages = [project.api.read(project.path + "/members", params={"per_page": 2, "page": page}) for page in (1, 2)]
    assert [member["user_id"] for page in pages for member in page["items"]] == [user.id for user in users]
    assert pages[0]["total_count"] == 3 and pages[0]["total_pages"] == 2


def test_a_restricted_member_makes_a_project(make_user, project):
    """And is a member of it, so that they see it; one who sees all is none."""
    ann = make_user("member", project)
    answer = ann.post("/api/projects", json={"name": f"of {ann.email}"})
    assert answer.status_code == 201, answer.text
    made = Project(ann, answer.json())
    assert ids(ann) == {project.id, made.id}
    accepted(made.post(wire.event_envelope(wire.error_event())))
    assert [member["user_id"] for member in project.api.read(made.path + "/members")["items"]] == [ann.id]
    assert project.api.read(Project(project.api, project.api.post("/api/projects", json={"name": f"x{ann.email}"}).json()).path + "/members")["items"] == []


def test_a_deleted_project_is_nobodys(picket, make_user):
    project = picket.new_project()
    ann = make_user("member", project)
    assert picket.api.delete(project.path).status_code == 204
    assert ids(ann) == set()
    check_error(ann.get(project.path), 404)


def test_rights_that_are_taken_away(picket, make_user, project):
    """From the next request on; a session or token knows nothing of what was before."""
    bob = make_user("admin")
    token = cut(bob, scopes=["admin", "project:read"])
    assert token.get("/api/dead-letters").status_code == 200
    picket.sql("UPDATE users SET role = 'viewer', all_projects = false WHERE id = %s", bob.id)
    check_error(token.get("/api/dead-letters"), 403)
    check_error(token.get(project.path), 404)
    assert bob.read("/auth/me")["role"] == "viewer" and ids(bob) == set() == ids(token)


def test_is_admin_and_role_are_one(picket, make_user):
    """For the release before, which knows is_admin alone."""
    bob = make_user("member")
    for change, role in (("is_admin = true", "admin"), ("is_admin = false", "member"), ("role = 'owner'", "owner"), ("role = 'viewer'", "viewer")):
        picket.sql(f"UPDATE users SET {change} WHERE id = %s", bob.id)
        me = bob.read("/auth/me")
        assert me["role"] == role and me["is_admin"] is (role in ("owner", "admin")), change


def test_two_add_the_same_member(picket, make_user):
    """At once: the second finds what the first did."""
    project = picket.new_project()
    ann = make_user("member", picket.new_project())
    for body in ({"email": ann.email}, {"user_id": ann.id}):
        picket.sql("DELETE FROM project_members WHERE project_id = %s", project.id)
        with psycopg.connect(picket.conninfo()) as database, concurrent.futures.ThreadPoolExecutor(1) as pool:
            database.execute("INSERT INTO project_members (project_id, user_id) VALUES (%s, %s)", [project.id, ann.id])
            added = pool.submit(picket.api.post, project.path + "/members", json=body)
            until(lambda: picket.sql("SELECT 1 FROM pg_locks WHERE NOT granted"), "nobody waits")
            database.commit()
        assert added.result().status_code == 200 and [added.result().json()] == picket.api.read(project.path + "/members")["items"]
    assert not picket.sql("SELECT 1 FROM audit_log WHERE action = 'member.add' AND project_id = %s", project.id)


def test_users_are_not_counted_through(picket, project, make_user):
    """Who may not list users names whom they add by e-mail address: a number gets one answer, whoever has it."""
    ann = make_user("member", picket.new_project())
    for api in (cut(picket.api, scopes=["project:admin"]), cut(picket.api, project_ids=[project.id])):
        texts = {check_error(api.post(project.path + "/members", json={"user_id": id}), 403)["error"] for id in (ann.id, api.read("/auth/me")["id"], 2_000_000_000)}
        assert len(texts) == 1 and "email" in texts.pop()
        check_error(api.post(project.path + "/members", json={"email": f"nobody{ann.email}"}), 400)
        assert api.read(project.path + "/members")["items"] == []
        assert api.post(project.path + "/members", json={"email": ann.email}).status_code == 201
        assert picket.api.delete(f"{project.path}/members/{ann.id}").status_code == 204
    assert cut(picket.api, scopes=["admin", "project:admin"]).post(project.path + "/members", json={"user_id": ann.id}).status_code == 201


# ---- tokens

def test_scopes_of_a_token(project, make_user):
    """They are shown when it is made and in the list; a word with an asterisk is what of it one has."""
    ann = make_user("member")
    for asked, given in ((["event:read"], ["event:read"]), (["event:*", "event:read"], ["event:read", "event:write"]), (["project:*"], ["project:read", "project:write"]),
                         (["alert:*", "project:read"], ["project:read", "alert:read", "alert:write"]), (None, None)):
        token = cut(ann, scopes=asked, project_ids=None)
        assert token.made["scopes"] == given and token.made["project_ids"] is None
        row, = [row for row in ann.read("/api/tokens") if row["id"] == token.made["id"]]
        assert check(TOKEN, row)["scopes"] == given and row["project_ids"] is None
    reader = cut(ann, scopes=["event:read"])
    assert reader.get(project.path + "/issues").status_code == 200 and reader.get("/auth/me").status_code == 200
    refused = check_error(reader.get(project.path), 403, "Forbidden")
    assert refused["error"] == "this needs the scope project:read, which the token has not"


@pytest.mark.parametrize("scopes", ["event:read", {"event:read": True}, [], ["event:reed"],
                                    ["event"], ["*"], [":*"], [""], [7], [None], ["event:read", "EVENT:READ"], ["nothing:*"],
                                    ["event:read\x00"], ["event:read,admin"], ["event:read "], [["event:read"]]])
def test_scopes_that_are_none(api, scopes):
    before = len(api.read("/api/tokens"))
    error = check_error(api.post("/api/tokens", json={"scopes": scopes}), 400, "ValidationError")["error"]
    assert error.startswith("scopes") and (not isinstance(scopes, list) or not scopes or ("project:read" in error and "alert:*" in error)), error
    assert len(api.read("/api/tokens")) == before


def test_no_more_than_the_role(make_user):
    """403 that names what is missing."""
    viewer, member = make_user("viewer"), make_user("member")
    for api, scope, role in ((viewer, "event:write", "viewer"), (viewer, "admin", "viewer"), (member, "project:admin", "member"), (member, "org:ci", "member")):
        error = check_error(api.post("/api/tokens", json={"scopes": ["event:read", scope]}), 403, "Forbidden")["error"]
        assert error == f"this needs the scope {scope}, which the role {role} does not give"
    assert cut(viewer, scopes=["event:*"]).made["scopes"] == ["event:read"]


def test_projects_of_a_token(picket, make_user):
    """It sees these alone; another one that its user sees is 403, which the user knows of, one that they do not see is 404."""
    first, second, third = (picket.new_project() for _ in range(3))
    ann = make_user("member", first, second)
    token = cut(ann, project_ids=[first.id, first.id])
    assert token.made["project_ids"] == [first.id] and token.made["scopes"] is None
    assert ids(token) == {first.id} and ids(ann) == {first.id, second.id}
    assert token.get(first.path).status_code == 200
    assert check_error(token.get(second.path), 403, "Forbidden")["error"] == f"the token is not for project {second.id}"
    check_error(token.get(third.path), 404, "NotFound")
    check_error(token.post("/api/projects", json={"name": f"by {ann.email}"}), 403)
    assert not picket.sql("SELECT 1 FROM projects WHERE name = %s", f"by {ann.email}")
    owners = cut(picket.api, project_ids=[first.id])
    assert owners.delete(f"{first.path}/issues/{uuid.uuid4()}").status_code == 404
    for path in ("/api/dead-letters", "/api/installation", "/api/alert-channels"):
        check_error(owners.get(path), 403)


@pytest.mark.parametrize("projects", ["1", {}, [], ["1"], [0], [-1], [1.5], [2**31], [None], [2_000_000_000], [[1]]])
def test_projects_that_are_none(api, projects):
    assert check_error(api.post("/api/tokens", json={"project_ids": projects}), 400, "ValidationError")["error"].startswith("project_ids")


def test_a_project_that_one_does_not_see(picket, make_user, project):
    """The same words as for one that is not there."""
    ann = make_user("member", project)
    other = picket.new_project()
    texts = [check_error(ann.post("/api/tokens", json={"project_ids": [project.id, number]}), 400)["error"].replace(str(number), "N") for number in (other.id, 99999999)]
    assert texts == ["project_ids: Project with id N not found"] * 2


def test_admin_is_of_no_project(api, project):
    check_error(api.post("/api/tokens", json={"project_ids": [project.id], "scopes": ["admin"]}), 400)
    check_error(cut(api, project_ids=[project.id]).post("/api/tokens", json={"scopes": ["admin"]}), 403)


def test_no_token_makes_a_greater_one(picket, make_user):
    """In scopes, projects and time; what is not asked for is as with the one that makes it."""
    first, second = picket.new_project(), picket.new_project()
    ann = make_user("admin")
    end = now(hours=1)
    maker = cut(ann, scopes=["event:read", "project:read"], project_ids=[first.id], expires_at=end)
    for more in ({"scopes": ["event:write"]}, {"scopes": ["admin"]}, {"project_ids": [second.id]}, {"project_ids": [first.id, second.id]}, {"expires_at": now(hours=2)}):
        check_error(maker.post("/api/tokens", json=more), 403, "Forbidden")
    same = cut(maker).made
    assert same["scopes"] == ["project:read", "event:read"] and same["project_ids"] == [first.id] and same["expires_at"] == maker.made["expires_at"] is not None
    assert cut(maker, scopes=["event:*"]).made["scopes"] == ["event:read"]
    assert cut(maker, expires_at=now(minutes=1)).made["expires_at"] < same["expires_at"]
    child = Api(picket.url, token=same["token"])
    check_error(child.get(second.path), 403)
    check_error(child.patch(first.path, json={}), 403)


def test_a_cut_token_and_its_neighbours(make_user):
    """It sees and revokes itself alone: who found one must not take away the others. What it made goes with it."""
    ann = make_user("owner")
    other = cut(ann)
    one = cut(ann, scopes=["admin", "event:read"])
    assert [row["id"] for row in one.read("/api/tokens")] == [one.made["id"]]
    check_error(one.delete(f"/api/tokens/{other.made['id']}"), 404)
    assert {row["id"] for row in ann.read("/api/tokens")} >= {other.made["id"], one.made["id"]}
    new = cut(one)
    assert one.delete(f"/api/tokens/{one.made['id']}").status_code == 204
    for gone in (one, new):
        check_error(gone.get("/auth/me"), 401)


@pytest.mark.parametrize("limits", [{}, {"scopes": ["event:read"]}, {"expires_at": "2099-01-01T00:00:00Z"}])
def test_a_token_goes_with_its_maker(picket, make_user, limits):
    """However far down, by whomever it is revoked, and with a note for each; others stay."""
    ann = make_user("member")
    for revoke in (lambda id: ann.delete(f"/api/tokens/{id}").status_code == 204, lambda id: picket.api.delete(f"/api/tokens/{id}").status_code == 204,
                   lambda id: picket.command("token", "revoke", id) == f"Revoked token {id}.\n"):
        one, other = cut(ann, **limits), cut(ann, **limits)
        family = [one, cut(one), cut(cut(one)), cut(one)]
        assert all(token.get("/auth/me").status_code == 200 for token in family)
        assert revoke(one.made["id"])
        for token in family:
            check_error(token.get("/auth/me"), 401)
        assert other.get("/auth/me").status_code == 200
        gone, = picket.sql("SELECT count(*) FROM audit_log WHERE action = 'token.delete' AND target = ANY (%s)", [str(token.made["id"]) for token in family])
        assert gone[0] == len(family)


def test_links_go_with_the_token_that_gave_them(picket, make_user):
    """What somebody gave themselves with a token that they had found ends with it; what others gave stays."""
    nobody, viewer = Api(picket.url), make_user("viewer")
    for revoked in (True, False):
        found = cut(picket.api)
        maker = cut(found)
        links = [("/auth/accept-invitation", maker.post("/api/invitations", json={"email": f"{uuid.uuid4().hex[:12]}@example.com"})),
                 ("/auth/reset-password", maker.post(f"/api/users/{viewer.id}/password-reset"))]
        other = picket.api if revoked else found
        stays = other.post("/api/invitations", json={"email": f"{uuid.uuid4().hex[:12]}@example.com"}).json()["token"]
        if revoked:
            assert picket.api.delete(f"/api/tokens/{found.made['id']}").status_code == 204
        for path, made in links:
            answer = nobody.post(path, json={"token": made.json()["token"], "password": PASSWORD})
            assert answer.status_code == 404 if revoked else answer.status_code in (201, 204), answer.text
        assert nobody.post("/auth/accept-invitation", json={"token": stays, "password": PASSWORD}).status_code == 201


def test_a_token_stays_within_its_maker(picket, make_user):
    """Also when that is limited after it was made; and when its limits are taken back, that does not widen what it made."""
    first, second = picket.new_project(), picket.new_project()
    ann = make_user("member")
    one = cut(ann)
    family = [cut(one), cut(one, scopes=["event:read", "project:read"]), cut(cut(one), project_ids=[first.id, second.id])]
    assert all(token.get(path).status_code == 200 for token in family for path in (first.path, second.path))

    def limit(**columns):
        picket.sql("UPDATE api_tokens SET " + ", ".join(f"{name} = %s" for name in columns) + " WHERE id = %s", *columns.values(), one.made["id"])
    limit(project_ids=[first.id])
    for token in family:
        assert ids(token) == {first.id}
        check_error(token.get(second.path), 403)
    limit(scopes=["project:read"])
    for token in family:
        assert token.get(first.path).status_code == 200
        check_error(token.get(first.path + "/issues"), 403)
    limit(scopes=None, project_ids=None)
    for token in family:
        check_error(token.get(second.path), 403)
        check_error(token.get(first.path + "/issues"), 403)
    limit(expires_at=now(seconds=-1))
    for token in family:
        check_error(token.get("/auth/me"), 401)


def test_a_token_is_revoked_while_it_makes_one(picket, make_user):
    """It makes none, whichever comes first."""
    ann = make_user("member")
    one = cut(ann)
    with psycopg.connect(picket.conninfo()) as database, concurrent.futures.ThreadPoolExecutor(1) as pool:
        database.execute("DELETE FROM api_tokens WHERE id = %s", [one.made["id"]])
        made = pool.submit(one.post, "/api/tokens", json={})
        until(lambda: picket.sql("SELECT 1 FROM pg_locks WHERE NOT granted"), "nobody waits")
        database.commit()
        check_error(made.result(), 401)
    assert not picket.sql("SELECT 1 FROM api_tokens WHERE parent_id = %s", one.made["id"])


def test_a_token_for_projects_that_are_gone(picket, make_user):
    """It sees none, makes none that sees more, and is not refused for a list that it did not name."""
    first, second = picket.new_project(), picket.new_project()
    ann = make_user("owner")
    token = cut(ann, project_ids=[first.id])
    half = cut(ann, project_ids=[first.id, second.id])
    assert picket.api.delete(first.path).status_code == 204
    made = cut(token)
    assert made.made["project_ids"] == [first.id] and cut(half).made["project_ids"] == [first.id, second.id]
    for api in (token, made):
        assert ids(api) == set() and api.read("/api/issues")["items"] == []
        check_error(api.get(first.path), 404)
        check_error(api.get(second.path), 403)
        for path in ("/api/users", "/api/dead-letters", "/api/installation", "/api/alert-channels", "/api/audit-log"):
            check_error(api.get(path), 403)
        check_error(api.post("/api/projects", json={"name": f"by {ann.email}"}), 403)
        check_error(api.post("/api/tokens", json={"project_ids": [second.id]}), 403)
    picket.command("retention", "run")
    assert ids(token) == set() and ids(half) == {second.id}


def test_a_kept_token_and_a_project_that_its_user_lost(picket, make_user):
    """What it does not name it takes over: no refusal names a project that its user does not see."""
    first, second = picket.new_project(), picket.new_project()
    ann = make_user("member", first, second)
    token = cut(ann, project_ids=[first.id, second.id])
    assert picket.api.delete(f"{first.path}/members/{ann.id}").status_code == 204
    made = cut(token)
    assert ids(made) == {second.id}
    check_error(made.get(first.path), 404)


def test_an_expired_token(api, picket):
    token = cut(api, expires_at=now(hours=1))
    assert token.get("/auth/me").status_code == 200
    picket.sql("UPDATE api_tokens SET expires_at = now() - interval '1 second' WHERE id = %s", token.made["id"])
    check_error(token.get("/auth/me"), 401)


# ---- words with a token (protocol §7.4)

def test_words_with_a_token(picket, make_user, project):
    """They need event:write, and the project, whether it is named by number or by name."""
    other = picket.new_project()
    ann, viewer = make_user("member", project), make_user("viewer")

    def say(api, where):
        return api.post(f"/api/0/projects/sentry/{where}/user-feedback/",
                        json={"event_id": uuid.uuid4().hex, "name": "A", "email": "a@example.com", "comments": "words"}).status_code
    for mine, foreign in ((project.id, other.id), (project.slug, other.slug)):
        assert say(ann, mine) == 200 and say(ann, foreign) == 404 and say(ann, "no-such-project") == 404
        assert say(viewer, mine) == 403 and say(cut(ann, scopes=["event:read"]), mine) == 403
        assert say(cut(picket.api, project_ids=[project.id]), mine) == 200 and say(cut(picket.api, project_ids=[project.id]), foreign) == 404


# ---- commands

def test_token_command(picket):
    first, second = picket.new_project(), picket.new_project()
    made = json.loads(picket.command("token", "add", "--scope", "event:read, project:*", "--project", f"{first.id},{second.id}", "--description", "of a command", "--json"))[0]
    row, = [row for row in json.loads(picket.command("token", "list", "--json")) if row["id"] == made["id"]]
    assert row["scopes"] == "project:read project:write project:admin event:read" and row["projects"] == f"{first.id} {second.id}"
    token = Api(picket.url, token=made["token"])
    assert ids(token) == {first.id, second.id} and token.get(first.path + "/issues").status_code == 200
    check_error(token.get(first.path + "/alert-rules"), 403)
    for bad, status in ((("--scope", "event"), 2), (("--scope", ""), 2), (("--project", "x"), 2), (("--project", "1,"), 2), (("--project", "99999999"), 1),
                        (("--user", "nobody@example.com"), 1)):
        done = picket.run("token", "add", *bad)
        assert done.returncode == status and done.stderr and not done.stdout, bad


def test_user_command(picket, project):
    emails = {role: f"{role}.{uuid.uuid4().hex[:12]}@example.com" for role in ("owner", "admin", "member", "viewer")}
    for role, email in emails.items():
        picket.command("user", "add", email, "--role", role)
    kept, boss = f"kept.{uuid.uuid4().hex[:12]}@example.com", f"boss.{uuid.uuid4().hex[:12]}@example.com"
    picket.command("user", "add", kept, "--role", "viewer", "--project", project.id)
    picket.command("user", "add", boss, "--admin")
    rows = {row["email"]: row for row in json.loads(picket.command("user", "list", "--json"))}
    assert {role: rows[email]["role"] for role, email in emails.items()} == {role: role for role in emails}
    assert [rows[email]["admin"] for email in emails.values()] == [True, True, False, False]
    assert rows[boss]["role"] == "owner" and rows[server.ADMIN[0]]["role"] == "owner"
    assert rows[kept]["projects"] == str(project.id) and {rows[email]["projects"] for email in emails.values()} == {"all"}
    for bad in (("--role", "king"), ("--role", "member", "--admin"), ("--role", "admin", "--project", "1"), ("--project", "one")):
        assert picket.run("user", "add", "bad@example.com", *bad).returncode == 2, bad
    assert picket.run("user", "add", "bad@example.com", "--project", "99999999").returncode == 1
    assert not picket.sql("SELECT 1 FROM users WHERE email = 'bad@example.com'")


# ---- upgrade

def test_users_of_the_release_before(cluster):
    """Administrators become owners; everybody goes on seeing everything."""
    folder = os.path.join(server.ROOT, "sql", "migrations")
    names = sorted(name for name in os.listdir(folder) if name.endswith(".sql"))
    at = names.index("0036_accounts.sql")

    def text(name):
        with open(os.path.join(folder, name), encoding="utf-8") as migration:
            return migration.read()
    with psycopg.connect(cluster.new_database(), autocommit=True) as database:
        for name in names[:at]:
            database.execute(text(name))
        database.execute("INSERT INTO users (email, password_hash, is_admin) VALUES ('boss', '', true), ('ann', '', false)")
        database.execute("INSERT INTO api_tokens (hash, prefix, user_id) SELECT 'x', 'x', id FROM users WHERE email = 'ann'")
        database.execute(text(names[at]))
        assert database.execute("SELECT email, role, is_admin, all_projects FROM users ORDER BY id").fetchall() == [("boss", "owner", True, True), ("ann", "member", False, True)]
        assert database.execute("SELECT scopes, project_ids FROM api_tokens").fetchall() == [(None, None)]
        # What the release before, which may still run, does to users.
        database.execute("INSERT INTO users (email, password_hash, is_admin) VALUES ('late', '', true)")
        assert database.execute("SELECT role FROM users WHERE email = 'late'").fetchall() == [("owner",)]


def test_limited_tokens_give_no_rights(picket, make_user):
    """An owner's token that ends, or has a list of scopes, invites nobody, raises nobody, removes nobody, its own user neither, and hands out no password: that would
    outlive it."""
    viewer, links = make_user("viewer"), picket.sql("SELECT count(*) FROM user_links")
    for limits in ({"scopes": ["admin"]}, {"expires_at": now(hours=1)}, {"scopes": ["admin"], "expires_at": now(hours=1)}):
        api = cut(picket.api, **limits)
        assert api.get("/api/users").status_code == 200
        for answer in (api.post("/api/invitations", json={"role": "owner"}), api.patch(f"/api/users/{viewer.id}", json={"role": "owner"}),
                       api.post(f"/api/users/{viewer.id}/password-reset"), api.delete(f"/api/users/{viewer.id}"), api.delete(f"/api/users/{api.read('/auth/me')['id']}")):
            assert answer.status_code == 403 and "expires_at" in answer.json()["error"], answer.text
    assert viewer.read("/auth/me")["role"] == "viewer" and picket.sql("SELECT count(*) FROM user_links") == links


def test_channels_are_named_but_not_shown(picket, project, make_user):
    """Who sees some projects learns which channels there are; what they hold is the installation's."""
    made = picket.api.post("/api/alert-channels", json={"name": uuid.uuid4().hex, "channel_type": "webhook", "config": {"url": "https://secret.example/token"}}).json()
    path, member = f"/api/alert-channels/{made['id']}", make_user("member", project)
    for shown in ([one for one in member.read("/api/alert-channels") if one["id"] == made["id"]][0], member.read(path)):
        assert shown["name"] == made["name"] and shown["config"] == {}
    assert make_user("member").read(path)["config"]["url"] == "https://secret.example/token"


def test_channels_are_not_tried_out(picket, project, make_user):
    """A token that is kept to projects may not ask for channels, and does not learn by rules which there are; what a rule has it may leave there."""
    made, other = (picket.api.post("/api/alert-channels", json={"name": uuid.uuid4().hex, "channel_type": "webhook", "config": {"url": "https://a.example"}}).json()["id"]
                   for _ in range(2))
    path, kept = project.path + "/alert-rules", cut(picket.api, project_ids=[project.id])
    texts = {check_error(kept.post(path, json={"name": "n", "alert_type": "unmute", "channel_ids": [id]}), 403, "Forbidden")["error"] for id in (made, 99999999, -1)}
    rule = picket.api.post(path, json={"name": "n", "alert_type": "new_issue", "channel_ids": [made]}).json()
    where = f"{path}/{rule['id']}"
    texts |= {check_error(kept.patch(where, json={"channel_ids": ids}), 403)["error"] for ids in ([other], [99999999], [made, other], [made, 99999999])}
    assert len(texts) == 1 and kept.read(where)["channel_ids"] == [made]
    assert kept.patch(where, json={"name": "m", "channel_ids": [made]}).json()["channel_ids"] == [made]
    assert kept.patch(where, json={"channel_ids": []}).json()["channel_ids"] == []
    assert kept.post(path, json={"name": "n", "alert_type": "unmute", "channel_ids": []}).status_code == 201
    check_error(make_user("member", project).patch(where, json={"channel_ids": [99999999]}), 404)  # who may look at channels anyway
