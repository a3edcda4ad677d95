"""The host itself as a compute node, without a hypervisor: its CPUs, memory, disk, and CPU features."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

import psutil
from oslo_config import cfg

from drivers.base import Allocations, ComputeDriver, Vocabulary
from drivers.compute_inventory import compute_inventory, read_settings
from drivers.host.cpu import CpuFacts, read_cpu, require_flags, require_online
from drivers.host.cpu_stats import read_cpu_stats
from drivers.host.disk import GIB, DiskFacts, choose_path, read_disk
from drivers.host.facts import HostFacts, read_facts
from drivers.host.memory import MEMINFO, MemoryFacts, read_memory, require_memory
from drivers.host.pci import pci_document
from drivers.host.traits import HOST_TRAITS, cpu_traits
from drivers.node_identity import read_node_uuid
from drivers.root import HostRoot
from drivers.uptime import read_uptime
from provider_tree.source import Source

if TYPE_CHECKING:
    from provider_tree.tree import ProviderTree

LOG = logging.getLogger(__name__)

COMPUTE_NODE = "COMPUTE_NODE"
OSRELEASE = "proc/sys/kernel/osrelease"
KIB_PER_MB = 1024

_GROUP: tuple[cfg.Opt, ...] = (
    cfg.StrOpt(
        "disk_path",
        help="A directory on the file system that is reported as DISK_GB. Unset: instances_path where it "
        "exists, otherwise /.",
    ),
)


class HostDriver(ComputeDriver):
    """Reports one node, named ``[DEFAULT] host``.

    :param root: the machine to read; this one, unless a recorded one is given
    """

    # Not [host]: oslo.config would hand out the group where conf.host, the host's name, is asked for.
    options: ClassVar[Mapping[str, Sequence[cfg.Opt]]] = {"host_driver": _GROUP}

    def __init__(
        self, conf: cfg.ConfigOpts, virtapi: object | None = None, root: HostRoot | None = None
    ) -> None:
        super().__init__(conf, virtapi)
        self.root = root or HostRoot()
        self._warned: frozenset[str] = frozenset()

    def init_host(self, host: str) -> None:
        """Look once whether the host can be read at all.

        :raises HostReadError: it cannot
        """
        cpu = read_cpu(self.root)
        require_online(cpu)
        require_flags(cpu)
        require_memory(read_memory(self.root))

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        """Return the one node: the name of the host."""
        return [self.conf.host]

    @property
    def vocabulary(self) -> Vocabulary:
        """Return the capability traits, and every trait and class that this driver can find."""
        return super().vocabulary | Vocabulary(
            traits=HOST_TRAITS | {COMPUTE_NODE}, classes=frozenset({"VCPU", "MEMORY_MB", "DISK_GB"})
        )

    def update_provider_tree(
        self, provider_tree: ProviderTree, nodename: str, allocations: Allocations | None = None
    ) -> None:
        """Give the node its VCPU, MEMORY_MB and DISK_GB, and the traits of its CPUs.

        :raises HostReadError: a fact is not known; nothing has been changed then
        """
        cpu, memory = read_cpu(self.root), read_memory(self.root)
        require_flags(cpu)
        totals = self._totals(cpu, memory, self._disk())
        current = provider_tree.provider(nodename).inventory
        inventory = compute_inventory(totals, read_settings(self.conf), current)
        traits = cpu_traits(cpu) | {COMPUTE_NODE}
        capable = {trait for trait, supported in self.capabilities_as_traits().items() if supported}
        provider_tree.update_inventory(nodename, inventory.records)
        provider_tree.remove_traits(nodename, *(self.vocabulary.traits - traits - capable))
        provider_tree.add_traits(nodename, *traits, *capable)
        notes = {
            **inventory.notes,
            **{f"traits.{trait}": self._trait_source(cpu, trait) for trait in sorted(traits)},
            **{
                f"traits.{trait}": Source("driver", "a capability of the driver") for trait in sorted(capable)
            },
        }
        for field, source in notes.items():
            provider_tree.note(nodename, field, source)

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Return the resources under Nova's keys; None for what the host does not tell.

        There are no instances, so none of the CPUs is used; memory and disk are used by whatever runs.
        """
        facts, disk = self._read(), self._disk()
        memory = require_memory(facts.memory)
        available = memory.available_kib
        return {
            "uuid": read_node_uuid(self.conf),
            "hypervisor_hostname": self.conf.host,
            "hypervisor_type": "host",
            "hypervisor_version": kernel_version(self.root.find_text(OSRELEASE)),
            "supported_instances": [],
            "vcpus": len(require_online(facts.cpu)),
            "vcpus_used": 0,
            "memory_mb": memory.total_kib // KIB_PER_MB,
            "memory_mb_used": None if available is None else (memory.total_kib - available) // KIB_PER_MB,
            "local_gb": disk.total_gb,
            "local_gb_used": disk.used // GIB,
            "disk_available_least": disk.free // GIB,
            "cpu_info": json.dumps(_cpu_info(facts)),
            "numa_topology": json.dumps(_numa_topology(facts)) if facts.numa else None,
            "pci_passthrough_devices": json.dumps(pci_document(facts.pci or {})),
            "stats": {"uptime": self.get_host_uptime()},
        }

    def list_instances(self) -> list[str]:
        """Return no instances: there is no hypervisor."""
        return []

    def get_host_ip_addr(self) -> str:
        """Return ``[DEFAULT] my_ip``."""
        return str(self.conf.my_ip)

    def get_host_uptime(self) -> str:
        """Return what uptime(1) prints. Errors as :func:`drivers.uptime.read_uptime`."""
        users = len(psutil.users()) if self.root.is_this_machine else 0
        return read_uptime(self.root, datetime.now().astimezone(), users)

    def get_host_cpu_stats(self) -> dict[str, int | None]:
        """Return what the CPUs did since boot.

        :raises NotImplementedError: the machine is a recorded one
        """
        if not self.root.is_this_machine:
            raise NotImplementedError
        return read_cpu_stats()

    def _read(self) -> HostFacts:
        facts = read_facts(self.root)
        for warning in facts.warnings:
            if warning not in self._warned:
                LOG.warning("%s", warning)
        self._warned = frozenset(facts.warnings)
        return facts

    def _disk(self) -> DiskFacts:
        path = choose_path(self.root, self.conf.host_driver.disk_path, self.conf.instances_path)
        return read_disk(self.root, path)

    def _totals(self, cpu: CpuFacts, found: MemoryFacts | None, disk: DiskFacts) -> dict[str, Source]:
        online, memory = require_online(cpu), require_memory(found)
        return {
            "VCPU": Source("driver", f"online CPUs of {cpu.online_source}", len(online)),
            "MEMORY_MB": Source(
                "driver", f"MemTotal of {self.root.display(MEMINFO)}", memory.total_kib // KIB_PER_MB
            ),
            "DISK_GB": Source("driver", f"size of the file system of {disk.path}", disk.total_gb),
        }

    def _trait_source(self, cpu: CpuFacts, trait: str) -> Source:
        if trait == COMPUTE_NODE:
            return Source("driver", "every compute node has it")
        if trait.startswith("HW_ARCH_"):
            return Source("driver", f"machine name {cpu.arch}")
        return Source("driver", f"the CPUs of {self.root.display('proc/cpuinfo')}")


def kernel_version(release: str | None) -> int | None:
    """Return ``6.1.0-13-amd64`` as 6001000, as Nova writes hypervisor versions; None if unknown."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release or "")
    return None if match is None else int(match[1]) * 1_000_000 + int(match[2]) * 1_000 + int(match[3] or 0)


def _cpu_info(facts: HostFacts) -> dict[str, Any]:
    cpu = facts.cpu
    return {
        "arch": cpu.arch,
        "model": cpu.model,
        "vendor": cpu.vendor,
        "features": sorted(cpu.flags or ()),
        "topology": {"sockets": cpu.sockets, "cores": cpu.cores, "cpus": len(cpu.online or ())},
    }


def _numa_topology(facts: HostFacts) -> dict[str, Any]:
    nodes = facts.numa.nodes if facts.numa else {}
    return {
        "cells": [
            {
                "id": number,
                "cpuset": sorted(node.cpus),
                "memory": None if node.memory_kib is None else node.memory_kib // KIB_PER_MB,
                "mempages": [
                    {"size_kb": size, "total": count} for size, count in sorted(node.hugepages.items())
                ],
            }
            for number, node in sorted(nodes.items())
        ]
    }
