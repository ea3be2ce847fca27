"""The JSON API as a client sees it, and a project to send to and to look into."""
import functools
import uuid
from urllib.parse import urlsplit

import requests

import described
import wire
from waiting import until


class Api:
    """Requests with a Bearer token, with a session cookie, or as nobody."""

    def __init__(self, url, token=None, cookie=None):
        self.url = url
        self.session = described.watch(requests.Session())
        self.session.trust_env = False  # no proxy, no netrc
        self.headers = {}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"
        if cookie:
            self.headers["Cookie"] = f"rustrak_session={cookie}"  # raw, as the dashboard sends it (contract §7.1)

    def request(self, method, path, headers=None, **more):
        more.setdefault("timeout", 60)
        answer = self.session.request(method, self.url + path, headers={**self.headers, **(headers or {})}, allow_redirects=False, **more)
        self.session.cookies.clear()  # cookies travel only where a test says so
        return answer

    get = functools.partialmethod(request, "GET")
    post = functools.partialmethod(request, "POST")
    patch = functools.partialmethod(request, "PATCH")
    delete = functools.partialmethod(request, "DELETE")
    options = functools.partialmethod(request, "OPTIONS")

    def read(self, path, **more):
        """The JSON of a GET which must succeed."""
        answer = self.get(path, **more)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()


class Project:
    def __init__(self, api, row):
        self.api = api
        self.id, self.slug, self.dsn = row["id"], row["slug"], row["dsn"]
        self.key = urlsplit(self.dsn).username
        self.path = f"/api/projects/{self.id}"
        self.ingest_path = f"/api/{self.id}/envelope/"
        self.port = urlsplit(api.url).port

    @property
    def auth(self):
        return {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_client=e2e/1, sentry_key={self.key}"}

    def post(self, body, headers=None, query="", auth=True, path=None):
        """POSTs bytes to the envelope endpoint."""
        given = {"Content-Type": "application/x-sentry-envelope", **(self.auth if auth else {}), **(headers or {})}
        return requests_session().post(self.api.url + (path or self.ingest_path) + query, data=body, headers=given, timeout=120)

    def send(self, *events):
        """Each event in an envelope of its own; all must be accepted. Returns their ids."""
        return [accepted(self.post(wire.event_envelope(event))) for event in events]

    # ---- what has become of it

    def row(self):
        return self.api.read(self.path)

    def count(self):
        return self.row()["digested_event_count"]

    def wait_count(self, n, seconds=30):
        until(lambda: self.count() >= n, lambda: f"{self.count()} of {n} events digested", seconds)
        assert self.count() == n, f"{self.count()} events digested, {n} expected"

    def drain(self):
        """Until all that was accepted before is digested, by however many workers: what was acknowledged lies in the spool until then."""
        until(lambda: self.backlog() == 0, lambda: f"{self.backlog()} bytes are spooled", 30)

    def backlog(self):
        """Bytes in the spool, of everybody's."""
        return self.api.read("/api/status")["spool"]["bytes"]

    def settle(self):
        """The same, with an event of its own at the end, which counts."""
        self.send(wire.message_event(f"marker {uuid.uuid4().hex}"))
        self.drain()

    def issues(self, filter="all", **query):
        """All pages."""
        items, page = [], 1
        while True:
            answer = self.api.read(f"{self.path}/issues", params={"filter": filter, "per_page": 100, "page": page, **query})
            items += answer["items"]
            if page >= answer["total_pages"]:
                return items
            page += 1

    def issue(self, text):
        """The one issue whose title contains the text, or None."""
        found = [issue for issue in self.issues() if text in issue["title"]]
        assert len(found) <= 1, f"{len(found)} issues with {text!r}"
        return found[0] if found else None

    def issue_path(self, issue):
        return f"{self.path}/issues/{issue['id']}"

    def events(self, issue, order="desc"):
        """Summaries of all pages."""
        items, cursor = [], None
        while True:
            answer = self.api.read(self.issue_path(issue) + "/events", params={"order": order, **({"cursor": cursor} if cursor else {})})
            items += answer["items"]
            if not answer["has_more"]:
                return items
            cursor = answer["next_cursor"]

    def all_events(self):
        return [event for issue in self.issues() for event in self.events(issue)]

    def detail(self, summary):
        return self.api.read(f"{self.path}/issues/{summary['issue_id']}/events/{summary['id']}")

    def newest_events(self):
        """The newest events of the issues that were seen last: where something that was just sent is found with few requests."""
        page = self.api.read(f"{self.path}/issues", params={"filter": "all", "sort": "last_seen", "order": "desc", "per_page": 5})
        for issue in page["items"]:
            yield from self.api.read(self.issue_path(issue) + "/events")["items"]

    def find(self, event_id, seconds=20):
        """Detail of the event with that SDK id, once it is visible."""
        tries = 0

        def look():
            nonlocal tries
            tries += 1
            for summary in self.all_events() if tries % 20 == 0 else self.newest_events():
                if uuid.UUID(summary["event_id"]).hex == event_id:
                    return self.detail(summary)
            return None
        return until(look, f"event {event_id} is not visible", seconds, pause=0.02)


@functools.cache
def requests_session():
    session = described.watch(requests.Session())
    session.trust_env = False
    return session


def accepted(answer):
    """The id of a 200; protocol §4.1: 32 lower-case hex digits."""
    assert answer.status_code == 200, f"{answer.status_code} {answer.text[:500]}"
    assert answer.headers["Content-Type"] == "application/json"
    event_id = answer.json()["id"]
    assert wire.ID.fullmatch(event_id), event_id
    return event_id
