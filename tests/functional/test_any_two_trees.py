"""For any two trees of a node: sync one, then the other, and Placement has the other."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from provider_tree import ProviderTree
from reporter.apply import apply
from reporter.placement.errors import Unavailable
from reporter.plan import Plan
from tests.functional.drivers import TreeDriver, host_tree
from tests.functional.node_trees import possible, two_trees
from tests.functional.reporting import Database, assert_is, client_for, reporter_for

Hook = Callable[[str, str], tuple[str, bytes] | None]

slow_examples = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),  # a real Placement is slow, and one fixture serves all examples
)


@pytest.fixture
def blank(placement: Any) -> Callable[[], Any]:
    """The Placement of the test, brought back to where it was at its start."""
    database = Database(placement)
    content = database.save()

    def bring_back() -> Any:
        database.restore(content)
        return placement

    return bring_back


@given(trees=two_trees(), atomic=st.sampled_from(["auto", "off"]))
@settings(slow_examples, max_examples=25)
def test_second_tree_is_what_placement_has(
    blank: Callable[[], Any], trees: tuple[ProviderTree, ProviderTree], atomic: str
) -> None:
    first, second = trees
    if not possible(first, second):
        return
    placement = blank()
    with tempfile.TemporaryDirectory() as directory:
        driver = TreeDriver(first)
        with reporter_for(driver, placement.url, Path(directory), atomic=atomic) as reporter:
            for tree in trees:
                driver.tree = tree
                report = reporter.sync_once(driver.node)
                assert not report.held
                assert_is(placement, tree)
                again = reporter.sync_once(driver.node, dry_run=True)
                assert not again.changes
                assert again.requests_sent == 1
        with reporter_for(driver, placement.url, Path(directory)) as reporter:
            restarted = reporter.sync_once(driver.node)
            assert not restarted.changes
            assert restarted.requests_sent <= 2


@given(trees=two_trees(), atomic=st.sampled_from(["auto", "off"]), shuffle=st.randoms(use_true_random=False))
@settings(slow_examples, max_examples=12)
def test_no_request_of_a_plan_is_refused(
    blank: Callable[[], Any], trees: tuple[ProviderTree, ProviderTree], atomic: str, shuffle: Random
) -> None:
    """Requests of one stage may go in any order; here they go one by one."""
    first, second = trees
    if not possible(first, second):
        return
    placement = blank()
    with tempfile.TemporaryDirectory() as directory:
        driver = TreeDriver(first)
        with reporter_for(driver, placement.url, Path(directory), atomic=atomic) as reporter:
            reporter.sync_once(driver.node)
            driver.tree = second
            report = reporter.sync_once(driver.node, dry_run=True)
    providers = report.current.by_uuid()
    client = client_for(placement.url)
    with ThreadPoolExecutor(1) as executor:
        for stage in report.plan.stages():
            for request in shuffle.sample(stage, len(stage)):
                generations = apply(client, Plan((request,)), providers, executor)
                providers = {
                    uuid: replace(providers.get(uuid) or second.provider(uuid), generation=generation)
                    for uuid, generation in generations.items()
                }
    assert_is(placement, second)


def stop_after(writes: int) -> Hook:
    """A hook that lets so many writes through and is a broken Placement from then on."""
    left = [writes]

    def hook(method: str, path: str) -> tuple[str, bytes] | None:
        if method != "GET":
            left[0] -= 1
        return ("503 Service Unavailable", b"{}") if left[0] < 0 else None

    return hook


def sync_in_two_steps(placement: Any, state: Path, driver: TreeDriver, writes: int, atomic: str) -> bool:
    """Sync until so many writes are made, then again as a new process; tell whether the first was stopped."""
    placement.hook = stop_after(writes)
    stopped = False
    try:
        with reporter_for(driver, placement.url, state, atomic=atomic) as reporter:
            reporter.sync_once(driver.node)
    except Unavailable:
        stopped = True
    placement.hook = None
    with reporter_for(driver, placement.url, state, atomic=atomic) as reporter:
        reporter.sync_once(driver.node)
        assert not reporter.sync_once(driver.node, dry_run=True).changes
    return stopped


@given(trees=two_trees(), atomic=st.sampled_from(["auto", "off"]), writes=st.integers(0, 12))
@settings(slow_examples, max_examples=12)
def test_a_sync_that_stopped_anywhere_is_finished_by_the_next(
    blank: Callable[[], Any], trees: tuple[ProviderTree, ProviderTree], atomic: str, writes: int
) -> None:
    first, second = trees
    if not possible(first, second):
        return
    placement = blank()
    with tempfile.TemporaryDirectory() as directory:
        driver = TreeDriver(first)
        sync_in_two_steps(placement, Path(directory), driver, writes, atomic)
        assert_is(placement, first)
        driver.tree = second
        sync_in_two_steps(placement, Path(directory), driver, writes, atomic)
        assert_is(placement, second)


def rich_pair() -> tuple[ProviderTree, ProviderTree]:
    """Two trees between which all happens: a name passes on, with a child; a branch moves, one shrinks."""
    first = host_tree("gpu0", "gpu1", "numa0", "numa1")
    first.new_child("nic0", "numa0")
    first.update_inventory("nic0", {"SRIOV_NET_VF": {"total": 8}, "CUSTOM_PORT": {"total": 2}})
    first.update_aggregates("gpu0", ["22222222-2222-4222-8222-222222222222"])
    first.new_child("engine", "gpu0")
    second = first.copy()
    second.move("engine", "node")
    second.remove("gpu0")
    second.new_child("gpu0", "numa1", uuid="33333333-3333-4333-8333-333333333333")
    second.move("engine", "gpu0")
    second.update_inventory("gpu0", {"VGPU": {"total": 2}, "CUSTOM_ENGINE": {"total": 1}})
    second.rename("gpu1", "gpu-last")
    second.new_child("gpu1", "node")
    second.update_traits("gpu1", ["CUSTOM_NEW"])
    second.move("numa0", "numa1")
    second.update_inventory("nic0", {"SRIOV_NET_VF": {"total": 4}})
    second.update_inventory("node", {"VCPU": {"total": 16, "allocation_ratio": 2.0}})
    second.update_aggregates("numa1", ["44444444-4444-4444-8444-444444444444"])
    return first, second


@pytest.mark.parametrize("atomic", ["auto", "off"])
def test_a_sync_that_stopped_at_each_write_is_finished_by_the_next(
    placement: Any, tmp_path: Path, atomic: str
) -> None:
    first, second = rich_pair()
    driver = TreeDriver(first)
    state = tmp_path / "state"
    with reporter_for(driver, placement.url, state, atomic=atomic) as reporter:
        reporter.sync_once(driver.node)
    driver.tree = second
    database = Database(placement)
    content = database.save()
    for writes in count():
        database.restore(content)
        copy = shutil.copytree(state, tmp_path / f"state-{writes}")
        if not sync_in_two_steps(placement, copy, driver, writes, atomic):
            break
        assert_is(placement, second)
    assert writes > 8
