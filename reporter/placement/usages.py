"""What is in use on the providers of a tree, in as few requests as there can be.

Placement tells usages provider by provider. Of a whole tree it tells them along with allocation candidates,
in one request, while the tree has room for what is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from provider_tree.inventory import capacity, complete
from reporter.placement import errors

if TYPE_CHECKING:
    from provider_tree import ProviderTree
    from reporter.placement.client import PlacementClient

Usages = dict[str, dict[str, int]]
"""Provider uuid → resource class → amount in use."""

_FEW = 2  # providers: to ask these one by one takes no longer
_CLASSES_TRIED = 2  # a host that has no room for a bit of two classes is full


def read_usages(
    client: PlacementClient, uuids: Collection[str], tree: ProviderTree, executor: Executor
) -> Usages:
    """What is in use on these providers.

    :param tree: what Placement has: a whole tree, with all of ``uuids``
    """
    usages: Usages = {uuid: {} for uuid in uuids}  # without inventory nothing can be in use
    left = [uuid for uuid in usages if tree.provider(uuid).inventory]
    if len(left) > _FEW:
        of_tree = _of_tree(client, tree)
        usages.update({uuid: of_tree[uuid] for uuid in left if uuid in of_tree})
        left = [uuid for uuid in left if uuid not in of_tree]
    usages.update(zip(left, executor.map(client.usages, left), strict=True))
    return usages


def providers_in_use(client: PlacementClient, tree: ProviderTree) -> list[str]:
    """The providers of a tree that may have allocations; those that Placement says have none are left out."""
    offering = [each.uuid for each in tree.providers() if each.inventory]
    if len(offering) <= _FEW:
        return offering
    usages = _of_tree(client, tree)
    return [uuid for uuid in offering if uuid not in usages or any(usages[uuid].values())]


def _of_tree(client: PlacementClient, tree: ProviderTree) -> Usages:
    """{} where Placement will not tell of all at once."""
    root = next(iter(tree.providers())).uuid
    for resource_class, amount in list(_what_has_room(tree))[:_CLASSES_TRIED]:
        try:
            usages = client.tree_usages(root, resource_class, amount)
        except (errors.Forbidden, errors.BadRequest):
            return {}
        if usages:
            return usages
    return {}


def _what_has_room(tree: ProviderTree) -> Iterator[tuple[str, int]]:
    """(Resource class, the least that can be asked of it), best first.

    The fewer providers have a class, the fewer candidates there are to find; the more there is of it, the
    likelier some is left.
    """
    providers: dict[str, int] = {}
    room: dict[tuple[str, int], float] = {}
    for provider in tree.providers():
        for name, record in provider.inventory.items():
            providers[name] = providers.get(name, 0) + 1
            full = complete(record)
            step = full["step_size"]
            least = -(-full["min_unit"] // step) * step
            if least <= min(full["max_unit"], capacity(record)):
                room[name, least] = max(room.get((name, least), 0), capacity(record) / least)
    yield from sorted(room, key=lambda each: (providers[each[0]], -room[each], each))
