"""The program under test: starts it on a free port of 127.0.0.1, waits until it is ready, keeps what it says, stops it by its process id."""
import json
import os
import pwd
import re
import signal
import subprocess
import tempfile
import threading

import psycopg
import requests

from client import Api, Project
from ports import free_port
from waiting import TIME_FACTOR, until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
BINARY = os.environ.get("PICKET_BINARY", os.path.join(BUILD, "picket"))
SANITIZER_REPORT = re.compile(rb"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|LeakSanitizer: detected")
ADMIN = ("admin@picket.local", "correct horse 1")


def is_sanitized():
    with open(BINARY, "rb") as f:
        return b"__asan_init" in f.read()


SANITIZED = is_sanitized() if os.path.exists(BINARY) else False


def environment(**settings):
    """What a child process gets: nothing of ours that could change the meaning of a test (proxies, locale, PG* variables)."""
    env = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS") if name in os.environ}
    env["LC_ALL"] = "C.UTF-8"
    if SANITIZED:
        env["CORE_DUMPS"] = "true"  # LeakSanitizer traces the process
    # Freed memory is held back by the sanitizer to catch late uses; bounded, so that memory can be watched.
    env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4:thread_local_quarantine_size_kb=64:detect_leaks=1"
    env.update({name: str(value) for name, value in settings.items() if value is not None})
    return env


def run(*arguments, stdin=None, timeout=60, **settings):
    """Runs a picket command to its end."""
    done = subprocess.run([BINARY, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=timeout * TIME_FACTOR, cwd="/",
                          env=environment(**settings))
    assert not SANITIZER_REPORT.search(done.stderr.encode()), done.stderr
    return done


class Directory:
    """A temporary directory which user postgres may enter, too."""

    def __init__(self):
        self.holder = tempfile.TemporaryDirectory(prefix="picket-e2e-", ignore_cleanup_errors=True)
        os.chmod(self.holder.name, 0o755)
        self.path = self.holder.name

    def join(self, *parts):
        return os.path.join(self.path, *parts)

    def remove(self):
        self.holder.cleanup()


class Picket:
    """`picket serve`. Settings are environment variables; DATABASE_URL=None means a private cluster."""

    def __init__(self, directory, **settings):
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = {"PORT": self.port, "DATA_DIR": directory.join("data"), "LOG_LEVEL": "info", "SPOOL_FREE_FLOOR_BYTES": "1M", "ATTACHMENTS_FREE_FLOOR_BYTES": "1M",
                         "OUTCOMES_EVERY_MS": 100,
                         "SPOOL_DELAY_SECS": "0"}  # tests send as fast as they can; what the door does about that is test_overload's
        self.settings.update(settings)
        self.program = [BINARY]  # another build of it, or behind a program that ends in exec
        self.process = None
        self.stdout, self.stderr, self.readers = [], [], []
        self.http = requests.Session()
        self.http.trust_env = False
        self._token = None

    # ---- process

    def start(self, ready=True):
        self.stdout, self.stderr = [], []
        self.process = subprocess.Popen([*self.program, "serve"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd="/",
                                        env=environment(**self.settings))
        self.readers = [threading.Thread(target=self._read, args=(pipe, lines), daemon=True)
                        for pipe, lines in ((self.process.stdout, self.stdout), (self.process.stderr, self.stderr))]
        for reader in self.readers:
            reader.start()
        if ready:
            until(self.is_ready, lambda: f"picket is not ready:\n{self.said()}", 60)
            until(self.has_said_so, lambda: f"picket does not say that it listens:\n{self.said()}")
        return self

    def has_said_so(self):
        """It prints that it listens, and logs it, a moment after it can be asked: whoever looks into its words later finds them complete so far."""
        logs = self.settings.get("LOG_LEVEL") in ("info", "debug")
        return not self.is_alive() or (" listens on " in self.printed() and (not logs or "listening" in self.log()))

    def wait_sample(self):
        """Until the first start's event, which it sends to itself, is stored and counted."""
        until(lambda: "became issue" in self.printed(), lambda: f"the sample event is not stored:\n{self.said()}", 30)
        return self

    @staticmethod
    def _read(pipe, lines):
        for line in pipe:
            lines.append(line)

    def is_ready(self):
        assert self.process.poll() is None, f"picket ended with {self.process.returncode}:\n{self.said()}"
        try:
            return self.http.get(self.url + "/health/ready", timeout=10).status_code == 200
        except requests.RequestException:
            return False

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def said(self):
        return self.printed() + self.log()

    def printed(self):
        return self._text(self.stdout)

    def log(self):
        return self._text(self.stderr)

    def _text(self, lines):
        """What was read so far; of a process that is over, all of it: its end may be known before its last words are read."""
        if self.process is not None and self.process.poll() is not None:
            for reader in self.readers:
                reader.join(10)
        return b"".join(list(lines)).decode("utf-8", "replace")

    def stop(self, seconds=10, number=signal.SIGTERM):
        """SIGTERM (or another); exit status 0 in time, and nothing from a sanitizer."""
        if not self.process:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        try:
            status = self.process.wait(seconds * max(TIME_FACTOR, 2 if SANITIZED else 1))
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"picket did not stop within {seconds} s:\n{self.said()[-4000:]}") from None
        self._reap()
        assert not SANITIZER_REPORT.search(self.log().encode()), self.log()[-20000:]
        assert status == 0, f"exit status {status}:\n{self.said()[-4000:]}"

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self._reap()

    def _reap(self):
        for reader in self.readers:
            reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()
        self.process = None
        self.http.close()

    def end(self):
        """For fixtures: stops what still runs, whatever state a failed test left it in, with the private cluster and the files."""
        try:
            self.stop()
        finally:
            self._stop_orphaned_cluster()
            self.directory.remove()

    def _stop_orphaned_cluster(self):
        """A killed Picket leaves its PostgreSQL running: that is a feature, but not after a test."""
        pid_file = os.path.join(self.settings["DATA_DIR"], "postgres", "postmaster.pid")
        pids = [os.path.join(base, "postmaster.pid") for base, _, files in os.walk(os.path.dirname(pid_file)) if "postmaster.pid" in files]
        for path in pids:
            with open(path, encoding="ascii") as f:
                pid = int(f.readline())
            os.kill(pid, signal.SIGQUIT)
            until(lambda gone=pid: not os.path.exists(f"/proc/{gone}"), "PostgreSQL does not stop", 30)

    def memory(self, field="RssAnon"):
        """Bytes of RssAnon (or RssFile …) of the process."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(rf"^{field}:\s+(\d+) kB", f.read(), re.M).group(1)) * 1024

    def run(self, *arguments, **more):
        """A picket command with the server's settings."""
        return run(*arguments, **{**self.settings, **more})

    def command(self, *arguments, **more):
        done = self.run(*arguments, **more)
        assert done.returncode == 0, f"picket {' '.join(map(str, arguments))}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    # ---- API and database

    @property
    def token(self):
        if not self._token:
            self._token = self.command("token", "add", "--description", "tests").strip()
        return self._token

    @property
    def api(self):
        return Api(self.url, token=self.token)

    def new_project(self, name=None):
        """A project through the API, with a name of its own."""
        answer = self.api.post("/api/projects", json={"name": name or f"p {os.urandom(6).hex()}"})
        assert answer.status_code == 201, answer.text
        return Project(self.api, answer.json())

    def projects(self):
        return json.loads(self.command("project", "list", "--json"))

    def conninfo(self):
        url = self.settings.get("DATABASE_URL")
        if url:
            return url
        run_dir = os.path.join(self.settings["DATA_DIR"], "postgres", "run")
        return f"host='{run_dir}' user=picket dbname=postgres"

    def sql(self, query, *arguments):
        """Rows of a query, asked behind Picket's back."""
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            cursor = connection.execute(query, arguments or None)
            return cursor.fetchall() if cursor.description else []


def owner_name(path):
    return pwd.getpwuid(os.stat(path).st_uid).pw_name
