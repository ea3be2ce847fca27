"""/store/ in all its forms, the pixel, the path without a project (protocol §1.2, §1.6, §10.1 test_store), and the tunnel."""
import base64
import gzip
import json
import uuid
import zlib
from urllib.parse import quote, urlsplit

import pytest
import requests

import described
import wire
from client import Project, accepted
from test_outcomes import wait_totals


def bare(project, method, path, **more):
    """A request with nothing but what is given."""
    session = described.watch(requests.Session())
    session.trust_env = False
    return session.request(method, project.api.url + path, timeout=60, **more)


def store(project, body, path=None, **headers):
    return project.post(body, path=path or f"/api/{project.id}/store/", headers={"Content-Type": "application/octet-stream", **headers})


def event(**fields):
    return {"event_id": uuid.uuid4().hex, "message": "Hello, World!", **fields}


FORMS = {"JSON": lambda text: text, "blanks": lambda text: b" \r\n" + text + b"\n", "base64": base64.b64encode, "zlib": zlib.compress,
         "base64 of zlib": lambda text: base64.b64encode(zlib.compress(text)), "base64 in lines": lambda text: base64.encodebytes(zlib.compress(text)),
         "URL-safe base64": lambda text: base64.urlsafe_b64encode(zlib.compress(text)).rstrip(b"=")}


@pytest.mark.parametrize("slashes", ["", "/", "//"])
@pytest.mark.parametrize("form", FORMS)
def test_store(project, form, slashes):
    """Old SDKs' wrappings (raven-node: base64 of zlib), whatever the content type says."""
    sent = event()
    answer = store(project, FORMS[form](wire.dumps(sent)), path=f"/api/{project.id}/store{slashes}")
    assert accepted(answer) == sent["event_id"]
    assert project.find(sent["event_id"])["title"] == "Log Message: Hello, World!"


@pytest.mark.parametrize("encode, name", [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
def test_content_encoding(project, encode, name):
    sent = event()
    assert accepted(store(project, encode(wire.dumps(sent)), **{"Content-Encoding": name})) == sent["event_id"]
    sent = event()
    wrapped = encode(base64.b64encode(zlib.compress(wire.dumps(sent))))
    assert accepted(store(project, wrapped, **{"Content-Encoding": name})) == sent["event_id"]
    project.wait_count(2)


@pytest.mark.parametrize("dress", ["{}", " {}\r\n", "{} ", "{}  \n"])
def test_base64_that_ends_in_a_plus(project, dress):
    """A blank at the end is a '+' where the text needs it, and else a blank."""
    sent = next(e for e in (event(message=f"no. {n}") for n in range(10**6)) if base64.b64encode(zlib.compress(wire.dumps(e))).endswith(b"+"))
    data = base64.b64encode(zlib.compress(wire.dumps(sent))).decode()
    for text in (data, data.replace("+", " ")):
        assert accepted(store(project, dress.format(text).encode())) == sent["event_id"]
    assert project.find(sent["event_id"])


def test_without_an_id(project):
    event_id = accepted(store(project, b'{"message": "no id"}'))
    assert project.find(event_id)["title"] == "Log Message: no id"


def test_envelope_to_store(project):
    sent = event()
    body = wire.event_envelope(sent)
    assert accepted(project.post(body, path=f"/api/{project.id}/store/")) == sent["event_id"]
    project.wait_count(1)


def test_path_without_a_project(project):
    """Raven: the project is the key's."""
    sent = event()
    assert accepted(store(project, wire.dumps(sent), path="/api/store/")) == sent["event_id"]
    pixel = bare(project, "GET", f"/api/store/?sentry_key={project.key}&sentry_version=7&sentry_data=" + quote(json.dumps(event())))
    assert pixel.status_code == 200
    project.wait_count(2)
    assert bare(project, "POST", "/api/store/", data=b"{}").status_code == 401
    assert bare(project, "POST", f"/api/store/?sentry_key={uuid.uuid4().hex}", data=b"{}").status_code == 403


@pytest.mark.parametrize("form", ["JSON", "base64", "base64 of zlib"])
def test_pixel(project, form):
    """GET …?sentry_data=; the answer is an image; a '+' that became a blank on the way is one again."""
    for message in ("pixel", "pixel ~~~???>>>" * 5):  # the second has '+' and '/' in its base64
        sent = event(message=message)
        data = FORMS[form](wire.dumps(sent)).decode()
        for query in {quote(data, safe=""), quote(data, safe="+")} if form != "JSON" else {quote(data)}:
            answer = bare(project, "GET", f"/api/{project.id}/store/?sentry_version=7&sentry_client=raven-js%2F1.0&sentry_key={project.key}&sentry_data={query}",
                          headers={"Origin": "https://shop.example"})
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/gif"), answer.text
            assert answer.content[:6] == b"GIF89a" and answer.headers["Access-Control-Allow-Origin"] == "*"
        assert project.find(sent["event_id"])


@pytest.mark.parametrize("body", [b"", b"nothing", b"[]", b"3", b"{", base64.b64encode(b"nothing"), zlib.compress(b"nothing"), zlib.compress(b"{}")[:-3], b"\0\xff"])
def test_refused(project, body):
    answer = store(project, body)
    assert answer.status_code == 400 and answer.json()["detail"], answer.text
    assert bare(project, "GET", f"/api/{project.id}/store/?sentry_key={project.key}&sentry_data={quote(body)}").status_code == 400


def test_no_credentials_and_no_project(project):
    assert project.post(wire.dumps(event()), path=f"/api/{project.id}/store/", auth=False).status_code == 401
    assert store(project, wire.dumps(event()), path="/api/x/store/").status_code == 400
    assert store(project, wire.dumps(event()), path=f"/api/{2**64 - 1}/store/").status_code == 400
    assert store(project, wire.dumps(event()), path="/api/0/store/").status_code == 403


@pytest.mark.parametrize("form", ["JSON", "zlib", "base64 of zlib"])
def test_at_the_limit(project, form):
    """§10.1 test_size_limit_status_code: the limit is one event's, whatever it is wrapped in."""
    limit = 1 << 20
    padding = limit - len(wire.dumps(event(extra="")))
    assert accepted(store(project, FORMS[form](wire.dumps(event(extra="x" * padding)))))
    assert store(project, FORMS[form](wire.dumps(event(extra="x" * (padding + 1))))).status_code == 413
    project.wait_count(1)
    wait_totals(project, {("error", "accepted", ""): 1, ("error", "invalid", "too_large:event"): 1})


def test_bombs(project):
    """§10.1 test_zipbomb_content_encoding."""
    bomb = zlib.compress(b"{" + b" " * (64 << 20))
    for body in (bomb, base64.b64encode(bomb)):
        assert store(project, body).status_code == 413
    for body in (bomb, b"A" * (90 << 20)):  # the second might be base64
        assert store(project, gzip.compress(body, 1), **{"Content-Encoding": "gzip"}).status_code == 413


def test_transaction_to_store(project):
    answer = store(project, wire.dumps({"type": "transaction", "transaction": "/"}))
    assert answer.status_code == 200 and "transaction" in answer.headers["X-Sentry-Rate-Limits"]


# ---- tunnel

def tunnel(project, header, *items, **more):
    return bare(project, "POST", "/tunnel/", data=wire.envelope(header, *items), **more)


def test_tunnel(project):
    """The DSN in the envelope's header says where it belongs: no path, no key in headers."""
    sent = event()
    answer = tunnel(project, {"event_id": sent["event_id"], "dsn": project.dsn}, wire.item("event", sent), headers={"Origin": "https://shop.example"})
    assert accepted(answer) == sent["event_id"] and answer.headers["Access-Control-Allow-Origin"] == "*"
    assert project.find(sent["event_id"])
    sent = event()
    body = gzip.compress(wire.envelope({"dsn": project.dsn}, wire.item("event", sent)))
    assert accepted(bare(project, "POST", "/tunnel", data=body, headers={"Content-Encoding": "gzip", "X-Sentry-Auth": "nonsense"})) == sent["event_id"]


@pytest.mark.parametrize("public, asked", [("https://errors.example", "https://{key}@errors.example:443/{id}"), ("http://errors.example:80", "http://{key}@errors.example/{id}"),
                                           ("https://errors.example:443/x", "https://{key}@Errors.example/x/{id}")])
def test_tunnel_and_the_port_of_a_scheme(make_picket, public, asked):
    picket = make_picket(PUBLIC_URL=public).start()
    project = picket.new_project()
    dsn = asked.format(key=project.key, id=project.id)
    assert accepted(tunnel(project, {"dsn": dsn}, wire.item("event", event())))
    assert tunnel(project, {"dsn": dsn.replace("rrors.example", "rrors.example:8443").replace(":443/", "/").replace("8443:443", "8443")},
                  wire.item("event", event())).status_code == 403


def test_tunnel_for_others(project, picket):
    """Only this server's own: a tunnel is no proxy."""
    parts = urlsplit(project.dsn)
    event_item = wire.item("event", event())
    foreign = project.dsn.replace(parts.netloc, f"{parts.username}@sentry.example")
    answer = tunnel(project, {"dsn": foreign}, event_item)
    assert answer.status_code == 403 and "tunnel" in answer.json()["detail"]
    assert tunnel(project, {}, event_item).status_code == 401
    assert tunnel(project, {"dsn": "nonsense"}, event_item).status_code == 401
    assert tunnel(project, {"dsn": project.dsn.replace(project.key, uuid.uuid4().hex)}, event_item).status_code == 403
    other = picket.new_project()
    assert tunnel(project, {"dsn": other.dsn.replace(other.key, project.key)}, event_item).status_code == 403
    assert other.count() == 0 and project.count() == 0


def test_under_a_path_prefix(make_picket):
    """PUBLIC_URL=https://host/errors: DSNs and every ingest path work below it and without it."""
    picket = make_picket(PUBLIC_URL="https://errors.example/errors").start()
    row = picket.new_project()
    project = Project(row.api, {"id": row.id, "slug": row.slug, "dsn": row.dsn})
    assert urlsplit(project.dsn).path == f"/errors/{project.id}"
    for prefix in ("/errors", ""):
        assert accepted(store(project, wire.dumps(event()), path=f"{prefix}/api/{project.id}/store/"))
        assert accepted(store(project, wire.dumps(event()), path=f"{prefix}/api/store/"))
        assert accepted(bare(project, "POST", f"{prefix}/tunnel/", data=wire.envelope({"dsn": project.dsn}, wire.item("event", event()))))
        report = {"csp-report": {"effective-directive": "img-src", "blocked-uri": prefix or "data"}}
        assert bare(project, "POST", f"{prefix}/api/{project.id}/csp-report?sentry_key={project.key}", json=report).content == b""
    project.wait_count(8)
