"""The resource class and traits of a PCI device: what its device_spec asks for, made fit for Placement."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import os_resource_classes
import os_traits

from drivers.errors import DriverOptionError
from drivers.libvirt.parts import OWNER
from drivers.libvirt.pci.device import PciDevice
from drivers.libvirt.pci.spec import DeviceSpec
from provider_tree.names import CUSTOM, is_standard_class, is_standard_trait

MANAGED = "COMPUTE_MANAGED_PCI_DEVICE"
LIVE_MIGRATABLE = "HW_PCI_LIVE_MIGRATABLE"
ONE_TIME_USE = "HW_PCI_ONE_TIME_USE"
CLASS_PREFIX = "CUSTOM_PCI_"


def resource_class_of(spec: DeviceSpec, device: PciDevice) -> str:
    """Return the class of a device: as the spec has it, or ``CUSTOM_PCI_<VENDOR>_<PRODUCT>``.

    Placement may refuse it, as it may a trait: that is found where all that is to be written is looked at.

    :raises DriverOptionError: the spec has something else than text
    """
    return _configured_class(spec) or f"{CLASS_PREFIX}{device.vendor_id}_{device.product_id}".upper()


def configured_classes(specs: Iterable[DeviceSpec]) -> frozenset[str]:
    """Return the custom classes that specs name; what is wrong is told when a device matches."""
    found = set()
    for spec in specs:
        with suppress(DriverOptionError):
            found.add(_configured_class(spec))
    return frozenset(name for name in found if name.startswith(CUSTOM))


def _configured_class(spec: DeviceSpec) -> str:
    wanted = spec.tags.get("resource_class")
    if not wanted:
        return ""
    if not isinstance(wanted, str):
        raise spec.problem(
            f"resource_class {wanted!r} is not text", "name a standard class, or any text for a CUSTOM_ one"
        )
    name = wanted.upper()
    if not is_standard_class(name) and not name.startswith(CUSTOM):
        name = str(os_resource_classes.normalize_name(name))
    return name


def traits_of(spec: DeviceSpec) -> frozenset[str]:
    """Return the traits of what the spec matches.

    Standard traits must be spelled as they are; everything else becomes a CUSTOM_ one.

    :raises DriverOptionError: the spec has something else than text
    """
    wanted = spec.tags.get("traits") or ""
    if not isinstance(wanted, str):
        raise spec.problem(f"traits {wanted!r} are not text", "separate the names of traits by commas")
    traits = {MANAGED, OWNER, *(_trait(name) for name in wanted.split(",") if wanted)}
    if spec.live_migratable:
        traits.add(LIVE_MIGRATABLE)
    return frozenset(traits)


def _trait(given: str) -> str:
    if is_standard_trait(given):
        return given
    name = given.upper()
    return name if name.startswith(CUSTOM) else str(os_traits.normalize_name(name))
