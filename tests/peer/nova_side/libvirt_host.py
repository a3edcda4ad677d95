"""Gives the same made-up hosts and configurations to Nova's libvirt driver and to us; compares.

Traits, capabilities, CPU sets, NUMA cells; a host or a configuration that one refuses, the other must refuse.
"""

import json
import logging
import re
import sys
from collections import Counter
from pathlib import Path

import libvirt
import nova.conf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nova import config as nova_config
from nova import exception, objects
from nova.virt import hardware, virtapi
from nova.virt.libvirt import driver as nova_driver
from oslo_config import cfg

from drivers.capabilities import as_traits
from drivers.errors import DriverError
from drivers.libvirt.abilities import abilities
from drivers.libvirt.checks import check_on_host, check_settings, read_reserved_pages
from drivers.libvirt.cpu_sets import CpuMap, choose_cpus, format_cpus, parse_cpu_spec
from drivers.libvirt.errors import LibvirtCallFailed, NotPossible, NotSupported
from drivers.libvirt.numa import numa_cells, numa_topology
from drivers.libvirt.settings import read_settings
from drivers.libvirt.traits import MARKS, root_traits
from tests.drivers.configured import make_conf
from tests.drivers.libvirt.host_xml import (
    Cell,
    capabilities_xml,
    domain_capabilities_xml,
    guest_xml,
    loader_xml,
    tpm_xml,
)
from tests.drivers.libvirt.made_up import MadeUpLibvirt, hypervisor_of

DIRECTORY = Path(sys.argv[1])
SEEN: Counter[str] = Counter()
EXAMPLES = settings(
    max_examples=250, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

FEATURES = ["aes", "avx", "avx2", "avx512f", "vmx", "svm", "sse4.1", "pclmuldq", "3dnow", "asimd", "hle"]
MODELS = {"Nehalem": ["sse4.1", "sse"], "EPYC": ["svm", "sha-ni"], "qemu64": ["sse2"], "qemu32": ["sse"]}
MODELS |= {"POWER8": [], "max": ["sve"], "pentium": ["mmx"]}
MACHINES = {
    "x86_64": {"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2"},
    "i686": {"pc": "pc-i440fx-7.2"},
    "aarch64": {"virt": "virt-7.2"},
    "ppc64le": {"pseries": "pseries-7.2"},
    "s390x": {"s390-ccw-virtio": "s390-ccw-virtio-7.2"},
    "riscv64": {"virt": "virt"},
    "mips": {},
}
BUSES = ["virtio", "scsi", "ide", "sata", "usb", "fdc", "sd", "xen"]
VIDEO = ["vga", "cirrus", "qxl", "virtio", "none", "bochs", "ramfb", "gop", "vmvga"]


def lists_of(values, **more):
    return st.lists(st.sampled_from(values), unique=True, **more)


# -- made-up hosts


@st.composite
def cells(draw):
    """NUMA cells, with several threads a core or not, some without CPUs (on offline ones Nova fails)."""
    found, first = [], 0
    threads = draw(st.sampled_from([1, 1, 2]))
    for number in range(draw(st.integers(1, 3))):
        count = draw(st.sampled_from([0, 2, 4])) if number else draw(st.sampled_from([2, 4]))
        pages = {4: draw(st.integers(0, 9999)), 2048: draw(st.integers(0, 9))}
        found.append(
            Cell(
                range(first, first + count),
                draw(st.integers(0, 1)),
                threads,
                draw(st.integers(1, 1 << 24)),
                pages,
            )
        )
        first += count
    return found


@st.composite
def hosts(draw):
    """A libvirt: its arguments, so that two alike can be made."""
    arch = draw(st.sampled_from(["x86_64"] * 5 + ["aarch64", "ppc64le", "s390x", "riscv64", "i686"]))
    others = draw(lists_of([each for each in MACHINES if each != arch], max_size=3))
    kvm = draw(st.sampled_from([None, None, {"virt": "virt-rhel9", "q35": "pc-q35-rhel9"}]))
    guests = [guest_xml(each, MACHINES[each], kvm_machines=kvm) for each in (arch, *others)]
    model = draw(st.sampled_from(["Nehalem", "Nehalem", "EPYC", None]))
    text = capabilities_xml(
        arch, model=model, features=draw(lists_of(FEATURES)), cells=draw(cells()), guests=guests
    )
    secure = draw(st.sampled_from([["no"], ["yes", "no"], []]))
    domain = {
        "buses": draw(lists_of(BUSES)),
        "video": draw(lists_of(VIDEO)),
        "redirected": draw(lists_of(["usb"])),
        "loader": loader_xml(secure),
        "tpm": tpm_xml(
            draw(lists_of(["tpm-tis", "tpm-crb", "tpm-spapr"])),
            draw(lists_of(["passthrough", "emulator", "external"])),
            draw(st.sampled_from([None, ["2.0"], ["1.2", "2.0"]])),
            draw(st.sampled_from(["yes", "yes", "no"])),
        ),
    }
    refused = draw(st.sampled_from([frozenset(), frozenset(), frozenset(others)]))
    total = draw(st.integers(1, 12))
    return {
        "text": text,
        "domain": domain,
        "refused": refused,
        "expands": draw(st.sampled_from([True, True, True, False])),
        "libvirt": draw(
            st.sampled_from([(8, 0, 0), (8, 6, 0), (9, 0, 0), (9, 3, 0), *[(10, 4, 0)] * 4, (7, 0, 0)])
        ),
        "qemu": draw(
            st.sampled_from([(6, 2, 0), (7, 2, 0), (8, 0, 0), (8, 2, 0), *[(10, 1, 0)] * 4, (6, 1, 0)])
        ),
        "cpus": CpuMap(total, frozenset(draw(st.lists(st.integers(0, total - 1), min_size=1)))),
    }


class Libvirt(MadeUpLibvirt):
    """As our driver sees it."""

    def __init__(self, host):
        super().__init__(
            host["text"],
            models=MODELS if host["expands"] else None,
            libvirt=host["libvirt"],
            hypervisor=host["qemu"],
            cpus=host["cpus"],
        )
        self.host = host

    def domain_capabilities(self, emulator, arch, machine, virt_type):
        if arch in self.host["refused"]:
            raise NotPossible("KVM is not supported")
        full = MACHINES[arch].get(machine, machine or "the-default")
        return domain_capabilities_xml(arch, full, **self.host["domain"])

    def cpu_models(self, arch):
        return list(MODELS)


class NovasLibvirt:
    """The same as Nova's driver sees it: a virConnect."""

    def __init__(self, ours):
        self.ours = ours

    def getLibVersion(self):  # noqa: N802 - libvirt's name
        return self.ours.version.libvirt

    def getVersion(self):  # noqa: N802
        return self.ours.version.hypervisor

    def getType(self):  # noqa: N802
        return "QEMU"

    def getHostname(self):  # noqa: N802
        return "host1"

    def getCapabilities(self):  # noqa: N802
        return self.ours.capabilities()

    def getCPUMap(self):  # noqa: N802
        cpus = self.ours.cpus
        return cpus.total, [cpu in cpus.online for cpu in range(cpus.total)], len(cpus.online)

    def getCPUModelNames(self, arch):  # noqa: N802
        return self.ours.cpu_models(arch)

    def getDomainCapabilities(self, emulator, arch, machine, virt_type, flags):  # noqa: N802
        return _as_libvirt(self.ours.domain_capabilities, emulator, arch, machine, virt_type)

    def baselineCPU(self, xmls, flags):  # noqa: N802
        return _as_libvirt(self.ours.baseline_cpu, xmls[0])

    def compareHypervisorCPU(self, emulator, arch, machine, virt_type, xml, flags):  # noqa: N802
        return self.ours.compare_hypervisor_cpu(xml)


def _as_libvirt(function, *arguments):
    try:
        return function(*arguments)
    except LibvirtCallFailed as error:
        failure = libvirt.libvirtError(error.what)
        code = (
            libvirt.VIR_ERR_NO_SUPPORT if isinstance(error, NotSupported) else libvirt.VIR_ERR_INTERNAL_ERROR
        )
        failure.err = (code, 0, error.what, 0, "", None, None, 0, 0)
        raise failure from error


# -- configurations


CPU_SETS = st.sampled_from(
    ["0"] * 5 + ["0,0"] * 3 + ["0-3,^1-3", "0-1", "2-5", "7", "x", "0-1,^0-1", " 0 , ^ 1 "]
)
MODES = [
    "",
    "cpu_mode = host-model\n",
    "cpu_mode = host-passthrough\ncpu_model_extra_flags = +avx\n",
    "cpu_mode = none\ncpu_model_extra_flags = -AES, xop\n",
    "cpu_mode = custom\ncpu_models = epyc, Nehalem\n",
    "cpu_mode = custom\ncpu_models = Nehalem\ncpu_model_extra_flags = tbm, -sse\n",
    "cpu_mode = custom\ncpu_models = Cray\n",
    "cpu_models = Nehalem\n",
]
LIBVIRT = [
    "hw_machine_type = x86_64=q35,aarch64=virt\n",
    "hw_machine_type = x86_64\n",
    "supported_tpm_secret_security = host\n",
    "swtpm_enabled = true\n",
    "images_type = lvm\n",
    "images_type = raw\n",
    "file_backed_memory = 1024\n",
    "live_migration_tunnelled = true\nlive_migration_with_native_tls = true\n",
    "live_migration_parallel_connections = 3\nlive_migration_permit_post_copy = true\n",
]


@st.composite
def configurations(draw):
    """A configuration file, now and then with a contradiction."""
    text = draw(st.sampled_from(["", "", "force_raw_images = false\n", "use_cow_images = false\n"]))
    text += draw(st.sampled_from(["", "", "reserved_huge_pages = node:0,size:2048,count:2\n"]))
    text += draw(st.sampled_from(["", "ram_allocation_ratio = 1.0\nreserved_host_memory_mb = 0\n"]))
    text += draw(st.sampled_from(["", "", "", "reserved_host_cpus = 1\n"]))
    compute = draw(st.sampled_from(["", "", "image_type_exclude_list = raw,qcow2\n"]))
    for option in draw(
        lists_of(["pin", "shared", "dedicated"], max_size=1) | lists_of(["shared", "dedicated"])
    ):
        if option == "pin":
            text += f"vcpu_pin_set = {draw(CPU_SETS)}\n"
        else:
            compute += f"cpu_{option}_set = {draw(CPU_SETS)}\n"
    text += f"[compute]\n{compute}[libvirt]\nswtpm_group = root\n"
    text += f"virt_type = {draw(st.sampled_from(['qemu', 'qemu', 'kvm', 'kvm', 'lxc', 'parallels']))}\n"
    text += f"swtpm_user = {draw(st.sampled_from(['root', 'root', 'nosuchuser']))}\n"
    return text + draw(st.sampled_from(MODES)) + "".join(draw(lists_of(LIBVIRT, max_size=2)))


# -- ours


def ours(host, text):
    conf = make_conf(DIRECTORY, text, "libvirt")
    found = read_settings(conf)
    check_settings(found)
    hypervisor = hypervisor_of(Libvirt(host), found.virt_type, found.machine_types)
    check_on_host(found, hypervisor)
    sets = choose_cpus(found.cpus, hypervisor.cpu_map())
    traits = {trait: yes for trait, yes in root_traits(found, hypervisor).items() if trait not in MARKS}
    excluded = frozenset(conf.compute.image_type_exclude_list)
    pages = read_reserved_pages(found.start.reserved_huge_pages)
    return {
        "traits": {trait for trait, yes in traits.items() if yes},
        "unset": {trait for trait, yes in traits.items() if not yes},
        "capabilities": as_traits(abilities(found.abilities, hypervisor), excluded),
        "shared": sets.shared,
        "dedicated": sets.dedicated,
        "cells": numa_topology(numa_cells(hypervisor), sets, pages),
    }


# -- Nova's


def novas(host, text):
    conf = nova.conf.CONF
    conf.reset()
    file = DIRECTORY / "nova.conf"
    file.write_text(f"[DEFAULT]\nstate_path = {DIRECTORY}\n{text}")
    nova_config.parse_args(
        ["nova", "--config-file", str(file)], default_config_files=[], configure_db=False, init_rpc=False
    )
    nova.conf.neutron.register_dynamic_opts(conf)
    driver = nova_driver.LibvirtDriver(virtapi.VirtAPI())
    connection = NovasLibvirt(Libvirt(host))
    driver._host.get_connection = lambda: connection
    driver._host.initialize = lambda: None
    driver._start_inactive_mediated_devices = lambda: None
    driver._check_my_ip = lambda: None
    driver.init_host("host")
    shared, dedicated = driver._get_vcpu_available(), driver._get_pcpu_available()
    topology = driver._get_host_numa_topology()
    traits = driver.static_traits
    return {
        "traits": {trait for trait, yes in traits.items() if yes},
        "unset": {trait for trait, yes in traits.items() if not yes},
        "capabilities": driver.capabilities_as_traits(),
        "shared": shared,
        "dedicated": dedicated,
        "cells": [_cell(cell) for cell in topology.cells] if topology else [],
    }


def _cell(cell):
    return {
        "id": cell.id,
        "socket": cell.socket,
        "memory": int(cell.memory),
        "cpuset": sorted(cell.cpuset),
        "pcpuset": sorted(cell.pcpuset),
        "siblings": sorted(sorted(each) for each in {frozenset(each) for each in cell.siblings}),
        "mempages": [
            {"size_kb": page.size_kb, "total": page.total, "reserved": page.reserved}
            for page in cell.mempages
        ],
    }


NOVAS_REFUSALS = (exception.NovaException, libvirt.libvirtError, cfg.Error, ValueError, AttributeError)


@given(hosts(), configurations())
@EXAMPLES
def compare_hosts(host, text):
    """The same traits, capabilities, CPUs and cells, or both refuse."""
    try:
        theirs = novas(host, text)
    except NOVAS_REFUSALS as error:
        theirs = error
    try:
        mine = ours(host, text)
    except DriverError as error:
        mine = error
    if isinstance(theirs, Exception) or isinstance(mine, Exception):
        both = isinstance(theirs, Exception) and isinstance(mine, Exception)
        assert both, f"{text}\nNova: {theirs!r}\nours: {mine!r}"
        SEEN["refused"] += 1
        return
    theirs["capabilities"]["COMPUTE_REMOTE_MANAGED_PORTS"] = (
        False  # without devices for it, as in its tracker
    )
    _compare_unset(mine.pop("unset"), theirs.pop("unset"))
    assert mine == theirs, text
    SEEN["same"] += 1


def _compare_unset(mine, theirs):
    # What Nova takes away we take away; and what Nova forgets to when it was once set.
    assert theirs <= mine
    assert all("TPM_SECRET_SECURITY" in trait for trait in mine - theirs)


@given(st.lists(st.sampled_from(["0", "3", "7", "12", "-", "-", ",", ",", "^", " ", "x"]), max_size=9))
@EXAMPLES
def compare_cpu_lists(pieces):
    """The same CPUs of a list, or both refuse."""
    text = "".join(pieces)
    if any(len(number) > 4 for number in re.findall(r"\d+", text)):
        return  # Nova would fill the memory with such a range
    try:
        theirs = hardware.parse_cpu_spec(text)
    except exception.Invalid:
        theirs = None
    try:
        mine = parse_cpu_spec(text)
    except ValueError:
        mine = None
    assert mine == theirs, text
    if mine is None:
        SEEN["no list"] += 1
        return
    assert hardware.format_cpu_spec(mine) == format_cpus(mine).replace("none", "")
    SEEN["list"] += 1


if __name__ == "__main__":
    objects.register_all()
    logging.disable(logging.CRITICAL)
    (DIRECTORY / "instances").mkdir(exist_ok=True)
    compare_cpu_lists()
    compare_hosts()
    sys.stdout.write(json.dumps(SEEN))
