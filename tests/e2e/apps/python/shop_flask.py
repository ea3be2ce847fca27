"""A shop with the Python SDK and Flask, which asks itself over HTTP.  usage: SENTRY_DSN=… shop_flask.py   Exit status 0: nothing was refused."""
import json
import logging
import sys
import threading
import urllib.error
import urllib.request

import sentry_sdk
from flask import Flask
from sentry_sdk.integrations.flask import FlaskIntegration
from werkzeug.serving import make_server

from refusals import refused

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
app = Flask("shop")


@app.route("/cart/<int:item>", methods=["GET", "POST"])
def cart(item):
    sentry_sdk.set_user({"id": "42", "username": "ann"})
    card = {"number": "4242424242424242", "token": "tok_123", "item": item}
    return str(card["price"])


@app.route("/ok")
def ok():
    app.logger.warning("slow page %s", "ok")
    return "fine"


def main():
    sentry_sdk.init(release="shop@1.2.3", environment="production", server_name="web-1", traces_sample_rate=1.0, send_default_pii=True,
                    enable_logs=True, integrations=[FlaskIntegration()])
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path, data=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}{path}", data=data, headers=headers)
        try:
            opener.open(request).read()
        except urllib.error.HTTPError as e:
            e.read()

    ask("/ok?a=1&password=x")
    ask("/cart/7?q=%F0%9F%92%A5&token=secret", Cookie="session=abc; sid=1", Authorization="Bearer xyz", X_Forwarded_For="203.0.113.7", User_Agent=FIREFOX)
    ask("/cart/8", json.dumps({"card": "4242424242424242", "note": "\U0001f600"}).encode(), Content_Type="application/json")
    ask("/cart/9", b"name=ann&password=hunter2", Content_Type="application/x-www-form-urlencoded")
    ask("/missing")
    server.shutdown()
    sentry_sdk.flush(timeout=20)
    sentry_sdk.get_client().close(timeout=20)
    if refused:
        sys.exit(f"refused: {refused}")


main()
