"""The two figures that hold on any machine, measured on the way and printed: time from the 200 until the API shows it, and idle memory.
Throughput is measured by `make bench`, which wants a machine of its own."""
import statistics
import time

import pytest

import server
import wire

pytestmark = [pytest.mark.alone, pytest.mark.skipif(server.SANITIZED, reason="a sanitizer's speed and memory say nothing about Picket's")]


@pytest.fixture
def idle(make_picket):
    return make_picket(private=True).start()


def test_visible_and_idle_memory(idle, capsys):
    project = idle.new_project()
    memory = idle.memory() / 1e6
    times = []
    for i in range(50):
        event = wire.error_event(value=f"figure {i}")
        project.send(event)
        began = time.perf_counter()
        while project.issue(f"figure {i}") is None:
            assert time.perf_counter() - began < 20
        times.append((time.perf_counter() - began) * 1000)
    median = statistics.median(times)
    with capsys.disabled():
        print(f"\nfrom 200 to visible in the API: median {median:.1f} ms of {len(times)} events (bar: 100); idle memory {memory:.1f} MB (bar: 20)")
    assert median < 100 and memory < 20
