"""A database as it is after a quarter of a year: projects of very different sizes, issues that few or many events have, users, tags, releases that follow each other.

How it is made. Some thousand events are sent to Picket, each with a user, a release and tags of its own: its rows, payloads, numbers of tags and hashes of users are
what all others are copied from. Rows of events are then made by SQL, a day's partition after the other, in the order of their receipt, as they lie on disk when they
were sent. Issues, hours and counters are summed up from these rows as digest_batch() would have; tags, users and releases are counted by Picket's own rollup_fold(),
texts taken over by its issue_texts_fill().

check() then looks into what was made as a stranger would: for some issues and projects it compares each counter with the rows that it should count. What differs from a database
that really got these events one by one: the payload of a row is that of the event that it was copied from, so its message and id are not the row's.
"""
import http.client
import json
import random
import threading
import time
import uuid

NOUNS = ("basket order invoice customer price stock coupon payment address shipment refund product session ledger account quote catalog vendor parcel tariff "
         "voucher review").split()
VERBS = "load apply check store compute render resolve dispatch lock merge notify collect convert reserve release validate".split()
PARTS = "views models services tasks queries signals forms middleware serializers cache".split()
RELEASES, SENDERS, BATCH = 40, 4, 25_000


def pattern(rng, i, n):
    """The i-th of n events that all others are copies of; releases follow each other."""
    def word(words):
        return rng.choice(words)
    noun = word(NOUNS)
    frames = [{"function": f"{word(VERBS)}_{word(NOUNS)}", "module": f"shop.{word(NOUNS)}.{word(PARTS)}", "filename": f"shop/{word(NOUNS)}/{word(PARTS)}.py",
               "lineno": rng.randrange(1, 900), "in_app": j % 3 == 0, "context_line": f"        return self.{word(VERBS)}_{word(NOUNS)}({word(NOUNS)})"} for j in range(20)]
    return {"event_id": uuid.UUID(int=rng.getrandbits(128)).hex, "platform": rng.choice(["python", "python", "javascript", "java"]),
            "transaction": f"/{noun}/{word(VERBS)}", "level": rng.choices(["error", "warning", "fatal", "info"], [80, 12, 3, 5])[0], "release": f"shop@4.{i * RELEASES // n}.0",
            "environment": rng.choices(["production", "staging", "qa", "development"], [80, 12, 5, 3])[0], "server_name": f"web-{rng.randrange(40)}",
            "user": {"id": f"u{i * 7919 % n}"}, "sdk": {"name": "sentry.python", "version": "2.75.0"},
            "tags": {"customer": f"c{rng.randrange(2000)}", "region": f"eu-{rng.randrange(8)}", "plan": rng.choice(["team", "free", "business"]),
                     "feature": f"f{rng.randrange(30)}"},
            "contexts": {"browser": {"name": rng.choice(["Firefox", "Chrome", "Safari", "Edge"]), "version": "140"}, "os": {"name": rng.choice(["Linux", "Windows", "macOS"])}},
            "request": {"method": "POST", "url": f"https://shop.example/{noun}/{rng.getrandbits(32)}"},
            "breadcrumbs": {"values": [{"category": "query", "message": f"SELECT * FROM {word(NOUNS)} WHERE id = {rng.getrandbits(32)}"} for _ in range(6)]},
            "exception": {"values": [{"type": f"{noun.capitalize()}Error", "value": f"cannot {word(VERBS)} the {word(NOUNS)} of this {word(NOUNS)}",
                                      "stacktrace": {"frames": frames}}]}}


def send(site, events):
    """Each in an envelope; the server has to take them all."""
    key = site.target.split("//")[1].split("@")[0]
    connection = http.client.HTTPConnection("127.0.0.1", site.picket.port)
    for event in events:
        body = json.dumps(event)
        connection.request("POST", f"/api/{site.project}/envelope/", f'{{"event_id":"{event["event_id"]}"}}\n{{"type":"event"}}\n{body}\n',
                           {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={key}"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"an event of the data was answered with {answer.status}")
    connection.close()


def send_patterns(site, n):
    rng = random.Random(n)
    events = [pattern(rng, i, n) for i in range(n)]
    threads = [threading.Thread(target=send, args=(site, events[i::SENDERS])) for i in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    site.acknowledged += n
    site.drained()


# The tags of the project that was sent to, under the same numbers in all others; and its dictionaries, which the copied payloads need.
COPY_TAGS = """
insert into tag_numbers (project_id, last_tag, last_key, n_tags, n_keys)
    select p.id, n.last_tag, n.last_key, n.n_tags, n.n_keys from filled p join tag_numbers n on n.project_id = {source};
insert into tag_keys (project_id, id, key, n_values, other_id) select p.id, k.id, k.key, k.n_values, k.other_id from filled p join tag_keys k on k.project_id = {source};
insert into tags (project_id, id, key_id, key, value) select p.id, t.id, t.key_id, t.key, t.value from filled p join tags t on t.project_id = {source};
insert into payload_dictionaries (project_id, number, checksum, content)
    select p.id, d.number, d.checksum, d.content from filled p join payload_dictionaries d on d.project_id = {source}"""

# Sizes fall with the rank (of projects: power 1.2, the first of 200 has a fourth of everything; of issues in a project: 0.9). Most issues come and go; the ten largest
# of a project stay.
PLAN = """
create temp table plan as
with sized as (
    select id, power(row_number() over (order by id), -1.2) / sum(power(n, -1.2)) over () as share from (select id, row_number() over (order by id) as n from filled) f),
ranked as (
    select p.id as project_id, p.share, rank, power(rank + 2, -0.9) as weight
      from sized p cross join lateral generate_series(1, greatest(round(p.share * {issues}), 1)::int) rank),
counted as (
    select r.*, greatest(round({events} * share * weight / sum(weight) over (partition by project_id)), 1)::bigint as n,
           case when rank <= 10 then 0 else floor(random() * {days})::int end as low, random() as life
      from ranked r),
words as (
    select c.*, case when rank <= 10 then {days} - 1 else least({days} - 1, low + floor(life * life * {days})::int) end as high,
           ('{{{nouns}}}'::text[])[1 + floor(random() * {n_nouns})::int] as noun, ('{{{nouns}}}'::text[])[1 + floor(random() * {n_nouns})::int] as other,
           ('{{{verbs}}}'::text[])[1 + floor(random() * {n_verbs})::int] as verb, ('{{{parts}}}'::text[])[1 + floor(random() * {n_parts})::int] as part,
           random() as state, random() as odds
      from counted c)
select project_id, row_number() over (partition by project_id order by low, life)::int as number, n, low, high, rank::int,
       uuid7({first}::timestamptz + low * interval '1 day') as issue_id, nextval('groupings_id') as grouping_id,
       initcap(noun) || 'Error' as type, 'cannot ' || verb || ' the ' || other || ' of ' || part || ' ' || rank as value,
       initcap(noun) || 'Error: cannot ' || verb || ' the ' || other || ' of ' || part || ' ' || rank as title, '/' || noun || '/' || verb as transaction,
       'shop.' || noun || '.' || part as module, 'shop/' || noun || '/' || part || '.py' as filename, verb || '_' || other as function,
       case when odds < 0.8 then 'error' when odds < 0.92 then 'warning' when odds < 0.95 then 'fatal' else 'info' end as level,
       case when odds < 0.5 then 'python' when odds < 0.75 then 'javascript' else 'java' end as platform, state < 0.1 as is_resolved, state between 0.1 and 0.13 as is_muted
  from words;
create unique index on plan (grouping_id);
create index on plan (low, high);
analyze plan;
insert into groupings (project_id, id, issue_id, version, hash) select project_id, grouping_id, issue_id, 1, sha256(issue_id::text::bytea) from plan order by 1, 2"""

# A day's events of all issues, in the order of their receipt; parts of the day are batches.
DAY = """
with made as (
    select p.project_id, p.grouping_id, p.title, p.level, t.at, md5(random()::text) as digits,
           least(floor(({day} + extract(epoch from t.at - {begin}) / 86400) / {days} * 0.8 * {patterns} + random() * 0.2 * {patterns}), {patterns} - 1)::int as copied
      from plan p
     cross join lateral generate_series(1, floor(p.n * ({day} - p.low + 1) / (p.high - p.low + 1.0))::bigint - floor(p.n * ({day} - p.low) / (p.high - p.low + 1.0))::bigint) g
     cross join lateral (select {begin} + ({end} - {begin}) * random() + g * interval '0' as at) t
     where p.low <= {day} and p.high >= {day})
insert into events (project_id, id, event_id, grouping_id, batch_id, received_at, timestamp, title, level, platform, release, environment, server_name, sdk_name, sdk_version,
                    remote_addr, payload, tag_ids, user_hash)
select m.project_id, (lpad(to_hex(floor(extract(epoch from m.at) * 1000)::bigint), 12, '0') || '7' || substr(m.digits, 1, 3) || '8' || substr(m.digits, 4, 15))::uuid,
       gen_random_uuid(), m.grouping_id, {batch} + floor({batches} * extract(epoch from m.at - {begin}) / extract(epoch from {end} - {begin}))::int, m.at, m.at, m.title,
       e.level, e.platform, e.release, e.environment, e.server_name, e.sdk_name, e.sdk_version, e.remote_addr, e.payload, e.tag_ids, e.user_hash
  from (select * from made order by at) m cross join lateral (select * from pattern e where e.i = m.copied limit 1) e"""

# What digest_batch() counts, of those rows.
DAY_COUNTED = """
create temp table sums as
    select e.project_id, p.issue_id, date_trunc('hour', e.received_at, 'UTC') as hour, count(*) as n, min(e.received_at) as first_at, max(e.received_at) as last_at,
           min(e.id::text)::uuid as first_id
      from events e join plan p on p.grouping_id = e.grouping_id
     where e.id >= uuid7_floor({begin}) and e.id < uuid7_floor({end} + interval '1 millisecond') and e.project_id in (select id from filled) group by 1, 2, 3;
insert into issue_hours (project_id, issue_id, hour, events) select project_id, issue_id, hour, n from sums order by 1, 2, 3;
insert into project_hours (project_id, hour, events) select project_id, hour, sum(n) from sums group by 1, 2 order by 1, 2;
insert into lives select project_id, issue_id, sum(n), min(first_at), max(last_at), min(first_id::text)::uuid from sums group by 1, 2;
insert into waiting (id, projects, low, high, events)
    select e.batch_id, array_agg(distinct e.project_id), min(e.id::text)::uuid, max(e.id::text)::uuid, count(*)
      from events e where e.id >= uuid7_floor({begin}) and e.id < uuid7_floor({end} + interval '1 millisecond') and e.batch_id >= {batch} and e.batch_id < {batch} + {batches}
     group by 1;
drop table sums"""

ISSUES = """
create temp table life as
    select project_id, issue_id, sum(n)::bigint as n, min(first_at) as first_at, max(last_at) as last_at, min(first_id::text)::uuid as first_id from lives group by 1, 2;
analyze life;
insert into issues (project_id, id, number, title, type, value, transaction, frame_filename, frame_module, frame_function, level, platform, first_seen, last_seen, event_count,
                    is_resolved, is_muted, resolved_at)
    select p.project_id, p.issue_id, p.number, p.title, p.type, p.value, p.transaction, p.filename, p.module, p.function, p.level, p.platform, l.first_at, l.last_at, l.n,
           p.is_resolved, p.is_muted, case when p.is_resolved then l.last_at + interval '1 second' end
      from plan p join life l using (project_id, issue_id) order by p.project_id, p.number;
insert into issue_transitions (project_id, issue_id, kind, event_row, at) select project_id, issue_id, 'new', first_id, first_at from life order by first_id;
update project_numbering n set last_issue = p.last from (select project_id, max(number) as last from plan group by 1) p where n.project_id = p.project_id;
update issue_states s set resolved = p.resolved, muted = p.muted
  from (select project_id, count(*) filter (where is_resolved) as resolved, count(*) filter (where is_muted and not is_resolved) as muted from plan group by 1) p
 where s.project_id = p.project_id;
update project_counters c set stored = l.n, digested = l.n from (select project_id, sum(n)::bigint as n from life group by 1) l where c.project_id = l.project_id"""

# What a line names should not be there. $: the issues and projects that are looked at.
CHECKS = {
    "events of an issue": """
        select i.id from looked i where (i.event_count, i.first_seen, i.last_seen) is distinct from
            (select (count(*), min(e.received_at), max(e.received_at)) from groupings g join events e on e.project_id = g.project_id and e.grouping_id = g.id
              where g.project_id = i.project_id and g.issue_id = i.id)""",
    "an issue's hours": """
        select i.id from looked i where i.event_count is distinct from (select sum(h.events) from issue_hours h where h.project_id = i.project_id and h.issue_id = i.id)""",
    "users of an issue": """
        select i.id from looked i left join issue_facts f on f.project_id = i.project_id and f.issue_id = i.id
         where f.users_level = 0 and f.users is distinct from (select count(distinct e.user_hash) from rows e where e.issue_id = i.id)""",
    "tags of an issue": """
        select coalesce(a.issue_id, b.issue_id)
          from (select e.issue_id, t as tag_id, count(*) as n from rows e cross join lateral tag_ids_of(e.tag_ids) t group by 1, 2) a
          full join (select t.issue_id, t.tag_id, t.events as n from issue_tags t join looked i on i.project_id = t.project_id and i.id = t.issue_id) b using (issue_id, tag_id)
         where a.n is distinct from b.n
           and not exists (select from issue_tag_keys k where k.issue_id = coalesce(a.issue_id, b.issue_id) and k.n_values >= 1000)""",
    "last release of an issue": """
        select i.id from looked i join issue_facts f on f.project_id = i.project_id and f.issue_id = i.id join tags t on t.project_id = f.project_id and t.id = f.last_release
         where t.value is distinct from (select e.release from rows e where e.issue_id = i.id order by e.received_at desc limit 1)""",
    "text of an issue": """
        select i.id from looked i where not exists (select from issue_texts x where x.project_id = i.project_id and x.issue_id = i.id and x.body ilike '%' || i.value || '%')""",
    "events of a project": """
        select p.id from looked_projects p join project_counters c on c.project_id = p.id
         where c.stored is distinct from (select count(*) from events e where e.project_id = p.id)
            or c.stored is distinct from (select sum(h.events) from project_hours h where h.project_id = p.id)
            or c.stored is distinct from (select sum(i.event_count) from issues i where i.project_id = p.id)""",
    "issues of a project": """
        select p.id from looked_projects p
         where issue_count(p.id, 'open') is distinct from (select count(*) from issues i where i.project_id = p.id and not i.is_resolved and not i.is_muted)
            or issue_count(p.id, 'all') is distinct from (select count(*) from issues i where i.project_id = p.id)""",
    "environments of a project": """
        select coalesce(a.project_id, b.project_id)
          from (select e.project_id, e.environment as value, count(*) as n from events e join looked_projects p on p.id = e.project_id group by 1, 2) a
          full join (select c.project_id, t.value, c.events as n from project_tags c join tags t on t.project_id = c.project_id and t.id = c.tag_id
                      join looked_projects p on p.id = c.project_id where t.key = 'environment') b using (project_id, value)
         where a.n is distinct from b.n""",
    "new issues of releases": """
        select p.id from looked_projects p
         where (select count(*) from issues i where i.project_id = p.id) is distinct from
               (select sum(c.new_issues) from project_tags c join tags t on t.project_id = c.project_id and t.id = c.tag_id where c.project_id = p.id and t.key = 'release')""",
}


class Dataset:
    """Fills a site (bench.py). `size`: events, issues, projects, days, patterns."""

    def __init__(self, site, size):
        self.site, self.size, self.ask, self.projects = site, size, site.session.ask, {}

    def number(self, sql):
        return self.site.session.number(sql)

    def fill(self):
        size, site, began = self.size, self.site, time.monotonic()
        self.projects = {int(dsn.rsplit("/", 1)[1]): dsn for dsn in (site.new_project(f"shop {i}") for i in range(size["projects"]))}
        self.ask(f"select ensure_partitions(now(), {size['days'] - 1}, 3)")  # while nothing is at work in events: it waits for no lock
        send_patterns(site, size["patterns"])
        self.ask("set synchronous_commit = off; set work_mem = '256MB'; set maintenance_work_mem = '512MB'; set jit = off; select setseed(0.42)")
        self.ask("set session_replication_role = replica")  # issues come after what points at them
        self.ask(f"create temp table filled as select id from projects where id in ({', '.join(str(p) for p in self.projects)})")
        self.ask("create temp table pattern as select row_number() over (order by id)::int - 1 as i, e.* from events e where project_id = "
                 f"{int(site.project)} order by release, id; create unique index on pattern (i); analyze pattern")
        self.ask(COPY_TAGS.format(source=int(site.project)))
        first = f"date_trunc('day', now(), 'UTC') - interval '{size['days'] - 1} days'"
        first = "timestamptz '" + self.ask(f"select {first}")[0] + "'"
        self.ask(PLAN.format(events=size["events"], issues=size["issues"], days=size["days"], first=first, nouns=",".join(NOUNS), n_nouns=len(NOUNS), verbs=",".join(VERBS),
                             n_verbs=len(VERBS), parts=",".join(PARTS), n_parts=len(PARTS)))
        self.ask("create temp table lives (project_id int, issue_id uuid, n bigint, first_at timestamptz, last_at timestamptz, first_id uuid)")
        self.ask("create temp table waiting (like rollup_batches including defaults)")  # they name issues that are not there yet
        site.made_rows += self.fill_days(first, began)
        self.ask(ISSUES)
        self.ask("set session_replication_role = origin; insert into rollup_batches select * from waiting")
        self.count_tags()
        self.ask("drop table pattern, lives, life, waiting")
        while self.ask("select issue_texts_fill(10000)") == ["t"]:
            pass
        site.bench.progress("vacuum")
        self.ask("vacuum (analyze)")
        self.ask("checkpoint")
        site.bench.progress(f"made in {(time.monotonic() - began) / 60:.1f} min")

    def fill_days(self, first, began):
        days, total, made = self.size["days"], self.number("select sum(n) from plan"), 0
        now = "timestamptz '" + self.ask("select now()")[0] + "'"
        for day in range(days):
            begin = f"({first} + interval '{day} days')"
            end = f"({begin} + interval '1 day' - interval '1 millisecond')" if day < days - 1 else now
            batches = 1 + total // days // BATCH
            batch = int(self.ask(f"select min(n) from (select nextval('digest_batch_id') as n from generate_series(1, {batches})) b")[0])
            values = {"day": day, "days": days, "begin": begin, "end": end, "patterns": self.size["patterns"], "batch": batch, "batches": batches}
            self.ask(DAY.format(**values))
            self.ask(DAY_COUNTED.format(**values))
            made = self.number("select sum(n) from lives")
            seconds = time.monotonic() - began
            if day % 10 == 9 or day == days - 1:
                self.site.bench.progress(f"{made:,} of {total:,} events, {made / seconds:,.0f}/s, {seconds / (day + 1) * (days - day - 1):.0f} s left")
        return made

    def count_tags(self):
        """Picket folds, too: one fold runs at a time, whoever asks for it."""
        began, total = time.monotonic(), self.number("select count(*) from rollup_batches")
        told = began
        while left := self.number("select count(*) from rollup_batches"):
            if self.ask("select held from rollup_fold(1000, 300000)") == ["t"]:
                time.sleep(0.05)
            if time.monotonic() - told > 10 and left < total:
                told = time.monotonic()
                self.site.bench.progress(f"tags: {total - left:,} of {total:,} batches, {(told - began) * left / (total - left):.0f} s left")

    def check(self, issues=60, projects=6):
        """What is counted wrong: []."""
        self.ask(f"""
            create temp table looked as
                (select i.* from issues i where i.project_id in (select id from filled) and i.event_count < 50000 order by i.event_count desc limit {issues // 3})
                union (select i.* from issues i where i.project_id in (select id from filled) order by md5(i.id::text) limit {issues});
            create temp table rows as
                select g.issue_id, e.* from looked i join groupings g on g.project_id = i.project_id and g.issue_id = i.id
                  join events e on e.project_id = g.project_id and e.grouping_id = g.id;
            create temp table looked_projects as select id from filled order by id desc limit {projects};
            analyze looked; analyze rows""")
        wrong = [f"{what}: {', '.join(lines[:3])}" for what, sql in CHECKS.items() if (lines := self.ask(sql))]
        self.ask("drop table looked, rows, looked_projects")
        return wrong
