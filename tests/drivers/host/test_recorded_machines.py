"""Real machines, recorded by hwloc and util-linux, and what hwloc and lscpu say of each."""

from __future__ import annotations

import json
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.host.facts import facts_document, read_facts
from drivers.host.traits import HOST_TRAITS, cpu_traits
from drivers.root import HostRoot

MACHINES = Path(
    os.environ.get("PLACEMENT_REPORTER_MACHINES")
    or Path(__file__).resolve().parents[3].parent / "shared" / "machines"
)
ARCHIVES = {
    path.name.removesuffix(".expected.json"): next(MACHINES.glob(f"{glob_safe}.tar.*"))
    for path in sorted(MACHINES.glob("*.expected.json"))
    for glob_safe in [path.name.removesuffix(".expected.json").replace("[", "[[]")]
}

pytestmark = [
    pytest.mark.machines,
    pytest.mark.skipif(not ARCHIVES, reason=f"no recorded machines in {MACHINES}"),
]


# Most of a recording is of no concern here, and unpacking it takes longer than reading the machine.
_UNUSED = re.compile(r"/(cache|power|cpufreq|cpuidle|crash_notes|memory\d+|sys/(block|class|fs))(/|$)")


@pytest.fixture(scope="module", params=ARCHIVES)
def machine(request: pytest.FixtureRequest) -> Iterator[tuple[str, HostRoot]]:
    name: str = request.param
    with tempfile.TemporaryDirectory() as directory:
        with tarfile.open(ARCHIVES[name]) as archive:
            # Links stay as they were recorded: HostRoot does not follow those that lead out.
            wanted = [member for member in archive if not _UNUSED.search(member.name)]
            archive.extractall(directory, wanted, filter="tar")
        (root,) = Path(directory).iterdir()
        yield name, HostRoot(root)


def told(expected: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path → value of all that the tools tell; null is what they do not."""
    if isinstance(expected, dict) and expected:
        for key, value in expected.items():
            yield from told(value, f"{path}/{key}")
    elif expected is not None:
        yield path, expected


def at(document: Any, path: str) -> Any:
    for key in path.strip("/").split("/"):
        if key not in document:
            return "missing"
        document = document[key]
    return document


def recorded(root: HostRoot, path: str) -> bool:
    """Whether the recording has the file that a value would be read from."""
    parts = path.strip("/").split("/")
    if parts[0] == "numa_nodes" and parts[-1] == "memory_kib":
        node = f"sys/devices/system/node/node{parts[1]}"
        return root.exists(f"{node}/meminfo") if root.exists(node) else root.exists("proc/meminfo")
    if parts[0] == "pci_devices" and parts[-1] in {"vendor_id", "product_id"}:
        device = f"sys/bus/pci/devices/{parts[1]}"
        return root.exists(f"{device}/config") or root.exists(f"{device}/vendor")
    return True


def test_everything_the_tools_tell_is_told(machine: tuple[str, HostRoot]) -> None:
    name, root = machine
    expected = json.loads((MACHINES / f"{name}.expected.json").read_text())
    document = facts_document(read_facts(root))
    for path, value in told(expected):
        if recorded(root, path):
            assert at(document, path) == value, path
        else:
            assert value in {0, "0000"}
            assert at(document, path) is None, f"{path} is not recorded, so it is not known"


def test_no_numa_node_is_made_up(machine: tuple[str, HostRoot]) -> None:
    name, root = machine
    expected = json.loads((MACHINES / f"{name}.expected.json").read_text())
    numa = read_facts(root).numa
    assert numa is not None
    assert {str(number) for number in numa.nodes} == set(expected["numa_nodes"])


def test_the_document_is_json_with_a_version(machine: tuple[str, HostRoot]) -> None:
    document = facts_document(read_facts(machine[1]))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["format_version"] == 1


ARCHITECTURES = {
    "128arm-2pa2n8cluster4co": ("aarch64", {"HW_ARCH_AARCH64", "HW_CPU_AARCH64_ATOMICS"}),
    "16amd64-4n4c-cgroup-distance-merge": (
        "x86_64",
        {"HW_ARCH_X86_64", "HW_CPU_X86_SVM", "HW_CPU_X86_AMD_SVM"},
    ),
    "16ia64-8n2s": ("ia64", {"HW_ARCH_IA64"}),
    "20s390-2g6s4c": ("s390x", {"HW_ARCH_S390X"}),
    "2i386-2c-nohugepage": ("i686", {"HW_ARCH_I686", "HW_CPU_X86_VMX", "HW_CPU_X86_SSSE3"}),
    "32intel64-2p8co2t+8ve": (
        "x86_64",
        {"HW_CPU_HYPERTHREADING", "HW_CPU_X86_AVX512F", "HW_CPU_X86_INTEL_VMX"},
    ),
    "armv7": ("armv7l", {"HW_ARCH_ARMV7"}),
    "loongarch-kvm_on_loongson_3c6000": ("loongarch64", set()),
    "nvidiagpunumanodes": (None, {"HW_CPU_HYPERTHREADING"}),
    "rv64-milkvpioneer": ("riscv64", set()),
    "s390-lpar-drawer": ("s390x", {"HW_ARCH_S390X"}),
}


def test_architecture_and_traits(machine: tuple[str, HostRoot]) -> None:
    name, root = machine
    facts = read_facts(root)
    arch, traits = ARCHITECTURES.get(name, (facts.cpu.arch, set()))
    assert facts.cpu.arch == arch
    assert traits <= cpu_traits(facts.cpu) <= HOST_TRAITS
