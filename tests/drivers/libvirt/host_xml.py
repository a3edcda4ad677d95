"""Makes capabilities and domain capabilities of made-up hosts, in the shapes that libvirt documents.

https://libvirt.org/formatcaps.html, https://libvirt.org/formatdomaincaps.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Cell:
    """A NUMA cell: which CPUs on which sockets, how many threads a core, how many pages of which size."""

    cpus: Sequence[int]
    socket: int = 0
    threads: int = 1
    memory_kib: int = 8 << 20
    pages: Mapping[int, int] = field(default_factory=lambda: {4: 2 << 20, 2048: 0})
    offline: Sequence[int] = ()


def cell_xml(number: int, cell: Cell) -> str:
    pages = "".join(f"<pages unit='KiB' size='{size}'>{count}</pages>" for size, count in cell.pages.items())
    cpus = []
    for index, cpu in enumerate(cell.cpus):
        first = index - index % cell.threads
        siblings = ",".join(str(each) for each in cell.cpus[first : first + cell.threads])
        cpus.append(
            f"<cpu id='{cpu}' socket_id='{cell.socket}' die_id='0' core_id='{first // cell.threads}' "
            f"siblings='{siblings}'/>"
        )
    cpus += [f"<cpu id='{cpu}'/>" for cpu in cell.offline]
    return (
        f"<cell id='{number}'><memory unit='KiB'>{cell.memory_kib}</memory>{pages}"
        "<distances><sibling id='0' value='10'/></distances>"
        f"<cpus num='{len(cpus)}'>{''.join(cpus)}</cpus></cell>"
    )


def guest_xml(arch: str, aliases: Mapping[str, str], *, kvm_machines: Mapping[str, str] | None = None) -> str:
    """The guests of an architecture, run by QEMU. ``kvm_machines``: KVM has machines of its own."""
    machines = "".join(
        f"<machine maxCpus='255'>{canonical}</machine>"
        f"<machine canonical='{canonical}' maxCpus='255'>{alias}</machine>"
        for alias, canonical in aliases.items()
    )
    kvm = "<domain type='kvm'/>"
    if kvm_machines is not None:
        own = "".join(
            f"<machine canonical='{full}'>{alias}</machine>" for alias, full in kvm_machines.items()
        )
        kvm = f"<domain type='kvm'><emulator>/usr/bin/kvm-{arch}</emulator>{own}</domain>"
    return (
        f"<guest><os_type>hvm</os_type><arch name='{arch}'><wordsize>64</wordsize>"
        f"<emulator>/usr/bin/qemu-system-{arch}</emulator>{machines}<domain type='qemu'/>{kvm}</arch>"
        "<features><acpi default='on' toggle='yes'/></features></guest>"
    )


def capabilities_xml(
    arch: str = "x86_64",
    *,
    model: str | None = "Nehalem",
    features: Sequence[str] = (),
    cells: Sequence[Cell] = (Cell(range(4)),),
    guests: Sequence[str] = (),
) -> str:
    cpu = f"<arch>{arch}</arch>"
    if model:
        cpu += f"<model>{model}</model><vendor>Intel</vendor>"
    cpu += "<topology sockets='1' dies='1' cores='4' threads='1'/><maxphysaddr mode='emulate' bits='46'/>"
    cpu += "".join(f"<feature name='{name}'/>" for name in features)
    cpu += "<pages unit='KiB' size='4'/>"
    topology = "".join(cell_xml(number, cell) for number, cell in enumerate(cells))
    return (
        "<capabilities><host><uuid>11111111-2222-3333-4444-555555555555</uuid>"
        f"<cpu>{cpu}</cpu><power_management/><iommu support='no'/>"
        f"<topology><cells num='{len(cells)}'>{topology}</cells></topology></host>"
        f"{''.join(guests)}</capabilities>"
    )


def enum(name: str, values: Sequence[str]) -> str:
    return f"<enum name='{name}'>{''.join(f'<value>{value}</value>' for value in values)}</enum>"


def domain_capabilities_xml(
    arch: str = "x86_64",
    machine: str = "pc-q35-7.2",
    *,
    buses: Sequence[str] = ("virtio", "scsi"),
    video: Sequence[str] = ("vga", "none"),
    tpm: str = "",
    loader: str = "",
    redirected: Sequence[str] = (),
    features: str = "",
) -> str:
    machine_element = f"<machine>{machine}</machine>" if machine else ""
    redirdev = f"<redirdev supported='yes'>{enum('bus', redirected)}</redirdev>" if redirected else ""
    return (
        f"<domainCapabilities><path>/usr/bin/qemu-system-{arch}</path><domain>qemu</domain>{machine_element}"
        f"<arch>{arch}</arch><vcpu max='255'/><os supported='yes'>"
        f"<loader supported='yes'>{loader}</loader></os><cpu><mode name='host-model' supported='yes'/></cpu>"
        f"<devices><disk supported='yes'>{enum('diskDevice', ['disk'])}{enum('bus', buses)}</disk>"
        f"<video supported='yes'>{enum('modelType', video)}</video>{redirdev}{tpm}</devices>"
        f"<features><gic supported='no'/>{features}</features></domainCapabilities>"
    )


def tpm_xml(
    models: Sequence[str] = ("tpm-tis", "tpm-crb"),
    backends: Sequence[str] = ("passthrough", "emulator"),
    versions: Sequence[str] | None = ("1.2", "2.0"),
    supported: str = "yes",
) -> str:
    told = "" if versions is None else enum("backendVersion", versions)
    return f"<tpm supported='{supported}'>{enum('model', models)}{enum('backendModel', backends)}{told}</tpm>"


def loader_xml(secure: Sequence[str] = ("yes", "no")) -> str:
    return (
        "<value>/usr/share/OVMF/OVMF_CODE.fd</value>"
        f"{enum('type', ['rom', 'pflash'])}{enum('readonly', ['yes', 'no'])}{enum('secure', secure)}"
    )
