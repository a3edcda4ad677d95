"""When what is done: APScheduler starts a round over all nodes every interval; driver events do it sooner."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers import SchedulerNotRunningError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from drivers.events import Event, InventoryEvent
from reporter.placement import errors
from reporter.service.backoff import Backoff
from reporter.service.journal import LOG, Journal
from reporter.service.stopping import StoppableClient, Stopped
from reporter.service.systemd import notify
from reporter.sightings import keep_sightings

if TYPE_CHECKING:
    from reporter.sync import Reporter

_ROUND = "round"
_DRIVER = "the driver"  # what its failures are counted and told under; no host name has a blank
_GRACE = 1.0  # seconds that a cycle has to end in once nothing is being written; cleaning up comes on top
_GATHERING = 0.2  # seconds in which further events join the first
_LONG_AGO = datetime.fromtimestamp(0, UTC)  # due at once, even if the clock is set back just now
_TOLERANCE = 0.5  # seconds that a node may be tried before its pause is over
_LATE = 5.0  # seconds after which a round that did not start is taken to have been forgotten


class Service:
    """Syncs all nodes of a driver again and again, one after the other.

    A node that fails is tried again after pauses that grow; the others go on meanwhile.

    :param reporter: its client is to refuse requests once ``stopping`` is set (StoppableClient)
    :param nodes: asked at each round
    :param interval: seconds between two rounds
    :param jitter: seconds by which a round comes earlier or later, at most half an interval
    :param stopping: set by ``stop``
    """

    def __init__(
        self,
        reporter: Reporter,
        nodes: Callable[[], list[str]],
        interval: float,
        jitter: float,
        stopping: threading.Event,
    ) -> None:
        self._reporter = reporter
        self._nodes = nodes
        self._interval = interval
        self._jitter = min(jitter, interval / 2)
        self._stopping = stopping
        self._backoffs: dict[str, Backoff] = {}
        self._journals: dict[str, Journal] = {}
        self._idle = threading.Event()
        self._idle.set()
        self._woken: set[str | None] = set()
        self._waking = threading.Lock()
        self._listening = False
        self._next_round = float("inf")  # monotonic; the latest moment at which it should start
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)},  # one cycle at a time
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )

    def start(self) -> None:
        """Begin with the first round, in a thread."""
        trigger = IntervalTrigger(
            seconds=self._interval - self._jitter, jitter=2 * self._jitter or None, timezone=UTC
        )
        self._scheduler.add_job(self._round, trigger, id=_ROUND, next_run_time=_from_now(0))
        self._next_round = time.monotonic()
        self._scheduler.start()
        notify("READY=1")

    def wait(self) -> None:
        """Until something sets ``stopping``.

        APScheduler goes by the wall clock: when that is set back, the next round would wait as long again.
        """
        while not self._stopping.wait(min(self._interval, _LATE)):
            if self._idle.is_set() and time.monotonic() > self._next_round + _LATE:
                LOG.debug("A round is late (was the clock set back?)")
                self._start_round_in(0)

    def stop(self) -> bool:
        """Begin nothing more, and wait for the request under way, if it writes.

        :return: False if a cycle goes on although it writes nothing: the driver hangs, or Placement
        """
        self._stopping.set()
        notify("STOPPING=1")
        with contextlib.suppress(SchedulerNotRunningError):
            self._scheduler.shutdown(wait=False)
        client = self._reporter.client
        deadline = time.monotonic() + _GRACE
        while not self._idle.wait(0.05):
            if isinstance(client, StoppableClient) and client.busy:
                deadline = time.monotonic() + _GRACE
            elif time.monotonic() > deadline:
                return False
        return True

    # Rounds

    def _round(self) -> None:
        """A cycle for each node that is not in a pause."""
        self._next_round = time.monotonic() + self._interval + self._jitter
        pause = self._cycles(lambda nodes: nodes)
        if pause is not None and not self._stopping.is_set():
            self._start_round_in(pause)

    def _woken_round(self) -> None:
        """Cycles for the nodes that events were about: what they failed for may be over."""
        self._stopping.wait(_GATHERING)
        with self._waking:
            woken, self._woken = self._woken, set()

        def choose(nodes: list[str]) -> list[str]:
            chosen = [each for each in nodes if None in woken or each in woken]
            for node in chosen:
                self._backoff(node).interrupt()
            return chosen

        pause = self._cycles(choose)
        latest = time.monotonic() + self._interval + self._jitter
        if pause is None and self._next_round > latest and not self._stopping.is_set():
            self._start_round_in(self._interval)  # it had been put off

    def _cycles(self, choose: Callable[[list[str]], list[str]]) -> float | None:
        """Run cycles, one after the other, for the nodes that are chosen.

        :return: seconds until the next try, where nothing succeeded; None: as usual
        """
        if self._stopping.is_set():
            return None
        self._idle.clear()
        try:
            nodes = self._nodes_now()
            return nodes if isinstance(nodes, float) else self._try(choose(nodes))
        finally:
            self._tell_systemd()
            self._idle.set()

    def _nodes_now(self) -> list[str] | float:
        """The driver's nodes, those without trouble first; where it does not tell, seconds to wait."""
        try:
            if not self._listening:
                self._reporter.driver.register_event_listener(self._on_event)
                self._listening = True
            nodes = self._nodes()
        except Exception as error:  # noqa: BLE001 - told in the log; the service goes on
            return self._failed(self._who_met(error), error)
        self._journal(_DRIVER).works_again(self._backoff(_DRIVER).succeeded())
        for gone in self._backoffs.keys() - {_DRIVER, *nodes}:
            del self._backoffs[gone]
            self._journals.pop(gone, None)
        return sorted(nodes, key=lambda each: self._backoff(each).failures)

    def _try(self, nodes: list[str]) -> float | None:
        waits: list[float] = []
        succeeded = False
        in_a_row = 0
        for node in nodes:
            if self._stopping.is_set() or in_a_row >= errors.ENOUGH_IN_A_ROW:
                break
            if not self._backoff(node).is_due(time.monotonic() + _TOLERANCE):
                waits.append(self._backoff(node).due - time.monotonic())
                continue
            error = self._cycle(node)
            if error is None:
                succeeded = True
            else:
                waits.append(self._backoff(node).due - time.monotonic())
            in_a_row = in_a_row + 1 if isinstance(error, errors.PLACEMENT_FAILS) else 0
        return None if succeeded else min(waits, default=None)

    def _cycle(self, node: str) -> Exception | None:
        started = time.monotonic()
        try:
            report = self._reporter.sync_once(node, service=True)
        except Stopped:
            return None
        except Exception as error:  # noqa: BLE001 - told in the log; the service goes on
            self._failed(node, error)
            return error
        self._journal(node).done(report, time.monotonic() - started, self._backoff(node).succeeded())
        keep_sightings(self._reporter, report, time.time())
        return None

    def _who_met(self, error: Exception) -> str:
        """Whose failure it is if the driver does not tell its nodes: of one that met the same, or its own."""
        return next((node for node, each in self._journals.items() if each.is_known(error)), _DRIVER)

    def _failed(self, node: str, error: Exception) -> float:
        """Tell it.

        :return: seconds until the next try
        """
        backoff = self._backoff(node)
        of_placement = isinstance(error, errors.PLACEMENT_FAILS)  # which no event of the driver's is about
        pause = backoff.failed(time.monotonic(), getattr(error, "retry_after", None), firm=of_placement)
        self._journal(node).failed(error, backoff.failures, pause, firm=of_placement)
        return pause

    def _start_round_in(self, seconds: float) -> None:
        self._next_round = time.monotonic() + seconds
        with contextlib.suppress(JobLookupError):  # the scheduler has been shut down meanwhile
            self._scheduler.modify_job(_ROUND, next_run_time=_from_now(seconds))

    def _backoff(self, node: str) -> Backoff:
        return self._backoffs.setdefault(node, Backoff(self._interval))

    def _journal(self, node: str) -> Journal:
        return self._journals.setdefault(node, Journal(node))

    def _tell_systemd(self) -> None:
        failing = sorted(node for node, backoff in self._backoffs.items() if backoff.failures)
        notify(f"STATUS={'failing: ' + ', '.join(failing[:5]) if failing else 'reporting'}")

    # Events

    def _on_event(self, event: Event) -> None:
        if isinstance(event, InventoryEvent) and not self._stopping.is_set():
            LOG.debug("%r", event)
            self.wake(event.nodename)

    def hurry(self) -> None:
        """Run a cycle for all nodes, within a second, whatever they wait for: somebody asks for it."""
        for backoff in list(self._backoffs.values()):
            backoff.firm = False
        self.wake()

    def wake(self, node: str | None = None) -> None:
        """Run a cycle for that node, or for all, within a second; what asks meanwhile joins it."""
        with self._waking:
            under_way = bool(self._woken)
            self._woken.add(node)
        if not under_way and not self._stopping.is_set():
            self._scheduler.add_job(self._woken_round, DateTrigger(_LONG_AGO, timezone=UTC))


def _from_now(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=max(0.0, seconds))
