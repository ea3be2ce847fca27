"""What becomes of each kind of item (protocol §2.6, §3, §4.4; src/protocol/item.c): several events, items that are not stored, rate limits that ask
SDKs to keep them."""
import gzip
import json
import re
import time
import uuid

import pytest
import sentry_sdk

import wire
from client import accepted
from server import Directory, Picket
from test_outcomes import accepted_without_id, totals, wait_totals
from waiting import until

UNWANTED = ["transaction", "span", "log", "trace_metric", "profile", "profile_chunk", "replay_event", "replay_recording", "replay_video", "statsd",
            "metric_buckets", "otel_span", "otel_log"]
SKIPPED = ["nel", "nonsense", ""]
LIMITS = "x-sentry-rate-limits"


def limits(answer):
    """The categories that the answer asks to keep; the form is one that every SDK's parser takes (§4.4): whole seconds, a category, a scope."""
    value = answer.headers.get(LIMITS)
    if value is None:
        return []
    seconds, categories, scope, reason = re.fullmatch(r"(\d+):([a-z_;]+):(\w+):(\w+)", value).groups()
    assert (seconds, scope, reason) == ("3600", "organization", "not_stored")
    return categories.split(";")


@pytest.mark.parametrize("kind", UNWANTED)
def test_unwanted(project, kind):
    """Accepted, and the SDK is asked to stop; `span` beside `transaction`, because JavaScript's SDKs heed only that. Errors are never named."""
    answer = project.post(wire.envelope({}, wire.item(kind, {"items": []})))
    assert answer.status_code == 200
    named = limits(answer)
    assert {"transaction", "span", "log_item", "trace_metric", "profile", "profile_chunk", "replay", "metric_bucket"} <= set(named)
    assert len(named) == len(set(named)) and not {"error", "default", "security", "session", "attachment", "feedback", "monitor"} & set(named)


@pytest.mark.parametrize("kind", SKIPPED)
def test_skipped(project, kind):
    answer = project.post(wire.envelope({}, wire.item(kind, {})))
    assert answer.status_code == 200 and limits(answer) == []


@pytest.mark.parametrize("path", ["integration/otlp/v1/traces", "integration/otlp/v1/logs", "otlp/v1/traces"])
def test_opentelemetry(project, path):
    """§7.7: an exporter that is given a DSN must not fail; it is answered in its own language, and asked to stop."""
    def post(kind, data, **headers):
        return project.post(data, path=f"/api/{project.id}/{path}", headers={"Content-Type": kind, **headers})
    for kind, body in (("application/x-protobuf", b""), ("application/json", b"{}")):
        answer = post(kind, gzip.compress(b"anything"), **{"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.headers["Content-Type"], answer.content) == (200, kind, body)
        assert {"span", "log_item"} <= set(limits(answer))
    assert post("text/plain", b"{}").status_code == 415
    assert post("application/json", b"no gzip", **{"Content-Encoding": "gzip"}).status_code == 400
    category, more = "span", {}
    if "logs" in path:  # and their bytes
        category, more = "log_item", {("log_byte", "filtered", "not_stored"): 2 * len(b"anything"), ("log_byte", "invalid", "content_type"): len(b"{}"),
                                      ("log_byte", "invalid", "invalid_compression"): len(b"no gzip")}
    wait_totals(project, {(category, "filtered", "not_stored"): 2, (category, "invalid", "content_type"): 1, (category, "invalid", "invalid_compression"): 1, **more})


def test_containers_say_how_many(project):
    """§4.5: each of what they hold counts; a number that cannot be true does not. Logs count by their bytes, too."""
    containers = [(7, {"items": [{"body": str(i)} for i in range(7)]}), (10**9, {"items": []}), ("x", {"items": []})]
    for n, payload in containers:
        accepted_without_id(project.post(wire.envelope({}, wire.item("log", payload, item_count=n))))
    size = sum(len(wire.dumps(payload)) for _, payload in containers)
    wait_totals(project, {("log_item", "filtered", "not_stored"): 9, ("log_byte", "filtered", "not_stored"): size})


def test_event_that_is_a_transaction(project):
    answer = project.post(wire.envelope({}, wire.item("event", {"type": "transaction", "transaction": "/", "spans": []})))
    assert answer.status_code == 200 and "transaction" in limits(answer)


def test_a_transaction_counts_as_one(project):
    """Whatever it came as: an item of its own, an event's item, a body; each asks for the same. Nothing of it is an error's."""
    transaction = {"event_id": uuid.uuid4().hex, "type": "transaction", "transaction": "/", "spans": []}
    answers = [project.post(wire.envelope({}, wire.item(kind, transaction))) for kind in ("transaction", "event")]
    answers.append(project.post(wire.dumps(transaction), path=f"/api/{project.id}/store/", headers={"Content-Type": "application/json"}))
    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.headers[LIMITS] for answer in answers} == {answers[0].headers[LIMITS]} and "transaction" in limits(answers[0])
    wait_totals(project, {("transaction", "filtered", "not_stored"): 3, ("span", "filtered", "not_stored"): 3})


@pytest.mark.parametrize("way", ["transaction", "event", "store"])
def test_spans_of_a_transaction(project, way):
    """§4.5: each counts, and the transaction as one more; without being read, so not in one that is larger than an event may be."""
    def post(payload):
        if way == "store":
            return project.post(payload, path=f"/api/{project.id}/store/", headers={"Content-Type": "application/json"})
        return project.post(wire.envelope({}, wire.item(way, payload)))
    others = {"type": "transaction", "contexts": {"trace": {"spans": [1, 2]}}, "extra": 'a "spans":[1,2,3] \\'}
    payloads = [({**others, "spans": [{"description": "a, b]", "data": [[1], {}]}, {}, {"op": "db"}]}, 4), (others, 1), ({**others, "spans": []}, 1),
                ({"spans": [{"op": "x"}] * 100, **others}, 101), ({**others, "spans": {"values": [1, 2]}}, 1), ({"spans": [1] * 7, **others, "padding": "x" * (1 << 20)}, 1)]
    if way != "transaction":
        payloads.pop()
    for payload, _ in payloads:
        assert post(wire.dumps(payload)).status_code == 200
    wait_totals(project, {("transaction", "filtered", "not_stored"): len(payloads), ("span", "filtered", "not_stored"): sum(n for _, n in payloads)})


def test_unwanted_beside_an_event(project):
    event = wire.error_event()
    answer = project.post(wire.envelope({"event_id": event["event_id"]}, wire.item("log", {"items": []}), wire.item("event", event)))
    assert accepted(answer) == event["event_id"] and "log_item" in limits(answer)
    assert project.find(event["event_id"])
    assert limits(project.post(wire.event_envelope(wire.error_event()))) == []  # nothing unwanted, nothing asked


def test_sdk_keeps_its_transactions(project):
    """The Python SDK heeds the header of a 200: one transaction is sent, none after it, and errors go on."""
    sent = []
    client = sentry_sdk.Client(dsn=project.dsn, traces_sample_rate=1.0, default_integrations=False, auto_session_tracking=False,
                               _experiments={"transport_compression_level": 0})
    send = client.transport._send_request  # pylint: disable=protected-access

    def noting(body, headers, *more, **options):
        sent.append(bytes(body))
        return send(body, headers, *more, **options)

    client.transport._send_request = noting  # pylint: disable=protected-access
    with sentry_sdk.scope.use_scope(sentry_sdk.Scope(client=client)):
        for _ in range(5):
            with sentry_sdk.start_transaction(name="work"):
                pass
            client.flush(10)
        assert len([body for body in sent if b'"type":"transaction"' in body]) == 1
        event_id = sentry_sdk.capture_message("goes on")
        client.flush(10)
    client.close()
    assert project.find(event_id)


def test_several_events(project):
    """All are stored; the answer names the first."""
    events = [wire.error_event(value=f"one of several, {i}") for i in range(100)]
    answer = project.post(wire.envelope({"event_id": events[0]["event_id"]}, *[wire.item("event", event) for event in events]))
    assert accepted(answer) == events[0]["event_id"]
    project.wait_count(100)
    assert {uuid.UUID(event["event_id"]).hex for event in project.all_events()} == {event["event_id"] for event in events}


def test_more_events_than_are_taken(project):
    """Beyond 256 they are left out; so are those beyond 12 MiB, headers counted."""
    events = [wire.error_event(value="too many") for _ in range(260)]
    accepted(project.post(wire.envelope({}, *[wire.item("event", event) for event in events])))
    project.wait_count(256)
    large = [wire.error_event(value="large", extra={"filling": "x" * 900_000}) for _ in range(15)]
    accepted(project.post(wire.envelope({}, *[wire.item("event", event) for event in large])))
    project.wait_count(256 + 13)


def test_all_kinds_together(project):
    """§2.5: as many as each kind may have, and an event."""
    items = [sized("session", 300) for _ in range(100)] + [sized("client_report", 300) for _ in range(100)]
    items += [wire.item("attachment", b"%d" % n, filename="a") for n in range(30)] + [wire.item("event", wire.error_event())]
    accepted(project.post(wire.envelope({}, *items)))
    wanted = {("session", "accepted", ""): 100, ("error", "client_discard", "before_send"): 100, ("attachment_item", "accepted", ""): 30, ("error", "accepted", ""): 1}
    until(lambda: wanted.items() <= totals(project).items(), lambda: totals(project))


def test_events_without_ids(picket, project):
    """Sent again, they are not stored again: ids follow from the envelope's."""
    first = uuid.uuid4().hex
    body = wire.envelope({"event_id": first}, *[wire.item("event", {"message": f"nameless {i}"}) for i in range(3)])
    for _ in range(2):
        assert accepted(project.post(body)) == first
    def stored():
        return sum(issue["event_count"] for issue in project.issues() if "nameless" in json.dumps(issue))
    until(lambda: stored() >= 3, "they are not stored")
    until(lambda: json.loads(picket.command("status", "--json"))["server"]["spool"]["bytes"] == 0, "the backlog stays")
    assert stored() == 3


def test_broken_ones_between(project):
    good = [wire.error_event(value=f"sound {i}") for i in range(2)]
    body = wire.envelope({}, wire.item("event", b"{"), wire.item("event", good[0]), wire.item("event", b"[]"), wire.item("event", good[1]))
    assert accepted(project.post(body)) == good[0]["event_id"]
    project.wait_count(2)
    assert all(project.find(event["event_id"]) for event in good)


# ---- limits of a kind (§2.5)

@pytest.fixture(scope="module")
def small(cluster):
    picket = Picket(Directory(), DATABASE_URL=cluster.migrated_database(), MAX_SESSIONS=4, MAX_SESSIONS_BYTES="2000", MAX_CLIENT_REPORTS=3, MAX_CLIENT_REPORTS_BYTES="1000")
    try:
        yield picket.start()
    finally:
        picket.end()


def sized(kind, size):
    """An item of so many bytes that counts as one."""
    now = time.time()
    payload = {"session": {"sid": str(uuid.uuid4()), "init": True, "started": now, "status": "ok", "attrs": {"release": "a@1"}, "fill": ""},
               "sessions": {"aggregates": [{"started": now, "exited": 1}], "attrs": {"release": "a@1"}, "fill": ""},
               "client_report": {"timestamp": int(now), "discarded_events": [{"reason": "before_send", "category": "error", "quantity": 1}], "fill": ""}}[kind]
    payload["fill"] = "x" * (size - len(wire.dumps(payload)))
    assert len(wire.dumps(payload)) == size
    return wire.item(kind, payload)


@pytest.mark.parametrize("kinds, sizes, kept", [
    (["session", "sessions"], [400] * 4, 4), (["session", "sessions"], [400] * 5, 4),
    (["session"], [1000, 1000], 2), (["session"], [1000, 1001], 1), (["sessions"], [2000], 1), (["sessions"], [2001], 0),
    (["client_report"], [300] * 3, 3), (["client_report"], [300] * 4, 3),
    (["client_report"], [500, 500], 2), (["client_report"], [500, 501], 1), (["client_report"], [1001], 0),
])
def test_at_the_limit_and_beyond(small, kinds, sizes, kept):
    """Session items together, client reports together, by bytes and by number, at limit and limit + 1: what is beyond is dropped and counted."""
    project = small.new_project()
    items = [sized(kinds[i % len(kinds)], size) for i, size in enumerate(sizes)]
    assert project.post(wire.envelope({}, *items)).status_code == (200 if kept else 413)
    lost, is_report = len(sizes) - kept, kinds == ["client_report"]
    taken = ("error", "client_discard", "before_send") if is_report else ("session", "accepted", "")
    wanted = {taken: kept} if kept else {}
    if lost:
        wanted["default" if is_report else "session", "invalid", f"too_large:{kinds[(len(sizes) - 1) % len(kinds)]}"] = lost
    wait_totals(project, wanted)


@pytest.mark.parametrize("sizes, kept", [
    ([1 << 20] * 10, 10), ([1 << 20] * 10 + [150], 10), ([1 << 20, (1 << 20) + 1], 1), ([(1 << 20) + 1], 0),
])
def test_ten_mebibytes_of_sessions(project, sizes, kept):
    """§2.5: what is allowed by default fits into what of an envelope is kept. One item is held to the limit of an event, which bounds the memory that parsing
    takes: a thousand aggregates, more do not count, are a fifth of that."""
    kinds = ["sessions", "session"]
    answer = project.post(wire.envelope({}, *(sized(kinds[i % 2], size) for i, size in enumerate(sizes))))
    assert answer.status_code == (200 if kept else 413)
    wanted = {("session", "accepted", ""): kept, ("session", "invalid", f"too_large:{kinds[(len(sizes) - 1) % 2]}"): len(sizes) - kept}
    wait_totals(project, {name: n for name, n in wanted.items() if n})


def test_more_items_than_are_taken(project):
    """256 of an envelope; the others are told as what they are."""
    items = [wire.item("feedback", {"contexts": {"feedback": {"message": f"no. {i}"}}}) for i in range(259)]
    accepted(project.post(wire.envelope({}, *items)))
    wait_totals(project, {("feedback", "accepted", ""): 256, ("feedback", "invalid", "too_many_items"): 3})


@pytest.mark.parametrize("attached", [0, 1])
def test_more_items_than_are_read(project, attached):
    """Framing holds: the first thousand are taken, those behind are told as what they are, and cost nobody anything. With a file all of it is looked
    through before."""
    first, late = wire.error_event(), wire.error_event()
    known = [wire.item("event", first), *[wire.item("attachment", b"x")] * attached]
    behind = [wire.item("event", late), wire.item("session", {}), wire.item("attachment", b"0123456789"), wire.item("transaction", {}), *[wire.item("nonsense", {})] * 20]
    answer = project.post(wire.envelope({}, *known, *[wire.item("nel", b"{}")] * (1000 - len(known)), *behind))
    assert accepted(answer) == first["event_id"]
    wanted = {("error", "accepted", ""): 1, ("log_item", "filtered", "not_stored"): 1000 - len(known), ("log_byte", "filtered", "not_stored"): 2 * (1000 - len(known))}
    surplus = {"error": 1, "session": 1, "attachment_item": 1, "attachment": 10, "transaction": 1, "span": 1, "default": 20}
    wanted |= {(category, "invalid", "beyond_item_limit"): n for category, n in surplus.items()}
    if attached:
        wanted |= {("attachment_item", "accepted", ""): 1, ("attachment", "accepted", ""): 1}
    wait_totals(project, wanted)
    assert project.count() == 1 and {case["reason"] for case in project.api.read(project.path + "/delivery")["items"]} == {"beyond_item_limit"}


def test_a_large_session_costs_no_sibling(small):
    project = small.new_project()
    event = wire.error_event()
    accepted(project.post(wire.envelope({}, sized("session", 2001), wire.item("event", event), sized("session", 400))))
    assert project.find(event["event_id"])
    wait_totals(project, {("error", "accepted", ""): 1, ("session", "accepted", ""): 1, ("session", "invalid", "too_large:session"): 1})
