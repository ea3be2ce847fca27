"""The issue's "Bad input": every malformed thing gets its 4xx with a JSON body, or is stored sensibly (protocol §2.5–2.6, §5.3–5.13). After each:
the process lives, a neighbour's event is stored, memory is flat."""
import gzip
import json
import re
import uuid

import pytest

import wire
from client import accepted
from contract import EVENT_DETAIL, check, check_error, check_ingest_error
from waiting import until


@pytest.fixture(scope="module")
def project(picket):
    return picket.new_project()


@pytest.fixture(scope="module")
def neighbour(picket):
    return picket.new_project()


@pytest.fixture(autouse=True)
def unharmed(picket, neighbour, outsiders_memory):
    """Around every test: another project's event is stored as ever."""
    yield
    event = wire.error_event(value="the neighbour")
    neighbour.send(event)
    assert neighbour.find(event["event_id"])["title"] == "ValueError: the neighbour"
    assert picket.is_alive()


def stored(project, payload):
    """Sends an event's bytes, which must be accepted; its detail from the API, as text and as JSON."""
    event_id, body = wire.raw_event_envelope(payload)
    assert accepted(project.post(body)) == event_id
    detail = project.find(event_id)
    for text in json.dumps(detail, ensure_ascii=False), detail["title"]:
        text.encode("utf-8")  # no lone surrogate may come back
    assert "\\u0000" not in json.dumps(detail)
    return detail


# ---- strings

@pytest.mark.parametrize("text", ["a\\u0000b", "\\u0000", "a\\u0000\\u0000\\u0000"])
@pytest.mark.parametrize("where", ['{"message":"%s"}', '{"exception":{"values":[{"type":"%s","value":"v"}]}}', '{"message":"m","tags":{"%s":"%s"}}',
                                   '{"message":"m","extra":{"k":["%s"]}}', '{"message":"m","release":"%s","environment":"%s","server_name":"%s"}',
                                   '{"message":"m","fingerprint":["%s"]}', '{"message":"m","transaction":"%s","level":"%s","platform":"%s"}',
                                   '{"message":"m","user":{"id":"%s"}}'])
def test_nul(project, where, text):
    """§5.5: NUL is accepted on the wire, PostgreSQL cannot store it: replaced."""
    stored(project, where.replace("%s", text).encode())


@pytest.mark.parametrize("text", ["\\ud83d", "end \\udc00 end", "\\ud83d\\ud83d", "\\udc00\\ud83d", "\\ud83d\\u0041"])
@pytest.mark.parametrize("where", ['{"message":"%s"}', '{"exception":{"values":[{"type":"E","value":"%s"}]}}', '{"message":"m","tags":{"%s":"%s"}}',
                                   '{"message":"m","extra":{"%s":"%s"}}', '{"message":"m","release":"%s"}'])
def test_lone_surrogates(project, where, text):
    """sdk-observed: Python and JS SDKs send them daily."""
    stored(project, where.replace("%s", text).encode())


def test_surrogate_pairs_survive(project):
    assert stored(project, b'{"message":"boom \\ud83d\\udca5"}')["title"] == "Log Message: boom \U0001f4a5"


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\x80", b"\x80abc", b"\xf4\x90\x80\x80"])
def test_invalid_utf8(project, text):
    """Bytes that are not UTF-8 in an event's strings: made harmless, the event lives."""
    stored(project, b'{"message":"bytes ' + text + b'","tags":{"k":"' + text + b'"}}')


@pytest.mark.parametrize("byte", [b"\x01", b"\x07", b"\t", b"\r", b"\x1f", b"\x7f", b"\xc2\x85", b"\xe2\x80\xa8"])
def test_control_characters(project, byte):
    """Raw in a string (not JSON, but sent); U+2028 and C1."""
    stored(project, b'{"message":"control ' + byte + b' character"}')


def test_byte_order_mark(project):
    assert stored(project, b"\xef\xbb\xbf" + b'{"message":"behind a mark"}')["title"] == "Log Message: behind a mark"


TRIMMED = {"message": 8192, "transaction": 200, "server_name": 256, "platform": 64, "logger": 64, "culprit": 200}  # with three dots, and told in _meta
CUT = {"release": 250, "environment": 64, "dist": 64}  # it is looked up by what is left


@pytest.mark.parametrize("field", [*TRIMMED, *CUT])
def test_long_strings_are_trimmed(project, field):
    """architecture.md "Digest": over-long fields are trimmed, never rejected."""
    letter = "d" if field == "dist" else "ü"  # which only ASCII is allowed in (§5.13)
    data = stored(project, wire.dumps({"message": "m", "release": "a@1", field: letter * 150_000}))["data"]
    if field in CUT:
        assert data[field] == letter * CUT[field]
    else:
        limit = TRIMMED[field]
        assert data[field] == letter * (limit - 3) + "..."
        assert data["_meta"][field] == {"": {"rem": [["!limit", "s", limit - 3, limit]], "len": 150_000}}


def test_long_level(project):
    """Words that are no level are kept (contract §3.4), the beginning of them."""
    detail = stored(project, wire.dumps({"message": "m", "level": "ü" * 150_000, "breadcrumbs": [{"level": "x" * 50_000}]}))
    assert detail["level"] == "ü" * 20 and len(detail["data"]["level"]) == len(detail["data"]["breadcrumbs"]["values"][0]["level"]) == 20
    assert detail["data"]["_meta"]["level"][""]["len"] == 150_000


def test_long_names(project):
    stored(project, wire.dumps({"message": "m", "tags": {"k" * 100_000: "v" * 100_000}, "extra": {"x" * 200_000: 1}}))
    long = {"exception": {"values": [{"type": "T" * 100_000, "value": "v" * 300_000, "module": "m" * 100_000}]}}
    assert len(stored(project, wire.dumps(long))["title"]) < 3000


# ---- numbers

@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e-400", "9" * 400, "-" + "9" * 400, "0." + "9" * 400, "1e99999999999", "1180591620717411303424"], ids=range(8))
@pytest.mark.parametrize("where", ['{"message":"m","extra":{"n":%s}}', '{"message":"m","timestamp":%s}', '{"message":%s}', '{"message":"m","level":%s}',
                                   '{"message":"m","user":{"id":%s}}', '{"message":"m","tags":{"n":%s}}', '{"message":"m","fingerprint":[%s]}',
                                   '{"message":"m","breadcrumbs":[{"timestamp":%s}]}'])
def test_huge_numbers(project, where, number):
    stored(project, (where % number).encode())


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_nan_reads_as_null(project, word):
    """decisions.md "broken items"."""
    detail = stored(project, f'{{"message":"m","extra":{{"n":{word}}},"timestamp":{word}}}'.encode())
    assert detail["data"]["extra"].get("n") is None


# ---- shapes

@pytest.mark.parametrize("open, close", [(b"[", b"]"), (b'{"a":', b"}")], ids=["arrays", "objects"])
@pytest.mark.parametrize("where", [b'{"message":"deep","extra":%s}', b'{"message":"deep","contexts":{"c":%s}}', b'{"message":"deep","breadcrumbs":%s}',
                                   b'{"message":"deep","exception":%s}', b'{"message":"deep","user":{"data":%s}}', b'{"message":"deep","fingerprint":%s}',
                                   b'{"message":"deep","unknown":%s}', b'{"message":"deep","tags":%s}'])
def test_deep_nesting(project, where, open, close):
    """100,000 levels. Nothing of ours recurses; the event is stored (its detail may be too deep for Python's own reader, so it is looked at as text)."""
    event_id, body = wire.raw_event_envelope(where % (open * 100_000 + b"1" + close * 100_000))
    answer = project.post(body)
    if answer.status_code == 400:
        check_ingest_error(answer, 400)
        return
    assert accepted(answer) == event_id
    summary = wait_for(project, event_id)
    answer = project.api.get(f"{project.path}/issues/{summary['issue_id']}/events/{summary['id']}")
    assert answer.status_code == 200 and answer.text.startswith("{") and answer.text.endswith("}")


def wait_for(project, event_id):
    return until(lambda: next((e for e in project.newest_events() if uuid.UUID(e["event_id"]).hex == event_id), None), "the event is not visible")


@pytest.mark.parametrize("payload", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":[' * 50_000 + b"]}" * 49_999],
                         ids=["cut arrays", "cut objects", "an array", "cut mixture"])
def test_deep_nesting_that_is_no_event(project, payload):
    check_ingest_error(project.post(wire.raw_event_envelope(payload)[1]), 400)


def test_deep_headers(project):
    """The envelope's and the item's header as well."""
    deep = b"[" * 100_000 + b"]" * 100_000
    assert project.post(b'{"a":' + deep + b"}\n").status_code in (200, 400, 413)
    assert project.post(b'{}\n{"type":"event","a":' + deep + b"}\n{}\n").status_code in (200, 400, 413)


@pytest.mark.parametrize("fingerprint", [[], [""], ["", ""], [None], ["{{ default }}"], ["{{default}}"], ["{{  default  }}"], "text", 7, {}, {"a": 1}, None, True,
                                         [[]], [{}], [[], {}]])
def test_fingerprints_that_mean_the_default(picket, fingerprint):
    """Contract §3.3 "→ Ours", G-14, protocol §5.1: an empty fingerprint is none: such events do not fall into one issue."""
    project = picket.new_project()
    a, b = wire.error_event("A", "a"), wire.error_event("B", "b")
    project.send({**a, "fingerprint": fingerprint}, {**b, "fingerprint": fingerprint}, {**a, "event_id": uuid.uuid4().hex})
    project.wait_count(3)
    assert sorted((issue["title"], issue["event_count"]) for issue in project.issues()) == [("A: a", 2), ("B: b", 1)]


WRONG = [None, 7, -1.5, True, "", "text", [], {}, [None], [7], ["x"], [[]], [[["a"]]], {"values": None}, {"values": 7}, {"values": [None]}, {"values": {}},
         {"values": [7, "x", [], True]}, {"a": {"b": [None]}}, [{}], [{"type": {}, "value": []}], {"values": [{"type": 7, "value": {"a": [1]}}]},
         {"values": [{"stacktrace": {"frames": [None, 7, "x", {"lineno": "x", "in_app": "y", "vars": [], "pre_context": "p"}]}}]}]
FIELDS = ["event_id", "type", "timestamp", "platform", "level", "logger", "transaction", "server_name", "release", "dist", "environment", "tags", "extra",
          "modules", "fingerprint", "culprit", "user", "request", "contexts", "breadcrumbs", "exception", "stacktrace", "threads", "logentry", "message",
          "debug_meta", "sdk", "errors", "_meta", "spans", "measurements"]


@pytest.mark.parametrize("field", FIELDS)
def test_wrong_types(picket, field):
    """§5: a wrong type is replaced by nothing; the event is never rejected for it. Every field with every odd value, all visible."""
    project = picket.new_project()
    events, ids = [], []
    for value in WRONG:
        if field == "type" and value == "transaction":
            continue
        event_id = uuid.uuid4().hex
        events.append(wire.item("event", {"event_id": event_id, "message": f"wrong {field}", field: value} if field != "event_id"
                                else {"message": f"wrong {field}", "event_id": value}))
        ids.append(event_id)
    for event in events:
        accepted(project.post(wire.envelope({}, event)))
    project.wait_count(len(events))
    summaries = project.all_events()
    assert field == "event_id" or sorted(uuid.UUID(summary["event_id"]).hex for summary in summaries) == sorted(ids)
    for summary in summaries:
        check(EVENT_DETAIL, project.detail(summary))


def test_duplicate_keys(project):
    detail = stored(project, b'{"message":"one","message":"two","tags":{"a":"1","a":"2"},"exception":null,"exception":null}')
    assert detail["title"] in ("Log Message: one", "Log Message: two")


def test_very_many_of_everything(project):
    """Long lists: frames, exceptions, breadcrumbs, tags, threads."""
    stored(project, wire.dumps({"exception": {"values": [{"type": "E", "value": "v"}] * 5000}}))
    stored(project, wire.dumps({"exception": {"values": [{"type": "E", "value": "v", "stacktrace": {"frames": [{"function": "f"}] * 30_000}}]}}))
    stored(project, wire.dumps({"message": "m", "tags": {f"k{i}": "v" for i in range(30_000)}, "breadcrumbs": [{"message": "x"}] * 10_000}))
    stored(project, wire.dumps({"message": "m", "fingerprint": ["part"] * 50_000}))


@pytest.mark.parametrize("timestamp", ["9999-12-31T23:59:59Z", "99999-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z", 1e15, -1e15, 1.7e12,
                                       "2026-02-30T00:00:00Z", "yesterday", "", "2026-01-01T00:00:00+99:99", 253402300800, "1", "2026-01-01", "2026-01-01T00:00:00"])
def test_odd_timestamps(project, timestamp):
    """decisions.md "timestamp of an event"; G-20: whatever comes, the answer passes the dashboard's check (years 0001–9999, Z)."""
    check(EVENT_DETAIL, stored(project, wire.dumps({"message": "odd time", "timestamp": timestamp})))


@pytest.mark.parametrize("event_id", ["fc6d8c0c43fc0630ad850ee518f1b9d0", "f" * 32, "0" * 31 + "1", "00000000000000000000000000000000"])
def test_odd_event_ids(project, event_id):
    """decisions.md "event_id in API answers": conforming nibbles in `event_id`, the original in `data.event_id`; nil names no event."""
    got = accepted(project.post(wire.envelope({"event_id": event_id}, wire.item("event", {"message": f"odd id {event_id}"}))))
    assert got == event_id or int(event_id, 16) == 0
    issue = until(lambda: project.issue(f"odd id {event_id}"), "not visible")
    detail = check(EVENT_DETAIL, project.detail(project.events(issue)[0]))
    assert detail["data"]["event_id"] == got
    bits = uuid.UUID(detail["event_id"]).int ^ int(got, 16)
    assert bits & ~((0xF << 76) | (0x3 << 62)) == 0, "other bits than version and variant differ"


# ---- the API's own inputs

BAD_PATHS = ["/api/projects/abc", "/api/projects/-1", "/api/projects/0", "/api/projects/99999999999999999999", "/api/projects/1.5", "/api/projects/%00",
             "/api/projects/1%2F2", "/api/projects/%ff", "/api/projects/{id}/issues/abc", "/api/projects/{id}/issues/" + "0" * 36,
             "/api/projects/{id}/issues/00000000-0000-4000-8000-000000000000", "/api/projects/{id}/issues/../..", "/api/nothing", "/nothing", "/api/",
             "/api/projects/", "/auth/nothing", "/" + "a" * 5000, "/api/projects/{id}/issues/" + "a" * 3000, "/%2e%2e/%2e%2e/etc/passwd", "/api/projects/'--"]


@pytest.mark.parametrize("path", BAD_PATHS, ids=lambda path: path[:60])
def test_bad_paths(project, path):
    answer = wire.exchange(project.port, wire.request("GET", path.format(id=project.id), list(project.api.headers.items())))
    assert answer.status in (400, 404), answer.status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"] == answer.json()["message"]


@pytest.mark.parametrize("query", ["page=x", "page=1.5", "page=", "per_page=x", "order=sideways", "sort=colour", "filter=nothing", "page=99999999999999999999999",
                                   "page=%00", "per_page=%ff", "order=%27;--", "filter=", "sort=%00"])
def test_bad_queries(project, query):
    """Contract §1.1: an unknown value or something that is no number: 400, here as JSON."""
    check_error(project.api.get(f"{project.path}/issues?{query}"), 400)


def test_odd_queries_are_fine(project):
    """Unknown keys are ignored, empty pairs too; the first of several counts."""
    for query in ("&&", "x=y", "page=1&page=2", "page=1&", "=", "?", "page=1#fragment", "%", "filter=open&filter=nothing"):
        assert project.api.get(f"{project.path}/issues?{query}").status_code == 200, query


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"{}garbage", b'{"name":', b"\x00", b"[" * 100_000, b'{"a":' * 100_000, b"NaN"],
                         ids=range(12))
def test_bad_json_bodies(api, body):
    check_error(api.post("/api/projects", data=body, headers={"Content-Type": "application/json"}), 400)


@pytest.mark.parametrize("name", [None, 7, [], {}, True, "", "   ", "x" * 256, "ä" * 128, "\u0000", "\ud800"], ids=range(11))
def test_bad_names(api, name):
    check_error(api.post("/api/projects", data=json.dumps({"name": name}), headers={"Content-Type": "application/json"}), 400)


def test_names_are_made_harmless(api):
    """A NUL or half a surrogate pair in a name that has something else, too: refused, or stored without it."""
    for name in ("a\u0000b", "a\ud800b"):
        answer = api.post("/api/projects", data=json.dumps({"name": name + uuid.uuid4().hex}), headers={"Content-Type": "application/json"})
        assert answer.status_code in (201, 400)
        answer.content.decode("utf-8")
        assert "\\u0000" not in answer.text and "\\ud800" not in answer.text


@pytest.mark.parametrize("headers", [{"Content-Type": "text/plain"}, {"Content-Type": ""}, {}, {"Content-Type": "application/jsonx"},
                                     {"Content-Type": "application/x-www-form-urlencoded"}])
def test_wrong_content_types(api, headers):
    """Contract §1.1, §1.4: a JSON body says that it is one."""
    answer = api.post("/api/projects", data=b'{"name":"x"}', headers=headers)
    check_error(answer, answer.status_code)
    assert answer.status_code in (400, 415)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "application/vnd.api+json", "APPLICATION/JSON"])
def test_right_content_types(api, content_type):
    assert api.post("/api/tokens", data=b"{}", headers={"Content-Type": content_type}).status_code == 201


def test_api_body_limit(api):
    """Contract §1.1: 2 MiB after decoding: 413."""
    for data, headers in ((b'{"name":"' + b"x" * (2 << 20) + b'"}', {}), (gzip.compress(b'{"name":"' + b"x" * (200 << 20) + b'"}'), {"Content-Encoding": "gzip"})):
        check_error(api.post("/api/projects", data=data, headers={"Content-Type": "application/json", **headers}), 413)


@pytest.mark.parametrize("levels, status", [(60, 201), (100, 400), (500_000, 400)])
def test_api_body_nesting(api, levels, status):
    """Also of members that nobody asks for."""
    answer = api.post("/api/tokens", data=b'{"more":' + b"[" * levels + b"]" * levels + b"}", headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    if status == 400:
        check_error(answer, 400, "ValidationError")


def test_api_body_compressed(api):
    answer = api.post("/api/tokens", data=gzip.compress(b'{"description":"packed"}'), headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
    assert answer.status_code == 201 and answer.json()["description"] == "packed"


@pytest.mark.parametrize("cookie", ["", "x", "rustrak_session=", "rustrak_session=%", "rustrak_session=" + "A" * 43, "rustrak_session=" + "A" * 5000, "=;=;;=",
                                    "rustrak_session=\xff\xfe", "rustrak_session=a; rustrak_session=b"], ids=range(9))
def test_bad_cookies(project, cookie):
    answer = wire.exchange(project.port, wire.request("GET", "/auth/me", [("Cookie", cookie)]))
    assert answer.status == 401 and answer.json()["type"] == "Unauthorized"


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Bearer x", "Bearer " + "a" * 39, "Bearer " + "a" * 41, "Bearer " + "A" * 40, "Bearer " + "g" * 40,
                                   "bearer " + "a" * 40, "Bearer " + "a" * 40, "Token " + "a" * 40, "Basic eDp5", "Bearer  " + "a" * 40, "\xff" * 50], ids=range(13))
def test_bad_tokens(project, value):
    answer = wire.exchange(project.port, wire.request("GET", "/auth/me", [("Authorization", value)]))
    assert answer.status == 401 and answer.json()["type"] == "Unauthorized"


def test_no_secrets_in_the_log(picket, project):
    """Style E4: the log has ids, never payloads, keys or tokens, whatever was thrown at it above."""
    project.post(b"\xff broken", headers={"Content-Encoding": "gzip"})
    log = picket.log()
    assert project.key not in log and picket.token not in log
    assert not re.search(r"the neighbour|ValueError", log)
