"""The service in this process, against a real Placement."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Allocations
from drivers.errors import HostReadError
from drivers.events import InventoryEvent, LifecycleEvent
from provider_tree import ProviderTree
from reporter.auth import adapter_from_url
from reporter.embedded.logs import hush
from reporter.service import Service, StoppableClient, loop
from reporter.settings import Settings
from reporter.state.directory import StateDirectory
from reporter.sync import Reporter
from tests.functional.conftest import RealPlacement
from tests.functional.drivers import ScriptedDriver

HOUR = 3600.0


class Nodes(ScriptedDriver):
    """Nodes with as much VCPU as a test says; some of them may fail or hang.

    :ivar calls: (node, monotonic time) of each ``update_provider_tree``
    """

    def __init__(self, *names: str) -> None:
        super().__init__(self._edit)
        self.names = list(names)
        self.total = 8
        self.broken: set[str] = set()
        self.hanging: threading.Event | None = None
        self.calls: list[tuple[str, float]] = []

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        if "" in self.broken:
            raise HostReadError("the hypervisor is away", "start it")
        return list(self.names)

    def _edit(self, tree: ProviderTree, node: str, _allocations: Allocations | None) -> None:
        self.calls.append((node, time.monotonic()))
        if self.hanging is not None:
            self.hanging.wait(60)
        if node in self.broken:
            raise HostReadError(f"cannot read {node}", "look at it")
        tree.update_inventory(node, {"VCPU": {"total": self.total}})

    def count(self, node: str) -> int:
        return sum(name == node for name, _ in self.calls)


@pytest.fixture
def serve(placement: RealPlacement, tmp_path: Path) -> Callable[..., Any]:
    """Runs a service over a driver for the time of a ``with``."""
    hush()  # the servers of the tests are not started as the embedded one is

    @contextmanager
    def serving(driver: Nodes, interval: float = HOUR, jitter: float = 0.0) -> Iterator[Service]:
        stopping = threading.Event()
        client = StoppableClient(adapter_from_url(placement.url), "test", stopping)
        settings = Settings(connections=1, interval=interval)
        with Reporter(driver, client, StateDirectory(tmp_path / "state"), settings) as reporter:
            service = Service(reporter, reporter.nodes, interval, jitter, stopping)
            service.start()
            try:
                yield service
            finally:
                service.stop()
                if driver.hanging is not None:
                    driver.hanging.set()

    return serving


def eventually(condition: Callable[[], object], seconds: float = 10) -> float:
    """Wait until it holds; how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not come to that"
        time.sleep(0.02)
    return time.monotonic() - started


def vcpus(placement: RealPlacement, node: str) -> int:
    inventory = placement.tree().get(node, {}).get("inventory", {})
    return int(inventory.get("VCPU", {}).get("total", 0))


def test_the_first_cycle_runs_at_once_and_the_next_after_the_interval(
    placement: RealPlacement, serve: Any
) -> None:
    driver = Nodes("a")
    with serve(driver, interval=1):
        eventually(lambda: vcpus(placement, "a") == 8, seconds=5)
        driver.total = 9
        eventually(lambda: vcpus(placement, "a") == 9)
    moments = [moment for _, moment in driver.calls]
    assert moments[1] - moments[0] > 0.5


def test_an_idle_cycle_is_one_request_and_no_line_in_the_log(
    placement: RealPlacement, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Nodes("a")
    with caplog.at_level(logging.INFO, "reporter.service"), serve(driver, interval=1):
        eventually(lambda: driver.count("a") >= 1 and vcpus(placement, "a") == 8)
        time.sleep(0.3)
        caplog.clear()
        placement.requests.clear()
        before = driver.count("a")
        eventually(lambda: driver.count("a") >= before + 2)
        time.sleep(0.2)
        assert len(placement.requests) == driver.count("a") - before
        assert caplog.records == []


def test_it_goes_on_after_an_outage_and_says_so_once(
    placement: RealPlacement, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    placement.hook = lambda _method, _path: ("503 Service Unavailable", b"<html>")
    driver = Nodes("a")
    with caplog.at_level(logging.INFO, "reporter.service"), serve(driver, interval=1):
        eventually(lambda: len(placement.requests) >= 3, seconds=15)
        errors = [each for each in caplog.records if each.levelno == logging.ERROR]
        assert 1 <= len(errors) <= 2, "the 1st and the 2nd, not the 3rd"
        assert "503" in errors[0].getMessage()
        assert "the next in" in errors[0].getMessage()
        placement.hook = None
        eventually(lambda: vcpus(placement, "a") == 8, seconds=15)
        eventually(lambda: any("works again" in each.getMessage() for each in caplog.records))


def test_pauses_grow(placement: RealPlacement, serve: Any) -> None:
    moments: list[float] = []

    def down(_method: str, _path: str) -> tuple[str, bytes]:
        moments.append(time.monotonic())
        return "503 Service Unavailable", b""

    placement.hook = down
    with serve(Nodes("a"), interval=1):
        eventually(lambda: len(moments) >= 4, seconds=20)
    gaps = [after - before for before, after in pairwise(moments)]
    assert gaps[0] < gaps[1] < gaps[2]


def test_a_node_that_fails_does_not_stop_the_others(placement: RealPlacement, serve: Any) -> None:
    driver = Nodes("a", "b", "c")
    driver.broken = {"b"}
    with serve(driver, interval=1):
        eventually(lambda: vcpus(placement, "a") == 8 and vcpus(placement, "c") == 8)
        driver.total = 9
        eventually(lambda: vcpus(placement, "a") == 9 and vcpus(placement, "c") == 9)
        assert vcpus(placement, "b") == 0
        driver.broken = set()
        eventually(lambda: vcpus(placement, "b") == 9, seconds=20)


def test_nodes_come_and_go(placement: RealPlacement, serve: Any) -> None:
    driver = Nodes("a", "other")  # a single one that is called otherwise would be a renamed host
    with serve(driver, interval=1):
        eventually(lambda: vcpus(placement, "a") == 8)
        driver.names = ["b", "other"]
        eventually(lambda: vcpus(placement, "b") == 8)
        assert vcpus(placement, "a") == 8, "no node of the driver's is no reason to delete"


def test_a_driver_that_cannot_tell_its_nodes_is_asked_again(placement: RealPlacement, serve: Any) -> None:
    driver = Nodes("a")
    driver.broken = {""}
    with serve(driver, interval=1):
        time.sleep(0.5)
        driver.broken = set()
        eventually(lambda: vcpus(placement, "a") == 8)


class Away(Nodes):
    """A hypervisor that goes away in mid-cycle, so that it cannot tell its nodes from then on."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.away = False

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        if self.away and self.calls:
            raise HostReadError("the hypervisor is away", "start it")
        return super().get_available_nodes(refresh)

    def _edit(self, tree: ProviderTree, node: str, allocations: Allocations | None) -> None:
        super()._edit(tree, node, allocations)
        if self.away:
            raise HostReadError("the hypervisor is away", "start it")


def test_what_fails_in_mid_cycle_and_goes_on_failing_is_one_failure(
    placement: RealPlacement, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Away("a")
    driver.away = True
    with caplog.at_level(logging.DEBUG, "reporter.service"), serve(driver, interval=1):
        eventually(lambda: "(attempt 3 failed" in caplog.text, seconds=15)
        driver.away = False
        driver.emit_event(InventoryEvent())
        eventually(lambda: vcpus(placement, "a") == 8)
    told = [each.getMessage().partition(" (")[0] for each in caplog.records if each.levelno >= logging.INFO]
    assert told[:2] == ["a: the hypervisor is away; start it"] * 2, "at the 1st time and the 2nd"
    assert told[2] == "a: works again after 3 failed attempts"
    assert len(told) == 4, "and what changed"


def test_an_event_makes_a_cycle_within_a_second(placement: RealPlacement, serve: Any) -> None:
    driver = Nodes("a", "b")
    with serve(driver):
        eventually(lambda: driver.count("b") == 1)
        eventually(lambda: vcpus(placement, "b") == 8)
        driver.total = 9
        emitted = time.monotonic()
        for _ in range(20):
            driver.emit_event(InventoryEvent("b", "a device came"))
        eventually(lambda: vcpus(placement, "b") == 9)
        (_, called) = driver.calls[-1]
        assert called - emitted < 1
        time.sleep(0.5)
        assert (driver.count("a"), driver.count("b")) == (1, 2), "one cycle for all, of that node alone"
        driver.emit_event(InventoryEvent())
        eventually(lambda: (driver.count("a"), driver.count("b")) == (2, 3))


def test_an_event_ends_the_pause_of_a_node_whose_driver_failed(placement: RealPlacement, serve: Any) -> None:
    """A hypervisor that is back says so: the next interval need not be waited for."""
    driver = Nodes("a")
    driver.broken = {"a"}
    with serve(driver):
        eventually(lambda: driver.count("a") == 1)
        time.sleep(0.2)
        driver.broken = set()
        driver.emit_event(InventoryEvent("a", "the hypervisor answers again"))
        eventually(lambda: vcpus(placement, "a") == 8, seconds=5)


def test_an_event_ends_no_pause_for_placements_sake(placement: RealPlacement, serve: Any) -> None:
    placement.hook = lambda _method, _path: ("503 Service Unavailable", b"")
    driver = Nodes("a")
    with serve(driver):
        eventually(lambda: len(placement.requests) == 1)
        time.sleep(0.2)
        driver.emit_event(InventoryEvent("a", "a device came"))
        time.sleep(0.6)
        assert len(placement.requests) == 1


def test_after_an_event_that_ended_a_pause_rounds_come_every_interval_again(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Nodes("a")
    driver.broken = {""}
    with caplog.at_level(logging.DEBUG, "reporter.service"), serve(driver, interval=1):
        eventually(lambda: "(attempt 4 failed" in caplog.text, seconds=20)
        driver.broken = set()
        driver.emit_event(InventoryEvent())
        eventually(lambda: driver.count("a") >= 1, seconds=2)
        eventually(lambda: driver.count("a") >= 3, seconds=4)


def test_an_event_that_is_not_about_inventory_is_not_waited_for(serve: Any) -> None:
    driver = Nodes("a")
    with serve(driver):
        eventually(lambda: driver.count("a") == 1)
        driver.emit_event(LifecycleEvent("uuid", 0))
        time.sleep(0.6)
        assert driver.count("a") == 1


def test_an_event_during_a_cycle_makes_another(placement: RealPlacement, serve: Any) -> None:
    driver = Nodes("a")
    driver.hanging = threading.Event()
    with serve(driver):
        eventually(lambda: driver.count("a") == 1)
        driver.emit_event(InventoryEvent("a"))
        time.sleep(0.4)
        driver.hanging.set()
        eventually(lambda: driver.count("a") == 2)


def test_stopping_while_idle_is_quick(placement: RealPlacement, serve: Any) -> None:
    driver = Nodes("a")
    with serve(driver) as service:
        eventually(lambda: vcpus(placement, "a") == 8)
        time.sleep(0.2)
        started = time.monotonic()
        assert service.stop()
        assert time.monotonic() - started < 0.5


def test_the_request_under_way_is_the_last(placement: RealPlacement, serve: Any) -> None:
    """Stopping ends a cycle between two requests; the next start goes on from there."""
    driver = Nodes("a")
    reached, go_on = threading.Event(), threading.Event()

    def slow(method: str, _path: str) -> None:
        if method == "POST":
            reached.set()
            go_on.wait(10)

    placement.hook = slow
    with serve(driver) as service:
        assert reached.wait(10)
        ended: list[bool] = []
        stopper = threading.Thread(target=lambda: ended.append(service.stop()))
        stopper.start()
        time.sleep(3)
        assert not ended, "the request is still under way, for longer than the grace"
        go_on.set()
        stopper.join(2)
        assert ended == [True]
    assert placement.requests[-1] == ("POST", "/resource_providers")
    placement.hook = None
    with serve(driver):
        eventually(lambda: vcpus(placement, "a") == 8)


def test_a_placement_that_cannot_be_read_does_not_keep_it_from_stopping(
    placement: RealPlacement, serve: Any
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hang(_method: str, _path: str) -> None:
        reached.set()
        go_on.wait(20)

    placement.hook = hang
    with serve(Nodes("a")) as service:
        assert reached.wait(10)
        started = time.monotonic()
        assert not service.stop()
        assert time.monotonic() - started < 3
        go_on.set()


def test_a_driver_that_hangs_does_not_keep_it_from_stopping(serve: Any) -> None:
    driver = Nodes("a")
    driver.hanging = threading.Event()
    with serve(driver) as service:
        eventually(lambda: driver.count("a") == 1)
        started = time.monotonic()
        assert not service.stop()
        assert time.monotonic() - started < 3


def test_what_is_held_is_told_once(
    placement: RealPlacement, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Nodes("a")
    with caplog.at_level(logging.INFO, "reporter.service"), serve(driver, interval=1):
        eventually(lambda: vcpus(placement, "a") == 8)
        root = placement.uuid_of("a")
        assert root
        placement.allocate({root: {"VCPU": 6}})
        driver.total = 4
        before = driver.count("a")
        eventually(lambda: driver.count("a") >= before + 4)
        held = [each for each in caplog.records if "held back: " in each.getMessage()]
        assert len(held) == 1
        assert held[0].levelno == logging.WARNING
        assert vcpus(placement, "a") == 8


def test_a_defect_is_logged_with_its_traceback_and_the_service_goes_on(
    placement: RealPlacement, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Nodes("a")
    edit, driver.edit = driver.edit, lambda *_: {}["gone"]
    with serve(driver, interval=1):
        eventually(lambda: caplog.records)
        assert "KeyError" in caplog.text
        assert "Traceback" in caplog.text
        driver.edit = edit
        eventually(lambda: vcpus(placement, "a") == 8)


def test_a_clock_that_is_set_back_does_not_stop_it(
    placement: RealPlacement, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_LATE", 0.5)
    driver = Nodes("a")
    with serve(driver, interval=1) as service:
        threading.Thread(target=service.wait, daemon=True).start()
        eventually(lambda: driver.count("a") == 1)
        # What APScheduler sees of it: the next run is an hour away.
        service._scheduler.modify_job("round", next_run_time=datetime.now(UTC) + timedelta(hours=1))
        eventually(lambda: driver.count("a") >= 3)


def test_a_clock_that_is_set_back_while_events_gather_loses_none(serve: Any) -> None:
    driver = Nodes("a")
    with serve(driver) as service:
        eventually(lambda: driver.count("a") == 1)
        service.wake("a")
        time.sleep(0.1)
        # What APScheduler sees of it: all that is not begun yet is an hour away.
        for job in service._scheduler.get_jobs():
            job.modify(next_run_time=datetime.now(UTC) + timedelta(hours=1))
        service.wake("a")
        eventually(lambda: driver.count("a") == 2, seconds=3)


def test_while_placement_is_down_not_every_node_tries_it(placement: RealPlacement, serve: Any) -> None:
    placement.hook = lambda _method, _path: ("503 Service Unavailable", b"")
    driver = Nodes(*(f"n{number}" for number in range(20)))
    with serve(driver):
        eventually(lambda: len(placement.requests) == 2)
        time.sleep(0.5)
        assert len(placement.requests) == 2


class Hypervisor(Nodes):
    """Knows no instance of what has allocations."""

    def list_instance_uuids(self) -> list[str]:
        return ["a guest of its own"]


def test_unknown_consumers_are_kept_sight_of(placement: RealPlacement, serve: Any, tmp_path: Path) -> None:
    """``audit``, which only reads, tells of them after an hour."""
    kept = StateDirectory(tmp_path / "state").node_file("a", "sightings")
    with serve(Hypervisor("a")) as service:
        eventually(kept.exists)
        root = placement.uuid_of("a")
        assert root
        consumer = placement.allocate({root: {"VCPU": 1}})
        kept.unlink()
        service.wake("a")
        eventually(lambda: kept.exists() and consumer in kept.read_text("utf-8"))


def test_hypervisor_that_fails_at_that_is_no_failure(
    placement: RealPlacement, serve: Any, caplog: Any
) -> None:
    class Broken(Nodes):
        def list_instance_uuids(self) -> list[str]:
            raise RuntimeError("a defect")

    driver = Broken("a")
    with caplog.at_level(logging.INFO), serve(driver, interval=1):
        eventually(lambda: driver.count("a") >= 3)
    assert "defect" not in caplog.text
