"""Searching, sorting and changing issues (README "Searching"); what lists show of them; events of a project, and their neighbours. The language itself is tested in
tests/unit/test_query.c: here is what its terms find."""
import secrets
from urllib.parse import urlsplit, urlunsplit
import uuid

import psycopg
import pytest

import server
import wire
from client import Api
from contract import CURSOR_PAGE, EVENT, EVENT_DETAIL, ISSUE, OFFSET_PAGE, check, check_error, check_page
from waiting import until

NIL = "00000000-0000-4000-8000-000000000000"


def search(project, q=None, **query):
    query.setdefault("per_page", 100)
    return check_page(OFFSET_PAGE, ISSUE, project.api.read(f"{project.path}/issues", params={**({} if q is None else {"q": q}), **query}))


def names(answer):
    return [item["type"] for item in answer["items"]]


def tag(picket, project, issue, key, value, events=1):
    """As the roll-up writes it."""
    ((key_id,),) = picket.sql("""
        INSERT INTO tag_keys (project_id, id, key, other_id) SELECT %s, greatest(max(id), 1000000) + 1, %s, 0 FROM tag_keys WHERE project_id = %s
            ON CONFLICT (project_id, key) DO UPDATE SET key = excluded.key RETURNING id""", project.id, key, project.id)
    ((tag_id,),) = picket.sql("""
        INSERT INTO tags (project_id, id, key_id, key, value) SELECT %s, greatest(max(id), 1000000) + 1, %s, %s, %s FROM tags WHERE project_id = %s
            ON CONFLICT (project_id, key, value) DO UPDATE SET key = excluded.key RETURNING id""", project.id, key_id, key, value, project.id)
    picket.sql("INSERT INTO issue_tags (project_id, issue_id, tag_id, events, first_seen, last_seen) VALUES (%s, %s, %s, %s, now(), now()) ON CONFLICT DO NOTHING",
               project.id, issue, tag_id, events)
    picket.sql("INSERT INTO issue_tag_keys (project_id, issue_id, key_id, n_values) VALUES (%s, %s, %s, 1) ON CONFLICT DO NOTHING", project.id, issue, key_id)
    return tag_id


def wait_counted(picket):
    """Until the roll-up has nothing left to write."""
    until(lambda: picket.sql("SELECT count(*) FROM rollup_batches") == [(0,)], "the roll-up has not caught up", 30)


def user(picket, role="member", all_projects=True):
    """The id of a new user, and their API."""
    email = f"{secrets.token_hex(6)}@example.com"
    picket.command("user", "add", email, "--password-stdin", stdin="a password of mine\n")
    ((id,),) = picket.sql("UPDATE users SET role = %s, all_projects = %s WHERE email = %s RETURNING id", role, all_projects, email)
    answer = Api(picket.url).post("/auth/login", json={"email": email, "password": "a password of mine"})
    cookie = answer.headers["Set-Cookie"].split(";")[0].split("=", 1)[1]
    return id, email, Api(picket.url, cookie=cookie)


@pytest.fixture(scope="module")
def shop(picket):
    """Five issues, the first with the most events and the oldest."""
    project = picket.new_project()
    events = [("TimeoutError", "connection timed out after 30 s", {"level": "fatal", "transaction": "/cart/pay"}), ("KeyError", "'sku' is 100% missing_", {}),
              ("ValueError", "größer als erlaubt", {"level": "warning"}), ("OSError", r"C:\temp\a*b", {"platform": "node"}),
              ("Quiet", "nothing; DROP TABLE issues; --", {"level": "info"})]
    count = 0
    for n, (type, value, more) in enumerate(events):
        project.send(*[wire.error_event(type, value, **more) for _ in range(9 if n == 0 else 5 - n)])
        count += 9 if n == 0 else 5 - n
        project.wait_count(count)
    ids = {issue["type"]: issue["id"] for issue in search(project, filter="all")["items"]}
    project.ids = ids
    wait_counted(picket)
    for n, (type, _, _) in enumerate(events):
        picket.sql("UPDATE issues SET first_seen = timestamptz '2026-01-01 12:00Z' + %s * interval '1 day' WHERE id = %s", n, ids[type])
        if n < 3:
            tag(picket, project, ids[type], "colour", ["red", "blue", "Light Blue"][n])
            picket.sql("""INSERT INTO issue_facts AS f (project_id, issue_id, users) VALUES (%s, %s, %s)
                          ON CONFLICT (project_id, issue_id) DO UPDATE SET users = excluded.users""", project.id, ids[type], [3, 7, 5][n])
    tag(picket, project, ids["KeyError"], "release", "shop@1.2")
    tag(picket, project, ids["KeyError"], "environment", "staging")
    for type, change in (("ValueError", {"is_resolved": True}), ("OSError", {"is_muted": True})):
        assert project.api.patch(f"{project.path}/issues/{ids[type]}", json=change).status_code == 200
    yield project
    picket.sql("DELETE FROM projects WHERE id = %s", project.id)  # its issues say what its events do not: test_all_counters_in_the_end


@pytest.mark.parametrize("q, found", [
    ("is:open", "Quiet KeyError TimeoutError"), ("is:resolved", "ValueError"), ("is:muted", "OSError"), ("!is:open", "OSError ValueError"),
    ("is:[resolved,muted]", "OSError ValueError"),
    ("is:unassigned is:open", "Quiet KeyError TimeoutError"), ("is:assigned", ""), ("assignee:none is:resolved", "ValueError"),
    ("level:fatal", "TimeoutError"), ("level:FATAL", "TimeoutError"), ("!level:[fatal,info]", "KeyError"), ("level:*a*", "TimeoutError"),
    ("platform:python", "Quiet KeyError TimeoutError"),
    ("type:*error is:[open,muted]", "OSError KeyError TimeoutError"), ("type:keyerror", "KeyError"), ("type:Key", ""), ("value:*sku*", "KeyError"),
    ('title:"KeyError: \'sku\'*"', "KeyError"),
    ("culprit:/cart/*", "TimeoutError"), ("culprit:/cart", ""), ("has:culprit level:fatal", "TimeoutError"), ("has:level", "Quiet KeyError TimeoutError"),
    ("times_seen:9", "TimeoutError"), ("times_seen:>3", "KeyError TimeoutError"), ("times_seen:<=4", "Quiet KeyError"), ("times_seen:1..4", "Quiet KeyError"),
    ("!times_seen:2..8", "Quiet TimeoutError"),
    ("users_seen:>3", "KeyError"), ("users_seen:0", "Quiet"), ("has:user", "KeyError TimeoutError"),
    ("first_seen:2026-01-02", "KeyError"), ("!first_seen:2026-01-02", "Quiet TimeoutError"), ("first_seen:<=2026-01-02", "KeyError TimeoutError"),
    ("first_seen:>2026-01-02", "Quiet"),
    ("first_seen:2026-01-02T12:00:00Z", "KeyError"), ("first_seen:2026-01-01..2026-01-02", "KeyError TimeoutError"), ("last_seen:-1h", "Quiet KeyError TimeoutError"),
    ("last_seen:<-1h", ""),
    ("last_seen:>-1h", "Quiet KeyError TimeoutError"), ("last_seen:<=9999-12-31", "Quiet KeyError TimeoutError"),
    ("last_seen:>2026-01-01T00:00:00Z", "Quiet KeyError TimeoutError"),
    ("tag.colour:red", "TimeoutError"), ("tag.colour:Red", ""), ("tag.colour:*Blue is:[open,resolved]", "ValueError KeyError"), ("!tag.colour:blue", "Quiet TimeoutError"),
    ('tag.colour:"Light Blue" is:resolved', "ValueError"), ("has:colour", "KeyError TimeoutError"), ("!has:tag.colour", "Quiet"),
    ("tag.colour:[red,blue]", "KeyError TimeoutError"),
    ("release:shop@1.2", "KeyError"), ("release:shop@*", "KeyError"), ("environment:staging", "KeyError"), ("has:nothing", ""),
    ("timed", "TimeoutError"), ("TIMED", "TimeoutError"), ("timed after", "TimeoutError"), ('"timed after"', ""), ('"after 30 s"', "TimeoutError"),
    ("timed*30", "TimeoutError"), ("!timed", "Quiet KeyError"),
    ("cart", "TimeoutError"), ("100%", "KeyError"), ("missing_", "KeyError"), ("100_", ""), ("größer is:resolved", "ValueError"), (r"C:\temp\a is:muted", None),
    (r'"C:\temp\a\*b" is:muted', "OSError"),
    ("a*b is:muted", "OSError"), ("e", "Quiet KeyError TimeoutError"), ("zz", ""), ('"; DROP TABLE issues; --"', "Quiet"), ("$1", ""), ("%s", ""), ("error !key", "TimeoutError"),
])
def test_what_terms_find(shop, q, found):
    if found is None:
        check_error(shop.api.get(f"{shop.path}/issues", params={"q": q}), 400, "ValidationError")
        return
    answer = search(shop, q)
    assert names(answer) == found.split(), q
    assert answer["total_count"] == len(found.split())


def test_users(picket, project):
    """By what names them first; once the roll-up has them."""
    for type, who in (("Id", {"id": 42, "email": "x@a.example"}), ("Email", {"email": "y@a.example"}), ("Name", {"username": "zoe"}), ("Address", {"ip_address": "203.0.113.9"})):
        project.send(wire.error_event(type, "user", user=who, release="1.5", environment="canary"))
    project.wait_count(4)
    until(lambda: search(project, "users_seen:1")["total_count"] == 4, "users are not counted", 30)
    for q, found in (("user.id:42", "Id"), ("user.email:x@a.example", ""), ("user.email:y@a.example", "Email"), ("user.username:zoe", "Name"), ("user.ip:203.0.113.9", "Address"),
                     ("!user.id:42 !user.username:zoe", "Address Email"), ("user.id:[41,42]", "Id"), ("user.email:y@a.example release:1.5 environment:canary", "Email")):
        assert sorted(names(search(project, q))) == found.split(), q
    assert {(item["users"], item["last_release"]) for item in search(project, release="1.5", environment="canary")["items"]} == {(1, "1.5")}


def test_text_is_found_before_and_behind_its_index(picket, shop):
    """Texts are indexed later than issues are made."""
    for filled in (False, True):
        if filled:
            picket.sql("SELECT issue_texts_fill(1000000)")
        else:
            picket.sql("DELETE FROM issue_texts WHERE project_id = %s", shop.id)
            picket.sql("DELETE FROM issue_texts_upto WHERE project_id = %s", shop.id)
        assert names(search(shop, "timed out")) == ["TimeoutError"]
        assert names(search(shop, "timed", sort="events")) == ["TimeoutError"]
        assert names(search(shop, "o", sort="last_seen", filter="all")) == names(search(shop, filter="all", sort="last_seen"))
        assert (picket.sql("SELECT count(*) FROM issue_texts WHERE project_id = %s", shop.id)[0][0] == 5) == filled
    assert picket.sql("SELECT issue_texts_fill(1000000)") == [(False,)]


def test_texts_are_taken_over_in_parts(picket):
    project = picket.new_project()
    project.send(*[wire.error_event(f"Part{i}", "needle") for i in range(7)])
    project.wait_count(7)
    while picket.sql("SELECT issue_texts_fill(2)") != [(False,)]:
        assert search(project, "needle")["total_count"] == 7
    assert picket.sql("SELECT count(*) FROM issue_texts WHERE project_id = %s", project.id) == [(7,)]
    assert search(project, "needle")["total_count"] == 7
    project.send(wire.error_event("Late", "needle"))
    project.wait_count(8)
    assert search(project, "needle")["total_count"] == 8
    assert project.api.delete(project.issue_path(project.issue("Late"))).status_code == 204
    assert search(project, "needle")["total_count"] == 7


@pytest.mark.parametrize("number", [5, 1500])
def test_frequent_text(picket, number):
    """Above a thousand the sort's index is walked; the answer is the same."""
    project = picket.new_project()
    project.send(wire.error_event("First", "the haystack"))
    project.wait_count(1)
    picket.sql("""INSERT INTO issues (project_id, id, number, title, type, value, transaction, frame_filename, frame_module, frame_function, first_seen, last_seen, event_count)
                  SELECT %s, uuid7(now()), 1 + n, 'Hay: the haystack', 'Hay', 'the haystack', '', '', '', '', now() - n * interval '1 min', now() - n * interval '1 s', n
                    FROM generate_series(1, %s) n""", project.id, number)
    picket.sql("UPDATE project_numbering SET last_issue = %s WHERE project_id = %s", number + 1, project.id)
    for fill in (False, True):
        if fill:
            picket.sql("SELECT issue_texts_fill(1000000)")
        answer = search(project, "haystack", sort="events", per_page=3, page=2)
        assert [item["event_count"] for item in answer["items"]] == [number - 3, number - 4, max(number - 5, 1)][:3] and answer["total_count"] == min(number + 1, 1006)
        answer = search(project, "haystack !type:hay")
        assert names(answer) == ["First"] and answer["total_count"] == 1
    picket.sql("DELETE FROM projects WHERE id = %s", project.id)


def test_totals_are_counted_to_a_bound(picket):
    project = picket.new_project()
    picket.sql("""INSERT INTO issues (project_id, id, number, title, type, value, transaction, frame_filename, frame_module, frame_function, first_seen, last_seen, level)
                  SELECT %s, uuid7(now()), n, 'T', 'T', 'v', '', '', '', '', now(), now(), 'error' FROM generate_series(1, 10050) n""", project.id)
    picket.sql("UPDATE project_numbering SET last_issue = 10050 WHERE project_id = %s", project.id)
    assert search(project, "level:error", per_page=1)["total_count"] == 1001
    assert search(project, "level:error", per_page=100, page=20)["total_count"] == 3000  # and so on
    assert search(project, "level:error", per_page=100, page=101)["total_count"] == 10050
    assert search(project, sort="events", per_page=1)["total_count"] == 10050
    picket.sql("DELETE FROM projects WHERE id = %s", project.id)


@pytest.mark.parametrize("sort, expected", [("first_seen", "Quiet KeyError TimeoutError"), ("events", "TimeoutError KeyError Quiet"), ("users", "KeyError TimeoutError Quiet"),
                                            ("last_seen", "Quiet KeyError TimeoutError"), ("digest_order", "Quiet KeyError TimeoutError")])
def test_sorts(shop, sort, expected):
    for q in (None, "is:open", "e"):
        assert names(search(shop, q, sort=sort)) == expected.split()
        assert names(search(shop, q, sort=sort, order="asc")) == expected.split()[::-1]
        assert [names(search(shop, q, sort=sort, per_page=1, page=n)) for n in (1, 2, 3, 4)] == [[name] for name in expected.split()] + [[]]
    assert search(shop, sort=sort, filter="all")["total_count"] == 5


def test_parameters(shop):
    """release and environment are values, not patterns; filter holds beside q, and is all when q says it."""
    assert names(search(shop, release="shop@1.2")) == names(search(shop, environment="staging")) == names(search(shop, "level:error", environment="staging")) == ["KeyError"]
    assert names(search(shop, release="shop@*")) == names(search(shop, release="")) == []
    assert names(search(shop, "is:resolved", filter="open")) == []
    assert names(search(shop, "type:*error", filter="all", sort="first_seen")) == ["OSError", "ValueError", "KeyError", "TimeoutError"]
    check_error(shop.api.get(f"{shop.path}/issues", params={"sort": "colour"}), 400, "ValidationError")
    for query in ("release=%00", "environment=%ff", "q=%ff", "q=a%00"):
        check_error(shop.api.get(f"{shop.path}/issues?{query}"), 400, "ValidationError")


@pytest.mark.parametrize("q, why", [("level:error levl:x", "q, column 13: there is no field levl; did you mean level?"), ("size:3", "fields are is, level"), ("is:new", "resolved"),
                                    ("user.id:4*", "without *"), ("times_seen:many", "whole number"), ("x" * 4097, "4096"), ("x " * 51, "50 terms"), ('"', "not closed")])
def test_what_is_no_search(shop, q, why):
    for path in (f"{shop.path}/issues", "/api/issues"):
        assert why in check_error(shop.api.get(path, params={"q": q}), 400, "ValidationError")["error"]


def test_injections_stay_values(picket, shop):
    """Each of these is looked for as it stands, wherever it stands."""
    before = picket.sql("SELECT count(*) FROM issues")
    for text in ("'", "''", "\\", "$3[1]", "') OR true --", "\"; DROP TABLE issues; --", "%", "_", "{}", "%1$s", "\u2028", "a\\", "\\\\"):
        quoted = '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
        for field in ("", "level:", "type:", "tag.colour:", "tag.x'y:", "release:", "has:", "assignee:", "culprit:"):
            answer = search(shop, field + quoted)
            assert answer["total_count"] == (0 if field or text not in ("'", "''", "%", "_", "\\", "\\\\", "a\\") else answer["total_count"]), (field, text)
        assert search(shop, release=text)["total_count"] == search(shop, environment=text)["total_count"] == 0
        answer = shop.api.get(f"{shop.path}/issues", params={"sort": text})
        assert answer.status_code == 400
    assert picket.sql("SELECT count(*) FROM issues") == before


def test_a_role_that_may_not_create_the_extension(cluster):
    """As with a database of somebody else's: text is found all the same."""
    url, role = cluster.new_database(), f"limited_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON SCHEMA public TO {role}")
    parts = urlsplit(url)
    limited = urlunsplit(parts._replace(netloc=f"{role}:x@{parts.hostname}:{parts.port}"))
    server.run("migrate", DATABASE_URL=limited).check_returncode()

    def find(connection):
        return connection.execute("""SELECT count(issue_id) FROM issues_search(ARRAY(SELECT id FROM projects), 1, 'open', '{0}', '{f}', '{text}', '{""}', '{=}', '{%needle%}',
                                     '{0}', '{now}', 'last_seen', 'desc', 20, 0, 100, NULL, NULL, NULL)""").fetchone()[0]
    with psycopg.connect(limited, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'").fetchone() == (0,)
        connection.execute("INSERT INTO projects (name, slug) VALUES ('a', 'a')")
        connection.execute("""INSERT INTO issues (project_id, id, number, title, type, value, transaction, frame_filename, frame_module, frame_function, first_seen, last_seen)
                              SELECT p.id, uuid7(now()), n, 'T', 'T', 'a needle', '', '', '', '', now(), now() FROM projects p, generate_series(1, 3) n""")
        connection.execute("UPDATE project_numbering SET last_issue = 3")
        assert find(connection) == 3
        assert connection.execute("SELECT issue_texts_fill(100)").fetchone() == (False,)
        assert find(connection) == 3 and connection.execute("SELECT issue_texts_index()").fetchone() == (False,)
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("CREATE EXTENSION pg_trgm")
        assert connection.execute("SELECT issue_texts_index()").fetchone() == (True,)
        assert find(connection) == 3


# ---- what is shown

def test_what_items_show(picket):
    project = picket.new_project()
    project.send(wire.error_event("Shown", "once", transaction="/a"), wire.error_event("Shown", "once", transaction="/a"), wire.error_event("Framed", "x"))
    project.wait_count(3)
    wait_counted(picket)
    ids = {issue["type"]: issue["id"] for issue in search(project)["items"]}
    picket.sql("""INSERT INTO issue_hours (project_id, issue_id, hour, events)
                  SELECT %s, %s, date_trunc('hour', now(), 'UTC') - h * interval '1 hour', h FROM unnest(ARRAY[23, 24, 24 * 13, 24 * 20]) h""", project.id, ids["Shown"])
    release = tag(picket, project, ids["Shown"], "release", "1.2")
    picket.sql("""INSERT INTO issue_facts AS f (project_id, issue_id, users, last_release) VALUES (%s, %s, 7, %s)
                  ON CONFLICT (project_id, issue_id) DO UPDATE SET users = 7, last_release = excluded.last_release""", project.id, ids["Shown"], release)
    for item in (next(i for i in search(project)["items"] if i["id"] == ids["Shown"]), search(project, "type:shown")["items"][0],
                 project.api.read(f"{project.path}/issues/{ids['Shown']}"), project.api.patch(f"{project.path}/issues/{ids['Shown']}", json={"is_muted": False}).json(),
                 project.api.read("/api/issues", params={"project_id": project.id, "q": "type:shown"})["items"][0]):
        check(ISSUE, item)
        assert (item["culprit"], item["users"], item["assignee"], item["last_release"], item["type"]) == ("/a", 7, None, "1.2", "Shown")
        assert len(item["stats_24h"]) == 24 and item["stats_24h"][-1] == 2 and item["stats_24h"][0] == 23 and sum(item["stats_24h"]) == 25
        days = item["stats_14d"]
        assert len(days) == 14 and sum(days) in (2 + 23 + 24, 2 + 23 + 24 + 24 * 13) and days[-1] >= 2  # the oldest hour may lie in the day before the first
    other = project.api.read(f"{project.path}/issues/{ids['Framed']}")
    assert (other["culprit"], other["users"], other["last_release"]) == ("app.py in main", 0, None)
    assert other["stats_24h"] == [0] * 23 + [1]
    picket.sql("DELETE FROM projects WHERE id = %s", project.id)


def test_short_ids(picket, shop):
    issue = shop.api.read(f"{shop.path}/issues/{shop.ids['KeyError']}")
    for spelling in (issue["short_id"], issue["short_id"].lower()):
        assert shop.api.read(f"/api/issues/by-short-id/{spelling}") == issue
        assert search(shop, f"short_id:{spelling}")["items"] == [issue]
    assert search(shop, f"!short_id:{issue['short_id']}", filter="all")["total_count"] == 4
    for none in (f"{shop.slug}-99", f"{shop.slug}-", "x", "-1", "a-2", f"{shop.slug}-0", f"{shop.slug}-1x", "%00-1", "%ff-1", f"{shop.slug}-99999999999"):
        check_error(shop.api.get(f"/api/issues/by-short-id/{none}"), 404, "NotFound")
    _, _, stranger = user(picket, all_projects=False)
    check_error(stranger.get(f"/api/issues/by-short-id/{issue['short_id']}"), 404, "NotFound")


# ---- across projects

def walk(api, **query):
    items, cursor = [], None
    while True:
        answer = check_page(CURSOR_PAGE, ISSUE, api.read("/api/issues", params={**query, **({"cursor": cursor} if cursor else {})}))
        items += answer["items"]
        if not answer["has_more"]:
            return items
        cursor = answer["next_cursor"]


@pytest.fixture(scope="module")
def three(picket):
    """Three projects with seven issues each."""
    mark = secrets.token_hex(6)
    projects = [picket.new_project() for _ in range(3)]
    for n in range(7):
        for project in projects:
            project.send(*[wire.error_event(f"N{n}", mark)] * 1)
            project.wait_count(n + 1)
            for _ in range(n % 3):
                picket.sql("UPDATE issues SET event_count = event_count + 3 WHERE project_id = %s AND number = %s", project.id, n + 1)
    yield projects, mark
    for project in projects:
        picket.sql("DELETE FROM projects WHERE id = %s", project.id)


@pytest.mark.parametrize("sort, key", [("last_seen", "last_seen"), ("first_seen", "first_seen"), ("events", "event_count"), ("users", "users")])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("with_q", [False, True])
@pytest.mark.parametrize("per_page", [1, 4])
def test_all_projects_page_by_page(three, api, sort, key, order, with_q, per_page):
    """A page of fewer issues than there are projects asks only some of these."""
    projects, mark = three
    query = {"project_id": [project.id for project in projects], "sort": sort, "order": order, "per_page": per_page, **({"q": mark} if with_q else {})}
    items = walk(api, **query)
    assert len(items) == 21 and len({item["id"] for item in items}) == 21
    keys = [item[key] for item in items]
    assert keys == sorted(keys, reverse=order == "desc")
    assert {item["project_id"] for item in items} == {project.id for project in projects}


@pytest.mark.parametrize("per_page", [1, 5, 20])
def test_pages_of_issues_of_all_ages(picket, api, per_page):
    """Some of the last hour, day, week and before: a search that looks at new ones first finds the others, too."""
    mark, projects = secrets.token_hex(6), [picket.new_project() for _ in range(2)]
    for n, age in enumerate(("1 minute", "30 minutes", "3 hours", "20 hours", "2 days", "6 days", "20 days", "80 days")):
        for i, project in enumerate(projects):
            project.send(wire.error_event(f"N{n}", mark))
            project.wait_count(n + 1)
            picket.sql("""
                UPDATE issues SET first_seen = now() - %s::interval, last_seen = now() - %s::interval - %s * interval '1 second'
                 WHERE project_id = %s AND number = %s""", age, age, i, project.id, n + 1)
    items = walk(api, project_id=[project.id for project in projects], q=mark, per_page=per_page)
    assert [(item["type"], item["project_id"]) for item in items] == [(f"N{n}", project.id) for n in range(8) for project in projects]


def test_what_many_issues_have(picket, api):
    """More than are looked at one by one: their pages are in order, and counted up to a thousand behind them."""
    project, n = picket.new_project(), 5100
    project.send(wire.error_event("First", "common"))
    project.wait_count(1)
    picket.sql("""
        INSERT INTO issues (project_id, id, number, title, type, value, transaction, frame_filename, frame_module, frame_function, level, platform, first_seen, last_seen,
                            event_count)
        SELECT %s, uuid7(now()), i, 'Many: common ' || i, 'Many', 'common ' || i, '', '', '', '', CASE WHEN i %% 10 = 0 THEN 'fatal' ELSE 'error' END, 'python',
               now() - i * interval '1 minute', now() - i %% 1000 * interval '1 minute' - i * interval '1 microsecond', i %% 77 + 1 FROM generate_series(2, %s) i""", project.id, n)
    picket.sql("UPDATE project_numbering SET last_issue = %s WHERE project_id = %s", n, project.id)
    picket.sql("ANALYZE issues")
    ids = [row[0] for row in picket.sql("SELECT id FROM issues WHERE project_id = %s", project.id)]
    tag(picket, project, ids[0], "flavour", "plain")
    picket.sql("""
        INSERT INTO issue_tags (project_id, issue_id, tag_id, events, first_seen, last_seen)
        SELECT t.project_id, i.id, t.id, 1, now(), now() FROM tags t JOIN issues i USING (project_id) WHERE t.project_id = %s AND t.key = 'flavour'
            ON CONFLICT DO NOTHING""", project.id)
    orders = {"last_seen": "last_seen DESC, id DESC", "first_seen": "first_seen DESC, id DESC", "events": "event_count DESC, id DESC"}
    for q, condition in (("common", "true"), ("tag.flavour:plain", "true"), ("common tag.flavour:plain level:fatal", "level = 'fatal'"),
                         ("common times_seen:>70", "event_count > 70")):
        ((total,),) = picket.sql(f"SELECT count(*) FROM issues WHERE project_id = %s AND {condition}", project.id)
        for sort, order in orders.items():
            rows = picket.sql(f"SELECT id FROM issues WHERE project_id = %s AND {condition} ORDER BY {order} LIMIT 20 OFFSET 20", project.id)
            answer = search(project, q, sort=sort, per_page=20, page=2)
            assert [item["id"] for item in answer["items"]] == [str(id) for id, in rows], (q, sort)
            assert answer["total_count"] == min(total, 1040), (q, sort)


def test_pages_are_stable_while_issues_move(picket, three, api):
    """What does not move is met once, whatever else comes or moves."""
    projects, mark = three
    for sort in ("last_seen", "events"):
        query = {"project_id": [projects[0].id, projects[1].id], "sort": sort, "per_page": 3, "q": f"{mark} type:N*"}
        first = api.read("/api/issues", params=query)
        moved = first["items"][0]["id"]
        picket.sql("UPDATE issues SET last_seen = now(), event_count = event_count + 100 WHERE id = %s", moved)
        projects[0].send(wire.error_event(f"Fresh {sort}", mark))
        projects[0].drain()
        rest, cursor = [], first["next_cursor"]
        while cursor:
            answer = api.read("/api/issues", params={**query, "cursor": cursor})
            rest += answer["items"]
            cursor = answer.get("next_cursor")
        seen = [item["id"] for item in first["items"] + rest]
        assert len(seen) == len(set(seen)) == 14


def test_cursors_that_are_none(three, api):
    projects, _ = three
    cursor = api.read("/api/issues", params={"project_id": projects[0].id, "per_page": 2})["next_cursor"]
    for query in ({"cursor": cursor, "sort": "events"}, {"cursor": cursor, "order": "asc"}, {"cursor": "x"}, {"cursor": "a+b"}, {"cursor": ""}):
        check_error(api.get("/api/issues", params=query), 400, "ValidationError")
    for value in ("0", "x", "-1", "99999999999"):
        check_error(api.get("/api/issues", params={"project_id": value}), 400, "ValidationError")
    check_error(api.get("/api/issues", params={"sort": "digest_order"}), 400, "ValidationError")


def test_who_sees_what(picket, three):
    projects, mark = three
    id, _, member = user(picket, all_projects=False)
    assert walk(member) == []
    picket.sql("INSERT INTO project_members (project_id, user_id) VALUES (%s, %s)", projects[1].id, id)
    for query in ({}, {"q": mark}, {"project_id": [project.id for project in projects]}):
        assert {item["project_id"] for item in walk(member, **query)} == {projects[1].id}
    assert walk(member, project_id=projects[0].id) == []
    _, _, everywhere = user(picket)
    assert {item["project_id"] for item in walk(everywhere, q=mark, per_page=100)} == {project.id for project in projects}
    # a token of an administrator that is for one project
    token = picket.api.post("/api/tokens", json={}).json()
    picket.sql("UPDATE api_tokens SET project_ids = %s WHERE id = %s", [projects[2].id], token["id"])
    limited = Api(picket.url, token=token["token"])
    assert {item["project_id"] for item in walk(limited, q=mark)} == {projects[2].id}
    number = limited.get(f"/api/issues/by-short-id/{projects[2].slug}-1"), limited.get(f"/api/issues/by-short-id/{projects[1].slug}-1")
    assert [answer.status_code for answer in number] == [200, 404]


# ---- assignees

def test_assignees(picket, project, shop):
    project.send(wire.error_event("Mine", "x"), wire.error_event("Nobody's", "y"))
    project.wait_count(2)
    path = project.issue_path(project.issue("Mine"))
    id, email, member = user(picket)
    answer = project.api.patch(path, json={"assignee_id": id})
    assert answer.status_code == 200 and check(ISSUE, answer.json())["assignee"] == {"id": id, "email": email}
    assert project.api.read(path)["assignee"] == {"id": id, "email": email}
    for q in ("is:assigned", f"assignee:{email}", f"assignee:{email[:4]}*", "has:assignee", "!is:unassigned"):
        assert names(search(project, q)) == ["Mine"], q
    assert names(search(project, "assignee:none")) == ["Nobody's"] and names(search(project, "assignee:me")) == []
    assert names({"items": walk(member, q="assignee:me")}) == ["Mine"]
    assert project.api.patch(path, json={"assignee_id": id}).status_code == 200  # no change, no transition
    answer = project.api.patch(path, json={"assignee_id": None, "is_resolved": True}).json()
    assert answer["assignee"] is None and answer["is_resolved"]
    kinds = picket.sql("SELECT kind, assignee_id FROM issue_transitions WHERE project_id = %s AND kind NOT IN ('new') ORDER BY id", project.id)
    assert sorted(kinds, key=str) == sorted([("assigned", id), ("resolved", None), ("unassigned", None)], key=str)


def test_assignees_that_are_none(picket, project):
    project.send(wire.error_event("Mine", "x"))
    project.wait_count(1)
    path = project.issue_path(project.issue("Mine"))
    outsider, _, _ = user(picket, all_projects=False)
    for value in (0, -1, 2**40, "1", 1.5, [], True, 999999, outsider):
        check_error(project.api.patch(path, json={"assignee_id": value}), 400, "ValidationError")
    picket.sql("INSERT INTO project_members (project_id, user_id) VALUES (%s, %s)", project.id, outsider)
    assert project.api.patch(path, json={"assignee_id": outsider}).json()["assignee"]["id"] == outsider
    picket.sql("DELETE FROM users WHERE id = %s", outsider)
    assert project.api.read(path)["assignee"] is None


# ---- many at once

@pytest.fixture
def dozen(project):
    project.send(*[wire.error_event(f"B{i:02}", "bulk", level="error" if i % 2 else "warning") for i in range(12)])
    project.wait_count(12)
    project.ids = {issue["type"]: issue["id"] for issue in search(project)["items"]}
    return project


def bulk(project, status=200, method="patch", **body):
    answer = getattr(project.api, method)(f"{project.path}/issues", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_bulk_change_by_ids(picket, dozen):
    ids = [dozen.ids[f"B{i:02}"] for i in range(4)]
    assert bulk(dozen, ids=ids + [NIL, ids[0]], is_resolved=True) == {"matched": 4, "changed": 4, "has_more": False}
    assert bulk(dozen, ids=ids, is_resolved=True) == {"matched": 4, "changed": 0, "has_more": False}
    assert bulk(dozen, ids=ids, is_muted=True) == {"matched": 0, "changed": 0, "has_more": False}  # what is resolved is not muted
    assert search(dozen, "is:resolved")["total_count"] == 4 and search(dozen)["total_count"] == 8
    assert bulk(dozen, ids=[], is_resolved=True) == {"matched": 0, "changed": 0, "has_more": False}
    assert picket.sql("SELECT kind, count(*) FROM issue_transitions WHERE project_id = %s AND kind <> 'new' GROUP BY 1", dozen.id) == [("resolved", 4)]
    other = picket.new_project()
    assert bulk(other, ids=ids, is_resolved=False)["matched"] == 0
    assert search(dozen, "is:resolved")["total_count"] == 4


def test_bulk_change_by_query(picket, dozen):
    id, _, _ = user(picket)
    assert bulk(dozen, q="level:error", is_muted=True) == {"matched": 6, "changed": 6, "has_more": False}
    assert bulk(dozen, q="level:error", is_muted=True) == {"matched": 0, "changed": 0, "has_more": False}  # what is so already is not looked for
    assert bulk(dozen, q="bulk", is_muted=False)["changed"] == 6
    assert bulk(dozen, q="type:[B00,B01]", assignee_id=id, is_resolved=True) == {"matched": 2, "changed": 2, "has_more": False}
    assert bulk(dozen, q="is:resolved", is_resolved=False)["changed"] == 2
    assert bulk(dozen, q="is:assigned", assignee_id=None)["changed"] == 2
    assert bulk(dozen, q="level:x", is_resolved=True) == {"matched": 0, "changed": 0, "has_more": False}
    check_error(dozen.api.patch(f"{dozen.path}/issues", json={"q": "bulk", "assignee_id": 999999}), 400, "ValidationError")
    kinds = dict(picket.sql("SELECT kind, count(*) FROM issue_transitions WHERE project_id = %s GROUP BY 1", dozen.id))
    assert kinds == {"new": 12, "muted": 6, "unmuted": 6, "resolved": 2, "unresolved": 2, "assigned": 2, "unassigned": 2}


@pytest.mark.parametrize("body", [{"is_resolved": True}, {"ids": [NIL]}, {"ids": [NIL], "q": "x", "is_resolved": True}, {"q": "", "is_resolved": True},
    {"q": " ", "is_resolved": True},
                                  {"ids": "x", "is_resolved": True}, {"ids": ["x"], "is_resolved": True}, {"ids": [1], "is_resolved": True}, {"q": 1, "is_resolved": True},
                                  {"ids": [NIL] * 1001, "is_resolved": True}, {"q": "levl:x", "is_resolved": True}, {"q": "x", "is_resolved": "yes"},
                                  {"q": "x", "assignee_id": "a"}])
def test_bulk_changes_that_are_none(dozen, body):
    check_error(dozen.api.patch(f"{dozen.path}/issues", json=body), 400, "ValidationError")
    if body.get("is_resolved") is True:
        check_error(dozen.api.delete(f"{dozen.path}/issues", json={key: value for key, value in body.items() if key in ("ids", "q")}), 400, "ValidationError")
    assert search(dozen)["total_count"] == 12
    check_error(dozen.api.patch("/api/projects/999999/issues", json={"q": "x", "is_resolved": True}), 404, "NotFound")


def test_bulk_goes_on(picket):
    """At most a thousand at once; asked again, the rest."""
    project = picket.new_project()
    picket.sql("""INSERT INTO issues (project_id, id, number, title, type, value, transaction, frame_filename, frame_module, frame_function, first_seen, last_seen, level)
                  SELECT %s, uuid7(now()), n, 'T', 'T', 'v', '', '', '', '', now(), now(), 'error' FROM generate_series(1, 2100) n""", project.id)
    picket.sql("UPDATE project_numbering SET last_issue = 2100 WHERE project_id = %s", project.id)
    answers = [bulk(project, q="level:error", is_resolved=True) for _ in range(3)]
    assert [(answer["changed"], answer["has_more"]) for answer in answers] == [(1000, True), (1000, True), (100, False)]
    assert search(project, filter="resolved")["total_count"] == 2100
    answers = [bulk(project, method="delete", q="is:resolved") for _ in range(3)]
    assert [(answer["deleted"], answer["has_more"]) for answer in answers] == [(1000, True), (1000, True), (100, False)]
    assert search(project, filter="all")["total_count"] == 0
    picket.sql("DELETE FROM projects WHERE id = %s", project.id)


def test_bulk_delete(picket, dozen):
    ids = [dozen.ids[f"B{i:02}"] for i in range(3)]
    assert bulk(picket.new_project(), method="delete", ids=ids)["deleted"] == 0
    assert bulk(dozen, method="delete", ids=ids + [NIL]) == {"deleted": 3, "has_more": False}
    assert bulk(dozen, method="delete", q="level:warning") == {"deleted": 4, "has_more": False}
    assert sorted(names(search(dozen))) == [f"B{i:02}" for i in range(3, 12, 2)]
    dozen.send(wire.error_event("B00", "bulk"))  # makes a new one
    dozen.wait_count(13)
    assert names(search(dozen, "type:B00")) == ["B00"]


# ---- events

def test_events_of_a_project(picket):
    project = picket.new_project()
    sent = []
    for i in range(25):
        sent += project.send(wire.error_event(f"E{i % 3}", f"{i}"))
        project.wait_count(i + 1)

    def page(**query):
        return check_page(CURSOR_PAGE, EVENT, project.api.read(f"{project.path}/events", params=query))
    for order in ("desc", "asc"):
        known, ids, cursor = list(sent), [], None
        while True:
            answer = page(order=order, per_page=7, **({"cursor": cursor} if cursor else {}))
            ids += [uuid.UUID(item["event_id"]).hex for item in answer["items"]]
            if not answer["has_more"]:
                break
            cursor = answer["next_cursor"]
            sent += project.send(wire.error_event("E0", "meanwhile"))  # not on the way down, last on the way up
            project.drain()
        assert ids == (known[::-1] if order == "desc" else sent)
    issues = {item["id"]: item["type"] for item in search(project)["items"]}
    assert {item["issue_id"] for item in page(per_page=100)["items"]} == set(issues)
    gone = next(id for id, type in issues.items() if type == "E1")
    assert project.api.delete(f"{project.path}/issues/{gone}").status_code == 204
    assert gone not in {item["issue_id"] for item in page(per_page=100)["items"]}
    check_error(project.api.get("/api/projects/999999/events"), 404, "NotFound")
    check_error(project.api.get(f"{project.path}/events", params={"cursor": "x"}), 400, "ValidationError")


def test_events_by_their_ids(picket, project):
    event = wire.error_event("Found", "x")
    (id,) = project.send(event)
    project.wait_count(1)
    detail = project.find(id)
    for spelling in (id, str(uuid.UUID(id)), detail["id"]):
        assert check(EVENT_DETAIL, project.api.read(f"{project.path}/events/{spelling}")) == detail
    for none in (NIL, "x", "%00"):
        check_error(project.api.get(f"{project.path}/events/{none}"), 404, "NotFound")
    check_error(project.api.get(f"/api/projects/999999/events/{id}"), 404, "NotFound")
    other = picket.new_project()
    check_error(other.api.get(f"{other.path}/events/{id}"), 404, "NotFound")
    assert project.api.delete(f"{project.path}/issues/{detail['issue_id']}").status_code == 204
    check_error(project.api.get(f"{project.path}/events/{id}"), 404, "NotFound")


def test_neighbours(picket, project):
    """In the order of arrival, over all groupings of the issue, and not into others."""
    for i in range(4):
        project.send(wire.error_event("A", "x"), wire.error_event("B", "y"))
        project.wait_count(2 * i + 2)
    a, b = project.issue("A: x"), project.issue("B: y")
    # the two become one issue
    ids = sorted(event["id"] for issue in (a, b) for event in project.events(issue))
    picket.sql("UPDATE groupings SET issue_id = %s WHERE project_id = %s AND issue_id = %s", a["id"], project.id, b["id"])
    for n, id in enumerate(ids):
        detail = check(EVENT_DETAIL, project.api.read(f"{project.path}/issues/{a['id']}/events/{id}"))
        assert detail["previous_id"] == (ids[n - 1] if n else None) and detail["next_id"] == (ids[n + 1] if n < 7 else None)
        assert (detail["oldest_id"], detail["newest_id"]) == (ids[0], ids[-1])
    picket.sql("DELETE FROM projects WHERE id = %s", project.id)  # its counts say something else now
