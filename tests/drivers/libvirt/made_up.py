"""A made-up libvirt: answers what it was made of, counts what it is asked, and may refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from drivers.libvirt.cpu_sets import CpuMap
from drivers.libvirt.cpu_xml import parse_cpu
from drivers.libvirt.errors import LibvirtCallFailed, NotPossible, NotSupported
from drivers.libvirt.hypervisor import Hypervisor
from drivers.libvirt.records import NodeInfo, Versions, version_number
from drivers.root import HostRoot
from tests.drivers.libvirt.host_xml import capabilities_xml, domain_capabilities_xml, guest_xml

FOUR_CPUS = CpuMap(4, frozenset(range(4)))
X86_GUESTS = (guest_xml("x86_64", {"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2"}),)


class MadeUpLibvirt:
    """Stands for a connection.

    :ivar asked: call → how often
    :ivar models: CPU model → its features, which baseline_cpu adds to those of a CPU
    :ivar machines: (arch, machine) → the domain capabilities; others are refused
    """

    uri = "test:///made-up"

    def __init__(
        self,
        capabilities: str | None = None,
        *,
        machines: Mapping[tuple[str, str | None], str] | None = None,
        models: Mapping[str, Sequence[str]] | None = None,
        libvirt: tuple[int, int, int] = (9, 0, 0),
        hypervisor: tuple[int, int, int] = (7, 2, 0),
        kind: str = "QEMU",
        cpus: CpuMap | None = FOUR_CPUS,
    ) -> None:
        self.epoch = 1
        self.asked: Counter[str] = Counter()
        self.capabilities_text = capabilities or capabilities_xml(guests=X86_GUESTS)
        self.machines = machines
        self.models = models
        self.version = Versions(version_number(libvirt), version_number(hypervisor), kind)
        self.cpus = cpus

    def versions(self) -> Versions:
        self.asked["versions"] += 1
        return self.version

    def capabilities(self) -> str:
        self.asked["capabilities"] += 1
        return self.capabilities_text

    def domain_capabilities(self, emulator: str, arch: str, machine: str | None, virt_type: str) -> str:
        self.asked["domain_capabilities"] += 1
        if self.machines is None:
            full = {"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2", None: "the-default"}.get(
                machine, machine or ""
            )
            return domain_capabilities_xml(arch, full)
        if (arch, machine) not in self.machines:
            raise NotPossible(f"invalid argument: no {virt_type} for {arch} {machine}")
        return self.machines[arch, machine]

    def baseline_cpu(self, cpu_xml: str) -> str:
        self.asked["baseline_cpu"] += 1
        if self.models is None:
            raise NotSupported("this function is not supported by the connection driver")
        cpu = parse_cpu(cpu_xml)
        if cpu.model not in self.models:
            raise LibvirtCallFailed(f"internal error: Unknown CPU model {cpu.model}")
        features = cpu.features | set(self.models[cpu.model])
        return f"<cpu>{''.join(f'<feature name={name!r}/>' for name in sorted(features))}</cpu>"

    def cpu_models(self, arch: str) -> list[str]:
        self.asked["cpu_models"] += 1
        return list(self.models or ())

    def compare_hypervisor_cpu(self, cpu_xml: str) -> int:
        cpu = parse_cpu(cpu_xml)
        return 1 if cpu.features <= set((self.models or {}).get(cpu.model or "", ())) else 0

    def cpu_map(self) -> CpuMap:
        if self.cpus is None:
            raise NotSupported("this function is not supported by the connection driver")
        return self.cpus

    def node_info(self) -> NodeInfo:
        return NodeInfo(memory_mib=16384, cpus=4, mhz=2000)

    def hostname(self) -> str:
        return "host1"


def hypervisor_of(
    libvirt: MadeUpLibvirt,
    virt_type: str = "qemu",
    machine_types: Sequence[str] = (),
    root: Path | str = "/nonexistent",
) -> Hypervisor:
    return Hypervisor(libvirt, virt_type, machine_types, HostRoot(root))  # type: ignore[arg-type]
