"""Other agents' records on and below the compute node, while the libvirt driver's devices come and go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("libvirt", reason="needs the libvirt extra")

from tests.drivers.libvirt.builders import domain, hostdev, mdev_hostdev, pci_device, sev
from tests.functional.test_libvirt_devices import (
    GUEST1,
    GUEST2,
    MDEV,
    MDEVS,
    NODE,
    PCI,
    UUID,
    VFS,
    Host,
    card,
    gpus,
    sync,
)

__all__ = ["sync"]

VF_CLASS, DEVICE = "CUSTOM_PCI_8086_154C", f"{NODE}_0000:81:00.0"
GPU_CLASS, GPU = "CUSTOM_PCI_10DE_25B6", f"{NODE}_0000:0A:00.0"
ONE_USE = '[pci]\nreport_in_placement = true\ndevice_spec = {"vendor_id": "10de", "one_time_use": "yes"}\n'


def offer(placement: Any, provider: str, **more: Any) -> None:
    """Give a provider further classes, as another agent does, without a word on those that are there."""
    (inventory,) = [each["inventory"] for each in placement.tree().values() if each["uuid"] == provider]
    placement.set_inventory(provider, {**inventory, **more})


@pytest.mark.parametrize("name", ["CUSTOM_LICENCE", "CUSTOM_ZONE"])
def test_class_of_others_on_a_device_that_instances_still_have(sync: Any, placement: Any, name: str) -> None:
    machine = Host(card(), [domain(GUEST1, hostdev(VFS[0]))])
    sync(machine, PCI)
    device = placement.tree()[DEVICE]["uuid"]
    offer(placement, device, **{name: 8})
    placement.allocate({UUID: {"VCPU": 1}, device: {VF_CLASS: 1}}, GUEST1)
    theirs = placement.allocate({device: {name: 3}})
    before = placement.tree()[DEVICE]["inventory"][name]
    without_vfs = PCI.replace("154c", "dead").replace("10de", "beef")
    assert not sync(machine, without_vfs).held
    found = placement.tree()[DEVICE]["inventory"]
    assert found[name] == before
    assert found[VF_CLASS]["total"] == 1
    assert placement.allocations(theirs) == {device: {name: 3}}
    assert not sync(machine, without_vfs).changes


def test_reserved_on_a_provider_that_nova_made(sync: Any, placement: Any) -> None:
    """What we have come to report there is seen again, since ``reserved`` is read from it."""
    sync(Host())
    device = placement.add_provider(GPU, UUID)
    placement.set_inventory(device, {GPU_CLASS: {"total": 1, "max_unit": 1}})
    placement.set_traits(device, "COMPUTE_MANAGED_PCI_DEVICE", "OWNER_NOVA")
    placement.allocate({UUID: {"VCPU": 1}, device: {GPU_CLASS: 1}}, GUEST1)
    machine = Host(card(), [domain(GUEST1, hostdev("0000:0a:00.0"))])
    for _ in range(2):
        sync(machine, ONE_USE)
        assert placement.tree()[GPU]["inventory"][GPU_CLASS]["reserved"] == 1
    machine.domains.clear()
    placement.delete(f"/allocations/{GUEST1}")
    assert not sync(machine, ONE_USE).changes
    assert placement.tree()[GPU]["inventory"][GPU_CLASS]["reserved"] == 1


def test_device_that_vanishes_from_under_a_class_of_others(sync: Any, placement: Any) -> None:
    """Theirs stays, and the device that is gone is offered no more."""
    machine = Host(card())
    sync(machine, PCI)
    device = placement.tree()[DEVICE]["uuid"]
    offer(placement, device, CUSTOM_LICENCE=8)
    theirs = placement.allocate({device: {"CUSTOM_LICENCE": 3}})
    licence = placement.tree()[DEVICE]["inventory"]["CUSTOM_LICENCE"]
    del machine.devices[1:]
    report = sync(machine, PCI)
    assert not report.held
    assert placement.tree()[DEVICE]["inventory"] == {"CUSTOM_LICENCE": licence}
    assert placement.allocations(theirs) == {device: {"CUSTOM_LICENCE": 3}}
    assert not sync(machine, PCI).changes
    placement.delete(f"/allocations/{theirs}")
    placement.set_inventory(device, {})
    sync(machine, PCI)
    assert DEVICE not in placement.tree()


def test_provider_of_others_named_like_a_device_does_not_stop_us(sync: Any, placement: Any) -> None:
    sync(Host())
    theirs = placement.add_provider(DEVICE, UUID)
    placement.set_inventory(theirs, {"FPGA": 2})
    before = placement.tree()
    assert not sync(Host(card())).changes
    assert placement.tree() == before


def test_what_we_report_on_a_provider_of_others_goes_with_the_device(
    sync: Any, placement: Any, tmp_path: Path
) -> None:
    file = tmp_path / "sys/module/kvm_amd/parameters/sev"
    file.parent.mkdir(parents=True)
    file.write_text("Y\n")
    sync(Host())
    names = GPU, f"{NODE}_amd_sev"
    for name in names:
        theirs = placement.add_provider(name, UUID)
        placement.set_inventory(theirs, {"FPGA": 3})
        placement.set_traits(theirs, "OWNER_CYBORG")
    before = placement.tree()
    sync(Host(card(), features=sev(15, 0)), PCI)
    assert placement.tree()[GPU]["inventory"].keys() == {"FPGA", GPU_CLASS}
    holder = placement.allocate({before[GPU]["uuid"]: {GPU_CLASS: 1}})
    report = sync(Host(card()[1:]), PCI)
    assert [(each.change.provider, each.change.resource_class) for each in report.held] == [(GPU, GPU_CLASS)]
    placement.delete(f"/allocations/{holder}")
    sync(Host(card()[1:]), PCI)
    now = placement.tree()
    for name in names:
        assert {**now[name], "generation": 0} == {**before[name], "generation": 0}
    assert not sync(Host(card()[1:]), PCI).changes


def test_device_of_nova_computes_that_nobody_names_stays_and_that_is_said(
    sync: Any, placement: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sync(Host())
    theirs = placement.add_provider(GPU, UUID)
    placement.set_inventory(theirs, {GPU_CLASS: {"total": 1, "max_unit": 1}})
    placement.set_traits(theirs, "COMPUTE_MANAGED_PCI_DEVICE", "OWNER_NOVA")
    before = placement.tree()[GPU]
    sync(Host(card()), PCI)
    assert theirs not in caplog.text
    sync(Host(card()[1:]), PCI)
    assert placement.tree()[GPU] == before
    assert f"openstack resource provider delete {theirs}" in caplog.text
    caplog.clear()
    sync(Host([]), PCI)
    assert DEVICE not in placement.tree()
    assert DEVICE not in caplog.text


NEIGHBOURS = (
    "accelerator",
    f"{NODE}_0000:99:00.0",
    f"{NODE}_pci_0000_99_00_0",
    f"{NODE}:Open vSwitch agent:br-ex",
)
ALIKE = (f"{NODE}_pci_0000_84_00_0", DEVICE, f"{NODE}_amd_sev")
RACK = "99999999-0000-4000-8000-000000000001"


def test_neighbours_while_everything_of_ours_comes_moves_and_goes(  # noqa: PLR0915 - one story
    sync: Any, placement: Any, tmp_path: Path
) -> None:
    for name in ("sev", "sev_es"):
        file = tmp_path / "sys/module/kvm_amd/parameters" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("Y\n")
    vgpus = mdev_hostdev(MDEVS[0]), mdev_hostdev(MDEVS[2])
    pinned = {"vcpus": 2, "pins": {0: "2", 1: "3"}}
    guests = [
        domain(GUEST1, *vgpus, hostdev(VFS[0]), **pinned),
        domain(GUEST2, mdev_hostdev(MDEVS[1])),
    ]
    sync(Host())
    offer(placement, UUID, VGPU=7, MEM_ENCRYPTION_CONTEXT=15, CUSTOM_BLAZAR=1)
    placement.set_traits(UUID, *placement.tree()[NODE]["traits"], "CUSTOM_LEASED")
    placement.set_aggregates(UUID, RACK)
    all_of_ours = {"VGPU": 4, "MEM_ENCRYPTION_CONTEXT": 2, VF_CLASS: 5, "VCPU": 3}
    uuids = {name: placement.add_provider(name, UUID) for name in (*NEIGHBOURS, *ALIKE)}
    for name, uuid in uuids.items():
        more = all_of_ours if name in NEIGHBOURS else {}
        placement.set_inventory(uuid, {"CUSTOM_A": 4, "NET_BW_EGR_KILOBIT_PER_SEC": 9, "FPGA": 3, **more})
        placement.set_traits(uuid, "CUSTOM_THEIRS")
        placement.set_aggregates(uuid, RACK)
    everywhere = {uuid: {"CUSTOM_A": 1, "FPGA": 1} for uuid in uuids.values()}
    other = placement.allocate(everywhere)
    span = {uuids["accelerator"]: {"VGPU": 1, "MEM_ENCRYPTION_CONTEXT": 1, VF_CLASS: 1, "VCPU": 1}}
    placement.allocate({UUID: {"VCPU": 2, "VGPU": 2, "MEM_ENCRYPTION_CONTEXT": 1}, **span}, GUEST1)
    placement.allocate({UUID: {"VCPU": 1, "VGPU": 1, "CUSTOM_BLAZAR": 1}}, GUEST2)
    before = placement.tree()

    def check(machine: Host, text: str) -> None:
        sync(machine, text)
        now = placement.tree()
        assert {name: now[name] for name in NEIGHBOURS} == {name: before[name] for name in NEIGHBOURS}
        for name in ALIKE:
            assert before[name]["inventory"].items() <= now[name]["inventory"].items()
            assert "CUSTOM_THEIRS" in now[name]["traits"]
            assert now[name]["aggregates"] == [RACK]
        assert now[NODE]["inventory"]["CUSTOM_BLAZAR"]["total"] == 1
        assert "CUSTOM_LEASED" in now[NODE]["traits"]
        assert placement.allocations(other) == everywhere
        assert span.items() <= placement.allocations(GUEST1).items()
        assert not sync(machine, text).changes

    pci = PCI.replace('"vendor_id": "10de"', '"product_id": "25b6"')
    dedicated = "[compute]\ncpu_dedicated_set = 2-3\ncpu_shared_set = 0-1\n"
    machine = Host(gpus() + card(), guests, features=sev(15, 493))
    check(machine, MDEV)
    check(machine, MDEV + pci)
    check(machine, MDEV + pci + dedicated)
    assert placement.allocations(GUEST1)[UUID] == {"PCPU": 2}

    below = placement.add_provider("below", placement.uuid_of(GPU))
    placement.set_inventory(below, {GPU_CLASS: 2})
    holder = placement.allocate({below: {GPU_CLASS: 1}})
    moved = pci_device("0000:0b:00.0", "10de", "25b6")
    machine.devices = [moved, *gpus(), *card()[1:]]
    check(machine, MDEV + pci + dedicated)
    machine.start(domain(GUEST1, *vgpus, **pinned))
    bare = Host([moved, *gpus()[:1]], machine.domains.values())
    check(bare, MDEV + pci + dedicated)
    check(bare, pci + dedicated)
    check(Host(gpus() + card(), machine.domains.values(), features=sev(15, 400)), MDEV + pci + dedicated)
    assert placement.allocations(holder) == {below: {GPU_CLASS: 1}}
