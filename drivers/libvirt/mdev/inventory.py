"""How many mediated devices each GPU provides: those that exist, and those that can still be made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from drivers.libvirt.mdev.config import MdevConfig
from drivers.libvirt.mdev.node_device import Mdev, MdevParent


def gpu_totals(config: MdevConfig, parents: Iterable[MdevParent], mdevs: Iterable[Mdev]) -> dict[str, int]:
    """Return GPU (libvirt's name) → how many devices of its type it provides.

    ``mdevs`` are those that are started.
    0 is for a GPU that is not to be reported: nothing can be made of it any more, or what it could add would
    go beyond ``max_instances`` of its type. GPUs are counted against that limit in the order of their names;
    one that does not fit drops out whole, as in Nova.
    """
    totals: Counter[str] = Counter()
    used: Counter[str] = Counter()
    for mdev in mdevs:
        if mdev.type in config.types and config.type_for(mdev.parent) == mdev.type:
            totals[mdev.parent] += 1
            used[mdev.type] += 1
    for parent in sorted(parents, key=lambda each: each.name):
        kind = config.type_for(parent.name)
        if kind is None or kind not in config.types or kind not in parent.available:
            continue
        more, limit = parent.available[kind], config.limits.get(kind)
        if limit is not None and used[kind] + more > limit:
            totals[parent.name] = 0
            continue
        used[kind] += more
        totals[parent.name] += more
    return dict(totals)


def record(total: int) -> dict[str, int | float]:
    """Return the inventory record of a GPU: never overcommitted, all of it for one instance if it asks."""
    return {
        "total": total,
        "reserved": 0,
        "min_unit": 1,
        "max_unit": total,
        "step_size": 1,
        "allocation_ratio": 1.0,
    }


def unavailable_types(config: MdevConfig, parents: Iterable[MdevParent], mdevs: Iterable[Mdev]) -> list[str]:
    """Return the enabled types, sorted, that no device of this host supports and of which none exists."""
    there = {kind for parent in parents for kind in parent.available} | {mdev.type for mdev in mdevs}
    return sorted(config.types - there)
