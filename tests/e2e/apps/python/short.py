"""A program with the Python SDK as anybody would write it: raises, reports, ends.  usage: SENTRY_DSN=… short.py PART; run by test_sdks.py."""
import logging
import sys

import sentry_sdk
from sentry_sdk.crons import monitor


def price(cart):
    return cart["total"]


def checkout(cart):
    try:
        return price(cart)
    except KeyError as e:
        raise RuntimeError(f"checkout failed for {cart['name']}") from e


def handled():
    sentry_sdk.set_user({"id": 42, "email": "ann@example.com"})
    sentry_sdk.set_tag("tenant", "acme")
    sentry_sdk.add_breadcrumb(category="ui", message="clicked", level="info")
    try:
        checkout({"name": "cart 7"})
    except RuntimeError as e:
        sentry_sdk.capture_exception(e)


def unhandled():
    checkout({"name": "cart 8"})


def messages():
    sentry_sdk.capture_message("the cache is warm", "info")
    logging.getLogger("shop").error("payment %s refused for %s", 991, "ann")
    sentry_sdk.capture_message("emoji \U0001f4a5, half a pair \ud83d, and a NUL \0")


def many():
    for i in range(60):
        try:
            raise ValueError(f"one of many kinds: {'even' if i % 2 else 'odd'}")
        except ValueError as e:
            sentry_sdk.capture_exception(e)
    sentry_sdk.flush(20)


def reports():
    for _ in range(3):
        sentry_sdk.capture_message("drop me")
    for i in range(4):
        with sentry_sdk.isolation_scope() as scope:
            scope.set_user({"id": i})
            scope.start_session(session_mode="application")
            if i == 3:
                sentry_sdk.capture_exception(ValueError("this one is written about"))
            scope.end_session()


NIGHTLY = {"schedule": {"type": "crontab", "value": "0 3 * * *"}, "timezone": "Europe/Berlin", "checkin_margin": 5, "max_runtime": 20,
           "failure_issue_threshold": 1, "recovery_threshold": 1}


@monitor(monitor_slug="nightly", monitor_config=NIGHTLY)
def nightly(fails):
    if fails:
        raise OSError("the disk is full")


def crons():
    nightly(False)
    with monitor(monitor_slug="hourly", monitor_config={"schedule": {"type": "interval", "value": 1, "unit": "hour"}}):
        pass
    try:
        nightly(True)
    except OSError:
        pass


def before_send(event, _):
    return None if event.get("message") == "drop me" else event


sentry_sdk.init(release="shop@1.2.3", environment="production", server_name="web-1", before_send=before_send, auto_session_tracking=False,
                auto_enabling_integrations=False)  # Flask is there, for another program
{"handled": handled, "unhandled": unhandled, "messages": messages, "many": many, "reports": reports, "crons": crons}[sys.argv[1]]()
sentry_sdk.flush(20)
