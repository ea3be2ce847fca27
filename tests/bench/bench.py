#!/usr/bin/env python3
"""The benchmark: what a release build takes on this machine, how far from what the machine can at most, and which bars it meets.

  accept        64 connections, 4.2 KB events of 1,000 issues, acknowledged when on disk; the digest waits (its table is locked) so that only the spool works;
                then the same in an open loop at 70 % of that rate, for the latency, in turns with the bare server that syncs, at the same rate
  drain         a backlog (1 million; quick: 100,000) made that way, then the lock is let go: rows per second until the last, bytes per event on disk
  sustained     the highest rate (open loop) at which the backlog stays flat, found in short runs and held for 5 minutes (quick: 15 s), at the settings of production
  newissues     the same, each event a new issue           bigbodies   25 KB bodies
  manyprojects  1,000 projects                             stored      10 million events are there already (quick: 200,000)
  api           reads, route by route, and the time until an event shows, at half of what can be sustained
  reads         pages of a dashboard, kind by kind, of 10 million events of 200 projects (quick: 200,000 of 40), 16 clients beside 1,000 events/s (reads.py)
  idle          memory of an idle server; the time until an event shows; what 10,000 idle connections take

How it works. Each scenario has a Picket of its own with a private cluster (subject.py), sessions and samples from probes.py, and the generator load.c.
Floors run in the same rounds, in turns: a bare libh2o server that answers, and one that syncs by group commit (floor.c); the events insert alone (raw.c).
A result is the median of the rounds with lowest and highest. Every event sent has an id of its own, and when all is digested the rows of `events` are
counted: a figure whose rows are not as many as its 200s prints FAILED, and the exit status is 1. Flat is a backlog whose line over the last three
quarters of the time rises by less than half a second's events, with no refusal and nothing overdue. Processor time is counted from the first event to
the last row. The bars are those of two cores that generator, Picket and PostgreSQL share.

usage: bench.py [--scale full|quick|tiny] [--scenarios "accept drain …"] [--json FILE] [--strict] [BUILD_DIRECTORY]  (python3, psql; talks to 127.0.0.1 only)
"""
import argparse
import contextlib
import datetime
import http.client
import json
import os
import platform
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from overload import Latencies, dsn_of, getter, sender, visible  # noqa: E402
import reads as pages  # noqa: E402
from probes import Processors, Session, Watch, rise  # noqa: E402
from subject import ROOT, Picket, free_port, wait_for  # noqa: E402

MB = 1.048576  # of a MiB
CONNECTIONS = 64
SHARE_OF_RATE = 0.7  # at which acks are timed
UNBOUNDED = {"SPOOL_DELAY_SECS": "0", "SPOOL_MAX_BYTES": "64G"}  # what the spool takes, not what its door lets in beside a digest that waits
STATEMENT = os.path.join(HERE, "raw_insert.sql")
EVENT_TABLES = "(select 'events'::regclass as oid union all select inhrelid from pg_inherits where inhparent = 'events'::regclass) t"

# Seconds and numbers; `about`: minutes that each scenario takes, for the time left. accept, drain and sustained have rounds.
SCALES = {
    "full": {"rounds": 3, "burst": 8, "backlog": 1_000_000, "find": 20, "steps": 5, "step": 20, "sustained": 300, "others": 120, "stored": 10_000_000, "api": 60,
             "visible": 100, "connections": 10_000, "projects": 1_000, "reads": 60,
             "data": {"events": 10_000_000, "issues": 50_000, "projects": 200, "days": 90, "patterns": 10_000},
             "about": {"accept": 3, "drain": 9, "sustained": 9, "newissues": 6, "bigbodies": 6, "manyprojects": 6, "stored": 18, "api": 2, "reads": 18, "idle": 1}},
    "quick": {"rounds": 2, "burst": 2, "backlog": 100_000, "find": 5, "steps": 0, "step": 0, "sustained": 15, "others": 8, "stored": 200_000, "api": 6,
              "visible": 20, "connections": 10_000, "projects": 1_000, "reads": 10,
              "data": {"events": 200_000, "issues": 2_000, "projects": 40, "days": 90, "patterns": 1_000},
              "about": {"accept": .4, "drain": .9, "sustained": .6, "newissues": .4, "bigbodies": .4, "manyprojects": .4, "stored": .6, "api": .3, "reads": 1.2, "idle": .2}},
    "tiny": {"rounds": 1, "burst": 1, "backlog": 2_000, "find": 1, "steps": 0, "step": 0, "sustained": 2, "others": 2, "stored": 2_000, "api": 1, "visible": 3,
             "connections": 100, "projects": 10, "reads": 1,
             "data": {"events": 2_000, "issues": 100, "projects": 5, "days": 3, "patterns": 100}, "about": {}},
}


def say(text):
    print(text, file=sys.stderr, flush=True)


def summary(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def median(of):
    return of["median"]


def medians(many):
    return {name: statistics.median(one[name] for one in many) for name in many[0]}


class Bench:
    """What all scenarios share: where things are, how much of everything, what was found so far."""

    def __init__(self, arguments):
        self.build, self.scale, self.extra = os.path.abspath(arguments.build), SCALES[arguments.scale], arguments.load.split()
        self.binary = arguments.binary or os.path.join(self.build, "picket")
        self.results, self.made, self.label, self.ends = {}, [], "", 0.0
        self.directory = tempfile.mkdtemp(prefix="picket-bench-")
        os.chmod(self.directory, 0o755)  # started as root, Picket becomes another user

    def program(self, name):
        return os.path.join(self.build, "tests", "bench", name)

    def progress(self, text):
        left = max(self.ends - time.monotonic(), 0)
        say(f"{self.label:13} {text}" + (f"; about {left / 60:.0f} min left" if left >= 60 else ""))

    def start(self, *command, **options):
        self.made.append(subprocess.Popen([str(part) for part in command], text=True, **options))
        return self.made[-1]

    def generate(self, target, *options, any_answer=False):
        """The generator, in a session of its own: it stands for clients elsewhere, and the scheduler may share cores out by session."""
        where = ["-D", target] if os.path.exists(target) else [target]
        return self.start(self.program("load"), "-j", "-c", CONNECTIONS, *(["-a"] if any_answer else []), *self.extra, *options, *where,
                          stdout=subprocess.PIPE, start_new_session=True)

    def generated(self, process):
        out, _ = process.communicate()
        if process.returncode != 0:
            raise SystemExit(f"the generator ended with {process.returncode}: {out}")
        return json.loads(out)

    @contextlib.contextmanager
    def floor(self, kind):
        """A bare server; yields where to send to."""
        port, path = free_port(), os.path.join(self.directory, "floor.dat")
        process = self.start(self.program("floor"), kind, port, *([path] if kind == "fsync" else []))
        try:
            wait_for("floor", lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
            yield f"http://{'0' * 32}@127.0.0.1:{port}/1"
        finally:
            end(process)
            if os.path.exists(path):
                os.remove(path)

    def floor_load(self, kind, *options):
        with self.floor(kind) as target:
            return self.generated(self.generate(target, "-s", self.scale["burst"], *options, any_answer=True))

    def insert_raw(self, site, seconds, events):
        """Rows per second of the insert alone, into an empty table."""
        site.session.ask("truncate events")
        site.sample = 0
        conninfo = f"host={os.path.join(site.picket.data, 'postgres', 'run')} user=picket dbname=postgres"
        out, _ = self.start(self.program("raw"), conninfo, STATEMENT, seconds, events, stdout=subprocess.PIPE).communicate()
        result = json.loads(out)
        if site.rows() != result["events"]:
            raise SystemExit("FAILED: the raw insert's rows are not what it counted")
        return result["events"] / result["seconds"]

    def close(self):
        for process in self.made:
            end(process)
        shutil.rmtree(self.directory, ignore_errors=True)


def end(process):
    if process.poll() is None:
        process.kill()
        process.wait()


class Site:
    """A Picket with an empty database, the sum of what it acknowledged, and the rows to compare that with."""

    def __init__(self, bench, **settings):
        self.bench, self.directory = bench, tempfile.mkdtemp(dir=bench.directory)
        os.chmod(self.directory, 0o755)
        # Retention works once an hour: not just in these minutes, on days that were made up a moment ago.
        self.picket = Picket(bench.binary, self.directory, RETENTION_EVERY_SECS="604800", **{"SPOOL_DELAY_SECS": "", **settings})
        self.session = Session(self.picket)
        project, key = self.picket.project("bench")
        self.project, self.target = project, dsn_of(self.picket, project, key)
        self.acknowledged, self.sample, self.made_rows = 0, 1, 0  # rows that nobody sent: the first start's sample, and those that SQL made
        wait_for("the sample event", lambda: self.digested() == 0)
        self.idle_mib = self.picket.memory()["RssAnon"]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.session.close()
        if kind is None:
            self.picket.stop()
        else:  # it may be its fault that it cannot stop
            self.picket.process.terminate()
            self.picket.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def new_project(self, name):
        """Its DSN."""
        connection = http.client.HTTPConnection("127.0.0.1", self.picket.port)
        connection.request("POST", "/api/projects", json.dumps({"name": name}), {"Authorization": f"Bearer {self.picket.token}", "Content-Type": "application/json"})
        return json.load(connection.getresponse())["dsn"]

    def digested(self):
        return self.session.number("select sum(digested) from project_counters") - self.sample

    def rows(self):
        return self.session.number("select count(*) from events") - self.sample - self.made_rows

    def load(self, *options):
        result = self.bench.generated(self.bench.generate(self.target, *options))
        self.acknowledged += result["accepted"]
        return result

    def drained(self):
        """Until all that was acknowledged is stored, or nothing more is."""
        last, at = -1, time.monotonic()
        while (now := self.digested()) < self.acknowledged:
            if now != last:
                last, at = now, time.monotonic()
            if time.monotonic() - at > 30:
                break
            time.sleep(0.02)

    def settle(self):
        """The same. True when the rows are the 200s."""
        self.drained()
        return self.rows() == self.acknowledged

    def forget(self):
        """Back to a table without events, whose issues are known."""
        self.drained()
        self.session.ask("truncate events")
        self.sample += self.acknowledged
        self.acknowledged, self.made_rows = 0, -self.sample

    @contextlib.contextmanager
    def digest_held(self):
        """Nothing is inserted into events while this session has them locked; the spool fills."""
        session = Session(self.picket)
        session.ask("begin; lock table events in exclusive mode")
        try:
            yield
        finally:
            session.ask("commit")
            session.close()

    def bytes_of_events(self):
        return self.session.number(f"select sum(pg_total_relation_size(t.oid)) from {EVENT_TABLES}")


def per_10000(events, processors, generators):
    """Processor seconds per 10,000 events."""
    seconds = {**processors.seconds(), "generator": sum(g["cpu_seconds"] for g in generators)}
    return {name: round(s / max(events, 1) * 10_000, 4) for name, s in seconds.items()}


def latency(generated):
    return {name: generated["latency_ms"][name] for name in ("p50", "p99", "p99.9", "max")}


def latencies(rounds):
    return {name: summary([latency(g)[name] for g in rounds]) for name in latency(rounds[0])}


# ---- accept, drain

def acks_in_time(site, rate):
    """How long acks take at a rate that both can take, of the bare server with fdatasync and of Picket, in turns: what the disk makes wait shows in both."""
    bench, rounds = site.bench, {"fsync": [], "picket": []}
    for i in range(bench.scale["rounds"]):
        site.settle()
        rounds["fsync"].append(bench.floor_load("fsync", "-r", rate))
        with site.digest_held():
            rounds["picket"].append(site.load("-s", bench.scale["burst"], "-r", rate))
        bench.progress(f"round {i + 1} at {rate:,.0f}/s: ack p99 {latency(rounds['picket'][-1])['p99']:.1f} ms; floor {latency(rounds['fsync'][-1])['p99']:.1f} ms")
    return {name: latencies(generated) for name, generated in rounds.items()}


def accept(bench):
    noop, fsync, rates, acks, used, honest = [], [], [], [], [], True
    with Site(bench, **UNBOUNDED) as site:
        site.load("-n", 1000)  # its issues and the key are known from here on
        watch = Watch(site.picket)
        for i in range(bench.scale["rounds"]):
            honest = site.settle() and honest
            noop.append(bench.floor_load("noop")["accepted_per_second"])
            fsync.append(bench.floor_load("fsync")["accepted_per_second"])
            with site.digest_held():
                processors = Processors(site.picket)
                acks.append(site.load("-s", bench.scale["burst"]))
                used.append(per_10000(acks[-1]["accepted"], processors, [acks[-1]]))
            rates.append(acks[-1]["accepted_per_second"])
            bench.progress(f"round {i + 1}: {rates[-1]:,.0f}/s; floors {noop[-1]:,.0f}/s and {fsync[-1]:,.0f}/s")
        rate = statistics.median(rates) * SHARE_OF_RATE
        late = acks_in_time(site, rate)
        honest = site.settle() and honest
        return {"honest": honest, "accepted_per_second": summary(rates), "noop_per_second": summary(noop), "fsync_per_second": summary(fsync),
                "share_of_fsync": summary([r / f for r, f in zip(rates, fsync)]), "share_of_noop": summary([r / f for r, f in zip(rates, noop)]),
                "ack_ms": latencies(acks), "open_loop_rate": rate, "open_loop_ms": late["picket"], "fsync_open_loop_ms": late["fsync"],
                "statuses": acks[-1]["statuses"], "body_bytes": acks[-1]["body_bytes"], "cpu_s_per_10000": medians(used),
                "memory_mib": {"idle": site.idle_mib, "peak": watch.stop().memory()}, "acknowledged": site.acknowledged, "rows": site.rows()}


def drain(bench):
    rates, raw, used, bytes_each, backlog, n = [], [], [], [], [], bench.scale["backlog"]
    with Site(bench) as floor, Site(bench, **UNBOUNDED) as site:
        honest, watch = True, Watch(site.picket)
        for i in range(bench.scale["rounds"]):
            raw.append(bench.insert_raw(floor, 0, n))
            before, empty = site.rows(), site.bytes_of_events()
            with site.digest_held():
                generated = site.load("-s", 0, "-n", n)
                began, processors, at = time.monotonic(), Processors(site.picket), time.monotonic() - watch.began
            honest = site.settle() and honest
            rates.append(generated["accepted"] / (time.monotonic() - began))
            used.append(per_10000(generated["accepted"], processors, []))
            bytes_each.append((site.bytes_of_events() - empty) / max(site.rows() - before, 1))
            backlog.append([(round(t - at, 1), left) for t, left in watch.backlog() if t >= at])
            bench.progress(f"round {i + 1}: {rates[-1]:,.0f}/s; raw insert {raw[-1]:,.0f}/s")
        return {"honest": honest, "digested_per_second": summary(rates), "raw_per_second": summary(raw), "share_of_raw": summary([r / f for r, f in zip(rates, raw)]),
                "events": n, "bytes_per_event": summary(bytes_each), "backlog": backlog, "memory_mib": {"idle": site.idle_mib, "peak": watch.stop().memory()},
                "cpu_s_per_10000": medians([{name: u[name] for name in ("picket", "postgresql")} for u in used]),
                "acknowledged": site.acknowledged, "rows": site.rows()}


# ---- sustained, and its kin

def is_flat(generated, backlog, rate, seconds):
    """See the top of this file."""
    late = [(t, n) for t, n in backlog if seconds / 4 <= t <= seconds]
    answered = set(generated["statuses"]) == {"200"} and generated["overdue"] <= rate / 20
    return answered and rise(late) * seconds * 3 / 4 <= rate / 2


def hold(site, rate, seconds, *options):
    """An open loop at that rate, and what is left of it digested. With more connections: 64 of them, each waiting 5 ms for its ack, send no more than 12,800/s."""
    site.session.ask("checkpoint")  # what the benchmark wrote and read before is not to be paid for now
    watch, processors = Watch(site.picket), Processors(site.picket)
    generated = site.load("-c", 4 * CONNECTIONS, "-r", rate, "-s", seconds, *options)
    site.drained()
    used = per_10000(generated["accepted"], processors, [generated])
    backlog = watch.stop().backlog()
    return {"rate": rate, "flat": is_flat(generated, backlog, rate, seconds), "seconds": seconds,
            "accepted_per_second": generated["accepted"] / seconds, "digested_per_second": watch.digested_per_second(seconds / 4, seconds),
            "ack_ms": latency(generated), "statuses": generated["statuses"], "overdue": generated["overdue"], "body_bytes": generated["body_bytes"],
            "backlog": [(round(t, 1), n) for t, n in backlog], "backlog_at_end": next((n for t, n in reversed(backlog) if t <= seconds), 0),
            "cpu_s_per_10000": used, "memory_mib": {"idle": site.idle_mib, "peak": watch.memory()}}


def closed_loop(site, seconds, *options):
    """Rows per second while there is always something to digest, and refusals cost next to nothing: who is refused waits a little."""
    watch = Watch(site.picket)
    site.load("-s", seconds, "-p", 100, *options)
    rate = watch.digested_per_second(seconds / 4, seconds)
    watch.stop()
    site.drained()
    return max(rate, 1.0)


def highest_flat(site, *options):
    """By halves; [(rate, flat)] of what was tried. Without steps: nine tenths of what a closed loop gets."""
    scale, bench = site.bench.scale, site.bench
    rate, low, high, tried = 0.9 * closed_loop(site, scale["find"], *options), None, None, []
    for _ in range(scale["steps"]):
        held = hold(site, rate, scale["step"], *options)
        tried.append((round(rate), held["flat"]))
        bench.progress(f"{rate:,.0f}/s: {'flat' if held['flat'] else 'not flat'}")
        low, high = (rate, high) if held["flat"] else (low, rate)
        rate = (low + high) / 2 if low and high else rate * (1.2 if low else 0.8)
    return low or rate, tried


def highest_held(site, seconds, *options, fresh=True):
    """Each attempt begins with an empty table, if fresh. Rows are counted at the end: to count millions writes to each of their pages."""
    rate, tried = highest_flat(site, *options)
    for _ in range(4):
        site.bench.progress(f"hold {rate:,.0f}/s for {seconds} s")
        if fresh:
            site.forget()
        held = hold(site, rate, seconds, *options)
        tried.append((round(rate), held["flat"]))
        if held["flat"]:
            break
        site.bench.progress(f"{held['digested_per_second']:,.0f}/s were digested, {held['backlog_at_end']:,} were waiting at the end")
        rate = min(0.95 * rate, 0.97 * held["digested_per_second"]) if site.bench.scale["steps"] else 0.8 * rate  # long holds tell what can be digested
    rows = site.rows()
    return {**held, "tried": tried, "honest": rows == site.acknowledged, "acknowledged": site.acknowledged, "rows": rows}


def side_by_side(bench):
    """Both floors at once: what the machine can do for a server that keeps events on disk and in PostgreSQL."""
    accepts, inserts = [], []
    with Site(bench) as site:
        for _ in range(bench.scale["rounds"]):
            with bench.floor("fsync") as target:
                load = bench.generate(target, "-s", bench.scale["burst"], any_answer=True)
                inserts.append(bench.insert_raw(site, bench.scale["burst"], 0))
                accepts.append(bench.generated(load)["accepted_per_second"])
    return {"fsync_per_second": summary(accepts), "raw_per_second": summary(inserts), "lower": min(statistics.median(accepts), statistics.median(inserts))}


def sustained(bench):
    floors = side_by_side(bench)
    with Site(bench) as site:
        held = highest_held(site, bench.scale["sustained"])
        return {**held, "floors": floors, "share_of_lower_floor": held["rate"] / floors["lower"]}


def newissues(bench):
    with Site(bench) as site:
        return highest_held(site, bench.scale["others"], "-k", 0)


def bigbodies(bench):
    with Site(bench) as site:
        return highest_held(site, bench.scale["others"], "-l")


def manyprojects(bench):
    with Site(bench) as site:
        path = os.path.join(site.directory, "dsns")
        with open(path, "w", encoding="ascii") as f:
            for i in range(bench.scale["projects"]):
                f.write(site.new_project(f"project {i}") + "\n")
        site.target = path
        return highest_held(site, bench.scale["others"], "-k", 11)  # 11: prime to the number of projects, so each has that many issues


def fill_events(site, n):
    """Rows like those that were sent, half of them of today, the others of the nine days before, in their issues and in the order of their ids."""
    site.session.ask("select ensure_partitions(now(), 10, 3)")
    site.session.ask("create temp table pattern as select e.*, row_number() over () - 1 as i from events e where project_id = "
                     f"{int(site.project)} limit 10000")
    patterns, step = site.session.number("select count(*) from pattern"), 500_000
    for begin in range(0, n, step):
        site.session.ask(f"""
            insert into events
            select e.project_id, (lpad(to_hex(floor(extract(epoch from made.at) * 1000)::bigint), 12, '0') || '7' || substr(made.digits, 1, 3) || '8'
                                  || substr(made.digits, 4, 15))::uuid, gen_random_uuid(), e.grouping_id, e.batch_id, made.at, made.at, e.title, e.level, e.platform,
                   e.release, e.environment, e.server_name, e.sdk_name, e.sdk_version, e.remote_addr, e.payload
              from (select g, md5(random()::text) as digits, case when g * 2 < {n} then day.at - interval '9 days' * (1 - g * 2.0 / {n})
                                                                  else day.at + (now() - day.at) * (g * 2.0 / {n} - 1) end as at
                      from generate_series({begin}, {min(begin + step, n) - 1}) g, (select date_trunc('day', now(), 'UTC') as at) day) made
              join pattern e on e.i = made.g % {patterns}""")
        site.bench.progress(f"{min(begin + step, n):,} events made")
    site.session.ask("drop table pattern")
    site.session.ask("analyze events")
    site.session.ask("checkpoint")
    site.made_rows += n


def stored(bench):
    with Site(bench) as site:
        site.load("-n", 10_000)
        site.settle()
        fill_events(site, bench.scale["stored"])
        held = highest_held(site, bench.scale["sustained"], fresh=False)
        empty = bench.results.get("sustained")  # without it there is nothing to compare with
        share = empty and (held["rate"] / empty["rate"] if held["flat"] and empty["flat"] else 0.0)
        return {**held, "stored": bench.scale["stored"], "share_of_empty": share}


# ---- api, idle

def routes(picket, project):
    issues = f"/api/projects/{project}/issues"
    issue = f"{issues}/{picket.get(issues)['items'][0]['id']}"
    event = f"{issue}/events/{picket.get(issue + '/events')['items'][0]['id']}"
    return {"projects": "/api/projects", "project": f"/api/projects/{project}", "issues": issues, "issue": issue, "events": f"{issue}/events", "event": event,
            "event, raw": f"{event}/raw", "outcomes": f"/api/projects/{project}/outcomes"}


def percentiles(ms):
    ordered = sorted(ms)
    return {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in (("p50", .5), ("p95", .95), ("p99", .99), ("max", 1))}


def api(bench):
    with Site(bench) as site:
        known = bench.results.get("sustained", {})
        rate = (known["rate"] if known.get("flat") else closed_loop(site, bench.scale["find"])) / 2
        site.load("-n", 1000)
        site.settle()
        other, other_key = site.picket.project("other")
        sender(other, other_key)(http.client.HTTPConnection("127.0.0.1", site.picket.port))
        site.acknowledged += 1
        asked = routes(site.picket, site.project)
        watch, load = Watch(site.picket), bench.generate(site.target, "-c", CONNECTIONS, "-r", rate, "-s", bench.scale["api"])
        probes = {name: Latencies(site.picket, getter(site.picket, path), 0.1) for name, path in asked.items()}
        seen = Latencies(site.picket, visible(site.picket, other, other_key, 0.005), 0.05)
        load.wait()
        for probe in (*probes.values(), seen):
            probe.stop()
        generated = bench.generated(load)
        site.acknowledged += generated["accepted"] + len(seen.ms) - len(seen.failures)
        honest = site.settle()
        return {"honest": honest, "rate": rate, "accepted_per_second": generated["accepted"] / generated["seconds"], "ack_ms": latency(generated),
                "routes_ms": {name: {**percentiles(p.ms), "asked": len(p.ms)} for name, p in probes.items()}, "visible_ms": percentiles(seen.ms),
                "failures": [f for p in (*probes.values(), seen) for f in p.failures][:10], "memory_mib": {"idle": site.idle_mib, "peak": watch.stop().memory()},
                "acknowledged": site.acknowledged, "rows": site.rows()}


def reads(bench):
    with Site(bench) as site:
        return pages.measure(bench, site)


def open_connections(port, n):
    """n connections that had an answer and are kept."""
    made = []
    for _ in range(n):
        s = socket.create_connection(("127.0.0.1", port))
        s.sendall(b"GET /health HTTP/1.1\r\nHost: bench\r\n\r\n")
        if not s.recv(4096).startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"connection {len(made) + 1} was not served")
        made.append(s)
    return made


def still_open(connections):
    """A connection that was closed has an end to read."""
    for s in connections:
        s.setblocking(False)
        try:
            s.recv(1)
        except BlockingIOError:
            continue
        except OSError:
            pass
        return False
    return True


def at_rest(picket, seconds=1.0):
    """The memory of a server that has nothing to do: when it has stood still for so long."""
    seen, since = picket.memory(), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.05)
        now = picket.memory()
        if now["RssAnon"] != seen["RssAnon"]:
            since = time.monotonic()
        seen = now
    return seen


def idle(bench):
    n = bench.scale["connections"]
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with Site(bench, MAX_CONNECTIONS=str(n + n // 2)) as site:
        before = at_rest(site.picket)
        connections = open_connections(site.picket.port, n)
        kept, after = still_open(connections), site.picket.memory()
        for s in connections:
            s.close()
        seen = Latencies(site.picket, visible(site.picket, site.project, site.target.split("//")[1].split("@")[0], 0.002), 0.02)
        wait_for("events to show", lambda: len(seen.ms) >= bench.scale["visible"])
        seen.stop()
        site.acknowledged += len(seen.ms) - len(seen.failures)
        honest = site.settle() and kept and not seen.failures
        return {"honest": honest, "idle_mib": before["RssAnon"], "idle_file_mib": before["RssFile"], "connections": n, "kept": kept,
                "connections_mib": after["RssAnon"] - before["RssAnon"], "visible_ms": percentiles(seen.ms), "acknowledged": site.acknowledged, "rows": site.rows()}


SCENARIOS = {"accept": accept, "drain": drain, "sustained": sustained, "newissues": newissues, "bigbodies": bigbodies, "manyprojects": manyprojects,
             "stored": stored, "api": api, "reads": reads, "idle": idle}


# ---- bars, table

class Bar:
    """A line of issue 6's table: at least `least` (a floor), or at most (a bound)."""

    def __init__(self, text, figure, least, aim, unit="", bound=False):
        self.text, self.figure, self.least, self.aim, self.unit, self.bound = text, figure, least, aim, unit, bound

    def reaches(self, value):
        return self.figure <= value if self.bound else self.figure >= value

    def json(self):
        return {"bar": self.text, "figure": self.figure, "at_least": self.least, "aim": self.aim, "met": self.reaches(self.least), "aim_met": self.reaches(self.aim)}

    def __str__(self):
        def show(value):
            return f"{value:,.0f}{self.unit}" if value >= 100 else f"{value:.3g}{self.unit}"
        verdict = "MISSED" if not self.reaches(self.least) else "aim met" if self.reaches(self.aim) else "met"
        return f"{verdict:8} {self.text}: {show(self.figure)} (at {'most' if self.bound else 'least'} {show(self.least)}, aim {show(self.aim)})"


def bars_of_bursts(results):
    if (a := results.get("accept")) and a["honest"]:
        yield Bar("accept, as a share of the bare server with group-committed fdatasync", median(a["share_of_fsync"]), 0.6, 0.8)
        yield Bar(f"ack p99 at {SHARE_OF_RATE:.0%} of that rate", median(a["open_loop_ms"]["p99"]), 10, 5, " ms", True)
    if (d := results.get("drain")) and d["honest"]:
        yield Bar("drain, as a share of the raw one-statement insert", median(d["share_of_raw"]), 0.6, 0.8)
        yield Bar("disk per stored 4.2 KB event, indexes included", median(d["bytes_per_event"]), 1500, 1000, " bytes", True)


def bars_of_rates(results):
    def rate(name):
        r = results.get(name)
        return (r["rate"] if r["flat"] else 0) if r and r["honest"] else None
    if (figure := rate("sustained")) is not None:
        yield Bar("sustained, 1,000 issues", figure, 15_000, 22_000, "/s")
        yield Bar("sustained, as a share of the lower floor while both run (on a slower machine this decides)", figure / results["sustained"]["floors"]["lower"], 0.6, 0.6)
    if (figure := rate("newissues")) is not None:
        yield Bar("sustained, all new issues", figure, 6_000, 12_000, "/s")
    if rate("stored") is not None and results["stored"]["share_of_empty"] is not None:
        yield Bar(f"sustained with {results['stored']['stored']:,} events stored, as a share of empty", results["stored"]["share_of_empty"], 0.9, 0.97)
    if (figure := rate("bigbodies")) is not None:
        yield Bar("sustained, 25 KB bodies", figure, 4_000, 6_000, "/s")


def bars_of_memory(results):
    if (r := results.get("api")) and r["honest"]:
        yield Bar("event visible in the API after its 200, at half load, p99", r["visible_ms"]["p99"], 500, 150, " ms", True)
    if (r := results.get("reads")) and r["honest"]:
        yield Bar(f"p95 of the slowest kind of read, {pages.CLIENTS} clients in a closed loop beside {pages.EVENTS_PER_SECOND:,} events/s",
                  pages.slowest(r["closed"]), pages.BAR_MS, pages.BAR_MS, " ms", True)
        yield Bar(f"the same at {pages.READS_PER_SECOND} reads/s", pages.slowest(r["open"]), pages.BAR_MS, pages.BAR_MS, " ms", True)
    if (r := results.get("idle")) and r["honest"]:
        yield Bar("memory of Picket, idle", r["idle_mib"] * MB, 20, 10, " MB", True)
        yield Bar(f"{r['connections']:,} idle connections, extra memory", r["connections_mib"] * MB, 60, 30, " MB", True)
    peaks = [r["memory_mib"]["peak"] for r in results.values() if "memory_mib" in r]
    if peaks:
        yield Bar("memory of Picket, under any scenario", max(peaks) * MB, 64, 40, " MB", True)


def bars(results):
    return [*bars_of_bursts(results), *bars_of_rates(results), *bars_of_memory(results)]


def spread(figure):
    return f"{figure['median']:,.0f} ({figure['min']:,.0f}–{figure['max']:,.0f})"


def processors_text(used):
    return "processor seconds per 10,000: " + ", ".join(f"{name} {s:.3f}" for name, s in used.items())


def memory_text(memory):
    return f"memory {memory['idle'] * MB:.1f} MB idle, {memory['peak'] * MB:.1f} MB at most"


def ack_text(ms):
    return "ack " + ", ".join(f"{name} {value if isinstance(value, float) else value['median']:.2f}" for name, value in ms.items()) + " ms"


def accept_lines(r):
    yield f"accepted {spread(r['accepted_per_second'])}/s; {ack_text(r['ack_ms'])}"
    yield (f"floors: no-op {spread(r['noop_per_second'])}/s, with fdatasync {spread(r['fsync_per_second'])}/s; share {median(r['share_of_noop']):.2f}, "
           f"{median(r['share_of_fsync']):.2f}")
    p99, floor = r["open_loop_ms"]["p99"], r["fsync_open_loop_ms"]["p99"]
    yield (f"at {r['open_loop_rate']:,.0f}/s (open loop): {ack_text(r['open_loop_ms'])}; p99 of each round {p99['min']:.1f}–{p99['max']:.1f}; "
           f"of the floor with fdatasync {floor['median']:.1f} ({floor['min']:.1f}–{floor['max']:.1f})")


def drain_lines(r):
    yield f"digested {spread(r['digested_per_second'])}/s of a backlog of {r['events']:,}; {median(r['bytes_per_event']):,.0f} bytes on disk per event"
    yield f"floor: raw insert {spread(r['raw_per_second'])}/s; share {median(r['share_of_raw']):.2f}"


def held_lines(r):
    if r["flat"]:
        yield f"sustained {r['rate']:,.0f}/s for {r['seconds']} s with a flat backlog; {ack_text(r['ack_ms'])}"
    else:
        yield f"no flat backlog: at {r['rate']:,.0f}/s {r['digested_per_second']:,.0f}/s were digested; {ack_text(r['ack_ms'])}"
    yield f"digested {r['digested_per_second']:,.0f}/s; backlog at the end {r['backlog_at_end']:,}; bodies of {r['body_bytes']:,} bytes"
    if "floors" in r:
        f = r["floors"]
        yield (f"floors side by side: with fdatasync {spread(f['fsync_per_second'])}/s, raw insert {spread(f['raw_per_second'])}/s; share of the lower "
               f"{r['share_of_lower_floor']:.2f}")
    if r.get("share_of_empty"):
        yield f"share of the rate without {r['stored']:,} stored events: {r['share_of_empty']:.2f}"


def api_lines(r):
    yield f"at {r['rate']:,.0f}/s: an event shows after {r['visible_ms']['p50']:.0f} ms (p50), {r['visible_ms']['p99']:.0f} ms (p99); {ack_text(r['ack_ms'])}"
    yield "p50/p95 ms: " + ", ".join(f"{name} {ms['p50']:.1f}/{ms['p95']:.1f}" for name, ms in r["routes_ms"].items())
    if r["failures"]:
        yield f"failures: {'; '.join(r['failures'])}"


def idle_lines(r):
    yield (f"{r['idle_mib'] * MB:.1f} MB, and {r['idle_file_mib'] * MB:.1f} MB of files; an event shows after {r['visible_ms']['p50']:.1f} ms (p50), "
           f"{r['visible_ms']['p95']:.1f} ms (p95)")
    yield f"{r['connections']:,} idle connections: {r['connections_mib'] * MB:.1f} MB more"


LINES = {"accept": accept_lines, "drain": drain_lines, "api": api_lines, "reads": pages.lines, "idle": idle_lines}


def report(results, judged):
    for name, r in results.items():
        if not r["honest"]:
            print(f"{name:13} FAILED: {r['rows']:,} rows, {r['acknowledged']:,} were acknowledged")
            continue
        lines = list(LINES.get(name, held_lines)(r))
        lines += [processors_text(r["cpu_s_per_10000"])] if "cpu_s_per_10000" in r else []
        lines += [memory_text(r["memory_mib"])] if "memory_mib" in r else []
        for i, line in enumerate(lines):
            print(f"{name if i == 0 else '':13} {line}")
        if "rows" in r:
            print(f"{'':13} rows = 200s: {r['rows']:,}")
    for bar in judged:
        print(bar)


def machine(bench):
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    version = subprocess.run([bench.binary, "--version"], capture_output=True, text=True).stdout.strip()
    postgres = subprocess.run(["psql", "--version"], capture_output=True, text=True).stdout.strip()
    return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "cores": os.cpu_count(), "processor": model,
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "kernel": platform.release(), "picket": version, "psql": postgres}


def run(bench, names):
    about = bench.scale["about"]
    for i, name in enumerate(names):
        bench.label = f"[{i + 1}/{len(names)}] {name}"
        bench.ends = time.monotonic() + 60 * sum(about.get(n, 0) for n in names[i:])
        bench.progress("begins")
        bench.results[name] = SCENARIOS[name](bench)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default=os.path.join(ROOT, "build"))
    parser.add_argument("--scale", choices=SCALES, default="full", help="how much of everything")
    parser.add_argument("--scenarios", default=" ".join(SCENARIOS), help="default: all")
    parser.add_argument("--json", metavar="FILE", help="write everything there, too")
    parser.add_argument("--strict", action="store_true", help="exit status 1 when a bar is missed")
    parser.add_argument("--load", default="", help="more options of the generator, for all scenarios: --load=--gzip, --load='--replay tests/e2e/recordings'")
    parser.add_argument("--binary", help="measure another binary than BUILD_DIRECTORY/picket, and build nothing")
    arguments = parser.parse_args()
    unknown = set(arguments.scenarios.split()) - set(SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {' '.join(SCENARIOS)}")
    return arguments


def main():
    arguments = parse_arguments()
    bench = Bench(arguments)
    if not arguments.binary:
        subprocess.run(["ninja", "-C", bench.build, "--quiet", "picket", *(f"tests/bench/{name}" for name in ("load", "floor", "raw", "ask"))], check=True, stdout=sys.stderr)
    try:
        run(bench, arguments.scenarios.split())
    except KeyboardInterrupt:
        say("stopped: this is what there was until then")
    finally:
        bench.close()
    judged = bars(bench.results)
    report(bench.results, judged)
    honest = all(r["honest"] for r in bench.results.values())
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as f:
            json.dump({"machine": machine(bench), "scale": arguments.scale, "honest": honest, "scenarios": bench.results, "bars": [b.json() for b in judged]}, f, indent=1)
            f.write("\n")
    return 0 if honest and (not arguments.strict or all(b.reaches(b.least) for b in judged)) else 1


if __name__ == "__main__":
    sys.exit(main())
