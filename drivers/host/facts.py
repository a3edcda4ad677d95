"""All facts of a machine together, and the document that ``detect`` prints of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from drivers.host.cpu import CpuFacts, read_cpu
from drivers.host.memory import MemoryFacts, hugepages_document, read_memory
from drivers.host.numa import NumaFacts, NumaNode, read_numa
from drivers.host.pci import PciDevice, pci_document, read_pci
from drivers.root import HostRoot

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a machine tells of itself; None for what it does not tell."""

    cpu: CpuFacts
    memory: MemoryFacts | None
    numa: NumaFacts | None
    pci: Mapping[str, PciDevice] | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the machine says that cannot be so, one line each."""
        return self.numa.warnings if self.numa else ()


def read_facts(root: HostRoot) -> HostFacts:
    """Return the facts of the machine below ``root``.

    :raises HostReadError: something is there but cannot be read, or not be understood
    """
    cpu = read_cpu(root)
    memory = read_memory(root)
    return HostFacts(cpu, memory, read_numa(root, cpu.online, memory), read_pci(root))


def facts_document(facts: HostFacts) -> dict[str, Any]:
    """Return the facts as JSON has them: null is what the machine does not tell. Only keys may be added."""
    cpu = facts.cpu
    return {
        "format_version": FORMAT_VERSION,
        "arch": cpu.arch,
        "cpu_model": cpu.model,
        "cpu_vendor": cpu.vendor,
        "online_cpus": _sorted(cpu.online),
        "cores": cpu.cores,
        "sockets": cpu.sockets,
        "smt": cpu.smt,
        "cpu_flags": _sorted(cpu.flags),
        "mem_total_kib": facts.memory.total_kib if facts.memory else None,
        "numa_nodes": None
        if facts.numa is None
        else {str(number): _node(node) for number, node in sorted(facts.numa.nodes.items())},
        "pci_devices": None if facts.pci is None else pci_document(facts.pci),
        "warnings": list(facts.warnings),
    }


def _node(node: NumaNode) -> dict[str, Any]:
    return {
        "cpus": sorted(node.local_cpus),
        "memory_only": not node.cpus,
        "memory_kib": node.memory_kib,
        "hugepages": hugepages_document(node.hugepages),
    }


def _sorted(values: Iterable[Any] | None) -> list[Any] | None:
    return None if values is None else sorted(values)
