#!/usr/bin/env python3
"""make lint: the layers and the rules of style.  lint.py [ROOT]  Prints path:line: [rule] what is wrong; exit status 1 when anything is.

allow.txt beside this file names exceptions, one a line:  rule path[:name] reason.  An entry that excuses nothing is an error itself.
"""
import os
import sys

from layers import check_layers
from rules import CHECKS

HERE = os.path.dirname(os.path.abspath(__file__))


def read_allowed(path):
    allowed = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                words = line.split(None, 2)
                if not words or words[0].startswith("#"):
                    continue
                if len(words) < 3:
                    sys.exit(f"{path}:{number}: an exception needs a rule, a place and a reason")
                allowed[(words[0], words[1])] = number
    return allowed


def lint(root, allow_path):
    """Lines of complaint."""
    allowed, used, complaints = read_allowed(allow_path), set(), []
    for check in [check_layers, *CHECKS]:
        for p in check(root):
            keys = [(p.rule, p.path), (p.rule, f"{p.path}:{p.name}")]
            excuse = [key for key in keys if key in allowed]
            if excuse:
                used.update(excuse)
            else:
                complaints.append(f"{p.path}:{p.line}: [{p.rule}] {p.text}")
    for key, number in allowed.items():
        if key not in used:
            complaints.append(f"{os.path.relpath(allow_path, root)}:{number}: [allow] nothing to excuse any more: {' '.join(key)}")
    return complaints


def main():
    root = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(HERE))
    complaints = lint(root, os.path.join(HERE if len(sys.argv) == 1 else root, "allow.txt"))
    print("\n".join(complaints) if complaints else "lint: nothing to complain about")
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
