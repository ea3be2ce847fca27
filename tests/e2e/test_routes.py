"""Paths (protocol §1.2, §10.1): what is there, what is not, and the header that every answer bears."""
import uuid

import pytest

import wire
from client import Api


@pytest.mark.parametrize("path", ["/", "/nothing", "/errors/api/1/envelope/", "/api/relay/x", "/api/relay/healthcheck/", "/api/relay/healthcheck/x/", "/api/1/unity/",
                                  "/api/1/feedback/", "/api/1/attachments/", "/api/1/nothing/", "/api/1/envelope/more"])
def test_not_found(picket, path):
    """§10.1 test_forwarding cases; §1.2: paths that do not exist in Relay either."""
    nobody = Api(picket.url)
    assert nobody.get(path).status_code == 404 and nobody.post(path, data=b"{}").status_code == 404


@pytest.mark.parametrize("slash", ["", "/"])
def test_no_uploads_in_parts(picket, project, slash):
    """§10.4 test_upload (TUS, §1.6): 404, whoever asks; Crashpad and sentry-native then send the file inside of the envelope or form, as they always did."""
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(200 << 20)}
    for query in (f"?sentry_key={project.key}", ""):
        answer = Api(picket.url).post(f"/api/{project.id}/upload{slash}{query}", headers=headers)
        assert answer.status_code == 404 and answer.headers["Content-Type"].startswith("application/json"), answer.text
        assert set(answer.json()) == {"error", "message", "type"} and "Location" not in answer.headers and "Tus-Resumable" not in answer.headers
    assert Api(picket.url).request("PATCH", f"/api/{project.id}/upload/key{slash}", headers=headers, data=b"x").status_code == 404


@pytest.mark.parametrize("slash", ["", "/"])
def test_health_as_relay_spells_it(picket, slash):
    """§10.1 test_live / test_readiness; with the database away it is the handler of /health/ready (test_api_projects.py, test_database_away.py)."""
    nobody = Api(picket.url)
    assert nobody.get("/api/relay/healthcheck/live" + slash).status_code == 200
    assert nobody.read("/api/relay/healthcheck/ready" + slash)["status"] == "ready"


def test_corp_response_header(picket, project):
    """§10.1: cross-origin-resource-policy on every response."""
    nobody = Api(picket.url)
    answers = [nobody.get("/health"), nobody.get("/nothing"), nobody.get("/api/projects"), nobody.post("/api/x/envelope/"), project.api.get(project.path),
               nobody.options(project.ingest_path), project.post(wire.event_envelope(wire.error_event())), project.post(b""),
               nobody.get(f"/api/{project.id}/store/?sentry_key={uuid.uuid4().hex}")]
    assert [answer.status_code for answer in answers] == [200, 404, 401, 400, 200, 200, 200, 400, 403]
    for answer in answers:
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
