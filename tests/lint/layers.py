"""Checks every #include under src/ and include/ against the architecture: a layer includes only itself and the layers above it in the
table, and a library's headers appear only in the layers that the table names. What stands directly in src/ is the layer `main`."""
import os
import re

from source import Problem, Source, c_files

LIBRARIES = {  # headers that belong to a library
    "argon2": r"argon2\.h",
    "brotli": r"brotli/.*",
    "bzip2": r"bzlib\.h",
    "curl": r"curl/.*",
    "expat": r"expat(_external)?\.h",
    "h2o": r"h2o(\.h|/.*)",
    "libpq": r"(libpq-.*|libpq/.*|postgres_ext|pg_config.*)\.h",
    "openssl": r"openssl/.*",
    "uv": r"uv(\.h|/.*)",
    "xz": r"lzma(\.h|/.*)",
    "xxhash": r"xxh(ash|3)\.h",
    "yyjson": r"yyjson\.h",
    "zlib": r"z(lib|conf)\.h",
    "zstd": r"(zstd.*|zdict)\.h",
}
LAYERS = {  # in order: each may include those before it; its libraries
    "base": ["xxhash"],
    "json": ["yyjson"],
    "protocol": ["zlib", "brotli", "zstd", "xz", "bzip2", "expat"],
    "event": ["openssl"],
    "spool": ["uv", "xxhash"],
    "blob": ["openssl"],
    "db": ["libpq", "uv"],
    "auth": ["argon2", "openssl"],
    "client": ["curl"],
    "http": ["h2o", "uv"],
    "ingest": ["h2o"],
    "digest": ["uv"],
    "alert": ["curl"],
    "api": ["h2o"],
    "main": ["uv"],
}
GENERATED = {"stmts.h": "db", "version.h": "main"}  # made at build time, and whose it is
SYSTEM = re.compile(
    r"(assert|complex|ctype|dirent|dlfcn|endian|errno|fcntl|fenv|float|fnmatch|ftw|getopt|glob|grp|ifaddrs|inttypes|limits|locale|malloc|math|netdb|poll|"
    r"pthread|pwd|sched|semaphore|signal|spawn|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|"
    r"syslog|termios|threads|time|unistd)\.h|(arpa|linux|net|netinet|sanitizer|sys)/[\w/]+\.h"
)


def layer_of(path):
    """src/spool/x.c and include/picket/spool/x.h are of the layer spool, src/x.c is of main; None when there is no such place."""
    parts = path.split(os.sep)
    if parts[0] == "src":
        return "main" if len(parts) == 2 else parts[1] if len(parts) == 3 else None
    return parts[2] if len(parts) == 4 and parts[:2] == ["include", "picket"] else None


def wrong_arrow(root, path, layer, include):
    """What is wrong with this include, or None."""
    order = list(LAYERS)
    if not include.name:
        return "an #include must name its header: a macro hides the arrow"
    if include.name.startswith("picket/"):
        target = include.name.split("/")[1] if include.name.count("/") == 2 else None
        if include.system:
            return "our own headers are included with quotes"
        if target not in LAYERS:
            return f"{include.name} is of no layer"
        if order.index(target) > order.index(layer):
            return f"{layer} must not include {include.name}: {target} stands below it in the table"
        return None
    for library, pattern in LIBRARIES.items():
        if re.fullmatch(pattern, include.name):
            allowed = [name for name, libraries in LAYERS.items() if library in libraries]
            return None if layer in allowed else f"{include.name} ({library}) belongs in {', '.join(allowed)} and nowhere else"
    if include.system:
        return None if SYSTEM.fullmatch(include.name) else f"<{include.name}> is neither a system header nor of a library in the table"
    if include.name in GENERATED:
        owner = GENERATED[include.name]
        return None if layer == owner else f"{include.name} belongs to {owner}"
    if "/" in include.name or not os.path.exists(os.path.join(root, os.path.dirname(path), include.name)):
        return f'"{include.name}" is not a file of this folder: other layers are included as "picket/<layer>/<header>"'
    return None


def check_layers(root):
    for path in c_files(root, "src", "include"):
        layer = layer_of(path)
        if layer not in LAYERS:
            yield Problem("layers", path, 1, layer or "", f"{os.path.dirname(path)} is no layer of the architecture's table")
            continue
        for include in Source(root, path).includes():
            text = wrong_arrow(root, path, layer, include)
            if text:
                yield Problem("layers", path, include.line, include.name, text)
