"""Programs with real SDKs (apps/README.md): what it takes to run them, several at a time, and a browser with a server for its page."""
import contextlib
import fcntl
import functools
import glob
import http.server
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from urllib.parse import urlencode, urlsplit

import server
from waiting import TIME_FACTOR, until

APPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps")
KEEP = os.path.join(server.ROOT, "build")


def tool_version(*command):
    """The first two numbers that the tool says of itself; (0, 0): it is not there."""
    try:
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        return (0, 0)
    return tuple(map(int, re.search(r"(\d+)\.(\d+)", text).groups()))


NODE, GO = tool_version("node", "--version"), tool_version("go", "version")
NODE_SDKS = {"node 10": "../node10/sentry.mjs", "node 11": "@sentry/node"}  # as apps/node/*.mjs import them
NODE_SDK = "node 11" if NODE >= (20, 19) else "node 10"  # the newest that this Node can load
GO_NEWER = GO >= (1, 25)  # apps/go/newer.go is compiled in


def python(program, *parts):
    return [sys.executable, os.path.join(APPS, "python", program), *parts]


def node(program, sdk, *parts):
    return ["node", os.path.join(APPS, "node", program), NODE_SDKS[sdk], *parts]


def start(command, dsn, cwd=KEEP, **settings):
    environment = server.environment(SENTRY_DSN=dsn, PYTHONDONTWRITEBYTECODE=1, **settings)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", cwd=cwd, env=environment)


def run_all(*programs, **settings):
    """Runs programs side by side: (DSN, command, exit status that it must have). What they printed, in the same order."""
    running = [start(command, dsn, **settings) for dsn, command, _ in programs]
    printed = []
    try:
        for (_, command, status), one in zip(programs, running):
            text, _ = one.communicate(timeout=90 * TIME_FACTOR)
            assert one.returncode == status, f"{command} ended with {one.returncode}\n{text}"
            printed.append(text)
    finally:
        for one in running:
            if one.poll() is None:
                one.kill()
                one.communicate()
    return printed


@functools.cache
def shop_go():
    """The Go program. A machine's first build compiles Go's own library; tests/run has begun with that long before."""
    program = os.path.join(KEEP, "go", "shop")
    with open(os.path.join(KEEP, "go.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([sys.executable, os.path.join(APPS, "go", "build.py"), program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


@functools.cache
def sentry_cli():
    """The command itself, which the npm package for this machine brings."""
    program, = glob.glob(os.path.join(APPS, "node_modules", "@sentry", "cli-*", "bin", "sentry-cli"))
    return program


# ---- a browser

PAGE = b"<!doctype html><meta charset=utf-8><title>Shop</title><h1>Shop</h1><button id=buy>buy</button><input id=name><script type=module src=shop.js></script>"
CONTENT = {"/shop": ("text/html", PAGE), "/ok.json": ("application/json", b'{"ok":true}')}


class PageServer(http.server.ThreadingHTTPServer):
    """Serves the shop's page, which is another origin than Picket's, and hears from it how it ended."""

    def __init__(self, script):
        super().__init__(("127.0.0.1", 0), PageHandler)
        self.content = {**CONTENT, "/shop.js": ("text/javascript", script)}
        self.ends = {}  # query of the page → what it said
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def frames(self, queries):
        """A page of pages, each a shop with its query."""
        text = "<!doctype html><meta charset=utf-8>" + "".join(f'<iframe src="shop?{query.replace("&", "&amp;")}"></iframe>' for query in queries)
        self.content["/"] = ("text/html", text.encode())

    def close(self):
        self.shutdown()
        self.server_close()
        self.thread.join()


class PageHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, kind="text/plain", content=b""):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        found = self.server.content.get(urlsplit(self.path).path)
        self.answer(200, *found) if found else self.answer(404)

    def do_POST(self):
        self.server.ends[urlsplit(self.path).query] = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.answer(204)

    def log_message(self, format, *arguments):
        """Says nothing."""


# The first two: it may run as root, and in containers. The rest: no window, no business of its own in the network.
CHROMIUM = ["--no-sandbox", "--disable-dev-shm-usage", "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-extensions", "--disable-default-apps", "--no-proxy-server",
            "--disable-breakpad", "--mute-audio", "--disable-background-timer-throttling", "--disable-renderer-backgrounding"]


@contextlib.contextmanager
def browser(url):
    """A browser of its own at the URL; what it says is at hand as a function."""
    directory = tempfile.mkdtemp(prefix="picket-browser-")
    program, log = shutil.which("chromium"), os.path.join(directory, "log")
    assert program, "chromium is not there"
    try:
        with open(log, "wb") as out:
            process = subprocess.Popen([program, *CHROMIUM, f"--user-data-dir={directory}", url], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       env={**server.environment(), "HOME": directory})
        try:
            yield lambda: f"{'ended' if process.poll() is not None else 'runs'}\n{read(log)}"
        finally:
            process.terminate()
            try:
                process.wait(10 * TIME_FACTOR)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()[-4000:]


def bundle(directory):
    """The page's script, as an application ships it."""
    output = os.path.join(directory, "shop.bundle.js")
    subprocess.run([os.path.join(APPS, "node_modules", ".bin", "esbuild"), os.path.join(APPS, "browser", "shop.js"), "--bundle", "--minify", "--format=esm",
                    f"--outfile={output}", "--log-level=warning"], check=True)
    with open(output, "rb") as f:
        return f.read()


@contextlib.contextmanager
def pages(script, *pages):
    """Opens the pages ({"part": …, "dsn": …, "tunnel": …}) side by side in one browser; each must end well. The browser is still there when
    the caller looks: what an SDK sends when its page is left takes its time."""
    queries = [urlencode(page) for page in pages]
    site = PageServer(script)
    try:
        site.frames(queries)
        with browser(f"http://127.0.0.1:{site.server_port}/") as said:
            until(lambda: len(site.ends) == len(queries), lambda: f"{site.ends}\nthe browser {said()}", 60, pause=0.05)
            assert site.ends == dict.fromkeys(queries, "done")
            yield
    finally:
        site.close()
