"""What became of every item (protocol §4.7, §4.8, §10.4 test_client_report, test_outcome): accounts by project, key, category, outcome and reason,
the last refusals, and what the digest counts once though it may be delivered twice."""
import contextlib
import os
import random
import time
import uuid

import pytest

import wire
from client import Api, accepted
from test_normalisation import iso, seconds
from waiting import until


def totals(project, **query):
    """{(category, outcome, reason): quantity} of all keys."""
    found = {}
    for line in project.api.read(project.path + "/outcomes", params=query)["totals"]:
        name = (line["category"], line["outcome"], line["reason"])
        found[name] = found.get(name, 0) + line["quantity"]
    return found


def post_head(project, headers, data=b"", path=None, auth=None):
    """The status of a request of which no more comes than its head and `data`."""
    auth = project.auth.items() if auth is None else auth
    with wire.Connection(project.port) as connection:
        connection.send(wire.request("POST", path or project.ingest_path, [*auth, *headers]) + data)
        return connection.read_answer().status


def wait_totals(project, wanted):
    until(lambda: totals(project) == wanted, lambda: f"{totals(project)}\nwanted: {wanted}", 30)


def report(*entries, **fields):
    return wire.item("client_report", {"timestamp": time.time(), "discarded_events": [
        {"reason": reason, "category": category, "quantity": quantity} for reason, category, quantity in entries], **fields})


def test_accepted_and_duplicates(project):
    event = wire.error_event()
    project.send(event)
    project.wait_count(1)
    project.send(event, wire.error_event(), event)
    wait_totals(project, {("error", "accepted", ""): 2, ("error", "invalid", "duplicate"): 2})


def test_duplicates_within_an_envelope(project):
    event = wire.error_event()
    accepted(project.post(wire.envelope({}, wire.item("event", event), wire.item("event", event))))
    wait_totals(project, {("error", "accepted", ""): 1, ("error", "invalid", "duplicate_item"): 1})


def test_by_key_and_by_time(project, picket):
    project.send(wire.error_event())
    until(lambda: totals(project), "nothing is counted")
    answer = project.api.read(project.path + "/outcomes", params={"hours": 1, "interval": "hour"})
    ((key,),) = picket.sql("SELECT id FROM project_keys WHERE project_id = %s", project.id)
    assert answer["totals"] == [{"category": "error", "outcome": "accepted", "reason": "", "key_id": key, "quantity": 1}]
    assert [(line["category"], line["outcome"], line["quantity"]) for line in answer["series"]] == [("error", "accepted", 1)]
    assert answer["interval"] == "hour" and answer["from"] <= answer["series"][0]["time"] <= answer["to"]
    assert project.api.read(project.path + "/outcomes", params={"hours": 720})["interval"] == "day"


@pytest.mark.parametrize("query, why", [("hours=x", "hours"), ("interval=week", "interval")])
def test_wrong_queries(project, query, why):
    answer = project.api.get(f"{project.path}/outcomes?{query}")
    assert answer.status_code == 400 and why in answer.json()["message"]


@pytest.mark.parametrize("what", ["outcomes", "delivery", "sessions", "feedback"])
def test_no_project_and_nobody(picket, project, what):
    answer = project.api.get(f"/api/projects/99999999/{what}")
    assert answer.status_code == 404 and answer.json()["message"] == "Project with id 99999999 not found"
    assert Api(picket.url).get(f"{project.path}/{what}").status_code == 401
    assert project.api.read(f"{project.path}/{what}").get("items", []) == []


# ---- client reports

def test_client_reports(project):
    """§4.7: several are added up; reasons that nobody knows are `other`, categories that nobody knows `default`."""
    accepted_without_id(project.post(wire.envelope({}, report(("queue_overflow", "error", 3), ("before_send", "error", 1)),
                                                   report(("queue_overflow", "error", 4), ("sample_rate", "transaction", 10)))))
    accepted_without_id(project.post(wire.envelope({}, report(("my own reason", "error", 1), ("network_error", "internal", 2), ("ignored", "no such", 5)))))
    wait_totals(project, {("error", "client_discard", "queue_overflow"): 7, ("error", "client_discard", "before_send"): 1,
                          ("transaction", "client_discard", "sample_rate"): 10, ("error", "client_discard", "other"): 1,
                          ("default", "client_discard", "network_error"): 2, ("default", "client_discard", "ignored"): 5})


def test_client_reports_of_relays(project):
    lists = {"rate_limited_events": [{"reason": "queue_overflow", "category": "error", "quantity": 2}],
             "filtered_events": [{"reason": "ignored", "category": "error", "quantity": 3}],
             "filtered_sampling_events": [{"reason": "Sampled:7", "category": "transaction", "quantity": 4}]}
    accepted_without_id(project.post(wire.envelope({}, report(**lists))))
    wait_totals(project, {("error", "rate_limited", "queue_overflow"): 2, ("error", "filtered", "ignored"): 3, ("transaction", "filtered", "sampled"): 4})


@pytest.mark.parametrize("timestamp", ["yesterday", [], 3600, -40 * 86400, -1e300])
def test_client_report_of_another_time(project, timestamp):
    if isinstance(timestamp, int):
        timestamp += time.time()
    dropped = report(("queue_overflow", "error", 3), timestamp=timestamp)
    accepted_without_id(project.post(wire.envelope({"sdk": {"name": "sentry.go", "version": "1.0"}}, dropped)))
    accepted_without_id(project.post(wire.envelope({}, report(("before_send", "error", 1), timestamp=None))))
    wait_totals(project, {("error", "client_discard", "before_send"): 1, ("default", "invalid", "timestamp"): 1})
    case, = project.api.read(project.path + "/delivery")["items"]
    assert (case["category"], case["reason"], case["quantity"], case["sdk"], case["bytes"]) == ("default", "timestamp", 1, "sentry.go/1.0", len(dropped.split(b"\n")[1]))


@pytest.mark.parametrize("ahead, corrected", [(7200, True), (-3600, True), (-3240, False)], ids=["two hours fast", "an hour slow", "54 minutes slow"])
def test_client_report_of_another_clock(project, ahead, corrected):
    """§5.4 holds for reports: by `sent_at` they count when they were written, however wrong the sender's clock is."""
    now = time.time()
    hour = now - now % 3600 - 3600
    accepted_without_id(project.post(wire.envelope({"sent_at": iso(now + ahead)}, report(("queue_overflow", "error", 3), timestamp=hour + 1800 + ahead))))
    wait_totals(project, {("error", "client_discard", "queue_overflow"): 3})
    point, = project.api.read(project.path + "/outcomes", params={"hours": 24, "interval": "hour"})["series"]
    assert (seconds(point["time"]), point["quantity"]) == (hour if corrected else hour - 3600, 3)


@pytest.mark.parametrize("payload", [b"no JSON", b"[]", b"3"])
def test_broken_client_report(project, payload):
    assert project.post(wire.envelope({}, wire.item("client_report", payload))).status_code == 400
    event = wire.error_event()
    accepted(project.post(wire.envelope({}, wire.item("client_report", payload), wire.item("event", event))))
    wait_totals(project, {("error", "accepted", ""): 1, ("default", "invalid", "invalid_json"): 2})


def test_odd_numbers_in_a_client_report(project):
    entries = [("queue_overflow", "error", quantity) for quantity in (0, -5, 10**30, "3", None, True, 2.0)] + [(None, "error", 1), ("queue_overflow", None, 1)]
    accepted_without_id(project.post(wire.envelope({}, report(*entries, filtered_events="none", rate_limited_events={"a": 1}))))
    wait_totals(project, {("error", "client_discard", "queue_overflow"): 2, ("error", "client_discard", "other"): 1})


def accepted_without_id(answer):
    assert (answer.status_code, answer.json()) == (200, {}), answer.text


# ---- what is not taken

def test_refusals_and_drops_are_told(project):
    """The answer to "why did my event not arrive?": reason, SDK, size and time, the newest first."""
    event_id, body = wire.raw_event_envelope(b"{ no JSON")
    assert project.post(body).status_code == 400
    large = wire.error_event(extra={"x": "y" * (2 << 20)})
    small = wire.error_event()
    accepted(project.post(wire.envelope({"event_id": small["event_id"]}, wire.item("event", small), wire.item("event", large))))
    wait_totals(project, {("error", "invalid", "invalid_json"): 1, ("error", "accepted", ""): 1, ("error", "invalid", "too_large:event"): 1})
    newest, oldest = project.api.read(project.path + "/delivery")["items"]
    assert (newest["reason"], newest["outcome"], newest["category"], newest["sdk"], newest["quantity"]) == ("too_large:event", "invalid", "error", "e2e/1", 1)
    assert newest["bytes"] > 2 << 20 and uuid.UUID(newest["event_id"]).hex == small["event_id"]
    assert (oldest["reason"], oldest["bytes"]) == ("invalid_json", len(b"{ no JSON")) and oldest["time"] <= newest["time"]
    assert uuid.UUID(oldest["event_id"]).hex == event_id


def test_the_sdk_of_a_query_is_told_as_it_calls_itself(project):
    """§1.4 form 4: browsers send it percent-encoded; zero bytes are nothing that the database could keep."""
    query = f"?sentry_version=7&sentry_key={project.key}&sentry_client="
    for client in ("sentry.javascript.browser%2F11.12.0", "a%00b"):
        assert project.post(wire.raw_event_envelope(b"{ no JSON")[1], auth=False, query=query + client).status_code == 400
    until(lambda: sorted(case["sdk"] for case in project.api.read(project.path + "/delivery")["items"]) == ["a_b", "sentry.javascript.browser/11.12.0"],
          lambda: project.api.read(project.path + "/delivery"))


@pytest.mark.parametrize("way", ["tunnel", "dsn", "key without a client", "key"])
@pytest.mark.parametrize("attached", [0, 1])
def test_the_sdk_of_an_envelope(project, way, attached):
    """§2.2: who says nothing of itself in headers or query is called what the envelope's header calls it. With a file it is read elsewhere."""
    sdk = {"name": "sentry.javascript.browser", "version": "11.12.0"}
    body = wire.envelope({"dsn": project.dsn, "sdk": sdk}, wire.item("event", b"{ no JSON"), *[wire.item("attachment", b"x")] * attached)
    how = {"tunnel": {"path": "/tunnel/"}, "dsn": {}, "key without a client": {"query": f"?sentry_key={project.key}"},
           "key": {"query": f"?sentry_key={project.key}&sentry_client=e2e%2F2"}}[way]
    assert project.post(body, auth=False, **how).status_code == (200 if attached else 400)
    case, = until(lambda: project.api.read(project.path + "/delivery")["items"], "nothing is told")
    assert (case["reason"], case["sdk"]) == ("invalid_json", "e2e/2" if way == "key" else "sentry.javascript.browser/11.12.0")


@pytest.mark.parametrize("sdk, told", [({"name": "n" * 99, "version": "1"}, "n" * 64), ({"name": "n" * 60, "version": "1.2.3.4"}, "n" * 60 + "/1.2"),
                                       ({"name": "a\nb\0", "version": 7}, "a_b\ufffd/7"), ({"version": "1"}, ""), ({"name": ["a"]}, ""), ("a", "")])
def test_what_an_envelope_may_call_itself(project, sdk, told):
    assert project.post(wire.envelope({"dsn": project.dsn, "sdk": sdk}, wire.item("event", b"{ no JSON")), auth=False).status_code == 400
    case, = until(lambda: project.api.read(project.path + "/delivery")["items"], "nothing is told")
    assert case["sdk"] == told


def test_only_the_last_refusals_are_kept(project, picket):
    """200 of a project; of a flood some are told every two seconds, and all are counted."""
    picket.sql("INSERT INTO outcome_cases (project_id, at, category, outcome, reason, key_id, quantity, bytes, client) "
               "SELECT %s, now() - n * interval '1 minute', 0, 3, 'old', 0, 1, 1, '' FROM generate_series(1, 250) n", project.id)
    for _ in range(50):
        assert project.post(wire.raw_event_envelope(b"{ no JSON")[1]).status_code == 400
    wait_totals(project, {("error", "invalid", "invalid_json"): 50})
    told = [case["reason"] for case in project.api.read(project.path + "/delivery")["items"]]
    new = told.count("invalid_json")
    assert len(told) == 200 and 20 <= new <= 50 and told[:new] == ["invalid_json"] * new
    assert picket.sql("SELECT count(*) FROM outcome_cases WHERE project_id = %s", project.id) == [(200,)]


def test_the_newest_are_told_and_floods_hide_nobody(make_picket):
    """Between two accounts (here: one minute, ended by the stop) there is room for 200: of each flood the newest 20, and who has one refusal has a place."""
    picket = make_picket(OUTCOMES_EVERY_MS=60000).start()
    floods, quiet = [picket.new_project() for _ in range(12)], picket.new_project()

    def refuse(project, size):
        assert project.post(wire.raw_event_envelope(b"{" + b"x" * size)[1]).status_code == 400
    for size in range(1, 24):
        for project in floods:
            refuse(project, size)
    refuse(quiet, 7)
    for project in floods:
        refuse(project, 24)
    picket.stop()
    picket.start()
    until(lambda: [totals(project).get(("error", "invalid", "invalid_json")) for project in (*floods, quiet)] == [24] * 12 + [1], lambda: totals(quiet))
    told = [[case["bytes"] for case in project.api.read(project.path + "/delivery")["items"]] for project in (*floods, quiet)]
    assert told.pop() == [8] and 170 <= sum(map(len, told)) <= 199
    for sizes in told:
        assert 5 <= len(sizes) <= 20 and sizes[0] == 25 and sizes == sorted(sizes, reverse=True), sizes


def test_what_is_not_stored(project):
    items = [wire.item(kind, {"items": []}) for kind in ("transaction", "log", "log", "replay_event", "nonsense")]
    assert project.post(wire.envelope({}, *items)).status_code == 200
    wait_totals(project, {("transaction", "filtered", "not_stored"): 1, ("span", "filtered", "not_stored"): 1, ("log_item", "filtered", "not_stored"): 2,
                          ("log_byte", "filtered", "not_stored"): 2 * len(b'{"items":[]}'), ("replay", "filtered", "not_stored"): 1,
                          ("default", "filtered", "not_stored"): 1})
    assert project.api.read(project.path + "/delivery")["items"] == []


def test_requests_of_nobody_count_for_nobody(project):
    """Without a good key nothing is counted for the project: anybody could fill its account."""
    wrong = {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={uuid.uuid4().hex}"}
    assert project.post(wire.event_envelope(wire.error_event()), headers=wrong, auth=False).status_code == 403
    assert project.post(wire.event_envelope(wire.error_event()), auth=False).status_code == 401
    project.send(wire.error_event())
    wait_totals(project, {("error", "accepted", ""): 1})


# ---- it adds up

def random_item(chance):
    """An item, and what it is to be counted as; None: by its contents."""
    kind = chance.choice(["event", "event", "event", "broken", "large", "transaction", "session", "sessions", "feedback", "user_report", "report",
                          "unknown", "csp", "early_feedback", "attachment", "form_data", "check_in"])
    now = time.time()
    if kind == "event":
        return wire.item("event", wire.error_event(value=f"error {chance.randrange(5)}")), 1
    if kind == "broken":
        return wire.item(chance.choice(["event", "session", "sessions", "feedback", "check_in"]), b"{ no JSON"), 1
    if kind == "check_in":  # none that fails: that would make an event
        return wire.item("check_in", {"monitor_slug": chance.choice(["a", "b", ""]), "status": chance.choice(["ok", "in_progress"]),
                                      "check_in_id": chance.choice([None, uuid.uuid4().hex]),
                                      **chance.choice([{}, {"monitor_config": {"schedule": {"type": "interval", "value": 1, "unit": chance.choice(["day", "eon"])}}}])}), 1
    if kind == "large":
        return wire.item("event", wire.error_event(extra={"x": "y" * (1 << 20)})), 1
    if kind == "transaction":
        name = chance.choice(["transaction", "span", "log", "profile"])
        spans = [{}] * chance.randrange(3) if name == "transaction" else []
        return wire.item(name, {"spans": spans} if spans else {}), {"log": 3, "transaction": 2 + len(spans)}.get(name, 1)  # logs by their bytes, too
    if kind == "session":
        return wire.item("session", {"sid": str(uuid.uuid4()), "init": True, "started": now, "status": "ok", "attrs": {"release": chance.choice(["a@1", "", "latest"])}}), 1
    if kind == "sessions":
        n = chance.randrange(1, 5)
        return wire.item("sessions", {"aggregates": [{"started": now, "exited": 2}] * n, "attrs": {"release": "a@1"}}), n
    if kind == "feedback":
        return wire.item("feedback", {"contexts": {"feedback": {"message": chance.choice(["hm", ""])}}}), 1
    if kind == "user_report":
        return wire.item("user_report", {"event_id": uuid.uuid4().hex, "comments": "hm"}), 1
    if kind == "report":
        n = chance.randrange(1, 20)
        return report(("queue_overflow", "error", n)), n
    if kind == "csp":
        reports = [chance.choice([{"csp-report": {"effective-directive": "img-src", "blocked-uri": chance.choice(["data", "chrome-extension", "https://a.b"])}},
                                  {"csp-report": 1}, {"type": "crash"}, {"csp-report": {}}]) for _ in range(chance.randrange(1, 6))]
        return wire.item("raw_security", reports), len(reports)
    if kind == "early_feedback":
        return wire.item("event", {"contexts": {"feedback": {"message": chance.choice(["hm", ""])}}}), 1
    if kind == "attachment":  # their bytes, and their number
        n = chance.randrange(0, 1000)
        return wire.item("attachment", chance.randbytes(n), content_type=chance.choice(["text/plain", "application/vnd.sentry.attachment-ref+json"])), n + 1
    if kind == "form_data":  # by number: they become part of an event, or are nobody's
        return wire.item("form_data", chance.choice([[["a", "b"], ["password", "hunter2"]], [["a"]], [], 7])), 1
    return wire.item("nonsense", {}), 1


def random_envelope(chance):
    items = [random_item(chance) for _ in range(chance.randrange(1, 8))]
    return wire.envelope({}, *(body for body, _ in items)), sum(n for _, n in items)


QUOTAS = {"error": {"minute": 15, "hour": 20}, "session": {"hour": 15}, "feedback": {"hour": 4}, "attachment": {"hour": 150}}


def wait_quotas(project):
    """Until the door knows them: how many feedbacks that took."""
    n = 0

    def is_limited():
        nonlocal n
        n += 1
        return project.post(wire.envelope({}, wire.item("feedback", {"contexts": {"feedback": {"message": "hm"}}}))).status_code == 429
    until(is_limited, "the quotas are not known", 5)
    return n


@pytest.mark.parametrize("seed, quotas", [(0, {}), (1, {}), (2, {}), (3, QUOTAS), (4, QUOTAS)])
def test_the_sums_add_up(picket, project, seed, quotas):
    """Random traffic, also beyond quotas, and what is refused unread: the sum of outcomes is the sum of items, whatever the answer was."""
    chance = random.Random(seed)
    assert project.api.patch(project.path, json={"quotas": quotas}).status_code == 200
    sent, statuses = wait_quotas(project) if quotas else 0, set()
    for _ in range(60):
        body, n = random_envelope(chance)
        answer = project.post(body)
        assert answer.status_code in ((200, 400, 413, 429) if quotas else (200, 400, 413)), answer.text
        sent += n
        statuses.add(answer.status_code)
        if chance.random() < 0.1:  # counts as one of what it would have brought, whatever its size
            assert post_head(project, [("Content-Length", 10 ** 12)]) == 413
            sent += 1

    def is_all_told():
        picket.sql("UPDATE monitor_waiting SET received_at = now() - interval '1 hour' WHERE project_id = %s", project.id)  # they wait for a monitor
        return sum(totals(project).values()) == sent
    until(is_all_told, lambda: f"{totals(project)}: {sum(totals(project).values())}, {sent} sent", 30, pause=0.1)
    limited = {name[0]: n for name, n in totals(project).items() if name[1] == "rate_limited"}
    assert set(limited) >= set(quotas) and (429 in statuses) == bool(quotas), totals(project)


def forget_cursor(picket):
    """As when it was killed before it noted how far it was: what is stored comes again."""
    for name in ("cursor", "cursor.kept"):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(picket.settings["DATA_DIR"], "spool", name))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_accounts_outlive_the_server(make_picket, end):
    """SIGTERM: everything is counted. kill -9: what was accepted is counted, and once; only refusals of the last seconds may be missing."""
    picket = make_picket().start()
    project = picket.new_project()
    for i in range(50):
        project.send(wire.error_event(), wire.error_event(value=f"{i % 3}"))
        accepted_without_id(project.post(wire.envelope({}, report(("queue_overflow", "error", 1)))))
        assert project.post(wire.raw_event_envelope(b"{ no JSON")[1]).status_code == 400
    if end == "kill":
        project.wait_count(100)
        picket.kill()
        forget_cursor(picket)
    else:
        picket.stop()
    picket.start()
    project.wait_count(100)
    wanted = {("error", "accepted", ""): 100, ("error", "client_discard", "queue_overflow"): 50}
    if end == "stop":
        wait_totals(project, {**wanted, ("error", "invalid", "invalid_json"): 50})
    else:
        project.drain()
        found = totals(project)
        refused = found.pop(("error", "invalid", "invalid_json"), 0)
        assert found == wanted and refused <= 50 and project.count() == 100, (found, refused)
