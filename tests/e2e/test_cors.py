"""Browsers: CORS of the ingest endpoint (protocol §1.3, decisions.md "CORS") and of the API (credentialed, the dashboard's origin alone)."""
import re

import pytest

import described
import wire
from client import Api
from contract import check_error
from server import ADMIN

DASHBOARD = "http://dashboard.test:3000"  # DASHBOARD_URL of the shared Picket
PAGE = "https://shop.example"


def names(header):
    return {name.strip().lower() for name in header.split(",")}


@pytest.mark.parametrize("path", ["/api/{id}/envelope/", "/api/{id}/envelope", "/api/999999/envelope/"])
def test_preflight(project, path):
    """200, no body, no authentication, no existing project."""
    answer = project.api.options(path.format(id=project.id), headers={
        "Authorization": None, "Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-sentry-auth, content-type"})
    assert answer.status_code == 200 and answer.content == b""
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert names(answer.headers["Access-Control-Allow-Headers"]) >= {
        "x-sentry-auth", "x-requested-with", "x-forwarded-for", "origin", "referer", "accept", "content-type", "authentication", "authorization",
        "content-encoding", "transfer-encoding", "sentry-trace", "baggage"}
    assert answer.headers["Access-Control-Max-Age"] == "3600"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_preflight_allows_what_is_asked_for(project):
    """decisions.md: requested headers allowed; an SDK with transportOptions.headers sends nothing otherwise (sdk-observed "Transport")."""
    answer = project.api.options(project.ingest_path, headers={
        "Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-my-proxy-auth,x-other_1"})
    assert names(answer.headers["Access-Control-Allow-Headers"]) >= {"x-my-proxy-auth", "x-other_1", "content-type"}


def test_preflight_does_not_echo_nonsense(project):
    answer = wire.exchange(project.port, wire.request("OPTIONS", project.ingest_path, [
        ("Origin", PAGE), ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", 'x"<script>;:')]))
    assert answer.status == 200
    assert "script" not in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize("origin", [PAGE, "null", None])
def test_every_ingest_answer_is_readable(project, origin):
    """200, 400, 401, 403, 405, 413 alike: allow-origin, the exposed headers, and cross-origin-resource-policy."""
    headers = {"Origin": origin} if origin else {}
    answers = [
        project.post(wire.event_envelope(wire.error_event()), headers=headers),
        project.post(b"", headers=headers),
        project.post(b"{}", headers=headers, auth=False),
        project.post(b"{}", headers=headers, query="?sentry_key=" + "0" * 32, auth=False),
        project.api.get(project.ingest_path, headers=headers),
        project.post(wire.envelope({}, wire.item("event", b"[" * (1 << 20) + b"]")), headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 401, 403, 405, 413]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert names(answer.headers["Access-Control-Expose-Headers"]) >= {"x-sentry-error", "x-sentry-rate-limits", "retry-after"}
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_simple_request_of_a_browser_sdk(project):
    """sdk-observed: text/plain, key in the query, no preflight."""
    event = wire.error_event()
    answer = project.post(wire.event_envelope(event), auth=False, query=f"?sentry_version=7&sentry_key={project.key}&sentry_client=sentry.javascript.browser%2F11",
                          headers={"Content-Type": "text/plain;charset=UTF-8", "Origin": PAGE, "Referer": PAGE + "/cart"})
    assert answer.json() == {"id": event["event_id"]}


# ---- the API

def test_dashboard_may_use_the_api(api):
    for answer in (api.get("/api/projects", headers={"Origin": DASHBOARD}), api.get("/api/projects/999999", headers={"Origin": DASHBOARD}),
                   api.get("/auth/me", headers={"Origin": DASHBOARD, "Authorization": None})):
        assert answer.headers["Access-Control-Allow-Origin"] == DASHBOARD
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert "origin" in names(answer.headers["Vary"])


def test_dashboard_preflight(api):
    answer = api.options("/api/projects", headers={"Authorization": None, "Origin": DASHBOARD, "Access-Control-Request-Method": "POST",
                                                   "Access-Control-Request-Headers": "content-type"})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == DASHBOARD
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert {"get", "post"} <= names(answer.headers["Access-Control-Allow-Methods"])
    assert "content-type" in names(answer.headers["Access-Control-Allow-Headers"])


@pytest.mark.parametrize("origin", [PAGE, "null", DASHBOARD + "0", "http://dashboard.test", DASHBOARD.upper(), "https://dashboard.test:3000"])
def test_others_may_not(api, browser, origin):
    """No allow-origin for anybody else, so no page can read an answer; what would change something is refused before it is looked at (§1.4)."""
    answer = browser.get("/api/projects", headers={"Origin": origin})
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers and "Access-Control-Allow-Credentials" not in answer.headers
    answer = browser.post("/api/projects", json={"name": "from a foreign page"}, headers={"Origin": origin})
    check_error(answer, 403)
    assert "Access-Control-Allow-Origin" not in answer.headers
    answer = api.post("/auth/login", json=dict(zip(("email", "password"), ADMIN)), headers={"Origin": origin, "Authorization": None})
    assert answer.status_code == 403 and "Set-Cookie" not in answer.headers
    assert "from a foreign page" not in {project["name"] for project in api.read("/api/projects", params={"per_page": 100})["items"]}


@pytest.fixture(scope="module")
def browser(picket):
    """With a session."""
    answer = Api(picket.url).post("/auth/login", json=dict(zip(("email", "password"), ADMIN)))
    return Api(picket.url, cookie=answer.headers["Set-Cookie"].split(";")[0].partition("=")[2])


@pytest.mark.parametrize("said, status", [
    ({}, 201),  # no browser: the dashboard's own server, curl (§7.1)
    ({"Sec-Fetch-Site": "same-origin"}, 201),
    ({"Sec-Fetch-Site": "same-site"}, 201),
    ({"Sec-Fetch-Site": "none"}, 201),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "Cross-Site"}, 403),
    ({"Sec-Fetch-Site": "cross-site", "Origin": DASHBOARD}, 201),
    ({"Sec-Fetch-Site": "same-origin", "Origin": PAGE}, 403),
    ({"Sec-Fetch-Site": "cross-site", "Origin": ""}, 403),
])
def test_changes_by_cookie(browser, said, status):
    """Origin decides where there is one, else Sec-Fetch-Site."""
    assert browser.post("/api/tokens", json={}, headers=said).status_code == status
    assert browser.post("/auth/logout", headers={"Cookie": "rustrak_session=none", **said}).status_code == (204 if status == 201 else 403)
    assert browser.get("/api/projects", headers=said).status_code == 200


@pytest.mark.parametrize("said", [{"Origin": PAGE}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}])
def test_changes_by_token(api, browser, said):
    """A page cannot send one that its user did not give it, so it may come from anywhere; a cookie beside it does not count."""
    answer = api.post("/api/tokens", json={}, headers=said)
    assert answer.status_code == 201 and "Access-Control-Allow-Origin" not in answer.headers
    check_error(api.post("/api/tokens", json={}, headers={**said, **browser.headers, "Authorization": "Bearer " + "0" * 40}), 401)


def test_every_change_is_asked_where_it_comes_from(browser):
    """Whatever the route."""
    for operation in described.operations():
        if operation.access != "ingest" and operation.method != "GET":
            path = re.sub(r"\{\w+\}", "99999999", operation.path)
            assert browser.request(operation.method, path, json={}, headers={"Origin": PAGE}).status_code == 403, (operation.method, path)


def test_no_browser_keeps_or_shows_an_answer(picket, project, api, browser):
    """Whatever it is: JSON, Markdown, an error, one that libh2o gives by itself."""
    event = project.find(project.send(wire.error_event())[0])
    path = f"{project.path}/issues/{event['issue_id']}/events/{event['id']}"
    answers = [api.get(path), api.get(path + "/raw"), api.get(path + "/markdown"), api.get("/health"), api.get("/nothing"), browser.get("/auth/me"), api.get("/api/openapi.json"),
               api.post("/api/projects", json={}), Api(picket.url).get("/api/projects"), api.request("PUT", "/api/projects")]
    answers = [(answer.status_code, answer.headers) for answer in answers]
    refused = wire.exchange(picket.port, wire.request("POST", "/api/projects", [("Content-Length", "99999999999")]))
    answers.append((refused.status, {name.title(): value for name, value in refused.headers.items()}))
    assert [status for status, _ in answers] == [200, 200, 200, 200, 404, 200, 200, 400, 401, 405, 413]
    for status, headers in answers:
        assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff", status
        assert headers["Referrer-Policy"] == "no-referrer", status
        assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'; frame-ancestors 'none'", status


def test_own_origin(picket, api):
    """A page served by Picket itself, and a client without an origin."""
    assert api.post("/api/tokens", json={}, headers={"Origin": picket.url}).status_code == 201
    assert api.post("/api/tokens", json={}).status_code == 201
