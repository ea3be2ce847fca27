"""Bytes on the wire: events, envelopes (protocol §2.1), and a plain HTTP/1.1 conversation over a socket for what a client library would not send."""
import json
import re
import socket
import time
import uuid

import requests

import described

ID = re.compile(r"[0-9a-f]{32}")


def error_event(type="ValueError", value="bad", **fields):
    """An exception with a small stack trace."""
    frames = [{"function": "main", "filename": "app.py", "lineno": 3, "in_app": True}, {"function": "work", "filename": "lib/work.py", "lineno": 40}]
    return {"event_id": uuid.uuid4().hex, "timestamp": time.time(), "platform": "python", "level": "error",
            "exception": {"values": [{"type": type, "value": value, "stacktrace": {"frames": frames}}]}, **fields}


def message_event(message, **fields):
    return {"event_id": uuid.uuid4().hex, "message": message, **fields}


def dumps(value):
    return json.dumps(value, separators=(",", ":")).encode()


def item(kind, payload, length=True, **header):
    """One item: its header line and its payload, without the newline behind it."""
    payload = payload if isinstance(payload, bytes) else dumps(payload)
    return dumps({"type": kind, **({"length": len(payload)} if length else {}), **header}) + b"\n" + payload


def envelope(header, *items):
    return b"\n".join([header if isinstance(header, bytes) else dumps(header), *items]) + b"\n"


def event_envelope(event, **header):
    return envelope({"event_id": event["event_id"], **header} if "event_id" in event else header, item("event", event))


def raw_event_envelope(payload, event_id=None):
    """An event's bytes as given, whatever they are."""
    event_id = event_id or uuid.uuid4().hex
    return event_id, envelope({"event_id": event_id}, item("event", payload))


class Answer:
    def __init__(self, status, headers, body, version):
        self.status, self.headers, self.body, self.version = status, headers, body, version

    def json(self):
        return json.loads(self.body)


class Connection:
    """One TCP connection to the server; sends what it is told and reads whole answers."""

    def __init__(self, port, timeout=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def _more(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def _until(self, mark):
        while mark not in self.buffer:
            if not self._more():
                raise EOFError(f"the connection ended after {self.buffer!r}")
        head, self.buffer = self.buffer.split(mark, 1)
        return head

    def read_head(self):
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status = lines[0].split(" ")[:2]
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return Answer(int(status), headers, b"", version)

    def read_answer(self):
        answer = self.read_head()
        if "content-length" in answer.headers:
            length = int(answer.headers["content-length"])
            while len(self.buffer) < length and self._more():
                pass
            answer.body, self.buffer = self.buffer[:length], self.buffer[length:]
            assert len(answer.body) == length, "the answer is cut short"
        elif answer.headers.get("transfer-encoding") == "chunked":
            while size := int(self._until(b"\r\n"), 16):
                while len(self.buffer) < size + 2 and self._more():
                    pass
                answer.body, self.buffer = answer.body + self.buffer[:size], self.buffer[size + 2:]
            self._until(b"\r\n")
        elif answer.status not in (204, 304) and answer.status >= 200:
            while self._more():
                pass
            answer.body, self.buffer = self.buffer, b""
        return answer

    def is_closed(self):
        """The server has ended the connection (waits for that)."""
        try:
            return not self.buffer and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


def request(method, path, headers, body=b"", version="HTTP/1.1"):
    """The bytes of a request; Host and Content-Length are the caller's if they matter."""
    lines = [f"{method} {path} {version}"]
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        lines.append("Host: 127.0.0.1")
    lines += [f"{name}: {value}" for name, value in headers]
    if body and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def chunked(body, size=1000):
    """A body in chunks (RFC 9112 §7.1)."""
    parts = [body[i:i + size] for i in range(0, len(body), size)]
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\n\r\n"


def exchange(port, data, timeout=30):
    """One request over a connection of its own, whose answer keeps the description."""
    with Connection(port, timeout) as connection:
        connection.send(data)
        answer = connection.read_answer()
    line = data.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(line) == 3 and line[1].startswith("/"):
        described.check(line[0], line[1], answer.status, requests.structures.CaseInsensitiveDict(answer.headers), answer.body)
    return answer
