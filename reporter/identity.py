"""Which provider of Placement's is a node's root, and whether we may write it.

A root is ours if we made it or the operator adopted it. The uuid comes, in this order, from the ledger, from
the driver (Nova's ``compute_id`` file, Ironic's node uuid, a static document), from the provider of that
name in Placement, or is new.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provider_tree import Action, Change, Kind
from reporter.errors import AdoptionNeeded, IdentityError

if TYPE_CHECKING:
    from drivers.base import ComputeDriver
    from provider_tree import Provider
    from reporter.placement.client import PlacementClient, ProviderSummary
    from reporter.placement.snapshot import Snapshot
    from reporter.state.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Root:
    """A node's root provider.

    :ivar uuid: the one to use; if Placement has no such provider yet, the one it is to get
    :ivar name_looked_up: Placement was asked by name, so that the uuid is right or the name is free
    """

    node: str
    uuid: str
    name_looked_up: bool = False


def uuid_told(driver: ComputeDriver, node: str) -> str | None:
    """The uuid that the host says the node has; None where it does not tell."""
    try:
        by_uuid = driver.get_nodenames_by_uuid()
    except NotImplementedError:
        return None
    return next((uuid for uuid, name in by_uuid.items() if name == node), None)


def find_root(
    client: PlacementClient, node: str, ledger: Ledger, driver_uuid: str | None, new_uuid: str | None = None
) -> Root:
    """The uuid under which to look for the node's tree; at most one request, none when the uuid is known.

    :param driver_uuid: what the driver says the node's uuid is
    :param new_uuid: the one for a node that nobody knows yet; random when left out
    """
    known = ledger.root_uuid or driver_uuid
    if known is not None:
        return Root(node, known)
    found = client.find_provider(node)
    return Root(node, found.uuid if found else new_uuid or str(uuid.uuid4()), name_looked_up=True)


def name_holder(client: PlacementClient, root: Root) -> ProviderSummary | None:
    """The provider that has the node's name, when Placement has none with its uuid."""
    return None if root.name_looked_up else client.find_provider(root.node)


def name_is_taken(
    root: Root, holder: ProviderSummary, driver_uuid: str | None
) -> IdentityError | AdoptionNeeded:
    """Placement has no provider with the node's uuid, and another one has its name."""
    what = (
        f"{root.node} is the name of provider {holder.uuid} in Placement, and this node's uuid is {root.uuid}"
    )
    delete = f"openstack resource provider delete {holder.uuid}"
    if driver_uuid is not None:
        return IdentityError(
            f"{what}, says the host (compute_id, document or driver)",
            f"after a new installation put {holder.uuid} there; if the provider is a leftover: {delete}",
        )
    return AdoptionNeeded(
        what,
        f"take that provider over with 'placement-reporter adopt {root.node}' (or sync --adopt); "
        f"if it is a leftover: {delete}",
    )


def check_told(ledger: Ledger, driver_uuid: str | None) -> None:
    """The uuid that the host says it has must be the one under which it has been reported.

    :raises IdentityError: they differ
    """
    if driver_uuid is not None and ledger.root_uuid not in (None, driver_uuid):
        raise IdentityError(
            f"{ledger.node} says its uuid is {driver_uuid}, and it has been reported as {ledger.root_uuid}",
            f"put {ledger.root_uuid} into compute_id (or the document), or drop what was: "
            f"placement-reporter forget {ledger.node} --delete",
        )


def with_root(stored: Ledger, root: Root, driver: str) -> Ledger:
    """The ledger for this root. What was adopted under another uuid is not adopted under this one."""
    adopted = stored.adopted and stored.root_uuid == root.uuid
    return replace(stored, root_uuid=root.uuid, adopted=adopted, driver=driver)


def clash(client: PlacementClient, changes: Iterable[Change], root_uuid: str) -> IdentityError | None:
    """Why Placement calls a name or uuid a duplicate: a provider of another tree has it."""
    for change in changes:
        if change.kind is not Kind.PROVIDER or change.action not in (Action.CREATE, Action.RENAME):
            continue
        holder = client.find_provider(change.provider) or next(
            (each for each in client.list_tree(change.uuid) if each.uuid == change.uuid), None
        )
        # Two reporters may make one root at the same moment: that comes right at the next attempt.
        makes_root = change.uuid == root_uuid and change.action is Action.CREATE
        if holder is not None and holder.root_uuid != root_uuid and not makes_root:
            return IdentityError(
                f"{change.provider} ({change.uuid}) clashes with provider {holder.name} "
                f"({holder.uuid}) of the tree of {holder.root_uuid}",
                f"another name, or, if it is a leftover: openstack resource provider delete {holder.uuid}",
            )
    return None


def check_is_root(snapshot: Snapshot, root: Root) -> None:
    """The provider with the node's uuid must be the root of its tree.

    :raises IdentityError: it has a parent
    """
    if snapshot.root_uuid != root.uuid:
        raise IdentityError(
            f"{root.node} ({root.uuid}) is not a root provider: its root is {snapshot.root_uuid}",
            "check the uuid in compute_id or in the document: it belongs to another provider",
        )


def why_adoption(snapshot: Snapshot, root: Root, ledger: Ledger, stored: Ledger) -> AdoptionNeeded | None:
    """The refusal to write a root that exists and is not ours; None if it is ours, or does not exist.

    :param ledger: valid for the snapshot; ``stored``, as it is on disk
    """
    if root.uuid not in snapshot.tree or (ledger.root_uuid == root.uuid and ledger.owns_root()):
        return None
    provider = snapshot.tree.provider(root.uuid)
    entry = stored.entry(root.uuid)
    what = "was not made from this state directory"
    if entry is not None and entry.created:
        what = (
            "is not as it was made from this state directory: others have made it anew, "
            "or Placement was restored from a backup, or is another one now"
        )
    return AdoptionNeeded(
        f"provider {provider.name} ({provider.uuid}) exists in Placement and {what}{_whose(provider)}",
        f"to take it over: sync --adopt, or 'placement-reporter adopt {root.node}' ('diff' shows what would "
        "change); to leave it alone: another name for this node, or [reporter] manage = children",
    )


def _whose(provider: Provider) -> str:
    if "OWNER_NOVA" in provider.traits:
        return "; it is nova-compute's (OWNER_NOVA)"
    if "COMPUTE_NODE" in provider.traits:
        return "; it is a compute node (COMPUTE_NODE)"
    return ""
