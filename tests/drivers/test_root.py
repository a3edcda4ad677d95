from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from drivers.errors import Absent, HostReadError
from drivers.root import HostRoot
from tests.machines.builders import write


def test_files_are_named_as_on_the_host(tmp_path: Path) -> None:
    root = HostRoot(write(tmp_path, {"proc/meminfo": "MemTotal: 1 kB\n"}))
    assert root.read_text("proc/meminfo") == root.read_text("/proc/meminfo") == "MemTotal: 1 kB\n"
    assert root.exists("proc")
    assert root.list_dir("proc") == ["meminfo"]


def test_what_is_not_there_is_absent(tmp_path: Path) -> None:
    root = HostRoot(write(tmp_path, {"proc/meminfo": ""}))
    for name in ("proc/cpuinfo", "proc/meminfo/below", "nowhere/at/all"):
        with pytest.raises(Absent):
            root.read_text(name)
        assert root.find_text(name) is None
        assert root.find_int(name) is None
        assert root.find_dir(name) == []
        assert not root.exists(name)


def test_absent_is_a_file_not_found_error_that_explains_itself(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="proc/meminfo does not exist") as caught:
        HostRoot(tmp_path).read_text("proc/meminfo")
    assert str(tmp_path) in str(caught.value)


def test_what_cannot_be_read_is_not_absent(
    public_dir: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    write(public_dir, {"proc/secret": "x"})
    (public_dir / "proc/secret").chmod(0)
    with unprivileged(), pytest.raises(HostReadError, match=r"cannot read .*/proc/secret: Permission denied"):
        HostRoot(public_dir).find_text("proc/secret")
    (public_dir / "proc").chmod(0)
    with unprivileged(), pytest.raises(HostReadError, match=r"cannot read .*/proc/secret: Permission denied"):
        HostRoot(public_dir).exists("proc/secret")


def test_a_directory_is_not_read_as_a_file(tmp_path: Path) -> None:
    root = HostRoot(write(tmp_path, {"sys/devices/x": ""}))
    with pytest.raises(HostReadError, match="Is a directory"):
        root.find_text("sys/devices")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "meminfo")
    with pytest.raises(HostReadError, match="meminfo is a pipe"):
        HostRoot(tmp_path).read_text("meminfo")


@pytest.mark.parametrize("text", ["", "many", "1.5", "0x10"])
def test_a_number_that_is_none_names_the_file_and_what_was_expected(tmp_path: Path, text: str) -> None:
    root = HostRoot(write(tmp_path, {"sys/count": text}))
    with pytest.raises(HostReadError, match=r"sys/count is not as expected: wanted a number"):
        root.find_int("sys/count")


def test_numbers_and_odd_bytes(tmp_path: Path) -> None:
    root = HostRoot(write(tmp_path, {"a": " 42\n", "b": "0x1af4\n", "c": b"caf\xe9"}))
    assert root.read_int("a") == 42
    assert root.read_int("b", 16) == 0x1AF4
    assert root.read_text("c") == "caf\ufffd"


def test_a_link_out_of_a_recording_is_absent(tmp_path: Path) -> None:
    """The file of that name on this machine is another machine's."""
    recording = write(tmp_path / "recording", {"sys/inside": "1"})
    write(tmp_path, {"outside": "2"})
    (recording / "sys/out").symlink_to(tmp_path / "outside")
    (recording / "sys/up").symlink_to("../../outside")
    (recording / "sys/in").symlink_to("../sys/inside")
    root = HostRoot(recording)
    assert root.read_text("sys/in") == "1"
    for name in ("sys/out", "sys/up"):
        with pytest.raises(Absent, match="leads out of"):
            root.read_text(name)
    assert root.read_link("sys/up") == "../../outside"


def test_this_machine(tmp_path: Path) -> None:
    assert HostRoot().is_this_machine
    assert not HostRoot(tmp_path).is_this_machine
    assert HostRoot("/").read_text("proc/self/comm")
    assert HostRoot().disk_usage(os.fspath(tmp_path)).f_blocks > 0
    with pytest.raises(Absent):
        HostRoot().disk_usage(os.fspath(tmp_path / "nothing"))


@pytest.mark.parametrize("end", ["/", "/."])
def test_a_path_that_ends_like_a_directory_is_one(tmp_path: Path, end: str) -> None:
    (tmp_path / "file").touch()
    assert HostRoot(tmp_path).disk_usage("/file").f_blocks > 0
    assert HostRoot(tmp_path).disk_usage(end).f_blocks > 0
    with pytest.raises(Absent):
        HostRoot(tmp_path).disk_usage(f"/file{end}")


@pytest.mark.parametrize("name", ["sys/a\0b", "sys/\ud800"])
def test_there_is_no_link_whose_name_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(Absent):
        HostRoot(tmp_path).read_link(name)
