"""The libvirt driver: one node, named as libvirt names the host, with the tree of nova-compute.

Only the order of things is here; see the package's docstring for what makes which part of the tree.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

import psutil

from drivers.base import Allocations, ComputeDriver, Instance, Vocabulary
from drivers.compute_inventory import compute_inventory, reserved
from drivers.compute_inventory import read_settings as read_shared_settings
from drivers.libvirt.abilities import abilities
from drivers.libvirt.checks import check_on_host, check_settings
from drivers.libvirt.connection import Connection
from drivers.libvirt.cpu_sets import choose_cpus, cpu_totals
from drivers.libvirt.disk import disk_total, read_space, with_image_cache
from drivers.libvirt.events import Heard, event_of
from drivers.libvirt.host_resource import read_available_resource
from drivers.libvirt.hypervisor import Hypervisor
from drivers.libvirt.mdev.part import MdevPart
from drivers.libvirt.memory import memory_total
from drivers.libvirt.memory_encryption_part import MemoryEncryptionPart
from drivers.libvirt.options import OPTIONS, READ_WHERE_USED, connection_uri
from drivers.libvirt.parts import Part, merged_options
from drivers.libvirt.pci.part import PciPart
from drivers.libvirt.reshape_pinned import PinnedPart
from drivers.libvirt.settings import explained, read_settings
from drivers.libvirt.traits import OWN_PREFIXES, OWN_TRAITS, root_traits, source_of
from drivers.libvirt.vpmem import VpmemPart
from drivers.node_identity import read_node_uuid
from drivers.reshape_rules import ReshapeRules
from drivers.root import HostRoot
from drivers.uptime import read_uptime

if TYPE_CHECKING:
    from collections.abc import Callable

    from oslo_config import cfg

    from drivers.events import Event
    from provider_tree.tree import ProviderTree

LOG = logging.getLogger(__name__)

CLASSES = frozenset({"VCPU", "PCPU", "MEMORY_MB", "DISK_GB"})

# What comes after the root's own inventory, in this order.
PARTS: tuple[type[Part], ...] = (MdevPart, PinnedPart, VpmemPart, MemoryEncryptionPart, PciPart)


class LibvirtDriver(ComputeDriver):
    """Reports the host that a libvirt manages.

    :param root: the host's files; this machine's, unless a test gives others
    """

    options: ClassVar[Mapping[str, Sequence[cfg.Opt]]] = merged_options(OPTIONS, PARTS)
    read_where_used = READ_WHERE_USED

    def __init__(
        self, conf: cfg.ConfigOpts, virtapi: object | None = None, root: HostRoot | None = None
    ) -> None:
        super().__init__(conf, virtapi)
        self.settings = read_settings(conf)
        check_settings(self.settings)
        self.root = root or HostRoot()
        self.connection = Connection(connection_uri(conf), conf.reporter.libvirt_time_limit)
        self.hypervisor = Hypervisor(
            self.connection, self.settings.virt_type, self.settings.machine_types, self.root
        )
        with explained():
            self.parts: list[Part] = [part(conf, self.hypervisor) for part in PARTS]
        self._node: str | None = None
        self._traits: Mapping[str, bool] = {}
        self._stale = True

    # -- life

    def init_host(self, host: str) -> None:
        """Connect, and refuse what this host cannot do as configured.

        :raises DriverOptionError: names the option and what it expects
        :raises LibvirtUnreachable: says which URI, and how to start it
        """
        self.hypervisor.refresh()
        check_on_host(self.settings, self.hypervisor)
        for part in self.parts:
            part.check()
        self._look_again()

    def _look_again(self) -> None:
        """Work out what hardly ever changes, if it did or if that failed the last time."""
        self._stale = self.hypervisor.refresh() or self._stale
        if self._stale:
            self._traits = root_traits(self.settings, self.hypervisor)
            self.capabilities = abilities(self.settings.abilities, self.hypervisor)
            self._stale = False

    def cleanup_host(self, host: str) -> None:
        """Close the connection."""
        self.connection.close()

    def register_event_listener(self, callback: Callable[[Event], object] | None) -> None:
        """Have ``callback`` called with events; libvirt is listened to from now on."""
        super().register_event_listener(callback)
        if callback is not None:
            self.connection.watch(self._hear)

    def _hear(self, heard: Heard) -> None:
        event = event_of(heard, self._node)
        if event is not None:
            self.emit_event(event)

    # -- nodes

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        """Return the one node. Its name is kept: a provider cannot follow a host that renames itself."""
        if self._node is None:
            self._node = self.connection.hostname()
        elif refresh and (now := self.connection.hostname()) != self._node:
            LOG.error(
                "The host is now called %s; it is still reported as %s until a restart", now, self._node
            )
        return [self._node]

    # -- inventory

    @property
    def vocabulary(self) -> Vocabulary:
        """Return the traits and classes that this driver and its parts set and unset."""
        found = super().vocabulary | Vocabulary(OWN_TRAITS, OWN_PREFIXES, CLASSES)
        for part in self.parts:
            found |= part.vocabulary
        return found

    @property
    def reshape_rules(self) -> ReshapeRules:
        """Return which amounts the reshapes of the parts may change."""
        rules = [part.reshape_rules for part in self.parts]
        return ReshapeRules(
            frozenset().union(*(each.class_changes for each in rules)),
            frozenset().union(*(each.additions for each in rules)),
        )

    def note_ownership(self, nodename: str, is_ours: Callable[[str, str], bool]) -> None:
        """Tell the parts."""
        for part in self.parts:
            part.note_ownership(is_ours)

    def update_provider_tree(
        self, provider_tree: ProviderTree, nodename: str, allocations: Allocations | None = None
    ) -> None:
        """Give the node its inventory, traits and child providers.

        :raises DriverOptionError: the configuration does not fit the host (any more)
        :raises HostReadError: libvirt does not answer
        """
        self._look_again()
        for part in self.parts:
            part.before(provider_tree, nodename)
        self._set_inventory(provider_tree, nodename)
        self._set_traits(provider_tree, nodename, self._traits, OWN_PREFIXES)
        for part in self.parts:
            part.update(provider_tree, nodename, allocations)
            self.capabilities = {**self.capabilities, **part.capabilities()}
        self._set_traits(provider_tree, nodename, self.capabilities_as_traits())

    def _set_inventory(self, provider_tree: ProviderTree, nodename: str) -> None:
        settings, shared = self.settings, read_shared_settings(self.conf)
        totals = {
            **cpu_totals(choose_cpus(settings.cpus, self.hypervisor.cpu_map())),
            "MEMORY_MB": memory_total(settings.memory.file_backed, self.connection.node_info().memory_mib),
            "DISK_GB": disk_total(read_space(settings.disk, self.root)),
        }
        reserved_disk = with_image_cache(reserved("DISK_GB", shared), settings.disk, self.root)
        current = provider_tree.provider(nodename).inventory
        inventory = compute_inventory(totals, shared, current, {"DISK_GB": reserved_disk})
        others = {name: record for name, record in current.items() if name not in CLASSES}
        provider_tree.update_inventory(nodename, {**others, **inventory.records})
        for field, source in inventory.notes.items():
            provider_tree.note(nodename, field, source)

    @staticmethod
    def _set_traits(
        provider_tree: ProviderTree, nodename: str, traits: Mapping[str, bool], prefixes: tuple[str, ...] = ()
    ) -> None:
        """Set the traits that are supported; unset the others, and all others that begin with a prefix."""
        wanted = {trait for trait, supported in traits.items() if supported}
        there = provider_tree.provider(nodename).traits
        stale = {trait for trait in there if trait.startswith(prefixes)} if prefixes else set()
        provider_tree.remove_traits(nodename, *((stale | traits.keys()) - wanted))
        provider_tree.add_traits(nodename, *wanted)
        for trait in wanted:
            provider_tree.note(nodename, f"traits.{trait}", source_of(trait))

    # -- the host

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Return the resources of the host under Nova's keys."""
        found = read_available_resource(self.settings, self.hypervisor)
        found["uuid"] = read_node_uuid(self.conf)
        found["stats"] = {"uptime": self.get_host_uptime()}
        for part in self.parts:
            found.update(part.resources())
        return found

    def get_host_ip_addr(self) -> str:
        """Return ``[DEFAULT] my_ip``."""
        return str(self.conf.my_ip)

    def get_host_uptime(self) -> str:
        """Return what uptime(1) prints."""
        users = len(psutil.users()) if self.root.is_this_machine else 0
        return read_uptime(self.root, datetime.now().astimezone(), users)

    def get_host_cpu_stats(self) -> dict[str, int | None]:
        """Return what libvirt says the CPUs did since boot."""
        return {**self.connection.cpu_stats(), "frequency": self.connection.node_info().mhz}

    # -- instances

    def list_instances(self) -> list[str]:
        """Return libvirt's names of the guests, running or not."""
        return [domain.name for domain in self.connection.domains()]

    def list_instance_uuids(self) -> list[str]:
        """Return the uuids of the guests, running or not."""
        return [domain.uuid for domain in self.connection.domains()]

    def instance_exists(self, instance: Instance) -> bool:
        """Tell whether there is a guest of the instance's uuid."""
        return self.connection.has_domain(instance.uuid)
