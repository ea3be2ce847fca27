"""The document at /api/openapi.json: it describes every route and no other, its examples are what it says, it keeps the dashboard's contract (§7.2), and
no answer has a member that it does not tell of. That every answer of every test keeps it is described.py's doing."""
import re

import pytest

import contract
import described
import wire
from client import Api
from test_traversal import World

TABLES = described.routes_of("api", "api.c") + described.routes_of("ingest", "fronts.c")
ACCESS = {"PUBLIC": ("public", []), "USER": ("account", []), "ANY_USER": ("user", []), "INGEST": ("ingest", [])}  # any other is a user with that scope
SCHEMAS = described.document()["components"]["schemas"]


def test_served(make_picket):
    """To everybody, the same under the prefix of PUBLIC_URL, where the relative server is right, too."""
    picket = make_picket(PUBLIC_URL="https://errors.example/errors").start()
    for prefix in ("", "/errors"):
        answer = Api(picket.url).get(prefix + "/api/openapi.json")
        assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
        assert answer.json() == described.document() and answer.json()["servers"][0]["url"] == ".."
    assert Api(picket.url).request("HEAD", "/api/openapi.json").headers["Content-Length"] == str(len(answer.content))


def test_every_route_is_described():
    rows = {(method, path): (ACCESS.get(access, ("user", [access.lower().replace("_", ":")])), body == "JSON_BODY") for method, path, access, body in TABLES}
    assert len(rows) == len(TABLES) >= 88
    told = {(one.method, one.path): one for one in described.operations()}
    assert sorted(set(rows) - set(told)) == [], "routes without a description: src/api/openapi"
    assert sorted(set(told) - set(rows)) == [], "descriptions without a route"
    for route, ((access, scopes), has_body) in rows.items():
        assert told[route].access == access, route
        if access == "user":
            assert all(list(one.values()) == [scopes] for one in told[route].described["security"]), f"{route}: {scopes}"
        if access != "ingest":
            assert ("requestBody" in told[route].described) == has_body, route


def examples_of(schema, where):
    if isinstance(schema, list):
        for at, one in enumerate(schema):
            yield from examples_of(one, f"{where}/{at}")
    elif isinstance(schema, dict):
        for example in schema.get("examples", []):
            yield schema, example, where
        for name, one in schema.items():
            if name != "examples":
                yield from examples_of(one, f"{where}/{name}")


def test_examples():
    closed = described.closed(described.document()["components"])
    found = list(examples_of(closed["schemas"], ""))
    for schema, example, where in found:
        assert described.validator(schema, closed).is_valid(example), (where, example)
    assert len(found) > 25
    for operation in described.operations():
        body = operation.described.get("requestBody", {}).get("content", {}).get("application/json")
        if body and operation.access != "ingest":
            assert described.deref(body["schema"]).get("examples"), f"{operation.method} {operation.path}: no example of a body"


CONTRACT = {"Project": contract.PROJECT, "ProjectSettings": contract.PROJECT, "ProjectPage": contract.OFFSET_PAGE, "Issue": contract.ISSUE, "IssuePage": contract.OFFSET_PAGE,
            "Event": contract.EVENT, "EventPage": contract.CURSOR_PAGE, "EventDetail": contract.EVENT_DETAIL, "Token": contract.TOKEN, "TokenMade": contract.TOKEN_CREATED,
            "Channel": contract.CHANNEL, "ChannelTest": contract.CHANNEL_TEST, "Rule": contract.RULE, "User": contract.USER, "Alert": contract.ALERT}
# Of each of the contract's formats: what passes, and what must not.
WRONG = {"int": (7, ["7", 1.5, True]), "string": ("x", [7, []]), "bool": (True, ["true", 0]),
         "datetime": ("2026-01-19T12:34:56.123456Z", ["2026-01-19T12:34:56+00:00", "2026-01-19 12:34:56Z", "2026-02-30T00:00:00Z", "12026-01-19T00:00:00Z",
                                                      "2026-01-19t12:34:56z"]),
         "uuid": ("8196fcb2-0976-4c1d-8bef-4dd582e9e978", ["8196fcb209764c1d8bef4dd582e9e978", "8196fcb2-0976-0c1d-8bef-4dd582e9e978", "8196fcb2-0976-4c1d-cbef-4dd582e9e978"]),
         "email": ("bench@test.local", ["admin@localhost", "a%b@c.com", "ü@example.com", ".a@b.cd", "a..b@c.de"]), "record": ({}, [[], "x"]), "array": ([], [{}]),
         "ints": ([1], [["1"], [1.5], {}]), "channel_type": ("slack", ["pager"]), "alert_type": ("unmute", ["spike"]), "alert_status": ("sent", ["lost"])}
NARROW = {"slug": "shop", "token": "0" * 40}  # texts of a narrower form


@pytest.mark.parametrize("name", CONTRACT)
def test_it_is_as_strict_as_the_contract(name):
    """A member that the contract has is required, null only where it may be, and of the contract's format."""
    table = CONTRACT[name]
    whole = {member: NARROW.get(member, WRONG[rule.rstrip("?").removesuffix("|null")][0]) for member, rule in table.items()}
    rest = set(SCHEMAS[name]["required"]) - set(table)
    check = described.validator({**SCHEMAS[name], "required": [member for member in SCHEMAS[name]["required"] if member not in rest]})
    assert check.is_valid(whole), list(check.iter_errors(whole))
    for member, rule in table.items():
        without = {other: value for other, value in whole.items() if other != member}
        assert check.is_valid(without) == rule.endswith("?"), f"{member} is missing"
        assert check.is_valid({**whole, member: None}) == rule.endswith("|null"), f"{member} is null"
        for wrong in WRONG[rule.rstrip("?").removesuffix("|null")][1]:
            assert not check.is_valid({**whole, member: wrong}), f"{member}: {wrong!r}"


# ---- nothing that is not told

@pytest.fixture(scope="module")
def world(picket):
    return World(picket)


def test_no_member_is_missing_in_it(world):
    """Of what a project with one of everything answers."""
    closed, seen = described.closed(described.document()["components"]), 0
    for operation in described.operations():
        if operation.method != "GET" or operation.access == "ingest" or "{letter}" in operation.path or "{erasure}" in operation.path:
            continue
        path = re.sub(r"\{(\w+)\}", lambda name: str(world.valid[name.group(1)]), operation.path)
        content = operation.content(200)
        if set(content) != {"application/json"} or path == "/api/openapi.json":
            continue
        answer = world.picket.api.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        error = next(described.validator(described.closed(content["application/json"]["schema"]), closed).iter_errors(answer.json()), None)
        assert error is None, f"{path}: at {'/'.join(map(str, error.instance_path))}: {error.message[:500]}"
        seen += 1
    assert seen >= 28


# ---- what describes and watches is watched

ISSUE = SCHEMAS["Issue"]["examples"][0]
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("method, path, status, headers, body", [
    ("GET", "/api/projects/1/issues/x", 200, JSON, {**ISSUE, "title": None}),
    ("GET", "/api/projects/1/issues/x", 200, JSON, {name: value for name, value in ISSUE.items() if name != "level"}),
    ("GET", "/api/projects/1/issues/x", 200, JSON, {**ISSUE, "id": "8196fcb2-0976-0c1d-8bef-4dd582e9e978"}),
    ("GET", "/api/projects/1/issues/x", 200, {"Content-Type": "text/plain"}, ISSUE),
    ("GET", "/api/projects/1/issues/x", 409, JSON, {"error": "x", "message": "x", "type": "x"}),
    ("GET", "/api/projects/1/issues/x", 500, JSON, {"error": "x", "message": "x", "type": "x"}),
    ("GET", "/api/projects/1/issues/x", 404, JSON, {"error": {"message": "x"}, "message": "x", "type": "x"}),
    ("DELETE", "/api/projects/1/issues/x", 204, {}, {}),
    ("GET", "/api/nothing", 200, JSON, {}),
    ("PUT", "/api/projects", 405, {**JSON, "Allow": "GET"}, {"error": "x", "message": "x", "type": "x"}),
])
def test_answers_that_do_not_keep_it_are_seen(method, path, status, headers, body):
    described.check("GET", "/api/projects/1/issues/x", 200, JSON, wire.dumps({**ISSUE, "more": 1}))
    with pytest.raises(AssertionError):
        described.check(method, path, status, headers, wire.dumps(body))


@pytest.mark.parametrize("change, said", [
    ({"answers": {"200": "Nobody"}}, "there is no schema Nobody"),
    ({"parameters": ["nothing"]}, "there is no parameter nothing"),
    ({"answer": {}}, "members are"),
    ({"id": "b"}, "the id is there twice"),
    ({"answers": {"200": "Error"}}, "nothing refers to schemas/Lonely"),
])
def test_mistakes_end_the_build(change, said):
    joiner = described.load_joiner()
    operation = {"summary": "s", "access": "public", "answers": {"204": None}}
    base = {"info": {"title": "t"}, "servers": [], "security_schemes": {}, "headers": {}, "ingest_errors": {},
            "errors": {status: [f"E{status}", "e"] for status in joiner.ALWAYS}, "schemas": {"Error": {"object": {"error": "string"}}, "Lonely": "string"}, "parameters": {}}
    one = joiner.Joiner(base, "1")
    one.take({"tag": "t", "about": "a", "paths": {"/a": {"get": {"id": "a", **operation, **change}}, "/b": {"get": {"id": "b", **operation}}}})
    with pytest.raises(joiner.Mistake, match=said):
        one.finish()
