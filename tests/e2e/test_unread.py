"""Requests that are refused while they arrive, before a handler sees them: each is counted once and told to the project whose key its head bears
(protocol §4.8), and to nobody else's."""
import uuid

import pytest

import wire
from test_outcomes import post_head, totals, wait_totals
from waiting import until

LIMIT = 65536  # the least that MAX_BODY_BYTES takes
MiB = 1 << 20
SENT = ("error", "accepted", "")
BEYOND = 10 ** 18  # announced; nothing adds it up


@pytest.fixture
def picket(make_picket):
    return make_picket(MAX_BODY_BYTES=LIMIT, MAX_BODIES_BYTES=MiB, OUTCOMES_EVERY_MS=100).start()


def known_project(picket):
    """Whose key has been used: the notice of a new one may still be under way, and nobody is asked for it."""
    project = picket.new_project()
    project.send(wire.error_event())
    wait_totals(project, {SENT: 1})
    return project


def announce(project, size=LIMIT + 1, **more):
    return post_head(project, [("Content-Length", size)], **more)


def delivery(project):
    return project.api.read(project.path + "/delivery")["items"]


def test_too_large(picket):
    """413, announced or grown; with its size, and the SDK."""
    project = known_project(picket)
    auth = {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={project.key}, sentry_client=app/1.0"}
    assert announce(project, auth=auth.items()) == 413
    grown = wire.chunked(b"x" * (LIMIT + 1), LIMIT + 1).removesuffix(b"0\r\n\r\n")
    assert post_head(project, [("Transfer-Encoding", "chunked")], grown) == 413
    assert announce(project, auth=[], path=f"{project.ingest_path}?sentry_key={project.key}&sentry_version=7") == 413
    wait_totals(project, {SENT: 1, ("default", "invalid", "too_large"): 3})
    until(lambda: len(delivery(project)) == 3, lambda: delivery(project))
    by_query, chunked, announced = delivery(project)
    assert announced["bytes"] == by_query["bytes"] == LIMIT + 1 and LIMIT < chunked["bytes"] < LIMIT + 100
    assert (announced["category"], announced["outcome"], announced["reason"], announced["sdk"], announced["quantity"]) == ("default", "invalid", "too_large", "app/1.0", 1)
    project.send(wire.error_event())


def test_each_way_in(picket):
    """As what it brings; the key may stand in the path, the project be the key's. A number that is announced is only told."""
    project = known_project(picket)
    auth = list(project.auth.items())
    ways = {"store/": "error", "minidump/": "error", "security/": "security", "csp-report/": "security", "cron/a/": "monitor", "envelope": "default",
            f"events/{'1' * 32}/attachments/": "attachment_item"}
    for way, category in ways.items():
        assert announce(project, BEYOND, path=f"/api/{project.id}/{way}") == 413
    wanted = {SENT: 1}
    for category in [*ways.values(), "monitor", "error", "error", "default"]:
        name = (category, "invalid", "too_large")
        wanted[name] = wanted.get(name, 0) + 1
    assert announce(project, path=f"/api/{project.id}/cron/a/{project.key}/", auth=[]) == 413
    assert announce(project, path=f"/api/{project.id}/unreal/{project.key}/", auth=[]) == 413
    assert announce(project, path="/api/store/") == 413
    assert post_head(project, [("Content-Length", BEYOND), ("Content-Type", "application/x-sentry-envelope")], path=f"/api/{project.id}/store/", auth=auth) == 413
    wait_totals(project, wanted)
    assert {case["bytes"] for case in delivery(project)} == {BEYOND, LIMIT + 1}


def test_no_room(make_picket):
    """503: the sender did nothing wrong."""
    project = known_project(make_picket(MAX_BODIES_BYTES=MiB, OUTCOMES_EVERY_MS=100).start())
    body = wire.envelope({}, wire.item("attachment", b"x" * (2 * MiB)))
    assert project.post(body).status_code == 503
    wait_totals(project, {SENT: 1, ("default", "rate_limited", "busy"): 1})
    case, = delivery(project)
    assert (case["reason"], case["bytes"]) == ("busy", len(body))


def test_nobody_is_told_without_a_good_key(picket):
    """Another project's key, a wrong one, none, two, a project that is no number, a key that was rotated: no project's account changes."""
    project, other, rotated = (known_project(picket) for _ in range(3))
    mine = f"sentry_key={project.key}&sentry_version=7"
    for path, auth in ((other.ingest_path, None), (None, []), (f"{project.ingest_path}?sentry_key={uuid.uuid4().hex}", []), (f"{project.ingest_path}?{mine}", other.auth.items()),
                       (f"/api/x/envelope/?{mine}", []), (f"/api/{2 ** 64 - 1}/envelope/?{mine}", []), (f"/tunnel/?{mine}", []), (f"/api/99999/envelope/?{mine}", [])):
        assert announce(project, path=path, auth=auth) == 413, path
    picket.command("project", "rotate-key", rotated.id)
    until(lambda: rotated.post(b"{}\n").status_code == 403, "the key is good")
    assert announce(rotated) == 413  # by a key that was good
    assert announce(project) == 413  # the account that has this one has all that came before
    wait_totals(project, {SENT: 1, ("default", "invalid", "too_large"): 1})
    assert totals(other) == {SENT: 1} and delivery(other) == [] and len(delivery(project)) == 1 and "too_large" not in str(totals(rotated))
