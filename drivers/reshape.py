"""Moving allocations from one provider, or resource class, to another: what a driver does in a reshape.

``allocations`` is what ``update_provider_tree`` gets, keyed by consumer; it is edited in place, and what
leaves one place arrives at another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivers.base import Allocations


def consumers_of(allocations: Allocations, resource_class: str, provider_uuid: str) -> dict[str, int]:
    """Return consumer → how much of a resource class it holds of a provider, without those that hold none."""
    held = {
        consumer: allocation["allocations"].get(provider_uuid, {}).get("resources", {}).get(resource_class, 0)
        for consumer, allocation in allocations.items()
    }
    return {consumer: amount for consumer, amount in held.items() if amount}


def move_allocations(
    allocations: Allocations,
    resource_class: str,
    source_uuid: str,
    destination_uuid: str,
    consumers: Iterable[str] | None = None,
    to_class: str | None = None,
) -> dict[str, int]:
    """Move what consumers hold of a class from one provider to another, added to what they hold there.

    A provider of which a consumer then holds nothing is dropped from that consumer's allocations.

    :param allocations: edited in place
    :param consumers: whose allocations to move; all that hold any when left out. One that holds none, or is
        not in ``allocations``, is passed over: it may have been deleted meanwhile.
    :param to_class: the class that it becomes; the same when left out
    :return: consumer → amount moved
    """
    wanted = None if consumers is None else set(consumers)
    found = consumers_of(allocations, resource_class, source_uuid)
    moved = {consumer: amount for consumer, amount in found.items() if wanted is None or consumer in wanted}
    for consumer, amount in moved.items():
        held = allocations[consumer]["allocations"]
        left = held[source_uuid]["resources"]
        del left[resource_class]
        arrived = held.setdefault(destination_uuid, {"resources": {}})["resources"]
        name = to_class or resource_class
        arrived[name] = arrived.get(name, 0) + amount
        if not left:
            del held[source_uuid]
    return moved
