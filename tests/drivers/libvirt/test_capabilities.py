"""Capabilities: hosts of all kinds, and documents that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import HostReadError
from drivers.libvirt.capabilities import parse_capabilities
from drivers.libvirt.cpu_xml import Cpu, CpuTopology, MaxPhysAddr, guest_cpu_xml, host_cpu_xml, parse_cpu
from tests.drivers.libvirt.host_xml import Cell, capabilities_xml, guest_xml

BOMB = (
    "<!DOCTYPE capabilities [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>"
    "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]><capabilities><host>&c;</host></capabilities>"
)
FILE_READER = (
    "<!DOCTYPE capabilities [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
    "<capabilities><host><uuid>&x;</uuid></host></capabilities>"
)


def test_a_host_with_one_cell():
    host = parse_capabilities(capabilities_xml(features=["avx", "vmx"]))
    assert host.arch == "x86_64"
    assert host.uuid == "11111111-2222-3333-4444-555555555555"
    assert host.cpu == Cpu(
        "x86_64",
        "Nehalem",
        "Intel",
        CpuTopology(1, 4, 1),
        MaxPhysAddr("emulate", 46),
        frozenset({"avx", "vmx"}),
    )
    assert [cell.id for cell in host.cells] == [0]
    assert not host.smt


def test_several_cells_with_threads_and_huge_pages():
    cells = [
        Cell([0, 1, 8, 9], socket=0, threads=2, memory_kib=1 << 20, pages={4: 1000, 2048: 5, 1048576: 1}),
        Cell([2, 3, 10, 11], socket=1, threads=2),
        Cell([], memory_kib=4 << 20),
    ]
    host = parse_capabilities(capabilities_xml(cells=cells))
    assert host.smt
    first, second, memory_only = host.cells
    assert first.memory_kib == 1 << 20
    assert dict(first.pages) == {4: 1000, 2048: 5, 1048576: 1}
    assert [(cpu.id, cpu.socket_id, cpu.siblings) for cpu in second.cpus] == [
        (2, 1, {2, 3}),
        (3, 1, {2, 3}),
        (10, 1, {10, 11}),
        (11, 1, {10, 11}),
    ]
    assert memory_only.cpus == ()


def test_an_offline_cpu_has_no_socket_and_no_siblings():
    host = parse_capabilities(capabilities_xml(cells=[Cell([0], offline=[1])]))
    offline = host.cells[0].cpus[1]
    assert (offline.id, offline.socket_id, offline.siblings) == (1, None, frozenset())


@pytest.mark.parametrize(("unit", "kib"), [("KiB", 2048), ("MiB", 2048 * 1024), ("bytes", 2)])
def test_memory_comes_in_units(unit, kib):
    text = capabilities_xml(cells=[Cell([0], memory_kib=2048)]).replace(
        "<memory unit='KiB'>", f"<memory unit='{unit}'>"
    )
    assert parse_capabilities(text).cells[0].memory_kib == kib


def test_a_childless_domain_takes_the_machines_beside_it_and_another_brings_its_own():
    guests = [
        guest_xml("x86_64", {"pc": "pc-i440fx-7.2"}),
        guest_xml("ppc64le", {"pseries": "pseries-7.2"}, kvm_machines={"pseries": "pseries-rhel9"}),
    ]
    x86, power = parse_capabilities(capabilities_xml(guests=guests)).guests
    assert x86.domain("kvm") is x86.domain("qemu")
    assert x86.domain("kvm").emulator == "/usr/bin/qemu-system-x86_64"
    assert dict(x86.domain("kvm").aliases) == {"pc": "pc-i440fx-7.2"}
    assert power.domain("kvm").emulator == "/usr/bin/kvm-ppc64le"
    assert dict(power.domain("kvm").aliases) == {"pseries": "pseries-rhel9"}
    assert dict(power.domain("qemu").aliases) == {"pseries": "pseries-7.2"}


def test_a_type_of_guests_that_is_not_listed_is_run_like_the_default():
    (guest,) = parse_capabilities(
        capabilities_xml(guests=[guest_xml("aarch64", {"virt": "virt-7.2"})])
    ).guests
    assert guest.domain("xen") is guest.default
    assert set(guest.domains) == {"kvm", "qemu"}


def test_a_container_host_has_guests_without_machines():
    text = (
        "<capabilities><host><cpu><arch>x86_64</arch></cpu></host><guest><os_type>exe</os_type>"
        "<arch name='x86_64'><wordsize>64</wordsize><emulator>/usr/lib/libvirt_lxc</emulator>"
        "<domain type='lxc'/></arch></guest></capabilities>"
    )
    host = parse_capabilities(text)
    assert host.cells == ()
    assert not host.smt
    assert host.guests[0].os_type == "exe"
    assert not host.guests[0].domain("lxc").aliases


def test_a_host_whose_cpu_libvirt_does_not_know():
    host = parse_capabilities(capabilities_xml("riscv64", model=None))
    assert host.cpu.model is None
    assert host.arch == "riscv64"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no element found"),
        ("<capabilities>", "no element found"),
        ("<domain/>", "its root element is <domain>"),
        ("<capabilities/>", "it has no <host>"),
        (capabilities_xml().replace("id='2'", "id='two'"), "id of <cpu> is 'two', not a number"),
        (capabilities_xml().replace("siblings='2'", "siblings='2-x'"), "siblings of <cpu>"),
        (capabilities_xml().replace("unit='KiB'>8388608", "unit='furlong'>8388608"), "'furlong'"),
        (capabilities_xml().replace("cores='4'", ""), "cores of <topology> is None"),
        (BOMB, "DTD or entities"),
        (FILE_READER, "DTD or entities"),
    ],
)
def test_what_is_no_capabilities_document_is_refused(text, said):
    with pytest.raises(HostReadError) as error:
        parse_capabilities(text)
    assert said in error.value.what
    assert error.value.what.startswith("libvirt's capabilities document cannot be understood")


names = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
    lambda text: text == text.strip()
)


@given(
    st.builds(
        Cpu,
        arch=names,
        model=st.none() | names,
        vendor=st.none() | names,
        topology=st.none() | st.builds(CpuTopology, *[st.integers(1, 99)] * 3),
        maxphysaddr=st.none() | st.builds(MaxPhysAddr, names, st.none() | st.integers(1, 99)),
        features=st.frozensets(names),
    )
)
def test_a_cpu_that_is_written_reads_the_same(cpu):
    assert parse_cpu(host_cpu_xml(cpu)) == cpu


def test_a_guests_cpu_says_what_it_requires_and_what_it_must_not_have():
    text = guest_cpu_xml("Nehalem", [("vmx", "require"), ("avx", "disable")])
    assert parse_cpu(text) == Cpu(model="Nehalem", features=frozenset({"vmx"}))
    assert 'match="exact"' in text
