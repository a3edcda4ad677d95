"""The PCI devices of the host, read through libvirt; a device whose description did not change is not parsed
again.
"""

from __future__ import annotations

from functools import lru_cache

from drivers.libvirt.connection import Connection
from drivers.libvirt.pci.device import Companion, PciDevice, complete, parse_companion, parse_pci_device

# PFs with hundreds of VFs are not rare.
_parse_pci = lru_cache(maxsize=4096)(parse_pci_device)
_parse_companion = lru_cache(maxsize=4096)(parse_companion)


def read_devices(connection: Connection) -> tuple[tuple[PciDevice, ...], tuple[Companion, ...]]:
    """Return the PCI devices in the order of their addresses, and the network interfaces and vDPA devices.

    :raises HostReadError: libvirt does not answer, or not as documented
    """
    found = connection.node_devices("pci", "net", "vdpa")
    companions = tuple(
        _parse_companion(each.xml)
        for each in found
        if "net" in each.capabilities or "vdpa" in each.capabilities
    )
    vdpa = [each.parent for each in found if "vdpa" in each.capabilities]
    devices = [_parse_pci(each.xml) for each in found if "pci" in each.capabilities]
    return complete(devices, vdpa), companions
