"""A restart while the database cannot be used, for whatever reason: events for known keys are accepted from the start (src/cmd_serve.c, open_database), the
server says that it is not ready and why, and when the reason is gone everything is stored, once, without anybody's help."""
import contextlib
import os
import signal
import time

import psycopg
import pytest

import figures
import server
from test_database_away import MIGRATION_LOCK, copied_keys, key_copy, private_server, start_in_the_dark
from victims import children, is_gone
from waiting import until

RATE = 400



def readiness(site):
    answer = site.picket.http.get(site.picket.url + "/health/ready", timeout=10)
    return answer.status_code, answer.json()


def is_unready(site, word):
    status, body = readiness(site)
    assert status == 503 and body["status"] == "not_ready" and body["checks"] == {"database": "error"}, body
    return word in body["reason"]


def some_events(site, seconds=20):
    """In the database, and the key is in the copy."""
    run = site.load(rate=RATE, connections=8)
    site.wait_digesting(seconds)
    until(lambda: site.project.key in copied_keys(site.picket), "the key is not in the copy")
    return run


def dark_start(site, seconds=8):
    """It accepts within `seconds`."""
    began = time.monotonic()
    start_in_the_dark(site.picket)
    assert site.send("in the dark") == 200
    took = time.monotonic() - began
    assert took < seconds * (4 if server.SANITIZED else 1), f"the first event was accepted after {took:.1f} s"
    run = site.load(rate=RATE, connections=8)
    run.wait_progress()
    return run


def balance(site, fault, *runs):
    until(site.picket.is_ready, site.picket.said, 40)
    site.wait_digesting(40)
    for run in runs:
        run.stop(site.promises)
    figures.record(fault, 1, site.check(seconds=60))


def kill_private(site):
    """Picket and its PostgreSQL, by kill -9: what a crash of the machine leaves."""
    postmaster = private_server(site.picket)
    orphans = children(postmaster)
    site.picket.kill()
    os.kill(postmaster, signal.SIGKILL)
    until(lambda: all(map(is_gone, [postmaster, *orphans])), "PostgreSQL's processes outlive their postmaster", 60)


def test_private_server_that_does_not_start(make_site):
    site = make_site(private=True)
    before = some_events(site)
    kill_private(site)
    settings = os.path.join(site.picket.settings["DATA_DIR"], "postgres", "data", "postgresql.auto.conf")
    with open(settings, "a", encoding="ascii") as f:
        f.write("no_such_setting = on\n")
    during = dark_start(site)
    assert is_unready(site, "the private PostgreSQL does not run")
    until(lambda: "does not come back" in site.picket.log(), site.picket.log)  # the watch has tried again
    with open(settings, "w", encoding="ascii") as f:
        f.write("")
    balance(site, "a restart whose private PostgreSQL does not start", before, during)
    line = next(line for line in site.picket.log().splitlines() if "the private PostgreSQL does not start" in line)
    assert "level=error" in line and "ended at once" in line and os.path.join("postgres", "log") in line
    postmaster = private_server(site.picket)
    site.picket.stop()
    assert is_gone(postmaster)


def test_private_server_that_never_started_is_left_without_a_signal(make_site):
    """Stopped before it came back: nothing is there to stop, and it does not take long."""
    site = make_site(private=True)
    some_events(site).stop(site.promises)
    kill_private(site)
    programs = site.directory.join("nothing")
    os.mkdir(programs)
    site.picket.settings["POSTGRES_BIN_DIR"] = programs  # as while PostgreSQL's package is being exchanged
    dark_start(site).stop(site.promises)
    assert is_unready(site, "does not run")
    site.picket.stop()
    del site.picket.settings["POSTGRES_BIN_DIR"]
    site.picket.start()
    balance(site, "a restart without PostgreSQL's programs", site.load(rate=RATE, connections=8))


# ---- a database that answers, and refuses

@contextlib.contextmanager
def read_only(cluster, name):
    cluster.sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    try:
        yield
    finally:
        cluster.sql(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        cluster.end_sessions()


@contextlib.contextmanager
def out_of_reach(cluster, name):
    """Any statement that fails: this is the first one that looks for something of Picket's own."""
    cluster.sql("ALTER TABLE schema_info RENAME TO schema_info_elsewhere", database=name)
    try:
        yield
    finally:
        cluster.sql("ALTER TABLE schema_info_elsewhere RENAME TO schema_info", database=name)


@contextlib.contextmanager
def locked(cluster, name):
    with psycopg.connect(cluster.url(name)) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        yield


@contextlib.contextmanager
def no_sessions(cluster, name):
    cluster.sql(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
    try:
        yield
    finally:
        cluster.sql(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')


TROUBLES = {  # and what /health/ready says; the schema of a database that only lets read needs nothing
    "read-only": (read_only, None),
    "the schema locked": (locked, "locked"),
    "statements refused": (out_of_reach, "refuses"),
    # the long form only:
    "out of connections": (no_sessions, "does not answer"),
}


@pytest.mark.parametrize("trouble", figures.amount(list(TROUBLES)[:3], TROUBLES))
def test_restart_in_trouble(make_site, cluster, trouble):
    hurt, reason = TROUBLES[trouble]
    site = make_site(url=cluster.new_database(), DATABASE_ACQUIRE_TIMEOUT_SECS=1)
    before = some_events(site)
    site.picket.stop()
    with hurt(cluster, cluster.name_of(site.picket.conninfo())):
        during = dark_start(site)
        if reason:
            until(lambda: is_unready(site, reason), lambda: str(readiness(site)))
            during.wait_progress()
            site.picket.stop()  # in time
            during.stop(site.promises)
            during = dark_start(site)
    balance(site, f"a restart with the database in trouble: {trouble}", before, during)


@pytest.mark.parametrize("private", [False, True], ids=["foreign", "private"])
def test_stop_while_the_start_waits(make_site, private):
    """A statement of the start gets no answer for half a minute: SIGTERM ends it in time, well, and with the copy of the keys or without it. Without one
    and with a foreign database there is nothing to take apart."""
    site = make_site(private=private)
    some_events(site).stop(site.promises)
    copy = key_copy(site.picket)
    for without in (False, True) if private else (False,):
        site.picket.kill()  # a private PostgreSQL stays
        if without:
            os.unlink(copy)
        with contextlib.closing(psycopg.connect(site.picket.conninfo())) as other:  # a private PostgreSQL ends before it does
            other.execute("LOCK TABLE users")
            site.picket.start(ready=False)
            until(lambda: other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass").fetchone()[0],
                  site.picket.said)
            site.picket.stop()
        site.picket.start()
    balance(site, f"stopped while the start waits for a {'private' if private else 'foreign'} database", site.load(rate=RATE, connections=8))


def test_newer_schema_refuses_at_once(make_site, cluster):
    """decisions.md "a newer schema": with a copy of the keys, too, and where nothing may be written."""
    site = make_site(url=cluster.new_database())
    some_events(site).stop(site.promises)
    site.picket.stop()
    name = cluster.name_of(site.picket.conninfo())
    site.picket.sql("UPDATE schema_info SET value = '999999' WHERE key = 'min_release'")
    for hurt in (contextlib.nullcontext(), read_only(cluster, name)):
        with hurt:
            done = site.picket.run("serve")
            assert done.returncode == 1 and "install a newer release" in done.stderr, done.stderr
    site.picket.sql("UPDATE schema_info SET value = '1' WHERE key = 'min_release'")
    site.picket.start()
    balance(site, "a restart on a schema of a newer release", site.load(rate=RATE, connections=8))
