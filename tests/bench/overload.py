#!/usr/bin/env python3
"""Overload, measured on a release build: what a flood and slow clients do to everybody else. Prints the figures and which bars they meet; --json prints
them as JSON. Exit status 1 when a bar is missed.

  flood      one project sends more than 3 times what can be digested for --seconds, each event a new issue: the dearest there is, so the generator, which has
             its cores from the same machine as Picket and PostgreSQL, can bring that many (--issues 1000: as after a broken deployment; then it cannot);
             are all acknowledged events stored, and no other; are refusals 429 or 503 with Retry-After; anonymous memory
             (RssAnon); the issue list's and /health's latency meanwhile; how long another project's events take until the API shows them; how long the
             backlog takes to drain afterwards. What can be digested is found first, by senders who wait when they are refused; what the generator
             could send at most, by a server that does nothing but refuse (floor.c)
  slow       5,000 clients that send one byte a second, 500 that send 20 MiB slowly, 1,000 that never read what they ask for, which is 1 MiB, a file by
             the half of them, an event by the others: latency of other people's events, memory; how many had such an answer before them
  keys       who has no key of this server at all, and invents one for each request, on as many connections as keep the generator's core busy: the issue
             list's latency without and with that, how many were asked of the database, and how they were answered

usage: overload.py [--json] [--seconds N] [--rate N] [--issues N] [--workers N] [--scale X] [--only flood|slow|keys] [BUILD_DIRECTORY]
       (needs python3, psql; talks to 127.0.0.1 only)
"""
import argparse
import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from subject import ROOT, Picket, free_port, wait_for  # noqa: E402

TIMES = 4.5  # of what can be digested: asked for. Beside a flood more can be than was found with senders who wait
ALL_NEW = 10**9  # issues
# offered: times what can be digested that must really have been answered; beside: answers for each event that was digested meanwhile.
BARS = {"offered": 3, "beside": 3, "memory_mib": 64, "issues_p95_ms": 250, "visible_max_s": 5, "slow_p99_ms": 50, "slow_memory_mib": 128, "drained_s": 60}
FIND_SECONDS, FIND_SHARE = (10, 60), 10  # at least and at most; of the flood's seconds
CEILING_SECONDS = 3
KEYS_SECONDS = 15
KEYS_CONNECTIONS = 64
FLOOD_CONNECTIONS = 1024  # an accepted event holds its connection until it is on disk
TICKS = os.sysconf("SC_CLK_TCK")


class Latencies:
    """Calls ask(connection) again and again on one connection and keeps what it took, in ms."""

    def __init__(self, picket, ask, pause):
        self.picket, self.ask, self.pause = picket, ask, pause
        self.ms, self.begun, self.failures, self.over, self.first = [], [], [], threading.Event(), time.monotonic()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        connection = None
        while not self.over.is_set():
            start = time.monotonic()
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.picket.port, timeout=30)
                failure = self.ask(connection)
                if failure:
                    self.failures.append(failure)
            except (OSError, http.client.HTTPException) as e:
                self.failures.append(repr(e))
                connection = None
            self.ms.append((time.monotonic() - start) * 1000)
            self.begun.append(start - self.first)
            self.over.wait(self.pause)

    def stop(self):
        self.over.set()
        self.thread.join(60)
        return self

    def worst_at(self):
        """After how many seconds the one began that took longest."""
        return max(zip(self.ms, self.begun))[1] if self.ms else float("nan")

    def percentile(self, share):
        values = sorted(self.ms)
        return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


class Memory:
    """The highest RssAnon in MiB, looked at ten times a second."""

    def __init__(self, picket):
        self.picket, self.highest, self.over = picket, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over.wait(0.1):
            with contextlib.suppress(FileNotFoundError):  # it ended
                self.highest = max(self.highest, self.picket.memory()["RssAnon"])

    def stop(self):
        self.over.set()
        self.thread.join()
        return self.highest


def dsn_of(picket, project, key):
    return f"http://{key}@127.0.0.1:{picket.port}/{project}"


def expect(connection, method, path, status, headers=None, body=None):
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    answer.read()
    return None if answer.status == status else f"{method} {path.split('?')[0]}: {answer.status}"


def event(project, key):
    event_id = uuid.uuid4().hex
    payload = json.dumps({"event_id": event_id, "message": f"seen {event_id}", "level": "error"})
    body = f'{{"event_id":"{event_id}"}}\n{{"type":"event","length":{len(payload)}}}\n{payload}\n'
    return event_id, body, {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={key}"}, f"/api/{project}/envelope/"


def sender(project, key):
    def ask(connection):
        _, body, headers, path = event(project, key)
        return expect(connection, "POST", path, 200, headers, body)
    return ask


def getter(picket, path):
    return lambda connection: expect(connection, "GET", path, 200, {"Authorization": f"Bearer {picket.token}"})


def visible(picket, project, key, pause=0.02):
    """Sends an event and asks for the project's count until it is there."""
    def ask(connection):
        before = picket.get(f"/api/projects/{project}")["digested_event_count"]
        failure = sender(project, key)(connection)
        while not failure and picket.get(f"/api/projects/{project}")["digested_event_count"] == before:
            time.sleep(pause)
        return failure
    return ask


class Load:
    """The generator stands for clients elsewhere, so it has a session of its own: the scheduler may share the cores out by session (autogroup), and
    Picket's part is not to be taken for it."""

    made = []

    def __init__(self, build, directory, dsn, *options):
        self.ids = os.path.join(directory, f"ids-{uuid.uuid4().hex}")
        self.process = subprocess.Popen([os.path.join(build, "tests/bench/load"), "-j", "-i", self.ids, *map(str, options), dsn], stdout=subprocess.PIPE,
                                        text=True, start_new_session=True)
        Load.made.append(self.process)

    def wait(self):
        out, _ = self.process.communicate()
        with open(self.ids, encoding="ascii") as f:
            self.acknowledged = {line.split()[1] for line in f}
        os.remove(self.ids)
        return json.loads(out)


def stored(picket, project):
    return picket.query(f"select replace(event_id::text, '-', '') from events where project_id = {int(project)}").split()


def sustainable(picket, build, directory, seconds, issues):
    """Rows per second while there is always something to digest, and refusals cost next to nothing: who is refused waits a little."""
    project, key = picket.project("find")
    load = Load(build, directory, dsn_of(picket, project, key), "-c", 64, "-k", issues, "-s", seconds, "-p", 100)
    time.sleep(seconds / 5)
    start, before = time.monotonic(), picket.rows(project)
    time.sleep(seconds * 3 / 5)
    rate = (picket.rows(project) - before) / (time.monotonic() - start)
    result = load.wait()
    wait_for("the backlog", lambda: picket.spool_bytes() == 0, 120)
    return rate, result


def ceiling(build, directory):
    """Requests per second that the generator brings to a server which only refuses, on the same cores."""
    port = free_port()
    server = subprocess.Popen([os.path.join(build, "tests/bench/floor"), "refuse", str(port)])
    try:
        wait_for("floor", lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        load = Load(build, directory, f"http://{'0' * 32}@127.0.0.1:{port}/1", "-c", FLOOD_CONNECTIONS, "-k", 1000, "-s", CEILING_SECONDS)
        return sum(load.wait()["statuses"].values()) / CEILING_SECONDS
    finally:
        server.kill()
        server.wait()


def cpu_seconds(pid, with_children=False):
    """Of a process, and of those of its children that are over or still run."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            times = [int(n) / TICKS for n in f.read().rsplit(")", 1)[1].split()[11:15]]
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            children = f.read().split() if with_children else []
    except FileNotFoundError:
        return 0.0
    return sum(times[:4 if with_children else 2]) + sum(cpu_seconds(child) for child in children)


class Cores:
    """How many cores each of the three kept busy."""

    def __init__(self, picket, load):
        with open(os.path.join(picket.data, "postgres", "data", "postmaster.pid"), encoding="ascii") as f:
            postmaster = int(f.readline())
        self.whose = {"generator": (load.process.pid, False), "picket": (picket.process.pid, False), "postgresql": (postmaster, True)}
        self.start, self.before = time.monotonic(), self.now()

    def now(self):
        return {name: cpu_seconds(*which) for name, which in self.whose.items()}

    def busy(self):
        seconds, now = time.monotonic() - self.start, self.now()
        return {name: (now[name] - self.before[name]) / seconds for name in now}


def measure_flood(picket, build, directory, seconds, rate, n_issues):
    most = ceiling(build, directory)
    found, closed = sustainable(picket, build, directory, min(max(seconds // FIND_SHARE, FIND_SECONDS[0]), FIND_SECONDS[1]), n_issues)
    asked = rate or TIMES * found
    project, key = picket.project("flood")
    other, other_key = picket.project("bystander")
    sender(other, other_key)(http.client.HTTPConnection("127.0.0.1", picket.port))
    load = Load(build, directory, dsn_of(picket, project, key), "-c", FLOOD_CONNECTIONS, "-k", n_issues, "-s", seconds, "-r", asked)
    cores, memory = Cores(picket, load), Memory(picket)
    issues = Latencies(picket, getter(picket, f"/api/projects/{project}/issues"), 0.1)
    health = Latencies(picket, getter(picket, "/health/ready"), 0.25)
    bystander = Latencies(picket, visible(picket, other, other_key), 0.25)
    time.sleep(max(seconds - 1, 0))
    busy = cores.busy()  # while all three are there to be asked
    load.process.wait()
    ended, digested = time.monotonic(), picket.rows(project)
    result = load.wait()
    for one in (issues, health, bystander):
        one.stop()
    wait_for("the backlog", lambda: picket.rows(project) >= len(load.acknowledged) and picket.spool_bytes() == 0, 600)  # rows may be of unknown ones
    drained = time.monotonic() - ended
    rows = stored(picket, project)
    statuses = {int(status): n for status, n in result["statuses"].items()}
    answered = sum(statuses.values()) / result["seconds"]
    return {"sustainable_per_second": found, "closed_loop_statuses": closed["statuses"], "generator_at_most_per_second": most, "rate_asked_for": asked,
            "rate_given": bool(rate), "issues": n_issues, "answered_per_second": answered, "times_sustainable": answered / found,
            "times_digested": sum(statuses.values()) / max(digested, 1),
            "digested_per_second": digested / result["seconds"], "cores": busy, "seconds": seconds, "statuses": statuses, "unknown": result["unknown"],
            "accepted_per_second": statuses.get(200, 0) / result["seconds"], "without_retry_after": result["without_retry_after"],
            "acknowledged": len(load.acknowledged), "stored": len(rows), "lost": len(load.acknowledged - set(rows)), "duplicated": len(rows) - len(set(rows)),
            "memory_mib": memory.stop(), "issues_p50_ms": issues.percentile(.5), "issues_p95_ms": issues.percentile(.95), "issues_asked": len(issues.ms),
            "health_p95_ms": health.percentile(.95), "failures": (issues.failures + health.failures + bystander.failures)[:10],
            "visible_p50_s": bystander.percentile(.5) / 1000, "visible_p95_s": bystander.percentile(.95) / 1000,
            "visible_max_s": max(bystander.ms) / 1000, "visible_worst_at_s": bystander.worst_at(), "visible_events": len(bystander.ms),
            "left_at_end": len(load.acknowledged) - digested, "drained_s": drained}


def measure_slow(picket, build, seconds, scale):
    project, key = picket.project("slow")
    other, other_key = picket.project("others")
    dsn = dsn_of(picket, project, key)
    sender(other, other_key)(http.client.HTTPConnection("127.0.0.1", picket.port))
    idle = Latencies(picket, sender(other, other_key), 0.01)
    time.sleep(3)
    idle.stop()
    counts = [int(n * scale) for n in (5000, 500, 1000)]
    asks = [option for target in large_answers(picket, project, key) for option in ("-g", target)]
    before = picket.memory()["RssAnon"]
    clients = subprocess.Popen([os.path.join(build, "tests/bench/slow"), "-H", str(counts[0]), "-B", str(counts[1]), "-D", str(counts[2]), *asks,
                                "-a", f"Authorization: Bearer {picket.token}", "-s", str(seconds), dsn], stdout=subprocess.PIPE, text=True)
    memory = Memory(picket)
    wait_for("all slow clients to be connected", lambda: len(os.listdir(f"/proc/{clients.pid}/fd")) >= sum(counts), 30)
    others = Latencies(picket, sender(other, other_key), 0.01)
    health = Latencies(picket, getter(picket, "/health/ready"), 0.25)
    out, _ = clients.communicate()
    others.stop()
    health.stop()
    return {"clients": counts, "seconds": seconds, "met": json.loads(out), "slow_p50_ms": others.percentile(.5), "slow_p99_ms": others.percentile(.99),
            "slow_max_ms": max(others.ms), "before_p99_ms": idle.percentile(.99), "events": len(others.ms), "health_p95_ms": health.percentile(.95),
            "failures": (others.failures + health.failures)[:10], "memory_mib": memory.stop(), "memory_before_mib": before,
            "memory_after_mib": picket.memory()["RssAnon"]}


def asked_of_database(picket):
    return int(picket.query("select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"))


def measure_keys(picket, build, directory, seconds, rate):
    project, key = picket.project("keys")
    known = Load(build, directory, dsn_of(picket, project, key), "-c", 16, "-k", 500, "-n", 2000, "-s", 60, "-p", 100)
    known.wait()
    wait_for("the backlog", lambda: picket.rows(project) >= len(known.acknowledged), 120)
    list_issues = getter(picket, f"/api/projects/{project}/issues")
    idle = Latencies(picket, list_issues, 0.01)
    time.sleep(seconds)
    idle.stop()
    before = asked_of_database(picket)
    load = Load(build, directory, dsn_of(picket, project, key), "-u", "-c", KEYS_CONNECTIONS, "-s", seconds,
                *(["-r", rate] if rate else []))
    cores, issues = Cores(picket, load), Latencies(picket, list_issues, 0.01)
    own = Latencies(picket, sender(project, key), 0.05)
    time.sleep(max(seconds - 1, 0))
    busy = cores.busy()
    result = load.wait()
    issues.stop()
    own.stop()
    return {"seconds": seconds, "statuses": result["statuses"], "answered_per_second": sum(result["statuses"].values()) / result["seconds"], "cores": busy,
            "without_retry_after": result["without_retry_after"], "transactions": asked_of_database(picket) - before, "issues_asked": len(issues.ms),
            "before_p50_ms": idle.percentile(.5), "before_p95_ms": idle.percentile(.95), "issues_p50_ms": issues.percentile(.5),
            "issues_p95_ms": issues.percentile(.95), "known_p95_ms": own.percentile(.95), "failures": (idle.failures + issues.failures + own.failures)[:10]}


def large_answers(picket, project, key):
    """Requests for an attachment and for an event, 1 MiB each or nearly."""
    event_id = uuid.uuid4().hex
    payload = json.dumps({"event_id": event_id, "message": "large", "extra": {f"part {i}": uuid.uuid4().hex * 400 for i in range(75)}})
    content = "a" * (1 << 20)
    body = "\n".join([json.dumps({"event_id": event_id}), json.dumps({"type": "event", "length": len(payload)}), payload,
                      json.dumps({"type": "attachment", "length": len(content), "filename": "large"}), content, ""])
    failure = expect(http.client.HTTPConnection("127.0.0.1", picket.port), "POST", f"/api/{project}/envelope/", 200,
                     {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={key}"}, body)
    if failure:
        raise SystemExit(failure)
    path = f"/api/projects/{project}"
    attachment = wait_for("the attachment", lambda: picket.get(path + "/attachments")["items"])[0]
    issue = wait_for("the event", lambda: picket.get(path + "/issues")["items"])[0]
    found = wait_for("the event", lambda: picket.get(f"{path}/issues/{issue['id']}/events")["items"])[0]
    return [f"GET {path}/attachments/{attachment['id']}/download", f"GET {path}/issues/{issue['id']}/events/{found['id']}/raw"]


def judge(results):
    """Bar by bar: (name, text, met)."""
    if "flood" in results:
        f = results["flood"]
        if not f["rate_given"]:
            yield ("offered", f"{f['times_sustainable']:.1f} times what can be digested, {TIMES} times asked for", f["times_sustainable"] >= BARS["offered"])
            yield "beside", f"{f['times_digested']:.1f} answers for each event that was digested meanwhile", f["times_digested"] >= BARS["beside"]
        refused = {status: n for status, n in f["statuses"].items() if status != 200}
        yield "stored", f"{f['acknowledged']:,} acknowledged, {f['lost']} lost, {f['duplicated']} twice", f["lost"] == f["duplicated"] == 0
        yield ("refusals", f"{refused}, {f['without_retry_after']} without Retry-After",
               set(refused) <= {429, 503} and f["without_retry_after"] == 0 and bool(refused))
        yield "memory", f"{f['memory_mib']:.1f} MiB RssAnon at most", f["memory_mib"] < BARS["memory_mib"]
        yield "issue list", f"p50 {f['issues_p50_ms']:.0f} ms, p95 {f['issues_p95_ms']:.0f} ms", f["issues_p95_ms"] < BARS["issues_p95_ms"]
        yield "health", f"p95 {f['health_p95_ms']:.0f} ms; failures of any probe: {f['failures'] or 'none'}", not f["failures"]
        yield ("visible", f"another's events p50 {f['visible_p50_s']:.2f} s, p95 {f['visible_p95_s']:.2f} s, at most {f['visible_max_s']:.2f} s, "
               f"which began after {f['visible_worst_at_s']:.0f} s", f["visible_max_s"] < BARS["visible_max_s"])
        yield "drained", f"{f['left_at_end']:,} events left when the flood ended, gone after {f['drained_s']:.1f} s", f["drained_s"] < BARS["drained_s"]
    if "slow" in results:
        s = results["slow"]
        yield ("slow clients", f"others' events p50 {s['slow_p50_ms']:.1f} ms, p99 {s['slow_p99_ms']:.1f} ms (before: {s['before_p99_ms']:.1f}), "
               f"failures {s['failures'] or 'none'}", s["slow_p99_ms"] < BARS["slow_p99_ms"] and not s["failures"])
        yield "their memory", (f"{s['memory_mib']:.1f} MiB RssAnon at most, {s['memory_before_mib']:.1f} before, {s['memory_after_mib']:.1f} at the end; "
                               f"clients met {s['met']}"), (
            s["memory_mib"] < BARS["slow_memory_mib"] and s["met"]["made"] >= sum(s["clients"]) and s["met"]["failed"] == 0)
        held = s["met"]["unread"].get("200", 0)
        yield "unread", f"{held} large answers at once before clients that do not read, {s['met']['unread']}", held > 0


    if "keys" in results:
        k = results["keys"]
        yield ("unknown keys", f"{k['answered_per_second']:,.0f}/s answered, {k['statuses']}, {k['without_retry_after']} without Retry-After; "
               f"{k['transactions']:,} transactions of the database meanwhile", set(k["statuses"]) <= {"403", "503"} and k["without_retry_after"] == 0)
        yield ("their cost", f"issue list p50 {k['issues_p50_ms']:.1f} ms, p95 {k['issues_p95_ms']:.1f} ms (before: {k['before_p50_ms']:.1f}, "
               f"{k['before_p95_ms']:.1f}), an event with a known key p95 {k['known_p95_ms']:.1f} ms; failures {k['failures'] or 'none'}",
               k["issues_p95_ms"] < BARS["issues_p95_ms"] and not k["failures"])


def report(results):
    if "workers" in results:
        print(f"workers    {results['workers']}")
    if "flood" in results:
        f = results["flood"]
        print(f"flood      {f['rate_asked_for']:,.0f}/s asked for, {f['answered_per_second']:,.0f}/s answered, {f['accepted_per_second']:,.0f}/s accepted for "
              f"{f['seconds']} s; {f['sustainable_per_second']:,.0f}/s can be digested, {f['digested_per_second']:,.0f}/s were")
        print("           cores kept busy: " + ", ".join(f"{name} {n:.2f}" for name, n in f["cores"].items()) +
              f"; the generator brings {f['generator_at_most_per_second']:,.0f}/s to a server that only refuses")
    if "keys" in results:
        print("keys       cores kept busy: " + ", ".join(f"{name} {n:.2f}" for name, n in results["keys"]["cores"].items()))
    for name, text, met in judge(results):
        print(f"{'ok  ' if met else 'MISS'} {name:<13} {text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default=os.path.join(ROOT, "build"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=int, default=600, help="of the flood; slow clients stay for a tenth of it, at least 60")
    parser.add_argument("--rate", type=float, help=f"events per second instead of {TIMES} times what was found; with keys, instead of as fast as answers come")
    parser.add_argument("--issues", type=int, default=ALL_NEW, help="distinct ones in the flood; default: each event is a new one")
    parser.add_argument("--workers", type=int, help="that digest (DIGEST_WORKERS); default: Picket's own. With 1 less can be digested than two cores could, so that "
                        "the generator has enough of them to bring three times as much")
    parser.add_argument("--scale", type=float, default=1, help="of the number of slow clients")
    parser.add_argument("--only", choices=("flood", "slow", "keys"))
    parser.add_argument("--binary", help="measure another binary than BUILD_DIRECTORY/picket")
    arguments = parser.parse_args()
    build = os.path.abspath(arguments.build)
    subprocess.run(["ninja", "-C", build, "--quiet", "picket", "tests/bench/load", "tests/bench/slow", "tests/bench/floor"], check=True, stdout=sys.stderr)
    directory = tempfile.mkdtemp(prefix="picket-overload-")
    os.chmod(directory, 0o755)  # started as root, Picket becomes another user
    picket = Picket(arguments.binary or os.path.join(build, "picket"), directory, SPOOL_DELAY_SECS="", **({"DIGEST_WORKERS": str(arguments.workers)} if arguments.workers else {}))
    results = {"workers": arguments.workers} if arguments.workers else {}
    try:
        if arguments.only in (None, "flood"):
            results["flood"] = measure_flood(picket, build, directory, arguments.seconds, arguments.rate, arguments.issues)
        if arguments.only in (None, "slow"):
            results["slow"] = measure_slow(picket, build, max(60, arguments.seconds // 10), arguments.scale)
        if arguments.only in (None, "keys"):
            results["keys"] = measure_keys(picket, build, directory, min(arguments.seconds, KEYS_SECONDS), arguments.rate)
    finally:
        for process in Load.made:
            process.kill()  # nothing to do if it is over and was waited for
            process.wait()
        picket.stop()
        shutil.rmtree(directory)
    results["bars"] = {name: met for name, _, met in judge(results)}
    if arguments.json:
        print(json.dumps(results, indent=1))
    else:
        report(results)
    return 0 if all(results["bars"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
