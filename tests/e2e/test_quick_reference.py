"""README's quick reference: its lines are run as they stand there, by bash, and do what they say. Only where the server is, and with which token, is the
test's own."""
import re
import subprocess

import server
from client import Project
from waiting import until

START = 'P=http://127.0.0.1:8080; T=$(build/picket token add); J='


def tasks():
    """(number, title, lines); the first is what comes before them."""
    with open(server.ROOT + "/README.md", encoding="utf-8") as f:
        block, = re.findall(r"^## Quick reference\n.*?^```sh\n(.*?)^```$", f.read(), re.M | re.S)
    head, *rest = re.split(r"^# (\d+) (.*)\n", block, flags=re.M)
    return head, list(zip(map(int, rest[::3]), rest[1::3], rest[2::3]))


class Shell:
    """One bash, to which tasks are given one by one, as somebody would who types them."""

    def __init__(self, head):
        self.process = subprocess.Popen(["bash", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=server.environment())
        self.run(head)

    def run(self, lines):
        """What they print; each must succeed."""
        self.process.stdin.write(f"set -eo pipefail\n{lines}\necho; echo 'the end'\n")
        self.process.stdin.flush()
        said = []
        for line in self.process.stdout:
            if line == "the end\n":
                return "".join(said).strip()
            said.append(line)
        raise AssertionError(f"{lines}: exit {self.process.wait()}: {''.join(said)}")

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def shop(picket):
    return next((row for row in picket.api.read("/api/projects")["items"] if row["name"] == "Shop"), None)


def test_quick_reference(make_picket):
    picket = make_picket().start()
    head, todo = tasks()
    assert head.startswith(START) and [number for number, _, _ in todo] == list(range(1, 11))
    shell = Shell(head.replace(START, f"P={picket.url}; T={picket.token}; J="))
    said = {}
    try:
        for number, _, lines in todo:
            said[number] = shell.run(lines)
            if number == 2:
                until(Project(picket.api, shop(picket)).issues, "the event is not there")
    finally:
        shell.close()
    assert re.fullmatch(r'\{"id":"[0-9a-f]{32}"\}', said[2]) and said[3] == "SHOP-1 1x Log Message: Hello from curl"
    assert re.sub(r"\s", "", said[4]) == '{"message":"Hellofromcurl","release":"shop@1.2","level":"error"}'
    assert said[5].startswith("# ") and "Hello from curl" in said[5]
    assert said[6] == "true" and said[7] == "" and said[8] == '[{"error":{"hour":1000}},30]'
    assert re.fullmatch(r"[0-9a-f]{40}", said[9])
    assert shop(picket) is None and "CI" in {token["description"] for token in picket.api.read("/api/tokens")}
