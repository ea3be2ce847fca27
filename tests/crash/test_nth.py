"""The n-th call of every kind fails, is cut short, or is the last: issue 4 item 2. A small life of Picket (start, a few events of which one is
large and one has an attachment, attachments by themselves, their digest, SIGTERM) is lived again and again, each time with one call of one kind going
wrong, until a life meets none any more; after each the same directory is started without trouble and the books must balance. nth.c stands between the
released binary and its libraries.

Of allocations a life makes some 230,000, from less than a thousand places (a place is the four callers behind malloc): the long form lets the first from
each place fail, and looks into the books after every few lives, each of which is the recovery from the one before."""
import hashlib
import itertools
import os
import random
import signal
import struct
import subprocess
import time
import uuid

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
KINDS = [("open", "fail", 4, (1,)), ("open", "kill", 2, ()), ("write", "fail", 3, (1,)), ("write", "short", 3, (1,)), ("write", "kill", 2, ()),
         ("sync", "fail", 3, (1,)), ("sync", "kill", 2, ()), ("rename", "fail", 2, (1,)), ("rename", "kill", 2, ()), ("mmap", "fail", 2, (1,)), ("mmap", "kill", 1, ()),
         ("pq", "fail", 6, (1,)), ("pq", "kill", 2, ())]
ALLOC_PARTS = 4        # of the long form, which run side by side
ALLOC_KILLS = 50       # places of each part: to end there is to be killed at any other time
LIVES_BEYOND = 3       # that meet no trouble, one after the other: there is no such call any more
LIVES_PER_CHECK = 10   # of those with a failing allocation
PLACES_BYTES = 8 << 20  # of NTH_SITES: eight for each allocation of a life
ALWAYS = b"what is attached in every life" * 400  # the first writes it, the others find it there


class Life:
    def __init__(self, site, kind, action):
        self.site, self.kind, self.action = site, kind, action
        self.file = site.directory.join("calls")

    def places(self):
        """Where memory is asked for in a life, each once, in the order of the first call."""
        path = self.site.directory.join("places")
        with open(path, "wb") as f:
            f.truncate(PLACES_BYTES)
        os.chmod(path, 0o666)
        calls, status = self.live(0, NTH_SITES=path)
        assert status == 0 and 0 < calls <= PLACES_BYTES // 8, f"{calls} calls, exit status {status}"
        with open(path, "rb") as f:
            return [f"{place:x}" for place in dict.fromkeys(struct.unpack(f"={calls}Q", f.read(8 * calls)))]

    def live(self, n, **more):
        """Lives it with the n-th call going wrong: the number of calls it made, and its exit status."""
        self.n = f"{n} {more or ''}"
        with open(self.file, "wb") as f:
            f.write(bytes(8))
        os.chmod(self.file, 0o666)
        picket = self.site.picket
        trouble = {"LD_PRELOAD": LIBRARY, "NTH_KIND": self.kind, "NTH": n, "NTH_ACTION": self.action, "NTH_FILE": self.file, **more}
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
        for act in (lambda: self.send(10), lambda: self.send(10, wire.item("attachment", b"beside an event", filename="beside.txt")), lambda: self.send(700_000),
                    lambda: self.attach(ALWAYS), lambda: self.attach(os.urandom(10_000))):
            if not picket.is_alive():
                return
            act()
        seen = time.monotonic() + 0.3
        while picket.is_alive() and time.monotonic() < seen:
            time.sleep(0.01)

    def answers(self):
        try:
            return requests.get(self.site.picket.url + "/health/ready", timeout=10).status_code == 200
        except requests.RequestException:
            return False

    def send(self, size, *attached):
        """An event. What is attached to it may be left out: the event is taken all the same, and that is counted (src/ingest/attach.c)."""
        project = self.site.project
        event = wire.error_event(value="the n-th", extra={"filling": "x" * size})
        self.site.promises.possible[project.id].append(event["event_id"].__eq__)
        answer = self.post(wire.envelope({"event_id": event["event_id"]}, wire.item("event", event), *attached))
        if answer:
            self.site.promises.add(project.id, client.accepted(answer))

    def attach(self, content):
        """An attachment and nothing else: a 200 is for its bytes and its row."""
        event_id = uuid.uuid4().hex
        if self.post(wire.envelope({"event_id": event_id}, wire.item("attachment", content, filename="alone.bin"))):
            self.site.promises.attachments.add((self.site.project.id, event_id, hashlib.sha256(content).hexdigest()))

    def post(self, body):
        """The answer if it is a 200; else it is a refusal, or none came."""
        try:
            answer = self.site.project.post(body)
        except requests.RequestException:
            return None
        if answer.status_code != 200:
            what = f"{self.kind} {self.n} {self.action}: {answer.status_code} {answer.headers} {answer.text}\n{self.site.picket.said()[-3000:]}"
            assert answer.status_code in (429, 503) and answer.headers.get("Retry-After"), what
            return None
        return answer


def assert_ended_well(life, status, endings):
    said = life.site.picket.said()  # the life's, until the next start
    fine = (-signal.SIGKILL,) if life.action == "kill" else (0, *endings)
    if " listens on " in said and 1 in fine:  # whoever serves goes on; for want of memory it may stop at once
        fine = tuple(status for status in fine if status != 1)
    if life.kind == "alloc" and "cannot allocate memory for thread-local data" in said:
        fine = (127,)  # libc's dynamic linker ends the process by itself
    assert status in fine, f"{life.kind} {life.n} {life.action}: ended with {status}\n{said[-3000:]}"
    assert status != 1 or "error" in said.lower() or "cannot" in said.lower(), f"{life.kind} {life.n} {life.action}: exit status 1 without a word\n{said}"


def balance(life):
    life.site.picket.start()
    result = life.site.check()
    life.site.picket.stop()
    return result


def record(life, lives, result):
    what = {"kill": "is the last", "short": "is cut short", "fail": "fails"}[life.action]
    figures.record(f"{life.kind}: the {'first of a place' if life.kind == 'alloc' else 'n-th'} {what}", lives, result)


@pytest.fixture
def make_life(make_site):
    def make(kind, action):
        site = make_site()
        site.picket.stop()
        return Life(site, kind, action)

    return make


@pytest.mark.parametrize("kind, action, sample, endings", KINDS, ids=[f"{kind}-{action}" for kind, action, *_ in KINDS])
def test_nth(make_life, kind, action, sample, endings):
    life = make_life(kind, action)
    first_calls, status = life.live(0)
    assert first_calls > 0 and status == 0, f"{first_calls} calls, exit status {status}\n{life.site.picket.said()[-3000:]}"
    numbers = itertools.count(1) if figures.LONG else sorted(random.sample(range(1, first_calls + 1), min(sample, first_calls)))
    lives, missed, result = 0, 0, None
    for n in numbers:
        calls, status = life.live(n)
        if calls < n:  # no two lives are quite the same: a sampled one may be missed; of all of them this is the end, if the next ones say so, too
            missed += 1
            if figures.LONG and missed == LIVES_BEYOND:
                break
            continue
        lives, missed = lives + 1, 0
        assert_ended_well(life, status, endings)
        result = balance(life)
    assert lives > 0 and result
    record(life, lives, result)


@pytest.mark.parametrize("part", range(figures.amount(1, ALLOC_PARTS)))
@pytest.mark.parametrize("action, sample, endings", [("fail", figures.amount(5, None), (1, -signal.SIGABRT)), ("kill", figures.amount(2, ALLOC_KILLS), ())])
def test_an_allocation(make_life, action, sample, endings, part):
    life = make_life("alloc", action)
    places = sorted(life.places())[part::figures.amount(1, ALLOC_PARTS)]
    wanted = min(sample or len(places), len(places))
    if sample:
        random.shuffle(places)
    lives = 0
    for place in places[:3 * wanted]:
        calls, status = life.live(1, NTH_SITE=place)
        if not calls:  # no two lives are quite the same
            continue
        lives += 1
        assert_ended_well(life, status, endings)
        if lives == wanted:
            break
        if lives % LIVES_PER_CHECK == 0:
            balance(life)
    assert lives >= (wanted if sample else 0.9 * wanted), f"{lives} of {wanted} places were met"
    record(life, lives, balance(life))
