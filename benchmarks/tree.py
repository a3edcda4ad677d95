"""ProviderTree beside Nova 34's, without any Placement: ``python -m benchmarks.tree [--sizes 100,1000]``.

Times are seconds of CPU, the best of a few goes. Nova's tree walks itself to find a provider, so its times
grow with the square of the size: sizes above --nova-limit are left out for it.
"""

from __future__ import annotations

import argparse
import copy
import logging
import math
import time
from collections.abc import Callable
from typing import Any

import provider_tree
from benchmarks.tables import seconds, table
from benchmarks.work import Work, make_work, restate, with_one_change

Tree = Any
BUILD, COPY, FIND, RESTATE = "build", "copy", "find all by name", "restate all"
DIFF, SAME = "find 1 change", "compare, built apart"


def ours(size: int) -> dict[str, float]:
    """Operation → seconds of CPU, for a tree of ours."""
    return measure(provider_tree.ProviderTree, changes_of_ours, size)


def measure(
    tree_class: Callable[[], Tree], changes: Callable[[Tree, Tree], list[str]], size: int
) -> dict[str, float]:
    work = make_work(size, "host")
    changed = with_one_change(work)
    goes = 5 if size <= 1000 else 2
    tree = build(tree_class(), work)
    other = copy.deepcopy(tree)
    other.update_inventory(work.leaf.uuid, changed.leaf.inventory)
    assert changes(tree, other) == [work.leaf.uuid]
    apart = build(tree_class(), work)
    return {
        BUILD: best(lambda: build(tree_class(), work), min(goes, 2)),
        COPY: best(lambda: copy.deepcopy(tree), goes),
        FIND: best(lambda: [tree.exists(node.name) for node in work.nodes], goes),
        RESTATE: best(lambda: restate(tree, work), goes),
        DIFF: best(lambda: changes(tree, other), goes),
        SAME: best(lambda: changes(tree, apart), goes),
    }


def build(tree: Tree, work: Work) -> Tree:
    tree.new_root(work.root.name, work.root.uuid, generation=1)
    restate(tree, work)
    return tree


def changes_of_nova(old: Tree, new: Tree) -> list[str]:
    """What Nova's report client asks of two trees to find what to send."""
    changed = []
    for uuid in new.get_provider_uuids():
        data = new.data(uuid)
        if not old.exists(uuid) or (
            old.has_inventory_changed(uuid, data.inventory)
            or old.have_traits_changed(uuid, data.traits)
            or old.have_aggregates_changed(uuid, data.aggregates)
        ):
            changed.append(uuid)
    return changed


def changes_of_ours(old: Tree, new: Tree) -> list[str]:
    return [change.uuid for change in provider_tree.diff(old, new)]


def best(action: Callable[[], object], goes: int) -> float:
    times = []
    for _ in range(goes):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def nova_tree() -> Callable[[], Tree] | None:
    logging.disable(logging.CRITICAL)
    try:
        from nova.compute.provider_tree import ProviderTree
    except ImportError:
        return None
    tree: Callable[[], Tree] = ProviderTree
    return tree


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--nova-limit", type=int, default=1000)
    options = parser.parse_args()
    theirs = nova_tree()
    rows = []
    for size in map(int, options.sizes.split(",")):
        with_nova = theirs is not None and size <= options.nova_limit
        nova = measure(theirs, changes_of_nova, size) if with_nova and theirs else {}
        for operation, own in ours(size).items():
            peer = nova.get(operation, math.nan)
            both = not math.isnan(peer) and own
            rows.append([operation, str(size), seconds(peer) if both else "-", seconds(own)])
            rows[-1].append(f"{peer / own:.0f}" if both else "-")
    print(table(("", "providers", "Nova 34", "ours", "ratio"), rows))


if __name__ == "__main__":
    main()
