"""get_available_resource: what a node has and uses, under the keys that Nova keeps in its own database."""

from __future__ import annotations

import json
from typing import Any

from drivers.libvirt.capabilities import Capabilities
from drivers.libvirt.checks import read_reserved_pages
from drivers.libvirt.cpu_sets import choose_cpus
from drivers.libvirt.disk import GIB, read_space
from drivers.libvirt.hypervisor import Hypervisor
from drivers.libvirt.instances import read_overcommitted, read_use
from drivers.libvirt.memory import memory_total, read_available_mib
from drivers.libvirt.numa import numa_cells, numa_topology
from drivers.libvirt.settings import Settings

# The names that Nova knows (nova/objects/fields.py); guests of others are not listed.
_ARCHITECTURES = frozenset(
    [
        "alpha",
        "armv6",
        "armv7l",
        "armv7b",
        "aarch64",
        "cris",
        "i686",
        "ia64",
        "lm32",
        "m68k",
        "microblaze",
        "microblazeel",
        "mips",
        "mipsel",
        "mips64",
        "mips64el",
        "openrisc",
        "parisc",
        "parisc64",
        "ppc",
        "ppcle",
        "ppc64",
        "ppc64le",
        "ppcemb",
        "s390",
        "s390x",
        "sh4",
        "sh4eb",
        "sparc",
        "sparc64",
        "unicore32",
        "x86_64",
        "xtensa",
        "xtensaeb",
    ]
)


def read_available_resource(settings: Settings, hypervisor: Hypervisor) -> dict[str, Any]:
    """Return the resources of the host.

    Sizes: ``memory_mb*`` in MiB, ``local_gb*`` and ``disk_available_least`` in GiB with fractions.
    ``cpu_info`` and ``numa_topology`` are JSON text, the latter ``{"cells": [...]}``, None where guests
    cannot be placed on NUMA cells.
    """
    connection, root = hypervisor.connection, hypervisor.root
    host, space = hypervisor.capabilities(), read_space(settings.disk, root)
    sets, use = choose_cpus(settings.cpus, hypervisor.cpu_map()), read_use(connection)
    memory = memory_total(settings.memory.file_backed, connection.node_info().memory_mib).value
    backed = settings.memory.file_backed > 0
    cells = numa_cells(hypervisor)
    topology = numa_topology(cells, sets, read_reserved_pages(settings.start.reserved_huge_pages))
    return {
        "supported_instances": supported_instances(host),
        "vcpus": len(sets.shared),
        "memory_mb": memory,
        "local_gb": space.total / GIB,
        "vcpus_used": use.vcpus,
        "memory_mb_used": use.memory_mib if backed else max(0, memory - read_available_mib(root)),
        "local_gb_used": space.used / GIB,
        "hypervisor_type": hypervisor.versions.type,
        "hypervisor_version": hypervisor.versions.hypervisor,
        "hypervisor_hostname": connection.hostname(),
        "cpu_info": json.dumps(cpu_info(host)),
        "disk_available_least": (space.free - read_overcommitted(connection, root)) / GIB,
        "numa_topology": json.dumps({"cells": topology}) if cells else None,
    }


def supported_instances(host: Capabilities) -> list[tuple[str, str, str]]:
    """Return (architecture, domain type, ``hvm`` or ``exe`` …) of the guests that can be run."""
    return [
        (guest.arch, kind, guest.os_type or "hvm")
        for guest in host.guests
        if guest.arch in _ARCHITECTURES
        for kind in guest.domains
    ]


def cpu_info(host: Capabilities) -> dict[str, Any]:
    """Return the host's CPU: arch, model, vendor, topology, features, and maxphysaddr where known."""
    topology = host.cpu.topology
    info: dict[str, Any] = {
        "arch": host.cpu.arch,
        "model": host.cpu.model,
        "vendor": host.cpu.vendor,
        "topology": {
            "cells": len(host.cells) or 1,
            "sockets": topology.sockets if topology else None,
            "cores": topology.cores if topology else None,
            "threads": topology.threads if topology else None,
        },
        "features": sorted(host.cpu.features),
    }
    if host.cpu.maxphysaddr is not None:
        info["maxphysaddr"] = {"mode": host.cpu.maxphysaddr.mode, "bits": host.cpu.maxphysaddr.bits}
    return info
