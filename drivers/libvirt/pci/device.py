"""Node devices of libvirt → the PCI devices of the host: plain ones, PFs, VFs, VFs that have a vDPA device.

https://libvirt.org/formatnode.html; virsh nodedev-list --cap pci; virsh nodedev-dumpxml
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from drivers.libvirt.pci.address import PciAddress
from drivers.libvirt.xmltext import malformed_xml, number, parse_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # for its type; parsing is defusedxml's

_DOCUMENT = "device"


class Kind(enum.StrEnum):
    """What a PCI device is; the values are Nova's names."""

    PLAIN = "type-PCI"
    PF = "type-PF"
    VF = "type-VF"
    VDPA = "vdpa"


@dataclass(frozen=True, slots=True)
class PciDevice:
    """A PCI function of the host.

    :param name: libvirt's name of it, e.g. ``pci_0000_84_00_0``
    :param vendor_id: four lower-case hexadecimal digits
    :param product_id: likewise
    :param parent: the PF that a VF belongs to; None for what is no VF
    :param serial: the serial number of the card in its vital product data (VPD)
    """

    name: str
    address: PciAddress
    vendor_id: str
    product_id: str
    kind: Kind = Kind.PLAIN
    parent: PciAddress | None = None
    serial: str | None = None
    numa_node: int | None = None

    @property
    def provider_address(self) -> PciAddress:
        """The address whose provider counts this device: a VF counts on its PF's."""
        return self.address if self.parent is None else self.parent


@dataclass(frozen=True, slots=True)
class Companion:
    """What the kernel made of a PCI device: a network interface, or a vDPA device.

    :param name: libvirt's name, e.g. ``net_enp3s0f1_52_54_00_00_00_01`` or ``vdpa_vdpa0``
    :param parent: the name of the PCI device
    :param handle: how a domain names it: the interface of a NIC, the character device of vDPA
    """

    name: str
    parent: str | None
    handle: str | None


def parse_pci_device(text: str) -> PciDevice:
    """Return what the XML of one PCI node device says.

    :raises HostReadError: it is not as documented
    """
    root = parse_xml(text, _DOCUMENT)
    name = root.findtext("name", "")
    capability = root.find("capability[@type='pci']")
    if capability is None:
        raise malformed_xml(f"{_DOCUMENT} {name}", "it has no pci capability")
    kind, parent = _kind(capability, name)
    numa = capability.find("numa")
    return PciDevice(
        name=name,
        address=PciAddress.of(
            *(_number(capability, field, name) for field in ("domain", "bus", "slot", "function"))
        ),
        vendor_id=_id(capability, "vendor", name),
        product_id=_id(capability, "product", name),
        kind=kind,
        parent=parent,
        serial=_serial(capability),
        numa_node=None if numa is None else number(numa.get("node"), "node of <numa>", f"{_DOCUMENT} {name}"),
    )


def parse_companion(text: str) -> Companion:
    """Return what the XML of a network or vDPA node device says.

    :raises HostReadError: it is not as documented
    """
    root = parse_xml(text, _DOCUMENT)
    handle = root.findtext("capability[@type='net']/interface") or root.findtext(
        "capability[@type='vdpa']/chardev"
    )
    return Companion(root.findtext("name", ""), root.findtext("parent"), handle)


def complete(devices: Iterable[PciDevice], vdpa_parents: Iterable[str | None]) -> tuple[PciDevice, ...]:
    """Return the devices with what only others tell, in the order of their addresses.

    A VF below which there is a vDPA device is of that kind. A VF without a serial number has that of its PF
    (vDPA ones do not: so it is in Nova).

    :param vdpa_parents: names of the devices that have a vDPA device
    """
    devices = sorted(devices, key=lambda each: str(each.address))
    serials = {each.address: each.serial for each in devices}
    of_vdpa = set(vdpa_parents)
    completed = []
    for device in devices:
        if device.kind is not Kind.VF:
            completed.append(device)
        elif device.name in of_vdpa:
            completed.append(replace(device, kind=Kind.VDPA))
        else:
            assert device.parent is not None
            completed.append(replace(device, serial=device.serial or serials.get(device.parent)))
    return tuple(completed)


def as_nova_names_it(device: PciDevice) -> dict[str, Any]:
    """Return what Nova keeps of a PCI device in its database, as far as libvirt tells it."""
    described: dict[str, Any] = {
        "dev_id": device.name,
        "address": str(device.address),
        "product_id": device.product_id,
        "vendor_id": device.vendor_id,
        "numa_node": device.numa_node,
        "label": f"label_{device.vendor_id}_{device.product_id}",
        "dev_type": device.kind.value,
    }
    if device.parent is not None:
        described["parent_addr"] = str(device.parent)
    if device.serial:
        described["capabilities"] = {"vpd": {"card_serial_number": device.serial}}
    return described


def _kind(capability: Element, name: str) -> tuple[Kind, PciAddress | None]:
    for function in capability.findall("capability"):
        if function.get("type") == "virt_functions":
            return Kind.PF, None
        address = function.find("address")
        if function.get("type") == "phys_function" and address is not None:
            return Kind.VF, address_of(address, f"{_DOCUMENT} {name}")
    return Kind.PLAIN, None


def address_of(element: Element, document: str) -> PciAddress:
    """Return the PCI address of an ``<address domain= bus= slot= function=>``, all of them ``0x…``.

    :raises HostReadError: one of them is no number
    """
    fields = ("domain", "bus", "slot", "function")
    return PciAddress.of(
        *(number(element.get(each, "0"), f"{each} of <address>", document, 16) for each in fields)
    )


def _number(capability: Element, tag: str, name: str) -> int:
    return number(capability.findtext(tag), f"<{tag}>", f"{_DOCUMENT} {name}")


def _id(capability: Element, tag: str, name: str) -> str:
    element = capability.find(tag)
    given = None if element is None else element.get("id")
    return f"{number(given, f'id of <{tag}>', f'{_DOCUMENT} {name}', 16):04x}"


def _serial(capability: Element) -> str | None:
    fields = capability.findall("capability[@type='vpd']/fields[@access='readonly']/serial_number")
    return fields[-1].text if fields else None
