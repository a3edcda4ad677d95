"""The snapshot that is kept for the next start: when it is written, and what it saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.functional.drivers import TreeDriver, host_tree
from tests.functional.reporting import assert_is, reporter_for


def kept(state: Path) -> tuple[int, int]:
    """What tells one writing of the snapshot from another."""
    (file,) = (state / "nodes").glob("*.snapshot.json")
    return file.stat().st_ino, file.stat().st_mtime_ns


def test_a_service_puts_writing_off_until_it_ends(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node", service=True)
        first = kept(tmp_path)
        driver.tree.update_inventory("node", {"VCPU": {"total": 77}})
        assert reporter.sync_once("node", service=True, force=True).changes
        assert kept(tmp_path) == first
    assert kept(tmp_path) != first
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        assert reporter.sync_once("node", service=True).requests_sent == 1


def test_a_service_that_is_killed_reads_again_what_moved(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree())
    killed = reporter_for(driver, placement.url, tmp_path)
    killed.sync_once("node", service=True)
    driver.tree.update_inventory("node", {"VCPU": {"total": 77}})
    killed.sync_once("node", service=True, force=True)
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        report = reporter.sync_once("node", service=True)
        assert not report.changes
        assert report.requests_sent == 1 + 3
    assert_is(placement, driver.tree)


def test_what_is_kept_already_is_not_written_again(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        first = kept(tmp_path)
        reporter.sync_once("node")
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
    assert kept(tmp_path) == first
