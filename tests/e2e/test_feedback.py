"""User feedback (protocol §7.3, §7.4, §10.4 test_feedback): both forms, linked to the event that it is about whenever that comes."""
import time
import uuid

import pytest

import wire
from client import accepted
from test_attachments import wait_attachments
from test_outcomes import wait_totals
from waiting import until


def feedback_item(message="It broke", event_id=None, **fields):
    said = {"message": message, "name": "Ada", "contact_email": "ada@example.com", "url": "https://example.com/cart", "source": "widget", **fields}
    if event_id:
        said["associated_event_id"] = event_id
    return wire.item("feedback", {"event_id": uuid.uuid4().hex, "timestamp": time.time(), "release": "app@1", "environment": "production",
                                  "contexts": {"feedback": said}})


def feedback(project, **query):
    return project.api.read(project.path + "/feedback", params=query)["items"]


def wait_feedback(project, n=1):
    until(lambda: len(feedback(project)) == n, lambda: feedback(project), 20)
    return feedback(project)


def test_feedback(project):
    event = wire.error_event()
    project.send(event)
    found = project.find(event["event_id"])
    accepted(project.post(wire.envelope({}, feedback_item(event_id=event["event_id"]))))
    item, = wait_feedback(project)
    assert (item["message"], item["name"], item["email"], item["url"], item["source"]) == ("It broke", "Ada", "ada@example.com", "https://example.com/cart", "widget")
    assert (item["release"], item["environment"]) == ("app@1", "production")
    assert uuid.UUID(item["event_id"]).hex == event["event_id"] and item["issue_id"] == found["issue_id"] and item["event_row_id"] == found["id"]
    assert project.api.read(f"{project.path}/feedback/{item['id']}") == item
    wait_totals(project, {("error", "accepted", ""): 1, ("feedback", "accepted", ""): 1})


def test_user_report_before_its_event(project):
    """The event may come later: the link is there when the event is."""
    event = wire.error_event()
    accepted(project.post(wire.envelope({}, wire.item("user_report", {"event_id": event["event_id"], "email": "bob@example.com", "name": "Bob", "comments": "Help"}))))
    item, = wait_feedback(project)
    assert (item["message"], item["name"], item["email"], item["source"]) == ("Help", "Bob", "bob@example.com", "user_report")
    assert uuid.UUID(item["event_id"]).hex == event["event_id"] and item["issue_id"] is None
    project.send(event)
    found = project.find(event["event_id"])
    assert feedback(project)[0]["issue_id"] == found["issue_id"]
    assert feedback(project, event_id=event["event_id"]) == feedback(project) and feedback(project, event_id=uuid.uuid4().hex) == []


def test_user_report_with_its_event(project):
    """§3: the id of the envelope's header serves when the report has none."""
    event = wire.error_event()
    accepted(project.post(wire.envelope({"event_id": event["event_id"]}, wire.item("event", event), wire.item("user_report", {"comments": "Help"}))))
    item, = wait_feedback(project)
    assert uuid.UUID(item["event_id"]).hex == event["event_id"]


def test_event_with_a_feedback_context(project):
    """§7.3, §10.4: what older SDKs sent as an event is feedback, by envelope and by /store/; without a word in it, it stays the event that it is."""
    sent = [{**wire.message_event("User Feedback"), "release": "old@1", "contexts": {"feedback": {"message": f"It broke {i}", "contact_email": "a@b.c"}}} for i in (1, 2)]
    assert accepted(project.post(wire.event_envelope(sent[0]))) == sent[0]["event_id"]
    assert accepted(project.post(wire.dumps(sent[1]), path=f"/api/{project.id}/store/", headers={"Content-Type": "application/json"})) == sent[1]["event_id"]
    project.send({**wire.message_event("no word"), "contexts": {"feedback": {"message": " "}}})
    items = wait_feedback(project, 2)
    assert sorted((item["message"], item["email"], item["release"]) for item in items) == [("It broke 1", "a@b.c", "old@1"), ("It broke 2", "a@b.c", "old@1")]
    wait_totals(project, {("feedback", "accepted", ""): 2, ("error", "accepted", ""): 1})
    assert [issue["title"] for issue in project.issues()] == ["Log Message: no word"]


def test_with_attachments(project):
    """§7.3, §10.4: screenshots ride along, or come in an envelope of their own; they bear the feedback's id."""
    ids = [uuid.uuid4().hex, uuid.uuid4().hex]
    picture = wire.item("attachment", b"\x89PNG", filename="screenshot.png", content_type="image/png")
    accepted(project.post(wire.envelope({"event_id": ids[0]}, feedback_item("together"), picture)))
    accepted(project.post(wire.envelope({"event_id": ids[1]}, feedback_item("apart"))))
    accepted(project.post(wire.envelope({"event_id": ids[1]}, picture)))
    assert {item["message"] for item in wait_feedback(project, 2)} == {"together", "apart"}
    for event_id in ids:
        row, = wait_attachments(project, 1, event_id)
        assert row["name"] == "screenshot.png"


def test_twice_is_once(project):
    """Offline transports send again."""
    body = wire.envelope({}, feedback_item())
    for _ in range(3):
        accepted(project.post(body))
    wait_feedback(project)
    project.send(wire.error_event())
    project.wait_count(1)
    assert len(feedback(project)) == 1


@pytest.mark.parametrize("kind, payload", [("feedback", {"contexts": {"feedback": {"message": " "}}}), ("feedback", {"contexts": []}), ("feedback", {}),
                                           ("user_report", {"event_id": "1" * 32}), ("user_report", {"comments": None})])
def test_without_a_message(project, kind, payload):
    answer = project.post(wire.envelope({}, wire.item(kind, payload)))
    assert answer.status_code == 400 and "message" in answer.text
    wait_totals(project, {("feedback", "invalid", "no_message"): 1})


def test_long_and_odd_texts(project):
    """Cut, never refused; NUL and lone surrogates are made harmless."""
    accepted(project.post(wire.envelope({}, feedback_item("x" * 10000, name="n" * 1000, contact_email=7, url=["a"], source={"a": None}))))
    item, = wait_feedback(project)
    assert (item["message"], item["name"], item["email"], item["url"]) == ("x" * 4096, "n" * 256, "7", '["a"]')
    accepted(project.post(wire.envelope({}, wire.item("feedback", rb'{"contexts":{"feedback":{"message":"a\u0000b\ud800c"}}}'))))
    assert wait_feedback(project, 2)[0]["message"] == "a\ufffdb\ufffdc"


def test_scrubbed(project):
    """§5.15: what people write is stored without what must not be."""
    accepted(project.post(wire.envelope({}, feedback_item("My card 4111 1111 1111 1111 was refused", url="https://example.com/?password=hunter2"))))
    item, = wait_feedback(project)
    assert "4111" not in item["message"] and "refused" in item["message"] and "hunter2" not in item["url"] and item["email"] == "ada@example.com"


def test_pages(project):
    for i in range(5):
        accepted(project.post(wire.envelope({}, feedback_item(f"No. {i}"))))
        wait_feedback(project, i + 1)
    page = project.api.read(project.path + "/feedback", params={"per_page": 2, "page": 2})
    assert [item["message"] for item in page["items"]] == ["No. 2", "No. 1"] and (page["total_count"], page["total_pages"]) == (5, 3)


@pytest.mark.parametrize("path", ["feedback/nothing", f"feedback/{'1' * 32}", f"feedback/{'0' * 32}"])
def test_not_there(project, path):
    assert project.api.get(f"{project.path}/{path}").status_code == 404


def test_of_another_project(project, picket):
    accepted(project.post(wire.envelope({}, feedback_item())))
    item, = wait_feedback(project)
    other = picket.new_project()
    assert other.api.get(f"{other.path}/feedback/{item['id']}").status_code == 404 and feedback(other) == []


def test_feedback_ages(project, picket):
    """With the events of its day, by the days of its own project."""
    other = picket.new_project()
    for each in (project, other):
        accepted(each.post(wire.envelope({}, feedback_item("today"))))
        wait_feedback(each)
    picket.sql("INSERT INTO feedback (project_id, id, feedback_id, event_id, received_at, name, email, message, url, source, release, environment) "
               "SELECT project_id, monitor_id(now() - make_interval(days => d), d::text), NULL, NULL, now() - make_interval(days => d), name, email, d::text, url, source, "
               "release, environment FROM feedback, unnest('{5,20,100}'::int[]) d WHERE project_id IN (%s, %s)", project.id, other.id)

    def kept(each):
        return [item["message"] for item in feedback(each)]
    picket.command("retention", "run")
    assert kept(project) == kept(other) == ["today", "5", "20"]
    picket.command("project", "set", project.id, "--retention-days", 10)
    picket.command("retention", "run")
    assert (kept(project), kept(other)) == (["today", "5"], ["today", "5", "20"])
