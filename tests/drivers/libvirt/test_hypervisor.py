"""What is kept of a libvirt, when it is read again, and what is left out where libvirt cannot tell."""

import logging

import pytest

from drivers.libvirt.cpu_sets import CpuMap
from drivers.libvirt.errors import LibvirtCallFailed
from drivers.libvirt.hypervisor import parse_machine_types
from drivers.libvirt.records import Versions, version_number
from tests.drivers.libvirt.host_xml import capabilities_xml, domain_capabilities_xml, guest_xml
from tests.drivers.libvirt.made_up import X86_GUESTS, MadeUpLibvirt, hypervisor_of


def read_everything(hypervisor):
    hypervisor.capabilities()
    hypervisor.domain_capabilities()


def test_static_facts_are_read_once():
    libvirt = MadeUpLibvirt(models={"Nehalem": ["aes"]})
    hypervisor = hypervisor_of(libvirt)
    assert hypervisor.refresh()
    read_everything(hypervisor)
    before = dict(libvirt.asked)
    for _ in range(5):
        assert not hypervisor.refresh()
        read_everything(hypervisor)
    del before["versions"]
    assert {name: count for name, count in libvirt.asked.items() if name != "versions"} == before
    assert libvirt.asked["domain_capabilities"] == 2


def connection_reopened(libvirt, root):
    libvirt.epoch += 1


def libvirt_upgraded(libvirt, root):
    libvirt.version = Versions(version_number((10, 0, 0)), libvirt.version.hypervisor, "QEMU")


def qemu_upgraded(libvirt, root):
    libvirt.version = Versions(libvirt.version.libvirt, version_number((8, 2, 0)), "QEMU")


def emulator_replaced(libvirt, root):
    (root / "usr/bin/qemu-system-x86_64").write_text("another one")


def emulator_added(libvirt, root):
    (root / "usr/bin/qemu-system-aarch64").write_text("one more")


def firmware_installed(libvirt, root):
    (root / "usr/share/qemu/firmware/60-edk2.json").write_text("{}")


@pytest.mark.parametrize(
    "change",
    [
        connection_reopened,
        libvirt_upgraded,
        qemu_upgraded,
        emulator_replaced,
        emulator_added,
        firmware_installed,
    ],
)
def test_they_are_read_again_when_libvirtd_or_the_hypervisor_changes(tmp_path, change):
    for directory in ("usr/bin", "usr/share/qemu/firmware"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "usr/bin/qemu-system-x86_64").write_text("an emulator")
    libvirt = MadeUpLibvirt()
    hypervisor = hypervisor_of(libvirt, root=tmp_path)
    hypervisor.refresh()
    read_everything(hypervisor)
    assert not hypervisor.refresh()
    change(libvirt, tmp_path)
    assert hypervisor.refresh()
    read_everything(hypervisor)
    assert libvirt.asked["domain_capabilities"] == 4
    assert not hypervisor.refresh()


def test_a_reading_that_failed_is_tried_again():
    libvirt = MadeUpLibvirt()
    hypervisor = hypervisor_of(libvirt)
    libvirt.capabilities_text, good = "<nonsense/>", libvirt.capabilities_text
    with pytest.raises(Exception, match="cannot be understood"):
        hypervisor.refresh()
    libvirt.capabilities_text = good
    assert hypervisor.refresh()
    assert hypervisor.capabilities().arch == "x86_64"


def test_the_features_that_a_model_implies_are_spelled_out():
    libvirt = MadeUpLibvirt(
        capabilities_xml(features=["vmx"], guests=X86_GUESTS), models={"Nehalem": ["aes", "sse4.2"]}
    )
    assert hypervisor_of(libvirt).capabilities().cpu.features == {"vmx", "aes", "sse4.2"}


@pytest.mark.parametrize("arch", ["aarch64", "riscv64"])
def test_no_model_is_expanded_where_libvirt_has_none(arch):
    libvirt = MadeUpLibvirt(
        capabilities_xml(arch, model="max" if arch == "aarch64" else None, features=["fp"]), models={}
    )
    assert hypervisor_of(libvirt).capabilities().cpu.features == {"fp"}
    assert libvirt.asked["baseline_cpu"] == 0


def test_where_libvirt_cannot_expand_models_that_is_said_once(caplog):
    hypervisor = hypervisor_of(MadeUpLibvirt(capabilities_xml(features=["vmx"], guests=X86_GUESTS)))
    with caplog.at_level(logging.WARNING):
        assert hypervisor.capabilities().cpu.features == {"vmx"}
        assert hypervisor.model_features("qemu64") == frozenset()
    assert "the features of CPU models" in hypervisor.left_out
    assert len(caplog.records) == 1


def test_a_model_that_libvirt_cannot_expand_is_an_error():
    hypervisor = hypervisor_of(MadeUpLibvirt(models={"Nehalem": []}))
    with pytest.raises(LibvirtCallFailed, match="Unknown CPU model"):
        hypervisor.model_features("NoSuch")


def test_one_question_a_machine_type_that_has_an_alias():
    hypervisor = hypervisor_of(MadeUpLibvirt())
    machines = hypervisor.domain_capabilities()["x86_64"]
    assert set(machines) == {"pc", "pc-i440fx-7.2", "q35", "pc-q35-7.2"}


def test_the_configured_machine_type_is_asked_for_too():
    libvirt = MadeUpLibvirt()
    hypervisor = hypervisor_of(libvirt, machine_types=["x86_64=pc-q35-6.2"])
    assert "pc-q35-6.2" in hypervisor.domain_capabilities()["x86_64"]
    assert libvirt.asked["domain_capabilities"] == 3


def test_32_bit_arm_is_asked_for_with_novas_machine_not_with_libvirts_default():
    guests = [*X86_GUESTS, guest_xml("armv7l", {"virt": "virt-7.2"})]
    machines = {
        ("armv7l", "virt"): domain_capabilities_xml("armv7l", "virt-7.2"),
        ("armv7l", None): domain_capabilities_xml("armv7l", "integratorcp", buses=["sd"]),
    }
    libvirt = MadeUpLibvirt(capabilities_xml(guests=guests), machines=machines)
    found = hypervisor_of(libvirt).domain_capabilities()["armv7l"]
    assert set(found) == {"virt", "virt-7.2"}


def test_architectures_that_kvm_cannot_run_are_left_out_but_never_the_hosts_own():
    guests = (*X86_GUESTS, guest_xml("aarch64", {"virt": "virt-7.2"}))
    libvirt = MadeUpLibvirt(capabilities_xml(guests=guests), machines={})
    assert dict(hypervisor_of(libvirt, "kvm").domain_capabilities()) == {"x86_64": {}}


def test_a_machine_type_that_libvirt_does_not_know_costs_only_itself():
    libvirt = MadeUpLibvirt(machines={("x86_64", "q35"): domain_capabilities_xml()})
    hypervisor = hypervisor_of(libvirt, machine_types=["x86_64=bogus"])
    assert set(hypervisor.domain_capabilities()["x86_64"]) == {"q35", "pc-q35-7.2"}


def test_what_libvirt_fails_to_tell_is_as_it_was_and_asked_for_again(caplog):
    libvirt = MadeUpLibvirt()
    hypervisor = hypervisor_of(libvirt)
    hypervisor.refresh()
    before = hypervisor.domain_capabilities()
    works = libvirt.domain_capabilities
    libvirt.epoch += 1

    def fail(*_):
        raise LibvirtCallFailed("internal error: Failed to probe QEMU binary")

    libvirt.domain_capabilities = fail
    for _ in range(2):
        assert hypervisor.refresh()
        assert hypervisor.domain_capabilities() == before
    assert "Failed to probe QEMU binary" in caplog.text
    libvirt.domain_capabilities = works
    assert hypervisor.refresh()
    assert hypervisor.domain_capabilities() == before
    assert not hypervisor.refresh()


def test_a_libvirt_that_never_told_what_guests_can_have_is_an_error(monkeypatch):
    libvirt = MadeUpLibvirt()

    def fail(*_):
        raise LibvirtCallFailed("internal error: Failed to probe QEMU binary")

    monkeypatch.setattr(libvirt, "domain_capabilities", fail)
    with pytest.raises(LibvirtCallFailed, match="Failed to probe"):
        hypervisor_of(libvirt).domain_capabilities()


def test_another_architecture_whose_emulator_is_broken_costs_only_itself(monkeypatch):
    guests = (*X86_GUESTS, guest_xml("aarch64", {"virt": "virt-7.2"}))
    libvirt = MadeUpLibvirt(capabilities_xml(guests=guests))
    works = libvirt.domain_capabilities

    def fail(emulator, arch, machine, virt_type):
        if arch == "aarch64":
            raise LibvirtCallFailed("Cannot check QEMU binary")
        return works(emulator, arch, machine, virt_type)

    monkeypatch.setattr(libvirt, "domain_capabilities", fail)
    assert set(hypervisor_of(libvirt).domain_capabilities()) == {"x86_64"}


def test_other_architectures_of_an_emulating_host():
    guests = (
        *X86_GUESTS,
        guest_xml("aarch64", {"virt": "virt-7.2"}),
        guest_xml("s390x", {"s390-ccw-virtio": "s390-ccw-virtio-7.2"}),
        guest_xml("riscv32", {}),
    )
    hypervisor = hypervisor_of(MadeUpLibvirt(capabilities_xml(guests=guests)))
    assert set(hypervisor.domain_capabilities()) == {"x86_64", "aarch64", "s390x", "riscv32"}


def test_where_libvirt_cannot_say_which_cpus_are_online_they_all_count():
    hypervisor = hypervisor_of(MadeUpLibvirt(cpus=None, kind="Xen"))
    assert hypervisor.cpu_map() == CpuMap(4, frozenset(range(4)))
    assert "which CPUs are online" in hypervisor.left_out


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], {}),
        (["x86_64=q35", "aarch64=virt"], {"x86_64": "q35", "aarch64": "virt"}),
        (["x86_64=q35", "x86_64=pc"], {"x86_64": "q35"}),
        (["x86_64", "i686="], {}),
    ],
)
def test_machine_types_by_architecture(settings, expected):
    assert parse_machine_types(settings) == expected
