"""Makes the XML that libvirt would give of machines that are not at hand, and a connection that gives it.

The shapes are those of https://libvirt.org/formatnode.html, formatdomain.html, formatdomaincaps.html and
formatcaps.html; the machines are made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

from drivers.libvirt.hypervisor import Hypervisor
from drivers.libvirt.parts import Part
from drivers.libvirt.records import NodeDevice, Versions, version_number
from drivers.root import HostRoot
from provider_tree.tree import ProviderTree

NODE = "host1"
ROOT_UUID = "11111111-2222-3333-4444-555555555555"


def device_name(address: str) -> str:
    return "pci_" + address.replace(":", "_").replace(".", "_")


def _address_elements(address: str) -> str:
    domain, bus, slot, function = (int(each, 16) for each in re.split("[:.]", address))
    return f"<domain>{domain}</domain><bus>{bus}</bus><slot>{slot}</slot><function>{function}</function>"


def address_element(address: str, kind: str = "") -> str:
    domain, bus, slot, function = re.split("[:.]", address)
    more = f"type='{kind}' " if kind else ""
    return f"<address {more}domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' function='0x{function}'/>"


def pci_device(
    address: str,
    vendor: str = "8086",
    product: str = "1520",
    *,
    vfs: Sequence[str] | None = None,
    pf: str | None = None,
    serial: str | None = None,
    mdev_types: Mapping[str, int] | None = None,
    numa_node: int | None = None,
) -> NodeDevice:
    """A PCI device. ``vfs``: it is a PF with these VFs (there may be none yet); ``pf``: it is a VF of that
    PF.
    """
    inner = _address_elements(address)
    inner += f"<product id='0x{product}'>Product</product><vendor id='0x{vendor}'>Vendor</vendor>"
    if vfs is not None:
        addresses = "".join(map(address_element, vfs))
        inner += f"<capability type='virt_functions' maxCount='8'>{addresses}</capability>"
    if pf is not None:
        inner += f"<capability type='phys_function'>{address_element(pf)}</capability>"
    if serial is not None:
        inner += (
            "<capability type='vpd'><name>Card</name><fields access='readonly'>"
            f"<manufacture_id>M</manufacture_id><serial_number>{serial}</serial_number></fields></capability>"
        )
    if mdev_types is not None:
        inner += f"<capability type='mdev_types'>{_mdev_types(mdev_types)}</capability>"
    if numa_node is not None:
        inner += f"<numa node='{numa_node}'/>"
    capabilities = ("pci", *(("mdev_types",) if mdev_types is not None else ()))
    return _node_device(
        device_name(address), "computer", "pci", f"<class>0x020000</class>{inner}", capabilities
    )


def _mdev_types(types: Mapping[str, int]) -> str:
    return "".join(
        f"<type id='{name}'><name>GRID {name}</name><deviceAPI>vfio-pci</deviceAPI>"
        f"<availableInstances>{available}</availableInstances></type>"
        for name, available in types.items()
    )


def virtual_mdev_parent(name: str, types: Mapping[str, int]) -> NodeDevice:
    inner = f"<capability type='mdev_types'>{_mdev_types(types)}</capability>"
    return _node_device(name, "computer", "mdev_types", inner, ("mdev_types",))


def mdev(uuid: str, parent: str, kind: str, *, tells_uuid: bool = True) -> NodeDevice:
    """A mediated device; libvirt before 7.3 tells its uuid only in its name."""
    name = "mdev_" + uuid.replace("-", "_")
    inner = f"<type id='{kind}'/><iommuGroup number='12'/>"
    if tells_uuid:
        name += parent.removeprefix("pci")
        inner += f"<uuid>{uuid}</uuid><parent_addr>0000:00:00.0</parent_addr>"
    return _node_device(name, parent, "mdev", inner, ("mdev",))


def nic(interface: str, parent: str) -> NodeDevice:
    inner = f"<interface>{interface}</interface><address>52:54:00:00:00:01</address><link state='up'/>"
    return _node_device(f"net_{interface}_52_54_00_00_00_01", parent, "net", inner, ("net",))


def vdpa(number: int, parent: str) -> NodeDevice:
    inner = f"<chardev>/dev/vhost-vdpa-{number}</chardev>"
    return _node_device(f"vdpa_vdpa{number}", parent, "vdpa", inner, ("vdpa",))


def _node_device(name: str, parent: str, kind: str, inner: str, capabilities: tuple[str, ...]) -> NodeDevice:
    text = (
        f"<device><name>{name}</name><path>/sys/devices/{name}</path><parent>{parent}</parent>"
        f"<driver><name>driver</name></driver><capability type='{kind}'>{inner}</capability></device>"
    )
    return NodeDevice(name, parent, capabilities, text)


def hostdev(address: str) -> str:
    return (
        "<hostdev mode='subsystem' type='pci' managed='yes'><driver name='vfio'/>"
        f"<source>{address_element(address)}</source>"
        "<address type='pci' domain='0x0000' bus='0x07' slot='0x00' function='0x0'/></hostdev>"
    )


def hostdev_nic(address: str) -> str:
    return (
        "<interface type='hostdev' managed='yes'><mac address='fa:16:3e:00:00:01'/>"
        f"<source>{address_element(address, 'pci')}</source></interface>"
    )


def vdpa_nic(number: int) -> str:
    return f"<interface type='vdpa'><source dev='/dev/vhost-vdpa-{number}'/></interface>"


def macvtap(interface: str, mode: str = "passthrough") -> str:
    source = f"<source dev='{interface}' mode='{mode}'/>"
    return f"<interface type='direct'>{source}<model type='virtio'/></interface>"


def mdev_hostdev(uuid: str) -> str:
    return (
        "<hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'>"
        f"<source><address uuid='{uuid}'/></source></hostdev>"
    )


def domain(
    uuid: str,
    *devices: str,
    vcpus: int = 1,
    pins: Mapping[int, str] | None = None,
    policy: str | None = None,
    image_policy: str | None = None,
) -> str:
    """A guest. ``pins``: virtual CPU → cpuset; ``policy``, ``image_policy``: what Nova noted of
    hw:cpu_policy.
    """
    tune = "".join(f"<vcpupin vcpu='{vcpu}' cpuset='{cpus}'/>" for vcpu, cpus in (pins or {}).items())
    metadata = ""
    if policy is not None or image_policy is not None:
        spec = f"<nova:extraSpec name='hw:cpu_policy'>{policy}</nova:extraSpec>" if policy else ""
        image = f"<nova:property name='hw_cpu_policy'>{image_policy}</nova:property>" if image_policy else ""
        metadata = (
            "<metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'>"
            f"<nova:flavor name='f' id='1'><nova:extraSpecs>{spec}</nova:extraSpecs></nova:flavor>"
            f"<nova:image uuid=''><nova:properties>{image}</nova:properties></nova:image>"
            "</nova:instance></metadata>"
        )
    return (
        f"<domain type='kvm' id='1'><name>instance-{uuid[:8]}</name><uuid>{uuid}</uuid>{metadata}"
        f"<memory unit='KiB'>1048576</memory><vcpu placement='static'>{vcpus}</vcpu>"
        f"<cputune><shares>1024</shares>{tune}</cputune><os><type arch='x86_64'>hvm</type></os>"
        f"<devices>{''.join(devices)}</devices></domain>"
    )


def domain_capabilities(machine: str = "pc-q35-9.0", features: str = "") -> str:
    return (
        "<domainCapabilities><path>/usr/bin/qemu-system-x86_64</path><domain>kvm</domain>"
        f"<machine>{machine}</machine><arch>x86_64</arch><vcpu max='288'/><os supported='yes'/>"
        f"<features>{features}</features></domainCapabilities>"
    )


def sev(guests: int | None, es_guests: int | None, supported: str = "yes") -> str:
    inner = "" if guests is None else f"<maxGuests>{guests}</maxGuests>"
    inner += "" if es_guests is None else f"<maxESGuests>{es_guests}</maxESGuests>"
    return (
        f"<sev supported='{supported}'><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits>{inner}</sev>"
    )


def launch_security(*kinds: str, supported: str = "yes") -> str:
    inner = "".join(f"<value>{kind}</value>" for kind in kinds)
    return f"<launchSecurity supported='{supported}'><enum name='sectype'>{inner}</enum></launchSecurity>"


def host_capabilities(arch: str = "x86_64", machines: Sequence[str] = ("pc-q35-9.0",)) -> str:
    inner = "".join(f"<machine canonical='{machine}' maxCpus='288'>q35</machine>" for machine in machines)
    return (
        f"<capabilities><host><uuid>{ROOT_UUID}</uuid><cpu><arch>{arch}</arch></cpu></host>"
        f"<guest><os_type>hvm</os_type><arch name='{arch}'><wordsize>64</wordsize>"
        f"<emulator>/usr/bin/qemu-system-{arch}</emulator>{inner}<domain type='kvm'/></arch></guest>"
        "</capabilities>"
    )


class Machine:
    """Stands for a connection to a libvirt: gives what it was made of.

    :ivar devices: its node devices; may be changed
    :ivar domains: uuid → XML; may be changed
    :ivar inactive: names of mediated devices that are not started
    """

    epoch = 1
    uri = "test:///made-up"

    def __init__(
        self,
        devices: Iterable[NodeDevice] = (),
        domains: Iterable[str] = (),
        *,
        features: str = "",
        arch: str = "x86_64",
        libvirt: tuple[int, int, int] = (10, 0, 0),
        qemu: tuple[int, int, int] = (9, 0, 0),
    ) -> None:
        self.devices = list(devices)
        self.inactive: set[str] = set()
        self.domains: dict[str, str] = {}
        for text in domains:
            self.start(text)
        self._features = features
        self._arch = arch
        self._versions = Versions(version_number(libvirt), version_number(qemu), "QEMU")

    def start(self, text: str) -> None:
        found = re.search("<uuid>(.*?)</uuid>", text)
        assert found
        self.domains[found[1]] = text

    def versions(self) -> Versions:
        return self._versions

    def capabilities(self) -> str:
        return host_capabilities(self._arch)

    def domain_capabilities(self, emulator: str, arch: str, machine: str, virt_type: str) -> str:
        return domain_capabilities(machine, self._features)

    def baseline_cpu(self, cpu_xml: str) -> None:
        return None

    def node_devices(self, *capabilities: str) -> list[NodeDevice]:
        return [each for each in self.devices if set(capabilities) & set(each.capabilities)]

    def inactive_mdevs(self) -> frozenset[str]:
        return frozenset(self.inactive)

    def domain_xmls(self) -> dict[str, str]:
        return dict(self.domains)


def hypervisor(machine: Machine, root: Path | str = "/nonexistent") -> Hypervisor:
    return Hypervisor(machine, "kvm", (), HostRoot(root))  # type: ignore[arg-type]  # stands for a Connection


def configuration(
    directory: Path, text: str, *parts: type[Part], more: Mapping[str, Sequence[cfg.Opt]] | None = None
) -> cfg.ConfigOpts:
    """The options of parts, and others, with the contents of a configuration file."""
    file = directory / "nova.conf"
    file.write_text(text)
    conf = cfg.ConfigOpts()
    for options in (*(part.options for part in parts), more or {}):
        for group, opts in options.items():
            conf.register_opts(opts, group=None if group == "DEFAULT" else group)
    conf(["--config-file", str(file)], project="nova", default_config_files=[])
    return conf


def new_tree(inventory: Mapping[str, Mapping[str, object]] | None = None) -> ProviderTree:
    tree = ProviderTree()
    tree.new_root(NODE, ROOT_UUID, generation=1)
    tree.update_inventory(NODE, inventory or {"VCPU": {"total": 8}})
    return tree


def holdings(
    tree: ProviderTree, by_consumer: Mapping[str, Mapping[str, Mapping[str, int]]]
) -> dict[str, dict[str, Any]]:
    """Allocations as a driver gets them. ``by_consumer``: consumer → name (or uuid elsewhere) of a provider →
    class → amount.
    """
    return {
        consumer: {
            "allocations": {
                tree.provider(name).uuid if tree.exists(name) else name: {"resources": dict(resources)}
                for name, resources in by_provider.items()
            },
            "project_id": "project",
            "user_id": "user",
            "consumer_generation": 1,
        }
        for consumer, by_provider in by_consumer.items()
    }


def named(
    tree: ProviderTree, allocations: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, dict[str, int]]]:
    """What consumers hold, by the names of the tree's providers: the inverse of :func:`holdings`."""
    return {
        consumer: {
            tree.provider(uuid).name if tree.exists(uuid) else uuid: dict(record["resources"])
            for uuid, record in each["allocations"].items()
        }
        for consumer, each in allocations.items()
    }
