"""What has no id of its own (client reports, sessions, feedback, check-ins, the door's account) is counted once under the same faults as events: every
200 is counted, what got no answer may be, and nothing is counted twice (sql/migrations/0005_reports.sql)."""
import random
import threading
import time
import uuid

import pytest
import requests

import figures
import server
import wire
from proxy import DOWN, UP, Proxy
from sites import Site
from waiting import until

DIGEST = b"picket digest"
# How often each of them stands in an envelope.
REPORTS, SESSIONS, AGGREGATED, FEEDBACK = 1, 1, 2, 1


def body(event):
    return wire.envelope({}, *([wire.item("event", event)] if event else []),
                         wire.item("client_report", {"timestamp": time.time(), "discarded_events": [{"reason": "queue_overflow", "category": "error", "quantity": 1}]}),
                         wire.item("session", {"sid": uuid.uuid4().hex, "init": True, "started": time.time(), "status": "crashed", "attrs": {"release": "a@1"}}),
                         wire.item("sessions", {"aggregates": [{"started": time.time(), "exited": AGGREGATED}], "attrs": {"release": "a@1"}}),
                         wire.item("check_in", {"check_in_id": uuid.uuid4().hex, "monitor_slug": f"job-{random.randrange(100)}", "status": "ok",
                                                "monitor_config": {"schedule": {"type": "interval", "value": 1, "unit": "hour"}}}),
                         wire.item("feedback", {"event_id": uuid.uuid4().hex, "contexts": {"feedback": {"message": "hm"}}}))


class Sender:
    """Sends envelopes one by one, some with an event, until it is stopped; counts those that got a 200 and those that got no answer. A hundred a second, each of
    them six things to store, so that what waits in the end of a long trouble is stored soon."""

    PACE = 0.01

    def __init__(self, project):
        self.project = project
        self.answered = self.unknown = 0
        self.over, self.failure = threading.Event(), None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            while not self.over.wait(self.PACE):
                self.send()
        except Exception as e:  # told by stop()
            self.failure = e

    def send(self):
        try:
            answer = self.project.post(body(wire.error_event() if random.random() < 0.5 else None))
        except requests.RequestException:
            self.unknown += 1
            self.over.wait(0.05)
            return
        if answer.status_code == 200:
            self.answered += 1
        else:
            assert answer.status_code in (429, 503) and answer.headers["Retry-After"], answer.text

    def start(self):
        self.thread.start()
        self.wait_progress()
        return self

    def wait_progress(self, n=10):
        before = self.answered
        until(lambda: self.answered >= before + n or self.failure, lambda: f"no answers: {self.answered}", 30)

    def stop(self):
        self.over.set()
        self.thread.join(60)
        assert not self.failure and not self.thread.is_alive(), repr(self.failure)


def counted(picket, project_id):
    """What stands in the tables, per envelope."""
    ((reports,),) = picket.sql("SELECT coalesce(sum(quantity), 0)::int FROM outcomes WHERE project_id = %s AND outcome = 5", project_id)
    ((total, exited, crashed),) = picket.sql("SELECT coalesce(sum(total), 0)::int, coalesce(sum(exited), 0)::int, coalesce(sum(crashed), 0)::int FROM release_hours "
                                             "WHERE project_id = %s", project_id)
    ((feedback,),) = picket.sql("SELECT count(*) FROM feedback WHERE project_id = %s", project_id)
    ((sessions,),) = picket.sql("SELECT coalesce(sum(quantity), 0)::int FROM outcomes WHERE project_id = %s AND category = 5 AND outcome = 0", project_id)
    # Six of an environment are taken in a minute: what is beyond is counted, and what is taken is there.
    ((check_ins, taken),) = picket.sql("SELECT coalesce(sum(quantity), 0)::int, coalesce(sum(quantity) FILTER (WHERE outcome = 0), 0)::int FROM outcomes "
                                       "WHERE project_id = %s AND category = 10", project_id)
    if picket.sql("SELECT count(*) FROM check_ins WHERE project_id = %s", project_id) != [(taken,)]:
        check_ins = -1
    return {"check-ins": check_ins, "reports": reports, "sessions": total / (1 + AGGREGATED), "exited": exited / AGGREGATED, "crashed": crashed,
            "feedback": feedback, "accounts": sessions / 2}


def belong_together(found, torn):
    """Of each envelope all of it was stored, but for `torn` that a kill interrupted while they were written: of those the beginning may be there."""
    order = [found[kind] for kind in ("reports", "crashed", "exited", "check-ins", "feedback")]  # as in body()
    return order == sorted(order, reverse=True) and order[0] - order[-1] <= torn and all(order[2] <= found[kind] <= order[1] for kind in ("sessions", "accounts"))


def check(picket, sender, less=None, torn=0):
    """`less`: kinds that were made impossible for some envelopes. `torn`: how many may be there in part."""
    def is_right():
        found = counted(picket, sender.project.id)
        in_range = all(sender.answered <= n <= sender.answered + sender.unknown for kind, n in found.items() if kind != less)
        return in_range and (less or belong_together(found, torn))
    sender.project.drain()  # what would be counted a second time is counted then
    until(is_right, lambda: f"{sender.answered} answered, {sender.unknown} without an answer; counted {counted(picket, sender.project.id)}", 30)


@pytest.fixture
def proxied(cluster):
    proxy = Proxy(cluster.port)
    direct = cluster.new_database()
    site = Site(cluster, url=cluster.role_url(cluster.name_of(direct), proxy.port), books=direct, DATABASE_ACQUIRE_TIMEOUT_SECS=1)
    site.direct, site.proxy = server.Picket(site.directory, DATABASE_URL=direct), proxy
    try:
        yield site.start()
    finally:
        site.end()
        proxy.close()


@pytest.mark.parametrize("direction", [UP, DOWN], ids=["statement", "answer"])
def test_reports_when_the_connection_is_cut(proxied, direction):
    """Between COMMIT and its answer, too: nobody knows then, and it must not matter."""
    rounds = figures.amount(16, 100)
    sender = Sender(proxied.project).start()
    for n in range(rounds):
        place = n // 4 if direction == DOWN else random.randrange(8000)
        cut = proxied.proxy.cut_after(direction, place, how=("close", "reset")[n % 2], application=DIGEST)
        until(cut.done.is_set, f"nothing passed to be cut at byte {place}")
        sender.wait_progress(3)
    proxied.proxy.disarm()
    sender.stop()
    check(proxied.direct, sender)
    figures.note("reports: connection cut", rounds)


def test_reports_when_picket_is_killed(cluster, make_site):
    rounds = figures.amount(10, 200)
    site = make_site(DATABASE_URL=cluster.new_database())
    sender = Sender(site.project).start()
    for _ in range(rounds):
        time.sleep(random.uniform(0, 0.2))  # part of the fault: at any moment
        site.picket.kill()
        site.picket.start()
        sender.wait_progress(3)
    sender.stop()
    check(site.picket, sender, torn=rounds)  # a write that a kill ends stops at a page of the file
    figures.note("reports: picket killed (-9)", rounds)


def test_reports_when_a_statement_outlives_its_picket(cluster, make_site):
    """kill -9 while PostgreSQL still runs the statement that stores them: the next start waits for it before it decides what is done."""
    site = make_site(DATABASE_URL=cluster.new_database(), DIGEST_WORKERS=1)
    sender = Sender(site.project)
    held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'picket digest' AND wait_event_type = 'Lock'"
    for _ in range(figures.amount(3, 20)):
        with server.psycopg.connect(site.picket.conninfo()) as blocker:
            blocker.execute("LOCK TABLE feedback IN SHARE ROW EXCLUSIVE MODE")
            for _ in range(5):
                sender.send()
            until(lambda: site.picket.sql(held) == [(1,)], "the statement does not wait")
            site.picket.kill()
            site.picket.start(ready=False)
            until(lambda: site.picket.sql(held)[0][0] >= 1, "the statement does not wait")
        until(site.picket.is_ready, site.picket.said, 30)
        check(site.picket, sender)
    figures.note("reports: picket killed, its statement runs on", 1)


def test_poisonous_reports(cluster, make_site):
    """One that the database refuses goes to the dead letters; the others are stored, once; a retry stores it, once."""
    site = make_site(DATABASE_URL=cluster.new_database())
    sender = Sender(site.project)
    broken, bad = wire.item("event", wire.error_event("E", "poisonous event")), wire.item("feedback", {"contexts": {"feedback": {"message": "poison too"}}})
    site.picket.sql("ALTER TABLE issues ADD CONSTRAINT no_title CHECK (title NOT LIKE '%poisonous%') NOT VALID")
    site.picket.sql("ALTER TABLE feedback ADD CONSTRAINT poison CHECK (message NOT LIKE '%poison%') NOT VALID")
    assert site.project.post(wire.envelope({}, broken, bad)).status_code == 200  # in one batch: each is kept once
    both = "SELECT kind, attempts FROM dead_letters ORDER BY kind"
    until(lambda: site.picket.sql(both) == [(1, 1), (5, 1)], lambda: site.picket.sql(both), 30)
    site.picket.sql("DELETE FROM dead_letters")
    site.picket.sql("ALTER TABLE feedback DROP CONSTRAINT poison; ALTER TABLE issues DROP CONSTRAINT no_title")
    site.picket.sql("ALTER TABLE feedback ADD CONSTRAINT poison CHECK (message NOT LIKE '%poison%') NOT VALID")
    for i in range(30):
        sender.send()
        if i % 10 == 3:
            bad = wire.item("feedback", {"event_id": uuid.uuid4().hex, "contexts": {"feedback": {"message": f"poison {i}"}}})
            assert site.project.post(wire.envelope({}, bad)).status_code == 200
    check(site.picket, sender)
    letters = "SELECT kind, status, sqlstate, detail FROM dead_letters ORDER BY id"
    until(lambda: site.picket.sql(letters) == [(5, "dead", "23514", "poison")] * 3, lambda: site.picket.sql(letters), 30)
    site.picket.sql("ALTER TABLE feedback DROP CONSTRAINT poison")
    assert "3 of 3 dead letters stored" in site.picket.command("dlq", "retry", "--all")
    assert "nothing to do" in site.picket.command("dlq", "retry", site.picket.sql("SELECT min(id) FROM dead_letters")[0][0])
    assert site.picket.sql("SELECT count(*) FROM feedback WHERE message LIKE 'poison%%'") == [(3,)]
    figures.note("reports: poisonous ones", 3)
