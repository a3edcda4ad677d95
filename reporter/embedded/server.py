"""Loopback HTTP/1.1 for one WSGI application: one thread for the sockets, one for the requests."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from waitress import wasyncore
from waitress.server import create_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: How many connections may be open at once; clients of one process, each with a pool of a few.
_CONNECTION_LIMIT = 100


class LoopbackServer:
    """Serves ``application`` on a free port of 127.0.0.1 from construction to :meth:`close`.

    :param prefix: the path below which the application answers, with a leading slash
    """

    def __init__(self, application: WSGIApplication, prefix: str) -> None:
        self._map: dict[int, object] = {}
        self._server = create_server(
            application,
            map=self._map,
            host="127.0.0.1",
            port=0,
            threads=1,
            connection_limit=_CONNECTION_LIMIT,
            # Clients keep their connections for as long as a pause between two cycles may last.
            channel_timeout=3600,
            ident="placement-reporter",
            clear_untrusted_proxy_headers=True,
        )
        self.url = f"http://127.0.0.1:{self._server.effective_port}{prefix}"
        self._thread = threading.Thread(target=self._server.run, name="embedded-placement", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let the running request end, close all connections and both threads."""
        self._server.task_dispatcher.shutdown()
        # Closed in the thread that polls them; without sockets its loop ends.
        with contextlib.suppress(OSError):  # woken by something else, it may have closed its pipe already
            self._server.trigger.pull_trigger(lambda: wasyncore.close_all(self._map, ignore_all=True))
        self._thread.join(timeout=5)
