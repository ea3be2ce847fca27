"""What comes a second time (sql/migrations/0026_repeats.sql): envelopes that SDKs send again because they heard no answer. It is taken, stored once, counted as
a copy, and told."""
import uuid

import pytest

import wire
from client import accepted
from test_attachments import attachments, download, files, wait_attachments
from test_duplicates import delivery, gathering
from test_feedback import wait_feedback
from test_outcomes import forget_cursor, totals, wait_totals

SDK = {"name": "sentry.python", "version": "2.1.0"}
REPORT = {"name": "Ada", "email": "ada@example.com", "comments": "It broke"}


def feedback(message="hm", **fields):
    return wire.item("feedback", {"contexts": {"feedback": {"message": message}}, **fields})


def everything(event_id, contents=(b"one", b"three")):
    header = {"event_id": event_id, "sdk": SDK}
    return wire.envelope(header, wire.item("event", wire.error_event(event_id=event_id)), *(wire.item("attachment", c, filename="a.txt") for c in contents),
                         wire.item("user_report", {"event_id": event_id, **REPORT}), feedback())


def counted(copies):
    """Of so many copies of everything()."""
    wanted = {("error", "accepted", ""): 1, ("attachment_item", "accepted", ""): 2, ("attachment", "accepted", ""): 8, ("feedback", "accepted", ""): 2}
    return {**wanted, **{(category, "invalid", "duplicate"): n * copies for (category, _, _), n in wanted.items() if copies}}


def hexes(rows, name="event_id"):
    return [uuid.UUID(row[name]).hex for row in rows]


def test_an_envelope_that_is_sent_again(picket, project):
    event_id = uuid.uuid4().hex
    for copies in range(3):
        assert accepted(project.post(everything(event_id))) == event_id
        wait_totals(project, counted(copies))
    rows = attachments(project)
    assert sorted(row["size"] for row in rows) == [3, 5] and sorted(files(picket, project).values()) == [3, 5]
    assert sorted(download(project, row).content for row in rows) == [b"one", b"three"]
    assert sorted(item["message"] for item in wait_feedback(project, 2)) == ["It broke", "hm"]
    lines = {case["category"]: case for case in delivery(project)}
    assert {category: case["quantity"] for category, case in lines.items()} == {"error": 2, "attachment_item": 4, "feedback": 4} and len(delivery(project)) == 3
    assert {(case["reason"], case["outcome"], case["sdk"], uuid.UUID(case["event_id"]).hex) for case in lines.values()} == {
        ("duplicate", "invalid", "sentry.python/2.1.0", event_id)}
    assert lines["attachment_item"]["bytes"] in (3, 5) and lines["feedback"]["bytes"] > 20 and lines["feedback"]["key_id"]


def test_copies_within_a_batch(picket):
    """And other projects are not concerned."""
    event_id, project, other = uuid.uuid4().hex, picket.new_project(), picket.new_project()
    with gathering(picket):
        for to in (project, project, other, project):
            accepted(to.post(everything(event_id)))
    wait_totals(project, counted(2))
    wait_totals(other, counted(0))
    assert len(attachments(project)) == len(attachments(other)) == 2 and delivery(other) == []


def test_what_differs_is_kept(project):
    """In name, type or content; in who says what of which event."""
    event_id = uuid.uuid4().hex
    more = [wire.item("attachment", b"x", filename="a"), wire.item("attachment", b"y", filename="a"), wire.item("attachment", b"x", filename="b"),
            wire.item("attachment", b"x", filename="a", attachment_type="event.view_hierarchy"),
            *(wire.item("user_report", {"event_id": event_id, **REPORT, **changed}) for changed in
              ({}, {"comments": "Again"}, {"name": "Bob"}, {"email": "b@example.com"}, {"event_id": uuid.uuid4().hex}))]
    for item in more:
        accepted(project.post(wire.envelope({"event_id": event_id}, item)))
    wait_totals(project, {("attachment_item", "accepted", ""): 4, ("attachment", "accepted", ""): 4, ("feedback", "accepted", ""): 5})
    accepted(project.post(wire.envelope({"event_id": uuid.uuid4().hex}, more[0])))
    wait_totals(project, {("attachment_item", "accepted", ""): 5, ("attachment", "accepted", ""): 5, ("feedback", "accepted", ""): 5})
    assert delivery(project) == []


def test_feedback_of_one_envelope(project):
    """The first has the envelope's id; a further one its own, or one that follows from it: both are there, and once."""
    event_id, own = uuid.uuid4().hex, uuid.uuid4().hex
    body = wire.envelope({"event_id": event_id}, feedback("first"), feedback("second", event_id=own), feedback("third"), feedback("copy", event_id=own),
                         wire.item("event", {"type": "feedback", "contexts": {"feedback": {"message": "fourth"}}}))
    accepted(project.post(body))
    items = wait_feedback(project, 4)
    assert sorted(item["message"] for item in items) == ["first", "fourth", "second", "third"]
    ids = {item["message"]: uuid.UUID(item["feedback_id"]).hex for item in items}
    assert ids["first"] == event_id and ids["second"] == own and len(set(ids.values())) == 4
    wanted = {("feedback", "accepted", ""): 4, ("feedback", "invalid", "duplicate_item"): 1}
    wait_totals(project, wanted)
    accepted(project.post(body))
    wait_totals(project, {**wanted, ("feedback", "invalid", "duplicate_item"): 2, ("feedback", "invalid", "duplicate"): 4})
    assert len(wait_feedback(project, 4)) == 4


def test_feedback_without_an_envelope_id(project):
    """By its own id; without any nobody knows whether it is a copy."""
    own = uuid.uuid4().hex
    for _ in range(2):
        accepted(project.post(wire.envelope({}, feedback("own", event_id=own), feedback("none"))))
    wait_totals(project, {("feedback", "accepted", ""): 3, ("feedback", "invalid", "duplicate"): 1})
    case, = delivery(project)
    assert hexes([case]) == [own] and sorted(item["message"] for item in wait_feedback(project, 3)) == ["none", "none", "own"]


def test_a_file_that_was_deleted_may_come_again(project, picket):
    event_id, content = uuid.uuid4().hex, b"again"
    for _ in range(2):
        accepted(project.post(wire.envelope({"event_id": event_id}, wire.item("attachment", content))))
        row, = wait_attachments(project, 1)
        assert download(project, row).content == content
        assert project.api.delete(f"{project.path}/attachments/{row['id']}").status_code in (200, 204)
        assert attachments(project) == []
    wait_totals(project, {("attachment_item", "accepted", ""): 2, ("attachment", "accepted", ""): 10})


def test_a_batch_that_comes_again(make_picket):
    """Killed before it noted how far it was: what is delivered again is no copy, and a copy is none twice."""
    picket = make_picket(DIGEST_WORKERS=1).start()
    project, event_id = picket.new_project(), uuid.uuid4().hex
    with gathering(picket):
        for _ in range(2):
            accepted(project.post(everything(event_id)))
    wait_totals(project, counted(1))
    lines = delivery(project)
    picket.kill()
    forget_cursor(picket)
    picket.start()
    project.settle()
    assert totals(project) == {**counted(1), ("error", "accepted", ""): 2} and delivery(project) == lines
    assert len(attachments(project)) == 2 and len(wait_feedback(project, 2)) == 2


def test_many_files_of_one_event(make_picket):
    """Each of them is looked for, and none by reading the others: a million files for one event would hold up everybody's."""
    picket = make_picket().start()
    project = picket.new_project()
    event_id = uuid.uuid4().hex
    for n in range(30):
        files = [wire.item("attachment", b"", filename=f"{n} {i}") for i in range(30)]
        assert project.post(wire.envelope({"event_id": event_id}, *files)).status_code == 200
    project.drain()
    picket.stop()  # and its backends have told what they read
    assert picket.sql("SELECT count(*) FROM attachments WHERE project_id = %s", project.id) == [(900,)]
    (read,), = picket.sql("SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'attachments'")
    assert 900 <= read < 20000
