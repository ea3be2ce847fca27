"""Before it listens: whose directories Picket takes, as whom it runs, and that it can be stopped while it waits."""
import os
import pwd
import re
import shutil
import subprocess

import psycopg
import pytest

from ports import free_port
import server
from waiting import until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")


@pytest.fixture
def folder():
    directory = server.Directory()
    yield directory
    directory.remove()


def owners(top):
    return {server.owner_name(os.path.join(base, name)) for base, folders, files in os.walk(top) for name in folders + files}


@as_root
@pytest.mark.parametrize("command", [("serve",), ("migrate",)], ids=" ".join)
def test_directory_of_others_is_left_alone(folder, command):
    """decisions.md "started as root": a typing error in DATA_DIR must not hand over /srv."""
    other = folder.join("srv")
    os.mkdir(other, 0o755)
    with open(os.path.join(other, "theirs"), "w", encoding="ascii") as f:
        f.write("x")
    done = server.run(*command, DATA_DIR=other, PORT=free_port())
    assert done.returncode == 1 and other in done.stderr and "postgres" in done.stderr
    assert os.stat(other).st_uid == 0 and os.listdir(other) == ["theirs"]


@as_root
def test_fresh_mount_is_taken(folder):
    """An empty volume has lost+found, which stays root's."""
    volume = folder.join("volume")
    os.makedirs(os.path.join(volume, "lost+found"), 0o700)
    done = server.run("migrate", DATA_DIR=volume)
    assert done.returncode == 0, done.stderr
    assert server.owner_name(volume) == "postgres"


@as_root
def test_unreachable_directory(folder):
    """Below a directory that user postgres may not enter."""
    closed = folder.join("closed")
    os.mkdir(closed, 0o700)
    done = server.run("migrate", DATA_DIR=os.path.join(closed, "data"))
    assert done.returncode == 1 and closed in done.stderr and "parents" in done.stderr


@as_root
def test_hint_at_root_only_for_root(folder):
    """Somebody who is not root is not told what would happen if he were."""
    closed, program = folder.join("closed"), folder.join("picket")
    os.mkdir(closed, 0o700)
    shutil.copy(server.BINARY, program)
    os.chmod(program, 0o755)
    done = subprocess.run([program, "migrate"], env=server.environment(DATA_DIR=os.path.join(closed, "data")), capture_output=True, text=True, cwd="/",
                          user="nobody", group="nogroup", extra_groups=[], timeout=30)
    assert done.returncode == 1 and closed in done.stderr and "parents" in done.stderr and "root" not in done.stderr
    done = server.run("migrate", DATA_DIR=os.path.join(closed, "data"))
    assert "started as root" in done.stderr


@as_root
def test_commands_leave_no_files_of_root(folder):
    for command in (("migrate",), ("user", "add", "ann@example.com"), ("token", "list")):
        assert server.run(*command, DATA_DIR=folder.join("data")).returncode == 0
    assert owners(folder.path) == {"postgres"}


@as_root
def test_runs_as_user_postgres(make_picket):
    """With a DATABASE_URL, too: whatever reads the network is not root, and no group of root's stays."""
    picket = make_picket().start()
    with open(f"/proc/{picket.process.pid}/status", encoding="ascii") as f:
        status = f.read()
    user = pwd.getpwnam("postgres")
    assert re.search(r"^Uid:\s+(.*)$", status, re.M).group(1).split() == [str(user.pw_uid)] * 4
    assert re.search(r"^Gid:\s+(.*)$", status, re.M).group(1).split() == [str(user.pw_gid)] * 4
    assert "0" not in re.search(r"^Groups:(.*)$", status, re.M).group(1).split()


def test_stop_while_it_waits_for_the_database(make_picket):
    """SIGTERM is heard before the database ever answered (issue item 7: exits 0 within 10 s). Why nothing happens stands in the log at once."""
    picket = make_picket(DATABASE_URL=f"postgresql://nobody@127.0.0.1:{free_port()}/x", DATABASE_WAIT_SECS=3600).start(ready=False)
    caught = re.compile(r"^SigCgt:\s+([0-9a-f]+)$", re.M)

    def catches_term():
        with open(f"/proc/{picket.process.pid}/status", encoding="ascii") as f:
            return int(caught.search(f.read()).group(1), 16) & 1 << 14

    until(catches_term, "no handler of SIGTERM")
    until(lambda: re.search(r'level=warn msg="waiting for the database" seconds=3600 reason=".*refused', picket.log()), picket.log)
    assert picket.log().count("waiting for the database") == 1
    picket.stop()


def test_connections_of_a_start(make_picket, cluster):
    """Each that is made is kept; with a copy of the keys (the second start) and without. Retention, which is not due for a minute, has none."""
    picket = make_picket(HTTP_THREADS=2, DATABASE_MAX_CONNECTIONS=2, DIGEST_WORKERS=1)
    url = picket.settings["DATABASE_URL"]
    names = [f"picket {name}" for name in ("dead letters", "digest", "http", "http", "listener", "main", "monitors", "rollup")]
    for _ in range(2):
        before = cluster.sessions(url)
        picket.start()
        with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
            asked = "SELECT application_name FROM pg_stat_activity WHERE datname = %s"
            until(lambda: sorted(name for name, in connection.execute(asked, [url.rsplit("/", 1)[1]])) == names, picket.said)
        until(lambda: os.path.exists(os.path.join(picket.settings["DATA_DIR"], "spool", "keys")), "no copy of the keys")
        picket.stop()
        assert cluster.sessions(url) == before + len(names)
