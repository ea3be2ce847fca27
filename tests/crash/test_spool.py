"""The spool's disk in trouble: full, read-only, gone, not ours any more, damaged. What cannot be made durable is refused with 503 and Retry-After,
never dropped in silence; when the trouble is over, accepting goes on, without a restart where that is possible."""
import contextlib
import glob
import os
import re
import shutil
import struct

import psycopg
import pytest

import figures
import server
from disks import small_disk
from load import REFUSALS
from waiting import until

FAULTY = os.path.join(server.BUILD, "picket")  # built with fault points by `make test`
SEGMENT_HEAD, RECORD_HEAD = 64, 120  # bytes: src/spool/spool.c, "Format"


def has_fault_points():
    with open(FAULTY, "rb") as f:
        return b"PICKET_FAULT" in f.read()


def segments(site):
    return sorted(glob.glob(os.path.join(spool_of(site), "*.seg")))


def spool_of(site):
    return site.picket.settings.get("INGEST_DIR") or os.path.join(site.picket.settings["DATA_DIR"], "spool")


@contextlib.contextmanager
def digest_held_up(site):
    """While a lock is held, what is accepted stays in the spool."""
    with psycopg.connect(site.picket.conninfo()) as blocker:
        blocker.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        yield


# ---- no room

@pytest.mark.parametrize("floor, rate, fault", [(0, None, "spool's disk full"), ("14M", 150, "spool's disk at its floor")], ids=["full", "floor"])
def test_disk_full(make_site, floor, rate, fault):
    """A real file system without room, while the digest is held up; then the digest empties the spool and with that the disk."""
    with small_disk(20) as disk:
        os.mkdir(os.path.join(disk.path, "spool"))
        shutil.chown(os.path.join(disk.path, "spool"), "postgres")
        site = make_site(INGEST_DIR=os.path.join(disk.path, "spool"), SPOOL_FREE_FLOOR_BYTES=floor)
        rounds = figures.amount(1, 10)
        refused = 0
        try:
            for _ in range(rounds):
                run = site.load(connections=16, bytes=32 * 1024, rate=rate)
                with digest_held_up(site):
                    until(lambda: site.send() == 503, "the disk is not full", 60)
                    refused += run.stop(site.promises, statuses=REFUSALS)["statuses"].get("503", 0)
                    assert site.picket.http.get(site.picket.url + "/health", timeout=10).status_code == 200
                site.wait_accepting(30)
            result = site.check(seconds=60)
        finally:
            site.end()  # before its disk goes
    figures.record(fault, rounds, result, refused=refused)


def test_disk_full_until_there_is_room(make_site):
    """The disk is filled by others; when they have tidied up, accepting goes on without a restart."""
    with small_disk(20) as disk:
        os.mkdir(os.path.join(disk.path, "spool"))
        shutil.chown(os.path.join(disk.path, "spool"), "postgres")
        site = make_site(INGEST_DIR=os.path.join(disk.path, "spool"), SPOOL_FREE_FLOOR_BYTES=0)
        try:
            run = site.load(connections=8, rate=500)
            fill_up(os.path.join(disk.path, "others"))
            until(lambda: site.send() == 503, "the disk is not full", 30)
            os.unlink(os.path.join(disk.path, "others"))
            site.wait_accepting(10)
            run.wait_progress()
            run.stop(site.promises, statuses=REFUSALS)
            result = site.check(seconds=60)
        finally:
            site.end()
    figures.record("spool's disk filled by others", 1, result)


def fill_up(path):
    with open(path, "wb", buffering=0) as f:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    f.write(b"\0" * size)


def test_file_size_limit(make_site):
    """RLIMIT_FSIZE: no file may grow beyond 2 MiB. A segment ends there; the next one takes over."""
    site = make_site(program=["prlimit", f"--fsize={2 << 20}", server.BINARY])
    run = site.load(connections=8, bytes=16 * 1024, rate=500)
    for _ in range(figures.amount(2, 20)):
        last = segments(site)[-1]
        until(lambda seen=last: segments(site) and segments(site)[-1] > seen, "no further segment", 30)
    run.wait_progress()
    run.stop(site.promises, statuses=REFUSALS)
    figures.record("file size limit (RLIMIT_FSIZE)", figures.amount(2, 20), site.check(seconds=60))


# ---- faults of the disk

POINTS = ["spool.write:error:40:28", "spool.write:short:40", "spool.sync:error:40:5", "spool.sync:kill:40", "spool.segment.open:error:1:28"]
POINTS += figures.amount([], ["spool.write:error:40:5", "spool.write:error:40:30", "spool.write:kill:40", "spool.segment.sync:error:1:5",
                              "spool.segment.rename:error:1:30", "spool.segment.write:short:1", "spool.segment.sync:kill:1", "spool.cursor.write:kill:3",
                              "spool.cursor.rename:kill:3", "spool.cursor.write:error:3:28"])


@pytest.mark.parametrize("point", POINTS)
def test_one_failure(make_site, point):
    """The disk fails once under load: those who wait on it are told 503, the segment is sealed (S5), the next one takes over. Nobody waits on the
    cursor: it is written again later."""
    if not has_fault_points():
        pytest.skip(f"{FAULTY} is built without fault points")
    site = make_site(program=[FAULTY])
    site.picket.stop()
    site.picket.settings["PICKET_FAULT"] = point
    kills = ":kill:" in point
    site.picket.start()
    del site.picket.settings["PICKET_FAULT"]
    if ":1:" in point:
        until(lambda: site.send() == 503, f"{point} is never passed", 10)
        site.wait_accepting(10)
    run = site.load(connections=8, rate=500, wait=not kills)
    until(lambda: f"PICKET_FAULT: {point.split(':')[0]}\n" in site.picket.log(), f"{point} is never passed", 30)
    if kills:
        until(lambda: not site.picket.is_alive(), f"{point} does not kill", 30)
        site.picket.kill()
        site.picket.start()
    run.wait_progress()
    site.wait_digesting()
    counted = run.stop(site.promises, statuses=REFUSALS)
    assert kills or ":1:" in point or ".cursor." in point or counted["statuses"].get("503", 0) > 0, counted
    figures.record(point, 1, site.check())


# ---- the directory

@pytest.fixture
def folder_site(make_site):
    return make_site()


def test_read_only_from_the_start(make_site):
    """The directory may not be written to: it says so and does not start. Given back, the next start has everything."""
    if os.geteuid() != 0:
        pytest.skip("only root takes away and gives back")
    site = make_site()
    with digest_held_up(site):
        site.send_promised(20)
        site.picket.kill()
    os.chmod(spool_of(site), 0o500)
    refused = site.picket.run("serve")
    assert refused.returncode == 1 and spool_of(site) in refused.stderr and "Permission denied" in refused.stderr, refused.stderr
    os.chmod(spool_of(site), 0o700)
    site.picket.start()
    site.send_promised(20)
    figures.record("spool's directory read-only", 1, site.check())


@pytest.mark.parametrize("how", figures.amount(["mode 000"], ["mode 000", "given to root"]))
def test_permissions_taken_away(make_site, how):
    """While it runs, the directory is taken from it. What is open stays open; a segment that is full cannot be followed by another: 503."""
    if os.geteuid() != 0:
        pytest.skip("only root takes away and gives back")
    site = make_site(program=["prlimit", f"--fsize={1 << 20}", server.BINARY])
    folder, owner = spool_of(site), os.stat(spool_of(site)).st_uid
    run = site.load(connections=4, rate=300, bytes=8 * 1024)
    if how == "mode 000":
        os.chmod(folder, 0)
    else:
        os.chown(folder, 0, 0)
    until(lambda: site.send() == 503, "new segments can still be made", 30)
    os.chmod(folder, 0o700)
    os.chown(folder, owner, -1)
    site.wait_accepting(10)
    run.wait_progress()
    run.stop(site.promises, statuses=REFUSALS)
    figures.record(f"spool's directory: {how}", 1, site.check())


def test_renamed_away(make_site):
    """The directory gets another name and its old one back: Picket holds it by its descriptor, so nothing happens."""
    site = make_site()
    folder = spool_of(site)
    run = site.load(connections=8, rate=500)
    for _ in range(figures.amount(3, 30)):
        os.rename(folder, folder + ".away")
        run.wait_progress()
        site.wait_digesting()
        os.rename(folder + ".away", folder)
    site.picket.kill()
    site.picket.start()
    run.wait_progress()
    run.stop(site.promises)
    figures.record("spool's directory renamed away", figures.amount(3, 30), site.check())


def test_removed(make_site):
    """The directory is deleted under it: nothing can be promised any more, so nothing is. A restart makes a new one."""
    site = make_site()
    site.send_promised(20)
    site.check()
    while os.path.exists(spool_of(site)):  # it makes files there meanwhile
        shutil.rmtree(spool_of(site), ignore_errors=True)
    assert [site.send() for _ in range(10)] == [503] * 10
    site.picket.stop()
    site.picket.start()
    site.send_promised(20)
    figures.record("spool's directory removed", 1, site.check())


# ---- another release

# The header of an empty segment: magic, version 1, 64 bytes, its number, zeros, the checksum of all that.
OTHER_VERSION = struct.pack("<QIIQ32xQ", 0x4c4f4f5054454b50, 1, 64, 0x00f0000000000000, 0x8861b4d907215502)


def test_another_versions_segment(make_site):
    """A segment in a format that this release cannot read is no damage: it says what to do, does not start, and leaves everything as it is."""
    site = make_site()
    with digest_held_up(site):
        site.send_promised(20)
        site.picket.kill()
    other = os.path.join(spool_of(site), "00f0000000000000.seg")
    with open(other, "wb") as f:
        f.write(OTHER_VERSION + b"its records")
    before = [open(path, "rb").read() for path in segments(site)]
    refused = site.picket.run("serve")
    assert refused.returncode == 1 and "written by another release of Picket" in refused.stderr and spool_of(site) in refused.stderr, refused.stderr
    assert [open(path, "rb").read() for path in segments(site)] == before
    os.unlink(other)
    site.picket.start()
    figures.record("another version's segment", 1, site.check())


# ---- damage

class Record:
    def __init__(self, offset, head):
        self.offset, self.bytes, self.event_id = offset, struct.unpack_from("<I", head, 12)[0], head[48:64].hex()
        self.end = offset + (self.bytes + 7) // 8 * 8


def records(path):
    """The records of a whole segment, in order (src/spool/internal.h, struct record_head)."""
    with open(path, "rb") as f:
        data = f.read()
    at, found = SEGMENT_HEAD, []
    while at + RECORD_HEAD <= len(data) and struct.unpack_from("<I", data, at + 12)[0]:
        if struct.unpack_from("<I", data, at + 112)[0] != 1:  # the trailer
            break
        found.append(Record(at, data[at:at + RECORD_HEAD]))
        at = found[-1].end
    return found


def overwrite(path, offset, data):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)


DAMAGES = {
    "a payload's byte": lambda path, r: overwrite(path, r.offset + RECORD_HEAD + 100, b"\xff"),
    "a header's byte": lambda path, r: overwrite(path, r.offset + 20, b"\xff"),
    "a header's length": lambda path, r: overwrite(path, r.offset + 12, b"\xff\xff\xff\x7f"),
    "a whole record": lambda path, r: overwrite(path, r.offset, b"\0" * (r.end - r.offset)),
    "a whole record, garbage": lambda path, r: overwrite(path, r.offset, os.urandom(r.end - r.offset)),
}


# A segment that was finished in good order is taken as it is, any other one is read to its end. The quick form has little of the former: a stop that
# the database does not hear of takes seconds.
CASES = [(damage, end) for damage in DAMAGES for end in ("killed", "stopped") if figures.LONG or (end == "stopped") == (damage == "a header's byte")]


@pytest.mark.parametrize("damage, end", CASES)
def test_damage_in_the_middle(make_site, cluster, damage, end):
    """Some records are damaged while Picket is down: their neighbours arrive, the damaged bytes are kept aside, and the log names the place. That
    holds for the last one, too, unless it reads as zeros, like a file's unused rest, and no trailer tells that it was there."""
    site = make_site(DIGEST_BATCH_RECORDS=20)
    with cluster.no_sessions():
        site.send_promised(100)
        site.picket.stop() if end == "stopped" else site.picket.kill()
    path, = segments(site)
    found = [r for r in records(path) if r.event_id in site.promises.acknowledged[site.project.id]]
    assert len(found) == 100
    victims = [found[10], found[50], found[51], found[90]]
    if damage != "a whole record" or end == "stopped":
        victims.append(found[99])
    for victim in victims:
        DAMAGES[damage](path, victim)
    site.picket.start()
    result = site.check(lost=len(victims))
    stored = {event_id.hex for event_id, in site.picket.sql("SELECT event_id FROM events WHERE project_id = %s", site.project.id)}
    assert stored == {r.event_id for r in found} - {r.event_id for r in victims}
    number = os.path.basename(path).split(".")[0]
    kept = os.listdir(os.path.join(spool_of(site), "quarantine"))
    assert all(name.startswith(number) for name in kept)
    for victim in (victims[0], victims[1], *victims[3:]):  # the third lies right behind the second: one place, or two
        assert f"{number}-{victim.offset:010x}" in kept, kept
        said = re.search(rf"^.*segment={int(number, 16)} offset={victim.offset} .*$", site.picket.log(), re.M)
        assert said, f"no word about {victim.offset}:\n{site.picket.log()}"
    site.send_promised(5)
    figures.record(f"damaged: {damage} ({end})", len(victims), site.check(lost=len(victims)), destroyed=len(victims))
