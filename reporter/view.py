"""What a driver gets to see of what Placement has.

Drivers edit a tree in place, so it matters: it is Placement's tree less the traits and aggregates that are
ours, so that only what the driver sets again stays. Inventories and providers remain, since ratios and
reshapes are read from them; but custom classes that we put on providers of others do not, since whoever put
them there, an overlay mostly, does so in each cycle. Those of the driver's vocabulary it takes away itself.
A driver that thinks of a reshape gets to see them all: to it a class that it does not see is a new one, to
which allocations may have to move.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from provider_tree.names import CUSTOM

if TYPE_CHECKING:
    from drivers.base import Vocabulary
    from provider_tree import Provider, ProviderTree
    from reporter.state.ledger import Entry, Ledger


class ViewCache:
    """Views of providers that have not changed since the last cycle, so that they need not be made again."""

    def __init__(self) -> None:
        self._views: dict[str, tuple[Provider, Entry, frozenset[str], Provider]] = {}

    def view(self, provider: Provider, entry: Entry, hidden: frozenset[str]) -> Provider:
        """The provider without the traits and aggregates that are ours, and the ``hidden`` classes."""
        known = self._views.get(provider.uuid)
        if known is not None and known[0] is provider and known[1] is entry and known[2] == hidden:
            return known[3]
        traits = provider.traits - entry.traits
        aggregates = provider.aggregates - entry.aggregates
        inventory = provider.inventory
        if not hidden.isdisjoint(inventory):
            inventory = {name: record for name, record in inventory.items() if name not in hidden}
        view = provider
        if (len(traits), len(aggregates), len(inventory)) != (
            len(provider.traits),
            len(provider.aggregates),
            len(provider.inventory),
        ):
            view = replace(provider, inventory=inventory, traits=traits, aggregates=aggregates)
        self._views[provider.uuid] = (provider, entry, hidden, view)
        return view


def driver_view(
    current: ProviderTree,
    ledger: Ledger,
    cache: ViewCache | None = None,
    *,
    vocabulary: Vocabulary | None = None,
    all_classes: bool = False,
) -> ProviderTree:
    """A copy of ``current`` without the traits and aggregates that the ledger says are ours.

    :param vocabulary: of the driver; it sees our custom classes on providers of others that are in there
    :param all_classes: it sees all of them
    """
    cache = cache or ViewCache()
    tree = current.copy()
    providers = current.by_uuid()
    for uuid, entry in ledger.entries.items():
        provider = providers[uuid]
        hidden = frozenset() if all_classes else _hidden(uuid, entry, ledger, vocabulary)
        view = cache.view(provider, entry, hidden)
        if view is not provider:
            tree.replace(view)
    return tree


def hides_classes(current: ProviderTree, ledger: Ledger, vocabulary: Vocabulary | None = None) -> bool:
    """Whether a driver does not get to see custom classes that are there, unless it gets ``all_classes``."""
    providers = current.by_uuid()
    return any(
        name in providers[uuid].inventory
        for uuid, entry in ledger.entries.items()
        for name in _hidden(uuid, entry, ledger, vocabulary)
    )


def _hidden(uuid: str, entry: Entry, ledger: Ledger, vocabulary: Vocabulary | None) -> frozenset[str]:
    if uuid == ledger.root_uuid or entry.created:
        return frozenset()
    return frozenset(
        name
        for name in entry.classes
        if name.startswith(CUSTOM) and not (vocabulary is not None and vocabulary.has_class(name))
    )
