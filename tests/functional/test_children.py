"""``[reporter] manage = children``: beside a nova-compute that owns the root, which is never written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Allocations
from drivers.errors import ReshapeFailed, ReshapeNeeded
from drivers.reshape import move_allocations
from provider_tree import ProviderTree
from reporter.errors import IdentityError, InvalidWish
from reporter.sync import Reporter
from tests.functional.drivers import ScriptedDriver, TreeDriver, host_tree
from tests.functional.reporting import MARKER, reporter_for


def devices(tree: ProviderTree, node: str, _allocations: Allocations | None = None) -> None:
    """Sets two records on the root, and has two devices below it."""
    tree.update_inventory(node, {"VCPU": {"total": 99}})
    tree.add_traits(node, "CUSTOM_OURS")
    for name in ("device0", "device1"):
        if not tree.exists(name):
            tree.new_child(name, node)
        tree.update_inventory(name, {"CUSTOM_DEVICE": {"total": 1}})
        tree.add_traits(name, "CUSTOM_FAST")


@pytest.fixture
def root(placement: Any) -> str:
    """What nova-compute reports, with a device of Nova's own."""
    uuid: str = placement.add_provider("node")
    placement.set_inventory(uuid, {"VCPU": 8, "VGPU": 4})
    placement.set_traits(uuid, "COMPUTE_NODE", "OWNER_NOVA")
    theirs = placement.add_provider("node_0000:84:00.0", uuid)
    placement.set_inventory(theirs, {"CUSTOM_PCI_10DE_20B0": 1})
    placement.set_traits(theirs, "OWNER_NOVA")
    return uuid


@pytest.fixture
def children(placement: Any, tmp_path: Path) -> Callable[..., Reporter]:
    def make(driver: ScriptedDriver, **settings: Any) -> Reporter:
        return reporter_for(driver, placement.url, tmp_path / "state", manage="children", **settings)

    return make


def of_nova(placement: Any) -> dict[str, Any]:
    return {name: each for name, each in placement.tree().items() if name in ("node", "node_0000:84:00.0")}


@pytest.mark.parametrize("by_uuid", [True, False])
@pytest.mark.parametrize("atomic", ["auto", "off"])
def test_root_is_found_and_never_written(
    placement: Any, root: str, children: Any, by_uuid: bool, atomic: str
) -> None:
    before, generation = of_nova(placement), placement.generation(root)
    driver = ScriptedDriver(devices, uuid=root if by_uuid else None)
    with children(driver, atomic=atomic) as reporter:
        report = reporter.sync_once("node")
        assert "root not ours: 2 records" in report.notices
        assert report.adoption is None
        tree = placement.tree()
        assert (tree["device0"]["parent"], tree["device0"]["traits"]) == ("node", ["CUSTOM_FAST", MARKER])
        assert not reporter.sync_once("node").changes
        assert not any(
            method != "GET" and root in path.removeprefix("/resource_providers")
            for method, path in placement.requests
        )
        assert (of_nova(placement), placement.generation(root)) == (before, generation)


def test_what_nova_changes_on_its_root_is_no_matter(placement: Any, root: str, children: Any) -> None:
    driver = ScriptedDriver(devices)
    with children(driver) as reporter:
        reporter.sync_once("node")
        for total in (9, 10, 11, 12, 13):
            placement.set_inventory(root, {"VCPU": total})
            placement.set_traits(root, "OWNER_NOVA", f"CUSTOM_{total}")
            report = reporter.sync_once("node")
            assert not report.changes
            assert not report.held
        assert placement.tree()["node"]["inventory"]["VCPU"]["total"] == 13


def test_ledger_of_a_time_when_the_root_was_ours_changes_nothing(
    placement: Any, tmp_path: Path, children: Any
) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        reporter.sync_once("node")
    before = placement.tree()["node"]
    driver.tree = host_tree("gpu1", vcpus=99)
    driver.tree.update_traits("node", [])
    with children(driver) as reporter:
        reporter.sync_once("node")
    tree = placement.tree()
    assert tree["node"] == before
    assert set(tree) == {"node", "gpu1"}


def nothing_below(tree: ProviderTree, node: str, _allocations: Allocations | None) -> None:
    tree.update_inventory(node, {"VCPU": {"total": 99}})


def as_it_is(_tree: ProviderTree, _node: str, _allocations: Allocations | None) -> None:
    pass


@pytest.mark.parametrize("edit", [nothing_below, as_it_is])
def test_nothing_left_to_manage_is_an_error(placement: Any, root: str, children: Any, edit: Any) -> None:
    with children(ScriptedDriver(edit)) as reporter:
        for dry_run in (True, False):
            with pytest.raises(InvalidWish, match="nothing is left to manage") as error:
                reporter.sync_once("node", dry_run=dry_run)
    assert "manage = tree" in error.value.advice


def test_children_that_are_no_longer_wanted_go_and_then_nothing_is_left(
    placement: Any, root: str, children: Any
) -> None:
    driver = ScriptedDriver(devices)
    with children(driver) as reporter:
        reporter.sync_once("node")
        driver.edit = lambda tree, _node, _allocations: [tree.remove(f"device{each}") for each in (0, 1)]
        reporter.sync_once("node")
        assert placement.tree().keys() == of_nova(placement).keys()
        driver.edit = as_it_is
        with pytest.raises(InvalidWish, match="nothing is left to manage"):
            reporter.sync_once("node")


def test_lost_ledger_is_no_reason_to_complain(
    placement: Any, root: str, children: Any, tmp_path: Path
) -> None:
    driver = ScriptedDriver(devices)
    with children(driver) as reporter:
        reporter.sync_once("node")
    shutil.rmtree(tmp_path / "state")
    with children(driver) as reporter:
        assert not reporter.sync_once("node").changes


def test_there_is_no_root(placement: Any, children: Any) -> None:
    with children(ScriptedDriver(devices)) as reporter, pytest.raises(IdentityError) as error:
        reporter.sync_once("node")
    assert "nova-compute" in error.value.advice
    assert placement.tree() == {}


def vgpus_below(tree: ProviderTree, node: str, allocations: Allocations | None) -> None:
    inventory = dict(tree.data(node).inventory)
    if "VGPU" in inventory:
        if allocations is None:
            raise ReshapeNeeded("the VGPUs move to their device")
        del inventory["VGPU"]
        tree.update_inventory(node, inventory)
        child = tree.new_child("gpu0", node)
        tree.update_inventory("gpu0", {"VGPU": {"total": 4}})
        move_allocations(allocations, "VGPU", tree.data(node).uuid, child)


def test_reshape_that_touches_the_root_is_refused(placement: Any, root: str, children: Any) -> None:
    consumer = placement.allocate({root: {"VGPU": 1}})
    before = placement.tree()
    with children(ScriptedDriver(vgpus_below)) as reporter:
        for dry_run in (True, False):
            with pytest.raises(ReshapeFailed, match=consumer):
                reporter.sync_once("node", dry_run=dry_run)
    assert placement.tree() == before
    assert placement.allocations(consumer) == {root: {"VGPU": 1}}


def test_reshape_of_the_root_is_refused_without_consumers_too(
    placement: Any, root: str, children: Any
) -> None:
    before = placement.tree()
    with children(ScriptedDriver(vgpus_below)) as reporter, pytest.raises(ReshapeFailed, match="VGPU"):
        reporter.sync_once("node")
    assert placement.tree() == before


def test_reshape_between_children_goes(placement: Any, root: str, children: Any) -> None:
    """The consumers have something on the root, which stays as it is."""
    driver = ScriptedDriver(devices)

    def to_the_other(tree: ProviderTree, _node: str, allocations: Allocations | None) -> None:
        if allocations is None:
            raise ReshapeNeeded("device0 becomes a part of device1")
        source, destination = (tree.data(each).uuid for each in ("device0", "device1"))
        tree.update_inventory("device1", {"CUSTOM_DEVICE": {"total": 2}})
        move_allocations(allocations, "CUSTOM_DEVICE", source, destination)
        tree.remove("device0")

    with children(driver) as reporter:
        reporter.sync_once("node")
        device0, device1 = (placement.uuid_of(each) for each in ("device0", "device1"))
        consumer = placement.allocate({root: {"VCPU": 2}, device0: {"CUSTOM_DEVICE": 1}})
        before = of_nova(placement)
        driver.edit = to_the_other
        reporter.sync_once("node")
        assert placement.allocations(consumer) == {root: {"VCPU": 2}, device1: {"CUSTOM_DEVICE": 1}}
        assert of_nova(placement) == before
        assert "device0" not in placement.tree()
