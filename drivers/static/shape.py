"""Making a provider tree what a document says it is to be."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

from drivers.errors import DriverError
from provider_tree.provider import Provider, derive_uuid

if TYPE_CHECKING:
    from provider_tree.tree import ProviderTree

_UNIQUE = "names are unique in all of Placement: choose another one in the document"


def wanted_providers(
    tree: ProviderTree, nodename: str, document: ProviderTree, named: frozenset[str]
) -> dict[str, Provider]:
    """Return the node's providers as the document has them, by the uuids that they have or get in Placement.

    A provider whose uuid the document does not name is the one of its name; a new one gets a uuid made of
    its parent's and its name. Traits and aggregates that a provider has beside the document's stay: those
    that are the reporter's own have been taken off the tree before.

    :param tree: what Placement has; its root ``nodename`` is there
    :param named: the uuids that the document names
    :return: parents before their children
    :raises DriverError: Placement has the node under another uuid, or a name in another tree
    """
    had = tree.by_uuid()
    inside = frozenset(tree.get_provider_uuids(nodename))
    by_name = {provider.name: provider for provider in had.values()}
    listed = [document.provider(uuid) for uuid in document.get_provider_uuids(nodename)]
    real = {listed[0].uuid: _root_uuid(tree.provider(nodename), listed[0], named)}
    for each in listed[1:]:
        if each.uuid in named:
            real[each.uuid] = each.uuid
        elif (holder := by_name.get(each.name)) is not None and holder.uuid not in named:
            if holder.uuid not in inside:
                raise _name_taken(holder)
            real[each.uuid] = holder.uuid
    taken = set(real.values())
    found: dict[str, Provider] = {}
    for each in listed:
        parent = None if each.parent_uuid is None else real[each.parent_uuid]
        if each.uuid not in real:
            assert parent is not None, "the root has a uuid"
            real[each.uuid] = _unused_uuid(parent, each.name, taken)
            taken.add(real[each.uuid])
        uuid = real[each.uuid]
        found[uuid] = _combined(had.get(uuid), each, uuid, parent)
    return found


def _root_uuid(root: Provider, wanted: Provider, named: frozenset[str]) -> str:
    if wanted.uuid in named and wanted.uuid != root.uuid:
        raise DriverError(
            f"node {root.name} is provider {root.uuid}, and the document says {wanted.uuid}",
            "correct the uuid in the document, or leave it out",
        )
    return root.uuid


def _name_taken(holder: Provider) -> DriverError:
    return DriverError(f"{holder.name} is the name of provider {holder.uuid}, which is another one", _UNIQUE)


def _unused_uuid(parent: str, name: str, taken: Container[str]) -> str:
    """Return the uuid for a new provider; another one where a provider that was renamed has the first."""
    uuid, count = derive_uuid(parent, name), 1
    while uuid in taken:
        count += 1
        uuid = derive_uuid(parent, f"{name}#{count}")
    return uuid


def _combined(current: Provider | None, wanted: Provider, uuid: str, parent: str | None) -> Provider:
    # Spelt out, since dataclasses.replace takes twice the time and a tree may have thousands.
    if current is None:
        return Provider(
            uuid,
            wanted.name,
            None,
            parent,
            wanted.inventory,
            wanted.traits,
            wanted.aggregates,
            notes=wanted.notes,
        )
    return Provider(
        uuid,
        wanted.name,
        current.generation,
        parent,
        wanted.inventory,
        current.traits | wanted.traits,
        current.aggregates | wanted.aggregates,
        current.resources,
        wanted.notes,
    )


def reshape_tree(tree: ProviderTree, nodename: str, wanted: Mapping[str, Provider]) -> None:
    """Make the node's part of the tree consist of exactly these providers, whatever it was before.

    :param wanted: uuid → provider, parents before their children
    :raises DriverError: a name or a uuid is that of a provider outside the node's tree
    """
    had = tree.by_uuid()
    root_uuid, *below = tree.get_provider_uuids(nodename)
    for uuid in wanted.keys() & had.keys() - {root_uuid, *below}:
        raise _name_taken(had[uuid])
    movers = [
        each for uuid, each in wanted.items() if uuid in had and had[uuid].parent_uuid != each.parent_uuid
    ]
    # By way of the root, so that a parent and its child can change places.
    for provider in movers:
        tree.move(provider.uuid, root_uuid)
    for uuid in reversed(below):
        if uuid not in wanted:
            for child in tree.children(uuid):
                tree.move(child.uuid, root_uuid)
            tree.remove(uuid)
    renamed = [each for uuid, each in wanted.items() if uuid in had and had[uuid].name != each.name]
    # Out of each other's way first, so that names can be swapped.
    for provider in renamed:
        tree.rename(provider.uuid, f"{provider.uuid} is being renamed")
    for provider in renamed:
        _refuse_taken(tree, provider)
        tree.rename(provider.uuid, provider.name)
    for uuid, provider in wanted.items():
        if uuid not in had:
            _refuse_taken(tree, provider)
            assert provider.parent_uuid is not None, "the root is there"
            tree.new_child(provider.name, provider.parent_uuid, uuid)
    for provider in movers:
        assert provider.parent_uuid is not None, "the root does not move"
        tree.move(provider.uuid, provider.parent_uuid)
    for provider in wanted.values():
        tree.replace(provider)


def _refuse_taken(tree: ProviderTree, provider: Provider) -> None:
    if provider.name in tree:
        raise _name_taken(tree.provider(provider.name))
