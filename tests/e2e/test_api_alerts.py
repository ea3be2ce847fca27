"""Alert channels and rules: contract R21 – R32 (§1.15, §1.16, §4.2). They are stored, checked and masked; nothing is sent yet."""
import concurrent.futures
import uuid

import psycopg
import pytest

import server
from client import Api
from contract import CHANNEL, CHANNEL_TEST, RULE, check, check_error
from waiting import until

STARS = "********"
SLACK_STARS = f"https://hooks.slack.com/services/{STARS}"
CHANNELS, NOBODY = "/api/alert-channels", 99999999
WEBHOOK = {"url": "https://hooks.example/in?a=b", "secret": "s3cret", "headers": {"Authorization": "Bearer abc", "X-Team": "ops"}, "extra": [1, None]}
SLACK = {"webhook_url": "https://hooks.slack.com/services/T0/B0/xyz", "channel": "#ops", "username": None}
EMAIL = {"recipients": ["ops@example.com"], "smtp_host": "mail.example", "smtp_port": 465, "smtp_username": "ops", "smtp_password": "pa55"}


def unique(name="channel"):
    return f"{name} {uuid.uuid4().hex}"


def nested(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return value


def make(api, kind="webhook", config=None, **more):
    answer = api.post(CHANNELS, json={"name": unique(), "channel_type": kind, "config": WEBHOOK if config is None else config, **more})
    assert answer.status_code == 201, answer.text
    return check(CHANNEL, answer.json())


def change(api, channel, **members):
    answer = api.patch(f"{CHANNELS}/{channel['id']}", json=members)
    assert answer.status_code == 200, answer.text
    return check(CHANNEL, answer.json())


def stored(picket, channel):
    return picket.sql("SELECT config FROM alert_channels WHERE id = %s", channel["id"])[0][0]


# ---- channels

def test_channels(api):
    """R21 – R25: made, listed newest first, shown, changed, removed."""
    first, second = make(api), make(api, "slack", SLACK, is_enabled=False)
    assert first["is_enabled"] and not second["is_enabled"] and first["failure_count"] == 0 and first["last_failure_at"] is None
    rows = [check(CHANNEL, row) for row in api.read(CHANNELS)]
    ids = [row["id"] for row in rows]
    assert ids == sorted(ids, reverse=True) and {first["id"], second["id"]} <= set(ids)
    assert api.read(f"{CHANNELS}/{first['id']}") == first == rows[ids.index(first["id"])]
    name = unique("other")
    changed = change(api, first, name=f" {name} ", is_enabled=False, config=None)
    assert (changed["name"], changed["is_enabled"], changed["config"]) == (name, False, first["config"])
    assert changed["updated_at"] > first["updated_at"] and changed["created_at"] == first["created_at"]
    assert api.delete(f"{CHANNELS}/{first['id']}").status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        body = {"json": {"config": WEBHOOK}} if method == "PATCH" else {}
        assert "not found" in check_error(api.request(method, f"{CHANNELS}/{first['id']}", **body), 404, "NotFound")["error"]
    api.delete(f"{CHANNELS}/{second['id']}")


@pytest.mark.parametrize("kind, config, shown", [
    ("webhook", WEBHOOK, {**WEBHOOK, "secret": STARS, "headers": {"Authorization": STARS, "X-Team": STARS}}),
    ("webhook", {"url": "http://[::1]:8080", "secret": "", "headers": None}, {"url": "http://[::1]:8080", "secret": "", "headers": None}),
    ("slack", SLACK, {**SLACK, "webhook_url": SLACK_STARS}),
    ("email", EMAIL, {**EMAIL, "smtp_password": STARS}),
])
def test_secrets_are_masked_and_survive_an_edit(picket, api, kind, config, shown):
    """§4.8 "→ Ours", §7.7 number 7: what a form sends back as it was shown is what is stored."""
    channel = make(api, kind, config)
    assert channel["config"] == shown
    for answer in (api.get(CHANNELS), api.get(f"{CHANNELS}/{channel['id']}")):
        for secret in ("s3cret", "Bearer abc", "xyz", "pa55"):
            assert secret not in answer.text
    assert stored(picket, channel) == config
    assert change(api, channel, config=shown, name=unique())["config"] == shown
    assert stored(picket, channel) == config
    api.delete(f"{CHANNELS}/{channel['id']}")


def test_an_edit_replaces_the_config(picket, api):
    """R24: members that are left out are gone, new secrets are stored, and asterisks for what was not there stand for nothing."""
    channel = make(api)
    change(api, channel, config={"url": WEBHOOK["url"], "secret": "new", "headers": {"Authorization": STARS, "X-New": "n", "X-None": STARS}})
    assert stored(picket, channel) == {"url": WEBHOOK["url"], "secret": "new", "headers": {"Authorization": "Bearer abc", "X-New": "n"}}
    change(api, channel, config={"url": "https://elsewhere.example/"})
    assert stored(picket, channel) == {"url": "https://elsewhere.example/"}
    change(api, channel, config={"url": "https://elsewhere.example/2", "secret": STARS})
    assert stored(picket, channel) == {"url": "https://elsewhere.example/2"}
    api.delete(f"{CHANNELS}/{channel['id']}")


@pytest.mark.parametrize("kind, config, changes", [
    ("webhook", WEBHOOK, {"url": "https://thief.example/in?a=b", "secret": STARS, "headers": {}}),
    ("webhook", WEBHOOK, {"url": "https://hooks.example:444/in", "headers": {"Authorization": STARS}, "secret": None}),
    ("webhook", WEBHOOK, {"url": "http://hooks.example/in?a=b", "secret": STARS}),
    ("webhook", WEBHOOK, {"url": "https://hooks.example/other", "headers": {"X-Team": STARS}, "secret": "s"}),  # a host of many customers
    ("email", EMAIL, {"smtp_host": "thief.example", "smtp_password": STARS}),
    ("email", EMAIL, {"smtp_port": 25, "smtp_password": STARS}),
])
def test_a_secret_does_not_follow_to_another_server(picket, api, kind, config, changes):
    """Who may change a channel could read what is masked: by having it sent to himself."""
    channel = make(api, kind, config)
    body = check_error(api.patch(f"{CHANNELS}/{channel['id']}", json={"name": unique(), "config": {**config, **changes}}), 400, "ValidationError")
    assert "must be said again" in body["error"]
    assert api.read(f"{CHANNELS}/{channel['id']}") == channel and stored(picket, channel) == config
    again = {"secret": "s", "smtp_password": "s"}
    change(api, channel, config={**config, **{name: again.get(name, {} if name == "headers" else value) for name, value in changes.items()}})
    api.delete(f"{CHANNELS}/{channel['id']}")


BAD = [
    ("webhook", {}, "Webhook URL is required"),
    ("webhook", {"url": ""}, "Webhook URL is required"),
    ("webhook", {"url": 5}, "Invalid webhook URL format"),
    ("webhook", {"url": "hooks.example"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https:///path"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://a b"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://[zz]/"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://[::1"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://[]"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://[::1]x"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://a:port"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://a:99999"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://a:"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://:80"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://a\\@b.example"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://a<b"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://a.example/\r\nX: y"}, "Invalid webhook URL format"),
    ("webhook", {"url": "https://a.example/" + "x" * 2048}, "Invalid webhook URL format"),
    ("webhook", {"url": "ftp://a.example"}, "Webhook URL must use HTTP or HTTPS"),
    ("webhook", {"url": "file:///etc/passwd"}, "Webhook URL must use HTTP or HTTPS"),
    ("webhook", {"url": "https://user:pw@a.example"}, "send credentials in headers"),
    ("webhook", {**WEBHOOK, "secret": 5}, "secret must be a text"),
    ("webhook", {**WEBHOOK, "secret": STARS}, "not what is shown for one"),
    ("webhook", {**WEBHOOK, "headers": ["a"]}, "headers must be an object"),
    ("webhook", {**WEBHOOK, "headers": {"A": 1}}, "headers must be names"),
    ("webhook", {**WEBHOOK, "headers": {"A b": "x"}}, "headers must be names"),
    ("webhook", {**WEBHOOK, "headers": {"": "x"}}, "headers must be names"),
    ("webhook", {**WEBHOOK, "headers": {"A": "x\r\nB: y"}}, "headers must be names"),
    ("webhook", {**WEBHOOK, "headers": {"A": STARS}}, "not what is shown for one"),
    ("webhook", {**WEBHOOK, "headers": {f"H{i}": "x" for i in range(51)}}, "at most 50"),
    ("slack", {}, "Slack webhook URL is required"),
    ("slack", {"webhook_url": "https://"}, "Invalid Slack webhook URL format"),
    ("slack", {"webhook_url": "http://hooks.slack.com/x"}, "must use HTTPS"),
    ("slack", {"webhook_url": "https://hooks.slack.com.thief.example/x"}, "host must be hooks.slack.com"),
    ("slack", {"webhook_url": "https://hooks.slack.com@thief.example/x"}, "host must be hooks.slack.com"),
    ("slack", {"webhook_url": SLACK_STARS}, "not what is shown for it"),
    ("slack", {**SLACK, "channel": {}}, "channel must be a text"),
    ("email", {}, "At least one email recipient is required"),
    ("email", {**EMAIL, "recipients": []}, "At least one email recipient is required"),
    ("email", {**EMAIL, "recipients": ["nobody"]}, "Invalid email address: nobody"),
    ("email", {**EMAIL, "recipients": ["a@b"]}, "Invalid email address: a@b"),
    ("email", {**EMAIL, "recipients": ["a@b.example\nBcc: x@y.z"]}, "Invalid email address"),
    ("email", {**EMAIL, "recipients": [7]}, "recipients must be texts"),
    ("email", {**EMAIL, "recipients": ["ops@example.com"] * 51}, "at most 50"),
    ("email", {**EMAIL, "smtp_port": 65536}, "smtp_port must be"),
    ("email", {**EMAIL, "smtp_port": "25"}, "smtp_port must be"),
    ("email", {**EMAIL, "smtp_password": STARS}, "not what is shown for one"),
    ("email", {"recipients": ["ops@example.com"]}, "SMTP host must be configured"),
]


@pytest.fixture(scope="module")
def one_of_each(picket):
    rows = {kind: make(picket.api, kind, config) for kind, config in (("webhook", WEBHOOK), ("slack", SLACK), ("email", EMAIL))}
    yield rows
    for row in rows.values():
        picket.api.delete(f"{CHANNELS}/{row['id']}")


@pytest.mark.parametrize("kind, config, why", BAD, ids=[f"{kind} {why}" for kind, _, why in BAD])
def test_bad_configs(api, one_of_each, kind, config, why):
    """§4.2, on creation and, but for asterisks, on change."""
    body = check_error(api.post(CHANNELS, json={"name": unique(), "channel_type": kind, "config": config}), 400, "ValidationError")
    assert why in body["error"]
    if "not what is shown" not in why:
        body = check_error(api.patch(f"{CHANNELS}/{one_of_each[kind]['id']}", json={"config": config}), 400, "ValidationError")
        assert why in body["error"]


@pytest.mark.parametrize("body, why", [
    ({"channel_type": "webhook", "config": WEBHOOK}, "Name cannot be empty"),
    ({"name": "  ", "channel_type": "webhook", "config": WEBHOOK}, "Name cannot be empty"),
    ({"name": "ä" * 256, "channel_type": "webhook", "config": WEBHOOK}, "Name cannot exceed"),
    ({"name": "x", "channel_type": "pager", "config": WEBHOOK}, "channel_type must be one of"),
    ({"name": "x", "config": WEBHOOK}, "channel_type must be one of"),
    ({"name": "x", "channel_type": "webhook"}, "config is required"),
    ({"name": "x", "channel_type": "webhook", "config": []}, "config must be an object"),
    ({"name": "x", "channel_type": "webhook", "config": {**WEBHOOK, "more": "x" * 16384}}, "at most 16 KiB and 32 levels"),
    ({"name": "x", "channel_type": "webhook", "config": {**WEBHOOK, "more": nested(32)}}, "at most 16 KiB and 32 levels"),
    ({"name": "x", "channel_type": "webhook", "config": WEBHOOK, "is_enabled": "yes"}, "is_enabled must be a boolean"),
])
def test_bad_channels(api, body, why):
    assert why in check_error(api.post(CHANNELS, json=body), 400, "ValidationError")["error"]


def test_a_name_belongs_to_one_channel(api):
    first, second = make(api), make(api)
    for answer in (api.post(CHANNELS, json={"name": first["name"], "channel_type": "slack", "config": SLACK}),
                   api.patch(f"{CHANNELS}/{second['id']}", json={"name": first["name"]})):
        assert first["name"] in check_error(answer, 409, "Conflict")["error"]
    assert change(api, first, name=first["name"])["name"] == first["name"]
    for row in (first, second):
        api.delete(f"{CHANNELS}/{row['id']}")


def test_a_form_may_leave_out_what_is_null(picket, api):
    """That is no other server."""
    channel = make(api, "email", {**EMAIL, "smtp_port": None})
    change(api, channel, config={**{name: value for name, value in EMAIL.items() if name != "smtp_port"}, "smtp_password": STARS})
    assert stored(picket, channel)["smtp_password"] == "pa55"
    api.delete(f"{CHANNELS}/{channel['id']}")


@pytest.mark.parametrize("first, last", [("https://a.example", "https://b.example"), ("https://b.example", "https://a.example")])
def test_members_that_come_twice(picket, api, first, last):
    """What is checked is what is stored: the last."""
    channel = make(api, config={"url": "https://a.example", "secret": "s"})
    twice = f'{{"config":{{"url":"ftp://x"}},"config":{{"url":"{first}","secret":"t","url":"{last}","secret":"{STARS}"}}}}'
    answer = api.patch(f"{CHANNELS}/{channel['id']}", data=twice.encode(), headers={"Content-Type": "application/json"})
    assert answer.status_code == (200 if last == "https://a.example" else 400), answer.text
    assert stored(picket, channel) == {"url": "https://a.example", "secret": "s"}
    api.delete(f"{CHANNELS}/{channel['id']}")


def test_numbers_that_grow(api):
    """The database writes every digit: a list of channels must not be larger than what was let in."""
    for number in ("1e300", "-1e300", "1e-300"):
        body = f'{{"name":"{unique()}","channel_type":"webhook","config":{{"url":"https://a.example","n":[{",".join([number] * 60)}]}}}}'
        answer = api.post(CHANNELS, data=body.encode(), headers={"Content-Type": "application/json"})
        assert "at most 16 KiB" in check_error(answer, 400, "ValidationError")["error"]


def test_there_is_a_last_channel(picket, api):
    """As long as their list has no pages."""
    n = len(api.read(CHANNELS))
    picket.sql("INSERT INTO alert_channels (name, channel_type, config) SELECT 'filler ' || n, 'webhook', '{}' FROM generate_series(%s + 1, 500) n", n)
    answer = api.post(CHANNELS, json={"name": unique(), "channel_type": "webhook", "config": WEBHOOK})
    assert "remove some" in check_error(answer, 409, "Conflict")["error"]
    picket.sql("DELETE FROM alert_channels WHERE name LIKE 'filler %%'")
    api.delete(f"{CHANNELS}/{make(api)['id']}")


def test_config_of_any_json(picket, api):
    """Members that nobody knows are kept (R22), whatever they hold."""
    odd = {"url": "https://a.example", "n": 1e300, "deep": {"a": [{"b": [None, True, "ü\u0000x"]}]}, "": "", "levels": nested(28)}
    channel = make(api, config=odd)
    shown = channel["config"]
    assert float(shown["n"]) == 1e300 and shown["levels"] == nested(28) and shown["deep"]["a"][0]["b"][:2] == [None, True] and shown[""] == ""
    api.delete(f"{CHANNELS}/{channel['id']}")


@pytest.mark.parametrize("headers, body", [({}, None), ({"Content-Type": "application/json"}, b"")])
def test_nothing_is_sent_yet(api, headers, body):
    """R26, with and without the client's content type on no body (§7.1)."""
    channel = make(api)
    answer = api.post(f"{CHANNELS}/{channel['id']}/test", headers=headers, data=body)
    assert answer.status_code == 200
    result = check(CHANNEL_TEST, answer.json())
    assert result["success"] is False and "not send" in result["message"]
    check_error(api.post(f"{CHANNELS}/{NOBODY}/test", headers=headers, data=body), 404, "NotFound")
    api.delete(f"{CHANNELS}/{channel['id']}")


# ---- rules

def post_rule(project, **members):
    return project.api.post(f"{project.path}/alert-rules", json={"name": "a rule", "alert_type": "new_issue", **members})


def make_rule(project, **members):
    answer = post_rule(project, **members)
    assert answer.status_code == 201, answer.text
    return check(RULE, answer.json())


def test_rules(project, api):
    """R27 – R31: made, listed newest first, shown, changed, removed; each type once."""
    rules, one, two = f"{project.path}/alert-rules", make(api), make(api)
    assert api.read(rules) == []
    first = make_rule(project, channel_ids=[two["id"], one["id"], two["id"]], cooldown_minutes=5, conditions={"a": [1]})
    assert first["project_id"] == project.id and first["is_enabled"] and first["channel_ids"] == [one["id"], two["id"]]
    assert first["conditions"] == {"a": [1]} and first["cooldown_minutes"] == 5 and first["last_triggered_at"] is None
    second = make_rule(project, alert_type="regression", is_enabled=False)
    assert (second["is_enabled"], second["channel_ids"], second["conditions"], second["cooldown_minutes"]) == (False, [], {}, 0)
    assert [check(RULE, row) for row in api.read(rules)] == [second, first]
    assert api.read(f"{rules}/{first['id']}") == first
    assert "new_issue" in check_error(post_rule(project), 409, "Conflict")["error"]
    changed = api.patch(f"{rules}/{first['id']}", json={"name": " new ", "is_enabled": False, "channel_ids": [one["id"]], "alert_type": "unmute"}).json()
    assert check(RULE, changed) == {**first, "name": "new", "is_enabled": False, "channel_ids": [one["id"]], "updated_at": changed["updated_at"]}
    unchanged = api.patch(f"{rules}/{first['id']}", json={"name": None, "channel_ids": None, "cooldown_minutes": None, "conditions": None}).json()
    assert unchanged == {**changed, "updated_at": unchanged["updated_at"]} == {**api.read(f"{rules}/{first['id']}")}
    swapped = api.patch(f"{rules}/{first['id']}", json={"channel_ids": [two["id"]]}).json()
    assert swapped["channel_ids"] == [two["id"]] == api.read(f"{rules}/{first['id']}")["channel_ids"]
    api.delete(f"{CHANNELS}/{two['id']}")
    assert api.read(f"{rules}/{first['id']}")["channel_ids"] == []
    assert api.patch(f"{rules}/{first['id']}", json={"channel_ids": [one["id"]]}).json()["channel_ids"] == [one["id"]]
    assert api.patch(f"{rules}/{first['id']}", json={"channel_ids": []}).json()["channel_ids"] == []
    assert api.delete(f"{rules}/{first['id']}").status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        check_error(api.request(method, f"{rules}/{first['id']}", **({"json": {}} if method == "PATCH" else {})), 404, "NotFound")
    assert [row["id"] for row in api.read(rules)] == [second["id"]]
    api.delete(f"{CHANNELS}/{one['id']}")


@pytest.mark.parametrize("members, why", [
    ({"name": ""}, "Name cannot be empty"),
    ({"name": None}, "Name cannot be empty"),
    ({"name": "x" * 256}, "Name cannot exceed"),
    ({"alert_type": "spike"}, "alert_type must be one of"),
    ({"alert_type": None}, "alert_type must be one of"),
    ({"conditions": []}, "conditions must be an object"),
    ({"conditions": {"a": "x" * 16384}}, "conditions must be an object"),
    ({"conditions": {"a": nested(50)}}, "conditions must be an object"),
    ({"cooldown_minutes": -1}, "cooldown_minutes must be"),
    ({"cooldown_minutes": 2**31}, "cooldown_minutes must be"),
    ({"channel_ids": {}}, "channel_ids must be a list"),
    ({"channel_ids": ["1"]}, "channel_ids must be a list"),
    ({"channel_ids": [2**31]}, "channel_ids must be a list"),
    ({"channel_ids": [1.5]}, "channel_ids must be a list"),
    ({"channel_ids": list(range(101))}, "channel_ids must be a list"),
    ({"is_enabled": 1}, "is_enabled must be a boolean"),
])
def test_bad_rules(project, members, why):
    assert why in check_error(post_rule(project, **members), 400, "ValidationError")["error"]
    assert project.api.read(f"{project.path}/alert-rules") == []


@pytest.mark.parametrize("spelling", ["%d.0", "%de0", "%d"])
def test_whole_numbers_in_every_spelling(project, api, spelling):
    channel = make(api)
    body = f'{{"name":"a","alert_type":"unmute","channel_ids":[{spelling % channel["id"]}],"cooldown_minutes":{spelling % 5}}}'
    answer = api.post(f"{project.path}/alert-rules", data=body.encode(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 201 and answer.json()["channel_ids"] == [channel["id"]] and answer.json()["cooldown_minutes"] == 5
    api.delete(f"{CHANNELS}/{channel['id']}")


def waiting(picket):
    return picket.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%alert_%%' AND pid <> pg_backend_pid()")[0][0]


def test_two_changes_at_once(picket, project, api):
    """Each replaces the channels whole, also when it waited for the other; what is answered is what is stored."""
    one, two = make(api), make(api)
    rule = make_rule(project)
    path = f"{project.path}/alert-rules/{rule['id']}"
    with concurrent.futures.ThreadPoolExecutor(2) as threads, psycopg.connect(picket.conninfo()) as other:
        other.execute("SELECT FROM alert_rules WHERE id = %s FOR UPDATE", (rule["id"],))
        first = threads.submit(api.patch, path, json={"channel_ids": [one["id"]]})
        until(lambda: waiting(picket) == 1, "the first does not wait")
        second = threads.submit(Api(api.url, token=picket.token).patch, path, json={"channel_ids": [two["id"]]})
        until(lambda: waiting(picket) == 2, "the second does not wait")
        other.rollback()
        answers = [first.result().json()["channel_ids"], second.result().json()["channel_ids"]]
    assert sorted(answers) == [[one["id"]], [two["id"]]]
    assert api.read(path)["channel_ids"] in answers
    for row in (one, two):
        api.delete(f"{CHANNELS}/{row['id']}")


def test_a_channel_that_goes_meanwhile(picket, project, api):
    """404, as if it had not been there."""
    channel = make(api)
    with concurrent.futures.ThreadPoolExecutor(1) as threads, psycopg.connect(picket.conninfo()) as other:
        other.execute("DELETE FROM alert_channels WHERE id = %s", (channel["id"],))
        answer = threads.submit(post_rule, project, channel_ids=[channel["id"]])
        until(lambda: waiting(picket) == 1, "nobody waits")
        other.commit()
        check_error(answer.result(), 404, "NotFound")
    assert api.read(f"{project.path}/alert-rules") == []


def test_an_unknown_channel(project, api):
    """R28, R30: 404, and nothing is changed."""
    channel = make(api)
    rules = f"{project.path}/alert-rules"
    assert str(NOBODY) in check_error(post_rule(project, channel_ids=[channel["id"], NOBODY]), 404, "NotFound")["error"]
    assert api.read(rules) == []
    rule = make_rule(project, channel_ids=[channel["id"]])
    check_error(api.patch(f"{rules}/{rule['id']}", json={"name": "other", "channel_ids": [NOBODY]}), 404, "NotFound")
    assert api.read(f"{rules}/{rule['id']}") == rule
    api.delete(f"{CHANNELS}/{channel['id']}")


def test_rules_of_other_projects(project, api, picket):
    """§1.5: 404, as if there were none."""
    rule = make_rule(project)
    other = api.post("/api/projects", json={"name": unique("project")}).json()["id"]
    for path in (f"/api/projects/{other}/alert-rules/{rule['id']}", f"/api/projects/{NOBODY}/alert-rules/{rule['id']}"):
        for method in ("GET", "PATCH", "DELETE"):
            check_error(api.request(method, path, **({"json": {"name": "x"}} if method == "PATCH" else {})), 404, "NotFound")
    check_error(api.get(f"/api/projects/{NOBODY}/alert-rules"), 404, "NotFound")
    check_error(api.post(f"/api/projects/{NOBODY}/alert-rules", json={"name": "x", "alert_type": "unmute"}), 404, "NotFound")
    assert api.read(f"{project.path}/alert-rules/{rule['id']}") == rule


def test_history_is_empty(project, api):
    """R32 until alerts are sent."""
    history = f"{project.path}/alert-history"
    assert api.read(history) == api.read(f"{history}?limit=1000") == api.read(f"{history}?limit=-1") == []
    check_error(api.get(f"{history}?limit=x"), 400, "ValidationError")
    check_error(api.get(f"/api/projects/{NOBODY}/alert-history"), 404, "NotFound")


def test_masks_are_the_same_in_sql_and_c():
    with open(f"{server.ROOT}/sql/migrations/0033_alerts.sql", encoding="utf-8") as f:
        sql = f.read()
    with open(f"{server.ROOT}/src/api/channel_config.c", encoding="utf-8") as f:
        c = f.read()
    assert f'"{SLACK_STARS}"' in sql and f'STR("{SLACK_STARS}")' in c and f'STR("{STARS}")' in c
