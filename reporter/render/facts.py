"""The facts of a machine as an outline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drivers.cpu_list import format_cpu_list
from reporter.render.outline import Entry, Span, line

_UNKNOWN = Span("unknown", "warning")


def outline_facts(document: Mapping[str, Any]) -> list[Entry]:
    """The document of ``drivers.host.facts.facts_document``."""
    return [
        line(Span("CPU", "name"), below=_cpu(document)),
        line(Span("Memory", "name"), below=[_fact("total", _kib(document["mem_total_kib"]))]),
        line(Span("NUMA nodes", "name"), below=_numa(document["numa_nodes"])),
        line(Span("PCI devices", "name"), below=_pci(document["pci_devices"])),
    ]


def _cpu(document: Mapping[str, Any]) -> list[Entry]:
    online = document["online_cpus"]
    smt = document["smt"]
    flags = document["cpu_flags"]
    return [
        _fact("model", document.get("cpu_model")),
        _fact("architecture", document.get("arch")),
        _fact("online CPUs", None if online is None else f"{len(online)} ({format_cpu_list(online)})"),
        _fact("cores", document["cores"]),
        _fact("sockets", document["sockets"]),
        _fact("hyperthreading", None if smt is None else "on" if smt else "off"),
        _fact("flags", None if flags is None else " ".join(flags)),
    ]


def _numa(nodes: Mapping[str, Mapping[str, Any]] | None) -> Iterator[Entry]:
    if nodes is None:
        yield line(_UNKNOWN)
        return
    for number, node in nodes.items():
        pages = [f"{count} of {size} KiB" for size, count in (node["hugepages"] or {}).items()]
        yield line(
            f"node {number}",
            below=[
                _fact("CPUs", format_cpu_list(node["cpus"]) or "none"),
                _fact("memory", _kib(node["memory_kib"])),
                _fact("huge pages", ", ".join(pages) or "none"),
            ],
        )


def _pci(devices: Mapping[str, Mapping[str, Any]] | None) -> Iterator[Entry]:
    if devices is None:
        yield line(_UNKNOWN)
        return
    for address, device in devices.items():
        node = device.get("numa_node")
        where = "" if node is None else f", NUMA node {node}"
        what = (
            f"class {_known(device['class'])}, {_known(device['vendor_id'])}:{_known(device['product_id'])}"
        )
        yield line(f"{address}  {what}{where}")


def _fact(label: str, value: object) -> Entry:
    return line(Span(f"{label}: ", "faint"), _UNKNOWN if value is None else str(value))


def _known(value: object) -> str:
    return "unknown" if value is None else str(value)


def _kib(value: int | None) -> str | None:
    return None if value is None else f"{value} KiB ({value / 1024**2:.1f} GiB)"
