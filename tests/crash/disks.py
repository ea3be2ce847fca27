"""Small file systems, for what happens when they are full."""
import contextlib
import os
import pwd
import subprocess
import tempfile

import pytest


class Disk:
    def __init__(self, path):
        self.path = path

    def resize(self, megabytes):
        subprocess.run(["mount", "-o", f"remount,size={megabytes}m", self.path], check=True)

    def free(self):
        v = os.statvfs(self.path)
        return v.f_bavail * v.f_frsize

    @contextlib.contextmanager
    def taken(self, left):
        """Somebody else's file takes all room but so many bytes, for a while."""
        path = os.path.join(self.path, "somebody-elses")
        with open(path, "wb") as f:
            os.posix_fallocate(f.fileno(), 0, self.free() - left)
        try:
            yield
        finally:
            os.unlink(path)


@contextlib.contextmanager
def small_disk(megabytes):
    """A file system of that size which belongs to user postgres; skips the test where none may be mounted."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts file systems")
    with tempfile.TemporaryDirectory(prefix="picket-disk-") as path:
        options = f"size={megabytes}m,mode=0755,uid={pwd.getpwnam('postgres').pw_uid}"
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
        try:
            yield Disk(path)
        finally:
            subprocess.run(["umount", path], check=True)
