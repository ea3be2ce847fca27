"""The load generator (tests/bench/load.c) as a background process of a test. It reconnects for as long as it runs; the ids whose 200 it read
are its promises."""
import json
import os
import signal
import subprocess

import server
from waiting import TIME_FACTOR, until

PROGRAM = os.path.join(server.BUILD, "tests", "bench", "load")
REFUSALS = (200, 429, 503)  # what may be answered when there is no room: the door asks who brings more than its share (src/spool/door.c)
SALT_DIGITS = 16  # of an id: the rest is a counter from 1


class Load:
    """Load(directory, projects).start() … stop(promises). Closed loop unless `rate` is given. With `ports`, each project is sent to at all of these,
    and ids that are sent again go to any of them."""

    made = 0

    def __init__(self, directory, projects, connections=8, rate=None, repeat=5, issues=50, bytes=None, timeout=20, ports=()):
        Load.made += 1
        self.ids = os.path.join(directory, f"ids-{Load.made}")
        self.projects = projects
        dsns = [project.dsn.replace(f":{project.port}/", f":{port}/") for project in projects for port in ports or [project.port]]
        options = {"-c": connections, "-r": rate, "-d": repeat, "-k": issues, "-b": bytes, "-t": timeout, "-s": 0, "-i": self.ids}
        self.command = [PROGRAM, "-j", *[str(part) for pair in options.items() if pair[1] is not None for part in pair], *dsns]
        self.process = self.result = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=server.environment())
        return self

    def written(self):
        """Bytes of the file of ids: it grows by a block now and then, so growing means progress."""
        assert self.process.poll() is None, f"the load generator ended: {self.process.stderr.read()}"
        return os.path.getsize(self.ids) if os.path.exists(self.ids) else 0

    def wait_progress(self, seconds=20):
        """Events were acknowledged after this call."""
        before = self.written()
        until(lambda: self.written() > before, "nothing is acknowledged", seconds, pause=0.005)

    def stop(self, promises, statuses=(200,), seconds=40):
        """Ends it, adds its promises, and returns what it counted. Nothing but `statuses` may have been answered, refusals with Retry-After."""
        self.process.send_signal(signal.SIGINT)
        try:
            out, err = self.process.communicate(timeout=seconds * TIME_FACTOR)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the load generator does not end: an answer never came") from None
        status, self.process = self.process.returncode, None
        assert status == 0, f"load: exit {status}\n{out}{err}"
        self.result = json.loads(out)
        self._promise(promises)
        answered = {int(status) for status in self.result["statuses"]}
        assert answered <= set(statuses), self.result
        assert self.result["bad_answers"] == 0 and self.result["without_retry_after"] == 0, self.result
        return self.result

    def _promise(self, promises):
        salts = set()
        with open(self.ids, encoding="ascii") as f:
            for line in f:
                project_id, event_id = line.split()
                promises.add(int(project_id), event_id)
                salts.add(event_id[:SALT_DIGITS])
        assert len(salts) <= 1
        sent = self.result["sent"]
        for project in self.projects:
            promises.possible[project.id].append(
                lambda event_id: (not salts or event_id[:SALT_DIGITS] in salts) and 1 <= int(event_id[SALT_DIGITS:], 16) <= sent)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.communicate()
            self.process = None
