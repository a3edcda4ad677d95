"""Gives the same device_spec and the same node devices to Nova and to us: what is refused, matched and
reported.

Where Nova looks at /sys it is given what a made-up machine has there, as we are. Argument: a directory for
it.
"""

import copy
import json
import logging
import sys
from collections import Counter
from pathlib import Path

import nova.compute.pci_placement_translator as translator
import nova.compute.provider_tree
import nova.conf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nova import context, exception, objects
from nova.objects import fields
from nova.pci import utils as pci_utils
from nova.pci import whitelist
from nova.virt.libvirt import host as nova_host

from drivers.errors import DriverOptionError
from drivers.libvirt.pci.binding import bind, first_match
from drivers.libvirt.pci.device import as_nova_names_it
from drivers.libvirt.pci.reading import read_devices
from drivers.libvirt.pci.report import heal_allocations, put_devices
from drivers.libvirt.pci.spec import parse_device_specs
from drivers.libvirt.pci.view import build_view
from drivers.root import HostRoot
from provider_tree.inventory import complete
from provider_tree.tree import ProviderTree
from tests.drivers.libvirt.builders import NODE, ROOT_UUID, Machine, nic, pci_device, vdpa

ROOT = Path(sys.argv[1])
PF1, PF2 = "0000:81:00.0", "0000:82:00.0"
VFS1, VFS2 = ["0000:81:00.1", "0000:81:00.2"], ["0000:82:10.0"]
PLAIN = ["0000:0a:00.0", "0000:0b:1f.7", "10000:01:00.0"]
INTERFACES = {"eno1": PF1, "eno1v0": VFS1[0], "ens3": "virtio2"}
VENDORS, PRODUCTS = ["8086", "10de"], ["1572", "154c", "25b6"]
GUESTS = [f"aaaaaaaa-0000-0000-0000-00000000000{number}" for number in range(3)]

# What was compared: a comparison that sees one outcome alone compares nothing.
SEEN: Counter[str] = Counter()

EXAMPLES = settings(
    max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

# -- machines


@st.composite
def machines(draw):
    """Node devices: cards with and without VFs, vDPA, serial numbers."""
    serials = st.sampled_from([None, None, "s1"])
    devices = [
        pci_device(PF1, "8086", "1572", vfs=VFS1, serial=draw(serials)),
        pci_device(PF2, "8086", draw(st.sampled_from(PRODUCTS)), vfs=draw(st.sampled_from([[], VFS2]))),
        *(pci_device(each, "8086", "154c", pf=PF1, serial=draw(serials)) for each in VFS1),
        *(pci_device(each, "8086", draw(st.sampled_from(PRODUCTS)), pf=PF2) for each in VFS2),
        *(pci_device(each, draw(st.sampled_from(VENDORS)), "25b6", numa_node=0) for each in PLAIN),
        nic("eno1", "pci_0000_81_00_0"),
    ]
    if draw(st.booleans()):
        devices.append(vdpa(0, "pci_0000_81_00_1"))
    return draw(st.permutations([each for each in devices if draw(st.integers(0, 7))]))


def sysfs():
    """What the made-up machine has in /sys."""
    for pf in (PF1, PF2):
        directory = ROOT / "sys/bus/pci/devices" / pf
        directory.mkdir(parents=True)
        for name, text in {
            "sriov_totalvfs": "8",
            "vendor": "0x8086",
            "device": "0x1572",
            "sriov_vf_device": "154c",
        }.items():
            (directory / name).write_text(text + "\n")
    for name, target in INTERFACES.items():
        (ROOT / "sys/bus/pci/devices" / target).mkdir(parents=True, exist_ok=True)
        (ROOT / "sys/class/net" / name).mkdir(parents=True)
        (ROOT / "sys/class/net" / name / "device").symlink_to(f"../../../bus/pci/devices/{target}")
    pci_utils.is_physical_function = lambda *fields_: "{}:{}:{}.{}".format(*fields_) in {PF1, PF2}
    pci_utils.get_function_by_ifname = lambda name: (INTERFACES.get(name), INTERFACES.get(name) in {PF1, PF2})
    pci_utils.get_vf_product_id_by_pf_addr = lambda _: "154c"
    pci_utils.get_pci_ids_by_pci_addr = lambda _: ("8086", "1572")


class FakeDevice:
    """A virNodeDevice."""

    def __init__(self, device):
        self.device = device

    def name(self):
        return self.device.name

    def parent(self):
        return self.device.parent

    def XMLDesc(self, _flags):  # noqa: N802 - libvirt's name
        return self.device.xml


def novas_devices(machine):
    """The devices as Nova's driver tells them to its tracker."""

    def having(kind):
        return [FakeDevice(each) for each in machine if kind in each.capabilities]

    host = nova_host.Host.__new__(nova_host.Host)
    pci = having("pci")
    return [host._get_pcidev_info(each.name(), each, having("net"), having("vdpa"), pci) for each in pci]


# -- specs

YES_OR_NO = st.sampled_from(["yes", "no", "true", "0", "maybe", "", None, True, 1, "on "])
HEX = st.sampled_from(
    ["*", "8086", "10DE", "0x8086", " 8086", "", "zz", "18086", "-1", "154c", "25b6", "1572", None, 5]
)
ADDRESSES = st.one_of(
    st.sampled_from(
        [
            PF1,
            PF2,
            *VFS1,
            *VFS2,
            *PLAIN[:2],
            "*:81:00.*",
            ":81:00.",
            ":0a:",
            ".0",
            "*",
            "",
            "0000:81:00.9",
            "a:b:c:d.1",
            7,
        ]
    ),
    st.builds(
        "{}:{}:{}.{}".format, *[st.sampled_from(["*", "0000", "81", "0", "00", "0A", "ff1", " ", ""])] * 4
    ),
    st.dictionaries(
        st.sampled_from(["domain", "bus", "slot", "function", "else"]),
        st.sampled_from([".*", "0000", "8[12]", "0", "00", "[0-2]", "(", "", "81", 1, "^1", None]),
    ),
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "vendor_id": HEX,
        "product_id": HEX,
        "address": ADDRESSES,
        "devname": st.sampled_from(["", "eno1", "eno1v0", "eno9", "ens3", None, 5, ["eno1"]]),
        "physical_network": st.sampled_from(["physnet1", "", None]),
        "remote_managed": YES_OR_NO,
        "managed": YES_OR_NO,
        "live_migratable": YES_OR_NO,
        "one_time_use": YES_OR_NO,
        "resource_class": st.sampled_from(["pgpu", "CUSTOM_X", "my gpu", "", None]),
        "traits": st.sampled_from(["a,b", "HW_GPU_API_VULKAN", "", None, "CUSTOM_T", "custom-t", "x y, z"]),
    },
)
# Those that Nova takes, so that what follows is reached often.
GOOD_SPECS = st.fixed_dictionaries(
    {},
    optional={
        "vendor_id": st.sampled_from(VENDORS),
        "product_id": st.sampled_from(PRODUCTS),
        "address": st.sampled_from([*VFS1, *VFS2, *PLAIN[:2], PF1, "*:81:*.*", {"bus": "8[12]"}]),
        "physical_network": st.sampled_from(["physnet1", None]),
        "live_migratable": st.sampled_from(["yes", "no"]),
        "one_time_use": st.sampled_from(["yes", "no"]),
        "resource_class": st.sampled_from(["pgpu", "CUSTOM_X", "custom-x"]),
        "traits": st.sampled_from(["a,b", "HW_GPU_API_VULKAN"]),
    },
)
ENTRIES = st.one_of(
    SPECS.map(json.dumps),
    st.lists(SPECS, max_size=3).map(json.dumps),
    st.lists(GOOD_SPECS, max_size=3).map(json.dumps),
    st.lists(GOOD_SPECS, min_size=1, max_size=1).map(json.dumps),
    st.sampled_from(["", "{", "5", '"x"', "null", "[1]"]),
)


def novas_specs(entries):
    """Nova's specs, None where it refuses (or breaks on) them."""
    try:
        return whitelist.Whitelist(list(entries))
    except (exception.NovaException, AttributeError, TypeError):
        return None


def our_specs(entries, report):
    try:
        return [bind(each, HostRoot(ROOT)) for each in parse_device_specs(entries, report)]
    except DriverOptionError:
        return None


# -- comparisons


@EXAMPLES
@given(st.lists(ENTRIES, max_size=3), machines(), st.booleans())
def specs_are_accepted_and_match_alike(entries, machine, report):
    nova.conf.CONF.set_override("report_in_placement", report, "pci")
    theirs, ours = novas_specs(entries), our_specs(entries, report)
    SEEN["specs refused" if theirs is None else "specs accepted"] += 1
    assert (theirs is None) == (ours is None), entries
    if theirs is None:
        return
    devices, _ = read_devices(Machine(machine))
    by_address = {each["address"]: each for each in novas_devices(machine)}
    for device in devices:
        expected = matched_by_nova(theirs, by_address[str(device.address)])
        spec = first_match(ours, device)
        SEEN["devices not matched" if expected is None else "devices matched"] += 1
        assert (None if spec is None else dict(spec.given)) == expected, (entries, device)


def matched_by_nova(specs, device):
    try:
        spec = specs.device_assignable(device)
    except exception.PciConfigInvalidSpec:
        return None  # as its tracker does
    return None if spec is None else spec.dev_spec_conf


@EXAMPLES
@given(machines())
def devices_are_read_alike(machine):
    devices, _ = read_devices(Machine(machine))
    ours = {each["address"]: each for each in map(as_nova_names_it, devices)}
    for theirs in novas_devices(machine):
        theirs.pop("parent_ifname", None)
        assert ours.pop(theirs["address"]) == theirs
    assert not ours


@EXAMPLES
@given(st.lists(GOOD_SPECS, min_size=1, max_size=2), machines(), st.data())
def trees_and_allocations_are_made_alike(specs, machine, data):
    nova.conf.CONF.set_override("report_in_placement", True, "pci")
    entries = [json.dumps(specs)]
    theirs, ours = novas_specs(entries), our_specs(entries, True)
    assert (theirs is None) == (ours is None)
    if theirs is None:
        return
    devices, _ = read_devices(Machine(machine))
    guests = st.sampled_from([None, None, *GUESTS])
    assigned = {each.address: guest for each in devices if (guest := data.draw(guests))}
    before = data.draw(st.lists(st.sampled_from([PF1, *VFS1, PLAIN[0], "0000:99:00.0"]), unique=True))
    held = {guest: {ROOT_UUID: {"resources": {"VCPU": 1}}} for guest in GUESTS if data.draw(st.booleans())}
    left_behind = data.draw(st.booleans())

    def outcome(new_tree, work):
        tree = new_tree()
        tree.new_root(NODE, ROOT_UUID)
        for number, address in enumerate(before):
            uuid = f"bbbbbbbb-0000-0000-0000-00000000000{number}"
            tree.new_child(f"{NODE}_{address.upper()}", NODE, uuid=uuid)
            tree.update_traits(uuid, ["COMPUTE_MANAGED_PCI_DEVICE", "OWNER_NOVA", "CUSTOM_OPERATOR"])
            tree.update_inventory(uuid, {"CUSTOM_OLD": {"total": 5, "max_unit": 5}})
        allocations = {guest: {"allocations": copy.deepcopy(each)} for guest, each in held.items()}
        if left_behind and before and GUESTS[0] in allocations:
            allocations[GUESTS[0]]["allocations"]["bbbbbbbb-0000-0000-0000-000000000000"] = {
                "resources": {"CUSTOM_OLD": 2}
            }
        try:
            work(tree, allocations)
        except (exception.PlacementPciException, DriverOptionError):
            return "refused"
        return described(tree, allocations)

    def work_of_nova(tree, allocations):
        view = translator.PlacementView(NODE, [])
        for device, spec in tracked_by_nova(theirs, novas_devices(machine), assigned):
            view.process_dev(device, spec)
        view.update_provider_tree(tree, allocations)
        view.update_allocations(allocations, tree)

    def our_work(tree, allocations):
        view = build_view(devices, ours, assigned)
        put_devices(tree, NODE, view, allocations)
        heal_allocations(tree, NODE, view, allocations)

    expected = outcome(nova.compute.provider_tree.ProviderTree, work_of_nova)
    SEEN["trees refused" if expected == "refused" else "trees made"] += 1
    actual = outcome(ProviderTree, our_work)
    assert actual == expected, (specs, assigned, before, held, json.dumps([actual, expected], indent=1))


def tracked_by_nova(specs, devices, assigned):
    """The devices in Nova's tracker: those that a spec matches, and those that instances still have."""
    owners = {str(address): guest for address, guest in assigned.items()}
    for told in sorted(devices, key=lambda each: each["address"]):
        guest = owners.get(told["address"])
        matched = matched_by_nova(specs, dict(told)) is not None
        if not (matched or guest):
            continue
        device = objects.PciDevice.create(context.get_admin_context(), {**told, "compute_node_id": 1})
        if guest:
            device.instance_uuid, device.status = guest, fields.PciDeviceStatus.ALLOCATED
        yield device, specs.get_devspec(device) if matched else None


def described(tree, allocations):
    names = {}
    providers = {}
    for uuid in tree.get_provider_uuids():
        data = tree.data(uuid)
        names[uuid] = data.name
        inventory = {name: complete(record) for name, record in data.inventory.items()}
        providers[data.name] = [inventory, sorted(data.traits), data.parent_uuid]
    holds = {
        guest: {
            names.get(uuid, uuid): dict(Counter(record["resources"]))
            for uuid, record in each["allocations"].items()
        }
        for guest, each in allocations.items()
    }
    return [providers, holds]


if __name__ == "__main__":
    logging.disable()
    objects.register_all()
    nova.conf.CONF([], project="nova", default_config_files=[])
    sysfs()
    specs_are_accepted_and_match_alike()
    devices_are_read_alike()
    trees_and_allocations_are_made_alike()
    print(json.dumps(SEEN))  # noqa: T201 - the answer of this script
