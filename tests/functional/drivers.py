"""Drivers that want what a test tells them to want."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from drivers.base import Allocations, ComputeDriver, Vocabulary
from drivers.reshape_rules import ReshapeRules
from provider_tree import Provider, ProviderTree

Edit = Callable[[ProviderTree, str, Allocations | None], None]
"""What a driver does in ``update_provider_tree``: edits the tree of a node in place."""


class ScriptedDriver(ComputeDriver):
    """Has one node and edits its tree with a function, which a test may replace between cycles.

    :ivar uuid: what the driver says of the node's uuid, None for nothing
    """

    name = "scripted"

    def __init__(self, edit: Edit, node: str = "node", uuid: str | None = None) -> None:
        self.edit = edit
        self.node = node
        self.uuid = uuid
        self.words = Vocabulary()
        self.rules = ReshapeRules()
        #: the trees that it was given, in the order of the calls, as they were then
        self.seen: list[ProviderTree] = []

    @property
    def vocabulary(self) -> Vocabulary:
        return self.words

    @property
    def reshape_rules(self) -> ReshapeRules:
        return self.rules

    def init_host(self, host: str) -> None:
        pass

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        return [self.node]

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        if self.uuid is None:
            raise NotImplementedError
        return {self.uuid: self.node}

    def update_provider_tree(
        self, provider_tree: ProviderTree, nodename: str, allocations: Allocations | None = None
    ) -> None:
        self.seen.append(provider_tree.copy())
        self.edit(provider_tree, nodename, allocations)


class TreeDriver(ScriptedDriver):
    """Wants exactly one tree, whose root says the name and the uuid of the node."""

    def __init__(self, tree: ProviderTree) -> None:
        self.tree = tree
        root = next(iter(tree.roots))
        super().__init__(lambda given, _node, _allocations: become(given, self.tree), root.name, root.uuid)


class ManyNodes(ScriptedDriver):
    """Several nodes, each edited by the same function."""

    def __init__(self, edit: Edit, *nodes: str) -> None:
        super().__init__(edit, nodes[0])
        self.nodes = list(nodes)

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        return list(self.nodes)


def become(tree: ProviderTree, wanted: ProviderTree) -> None:
    """Edit a tree in place until it is another, as a driver with a list of what it wants would."""
    for provider in list(tree.providers()):
        if provider.uuid not in wanted or wanted.provider(provider.uuid).name != provider.name:
            tree.rename(provider.uuid, f"for the moment {provider.uuid}")
    for each in wanted.providers():  # top-down: no new parent is below its own child
        if each.uuid not in tree:
            assert each.parent_uuid is not None, "the root is the reporter's to make"
            tree.new_child(each.name, each.parent_uuid, uuid=each.uuid)
        elif each.parent_uuid is not None:
            tree.move(each.uuid, each.parent_uuid)
    for each in list(tree.providers()):
        if each.uuid not in wanted and each.uuid in tree:
            tree.remove(each.uuid)
    for each in wanted.providers():
        if tree.provider(each.uuid).name != each.name:
            tree.rename(each.uuid, each.name)
        tree.replace(replace(each, generation=tree.provider(each.uuid).generation))


def host_tree(
    *children: str, root: str = "node", uuid: str = "11111111-1111-4111-8111-111111111111", vcpus: int = 8
) -> ProviderTree:
    """A small host: a root with VCPU and MEMORY_MB, below it children with VGPU and a custom trait."""
    tree = ProviderTree()
    tree.new_root(root, uuid)
    tree.update_inventory(root, {"VCPU": {"total": vcpus}, "MEMORY_MB": {"total": 4096, "reserved": 512}})
    tree.update_traits(root, ["COMPUTE_NODE", "CUSTOM_HOST"])
    for name in children:
        tree.new_child(name, root)
        tree.update_inventory(name, {"VGPU": {"total": 4}})
        tree.update_traits(name, ["CUSTOM_GPU"])
    return tree


def contents(tree: ProviderTree) -> dict[str, dict[str, Any]]:
    """A tree in the form of ``placement.tree()``."""
    return {each.name: _contents(tree, each) for each in tree.providers()}


def _contents(tree: ProviderTree, provider: Provider) -> dict[str, Any]:
    data = provider.data()
    return {
        "uuid": provider.uuid,
        "parent": None if provider.parent_uuid is None else tree.provider(provider.parent_uuid).name,
        "inventory": data.inventory,
        "traits": sorted(data.traits),
        "aggregates": sorted(data.aggregates),
    }
