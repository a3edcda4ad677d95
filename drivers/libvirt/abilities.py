"""What Nova's libvirt driver can do with guests: the capabilities that become COMPUTE_* traits.

We do none of it. They are reported because Nova's scheduler looks for their traits.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.libvirt.firmware import has_secure_boot, has_stateless_firmware
from drivers.libvirt.hypervisor import Hypervisor
from drivers.libvirt.records import Versions

# Nova 34's own minimum; what it has at that version it always has.
MINIMUM_LIBVIRT = (8, 0, 0)
MINIMUM_QEMU = (6, 2, 0)
_ADDRESS_WIDTH_SINCE = (8, 7, 0)

_ALWAYS = (
    "has_imagecache",
    "supports_accelerators",
    "supports_attach_interface",
    "supports_bfv_rescue",
    "supports_device_tagging",
    "supports_evacuate",
    "supports_extend_volume",
    "supports_image_type_aki",
    "supports_image_type_ami",
    "supports_image_type_ari",
    "supports_image_type_iso",
    "supports_image_type_raw",
    "supports_multiattach",
    "supports_pcpus",
    "supports_socket_pci_numa_affinity",
    "supports_tagged_attach_interface",
    "supports_tagged_attach_volume",
    "supports_trusted_certs",
)
RAW_ONLY = frozenset({"lvm", "rbd"})


@dataclass(frozen=True, slots=True)
class AbilitySettings:
    """The options that abilities depend on."""

    virt_type: str
    images_type: str
    force_raw_images: bool
    swtpm_enabled: bool
    file_backed_memory: int


def configured_abilities(settings: AbilitySettings) -> dict[str, bool]:
    """Return what follows from the configuration alone: capability → supported.

    Nova 34 sets no storage that could encrypt by itself (LUKS), hence no ephemeral encryption.
    """
    raw_only = settings.images_type in RAW_ONLY and not settings.force_raw_images
    return {
        **dict.fromkeys(_ALWAYS, True),
        "supports_ephemeral_encryption": False,
        "supports_ephemeral_encryption_luks": False,
        "supports_image_type_ploop": settings.virt_type == "parallels",
        "supports_image_type_qcow2": not raw_only,
        "supports_mem_backing_file": settings.file_backed_memory > 0,
        "supports_migrate_to_same_host": False,
        "supports_remote_managed_ports": False,  # unless the PCI part finds such devices
        "supports_vtpm": settings.swtpm_enabled,
    }


def versioned_abilities(versions: Versions) -> dict[str, bool]:
    """Return what follows from the versions of libvirt and the hypervisor."""
    address_width = versions.type == "QEMU" and versions.at_least(libvirt=_ADDRESS_WIDTH_SINCE)
    return {
        "supports_address_space_emulated": address_width,
        "supports_address_space_passthrough": address_width,
        "supports_stateless_firmware": has_stateless_firmware(versions),
        "supports_virtio_fs": versions.at_least(libvirt=MINIMUM_LIBVIRT, hypervisor=MINIMUM_QEMU),
    }


def abilities(settings: AbilitySettings, hypervisor: Hypervisor) -> dict[str, bool]:
    """Return all of them."""
    return {
        **configured_abilities(settings),
        **versioned_abilities(hypervisor.versions),
        "supports_secure_boot": has_secure_boot(hypervisor),
    }
