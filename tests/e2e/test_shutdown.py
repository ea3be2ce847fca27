"""Stopping (issue item 7, architecture.md "Threads"): SIGTERM finishes what is under way; nothing acknowledged is lost, what is spooled is digested at
the next start."""
import glob
import os
import re
import signal
import subprocess
import threading

import psycopg
import pytest

import server
import wire
from postgres import Cluster
from waiting import TIME_FACTOR, until


class Senders:
    """Threads that send one event after the other and remember which were acknowledged."""

    def __init__(self, project, n=8):
        self.project, self.acknowledged, self.refused = project, [], []
        self.threads = [threading.Thread(target=self.run) for _ in range(n)]
        for thread in self.threads:
            thread.start()

    def run(self):
        try:
            with wire.Connection(self.project.port) as connection:
                while True:
                    event = wire.error_event(value="sent until the end")
                    connection.send(wire.request("POST", self.project.ingest_path, list(self.project.auth.items()), wire.event_envelope(event)))
                    answer = connection.read_answer()
                    (self.acknowledged if answer.status == 200 else self.refused).append(event["event_id"] if answer.status == 200 else answer.status)
                    if answer.headers.get("connection") == "close":
                        return
        except (EOFError, OSError):
            return

    def join(self):
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a connection was left hanging"


def stored(picket, project):
    return [event_id.hex for event_id, in picket.sql("SELECT event_id FROM events WHERE project_id = %s", project.id)]


def check_all_there(picket, project, acknowledged):
    until(lambda: set(acknowledged) <= set(stored(picket, project)),
          lambda: f"{len(set(acknowledged) - set(stored(picket, project)))} of {len(acknowledged)} acknowledged events are not there")
    ids = stored(picket, project)
    assert len(ids) == len(set(ids))
    project.wait_count(len(ids))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_under_load(make_picket, number):
    """Exit 0 within 10 s; refusals on the way are 503 at worst; the next start has everything."""
    picket = make_picket().start()
    project = picket.new_project()
    senders = Senders(project)
    until(lambda: len(senders.acknowledged) > 500, "nothing is acknowledged")
    picket.stop(seconds=10, number=number)
    senders.join()
    assert set(senders.refused) <= {503}
    picket.start()
    check_all_there(picket, project, senders.acknowledged)


def test_a_clean_start_speaks_of_no_recovery(make_picket):
    """What is spooled and digested is no news; what waits is told as such; "recovered" is for what a crash damaged."""
    picket = make_picket().start()
    project = picket.new_project()
    project.send(*[wire.error_event() for _ in range(20)])
    project.wait_count(20)
    picket.stop()
    picket.start()
    assert "spool" not in re.sub(r"application=\S+", "", picket.log())
    with psycopg.connect(picket.conninfo()) as blocker:
        blocker.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        project.send(*[wire.error_event() for _ in range(20)])
        picket.stop()
    picket.start()
    assert re.search(r'level=info msg="spool holds undigested events" bytes=[1-9]', picket.log()) and "recovered" not in picket.log()
    project.wait_count(40)
    project.send(wire.error_event())
    project.wait_count(41)
    picket.kill()
    with open(max(glob.glob(os.path.join(picket.settings["DATA_DIR"], "spool", "*.seg"))), "ab") as f:
        f.write(b"torn by a crash")
    picket.start()
    assert re.search(r'level=warn msg="spool recovered" .*torn_bytes=[1-9]', picket.log())


def test_spooled_is_digested_at_the_next_start(make_picket):
    """The digest is held up by a lock while events are accepted and the server is stopped: they wait in the spool. The statement that waited for the
    lock is still at it inside PostgreSQL, may yet commit, and meets the redelivered records: all there, once."""
    picket = make_picket().start()
    project = picket.new_project()
    with psycopg.connect(picket.conninfo()) as blocker:
        blocker.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        ids = project.send(*[wire.error_event(value="spooled") for _ in range(300)])
        picket.stop()
        assert glob.glob(os.path.join(picket.settings["DATA_DIR"], "spool", "*")), "the spool is empty"
        picket.start()
        blocker.rollback()
    check_all_there(picket, project, ids)
    assert project.issue("spooled")["event_count"] == 300


def test_stop_with_idle_and_slow_connections(make_picket):
    """Connections that say nothing, and one in the middle of a body, do not hold the stop up."""
    picket = make_picket().start()
    project = picket.new_project()
    idle = [wire.Connection(picket.port) for _ in range(20)]
    idle[0].send(wire.request("POST", project.ingest_path, [*project.auth.items(), ("Content-Length", 1000)]) + b"{}")
    idle[1].send(b"POST /api")
    idle[2].send(wire.request("GET", "/health", []))
    assert idle[2].read_answer().status == 200
    picket.stop()
    for connection in idle:
        connection.socket.close()


def test_stop_while_the_database_is_away(make_picket):
    """SIGTERM still ends it in time, with what is spooled kept."""
    directory = server.Directory()
    away = Cluster(directory.join("postgres"))
    try:
        away.create()
        picket = make_picket(DATABASE_URL=away.migrated_database()).start()
        project = picket.new_project()
        project.send(wire.error_event())
        project.wait_count(1)
        away.stop()
        ids = project.send(*[wire.error_event() for _ in range(50)])
        picket.stop()
        away.start()
        picket.start()
        check_all_there(picket, project, ids)
        picket.stop()
    finally:
        away.stop()
        directory.remove()


def test_second_signal_is_harmless(make_picket):
    """An impatient operator: TERM, TERM, INT."""
    picket = make_picket().start()
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        if picket.is_alive():
            picket.process.send_signal(number)
    picket.stop()


def test_pipe_and_hangup(make_picket):
    """A reader of its output that goes away does not end it, whatever it says afterwards."""
    picket = make_picket(LOG_LEVEL="debug")
    reader, writer = os.pipe()
    process = subprocess.Popen([server.BINARY, "serve"], stdout=writer, stderr=writer, stdin=subprocess.DEVNULL, cwd="/",
                               env=server.environment(**picket.settings))
    picket.process = process  # for is_ready()
    try:
        os.close(writer)
        until(picket.is_ready, "not ready", 60)
        os.close(reader)
        project = picket.new_project()
        picket.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'picket%%' AND datname = current_database()")  # is logged
        until(picket.is_ready, "not ready again")
        until(lambda: status_of_nothing(project) == 200, "refused")
        os.kill(process.pid, signal.SIGPIPE)
        event = wire.error_event()
        project.send(event)
        project.find(event["event_id"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(10 * TIME_FACTOR) == 0
    finally:
        picket.process = None
        process.kill()
        process.wait()


def status_of_nothing(project):
    return project.post(b"{}").status_code
