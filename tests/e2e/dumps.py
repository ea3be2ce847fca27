"""Writes minidumps and Unreal archives: small ones whose every number is known.   python3 tests/e2e/dumps.py DIRECTORY

The layouts are those of minidumpapiset.h, and of Breakpad's and Crashpad's extensions to it."""
import os
import struct
import sys
import zlib

X86, ARM, AMD64, ARM64 = 0, 5, 9, 12
WINDOWS, MACOS, IOS, LINUX, ANDROID = 2, 0x8101, 0x8102, 0x8201, 0x8203
THREADS, MODULES, MEMORY, EXCEPTION, SYSTEM, MEMORY64, MISC, THREAD_NAMES = 3, 4, 5, 6, 7, 9, 15, 24
CRASHPAD, BREAKPAD, ASSERTION, LSB_RELEASE = 0x43500001, 0x47670001, 0x47670002, 0x47670005
LAYOUTS = {  # size of the context, where its flags, pc, sp and fp are, the flags, bytes of a register
    X86: (716, 0, 184, 196, 180, 0x10007, 4),
    AMD64: (1232, 48, 248, 152, 160, 0x10000F, 8),
    ARM: (368, 0, 64, 56, 48, 0x40000006, 4),
    ARM64: (912, 0, 264, 256, 240, 0x400007, 8),
}


class Dump:
    """Streams are added in any order; bytes() puts header and directory before them."""

    def __init__(self, order="<", time=1_700_000_000):
        self.order, self.time = order, time
        self.streams = []
        self.body = b""
        self.base = 32 + 12 * 16

    def pack(self, form, *values):
        return struct.pack(self.order + form, *values)

    def put(self, data):
        """Where it lies now."""
        at = self.base + len(self.body)
        self.body += data + bytes(-len(data) % 4)
        return at

    def located(self, data):
        return self.pack("II", len(data), self.put(data))

    def stream(self, kind, data):
        self.streams.append(self.pack("I", kind) + self.located(data))

    def text(self, s):
        data = s.encode("utf-16-le" if self.order == "<" else "utf-16-be")
        return self.put(self.pack("I", len(data)) + data + b"\0\0")

    def utf8(self, s):
        return self.put(self.pack("I", len(s.encode())) + s.encode() + b"\0")

    def system(self, cpu, system, version=(10, 0, 19045), detail="", processors=8):
        self.stream(SYSTEM, self.pack("HHHBBIIIII", cpu, 6, 1, processors, 1, *version, system, self.text(detail)) + bytes(28))

    def context(self, cpu, pc, sp, fp=0):
        size, flags_at, pc_at, sp_at, fp_at, flags, word = LAYOUTS[cpu]
        data = bytearray(size)
        struct.pack_into(self.order + "I", data, flags_at, flags)
        for at, value in ((pc_at, pc), (sp_at, sp), (fp_at, fp)):
            struct.pack_into(self.order + ("Q" if word == 8 else "I"), data, at, value)
        return self.located(bytes(data))

    def exception(self, thread, code, flags, address, parameters=(), context=None):
        values = list(parameters) + [0] * (15 - len(parameters))
        self.stream(EXCEPTION, self.pack("IIIIQQII15Q", thread, 0, code, flags, 0, address, len(parameters), 0, *values) + (context or bytes(8)))

    def threads(self, threads, padding=b""):
        """(id, stack's address, stack's bytes or None, context)"""
        entries = [self.pack("IIIIQQ", number, 0, 0, 0, 0, at) + (self.located(stack) if stack else bytes(8)) + context for number, at, stack, context in threads]
        self.stream(THREADS, self.pack("I", len(entries)) + padding + b"".join(entries))

    def thread_names(self, names):
        self.stream(THREAD_NAMES, self.pack("I", len(names)) + b"".join(self.pack("IQ", number, self.text(name)) for number, name in names))

    def modules(self, modules):
        """(address, size, time, name, CodeView record)"""
        entries = b""
        for address, size, time, name, record in modules:
            entries += self.pack("QIIII", address, size, 0, time, self.text(name)) + bytes(52) + (self.located(record) if record else bytes(8)) + bytes(24)
        self.stream(MODULES, self.pack("I", len(modules)) + entries)

    def pdb70(self, guid, age, name):
        return b"RSDS" + self.pack("IHH", *guid[:3]) + guid[3] + self.pack("I", age) + name.encode() + b"\0"

    def pairs(self, pairs):
        entries = [(self.utf8(k), self.utf8(v)) for k, v in pairs]
        return self.located(self.pack("I", len(entries)) + b"".join(self.pack("II", *e) for e in entries))

    def crashpad(self, annotations, module_annotations=(), objects=()):
        listed = [(self.utf8(k), self.put(self.pack("I", len(v.encode())) + v.encode())) for k, v in objects]
        module = self.pack("I", 1) + bytes(8) + self.pairs(module_annotations)
        module += self.located(self.pack("I", len(listed)) + b"".join(self.pack("IHHI", k, 1, 0, v) for k, v in listed))
        links = self.located(self.pack("I", 1) + self.pack("I", 0) + self.located(module))
        self.stream(CRASHPAD, self.pack("I", 1) + bytes(32) + self.pairs(annotations) + links)

    def assertion(self, expression, function, file, line):
        texts = [s.encode("utf-16-le")[:254].ljust(256, b"\0") for s in (expression, function, file)]
        self.stream(ASSERTION, b"".join(texts) + self.pack("II", line, 1))

    def bytes(self):
        signature = b"MDMP" if self.order == "<" else b"PMDM"
        header = signature + self.pack("IIIIIQ", 0xA793, len(self.streams), 32, 0, self.time, 0)
        return header + b"".join(self.streams).ljust(self.base - 32, b"\0") + self.body


def linux(order="<", cpu=AMD64, annotations=()):
    """An invalid access in libgame.so, one frame by frame pointer, one that only a scan finds."""
    d = Dump(order)
    word, form = (8, "Q") if cpu in (AMD64, ARM64) else (4, "I")
    base, sp = 0x400000, 0x7000_0000
    stack = [0x11, sp + 4 * word, base + 0x2222, 0, sp, base + 0x1111, 5, base + 0x3333, 7]
    d.system(cpu, LINUX, (0, 0, 0), "Linux 5.10.0-8 #1 SMP x86_64")
    context = d.context(cpu, base + 0x1234, sp, sp + word)
    d.threads([(7, sp, d.pack(f"{len(stack)}{form}", *stack), context), (9, 0, None, d.context(cpu, 0x1234, 0x5678))], bytes(4))
    d.thread_names([(7, "main"), (9, "wörker 💥")])
    d.exception(7, 11, 1, 0x10, (), context)
    d.modules([(base, 0x10000, 0, "/opt/game/libgame.so", b"LEpB" if order == "<" else b"BpEL"), (0x900000, 0x1000, 0, "/lib/libc.so.6", None)])
    d.stream(LSB_RELEASE, b'DISTRIB_ID=Debian\nDISTRIB_RELEASE="12"\n')
    d.stream(MISC, d.pack("IIIII", 24, 1, 4711, 0, 0) + bytes(4))
    if annotations:
        d.crashpad(annotations)
    return d.bytes()


def with_build_id():
    d = Dump()
    d.system(ARM64, ANDROID, (5, 4, 0), "5.4.0-android #1")
    build_id = bytes(range(1, 21))
    d.modules([(0x7000, 0x1000, 0, "/system/lib64/libart.so", b"LEpB" + build_id)])
    context = d.context(ARM64, 0x7010, 0x100)
    d.threads([(1, 0, None, context)])
    d.exception(1, 6, 0xFFFFFFFA, 0, (), context)
    d.assertion("x > 0", "check", "a.cpp", 12)
    return d.bytes()


def windows():
    """Memory in one list for the whole process, as full dumps have it."""
    d = Dump()
    sp = 0x10_0000
    stack = struct.pack("<4Q", 1, 0x7FF6_0000_1500, 2, 3)
    d.system(AMD64, WINDOWS, (10, 0, 19045), "Service Pack 1")
    context = d.context(AMD64, 0x7FF6_0000_1000, sp, 0)
    d.threads([(0x1A2B, sp, None, context)])
    d.exception(0x1A2B, 0xC0000005, 0, 0x7FF6_0000_1000, (1, 0xFFFF_FFFF_FFFF_FFFF), context)
    d.modules([(0x7FF6_0000_0000, 0x20000, 0x5E9F_1A2B, "C:\\game\\game.exe",
                d.pdb70((0x3249D99D, 0x0C40, 0x4931, bytes.fromhex("8610f4e4fb0b6936")), 1, "C:\\build\\game.pdb")),
               (0x7FFA_0000_0000, 0x1000, 0x1234, "C:\\Windows\\ntdll.dll", b"NB10" + struct.pack("<III", 0, 0xABCD, 2) + b"nt.pdb\0")])
    at = d.put(stack)
    d.stream(MEMORY64, struct.pack("<QQQQ", 1, at, sp, len(stack)))
    d.crashpad([("sentry[tags][shard]", "eu"), ("plain", "yes")], [("sentry__2", '"1.2"}'), ("sentry__1", '{"release":')], [("object", "text")])
    return d.bytes()


def macos():
    d = Dump()
    d.system(ARM64, MACOS, (11, 5, 2), "20G95")
    context = d.context(ARM64, 0x1_0000_0100, 0x2000)
    d.modules([(0x1_0000_0000, 0x1000, 0, "/Applications/Game", d.pdb70((0x67E9247C, 0x814E, 0x392B, bytes.fromhex("a027dbde6748fcbf")), 0, "Game"))])
    d.threads([(259, 0, None, context)])
    d.exception(259, 1, 1, 0x20, (), context)
    return d.bytes()


def nothing_happened():
    d = Dump(time=0)
    d.system(X86, WINDOWS, (6, 1, 7601))
    d.threads([(1, 0, None, d.context(X86, 0x1000, 0x2000))])
    d.stream(BREAKPAD, struct.pack("<III", 3, 2, 1))
    return d.bytes()


def unreal(files, marked=True, directory="UECC-Windows-1234_0000"):
    """The crash reporter's archive, not compressed."""
    def text(s):
        return struct.pack("<I", 260) + s.encode().ljust(260, b"\0")
    body = b"".join(struct.pack("<I", i) + text(name) + struct.pack("<I", len(data)) + data for i, (name, data) in enumerate(files))
    real = text(directory) + text(directory + ".uecrash") + struct.pack("<II", 1066 + len(body), len(files))
    if marked:
        return b"CR1" + real + body
    return text("") + text("") + bytes(8) + body + real


def compressed(archive):
    return zlib.compress(archive)


def main(directory):
    made = {"linux-amd64": linux(), "linux-arm": linux(cpu=ARM), "linux-x86": linux(cpu=X86), "linux-swapped": linux(order=">", cpu=ARM),
            "android-arm64": with_build_id(), "windows-amd64": windows(), "macos-arm64": macos(), "nothing": nothing_happened()}
    for name, data in made.items():
        with open(os.path.join(directory, name + ".dmp"), "wb") as f:
            f.write(data)


if __name__ == "__main__":
    main(sys.argv[1])
