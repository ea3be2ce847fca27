"""What is measured: a Picket of a release build with its private cluster, in a directory of its own."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        threading.Event().wait(0.01)
    raise SystemExit(f"{what}: not within {seconds} s")


class Picket:
    def __init__(self, binary, directory, **settings):
        self.binary, self.data, self.port = binary, os.path.join(directory, "data"), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {**os.environ, "DATA_DIR": self.data, "PORT": str(self.port), "PUBLIC_URL": self.url, "LOG_LEVEL": "warn",
                    "SPOOL_DELAY_SECS": "0", **settings}  # 0: what is accepted is measured, not what the door lets in beside the digest
        self.env.pop("DATABASE_URL", None)
        self.process = subprocess.Popen([binary, "serve"], env=self.env, stdout=subprocess.DEVNULL)
        wait_for("Picket", self.ready)
        self.token = self.command("token", "add").strip()

    def ready(self):
        try:
            return self.get("/health/ready")["status"] == "ready"
        except OSError:
            return False

    def command(self, *arguments):
        return subprocess.run([self.binary, *arguments], env=self.env, check=True, capture_output=True, text=True).stdout

    def get(self, path):
        request = urllib.request.Request(self.url + path, headers={"Authorization": "Bearer " + getattr(self, "token", "")})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def project(self, name):
        row = json.loads(self.command("project", "add", name, "--json"))[0]
        return row["id"], re.search(r"//([0-9a-f]{32})@", row["dsn"]).group(1)

    def rows(self, project):
        return int(self.query(f"select digested from project_counters where project_id = {int(project)}"))

    def spool_bytes(self):
        """What waits to be digested."""
        request = urllib.request.Request(self.url + "/metrics", headers={"Authorization": "Bearer " + self.token})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(re.search(r"^picket_spool_bytes (\d+)$", answer.read().decode(), re.M).group(1))

    def query(self, sql):
        sockets = os.path.join(self.data, "postgres", "run")
        if not os.path.isdir(sockets):
            raise SystemExit(f"no private cluster in {self.data}")
        return subprocess.run(["psql", "-XtA", "-h", sockets, "-U", "picket", "-d", "postgres", "-c", sql], check=True, capture_output=True,
                              text=True).stdout

    def memory(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            text = f.read()
        return {k: int(re.search(rf"{k}:\s+(\d+) kB", text).group(1)) / 1024 for k in ("RssAnon", "RssFile")}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(30) != 0:
            raise SystemExit(f"Picket ended with {self.process.returncode}")
