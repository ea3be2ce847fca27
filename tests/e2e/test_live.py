"""Live: programs with real SDKs (apps/README.md) do all that SDKs can do for error monitoring. Each program ends with an error when anything of it was
refused or got no answer; whatever it raised, said and reported is looked for through the API."""
import collections
import json
import re
import uuid

import pytest

import live
import wire
from live import GO, GO_NEWER, NODE, NODE_SDK, node, python
from test_attachments import attachments, download
from test_outcomes import totals
from test_quotas import set_quotas
from waiting import until

EMOJI, SURROGATES = "emoji \U0001f4a5 and 你好 مرحبا café", "lone surrogate \ufffd end and low \ufffd end"
LONG = 100_000
TITLE = 60  # so much of a title is compared
TOKEN = "0123456789abcdef" * 4
ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
UNWANTED = ("transaction", "log_item", "trace_metric")  # spans came in the transactions
ATTACHED = {"log.txt": b"line one\nline two\n", "b\u00efn\U0001f600.dat": bytes([0, 10, 13, 255])}
FEEDBACK = ("the button is broken \U0001f41e", "Ann", "ann@example.com")
needs_node = pytest.mark.skipif(NODE < (18, 0), reason="needs Node 18")
needs_go = pytest.mark.skipif(GO < (1, 18), reason="needs Go 1.18")
first_build = pytest.mark.timeout(600)  # of Go's library, on a machine


def titles(*exceptions, messages=()):
    """How often each title is expected. `exceptions` are titles already."""
    return collections.Counter(title[:TITLE] for title in [*exceptions, *(f"Log Message: {text}" for text in messages)])


PYTHON = titles(
    "PaymentError: checkout failed for item 0", "PaymentError: checkout failed for item 1", "ExceptionGroup: several", "RuntimeError: limit exceeded",
    "ValueError: large locals \U0001f4a5 55001", "ValueError: " + "V" * LONG, *["KeyError: 'total'"] * 5, "PaymentError: checkout failed for item 991",
    *["KeyError: 'price'"] * 3,  # Flask's
    messages=["cache warmed in 53 ms", "user %s bought %d", EMOJI, SURROGATES, "nul \ufffd byte, bell \x07, del \x7f, c1 \x85, ls \u2028", "L" * LONG,
              "D" * LONG, "payment %s failed for %s", "keep me", "kept alive 0", "kept alive 1", "kept alive 2"])
NODES = titles(
    "TypeError: no price for item 0 in EUR", *["TypeError: no price for item 1 in EUR"] * 4, *["Error: checkout failed"] * 4, "AggregateError: several",
    "Error: a thrown string", "Error: Object captured as exception with keys: code, nested", "Error: undefined", "RangeError: limit exceeded",
    "Error: " + "V" * LONG, "Error: the job failed", "Error: nobody caught me", "Cron failure: hourly: a run failed",
    messages=["cache warmed in 53 ms", "user %s bought %d", "user %s has %s items", EMOJI, SURROGATES, "nul \ufffd byte, bell \x07, del \x7f, c1 \x85, ls \u2028",
              "L" * LONG, "D" * LONG, "keep me"])
BROWSER_ERRORS = titles("Error: checkout failed", "RangeError: limit exceeded", "Error: checkout failed", "Error: nobody caught me",
                        "UnhandledRejection: Non-Error promise rejection captured with value: a string rejection", messages=["cache warmed in 53 ms"])
BROWSER = BROWSER_ERRORS + titles("TypeError: no price for item 1", messages=["emoji \U0001f4a5 and 你好 café", SURROGATES, "nul \ufffd byte, bell \x07, ls \u2028",
                                  "L" * LONG, "keep me", "sent after a preflight"])
GOS = titles(
    "*fmt.wrapError: checkout 402: payment refused: 402", "*errors.errorString: limit exceeded", *["*fmt.wrapError: checkout 1: payment refused: 1"] * 2,
    "runtime.boundsError: runtime error: index out of range [3] with length 0", "runtime.boundsError: runtime error: index out of range [9] with length 0",
    "*errors.errorString: " + "V" * LONG, "Cron failure: hourly: a run failed",
    messages=["cache warmed in 53 ms", "plain string panic", EMOJI, "surrogate as bytes \ufffd\ufffd\ufffd and bad utf-8 \ufffd\ufffd end",
              "nul \ufffd byte, bell \x07, del \x7f, ls \u2028, <html> & amp", "L" * LONG, "keep me", "sent synchronously"])
GOS_NEWER = titles("*errors.joinError: one", messages=["without telemetry buffer"])


def wait_events(project, wanted):
    """Exactly these events, seen one by one through the API. Returns the summaries."""
    def seen():
        return collections.Counter(event["title"][:TITLE] for event in project.all_events())
    until(lambda: project.count() >= wanted.total(), lambda: f"missing: {wanted - seen()}", 30)
    assert seen() == wanted, f"missing: {wanted - seen()}, not expected: {seen() - wanted}"
    return project.all_events()


def wait_sessions(project, wanted):
    """Per release: the counts of its sessions that are not zero."""
    def seen():
        return {item["release"]: {name: n for name, n in item["sessions"].items() if n} for item in project.api.read(project.path + "/sessions")["items"]}
    until(lambda: seen() == wanted, lambda: f"{seen()}, wanted {wanted}")


def wait_sessions_said(project, printed):
    """As many sessions as the programs said they sent."""
    n = sum(int(number) for text in printed for number in re.findall(r"sessions: (\d+)", text))
    assert n > 0

    def seen():
        return sum(item["sessions"]["total"] for item in project.api.read(project.path + "/sessions")["items"])
    until(lambda: seen() == n, lambda: f"{seen()} sessions of {n}")


def wait_feedback(project, about):
    """The one feedback, which names the event that it is about."""
    feedback, = until(lambda: project.api.read(project.path + "/feedback")["items"], "no feedback")
    assert (feedback["message"], feedback["name"], feedback["email"]) == FEEDBACK
    assert feedback["event_id"] == (about["event_id"] if about else None)


def wait_attachments(project, event, wanted):
    """The files of an event: {name: content}, as they are handed out."""
    found = until(lambda: (rows := attachments(project, event["event_id"])) and len(rows) == len(wanted) and rows, lambda: attachments(project))
    assert {row["name"]: download(project, row).content for row in found} == wanted
    assert all(row["issue_id"] == event["issue_id"] for row in found)


def wait_monitors(project, **wanted):
    """What the last run of each was, in the only environment."""
    def seen():
        return {item["slug"]: [e["status"] for e in item["environments"]] for item in project.api.read(project.path + "/monitors")["items"]}
    until(lambda: seen() == {slug: [status] for slug, status in wanted.items()}, lambda: f"{seen()}, wanted {wanted}")


def wait_totals(project, wanted):
    until(lambda: wanted.items() <= totals(project).items(), lambda: f"{totals(project)}\nwanted at least: {wanted}")


def titled(events, title):
    event, = [event for event in events if event["title"] == title]
    return event


def test_python(project):
    """Plain, with logging, and with Flask."""
    programs = [python("shop.py", "errors", "unicode", "defaults"), python("shop.py", "trace", "logs", "crons"),
                python("shop.py", "sessions", "reports", "keepalive"), python("shop_flask.py")]
    live.run_all(*((project.dsn, program, 0) for program in programs), (project.dsn, python("shop.py", "unhandled"), 1))
    events = wait_events(project, PYTHON)
    wait_monitors(project, nightly="error", hourly="ok")
    wait_sessions(project, {"shop@1.2.3": {"total": 5, "healthy": 2, "exited": 2, "crashed": 3},  # Flask's, one for each request
                            "shop@1.2.3+build.7": {"total": 5, "healthy": 3, "exited": 4, "errored": 2}})
    wait_totals(project, {("error", "client_discard", "sample_rate"): 5, ("error", "client_discard", "before_send"): 1,
                          ("log_item", "client_discard", "before_send"): 1})
    wait_attachments(project, titled(events, "RuntimeError: limit exceeded"), {"log.txt": ATTACHED["log.txt"], "b\u00ef\U0001f600n.dat": bytes(range(256))})
    data = project.detail(titled(events, "RuntimeError: limit exceeded"))["data"]
    assert data["level"] == "fatal" and data["user"]["email"] == "ann@example.com" and data["contexts"]["order"]["id"] == 991
    requests = [project.detail(event)["data"]["request"] for event in events if event["title"] == "KeyError: 'price'"]
    assert {request["url"].rsplit("/", 1)[1] for request in requests} == {"7", "8", "9"}
    assert not any(secret in json.dumps(requests) for secret in ("hunter2", "4242424242424242", "Bearer xyz"))


@needs_node
def test_node(project):
    """The newest SDK that this Node can load."""
    parts = [["errors", "unicode", "defaults", "trace", "static", "http", "logs", "crons", "reports"], ["sessions", "rejection"]]
    printed = live.run_all(*((project.dsn, node("shop.mjs", NODE_SDK, *some), 0) for some in parts),
                           (project.dsn, node("shop.mjs", NODE_SDK, "unhandled"), 1))
    events = wait_events(project, NODES)
    wait_monitors(project, nightly="ok", hourly="error", job="error")
    wait_sessions_said(project, printed)
    wait_feedback(project, titled(events, "RangeError: limit exceeded"))
    wait_attachments(project, titled(events, "RangeError: limit exceeded"), ATTACHED)
    wait_totals(project, {("error", "client_discard", "before_send"): 4, ("log_item", "client_discard", "before_send"): 1})


@needs_node
def test_browser(picket, project, tmp_path):
    """A page of another origin: the browser lets it send headers and see answers only as CORS says (§1.3). And one through the tunnel."""
    tunnelled = picket.new_project()
    pages = [{"part": part, "dsn": project.dsn} for part in ("errors", "unicode", "trace", "static", "logs", "reports", "headers")]
    with live.pages(live.bundle(tmp_path), *pages, {"part": "errors", "dsn": tunnelled.dsn, "tunnel": f"{picket.url}/tunnel/"}):
        events = wait_events(project, BROWSER)
        tunnelled_events = wait_events(tunnelled, BROWSER_ERRORS)
        wait_sessions(project, {"shop@1.2.3": {"total": 7, "healthy": 2, "errored": 4, "unhandled": 1}})  # a page each; a message has a stack: an error
        wait_sessions(tunnelled, {"shop@1.2.3": {"total": 1, "unhandled": 1}})
        wait_feedback(project, None)
        wait_feedback(tunnelled, None)
        wait_attachments(project, titled(events, "RangeError: limit exceeded"), ATTACHED)
        wait_attachments(tunnelled, titled(tunnelled_events, "RangeError: limit exceeded"), ATTACHED)
        wait_totals(project, {("error", "client_discard", "before_send"): 4})
    data = project.detail(titled(events, "RangeError: limit exceeded"))["data"]
    assert data["user"]["id"] == "42" and data["contexts"]["browser"]["name"].startswith("HeadlessChrome")
    assert data["request"]["url"].startswith("http://127.0.0.1:") and f":{project.port}/" not in data["request"]["url"]


@needs_go
@first_build
def test_go(project):
    parts = ["errors", "unicode", "trace", "web", "crons", "reports", "defaults", "sync", *(["joined", "logs", "unbuffered"] if GO_NEWER else [])]
    live.run_all(*((project.dsn, [live.shop_go(), part], 0) for part in parts))
    events = wait_events(project, GOS + GOS_NEWER if GO_NEWER else GOS)
    wait_monitors(project, nightly="ok", hourly="error")
    wait_attachments(project, titled(events, "*errors.errorString: limit exceeded"), ATTACHED)
    if GO_NEWER:  # older ones do not tell
        wait_totals(project, {("error", "client_discard", "before_send"): 4})


@needs_node
@needs_go
@first_build
def test_limits(picket, tmp_path):
    """§4.4, §10.5 "rate limits": six rounds of an event, a transaction and a log, with a quota of four errors. Once an answer has said that transactions,
    spans and logs are not stored, no SDK sends them any more, but errors; and after the first 429 no errors either. The browser heeds what CORS exposes."""
    commands = {"python": python("shop.py", "limits"), "node": node("shop.mjs", NODE_SDK, "limits"), "go": [live.shop_go(), "limits"]}
    projects = {sdk: picket.new_project() for sdk in [*commands, "browser"]}
    for project in projects.values():
        set_quotas(project, error={"hour": 4})
    live.run_all(*((projects[sdk].dsn, command, 0) for sdk, command in commands.items()))
    with live.pages(live.bundle(tmp_path), {"part": "limits", "dsn": projects["browser"].dsn}):
        wait_totals(projects["browser"], {("error", "client_discard", "ratelimit_backoff"): 1})
    for sdk, project in projects.items():
        wait_events(project, titles(messages=[f"event {i}" for i in range(4)]))
        project.post(wire.envelope({}, wire.item("statsd", b"a:1|c")))  # a mark: what came before it is counted when it is
        wait_totals(project, {("metric_bucket", "filtered", "not_stored"): 1})
        counts = totals(project)
        came = {category: counts.get((category, "filtered", "not_stored"), 0) for category in UNWANTED}
        assert 1 <= sum(came.values()) <= 3 and max(came.values()) <= 2, f"{sdk}: {counts}"
        assert counts[("error", "rate_limited", "project_hour_quota")] == 1, f"{sdk}: {counts}"
        assert sdk == "go" or counts[("error", "client_discard", "ratelimit_backoff")] >= 1, f"{sdk}: {counts}"  # Go tells with its next event


@needs_node
def test_cli(picket, project, tmp_path):
    """sentry-cli's own events, those of files, and envelopes."""
    (tmp_path / "app.log").write_text("first line\n2026-11-21 error: \U0001f4a5 happened\nlast\n", encoding="utf-8")
    event = {"timestamp": "2026-11-21T01:02:03Z", "platform": "python", "level": "error", "message": "from a file", "tags": {"a": "b"}}
    ids = [uuid.uuid4().hex for _ in range(4)]
    for i in range(2):
        (tmp_path / f"{i}.json").write_text(json.dumps({"event_id": ids[i], **event}), encoding="utf-8")
        (tmp_path / f"{i}.envelope").write_bytes(wire.envelope(
            {"event_id": ids[2 + i], "dsn": project.dsn}, wire.item("event", {"message": "hello world", "level": "error"}),
            wire.item("attachment", b"\xef\xbb\xbfHello\r\n", content_type="text/plain", filename="hello.txt")))
    calls = [["send-event", "--no-environ", "-m", "user %s bought %s", "-a", "ann", "-a", "3 hats", "-l", "warning", "-r", "shop@1.2.3", "-d", "7",
              "-E", "production", "-t", "tenant:acme", "-e", "order:991", "-u", "id:42", "-u", "email:ann@example.com", "-f", "payments", "-p", "python"],
             ["send-event", "--no-environ", "-m", "with a log file \U0001f4a5", "--logfile", "app.log", "-E", "production"],
             ["send-event", "-m", "with the environment"], ["send-event", "0.json"], ["send-event", "--raw", "1.json"],
             ["send-envelope", "0.envelope"], ["send-envelope", "--raw", "1.envelope"]]
    printed = live.run_all(*((project.dsn, [live.sentry_cli(), *call], 0) for call in calls), cwd=tmp_path, HOME=tmp_path, SENTRY_URL=picket.url,
                           SENTRY_AUTH_TOKEN=TOKEN, SENTRY_DISABLE_UPDATE_CHECK=1, SENTRY_LOAD_DOTENV=0)
    events = wait_events(project, titles(messages=["user %s bought %s", "with a log file \U0001f4a5", "with the environment", *["from a file"] * 2,
                                                   *["hello world"] * 2]))
    stored = {uuid.UUID(event["event_id"]).hex for event in events}
    assert {uuid.UUID(found).hex for text in printed for found in ID.findall(text)} | set(ids[1:]) == stored  # ids[0]: the command gives a new one
    for event in events:
        if event["title"] == "Log Message: hello world":
            wait_attachments(project, event, {"hello.txt": b"\xef\xbb\xbfHello\r\n"})
    details = {event["title"]: project.detail(event)["data"] for event in events}
    assert details["Log Message: user %s bought %s"]["tags"]["tenant"] == "acme"
    environ = details["Log Message: with the environment"]["extra"]["environ"]
    assert environ["SENTRY_URL"] == picket.url and TOKEN not in json.dumps(environ)
    assert any("happened" in crumb["message"] for crumb in details["Log Message: with a log file \U0001f4a5"]["breadcrumbs"]["values"])


@needs_node
def test_cli_monitors(picket, project, tmp_path):
    """`monitors run`: its exit status is the command's, and a monitor comes to be by its --schedule."""
    run = [live.sentry_cli(), "monitors", "run", "-e", "production"]
    live.run_all((project.dsn, [*run, "--schedule", "0 3 * * *", "--timezone", "Europe/Berlin", "nightly", "--", "true"], 0), cwd=tmp_path, HOME=tmp_path,
                 SENTRY_URL=picket.url, SENTRY_DISABLE_UPDATE_CHECK=1, SENTRY_LOAD_DOTENV=0)
    wait_monitors(project, nightly="ok")
    live.run_all((project.dsn, [*run, "nightly", "--", "sh", "-c", "exit 3"], 3), cwd=tmp_path, HOME=tmp_path, SENTRY_URL=picket.url,
                 SENTRY_DISABLE_UPDATE_CHECK=1, SENTRY_LOAD_DOTENV=0)
    wait_monitors(project, nightly="error")
    wait_events(project, titles("Cron failure: nightly: a run failed"))
