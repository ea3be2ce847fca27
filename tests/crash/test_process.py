"""The process itself: stopped, suspended, started twice, started on a schema of another release, interrupted while it migrates, and with a clock
that jumps by a day, or is days off."""
import contextlib
import glob
import json
import os
import pathlib
import random
import signal
import time

import pytest
import requests

import client
import figures
import server
import wire
from conversation import places
from load import REFUSALS
from ports import free_port
from proxy import Proxy
from sites import Site
from waiting import away_from_midnight, until

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
    away_from_midnight()
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


def test_clock_days_off(make_site, clock):
    """Six days ahead, where no partition is: what comes goes to the default one, is moved to its day while more comes, and then all goes there."""
    away_from_midnight(180)
    site = make_site(**clock.settings)
    run = site.load(rate=100, connections=8, repeat=0)
    site.wait_digesting()
    clock("+6d")
    until(lambda: site.picket.sql("SELECT 1 FROM events_default LIMIT 1"), "no event is beside the days")
    until(lambda: not site.picket.sql("SELECT 1 FROM events_default LIMIT 1"), "they stay there", 90)
    site.wait_digesting()
    clock("+0")
    site.wait_digesting()
    run.stop(site.promises)
    result = site.check()
    assert len(receipt_days(site)) == 2 and site.picket.sql("SELECT count(*) FROM events_default") == [(0,)]
    figures.record("a clock six days ahead", 1, result)


def test_attachments_of_a_clock_that_was_ahead(make_site, clock):
    """A day ahead at first, then set right: what comes then and is not stored yet keeps its file, though what was said and numbered before is of tomorrow."""
    site = make_site(start=False, **clock.settings)
    clock("+1d")
    site.start()
    where = os.path.join(site.picket.settings["DATA_DIR"], "attachments", str(site.project.id))

    def send(content):
        client.accepted(site.project.post(wire.envelope({}, wire.item("attachment", content, filename=content.decode()))))

    def stored(n):
        until(lambda: site.picket.sql("SELECT count(*) FROM attachments WHERE project_id = %s", site.project.id) == [(n,)], f"{n} are not stored")

    send(b"ahead")
    stored(1)
    clock("+0")
    site.picket.sql("CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '40001'; END $$")
    site.picket.sql(f"CREATE TRIGGER not_now BEFORE INSERT ON attachments FOR EACH ROW WHEN (NEW.project_id = {site.project.id}) EXECUTE FUNCTION not_now()")
    try:
        send(b"right")
        swept = site.picket.command("retention", "run")
    finally:
        site.picket.sql("DROP FUNCTION not_now CASCADE")
    stored(2)
    assert "freed" not in swept
    assert sorted(path.read_bytes() for path in pathlib.Path(where).glob("*/*")) == [b"ahead", b"right"]


def test_erasing_after_a_clock_was_ahead(make_site, clock):
    """What came before the request and bears a time still to come belongs to whom it belongs; what comes later stays."""
    away_from_midnight()
    site = make_site(**clock.settings)

    def send(value):
        site.project.send(wire.error_event(value=value, user={"email": "ann@example.com"}))
        envelope = wire.envelope({}, wire.item("feedback", json.dumps({"contexts": {"feedback": {"message": value, "contact_email": "ann@example.com"}}}).encode()))
        client.accepted(site.project.post(envelope))

    def left():
        events = site.picket.sql("SELECT title FROM events WHERE project_id = %s", site.project.id)
        return sorted(title.split(": ")[-1] for title, in events), sorted(m for m, in site.picket.sql("SELECT message FROM feedback WHERE project_id = %s", site.project.id))

    values = ["right", "ahead", "right again"]
    for offset, value in zip(("+0", "+1d", "+0"), values):
        clock(offset)
        send(value)
    until(lambda: left() == (sorted(values),) * 2, lambda: f"not all is stored: {left()}")
    site.picket.command("retention", "erase", "--project", site.project.id, "--user", "email:ann@example.com")
    assert left() == ([], [])
    send("later")
    until(lambda: left() == (["later"],) * 2, lambda: f"{left()}")
    site.picket.command("retention", "run")
    assert left() == (["later"],) * 2


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
    """Two directories, one database, every other event with an id that was sent before, to this one or that: each stored once, whoever comes first."""
    first = make_site()
    second = make_site(start=False, url=first.picket.conninfo())
    second.picket.start()
    second.projects, second.promises = first.projects, first.promises
    pickets = first.picket, second.picket
    run = first.load(rate=1200, connections=16, repeat=50, ports=[picket.port for picket in pickets])
    for killed in (*pickets, second.picket):
        killed.kill()
        killed.start()
        run.wait_progress()
        until(lambda: all(digested(picket)["stored"] > 0 < digested(picket)["duplicates"] for picket in pickets), lambda: f"{[*map(digested, pickets)]}")
    counted = run.stop(first.promises)
    assert counted["repeated"] > 0.4 * counted["sent"], counted
    figures.record("two Pickets on one database, killed in turns", 3, first.check())


def digested(picket):
    """What its digest counted since it was started."""
    return picket.http.get(picket.url + "/api/status", timeout=10).json()["digest"]


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

def schema(cluster, url):
    """The schema in words, to be compared."""
    database = cluster.name_of(url)
    return cluster.sql("""SELECT table_name, column_name, ordinal_position, data_type, is_nullable FROM information_schema.columns
                           WHERE table_schema = 'public' AND table_name !~ '^events_[0-9]' ORDER BY 1, 2""", database=database) + \
        cluster.sql("SELECT number, name FROM schema_migrations ORDER BY 1", database=database) + \
        cluster.sql("SELECT proname, md5(prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1, 2", database=database)


def whole_migration(cluster):
    """The places of its conversation at which a migration can be interrupted, and the schema that it makes."""
    proxy = Proxy(cluster.port, keeps=True)
    try:
        direct = cluster.new_database()
        done = server.run("migrate", DATABASE_URL=cluster.role_url(cluster.name_of(direct), proxy.port), DATA_DIR="/nonexistent")
        assert done.returncode == 0, done.stderr
        link, = proxy.past
        found = schema(cluster, direct)
        assert len(found) > 100
        return places(link), found
    finally:
        proxy.close()


def a_few(all_places):
    """Around a COMMIT, where it is least clear what took effect, and in the middle of a script."""
    commits = [n for n, place in enumerate(all_places) if place.statement == "COMMIT" and place.moment == "sent"]
    scripts = [place for place in all_places if place.moment == "answered in part" and len(place.statement) > 1000]
    n = random.choice(commits)
    assert [place.moment for place in all_places[n:n + 4]] == ["sent", "answered in part", "answered in part", "answered"]
    return all_places[n], all_places[n + 1], random.choice(scripts)


@pytest.mark.parametrize("how", ["killed", "session ended", "cut"])
def test_migration_interrupted(cluster, how):
    """kill -9 of Picket, pg_terminate_backend, a cut connection, each at every message of the conversation: the next start completes."""
    all_places, expected = whole_migration(cluster)
    chosen = figures.amount(a_few(all_places), all_places)
    proxy = Proxy(cluster.port)
    missed = []
    try:
        for place in chosen:
            direct = cluster.new_database()
            if not interrupt(cluster, proxy, direct, place, how):
                missed.append(place)
            done = server.run("migrate", DATABASE_URL=direct)
            assert done.returncode == 0, f"{place}: {done.stderr}"
            assert schema(cluster, direct) == expected, place
            cluster.drop_database(direct)
    finally:
        proxy.close()
    commit = max(n for n, place in enumerate(all_places) if place.statement == "COMMIT" and place.moment == "answered")
    assert set(missed) <= set(all_places[commit:]), missed  # all work is done by then, and nobody may need its session any more
    figures.note(f"migration interrupted ({how})", len(chosen) - len(missed))


def interrupt(cluster, proxy, direct, place, how):
    """Whether the migration was interrupted."""
    site = Site(cluster, url=cluster.role_url(cluster.name_of(direct), proxy.port), DATABASE_WAIT_SECS=0)
    picket = site.picket

    def kill():
        picket.process.kill()
        picket.process.wait()

    act = {"killed": kill, "session ended": lambda: cluster.end_sessions("picket migrate"), "cut": None}[how]
    cut = proxy.cut_after(place.direction, place.offset, application=b"picket migrate", act=act)
    try:
        picket.start(ready=False)
        until(cut.done.is_set, lambda: f"{place} was never passed:\n{picket.said()}")
        until(lambda: not picket.is_alive() or answers_ready(picket), lambda: f"{place}: neither ready nor ended:\n{picket.said()}", 30)
        if picket.is_alive():
            return False
        status = picket.process.returncode
        assert status == (-signal.SIGKILL if how == "killed" else 1), f"{place}: {status}\n{picket.said()}"
        assert how == "killed" or "migrat" in picket.said() or "database" in picket.said()
        return True
    finally:
        proxy.disarm()
        picket.kill()
        until(lambda: not cluster.backends("picket migrate"), "the migration's session stays", 30)
        site.directory.remove()


def answers_ready(picket):
    with contextlib.suppress(requests.RequestException):
        return requests.get(picket.url + "/health/ready", timeout=10).status_code == 200
    return False


ENDS_ITSELF = """
    CREATE SCHEMA trouble; CREATE SEQUENCE trouble.commands;
    CREATE FUNCTION trouble.meet() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        IF nextval('trouble.commands') = {n} THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; END $$;
    GRANT USAGE ON SCHEMA trouble TO PUBLIC;
    CREATE EVENT TRIGGER trouble ON ddl_command_start EXECUTE FUNCTION trouble.meet()"""


def test_migration_interrupted_inside(cluster):
    """The server runs a script on while its answer is held up; so, from inside, at the n-th command that changes the schema, it ends its session."""
    whole = cluster.new_database()
    commands = migrate_until(cluster, whole, 0)
    expected = schema(cluster, whole)
    assert commands > 40, commands
    chosen = figures.amount(sorted(random.sample(range(2, commands + 1), 3)), range(1, commands + 1))
    for n in chosen:
        url = cluster.new_database()
        assert migrate_until(cluster, url, n) == n
        done = server.run("migrate", DATABASE_URL=url)
        assert done.returncode == 0, f"after command {n}: {done.stderr}"
        assert schema(cluster, url) == expected, n
        cluster.drop_database(url)
    figures.note("migration interrupted at a command of its script", len(chosen))


def migrate_until(cluster, url, n):
    """Migrates until the n-th command ends the session; 0: to the end. The number of commands met."""
    database = cluster.name_of(url)
    cluster.sql(ENDS_ITSELF.format(n=n), database=database)
    done = server.run("migrate", DATABASE_URL=url, DATABASE_WAIT_SECS=0)
    assert done.returncode == (1 if n else 0), done.stderr
    met, = cluster.sql("SELECT last_value FROM trouble.commands", database=database)[0]
    cluster.sql("DROP EVENT TRIGGER trouble; DROP SCHEMA trouble CASCADE", database=database)
    return met
