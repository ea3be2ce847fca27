"""What is kept while nobody looks: the server's own retention, attachments that several servers share, and a copy that another machine goes on with."""
import os
import shutil
import subprocess
import time
import uuid

import psycopg

import wire
from client import Project, accepted
from postgres import bin_dir
from test_attachments import age, attachments, download, files, wait_attachments
from test_retention import fill, rows_by_age
from waiting import until


def attach(project, content, name="a.txt"):
    accepted(project.post(wire.envelope({"event_id": uuid.uuid4().hex}, wire.item("attachment", content, filename=name))))


def test_the_server_keeps_house(make_picket):
    """RETENTION_EVERY_SECS: again and again, without a command."""
    picket = make_picket(RETENTION_EVERY_SECS=1, RETENTION_DAYS=30).start()
    project = picket.new_project()
    picket.stop()
    fill(picket, project, 1001, 2, days=40)
    picket.start()
    until(lambda: max(rows_by_age(picket, project)) <= 30, lambda: f"{rows_by_age(picket, project)}\n{picket.log()[-2000:]}", 30)
    assert len(rows_by_age(picket, project)) >= 29
    attach(project, b"old")
    wait_attachments(project, 1)
    for path in files(picket, project):
        os.utime(path, (time.time() - 40 * 86400,) * 2)  # before its row is: a run may come at any moment
    age(picket, project, 40)
    until(lambda: not attachments(project) and not files(picket, project), lambda: f"{attachments(project)} {files(picket, project)}", 20)
    assert all(words in picket.log() for words in ('msg="retention done"', 'msg="attachments dropped"', 'msg="attachments swept"'))


def test_attachments_that_servers_share(make_picket):
    """ATTACHMENTS_DIR: what one stored the other hands out, knows and does not store again."""
    one = make_picket().start()
    project = one.new_project()
    two = make_picket(DATABASE_URL=one.settings["DATABASE_URL"], ATTACHMENTS_DIR=one.directory.join("data", "attachments")).start()
    elsewhere = Project(two.api, project.row())
    attach(project, b"of both")
    attach(elsewhere, b"of both")
    attach(elsewhere, b"of two")
    for row in wait_attachments(project, 3):
        assert [download(p, row).status_code for p in (project, elsewhere)] == [200, 200]
        assert download(project, row).content == download(elsewhere, row).content
    assert sorted(files(one, project).values()) == [6, 7] and files(two) == {}


def copy(picket, to, *parts):
    source = picket.directory.join("data", *parts)
    while os.path.exists(source) and subprocess.run(["cp", "-a", source, to], stderr=subprocess.PIPE).returncode:
        pass  # a file went while it was copied


def test_backup_and_restore(make_picket, cluster):
    """As README says: the database, then attachments, dead letters and the spool, of a server that runs; then its machine is gone. What was acknowledged
    and not yet stored when the dump was made is stored by the copy, once."""
    first = make_picket().start()
    project = first.new_project()
    stored, waiting = wire.error_event("E", "stored"), wire.error_event("E", "waits")
    project.send(stored)
    attach(project, b"kept")
    project.wait_count(1)
    (row,) = wait_attachments(project, 1)
    restored = cluster.new_database()
    second = make_picket(DATABASE_URL=restored)
    data, dump = second.directory.join("data"), second.directory.join("dump.sql")
    with psycopg.connect(first.conninfo()) as connection:
        connection.execute("LOCK TABLE digest_batches IN EXCLUSIVE MODE")  # reads go on
        project.send(waiting, stored)
        subprocess.run([os.path.join(bin_dir(), "pg_dump"), "--dbname", first.conninfo(), "--file", dump], check=True)
        os.mkdir(data, 0o700)
        shutil.chown(data, *[os.stat(first.directory.join("data"))[k] for k in (4, 5)])
        for part in ("attachments", "dead-letters", "spool"):
            copy(first, data, part)
        first.kill()
        connection.rollback()
    subprocess.run([os.path.join(bin_dir(), "psql"), "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", restored, "--file", dump], check=True,
                   stdout=subprocess.DEVNULL)
    second.start()
    again = Project(second.api, second.api.read(f"/api/projects/{project.id}"))
    again.wait_count(2)
    again.drain()
    assert sorted(e["event_id"] for e in again.all_events()) == sorted(str(uuid.UUID(e["event_id"])) for e in (stored, waiting))
    assert download(again, row).content == b"kept"
    again.send(wire.error_event("E", "new"))
    again.wait_count(3)
