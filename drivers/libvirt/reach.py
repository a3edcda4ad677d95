"""Reaching a libvirt that goes away and comes back: its daemon is restarted, upgraded, stopped for a while.

A call that finds the connection broken is made again, with short pauses, as long as a restart takes.
If libvirt stays away longer, the call fails, and so do further ones at once; a thread looks for its return.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import Any, TypeVar

from drivers.libvirt.errors import LibvirtError, LibvirtUnreachable

LOG = logging.getLogger(__name__)
T = TypeVar("T")

# Seconds before each further try of a call.
PAUSES: Sequence[float] = (0.1, 0.3, 0.6, 1.0, 2.0)
# Seconds before each look for a libvirt that stayed away; the last one again and again.
RETURN_PAUSES: Sequence[float] = (1.0, 2.0, 5.0, 10.0)


class Reach:
    """Makes calls, again if need be.

    :param once: makes one call; raises LibvirtUnreachable where there is no connection, and then opens one
        the next time
    :param probe: a cheap call
    """

    def __init__(self, once: Callable[[Callable[[Any], Any]], Any], probe: Callable[[Any], object]) -> None:
        self._once = once
        self._probe = probe
        self._reached = False
        self._closed = threading.Event()
        self._looking = threading.Lock()
        self._on_return: Callable[[], object] | None = None

    def tell_return(self, on_return: Callable[[], object]) -> None:
        """Have ``on_return`` called, from a thread of its own, when libvirt is back after it stayed away."""
        self._on_return = on_return

    def close(self) -> None:
        """Stop waiting for anything."""
        self._closed.set()

    def call(self, function: Callable[[Any], T]) -> T:
        """Return what ``function`` returns.

        :raises LibvirtUnreachable: there is no connection. One that never was is not waited for.
        """
        try:
            answer: T = self._once(function)
        except LibvirtUnreachable as error:
            if not self._reached:
                raise
            LOG.info("%s; trying again", error)
            answer = self._again(function)
        self._reached = True
        return answer

    def _again(self, function: Callable[[Any], T]) -> T:
        self._reached = False
        for pause in PAUSES:
            try:
                answer: T = self._once(function)
            except LibvirtUnreachable:
                self._closed.wait(pause)
            else:
                return answer
        try:
            return self._once(function)  # type: ignore[no-any-return]  # what function returns
        except LibvirtUnreachable:
            if self._on_return is not None and self._looking.acquire(blocking=False):
                threading.Thread(target=self._look, name="libvirt-return", daemon=True).start()
            raise

    def _look(self) -> None:
        """Look for libvirt until it is back, and say so; not if a call has found it meanwhile."""
        try:
            for pause in chain(RETURN_PAUSES, repeat(RETURN_PAUSES[-1])):
                if self._closed.wait(pause) or self._reached:
                    return
                try:
                    self._once(self._probe)
                except LibvirtError:
                    continue
                self._reached = True
                if self._on_return is not None:
                    self._on_return()
                return
        finally:
            self._looking.release()
