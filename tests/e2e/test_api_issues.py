"""Issues, events and tokens: contract R12–R20 (§1.7, §1.12–1.14, §7.2, §7.6) through a strict validator of the client's schemas."""
import base64
import concurrent.futures
import datetime
import json
import re
import threading
import uuid

import pytest

import wire
from contract import CURSOR_PAGE, EVENT, EVENT_DETAIL, ISSUE, OFFSET_PAGE, TOKEN, TOKEN_CREATED, check, check_error, check_page
from waiting import until

NIL = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def many(picket):
    """A project with 25 issues, one of them with 107 events, one resolved, two muted."""
    project = picket.new_project()
    project.send(*[wire.error_event("Busy", f"issue of {project.id}", release=f"app@{i}") for i in range(107)])
    project.wait_count(107)
    for i in range(1, 25):
        project.send(wire.error_event(f"E{i:02}", "quiet", level="warning" if i % 2 else "error"))
        project.wait_count(107 + i)
    for title, change in (("E01", {"is_resolved": True}), ("E02", {"is_muted": True}), ("E03", {"is_muted": True})):
        assert project.api.patch(project.issue_path(project.issue(title)), json=change).status_code == 200
    return project


def page(project, **query):
    return check_page(OFFSET_PAGE, ISSUE, project.api.read(f"{project.path}/issues", params=query))


def titles(answer):
    return [issue["title"].split(":")[0] for issue in answer["items"]]


# ---- R12

def test_default_page(many):
    """Open ones, by number, newest first, 20 a page."""
    answer = page(many)
    assert (answer["total_count"], answer["page"], answer["per_page"], answer["total_pages"]) == (22, 1, 20, 2)
    assert titles(answer) == [f"E{i:02}" for i in range(24, 4, -1)]
    assert titles(page(many, page=2)) == ["E04", "Busy"]


@pytest.mark.parametrize("filter, count", [("open", 22), ("resolved", 1), ("muted", 2), ("all", 25)])
def test_filters(many, filter, count):
    answer = page(many, filter=filter, per_page=100)
    assert answer["total_count"] == len(answer["items"]) == count
    for issue in answer["items"]:
        state = "resolved" if issue["is_resolved"] else "muted" if issue["is_muted"] else "open"
        assert filter in ("all", state)


@pytest.mark.parametrize("sort", ["digest_order", "last_seen"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_sorting(many, sort, order):
    """Both sorts agree here, because the issues were first and last seen in the order of their numbers."""
    got = [title for n in (1, 2, 3) for title in titles(page(many, sort=sort, order=order, filter="all", per_page=10, page=n))]
    expected = ["Busy"] + [f"E{i:02}" for i in range(1, 25)]
    assert got == (expected if order == "asc" else expected[::-1])


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("state", ["open", "resolved", "muted", "all"])
def test_sorting_within_a_second(picket, project, order, state):
    """Indexes know the second that an issue was last seen in; lists are exact."""
    names = [f"at {i}" for i in range(12)]
    project.send(*[wire.error_event(type=name) for name in names])
    project.wait_count(12)
    shuffled = names[::2] + names[1::2]
    for i, name in enumerate(shuffled):
        picket.sql("UPDATE issues SET last_seen = %s::timestamptz + %s * interval '0.3 s', is_resolved = %s, is_muted = %s WHERE project_id = %s AND type = %s",
                   "2026-01-01T00:00:00.5Z", i, state == "resolved", state == "muted", project.id, name)
    got = [title.split(":")[0] for n in (1, 2, 3) for title in titles(page(project, sort="last_seen", order=order, filter=state, per_page=5, page=n))]
    assert got == (shuffled if order == "asc" else shuffled[::-1])
    picket.sql("DELETE FROM projects WHERE id = %s", project.id)  # its issues say what its events do not: test_all_counters_in_the_end


def test_last_seen_follows_events(picket):
    project = picket.new_project()
    for n, name in enumerate(("A", "B", "A"), 1):
        project.send(wire.error_event(name))
        project.wait_count(n)
    assert titles(page(project, sort="last_seen", order="desc")) == ["A", "B"]
    assert titles(page(project, sort="digest_order", order="desc")) == ["B", "A"]


@pytest.mark.parametrize("query, got", [({"per_page": 0}, (1, 1)), ({"per_page": -3}, (1, 1)), ({"per_page": 10**15}, (1, 100)), ({"page": 0}, (1, 20)),
                                        ({"page": -(2**40)}, (1, 20))])
def test_clamps(many, query, got):
    answer = page(many, **query)
    assert (answer["page"], answer["per_page"]) == got and len(answer["items"]) == min(22, got[1])


def test_dashboards_own_query(many):
    """§7.4: exactly what the dashboard asks."""
    answer = page(many, page=1, per_page=20, sort="last_seen", order="desc", filter="open")
    assert len(answer["items"]) == 20


def test_unknown_keys_are_ignored(many):
    assert page(many, include_resolved="true", state="x", cursor="y")["total_count"] == 22


def test_no_such_project(api):
    for path in ("issues", f"issues/{NIL}", f"issues/{NIL}/events", f"issues/{NIL}/events/{NIL}"):
        check_error(api.get(f"/api/projects/999999/{path}"), 404, "NotFound")


def test_empty_project(project):
    assert page(project) == {"items": [], "total_count": 0, "page": 1, "per_page": 20, "total_pages": 0}


COUNTS = """
    SELECT count(*), count(*) FILTER (WHERE is_resolved), count(*) FILTER (WHERE is_muted AND NOT is_resolved) FROM issues WHERE project_id = %s"""


def expect_counts(picket, project):
    """What the list says is what there is, by rows."""
    n, resolved, muted = picket.sql(COUNTS, project.id)[0]
    for filter, count in (("all", n), ("resolved", resolved), ("muted", muted), ("open", n - resolved - muted)):
        for sort in ("last_seen", "digest_order"):
            answer = page(project, filter=filter, sort=sort, per_page=100)
            assert answer["total_count"] == len(answer["items"]) == count, (filter, sort)
    return n, resolved, muted


def test_counts_follow_every_change(picket):
    """Changes that change nothing, changes of what is muted and resolved at once, issues that come back, and issues that are no longer there."""
    project = picket.new_project()
    for i in range(8):
        project.send(wire.error_event(f"C{i}"))
        project.wait_count(i + 1)

    def change(title, **to):
        return project.api.patch(project.issue_path(project.issue(title)), json=to).status_code
    for title, to, counts in (("C0", {"is_resolved": True}, (8, 1, 0)), ("C0", {"is_resolved": True}, (8, 1, 0)), ("C1", {"is_muted": True}, (8, 1, 1)),
                              ("C1", {"is_resolved": True}, (8, 2, 0)), ("C2", {"is_muted": True}, (8, 2, 1)), ("C2", {"is_muted": False}, (8, 2, 0)),
                              ("C2", {"is_muted": True}, (8, 2, 1)), ("C0", {"is_resolved": False}, (8, 1, 1)), ("C0", {"is_resolved": True}, (8, 2, 1))):
        assert change(title, **to) == 200
        assert expect_counts(picket, project) == counts, (title, to)
    project.send(*[wire.error_event(name) for name in ("C0", "C1", "C2", "C9")])  # two come back, one stays muted, one is new
    project.wait_count(12)
    assert expect_counts(picket, project) == (9, 0, 1)
    assert change("C3", is_resolved=True) == 200
    picket.sql("DELETE FROM issues WHERE project_id = %s AND (is_resolved OR is_muted OR number = 5)", project.id)
    assert expect_counts(picket, project) == (6, 0, 0)


def test_counts_under_many_changes_at_once(picket):
    project = picket.new_project()
    names = [f"M{i:02}" for i in range(12)]
    project.send(*map(wire.error_event, names))
    project.wait_count(len(names))
    paths = {name: project.issue_path(project.issue(name)) for name in names}

    def change(name):
        for to in ({"is_resolved": True}, {"is_resolved": False}, {"is_muted": True}, {"is_resolved": True}) * 3:
            assert project.api.patch(paths[name], json=to).status_code == 200
            project.send(wire.error_event(name))
    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        list(threads.map(change, names))
    project.wait_count(len(names) * 13)
    assert expect_counts(picket, project)[0] == len(names)


# ---- R13, R14

def test_issue(many):
    issue = many.issue("Busy")
    got = check(ISSUE, many.api.read(many.issue_path(issue)))
    assert got == issue
    assert got["project_id"] == many.id and got["event_count"] == 107 and got["short_id"] == f"{many.slug.upper()}-1"
    assert got["title"] == f"Busy: issue of {many.id}" and got["value"] == f"issue of {many.id}"
    assert (got["level"], got["platform"]) == ("error", "python")


@pytest.mark.parametrize("spelling", [lambda i: uuid.UUID(i).hex, str.upper, lambda i: f"urn:uuid:{i}", lambda i: "{%s}" % i])
def test_spellings_of_an_id(many, spelling):
    """§1.1: UUIDs in every spelling: the same issue, or plainly none; never an error of ours."""
    issue = many.issue("Busy")
    answer = many.api.get(f"{many.path}/issues/{spelling(issue['id'])}")
    assert answer.status_code == 404 or answer.json()["id"] == issue["id"]


def test_issue_of_another_project(many, picket):
    other = picket.new_project()
    issue = many.issue("Busy")
    event = many.events(issue)[0]
    for path in (f"issues/{issue['id']}", f"issues/{issue['id']}/events", f"issues/{issue['id']}/events/{event['id']}"):
        check_error(other.api.get(f"{other.path}/{path}"), 404, "NotFound")
    check_error(other.api.patch(f"{other.path}/issues/{issue['id']}", json={"is_resolved": True}), 404, "NotFound")
    assert not many.issue("Busy")["is_resolved"]
    assert f"Issue {NIL} not found" in check_error(many.api.get(f"{many.path}/issues/{NIL}"), 404)["error"]


@pytest.fixture
def issue(project):
    project.send(wire.error_event())
    project.wait_count(1)
    return project.issues()[0]


def flags(answer):
    assert answer.status_code == 200, answer.text
    return check(ISSUE, answer.json())["is_resolved"], answer.json()["is_muted"]


def test_state_machine(project, issue):
    """§1.12 R14, §3.6: one action per request, in the contract's order."""
    path = project.issue_path(issue)
    steps = [({}, (False, False)), ({"is_muted": True}, (False, True)), ({"is_muted": True}, (False, True)), ({"is_muted": False}, (False, False)),
             ({"is_muted": True}, (False, True)), ({"is_resolved": True}, (True, False)), ({"is_resolved": True}, (True, False)),
             ({"is_muted": False}, (True, False)), ({"is_resolved": False}, (False, False)), ({"is_resolved": False}, (False, False)),
             ({"is_resolved": False, "is_muted": True}, (False, False)), ({"is_resolved": None, "is_muted": True}, (False, True)),
             ({"is_resolved": False}, (False, True)), ({"is_resolved": True, "is_muted": True}, (True, False)), ({"is_resolved": None, "is_muted": None}, (True, False)),
             ({"unknown": 1}, (True, False))]
    for n, (change, expected) in enumerate(steps):
        assert flags(project.api.patch(path, json=change)) == expected, (n, change)
        assert flags(project.api.get(path)) == expected


def test_mute_of_a_resolved_issue(project, issue):
    """decisions.md: 404, as in the contract."""
    path = project.issue_path(issue)
    project.api.patch(path, json={"is_resolved": True})
    body = check_error(project.api.patch(path, json={"is_muted": True}), 404, "NotFound")
    assert "already resolved" in body["error"]
    assert flags(project.api.get(path)) == (True, False)


@pytest.mark.parametrize("body", [{"is_resolved": "true"}, {"is_resolved": 1}, {"is_muted": []}, {"is_muted": "x"}])
def test_patch_of_wrong_types(project, issue, body):
    check_error(project.api.patch(project.issue_path(issue), json=body), 400, "ValidationError")
    assert flags(project.api.get(project.issue_path(issue))) == (False, False)


def test_patch_of_nothing(project):
    check_error(project.api.patch(f"{project.path}/issues/{NIL}", json={"is_resolved": True}), 404, "NotFound")


def test_transitions_say_who(picket, project, issue):
    """Changes by people are written down like those by events (architecture.md "Digest")."""
    project.api.patch(project.issue_path(issue), json={"is_resolved": True})
    project.api.patch(project.issue_path(issue), json={"is_resolved": True})
    rows = picket.sql("SELECT kind, user_id IS NOT NULL FROM issue_transitions WHERE issue_id = %s ORDER BY id", issue["id"])
    assert rows == [("new", False), ("resolved", True)]


# ---- R15

def test_delete(picket):
    """It is gone with its events and its number; its neighbours are untouched, and the next event of its kind is a new issue's (G-6)."""
    project, other = picket.new_project(), picket.new_project()
    project.send(wire.error_event("Gone"), wire.error_event("Gone"), wire.error_event("Kept"))
    project.wait_count(3)
    gone, kept = project.issue("Gone"), project.issue("Kept")
    event = project.events(gone)[0]
    check_error(other.api.delete(f"{other.path}/issues/{gone['id']}"), 404, "NotFound")
    answer = project.api.delete(project.issue_path(gone))
    assert answer.status_code == 204 and answer.content == b""
    for path in ("", "/events", f"/events/{event['id']}", f"/events/{event['id']}/raw"):
        assert "not found" in check_error(project.api.get(project.issue_path(gone) + path), 404, "NotFound")["error"]
    check_error(project.api.patch(project.issue_path(gone), json={"is_resolved": True}), 404, "NotFound")
    check_error(project.api.delete(project.issue_path(gone)), 404, "NotFound")
    assert project.issues() == [kept] and expect_counts(picket, project) == (1, 0, 0)
    project.send(wire.error_event("Gone"))
    project.wait_count(4)
    again = project.issue("Gone")
    assert again["event_count"] == 1 and again["id"] != gone["id"] and again["short_id"] == f"{project.slug.upper()}-3"
    assert len(project.events(again)) == 1 and project.issue("Kept") == kept


def test_delete_under_traffic(picket):
    """Each event is of the issue that was there when it was stored, or of a new one: none is lost, none refused, and what counts is right."""
    project = picket.new_project()
    names, over = [f"D{i}" for i in range(6)], threading.Event()
    project.send(*map(wire.error_event, names))

    def delete():
        n = 0
        while not over.is_set():
            for issue in project.issues():
                answer = project.api.delete(project.issue_path(issue))
                assert answer.status_code in (204, 404), answer.text
                n += answer.status_code == 204
        return n
    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        deleting = [threads.submit(delete) for _ in range(2)]
        sending = [threads.submit(lambda name: [project.send(wire.error_event(name)) for _ in range(50)], name) for name in names[:4]]
        try:
            for each in sending:
                each.result()
        finally:
            over.set()
        assert sum(each.result() for each in deleting) > 3
    project.wait_count(len(names) + 200)
    assert picket.sql("SELECT count(*) FROM events WHERE project_id = %s", project.id) == [(len(names) + 200,)]
    expect_counts(picket, project)
    for issue in project.issues():
        assert len(project.events(issue)) == issue["event_count"]


# ---- R16

def cursor_page(project, issue, **query):
    return check_page(CURSOR_PAGE, EVENT, project.api.read(project.issue_path(issue) + "/events", params=query))


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_round_trip_over_cursors(many, order):
    """107 events, every one once, in order, with next_cursor absent (not null) on the last page."""
    issue = many.issue("Busy")
    got, query = [], {"order": order}
    while True:
        answer = cursor_page(many, issue, **query)
        got += answer["items"]
        assert all(event["issue_id"] == issue["id"] for event in answer["items"])
        if not answer["has_more"]:
            break
        assert answer["items"], "an empty page that is not the last"
        assert re.fullmatch(r"[A-Za-z0-9_-]+", answer["next_cursor"])
        query["cursor"] = answer["next_cursor"]
    numbers = [int(event["release"].removeprefix("app@")) for event in got]
    assert sorted(numbers) == list(range(107))
    assert [event["id"] for event in got] == sorted((event["id"] for event in got), reverse=order == "desc")
    # one after the other over one connection: the order of sending is the order of arrival
    assert numbers == list(range(107))[::1 if order == "asc" else -1]


def test_pages_stay_put_while_events_arrive(picket):
    """A keyset cursor: what arrives between two pages shifts nothing."""
    project = picket.new_project()
    project.send(*[wire.error_event() for _ in range(45)])
    project.wait_count(45)
    issue = project.issues()[0]
    first = cursor_page(project, issue)
    project.send(*[wire.error_event() for _ in range(5)])
    project.wait_count(50)
    second = cursor_page(project, issue, cursor=first["next_cursor"])
    ids = [event["id"] for event in first["items"] + second["items"]]
    assert len(ids) == len(set(ids)) >= 40 and ids == sorted(ids, reverse=True)


def b64(value):
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("cursor", ["", "!", "a", "====", "x" * 5000, "%ff%fe", b64(b"\xff\xfe"), b64({}), b64([]), b64({"order": "desc"}), b64(b"null"),
                                    b64({"order": "desc", "last_digest_order": "x"}), b64({"order": 1, "id": NIL}), b64({"id": "not an id"}), b64(b"{" * 1000)])
def test_bad_cursors(many, cursor):
    """§1.7: 400, whatever is wrong with it."""
    answer = many.api.get(f"{many.issue_path(many.issue('Busy'))}/events?cursor={cursor}")
    check_error(answer, 400, "ValidationError")
    assert "cursor" in answer.json()["error"].lower()


def test_bad_order(many):
    check_error(many.api.get(many.issue_path(many.issue("Busy")) + "/events?order=up"), 400)


def test_events_of_nothing(many):
    check_error(many.api.get(f"{many.path}/issues/{NIL}/events"), 404, "NotFound")


# ---- R17

FULL = {
    "platform": "python", "level": "fatal", "release": "shop@1.2.3", "environment": "production", "server_name": "web-1", "transaction": "/checkout",
    "timestamp": "2026-01-02T03:04:05.123456Z", "sdk": {"name": "sentry.python", "version": "2.75.0", "packages": []},
    "exception": [{"type": "KeyError", "value": "'total'", "stacktrace": None},
                  {"type": "PaymentError", "value": "checkout failed", "module": None, "mechanism": {"type": "generic", "handled": False},
                   "stacktrace": {"frames": [{"function": "pay", "filename": "pay.py", "lineno": 7, "context_line": None, "in_app": True, "pre_context": None}]}}],
    "breadcrumbs": {"values": [{"timestamp": "2026-01-02T03:04:04.5Z", "category": "ui", "message": "click", "data": None},
                               {"timestamp": 1767323044.25, "level": "info"}]},
    "contexts": {"os": {"name": "Linux"}, "gone": None}, "tags": [["tenant", "acme"], ["n", 7], ["flag", True]],
    "user": {"id": 42, "email": "ann@example.com", "ip_address": None}, "extra": {"k": [1, None, {"a": None}]}, "modules": {"a": "1"},
    "request": {"url": "http://shop.test/pay", "method": "POST", "headers": {"Host": "shop.test"}, "query_string": [["a", "b"]]}, "unknown_key": {"kept": True},
}


@pytest.fixture(scope="module")
def full(picket):
    project = picket.new_project()
    event = {"event_id": uuid.uuid4().hex, **FULL}
    before = datetime.datetime.now(datetime.timezone.utc)
    project.send(event)
    return project, event, project.find(event["event_id"]), before


def test_detail(full):
    """§1.13: every column."""
    project, event, detail, before = full
    check(EVENT_DETAIL, detail)
    assert uuid.UUID(detail["event_id"]).hex == event["event_id"]
    assert detail["title"] == "PaymentError: checkout failed"
    assert detail["timestamp"] == "2026-01-02T03:04:05.123456Z"
    assert (detail["level"], detail["platform"], detail["release"], detail["environment"], detail["server_name"], detail["sdk_name"], detail["sdk_version"]) == (
        "fatal", "python", "shop@1.2.3", "production", "web-1", "sentry.python", "2.75.0")
    ingested = datetime.datetime.fromisoformat(detail["ingested_at"].replace("Z", "+00:00"))
    assert abs((ingested - before).total_seconds()) < 60
    summary = project.events(project.issue("PaymentError"))[0]
    assert check(EVENT, summary) == {name: detail[name] for name in EVENT}
    assert "data" not in summary


def no_nulls(value):
    return all(map(no_nulls, value.values() if isinstance(value, dict) else value)) if isinstance(value, (dict, list)) else value is not None


def test_data_is_what_dashboards_parse(full):
    """§7.6 "→ Ours": {values}, no nulls, epoch seconds, string maps; extra and unknown keys as they came."""
    _, event, detail, _ = full
    data = detail["data"]
    assert data["event_id"] == event["event_id"]
    assert [e["type"] for e in data["exception"]["values"]] == ["KeyError", "PaymentError"]
    crumbs = data["breadcrumbs"]
    crumbs = crumbs["values"] if isinstance(crumbs, dict) else crumbs
    assert [crumb["timestamp"] for crumb in crumbs] == [1767323044.5, 1767323044.25]
    assert data["contexts"]["os"]["name"] == "Linux" and "gone" not in data["contexts"]
    assert data["tags"]["tenant"] == "acme" and data["tags"]["n"] == "7" and all(isinstance(value, str) for value in data["tags"].values())
    assert data["user"]["id"] == "42" and "ip_address" not in data["user"]
    for block in ("exception", "breadcrumbs", "contexts", "tags", "user"):
        assert no_nulls(data[block]), block
    assert data["extra"] == event["extra"] and data["unknown_key"] == event["unknown_key"] and data["modules"] == event["modules"]
    assert data["request"]["method"] == "POST" and data["transaction"] == "/checkout"
    frame = data["exception"]["values"][1]["stacktrace"]["frames"][0]
    assert frame["lineno"] == 7 and frame["in_app"] is True and frame["function"] == "pay"


def test_event_of_another_issue(full, many):
    """The row id (`id`), not the SDK's, of this issue: else 404."""
    project, event, detail, _ = full
    busy = many.issue("Busy")
    theirs = many.events(busy)[0]
    for path in (f"{project.issue_path({'id': detail['issue_id']})}/events/{theirs['id']}", f"{project.issue_path({'id': detail['issue_id']})}/events/{NIL}",
                 f"{many.issue_path(many.issue('E24'))}/events/{theirs['id']}"):
        check_error(project.api.get(path), 404, "NotFound")
    check_error(project.api.get(f"{project.issue_path({'id': detail['issue_id']})}/events/{uuid.UUID(event['event_id'])}"), 404)


def test_drifting_clock(project):
    """decisions.md "timestamp of an event", protocol §5.4: an SDK whose clock is two hours behind is corrected by sent_at; a minute is not."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def text(hours):
        return (now - datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    slow, near, ahead = (wire.message_event(name) for name in ("slow", "near", "ahead"))
    project.post(wire.event_envelope({**slow, "timestamp": text(2)}, sent_at=text(2)))
    project.post(wire.event_envelope({**near, "timestamp": text(0.3)}, sent_at=text(0.3)))
    project.post(wire.event_envelope({**ahead, "timestamp": text(-2)}, sent_at=text(0)))
    seen = {name: datetime.datetime.fromisoformat(project.find(event["event_id"])["timestamp"].replace("Z", "+00:00")) for name, event in
            (("slow", slow), ("near", near), ("ahead", ahead))}
    assert abs((seen["slow"] - now).total_seconds()) < 30
    assert abs((seen["near"] - (now - datetime.timedelta(hours=0.3))).total_seconds()) < 1
    assert abs((seen["ahead"] - now).total_seconds()) < 30


# ---- as Markdown

def test_markdown(picket):
    """For a ticket or a language model: the newest call first with its source, facts, tags, the last crumbs; what was sent is never markup."""
    project = picket.new_project()
    frames = [{"filename": "app.py", "function": "main", "lineno": 3, "in_app": True},
              {"filename": "cart.py", "function": "total", "lineno": 42, "in_app": True, "pre_context": ["a", "def total(items):"],
               "context_line": "    return 1 / 0  # ``` | <b>", "post_context": ["", "x = 1", "y = 2", "never shown"]}]
    event = {"event_id": uuid.uuid4().hex, "platform": "python", "level": "error", "release": "shop@1.2", "environment": "prod", "transaction": "/cart",
             "exception": {"values": [{"type": "KeyError", "value": "inner"},
                                      {"type": "Cart*Error", "value": "```\n# no heading\n| no | cell |", "stacktrace": {"frames": frames}}]},
             "tags": {"pipe.d": "a|<script>`", "line": "one\ntwo"}, "user": {"id": "7", "email": "jo@example.com"}, "request": {"method": "POST", "url": "https://a.example/x"},
             "breadcrumbs": [{"timestamp": 1795262400 + i, "category": "query", "message": f"crumb {i} | `x`"} for i in range(40)]}
    project.send(event)
    summary = project.events(until(lambda: project.issue("Cart"), "no issue"))[0]
    path = f"{project.path}/issues/{summary['issue_id']}/events/{summary['id']}/markdown"
    answer = project.api.get(path)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
    page, lines = answer.text, answer.text.split("\n")
    assert lines[0] == "# ```` Cart*Error: ``` ````"
    for fact in ("**Level:** `error`", "**Release:** `shop@1.2`", "**Environment:** `prod`", "**Transaction:** `/cart`", "**Request:** `POST https://a.example/x`",
                 "**User:** `id 7, email jo@example.com`"):
        assert f"- {fact}" in lines, page
    assert page.index("### `Cart*Error`") < page.index("### `KeyError`")
    assert page.index("cart.py:42 in total (in app)") < page.index("app.py:3 in main (in app)")
    assert "      >     return 1 / 0  # ``` | <b>" in lines and "        y = 2" in lines and "never shown" not in page
    assert "- `pipe.d`: `` a|<script>` ``" in lines and "- `line`: `one two`" in lines
    assert "## The last 30 of 40 breadcrumbs" in lines and "crumb 9 " not in page and "| `query` | `` crumb 39 \\| `x` `` |" in page
    assert "````" in lines and sum(line.startswith("````") for line in lines) == 4  # two blocks of code with three of them
    plain = project.send(wire.message_event("just words"))[0]
    summary = project.find(plain)
    page = project.api.get(f"{project.path}/issues/{summary['issue_id']}/events/{summary['id']}/markdown").text
    assert "## Message\n\n```\njust words\n```\n" in page and "## Exception" not in page
    check_error(project.api.get(f"{project.path}/issues/{summary['issue_id']}/events/{NIL}/markdown"), 404, "NotFound")


def test_markdown_of_a_large_event(picket):
    """Read on another thread, and bounded: 250 frames, both ends."""
    project = picket.new_project()
    frames = [{"filename": f"f{i}.py", "function": "f" * 300, "lineno": i, "context_line": "x" * 1000, "pre_context": ["p" * 700] * 3} for i in range(250)]
    event_id = project.send(wire.error_event(exception={"values": [{"type": "Deep", "value": "v" * 5000, "stacktrace": {"frames": frames}}]}))[0]
    summary = project.find(event_id)
    page = project.api.get(f"{project.path}/issues/{summary['issue_id']}/events/{summary['id']}/markdown").text
    assert len(page) < 150_000 and "… 200 more" in page and "f249.py:249" in page and "f0.py:0" in page and "f100.py" not in page


# ---- R18–R20

def test_tokens(api):
    """Created, listed newest first with its prefix alone, used, deleted."""
    answer = api.post("/api/tokens", json={"description": "ci ünïcode"})
    assert answer.status_code == 201
    created = check(TOKEN_CREATED, answer.json())
    assert re.fullmatch(r"[0-9a-f]{40}", created["token"]) and created["description"] == "ci ünïcode"
    listed = api.read("/api/tokens")
    mine = [check(TOKEN, token) for token in listed][0]
    assert mine["id"] == created["id"] and mine["token_prefix"] == created["token"][:8] + "..." and mine["last_used_at"] is None
    assert created["token"] not in json.dumps(listed)
    theirs = type(api)(api.url, token=created["token"])
    assert theirs.get("/api/projects").status_code == 200
    assert next(token for token in api.read("/api/tokens") if token["id"] == created["id"])["last_used_at"] is not None
    deleted = api.delete(f"/api/tokens/{created['id']}")
    assert deleted.status_code == 204 and deleted.content == b""
    check_error(theirs.get("/api/projects"), 401, "Unauthorized")
    assert f"Token with id {created['id']} not found" in check_error(api.delete(f"/api/tokens/{created['id']}"), 404, "NotFound")["error"]


@pytest.mark.parametrize("body, description", [({}, None), ({"description": None}, None), ({"description": ""}, ""), ({"description": "x" * 255}, "x" * 255)])
def test_token_descriptions(api, body, description):
    answer = api.post("/api/tokens", json=body)
    assert answer.status_code == 201
    assert answer.json()["description"] in (description, None if description == "" else description)
    assert api.delete(f"/api/tokens/{answer.json()['id']}").status_code == 204


@pytest.mark.parametrize("body", [{"description": 7}, {"description": "x" * 256}, {"description": []}, {"expires_at": "yesterday"}, {"expires_at": 7}])
def test_bad_tokens(api, body):
    check_error(api.post("/api/tokens", json=body), 400, "ValidationError")


def test_token_that_expires(picket, api):
    """decisions.md "tokens": optional expires_at."""
    soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    answer = api.post("/api/tokens", json={"description": "an hour", "expires_at": soon})
    assert answer.status_code == 201, answer.text
    theirs = type(api)(api.url, token=answer.json()["token"])
    assert theirs.get("/auth/me").status_code == 200
    picket.sql("UPDATE api_tokens SET expires_at = now() - interval '1 second' WHERE id = %s", answer.json()["id"])
    check_error(theirs.get("/auth/me"), 401)


@pytest.mark.parametrize("token_id", ["abc", "0", "-1", "999999", "99999999999999999999"])
def test_no_such_token(api, token_id):
    answer = api.delete(f"/api/tokens/{token_id}")
    check_error(answer, 404)


def test_delete_ignores_bodies(api):
    """§7.7 (5): the client sends a content type with every request."""
    token = api.post("/api/tokens", json={}).json()
    assert api.delete(f"/api/tokens/{token['id']}", headers={"Content-Type": "application/json"}, data=b"").status_code == 204
    assert api.get("/api/tokens", headers={"Content-Type": "application/json"}).status_code == 200
