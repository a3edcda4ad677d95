"""The guests: what they take, and how much disk they have been promised beyond what they use."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.errors import Absent, HostReadError
from drivers.libvirt.connection import Connection
from drivers.libvirt.errors import LibvirtCallFailed
from drivers.libvirt.xmltext import parse_xml
from drivers.root import HostRoot


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of a guest that lies in a file of the host.

    :param target: what the guest calls it, e.g. ``vda``
    :param format: ``raw``, ``qcow2``, …; None where the description does not say
    """

    target: str
    path: str
    format: str | None


@dataclass(frozen=True, slots=True)
class GuestUse:
    """What the running guests take together: virtual CPUs, and memory in MiB."""

    vcpus: int
    memory_mib: int


def parse_file_disks(text: str) -> tuple[Disk, ...]:
    """Return the disks of a domain's XML that lie in files; block devices and networked ones are volumes."""
    found = []
    for disk in parse_xml(text, "domain").findall("devices/disk"):
        source, target, driver = disk.find("source"), disk.find("target"), disk.find("driver")
        path = None if source is None else source.get("file")
        if path and target is not None:
            found.append(Disk(target.get("dev", ""), path, None if driver is None else driver.get("type")))
    return tuple(found)


def read_use(connection: Connection) -> GuestUse:
    """Return what the running guests take."""
    uses = connection.domain_uses()
    return GuestUse(sum(use.vcpus for use in uses), sum(use.memory_kib or 0 for use in uses) // 1024)


def read_overcommitted(connection: Connection, root: HostRoot) -> int:
    """Return how many bytes the guests' disk files may still grow, all together.

    Guests and disks that vanish while they are counted, and files that we may not read, count nothing.
    """
    return sum(
        _growth(connection, root, uuid, disk)
        for uuid, text in connection.domain_xmls().items()
        for disk in parse_file_disks(text)
    )


def _growth(connection: Connection, root: HostRoot, uuid: str, disk: Disk) -> int:
    try:
        if disk.format == "qcow2":
            size = connection.block_size(uuid, disk.target)
            return max(0, size.capacity - size.allocation)
        info = root.locate(disk.path).stat()
        return info.st_size - info.st_blocks * 512
    except (LibvirtCallFailed, Absent, HostReadError, OSError):
        return 0
