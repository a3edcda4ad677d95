"""Domain XML: which devices an instance has been given, and where its CPUs run.

https://libvirt.org/formatdomain.html; virsh dumpxml. Only what says what an instance uses of the host is
read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drivers.libvirt.cpu_sets import parse_cpu_spec
from drivers.libvirt.pci.address import PciAddress
from drivers.libvirt.pci.device import address_of
from drivers.libvirt.xmltext import malformed_xml, number, parse_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # for its type; parsing is defusedxml's

_DOCUMENT = "domain"
_NOVA = "{http://openstack.org/xmlns/libvirt/nova/1.1}"


@dataclass(frozen=True, slots=True)
class GuestUse:
    """What an instance, running or not, has of the host.

    :param mdevs: uuids of its mediated devices, lower case
    :param pci: addresses of the host's PCI devices that it was given, as devices or as NICs
    :param vdpa: character devices of its vDPA NICs, e.g. ``/dev/vhost-vdpa-0``
    :param interfaces: interfaces of the host that its NICs take over whole (macvtap in passthrough mode)
    :param vcpus: how many virtual CPUs it has
    :param pins: virtual CPU → the host CPUs it may run on; only for those that are pinned
    :param cpu_policy: ``hw:cpu_policy`` of its flavor or ``hw_cpu_policy`` of its image where Nova noted it
    """

    uuid: str
    name: str
    mdevs: tuple[str, ...] = ()
    pci: tuple[PciAddress, ...] = ()
    vdpa: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    vcpus: int = 0
    pins: Mapping[int, frozenset[int]] = field(default_factory=dict)
    cpu_policy: str | None = None


def parse_domain(text: str) -> GuestUse:
    """Return what the XML of a domain says.

    :raises HostReadError: it is not as documented
    """
    root = parse_xml(text, _DOCUMENT)
    name = root.findtext("name", "")
    document = f"{_DOCUMENT} {name}"
    uuid = root.findtext("uuid", "").strip().lower()
    if not uuid:
        raise malformed_xml(document, "it has no uuid")
    return GuestUse(
        uuid=uuid,
        name=name,
        mdevs=tuple(_mdevs(root)),
        pci=tuple(dict.fromkeys(_pci(root, document))),
        vdpa=tuple(_sources(root, "vdpa", "dev")),
        interfaces=tuple(_passed_through_interfaces(root)),
        vcpus=number(root.findtext("vcpu", "1"), "<vcpu>", document),
        pins={
            number(pin.get("vcpu"), "vcpu of <vcpupin>", document): _cpus(pin, document)
            for pin in root.findall("cputune/vcpupin")
        },
        cpu_policy=_cpu_policy(root),
    )


def _mdevs(root: Element) -> Iterator[str]:
    for address in root.findall("devices/hostdev[@type='mdev']/source/address"):
        uuid = address.get("uuid")
        if uuid:
            yield uuid.lower()


def _pci(root: Element, document: str) -> Iterator[PciAddress]:
    for address in root.findall("devices/hostdev[@type='pci']/source/address"):
        yield address_of(address, document)
    for address in root.findall("devices/interface[@type='hostdev']/source/address[@type='pci']"):
        yield address_of(address, document)


def _sources(root: Element, kind: str, attribute: str) -> Iterator[str]:
    for source in root.findall(f"devices/interface[@type='{kind}']/source"):
        value = source.get(attribute)
        if value:
            yield value


def _passed_through_interfaces(root: Element) -> Iterator[str]:
    for source in root.findall("devices/interface[@type='direct']/source[@mode='passthrough']"):
        interface = source.get("dev")
        if interface:
            yield interface


def _cpus(pin: Element, document: str) -> frozenset[int]:
    try:
        return parse_cpu_spec(pin.get("cpuset", ""))
    except ValueError as error:
        raise malformed_xml(document, f"cpuset of <vcpupin>: {error}") from error


def _cpu_policy(root: Element) -> str | None:
    instance = root.find(f"metadata/{_NOVA}instance")
    if instance is None:
        return None
    spec = instance.find(f"{_NOVA}flavor/{_NOVA}extraSpecs/{_NOVA}extraSpec[@name='hw:cpu_policy']")
    if spec is not None:
        return spec.text
    image = instance.find(f"{_NOVA}image/{_NOVA}properties/{_NOVA}property[@name='hw_cpu_policy']")
    return None if image is None else image.text
