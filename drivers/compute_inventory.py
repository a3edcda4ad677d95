"""The inventory of a compute node: totals, what the host keeps, how far it may be overcommitted, and why.

Ratios follow Nova's precedence: ``*_allocation_ratio`` where set (0.0 is unset), else
``initial_*_allocation_ratio`` for a class that Placement does not have on this provider yet, else the ratio
that Placement has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from provider_tree.source import Source

if TYPE_CHECKING:
    from oslo_config import cfg

RATIO_OPTIONS: Mapping[str, str] = {
    "VCPU": "cpu_allocation_ratio",
    "MEMORY_MB": "ram_allocation_ratio",
    "DISK_GB": "disk_allocation_ratio",
}
RESERVED_OPTIONS: Mapping[str, str] = {
    "VCPU": "reserved_host_cpus",
    "MEMORY_MB": "reserved_host_memory_mb",
    "DISK_GB": "reserved_host_disk_mb",
}

Settings = Mapping[str, Source]
"""Option of [DEFAULT] → where its value comes from, the value included."""


@dataclass(frozen=True, slots=True)
class ComputeInventory:
    """Inventory records by resource class, and where each of their fields comes from.

    ``notes`` has keys such as ``VCPU.total``, ``VCPU.reserved``, ``VCPU.allocation_ratio``.
    """

    records: dict[str, dict[str, Any]]
    notes: dict[str, Source]


def configured(conf: cfg.ConfigOpts, name: str, group: str = "DEFAULT") -> Source:
    """Return the value of a registered option and where it comes from.

    The kind is ``default`` where nothing sets the option, otherwise ``configuration``; the detail reads
    ``[DEFAULT] cpu_allocation_ratio in /etc/nova/nova.conf``.
    """
    oslo_group = None if group == "DEFAULT" else group
    value = getattr(conf if oslo_group is None else conf[group], name)
    location = conf.get_location(name, oslo_group)
    where = location.location.name if location is not None else "opt_default"
    option = f"[{group}] {name}"
    if where in {"opt_default", "set_default"}:
        return Source("default", option, value)
    detail = location.detail if location is not None else ""
    if where == "user":
        return Source("configuration", f"{option} in {detail}", value)
    place = {"command_line": "the command line", "environment": f"the environment ({detail})"}
    return Source("configuration", f"{option} from {place.get(where, 'this program')}", value)


def read_settings(conf: cfg.ConfigOpts) -> dict[str, Source]:
    """Return the options that ratios and reserved amounts depend on, with where each is set."""
    ratios = [name for option in RATIO_OPTIONS.values() for name in (option, f"initial_{option}")]
    return {name: configured(conf, name) for name in (*ratios, *RESERVED_OPTIONS.values())}


def disk_gb(megabytes: int) -> int:
    """Return an amount of disk in whole GiB, rounded up, so that no less is reserved than was asked for."""
    return -(-megabytes // 1024)


def allocation_ratio(
    resource_class: str, settings: Settings, current: Mapping[str, Mapping[str, Any]]
) -> Source:
    """Return the ratio to report (``value``), why, and what else would have applied (``lost``).

    :param current: the inventory that Placement has of this provider, by class
    """
    option = RATIO_OPTIONS.get(resource_class)
    if option is None:
        return Source("driver", f"{resource_class} is never overcommitted", 1.0)
    setting, initial = settings[option], settings[f"initial_{option}"]
    kept: tuple[Source, ...] = ()
    if resource_class in current:
        stored = current[resource_class].get("allocation_ratio", 1.0)
        kept = (
            Source(
                "placement",
                "kept from Placement (option unset, initial_* applies only to new inventory)",
                stored,
            ),
        )
    if setting.value:
        return replace(
            setting, lost=(*(replace(source, detail="what Placement has") for source in kept), initial)
        )
    # 0.0 in a file is worth a word: Nova reads it as "unset", which is not what it looks like.
    unset = () if setting.value is None else (replace(setting, detail=f"{setting.detail} (0.0 means unset)"),)
    if kept:
        return replace(kept[0], lost=(*unset, initial))
    return replace(initial, lost=unset)


def reserved(resource_class: str, settings: Settings) -> Source:
    """Return the amount kept for the host (``value``, in the unit of the class) and which option says so."""
    option = RESERVED_OPTIONS.get(resource_class)
    if option is None:
        return Source("driver", f"nothing of {resource_class} is kept for the host", 0)
    setting = settings[option]
    if resource_class == "DISK_GB":
        return replace(setting, value=disk_gb(setting.value))
    return setting


def compute_inventory(
    totals: Mapping[str, Source],
    settings: Settings,
    current: Mapping[str, Mapping[str, Any]],
    reserved_amounts: Mapping[str, Source] | None = None,
) -> ComputeInventory:
    """Return the records of a compute node's root provider, and the source of every field that was decided.

    :param totals: resource class → where the total was read, the total being its ``value``; a total of 0
        makes no record, since Placement refuses one
    :param settings: what :func:`read_settings` returns
    :param current: the inventory that Placement has of this provider, by class
    :param reserved_amounts: resource class → reserved amount, for what the options do not decide alone
    """
    records: dict[str, dict[str, Any]] = {}
    notes: dict[str, Source] = {}
    for resource_class, total in totals.items():
        if not total.value:
            continue
        ratio = allocation_ratio(resource_class, settings, current)
        kept = (reserved_amounts or {}).get(resource_class) or reserved(resource_class, settings)
        records[resource_class] = {
            "total": total.value,
            "reserved": kept.value,
            "min_unit": 1,
            "max_unit": total.value,
            "step_size": 1,
            "allocation_ratio": ratio.value,
        }
        notes[f"{resource_class}.total"] = total
        notes[f"{resource_class}.reserved"] = kept
        notes[f"{resource_class}.allocation_ratio"] = ratio
    return ComputeInventory(records, notes)
