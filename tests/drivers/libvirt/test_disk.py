"""DISK_GB: the file system, LVM, Ceph, and the image cache."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.errors import DriverOptionError, HostReadError
from drivers.libvirt.disk import (
    GIB,
    DiskSettings,
    disk_total,
    parse_ceph_df,
    parse_vgs,
    read_image_cache,
    read_pool,
    read_space,
    read_volume_group,
    with_image_cache,
)
from drivers.root import HostRoot
from provider_tree.source import Source

DF = {
    "stats": {"total_bytes": 100 * GIB + 5},
    "pools": [
        {"name": "vms", "stats": {"max_avail": 30 * GIB, "bytes_used": 7 * GIB}},
        {"name": "rbd", "stats": {"max_avail": 1, "bytes_used": 2}},
    ],
}
ANSWER = (0, json.dumps(DF).encode(), "")


def settings(images_type="default", path="/instances", cache=False, group=None, pool="vms"):
    return DiskSettings(images_type, path, "_base", cache, group, pool, "nova", "/etc/ceph/ceph.conf", 5)


def test_the_file_system_of_instances_path_in_whole_gigabytes(tmp_path):
    (tmp_path / "instances").mkdir()
    space = read_space(settings(), HostRoot(tmp_path))
    real = os.statvfs(tmp_path)
    assert space.total == real.f_frsize * real.f_blocks
    total = disk_total(space)
    assert total.value == space.total // GIB
    assert total.detail == "size of the file system of /instances ([DEFAULT] instances_path)"


def test_an_empty_instances_path_is_not_the_root_directory(tmp_path):
    with pytest.raises(DriverOptionError, match="instances_path is empty"):
        read_space(settings(path=""), HostRoot(tmp_path))


def test_an_instances_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DriverOptionError, match=r"instances_path = /instances does not exist"):
        read_space(settings(), HostRoot(tmp_path))


def test_a_volume_group():
    space = read_volume_group("vms", lambda name: f"  {10 * GIB}|{4 * GIB}\n" if name == "vms" else "")
    assert (space.total, space.free, space.used) == (10 * GIB, 4 * GIB, 6 * GIB)


@pytest.mark.parametrize("name", [None, ""])
def test_lvm_needs_the_name_of_a_group(name):
    with pytest.raises(DriverOptionError, match=r"needs \[libvirt\] images_volume_group"):
        read_volume_group(name)


@pytest.mark.parametrize("text", ["", "10", "10|x", "1|2|3", "10.5g|2"])
def test_what_vgs_does_not_say(text):
    with pytest.raises(HostReadError, match=r"not SIZE\|FREE"):
        parse_vgs(text, "vms")


def fake_vgs(directory, monkeypatch, script):
    program = directory / "vgs"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


def test_vgs_is_asked_in_bytes(tmp_path, monkeypatch):
    fake_vgs(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/asked; echo " 2147483648|1"')
    assert disk_total(read_space(settings("lvm", group="vms"), HostRoot())).value == 2
    assert "--units b -o vg_size,vg_free vms" in (tmp_path / "asked").read_text()


def test_a_group_that_vgs_does_not_know_is_refused_with_its_words(tmp_path, monkeypatch):
    fake_vgs(tmp_path, monkeypatch, 'echo "  Volume group \\"vms\\" not found" >&2; exit 5')
    with pytest.raises(DriverOptionError, match='images_volume_group = vms: Volume group "vms" not found'):
        read_space(settings("lvm", group="vms"), HostRoot())


def test_a_host_without_lvm_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostReadError) as error:
        read_space(settings("lvm", group="vms"), HostRoot())
    assert error.value.advice == "install lvm2"


def test_a_disk_that_hangs_does_not_hang_us(monkeypatch):
    def hang(command, **_):
        raise subprocess.TimeoutExpired(command, 30)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(HostReadError, match="did not answer in 30 s"):
        read_volume_group("vms")


# -- Ceph


class Rados:
    """Ceph's bindings, as far as they are asked."""

    class Error(Exception):
        pass

    def __init__(self, answer=ANSWER, down=False):
        self.asked = []
        rados = self

        class Cluster:
            def __init__(self, rados_id, conffile):
                rados.asked.append((rados_id, conffile))

            def connect(self, timeout):
                rados.asked.append(timeout)
                if down:
                    raise Rados.Error("no monitors")

            def mon_command(self, command, data):
                rados.asked.append(json.loads(command))
                return answer

            def shutdown(self):
                rados.asked.append("shutdown")

        self.Rados = Cluster


def test_a_ceph_pool():
    rados = Rados()
    space = read_pool(settings("rbd"), rados)
    assert (space.total // GIB, space.free, space.used) == (100, 30 * GIB, 7 * GIB)
    assert rados.asked == [("nova", "/etc/ceph/ceph.conf"), 5, {"prefix": "df", "format": "json"}, "shutdown"]


@pytest.mark.parametrize(
    ("rados", "said"),
    [
        (Rados(down=True), "no monitors"),
        (Rados((-13, b"", "access denied")), "access denied"),
        (Rados((0, b"<html>", "")), "cannot be understood"),
        (Rados((0, b'{"stats": {}}', "")), "cannot be understood"),
    ],
)
def test_a_ceph_that_does_not_answer(rados, said):
    with pytest.raises(HostReadError, match=said):
        read_pool(settings("rbd"), rados)


def test_a_pool_that_ceph_does_not_have_is_named_with_those_it_has():
    with pytest.raises(DriverOptionError, match="images_rbd_pool = images") as error:
        parse_ceph_df(json.dumps(DF), "images")
    assert error.value.advice == "name one of its pools: rbd, vms"


def test_without_the_bindings_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rbd", None)
    with pytest.raises(HostReadError, match="needs Ceph's python bindings") as error:
        read_space(settings("rbd"), HostRoot())
    assert "python3-rados" in error.value.advice


# -- the image cache


def test_the_image_cache_counts_what_its_files_take_on_the_disk(tmp_path):
    cache = tmp_path / "instances" / "_base"
    cache.mkdir(parents=True)
    (cache / "image").write_bytes(b"x" * 100_000)
    with (cache / "sparse").open("wb") as file:
        file.truncate(10 * GIB)
    (cache / "locks").mkdir()
    taken = read_image_cache(settings(cache=True), HostRoot(tmp_path))
    assert 100_000 <= taken < 1_000_000


def test_what_the_image_cache_takes_is_reserved_beside_what_the_option_says(tmp_path):
    cache = tmp_path / "instances" / "_base"
    cache.mkdir(parents=True)
    (cache / "image").write_bytes(b"x")
    option = Source("configuration", "[DEFAULT] reserved_host_disk_mb", 3)
    assert with_image_cache(option, settings(cache=True), HostRoot(tmp_path)).value == 4
    assert with_image_cache(option, settings(), HostRoot(tmp_path)) is option


def test_the_image_cache_may_lie_elsewhere(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "image").write_bytes(b"x")
    (tmp_path / "instances").mkdir()
    found = replace(settings(cache=True), cache_subdirectory="/cache")
    assert read_image_cache(found, HostRoot(tmp_path)) > 0


def test_without_a_cache_nothing_of_it_is_reserved(tmp_path):
    assert read_image_cache(settings(cache=True), HostRoot(tmp_path)) == 0


def test_a_link_in_the_image_cache_that_leads_nowhere_costs_only_itself(tmp_path):
    cache = tmp_path / "instances" / "_base"
    cache.mkdir(parents=True)
    (cache / "image").write_bytes(b"x" * 100_000)
    (cache / "gone").symlink_to("nowhere")
    assert read_image_cache(settings(cache=True), HostRoot(tmp_path)) >= 100_000


def test_an_image_cache_that_cannot_be_read_is_not_an_empty_one(public_dir, unprivileged):
    cache = public_dir / "instances" / "_base"
    cache.mkdir(parents=True)
    (cache / "image").write_bytes(b"x")
    for mode in (0, 0o444):
        cache.chmod(mode)
        with unprivileged(), pytest.raises(HostReadError, match=r"_base.*Permission denied"):
            read_image_cache(settings(cache=True), HostRoot(public_dir))


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system at /dev/shm")
def test_a_cache_on_another_file_system_takes_nothing(tmp_path):
    subdirectory = os.path.relpath("/dev/shm", tmp_path)
    found = DiskSettings("raw", str(tmp_path), subdirectory, True, None, "", None, "", 0)
    assert read_image_cache(found, HostRoot()) == 0
