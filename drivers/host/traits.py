"""Which standard traits follow from what the CPUs can do.

The kernel's names of the features (arch/x86/include/asm/cpufeatures.h, arch/arm64/kernel/cpuinfo.c) are
mapped to those of os-traits. Where a trait is named after one vendor, only that vendor's CPUs get it.
"""

from __future__ import annotations

from collections.abc import Mapping

import os_traits

from drivers.host.cpu import CpuFacts

_X86: Mapping[str, tuple[str, ...]] = {
    "3dnow": ("3DNOW",),
    "abm": ("ABM",),
    "aes": ("AESNI",),
    "amx_bf16": ("AMXBF16",),
    "amx_int8": ("AMXINT8",),
    "amx_tile": ("AMXTILE",),
    "avx": ("AVX",),
    "avx2": ("AVX2",),
    "avx512_bitalg": ("AVX512BITALG",),
    "avx512_vbmi2": ("AVX512VBMI2",),
    "avx512_vnni": ("AVX512VNNI",),
    "avx512_vpopcntdq": ("AVX512VPOPCNTDQ",),
    "avx512bw": ("AVX512BW",),
    "avx512cd": ("AVX512CD",),
    "avx512dq": ("AVX512DQ",),
    "avx512er": ("AVX512ER",),
    "avx512f": ("AVX512F",),
    "avx512ifma": ("AVX512IFMA",),
    "avx512pf": ("AVX512PF",),
    "avx512vbmi": ("AVX512VBMI",),
    "avx512vl": ("AVX512VL",),
    "bmi1": ("BMI",),
    "bmi2": ("BMI2",),
    "f16c": ("F16C",),
    "fma": ("FMA3",),
    "fma4": ("FMA4",),
    "gfni": ("AVX512GFNI",),
    "mmx": ("MMX",),
    "mpx": ("MPX",),
    "pclmulqdq": ("CLMUL",),
    "pdpe1gb": ("PDPE1GB",),
    "pni": ("SSE3",),
    "rtm": ("TSX",),
    "sev": ("AMD_SEV",),
    "sev_es": ("AMD_SEV_ES",),
    "sev_snp": ("AMD_SEV_SNP",),
    "sgx": ("SGX",),
    "sha_ni": ("SHA",),
    "sse": ("SSE",),
    "sse2": ("SSE2",),
    "sse4_1": ("SSE41",),
    "sse4_2": ("SSE42",),
    "sse4a": ("SSE4A",),
    "ssse3": ("SSSE3",),
    "stibp": ("STIBP",),
    "svm": ("SVM", "AMD_SVM"),
    "tbm": ("TBM",),
    "tdx_host_platform": ("INTEL_TDX",),
    "vaes": ("AVX512VAES",),
    "virt_ssbd": ("AMD_VIRT_SSBD",),
    "vmx": ("VMX", "INTEL_VMX"),
    "vpclmulqdq": ("AVX512VPCLMULQDQ",),
    "xop": ("XOP",),
}

# One name in the kernel, two traits: which depends on who made the CPU.
_X86_OF_VENDOR: Mapping[str, Mapping[str, str]] = {
    "GenuineIntel": {
        "ibrs": "INTEL_SPEC_CTRL",
        "md_clear": "INTEL_MD_CLEAR",
        "pcid": "INTEL_PCID",
        "ssbd": "INTEL_SSBD",
    },
    "AuthenticAMD": {"ibpb": "AMD_IBPB", "ssbd": "AMD_SSBD"},
    "HygonGenuine": {"ibpb": "AMD_IBPB", "ssbd": "AMD_SSBD"},
}

# fmt: off
_AARCH64 = (
    "aes", "asimd", "asimddp", "asimdhp", "asimdrdm", "atomics", "cpuid", "crc32", "dcpop", "evtstrm", "fcma",
    "fp", "fphp", "jscvt", "lrcpc", "pmull", "sha1", "sha2", "sha3", "sha512", "sm3", "sm4", "sve",
)
# fmt: on

_POWER = ("POWER8", "POWER9")

_ARCH: Mapping[str, str] = {
    "armv6l": "ARMV6",
    "armv7l": "ARMV7",
    "armv7b": "ARMV7B",
    "i386": "I686",
    "i486": "I686",
    "i586": "I686",
}

_STANDARD: frozenset[str] = frozenset(os_traits.get_traits("HW_CPU_")) | frozenset(
    os_traits.get_traits("HW_ARCH_")
)

HYPERTHREADING = "HW_CPU_HYPERTHREADING"


def _all_traits() -> frozenset[str]:
    x86 = {name for names in _X86.values() for name in names}
    x86.update(name for features in _X86_OF_VENDOR.values() for name in features.values())
    names = {f"HW_CPU_X86_{name}" for name in x86}
    names.update(f"HW_CPU_AARCH64_{name.upper()}" for name in _AARCH64)
    names.update(f"HW_CPU_PPC64LE_{name}" for name in _POWER)
    names.update(os_traits.get_traits("HW_ARCH_"))
    return frozenset(names | {HYPERTHREADING}) & _STANDARD


HOST_TRAITS: frozenset[str] = _all_traits()
"""Every trait that :func:`cpu_traits` may return with the installed os-traits."""


def cpu_traits(facts: CpuFacts) -> frozenset[str]:
    """Return the standard traits that the CPUs have; an older os-traits may not know them all."""
    found = {f"HW_CPU_{name}" for name in _feature_traits(facts)}
    if facts.smt:
        found.add(HYPERTHREADING)
    if facts.arch:
        found.add(f"HW_ARCH_{_ARCH.get(facts.arch, facts.arch.upper())}")
    return frozenset(found) & HOST_TRAITS


def _feature_traits(facts: CpuFacts) -> set[str]:
    """Return what the features say, without the prefix HW_CPU_."""
    flags = facts.flags or frozenset()
    if facts.arch in {"x86_64", "i686", "i586", "i486", "i386"}:
        own = _X86_OF_VENDOR.get(facts.vendor or "", {})
        return {f"X86_{name}" for flag in flags for name in _X86.get(flag, ())} | {
            f"X86_{own[flag]}" for flag in flags & own.keys()
        }
    if facts.arch == "aarch64":
        return {f"AARCH64_{flag.upper()}" for flag in flags.intersection(_AARCH64)}
    if facts.arch == "ppc64le":
        return {f"PPC64LE_{name}" for name in _POWER if (facts.model or "").startswith(name)}
    return set()
