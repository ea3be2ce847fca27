"""Who sent it: the peer, unless TRUSTED_PROXIES has it and X-Forwarded-For or Forwarded says more (protocol §5.7 {{auto}}; the tables of cases are
tests/unit/data/hops.jsonl and networks.jsonl)."""
import pytest

import wire
from client import Api, accepted
from waiting import until


@pytest.fixture(scope="module")
def behind(cluster):
    import server
    picket = server.Picket(server.Directory(), DATABASE_URL=cluster.migrated_database(), CREATE_SUPERUSER=":".join(server.ADMIN),
                           TRUSTED_PROXIES="10.0.0.0/8, 127.0.0.1")
    try:
        yield picket.start()
    finally:
        picket.end()


def seen_address(project, headers):
    event = wire.error_event(user={"ip_address": "{{auto}}"})
    accepted(project.post(wire.event_envelope(event), headers=headers))
    return project.find(event["event_id"])["data"]["user"]["ip_address"]


@pytest.mark.parametrize("headers, client", [
    ({}, "127.0.0.1"),
    ({"X-Forwarded-For": "192.0.2.66, 203.0.113.7, 10.9.9.9"}, "203.0.113.7"),
    ({"Forwarded": 'for=192.0.2.66, for="[2001:db8::7]:443", for=10.9.9.9'}, "2001:db8::7"),
    ({"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.7"}, "203.0.113.7"),
    ({"X-Forwarded-For": "192.0.2.66", "Forwarded": "for=203.0.113.7"}, "127.0.0.1"),  # one of them is the client's own: which?
    ({"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=192.0.2.66"}, "127.0.0.1"),
])
def test_trusted(behind, headers, client):
    assert seen_address(behind.new_project(), headers) == client


def test_several_lines_are_one_list(behind):
    project = behind.new_project()
    event = wire.error_event(user={"ip_address": "{{auto}}"})
    lines = [("X-Forwarded-For", "192.0.2.66"), ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-For", "10.9.9.9"), *project.auth.items()]
    assert wire.exchange(project.port, wire.request("POST", project.ingest_path, lines, wire.event_envelope(event))).status == 200
    assert project.find(event["event_id"])["data"]["user"]["ip_address"] == "203.0.113.7"


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "203.0.113.7"}, {"Forwarded": "for=203.0.113.7"}])
def test_nobody_is_trusted_by_default(project, headers):
    assert seen_address(project, headers) == "127.0.0.1"


def test_the_log_names_the_client(behind):
    """A failed login is told with the address that the throttle counts (tests/e2e/test_attack.py guesses behind a proxy)."""
    answer = Api(behind.url).post("/auth/login", json={"email": "x@example.com", "password": "wrong password"}, headers={"X-Forwarded-For": "192.0.2.1, 203.0.113.99"})
    assert answer.status_code == 401
    until(lambda: "address=203.0.113.99" in behind.log(), behind.log)


def test_the_log_names_the_proxy_where_headers_differ(behind):
    """What a client writes beside its proxy's header chooses no address for the throttle of logins: all of them are the proxy's own."""
    for i in (1, 2):
        headers = {"X-Forwarded-For": f"198.51.100.{i}", "Forwarded": "for=203.0.113.98"}
        answer = Api(behind.url).post("/auth/login", json={"email": "y@example.com", "password": "wrong password"}, headers=headers)
        assert answer.status_code == 401
    until(lambda: behind.log().count("address=127.0.0.1") >= 2, behind.log)
    assert "address=198.51.100." not in behind.log() and "address=203.0.113.98" not in behind.log()


def test_what_is_no_network(behind):
    done = behind.run("serve", TRUSTED_PROXIES="10.0.0.0/8, proxy.local")
    assert done.returncode == 2 and "TRUSTED_PROXIES=10.0.0.0/8, proxy.local: addresses and networks are allowed" in done.stderr
