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
from provider_tree.names import (
    CUSTOM,
    is_resource_class,
    is_standard_class,
    is_standard_trait,
    is_trait,
)

MANAGED = "COMPUTE_MANAGED_PCI_DEVICE"
LIVE_MIGRATABLE = "HW_PCI_LIVE_MIGRATABLE"
ONE_TIME_USE = "HW_PCI_ONE_TIME_USE"
CLASS_PREFIX = "CUSTOM_PCI_"
_NAME_ADVICE = "Placement takes up to 255 characters of A-Z, 0-9 and _"


def resource_class_of(spec: DeviceSpec, device: PciDevice) -> str:
    """Return the class of a device: as the spec has it, or ``CUSTOM_PCI_<VENDOR>_<PRODUCT>``.

    :raises DriverOptionError: Placement would refuse the class
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
        raise spec.problem(f"resource_class {wanted!r} is not text", _NAME_ADVICE)
    name = wanted.upper()
    if not is_standard_class(name) and not name.startswith(CUSTOM):
        name = str(os_resource_classes.normalize_name(name))
    if not is_resource_class(name):
        raise spec.problem(f"resource_class {name} is no resource class", _NAME_ADVICE)
    return name


def traits_of(spec: DeviceSpec) -> frozenset[str]:
    """Return the traits of what the spec matches.

    Standard traits must be spelled as they are; everything else becomes a CUSTOM_ one.

    :raises DriverOptionError: Placement would refuse one of them
    """
    wanted = spec.tags.get("traits") or ""
    if not isinstance(wanted, str):
        raise spec.problem(f"traits {wanted!r} are not text", "separate the names of traits by commas")
    traits = {MANAGED, OWNER, *(_trait(spec, name) for name in wanted.split(",") if wanted)}
    if spec.live_migratable:
        traits.add(LIVE_MIGRATABLE)
    return frozenset(traits)


def _trait(spec: DeviceSpec, given: str) -> str:
    if is_standard_trait(given):
        return given
    name = given.upper()
    if given and not name.startswith(CUSTOM):
        name = str(os_traits.normalize_name(name))
    if not is_trait(name):
        raise spec.problem(f"trait {name!r} is no trait", _NAME_ADVICE)
    return name
