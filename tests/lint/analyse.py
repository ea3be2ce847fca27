#!/usr/bin/env python3
"""make lint, second half: clang-tidy (its checks: .clang-tidy) and cppcheck over everything in src/.  analyse.py [BUILD]

BUILD (build-lint) is a build directory: it is configured when it is not there, and its generated headers are made; nothing else is compiled. A file
that had no finding is not looked at again until it, a header or a tool has changed. cppcheck.txt beside this file names what is not reported, each
with its reason. gcc -fanalyzer is left out: of its 8 findings on 90 files (gcc 12, 72 seconds) none was one; it follows neither lists whose links
lie in their elements nor the cleanup attribute. clang-tidy runs clang's analyzer, which is what scan-build does. Exit status 1 on findings.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TOOLS = ("clang-tidy", "cppcheck")


def configure(build):
    if not os.path.exists(os.path.join(build, "build.ninja")):
        subprocess.run(["meson", "setup", build, "-Dtests=false"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", build, "--quiet", "sql/stmts.h"], check=True, stdout=subprocess.DEVNULL)


def sources(build):
    """Compile commands of our own files, by path."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        entries = [(os.path.normpath(os.path.join(e["directory"], e["file"])), e["command"]) for e in json.load(f)]
    own = os.path.join(ROOT, "src") + os.sep
    return {path: command for path, command in entries if path.startswith(own)}


def read(path):
    with open(path, "rb") as f:
        return f.read()


def headers(build):
    """One digest of all that a source may include, and of the tools and their settings."""
    digest = hashlib.sha256()
    for tool in TOOLS:
        digest.update(subprocess.run([tool, "--version"], capture_output=True, check=True).stdout)
    paths = [os.path.join(ROOT, ".clang-tidy"), os.path.join(HERE, "cppcheck.txt"), os.path.abspath(__file__)]
    for top in (os.path.join(ROOT, "src"), os.path.join(ROOT, "include"), os.path.join(build, "sql"), os.path.join(build, "src")):
        paths += [os.path.join(where, name) for where, _, names in os.walk(top) for name in names if name.endswith(".h")]
    for path in sorted(paths):
        digest.update(os.path.relpath(path, ROOT).encode() + b"\0" + read(path))
    return digest.digest()


LEAK = re.compile(r"Potential leak of memory pointed to by '(\w+)' \[clang-analyzer-unix.Malloc")


def without_leaks_of_scope(text, source):
    """clang's analyzer does not know the cleanup attribute: what AUTO_FREE frees at the end of the scope is no leak."""
    kept, skipping = [], False
    for line in text.splitlines():
        if re.search(r": (error|warning): ", line):
            leak = LEAK.search(line)
            skipping = bool(leak and re.search(rf"\bAUTO_FREE [^;]*\b{leak.group(1)}\b", source))
        if not skipping:
            kept.append(line)
    return "\n".join(kept).strip()


def clang_tidy(build, path):
    done = subprocess.run(["clang-tidy", "-p", build, "--quiet", "--warnings-as-errors=*", "--extra-arg=-Wno-unknown-warning-option", path],
                          capture_output=True, text=True)
    if done.returncode and not done.stdout.strip():
        return done.stderr.strip()
    return without_leaks_of_scope(done.stdout, read(path).decode())


def suppressions():
    """Rows of cppcheck.txt: identifier:file reason."""
    with open(os.path.join(HERE, "cppcheck.txt"), encoding="utf-8") as f:
        rows = [line.split(None, 1) for line in f if line.strip() and not line.startswith("#")]
    for row in rows:
        if len(row) < 2:
            sys.exit(f"cppcheck.txt: {row[0]} needs a reason")
    return [f"--suppress={row[0].replace(':', ':*/', 1)}" for row in rows]


def cppcheck(build, path):
    """The macro stands for an operator that cppcheck 2.10 cannot read."""
    done = subprocess.run(["cppcheck", "--quiet", "--enable=warning,performance,portability", "--inline-suppr", "--error-exitcode=1", *suppressions(),
                           "-D__typeof__(x)=void *", f"--project={build}/compile_commands.json", f"--file-filter={path}"], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ""


def check(build, path, key):
    """Findings; what has none is remembered."""
    known = os.path.join(build, "lint-cache", key)
    if os.path.exists(known):
        return ""
    found = "\n".join(filter(None, (clang_tidy(build, path), cppcheck(build, path))))
    if not found:
        with open(known, "wb"):
            pass
    return found


def main():
    build = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build-lint"))
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        sys.exit(f"lint: {' and '.join(missing)} is missing: docker/setup.sh build lint installs it")
    began = time.monotonic()
    configure(build)
    os.makedirs(os.path.join(build, "lint-cache"), exist_ok=True)
    common, commands = headers(build), sources(build)
    keys = {path: hashlib.sha256(common + command.encode() + read(path)).hexdigest() for path, command in commands.items()}
    for name in set(os.listdir(os.path.join(build, "lint-cache"))) - set(keys.values()):
        os.remove(os.path.join(build, "lint-cache", name))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda path: check(build, path, keys[path]), sorted(commands)))
    found = [re.sub(rf"{re.escape(build)}/\S*?(?=src/|include/)|{re.escape(ROOT)}/", "", result) for result in results if result]
    print("\n".join(found + [f"analysis: {len(found)} of {len(results)} files with findings, {time.monotonic() - began:.0f} s"]))
    sys.exit(1 if found or not results else 0)


if __name__ == "__main__":
    main()
