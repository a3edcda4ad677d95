"""Gives the same GPUs, domain capabilities and namespaces to Nova's libvirt driver and to us; compares."""

import copy
import json
import logging
import sys
from collections import Counter, defaultdict
from pathlib import Path

import nova.conf
import nova.privsep.libvirt
import os_resource_classes as orc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nova import exception, objects
from nova.virt.libvirt import config as vconfig
from nova.virt.libvirt import driver as nova_driver
from nova.virt.libvirt import host as nova_host
from oslo_config import cfg

from drivers.errors import DriverOptionError, HostReadError
from drivers.libvirt.domain_capabilities import parse_domain_capabilities
from drivers.libvirt.mdev.config import MDEV_OPTIONS, assign, read_types
from drivers.libvirt.mdev.inventory import gpu_totals, record
from drivers.libvirt.mdev.node_device import parse_mdev, parse_mdev_parent
from drivers.libvirt.mdev.reshape import move_to_gpus
from drivers.libvirt.memory_encryption import Kernel, find_technologies
from drivers.libvirt.memory_encryption import record as context_record
from drivers.libvirt.records import Versions, version_number
from drivers.libvirt.vpmem import choose_namespaces, parse_ndctl
from drivers.root import HostRoot
from tests.drivers.libvirt.builders import domain_capabilities, launch_security, mdev, pci_device, sev

FILE = Path(sys.argv[1]) / "nova.conf"
SEEN: Counter[str] = Counter()
EXAMPLES = settings(
    max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

# -- vGPUs

TYPES = ["nvidia-35", "nvidia-36", "i915-1"]
ADDRESSES = ["0000:84:00.0", "0000:85:00.0", "0000:8a:00.4"]
UUIDS = [f"cccccccc-0000-0000-0000-00000000000{number}" for number in range(5)]


@st.composite
def configurations(draw):
    """A configuration file."""
    kinds = draw(st.lists(st.sampled_from(TYPES), unique=True, min_size=1, max_size=3))
    text = f"[devices]\nenabled_mdev_types = {','.join(kinds)}\n"
    addresses = st.lists(st.sampled_from([*ADDRESSES * 3, "0000:8A:00.4", "84:00.0"]), max_size=2)
    for kind in kinds:
        text += f"[mdev_{kind}]\n"
        if chosen := draw(addresses):
            text += f"device_addresses = {','.join(chosen)}\n"
        if draw(st.booleans()):
            text += f"mdev_class = {draw(st.sampled_from(['VGPU', *['CUSTOM_X'] * 6, 'WRONG']))}\n"
        if draw(st.booleans()):
            text += f"max_instances = {draw(st.sampled_from([1, 2, 3, 4, 8, 8, 8, 0]))}\n"
    return text


@st.composite
def gpu_machines(draw):
    """GPUs, and mediated devices that exist."""
    parents = [
        pci_device(
            each,
            "10de",
            "1db4",
            mdev_types=draw(st.dictionaries(st.sampled_from(TYPES), st.integers(0, 4), min_size=2)),
        )
        for each in ADDRESSES
    ]
    names = st.sampled_from([each.name for each in parents])
    mdevs = [
        mdev(each, draw(names), draw(st.sampled_from(TYPES)), tells_uuid=draw(st.booleans()))
        for each in UUIDS
    ]
    return parents, [each for each in mdevs if draw(st.booleans())]


class FakeHost:
    """Nova's host object, as far as vGPUs ask it."""

    def __init__(self, parents, mdevs):
        self.parents, self.mdevs = parents, mdevs

    def list_mdev_capable_devices(self):
        return sorted(each.name for each in self.parents)

    def list_mediated_devices(self):
        return [each.name for each in self.mdevs]

    def device_lookup_by_name(self, name):
        found = next(each for each in [*self.parents, *self.mdevs] if each.name.startswith(name))
        return type("Device", (), {"XMLDesc": lambda _, __: found.xml})()


def novas_driver(text, parents, mdevs):
    FILE.write_text(text)
    conf = cfg.ConfigOpts()
    nova.conf.devices.register_opts(conf)
    conf(["--config-file", str(FILE)], project="nova", default_config_files=[])
    nova_driver.CONF = conf
    driver = nova_driver.LibvirtDriver.__new__(nova_driver.LibvirtDriver)
    driver._host = FakeHost(parents, mdevs)
    driver.instance_claimed_mdevs = {}
    driver.pgpu_type_mapping, driver.pgpu_type_default = defaultdict(str), None
    driver.mdev_class_mapping = defaultdict(lambda: orc.VGPU)
    driver.mdev_classes, driver.virtual_mdevs = set(), set()
    driver.mdev_type_max_mapping = defaultdict(str)
    driver.supported_vgpu_types = driver._get_supported_vgpu_types()
    return driver


def our_config(text):
    FILE.write_text(text)
    conf = cfg.ConfigOpts()
    for group, options in MDEV_OPTIONS.items():
        conf.register_opts(options, group=group)
    conf(["--config-file", str(FILE)], project="nova", default_config_files=[])
    return assign(read_types(conf), HostRoot("/"))


@EXAMPLES
@given(configurations(), gpu_machines())
def gpus_provide_the_same(text, machine):
    parents, mdevs = machine
    try:
        driver = novas_driver(text, parents, mdevs)
    except (exception.InvalidLibvirtMdevConfig, ValueError):
        driver = None
    try:
        config = our_config(text)
    except DriverOptionError:
        config = None
    assert (driver is None) == (config is None), text
    SEEN["mdev refused" if driver is None else "mdev accepted"] += 1
    if driver is None:
        return
    theirs = {
        gpu: (each, driver._get_resource_class_for_device(gpu))
        for gpu, each in driver._get_gpu_inventories().items()
    }
    known = [parse_mdev(each.xml) for each in mdevs]
    totals = (
        gpu_totals(config, [parse_mdev_parent(each.xml) for each in parents], known) if config.types else {}
    )
    ours = {gpu: (record(total), config.class_for(gpu)) for gpu, total in totals.items()}
    SEEN["GPUs reported" if theirs else "no GPUs reported"] += 1
    assert ours == theirs, (text, ours, theirs)


@EXAMPLES
@given(
    st.lists(st.sampled_from(["g1", "g2", "g3", None]), min_size=len(UUIDS), max_size=len(UUIDS)), st.data()
)
def vgpus_move_to_the_same_gpus(owners, data):
    parents = [pci_device(each, "10de", "1db4", mdev_types={"nvidia-35": 4}) for each in ADDRESSES]
    mdevs = [mdev(each, data.draw(st.sampled_from(parents)).name, "nvidia-35") for each in UUIDS]
    devices_of = {
        owner: tuple(uuid for uuid, each in zip(UUIDS, owners, strict=True) if each == owner)
        for owner in owners
        if owner
    }
    gpus = {each.name: f"uuid of {each.name}" for each in parents}
    before = {
        owner: {"allocations": {"root": {"resources": {"VCPU": 1, "VGPU": len(uuids)}}}}
        for owner, uuids in devices_of.items()
    }
    driver = novas_driver("[devices]\nenabled_mdev_types = nvidia-35\n", parents, mdevs)
    driver._get_all_assigned_mediated_devices = lambda instance: dict.fromkeys(
        devices_of[instance.uuid], instance.uuid
    )
    root = type("Root", (), {"uuid": "root"})
    theirs, ours = copy.deepcopy(before), copy.deepcopy(before)
    driver._reshape_gpu_resources(
        theirs, root, {gpu: type("P", (), {"uuid": uuid}) for gpu, uuid in gpus.items()}
    )
    gpu_of = {each.uuid: each.parent for each in (parse_mdev(found.xml) for found in mdevs)}
    move_to_gpus(ours, "root", gpus, devices_of, gpu_of)
    assert ours == theirs
    SEEN["reshapes"] += 1


# -- memory encryption

VERSIONS = [(7, 2, 0), (8, 0, 0), (9, 1, 2)]
COUNTS = st.sampled_from([0, 5, 509])
MOSTLY = st.sampled_from([True, True, True, False])
FEATURES = st.lists(
    st.one_of(
        st.builds(sev, COUNTS, COUNTS, st.sampled_from(["yes", "yes", "no"])),
        st.builds(launch_security, *[st.sampled_from(["sev", "sev-snp", "tdx"])] * 2),
        st.sampled_from(["<tdx supported='yes'/>", "<tdx supported='no'/>"]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda each: each[:4],
).map("".join)


@EXAMPLES
@given(
    st.lists(FEATURES, min_size=1, max_size=2),
    st.builds(Kernel, MOSTLY, st.booleans(), st.booleans(), st.sampled_from([None, 0, 31])),
    st.sampled_from(VERSIONS),
    st.sampled_from(["host-passthrough", "host-passthrough", "host-model", None]),
    st.sampled_from([None, 0, 8, 64]),
    st.sampled_from(["x86_64", "x86_64", "x86_64", "aarch64"]),
)
def encryption_contexts_are_the_same(features, kernel, qemu, cpu_mode, configured, arch):
    documents = [domain_capabilities(f"pc-{number}", text) for number, text in enumerate(features)]
    theirs = contexts_of_nova(documents, kernel, qemu, cpu_mode, configured, arch)
    versions = Versions(version_number((10, 0, 0)), version_number(qemu), "QEMU")
    guests = [parse_domain_capabilities(each) for each in documents] if arch == "x86_64" else []
    found = find_technologies(guests, kernel, versions, cpu_mode, configured)
    ours = {
        each.name: {**context_record(each.contexts), "traits": [each.trait]} for each in found.technologies
    }
    wanted = {name: each for name, each in theirs.items() if each["total"]}
    assert {name: each for name, each in ours.items() if each["total"]} == wanted
    assert ours.keys() == theirs.keys()
    SEEN["hosts with contexts" if wanted else "hosts without contexts"] += 1


def contexts_of_nova(documents, kernel, qemu, cpu_mode, configured, arch):
    host = nova_host.Host.__new__(nova_host.Host)
    host._supports_amd_sev = host._supports_amd_sev_es = host._supports_amd_sev_snp = None
    host._supports_intel_tdx = host._max_intel_tdx_guests = None
    parsed = {}
    for number, text in enumerate(documents):
        parsed[f"pc-{number}"] = vconfig.LibvirtConfigDomainCaps()
        parsed[f"pc-{number}"].parse_str(text)
    cpu = type("Cpu", (), {"arch": arch})
    host.get_capabilities = lambda: type("Caps", (), {"host": type("HostCaps", (), {"cpu": cpu})})
    host.get_domain_capabilities = lambda: {"x86_64": parsed}
    host.has_min_version = lambda hv_ver: qemu >= hv_ver
    switches = {"sev": kernel.sev, "sev-es": kernel.sev_es, "sev-snp": kernel.sev_snp}
    host._kernel_supports_amd_sev = lambda model="sev": switches[model]
    host._get_cgroup_tdx_capacity = lambda: kernel.tdx_capacity
    libvirt = type("Group", (), {"cpu_mode": cpu_mode, "num_intel_tdx_guests": configured})
    nova_host.CONF = type("Conf", (), {"libvirt": libvirt})
    driver = nova_driver.LibvirtDriver.__new__(nova_driver.LibvirtDriver)
    driver._host = host
    return driver._get_memory_encryption_inventories()


# -- persistent memory

LABELS, NAMES = st.sampled_from(["A", "b c", ""]), st.sampled_from(["ns0", "ns1|ns2", "ns3", "ns4", "ns9"])
ENTRIES = st.lists(st.builds("{}:{}".format, LABELS, NAMES), max_size=2) | st.just(["ns0"])


@EXAMPLES
@given(ENTRIES, st.sampled_from([5, 5, 5, 3, 0]))
def namespaces_are_the_same(entries, count):
    text = json.dumps(
        [
            {
                "name": f"ns{number}",
                "size": 1 << 30,
                "daxregion": {"align": 4096, "devices": [{"chardev": f"dax0.{number}"}]},
            }
            for number in range(count)
        ]
    )
    nova.privsep.libvirt.get_pmem_namespaces = lambda: text
    driver = nova_driver.LibvirtDriver.__new__(nova_driver.LibvirtDriver)
    try:
        _, found = driver._discover_vpmems(entries)
        theirs = {
            name: [(each.name, each.devpath, each.label) for each in there] for name, there in found.items()
        }
    except (exception.PMEMNamespaceConfigInvalid, exception.GetPMEMNamespacesFailed):
        theirs = None
    try:
        chosen = choose_namespaces(entries, parse_ndctl(text))
        ours = {
            name: [(each.name, each.devpath, each.label) for each in there] for name, there in chosen.items()
        }
    except (DriverOptionError, HostReadError):
        ours = None
    assert ours == theirs, entries
    SEEN["pmem refused" if theirs is None else "pmem accepted"] += 1


if __name__ == "__main__":
    logging.disable()
    objects.register_all()
    gpus_provide_the_same()
    vgpus_move_to_the_same_gpus()
    encryption_contexts_are_the_same()
    namespaces_are_the_same()
    print(json.dumps(SEEN))  # noqa: T201 - the answer of this script
