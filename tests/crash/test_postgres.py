"""PostgreSQL in trouble, under load. Accepting goes on as if nothing were the matter, up to the spool's bound; afterwards everything comes back by
itself, and the books balance: nothing acknowledged is lost, nothing is counted twice."""
import contextlib
import glob
import os
import random
import re
import signal
import time

import psycopg
import pytest

import figures
import ledger
from disks import small_disk
from load import REFUSALS
from sites import Repeater, Site
from test_database_away import copied_keys, private_server, start_in_the_dark
from victims import is_gone
from waiting import until

SECONDS = figures.amount(0.8, 20)  # how long a trouble lasts that is made of many small ones
RATE = 800


@pytest.fixture(scope="module")
def shared(cluster):
    """One Picket for all: trouble after trouble, as in life."""
    site = Site(cluster, DATABASE_ACQUIRE_TIMEOUT_SECS=1)
    try:
        yield site.start()
    finally:
        site.end()


@pytest.fixture
def site(shared, cluster):
    """The shared Picket with a project and books of the test's own; the books are kept by the superuser, whom no trouble touches."""
    own = Site.__new__(Site)
    own.__dict__.update(shared.__dict__, projects=[], loads=[], promises=type(shared.promises)())
    own.watch = ledger.Watch(cluster.url(cluster.name_of(shared.picket.conninfo())))
    until(lambda: has_new_project(own), "the API does not come back", 20)
    yield own
    own.watch.close()
    for one in own.loads:
        one.kill()


def has_new_project(site):
    """After a trouble each thread's pool finds the database again by itself, and says 503 until then."""
    try:
        return site.new_project()
    except AssertionError as e:
        if "the database is not reachable" not in str(e):
            raise
        return None


@pytest.fixture
def database(site, cluster):
    return cluster.name_of(site.picket.conninfo())


def last(seconds):
    """The trouble lasts; what goes on meanwhile is the load."""
    time.sleep(seconds)


def last_until_met(seconds, seen):
    """And the digest has met it: between two tries it waits for a while."""
    last(seconds)
    until(seen["is_met"], "the digest does not meet the trouble")


@contextlib.contextmanager
def under_load(site, fault, rounds, cluster, sqlstate=None, **options):
    """Load before, during and after the trouble; nothing but 200 is answered; then the books. With `sqlstate`, the digest must have met it."""
    run = site.load(rate=RATE, connections=16, **options)
    site.wait_digesting()
    before = len(site.picket.log())

    def is_met():
        return not sqlstate or re.search(rf"waits for the database.* sqlstate={sqlstate} ", site.picket.log()[before:])
    seen = {"is_met": is_met}
    yield seen
    assert is_met(), f"no {sqlstate}:\n{site.picket.log()[before:]}"
    site.wait_digesting(seconds=40)
    run.wait_progress()
    counted = run.stop(site.promises)
    began = time.monotonic()
    result = site.check(seconds=60)
    figures.record(fault, seen.get("rounds", rounds), result, worst_ms=counted["latency_ms"]["max"], caught_up_s=round(time.monotonic() - began, 1))


# ---- the server goes away

def kill_again_and_again(site, cluster, fault, rounds):
    with under_load(site, fault, rounds, cluster):
        for _ in range(rounds):
            site.wait_digesting()
            cluster.kill_postmaster()
            site.loads[0].wait_progress()
            cluster.start()


def test_postmaster_killed(site, cluster):
    kill_again_and_again(site, cluster, "PostgreSQL killed (-9)", figures.amount(2, 20))


def test_postmaster_killed_that_commits_later(site, cluster):
    """S6 on a server that is set to answer commits before they are durable: Picket's sessions ask for more."""
    with cluster.setting("wal_writer_delay", "10s"), cluster.setting("synchronous_commit", "off"):
        kill_again_and_again(site, cluster, "PostgreSQL with synchronous_commit=off killed (-9)", figures.amount(1, 10))


def test_backend_killed(site, cluster):
    """One session dies, PostgreSQL throws out all others and recovers."""
    rounds = figures.amount(1, 20)
    with under_load(site, "a backend of PostgreSQL killed (-9)", rounds, cluster):
        for _ in range(rounds):
            site.wait_digesting()
            pids = until(lambda: cluster.backends("picket digest"), "no session of the digest")
            cluster.kill_backend(random.choice(pids))


def test_stopped_for_a_while(site, cluster):
    seconds = figures.amount(5, 60)
    with under_load(site, f"PostgreSQL stopped for {seconds} s", 1, cluster):
        cluster.stop()
        last(seconds)
        site.loads[0].wait_progress()
        cluster.start()


# ---- it refuses

def test_sessions_ended(site, cluster):
    with under_load(site, "sessions ended (pg_terminate_backend)", 1, cluster) as seen:
        with Repeater(cluster.end_sessions) as ending:
            last(SECONDS)
        seen["rounds"] = ending.times


def test_statements_cancelled(site, cluster):
    """57014, which is what a statement_timeout says."""
    with under_load(site, "statements cancelled", 1, cluster, sqlstate="57014") as seen:
        with Repeater(lambda: cluster.cancel_statements("picket digest"), pause=0.002) as cancelling:
            last_until_met(SECONDS, seen)
        seen["rounds"] = cancelling.times


def test_out_of_connections(site, cluster):
    with under_load(site, "out of connections", 1, cluster), cluster.no_sessions():
        last(SECONDS)
        assert not cluster.backends()


TIMEOUTS = {"lock_timeout": "55P03", "statement_timeout": None}  # of which the second is not met: Picket sets its own for each session
IDLE_TIMEOUTS = {"idle_in_transaction_session_timeout": None, "idle_session_timeout": None}  # end sessions and fail no statement


@pytest.mark.parametrize("setting, sqlstate", [*TIMEOUTS.items(), *figures.amount({}, IDLE_TIMEOUTS).items()])
def test_tiny_timeout(site, cluster, database, setting, sqlstate):
    """An administrator's setting for the role, while another session holds a lock now and then."""
    def hold_lock():
        with psycopg.connect(cluster.url(database)) as blocker:
            blocker.execute("LOCK TABLE project_counters IN EXCLUSIVE MODE")
            last(0.05)

    before = len(site.picket.log())
    with under_load(site, f"{setting} of the role 1 ms", 1, cluster, sqlstate=sqlstate) as seen, cluster.role_setting(setting, "1ms"):
        with Repeater(hold_lock, pause=0.02):
            last_until_met(SECONDS / 2, seen)
    assert "sqlstate=57014" not in site.picket.log()[before:]


def test_read_only(site, cluster):
    with under_load(site, "default_transaction_read_only", 1, cluster, sqlstate="25006") as seen, cluster.setting("default_transaction_read_only", "on"):
        until(lambda: cluster.sql("SHOW default_transaction_read_only") == [("on",)], "not read-only")
        last_until_met(SECONDS, seen)


# ---- it fails statements

TRIGGERS = {
    "serialization failures (40001)": ("INSERT ON events", "BEFORE", "random() < 0.5", "40001"),
    "deadlocks (40P01), raised at the end": ("INSERT ON digest_batches", "BEFORE", "random() < 0.5", "40P01"),
    "disk full (53100)": ("INSERT ON events", "BEFORE", "true", "53100"),
    # the long form only:
    "out of memory (53200)": ("UPDATE ON project_counters", "BEFORE", "random() < 0.5", "53200"),
    "input/output errors (58030)": ("INSERT ON project_hours", "BEFORE", "random() < 0.5", "58030"),
    "internal errors (XX000)": ("UPDATE ON issue_hours", "AFTER", "random() < 0.3", "XX000"),
}


@pytest.mark.parametrize("fault", figures.amount(list(TRIGGERS)[:3], TRIGGERS))
def test_statements_fail(site, cluster, database, fault):
    event, moment, condition, sqlstate = TRIGGERS[fault]
    cluster.sql(f"""CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF {condition} THEN RAISE EXCEPTION 'trouble' USING ERRCODE = '{sqlstate}'; END IF; RETURN NULL; END $$""", database=database)
    try:
        with under_load(site, fault, 1, cluster, sqlstate=sqlstate) as seen:
            cluster.sql(f"CREATE TRIGGER trouble {moment} {event} FOR EACH STATEMENT EXECUTE FUNCTION trouble()", database=database)
            last_until_met(SECONDS, seen)
            cluster.sql(f"DROP TRIGGER trouble ON {event.split()[-1]}", database=database)
    finally:
        cluster.sql("DROP FUNCTION trouble CASCADE", database=database)


def test_commit_fails(site, cluster, database):
    """A deferred trigger: everything was done, and COMMIT itself says 40001."""
    cluster.sql("""CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF random() < 0.5 THEN RAISE EXCEPTION 'trouble' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$""", database=database)
    try:
        with under_load(site, "COMMIT fails (40001)", 1, cluster, sqlstate="40001") as seen:
            cluster.sql("""CREATE CONSTRAINT TRIGGER trouble AFTER INSERT ON digest_batches DEFERRABLE INITIALLY DEFERRED
                           FOR EACH ROW EXECUTE FUNCTION trouble()""", database=database)
            last_until_met(SECONDS, seen)
            cluster.sql("DROP TRIGGER trouble ON digest_batches", database=database)
    finally:
        cluster.sql("DROP FUNCTION trouble CASCADE", database=database)


# ---- locks

def test_table_locked(site, cluster, database):
    with under_load(site, "a table locked by others", 1, cluster):
        with psycopg.connect(cluster.url(database)) as blocker:
            blocker.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            until(lambda: cluster.sql("SELECT pid FROM pg_locks WHERE relation = 'events'::regclass AND NOT granted", database=database), "the digest does not wait")
            last(SECONDS)


def test_real_deadlocks(site, cluster, database):
    """Another session takes the digest's rows in the other order: PostgreSQL picks a victim, now this one, now that."""
    project = site.project.id
    outcomes = []

    def take_in_the_wrong_order():
        with psycopg.connect(cluster.url(database)) as other:
            try:
                other.execute("SET deadlock_timeout = '30ms'")
                other.execute("SELECT FROM project_counters WHERE project_id = %s FOR UPDATE", (project,))
                last(0.02)
                other.execute("SELECT FROM issues WHERE project_id = %s ORDER BY id FOR UPDATE", (project,))
                outcomes.append("survived")
            except psycopg.errors.DeadlockDetected:
                outcomes.append("victim")

    with cluster.setting("deadlock_timeout", "20ms"), under_load(site, "deadlocks with another session", 1, cluster, sqlstate="40P01") as seen:
        before = deadlocks(cluster, database)
        with Repeater(take_in_the_wrong_order, pause=0.01):
            last_until_met(SECONDS, seen)
        seen["rounds"] = deadlocks(cluster, database) - before
    assert "survived" in outcomes


def deadlocks(cluster, database):
    return cluster.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = %s", database)[0][0]


# ---- the spool's bound, and a disk that is really full

BOUND = 64 << 20  # the least that SPOOL_MAX_BYTES may be


def spooled(site):
    """Bytes, and with them the heads of segments."""
    return sum(map(os.path.getsize, glob.glob(os.path.join(site.picket.settings["DATA_DIR"], "spool", "*.seg"))))


def test_spool_bound(make_site, cluster):
    """The database stays away for longer than the spool has room: 503 with Retry-After. Started again meanwhile, Picket goes on up to the same bound,
    with the copy of the key cache; when the database is back, room comes back by itself."""
    site = make_site(SPOOL_MAX_BYTES=BOUND, DATABASE_WAIT_SECS=0, DATABASE_ACQUIRE_TIMEOUT_SECS=1)
    site.send_promised()
    until(lambda: site.project.key in copied_keys(site.picket), "the key is not in the copy")
    cluster.stop(signal.SIGQUIT)
    refused = 0
    for share, restart in ((1 / 3, site.picket.kill), (2 / 3, site.picket.stop), (1, site.picket.stop)):
        run = site.load(connections=32, bytes=48 * 1024)
        if share < 1:
            until(lambda least=share * BOUND: spooled(site) >= least, lambda: f"{spooled(site)} bytes are spooled", 60)
        else:
            until(lambda: site.send() == 503, "the spool has no bound", 60)
        counted = run.stop(site.promises, statuses=REFUSALS)
        assert share == 1 or set(counted["statuses"]) == {"200"}, counted
        refused += counted["statuses"].get("503", 0)
        restart()
        start_in_the_dark(site.picket)
    assert refused > 0 and 0.99 * BOUND < spooled(site) < 1.01 * BOUND, f"{refused} refused, {spooled(site)} bytes of {BOUND}"
    assert [site.send("x" * 1024) for _ in range(5)] == [503] * 5  # it was full when it was started; a small event with a shorter time may still have fitted
    assert site.picket.http.get(site.picket.url + "/health", timeout=10).status_code == 200
    cluster.start()
    site.wait_accepting(40)
    result = site.check(seconds=60)
    figures.record("PostgreSQL away until the spool is full, with restarts", 3, result, refused=refused)


def test_disk_really_full(cluster):
    """The database's file system has no room left (53100 from a real write); an operator gives it more."""
    with small_disk(8) as disk:
        cluster.sql(f"CREATE TABLESPACE small LOCATION '{disk.path}'")
        site = Site(cluster, url=cluster.new_database(tablespace="small"))
        try:
            site.start()
            run = site.load(rate=RATE, bytes=24 * 1024)
            until(lambda: "sqlstate=53100" in site.picket.log(), lambda: f"the disk is not full: {disk.free()} bytes left", 30)
            run.wait_progress()
            disk.resize(512)
            site.wait_digesting()
            run.stop(site.promises)
            figures.record("PostgreSQL's disk really full", 1, site.check(seconds=60))
        finally:
            site.end()
            cluster.drop_database(site.picket.conninfo())
            cluster.sql("DROP TABLESPACE small")


def panics(site):
    """Its log goes on in a new file, which there is no room for: so does archive_timeout, and a long load."""
    with contextlib.suppress(psycopg.Error):
        site.picket.sql("SELECT txid_current(), pg_switch_wal()")
    with open(os.path.join(site.picket.settings["DATA_DIR"], "postgres", "log"), encoding="utf-8", errors="replace") as f:
        return re.search(r"PANIC:.*No space left on device", f.read())


def test_disk_of_all_full(make_site):
    """Spool and private PostgreSQL share a disk, and somebody else takes its room. The spool goes on down to its floor, then 503; PostgreSQL has no floor: where it
    cannot write its log it ends, and it cannot recover before there is room again. Then all comes back by itself."""
    with small_disk(320) as disk:
        site = make_site(start=False, private=True, DATA_DIR=os.path.join(disk.path, "data"), SPOOL_FREE_FLOOR_BYTES="1M")
        try:
            site.watch.conninfo = site.picket.conninfo()
            site.start()
            run = site.load(rate=RATE, connections=8, bytes=4096)
            site.wait_digesting()
            before = private_server(site.picket)
            with disk.taken(8 << 20):
                until(lambda: panics(site), lambda: f"PostgreSQL goes on: {disk.free()} bytes left", 20, pause=0.02)
                run.wait_progress()  # in the spool
                until(lambda: site.send() == 503, lambda: f"the spool has no floor: {disk.free()} bytes left", 20)
                until(lambda: is_gone(before) and "does not come back" in site.picket.log(), site.picket.log, 20)
                assert site.picket.http.get(site.picket.url + "/health/ready", timeout=10).json()["reason"].startswith("the private PostgreSQL does not run")
            site.wait_accepting()
            site.wait_digesting(40)
            counted = run.stop(site.promises, statuses=REFUSALS)
            figures.record("the disk of the spool and of PostgreSQL full", 1, site.check(seconds=60), refused=counted["statuses"].get("503", 0))
        finally:
            site.end()
