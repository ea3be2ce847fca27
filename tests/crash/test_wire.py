"""The connection between Picket and PostgreSQL is cut behind byte n of either direction, in particular between a statement's sending and its
answer: whether it took effect is not known then, and must not matter (batches are idempotent). Or it falls silent without a word."""
import random
import time

import pytest

import figures
from proxy import DOWN, UP, Proxy
from sites import Site
from waiting import until

DIGEST = b"picket digest"


@pytest.fixture
def proxy(cluster):
    proxy = Proxy(cluster.port)
    yield proxy
    proxy.close()


@pytest.fixture
def site(cluster, proxy):
    """A Picket behind the proxy; the books are kept over the direct way."""
    direct = cluster.common_database()
    site = Site(cluster, url=cluster.role_url(cluster.name_of(direct), proxy.port), books=direct, DATABASE_ACQUIRE_TIMEOUT_SECS=1)
    try:
        yield site.start()
    finally:
        proxy.resume()
        site.end()


def places(direction, rounds):
    """How many bytes pass before a cut: of the answer every one near its beginning counts, of the statement any place may matter."""
    first = list(range(0, 12)) if direction == DOWN else [0, 1, 5]
    reach = 300 if direction == DOWN else 20_000
    return (first + sorted(random.choices(range(12, reach), k=max(rounds - len(first), 0))))[:rounds]


@pytest.mark.parametrize("direction, what", [(UP, "the statement"), (DOWN, "its answer")], ids=["statement", "answer"])
def test_cut_at_byte(site, proxy, direction, what):
    rounds = figures.amount(18, 400)
    run = site.load(rate=400, connections=8)
    for n, place in enumerate(places(direction, rounds)):
        cut = proxy.cut_after(direction, place, how=("close", "reset")[n % 2], application=DIGEST)
        until(cut.done.is_set, f"nothing passed to be cut at byte {place}")
        site.wait_digesting()
    run.stop(site.promises)
    figures.record(f"connection cut inside {what}", rounds, site.check())


def test_every_connection_cut(site, proxy):
    """All that is open, over and over, the API's and the listener's connections too: every one was among them, and came back."""
    rounds = figures.amount(8, 100)
    run = site.load(rate=400, connections=8)
    everybody = {"picket digest", "picket http", "picket migrate", "picket listener"}  # main goes on with the connection of the migration
    for n in range(rounds):
        until(lambda: site.picket.is_ready() and everybody <= proxy.applications(), lambda: f"connected: {proxy.applications()}")
        ended = proxy.end_all(("reset", "close")[n % 2])
        assert everybody <= ended, ended
        everybody = everybody - {"picket migrate"} | {"picket main"}
        site.wait_digesting()
    until(site.picket.is_ready, "not ready")
    run.stop(site.promises)
    figures.record("all connections to PostgreSQL cut", rounds, site.check())


def test_silence_for_a_while(site, proxy):
    """Nothing arrives for some seconds, no connection ends; accepting goes on, and so does everything else when the silence is over."""
    run = site.load(rate=400, connections=8)
    proxy.stall(new=True)
    run.wait_progress()
    assert site.picket.http.get(site.picket.url + "/health/ready", timeout=10).status_code == 503
    time.sleep(figures.amount(0.3, 20))
    run.wait_progress()
    proxy.resume()
    site.wait_digesting()
    until(site.picket.is_ready, "not ready")
    run.stop(site.promises)
    figures.record("PostgreSQL silent for a while", 1, site.check())


def test_stop_in_silence(site, proxy):
    """SIGTERM while no answer comes: exit 0 in time, and the next start has everything."""
    run = site.load(rate=400, connections=8)
    proxy.stall(new=True)
    run.wait_progress()
    site.picket.stop(seconds=10)
    proxy.resume()
    site.picket.start()
    run.wait_progress()
    run.stop(site.promises)
    figures.record("stopped while PostgreSQL is silent", 1, site.check())


@pytest.mark.skipif(not figures.LONG, reason="half-open connections are noticed by a deadline of a minute: make crash")
@pytest.mark.timeout(400)
def test_half_open(site, proxy):
    """What is open now will never answer again, and no reset comes. Deadlines notice, new connections take over."""
    run = site.load(rate=200, connections=8)
    proxy.stall()
    until(site.picket.is_ready, "the API does not come back", 60)
    site.wait_digesting(seconds=90)
    run.stop(site.promises)
    figures.record("half-open connections to PostgreSQL", 1, site.check())
