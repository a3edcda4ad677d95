"""Another writer who wants something else than we do: after three rounds the record is left alone."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from provider_tree import ProviderTree
from reporter.report import Report
from reporter.saved_plan import SavedPlan
from reporter.sync import Reporter
from tests.functional.drivers import TreeDriver, host_tree
from tests.functional.reporting import MARKER, assert_is, reporter_for

AGGREGATE = str(uuid.uuid4())


def wanted_tree() -> ProviderTree:
    tree = host_tree("gpu0")
    tree.update_aggregates("node", [AGGREGATE])
    return tree


def set_total(placement: Any, tree: ProviderTree) -> None:
    root = tree.provider("node").uuid
    placement.set_inventory(root, {**placement.tree()["node"]["inventory"], "VCPU": {"total": 1}})


def take_class_away(placement: Any, tree: ProviderTree) -> None:
    root = tree.provider("node").uuid
    inventory = placement.tree()["node"]["inventory"]
    del inventory["VCPU"]
    placement.set_inventory(root, inventory)


def take_trait_away(placement: Any, tree: ProviderTree) -> None:
    traits = set(placement.tree()["node"]["traits"]) - {"CUSTOM_HOST"}
    placement.set_traits(tree.provider("node").uuid, *traits)


def take_aggregate_away(placement: Any, tree: ProviderTree) -> None:
    placement.set_aggregates(tree.provider("node").uuid)


def delete_child(placement: Any, tree: ProviderTree) -> None:
    placement.delete(f"/resource_providers/{tree.provider('gpu0').uuid}")


def rename_child(placement: Any, tree: ProviderTree) -> None:
    body = {"name": "theirs", "parent_provider_uuid": tree.provider("node").uuid}
    placement.put(f"/resource_providers/{tree.provider('gpu0').uuid}", body)


Undo = Callable[[Any, ProviderTree], None]
UNDOS = [set_total, take_class_away, take_trait_away, take_aggregate_away, delete_child, rename_child]


@contextmanager
def in_one_process(driver: TreeDriver, url: str, state: Path) -> Iterator[Callable[..., Report]]:
    with reporter_for(driver, url, state) as reporter:
        yield lambda **how: reporter.sync_once("node", **how)


@contextmanager
def in_many_processes(driver: TreeDriver, url: str, state: Path) -> Iterator[Callable[..., Report]]:
    def cycle(**how: Any) -> Report:
        with reporter_for(driver, url, state) as reporter:
            return reporter.sync_once("node", **how)

    yield cycle


PROCESSES = pytest.mark.parametrize("process", [in_one_process, in_many_processes])


@PROCESSES
@pytest.mark.parametrize("undo", UNDOS)
def test_record_is_left_alone_after_three_rounds_and_reported(
    placement: Any, tmp_path: Path, undo: Undo, process: Any
) -> None:
    driver = TreeDriver(wanted_tree())
    with process(driver, placement.url, tmp_path) as cycle:
        cycle()
        for _ in range(3):
            undo(placement, driver.tree)
            assert not cycle().held
            assert_is(placement, driver.tree)
        undo(placement, driver.tree)
        theirs = placement.tree()
        for dry_run in (True, False, False):
            report = cycle(dry_run=dry_run)
            assert not report.changes
            assert report.held
            assert all("another writer" in each.why for each in report.held)
        assert placement.tree() == theirs

        forced = cycle(force=True)
        assert not forced.held
        assert_is(placement, driver.tree)


@PROCESSES
def test_record_that_rests_for_a_cycle_is_ours_again(placement: Any, tmp_path: Path, process: Any) -> None:
    driver = TreeDriver(wanted_tree())
    with process(driver, placement.url, tmp_path) as cycle:
        cycle()
        for _ in range(3):
            for _ in range(2):
                take_trait_away(placement, driver.tree)
                assert not cycle().held
            assert not cycle().changes
    assert_is(placement, driver.tree)


@PROCESSES
def test_left_alone_until_we_want_something_else(placement: Any, tmp_path: Path, process: Any) -> None:
    driver = TreeDriver(wanted_tree())
    with process(driver, placement.url, tmp_path) as cycle:
        cycle()
        for _ in range(4):
            set_total(placement, driver.tree)
            cycle()
        assert placement.tree()["node"]["inventory"]["VCPU"]["total"] == 1
        # Everything else goes on.
        driver.tree.update_traits("gpu0", ["CUSTOM_MORE"])
        assert [each.change.resource_class for each in cycle().held] == ["VCPU"]
        assert placement.tree()["gpu0"]["traits"] == sorted(["CUSTOM_MORE", MARKER])
        driver.tree = host_tree("gpu0", vcpus=12)
        assert not cycle().held
        assert_is(placement, driver.tree)


def test_left_alone_until_they_set_what_we_want(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(wanted_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        for _ in range(4):
            take_trait_away(placement, driver.tree)
            reporter.sync_once("node")
        root = str(driver.uuid)
        placement.set_traits(root, *placement.tree()["node"]["traits"], "CUSTOM_HOST")
        assert not reporter.sync_once("node").held
        take_trait_away(placement, driver.tree)
        assert not reporter.sync_once("node").held
        assert_is(placement, driver.tree)


def test_saved_plan_of_other_records_does_not_begin_the_war_anew(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(wanted_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        for _ in range(4):
            reporter.sync("node")
            take_trait_away(placement, driver.tree)
        driver.tree.update_inventory("node", {"VCPU": {"total": 16}})
        plan = SavedPlan.of(reporter.diff("node"), reporter.client.label)
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        assert reporter.sync_once("node", saved=plan).changes
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        report = reporter.sync("node")
        assert report.held
        assert not report.changes


def test_only_the_trait_in_question_is_left_alone(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(wanted_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        for number in range(6):
            # At the same time we have a new wish for the same provider each time.
            driver.tree.update_traits("node", ["COMPUTE_NODE", "CUSTOM_HOST", f"CUSTOM_{number}"])
            take_trait_away(placement, driver.tree)
            report = reporter.sync_once("node")
            traits = placement.tree()["node"]["traits"]
            assert f"CUSTOM_{number}" in traits
            assert f"CUSTOM_{number - 1}" not in traits
            assert ("CUSTOM_HOST" in traits) == (number < 3)
            assert [str(each.change) for each in report.held] == ["traits +CUSTOM_HOST"] * (number >= 3)


def test_trait_that_others_set_and_the_driver_unsets(placement: Any, tmp_path: Path) -> None:
    from drivers.base import Vocabulary

    driver = TreeDriver(wanted_tree())
    driver.words = Vocabulary(trait_prefixes=("HW_CPU_",))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        for number in range(5):
            root = str(driver.uuid)
            placement.set_traits(root, *placement.tree()["node"]["traits"], "HW_CPU_X86_AVX")
            report = reporter.sync_once("node")
            assert bool(report.held) == (number >= 3)
            assert ("HW_CPU_X86_AVX" in placement.tree()["node"]["traits"]) == (number >= 3)


def test_wishes_that_come_and_go_are_no_contest(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(wanted_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        for number in range(6):
            driver.tree = wanted_tree() if number % 2 else host_tree(vcpus=9)
            assert not reporter.sync_once("node").held
            assert_is(placement, driver.tree)
        assert not contest_file(reporter).exists() or "1" in contest_file(reporter).read_text()


def contest_file(reporter: Reporter) -> Path:
    return reporter.state.node_file("node", "contest")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"rounds": 3}', '{"rounds": {"a": "b"}}'])
def test_rounds_that_cannot_be_read_count_for_nothing(placement: Any, tmp_path: Path, content: str) -> None:
    driver = TreeDriver(wanted_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        set_total(placement, driver.tree)
        contest_file(reporter).write_text(content)
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        assert not reporter.sync_once("node").held
        assert_is(placement, driver.tree)


def test_nothing_is_kept_while_there_is_no_contest(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(wanted_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        reporter.sync_once("node")
        assert not contest_file(reporter).exists()
