"""The n-th call of every kind fails, is cut short, or is the last: issue 4 item 2. A small life of Picket (start, a few events of which one is
large, their digest, SIGTERM) is lived again and again, each time with one call of one kind going wrong, until a life meets none any more; after
each the same directory is started without trouble and the books must balance. nth.c stands between the released binary and its libraries."""
import os
import random
import signal
import struct
import subprocess
import time

import pytest
import requests

import client
import figures
import server
import wire
from waiting import TIME_FACTOR, until

LIBRARY = os.path.join(server.BUILD, "tests", "crash", "nth.so")
# kind, action, how many lives the quick form takes a sample of, and the exit states that are fine beside 0: who cannot start says why and ends
# with 1; for want of memory it stops at once (base/buf.h), as a process does that the kernel stops for the same reason.
KINDS = [("open", "fail", 6, (1,)), ("open", "kill", 3, ()), ("write", "fail", 6, (1,)), ("write", "short", 6, (1,)), ("write", "kill", 4, ()),
         ("sync", "fail", 6, (1,)), ("sync", "kill", 4, ()), ("rename", "fail", 4, (1,)), ("rename", "kill", 3, ()), ("mmap", "fail", 3, (1,)), ("mmap", "kill", 2, ()),
         ("pq", "fail", 10, (1,)), ("pq", "kill", 4, ()), ("alloc", "fail", 10, (1, -signal.SIGABRT)), ("alloc", "kill", 3, ())]
ALLOCATIONS = 400  # of the many thousand of a life, in the long form


class Life:
    def __init__(self, site, kind, action):
        self.site, self.kind, self.action = site, kind, action
        self.file = site.directory.join("calls")

    def live(self, n):
        """Lives it with the n-th call going wrong: the number of calls it made, and its exit status."""
        self.n = n
        with open(self.file, "wb") as f:
            f.write(bytes(8))
        os.chmod(self.file, 0o666)
        picket = self.site.picket
        trouble = {"LD_PRELOAD": LIBRARY, "NTH_KIND": self.kind, "NTH": n, "NTH_ACTION": self.action, "NTH_FILE": self.file}
        picket.settings.update(trouble)
        picket.start(ready=False)
        for name in trouble:
            del picket.settings[name]
        self.work()
        if picket.is_alive():
            picket.process.send_signal(signal.SIGTERM)
        try:
            status = picket.process.wait(20 * TIME_FACTOR)
        except subprocess.TimeoutExpired:
            picket.kill()
            raise AssertionError(f"{self.kind} {n} {self.action}: does not end\n{picket.said()[-3000:]}") from None
        picket.kill()  # its pipes
        with open(self.file, "rb") as f:
            return struct.unpack("=Q", f.read())[0], status

    def work(self):
        picket = self.site.picket
        deadline = time.monotonic() + 10 * TIME_FACTOR
        while picket.is_alive() and not self.answers() and time.monotonic() < deadline:
            time.sleep(0.01)
        for size in (10, 10, 700_000):
            if not picket.is_alive():
                return
            self.send(size)
        seen = time.monotonic() + 0.3
        while picket.is_alive() and time.monotonic() < seen:
            time.sleep(0.01)

    def answers(self):
        try:
            return requests.get(self.site.picket.url + "/health/ready", timeout=10).status_code == 200
        except requests.RequestException:
            return False

    def send(self, size):
        project = self.site.project
        event = wire.error_event(value="the n-th", extra={"filling": "x" * size})
        self.site.promises.possible[project.id].append(event["event_id"].__eq__)
        try:
            answer = project.post(wire.event_envelope(event))
        except requests.RequestException:
            return
        if answer.status_code == 200:
            self.site.promises.add(project.id, client.accepted(answer))
        else:
            what = f"{self.kind} {self.n} {self.action}: {answer.status_code} {answer.headers} {answer.text}\n{self.site.picket.said()[-3000:]}"
            assert answer.status_code in (429, 503) and answer.headers.get("Retry-After"), what


@pytest.mark.parametrize("kind, action, sample, endings", KINDS, ids=[f"{kind}-{action}" for kind, action, *_ in KINDS])
def test_nth(make_site, kind, action, sample, endings):
    site = make_site()
    site.picket.stop()
    life = Life(site, kind, action)
    calls, status = life.live(0)
    assert calls > 0 and status == 0, f"{calls} calls, exit status {status}\n{site.picket.said()[-3000:]}"
    if kind == "alloc":
        numbers = sorted(random.sample(range(1, calls + 1), figures.amount(sample, ALLOCATIONS)))
    elif figures.LONG:
        numbers = range(1, 10 * calls)  # ends at the first that is not met
    else:
        numbers = sorted(random.sample(range(1, calls + 1), min(sample, calls)))
    first_calls, lives, result = calls, 0, None
    for n in numbers:
        calls, status = life.live(n)
        if calls < n:  # no two lives are quite the same: a sampled one may be missed, of all of them this is the end
            if figures.LONG and kind != "alloc":
                break
            continue
        lives += 1
        fine = (-signal.SIGKILL,) if action == "kill" else (0, *endings)
        said = site.picket.said()  # the life's, until the next start
        assert status in fine, f"{kind} {n} {action}: ended with {status}\n{said[-3000:]}"
        assert status != 1 or "error" in said.lower() or "cannot" in said.lower(), f"{kind} {n} {action}: exit status 1 without a word\n{said}"
        site.picket.start()
        result = site.check()
        site.picket.stop()
    assert lives > 0 and result
    assert kind == "alloc" or not figures.LONG or lives >= 0.8 * first_calls  # it ended because no call was left
    figures.record(f"{kind}: the n-th {'is the last' if action == 'kill' else 'is cut short' if action == 'short' else 'fails'}", lives, result)
