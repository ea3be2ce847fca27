"""What a stranger who means harm, or has bad luck, does to a server: found by attacking a running one."""
import concurrent.futures
import contextlib
import gzip
import os
import re
import secrets
import socket
import threading
import time

import pytest

import server
import wire
from client import Api
from waiting import until


@pytest.fixture
def folder():
    directory = server.Directory()
    yield directory
    directory.remove()


@pytest.fixture
def taken_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        yield s.getsockname()[1]


def test_port_in_use_at_the_first_start(folder, taken_port):
    """Another program has the port: said before anything is made, so that password and DSN, which are shown once, are shown by the start that works."""
    data = folder.join("data")
    done = server.run("serve", DATA_DIR=data, PORT=taken_port)
    assert done.returncode == 1 and str(taken_port) in done.stderr and "PORT" in done.stderr
    assert done.stdout == "" and not os.path.exists(os.path.join(data, "postgres"))
    picket = server.Picket(folder, DATA_DIR=data)
    try:
        picket.start()
        until(lambda: re.search(r"Password +\S{20}", picket.printed()) and "DSN" in picket.printed(), picket.printed)
    finally:
        picket.end()


def test_host_that_is_not_ours(folder):
    done = server.run("serve", DATA_DIR=folder.join("data"), HOST="192.0.2.1", PORT=1024)
    assert done.returncode == 2 and "HOST=192.0.2.1" in done.stderr and done.stdout == ""


def test_guessing_behind_a_proxy(make_picket):
    """Behind a proxy a client can write what it likes into X-Forwarded-For; what the proxy adds at the end, or as a header of its own, is what guesses
    are counted by (a fourth failure within two seconds counts, so 20 take 60)."""
    picket = make_picket(TRUSTED_PROXIES="127.0.0.1").start()

    def guess(i):
        headers = {"X-Forwarded-For": f"198.51.{i}.1, 203.0.113.7"}
        return Api(picket.url).post("/auth/login", json={"email": f"user{i}@example.com", "password": "wrong password"}, headers=headers)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(90)))
    assert {answer.status_code for answer in answers} == {401, 429}
    elsewhere = Api(picket.url).post("/auth/login", json={"email": "x@example.com", "password": "wrong password"}, headers={"X-Forwarded-For": "203.0.113.8"})
    assert elsewhere.status_code == 401


def test_headers_that_are_there_twice(picket, project):
    """decisions.md "ingest credentials": several that differ are refused, wherever they stand; stacked encodings are (protocol §2.4)."""
    body = wire.event_envelope(wire.error_event())
    other = f"Sentry sentry_key={secrets.token_hex(16)}"
    for name, mine, theirs in (("X-Sentry-Auth", project.auth["X-Sentry-Auth"], other), ("Authorization", project.auth["X-Sentry-Auth"], other)):
        for headers, status in (([(name, mine), (name, mine)], 200), ([(name, mine), (name, theirs)], 401), ([(name, theirs), (name, mine)], 401)):
            assert wire.exchange(project.port, wire.request("POST", project.ingest_path, headers, body)).status == status, headers
    headers = [*project.auth.items(), ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    assert wire.exchange(project.port, wire.request("POST", project.ingest_path, headers, gzip.compress(body))).status == 415


@pytest.fixture(scope="module")
def bomb():
    """97 KB that become 95 MiB: a second's work."""
    return gzip.compress(b'{}\n{"type":"event"}\n' + b" " * (95 << 20) + b"{}\n", 9)


@pytest.mark.alone
def test_work_begins_with_a_key(picket, project, bomb):
    """Who has no key of this server costs a look-up, whatever the body would cost to decode."""
    dsn = gzip.compress(b'{"dsn":"http://%s@127.0.0.1/%d"}\n' % (secrets.token_hex(16).encode(), project.id) + b" " * (95 << 20), 9)
    began = time.monotonic()
    for _ in range(5):
        for headers, body in (([("X-Sentry-Auth", f"Sentry sentry_key={secrets.token_hex(16)}")], bomb), ([], dsn)):
            answer = wire.exchange(project.port, wire.request("POST", project.ingest_path, [*headers, ("Content-Encoding", "gzip")], body))
            assert answer.status == 403
    assert time.monotonic() - began < (10 if server.SANITIZED else 2)


@pytest.mark.alone
def test_stop_with_expensive_bodies_in_line(make_picket, bomb):
    """issue item 7: SIGTERM ends it within 10 s, though 24 bodies wait that take a second each to decode; those that were promised nothing get 503 or
    nothing."""
    picket = make_picket().start()
    project = picket.new_project()
    headers = [*project.auth.items(), ("Content-Encoding", "gzip")]
    with contextlib.ExitStack() as stack:
        for _ in range(24):
            stack.enter_context(wire.Connection(project.port)).send(wire.request("POST", project.ingest_path, headers, bomb))
        project.api.read("/auth/me")
        picket.stop()


def test_refusals_are_told_and_do_not_flood(make_picket):
    """Why no events arrive stands in the log: each reason at once, then counted. Keys never do."""
    picket = make_picket().start()
    project = picket.new_project()
    key = secrets.token_hex(16)
    for _ in range(40):
        assert project.post(wire.event_envelope(wire.error_event()), auth=False, query=f"?sentry_key={key}&sentry_client=probe/1").status_code == 403
    project.post(wire.envelope({}, wire.item("event", b"{broken"), wire.item("event", {"message": "whole"})))
    picket.stop()
    lines = [line for line in picket.log().splitlines() if "refused or left out" in line]
    rejected = [line for line in lines if "reason=KEY_REJECTED" in line]
    assert [re.search(r"count=(\d+)", line).group(1) for line in rejected] == ["1", "39"]
    assert all(f"last_project={project.id} " in line and 'last_client="probe/1"' in line for line in rejected)
    assert len([line for line in lines if "reason=BAD_JSON count=1" in line]) == 1
    assert key not in picket.log() and project.key not in picket.log()


@pytest.mark.alone
def test_login_does_not_wait_for_expensive_bodies(make_picket, bomb):
    """Passwords have a thread of their own."""
    picket = make_picket().start()
    project = picket.new_project()
    headers = [*project.auth.items(), ("Content-Encoding", "gzip")]
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(wire.Connection(project.port)).send(wire.request("POST", project.ingest_path, headers, bomb))
        began = time.monotonic()
        answer = Api(picket.url).post("/auth/login", json={"email": server.ADMIN[0], "password": server.ADMIN[1]})
        assert answer.status_code == 200 and time.monotonic() - began < (10 if server.SANITIZED else 2)


def test_cookie_is_secure_where_the_public_url_is(make_picket):
    picket = make_picket(PUBLIC_URL="https://errors.example.com").start()
    answer = Api(picket.url).post("/auth/login", json={"email": server.ADMIN[0], "password": server.ADMIN[1]})
    assert "; Secure" in answer.headers["Set-Cookie"]
