"""Payloads that are packed with their project's own dictionary (src/digest/dictionaries.c): smaller rows that read as before, and nobody's words in what outlives
them."""
import json
import re
import uuid

import pytest

import described
import wire
from test_erasures import erase, users_left
from waiting import until

FIRST = 32  # the numbers of projects' dictionaries


@pytest.fixture
def picket(make_picket):
    """Of its own: an erased person's events are still counted."""
    return make_picket().start()


def frames(seed):
    return [{"filename": f"shop/module_{n % 7}.py", "abs_path": f"C:\\Users\\ada\\module_{n % 7}.py", "function": f"function_{n}", "lineno": n, "in_app": True,
             "context_line": f"    total = price({n}) * amount", "pre_context": [f"def function_{n}(order):", "    price = prices.get(order)"],
             "vars": {"order": f"order-{seed}"}} for n in range(seed % 40, seed % 40 + 12)]


def event(number, person):
    return wire.error_event(f"Error{number % 5}", f"{person} did it", event_id=uuid.uuid4().hex, platform="python",
                            user={"id": person, "email": f"{person}@people.example"}, tags={"customer": person}, extra={person: person},
                            exception={"values": [{"type": f"Error{number % 5}", "value": f"{person} did it", "stacktrace": {"frames": frames(number)}}]})


def numbers(picket, project):
    """By event id: the dictionary that its row is packed with; 0: the release's."""
    return dict(picket.sql(f"SELECT event_id::text, coalesce(payload_dictionary_number(payload), 0)::int FROM events WHERE project_id = {project.id}"))


def test_rows_of_a_dictionary(picket, project):
    """As many as it takes, and as many afterwards: all are answered as they came, the people are nowhere else, and one of them can be erased."""
    sent = {}
    people = [f"person{n}" for n in range(9)]

    def packed_with_own():
        more = [event(len(sent) + n, people[(len(sent) + n) % len(people)]) for n in range(40)]
        project.send(*more)
        sent.update((e["event_id"], e) for e in more)
        project.wait_count(len(sent))
        return [n for n in numbers(picket, project).values() if n >= FIRST]

    until(packed_with_own, "no row is packed with a dictionary of the project's", 60)
    packed = numbers(picket, project)
    summaries = {uuid.UUID(e["event_id"]).hex: e for e in project.all_events()}
    assert set(summaries) == set(sent)
    for event_id in (next(i for i, n in packed.items() if n >= FIRST), next(i for i, n in packed.items() if n == 0)):
        found, was = summaries[uuid.UUID(event_id).hex], sent[uuid.UUID(event_id).hex]
        assert project.api.read(f"{project.issue_path({'id': found['issue_id']})}/events/{found['id']}/raw") == was
        assert project.detail(found)["data"]["user"]["id"] == was["user"]["id"]
    contents = [bytes(c) for (c,) in picket.sql(f"SELECT content FROM payload_dictionaries WHERE project_id = {project.id}")]
    assert contents and b"function_" in contents[0]
    assert not any(re.search(rb"person\d|people|Users|order-|did it", c) for c in contents)
    before = users_left(project)
    erase(picket, project, "id:person3")
    assert users_left(project) == [p for p in before if p != "person3"]


def look(project, path):
    with described.failing():
        return project.api.get(path).status_code


def test_a_damaged_dictionary(picket, project):
    """Of rows that need one that is gone the API says so, and the others are answered."""
    while not any(n >= FIRST for n in numbers(picket, project).values()):
        project.send(*(event(n, "person") for n in range(40)))
        project.drain()
    picket.sql(f"DELETE FROM payload_dictionaries WHERE project_id = {project.id}")
    packed = numbers(picket, project)
    answers = {}
    for found in project.all_events():
        path = f"{project.issue_path({'id': found['issue_id']})}/events/{found['id']}/raw"
        answers.setdefault(packed[str(uuid.UUID(found["event_id"]))] >= FIRST, set()).add(look(project, path))
    assert answers == {True: {500}, False: {200}}
    assert json.loads(picket.run("status", "--json").stdout)
