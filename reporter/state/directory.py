"""The state directory: where it is, how files in it are written, and who may write.

Layout::

    lock                        flock(2) of the writing process; holds its pid and command
    nodes/NODE.ledger.json      what we set (reporter.state.ledger); precious
    nodes/NODE.snapshot.json    what Placement had at the last cycle (reporter.state.cache); may be deleted
                                any time, and so may these two:
    nodes/NODE.contest.json     what other writers keep changing back (reporter.contest)
    nodes/NODE.sightings.json   consumers that the hypervisor does not know (reporter.sightings)
    allocations/…               allocations as they were before a reshape (reporter.reshape)
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from reporter.errors import StateError, StateLocked
from reporter.urls import without_user

KINDS = ("snapshot", "contest", "sightings", "ledger")
"""What there may be of each node."""

_SYSTEM = Path("/var/lib/placement-reporter")


def default_state_path(environment: Mapping[str, str] = os.environ, uid: int | None = None) -> Path:
    """$STATE_DIRECTORY (set by systemd), else /var/lib for root, else below $XDG_STATE_HOME."""
    if environment.get("STATE_DIRECTORY"):
        # systemd separates several directories by colons; the first is ours
        return Path(environment["STATE_DIRECTORY"].split(":")[0])
    if (os.getuid() if uid is None else uid) == 0:
        return _SYSTEM
    home = Path(environment.get("XDG_STATE_HOME", ""))
    if not home.is_absolute():  # to be ignored then, says the XDG Base Directory Specification
        home = Path("~/.local/state").expanduser()
    return home / "placement-reporter"


FileIdentity = tuple[int, int, int]
"""Inode, size and time of modification: another one is another content, since files are replaced whole."""


class StateDirectory:
    """A state directory. Reading never creates, locks or writes anything.

    :raises reporter.errors.StateError: when a file cannot be read or written
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def nodes(self) -> list[str]:
        """The names of the nodes that have a ledger."""
        suffix = ".ledger.json"
        try:
            names = sorted(each.name for each in (self.path / "nodes").iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unusable("read", self.path / "nodes", error) from error
        return [unquote(name.removesuffix(suffix)) for name in names if name.endswith(suffix)]

    def node_file(self, node: str, kind: str) -> Path:
        """Path of a node's file of that kind, one of ``KINDS``."""
        return self.path / "nodes" / f"{quote(node, safe='')}.{kind}.json"

    def read(self, file: Path) -> dict[str, Any] | None:
        """The JSON object in a file; None if there is no such file."""
        try:
            text = file.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable("read", file, error) from error
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _malformed(file, str(error)) from error
        if not isinstance(content, dict):
            raise _malformed(file, "not a JSON object")
        return content

    def identity(self, file: Path) -> FileIdentity | None:
        """What changes when the file does; None if it cannot be told."""
        try:
            status = file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def write(self, file: Path, content: Mapping[str, Any]) -> None:
        """Replace a file whole: a reader, or a crash, sees the old content or the new."""
        temporary = None
        try:
            self._make(file.parent)
            descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(json.dumps(content, separators=(",", ":"), sort_keys=True))
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(file)
            _sync_directory(file.parent)
        except OSError as error:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()
            raise _unusable("write", file, error) from error

    def delete(self, file: Path) -> None:
        """Remove a file; its absence is fine."""
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise _unusable("delete", file, error) from error

    def delete_node(self, node: str) -> None:
        """Remove all that is known of a node; the ledger last, since it says that the node is known."""
        for kind in KINDS:
            self.delete(self.node_file(node, kind))

    def rename_node(self, node: str, name: str) -> None:
        """Have a node's ledger stand under another name, never under both; all else is found out again."""
        for kind in KINDS:
            if kind != "ledger":
                self.delete(self.node_file(node, kind))
        file = self.node_file(node, "ledger")
        try:
            file.replace(self.node_file(name, "ledger"))
            _sync_directory(file.parent)
        except OSError as error:
            raise _unusable("rename", file, error) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory for writing, against other processes. The kernel lets go when the process ends.

        :raises reporter.errors.StateLocked: another process holds it
        """
        file = self.path / "lock"
        try:
            self._make(self.path)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _unusable("write", file, error) from error
        with os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = " ".join(stream.read().split()) or "another process"
                raise StateLocked(
                    f"{self.path} is in use by {holder}",
                    "wait for it or stop it, or choose another directory with --state-dir",
                ) from error
            except OSError as error:
                raise _unusable("lock", file, error) from error
            with contextlib.suppress(OSError):  # a full disk: the lock holds, only its label is missing
                os.ftruncate(descriptor, 0)
                # Not through the stream: it keeps what did not fit and fails once more when it is closed.
                os.pwrite(descriptor, f"pid {os.getpid()} ({_command()})\n".encode(errors="replace"), 0)
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Remove what a process left behind that was killed while it wrote. Nobody else writes now."""
        for temporary in self.path.glob("*/.*.json.*"):
            with contextlib.suppress(OSError):  # a few bytes too many are no reason to fail
                temporary.unlink()

    def _make(self, directory: Path) -> None:
        if not directory.is_dir():
            directory.mkdir(parents=True, exist_ok=True, mode=0o755)


def _command() -> str:
    """What this process was started as, for who finds the directory locked."""
    program = Path(sys.argv[0])
    name = f"python -m {program.parent.name}" if program.name == "__main__.py" else program.name
    return without_user(" ".join([name, *sys.argv[1:]]))[:200]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(verb: str, file: Path, error: Exception) -> StateError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StateError(
        f"cannot {verb} {file}: {reason}",
        "make the state directory usable, or choose another with --state-dir",
    )


def _malformed(file: Path, reason: str) -> StateError:
    return StateError(
        f"{file} is not what placement-reporter wrote: {reason}",
        "restore it from a backup, or delete it and adopt the node again",
    )
