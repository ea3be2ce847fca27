"""The built binary itself: what a compiler and a linker do against the exploitation of a mistake is really in it."""
import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.join(ROOT, os.environ.get("PICKET_BINARY", "build/picket"))


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *arguments, BINARY], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module", autouse=True)
def release():
    if not os.access(BINARY, os.X_OK):
        pytest.skip(f"{BINARY} is not built")
    if re.search(r"__(asan|tsan)_init", readelf("--dyn-syms")):
        pytest.skip("a sanitizer's build has other flags")


def imports():
    return set(re.findall(r" UND (\w+)", readelf("--dyn-syms")))


def segments():
    return re.findall(r"^  (\w+) +0x\S+ 0x\S+ 0x\S+ 0x\S+ 0x\S+ ([RWE ]{3})", readelf("--program-headers"), re.M)


def test_addresses_are_random():
    assert re.search(r"Type: +DYN", readelf("--file-header")) and "PIE" in readelf("--dynamic")


def test_relocations_are_read_only():
    assert "GNU_RELRO" in dict(segments())
    assert re.search(r"\(FLAGS(_1)?\).*\bNOW\b", readelf("--dynamic"))


def test_no_memory_is_writable_and_executable():
    assert dict(segments())["GNU_STACK"].strip() == "RW"
    assert [flags for kind, flags in segments() if kind == "LOAD" and "W" in flags and "E" in flags] == []


def test_no_text_relocations_and_no_search_paths():
    assert not re.search(r"TEXTREL|\(RPATH\)|\(RUNPATH\)", readelf("--dynamic"))


def test_stacks_are_guarded():
    assert "__stack_chk_fail" in imports()


def test_copies_are_checked():
    assert {name for name in imports() if name.endswith("_chk")} >= {"__memcpy_chk", "__snprintf_chk"}


def test_no_banned_function_is_called():
    assert not imports() & {"gets", "strcpy", "strcat", "sprintf", "vsprintf", "system", "popen", "mktemp", "tmpnam"}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the instruction is x86's")
def test_jumps_land_where_they_may():
    """Control-flow enforcement: a function that may be called through a pointer begins with endbr64."""
    (address,) = re.findall(r": 0*([0-9a-f]+) +\d+ FUNC +GLOBAL DEFAULT +\d+ phr_decode_chunked$", readelf("--dyn-syms"), re.M)
    with open(BINARY, "rb") as f:
        f.seek(file_offset(int(address, 16)))
        assert f.read(4) == bytes.fromhex("f30f1efa")


def file_offset(address):
    for offset, start, size in re.findall(r"^  LOAD +(0x\S+) (0x\S+) 0x\S+ (0x\S+)", readelf("--program-headers"), re.M):
        if int(start, 16) <= address < int(start, 16) + int(size, 16):
            return address - int(start, 16) + int(offset, 16)
    raise AssertionError(f"{address:x} is in no segment")
