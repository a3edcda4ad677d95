"""PCI devices in the tree, and the allocations of the instances that have them."""

import json

import pytest

from drivers.errors import DriverOptionError, ReshapeNeeded
from drivers.libvirt.pci.part import PciPart
from provider_tree.inventory import complete
from tests.drivers.libvirt.builders import (
    NODE,
    Machine,
    configuration,
    domain,
    holdings,
    hostdev,
    hypervisor,
    named,
    new_tree,
    pci_device,
)

GPU = "0000:0a:00.0"
PF, VFS = "0000:81:00.0", ["0000:81:00.1", "0000:81:00.2", "0000:81:00.3"]
GPU_PROVIDER, PF_PROVIDER = f"{NODE}_0000:0A:00.0", f"{NODE}_0000:81:00.0"
GPU_CLASS, VF_CLASS = "CUSTOM_PCI_10DE_25B6", "CUSTOM_PCI_8086_154C"
SPEC = '[{"vendor_id": "10de"}, {"product_id": "154c"}]'
GUEST1, GUEST2 = "aaaaaaaa-0000-0000-0000-000000000001", "aaaaaaaa-0000-0000-0000-000000000002"


def devices():
    return [
        pci_device(GPU, "10de", "25b6"),
        pci_device(PF, "8086", "1572", vfs=VFS),
        *(pci_device(vf, "8086", "154c", pf=PF) for vf in VFS),
    ]


@pytest.fixture
def make(tmp_path):
    def build(machine, spec=SPEC, report=True):
        text = f"[pci]\nreport_in_placement = {report}\n" + (f"device_spec = {spec}\n" if spec else "")
        return PciPart(configuration(tmp_path, text, PciPart), hypervisor(machine, tmp_path))

    return build


def totals(tree):
    return {
        each.name: {name: record["total"] for name, record in each.inventory.items()}
        for each in tree.children(NODE)
    }


def test_a_fresh_tree(make):
    tree = new_tree()
    make(Machine(devices())).update(tree, NODE, None)
    assert totals(tree) == {GPU_PROVIDER: {GPU_CLASS: 1}, PF_PROVIDER: {VF_CLASS: 3}}
    assert complete(tree.provider(PF_PROVIDER).inventory[VF_CLASS]) == {
        "total": 3, "reserved": 0, "min_unit": 1, "max_unit": 3, "step_size": 1, "allocation_ratio": 1.0,
    }  # fmt: skip
    assert tree.provider(GPU_PROVIDER).traits == {"COMPUTE_MANAGED_PCI_DEVICE", "OWNER_NOVA"}
    assert tree.provider(NODE).inventory == {"VCPU": {"total": 8}}
    note = tree.notes(GPU_PROVIDER)[GPU_CLASS]
    assert (note.kind, note.detail, note.value) == (
        "configuration",
        "[pci] device_spec",
        {"vendor_id": "10de"},
    )


def test_a_second_time_changes_nothing(make):
    part, tree = make(Machine(devices())), new_tree()
    part.update(tree, NODE, None)
    before = list(tree.providers())
    part.update(tree, NODE, None)
    assert [new is old for new, old in zip(tree.providers(), before, strict=True)] == [True] * len(before)


def test_devices_that_go_take_their_providers_along_and_other_providers_stay(make):
    machine, tree = Machine(devices()), new_tree()
    part = make(machine)
    tree.new_child(f"{NODE}:NIC Switch agent", NODE)
    tree.new_child("blazar_host1", NODE)
    part.update(tree, NODE, None)
    machine.devices = [each for each in machine.devices if "0a_00" not in each.name][:-1]
    part.update(tree, NODE, None)
    assert totals(tree) == {f"{NODE}:NIC Switch agent": {}, "blazar_host1": {}, PF_PROVIDER: {VF_CLASS: 2}}


def test_without_specs_all_providers_of_devices_go(make):
    tree = new_tree()
    make(Machine(devices())).update(tree, NODE, None)
    make(Machine(devices()), spec="").update(tree, NODE, None)
    assert totals(tree) == {}


def test_providers_are_known_by_their_name_where_our_traits_are_not_shown(make):
    tree = new_tree()
    make(Machine(devices())).update(tree, NODE, None)
    tree.update_traits(GPU_PROVIDER, [])
    make(Machine(devices()), spec='{"product_id": "154c"}').update(tree, NODE, None)
    assert totals(tree) == {PF_PROVIDER: {VF_CLASS: 3}}
    tree.update_traits(PF_PROVIDER, [])
    with pytest.raises(DriverOptionError, match="report_in_placement is off"):
        make(Machine(devices()), report=False).update(tree, NODE, None)


def test_once_reported_always_reported(make):
    tree = new_tree()
    make(Machine(devices())).update(tree, NODE, None)
    with pytest.raises(DriverOptionError, match="report_in_placement is off") as caught:
        make(Machine(devices()), report=False).update(tree, NODE, None)
    assert PF_PROVIDER in caught.value.what or GPU_PROVIDER in caught.value.what
    assert "must stay on" in caught.value.advice


def test_without_report_in_placement_nothing_is_reported(make):
    tree = new_tree()
    make(Machine(devices()), report=False).update(tree, NODE, None)
    assert totals(tree) == {}


class TestAllocations:
    """What instances hold is made to agree with the devices that they have."""

    def machine(self):
        return Machine(
            devices(),
            [domain(GUEST1, hostdev(GPU), hostdev(VFS[0]), hostdev(VFS[1])), domain(GUEST2, hostdev(VFS[2]))],
        )

    def test_instances_with_devices_ask_for_allocations_first(self, make):
        with pytest.raises(ReshapeNeeded, match=f"{GUEST1}, {GUEST2}"):
            make(self.machine()).update(new_tree(), NODE, None)

    def test_missing_ones_are_added_and_nothing_else_changes(self, make):
        tree = new_tree()
        part = make(self.machine())
        allocations = holdings(
            tree, {GUEST1: {NODE: {"VCPU": 2}}, GUEST2: {NODE: {"VCPU": 1}, "elsewhere": {"DISK_GB": 5}}}
        )
        part.update(tree, NODE, allocations)
        assert named(tree, allocations) == {
            GUEST1: {NODE: {"VCPU": 2}, GPU_PROVIDER: {GPU_CLASS: 1}, PF_PROVIDER: {VF_CLASS: 2}},
            GUEST2: {NODE: {"VCPU": 1}, PF_PROVIDER: {VF_CLASS: 1}, "elsewhere": {"DISK_GB": 5}},
        }
        assert part.reshape_rules.additions == {GPU_CLASS, VF_CLASS}

    def test_what_is_held_already_stays_even_if_it_is_more(self, make):
        tree = new_tree()
        make(Machine(devices())).update(tree, NODE, None)
        wanted = {
            GUEST1: {NODE: {"VCPU": 2}, GPU_PROVIDER: {GPU_CLASS: 1}, PF_PROVIDER: {VF_CLASS: 3}},
            GUEST2: {NODE: {"VCPU": 2}, PF_PROVIDER: {VF_CLASS: 1}},
        }
        allocations = holdings(tree, wanted)
        make(self.machine()).update(tree, NODE, allocations)
        assert named(tree, allocations) == wanted

    def test_too_little_is_raised(self, make):
        tree = new_tree()
        make(Machine(devices())).update(tree, NODE, None)
        allocations = holdings(tree, {GUEST1: {PF_PROVIDER: {VF_CLASS: 1}}})
        make(self.machine()).update(tree, NODE, allocations)
        assert named(tree, allocations)[GUEST1][PF_PROVIDER] == {VF_CLASS: 2}

    def test_instances_that_placement_does_not_know_are_left_alone(self, make):
        tree, allocations = new_tree(), {}
        make(self.machine()).update(tree, NODE, allocations)
        assert allocations == {}
        assert totals(tree) == {GPU_PROVIDER: {GPU_CLASS: 1}, PF_PROVIDER: {VF_CLASS: 3}}

    def test_they_are_asked_for_once_and_again_when_another_instance_gets_a_device(self, make):
        machine, tree = self.machine(), new_tree()
        del machine.domains[GUEST2]
        part = make(machine)
        part.update(tree, NODE, {})
        part.update(tree, NODE, None)
        machine.start(domain(GUEST2, hostdev(VFS[2])))
        with pytest.raises(ReshapeNeeded, match=GUEST2) as caught:
            part.update(tree, NODE, None)
        assert GUEST1 not in str(caught.value)
        part.update(tree, NODE, {})
        del machine.domains[GUEST1]
        part.update(tree, NODE, None)

    def test_what_was_lacking_is_looked_at_again(self, make):
        part = make(self.machine())
        allocations = holdings(new_tree(), {GUEST1: {NODE: {"VCPU": 2}}})
        part.update(new_tree(), NODE, allocations)
        with pytest.raises(ReshapeNeeded, match=GUEST1) as caught:
            part.update(new_tree(), NODE, None)
        assert GUEST2 not in str(caught.value)
        part.update(new_tree(), NODE, allocations)
        part.update(new_tree(), NODE, None)


class TestDevicesStillInUse:
    """Devices that left the configuration or the host while instances have them keep their provider."""

    def used(self, make, tree, *hostdevs):
        machine = Machine(devices(), [domain(GUEST1, *map(hostdev, hostdevs))])
        make(machine).update(tree, NODE, {})
        return machine

    def test_without_allocations_the_domains_tell(self, make, caplog):
        tree = new_tree()
        machine = self.used(make, tree, GPU, VFS[0], VFS[1])
        make(machine, spec='{"product_id": "dead"}').update(tree, NODE, None)
        assert totals(tree) == {GPU_PROVIDER: {GPU_CLASS: 1}, PF_PROVIDER: {VF_CLASS: 2}}
        assert tree.provider(GPU_PROVIDER).traits >= {"COMPUTE_MANAGED_PCI_DEVICE", "OWNER_NOVA"}
        assert GUEST1 in caplog.text
        assert "name them again" in caplog.text

    def test_allocations_tell_better(self, make):
        tree = new_tree()
        machine = self.used(make, tree, GPU, VFS[0])
        allocations = holdings(
            tree, {GUEST1: {PF_PROVIDER: {VF_CLASS: 1}}, GUEST2: {PF_PROVIDER: {VF_CLASS: 2}}}
        )
        make(machine, spec='{"product_id": "dead"}').update(tree, NODE, allocations)
        assert totals(tree) == {PF_PROVIDER: {VF_CLASS: 3}}

    def test_total_does_not_go_below_what_is_in_use(self, make):
        tree = new_tree()
        machine = self.used(make, tree, VFS[0], VFS[1])
        allocations = holdings(tree, {GUEST1: {PF_PROVIDER: {VF_CLASS: 2}}})
        make(machine, spec=json.dumps({"address": VFS[2]})).update(tree, NODE, allocations)
        assert totals(tree) == {PF_PROVIDER: {VF_CLASS: 2}}

    def test_vfs_in_use_are_no_pfs(self, make, caplog):
        """The PF is named now instead of its VFs: there is one of it."""
        tree = new_tree()
        machine = Machine(devices(), [domain(GUEST1, *map(hostdev, VFS))])
        make(machine, spec=json.dumps({"address": PF, "product_id": "1572"})).update(tree, NODE, None)
        assert totals(tree) == {PF_PROVIDER: {"CUSTOM_PCI_8086_1572": 1}}
        assert not caplog.records

    def test_a_device_that_vanished_from_the_host(self, make):
        tree = new_tree()
        machine = self.used(make, tree, GPU)
        machine.devices = machine.devices[1:]
        make(machine).update(tree, NODE, None)
        assert totals(tree)[GPU_PROVIDER] == {GPU_CLASS: 1}

    def test_a_device_that_was_given_by_hand_and_never_reported_makes_no_provider(self, make):
        tree = new_tree()
        machine = Machine(devices(), [domain(GUEST1, hostdev(GPU))])
        make(machine, spec='{"product_id": "154c"}').update(tree, NODE, None)
        assert totals(tree) == {PF_PROVIDER: {VF_CLASS: 3}}

    def test_they_are_warned_about_once(self, make, caplog):
        tree = new_tree()
        part = make(self.used(make, tree, GPU), spec='{"product_id": "dead"}')
        part.update(tree, NODE, None)
        part.update(tree, NODE, None)
        assert caplog.text.count(GPU_PROVIDER) == 1


class TestReserved:
    """reserved is the operator's, but for devices that are for one use."""

    SPEC = '[{"vendor_id": "10de", "one_time_use": "yes"}, {"product_id": "154c"}]'

    def reserve(self, tree, provider, amount):
        inventory = {
            name: {**record, "reserved": amount} for name, record in tree.provider(provider).inventory.items()
        }
        tree.update_inventory(provider, inventory)

    def reserved(self, tree, provider):
        return [record.get("reserved", 0) for record in tree.provider(provider).inventory.values()]

    def test_what_the_operator_reserved_stays(self, make):
        machine, tree = Machine(devices()), new_tree()
        part = make(machine)
        part.update(tree, NODE, None)
        self.reserve(tree, PF_PROVIDER, 2)
        part.update(tree, NODE, None)
        assert self.reserved(tree, PF_PROVIDER) == [2]
        machine.devices = machine.devices[:3]
        part.update(tree, NODE, None)
        assert self.reserved(tree, PF_PROVIDER) == [1]

    def test_a_device_for_one_use_is_reserved_with_its_first_instance_and_stays_so(self, make):
        machine, tree = Machine(devices()), new_tree()
        part = make(machine, spec=self.SPEC)
        part.update(tree, NODE, None)
        assert self.reserved(tree, GPU_PROVIDER) == [0]
        assert "HW_PCI_ONE_TIME_USE" in tree.provider(GPU_PROVIDER).traits
        machine.start(domain(GUEST1, hostdev(GPU)))
        part.update(tree, NODE, {})
        assert self.reserved(tree, GPU_PROVIDER) == [1]
        del machine.domains[GUEST1]
        part.update(tree, NODE, None)
        assert self.reserved(tree, GPU_PROVIDER) == [1]
        self.reserve(tree, GPU_PROVIDER, 0)
        part.update(tree, NODE, None)
        assert self.reserved(tree, GPU_PROVIDER) == [0]


class TestChecks:
    """What is refused before the first cycle."""

    @pytest.mark.parametrize("value", ["yes", "no"])
    @pytest.mark.parametrize(("libvirt", "qemu"), [((9, 0, 0), (9, 0, 0)), ((10, 0, 0), (8, 2, 1))])
    def test_live_migration_needs_newer_versions(self, make, value, libvirt, qemu):
        part = make(Machine(libvirt=libvirt, qemu=qemu), spec=json.dumps({"live_migratable": value}))
        with pytest.raises(
            DriverOptionError, match=r"live_migratable needs QEMU 8\.2\.2 and libvirt 10\.0\.0"
        ):
            part.check()

    def test_live_migration_with_these(self, make):
        make(Machine(libvirt=(10, 0, 0), qemu=(8, 2, 2)), spec='{"live_migratable": "yes"}').check()

    def test_interfaces_cannot_be_reported(self, make):
        part = make(Machine(), spec='{"devname": "eth9"}')
        with pytest.raises(DriverOptionError, match="devname cannot be used with"):
            part.check()
        make(Machine(), spec='{"devname": "eth9"}', report=False).check()

    def test_bad_specs_are_refused_also_when_nothing_is_reported(self, make):
        with pytest.raises(DriverOptionError):
            make(Machine(), spec='{"vendor_id": "xyz"}', report=False)


@pytest.mark.parametrize(
    ("tag", "serial", "libvirt", "able"),
    [
        ("true", "1", (10, 0, 0), True),
        ("True", "1", (10, 0, 0), True),
        ("yes", "1", (10, 0, 0), False),
        ("false", "1", (10, 0, 0), False),
        ("true", None, (10, 0, 0), False),
        ("true", "1", (7, 8, 0), False),
    ],
)
@pytest.mark.parametrize("report", [True, False])
def test_remote_ports_need_devices_for_them(make, tag, serial, libvirt, able, report):
    vf = pci_device(VFS[0], "8086", "154c", pf=PF, serial=serial)
    part = make(
        Machine([vf], libvirt=libvirt),
        spec=json.dumps({"remote_managed": tag, "product_id": "154c"}),
        report=report,
    )
    part.update(new_tree(), NODE, None)
    assert part.capabilities() == {"supports_remote_managed_ports": able}


def test_the_devices_as_novas_database_has_them(make):
    told = json.loads(make(Machine(devices())).resources()["pci_passthrough_devices"])
    assert told[2] == {
        "dev_id": "pci_0000_81_00_1",
        "address": "0000:81:00.1",
        "vendor_id": "8086",
        "product_id": "154c",
        "numa_node": None,
        "label": "label_8086_154c",
        "dev_type": "type-VF",
        "parent_addr": "0000:81:00.0",
    }
    assert len(told) == 5


@pytest.mark.parametrize("report", [True, False])
@pytest.mark.parametrize(
    ("tag", "value"),
    [("physical_network", ["a"]), ("remote_managed", {}), ("mine", [1]), ("numa_node", "x")],
)
def test_tags_that_nova_cannot_keep_beside_a_device_are_refused_where_there_is_one(make, tag, value, report):
    spec = json.dumps({"product_id": "154c", tag: value})
    make(Machine([pci_device(GPU, "10de", "25b6")]), spec, report).update(new_tree(), NODE, None)
    with pytest.raises(DriverOptionError, match=rf"\[pci\] device_spec: {tag} is not a single value"):
        make(Machine(devices()), spec, report).update(new_tree(), NODE, None)


@pytest.mark.parametrize(
    ("tag", "value"), [("mine", 5), ("mine", None), ("numa_node", "1"), ("count", [1]), ("rp_uuid", {})]
)
def test_tags_that_nova_keeps_or_does_not_look_at(make, tag, value):
    tree = new_tree()
    make(Machine(devices()), json.dumps({"vendor_id": "10de", tag: value})).update(tree, NODE, None)
    assert totals(tree) == {GPU_PROVIDER: {GPU_CLASS: 1}}
