"""Node devices and domains → the host's PCI devices, what device_spec matches of them, and who has them."""

import json
from pathlib import Path

import libvirt
import pytest

from drivers.errors import DriverOptionError, HostReadError
from drivers.libvirt.connection import Connection, described_device
from drivers.libvirt.domain_xml import parse_domain
from drivers.libvirt.pci.address import PciAddress
from drivers.libvirt.pci.assigned import assigned_devices
from drivers.libvirt.pci.binding import bind, first_match
from drivers.libvirt.pci.device import Kind, parse_pci_device
from drivers.libvirt.pci.reading import read_devices
from drivers.libvirt.pci.spec import parse_device_specs
from drivers.root import HostRoot
from tests.drivers.libvirt.builders import (
    Machine,
    domain,
    hostdev,
    hostdev_nic,
    macvtap,
    mdev_hostdev,
    nic,
    pci_device,
    vdpa,
    vdpa_nic,
)

PF, VF1, VF2, OTHER = "0000:81:00.0", "0000:81:00.1", "0000:81:00.2", "0000:82:00.0"
GUEST1, GUEST2 = "aaaaaaaa-0000-0000-0000-000000000001", "aaaaaaaa-0000-0000-0000-000000000002"


@pytest.fixture
def card():
    """A NIC with two VFs, one with a vDPA device, and a plain card behind it."""
    return [
        pci_device(OTHER, "1af4", "1044", numa_node=1),
        pci_device(VF2, "8086", "154c", pf=PF, serial="own"),
        pci_device(VF1, "8086", "154c", pf=PF),
        pci_device(PF, "8086", "1572", vfs=[VF1, VF2], serial="of the card"),
        nic("eno1", "pci_0000_81_00_0"),
        nic("eno1v0", "pci_0000_81_00_1"),
    ]


def devices_of(*devices):
    return {str(each.address): each for each in read_devices(Machine(devices))[0]}


def sysfs(root: Path, address: str, **files: str) -> HostRoot:
    directory = root / "sys/bus/pci/devices" / address
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(text + "\n")
    return HostRoot(root)


def matched(root, spec, *devices):
    bound = [bind(each, root) for each in parse_device_specs([json.dumps(spec)], True)]
    return [str(each.address) for each in devices if first_match(bound, each)]


def test_kinds_parents_and_order(card):
    found = devices_of(*card)
    assert list(found) == [PF, VF1, VF2, OTHER]
    assert [each.kind for each in found.values()] == [Kind.PF, Kind.VF, Kind.VF, Kind.PLAIN]
    assert str(found[VF1].parent) == PF
    assert found[PF].parent is None
    assert (found[OTHER].vendor_id, found[OTHER].product_id, found[OTHER].numa_node) == ("1af4", "1044", 1)
    assert found[PF].numa_node is None


def test_a_pf_without_vfs_is_a_pf_all_the_same():
    assert devices_of(pci_device(PF, vfs=[]))[PF].kind is Kind.PF


def test_a_vf_with_a_vdpa_device_is_another_kind(card):
    found = devices_of(*card, vdpa(0, "pci_0000_81_00_1"))
    assert [found[each].kind for each in (VF1, VF2)] == [Kind.VDPA, Kind.VF]
    assert str(found[VF1].parent) == PF


def test_a_vf_without_a_serial_number_has_that_of_the_card_unless_it_has_a_vdpa_device(card):
    assert [each.serial for each in devices_of(*card).values()] == ["of the card", "of the card", "own", None]
    assert devices_of(*card, vdpa(0, "pci_0000_81_00_1"))[VF1].serial is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<device>",
        "<domain/>",
        "<device><name>d</name></device>",
        "<device><name>d</name><capability type='pci'><domain>x</domain></capability></device>",
        "<!DOCTYPE d [<!ENTITY e 'x'>]><device><name>&e;</name></device>",
    ],
)
def test_xml_that_is_not_as_documented_is_an_error_of_the_host(text):
    with pytest.raises(HostReadError):
        parse_pci_device(text)


def test_who_has_which_device(card):
    card.append(vdpa(3, "pci_0000_81_00_2"))
    devices, companions = read_devices(Machine(card))

    def assigned(*inner):
        found = assigned_devices(
            [parse_domain(domain(GUEST1, *inner)), parse_domain(domain(GUEST2))], devices, companions
        )
        return {str(address): uuid for address, uuid in found.items()}

    assert assigned() == {}
    assert assigned(hostdev(OTHER), hostdev(PF)) == {OTHER: GUEST1, PF: GUEST1}
    assert assigned(hostdev_nic(VF1)) == {VF1: GUEST1}
    assert assigned(vdpa_nic(3)) == {VF2: GUEST1}
    assert assigned(macvtap("eno1v0")) == {VF1: GUEST1}
    assert assigned(macvtap("eno1v0", "bridge"), macvtap("tap0"), vdpa_nic(9)) == {}


def test_the_first_spec_that_matches_counts(card, tmp_path):
    specs = parse_device_specs(
        ['[{"product_id": "154c", "traits": "a"}, {"vendor_id": "8086", "traits": "b"}]'], True
    )
    bound = [bind(each, HostRoot(tmp_path)) for each in specs]
    found = {address: first_match(bound, each) for address, each in devices_of(*card).items()}
    assert {address: spec and spec.tags["traits"] for address, spec in found.items()} == {
        PF: "b", VF1: "a", VF2: "a", OTHER: None,
    }  # fmt: skip


def test_a_devname_that_is_no_text_names_no_interface(card, tmp_path):
    (tmp_path / "sys/class/net/5").mkdir(parents=True)
    (tmp_path / "sys/class/net/5/device").symlink_to(f"../../../bus/pci/devices/{OTHER}")
    devices = devices_of(*card).values()
    assert matched(HostRoot(tmp_path), {"devname": ["eno1"]}, *devices) == []
    assert matched(HostRoot(tmp_path), {"devname": 5}, *devices) == [OTHER], "but for numbers"


def test_the_address_of_a_pf_means_its_vfs_too(card, tmp_path):
    root = sysfs(tmp_path, PF, sriov_totalvfs="8")
    devices = devices_of(*card).values()
    assert matched(root, {"address": PF}, *devices) == [PF, VF1, VF2]
    assert matched(root, {"address": PF, "product_id": "154c"}, *devices) == [VF1, VF2]
    assert matched(
        root, {"address": {"domain": "0000", "bus": "81", "slot": "00", "function": "0"}}, *devices
    ) == [PF, VF1, VF2]
    assert matched(root, {"address": "*:81:00.0"}, *devices) == [PF], "wildcards mean no PF"


@pytest.mark.parametrize("totalvfs", ["0", "", "many"])
def test_what_can_have_no_vfs_is_no_pf(card, tmp_path, totalvfs):
    root = sysfs(tmp_path, PF, sriov_totalvfs=totalvfs)
    assert matched(root, {"address": PF}, *devices_of(*card).values()) == [PF]


def test_devices_in_domains_above_ffff_are_never_matched(tmp_path):
    (vmd,) = devices_of(pci_device("10000:01:00.0")).values()
    assert str(vmd.address) == "10000:01:00.0"
    assert matched(HostRoot(tmp_path), {}, vmd) == []


class TestNetworkInterfaces:
    """devname stands for the address of the interface's device."""

    def interface(self, root, name, target):
        directory = root / "sys/class/net" / name
        directory.mkdir(parents=True)
        device = root / "sys/bus/pci/devices" / target.rsplit("/", 1)[-1]
        device.mkdir(parents=True, exist_ok=True)
        (directory / "device").symlink_to(target)
        return device

    def test_of_a_pf_means_its_vfs_too(self, card, tmp_path):
        device = self.interface(tmp_path, "eno1", f"../../../bus/pci/devices/{PF}")
        devices = devices_of(*card).values()
        assert matched(HostRoot(tmp_path), {"devname": "eno1"}, *devices) == [PF]
        (device / "sriov_totalvfs").write_text("8\n")
        assert matched(HostRoot(tmp_path), {"devname": "eno1"}, *devices) == [PF, VF1, VF2]

    def test_that_are_not_there_match_nothing(self, card, tmp_path):
        assert matched(HostRoot(tmp_path), {"devname": "eno9"}, *devices_of(*card).values()) == []

    def test_that_are_no_pci_devices_are_refused(self, tmp_path):
        self.interface(tmp_path, "eth0", "../../../virtio2")
        with pytest.raises(DriverOptionError, match="devname 'eth0' is virtio2, no PCI device"):
            matched(HostRoot(tmp_path), {"devname": "eth0"})


class TestRemoteManaged:
    """VFs that a control plane on the card manages: told apart by the card's serial number."""

    def root(self, tmp_path):
        return sysfs(
            tmp_path, PF, sriov_totalvfs="8", vendor="0x8086", device="0x1572", sriov_vf_device="154c"
        )

    def test_devices_without_a_serial_number_are_left_out(self, card, tmp_path):
        spec = {"vendor_id": "8086", "product_id": "154c", "remote_managed": "true"}
        assert matched(HostRoot(tmp_path), spec, *devices_of(*card).values()) == [VF1, VF2]
        assert (
            matched(HostRoot(tmp_path), spec, *devices_of(pci_device(VF1, "8086", "154c", pf=PF)).values())
            == []
        )

    def test_vfs_by_the_address_of_their_pf(self, card, tmp_path):
        spec = {"address": PF, "vendor_id": "8086", "product_id": "154c", "remote_managed": "true"}
        assert matched(self.root(tmp_path), spec, *devices_of(*card).values()) == [VF1, VF2]

    @pytest.mark.parametrize("ids", [{}, {"product_id": "1572"}, {"vendor_id": "8086"}])
    def test_pfs_are_refused(self, tmp_path, ids):
        with pytest.raises(DriverOptionError, match="remote_managed is for VFs") as caught:
            matched(self.root(tmp_path), {"address": PF, "remote_managed": "yes", **ids})
        assert '"product_id": "154c"' in caught.value.advice

    @pytest.mark.parametrize("ids", [{"product_id": "154d"}, {"vendor_id": "15b3", "product_id": "154c"}])
    def test_other_vfs_than_the_pf_has_are_refused(self, tmp_path, ids):
        with pytest.raises(DriverOptionError, match="has no VFs"):
            matched(self.root(tmp_path), {"address": PF, "remote_managed": "yes", **ids})

    def test_interfaces_that_are_not_there_are_refused(self, tmp_path):
        with pytest.raises(DriverOptionError, match="'eno9' is not on this host"):
            matched(HostRoot(tmp_path), {"devname": "eno9", "remote_managed": "yes"})

    def test_a_kernel_that_does_not_tell_what_vfs_there_are(self, tmp_path):
        root = sysfs(tmp_path, PF, sriov_totalvfs="8", vendor="0x8086", device="0x1572")
        with pytest.raises(DriverOptionError, match="sriov_vf_device is not there"):
            matched(root, {"address": PF, "remote_managed": "yes"})


@pytest.mark.parametrize("text", ["", "<other/>", "<device><name>pci_0000_0a_00_0</name></device>"])
def test_a_device_without_a_capability_is_an_error_and_not_left_out(text):
    with pytest.raises(HostReadError, match=r"device pci_0000_0a_00_0 .*no capability"):
        described_device("pci_0000_0a_00_0", text)


def test_a_device_is_what_its_xml_says():
    given = vdpa(0, "pci_0000_81_00_1")
    assert described_device(given.name, given.xml) == given


def test_addresses_spelled_in_full():
    assert PciAddress.parse("0000:0A:1f.7") == PciAddress("0000", "0a", "1f", "7")
    assert PciAddress.parse("0a:1f.7") is None


@pytest.mark.libvirtd
def test_the_devices_of_this_machine(system_uri):
    found, _ = read_devices(Connection(system_uri))
    sysfs_devices = Path("/sys/bus/pci/devices")
    assert [str(each.address) for each in found] == sorted(each.name for each in sysfs_devices.iterdir())
    for each in found:
        directory = sysfs_devices / str(each.address)
        assert f"0x{each.vendor_id}" == (directory / "vendor").read_text().strip()
        assert f"0x{each.product_id}" == (directory / "device").read_text().strip()


def test_libvirt_itself_gives_domains_back_as_we_read_them():
    """Libvirt's test driver parses what a made-up domain says, and writes it again in its own way."""
    devices = [hostdev(OTHER), hostdev_nic(VF1), vdpa_nic(3), macvtap("eno1v0"), mdev_hostdev(GUEST2)]
    text = domain(GUEST1, *devices, vcpus=2, pins={0: "2", 1: "3-4"}, policy="dedicated")
    connection = libvirt.open("test:///default")
    given_back = connection.defineXML(text.replace("type='kvm' id='1'", "type='test'")).XMLDesc(0)
    assert given_back != text
    assert parse_domain(given_back) == parse_domain(text)
