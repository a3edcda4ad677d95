"""What is held back: told, while all else is done, until it is safe, wished for long enough, or forced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provider_tree import Action, Kind, ProviderTree
from reporter.context import NodeMemory
from reporter.placement.errors import InventoryInUse, ProviderInUse
from reporter.policy import Patience
from tests.functional.drivers import become, host_tree
from tests.functional.reporting import assert_is
from tests.functional.reshaping import Node, flat_tree, nested_tree

INTERVAL = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Service(Node):
    """Cycles of the service, with a clock that only moves when it is told to."""

    def __init__(self, placement: Any, state: Path, tree: ProviderTree) -> None:
        super().__init__(placement, state, tree)
        self.clock = Clock()
        self.sync()

    def cycle(self, after: float = INTERVAL, node: str | None = None) -> Any:
        self.clock.now += after
        node = node or self.driver.node
        memory = self.reporter._memories.setdefault(node, NodeMemory())
        if memory.patience.clock is not self.clock:
            memory.patience = Patience(INTERVAL, self.clock)
        return self.reporter.sync_once(node, service=True)


def wants(node: Node, tree: ProviderTree) -> None:
    node.driver.edit = lambda given, _node, _allocations: become(given, tree)


def held(report: Any) -> list[tuple[str, str | None]]:
    """Provider and resource class of each change that is held."""
    return [(each.change.provider, each.change.resource_class) for each in report.held]


def totals(placement: Any, name: str = "node") -> dict[str, int]:
    return {key: each["total"] for key, each in placement.tree()[name]["inventory"].items()}


@pytest.fixture
def node(placement: Any, tmp_path: Path) -> Node:
    """A host with two GPUs, synced."""
    made = Node(placement, tmp_path / "state", host_tree("gpu0", "gpu1"))
    made.sync()
    return made


def test_provider_with_allocations_is_not_deleted_until_it_is_free(node: Node, placement: Any) -> None:
    gpu0 = host_tree("gpu0").provider("gpu0").uuid
    consumer = placement.allocate({gpu0: {"VGPU": 1}})
    tree = host_tree(vcpus=12)
    wants(node, tree)
    report = node.reporter.diff("node")
    assert [each.why for each in report.held] == ["in use: 1 VGPU"]
    for _ in range(2):
        report = node.sync()
        assert held(report) == [("gpu0", None)]
        # All the rest is done, and the provider is as it was.
        assert_is(placement, tree, besides=["gpu0"])
        assert placement.tree()["gpu0"]["inventory"]["VGPU"]["total"] == 4
        assert "CUSTOM_GPU" in placement.tree()["gpu0"]["traits"]
    assert not report.changes
    placement.delete(f"/allocations/{consumer}")
    with node.start():
        assert not node.sync().held
    assert_is(placement, tree)


def test_provider_that_stays_for_the_sake_of_one_below_it_is_told_as_well(node: Node, placement: Any) -> None:
    tree = host_tree("gpu0", "gpu1")
    below = tree.new_child("slice", "gpu0")
    tree.update_inventory(below, {"VGPU": {"total": 1}})
    wants(node, tree)
    node.sync()
    placement.allocate({below: {"VGPU": 1}})
    wants(node, host_tree())
    report = node.sync()
    assert {each.change.provider: each.why for each in report.held} == {
        "slice": "in use: 1 VGPU",
        "gpu0": "a provider below it stays",
    }
    assert {each.change.reason for each in report.held} == {"driver scripted no longer has it"}
    assert set(placement.tree()) == {"node", "gpu0", "slice"}


def test_deletion_that_is_forced_is_placement_s_to_refuse(node: Node, placement: Any) -> None:
    gpu0 = host_tree("gpu0").provider("gpu0").uuid
    placement.allocate({gpu0: {"VGPU": 1}})
    wants(node, host_tree(vcpus=12))
    with pytest.raises(ProviderInUse) as error:
        node.sync(force=True)
    assert "allocations" in error.value.advice
    assert totals(placement)["VCPU"] == 12
    assert "gpu1" not in placement.tree()
    wants(node, host_tree("gpu0", vcpus=14))
    assert not node.sync().held
    assert_is(placement, host_tree("gpu0", vcpus=14))


@pytest.mark.parametrize("atomic", ["auto", "off"])
def test_capacity_below_what_is_used_is_held_class_by_class(
    placement: Any, tmp_path: Path, atomic: str
) -> None:
    node = Node(placement, tmp_path, host_tree("gpu0"), atomic=atomic)
    node.sync()
    consumer = placement.allocate({node.root: {"VCPU": 6, "MEMORY_MB": 2048}})
    for record in (
        {"total": 5},
        {"total": 8, "reserved": 3},
        {"total": 8, "allocation_ratio": 0.7},
        None,
    ):
        tree = host_tree("gpu0")
        tree.update_inventory("node", {"MEMORY_MB": {"total": 8192}} | ({"VCPU": record} if record else {}))
        tree.update_inventory("gpu0", {"VGPU": {"total": 2}})
        tree.update_traits("node", ["COMPUTE_NODE", "CUSTOM_DEGRADED"])
        wants(node, tree)
        report = node.sync()
        assert held(report) == [("node", "VCPU")], record
        assert report.held[0].why == f"6 VCPU in use, {5 if record else 0} would be left"
        expected = tree.copy()
        expected.update_inventory("node", {"VCPU": {"total": 8}, "MEMORY_MB": {"total": 8192}})
        assert_is(placement, expected)
        wants(node, host_tree("gpu0"))
        node.sync()
    # Just enough is enough.
    just = host_tree("gpu0", vcpus=6)
    wants(node, just)
    assert not node.sync().held
    placement.delete(f"/allocations/{consumer}")
    wants(node, host_tree("gpu0", vcpus=1))
    assert not node.sync().held


def test_force_takes_capacity_that_is_used(node: Node, placement: Any) -> None:
    placement.allocate({node.root: {"VCPU": 6}})
    tree = host_tree("gpu0", "gpu1", vcpus=4)
    wants(node, tree)
    assert not node.sync(force=True).held
    assert_is(placement, tree)
    # What is overcommitted already may grow, and may not shrink further.
    wants(node, host_tree("gpu0", "gpu1", vcpus=5))
    assert not node.sync().held
    wants(node, host_tree("gpu0", "gpu1", vcpus=3))
    assert held(node.sync()) == [("node", "VCPU")]
    tree.update_inventory("node", {"MEMORY_MB": {"total": 4096, "reserved": 512}})
    wants(node, tree)
    with pytest.raises(InventoryInUse):
        node.sync(force=True)


def test_emptied_provider_that_others_hang_on_keeps_what_is_in_use(node: Node, placement: Any) -> None:
    gpu0 = host_tree("gpu0").provider("gpu0").uuid
    placement.add_provider("theirs", gpu0)
    consumer = placement.allocate({gpu0: {"VGPU": 1}})
    wants(node, host_tree("gpu1"))
    assert held(node.sync()) == [("gpu0", "VGPU")]
    assert totals(placement, "gpu0") == {"VGPU": 4}
    placement.delete(f"/allocations/{consumer}")
    assert not node.sync().held
    assert totals(placement, "gpu0") == {}


def test_what_is_held_stays_ours(node: Node, placement: Any) -> None:
    """The ledger still covers it: all of it goes at last, and nothing that others add in between."""
    gpu0 = host_tree("gpu0").provider("gpu0").uuid
    consumer = placement.allocate({gpu0: {"VGPU": 3}, node.root: {"MEMORY_MB": 1024}})
    tree = host_tree("gpu0")
    tree.update_inventory("node", {"VCPU": {"total": 8}})
    tree.update_inventory("gpu0", {})
    tree.update_traits("gpu0", [])
    for _ in range(2):
        wants(node, tree)
        with node.start():
            report = node.sync()
        assert held(report) == [("node", "MEMORY_MB"), ("gpu0", "VGPU")]
    placement.set_inventory(gpu0, {"VGPU": 4, "CUSTOM_THEIRS": 1})
    placement.delete(f"/allocations/{consumer}")
    with node.start():
        assert not node.sync().held
    assert set(placement.tree()["node"]["inventory"]) == {"VCPU"}
    assert set(placement.tree()["gpu0"]["inventory"]) == {"CUSTOM_THEIRS"}


def test_reshape_that_forgets_a_consumer_takes_nothing_from_it(placement: Any, tmp_path: Path) -> None:
    node = Node(placement, tmp_path, flat_tree())
    node.sync()
    moved, forgotten = sorted(placement.allocate({node.root: {"VGPU": 2}}) for _ in range(2))

    def move_one(tree: ProviderTree, allocations: Any) -> None:
        root, gpu0 = (tree.provider(each).uuid for each in ("node", "gpu0"))
        allocations[moved]["allocations"][gpu0] = allocations[moved]["allocations"].pop(root)

    node.wants(nested_tree("gpu0"), move_one)
    report = node.sync()
    assert held(report) == [("node", "VGPU")]
    assert report.held[0].why == "2 VGPU in use, 0 would be left"
    assert placement.allocations(forgotten) == {node.root: {"VGPU": 2}}
    assert placement.allocations(moved) == {placement.uuid_of("gpu0"): {"VGPU": 2}}


# Only in the service


def test_class_that_shrinks_a_lot_must_be_seen_three_times(placement: Any, tmp_path: Path) -> None:
    service = Service(placement, tmp_path, host_tree("gpu0"))
    small = host_tree("gpu0", vcpus=3)
    small.update_traits("gpu0", ["CUSTOM_OTHER"])
    wants(service, small)
    report = service.cycle()
    assert held(report) == [("node", "VCPU")]
    assert report.held[0].why == "shrinks by 62 %, more than 50 %; seen 1 of 3 times"
    assert "CUSTOM_OTHER" in placement.tree()["gpu0"]["traits"]
    # Cycles that come sooner, as after an event, do not count.
    for after in (1, INTERVAL / 2):
        assert "seen 1 of 3" in service.cycle(after).held[0].why
    assert "seen 2 of 3" in service.cycle().held[0].why
    assert totals(placement)["VCPU"] == 8
    assert not service.cycle().held
    assert_is(placement, small)


def test_wish_that_passes_is_forgotten(placement: Any, tmp_path: Path) -> None:
    service = Service(placement, tmp_path, host_tree())
    small, usual = host_tree(vcpus=1), host_tree()
    for tree in (small, small, usual, small, small):
        wants(service, tree)
        report = service.cycle()
        assert bool(report.held) == (tree is small)
    assert totals(placement)["VCPU"] == 8


def test_half_is_not_a_lot_and_the_limit_is_an_option(placement: Any, tmp_path: Path) -> None:
    service = Service(placement, tmp_path, host_tree())
    wants(service, host_tree(vcpus=4))
    assert not service.cycle().held
    with service.start(max_shrink_percent=100):
        wants(service, host_tree(vcpus=1))
        assert not service.cycle().held
    with service.start(max_shrink_percent=0):
        tree = host_tree(vcpus=1)
        tree.update_inventory("node", {"VCPU": {"total": 1}, "MEMORY_MB": {"total": 4000, "reserved": 512}})
        wants(service, tree)
        assert held(service.cycle()) == [("node", "MEMORY_MB")]


def test_single_sync_is_a_person_s_wish(placement: Any, tmp_path: Path) -> None:
    node = Node(placement, tmp_path, host_tree("gpu0"))
    node.sync()
    wants(node, host_tree(vcpus=1))
    assert not node.sync().held
    assert_is(placement, host_tree(vcpus=1))


def test_shrinking_below_what_is_used_is_held_once_and_for_as_long_as_it_is_used(
    placement: Any, tmp_path: Path
) -> None:
    service = Service(placement, tmp_path, host_tree())
    consumer = placement.allocate({service.root: {"VCPU": 6}})
    wants(service, host_tree(vcpus=2))
    for _ in range(4):
        report = service.cycle()
        assert [each.why for each in report.held] == ["6 VCPU in use, 2 would be left"]
    placement.delete(f"/allocations/{consumer}")
    assert not service.cycle().held


def test_devices_that_vanish_all_at_once_must_be_seen_three_times(placement: Any, tmp_path: Path) -> None:
    """As when the driver of the GPUs is not loaded; one of several may go at once."""
    service = Service(placement, tmp_path, host_tree("gpu0", "gpu1", "gpu2"))
    wants(service, host_tree("gpu0", "gpu1"))
    assert not service.cycle().held
    wants(service, host_tree())
    for _ in range(2):
        report = service.cycle()
        assert held(report) == [("gpu1", None), ("gpu0", None)]
        assert "VGPU shrinks by 100 %" in report.held[0].why
        assert set(placement.tree()) == {"node", "gpu0", "gpu1"}
    assert not service.cycle().held
    assert set(placement.tree()) == {"node"}


# A host that calls itself something else


def named_after_host(tree: ProviderTree, node: str, _allocations: object = None) -> None:
    """A driver as Nova's: its providers are called after the host, and found by name."""
    tree.update_inventory(node, {"VCPU": {"total": 8}})
    for provider in list(tree.providers()):
        if provider.name != node and not provider.name.startswith(f"{node}_"):
            tree.remove(provider.uuid)
    for number in range(2):
        name = f"{node}_gpu{number}"
        if not tree.exists(name):
            tree.new_child(name, node)
        tree.update_inventory(name, {"VGPU": {"total": 4}})


def booted_as(service: Service, name: str) -> None:
    service.driver.node = name
    service.reporter = service.start()


@pytest.fixture
def host(placement: Any, tmp_path: Path) -> Service:
    made = Service(placement, tmp_path, host_tree())
    made.driver.edit = named_after_host
    made.sync()
    return made


def test_host_that_booted_as_localhost_changes_nothing_for_a_while(host: Service, placement: Any) -> None:
    before = placement.tree()
    booted_as(host, "localhost")
    for seen in (1, 2):
        report = host.cycle()
        root = next(each for each in report.held if each.change.uuid == host.root)
        assert root.change.action is Action.RENAME
        assert root.why == f"the host changed its name; seen {seen} of 3 times"
        assert placement.tree() == before
    booted_as(host, "node")
    report = host.cycle()
    assert (report.changes, report.held) == ((), ())
    assert placement.tree() == before


def test_host_that_insists_on_its_new_name_gets_it(host: Service, placement: Any) -> None:
    uuids = {name: each["uuid"] for name, each in placement.tree().items()}
    consumer = placement.allocate({host.root: {"VCPU": 2}, uuids["node_gpu1"]: {"VGPU": 1}})
    booted_as(host, "renamed")
    for _ in range(2):
        assert host.cycle().held
    report = host.cycle()
    # The GPU that is in use stays under its old name.
    assert held(report) == [("node_gpu1", None)]
    assert set(placement.tree()) == {"renamed", "renamed_gpu0", "renamed_gpu1", "node_gpu1"}
    assert placement.tree()["renamed"]["uuid"] == host.root
    placement.delete(f"/allocations/{consumer}")
    host.cycle()
    assert set(placement.tree()) == {"renamed", "renamed_gpu0", "renamed_gpu1"}


def test_other_changes_of_a_host_with_another_name_are_made(host: Service, placement: Any) -> None:
    def more(tree: ProviderTree, node: str, allocations: object = None) -> None:
        named_after_host(tree, node)
        tree.update_inventory(node, {"VCPU": {"total": 6}})
        tree.new_child("device", node)

    host.driver.edit = more
    booted_as(host, "localhost")
    report = host.cycle()
    assert report.held
    assert totals(placement)["VCPU"] == 6
    assert set(placement.tree()) == {"node", "node_gpu0", "node_gpu1", "device"}
    assert {each.change.kind for each in report.held} <= {Kind.PROVIDER, Kind.INVENTORY, Kind.TRAITS}


def test_single_sync_renames_at_once(host: Service, placement: Any) -> None:
    booted_as(host, "renamed")
    host.sync()
    assert set(placement.tree()) == {"renamed", "renamed_gpu0", "renamed_gpu1"}
    assert placement.tree()["renamed"]["uuid"] == host.root
