"""PCI devices in Placement: the order of things."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from oslo_config import cfg

from drivers.base import Allocations, Vocabulary
from drivers.errors import DriverOptionError, ReshapeNeeded
from drivers.libvirt.guests import read_guests
from drivers.libvirt.hypervisor import Hypervisor
from drivers.libvirt.parts import OWNER, Part
from drivers.libvirt.pci.assigned import assigned_devices
from drivers.libvirt.pci.binding import BoundSpec, bind, first_match
from drivers.libvirt.pci.classes import (
    CLASS_PREFIX,
    LIVE_MIGRATABLE,
    MANAGED,
    ONE_TIME_USE,
    configured_classes,
)
from drivers.libvirt.pci.device import PciDevice, as_nova_names_it
from drivers.libvirt.pci.options import PCI_OPTIONS
from drivers.libvirt.pci.reading import read_devices
from drivers.libvirt.pci.report import Need, View, heal_allocations, needs, put_devices, reported_devices
from drivers.libvirt.pci.spec import DeviceSpec, parse_device_specs
from drivers.libvirt.pci.view import build_view
from drivers.libvirt.records import version_text
from drivers.libvirt.telling import Teller
from drivers.reshape_rules import ReshapeRules
from provider_tree.tree import ProviderTree

LOG = logging.getLogger(__name__)

# What live migration with VFIO variant drivers needs.
MIN_LIBVIRT_LIVE, MIN_QEMU_LIVE = (10, 0, 0), (8, 2, 2)
# What tells the serial numbers of network cards.
MIN_LIBVIRT_REMOTE = (7, 9, 0)
_TAG_ADVICE = "write text or a number, no list and no object (numa_node: a number), or take it out"


class PciPart(Part):
    """One provider a device of ``[pci] device_spec``, when ``[pci] report_in_placement`` is on."""

    options: ClassVar[Mapping[str, Sequence[cfg.Opt]]] = PCI_OPTIONS

    def __init__(self, conf: cfg.ConfigOpts, hypervisor: Hypervisor) -> None:
        super().__init__(conf, hypervisor)
        self._report: bool = conf.pci.report_in_placement
        self._specs = parse_device_specs(conf.pci.device_spec, self._report)
        self.vocabulary = Vocabulary(
            traits=frozenset({MANAGED, OWNER, LIVE_MIGRATABLE, ONE_TIME_USE}),
            classes=configured_classes(self._specs if self._report else ()),
            class_prefixes=(CLASS_PREFIX,),
        )
        self._is_ours: Callable[[str, str], bool] | None = None
        self._teller = Teller(LOG)
        self._looked_at: frozenset[Need] = frozenset()
        self._classes: frozenset[str] = frozenset()
        self._matches_matter = any(_says_remote_managed(spec) or spec.unkept_tag for spec in self._specs)
        self._remote_managed = False

    def check(self) -> None:
        """Refuse what needs a look at the host, or a newer one.

        :raises DriverOptionError: see :func:`drivers.libvirt.pci.binding.bind`; live_migratable needs a newer
            libvirt or QEMU; devname cannot be reported to Placement
        """
        self._bind()
        versions = self.hypervisor.versions
        new_enough = versions.type == "QEMU" and versions.at_least(MIN_LIBVIRT_LIVE, MIN_QEMU_LIVE)
        for spec in self._specs:
            if spec.tags.get("live_migratable") and not new_enough:
                here = f"{versions.type} {version_text(versions.hypervisor)}"
                raise spec.problem(
                    "live_migratable needs QEMU 8.2.2 and libvirt 10.0.0, "
                    f"this is {here} and libvirt {version_text(versions.libvirt)}",
                    "take live_migratable out, or upgrade",
                )

    def note_ownership(self, is_ours: Callable[[str, str], bool]) -> None:
        """Remember it: others may offer classes of theirs on a device, or have providers named like one."""
        self._is_ours = is_ours

    def _bind(self) -> tuple[BoundSpec, ...]:
        bound = tuple(bind(spec, self.hypervisor.root) for spec in self._specs)
        for spec in self._specs if self._report else ():
            if spec.devname:
                raise spec.problem(
                    "devname cannot be used with [pci] report_in_placement",
                    "name the device by its PCI address",
                )
        return bound

    def update(self, provider_tree: ProviderTree, nodename: str, allocations: Allocations | None) -> None:
        """Bring the providers of PCI devices up to date.

        :raises DriverOptionError: the devices cannot be told in Placement as configured, or were told before
            and are not to be any more
        :raises ReshapeNeeded: an instance may lack an allocation of a device that it has
        """
        bound = self._bind()
        if not self._report:
            _refuse_to_stop(provider_tree, nodename, self._is_ours)
            if self._matches_matter:
                self._see_matches(bound, read_devices(self.hypervisor.connection)[0])
            return
        view = self._read_view(bound)
        wanted = needs(nodename, view)
        self._classes = frozenset(need.resource_class for need in wanted)
        if allocations is None and wanted - self._looked_at:
            instances = ", ".join(sorted({need.consumer for need in wanted - self._looked_at}))
            raise ReshapeNeeded(f"instances with PCI devices may lack allocations of them: {instances}")
        self._teller.tell(put_devices(provider_tree, nodename, view, allocations, self._is_ours))
        if allocations is not None:
            healed = heal_allocations(provider_tree, nodename, view, allocations)
            for need in healed:
                LOG.info("Consumer %s lacks %s of %s", need.consumer, need.resource_class, need.provider)
            # What was lacking is looked at again: whether it gets to Placement is not known here.
            self._looked_at = wanted.difference(healed)

    def _read_view(self, bound: tuple[BoundSpec, ...]) -> View:
        if not bound:
            return {}
        devices, companions = read_devices(self.hypervisor.connection)
        self._see_matches(bound, devices)
        assigned = assigned_devices(read_guests(self.hypervisor.connection), devices, companions)
        return build_view(devices, bound, assigned)

    def _see_matches(self, bound: tuple[BoundSpec, ...], devices: Iterable[PciDevice]) -> None:
        """Note what depends on whether a spec has devices here.

        :raises DriverOptionError: one has, and a tag that Nova cannot keep
        """
        if not self._matches_matter:
            return
        matched = [spec for each in devices if (spec := first_match(bound, each)) is not None]
        for spec in matched:
            if spec.unkept_tag:
                raise spec.problem(f"{spec.unkept_tag} is not a single value", _TAG_ADVICE)
        self._remote_managed = any(_says_remote_managed(spec) for spec in matched)

    def capabilities(self) -> Mapping[str, bool]:
        """Return whether ports can be managed remotely: where there are devices for them, and libvirt can."""
        able = self.hypervisor.versions.at_least(libvirt=MIN_LIBVIRT_REMOTE)
        return {"supports_remote_managed_ports": able and self._remote_managed}

    def resources(self) -> Mapping[str, Any]:
        """Return all PCI devices of the host, in JSON, under Nova's key."""
        devices, _ = read_devices(self.hypervisor.connection)
        return {"pci_passthrough_devices": json.dumps([as_nova_names_it(device) for device in devices])}

    @property
    def reshape_rules(self) -> ReshapeRules:
        """Instances may be given more of the classes of the PCI devices that they have."""
        return ReshapeRules(additions=self._classes)


def _says_remote_managed(spec: DeviceSpec) -> bool:
    # Nova looks for devices with this very word; "yes", which otherwise means the same, it does not find.
    return (
        str(spec.tags.get("remote_managed")).lower() == "true" and spec.tags.get("remote_managed") is not True
    )


def _refuse_to_stop(tree: ProviderTree, node: str, is_ours: Callable[[str, str], bool] | None) -> None:
    """Refuse to leave alone what was reported: instances hold it, and the scheduler goes on handing it out.

    :raises DriverOptionError: Placement has PCI devices of this node
    """
    for reported in reported_devices(tree, node):
        if (
            is_ours is not None
            and MANAGED not in reported.traits
            and not any(is_ours(reported.uuid, each) for each in reported.inventory)
        ):
            continue  # another agent's, named alike
        raise DriverOptionError(
            f"[pci] report_in_placement is off, but Placement has PCI devices of {node} ({reported.name})",
            "set it to true: once on, it must stay on",
        )
