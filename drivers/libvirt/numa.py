"""The host's NUMA cells as Nova's scheduler sees them: CPUs that guests may have, memory, pages.

Placement is not told; this is for get_available_resource and for checking options that name NUMA nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.libvirt.capabilities import NumaCell
from drivers.libvirt.cpu_sets import SHARED_SET, CpuSets
from drivers.libvirt.hypervisor import Hypervisor

_WITH_QEMU = frozenset({"aarch64", "i686", "x86_64"})
_ANYWHERE = frozenset({"ppc64", "ppc64le"})


def numa_cells(hypervisor: Hypervisor) -> tuple[NumaCell, ...]:
    """Return the host's NUMA cells, none where guests cannot be placed on them."""
    host = hypervisor.capabilities()
    if host.arch in _ANYWHERE or (host.arch in _WITH_QEMU and hypervisor.is_qemu):
        return host.cells
    return ()


def numa_topology(
    cells: tuple[NumaCell, ...], sets: CpuSets, reserved_pages: Mapping[int, Mapping[int, int]]
) -> list[dict[str, Any]]:
    """Return one entry a cell, with the field names of Nova's NUMACell.

    :param reserved_pages: NUMA node → page size in KiB → pages kept for the host
    :returns: id, socket (None where a cell spans several), memory in MiB, cpuset, pcpuset, siblings, mempages
    """
    # As long as no dedicated set is configured, the shared CPUs may be pinned as well (Nova before 20.0).
    dedicated = sets.dedicated
    if not dedicated and sets.shared_by != SHARED_SET:
        dedicated = sets.shared
    return [_cell(cell, sets.shared, dedicated, reserved_pages.get(cell.id, {})) for cell in cells]


def _cell(
    cell: NumaCell, shared: frozenset[int], dedicated: frozenset[int], reserved: Mapping[int, int]
) -> dict[str, Any]:
    cpus = {cpu.id for cpu in cell.cpus}
    usable = cpus & (shared | dedicated)
    sockets = {cpu.socket_id for cpu in cell.cpus}
    siblings = {cpu.siblings & usable for cpu in cell.cpus} - {frozenset()}
    return {
        "id": cell.id,
        "socket": sockets.pop() if len(sockets) == 1 else None,
        "memory": cell.memory_kib // 1024,
        "cpuset": sorted(cpus & shared),
        "pcpuset": sorted(cpus & dedicated),
        "siblings": sorted(sorted(one) for one in siblings),
        "mempages": [
            {"size_kb": size, "total": total, "reserved": reserved.get(size, 0)}
            for size, total in cell.pages.items()
        ],
    }
