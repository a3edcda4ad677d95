"""The CPUs: which are online, how many cores and sockets they make, what they can do.

Read from /sys/devices/system/cpu (Documentation/admin-guide/cputopology.rst) and, where that is silent, from
/proc/cpuinfo.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from drivers.cpu_list import clean, parse_cpu_list, parse_cpu_map
from drivers.errors import HostReadError
from drivers.host.cpuinfo import CPUINFO, CpuInfo, read_cpuinfo
from drivers.root import HostRoot, malformed

CPU_DIR = "sys/devices/system/cpu"
ONLINE = f"{CPU_DIR}/online"
KERNEL_ARCH = "proc/sys/kernel/arch"

_LISTING_FEATURES = frozenset({"x86_64", "i686", "aarch64"})

_CPU_NAME = re.compile(r"cpu(\d+)\Z")

# The newer name first; each also exists as NAME_list or NAME, whatever the kernel.
_CORE_FILES = ("core_cpus", "thread_siblings")
_SOCKET_FILES = ("package_cpus", "core_siblings")


@dataclass(frozen=True, slots=True)
class CpuFacts:
    """The CPUs of a machine; None for what it does not tell.

    :ivar online: the numbers of the CPUs that run, and the place that said so
    :ivar cores: how many cores have a CPU that runs
    :ivar sockets: how many packages have a CPU that runs
    :ivar smt: whether a core runs several CPUs
    :ivar flags: the features that all CPUs have, as the kernel names them
    :ivar arch: the machine name, as ``uname -m`` prints it
    """

    online: frozenset[int] | None = None
    online_source: str = ""
    cores: int | None = None
    sockets: int | None = None
    smt: bool | None = None
    flags: frozenset[str] | None = None
    arch: str | None = None
    model: str | None = None
    vendor: str | None = None


def read_cpu(root: HostRoot) -> CpuFacts:
    """Return what the machine tells of its CPUs.

    :raises HostReadError: a file cannot be read, or says something else than it should
    """
    info = read_cpuinfo(root)
    online, source = read_online(root, info)
    cores = sockets = None
    if online:
        cores = count_groups(online, lambda cpu: read_siblings(root, cpu, _CORE_FILES))
        sockets = count_groups(online, lambda cpu: read_siblings(root, cpu, _SOCKET_FILES))
    return CpuFacts(
        online=online,
        online_source=source,
        cores=cores,
        sockets=sockets,
        smt=None if cores is None or online is None else cores < len(online),
        flags=info.flags,
        arch=read_arch(root) or info.arch,
        model=info.model,
        vendor=info.vendor,
    )


def read_online(root: HostRoot, info: CpuInfo) -> tuple[frozenset[int] | None, str]:
    """Return the CPUs that run, and who says so: the kernel's list, each CPU's own file, or cpuinfo."""
    text = root.find_text(ONLINE)
    if text is not None:
        try:
            cpus = parse_cpu_list(text)
        except ValueError as error:
            raise malformed(root.display(ONLINE), "a list of CPUs such as 0-3,8", text) from error
        if not cpus:
            raise malformed(root.display(ONLINE), "at least one CPU", text)
        return cpus, root.display(ONLINE)
    present = [int(match[1]) for name in root.find_dir(CPU_DIR) if (match := _CPU_NAME.match(name))]
    if present:
        # A CPU that cannot be taken offline has no such file.
        runs = frozenset(cpu for cpu in present if _is_online(root, cpu))
        return runs, root.display(f"{CPU_DIR}/cpu*/online")
    return info.processors, root.display(CPUINFO)


def _is_online(root: HostRoot, cpu: int) -> bool:
    text = root.find_text(f"{CPU_DIR}/cpu{cpu}/online")
    return text is None or clean(text) != "0"


def read_siblings(root: HostRoot, cpu: int, names: Iterable[str]) -> frozenset[int] | None:
    """Return the CPUs that share a core or a package with ``cpu``; None where no such file exists."""
    parsers: tuple[tuple[str, Callable[[str], frozenset[int]], str], ...] = (
        ("", parse_cpu_map, "a map of CPUs such as 0000000f"),
        ("_list", parse_cpu_list, "a list of CPUs such as 0-3,8"),
    )
    for name in names:
        for suffix, parse, expected in parsers:
            path = f"{CPU_DIR}/cpu{cpu}/topology/{name}{suffix}"
            text = root.find_text(path)
            if text is None:
                continue
            try:
                return parse(text)
            except ValueError as error:
                raise malformed(root.display(path), expected, text) from error
    return None


def count_groups(cpus: frozenset[int], siblings: Callable[[int], frozenset[int] | None]) -> int | None:
    """Return into how many groups the CPUs fall.

    None where a CPU does not tell its group, or where the groups overlap, so that one of them is wrong.
    """
    groups: set[frozenset[int]] = set()
    for cpu in cpus:
        group = siblings(cpu)
        if group is None or cpu not in group:
            return None
        groups.add(group & cpus)
    return len(groups) if sum(map(len, groups)) == len(cpus) else None


def read_arch(root: HostRoot) -> str | None:
    """Return the machine name: of the running kernel, or what a recording has of it (since Linux 6.1)."""
    if root.is_this_machine:
        return platform.machine() or None
    text = root.find_text(KERNEL_ARCH)
    return clean(text) or None if text is not None else None


def require_flags(facts: CpuFacts) -> None:
    """See that the features are known: without them their traits would be taken away.

    :raises HostReadError: a kernel that lists them (on x86 and AArch64) has told none
    """
    if facts.flags is None and facts.arch in _LISTING_FEATURES:
        raise HostReadError(
            f"the features of the CPUs are not known: there is no usable /{CPUINFO}",
            "see that /proc is mounted; nothing is reported until it tells them",
        )


def require_online(facts: CpuFacts) -> frozenset[int]:
    """Return the CPUs that run.

    :raises HostReadError: the machine does not tell them, so nothing may be reported
    """
    if not facts.online:
        raise HostReadError(
            f"the CPUs are not known: there is neither /{ONLINE} nor a usable /{CPUINFO}",
            "see that /sys and /proc are mounted",
        )
    return facts.online
