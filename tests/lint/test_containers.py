"""docker/, docker-compose.yml and .env.example are parsed and kept in step with each other and with the binary. No engine is needed."""
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading

import pytest
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("PICKET_BINARY", os.path.join(ROOT, "build", "picket"))
LIBPQ_VARIABLES = {"PGPASSWORD"}  # read by libpq itself
needs_binary = pytest.mark.skipif(not os.path.exists(BINARY), reason="there is no binary in this build directory yet")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def compose():
    return yaml.safe_load(read("docker-compose.yml"))


def package_rows():
    """[(section, package, condition)] and [(release, other, packages)] of the one list."""
    packages, borrowed = [], []
    for line in read("docker/packages.txt").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "borrow":
            borrowed.append((words[1], words[2], words[3:]))
        else:
            assert len(words) in (2, 3), line
            packages.append((words[0], words[1], words[2] if len(words) == 3 else ""))
    return packages, borrowed


def instructions():
    """The Dockerfile's [(WORD, rest)], continuation lines joined."""
    text = re.sub(r"\\\n\s*", "", read("docker/Dockerfile"))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    parsed = [tuple(line.split(None, 1)) for line in lines]
    known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in parsed} <= known
    return parsed


def stages():
    found = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def configuration_names():
    """The environment variables that `picket serve --help` lists, one at the start of each line of its table."""
    done = subprocess.run([BINARY, "serve", "--help"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    names = set(re.findall(r"^\s*([A-Z][A-Z0-9_]{2,})\b", done.stdout, re.M))
    assert "DATABASE_URL" in names
    return names


def dockerfile_environment():
    pairs = {}
    for word, rest in instructions():
        if word == "ENV":
            pairs.update(pair.split("=", 1) for pair in rest.split())
    return pairs


def substituted():
    """Names of .env that docker-compose.yml uses."""
    return set(re.findall(r"\$\{([A-Z_]+)", read("docker-compose.yml")))


def health_check(port):
    script = os.path.join(ROOT, "docker", "healthcheck.sh")
    return subprocess.run([script], env={"PATH": os.environ["PATH"], "PORT": str(port)}, capture_output=True, timeout=20).returncode


# ---- the list of packages


def test_the_list_is_well_formed():
    packages, borrowed = package_rows()
    assert {section for section, _, _ in packages} == {"build", "run", "database", "test", "lint", "soak", "ci"}
    assert all(re.fullmatch(r"(|debian-1[23]|have:\w+)", condition) for _, _, condition in packages)
    assert len({(s, p) for s, p, _ in packages}) == len(packages)
    named = {package for _, package, _ in packages}
    for release, other, names in borrowed:
        assert (release, other) in {("debian-12", "trixie"), ("debian-13", "bookworm")}
        assert named & set(names), "what is borrowed is also asked for"


@pytest.mark.parametrize("arguments,complaint", [([], "usage"), (["nonsense"], "no section 'nonsense'")])
def test_setup_refuses(arguments, complaint):
    done = subprocess.run([os.path.join(ROOT, "docker", "setup.sh"), *arguments], capture_output=True, text=True)
    if "this is not Debian" in done.stderr:
        pytest.skip("this is not Debian")
    assert done.returncode == 1 and complaint in done.stderr


@needs_binary
@pytest.mark.skipif(not shutil.which("dpkg-query") or not shutil.which("objdump"), reason="needs dpkg and binutils")
def test_run_section_covers_the_binary():
    """Every library that the binary itself needs is in a package of the run section (or in the C library's)."""
    needed = re.findall(r"NEEDED\s+(\S+)", subprocess.run(["objdump", "-p", BINARY], capture_output=True, text=True, check=True).stdout)
    where = dict(re.findall(r"(\S+) => (\S+)", subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True).stdout))
    run = {package for section, package, _ in package_rows()[0] if section == "run"} | {"libc6"}
    sanitizers = re.compile(r"lib(asan|ubsan|tsan|gcc_s)\.so")
    assert needed
    for library in needed:
        if library.startswith("ld-linux") or sanitizers.match(library):
            continue
        path = where[library]
        found = subprocess.run(["dpkg-query", "-S", path, path.removeprefix("/usr"), os.path.realpath(path)], capture_output=True, text=True)
        owners = {line.split(":")[0] for line in found.stdout.splitlines()}
        assert owners & run, f"{library} of {owners or 'no package'} is not in the run section"


# ---- Dockerfile


def test_base_images_are_pinned_to_a_release():
    assert [rest.split()[0] for word, rest in instructions() if word == "FROM"] == ["debian:13-slim", "debian:13-slim"]


def test_packages_come_from_the_one_list_only():
    sections = {section for section, _, _ in package_rows()[0]}
    build, runtime = stages()
    for stage, wanted in ((build, {"build"}), (runtime, {"run"})):
        commands = " ; ".join(rest for word, rest in stage if word == "RUN")
        assert not re.search(r"\bapt(-get)?\b(?!/)", commands.replace("/var/lib/apt", "")), "packages are named in packages.txt"
        asked = set(" ".join(re.findall(r"setup\.sh ([a-z ]+?)(?: &&| ;|$)", commands)).split())
        assert asked == wanted and asked <= sections


def test_copied_files_are_there_and_in_the_context():
    ignore = [line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")]
    for word, rest in instructions():
        sources = rest.split()[:-1]
        if word != "COPY" or sources[0].startswith("--from"):
            continue
        for source in sources:
            assert os.path.exists(os.path.join(ROOT, source)), source
            assert source == "." or source.split("/")[0] in ignore, f".dockerignore keeps {source} out"
    for kept in ignore:
        assert os.path.exists(os.path.join(ROOT, kept)), kept


def test_context_holds_what_the_build_reads():
    """Every file of the top-level meson.build that is read without tests is let through."""
    ignore = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    plain = re.sub(r"if get_option\('fuzzing'\)\n  subdir.*?endif", "", read("meson.build"), flags=re.S)
    for folder in re.findall(r"subdir\('([^']+)'\)", plain) + re.findall(r"include_directories\('([^']+)'\)", plain) + ["VERSION", "meson_options.txt"]:
        assert folder.split("/")[0] in ignore, folder


def test_runtime_stage_is_safe():
    _, runtime = stages()
    words = dict(runtime)
    user = words["USER"]
    assert user not in ("root", "0") and f" {user} " in f" {words['RUN']} ".replace("\n", " ")
    assert words["ENTRYPOINT"] == json.dumps(["/usr/local/bin/picket"]) and json.loads(words["CMD"]) == ["serve"]
    assert words["STOPSIGNAL"] == "SIGTERM"
    environment = dockerfile_environment()
    assert environment["HOST"] == "0.0.0.0" and environment["DATA_DIR"] == words["VOLUME"] == "/var/lib/picket"
    assert environment["PORT"] == words["EXPOSE"]
    assert os.path.basename(json.loads(words["HEALTHCHECK"].split("CMD ")[1])[0]) == "healthcheck.sh"


@pytest.mark.parametrize("status,verdict", [(200, 0), (503, 1), (404, 1)])
def test_health_check_tells_ready_from_not(status, verdict):
    asked = []

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert health_check(server.server_port) == verdict
        thread.join()
    assert asked == ["/health/ready"]


def test_health_check_fails_when_nobody_answers():
    with socket.socket() as taken:  # bound, not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        assert health_check(taken.getsockname()[1]) == 1


# ---- docker-compose.yml and .env.example


def test_services_and_their_order():
    services = compose()["services"]
    assert set(services) == {"postgres", "picket", "dashboard"}
    assert services["postgres"]["image"] == "postgres:17"
    assert services["picket"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["dashboard"]["profiles"] == ["dashboard"]
    assert services["dashboard"]["environment"]["RUSTRAK_API_URL"] == "http://picket:" + dockerfile_environment()["PORT"]
    assert services["picket"]["build"]["dockerfile"] == "docker/Dockerfile"


def test_every_service_has_a_health_check():
    for name, service in compose()["services"].items():
        assert service["healthcheck"]["test"], name
        assert {"interval", "timeout", "retries"} <= set(service["healthcheck"]), name
    test = compose()["services"]["picket"]["healthcheck"]["test"]
    copied = [rest.split()[-1] for word, rest in instructions() if word == "COPY" and "healthcheck.sh" in rest]
    assert test == ["CMD", *copied]


def test_data_lies_in_volumes():
    document = compose()
    mounts = {name: [v.split(":") for v in service.get("volumes", [])] for name, service in document["services"].items()}
    assert [where for _, where in mounts["picket"]] == [dockerfile_environment()["DATA_DIR"]]
    assert [where for _, where in mounts["postgres"]] == ["/var/lib/postgresql/data"]
    assert {name for rows in mounts.values() for name, _ in rows} == set(document["volumes"])


def test_no_secret_is_written_down():
    for name, service in compose()["services"].items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|KEY", key):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?.+\}", value), f"{name}: {key}"
            assert not re.search(r"://[^/@\s]*:[^/@\s]*@", str(value)), f"{name}: {key} has a password in a URL"
    for line in read(".env.example").splitlines():
        assert not re.match(r"#?\w*(PASSWORD|SECRET|TOKEN)\w*=.", line), line


def test_env_example_names_what_compose_reads():
    offered = set(re.findall(r"^#?([A-Z_]+)=", read(".env.example"), re.M))
    assert offered == substituted()
    required = set(re.findall(r"\$\{([A-Z_]+):\?", read("docker-compose.yml")))
    assert required <= set(re.findall(r"^([A-Z_]+)=", read(".env.example"), re.M)), "a required setting is not commented out"


@needs_binary
def test_settings_exist_in_picket():
    """Whatever compose and the image hand to Picket stands in the table of `picket serve --help`."""
    given = set(compose()["services"]["picket"]["environment"]) | set(dockerfile_environment())
    assert given - LIBPQ_VARIABLES <= configuration_names()
