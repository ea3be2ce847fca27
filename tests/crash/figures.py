"""What the crash tests measured: one line per fault, kept in BUILD/test-results/crash.json and shown as a table at the end of the run."""
import json
import os

import server

PATH = os.path.join(server.BUILD, "test-results", "crash.json")
LONG = os.environ.get("CRASH_FORM") == "long"  # set by `make crash`
lines = []


def amount(quick, long):
    """How often, or how long: `make test` runs the quick form, `make crash` the long one."""
    return long if LONG else quick


def record(fault, rounds, figures, destroyed=0, **more):
    """`destroyed`: by the test itself, on the disk."""
    lines.append({"fault": fault, "rounds": rounds, "acknowledged": figures.acknowledged, "lost": figures.lost - figures.dead_letters - destroyed,
                  "duplicated": figures.duplicated, **({"destroyed": destroyed} if destroyed else {}), **more})


def record_failure(figures):
    """The books did not balance: the table says so, too, and by how much."""
    test = os.environ["PYTEST_CURRENT_TEST"].split("::", 1)[1].split(" ")[0]
    lines.append({"fault": f"FAILED {test}", "rounds": 0, "acknowledged": figures.acknowledged, "lost": figures.lost, "duplicated": figures.duplicated})


def note(fault, rounds):
    """A fault that no event was sent under."""
    lines.append({"fault": fault, "rounds": rounds, "acknowledged": 0, "lost": 0, "duplicated": 0})


def write():
    os.makedirs(os.path.dirname(PATH), exist_ok=True)
    with open(PATH, "w", encoding="utf-8") as f:
        json.dump({"form": "long" if LONG else "quick", "faults": lines}, f, indent=1)
        f.write("\n")


def table():
    if not lines:
        return []
    names = ("fault", "rounds", "acknowledged", "lost", "duplicated")
    rows = [names, *[tuple(str(line[name]) for name in names) for line in lines]]
    width = [max(len(row[i]) for row in rows) for i in range(len(names))]
    return [f"{row[0]:<{width[0]}}  " + "  ".join(f"{row[i]:>{width[i]}}" for i in range(1, len(names))) for row in rows]
