"""Who may send: protocol §1.4, the matrix of §10.2 and what decisions.md says ("ingest credentials"). One row is one request."""
import base64
import uuid

import pytest

import wire
from client import accepted
from contract import check_ingest_error
from waiting import until

OTHER_KEY = "0123456789abcdef0123456789abcdef"


def basic(user, password=""):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# {key}, {KEY}, {uuid}: the project's key; {dsn} its DSN. Columns: headers, query, dsn in the envelope header.
ACCEPTED = {
    "x-sentry-auth": ({"X-Sentry-Auth": "Sentry sentry_version=7, sentry_client=a/1, sentry_key={key}"}, "", None),
    "x-sentry-auth, lower-case scheme (sdk-observed, OTLP exporter)": ({"X-Sentry-Auth": "sentry sentry_key={key}"}, "", None),
    "x-sentry-auth, upper-case scheme": ({"X-Sentry-Auth": "SENTRY sentry_key={key}"}, "", None),
    "x-sentry-auth, commas without blanks (Java)": ({"X-Sentry-Auth": "Sentry sentry_version=7,sentry_client=java/8,sentry_key={key}"}, "", None),
    "x-sentry-auth with timestamp and secret, old version": (
        {"X-Sentry-Auth": "Sentry sentry_version=5, sentry_timestamp=1.5, sentry_secret=x, sentry_key={key}"}, "", None),
    "x-sentry-auth with unknown names": ({"X-Sentry-Auth": "Sentry sentry_key={key}, colour=blue"}, "", None),
    "x-sentry-auth empty plus envelope dsn": ({"X-Sentry-Auth": ""}, "", "{dsn}"),
    "authorization: Sentry": ({"Authorization": "Sentry sentry_key={key}, sentry_version=7"}, "", None),
    "authorization: Basic, no password": ({"Authorization": "basic:{key}"}, "", None),
    "query": ({}, "?sentry_version=7&sentry_key={key}&sentry_client=sentry.javascript.node%2F11.8.0", None),
    "query, percent-encoded": ({}, "?%73entry_key={key}", None),
    "key in upper case": ({"X-Sentry-Auth": "Sentry sentry_key={KEY}"}, "", None),
    "envelope dsn alone (tunnel)": ({}, "", "{dsn}"),
    "envelope dsn with an empty secret (CLI)": ({}, "", "http://{key}:@127.0.0.1:9/{id}"),
    "envelope dsn of another host": ({"X-Sentry-Auth": "Sentry sentry_key={key}"}, "", "https://{key}@sentry.example/{id}"),
    "header and envelope dsn that agree (Go)": ({"X-Sentry-Auth": "Sentry sentry_key={key}"}, "", "{dsn}"),
    "header and query that agree": ({"X-Sentry-Auth": "Sentry sentry_key={key}"}, "?sentry_key={key}", None),
    "two headers and query that agree": (
        {"X-Sentry-Auth": "Sentry sentry_key={key}", "Authorization": "Sentry sentry_key={key}"}, "?sentry_key={KEY}", None),
    "a proxy's Basic login beside the key": ({"Authorization": "basic:staging", "X-Sentry-Auth": "Sentry sentry_key={key}"}, "", None),
    "a proxy's Basic login beside the key in the query": ({"Authorization": "basic:staging"}, "?sentry_key={key}", None),
    "a proxy's Basic login beside the key in the envelope": ({"Authorization": "basic:staging"}, "", "{dsn}"),
    "Basic and envelope dsn that agree": ({"Authorization": "basic:{key}"}, "", "{dsn}"),
    "somebody's Bearer token beside the key": ({"Authorization": "Bearer abc", "X-Sentry-Auth": "Sentry sentry_key={key}"}, "", None),
}

REFUSED = {
    "none": (401, {}, "", None),
    "empty header": (401, {"X-Sentry-Auth": ""}, "", None),
    "header without a key": (401, {"X-Sentry-Auth": "Sentry sentry_version=7"}, "", None),
    "header that is something else": (401, {"X-Sentry-Auth": "Sentry nonsense"}, "", None),
    "header and query that differ": (401, {"X-Sentry-Auth": "Sentry sentry_key={key}"}, f"?sentry_key={OTHER_KEY}", None),
    "two headers that differ": (401, {"X-Sentry-Auth": "Sentry sentry_key={key}", "Authorization": f"Sentry sentry_key={OTHER_KEY}"}, "", None),
    "envelope dsn that is none": (401, {}, "", "not a dsn"),
    "version 8": (400, {"X-Sentry-Auth": "Sentry sentry_version=8, sentry_key={key}"}, "", None),
    "31 digits": (400, {"X-Sentry-Auth": "Sentry sentry_key=" + "a" * 31}, "", None),
    "32 letters, not hexadecimal": (400, {"X-Sentry-Auth": "Sentry sentry_key=" + "g" * 32}, "", None),
    "a proxy's Basic login alone": (400, {"Authorization": "basic:staging"}, "", None),
    "query key too short": (400, {}, "?sentry_key=abc", None),
    "envelope dsn of another project": (400, {"X-Sentry-Auth": "Sentry sentry_key={key}"}, "", "http://{key}@127.0.0.1:9/999999"),
    "envelope dsn with another key": (400, {"X-Sentry-Auth": "Sentry sentry_key={key}"}, "", f"http://{OTHER_KEY}@127.0.0.1:9/{{id}}"),
    "unknown key": (403, {"X-Sentry-Auth": f"Sentry sentry_key={OTHER_KEY}"}, "", None),
    "unknown key in envelope dsn": (403, {}, "", f"http://{OTHER_KEY}@127.0.0.1:9/{{id}}"),
}


def fill(text, project):
    if text is None:
        return None
    names = {"{key}": project.key, "{KEY}": project.key.upper(), "{dsn}": project.dsn, "{id}": str(project.id)}
    for name, value in names.items():
        text = text.replace(name, value)
    return text


def post(project, headers, query, dsn, event):
    headers = {name: fill(value, project) for name, value in headers.items()}
    headers = {name: basic(value[6:]) if value.startswith("basic:") else value for name, value in headers.items()}
    header = {"dsn": fill(dsn, project)} if dsn else {}
    return project.post(wire.event_envelope(event, **header), headers=headers, query=fill(query, project), auth=False)


@pytest.fixture(scope="module")
def project(picket):
    return picket.new_project()


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(project, name):
    event = wire.error_event(value=name)
    assert accepted(post(project, *ACCEPTED[name], event)) == event["event_id"]
    assert project.find(event["event_id"])["title"] == f"ValueError: {name}"


@pytest.mark.parametrize("name", REFUSED)
def test_refused(project, name):
    status, *how = REFUSED[name]
    check_ingest_error(post(project, *how, wire.error_event(value=f"refused: {name}")), status)


def test_nothing_refused_is_stored(picket, project):
    """After all the refusals above (and its own), only what was accepted is there."""
    check_ingest_error(project.post(wire.event_envelope(wire.error_event(value="refused: here")), auth=False), 401)
    project.drain()
    assert not [issue for issue in project.issues() if "refused" in issue["title"]]


def test_basic_with_a_password(project):
    """§1.4 (3): the secret is legacy and ignored."""
    answer = project.post(wire.event_envelope(wire.error_event()), headers={"Authorization": basic(project.key, "secret")}, auth=False)
    accepted(answer)


def test_project_is_not_a_number(project):
    for path in ("abc", "1x", "-1", "1.5", "99999999999999999999999", "%31%00"):
        check_ingest_error(project.post(b"{}", path=f"/api/{path}/envelope/"), 400)


def test_unknown_project_and_key_of_another_project(picket, project):
    """decisions.md: unknown project, key of another project: 403."""
    other = picket.new_project()
    for project_id in (other.id, 2**31 - 1, 2**31, 2**63, 0):
        check_ingest_error(project.post(b"{}", path=f"/api/{project_id}/envelope/"), 403)


def test_disabled_key(picket):
    """§1.4: a disabled key is refused; it is told from one request to the next (NOTIFY)."""
    project = picket.new_project()
    project.send(wire.error_event())
    picket.sql("UPDATE project_keys SET is_active = false WHERE public_key = %s", uuid.UUID(project.key))
    until(lambda: project.post(b"{}").status_code == 403, "the disabled key is still accepted", 5)
    picket.sql("UPDATE project_keys SET is_active = true WHERE public_key = %s", uuid.UUID(project.key))
    until(lambda: project.post(b"{}").status_code == 200, "the key is still refused", 5)


def test_credentials_come_before_the_body(project):
    """A stranger's garbage costs no parsing: 403, not 400; and no credential at all but a broken body is 400 or 401, never accepted."""
    check_ingest_error(project.post(b"\xff\x00garbage", headers={"X-Sentry-Auth": f"Sentry sentry_key={OTHER_KEY}"}, auth=False), 403)
    assert project.post(b"\xff\x00garbage", auth=False).status_code in (400, 401)


@pytest.mark.parametrize("path", ["/api/{id}/envelope", "/api/{id}/envelope/", "//api//{id}///envelope//"])
def test_slashes(project, path):
    """§1.2: with and without the final slash; runs of slashes are one."""
    event = wire.error_event()
    answer = wire.exchange(project.port, wire.request("POST", path.format(id=project.id), list(project.auth.items()), wire.event_envelope(event)))
    assert answer.status == 200 and answer.json() == {"id": event["event_id"]}


@pytest.mark.parametrize("content_type", ["application/x-sentry-envelope", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded",
                                          "multipart/form-data; boundary=x", "application/octet-stream", "nonsense", None])
def test_content_type_does_not_matter(project, content_type):
    """§2.4: do not discriminate."""
    headers = list(project.auth.items()) + ([("Content-Type", content_type)] if content_type else [])
    answer = wire.exchange(project.port, wire.request("POST", project.ingest_path, headers, wire.event_envelope(wire.error_event())))
    assert answer.status == 200, answer.body


def test_wrong_method(project):
    """§4.2: 405 with Allow; decisions.md "unknown method on a known path"."""
    for method in ("GET", "PUT", "DELETE", "PATCH", "BREW"):
        answer = wire.exchange(project.port, wire.request(method, project.ingest_path, []))
        assert answer.status == 405, method
        assert "POST" in answer.headers["allow"]
