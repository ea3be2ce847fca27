"""The books of a crash test: what was promised against what is in the database. A 200 is a promise: its event is stored, once, and every
counter equals the rows that it counts (architecture.md, S3, S6 and "Digest"). Nothing may be stored that was never sent. A 200 for an attachment is one
for its row, once, and for its bytes (src/blob/store.c, B1); no row of an attachment is without them."""
import collections
import dataclasses
import hashlib
import os

import psycopg

from waiting import TIME_FACTOR, until

STORED = "SELECT project_id, replace(event_id::text, '-', ''), count(*) FROM events WHERE project_id = ANY (%s) GROUP BY 1, 2"
# Each answers with the rows that disagree. {events} is the projects' share of the table, {folded} those of it whose batches the roll-up has folded.
COUNTERS = {
    "issues.event_count": """
        SELECT i.project_id, i.id, i.event_count, coalesce(e.n, 0) FROM issues i
          LEFT JOIN (SELECT e.project_id, g.issue_id, count(*) AS n FROM {events} e
                       JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id GROUP BY 1, 2) e
            ON e.project_id = i.project_id AND e.issue_id = i.id
         WHERE i.project_id = ANY (%(projects)s) AND i.event_count <> coalesce(e.n, 0)""",
    "events of no issue": """
        SELECT e.project_id, e.event_id FROM {events} e LEFT JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id
         WHERE g.issue_id IS NULL""",
    "project_counters": """
        SELECT project_id, c.stored, c.digested, coalesce(e.n, 0) FROM project_counters c
          LEFT JOIN (SELECT project_id, count(*) AS n FROM {events} e GROUP BY 1) e USING (project_id)
         WHERE project_id = ANY (%(projects)s) AND (c.stored <> coalesce(e.n, 0) OR c.digested <> coalesce(e.n, 0))""",
    "project_hours": """
        SELECT project_id, hour, h.events, e.n FROM (SELECT * FROM project_hours WHERE project_id = ANY (%(projects)s)) h
          FULL JOIN (SELECT project_id, date_trunc('hour', received_at, 'UTC') AS hour, count(*) AS n FROM {events} e GROUP BY 1, 2) e
         USING (project_id, hour) WHERE coalesce(h.events, 0) <> coalesce(e.n, 0)""",
    "issue_hours": """
        SELECT project_id, issue_id, hour, h.events, e.n FROM (SELECT * FROM issue_hours WHERE project_id = ANY (%(projects)s)) h
          FULL JOIN (SELECT e.project_id, g.issue_id, date_trunc('hour', received_at, 'UTC') AS hour, count(*) AS n
                       FROM {events} e JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id GROUP BY 1, 2, 3) e
         USING (project_id, issue_id, hour) WHERE coalesce(h.events, 0) <> coalesce(e.n, 0)""",
    "outcomes": """
        SELECT project_id, hour, o.n, e.n
          FROM (SELECT project_id, hour, sum(quantity) AS n FROM outcomes WHERE project_id = ANY (%(projects)s) AND category IN (1, 3) AND outcome = 0
                 GROUP BY 1, 2) o
          FULL JOIN (SELECT project_id, date_trunc('hour', received_at, 'UTC') AS hour, count(*) AS n FROM {events} e GROUP BY 1, 2) e
         USING (project_id, hour) WHERE coalesce(o.n, 0) <> coalesce(e.n, 0)""",
    "issue numbers": """
        SELECT i.project_id, max(i.number), count(*), n.last_issue FROM issues i JOIN project_numbering n USING (project_id)
         WHERE i.project_id = ANY (%(projects)s) GROUP BY 1, 4 HAVING max(i.number) <> n.last_issue OR count(*) <> n.last_issue""",
    "issue_states": """
        SELECT n.project_id, n.last_issue, s.*, i.*
          FROM project_numbering n LEFT JOIN issue_states s USING (project_id)
          LEFT JOIN (SELECT project_id, count(*) AS n, count(*) FILTER (WHERE is_resolved) AS resolved,
                            count(*) FILTER (WHERE is_muted AND NOT is_resolved) AS muted FROM issues GROUP BY 1) i USING (project_id)
         WHERE n.project_id = ANY (%(projects)s)
           AND (n.last_issue - s.gone, s.resolved, s.muted) IS DISTINCT FROM (coalesce(i.n, 0), coalesce(i.resolved, 0), coalesce(i.muted, 0))""",
    "tags": "SELECT project_id, event_id FROM {events} e WHERE coalesce(e.tag_ids, '') = ''",  # each has a level at least
    "issue_tags": """
        SELECT project_id, issue_id, tag_id, t.events, e.n FROM (SELECT * FROM issue_tags WHERE project_id = ANY (%(projects)s)) t
          FULL JOIN (SELECT e.project_id, g.issue_id, i.tag_id, count(*) AS n FROM {folded} e
                       JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id CROSS JOIN LATERAL tag_ids_of(e.tag_ids) i(tag_id) GROUP BY 1, 2, 3) e
         USING (project_id, issue_id, tag_id) WHERE coalesce(t.events, 0) <> coalesce(e.n, 0)""",
    "issue_users": """
        SELECT project_id, issue_id, user_hash, u.events, e.n FROM (SELECT * FROM issue_users WHERE project_id = ANY (%(projects)s)) u
          FULL JOIN (SELECT e.project_id, g.issue_id, e.user_hash, count(*) AS n FROM {folded} e
                       JOIN groupings g ON g.project_id = e.project_id AND g.id = e.grouping_id WHERE e.user_hash IS NOT NULL GROUP BY 1, 2, 3) e
         USING (project_id, issue_id, user_hash) WHERE coalesce(u.events, 0) <> coalesce(e.n, 0)""",
    "issue_facts": """
        SELECT project_id, issue_id, f.users, u.n FROM (SELECT * FROM issue_facts WHERE project_id = ANY (%(projects)s)) f
          FULL JOIN (SELECT project_id, issue_id, count(*) AS n FROM issue_users WHERE project_id = ANY (%(projects)s) GROUP BY 1, 2) u
         USING (project_id, issue_id) WHERE coalesce(f.users, 0) <> coalesce(u.n, 0)""",
    "project_tags": """
        SELECT project_id, tag_id, t.events, e.n FROM (SELECT * FROM project_tags WHERE project_id = ANY (%(projects)s)) t
          FULL JOIN (SELECT e.project_id, i.tag_id, count(*) AS n FROM {folded} e CROSS JOIN LATERAL tag_ids_of(e.tag_ids) i(tag_id) GROUP BY 1, 2) e
         USING (project_id, tag_id) WHERE coalesce(t.events, 0) <> coalesce(e.n, 0)""",
    "tag_hours": """
        SELECT project_id, tag_id, hour, h.events, e.n FROM (SELECT * FROM tag_hours WHERE project_id = ANY (%(projects)s)) h
          FULL JOIN (SELECT e.project_id, t.id AS tag_id, date_trunc('hour', e.received_at, 'UTC') AS hour, count(*) AS n
                       FROM {folded} e CROSS JOIN LATERAL tag_ids_of(e.tag_ids) i(tag_id) JOIN tags t ON t.project_id = e.project_id AND t.id = i.tag_id
                      WHERE t.key IN ('release', 'environment') GROUP BY 1, 2, 3) e
         USING (project_id, tag_id, hour) WHERE coalesce(h.events, 0) <> coalesce(e.n, 0)""",
    "digest_batches": """
        SELECT b.id, b.events, count(e.id) FROM digest_batches b JOIN {events} e ON e.batch_id = b.id GROUP BY 1, 2 HAVING b.events < count(e.id)""",
}


class Promises:
    """What was sent, as far as it matters: ids that got a 200, and for each sender which other ids it may have sent."""

    def __init__(self):
        self.acknowledged = collections.defaultdict(set)  # project → ids
        self.possible = collections.defaultdict(list)     # project → functions: could this id have been sent?
        self.attachments = set()                          # (project, event's id, SHA-256 in hex), of those that came alone

    def add(self, project_id, event_id):
        self.acknowledged[project_id].add(event_id)

    def may_have_sent(self, project_id, event_id):
        return event_id in self.acknowledged[project_id] or any(could(event_id) for could in self.possible[project_id])

    def total(self):
        return sum(map(len, self.acknowledged.values()))


@dataclasses.dataclass
class Figures:
    acknowledged: int = 0
    stored: int = 0
    lost: int = 0
    duplicated: int = 0
    invented: int = 0
    dead_letters: int = 0
    wrong: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        text = (f"{self.acknowledged} acknowledged, {self.stored} stored, {self.lost} lost, {self.duplicated} duplicated, "
                f"{self.invented} never sent, {self.dead_letters} dead letters")
        return text + "".join(f"\n  {name}: {rows}" for name, rows in self.wrong.items())


def look(conninfo, promises, projects):
    """All figures, from one snapshot: they must agree at every moment, whatever is still being digested."""
    figures = Figures(acknowledged=promises.total())
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        stored = {(project, event_id): n for project, event_id, n in connection.execute(STORED, (projects,))}
        for name, query in COUNTERS.items():
            query = query.format(events="(SELECT * FROM events WHERE project_id = ANY (%(projects)s))",
                                 folded="(SELECT * FROM events WHERE project_id = ANY (%(projects)s) AND batch_id NOT IN (SELECT id FROM rollup_batches))")
            rows = connection.execute(query, {"projects": projects}).fetchmany(5)
            if rows:
                figures.wrong[name] = rows
        figures.dead_letters, = connection.execute("SELECT count(*) FROM dead_letters WHERE project_id = ANY (%s)", (projects,)).fetchone()
    figures.stored = sum(stored.values())
    figures.duplicated = sum(n - 1 for n in stored.values())
    figures.lost = sum((project, event_id) not in stored for project in projects for event_id in promises.acknowledged[project])
    figures.invented = sum(not promises.may_have_sent(project, event_id) for project, event_id in stored)
    return figures


def attached(conninfo, projects):
    """How many rows there are of each (project, event's id, SHA-256 in hex)."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        rows = connection.execute("SELECT project_id, replace(event_id::text, '-', ''), encode(sha256, 'hex') FROM attachments WHERE project_id = ANY (%s)",
                                  (projects,))
        return collections.Counter(rows.fetchall())


def check_attachments(conninfo, promises, projects, directory):
    """Waits until every attachment that was acknowledged has its row; it has one, and each row has its file in `directory`."""
    promised = {one for one in promises.attachments if one[0] in projects}
    rows = until(lambda: (found := attached(conninfo, projects)).keys() >= promised and (found,),
                 lambda: f"without a row: {promised - attached(conninfo, projects).keys()}", 30, pause=0.05)[0]
    twice = {one: n for one, n in rows.items() if n > 1}
    damaged = [one for one in rows if not is_whole(os.path.join(directory, str(one[0]), one[2][:2], one[2]), one[2])]
    assert not twice and not damaged, f"rows that are there twice: {twice}; rows without their bytes: {damaged}"


def is_whole(path, sha256):
    try:
        with open(path, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest() == sha256
    except FileNotFoundError:
        return False


def unfolded(conninfo, projects):
    """How many batches the roll-up has not counted; -1 while the database does not answer."""
    try:
        with psycopg.connect(conninfo, autocommit=True, connect_timeout=5) as connection:
            return connection.execute("SELECT count(*) FROM rollup_batches WHERE projects && %s::int[]", (projects,)).fetchone()[0]
    except psycopg.OperationalError:
        return -1


class Watch:
    """Cheap to ask again and again: how many are stored, by the counters; -1 while the database does not answer."""

    def __init__(self, conninfo):
        self.conninfo, self.connection = conninfo, None

    def stored(self, projects):
        try:
            if not self.connection:
                self.connection = psycopg.connect(self.conninfo, autocommit=True, connect_timeout=5)
            return self.connection.execute("SELECT coalesce(sum(stored), 0)::bigint FROM project_counters WHERE project_id = ANY (%s)",
                                           (projects,)).fetchone()[0]
        except psycopg.OperationalError:
            self.close()
            return -1

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


def check(watch, promises, projects, seconds=30.0, dead_letters=0, lost=0):
    """Waits until everything that was acknowledged is stored, then holds all figures against each other. `lost` and `dead_letters`: as many as
    the test destroyed by its own hand."""
    conninfo, projects = watch.conninfo, sorted(projects)
    expected = promises.total() - lost - dead_letters
    until(lambda: watch.stored(projects) >= expected,
          lambda: f"{watch.stored(projects)} stored of {expected}:\n{look(conninfo, promises, projects)}", seconds, pause=0.05)
    until(lambda: unfolded(conninfo, projects) == 0, lambda: f"{unfolded(conninfo, projects)} batches wait for the roll-up", seconds, pause=0.05)
    figures = look(conninfo, promises, projects)
    if figures.lost > lost + dead_letters:  # so many are stored, but perhaps not those: what was not acknowledged may have come first
        def all_there():
            nonlocal figures
            figures = look(conninfo, promises, projects)
            return figures.lost <= lost + dead_letters
        until(all_there, lambda: str(figures), 10 * TIME_FACTOR, pause=0.1)
    assert (figures.lost, figures.duplicated, figures.invented, figures.dead_letters, figures.wrong) == (lost + dead_letters, 0, 0, dead_letters, {}), \
        str(figures)
    return figures
