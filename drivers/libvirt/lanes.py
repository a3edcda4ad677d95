"""Calls that may hang, off the caller's thread and with a time limit.

A lane is a thread that owns one connection and makes calls on it, one after the other. A call that exceeds
its time is given up: its lane is left alone (nothing can interrupt it) and ends by itself when the call
returns at last; the next call takes a new lane with a connection of its own. No more than a few lanes may
hang at once, so that a service beside a hung daemon does not fill up with threads.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Generic, TypeVar

C = TypeVar("C")
T = TypeVar("T")

MOST_HUNG = 3
_CLOSING_SECONDS = 0.5  # that a connection may take to be closed; then it is left to the daemon


class Hung(Exception):
    """A call was not answered in time, or too many earlier ones still hang.

    :param lanes: how many calls hang now
    :param refused: the call was not even tried
    """

    def __init__(self, lanes: int, refused: bool) -> None:
        super().__init__(f"{lanes} calls hang")
        self.lanes = lanes
        self.refused = refused


class Lane(Generic[C]):
    """One thread and its connection, which is opened by the first call and again after :meth:`drop`.

    The connection lives in the thread alone: a thread that hangs keeps it alive, so nothing tries to close
    it, and hangs as well, when the program ends.
    """

    def __init__(self, connect: Callable[[], C], disconnect: Callable[[C], object]) -> None:
        self._connect = connect
        self._disconnect = disconnect
        self._calls: queue.SimpleQueue[tuple[Callable[[C], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._drop = False
        self._thread = threading.Thread(target=self._serve, name="libvirt-calls", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[C], T]) -> Future[T]:
        """Have the lane call ``function(connection)``; the future has what it returns or raises."""
        future: Future[T] = Future()
        self._calls.put((function, future))
        return future

    def drop(self) -> None:
        """Give the connection up: the next call opens another one."""
        self._drop = True

    def leave(self) -> None:
        """End the thread, and close its connection, as soon as what it does now is done."""
        self._calls.put(None)

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def join(self, seconds: float) -> None:
        """Wait for the thread to end, but no longer than ``seconds``."""
        self._thread.join(seconds)

    def _serve(self) -> None:
        connection: C | None = None
        while (call := self._calls.get()) is not None:
            if self._drop and connection is not None:
                self._disconnect(connection)
                connection = None
            self._drop = False
            function, future = call
            try:
                if connection is None:
                    connection = self._connect()
                answer = function(connection)
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                with contextlib.suppress(InvalidStateError):  # the caller waits no more
                    future.set_exception(error)
            else:
                with contextlib.suppress(InvalidStateError):
                    future.set_result(answer)
        if connection is not None:
            self._disconnect(connection)


class Lanes(Generic[C]):
    """The lane in use and those that hang.

    :param connect: opens a connection
    :param disconnect: closes one; must not raise
    :param time_limit: seconds that a call, opening included, may take
    :ivar late: called, from the lane's thread, when a call that was given up has ended after all
    """

    def __init__(
        self,
        connect: Callable[[], C],
        disconnect: Callable[[C], object],
        time_limit: float,
        most_hung: int = MOST_HUNG,
    ) -> None:
        self._connect = connect
        self._disconnect = disconnect
        self._time_limit = time_limit
        self._most_hung = most_hung
        self._lane: Lane[C] | None = None
        self._hung: list[Lane[C]] = []
        self._lock = threading.Lock()
        self._asked: Future[Any] | None = None
        self.late: Callable[[], object] | None = None

    def call(self, function: Callable[[C], T]) -> T:
        """Return what ``function(connection)`` returns, or raise what it raises.

        :raises Hung: it took longer than the time limit, or too many earlier calls still hang
        """
        with self._lock:
            lane = self._usable()
            self._asked = asked = lane.submit(function)
            try:
                answer: T = asked.result(self._time_limit)
            except (FutureTimeout, CancelledError):
                asked.add_done_callback(self._ended_late)
                lane.leave()
                self._hung.append(lane)
                self._lane = None
                raise Hung(len(self._hung), refused=False) from None
            else:
                return answer

    def _ended_late(self, asked: Future[Any]) -> None:
        if self.late is not None and not asked.cancelled():
            self.late()

    def _usable(self) -> Lane[C]:
        self._hung = [lane for lane in self._hung if lane.alive]
        if self._lane is None:
            if len(self._hung) >= self._most_hung:
                raise Hung(len(self._hung), refused=True)
            self._lane = Lane(self._connect, self._disconnect)
        return self._lane

    def drop(self) -> None:
        """Have the next call open a new connection."""
        with self._lock:
            if self._lane is not None:
                self._lane.drop()

    def close(self) -> None:
        """Let go of everything. A call that is under way is given up, and its lane left behind."""
        asked = self._asked
        if asked is not None:
            asked.cancel()
        with self._lock:
            if self._lane is not None:
                self._lane.leave()
                self._lane.join(_CLOSING_SECONDS)
                self._lane = None
