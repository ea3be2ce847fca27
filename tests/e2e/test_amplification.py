"""What is small on the wire stays small in memory, whatever it says (issue "What was acknowledged …": memory is bounded by configuration, not by clients)."""
import contextlib
import threading
import time
import zlib

import pytest

import wire
from server import SANITIZED
from test_outcomes import totals, wait_totals
from waiting import TIME_FACTOR, until

MiB = 1 << 20
LIMIT = 64 * MiB
SLOW_S = 0.25 * TIME_FACTOR  # for somebody else's request
REPORT = b'{"csp-report":{"effective-directive":"a"}}'

pytestmark = [pytest.mark.alone, pytest.mark.skipif(SANITIZED, reason="a sanitizer has its own idea of memory")]


class Peak:
    def __init__(self):
        self.bytes, self.slowest = 0, 0.0

    def __repr__(self):
        return f"RssAnon at most {self.bytes / MiB:.1f} MiB, the slowest of other requests {self.slowest * 1000:.0f} ms"


@contextlib.contextmanager
def watched(picket, neighbour):
    """Looks at the memory, and sends small requests of another project, all the while."""
    peak, over = Peak(), threading.Event()

    def watch():
        while not over.wait(0.002):
            peak.bytes = max(peak.bytes, picket.memory())

    def ask():
        while not over.wait(0.002):
            began = time.perf_counter()
            assert neighbour.post(wire.envelope({}, wire.item("client_report", {}))).status_code == 200
            peak.slowest = max(peak.slowest, time.perf_counter() - began)
    threads = [threading.Thread(target=watch), threading.Thread(target=ask)]
    for thread in threads:
        thread.start()
    try:
        yield peak
    finally:
        over.set()
        for thread in threads:
            thread.join()
        print(peak)


def gzipped(*parts):
    """The compressed body of many like parts."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join([*map(compressor.compress, parts), compressor.flush()])


def reports(size):
    n = size // (len(REPORT) + 1)
    return n, b"[" + b",".join([REPORT] * n) + b"]"


def one_envelope(project):
    n, body = reports(MiB - 2)
    packed = gzipped(wire.envelope({}, wire.item("raw_security", body, sentry_release="r" * 250_000)))
    return n, lambda: project.post(packed, {"Content-Encoding": "gzip"})


def small_bodies(project):
    """As large as one may be that is read on the loop."""
    n, body = reports(128 << 10)
    query = f"?sentry_key={project.key}&sentry_release={'r' * 60_000}"
    return n, lambda: project.post(body, {"Content-Type": "application/reports+json", "User-Agent": "u\x80" + "\x80" * 3000}, query, False, f"/api/{project.id}/security/")


@pytest.mark.parametrize("kind", [one_envelope, small_bodies])
def test_reports(make_picket, kind):
    """Many reports in one body, and what is said of them all is long: each event is as long as its text, and there is room for so many."""
    picket = make_picket(HTTP_THREADS=1).start()
    project, neighbour = picket.new_project(), picket.new_project()
    n, send = kind(project)
    with watched(picket, neighbour) as peak:
        statuses = [send().status_code for _ in range(4)]
        until(lambda: sum(totals(project).values()) == 4 * n, lambda: f"{totals(project)}, {n} reports each", 30)
    assert statuses == [200] * 4
    wait_totals(project, {("security", "accepted", ""): 4 * 256, ("security", "invalid", "too_many_items"): 4 * (n - 256)})
    assert peak.bytes < LIMIT and peak.slowest < SLOW_S, peak


LONG, NULS = b"x" * 200_000, b"\\u0000" * 40_000  # what must be mended is copied
ITEMS = {
    "types": (800, b'{"type":"' + LONG + b'","length":2}\n{}\n'),
    "file names": (800, b'{"type":"attachment","length":0,"filename":"' + NULS + b'"}\n\n'),
    "releases": (800, b'{"type":"raw_security","length":2,"sentry_release":"' + NULS + b'"}\n{}\n'),
    "fields": (190, b'{"type":"form_data","length":1000012}\n[["a","' + b"v" * 1_000_000 + b'"],1]\n'),
    "the least": (50_000, b"{}\n\n" * 1000),  # fifty million
    "spans": (190, b'{"type":"transaction","length":1000012}\n{"spans":[' + b"{}," * 333_333 + b'1]}\n'),
}


@pytest.mark.parametrize("kind", ITEMS)
def test_long_texts_of_items(make_picket, kind):
    """What an item says of itself is read item by item: what all of them say is nowhere at once."""
    picket = make_picket(HTTP_THREADS=1).start()
    project, neighbour = picket.new_project(), picket.new_project()
    n, one = ITEMS[kind]
    packed = gzipped(b'{"event_id":"%032x"}\n{"type":"event","length":2}\n{}\n{"type":"attachment","length":1}\na\n' % 7, *[one] * n)
    with watched(picket, neighbour) as peak:
        assert project.post(packed, {"Content-Encoding": "gzip"}).status_code == 200
    project.wait_count(1)
    assert peak.bytes < LIMIT and peak.slowest < SLOW_S, peak


def test_long_names_of_parts(make_picket):
    """The same of a form's parts: each byte of their names becomes two."""
    picket = make_picket(HTTP_THREADS=1).start()
    project, neighbour = picket.new_project(), picket.new_project()
    event_id, = project.send(wire.error_event())
    project.wait_count(1)
    head = b"".join(b"; %s*=ISO-8859-1''%s" % (name, b"\xe9" * 8000) for name in (b"name", b"filename"))
    part = b"--b\r\nContent-Disposition: form-data" + head + b"\r\n\r\nx\r\n"
    packed = gzipped(*[part] * 990, b"--b--\r\n")
    with watched(picket, neighbour) as peak:
        answer = project.post(packed, {"Content-Encoding": "gzip", "Content-Type": "multipart/form-data; boundary=b"},
                              path=f"/api/{project.id}/events/{event_id}/attachments/")
    assert answer.status_code == 201, answer.text
    assert peak.bytes < LIMIT / 2 and peak.slowest < SLOW_S, peak


FACES = "\U0001f600"


def test_sessions(make_picket):
    """As many valid sessions as two envelopes may bring, of a release and an environment as long as there may be: what the digest makes of them is about what came."""
    picket = make_picket(DIGEST_WORKERS=1).start()
    project, neighbour = picket.new_project(), picket.new_project()
    attributes = {"release": 250 * FACES, "environment": 64 * FACES}
    now = int(time.time())
    aggregates = wire.item("sessions", {"attrs": attributes, "aggregates": [{"started": now, "exited": 1}] * 1000})
    body = wire.envelope({}, *[aggregates] * 100)
    with watched(picket, neighbour) as peak:
        assert [project.post(body).status_code for _ in range(2)] == [200, 200]
        until(lambda: sum(totals(project).values()), "nothing is stored", 120)
        project.drain()
    wait_totals(project, {("session", "accepted", ""): 200_000})
    item, = project.api.read(project.path + "/sessions")["items"]
    assert (item["release"], item["environment"]) == tuple(attributes.values())
    assert (item["sessions"]["total"], item["sessions"]["exited"]) == (200_000, 200_000)
    assert peak.bytes < LIMIT and peak.slowest < SLOW_S, peak
