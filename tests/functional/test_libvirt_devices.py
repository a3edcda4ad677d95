"""The libvirt driver's devices and reshapes, from a made-up machine to a real Placement."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

pytest.importorskip("libvirt", reason="needs the libvirt extra")

import drivers.libvirt.driver as libvirt_driver
from drivers.errors import DriverOptionError, ReshapeFailed
from drivers.libvirt.cpu_sets import CpuMap
from drivers.libvirt.records import NodeInfo
from drivers.options import register
from drivers.root import HostRoot
from reporter.errors import InvalidWish
from tests.drivers.libvirt.builders import Machine, domain, hostdev, mdev, mdev_hostdev, pci_device, sev
from tests.functional.reporting import reporter_for

NODE, UUID = "host1", "11111111-1111-4111-8111-111111111111"
GUEST1, GUEST2 = "aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"
MDEVS = [f"cccccccc-0000-4000-8000-00000000000{number}" for number in range(3)]
PF, VFS = "0000:81:00.0", ["0000:81:00.1", "0000:81:00.2"]
PCI = '[pci]\nreport_in_placement = true\ndevice_spec = [{"product_id": "154c"}, {"vendor_id": "10de"}]\n'


class Host(Machine):
    """A machine with four CPUs as well."""

    def hostname(self) -> str:
        return NODE

    def cpu_map(self) -> CpuMap:
        return CpuMap(4, frozenset(range(4)))

    def node_info(self) -> NodeInfo:
        return NodeInfo(4096, 4, 1000)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ('"traits": "a,"', "traits.CUSTOM_: the name has nothing after CUSTOM_"),
        ('"traits": "CUSTOM_a.b"', "traits.CUSTOM_A.B: 'CUSTOM_A.B' is not a name"),
        ('"resource_class": "CUSTOM_a b"', "CUSTOM_A B: 'CUSTOM_A B' is not a name"),
        (f'"resource_class": "{"x" * 260}"', "the name has 267 characters, at most 255 are possible"),
    ],
)
def test_names_that_placement_would_refuse(sync: Callable[..., Any], more: str, what: str) -> None:
    spec = f'[pci]\nreport_in_placement = true\ndevice_spec = {{"vendor_id": "10de", {more}}}\n'
    with pytest.raises(InvalidWish) as caught:
        sync(Host([pci_device("0000:0a:00.0", "10de", "25b6")]), spec)
    assert caught.value.what.startswith(f"not fit for Placement: {NODE}_0000:0A:00.0: ")
    assert what in caught.value.what
    assert caught.value.advice == "correct [pci] device_spec"


@pytest.fixture
def sync(placement: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run one cycle of a reporter that starts anew, as after a change of nova.conf and a restart."""
    (tmp_path / "instances").mkdir()
    (tmp_path / "compute_id").write_text(UUID)

    def run(machine: Host, text: str = "", **settings: Any) -> Any:
        file = tmp_path / "nova.conf"
        file.write_text(f"[DEFAULT]\nstate_path = {tmp_path}\ninstances_path = /instances\n{text}")
        conf = cfg.ConfigOpts()
        register(conf, libvirt_driver.LibvirtDriver)
        conf(["--config-file", str(file)], project="nova", default_config_files=[])
        monkeypatch.setattr(libvirt_driver, "Connection", lambda *_: machine)
        driver = libvirt_driver.LibvirtDriver(conf, root=HostRoot(tmp_path))
        driver.init_host(NODE)
        return reporter_for(driver, placement.url, tmp_path / "state", **settings).sync(NODE)

    return run


def children(placement: Any) -> dict[str, dict[str, int]]:
    return {
        name.removeprefix(f"{NODE}_"): {
            each: record["total"] for each, record in provider["inventory"].items()
        }
        for name, provider in placement.tree().items()
        if provider["parent"] == NODE
    }


def holds(placement: Any, consumer: str) -> dict[str, dict[str, int]]:
    """What a consumer has, by the name of the provider without that of the node."""
    names = {each["uuid"]: name.removeprefix(f"{NODE}_") for name, each in placement.tree().items()}
    return {names[uuid]: held for uuid, held in placement.allocations(consumer).items()}


def card() -> list[Any]:
    return [
        pci_device("0000:0a:00.0", "10de", "25b6"),
        pci_device(PF, "8086", "1572", vfs=VFS),
        *(pci_device(vf, "8086", "154c", pf=PF) for vf in VFS),
    ]


def gpus() -> list[Any]:
    devices = [pci_device(f"0000:8{n}:00.0", "10de", "1db4", mdev_types={"nvidia-35": 2}) for n in (4, 5)]
    return [*devices, *(mdev(uuid, devices[n > 1].name, "nvidia-35") for n, uuid in enumerate(MDEVS))]


MDEV = "[devices]\nenabled_mdev_types = nvidia-35\n"
ALL_VFS = "0000:81:00.0", {"CUSTOM_PCI_8086_154C": 2}


def test_pci_devices_and_what_instances_lack_of_them(sync: Any, placement: Any) -> None:
    machine = Host(card(), [domain(GUEST1, *map(hostdev, VFS), hostdev("0000:0a:00.0")), domain(GUEST2)])
    sync(machine)
    for guest in (GUEST1, GUEST2):
        placement.allocate({UUID: {"VCPU": 1}}, guest)
    assert children(placement) == {}
    report = sync(machine, PCI)
    assert len([each for each in report.changes if each.kind == "allocations"]) == 1
    assert children(placement) == dict([ALL_VFS, ("0000:0A:00.0", {"CUSTOM_PCI_10DE_25B6": 1})])
    assert holds(placement, GUEST1) == {
        NODE: {"VCPU": 1},
        "0000:81:00.0": {"CUSTOM_PCI_8086_154C": 2},
        "0000:0A:00.0": {"CUSTOM_PCI_10DE_25B6": 1},
    }
    assert holds(placement, GUEST2) == {NODE: {"VCPU": 1}}
    assert not sync(machine, PCI).changes


def test_a_pci_device_in_use_keeps_its_provider_when_it_leaves_the_configuration(
    sync: Any, placement: Any
) -> None:
    machine = Host(card(), [domain(GUEST1, hostdev(VFS[0]))])
    sync(machine)
    placement.allocate({UUID: {"VCPU": 1}}, GUEST1)
    sync(machine, PCI)
    without_vfs = PCI.replace("154c", "dead").replace("10de", "beef")
    sync(machine, without_vfs)
    assert children(placement) == {"0000:81:00.0": {"CUSTOM_PCI_8086_154C": 1}}
    assert "OWNER_NOVA" in placement.tree()[f"{NODE}_0000:81:00.0"]["traits"]
    assert not sync(machine, without_vfs).changes
    machine.domains.clear()
    placement.delete(f"/allocations/{GUEST1}")
    sync(machine, without_vfs)
    assert children(placement) == {}


def test_what_is_reported_once_stays_reported(sync: Any, placement: Any) -> None:
    sync(Host(card()), PCI)
    with pytest.raises(DriverOptionError, match="report_in_placement is off"):
        sync(Host(card()))
    assert len(children(placement)) == 2


def test_what_the_operator_reserved_and_hung_on_a_device_stays(sync: Any, placement: Any) -> None:
    sync(Host(card()), PCI)
    provider = placement.tree()[f"{NODE}_0000:81:00.0"]
    placement.set_inventory(
        provider["uuid"], {"CUSTOM_PCI_8086_154C": {"total": 2, "max_unit": 2, "reserved": 1}}
    )
    placement.set_traits(provider["uuid"], *provider["traits"], "CUSTOM_RACK")
    assert not sync(Host(card()), PCI).changes
    sync(Host(card()[:3]), PCI)
    found = placement.tree()[f"{NODE}_0000:81:00.0"]
    assert found["inventory"]["CUSTOM_PCI_8086_154C"]["reserved"] == 1
    assert "CUSTOM_RACK" in found["traits"]


def test_vgpus_move_from_the_node_to_the_gpus(sync: Any, placement: Any) -> None:
    guests = [
        domain(GUEST1, mdev_hostdev(MDEVS[0]), mdev_hostdev(MDEVS[2])),
        domain(GUEST2, mdev_hostdev(MDEVS[1])),
    ]
    machine = Host(gpus(), guests)
    sync(machine)
    root = {name: each["total"] for name, each in placement.tree()[NODE]["inventory"].items()}
    placement.set_inventory(UUID, {**root, "VGPU": 7})
    placement.allocate({UUID: {"VCPU": 1, "VGPU": 2}}, GUEST1)
    placement.allocate({UUID: {"VGPU": 1}}, GUEST2)
    sync(machine, MDEV)
    assert children(placement) == {"pci_0000_84_00_0": {"VGPU": 4}, "pci_0000_85_00_0": {"VGPU": 3}}
    assert "VGPU" not in placement.tree()[NODE]["inventory"]
    assert holds(placement, GUEST1) == {
        NODE: {"VCPU": 1},
        "pci_0000_84_00_0": {"VGPU": 1},
        "pci_0000_85_00_0": {"VGPU": 1},
    }
    assert holds(placement, GUEST2) == {"pci_0000_84_00_0": {"VGPU": 1}}
    assert not sync(machine, MDEV).changes


def test_vgpus_of_nobody_known_move_nothing(sync: Any, placement: Any) -> None:
    machine = Host(gpus())
    sync(machine)
    root = {name: each["total"] for name, each in placement.tree()[NODE]["inventory"].items()}
    placement.set_inventory(UUID, {**root, "VGPU": 7})
    placement.allocate({UUID: {"VGPU": 1}}, GUEST1)
    before = placement.tree()
    with pytest.raises(ReshapeFailed, match=GUEST1):
        sync(machine, MDEV)
    assert placement.tree() == before


def test_pinned_instances_hold_pcpu_when_there_are_dedicated_cpus(sync: Any, placement: Any) -> None:
    machine = Host(domains=[domain(GUEST1, vcpus=2, pins={0: "2", 1: "3"}), domain(GUEST2, vcpus=2)])
    sync(machine)
    placement.allocate({UUID: {"VCPU": 2, "MEMORY_MB": 64}}, GUEST1)
    placement.allocate({UUID: {"VCPU": 2}}, GUEST2)
    sync(machine, "[compute]\ncpu_dedicated_set = 2-3\ncpu_shared_set = 0-1\n")
    assert holds(placement, GUEST1) == {NODE: {"PCPU": 2, "MEMORY_MB": 64}}
    assert holds(placement, GUEST2) == {NODE: {"VCPU": 2}}
    totals = {name: each["total"] for name, each in placement.tree()[NODE]["inventory"].items()}
    assert (totals["VCPU"], totals["PCPU"]) == (2, 2)


def test_encryption_contexts_move_to_sev(sync: Any, placement: Any, tmp_path: Path) -> None:
    for name in ("sev", "sev_es"):
        file = tmp_path / "sys/module/kvm_amd/parameters" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("Y\n")
    sync(Host())
    root = {name: each["total"] for name, each in placement.tree()[NODE]["inventory"].items()}
    placement.set_inventory(UUID, {**root, "MEM_ENCRYPTION_CONTEXT": 15})
    placement.allocate({UUID: {"VCPU": 1, "MEM_ENCRYPTION_CONTEXT": 1}}, GUEST1)
    sync(Host(features=sev(15, 493)))
    assert children(placement) == {
        "amd_sev": {"MEM_ENCRYPTION_CONTEXT": 15}, "amd_sev_es": {"MEM_ENCRYPTION_CONTEXT": 493},
    }  # fmt: skip
    assert holds(placement, GUEST1) == {NODE: {"VCPU": 1}, "amd_sev": {"MEM_ENCRYPTION_CONTEXT": 1}}
    assert "MEM_ENCRYPTION_CONTEXT" not in placement.tree()[NODE]["inventory"]


def test_a_device_for_one_use_is_reserved_once_an_instance_has_it(sync: Any, placement: Any) -> None:
    text = '[pci]\nreport_in_placement = true\ndevice_spec = {"vendor_id": "10de", "one_time_use": "yes"}\n'
    machine = Host(card())
    sync(machine, text)
    (provider,) = [each for name, each in placement.tree().items() if name.endswith("0A:00.0")]
    placement.allocate({UUID: {"VCPU": 1}, provider["uuid"]: {"CUSTOM_PCI_10DE_25B6": 1}}, GUEST1)
    machine.start(domain(GUEST1, hostdev("0000:0a:00.0")))
    report = sync(machine, text)
    assert not report.held
    record = placement.tree()[f"{NODE}_0000:0A:00.0"]["inventory"]["CUSTOM_PCI_10DE_25B6"]
    assert (record["total"], record["reserved"]) == (1, 1)
    assert not sync(machine, text).changes
