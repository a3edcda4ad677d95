"""A scenario at the moment before its last cycle, to be played again and again."""

from __future__ import annotations

import contextlib
import shutil
from itertools import count
from pathlib import Path
from typing import Any

from reporter.placement import errors
from reporter.report import Report
from reporter.state.directory import StateDirectory
from reporter.sync import Reporter
from tests.faults.door import Door
from tests.faults.scenarios import NODE, Scenario, nothing
from tests.faults.world import CONSUMERS
from tests.functional.drivers import Edit, ScriptedDriver
from tests.functional.reporting import reporter_for

_CYCLES = 5  # that it may take until all is well
_ROOT = "11111111-1111-4111-8111-111111111111"


class OneNode(ScriptedDriver):
    """Says no uuid of its node. A root that is new has always the same, so that runs can be compared."""

    def __init__(self, edit: Edit, node: str = NODE) -> None:
        super().__init__(edit, node)

    def new_node_uuid(self, nodename: str) -> str:
        return _ROOT


class Stage:
    """Plays a scenario.

    :param placement: a Placement for tests, the one behind ``door``
    :param directory: for state directories; each play has its own
    :ivar before: what Placement has at the beginning
    :ivar after: what it has when nothing was disturbed
    :ivar taken_back: what it has when ours has been taken away after that
    """

    def __init__(self, placement: Any, door: Door, directory: Path, scenario: Scenario, atomic: str) -> None:
        self.door, self.scenario = door, scenario
        self._directory, self._atomic, self._numbers = directory, atomic, count()
        before = directory / "before"
        if scenario.before is not None:
            with self.reporter(before, scenario.before, scenario.called) as reporter:
                reporter.sync(scenario.called)
        door.placement.materialize()
        scenario.others(placement)
        door.placement.look()
        if scenario.before is not None:  # what others did has been seen
            with self.reporter(before, scenario.before, scenario.called) as reporter:
                reporter.sync(scenario.called)
        self._begin = door.placement.state
        self.before = self._begin.world
        self._rehearse()

    def _rehearse(self) -> None:
        state = self.set_up()
        with self.reporter(state, self.scenario.after) as reporter:
            self.settle(reporter)
        self.after = self.door.placement.state.world
        self.take_back(state)
        self.taken_back = self.door.placement.state.world

    def set_up(self) -> Path:
        """Put everything back; a state directory as it was."""
        self.door.placement.put_back(self._begin)
        self.door.count_anew()
        return self.copy(self._directory / "before")

    def copy(self, state: Path) -> Path:
        """Another state directory with the same content."""
        path = self._directory / f"state {next(self._numbers)}"
        if state.exists():
            shutil.copytree(state, path)
        return path

    def reporter(self, state: Path, edit: Edit, node: str = NODE) -> Reporter:
        reporter = reporter_for(OneNode(edit, node), self.door.url, state, atomic=self._atomic)
        # Looking for proxies in the environment takes a quarter of the time of a request.
        reporter.client._adapter.session.session.trust_env = False
        return reporter

    def sync(self, reporter: Reporter) -> Report:
        return reporter.sync(NODE, adopt=self.scenario.adopt)

    def settle(self, reporter: Reporter) -> None:
        """Sync until a cycle is one request and finds nothing to do."""
        for _ in range(_CYCLES):
            self.door.count_anew()
            report = self.sync(reporter)
            assert not report.held
            if len(self.door.requests) == 1 and not report.changes and not self.door.expects_late:
                return
        raise AssertionError(f"does not settle: {self.door.requests}, {list(report.changes)}")

    def left_behind(self, state: Path) -> tuple[str, ...]:
        """What a cycle that failed leaves to the next process."""
        ledgers = sorted(state.glob("nodes/*.ledger.json"))
        return self.door.placement.state.key, *(each.name + each.read_text() for each in ledgers)

    def check_new_process_goes_on(self, state: Path) -> None:
        """It finishes what another has left behind, and what is ours can still be taken back.

        Placement has afterwards what it had; the state directory is used up.
        """
        placement = self.door.placement
        begin = placement.state
        with self.reporter(state, self.scenario.after) as reporter:
            self.settle(reporter)
        assert placement.state.world == self.after
        assert StateDirectory(state).nodes() == [NODE]
        self.take_back(state)
        assert placement.state.world == self.taken_back
        placement.put_back(begin)

    def take_back(self, state: Path) -> None:
        """Nobody uses ours any longer, and the driver wants nothing."""
        with self.reporter(state, nothing) as reporter:
            for consumer in CONSUMERS[1:]:
                with contextlib.suppress(errors.NotFound):
                    reporter.client.request("DELETE", f"/allocations/{consumer}")
            reporter.sync(NODE)
