"""Cron monitors (protocol §1.6, §7.2): check-ins in every form, schedules and their time zones, missed and timed-out runs, issues that open, come
again and close, and that nobody is accused for a time when nobody listened. Time is moved by moving what is expected, behind Picket's back."""
import base64
import datetime as dt
import gzip
import itertools
import json
import os
import random
import signal
import uuid
from urllib.parse import quote
from zoneinfo import ZoneInfo

import psycopg
import pytest

import wire
from contract import check_ingest_error
from test_outcomes import totals, wait_totals
from test_quotas import set_quotas
from test_store import bare
from waiting import until

HOURLY = {"schedule": {"type": "interval", "value": 1, "unit": "hour"}}
MINUTELY = {"schedule": {"type": "interval", "value": 1, "unit": "minute"}}
UTC = dt.timezone.utc


def check_in(slug, status, config=None, **fields):
    return wire.item("check_in", {"monitor_slug": slug, "status": status, "check_in_id": uuid.uuid4().hex, **({"monitor_config": config} if config else {}), **fields})


def send(project, *items):
    """Each in an envelope of its own."""
    for item in items:
        answer = project.post(wire.envelope({}, item))
        assert (answer.status_code, answer.json()) == (200, {}), answer.text


def monitors(project, **query):
    return project.api.read(project.path + "/monitors", params=query)["items"]


def environment(project, slug, name="production"):
    answer = project.api.get(f"{project.path}/monitors/{slug}")
    found = [e for e in answer.json()["environments"] if e["name"] == name] if answer.status_code == 200 else []
    return found[0] if found else None


def check_ins(project, slug, **query):
    """The oldest first."""
    answer = project.api.get(f"{project.path}/monitors/{slug}/checkins", params=query)
    return answer.json()["items"][::-1] if answer.status_code == 200 else []


def statuses(project, slug, **query):
    return [c["status"] for c in check_ins(project, slug, **query)]


def wait_statuses(project, slug, *wanted):
    until(lambda: statuses(project, slug) == list(wanted), lambda: f"{statuses(project, slug)}, wanted {wanted}; {totals(project)}")


def instant(text):
    return dt.datetime.fromisoformat(text)


def overdue(picket, project, minutes=0, margin=1):
    """What is expected next lies so many minutes in the past, margin and the slack of monitors.c counted."""
    picket.sql("UPDATE check_ins SET started_at = started_at - interval '3 hours' WHERE project_id = %s", project.id)
    picket.sql("UPDATE monitor_environments SET next_expected_at = now() - make_interval(mins => %s, secs => 20), "
               "next_latest_at = now() - make_interval(mins => %s, secs => 20) WHERE project_id = %s", minutes + margin, minutes, project.id)


def forgive_rate(picket, project):
    """The minute's six are not used up."""
    picket.sql("UPDATE monitor_environments SET minute_count = 0 WHERE project_id = %s", project.id)


# ---- runs

def test_a_run(project):
    """sdk-observed: JavaScript sends the configuration with the start only. The duration is what lies between."""
    run = uuid.uuid4().hex
    send(project, check_in("nightly", "in_progress", {"schedule": {"type": "crontab", "value": "0 3 * * *"}, "timezone": "Europe/Berlin", "checkin_margin": 5},
                           check_in_id=run, release="shop@1.2.3", contexts={"trace": {"trace_id": "797250e4a5ea462581c0cc1a65d08bc4"}}))
    wait_statuses(project, "nightly", "in_progress")
    running, = check_ins(project, "nightly")
    assert running["ended_at"] is None and instant(running["timeout_at"]) - instant(running["started_at"]) == dt.timedelta(minutes=30)
    send(project, check_in("nightly", "ok", check_in_id=run))
    wait_statuses(project, "nightly", "ok")
    done, = check_ins(project, "nightly")
    assert (done["id"], done["started_at"], done["check_in_id"]) == (running["id"], running["started_at"], str(uuid.UUID(run)))
    assert abs((instant(done["ended_at"]) - instant(done["started_at"])).total_seconds() * 1000 - done["duration_ms"]) <= 1
    assert (done["environment"], done["release"], uuid.UUID(done["trace_id"]).hex) == ("production", "shop@1.2.3", "797250e4a5ea462581c0cc1a65d08bc4")
    monitor, = monitors(project)
    assert {k: v for k, v in monitor.items() if k not in ("environments", "created_at", "updated_at")} == {
        "slug": "nightly", "name": "nightly", "schedule": {"type": "crontab", "value": "0 3 * * *"}, "timezone": "Europe/Berlin", "checkin_margin": 5,
        "max_runtime": 30, "failure_issue_threshold": 1, "recovery_threshold": 1}
    state = environment(project, "nightly")
    assert (state["status"], state["consecutive_failures"], state["incident_started_at"]) == ("ok", 0, None)
    assert state["last_check_in_at"] == done["ended_at"]
    expected = instant(state["next_expected_at"])
    assert expected.astimezone(ZoneInfo("Europe/Berlin")).time() == dt.time(3, 0)
    assert instant(state["next_latest_at"]) - expected == dt.timedelta(minutes=5)
    wait_totals(project, {("monitor", "accepted", ""): 2})


def test_an_end_alone(project):
    """A heartbeat: nothing but its end is sent. What it took says when it began."""
    send(project, check_in("job", "ok", HOURLY, duration=90.5), check_in("job", "ok", duration=None, environment="staging"))
    until(lambda: totals(project) == {("monitor", "accepted", ""): 2}, lambda: totals(project))
    by_name = {c["environment"]: c for c in check_ins(project, "job")}
    assert by_name["production"]["duration_ms"] == 90500 and by_name["staging"]["duration_ms"] is None
    assert instant(by_name["production"]["ended_at"]) - instant(by_name["production"]["started_at"]) == dt.timedelta(seconds=90.5)
    state = environment(project, "job")
    assert instant(state["next_expected_at"]) == instant(state["last_check_in_at"]).replace(second=0, microsecond=0) + dt.timedelta(hours=1)
    assert [e["name"] for e in monitors(project)[0]["environments"]] == ["production", "staging"]
    assert statuses(project, "job", environment="staging") == ["ok"] and statuses(project, "job", environment="no\x00ne") == []


def test_the_newest_that_runs(project):
    """The nil id, and none: the newest that runs, or a new one. Of those that are stored: two workers store side by side, so each is waited for."""
    send(project, check_in("job", "in_progress", HOURLY, check_in_id="0" * 32), check_in("job", "in_progress", check_in_id=None))
    wait_statuses(project, "job", "in_progress", "in_progress")
    send(project, check_in("job", "ok", check_in_id="0" * 32))
    wait_statuses(project, "job", "in_progress", "ok")
    send(project, check_in("job", "error", check_in_id=None))
    wait_statuses(project, "job", "error", "ok")
    send(project, check_in("job", "ok", check_in_id=None))
    wait_statuses(project, "job", "error", "ok", "ok")


def test_changed_configuration(project):
    send(project, check_in("job", "ok", HOURLY))
    until(lambda: environment(project, "job"), "no monitor")
    before = instant(environment(project, "job")["next_expected_at"])
    send(project, check_in("job", "ok", {**MINUTELY, "checkin_margin": 3, "max_runtime": 7}))
    until(lambda: monitors(project)[0]["max_runtime"] == 7, lambda: monitors(project))
    state = environment(project, "job")
    assert instant(state["next_expected_at"]) < before and instant(state["next_latest_at"]) - instant(state["next_expected_at"]) == dt.timedelta(minutes=3)
    send(project, check_in("job", "ok", {"schedule": {"type": "crontab", "value": "never"}}), check_in("job", "ok", {**MINUTELY, "timezone": "Mars/Olympus"}))
    wait_totals(project, {("monitor", "accepted", ""): 4})
    assert monitors(project)[0]["schedule"] == {"type": "interval", "value": 1, "unit": "minute"} and monitors(project)[0]["timezone"] == "UTC"


# ---- what is not taken

def waiting(picket, project):
    return picket.sql("SELECT count(*) FROM monitor_waiting WHERE project_id = %s", project.id)[0][0]


def no_longer(picket, project):
    """What waits has done so for long enough."""
    picket.sql("UPDATE monitor_waiting SET received_at = received_at - interval '10 seconds' WHERE project_id = %s", project.id)


def test_before_its_monitor(project, picket):
    """Two workers, or servers: the end is stored before the start that brings the configuration."""
    run = uuid.uuid4().hex
    send(project, check_in("job", "ok", check_in_id=run), check_in("other", "ok"))
    until(lambda: waiting(picket, project) == 2, "they do not wait")
    send(project, check_in("job", "in_progress", HOURLY, check_in_id=run))
    wait_statuses(project, "job", "ok")
    assert waiting(picket, project) == 1
    no_longer(picket, project)
    wait_totals(project, {("monitor", "accepted", ""): 2, ("monitor", "invalid", "invalid_monitor"): 1})


def test_of_no_monitor(project, picket):
    """§7.2: only of a monitor that is there, or comes to be by a sound configuration. Who asks why is told."""
    header = {"sdk": {"name": "sentry.python", "version": "2.1.0"}}
    assert project.post(wire.envelope(header, check_in("nobody", "ok"))).status_code == 200
    until(lambda: waiting(picket, project) == 1, "it does not wait")
    no_longer(picket, project)
    for config in ({"schedule": {"type": "crontab", "value": "61 * * * *"}}, {**HOURLY, "timezone": "Mars/Olympus"}, {**HOURLY, "max_runtime": 0}):
        assert project.post(wire.envelope(header, check_in("new", "ok", config))).status_code == 200
    wait_totals(project, {("monitor", "invalid", "invalid_monitor"): 1, ("monitor", "invalid", "invalid_config"): 3})
    cases = project.api.read(project.path + "/delivery")["items"]
    assert [(case["category"], case["reason"]) for case in cases] == [("monitor", "invalid_config")] * 3 + [("monitor", "invalid_monitor")]
    assert {case["sdk"] for case in cases} == {"sentry.python/2.1.0"}
    assert monitors(project) == []


def test_ids_of_others_and_ends_of_ends(project):
    run = uuid.uuid4().hex
    send(project, check_in("a", "in_progress", HOURLY, check_in_id=run), check_in("b", "ok", HOURLY))
    wait_statuses(project, "a", "in_progress")
    wait_statuses(project, "b", "ok")
    send(project, check_in("b", "ok", check_in_id=run), check_in("a", "ok", check_in_id=run, environment="staging"))
    wait_totals(project, {("monitor", "accepted", ""): 2, ("monitor", "invalid", "wrong_monitor"): 2})
    send(project, check_in("a", "ok", check_in_id=run))
    wait_statuses(project, "a", "ok")
    send(project, check_in("a", "ok", check_in_id=run), check_in("a", "error", check_in_id=run), check_in("a", "in_progress", check_in_id=run))
    wait_totals(project, {("monitor", "accepted", ""): 4, ("monitor", "invalid", "wrong_monitor"): 2, ("monitor", "invalid", "duplicate"): 1,
                          ("monitor", "invalid", "check_in_finished"): 1})
    assert statuses(project, "a") == ["ok"]


def test_six_a_minute(project):
    """Of an environment; never a 429."""
    send(project, check_in("job", "ok", HOURLY))
    until(lambda: totals(project).get(("monitor", "accepted", "")) == 1, lambda: totals(project))
    for _ in range(13):  # a minute may end meanwhile: of thirteen one has seven
        assert bare(project, "GET", f"/api/{project.id}/cron/job/{project.key}?status=ok").status_code == 202
    send(project, check_in("job", "ok", environment="other"))
    until(lambda: sum(totals(project).values()) == 15, lambda: totals(project))
    seen = totals(project)
    assert set(seen) == {("monitor", "accepted", ""), ("monitor", "rate_limited", "monitor_rate")} and 7 <= seen[("monitor", "accepted", "")] <= 13


def test_bounds(project, picket):
    """A thousand monitors of a project, a hundred environments of a monitor: what is beyond them is counted."""
    send(project, check_in("first", "ok", HOURLY))
    until(lambda: environment(project, "first"), "no monitor")
    picket.sql("INSERT INTO monitors (project_id, slug, name, config, created_at, updated_at) "
               "SELECT project_id, 'm' || n, '', config, now(), now() FROM monitors, generate_series(1, 999) n WHERE project_id = %s", project.id)
    picket.sql("INSERT INTO monitor_environments (project_id, monitor_id, name) "
               "SELECT project_id, id, 'e' || n FROM monitors, generate_series(1, 99) n WHERE project_id = %s AND slug = 'first'", project.id)
    send(project, check_in("one-more", "ok", HOURLY), check_in("first", "ok", environment="one more"), check_in("first", "ok", environment="e7"), check_in("m7", "ok"))
    wait_totals(project, {("monitor", "accepted", ""): 3, ("monitor", "invalid", "monitor_limit"): 1, ("monitor", "invalid", "environment_limit"): 1})
    page = project.api.read(project.path + "/monitors", params={"per_page": 100, "page": 10})
    assert (page["total_count"], page["total_pages"], len(page["items"])) == (1000, 10, 100)
    assert len(project.api.read(project.path + "/monitors/first")["environments"]) == 100


def test_envelopes(project):
    """§2.5, §10.3: one check-in of an envelope, of at most 100 KiB; a broken one costs no sibling."""
    event = wire.error_event()
    answer = project.post(wire.envelope({"event_id": event["event_id"]}, check_in("job", "ok", HOURLY), check_in("job", "error"), wire.item("event", event)))
    assert answer.status_code == 200
    assert project.post(wire.envelope({}, check_in("job", "ok", filling="x" * (100 << 10)))).status_code == 413
    assert project.post(wire.envelope({}, check_in("job", "ok", filling="x" * (99 << 10)))).status_code == 200
    for broken in (b"{", b"[]", b'{"monitor_slug":"job"}', b'{"monitor_slug":"job","status":"missed"}', b'{"monitor_slug":"","status":"ok"}'):
        assert project.post(wire.envelope({}, wire.item("check_in", broken))).status_code == 400
    assert project.post(wire.envelope({}, wire.item("check_in", b"{"), check_in("job", "ok"))).status_code == 200
    wait_totals(project, {("error", "accepted", ""): 1, ("monitor", "accepted", ""): 3, ("monitor", "invalid", "duplicate_item"): 1,
                          ("monitor", "invalid", "too_large:check_in"): 1, ("monitor", "invalid", "invalid_json"): 3,
                          ("monitor", "invalid", "bad_check_in"): 3})


# ---- /cron/ (§1.6, §10.4 test_monitors)

FORMS = {"key in the path": ("/{key}", "", {}), "query": ("", "&sentry_key={key}", {}), "X-Sentry-Auth": ("", "", {"X-Sentry-Auth": "Sentry sentry_key={key}"}),
         "Basic": ("", "", {"Authorization": "Basic {basic}"}), "path and header": ("/{key}", "", {"X-Sentry-Auth": "Sentry sentry_key={key}"}),
         "path and a proxy's login": ("/{key}", "", {"Authorization": "Basic " + base64.b64encode(b"proxy:secret").decode()})}


def cron(project, method, form, query, slash="", path="/api/{id}/cron/{slug}", slug="job", **more):
    behind, asked, headers = FORMS[form]
    values = {"id": project.id, "slug": quote(slug), "key": project.key, "basic": base64.b64encode(f"{project.key}:".encode()).decode()}
    headers = {**{name: value.format(**values) for name, value in headers.items()}, **more.pop("headers", {})}
    return bare(project, method, (path + behind).format(**values) + slash + "?" + query + asked.format(**values), headers=headers, **more)


def test_cron_urls(project):
    """# §10.4 test_monitors: GET and POST, key in every place, with and without a slash; 202 and nothing."""
    body = {"status": "ok", "monitor_slug": "another", "monitor_config": HOURLY}
    assert cron(project, "POST", "key in the path", "", json=body).status_code == 202
    wait_statuses(project, "job", "ok")
    n = 1
    for form, method, slash in itertools.product(FORMS, ("GET", "POST"), ("", "/", "//")):
        answer = cron(project, method, form, f"status=ok&environment=e{n}&duration=1.5&check_in_id={uuid.uuid4()}", slash)
        assert (answer.status_code, answer.content) == (202, b""), (form, method, slash, answer.text)
        n += 1
    until(lambda: totals(project) == {("monitor", "accepted", ""): n}, lambda: totals(project))
    assert {c["duration_ms"] for c in check_ins(project, "job", per_page=100)} == {None, 1500}
    assert {m["slug"] for m in monitors(project)} == {"job"}


def test_cron_runs_by_url(project):
    """curl before and after a job: without ids, both are one run."""
    config = {"monitor_config": {**MINUTELY, "timezone": "Asia/Kathmandu"}, "status": "in_progress", "environment": "backup"}
    packed = gzip.compress(json.dumps(config).encode())
    assert cron(project, "POST", "Basic", "", slug="Back up, daily", data=packed,
                headers={"Content-Type": "application/json; charset=utf-8", "Content-Encoding": "gzip"}).status_code == 202
    assert cron(project, "GET", "Basic", "status=error&environment=backup&duration=", slug="back-up-daily").status_code == 202
    wait_statuses(project, "back-up-daily", "error")
    assert cron(project, "POST", "Basic", "status=nonsense", slug="back-up-daily", headers={"Content-Encoding": "gzip"}).status_code == 400
    assert [m["timezone"] for m in monitors(project)] == ["Asia/Kathmandu"]
    case, = check_ins(project, "back-up-daily")
    assert case["check_in_id"] is None and case["duration_ms"] >= 0
    wait_totals(project, {("monitor", "accepted", ""): 2, ("monitor", "invalid", "bad_check_in"): 1, ("error", "accepted", ""): 1})  # and the issue's event


def test_cron_refusals(project):
    """§4.2, §1.4."""
    json_type = {"Content-Type": "application/json"}
    wrong = uuid.uuid4().hex
    for answer, status in [
            (bare(project, "GET", f"/api/{project.id}/cron/job?status=ok"), 401), (bare(project, "GET", f"/api/{project.id}/cron/job/{wrong}?status=ok"), 403),
            (bare(project, "GET", f"/api/{project.id}/cron/job/nothex?status=ok"), 400), (bare(project, "GET", f"/api/abc/cron/job/{project.key}?status=ok"), 400),
            (bare(project, "GET", f"/api/{project.id}/cron/job/{wrong}?status=ok&sentry_key={project.key}"), 401),
            (cron(project, "GET", "key in the path", ""), 400), (cron(project, "GET", "key in the path", "status=fine"), 400),
            (cron(project, "GET", "key in the path", "status=ok&check_in_id=7"), 400), (cron(project, "GET", "key in the path", "status=ok", slug="\u2014!"), 400),
            (cron(project, "POST", "key in the path", "status=ok", data=b"{", headers=json_type), 400),
            (cron(project, "POST", "key in the path", "status=ok", data=b"[]", headers=json_type), 400),
            (cron(project, "POST", "key in the path", "", data=b'{"status":"ok","x":"' + b"x" * (100 << 10) + b'"}', headers=json_type), 413),
            (cron(project, "POST", "key in the path", "", data=gzip.compress(b'{"status":"ok","x":"' + b"x" * (1 << 20) + b'"}'),
                  headers={**json_type, "Content-Encoding": "gzip"}), 413)]:
        check_ingest_error(answer, status)
    assert bare(project, "PUT", f"/api/{project.id}/cron/job/{project.key}").status_code == 405
    until(lambda: sum(totals(project).values()) == 8, lambda: totals(project))
    assert {kind for kind, _, _ in totals(project)} == {"monitor"} and monitors(project) == []


@pytest.mark.parametrize("more, statuses_", [(0, (202, 202, 200)), (1, (413, 413, 413))])
def test_at_the_limit_and_beyond(project, more, statuses_):
    """§2.5: 100 KiB, as a body with and without the slug, and as an item."""
    def sized(**fields):
        body = {"status": "ok", **fields, "x": ""}
        body["x"] = "x" * ((100 << 10) + more - len(wire.dumps(body)))
        assert len(wire.dumps(body)) == (100 << 10) + more
        return body
    headers = {"Content-Type": "application/json"}
    config = {"monitor_config": HOURLY}
    answers = [cron(project, "POST", "key in the path", "", data=wire.dumps(sized(**config)), headers=headers),
               cron(project, "POST", "key in the path", "", data=wire.dumps(sized(monitor_slug="other", **config)), headers=headers),
               project.post(wire.envelope({}, wire.item("check_in", sized(monitor_slug="job", **config))))]
    assert tuple(answer.status_code for answer in answers) == statuses_
    wait_totals(project, {("monitor", "invalid", "too_large"): 2, ("monitor", "invalid", "too_large:check_in"): 1} if more else {("monitor", "accepted", ""): 3})


def test_cron_beyond_a_quota(project):
    """§1.6: 202, and counted as rate limited; an envelope is told."""
    set_quotas(project, monitor={"hour": 1})
    for _ in range(3):
        assert cron(project, "GET", "key in the path", "status=ok").status_code == 202
    assert project.post(wire.envelope({}, check_in("job", "ok", HOURLY))).status_code == 429
    until(lambda: sum(n for (kind, outcome, _), n in totals(project).items() if (kind, outcome) == ("monitor", "rate_limited")) == 3, lambda: totals(project))


def test_cron_cors(project):
    answer = project.api.options(f"/api/{project.id}/cron/job/{project.key}/", headers={"Authorization": None, "Origin": "https://shop.example",
                                                                                         "Access-Control-Request-Method": "POST"})
    assert answer.status_code == 200 and {"GET", "POST"} <= {m.strip() for m in answer.headers["Access-Control-Allow-Methods"].split(",")}
    answer = cron(project, "GET", "key in the path", "status=ok", headers={"Origin": "https://shop.example"})
    assert answer.status_code == 202 and answer.headers["Access-Control-Allow-Origin"] == "*"


# ---- schedules

def sets_of(expression):
    """Days of the month, … of an expression without names."""
    sets = []
    for text, (low, high) in zip(expression.split(), [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]):
        one = set()
        for part in text.split(","):
            span, _, step = part.partition("/")
            first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
            one |= set(range(int(first), int(last or first) + 1, int(step or 1)))
        sets.append(one)
    return sets


def next_run(expression, zone, after):
    """By walking through the minutes: what a cron that looks at the clock every minute would do. Fixed times run once a day, also when the clock is set."""
    minutes, hours, days, months, weekdays = sets_of(expression)
    starred = [field.startswith("*") for field in expression.split()]

    def fits(local):
        day, weekday = local.day in days, local.isoweekday() % 7 in weekdays
        return local.minute in minutes and local.hour in hours and local.month in months and (day and weekday if starred[2] or starred[4] else day or weekday)
    at, shown = after.replace(second=0, microsecond=0) - dt.timedelta(hours=26), None
    while True:
        at += dt.timedelta(minutes=1)
        local = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        first = local if starred[0] or starred[1] or shown is None else shown + dt.timedelta(minutes=1)
        n = int((local - first).total_seconds() // 60) + 1
        shown = local if shown is None else max(shown, local)
        if at > after and any(fits(first + dt.timedelta(minutes=i)) for i in range(n)):
            return at


SCHEDULES = ["30 2 * * *", "0 0 * * *", "*/20 * * * *", "15,45 1-3 * * *", "5 * * * 0", "0 1 1 * *", "* 2 * * *", "0 */2 * * *", "0 3 13 * 5", "0 3 */2 * 5"]
CLOCKS = [("Europe/Berlin", "2026-03-29T01:00Z"), ("Europe/Berlin", "2026-10-25T01:00Z"), ("America/New_York", "2026-11-01T06:00Z"),
          ("Australia/Lord_Howe", "2026-10-03T15:30Z"), ("Africa/Cairo", "2026-04-23T22:00Z"), ("America/Havana", "2026-03-08T05:00Z"),
          ("Asia/Beirut", "2026-10-24T21:00Z"), ("Pacific/Apia", "2011-12-30T10:00Z"), ("UTC", "2027-12-31T23:00Z"), ("Asia/Kathmandu", "2026-05-01T00:00Z")]


def test_next_runs(project, picket):
    """When the clock is set: against a walk through the minutes of the IANA's zones. The expressions are read by Picket, through a check-in."""
    chance = random.Random(7)
    send(project, *(check_in(f"s{i}", "ok", {"schedule": {"type": "crontab", "value": expression}}) for i, expression in enumerate(SCHEDULES)))
    until(lambda: totals(project).get(("monitor", "accepted", "")) == len(SCHEDULES), lambda: totals(project))
    configs = dict(picket.sql("SELECT slug, config FROM monitors WHERE project_id = %s", project.id))
    cases = []
    for (zone, change), (i, expression) in itertools.product(CLOCKS, enumerate(SCHEDULES)):
        if expression.startswith(("0 1 1", "0 3", "5 * * * 0")) and zone != "Europe/Berlin":
            continue  # the walk is long
        after = dt.datetime.fromisoformat(change.replace("Z", "+00:00")) + dt.timedelta(minutes=chance.randrange(-200, 100), seconds=chance.choice([0, 30]))
        cases.append((json.dumps({**configs[f"s{i}"], "timezone": zone}), after, next_run(expression, zone, after), (expression, zone)))
    got = picket.sql("SELECT monitor_next(c::jsonb, t) FROM unnest(%s::text[], %s::timestamptz[]) x(c, t)", [c[0] for c in cases], [c[1] for c in cases])
    wrong = [(*name, after.isoformat(), wanted.isoformat(), found.isoformat()) for (_, after, wanted, name), (found,) in zip(cases, got) if found != wanted]
    assert not wrong and len(cases) > 60, wrong


@pytest.mark.parametrize("schedule, zone, after, wanted", [
    ((1, "hour"), "Europe/Berlin", "2026-03-29T00:30:40+00:00", "2026-03-29T01:30:00+00:00"),
    ((1, "day"), "Europe/Berlin", "2026-03-28T08:00:00+00:00", "2026-03-29T07:00:00+00:00"),
    ((2, "week"), "UTC", "2026-01-01T00:00:00+00:00", "2026-01-15T00:00:00+00:00"), ((1, "month"), "UTC", "2026-01-31T10:00:00+00:00", "2026-02-28T10:00:00+00:00"),
    ((1, "year"), "UTC", "2028-02-29T10:00:00+00:00", "2029-02-28T10:00:00+00:00"), ((90, "minute"), "UTC", "2026-01-31T23:59:59+00:00", "2026-02-01T01:29:00+00:00")])
def test_intervals(picket, schedule, zone, after, wanted):
    """Days and longer go by the clock of the zone, hours and minutes do not."""
    config = json.dumps({"type": "interval", "value": schedule[0], "unit": schedule[1], "timezone": zone})
    ((found,),) = picket.sql("SELECT monitor_next(%s::jsonb, %s::timestamptz)", config, after)
    assert found == dt.datetime.fromisoformat(wanted)


def test_rare_days(picket):
    for days, months, wanted in ((1 << 29, 1 << 2, dt.date(2028, 2, 29)), (1 << 31, 1 << 2, None)):
        config = json.dumps({"type": "crontab", "minutes": 1, "hours": 1, "days": days, "months": months, "weekdays": 127, "either_day": False,
                             "follows_clock": False, "timezone": "UTC"})
        ((found,),) = picket.sql("SELECT (monitor_next(%s::jsonb, '2026-11-21'::timestamptz) AT TIME ZONE 'UTC')::date", config)
        assert found == wanted


# ---- order

def stored(project, picket, records):
    """What is left of check-ins that are stored in that order, each with its receipt; taken back."""
    with psycopg.connect(picket.conninfo()) as connection:
        for at, fields in records:
            body = {"slug": "job", "name": "job", "id": None, "environment": "production", "duration_ms": None, "release": "", "trace_id": None, **fields}
            connection.execute("SELECT check_in_store(%s, monitor_id(%s, %s), %s, %s::jsonb)", (project.id, at, json.dumps(body), at, json.dumps(body)))
        rows = connection.execute("SELECT check_in_id, status, started_at, ended_at, timeout_at, duration_ms, event_id IS NOT NULL FROM check_ins "
                                  "WHERE project_id = %s ORDER BY started_at, check_in_id", (project.id,)).fetchall()
        state = connection.execute("SELECT status, last_check_in_at, next_expected_at, failures, incident_at FROM monitor_environments "
                                   "WHERE project_id = %s", (project.id,)).fetchall()
        events = connection.execute("SELECT count(*) FROM monitor_events WHERE project_id = %s", (project.id,)).fetchall()
        connection.rollback()
    return rows, state, events


def in_any_order(project, picket, *records):
    start = dt.datetime(2026, 11, 21, 12, 0, 10, tzinfo=UTC)
    timed = [(start + dt.timedelta(minutes=minute), fields) for minute, fields in records]
    wanted = stored(project, picket, timed)
    for order in list(itertools.permutations(timed))[1:]:
        assert stored(project, picket, order) == wanted, order
    return wanted


CONFIG = {"type": "interval", "value": 1, "unit": "hour", "timezone": "UTC", "margin": 1, "max_runtime": 30, "failures": 1, "recovery": 1}


def test_any_order(project, picket):
    """A start and an end, two runs one in the other, a run without an id, a threshold: stored in whatever order, it is the same."""
    a, b = str(uuid.uuid4()), str(uuid.uuid4())
    every = {"config": CONFIG}
    rows, state, events = in_any_order(project, picket, (0, {"status": "in_progress", "id": a, **every}), (5, {"status": "in_progress", "id": a, **every}),
                                       (9, {"status": "ok", "id": a, **every}))
    assert [row[1] for row in rows] == ["ok"] and rows[0][5] == 9 * 60000 and events == [(0,)] and state[0][0] == "ok"
    rows, state, events = in_any_order(project, picket, (0, {"status": "in_progress", "id": a, **every}), (2, {"status": "error", "id": b, **every}),
                                       (3, {"status": "ok", "id": a, **every}))
    assert [row[1] for row in rows] == ["ok", "error"] and state[0][0] == "error" and state[0][3] == 1 and events == [(1,)]
    rows, _, _ = in_any_order(project, picket, (0, {"status": "in_progress", **every}), (1, {"status": "ok", **every}))
    assert [(row[1], row[5]) for row in rows] == [("ok", 60000)]
    twice = {**CONFIG, "failures": 2}
    rows, state, events = in_any_order(project, picket, (0, {"status": "ok", "id": str(uuid.uuid4()), "config": twice}),
                                       (1, {"status": "error", "id": a, "config": twice}), (2, {"status": "error", "id": b, "config": twice}))
    assert [row[6] for row in rows] == [False, False, True] and state[0][3] == 2 and events == [(1,)]


# ---- failures

def test_an_issue_opens_closes_and_opens(project, picket):
    """An error is an issue at once; each further one counts; a good run resolves it; the next failure is a regression."""
    send(project, check_in("nightly", "error", HOURLY, environment="production", release="shop@1.2.3", duration=2))
    issue = until(lambda: project.issue("Cron failure: nightly"), lambda: (totals(project), picket.sql("SELECT * FROM monitor_events")))
    assert (issue["title"], issue["level"], issue["event_count"]) == ("Cron failure: nightly: a run failed", "error", 1)
    event = project.detail(project.events(issue)[0])
    assert (event["environment"], event["release"], event["sdk_name"]) == ("production", "shop@1.2.3", "picket.monitors")
    context = event["data"]["contexts"]["monitor"]
    assert (context["slug"], context["status"], context["duration_ms"], context["schedule"], context["unit"]) == ("nightly", "error", 2000, 1, "hour")
    assert event["data"]["tags"]["monitor.slug"] == "nightly"
    failed, = check_ins(project, "nightly")
    assert uuid.UUID(failed["event_id"]).hex == event["data"]["event_id"]
    state = environment(project, "nightly")
    assert (state["status"], state["consecutive_failures"], state["incident_started_at"]) == ("error", 1, failed["started_at"])
    send(project, check_in("nightly", "error"))
    until(lambda: project.issue("Cron failure")["event_count"] == 2, lambda: project.issues())
    send(project, check_in("nightly", "ok"))
    until(lambda: project.issue("Cron failure")["is_resolved"], lambda: (project.issues(), environment(project, "nightly")))
    assert environment(project, "nightly")["incident_started_at"] is None
    send(project, check_in("nightly", "error", environment="staging"), check_in("nightly", "error"))
    until(lambda: len(project.issues()) == 2 and not any(i["is_resolved"] for i in project.issues()), lambda: project.issues())
    kinds = picket.sql("SELECT kind FROM issue_transitions WHERE project_id = %s AND issue_id = %s ORDER BY id", project.id, issue["id"])
    assert kinds == [("new",), ("resolved",), ("regressed",)]
    until(lambda: totals(project).get(("error", "accepted", "")) == 4, lambda: totals(project))
    assert picket.sql("SELECT count(*) FROM monitor_events WHERE project_id = %s", project.id) == [(0,)]


def test_thresholds(project, picket):
    """Three in a row open it, two good ones in a row close it, and while it is open each failure counts."""
    config = {**HOURLY, "failure_issue_threshold": 3, "recovery_threshold": 2}
    send(project, check_in("job", "error", config), check_in("job", "ok"))
    until(lambda: len(statuses(project, "job")) == 2, lambda: statuses(project, "job"))
    send(project, check_in("job", "error"), check_in("job", "error"))
    until(lambda: (environment(project, "job") or {}).get("consecutive_failures") == 2, lambda: environment(project, "job"))
    assert environment(project, "job")["incident_started_at"] is None and project.issues() == []
    send(project, check_in("job", "error"))
    until(lambda: project.issue("Cron failure: job"), lambda: environment(project, "job"))
    forgive_rate(picket, project)
    for n, status in enumerate(("ok", "error", "ok"), 6):  # one after the other: two workers may store them in any order
        send(project, check_in("job", status))
        until(lambda wanted=n: len(statuses(project, "job")) == wanted, lambda: statuses(project, "job"))
    until(lambda: project.issue("Cron failure: job")["event_count"] == 2, lambda: project.issues())
    assert environment(project, "job")["incident_started_at"] and not project.issue("Cron failure")["is_resolved"]
    send(project, check_in("job", "ok"))
    until(lambda: project.issue("Cron failure")["is_resolved"], lambda: environment(project, "job"))


def test_missed(project, picket):
    """Noticed when the margin is over, dated when it was expected; the next one is by the schedule, not by the miss."""
    send(project, check_in("job", "ok", MINUTELY, check_in_id=None))
    wait_statuses(project, "job", "ok")
    overdue(picket, project, minutes=2)
    until(lambda: "missed" in statuses(project, "job"), lambda: environment(project, "job"))
    until(lambda: instant(environment(project, "job")["next_latest_at"]) > dt.datetime.now(UTC) - dt.timedelta(seconds=10), lambda: environment(project, "job"))
    rows = picket.sql("SELECT started_at, expected_at, ended_at, event_id FROM check_ins WHERE project_id = %s AND status = 'missed' ORDER BY 1", project.id)
    assert 2 <= len(rows) <= 4 and all(started == expected for started, expected, *_ in rows)
    assert all(ended - expected == dt.timedelta(minutes=1) for _, expected, ended, _ in rows)
    assert all(later[1] - sooner[1] <= dt.timedelta(minutes=1) for sooner, later in zip(rows, rows[1:]))
    issue = until(lambda: project.issue("Cron failure: job"), "no issue")
    assert (issue["title"], issue["level"]) == ("Cron failure: job: a run was missed", "warning")
    told = [event for *_, event in rows if event]  # which of them: test_monitor_neighbours.py
    assert rows[0][3] and rows[1][3]
    until(lambda: project.issue("Cron failure")["event_count"] == len(told), lambda: project.issues())
    send(project, check_in("job", "ok", check_in_id=None))
    until(lambda: project.issue("Cron failure")["is_resolved"] and environment(project, "job")["status"] == "ok", lambda: environment(project, "job"))


def test_timed_out(project, picket):
    """It keeps that status when it ends after all, and gets its duration."""
    run = uuid.uuid4().hex
    send(project, check_in("job", "in_progress", HOURLY, check_in_id=run))
    wait_statuses(project, "job", "in_progress")
    picket.sql("UPDATE check_ins SET started_at = started_at - interval '31 min', timeout_at = timeout_at - interval '31 min' WHERE project_id = %s", project.id)
    wait_statuses(project, "job", "timeout")
    until(lambda: project.issue("Cron failure: job: a run did not end in time"), lambda: project.issues())
    send(project, check_in("job", "ok", check_in_id=run, duration=1900))
    until(lambda: check_ins(project, "job")[0]["duration_ms"] == 1900000, lambda: check_ins(project, "job"))
    assert statuses(project, "job") == ["timeout"] and environment(project, "job")["status"] == "timeout"
    send(project, check_in("job", "in_progress", check_in_id=None), check_in("job", "ok", check_in_id=None))
    until(lambda: environment(project, "job")["status"] == "ok", lambda: check_ins(project, "job"))


def test_a_newer_run_counts(project, picket):
    """§7.2: what ran out of time changes nothing when a newer run went well."""
    send(project, check_in("job", "in_progress", HOURLY))
    wait_statuses(project, "job", "in_progress")
    send(project, check_in("job", "ok"))
    wait_statuses(project, "job", "in_progress", "ok")
    picket.sql("UPDATE check_ins SET timeout_at = now() - interval '1 min' WHERE project_id = %s AND status = 'in_progress'", project.id)
    wait_statuses(project, "job", "timeout", "ok")
    assert environment(project, "job")["status"] == "ok" and project.issues() == []


# ---- servers that come and go

def ticked(picket, project):
    """A look of a server at the monitors has begun and ended since now."""
    picket.sql("UPDATE monitor_environments SET resolve_at = now() - interval '2 hours' WHERE project_id = %s", project.id)
    until(lambda: picket.sql("SELECT count(resolve_at) FROM monitor_environments WHERE project_id = %s", project.id) == [(0,)], "nobody looks")


def test_two_servers_and_a_silence(make_picket):
    """Two servers notice each miss once. What was due while none listened is forgotten, what ran then ends as unknown. What lies in the spool counts
    before anything is judged."""
    first = make_picket().start()
    second = make_picket(DATABASE_URL=first.settings["DATABASE_URL"], CREATE_SUPERUSER=None).start()
    project = first.new_project()
    send(project, *(check_in(f"m{i}", "ok", {**HOURLY, "checkin_margin": 2}) for i in range(30)))
    until(lambda: len(monitors(project, per_page=100)) == 30 and totals(project)[("monitor", "accepted", "")] == 30, lambda: totals(project))
    overdue(first, project, margin=2)
    until(lambda: len(project.issues()) == 30, lambda: len(project.issues()))
    until(lambda: totals(project).get(("error", "accepted", "")) == 30, lambda: totals(project))
    assert first.sql("SELECT status, count(*) FROM check_ins GROUP BY 1 ORDER BY 1") == [("missed", 30), ("ok", 30)]
    second.stop()
    # a silence
    run = uuid.uuid4().hex
    send(project, check_in("m0", "in_progress", check_in_id=run))
    until(lambda: "in_progress" in statuses(project, "m0"), "not stored")
    first.stop()
    first.sql("UPDATE monitor_servers SET seen_at = seen_at - interval '3 hours'")
    first.sql("UPDATE monitor_environments SET next_expected_at = now() - interval '2 hours', next_latest_at = now() - interval '1 hour'")
    first.sql("UPDATE check_ins SET started_at = now() - interval '4 hours', timeout_at = now() - interval '1 hour' WHERE status = 'in_progress'")
    first.start()
    until(lambda: first.sql("SELECT count(*) FROM monitor_environments WHERE next_expected_at > now()") == [(30,)], "the silence is not forgotten")
    until(lambda: "unknown" in statuses(project, "m0"), lambda: statuses(project, "m0"))
    assert first.sql("SELECT count(*) FROM check_ins WHERE status IN ('missed', 'timeout')") == [(30,)] and environment(project, "m0")["consecutive_failures"] == 1
    # a backlog: the check-in came in time and is not stored yet
    with psycopg.connect(first.conninfo()) as blocker:
        blocker.execute("SELECT pg_advisory_xact_lock(hashtext('picket.reports'), %s)", (project.id,))
        ((now,),) = first.sql("SELECT now()")
        send(project, check_in("m1", "ok"))
        first.sql("UPDATE monitor_environments SET next_expected_at = %s, next_latest_at = %s WHERE name = 'production' AND monitor_id = "
                  "(SELECT id FROM monitors WHERE slug = 'm1')", now - dt.timedelta(minutes=2), now - dt.timedelta(seconds=4))
        ticked(first, project)
        ticked(first, project)
        assert statuses(project, "m1") == ["ok", "missed"]
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        first.kill()
        first.start()
        ticked(first, project)
        assert statuses(project, "m1") == ["ok", "missed"]
    until(lambda: environment(project, "m1")["status"] == "ok", lambda: statuses(project, "m1"))
    ticked(first, project)
    assert statuses(project, "m1") == ["ok", "missed", "ok"]
    assert totals(project)[("error", "accepted", "")] == 30 and ("error", "invalid", "duplicate") not in totals(project)


def test_events_are_taken_once(project, picket):
    """A server that dies before it forgets what it has spooled: the event comes again under the same ids, and counts once."""
    send(project, check_in("job", "error", HOURLY))
    issue = until(lambda: project.issue("Cron failure: job"), "no issue")
    row, = picket.sql("SELECT id, event_id, received_at, payload FROM events WHERE project_id = %s", project.id)
    until(lambda: picket.sql("SELECT count(*) FROM monitor_events WHERE project_id = %s", project.id) == [(0,)], "it is not forgotten")
    picket.sql("INSERT INTO monitor_events (project_id, id, event_id, made_at, payload) VALUES (%s, %s, %s, %s, '{}')", project.id, row[0], row[1], row[2])
    until(lambda: picket.sql("SELECT count(*) FROM monitor_events WHERE project_id = %s", project.id) == [(0,)], "it is not taken")
    project.settle()
    assert project.issue("Cron failure: job") == issue
    until(lambda: totals(project) == {("monitor", "accepted", ""): 1, ("error", "accepted", ""): 2}, lambda: totals(project))  # and settle's marker


# ---- the API, and what is kept

def test_api(project, picket):
    send(project, *(check_in("job", "ok", HOURLY, environment=f"e{i % 2}") for i in range(5)))
    until(lambda: len(check_ins(project, "job")) == 5, lambda: totals(project))
    page = project.api.read(f"{project.path}/monitors/job/checkins", params={"per_page": 2, "page": 2})
    assert (page["total_count"], page["page"], page["total_pages"], len(page["items"])) == (5, 2, 3, 2)
    every = [c["started_at"] for c in check_ins(project, "job")]
    assert every == sorted(every) and [c["started_at"] for c in page["items"]] == every[1:3][::-1]
    assert {c["environment"] for c in check_ins(project, "job", environment="e1")} == {"e1"}
    for path in ("/monitors/nobody", "/monitors/nobody/checkins", "/monitors/%00", "/monitors/%ff/checkins"):
        assert project.api.get(project.path + path).status_code == 404, path
    assert project.api.get("/api/projects/99999999/monitors").json()["message"] == "Project with id 99999999 not found"
    assert project.api.get(f"{project.path}/monitors?page=x").status_code == 400
    assert project.api.delete(f"{project.path}/monitors/job", params={"environment": "e7"}).status_code == 404
    assert project.api.delete(f"{project.path}/monitors/job", params={"environment": "e1"}).status_code == 204
    assert [e["name"] for e in monitors(project)[0]["environments"]] == ["e0"] and len(check_ins(project, "job")) == 3
    assert project.api.delete(f"{project.path}/monitors/job").status_code == 204
    assert project.api.delete(f"{project.path}/monitors/job").status_code == 404 and monitors(project) == []
    until(lambda: picket.sql("SELECT retention_tidy_monitors(now(), 90, 2)") == [(0,)], "it goes on")
    assert picket.sql("SELECT count(*) FROM check_ins WHERE project_id = %s", project.id) == [(0,)]
    send(project, check_in("job", "ok", HOURLY))
    wait_statuses(project, "job", "ok")


def test_check_ins_age(project, picket):
    """With the events of their day, by the project's own days."""
    send(project, check_in("job", "ok", HOURLY))
    wait_statuses(project, "job", "ok")
    picket.sql("INSERT INTO check_ins (project_id, id, monitor_id, environment_id, status, started_at, timeout_at, opened) "
               "SELECT project_id, monitor_id(now() - make_interval(days => d), d::text), monitor_id, environment_id, 'ok', now() - make_interval(days => d), now(), false "
               "FROM check_ins, unnest('{5,20,100}'::int[]) d WHERE project_id = %s", project.id)
    picket.command("retention", "run")
    assert len(check_ins(project, "job")) == 3
    picket.command("project", "set", project.id, "--retention-days", 10)
    picket.command("retention", "run")
    assert len(check_ins(project, "job")) == 2


def test_deleted_project(picket):
    gone = picket.new_project()
    send(gone, check_in("job", "error", HOURLY))
    until(lambda: gone.issue("Cron failure"), "no issue")
    picket.sql("DELETE FROM projects WHERE id = %s", gone.id)
    picket.command("retention", "run")
    for table in ("monitors", "monitor_environments", "check_ins", "monitor_events", "monitor_leavings"):
        assert picket.sql(f"SELECT count(*) FROM {table} WHERE project_id = %s", gone.id) == [(0,)], table


def test_recorded(project, picket):
    """sdk-observed: what Go, Node and the command line sent, byte by byte."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recordings")
    n = 0
    for name, numbers in (("sentry-cli-3.8.0", range(8, 12)), ("sentry-go-0.50.0", range(18, 21)), ("sentry-node-11.8.0", range(31, 34))):
        for number in numbers:
            with open(os.path.join(here, name, f"{number:04}.body"), "rb") as f:
                body = f.read()
            body = b"{}\n" + body.split(b"\n", 1)[1]  # the header's dsn is another's
            assert project.post(body).status_code == 200
            n += 1
        until(lambda: totals(project).get(("monitor", "accepted", "")) == n, lambda: totals(project))
        forgive_rate(picket, project)
    assert {m["slug"] for m in monitors(project)} == {"nightly", "hourly"}
    assert sorted(statuses(project, "nightly")) == ["error", "ok", "ok", "ok"] and statuses(project, "hourly") == ["error", "error"]
