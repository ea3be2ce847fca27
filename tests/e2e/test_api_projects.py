"""Health and projects: contract R1, R2, R7–R9 (§1.9, §1.11), offset pages (§1.7), DSNs (decisions.md "PUBLIC_URL")."""
import re
import signal
import uuid

import pytest

import server
import wire
from client import Api
from contract import OFFSET_PAGE, PROJECT, check, check_error, check_page
from postgres import Cluster
from waiting import until


def test_health(picket):
    """R1, R2, without authentication."""
    nobody = Api(picket.url)
    assert nobody.read("/health") == {"status": "ok"}
    ready = nobody.read("/health/ready")
    assert ready == {"status": "ready", "checks": {"database": "ok"}, "dead_letters": ready["dead_letters"]}


def test_create(picket, api):
    """R8: 201; the slug from the name; a DSN that works as it is."""
    name = f"My App {uuid.uuid4().hex}"
    answer = api.post("/api/projects", json={"name": f"  {name} "})
    assert answer.status_code == 201
    row = check(PROJECT, answer.json())
    assert row["name"] == name and row["slug"] == name.lower().replace(" ", "-")
    assert row["stored_event_count"] == row["digested_event_count"] == 0
    key = row["sentry_key"].replace("-", "")
    assert row["dsn"] == f"http://{key}@127.0.0.1:{picket.port}/{row['id']}"
    assert check(PROJECT, api.read(f"/api/projects/{row['id']}")) == row
    done = picket.run("send", row["dsn"])
    assert done.returncode == 0 and done.stdout.startswith("200 "), done.stdout + done.stderr


@pytest.mark.parametrize("name, slug, expected", [
    ("Ünïcödé Näme %s", None, "unicode-name-%s"),
    ("Straße %s", None, "strasse-%s"),
    ("--a  b//c--%s", None, "a-b-c-%s"),
    ("x %s", "Given Slug %s", "given-slug-%s"),
    ("y %s", "  ", "y-%s"),
    ("z %s", None, "z-%s"),
])
def test_slugs(api, name, slug, expected):
    """§1.11 R8: lower case, digits, one dash for every other run, transliterated."""
    unique = uuid.uuid4().hex[:8]
    body = {"name": name % unique, "slug": slug % unique if slug and "%s" in slug else slug}
    answer = api.post("/api/projects", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["slug"] == expected % unique


def test_taken_slug_gets_a_number(api):
    base = uuid.uuid4().hex
    slugs = [api.post("/api/projects", json={"name": name, "slug": base}).json()["slug"] for name in (f"{base} one", f"{base} two", f"{base} three")]
    assert slugs == [base, f"{base}-1", f"{base}-2"]


def test_duplicate_name(api):
    name = uuid.uuid4().hex
    assert api.post("/api/projects", json={"name": name}).status_code == 201
    check_error(api.post("/api/projects", json={"name": name}), 409, "Conflict")


@pytest.mark.parametrize("name", ["", "   ", "x" * 256, "!!!"])
def test_bad_names(api, name):
    check_error(api.post("/api/projects", json={"name": name}), 400, "ValidationError")


def test_name_of_255_bytes(api):
    name = (uuid.uuid4().hex * 8)[:255]
    answer = api.post("/api/projects", json={"name": name})
    assert answer.status_code == 201
    assert len(answer.json()["slug"]) <= 100


def test_unknown_keys_are_ignored(api):
    assert api.post("/api/projects", json={"name": uuid.uuid4().hex, "colour": "blue", "id": 7, "sentry_key": "x"}).status_code == 201


def test_not_found(api):
    """R9: 404 with the contract's words."""
    for project_id in (999999, 2**31 - 1):
        assert f"Project with id {project_id} not found" in check_error(api.get(f"/api/projects/{project_id}"), 404, "NotFound")["error"]
    assert api.get(f"/api/projects/{2**31}").status_code in (400, 404)


def test_counts(project):
    """digested_event_count is what the dashboard shows."""
    project.send(wire.error_event(), wire.error_event(), wire.error_event("Other"))
    project.wait_count(3)
    row = check(PROJECT, project.row())
    assert row["stored_event_count"] == 3


@pytest.fixture(scope="module")
def crowded(cluster):
    """A Picket with 26 projects: the one of the first start and 25 more."""
    picket = server.Picket(server.Directory(), DATABASE_URL=cluster.migrated_database())
    try:
        picket.start()
        for i in range(25):
            picket.new_project(f"crowd {i:02}")
        yield picket.api
    finally:
        picket.end()


def page(api, **query):
    return check_page(OFFSET_PAGE, PROJECT, api.read("/api/projects", params=query))


def test_pages(crowded):
    """R7: newest first by default, 20 a page, the counts right, a page past the end empty."""
    first, second, third = page(crowded), page(crowded, page=2), page(crowded, page=3)
    assert (first["total_count"], first["page"], first["per_page"], first["total_pages"]) == (26, 1, 20, 2)
    names = [project["name"] for project in first["items"] + second["items"]]
    assert names[:25] == [f"crowd {i:02}" for i in reversed(range(25))] and len(names) == 26
    assert third["items"] == [] and third["page"] == 3 and third["total_count"] == 26
    oldest = page(crowded, order="asc", per_page=5, page=1)
    assert [project["name"] for project in oldest["items"]][1:] == [f"crowd {i:02}" for i in range(4)]
    assert (oldest["per_page"], oldest["total_pages"]) == (5, 6)


@pytest.mark.parametrize("query, got", [
    ({"per_page": 0}, (1, 1)), ({"per_page": -1}, (1, 1)), ({"per_page": 101}, (1, 100)), ({"per_page": 2**62}, (1, 100)), ({"per_page": -(2**62)}, (1, 1)),
    ({"page": 0}, (1, 20)), ({"page": -5}, (1, 20)), ({"page": 7, "per_page": 100}, (7, 100)), ({"page": 10**6, "per_page": 100}, (10**6, 100)),
])
def test_clamps(crowded, query, got):
    """§1.7 "→ Ours": page >= 1, 1 <= per_page <= 100, the clamped values echoed (G-1: per_page=0 ended the original's process)."""
    answer = page(crowded, **query)
    assert (answer["page"], answer["per_page"]) == got
    assert answer["total_pages"] == -(-26 // got[1])


def test_page_beyond_everything(crowded):
    """The largest page number does not overflow into something else; it may be clamped, too."""
    answer = page(crowded, page=2**63 - 1, per_page=100)
    assert answer["items"] == [] and answer["total_count"] == 26


@pytest.mark.parametrize("method, path", [("PUT", "/api/projects"), ("PATCH", "/api/projects"), ("POST", "/auth/me"), ("GET", "/auth/login"), ("GET", "/auth/logout"),
                                          ("POST", "/health"), ("PUT", "/api/tokens"), ("POST", "/api/projects/1/issues"), ("OPTIONS", "/api/projects")])
def test_wrong_methods(api, method, path):
    """decisions.md: unknown method on a known path: 405 with Allow."""
    answer = api.request(method, path)
    if method == "OPTIONS":
        assert answer.status_code == 200
    else:
        check_error(answer, 405)
    allowed = {name.strip() for name in answer.headers["Allow"].split(",")}
    assert allowed and method not in allowed - {"OPTIONS"}


def test_head(api):
    """HEAD is GET without the body, if it is answered at all."""
    answer = api.request("HEAD", "/api/projects")
    assert answer.status_code in (200, 405) and answer.content == b""


def test_trailing_slash_is_significant(api):
    """Contract §1.1."""
    check_error(api.get("/api/projects/"), 404)
    check_error(api.get("/health/"), 404)


def test_public_url_with_a_prefix(make_picket):
    """decisions.md "PUBLIC_URL": base of DSNs, may have a path prefix; requests are taken with and without it."""
    picket = make_picket()
    picket.settings["PUBLIC_URL"] = f"http://127.0.0.1:{picket.port}/errors/"
    picket.start()
    project = picket.new_project()
    assert re.fullmatch(rf"http://{project.key}@127\.0\.0\.1:{picket.port}/errors/{project.id}", project.dsn)
    done = picket.run("send", project.dsn, "--message", "through the prefix")
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.post(wire.event_envelope(wire.error_event())).status_code == 200
    project.wait_count(2)
    assert Api(picket.url + "/errors", token=picket.token).read(f"/api/projects/{project.id}")["digested_event_count"] == 2


def test_readiness_without_the_database(make_picket):
    """R2: 503 {"status":"not_ready",…} while the database is away; R1 and the process do not mind; ready again by itself."""
    directory = server.Directory()
    away = Cluster(directory.join("postgres"))
    try:
        away.create()
        picket = make_picket(DATABASE_URL=away.migrated_database(), DATABASE_ACQUIRE_TIMEOUT_SECS=1).start()
        letters = until(lambda: Api(picket.url).get("/health/ready").json()["dead_letters"], "dead letters are not counted")
        away.stop()
        until(lambda: Api(picket.url).get("/health/ready").status_code == 503, "still ready")
        assert Api(picket.url).get("/health/ready").json() == {"status": "not_ready", "checks": {"database": "error"}, "dead_letters": letters}
        assert Api(picket.url).read("/health") == {"status": "ok"}
        away.start()
        until(lambda: Api(picket.url).get("/health/ready").status_code == 200, "not ready again", 30)
        picket.stop()
    finally:
        away.stop(signal.SIGQUIT)
        directory.remove()
