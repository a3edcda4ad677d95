"""The devices that a guest can have: disk buses, graphics, network cards, IOMMUs, sound.

What libvirt's domain capabilities tell is taken from there, over all architectures and machine types; the
rest follows from the type of the guests and the versions of libvirt and QEMU, with the figures of Nova 34.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from drivers.libvirt.domain_capabilities import DomainCapabilities
from drivers.libvirt.hypervisor import DomainCapabilitiesByArch, Hypervisor
from drivers.libvirt.records import Versions

_QEMU_BUSES = ("fdc", "ide", "sata", "scsi", "usb", "virtio")
_BUSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"kvm": _QEMU_BUSES, "qemu": _QEMU_BUSES, "lxc": ("lxc",), "parallels": ("ide", "scsi")}
)
# Buses of hypervisors that Nova no longer runs; their traits are taken away where they stand.
_FORMER_BUSES = ("uml", "xen")

_VIDEO_MODELS = ("bochs", "cirrus", "gop", "none", "qxl", "vga", "virtio", "vmvga", "xen")

_KVM_CARDS = ("e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139", "spapr-vlan", "virtio", "vmxnet3")
_NETWORK_CARDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "kvm": _KVM_CARDS,
        "qemu": (*_KVM_CARDS, "lan9118"),
        "lxc": (),
        "parallels": ("e1000", "rtl8139", "virtio"),
    }
)
_IGB_SINCE = {"libvirt": (9, 3, 0), "hypervisor": (8, 0, 0)}

_IOMMU_MODELS = ("auto", "intel", "smmuv3", "virtio")
_VIRTIO_IOMMU_SINCE = {"libvirt": (8, 3, 0)}

# Libvirt does not tell which sound devices there are; all but virtio are older than anything that Nova runs
# on.
_SOUND_MODELS = ("ac97", "es1370", "ich6", "ich9", "pcspk", "sb16", "usb")
_VIRTIO_SOUND_SINCE = {"libvirt": (10, 4, 0), "hypervisor": (8, 2, 0)}


def device_traits(hypervisor: Hypervisor) -> dict[str, bool]:
    """Return all traits of this topic: trait → supported; some are no standard traits."""
    known, versions = hypervisor.domain_capabilities(), hypervisor.versions
    told = {**storage_bus_traits(hypervisor.virt_type, known), **graphics_traits(known)}
    figures = {
        **network_card_traits(hypervisor.virt_type, versions),
        **iommu_traits(known, versions),
        **sound_traits(versions),
        "COMPUTE_NET_VIRTIO_PACKED": True,
    }
    if hypervisor.virt_type in {"kvm", "qemu"} and not hypervisor.is_qemu:
        hypervisor.leave_out(
            "network cards, IOMMUs and sound", "their traits: what is known of them is QEMU's"
        )
        figures = dict.fromkeys(figures, False)
    return {**told, **figures}


def storage_bus_traits(virt_type: str, known: DomainCapabilitiesByArch) -> dict[str, bool]:
    """Return COMPUTE_STORAGE_BUS_*: as libvirt tells for QEMU and KVM, as Nova has it for others."""
    every = {*_FORMER_BUSES, *(bus for buses in _BUSES.values() for bus in buses)}
    if virt_type in {"kvm", "qemu"}:
        supported = {bus for one in _each(known) for bus in one.disk_buses}
    else:
        supported = set(_BUSES.get(virt_type, ()))
    return _traits("COMPUTE_STORAGE_BUS_", every, supported)


def graphics_traits(known: DomainCapabilitiesByArch) -> dict[str, bool]:
    """Return COMPUTE_GRAPHICS_MODEL_*."""
    return _traits(
        "COMPUTE_GRAPHICS_MODEL_",
        _VIDEO_MODELS,
        {model for one in _each(known) for model in one.video_models},
    )


def network_card_traits(virt_type: str, versions: Versions) -> dict[str, bool]:
    """Return COMPUTE_NET_VIF_MODEL_*."""
    every = {card for cards in _NETWORK_CARDS.values() for card in cards}
    supported = set(_NETWORK_CARDS.get(virt_type, ()))
    if not versions.at_least(**_IGB_SINCE):
        supported.discard("igb")
    return _traits("COMPUTE_NET_VIF_MODEL_", every, supported)


def iommu_traits(known: DomainCapabilitiesByArch, versions: Versions) -> dict[str, bool]:
    """Return COMPUTE_VIOMMU_MODEL_*: Intel's for x86 guests, SMMUv3 for AArch64 ones."""
    supported = {"auto"}
    if "aarch64" in known:
        supported.add("smmuv3")
    if "x86_64" in known:
        supported.add("intel")
    if versions.at_least(**_VIRTIO_IOMMU_SINCE):
        supported.add("virtio")
    return _traits("COMPUTE_VIOMMU_MODEL_", _IOMMU_MODELS, supported)


def sound_traits(versions: Versions) -> dict[str, bool]:
    """Return COMPUTE_SOUND_MODEL_*."""
    supported = {*_SOUND_MODELS, *(("virtio",) if versions.at_least(**_VIRTIO_SOUND_SINCE) else ())}
    return _traits("COMPUTE_SOUND_MODEL_", (*_SOUND_MODELS, "virtio"), supported)


def _each(known: DomainCapabilitiesByArch) -> Iterable[DomainCapabilities]:
    return (one for machines in known.values() for one in machines.values())


def _traits(prefix: str, every: Iterable[str], supported: Collection[str]) -> dict[str, bool]:
    return {prefix + name.replace("-", "_").upper(): name in supported for name in every}
