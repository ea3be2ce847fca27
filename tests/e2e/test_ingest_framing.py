"""Framing of envelopes: protocol §2.1–2.3, the vectors of §10.3, the samples of Appendix A, decisions.md "broken items", "success id"."""
import uuid

import pytest

import wire
from client import accepted
from contract import check_ingest_error
from test_outcomes import totals
from waiting import until
from wire import dumps, envelope, item

ID = "9ec79c33ec9942ab8353589fcb2e04dc"
EVENT = {"message": "kept"}


@pytest.fixture(scope="module")
def project(picket):
    return picket.new_project()


def new_id():
    return uuid.uuid4().hex


# ---- accepted; {ID} is a new id in each

EMPTY_BUT_FINE = {
    "{} alone": b"{}",
    "{} and newline": b"{}\n",
    "id alone": b'{"event_id":"{ID}"}',
    "newlines behind": b"{}\n\n\n",
    "two empty attachments, final newline": b'{"event_id":"{ID}"}\n{"type":"attachment","length":0}\n\n{"type":"attachment","length":0}\n\n',
    "two empty attachments, no final newline": b'{"event_id":"{ID}"}\n{"type":"attachment","length":0}\n\n{"type":"attachment","length":0}\n',
    "item without length, ended by the end": b'{"event_id":"{ID}"}\n{"type":"attachment"}\nhelloworld',
    "item without length, ended by newline": b'{"event_id":"{ID}"}\n{"type":"attachment"}\nhelloworld\n',
    "empty item without length at the end": b'{"event_id":"{ID}"}\n{"type":"attachment"}',
    "\\r\\n inside payloads": b'{"event_id":"{ID}"}\n{"type":"attachment","length":10}\n\xef\xbb\xbfHello\r\n\n{"type":"attachment","length":6}\nab\r\ncd\n',
    "unknown item type": b'{"event_id":"{ID}"}\n{"type":"invalid_unknown","length":2}\n{}\n',
    "item header without type": b'{"event_id":"{ID}"}\n{"length":2}\n{}\n',
    "item type not a string": b'{"event_id":"{ID}"}\n{"type":7,"length":2}\n{}\n',
    "length that is no number": b'{"event_id":"{ID}"}\n{"type":"other","length":"2"}\n{}\n',
    "negative length": b'{"event_id":"{ID}"}\n{"type":"other","length":-1}\n{}\n',
    "fractional length": b'{"event_id":"{ID}"}\n{"type":"other","length":2.5}\n{}\n',
    "blanks before headers": b'  {"event_id":"{ID}"}\n  {"type":"other"}\n{}\n',
    "header over several lines": b'{\n  "event_id":\n "{ID}"}\n{"type":"other"}\n{}\n',
    "two sent_at (tolerant alternative)": b'{"event_id":"{ID}","sent_at":"2026-01-01T00:00:00Z","sent_at":"2026-01-01T00:00:00Z"}\n',
    "sent_at that is none": b'{"event_id":"{ID}","sent_at":"yesterday"}\n',
    "unknown header keys, trace of a wrong type": b'{"event_id":"{ID}","trace":7,"sdk":[],"whatever":{"a":null}}\n',
    "event_id null": b'{"event_id":null}',
    "second sample of Appendix A": b'{"event_id":"{ID}"}\n{"type":"attachment","length":5,"filename":"a.txt"}\nhello\n{"type":"client_report"}\n'
                                   b'{"timestamp":1754049600,"discarded_events":[{"reason":"queue_overflow","category":"error","quantity":3}]}',
    "session without any id (sdk-observed)": b'{}\n{"type":"session"}\n{"sid":"7c7b6585-f901-4351-bf8d-02711b721929","init":true,"status":"ok"}',
}


@pytest.mark.parametrize("name", EMPTY_BUT_FINE)
def test_accepted_without_events(project, name):
    """200; the answer has the id of the header (§4.1), else {} or a made one where an item type needs it (§2.2)."""
    event_id = new_id()
    body = EMPTY_BUT_FINE[name].replace(b"{ID}", event_id.encode())
    answer = project.post(body)
    assert answer.status_code == 200, answer.text
    if b'"event_id":"' in body:
        assert answer.json() == {"id": event_id}
    else:
        assert answer.json() == {} or wire.ID.fullmatch(answer.json()["id"])


REFUSED = {
    "empty body": b"",
    "one newline": b"\n",
    "blanks": b" \n\r\t ",
    "header is not JSON": b"nonsense\n",
    "header is an array": b"[]\n",
    "header is a string": b'"x"\n',
    "header cut short": b'{"event_id":',
    "header is not UTF-8": b'{"a":"\xff\xfe"}\n',
    "rubbish behind the header": b'{} {"type":"event"}\n{}',
    "item header is not JSON": b"{}\nnonsense\n{}",
    "item header is an array": b'{}\n["event"]\n{}',
    "item header is not UTF-8": b'{}\n{"type":"\xff"}\n{}',
    "length shorter than the payload": b'{}\n{"type":"attachment","length":3}\nhello\n',
    "length and then \\r\\n": b'{}\n{"type":"attachment","length":5}\nhello\r\n{"type":"attachment","length":0}\n\n',
    "length longer than the rest": b'{}\n{"type":"attachment","length":30}\nhello\n',
    "length beyond 64 bits": b'{}\n{"type":"attachment","length":99999999999999999999999}\nhello\n',
    "length at the end of 63 bits": b'{}\n{"type":"attachment","length":9223372036854775807}\nhello\n',
    "event_id too short": b'{"event_id":"abc"}\n',
    "event_id not hexadecimal": b'{"event_id":"' + b"g" * 32 + b'"}\n',
    "event_id a number": b'{"event_id":12}\n',
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(project, name):
    """400 with a body that says what is wrong, and where framing was lost also where."""
    check_ingest_error(project.post(REFUSED[name]), 400)


def test_refused_envelope_stores_nothing(project):
    """Lost framing fails the request as a whole (decisions.md): the good event before the bad item is not stored."""
    event_id = new_id()
    body = envelope({"event_id": event_id}, item("event", {"message": "before lost framing"})) + b"not an item header\n"
    check_ingest_error(project.post(body), 400)
    project.drain()
    assert project.issue("before lost framing") is None


def test_sample_of_the_appendix(project):
    """Appendix A, first sample: explicit length, content type, a dsn of ours instead of its."""
    event_id = new_id()
    body = (f'{{"event_id":"{event_id}","dsn":"{project.dsn}","sent_at":"2026-08-01T12:00:00.000Z"}}\n'
            '{"type":"event","length":39,"content_type":"application/json"}\n{"message":"hello","platform":"python"}\n')
    assert accepted(project.post(body.encode())) == event_id
    detail = project.find(event_id)
    assert detail["title"] == "Log Message: hello" and detail["platform"] == "python"


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n\n"])
def test_event_with_and_without_length(project, length, end):
    event_id = new_id()
    body = dumps({"event_id": event_id}) + b"\n" + item("event", {"message": f"length {length} {end!r}"}, length=length) + end
    assert accepted(project.post(body)) == event_id
    project.find(event_id)


def test_payload_with_newlines_needs_its_length(project):
    event_id = new_id()
    payload = b'{\n "message":\n "pretty\\nprinted"\n}'
    accepted(project.post(envelope({"event_id": event_id}, item("event", payload))))
    assert project.find(event_id)["title"] == "Log Message: pretty"


@pytest.mark.parametrize("spelling", [str.upper, lambda i: str(uuid.UUID(i)), lambda i: str(uuid.UUID(i)).upper()])
def test_spellings_of_the_id(project, spelling):
    """§2.2: with dashes, any case; answered as 32 lower-case digits."""
    event_id = new_id()
    assert accepted(project.post(envelope({"event_id": spelling(event_id)}, item("event", EVENT)))) == event_id
    assert project.find(event_id)["data"]["event_id"] == event_id


def test_id_of_the_header_wins(project):
    """§2.2, sdk-observed (CLI): header and payload may differ; the header's id is the event's."""
    event_id, other = new_id(), new_id()
    assert accepted(project.post(envelope({"event_id": event_id}, item("event", {"event_id": other, "message": "two ids"})))) == event_id
    project.find(event_id)


def test_id_of_the_payload_serves(project):
    event_id = new_id()
    assert accepted(project.post(envelope({}, item("event", {"event_id": event_id, "message": "own id"})))) == event_id
    project.find(event_id)


def test_server_makes_an_id(project):
    event_id = accepted(project.post(envelope({}, item("event", {"message": "no id"}))))
    assert project.find(event_id)["title"] == "Log Message: no id"


def test_broken_payload_costs_only_itself(project):
    """§2.6, decisions.md: a broken item is dropped, its siblings live."""
    event_id = new_id()
    body = envelope({}, item("event", b"\xff\xfe\xfd"), item("attachment", b"\x00\xff", filename="a"),
                    item("event", {"event_id": event_id, "message": "sibling"}), item("event", b"[1,2]"), item("event", b"{cut short"))
    accepted(project.post(body))
    assert project.find(event_id)["title"] == "Log Message: sibling"


@pytest.mark.parametrize("payload", [b"\xff\xfe\xfd", b"{cut", b"[]", b'"text"', b"null", b"17", b""])
def test_nothing_survives(project, payload):
    """decisions.md: if nothing at all survives because everything was broken: 400 saying why. (P10.3 has 200 here; decisions.md decides.)"""
    check_ingest_error(project.post(envelope({"event_id": new_id()}, item("event", payload))), 400)


def test_broken_event_beside_an_attachment(project):
    """Something survives: 200."""
    assert project.post(envelope({"event_id": new_id()}, item("event", b"{cut"), item("attachment", b"x"))).status_code == 200


def test_unknown_item_beside_an_event(project):
    """test_drop_unknown_item: the unknown is skipped, the event stored."""
    event_id = new_id()
    accepted(project.post(envelope({"event_id": event_id}, item("invalid_unknown", b"something"), item("event", EVENT))))
    project.find(event_id)


def test_transaction_is_no_error(picket):
    """Transactions are a later issue: accepted and skipped, whether the item or the payload says so."""
    project = picket.new_project()
    for kind in ("transaction", "event"):
        answer = project.post(envelope({"event_id": new_id()}, item(kind, {"type": "transaction", "transaction": "t", "spans": []})))
        assert answer.status_code == 200, answer.text
    project.send(wire.message_event("no transaction"))
    project.drain()
    assert [issue["title"] for issue in project.issues()] == ["Log Message: no transaction"] and project.count() == 1


def test_several_events(project):
    """The first that is sound has the header's id, a further one its own, or one that is made."""
    first, second = new_id(), new_id()
    body = envelope({"event_id": first}, item("event", b"{broken"), item("event", {"event_id": new_id(), "message": "several 2"}),
                    item("event", {"event_id": second, "message": "several 3"}), item("event", {"message": "several 4"}))
    assert accepted(project.post(body)) == first
    assert project.find(first)["title"] == "Log Message: several 2"
    assert project.find(second)["title"] == "Log Message: several 3"
    until(lambda: project.issue("several 4"), "the third is not there")


def test_long_header_line(project):
    """sentry-protocol §2.1 knows no bound for a header, so ours must not hurt an honest one: 8 KiB passes, a megabyte is refused."""
    assert project.post(dumps({"event_id": new_id(), "trace": {"x": "y" * 8000}})).status_code == 200
    assert project.post(dumps({"event_id": new_id(), "trace": {"x": "y" * (1 << 20)}})).status_code in (400, 413)


def test_very_many_items(picket):
    """Beyond a thousand they are counted; beyond a hundred thousand, which no SDK sends, nobody looks: what is left is one."""
    project = picket.new_project()
    assert project.post(envelope({}, *[item("session", {"n": i}) for i in range(100)])).status_code == 200
    assert project.post(envelope({}, *[b'{"type":"x"}\n{}'] * 200_000)).status_code == 200
    wanted = {("default", "filtered", "not_stored"): 1000, ("default", "invalid", "beyond_item_limit"): 99_001}
    until(lambda: wanted.items() <= totals(project).items(), lambda: totals(project))
