"""What a hypervisor driver may be able to do, and the trait that says so.

The names of the capabilities and their traits are those of Nova 34 (nova/virt/driver.py), so that an
operator's flavors and images keep their meaning. Only standard traits (os-traits) appear here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

IMAGE_TYPE_PREFIX = "supports_image_type_"
_IMAGE_TYPES = ("aki", "ami", "ari", "iso", "ploop", "qcow2", "raw", "vdi", "vhd", "vhdx", "vmdk")

CAPABILITY_TRAITS_MAP: Mapping[str, str] = MappingProxyType(
    {
        "supports_accelerators": "COMPUTE_ACCELERATORS",
        "supports_address_space_emulated": "COMPUTE_ADDRESS_SPACE_EMULATED",
        "supports_address_space_passthrough": "COMPUTE_ADDRESS_SPACE_PASSTHROUGH",
        "supports_attach_interface": "COMPUTE_NET_ATTACH_INTERFACE",
        "supports_bfv_rescue": "COMPUTE_RESCUE_BFV",
        "supports_device_tagging": "COMPUTE_DEVICE_TAGGING",
        "supports_ephemeral_encryption": "COMPUTE_EPHEMERAL_ENCRYPTION",
        "supports_ephemeral_encryption_luks": "COMPUTE_EPHEMERAL_ENCRYPTION_LUKS",
        "supports_ephemeral_encryption_plain": "COMPUTE_EPHEMERAL_ENCRYPTION_PLAIN",
        "supports_extend_volume": "COMPUTE_VOLUME_EXTEND",
        "supports_mem_backing_file": "COMPUTE_MEM_BACKING_FILE",
        "supports_migrate_to_same_host": "COMPUTE_SAME_HOST_COLD_MIGRATE",
        "supports_multiattach": "COMPUTE_VOLUME_MULTI_ATTACH",
        "supports_remote_managed_ports": "COMPUTE_REMOTE_MANAGED_PORTS",
        "supports_secure_boot": "COMPUTE_SECURITY_UEFI_SECURE_BOOT",
        "supports_socket_pci_numa_affinity": "COMPUTE_SOCKET_PCI_NUMA_AFFINITY",
        "supports_stateless_firmware": "COMPUTE_SECURITY_STATELESS_FIRMWARE",
        "supports_tagged_attach_interface": "COMPUTE_NET_ATTACH_INTERFACE_WITH_TAG",
        "supports_tagged_attach_volume": "COMPUTE_VOLUME_ATTACH_WITH_TAG",
        "supports_trusted_certs": "COMPUTE_TRUSTED_CERTS",
        "supports_virtio_fs": "COMPUTE_STORAGE_VIRTIO_FS",
        **{IMAGE_TYPE_PREFIX + kind: f"COMPUTE_IMAGE_TYPE_{kind.upper()}" for kind in _IMAGE_TYPES},
    }
)

# Asked for by Nova's compute manager, but no trait speaks of them.
_WITHOUT_TRAIT = ("has_imagecache", "supports_evacuate", "supports_pcpus", "supports_vtpm")

# Nova's drivers set this one at run time or not at all, so it is not among the defaults.
_SET_AT_RUN_TIME = frozenset({"supports_stateless_firmware"})

NO_CAPABILITIES: Mapping[str, bool] = MappingProxyType(
    dict.fromkeys(sorted({*CAPABILITY_TRAITS_MAP, *_WITHOUT_TRAIT} - _SET_AT_RUN_TIME), False)
)


def as_traits(capabilities: Mapping[str, bool], excluded_image_types: frozenset[str]) -> dict[str, bool]:
    """Return trait → whether the driver supports it, for those capabilities that have a trait.

    :param capabilities: capability → supported
    :param excluded_image_types: image formats that are not to be advertised, e.g. ``qcow2``
    """
    excluded = {IMAGE_TYPE_PREFIX + kind for kind in excluded_image_types}
    return {
        CAPABILITY_TRAITS_MAP[name]: bool(supported) and name not in excluded
        for name, supported in capabilities.items()
        if name in CAPABILITY_TRAITS_MAP
    }
