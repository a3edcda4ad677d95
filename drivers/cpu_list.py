"""The two ways in which the kernel writes a set of CPUs (Documentation/admin-guide/cputopology.rst).

A list is ``0-3,8``; a map is hexadecimal words of 32 bits, the highest first: ``00000001,0000000f``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_RANGE = re.compile(r"(\d+)(?:-(\d+)(?::(\d+)/(\d+))?)?\Z", re.ASCII)
_WORD = re.compile(r"[0-9a-fA-F]{1,8}\Z")

# NR_CPUS of the largest kernel builds is 8192; beyond this the text is no list of CPUs but an accident.
_MOST = 1 << 20


def parse_cpu_list(text: str) -> frozenset[int]:
    """Return the CPUs of a list such as ``0-3,8`` or ``0-31:2/8`` (two of every eight); empty text is none.

    :raises ValueError: the text is not a list of CPUs
    """
    cpus: set[int] = set()
    for part in filter(None, (piece.strip() for piece in clean(text).split(","))):
        match = _RANGE.match(part)
        if match is None:
            raise ValueError(f"not a CPU or a range of CPUs: {part!r}")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first or last >= _MOST:
            raise ValueError(f"not a range of CPUs: {part!r}")
        used, group = (int(match[3]), int(match[4])) if match[3] else (1, 1)
        if not 0 < used <= group:
            raise ValueError(f"not a range of CPUs: {part!r}")
        cpus.update(cpu for cpu in range(first, last + 1) if (cpu - first) % group < used)
    return frozenset(cpus)


def parse_cpu_map(text: str) -> frozenset[int]:
    """Return the CPUs of a map such as ``00000001,0000000f``.

    :raises ValueError: the text is not a map of CPUs
    """
    bits = 0
    for word in clean(text).split(","):
        if not _WORD.match(word):
            raise ValueError(f"not hexadecimal words of 32 bits: {text.strip()[:40]!r}")
        bits = bits << 32 | int(word, 16)
    return frozenset(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1)


def format_cpu_list(cpus: Iterable[int]) -> str:
    """Return a set of CPUs as the kernel lists it: ``0-3,8``; nothing for none."""
    ranges: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


def clean(text: str) -> str:
    """Return the text without the space around it and the padding that recordings of sysfs may have."""
    return text.replace("\0", "").strip()
