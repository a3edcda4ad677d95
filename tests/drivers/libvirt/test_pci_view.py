"""Which providers PCI devices make: classes, traits, totals, and what cannot be told in one provider."""

import json

import pytest

from drivers.errors import DriverOptionError
from drivers.libvirt.pci.binding import bind
from drivers.libvirt.pci.reading import read_devices
from drivers.libvirt.pci.spec import parse_device_specs
from drivers.libvirt.pci.view import build_view
from drivers.root import HostRoot
from tests.drivers.libvirt.builders import Machine, pci_device, vdpa

PF, VF1, VF2 = "0000:81:00.0", "0000:81:00.1", "0000:81:00.2"
CARD = [
    pci_device(PF, "8086", "1572", vfs=[VF1, VF2]),
    pci_device(VF1, "8086", "154c", pf=PF),
    pci_device(VF2, "8086", "154c", pf=PF),
]
MANAGED = {"COMPUTE_MANAGED_PCI_DEVICE", "OWNER_NOVA"}


def view_of(tmp_path, devices, *specs):
    bound = [bind(each, HostRoot(tmp_path)) for each in parse_device_specs(map(json.dumps, specs), True)]
    view = build_view(read_devices(Machine(devices))[0], bound, {})
    return {str(address): each for address, each in view.items()}


def test_a_device_is_a_provider(tmp_path):
    (device,) = view_of(
        tmp_path, [pci_device("0000:0a:00.0", "1af4", "1044")], {"vendor_id": "1af4"}
    ).values()
    assert device.resource_class == "CUSTOM_PCI_1AF4_1044"
    assert device.traits == MANAGED
    assert len(device.devices) == 1


def test_vfs_count_on_their_pf_also_when_the_pf_is_not_meant(tmp_path):
    view = view_of(tmp_path, CARD, {"product_id": "154c"})
    assert list(view) == [PF]
    assert view[PF].resource_class == "CUSTOM_PCI_8086_154C"
    assert len(view[PF].devices) == 2


def test_a_whole_pf(tmp_path):
    view = view_of(tmp_path, CARD, {"product_id": "1572"})
    assert view[PF].resource_class == "CUSTOM_PCI_8086_1572"
    assert len(view[PF].devices) == 1


def test_vfs_with_and_without_vdpa_share_a_provider(tmp_path):
    view = view_of(tmp_path, [*CARD, vdpa(0, "pci_0000_81_00_1")], {"product_id": "154c"})
    assert len(view[PF].devices) == 2


def test_devices_on_a_physical_network_are_left_out(tmp_path):
    specs = [{"address": VF1, "physical_network": "physnet1"}, {"product_id": "154c"}]
    assert [str(each.address) for each in view_of(tmp_path, CARD, *specs)[PF].devices] == [VF2]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("PGPU", "PGPU"),
        ("pgpu", "PGPU"),
        ("CUSTOM_GPU", "CUSTOM_GPU"),
        ("custom_gpu", "CUSTOM_GPU"),
        ("GPU", "CUSTOM_GPU"),
        ("my gpu-2", "CUSTOM_MY_GPU_2"),
        ("CUSTOM-GPU", "CUSTOM_CUSTOM_GPU"),
        ("CUSTOM_a b", "CUSTOM_A B"),
        ("x" * 260, f"CUSTOM_{'X' * 260}"),
        ("", "CUSTOM_PCI_8086_1520"),
        (None, "CUSTOM_PCI_8086_1520"),
    ],
)
def test_resource_classes(tmp_path, given, told):
    (device,) = view_of(tmp_path, [pci_device("0000:0a:00.0")], {"resource_class": given}).values()
    assert device.resource_class == told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("HW_GPU_API_VULKAN,my-awesome-gpu", {"HW_GPU_API_VULKAN", "CUSTOM_MY_AWESOME_GPU"}),
        ("hw_gpu_api_vulkan", {"CUSTOM_HW_GPU_API_VULKAN"}),
        ("CUSTOM_A,custom_b", {"CUSTOM_A", "CUSTOM_B"}),
        ("blue, big", {"CUSTOM_BLUE", "CUSTOM__BIG"}),
        ("custom.blue", {"CUSTOM_CUSTOM_BLUE"}),
        ("CUSTOM_a.b", {"CUSTOM_A.B"}),
        ("a,", {"CUSTOM_A", "CUSTOM_"}),
        ("", set()),
        (None, set()),
    ],
)
def test_traits(tmp_path, given, told):
    (device,) = view_of(tmp_path, [pci_device("0000:0a:00.0")], {"traits": given}).values()
    assert device.traits == MANAGED | told


def test_traits_of_what_can_migrate_and_of_what_is_for_one_use(tmp_path):
    (device,) = view_of(
        tmp_path, [pci_device("0000:0a:00.0")], {"live_migratable": "yes", "one_time_use": "yes"}
    ).values()
    assert device.traits == MANAGED | {"HW_PCI_LIVE_MIGRATABLE", "HW_PCI_ONE_TIME_USE"}


@pytest.mark.parametrize(
    ("specs", "reason"),
    [
        ([{"vendor_id": "8086"}], f"both PF {PF} and its VFs \\({VF1}"),
        (
            [{"address": VF1, "resource_class": "a"}, {"resource_class": "b", "product_id": "154c"}],
            "differ in resource_class",
        ),
        ([{"address": VF1, "traits": "a"}, {"traits": "a,b", "product_id": "154c"}], "differ in traits"),
        ([{"address": VF1, "live_migratable": "yes"}, {"product_id": "154c"}], "differ in traits"),
        ([{"product_id": "154c", "one_time_use": "no"}], "one_time_use is not for VFs"),
        ([{"product_id": "1572", "resource_class": 5}], "resource_class 5 is not text"),
        ([{"product_id": "1572", "traits": ["a"]}], "are not text"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path, specs, reason):
    with pytest.raises(DriverOptionError, match=reason) as caught:
        view_of(tmp_path, CARD, *specs)
    assert "[pci] device_spec" in caught.value.what
    assert caught.value.advice


def test_vfs_of_different_pfs_may_differ(tmp_path):
    other = [
        pci_device("0000:82:00.0", vfs=["0000:82:00.1"]),
        pci_device("0000:82:00.1", "8086", "154c", pf="0000:82:00.0"),
    ]
    view = view_of(
        tmp_path,
        [*CARD, *other],
        {"address": "*:81:00.*", "product_id": "154c", "traits": "fast"},
        {"product_id": "154c"},
    )
    assert {address: len(each.traits) for address, each in view.items()} == {PF: 3, "0000:82:00.0": 2}
