#!/usr/bin/env python3
"""A long soak of two Pickets side by side: events of many issues and the API's reads, at a slow pace under valgrind, at ten times that without. At
the end: everything that was acknowledged is stored, valgrind met no error and no leak at exit, and the memory of the other one (RssAnon) did not
grow between the warm-up and the end. --json prints the figures as JSON. Exit status 1 when one of these does not hold.

usage: soak.py [--json] [--seconds N] [--rate N] [BUILD_DIRECTORY]   (needs python3, psql, valgrind; talks to 127.0.0.1 only)
"""
import argparse
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from measure import ROOT, Picket, wait_for  # noqa: E402

WARM_UP = 120  # seconds
SUPPRESSIONS = os.path.join(ROOT, "tests", "valgrind.supp")
HIDDEN = 256 * 1024  # bytes that the suppressions may hide: more would be pools of requests
GROWTH = 1.0   # MiB that caches and heaps may still gain after it


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


def send(picket, project, key, n):
    payload = json.dumps({"event_id": uuid.uuid4().hex, "message": f"soak {n % 500}", "level": "error", "tags": {"n": str(n)},
                          "exception": {"values": [{"type": "Soak", "value": f"soak {n % 500}", "stacktrace": {"frames": [
                              {"function": f"f{n % 500}", "module": "m", "lineno": line, "in_app": True} for line in range(25)]}}]}})
    body = f'{{}}\n{{"type":"event"}}\n{payload}\n'.encode()
    request = urllib.request.Request(f"{picket.url}/api/{project}/envelope/?sentry_key={key}", data=body)
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


class Soak:
    """One Picket with its sender, on a thread."""

    def __init__(self, picket, seconds, rate):
        self.picket, self.seconds, self.rate = picket, seconds, rate
        self.project, self.key = picket.project("soak")
        self.sent, self.warm, self.failure = 0, None, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            self.work()
        except Exception as e:  # pylint: disable=broad-exception-caught # told by end()
            self.failure = repr(e)

    def work(self):
        reads = itertools.cycle([f"/api/projects/{self.project}/issues", "/api/projects", "/api/status", "/health/ready", f"/api/projects/{self.project}"])
        began = time.monotonic()
        while (passed := time.monotonic() - began) < self.seconds:
            send(self.picket, self.project, self.key, self.sent)
            self.sent += 1
            if self.sent % 4 == 0:
                self.picket.get(next(reads))
            if self.warm is None and passed >= min(WARM_UP, self.seconds / 2):
                self.warm = self.picket.memory()["RssAnon"]
            time.sleep(max(0.0, began + self.sent / self.rate - time.monotonic()))

    def end(self):
        """What became of it; Picket is stopped."""
        self.thread.join()
        wait_for("the digest", lambda: self.picket.rows(self.project) >= self.sent, 600)
        result = {"acknowledged": self.sent, "stored": self.picket.rows(self.project), "warm_mib": round(self.warm or 0, 2),
                  "end_mib": round(self.picket.memory()["RssAnon"], 2), "failure": self.failure}
        self.picket.process.terminate()
        result["exit_status"] = self.picket.process.wait(120)
        return result


def main():
    arguments = parse_arguments()
    binary = os.path.join(os.path.abspath(os.path.join(ROOT, arguments.build)), "picket")
    directory = tempfile.mkdtemp(prefix="picket-soak-")
    log = os.path.join(directory, "valgrind.log")
    with open(log, "wb"):
        os.chmod(log, 0o666)  # Picket becomes another user
    homes = [os.path.join(directory, name) for name in ("under-valgrind", "plain")]
    for path in (directory, *homes):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o755)
    pickets = []
    try:
        pickets.append(Picket(wrapper(directory, binary, log), homes[0], CORE_DUMPS="true"))
        pickets.append(Picket(binary, homes[1]))
        slow, plain = Soak(pickets[0], arguments.seconds, arguments.rate), Soak(pickets[1], arguments.seconds, arguments.rate * 10)
        results = {"seconds": arguments.seconds, "valgrind": slow.end(), "plain": plain.end()}
        with open(log, encoding="utf-8", errors="replace") as f:
            said = f.read()
    finally:
        for picket in pickets:
            if picket.process.poll() is None:  # something went wrong before
                picket.process.terminate()
                picket.process.wait(60)
        shutil.rmtree(directory, ignore_errors=True)
    results["valgrind"]["errors"] = len(re.findall(r"definitely lost in|indirectly lost in|Invalid (?:read|write|free)|uninitialised", said))
    hidden = re.search(r"suppressed: ([\d,]+) bytes", said)
    results["valgrind"]["hidden_bytes"] = int(hidden.group(1).replace(",", "")) if hidden else None
    ok = hidden and results["valgrind"]["hidden_bytes"] <= HIDDEN
    for one, rate in ((results["valgrind"], arguments.rate), (results["plain"], arguments.rate * 10)):
        ok = ok and one["acknowledged"] >= 0.7 * rate * arguments.seconds
    ok = ok and all(one["stored"] == one["acknowledged"] and not one["failure"] and one["exit_status"] == 0 for one in (results["valgrind"], results["plain"]))
    ok = ok and results["valgrind"]["errors"] == 0 and results["plain"]["end_mib"] - results["plain"]["warm_mib"] <= GROWTH
    if arguments.json:
        print(json.dumps({**results, "ok": bool(ok)}, indent=1))
    else:
        v, p = results["valgrind"], results["plain"]
        print(f"valgrind  {v['acknowledged']:,} events acknowledged in {arguments.seconds} s, {v['stored']:,} stored; errors and leaks: {v['errors']}")
        print(f"plain     {p['acknowledged']:,} events acknowledged, {p['stored']:,} stored; RssAnon {p['warm_mib']} MiB after the warm-up, "
              f"{p['end_mib']} MiB at the end")
        print("ok" if ok else "FAILED")
    if not ok:
        print(said, results["valgrind"]["failure"], results["plain"]["failure"], file=sys.stderr)
    sys.exit(0 if ok else 1)


main()
