"""What Placement has for one tree: the providers with all their records and generations.

One request tells whether anything moved (placement-facts: a generation, a name or a parent); only providers
that moved are read again, three requests each, several at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provider_tree import Provider, ProviderTree
from reporter.placement import errors

if TYPE_CHECKING:
    from reporter.placement.client import PlacementClient, ProviderSummary

_ATTEMPTS = 5  # a tree that changes at each of so many readings is being hammered


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One tree of Placement's at one moment. ``tree`` is empty if the provider does not exist."""

    root_uuid: str
    tree: ProviderTree


def read_snapshot(
    client: PlacementClient,
    uuid: str,
    previous: Snapshot | None,
    executor: Executor,
    progress: Callable[[int, int], None] | None = None,
) -> Snapshot:
    """The tree that ``uuid`` belongs to.

    :param previous: what was read before: its records stand for each provider that has not moved since. The
                     very same object comes back when nothing has. None reads everything.
    :param progress: called with the number of providers read and to be read
    """
    known = {} if previous is None else {each.uuid: each for each in previous.tree.providers()}
    for attempt in range(_ATTEMPTS):
        listing = client.list_tree(uuid)
        if attempt == 0 and previous is not None and _unmoved(listing, known):
            return previous
        read = _read_moved(client, listing, known, executor, progress)
        if read is not None:
            root = next((each.root_uuid for each in listing), uuid)
            return Snapshot(root, ProviderTree.from_providers(read))
        # A provider went: what was read is not lost, it is compared with the next listing.
    raise errors.ConcurrentUpdate(
        f"the tree of {uuid} changed during each of {_ATTEMPTS} readings", "the next cycle tries again"
    )


def _unmoved(listing: list[ProviderSummary], known: Mapping[str, Provider]) -> bool:
    return len(listing) == len(known) and all(_same(each, known.get(each.uuid)) for each in listing)


def _same(listed: ProviderSummary, known: Provider | None) -> bool:
    return (
        known is not None
        and known.generation == listed.generation
        and known.name == listed.name
        and known.parent_uuid == listed.parent_uuid
    )


def _read_moved(
    client: PlacementClient,
    listing: list[ProviderSummary],
    known: dict[str, Provider],
    executor: Executor,
    progress: Callable[[int, int], None] | None,
) -> list[Provider] | None:
    """The providers of the listing; None if one vanished meanwhile."""
    moved = [each for each in listing if not _same(each, known.get(each.uuid))]
    complete = True
    for done, provider in enumerate(executor.map(lambda each: _read_provider(client, each), moved), start=1):
        if provider is None:
            complete = False
        else:
            known[provider.uuid] = provider
        if progress is not None:
            progress(done, len(moved))
    return [known[each.uuid] for each in listing] if complete else None


def _read_provider(client: PlacementClient, listed: ProviderSummary) -> Provider | None:
    """A provider's records; None if it vanished.

    If others write meanwhile, its generation is that of the record that was read first: others may be newer,
    a write is then refused, and the next cycle sees that the provider has moved.
    """
    try:
        generation, inventory = client.inventories(listed.uuid)
        _, traits = client.traits(listed.uuid)
        _, aggregates = client.aggregates(listed.uuid)
    except errors.NotFound:
        return None
    return Provider(
        uuid=listed.uuid,
        name=listed.name,
        generation=generation,
        parent_uuid=listed.parent_uuid,
        inventory=inventory,
        traits=traits,
        aggregates=aggregates,
    )
