"""What is stored leaves the spool long before it is forgotten what was stored (S7 of src/spool/spool.c, include/picket/digest/digest.h): nothing twice, also
where nobody knows any more how far the digest was."""
import os
import re

import wire
from test_outcomes import accepted_without_id, forget_cursor, report, totals, wait_totals
from waiting import until

DIGEST_H = os.path.join(os.path.dirname(__file__), "..", "..", "include", "picket", "digest", "digest.h")


def segments(picket):
    return [name for name in os.listdir(os.path.join(picket.settings["DATA_DIR"], "spool")) if name.endswith(".seg")]


def send_some(project, n):
    for i in range(n):
        project.send(wire.error_event(value=f"{i % 3}"))
        accepted_without_id(project.post(wire.envelope({}, report(("queue_overflow", "error", 1)))))


def test_what_is_stored_leaves_a_quiet_spool(make_picket):
    """A server to which nothing comes any more, killed, with both cursors lost, after the database has forgotten what it stored: nothing is counted twice."""
    picket = make_picket(SPOOL_SEGMENT_SECS=1).start()
    project = picket.new_project()
    send_some(project, 20)
    project.wait_count(20)
    wanted = {("error", "accepted", ""): 20, ("error", "client_discard", "queue_overflow"): 20}
    wait_totals(project, wanted)
    until(lambda: not segments(picket), lambda: f"{segments(picket)} are still there", 20)
    picket.kill()
    forget_cursor(picket)
    picket.sql("TRUNCATE digest_batches, report_ids")
    picket.start()
    send_some(project, 1)  # takes the same way, behind all that could come again
    project.wait_count(21)
    wait_totals(project, {name: n + 1 for name, n in wanted.items()})
    project.drain()
    assert totals(project) == {name: n + 1 for name, n in wanted.items()} and project.count() == 21


def test_one_cursor_is_enough(make_picket):
    """The quick one is empty, as after a cut of power: what was stored in the segment that is still there does not come again."""
    picket = make_picket(SPOOL_SEGMENT_SECS=3600).start()
    project = picket.new_project()
    send_some(project, 5)
    project.wait_count(5)
    wanted = {("error", "accepted", ""): 5, ("error", "client_discard", "queue_overflow"): 5}
    wait_totals(project, wanted)
    picket.stop()
    assert len(segments(picket)) == 1
    with open(os.path.join(picket.settings["DATA_DIR"], "spool", "cursor"), "wb"):
        pass
    picket.sql("TRUNCATE digest_batches, report_ids")
    picket.start()
    send_some(project, 1)
    project.wait_count(6)
    project.drain()
    wait_totals(project, {name: n + 1 for name, n in wanted.items()})
    assert "cursor could not be read" not in picket.said()


def test_notes_stay_as_long_as_is_said(make_picket):
    """Retention forgets the notes by which a second delivery is told after the days that digest.h counts on, and not before."""
    with open(DIGEST_H, encoding="utf-8") as file:
        days = {name: int(n) for name, n in re.findall(r"\b(DIGEST_\w+_DAYS) = (\d+)", file.read())}
    picket = make_picket().start()
    for i, age in enumerate(("- 1", "+ 1")):  # hours
        picket.sql(f"""INSERT INTO digest_batches (id, node, segment, from_offset, to_offset, records, events, digested_at)
                       SELECT {i - 2}, gen_random_uuid(), 1, 64, 128, 1, 1, now() - make_interval(hours => 24 * {days['DIGEST_RANGES_DAYS']} {age})""")
        picket.sql(f"""INSERT INTO report_ids SELECT monitor_id(now() - make_interval(hours => 24 * {days['DIGEST_REPORTS_DAYS']} {age}), 'x'),
                                                    now() - interval '2 days'""")
    picket.sql("INSERT INTO report_ids SELECT monitor_id(now() - interval '100 days', 'y')")  # of an old backlog: digested just now
    ages = ("SELECT round(extract(epoch FROM now() - digested_at) / 3600)::int FROM digest_batches WHERE segment = 1", "SELECT count(*)::int FROM report_ids")
    before = [picket.sql(query) for query in ages]
    picket.command("retention", "run")
    after = [picket.sql(query) for query in ages]
    assert after[0] == [(24 * days["DIGEST_RANGES_DAYS"] - 1,)] and len(before[0]) == 2, (before, after)
    assert before[1][0][0] - after[1][0][0] == 1, (before, after)
