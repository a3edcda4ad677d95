"""The capabilities document: the host's CPU and NUMA cells, and what guests it can run.

https://libvirt.org/formatcaps.html; virsh capabilities
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from drivers.libvirt.cpu_sets import parse_cpu_spec
from drivers.libvirt.cpu_xml import Cpu, cpu_of
from drivers.libvirt.xmltext import attribute_number, malformed_xml, number, parse_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # for its type; parsing is defusedxml's

_DOCUMENT = "capabilities"
_KIB = {
    "B": 1 / 1024,
    "bytes": 1 / 1024,
    "KiB": 1,
    "k": 1,
    "KB": 1000 / 1024,
    "MiB": 1024,
    "M": 1024,
    "GiB": 1024**2,
}


@dataclass(frozen=True, slots=True)
class NumaCpu:
    """A logical CPU of a NUMA cell. An offline one has neither socket nor siblings."""

    id: int
    socket_id: int | None
    siblings: frozenset[int]


@dataclass(frozen=True, slots=True)
class NumaCell:
    """A NUMA cell: its memory in KiB, its pages as size in KiB → how many there are, its CPUs."""

    id: int
    memory_kib: int
    pages: Mapping[int, int]
    cpus: tuple[NumaCpu, ...]


@dataclass(frozen=True, slots=True)
class GuestDomain:
    """How guests of one domain type (qemu, kvm, …) are run.

    :param emulator: path of the binary; None where there is none (containers)
    :param aliases: alias → machine type, e.g. ``pc`` → ``pc-i440fx-7.2``
    """

    type: str | None
    emulator: str | None
    aliases: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Guest:
    """The guests of one architecture: domain type → how they are run, ``default`` for other types."""

    arch: str
    os_type: str | None
    default: GuestDomain
    domains: Mapping[str, GuestDomain]

    def domain(self, virt_type: str) -> GuestDomain:
        """Return how guests of that domain type are run, or else those of the default type."""
        return self.domains.get(virt_type, self.default)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A host as libvirt describes it. ``cells`` is empty where libvirt tells no NUMA topology."""

    uuid: str | None
    cpu: Cpu
    cells: tuple[NumaCell, ...]
    guests: tuple[Guest, ...]

    @property
    def arch(self) -> str:
        """The host's architecture as libvirt names it, e.g. ``x86_64``; empty when unknown."""
        return self.cpu.arch or ""

    @property
    def smt(self) -> bool:
        """Whether a core of the host runs several threads; siblings tell, the topology's counts may not."""
        return any(len(cpu.siblings) > 1 for cell in self.cells for cpu in cell.cpus)


def parse_capabilities(text: str) -> Capabilities:
    """Return what a capabilities document says.

    :raises HostReadError: it is no XML, or not as documented
    """
    root = parse_xml(text, _DOCUMENT)
    host = root.find("host")
    if host is None:
        raise malformed_xml(_DOCUMENT, "it has no <host>")
    cpu = host.find("cpu")
    return Capabilities(
        uuid=host.findtext("uuid"),
        cpu=Cpu() if cpu is None else cpu_of(cpu, _DOCUMENT),
        cells=tuple(_cell(cell) for cell in host.findall("topology/cells/cell")),
        guests=tuple(_guest(guest) for guest in root.findall("guest") if guest.find("arch") is not None),
    )


def _cell(element: Element) -> NumaCell:
    memory = element.find("memory")
    return NumaCell(
        id=number(element.get("id"), "id of <cell>", _DOCUMENT),
        memory_kib=0 if memory is None else _memory_kib(memory),
        pages=MappingProxyType(
            {
                number(page.get("size"), "size of <pages>", _DOCUMENT): number(
                    page.text, "<pages>", _DOCUMENT
                )
                for page in element.findall("pages")
            }
        ),
        cpus=tuple(_numa_cpu(cpu) for cpu in element.findall("cpus/cpu")),
    )


def _memory_kib(element: Element) -> int:
    unit = element.get("unit", "KiB")
    if unit not in _KIB:
        raise malformed_xml(_DOCUMENT, f"the unit of <memory> is {unit!r}")
    return int(number(element.text, "<memory>", _DOCUMENT) * _KIB[unit])


def _numa_cpu(element: Element) -> NumaCpu:
    try:
        siblings = parse_cpu_spec(element.get("siblings", ""))
    except ValueError as error:
        raise malformed_xml(_DOCUMENT, f"siblings of <cpu>: {error}") from error
    return NumaCpu(
        id=number(element.get("id"), "id of <cpu>", _DOCUMENT),
        socket_id=attribute_number(element, "socket_id", _DOCUMENT),
        siblings=siblings,
    )


def _guest(element: Element) -> Guest:
    """Return one ``<guest>``.

    A ``<domain>`` without children takes emulator and machines from the elements beside it; one with
    children brings its own.
    """
    arch = element.find("arch")
    assert arch is not None
    childless = [domain.get("type") for domain in arch.findall("domain") if not len(domain)]
    default = _domain(arch, childless[-1] if childless else None)
    domains = {kind: default for kind in childless if kind}
    for domain in arch.findall("domain"):
        kind = domain.get("type")
        if len(domain) and kind:
            domains[kind] = _domain(domain, kind)
    return Guest(arch.get("name", ""), element.findtext("os_type"), default, MappingProxyType(domains))


def _domain(element: Element, kind: str | None) -> GuestDomain:
    aliases = {
        machine.text or "": canonical
        for machine in element.findall("machine")
        if (canonical := machine.get("canonical")) is not None
    }
    return GuestDomain(kind, element.findtext("emulator"), MappingProxyType(aliases))
