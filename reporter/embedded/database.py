"""The SQLite file of an embedded Placement: who may write it, and whether it is one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from reporter.embedded.errors import EmbeddedPlacementError

#: Tables that every openstack-placement since its own repository (Stein) has.
_PLACEMENT_TABLES = frozenset({"alembic_version", "resource_providers"})


@contextlib.contextmanager
def database_lock(database: Path) -> Iterator[None]:
    """Hold ``FILE.lock``, which names the process that holds it; the system frees it when that one dies.

    :raises EmbeddedPlacementError: another process, or another one of this process, holds it
    """
    path = database.with_name(f"{database.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise EmbeddedPlacementError(
            f"the embedded Placement cannot write {path}: {error.strerror}",
            f"make {path.parent} writable, or name another place with --embedded=FILE",
        ) from error
    try:
        _take_lock(descriptor, database)
        yield
    finally:
        os.close(descriptor)


def _take_lock(descriptor: int, database: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        raise EmbeddedPlacementError(
            f"process {holder or 'unknown'} already runs an embedded Placement on {database}",
            "stop it, or name another file with --embedded=FILE; diff and show can run beside it",
        ) from error
    # The number is for people: whether it can be written says nothing about the lock itself.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)


def prepare_file(database: Path) -> None:
    """Make sure that ``database`` can be written and is Placement's, or is new.

    :raises EmbeddedPlacementError: unreadable, read-only, not SQLite, or the database of something else
    """
    with explained(database), contextlib.closing(sqlite3.connect(database, timeout=5)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        tables = _tables(connection)
        # SQLite takes a lock on a read-only file; only a change tells whether it could be written.
        connection.execute("CREATE TABLE placement_reporter_probe (x)")
        connection.execute("ROLLBACK")
    if tables and not tables >= _PLACEMENT_TABLES:
        raise EmbeddedPlacementError(
            f"{database} is an SQLite database, but not one of openstack-placement",
            "name another file with --embedded=FILE",
        )


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is at this moment, also while another process writes it; absent: do nothing.

    :raises EmbeddedPlacementError: ``source`` is unreadable or not SQLite, or ``target`` cannot be written
    """
    try:
        source.stat()
    except FileNotFoundError:
        return
    except OSError:
        pass  # the opening below explains it
    address = f"file:{quote(str(source.absolute()))}?mode=ro"
    with (
        explained(source),
        contextlib.closing(sqlite3.connect(address, uri=True, timeout=5)) as old,
        contextlib.closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def _tables(connection: sqlite3.Connection) -> frozenset[str]:
    return frozenset(
        name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    )


@contextlib.contextmanager
def explained(database: Path) -> Iterator[None]:
    """Turn SQLite's errors into errors that name the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(database, error) from error


def explain(database: Path, error: sqlite3.Error) -> EmbeddedPlacementError:
    """The error that says what is wrong with ``database``, by SQLite's error name."""
    name = getattr(error, "sqlite_errorname", "")
    what, advice = _EXPLANATIONS.get(
        name.split("_")[1] if "_" in name else "",
        (f"cannot be used: {error}", "check the file, or name another one with --embedded=FILE"),
    )
    if os.path.isdir(database):  # noqa: PTH112 - Path's raises where the directory may not be searched
        what, advice = "is a directory", "name a file with --embedded=FILE"
    return EmbeddedPlacementError(f"the embedded Placement's database {database} {what}", advice)


_EXPLANATIONS = {
    "NOTADB": ("is not an SQLite database", "name another file with --embedded=FILE"),
    "CORRUPT": ("is damaged", "restore it, or remove it: the next sync fills a new one"),
    "READONLY": ("is read-only", "make the file and its directory writable"),
    "CANTOPEN": ("cannot be opened", "check the permissions of the file and its directory"),
    "PERM": ("cannot be opened", "check the permissions of the file and its directory"),
    "AUTH": ("cannot be opened", "check the permissions of the file and its directory"),
    "FULL": ("cannot grow: the disk is full", "free some space, or name another place with --embedded=FILE"),
    "IOERR": ("cannot be read or written: input/output error", "check the disk, its space and its quotas"),
    "BUSY": ("is locked by another process", "stop it, or name another file with --embedded=FILE"),
    "LOCKED": ("is locked by another process", "stop it, or name another file with --embedded=FILE"),
}
