"""Fixtures of the crash tests: a PostgreSQL cluster that may be hurt, Pickets on it, the load generator, and the books that must balance. The
modules that start, ask and wait are those of the end-to-end tests."""
import os
import signal
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "e2e")]
pytest.register_assert_rewrite("client", "server", "wire", "postgres", "ledger", "load", "sites", "victims")

import figures  # noqa: E402
import load  # noqa: E402
import server  # noqa: E402
from sites import Site  # noqa: E402
from victims import Victim  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def programs():
    for program in (server.BINARY, load.PROGRAM):
        if not os.access(program, os.X_OK):
            pytest.exit(f"{program} is not there: build it", returncode=1)


@pytest.fixture(scope="session")
def cluster():
    directory = server.Directory()
    cluster = Victim(directory.join("postgres"))
    try:
        cluster.create()
        yield cluster
    finally:
        cluster.stop(signal.SIGQUIT)  # nothing of it is needed any more
        directory.remove()


@pytest.fixture(autouse=True)
def standing(cluster):
    """A test that failed while it had PostgreSQL down does not take the others with it."""
    yield
    if not cluster.process:
        cluster.start()


@pytest.fixture
def make_site(cluster):
    """make_site(**settings) → a Site of the test's own, started unless start=False."""
    made = []

    def make(start=True, **settings):
        made.append(Site(cluster, **settings))
        return made[-1].start() if start else made[-1]

    yield make
    errors = []
    for site in made:
        try:
            site.end()
        except AssertionError as e:
            errors.append(e)
    if errors:
        raise errors[0]


def pytest_sessionfinish(session):
    """Tests that run side by side tell what they measured to the process that started them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = figures.lines
    else:
        figures.write()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    figures.lines += node.workeroutput.get("figures", [])


def pytest_terminal_summary(terminalreporter):
    for line in figures.table():
        terminalreporter.write_line(line)
