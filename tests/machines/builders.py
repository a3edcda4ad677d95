"""Small machines of our own: directories with proc/ and sys/ that say what a test needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

X86_FLAGS = "fpu pae lm sse sse2 pni sse4_1 sse4_2 aes avx avx2 vmx pcid"


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files, named as on the host; returns the root."""
    for name, contents in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents.encode() if isinstance(contents, str) else contents)
    return root


def x86(
    root: Path,
    *,
    sockets: int = 1,
    cores: int = 2,
    threads: int = 2,
    memory_kib: int = 16_000_000,
    flags: str = X86_FLAGS,
    vendor: str = "GenuineIntel",
) -> Path:
    """An x86 server, one NUMA node a socket, with 2 MiB pages; the threads of a core are neighbours."""
    per_socket = cores * threads
    count = sockets * per_socket
    files: dict[str, str | bytes] = {
        "proc/meminfo": f"MemTotal:  {memory_kib} kB\nMemAvailable:  {memory_kib // 2} kB\n",
        "proc/uptime": "93784.25 12.00\n",
        "proc/loadavg": "0.10 0.20 0.30 1/234 5678\n",
        "proc/sys/kernel/arch": "x86_64\n",
        "proc/sys/kernel/osrelease": "6.1.0-13-amd64\n",
        "proc/cpuinfo": "\n".join(
            f"processor\t: {cpu}\nvendor_id\t: {vendor}\nmodel name\t: Test CPU\nflags\t\t: {flags}\n"
            for cpu in range(count)
        ),
        "sys/devices/system/cpu/online": f"0-{count - 1}\n",
    }
    for cpu in range(count):
        topology = f"sys/devices/system/cpu/cpu{cpu}/topology"
        first_of_core, first_of_socket = cpu - cpu % threads, cpu - cpu % per_socket
        files[f"{topology}/core_cpus_list"] = f"{first_of_core}-{first_of_core + threads - 1}\n"
        files[f"{topology}/package_cpus_list"] = f"{first_of_socket}-{first_of_socket + per_socket - 1}\n"
    for node in range(sockets):
        files.update(
            numa_node(node, range(node * per_socket, (node + 1) * per_socket), memory_kib // sockets)
        )
    return write(root, files)


def numa_node(
    number: int, cpus: range, memory_kib: int, hugepages: Mapping[int, int] | None = None
) -> dict[str, str | bytes]:
    """The files of one NUMA node; pages of 2 MiB, none set aside, unless told otherwise."""
    node = f"sys/devices/system/node/node{number}"
    pages = {2048: 0} if hugepages is None else hugepages
    mask = sum(1 << cpu for cpu in cpus)
    return {
        f"{node}/cpumap": f"{mask:x}\n",
        f"{node}/meminfo": f"Node {number} MemTotal:  {memory_kib} kB\nNode {number} HugePages_Total:  0\n",
        **{
            f"{node}/hugepages/hugepages-{size}kB/nr_hugepages": f"{count}\n" for size, count in pages.items()
        },
    }


def pci_device(
    address: str,
    *,
    vendor: str = "0x8086",
    device: str = "0x1533",
    pci_class: str = "0x020000",
    node: int = -1,
) -> dict[str, str | bytes]:
    """The files of one PCI device."""
    directory = f"sys/bus/pci/devices/{address}"
    return {
        f"{directory}/vendor": f"{vendor}\n",
        f"{directory}/device": f"{device}\n",
        f"{directory}/class": f"{pci_class}\n",
        f"{directory}/numa_node": f"{node}\n",
    }
