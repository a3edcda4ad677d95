"""Names of resource classes and traits: which ones Placement has to learn, and which it can never know.

A custom name can be created. A standard one comes with the os-traits and os-resource-classes that Placement
itself runs with, which may be older than ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from provider_tree import Change, Kind
from provider_tree.names import CUSTOM

if TYPE_CHECKING:
    from provider_tree import ProviderTree


@dataclass(frozen=True, slots=True)
class Known:
    """Some resource classes and traits."""

    classes: frozenset[str] = frozenset()
    traits: frozenset[str] = frozenset()

    def __or__(self, other: Known) -> Known:
        return Known(self.classes | other.classes, self.traits | other.traits)

    def __sub__(self, other: Known) -> Known:
        return Known(self.classes - other.classes, self.traits - other.traits)

    def __and__(self, other: Known) -> Known:
        return Known(self.classes & other.classes, self.traits & other.traits)


@dataclass
class Names:
    """What Placement has said of names so far.

    :ivar asked: names that it was asked for
    :ivar found: those of them that it has
    """

    asked: Known = field(default_factory=Known)
    found: Known = field(default_factory=Known)

    def learn(self, asked: Known, found: Known) -> None:
        """Remember an answer."""
        self.asked |= asked
        self.found |= found

    def missing(self, wanted: Known) -> Known:
        """Those of the wanted names that Placement has to learn: custom ones."""
        missing = wanted - self.found
        return Known(
            frozenset(filter(_is_custom, missing.classes)), frozenset(filter(_is_custom, missing.traits))
        )

    def ask_again(self) -> None:
        """Have the names asked for once more that Placement did not know: it may have been upgraded."""
        self.asked -= self.strange()

    def strange(self) -> Known:
        """Standard names that Placement does not know."""
        unknown = self.asked - self.found
        return Known(
            frozenset(each for each in unknown.classes if not _is_custom(each)),
            frozenset(each for each in unknown.traits if not _is_custom(each)),
        )


def names_to_ask_for(changes: Iterable[Change], current: ProviderTree) -> Known:
    """The classes and traits that the changes bring in and that no provider of the tree has already."""
    classes: set[str] = set()
    traits: set[str] = set()
    for change in changes:
        if change.after is None:
            continue
        if change.kind is Kind.INVENTORY:
            classes.update(change.after.keys() - (change.before or {}).keys())
        elif change.kind is Kind.TRAITS:
            traits.update(set(change.after).difference(change.before or ()))
    for provider in current.providers() if classes or traits else ():
        classes -= provider.inventory.keys()
        traits -= provider.traits
    return Known(frozenset(classes), frozenset(traits))


def without_names(tree: ProviderTree, names: Known, current: ProviderTree) -> tuple[ProviderTree, Known]:
    """The tree without these classes and traits, and which of them it had.

    :param current: what Placement has: it may have learnt a name since it was asked
    """
    result, had = tree.copy(), Known()
    for provider in tree.providers():
        there = current.by_uuid().get(provider.uuid)
        classes = names.classes & provider.inventory.keys() - (there.inventory.keys() if there else set())
        traits = names.traits & provider.traits - (there.traits if there else set())
        if classes or traits:
            inventory = {name: each for name, each in provider.inventory.items() if name not in classes}
            result.replace(replace(provider, inventory=inventory, traits=provider.traits - traits))
            had |= Known(frozenset(classes), traits)
    return result, had


def _is_custom(name: str) -> bool:
    return name.startswith(CUSTOM)
