"""TCP ports for what tests start."""
import socket


def free_port():
    """A TCP port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
