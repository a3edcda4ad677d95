"""MEM_ENCRYPTION_CONTEXT: how many guests can have encrypted memory, one provider a technology.

AMD SEV, SEV-ES and SEV-SNP need the kernel (/sys/module/kvm_amd/parameters/{sev,sev_es,sev_snp}), QEMU and
libvirt; Intel TDX needs libvirt and cpu_mode host-passthrough, and its capacity stands in the misc controller
of the control groups (/sys/fs/cgroup/misc.capacity; Documentation/admin-guide/cgroup-v2.rst of the kernel).
Which host has how many is decided as in Nova 34 (nova/virt/libvirt/host.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from drivers.libvirt.domain_capabilities import DomainCapabilities
from drivers.libvirt.records import Versions
from drivers.root import HostRoot, malformed

RESOURCE_CLASS = "MEM_ENCRYPTION_CONTEXT"
SEV_TRAIT = "HW_CPU_X86_AMD_SEV"
SEV_ES_TRAIT = "HW_CPU_X86_AMD_SEV_ES"
SEV_SNP_TRAIT = "HW_CPU_X86_AMD_SEV_SNP"
TDX_TRAIT = "HW_CPU_X86_INTEL_TDX"
TRAITS = frozenset({SEV_TRAIT, SEV_ES_TRAIT, SEV_SNP_TRAIT, TDX_TRAIT})
X86_64 = "x86_64"
MIN_QEMU_SEV_ES = (8, 0, 0)
_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
_KERNEL = "sys/module/kvm_amd/parameters"
_CAPACITY = "sys/fs/cgroup/misc.capacity"
_SEV_SOURCE = "maxGuests of libvirt's domain capabilities"
_ES_SOURCE = "maxESGuests of libvirt's domain capabilities"
_TDX_SOURCE = f"[libvirt] num_intel_tdx_guests, or /{_CAPACITY}"


@dataclass(frozen=True, slots=True)
class Technology:
    """One way of encrypting memory on this host.

    :param name: how its provider's name ends, e.g. ``amd_sev``
    :param contexts: how many guests at once; 0 where the host does not have it
    :param source: what tells how many
    """

    name: str
    trait: str
    contexts: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the kernel says: whether it lets guests have SEV and its successors, and how many TDX guests.

    :param tdx_capacity: None where it does not tell
    """

    sev: bool = False
    sev_es: bool = False
    sev_snp: bool = False
    tdx_capacity: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The technologies, all four of them, and what people should know about how they were found."""

    technologies: tuple[Technology, ...]
    warnings: tuple[str, ...] = ()


def read_kernel(root: HostRoot) -> Kernel:
    """Return what the kernel says of encrypted memory.

    :raises HostReadError: one of its files is there but cannot be read
    """
    return Kernel(
        _switched_on(root, "sev"),
        _switched_on(root, "sev_es"),
        _switched_on(root, "sev_snp"),
        parse_tdx_capacity(root.find_text(_CAPACITY), root.display(_CAPACITY)),
    )


def _switched_on(root: HostRoot, parameter: str) -> bool:
    return (root.find_text(f"{_KERNEL}/{parameter}") or "").strip().lower() in _TRUE


def parse_tdx_capacity(text: str | None, path: str = "misc.capacity") -> int | None:
    """Return the ``tdx`` line of ``misc.capacity``; None where there is no file or no such line.

    :raises HostReadError: the line holds no number
    """
    for line in (text or "").splitlines():
        fields = line.split()
        if len(fields) == 2 and fields[0] == "tdx":
            if not fields[1].isdecimal():
                raise malformed(path, "a line 'tdx N'", line)
            return int(fields[1])
    return None


def find_technologies(
    guests: Iterable[DomainCapabilities],
    kernel: Kernel,
    versions: Versions,
    cpu_mode: str | None,
    configured_tdx: int | None,
) -> Found:
    """Return what of the four technologies an x86_64 host has.

    :param guests: the domain capabilities of x86_64, all machine types; none where the host is no x86_64
    :param cpu_mode: ``[libvirt] cpu_mode`` as configured
    :param configured_tdx: ``[libvirt] num_intel_tdx_guests``
    """
    guests = tuple(guests)
    warnings: list[str] = []
    amd = _amd(guests, kernel, versions, warnings)
    supported = has_tdx(guests, cpu_mode)
    tdx = _tdx_contexts(kernel.tdx_capacity, configured_tdx, warnings) if supported else 0
    return Found((*amd, Technology("intel_tdx", TDX_TRAIT, tdx, _TDX_SOURCE)), tuple(warnings))


def has_tdx(guests: Iterable[DomainCapabilities], cpu_mode: str | None) -> bool:
    """Tell whether guests can have Intel TDX; parameters as those of find_technologies."""
    return cpu_mode == "host-passthrough" and any(each.tdx for each in guests)


def _amd(
    guests: Sequence[DomainCapabilities], kernel: Kernel, versions: Versions, warnings: list[str]
) -> Iterator[Technology]:
    """Yield SEV and what builds on it: without SEV there is none of it."""
    found = (each.sev for each in guests if each.sev is not None and each.sev.supported)
    sev = next(found, None) if kernel.sev else None
    plain = (sev.max_guests or 0) if sev else 0
    stateful = (sev.max_es_guests or 0) if sev else 0
    has_es = kernel.sev_es and versions.at_least(hypervisor=MIN_QEMU_SEV_ES)
    if sev is not None and has_es and kernel.sev_snp:
        warnings.append("SEV-ES is left out: the host has SEV-SNP, and both draw on the same contexts")
        has_es = False
    has_snp = kernel.sev_snp and any(_launches_snp(each) for each in guests)
    yield Technology("amd_sev", SEV_TRAIT, plain, _SEV_SOURCE)
    yield Technology("amd_sev_es", SEV_ES_TRAIT, stateful if has_es else 0, _ES_SOURCE)
    yield Technology("amd_sev_snp", SEV_SNP_TRAIT, stateful if has_snp else 0, _ES_SOURCE)


def record(contexts: int) -> dict[str, int | float]:
    """Return the inventory record: a guest takes one context, and none is given twice."""
    return {
        "total": contexts,
        "reserved": 0,
        "min_unit": 1,
        "max_unit": 1,
        "step_size": 1,
        "allocation_ratio": 1.0,
    }


def _launches_snp(guest: DomainCapabilities) -> bool:
    security = guest.launch_security
    return security is not None and security.supported and "sev-snp" in security.sectypes


def _tdx_contexts(capacity: int | None, configured: int | None, warnings: list[str]) -> int:
    """Return what ``num_intel_tdx_guests`` says, or else the kernel; the option wins even if it is higher."""
    if configured is None and capacity is None:
        warnings.append(
            f"Intel TDX is left out: /{_CAPACITY} does not tell how many guests can have it; "
            "set [libvirt] num_intel_tdx_guests"
        )
        return 0
    if configured is None:
        return capacity or 0
    if capacity is not None and configured > capacity:
        warnings.append(
            f"[libvirt] num_intel_tdx_guests = {configured}, but the kernel has room for {capacity}"
        )
    return configured
