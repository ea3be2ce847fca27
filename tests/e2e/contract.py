"""The strict side of the contract (§7.2): what the dashboard's own validation lets pass. A table per schema; every field is checked for
presence, null and format. Extra fields are fine there, so they are here."""
import datetime
import re

DATETIME = re.compile(r"(\d{4}-\d\d-\d\d)T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?Z")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.I)
EMAIL = re.compile(r"(?!\.)(?!.*\.\.)[A-Za-z0-9_'+\-.]*[A-Za-z0-9_+\-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}")


def is_datetime(value):
    match = DATETIME.fullmatch(value) if isinstance(value, str) else None
    if not match:
        return False
    try:
        datetime.date.fromisoformat(match.group(1))
        return True
    except ValueError:
        return False


def is_uuid(value):
    return isinstance(value, str) and (bool(UUID.fullmatch(value)) or value in ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"))


def is_int(value):
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


FORMATS = {
    "int": is_int,
    "string": lambda v: isinstance(v, str),
    "bool": lambda v: isinstance(v, bool),
    "datetime": is_datetime,
    "uuid": is_uuid,
    "email": lambda v: isinstance(v, str) and bool(EMAIL.fullmatch(v)),
    "record": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "ints": lambda v: isinstance(v, list) and all(is_int(n) for n in v),
    "channel_type": lambda v: v in ("webhook", "email", "slack"),
    "alert_type": lambda v: v in ("new_issue", "regression", "unmute"),
    "alert_status": lambda v: v in ("pending", "sent", "failed", "skipped"),
}

# "format" required and not null, "format|null" required, "format?" may be absent but not null.
PROJECT = {"id": "int", "name": "string", "slug": "string", "sentry_key": "uuid", "dsn": "string", "stored_event_count": "int",
           "digested_event_count": "int", "created_at": "datetime", "updated_at": "datetime"}
OFFSET_PAGE = {"items": "array", "total_count": "int", "page": "int", "per_page": "int", "total_pages": "int"}
ISSUE = {"id": "uuid", "project_id": "int", "short_id": "string", "title": "string", "value": "string", "first_seen": "datetime",
         "last_seen": "datetime", "event_count": "int", "level": "string|null", "platform": "string|null", "is_resolved": "bool", "is_muted": "bool"}
CURSOR_PAGE = {"items": "array", "next_cursor": "string?", "has_more": "bool"}
EVENT = {"id": "uuid", "event_id": "uuid", "issue_id": "uuid", "title": "string", "timestamp": "datetime", "level": "string", "platform": "string",
         "release": "string", "environment": "string"}
EVENT_DETAIL = {**EVENT, "ingested_at": "datetime", "server_name": "string", "sdk_name": "string", "sdk_version": "string", "data": "record"}
TOKEN = {"id": "int", "token_prefix": "string", "description": "string|null", "created_at": "datetime", "last_used_at": "datetime|null"}
TOKEN_CREATED = {"id": "int", "token": "string", "description": "string|null", "created_at": "datetime"}
CHANNEL = {"id": "int", "name": "string", "channel_type": "channel_type", "config": "record", "is_enabled": "bool", "failure_count": "int",
           "last_failure_at": "datetime|null", "last_failure_message": "string|null", "last_success_at": "datetime|null", "created_at": "datetime",
           "updated_at": "datetime"}
CHANNEL_TEST = {"success": "bool", "message": "string"}
RULE = {"id": "int", "project_id": "int", "name": "string", "alert_type": "alert_type", "is_enabled": "bool", "conditions": "record", "cooldown_minutes": "int",
        "last_triggered_at": "datetime|null", "created_at": "datetime", "updated_at": "datetime", "channel_ids": "ints"}
ALERT = {"id": "int", "alert_rule_id": "int|null", "channel_id": "int|null", "issue_id": "uuid|null", "project_id": "int|null", "alert_type": "string",
         "channel_type": "string", "channel_name": "string", "status": "alert_status",
         "attempt_count": "int", "next_retry_at": "datetime|null", "error_message": "string|null", "http_status_code": "int|null",
         "idempotency_key": "string", "created_at": "datetime", "sent_at": "datetime|null"}
USER = {"id": "int", "email": "email", "is_admin": "bool"}


def check(schema, value):
    """Asserts that the value passes the schema, and returns it."""
    assert isinstance(value, dict), value
    for name, rule in schema.items():
        kind = rule.rstrip("?").removesuffix("|null")
        if name not in value:
            assert rule.endswith("?"), f"{name} is missing in {value}"
        elif value[name] is None:
            assert rule.endswith("|null"), f"{name} is null in {value}"
        else:
            assert FORMATS[kind](value[name]), f"{name}: {value[name]!r} is not {kind}"
    return value


def check_page(page_schema, item_schema, value):
    check(page_schema, value)
    for item in value["items"]:
        check(item_schema, item)
    if page_schema is CURSOR_PAGE:
        assert value["has_more"] == ("next_cursor" in value)
    return value


def check_error(answer, status, type=None):
    """decisions.md "error bodies": {"error","message","type"}, the first two alike and a sentence."""
    assert answer.status_code == status, f"{answer.status_code} instead of {status}: {answer.text[:300]}"
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert isinstance(body["error"], str) and body["error"], body
    assert body["message"] == body["error"], body
    assert isinstance(body["type"], str) and body["type"], body
    if type:
        assert body["type"] == type, body
    return body


def check_ingest_error(answer, status):
    """protocol §1.5: {"detail", "causes"?} and X-Sentry-Error; CORS lets browsers read them (§1.3)."""
    assert answer.status_code == status, f"{answer.status_code} instead of {status}: {answer.text[:300]}"
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert isinstance(body["detail"], str) and body["detail"], body
    assert all(isinstance(cause, str) for cause in body.get("causes", ["-"])), body
    assert answer.headers.get("X-Sentry-Error"), dict(answer.headers)
    assert answer.headers.get("Access-Control-Allow-Origin") == "*"
    return body
