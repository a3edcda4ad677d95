"""The NUMA nodes: /sys/devices/system/node (Documentation/ABI/stable/sysfs-devices-node).

Firmware is not always right. Where several nodes claim a CPU, the first keeps it and the others are
left out with a warning, since nothing tells which is wrong; that is what hwloc does too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from drivers.cpu_list import format_cpu_list, parse_cpu_list, parse_cpu_map
from drivers.errors import Absent
from drivers.host.memory import MemoryFacts, parse_meminfo, read_hugepages
from drivers.root import HostRoot, malformed

NODE_DIR = "sys/devices/system/node"
NVIDIA_GPUS = "proc/driver/nvidia/gpus"

_NODE_NAME = re.compile(r"node(\d+)\Z")
_GPU_NODE = re.compile(r"^Node:\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class NumaNode:
    """One NUMA node; None for what it does not tell.

    :ivar cpus: the node's own CPUs, of those that are online; a node with memory only has none
    :ivar local_cpus: its own CPUs, or for a node that has none those of the nearest nodes
    :ivar memory_kib: its memory
    :ivar hugepages: page size in KiB → how many are set aside
    """

    cpus: frozenset[int]
    local_cpus: frozenset[int]
    memory_kib: int | None
    hugepages: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class NumaFacts:
    """The NUMA nodes by number, and what is wrong with those that were left out."""

    nodes: Mapping[int, NumaNode]
    warnings: tuple[str, ...] = ()


def read_numa(root: HostRoot, online: frozenset[int] | None, memory: MemoryFacts | None) -> NumaFacts | None:
    """Return the NUMA nodes; None where not even the CPUs are known.

    A kernel without NUMA has no node directory: the machine is then one node, 0, with everything in it.

    :raises HostReadError: a file cannot be read, or says something else than it should
    """
    numbers = sorted(int(match[1]) for name in root.find_dir(NODE_DIR) if (match := _NODE_NAME.match(name)))
    if not numbers:
        if not online:
            return None
        total = memory.total_kib if memory else None
        return NumaFacts({0: NumaNode(online, online, total, read_hugepages(root))})
    gpus = read_gpu_nodes(root)
    claimed = {number: _read_cpus(root, number) for number in numbers if number not in gpus}
    kept, warnings = settle_claims(claimed, online)
    distances = {number: _read_distances(root, number, numbers) for number, cpus in kept.items() if not cpus}
    nodes = {
        number: NumaNode(
            cpus=cpus,
            local_cpus=cpus or nearest_cpus(distances[number], kept),
            memory_kib=_read_memory_kib(root, number),
            hugepages=read_hugepages(root, f"{NODE_DIR}/node{number}/hugepages"),
        )
        for number, cpus in kept.items()
    }
    return NumaFacts(nodes, tuple(warnings))


def settle_claims(
    claimed: Mapping[int, frozenset[int]], online: frozenset[int] | None
) -> tuple[dict[int, frozenset[int]], list[str]]:
    """Return node → its online CPUs for the nodes to believe, and a warning for each of the others."""
    kept: dict[int, frozenset[int]] = {}
    warnings: list[str] = []
    owner: dict[int, int] = {}
    for number, cpus in sorted(claimed.items()):
        taken = cpus & owner.keys()
        if taken:
            others = format_cpu_list({owner[cpu] for cpu in taken})
            warnings.append(
                f"NUMA node {number} is left out: it claims CPUs {format_cpu_list(taken)} of node {others}"
            )
            continue
        owner.update(dict.fromkeys(cpus, number))
        kept[number] = cpus if online is None else cpus & online
    return kept, warnings


def nearest_cpus(distances: Mapping[int, int], kept: Mapping[int, frozenset[int]]) -> frozenset[int]:
    """Return the CPUs of the nearest nodes that have any; none where no distance is known."""
    known = {number: away for number, away in distances.items() if kept.get(number)}
    least = min(known.values(), default=0)
    near = (kept[number] for number, away in known.items() if away == least)
    return frozenset().union(*near)


def read_gpu_nodes(root: HostRoot) -> frozenset[int]:
    """Return the nodes that are the memory of NVIDIA GPUs (POWER9): not memory for the host to give away."""
    found: set[int] = set()
    for gpu in root.find_dir(NVIDIA_GPUS):
        text = root.find_text(f"{NVIDIA_GPUS}/{gpu}/numa_status")
        if text is not None and (match := _GPU_NODE.search(text)):
            found.add(int(match[1]))
    return frozenset(found)


def _read_cpus(root: HostRoot, number: int) -> frozenset[int]:
    """Return the CPUs that a node claims; the list may also have CPUs that could exist."""
    for name, parse in (("cpumap", parse_cpu_map), ("cpulist", parse_cpu_list)):
        path = f"{NODE_DIR}/node{number}/{name}"
        text = root.find_text(path)
        if text is None:
            continue
        try:
            return parse(text)
        except ValueError as error:
            raise malformed(root.display(path), "a set of CPUs", text) from error
    raise Absent(
        f"NUMA node {number} does not tell its CPUs", f"see {root.display(f'{NODE_DIR}/node{number}/cpumap')}"
    )


def _read_memory_kib(root: HostRoot, number: int) -> int | None:
    path = f"{NODE_DIR}/node{number}/meminfo"
    text = root.find_text(path)
    if text is None:
        return None
    total = parse_meminfo(text).get("MemTotal")
    if total is None:
        raise malformed(root.display(path), f"a line 'Node {number} MemTotal: N kB'", text)
    return total


def _read_distances(root: HostRoot, number: int, numbers: Iterable[int]) -> dict[int, int]:
    """Return node → distance; the file has one number for each node that is online, in their order."""
    path = f"{NODE_DIR}/node{number}/distance"
    text = root.find_text(path)
    if text is None:
        return {}
    ordered = list(numbers)
    words = text.replace("\0", "").split()
    if len(words) != len(ordered) or not all(word.isdecimal() for word in words):
        raise malformed(root.display(path), f"{len(ordered)} distances", text)
    return {other: int(word) for other, word in zip(ordered, words, strict=True) if other != number}
