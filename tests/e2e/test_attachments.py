"""Attachments (protocol §3.1, §3.3, §2.5, §10.4 test_attachments): stored with, before and after their event, listed, handed out safely, limited, counted,
and gone when retention or somebody says so."""
import gzip
import hashlib
import os
import time
import uuid

import psycopg
import pytest

import dumps
import wire
from client import Api, accepted
from server import ADMIN
from test_outcomes import forget_cursor, totals, wait_totals
from test_quotas import set_quotas
from waiting import until


def attachments(project, event=None):
    path = f"{project.path}/events/{event}/attachments" if event else f"{project.path}/attachments"
    return project.api.read(path, params={"per_page": 100})["items"]


def wait_attachments(project, n, event=None):
    return until(lambda: (found := attachments(project, event)) and len(found) >= n and found, lambda: f"{attachments(project, event)}: {n} wanted", 20)


def download(project, row, **more):
    return project.api.get(f"{project.path}/attachments/{row['id']}/download", **more)


def files(picket, project=None):
    """What lies in the store: {path: size}."""
    root = picket.directory.join("data", "attachments")
    return {os.path.join(base, name): os.path.getsize(os.path.join(base, name)) for base, _, names in os.walk(root) for name in names
            if "holds" not in base and (project is None or f"/{project.id}/" in base)}


def age(picket, project, days):
    """Rows, files and holds as if all of it had happened so many days ago."""
    picket.sql("UPDATE attachments SET id = overlay(uuid7_floor(now() - make_interval(days => %s))::text PLACING substr(id::text, 15) FROM 15)::uuid "
               "WHERE project_id = %s", days, project.id)
    for path in files(picket, project):
        os.utime(path, (time.time() - days * 86400,) * 2)


# ---- what comes in

@pytest.mark.parametrize("order", ["with", "before", "after"])
def test_with_before_and_after_its_event(project, order):
    """§10.4 test_attachments: mixed with events; §3.1: separate envelopes with the same event_id."""
    event, content = wire.error_event(), b"line\nline\0\xff\n" * 50
    attached = wire.item("attachment", content, filename="log.txt", content_type="text/plain")
    header = {"event_id": event["event_id"]}
    if order == "with":
        bodies = [wire.envelope(header, wire.item("event", event), attached)]
    else:
        bodies = [wire.envelope(header, wire.item("event", event)), wire.envelope(header, attached)]
        bodies = bodies if order == "after" else bodies[::-1]
    for body in bodies:
        assert accepted(project.post(body)) == event["event_id"]
    detail = project.find(event["event_id"])
    row, = wait_attachments(project, 1)
    until(lambda: attachments(project)[0]["issue_id"] == detail["issue_id"], "the event is not linked")
    row, = attachments(project)
    assert (row["name"], row["content_type"], row["attachment_type"], row["size"]) == ("log.txt", "text/plain", "event.attachment", len(content))
    assert row["sha256"] == hashlib.sha256(content).hexdigest() and row["event_row_id"] == detail["id"]
    assert attachments(project, detail["id"]) == attachments(project, event["event_id"]) == [row]
    assert project.api.read(f"{project.path}/attachments/{row['id']}") == row
    answer = download(project, row)
    assert (answer.status_code, answer.content) == (200, content)


def test_several_of_one_name(project, picket):
    """§10.4 test_attachments: several files with the same name are kept, if they differ; equal contents lie on the disk once."""
    event_id = uuid.uuid4().hex
    items = [wire.item("attachment", c, filename=name) for c, name in ((b"one", "same"), (b"two", "same"), (b"two", "same"), (b"two", "other"), (b"", "same"))]
    accepted(project.post(wire.envelope({"event_id": event_id}, *items)))
    rows = wait_attachments(project, 4, event_id)
    assert sorted((row["name"], download(project, row).content) for row in rows) == [("other", b"two"), ("same", b""), ("same", b"one"), ("same", b"two")]
    assert sorted(files(picket, project).values()) == [0, 3, 3]
    wait_totals(project, {("attachment_item", "accepted", ""): 4, ("attachment", "accepted", ""): 9, ("attachment_item", "invalid", "duplicate"): 1,
                          ("attachment", "invalid", "duplicate"): 3})


@pytest.mark.parametrize("header, name, content_type, kind", [
    ({}, "", None, "event.attachment"),
    ({"filename": "view-hierarchy.json", "content_type": "application/json", "attachment_type": "event.view_hierarchy"},
     "view-hierarchy.json", "application/json", "event.view_hierarchy"),
    ({"filename": "crash.apple", "attachment_type": "event.applecrashreport"}, "crash.apple", None, "event.applecrashreport"),
    ({"filename": "Bericht \u00fc\U0001f600.txt", "content_type": "text/plain; charset=utf-8"}, "Bericht \u00fc\U0001f600.txt", "text/plain; charset=utf-8", "event.attachment"),
    ({"filename": "a\x00b\r\nX-Evil: 1", "content_type": "text/html\r\nX-Evil: 1"}, "a\ufffdb__X-Evil: 1", None, "event.attachment"),
    ({"filename": "n" * 999, "content_type": "x/" + "y" * 999, "attachment_type": "t" * 999}, "n" * 255, None, "event.attachment"),
    ({"filename": 7, "content_type": ["text/plain"], "attachment_type": None}, "", None, "event.attachment"),
    ({"filename": "x", "content_type": "nonsense"}, "x", None, "event.attachment"),
])
def test_what_headers_say(project, header, name, content_type, kind):
    """§3.1: view hierarchies, Apple crash reports and what careless SDKs send."""
    accepted(project.post(wire.envelope({}, wire.item("attachment", b"{}", **header))))
    row, = wait_attachments(project, 1)
    assert (row["name"], row["content_type"], row["attachment_type"]) == (name, content_type, kind)
    assert row["event_id"] and row["issue_id"] is None and row["event_row_id"] is None


def test_form_data(project):
    """§3.3: the fields of a form say more about an event, and make none: without one they are told and not kept (test_scrubbing.py says what else is not)."""
    fields = [["a", "b"], ["sentry[release]", "1.0"]]
    accepted(project.post(wire.envelope({}, wire.item("form_data", fields))))
    wait_totals(project, {("attachment_item", "invalid", "no_event_payload"): 1})
    event = wire.error_event()
    accepted(project.post(wire.envelope({"event_id": event["event_id"]}, wire.item("event", event), wire.item("form_data", fields))))
    data = project.find(event["event_id"])["data"]
    assert data["release"] == "1.0" and data["extra"]["a"] == "b" and project.count() == 1 and attachments(project) == []
    assert project.post(wire.envelope({}, wire.item("form_data", b"{ no JSON"))).status_code == 400


@pytest.mark.parametrize("order", ["before", "after", "with an event"])
def test_of_a_transaction(picket, project, order):
    """§3.1: wherever the transaction stands, nothing is written for nobody; beside an event it is the event's."""
    event, attached, transaction = wire.error_event(), wire.item("attachment", b"0123456789"), wire.item("transaction", {"type": "transaction"})
    items = {"before": [attached, transaction], "after": [transaction, attached], "with an event": [transaction, attached, wire.item("event", event)]}[order]
    accepted(project.post(wire.envelope({"event_id": event["event_id"]}, *items)))
    if order == "with an event":
        row, = wait_attachments(project, 1, project.find(event["event_id"])["id"])
        assert download(project, row).content == b"0123456789"
        return
    wait_totals(project, {("transaction", "filtered", "not_stored"): 1, ("span", "filtered", "not_stored"): 1, ("attachment", "invalid", "transaction_attachment"): 10,
                          ("attachment_item", "invalid", "transaction_attachment"): 1})
    assert attachments(project) == [] and files(picket, project) == {}


@pytest.mark.parametrize("kind, header, reason", [
    ("reference", {"content_type": "application/vnd.sentry.attachment-ref+json"}, ("invalid", "invalid_placeholder_attachment")),
    ("trace", {"content_type": "application/vnd.sentry.trace-attachment", "meta_length": 2}, ("filtered", "not_stored")),
    ("transaction", {}, ("invalid", "transaction_attachment")),
])
def test_not_stored_but_accepted(project, kind, header, reason):
    """§1.6 step 3, §3.2, §3.1: 200, and counted with a reason."""
    items = [wire.item("transaction", {"type": "transaction"})] if kind == "transaction" else []
    assert project.post(wire.envelope({}, *items, wire.item("attachment", b'{"location":"/x"}', **header))).status_code == 200
    until(lambda: totals(project).get(("attachment_item", *reason)) == 1, lambda: totals(project))
    assert totals(project)[("attachment", *reason)] == 17 and attachments(project) == []


# ---- limits (§2.5)

@pytest.fixture(scope="module")
def small(cluster):
    import server
    picket = server.Picket(server.Directory(), DATABASE_URL=cluster.migrated_database(), CREATE_SUPERUSER=":".join(ADMIN), MAX_ATTACHMENT_BYTES="10000",
                           MAX_ATTACHMENTS_BYTES="25000", MAX_ATTACHMENTS=5)
    try:
        yield picket.start()
    finally:
        picket.end()


@pytest.mark.parametrize("sizes, kept", [
    ([10000], 1), ([10001], 0), ([10000, 10001], 1),
    ([10000, 10000, 5000], 3), ([10000, 10000, 5001], 2),
    ([1] * 5, 5), ([1] * 6, 5),
])
def test_at_the_limit_and_beyond(small, sizes, kept):
    """One, all of an envelope, and their number, at limit and limit + 1. What is beyond is dropped and counted; its siblings live."""
    project = small.new_project()
    event = wire.error_event()
    contents = [bytes([place]).ljust(size, b".") for place, size in enumerate(sizes)]  # no two alike: those would be one
    answer = project.post(wire.envelope({"event_id": event["event_id"]}, *(wire.item("attachment", content) for content in contents)))
    assert answer.status_code == (200 if kept else 413)
    if not kept:
        assert project.post(wire.envelope({}, wire.item("event", event), *(wire.item("attachment", content) for content in contents))).status_code == 200
        assert project.find(event["event_id"])
        until(lambda: totals(project).get(("attachment_item", "invalid", "too_large:attachment")) == 2, lambda: totals(project))
        return
    wait_attachments(project, kept)
    lost = len(sizes) - kept
    until(lambda: sum(n for (category, outcome, _), n in totals(project).items() if (category, outcome) == ("attachment_item", "invalid")) == lost,
          lambda: totals(project))
    assert sum(n for (category, _, _), n in totals(project).items() if category == "attachment") == sum(sizes)


def test_parts_of_an_event_count_with_the_files(small):
    """§2.5: form data and their like are counted with the attachments; what is beyond is not read either."""
    project, event = small.new_project(), wire.error_event()
    items = [wire.item("event", event), *(wire.item("attachment", b"%d" % n) for n in range(4)), wire.item("form_data", [["first", "1"]]),
             wire.item("form_data", [["second", "2"]]), wire.item("attachment", b"\x81\xa7release\xa1m", attachment_type="event.payload")]
    accepted(project.post(wire.envelope({}, *items)))
    row = project.find(event["event_id"])
    assert row["data"]["extra"] == {"first": "1"} and row["release"] == "" and len(wait_attachments(project, 4)) == 4
    until(lambda: totals(project).get(("attachment_item", "accepted", "")) == 5, lambda: totals(project))
    assert totals(project)[("attachment_item", "invalid", "too_many_attachments")] == 2


def test_quota_of_bytes(make_picket):
    """First accepted, then 429 with the header that asks for no more (§10.4 test_attachments); other projects and errors go on."""
    picket = make_picket(ATTACHMENTS_PROJECT_MAX_BYTES="120K", ATTACHMENTS_MAX_BYTES="180K").start()  # of each three blocks of 4 KiB
    project, other = picket.new_project(), picket.new_project()

    def send(to, *more):
        return to.post(wire.envelope({}, *more, wire.item("attachment", os.urandom(10000))))
    for _ in range(10):
        assert send(project).status_code == 200
    answer = send(project)
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0
    assert answer.headers["X-Sentry-Rate-Limits"] == "600:attachment;attachment_item:project:attachment_quota"
    event = wire.error_event()
    answer = send(project, wire.item("event", event))
    assert answer.status_code == 200 and "attachment" in answer.headers["X-Sentry-Rate-Limits"]
    assert project.find(event["event_id"])
    statuses = [send(other).status_code for _ in range(10)]
    assert 200 in statuses and 429 in statuses, "all together have a bound, too"
    until(lambda: totals(project).get(("attachment_item", "rate_limited", "attachment_quota")) == 2, lambda: totals(project))


def test_no_room_on_the_disk(make_picket):
    """503 with Retry-After when nothing else is in the envelope; never a silent drop."""
    picket = make_picket(ATTACHMENTS_FREE_FLOOR_BYTES="1000G").start()
    project = picket.new_project()
    answer = project.post(wire.envelope({}, wire.item("attachment", b"x")))
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    event = wire.error_event()
    accepted(project.post(wire.envelope({}, wire.item("event", event), wire.item("attachment", b"y"))))
    assert project.find(event["event_id"])
    until(lambda: totals(project).get(("attachment_item", "rate_limited", "attachments_full")) == 2, lambda: totals(project))
    dump = wire.item("attachment", dumps.linux(), filename="x.dmp", attachment_type="event.minidump")
    crash = accepted(project.post(wire.envelope({}, dump)))  # the event counts more than its file
    assert project.find(crash)["title"].startswith("SIGSEGV")
    until(lambda: totals(project).get(("attachment_item", "rate_limited", "attachments_full")) == 3, lambda: totals(project))


def test_beyond_a_quota_nothing_is_written(picket, project):
    """Bytes that are not taken are not on the disk either: a flood of them would fill it."""
    set_quotas(project, attachment={"hour": 1000})
    event = wire.error_event()
    assert project.post(wire.envelope({}, wire.item("attachment", os.urandom(600)))).status_code == 200
    answer = project.post(wire.envelope({}, wire.item("attachment", os.urandom(500))))
    assert answer.status_code == 429 and answer.headers["X-Sentry-Rate-Limits"].split(":")[1] == "attachment;attachment_item"
    answer = project.post(wire.envelope({}, wire.item("event", event), wire.item("attachment", os.urandom(500)), wire.item("attachment", os.urandom(300))))
    assert answer.status_code == 200 and "attachment" in answer.headers["X-Sentry-Rate-Limits"]
    broken = wire.envelope({}, wire.item("attachment", os.urandom(100))) + b"{"
    assert [project.post(broken).status_code for _ in range(3)] == [400] * 3  # what is refused as a whole uses nothing up
    assert project.post(wire.envelope({}, wire.item("attachment", os.urandom(100)))).status_code == 200
    assert project.find(event["event_id"])
    assert sorted(row["size"] for row in wait_attachments(project, 3)) == [100, 300, 600]
    assert sorted(files(picket, project).values()) == [100, 300, 600]
    wanted = {("attachment", "rate_limited", "project_hour_quota"): 1000, ("attachment_item", "rate_limited", "project_hour_quota"): 2,
              ("attachment", "accepted", ""): 1000}
    until(lambda: wanted.items() <= totals(project).items(), lambda: totals(project))


def test_empty_files_end_with_the_bytes(picket, project):
    """Where nothing is left a file of no bytes is one too many: they would come for ever."""
    set_quotas(project, attachment={"hour": 10})
    sizes = (0, 8, 0, 0, 1)  # an empty one takes one of the ten
    assert [project.post(wire.envelope({}, wire.item("attachment", os.urandom(n)))).status_code for n in sizes] == [200, 200, 200, 429, 429]
    wanted = {("attachment_item", "accepted", ""): 3, ("attachment", "accepted", ""): 8, ("attachment", "rate_limited", "project_hour_quota"): 1,
              ("attachment_item", "rate_limited", "project_hour_quota"): 2}
    until(lambda: wanted.items() <= totals(project).items(), lambda: totals(project))


def test_quota_of_their_number(picket, project):
    """§4.5: each is one, too, and what one of the two quotas does not leave takes nothing of the other. SDKs are told both names: they know the first."""
    set_quotas(project, attachment={"hour": 1000}, attachment_item={"hour": 2})

    def send(*sizes):
        return project.post(wire.envelope({}, *(wire.item("attachment", os.urandom(n)) for n in sizes)))
    answer = send(100, 0, 300)
    assert answer.status_code == 200 and answer.headers["X-Sentry-Rate-Limits"].split(":")[1:] == ["attachment;attachment_item", "project", "project_hour_quota"]
    assert [send(300).status_code for _ in range(4)] == [429] * 4 and len(files(picket, project)) == 2
    project.api.patch(project.path, json={"quotas": {"attachment_item": {"hour": 4}}})
    until(lambda: send(800).status_code == 200, "the higher quota is not known", 5)
    answer = send(300)  # by bytes
    assert answer.status_code == 429 and answer.headers["X-Sentry-Rate-Limits"].split(":")[1] == "attachment;attachment_item"
    assert [send(1).status_code, send(1).status_code] == [200, 429]


def test_what_is_part_of_an_event_is_no_file(picket, project):
    """Form fields and what Crashpad says of an event go by the event's quota: beyond that of attachments they are there all the same, and use none up."""
    set_quotas(project, attachment={"hour": 2}, attachment_item={"hour": 2})
    event, crumbs = wire.error_event(), b"\x91\x81\xa7message\xa4left"
    parts = [wire.item("form_data", [["first", "1"]]), wire.item("attachment", crumbs, attachment_type="event.breadcrumbs")]
    accepted(project.post(wire.envelope({}, wire.item("event", event), *parts, *[wire.item("attachment", b"x")] * 2)))
    other = wire.error_event()
    answer = project.post(wire.envelope({}, wire.item("event", other), *parts, wire.item("attachment", b"y")))
    assert accepted(answer) == other["event_id"] and "attachment" in answer.headers["X-Sentry-Rate-Limits"]
    for sent in (event, other):
        data = project.find(sent["event_id"])["data"]
        assert data["extra"]["first"] == "1" and [c["message"] for c in data["breadcrumbs"]["values"]] == ["left"]
    wanted = {("attachment_item", "accepted", ""): 5, ("attachment_item", "rate_limited", "project_hour_quota"): 1, ("attachment", "accepted", ""): 1,
              ("attachment_item", "invalid", "duplicate"): 1, ("error", "accepted", ""): 2}
    until(lambda: wanted.items() <= totals(project).items(), lambda: totals(project))


@pytest.mark.parametrize("kind, category", [("event", "error"), ("feedback", "feedback"), ("minidump", "error")])
def test_the_files_of_what_is_refused(picket, project, kind, category):
    """An event that its quota does not leave takes its files along, wherever they stand: none is written, and none uses the attachments' quota. Files that come
    by themselves are asked for by themselves."""
    set_quotas(project, error={"hour": 1}, attachment={"hour": 1000})  # and one piece of feedback
    if category == "error":
        project.send(wire.error_event())
    event_id, attached = uuid.uuid4().hex, [wire.item("attachment", os.urandom(n), filename=f"{n}.bin") for n in (300, 600)]
    owner = {"event": lambda: wire.item("event", wire.error_event(event_id=event_id)),
             "feedback": lambda: wire.item("feedback", {"event_id": event_id, "contexts": {"feedback": {"message": "hm"}}}),
             "minidump": lambda: wire.item("attachment", dumps.linux(), filename="x.dmp", attachment_type="event.minidump")}[kind]()
    header, size = {"event_id": event_id}, 900 + (len(dumps.linux()) if kind == "minidump" else 0)
    answer = project.post(wire.envelope(header, attached[0], owner, attached[1]))
    assert answer.status_code == 429 and "attachment" not in answer.headers["X-Sentry-Rate-Limits"], answer.headers
    assert files(picket, project) == {}
    for n in (600, 400):
        accepted(project.post(wire.envelope(header, wire.item("attachment", os.urandom(n)))))
    assert sorted(row["size"] for row in wait_attachments(project, 2, event_id)) == [400, 600]
    assert sorted(files(picket, project).values()) == [400, 600]
    wanted = {("attachment", "rate_limited", "project_hour_quota"): size, ("attachment_item", "rate_limited", "project_hour_quota"): 3 if kind == "minidump" else 2,
              ("attachment", "accepted", ""): 1000, ("attachment_item", "accepted", ""): 2}
    until(lambda: wanted.items() <= totals(project).items(), lambda: totals(project))
    assert totals(project)[(category, "rate_limited", "project_hour_quota")] >= 1
    assert {case["event_id"] and uuid.UUID(case["event_id"]).hex for case in project.api.read(project.path + "/delivery")["items"]
            if case["category"] == "attachment_item"} == {event_id}


def test_the_files_of_a_first_event(project):
    """They are the first event's: what becomes of a second one is its own."""
    set_quotas(project, error={"hour": 1})
    first, second = wire.error_event(), wire.error_event()
    answer = project.post(wire.envelope({}, wire.item("event", first), wire.item("attachment", b"x"), wire.item("event", second)))
    assert accepted(answer) == first["event_id"] and "error" in answer.headers["X-Sentry-Rate-Limits"]
    wait_attachments(project, 1, first["event_id"])
    wanted = {("error", "accepted", ""): 1, ("error", "rate_limited", "project_hour_quota"): 1, ("attachment_item", "accepted", ""): 1}
    until(lambda: wanted.items() <= totals(project).items(), lambda: totals(project))


@pytest.mark.parametrize("packed, size", [(False, 24 << 20), (True, 104 << 20)])
def test_large_ones(project, packed, size):
    """§2.5: up to 200 MiB, by default, as they are sent and as they come out; these are more than the 20 and 100 that older servers take."""
    content = b"0123456789abcdef" * (size >> 4)
    body = wire.envelope({"event_id": uuid.uuid4().hex}, wire.item("attachment", content, filename="full.dmp"))
    answer = project.post(gzip.compress(body, 1) if packed else body, headers={"Content-Encoding": "gzip"} if packed else {})
    accepted(answer)
    row, = wait_attachments(project, 1)
    assert (row["size"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


# ---- what goes out

@pytest.mark.parametrize("name, sent, answered, disposition", [
    ("a.html", "text/html", "application/octet-stream", 'attachment; filename="a.html"'),
    ("a.svg", "image/svg+xml", "application/octet-stream", 'attachment; filename="a.svg"'),
    ("a.png", "IMAGE/PNG", "image/png", 'attachment; filename="a.png"'),
    ("a.txt", "text/plain; charset=latin-1", "text/plain; charset=utf-8", 'attachment; filename="a.txt"'),
    ("a.js", "text/javascript", "application/octet-stream", 'attachment; filename="a.js"'),
    ("../../etc/passwd", "", "application/octet-stream", 'attachment; filename="passwd"'),
    ("C:\\temp\\x y.dmp", "", "application/octet-stream", 'attachment; filename="x y.dmp"'),
    ('a"; filename=evil.exe', "", "application/octet-stream", "attachment; filename=\"a__ filename_evil.exe\"; filename*=UTF-8''a%22%3B%20filename%3Devil.exe"),
    ("\u00fc.txt", "", "application/octet-stream", "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%BC.txt"),
    ("", "", "application/octet-stream", 'attachment; filename="attachment"'),
    ("...", "", "application/octet-stream", 'attachment; filename="attachment"'),
])
def test_handed_out_safely(project, name, sent, answered, disposition):
    accepted(project.post(wire.envelope({}, wire.item("attachment", b"<script>alert(1)</script>", filename=name, content_type=sent))))
    row, = wait_attachments(project, 1)
    answer = download(project, row)
    assert answer.status_code == 200 and answer.content == b"<script>alert(1)</script>"
    assert (answer.headers["Content-Type"], answer.headers["Content-Disposition"]) == (answered, disposition)
    assert answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")


def test_large_and_cut_downloads(picket, project):
    """Many parts; a client that goes away in the middle; HEAD; what was compressed on its way."""
    content = os.urandom(5 << 20)
    body = wire.envelope({}, wire.item("attachment", content, filename="dump"))
    accepted(project.post(gzip.compress(body, 1), headers={"Content-Encoding": "gzip"}))
    row, = wait_attachments(project, 1)
    path = f"{project.path}/attachments/{row['id']}/download"
    headers = [("Authorization", f"Bearer {picket.token}")]
    for _ in range(5):
        with wire.Connection(picket.port) as connection:
            connection.send(wire.request("GET", path, headers))
            assert connection.socket.recv(1000)
    answer = download(project, row)
    assert answer.content == content and int(answer.headers["Content-Length"]) == len(content)
    head = project.api.request("HEAD", path)
    assert head.status_code == 200 and head.content == b"" and int(head.headers["Content-Length"]) == len(content)


def test_of_nobody_and_of_another_project(project, picket):
    accepted(project.post(wire.envelope({}, wire.item("attachment", b"mine"))))
    row, = wait_attachments(project, 1)
    other = picket.new_project()
    for path in ("", "/download"):
        assert Api(picket.url).get(f"{project.path}/attachments/{row['id']}{path}").status_code == 401
        assert other.api.get(f"{other.path}/attachments/{row['id']}{path}").status_code == 404
        assert project.api.get(f"{project.path}/attachments/nothing{path}").status_code == 404
    assert other.api.delete(f"{other.path}/attachments/{row['id']}").status_code == 404
    assert attachments(other) == [] and attachments(other, row["event_id"]) == []
    assert project.api.get("/api/projects/99999999/attachments").status_code == 404
    assert project.api.get(f"{project.path}/events/nothing/attachments").status_code == 400
    assert download(project, row).content == b"mine"


def test_pages(project):
    for i in range(5):
        accepted(project.post(wire.envelope({}, wire.item("attachment", b"%d" % i, filename=f"No. {i}"))))
        wait_attachments(project, i + 1)
    page = project.api.read(project.path + "/attachments", params={"per_page": 2, "page": 2})
    assert [item["name"] for item in page["items"]] == ["No. 2", "No. 1"] and (page["total_count"], page["total_pages"]) == (5, 3)


# ---- what goes

def test_deleted_aged_and_swept(make_picket):
    """A row that is deleted or too old loses its file, unless another row names it; what is younger than the spool's oldest record stays."""
    picket = make_picket(RETENTION_DAYS=90).start()
    project, gone = picket.new_project(), picket.new_project()
    for content in (b"deleted", b"shared", b"kept"):
        accepted(project.post(wire.envelope({}, wire.item("attachment", content, filename=content.decode()))))
    accepted(project.post(wire.envelope({}, wire.item("attachment", b"shared", filename="shared too"))))
    accepted(gone.post(wire.envelope({}, wire.item("attachment", b"of a project that goes"))))
    rows = {row["name"]: row for row in wait_attachments(project, 4)}
    wait_attachments(gone, 1)
    for name in ("deleted", "shared"):
        assert project.api.delete(f"{project.path}/attachments/{rows[name]['id']}").status_code == 204
    assert download(project, rows["deleted"]).status_code == 404
    picket.command("retention", "run")
    assert len(files(picket)) == 4, "too young to be judged by rows alone"
    for each in (project, gone):
        for path in files(picket, each):
            os.utime(path, (time.time() - 7200,) * 2)
    picket.sql("DELETE FROM projects WHERE id = %s", gone.id)
    left = picket.command("retention", "run", "--dry-run")
    assert "would free 2 files of 29 bytes" in left and len(files(picket)) == 4
    assert "freed 2 files of 29 bytes" in picket.command("retention", "run")
    assert sorted(files(picket).values()) == [4, 6] and {row["name"] for row in attachments(project)} == {"kept", "shared too"}
    age(picket, project, 100)
    assert "dropped 2 attachments of 10 bytes; freed 2 files of 10 bytes" in picket.command("retention", "run")
    assert files(picket) == {} and attachments(project) == []


def test_put_again_while_unnamed(make_picket):
    """An old file that no row names is as young as its last put."""
    picket = make_picket().start()
    project = picket.new_project()
    body = wire.envelope({}, wire.item("attachment", b"again"))
    accepted(project.post(body))
    row, = wait_attachments(project, 1)
    project.api.delete(f"{project.path}/attachments/{row['id']}")
    for path in files(picket):
        os.utime(path, (time.time() - 864000,) * 2)
    accepted(project.post(body))
    assert "freed" not in picket.command("retention", "run")
    row, = wait_attachments(project, 1)
    assert download(project, row).content == b"again"


def test_acknowledged_and_killed(make_picket):
    """kill -9: whatever was acknowledged is there, byte for byte; and nothing is counted twice."""
    picket = make_picket().start()
    project = picket.new_project()
    contents = [os.urandom(size) for size in (0, 1, 1000, 100000, 700000)] * 4
    for i, content in enumerate(contents):
        accepted(project.post(wire.envelope({}, wire.item("attachment", content, filename=str(i)))))
    until(lambda: len(attachments(project)) > len(contents) // 2, "they are not digested")
    picket.kill()
    forget_cursor(picket)
    picket.start()
    rows = wait_attachments(project, len(contents))
    assert sorted(int(row["name"]) for row in rows) == list(range(len(contents)))
    for row in rows:
        assert download(project, row).content == contents[int(row["name"])]
    project.drain()
    assert totals(project) == {("attachment_item", "accepted", ""): 20, ("attachment", "accepted", ""): sum(map(len, contents))}
    assert len(attachments(project)) == len(contents)


def test_of_erased_persons(make_picket):
    """What came with the events of somebody who is erased goes with them; the file when it is older than what may yet be digested."""
    picket = make_picket().start()
    project = picket.new_project()
    for name in ("jane", "joe"):
        event = wire.error_event(user={"email": f"{name}@example.com"})
        accepted(project.post(wire.envelope({"event_id": event["event_id"]}, wire.item("event", event), wire.item("attachment", name.encode(), filename=name))))
        project.find(event["event_id"])
    wait_attachments(project, 2)
    picket.command("retention", "erase", "--project", project.id, "--user", "email:jane@example.com")
    assert [row["name"] for row in attachments(project)] == ["joe"]
    for path in files(picket):
        os.utime(path, (time.time() - 7200,) * 2)
    picket.command("retention", "run")
    assert list(files(picket).values()) == [3]


def test_dropped_in_parts(project, picket):
    """What is too old and what came with erased persons' events, some rows at a call, each once; other projects' and other persons' stay."""
    event, other = wire.error_event(), wire.error_event()
    for each in (event, other):
        files_of_it = [wire.item("attachment", b"%d" % i, filename="of an event") for i in range(3)]
        accepted(project.post(wire.envelope({"event_id": each["event_id"]}, wire.item("event", each), *files_of_it)))
    rows = [project.find(each["event_id"])["id"] for each in (event, other)]
    wait_attachments(project, 6)
    with psycopg.connect(picket.conninfo()) as connection:
        connection.execute("INSERT INTO erasure_rows VALUES (%s, %s, 0, 1)", (project.id, rows[0]))
        connection.execute("INSERT INTO attachments SELECT project_id, monitor_id(now() - interval '100 days', n::text), event_id, received_at, sha256, size, 'old', '', '' "
                           "FROM attachments, generate_series(1, 3) n WHERE project_id = %s AND size = 1 AND event_id = %s AND sha256 = sha256('0')",
                           (project.id, event["event_id"]))  # these are both
        gone = [connection.execute("SELECT rows, bytes FROM retention_attachments(now(), 90, 2)").fetchone() for _ in range(5)]
        left = connection.execute("SELECT event_id FROM attachments WHERE project_id = %s", (project.id,)).fetchall()
        connection.rollback()
    assert sum(n for n, _ in gone) == sum(size for _, size in gone) == 6 and max(n for n, _ in gone) == 2 and gone[-1] == (0, 0), gone
    assert {row[0].hex for row in left} == {other["event_id"]} and len(left) == 3


# ---- a form for an event (§1.6 "Attachments")

def post_files(project, event, files, **more):
    return project.api.session.post(f"{project.api.url}/api/{project.id}/events/{event}/attachments/", files=files, headers={**project.auth, **more.pop("headers", {})}, **more)


def test_files_of_a_form(project):
    """§4.1: 201 and an empty body. Several files, one name twice, an empty file, one that was not chosen, a field."""
    event = wire.error_event()
    dashed = str(uuid.UUID(event["event_id"])).upper()
    files = [("a", ("same.txt", b"one", "text/plain")), ("b", ("same.txt", b"two")), ("c", ("empty", b"")), ("d", ("", b"not chosen")), ("e", (None, "a field"))]
    answer = post_files(project, dashed, files)
    assert (answer.status_code, answer.content) == (201, b""), answer.text
    project.send(event)
    detail = project.find(event["event_id"])
    rows = wait_attachments(project, 3, detail["id"])
    assert {(row["name"], row["content_type"], row["size"]) for row in rows} == {("empty", None, 0), ("same.txt", None, 3), ("same.txt", "text/plain", 3)}
    assert sorted(download(project, row).content for row in rows) == [b"", b"one", b"two"]
    until(lambda: totals(project).get(("attachment_item", "filtered", "not_stored")) == 1, lambda: totals(project))
    assert totals(project)[("attachment_item", "accepted", "")] == 3


def test_the_first_reason_answers_and_the_limit_is_told(small):
    """§4.4: of a form with one file too large and one beyond a quota the answer is 413, with the limit that it met."""
    project = small.new_project()
    set_quotas(project, attachment={"hour": 10})
    answer = post_files(project, uuid.uuid4().hex, [("a", ("a", b"x" * 10001)), ("b", ("b", b"x" * 11))])
    assert answer.status_code == 413 and answer.headers["X-Sentry-Rate-Limits"].split(":")[1] == "attachment;attachment_item", answer.headers
    until(lambda: {("attachment_item", "invalid", "too_large:attachment"): 1, ("attachment_item", "rate_limited", "project_hour_quota"): 1}.items()
          <= totals(project).items(), lambda: totals(project))


@pytest.mark.parametrize("event, content_type, body, status", [
    ("no-id", "multipart/form-data; boundary=b", b"--b--\r\n", 400),
    ("0" * 32, "multipart/form-data; boundary=b", b"--b--\r\n", 400),
    ("1" * 32, "multipart/form-data", b"--b--\r\n", 400),
    ("1" * 32, "application/json", b"{}", 400),
    ("1" * 32, "multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\ncut', 400),
    ("1" * 32, "multipart/form-data; boundary=b", b"--b--\r\n", 201),
])
def test_bad_forms(project, picket, event, content_type, body, status):
    """§10.4 test_attachments: bad event id → 400. Of a form that is cut nothing is stored."""
    path = f"{project.api.url}/api/{project.id}/events/{event}/attachments/"
    answer = project.api.session.post(path, data=body, headers={**project.auth, "Content-Type": content_type})
    assert answer.status_code == status and (status == 201 or answer.json()["detail"])
    assert files(picket, project) == {}
    assert project.api.session.post(path, data=body, headers={"Content-Type": content_type}).status_code in (400, 401)


def test_files_beyond_limits(small):
    """One that is too large costs that one; nothing survives: 413. The sum of outcomes is the sum of files."""
    project = small.new_project()
    assert post_files(project, "1" * 32, [("a", ("a", bytes(10000))), ("b", ("b", bytes(10001)))]).status_code == 201
    assert post_files(project, "1" * 32, [("a", ("a", bytes(10001)))]).status_code == 413
    until(lambda: totals(project).get(("attachment_item", "invalid", "too_large:attachment")) == 2 and totals(project).get(("attachment_item", "accepted", "")) == 1,
          lambda: totals(project))
