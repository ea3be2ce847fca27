"""Every fuzz target is built, has a corpus, and is named in the table of what reads foreign bytes; the table names nothing else."""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FUZZ = os.path.join(ROOT, "tests", "fuzz")


def read(name):
    with open(os.path.join(FUZZ, name), encoding="utf-8") as f:
        return f.read()


def targets():
    return {name[len("fuzz_"):-2] for name in os.listdir(FUZZ) if re.fullmatch(r"fuzz_\w+\.c", name)}


def table():
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in read("README.md").splitlines() if line.startswith("| ")][1:]


def test_targets_are_built():
    assert targets() == set(re.findall(r"^  '(\w+)': \[", read("meson.build"), re.M))


def test_targets_have_a_corpus():
    for name in targets():
        assert os.listdir(os.path.join(FUZZ, "corpus", name)), name
    assert set(os.listdir(os.path.join(FUZZ, "corpus"))) == targets()


def test_table_names_the_targets():
    named = {re.sub(r" \(.*\)", "", name) for row in table() for name in row[2].split(", ")}
    assert named == targets()


def test_readers_are_there():
    for _, readers, _ in table():
        for path in re.findall(r"`([\w/]+(?:\.c|/))`", readers):
            assert os.path.exists(os.path.join(ROOT, "src", path)), path
