"""schemathesis makes requests from the document, such as fit it and such as do not, and sends them to a Picket of its own: no 5xx, no status, type or body
that the document does not tell of. In rounds of a few requests for each operation, until the time is over; SCHEMATHESIS_SEED repeats a run."""
import os
import time

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import strategies
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_headers_conformance, response_schema_conformance, status_code_conformance

import wire
from client import Api
from test_traversal import World

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]
SECONDS, EXAMPLES = 40, 4
# What is made up hits nothing that is there, such as the token in use: numbers of this Picket's rows begin here.
FIRST_ID = 1_234_567_000
ENVELOPES = strategies.one_of(
    strategies.binary(max_size=200),
    strategies.lists(strategies.dictionaries(strategies.text(max_size=20), strategies.text(max_size=20), max_size=5), max_size=3).map(
        lambda events: wire.envelope({}, *(wire.item("event", event) for event in events))))
schemathesis.openapi.media_type("application/x-sentry-envelope", ENVELOPES)
ENDS = ("DELETE", "/retry")  # of what is there, once


@pytest.fixture
def world(make_picket):
    picket = make_picket(ALLOW_REGISTRATION="true")
    for name, in picket.sql("SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename) FROM pg_sequences"):
        picket.sql("SELECT setval(%s::regclass, %s)", name, FIRST_ID)
    return World(picket.start())


class Robot:
    def __init__(self, world, seed):
        self.world, self.seed = world, seed
        self.session = requests.Session()
        self.session.trust_env = False
        self.schema = schemathesis.openapi.from_dict(Api(world.picket.url).read("/api/openapi.json"))
        self.operations = [found.ok() for found in self.schema.get_all_operations()]
        self.statuses, self.failures, self.sent = {operation.label: set() for operation in self.operations}, [], 0

    def headers(self, operation):
        headers = self.world.project.auth if operation.definition.raw["x-access"] == "ingest" else self.world.picket.api.headers
        return {**headers, "Connection": "keep-alive"}

    def known(self, operation):
        """What the path's parameters may name, but where it would be gone then."""
        if operation.method.upper() in ENDS or operation.path.endswith(ENDS):
            return None
        values = self.world.ingest if operation.definition.raw["x-access"] == "ingest" else self.world.valid
        return {one.name: values[one.name] for one in operation.path_parameters if one.name in values}

    def send(self, case, operation):
        answer = case.call(base_url=self.world.picket.url, session=self.session, headers=self.headers(operation), timeout=30)
        self.sent += 1
        self.statuses[operation.label].add(answer.status_code)
        empty = not answer.content and operation.definition.raw["responses"].get(str(answer.status_code), {}).get("x-may-be-empty")
        case.validate_response(answer, checks=CHECKS[:2] if empty else CHECKS)

    def round(self, operation, mode, path_parameters, number):
        strategy = operation.as_strategy(generation_mode=mode, path_parameters=path_parameters)

        @hypothesis.seed(self.seed + number)
        @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=False, report_multiple_bugs=False,
                             suppress_health_check=list(hypothesis.HealthCheck), verbosity=hypothesis.Verbosity.quiet,
                             phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink])
        @hypothesis.given(strategy)
        def run(case):
            self.send(case, operation)

        try:
            run()
        except hypothesis.errors.Unsatisfiable:  # nothing in it can be wrong
            pass
        except (Exception, BaseExceptionGroup) as e:  # pylint: disable=broad-exception-caught  # schemathesis' failures, alone or in groups
            self.failures.append(f"{operation.label} ({mode}): {describe(e)}")


def describe(e):
    parts = [str(one) for one in getattr(e, "exceptions", [e])]
    return "; ".join(parts)[:2000]


def test_schemathesis(world):
    seed = int(os.environ.get("SCHEMATHESIS_SEED", "7"))
    print(f"SCHEMATHESIS_SEED={seed}")
    robot = Robot(world, seed)
    end = time.monotonic() + SECONDS
    rounds = 0
    while rounds == 0 or (time.monotonic() < end and not robot.failures):
        for operation in robot.operations:
            if rounds > 0 and time.monotonic() > end:
                break
            known = robot.known(operation)
            if known is not None:
                robot.round(operation, GenerationMode.POSITIVE, known, rounds)
                robot.round(operation, GenerationMode.NEGATIVE, known, rounds)
            if known != {}:
                robot.round(operation, GenerationMode.POSITIVE, None, rounds)
        rounds += 1
    print(f"{robot.sent} requests in {rounds} rounds")
    assert not robot.failures, f"SCHEMATHESIS_SEED={seed}: {len(robot.failures)} failures\n" + "\n".join(robot.failures)
    good = [label for label, statuses in robot.statuses.items() if any(200 <= status < 300 for status in statuses)]
    assert len(good) >= len(robot.operations) // 2, f"hardly anything was taken: {robot.statuses}"
    assert world.picket.api.read("/auth/me")["id"] > FIRST_ID and world.picket.is_alive()
