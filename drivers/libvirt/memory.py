"""MEMORY_MB: the host's memory as libvirt's node info gives it, or ``[libvirt] file_backed_memory``."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.errors import DriverOptionError
from drivers.root import HostRoot, malformed
from provider_tree.source import Source

_FILE_BACKED = "[libvirt] file_backed_memory"


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """The options that memory depends on; ``file_backed`` in MiB, 0 for off."""

    file_backed: int
    virt_type: str
    ram_allocation_ratio: float | None
    reserved_host_memory_mb: int


def check_memory_settings(settings: MemorySettings) -> None:
    """Refuse file-backed memory where it cannot work.

    :raises DriverOptionError: with containers, with overcommitment, or with reserved memory
    """
    if not settings.file_backed:
        return
    name = f"{_FILE_BACKED} = {settings.file_backed}"
    if settings.virt_type not in {"kvm", "qemu"}:
        raise DriverOptionError(
            f"{name} cannot go with [libvirt] virt_type = {settings.virt_type}",
            "use virt_type kvm or qemu, or unset it",
        )
    if settings.ram_allocation_ratio != 1.0:
        raise DriverOptionError(
            f"{name} needs [DEFAULT] ram_allocation_ratio = 1.0, not {settings.ram_allocation_ratio}",
            "set ram_allocation_ratio = 1.0 (unset is not enough)",
        )
    if settings.reserved_host_memory_mb:
        raise DriverOptionError(
            f"{name} cannot go with [DEFAULT] reserved_host_memory_mb = {settings.reserved_host_memory_mb}",
            "set reserved_host_memory_mb = 0: file-backed memory is not the host's",
        )


def memory_total(file_backed: int, node_mib: int) -> Source:
    """Return the total of MEMORY_MB in MiB (``value``), and which of the two it is.

    :param file_backed: ``file_backed_memory`` in MiB, 0 where unset
    :param node_mib: the host's memory in MiB as libvirt's node info gives it
    """
    node = Source("driver", "memory of libvirt's node info", node_mib)
    return Source("configuration", _FILE_BACKED, file_backed).over(node) if file_backed else node


def read_available_mib(root: HostRoot) -> int:
    """Return the memory in MiB that is free or holds only caches, from /proc/meminfo (proc(5))."""
    return parse_available_mib(root.read_text("proc/meminfo"))


def parse_available_mib(text: str) -> int:
    """Return MemFree, Buffers and Cached of /proc/meminfo together, in MiB.

    :raises HostReadError: one of them is missing
    """
    sizes = {name: rest.split() for name, _, rest in (line.partition(":") for line in text.splitlines())}
    total_kib = 0
    for name in ("MemFree", "Buffers", "Cached"):
        value = sizes.get(name, [])
        if not value or not value[0].isdigit():
            raise malformed("/proc/meminfo", f"a line '{name}: N kB'", text[:60])
        total_kib += int(value[0])
    return total_kib // 1024
