"""The memory: /proc/meminfo (filesystems/proc.rst) and huge pages (admin-guide/mm/hugetlbpage.rst)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.errors import HostReadError
from drivers.root import HostRoot, malformed

MEMINFO = "proc/meminfo"
HUGEPAGES = "sys/kernel/mm/hugepages"

_LINE = re.compile(r"(?:Node\s+\d+\s+)?([^\s:]+):\s+(\d+)(?:\s+kB)?\s*\Z")
_SIZE = re.compile(r"hugepages-(\d+)kB\Z")


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """The memory of a machine, in KiB; None for what it does not tell.

    :ivar total_kib: what the kernel manages
    :ivar available_kib: what could be had without swapping (since Linux 3.14)
    """

    total_kib: int
    available_kib: int | None = None


def read_memory(root: HostRoot) -> MemoryFacts | None:
    """Return what /proc/meminfo says; None where there is no such file.

    :raises HostReadError: it cannot be read, or has no total
    """
    text = root.find_text(MEMINFO)
    if text is None:
        return None
    values = parse_meminfo(text)
    total = values.get("MemTotal")
    if not total:
        raise malformed(root.display(MEMINFO), "a line 'MemTotal: N kB' with N above 0", text)
    return MemoryFacts(total, values.get("MemAvailable"))


def parse_meminfo(text: str) -> dict[str, int]:
    """Return name → amount (KiB, where the line has a unit) of the lines that are ``NAME: N kB``.

    The files of NUMA nodes have ``Node 0`` before each name. Lines of another form are left out.
    """
    matches = (_LINE.match(line.replace("\0", "")) for line in text.splitlines())
    return {match[1]: int(match[2]) for match in matches if match}


def read_hugepages(root: HostRoot, directory: str = HUGEPAGES) -> dict[int, int]:
    """Return page size in KiB → how many such pages are set aside; empty where the kernel tells none.

    :param directory: that of the machine, or that of a NUMA node
    :raises HostReadError: a count cannot be read, or is no number
    """
    sizes = [int(match[1]) for name in root.find_dir(directory) if (match := _SIZE.match(name))]
    counts = {size: root.find_int(f"{directory}/hugepages-{size}kB/nr_hugepages") for size in sorted(sizes)}
    return {size: count for size, count in counts.items() if count is not None}


def require_memory(facts: MemoryFacts | None) -> MemoryFacts:
    """Return the memory.

    :raises HostReadError: the machine does not tell it, so nothing may be reported
    """
    if facts is None:
        raise HostReadError(f"the memory is not known: there is no /{MEMINFO}", "see that /proc is mounted")
    return facts


def hugepages_document(pages: Mapping[int, int]) -> dict[str, int]:
    """Return huge pages as JSON has them: the size in KiB, as text, → count."""
    return {str(size): count for size, count in sorted(pages.items())}
