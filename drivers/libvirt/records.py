"""What a connection answers, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Versions:
    """Version numbers as libvirt counts them: major * 1,000,000 + minor * 1,000 + release.

    :param hypervisor: of QEMU, Xen, …; 0 where libvirt does not know
    :param type: the hypervisor's driver inside libvirt, e.g. ``QEMU``
    """

    libvirt: int
    hypervisor: int
    type: str

    def at_least(
        self, libvirt: tuple[int, int, int] | None = None, hypervisor: tuple[int, int, int] | None = None
    ) -> bool:
        """Tell whether both versions, where asked for, are that new."""
        return (libvirt is None or self.libvirt >= version_number(libvirt)) and (
            hypervisor is None or self.hypervisor >= version_number(hypervisor)
        )


def version_number(version: tuple[int, int, int]) -> int:
    """Return (major, minor, release) as the number that libvirt makes of it."""
    major, minor, release = version
    return major * 1_000_000 + minor * 1_000 + release


def version_text(number: int) -> str:
    """Return a version number of libvirt's as ``major.minor.release``."""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """The host in numbers: memory in MiB, CPUs that are online, their frequency in MHz."""

    memory_mib: int
    cpus: int
    mhz: int


@dataclass(frozen=True, slots=True)
class Domain:
    """A guest: libvirt's name and uuid, and whether it runs."""

    name: str
    uuid: str
    running: bool


@dataclass(frozen=True, slots=True)
class DomainUse:
    """What a running guest takes: CPUs (1 where libvirt cannot count), memory in KiB (None: unknown)."""

    uuid: str
    vcpus: int
    memory_kib: int | None


@dataclass(frozen=True, slots=True)
class NodeDevice:
    """A device of the host: libvirt's name, its parent's, its capabilities (``pci``, ``net``, …), its XML."""

    name: str
    parent: str | None
    capabilities: tuple[str, ...]
    xml: str


@dataclass(frozen=True, slots=True)
class BlockSize:
    """The sizes of a guest's disk in bytes: what the guest sees, and what it takes on the host."""

    capacity: int
    allocation: int
