"""What of a device_spec only the host can tell: the address of a network interface, whether an address is a
PF's.

Read from /sys/bus/pci/devices/ADDRESS/{sriov_totalvfs,sriov_vf_device,vendor,device} and
/sys/class/net/INTERFACE/device (Documentation/ABI/testing/sysfs-bus-pci of the kernel).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drivers.errors import Absent, HostReadError
from drivers.libvirt.pci.address import ANY, AddressPattern, parse_wildcards
from drivers.libvirt.pci.device import PciDevice
from drivers.libvirt.pci.errors import SpecProblem
from drivers.libvirt.pci.spec import DeviceSpec
from drivers.root import HostRoot

_DEVICES = "sys/bus/pci/devices"


@dataclass(frozen=True, slots=True)
class BoundSpec:
    """A device_spec on this host.

    :param pattern: the addresses meant; None where ``devname`` names no interface of this host
    :param of_pf: the pattern is the address of a PF, so its VFs are meant too
    """

    spec: DeviceSpec
    pattern: AddressPattern | None
    of_pf: bool

    def matches(self, device: PciDevice) -> bool:
        """Tell whether the device is meant."""
        spec, pattern = self.spec, self.pattern
        if pattern is None or not device.address.can_be_matched:
            return False
        if spec.vendor_id not in {ANY, device.vendor_id} or spec.product_id not in {ANY, device.product_id}:
            return False
        if spec.remote_managed and not device.serial:
            return False
        through_pf = self.of_pf and device.parent is not None and pattern.matches(device.parent)
        return through_pf or pattern.matches(device.address)


def bind(spec: DeviceSpec, root: HostRoot) -> BoundSpec:
    """Return the spec with what the host says of it.

    :raises DriverOptionError: its devname is no PCI device; it is remote_managed and means a PF, no VF of the
        PF named, or an interface that is not there
    """
    try:
        bound = _bind_devname(spec, root) if spec.devname else _bind_address(spec, root)
        if spec.remote_managed:
            _check_remote_managed(bound, root)
    except SpecProblem as problem:
        raise spec.problem(problem.reason, problem.advice) from problem
    return bound


def first_match(specs: Iterable[BoundSpec], device: PciDevice) -> DeviceSpec | None:
    """Return the first spec that means the device, None where none does."""
    return next((bound.spec for bound in specs if bound.matches(device)), None)


def _bind_address(spec: DeviceSpec, root: HostRoot) -> BoundSpec:
    address = spec.pattern.single()
    return BoundSpec(spec, spec.pattern, address is not None and _is_pf(root, f"{_DEVICES}/{address}"))


def _bind_devname(spec: DeviceSpec, root: HostRoot) -> BoundSpec:
    link = f"sys/class/net/{spec.devname}/device"
    try:
        target = root.read_link(link)
    except Absent:
        return BoundSpec(spec, None, of_pf=False)
    address = target.rsplit("/", 1)[-1]
    try:
        pattern = parse_wildcards(address)
    except SpecProblem as problem:
        advice = "name the address of the PCI device instead"
        raise SpecProblem(f"devname {spec.devname!r} is {address}, no PCI device", advice) from problem
    return BoundSpec(spec, pattern, _is_pf(root, link))


def _is_pf(root: HostRoot, directory: str) -> bool:
    """Tell whether the device can have VFs. What cannot be read says no, as in Nova."""
    try:
        return (root.find_int(f"{directory}/sriov_totalvfs") or 0) > 0
    except HostReadError:
        return False


def _check_remote_managed(bound: BoundSpec, root: HostRoot) -> None:
    spec = bound.spec
    if bound.pattern is None:
        raise SpecProblem(
            f"remote_managed device {spec.devname!r} is not on this host",
            "correct devname, or take the entry out",
        )
    if not bound.of_pf:
        return
    address = bound.pattern.single()
    vendor_id = _read_id(root, f"{_DEVICES}/{address}/vendor")
    pf_product = _read_id(root, f"{_DEVICES}/{address}/device")
    vf_product = _read_id(root, f"{_DEVICES}/{address}/sriov_vf_device")
    right_vendor = spec.vendor_id in {ANY, vendor_id}
    if right_vendor and spec.product_id == vf_product:
        return
    advice = f'name its VFs: "vendor_id": "{vendor_id}", "product_id": "{vf_product}"'
    if right_vendor and spec.product_id in {ANY, pf_product}:
        raise SpecProblem(f"remote_managed is for VFs, and {address} is a PF", advice)
    wanted = f"{spec.vendor_id}:{spec.product_id}"
    raise SpecProblem(f"PF {address} has no VFs {wanted}, they are {vendor_id}:{vf_product}", advice)


def _read_id(root: HostRoot, path: str) -> str:
    try:
        return f"{root.read_int(path, 16):04x}"
    except Absent as error:
        raise SpecProblem(
            f"cannot tell what VFs the PF has: {root.display(path)} is not there",
            "take remote_managed out, or name VFs by vendor_id and product_id without an address",
        ) from error
