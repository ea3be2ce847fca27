"""Settings of a project (issue 7, "Projects"): the pages that may send (protocol §1.3, §1.4), at every door; platform; grouping version."""
import urllib.parse

import pytest

import wire
from client import Project
from contract import PROJECT, check, check_error, check_ingest_error
from waiting import until

SHOP, STRANGER = {"Origin": "https://shop.example"}, {"Origin": "https://stranger.example"}


def change(project, **members):
    answer = project.api.patch(project.path, json=members)
    assert answer.status_code == 200, answer.text
    assert project.row() == answer.json()
    return answer.json()


def status(project, headers, body=b"{}"):
    return project.post(body, headers=headers).status_code


@pytest.fixture
def shop(picket):
    """A project that takes from https://shop.example alone, as far as pages go, and knows it."""
    project = picket.new_project()
    assert change(project, allowed_origins=["https://shop.example"])["allowed_origins"] == ["https://shop.example"]
    until(lambda: status(project, STRANGER) == 403, "strangers may send", 5)
    return project


def test_as_they_are_at_first(project):
    row = check(PROJECT, project.row())
    assert row["allowed_origins"] == [] and row["grouping_version"] == 1 and row["platform"] is None
    assert status(project, STRANGER) == 200


def test_pages(shop, project):
    """Origin, else Referer; http and https count alone; who names no page is none."""
    event = wire.event_envelope(wire.error_event())
    for headers in (SHOP, {"Referer": "https://shop.example/cart?x=1"}, {"Origin": "https://SHOP.example:443"}, {}, {"Origin": "null"}, {"Origin": "app://stranger"},
                    {**SHOP, "Referer": "https://stranger.example/"}, {"Origin": "null", "Referer": "https://shop.example/"}):
        assert status(shop, headers, event) == 200, headers
    for headers in (STRANGER, {"Referer": "https://stranger.example/cart"}, {"Origin": "http://shop.example"}, {**STRANGER, "Referer": "https://shop.example/"},
                    {"Origin": "https://shop.example.stranger.example"}, {"Origin": "null", "Referer": "https://stranger.example/"}):
        assert status(shop, headers, event) == 403, headers
    assert status(project, STRANGER, event) == 200
    shop.wait_count(1)


def test_refusal(shop):
    """The page can read it; it is in the project's accounts; nothing of it is stored."""
    answer = shop.post(wire.event_envelope(wire.error_event()), headers=STRANGER)
    check_ingest_error(answer, 403)
    assert "origin" in answer.json()["detail"] and answer.headers["Access-Control-Allow-Origin"] in ("*", STRANGER["Origin"])
    shop.drain()
    lost = until(lambda: [line for line in shop.api.read(shop.path + "/outcomes")["totals"] if line["reason"] == "cors"], "it is not in the accounts")
    assert all(line["outcome"] == "invalid" for line in lost) and shop.count() == 0


@pytest.mark.parametrize("path, body, content_type, good", [
    ("/api/{id}/store/", b'{"message": "m"}', "application/json", 200),
    ("/api/{id}/security/", wire.dumps({"csp-report": {"document-uri": "https://shop.example/", "violated-directive": "img-src"}}), "application/csp-report", 200),
    ("/api/{id}/cron/job/", b'{"status": "ok"}', "application/json", 202),
    ("/api/0/projects/o/{id}/user-feedback/", wire.dumps({"event_id": "1" * 32, "name": "n", "email": "e@example.com", "comments": "c"}), "application/json", 200)])
def test_doors(shop, path, body, content_type, good):
    for headers, expected in ((SHOP, good), (STRANGER, 403), ({}, good)):
        answer = shop.post(body, {**headers, "Content-Type": content_type}, path=path.format(id=shop.id))
        assert answer.status_code == expected, (headers, answer.text)


def test_dialog(shop):
    """Its script is asked for without Origin: the Referer tells."""
    path = "/api/embed/error-page/?" + urllib.parse.urlencode({"dsn": shop.dsn, "eventId": "0" * 31 + "1"})
    assert [shop.api.get(path, headers={"Referer": f"https://{host}.example/"}).status_code for host in ("shop", "stranger")] == [200, 403]


def test_tunnel(shop):
    event = wire.error_event()
    body = wire.envelope({"event_id": event["event_id"], "dsn": shop.dsn}, wire.item("event", event))
    assert [shop.post(body, headers, auth=False, path="/tunnel/").status_code for headers in (SHOP, STRANGER)] == [200, 403]


def test_changes_are_heard(shop):
    change(shop, allowed_origins=["*.example"])
    until(lambda: status(shop, STRANGER) == 200, "the list is not widened", 5)
    change(shop, allowed_origins=["localhost:3000"])
    until(lambda: status(shop, SHOP) == 403, "the list is not changed", 5)
    assert status(shop, {"Origin": "http://localhost:3000"}) == 200
    change(shop, allowed_origins=[])
    until(lambda: status(shop, SHOP) == 200, "the list is not taken back", 5)
    change(shop, name=shop.row()["name"], allowed_origins=None)


def test_at_the_start(make_picket):
    """The door does not open before the lists are read."""
    picket = make_picket().start()
    project = picket.new_project()
    change(project, allowed_origins=["https://shop.example"])
    picket.stop()
    picket.start()
    again = Project(picket.api, project.row())
    assert [status(again, STRANGER), status(again, SHOP)] == [403, 200]


@pytest.mark.parametrize("given, kept", [
    (["*"], ["*"]), (["  HTTPS://Shop.Example/ "], ["https://shop.example"]), (["*.shop.example", "http://[::1]:8080"], ["*.shop.example", "http://[::1]:8080"])])
def test_patterns(project, given, kept):
    assert change(project, allowed_origins=given)["allowed_origins"] == kept


@pytest.mark.parametrize("members", [{"allowed_origins": origins} for origins in (
    "https://a.example", [7], [""], ["https://a.example/path"], ["ftp://a.example"], ["a b"], ["a.*.example"], ["*a.example"], ["b\u00fccher.example"], ["a.example:0"],
    ["a.example:65536"], ["http://"], ["x" * 256], ["a.example"] * 101, ["a\0b"])] + [
    {"grouping_version": 2}, {"grouping_version": 0}, {"grouping_version": "1"}, {"platform": 7}, {"platform": "Python"}, {"platform": "x" * 65}, {"platform": "-x"}])
def test_bad_values(project, members):
    before = project.row()
    check_error(project.api.patch(project.path, json=members), 400, "ValidationError")
    assert project.row() == before


def test_platform(picket, project):
    """At the making and later; in the list, too."""
    assert change(project, platform="javascript-react")["platform"] == "javascript-react"
    assert change(project, name="Of a platform " + project.slug)["platform"] == "javascript-react"
    listed = {row["id"]: row for row in picket.api.read("/api/projects?per_page=100")["items"]}
    assert listed[project.id]["platform"] == "javascript-react"
    assert change(project, platform="")["platform"] is None
    answer = picket.api.post("/api/projects", json={"name": "Made " + project.slug, "platform": "python"})
    assert answer.status_code == 201 and answer.json()["platform"] == "python"
    check_error(picket.api.post("/api/projects", json={"name": "Not made " + project.slug, "platform": "?"}), 400, "ValidationError")


def test_grouping_version(project):
    assert change(project, grouping_version=1)["grouping_version"] == 1
