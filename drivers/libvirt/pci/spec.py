"""``[pci] device_spec``: what the operator wrote → which devices it means and what is to be said of them.

Accepts and refuses what Nova 34 does (nova/pci/devspec.py, whitelist.py). What needs a look at the host is in
binding.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from drivers.errors import DriverOptionError
from drivers.libvirt.pci.address import ANY, AddressPattern, Wildcards, hex_field, parse_address
from drivers.libvirt.pci.errors import SpecProblem, option_error

_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
_FALSE = frozenset({"0", "f", "false", "off", "n", "no"})
_STRICT_TAGS = ("managed", "live_migratable", "one_time_use")
_NOT_TAGS = frozenset({"vendor_id", "product_id", "devname", "address"})
# What Nova does not keep beside a device: it reads these only, or counts the devices itself.
_NOT_KEPT = frozenset({"resource_class", "traits", "rp_uuid", "rp_uuids", "count", "devices"})

FORMAT_ADVICE = (
    'write a JSON object such as {"vendor_id": "8086", "product_id": "10ed"}, or a list of them; '
    "see docs/pci-devices.md"
)


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One object of device_spec.

    :param vendor_id: four lower-case hexadecimal digits, or ``*``
    :param product_id: likewise
    :param devname: the network interface that stands for the address, None where ``pattern`` does
    :param pattern: the addresses meant
    :param tags: everything else, as given; but ``managed``, ``live_migratable`` and ``one_time_use`` are
        None, "true" or "false"
    :param given: the object as the operator wrote it
    """

    vendor_id: str = ANY
    product_id: str = ANY
    devname: str | None = None
    pattern: AddressPattern = field(default_factory=Wildcards)
    tags: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def physical_network(self) -> bool:
        """Whether the devices are Neutron's: bound to a physical network, and so not reported."""
        return bool(self.tags.get("physical_network"))

    @property
    def remote_managed(self) -> bool:
        """Whether the devices are VFs that a remote control plane (a DPU's) manages."""
        return truth(self.tags.get("remote_managed"))

    @property
    def live_migratable(self) -> bool:
        """Whether instances with such a device can migrate while they run."""
        return self.tags.get("live_migratable") == "true"

    @property
    def one_time_use(self) -> bool:
        """Whether a device must be cleaned by somebody after each use: once in use it is reserved."""
        return self.tags.get("one_time_use") == "true"

    @property
    def unkept_tag(self) -> str | None:
        """The first tag that Nova cannot keep beside a device, and so refuses once it sees one; or None."""
        kept = ((name, value) for name, value in self.tags.items() if name not in _NOT_KEPT)
        return next((name for name, value in kept if not _can_be_kept(name, value)), None)

    def problem(self, reason: str, advice: str) -> DriverOptionError:
        """Return the error about this object."""
        return option_error(reason, advice, dict(self.given))


def parse_device_specs(option: Iterable[str], report_in_placement: bool) -> tuple[DeviceSpec, ...]:
    """Return the objects of all values of ``[pci] device_spec``, in order.

    :param option: the values: each a JSON object or a list of objects
    :param report_in_placement: ``[pci] report_in_placement``; one_time_use needs it
    :raises DriverOptionError: one is malformed; says which, why, and what is expected
    """
    return tuple(_parse_object(each, report_in_placement) for text in option for each in _objects(text))


def _objects(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise option_error(f"not JSON ({error})", FORMAT_ADVICE, text) from error
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise option_error("neither a JSON object nor a list of them", FORMAT_ADVICE, text)
    for each in value:
        if not isinstance(each, dict):
            raise option_error(f"the list holds {json.dumps(each)}, which is no object", FORMAT_ADVICE, text)
    return value


def _parse_object(given: dict[str, Any], report_in_placement: bool) -> DeviceSpec:
    try:
        spec = DeviceSpec(
            vendor_id=_vendor_id(given.get("vendor_id", ANY)),
            product_id=hex_field("product_id", given.get("product_id", ANY), 0xFFFF, 4),
            devname=_devname(given),
            pattern=parse_address(given.get("address")),
            tags=MappingProxyType(_tags(given)),
            given=MappingProxyType(given),
        )
    except SpecProblem as problem:
        raise option_error(problem.reason, problem.advice or FORMAT_ADVICE, given) from problem
    if spec.one_time_use and not report_in_placement:
        raise spec.problem(
            "one_time_use is only possible while devices are reported to Placement",
            "set [pci] report_in_placement = true, or take one_time_use out",
        )
    return spec


def _vendor_id(given: Any) -> str:
    # Nova strips this one and no other.
    return hex_field("vendor_id", given.strip() if isinstance(given, str) else given, 0xFFFF, 4)


def _devname(given: Mapping[str, Any]) -> str | None:
    devname = given.get("devname")
    if not devname:
        return None
    if given.get("address"):
        raise SpecProblem(
            "both devname and address", "keep one of them: each alone says which device is meant"
        )
    return str(devname)


def _tags(given: Mapping[str, Any]) -> dict[str, Any]:
    tags = {name: value for name, value in given.items() if name not in _NOT_TAGS}
    for name in _STRICT_TAGS:
        if tags.get(name) is not None:
            tags[name] = "true" if _strict_truth(name, tags[name]) else "false"
    return tags


def _can_be_kept(name: str, value: Any) -> bool:
    if value is None or name != "numa_node":
        return not isinstance(value, list | dict)
    try:
        int(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _strict_truth(name: str, given: Any) -> bool:
    text = str(given).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise SpecProblem(f"{name} {given!r} is neither yes nor no", f'write "{name}": "yes" or "{name}": "no"')


def truth(given: Any) -> bool:
    """Tell whether a value says yes; what is neither yes nor no counts as no, as in Nova."""
    return str(given).strip().lower() in _TRUE
