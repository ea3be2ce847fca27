"""Real SDKs over a bad line: delays, resets, connections that fall silent. An SDK may give an event up, that is its own affair; but whatever Picket
said 200 to, seen by the proxy whether or not it reached the SDK, is stored once. Each SDK has a project of its own, so that none hides behind another."""
import collections
import re
import subprocess

import figures
import server
from proxy import DOWN, UP, Proxy
from sites import Repeater
from test_sdks import HERE, NODE, PROGRAMS
from waiting import TIME_FACTOR

REQUEST = re.compile(rb"POST /api/([0-9]+)/envelope/[^ ]* HTTP/1\.1\r\n")
PROMISE = re.compile(rb'HTTP/1\.1 200 [^{]*\{"id":"([0-9a-f]{32})"\}')
EVENTS = 60  # of a program's part "many"
FLOOR = EVENTS // 2  # acknowledged of each program's: the line loses about one in six
SDKS = [sdk for sdk, there in {"python": True, "node 10": NODE >= (18, 0), "node 11": NODE >= (20, 19)}.items() if there]


def run_all(dsns):
    """Each SDK's program, at once, on its DSN; each must end well, whatever became of its events."""
    programs = {sdk: subprocess.Popen([*PROGRAMS[sdk], "many"], cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                      env={**server.environment(SENTRY_DSN=dsn), "PYTHONDONTWRITEBYTECODE": "1"}) for sdk, dsn in dsns.items()}
    try:
        for sdk, one in programs.items():
            said, _ = one.communicate(timeout=60 * TIME_FACTOR)
            assert one.returncode == 0, f"{sdk}: exit status {one.returncode}\n{said}"
    finally:
        for one in programs.values():
            if one.poll() is None:
                one.kill()
                one.communicate()


def promises_of(proxy):
    """Project → the ids that got a 200. A program keeps to one project, so each of its connections does."""
    found = collections.defaultdict(set)
    for link in proxy.past:
        projects = set(map(int, REQUEST.findall(bytes(link.record[UP]))))
        ids = {event_id.decode() for event_id in PROMISE.findall(bytes(link.record[DOWN]))}
        assert len(projects) == 1 or not ids, projects
        for project in projects:
            found[project] |= ids
    return found


def stored_by_project(site):
    rows = site.picket.sql("SELECT project_id, count(*) FROM events WHERE project_id = ANY (%s) GROUP BY 1", [project.id for project in site.projects])
    return collections.defaultdict(int, rows)


def test_flaky_line(make_site):
    site = make_site()
    rounds = figures.amount(1, 20)
    projects = dict(zip(SDKS, [site.project, *[site.new_project() for _ in SDKS[1:]]]))
    proxy = Proxy(site.picket.port, keeps=True)
    proxy.delay, proxy.reset_share, proxy.stall_share = 0.02, 0.1, 0.02
    try:
        with Repeater(proxy.forget_stalled, pause=0.5):  # as a router does, in the end
            for _ in range(rounds):
                run_all({sdk: project.dsn.replace(f":{site.picket.port}/", f":{proxy.port}/") for sdk, project in projects.items()})
    finally:
        proxy.close()
    found = promises_of(proxy)
    for project in projects.values():
        for event_id in found[project.id]:
            site.promises.add(project.id, event_id)
        site.promises.possible[project.id].append(lambda event_id: True)  # the bodies are packed: not looked into
    result = site.check()
    stored = stored_by_project(site)
    for sdk, project in projects.items():
        assert FLOOR * rounds <= len(found[project.id]) <= stored[project.id] <= EVENTS * rounds, f"{sdk}: {len(found[project.id])} acknowledged, {stored}"
    figures.record(f"SDKs on a flaky line: {', '.join(SDKS)}", rounds, result,
                   **{sdk: len(found[project.id]) for sdk, project in projects.items()})
