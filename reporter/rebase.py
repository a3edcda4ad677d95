"""The same change on what a provider has now: for when others wrote between our reading and our writing.

Reading the whole tree and planning anew would lose the race again where many write all the time. Instead the
one record is read again, and what we were to change about it is changed there: members that others brought
or took away stay so, and a class that others changed too is not ours to decide here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from provider_tree.inventory import capacity, same
from reporter.placement import errors

if TYPE_CHECKING:
    from provider_tree import Provider
    from reporter.placement.client import PlacementClient
    from reporter.plan import Inventory, Request


def rebased(
    client: PlacementClient, request: Request, before: Provider, *, exactly: bool
) -> tuple[int, dict[str, Any]]:
    """Read again what the request writes, and make its body anew.

    :param before: the provider as it was when the request was planned
    :param exactly: the body has to be the planned one
    :return: generation and body
    :raises reporter.placement.errors.ConcurrentUpdate: it must be planned again
    """
    uuid, kind = request.uuids[0], request.path.rpartition("/")[2]
    planned = (request.body or {})[kind]
    if kind == "inventories":
        generation, inventory = client.inventories(uuid)
        body: Any = rebased_inventory(before.inventory, planned, inventory)
        if body is None or not _leaves_enough(client, uuid, inventory, body):
            raise _overtaken(request)
        unchanged = same_inventory(inventory, before.inventory)
    else:
        generation, members = (client.traits if kind == "traits" else client.aggregates)(uuid)
        was = before.traits if kind == "traits" else before.aggregates
        body = sorted(rebased_members(was, planned, members))
        unchanged = members == was
    if exactly and not unchanged:
        raise _overtaken(request)
    return generation, {kind: body}


def rebased_members(before: frozenset[str], planned: list[str], now: frozenset[str]) -> frozenset[str]:
    """What was to come and to go comes and goes; all else is as it is now."""
    return (now - (before - set(planned))) | (set(planned) - before)


def rebased_inventory(before: Inventory, planned: Inventory, now: Inventory) -> dict[str, Any] | None:
    """The classes that were to change, changed; None if others have changed one of them."""
    result = dict(now)
    for name in before.keys() | planned.keys():
        if _same(before.get(name), planned.get(name)):
            continue
        if not _same(before.get(name), now.get(name)):
            return None
        result.pop(name, None)
        if name in planned:
            result[name] = planned[name]
    return result


def same_inventory(one: Inventory, other: Inventory) -> bool:
    """Whether two inventories are one to Placement."""
    return all(_same(one.get(name), other.get(name)) for name in one.keys() | other.keys())


def _same(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    if one is None or other is None:
        return one is other
    return same(one, other)


def _leaves_enough(client: PlacementClient, uuid: str, now: Inventory, wanted: Inventory) -> bool:
    """Whether what shrinks still holds what is in use: allocations may be what moved the generation."""
    left = {name: capacity(wanted[name]) if name in wanted else 0 for name in now}
    shrinking = {name for name in now if left[name] < capacity(now[name])}
    if not shrinking:
        return True
    used = client.usages(uuid)
    return all(used.get(name, 0) <= left[name] for name in shrinking)


def _overtaken(request: Request) -> errors.ConcurrentUpdate:
    return errors.ConcurrentUpdate(
        f"another writer changed what {request} was to change", "the next cycle reads it again"
    )
