"""``[devices] enabled_mdev_types`` and the groups ``[mdev_TYPE]``, as Nova 34 has them
(nova/conf/devices.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from oslo_config import cfg, types

from drivers.errors import DriverOptionError
from drivers.libvirt.settings import read_used
from drivers.root import HostRoot

VGPU = "VGPU"
TYPES_OPTION = "[devices] enabled_mdev_types"
_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.IGNORECASE)
_ADDRESS_ADVICE = (
    "write a PCI address such as 0000:84:00.0, or a directory below /sys/devices/virtual such as mtty_mtty"
)

MDEV_OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {
    "devices": (
        cfg.ListOpt(
            "enabled_mdev_types",
            default=[],
            deprecated_name="enabled_vgpu_types",
            help="Types of mediated devices that instances may have, e.g. nvidia-35. With more than one, "
            "a group [mdev_TYPE] says which devices get which type.",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class MdevType:
    """One enabled type, as its group ``[mdev_NAME]`` has it.

    :param resource_class: ``mdev_class``
    :param max_instances: how many devices of the type there may be at most, None for as many as the GPUs
        allow
    :param addresses: ``device_addresses``
    """

    name: str
    resource_class: str = VGPU
    max_instances: int | None = None
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MdevConfig:
    """Which type each device is to have.

    :param types: the types in use; empty when mediated devices are not to be reported
    :param default: the type of the devices that no group names; None when those are left out
    :param type_of: device address → type
    :param class_of: device address → resource class; VGPU for all others
    :param limits: type → ``max_instances``, for those that have one
    :param virtual: addresses of devices below /sys/devices/virtual
    :param warnings: what in the options has no effect, for people
    """

    types: frozenset[str] = frozenset()
    default: str | None = None
    type_of: Mapping[str, str] = field(default_factory=dict)
    class_of: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    virtual: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    def address_of(self, device: str) -> str | None:
        """Return the address of a device by libvirt's name (pci_0000_84_00_0 → 0000:84:00.0), None for other
        names.
        """
        if device in self.virtual:
            return device
        address = "{}:{}:{}.{}".format(*fields) if len(fields := device[4:].split("_")) >= 4 else ""
        return address if _ADDRESS.fullmatch(address) else None

    def type_for(self, device: str) -> str | None:
        """Return the type that a device, by libvirt's name, is to have; None for none."""
        address = self.address_of(device)
        return None if address is None else self.type_of.get(address, self.default)

    def class_for(self, device: str) -> str:
        """Return the resource class of what a device provides."""
        return self.class_of.get(self.address_of(device) or "", VGPU)


def type_options(name: str) -> Sequence[cfg.Opt]:
    """Return the options of the group ``[mdev_NAME]``."""
    return (
        cfg.ListOpt(
            "device_addresses",
            default=[],
            item_type=types.String(),
            deprecated_group=f"vgpu_{name}",
            help="The devices that get this type. Empty: those that no other group names.",
        ),
        cfg.StrOpt(
            "mdev_class",
            default=VGPU,
            regex=r"^(VGPU|CUSTOM_[A-Z0-9_]+)$",
            max_length=255,
            help="The resource class of the devices: VGPU, or one that begins with CUSTOM_. As in Nova, it "
            "takes effect only together with device_addresses.",
        ),
        cfg.IntOpt(
            "max_instances",
            min=1,
            help="The most devices of this type that there may be. Unset: as many as the hardware allows.",
        ),
    )


def read_types(conf: cfg.ConfigOpts) -> tuple[MdevType, ...]:
    """Return the enabled types in order; registers their groups.

    :raises DriverOptionError: an option of a group is out of bounds
    """
    return tuple(_read_type(conf, name) for name in conf.devices.enabled_mdev_types)


def _read_type(conf: cfg.ConfigOpts, name: str) -> MdevType:
    group = f"mdev_{name}"
    conf.register_opts(type_options(name), group=group)
    return MdevType(
        name,
        read_used(conf, group, "mdev_class"),
        read_used(conf, group, "max_instances"),
        tuple(read_used(conf, group, "device_addresses")),
    )


def assign(types: Sequence[MdevType], root: HostRoot) -> MdevConfig:
    """Return which device is to have which type.

    :raises DriverOptionError: a device is given two types, or its address is malformed
    """
    used: list[str] = []
    default: str | None = None
    type_of: dict[str, str] = {}
    class_of: dict[str, str] = {}
    warnings: list[str] = []
    for each in types:
        if not each.addresses and default is None:
            default = each.name
            if each.resource_class != VGPU:
                warnings.append(_class_warning(each))
        elif not each.addresses:
            warnings.append(_default_warning(each.name, default))
            continue
        used.append(each.name)
        for address in each.addresses:
            if address in type_of:
                raise _assigned_twice(address, type_of[address], each.name)
            _check_address(address, each.name, root, warnings)
            type_of[address] = each.name
            class_of[address] = each.resource_class
    limits = {each.name: each.max_instances for each in types if each.max_instances}
    virtual = frozenset(address for address in type_of if not _ADDRESS.fullmatch(address))
    return MdevConfig(frozenset(used), default, type_of, class_of, limits, virtual, tuple(warnings))


def _check_address(address: str, name: str, root: HostRoot, warnings: list[str]) -> None:
    if _ADDRESS.fullmatch(address):
        if address != address.lower():
            warnings.append(
                f"[mdev_{name}] device_addresses: {address} matches nothing: libvirt writes {address.lower()}"
            )
    elif not root.exists(f"sys/devices/virtual/{address.replace('_', '/')}"):
        raise DriverOptionError(
            f"[mdev_{name}] device_addresses: there is no device {address!r}", _ADDRESS_ADVICE
        )


def _assigned_twice(address: str, first: str, second: str) -> DriverOptionError:
    both = f"[mdev_{first}] and [mdev_{second}]" if first != second else f"[mdev_{first}], twice"
    return DriverOptionError(
        f"device_addresses: {address} is in {both}", "name each device once: a device has a single type"
    )


def _class_warning(each: MdevType) -> str:
    return (
        f"[mdev_{each.name}] mdev_class = {each.resource_class} has no effect without device_addresses: "
        f"the devices are reported as {VGPU}"
    )


def _default_warning(name: str, default: str | None) -> str:
    return (
        f"{TYPES_OPTION}: {name} is not used: neither it nor {default} has device_addresses, "
        f"and {default} comes first; give [mdev_{name}] device_addresses"
    )
