"""Every ingest endpoint (protocol §1.2, §1.6) in every dress: with and without its slash, under a path prefix and without it, for pages of other origins
(§1.3); with a key that is not good; and what it took is counted (§4.5)."""
import itertools
import json
import uuid
from urllib.parse import quote, urlencode

import pytest

import dumps
import server
import wire
from client import Project
from test_cors import PAGE, names
from test_crash_reports import DUMP, form
from test_outcomes import wait_totals
from test_store import bare

PREFIX = "/errors"
REPORT = {"csp-report": {"effective-directive": "img-src", "blocked-uri": "https://evil.example"}}
WORDS = {"name": "Ada", "email": "ada@example.com", "comments": "It broke"}


@pytest.fixture(scope="module")
def site(cluster):
    """A project of a Picket that is reached as https://errors.example/errors."""
    one = server.Picket(server.Directory(), DATABASE_URL=cluster.migrated_database(), CREATE_SUPERUSER=":".join(server.ADMIN),
                        PUBLIC_URL="https://errors.example" + PREFIX)
    try:
        yield one.start()
    finally:
        one.end()


@pytest.fixture
def project(site):
    row = site.new_project()
    return Project(row.api, {"id": row.id, "slug": row.slug, "dsn": row.dsn})


def packed(parts, status=200):
    """Arguments of a form that is posted."""
    body, content_type = form(*parts)
    return {"data": body, "type": content_type, "status": status}


def event():
    return {"event_id": uuid.uuid4().hex, "message": "hello"}


def envelope(project):
    return {"data": wire.envelope({}, wire.item("event", event())), "type": "application/x-sentry-envelope"}


def tunnelled(project):
    return {"data": wire.envelope({"dsn": project.dsn}, wire.item("event", event())), "type": "text/plain", "auth": False}


def store(project):
    return {"data": wire.dumps(event()), "type": "application/json"}


def pixel(project):
    return {"method": "GET", "query": {"sentry_data": json.dumps(event())}}


def report(project):
    return {"data": wire.dumps(REPORT), "type": "application/csp-report"}


NETWORK_ERROR, LOGS = b'[{"type":"network-error","age":1,"url":"https://a.example","body":{}}]', b'{"resourceLogs": []}'


def network_error(project):
    return {"data": NETWORK_ERROR, "type": "application/reports+json"}


def spans(project):
    return {"data": b"\x0a\x00", "type": "application/x-protobuf"}


def logs(project):
    return {"data": LOGS, "type": "application/json"}


def minidump(project):
    return packed([("upload_file_minidump", "a.dmp", DUMP)])


def unreal(project):
    return {"data": dumps.compressed(dumps.unreal([("a.dmp", DUMP)])), "type": "application/octet-stream", "auth": False}


def files(project):
    return packed([("f", f"{uuid.uuid4()}.txt", b"12345")], 201)  # a file of that name and content is kept once


def check_in(project):
    return {"data": json.dumps({"status": "ok", "environment": uuid.uuid4().hex, "monitor_config": {"schedule": {"type": "interval", "value": 1, "unit": "day"}}}).encode(),
            "type": "application/json", "status": 202}


def ping(project):
    return {"method": "GET", "query": {"status": "ok", "environment": uuid.uuid4().hex}, "status": 202}


def ping_by_path(project):
    return {**ping(project), "auth": False}


def words(project):
    return {"data": wire.dumps({"event_id": uuid.uuid4().hex, **WORDS}), "type": "application/json", "authorization": f"DSN {project.dsn}", "auth": False}


def dialog(project):
    return {"data": urlencode(WORDS).encode(), "type": "application/x-www-form-urlencoded", "auth": False,
            "query": {"dsn": project.dsn, "eventId": uuid.uuid4().hex}}


def dialog_script(project):
    return {"method": "GET", "auth": False, "query": {"dsn": project.dsn, "eventId": uuid.uuid4().hex}}


CRASH = {("error", "accepted", ""): 1, ("attachment", "accepted", ""): len(DUMP), ("attachment_item", "accepted", ""): 1}
ERROR, SECURITY, FEEDBACK, MONITOR = ({(category, "accepted", ""): 1} for category in ("error", "security", "feedback", "monitor"))
ENDPOINTS = {
    "/api/{id}/envelope": (envelope, ERROR), "/tunnel": (tunnelled, ERROR), "/api/{id}/store": (store, ERROR), "/api/store": (store, ERROR),
    "/api/{id}/store?": (pixel, ERROR), "/api/store?": (pixel, ERROR), "/api/{id}/security": (report, SECURITY), "/api/{id}/csp-report": (report, SECURITY),
    "/api/{id}/integration/otlp/v1/traces": (spans, {("span", "filtered", "not_stored"): 1}), "/api/{id}/otlp/v1/traces": (spans, {("span", "filtered", "not_stored"): 1}),
    "/api/{id}/integration/otlp/v1/logs": (logs, {("log_item", "filtered", "not_stored"): 1, ("log_byte", "filtered", "not_stored"): len(LOGS)}),
    "/api/{id}/nel": (network_error, {("log_item", "filtered", "not_stored"): 1, ("log_byte", "filtered", "not_stored"): len(NETWORK_ERROR)}),
    "/api/{id}/minidump": (minidump, CRASH),
    "/api/{id}/unreal/{key}": (unreal, CRASH), "/api/{id}/events/{event}/attachments": (files, {("attachment", "accepted", ""): 5, ("attachment_item", "accepted", ""): 1}),
    "/api/{id}/cron/{slug}": (check_in, MONITOR), "/api/{id}/cron/{slug}?": (ping, MONITOR), "/api/{id}/cron/{slug}/{key}": (ping_by_path, MONITOR),
    "/api/0/projects/sentry/{id}/user-feedback": (words, FEEDBACK), "/api/embed/error-page": (dialog, FEEDBACK), "/api/embed/error-page?": (dialog_script, {}),
}
DRESSES = list(itertools.product(("", PREFIX), ("", "/")))


def call(project, endpoint, prefix, slash, key=None):
    """The request that the endpoint is for, with another key if one is given."""
    request, _ = ENDPOINTS[endpoint]
    given = request(project)
    path = endpoint.rstrip("?").format(id=project.id, key=key or project.key, event="1" * 32, slug="nightly")
    headers = {"Origin": PAGE, **({"Content-Type": given["type"]} if "type" in given else {}), **({} if given.get("auth") is False else project.auth)}
    if "authorization" in given:
        headers["Authorization"] = given["authorization"]
    data, query = given.get("data"), urlencode(given.get("query", {}), quote_via=quote)
    if key:
        headers = {name: value.replace(project.key, key) for name, value in headers.items()}
        data, query = data and data.replace(project.key.encode(), key.encode()), query.replace(project.key, key)
    answer = bare(project, given.get("method", "POST"), prefix + path + slash + ("?" + query if query else ""), data=data, headers=headers)
    return answer, given.get("status", 200)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_in_every_dress(project, endpoint):
    request, counted = ENDPOINTS[endpoint]
    before = request in (ping, ping_by_path)
    if before:  # the monitor must be there
        assert call(project, "/api/{id}/cron/{slug}", "", "/")[0].status_code == 202
    for prefix, slash in DRESSES:
        answer, status = call(project, endpoint, prefix, slash)
        assert answer.status_code == status, f"{prefix} {slash}: {answer.status_code} {answer.text[:300]}"
        assert answer.headers["Access-Control-Allow-Origin"] == "*" and "Access-Control-Allow-Credentials" not in answer.headers
        assert names(answer.headers["Access-Control-Expose-Headers"]) >= {"x-sentry-error", "x-sentry-rate-limits", "retry-after"}
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    wait_totals(project, {name: (len(DRESSES) + before) * quantity for name, quantity in counted.items()})


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_preflight_and_strangers(project, endpoint):
    """Whoever asks whether it may ask needs no key; whoever comes with a key that is none gets 403 (of the dialog 404), readable for a page, and is counted for nobody."""
    path = endpoint.rstrip("?").format(id=project.id, key=project.key, event="1" * 32, slug="nightly")
    for prefix, slash in DRESSES:
        answer = bare(project, "OPTIONS", prefix + path + slash, headers={
            "Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, x-sentry-auth"})
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == "*" and names(answer.headers["Access-Control-Allow-Headers"]) >= {"content-type", "x-sentry-auth"}
        answer, _ = call(project, endpoint, prefix, slash, uuid.uuid4().hex)
        assert answer.status_code == (404 if "embed" in endpoint else 403), answer.text
        assert answer.headers["Access-Control-Allow-Origin"] == "*" and answer.headers["X-Sentry-Error"]
    project.send({"message": "a mark"})
    wait_totals(project, ERROR)
