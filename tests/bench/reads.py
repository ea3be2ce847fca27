"""The scenario `reads` of bench.py: what a dashboard asks for, of a database as it is after a quarter of a year (dataset.py), while events come in.

Sixteen clients (ask.c) keep a connection each and ask for all kinds of pages in turns, of projects and issues of all sizes, the largest more often than by chance; 1,000
events/s arrive meanwhile, for issues of their own in all those projects. Twice: in a closed loop, so that sixteen requests are always under way and what is measured is
two cores in full use (the bar is of that); and at 100 reads/s in an open loop, which is what some hundred people who look at pages ask for.
"""
import json
import os
import random
import subprocess

from dataset import Dataset

CLIENTS, EVENTS_PER_SECOND, READS_PER_SECOND, BAR_MS = 16, 1000, 100, 50
SEARCHES = {
    "search: text that few have": "\"of cache {n}\"",
    "search: text that all have": "cannot",
    "search: level": "level:warning",
    "search: tag": "tag.customer:c{n}",
    "search: user": "user.id:u{n}",
    "search: release": "release:shop@4.{release}.0",
    "search: seen and counted": "first_seen:>-30d times_seen:>10",
    "search: all of them": "is:unresolved level:error environment:production times_seen:>10 tag.plan:team basket",
}


def sampled(ask, sql):
    return [line.split("|") for line in ask(sql)]


def quoted(text):
    return text.replace("%", "%25").replace(" ", "%20").replace('"', "%22").replace(">", "%3E").replace("+", "%2B")


def of_projects(data, rng):
    """(kind, path): the largest project a third of the time, the next nine a third."""
    projects = sorted(data.projects)
    patterns = data.size["patterns"]
    for i in range(120):
        project = (projects[0], rng.choice(projects[1:10] or projects), rng.choice(projects[10:] or projects))[i % 3]
        issues = f"/api/projects/{project}/issues"
        yield "project", f"/api/projects/{project}"
        for sort in ("last_seen", "first_seen", "events", "users"):
            yield f"issues by {sort}", f"{issues}?filter={rng.choice(['open', 'all'])}&sort={sort}&order={rng.choice(['desc', 'desc', 'asc'])}"
        yield "issues, a later page", f"{issues}?filter=all&sort=last_seen&page={rng.randrange(2, 20)}"
        yield "issues of all projects", f"/api/issues?sort={rng.choice(['last_seen', 'first_seen', 'events'])}"
        for kind, query in SEARCHES.items():
            text = query.replace("{n}", str(rng.randrange(min(patterns, 2000)))).replace("{release}", str(rng.randrange(40)))
            yield kind, f"{issues}?filter=all&q={quoted(text)}"
        yield "search of all projects", f"/api/issues?q={quoted('level:error basket')}"
        yield "events of a project", f"/api/projects/{project}/events"
        yield "releases", f"/api/projects/{project}/releases"
        yield "environments", f"/api/projects/{project}/environments"
        yield "stats of a project, hours", f"/api/projects/{project}/stats?hours=24&interval=hour"
        yield "stats of a release, days", f"/api/projects/{project}/stats?hours=720&interval=day&release=shop@4.{rng.randrange(30, 40)}.0"


def of_issues(data):
    """Of those projects: issues that many events have, and any; of each one event."""
    projects = ", ".join(str(p) for p in sorted(data.projects)[:10])
    rows = sampled(data.ask, f"""
        select i.project_id, i.id, e.id, e.event_id
          from ((select * from issues where project_id in ({projects}) order by event_count desc limit 100)
                union (select * from issues order by md5(id::text) limit 200)) i
          join groupings g on g.project_id = i.project_id and g.issue_id = i.id
         cross join lateral (
            select e.id, e.event_id from events e
             where e.project_id = g.project_id and (e.grouping_id, e.id) > (g.id, uuid7_floor(i.first_seen + (i.last_seen - i.first_seen) * random()))
               and e.grouping_id <= g.id order by e.grouping_id, e.id limit 1) e""")
    for project, issue, event, event_id in rows:
        path = f"/api/projects/{project}/issues/{issue}"
        yield "issue", path
        yield "events of an issue", f"{path}/events"
        yield "event, with next and previous", f"{path}/events/{event}"
        yield "event by the SDK's id", f"/api/projects/{project}/events/{event_id}"
        yield "tags, users, releases of an issue", f"{path}/tags"
        yield "values of a tag", f"{path}/tags/customer"
        yield "stats of an issue, hours", f"{path}/stats?hours=24&interval=hour"
        yield "stats of an issue, days", f"{path}/stats?hours=720&interval=day"


def asked(bench, site, targets, seconds, *options):
    """What ask.c prints, while events come in."""
    dsns = os.path.join(site.directory, "dsns")
    load = bench.generate(dsns, "-c", CLIENTS, "-r", EVENTS_PER_SECOND, "-s", seconds + 2, "-k", 11)  # 11: prime to the number of projects
    try:
        out = subprocess.run([bench.program("ask"), "-c", str(CLIENTS), "-s", str(seconds), *options, str(site.picket.port), targets], check=True, text=True,
                             stdout=subprocess.PIPE, env={**os.environ, "ASK_HEADER": f"Authorization: Bearer {site.picket.token}"}, start_new_session=True).stdout
    finally:
        generated = bench.generated(load)
    site.acknowledged += generated["accepted"]
    return {**json.loads(out), "accepted_per_second": generated["accepted"] / generated["seconds"]}


def measure(bench, site):
    """The results of the scenario."""
    data = Dataset(site, bench.scale["data"])
    data.fill()
    wrong, rng = data.check(), random.Random(1)
    if wrong:
        raise SystemExit("FAILED: what was made is not counted as it is: " + "; ".join(wrong))
    targets, dsns = os.path.join(site.directory, "targets"), os.path.join(site.directory, "dsns")
    with open(targets, "w", encoding="utf-8") as f:
        f.writelines(f"{kind}\t{path}\n" for kind, path in (*of_projects(data, rng), *of_issues(data)))
    with open(dsns, "w", encoding="ascii") as f:
        f.writelines(dsn + "\n" for dsn in data.projects.values())
    seconds = bench.scale["reads"]
    asked(bench, site, targets, max(seconds // 6, 1))  # what is asked for the first time comes from disk, and live issues are new
    bench.progress("closed loop")
    closed = asked(bench, site, targets, seconds)
    bench.progress(f"{READS_PER_SECOND} reads/s")
    opened = asked(bench, site, targets, seconds, "-r", str(READS_PER_SECOND))
    honest = site.settle()
    return {"honest": honest and not failed(closed) and not failed(opened), "events": site.made_rows, "issues": data.number("select count(*) from issues"),
            "projects": len(data.projects), "closed": closed, "open": opened, "acknowledged": site.acknowledged, "rows": site.rows()}


def failed(result):
    return result["all"]["failed"]


def slowest(result):
    return max(kind["p95"] for kind in result["kinds"].values())


def lines(r):
    """The table."""
    closed, opened = r["closed"], r["open"]
    yield (f"{r['events']:,} events, {r['issues']:,} issues, {r['projects']} projects; {closed['accepted_per_second']:,.0f} and {opened['accepted_per_second']:,.0f} "
           "events/s come in")
    yield (f"{CLIENTS} clients: {closed['all']['asked'] / closed['seconds']:,.0f} reads/s in a closed loop (both cores are in use, the clients' own "
           f"{closed['cpu_seconds'] / closed['seconds']:.2f} of a core); then {READS_PER_SECOND}/s in an open loop. Milliseconds")
    yield f"{'':36} {'closed: p50':>12} {'p95':>7} {'p99':>7} {'a second':>9} {'bytes':>7}   {'open: p50':>10} {'p95':>7} {'p99':>7}"
    for name in [*closed["kinds"], "all"]:
        a, b = (result["all"] if name == "all" else result["kinds"][name] for result in (closed, opened))
        missed = "   MISSED" if name != "all" and a["p95"] > BAR_MS else ""
        yield (f"{name:36} {a['p50']:12.1f} {a['p95']:7.1f} {a['p99']:7.1f} {a['asked'] / closed['seconds']:9.1f} {a['bytes']:7,}   "
               f"{b['p50']:10.1f} {b['p95']:7.1f} {b['p99']:7.1f}{missed}")
