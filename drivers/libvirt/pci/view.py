"""Devices and what the operator asks for → the providers that there should be: one a device, one a PF for its
VFs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from drivers.errors import DriverOptionError
from drivers.libvirt.pci.address import PciAddress
from drivers.libvirt.pci.binding import BoundSpec, first_match
from drivers.libvirt.pci.classes import ONE_TIME_USE, resource_class_of, traits_of
from drivers.libvirt.pci.device import Kind, PciDevice
from drivers.libvirt.pci.errors import option_error
from drivers.libvirt.pci.spec import DeviceSpec

_VFS = frozenset({Kind.VF, Kind.VDPA})


@dataclass(slots=True)
class DeviceProvider:
    """A provider to be, of the device at ``address``, or of the VFs of the PF there.

    :param devices: what is counted; all of it of one class, with the same traits
    :param held: instances that have devices which would count here, but which the configuration names no more
    :param used: instance → how many of ``devices`` it has
    """

    address: PciAddress
    resource_class: str = ""
    traits: frozenset[str] = frozenset()
    devices: list[PciDevice] = field(default_factory=list)
    spec: DeviceSpec = field(default_factory=DeviceSpec)
    used: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)

    @property
    def used_up(self) -> bool:
        """Whether this is a device for one use that has been given to an instance."""
        return self.spec.one_time_use and bool(self.used)

    def count(self, device: PciDevice, spec: DeviceSpec) -> None:
        """Count a device of this provider.

        :raises DriverOptionError: a PF and its VFs are both to be counted, or VFs of one PF differ
        """
        if self.devices and not (device.kind in _VFS and self.devices[0].kind in _VFS):
            raise _pf_and_vfs(self.address, [*self.devices, device])
        resource_class, traits = resource_class_of(spec, device), traits_of(spec)
        if self.devices:
            self._must_agree("resource_class", resource_class, self.resource_class, device)
            self._must_agree("traits", traits, self.traits, device)
        if device.kind in _VFS and "one_time_use" in spec.tags:
            raise spec.problem(
                f"one_time_use is not for VFs such as {device.address}",
                "use it for whole devices (type-PCI, type-PF)",
            )
        self.devices.append(device)
        self.spec = spec
        self.resource_class = resource_class
        self.traits = traits | {ONE_TIME_USE} if spec.one_time_use else traits

    def _must_agree(
        self, what: str, new: str | frozenset[str], old: str | frozenset[str], device: PciDevice
    ) -> None:
        if new == old:
            return
        raise option_error(
            f"VFs of PF {self.address} differ in {what}: {_text(new)} for {device.address}, "
            f"{_text(old)} for {_addresses(self.devices)}",
            f"give all VFs of one PF the same {what}: they share a provider",
        )


def build_view(
    devices: Iterable[PciDevice], specs: Iterable[BoundSpec], assigned: Mapping[PciAddress, str]
) -> dict[PciAddress, DeviceProvider]:
    """Return address → the provider there should be; those of held devices alone count nothing.

    :param devices: in the order of their addresses
    :param assigned: address → instance that has the device
    :raises DriverOptionError: what device_spec matches cannot be told in one provider
    """
    specs = tuple(specs)
    view: dict[PciAddress, DeviceProvider] = {}
    known = set()
    for device in devices:
        known.add(device.address)
        spec = first_match(specs, device)
        instance = assigned.get(device.address)
        if spec is None and instance is not None:
            _at(view, device.provider_address).held[instance] += 1
        if spec is None or spec.physical_network:
            continue
        provider = _at(view, device.provider_address)
        provider.count(device, spec)
        if instance is not None:
            provider.used[instance] += 1
    for address, instance in assigned.items():
        if address not in known:
            _at(view, address).held[instance] += 1
    for provider in view.values():
        if provider.devices and provider.devices[0].kind not in _VFS:
            provider.held.clear()  # those are its VFs, and the device itself is counted now
    return view


def _at(view: dict[PciAddress, DeviceProvider], address: PciAddress) -> DeviceProvider:
    return view.setdefault(address, DeviceProvider(address))


def _pf_and_vfs(pf: PciAddress, devices: Iterable[PciDevice]) -> DriverOptionError:
    vfs = _addresses(device for device in devices if device.kind in _VFS)
    return option_error(
        f"it matches both PF {pf} and its VFs ({vfs})",
        "match one or the other, e.g. by product_id: whoever has the PF has its VFs",
    )


def _addresses(devices: Iterable[PciDevice]) -> str:
    return ", ".join(str(device.address) for device in devices)


def _text(value: str | frozenset[str]) -> str:
    return value if isinstance(value, str) else ",".join(sorted(value))
