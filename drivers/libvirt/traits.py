"""The traits of the root provider: the standard ones of all topics, and what each is due to."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.libvirt.cpu_traits import FEATURE_TRAITS, cpu_traits
from drivers.libvirt.device_traits import device_traits
from drivers.libvirt.firmware import TPM_TRAITS, tpm_of, tpm_traits
from drivers.libvirt.hypervisor import Hypervisor
from drivers.libvirt.parts import OWNER
from drivers.libvirt.settings import Settings
from provider_tree.names import is_standard_trait
from provider_tree.source import Source

# Nova 34 marks its compute nodes so; its scheduler asks for the second.
MARKS = frozenset({"COMPUTE_NODE", OWNER})

# Traits that are ours to set and unset. Of CPU features only those of the table: others (SGX, …) are
# operators'.
OWN_TRAITS = frozenset(
    {"COMPUTE_NET_VIRTIO_PACKED", "HW_CPU_HYPERTHREADING", *MARKS, *TPM_TRAITS}.union(
        *FEATURE_TRAITS.values()
    )
)
OWN_PREFIXES = (
    "COMPUTE_ARCH_",
    "COMPUTE_GRAPHICS_MODEL_",
    "COMPUTE_NET_VIF_MODEL_",
    "COMPUTE_SOUND_MODEL_",
    "COMPUTE_STORAGE_BUS_",
    "COMPUTE_VIOMMU_MODEL_",
    "HW_ARCH_",
)

_SOURCES: Mapping[str, str] = {
    "COMPUTE_ARCH_": "libvirt's domain capabilities",
    "COMPUTE_GRAPHICS_MODEL_": "libvirt's domain capabilities",
    "COMPUTE_NET_": "[libvirt] virt_type, versions of libvirt and QEMU",
    "COMPUTE_SECURITY_TPM_": "[libvirt] swtpm_enabled, libvirt's domain capabilities",
    "COMPUTE_SOUND_": "versions of libvirt and QEMU",
    "COMPUTE_STORAGE_BUS_": "libvirt's domain capabilities",
    "COMPUTE_VIOMMU_": "libvirt's domain capabilities, its version",
    "HW_ARCH_": "libvirt's capabilities",
    "HW_CPU_HYPERTHREADING": "siblings of CPUs in libvirt's capabilities",
    "HW_CPU_X86_": "[libvirt] cpu_mode, features of libvirt's capabilities",
}


def root_traits(settings: Settings, hypervisor: Hypervisor) -> dict[str, bool]:
    """Return trait → supported. Names that os-traits does not have, of devices without a trait, are left out.

    :raises DriverOptionError: a model of ``[libvirt] cpu_models`` is unknown
    """
    found = {
        **dict.fromkeys(MARKS, True),
        **cpu_traits(settings.cpu_mode, hypervisor),
        **device_traits(hypervisor),
        **tpm_traits(settings.tpm, tpm_of(hypervisor)),
    }
    return {trait: supported for trait, supported in found.items() if is_standard_trait(trait)}


def source_of(trait: str) -> Source:
    """Return what a trait of the root is due to."""
    for prefix, detail in _SOURCES.items():
        if trait.startswith(prefix):
            return Source("driver", detail)
    return Source(
        "driver", "every compute node of Nova has it" if trait in MARKS else "a capability of the driver"
    )
