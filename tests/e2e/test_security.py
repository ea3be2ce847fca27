"""Security reports of browsers (protocol §1.6, §3.9, §10.1, §10.4 test_security_report): the endpoint in both names, items of envelopes, the Reporting
API's arrays; each report is an event of category security."""
import gzip
import json
import uuid

import pytest

import wire
from client import accepted
from test_cors import PAGE, names
from test_outcomes import totals, wait_totals
from waiting import until

DOCUMENT = "https://shop.example.com/cart"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


def csp(host="evil.example.net", **fields):
    return {"csp-report": {"document-uri": DOCUMENT, "referrer": PAGE + "/", "violated-directive": "script-src-elem", "effective-directive": "script-src-elem",
                           "blocked-uri": f"https://{host}/x.js", "original-policy": "default-src 'self'", "disposition": "enforce", "status-code": 200, **fields}}


OTHERS = [
    ("hpkp", "application/json", {"hostname": "www.example.com", "port": 443, "known-pins": ['pin-sha256="x"'], "validated-certificate-chain": []},
     "Public key pinning validation failed for 'www.example.com'"),
    ("expectct", "application/expect-ct-report+json", {"expect-ct-report": {"hostname": "www.example.com", "port": 443, "failure-mode": "enforce", "scts": []}},
     "Expect-CT failed for 'www.example.com'"),
    ("expectstaple", "application/expect-staple-report", {"expect-staple-report": {"hostname": "www.example.com", "port": 443, "cert-status": "REVOKED"}},
     "Expect-Staple failed for 'www.example.com'"),
]


def post(project, report, media="application/csp-report", query="", path="security", **headers):
    """As a browser does: the key in the query, no SDK's headers."""
    body = report if isinstance(report, bytes) else json.dumps(report)
    return project.api.post(f"/api/{project.id}/{path}/?sentry_key={project.key}{query}", data=body,
                            headers={"Authorization": None, "Content-Type": media, "User-Agent": BROWSER, "Origin": PAGE, **headers})


def taken(answer):
    assert (answer.status_code, answer.content) == (200, b""), f"{answer.status_code} {answer.text}"


def wait_issue(project, title):
    return until(lambda: project.issue(title), lambda: [issue["title"] for issue in project.issues()], 20)


def only_event(project, title):
    summary, = project.events(wait_issue(project, title))
    return project.detail(summary)


@pytest.mark.parametrize("path", ["security", "csp-report"])
def test_csp(project, path):
    """§10.4: 200, the event's type, release and environment of the query; §10.1: the exposed headers."""
    answer = post(project, csp(), path=path, query="&sentry_release=shop@1.2&sentry_environment=production")
    taken(answer)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert names(answer.headers["Access-Control-Expose-Headers"]) >= {"x-sentry-error", "x-sentry-rate-limits", "retry-after"}
    event = only_event(project, "Blocked 'script' from 'evil.example.net'")
    data = event["data"]
    assert (data["type"], data["logger"], data["culprit"]) == ("csp", "csp", "script-src-elem")
    assert (event["release"], event["environment"]) == ("shop@1.2", "production")
    assert data["csp"]["blocked_uri"] == "https://evil.example.net/x.js" and data["csp"]["status_code"] == 200
    assert data["request"]["url"] == DOCUMENT
    headers = dict(data["request"]["headers"])
    assert (headers["User-Agent"], headers["Origin"], headers["Referer"]) == (BROWSER, PAGE, PAGE + "/")
    assert data["contexts"]["browser"]["name"] == "Chrome"
    tags = dict(data["tags"])
    assert (tags["effective-directive"], tags["blocked-uri"]) == ("script-src-elem", "https://evil.example.net/x.js")
    wait_totals(project, {("security", "accepted", ""): 1})


def test_the_others(project):
    """§10.4: hpkp, expect_ct, expect_staple."""
    for _, media, report, _ in OTHERS:
        taken(post(project, report, media))
    for kind, _, _, title in OTHERS:
        data = only_event(project, title)["data"]
        assert (data["type"], data["logger"], data[kind]["hostname"]) == (kind, kind, "www.example.com")
    wait_totals(project, {("security", "accepted", ""): 3})


def test_one_group_for_one_cause(project):
    """§3.9: the group is directive and blocked host, whatever the page, the path and the policy."""
    for i in range(3):
        taken(post(project, csp(**{"document-uri": f"{DOCUMENT}/{i}", "original-policy": str(i), "blocked-uri": f"https://evil.example.net/{i}.js"})))
    taken(post(project, csp(**{"effective-directive": "img-src"})))
    taken(post(project, csp(host="other.example.net")))
    project.wait_count(5)
    assert sorted((issue["title"], issue["event_count"]) for issue in project.issues()) == [
        ("Blocked 'image' from 'evil.example.net'", 1), ("Blocked 'script' from 'evil.example.net'", 3), ("Blocked 'script' from 'other.example.net'", 1)]


def test_reporting_api(project):
    """§1.6: an array is split; reports of other types are told and cost the others nothing."""
    violation = {"type": "csp-violation", "age": 10, "url": DOCUMENT, "user_agent": BROWSER,
                 "body": {"documentURL": DOCUMENT, "blockedURL": "inline", "effectiveDirective": "style-src-elem", "disposition": "report", "sample": "a{}"}}
    reports = [violation, {"type": "deprecation", "age": 1, "url": DOCUMENT, "body": {"id": "x"}},
               {**violation, "body": {**violation["body"], "blockedURL": "https://evil.example.net/y"}}, {"type": "csp-violation", "body": {}}]
    taken(post(project, reports, "application/reports+json"))
    data = only_event(project, "Blocked inline 'style'")["data"]
    assert (data["csp"]["script_sample"], data["csp"]["document_uri"]) == ("a{}", DOCUMENT)
    only_event(project, "Blocked 'style' from 'evil.example.net'")
    wait_totals(project, {("security", "accepted", ""): 2, ("security", "invalid", "security_report_type"): 1, ("security", "invalid", "security_report"): 1})


def test_what_is_no_report(project):
    """§10.4: uncaught report type: 200 and an outcome; §1.6: nothing and nonsense 400; §2.5: too large 413."""
    taken(post(project, {"something": "else"}))
    taken(post(project, [{"type": "deprecation"}, {"type": "crash"}], "application/reports+json"))
    for body in (b"", b"{", b"[]", b"7", json.dumps({"csp-report": {"blocked-uri": "x"}}).encode()):
        answer = post(project, body)
        assert answer.status_code == 400 and answer.json()["detail"] and answer.headers["X-Sentry-Error"]
    assert post(project, csp(**{"script-sample": "x" * (1 << 20)})).status_code == 413
    wait_totals(project, {("security", "invalid", "security_report_type"): 3, ("security", "invalid", "invalid_json"): 2,
                          ("security", "invalid", "security_report"): 3, ("security", "invalid", "too_large:security"): 1})


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "application/csp", None])
def test_wrong_content_type(project, media):
    """§10.4: missing or unknown content type 415."""
    assert post(project, csp(), media).status_code == 415
    wait_totals(project, {("security", "invalid", "content_type"): 1})


def test_extensions_are_filtered(project):
    """§4.9 invalid-csp: 200, no event, an outcome, and no entry among the refusals."""
    taken(post(project, csp(**{"blocked-uri": "chrome-extension://abc/x.js"})))
    taken(post(project, [csp(**{"source-file": "moz-extension"}), csp()]))
    wait_totals(project, {("security", "accepted", ""): 1, ("security", "filtered", "invalid-csp"): 2})
    assert project.count() == 1 and project.api.read(project.path + "/delivery")["items"] == []


def test_preflight(project):
    """§10.1 test_security_report preflight: the Reporting API asks first, because of its content type."""
    answer = project.api.options(f"/api/{project.id}/security/", headers={
        "Authorization": None, "Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*" and "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "content-type" in names(answer.headers["Access-Control-Allow-Headers"]) and answer.headers["Access-Control-Max-Age"] == "3600"


def test_spellings_of_the_request(project):
    """§1.2: without the final slash; §2.4: compressed; §1.4: no key, a wrong one, no such project."""
    taken(project.api.post(f"/api/{project.id}/security?sentry_key={project.key}", data=gzip.compress(json.dumps(csp()).encode()),
                           headers={"Authorization": None, "Content-Type": "application/csp-report; charset=utf-8", "Content-Encoding": "gzip"}))
    project.wait_count(1)
    for path, status in ((f"/api/{project.id}/security/", 401), (f"/api/{project.id}/security/?sentry_key={uuid.uuid4().hex}", 403),
                         (f"/api/x/security/?sentry_key={project.key}", 400), (f"/api/{project.id}/security/?sentry_key=zz", 400)):
        assert project.api.post(path, json=csp(), headers={"Authorization": None}).status_code == status
    assert project.api.get(f"/api/{project.id}/csp-report/").status_code == 405


def test_items_of_envelopes(project):
    """§3.9: raw_security is the browser's body, release and environment stand in the item's header (§2.3); security bears an event; so may an event item."""
    event_id = uuid.uuid4().hex
    ready = {"type": "csp", "csp": {"effective_directive": "img-src", "blocked_uri": "https://ready.example"}}
    answer = project.post(wire.envelope({"event_id": event_id}, wire.item("raw_security", csp(), sentry_release="shop@2", sentry_environment="test")))
    assert accepted(answer) == event_id
    accepted(project.post(wire.envelope({}, wire.item("security", ready), wire.item("raw_security", [csp(host="a.example"), {"type": "x"}]))))
    accepted(project.post(wire.envelope({}, wire.item("event", {**ready, "csp": {"effective_directive": "font-src", "blocked_uri": "data"}}))))
    assert project.post(wire.envelope({}, wire.item("raw_security", {"csp-report": 1}))).status_code == 400
    event = project.find(event_id)
    assert (event["release"], event["environment"], event["data"]["type"]) == ("shop@2", "test", "csp")
    for title in ("Blocked 'image' from 'ready.example'", "Blocked 'script' from 'a.example'", "Blocked 'font' from 'data:'"):
        only_event(project, title)
    wait_totals(project, {("security", "accepted", ""): 4, ("security", "invalid", "security_report_type"): 1, ("security", "invalid", "security_report"): 1})


def test_large_reports(project):
    """Beyond what is read on the loop: the same, on another thread."""
    taken(post(project, csp(**{"original-policy": "x" * (300 << 10)}), query="&sentry_release=large@1"))
    event = only_event(project, "Blocked 'script' from 'evil.example.net'")
    assert event["release"] == "large@1" and dict(event["data"]["request"]["headers"])["User-Agent"] == BROWSER
    assert totals(project)


# ---- network errors (§1.6 NEL, §10.4 test_nel)

def network_error(**fields):
    return {"age": 60000, "type": "network-error", "url": DOCUMENT, "body": {"phase": "connection", "type": "tcp.refused", "elapsed_time": 12, **fields}}


def test_network_errors(project):
    """200, and each is counted: they are logs (by number and bytes, §4.5), which are not stored. 415 for other types, 400 for nonsense."""
    one, in_item = len(json.dumps(network_error())), len(wire.dumps(network_error()))
    taken(post(project, [network_error()] * 2, "application/reports+json", path="nel"))
    taken(post(project, network_error(), "application/json", path="nel"))
    assert project.post(wire.envelope({}, wire.item("nel", network_error()))).status_code == 200
    assert post(project, [network_error()], "text/plain", path="nel").status_code == 415
    assert post(project, b"{", "application/json", path="nel").status_code == 400
    assert post(project, b"[]", "application/json", path="nel").status_code == 200
    wait_totals(project, {("log_item", "filtered", "not_stored"): 4, ("log_item", "invalid", "content_type"): 1, ("log_item", "invalid", "invalid_json"): 1,
                          ("log_byte", "filtered", "not_stored"): 2 * ((2 * one + 4) // 2) + one + in_item, ("log_byte", "invalid", "content_type"): one + 2,
                          ("log_byte", "invalid", "invalid_json"): 1})
