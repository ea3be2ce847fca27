"""Reads C files for the lint rules: comments and literals told apart from code, functions and includes found."""
import os
import re
from collections import namedtuple

Problem = namedtuple("Problem", "rule path line name text")
Include = namedtuple("Include", "line system name")
Literal = namedtuple("Literal", "line text")
Function = namedtuple("Function", "name line lines")

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include\b[ \t]*(.*)$", re.M)
HEADER = re.compile(r'"([^"]+)"|<([^>]+)>')
SIGNATURE = re.compile(r"(\w+)\s*\((?!\()")


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


class Source:
    """One file. `code` has comments blanked, `bare` also the contents of literals; both keep every line where it is."""

    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding="utf-8") as f:
            self.text = f.read()
        self.literals = []
        self.code = TOKEN.sub(self._without_comment, self.text)
        self.bare = TOKEN.sub(lambda m: '"' + _blank(m.group()[1:-1]) + '"', self.code)

    def _without_comment(self, match):
        token = match.group()
        if token.startswith("/"):
            return _blank(token)
        if token.startswith('"'):
            self.literals.append(Literal(self.line_at(match.start()), token[1:-1]))
        return token

    def line_at(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def n_lines(self):
        return self.text.count("\n")

    def includes(self):
        for match in INCLUDE.finditer(self.code):
            header = HEADER.match(match.group(1).strip())
            line = self.line_at(match.start())
            if header:
                yield Include(line, header.group(2) is not None, header.group(1) or header.group(2))
            else:
                yield Include(line, False, "")  # a macro: what it includes cannot be told

    def statements(self):
        """Neighbouring literals joined, as the compiler joins them: (line, text)."""
        joined, last = [], None
        for literal in self.literals:
            between = ""
            if last is not None:
                between = "\n".join(self.bare.split("\n")[last.line - 1 : literal.line])
            if last is not None and literal.line - last.line <= 1 and not re.search(r'"[^"]*[;,)(=?:{}][^"]*"', between):
                joined[-1] = Literal(joined[-1].line, joined[-1].text + literal.text)
            else:
                joined.append(literal)
            last = literal
        return joined

    def functions(self):
        """Bodies whose braces stand alone in the first column; `lines` counts both braces."""
        lines = self.bare.split("\n")
        start = None
        for i, line in enumerate(lines):
            if line.rstrip() == "{":
                start = i
            elif line.startswith("}") and start is not None:
                head = []
                for before in reversed(lines[max(0, start - 8) : start]):
                    if before.strip() == "" or before[:1] in "#}":
                        break
                    head.insert(0, before)
                name = SIGNATURE.search(" ".join(head))
                yield Function(name.group(1) if name else "?", start + 1, i - start + 1)
                start = None


def c_files(root, *folders):
    found = []
    for folder in folders:
        for where, dirs, names in os.walk(os.path.join(root, folder)):
            dirs.sort()
            found += [os.path.relpath(os.path.join(where, n), root) for n in sorted(names) if n.endswith((".c", ".h"))]
    return found
