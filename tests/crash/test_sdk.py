"""Real SDKs over a bad line: delays, resets, connections that fall silent. An SDK may give an event up, that is its own affair; but whatever Picket
said 200 to, seen by the proxy whether or not it reached the SDK, is stored once, as it was sent, and nothing else is. Each SDK has a project of its own, so
that none hides behind another."""
import collections
import gzip
import json
import re
import subprocess
import zlib

import brotli

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


def dechunk(raw):
    """The body at the beginning of `raw`, and what is behind it; None when it is not all there."""
    body = b""
    while True:
        line, end, raw = raw.partition(b"\r\n")
        if not end or len(raw) < int(line, 16) + 2:
            return None
        size = int(line, 16)
        body, raw = body + raw[:size], raw[size + 2:]
        if size == 0:
            return body, raw


def bodies(raw):
    """Project and decoded body of each whole request on a connection."""
    while True:
        head, end, raw = raw.partition(b"\r\n\r\n")
        if not end:
            return
        headers = dict((name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:]))
        if headers.get(b"transfer-encoding"):
            parts = dechunk(raw)
        else:
            size = int(headers.get(b"content-length", 0))
            parts = (raw[:size], raw[size:]) if len(raw) >= size else None
        if parts is None:
            return
        body, raw = parts
        unpack = {b"": bytes, b"gzip": gzip.decompress, b"br": brotli.decompress, b"deflate": zlib.decompress}[headers.get(b"content-encoding", b"")]
        for project in REQUEST.findall(head + b"\r\n"):
            yield int(project), unpack(body)


def events_in(envelope):
    """The payloads of its events, by id."""
    header, _, rest = envelope.partition(b"\n")
    json.loads(header)
    while rest.strip():
        line, _, rest = rest.partition(b"\n")
        item = json.loads(line)
        size = item.get("length", rest.find(b"\n") if b"\n" in rest else len(rest))
        payload, rest = rest[:size], rest[size + 1:]
        if item["type"] == "event":
            event = json.loads(payload)
            yield event["event_id"], event


def conversations(proxy):
    """Project → id → payload of all that was sent whole, and project → the ids that got a 200. A program keeps to one project, so each of its
    connections does."""
    sent, promised = collections.defaultdict(dict), collections.defaultdict(set)
    for link in proxy.past:
        here = list(bodies(bytes(link.record[UP])))
        ids = {event_id.decode() for event_id in PROMISE.findall(bytes(link.record[DOWN]))}
        projects = {project for project, _ in here}
        assert len(projects) == 1 or not ids, projects
        for project, body in here:
            sent[project].update(events_in(body))
        for project in projects:
            promised[project] |= ids
    return sent, promised


def check_stored(site, project, sent):
    """What is stored is what was sent: the payload as it came, each once."""
    seen = 0
    for summary in project.all_events():
        event_id = summary["event_id"].replace("-", "")
        raw = project.api.read(f"{project.path}/issues/{summary['issue_id']}/events/{summary['id']}/raw")
        assert raw == sent[event_id], f"{event_id} is stored as {raw}, sent as {sent[event_id]}"
        seen += 1
    return seen


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
    sent, found = conversations(proxy)
    for project in projects.values():
        for event_id in found[project.id]:
            site.promises.add(project.id, event_id)
        assert found[project.id] <= set(sent[project.id]), "a 200 for what was never sent"
        site.promises.possible[project.id].append(sent[project.id].__contains__)
    result = site.check()
    stored = stored_by_project(site)
    for sdk, project in projects.items():
        assert check_stored(site, project, sent[project.id]) == stored[project.id]
        assert FLOOR * rounds <= len(found[project.id]) <= stored[project.id] <= EVENTS * rounds, f"{sdk}: {len(found[project.id])} acknowledged, {stored}"
    figures.record(f"SDKs on a flaky line: {', '.join(SDKS)}", rounds, result,
                   **{sdk: len(found[project.id]) for sdk, project in projects.items()})
