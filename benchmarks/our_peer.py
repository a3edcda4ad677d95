"""Our Reporter as the service uses it: ``python -m benchmarks.our_peer URL STATE_DIR CONNECTIONS``."""

from __future__ import annotations

import gc
import sys
from contextlib import ExitStack
from pathlib import Path

from oslo_config import cfg

from benchmarks.peer_loop import serve
from benchmarks.work import Work, move_vgpus, restate
from drivers.base import Allocations, ComputeDriver
from drivers.errors import ReshapeNeeded
from provider_tree import ProviderTree
from reporter.library import connect
from reporter.report import Report
from reporter.settings import Settings
from reporter.sync import Reporter


class WorkDriver(ComputeDriver):
    """Restates the work in each cycle."""

    name = "benchmark"

    def __init__(self, work: Work) -> None:
        super().__init__(cfg.ConfigOpts())
        self.work = work

    def get_available_nodes(self, refresh: bool = False) -> list[str]:  # noqa: ARG002 - the contract
        return [self.work.root.name]

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:  # noqa: ARG002 - the contract
        return {self.work.root.uuid: self.work.root.name}

    def update_provider_tree(
        self, provider_tree: ProviderTree, nodename: str, allocations: Allocations | None = None
    ) -> None:
        moving = self.work.move_vgpus_to and "VGPU" in provider_tree.provider(nodename).inventory
        if moving and allocations is None:
            raise ReshapeNeeded
        restate(provider_tree, self.work)
        if moving and allocations is not None:
            move_vgpus(self.work, allocations)


class OurPeer:
    """A Reporter in a running service."""

    def __init__(self, url: str, state: Path, connections: int) -> None:
        self._url = url
        self._state = state
        # Otherwise a card that vanishes whole is held back for some cycles: nothing would be measured.
        self._settings = Settings(connections=connections, max_shrink_percent=100)
        self._running = ExitStack()
        self._driver = WorkDriver(Work([]))
        self._reporter: Reporter
        self._report: Report

    def begin(self, work: Work) -> None:
        self._driver = WorkDriver(work)
        self.restart()

    def wish(self, work: Work) -> None:
        self._driver.work = work

    def restart(self) -> None:
        self._running.close()
        reporter = Reporter(self._driver, connect(url=self._url), self._state, self._settings)
        self._reporter = self._running.enter_context(reporter)
        self._running.enter_context(reporter.state.lock())

    def expire(self) -> None:
        pass  # it asks Placement in every cycle

    def cycle(self, as_every_minute: bool) -> None:  # noqa: ARG002 - a cycle is the same every time
        self._report = self._reporter.sync_once(self._driver.work.root.name, service=True)

    def traits_seen(self, uuid: str) -> list[str]:
        return sorted(self._report.current.provider(uuid).traits)


if __name__ == "__main__":
    gc.freeze()  # as the service does
    serve(OurPeer(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
