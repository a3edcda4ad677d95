"""What has to change to make one tree another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .change import Action, Change, Changes, Kind
from .inventory import complete, same
from .order import in_legal_order, top_down
from .provider import Provider
from .reading import ReadableTree

Providers = Mapping[str, Provider]


def diff(current: ReadableTree, desired: ReadableTree) -> Changes:
    """The changes that turn `current` into `desired`, in an order in which they can be made.

    Providers are matched by uuid. Generations and notes do not count, and inventories are compared as
    Placement would store them. Parents come before their children, siblings go by name, the contents of a
    provider follow it; providers are deleted last, children first. Where one is to get the name that another
    gives up, the other goes first; or else it is deleted later, and needs another name until then.

    :raises UnsupportedChange: if there is no such order, or a provider and one below it trade places
    """
    before, after = current.by_uuid(), desired.by_uuid()
    changes = {
        uuid: found
        for uuid, provider in after.items()
        if before.get(uuid) is not provider and (found := list(_changes(uuid, before, after)))
    }
    gone = before.keys() - after.keys()
    ordered = [change for uuid in top_down(changes.keys(), after) for change in changes[uuid]]
    ordered += [
        Change(Kind.PROVIDER, Action.DELETE, before[uuid].name, uuid, _place(uuid, before), None)
        for uuid in reversed(top_down(gone, before))
    ]
    return Changes(in_legal_order(ordered, before, after))


def _changes(uuid: str, before: Providers, after: Providers) -> Iterator[Change]:
    """What to do about one provider that is to come or to stay."""
    old, new = before.get(uuid), after[uuid]
    yield from _place_changes(uuid, before, after)
    yield from _inventory_changes(old, new)
    for kind in (Kind.TRAITS, Kind.AGGREGATES):
        was: frozenset[str] = getattr(old, kind, frozenset())
        to_be: frozenset[str] = getattr(new, kind)
        if was != to_be:
            sides = (sorted(was) or None, sorted(to_be) or None)
            yield Change(kind, _action(was, to_be), new.name, uuid, *sides)


def _place_changes(uuid: str, before: Providers, after: Providers) -> Iterator[Change]:
    old, new = before.get(uuid), after[uuid]
    if old is None:
        yield Change(Kind.PROVIDER, Action.CREATE, new.name, uuid, None, _place(uuid, after))
        return
    actions = {Action.RENAME: old.name != new.name, Action.MOVE: old.parent_uuid != new.parent_uuid}
    for action, needed in actions.items():
        if needed:
            yield Change(Kind.PROVIDER, action, new.name, uuid, _place(uuid, before), _place(uuid, after))


def _inventory_changes(old: Provider | None, new: Provider) -> Iterator[Change]:
    was: Mapping[str, Mapping[str, object]] = old.inventory if old else {}
    if was is new.inventory or was == new.inventory:
        return
    for name in sorted(was.keys() | new.inventory.keys()):
        left, right = was.get(name), new.inventory.get(name)
        if left is not None and right is not None and same(left, right):
            continue
        yield Change(
            Kind.INVENTORY,
            _action(left is not None, right is not None),
            new.name,
            new.uuid,
            None if left is None else {name: complete(left)},
            None if right is None else {name: complete(right)},
            resource_class=name,
        )


def _action(was: object, to_be: object) -> Action:
    if not was:
        return Action.CREATE
    return Action.UPDATE if to_be else Action.DELETE


def _place(uuid: str, providers: Providers) -> dict[str, str | None]:
    provider = providers[uuid]
    parent = None if provider.parent_uuid is None else providers[provider.parent_uuid].name
    return {"name": provider.name, "uuid": uuid, "parent": parent}
