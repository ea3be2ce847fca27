"""How a body may travel: content encodings and transfer codings (protocol §2.4, §10.1), limits (§2.5) and bombs."""
import gzip
import io
import re
import threading
import zlib

import brotli
import pytest
import zstandard

import server
import wire
from client import accepted
from contract import check_ingest_error
from waiting import until

MiB = 1 << 20


@pytest.fixture(scope="module")
def project(picket):
    return picket.new_project()


def raw_deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def streamed_zstd(data):
    """No content size in the frame header."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


CODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "identity": bytes,
    "": bytes,
    "UTF-8": bytes,
}


@pytest.mark.parametrize("size", [0, 200_000])
@pytest.mark.parametrize("name", CODERS)
def test_encodings(project, name, size):
    event = wire.error_event(value=f"encoded {name} {size}", extra={"filler": "ab" * (size // 2)})
    accepted(project.post(CODERS[name](wire.event_envelope(event)), headers={"Content-Encoding": name}))
    assert project.find(event["event_id"])["title"] == f"ValueError: encoded {name} {size}"


@pytest.mark.parametrize("how", [raw_deflate, streamed_zstd, lambda d: gzip.compress(d[:50]) + gzip.compress(d[50:])],
                         ids=["raw deflate", "zstd without size", "gzip of two members"])
def test_variants(project, how):
    event = wire.error_event()
    data = how(wire.event_envelope(event))
    name = "zstd" if how is streamed_zstd else "deflate" if how is raw_deflate else "gzip"
    accepted(project.post(data, headers={"Content-Encoding": name}))
    project.find(event["event_id"])


@pytest.mark.parametrize("name", ["gzip, br", "gzip, gzip", "compress", "snappy", "nonsense"])
def test_unknown_and_stacked_encodings(project, name):
    """Stacked encodings can be rejected with 415."""
    check_ingest_error(project.post(b"{}", headers={"Content-Encoding": name}), 415)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_bad_compression(project, name):
    """§2.4, §10.1 "bad compression": truncated, garbage, plain text, nothing, rubbish behind: 400."""
    good = CODERS[name](wire.event_envelope(wire.error_event(extra={"filler": list(range(1000))})))
    flipped = good[:20] + bytes([good[20] ^ 0xFF]) + good[21:]
    for body in (good[:len(good) // 2], good[:-1], b"\xde\xad\xbe\xef" * 50, b"{}\n", b"", flipped):
        answer = project.post(body, headers={"Content-Encoding": name})
        assert answer.status_code in ((400, 413) if body == flipped else (400,)), (answer.status_code, body[:30])
        check_ingest_error(answer, answer.status_code)


# ---- transfer

@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
def test_chunked(project, size):
    event = wire.error_event(extra={"filler": "x" * min(size * 20, 300_000)})
    body = wire.event_envelope(event)
    headers = [*project.auth.items(), ("Transfer-Encoding", "chunked")]
    answer = wire.exchange(project.port, wire.request("POST", project.ingest_path, headers, wire.chunked(body, size)))
    assert answer.status == 200 and answer.json() == {"id": event["event_id"]}
    project.find(event["event_id"])


def test_chunked_and_gzip(project):
    event = wire.error_event()
    headers = [*project.auth.items(), ("Transfer-Encoding", "chunked"), ("Content-Encoding", "gzip")]
    body = wire.chunked(gzip.compress(wire.event_envelope(event)), 100)
    assert wire.exchange(project.port, wire.request("POST", project.ingest_path, headers, body)).status == 200
    project.find(event["event_id"])


def test_expect_continue(project):
    event = wire.error_event()
    body = wire.event_envelope(event)
    headers = [*project.auth.items(), ("Expect", "100-continue"), ("Content-Length", len(body))]
    with wire.Connection(project.port) as connection:
        connection.send(wire.request("POST", project.ingest_path, headers))
        assert connection.read_head().status == 100
        connection.send(body)
        assert connection.read_answer().status == 200
    project.find(event["event_id"])


@pytest.mark.parametrize("keep", [False, True])
def test_http_1_0(project, keep):
    event = wire.error_event()
    headers = [*project.auth.items(), *([("Connection", "keep-alive")] if keep else [])]
    with wire.Connection(project.port) as connection:
        connection.send(wire.request("POST", project.ingest_path, headers, wire.event_envelope(event), version="HTTP/1.0"))
        answer = connection.read_answer()
        assert answer.status == 200 and answer.json() == {"id": event["event_id"]}
        if not keep:
            assert connection.is_closed()
    project.find(event["event_id"])


def test_half_close_after_the_body(project):
    """§1.2, test_envelope_close_connection: a client that closes its side after the last byte still has its event stored."""
    event = wire.error_event()
    with wire.Connection(project.port) as connection:
        connection.send(wire.request("POST", project.ingest_path, list(project.auth.items()), wire.event_envelope(event)))
        connection.half_close()
        try:
            assert connection.read_answer().status == 200
        except (EOFError, ConnectionResetError):
            pass  # the answer is the client's loss, the event is not
    project.find(event["event_id"])


def test_gone_after_the_body(project):
    """The same with a client that does not even wait."""
    event = wire.error_event()
    with wire.Connection(project.port) as connection:
        connection.send(wire.request("POST", project.ingest_path, list(project.auth.items()), wire.event_envelope(event)))
    project.send(wire.error_event())  # the server goes on
    project.find(event["event_id"])


def test_body_cut_short_is_not_stored(project):
    event = wire.error_event(value="cut short")
    with wire.Connection(project.port) as connection:
        connection.send(wire.request("POST", project.ingest_path, list(project.auth.items()), wire.event_envelope(event))[:-20])
    project.drain()
    assert project.issue("cut short") is None


def test_keep_alive_and_pipelining(project):
    """Two hundred envelopes over one connection, twenty at a time."""
    events = [wire.error_event(value="pipelined") for _ in range(200)]
    with wire.Connection(project.port) as connection:
        for start in range(0, 200, 20):
            some = events[start:start + 20]
            connection.send(b"".join(wire.request("POST", project.ingest_path, list(project.auth.items()), wire.event_envelope(e)) for e in some))
            assert [connection.read_answer().json()["id"] for _ in some] == [e["event_id"] for e in some]
    until(lambda: (project.issue("pipelined") or {}).get("event_count") == 200, "not all are there")


@pytest.mark.parametrize("case", [
    [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
    [("Content-Length", "5"), ("Content-Length", "6")],
    [("Content-Length", "-1")],
    [("Content-Length", "5x")],
    [("Transfer-Encoding", "gzip, chunked")],
    [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")],
    [("Content-Length", "5\r\n folded")],
    [("Host", "a"), ("Host", "b")],
])
def test_ambiguous_framing(project, case):
    """library-facts.md: what libh2o lets pass and a proxy in front may read otherwise (request smuggling) is refused and the connection ends."""
    with wire.Connection(project.port) as connection:
        connection.send(wire.request("POST", project.ingest_path, [*project.auth.items(), *case]) + b"5\r\nhello\r\n0\r\n\r\n")
        answer = connection.read_answer()
        assert 400 <= answer.status < 500, answer.status
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["detail"]
        assert connection.is_closed()


def test_missing_host(project):
    with wire.Connection(project.port) as connection:
        connection.send(b"POST " + project.ingest_path.encode() + b" HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        assert connection.read_answer().status == 400


def test_headers_too_large(project):
    with wire.Connection(project.port) as connection:
        try:
            connection.send(wire.request("GET", "/health", [("X-Filler", "y" * 4000)] * 50))
            assert connection.read_answer().status in (400, 413, 431)
        except (EOFError, ConnectionResetError, BrokenPipeError):
            pass  # hanging up on it is an answer, too
    assert wire.exchange(project.port, wire.request("GET", "/health", [])).status == 200


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200, b"GET\r\n\r\n", b"\r\n" * 100, b"\x00" * 5000,
                                     b"POST / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
                         ids=["TLS", "no path", "newlines", "zeros", "HTTP 9.9", "HTTP/2"])
def test_garbage_instead_of_http(project, garbage):
    """TLS to the plain port, HTTP/2 without being asked, zeros: an error answer or the end of the connection; the server goes on."""
    with wire.Connection(project.port) as connection:
        connection.send(garbage)
        connection.half_close()
        try:
            assert connection.read_head().status >= 400
        except (EOFError, ConnectionResetError, ValueError):
            pass
    assert wire.exchange(project.port, wire.request("GET", "/health", [])).status == 200


# ---- sizes

def bomb(packer, size):
    """`size` zero bytes behind the head of an envelope, packed piece by piece."""
    out = io.BytesIO()
    out.write(packer.compress(b'{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}\n{"type":"attachment","length":%d}\n' % size))
    zeros = bytes(MiB)
    if hasattr(packer, "copy"):  # zlib's: a mebibyte of zeros packed once, byte-aligned, and repeated; the checksum behind it is never reached
        out.write(packer.flush(zlib.Z_FULL_FLUSH))
        return out.getvalue() + (packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)) * (size // MiB)
    for _ in range(size // MiB):
        out.write(packer.compress(zeros))
    out.write(packer.flush())
    return out.getvalue()


class BrotliPacker:
    def __init__(self):
        self.packer = brotli.Compressor(quality=1)

    def compress(self, data):
        return self.packer.process(data)

    def flush(self):
        return self.packer.finish()


PACKERS = {
    "gzip": lambda: zlib.compressobj(9, zlib.DEFLATED, 31),
    "deflate": lambda: zlib.compressobj(9),
    "br": BrotliPacker,
    "zstd": lambda: zstandard.ZstdCompressor().compressobj(),
}


class PeakMemory(threading.Thread):
    """Looks at RssAnon as often as it can while something runs."""

    def __init__(self, picket):
        super().__init__(daemon=True)
        self.picket, self.peak, self.over = picket, 0, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def run(self):
        while not self.over.wait(0.002):
            self.peak = max(self.peak, self.picket.memory())


@pytest.mark.parametrize("name", PACKERS)
def test_bomb(picket, project, name, outsiders_memory):
    """§2.4: a gigabyte in a megabyte is refused with 413 while inflating; memory stays within the limit of an envelope and is given back."""
    body = bomb(PACKERS[name](), 1024 * MiB)
    before = picket.memory()
    with PeakMemory(picket) as memory:
        check_ingest_error(project.post(body, headers={"Content-Encoding": name}), 413)
    assert memory.peak - before < (400 if server.SANITIZED else 200) * MiB
    project.send(wire.error_event())


def test_bombs_at_once(make_picket):
    """Ten at once: all refused (413, or 503 where what is in flight is bounded), and the neighbours are served meanwhile."""
    picket = make_picket(MAX_ENVELOPE_BYTES="50M", MAX_BODIES_BYTES="256M").start()
    project = picket.new_project()
    body = bomb(PACKERS["gzip"](), 64 * MiB)
    statuses = []

    def throw():
        headers = [*project.auth.items(), ("Content-Encoding", "gzip")]
        statuses.append(wire.exchange(project.port, wire.request("POST", project.ingest_path, headers, body), 120).status)

    threads = [threading.Thread(target=throw) for _ in range(10)]
    for thread in threads:
        thread.start()
    event = wire.error_event()
    project.send(event)
    for thread in threads:
        thread.join()
    assert len(statuses) == 10 and set(statuses) <= {413, 503}, statuses
    project.find(event["event_id"])


def test_body_over_the_limit(make_picket):
    """MAX_BODY_BYTES: one byte more is 413 before it is read; chunked, where the length is not announced, as well."""
    limit = 20 * MiB
    picket = make_picket(MAX_BODY_BYTES=limit).start()
    project = picket.new_project()
    head = b'{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}\n{"type":"attachment"}\n'
    assert project.post(head + b"x" * (limit - len(head))).status_code == 200
    body = head + b"x" * (limit - len(head) + 1)
    announced = [("Content-Length", limit + 1)], b""
    counted = [("Transfer-Encoding", "chunked")], wire.chunked(body, MiB).removesuffix(b"0\r\n\r\n")
    for headers, data in (announced, counted):  # nothing is unread when the answer comes, so that TCP does not lose it
        with wire.Connection(project.port) as connection:
            connection.send(wire.request("POST", project.ingest_path, [*project.auth.items(), *headers]) + data)
            answer = connection.read_answer()
            assert answer.status == 413
            assert answer.json()["detail"]
            assert answer.headers["access-control-allow-origin"] == "*"
    project.send(wire.error_event())


def exact_event(size, marker):
    """An event whose JSON has exactly `size` bytes."""
    event = wire.message_event(marker, extra={"filler": ""})
    event["extra"]["filler"] = "f" * (size - len(wire.dumps(event)))
    assert len(wire.dumps(event)) == size
    return event


def test_event_of_one_mebibyte(project):
    """§2.5, §10.1 test_size_limit_status_code: 1 MiB passes, one byte more is 413 (nothing survives)."""
    event = exact_event(MiB, "a whole mebibyte")
    project.send(event)
    assert project.find(event["event_id"])["data"]["extra"]["filler"].startswith("ffff")
    larger = exact_event(MiB + 1, "one byte more")
    check_ingest_error(project.post(wire.event_envelope(larger)), 413)
    for name in ("gzip", "br", "zstd"):
        check_ingest_error(project.post(CODERS[name](wire.event_envelope(larger)), headers={"Content-Encoding": name}), 413)
    project.drain()
    assert project.issue("one byte more") is None


def test_limits_that_are_set(make_picket):
    """MAX_EVENT_BYTES and MAX_ENVELOPE_BYTES (of what is decompressed), each at its limit and one byte beyond."""
    event_limit, envelope_limit = 20_000, 70_000
    project = make_picket(MAX_EVENT_BYTES=event_limit, MAX_ENVELOPE_BYTES=envelope_limit).start().new_project()
    project.send(exact_event(event_limit, "at the limit"))
    check_ingest_error(project.post(wire.event_envelope(exact_event(event_limit + 1, "one byte more"))), 413)
    for size, status in ((envelope_limit, 200), (envelope_limit + 1, 413)):
        event = wire.message_event(f"envelope of {size}")
        items = [wire.item("event", event), b'{"type":"attachment"}\n']
        rest = size - len(wire.envelope({}, *items))
        body = wire.envelope({}, items[0], items[1] + b"x" * rest)
        assert len(body) == size
        for coded, headers in ((body, {}), (gzip.compress(body), {"Content-Encoding": "gzip"})):
            assert project.post(coded, headers=headers).status_code == status
    project.drain()
    assert sorted(issue["title"] for issue in project.issues()) == ["Log Message: at the limit", f"Log Message: envelope of {envelope_limit}"]


def test_large_sibling_is_dropped(project):
    """decisions.md "too large": the item is dropped, its siblings live."""
    small = wire.message_event("small beside large")
    body = wire.envelope({}, wire.item("event", exact_event(MiB + 1, "too large")), wire.item("event", small))
    accepted(project.post(body))
    project.find(small["event_id"])
    assert project.issue("too large") is None


def test_slow_client_holds_nobody_up(project):
    """A client that sends its body byte by byte does not delay others."""
    with wire.Connection(project.port) as slow:
        body = wire.event_envelope(wire.error_event())
        slow.send(wire.request("POST", project.ingest_path, [*project.auth.items(), ("Content-Length", len(body))]))
        for i in range(30):
            slow.send(body[i:i + 1])
            project.send(wire.error_event())
        slow.send(body[30:])
        assert slow.read_answer().status == 200


def test_retry_after_on_503(make_picket):
    """architecture.md "Spool": beyond what may be in flight: 503 with Retry-After, never a silent drop."""
    small = make_picket(MAX_BODIES_BYTES="1M").start().new_project()
    answer = small.post(wire.envelope({}, wire.item("attachment", b"x" * (2 * MiB))))
    check_ingest_error(answer, 503)
    assert re.fullmatch(r"\d+", answer.headers["Retry-After"])
    small.send(wire.error_event())
