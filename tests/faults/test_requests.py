"""Each request of a cycle goes wrong in every way: the cycle says so or succeeds, and later ones converge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from reporter import sync
from reporter.errors import ReporterError
from reporter.sync import Reporter
from tests.faults import kinds
from tests.faults.door import Door, Fault
from tests.faults.remembered import Remembered
from tests.faults.scenarios import NODE, SCENARIOS
from tests.faults.stage import OneNode, Stage
from tests.faults.undisturbed import assert_as_wished

_PATIENCE = 0.1  # seconds that a client waits for an answer that never comes


class Disturber:
    """Has requests of a scenario's last cycle go wrong, one each time.

    :ivar requests: those of that cycle when nothing goes wrong
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        with self._running(stage.set_up()) as reporter:
            stage.door.count_anew()
            stage.sync(reporter)
            self.requests = stage.door.requests
        self._settled: set[object] = set()
        self._gone_on_from: set[object] = set()

    def disturb(self, number: int, fault: Fault) -> None:
        """Have one go wrong, and see that cycles in this process and in a new one come to the same end."""
        stage, door = self.stage, self.stage.door
        state = stage.set_up()
        with self._running(state) as reporter:
            raised = self._disturbed_cycle(reporter, number, fault)
            if raised is not None:
                assert raised.advice, raised
            outcome = number, stage.left_behind(state), raised is None, door.expects_late
            if outcome not in self._settled:
                self._settled.add(outcome)
                if not door.expects_late:
                    self._check_new_process_goes_on(state)
                stage.settle(reporter)
                assert door.placement.state.world == stage.after

    def _check_new_process_goes_on(self, state: Path) -> None:
        left_behind = self.stage.left_behind(state)
        if left_behind not in self._gone_on_from:
            self._gone_on_from.add(left_behind)
            self.stage.check_new_process_goes_on(self.stage.copy(state))

    def _running(self, state: Path) -> Reporter:
        """A reporter that has been doing what it does for a while."""
        scenario = self.stage.scenario
        reporter = self.stage.reporter(state, scenario.before or scenario.after, scenario.called)
        if scenario.before is not None:
            reporter.sync(scenario.called)
            assert isinstance(reporter.driver, OneNode)
            reporter.driver.edit, reporter.driver.node = scenario.after, NODE
        return reporter

    def _disturbed_cycle(self, reporter: Reporter, number: int, fault: Fault) -> ReporterError | None:
        session = reporter.client._adapter.session
        hangs = fault is kinds.hangs_and_is_acted_on_later
        session.timeout, usual = _PATIENCE if hangs else session.timeout, session.timeout
        self.stage.door.fail_at(number, fault)
        try:
            self.stage.sync(reporter)
        except ReporterError as error:
            return error
        finally:
            session.timeout = usual
            # A machine that is busy may keep a client waiting so long that it gave up before.
            assert self.stage.door.failed or hangs
        return None


def one_after_the_other(disturber: Disturber, number: int, faults: Sequence[Fault]) -> None:
    """Have a request go wrong in all these ways; each time another is the first, and followed to the end."""
    first = number % len(faults)
    for fault in [*faults[first:], *faults[:first]]:
        try:
            disturber.disturb(number, fault)
        except Exception as error:
            error.add_note(f"{fault.__name__} was request {number}, {disturber.requests[number]}")
            raise


@pytest.mark.parametrize("name", SCENARIOS)
def test_any_request_goes_wrong_in_any_way(disturber: Callable[..., Disturber], name: str) -> None:
    cycle = disturber(name, "auto")
    for number, request in enumerate(cycle.requests):
        if not request.startswith("GET"):
            one_after_the_other(cycle, number, kinds.OF_WRITES)
        elif name in ("first sync", "change", "reshape", "delete"):  # the others read just the same
            one_after_the_other(cycle, number, kinds.OF_READS)


@pytest.mark.parametrize("name", ["first sync", "change", "delete"])  # a reshape is the same
def test_any_write_goes_wrong_when_inventories_go_one_by_one(
    disturber: Callable[..., Disturber], name: str
) -> None:
    cycle = disturber(name, "off")
    for number, request in enumerate(cycle.requests):
        if not request.startswith("GET"):
            one_after_the_other(cycle, number, kinds.EFFECTS)


@pytest.fixture
def disturber(
    placement: Any, states: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Disturber]]:
    """Makes a disturber for a scenario and a setting of ``atomic``."""
    monkeypatch.setattr(sync, "_PAUSE", 0.0)
    with Door(Remembered(placement)) as door:

        def make(name: str, atomic: str) -> Disturber:
            stage = Stage(placement, door, states, SCENARIOS[name], atomic)
            assert_as_wished(stage)
            return Disturber(stage)

        yield make
