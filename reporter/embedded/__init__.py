"""A real Placement inside this process: openstack-placement on an SQLite file, over loopback HTTP.

For a first look, for demonstrations and for tests. There is no authentication, so the address carries a
random path that only this process knows, and nothing but loopback is listened on. One thread serves the
requests, because SQLite answers two writers at once with an error; connections are kept alive.

Several of them run in one process, each with a database of its own. One database has one writer: a second
one, in this process or another, is refused and told who holds it. Readers (``read_only=True``) work on a
private copy, so that they need no lock, leave the file alone and may run beside a writer.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from reporter.embedded.database import copy_database, database_lock, prepare_file
from reporter.embedded.errors import EmbeddedPlacementError, MissingExtra
from reporter.embedded.logs import hush

if TYPE_CHECKING:
    from reporter.embedded.server import LoopbackServer

__all__ = ["EmbeddedPlacement", "EmbeddedPlacementError", "MissingExtra"]


class EmbeddedPlacement:
    """A running openstack-placement; a context manager, which may be entered again after it was left.

    Clients send ``X-Auth-Token: admin`` and, for the reshaper, ``X-Roles: admin,service``.

    :param database: the SQLite file, made where it does not exist and upgraded where an older
        openstack-placement wrote it; None for a temporary one that is gone afterwards
    :param read_only: serve a private copy of the file as it is now: writes are accepted and forgotten,
        an absent file is an empty Placement, and the file may belong to a running writer
    :raises MissingExtra: on entering, where openstack-placement is not installed
    :raises EmbeddedPlacementError: on entering, where the file cannot be used or another process uses it
    """

    def __init__(self, database: Path | None = None, *, read_only: bool = False) -> None:
        self.database = database
        self.read_only = read_only
        self._server: LoopbackServer | None = None
        self._resources = ExitStack()

    @property
    def url(self) -> str:
        """The root of the API, like ``http://127.0.0.1:41235/9f2c…``; it differs from start to start.

        :raises RuntimeError: before :meth:`start` and after :meth:`close`
        """
        if self._server is None:
            raise RuntimeError("the embedded Placement is not running")
        return self._server.url

    def start(self) -> None:
        """Check, lock and upgrade the database, and serve it; does nothing when it is running."""
        if self._server is not None:
            return
        hush()
        try:
            from reporter.embedded.application import load_application  # noqa: PLC0415 - a second of imports
            from reporter.embedded.server import LoopbackServer  # noqa: PLC0415 - of the same extra
        except ImportError as error:
            raise MissingExtra(error) from error
        with ExitStack() as stack:
            path, durable = self._open_database(stack)
            prefix = f"/{secrets.token_urlsafe(12)}"
            application = load_application(path, prefix, durable=durable)
            stack.callback(application.close)
            server = LoopbackServer(application, prefix)
            stack.callback(server.close)
            self._resources = stack.pop_all()
            self._server = server

    def close(self) -> None:
        """End the running request, close the database and give up the lock; does nothing when not running."""
        self._server = None
        self._resources.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open_database(self, stack: ExitStack) -> tuple[Path, bool]:
        """The file to serve, and whether it must survive a power cut; ``stack`` cleans up after it."""
        if self.database is not None and not self.read_only:
            stack.enter_context(database_lock(self.database))
            prepare_file(self.database)
            return self.database, True
        directory = Path(tempfile.mkdtemp(prefix="placement-reporter-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        path = directory / "placement.sqlite"
        if self.database is not None:
            copy_database(self.database, path)
        prepare_file(path)
        return path, False
