"""GET /metrics: text that a strict parser takes, figures that agree with what was sent, and who may read them (src/api/metrics.c)."""
import signal
import threading

import pytest

import exposition
import postgres
import server
import wire
from client import Api
from waiting import until

LABELS = {"kind", "code", "outcome", "pool", "state", "le", "version"}  # each of few values; never a project, a path, a client
FROM_AFAR = {"X-Forwarded-For": "203.0.113.9"}  # what a proxy adds: the request may come from anywhere
N = 20


@pytest.fixture
def own_cluster():
    directory = server.Directory()
    cluster = postgres.Cluster(directory.join("cluster"))
    cluster.create()
    yield cluster
    cluster.stop(signal.SIGQUIT)
    directory.remove()


def scrape(picket):
    answer = picket.http.get(picket.url + "/metrics", timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return exposition.Scrape(answer.content.decode("utf-8"))


def drained(picket):
    """A scrape at a moment when all that was spooled is digested."""
    def look():
        now = scrape(picket)
        return now if now.value("picket_spool_bytes") == 0 else None
    return until(look, "the spool is not empty", 30)


@pytest.mark.parametrize("text", [
    "a 1", "# HELP a x\na 1\n", "# TYPE a gauge\na 1\n", "# HELP a x\n# TYPE a gauge\nb 1\n", "# HELP a x\n# TYPE a gauge\na 1\na 1\n",
    "# HELP a x\n# TYPE a counter\na 1\n", "# HELP a_total x\n# TYPE a_total gauge\na_total 1\n", '# HELP a x\n# TYPE a gauge\na{b="c} 1\n',
    '# HELP a x\n# TYPE a gauge\na{b="\\x"} 1\n', '# HELP a x\n# TYPE a gauge\na{b="1",b="2"} 1\n', "# HELP a x\n# TYPE a gauge\na NaN\n",
    "# HELP a x\n# TYPE a gauge\na 1\n# HELP b x\n# TYPE b gauge\nb 1\n# HELP a x\n# TYPE a gauge\na 2\n", "# HELP a x\n# TYPE a gauge\na 1\n\n",
    '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="2"} 1\nh_bucket{le="+Inf"} 2\nh_sum 1\nh_count 2\n',
    '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="2"} 1\nh_bucket{le="+Inf"} 2\nh_sum 1\nh_count 3\n',
    '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="2"} 1\nh_sum 1\nh_count 1\n'])
def test_the_reader_is_strict(text):
    with pytest.raises(AssertionError):
        exposition.read(text)


def test_every_family_is_sound(picket, project):
    project.send(*[wire.error_event() for _ in range(3)])
    picket.http.get(picket.url + "/nothing", timeout=10)
    now = scrape(picket)
    assert len(now.families) >= 35
    assert all(name.startswith(("picket_", "process_")) for name in now.families)
    assert {name for _, labels in now.samples for name, _ in labels} <= LABELS
    with open(server.ROOT + "/VERSION", encoding="ascii") as f:
        assert now.value("picket_build_info", version=f.read().strip()) == 1
    assert now.value("picket_http_requests_total", kind="none", code="404") >= 1
    assert now.value("picket_http_requests_in_flight") >= 1 <= now.value("picket_http_connections")  # this one
    assert now.value("picket_memory_anonymous_bytes") == pytest.approx(picket.memory(), rel=0.3)
    assert now.value("process_resident_memory_bytes") >= now.value("picket_memory_anonymous_bytes")
    assert now.value("process_cpu_seconds_total") > 0 < now.value("picket_uptime_seconds")
    assert now.value("picket_digest_running") == 1


def test_readme_names_every_family(picket):
    with open(server.ROOT + "/README.md", encoding="utf-8") as f:
        readme = f.read()
    assert [name for name in drained(picket).families if f"`{name}`" not in readme] == []


def test_figures_agree_with_what_was_sent(make_picket):
    picket = make_picket(MAX_EVENTS_PER_PROJECT_PER_MINUTE=N, MAX_EVENT_BYTES="16K", MAX_BODY_BYTES="64K").start().wait_sample()
    project = picket.new_project()
    before = drained(picket)
    project.send(*[wire.error_event() for _ in range(N)])
    assert [project.post(wire.event_envelope(wire.error_event())).status_code for _ in range(2)] == [429] * 2
    assert [project.post(b"nonsense").status_code for _ in range(3)] == [400] * 3
    assert project.post(wire.event_envelope(wire.error_event(value="x" * 20000))).status_code == 413
    assert project.post(b"x" * 100000).status_code == 413  # before any handler sees it
    assert project.post(wire.event_envelope(wire.error_event()), auth=False).status_code == 401
    now = scrape(picket)

    def grown(name, since=before, **labels):
        return now.value(name, **labels) - since.value(name, **labels)

    assert {code: grown("picket_http_requests_total", kind="ingest", code=code) for code in ("200", "400", "401", "413", "429", "503")} == {
        "200": N, "400": 3, "401": 1, "413": 2, "429": 2, "503": 0}
    assert grown("picket_ingest_ack_seconds_count") == grown("picket_ingest_events_total") == N
    assert 0 < grown("picket_ingest_ack_seconds_sum") < 60
    project.wait_count(N)
    now = drained(picket)  # with the accounts of what was not taken, which are records, too
    assert grown("picket_digest_outcomes_total", outcome="stored") == N and grown("picket_digest_outcomes_total", outcome="dead") == 0
    records = now.value("picket_digest_records_total")
    assert records == now.value("picket_spool_records_total") == now.value("picket_spool_commit_records_sum")
    assert records == now.value("picket_digest_batch_records_sum") == now.value("picket_digest_latency_seconds_count")
    commits = now.value("picket_spool_commit_records_count")
    assert 0 < commits == now.value("picket_spool_commit_bytes_count") == now.value("picket_spool_sync_seconds_count")
    assert grown("picket_spool_commit_bytes_sum") > N * 300 and now.value("picket_spool_sync_seconds_sum") > 0
    assert 0 < grown("picket_digest_statement_seconds_count") <= grown("picket_digest_batch_records_count")
    assert now.value("picket_db_wait_seconds_count", pool="digest") >= now.value("picket_digest_batch_records_count")
    assert now.value("picket_dead_letters", state="waiting") == 0


def test_a_copy_is_told_as_such(make_picket):
    picket = make_picket(DIGEST_WORKERS=1).start().wait_sample()
    project = picket.new_project()
    event = wire.error_event()
    project.send(event)
    project.wait_count(1)
    project.send(event)
    until(lambda: scrape(picket).value("picket_digest_outcomes_total", outcome="duplicate") == 1, "the copy is not told")


def test_nothing_goes_back_while_it_counts(picket, project):
    """Several threads write while it is read: each reading is sound in itself, and none is behind an earlier one."""
    stop = threading.Event()

    def send():
        while not stop.is_set():
            project.send(wire.error_event(value="busy"))

    senders = [threading.Thread(target=send, daemon=True) for _ in range(4)]
    before = scrape(picket)
    start = before.value("picket_ingest_ack_seconds_count")
    for sender in senders:
        sender.start()
    try:
        while before.value("picket_ingest_ack_seconds_count") < start + 200:
            now = scrape(picket)
            assert [key for key, value in before.counters().items() if now.samples[key] < value] == []
            before = now
    finally:
        stop.set()
        for sender in senders:
            sender.join(60)


def test_asks_the_database_nothing(picket):
    def statements():
        now = drained(picket)
        return now.value("picket_db_wait_seconds_count", pool="http"), now.value("picket_http_requests_total", kind="api", code="200")
    first, requests = statements()
    for _ in range(50):
        scrape(picket)
    second, more = statements()
    assert more >= requests + 50 and second - first < 50  # other tests may ask beside this one


def test_database_away(make_picket, own_cluster):
    picket = make_picket(DATABASE_URL=own_cluster.migrated_database(), DATABASE_ACQUIRE_TIMEOUT_SECS=1).start().wait_sample()
    project = picket.new_project()
    project.send(wire.error_event())
    project.wait_count(1)
    before = drained(picket)
    own_cluster.stop(signal.SIGQUIT)
    project.send(*[wire.error_event() for _ in range(3)])
    now = scrape(picket)
    assert now.value("picket_ingest_ack_seconds_count") == before.value("picket_ingest_ack_seconds_count") + 3
    assert now.value("picket_spool_bytes") > 0
    until(lambda: scrape(picket).value("picket_spool_oldest_age_seconds") > 1, "nothing grows old")
    assert picket.api.get("/api/projects").status_code == 503
    now = scrape(picket)
    assert now.value("picket_db_refused_total", pool="http") > before.value("picket_db_refused_total", pool="http")
    until(lambda: scrape(picket).value("picket_db_queries_waiting", pool="digest") == 1, "no batch waits")  # between two pauses
    own_cluster.start()
    until(picket.is_ready, "the database is not back", 30)
    project.wait_count(4)
    now = drained(picket)
    assert now.value("picket_spool_oldest_age_seconds") == 0
    assert now.value("picket_digest_latency_seconds_sum") - before.value("picket_digest_latency_seconds_sum") > 3


def test_no_stranger_may_ask(picket):
    assert picket.http.get(picket.url + "/metrics", timeout=10).status_code == 200
    for headers in (FROM_AFAR, {"Via": "1.1 proxy"}, {**FROM_AFAR, "Authorization": "Bearer "}, {**FROM_AFAR, "Authorization": f"Bearer {picket.token}"}):
        answer = Api(picket.url).get("/metrics", headers=headers)
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer" and "picket_" not in answer.text, headers


@pytest.mark.parametrize("in_file", [False, True])
def test_who_bears_the_token_may(make_picket, tmp_path, in_file):
    token = "a token of mine, of any length"
    path = tmp_path / "token"
    path.write_text(token + "\n")
    picket = make_picket(**({"METRICS_TOKEN_FILE": path} if in_file else {"METRICS_TOKEN": token})).start()

    def status(value):
        return Api(picket.url).get("/metrics", headers={**FROM_AFAR, **({"Authorization": value} if value else {})}).status_code

    assert status(f"Bearer {token}") == 200
    assert [status(value) for value in (None, token, f"Bearer {token}x", f"Bearer {token[:-1]}", "Bearer", f"Basic {token}", f"bearer{token}")] == [401] * 7
    assert Api(picket.url).get("/metrics").status_code == 200  # this machine
    assert picket.http.get(picket.url + "/api/status", headers={**FROM_AFAR, "Authorization": f"Bearer {token}"}, timeout=10).status_code == 403
    assert token not in picket.said()


def test_methods(picket):
    nobody = Api(picket.url)
    head, get = nobody.request("HEAD", "/metrics"), nobody.get("/metrics")
    assert head.status_code == get.status_code == 200 and head.content == b"" and head.headers["Content-Type"] == get.headers["Content-Type"]
    assert get.headers["Cache-Control"] == "no-store"
    answer = nobody.post("/metrics", json={})
    assert answer.status_code == 405 and "GET" in answer.headers["Allow"]
    assert nobody.get("/metrics/").status_code == 404
