"""Joins the descriptions beside this file to the OpenAPI 3.1 document that /api/openapi.json answers:  join.py VERSION_FILE OUT_FILE FILE...

A file describes a resource:  {"tag", "about", "paths": {path: {method: operation}}, "parameters": {name: parameter}, "schemas": {name: schema}}
base.json has what all of them share. What would be the same everywhere is not written down but made here:

  operation   {"id", "summary", "about"?, "access", "scope"?, "parameters"?, "body"?, "answers", "errors"?}
              access: public, user, account (of the user alone: no token that is limited) or ingest; scope: what the user's role and the token must give, as in the
              table of routes; absent: nothing.
              parameters: names of "parameters", or parameters; those of the path by themselves.
              answers: by status: a type, null for an empty body, or a response; errors: statuses besides those that access and body bring along.
  type        a schema, or an expression: integer, string, … | Name (of "schemas") | "a|b|c" (these texts) | [type] (a list)
              | page of Name | cursor page of Name; behind any of them "?": or null.
  schema      JSON Schema, in which "object": {member: type} stands for an object: a member whose name ends in "?" may be absent;
              "is": type stands for the type; "extends": Name takes that one's members over.

It ends with an error when a name is not there, is not used or is there twice. make() is for the tests, which check more (test_openapi.py).
"""
import json
import os
import re
import sys

ALWAYS = ("400", "408", "413", "431", "500", "503")  # any request may be malformed, slow, too large, or come at a bad time
METHODS = ("get", "post", "put", "patch", "delete")
OPERATION = {"id", "summary", "about", "access", "scope", "parameters", "body", "answers", "errors"}


class Mistake(Exception):
    pass


class Joiner:
    def __init__(self, base, version):
        self.errors = base.pop("errors")
        self.ingest_errors = base.pop("ingest_errors")
        self.sources, self.extended = {"parameters": {}, "schemas": {}}, set()
        self.document = {"openapi": "3.1.0", "info": {**base.pop("info"), "version": version}, "servers": base.pop("servers"), "tags": [], "paths": {},
                         "components": {"securitySchemes": base.pop("security_schemes"), "headers": base.pop("headers"), "parameters": {}, "responses": {}, "schemas": {}}}
        self.components = self.document["components"]
        for status, (name, about) in self.errors.items():
            self.components["responses"][name] = self.error_response(about, "Error")
        for status, (name, about) in self.ingest_errors.items():
            self.components["responses"][name] = self.error_response(about, "IngestError")
        self.take(base)

    @staticmethod
    def error_response(about, schema):
        return {"description": about, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}

    def take(self, part):
        for kind in ("parameters", "schemas"):
            for name, value in part.get(kind, {}).items():
                if name in self.sources[kind]:
                    raise Mistake(f"{kind}: {name} is there twice")
                self.sources[kind][name] = value
        for path, operations in part.get("paths", {}).items():
            if path in self.document["paths"]:
                raise Mistake(f"{path} is there twice")
            self.document["paths"][path] = {method: (part["tag"], operation) for method, operation in operations.items()}
        if "tag" in part:
            self.document["tags"].append({"name": part["tag"], "description": part["about"]})

    # ---- types and schemas

    def reference(self, name):
        if name not in self.sources["schemas"] and name not in self.components["schemas"]:
            raise Mistake(f"there is no schema {name}")
        return {"$ref": f"#/components/schemas/{name}"}

    def page(self, kind, name):
        schema = f"{name}Page"
        members = {"items": f"[{name}]"}
        if kind == "cursor page":
            members |= {"next_cursor?": "Cursor", "has_more": "boolean"}
        else:
            members |= {"total_count": "Count", "page": "integer", "per_page": "integer", "total_pages": "Count"}
        self.sources["schemas"].setdefault(schema, {"object": members})
        return self.reference(schema)

    def type(self, given):
        if isinstance(given, dict):
            return self.schema(given)
        if given.endswith("?"):
            inner = self.type(given[:-1])
            if isinstance(inner.get("type"), str) and "enum" not in inner:
                return {**inner, "type": [inner["type"], "null"]}
            return {"anyOf": [inner, {"type": "null"}]}
        if given.startswith("["):
            return {"type": "array", "items": self.type(given[1:-1])}
        if match := re.fullmatch(r"(page|cursor page) of (\w+)", given):
            return self.page(*match.groups())
        if "|" in given:
            return {"type": "string", "enum": given.split("|")}
        return self.reference(given) if given[0].isupper() else {"type": given}

    def schema(self, given):
        ret = {}
        if "extends" in given:
            self.extended.add(given["extends"])
            inherited = self.schema(self.sources["schemas"][given["extends"]])
            ret = {name: inherited[name] for name in ("type", "properties", "required") if name in inherited}
        for word, value in given.items():
            if word == "object":
                ret["type"] = "object"
                ret["properties"] = {**ret.get("properties", {}), **{name.rstrip("?"): self.type(kind) for name, kind in value.items()}}
                ret["required"] = ret.get("required", []) + [name for name in value if not name.endswith("?")]
            elif word == "is":
                ret |= self.type(value)
            elif word in ("items", "additionalProperties") and not isinstance(value, bool):
                ret[word] = self.type(value)
            elif word in ("anyOf", "oneOf", "allOf"):
                ret[word] = [self.type(one) for one in value]
            elif word == "properties":
                ret[word] = {name: self.type(one) for name, one in value.items()}
            elif word != "extends":
                ret[word] = value
        if not ret.get("required", True):
            del ret["required"]
        return ret

    def check_references(self):
        used = set(re.findall(r'"#/components/(\w+/\w+)"', json.dumps(self.document)))
        for kind in ("parameters", "headers", "schemas", "responses"):
            for name in {*self.sources.get(kind, {}), *self.components[kind]} - {one.partition("/")[2] for one in used if one.startswith(kind + "/")}:
                if kind == "schemas" and name in self.extended:
                    del self.components[kind][name]
                else:
                    raise Mistake(f"nothing refers to {kind}/{name}")
            self.components[kind] = dict(sorted(self.components[kind].items()))
        for kind, name in (one.split("/") for one in used):
            if name not in self.components[kind]:
                raise Mistake(f"there is no {kind}/{name}")

    # ---- operations

    def parameter(self, given):
        if isinstance(given, str):
            if given not in self.sources["parameters"]:
                raise Mistake(f"there is no parameter {given}")
            self.components["parameters"].setdefault(given, self.parameter(self.sources["parameters"][given]))
            return {"$ref": f"#/components/parameters/{given}"}
        return {**given, "schema": self.type(given["schema"])}

    def name_of(self, given):
        return given if isinstance(given, str) else given["name"]

    def parameters(self, path, operation):
        given = operation.get("parameters", [])
        own = {self.name_of(one) for one in given}
        return [self.parameter(one) for one in [name for name in re.findall(r"\{(\w+)\}", path) if name not in own] + given]

    def response(self, status, given):
        if isinstance(given, dict) and "description" in given:
            content = {kind: {"schema": self.type(one)} for kind, one in given.get("content", {}).items()}
            return {**given, **({"content": content} if content else {})}
        texts = {"200": "Done", "201": "Made", "202": "It will be done", "204": "Done; no body"}
        return {"description": texts[status], **({"content": {"application/json": {"schema": self.type(given)}}} if given is not None else {})}

    def responses(self, method, path, operation):
        access, errors = operation["access"], set(ALWAYS)
        if access in ("user", "account"):
            errors |= {"401"}
        if access == "account" or (access != "ingest" and method != "get") or "scope" in operation or "{project}" in path:
            errors |= {"403"}
        if access != "ingest" and method != "get":
            errors |= {"415"}
        if access == "ingest":
            errors |= {"401", "403", "415", "429"}
        elif "{" in path:
            errors |= {"404"}
        errors |= {str(status) for status in operation.get("errors", [])}
        known = self.ingest_errors if access == "ingest" else self.errors
        ret = {status: self.response(status, given) for status, given in operation["answers"].items()}
        for status in sorted(errors - set(ret)):
            ret[status] = {"$ref": f"#/components/responses/{known[status][0]}"}
        return dict(sorted(ret.items()))

    def operation(self, path, method, tag, given):
        if not OPERATION >= given.keys() >= {"id", "summary", "access", "answers"}:
            raise Mistake(f"{method} {path}: members are {sorted(OPERATION)}")
        ret = {"operationId": given["id"], "tags": [tag], "summary": given["summary"]}
        if "about" in given:
            ret["description"] = given["about"]
        scope = [given["scope"]] if given.get("scope") else []
        ret["security"] = {"public": [], "user": [{"token": scope}, {"session": scope}], "account": [{"token": []}, {"session": []}],
                           "ingest": [{"key_header": []}, {"key_query": []}]}[given["access"]]
        ret["x-access"] = given["access"]
        if parameters := self.parameters(path, given):
            ret["parameters"] = parameters
        if "body" in given:
            body = given["body"]
            content = body if isinstance(body, dict) and "schema" not in body and "is" not in body else {"application/json": body}
            ret["requestBody"] = {"required": True, "content": {kind: {"schema": self.type(one)} for kind, one in content.items()}}
        ret["responses"] = self.responses(method, path, given)
        return ret

    def finish(self):
        ids = set()
        for path, operations in self.document["paths"].items():
            for method, (tag, given) in operations.items():
                try:
                    operations[method] = self.operation(path, method, tag, given)
                except (Mistake, KeyError) as e:
                    raise Mistake(f"{method} {path}: {e}") from e
                if given["id"] in ids or method not in METHODS:
                    raise Mistake(f"{method} {path}: the id is there twice, or it is no method")
                ids.add(given["id"])
        done = self.components["schemas"]
        while todo := [name for name in self.sources["schemas"] if name not in done]:
            for name in todo:
                done[name] = self.type(self.sources["schemas"][name])
        self.check_references()
        self.document["paths"] = dict(sorted(self.document["paths"].items()))
        return self.document


def unique_pairs(pairs):
    if len({name for name, _ in pairs}) < len(pairs):
        raise Mistake(f"a member is there twice: {[name for name, _ in pairs]}")
    return dict(pairs)


def read(path):
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f, object_pairs_hook=unique_pairs)
    except (ValueError, Mistake) as e:
        raise Mistake(f"{os.path.basename(path)}: {e}") from e


def make(version_file, files):
    with open(version_file, encoding="utf-8") as f:
        version = f.read().strip()
    base = [path for path in files if os.path.basename(path) == "base.json"]
    joiner = Joiner(read(base[0]), version)
    for path in sorted(set(files) - set(base)):
        joiner.take(read(path))
    return joiner.finish()


def main():
    try:
        document = make(sys.argv[1], sys.argv[3:])
    except Mistake as e:
        sys.exit(f"openapi: {e}")
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        json.dump(document, f, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    main()
