"""Waiting on conditions: polling with a deadline, never a bare sleep for luck."""
import os
import time

# Sanitizer builds are several times slower; tests/run hands the factor down.
TIME_FACTOR = float(os.environ.get("TIME_FACTOR", "1"))


class Late(AssertionError):
    """The condition did not come true in time."""


def until(condition, what, seconds=20.0, pause=0.01):
    """Calls condition() until its result is true and returns that result. `what` is a text, or a function that describes what is seen. What takes
    long is asked for less and less often: looking costs more than waiting."""
    start = time.monotonic()
    deadline = start + seconds * TIME_FACTOR
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Late(f"not within {seconds * TIME_FACTOR:g} s: {what() if callable(what) else what}")
        time.sleep(min(max(pause, (time.monotonic() - start) / 10), max(pause, 0.25)))


def away_from_midnight(seconds=60):
    """For tests that count days: when the day (UTC) has fewer seconds left than they take, waits for the next one."""
    def left():
        return 86400 - time.time() % 86400
    until(lambda: left() > seconds, lambda: f"{left():.0f} s before midnight", seconds + 5, pause=0.2)
