"""Fixtures: one plain PostgreSQL cluster per session, one Picket on it that most tests share, and Pickets of their own for those that stop,
kill or starve them. Whatever is started is stopped by its process id, also when a test fails."""
import os
import signal

import pytest

pytest.register_assert_rewrite("client", "contract", "described", "exposition", "server", "wire", "postgres")

import server  # noqa: E402
from postgres import Cluster  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def binary():
    if not os.access(server.BINARY, os.X_OK):
        pytest.exit(f"{server.BINARY} is not there: build it, or name another with PICKET_BINARY", returncode=1)


@pytest.fixture(scope="session")
def cluster():
    directory = server.Directory()
    cluster = Cluster(directory.join("postgres"))
    try:
        cluster.create()
        yield cluster
    finally:
        cluster.stop(signal.SIGQUIT)  # nothing of it is needed any more: no checkpoint of a hundred databases
        directory.remove()


@pytest.fixture(scope="session")
def picket(cluster):
    """The Picket that tests share: DATABASE_URL, two digest workers, the dashboard at an origin of its own."""
    shared = server.Picket(server.Directory(), DATABASE_URL=cluster.migrated_database(), CREATE_SUPERUSER=":".join(server.ADMIN),
                           DASHBOARD_URL="http://dashboard.test:3000")
    try:
        yield shared.start()
    finally:
        shared.end()


@pytest.fixture
def project(picket):
    """A new, empty project of the shared Picket."""
    return picket.new_project()


@pytest.fixture(scope="session")
def api(picket):
    return picket.api


@pytest.fixture
def make_picket(cluster):
    """Makes Pickets that belong to the test: make_picket(private=True) has its own cluster, else a new database of the plain one, with its schema."""
    made = []

    def make(private=False, **settings):
        if not private:
            settings.setdefault("DATABASE_URL", cluster.migrated_database())
        settings.setdefault("CREATE_SUPERUSER", ":".join(server.ADMIN))
        made.append(server.Picket(server.Directory(), **settings))
        return made[-1]

    yield make
    errors = []
    for one in made:
        try:
            one.end()
        except AssertionError as e:
            errors.append(e)
    if errors:
        raise errors[0]


@pytest.fixture
def outsiders_memory(picket):
    """Fails when the shared Picket's anonymous memory has grown beyond what caches may keep. AddressSanitizer sets freed memory aside, and a
    thread that finds another one emptying that store leaves its own part for later: some bodies of 32 MB may still lie there."""
    before = picket.memory()
    yield
    grown = picket.memory() - before
    limit = (192 if server.SANITIZED else 24) << 20
    assert grown < limit, f"anonymous memory grew by {grown >> 10} KiB"
