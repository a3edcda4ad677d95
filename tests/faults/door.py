"""A door to a Placement, over real sockets, that misbehaves at one request."""

from __future__ import annotations

import select
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler

from tests.faults.remembered import Answer, Remembered

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_LATE_BY = 2  # requests that come before one that hung is acted on


class Lost(Enum):
    """No answer."""

    RESET = auto()
    #: until the client has gone; Placement acts on it all the same, some requests later
    HANGS = auto()


Act = Callable[[], Answer]
"""Has Placement act on the request; what it answers."""
Fault = Callable[[Act], Answer | Lost]
"""What becomes of a request."""


class Door:
    """Serves a Placement on a port of its own.

    :ivar placement: what is behind it
    :ivar url: for the code under test
    :ivar requests: "METHOD path" of each since ``fail_at``
    :ivar failed: the fault has happened since ``fail_at``
    """

    def __init__(self, placement: Remembered) -> None:
        self.placement = placement
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._at = -1
        self._late: tuple[int, Act] | None = None  # how many requests it still waits for
        self.requests: list[str] = []
        self.failed = False
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.door = self
        port = self._server.server_port
        self._server.base_environ = {
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(port),
            "SCRIPT_NAME": "",
            "wsgi.url_scheme": "http",
        }
        self.url = f"http://127.0.0.1:{port}{placement.prefix}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail_at(self, number: int, fault: Fault) -> None:
        """Count anew, from 0; the request with that number meets the fault."""
        with self._lock:
            self._at, self._fault, self._late = number, fault, None
            self.requests, self.failed = [], False

    def count_anew(self) -> None:
        """From 0, without a fault."""
        with self._lock:
            self._at, self.requests = -1, []

    @property
    def expects_late(self) -> bool:
        """Placement has yet to act on a request that hung."""
        return self._late is not None

    def serve(self, environ: dict[str, Any]) -> Answer | Lost:
        """What becomes of a request."""
        with self._lock:
            number = len(self.requests)
            self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
            self._act_late()
            fault = self._fault if number == self._at else None
            self.failed = self.failed or fault is not None
        if fault is None:
            return self.placement.act(environ)
        outcome = fault(lambda: self.placement.act(environ))
        if outcome is Lost.HANGS:
            with self._lock:
                self._late = (_LATE_BY, lambda: self.placement.act(environ))
        return outcome

    def _act_late(self) -> None:
        if self._late is not None:
            left, act = self._late
            self._late = (left - 1, act) if left else None
            if not left:
                act()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # clients keep their connections open
    request_queue_size = 50
    door: Door
    base_environ: dict[str, str]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are what these tests are about."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def handle(self) -> None:
        # That of WSGIRequestHandler answers one request and closes.
        BaseHTTPRequestHandler.handle(self)

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.server.door.serve({**self.get_environ(), "wsgi.input": BytesIO(body)})
        if isinstance(answer, Lost):
            self._lose(answer)
        else:
            self._send(answer)

    do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _send(self, answer: Answer) -> None:
        code, _, reason = answer.status.partition(" ")
        self.send_response_only(int(code), reason)
        for header in answer.headers:
            self.send_header(*header)
        if code != "204":
            promised = len(answer.body) if answer.promised is None else answer.promised
            self.send_header("Content-Length", str(promised))
        self.end_headers()
        self.wfile.write(answer.body)
        self.close_connection = answer.promised is not None

    def _lose(self, how: Lost) -> None:
        self.close_connection = True
        if how is Lost.HANGS:
            select.select([self.connection], [], [], 30)
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    def finish(self) -> None:
        super().finish()
        with suppress(OSError):  # at once: a half-closed connection is no reset one
            self.connection.close()

    def log_message(self, *_: Any) -> None:
        pass
