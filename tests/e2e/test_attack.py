"""What a stranger who means harm, or has bad luck, does to a server: found by attacking a running one."""
import concurrent.futures
import os
import re
import socket

import pytest

import server
from client import Api


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
        assert re.search(r"Password +\S{20}", picket.printed()) and "DSN" in picket.printed()
    finally:
        picket.end()


def test_host_that_is_not_ours(folder):
    done = server.run("serve", DATA_DIR=folder.join("data"), HOST="192.0.2.1", PORT=1024)
    assert done.returncode == 2 and "HOST=192.0.2.1" in done.stderr and done.stdout == ""


def test_guessing_behind_a_proxy(make_picket):
    """Behind a proxy a client can write what it likes into X-Forwarded-For; what the proxy adds at the end, or as a header of its own, is what guesses
    are counted by (a fourth failure within two seconds counts, so 20 take 60)."""
    picket = make_picket(SSL_PROXY="true").start()

    def guess(i):
        headers = {"X-Forwarded-For": f"198.51.{i}.1, 203.0.113.7"}
        return Api(picket.url).post("/auth/login", json={"email": f"user{i}@example.com", "password": "wrong password"}, headers=headers)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(90)))
    assert {answer.status_code for answer in answers} == {401, 429}
    elsewhere = Api(picket.url).post("/auth/login", json={"email": "x@example.com", "password": "wrong password"}, headers={"X-Forwarded-For": "203.0.113.8"})
    assert elsewhere.status_code == 401
