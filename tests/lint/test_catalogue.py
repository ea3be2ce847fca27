"""The protocol's catalogue of black-box tests (§10.1–10.5) against what there is: tests/e2e/catalogue.jsonl has a line for everything that a row of it
asserts, with the tests that show it, or why there is none, or where Picket departs from it. A test is named by its file and its function, with the
case in brackets where it is one of a table; a file of cases (JSON lines) by the case's name."""
import collections
import json
import os
import re

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(ROOT, "tests", "e2e", "catalogue.jsonl"), encoding="utf-8") as table:
    LINES = [json.loads(line) for line in table]

# The rows of each section by their order, and how many lines they take at least: a line that gets lost is missed.
ROWS = {
    "10.1": ["test_store", "test_store_node_base64", "test_store_pixel_gif", "test_store_post_trailing_slash", "legacy path", "test_store_allowed_origins",
             "test_zipbomb_content_encoding", "test_compression", "bad compression", "test_corp_response_header", "test_size_limit_status_code",
             "chunked body, Expect: 100-continue, HTTP/1.0", "test_forwarding cases", "upstream body too large / slow upstream", "test_live / test_readiness",
             "test_security_report preflight", "test_security_report expose"],
    "10.2": ["authentication matrix"],
    "10.3": ['{} ; {}\\n ; {"event_id":"…"}', "test_envelope_empty", "empty body / body \\n", "two attachments of length 0", "item without length",
             "length shorter than payload", "length longer than rest", "header not JSON / not UTF-8", "event of \\xff\\xfe\\xfd", "two sent_at keys",
             "event_id with dashes and upper case", "test_unknown_item / test_drop_unknown_item", "test_envelope_close_connection",
             "31 attachments / 101 session items / 26 legacy spans / second check_in"],
    "10.4": ["test_attachments.py", "test_attachment_ref.py, test_upload.py", "test_attachmentsv2.py", "test_minidump.py", "test_unreal.py", "test_playstation.py",
             "test_security_report.py", "test_nel.py", "test_client_report.py", "test_session.py", "test_monitors.py", "test_feedback.py", "test_ourlogs.py",
             "test_trace_metrics.py", "test_spansv2.py, test_spans*.py", "test_otlp_logs.py, test_spansv2_otel.py", "test_vercel_logs.py / test_heroku_logs.py",
             "test_ai.py", "test_profile_chunks.py",
             "test_replay_events.py, test_replay_recordings.py, test_replay_combined_payload.py, test_replay_videos.py", "test_outcome.py",
             "test_dynamic_sampling.py"],
    "10.5": ["full normalisation fixture", "store processing adds", "test_clock_drift", "future / past timestamps", "test_store_pii_stripping",
             "test_pii: logentry.formatted", "test_pii: span.data", "ip removal remark", "normalize measurement", "ops breakdowns", "filters", "quotas",
             "test_event_timeout", "rate limit header"],
}
SEVERAL = {"test_zipbomb_content_encoding": 3, "chunked body, Expect: 100-continue, HTTP/1.0": 3, "authentication matrix": 20,
           "31 attachments / 101 session items / 26 legacy spans / second check_in": 4, "test_attachments.py": 7, "test_attachment_ref.py, test_upload.py": 2,
           "test_minidump.py": 16, "test_unreal.py": 4, "test_security_report.py": 5, "test_client_report.py": 3, "test_session.py": 8, "test_monitors.py": 6,
           "test_feedback.py": 4, "test_outcome.py": 5, "test_clock_drift": 2, "future / past timestamps": 2, "filters": 3}


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def is_there(name):
    path, _, test = name.partition("::")
    if not os.path.isfile(os.path.join(ROOT, path)):
        return False
    if path.endswith(".jsonl"):
        return any(json.loads(line)["name"] == test for line in read(path).splitlines() if line)
    function, _, case = test.partition("[")
    form = r"^static void %s\(void \*\*" if path.endswith(".c") else r"^def %s\("
    text = read(path)
    return re.search(form % re.escape(function), text, re.M) is not None and (not case or f'"{case[:-1]}"' in text)


def test_every_row_is_there():
    found = {}
    for line in LINES:
        rows = found.setdefault(line["section"], [])
        if line["row"] not in rows:
            rows.append(line["row"])
    assert found == ROWS


def test_every_part_of_a_row_is_there():
    counts = collections.Counter(line["row"] for line in LINES)
    assert {row: n for row, n in counts.items() if n > 1} == SEVERAL
    names = [(line["section"], line["row"], line["what"]) for line in LINES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line['section']} {line['row']}: {line['what']}"[:100])
def test_named(line):
    assert set(line) <= {"section", "row", "what", "tests", "why"}
    assert line.get("tests") or line.get("why"), "neither a test nor a reason"
    assert [name for name in line.get("tests", []) if not is_there(name)] == []


def test_what_is_not_there_is_missed():
    assert not is_there("tests/e2e/test_store.py::test_nothing") and not is_there("tests/e2e/test_nothing.py::test_store")
    assert not is_there("tests/e2e/test_store.py::test_store[no such case]") and not is_there("tests/unit/data/scrub.jsonl::no such case")
    assert not is_there("tests/unit/test_security.c::nothing")
