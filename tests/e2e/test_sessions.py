"""Release health (protocol §7.1, §10.4 test_session): updates in any order, aggregates, what is dropped, distinct users, crash-free rates."""
import itertools
import json
import time
import uuid

import pytest

import wire
from test_normalisation import iso, seconds
from test_outcomes import forget_cursor, totals, wait_totals
from waiting import until


def update(sid, status="ok", release="app@1.0", environment="production", **fields):
    return wire.item("session", {"sid": sid, "started": fields.pop("started", time.time()), "status": status,
                                 "attrs": {"release": release, "environment": environment}, **fields})


def send(project, *items):
    answer = project.post(wire.envelope({}, *items))
    assert (answer.status_code, answer.json()) == (200, {}), answer.text


def health(project, **query):
    return project.api.read(project.path + "/sessions", params=query)


def counts(project, release="app@1.0"):
    """Sessions of a release, without zeros."""
    for item in health(project)["items"]:
        if item["release"] == release:
            return {name: n for name, n in item["sessions"].items() if n}
    return {}


def wait_counts(project, **wanted):
    until(lambda: counts(project) == wanted, lambda: f"{counts(project)}, wanted {wanted}", 20)


def new_sid():
    return str(uuid.uuid4())


def test_a_session_that_ends(project):
    sid = new_sid()
    send(project, update(sid, init=True))
    wait_counts(project, total=1, healthy=1)
    send(project, update(sid, "exited", duration=3.5))
    wait_counts(project, total=1, healthy=1, exited=1)


LIFE = [{"init": True, "seq": 0}, {"errors": 1, "seq": 1}, {"errors": 2, "seq": 2}, {"status": "crashed", "errors": 3, "seq": 3}]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_updates_in_any_order(project, order, together):
    """sdk-observed: an update may arrive before its `init`. Whatever the order, it is one session, and it crashed."""
    sid = new_sid()
    items = [update(sid, **LIFE[i]) for i in order]
    if together:
        send(project, *items)
    else:
        for item in items:
            send(project, item)
    wait_counts(project, total=1, crashed=1)
    until(lambda: totals(project).get(("session", "accepted", "")) == 4, lambda: totals(project))
    assert counts(project) == {"total": 1, "crashed": 1}


def test_after_its_end_nothing_changes(project):
    """Rule 5."""
    sid = new_sid()
    send(project, update(sid, init=True))
    send(project, update(sid, "exited", seq=1))
    wait_counts(project, total=1, healthy=1, exited=1)
    send(project, update(sid, "crashed", errors=1, seq=2), update(sid, "ok", errors=1, seq=3))
    until(lambda: totals(project).get(("session", "accepted", "")) == 4, lambda: totals(project))
    assert counts(project) == {"total": 1, "healthy": 1, "exited": 1}


@pytest.mark.parametrize("status, counted", [("crashed", "crashed"), ("abnormal", "abnormal"), ("unhandled", "unhandled"), ("errored", "errored")])
def test_each_end(project, status, counted):
    send(project, update(new_sid(), status, init=True), update(new_sid(), init=True))
    wait_counts(project, total=2, healthy=1, **{counted: 1})


def test_updates_without_init_are_no_new_sessions(project):
    """Rule 2."""
    send(project, update(new_sid(), "crashed"))
    wait_counts(project, crashed=1)


def test_aggregates(project):
    """Counts may be missing; errored ones are told apart from those that ended worse."""
    now = time.time()
    send(project, wire.item("sessions", {"aggregates": [
        {"started": now, "exited": 10, "errored": 3, "crashed": 2, "abnormal": 1},
        {"started": now - 60, "exited": 5, "did": "u1"}, {"started": now, "crashed": 1, "did": "u2"}, {"started": now, "did": "u1", "errored": 1}],
        "attrs": {"release": "app@1.0", "environment": "production"}}))
    wait_counts(project, total=23, healthy=15, exited=15, errored=4, crashed=3, abnormal=1)
    item, = health(project)["items"]
    assert item["users"] == {"total": 2, "crashed": 1} and item["crash_free_users"] == 0.5
    assert abs(item["crash_free_sessions"] - 20 / 23) < 1e-9
    wait_totals(project, {("session", "accepted", ""): 4})


@pytest.mark.parametrize("late, surplus", [(0, 0), (0, 1), (3, 2)])
def test_as_many_aggregates_as_count(project, late, surplus):
    """1000 of an item: what is beyond is told as such, and not as of another time."""
    now = time.time()
    aggregates = [{"started": now - 6 * 86400, "exited": 1}] * late + [{"started": now, "exited": 1}] * (1000 + surplus)
    send(project, wire.item("sessions", {"aggregates": aggregates, "attrs": {"release": "app@1.0"}}))
    wanted = {("session", "accepted", ""): 1000, ("session", "invalid", "timestamp"): late, ("session", "invalid", "too_many_items"): surplus}
    wait_totals(project, {name: n for name, n in wanted.items() if n})
    assert counts(project) == {"total": 1000, "healthy": 1000, "exited": 1000}


def test_releases_environments_and_time(project):
    send(project, update(new_sid(), release="a@1", environment="production", init=True), update(new_sid(), release="a@1", environment="", init=True),
         update(new_sid(), "crashed", release="a@2", environment="production", init=True, started=time.time() - 7200))
    until(lambda: len(health(project)["items"]) == 3, lambda: health(project))
    assert [item["sessions"]["total"] for item in health(project, release="a@1", environment="production")["items"]] == [1]
    assert len(health(project, release="a@1")["items"]) == 2
    series = health(project, hours=24, interval="hour")["series"]
    assert [(point["sessions"]["total"], point["sessions"]["crashed"]) for point in series] == [(1, 1), (2, 0)]
    assert sum(point["sessions"]["total"] for point in health(project, hours=720)["series"]) == 3
    assert health(project, release="nothing")["items"] == []


def test_users_by_time(project):
    """§7.1: distinct ones of each hour, of all releases or of one; whoever crashed once did."""
    earlier = time.time() - 7200
    send(project, *(update(new_sid(), status, release=release, init=True, did=did, started=started) for status, release, did, started in [
        ("exited", "a@1", "ada", earlier), ("crashed", "a@1", "ada", earlier), ("exited", "a@2", "ada", earlier), ("exited", "a@1", "bob", earlier),
        ("exited", "a@1", "ada", time.time()), ("exited", "a@1", None, time.time())]))
    until(lambda: sum(point["sessions"]["total"] for point in health(project, hours=24, interval="hour")["series"]) == 6, lambda: health(project))

    def users(**query):
        return [(point["users"]["total"], point["users"]["crashed"], point["crash_free_users"]) for point in health(project, hours=24, interval="hour", **query)["series"]]
    assert users() == [(2, 1, 0.5), (1, 0, 1)] and users(release="a@2") == [(1, 0, 1)]
    assert {item["release"]: item["users"]["total"] for item in health(project)["items"]} == {"a@1": 2, "a@2": 1}


@pytest.mark.parametrize("ahead, corrected", [(7200, True), (-3600, True), (-3240, False)], ids=["two hours fast", "an hour slow", "54 minutes slow"])
def test_another_clock(project, ahead, corrected):
    """§5.4 holds for sessions: by `sent_at` each counts in the hour in which it began, however wrong the sender's clock is."""
    now = time.time()
    hour = now - now % 3600 - 3600
    began = hour + 1800 + ahead
    aggregates = {"aggregates": [{"started": began, "exited": 3}], "attrs": {"release": "app@1.0", "environment": "production"}}
    answer = project.post(wire.envelope({"sent_at": iso(now + ahead)}, update(new_sid(), "exited", init=True, started=began), wire.item("sessions", aggregates)))
    assert answer.status_code == 200, answer.text
    wait_totals(project, {("session", "accepted", ""): 2})
    wait_counts(project, total=4, healthy=4, exited=4)
    point, = [point for point in health(project, hours=24, interval="hour")["series"] if point["sessions"]["total"]]
    assert seconds(point["time"]) == (hour if corrected else hour - 3600)


@pytest.mark.parametrize("fields, reason", [({"started": -6 * 86400}, "timestamp"), ({"started": "soon"}, "timestamp"), ({"started": None}, "timestamp"),
                                            ({"started": 86400}, "timestamp"), ({"release": ""}, "no_release"), ({"release": "latest"}, "no_release"),
                                            ({"release": "a\nb"}, "no_release"), ({"release": None}, "no_release"), ({"release": ["7"]}, "no_release")])
def test_dropped(project, fields, reason):
    """Rule 1."""
    if isinstance(fields.get("started"), int):
        fields = {"started": time.time() + fields["started"]}
    send(project, update(new_sid(), init=True, **fields))
    wait_totals(project, {("session", "invalid", reason): 1})
    assert health(project)["items"] == []


@pytest.mark.parametrize("payload", [{"sid": 7, "did": 3, "seq": "x", "errors": "many", "init": "yes", "status": 5, "duration": []},
                                     {"did": "\u0000\ud800 name", "sid": "no id", "init": True}])
def test_odd_updates(project, payload):
    """Whatever stands in the other members, it is a session."""
    send(project, wire.item("session", {**payload, "started": time.time(), "attrs": {"release": "app@1.0", "environment": {"a": 1}}}))
    wait_totals(project, {("session", "accepted", ""): 1})


def test_users_are_hashed(project, picket):
    """Rule 7: what the SDK sent stands nowhere, and the same user of another project is another."""
    other = picket.new_project()
    for each in (project, other):
        send(each, update(new_sid(), init=True, did="somebody@example.com"))
        until(lambda one=each: health(one)["items"], "no session")
    rows = picket.sql("SELECT user_hash FROM release_users WHERE project_id IN (%s, %s)", project.id, other.id)
    assert len(rows) == 2 and rows[0] != rows[1]


def test_many_at_once(make_picket):
    """Four digest workers: each session is counted once, whichever worker has which of its updates."""
    picket = make_picket(DIGEST_WORKERS=4).start()
    project = picket.new_project()
    sids = [new_sid() for _ in range(40)]
    for life in LIFE:
        for sid in sids:
            send(project, update(sid, did=f"user of {sid}", **life))
    until(lambda: counts(project) == {"total": 40, "crashed": 40}, lambda: counts(project), 30)
    item, = health(project)["items"]
    assert item["users"] == {"total": 40, "crashed": 40} and item["crash_free_sessions"] == 0


def test_reports_of_the_release_before(picket, project):
    """Each session says its release and environment, and each count also where it is none."""
    session = {"release": "old@1", "environment": "test", "at": int(time.time()), "user": str(uuid.uuid4()), "total": 3, "exited": 2, "errored": 1, "abnormal": 0,
               "unhandled": 0, "crashed": 1}
    update_of_it = {**session, "sid": new_sid(), "seq": 1, "user": None, "total": 1, "exited": 0}
    picket.sql("SELECT digest_store_sessions(ARRAY[%s::int, NULL], ARRAY[%s::jsonb, %s::jsonb])", project.id, json.dumps({"sessions": [session, update_of_it]}),
               json.dumps({"sessions": [session]}))
    assert counts(project, "old@1") == {"total": 4, "exited": 2, "crashed": 2, "healthy": 2}
    assert health(project)["items"][0]["environment"] == "test" and health(project)["items"][0]["users"]["total"] == 1


# ---- the end

END = {"exited": {"status": "exited", "seq": 2}, "crashed": {"status": "crashed", "errors": 1, "seq": 2}, "abnormal": {"status": "abnormal", "seq": 2},
       "unhandled": {"status": "unhandled", "seq": 2}}
BEHIND = {"crashed": {"status": "crashed", "errors": 1, "seq": 3}, "errored": {"errors": 2, "seq": 3}, "exited": {"status": "exited", "seq": 3},
          "abnormal": {"status": "abnormal", "seq": 3}}
ENDS = [("exited", "crashed"), ("exited", "errored"), ("exited", "abnormal"), ("crashed", "exited"), ("crashed", "abnormal"), ("abnormal", "crashed"),
        ("unhandled", "exited")]
ORDERS = list(itertools.permutations(range(3)))
SPLITS = {"one": [3], "first apart": [1, 2], "last apart": [2, 1], "all apart": [1, 1, 1]}


def of_end(status):
    return {"total": 1, "healthy": 1, "exited": 1} if status == "exited" else {"total": 1, status: 1}


def health_of(project, release="app@1.0"):
    item, = [item for item in health(project)["items"] if item["release"] == release]
    return {n: c for n, c in item["sessions"].items() if c}, item["users"], item["crash_free_sessions"], item["crash_free_users"]


def wait_taken(project, n):
    until(lambda: totals(project).get(("session", "accepted", "")) == n, lambda: totals(project))


@pytest.mark.parametrize("end, behind", ENDS)
def test_what_is_behind_the_end(picket, end, behind):
    """Rule 5, by `seq`: in whatever order the updates come, in one envelope or several, in one batch or one each. With users and without: each is a release's."""
    project = picket.new_project()
    sessions = {f"{split} {order} {did} {wait}": (SPLITS[split], [[{"init": True}, END[end], BEHIND[behind]][i] for i in order], did, wait)
                for split in SPLITS for order in ORDERS for did in (None, "ada") for wait in (False, True) if split != "one" or not wait}
    sids = {name: new_sid() for name in sessions}
    lines = {name: f"r{n}@1" for n, name in enumerate(sessions)}
    sent = 0
    for part in range(3):
        for wait in (False, True):
            for name, (sizes, life, did, waits) in sessions.items():
                if waits == wait and part < len(sizes):
                    first = sum(sizes[:part])
                    updates = life[first:first + sizes[part]]
                    send(project, *(update(sids[name], release=lines[name], **({"did": did} if did else {}), **fields) for fields in updates))
                    sent += len(updates)
            if wait:  # what is sent next is of another batch
                wait_taken(project, sent)
    wrong = {}
    for name, (_, _, did, _) in sessions.items():
        free = 0 if end == "crashed" else 1
        users = {"total": 1, "crashed": 1 - free} if did else {"total": 0, "crashed": 0}
        wanted = (of_end(end), users, free, free if did else None)
        if health_of(project, lines[name]) != wanted:
            wrong[name] = health_of(project, lines[name])
    assert not wrong, (len(wrong), wrong)


def test_an_earlier_end_that_comes_late(project):
    """What a later one counted is taken back, from users too; not what their other sessions and aggregates counted."""
    crashed, other = new_sid(), new_sid()
    began = time.time()
    send(project, update(crashed, init=True, did="ada", started=began), update(crashed, "crashed", seq=3, did="ada", started=began),
         update(other, "crashed", init=True, did="bob", started=began),
         wire.item("sessions", {"aggregates": [{"started": began, "crashed": 1, "did": "eve"}], "attrs": {"release": "app@1.0", "environment": "production"}}))
    wait_taken(project, 4)
    assert health_of(project) == ({"total": 3, "crashed": 3}, {"total": 3, "crashed": 3}, 0, 0)
    late = new_sid()
    send(project, update(crashed, "exited", seq=2, did="ada", started=began), update(late, init=True, did="bob", started=began),
         update(late, "crashed", seq=3, did="bob", started=began))
    wait_taken(project, 7)
    assert health_of(project) == ({"total": 4, "healthy": 1, "exited": 1, "crashed": 3}, {"total": 3, "crashed": 2}, 0.25, 1 / 3)
    send(project, update(late, "exited", seq=2, did="bob", started=began))  # bob's other session crashed all the same
    wait_taken(project, 8)
    assert health_of(project) == ({"total": 4, "healthy": 2, "exited": 2, "crashed": 2}, {"total": 3, "crashed": 2}, 0.5, 1 / 3)


def test_repeated_updates(project):
    """An SDK that heard no answer sends again: equal updates are one, whatever came between them."""
    sid = new_sid()
    life = [{"init": True}, {"errors": 1, "seq": 1}, {"status": "exited", "seq": 2}, {"status": "crashed", "seq": 3}]
    for n, fields in enumerate(life + life[::-1] + life):
        send(project, update(sid, did="ada", **fields))
        if n % 3 == 2:
            wait_taken(project, n + 1)
    wait_taken(project, 12)
    assert health_of(project) == ({"total": 1, "errored": 1, "exited": 1}, {"total": 1, "crashed": 0}, 1, 1)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_its_first_update_says_where_it_belongs(project, order, together):
    """Rule 9: release, environment, start and user are the first update's, whichever comes first."""
    now = time.time()
    life = [{"init": True, "release": "a@1", "did": "ada"}, {"release": "a@2", "did": "bob", "started": now - 7200, "seq": 1},
            {"status": "crashed", "release": "a@3", "environment": "test", "did": "eve", "seq": 2}]
    sid = new_sid()
    if together:
        send(project, *(update(sid, **life[i]) for i in order))
    for n, i in enumerate([] if together else order):
        send(project, update(sid, **life[i]))
        wait_taken(project, n + 1)
    wait_taken(project, 3)
    assert [item["release"] for item in health(project)["items"]] == ["a@1"]
    assert health_of(project, "a@1") == ({"total": 1, "crashed": 1}, {"total": 1, "crashed": 1}, 0, 0)
    assert [point["users"]["total"] for point in health(project, hours=24, interval="hour")["series"] if point["sessions"]["total"]] == [1]


def test_of_a_session_of_the_release_before(picket, project):
    """It did not note when its session ended: what it counted stays."""
    sid, user, now = new_sid(), str(uuid.uuid4()), time.time()
    picket.sql("INSERT INTO session_states VALUES (%s, %s, 'app@1.0', 'production', to_timestamp(%s), true, true, 2, now())", project.id, sid, now)
    picket.sql("INSERT INTO release_hours VALUES (%s, 'app@1.0', 'production', date_trunc('hour', to_timestamp(%s), 'UTC'), 1, 0, 1, 0, 0, 1)", project.id, now)
    picket.sql("INSERT INTO release_users VALUES (%s, 'app@1.0', 'production', date_trunc('hour', to_timestamp(%s), 'UTC'), %s, true, true)", project.id, now, user)
    send(project, update(sid, "exited", seq=1, did="ada"), update(sid, init=True, did="ada"))
    wait_taken(project, 2)
    assert health_of(project)[:2] == ({"total": 1, "crashed": 1}, {"total": 1, "crashed": 1})


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("ends", list(itertools.permutations(["exited", "crashed", "abnormal"])))
def test_ends_of_one_moment(project, ends, together):
    """Neither is behind the other: the worst counts, whichever comes first."""
    sid = new_sid()
    items = [update(sid, status, seq=2, did="ada") for status in ends]
    if together:
        send(project, update(sid, init=True), *items)
    for n, item in enumerate([] if together else [update(sid, init=True), *items]):
        send(project, item)
        wait_taken(project, n + 1)
    wait_taken(project, 4)
    assert health_of(project) == ({"total": 1, "crashed": 1}, {"total": 1, "crashed": 1}, 0, 0)


def test_ends_that_are_delivered_again(make_picket):
    """Killed before it noted how far it was: nothing is counted twice, nor taken back twice."""
    picket = make_picket(DIGEST_WORKERS=1).start()
    project = picket.new_project()
    sid = new_sid()
    for n, fields in enumerate([{"init": True}, {"status": "crashed", "seq": 3}, {"status": "exited", "seq": 2}]):
        send(project, update(sid, did="ada", **fields))
        wait_taken(project, n + 1)
    found = health_of(project)
    assert found == ({"total": 1, "healthy": 1, "exited": 1}, {"total": 1, "crashed": 0}, 1, 1)
    picket.kill()
    forget_cursor(picket)
    picket.start()
    project.settle()
    assert health_of(project) == found and totals(project)[("session", "accepted", "")] == 3


# ---- what is left out is told

def left_out(release=None, started=None, sdk="sentry.go", n=1):
    """An envelope with an item of aggregates, and its length."""
    item = wire.item("sessions", {"aggregates": [{"started": started or time.time(), "exited": 1}] * n, "attrs": {"release": release} if release else {}})
    return wire.envelope({"sdk": {"name": sdk, "version": "1.0"}} if sdk else {}, item), len(item.split(b"\n")[1])


def told(project):
    return [(case["category"], case["outcome"], case["reason"], case["quantity"], case["sdk"]) for case in project.api.read(project.path + "/delivery")["items"]]


def test_what_is_left_out_is_told(project, picket):
    """Why, how many, how large, by which key and SDK; one line for each of these, the newest first."""
    bodies = [left_out(), left_out("a@1", 1.0), left_out("a@1", n=1003), left_out(n=2)]
    reasons = {"no_release": 0, "timestamp": 0, "too_many_items": 0}
    for (body, _), (reason, n, taken) in zip(bodies, [("no_release", 1, 0), ("timestamp", 1, 0), ("too_many_items", 3, 1000), ("no_release", 2, 1000)]):
        assert project.post(body).status_code == 200
        reasons[reason] += n
        taken_before = {("session", "accepted", ""): taken} if taken else {}
        wait_totals(project, {**taken_before, **{("session", "invalid", reason): n for reason, n in reasons.items() if n}})
    sdk = "sentry.go/1.0"
    assert told(project) == [("session", "invalid", "no_release", 3, sdk), ("session", "invalid", "too_many_items", 3, sdk), ("session", "invalid", "timestamp", 1, sdk)]
    newest = project.api.read(project.path + "/delivery")["items"][0]
    ((key,),) = picket.sql("SELECT id FROM project_keys WHERE project_id = %s", project.id)
    assert (newest["bytes"], newest["key_id"], newest["event_id"]) == (bodies[3][1], key, None) and newest["time"] > wire_time(time.time() - 60)
    assert project.post(left_out(sdk=None)[0]).status_code == 200
    until(lambda: told(project)[0] == ("session", "invalid", "no_release", 1, ""), lambda: told(project))
    send(project, update(new_sid(), init=True, release=""))
    until(lambda: told(project)[0] == ("session", "invalid", "no_release", 2, ""), lambda: told(project))
    assert len(told(project)) == 4


def wire_time(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def test_many_that_are_left_out_hide_nothing(project):
    """However many batches: a refusal of before is still told, and of many SDKs there are at most the last 200 lines."""
    assert project.post(wire.raw_event_envelope(b"{ no JSON")[1]).status_code == 400
    until(lambda: told(project), "the refusal is not told")
    for n in range(300):
        assert project.post(left_out()[0]).status_code == 200
    until(lambda: totals(project).get(("session", "invalid", "no_release")) == 300, lambda: totals(project))
    assert told(project) == [("session", "invalid", "no_release", 300, "sentry.go/1.0"), ("error", "invalid", "invalid_json", 1, "e2e/1")]
    for n in range(220):
        assert project.post(left_out(sdk=f"sdk.{n}")[0]).status_code == 200
    until(lambda: totals(project).get(("session", "invalid", "no_release")) == 520, lambda: totals(project))
    assert len(told(project)) <= 200


def test_left_out_and_delivered_again(make_picket):
    """Killed before it noted how far it was: told as often as it is counted."""
    picket = make_picket(DIGEST_WORKERS=1).start()
    project = picket.new_project()
    for _ in range(3):
        assert project.post(left_out(n=2)[0]).status_code == 200
    wait_totals(project, {("session", "invalid", "no_release"): 6})
    picket.kill()
    forget_cursor(picket)
    picket.start()
    project.settle()
    assert totals(project) == {("session", "invalid", "no_release"): 6, ("error", "accepted", ""): 1}
    assert told(project) == [("session", "invalid", "no_release", 6, "sentry.go/1.0")]
