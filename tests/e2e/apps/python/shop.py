"""A shop with the Python SDK, part by part.  usage: SENTRY_DSN=… shop.py PART...   Exit status 0: everything was sent and nothing was refused."""
import logging
import sys
import time

import sentry_sdk
from sentry_sdk import metrics
from sentry_sdk.crons import capture_checkin, monitor
from sentry_sdk.integrations.logging import LoggingIntegration

from refusals import refused

COMMON = {"release": "shop@1.2.3+build.7", "dist": "7", "environment": "production", "server_name": "web-1",
          "auto_enabling_integrations": False}  # Flask is there, for another program


def init(**options):
    sentry_sdk.init(**{**COMMON, "traces_sample_rate": 1.0, "enable_logs": True, "send_default_pii": True,
                       "integrations": [LoggingIntegration(level=logging.INFO, event_level=logging.ERROR)], **options})


def done():
    sentry_sdk.flush(timeout=20)
    sentry_sdk.get_client().close(timeout=20)


class PaymentError(Exception):
    pass


def inner(item):
    price = {"currency": "EUR", "password": "hunter2", "amount": item * 1.5}
    return price["total"]


def outer(item):
    try:
        inner(item)
    except KeyError as e:
        raise PaymentError(f"checkout failed for item {item}") from e


def capture(function, *arguments):
    try:
        function(*arguments)
    except Exception as e:  # whatever it is
        sentry_sdk.capture_exception(e)


def several():
    raise ExceptionGroup("several", [ValueError("one"), TypeError("two"), ExceptionGroup("in", [KeyError("three")])])


def part_errors():
    init()
    sentry_sdk.set_user({"id": 42, "email": "ann@example.com", "username": "ann", "ip_address": "{{auto}}", "plan": "pro"})
    sentry_sdk.set_tags({"tenant": "acme", "n": 7, "flag": True, "float": 1.5})
    sentry_sdk.set_context("order", {"id": 991, "total": 12.5, "nested": {"a": [1, 2, {"b": None}]}})
    sentry_sdk.set_extra("legacy_extra", {"k": "v"})
    sentry_sdk.add_breadcrumb(category="ui.click", message="checkout", level="info", data={"x": 1})
    sentry_sdk.add_breadcrumb(type="http", category="http", data={"url": "http://api/pay", "method": "POST", "status_code": 500})
    for i in range(2):
        capture(outer, i)
    capture(several)
    sentry_sdk.capture_message("cache warmed in 53 ms", level="info")
    with sentry_sdk.new_scope() as scope:
        scope.fingerprint = ["{{ default }}", "payments", 7]
        scope.set_level("fatal")
        scope.add_attachment(bytes=b"line one\nline two\n", filename="log.txt", content_type="text/plain")
        scope.add_attachment(bytes=bytes(range(256)), filename="b\u00ef\U0001f600n.dat")
        sentry_sdk.capture_exception(RuntimeError("limit exceeded"))
    sentry_sdk.capture_event({"message": "raw %s", "logentry": {"message": "user %s bought %d", "params": ["ann", 3]}, "level": "warning",
                              "timestamp": time.time(), "extra": {"nan": float("nan"), "inf": float("inf"), "big": 2 ** 70, "bytes": b"\xff\x00"}})
    done()


def large_locals():
    numbers, text, deep = list(range(5000)), "y" * 50000, {}
    inside = deep
    for _ in range(40):
        inside["d"] = inside = {}
    raise ValueError(f"large locals \U0001f4a5 {len(numbers) + len(text) + len(deep)}")


def part_unicode():
    init(max_value_length=200000)
    sentry_sdk.capture_message("emoji \U0001f4a5 and \u4f60\u597d \u0645\u0631\u062d\u0628\u0627 caf\u00e9")
    sentry_sdk.capture_message("lone surrogate \ud83d end and low \udc00 end")
    sentry_sdk.capture_message("nul \x00 byte, bell \x07, del \x7f, c1 \x85, ls \u2028")
    sentry_sdk.set_tags({"t\u00e4g": "v\u00e4l\U0001f600", "long": "x" * 300, "newline": "a\nb"})
    capture(large_locals)
    sentry_sdk.capture_message("L" * 100_000)
    sentry_sdk.capture_exception(ValueError("V" * 100_000))
    done()


def part_defaults():
    """Nothing configured beyond what is forced."""
    sentry_sdk.init(server_name="web-1", auto_enabling_integrations=False)
    capture(inner, 3)
    sentry_sdk.capture_message("D" * 100_000)
    done()


def part_trace():
    init(profiles_sample_rate=1.0)
    with sentry_sdk.start_transaction(op="http.server", name="GET /cart", source="route") as transaction:
        transaction.set_tag("shard", "3")
        with sentry_sdk.start_span(op="db", name="SELECT * FROM cart WHERE id = %s") as span:
            span.set_data("db.system", "postgresql")
        with sentry_sdk.start_span(op="http.client", name="GET http://api/price") as span:
            span.set_status("internal_error")
            capture(inner, 1)
        end = time.time() + 0.15  # the profiler wants something to look at
        while time.time() < end:
            pass
    done()


def part_logs():
    init()
    log = logging.getLogger("shop.pay")
    log.setLevel(logging.DEBUG)
    log.info("user %s signed in", "ann", extra={"plan": "pro"})
    log.warning("slow query %.2f ms \U0001f422", 12.5)
    log.error("payment %s failed for %s", 991, "ann")
    try:
        inner(1)
    except KeyError:
        log.exception("caught")
    sentry_sdk.logger.info("order {order} placed", order=991, attributes={"region": "eu", "ok": True, "n": 3, "f": 0.5})
    sentry_sdk.logger.error("lone surrogate \ud83d and nul \x00")
    metrics.count("orders", 1, attributes={"region": "eu"})
    metrics.distribution("latency", 12.5, unit="millisecond")
    metrics.gauge("queue", 7)
    done()


def part_crons():
    init()
    nightly = {"schedule": {"type": "crontab", "value": "0 3 * * *"}, "checkin_margin": 5, "max_runtime": 30, "timezone": "Europe/Berlin",
               "failure_issue_threshold": 2, "recovery_threshold": 1}

    @monitor(monitor_slug="nightly", monitor_config=nightly)
    def job(bad):
        if bad:
            raise RuntimeError("the job failed")
    job(False)
    try:
        job(True)
    except RuntimeError:
        pass
    capture_checkin(monitor_slug="hourly", status="ok", duration=1.5, monitor_config={"schedule": {"type": "interval", "value": 1, "unit": "hour"}})
    done()


def part_sessions():
    init(auto_session_tracking=True)
    for mode, runs in (("application", (False, True)), ("request", (False, True, False))):
        for bad in runs:
            with sentry_sdk.isolation_scope() as scope:
                scope.start_session(session_mode=mode)
                if bad:
                    capture(inner, 1)
                scope.end_session()
    done()


def part_reports():
    init(sample_rate=0.0, before_send_log=lambda log, hint: None, traces_sample_rate=0.0)
    for i in range(5):
        sentry_sdk.capture_message(f"dropped {i}")
    sentry_sdk.logger.info("dropped")
    with sentry_sdk.start_transaction(op="task", name="unsampled"):
        pass
    done()
    init(before_send=lambda event, hint: None if "drop" in str(event.get("message")) else event)
    sentry_sdk.capture_message("drop me")
    sentry_sdk.capture_message("keep me")
    done()


def part_keepalive():
    init(keep_alive=True, auto_session_tracking=False)
    for i in range(3):
        sentry_sdk.capture_message(f"kept alive {i}")
        sentry_sdk.flush(timeout=20)
    done()


def part_unhandled():
    init()
    sentry_sdk.set_user({"id": "42"})
    outer(991)


def part_limits():
    """One after the other, so that each can heed the answer to the one before."""
    init()
    for i in range(6):
        sentry_sdk.capture_message(f"event {i}")
        with sentry_sdk.start_transaction(op="task", name=f"t{i}"):
            pass
        sentry_sdk.logger.info("log {i}", i=i)
        sentry_sdk.flush(timeout=20)
    done()


if __name__ == "__main__":
    for part in sys.argv[1:]:
        globals()["part_" + part]()
    if refused and "limits" not in sys.argv:
        sys.exit(f"refused: {refused}")
