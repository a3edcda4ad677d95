"""Stopping between two requests: every prefix of a plan is legal, so a cycle may end after any request."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reporter.errors import ReporterError
from reporter.placement.client import MICROVERSION, PlacementClient

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter


class Stopped(ReporterError):
    """The service is stopping: no further request is sent."""


class StoppableClient(PlacementClient):
    """A client that begins no request once ``stopping`` is set, and tells of one that writes."""

    def __init__(self, adapter: Adapter, label: str | None, stopping: threading.Event) -> None:
        super().__init__(adapter, label)
        self._stopping = stopping
        self._counting = threading.Lock()
        self._under_way = 0

    @property
    def busy(self) -> bool:
        """Whether a request that writes is under way. One that only reads may be left behind."""
        return self._under_way > 0

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        microversion: str = MICROVERSION,
    ) -> dict[str, Any]:
        """Send one request.

        :raises Stopped: the service is stopping
        """
        if self._stopping.is_set():
            raise Stopped("the service is stopping", "the next start goes on from here")
        if method == "GET":
            return super().request(method, path, body, microversion)
        with self._counting:
            self._under_way += 1
        try:
            return super().request(method, path, body, microversion)
        finally:
            with self._counting:
                self._under_way -= 1
