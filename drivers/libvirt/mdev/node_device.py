"""Node devices of libvirt → devices that mediated devices can be made of (GPUs), and those that exist.

https://libvirt.org/formatnode.html (capabilities mdev_types and mdev); virsh nodedev-list --cap mdev_types
"""

from __future__ import annotations

import uuid as uuidlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from drivers.libvirt.xmltext import malformed_xml, number, parse_xml

_DOCUMENT = "device"


@dataclass(frozen=True, slots=True)
class MdevParent:
    """A device of which mediated devices can be made: a physical GPU, or a VF of one.

    :param name: libvirt's name of it, e.g. ``pci_0000_84_00_0``
    :param available: type → how many more of it can be made now
    """

    name: str
    available: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Mdev:
    """A mediated device that exists, whether or not an instance uses it.

    :param parent: libvirt's name of the device that it is made of
    """

    name: str
    uuid: str
    parent: str
    type: str


def parse_mdev_parent(text: str) -> MdevParent:
    """Return what the XML of a node device says of the types that it supports.

    :raises HostReadError: it is not as documented
    """
    root = parse_xml(text, _DOCUMENT)
    name = root.findtext("name", "")
    document = f"{_DOCUMENT} {name}"
    available = {
        each.get("id", ""): number(each.findtext("availableInstances"), "<availableInstances>", document)
        for capability in root.iter("capability")
        if capability.get("type") == "mdev_types"
        for each in capability.findall("type")
    }
    return MdevParent(name, MappingProxyType(available))


def parse_mdev(text: str) -> Mdev:
    """Return what the XML of a mediated device says.

    :raises HostReadError: it is not as documented
    """
    root = parse_xml(text, _DOCUMENT)
    name = root.findtext("name", "")
    document = f"{_DOCUMENT} {name}"
    capability = root.find("capability[@type='mdev']")
    kind = None if capability is None else capability.find("type")
    if capability is None or kind is None:
        raise malformed_xml(document, "it has no mdev capability with a type")
    uuid = capability.findtext("uuid")
    return Mdev(
        name=name,
        uuid=uuid.strip().lower() if uuid else _uuid_in(name, document),
        parent=root.findtext("parent", ""),
        type=kind.get("id", ""),
    )


def _uuid_in(name: str, document: str) -> str:
    """Return the uuid that libvirt before 7.3 tells only in the name: mdev_UUID, or mdev_UUID_ADDRESS, with _
    for -.
    """
    try:
        return str(uuidlib.UUID(name.removeprefix("mdev_")[:36].replace("_", "-")))
    except ValueError as error:
        raise malformed_xml(document, "neither it nor its name has a uuid") from error
