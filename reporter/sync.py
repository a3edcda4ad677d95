"""Reporting nodes to a Placement: ``diff``, ``sync`` and ``run`` all call ``Reporter.sync_once``.

What one cycle does is in reporter.cycle; here is what outlives a cycle: connections, what is remembered of
each node, and when to try again.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from reporter.context import Context, Mode, NodeMemory, Progress
from reporter.cycle import Cycle
from reporter.errors import ConfigurationError, StateError
from reporter.names import Names
from reporter.placement import errors
from reporter.settings import Settings
from reporter.state.directory import StateDirectory

if TYPE_CHECKING:
    from drivers.base import ComputeDriver
    from reporter.placement.client import PlacementClient
    from reporter.report import Report
    from reporter.saved_plan import SavedPlan
    from reporter.wish import Overlay

LOG = logging.getLogger(__name__)

_ATTEMPTS = 6
_ATTEMPTS_AT_ONCE = 3  # at writing many inventories in one request: each of the providers has to stay unmoved
_IN_USE = (errors.ProviderInUse, errors.InventoryInUse)  # what policies hold, had it been so when we looked
_OVERTAKEN = (
    errors.ConcurrentUpdate,
    errors.NotFound,
    errors.DuplicateName,
    errors.CannotDeleteParent,
    *_IN_USE,
)
_PAUSE = 0.05  # seconds; doubled at each attempt, jittered: at most 1.6 s, a stop must not wait for long


class Reporter:
    """Reports the nodes of one driver to one Placement.

    Safe to use from several threads: there is one cycle at a time, and the others wait. Several Reporters,
    each with a state directory of its own, go side by side.

    :param driver: its ``init_host`` has been called
    :param state: the state directory, or its path
    :param overlays: merged over the driver's tree, in this order
    """

    def __init__(
        self,
        driver: ComputeDriver,
        client: PlacementClient,
        state: StateDirectory | Path | str,
        settings: Settings | None = None,
        overlays: Sequence[Overlay] = (),
    ) -> None:
        self.settings = settings or Settings()
        self.driver = driver
        self.client = client
        self.state = state if isinstance(state, StateDirectory) else StateDirectory(Path(state))
        self._executor = ThreadPoolExecutor(self.settings.connections, thread_name_prefix="placement")
        self._context = Context(
            driver=driver,
            client=client,
            state=self.state,
            settings=self.settings,
            overlays=tuple(overlays),
            executor=self._executor,
        )
        self._memories: dict[str, NodeMemory] = {}
        self._one_cycle = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections' threads, and save what a service puts off."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        for memory in self._memories.values():
            with contextlib.suppress(StateError):  # a cache: without it the next start reads more
                memory.keeper.flush()

    def nodes(self, refresh: bool = True) -> list[str]:
        """The names of the driver's nodes."""
        return list(self.driver.get_available_nodes(refresh=refresh))

    def diff(self, node: str) -> Report:
        """What a sync would change. Writes nothing, needs no lock. Errors as ``sync_once``, and:

        :raises reporter.errors.ConfigurationError: the driver has no such node
        """
        self._refuse_strange(node)
        return self.sync_once(node, dry_run=True)

    def sync(self, node: str, *, adopt: bool = False, force: bool = False) -> Report:
        """One cycle, with the state directory locked. Errors as ``diff``, and:

        :raises reporter.errors.StateLocked: another process writes from this state directory
        """
        self._refuse_strange(node)
        with self._one_cycle, self.state.lock():
            return self.sync_once(node, adopt=adopt, force=force)

    def _refuse_strange(self, node: str) -> None:
        """Most drivers have one node and do not look at the name: they would report the host once more."""
        if not self.driver.node_is_available(node):
            raise ConfigurationError(
                f"the driver has no node {node!r}", f"it has {', '.join(self.nodes(refresh=False)) or 'none'}"
            )

    def sync_once(
        self,
        node: str,
        *,
        dry_run: bool = False,
        adopt: bool = False,
        force: bool = False,
        service: bool = False,
        saved: SavedPlan | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """One cycle for one node; again at once, a few times, when another writer was quicker.

        The caller holds ``state.lock()`` unless it is a dry run, and has the name from the driver.

        :param dry_run: find out everything, write nothing
        :param adopt: take over a root provider that exists and that we did not make
        :param force: make changes that policies would hold
        :param service: hold what only a service holds: large shrinking, a new name of the host
        :param saved: make exactly the requests of this plan
        :raises reporter.errors.AdoptionNeeded: the root exists and is not ours (never in a dry run)
        :raises reporter.errors.StalePlan: a record that ``saved`` touches has changed
        :raises reporter.errors.ReporterError: see reporter.errors and reporter.placement.errors
        :raises drivers.errors.DriverError: the driver cannot tell what the host has
        """
        mode = Mode(dry_run=dry_run, adopt=adopt, force=force, service=service)
        with self._one_cycle:
            return self._until_not_overtaken(node, mode, saved, progress)

    def _until_not_overtaken(
        self, node: str, mode: Mode, saved: SavedPlan | None, progress: Progress | None
    ) -> Report:
        memory = self._memories.setdefault(node, NodeMemory.with_interval(self.settings.interval))
        sent_before = self.client.requests_sent
        attempt = 1
        while True:
            cycle = Cycle(self._context, memory, node, mode, sent_before, progress)
            try:
                return cycle.run() if saved is None else cycle.run_saved(saved)
            except _OVERTAKEN as error:
                if isinstance(error, errors.DuplicateName):
                    cycle.explain_duplicate()
                if attempt == _ATTEMPTS or (mode.force and isinstance(error, _IN_USE)):
                    raise
                if attempt >= _ATTEMPTS_AT_ONCE and cycle.used_reshaper_for_inventories:
                    mode = replace(mode, one_by_one=True)
                LOG.info("%s: %s; reading again (attempt %d of %d)", node, error, attempt + 1, _ATTEMPTS)
                time.sleep(_PAUSE * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            except errors.Forbidden:
                if not cycle.used_reshaper_for_inventories:
                    raise
                LOG.warning("%s: the reshaper is forbidden; inventories go out one by one from now on", node)
                self._context.reshaper_forbidden = True
            except errors.BadRequest:
                # Perhaps a trait, a class or a parent was deleted that Placement had when it was asked.
                if attempt > 1:
                    raise
                self._context.names = Names()
            attempt += 1
