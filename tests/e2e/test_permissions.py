"""The permission matrix (issue 7, "Safe"): permissions.jsonl has a line for each route of the API, and each of its cells is really asked.

A line says which scope the route needs (null: any user; "user": any, but not with a token that is cut; "public": nobody is asked who they are) and the status
of the answer to
  nobody                        without credentials
  viewer, member, admin, owner  with a session of a user who sees all projects
  inside, outside               with a session of a member who is kept to some projects: the one in the path, or another one
  kept, elsewhere               with an owner's token that is kept to some projects: the one in the path, or another one
  cut                           where the scope is null: with an owner's token that has one scope, whichever; elsewhere: with one that has just the route's,
                                where that is not enough
From the scope follows what an owner's token with one scope gets: as the owner with that one, 403 with another; and that a viewer's token cannot do more than
the viewer, whatever its list says. What is permitted is asked with an empty body, so that 400 is the handler's; 404 is that of an object, never the project's."""
import json
import os
import re
import uuid

import pytest

import described
import server
from client import Api
from contract import check_error
from test_traversal import World

SCOPES = ["project:read", "project:write", "project:admin", "event:read", "event:write", "alert:read", "alert:write", "admin", "org:ci"]
ROLES = ["viewer", "member", "admin", "owner"]
KEPT = {"inside": "member", "outside": "member", "kept": "owner", "elsewhere": "owner"}
ABSENT = 99999999
NUMBERLESS = {"issue", "event", "attachment", "feedback"}  # whose ids are UUIDs
UNDER_A_PROJECT = "/api/projects/{project}"


def route_table():
    """(access, body) by method and path."""
    return {f"{method} {path}": (access, body) for method, path, access, body in described.routes_of("api", "api.c")}


def scope_of(access):
    """As the table of routes spells it."""
    return {"PUBLIC": "public", "INGEST": "public", "USER": "user", "ANY_USER": None}.get(access, access.lower().replace("_", ":"))


with open(os.path.join(os.path.dirname(__file__), "permissions.jsonl"), encoding="utf-8") as lines:
    MATRIX = [json.loads(line) for line in lines]
ROUTES = route_table()


def test_the_tables_are_read_whole():
    """However rows are laid out; and there is no third table."""
    text = 'struct http_route routes[] = {\n  {HTTP_GET, "/a/{b}", HTTP_ANY_USER, HTTP_NO_BODY, a_b}, /* {HTTP_GET, "/c" */\n' \
           '\n {\n HTTP_POST, "/d",\n HTTP_ADMIN,HTTP_JSON_BODY , d,},\n};'
    assert described.rows_of(text) == [("GET", "/a/{b}", "ANY_USER", "NO_BODY"), ("POST", "/d", "ADMIN", "JSON_BODY")]
    for odd in ('{HTTP_GET, PATH, HTTP_ADMIN, HTTP_NO_BODY, e},', '{.method = HTTP_GET, .path = "/e"},', 'ROW(GET, "/e"),', '{HTTP_GET, "/e", HTTP_ADMIN, HTTP_NO_BODY, e, 1},'):
        with pytest.raises(AssertionError, match="cannot read"):
            described.rows_of(text.replace("\n};", odd + "\n};"))
    assert sorted(described.tables()) == ["api/api.c", "ingest/fronts.c"]


def test_every_route_has_a_line():
    """And each line is one of a route, with the scope that the table of routes names."""
    assert [row["route"] for row in MATRIX if row["route"] not in ROUTES] == [], "of no route"
    assert [route for route in ROUTES if route not in {row["route"] for row in MATRIX}] == [], "routes without a line in permissions.jsonl"
    assert len(MATRIX) == len(ROUTES) >= 60
    for row in MATRIX:
        assert row["scope"] == scope_of(ROUTES[row["route"]][0]), row["route"]
        assert row["scope"] in (None, "public", "user", *SCOPES), row["route"]
        columns = {"route", "scope", "nobody"} | (set() if row["scope"] == "public" else {*ROLES, *KEPT}) | ({"cut"} & row.keys() if row["scope"] else {"cut"})
        assert set(row) == columns, row["route"]


def test_roles_are_what_they_are():
    """The lines agree with the table of README: which role has which scope."""
    has = {role: set() for role in ROLES}
    for row in MATRIX:
        for role in ROLES:
            if row["scope"] in SCOPES and row[role] != 403:
                has[role].add(row["scope"])
    reads, writes = {"project:read", "event:read", "alert:read"}, {"project:write", "event:write", "alert:write"}
    assert has == {"viewer": reads, "member": reads | writes, "admin": set(SCOPES) - {"org:ci"}, "owner": set(SCOPES) - {"org:ci"}}


class Callers:
    """One of each kind, in a world with one of everything."""

    def __init__(self, picket):
        self.picket, self.world = picket, World(picket)
        self.elsewhere = picket.new_project()
        self.serial = uuid.uuid4().hex[:12]
        self.ids, self.apis, self.tokens = {}, {"nobody": Api(picket.url)}, {}
        for role in ROLES:
            self.add_user(role, role)
        for where in ("inside", "outside"):
            self.add_user(where, "member", "--project", self.elsewhere.id)
        for scope in SCOPES:
            self.add_token(f"only {scope}", "owner", "--scope", scope)
        for where in ("kept", "elsewhere"):
            self.add_token(where, "owner", "--project", self.elsewhere.id)
        self.add_token("viewer's", "viewer")
        picket.sql("UPDATE api_tokens SET scopes = %s WHERE description = %s", SCOPES, f"viewer's {self.serial}")
        self.valid = {**self.world.valid, "user": self.ids["outside"]}
        self.give(self.valid["project"])

    def add_user(self, name, role, *more):
        email = f"{name}.{self.serial}@example.com"
        self.picket.command("user", "add", email, "--role", role, "--password-stdin", *more, stdin="a password of mine\n")
        answer = Api(self.picket.url).post("/auth/login", json={"email": email, "password": "a password of mine"})
        assert answer.status_code == 200 and answer.json()["user"]["role"] == role
        self.apis[name] = Api(self.picket.url, cookie=re.match(r"rustrak_session=([^;]+)", answer.headers["Set-Cookie"]).group(1))
        self.ids[name] = answer.json()["user"]["id"]

    def add_token(self, name, user, *more):
        token = self.picket.command("token", "add", "--user", f"{user}.{self.serial}@example.com", "--description", f"{name} {self.serial}", *more).strip()
        self.apis[name] = Api(self.picket.url, token=token)

    def give(self, project):
        """Who is kept to the project of the path."""
        self.picket.sql("DELETE FROM project_members WHERE user_id = %s", self.ids["inside"])
        self.picket.sql("INSERT INTO project_members (project_id, user_id) VALUES (%s, %s)", project, self.ids["inside"])
        self.picket.sql("UPDATE api_tokens SET project_ids = ARRAY[%s::int] WHERE description = %s", project, f"kept {self.serial}")

    def fill(self, path, **other):
        return re.sub(r"\{(\w+)\}", lambda name: str({**self.valid, **other}[name.group(1)]), path)

    def target(self, route):
        """The path, with something there that may go."""
        method, path = route.split(" ")
        owner = self.apis["owner"]
        if method != "DELETE":
            return self.fill(path)
        if path == UNDER_A_PROJECT:
            project = self.picket.new_project().id
            self.give(project)
            return self.fill(path, project=project)
        what = path.rpartition("/")[2].strip("{}")
        if path == UNDER_A_PROJECT + "/members/{user}":
            owner.post(self.fill(UNDER_A_PROJECT + "/members"), json={"user_id": self.ids["viewer"]})
            return self.fill(path, user=self.ids["viewer"])
        if what == "token":
            return self.fill(path, token=self.picket.api.post("/api/tokens", json={}).json()["id"])
        if what == "channel":
            return self.fill(path, channel=self.world.made("/api/alert-channels", channel_type="webhook", config={"url": "https://a.example"}))
        if what == "rule":
            rules = owner.read(self.fill(UNDER_A_PROJECT + "/alert-rules"))
            spare = next((rule["id"] for rule in rules if rule["alert_type"] == "unmute"), None)
            return self.fill(path, rule=spare or self.world.made(self.fill(UNDER_A_PROJECT + "/alert-rules"), alert_type="unmute"))
        return self.fill(path, **{what: uuid.uuid4() if what in NUMBERLESS else ABSENT})

    def ask(self, who, route, path):
        method = route.split(" ")[0]
        # A page of one's own origin sends this along with the cookie.
        headers = {"Origin": self.picket.url} if "Cookie" in self.apis[who].headers and method != "GET" else {}
        return self.apis[who].request(method, path, headers=headers, **({"json": {}} if ROUTES[route][1] == "JSON_BODY" else {}))


@pytest.fixture(scope="module")
def callers(picket):
    return Callers(picket)


def expected(row):
    """(who, status) of every cell."""
    yield "nobody", row["nobody"]
    if row["scope"] == "public":
        return
    for who in (*ROLES, *KEPT):
        yield who, row[who]
    for scope in SCOPES:
        yield f"only {scope}", row["cut"] if row["scope"] is None else row.get("cut", row["owner"]) if row["scope"] == scope else 403
    yield "viewer's", row["cut"] if row["scope"] is None else 403 if row["scope"] == "user" else row["viewer"]


@pytest.mark.parametrize("row", MATRIX, ids=[row["route"] for row in MATRIX])
def test_matrix(callers, row):
    under_a_project = row["route"].split(" ")[1].startswith(UNDER_A_PROJECT)
    callers.give(callers.valid["project"])
    for who, status in expected(row):
        path = callers.target(row["route"])
        answer = callers.ask(who, row["route"], path)
        what = f"{who}: {answer.status_code} instead of {status}: {answer.text[:300]}"
        assert answer.status_code == status, what
        text = answer.json()["error"] if status in (401, 403, 404) and answer.content else ""
        no_project = "Project with id " in text
        assert no_project == (under_a_project and who == "outside"), what
        if status == 403 and row["scope"] in SCOPES and who not in KEPT and not ("cut" in row and who == f"only {row['scope']}"):
            assert re.search(rf"scope {row['scope']}\b", text), what
            check_error(answer, 403, "Forbidden")


@pytest.mark.parametrize("row", [row for row in MATRIX if UNDER_A_PROJECT in row["route"]], ids=lambda row: row["route"])
def test_not_mine_is_as_not_there(callers, row):
    """The same status and the same words for a project that one does not see and for one that is not there; also before a body is looked at."""
    method, path = row["route"].split(" ")
    mine, absent = callers.fill(path), callers.fill(path, project=ABSENT)
    for headers, body in (({}, None), ({"Content-Type": "application/json"}, b"{no JSON"), ({"Content-Type": "text/plain"}, b"x")):
        if body and method == "GET":
            continue
        answers = [callers.apis["outside"].request(method, p, headers={**headers, "Origin": callers.picket.url}, data=body) for p in (mine, absent)]
        assert [answer.status_code for answer in answers] == [404, 404]
        texts = [answer.text.replace(str(number), "N") for answer, number in zip(answers, (callers.valid["project"], ABSENT))]
        assert texts[0] == texts[1] and "Project with id N not found" in texts[0]
        assert {name for name in answers[0].headers if name != "Date"} == {name for name in answers[1].headers if name != "Date"}
    assert callers.ask("owner", row["route"], absent).status_code == 404
