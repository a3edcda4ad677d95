"""A real Placement that remembers what it has answered, for tests that ask the same a thousand times.

The same request in the same state has the same answer and leads to the same state. So only what has not been
asked yet goes to the application and its database.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from tests.faults.world import Dump
from tests.functional.reporting import Database


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the client.

    :ivar promised: the Content-Length, where it is more than the length of the body
    """

    status: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    promised: int | None = None


class Remembered:
    """Wraps the Placement of a test.

    :ivar state: what it has now
    """

    def __init__(self, placement: Any) -> None:
        self._application = placement._application
        self.prefix = placement._prefix
        self._database = Database(placement)
        self._lock = threading.RLock()
        self._contents: dict[str, bytes] = {}  # database, by state
        self._answers: dict[tuple[str, ...], tuple[Answer, Dump]] = {}
        self.look()

    def look(self) -> None:
        """Something has written to the database past this object."""
        with self._lock:
            self.state = self._in_database = self._read()

    def put_back(self, state: Dump) -> None:
        """Have it have what it had."""
        self.state = state

    def act(self, environ: dict[str, Any]) -> Answer:
        """Answer a request."""
        names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_OPENSTACK_API_VERSION", "HTTP_X_ROLES")
        body = environ["wsgi.input"].getvalue()
        with self._lock:
            asked = (self.state.key, *(environ.get(name, "") for name in names), body.decode())
            if asked not in self._answers:
                self.materialize()
                answer = self._ask(environ)
                self._in_database = self._read()
                self._answers[asked] = (answer, self._in_database)
            answer, self.state = self._answers[asked]
            return answer

    def materialize(self) -> None:
        """See that the database is in the state in which it is thought to be."""
        with self._lock:
            if self._in_database.key != self.state.key:
                self._database.restore(self._contents[self.state.key])
                self._in_database = self.state

    def _read(self) -> Dump:
        dump = Dump(self._database._path)
        if dump.key not in self._contents:
            self._contents[dump.key] = self._database.save()
        return dump

    def _ask(self, environ: dict[str, Any]) -> Answer:
        begun: list[Any] = []
        environ["wsgi.input"].seek(0)
        body = b"".join(self._application(dict(environ), lambda *told: begun.append(told)))
        status, headers = begun[0][:2]
        return Answer(status, tuple(each for each in headers if each[0].lower() != "content-length"), body)
