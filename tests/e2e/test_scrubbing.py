"""What must not be stored is not stored (protocol §5.15; src/event/scrub.c): not in the payload, not in a column, not in any answer of the API."""
import json
import uuid

import zstandard

import wire

CARD = "4111 1111 1111 1111"
SECRETS = ["hunter2", "c00kie-value", CARD, "eyJzdWIiOiJhbm4ifQ", "MIIEpAIBAAKCAQEA", "query-secret", "form-secret", "db-secret"]
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"


def event():
    return wire.message_event(
        f"payment with {CARD} failed", platform="python", tags=[["api_key", "hunter2"], ["color", "blue"]],
        extra={"password": "hunter2", "nested": [{"db_secret": "hunter2"}], "kept": "visible", "pem": PEM, "dsn": "postgres://app:db-secret@db/shop"},
        request={"url": "https://shop.test/pay?token=query-secret&page=2", "method": "POST", "data": '{"user": "ann", "password": "form-secret"}',
                 "headers": [["Cookie", "sid=c00kie-value; theme=dark"], ["Authorization", "Bearer eyJzdWIiOiJhbm4ifQ"], ["Accept", "*/*"]],
                 "cookies": {"sessionid": "c00kie-value", "theme": "dark"}})


def unpacked(payload):
    return zstandard.ZstdDecompressor().decompress(payload, max_output_size=1 << 20)


def answers(project, issue, event_id):
    """Every text that the API shows of the event."""
    row = project.find(event_id)["id"]
    base = f"{project.path}/issues/{issue['id']}"
    for path in [project.path, f"{project.path}/issues", base, f"{base}/events", f"{base}/events/{row}"]:
        yield path, project.api.get(path).text


def test_nowhere(picket, project):
    sent = event()
    event_id, = project.send(sent)
    data = project.find(event_id)["data"]
    issue, = project.issues()
    seen = list(answers(project, issue, event_id))
    for path, text in seen:
        assert not [secret for secret in SECRETS if secret in text], path
    assert any("visible" in text for _, text in seen)
    assert data["extra"] == {"password": "[Filtered]", "nested": [{"db_secret": "[Filtered]"}], "kept": "visible",
                             "pem": PEM.replace("MIIEpAIBAAKCAQEA", "[Filtered]"), "dsn": "postgres://[Filtered]@db/shop"}
    assert "payment with [creditcard] failed" in issue["title"]
    assert data["_meta"]["extra"]["password"] == {"": {"rem": [["@password:filter", "s", 0, 10]]}}


def test_not_in_the_table(picket, project):
    event_id, = project.send(event())
    project.find(event_id)
    columns = json.dumps(picket.sql("SELECT to_jsonb(e) - 'payload' FROM events e WHERE project_id = %s", project.id), default=str)
    issues = json.dumps(picket.sql("SELECT to_jsonb(i) FROM issues i WHERE project_id = %s", project.id), default=str)
    (payload,), = picket.sql("SELECT payload FROM events WHERE project_id = %s", project.id)
    stored = unpacked(payload).decode()
    for text in (columns, issues, stored):
        assert not [secret for secret in SECRETS if secret in text]
    assert "[creditcard]" in stored and "visible" in stored and "theme" in stored


def test_what_has_no_secrets_is_stored_as_it_came(picket, project):
    payload = b' {"event_id":"%s" , "extra" : {"a":1.50e3,"b":"\\/","author":"ann"}, "message":"auth: user 17 not found"} '
    event_id = uuid.uuid4().hex
    payload %= event_id.encode()
    _, body = wire.raw_event_envelope(payload, event_id)
    assert project.post(body).status_code == 200
    project.find(event_id)
    (stored,), = picket.sql("SELECT payload FROM events WHERE project_id = %s", project.id)
    assert unpacked(stored) == payload
