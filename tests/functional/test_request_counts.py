"""How many requests a cycle makes, counted where they arrive."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from provider_tree import ProviderTree
from reporter.placement.errors import Unavailable
from tests.functional.drivers import TreeDriver, host_tree
from tests.functional.reporting import assert_is, reporter_for

SIZES = (1, 2, 10, 40)


def tree_of(size: int) -> ProviderTree:
    """A host with so many providers, some of them two levels down, each with a custom class."""
    tree = host_tree()
    for number in range(1, size):
        above = "node" if number % 3 else f"numa{number - 1}"
        name = tree.provider(tree.new_child(f"numa{number}", above)).name
        tree.update_inventory(name, {f"CUSTOM_CLASS_{number % 5}": {"total": number}})
        tree.update_traits(name, [f"CUSTOM_TRAIT_{number % 7}", "HW_NUMA_ROOT"])
    return tree


@contextmanager
def counted(placement: Any) -> Iterator[list[tuple[str, str]]]:
    """The requests that arrive in the ``with``."""
    arrived: list[tuple[str, str]] = []
    start = len(placement.requests)
    yield arrived
    arrived += placement.requests[start:]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("atomic", "each"), [("off", 3), ("auto", 2)])
def test_first_sync(placement: Any, tmp_path: Path, size: int, atomic: str, each: int) -> None:
    driver = TreeDriver(tree_of(size))
    reporter = reporter_for(driver, placement.url, tmp_path, atomic=atomic)
    with reporter, counted(placement) as arrived:
        report = reporter.sync_once("node")
    # The custom names of this tree come on top of what each provider costs: 13 at most, counted apart.
    names = [path for _, path in arrived if path.startswith(("/resource_classes/", "/traits/"))]
    assert len(arrived) - len(names) <= each * size + 12
    assert len(names) <= 5 + 7 + 3
    assert report.requests_sent == len(arrived)
    assert_is(placement, driver.tree)


@pytest.mark.parametrize("size", SIZES)
def test_idle_cycles_and_restarts(placement: Any, tmp_path: Path, size: int) -> None:
    driver = TreeDriver(tree_of(size))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        for dry_run in (False, True, False):
            with counted(placement) as arrived:
                assert reporter.sync_once("node", dry_run=dry_run, service=True).requests_sent == 1
            assert len(arrived) == 1
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        with counted(placement) as arrived:
            assert not reporter.sync_once("node").changes
        assert len(arrived) <= 2


@pytest.mark.parametrize("size", SIZES)
def test_one_changed_field_is_one_read_and_one_write(placement: Any, tmp_path: Path, size: int) -> None:
    driver = TreeDriver(tree_of(size))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        leaf = list(driver.tree.providers())[-1]
        for total in (100, 101):
            driver.tree.update_inventory(leaf.name, {"VCPU": {"total": total}})
            with counted(placement) as arrived:
                reporter.sync_once("node")
            reads = [path for method, path in arrived if method == "GET"]
            # The first time a class may go with it: then usages are looked at, too.
            assert len(reads) <= (2 if total == 100 else 1)
            assert len(arrived) - len(reads) == 1
            assert_is(placement, driver.tree)


def test_allocations_that_come_and_go_cost_the_reading_of_one_provider(
    placement: Any, tmp_path: Path
) -> None:
    driver = TreeDriver(tree_of(10))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        placement.allocate({driver.uuid: {"VCPU": 1}})
        with counted(placement) as arrived:
            assert not reporter.sync_once("node").changes
        assert len(arrived) == 1 + 3
        with counted(placement) as arrived:
            reporter.sync_once("node")
        assert len(arrived) == 1


AGGREGATE = "55555555-5555-4555-8555-555555555555"


def set_aggregate_unnoticed(placement: Any, provider: str) -> None:
    """By a microversion with which the write moves no generation."""
    placement.request("PUT", f"/resource_providers/{provider}/aggregates", [AGGREGATE], version="1.18")


def test_everything_is_read_again_now_and_then(
    placement: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aggregate writes of old microversions move no generation: only a full reading sees them."""
    driver = TreeDriver(tree_of(2))
    with reporter_for(driver, placement.url, tmp_path, full_refresh_interval=100.0) as reporter:
        reporter.sync_once("node")
        set_aggregate_unnoticed(placement, driver.uuid)
        assert AGGREGATE not in reporter.sync_once("node", dry_run=True).current.provider("node").aggregates
        later = time.time() + 150
        monkeypatch.setattr("time.time", lambda: later)
        assert AGGREGATE in reporter.sync_once("node", dry_run=True).current.provider("node").aggregates


def test_a_full_reading_that_fails_is_made_by_the_next_cycle(
    placement: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = TreeDriver(tree_of(2))
    with reporter_for(driver, placement.url, tmp_path, full_refresh_interval=100.0) as reporter:
        reporter.sync_once("node")
        set_aggregate_unnoticed(placement, driver.uuid)
        later = time.time() + 150
        monkeypatch.setattr("time.time", lambda: later)
        placement.hook = lambda _method, path: ("503 Down", b"") if path.endswith("/traits") else None
        with pytest.raises(Unavailable):
            reporter.sync_once("node", dry_run=True)
        placement.hook = None
        assert AGGREGATE in reporter.sync_once("node", dry_run=True).current.provider("node").aggregates


def test_clock_that_is_set_back_does_not_put_the_full_reading_off_for_years(
    placement: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host whose clock was wrong until the network was up."""
    driver = TreeDriver(tree_of(2))
    now = time.time()
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        monkeypatch.setattr("time.time", lambda: now + 1e8)
        reporter.sync_once("node")
        monkeypatch.setattr("time.time", lambda: now)
        assert reporter.sync_once("node").requests_sent > 1
        assert reporter.sync_once("node").requests_sent == 1


def test_snapshot_of_another_placement_does_not_serve(make_placement: Any, tmp_path: Path) -> None:
    one, other = make_placement(), make_placement()
    driver = TreeDriver(tree_of(3))
    for placement in (one, other):
        with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
            reporter.client._label = placement.url
            reporter.sync_once("node")
        assert_is(placement, driver.tree)
