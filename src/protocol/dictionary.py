"""The zstd dictionary of stored payloads (payload.c).

  dictionary.py train RECORDINGS FILE   makes one of the events in recorded traffic (tests/e2e/recordings); needs zstd(1)
  dictionary.py embed FILE OUT.c        called by meson: the file as a constant

A dictionary that a release has written with stays for ever: rows are read by it. A better one is a second file with the next number and a second line
in payload.c. What people wrote is no part of it: source lines and variables are taken out of the events before, so it knows SDKs, not a program.
"""
import gzip
import json
import os
import subprocess
import sys
import tempfile

BYTES, NUMBER = 4096, 1
EVENT_MAX = 60_000  # larger ones would be most of what it is made of
OURS = ("context_line", "pre_context", "post_context", "vars")


def events(envelope):
    """The error events of an envelope (protocol §2)."""
    _, _, rest = envelope.partition(b"\n")
    while rest:
        head, _, rest = rest.partition(b"\n")
        header = json.loads(head)
        length = header.get("length", rest.find(b"\n") if b"\n" in rest else len(rest))
        if header.get("type") == "event":
            yield json.loads(rest[:length])
        rest = rest[length + 1:]


def recorded(directory):
    for folder, folders, names in os.walk(directory):
        folders.sort()
        for name in sorted(n for n in names if n.endswith(".body")):
            with open(os.path.join(folder, name), "rb") as f:
                body = f.read()
            try:
                yield from events(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)
            except ValueError:
                continue  # no envelope


def without_source(value):
    if isinstance(value, list):
        return [without_source(v) for v in value]
    if isinstance(value, dict):
        return {k: type(v)() if k in OURS and v is not None else without_source(v) for k, v in value.items()}
    return value


def train(directory, path):
    texts = sorted({json.dumps(without_source(e), separators=(",", ":"), sort_keys=False) for e in recorded(directory)})
    with tempfile.TemporaryDirectory() as folder:
        samples = [os.path.join(folder, f"{i:04}") for i in range(len(texts))]
        for sample, text in zip(samples, texts):
            with open(sample, "w", encoding="utf-8") as f:
                f.write(text if len(text) <= EVENT_MAX else "")
        subprocess.run(["zstd", "-q", "-f", "-T1", "--train-cover", f"--maxdict={BYTES}", f"--dictID={NUMBER}", "-o", path,
                        *(s for s in samples if os.path.getsize(s))], check=True)


def embed(path, out):
    with open(path, "rb") as f:
        data = f.read()
    rows = [", ".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24)]
    with open(out, "w", encoding="utf-8") as f:
        f.write(f"/* Made by dictionary.py of {os.path.basename(path)}. */\n#include \"payload_embedded.h\"\n\n"
                f"const struct payload_embedded payload_embedded_{NUMBER} = {{{len(data)}, (const unsigned char[]){{\n    " + ",\n    ".join(rows) + "}};\n")


if __name__ == "__main__":
    {"train": train, "embed": embed}[sys.argv[1]](*sys.argv[2:])
