"""Applies changes to a tree one by one, refusing what Placement would refuse."""

from __future__ import annotations

from collections.abc import Iterable

from provider_tree import Action, Change, Kind, ProviderTree


def apply_changes(tree: ProviderTree, changes: Iterable[Change]) -> ProviderTree:
    """Another tree with the changes made.

    :raises ValueError: where a change is not possible at that point
    """
    changes = list(changes)
    tree = tree.copy()
    # A parent is told by the name that it is to have, which it may not have yet.
    to_be = {each.provider: each.uuid for each in changes if each.action in (Action.CREATE, Action.RENAME)}
    doomed = {each.uuid for each in changes if each.action is Action.DELETE and each.kind is Kind.PROVIDER}
    for change in changes:
        if change.action in (Action.CREATE, Action.RENAME) and change.kind is Kind.PROVIDER:
            _free_name(tree, change.provider, doomed)
        _apply(tree, change, to_be)
    return tree


def _free_name(tree: ProviderTree, name: str, doomed: set[str]) -> None:
    """What is to be deleted later, since its children still have to move away, gets another name."""
    if tree.exists(name) and tree.provider(name).uuid in doomed:
        tree.rename(name, f"deleted {tree.provider(name).uuid}")


def _apply(tree: ProviderTree, change: Change, to_be: dict[str, str]) -> None:
    uuid, after = change.uuid, change.after
    match change.kind:
        case Kind.INVENTORY:
            inventory = tree.data(uuid).inventory
            inventory.pop(change.resource_class, None)
            tree.update_inventory(uuid, inventory | (after or {}))
        case Kind.TRAITS:
            tree.update_traits(uuid, after or ())
        case Kind.AGGREGATES:
            tree.update_aggregates(uuid, after or ())
        case Kind.PROVIDER:
            _apply_place(tree, change, to_be)


def _apply_place(tree: ProviderTree, change: Change, to_be: dict[str, str]) -> None:
    uuid, after = change.uuid, change.after
    parent = after and after["parent"] and to_be.get(after["parent"], after["parent"])
    match change.action:
        case Action.CREATE if parent is None:
            tree.new_root(after["name"], uuid)
        case Action.CREATE:
            tree.new_child(after["name"], parent, uuid=uuid)
        case Action.RENAME:
            tree.rename(uuid, after["name"])
        case Action.MOVE:
            tree.move(uuid, parent)
        case Action.DELETE:
            if tree.children(uuid):
                raise ValueError(f"{change.provider} has children")
            tree.remove(uuid)
