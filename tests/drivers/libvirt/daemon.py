"""A libvirtd of the tests' own, beside the system's: it may be restarted, stopped and frozen."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

NOBODY = 65534


class OwnLibvirtd:
    """A session libvirtd with what it has in one directory; runs as nobody where the tests run as root.

    :param cache: a directory that several may share, for what it found out about QEMU (in seconds)
    :param programs: where it looks for QEMU; on the PATH when left out
    :ivar uri: how to connect to it
    """

    def __init__(self, directory: Path, cache: Path, programs: Path | None = None) -> None:
        self._directory = directory
        self._cache = cache
        self._path = os.environ["PATH"] if programs is None else str(programs)
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("run", "config"):
            (directory / name).mkdir()
        if os.geteuid() == 0:
            for path in (directory, *directory.iterdir(), cache):
                os.chown(path, NOBODY, NOBODY)
        self._socket = directory / "run" / "libvirt" / "libvirt-sock"
        self.uri = f"qemu+unix:///session?socket={self._socket}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self._process = subprocess.Popen(
            [shutil.which("libvirtd") or "libvirtd", "--timeout", "0"],
            env={
                "PATH": self._path,
                "HOME": str(self._directory),
                "XDG_RUNTIME_DIR": str(self._directory / "run"),
                "XDG_CONFIG_HOME": str(self._directory / "config"),
                "XDG_CACHE_HOME": str(self._cache),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_nobody,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            asked = subprocess.run(["virsh", "-c", self.uri, "version"], capture_output=True, check=False)
            if asked.returncode == 0:
                return
            time.sleep(0.2)
        raise TimeoutError("libvirtd did not answer within a minute")

    def stop(self) -> None:
        """Stop it as its service manager would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        """Have it hang: it takes connections but does not answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def why_no_libvirtd() -> str | None:
    """What this machine lacks for a libvirtd with QEMU; None where it lacks nothing."""
    missing = [name for name in ("libvirtd", "virsh", "qemu-system-x86_64") if shutil.which(name) is None]
    return f"needs {', '.join(missing)}" if missing else None


def why_no_system_libvirtd() -> str | None:
    """Why qemu:///system cannot be used; None where it can."""
    if reason := why_no_libvirtd():
        return reason
    asked = subprocess.run(["virsh", "-c", "qemu:///system", "version"], capture_output=True, check=False)
    return None if asked.returncode == 0 else "no libvirtd answers at qemu:///system"
