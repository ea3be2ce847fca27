"""What must not be stored is not stored (protocol §5.15; src/event/scrub.c): not in the payload, not in a column, not in any answer of the API, and not in a
file beside it."""
import json
import os
import uuid

import pytest
import zstandard

import server
import wire
from client import accepted
from test_attachments import attachments, files
from test_outcomes import wait_totals
from waiting import until

CARD = "4111 1111 1111 1111"
SECRETS = ["hunter2", "c00kie-value", CARD, "eyJzdWIiOiJhbm4ifQ", "MIIEpAIBAAKCAQEA", "query-secret", "form-secret", "db-secret"]
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"


def event():
    return wire.message_event(
        f"payment with {CARD} failed", platform="python", tags=[["api_key", "hunter2"], ["color", "blue"]],
        extra={"password": "hunter2", "nested": [{"db_secret": "hunter2"}], "kept": "visible", "pem": PEM, "dsn": "postgres://app:db-secret@db/shop"},
        request={"url": "https://shop.test/pay?token=query-secret&page=2", "method": "POST", "data": '{"user": "ann", "password": "form-secret"}',
                 "headers": [["Cookie", "sid=c00kie-value; theme=dark"], ["Authorization", "Bearer eyJzdWIiOiJhbm4ifQ"], ["Accept", "*/*"]],
                 "cookies": {"sessionid": "c00kie-value", "theme": "dark"}})


def unpacked(payload):
    with open(os.path.join(server.ROOT, "src", "protocol", "payload_1.zdict"), "rb") as f:
        return zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(f.read())).decompress(payload, max_output_size=1 << 20)


def packed(value):
    """MessagePack, as much of it as is needed here."""
    if isinstance(value, dict):
        return bytes([0x80 + len(value)]) + b"".join(packed(key) + packed(one) for key, one in value.items())
    if isinstance(value, list):
        return bytes([0x90 + len(value)]) + b"".join(map(packed, value))
    return bytes([0xd9, len(value.encode())]) + value.encode()


FORM = wire.dumps([["password", "hunter2"], ["form_kept", "visible"], ["sentry[extra][db_secret]", "hunter2"], ["card", CARD], ["count", 7]])
PAYLOAD = packed({"extra": {"api_key": "hunter2", "payload_kept": "visible"}})
CRUMBS = [packed([{"message": f"paid with {CARD}", "data": {"password": "hunter2"}}]), packed({"message": "second", "data": {"token": "query-secret"}})]


def parts():
    """What is read into an event that comes with it (§3.1, §3.3)."""
    return [wire.item("form_data", FORM), wire.item("attachment", PAYLOAD, attachment_type="event.payload", filename="__sentry-event"),
            *(wire.item("attachment", crumbs, attachment_type="event.breadcrumbs") for crumbs in CRUMBS)]


def in_files(picket, project):
    """All bytes in the blob store."""
    found = b""
    for path in files(picket, project):
        with open(path, "rb") as f:
            found += f.read()
    return found


def answers(project, issue, event_id):
    """Every text that the API shows of the event."""
    row = project.find(event_id)["id"]
    base = f"{project.path}/issues/{issue['id']}"
    for path in [project.path, f"{project.path}/issues", base, f"{base}/events", f"{base}/events/{row}", f"{base}/events/{row}/raw"]:
        yield path, project.api.get(path).text


def test_nowhere(picket, project):
    sent = event()
    event_id = accepted(project.post(wire.envelope({"event_id": sent["event_id"]}, wire.item("event", sent), *parts())))
    data = project.find(event_id)["data"]
    issue, = project.issues()
    seen = list(answers(project, issue, event_id))
    for path, text in seen:
        assert not [secret for secret in SECRETS if secret in text], path
    assert any("visible" in text for _, text in seen)
    assert not [secret for secret in SECRETS if secret.encode() in in_files(picket, project)]
    kept = {name: data["extra"][name] for name in sent["extra"]}
    assert kept == {"password": "[Filtered]", "nested": [{"db_secret": "[Filtered]"}], "kept": "visible",
                    "pem": PEM.replace("MIIEpAIBAAKCAQEA", "[Filtered]"), "dsn": "postgres://[Filtered]@db/shop"}
    assert "payment with [creditcard] failed" in issue["title"]
    assert data["_meta"]["extra"]["password"] == {"": {"rem": [["@password:filter", "s", 0, 10]]}}


def test_not_decoded(project):
    """What is encoded when it comes is decoded in the copy that dashboards read (§5.8): a secret in it goes before. So do names in Python's quotes."""
    project.api.patch(project.path, json={"scrubbing": {"sensitive_fields": ["Geburts Ort"]}})
    inner = "next=%2Freset%3Ftoken%3Dhunter2%26page%3D2"
    sent = wire.error_event(
        transaction=f"/login?{inner}", tags={"from": f"/login?{inner}"}, extra={"body": '{"p\\u0061ssword": "hunter2", "geburts ort": "hunter2"}'},
        breadcrumbs={"values": [{"message": "mysql --password hunter2 -h db", "data": {"url": f"/login?{inner}"}}]},
        request={"url": f"https://shop.test/login?{inner}", "query_string": f"{inner}&p%61ssword=hunter2&geburts+ort=hunter2&lang=en", "data": inner,
                 "headers": {"Referer": f"https://shop.test/login?{inner}"}})
    sent["exception"]["values"][0]["stacktrace"] = {"frames": [{"function": "f", "vars": {
        "headers": [["b'cookie'", "b'sid=hunter2'"], ["b'host'", "b'shop.test'"]], "login": {"'refresh_token'": "'hunter2'"}}}]}
    event_id = accepted(project.post(wire.event_envelope(sent)))
    data = project.find(event_id)["data"]
    issue, = project.issues()
    for path, text in answers(project, issue, event_id):
        assert "hunter2" not in text, path
    assert data["transaction"] == "/login?next=%2Freset%3Ftoken%3D[Filtered]%26page%3D2"
    assert dict(data["request"]["query_string"]) == {
        "next": "/reset?token=[Filtered]&page=2", "password": "[Filtered]", "geburts ort": "[Filtered]", "lang": "en"}


@pytest.mark.parametrize("order", [1, -1])
def test_not_in_files(picket, project, order):
    """Fields of a form, event.payload and event.breadcrumbs are part of the event, wherever they stand in the envelope; the file beside them is one."""
    sent = event()
    items = [wire.item("event", sent), *parts()][::order]
    accepted(project.post(wire.envelope({"event_id": sent["event_id"]}, *items, wire.item("attachment", b"a file", filename="a.txt"))))
    data = project.find(sent["event_id"])["data"]
    assert {name: data["extra"][name] for name in ("form_kept", "payload_kept", "db_secret", "api_key", "card", "count")} == {
        "form_kept": "visible", "payload_kept": "visible", "db_secret": "[Filtered]", "api_key": "[Filtered]", "card": "[Filtered]", "count": "7"}
    assert sorted(crumb["message"] for crumb in data["breadcrumbs"]["values"]) == ["paid with [Filtered]", "second"]
    assert not [secret for secret in SECRETS if secret in json.dumps(data)]
    wait_totals(project, {("error", "accepted", ""): 1, ("attachment", "accepted", ""): len(b"a file"), ("attachment_item", "accepted", ""): 5})
    assert in_files(picket, project) == b"a file" and [row["name"] for row in attachments(project)] == ["a.txt"]


def test_names_of_files(picket, project):
    """What people call them is text like any other, by the rules of its project; a name without a secret stays as it is."""
    project.api.patch(project.path, json={"scrubbing": {"sensitive_fields": ["badge"]}})
    names = {"login password=hunter2.txt": "login password=[Filtered]", "card 4111111111111111.png": "card [creditcard].png", "badge=77.txt": "badge=[Filtered]",
             "Bericht \u00fc\U0001f600 (1).txt": None, "../auth/token.json": None, "key=.log": None}
    accepted(project.post(wire.envelope({"event_id": uuid.uuid4().hex}, *(wire.item("attachment", name.encode(), filename=name) for name in names))))
    rows = until(lambda: (found := attachments(project)) and len(found) == len(names) and found, lambda: attachments(project))
    assert sorted(row["name"] for row in rows) == sorted(wanted or name for name, wanted in names.items())
    shown = [project.api.get(f"{project.path}/attachments/{row['id']}/download").headers["Content-Disposition"] for row in rows]
    assert not [secret for secret in ("hunter2", "4111") if secret in str(shown)]


@pytest.mark.parametrize("part, reason, event_made", [
    (wire.item("form_data", FORM), "no_event_payload", False),
    (wire.item("form_data", wire.dumps({"password": "hunter2"})), "invalid_json", False),
    (wire.item("form_data", wire.dumps([["password", "hunter2"], "hunter2"])), "invalid_json", False),
    (wire.item("attachment", PAYLOAD[:-1], attachment_type="event.payload"), "invalid_msgpack", False),
    (wire.item("attachment", CRUMBS[0][:-1], attachment_type="event.breadcrumbs"), "invalid_msgpack", False),
    (wire.item("attachment", CRUMBS[0], attachment_type="event.payload"), "invalid_msgpack", False),
    (wire.item("attachment", CRUMBS[0] + CRUMBS[1][:-1], attachment_type="event.breadcrumbs"), "invalid_msgpack", True),
    (wire.item("attachment", PAYLOAD + b"\0" * (2 << 20), attachment_type="event.payload"), "too_large:form_data", False),
], ids=["form without an event", "no form", "half a form", "cut payload", "cut breadcrumbs", "payload of another kind", "half of the breadcrumbs", "too large"])
def test_what_cannot_be_read_is_told_and_not_kept(picket, project, part, reason, event_made):
    """Alone it makes no event but where some of it can be read; beside an event it costs nobody anything. Either way it is counted, and no file remains."""
    size = len(part.split(b"\n", 1)[1])
    status = project.post(wire.envelope({}, part)).status_code
    assert status == {"no_event_payload": 200, "too_large:form_data": 413}.get(reason, 200 if event_made else 400)
    wanted = {("attachment_item", "invalid", reason): 1, **({("error", "accepted", ""): 1} if event_made else {})}
    wait_totals(project, wanted)
    case = project.api.read(project.path + "/delivery")["items"][0]
    assert (case["reason"], case["bytes"]) == (reason, size)
    sent = wire.error_event()
    if reason != "no_event_payload":
        accepted(project.post(wire.envelope({}, wire.item("event", sent), part)))
        wait_totals(project, {("error", "accepted", ""): 1 + event_made, **{name: 2 * n for name, n in wanted.items() if name[0] != "error"}})
    assert attachments(project) == [] and not [secret for secret in SECRETS if secret.encode() in in_files(picket, project)]


def test_surplus_parts_are_told(picket, project):
    """The first of a kind counts, two of breadcrumbs."""
    sent = wire.error_event()
    accepted(project.post(wire.envelope({}, wire.item("event", sent), *parts(), *parts())))
    wait_totals(project, {("error", "accepted", ""): 1, ("attachment_item", "accepted", ""): 5, ("attachment_item", "invalid", "duplicate_item"): 3})
    assert attachments(project) == []


def test_parts_make_no_transaction_of_an_event(project):
    """§2.6: the event came first; what would make it something that is not stored is a second one."""
    sent, fields = wire.message_event("m"), [["sentry", '{"type":"transaction","release":"r"}']]
    accepted(project.post(wire.envelope({}, wire.item("event", sent), wire.item("form_data", fields))))
    assert project.find(sent["event_id"])["release"] == ""
    wait_totals(project, {("error", "accepted", ""): 1, ("attachment_item", "invalid", "duplicate_item"): 1})


def test_parts_share_the_fate_of_their_event(project):
    """Over quota: rate-limited with it, and nothing of them is anywhere."""
    assert project.api.patch(project.path, json={"quotas": {"error": {"hour": 1}}}).status_code == 200
    n = 0

    def is_limited():
        nonlocal n
        n += 1
        return project.post(wire.event_envelope(wire.error_event())).status_code == 429
    until(is_limited, "the quota is not known", 5)
    assert project.post(wire.envelope({}, wire.item("event", wire.error_event()), *parts())).status_code == 429
    wait_totals(project, {("error", "accepted", ""): n - 1, ("error", "rate_limited", "project_hour_quota"): 2,
                          ("attachment_item", "rate_limited", "project_hour_quota"): 4})
    assert attachments(project) == []


def test_not_in_the_table(picket, project):
    event_id, = project.send(event())
    project.find(event_id)
    columns = json.dumps(picket.sql("SELECT to_jsonb(e) - 'payload' FROM events e WHERE project_id = %s", project.id), default=str)
    issues = json.dumps(picket.sql("SELECT to_jsonb(i) FROM issues i WHERE project_id = %s", project.id), default=str)
    (payload,), = picket.sql("SELECT payload FROM events WHERE project_id = %s", project.id)
    stored = unpacked(payload).decode()
    for text in (columns, issues, stored):
        assert not [secret for secret in SECRETS if secret in text]
    assert "[creditcard]" in stored and "visible" in stored and "theme" in stored


def test_what_has_no_secrets_is_stored_as_it_came(picket, project):
    payload = b' {"event_id":"%s" , "extra" : {"a":1.50e3,"b":"\\/","author":"ann"}, "message":"auth: user 17 not found"} '
    event_id = uuid.uuid4().hex
    payload %= event_id.encode()
    _, body = wire.raw_event_envelope(payload, event_id)
    assert project.post(body).status_code == 200
    project.find(event_id)
    (stored,), = picket.sql("SELECT payload FROM events WHERE project_id = %s", project.id)
    assert unpacked(stored) == payload


# ---- a project's own rules (columns of projects, PATCH /api/projects/{id}); the digest asks for them with each batch (src/digest/rules.c)

def own_event(**fields):
    return wire.error_event(user={"id": "7", "ip_address": "{{auto}}", "email": "ann@example.com"}, request={"env": {"REMOTE_ADDR": "10.1.2.3"}},
                            extra={"password": "hunter2", "plate": "B-XY 1", "from": "seen at 10.9.8.7"}, **fields)


def stored(picket, project, event):
    """The event as the API shows it, and the address of its row."""
    project.send(event)
    data = project.find(event["event_id"])["data"]
    (address,), = picket.sql("SELECT host(remote_addr) FROM events WHERE project_id = %s AND event_id = %s", project.id, uuid.UUID(event["event_id"]))
    return data, address


def scrub(project, **scrubbing):
    answer = project.api.patch(project.path, json={"scrubbing": scrubbing})
    assert answer.status_code == 200, answer.text
    return answer.json()["scrubbing"]


def test_own_rules_act_at_once(picket, project):
    """From the answer to the change on: no event that is sent afterwards is stored by the old rules."""
    assert project.row()["scrubbing"] == {}
    data, address = stored(picket, project, own_event())
    assert (data["extra"]["password"], data["extra"]["plate"], data["user"]["ip_address"], address) == ("[Filtered]", "B-XY 1", "127.0.0.1", "127.0.0.1")
    assert scrub(project, sensitive_fields=["plate"], safe_fields=["password"]) == {"sensitive_fields": ["plate"], "safe_fields": ["password"]}
    data, address = stored(picket, project, own_event())
    assert (data["extra"]["password"], data["extra"]["plate"], address) == ("hunter2", "[Filtered]", "127.0.0.1")
    assert scrub(project, sensitive_fields=None, safe_fields=None, drop_ip=True) == {"drop_ip": True}
    data, address = stored(picket, project, own_event())
    assert (data["extra"]["password"], data["extra"]["plate"], data["extra"]["from"]) == ("[Filtered]", "B-XY 1", "seen at [ip]")
    assert address is None and data["user"].get("ip_address") is None and "10.1.2.3" not in json.dumps(data) and data["user"]["id"] == "7"
    scrub(project, enabled=False)
    data, address = stored(picket, project, own_event())
    assert (data["extra"]["password"], data["extra"]["from"], address, data["user"].get("ip_address")) == ("hunter2", "seen at [ip]", None, None)
    scrub(project, drop_ip=False)
    data, address = stored(picket, project, own_event())
    assert (data["extra"]["password"], data["extra"]["from"], address) == ("hunter2", "seen at 10.9.8.7", "127.0.0.1")


def test_own_names_of_the_structure(picket, project):
    """A name of the protocol's own goes as a whole, from columns too; without ip_address the address that the event came from is not kept either."""
    scrub(project, sensitive_fields=["server_name", "ip_address", "id"])
    data, address = stored(picket, project, own_event(server_name="web-1", platform="javascript"))
    assert data["server_name"] == data["tags"]["server_name"] == data["user"]["id"] == data["user"]["ip_address"] == "[Filtered]" and address is None
    assert data["exception"]["values"][0]["stacktrace"]["frames"][0]["filename"] == "app.py"
    assert picket.sql("SELECT server_name, platform FROM events WHERE project_id = %s", project.id) == [("[Filtered]", "javascript")]


def test_labels_hold_no_card(project):
    """Thread names, texts of contexts and their like: patterns go though names do not count (src/event/scrub_places.c)."""
    event = own_event(threads={"values": [{"id": 1, "name": f"worker {CARD}"}]}, contexts={"os": {"name": f"Linux {CARD}"}}, logger=f"auth {CARD}")
    project.send(event)
    row = project.find(event["event_id"])
    assert CARD not in json.dumps(row) and row["data"]["logger"] == "auth [Filtered]"


@pytest.mark.parametrize("name", ["event_id", "timestamp", "platform", "level", "type", "Level", "_meta"])
def test_what_makes_an_event_cannot_be_taken_out(project, name):
    answer = project.api.patch(project.path, json={"scrubbing": {"sensitive_fields": ["plate", name]}})
    assert answer.status_code == 400 and "cannot be taken out" in answer.json()["error"]
    assert project.row()["scrubbing"] == {}
    assert project.api.patch(project.path, json={"scrubbing": {"safe_fields": [name]}}).status_code == 200


def test_rules_are_one_project_s(picket, project):
    """In one batch with others."""
    other = picket.new_project()
    scrub(project, sensitive_fields=["plate"])
    mine, theirs = [own_event() for _ in range(20)], [own_event() for _ in range(20)]
    for a, b in zip(mine, theirs):
        project.send(a)
        other.send(b)
    assert {project.find(e["event_id"])["data"]["extra"]["plate"] for e in mine} == {"[Filtered]"}
    assert {other.find(e["event_id"])["data"]["extra"]["plate"] for e in theirs} == {"B-XY 1"}


def test_own_rules_for_what_people_write(project):
    def message():
        return project.api.read(project.path + "/feedback")["items"][0]["message"]

    def write():
        body = wire.envelope({}, wire.item("feedback", {"contexts": {"feedback": {"message": f"my card {CARD} from 10.9.8.7"}}}))
        assert project.post(body).status_code == 200
    write()
    until(lambda: project.api.read(project.path + "/feedback")["items"], "no feedback")
    assert message() == "my card [creditcard] from 10.9.8.7"
    scrub(project, drop_ip=True, enabled=False)
    write()
    until(lambda: len(project.api.read(project.path + "/feedback")["items"]) == 2, "no feedback")
    assert message() == f"my card {CARD} from [ip]"


def test_dead_letters_obey_the_rules_of_their_retry(make_picket):
    """A letter keeps what came; what is stored of it is scrubbed by what its project wants then."""
    picket = make_picket().start()
    project = picket.new_project()
    picket.sql("ALTER TABLE issues ADD CONSTRAINT obstacle CHECK (title NOT LIKE '%%obstacle%%')")
    event = own_event(value="obstacle")
    project.send(event)
    letter, = until(lambda: picket.api.read("/api/dead-letters")["items"], "no dead letter")
    scrub(project, sensitive_fields=["plate"], drop_ip=True)
    picket.sql("ALTER TABLE issues DROP CONSTRAINT obstacle")
    assert picket.api.post(f"/api/dead-letters/{letter['id']}/retry").status_code in (200, 202)
    data = project.find(event["event_id"])["data"]
    assert data["extra"]["plate"] == "[Filtered]" and data["user"].get("ip_address") is None
    assert picket.sql("SELECT remote_addr FROM events WHERE project_id = %s", project.id) == [(None,)]


def test_dead_letters_keep_no_address_that_is_not_to_be_kept(make_picket):
    """Protocol §5.7 "never": neither in the letter nor, once it is retried, in the row; not even of a letter that still has one."""
    picket = make_picket().start()
    project = picket.new_project()
    picket.sql("ALTER TABLE issues ADD CONSTRAINT obstacle CHECK (title NOT LIKE '%%obstacle%%')")
    events = [own_event(value="obstacle", sdk={"name": "x", "version": "1", "settings": {"infer_ip": infer}}) for infer in ("never", "never", "auto")]
    for event in events:
        project.send(event)
    until(lambda: len(picket.api.read("/api/dead-letters")["items"]) == 3, "no dead letters")
    letters = dict(picket.sql("SELECT event_id, host(remote_addr) FROM dead_letters"))
    assert [letters[uuid.UUID(event["event_id"])] for event in events] == [None, None, "127.0.0.1"]
    picket.sql("UPDATE dead_letters SET remote_addr = '127.0.0.1' WHERE event_id = %s", uuid.UUID(events[0]["event_id"]))
    picket.sql("ALTER TABLE issues DROP CONSTRAINT obstacle")
    for letter in picket.api.read("/api/dead-letters")["items"]:
        assert picket.api.post(f"/api/dead-letters/{letter['id']}/retry").status_code in (200, 202)
    for event in events:
        project.find(event["event_id"])
    stored = dict(picket.sql("SELECT event_id, host(remote_addr) FROM events"))
    assert [stored[uuid.UUID(event["event_id"])] for event in events] == [None, None, "127.0.0.1"]


@pytest.mark.parametrize("scrubbing", [[], {"on": True}, {"enabled": 1}, {"drop_ip": "yes"}, {"sensitive_fields": "a"}, {"sensitive_fields": [1]},
                                       {"safe_fields": [""]}, {"safe_fields": ["x" * 201]}, {"sensitive_fields": ["a"] * 201}])
def test_wrong_rules(project, scrubbing):
    assert project.api.patch(project.path, json={"scrubbing": scrubbing}).status_code == 400
    assert project.row()["scrubbing"] == {}
