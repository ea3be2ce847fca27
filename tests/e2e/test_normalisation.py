"""What becomes of an event between the socket and the detail that dashboards read (protocol §5). Each test names its row of the protocol's test
catalogue §10.5; the many small coercions are tables in tests/unit/data (normalise.jsonl, columns.jsonl, user_agent.jsonl)."""
import copy
import datetime
import json
import os
import time
import uuid

import psycopg
import pytest

import server
import wire
from client import accepted
from waiting import until

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "normalisation.json"), encoding="utf-8") as fixture:
    FULL = json.load(fixture)

DAY = 86400


@pytest.fixture(scope="module")
def one_worker(cluster):
    """With one digest worker, what was accepted earlier is digested earlier."""
    picket = server.Picket(server.Directory(), DATABASE_URL=cluster.migrated_database(), DIGEST_WORKERS=1)
    try:
        yield picket.start()
    finally:
        picket.end()


@pytest.fixture
def project(one_worker):
    return one_worker.new_project()


def iso(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat().replace("+00:00", "Z")


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def shown(project, event, **header):
    """Sends the event and returns its detail."""
    accepted(project.post(wire.event_envelope(event, **header)))
    return project.find(event["event_id"])


# ---- the whole

def test_full_normalisation(project):
    """§10.5 "full normalisation fixture": an event with every interface, each in a form that needs work, equals the copy that was looked over by
    hand. What the server adds (id, times, project) is put into it here."""
    event = {**copy.deepcopy(FULL["sent"]), "event_id": uuid.uuid4().hex, "timestamp": iso(time.time() - 1)}
    detail = shown(project, event)
    expected = {**FULL["shown"], "event_id": event["event_id"], "project": project.id, "timestamp": pytest.approx(seconds(event["timestamp"]), abs=1e-4),
                "received": pytest.approx(seconds(detail["ingested_at"]), abs=1e-4)}
    assert detail["data"] == expected
    assert (detail["release"], detail["environment"], detail["level"], detail["platform"]) == ("shop@1.2.3+7", "staging", "fatal", "javascript")


def test_raw_payload_stays(project):
    """decisions.md "data": normalisation touches the copy alone."""
    event = {"event_id": uuid.uuid4().hex, "message": "raw", "tags": [["a b", 1]], "extra": {"n": None}}
    detail = shown(project, event)
    assert project.api.read(f"{project.path}/issues/{detail['issue_id']}/events/{detail['id']}/raw") == event
    assert detail["data"]["tags"] == {"a-b": "1"} and detail["data"]["extra"] == {"n": None}


def test_store_processing_adds(project):
    """§10.5 "store processing adds": project and received are the server's, whatever the sender claims; key_id is not shown to anybody."""
    before = time.time()
    detail = shown(project, wire.message_event("adds", project="4711", received=1, key_id="x", _metrics={"bytes": 1}))
    data = detail["data"]
    assert data["project"] == project.id
    assert before - 1 < data["received"] < time.time() + 1
    assert data["received"] == pytest.approx(seconds(detail["ingested_at"]), abs=1e-4)
    assert not {"key_id", "_metrics"} & set(data)
    assert (data["type"], data["level"], data["platform"]) == ("default", "error", "other")


# ---- time

@pytest.mark.parametrize("sent_at", [None, 0, 54 * 60], ids=["no sent_at", "no drift", "small drift"])
def test_clock_drift_below_the_limit(project, sent_at):
    """§10.5 "test_clock_drift (no sent_at, small drift)": times stand as they were sent."""
    now = time.time()
    event = wire.message_event("clock", timestamp=now - 5, breadcrumbs=[{"timestamp": now - 6, "message": "b"}])
    detail = shown(project, event, **({} if sent_at is None else {"sent_at": iso(now - sent_at)}))
    data = detail["data"]
    assert data["timestamp"] == pytest.approx(now - 5, abs=1e-4)
    assert data["breadcrumbs"]["values"][0]["timestamp"] == pytest.approx(now - 6, abs=1e-4)
    assert "_meta" not in data and "errors" not in data


@pytest.mark.parametrize("behind", [2 * 3600, 3 * DAY, -2 * 3600], ids=["two hours slow", "three days slow", "two hours fast"])
def test_clock_drift(project, behind):
    """§10.5 "test_clock_drift (> 55 min)": all times of the event are shifted by what the sender's clock is off, and `_meta` says so."""
    now = time.time()
    sender = now - behind
    event = wire.message_event("drift", timestamp=sender - 5, breadcrumbs=[{"timestamp": iso(sender - 6)}, {"timestamp": str(sender - 7)}])
    detail = shown(project, event, sent_at=iso(sender))
    data = detail["data"]
    assert data["timestamp"] == pytest.approx(now - 5, abs=20)
    assert seconds(detail["timestamp"]) == pytest.approx(data["timestamp"], abs=1e-3)
    first, second = (crumb["timestamp"] for crumb in data["breadcrumbs"]["values"])
    assert (data["timestamp"] - first, data["timestamp"] - second) == (pytest.approx(1, abs=1e-3), pytest.approx(2, abs=1e-3))
    (kind, clocks), = data["_meta"]["timestamp"][""]["err"]
    assert kind == "clock_drift"
    assert seconds(clocks["sdk_time"]) == pytest.approx(sender, abs=1e-2)
    assert seconds(clocks["server_time"]) == pytest.approx(data["received"], abs=1e-2)
    assert [(e["type"], e["name"]) for e in data["errors"]] == [("clock_drift", "timestamp")]


def test_future_timestamp(project):
    """§10.5 "future / past timestamps": more than a minute ahead is replaced by the receipt, with an error entry."""
    now = time.time()
    detail = shown(project, wire.message_event("future", timestamp=now + 3600, breadcrumbs=[{"timestamp": now + 3590}]))
    data = detail["data"]
    assert data["timestamp"] == data["received"] == pytest.approx(now, abs=20)
    assert data["breadcrumbs"]["values"][0]["timestamp"] == pytest.approx(data["received"] - 10, abs=1e-3)
    assert data["_meta"]["timestamp"][""]["err"][0][0] == "future_timestamp"
    assert [e["type"] for e in data["errors"]] == ["future_timestamp"]


def test_a_minute_ahead_is_no_future(project):
    """§10.5 "future / past timestamps": up to 60 s ahead stands."""
    ahead = time.time() + 40
    data = shown(project, wire.message_event("soon", timestamp=ahead))["data"]
    assert data["timestamp"] == pytest.approx(ahead, abs=1e-3) and "errors" not in data


@pytest.mark.parametrize("days", [29, 31, 4000])
def test_past_timestamp(project, days):
    """§10.5 "future / past timestamps": decisions.md "timestamp of an event" departs from the row: old events keep their time, because order and
    retention follow the receipt here."""
    then = time.time() - days * DAY
    detail = shown(project, wire.message_event("past", timestamp=then))
    assert detail["data"]["timestamp"] == pytest.approx(then, abs=1e-3) and "errors" not in detail["data"]
    assert seconds(detail["ingested_at"]) == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize("form", [lambda t: t, int, iso, lambda t: iso(t).replace("Z", ""), lambda t: str(t), lambda t: int(t * 1000)],
                         ids=["float", "integer", "ISO", "ISO without zone", "numeric string", "milliseconds"])
def test_timestamp_forms(project, form):
    """§5.4: the forms in which SDKs write a time."""
    then = time.time() - 100
    data = shown(project, wire.message_event("form", timestamp=form(then)))["data"]
    assert data["timestamp"] == pytest.approx(then, abs=1.01) and "errors" not in data


# ---- never refused

WRONG = [None, True, 0, -1, 1e300, "", "x", "\x00\ud800", [], {}, [None], [[]], [["a"]], [["a", "b"]], {"values": "x"}, {"values": [None, 7, "x", {}]},
         {"": ""}, [{"a": {"b": []}}]]
FIELDS = ["event_id", "type", "timestamp", "level", "platform", "release", "dist", "environment", "server_name", "site", "sdk", "transaction",
          "transaction_info", "fingerprint", "exception", "stacktrace", "logentry", "message", "threads", "breadcrumbs", "contexts", "tags", "user",
          "request", "modules", "template", "csp", "extra", "measurements", "debug_meta", "errors", "_meta", "logger", "culprit", "checksum",
          "time_spent", "received", "project", "spans"]


def test_wrong_types_are_never_refused(project):
    """§5: "the event is never rejected": every top-level member in every wrong form is accepted, stored, and shown."""
    events = [{"message": "w", "fingerprint": ["wrong"], field: wrong} for field in FIELDS for wrong in WRONG]
    bodies = [wire.envelope({"event_id": uuid.uuid4().hex}, wire.item("event", event)) for event in events]
    for start in range(0, len(bodies), 100):
        some = bodies[start:start + 100]
        with wire.Connection(project.port) as connection:
            connection.send(b"".join(wire.request("POST", project.ingest_path, list(project.auth.items()), body) for body in some))
            assert [connection.read_answer().status for _ in some] == [200] * len(some)
    project.drain()
    assert project.count() == len(bodies) and project.api.read("/api/dead-letters")["items"] == []
    for summary in project.all_events()[::7]:
        assert isinstance(project.detail(summary)["data"], dict)


def test_what_is_wrong_is_told(project):
    """§5.5, §5.12: left out of the copy, told in `_meta` and `errors` beside what the SDK itself told."""
    sent_meta = {"extra": {"list": {"": {"len": 1000}}}}
    data = shown(project, wire.message_event("told", user={"id": 7, "ip_address": "nowhere"}, tags={"ok": 1, "größe": "x"}, release="a\nb",
                                             exception={"values": [{"type": "T" * 300, "value": "v"}]}, _meta=sent_meta))["data"]
    assert data["user"] == {"id": "7"} and data["tags"] == {"ok": "1"} and "release" not in data
    assert data["exception"]["values"][0]["type"] == "T" * 253 + "..."
    assert {(e["type"], e["name"]) for e in data["errors"]} == {("invalid_data", "user.ip_address"), ("invalid_data", "tags.größe"), ("invalid_data", "release")}
    meta = data["_meta"]
    assert meta["extra"] == sent_meta["extra"]
    assert meta["user"]["ip_address"][""] == {"err": [["invalid_data", {"reason": "expected an address"}]], "val": "nowhere"}
    assert meta["exception"]["values"]["0"]["type"][""] == {"rem": [["!limit", "s", 253, 256]], "len": 300}


def test_long_stacks(project):
    """§5.11: 250 frames at most; both ends are kept, and source and variables of the 50 that matter."""
    frames = [{"function": f"f{i}", "lineno": i, "in_app": i % 10 == 0, "vars": {"i": i}, "pre_context": ["a"]} for i in range(1000)]
    data = shown(project, wire.message_event("deep", exception=[{"type": "RecursionError", "value": "x", "stacktrace": {"frames": frames}}]))["data"]
    kept = data["exception"]["values"][0]["stacktrace"]["frames"]
    assert [frame["lineno"] for frame in kept] == list(range(125)) + list(range(875, 1000))
    detailed = [frame["lineno"] for frame in kept if "vars" in frame]
    assert len(detailed) == 50 and detailed == [frame["lineno"] for frame in kept if "pre_context" in frame]
    assert {frame["lineno"] for frame in kept if frame["in_app"]} <= set(detailed) and detailed[-1] == 999
    assert data["_meta"]["exception"]["values"]["0"]["stacktrace"]["frames"] == {"": {"len": 1000}}


def test_user_agent(project):
    """§5.9 "computed": browser, os and device from the headers of the request, where the SDK names none."""
    agent = "Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/116.0.0.0 Mobile Safari/537.36"
    data = shown(project, wire.message_event("agent", request={"url": "https://shop/x", "headers": [["user-agent", agent]]},
                                             contexts={"browser": {"name": "its own"}}))["data"]
    assert data["contexts"] == {"browser": {"name": "its own", "type": "browser"}, "os": {"name": "Android", "version": "13", "type": "os"},
                                "device": {"family": "Pixel 7", "model": "Pixel 7", "brand": "Google", "type": "device"}}


@pytest.mark.parametrize("headers, browser", [([], None), ([["sec-ch-ua", '"Chromium";v="131", "Google Chrome";v="131"']], {"name": "Chrome", "version": "131"})])
def test_headers_of_the_request_that_brought_it(project, headers, browser):
    """Only what is in the event counts, for it alone is kept; README.md says so."""
    event = wire.message_event("agent", platform="javascript", request={"url": "https://shop/x", "headers": headers})
    answer = project.post(wire.event_envelope(event), headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0",
                                                               "Sec-CH-UA": '"Brave";v="131"', "Sec-CH-UA-Platform": '"Windows"'})
    assert accepted(answer) == event["event_id"]
    contexts = project.find(event["event_id"])["data"].get("contexts")
    assert contexts == (browser and {"browser": {**browser, "type": "browser"}})


@pytest.mark.parametrize("padding", [0, 200_000], ids=["small", "large"])  # a large payload is read by another thread
@pytest.mark.parametrize("sent, expected", [
    ({"user": {"ip_address": "{{auto}}"}}, "127.0.0.1"),
    ({"request": {"env": {"REMOTE_ADDR": "{{auto}}"}}}, "127.0.0.1"),
    ({"platform": "javascript"}, "127.0.0.1"),
    ({"platform": "javascript", "sdk": {"settings": {"infer_ip": "never"}}}, None),
    ({"platform": "python"}, None),
    ({"platform": "python", "sdk": {"settings": {"infer_ip": "auto"}}}, "127.0.0.1"),
    ({"platform": "javascript", "user": {"ip_address": "198.51.100.7"}}, "198.51.100.7"),
    ({"request": {"env": {"REMOTE_ADDR": "198.51.100.8"}}}, "198.51.100.8"),
], ids=["auto", "auto in env", "javascript", "never", "python", "infer", "own", "env"])
def test_client_address(project, sent, expected, padding):
    """§5.7: {{auto}}, infer_ip and the platforms whose SDKs cannot know the address."""
    extra = {"noise": os.urandom(padding // 2).hex()}
    data = shown(project, wire.message_event("address", extra=extra, **sent))["data"]
    assert data.get("user", {}).get("ip_address") == expected


@pytest.mark.parametrize("own, envelope, address", [
    (None, None, "127.0.0.1"), ("auto", None, "127.0.0.1"), ("never", None, None), ("sometimes", None, None),
    (None, "never", None), (None, "auto", "127.0.0.1"), ("auto", "never", "127.0.0.1"), ("never", "auto", None),
])
def test_the_address_is_not_kept(one_worker, project, own, envelope, address):
    """§5.7, §2.2: "never", of the event or else of its envelope, holds for the row too, not only for what is shown."""
    def sdk(infer):
        return {"sdk": {"name": "sentry.javascript.browser", "version": "10", **({"settings": {"infer_ip": infer}} if infer else {})}}
    event = wire.message_event("address", platform="javascript", user={"ip_address": "{{auto}}"}, **sdk(own))
    body = wire.envelope({"event_id": event["event_id"], **sdk(envelope)}, wire.item("event", event))
    assert project.post(body).status_code == 200
    data = project.find(event["event_id"])["data"]
    assert one_worker.sql("SELECT host(remote_addr) FROM events WHERE event_id = %s", uuid.UUID(event["event_id"])) == [(address,)]
    assert data["user"].get("ip_address") == address


# ---- rows about other kinds of data, as far as they touch errors

def test_measurements_are_stripped_off_errors(project):
    """§10.5 "normalize measurement": the part of the row that concerns error events; transactions are not stored."""
    data = shown(project, wire.error_event(measurements={" LCP ": {"value": 1.5}, "x": {"value": "no number"}}))["data"]
    assert "measurements" not in data


def test_event_timeout(one_worker, project):
    """§10.5 "test_event_timeout": while one event is stuck on its way into the database, later ones are accepted; none is lost."""
    with psycopg.connect(one_worker.conninfo()) as blocker:
        blocker.execute("LOCK TABLE groupings IN ACCESS EXCLUSIVE MODE")  # the digest waits here
        stuck = wire.error_event("Stuck", "first")
        project.send(stuck)
        until(lambda: one_worker.sql("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'groupings'::regclass"), "the digest does not wait")
        later = [wire.error_event("Later", str(i)) for i in range(5)]
        project.send(*later)
    for event in [stuck, *later]:
        assert project.find(event["event_id"])["data"]["exception"]["values"][0]["value"] == event["exception"]["values"][0]["value"]
