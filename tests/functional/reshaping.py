"""A node whose VGPUs move from the root to GPUs below it, and who holds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.base import Allocations
from drivers.errors import ReshapeNeeded
from drivers.reshape import consumers_of, move_allocations
from provider_tree import ProviderTree
from reporter.sync import Reporter
from tests.functional.drivers import Edit, ScriptedDriver, become, host_tree
from tests.functional.reporting import reporter_for

Move = Callable[[ProviderTree, Allocations], None]
"""What a driver does about allocations: gets the tree as it is to be, edits the allocations in place."""


def flat_tree(**inventory: Any) -> ProviderTree:
    """A host with 16 VGPUs on its root, or what is said of them."""
    tree = host_tree()
    records = {"VCPU": {"total": 8}, "VGPU": {"total": 16}, **inventory}
    tree.update_inventory("node", {name: record for name, record in records.items() if record})
    return tree


def nested_tree(*gpus: str, vgpus: int = 8, **record: Any) -> ProviderTree:
    """The same host with its VGPUs on GPUs of its own, each with a trait that Placement does not know yet."""
    tree = host_tree(*(gpus or ("gpu0", "gpu1")))
    tree.update_inventory("node", {"VCPU": {"total": 8}})
    for gpu in gpus or ("gpu0", "gpu1"):
        tree.update_inventory(gpu, {"VGPU": {"total": vgpus, **record}})
        tree.update_traits(gpu, ["CUSTOM_NEW_GPU"])
    return tree


def in_turn(tree: ProviderTree, allocations: Allocations) -> None:
    """VGPUs of the first consumer go to gpu0, those of the second to gpu1, and so on."""
    root, *gpus = [each.uuid for each in tree.providers()]
    for at, consumer in enumerate(sorted(consumers_of(allocations, "VGPU", root))):
        move_allocations(allocations, "VGPU", root, gpus[at % len(gpus)], [consumer])


def to_first(tree: ProviderTree, allocations: Allocations) -> None:
    """All VGPUs go to the first GPU."""
    root, gpu, *_ = [each.uuid for each in tree.providers()]
    move_allocations(allocations, "VGPU", root, gpu)


def reshaping(wanted: ProviderTree, move: Move, needed: Callable[[ProviderTree], bool] | None = None) -> Edit:
    """What a driver does that wants a tree and must move allocations for it, by default off the root."""

    def edit(tree: ProviderTree, node: str, allocations: Allocations | None) -> None:
        if (needed or vgpus_on_root)(tree):
            if allocations is None:
                raise ReshapeNeeded
            move(wanted, allocations)
        become(tree, wanted)

    return edit


def vgpus_on_root(tree: ProviderTree) -> bool:
    return "VGPU" in next(tree.providers()).inventory


class Node:
    """A driver and its reporter, beside a Placement.

    :ivar root: uuid of the root
    """

    def __init__(
        self, placement: Any, state: Path, tree: ProviderTree | None = None, **settings: Any
    ) -> None:
        self.placement, self.state = placement, state
        tree = tree or flat_tree()
        first = next(tree.providers())
        self.root = first.uuid
        self.driver = ScriptedDriver(
            lambda given, _node, _allocations: become(given, tree), first.name, first.uuid
        )
        self.reporter = self.start(**settings)

    def start(self, **settings: Any) -> Reporter:
        """Another reporter of the same driver and state directory: the process has been started again."""
        self.reporter = reporter_for(self.driver, self.placement.url, self.state, **settings)
        return self.reporter

    def sync(self, **how: Any) -> Any:
        with self.reporter.state.lock():
            return self.reporter.sync_once(self.driver.node, **how)

    def wants(self, tree: ProviderTree, move: Move = to_first, **more: Any) -> None:
        """From now on the driver wants a tree, and moves allocations for it."""
        self.driver.edit = reshaping(tree, move, **more)

    def writes(self) -> list[tuple[str, str]]:
        """The requests to Placement that were no reading."""
        return [(method, path) for method, path in self.placement.requests if method != "GET"]
