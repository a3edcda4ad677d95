"""CPU descriptions: the ``<cpu>`` element of libvirt's documents, read and written.

https://libvirt.org/formatcaps.html and https://libvirt.org/formatdomain.html#cpu-model-and-topology
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr  # writes XML, parses none

from drivers.libvirt.xmltext import attribute_number, number, parse_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # for its type; parsing is defusedxml's


@dataclass(frozen=True, slots=True)
class CpuTopology:
    """How many sockets, cores a socket and threads a core the host has, as libvirt counts them."""

    sockets: int
    cores: int
    threads: int


@dataclass(frozen=True, slots=True)
class MaxPhysAddr:
    """How wide a physical address of a guest may be: ``mode`` is passthrough or emulate."""

    mode: str
    bits: int | None


@dataclass(frozen=True, slots=True)
class Cpu:
    """A CPU: the host's, or one to ask libvirt about. What libvirt does not tell is None."""

    arch: str | None = None
    model: str | None = None
    vendor: str | None = None
    topology: CpuTopology | None = None
    maxphysaddr: MaxPhysAddr | None = None
    features: frozenset[str] = field(default_factory=frozenset)


def parse_cpu(text: str) -> Cpu:
    """Return the CPU of a document whose root is ``<cpu>``, e.g. what baselineCPU answers."""
    return cpu_of(parse_xml(text, "cpu"), "cpu")


def cpu_of(element: Element, document: str) -> Cpu:
    """Return the CPU that an element describes; features with policy 'disable' are left out.

    :param element: ``<cpu>``
    :param document: the document it stands in, for messages
    """
    topology = element.find("topology")
    address = element.find("maxphysaddr")
    return Cpu(
        arch=element.findtext("arch"),
        model=element.findtext("model"),
        vendor=element.findtext("vendor"),
        topology=None if topology is None else _topology(topology, document),
        maxphysaddr=None
        if address is None
        else MaxPhysAddr(address.get("mode", ""), attribute_number(address, "bits", document)),
        features=frozenset(
            name
            for feature in element.findall("feature")
            if (name := feature.get("name")) and feature.get("policy") != "disable"
        ),
    )


def _topology(element: Element, document: str) -> CpuTopology:
    counts = [
        number(element.get(name), f"{name} of <topology>", document)
        for name in ("sockets", "cores", "threads")
    ]
    return CpuTopology(*counts)


def host_cpu_xml(cpu: Cpu) -> str:
    """Return the XML of a CPU as baselineCPU takes it."""
    parts = [
        _element(tag, text)
        for tag, text in (("arch", cpu.arch), ("model", cpu.model), ("vendor", cpu.vendor))
    ]
    if cpu.topology is not None:
        t = cpu.topology
        parts.append(f'<topology sockets="{t.sockets}" cores="{t.cores}" threads="{t.threads}"/>')
    if cpu.maxphysaddr is not None:
        bits = f' bits="{cpu.maxphysaddr.bits}"' if cpu.maxphysaddr.bits else ""
        parts.append(f"<maxphysaddr mode={quoteattr(cpu.maxphysaddr.mode)}{bits}/>")
    parts.extend(f"<feature name={quoteattr(name)}/>" for name in sorted(cpu.features))
    return f"<cpu>{''.join(parts)}</cpu>"


def guest_cpu_xml(model: str, policies: Iterable[tuple[str, str]]) -> str:
    """Return the XML of a guest's CPU as compareHypervisorCPU takes it.

    :param model: libvirt's name of the model
    :param policies: (feature, ``require`` or ``disable``)
    """
    features = "".join(
        f"<feature name={quoteattr(name)} policy={quoteattr(policy)}/>" for name, policy in sorted(policies)
    )
    return f'<cpu match="exact">{_element("model", model)}{features}</cpu>'


def _element(tag: str, text: str | None) -> str:
    return "" if text is None else f"<{tag}>{escape(text)}</{tag}>"
