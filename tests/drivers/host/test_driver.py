from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from drivers import load_driver
from drivers.errors import Absent, DriverOptionError, HostReadError
from drivers.host.cpu import CpuFacts
from drivers.host.disk import choose_path, read_disk
from drivers.host.driver import HostDriver, kernel_version
from drivers.host.traits import HOST_TRAITS, cpu_traits
from drivers.root import HostRoot
from drivers.uptime import format_uptime
from provider_tree import ProviderTree
from provider_tree.names import is_standard_trait
from tests.drivers.configured import make_conf
from tests.machines.builders import numa_node, write, x86

ROOT = "8a0f3f6e-2a5e-4d5c-9a7f-0c5a1b1c2d3e"
UUID = "5d7e5b2e-1f3a-4f1e-9c58-0b8c7f7a0c11"


def make_driver(machine: Path, text: str = "") -> HostDriver:
    conf = make_conf(machine.parent, f"host = node1\n{text}", "host")
    return HostDriver(conf, root=HostRoot(machine))


def make_tree() -> ProviderTree:
    tree = ProviderTree()
    tree.new_root("node1", ROOT, generation=3)
    return tree


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "machine").mkdir()
    return x86(tmp_path / "machine", sockets=2, cores=4, threads=2, memory_kib=32_768_000)


def test_the_node_is_the_host(machine: Path) -> None:
    driver = make_driver(machine)
    driver.init_host("node1")
    assert driver.get_available_nodes() == driver.get_available_nodes(refresh=True) == ["node1"]
    assert driver.node_is_available("node1")
    assert driver.list_instances() == []
    assert driver.get_num_instances() == 0


def test_inventory_and_traits(machine: Path) -> None:
    tree = make_tree()
    make_driver(machine, "my_ip = 192.0.2.7\nreserved_host_disk_mb = 1500\n").update_provider_tree(
        tree, "node1"
    )
    node = tree.provider("node1")
    assert {name: record["total"] for name, record in node.inventory.items()} == {
        "VCPU": 16,
        "MEMORY_MB": 32_000,
        "DISK_GB": read_disk(HostRoot(machine), "/").total_gb,
    }
    assert node.inventory["VCPU"]["allocation_ratio"] == 4.0
    assert node.inventory["MEMORY_MB"]["reserved"] == 512
    assert node.inventory["DISK_GB"]["reserved"] == 2
    assert node.traits == {
        "COMPUTE_NODE",
        "HW_ARCH_X86_64",
        "HW_CPU_HYPERTHREADING",
        "HW_CPU_X86_AESNI",
        "HW_CPU_X86_AVX",
        "HW_CPU_X86_AVX2",
        "HW_CPU_X86_INTEL_PCID",
        "HW_CPU_X86_INTEL_VMX",
        "HW_CPU_X86_SSE",
        "HW_CPU_X86_SSE2",
        "HW_CPU_X86_SSE3",
        "HW_CPU_X86_SSE41",
        "HW_CPU_X86_SSE42",
        "HW_CPU_X86_VMX",
    }
    assert node.generation == 3


def test_each_value_says_where_it_is_from(machine: Path) -> None:
    tree = make_tree()
    make_driver(machine, "cpu_allocation_ratio = 2\n").update_provider_tree(tree, "node1")
    notes = tree.notes("node1")
    assert notes["VCPU.total"].detail == f"online CPUs of {machine}/sys/devices/system/cpu/online"
    assert notes["MEMORY_MB.total"].detail == f"MemTotal of {machine}/proc/meminfo"
    assert notes["DISK_GB.total"].detail == "size of the file system of /"
    assert notes["VCPU.allocation_ratio"].kind == "configuration"
    assert notes["traits.HW_ARCH_X86_64"].detail == "machine name x86_64"


def test_what_others_set_stays_and_what_the_cpus_no_longer_have_goes(machine: Path) -> None:
    tree = make_tree()
    tree.update_traits("node1", ["CUSTOM_RACK_4", "HW_CPU_X86_AVX512F", "COMPUTE_IMAGE_TYPE_RAW"])
    tree.new_child("node1:agent", "node1")
    tree.update_inventory("node1", {"VCPU": {"total": 2, "allocation_ratio": 9.0}})
    make_driver(machine).update_provider_tree(tree, "node1")
    traits = tree.provider("node1").traits
    assert "CUSTOM_RACK_4" in traits
    assert traits.isdisjoint({"HW_CPU_X86_AVX512F", "COMPUTE_IMAGE_TYPE_RAW"})
    assert "node1:agent" in tree
    assert tree.provider("node1").inventory["VCPU"]["allocation_ratio"] == 9.0


def test_the_second_time_changes_nothing(machine: Path) -> None:
    tree = make_tree()
    driver = make_driver(machine)
    driver.update_provider_tree(tree, "node1")
    again = tree.copy()
    driver.update_provider_tree(again, "node1")
    assert again == tree


@pytest.mark.parametrize("missing", ["proc/meminfo", "sys/devices/system/cpu", "proc/cpuinfo"])
def test_a_fact_that_is_not_known_is_an_error_and_changes_nothing(machine: Path, missing: str) -> None:
    path = machine / missing
    if path.is_dir():
        path.rename(machine / "gone")
        (machine / "proc/cpuinfo").unlink()
    else:
        path.unlink()
    tree = make_tree()
    before = tree.copy()
    driver = make_driver(machine)
    with pytest.raises(HostReadError, match="not known"):
        driver.init_host("node1")
    with pytest.raises(HostReadError, match="not known"):
        driver.update_provider_tree(tree, "node1")
    assert tree == before


def test_a_malformed_cpuinfo_never_becomes_cpus_without_features(machine: Path) -> None:
    write(machine, {"proc/cpuinfo": "\0\0\0"})
    tree = make_tree()
    tree.update_traits("node1", ["HW_CPU_X86_AVX2"])
    with pytest.raises(HostReadError, match="features of the CPUs are not known"):
        make_driver(machine).update_provider_tree(tree, "node1")
    assert tree.provider("node1").traits == {"HW_CPU_X86_AVX2"}


def test_a_malformed_meminfo_never_becomes_no_memory(machine: Path) -> None:
    tree = make_tree()
    tree.update_inventory("node1", {"MEMORY_MB": {"total": 32_000}})
    write(machine, {"proc/meminfo": "MemTotal: 0 kB\n"})
    with pytest.raises(HostReadError, match=r"proc/meminfo is not as expected: wanted a line 'MemTotal"):
        make_driver(machine).update_provider_tree(tree, "node1")
    assert tree.provider("node1").inventory == {"MEMORY_MB": {"total": 32_000}}


def test_odd_firmware_is_remarked_upon_once(machine: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(machine, numa_node(7, range(3, 5), 1000))
    driver = make_driver(machine)
    with caplog.at_level(logging.WARNING):
        driver.get_available_resource("node1")
        driver.get_available_resource("node1")
    assert caplog.text.count("NUMA node 7 is left out") == 1


def test_what_is_not_reported_does_not_keep_the_rest_from_being_reported(machine: Path) -> None:
    write(machine, {"sys/bus/pci/devices/0000:00:05.0/vendor": "what?\n"})
    tree, driver = make_tree(), make_driver(machine)
    driver.init_host("node1")
    driver.update_provider_tree(tree, "node1")
    assert "VCPU" in tree.provider("node1").inventory
    with pytest.raises(HostReadError, match="vendor"):
        driver.get_available_resource("node1")


def test_available_resource_under_novas_keys(machine: Path) -> None:
    (machine.parent / "compute_id").write_text(UUID)
    driver = make_driver(machine, "my_ip = 192.0.2.7\n")
    resource = driver.get_available_resource("node1")
    assert {key: resource[key] for key in ("vcpus", "vcpus_used", "memory_mb", "memory_mb_used")} == {
        "vcpus": 16,
        "vcpus_used": 0,
        "memory_mb": 32_000,
        "memory_mb_used": 16_000,
    }
    assert (resource["hypervisor_hostname"], resource["hypervisor_type"]) == ("node1", "host")
    assert resource["hypervisor_version"] == 6_001_000
    assert resource["uuid"] == UUID
    assert resource["supported_instances"] == []
    assert resource["local_gb"] >= resource["local_gb_used"] >= 0
    assert json.loads(resource["cpu_info"])["topology"] == {"sockets": 2, "cores": 8, "cpus": 16}
    assert [cell["id"] for cell in json.loads(resource["numa_topology"])["cells"]] == [0, 1]
    assert json.loads(resource["pci_passthrough_devices"]) == {}
    assert "up 1 day,  2:03" in resource["stats"]["uptime"]
    assert driver.get_nodenames_by_uuid() == {UUID: "node1"}
    assert driver.get_host_ip_addr() == "192.0.2.7"


def test_memory_in_use_is_not_known_to_an_old_kernel(machine: Path) -> None:
    write(machine, {"proc/meminfo": "MemTotal: 2048 kB\nMemFree: 1024 kB\n"})
    assert make_driver(machine).get_available_resource("node1")["memory_mb_used"] is None


def test_a_recorded_machine_has_no_cpu_time(machine: Path) -> None:
    with pytest.raises(NotImplementedError):
        make_driver(machine).get_host_cpu_stats()


def test_this_machine(tmp_path: Path) -> None:
    driver = load_driver("host", make_conf(tmp_path))
    driver.init_host("x")
    (node,) = driver.get_available_nodes()
    tree = ProviderTree()
    tree.new_root(node, ROOT)
    driver.update_provider_tree(tree, node)
    assert {"VCPU", "MEMORY_MB", "DISK_GB"} == set(tree.provider(node).inventory)
    assert all(record["total"] > 0 for record in tree.provider(node).inventory.values())
    before, after = driver.get_host_cpu_stats(), driver.get_host_cpu_stats()
    assert before.keys() == {"kernel", "idle", "user", "iowait", "frequency"}
    assert before["kernel"] is not None
    assert after["kernel"] is not None
    assert 10**7 < before["kernel"] <= after["kernel"]
    assert " up " in driver.get_host_uptime()


class TestDisk:
    def test_the_configured_directory_counts(self, machine: Path) -> None:
        (machine / "srv").mkdir()
        tree = make_tree()
        make_driver(machine, "[host_driver]\ndisk_path = /srv\n").update_provider_tree(tree, "node1")
        assert tree.notes("node1")["DISK_GB.total"].detail == "size of the file system of /srv"

    def test_a_configured_directory_that_is_not_there_is_refused(self, machine: Path) -> None:
        driver = make_driver(machine, "[host_driver]\ndisk_path = /srv\n")
        with pytest.raises(DriverOptionError, match=r"\[host_driver\] disk_path: /srv does not exist"):
            driver.update_provider_tree(make_tree(), "node1")

    def test_novas_instances_count_where_they_are(self, machine: Path) -> None:
        root = HostRoot(machine)
        assert choose_path(root, None, "/var/lib/nova/instances") == "/"
        (machine / "var/lib/nova/instances").mkdir(parents=True)
        assert choose_path(root, None, "/var/lib/nova/instances") == "/var/lib/nova/instances"

    def test_a_file_system_without_a_disk_is_refused(self) -> None:
        with pytest.raises(Absent, match="without blocks"):
            read_disk(HostRoot(), "/proc")


class TestTraits:
    def test_all_are_standard_and_the_drivers_own(self, machine: Path) -> None:
        assert all(is_standard_trait(trait) for trait in HOST_TRAITS)
        assert all(
            make_driver(machine).vocabulary.has_trait(trait) for trait in HOST_TRAITS | {"COMPUTE_NODE"}
        )
        assert make_driver(machine).vocabulary.classes == {"VCPU", "MEMORY_MB", "DISK_GB"}

    @pytest.mark.parametrize(
        ("facts", "expected"),
        [
            (
                CpuFacts(
                    arch="x86_64", vendor="AuthenticAMD", flags=frozenset({"svm", "ssbd", "ibpb", "sse4a"})
                ),
                {"X86_SVM", "X86_AMD_SVM", "X86_AMD_SSBD", "X86_AMD_IBPB", "X86_SSE4A"},
            ),
            (
                CpuFacts(arch="x86_64", vendor="GenuineIntel", flags=frozenset({"ssbd", "ibpb", "md_clear"})),
                {"X86_INTEL_SSBD", "X86_INTEL_MD_CLEAR"},
            ),
            (CpuFacts(arch="x86_64", vendor="CentaurHauls", flags=frozenset({"ssbd", "sse"})), {"X86_SSE"}),
            (
                CpuFacts(arch="aarch64", flags=frozenset({"fp", "sve", "sve2", "atomics"})),
                {"AARCH64_FP", "AARCH64_SVE", "AARCH64_ATOMICS"},
            ),
            (CpuFacts(arch="ppc64le", model="POWER9, altivec supported"), {"PPC64LE_POWER9"}),
            (CpuFacts(arch="ppc64", model="POWER8"), set()),
            (CpuFacts(arch="s390x", flags=frozenset({"vx"})), set()),
            (CpuFacts(smt=True), {"HYPERTHREADING"}),
            (CpuFacts(), set()),
        ],
    )
    def test_features(self, facts: CpuFacts, expected: set[str]) -> None:
        features = {trait for trait in cpu_traits(facts) if trait.startswith("HW_CPU_")}
        assert features == {f"HW_CPU_{name}" for name in expected}

    @pytest.mark.parametrize(
        ("arch", "trait"),
        [
            ("x86_64", {"HW_ARCH_X86_64"}),
            ("i586", {"HW_ARCH_I686"}),
            ("armv7l", {"HW_ARCH_ARMV7"}),
            ("s390x", {"HW_ARCH_S390X"}),
            ("riscv64", set()),
        ],
    )
    def test_architectures(self, arch: str, trait: set[str]) -> None:
        assert cpu_traits(CpuFacts(arch=arch)) == trait


@pytest.mark.parametrize(
    ("up", "users", "expected"),
    [
        (timedelta(minutes=5), 0, "up 5 min,  0 users,"),
        (timedelta(hours=1, minutes=1), 1, "up  1:01,  1 user,"),
        (timedelta(days=1, hours=13), 2, "up 1 day, 13:00,  2 users,"),
        (timedelta(days=400), 1, "up 400 days, 0 min,  1 user,"),
    ],
)
def test_uptime_reads_as_uptime_prints_it(up: timedelta, users: int, expected: str) -> None:
    line = format_uptime(datetime(2026, 1, 2, 3, 4, 5).astimezone(), up, users, ("0.00", "0.01", "0.05"))
    assert line == f" 03:04:05 {expected}  load average: 0.00, 0.01, 0.05"


@pytest.mark.parametrize(("name", "text"), [("proc/uptime", "long"), ("proc/loadavg", "high")])
def test_a_malformed_uptime_is_named(machine: Path, name: str, text: str) -> None:
    write(machine, {name: text})
    with pytest.raises(HostReadError, match=name):
        make_driver(machine).get_host_uptime()


@pytest.mark.parametrize(
    ("release", "expected"),
    [("6.1.0-13-amd64", 6_001_000), ("5.15", 5_015_000), ("next", None), ("", None), (None, None)],
)
def test_kernel_version(release: str | None, expected: int | None) -> None:
    assert kernel_version(release) == expected
