"""Three-way merge: what we set last (ledger), what Placement has (current), what the driver wants (desired).

What we set and no longer want goes; what others set stays, for ever. What a driver leaves out of its view
(reporter.view) goes if the ledger, the driver's vocabulary or a reshape covers it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from provider_tree.inventory import capacity
from reporter.errors import InvalidWish
from reporter.state.ledger import Entry

if TYPE_CHECKING:
    from drivers.base import Vocabulary
    from provider_tree import Provider, ProviderTree
    from reporter.state.ledger import Ledger


_NOTHING = Entry("", 0)


@dataclass(frozen=True, slots=True)
class Covered:
    """What a reshape may take away beyond what the ledger covers.

    :ivar classes: (provider uuid, resource class) pairs whose inventory has moved elsewhere
    :ivar emptied: providers from which allocations have moved
    """

    classes: frozenset[tuple[str, str]] = frozenset()
    emptied: frozenset[str] = frozenset()

    def whole_provider(self, provider: Provider) -> bool:
        """Whether all that the provider offered has moved, and somebody's allocations with it.

        That a class appears elsewhere is no proof: others may have a provider of the same class here.
        """
        return provider.uuid in self.emptied and all(
            (provider.uuid, each) in self.classes for each in provider.inventory
        )


@dataclass(frozen=True, slots=True)
class Merged:
    """The tree that Placement is to have.

    :ivar notices: lines for people: what stays although the driver does not want it, what was dropped
    """

    tree: ProviderTree
    notices: tuple[str, ...] = ()


def moved_classes(
    current: ProviderTree,
    desired: ProviderTree,
    moved_from: Collection[tuple[str, str]],
    group: Callable[[str], str] = str,
) -> Covered:
    """What a reshape covers: classes gone from a provider that others get more of, or whose allocations move.

    :param moved_from: (provider uuid, class) pairs from which allocations move away
    :param group: one name for all classes that may turn into each other
    """
    gone: dict[str, list[str]] = {}
    grown: set[str] = set()
    for provider in current.providers():
        left = desired.provider(provider.uuid).inventory if provider.uuid in desired else {}
        for resource_class in provider.inventory.keys() - left.keys():
            gone.setdefault(resource_class, []).append(provider.uuid)
    for provider in desired.providers():
        had = current.provider(provider.uuid).inventory if provider.uuid in current else {}
        grown.update(
            group(name)
            for name, record in provider.inventory.items()
            if name not in had or capacity(record) > capacity(had[name])
        )
    moved = {(uuid, each) for each, uuids in gone.items() if group(each) in grown for uuid in uuids}
    moved.update((uuid, each) for uuid, each in moved_from if uuid in gone.get(each, ()))
    return Covered(frozenset(moved), frozenset(uuid for uuid, _ in moved_from))


def merge(
    current: ProviderTree,
    desired: ProviderTree,
    ledger: Ledger,
    vocabulary: Vocabulary,
    covered: Covered,
    owner_trait: str = "",
) -> Merged:
    """The tree to be: ``desired``, with everything of others' as it is in ``current``.

    :param ledger: only entries that are valid for ``current`` (``Ledger.valid_for``)
    :param owner_trait: set on each provider that we made or make; empty for none
    :raises reporter.errors.InvalidWish: the driver took the root away, added another or wants others' names
    """
    _refuse_other_roots(current, desired)
    tree = desired.copy()
    notices = _keep_unowned(tree, current, desired, ledger, vocabulary, covered, owner_trait)
    before = current.by_uuid()
    marker = frozenset((owner_trait,)) if owner_trait else frozenset()
    for uuid, provider in desired.by_uuid().items():
        had, entry = before.get(uuid), ledger.entry(uuid)
        made = had is None or (entry is not None and entry.created)
        traits = provider.traits | marker if made else provider.traits
        if had is None:
            final = provider if traits == provider.traits else replace(provider, traits=traits)
        elif _is_as_wanted(had, provider, traits):
            final = had
        else:
            final = _merge_provider(had, provider, traits, entry, vocabulary, covered)
        if final is not provider:
            tree.replace(final)
    return Merged(tree, tuple(notices))


def _refuse_other_roots(current: ProviderTree, desired: ProviderTree) -> None:
    """The root is there when a driver is asked, and it is the only one: a driver reports a node at a time."""
    gone = [root.name for root in current.roots if root.uuid not in desired]
    if gone or not desired.roots:
        raise InvalidWish(
            " ".join(["the driver removed the root provider", *gone]), "this is a defect of the driver"
        )
    known = {each.uuid for each in current.roots}
    strange = sorted(each.name for each in desired.roots if each.uuid not in known)
    if strange[0 if known else 1 :]:
        raise InvalidWish(
            f"the driver wants more than one root provider: {', '.join(strange)}",
            "a driver adds providers below the node's; this is a defect of the driver",
        )


def keep_root(merged: Merged, current: ProviderTree, root_uuid: str) -> Merged:
    """``manage = children``: the root stays as it is in ``current``; what was wanted on it is counted."""
    wanted, is_now = merged.tree.provider(root_uuid), current.provider(root_uuid)
    dropped = (
        sum(
            wanted.inventory.get(each) != is_now.inventory.get(each)
            for each in {*wanted.inventory, *is_now.inventory}
        )
        + len(wanted.traits ^ is_now.traits)
        + len(wanted.aggregates ^ is_now.aggregates)
        + (wanted.name != is_now.name)
    )
    tree = merged.tree.copy()
    if wanted.name != is_now.name:
        tree.rename(root_uuid, is_now.name)
    tree.replace(is_now)
    notices = merged.notices
    if dropped:
        notices = (*notices, f"root not ours: {dropped} record{'s' if dropped > 1 else ''}")
    return Merged(tree, notices)


def _is_as_wanted(current: Provider, desired: Provider, traits: frozenset[str]) -> bool:
    """Nothing to merge, told quickly: so it is with most providers in most cycles.

    To set an inventory that is there already leaves the very same object.
    """
    return (
        desired.inventory is current.inventory
        and traits == current.traits
        and desired.aggregates == current.aggregates
        and desired.name == current.name
        and desired.parent_uuid == current.parent_uuid
    )


def _merge_provider(
    current: Provider,
    desired: Provider,
    wanted_traits: frozenset[str],
    entry: Entry | None,
    vocabulary: Vocabulary,
    covered: Covered,
) -> Provider:
    """What the provider is to be; the very object of ``current`` where nothing differs: a diff skips it."""
    ours = entry or _NOTHING
    inventory: Mapping[str, Mapping[str, Any]] = desired.inventory
    kept_classes = [
        each
        for each in current.inventory.keys() - desired.inventory.keys()
        if each not in ours.classes
        and not vocabulary.has_class(each)
        and (current.uuid, each) not in covered.classes
    ]
    if kept_classes:
        inventory = {**inventory, **{each: current.inventory[each] for each in kept_classes}}
    left_out = current.traits - ours.traits - wanted_traits
    traits = wanted_traits | {each for each in left_out if not vocabulary.has_trait(each)}
    aggregates = desired.aggregates | (current.aggregates - ours.aggregates)
    if (inventory, traits, aggregates, desired.name, desired.parent_uuid) == (
        current.inventory,
        current.traits,
        current.aggregates,
        current.name,
        current.parent_uuid,
    ):
        return current
    return replace(desired, inventory=inventory, traits=traits, aggregates=aggregates)


def _keep_unowned(
    tree: ProviderTree,
    current: ProviderTree,
    desired: ProviderTree,
    ledger: Ledger,
    vocabulary: Vocabulary,
    covered: Covered,
    owner_trait: str,
) -> list[str]:
    """Put the providers back that the driver left out and that are not ours to delete."""
    stays: dict[str, Provider] = {}
    notices: list[str] = []
    wanted = desired.by_uuid()
    left_out = [each for each in current.providers() if each.uuid not in wanted]
    for provider in reversed(left_out):
        entry = ledger.entry(provider.uuid)
        children = [child for child in current.children(provider.uuid) if child.uuid in stays]
        ours = entry is not None and entry.may_delete(provider)
        if not ours and not covered.whole_provider(provider):
            stays[provider.uuid] = _emptied(_without_moved(provider, covered), entry, owner_trait)
        elif children:
            stays[provider.uuid] = _emptied(_without_moved(provider, covered), entry, owner_trait)
            names = ", ".join(sorted(child.name for child in children))
            notices.append(f"{provider.name} stays, emptied: others keep {names} under it")
        elif theirs := _classes_of_others(provider, entry, vocabulary, covered):
            stays[provider.uuid] = _emptied(_without_moved(provider, covered), entry, owner_trait)
            notices.append(f"{provider.name} stays, emptied: others offer {', '.join(theirs)} on it")
    for provider in left_out:
        if provider.uuid in stays:
            _put(tree, stays[provider.uuid])
    return notices


def _classes_of_others(
    provider: Provider, entry: Entry | None, vocabulary: Vocabulary, covered: Covered
) -> list[str]:
    return sorted(
        name
        for name in provider.inventory
        if not (entry is not None and name in entry.classes)
        and not vocabulary.has_class(name)
        and (provider.uuid, name) not in covered.classes
    )


def _put(tree: ProviderTree, kept: Provider) -> None:
    assert kept.parent_uuid is not None, "the root is there"
    if kept.name in tree:
        raise InvalidWish(
            f"the driver wants a new provider {kept.name}, and others' {kept.uuid} has that name",
            f"choose another name, or delete that provider: openstack resource provider delete {kept.uuid}",
        )
    tree.add(kept)


def _without_moved(provider: Provider, covered: Covered) -> Provider:
    """Without the classes that have moved away with their allocations: else they would be there twice."""
    if provider.uuid not in covered.emptied:
        return provider
    moved = {name for uuid, name in covered.classes if uuid == provider.uuid}
    return replace(
        provider, inventory={name: each for name, each in provider.inventory.items() if name not in moved}
    )


def _emptied(provider: Provider, entry: Entry | None, owner_trait: str) -> Provider:
    """A provider that stays, though wanted no more: without what we set, but for the mark that it is ours."""
    if entry is None:
        return provider
    return replace(
        provider,
        inventory={name: each for name, each in provider.inventory.items() if name not in entry.classes},
        traits=provider.traits - (entry.traits - {owner_trait}),
        aggregates=provider.aggregates - entry.aggregates,
    )
