"""The view of the PCI devices → providers in the tree, and allocations that the instances lack.

What Nova 34 does in nova/compute/pci_placement_translator.py. What the host tells stands for Nova's database:
which instance has which device is read from the domains.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from drivers.base import Allocations
from drivers.libvirt import reshape
from drivers.libvirt.parts import OWNER
from drivers.libvirt.pci.address import PciAddress
from drivers.libvirt.pci.classes import CLASS_PREFIX, MANAGED
from drivers.libvirt.pci.errors import OPTION
from drivers.libvirt.pci.view import DeviceProvider
from provider_tree.provider import Provider
from provider_tree.source import Source
from provider_tree.tree import ProviderTree

View = Mapping[PciAddress, DeviceProvider]
_ADDRESS = re.compile(r"[0-9A-F]{4,8}:[0-9A-F]{2}:[0-9A-F]{2}\.[0-7]")


@dataclass(frozen=True, slots=True)
class Need:
    """What an instance must hold on a provider because it has devices of it."""

    consumer: str
    provider: str
    resource_class: str
    amount: int


def provider_name(node: str, address: PciAddress) -> str:
    """Return the name of the provider of a device, e.g. ``host1_0000:84:00.0``."""
    return f"{node}_{str(address).upper()}"


def reported_devices(tree: ProviderTree, node: str) -> Iterator[Provider]:
    """Yield the providers of PCI devices that the tree has below the node.

    They are known by their trait, and by their name alone: a trait of ours may have been left out of the
    tree.
    """
    for uuid in tree.get_provider_uuids_in_tree(node):
        provider = tree.provider(uuid)
        named = provider.name.startswith(f"{node}_") and _ADDRESS.fullmatch(provider.name[len(node) + 1 :])
        if provider.parent_uuid is not None and (MANAGED in provider.traits or named):
            yield provider


def needs(node: str, view: View) -> frozenset[Need]:
    """Return what all instances must hold."""
    return frozenset(
        Need(consumer, provider_name(node, address), provider.resource_class, amount)
        for address, provider in view.items()
        for consumer, amount in provider.used.items()
    )


def put_devices(
    tree: ProviderTree,
    node: str,
    view: View,
    allocations: Allocations | None,
    is_ours: Callable[[str, str], bool] | None = None,
) -> list[str]:
    """Make the providers of PCI devices below the node what the view says; returns what people should know.

    Where devices vanished from host or configuration but instances still have them, their provider stays, and
    total does not go below what is in use: Placement's allocations tell that, or without those the domains.

    :param is_ours: whether a class (second) of a provider (its uuid, first) has been reported from here
    """
    wanted = {provider_name(node, address): provider for address, provider in view.items()}
    warnings: list[str] = []
    for provider in list(reported_devices(tree, node)):
        if provider.name not in wanted and tree.exists(provider.uuid):
            if MANAGED in provider.traits and provider.inventory:
                warnings.append(_not_ours(provider))
            tree.remove(provider.uuid)
    for name, device_provider in wanted.items():
        warnings.extend(_put(tree, node, name, device_provider, allocations, is_ours))
    return warnings


def heal_allocations(tree: ProviderTree, node: str, view: View, allocations: Allocations) -> list[Need]:
    """Give instances what they lack of the devices that they have, in place; returns what was given.

    Consumers that Placement does not know, such as an instance whose allocations its migration holds, are
    left alone. What an instance holds beyond its devices stays: a suspended one has none in its domain.
    """
    healed = []
    for need in sorted(needs(node, view), key=lambda each: (each.provider, each.consumer)):
        if need.consumer not in allocations:
            continue
        uuid = tree.provider(need.provider).uuid
        missing = need.amount - reshape.held(allocations, need.consumer, uuid, need.resource_class)
        if missing > 0:
            reshape.add(allocations, need.consumer, uuid, need.resource_class, missing)
            healed.append(need)
    return healed


def _put(
    tree: ProviderTree,
    node: str,
    name: str,
    wanted: DeviceProvider,
    allocations: Allocations | None,
    is_ours: Callable[[str, str], bool] | None,
) -> Iterator[str]:
    if not tree.exists(name):
        if not wanted.devices:
            return  # never reported: a device that somebody gave to a guest by hand
        tree.new_child(name, node)
    current = tree.provider(name)
    usage = _usage(current, wanted, allocations, _own_classes(current, is_ours))
    resource_class = wanted.resource_class or next(iter(sorted(usage)), "")
    counted = len(wanted.devices)
    total = max(counted, usage[resource_class])
    if not total:
        tree.remove(name)
        return
    if total > counted:
        yield _still_used(name, wanted, resource_class, total)
    tree.update_inventory(name, {resource_class: _record(current, wanted, resource_class, total)})
    if wanted.devices:
        tree.update_traits(name, wanted.traits)
    else:
        tree.add_traits(name, MANAGED, OWNER)
    _note(tree, name, wanted, resource_class)


def _still_used(name: str, wanted: DeviceProvider, resource_class: str, total: int) -> str:
    instances = ", ".join(sorted(wanted.held)) or "instances that are not on this host"
    return (
        f"{name}: total of {resource_class} is {total}, though {OPTION} names {len(wanted.devices)} of its "
        f"devices: the others are still in use by {instances}; name them again, or delete or migrate those"
    )


def _not_ours(provider: Provider) -> str:
    """Return a warning about a provider whose trait somebody else has set: one of ours is not shown here."""
    return (
        f"{provider.name} provides {', '.join(sorted(provider.inventory))}, but {OPTION} names no such "
        "device; nova-compute made the provider, so it stays, and scheduling goes on to it; delete it: "
        f"openstack resource provider delete {provider.uuid}"
    )


def _own_classes(current: Provider, is_ours: Callable[[str, str], bool] | None) -> frozenset[str]:
    """Return what the provider has of devices: others may offer classes of theirs beside it."""
    own = {
        name
        for name in current.inventory
        if name.startswith(CLASS_PREFIX) or (is_ours is not None and is_ours(current.uuid, name))
    }
    return frozenset(own or current.inventory)


def _usage(
    current: Provider,
    wanted: DeviceProvider,
    allocations: Allocations | None,
    own: frozenset[str],
) -> Counter[str]:
    """Return resource class → how much of it is in use on a provider, of what is there or wanted there."""
    usage: Counter[str] = Counter()
    if allocations is not None:
        for consumer in allocations.values():
            usage.update(consumer["allocations"].get(current.uuid, {}).get("resources", {}))
        return Counter({each: usage[each] for each in {*own, wanted.resource_class} & usage.keys()})
    resource_class = wanted.resource_class or next(iter(sorted(own)), "")
    in_use = wanted.used.total() + wanted.held.total()
    return Counter({resource_class: in_use}) if resource_class and in_use else usage


def _record(current: Provider, wanted: DeviceProvider, resource_class: str, total: int) -> dict[str, Any]:
    """Return the inventory record.

    ``reserved`` is the operator's and stays as it is in Placement; only a device for one use is reserved when
    an instance gets it. Making it available again is for whoever cleans it.
    """
    record = {"total": total, "max_unit": total}
    reserved = current.inventory.get(resource_class, {}).get("reserved", 0)
    if wanted.used_up:
        record["reserved"] = total
    elif reserved:
        record["reserved"] = min(reserved, total)
    return record


def _note(tree: ProviderTree, name: str, wanted: DeviceProvider, resource_class: str) -> None:
    if not wanted.devices:
        tree.note(name, resource_class, "PCI devices that instances still have")
        return
    source = Source("configuration", OPTION, dict(wanted.spec.given))
    tree.note(name, resource_class, source)
    for trait in sorted(wanted.traits):
        tree.note(name, f"traits.{trait}", source)
