"""What is held back from a plan until a person has looked: small functions over changes.

Always, unless forced: a provider with allocations is not deleted, capacity is not brought below what is in
use. In the service also, until seen again and again: a class that shrinks a lot, a node that changes its
name (a host that booted as ``localhost``).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from provider_tree import Action, Change, Kind
from provider_tree.inventory import capacity
from reporter.errors import InvalidWish

if TYPE_CHECKING:
    from provider_tree import Provider, ProviderTree

_PUNCTUAL = 0.99  # of an interval: a round may begin some milliseconds early
_ALONG = {
    Action.DELETE: "a provider below it stays",
    Action.CREATE: "the provider above it waits",
    Action.MOVE: "the provider that it goes to waits",
}

Usages = Mapping[str, Mapping[str, int]]
"""Provider uuid → resource class → amount that stays in use there (what a reshape moves away is not
counted)."""


@dataclass(frozen=True, slots=True)
class Held:
    """A change that is not made now.

    :ivar why: a few words for people
    :ivar forceable: ``force`` makes it all the same
    """

    change: Change
    why: str
    forceable: bool = True


def needs_usages(changes: Iterable[Change]) -> frozenset[str]:
    """The providers whose usages decide whether a change is held: those that lose capacity or go."""
    return frozenset(each.uuid for each in changes if _loses(each))


def _loses(change: Change) -> bool:
    if change.kind is Kind.PROVIDER:
        return change.action is Action.DELETE
    return (
        change.kind is Kind.INVENTORY
        and _capacity(change.before) > _capacity(change.after)
        and not _sets_aside(change)
    )


def _sets_aside(change: Change) -> bool:
    """Whether a single device is reserved and nothing else: who has it keeps it, nobody gets it after them.

    So devices that must be cleaned after each use (one_time_use) are kept from their next user.
    """
    if not (change.before and change.after):
        return False
    before, after = change.before[change.resource_class], change.after[change.resource_class]
    return bool(before["total"] == after["total"] == after["reserved"] == 1)


def _capacity(records: Mapping[str, Mapping[str, float]] | None) -> int:
    return sum(capacity(each) for each in (records or {}).values())


def in_use(changes: Iterable[Change], usages: Usages) -> list[Held]:
    """Changes that take away what somebody holds."""
    held = []
    for change in changes:
        used = usages.get(change.uuid, {})
        if not _loses(change):
            continue
        if change.kind is Kind.PROVIDER:
            if any(used.values()):
                what = ", ".join(f"{amount} {name}" for name, amount in sorted(used.items()) if amount)
                held.append(Held(change, f"in use: {what}"))
        else:
            name = change.resource_class or ""
            left = _capacity(change.after)
            if used.get(name, 0) > left:
                held.append(Held(change, f"{used[name]} {name} in use, {left} would be left"))
    return held


def shrinks(
    changes: Iterable[Change], max_shrink_percent: float, moved: Collection[tuple[str, str]]
) -> list[Held]:
    """Classes whose capacity falls by more than so many percent; one that goes altogether falls by 100.

    :param moved: (provider uuid, class) pairs that a reshape moves elsewhere; they do not count
    """
    held = []
    for change in changes:
        if change.kind is not Kind.INVENTORY or (change.uuid, change.resource_class) in moved:
            continue
        if _sets_aside(change):
            continue
        before, after = _capacity(change.before), _capacity(change.after)
        if before and (before - after) * 100 > before * max_shrink_percent:
            percent = (before - after) * 100 // before
            held.append(Held(change, f"shrinks by {percent} %, more than {max_shrink_percent:g} %"))
    return held


def vanishing(
    changes: Iterable[Change],
    current: ProviderTree,
    wanted: ProviderTree,
    max_shrink_percent: float,
    moved: Collection[tuple[str, str]],
) -> list[Held]:
    """Providers that go with a class of which the node has by more than so many percent less without them.

    :param moved: (provider uuid, class) pairs that a reshape moves elsewhere; they do not count
    """
    doomed = [each for each in changes if each.kind is Kind.PROVIDER and each.action is Action.DELETE]
    if not doomed:
        return []
    before, after = _offered(current), _offered(wanted)
    fallen = {
        name: (before[name] - after[name]) * 100 // before[name]
        for name in before
        if (before[name] - after[name]) * 100 > before[name] * max_shrink_percent
    }
    held = []
    for change in doomed:
        classes = current.provider(change.uuid).inventory.keys() & fallen.keys()
        for name in sorted(each for each in classes if (change.uuid, each) not in moved)[:1]:
            why = f"with it {name} shrinks by {fallen[name]} %, more than {max_shrink_percent:g} %"
            held.append(Held(change, why))
    return held


def _offered(tree: ProviderTree) -> Counter[str]:
    """Resource class → capacity of the whole tree."""
    offered: Counter[str] = Counter()
    for provider in tree.by_uuid().values():
        for name, record in provider.inventory.items():
            offered[name] += capacity(record)
    return offered


def of_reshape(
    changes: Iterable[Change], current: ProviderTree, wanted: ProviderTree, classes: Collection[str]
) -> list[Change]:
    """Changes that must not be made unless allocations move: else these classes would be there twice, or not
    at all.

    :param classes: resource classes that move
    """
    found = []
    for change in changes:
        if change.kind is Kind.INVENTORY:
            concerned = change.resource_class in classes
        elif change.kind is Kind.PROVIDER and change.action is Action.DELETE:
            concerned = not current.provider(change.uuid).inventory.keys().isdisjoint(classes)
        elif change.kind is Kind.PROVIDER and change.action is Action.CREATE:
            offers = wanted.provider(change.uuid).inventory.keys()
            concerned = bool(offers) and offers <= set(classes)
        else:
            concerned = False
        if concerned:
            found.append(change)
    return found


def renames_root(changes: Iterable[Change], root_uuid: str) -> list[Held]:
    """A node that calls itself something else than it did, and the providers that are called after it."""
    places = [each for each in changes if each.kind is Kind.PROVIDER and each.action is not Action.MOVE]
    root = next((each for each in places if each.uuid == root_uuid and each.action is Action.RENAME), None)
    if root is None:
        return []
    why, old, new = "the host changed its name", root.before["name"], root.after["name"]
    return [
        Held(each, why if each is root else f"called after the host: {why}")
        for each in places
        if (each.before and each.before["name"].startswith(old))
        or (each.after and each.after["name"].startswith(new))
    ]


@dataclass(frozen=True, slots=True)
class _Sighting:
    """How often a change was seen, when last, and of an inventory how much it would leave."""

    count: int
    last: float
    left: int


@dataclass
class Patience:
    """Lets a held change through when it has been seen often enough, each time an interval after the last.

    A class whose total changes all the time (of a shared disk) shrinks all the same: what it shrinks to may
    differ, unless it is by half less than before.

    :ivar interval: seconds
    """

    interval: float
    clock: Callable[[], float] = time.monotonic
    sightings: int = 3
    _seen: dict[tuple[object, ...], _Sighting] = field(default_factory=dict)

    def still_held(self, held: Iterable[Held]) -> list[Held]:
        """Those that have not been seen often enough. What is no longer wished is forgotten."""
        now = self.clock()
        seen = {_key(each.change): self._sighting(each.change, now) for each in held}
        self._seen = seen
        return [
            replace(each, why=f"{each.why}; seen {count} of {self.sightings} times")
            for each in held
            if (count := seen[_key(each.change)].count) < self.sightings
        ]

    def _sighting(self, change: Change, now: float) -> _Sighting:
        left = _capacity(change.after) if change.kind is Kind.INVENTORY else 0
        before = self._seen.get(_key(change))
        if before is None or 2 * left < before.left:
            return _Sighting(1, now, left)
        if now - before.last < self.interval * _PUNCTUAL:
            return replace(before, left=left)
        return _Sighting(before.count + 1, now, left)


def _key(change: Change) -> tuple[object, ...]:
    after = "" if change.kind is Kind.INVENTORY else repr(change.after)
    return (change.kind, change.action, change.uuid, change.resource_class, after)


def without(wanted: ProviderTree, current: ProviderTree, held: Iterable[Held]) -> ProviderTree:
    """``wanted`` with the held changes taken back to what ``current`` has.

    :raises reporter.errors.InvalidWish: the driver has given away a name or a place that is still needed then
    """
    tree = wanted.copy()
    for each in held:
        try:
            _take_back(each.change, tree, current)
        except ValueError as error:
            raise InvalidWish(
                f"{each.change.provider}: {each.why}; but other things wanted need that change: {error}",
                "let the driver want the one without the other, or make the change with sync --force",
            ) from error
    return tree


def held_along(changes: Iterable[Change], left: Iterable[Change], held: Iterable[Held]) -> list[Held]:
    """Providers that stay or wait for the sake of those that are held, and have not been told of.

    :param changes: all that were wanted; ``left``, those that are made
    """
    told = {(each.action, each.uuid) for each in left if each.kind is Kind.PROVIDER}
    told.update((each.change.action, each.change.uuid) for each in held if each.change.kind is Kind.PROVIDER)
    return [
        Held(each, _ALONG[each.action])
        for each in changes
        if each.kind is Kind.PROVIDER and each.action in _ALONG and (each.action, each.uuid) not in told
    ]


def _take_back(change: Change, tree: ProviderTree, current: ProviderTree) -> None:
    match change.kind, change.action:
        case Kind.PROVIDER, Action.DELETE:
            _put_back(tree, current, change.uuid)
        case Kind.PROVIDER, Action.CREATE:
            _take_out(tree, current, change.uuid)
        case Kind.PROVIDER, Action.RENAME:
            tree.rename(change.uuid, current.provider(change.uuid).name)
        case Kind.PROVIDER, Action.MOVE:
            _move_back(tree, current, change.uuid)
        case _:
            if change.uuid in tree and change.uuid in current:
                tree.replace(_record_as_it_is(change, tree.provider(change.uuid), current))


def _take_out(tree: ProviderTree, current: ProviderTree, uuid: str) -> None:
    """A new provider and the new ones below it; those that were to move there stay where they are."""
    if uuid not in tree:
        return
    for below in tree.get_provider_uuids(uuid):
        if below in current:
            _move_back(tree, current, below)
    tree.remove(uuid)


def _move_back(tree: ProviderTree, current: ProviderTree, uuid: str) -> None:
    parent_uuid = current.provider(uuid).parent_uuid
    if parent_uuid is not None:
        _put_back(tree, current, parent_uuid)
    tree.move(uuid, parent_uuid)


def _record_as_it_is(change: Change, provider: Provider, current: ProviderTree) -> Provider:
    had = current.provider(change.uuid)
    if change.kind is Kind.TRAITS:
        return replace(provider, traits=_taken_back(change, provider.traits))
    if change.kind is Kind.AGGREGATES:
        return replace(provider, aggregates=_taken_back(change, provider.aggregates))
    name = change.resource_class or ""
    inventory = {key: record for key, record in provider.inventory.items() if key != name}
    if name in had.inventory:
        inventory[name] = had.inventory[name]
    return replace(provider, inventory=inventory)


def _taken_back(change: Change, wanted: frozenset[str]) -> frozenset[str]:
    """Without the change, which may be of some members alone."""
    before, after = frozenset(change.before or ()), frozenset(change.after or ())
    return (wanted - (after - before)) | (before - after)


def _put_back(tree: ProviderTree, current: ProviderTree, uuid: str) -> None:
    """A provider, and above it all that it hangs on."""
    if uuid in tree:
        return
    provider = current.provider(uuid)
    if provider.parent_uuid is None:
        raise AssertionError("drivers do not delete roots")
    _put_back(tree, current, provider.parent_uuid)
    if provider.name in tree:
        raise InvalidWish(
            f"{provider.name} ({uuid}) is in use, and the driver wants the name for another provider",
            "keep the uuid, or choose another name",
        )
    tree.add(provider)
