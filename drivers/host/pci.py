"""The PCI devices: /sys/bus/pci/devices (Documentation/ABI/testing/sysfs-bus-pci).

Where an attribute is missing, the configuration space may have it (linux/pci_regs.h).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.errors import Absent
from drivers.root import HostRoot, malformed

PCI_DIR = "sys/bus/pci/devices"

# Offsets of 16-bit little-endian words: PCI_VENDOR_ID, PCI_DEVICE_ID, PCI_CLASS_DEVICE.
_OFFSETS = {"vendor": 0x00, "device": 0x02, "class": 0x0A}
_ABSENT_DEVICE = 0xFFFF


@dataclass(frozen=True, slots=True)
class PciDevice:
    """One PCI device; None for what it does not tell. Numbers are four hexadecimal digits, as in lspci -n.

    :ivar pci_class: base class and subclass, e.g. ``0200`` for an Ethernet controller
    :ivar numa_node: the NUMA node that it is attached to; None also where the firmware does not say
    """

    pci_class: str | None
    vendor_id: str | None
    product_id: str | None
    numa_node: int | None


def read_pci(root: HostRoot) -> dict[str, PciDevice] | None:
    """Return address (``0000:00:05.0``) → device; None where there is no such directory.

    :raises HostReadError: an attribute cannot be read, or is no number
    """
    try:
        addresses = root.list_dir(PCI_DIR)
    except Absent:
        return None
    return {address: read_device(root, address) for address in addresses}


def read_device(root: HostRoot, address: str) -> PciDevice:
    """Return what one device tells. Errors as :func:`read_pci`."""
    numbers: dict[str, str | None] = {name: _attribute(root, address, name) for name in _OFFSETS}
    if None in numbers.values():
        space = _config_space(root, address)
        numbers = {name: value or space.get(name) for name, value in numbers.items()}
    node = root.find_int(f"{PCI_DIR}/{address}/numa_node")
    return PciDevice(
        pci_class=numbers["class"],
        vendor_id=numbers["vendor"],
        product_id=numbers["device"],
        numa_node=node if node is not None and node >= 0 else None,
    )


def _attribute(root: HostRoot, address: str, name: str) -> str | None:
    """Return an attribute such as ``0x8086`` as ``8086``; a class (``0x020000``) without its last byte."""
    path = f"{PCI_DIR}/{address}/{name}"
    text = root.find_text(path)
    if text is None:
        return None
    try:
        number = int(text.replace("\0", "").strip(), 16)
    except ValueError as error:
        raise malformed(root.display(path), "a hexadecimal number", text) from error
    return f"{number >> 8 if name == 'class' else number:04x}"


def _config_space(root: HostRoot, address: str) -> dict[str, str]:
    try:
        return parse_config_space(root.read_bytes(f"{PCI_DIR}/{address}/config"))
    except Absent:
        return {}


def parse_config_space(space: bytes) -> dict[str, str]:
    """Return vendor, device and class of a configuration space; nothing where the device does not answer."""
    if len(space) < 16 or int.from_bytes(space[:2], "little") == _ABSENT_DEVICE:
        return {}
    return {name: f"{int.from_bytes(space[at : at + 2], 'little'):04x}" for name, at in _OFFSETS.items()}


def pci_document(devices: Mapping[str, PciDevice]) -> dict[str, dict[str, str | int | None]]:
    """Return devices as JSON has them, by address."""
    return {
        address: {
            "class": device.pci_class,
            "vendor_id": device.vendor_id,
            "product_id": device.product_id,
            "numa_node": device.numa_node,
        }
        for address, device in sorted(devices.items())
    }
