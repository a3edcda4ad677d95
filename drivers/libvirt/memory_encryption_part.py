"""Guests with encrypted memory: the providers, and moving MEM_ENCRYPTION_CONTEXT to them from the node."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from oslo_config import cfg

from drivers.base import Allocations, Vocabulary
from drivers.errors import ReshapeFailed, ReshapeNeeded
from drivers.libvirt.hypervisor import Hypervisor
from drivers.libvirt.memory_encryption import (
    RESOURCE_CLASS,
    SEV_TRAIT,
    TRAITS,
    X86_64,
    Technology,
    find_technologies,
    has_tdx,
    read_kernel,
    record,
)
from drivers.libvirt.parts import OWNER, Part
from drivers.libvirt.settings import read_used
from drivers.libvirt.telling import Teller
from drivers.reshape import consumers_of, move_allocations
from provider_tree.source import Source
from provider_tree.tree import ProviderTree

LOG = logging.getLogger(__name__)


class MemoryEncryptionPart(Part):
    """One provider a technology that the host has, e.g. ``NODE_amd_sev``.

    Before 2025.2, Nova had the contexts of SEV on the node itself; they move, with what is allocated of them.
    """

    options: ClassVar[Mapping[str, Sequence[cfg.Opt]]] = {
        "libvirt": (
            cfg.IntOpt(
                "num_intel_tdx_guests",
                min=0,
                help="How many guests can have Intel TDX. Unset: what the kernel says in misc.capacity.",
            ),
        ),
    }
    vocabulary: Vocabulary = Vocabulary(
        traits=frozenset({OWNER, *TRAITS}), classes=frozenset({RESOURCE_CLASS})
    )

    def __init__(self, conf: cfg.ConfigOpts, hypervisor: Hypervisor) -> None:
        super().__init__(conf, hypervisor)
        self._teller = Teller(LOG)

    def update(self, provider_tree: ProviderTree, nodename: str, allocations: Allocations | None) -> None:
        """Bring the providers up to date.

        :raises ReshapeNeeded: the node itself has contexts, and ``allocations`` is None
        :raises ReshapeFailed: they are in use, but the host has no SEV
        """
        providers = put_technologies(provider_tree, nodename, self._technologies())
        root = provider_tree.provider(nodename)
        if RESOURCE_CLASS not in root.inventory:
            return
        if allocations is None:
            raise ReshapeNeeded(f"{RESOURCE_CLASS} of {nodename} moves to a provider of its own")
        move_to_sev(allocations, root.uuid, providers.get(SEV_TRAIT))
        provider_tree.remove_traits(nodename, SEV_TRAIT)
        left = {name: each for name, each in root.inventory.items() if name != RESOURCE_CLASS}
        provider_tree.update_inventory(nodename, left)

    def _technologies(self) -> Sequence[Technology]:
        hypervisor = self.hypervisor
        is_x86 = hypervisor.capabilities().arch == X86_64
        guests = tuple(hypervisor.domain_capabilities().get(X86_64, {}).values()) if is_x86 else ()
        cpu_mode = self.conf.libvirt.cpu_mode
        found = find_technologies(
            guests,
            read_kernel(hypervisor.root),
            hypervisor.versions,
            cpu_mode,
            read_used(self.conf, "libvirt", "num_intel_tdx_guests") if has_tdx(guests, cpu_mode) else None,
        )
        self._teller.tell(found.warnings)
        return found.technologies


def put_technologies(tree: ProviderTree, node: str, technologies: Iterable[Technology]) -> dict[str, str]:
    """Make the providers below the node what they should be; returns trait → uuid of those that there are."""
    uuids: dict[str, str] = {}
    for technology in technologies:
        name = f"{node}_{technology.name}"
        if not technology.contexts:
            if tree.exists(name):
                tree.remove(name)
            continue
        if not tree.exists(name):
            tree.new_child(name, node)
        tree.update_inventory(name, {RESOURCE_CLASS: record(technology.contexts)})
        tree.add_traits(name, OWNER, technology.trait)
        tree.note(name, RESOURCE_CLASS, Source("driver", technology.source, technology.contexts))
        uuids[technology.trait] = tree.provider(name).uuid
    return uuids


def move_to_sev(allocations: Allocations, root: str, sev: str | None) -> None:
    """Move what consumers hold of the root's contexts to SEV's provider, in place: then there was only SEV.

    :param root: uuid of the root
    :param sev: uuid of SEV's provider, None where the host has no SEV
    :raises ReshapeFailed: a consumer holds a context, and there is no such provider
    """
    holders = consumers_of(allocations, RESOURCE_CLASS, root)
    if sev is not None:
        move_allocations(allocations, RESOURCE_CLASS, root, sev)
    elif holders:
        consumer, amount = min(holders.items())
        raise ReshapeFailed(
            f"consumer {consumer} holds {amount} {RESOURCE_CLASS}, but this host has no AMD SEV now",
            "enable SEV again (kernel, QEMU, libvirt), or migrate that instance",
        )
