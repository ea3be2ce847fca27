"""What src/api/openapi promises, and whether answers keep it: every session of requests that the tests make is watched, so that whatever they ask for, an
answer is of a documented status, of a documented type, and passes its schema. The formats in there are the contract's (§7.2: what is missing, null or
ill-typed is fatal for the dashboard); members that are not described are looked for by test_openapi.py alone."""
import contextlib
import functools
import glob
import importlib.util
import json
import os
import re
from urllib.parse import urlsplit

import jsonschema_rs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = os.path.join(ROOT, "src", "api", "openapi")


def load_joiner():
    spec = importlib.util.spec_from_file_location("join", os.path.join(SOURCES, "join.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def document():
    """As it is served (test_openapi.py holds it against that)."""
    return load_joiner().make(os.path.join(ROOT, "VERSION"), sorted(glob.glob(os.path.join(SOURCES, "*.json"))))


def validator(schema, components=None):
    """Of a schema that may refer to the document's."""
    return jsonschema_rs.Draft202012Validator({**schema, "components": components or document()["components"]}, validate_formats=True)


def deref(what):
    while "$ref" in what:
        at = document()
        for part in what["$ref"].removeprefix("#/").split("/"):
            at = at[part]
        what = at
    return what


class Operation:
    def __init__(self, method, path, described):
        self.method, self.path, self.described = method, path, described
        self.access = described["x-access"]
        self.segments = [part for part in path.split("/") if part]
        self.literal = [not part.startswith("{") for part in self.segments]
        self.validators = {}

    def fits(self, segments, final_slash):
        return len(segments) == len(self.segments) and (not final_slash or self.access == "ingest" or not segments) and all(
            not literal or mine == theirs for literal, mine, theirs in zip(self.literal, self.segments, segments))

    def response(self, status):
        response = self.described["responses"].get(str(status))
        return response and deref(response)

    def content(self, status):
        """What an answer of that status may be: schemas by media type, {} for no body; None: the status is not documented."""
        response = self.response(status)
        return response and response.get("content", {})

    def validator(self, status, media_type):
        key = (status, media_type)
        if key not in self.validators:
            self.validators[key] = validator(self.content(status)[media_type]["schema"])
        return self.validators[key]


@functools.cache
def operations():
    return [Operation(method.upper(), path, described) for path, methods in document()["paths"].items() for method, described in methods.items()]


def find(path):
    """The operations of a path by their methods, chosen as src/http/route.c does: where several fit, the one that is literal earlier."""
    segments = [part for part in path.split("/") if part]
    found = {}
    for operation in operations():
        if operation.fits(segments, path.endswith("/")):
            if operation.method not in found or operation.literal > found[operation.method].literal:
                found[operation.method] = operation
    return found


@functools.cache
def error_validator():
    """Of a path or method that is not there, whose ever it may be."""
    return validator({"anyOf": [{"$ref": "#/components/schemas/IngestError"}, {"$ref": "#/components/schemas/Error"}]})


fails = False


@contextlib.contextmanager
def failing():
    """Around what a 500 is asked for on purpose."""
    global fails  # pylint: disable=global-statement
    fails = True
    try:
        yield
    finally:
        fails = False


def passes(a_validator, body, what):
    try:
        value = json.loads(body)
    except RecursionError:  # Python's own limit
        return
    except ValueError as e:
        raise AssertionError(f"{what}: no JSON: {e}: {body[:300]!r}") from e
    error = next(a_validator.iter_errors(value), None)
    assert error is None, f"{what}: at {'/'.join(map(str, error.instance_path)) or 'the top'}: {error.message[:500]}"


def check_body(operation, status, media_type, body, what):
    content = operation.content(status)
    if not content or (not body and operation.response(status).get("x-may-be-empty")):
        assert not body, f"{what}: a body, where none is documented: {body[:300]!r}"
        return
    assert media_type in content, f"{what}: {media_type or 'no type'} instead of {sorted(content)}"
    if "json" in media_type:
        passes(operation.validator(status, media_type), body, what)


def check(method, target, status, headers, body):
    """An answer to that request; body=None: not known. Picket takes paths with and without the prefix of PUBLIC_URL."""
    path = urlsplit(target).path if "://" in target else target.split("?")[0]
    found = find(path)
    if not found and status != 404:
        found = find("/" + path.lstrip("/").partition("/")[2])
    operation = found.get("GET" if method == "HEAD" else method)
    media_type = headers.get("Content-Type", "").split(";")[0].strip()
    what = f"{method} {path[:200]}: {status}"
    if operation:
        assert operation.content(status) is not None, f"{what} is not documented for {operation.path}: {(body or b'')[:300]!r}"
        assert status != 500 or fails, f"{what}: {(body or b'')[:300]!r}"
        if body is not None and method != "HEAD":
            check_body(operation, status, media_type, body, what)
    elif found and method == "OPTIONS":
        assert status == 200 and not body and "Allow" in headers, what
    else:
        assert status == (405 if found else 404) or status in (400, 408, 413, 431, 503), f"{what}: it is not documented"
        assert status != 405 or set(headers["Allow"].split(", ")) >= set(found), f"{what}: {headers['Allow']}"
        if body and method != "HEAD":
            passes(error_validator(), body, what)


def watch(session):
    """Looks at every answer of the session from now on."""
    def look(answer, **more):
        check(answer.request.method, answer.request.url, answer.status_code, answer.headers, None if more.get("stream") else answer.content)
    session.hooks["response"].append(look)
    return session


# ---- for test_openapi.py

def closed(schema):
    """The same without members that are not described."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    ret = {name: closed(value) if name not in ("examples", "enum", "const", "required") else value for name, value in schema.items()}
    if isinstance(ret.get("properties"), dict) and ret.get("type") == "object" and "additionalProperties" not in ret:
        ret["additionalProperties"] = False
    return ret


TABLE = re.compile(r"struct http_route \w+\[\] = \{(.*?)\n\};", re.DOTALL)
ROW = re.compile(r'\s*\{\s*HTTP_(\w+)\s*,\s*"([^"]+)"\s*,\s*HTTP_(\w+)\s*,\s*HTTP_(\w+)\s*,\s*\w+\s*,?\s*\}\s*,?\s*')


def rows_of(text):
    """Rows of a table of routes in C: method, path, access, body. One that is not understood is an error, none is passed over."""
    (inner,), rows, at = TABLE.findall(text), [], 0
    inner = re.sub(r"/\*.*?\*/", " ", inner, flags=re.DOTALL).strip()
    while at < len(inner):
        row = ROW.match(inner, at)
        assert row, f"a row of the table of routes that tests cannot read: {inner[at:at + 120]}"
        rows.append(row.groups())
        at = row.end()
    return rows


def routes_of(*path):
    with open(os.path.join(ROOT, "src", *path), encoding="utf-8") as table:
        return rows_of(table.read())


def tables():
    """The files below src/ that have one."""
    files = (os.path.join(base, name) for base, _, names in os.walk(os.path.join(ROOT, "src")) for name in names if name.endswith(".c"))
    for path in files:
        with open(path, encoding="utf-8") as source:
            if re.search(r"\bstruct http_route \w+\[", source.read()):
                yield os.path.relpath(path, os.path.join(ROOT, "src"))
