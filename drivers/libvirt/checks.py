"""Configurations that nova-compute refuses to start with, refused here with the option and what it expects.

What belongs to one topic alone is checked where that is made (cpu_sets.py, memory.py, firmware.py, disk.py).
"""

from __future__ import annotations

import ipaddress
import math
import re
import subprocess
from collections.abc import Iterable, Mapping

from drivers.errors import DriverOptionError
from drivers.libvirt.abilities import MINIMUM_LIBVIRT, MINIMUM_QEMU
from drivers.libvirt.cpu_sets import check_cpu_settings
from drivers.libvirt.cpu_traits import CpuMode, known_model, parse_flag
from drivers.libvirt.cpu_xml import guest_cpu_xml
from drivers.libvirt.errors import LibvirtCallFailed, NotSupported
from drivers.libvirt.firmware import check_tpm
from drivers.libvirt.hypervisor import Hypervisor
from drivers.libvirt.memory import check_memory_settings
from drivers.libvirt.numa import numa_cells
from drivers.libvirt.power import check_power_management
from drivers.libvirt.records import Versions, version_number, version_text
from drivers.libvirt.settings import Settings, StartSettings

_PARALLEL_POST_COPY_SINCE = (10, 1, 0)
_MINIMUM_VIRTUOZZO = (7, 0, 0)
_MULTIPATHD_SECONDS = 10
_SIZE = re.compile(r"^([-+]?\d*\.?\d+)([KMGTPEZY]i?)?(b|bit|B)$")


def check_settings(settings: Settings) -> None:
    """Refuse what contradicts itself, whatever the host.

    :raises DriverOptionError: names the options
    """
    check_cpu_settings(settings.cpus)
    check_memory_settings(settings.memory)
    check_cpu_mode(settings.cpu_mode)
    check_start(settings)
    read_reserved_pages(settings.start.reserved_huge_pages)


def check_on_host(settings: Settings, hypervisor: Hypervisor) -> None:
    """Refuse what this host cannot do.

    :raises DriverOptionError: names the options
    """
    check_versions(hypervisor.versions, settings.virt_type, settings.start)
    check_power_management(settings.cpus, settings.start.power_strategy, hypervisor.root)
    if settings.cpu_mode.mode == "custom":
        check_cpu_models(settings, hypervisor)
    check_tpm(settings.tpm, hypervisor)
    check_multipath(settings.start)
    if cells := numa_cells(hypervisor):
        check_network_nodes(settings.start, [cell.id for cell in cells])


def check_versions(versions: Versions, virt_type: str, start: StartSettings) -> None:
    """Refuse versions older than Nova 34 takes, and than live migration as configured needs.

    Hypervisors that Nova does not run (Xen, libvirt's test driver) are not measured by QEMU's versions.
    """
    needed = [("libvirt", versions.libvirt, MINIMUM_LIBVIRT, "")]
    if virt_type in {"kvm", "qemu"} and versions.type == "QEMU":
        needed.append(("QEMU", versions.hypervisor, MINIMUM_QEMU, ""))
        if start.parallel_connections > 1 and start.post_copy:
            why = " for live_migration_parallel_connections > 1 with live_migration_permit_post_copy"
            needed.append(("QEMU", versions.hypervisor, _PARALLEL_POST_COPY_SINCE, why))
    if virt_type == "parallels":
        needed.append(("Virtuozzo", versions.hypervisor, _MINIMUM_VIRTUOZZO, ""))
    for name, found, minimum, why in needed:
        least = version_number(minimum)
        if found < least:
            raise DriverOptionError(
                f"{name} is version {version_text(found)}; Nova needs {version_text(least)} or later{why}",
                f"upgrade {name}{', or unset one of the two' if why else ''}",
            )


def check_start(settings: Settings) -> None:
    """Refuse an address that is none, and combinations around live migration and images."""
    start = settings.start
    if not _is_address(start.my_ip):
        raise DriverOptionError(
            f"[DEFAULT] my_ip = {start.my_ip!r} is no IP address",
            "give the IPv4 or IPv6 address of this host, or unset it",
        )
    if start.tunnelled and start.native_tls:
        raise DriverOptionError(
            "[libvirt] live_migration_tunnelled and live_migration_with_native_tls are both true",
            "keep live_migration_with_native_tls",
        )
    if settings.disk.images_type == "rbd" and not start.force_raw_images:
        raise DriverOptionError(
            "[libvirt] images_type = rbd cannot go with [DEFAULT] force_raw_images = false",
            "set force_raw_images = true: RBD takes raw images only",
        )
    if start.enforce_multipath and not start.use_multipath:
        raise DriverOptionError(
            "[libvirt] volume_enforce_multipath = true needs volume_use_multipath = true",
            "set volume_use_multipath = true, or unset volume_enforce_multipath",
        )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # a scope: Nova keeps no such address of a compute node


def check_cpu_mode(settings: CpuMode) -> None:
    """Refuse a CPU mode and models that do not go together."""
    mode = f"[libvirt] cpu_mode = {settings.mode}"
    if settings.virt_type not in {"kvm", "qemu"} and settings.mode not in {None, "none"}:
        raise DriverOptionError(
            f"{mode} cannot go with [libvirt] virt_type = {settings.virt_type}: no CPU models there",
            "unset cpu_mode, or set it to none",
        )
    if settings.mode == "custom" and not settings.models:
        raise DriverOptionError(
            f"{mode} needs [libvirt] cpu_models", "name the CPU models that guests may have"
        )
    if settings.mode != "custom" and settings.models:
        raise DriverOptionError(
            f"[libvirt] cpu_models = {','.join(settings.models)} goes with cpu_mode = custom only",
            "set cpu_mode = custom, or unset cpu_models",
        )


def check_cpu_models(settings: Settings, hypervisor: Hypervisor) -> None:
    """Refuse CPU models that libvirt does not know, or (with KVM) that the host's CPU cannot be."""
    flags = sorted({parse_flag(flag) for flag in settings.cpu_mode.extra_flags})
    for model in settings.cpu_mode.models:
        # Nova asks for the name only where it compares, but again when it looks for the features.
        name = known_model(model, hypervisor)
        if settings.start.cpu_compare and settings.virt_type == "kvm":
            _compare(name, flags, hypervisor)


def _compare(model: str, flags: Iterable[tuple[str, str]], hypervisor: Hypervisor) -> None:
    try:
        result = hypervisor.connection.compare_hypervisor_cpu(guest_cpu_xml(model, flags))
    except NotSupported:
        return
    except LibvirtCallFailed as error:
        raise _incompatible(model, str(error)) from error
    if result <= 0:
        raise _incompatible(model, "the host's CPU lacks some of its features")


def _incompatible(model: str, reason: str) -> DriverOptionError:
    return DriverOptionError(
        f"[libvirt] cpu_models names {model}, impossible here with these cpu_model_extra_flags: {reason}",
        "choose another model, or set [workarounds] skip_cpu_compare_at_startup",
    )


def check_multipath(start: StartSettings) -> None:
    """Refuse to go on where multipath is enforced but multipathd does not run."""
    if not start.enforce_multipath:
        return
    try:
        done = subprocess.run(
            ["multipathd", "show", "status"],
            capture_output=True,
            text=True,
            timeout=_MULTIPATHD_SECONDS,
            check=False,
        )
        running = done.returncode == 0 and not done.stdout.startswith("error receiving packet")
    except (OSError, subprocess.TimeoutExpired):
        running = False
    if not running:
        raise DriverOptionError(
            "[libvirt] volume_enforce_multipath = true, but multipathd does not run",
            "start multipathd, or unset volume_enforce_multipath",
        )


def check_network_nodes(start: StartSettings, cells: Iterable[int]) -> None:
    """Refuse networks that are attached to NUMA nodes which the host does not have, or to none."""
    there = set(cells)
    for physnet, nodes in start.physnet_nodes.items():
        if not nodes:
            raise DriverOptionError(
                f"[neutron] physnets names {physnet}, but [neutron_physnet_{physnet}] numa_nodes is unset",
                "say which NUMA nodes it is attached to",
            )
        _check_nodes(f"[neutron_physnet_{physnet}] numa_nodes", nodes, there)
    _check_nodes("[neutron_tunnel] numa_nodes", start.tunnel_nodes, there)


def _check_nodes(option: str, nodes: Iterable[int], there: set[int]) -> None:
    if missing := sorted(set(nodes) - there):
        raise DriverOptionError(
            f"{option} names NUMA node {', '.join(map(str, missing))}, which the host does not have",
            f"choose among {', '.join(map(str, sorted(there)))}",
        )


def read_reserved_pages(settings: Iterable[Mapping[str, str]]) -> dict[int, dict[int, int]]:
    """Return NUMA node → page size in KiB → pages that are kept for the host.

    :raises DriverOptionError: an entry of ``reserved_huge_pages`` is not node:N,size:N,count:N
    """
    found: dict[int, dict[int, int]] = {}
    for entry in settings:
        try:
            found.setdefault(int(entry["node"]), {})[_page_kib(entry["size"])] = int(entry["count"])
        except (KeyError, ValueError, TypeError) as error:
            shown = ",".join(f"{key}:{value}" for key, value in entry.items())
            raise DriverOptionError(
                f"[DEFAULT] reserved_huge_pages = {shown} is not understood",
                "give node:N,size:KIB,count:N, e.g. node:0,size:2048,count:64 or size:1GB",
            ) from error
    return found


def _page_kib(text: str) -> int:
    """Return a page size in KiB: a number of them, or one with a unit (``1GiB``; ``16Mb`` counts bits)."""
    if text.isdigit():
        return int(text)
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(text)
    number, prefix, unit = match.groups()
    size = float(number) * 1024.0 ** ("KMGTPEZY".index(prefix[0]) + 1 if prefix else 0)
    return math.ceil(size / (1 if unit == "B" else 8)) // 1024
