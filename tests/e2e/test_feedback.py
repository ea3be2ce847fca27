"""User feedback (protocol §7.3, §7.4, §10.4 test_feedback): both forms, linked to the event that it is about whenever that comes."""
import time
import uuid

import pytest

import wire
from client import accepted
from test_attachments import wait_attachments
from test_outcomes import wait_totals
from test_scrubbing import scrub
from waiting import until


def feedback_item(message="It broke", event_id=None, **fields):
    said = {"message": message, "name": "Ada", "contact_email": "ada@example.com", "url": "https://example.com/cart", "source": "widget", **fields}
    if event_id:
        said["associated_event_id"] = event_id
    return wire.item("feedback", {"event_id": uuid.uuid4().hex, "timestamp": time.time(), "release": "app@1", "environment": "production",
                                  "contexts": {"feedback": said}})


def feedback(project, **query):
    return project.api.read(project.path + "/feedback", params=query)["items"]


def detail(project, item):
    return project.api.read(f"{project.path}/feedback/{item['id']}")


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
    assert detail(project, item) == {**item, "data": {"contexts": {}}}
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
    assert detail(project, item)["data"] is None


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
                                           ("user_report", {"comments": None})])
def test_without_a_message(project, kind, payload):
    answer = project.post(wire.envelope({}, wire.item(kind, payload)))
    assert answer.status_code == 400 and "message" in answer.text
    wait_totals(project, {("feedback", "invalid", "no_message"): 1})


@pytest.mark.parametrize("words", [{}, {"comments": None}, {"comments": ""}])
def test_user_report_without_words(project, words):
    """§7.4: dialogs of Cocoa and Java send what was left empty."""
    event_id = uuid.uuid4().hex
    accepted(project.post(wire.envelope({"event_id": event_id}, wire.item("user_report", {"event_id": event_id, "name": "Bob", "email": None, **words}))))
    item, = wait_feedback(project)
    assert (item["message"], item["name"], item["email"], uuid.UUID(item["event_id"]).hex) == ("", "Bob", None, event_id)
    assert detail(project, item)["message"] == ""
    wait_totals(project, {("feedback", "accepted", ""): 1})


def test_long_and_odd_texts(project):
    """Cut, never refused; NUL and lone surrogates are made harmless."""
    accepted(project.post(wire.envelope({}, feedback_item("x" * 10000, name="n" * 1000, contact_email=7, url=["a"], source={"a": None}))))
    item, = wait_feedback(project)
    assert (item["message"], item["name"], item["email"], item["url"]) == ("x" * 4096, "n" * 256, "7", '["a"]')
    accepted(project.post(wire.envelope({}, wire.item("feedback", rb'{"contexts":{"feedback":{"message":"a\u0000b\ud800c"}}}'))))
    assert wait_feedback(project, 2)[0]["message"] == "a\ufffdb\ufffdc"


# ---- what comes with it

BROWSER = {"platform": "javascript", "sdk": {"name": "sentry.javascript.browser", "version": "9.1.0"}, "user": {"id": 42, "username": "ada", "email": "ada@example.com"},
           "tags": [["plan", "free"]], "request": {"url": "https://example.com/cart?step=2", "headers": {"Referer": "https://example.com/"}}}


def browser_feedback(message="It broke", contexts=None, **more):
    return {"event_id": uuid.uuid4().hex, **BROWSER, "contexts": {"feedback": {"message": message}, "os": {"name": "Linux"}, **(contexts or {})}, **more}


def test_what_comes_with_it(project):
    """§7.3: a whole event; of the older form as well, and the SDK of the envelope where it names none. A list is short."""
    accepted(project.post(wire.envelope({}, wire.item("feedback", browser_feedback()))))
    accepted(project.post(wire.event_envelope(browser_feedback("as an event"))))
    accepted(project.post(wire.envelope({"sdk": {"name": "of.envelope", "version": "1"}}, wire.item("feedback", browser_feedback("of the envelope", sdk=None)))))
    items = {item["message"]: item for item in wait_feedback(project, 3)}
    wanted = {"platform": "javascript", "sdk": {"name": "sentry.javascript.browser", "version": "9.1.0"},
              "user": {"id": "42", "username": "ada", "email": "ada@example.com", "ip_address": "127.0.0.1"}, "tags": {"plan": "free"},
              "request": {"url": "https://example.com/cart", "query_string": [["step", "2"]], "headers": {"Referer": "https://example.com/"}},
              "contexts": {"os": {"name": "Linux", "type": "os"}}}
    assert detail(project, items["It broke"]) == {**items["It broke"], "data": wanted}
    assert detail(project, items["as an event"])["data"] == wanted
    assert detail(project, items["of the envelope"])["data"] == {**wanted, "sdk": {"name": "of.envelope", "version": "1"}}
    assert not any("data" in item for item in items.values())


def test_what_comes_with_it_in_odd_forms(project, picket):
    """Nothing that comes with it makes it a dead letter: nesting beyond what PostgreSQL reads, numbers beyond what it takes, NUL."""
    body = wire.dumps(browser_feedback("deep", {"deep": {"a": "HERE", "n": 1, "z\0": "\0"}})).replace(b'"HERE"', b"[" * 50000 + b"]" * 50000).replace(b'"n":1', b'"n":1e999')
    accepted(project.post(wire.envelope({}, wire.item("feedback", body))))
    item, = wait_feedback(project)
    deep = detail(project, item)["data"]["contexts"]["deep"]
    assert "n" not in deep and deep["z\ufffd"] == "\ufffd"
    assert picket.sql("SELECT count(*) FROM dead_letters WHERE project_id = %s", project.id) == [(0,)]


def row(picket, item):
    return picket.sql("SELECT f::text FROM feedback f WHERE id = %s", item["id"])[0][0]


def test_what_comes_with_it_is_scrubbed(project, picket):
    """§5.15, as an event's: by name and by pattern."""
    secret = "hunter2hunter2"
    accepted(project.post(wire.envelope({}, wire.item("feedback", browser_feedback(
        contexts={"mine": {"password": secret, "deep": [{"api_key": secret}]}}, tags={"token": secret, "card": "4111111111111111"},
        user={"id": 1, "data": {"secret": secret}},
        request={"url": f"https://u:{secret}@example.com/?password={secret}", "headers": {"Authorization": f"Bearer {secret}", "X-Api-Key": secret, "Cookie": f"sid={secret}"}})))))
    item, = wait_feedback(project)
    data = detail(project, item)["data"]
    assert data["tags"] == {"token": "[Filtered]", "card": "[Filtered]"} and data["contexts"]["mine"]["password"] == "[Filtered]"
    assert data["request"]["headers"]["Authorization"] == "[Filtered]" and data["user"]["data"] == {"secret": "[Filtered]"}
    assert secret not in row(picket, item) and "4111" not in row(picket, item)


def test_no_address_is_kept(project, picket):
    """§5.7: where the project wants none, or the feedback or its envelope says "never"; as of events."""
    never = {"settings": {"infer_ip": "never"}}
    accepted(project.post(wire.envelope({}, wire.item("feedback", browser_feedback(sdk=never)))))
    accepted(project.post(wire.envelope({"sdk": never}, wire.item("feedback", browser_feedback(sdk=None, user={"ip_address": "{{auto}}"})))))
    scrub(project, drop_ip=True)
    accepted(project.post(wire.envelope({}, wire.item("feedback", browser_feedback(
        "I am 127.0.0.1", {"mine": {"peer": "127.0.0.1"}}, user={"id": "1", "ip_address": "127.0.0.1"}, tags={"peer": "127.0.0.1"},
        request={"url": "http://127.0.0.1/", "env": {"REMOTE_ADDR": "127.0.0.1"}, "headers": {"X-Forwarded-For": "127.0.0.1"}})))))
    for item in wait_feedback(project, 3):
        assert "127.0.0.1" not in row(picket, item)
    assert detail(project, feedback(project)[0])["data"]["user"] == {"id": "1"}


def test_dead_letters(make_picket):
    """A letter of feedback keeps the address that it came from, unless it is not to be kept; what is stored at last has all that came."""
    picket = make_picket().start()
    project = picket.new_project()
    picket.sql("ALTER TABLE feedback ADD CONSTRAINT obstacle CHECK (message NOT LIKE '%%obstacle%%')")
    for infer in ("never", "auto"):
        accepted(project.post(wire.envelope({}, wire.item("feedback", browser_feedback(f"obstacle {infer}", sdk={"name": "x", "settings": {"infer_ip": infer}})))))
    letters = until(lambda: len(found := picket.api.read("/api/dead-letters")["items"]) == 2 and found, "no dead letters")
    assert sorted(picket.sql("SELECT coalesce(host(remote_addr), '') FROM dead_letters")) == [("",), ("127.0.0.1",)]
    picket.sql("ALTER TABLE feedback DROP CONSTRAINT obstacle")
    for letter in letters:
        assert picket.api.post(f"/api/dead-letters/{letter['id']}/retry").status_code in (200, 202)
    addresses = {item["message"]: detail(project, item)["data"]["user"].get("ip_address") for item in wait_feedback(project, 2)}
    assert addresses == {"obstacle never": None, "obstacle auto": "127.0.0.1"}


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
