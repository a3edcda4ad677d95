"""Mediated devices: the order of things."""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import ClassVar

from oslo_config import cfg

from drivers.base import Allocations, Vocabulary
from drivers.errors import ReshapeNeeded
from drivers.libvirt.guests import read_guests
from drivers.libvirt.hypervisor import Hypervisor
from drivers.libvirt.mdev.config import MDEV_OPTIONS, TYPES_OPTION, VGPU, MdevConfig, assign, read_types
from drivers.libvirt.mdev.inventory import gpu_totals, record, unavailable_types
from drivers.libvirt.mdev.node_device import Mdev, MdevParent, parse_mdev, parse_mdev_parent
from drivers.libvirt.mdev.reshape import move_to_gpus
from drivers.libvirt.parts import OWNER, Part
from drivers.libvirt.telling import Teller
from provider_tree.source import Source
from provider_tree.tree import ProviderTree

LOG = logging.getLogger(__name__)
_GPU = re.compile(r"pci_[0-9a-f]{4}_[0-9a-f]{2}_[0-9a-f]{2}_[0-7]")

_parse_parent = lru_cache(maxsize=1024)(parse_mdev_parent)
_parse_mdev = lru_cache(maxsize=1024)(parse_mdev)


class MdevPart(Part):
    """One provider a physical GPU, or whatever else mediated devices are made of: NODE_pci_0000_84_00_0."""

    options: ClassVar[Mapping[str, Sequence[cfg.Opt]]] = MDEV_OPTIONS
    vocabulary: Vocabulary = Vocabulary(traits=frozenset({OWNER}), classes=frozenset({VGPU}))

    def __init__(self, conf: cfg.ConfigOpts, hypervisor: Hypervisor) -> None:
        super().__init__(conf, hypervisor)
        self._types = read_types(conf)
        self._config = assign(self._types, hypervisor.root)
        self._teller = Teller(LOG)
        self._warnings: Sequence[str] = ()

    def update(self, provider_tree: ProviderTree, nodename: str, allocations: Allocations | None) -> None:
        """Bring the providers of GPUs up to date; move VGPU there from the node itself, where Nova once had
        it.

        :raises ReshapeNeeded: the node itself has VGPU, and ``allocations`` is None
        :raises ReshapeFailed: an allocation of it cannot be moved to the GPU that is really used
        """
        root = provider_tree.provider(nodename)
        mdevs, totals = self._read_gpus() if self._config.types else ((), {})
        gpus = put_gpus(provider_tree, nodename, self._config, totals)
        left_over = left_over_gpus(provider_tree, nodename, gpus) if self._config.types else ()
        self._teller.tell([*self._warnings, *left_over])
        if VGPU not in root.inventory:
            return
        if totals:
            if allocations is None:
                raise ReshapeNeeded(
                    f"VGPU of {nodename} moves to its GPUs: {', '.join(sorted(gpus)) or 'none'}"
                )
            guests = read_guests(self.hypervisor.connection)
            move_to_gpus(
                allocations,
                root.uuid,
                {gpu: uuid for gpu, uuid in gpus.items() if self._config.class_for(gpu) == VGPU},
                {guest.uuid: guest.mdevs for guest in guests},
                {mdev.uuid: mdev.parent for mdev in mdevs},
            )
        left = {name: each for name, each in root.inventory.items() if name != VGPU}
        provider_tree.update_inventory(nodename, left)

    def _read_gpus(self) -> tuple[Sequence[Mdev], dict[str, int]]:
        connection = self.hypervisor.connection
        parents = [_parse_parent(each.xml) for each in connection.node_devices("mdev_types")]
        mdevs = [_parse_mdev(each.xml) for each in connection.node_devices("mdev")]
        self._warnings = [
            *self._config.warnings,
            *(
                f"{TYPES_OPTION}: no device of this host has type {each}"
                for each in unavailable_types(self._config, parents, mdevs)
            ),
            *_strangers(self._config, parents, mdevs),
        ]
        # One that is not started takes no place yet: what the GPU can still make includes it.
        inactive = connection.inactive_mdevs() if mdevs else frozenset()
        started = [each for each in mdevs if each.name not in inactive]
        return mdevs, gpu_totals(self._config, parents, started)


def put_gpus(tree: ProviderTree, node: str, config: MdevConfig, totals: Mapping[str, int]) -> dict[str, str]:
    """Make the providers of GPUs below the node what they should be.

    Providers of GPUs that are not in ``totals`` stay as they are, as in Nova: operators hang traits on them,
    and a driver that is being reloaded makes its GPUs vanish for a while.

    :param totals: GPU (libvirt's name) → what it provides; 0 takes its provider away
    :return: GPU → uuid of its provider
    """
    uuids: dict[str, str] = {}
    for gpu, total in totals.items():
        name = f"{node}_{gpu}"
        if not total:
            if tree.exists(name):
                tree.remove(name)
            continue
        if not tree.exists(name):
            tree.new_child(name, node)
        resource_class = config.class_for(gpu)
        tree.update_inventory(name, {resource_class: record(total)})
        tree.add_traits(name, OWNER)
        kind = config.type_for(gpu)
        tree.note(
            name,
            resource_class,
            Source("driver", f"mediated devices of type {kind} that exist or can be made", total),
        )
        uuids[gpu] = tree.provider(name).uuid
    return uuids


def left_over_gpus(tree: ProviderTree, node: str, gpus: Container[str]) -> list[str]:
    """Return a warning for each provider of a GPU that is not among ``gpus``: scheduling goes on to it."""
    return [
        f"{provider.name} provides {', '.join(sorted(provider.inventory))}, but no device with an enabled "
        "type stands behind it (now); if none comes back, delete the provider"
        for provider in tree.children(node)
        if provider.inventory
        and _GPU.fullmatch(gpu := provider.name.removeprefix(f"{node}_"))
        and gpu not in gpus
    ]


def _strangers(config: MdevConfig, parents: Iterable[MdevParent], mdevs: Iterable[Mdev]) -> list[str]:
    """Return a warning for each device whose name is no PCI address."""
    names = {parent.name for parent in parents} | {mdev.parent for mdev in mdevs}
    return [
        f"device {name} is no PCI device, so no mediated devices of it are reported"
        for name in sorted(names)
        if config.address_of(name) is None
    ]
