"""Which PCI device is in which instance: what domains say, in terms of the host's devices."""

from __future__ import annotations

from collections.abc import Iterable

from drivers.libvirt.domain_xml import GuestUse
from drivers.libvirt.pci.address import PciAddress
from drivers.libvirt.pci.device import Companion, PciDevice


def assigned_devices(
    guests: Iterable[GuestUse], devices: Iterable[PciDevice], companions: Iterable[Companion]
) -> dict[PciAddress, str]:
    """Return address → uuid of the instance that has the device, running or not.

    A domain names a device by its address, by its vDPA character device, or by the network interface that it
    takes over.

    :param companions: the host's network interfaces and vDPA devices
    """
    address_of_name = {device.name: device.address for device in devices}
    address_of_handle = {
        each.handle: address_of_name[each.parent]
        for each in companions
        if each.handle and each.parent in address_of_name
    }
    assigned: dict[PciAddress, str] = {}
    for guest in guests:
        by_handle = (address_of_handle.get(handle) for handle in (*guest.vdpa, *guest.interfaces))
        for address in (*guest.pci, *filter(None, by_handle)):
            assigned[address] = guest.uuid
    return assigned
