"""kill -9 of Picket at random moments under full load: while it works, while it starts, while it stops (S1–S6). One run of the load generator
over all rounds reconnects and repeats; whatever it was told 200 for is stored once at the end."""
import random
import signal
import time

import pytest

import figures
from load import REFUSALS


def at_a_random_moment(within):
    """Part of the fault: nothing is waited for here."""
    time.sleep(random.uniform(0, within))


def kill_working(picket):
    at_a_random_moment(0.3)
    picket.kill()


def kill_stopping(picket):
    picket.process.send_signal(signal.SIGTERM)
    at_a_random_moment(0.1)
    picket.kill()


def kill_starting(picket):
    picket.kill()
    for _ in range(2):
        picket.start(ready=False)
        at_a_random_moment(0.1)
        picket.kill()


def change_an_issue(picket):
    """As somebody does who looks at them. Who resolves one is contradicted by the next event, who mutes one is not."""
    picket.sql("""UPDATE issues i SET is_resolved = c.resolves, is_muted = NOT c.resolves
                    FROM (SELECT project_id, id, random() < 0.5 AS resolves FROM issues ORDER BY gen_random_uuid() LIMIT 1) c
                   WHERE i.project_id = c.project_id AND i.id = c.id""")


WAYS = [kill_working, kill_working, kill_starting, kill_stopping]


@pytest.mark.parametrize("private, quick, long", [(False, 20, 200), (True, 4, 40)], ids=["own database", "private cluster"])
def test_kill_under_load(make_site, private, quick, long):
    site = make_site(private=private, SPOOL_DELAY_SECS=2)
    rounds = figures.amount(quick, long)
    run = site.load(connections=32, repeat=5)
    for n in range(rounds):
        WAYS[n % len(WAYS)](site.picket)
        site.picket.start()
        change_an_issue(site.picket)
        run.wait_progress()
    counted = run.stop(site.promises, statuses=REFUSALS)
    assert counted["lost_connections"] >= rounds
    result = site.check(seconds=60)
    figures.record("picket killed (-9)" + (", private cluster" if private else ""), rounds, result, unanswered=counted["unknown"])


def test_kill_while_it_counts(make_site):
    """Too little comes for a backlog, for which the roll-up of tags and users would wait: it folds at each start and then every second."""
    site = make_site()
    rounds = figures.amount(8, 80)
    run = site.load(connections=4, rate=400, repeat=5)
    for _ in range(rounds):
        at_a_random_moment(1.2)
        site.picket.kill()
        site.picket.start()
        run.wait_progress()
    run.stop(site.promises, statuses=REFUSALS)
    folds, = site.picket.sql("SELECT count(DISTINCT t.xmin::text) FROM issue_tags t")[0]
    assert folds > 1
    figures.record("picket killed (-9) while it counts tags", rounds, site.check(seconds=60))
