"""A Placement of an older release: it lacks standard traits and resource classes that we know."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from provider_tree import ProviderTree
from tests.functional.drivers import ManyNodes, TreeDriver, host_tree
from tests.functional.reporting import Database, assert_is, reporter_for

Upgrade = Callable[[], None]


@pytest.fixture
def older(placement: Any) -> Upgrade:
    """Has the Placement of the test forget two standard names; what it gives upgrades it again."""
    path = Database(placement)._path

    def execute(*statements: str) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            for statement in statements:
                database.execute(statement)

    execute(
        "DELETE FROM traits WHERE name = 'HW_CPU_X86_AVX512VNNI'",
        "DELETE FROM resource_classes WHERE name = 'PCPU'",
    )
    return lambda: execute(
        "INSERT INTO traits (name, created_at) VALUES ('HW_CPU_X86_AVX512VNNI', '2024-01-01 00:00:00')",
        "INSERT INTO resource_classes (id, name, created_at) VALUES (999, 'PCPU', '2024-01-01 00:00:00')",
    )


def newer_tree() -> ProviderTree:
    tree = host_tree("gpu0")
    tree.update_inventory("node", {"VCPU": {"total": 8}, "PCPU": {"total": 2}})
    tree.update_traits("node", ["COMPUTE_NODE", "HW_CPU_X86_AVX512VNNI", "CUSTOM_HOST"])
    return tree


def known_tree() -> ProviderTree:
    tree = newer_tree()
    tree.update_inventory("node", {"VCPU": {"total": 8}})
    tree.update_traits("node", ["COMPUTE_NODE", "CUSTOM_HOST"])
    return tree


def test_what_placement_does_not_know_is_left_out_and_told(
    placement: Any, tmp_path: Path, older: Upgrade
) -> None:
    driver = TreeDriver(newer_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        for dry_run in (True, False, False):
            report = reporter.sync_once("node", dry_run=dry_run)
            told = [each.split()[0] for each in report.notices if "left out" in each]
            assert told == ["HW_CPU_X86_AVX512VNNI", "PCPU"]
            assert not report.held
        assert not report.changes
        assert report.requests_sent == 1, "each name is asked for once"
        assert_is(placement, known_tree())


def test_upgrade_is_noticed_at_the_next_full_reading(placement: Any, tmp_path: Path, older: Upgrade) -> None:
    driver = TreeDriver(newer_tree())
    with reporter_for(driver, placement.url, tmp_path, full_refresh_interval=0) as reporter:
        assert reporter.sync_once("node").notices
        older()
        assert not reporter.sync_once("node").notices
        assert_is(placement, driver.tree)


def test_what_others_set_after_an_upgrade_stays(placement: Any, tmp_path: Path, older: Upgrade) -> None:
    driver = TreeDriver(newer_tree())
    gpu0 = driver.tree.provider("gpu0").uuid
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        older()
        placement.set_traits(gpu0, *placement.tree()["gpu0"]["traits"], "HW_CPU_X86_AVX512VNNI")
        assert not reporter.sync_once("node").changes
        assert "HW_CPU_X86_AVX512VNNI" in placement.tree()["gpu0"]["traits"]


def test_only_the_node_that_wants_it_is_told(placement: Any, tmp_path: Path, older: Upgrade) -> None:
    def edit(tree: ProviderTree, node: str, _allocations: object) -> None:
        tree.update_inventory(node, {"VCPU": {"total": 8}})
        tree.add_traits(node, *(["HW_CPU_X86_AVX512VNNI"] if node == "new" else []))

    with reporter_for(ManyNodes(edit, "new", "old"), placement.url, tmp_path) as reporter:
        assert reporter.sync_once("new").notices
        assert not reporter.sync_once("old").notices
