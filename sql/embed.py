"""Turns sql/queries/*.sql and sql/migrations/*.sql into stmts.h (enum db_stmt) and stmts.c (their texts).

Called by meson: embed.py OUTDIR embed.py FILE...   A query's leading comment lines stay in the text; its parameters are $1, $2, ...
"""
import os
import re
import sys


def c_string(text):
    lines = text.split("\n")
    out = []
    for i, line in enumerate(lines):
        end = "\\n" if i < len(lines) - 1 else ""
        out.append('    "' + line.replace("\\", "\\\\").replace('"', '\\"') + end + '"')
    return "\n".join(out)


def write_if_changed(path, text):
    if os.path.exists(path) and open(path, encoding="utf-8").read() == text:
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def main():
    outdir, files = sys.argv[1], [f for f in sys.argv[3:] if f.endswith(".sql")]
    queries = sorted(f for f in files if "/queries/" in f)
    migrations = sorted(f for f in files if "/migrations/" in f)
    names = [os.path.basename(f)[:-4] for f in queries]
    for n in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", n):
            sys.exit(f"sql/queries/{n}.sql: a query's name is lower_case_with_underscores")

    h = ["/* Made by sql/embed.py from sql/. */", "#pragma once", "", "enum db_stmt {"]
    h += [f"    STMT_{n.upper()}," for n in names]
    h += ["    STMT_COUNT,", "};", ""]
    write_if_changed(os.path.join(outdir, "stmts.h"), "\n".join(h))

    c = ["/* Made by sql/embed.py from sql/. */", '#include "stmts_text.h"', "", "const struct stmt_text stmt_texts[STMT_COUNT] = {"]
    for n, f in zip(names, queries):
        c.append(f'    [STMT_{n.upper()}] = {{"{n}",\n{c_string(open(f, encoding="utf-8").read().rstrip())}}},')
    c.append("};")
    c.append("const struct stmt_migration stmt_migrations[] = {")
    for i, f in enumerate(migrations):
        m = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", os.path.basename(f))
        if not m or int(m.group(1)) != i + 1:
            sys.exit(f"{f}: migrations are NNNN_name.sql, numbered from 0001 without gaps")
        c.append(f'    {{{i + 1}, "{m.group(2)}",\n{c_string(open(f, encoding="utf-8").read().rstrip())}}},')
    c.append("};")
    c.append(f"const int stmt_n_migrations = {len(migrations)};")
    write_if_changed(os.path.join(outdir, "stmts.c"), "\n".join(c) + "\n")


main()
