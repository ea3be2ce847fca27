"""Somebody else's object behind one's own project (issue 7, "Safe"): every route with more than one id in its path, with each of them taken from a project next
door. The answer is that of an object that is not there, a 404, word for word, and what is next door stays as it is."""
import itertools
import re
import uuid

import pytest

import wire
from client import Api
from test_permissions import ABSENT, NUMBERLESS, ROUTES, UNDER_A_PROJECT
from test_traversal import World
from waiting import until

OF_NONE = {"tag"}  # names, of no project
EMPTY = {"GET /api/projects/{project}/events/{event}/attachments": "attachments wait for their event, so that a list of an event that is not there is empty"}
BODY = {"name": "taken over", "is_resolved": True, "is_muted": True, "is_enabled": False, "is_active": False}


def names_of(route):
    return re.findall(r"\{(\w+)\}", route)[1:]


NESTED = [route for route in ROUTES if route.split(" ")[1].startswith(UNDER_A_PROJECT) and set(names_of(route)) - OF_NONE]


class Neighbours:
    """Two projects with one of everything: `mine`, `theirs` by parameter; `other` is of another issue of mine."""

    def __init__(self, picket):
        self.picket, (here, there) = picket, (World(picket), World(picket))
        self.here, self.there, self.mine, self.theirs = here, there, dict(here.valid), dict(there.valid)
        for world, ids in ((here, self.mine), (there, self.theirs)):
            ids["erasure"] = picket.api.post(world.project.path + "/erasures", json={"user": f"id:{uuid.uuid4()}"}).json()["id"]
            ids["user"] = self.member(world.project)
            ids["monitor"] = "job-" + uuid.uuid4().hex[:8]
            check_in = {"check_in_id": uuid.uuid4().hex, "monitor_slug": ids["monitor"], "status": "ok",
                        "monitor_config": {"schedule": {"type": "interval", "value": 1, "unit": "hour"}}}
            assert world.project.post(wire.envelope({}, wire.item("check_in", check_in))).status_code == 200
            until(lambda: picket.api.get(f"{world.project.path}/monitors/{ids['monitor']}").status_code == 200, "no monitor")
        event = wire.error_event(type="Another", value="quite another issue")
        here.project.send(event)
        detail = here.project.find(event["event_id"])
        self.other = {"issue": detail["issue_id"], "event": detail["id"]}
        assert self.other["issue"] != self.mine["issue"]

    def member(self, project):
        name = f"member.{uuid.uuid4().hex[:12]}@example.com"
        self.picket.command("user", "add", name, "--role", "member", "--project", project.id)
        return self.picket.sql("SELECT id FROM users WHERE email = %s", name)[0][0]

    def nobodys(self, name):
        return uuid.uuid4() if name in NUMBERLESS else "no-such-monitor" if name == "monitor" else ABSENT

    def path(self, route, **other):
        return re.sub(r"\{(\w+)\}", lambda name: str({**self.mine, **other}[name.group(1)]), route.split(" ")[1])

    def ask(self, api, route, **other):
        method, body = route.split(" ")[0], {"json": BODY} if ROUTES[route][1] == "JSON_BODY" else {}
        answer = api.request(method, self.path(route, **other), **body)
        text = answer.text
        for value in sorted(map(str, other.values()), key=len, reverse=True):
            text = text.replace(value, "N")
        return answer.status_code, text, {name for name in answer.headers if name != "Date"}

    def look(self):
        rows = [self.picket.sql(f"SELECT to_jsonb(t) - 'updated_at' FROM {table} t WHERE t.project_id = %s ORDER BY 1", self.there.project.id)
                for table in ("issues", "project_keys", "alert_rules", "project_members", "monitors", "attachments", "feedback", "erasures")]
        return rows, self.there.state()[0]


@pytest.fixture(scope="module")
def neighbours(picket):
    made = Neighbours(picket)
    before = made.look()
    yield made
    assert made.look() == before


@pytest.fixture(scope="module")
def callers(picket, neighbours):
    """An owner, who sees both; and an owner's token that is kept to the project of the path."""
    kept = picket.api.post("/api/tokens", json={"project_ids": [neighbours.here.project.id]}).json()["token"]
    return picket.api, Api(picket.url, token=kept)


def test_there_are_such_routes(neighbours, picket):
    """And what is there is found by its right address."""
    assert len(NESTED) >= 24
    for route in NESTED:
        if route.startswith("GET "):
            assert picket.api.get(neighbours.path(route)).status_code == 200, route


@pytest.mark.parametrize("route", NESTED)
def test_theirs_is_as_not_there(neighbours, callers, route):
    names = [name for name in names_of(route) if name not in OF_NONE]
    for api in callers:
        for n in range(1, len(names) + 1):
            for swapped in itertools.combinations(names, n):
                theirs = neighbours.ask(api, route, **{name: neighbours.theirs[name] for name in swapped})
                absent = neighbours.ask(api, route, **{name: neighbours.nobodys(name) for name in swapped})
                assert theirs[0] == 200 and '"items":[]' in theirs[1] if route in EMPTY else theirs[0] == 404, (swapped, theirs)
                assert theirs == absent, swapped


@pytest.mark.parametrize("route", [route for route in NESTED if {"issue", "event"} <= set(names_of(route))])
def test_an_event_of_another_issue(neighbours, callers, route):
    """Of the same project: it is not one of the issue in the path."""
    for name in ("issue", "event"):
        crossed = neighbours.ask(callers[0], route, **{name: neighbours.other[name]})
        assert crossed[0] == 404, (name, crossed)


def test_ids_in_bodies_and_queries(neighbours, callers):
    """They choose among what is in the project of the path."""
    path, theirs = neighbours.here.project.path, neighbours.theirs
    for api in callers:
        for method, body in (("PATCH", {"ids": [theirs["issue"]], "is_resolved": True}), ("DELETE", {"ids": [theirs["issue"]]})):
            answer = api.request(method, path + "/issues", json=body)
            assert answer.status_code == 200 and answer.json().get("changed", 0) == 0 == answer.json().get("deleted", 0), answer.text
        for where in (f"/attachments?event_id={theirs['event']}", f"/feedback?event_id={theirs['event']}"):
            assert api.read(path + where)["items"] == []
