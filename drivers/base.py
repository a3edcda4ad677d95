"""The contract of a driver: the part of Nova's ComputeDriver that reports, under its own names.

A driver says which nodes it has and makes a node's provider tree what it should be. What it cannot tell it
leaves to this class, which raises NotImplementedError. Starting and stopping instances is not part of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from drivers import capabilities as capability_table
from drivers.capabilities import CAPABILITY_TRAITS_MAP, NO_CAPABILITIES
from drivers.compute_inventory import RATIO_OPTIONS, allocation_ratio, disk_gb, read_settings
from drivers.events import Event
from drivers.node_identity import read_node_uuid
from drivers.reshape_rules import ReshapeRules

if TYPE_CHECKING:
    from oslo_config import cfg

    from provider_tree.tree import ProviderTree

__all__ = ["CAPABILITY_TRAITS_MAP", "Allocations", "ComputeDriver", "Instance", "Vocabulary"]

LOG = logging.getLogger(__name__)

Allocations = dict[str, dict[str, Any]]
"""Consumer uuid → {"allocations": {provider uuid: {"resources": {class: amount}}}, "project_id", "user_id",
"consumer_generation"}, as GET /allocations/{consumer} has it."""


class Instance(Protocol):
    """What is asked of an instance: its uuid, and the name that the hypervisor knows it by."""

    uuid: str
    name: str


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The traits and resource classes that a driver may set and unset, by name or by how they begin.

    They are the driver's own even where nothing tells who wrote them: one that no longer applies is removed.
    """

    traits: frozenset[str] = frozenset()
    trait_prefixes: tuple[str, ...] = ()
    classes: frozenset[str] = frozenset()
    class_prefixes: tuple[str, ...] = ()

    def has_trait(self, name: str) -> bool:
        """Tell whether the trait is the driver's to set and unset."""
        return name in self.traits or name.startswith(self.trait_prefixes)

    def has_class(self, name: str) -> bool:
        """Tell whether the resource class is the driver's to set and unset."""
        return name in self.classes or name.startswith(self.class_prefixes)

    def __or__(self, other: Vocabulary) -> Vocabulary:
        return Vocabulary(
            self.traits | other.traits,
            tuple(dict.fromkeys(self.trait_prefixes + other.trait_prefixes)),
            self.classes | other.classes,
            tuple(dict.fromkeys(self.class_prefixes + other.class_prefixes)),
        )


class ComputeDriver:
    """What every driver derives from.

    :param conf: the configuration; the shared options and :attr:`options` are registered in it
        (drivers.load_driver does that)
    :param virtapi: what Nova hands to its drivers; drivers here have no use for it
    """

    name: str = ""
    """What it is loaded as; messages call it so."""

    options: ClassVar[Mapping[str, Sequence[cfg.Opt]]] = {}
    """Group → the options that this driver adds to the shared ones."""

    read_where_used: ClassVar[Collection[tuple[str, str]]] = ()
    """(group, option) of those that are read in some configurations only: a wrong value matters there alone,
    and the driver raises DriverOptionError for it."""

    capabilities: Mapping[str, bool] = NO_CAPABILITIES
    """Capability → supported; a driver that finds out at run time replaces it in ``init_host``."""

    rebalances_nodes: bool = False
    """Whether nodes move between the hosts that run this driver, as Ironic's do."""

    def __init__(self, conf: cfg.ConfigOpts, virtapi: object | None = None) -> None:
        self.conf = conf
        self.virtapi = virtapi
        self._compute_event_callback: Callable[[Event], object] | None = None

    # -- life

    def init_host(self, host: str) -> None:
        """Get ready, once, before anything else is asked.

        :param host: ``[DEFAULT] host``
        """
        raise NotImplementedError

    def cleanup_host(self, host: str) -> None:
        """Let go of what ``init_host`` took: connections, threads."""

    # -- nodes

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        """Return the names of the nodes, each the name of a root provider.

        :param refresh: look again instead of answering from what was found before
        """
        raise NotImplementedError

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        """Return uuid → name for the nodes whose uuid is known: here the one of Nova's ``compute_id`` file.

        :raises NotImplementedError: there is no such file, or the driver has several nodes
        :raises DriverOptionError: compute_id files are malformed or disagree
        """
        nodes = self.get_available_nodes(refresh=refresh)
        node_uuid = read_node_uuid(self.conf)
        if node_uuid is None or len(nodes) != 1:
            raise NotImplementedError
        return {node_uuid: nodes[0]}

    def new_node_uuid(self, nodename: str) -> str | None:
        """Return the uuid for a node that Placement does not know yet; None for a random one.

        Unlike :meth:`get_nodenames_by_uuid` this gives way to a provider of that name in Placement.
        """
        return None

    def node_is_available(self, nodename: str) -> bool:
        """Tell whether the node is among those of this driver, looking again before saying no."""
        return nodename in self.get_available_nodes() or nodename in self.get_available_nodes(refresh=True)

    # -- inventory

    def note_ownership(self, nodename: str, is_ours: Callable[[str, str], bool]) -> None:
        """Be told, before each :meth:`update_provider_tree`, which inventory has been reported from here.

        For drivers that make the tree from what they want alone: to them a class of another agent's provider
        looks like one of their own that is no longer wanted.

        :param is_ours: called with a provider's uuid and a resource class; False where the ledger is lost
        """

    def update_provider_tree(
        self, provider_tree: ProviderTree, nodename: str, allocations: Allocations | None = None
    ) -> None:
        """Make ``provider_tree``, which holds what Placement has, what it should be for this node.

        :param provider_tree: a copy that belongs to this call; has a root provider called ``nodename``. It
            may hold providers, traits and aggregates that others manage: leave those alone.
        :param allocations: None at first. When inventory that is in use must move to another provider or
            class, raise ReshapeNeeded; the call is then made again with the allocations of the tree, to be
            edited in place (drivers.reshape helps) for the providers concerned.
        :raises ReshapeNeeded: ``allocations`` is None and inventory must move
        :raises ReshapeFailed: it must move, but cannot
        """
        raise NotImplementedError

    def capabilities_as_traits(self) -> dict[str, bool]:
        """Return trait → supported for the capabilities that have a trait.

        Image formats of ``[compute] image_type_exclude_list`` count as not supported.
        """
        excluded = frozenset(self.conf.compute.image_type_exclude_list)
        return capability_table.as_traits(self.capabilities, excluded)

    @property
    def vocabulary(self) -> Vocabulary:
        """Return what is the driver's to set and unset even when nobody remembers who wrote it."""
        return Vocabulary(traits=frozenset(CAPABILITY_TRAITS_MAP.values()))

    @property
    def reshape_rules(self) -> ReshapeRules:
        """Return which amounts a reshape of this driver may change: none, unless a class becomes another."""
        return ReshapeRules()

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Return the resources of a node under Nova's keys: vcpus, vcpus_used, memory_mb and so on."""
        raise NotImplementedError

    def _get_allocation_ratios(self, inventory: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
        """Return the allocation ratios of VCPU, MEMORY_MB and DISK_GB.

        :param inventory: what Placement has of the provider, by resource class
        """
        settings = read_settings(self.conf)
        return {name: allocation_ratio(name, settings, inventory).value for name in RATIO_OPTIONS}

    def _get_reserved_host_disk_gb_from_config(self) -> int:
        """Return ``reserved_host_disk_mb`` in whole GiB, rounded up."""
        return disk_gb(self.conf.reserved_host_disk_mb)

    # -- the host

    def get_host_ip_addr(self) -> str:
        """Return the IP address of the host."""
        raise NotImplementedError

    def get_host_uptime(self) -> str:
        """Return the time since boot and the load, as uptime(1) prints them."""
        raise NotImplementedError

    def get_host_cpu_stats(self) -> dict[str, int | None]:
        """Return what the CPUs did since boot.

        Keys: ``kernel``, ``idle``, ``user``, ``iowait`` in ns over all CPUs; ``frequency`` in MHz or None.
        """
        raise NotImplementedError

    # -- instances

    def list_instances(self) -> list[str]:
        """Return the hypervisor's names of the instances on this host."""
        raise NotImplementedError

    def list_instance_uuids(self) -> list[str]:
        """Return the uuids of the instances on this host."""
        raise NotImplementedError

    def get_num_instances(self) -> int:
        """Return how many instances there are on this host."""
        return len(self.list_instances())

    def instance_exists(self, instance: Instance) -> bool:
        """Tell whether the instance is on this host, by uuid, or by name where the driver has no uuids."""
        try:
            return instance.uuid in self.list_instance_uuids()
        except NotImplementedError:
            return instance.name in self.list_instances()

    # -- events

    def register_event_listener(self, callback: Callable[[Event], object] | None) -> None:
        """Have ``callback`` called with every event; the last one registered counts, None stops it.

        Unlike all else it may come before ``init_host``, and does in the service.
        """
        self._compute_event_callback = callback

    def emit_event(self, event: Event) -> None:
        """Hand an event to the listener. What the listener raises is logged: the driver's thread must go on.

        :raises ValueError: there is a listener, and ``event`` is not a drivers.events.Event
        """
        callback = self._compute_event_callback
        if callback is None:
            LOG.debug("Nobody listens to %r", event)
            return
        if not isinstance(event, Event):
            raise ValueError(f"not an event (drivers.events.Event): {event!r}")  # noqa: TRY004 - Nova's contract
        try:
            callback(event)
        except Exception:
            LOG.exception("The listener failed on %r", event)
