"""A plain PostgreSQL cluster on 127.0.0.1 for DATABASE_URL, one per test session, with a database per user of it. PostgreSQL refuses to
run as root, so started as root it belongs to user postgres. Passwords are md5 here (and SCRAM in the crash tests): 4096 rounds for
each of thousands of connections were a tenth of the tests' processor time."""
import glob
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess

import psycopg

from ports import free_port
import server
from waiting import until


def bin_dir():
    """Where initdb and postgres are: the newest of Debian's, else PATH."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(re.findall(r"\d+", path)[0]))
    if found:
        return found[-1]
    return os.path.dirname(shutil.which("initdb") or "/usr/bin/initdb")


def as_service_user():
    """Arguments for subprocess that run a program as user postgres when we are root."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


class Cluster:
    AUTH = "md5"

    def __init__(self, directory):
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.log = os.path.join(directory, "log")
        self.port = free_port()
        self.password = secrets.token_hex(8)
        self.process = None
        self.n_databases = 0
        self.template = None

    def create(self):
        os.makedirs(self.directory, mode=0o755, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(self.directory, pwd.getpwnam("postgres").pw_uid, -1)
        secret = os.path.join(self.directory, "password")
        with open(secret, "w", encoding="ascii") as f:
            f.write(self.password)
        os.chmod(secret, 0o644)
        subprocess.run([os.path.join(bin_dir(), "initdb"), "--pgdata", self.data, "--username=picket", f"--pwfile={secret}", f"--auth={self.AUTH}",
                        "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"],
                       check=True, stdout=subprocess.DEVNULL, cwd="/", **as_service_user())
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(bin_dir(), "postgres"), "-D", self.data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
                 "-c", "unix_socket_directories=", "-c", "max_connections=200", "-c", "max_wal_size=2GB", "-c", "fsync=off",
                 "-c", "autovacuum_naptime=1h"],  # else it visits a hundred databases, most of them left, every minute
                stdout=log, stderr=log, cwd="/", **as_service_user())
        until(self.answers, lambda: f"PostgreSQL does not answer: {self.tail()}", 60)

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]

    def answers(self):
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            return True
        except psycopg.OperationalError:
            return False

    def stop(self, how=signal.SIGINT):
        """SIGINT is PostgreSQL's fast shutdown."""
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def url(self, database):
        return f"postgresql://picket:{self.password}@127.0.0.1:{self.port}/{database}"

    def sessions(self, url):
        """How many sessions of that database are over or open; none of Picket's is open, so that all have been counted."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            name = [url.rsplit("/", 1)[1]]
            until(lambda: connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", name).fetchone() == (0,), "a session stays")
            return connection.execute("SELECT sessions FROM pg_stat_database WHERE datname = %s", name).fetchone()[0]

    def new_database(self, like="template1"):
        """URL of a new database: empty, or a copy of that one, which nobody may be using."""
        self.n_databases += 1
        name = f"e2e_{self.n_databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
        return self.url(name)

    def migrated_database(self):
        """The same with Picket's schema. Only the first one is migrated: a copy costs a tenth."""
        if not self.template:
            url = self.new_database()
            server.run("migrate", DATABASE_URL=url).check_returncode()
            self.template = url.rsplit("/", 1)[1]
        return self.new_database(self.template)
