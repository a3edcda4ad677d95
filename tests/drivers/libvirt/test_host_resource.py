"""What Nova keeps in its own database of a node, and what the guests take."""

import json

import pytest

from drivers.libvirt.capabilities import parse_capabilities
from drivers.libvirt.cpu_sets import DEDICATED_SET, SHARED_SET, CpuSets
from drivers.libvirt.errors import NotThere
from drivers.libvirt.host_resource import cpu_info, supported_instances
from drivers.libvirt.instances import parse_file_disks, read_overcommitted, read_use
from drivers.libvirt.numa import numa_cells, numa_topology
from drivers.libvirt.records import BlockSize, DomainUse
from drivers.root import HostRoot
from tests.drivers.libvirt.host_xml import Cell, capabilities_xml, guest_xml
from tests.drivers.libvirt.made_up import X86_GUESTS, MadeUpLibvirt, hypervisor_of

CELLS = [
    Cell([0, 1, 4, 5], socket=0, threads=2, memory_kib=4 << 20, pages={4: 100, 2048: 8}),
    Cell([2, 3, 6, 7], socket=1, threads=2, memory_kib=2 << 20),
]
GUEST = "aaaaaaaa-0000-4000-8000-000000000001"


def host_of(**more):
    return parse_capabilities(capabilities_xml(cells=CELLS, guests=X86_GUESTS, **more))


def test_cells_as_novas_scheduler_sees_them():
    sets = CpuSets(frozenset({0, 2}), frozenset({4, 5, 6, 7}), SHARED_SET)
    first, second = numa_topology(host_of().cells, sets, {0: {2048: 3}})
    assert first == {
        "id": 0,
        "socket": 0,
        "memory": 4096,
        "cpuset": [0],
        "pcpuset": [4, 5],
        "siblings": [[0], [4, 5]],
        "mempages": [
            {"size_kb": 4, "total": 100, "reserved": 0},
            {"size_kb": 2048, "total": 8, "reserved": 3},
        ],
    }
    assert (second["id"], second["socket"], second["cpuset"], second["pcpuset"]) == (1, 1, [2], [6, 7])


@pytest.mark.parametrize(
    ("by", "pinned"), [("", [0, 1]), (SHARED_SET, []), ("[DEFAULT] vcpu_pin_set", [0, 1])]
)
def test_shared_cpus_may_be_pinned_as_long_as_none_are_dedicated(by, pinned):
    (first, _) = numa_topology(host_of().cells, CpuSets(frozenset({0, 1}), frozenset(), by), {})
    assert first["pcpuset"] == pinned


def test_a_cell_that_spans_sockets_has_none():
    text = capabilities_xml(cells=[Cell([0, 1])]).replace("id='1' socket_id='0'", "id='1' socket_id='1'")
    (cell,) = numa_topology(
        parse_capabilities(text).cells, CpuSets(frozenset({0, 1}), frozenset(), DEDICATED_SET), {}
    )
    assert cell["socket"] is None


@pytest.mark.parametrize(
    ("arch", "kind", "cells"),
    [
        ("x86_64", "QEMU", 2),
        ("aarch64", "QEMU", 2),
        ("x86_64", "Xen", 0),
        ("ppc64le", "Xen", 2),
        ("s390x", "QEMU", 0),
    ],
)
def test_where_guests_are_placed_on_cells(arch, kind, cells):
    text = capabilities_xml(arch, model=None, cells=CELLS, guests=X86_GUESTS)
    assert len(numa_cells(hypervisor_of(MadeUpLibvirt(text, kind=kind)))) == cells


def test_guests_that_can_be_run():
    unknown_to_nova = [guest_xml(arch, {}) for arch in ("loongarch64", "riscv64", "z80")]
    guests = (*X86_GUESTS, guest_xml("s390x", {}), *unknown_to_nova)
    host = parse_capabilities(capabilities_xml(guests=guests))
    assert supported_instances(host) == [
        ("x86_64", "qemu", "hvm"),
        ("x86_64", "kvm", "hvm"),
        ("s390x", "qemu", "hvm"),
        ("s390x", "kvm", "hvm"),
    ]


def test_the_cpu_in_novas_words():
    info = json.loads(json.dumps(cpu_info(host_of(features=["vmx", "aes"]))))
    assert info == {
        "arch": "x86_64",
        "model": "Nehalem",
        "vendor": "Intel",
        "topology": {"cells": 2, "sockets": 1, "cores": 4, "threads": 1},
        "features": ["aes", "vmx"],
        "maxphysaddr": {"mode": "emulate", "bits": 46},
    }


def test_a_cpu_that_libvirt_does_not_describe():
    host = parse_capabilities("<capabilities><host><cpu><arch>armv7l</arch></cpu></host></capabilities>")
    info = cpu_info(host)
    assert info["model"] is None
    assert info["topology"] == {"cells": 1, "sockets": None, "cores": None, "threads": None}
    assert "maxphysaddr" not in info


# -- guests

DOMAIN = """<domain type='qemu'><name>g</name><uuid>{uuid}</uuid><devices>
<disk type='file'><driver name='qemu' type='qcow2'/><source file='{cow}'/><target dev='vda'/></disk>
<disk type='file'><driver name='qemu' type='raw'/><source file='{raw}'/><target dev='vdb'/></disk>
<disk type='file' device='cdrom'><driver name='qemu'/><target dev='sda'/></disk>
<disk type='block' device='disk'><source dev='/dev/vg/lv'/><target dev='vdc'/></disk>
<disk type='network' device='disk'><source protocol='rbd' name='p/v'/><target dev='vdd'/></disk>
</devices></domain>"""


class Guests:
    """Guests of a made-up libvirt, whose disks have the sizes of ``sizes``."""

    def __init__(self, xmls=(), sizes=None, uses=()):
        self.xmls = dict(xmls)
        self.sizes = sizes or {}
        self.uses = list(uses)

    def domain_uses(self):
        return self.uses

    def domain_xmls(self):
        return self.xmls

    def block_size(self, uuid, disk):
        if (uuid, disk) not in self.sizes:
            raise NotThere("no domain with matching uuid")
        return self.sizes[uuid, disk]


def test_what_running_guests_take():
    guests = Guests(uses=[DomainUse("a", 2, 2 << 20), DomainUse("b", 1, None), DomainUse("c", 4, 1 << 19)])
    use = read_use(guests)
    assert (use.vcpus, use.memory_mib) == (7, 2560)


def test_only_files_are_disks_of_the_host():
    disks = parse_file_disks(DOMAIN.format(uuid=GUEST, cow="/a", raw="/b"))
    assert [(disk.target, disk.path, disk.format) for disk in disks] == [
        ("vda", "/a", "qcow2"),
        ("vdb", "/b", "raw"),
    ]


def test_how_much_disk_is_promised_beyond_what_is_used(tmp_path):
    raw = tmp_path / "raw"
    with raw.open("wb") as file:
        file.write(b"x" * 4096)
        file.truncate(1 << 20)
    text = DOMAIN.format(uuid=GUEST, cow="/cow", raw="/raw")
    guests = Guests([(GUEST, text)], {(GUEST, "vda"): BlockSize(capacity=5000, allocation=1000)})
    taken = raw.stat().st_blocks * 512
    assert read_overcommitted(guests, HostRoot(tmp_path)) == 4000 + (1 << 20) - taken


def test_guests_and_disks_that_vanish_meanwhile_promise_nothing(tmp_path):
    text = DOMAIN.format(uuid=GUEST, cow="/cow", raw="/gone")
    assert read_overcommitted(Guests([(GUEST, text)]), HostRoot(tmp_path)) == 0


def test_a_disk_that_has_grown_beyond_its_size_does_not_pay_for_others(tmp_path):
    text = DOMAIN.format(uuid=GUEST, cow="/cow", raw="/gone")
    guests = Guests([(GUEST, text)], {(GUEST, "vda"): BlockSize(capacity=1000, allocation=9000)})
    assert read_overcommitted(guests, HostRoot(tmp_path)) == 0
