"""HW_CPU_*, HW_ARCH_*, COMPUTE_ARCH_*: what CPU guests get, and which architectures they can have.

The features are those of the CPU that ``[libvirt] cpu_mode`` gives to guests. As in Nova, a flag in
``cpu_model_extra_flags`` counts as a feature whether it is added (+) or taken away (-).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import os_traits

from drivers.errors import DriverOptionError
from drivers.libvirt.hypervisor import Hypervisor

# CPU feature as libvirt's cpu_map names it → traits. svm and vmx set the vendor's trait and the old one.
FEATURE_TRAITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        feature: tuple(f"HW_CPU_X86_{name}" for name in names.split())
        for feature, names in (
            ("3dnow", "3DNOW"),
            ("abm", "ABM"),
            ("aes", "AESNI"),
            ("amx-bf16", "AMXBF16"),
            ("amx-int8", "AMXINT8"),
            ("amx-tile", "AMXTILE"),
            ("avx", "AVX"),
            ("avx2", "AVX2"),
            ("avx512-vpopcntdq", "AVX512VPOPCNTDQ"),
            ("avx512bitalg", "AVX512BITALG"),
            ("avx512bw", "AVX512BW"),
            ("avx512cd", "AVX512CD"),
            ("avx512dq", "AVX512DQ"),
            ("avx512er", "AVX512ER"),
            ("avx512f", "AVX512F"),
            ("avx512ifma", "AVX512IFMA"),
            ("avx512pf", "AVX512PF"),
            ("avx512vbmi", "AVX512VBMI"),
            ("avx512vbmi2", "AVX512VBMI2"),
            ("avx512vl", "AVX512VL"),
            ("avx512vnni", "AVX512VNNI"),
            ("bmi1", "BMI"),
            ("bmi2", "BMI2"),
            ("f16c", "F16C"),
            ("fma", "FMA3"),
            ("fma4", "FMA4"),
            ("gfni", "AVX512GFNI"),
            ("mmx", "MMX"),
            ("mpx", "MPX"),
            ("pclmuldq", "CLMUL"),
            ("sha-ni", "SHA"),
            ("sse", "SSE"),
            ("sse2", "SSE2"),
            ("sse3", "SSE3"),
            ("sse4.1", "SSE41"),
            ("sse4.2", "SSE42"),
            ("sse4a", "SSE4A"),
            ("ssse3", "SSSE3"),
            ("svm", "SVM AMD_SVM"),
            ("tbm", "TBM"),
            ("vaes", "AVX512VAES"),
            ("vmx", "VMX INTEL_VMX"),
            ("vpclmulqdq", "AVX512VPCLMULQDQ"),
            ("xop", "XOP"),
        )
    }
)

# The CPU model that QEMU takes by itself, by architecture; others: qemu64, as in Nova.
_QEMU_MODELS: Mapping[str, str] = MappingProxyType({"i686": "qemu32", "ppc64le": "POWER8", "aarch64": "max"})

# Architectures whose models libvirt lists, so that a name can be checked.
_LISTED_ARCHITECTURES = frozenset({"i686", "x86_64", "ppc64", "ppc64le", "ppc"})


@dataclass(frozen=True, slots=True)
class CpuMode:
    """What CPU guests get, as configured: ``mode`` None where the option is unset."""

    virt_type: str
    mode: str | None
    models: tuple[str, ...]
    extra_flags: tuple[str, ...]


def parse_flag(flag: str) -> tuple[str, str]:
    """Return (feature, ``require`` or ``disable``) of an entry of ``cpu_model_extra_flags``."""
    lowered = flag.lower()
    if lowered.startswith("-"):
        return lowered.lstrip("-"), "disable"
    return lowered.lstrip("+"), "require"


def effective_mode(settings: CpuMode, arch: str) -> str | None:
    """Return the mode that applies; None where guests have no CPU model (containers)."""
    if settings.virt_type not in {"kvm", "qemu"}:
        return None if settings.mode == "none" else settings.mode
    if settings.mode is None:
        return "host-passthrough" if arch == "aarch64" else "host-model"
    return settings.mode


def known_model(name: str, hypervisor: Hypervisor) -> str:
    """Return libvirt's spelling of a CPU model; the name as it is where libvirt has no list of them.

    :raises DriverOptionError: libvirt does not know it
    """
    arch = hypervisor.capabilities().arch
    if arch not in _LISTED_ARCHITECTURES:
        return name
    names = hypervisor.model_names()
    if name.lower() not in names:
        raise DriverOptionError(
            f"[libvirt] cpu_models names {name!r}, which libvirt does not know on {arch}",
            f"choose among virsh cpu-models {arch}",
        )
    return names[name.lower()]


def guest_features(settings: CpuMode, hypervisor: Hypervisor) -> frozenset[str] | None:
    """Return the CPU features that guests get; None where guests have no CPU model.

    :raises DriverOptionError: a model of ``cpu_models`` is unknown
    :raises LibvirtCallFailed: libvirt cannot expand a model
    """
    host = hypervisor.capabilities()
    mode = effective_mode(settings, host.arch)
    extra = frozenset(parse_flag(flag)[0] for flag in settings.extra_flags)
    if mode is None:
        return None
    if mode == "none":
        return hypervisor.model_features(_QEMU_MODELS.get(host.arch, "qemu64"))
    if mode in {"host-model", "host-passthrough"}:
        return host.cpu.features | extra
    models = [known_model(name, hypervisor) for name in settings.models]
    return extra.union(*(hypervisor.model_features(model) for model in models))


def feature_traits(features: Iterable[str]) -> dict[str, bool]:
    """Return trait → whether a guest has the feature, for all features that have a trait."""
    present = frozenset(features)
    return {trait: feature in present for feature, traits in FEATURE_TRAITS.items() for trait in traits}


def architecture_traits(host: str, emulated: Iterable[str]) -> dict[str, bool]:
    """Return HW_ARCH_* of the host and COMPUTE_ARCH_* of the guests that can be run, where such traits exist.

    :param emulated: the architectures that have domain capabilities
    """
    candidates = [f"HW_ARCH_{host.upper()}", *(f"COMPUTE_ARCH_{arch.upper()}" for arch in emulated)]
    return {trait: True for trait in candidates if trait in os_traits.get_traits(trait)}


def cpu_traits(settings: CpuMode, hypervisor: Hypervisor) -> dict[str, bool]:
    """Return all traits of this topic: trait → supported.

    Errors as :func:`guest_features`.
    """
    host = hypervisor.capabilities()
    features = guest_features(settings, hypervisor)
    return {
        **({} if features is None else feature_traits(features)),
        "HW_CPU_HYPERTHREADING": host.smt,
        **architecture_traits(host.arch, hypervisor.domain_capabilities()),
    }
