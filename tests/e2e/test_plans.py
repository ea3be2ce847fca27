"""No statement reads a table of events from end to end: each of sql/queries is planned as the server does, for any values, and those that put their work into functions are
run while PostgreSQL tells the plans of what these do."""
import pathlib
import re

import psycopg
import pytest

import server
import wire

QUERIES = pathlib.Path(server.ROOT) / "sql" / "queries"
LARGE = r"(events(_\w+)?|issues|issue_hours|issue_texts|groupings|issue_tags|issue_users)"
SCAN = re.compile(rf"Seq Scan on {LARGE}\b")
NIL = "00000000-0000-4000-8000-000000000000"
LOW, HIGH = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"


@pytest.fixture(scope="module")
def connection(picket):
    with psycopg.connect(picket.conninfo(), autocommit=True) as made:
        made.execute("SET enable_seqscan = off")  # tables are small here: what is left of it there is no index for
        made.execute("SET plan_cache_mode = force_generic_plan")
        yield made


@pytest.mark.parametrize("name", sorted(path.stem for path in QUERIES.glob("*.sql")))
def test_every_statement_has_an_index(connection, name):
    text = (QUERIES / f"{name}.sql").read_text(encoding="utf-8")
    code = re.sub(r"^--.*\n", "", text, flags=re.M).strip()
    if not re.match(r"(SELECT|WITH|INSERT|UPDATE|DELETE|\()", code):
        pytest.skip("nothing to be planned")
    connection.execute(f"PREPARE looked_at AS {text}".encode())
    try:
        ((n,),) = connection.execute("SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'looked_at'").fetchall()
        plan = "\n".join(line for line, in connection.execute("EXPLAIN EXECUTE looked_at" + (f" ({', '.join(['NULL'] * n)})" if n else "")).fetchall())
        assert not re.search(r"Seq Scan on events", plan), plan
    finally:
        connection.execute("DEALLOCATE looked_at")


def nested(connection, name, *values):
    """The plans of everything that the statement does."""
    plans = []

    def hear(diagnostic):
        plans.append(diagnostic.message_primary)
    text = (QUERIES / f"{name}.sql").read_text(encoding="utf-8")
    connection.execute("LOAD 'auto_explain'")
    for key, value in (("log_min_duration", "0"), ("log_nested_statements", "on"), ("log_level", "notice"), ("log_analyze", "off")):
        connection.execute(f"SET auto_explain.{key} = '{value}'")
    connection.add_notice_handler(hear)
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(f"PREPARE looked_at AS {text}".encode())
            connection.execute("EXECUTE looked_at (" + ", ".join("NULL" if value is None else f"'{value}'" for value in values) + ")" if values else "EXECUTE looked_at")
            connection.execute("DEALLOCATE looked_at")
    finally:
        connection.remove_notice_handler(hear)
        connection.execute("SET auto_explain.log_min_duration = -1")
    return [plan for plan in plans if "Query Text" in plan]


@pytest.fixture(scope="module")
def small(picket):
    project = picket.new_project()
    project.send(*[wire.error_event(f"P{i}", "planned") for i in range(3)])
    project.wait_count(3)
    issue = project.issue("P0")
    project.first = {"issue": issue["id"], "event": project.events(issue)[0]["id"]}
    yield project
    picket.sql("DELETE FROM projects WHERE id = %s", project.id)


NOTHING = ("{}",) * 8
SEARCHES = [("{open}", "", "=", ""), ("{text}", "", "=", "%planned%"), ("{text}", "", "=", "%xyz%"), ("{tag_is}", "k", "=", "v"), ("{tag}", "k", "=", "v%"),
    ("{has_tag}", "k", "=", ""),
            ("{level}", "", "=", "error"), ("{last_seen}", "", ">", ""), ("{first_seen}", "", ">", ""), ("{times_seen}", "", ">", ""), ("{users_seen}", "", ">", ""),
            ("{user}", "", "=", ""),
            ("{short_id}", "", "=", "x"), ("{assignee}", "", "=", "a%"), ("{assigned_to_me}", "", "=", ""), ("{culprit}", "", "=", "a%")]


def conditions(field, key, op, text):
    return "{0}", "{f}", field, "{%s}" % (key or '""'), "{%s}" % op, "{%s}" % (text or '""'), "{7}", "{2026-01-01}"


@pytest.mark.parametrize("sort", ["last_seen", "first_seen", "events", "users", "digest_order"])
@pytest.mark.parametrize("state", ["open", "resolved", "all"])
def test_searches(connection, small, sort, state):
    now = "2026-06-15 12:00Z"
    for given in [NOTHING, *[conditions(*search) for search in SEARCHES]]:
        plans = nested(connection, "issue_search", small.id, 1, *given, state, sort, "desc", 20, 0, 10000, now)
        if sort != "digest_order":
            plans += nested(connection, "issue_search_all", None, 1, *given, state, sort, "desc", 20, None if sort in ("events", "users") else now, 7, NIL, None, now)
        assert len(plans) >= 3
        for plan in plans:
            assert not SCAN.search(plan), plan


@pytest.mark.parametrize("state", ["open", "all"])
@pytest.mark.parametrize("sort, indexes", [("last_seen", ("issues_open_seen", "issues_seen")), ("first_seen", ("issues_first_seen",)), ("events", ("issues_events_class",))])
def test_sorts_have_indexes(connection, small, picket, state, sort, indexes):
    """A page of many issues is no sort of all of them."""
    picket.sql("""INSERT INTO issues (project_id, id, number, title, type, value, transaction, frame_filename, frame_module, frame_function,
    first_seen, last_seen, event_count, is_resolved)
                  SELECT %s, uuid7(now()), n, 'T', 'T', 'v', '', '', '', '', now() - n * interval '1 s', now() - n * interval '1 min', n, n %% 10 = 0
                  FROM generate_series(1000, 6000) n
                      ON CONFLICT DO NOTHING""", small.id)
    picket.sql("ANALYZE issues")
    plans = nested(connection, "issue_search", small.id, 1, *NOTHING, state, sort, "desc", 20, 0, None, "2026-06-15 12:00Z")
    (walk,) = [plan for plan in plans if plan.split("Query Text: ")[1].startswith("SELECT $14")]
    assert any(f"using {index} on issues" in walk for index in indexes), walk


def test_events(connection, small):
    event, issue = small.first["event"], small.first["issue"]
    for plan in (nested(connection, "event_page_project_desc", small.id, HIGH, 20) + nested(connection, "event_page_project_asc", small.id, LOW, 20) +
                 nested(connection, "event_show", small.id, issue, event) + nested(connection, "event_find", small.id, event) +
                 nested(connection, "issue_show", small.id, issue, "2026-06-15 12:00Z") + nested(connection, "issue_by_short_id", small.slug, 1, 1, None, "2026-06-15 12:00Z") +
                 nested(connection, "issue_page_last_seen_desc", small.id, "open", 20, 0, "2026-06-15 12:00Z")):
        assert not SCAN.search(plan), plan


def test_changes(connection, small):
    issue = small.first["issue"]
    for which in ("{%s}" % issue, None):
        for plan in (nested(connection, "issue_bulk_change", small.id, 1, *conditions(*SEARCHES[1]), which, 1000, "resolve", "t", None, "2026-06-15 12:00Z") +
                     nested(connection, "issue_bulk_delete", small.id, 1, *conditions(*SEARCHES[1]), which, 1000, '{"user": 1}')):
            assert not SCAN.search(plan), plan
