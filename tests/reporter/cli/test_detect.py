from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.machines.builders import numa_node, pci_device, write, x86
from tests.reporter.cli.commands import Cli


def test_json_has_what_scripts_rely_on(cli: Cli, tmp_path: Path) -> None:
    machine = x86(tmp_path / "machine", sockets=2, cores=2, threads=2, memory_kib=16_000_000)
    write(machine, numa_node(0, range(4), 8_000_000, {2048: 512, 1048576: 4}))
    write(machine, pci_device("0000:00:05.0", vendor="0x1af4", device="0x1044", pci_class="0x078000"))
    found = cli("detect", "--sysroot", str(machine), "--format", "json").json
    assert found["format_version"] == 1
    assert found["online_cpus"] == list(range(8))
    assert (found["cores"], found["sockets"], found["smt"]) == (4, 2, True)
    assert found["mem_total_kib"] == 16_000_000
    node = found["numa_nodes"]["0"]
    assert (node["cpus"], node["memory_kib"]) == ([0, 1, 2, 3], 8_000_000)
    assert node["hugepages"] == {"2048": 512, "1048576": 4}
    device = found["pci_devices"]["0000:00:05.0"]
    assert (device["class"], device["vendor_id"], device["product_id"]) == ("0780", "1af4", "1044")
    assert device["numa_node"] is None
    assert "avx2" in found["cpu_flags"]


def test_what_a_machine_does_not_tell_is_null_and_not_zero(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "machine" / "proc").mkdir(parents=True)
    result = cli("detect", "--sysroot", str(tmp_path / "machine"), "--format", "json")
    assert result.json["mem_total_kib"] is None
    assert result.json["cores"] is None
    text = cli("detect", "--sysroot", str(tmp_path / "machine"))
    assert "total: unknown" in text.out


def test_text_is_for_people(cli: Cli, tmp_path: Path) -> None:
    machine = x86(tmp_path / "machine", sockets=2, cores=2, threads=2, memory_kib=16_777_216)
    out = cli("detect", "--sysroot", str(machine)).out
    assert "  online CPUs: 8 (0-7)\n" in out
    assert "  total: 16777216 KiB (16.0 GiB)\n" in out
    assert "  hyperthreading: on\n" in out
    assert "    CPUs: 4-7\n" in out


def test_this_machine_needs_no_configuration(cli: Cli) -> None:
    assert cli("detect", "--format", "json").json["mem_total_kib"] > 0


def test_a_directory_that_is_no_machine(cli: Cli, tmp_path: Path) -> None:
    cli("detect", "--sysroot", str(tmp_path)).assert_explained(str(tmp_path))
    cli("detect", "--sysroot", str(tmp_path / "absent")).assert_explained("absent")


def test_a_machine_that_may_not_be_looked_at(
    cli: Cli, public_dir: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    x86(public_dir / "machine")
    (public_dir / "machine").chmod(0)
    with unprivileged():
        found = cli("detect", "--sysroot", str(public_dir / "machine"))
    found.assert_explained("machine/proc: Permission denied")
