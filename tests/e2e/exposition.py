"""A strict reader of Prometheus' text exposition format 0.0.4: what a family must be, not only what parsers forgive."""
import math
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
TYPES = {"counter", "gauge", "histogram"}
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


class Family:
    def __init__(self, name, help):
        self.name, self.help, self.type, self.samples = name, help, None, {}


def unescape(text):
    return re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m.group(1), m.group(1)), text)


def read_labels(text):
    """The part in braces; its names are different ones."""
    labels, at = [], 0
    while True:
        match = LABEL.match(text, at)
        assert match, f"no label: {text[at:]!r}"
        labels.append((match.group(1), unescape(match.group(2))))
        at = match.end()
        if at == len(text):
            break
        assert text[at] == ",", text
        at += 1
    assert len({name for name, _ in labels}) == len(labels), text
    assert not any(name.startswith("__") for name, _ in labels), text
    return tuple(sorted(labels))


def read_sample(line):
    name = NAME.match(line).group(0)
    rest, labels = line[len(name):], ()
    if rest.startswith("{"):
        end = rest.rindex("}")
        labels, rest = read_labels(rest[1:end]), rest[end + 1:]
    assert rest.startswith(" ") and NUMBER.fullmatch(rest[1:]), line  # nothing of ours is negative, infinite, or has a time
    return name, labels, float(rest[1:])


def check_histogram(family):
    """Of each set of labels: buckets that ascend, cumulate and end in +Inf, which is the count; a sum."""
    series = {}
    for (name, labels), value in family.samples.items():
        others = tuple(pair for pair in labels if pair[0] != "le")
        one = series.setdefault(others, {"buckets": []})
        if name.endswith("_bucket"):
            one["buckets"].append((float(dict(labels)["le"]), value))
        else:
            assert "le" not in dict(labels)
            one[name[len(family.name):]] = value
    for one in series.values():
        assert set(one) == {"buckets", "_sum", "_count"}, family.name
        bounds, values = zip(*one["buckets"])
        assert list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf and len(bounds) > 2, family.name
        assert list(values) == sorted(values) and values[-1] == one["_count"], family.name
        assert (one["_count"] > 0) >= (one["_sum"] > 0)


def check_family(family):
    assert family.type in TYPES, family.name
    assert family.name.endswith("_total") == (family.type == "counter"), family.name
    assert not re.search(r"_(bucket|sum|count|ms|milliseconds|micros|kb|mb)$", family.name), family.name
    assert family.samples or family.name == "picket_http_requests_total", f"{family.name} has no sample"
    if family.type == "histogram":
        check_histogram(family)


def read_lines(text):
    families, current = {}, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, help = line[7:].split(" ", 1)
            assert NAME.fullmatch(name) and name not in families, f"{name} begins twice"
            assert help.strip() and not re.search(r"\\[^\\n]", help), line
            current = families[name] = Family(name, unescape(help))
        elif line.startswith("# TYPE "):
            name, type = line[7:].split(" ")
            assert current and name == current.name and current.type is None and not current.samples, line
            current.type = type
        else:
            assert line and not line.startswith("#"), line
            name, labels, value = read_sample(line)
            assert current and current.type, f"{line}: no TYPE before it"
            assert any(name == current.name + suffix for suffix in SUFFIXES[current.type]), f"{line}: in the family {current.name}"
            assert (name, labels) not in current.samples, f"{line}: twice"
            current.samples[name, labels] = value
    return families


def read(text):
    """Families by name; anything that is not as it should be is an AssertionError."""
    assert text.endswith("\n") and not text.endswith("\n\n") and "\r" not in text and "\t" not in text
    families = read_lines(text)
    for family in families.values():
        check_family(family)
    return families


class Scrape:
    """What was told at one moment."""

    def __init__(self, text):
        self.families = read(text)
        self.samples = {key: value for family in self.families.values() for key, value in family.samples.items()}

    def value(self, name, **labels):
        """0 for one that has not occurred."""
        return self.samples.get((name, tuple(sorted(labels.items()))), 0)

    def counters(self):
        """All that may only grow."""
        return {key: value for family in self.families.values() if family.type != "gauge" for key, value in family.samples.items()}
