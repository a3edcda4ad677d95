"""The trees that both clients report, as plain data, and what a driver does with them.

What is done to a tree uses only methods that Nova's ProviderTree and ours both have.
"""

from __future__ import annotations

import copy
import uuid
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]
"""An inventory record, all six fields."""

_NAMESPACE = uuid.UUID("0d6f5f0c-3a43-4d0e-9d0e-2f2f0f3b8a54")
_ROOT_TRAITS = ["COMPUTE_NODE", "COMPUTE_NET_ATTACH_INTERFACE", "CUSTOM_RACK_1", "HW_CPU_X86_AVX2"]
CUSTOM_TRAIT_OF_OTHERS = "CUSTOM_SET_BY_OTHERS"


@dataclass
class Node:
    """One provider. ``parent`` is a uuid, None for the root."""

    uuid: str
    name: str
    parent: str | None
    inventory: dict[str, Record]
    traits: list[str]


@dataclass
class Work:
    """What a host has.

    :ivar nodes: parents before children, the root first
    :ivar move_vgpus_to: providers that take over the VGPU that consumers hold of the root
    """

    nodes: list[Node]
    move_vgpus_to: list[str] = field(default_factory=list)

    @property
    def root(self) -> Node:
        return self.nodes[0]

    @property
    def leaf(self) -> Node:
        return self.nodes[-1]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Work:
        return cls([Node(**each) for each in data["nodes"]], data["move_vgpus_to"])


def uid(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))


def record(total: int, reserved: int = 0, ratio: float = 1.0) -> Record:
    return {
        "total": total,
        "reserved": reserved,
        "min_unit": 1,
        "max_unit": total,
        "step_size": 1,
        "allocation_ratio": ratio,
    }


def make_work(size: int, host: str, vgpus: int = 0) -> Work:
    """A host with ``size`` providers: the root, NUMA nodes below it, PCI devices below those.

    :param vgpus: how many VGPU the root has
    """
    inventory = {"VCPU": record(256, 2, 4.0), "MEMORY_MB": record(1048576, 512), "DISK_GB": record(8000)}
    if vgpus:
        inventory["VGPU"] = record(vgpus)
    nodes = [Node(uid(host), host, None, inventory, list(_ROOT_TRAITS))]
    numa_nodes = min(size - 1, 2 if size <= 10 else 4 if size <= 100 else 8)
    nodes += [_numa_node(host, at) for at in range(numa_nodes)]
    nodes += [_device(host, at, at % numa_nodes) for at in range(size - 1 - numa_nodes)]
    return Work(nodes)


def _numa_node(host: str, at: int) -> Node:
    name = f"{host}_NUMA{at}"
    inventory = {"PCPU": record(32), "CUSTOM_HUGEPAGES_1G": record(128)}
    return Node(uid(name), name, uid(host), inventory, [f"CUSTOM_NUMA_NODE_{at}", "HW_NUMA_ROOT"])


def _device(host: str, at: int, numa_node: int) -> Node:
    name, parent = f"{host}_0000:{at >> 8:02x}:{at & 0xFF:02x}.0", uid(f"{host}_NUMA{numa_node}")
    if at % 2:
        traits = [f"CUSTOM_NVIDIA_{200 + at % 5}", "COMPUTE_MANAGED_PCI_DEVICE", "HW_GPU_API_VULKAN"]
        return Node(uid(name), name, parent, {"VGPU": record(16)}, traits)
    traits = [f"CUSTOM_PHYSNET_{at % 3}", "COMPUTE_MANAGED_PCI_DEVICE", "HW_NIC_SRIOV"]
    return Node(uid(name), name, parent, {"CUSTOM_PCI_8086_154D": record(8)}, traits)


def with_one_change(work: Work) -> Work:
    """One unit more of one class of the last provider."""
    changed = copy.deepcopy(work)
    one = next(iter(changed.leaf.inventory.values()))
    one["total"] += 1
    return changed


def with_subtree(work: Work) -> Work:
    """Ten providers more: one below the root, and nine below that."""
    top = f"{work.root.name}_card"
    more = [Node(uid(top), top, work.root.uuid, {"SRIOV_NET_VF": record(8)}, ["HW_NIC_SRIOV"])]
    for at in range(9):
        name, traits = f"{top}_{at}", ["CUSTOM_PHYSNET_1", "HW_NIC_SRIOV"]
        more.append(Node(uid(name), name, uid(top), {"SRIOV_NET_VF": record(8)}, traits))
    return Work([*work.nodes, *more])


def with_vgpus_moved(work: Work) -> Work:
    """The root's VGPU on four new providers below it."""
    changed = copy.deepcopy(work)
    vgpus = changed.root.inventory.pop("VGPU")["total"]
    children = []
    for at in range(4):
        name, traits = f"{work.root.name}_gpu{at}", ["CUSTOM_NVIDIA_200", "HW_GPU_API_VULKAN"]
        children.append(Node(uid(name), name, work.root.uuid, {"VGPU": record(vgpus // 2)}, traits))
    return Work([*changed.nodes, *children], [each.uuid for each in children])


def custom_names(works: list[Work]) -> tuple[set[str], set[str]]:
    """The custom resource classes and traits in them."""
    nodes = [node for work in works for node in work.nodes]
    classes = {name for node in nodes for name in node.inventory if name.startswith("CUSTOM_")}
    traits = {name for node in nodes for name in node.traits if name.startswith("CUSTOM_")}
    return classes, {*traits, CUSTOM_TRAIT_OF_OTHERS}


def restate(tree: Any, work: Work) -> None:
    """What a driver does in each cycle: say all that there is, whether it is there already or not."""
    wanted = {node.uuid for node in work.nodes}
    for uuid_ in reversed(tree.get_provider_uuids(work.root.uuid)):
        if uuid_ not in wanted:
            tree.remove(uuid_)
    for node in work.nodes:
        if not tree.exists(node.uuid):
            tree.new_child(node.name, node.parent, uuid=node.uuid)
        tree.update_inventory(node.uuid, {name: {**each} for name, each in node.inventory.items()})
        tree.add_traits(node.uuid, *node.traits)


def move_vgpus(work: Work, allocations: dict[str, Any]) -> None:
    """Give the root's VGPU of each consumer to one of the new providers, in turn. Edits in place."""
    for at, consumer in enumerate(sorted(allocations)):
        held = allocations[consumer]["allocations"]
        amount = held.get(work.root.uuid, {}).get("resources", {}).pop("VGPU", 0)
        if amount:
            held[work.move_vgpus_to[at % len(work.move_vgpus_to)]] = {"resources": {"VGPU": amount}}
