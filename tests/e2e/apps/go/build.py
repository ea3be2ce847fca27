#!/usr/bin/env python3
"""Builds the Go program:  build.py OUTPUT   With a Go before 1.25 it gets the last SDK that is content with it (older.mod)."""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# Nothing of the Go installation's settings may change what is built, or have a newer Go fetched. Without C, nothing of it needs a C compiler.
environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}
version = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout
newer = tuple(map(int, re.search(r"go(\d+)\.(\d+)", version).groups())) >= (1, 25)
# Not optimised: it is compiled, with Go's own library on a machine's first time, to be run once.
command = ["go", "build", "-mod=readonly", "-buildvcs=false", "-gcflags=all=-N -l", "-ldflags=-s -w",
           *([] if newer else ["-modfile=older.mod"]), "-o", os.path.abspath(sys.argv[1]), "."]
os.chdir(HERE)
os.execvpe("go", command, environment)
