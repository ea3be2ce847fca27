"""What goes when it is old: dead letters in the database and in files, damaged bytes of the spool, attachments of events that sampling drops; and what is told
of it (sql/migrations/0019_letters_age.sql, src/digest/letters.c, src/digest/retention.c)."""
import datetime
import fcntl
import glob
import hashlib
import json
import os
import shutil
import time
import uuid

import psycopg
import pytest

import wire
from client import accepted
from test_attachments import attachments, files as stored, wait_attachments
from test_dead_letters import files as letter_files, health, insert_letter, refusing, rows as letters, spill_dir
from test_retention import fill
from waiting import away_from_midnight, until

KINDS = ("feedback", "check_ins", "outcomes", "sessions", "others", "dead_letters", "attachments", "attachment_bytes", "files", "file_bytes", "spilled",
         "spilled_bytes", "quarantined", "quarantined_bytes")


def run(picket, *more, **settings):
    """What a run told: its kinds, without the days."""
    told = json.loads(picket.command("retention", "run", "--json", *more, **settings))
    assert told.pop("dry_run") == ("--dry-run" in more) and set(told) == {"days", *KINDS}
    del told["days"]
    return told


def days_ago(days):
    return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)


def old_id(days):
    """A UUIDv7 of so many days ago (RFC 9562 §5.7)."""
    return uuid.UUID(int=int((time.time() - days * 86400) * 1000) << 80 | 7 << 76 | 2 << 62 | uuid.uuid4().int & (1 << 62) - 1)


# ---- rows of dead letters

def test_letters_go_after_thirty_days(make_picket):
    """Of any status, by when they first failed; what waits for a retry that was asked for has a day for it, and what hides files a minute."""
    picket = make_picket(DEAD_LETTERS_LOOK_SECS=3600).start()
    project = picket.new_project()

    def letter(days, **columns):
        return insert_letter(picket, project, b"{}", record_id=old_id(days), received_at=days_ago(days), first_failed_at=days_ago(days), last_failed_at=days_ago(0),
                             **columns)
    gone = [letter(31), letter(31, kind=4), letter(31, kind=7), letter(31, status="stored", stored_at=days_ago(1)),
            letter(31, status="stored", stored_at=days_ago(9), dropped_at=days_ago(3)), marked_long_ago := letter(40, status="retry"), had := letter(90)]
    kept = [letter(29), letter(0), letter(29, kind=7), letter(29, status="stored", stored_at=days_ago(1)), letter(40, status="retry"),
            letter(31, status="stored", stored_at=days_ago(0))]
    picket.sql("UPDATE dead_letters SET marked_at = now() - interval '25 hours' WHERE id = %s", marked_long_ago)
    told = run(picket, "--dry-run")
    assert told["dead_letters"] == len(gone) and len(letters(picket, project)) == len(gone) + len(kept) - 1  # one is dropped, and listed no more
    with psycopg.connect(picket.conninfo()) as retrying:
        retrying.execute("SELECT FROM dead_letters WHERE id = %s FOR UPDATE", (had,))  # as dead_letter_retry has it
        assert run(picket)["dead_letters"] == len(gone) - 1
    assert [number for number, in picket.sql("SELECT id FROM dead_letters ORDER BY id")] == sorted([*kept, had])
    assert run(picket)["dead_letters"] == 1
    assert run(picket) == {**run(picket, "--dry-run"), "dead_letters": 0}
    assert "dropped 3 dead letters\n" in picket.command("retention", "run", DEAD_LETTERS_DAYS=28)
    assert [number for number, in picket.sql("SELECT id FROM dead_letters ORDER BY id")] == sorted([kept[1], kept[4], kept[5]])


def test_letters_go_in_parts(picket, project):
    for days in (31, 32, 33, 0):
        insert_letter(picket, project, b"{}", first_failed_at=days_ago(days))
    with psycopg.connect(picket.conninfo()) as connection:
        gone = [connection.execute("SELECT retention_tidy_letters(now(), 30, 2)").fetchone()[0] for _ in range(3)]
        left = connection.execute("SELECT count(*) FROM dead_letters WHERE project_id = %s", (project.id,)).fetchone()[0]
        connection.rollback()
    picket.sql("DELETE FROM dead_letters WHERE project_id = %s", project.id)
    assert gone == [2, 1, 0] and left == 1


@pytest.mark.parametrize("value", ["-1", "3651", "soon"])
def test_wrong_days(make_picket, value):
    done = make_picket().run("retention", "run", DEAD_LETTERS_DAYS=value)
    assert done.returncode == 2 and "DEAD_LETTERS_DAYS" in done.stderr


def test_the_server_does_it(make_picket):
    """Rows and files, without a command. A letter of an attachment keeps its file from the sweep: when it goes, the file goes as soon."""
    picket = make_picket(RETENTION_EVERY_SECS=1, DEAD_LETTERS_LOOK_SECS=3600).start()
    project, other = picket.new_project(), picket.new_project()
    picket.sql("ALTER TABLE attachments ADD CONSTRAINT refuse CHECK (name NOT LIKE 'poison%') NOT VALID")
    accepted(project.post(wire.envelope({}, wire.item("attachment", b"12345", filename="poison"))))
    accepted(other.post(wire.envelope({}, wire.item("attachment", b"12", filename="unnamed"))))
    until(lambda: len(letters(picket, project)) == 1, lambda: letters(picket, project))
    row, = wait_attachments(other, 1)
    other.api.delete(f"{other.path}/attachments/{row['id']}")
    for path in stored(picket):
        os.utime(path, (time.time() - 7200,) * 2)
    picket.stop()  # the first sweep comes with a start, the next in a day or when there is a reason
    picket.start()
    until(lambda: 'msg="attachments swept"' in picket.log(), picket.log)
    assert list(stored(picket).values()) == [5]
    picket.sql("UPDATE dead_letters SET first_failed_at = now() - interval '31 days'")
    until(lambda: not letters(picket, project) and not stored(picket), lambda: (letters(picket, project), stored(picket)))
    assert "dead letters were older than DEAD_LETTERS_DAYS and are deleted" in picket.log() and "dead_letters=1" in picket.log()


# ---- files

def make_older(picket, path, received, failed):
    """The letter of a file as if it had been received and had failed so many days ago."""
    with open(path, "rb") as f:
        head, rest = f.read().split(b"\n", 1)
    head, record = json.loads(head), old_id(received)
    head["dead_letter"].update(record_id=str(record), received_at=days_ago(received).isoformat(), first_failed_at=days_ago(failed).isoformat())
    to = os.path.join(os.path.dirname(path), f"{os.path.basename(path)[:19]}-{record.hex}.envelope")
    owner = os.stat(path).st_uid
    with open(path, "wb") as f:
        f.write(wire.dumps(head) + b"\n" + rest)
    os.rename(path, to)
    os.chown(to, owner, -1)
    return to


def set_aside(picket, name, days):
    """Damaged bytes, as the spool keeps them (src/spool/quarantine.c)."""
    directory = os.path.join(picket.settings["DATA_DIR"], "spool", "quarantine")
    owner = os.stat(os.path.dirname(directory)).st_uid
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = os.path.join(directory, name)
    with open(path, "wb") as f:
        f.write(b"x" * 100)
    for each in (directory, path):
        os.chown(each, owner, -1)
    os.utime(path, (time.time() - days * 86400,) * 2)
    return path


def test_files_go_after_thirty_days(make_picket):
    """By the server that has them, and by the command on its machine: what failed longer ago, and nothing else; not while a command has the directory."""
    picket = make_picket(DEAD_LETTERS_MAX=1, DEAD_LETTERS_LOOK_SECS=1).start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        project.send(*[wire.error_event("E", f"poison {i}") for i in range(6)])
        until(lambda: len(letter_files(picket)) == 5 and len(letters(picket, project)) == 1, lambda: letter_files(picket))
    picket.stop()
    paths = letter_files(picket)
    aged = [make_older(picket, path, 40, failed) for path, failed in zip(paths, (31, 30.5, 29, 0))]
    quarantined = [set_aside(picket, f"0005f0000000000{i}-0000000040", days) for i, days in enumerate((31, 29))]
    sizes = [os.path.getsize(path) for path in aged]
    planned = run(picket, "--dry-run")
    assert (planned["spilled"], planned["spilled_bytes"], planned["quarantined"], planned["quarantined_bytes"]) == (2, sizes[0] + sizes[1], 1, 100)
    assert len(letter_files(picket)) == 5 and all(os.path.exists(path) for path in quarantined)
    text = picket.command("retention", "run", "--dry-run", DEAD_LETTERS_DAYS=31)
    assert f"would remove 1 spilled dead letters of {sizes[0]} bytes" in text and "would remove 1 damaged parts of the spool of 100 bytes" in text
    copies = [shutil.copy2(path, picket.directory.join(os.path.basename(path))) for path in (*aged[:2], quarantined[0])]
    assert run(picket) == planned
    left = sorted([aged[2], aged[3], paths[4]])
    assert letter_files(picket) == left and not os.path.exists(quarantined[0]) and os.path.exists(quarantined[1])
    for copy, path in zip(copies, (*aged[:2], quarantined[0])):
        shutil.copy2(copy, path)
        os.chown(path, os.stat(os.path.dirname(path)).st_uid, -1)
    held = os.open(spill_dir(picket), os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)  # as a command that retries one of them
    try:
        picket.start()
        until(lambda: health(picket)["dead_letters"] == {"waiting": 1, "retrying": 0, "spilled": 5}, lambda: health(picket))
        assert len(letter_files(picket)) == 5
    finally:
        os.close(held)
    # the server does the same as the command, at the next look
    until(lambda: letter_files(picket) == left and not os.path.exists(quarantined[0]), lambda: glob.glob(spill_dir(picket) + "/*"))
    assert os.path.exists(quarantined[1])
    for words in ("spilled dead letters were older than DEAD_LETTERS_DAYS and are deleted", "damaged bytes of the spool were older"):
        until(lambda said=words: said in picket.log(), picket.log)
    assert "4 of 4 dead letters stored" in picket.command("dlq", "retry", "--all")


def test_never(make_picket):
    """DEAD_LETTERS_DAYS=0: no letter is too old, in the database, in files and as damaged bytes; not for the server, and not for the command."""
    picket = make_picket(DEAD_LETTERS_MAX=1, DEAD_LETTERS_LOOK_SECS=1, RETENTION_EVERY_SECS=1, DEAD_LETTERS_DAYS=0).start()
    project = picket.new_project()
    with refusing(picket, "poison"):
        project.send(*[wire.error_event("E", f"poison {i}") for i in range(2)])
        until(lambda: len(letter_files(picket)) == 1 and len(letters(picket, project)) == 1, lambda: letter_files(picket))
    picket.stop()
    old = [make_older(picket, letter_files(picket)[0], 9000, 9000), set_aside(picket, "0005f00000000001-0000000040", 9000)]
    picket.sql("UPDATE dead_letters SET first_failed_at = now() - interval '9000 days'")
    nothing = {"dead_letters": 0, "spilled": 0, "spilled_bytes": 0, "quarantined": 0, "quarantined_bytes": 0}
    for told in (run(picket, "--dry-run"), run(picket)):
        assert {kind: told[kind] for kind in nothing} == nothing
    picket.start()
    for _ in range(2):  # a whole run of retention lies between
        picket.sql("INSERT INTO report_ids (id, noted_at) VALUES (%s, now() - interval '2 days')", old_id(9))
        until(lambda: not picket.sql("SELECT FROM report_ids WHERE id < %s", old_id(8)), "retention does not run")
    until(lambda: health(picket)["dead_letters"] == {"waiting": 1, "retrying": 0, "spilled": 1}, lambda: health(picket))  # its files were looked at, too
    assert len(letters(picket, project)) == 1 and all(map(os.path.exists, old))
    assert run(picket, DEAD_LETTERS_DAYS=3650)["dead_letters"] == 1


# ---- attachments of events that are dropped

ATTACH = """
INSERT INTO attachments (project_id, id, event_id, received_at, sha256, size, name, content_type, attachment_type)
SELECT e.project_id, monitor_id(e.received_at, n || e.event_id::text), e.event_id, e.received_at, sha256(e.event_id::text::bytea), 7, 'of ' || n, '', ''
  FROM events e CROSS JOIN generate_series(1, 2) n WHERE e.project_id = %s AND e.received_at < date_trunc('day', now(), 'UTC') - interval '2 days'
"""
COPY_EVENT = """
INSERT INTO events SELECT project_id, monitor_id(now() - make_interval(days => %s), event_id::text), event_id, grouping_id, 0, now(), timestamp, title, level, platform,
                   release, environment, server_name, sdk_name, sdk_version, remote_addr, payload
              FROM events WHERE project_id = %s AND event_id = %s LIMIT 1
"""


def by_event(picket, project):
    """{event id: names of attachments}"""
    found = {}
    for event, name in picket.sql("SELECT event_id, name FROM attachments WHERE project_id = %s ORDER BY id", project.id):
        found.setdefault(event, []).append(name)
    return found


def attach(picket, project, event, days, name):
    picket.sql("INSERT INTO attachments VALUES (%s, %s, %s, now(), %s, 7, %s, '', '')", project.id, old_id(days), event, hashlib.sha256(name.encode()).digest(), name)


def test_attachments_go_with_sampled_events(make_picket):
    """What came with events that RETENTION_EVENTS_PER_ISSUE drops goes with them; not of events that are there, under whatever day; not of those that never
    came; nor what came for the id later, whose event may yet come."""
    away_from_midnight()
    picket = make_picket(RETENTION_EVENTS_PER_ISSUE=50).start()
    project, other = picket.new_project(), picket.new_project()
    for each in (project, other):
        fill(picket, each, 1001, 20, days=8)
        picket.sql(ATTACH, each.id)
    picket.sql("UPDATE projects SET retention_events_per_issue = 1000 WHERE id = %s", other.id)
    nobody = uuid.uuid4()
    attach(picket, project, nobody, 5, "whose event never came")
    before, others = by_event(picket, project), by_event(picket, other)
    again = [event for event in before if event != nobody][5:40]  # these came twice: some of them are dropped on the one day
    for event in again:
        picket.sql(COPY_EVENT, 0, project.id, event)
    planned = run(picket, "--dry-run")
    assert by_event(picket, project) == before and planned["attachments"] > 0
    done = run(picket)
    assert (done["attachments"], done["attachment_bytes"]) == (planned["attachments"], planned["attachment_bytes"])
    after, there = by_event(picket, project), {event for event, in picket.sql("SELECT event_id FROM events WHERE project_id = %s", project.id)}
    dropped = set(before) - set(after)
    assert after == {event: names for event, names in before.items() if event in there or event == nobody}
    assert 20 < len(dropped) < len(before) and done["attachments"] == 2 * len(dropped) and set(again) <= set(after)
    assert by_event(picket, other) == others
    assert run(picket)["attachments"] == run(picket, "--dry-run")["attachments"] == 0

    # of those that came twice, the other one goes, too
    left = [event for event, in picket.sql("SELECT event_id FROM attachment_leavings WHERE project_id = %s", project.id)]
    assert left and set(left) < set(again)
    attach(picket, project, left[0], 0, "whose event may yet come")
    picket.sql("DELETE FROM events WHERE project_id = %s AND event_id = ANY(%s)", project.id, left)
    assert run(picket)["attachments"] == 0, "looked for again in a day"
    picket.sql("UPDATE attachment_leavings SET look_at = now()")
    assert run(picket)["attachments"] == 2 * len(left)
    assert by_event(picket, project) == {left[0]: ["whose event may yet come"], **{event: names for event, names in after.items() if event not in left}}
    assert picket.sql("SELECT count(*) FROM attachment_leavings") == [(0,)]


def test_attachments_of_a_copy_that_never_came_stay(make_picket):
    """A copy is made, its swap does not come, and the rule is taken back: the events are there, and so is what came with them. Some rows at a call."""
    away_from_midnight()
    picket = make_picket().start()
    project = picket.new_project()
    fill(picket, project, 1001, 20, days=8)
    picket.sql(ATTACH, project.id)
    before = by_event(picket, project)
    ((horizon, _),) = picket.sql("SELECT horizon, at FROM retention_begin()")
    day = picket.sql("SELECT (now() AT TIME ZONE 'UTC')::date - 5")[0][0]
    ((rows, _, dropped, _, _),) = picket.sql(f"SELECT * FROM retention_copy('{day}', 1::smallint, false, {horizon}, now(), 90, 16)")
    assert rows == 20 and picket.sql("SELECT count(*) FROM attachment_leavings") == [(dropped,)] and dropped > 10
    looked = [picket.sql("SELECT looked, rows FROM retention_attachments_left(now(), 5)")[0] for _ in range((dropped + 4) // 5 + 1)]
    assert sum(n for n, _ in looked) == dropped and looked[-1] == (0, 0) and {gone for _, gone in looked} == {0} and max(n for n, _ in looked) == 5
    assert by_event(picket, project) == before
    picket.sql(f"SELECT retention_copy('{day}', 1::smallint, false, {horizon}, now(), 90, 16)")  # looked for at once behind the next copy
    picket.sql(f"SELECT retention_swap('{day}', 1::smallint, {horizon}, 200)")
    gone = [picket.sql("SELECT looked, rows FROM retention_attachments_left(now(), 3)")[0] for _ in range(dropped + 4)]
    assert sum(n for _, n in gone) == 2 * dropped and max(n for _, n in gone) <= 3 and gone[-1] == (0, 0)
    assert len(by_event(picket, project)) == len(before) - dropped
    picket.sql("DELETE FROM projects WHERE id = %s", project.id)


# ---- what is told

OLD_ROWS = """
INSERT INTO feedback SELECT %(p)s, monitor_id(now() - interval '100 days', n::text), NULL, NULL, now(), '', '', 'old', '', '', '', '' FROM generate_series(1, 3) n;
INSERT INTO check_ins (project_id, id, monitor_id, environment_id, status, started_at, opened)
SELECT %(p)s, monitor_id(now() - interval '100 days', n::text), 1, 1, 'ok', now(), false FROM generate_series(1, 4) n;
INSERT INTO outcomes SELECT %(p)s, date_trunc('hour', now()) - interval '100 days', n, 0, '', 0, 1 FROM generate_series(1, 5) n;
INSERT INTO outcomes SELECT 999999, date_trunc('hour', now()) - interval '100 days', n, 0, '', 0, 1 FROM generate_series(1, 2) n;
INSERT INTO release_hours SELECT %(p)s, n::text, '', date_trunc('hour', now()) - interval '100 days', 1, 1, 0, 0, 0, 0 FROM generate_series(1, 6) n;
INSERT INTO release_users SELECT %(p)s, n::text, '', date_trunc('hour', now()) - interval '100 days', gen_random_uuid(), false, false FROM generate_series(1, 7) n;
INSERT INTO session_states SELECT %(p)s, gen_random_uuid(), '', '', now(), true, false, 0, now() - interval '7 days' FROM generate_series(1, 8) n;
INSERT INTO report_ids SELECT monitor_id(now() - interval '100 days', n::text), now() - make_interval(days => n % 2 * 2) FROM generate_series(1, 18) n;
INSERT INTO attachments SELECT %(p)s, monitor_id(now() - interval '100 days', n::text), gen_random_uuid(), now(), sha256(n::text::bytea), 11, '', '', ''
  FROM generate_series(1, 10) n
"""


def test_each_kind_is_told(make_picket):
    """`picket retention run`, as JSON and in words, and what --dry-run says before: each kind, exactly, and a dry run takes nothing away."""
    picket = make_picket(RETENTION_DAYS=90).start()
    picket.wait_sample()
    project = picket.new_project()
    accepted(project.post(wire.envelope({}, wire.item("attachment", b"123456", filename="unnamed"))))
    row, = wait_attachments(project, 1)
    project.api.delete(f"{project.path}/attachments/{row['id']}")
    for path in stored(picket):
        os.utime(path, (time.time() - 7200,) * 2)
    before = run(picket, "--dry-run")
    for statement in OLD_ROWS.replace("%(p)s", str(project.id)).split(";"):
        picket.sql(statement)
    insert_letter(picket, project, b"{}", first_failed_at=days_ago(31))
    planned = run(picket, "--dry-run")
    expected = {"feedback": 3, "check_ins": 4, "outcomes": 7, "sessions": 21, "others": 9, "dead_letters": 1, "attachments": 10, "attachment_bytes": 110, "files": 1,
                "file_bytes": 6, "spilled": 0, "spilled_bytes": 0, "quarantined": 0, "quarantined_bytes": 0}
    assert before == {**dict.fromkeys(KINDS, 0), "files": 1, "file_bytes": 6} and planned == expected
    words = picket.command("retention", "run", "--dry-run")
    assert "would drop 3 feedback, 4 check-ins, 7 outcomes, 21 sessions, 9 other notes, 1 dead letters\n" in words
    assert "would drop 10 attachments of 110 bytes; would free 1 files of 6 bytes\n" in words
    assert run(picket) == expected
    assert run(picket) == run(picket, "--dry-run") == dict.fromkeys(KINDS, 0)
    assert picket.command("retention", "run").startswith("dropped 0 events, 0 bytes, of 0 days: nothing is due\n")
    assert attachments(project) == [] and stored(picket) == {}
