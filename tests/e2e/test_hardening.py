"""What a running Picket may do, what it leaves open, and where its secrets are: in the environment or in files, and nowhere else afterwards."""
import os
import re
import stat

import pytest

import server
from client import Api

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into a process that is not dumpable")


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(re.findall(r"^(\w+):\s+(.*)$", f.read(), re.M))


def core_limit(pid):
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        return re.search(r"^Max core file size +(\w+) +(\w+)", f.read(), re.M).groups()


def secret_file(picket, text):
    path = picket.directory.join("secret")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, 0o600)
    return path


def log_in(picket, email, password):
    return Api(picket.url).post("/auth/login", json={"email": email, "password": password}).status_code


@pytest.mark.parametrize("private", [True, False], ids=["private cluster", "DATABASE_URL"])
def test_nothing_is_gained_or_left_open(make_picket, private):
    picket = make_picket(private=private, CORE_DUMPS=None).start()
    pid = picket.process.pid
    seen = status(pid)
    assert seen["NoNewPrivs"] == "1" and seen["Umask"] == "0077"
    assert core_limit(pid) == ("0", "0") or server.SANITIZED
    if private:
        with open(picket.directory.join("data", "postgres", "data", "postmaster.pid"), encoding="ascii") as f:
            assert status(int(f.readline()))["NoNewPrivs"] == "1"
    picket.new_project()
    for base, directories, files in os.walk(picket.settings["DATA_DIR"]):
        for name in directories + files:
            try:
                mode = os.lstat(os.path.join(base, name)).st_mode
            except FileNotFoundError:  # PostgreSQL is at work there
                continue
            assert stat.S_ISSOCK(mode) or mode & 0o077 == 0, os.path.join(base, name)


@as_root
@pytest.mark.skipif(server.SANITIZED, reason="LeakSanitizer traces the process, so its tests allow cores")
def test_cores(make_picket):
    """A process that is not dumpable belongs to root in /proc: it leaves no core, and its user's other processes cannot trace it."""
    closed, opened = make_picket().start(), make_picket(CORE_DUMPS="true").start()
    assert server.owner_name(f"/proc/{closed.process.pid}/mem") == "root"
    assert server.owner_name(f"/proc/{opened.process.pid}/mem") == "postgres"
    assert core_limit(opened.process.pid) != ("0", "0")


@as_root
def test_environment_is_wiped(make_picket):
    picket = make_picket().start()
    with open(f"/proc/{picket.process.pid}/environ", "rb") as f:
        environment = f.read()
    assert b"CREATE_SUPERUSER=" in environment and server.ADMIN[1].encode() not in environment
    assert picket.settings["DATABASE_URL"].encode() not in environment
    assert log_in(picket, *server.ADMIN) == 200


@as_root
@pytest.mark.skipif(server.SANITIZED, reason="a sanitizer keeps what was freed, and its shadow of memory is too large to read")
def test_used_password_is_wiped_from_memory(make_picket):
    picket = make_picket(CREATE_SUPERUSER="ann@example.com:a rather remarkable password").start()
    assert b"a rather remarkable" not in memory(picket.process.pid)
    assert log_in(picket, "ann@example.com", "a rather remarkable password") == 200


def memory(pid):
    """Everything that the process could write to."""
    parts = []
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for start, end in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", maps.read(), re.M):
            try:
                mem.seek(int(start, 16))
                parts.append(mem.read(int(end, 16) - int(start, 16)))
            except OSError:  # a mapping that cannot be read
                continue
    assert parts
    return b"".join(parts)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=["no newline", "newline", "CR LF"])
def test_secrets_in_files(make_picket, end):
    picket = make_picket(CREATE_SUPERUSER="")
    picket.settings["CREATE_SUPERUSER_FILE"] = secret_file(picket, "ann@example.com:correct horse 2" + end)
    picket.start()
    assert log_in(picket, "ann@example.com", "correct horse 2") == 200


def test_database_url_in_a_file(make_picket):
    picket = make_picket()
    url = picket.settings.pop("DATABASE_URL")
    picket.settings["DATABASE_URL_FILE"] = secret_file(picket, url + "\n")
    picket.start()
    assert not os.path.exists(picket.directory.join("data", "postgres"))
    assert log_in(picket, *server.ADMIN) == 200


@pytest.mark.parametrize("settings, said", [
    ({"DATABASE_URL": "postgresql://u:hidden@h/d", "DATABASE_URL_FILE": "/nonexistent"}, "DATABASE_URL and DATABASE_URL_FILE"),
    ({"CREATE_SUPERUSER_FILE": "/nonexistent"}, "CREATE_SUPERUSER_FILE=/nonexistent"),
    ({"CREATE_SUPERUSER_FILE": "/dev/null"}, "CREATE_SUPERUSER_FILE=/dev/null"),
    ({"CREATE_SUPERUSER_FILE": "/dev/zero"}, "CREATE_SUPERUSER_FILE=/dev/zero"),
    ({"CREATE_SUPERUSER_FILE": "/"}, "CREATE_SUPERUSER_FILE=/"),
])
def test_bad_secret_files(settings, said):
    done = server.run("serve", **settings)
    assert done.returncode == 2 and said in done.stderr and "hidden" not in done.stderr
