#!/usr/bin/env python3
"""A soak of three Pickets side by side: events of many issues, sessions, feedback, the API's reads, and refusals of every kind (no key, a wrong one, what
is no envelope, broken compression, too large, a flood's 429) between them. Two are under valgrind, one of them for a third of the time; the third
works at ten times their pace without. At the end: everything that was acknowledged is stored and everything that came is accounted for, valgrind
met no error and no leak at exit, what was still reachable did not grow with the time, and the memory of the third (RssAnon) did not grow between
the warm-up and the end. --json prints the figures as JSON. Exit status 1 when one of these does not hold.

usage: soak.py [--json] [--seconds N] [--rate N] [BUILD_DIRECTORY]   (needs python3, psql, valgrind; talks to 127.0.0.1 only)

--seconds is 1800; 60 are enough to see that all of it works, and whether something is lost with each request.
"""
import argparse
import http.client
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from subject import ROOT, Picket  # noqa: E402

WARM_UP = 120  # seconds
SUPPRESSIONS = os.path.join(ROOT, "tests", "valgrind.supp")
HIDDEN = 512 * 1024    # bytes that the suppressions may hide: chunks of as many requests as there were at once
GROWTH = 1.0           # MiB that caches and heaps may still gain after the warm-up
REACHABLE = 64 * 1024  # bytes, reachable or hidden, that the longer run may have more at its end than the shorter one
SETTLE_SECONDS = 120
PACE = 0.3             # of what was asked for must have been sent: three of them share the machine
BURST_EVERY, BURST_SECONDS, BURST_CONNECTIONS = 25, 4, 64  # seconds; the flood
SETTINGS = {"CORE_DUMPS": "true", "SPOOL_DELAY_SECS": "1", "DIGEST_WORKERS": "1", "DIGEST_BATCH_RECORDS": "100"}  # a flood is soon one


def parse_arguments():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("   (")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("build", nargs="?", default="build")
    return parser.parse_args()


def wrapper(directory, binary, log):
    """A program that runs Picket under valgrind: what it starts (PostgreSQL) is not looked at."""
    path = os.path.join(directory, "picket-under-valgrind")
    with open(path, "w", encoding="ascii") as f:
        f.write(f'#!/bin/sh\ncase $1 in serve) ;; *) exec {binary} "$@" ;; esac\n'
                f'exec valgrind --leak-check=full --suppressions={SUPPRESSIONS} --show-leak-kinds=definite,indirect,possible --errors-for-leak-kinds=definite,indirect '
                f'--error-exitcode=99 --trace-children=no --log-file={log} {binary} "$@"\n')
    os.chmod(path, 0o755)
    return path


def item(kind, payload):
    return f'{{"type":"{kind}"}}\n{json.dumps(payload)}\n'


def an_event(n):
    return item("event", {"event_id": uuid.uuid4().hex, "message": f"soak {n % 500}", "level": "error", "tags": {"n": str(n)}, "user": {"id": str(n % 100)},
                          "exception": {"values": [{"type": "Soak", "value": f"soak {n % 500}", "stacktrace": {"frames": [
                              {"function": f"f{n % 500}", "module": "m", "lineno": line, "in_app": True} for line in range(25)]}}]}})


def a_session(n):
    return item("session", {"sid": str(uuid.uuid4()), "init": True, "started": time.time(), "status": "exited", "did": str(n % 100),
                            "attrs": {"release": f"soak@{n % 10}", "environment": "production"}})


def a_feedback(n):
    return item("feedback", {"event_id": uuid.uuid4().hex, "contexts": {"feedback": {"message": f"soak {n}", "contact_email": f"{n % 100}@example.com"}}})


ACCEPTED = {"error": an_event, "session": a_session, "feedback": a_feedback}
# What is refused: status, key (None: the project's own), body, headers
REFUSED = [(401, "", "{}\n" + an_event(1), {}), (403, "0" * 32, "{}\n" + an_event(1), {}), (400, None, "not an envelope\n", {}),
           (400, None, '{}\n{"type":"event"}\n{"broken\n', {}), (400, None, "no gzip", {"Content-Encoding": "gzip"}),
           (413, None, None, {"Content-Length": str(1 << 40)})]


class Soak:
    """One Picket with its senders, on threads."""

    def __init__(self, picket, build, seconds, rate):
        self.picket, self.build, self.seconds, self.rate = picket, build, seconds, rate
        self.project, self.key = picket.project("soak")
        self.flood, self.flood_key = picket.project("flood")
        self.sent = dict.fromkeys(ACCEPTED, 0)
        self.requests = self.refused = self.limited = 0  # limited: of its own, when valgrind digests so slowly that little is much
        self.flooded, self.unknown = {200: 0, 429: 0}, 0  # answers that the flood read, and requests that it left without reading one
        self.warm, self.failure = None, None
        self.threads = [threading.Thread(target=self.run, args=(work,), daemon=True) for work in (self.work, self.bursts)]
        self.began = time.monotonic()
        for thread in self.threads:
            thread.start()

    def run(self, work):
        try:
            work()
        except Exception as e:  # pylint: disable=broad-exception-caught # told by end()
            self.failure = self.failure or repr(e)

    def passed(self):
        return time.monotonic() - self.began

    def post(self, key, body, headers, wanted):
        path = f"/api/{self.project}/envelope/" + (f"?sentry_key={key}" if key else "")
        connection = http.client.HTTPConnection("127.0.0.1", self.picket.port, timeout=60)
        try:
            connection.request("POST", path, body=body.encode() if body is not None else None, headers=headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status == 429 and answer.getheader("Retry-After"):
                self.limited += 1
            elif answer.status != wanted:
                raise AssertionError(f"{answer.status} instead of {wanted}: {said[:200]}")
            return answer.status
        finally:
            connection.close()

    def work(self):
        reads = itertools.cycle([f"/api/projects/{self.project}/{what}" for what in ("issues", "sessions", "feedback", "outcomes", "delivery")] +
                                ["/api/projects", "/api/status", "/health/ready", f"/api/projects/{self.project}"])
        kinds = itertools.cycle(["error", "error", "session", "error", "error", "feedback"])
        refusals = itertools.cycle(REFUSED)
        while self.passed() < self.seconds:
            n, kind = self.requests, next(kinds)
            if self.post(self.key, "{}\n" + ACCEPTED[kind](n), {}, 200) == 200:
                self.sent[kind] += 1
            if n % 4 == 0:
                self.picket.get(next(reads))
            if n % 4 == 2:
                status, key, body, headers = next(refusals)
                self.post(self.key if key is None else key, body, headers, status)
                self.refused += 1
            self.requests += 1
            if self.warm is None and self.passed() >= min(WARM_UP, self.seconds / 2):
                self.warm = self.picket.memory()["RssAnon"]
            time.sleep(max(0.0, self.began + self.requests / self.rate - time.monotonic()))

    def bursts(self):
        """Now and then another project sends as fast as it can."""
        for n in range(max(1, self.seconds // BURST_EVERY)):
            time.sleep(max(0.0, self.began + n * BURST_EVERY + 1 - time.monotonic()))
            said = json.loads(subprocess.run([os.path.join(self.build, "tests/bench/load"), "-j", "-c", str(BURST_CONNECTIONS), "-k", "200", "-s", str(BURST_SECONDS),
                                  f"http://{self.flood_key}@127.0.0.1:{self.picket.port}/{self.flood}"], check=True, capture_output=True, text=True).stdout)
            self.unknown += said["unknown"]
            for status, count in said["statuses"].items():
                self.flooded[int(status)] = self.flooded.get(int(status), 0) + count

    def accounts(self, project):
        """{(category, outcome): quantity}"""
        found = {}
        for line in self.picket.get(f"/api/projects/{project}/outcomes?hours=48")["totals"]:
            name = (line["category"], line["outcome"])
            found[name] = found.get(name, 0) + line["quantity"]
        return found

    def stored(self):
        return {"error": self.picket.rows(self.project),
                "session": int(self.picket.query(f"select coalesce(sum(total), 0) from release_hours where project_id = {self.project}")),
                "feedback": int(self.picket.query(f"select count(*) from feedback where project_id = {self.project}"))}

    def is_settled(self):
        """All that was acknowledged is stored and nothing else, and every item is accounted for once. The flood's last requests may have gone either way."""
        own, flood = self.accounts(self.project), self.accounts(self.flood)
        taken, refused = flood.get(("error", "accepted"), 0), sum(flood.get((name, "rate_limited"), 0) for name in ("default", "error"))  # unread, and read
        return (self.stored() == self.sent and all(own.get((kind, "accepted"), 0) == n for kind, n in self.sent.items()) and
                own.get(("default", "rate_limited"), 0) == self.limited and
                self.picket.rows(self.flood) == taken and taken >= self.flooded[200] and refused >= self.flooded[429] and
                taken + refused <= sum(self.flooded.values()) + self.unknown)

    def end(self):
        """What became of it; Picket is stopped."""
        for thread in self.threads:
            thread.join()
        end = time.monotonic() + SETTLE_SECONDS
        while not self.failure and not self.is_settled() and time.monotonic() < end:
            time.sleep(0.5)
        result = {"seconds": self.seconds, "acknowledged": self.sent, "stored": self.stored(), "refused": self.refused, "requests": self.requests, "limited": self.limited,
                  "flood": {str(status): n for status, n in self.flooded.items()}, "flood_stored": self.picket.rows(self.flood),
                  "unknown": self.unknown, "accounts": {" ".join(name): n for name, n in self.accounts(self.project).items()},
                  "flood_accounts": {" ".join(name): n for name, n in self.accounts(self.flood).items()}, "settled": self.is_settled(),
                  "warm_mib": round(self.warm or 0, 2), "end_mib": round(self.picket.memory()["RssAnon"], 2), "failure": self.failure}
        self.picket.process.terminate()
        result["exit_status"] = self.picket.process.wait(120)
        return result


def read_log(path, result):
    """What valgrind says at the end, into `result`."""
    with open(path, encoding="utf-8", errors="replace") as f:
        said = f.read()
    result["errors"] = len(re.findall(r"definitely lost in|indirectly lost in|Invalid (?:read|write|free)|uninitialised", said))
    for name, label in (("hidden_bytes", "suppressed"), ("reachable_bytes", "still reachable")):
        found = re.search(rf"{label}: ([\d,]+) bytes", said)
        result[name] = int(found.group(1).replace(",", "")) if found else None
    return said


def judge(results, rate):
    """(name, text, met)"""
    short, long, plain = results["short"], results["long"], results["plain"]
    for name, one in (("short", short), ("long", long), ("plain", plain)):
        wanted = rate * (10 if name == "plain" else 1) * one["seconds"]
        yield (f"{name}: stored", f"{one['acknowledged']} acknowledged, {one['stored']} stored; "
               f"flood {one['flood']}, {one['flood_stored']} stored, accounts {one['flood_accounts']}; "
               f"{one['refused']} other refusals; {one['failure'] or 'no failure'}, exit status {one['exit_status']}",
               one["settled"] and not one["failure"] and one["exit_status"] == 0 and one["requests"] >= wanted * PACE)
        yield f"{name}: refusals", f"{one['refused']} of {len(REFUSED)} kinds, {one['flood']['429']} times 429", (
            one["refused"] >= len(REFUSED) and one["flood"]["429"] > 0 and set(one["flood"]) <= {"200", "429"})
    for name, one in (("short", short), ("long", long)):
        yield f"{name}: valgrind", f"{one['errors']} errors and leaks, {one['hidden_bytes']} bytes hidden by suppressions", (
            one["errors"] == 0 and one["hidden_bytes"] is not None and one["hidden_bytes"] <= HIDDEN)
    for name in ("reachable_bytes", "hidden_bytes"):
        yield (name, f"{short[name]} after {short['seconds']} s, {long[name]} after {long['seconds']} s",
               None not in (short[name], long[name]) and long[name] - short[name] <= REACHABLE)
    yield "memory", f"RssAnon {plain['warm_mib']} MiB after the warm-up, {plain['end_mib']} MiB at the end", plain["end_mib"] - plain["warm_mib"] <= GROWTH


def soak(directory, build, seconds, rate):
    """The three of them; what they did, and what valgrind said."""
    binary, pickets, soaks, said = os.path.join(build, "picket"), {}, {}, ""
    try:
        for name in ("short", "long", "plain"):
            home = os.path.join(directory, name)
            os.mkdir(home)
            os.chmod(home, 0o755)  # Picket becomes another user
            log = os.path.join(home, "valgrind.log")
            with open(log, "wb"):
                os.chmod(log, 0o666)
            pickets[name] = Picket(binary if name == "plain" else wrapper(home, binary, log), home, **SETTINGS)
        for name, picket in pickets.items():
            soaks[name] = Soak(picket, build, seconds // 3 if name == "short" else seconds, rate * 10 if name == "plain" else rate)
        results = {name: one.end() for name, one in soaks.items()}
        for name in ("short", "long"):
            said += read_log(os.path.join(directory, name, "valgrind.log"), results[name])
        return results, said
    finally:
        for picket in pickets.values():
            if picket.process.poll() is None:  # something went wrong before
                picket.process.terminate()
                picket.process.wait(60)


def main():
    arguments = parse_arguments()
    build = os.path.abspath(os.path.join(ROOT, arguments.build))
    subprocess.run(["ninja", "-C", build, "--quiet", "picket", "tests/bench/load"], check=True, stdout=sys.stderr)
    directory = tempfile.mkdtemp(prefix="picket-soak-")
    os.chmod(directory, 0o755)
    try:
        results, said = soak(directory, build, arguments.seconds, arguments.rate)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    bars = list(judge(results, arguments.rate))
    if arguments.json:
        print(json.dumps({**results, "bars": {name: bool(met) for name, _, met in bars}}, indent=1))
    else:
        for name, text, met in bars:
            print(f"{'ok  ' if met else 'MISS'} {name:<16} {text}")
    if not all(met for *_, met in bars):
        print(said, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
