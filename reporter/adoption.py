"""What people do by hand: take a node over (``adopt``), forget what we know of it, or decommission it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reporter.errors import IdentityError, ReporterError
from reporter.placement import errors
from reporter.placement.snapshot import read_snapshot
from reporter.state.ledger import Ledger, load_ledger, save_ledger

if TYPE_CHECKING:
    from reporter.placement.client import PlacementClient, ProviderSummary
    from reporter.settings import Manage
    from reporter.state.directory import StateDirectory

_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Decommissioned:
    """What ``forget --delete`` did.

    :ivar deleted: names of the providers that are gone, children first
    """

    node: str
    deleted: tuple[str, ...] = ()


def adopt(
    client: PlacementClient,
    state: StateDirectory,
    node: str,
    told: Callable[[], str | None] = lambda: None,
) -> ProviderSummary:
    """Make the node's provider ours to write, from the next sync on. Writes nothing to Placement.

    It is the provider of that name, or the one of the uuid that the node has been reported under, or that its
    host says it has. The caller holds ``state.lock()``.

    :param told: asks for the uuid that the host says it has
    :raises reporter.errors.IdentityError: there is no such provider, or it is not a root
    """
    ledger = _as_here(client, load_ledger(state, node))
    found = (
        client.find_provider(node) or _find_by_uuid(client, ledger.root_uuid) or _find_by_uuid(client, told())
    )
    if found is None:
        raise IdentityError(
            f"Placement has no provider named {node}", "a plain sync makes it: nothing to adopt"
        )
    if found.root_uuid != found.uuid:
        raise IdentityError(
            f"{node} ({found.uuid}) is not a root provider: its root is {found.root_uuid}",
            "only a node, the root of a tree, can be adopted",
        )
    if ledger.root_uuid not in (None, found.uuid):
        ledger = Ledger(node)  # what we knew was of another provider
    save_ledger(state, replace(ledger, root_uuid=found.uuid, adopted=True))
    state.delete(state.node_file(node, "snapshot"))
    return found


def _find_by_uuid(client: PlacementClient, uuid: str | None) -> ProviderSummary | None:
    if uuid is None:
        return None
    return next((each for each in client.list_tree(uuid) if each.uuid == uuid), None)


def forget(state: StateDirectory, node: str) -> None:
    """Drop all that we know of a node. Placement keeps what it has; a later sync has to adopt it.

    The caller holds ``state.lock()``.

    :raises reporter.errors.ReporterError: nothing is known of that node
    """
    _known(state, node)
    state.delete_node(node)


def decommission(
    client: PlacementClient, state: StateDirectory, node: str, *, manage: Manage = "tree"
) -> Decommissioned:
    """Delete a node's providers that are ours, children first, and forget it.

    Nothing is deleted if anything of ours is allocated, or if others keep a provider below one of ours. What
    was interrupted goes on. The caller holds ``state.lock()``.

    :param manage: ``children``: the root stays, also one that was ours before
    :raises reporter.errors.ReporterError: in use, or not ours
    """
    known = _known(state, node)
    stored = _as_here(client, known)
    listing = {each.uuid: each for each in client.list_tree(stored.root_uuid)} if stored.root_uuid else {}
    ours = {uuid: each for uuid, each in listing.items() if is_ours(stored, each, manage)}
    if manage == "tree":
        _check_root(known, listing, ours)
    foreign = sorted(
        each.name for each in listing.values() if each.uuid not in ours and is_below(each, ours, listing)
    )
    if foreign:
        raise ReporterError(
            f"{node} holds providers that are not ours: {', '.join(foreign)}",
            "their owners (nova-compute, Neutron, Cyborg, Blazar …) must delete them first",
        )
    _check_unused(client, ours.values())
    deleted = []
    for each in children_first(ours):
        try:
            client.request("DELETE", f"/resource_providers/{each.uuid}")
        except errors.NotFound:
            continue
        deleted.append(each.name)
    forget(state, node)
    return Decommissioned(node, tuple(deleted))


def _as_here(client: PlacementClient, ledger: Ledger) -> Ledger:
    """The ledger; of one that was written for another Placement, what this one bears out."""
    if ledger.root_uuid is None or ledger.is_of(client.label):
        return ledger
    with ThreadPoolExecutor(_CONNECTIONS) as executor:
        tree = read_snapshot(client, ledger.root_uuid, None, executor).tree
    return ledger.valid_for(tree, client.label)


def is_ours(ledger: Ledger, provider: ProviderSummary, manage: Manage) -> bool:
    """Whether we made the provider, or the operator gave it to us as a root.

    With ``manage = children`` no root is ours, whatever it was before.
    """
    if manage == "children" and provider.uuid == ledger.root_uuid:
        return False
    entry = ledger.entry(provider.uuid)
    made = entry is not None and entry.created and provider.generation >= entry.generation
    return made or (ledger.adopted and provider.uuid == ledger.root_uuid)


def _check_root(
    ledger: Ledger, listing: Mapping[str, ProviderSummary], ours: Mapping[str, ProviderSummary]
) -> None:
    """Refuse where a root that we made is not the one that we left."""
    root = ledger.root_uuid or ""
    entry = ledger.entry(root)
    if root in listing and root not in ours and entry is not None and entry.created:
        raise ReporterError(
            f"{listing[root].name} ({root}) was made anew by others, or Placement is another one now, "
            "or was restored from a backup",
            f"if it is this node's: placement-reporter adopt {ledger.node}, then run this again",
        )


def is_below(
    provider: ProviderSummary, ours: Mapping[str, ProviderSummary], listing: Mapping[str, ProviderSummary]
) -> bool:
    """Whether a provider of ours is above it, at any height."""
    parent = listing.get(provider.parent_uuid or "")
    while parent is not None and parent.uuid not in ours:
        parent = listing.get(parent.parent_uuid or "")
    return parent is not None


def _check_unused(client: PlacementClient, providers: Iterable[ProviderSummary]) -> None:
    for each in providers:
        used = {name: amount for name, amount in client.usages(each.uuid).items() if amount}
        if used:
            what = ", ".join(f"{amount} {name}" for name, amount in sorted(used.items()))
            raise ReporterError(
                f"{each.name} has allocations: {what}", "move or delete its instances, then run this again"
            )


def _known(state: StateDirectory, node: str) -> Ledger:
    known = state.nodes()
    if node not in known:
        raise ReporterError(
            f"nothing is known of node {node}; known: {', '.join(known) or 'none'}",
            "check the name and --state-dir",
        )
    return load_ledger(state, node)


def children_first(listing: Mapping[str, ProviderSummary]) -> list[ProviderSummary]:
    """The providers in an order in which they can be deleted, the deepest first."""

    def depth(each: ProviderSummary) -> int:
        above = 0
        while (parent := listing.get(each.parent_uuid or "")) is not None:
            each, above = parent, above + 1
        return above

    return sorted(listing.values(), key=lambda each: (-depth(each), each.name))
