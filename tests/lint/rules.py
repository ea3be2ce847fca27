"""The rules of style that a machine can check. Each yields Problems; allow.txt names the exceptions, each with its reason."""
import os
import re
import subprocess

from source import Problem, Source, c_files

MAX_FILE, MAX_HEADER, MAX_FUNCTION, MAX_COLUMNS = 800, 200, 60, 180
BANNED = re.compile(
    r"\b(strcpy|strcat|strncat|strncpy|strtok|strtok_r|v?sprintf|gets|atoi|atol|atoll|atof|v?[fs]?scanf|s?rand|random|system|popen|alloca|"
    r"setjmp|longjmp)\s*\("
)
SQL = re.compile(
    r"\s*(select\s.*\bfrom\b|select\s+[\w.]+\s*\(|insert\s+into\b|update\s+[\w.]+\s+set\b|delete\s+from\b|truncate\s+table\b|"
    r"(create|alter|drop)\s+(unique\s+|or\s+replace\s+|temp\s+|temporary\s+|unlogged\s+)?"
    r"(table|index|view|type|function|schema|extension|role|user|database|sequence|trigger|policy)\b|"
    r"with\s+(recursive\s+)?\w+\s*(\([^)]*\)\s*)?as\s*(materialized\s*|not\s+materialized\s*)?\(|copy\s+[\w.]+\s*(\(|from|to)\b)",
    re.I | re.S,
)
SESSION_SQL = re.compile(r"\s*(BEGIN|START TRANSACTION|COMMIT|ROLLBACK|LISTEN|UNLISTEN|NOTIFY|SET)\b")  # what the driver itself says
JSON_TEXT = re.compile(r'(^|[{,])\s*\\"[^"\\]*\\"\s*:|^\s*[\[{]\s*\\"')
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|root|home/\w+|Users/\w+)/")
TEXT_FILES = (".c", ".h", ".py", ".sh", ".sql", ".md", ".yml", ".yaml", ".txt", ".toml", ".mjs", ".cjs", ".js", "meson.build", "Makefile", "Dockerfile")


def check_sizes(root):
    for path in c_files(root, "src", "include", "tests"):
        source = Source(root, path)
        limit = MAX_HEADER if path.endswith(".h") and path.startswith("include") else MAX_FILE
        if source.n_lines() > limit:
            yield Problem("size", path, limit + 1, "", f"{source.n_lines()} lines; more than {limit} is too long")
        for function in source.functions():
            if function.lines > MAX_FUNCTION:
                yield Problem("function", path, function.line, function.name, f"{function.name}: {function.lines} lines; at most {MAX_FUNCTION}")


def check_calls(root):
    for path in c_files(root, "src", "include", "tests"):
        source = Source(root, path)
        for match in BANNED.finditer(source.bare):
            yield Problem("banned", path, source.line_at(match.start()), match.group(1), f"{match.group(1)}() is banned")
        for match in re.finditer(r"^[ \t]*#[ \t]*if[ \t]+0\b", source.code, re.M):
            yield Problem("dead", path, source.line_at(match.start()), "", "#if 0: delete the code, history keeps it")


def check_texts(root):
    """SQL and JSON written into C."""
    for path in c_files(root, "src", "include"):
        source = Source(root, path)
        for literal in source.statements():
            if SQL.match(literal.text) or (SESSION_SQL.match(literal.text) and not path.startswith(os.path.join("src", "db"))):
                yield Problem("sql", path, literal.line, "", f"SQL belongs in sql/queries: {literal.text[:50]}")
            if JSON_TEXT.search(literal.text) and not path.startswith(os.path.join("src", "json")):
                yield Problem("json", path, literal.line, "", f"JSON is written by json_writer: {literal.text[:50]}")


def tracked_files(root):
    """What git has or would take; every file when the tree is no repository (the tests of these rules)."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True)
    if listed.returncode == 0 and os.path.exists(os.path.join(root, ".git")):
        return sorted({name for name in listed.stdout.split("\0") if name and os.path.isfile(os.path.join(root, name))})
    return sorted(os.path.relpath(os.path.join(where, n), root) for where, _, names in os.walk(root) for n in names)


def check_files(root):
    """Unfinished business, machine paths and overlong lines in everything that people wrote."""
    for path in tracked_files(root):
        if not path.endswith(TEXT_FILES) or path.startswith(os.path.join("tests", "lint")):
            continue
        with open(os.path.join(root, path), encoding="utf-8") as f:
            text = f.read()
        if text and not text.endswith("\n"):
            yield Problem("text", path, text.count("\n") + 1, "", "no newline at the end of the file")
        for i, line in enumerate(text.split("\n"), 1):
            if UNFINISHED.search(line):
                yield Problem("unfinished", path, i, "", "finish it, or file an issue and leave it out of the text")
            if MACHINE_PATH.search(line) or (path.endswith((".c", ".h")) and path.startswith(("src", "include")) and "/tmp/" in line):
                yield Problem("path", path, i, "", "a path of somebody's machine")
            if line != line.rstrip():
                yield Problem("text", path, i, "", "blanks at the end of the line")
            if path.endswith(".py") and len(line) > MAX_COLUMNS:
                yield Problem("text", path, i, "", f"{len(line)} columns; at most {MAX_COLUMNS}")


def check_excuses(root):
    """What a tool of analyse.py is told to overlook says why."""
    for path in c_files(root, "src", "include"):
        with open(os.path.join(root, path), encoding="utf-8") as f:
            for i, line in enumerate(f, 1):
                tidy, cpp = re.search(r"\bNOLINT(?!END)\w*(\(([\w.,-]+)\): \S)?", line), re.search(r"\bcppcheck-suppress(?: \w+ ; \S)?", line)
                if (tidy and not tidy.group(1)) or (cpp and " ; " not in cpp.group(0)):
                    yield Problem("excuse", path, i, "", "name the check and the reason: NOLINT(check): reason, cppcheck-suppress identifier ; reason")


CHECKS = [check_sizes, check_calls, check_texts, check_files, check_excuses]
