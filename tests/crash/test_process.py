"""The process itself: stopped, suspended, started twice, started on a schema of another release, interrupted while it migrates, and with a clock
that jumps by a day."""
import glob
import os
import pathlib
import signal
import time

import pytest

import figures
import server
from load import REFUSALS
from postgres import free_port
from proxy import DOWN, UP, Proxy
from sites import Site
from waiting import until

FAKETIME = (glob.glob("/usr/lib/*/faketime/libfaketime.so.1") or [None])[0]


# ---- signals

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_stop_under_load(make_site, number):
    """Exit 0 within 10 s, nothing lost. A refusal while it stops is 503 with Retry-After, as everywhere."""
    site = make_site()
    rounds = figures.amount(2, 40)
    run = site.load(connections=32)
    for _ in range(rounds):
        site.picket.stop(seconds=10, number=number)
        site.picket.start()
        run.wait_progress()
    run.stop(site.promises, statuses=REFUSALS)
    figures.record(f"{number.name} under load", rounds, site.check(seconds=60))


def test_suspended(make_site):
    """SIGSTOP and SIGCONT: for a while nothing answers, and then everything goes on where it was. A request whose deadline passed meanwhile is
    refused."""
    site = make_site()
    seconds = figures.amount(5, 30)
    run = site.load(connections=16, rate=1000, timeout=60)
    site.wait_digesting()
    site.picket.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    site.picket.process.send_signal(signal.SIGCONT)
    site.wait_digesting()
    run.wait_progress()
    run.stop(site.promises, statuses=REFUSALS)
    figures.record(f"suspended for {seconds} s", 1, site.check(seconds=60))


# ---- the clock

@pytest.fixture
def clock():
    """A file that says how far off the wall clock of a Picket is; monotonic time is left alone, as a step of the clock leaves it."""
    if not FAKETIME:
        pytest.skip("libfaketime is not installed")
    directory = server.Directory()  # user postgres reads it, too
    path = pathlib.Path(directory.join("clock"))

    def set_off(text):
        new = path.with_suffix(".new")
        new.write_text(text + "\n")
        os.chmod(new, 0o644)
        os.replace(new, path)
    set_off("+0")
    set_off.settings = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(path), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    yield set_off
    directory.remove()


def receipt_days(site):
    return [day for day, in site.picket.sql("SELECT DISTINCT (received_at AT TIME ZONE 'UTC')::date FROM events WHERE project_id = %s ORDER BY 1", site.project.id)]


def test_clock_jumps(make_site, clock):
    """A day forth and back, then a day back and forth, with ids that are sent again across each jump."""
    site = make_site(**clock.settings)
    rounds = figures.amount(1, 10)
    for there in ["+1d", "-1d"] * rounds:
        run = site.load(rate=400, connections=8, repeat=20)
        site.wait_digesting()
        for offset in (there, "+0"):
            clock(offset)
            run.wait_progress()
            site.wait_digesting()
        run.stop(site.promises)
    result = site.check()
    assert len(receipt_days(site)) == 3
    figures.record("clock jumps by a day", 4 * rounds, result)


# ---- two of them

def test_second_on_the_same_directory(make_site):
    """The second one refuses to start and says why; the first one does not notice."""
    site = make_site()
    run = site.load(rate=400, connections=8)
    second = site.picket.run("serve", PORT=free_port())
    assert second.returncode == 1
    assert "another Picket uses this spool" in second.stderr and site.picket.settings["DATA_DIR"] in second.stderr
    run.wait_progress()
    run.stop(site.promises)
    figures.record("second Picket on its directory", 1, site.check())


def test_two_on_one_database(make_site, cluster):
    """Two directories, one database, the same ids sent to both: each stored once, whoever comes first."""
    first = make_site()
    second = make_site(start=False, url=first.picket.conninfo())
    second.picket.start()
    second.projects, second.promises = first.projects, first.promises
    runs = [first.load(rate=600, connections=8), first.load(rate=600, connections=8, port=second.picket.port)]
    first.wait_digesting()
    for site in (second, first, second):
        site.picket.kill()
        site.picket.start()
        for run in runs:
            run.wait_progress()
    for run in runs:
        run.stop(first.promises)
    figures.record("two Pickets on one database, killed in turns", 3, first.check())


# ---- schemas of other releases

def test_schema_that_needs_a_newer_release(make_site, cluster):
    """decisions.md "a newer schema": refused, with words; a number that is merely newer is not."""
    site = make_site(url=cluster.new_database())
    picket = site.picket
    site.send_promised(3)
    known = picket.sql("SELECT max(number) FROM schema_migrations")[0][0]
    picket.stop()
    picket.sql("INSERT INTO schema_migrations VALUES (%s, 'from the future')", known + 1)
    picket.start()
    site.send_promised(3)
    picket.stop()
    picket.sql("UPDATE schema_info SET value = %s WHERE key = 'min_release'", str(known + 1))
    refused = picket.run("serve")
    assert refused.returncode == 1 and "install a newer release" in refused.stderr and str(known + 1) in refused.stderr
    picket.sql("UPDATE schema_info SET value = '1' WHERE key = 'min_release'")
    picket.start()
    site.send_promised(3)
    figures.record("schema of a newer release", 1, site.check())


# ---- migrations interrupted

def migration_bytes(cluster):
    """How many bytes a whole migration sends and receives."""
    proxy = Proxy(cluster.port, keeps=True)
    try:
        url = cluster.role_url(cluster.name_of(cluster.new_database()), proxy.port)
        done = server.run("migrate", DATABASE_URL=url, DATA_DIR="/nonexistent")
        assert done.returncode == 0, done.stderr
        link, = proxy.past
        return {direction: len(link.record[direction]) for direction in (UP, DOWN)}
    finally:
        proxy.close()


def schema(cluster, url):
    """The schema in words, to be compared."""
    database = cluster.name_of(url)
    return cluster.sql("""SELECT table_name, column_name, ordinal_position, data_type, is_nullable FROM information_schema.columns
                           WHERE table_schema = 'public' AND table_name !~ '^events_[0-9]' ORDER BY 1, 2""", database=database) + \
        cluster.sql("SELECT number, name FROM schema_migrations ORDER BY 1", database=database) + \
        cluster.sql("SELECT proname, md5(prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1", database=database)


@pytest.mark.parametrize("how", ["killed", "session ended", "cut"])
def test_migration_interrupted(cluster, how):
    """kill -9 of Picket, pg_terminate_backend, a cut connection, each at many places of the conversation: the next start completes."""
    rounds = figures.amount(3, 60)
    total = migration_bytes(cluster)
    proxy = Proxy(cluster.port)
    expected, hits = None, 0
    try:
        for n in range(rounds):
            direction = (DOWN, UP, DOWN)[n % 3]
            place = total[direction] * (n + 1) // (rounds + 1)
            direct = cluster.new_database()
            hits += interrupt(cluster, proxy, direct, direction, place, how)
            done = server.run("migrate", DATABASE_URL=direct)
            assert done.returncode == 0, done.stderr
            found = schema(cluster, direct)
            expected = expected or found
            assert found == expected and len(found) > 100
            cluster.drop_database(direct)
    finally:
        proxy.close()
    whole = cluster.new_database()
    assert server.run("migrate", DATABASE_URL=whole).returncode == 0 and schema(cluster, whole) == expected
    assert hits >= rounds / 2
    figures.note(f"migration interrupted ({how})", hits)


def interrupt(cluster, proxy, direct, direction, place, how):
    """Whether the migration was interrupted: a session that has no name yet, or is over, is not found by those who would end it."""
    site = Site(cluster, url=cluster.role_url(cluster.name_of(direct), proxy.port), DATABASE_WAIT_SECS=0)
    picket = site.picket

    def kill():
        picket.process.kill()
        picket.process.wait()

    ended = []
    act = {"killed": kill, "session ended": lambda: ended.append(cluster.end_sessions("picket migrate")), "cut": None}[how]
    cut = proxy.cut_after(direction, place, application=b"picket migrate", act=act)
    try:
        picket.start(ready=False)
        until(cut.done.is_set, lambda: f"{place} bytes never passed:\n{picket.said()}")
        if ended == [0]:
            until(picket.is_ready, picket.said, 30)
            return False
        status = picket.process.wait(30)
        assert status == (-signal.SIGKILL if how == "killed" else 1), picket.said()
        assert how == "killed" or "migrat" in picket.said() or "database" in picket.said()
        return True
    finally:
        proxy.disarm()
        picket.kill()
        until(lambda: not cluster.backends("picket migrate"), "the migration's session stays", 30)
        site.directory.remove()
