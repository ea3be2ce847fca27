"""The commands: --help, output, exit codes 0/1/2, errors on stderr that say what to do (issue item 7). And the settings: a bad value stops the start
and names variable, value and what is allowed."""
import glob
import json
import os
import re

import psycopg
import pytest

import server
import wire
from client import Api, Project
from ports import free_port
from waiting import until

COMMANDS = re.findall(r"^  (\w+)  +\w", server.run("--help").stdout, re.M) if os.path.exists(server.BINARY) else []


@pytest.fixture(scope="module")
def settings(cluster):
    """A migrated database without a server."""
    directory = server.Directory()
    values = {"DATABASE_URL": cluster.new_database(), "DATA_DIR": directory.join("data")}
    assert server.run("migrate", **values).returncode == 0
    assert server.run("user", "add", "first@example.com", "--admin", **values).returncode == 0
    yield values
    directory.remove()


def good(settings, *arguments, **more):
    done = server.run(*arguments, **{**settings, **more})
    assert done.returncode == 0, f"{arguments}: {done.returncode} {done.stdout}{done.stderr}"
    return done.stdout


def bad(settings, status, *arguments, **more):
    """A failure: nothing on stdout, on stderr one sentence of ours."""
    done = server.run(*arguments, **{**settings, **more})
    assert done.returncode == status, f"{arguments}: {done.returncode} {done.stdout}{done.stderr}"
    assert done.stdout == "" and done.stderr.startswith("picket: "), done.stdout + done.stderr
    return done.stderr


def test_one_connection(settings, cluster):
    """A command looks at the schema and asks its question over the same connection."""
    before = cluster.sessions(settings["DATABASE_URL"])
    for arguments in (["project", "list"], ["token", "list"], ["status"], ["migrate"]):
        server.run(*arguments, **settings)
        after = cluster.sessions(settings["DATABASE_URL"])
        assert after == before + 1, arguments
        before = after


# ---- help and usage

@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    """Exit 0, on stdout, whatever stands beside it; no database needed."""
    for arguments in ([command, "--help"], [command, "-h"]):
        done = server.run(*arguments, DATABASE_URL="postgresql://nobody@127.0.0.1:1/x")
        assert done.returncode == 0 and done.stderr == ""
        assert f"picket {command}" in done.stdout


def test_overview():
    for arguments in (["--help"], ["-h"], ["help"]):
        done = server.run(*arguments)
        assert done.returncode == 0
        assert set(re.findall(r"^  (\w+)  +\w", done.stdout, re.M)) == {"serve", "migrate", "user", "project", "token", "quota", "send", "retention", "status",
                                                                     "dlq", "version"} == set(COMMANDS)


def test_version():
    with open(os.path.join(server.ROOT, "VERSION"), encoding="ascii") as f:
        version = f.read().strip()
    assert server.run("version").stdout == f"picket {version}\n" == server.run("--version").stdout
    assert json.loads(server.run("version", "--json").stdout) == {"version": version} == json.loads(server.run("--version", "--json").stdout)
    assert server.run("version", PORT="http").returncode == 0  # whatever the environment says


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command):
    done = server.run("help", command)
    assert done.returncode == 0 and done.stderr == "" and done.stdout == server.run(command, "--help").stdout


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["version", "x"], ["version", "--json", "x"], ["version", "--yaml"], ["help", "nonsense"],
                                       ["help", "serve", "x"], ["serve", "extra"], ["migrate", "extra"], ["user"], ["user", "remove"], ["user", "add"],
                                       ["user", "add", "--colour"],
                                       ["project"], ["project", "add", "--x", "y"], ["project", "rotate-key"], ["project", "rotate-key", "abc"], ["token", "revoke"],
                                       ["token", "revoke", "x"], ["token", "add", "--user"], ["send"], ["send", "a", "b", "c"]])
def test_wrong_calls(arguments):
    """Exit 2, on stderr, before any database is asked."""
    done = server.run(*arguments, DATABASE_URL="postgresql://nobody@127.0.0.1:1/x", DATABASE_WAIT_SECS=0)
    assert done.returncode == 2 and done.stdout == "", (done.returncode, done.stdout, done.stderr)
    assert "picket" in done.stderr


# ---- settings

def documented():
    return re.findall(r"^  ([A-Z_]+)\s", server.run("serve", "--help").stdout, re.M)


def test_every_setting_is_documented():
    """Names as in contract §6.1 where they exist, plus ours."""
    assert set(documented()) >= {"DATABASE_URL", "HOST", "PORT", "DATABASE_MAX_CONNECTIONS", "DATABASE_ACQUIRE_TIMEOUT_SECS", "DATABASE_IDLE_TIMEOUT_SECS",
                                 "INGEST_DIR", "SSL_PROXY", "CREATE_SUPERUSER", "DASHBOARD_URL", "PUBLIC_URL", "DATA_DIR", "LOG_LEVEL"}
    help_text = server.run("serve", "--help").stdout
    assert "8080" in help_text and "127.0.0.1" in help_text


BAD_VALUES = [("PORT", "0"), ("PORT", "65536"), ("PORT", "http"), ("PORT", "-1"), ("PORT", "80x"), ("PORT", " 80"), ("DATABASE_MAX_CONNECTIONS", "1"),
              ("DATABASE_MAX_CONNECTIONS", "many"), ("SSL_PROXY", "maybe"), ("ALLOW_REGISTRATION", "2"), ("LOG_LEVEL", "loud"), ("PUBLIC_URL", "errors.example.com"),
              ("PUBLIC_URL", "ftp://x"), ("PUBLIC_URL", "http://"), ("PUBLIC_URL", "http://x/?a=b"), ("DASHBOARD_URL", "*"), ("SPOOL_MAX_BYTES", "1X"),
              ("SPOOL_MAX_BYTES", "1"), ("MAX_EVENT_BYTES", "99999999999999999999G"), ("HTTP_THREADS", "1000"), ("DIGEST_WORKERS", "0"), ("DATA_DIR", "relative/path"),
              ("MAX_BODY_BYTES", "-5M"), ("DATABASE_ACQUIRE_TIMEOUT_SECS", "0"), ("SESSION_IDLE_HOURS", "1e3"), ("CREATE_SUPERUSER", "no-colon"),
              ("CREATE_SUPERUSER", "a@b.cd:short")]


@pytest.mark.parametrize("name, value", BAD_VALUES)
def test_bad_values(name, value):
    """Stop the start, and the message names the variable, the value (unless it is a secret) and what is allowed."""
    done = server.run("serve", **{name: value})
    assert done.returncode == 2, done.stdout + done.stderr
    assert name in done.stderr and "allowed" in done.stderr
    if name == "CREATE_SUPERUSER":
        assert value not in done.stderr
    else:
        assert value in done.stderr


def test_all_bad_values_at_once():
    done = server.run("serve", PORT="http", LOG_LEVEL="loud", DATABASE_MAX_CONNECTIONS=4, HTTP_THREADS=5)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 3 and all(line.startswith("picket: ") for line in lines), done.stderr
    assert "PORT=http" in lines[0] and "LOG_LEVEL=loud" in lines[1] and "HTTP_THREADS=5" in lines[2] and "DATABASE_MAX_CONNECTIONS=4" in lines[2]


def test_settings_that_picket_does_not_have(make_picket):
    """Contract §6.1: a name that means something elsewhere is not silently ignored, and an empty one is not set."""
    picket = make_picket(SMTP_HOST="mail.test", DATABASE_MIN_CONNECTIONS=2, DATABASE_MAX_LIFETIME_SECS="").start()
    warned = re.findall(r'level=warn msg="a setting that Picket does not have is ignored" name=(\w+) reason=".+"', picket.log())
    assert sorted(warned) == ["DATABASE_MIN_CONNECTIONS", "SMTP_HOST"]


def test_private_cluster_has_connections_for_all(make_picket):
    picket = make_picket(private=True, DATABASE_MAX_CONNECTIONS=150, DIGEST_WORKERS=8).start()
    (limit,), = picket.sql("SELECT setting::int FROM pg_settings WHERE name = 'max_connections'")
    assert limit >= 150 + 8 + 20


def test_empty_means_unset(settings):
    """Compose files pass empty strings."""
    assert good(settings, "project", "list", **{name: "" for name in documented() if name not in ("DATABASE_URL", "DATA_DIR")})


def test_no_database():
    """Exit 1 after DATABASE_WAIT_SECS, with what to look at; the password is not repeated."""
    done = server.run("migrate", DATABASE_URL="postgresql://me:secret-word@127.0.0.1:1/x", DATABASE_WAIT_SECS=1)
    assert done.returncode == 1 and "DATABASE_URL" in done.stderr and "secret-word" not in done.stderr


def test_refused_by_the_database(settings):
    """A wrong password is told as such, not waited for."""
    url = re.sub(r":[0-9a-f]+@", ":wrong@", settings["DATABASE_URL"])
    done = server.run("migrate", DATABASE_URL=url, DATABASE_WAIT_SECS=2)
    assert done.returncode == 1 and "password" in done.stderr


def test_nonsense_as_database_url():
    done = server.run("migrate", DATABASE_URL="nonsense", DATABASE_WAIT_SECS=1)
    assert done.returncode in (1, 2) and "DATABASE_URL" in done.stderr


def test_unwritable_data_dir():
    """Names the directory and what to do."""
    done = server.run("serve", DATA_DIR="/proc/picket")
    assert done.returncode == 1 and "/proc/picket" in done.stderr and "directory" in done.stderr


# ---- migrate

def test_migrate(cluster):
    """On an empty database it says what it does, again it has nothing to do."""
    values = {"DATABASE_URL": cluster.new_database()}
    assert re.search(r"^migration 0001 ", good(values, "migrate"), re.M)
    again = good(values, "migrate")
    assert "migration" not in again and "up to date" in again


def test_newer_schema(cluster, settings):
    """decisions.md: a newer schema is refused only if it says that it needs a newer release."""
    values = {"DATABASE_URL": cluster.new_database()}
    good(values, "migrate")
    picket = server.Picket(server.Directory(), **values)
    try:
        picket.sql("INSERT INTO schema_migrations (number, name) VALUES (9999, 'from the future')")
        assert good(values, "project", "list") is not None
        picket.sql("UPDATE schema_info SET value = '9999' WHERE key = 'min_release'")
        assert "newer" in bad(values, 1, "project", "list")
    finally:
        picket.end()


def migrated_until(url, number):
    """As a release left it that knew so many migrations."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE schema_migrations (number int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())")
        for path in sorted(glob.glob(os.path.join(server.ROOT, "sql", "migrations", "*.sql")))[:number]:
            with open(path, encoding="utf-8") as f:
                connection.execute(f.read())
            name = os.path.basename(path)[:-4]
            connection.execute("INSERT INTO schema_migrations (number, name) VALUES (%s, %s)", (int(name[:4]), name[5:]))


def test_counts_of_issues_after_an_upgrade(cluster, settings):
    """0021 counts what there is; before it a list counted."""
    url = cluster.new_database()
    migrated_until(url, 20)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO projects (name, slug) VALUES ('old', 'old'), ('none', 'none')")
        connection.execute("""
            INSERT INTO issues (project_id, id, number, title, type, value, transaction, frame_filename, frame_module, frame_function, first_seen, last_seen,
                                is_resolved, is_muted)
            SELECT 1, gen_random_uuid(), n, '', '', '', '', '', '', '', now(), now(), n <= 3, n BETWEEN 3 AND 5 FROM generate_series(1, 10) n WHERE n <> 7""")
        connection.execute("UPDATE project_numbering SET last_issue = 10 WHERE project_id = 1")
        assert "migration 0021" in good({"DATABASE_URL": url}, "migrate")
        counts = "SELECT array_agg(issue_count(%s, f) ORDER BY n) FROM unnest(ARRAY['all', 'open', 'resolved', 'muted']) WITH ORDINALITY f(f, n)"
        assert connection.execute(counts, (1,)).fetchone() == ([9, 4, 3, 2],)
        assert connection.execute(counts, (2,)).fetchone() == ([0, 0, 0, 0],)
        connection.execute("DELETE FROM projects")  # and with them their issues
        assert connection.execute("SELECT count(*) FROM issue_states").fetchone() == (0,)


# ---- user

def test_users(settings):
    out = good(settings, "user", "add", "ann@example.com")
    password = re.search(r"password (\S+)", out).group(1)
    assert len(password) >= 12
    assert good(settings, "user", "add", "bob@example.com", "--admin", "--password-stdin", stdin="a long password\n").count("password") == 0
    users = {user["email"]: user for user in json.loads(good(settings, "user", "list", "--json"))}
    assert users["ann@example.com"]["admin"] is False and users["bob@example.com"]["admin"] is True
    assert "ann@example.com" in good(settings, "user", "list")
    changed = good(settings, "user", "passwd", "ann@example.com")
    assert password not in changed


@pytest.mark.parametrize("email", ["nonsense", "a@b", "a b@c.de", "@b.cd", "a@@b.cd", "ä@b.cd", "a@" + "b" * 300 + ".cd"], ids=range(7))
def test_bad_addresses(settings, email):
    """What the dashboard could not log in with (contract §7.2)."""
    bad(settings, 2, "user", "add", email)


def test_user_errors(settings):
    good(settings, "user", "add", "twice@example.com")
    assert "already" in bad(settings, 1, "user", "add", "twice@example.com")
    for nobody in ("nobody@example.com", "nobody@x.y", "nobody"):  # an address is only looked up
        assert f"there is no user {nobody}: picket user list" in bad(settings, 1, "user", "passwd", nobody)
    bad(settings, 2, "user", "passwd")
    assert "8" in bad(settings, 1, "user", "add", "short@example.com", "--password-stdin", stdin="short\n")
    bad(settings, 1, "user", "add", "empty@example.com", "--password-stdin", stdin="")


def test_new_password_ends_sessions(make_picket):
    picket = make_picket().start()
    email, password = server.ADMIN
    cookie = Api(picket.url).post("/auth/login", json={"email": email, "password": password}).headers["Set-Cookie"].split("=", 1)[1].split(";")[0]
    assert Api(picket.url, cookie=cookie).get("/auth/me").status_code == 200
    picket.command("user", "passwd", email, "--password-stdin", stdin="another password\n")
    assert Api(picket.url, cookie=cookie).get("/auth/me").status_code == 401
    assert Api(picket.url).post("/auth/login", json={"email": email, "password": password}).status_code == 401
    assert Api(picket.url).post("/auth/login", json={"email": email, "password": "another password"}).status_code == 200


# ---- project, token

def test_projects(settings):
    out = good(settings, "project", "add", "Web Shop", PUBLIC_URL="https://errors.example.com/picket/")
    dsn = re.search(r"https://[0-9a-f]{32}@errors\.example\.com/picket/(\d+)", out)
    assert dsn
    assert "given" in good(settings, "project", "add", "Another", "--slug", "Given")
    rows = {row["name"]: row for row in json.loads(good(settings, "project", "list", "--json"))}
    assert rows["Web Shop"]["slug"] == "web-shop" and rows["Another"]["slug"] == "given" and rows["Web Shop"]["id"] == int(dsn.group(1))
    rotated = good(settings, "project", "rotate-key", dsn.group(1)).strip()
    assert rotated and rotated != rows["Web Shop"]["dsn"]
    assert {row["name"]: row for row in json.loads(good(settings, "project", "list", "--json"))}["Web Shop"]["dsn"] == rotated
    assert "picket project list" in bad(settings, 1, "project", "add", "Web Shop")
    assert "picket project list" in bad(settings, 1, "project", "rotate-key", "999999")
    for name in ("", "   ", "x" * 256):
        bad(settings, 2, "project", "add", name)
    assert "--slug" in bad(settings, 2, "project", "add", "!!!")


def test_tokens(settings):
    token = good(settings, "token", "add", "--description", "for ci").strip()
    assert re.fullmatch(r"[0-9a-f]{40}", token)
    theirs, = json.loads(good(settings, "token", "add", "--user", "first@example.com", "--json"))
    assert re.fullmatch(r"[0-9a-f]{40}", theirs["token"])
    row = next(row for row in json.loads(good(settings, "token", "list", "--json")) if row["description"] == "for ci")
    assert token.startswith(row["prefix"].rstrip(".")) and token not in good(settings, "token", "list")
    assert str(row["id"]) in good(settings, "token", "revoke", row["id"])
    assert "picket token list" in bad(settings, 1, "token", "revoke", row["id"])
    assert "picket user list" in bad(settings, 1, "token", "add", "--user", "nobody@example.com")


def test_revoked_token_is_refused(make_picket):
    picket = make_picket().start()
    token = picket.command("token", "add").strip()
    assert Api(picket.url, token=token).get("/auth/me").status_code == 200
    row, = json.loads(picket.command("token", "list", "--json"))
    picket.command("token", "revoke", row["id"])
    assert Api(picket.url, token=token).get("/auth/me").status_code == 401


# ---- send

def test_send(picket, project):
    """A sample; a text; an event's file; an envelope; standard input. The answer is printed."""
    done = picket.run("send", project.dsn)
    assert done.returncode == 0 and re.fullmatch(r'200 \{"id":"[0-9a-f]{32}"\}\n', done.stdout), done.stdout + done.stderr
    picket.command("send", project.dsn, "--message", "a text of mine")
    event = wire.error_event(value="from a file")
    with server.Directory().holder as folder:
        path = os.path.join(folder, "event.json")
        with open(path, "wb") as f:
            f.write(wire.dumps(event))
        assert event["event_id"] in picket.command("send", project.dsn, path)
        other = wire.error_event(value="from an envelope")
        with open(path, "wb") as f:
            f.write(wire.event_envelope(other))
        assert other["event_id"] in picket.command("send", project.dsn, path)
    third = wire.error_event(value="from standard input")
    assert third["event_id"] in picket.command("send", project.dsn, "-", stdin=wire.dumps(third).decode())
    project.wait_count(5)
    for text in ("a text of mine", "from a file", "from an envelope", "from standard input"):
        assert project.issue(text), text


def test_send_that_fails(picket, project):
    """Exit 1 with the server's words, or with why there was no answer; exit 2 for what is no DSN."""
    done = picket.run("send", project.dsn.replace(project.key, "0" * 32))
    assert done.returncode == 1 and "403" in done.stdout + done.stderr
    done = picket.run("send", f"http://{project.key}@127.0.0.1:1/1")
    assert done.returncode == 1 and done.stderr
    done = picket.run("send", "nonsense")
    assert done.returncode in (1, 2) and "DSN" in done.stderr
    done = picket.run("send", project.dsn, "/nonexistent/file")
    assert done.returncode == 1 and "/nonexistent/file" in done.stderr
    done = picket.run("send", project.dsn, "-", stdin="not an envelope")
    assert done.returncode == 1 and "400" in done.stdout + done.stderr


@pytest.mark.parametrize("command", [("project", "list"), ("token", "add"), ("user", "add", "ann@example.com"), ("retention", "run"), ("dlq", "list"),
                                     ("project", "rotate-key", "1")], ids=" ".join)
def test_a_command_makes_no_cluster(command):
    """Without the server's DATA_DIR it would find an empty database of its own making."""
    directory = server.Directory()
    missing = directory.join("data")
    done = server.run(*command, DATA_DIR=missing)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(f"picket: there is no Picket data in {missing}: ") and "DATABASE_URL" in done.stderr and "picket serve" in done.stderr
    assert "not set" not in done.stderr and not os.path.exists(missing)
    home = directory.join("home")
    os.mkdir(home)
    if os.geteuid() != 0:
        done = server.run(*command, HOME=home)
        assert done.returncode == 1 and f"{home}/.local/share/picket (DATA_DIR is not set)" in done.stderr and not os.listdir(home)
    directory.remove()


def test_status_makes_no_cluster():
    directory = server.Directory()
    done = server.run("status", DATA_DIR=directory.join("data"), PORT=free_port())
    assert done.returncode == 1 and "DATA_DIR" in done.stdout + done.stderr
    assert os.listdir(directory.path) == []
    directory.remove()


def test_dsns_are_the_servers(make_picket):
    """A command in a terminal without the server's PORT and PUBLIC_URL prints DSNs that reach the server, unless it is told better."""
    picket = make_picket().start()
    bare = {"DATABASE_URL": picket.settings["DATABASE_URL"], "DATA_DIR": picket.settings["DATA_DIR"]}
    dsn = json.loads(good(bare, "project", "list", "--json"))[0]["dsn"]
    assert f"@127.0.0.1:{picket.port}/" in dsn
    assert f"@127.0.0.1:{picket.port}/" in good(bare, "project", "add", "Another")
    assert f"@127.0.0.1:{picket.port}/" in good(bare, "project", "rotate-key", dsn.rsplit("/", 1)[1])
    assert "@127.0.0.1:7777/" in good(bare, "project", "list", PORT=7777)
    assert "https://" in good(bare, "project", "list", PUBLIC_URL="https://errors.example.com")
    picket.stop()
    picket.settings["PUBLIC_URL"] = "https://other.example.com/errors"
    picket.start()
    assert "@other.example.com/errors/" in good(bare, "project", "list")


def test_commands_on_a_stopped_private_cluster(make_picket):
    """Without DATABASE_URL and without a server: the private cluster is started for the command and stopped again."""
    picket = make_picket(private=True, CREATE_SUPERUSER=None)
    picket.command("migrate")
    assert "Offline" in picket.command("project", "add", "Offline")
    assert "Offline" in picket.command("project", "list")
    assert not os.path.exists(os.path.join(picket.settings["DATA_DIR"], "postgres", "data", "postmaster.pid"))
    picket.start()
    row = next(row for row in picket.projects() if row["name"] == "Offline")
    offline = Project(picket.api, picket.api.read(f"/api/projects/{row['id']}"))
    offline.send(wire.error_event())
    until(lambda: offline.issues(), "not visible")
