"""The benchmark (tests/bench) in its smallest form, so that it cannot rot. Its figures are those of a busy machine: nobody looks at them here."""
import json
import os
import subprocess
import sys

import pytest

import server
from waiting import TIME_FACTOR, until

BENCH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bench")
RECORDINGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recordings")
LOAD = os.path.join(server.BUILD, "tests", "bench", "load")

sys.path.insert(0, BENCH)
import bench  # noqa: E402


def test_the_whole_way(tmp_path):
    """A backlog of 2,000 with its floor: as many rows as 200s, and what a reader of the JSON looks for."""
    path = tmp_path / "bench.json"
    run = subprocess.run([sys.executable, os.path.join(BENCH, "bench.py"), "--scale", "tiny", "--scenarios", "drain", "--json", path, "--binary", server.BINARY,
                          server.BUILD], capture_output=True, text=True, timeout=60 * TIME_FACTOR, env=server.environment())
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads(path.read_text())
    drain = result["scenarios"]["drain"]
    assert result["honest"] and drain["rows"] == drain["acknowledged"] == 2000
    for figure in ("digested_per_second", "raw_per_second", "share_of_raw", "bytes_per_event"):
        assert 0 < drain[figure]["min"] <= drain[figure]["median"] <= drain[figure]["max"]
    assert drain["cpu_s_per_10000"].keys() == {"picket", "postgresql"} and drain["memory_mib"]["peak"] > 0
    assert {"bar", "figure", "at_least", "aim", "met", "aim_met"} == result["bars"][0].keys()
    assert "rows = 200s: 2,000" in run.stdout and "[1/1] drain" in run.stderr


def figure(value):
    return {"median": value, "min": value, "max": value}


@pytest.mark.parametrize("rows, share, strict, status, says", [
    (2000, 0.7, True, 0, "rows = 200s: 2,000"), (1999, 0.7, False, 1, "FAILED: 1,999 rows, 2,000 were acknowledged"), (2000, 0.1, False, 0, "MISSED"),
    (2000, 0.1, True, 1, "MISSED")])
def test_verdict(monkeypatch, capsys, rows, share, strict, status, says):
    """Rows that are not the 200s are a failure and no figure; a missed bar is one with --strict."""
    drained = {"honest": rows == 2000, "rows": rows, "acknowledged": 2000, "events": 2000, "digested_per_second": figure(12345), "raw_per_second": figure(20000),
               "share_of_raw": figure(share), "bytes_per_event": figure(1000)}
    monkeypatch.setitem(bench.SCENARIOS, "drain", lambda _: drained)
    monkeypatch.setattr(sys, "argv", ["bench.py", "--scenarios", "drain", "--binary", server.BINARY, *(["--strict"] if strict else []), server.BUILD])
    assert bench.main() == status
    out = capsys.readouterr().out
    assert says in out and ("12,345" in out) == (rows == 2000)


@pytest.mark.parametrize("statuses, overdue, growth, flat", [(("200",), 0, 0, True), (("200", "429"), 0, 0, False), (("200",), 200, 0, False),
                                                              (("200",), 0, 20, True), (("200",), 0, 100, False)])
def test_what_is_flat(statuses, overdue, growth, flat):
    """1,000 a second for 20 s: the backlog may grow by 500 in the last 15."""
    generated = {"statuses": dict.fromkeys(statuses, 1), "overdue": overdue}
    assert bench.is_flat(generated, [(t / 2, 300 + growth * t / 2 + 100 * (t % 3)) for t in range(41)], 1000, 20) is flat


@pytest.mark.parametrize("options", [(), ("--large",), ("--gzip",), ("--gzip", "--large"), ("--replay", RECORDINGS), ("--gzip", "--replay", RECORDINGS),
                                     ("--bytes", "100000")], ids=["small", "large", "gzip", "large gzip", "replay", "replay gzip", "padded"])
def test_bodies(picket, tmp_path, options):
    """Each is one event with an id of its own, whole, and understood."""
    project, issues, ids = picket.new_project(), 7, tmp_path / "ids"
    run = subprocess.run([LOAD, "-j", "-n", "64", "-s", "0", "-c", "4", "-k", str(issues), "-i", ids, *options, project.dsn], capture_output=True, text=True,
                         timeout=60 * TIME_FACTOR, env=server.environment())
    result = json.loads(run.stdout)
    assert run.returncode == 0 and result["statuses"] == {"200": 64}, run.stdout
    until(lambda: project.count() == 64, "not all are stored", 20)
    seen = [picket.api.read(f"{project.path}/issues/{e['issue_id']}/events/{e['id']}/raw") for e in project.all_events()]
    sent = {line.split()[1] for line in ids.read_text().splitlines()}
    assert {raw["event_id"] for raw in seen} == sent and len(sent) == 64
    if "--replay" not in options:
        assert len(project.issues()) == issues and len(seen[0]["exception"]["values"][0]["stacktrace"]["frames"]) == (32 if "--large" in options else 25)
