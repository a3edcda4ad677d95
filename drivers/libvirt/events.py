"""What libvirt says unasked, and what becomes of it.

A PCI or mediated device that comes or goes, and a connection that ends or is back, ask for a cycle
(InventoryEvent). What happens to a guest changes no inventory, so it is only told (LifecycleEvent).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from drivers.events import Event, InventoryEvent, LifecycleEvent, Transition

# Node devices that can be inventory, by how libvirt names them. Others come and go with every guest (its
# tap device).
_DEVICE_PREFIXES = ("pci_", "mdev_", "vdpa_", "css_", "ap_")

# virDomainEventType and, for SUSPENDED, virDomainEventSuspendedDetailType; libvirt-domain.h
_STARTED, _SUSPENDED, _RESUMED, _STOPPED = 2, 3, 4, 5
_BY_MIGRATION, _FOR_POSTCOPY = 1, 7
_TRANSITIONS: Mapping[int, Transition] = MappingProxyType(
    {_STARTED: Transition.STARTED, _RESUMED: Transition.RESUMED, _STOPPED: Transition.STOPPED}
)


@dataclass(frozen=True, slots=True)
class DeviceChanged:
    """A node device came, went or changed.

    :param name: libvirt's name, e.g. ``pci_0000_84_00_0``
    :param how: ``created``, ``deleted`` or ``updated``
    """

    name: str
    how: str


@dataclass(frozen=True, slots=True)
class GuestChanged:
    """A guest changed its state.

    :param event: virDomainEventType
    :param detail: what that type says more
    :param moved: it was suspended because it has been migrated away (not because that failed)
    """

    uuid: str
    event: int
    detail: int
    moved: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The connection ended, e.g. because libvirtd restarts.

    :param reason: why, in a few words
    """

    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """Libvirt answers again after it stayed away, or hung, for longer than a call waits."""


Heard = DeviceChanged | GuestChanged | ConnectionClosed | ConnectionOpened


def event_of(heard: Heard, nodename: str | None) -> Event | None:
    """Return the event to emit for what libvirt said; None where it concerns nobody.

    :param nodename: the node whose inventory may have changed
    """
    match heard:
        case DeviceChanged(name, how) if name.startswith(_DEVICE_PREFIXES):
            return InventoryEvent(nodename, f"device {name} {how}")
        case ConnectionClosed(reason):
            return InventoryEvent(nodename, f"the connection to libvirt ended: {reason}")
        case ConnectionOpened():
            return InventoryEvent(nodename, "libvirt answers again")
        case GuestChanged():
            transition = transition_of(heard)
            return None if transition is None else LifecycleEvent(heard.uuid, transition)
    return None


def transition_of(heard: GuestChanged) -> Transition | None:
    """Return what happened to a guest in the terms of Nova, None where those have no word for it."""
    if heard.event != _SUSPENDED:
        return _TRANSITIONS.get(heard.event)
    if heard.detail == _FOR_POSTCOPY:
        return Transition.POSTCOPY_STARTED
    if heard.detail == _BY_MIGRATION and heard.moved:
        return Transition.MIGRATION_COMPLETED
    return Transition.PAUSED
