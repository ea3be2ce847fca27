"""The check of the layers itself: small trees with one arrow each, wrong ones (with what must be said about them) and right ones."""
import json
import os

import pytest
from layers import LAYERS, check_layers

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "wrong_arrows.jsonl"), encoding="utf-8") as cases:
    CASES = [json.loads(line) for line in cases]


def write(root, path, text):
    path = root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['file']} {case['include']}")
def test_arrow(tmp_path, case):
    write(tmp_path, "src/api/a.h", "#pragma once\n")
    write(tmp_path, case["file"], f"/* a file */\n#include {case['include']}\n")
    problems = list(check_layers(str(tmp_path)))
    if case["wrong"] is None:
        assert problems == []
    else:
        (problem,) = problems
        assert problem.path == case["file"]
        assert case["wrong"] in problem.text


def test_includes_in_comments_do_not_count(tmp_path):
    write(tmp_path, "src/base/a.c", '/*\n#include <h2o.h>\n*/\n// #include <uv.h>\nconst char *s = "/* ";\n')
    assert list(check_layers(str(tmp_path))) == []


def test_line_is_named(tmp_path):
    write(tmp_path, "src/base/a.c", '#include <stdio.h>\n\n  #  include   "picket/api/api.h" /* why */\n')
    assert [p.line for p in check_layers(str(tmp_path))] == [3]


def test_every_folder_of_the_project_is_a_layer():
    source = os.path.join(os.path.dirname(os.path.dirname(HERE)), "src")
    folders = [name for name in os.listdir(source) if os.path.isdir(os.path.join(source, name))]
    assert folders and set(folders) <= set(LAYERS)
