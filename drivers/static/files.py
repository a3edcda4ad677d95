"""The files that hold the documents: which there are, what they hold, whether they have changed."""

from __future__ import annotations

import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import DriverOptionError, HostReadError
from drivers.root import unreadable
from provider_tree.errors import InvalidTree

SUFFIXES = frozenset({".yaml", ".yml", ".json"})

# A file written again within the resolution of its time stamp looks unchanged; so young a file is read again.
_RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Signature:
    """What tells a file's contents from other contents without reading them."""

    path: Path
    mtime_ns: int
    size: int
    inode: int


@dataclass(frozen=True, slots=True)
class Listing:
    """The files that the option names, as they are now."""

    signatures: tuple[Signature, ...]
    taken_ns: int

    def same_as(self, earlier: Listing) -> bool:
        """Tell whether nothing has changed since ``earlier``, as far as time stamps can tell."""
        young = any(each.mtime_ns > earlier.taken_ns - _RACY_NS for each in earlier.signatures)
        return self.signatures == earlier.signatures and not young


def list_files(path: Path) -> Listing:
    """Return the file, or the documents of the directory (not of those below it) by name.

    :raises DriverOptionError: there is no such path, or no document in the directory
    :raises HostReadError: it cannot be read, or is neither a file nor a directory
    """
    try:
        taken = time.time_ns()
        files = _in_directory(path) if path.is_dir() else [path]
        return Listing(tuple(_signature(each) for each in files), taken)
    except FileNotFoundError as error:
        raise DriverOptionError(
            f"[static] path: {error.filename} does not exist", "name a document, or a directory of documents"
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error


def _in_directory(path: Path) -> Sequence[Path]:
    files = [each for each in path.iterdir() if each.suffix in SUFFIXES and not each.name.startswith(".")]
    if not files:
        raise DriverOptionError(
            f"[static] path: {path} has no documents",
            f"put files there that end in {', '.join(sorted(SUFFIXES))}",
        )
    return sorted(files)


def _signature(path: Path) -> Signature:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise HostReadError(f"{path} is not a file", "name a document, or a directory of documents")
    return Signature(path, status.st_mtime_ns, status.st_size, status.st_ino)


def read_text(path: Path, max_size: int) -> str:
    """Return the text of a document.

    :param max_size: in bytes
    :raises InvalidTree: it is too large, or not UTF-8
    :raises HostReadError: it cannot be read
    """
    try:
        with path.open("rb") as file:
            raw = file.read(max_size + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(raw) > max_size:
        raise InvalidTree(
            f"{path}: is larger than {max_size:,} bytes",
            "split it, or raise [static] max_size if it is meant so",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidTree(f"{path}:{line}: is not UTF-8", "save the file as UTF-8") from error
