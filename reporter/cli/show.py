"""``show``: the provider tree that the driver wants, or the one that Placement has."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from drivers.errors import ReshapeNeeded
from provider_tree import Provider, ProviderTree, lint, to_document
from reporter import cli
from reporter.cli.wiring import Wiring
from reporter.errors import ReporterError
from reporter.identity import uuid_told
from reporter.progress import ProgressDisplay
from reporter.render.output import print_document, print_outline
from reporter.render.tree import outline_tree
from reporter.state.ledger import load_ledger

if TYPE_CHECKING:
    import argparse

    from drivers.base import ComputeDriver


def show(arguments: argparse.Namespace) -> int:
    """Print it."""
    with Wiring(arguments) as parts, ProgressDisplay("reading") as progress:
        if arguments.origin == "driver":
            tree = _of_driver(parts)
        else:
            tree = _of_placement(parts, arguments.node, progress)
    if arguments.format == "text":
        print_outline(outline_tree(tree), tree=True)
    else:
        print_document(to_document(tree), arguments.format)
    return 0


def _of_driver(parts: Wiring) -> ProviderTree:
    """What the driver makes of empty trees, with the overlays."""
    found: list[Provider] = []
    for node in parts.nodes:
        tree = ProviderTree()
        tree.new_root(node, _root_uuid(parts, node))
        _update(parts.driver, tree, node)
        for overlay in parts.overlays:
            for warning in overlay.apply(tree, node):
                cli.warn(f"{node}: {warning}")
        found += tree.providers()
    for finding in lint(found):
        cli.warn(str(finding))
    return _forest(found)


def _update(driver: ComputeDriver, tree: ProviderTree, node: str) -> None:
    try:
        driver.update_provider_tree(tree, node)
    except ReshapeNeeded:  # an empty tree has nothing to move
        driver.update_provider_tree(tree, node, {})


def _root_uuid(parts: Wiring, node: str) -> str:
    """The uuid that the node has with us, or that the driver gives it, or a new one."""
    known = load_ledger(parts.state, node).root_uuid or uuid_told(parts.driver, node)
    return known or parts.driver.new_node_uuid(node) or str(uuid.uuid4())


def _of_placement(parts: Wiring, node: str | None, progress: ProgressDisplay) -> ProviderTree:
    """What Placement has for the nodes. One that ``--node`` names is looked up without asking the driver."""
    found: list[Provider] = []
    absent: list[str] = []
    for name in [node] if node is not None else parts.nodes:
        tree = _read(parts, name, progress)
        if tree is None:
            absent.append(name)
        else:
            found += tree.providers()
    if found:
        for name in absent:
            cli.warn(f"Placement has no provider {name}")
    else:
        raise ReporterError(
            f"Placement has nothing of {node or ', '.join(parts.nodes)}",
            "'placement-reporter diff' shows what a sync would put there",
        )
    return _forest(found)


def _read(parts: Wiring, node: str, progress: ProgressDisplay) -> ProviderTree | None:
    from reporter.placement.snapshot import read_snapshot  # noqa: PLC0415 - show --from driver does without

    def report(done: int, total: int) -> None:
        progress("reading providers", done, total)

    with ThreadPoolExecutor(parts.settings.connections) as executor:
        known = load_ledger(parts.state, node).root_uuid
        if known is not None:
            tree = read_snapshot(parts.client, known, None, executor, report).tree
            if len(tree):
                return tree
        holder = parts.client.find_provider(node)
        return read_snapshot(parts.client, holder.uuid, None, executor, report).tree if holder else None


def _forest(providers: Iterable[Provider]) -> ProviderTree:
    """Several nodes in one tree; a tree that two nodes share stands in it once."""
    return ProviderTree.from_providers({each.uuid: each for each in providers}.values())
