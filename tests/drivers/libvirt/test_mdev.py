"""vGPUs: which type each GPU gets, how many it provides, and moving what instances hold to GPUs."""

import logging

import pytest

from drivers.errors import DriverOptionError, HostReadError, ReshapeFailed, ReshapeNeeded
from drivers.libvirt.mdev.node_device import parse_mdev, parse_mdev_parent
from drivers.libvirt.mdev.part import MdevPart
from tests.drivers.libvirt.builders import (
    NODE,
    Machine,
    configuration,
    domain,
    holdings,
    hypervisor,
    mdev,
    mdev_hostdev,
    named,
    new_tree,
    pci_device,
    virtual_mdev_parent,
)

GPU1, GPU2 = "pci_0000_84_00_0", "pci_0000_85_00_0"
GUEST1, GUEST2 = "aaaaaaaa-0000-0000-0000-000000000001", "aaaaaaaa-0000-0000-0000-000000000002"
UUIDS = [f"cccccccc-0000-0000-0000-00000000000{number}" for number in range(6)]
TWO_TYPES = """
[devices]
enabled_mdev_types = nvidia-35, nvidia-36
[mdev_nvidia-35]
device_addresses = 0000:84:00.0
[mdev_nvidia-36]
device_addresses = 0000:85:00.0
"""
ONE_TYPE = "[devices]\nenabled_mdev_types = nvidia-35\n"


def gpu(address, **types):
    return pci_device(
        address, "10de", "1db4", mdev_types={name.replace("_", "-"): count for name, count in types.items()}
    )


def two_gpus(left1=4, left2=2):
    return [
        gpu("0000:84:00.0", nvidia_35=left1, nvidia_36=left1 // 2),
        gpu("0000:85:00.0", nvidia_35=left2, nvidia_36=left2),
    ]


@pytest.fixture
def make(tmp_path):
    def build(machine, text):
        return MdevPart(configuration(tmp_path, text, MdevPart), hypervisor(machine, tmp_path))

    return build


def provided(tree):
    return {
        each.name.removeprefix(f"{NODE}_"): {name: record["total"] for name, record in each.inventory.items()}
        for each in tree.children(NODE)
    }


@pytest.fixture
def report(make):
    def run(devices, text, tree=None):
        tree = tree or new_tree()
        make(Machine(devices), text).update(tree, NODE, None)
        return provided(tree)

    return run


def test_a_provider_as_placement_gets_it(make):
    tree = new_tree()
    make(Machine(two_gpus()), ONE_TYPE).update(tree, NODE, None)
    provider = tree.provider(f"{NODE}_{GPU1}")
    assert provider.inventory == {
        "VGPU": {
            "total": 4,
            "reserved": 0,
            "min_unit": 1,
            "max_unit": 4,
            "step_size": 1,
            "allocation_ratio": 1.0,
        }
    }
    assert provider.traits == {"OWNER_NOVA"}
    assert "nvidia-35" in tree.notes(provider.uuid)["VGPU"].detail


def test_a_single_type_is_for_all_gpus(report):
    assert report(two_gpus(), ONE_TYPE) == {GPU1: {"VGPU": 4}, GPU2: {"VGPU": 2}}


def test_without_types_nothing_is_reported(report):
    assert report(two_gpus(), "") == {}


def test_types_by_address(report):
    assert report(two_gpus(), TWO_TYPES) == {GPU1: {"VGPU": 4}, GPU2: {"VGPU": 2}}
    assert report([gpu("0000:84:00.0", nvidia_36=2), gpu("0000:86:00.0", nvidia_35=3)], TWO_TYPES) == {}


def test_devices_that_exist_count_as_well_if_they_are_of_the_gpus_type(report):
    devices = [
        *two_gpus(left1=1, left2=0),
        mdev(UUIDS[0], GPU1, "nvidia-35"),
        mdev(UUIDS[1], GPU1, "nvidia-36"),
        mdev(UUIDS[2], GPU2, "nvidia-36", tells_uuid=False),
    ]
    assert report(devices, TWO_TYPES) == {GPU1: {"VGPU": 2}, GPU2: {"VGPU": 1}}


def test_devices_that_are_not_started_take_no_place_but_are_known(make):
    stopped, started = (mdev(uuid, GPU1, "nvidia-35") for uuid in UUIDS[:2])
    machine = Machine([*two_gpus(left1=4), stopped, started])
    machine.inactive = {stopped.name}
    machine.start(domain(GUEST1, mdev_hostdev(UUIDS[0])))
    part, tree = make(machine, ONE_TYPE), new_tree({"VGPU": {"total": 8}})
    allocations = holdings(tree, {GUEST1: {NODE: {"VGPU": 1}}})
    part.update(tree, NODE, allocations)
    assert provided(tree)[GPU1] == {"VGPU": 5}
    assert named(tree, allocations)[GUEST1] == {f"{NODE}_{GPU1}": {"VGPU": 1}}


def test_a_gpu_that_provides_nothing_any_more_loses_its_provider(make):
    machine, tree = Machine(two_gpus()), new_tree()
    part = make(machine, ONE_TYPE)
    part.update(tree, NODE, None)
    machine.devices = two_gpus(left2=0)
    part.update(tree, NODE, None)
    assert provided(tree) == {GPU1: {"VGPU": 4}}


def test_the_provider_of_a_gpu_that_vanished_stays_and_that_is_said_once(make, caplog):
    machine, tree = Machine(two_gpus()), new_tree()
    part = make(machine, ONE_TYPE)
    part.update(tree, NODE, None)
    assert not caplog.records
    machine.devices.pop()
    for _ in range(2):
        part.update(tree, NODE, None)
    assert provided(tree) == {GPU1: {"VGPU": 4}, GPU2: {"VGPU": 2}}
    (said,) = [each.getMessage() for each in caplog.records]
    assert said.startswith(f"{NODE}_{GPU2} provides VGPU, but no device with an enabled type")


def test_what_operators_hang_on_a_provider_stays(make):
    tree = new_tree()
    part = make(Machine(two_gpus()), ONE_TYPE)
    part.update(tree, NODE, None)
    tree.add_traits(f"{NODE}_{GPU1}", "CUSTOM_LICENSED")
    part.update(tree, NODE, None)
    assert tree.provider(f"{NODE}_{GPU1}").traits == {"OWNER_NOVA", "CUSTOM_LICENSED"}


def test_classes_other_than_vgpu(report):
    text = TWO_TYPES.replace("[mdev_nvidia-36]", "[mdev_nvidia-36]\nmdev_class = CUSTOM_NIC_PART")
    assert report(two_gpus(), text) == {GPU1: {"VGPU": 4}, GPU2: {"CUSTOM_NIC_PART": 2}}


def test_a_class_has_no_effect_on_the_default_type_and_that_is_said(report, caplog):
    assert report(two_gpus(), ONE_TYPE + "[mdev_nvidia-35]\nmdev_class = CUSTOM_X\n")[GPU1] == {"VGPU": 4}
    assert "mdev_class = CUSTOM_X has no effect without device_addresses" in caplog.text


def test_max_instances_leaves_out_gpus_that_do_not_fit(report):
    def limited(most, *devices):
        return report([*two_gpus(), *devices], ONE_TYPE + f"[mdev_nvidia-35]\nmax_instances = {most}\n")

    assert limited(6) == {GPU1: {"VGPU": 4}, GPU2: {"VGPU": 2}}
    assert limited(5) == {GPU1: {"VGPU": 4}}
    assert limited(3) == {GPU2: {"VGPU": 2}}
    assert limited(5, mdev(UUIDS[0], GPU2, "nvidia-35")) == {GPU1: {"VGPU": 4}}
    assert limited(1) == {}


def test_vfs_of_a_gpu_are_devices_of_their_own(report):
    vfs = [gpu("0000:41:00.4", nvidia_558=1), gpu("0000:41:00.5", nvidia_558=0)]
    devices = [*vfs, mdev(UUIDS[0], "pci_0000_41_00_5", "nvidia-558")]
    assert report(devices, "[devices]\nenabled_mdev_types = nvidia-558\n") == {
        "pci_0000_41_00_4": {"VGPU": 1},
        "pci_0000_41_00_5": {"VGPU": 1},
    }


def test_virtual_devices(report, tmp_path):
    text = "[devices]\nenabled_mdev_types=mtty-1\n[mdev_mtty-1]\n"
    text += "device_addresses=mtty_mtty\nmdev_class=CUSTOM_MTTY\n"
    with pytest.raises(DriverOptionError, match="there is no device 'mtty_mtty'"):
        report([virtual_mdev_parent("mtty_mtty", {"mtty-1": 24})], text)
    (tmp_path / "sys/devices/virtual/mtty/mtty").mkdir(parents=True)
    assert report([virtual_mdev_parent("mtty_mtty", {"mtty-1": 24})], text) == {
        "mtty_mtty": {"CUSTOM_MTTY": 24}
    }


def test_devices_that_are_no_pci_devices_are_left_out_and_said(report, caplog):
    assert report([virtual_mdev_parent("css_0_0_0010", {"nvidia-35": 1})], ONE_TYPE) == {}
    assert "css_0_0_0010 is no PCI device" in caplog.text


def test_old_names_of_groups_and_options(report):
    text = TWO_TYPES.replace("enabled_mdev_types", "enabled_vgpu_types").replace(
        "[mdev_nvidia-36]", "[vgpu_nvidia-36]"
    )
    assert report(two_gpus(), text) == {GPU1: {"VGPU": 4}, GPU2: {"VGPU": 2}}


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        (
            "[mdev_a]\ndevice_addresses=0000:84:00.0\n[mdev_b]\ndevice_addresses=0000:84:00.0",
            "is in \\[mdev_a\\] and",
        ),
        ("[mdev_a]\ndevice_addresses=0000:84:00.0,0000:84:00.0", "0000:84:00.0 is in \\[mdev_a\\], twice"),
        ("[mdev_a]\ndevice_addresses=84:00.0", "there is no device '84:00.0'"),
        ("[mdev_a]\nmdev_class=GPU", "\\[mdev_a\\].*mdev_class"),
        ("[mdev_a]\nmdev_class=CUSTOM_small", "mdev_class"),
        ("[mdev_a]\nmax_instances=0", "max_instances"),
        ("[mdev_a]\nmax_instances=many", "max_instances"),
        ("[mdev_a]\nmax_instances=$nothing", "\\[mdev_a\\] max_instances"),
    ],
)
def test_refusals_name_the_group(make, groups, reason):
    with pytest.raises(DriverOptionError, match=reason) as caught:
        make(Machine(), f"[devices]\nenabled_mdev_types=a,b\n{groups}")
    assert caught.value.advice
    assert "LocationInfo" not in caught.value.what


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "[devices]\nenabled_mdev_types=nvidia-35,nvidia-36",
            "nvidia-36 is not used: neither it nor nvidia-35 has",
        ),
        ("[devices]\nenabled_mdev_types=nvidia-99", "no device of this host has type nvidia-99"),
        (
            "[devices]\nenabled_mdev_types=nvidia-35\n[mdev_nvidia-35]\ndevice_addresses=0000:8A:00.0",
            "libvirt writes 0000:8a:00.0",
        ),
    ],
)
def test_what_has_no_effect_is_said_once(make, caplog, text, warning):
    part, tree = make(Machine(two_gpus()), text), new_tree()
    part.update(tree, NODE, None)
    part.update(tree, NODE, None)
    assert [warning in each.getMessage() for each in caplog.records if each.levelno == logging.WARNING] == [
        True
    ]


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_mdev, "<device><name>mdev_x</name><capability type='pci'/></device>"),
        (
            parse_mdev,
            "<device><name>mdev_x</name><capability type='mdev'><type id='t'/></capability></device>",
        ),
        (
            parse_mdev_parent,
            "<device><name>d</name><capability type='mdev_types'><type id='t'/></capability></device>",
        ),
        (parse_mdev_parent, "no xml"),
    ],
)
def test_xml_that_is_not_as_documented_is_an_error_of_the_host(parse, text):
    with pytest.raises(HostReadError):
        parse(text)


class TestReshape:
    """VGPU on the node itself, as before Stein, moves to the GPUs whose devices the instances have."""

    def machine(self, **devices_of):
        devices = [mdev(uuid, GPU1 if number < 3 else GPU2, "nvidia-35") for number, uuid in enumerate(UUIDS)]
        machine = Machine([*two_gpus(), *devices])
        for guest, numbers in devices_of.items():
            uuid = {"guest1": GUEST1, "guest2": GUEST2}[guest]
            machine.start(domain(uuid, *(mdev_hostdev(UUIDS[number].upper()) for number in numbers)))
        return machine

    def old_tree(self):
        return new_tree({"VCPU": {"total": 8}, "VGPU": {"total": 12}})

    def test_allocations_are_asked_for(self, make):
        with pytest.raises(ReshapeNeeded, match="VGPU"):
            make(self.machine(), ONE_TYPE).update(self.old_tree(), NODE, None)

    def test_each_instance_holds_what_it_uses_where_it_uses_it(self, make):
        tree = self.old_tree()
        allocations = holdings(
            tree,
            {
                GUEST1: {NODE: {"VCPU": 2, "VGPU": 3}, "elsewhere": {"DISK_GB": 1}},
                GUEST2: {NODE: {"VGPU": 1}},
                "migration": {NODE: {"VCPU": 1}},
            },
        )
        make(self.machine(guest1=[0, 1, 3], guest2=[4]), ONE_TYPE).update(tree, NODE, allocations)
        assert named(tree, allocations) == {
            GUEST1: {
                NODE: {"VCPU": 2},
                f"{NODE}_{GPU1}": {"VGPU": 2},
                f"{NODE}_{GPU2}": {"VGPU": 1},
                "elsewhere": {"DISK_GB": 1},
            },
            GUEST2: {f"{NODE}_{GPU2}": {"VGPU": 1}},
            "migration": {NODE: {"VCPU": 1}},
        }
        assert tree.provider(NODE).inventory == {"VCPU": {"total": 8}}

    def test_what_is_held_on_gpus_or_other_hosts_already_stays(self, make):
        tree = self.old_tree()
        part = make(self.machine(guest1=[0, 1]), ONE_TYPE)
        with pytest.raises(ReshapeNeeded):
            part.update(tree, NODE, None)
        before = {GUEST1: {f"{NODE}_{GPU1}": {"VGPU": 2}}, GUEST2: {"elsewhere": {"VGPU": 1}}}
        allocations = holdings(tree, before)
        part.update(tree, NODE, allocations)
        assert named(tree, allocations) == before

    @pytest.mark.parametrize(
        ("uses", "reason"),
        [
            ({"guest2": [0]}, "is no instance here that has mediated devices"),
            ({"guest1": []}, "is no instance here that has mediated devices"),
            ({"guest1": [0]}, "has 2 VGPU allocated, but uses 1"),
            ({"guest1": [0, 1, 3]}, "has 2 VGPU allocated, but uses 3"),
        ],
    )
    def test_what_cannot_be_accounted_for_fails_with_the_consumers_name(self, make, uses, reason):
        tree = self.old_tree()
        with pytest.raises(ReshapeFailed, match=reason) as caught:
            make(self.machine(**uses), ONE_TYPE).update(
                tree, NODE, holdings(tree, {GUEST1: {NODE: {"VGPU": 2}}})
            )
        assert GUEST1 in caught.value.what
        assert caught.value.advice

    def test_devices_of_a_gpu_that_provides_no_vgpu(self, make):
        tree = self.old_tree()
        with pytest.raises(ReshapeFailed, match=f"{GPU2}, which provides no VGPU"):
            make(
                self.machine(guest1=[3]), ONE_TYPE + "[mdev_nvidia-35]\ndevice_addresses=0000:84:00.0"
            ).update(tree, NODE, holdings(tree, {GUEST1: {NODE: {"VGPU": 1}}}))

    def test_devices_that_do_not_exist(self, make):
        tree, machine = self.old_tree(), self.machine(guest1=[5])
        machine.devices.pop()
        with pytest.raises(ReshapeFailed, match=f"{UUIDS[5]} of consumer {GUEST1} does not exist"):
            make(machine, ONE_TYPE).update(tree, NODE, holdings(tree, {GUEST1: {NODE: {"VGPU": 1}}}))

    def test_without_types_the_node_has_no_vgpu_any_more(self, make):
        tree = self.old_tree()
        make(self.machine(), "").update(tree, NODE, None)
        assert tree.provider(NODE).inventory == {"VCPU": {"total": 8}}
