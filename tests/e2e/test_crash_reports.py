"""Crash reports: minidumps in forms, bare, compressed, in envelopes; Unreal's archives; Apple's texts (protocol §1.2, §1.6, §3.1, §3.3, §10.4 test_minidump,
test_unreal). What is made of a dump stands in tests/unit/data/native.jsonl; here it is seen that it arrives, with its files, and is counted."""
import bz2
import gzip
import json
import lzma
import os
import random
import uuid

import pytest
import zstandard

import dumps
import wire
from client import accepted
from test_attachments import attachments, download, files, wait_attachments
from test_outcomes import totals, wait_totals
from waiting import until

HERE = os.path.dirname(os.path.abspath(__file__))
DUMP = dumps.linux()
CRASH = "SIGSEGV / SEGV_MAPERR: Fatal Error: SIGSEGV / SEGV_MAPERR"
XML = (b'<?xml version="1.0"?><FGenericCrashContext><RuntimeProperties><UserName>bruno</UserName><ErrorMessage>Fatal &lt;error&gt;</ErrorMessage>'
       b"</RuntimeProperties><GameData><__sentry>{&quot;release&quot;:&quot;game@2&quot;}</__sentry></GameData></FGenericCrashContext>")


def form(*parts, boundary="----b"):
    """(name, file name or None, content)"""
    body = b""
    for name, file_name, content in parts:
        more = f'; filename="{file_name}"' if file_name is not None else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def post(project, body, content_type, path="minidump/", **more):
    return project.post(body, path=path if path.startswith("/") else f"/api/{project.id}/{path}", headers={"Content-Type": content_type}, **more)


def sent(answer):
    """The id of a 200, which is text."""
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/plain"), f"{answer.status_code} {answer.text[:500]}"
    assert str(uuid.UUID(answer.text)) == answer.text
    return uuid.UUID(answer.text).hex


def send(project, *parts):
    return sent(post(project, *form(*parts)))


def dump(content=DUMP, name="crash.dmp"):
    return "upload_file_minidump", name, content


def test_plain_dump(project):
    """§10.4 test_minidump: a form with a dump becomes an event and its attachment."""
    event_id = send(project, dump())
    event = project.find(event_id)
    assert (event["title"], event["level"], event["platform"]) == (CRASH, "fatal", "native")
    data = event["data"]
    exception, = data["exception"]["values"]
    assert exception["mechanism"]["type"] == "minidump" and exception["mechanism"]["handled"] is False
    assert [frame["instruction_addr"] for frame in exception["stacktrace"]["frames"]][-1] == "0x401234"
    assert exception["stacktrace"]["frames"][-1]["trust"] == "context" and exception["stacktrace"]["registers"]["rip"] == "0x401234"
    assert data["contexts"]["os"]["name"] == "Linux" and data["contexts"]["device"]["arch"] == "x86_64"
    assert data["debug_meta"]["images"][0]["code_file"] == "/opt/game/libgame.so"
    assert [thread["crashed"] for thread in data["threads"]["values"]] == [True, False]
    row, = wait_attachments(project, 1, event["id"])
    assert (row["name"], row["attachment_type"], row["size"]) == ("crash.dmp", "event.minidump", len(DUMP)) and download(project, row).content == DUMP
    wait_totals(project, {("error", "accepted", ""): 1, ("attachment", "accepted", ""): len(DUMP), ("attachment_item", "accepted", ""): 1})


def test_a_dump_of_crashpad(project):
    """As Crashpad's handler wrote it: tests/unit/data/dumps/crashpad-linux.dmp."""
    with open(os.path.join(HERE, "..", "unit", "data", "dumps", "crashpad-linux.dmp"), "rb") as f:
        content = f.read()
    event = project.find(send(project, dump(content)))
    assert event["title"] == CRASH and event["release"] == "game@1.0"
    assert {"game", "idle worker"} == {thread["name"] for thread in event["data"]["threads"]["values"]}


def test_form_and_files(project):
    """§10.4 test_minidump: extra files, `sentry` JSON, bracket fields, namespaces, chunks; __sentry-event; empty file names are no files."""
    msgpack = b"\x81\xa4tags\x81\xa7msgpack\xa3yes"
    event = project.find(send(project, dump(), ("sentry", None, b'{"release":"game@1","environment":"prod"}'), ("sentry[tags][shard]", None, b"eu"),
                              ("sentry___more", None, b'{"user":{"id":"42"}}'), ("sentry__2", None, b'"main"}}'), ("sentry__1", None, b'{"tags":{"thread":'),
                              ("guid", None, b"1-2-3"), ("__sentry-event", "__sentry-event", msgpack), ("log", "game.log", b"line\n"), ("log", "game.log", b"two\n"),
                              ("view-hierarchy.json", "view-hierarchy.json", b"{}"), ("nothing", "", b"")))
    assert (event["release"], event["environment"]) == ("game@1", "prod")
    data = event["data"]
    assert {"shard": "eu", "thread": "main", "msgpack": "yes"}.items() <= dict(data["tags"]).items()
    assert data["user"]["id"] == "42" and data["extra"]["guid"] == "1-2-3"
    rows = wait_attachments(project, 4, event["id"])
    assert sorted((row["name"], row["attachment_type"]) for row in rows) == [
        ("crash.dmp", "event.minidump"), ("game.log", "event.attachment"), ("game.log", "event.attachment"), ("view-hierarchy.json", "event.view_hierarchy")]


@pytest.mark.parametrize("fields", [[("sentry", b"{ no JSON")], [("sentry__1", b'{"cut')], [("sentry", b"[]"), ("sentry[a", b"x")]])
def test_broken_fields_cost_nothing(project, fields):
    """§10.4 test_minidump: invalid JSON still accepted."""
    assert project.find(send(project, dump(), *((name, None, value) for name, value in fields)))["title"] == CRASH


CRUMBS = b"".join(b"\x81\xa7message\xda\x80\x00" + b"x" * (32 << 10) for _ in range(35))


@pytest.mark.parametrize("part, name", [(("log_tail", None, b"x" * 1_100_000), "log_tail"), (("__sentry-breadcrumb1", "__sentry-breadcrumb1", CRUMBS), "breadcrumbs")],
                         ids=["field", "breadcrumbs"])
def test_a_large_part_costs_the_others_nothing(project, part, name):
    """§2.6, §3.3: what is beyond MAX_EVENT_BYTES goes by whole parts, and is named."""
    assert len(part[2]) > 1 << 20
    event = project.find(send(project, dump(), part, ("sentry", None, b'{"release":"game@1","user":{"id":"42"}}'), ("note", None, b"kept"),
                              ("__sentry-event", "__sentry-event", b"\x81\xa4tags\x81\xa7msgpack\xa3yes")))
    data = event["data"]
    assert (event["title"], event["release"], data["user"]["id"], dict(data["tags"])["msgpack"]) == (CRASH, "game@1", "42", "yes")
    assert data["extra"] == {"note": "kept"} and not data.get("breadcrumbs") and len(data["threads"]["values"]) == 2
    assert [error for error in data["errors"] if error["type"] == "value_too_long"] == [{"type": "value_too_long", "name": name}]


COMPRESSED = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zst": zstandard.ZstdCompressor().compress}


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_compressed_dumps(project, suffix):
    """§10.4 test_minidump: gzip, xz, bzip2 and zstd, in a form and bare; the suffix goes with the compression; broken ones are 400."""
    compress = COMPRESSED[suffix]
    event = project.find(send(project, dump(compress(DUMP), f"crash.dmp.{suffix}")))
    row, = wait_attachments(project, 1, event["id"])
    assert row["name"] == "crash.dmp" and download(project, row).content == DUMP
    assert project.find(sent(post(project, compress(DUMP), "application/octet-stream")))["title"] == CRASH
    assert post(project, *form(dump(compress(DUMP)[:-20]))).status_code == 400
    assert post(project, compress(b"no dump"), "application/x-dmp").status_code == 400


@pytest.mark.parametrize("preset, status", [(6, 200), (8, 200), (9, 413)])
def test_dictionaries_of_xz(project, preset, status):
    """What a decoder may keep in memory is bounded: there may be several at once."""
    packed = lzma.compress(DUMP, preset=preset)
    answer = post(project, *form(dump(packed, "crash.dmp.xz")))
    assert answer.status_code == status and post(project, packed, "application/x-dmp").status_code == status
    if status == 413:
        assert "size limit" in answer.json()["detail"]
        wait_totals(project, {("error", "invalid", "too_large"): 2})


def test_bombs_and_limits(make_picket):
    """§10.1 test_zipbomb_content_encoding: 413 in every encoding, by what comes out; a file that is too large costs itself, not the crash; a path prefix."""
    picket = make_picket(MAX_ATTACHMENT_BYTES="100000", MAX_ATTACHMENTS_BYTES="150000", PUBLIC_URL="http://127.0.0.1/errors").start()
    project = picket.new_project()
    for compress in COMPRESSED.values():
        for size, status in ((100000, 200), (100001, 413)):
            assert post(project, compress(DUMP.ljust(size, b"\0")), "application/x-dmp").status_code == status
    answer = post(project, gzip.compress(form(dump(DUMP.ljust(50 << 20, b"\0")))[0]), form()[1])
    assert answer.status_code == 400, "compressed without saying so"
    bomb = dumps.compressed(dumps.unreal([("a", bytes(150001))]))
    assert post(project, bomb, "", unreal_path(project), auth=False).status_code == 413
    event = project.find(sent(post(project, *form(dump(), ("log", "large.log", bytes(100001)), ("log", "small.log", b"x")), f"/errors/api/{project.id}/minidump/")))
    assert sorted(row["name"] for row in wait_attachments(project, 2, event["id"])) == ["crash.dmp", "small.log"]
    until(lambda: totals(project).get(("attachment_item", "invalid", "too_large:attachment")) == 1, lambda: totals(project))


def test_bare_dump(project):
    """§10.4 test_minidump: raw content types; §1.2: the slash is optional."""
    ids = [sent(post(project, DUMP, content_type, path))
           for content_type in ("application/octet-stream", "application/x-dmp") for path in ("minidump", "minidump/", "minidump//")]
    for event_id in ids:
        event = project.find(event_id)
        assert event["title"] == CRASH and wait_attachments(project, 1, event["id"])[0]["name"] == "Minidump"


def test_many_files(project):
    """The dump first, whatever its place in the form; what is one too many is told."""
    files = [("f", f"{i}.txt", b"%d" % i) for i in range(40)]
    event = project.find(send(project, *files, dump()))
    rows = wait_attachments(project, 30, event["id"])
    assert len(rows) == 30 and "crash.dmp" in {row["name"] for row in rows}
    until(lambda: totals(project).get(("attachment_item", "invalid", "too_many_attachments")) == 11, lambda: totals(project))


def test_nested_form(project):
    """§10.4 test_minidump: old Electron posts a form inside the field."""
    inner, _ = form(dump(name="inner.dmp"), ("sentry[release]", None, b"inner"), boundary="----inner")
    event = project.find(send(project, dump(inner, "outer"), ("sentry[environment]", None, b"outer")))
    assert (event["title"], event["release"], event["environment"]) == (CRASH, "inner", "outer")
    row, = wait_attachments(project, 1, event["id"])
    assert row["name"] == "inner.dmp" and download(project, row).content == DUMP


def test_refused(project):
    """§10.4 test_minidump: magic check, missing field, malformed forms: 400, counted, nothing is kept."""
    cases = {"invalid minidump": [form(dump(b"no dump")), (b"hello", "application/octet-stream"), (b"", "application/x-dmp")],
             "missing minidump": [form(("other", "a.dmp", DUMP)), form()],
             "invalid multipart": [(b"--b\r\n", "multipart/form-data; boundary=b"), (form(dump())[0], "multipart/form-data"), (form(dump())[0][:-20], form()[1])]}
    for detail, bodies in cases.items():
        for body, content_type in bodies:
            answer = post(project, body, content_type)
            assert answer.status_code == 400 and detail in answer.json()["detail"] and "X-Sentry-Error" in answer.headers
    wait_totals(project, {("error", "invalid", "invalid_minidump"): 3, ("error", "invalid", "missing_minidump_upload"): 2, ("error", "invalid", "invalid_multipart"): 3})
    assert attachments(project) == [] and project.count() == 0


def test_never_429(make_picket):
    """§10.4 test_minidump: over a quota the answer is 200 with the header, and nothing is stored, no file either; crash reporters send again what was refused."""
    picket = make_picket(MAX_EVENTS_PER_PROJECT_PER_MINUTE="1").start()
    project = picket.new_project()
    event_id = send(project, dump())
    assert project.find(event_id)
    first, = wait_attachments(project, 1)
    more = [DUMP + b"2", DUMP + b"3", DUMP + b"4"]
    for answer in (post(project, *form(dump(more[0]), ("log", "game.log", b"line\n"))),
                   post(project, dumps.compressed(dumps.unreal([("a.dmp", more[1])])), "", unreal_path(project), auth=False), post(project, more[2], "application/x-dmp")):
        sent(answer)
        assert "error" in answer.headers["X-Sentry-Rate-Limits"]
    assert project.post(wire.event_envelope(wire.error_event())).status_code == 429
    wait_totals(project, {("error", "accepted", ""): 1, ("attachment_item", "accepted", ""): 1, ("attachment", "accepted", ""): len(DUMP),
                          ("error", "rate_limited", "project_minute_quota"): 4, ("attachment_item", "rate_limited", "project_minute_quota"): 4,
                          ("attachment", "rate_limited", "project_minute_quota"): sum(map(len, more)) + 5})
    assert project.count() == 1 and attachments(project) == [first] and sorted(files(picket, project).values()) == [len(DUMP)]


def test_keys_and_origins(project, picket):
    """§1.3, §1.4: the key in the query, CORS for any origin; without a key 401, with a wrong one 403."""
    body, content_type = form(dump())
    for query, status in ((f"?sentry_key={project.key}", 200), ("", 401), (f"?sentry_key={uuid.uuid4().hex}", 403)):
        answer = post(project, body, content_type, f"/api/{project.id}/minidump/{query}", auth=False)
        assert answer.status_code == status, answer.text
    preflight = project.api.options(f"/api/{project.id}/minidump/", headers={
        "Origin": "https://game.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"})
    assert preflight.status_code == 200 and preflight.headers["Access-Control-Allow-Origin"] == "*"


# ---- in envelopes

@pytest.mark.parametrize("order", ["before", "after", "alone"])
def test_dump_in_an_envelope(project, order):
    """§3.1: a minidump makes the event, or fills the one that came with it, wherever it stands."""
    own = {"event_id": uuid.uuid4().hex, "release": "native@1", "tags": {"a": "b"}, "exception": {"values": [{"type": "placeholder"}]}}
    attached, event = wire.item("attachment", DUMP, filename="x.dmp", attachment_type="event.minidump"), wire.item("event", own)
    items = {"before": [event, attached], "after": [attached, event], "alone": [attached]}[order]
    assert accepted(project.post(wire.envelope({"event_id": own["event_id"]}, *items))) == own["event_id"]
    found = project.find(own["event_id"])
    assert found["title"] == CRASH and found["release"] == ("" if order == "alone" else "native@1")
    assert len(wait_attachments(project, 1, found["id"])) == 1
    wait_totals(project, {("error", "accepted", ""): 1, ("attachment", "accepted", ""): len(DUMP), ("attachment_item", "accepted", ""): 1})


@pytest.mark.parametrize("order", ["before", "after"])
def test_dump_beside_a_transaction(project, order):
    """§3.1: only what is plain goes with a transaction that is not stored; a crash report makes its event, and the rest belongs to that."""
    event_id = uuid.uuid4().hex
    attached, plain = wire.item("attachment", DUMP, filename="x.dmp", attachment_type="event.minidump"), wire.item("attachment", b"plain", filename="a.txt")
    transaction = wire.item("transaction", {"type": "transaction"})
    items = {"before": [attached, plain, transaction], "after": [transaction, plain, attached]}[order]
    accepted(project.post(wire.envelope({"event_id": event_id}, *items)))
    found = project.find(event_id)
    assert found["title"] == CRASH
    assert sorted(row["name"] for row in wait_attachments(project, 2, found["id"])) == ["a.txt", "x.dmp"]
    wait_totals(project, {("transaction", "filtered", "not_stored"): 1, ("span", "filtered", "not_stored"): 1, ("error", "accepted", ""): 1,
                          ("attachment", "accepted", ""): len(DUMP) + 5, ("attachment_item", "accepted", ""): 2})


def test_other_files_of_an_event(project):
    """§3.1 event.payload and event.breadcrumbs in MessagePack, §3.3 a form's fields, an Apple crash report: they make an event; only the last one is a file,
    too."""
    apple = b"Incident Identifier: 1\nProcess: Game [1]\nException Type:  EXC_CRASH (SIGABRT)\nException Codes: 0x0\n"
    event_id = accepted(project.post(wire.envelope({}, wire.item("attachment", b"\x81\xa7release\xa1m", attachment_type="event.payload"),
                                                   wire.item("attachment", b"\x91\x81\xa7message\xa5crumb", attachment_type="event.breadcrumbs"),
                                                   wire.item("form_data", [["sentry[environment]", "form"], ["k", "v"]]),
                                                   wire.item("attachment", apple, attachment_type="event.applecrashreport", filename="a.crash"))))
    event = project.find(event_id)
    assert (event["release"], event["environment"], event["title"]) == ("m", "form", "EXC_CRASH (SIGABRT): 0x0")
    assert event["data"]["breadcrumbs"]["values"][0]["message"] == "crumb" and event["data"]["extra"]["k"] == "v"
    wait_totals(project, {("error", "accepted", ""): 1, ("attachment_item", "accepted", ""): 4, ("attachment", "accepted", ""): len(apple)})
    assert [row["name"] for row in attachments(project, event["id"])] == ["a.crash"]


# ---- Unreal

def unreal_path(project, query="", key=None):
    return f"/api/{project.id}/unreal/{key or project.key}/{query}"


@pytest.mark.parametrize("marked", [True, False])
def test_unreal(project, marked):
    """§10.4 test_unreal: archive, user of the query, context and logs as attachments."""
    files = [("CrashContext.runtime-xml", XML), ("UE4Minidump.dmp", DUMP), ("game.log", b"log\n"), ("CrashReportClient.ini", b"[x]"),
             ("__sentry-event", b"\x81\xa4tags\x81\xa7msgpack\xa3yes")]
    body = dumps.compressed(dumps.unreal(files, marked))
    event = project.find(sent(post(project, body, "application/octet-stream", unreal_path(project, "?UserID=login%7Caccount%7Cmachine&AppID=x"), auth=False)))
    assert event["title"] == CRASH and event["release"] == "game@2"
    assert event["data"]["user"] == {"id": "login", "username": "bruno"} and dict(event["data"]["tags"])["epic_account_id"] == "account"
    rows = wait_attachments(project, 4, event["id"])
    assert event["data"]["tags"]["msgpack"] == "yes"  # read, and no file
    assert sorted((row["name"], row["attachment_type"]) for row in rows) == [
        ("CrashContext.runtime-xml", "unreal.context"), ("CrashReportClient.ini", "event.attachment"), ("UE4Minidump.dmp", "event.minidump"), ("game.log", "unreal.logs")]


def test_unreal_without_a_dump(project):
    body = dumps.compressed(dumps.unreal([("CrashContext.runtime-xml", XML)]))
    assert project.find(sent(post(project, body, "", unreal_path(project), auth=False)))["title"] == "Log Message: Fatal <error>"


def test_crashes_with_words(project):
    """What a report says of itself cannot make its crash something else; words without a crash are feedback (§7.3)."""
    words = ("sentry[contexts][feedback][message]", None, b"it broke")
    for kind in (b"transaction", b"csp", b"feedback"):
        event = project.find(send(project, dump(), words, ("sentry[type]", None, kind), ("sentry[csp]", None, b'{"effective_directive":"x"}')))
        assert event["title"] == CRASH and event["data"]["contexts"]["feedback"]["message"] == "it broke"
    game = XML.replace(b"{&quot;release&quot;:&quot;game@2&quot;}", b"{&quot;contexts&quot;:{&quot;feedback&quot;:{&quot;message&quot;:&quot;hm&quot;}}}")
    sent(post(project, dumps.compressed(dumps.unreal([("CrashContext.runtime-xml", game)])), "", unreal_path(project), auth=False))
    until(lambda: [row["message"] for row in project.api.read(project.path + "/feedback")["items"]] == ["hm"], "no feedback")
    assert project.count() == 3


def test_unreal_refused(project):
    good = dumps.compressed(dumps.unreal([("CrashContext.runtime-xml", XML)]))
    for body in (b"", b"no archive", good[:-30], dumps.compressed(b"CR1"), dumps.compressed(dumps.unreal([("a", b"x")])[:-1])):
        assert post(project, body, "", unreal_path(project), auth=False).status_code == 400
    assert post(project, good, "", unreal_path(project, key=uuid.uuid4().hex), auth=False).status_code == 403
    assert post(project, good, "", unreal_path(project, key="x"), auth=False).status_code == 400
    assert post(project, good, "", unreal_path(project, f"?sentry_key={uuid.uuid4().hex}"), auth=False).status_code == 401
    wait_totals(project, {("error", "invalid", "process_unreal"): 5})


def test_unreal_item(project):
    """§3 unreal_report: an item of an envelope; a broken one costs no sibling."""
    own = wire.error_event(release="r")
    body = dumps.compressed(dumps.unreal([("CrashContext.runtime-xml", XML), ("UE4Minidump.dmp", DUMP)]))
    event_id = accepted(project.post(wire.envelope({"event_id": own["event_id"]}, wire.item("unreal_report", body), wire.item("event", own))))
    event = project.find(event_id)
    assert event["title"] == CRASH and event["release"] == "r" and len(wait_attachments(project, 2, event["id"])) == 2
    other = wire.error_event()
    accepted(project.post(wire.envelope({}, wire.item("event", other), wire.item("unreal_report", b"no archive"))))
    assert project.find(other["event_id"])["title"].startswith("ValueError")
    until(lambda: totals(project).get(("error", "invalid", "process_unreal")) == 1, lambda: json.dumps(str(totals(project))))


def test_broken_descriptions_are_told(project):
    """The crash counts more (§1.6), and who looks why its tags are not there finds the reason."""
    broken = b"\x81\xa4tags\x81"
    files = [("__sentry-event", "__sentry-event", broken), ("__sentry-breadcrumb1", "__sentry-breadcrumb1", b""), ("__sentry-breadcrumb2", "x", b"\xc1")]
    assert project.find(send(project, dump(), *files))["title"] == CRASH
    archive = dumps.compressed(dumps.unreal([("UE4Minidump.dmp", DUMP), ("__sentry-event", broken)]))
    assert project.find(sent(post(project, archive, "", unreal_path(project), auth=False)))["title"] == CRASH
    wait_totals(project, {("error", "accepted", ""): 2, ("attachment_item", "accepted", ""): 2, ("attachment", "accepted", ""): 2 * len(DUMP),
                          ("attachment_item", "invalid", "invalid_msgpack"): 3})


def random_report(chance, project):
    """An answer, and the items that its request counts as: an event, and each file by its bytes and as one."""
    content = DUMP.ljust(len(DUMP) + chance.randrange(1000), b"\0")
    files = [("log", "a.log", chance.randbytes(chance.randrange(500))) for _ in range(chance.randrange(3))]
    counted = 1 + sum(len(data) + 1 for _, _, data in files)
    kind = chance.choice(["form", "bare", "broken", "unreal", "envelope", "item"])
    if kind == "form":
        return post(project, *form(dump(content), *files)), counted + len(content) + 1
    if kind == "bare":
        return post(project, content, "application/x-dmp"), 1 + len(content) + 1
    if kind == "broken":
        return post(project, chance.choice([b"", b"MDM", form()[0]]), chance.choice(["", form()[1]])), 1
    archive = dumps.compressed(dumps.unreal([(name, data) for _, name, data in files] + [("UE4Minidump.dmp", content)], chance.random() < 0.5))
    if kind == "unreal":
        return post(project, archive, "", unreal_path(project), auth=False), counted + len(content) + 1
    if kind == "item":
        return project.post(wire.envelope({}, wire.item("unreal_report", archive))), counted + len(content) + 1
    items = [wire.item("event", wire.error_event()), wire.item("attachment", content, attachment_type="event.minidump")]
    items = chance.sample(items, chance.choice([1, 2]))
    more = [chance.choice([b"", b"\x80", b"\x81\xa1a\xa1b", b"\x90", chance.randbytes(9)]) for _ in range(chance.randrange(4))]
    more = [wire.item("attachment", data, attachment_type=chance.choice(["event.payload", "event.breadcrumbs"])) for data in more]
    items += chance.choice([[], [wire.item("form_data", [["a", "b"], ["sentry[user][id]", "7"]])]]) + more
    chance.shuffle(items)
    is_file = any(b'"event.minidump"' in item for item in items)  # what is part of the event counts by number alone
    has_event = any(b'"type":"event"' in item for item in items)
    return project.post(wire.envelope({}, *items)), 1 + len(items) - has_event + is_file * len(content)


def test_the_sums_add_up(project):
    """Random reports: the sum of outcomes is the sum of items; a request that is refused as a whole is one."""
    chance, sent_items = random.Random(5), 0
    for _ in range(60):
        answer, n = random_report(chance, project)
        assert answer.status_code in (200, 400), answer.text
        sent_items += n if answer.status_code == 200 else 1
    until(lambda: sum(totals(project).values()) == sent_items, lambda: f"{totals(project)}: {sum(totals(project).values())}, {sent_items} sent", 30)


def test_acknowledged_and_killed(make_picket):
    """Event and dump are durable before the 200: kill -9 right behind it."""
    picket = make_picket().start()
    project = picket.new_project()
    ids = [send(project, dump(DUMP + bytes([i]))) for i in range(5)]
    picket.process.kill()
    picket.process.wait()
    picket.kill()
    picket.start()
    for event_id in ids:
        assert len(wait_attachments(project, 1, project.find(event_id)["id"])) == 1


def test_long_values_are_not_written_out(project, outsiders_memory):
    """§2.5: what is too long for the event is left out before it is copied; escaped, each of these would be 540 MiB."""
    body, content_type = form(dump(), ("sentry__1", None, b"\1" * (30 << 20)), ("long", None, b"\1" * (30 << 20)), ("longer", None, b"\1" * (30 << 20)))
    event_id = sent(project.post(gzip.compress(body, 1), path=f"/api/{project.id}/minidump/",
                                 headers={"Content-Type": content_type, "Content-Encoding": "gzip"}))
    assert project.find(event_id)["title"] == CRASH
