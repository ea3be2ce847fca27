"""What watches a Picket while it is measured: rows, backlog, memory, processor time. Looking costs little: one session, four looks a second."""
import contextlib
import json
import os
import statistics
import subprocess
import threading
import time

from overload import cpu_seconds

EVERY = 0.25  # seconds


class Session:
    """One psql for many statements: starting one for each look would be what is measured."""

    def __init__(self, picket):
        self.process = subprocess.Popen(["psql", "-XqtA", "-v", "ON_ERROR_STOP=1", "-h", os.path.join(picket.data, "postgres", "run"), "-U", "picket",
                                         "-d", "postgres"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.lock = threading.Lock()

    def ask(self, sql):
        """The lines that came back."""
        with self.lock:
            self.process.stdin.write(f"{sql};\n\\echo -- end\n")
            self.process.stdin.flush()
            lines = []
            for line in self.process.stdout:
                if line == "-- end\n":
                    return lines
                lines.append(line.rstrip("\n"))
        raise SystemExit(f"psql ended: {sql}")

    def number(self, sql):
        return int(self.ask(sql)[0] or 0)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def postmaster(picket):
    with open(os.path.join(picket.data, "postgres", "data", "postmaster.pid"), encoding="ascii") as f:
        return int(f.readline())


class Processors:
    """Seconds of processor time of Picket and of all processes of its PostgreSQL, since this was made."""

    def __init__(self, picket):
        self.whose = {"picket": (picket.process.pid, False), "postgresql": (postmaster(picket), True)}
        self.before = self.now()

    def now(self):
        return {name: cpu_seconds(*which) for name, which in self.whose.items()}

    def seconds(self):
        now = self.now()
        return {name: now[name] - self.before[name] for name in now}


class Watch:
    """Samples of (seconds, accepted, rows counted, RssAnon in MiB), from now until stop()."""

    def __init__(self, picket):
        self.picket, self.session, self.samples, self.over = picket, Session(picket), [], threading.Event()
        self.began = time.monotonic()
        self.look()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def look(self):
        rows = self.session.number("select sum(digested) from project_counters")
        accepted = self.picket.get("/api/status")["accept"]["events"]
        self.samples.append((time.monotonic() - self.began, accepted, rows, self.picket.memory()["RssAnon"]))

    def run(self):
        while not self.over.wait(EVERY):
            with contextlib.suppress(OSError, json.JSONDecodeError):  # too busy to tell: the next look will
                self.look()

    def stop(self):
        self.over.set()
        self.thread.join()
        self.session.close()
        return self

    def backlog(self, until=float("inf")):
        """[(seconds, events that are accepted and no rows yet)]"""
        return [(t, max(accepted - rows, 0)) for t, accepted, rows, _ in self.samples if t <= until]

    def digested_per_second(self, begin, end):
        within = [(t, rows) for t, _, rows, _ in self.samples if begin <= t <= end]
        if len(within) < 2 or within[-1][0] == within[0][0]:
            return 0.0
        return (within[-1][1] - within[0][1]) / (within[-1][0] - within[0][0])

    def memory(self):
        return max(mib for _, _, _, mib in self.samples)


def rise(points):
    """Of the line through them (least squares), per second."""
    if len(points) < 3:
        return 0.0
    return statistics.linear_regression([t for t, _ in points], [n for _, n in points]).slope
