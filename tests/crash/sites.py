"""One Picket under test with its projects, its senders and its books."""
import contextlib
import os
import threading

import psycopg

import client
import figures
import ledger
import load
import server
import wire
from waiting import until


class Site:
    """`books`: conninfo for the ledger, where the Picket's own way to the database is in trouble."""

    def __init__(self, cluster, private=False, url=None, books=None, program=None, **settings):
        self.directory = server.Directory()
        if not private:
            settings["DATABASE_URL"] = url or cluster.common_database()
        settings.setdefault("CREATE_SUPERUSER", ":".join(server.ADMIN))
        self.picket = server.Picket(self.directory, **settings)
        if program:
            self.picket.program = program
        self.promises = ledger.Promises()
        self.projects, self.loads = [], []
        self.watch = ledger.Watch(books or self.picket.conninfo())

    def start(self):
        self.picket.start()
        self.new_project()
        return self

    def new_project(self):
        self.projects.append(self.picket.new_project())
        return self.projects[-1]

    @property
    def project(self):
        return self.projects[0]

    def load(self, wait=True, **options):
        """Starts a load generator on all projects; it has been answered when this returns."""
        self.loads.append(load.Load(self.directory.path, self.projects, **options).start())
        if wait:
            self.loads[-1].wait_progress()
        return self.loads[-1]

    def send(self, value="one by one", project=None):
        """One event; its status. A 200 goes to the books."""
        project = project or self.project
        event = wire.error_event(value=value)
        self.promises.possible[project.id].append(event["event_id"].__eq__)
        answer = project.post(wire.event_envelope(event))
        if answer.status_code == 200:
            self.promises.add(project.id, client.accepted(answer))
        else:
            assert answer.status_code in (429, 503) and answer.headers.get("Retry-After"), f"{answer.status_code} {answer.headers} {answer.text}"
        return answer.status_code

    def send_promised(self, n=1, value="one by one"):
        assert [self.send(value) for _ in range(n)] == [200] * n

    def wait_accepting(self, seconds=20):
        until(lambda: self.send() == 200, lambda: f"events are refused:\n{self.picket.log()[-2000:]}", seconds, pause=0.05)

    def stored(self):
        return self.watch.stored([project.id for project in self.projects])

    def stored_or_none(self):
        n = self.stored()
        return (n,) if n >= 0 else None

    def wait_digesting(self, seconds=20):
        """More is stored than when this was called."""
        before = until(self.stored_or_none, "the database does not answer", seconds)[0]
        until(lambda: self.stored() > before, lambda: f"nothing is digested:\n{self.picket.log()[-2000:]}", seconds)

    def check(self, **options):
        """The figures; of books that do not balance the table gets a line before the test fails."""
        projects = [project.id for project in self.projects]
        try:
            result = ledger.check(self.watch, self.promises, projects, **options)
            ledger.check_attachments(self.watch.conninfo, self.promises, projects, os.path.join(self.picket.settings["DATA_DIR"], "attachments"))
            return result
        except AssertionError:
            with contextlib.suppress(psycopg.Error):  # the database does not answer: nothing is known
                figures.record_failure(ledger.look(self.watch.conninfo, self.promises, projects))
            raise

    def end(self):
        for one in self.loads:
            one.kill()
        self.watch.close()
        self.picket.end()


class Repeater:
    """Does something to the database or to Picket, over and over, beside the test."""

    def __init__(self, act, pause=0.05):
        self.act, self.pause = act, pause
        self.times, self.failure = 0, None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while not self.over.is_set():
                self.act()
                self.times += 1
                self.over.wait(self.pause)
        except Exception as e:  # told to the test by __exit__
            self.failure = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *failed):
        self.over.set()
        self.thread.join(60)
        assert failed[0] or (self.failure is None and not self.thread.is_alive()), repr(self.failure)
