"""What people write without an SDK (protocol §1.2, §7.4): the web application's user-feedback address with a DSN, and the crash-report dialog."""
import gzip
import json
import uuid
from urllib.parse import quote, urlencode

import pytest

import live
import wire
from client import accepted
from server import ADMIN
from test_cors import PAGE
from test_feedback import wait_feedback
from test_outcomes import totals, wait_totals
from test_scrubbing import scrub
from waiting import until

FORM = {"name": "Ada", "email": "ada@example.com", "comments": "It broke"}
NOBODY = {"Authorization": None}


def report(event_id=None, **fields):
    return {"event_id": event_id or uuid.uuid4().hex, **FORM, **fields}


def post_report(project, body, name=None, slash="/", data=None, **headers):
    return project.api.post(f"/api/0/projects/sentry/{name or project.slug}/user-feedback{slash}", json=body, data=data,
                            headers={"Authorization": f"DSN {project.dsn}", **headers})


@pytest.mark.parametrize("slash", ["/", ""])
def test_user_feedback_endpoint(project, slash):
    """200 and no body; linked to its event; the project by name, by number, or by the key alone."""
    event = wire.error_event()
    project.send(event)
    found = project.find(event["event_id"])
    answer = post_report(project, report(event["event_id"]), slash=slash, Origin=PAGE)
    assert (answer.status_code, answer.content, answer.headers["Access-Control-Allow-Origin"]) == (200, b"", "*")
    item, = wait_feedback(project)
    assert (item["name"], item["email"], item["message"], item["issue_id"]) == ("Ada", "ada@example.com", "It broke", found["issue_id"])
    assert post_report(project, report(), name=project.id).status_code == 200
    assert post_report(project, report(), Authorization=None, **project.auth).status_code == 200
    wait_feedback(project, 3)
    wait_totals(project, {("error", "accepted", ""): 1, ("feedback", "accepted", ""): 3})


def by_token(project, body, name=None, token=None, **more):
    return project.api.post(f"/api/0/projects/sentry/{name or project.slug}/user-feedback/", json=body,
                            headers={"Authorization": token or project.api.headers["Authorization"], **more.pop("headers", {})}, **more)


def test_user_feedback_with_a_token(project, picket):
    """§7.4: 200 with the report as JSON, for the project by name or by number; counted by the project's key; sent again it is stored once."""
    event_id = uuid.uuid4().hex
    answer = by_token(project, report(event_id))
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("application/json"), answer.text
    item, = wait_feedback(project)
    assert answer.json() == {"id": item["id"], "eventID": event_id, "name": "Ada", "email": "ada@example.com", "comments": "It broke", "dateCreated": item["received_at"]}
    assert (uuid.UUID(item["event_id"]).hex, item["message"], item["source"]) == (event_id, "It broke", "user_report")
    packed = gzip.compress(json.dumps(report(comments="packed")).encode())
    answer = by_token(project, None, project.id, data=packed, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
    assert answer.status_code == 200 and answer.json()["comments"] == "packed"
    assert by_token(project, report(event_id)).status_code == 200
    wait_totals(project, {("feedback", "accepted", ""): 2, ("feedback", "invalid", "duplicate"): 1})
    ((key,),) = picket.sql("SELECT id FROM project_keys WHERE project_id = %s", project.id)
    assert {line["key_id"] for line in project.api.read(project.path + "/outcomes")["totals"]} == {key}


def test_user_feedback_without_words(project):
    """§7.4: only the event must be named."""
    for comments in (" ", "", None):
        assert post_report(project, report(comments=comments)).status_code == 200, comments
        answer = by_token(project, report(comments=comments))
        assert answer.status_code == 200 and answer.json()["comments"] == "", answer.text
    event_id = uuid.uuid4().hex
    assert post_report(project, {"event_id": event_id}).status_code == 200
    items = wait_feedback(project, 7)
    assert {item["message"] for item in items} == {""} and uuid.UUID(items[0]["event_id"]).hex == event_id and items[0]["name"] is None


def test_user_feedback_with_a_token_is_refused(project, picket):
    """No such token or project; no cookie serves here, where any page may post; a body that is none."""
    for token in ("Bearer " + "0" * 40, "Bearer nonsense", "Bearer "):
        assert by_token(project, report(), token=token).status_code == 401
    for name in ("no-such-project", "99999999", "99999999999999999999", "%00", "%ff"):
        assert by_token(project, report(), name).status_code == 404, name
    for body in ({**FORM}, report("nonsense"), []):
        assert by_token(project, body).status_code == 400, body
    assert by_token(project, report(comments="x" * (64 << 10))).status_code == 413
    other = picket.new_project()
    picket.sql("UPDATE project_keys SET is_active = false WHERE project_id = %s", other.id)
    assert by_token(other, report()).status_code == 403
    cookie = project.api.post("/auth/login", json={"email": ADMIN[0], "password": ADMIN[1]}, headers=NOBODY).headers["Set-Cookie"].split(";")[0]
    assert project.api.get("/auth/me", headers={**NOBODY, "Cookie": cookie}).status_code == 200
    assert project.api.post(f"/api/0/projects/sentry/{project.slug}/user-feedback/", json=report(), headers={**NOBODY, "Cookie": cookie}).status_code == 401


def test_packed_user_feedback(project):
    packed = gzip.compress(json.dumps(report()).encode())
    assert post_report(project, None, data=packed, **{"Content-Encoding": "gzip", "Content-Type": "application/json"}).status_code == 200
    assert wait_feedback(project)[0]["message"] == "It broke"
    bomb = gzip.compress(json.dumps(report(comments="x" * (64 << 10))).encode())
    assert post_report(project, None, data=bomb, **{"Content-Encoding": "gzip"}).status_code == 413


def test_user_feedback_is_refused(project, picket):
    """§7.4: 400 validation, 401 for reading with a DSN; no key, a wrong one, another project's."""
    for body in ({**FORM}, report("nonsense"), [], "x"):
        assert post_report(project, body).status_code == 400, body
    path = f"/api/0/projects/sentry/{project.slug}/user-feedback/"
    assert project.api.post(path, data=b"{", headers={"Authorization": f"DSN {project.dsn}"}).status_code == 400
    assert post_report(project, report(comments="x" * (64 << 10))).status_code == 413
    assert project.api.post(path, json=report(), headers=NOBODY).status_code == 401
    assert post_report(project, report(), Authorization="DSN nonsense").status_code == 401
    assert post_report(project, report(), Authorization=f"DSN {project.dsn.replace(project.key, uuid.uuid4().hex)}").status_code == 403
    other = picket.new_project()
    assert post_report(project, report(), name=other.id).status_code == 400
    assert post_report(project, report(), name=other.id, Authorization=None, **project.auth).status_code == 403
    for headers in ({"Authorization": f"DSN {project.dsn}"}, NOBODY):
        assert project.api.get(path, headers=headers).status_code == 401
    wait_totals(project, {("feedback", "invalid", "invalid_json"): 3, ("feedback", "invalid", "invalid_envelope"): 2,
                          ("feedback", "invalid", "too_large"): 1})
    assert totals(other) == {}


# ---- the crash-report dialog

def dialog(project, method="get", event_id=None, dsn=None, prefix="", **more):
    query = f"?dsn={quote(dsn or project.dsn, safe='')}&eventId={event_id or uuid.uuid4().hex}"
    return getattr(project.api, method)(f"{prefix}/api/embed/error-page/{query}", headers={**NOBODY, "Origin": PAGE, **more.pop("headers", {})}, **more)


def test_dialog_script(project):
    """A script for any page, which knows nothing of who asks: the address says it all."""
    answer = dialog(project)
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Access-Control-Allow-Origin"] == "*" and answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "__sentry_reportdialog_closed__" in answer.text and project.key not in answer.text
    named = project.api.get(f"/api/embed/error-page?eventId={'a' * 32}&title=%3Cscript%3E&dsn={quote(project.dsn, safe='')}", headers=NOBODY)
    assert named.text == answer.text


def test_dialog_preflight(project):
    answer = dialog(project, "options", headers={"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"})
    assert answer.status_code == 200 and {"GET", "POST", "OPTIONS"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))


def test_dialog_form(project):
    event = wire.error_event()
    project.send(event)
    found = project.find(event["event_id"])
    answer = dialog(project, "post", event["event_id"], data={**FORM, "comments": 'It "broke" é'})
    assert (answer.status_code, answer.content, answer.headers["Access-Control-Allow-Origin"]) == (200, b"", "*")
    item, = wait_feedback(project)
    assert (item["name"], item["email"], item["message"], item["issue_id"]) == ("Ada", "ada@example.com", 'It "broke" é', found["issue_id"])
    assert totals(project)[("feedback", "accepted", "")] == 1


def test_who_wrote_it_is_scrubbed(project):
    """§5.15: as in a feedback item, whichever way a report comes."""
    scrub(project, sensitive_fields=["email"])
    who = {"name": "Ada 4111 1111 1111 1111", "email": "ada@example.com"}
    assert dialog(project, "post", data={**FORM, **who}).status_code == 200
    assert post_report(project, report(**who)).status_code == 200
    accepted(project.post(wire.envelope({}, wire.item("user_report", report(**who)))))
    assert {(item["name"], item["email"]) for item in wait_feedback(project, 3)} == {("Ada [Filtered]", "[Filtered]")}


def test_dialog_form_with_faults(project):
    answer = dialog(project, "post", data={**FORM, "email": "nonsense", "comments": " "})
    assert answer.status_code == 400 and set(answer.json()["errors"]) == {"email", "comments"}
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert set(dialog(project, "post").json()["errors"]) == {"name", "email", "comments"}
    assert dialog(project, "post", data={**FORM, "comments": "x" * (64 << 10)}).status_code == 413


@pytest.mark.parametrize("method", ["get", "post"])
def test_dialog_of_nothing(project, method):
    """§7.4: a DSN that leads nowhere 404, no event 400."""
    for dsn in ("nonsense", project.dsn.replace(project.key, uuid.uuid4().hex), project.dsn.rsplit("/", 1)[0] + "/99999999"):
        assert dialog(project, method, dsn=dsn, data=FORM).status_code == 404, dsn
    assert getattr(project.api, method)("/api/embed/error-page/", headers=NOBODY).status_code == 404
    assert dialog(project, method, event_id="nonsense", data=FORM).status_code == 400


# What a page does: it opens the dialog as SDKs do, somebody fills it in, and the page hears of its end.
DIALOG_PAGE = """<!doctype html><meta charset=utf-8><script>
addEventListener("message", function (event) {
  if (event.data === "__sentry_reportdialog_closed__") fetch("end?dialog", {method: "POST", body: window.said + (document.querySelector("[role=dialog]") ? "" : ", gone")});
});
addEventListener("DOMContentLoaded", function () {
  var script = document.createElement("script");
  script.src = SOURCE;
  script.onload = function () {
    var status = document.querySelector("[role=status]");
    document.querySelector("textarea").value = "<b>It broke</b> & é";
    new MutationObserver(function () {
      window.said = document.querySelector("h2").textContent + ": " + status.textContent;
      document.querySelector("form button").click();
    }).observe(status, {childList: true});
    document.querySelector("form button").click();
  };
  document.body.appendChild(script);
});
</script><body></body>"""


def test_dialog_in_a_browser(project):
    """Texts of its address are texts, whatever stands in them; name and address are filled in; the page's own origin is another one."""
    event_id = uuid.uuid4().hex
    texts = urlencode({"dsn": project.dsn, "eventId": event_id, "name": "Ada", "email": "ada@example.com", "title": "<i>Oops", "successMessage": "Danke"})
    site = live.PageServer(b"")
    site.content["/"] = ("text/html", DIALOG_PAGE.replace("SOURCE", json.dumps(f"{project.api.url}/api/embed/error-page/?{texts}")).encode())
    try:
        with live.browser(f"http://127.0.0.1:{site.server_port}/") as said:
            until(lambda: site.ends, said, 60)
    finally:
        site.close()
    assert site.ends == {"dialog": "<i>Oops: Danke, gone"}
    item, = wait_feedback(project)
    assert (item["name"], item["email"], item["message"]) == ("Ada", "ada@example.com", "<b>It broke</b> & é")
    assert uuid.UUID(item["event_id"]).hex == event_id
