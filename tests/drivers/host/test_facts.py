from __future__ import annotations

from pathlib import Path

import pytest

from drivers.cpu_list import parse_cpu_list
from drivers.errors import Absent, HostReadError
from drivers.host.facts import facts_document, read_facts
from drivers.host.numa import nearest_cpus, settle_claims
from drivers.host.pci import parse_config_space
from drivers.root import HostRoot
from tests.machines import builders
from tests.machines.builders import numa_node, pci_device, write, x86


def detect(root: Path) -> dict[str, object]:
    return facts_document(read_facts(HostRoot(root)))


def test_a_server(tmp_path: Path) -> None:
    x86(tmp_path, sockets=2, cores=2, threads=2, memory_kib=64_000_000)
    write(
        tmp_path, {**pci_device("0000:00:05.0", node=1), **pci_device("10000:00:00.0", pci_class="0x010802")}
    )
    assert detect(tmp_path) == {
        "format_version": 1,
        "arch": "x86_64",
        "cpu_model": "Test CPU",
        "cpu_vendor": "GenuineIntel",
        "online_cpus": [0, 1, 2, 3, 4, 5, 6, 7],
        "cores": 4,
        "sockets": 2,
        "smt": True,
        "cpu_flags": sorted(builders.X86_FLAGS.split()),
        "mem_total_kib": 64_000_000,
        "numa_nodes": {
            "0": {
                "cpus": [0, 1, 2, 3],
                "memory_only": False,
                "memory_kib": 32_000_000,
                "hugepages": {"2048": 0},
            },
            "1": {
                "cpus": [4, 5, 6, 7],
                "memory_only": False,
                "memory_kib": 32_000_000,
                "hugepages": {"2048": 0},
            },
        },
        "pci_devices": {
            "0000:00:05.0": {"class": "0200", "vendor_id": "8086", "product_id": "1533", "numa_node": 1},
            "10000:00:00.0": {"class": "0108", "vendor_id": "8086", "product_id": "1533", "numa_node": None},
        },
        "warnings": [],
    }


def test_what_a_machine_does_not_tell_is_null_not_zero(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "sys").mkdir()
    document = detect(tmp_path)
    assert document.pop("format_version") == 1
    assert document.pop("warnings") == []
    assert set(document.values()) == {None}


class TestCpus:
    def test_an_offline_cpu_does_not_count(self, tmp_path: Path) -> None:
        x86(tmp_path, cores=2, threads=2)
        write(tmp_path, {"sys/devices/system/cpu/online": "0-2\n"})
        facts = read_facts(HostRoot(tmp_path))
        assert facts.cpu.online == {0, 1, 2}
        assert (facts.cpu.cores, facts.cpu.smt) == (2, True)
        assert facts.numa is not None
        assert facts.numa.nodes[0].cpus == {0, 1, 2}

    def test_smt_switched_off(self, tmp_path: Path) -> None:
        x86(tmp_path, cores=2, threads=2)
        write(tmp_path, {"sys/devices/system/cpu/online": "0,2\n"})
        cpu = read_facts(HostRoot(tmp_path)).cpu
        assert (cpu.cores, cpu.smt) == (2, False)

    def test_without_the_list_each_cpu_speaks_for_itself(self, tmp_path: Path) -> None:
        x86(tmp_path, cores=2, threads=1)
        (tmp_path / "sys/devices/system/cpu/online").unlink()
        write(tmp_path, {"sys/devices/system/cpu/cpu1/online": "0\n", "sys/devices/system/cpu/cpufreq/x": ""})
        assert read_facts(HostRoot(tmp_path)).cpu.online == {0}

    def test_without_sysfs_cpuinfo_lists_them(self, tmp_path: Path) -> None:
        write(tmp_path, {"proc/cpuinfo": "processor : 0\n\nprocessor : 3\n"})
        cpu = read_facts(HostRoot(tmp_path)).cpu
        assert cpu.online == {0, 3}
        assert (cpu.cores, cpu.sockets, cpu.smt) == (None, None, None)

    def test_sockets_that_overlap_are_not_counted(self, tmp_path: Path) -> None:
        """One of the CPUs is wrong, and nothing tells which."""
        x86(tmp_path, cores=2, threads=1)
        write(tmp_path, {"sys/devices/system/cpu/cpu1/topology/package_cpus_list": "1\n"})
        cpu = read_facts(HostRoot(tmp_path)).cpu
        assert (cpu.sockets, cpu.cores) == (None, 2)

    @pytest.mark.parametrize(
        ("name", "text", "expected"),
        [
            ("sys/devices/system/cpu/online", "all of them", "a list of CPUs such as 0-3,8"),
            ("sys/devices/system/cpu/online", "", "at least one CPU"),
            ("sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0-", "a list of CPUs"),
            ("sys/devices/system/cpu/cpu0/topology/core_cpus", "no map", "a map of CPUs"),
            ("sys/devices/system/node/node0/cpumap", "?", "a set of CPUs"),
            ("sys/devices/system/node/node0/meminfo", "Node 0 MemFree: 1 kB\n", "MemTotal"),
            ("sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "x", "a number"),
            ("proc/meminfo", "", "MemTotal"),
            ("proc/meminfo", "MemTotal:  0 kB\n", "MemTotal"),
            ("proc/meminfo", "MemTotal:  lots\n", "MemTotal"),
            ("proc/meminfo", "MemFree: 12 kB\n", "MemTotal"),
            ("sys/bus/pci/devices/0000:00:00.0/vendor", "intel", "a hexadecimal number"),
            ("sys/bus/pci/devices/0000:00:00.0/numa_node", "near", "a number"),
        ],
    )
    def test_a_malformed_file_is_named_with_what_was_expected(
        self, tmp_path: Path, name: str, text: str, expected: str
    ) -> None:
        x86(tmp_path)
        write(tmp_path, {**pci_device("0000:00:00.0"), name: text})
        with pytest.raises(HostReadError, match=f"{name} is not as expected: wanted .*{expected}"):
            read_facts(HostRoot(tmp_path))


class TestNuma:
    def test_a_kernel_without_numa_is_one_node(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            {
                "proc/meminfo": "MemTotal: 2048 kB\n",
                "sys/devices/system/cpu/online": "0-1\n",
                "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "4\n",
            },
        )
        assert detect(tmp_path)["numa_nodes"] == {
            "0": {"cpus": [0, 1], "memory_only": False, "memory_kib": 2048, "hugepages": {"2048": 4}}
        }

    def test_a_node_with_memory_only_is_local_to_the_nearest_cpus(self, tmp_path: Path) -> None:
        x86(tmp_path, sockets=2, cores=2, threads=1)
        write(
            tmp_path,
            {**numa_node(2, range(0), 1024), "sys/devices/system/node/node2/distance": "17 28 10\n"},
        )
        numa = read_facts(HostRoot(tmp_path)).numa
        assert numa is not None
        node = numa.nodes[2]
        assert (node.cpus, node.local_cpus, node.memory_kib) == (frozenset(), {0, 1}, 1024)
        assert detect(tmp_path)["numa_nodes"]["2"]["memory_only"] is True  # type: ignore[index]

    def test_distances_for_the_wrong_number_of_nodes_are_refused(self, tmp_path: Path) -> None:
        x86(tmp_path)
        write(
            tmp_path, {**numa_node(2, range(0), 1024), "sys/devices/system/node/node2/distance": "17 28 10\n"}
        )
        with pytest.raises(HostReadError, match="wanted 2 distances"):
            read_facts(HostRoot(tmp_path))

    def test_the_memory_of_a_gpu_is_no_node(self, tmp_path: Path) -> None:
        x86(tmp_path)
        write(
            tmp_path,
            {
                **numa_node(255, range(0), 15_728_640),
                "proc/driver/nvidia/gpus/0004:05:00.0/numa_status": "Node:      255\nStatus:    online\n",
            },
        )
        numa = read_facts(HostRoot(tmp_path)).numa
        assert numa is not None
        assert set(numa.nodes) == {0}

    def test_memory_that_is_not_recorded_is_not_known(self, tmp_path: Path) -> None:
        x86(tmp_path)
        (tmp_path / "sys/devices/system/node/node0/meminfo").unlink()
        assert detect(tmp_path)["numa_nodes"]["0"]["memory_kib"] is None  # type: ignore[index]

    def test_the_first_of_two_nodes_keeps_a_cpu(self) -> None:
        claimed = {
            number: parse_cpu_list(cpus) for number, cpus in {0: "0-3", 1: "4-7", 2: "2-4", 3: ""}.items()
        }
        kept, warnings = settle_claims(claimed, online=frozenset({0, 1, 4, 5}))
        assert kept == {0: {0, 1}, 1: {4, 5}, 3: set()}
        assert warnings == ["NUMA node 2 is left out: it claims CPUs 2-4 of node 0-1"]

    def test_nearest_nodes(self) -> None:
        kept = {0: frozenset({0}), 1: frozenset({1}), 2: frozenset({2}), 3: frozenset[int]()}
        assert nearest_cpus({0: 20, 1: 20, 2: 30, 3: 10}, kept) == {0, 1}
        assert nearest_cpus({}, kept) == frozenset()
        assert nearest_cpus({9: 10}, kept) == frozenset()

    def test_a_node_that_does_not_tell_its_cpus_is_no_node_without_cpus(self, tmp_path: Path) -> None:
        x86(tmp_path)
        (tmp_path / "sys/devices/system/node/node0/cpumap").unlink()
        with pytest.raises(Absent, match="NUMA node 0 does not tell its CPUs"):
            read_facts(HostRoot(tmp_path))


class TestPci:
    def test_the_configuration_space_serves_where_attributes_are_missing(self, tmp_path: Path) -> None:
        space = (
            bytes.fromhex("8680") + bytes.fromhex("3315") + bytes(4) + bytes.fromhex("01000002") + bytes(52)
        )
        write(tmp_path, {"sys/bus/pci/devices/0000:01:00.0/config": space})
        assert detect(tmp_path)["pci_devices"] == {
            "0000:01:00.0": {"class": "0200", "vendor_id": "8086", "product_id": "1533", "numa_node": None}
        }

    def test_a_device_that_tells_nothing_is_there_all_the_same(self, tmp_path: Path) -> None:
        (tmp_path / "sys/bus/pci/devices/0000:01:00.0").mkdir(parents=True)
        nothing = {"class": None, "vendor_id": None, "product_id": None, "numa_node": None}
        assert detect(tmp_path)["pci_devices"] == {"0000:01:00.0": nothing}

    def test_no_device_is_not_the_same_as_no_bus(self, tmp_path: Path) -> None:
        assert detect(tmp_path)["pci_devices"] is None
        (tmp_path / "sys/bus/pci/devices").mkdir(parents=True)
        assert detect(tmp_path)["pci_devices"] == {}

    @pytest.mark.parametrize("space", [b"", b"\x86\x80\x33", b"\xff" * 64])
    def test_a_space_that_is_short_or_does_not_answer_tells_nothing(self, space: bytes) -> None:
        assert parse_config_space(space) == {}
