"""A disk that stands still for a while: what a request has in hand then is not in the database, and nobody is accused for it (src/digest/monitors.c)."""
import os
import threading
import uuid

import pytest

import wire
from test_nth import LIBRARY
from waiting import until


def check_in():
    return wire.item("check_in", {"check_in_id": uuid.uuid4().hex, "monitor_slug": "job", "status": "ok",
                                  "monitor_config": {"schedule": {"type": "interval", "value": 1, "unit": "hour"}, "checkin_margin": 1}})


def statuses(site):
    return sorted(status for status, in site.picket.sql("SELECT status FROM check_ins WHERE project_id = %s", site.project.id))


@pytest.fixture
def held(make_site, cluster):
    """A Picket whose syncs wait for as long as `held.file` exists. On its own database: nobody is accused for a while where others ended lately."""
    site = make_site(start=False, url=cluster.new_database())
    calls, site.file = site.directory.join("calls"), site.directory.join("hold")
    with open(calls, "wb") as f:
        f.write(bytes(8))
    os.chmod(calls, 0o666)
    site.picket.settings.update(LD_PRELOAD=LIBRARY, NTH_KIND="sync", NTH=0, NTH_ACTION="hold", NTH_FILE=calls, NTH_HOLD=site.file)
    yield site.start()
    if os.path.exists(site.file):
        os.unlink(site.file)


# In a worker's hands the bytes of an attachment are to be synced before there is a record; in the spool's the record is.
@pytest.mark.parametrize("items", [[wire.item("attachment", b"bytes", filename="a.txt")], []], ids=["in a worker", "in the spool"])
def test_a_check_in_that_waits_is_not_missed(held, items):
    """Its run is due 2 s after it came, and is judged when it is stored, which takes 12 s."""
    event_id = uuid.uuid4().hex
    assert held.project.post(wire.envelope({}, check_in())).status_code == 200
    until(lambda: statuses(held) == ["ok"], lambda: statuses(held))
    open(held.file, "wb").close()
    answers = []
    sender = threading.Thread(target=lambda: answers.append(held.project.post(wire.envelope({"event_id": event_id}, *items, check_in())).status_code), daemon=True)
    begun = held.picket.sql("SELECT clock_timestamp()")[0][0]
    sender.start()
    held.picket.sql("UPDATE monitor_environments SET next_expected_at = %s::timestamptz - interval '58 s', next_latest_at = %s::timestamptz + interval '2 s' "
                    "WHERE project_id = %s", begun, begun, held.project.id)
    until(lambda: held.picket.sql("SELECT clock_timestamp() > %s::timestamptz + interval '12 s'", begun) == [(True,)], "time stands still", 20)
    assert statuses(held) == ["ok"] and not answers
    os.unlink(held.file)
    sender.join(20)
    assert answers == [200]
    until(lambda: statuses(held) == ["ok", "ok"], lambda: statuses(held))


def test_what_nobody_sent_is_missed(held):
    """The same without the second check-in: so the times of the test above are those of a run that is missed."""
    assert held.project.post(wire.envelope({}, check_in())).status_code == 200
    until(lambda: statuses(held) == ["ok"], lambda: statuses(held))
    held.picket.sql("UPDATE monitor_environments SET next_expected_at = now() - interval '58 s', next_latest_at = now() + interval '2 s' WHERE project_id = %s",
                    held.project.id)
    until(lambda: statuses(held) == ["missed", "ok"], lambda: statuses(held), 30)
