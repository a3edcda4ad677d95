"""Servers that are not, or not quite, a Placement."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def answering(
    status: int, body: str = "", content_type: str = "application/json", **headers: str
) -> Iterator[str]:
    """A server that answers every request alike; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body.encode())))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as url:
        yield url


@contextmanager
def hanging(seconds: float = 30) -> Iterator[str]:
    """A server that takes requests and does not answer them for so long."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            over.wait(seconds)

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as url:
        try:
            yield url
        finally:
            over.set()
            time.sleep(0)


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def error_document(status: int, code: str = "", **fields: Any) -> str:
    """An error as Placement writes it."""
    error: Mapping[str, Any] = {
        "status": status,
        "title": "Error",
        "detail": "it went wrong",
        "code": code,
        **fields,
    }
    return json.dumps({"errors": [error]})
