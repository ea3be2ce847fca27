"""A PostgreSQL cluster that can be hurt: its processes killed, its sessions ended, its settings turned against its users."""
import contextlib
import os
import signal

import psycopg

import postgres
from waiting import until


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(child) for child in f.read().split()]


def is_gone(pid):
    """Ended, perhaps not yet waited for by whoever inherited it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Victim(postgres.Cluster):
    AUTH = "scram-sha-256"
    ROLE = "app"  # what Pickets log in as: no superuser, so limits hold for it
    common = None

    def create(self):
        super().create()
        self.sql("ALTER SYSTEM SET fsync = off")  # processes die here, never the kernel: what it was given it keeps
        self.sql("SELECT pg_reload_conf()")
        self.sql(f"CREATE ROLE {self.ROLE} LOGIN PASSWORD '{self.password}'")

    def new_database(self, tablespace="pg_default"):
        """URL, for the role, of a new database that belongs to it."""
        self.n_databases += 1
        name = f"crash_{self.n_databases:05}"  # of one length: places in recorded conversations are compared
        self.sql(f'CREATE DATABASE "{name}" OWNER {self.ROLE} TABLESPACE {tablespace}')
        return self.role_url(name)

    def common_database(self):
        """URL of the one database that tests share which do not hurt it: each has projects of its own."""
        self.common = self.common or self.new_database()
        return self.common

    def drop_database(self, url):
        self.sql(f'DROP DATABASE "{self.name_of(url)}" WITH (FORCE)')

    @staticmethod
    def name_of(url):
        """The database of a URL."""
        return url.split("?")[0].rsplit("/", 1)[1]

    def role_url(self, database, port=None):
        return f"postgresql://{self.ROLE}:{self.password}@127.0.0.1:{port or self.port}/{database}?sslmode=disable"

    def sql(self, query, *arguments, database="postgres"):
        """As superuser."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(query, arguments or None)
            return cursor.fetchall() if cursor.description else []

    def backends(self, application="picket%"):
        """Process ids of the role's sessions."""
        return [pid for pid, in self.sql("SELECT pid FROM pg_stat_activity WHERE usename = %s AND application_name LIKE %s", self.ROLE, application)]

    def end_sessions(self, application="picket%"):
        """How many were ended."""
        return len(self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND application_name LIKE %s", self.ROLE,
                            application))

    def cancel_statements(self, application="picket%"):
        self.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = %s AND application_name LIKE %s", self.ROLE, application)

    def kill_postmaster(self):
        """kill -9, as the kernel's out-of-memory killer would; its children notice and end by themselves."""
        orphans = children(self.process.pid)
        self.process.kill()
        self.process.wait()
        self.process = None
        until(lambda: all(map(is_gone, orphans)), "PostgreSQL's processes outlive their postmaster", 60)

    def kill_backend(self, pid):
        """kill -9 of one session: the postmaster ends all others and recovers from the log."""
        before = set(children(self.process.pid))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not before & set(children(self.process.pid)), "PostgreSQL does not begin anew", 60)
        until(self.answers, lambda: f"PostgreSQL does not recover: {self.tail()}", 60)

    @contextlib.contextmanager
    def no_sessions(self):
        """The role has none and gets none."""
        self.sql(f"ALTER ROLE {self.ROLE} CONNECTION LIMIT 0")
        try:
            def none_left():
                self.end_sessions()
                return not self.backends()
            until(none_left, "sessions stay", pause=0.02)
            yield
        finally:
            self.sql(f"ALTER ROLE {self.ROLE} CONNECTION LIMIT -1")

    @contextlib.contextmanager
    def setting(self, name, value):
        """ALTER SYSTEM, for everybody at once, for a while."""
        try:
            self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
            self.sql("SELECT pg_reload_conf()")
            yield
        finally:
            self.sql(f"ALTER SYSTEM RESET {name}")
            self.sql("SELECT pg_reload_conf()")
            until(lambda: self.sql(f"SHOW {name}")[0][0] != value, f"{name} stays {value}")

    @contextlib.contextmanager
    def role_setting(self, name, value):
        """ALTER ROLE … SET, seen by new sessions only: so all are ended, at the beginning and at the end."""
        try:
            self.sql(f"ALTER ROLE {self.ROLE} SET {name} = '{value}'")
            self.end_sessions()
            yield
        finally:
            self.sql(f"ALTER ROLE {self.ROLE} RESET {name}")
            self.end_sessions()
