"""Real SDKs over a bad line: delays, resets, connections that fall silent. An SDK may give an event up, that is its own affair; but whatever Picket
said 200 to, seen by the proxy whether or not it reached the SDK, is stored once."""
import re
import subprocess

import figures
import server
from proxy import DOWN, Proxy
from sites import Repeater
from test_sdks import HERE, NODE, PROGRAMS
from waiting import TIME_FACTOR

PROMISE = re.compile(rb'HTTP/1\.1 200 [^{]*\{"id":"([0-9a-f]{32})"\}')
EVENTS = 60  # of a program's part "many"
SDKS = {"python": True, "node 10": NODE >= (18, 0), "node 11": NODE >= (20, 19)}


def run_all(dsn):
    """Each SDK's program, at once."""
    programs = [subprocess.Popen([*PROGRAMS[sdk], "many"], cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 env={**server.environment(SENTRY_DSN=dsn), "PYTHONDONTWRITEBYTECODE": "1"}) for sdk, there in SDKS.items() if there]
    try:
        for one in programs:
            one.wait(60 * TIME_FACTOR)
    finally:
        for one in programs:
            if one.poll() is None:
                one.kill()
                one.wait()


def test_flaky_line(make_site):
    site = make_site()
    rounds = figures.amount(1, 20)
    proxy = Proxy(site.picket.port, keeps=True)
    proxy.delay, proxy.reset_share, proxy.stall_share = 0.02, 0.1, 0.02
    try:
        with Repeater(proxy.forget_stalled, pause=0.5):  # as a router does, in the end
            for _ in range(rounds):
                run_all(site.project.dsn.replace(f":{site.picket.port}/", f":{proxy.port}/"))
    finally:
        proxy.close()
    for link in proxy.past:
        for event_id in PROMISE.findall(bytes(link.record[DOWN])):
            site.promises.add(site.project.id, event_id.decode())
    site.promises.possible[site.project.id].append(lambda event_id: True)  # the bodies are packed: not looked into
    assert site.promises.total() > 0
    result = site.check()
    assert result.stored <= EVENTS * rounds * sum(SDKS.values())
    figures.record("SDKs on a flaky line: " + ", ".join(sdk for sdk, there in SDKS.items() if there), rounds, result)
