"""VCPU to PCPU: what instances with CPUs of their own hold, when ``[compute] cpu_dedicated_set`` comes into
use.

Before Train, Nova counted pinned CPUs as VCPU. When a node that has VCPU and no PCPU yet is given dedicated
CPUs, what its pinned instances hold of VCPU becomes as much PCPU. Which instances are pinned is read from
their domains.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from drivers.base import Allocations
from drivers.errors import ReshapeFailed, ReshapeNeeded
from drivers.libvirt.cpu_sets import DEDICATED_SET, SHARED_SET, format_cpus, read_cpu_set
from drivers.libvirt.domain_xml import GuestUse
from drivers.libvirt.guests import read_guests
from drivers.libvirt.parts import Part
from drivers.reshape import consumers_of, move_allocations
from drivers.reshape_rules import ReshapeRules
from provider_tree.tree import ProviderTree

LOG = logging.getLogger(__name__)
VCPU, PCPU = "VCPU", "PCPU"


def is_pinned(guest: GuestUse) -> bool:
    """Tell whether all CPUs of an instance are dedicated to it.

    Nova's own note of the CPU policy decides; instances that are older than such notes are pinned when each
    of their CPUs runs on one host CPU, a different one each.
    """
    if guest.cpu_policy is not None:
        return guest.cpu_policy == "dedicated"
    if not guest.vcpus or set(guest.pins) != set(range(guest.vcpus)):
        return False
    host_cpus = [cpu for cpus in guest.pins.values() for cpu in cpus]
    return len(host_cpus) == guest.vcpus == len(set(host_cpus))


def to_pcpu(allocations: Allocations, root: str, guests: Iterable[GuestUse]) -> None:
    """Turn what pinned instances hold of VCPU on the root into PCPU, in place; whoever has PCPU stays as is.

    :param root: uuid of the node's own provider
    """
    already = consumers_of(allocations, PCPU, root)
    pinned = {guest.uuid for guest in guests} - already.keys()
    move_allocations(allocations, VCPU, root, root, pinned, to_class=PCPU)


class PinnedPart(Part):
    """The reshape from VCPU to PCPU; the inventory itself is the driver's."""

    _starts = False

    def before(self, provider_tree: ProviderTree, nodename: str) -> None:
        """See whether dedicated CPUs come into use: the node has VCPU and no PCPU, but is to have it."""
        inventory = provider_tree.provider(nodename).inventory
        dedicated = bool(self.conf.compute.cpu_dedicated_set)
        self._starts = dedicated and VCPU in inventory and PCPU not in inventory

    def update(self, provider_tree: ProviderTree, nodename: str, allocations: Allocations | None) -> None:
        """Move what pinned instances hold.

        :raises ReshapeNeeded: there are pinned instances, and ``allocations`` is None
        :raises ReshapeFailed: somebody would go on holding VCPU of a node that has none any more
        """
        if not self._starts:
            return
        pinned = [guest for guest in read_guests(self.hypervisor.connection) if is_pinned(guest)]
        if not pinned:
            return
        if allocations is None:
            raise ReshapeNeeded(f"VCPU of pinned instances on {nodename} becomes PCPU")
        self._warn_of_strays(pinned)
        root = provider_tree.provider(nodename)
        to_pcpu(allocations, root.uuid, pinned)
        if VCPU not in root.inventory:
            _refuse_left_behind(allocations, root.uuid)

    def _warn_of_strays(self, pinned: Iterable[GuestUse]) -> None:
        dedicated = read_cpu_set(self.conf.compute.cpu_dedicated_set, DEDICATED_SET) or frozenset()
        for guest in pinned:
            strays = {cpu for cpus in guest.pins.values() for cpu in cpus} - dedicated
            if strays:
                LOG.warning(
                    "Instance %s is pinned to CPU %s, which %s does not name",
                    guest.uuid,
                    format_cpus(strays),
                    DEDICATED_SET,
                )

    @property
    def reshape_rules(self) -> ReshapeRules:
        """VCPU may become PCPU."""
        return ReshapeRules(class_changes=frozenset({(VCPU, PCPU)}))


def _refuse_left_behind(allocations: Allocations, root: str) -> None:
    left = consumers_of(allocations, VCPU, root)
    if left:
        consumer, amount = min(left.items())
        raise ReshapeFailed(
            f"consumer {consumer} holds {amount} VCPU, but is no pinned instance of this host, "
            f"and {DEDICATED_SET} leaves no VCPU",
            f"set {SHARED_SET} as well; or finish its migration, or delete its allocations if it is gone",
        )
