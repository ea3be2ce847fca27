"""Each rule of style: a snippet that breaks it is found, its innocent neighbour is not. And the project itself breaks none."""
import os
import shutil
import subprocess

import pytest
from lint import lint
from rules import check_calls, check_excuses, check_files, check_sizes, check_texts

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def found(tmp_path, check, path, text):
    target = tmp_path / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return [p.rule for p in check(str(tmp_path))]


@pytest.mark.parametrize(
    "text",
    [
        'q = "SELECT id FROM projects";',
        'q = "select pg_notify($1, $2)";',
        'q = "  INSERT INTO events"\n    " VALUES ($1)";',
        'q = "update issues set x = 1";',
        'q = "DELETE "\n    "FROM issues";',
        'q = "CREATE UNIQUE INDEX i ON t (a)";',
        'q = "WITH x AS (SELECT 1) SELECT 2";',
        'q = "BEGIN";',
    ],
)
def test_sql_in_c(tmp_path, text):
    assert found(tmp_path, check_texts, "src/api/a.c", f"void f(void)\n{{\n    {text}\n}}\n") == ["sql"]


@pytest.mark.parametrize(
    "text",
    [
        'log_info("update failed", "");',
        'say("select a project with --project");',
        'say("with the database away nothing is lost");',
        '/* "SELECT id FROM projects" */',
        'name = "delete";',
        'f("delete", "from this project");',
    ],
)
def test_plain_words_are_not_sql(tmp_path, text):
    assert found(tmp_path, check_texts, "src/api/a.c", f"void f(void)\n{{\n    {text}\n}}\n") == []


def test_the_driver_may_say_begin(tmp_path):
    assert found(tmp_path, check_texts, "src/db/a.c", 'const char *s = "BEGIN";\n') == []


@pytest.mark.parametrize("text", [r'"{\"error\":\"x\"}"', r'"\"id\": %d"', r'"[\"a\"]"', r'"%s{ \"%s\": 1 }"'])
def test_json_by_hand(tmp_path, text):
    assert found(tmp_path / "outside", check_texts, "src/api/a.c", f"const char *s = {text};\n") == ["json"]
    assert found(tmp_path / "inside", check_texts, "src/json/a.c", f"const char *s = {text};\n") == []


@pytest.mark.parametrize("text", [r'"msg=\"%s\""', r'"{id}"', r'"a: b"', r'"host \"%s\": %s"'])
def test_not_json(tmp_path, text):
    assert found(tmp_path, check_texts, "src/api/a.c", f"const char *s = {text};\n") == []


@pytest.mark.parametrize("call", ["strcpy(a, b)", "sprintf (a, b)", "atoi(s)", "sscanf(s, f)", "alloca(9)"])
def test_banned_calls(tmp_path, call):
    assert found(tmp_path, check_calls, "tests/unit/a.c", f"int x = {call};\n") == ["banned"]


def test_names_that_only_look_banned(tmp_path):
    assert found(tmp_path, check_calls, "src/api/a.c", 'int x = my_strcpy(a) + snprintf(a); /* strcpy(a, b) */ char *s = "atoi(";\n') == []


def test_disabled_code(tmp_path):
    assert found(tmp_path, check_calls, "src/api/a.c", "#if 0\nint x;\n#endif\n#if 01\n#endif\n") == ["dead"]


def test_function_of_61_lines(tmp_path):
    body = "    x();\n"
    assert found(tmp_path, check_sizes, "src/api/a.c", "int f(int a,\n      int b)\n{\n" + body * 59 + "}\n") == ["function"]
    assert found(tmp_path, check_sizes, "src/api/a.c", "int f(void)\n{\n" + body * 58 + "}\n") == []


def test_long_files(tmp_path):
    assert found(tmp_path, check_sizes, "src/api/a.c", "int x;\n" * 801) == ["size"]
    assert found(tmp_path, check_sizes, "src/api/a.c", "int x;\n" * 800) == []
    assert found(tmp_path, check_sizes, "include/picket/api/a.h", "int x;\n" * 201) == ["size"]


@pytest.mark.parametrize(
    "text,rule",
    [
        ("/* TODO: later */\n", "unfinished"),
        ('const char *s = "/home/jane/x";\n', "path"),
        ('const char *s = "/tmp/x";\n', "path"),
        ("int x; \n", "text"),
        ("int x;", "text"),
    ],
)
def test_texts(tmp_path, text, rule):
    assert found(tmp_path, check_files, "src/api/a.c", text) == [rule]


@pytest.mark.parametrize("comment, rules", [
    ("NOLINT", ["excuse"]), ("NOLINTNEXTLINE(bugprone-x)", ["excuse"]), ("NOLINTBEGIN(cert-x): why", []), ("NOLINTEND(cert-x)", []),
    ("NOLINT(clang-analyzer-core.X): why", []), ("cppcheck-suppress memleak", ["excuse"]), ("cppcheck-suppress memleak ; why", []),
])
def test_excuses_say_why(tmp_path, comment, rules):
    assert found(tmp_path, check_excuses, "src/api/a.c", f"int x; /* {comment} */\n") == rules


def test_exceptions_excuse_and_must_be_used(tmp_path):
    (tmp_path / "src" / "api").mkdir(parents=True)
    (tmp_path / "src" / "api" / "a.c").write_text("int f(void)\n{\n" + "    x();\n" * 70 + "}\n", encoding="utf-8")
    allow = tmp_path / "allow.conf"
    assert len(lint(str(tmp_path), str(allow))) == 1
    allow.write_text("function src/api/a.c:f one table\n", encoding="utf-8")
    assert lint(str(tmp_path), str(allow)) == []
    allow.write_text("function src/api/a.c:f one table\nfunction src/api/a.c:g gone\n", encoding="utf-8")
    assert len(lint(str(tmp_path), str(allow))) == 1


def test_the_project_breaks_no_rule():
    done = subprocess.run(["python3", os.path.join(ROOT, "tests", "lint", "lint.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def scripts(first_line, suffix):
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True).stdout.split("\0")
    names = [n for n in listed if n and os.path.isfile(os.path.join(ROOT, n))]
    found_names = []
    for name in names:
        with open(os.path.join(ROOT, name), "rb") as f:
            line = f.readline()
        if name.endswith(suffix) or (line.startswith(b"#!") and first_line in line):
            found_names.append(name)
    return found_names


def test_python_compiles():
    names = scripts(b"python", ".py")
    assert names
    for name in names:
        with open(os.path.join(ROOT, name), encoding="utf-8") as f:
            compile(f.read(), name, "exec")


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed (docker/setup.sh ci brings it)")
def test_shell_scripts_are_clean():
    names = scripts(b"sh\n", ".sh")
    assert names
    done = subprocess.run(["shellcheck", *names], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
