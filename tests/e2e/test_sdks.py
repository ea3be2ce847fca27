"""Real SDKs: short programs (apps/python/short.py, apps/node/short.mjs) that do what programs do. What they sent is looked at through the API."""
import json
import os
import subprocess
import sys

import pytest

import live
from contract import EVENT_DETAIL, check
from live import NODE
from server import environment
from test_outcomes import totals
from waiting import TIME_FACTOR, until

HERE = os.path.dirname(os.path.abspath(__file__))
needs_node = pytest.mark.skipif(NODE < (18, 0), reason="needs Node 18")
needs_node_20 = pytest.mark.skipif(NODE < (20, 19), reason="@sentry/node 11 needs Node 20.19")
PROGRAMS = {"python": live.python("short.py"), **{sdk: live.node("short.mjs", sdk) for sdk in live.NODE_SDKS}}
every_sdk = pytest.mark.parametrize("sdk", ["python", pytest.param("node 10", marks=needs_node), pytest.param("node 11", marks=needs_node_20)])


def program(project, sdk, part, status=0):
    done = subprocess.run([*PROGRAMS[sdk], part], capture_output=True, text=True, errors="replace", timeout=60 * TIME_FACTOR, cwd=HERE,
                          env={**environment(SENTRY_DSN=project.dsn), "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}{done.stderr}"


@every_sdk
def test_handled_exception(project, sdk):
    program(project, sdk, "handled")
    project.wait_count(1)
    issue, = project.issues()
    kind = "RuntimeError" if sdk == "python" else "Error"
    assert issue["title"] == f"{kind}: checkout failed for cart 7"
    assert issue["level"] == "error" and issue["platform"] == ("python" if sdk == "python" else "node")
    detail = check(EVENT_DETAIL, project.detail(project.events(issue)[0]))
    assert (detail["release"], detail["environment"], detail["server_name"]) == ("shop@1.2.3", "production", "web-1")
    assert detail["sdk_name"] == ("sentry.python" if sdk == "python" else "sentry.javascript.node")
    assert detail["sdk_version"] == {"python": "2.75.0", "node 10": "10.78.0", "node 11": "11.12.0"}[sdk]
    data = detail["data"]
    values = data["exception"]["values"]
    assert [e["type"] for e in values] == (["KeyError", "RuntimeError"] if sdk == "python" else ["TypeError", "Error"])
    assert values[-1]["stacktrace"]["frames"][-1]["function"] == "checkout"
    assert data["user"] == {**data["user"], "id": "42", "email": "ann@example.com"}
    assert data["tags"]["tenant"] == "acme"
    crumbs = data["breadcrumbs"]
    crumbs = crumbs["values"] if isinstance(crumbs, dict) else crumbs
    assert crumbs[-1]["message"] == "clicked" and isinstance(crumbs[-1]["timestamp"], (int, float))


@every_sdk
def test_unhandled_exception(project, sdk):
    """The program dies of it, and it arrives."""
    program(project, sdk, "unhandled", status=1)
    project.wait_count(1)
    issue, = project.issues()
    assert "checkout failed for cart 8" in issue["title"]
    data = project.detail(project.events(issue)[0])["data"]
    assert any(e.get("mechanism", {}).get("handled") is False for e in data["exception"]["values"])


@every_sdk
def test_messages(project, sdk):
    """sdk-observed: JavaScript 11 adds a typeless exception to messages; lone surrogates and NUL come as they are."""
    program(project, sdk, "messages")
    project.wait_count(3 if sdk == "python" else 2)
    titles = {issue["title"]: issue["level"] for issue in project.issues()}
    assert titles["Log Message: the cache is warm"] == "info"
    assert any(title.startswith("Log Message: emoji \U0001f4a5, half a pair \ufffd, and a NUL") for title in titles), titles
    assert "\0" not in json.dumps(list(titles)) and "\\u0000" not in json.dumps(list(titles))
    if sdk == "python":
        assert titles["Log Message: payment %s refused for %s"] == "error"


@every_sdk
def test_many(project, sdk):
    program(project, sdk, "many")
    project.wait_count(60)
    assert [issue["event_count"] for issue in project.issues()] == [30, 30]


@pytest.mark.parametrize("sdk", [pytest.param("node 10", marks=needs_node), pytest.param("node 11", marks=needs_node_20)])
def test_large(project, sdk):
    """Above 32 KiB the Node SDK packs the body and sends it in chunks."""
    program(project, sdk, "large")
    project.wait_count(1)
    data = project.detail(project.events(project.issues()[0])[0])["data"]
    assert data["extra"]["filler"].startswith("x" * 1000)


def test_three_lines(project):
    """README's three-line script."""
    script = f"import sentry_sdk\nsentry_sdk.init({project.dsn!r})\n1 / 0\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60 * TIME_FACTOR, env=environment(), cwd="/")
    assert done.returncode == 1
    project.wait_count(1)
    assert project.issues()[0]["title"] == "ZeroDivisionError: division by zero"


@every_sdk
def test_what_is_no_event(project, sdk):
    """Sessions, what the program dropped itself, and feedback (Node) are there when the program has ended."""
    program(project, sdk, "reports")
    project.wait_count(1)
    wanted = {("error", "accepted", ""): 1, ("error", "client_discard", "before_send"): 3}
    until(lambda: wanted.items() <= totals(project).items(), lambda: totals(project))
    sessions = until(lambda: project.api.read(project.path + "/sessions")["items"], "no session")
    assert [(item["release"], item["environment"]) for item in sessions] == [("shop@1.2.3", "production")]
    if sdk == "python":
        assert {name: n for name, n in sessions[0]["sessions"].items() if n} == {"total": 4, "healthy": 3, "exited": 4, "errored": 1}
        return
    until(lambda: project.api.read(project.path + "/sessions")["items"][0]["sessions"]["total"] == 1, "the session's start is missing")
    sessions = project.api.read(project.path + "/sessions")["items"]
    feedback, = until(lambda: project.api.read(project.path + "/feedback")["items"], "no feedback")
    event, = project.all_events()
    assert (feedback["message"], feedback["name"], feedback["email"]) == ("It broke in the cart", "Ann", "ann@example.com")
    assert feedback["event_id"] == event["event_id"] and feedback["issue_id"] == event["issue_id"]
    data = project.api.read(f"{project.path}/feedback/{feedback['id']}")["data"]
    assert data["sdk"]["name"] == "sentry.javascript.node" and "feedback" not in data["contexts"] and "trace" in data["contexts"], data


@every_sdk
def test_cron_monitors(project, sdk):
    """A monitor around a function: two good runs, and one that throws and becomes an issue."""
    program(project, sdk, "crons")
    until(lambda: totals(project).get(("monitor", "accepted", "")) == 6, lambda: totals(project))
    found = {monitor["slug"]: monitor for monitor in project.api.read(project.path + "/monitors")["items"]}
    nightly, = found["nightly"]["environments"]
    assert found["nightly"]["schedule"] == {"type": "crontab", "value": "0 3 * * *"} and found["nightly"]["timezone"] == "Europe/Berlin"
    assert (found["nightly"]["checkin_margin"], found["nightly"]["max_runtime"]) == (5, 20)
    assert found["hourly"]["schedule"] == {"type": "interval", "value": 1, "unit": "hour"} and found["hourly"]["environments"][0]["status"] == "ok"
    assert (nightly["name"], nightly["status"], nightly["consecutive_failures"]) == ("production", "error", 1)
    runs = project.api.read(project.path + "/monitors/nightly/checkins")["items"]
    assert [run["status"] for run in runs] == ["error", "ok"] and all(run["duration_ms"] is not None and run["release"] == "shop@1.2.3" for run in runs)
    until(lambda: project.issue("Cron failure: nightly: a run failed"), lambda: project.issues())
