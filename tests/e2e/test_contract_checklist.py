"""Contract §7.7, point by point: what the unmodified dashboard needs. Requests are as its client makes them: the session's cookie, Content-Type:
application/json whether there is a body or not."""
import re
import uuid

import pytest

import server
import wire
from client import Api
from contract import CHANNEL, CHANNEL_TEST, CURSOR_PAGE, EVENT, EVENT_DETAIL, ISSUE, OFFSET_PAGE, PROJECT, RULE, TOKEN, TOKEN_CREATED, USER, check, check_error, check_page

WEBHOOK = {"url": "https://hooks.example/a", "secret": "a webhook's secret", "headers": {"X-Key": "a header's secret"}}


def login(api, password=server.ADMIN[1]):
    return api.post("/auth/login", json={"email": server.ADMIN[0], "password": password})


def as_client(url, cookie=None):
    api = Api(url, cookie=cookie)
    api.headers["Content-Type"] = "application/json"
    return api


@pytest.fixture(scope="module")
def dashboard(picket):
    return as_client(picket.url, login(as_client(picket.url)).headers["Set-Cookie"].split(";")[0].partition("=")[2])


@pytest.fixture
def issue(project):
    """One that the dashboard shows."""
    project.send(wire.error_event(value="shown"))
    project.drain()
    return project.issue("shown")


def name():
    return f"n {uuid.uuid4().hex}"


def made(dashboard, path, status=201, **body):
    answer = dashboard.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_1_routes(picket):
    """R4–R31 but R23 and R29, with their exact paths and codes."""
    api = as_client(picket.url)
    answer = login(api)
    assert answer.status_code == 200  # R4
    api.headers["Cookie"] = answer.headers["Set-Cookie"].split(";")[0]
    project = made(api, "/api/projects", name=name())  # R8
    path = f"/api/projects/{project['id']}"
    sent = picket.new_project()  # events come with a DSN, not with a cookie
    sent.send(wire.error_event(value="of the first"))
    sent.drain()
    issues = sent.path + "/issues"
    issue = f"{issues}/{sent.issue('of the first')['id']}"
    event = f"{issue}/events/{api.read(issue + '/events?order=desc')['items'][0]['id']}"
    channel = made(api, "/api/alert-channels", name=name(), channel_type="webhook", config=WEBHOOK)["id"]  # R22
    rule = made(api, path + "/alert-rules", name=name(), alert_type="new_issue", channel_ids=[channel])["id"]  # R28
    token = made(api, "/api/tokens", description="checklist")["id"]  # R19
    for method, route, body, status in (
            ("GET", "/auth/me", None, 200), ("GET", "/api/projects?page=1&per_page=20", None, 200), ("GET", path, None, 200), ("PATCH", path, {"name": name()}, 200),
            ("GET", issues + "?page=1&per_page=20&sort=last_seen&order=desc&filter=open", None, 200), ("GET", issue, None, 200), ("PATCH", issue, {"is_resolved": True}, 200),
            ("GET", issue + "/events?order=desc", None, 200), ("GET", event, None, 200), ("DELETE", issue, None, 204), ("GET", "/api/tokens", None, 200),
            ("DELETE", f"/api/tokens/{token}", None, 204), ("GET", "/api/alert-channels", None, 200), ("PATCH", f"/api/alert-channels/{channel}", {"is_enabled": False}, 200),
            ("POST", f"/api/alert-channels/{channel}/test", None, 200), ("GET", path + "/alert-rules", None, 200),
            ("PATCH", f"{path}/alert-rules/{rule}", {"is_enabled": False}, 200), ("DELETE", f"{path}/alert-rules/{rule}", None, 204),
            ("DELETE", f"/api/alert-channels/{channel}", None, 204), ("DELETE", path, None, 204), ("POST", "/auth/logout", None, 204)):
        answer = api.request(method, route, json=body)
        assert answer.status_code == status, f"{method} {route}: {answer.status_code} {answer.text}"
        assert (answer.content == b"") == (status == 204)


def test_2_fields(dashboard, project, issue):
    """§7.2 of everything that a page reads, also of events whose SDK was sloppy; no cursor on the last page, `data` an object."""
    sloppy = wire.error_event(value="shown", event_id="fc6d8c0c43fc063090800000dead0000", timestamp=4e15, level=None, release=7)
    project.send(sloppy)
    project.drain()
    check(USER, dashboard.read("/auth/me"))
    check_page(OFFSET_PAGE, PROJECT, dashboard.read("/api/projects?page=1&per_page=20"))
    check(PROJECT, dashboard.read(project.path))
    page = check_page(OFFSET_PAGE, ISSUE, dashboard.read(project.path + "/issues?page=1&per_page=20&sort=last_seen&order=desc&filter=open"))
    check(ISSUE, dashboard.read(project.issue_path(page["items"][0])))
    events = check_page(CURSOR_PAGE, EVENT, dashboard.read(project.issue_path(issue) + "/events?order=desc"))
    assert "next_cursor" not in events and len(events["items"]) == 2
    for event in events["items"]:
        detail = check(EVENT_DETAIL, dashboard.read(f"{project.issue_path(issue)}/events/{event['id']}"))
        assert {key: detail[key] for key in EVENT} == event
    channel = check(CHANNEL, made(dashboard, "/api/alert-channels", name=name(), channel_type="webhook", config=WEBHOOK))
    check(CHANNEL_TEST, made(dashboard, f"/api/alert-channels/{channel['id']}/test", 200))
    check(RULE, made(dashboard, project.path + "/alert-rules", name=name(), alert_type="regression", channel_ids=[channel["id"]]))
    check(TOKEN_CREATED, made(dashboard, "/api/tokens"))
    for schema, path in ((CHANNEL, "/api/alert-channels"), (RULE, project.path + "/alert-rules"), (TOKEN, "/api/tokens")):
        rows = dashboard.read(path)
        assert rows and all(check(schema, row) for row in rows)


def test_3_cookie(picket, make_picket):
    """Of characters that decodeURIComponent leaves alone, taken as it is sent; Max-Age=0 when it goes; Secure only where the dashboard is behind TLS."""
    secure = make_picket(SSL_PROXY="true").start()
    for url, flags in ((picket.url, "HttpOnly; SameSite=Lax; Path=/"), (secure.url, "HttpOnly; SameSite=Lax; Secure; Path=/")):
        cookie = login(as_client(url)).headers["Set-Cookie"]
        value = re.fullmatch(r"rustrak_session=([A-Za-z0-9_-]+); " + flags, cookie).group(1)
        api = as_client(url, value)
        assert api.get("/auth/me").status_code == 200
        removal = api.post("/auth/logout", data=b"").headers["Set-Cookie"]
        assert removal == f"rustrak_session=; {flags}; Max-Age=0"
        assert api.get("/auth/me").status_code == 401


def test_4_logged_out(picket, project):
    """401, not 403 or a redirect; `error` is a text."""
    for api in (as_client(picket.url), as_client(picket.url, "A" * 43)):
        for path in ("/auth/me", "/api/projects", project.path, "/api/tokens", "/api/alert-channels", project.path + "/issues"):
            check_error(api.get(path), 401, "Unauthorized")
    check_error(as_client(picket.url).post("/auth/login", json={"email": server.ADMIN[0], "password": "wrong horse"}), 401)


def test_5_content_types_without_bodies(picket, dashboard, project):
    """JSON that is empty where there is no body; whatever comes with GET and DELETE."""
    channel = made(dashboard, "/api/alert-channels", name=name(), channel_type="webhook", config=WEBHOOK)
    assert dashboard.post(f"/api/alert-channels/{channel['id']}/test", headers={"Content-Length": "0"}).status_code == 200
    assert as_client(picket.url).post("/auth/logout", headers={"Content-Length": "0"}).status_code == 204
    for content_type in ("application/json", "text/plain", ""):
        assert dashboard.get(project.path, headers={"Content-Type": content_type}).status_code == 200
    assert dashboard.get(project.path, data=b"{").status_code == 200
    assert dashboard.delete(f"/api/alert-channels/{channel['id']}", data=b"{").status_code == 204


def test_6_pages(dashboard, project):
    """What is asked for comes back; pages are counted."""
    for n in range(5):
        project.send(wire.message_event(f"number {n}"))
    project.drain()
    for page, expected in ((1, 2), (2, 2), (3, 1), (4, 0)):
        answer = dashboard.read(f"{project.path}/issues?page={page}&per_page=2&filter=open")
        assert (len(answer["items"]), answer["page"], answer["per_page"], answer["total_count"], answer["total_pages"]) == (expected, page, 2, 5, 3)


def test_7_changes(picket, dashboard, project, issue):
    """One flag at a time; a channel's config is replaced, and the secrets in a form that is sent back stay what they were."""
    path = project.issue_path(issue)
    for body, state in (({"is_muted": True}, (False, True)), ({"is_muted": False}, (False, False)), ({"is_resolved": True}, (True, False)),
                        ({"is_resolved": False}, (False, False))):
        answer = dashboard.patch(path, json=body).json()
        assert (answer["is_resolved"], answer["is_muted"]) == state
    path = f"/api/alert-channels/{made(dashboard, '/api/alert-channels', name=name(), channel_type='webhook', config={**WEBHOOK, 'more': 1})['id']}"
    shown = dashboard.read(path)["config"]
    assert WEBHOOK["secret"] not in str(shown) and "a header" not in str(shown)
    assert dashboard.patch(path, json={"config": {key: value for key, value in shown.items() if key != "more"}}).status_code == 200
    (stored,), = picket.sql("SELECT config FROM alert_channels WHERE id = %s", int(path.rsplit("/", 1)[1]))
    assert stored == WEBHOOK


def test_8_three_tries(picket, dashboard, project):
    """The client sends each failing request three times: the failure stays the same, and a wrong password, tried thrice, locks nobody out."""
    taken = name()
    made(dashboard, "/api/projects", name=taken)
    assert {dashboard.post("/api/projects", json={"name": taken}).status_code for _ in range(3)} == {409}
    assert {dashboard.delete(f"{project.path}/issues/{uuid.uuid4()}").status_code for _ in range(3)} == {404}
    nobody = as_client(picket.url)
    assert [login(nobody, "not the password").status_code for _ in range(3)] == [401] * 3
    assert login(nobody).status_code == 200


def test_9_ids(dashboard, project, issue):
    """A project's number; an issue's and an event's `id`. The SDK's `event_id` is none."""
    event, = dashboard.read(project.issue_path(issue) + "/events?order=desc")["items"]
    assert dashboard.read(f"/api/projects/{project.id}/issues/{issue['id']}/events/{event['id']}")["event_id"] == event["event_id"] != event["id"]
    for path in (f"/api/projects/{project.slug}", f"{project.path}/issues/{issue['short_id']}x", f"{project.issue_path(issue)}/events/{event['event_id']}"):
        check_error(dashboard.get(path), 404, "NotFound")


def test_10_navigation(dashboard, project):
    """The first page of `asc` is as long as is reasonable: the dashboard knows no other; the first of `desc` is the newest."""
    ids = []
    for _ in range(45):
        ids += project.send(wire.error_event(value="again"))
        project.drain()
    path = project.issue_path(project.issue("again")) + "/events"
    rising = [uuid.UUID(event["event_id"]) for event in dashboard.read(path + "?order=asc")["items"]]
    falling = dashboard.read(path + "?order=desc")
    assert len(rising) == 45 and len(falling["items"]) == 20 and falling["has_more"]
    assert [uuid.UUID(event["event_id"]) for event in falling["items"]] == rising[::-1][:20]
