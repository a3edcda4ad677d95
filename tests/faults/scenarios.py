"""What a driver wants before and after, and what others have meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drivers.base import Allocations
from drivers.errors import ReshapeNeeded
from drivers.reshape import move_allocations
from provider_tree import ProviderTree
from tests.faults.world import AGGREGATES, CONSUMERS, add_others, add_shared_storage
from tests.functional.drivers import Edit

NODE = "node"
FORMER = "former name"


def small(tree: ProviderTree, node: str, _allocations: Allocations | None = None) -> None:
    """A root, a GPU below it, and a part of that below the GPU."""
    _set(tree, node, {"VCPU": 8, "MEMORY_MB": 4096}, ["COMPUTE_NODE", "CUSTOM_HOST"], AGGREGATES[0])
    _set(tree, "gpu0", {"VGPU": 4}, ["CUSTOM_GPU"], AGGREGATES[2], parent=node)
    _set(tree, "engine0", {"CUSTOM_ENGINE": 2}, ["CUSTOM_GPU"], parent="gpu0")


def changed(tree: ProviderTree, node: str, _allocations: Allocations | None = None) -> None:
    """Everything about ``small`` is another: a name, a place, amounts, traits, aggregates; one is new."""
    _set(tree, node, {"VCPU": 16, "CUSTOM_SLOTS": 2}, ["COMPUTE_NODE", "CUSTOM_SECOND"], AGGREGATES[3])
    if "gpu0" in tree:
        tree.rename("gpu0", "gpu-zero")
    _set(tree, "gpu-zero", {"VGPU": 3}, ["CUSTOM_SECOND"], AGGREGATES[3], parent=node)
    _set(tree, "nic0", {"CUSTOM_PORT": 2}, [], parent=node)
    _set(tree, "engine0", {"CUSTOM_ENGINE": 3}, ["CUSTOM_GPU"], parent=node)
    tree.move("engine0", node)


def branches(tree: ProviderTree, node: str, allocations: Allocations | None = None) -> None:
    """``small`` with another GPU."""
    small(tree, node, allocations)
    _set(tree, "gpu1", {"VGPU": 2}, ["CUSTOM_GPU"], parent=node)


def bare(tree: ProviderTree, node: str, _allocations: Allocations | None = None) -> None:
    """The root of ``branches``, and nothing below it."""
    _remove(tree, "engine0", "gpu0", "gpu1")
    _set(tree, node, {"VCPU": 8}, ["COMPUTE_NODE"])


def on_the_root(tree: ProviderTree, node: str, _allocations: Allocations | None = None) -> None:
    """VGPUs in the root, as they once were, and in a provider that is to go."""
    _set(tree, node, {"VCPU": 8, "VGPU": 4}, ["COMPUTE_NODE", "CUSTOM_GPU"])
    _set(tree, "old", {"VGPU": 2}, ["CUSTOM_GPU"], parent=node)


def root_alone(tree: ProviderTree, node: str, _allocations: Allocations | None = None) -> None:
    """``on_the_root``, but for the provider that is to go: others made it."""
    _set(tree, node, {"VCPU": 8, "VGPU": 4}, ["COMPUTE_NODE", "CUSTOM_GPU"])


def in_children(tree: ProviderTree, node: str, allocations: Allocations | None = None) -> None:
    """The VGPUs of ``on_the_root`` each where they belong, and the consumers with them."""
    root = tree.provider(node)
    if "VGPU" in root.inventory or "old" in tree:
        if allocations is None:
            raise ReshapeNeeded
        old = tree.provider("old").uuid if "old" in tree else ""
        first, second = (
            tree.provider(name).uuid if name in tree else tree.new_child(name, node)
            for name in ("pgpu0", "pgpu1")
        )
        move_allocations(allocations, "VGPU", root.uuid, first, CONSUMERS[2:3])
        move_allocations(allocations, "VGPU", root.uuid, second)
        move_allocations(allocations, "VGPU", old, second)
    _remove(tree, "old")
    _set(tree, node, {"VCPU": 8}, ["COMPUTE_NODE"])
    for name in ("pgpu0", "pgpu1"):
        _set(tree, name, {"VGPU": 4}, ["CUSTOM_GPU"], parent=node)


def nothing(tree: ProviderTree, node: str, _allocations: Allocations | None = None) -> None:
    """What a driver wants that has found out that it is to report nothing at all."""
    _set(tree, node, {}, [])
    _remove(tree, "engine0", "gpu0", "gpu-zero", "gpu1", "nic0", "old", "pgpu0", "pgpu1")


def _set(
    tree: ProviderTree,
    name: str,
    totals: dict[str, int],
    traits: list[str],
    *aggregates: str,
    parent: str = "",
) -> None:
    """Set what we report, beside what others have set."""
    if name not in tree:
        tree.new_child(name, parent)
    tree.update_inventory(name, {each: {"total": total} for each, total in totals.items()})
    provider = tree.provider(name)
    tree.update_traits(name, [*provider.traits, *traits])
    tree.update_aggregates(name, [*provider.aggregates, *aggregates])


def _remove(tree: ProviderTree, *names: str) -> None:
    for name in names:
        if name in tree:
            tree.remove(name)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A cycle to disturb.

    :ivar before: what the driver has wanted, and Placement has, until then; None: nothing
    :ivar others: puts into Placement what others have, once ``before`` is there
    :ivar called: the name of the node until then
    :ivar adopt: the root is another's
    :ivar emptied: names of ours that stay, without what we set, since others keep a child there
    """

    before: Edit | None
    after: Edit
    others: Callable[[Any], None]
    called: str = NODE
    adopt: bool = False
    emptied: frozenset[str] = frozenset()


def _another_tree(placement: Any) -> None:
    storage = add_shared_storage(placement)
    placement.allocate({storage: {"DISK_GB": 20}}, CONSUMERS[1])


def _root_of_nova(placement: Any) -> None:
    root = placement.add_provider(NODE)
    placement.set_inventory(root, {"VCPU": 4, "MEMORY_MB": 1024})
    placement.set_traits(root, "COMPUTE_NODE")
    _all_others(placement, NODE)


def _former_in_use(placement: Any) -> None:
    _all_others(placement, FORMER, "gpu0")


def _all_others(placement: Any, *providers: str) -> None:
    storage = add_shared_storage(placement)
    for name in providers:
        add_others(placement, placement.uuid_of(name))
    placement.allocate({placement.uuid_of(providers[0]): {"VCPU": 2}, storage: {"DISK_GB": 20}}, CONSUMERS[1])


def _gpu_in_use(placement: Any) -> None:
    _all_others(placement, NODE, "gpu0")
    placement.allocate({placement.uuid_of("gpu0"): {"VGPU": 2}}, CONSUMERS[2])


def _vgpus_in_use(placement: Any) -> None:
    _all_others(placement, NODE)
    root, old, storage = map(placement.uuid_of, (NODE, "old", "storage"))
    placement.allocate({root: {"VGPU": 1, "VCPU": 1}, storage: {"DISK_GB": 5}}, CONSUMERS[2])
    placement.allocate({root: {"VGPU": 2}}, CONSUMERS[3], "MIGRATION")
    placement.allocate({old: {"VGPU": 1}, storage: {"DISK_GB": 5}}, CONSUMERS[4])


def _old_of_nova_in_use(placement: Any) -> None:
    old = placement.add_provider("old", placement.uuid_of(NODE))
    placement.set_inventory(old, {"VGPU": 2})
    placement.set_traits(old, "OWNER_NOVA")
    _vgpus_in_use(placement)


def _child_below_a_gpu(placement: Any) -> None:
    _all_others(placement, NODE, "gpu0")


SCENARIOS = {
    "first sync": Scenario(None, small, _another_tree),
    "adoption": Scenario(None, small, _root_of_nova, adopt=True),
    "change": Scenario(small, changed, _gpu_in_use),
    "reshape": Scenario(on_the_root, in_children, _vgpus_in_use),
    "reshape of others": Scenario(root_alone, in_children, _old_of_nova_in_use),
    "new name": Scenario(small, small, _former_in_use, called=FORMER),
    "delete": Scenario(branches, bare, _child_below_a_gpu, emptied=frozenset(["gpu0"])),
}
