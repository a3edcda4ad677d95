"""DISK_GB: how large the place is where guests have their disks, and what the image cache takes of it.

``[libvirt] images_type`` says which place: the file system of ``instances_path``, an LVM volume group
(vgs(8)), or a Ceph pool (``ceph df``, asked through the python bindings).
"""

from __future__ import annotations

import importlib
import json
import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from drivers.errors import Absent, DriverOptionError, HostReadError
from drivers.root import HostRoot, unreadable
from provider_tree.source import Source

GIB = 1 << 30
_VGS_SECONDS = 30


@dataclass(frozen=True, slots=True)
class DiskSettings:
    """Where guests have their disks, as configured."""

    images_type: str
    instances_path: str
    cache_subdirectory: str
    reserve_image_cache: bool
    volume_group: str | None
    rbd_pool: str
    rbd_user: str | None
    ceph_conf: str
    rbd_timeout: int


@dataclass(frozen=True, slots=True)
class Space:
    """The size of a storage in bytes, and where it was read."""

    total: int
    free: int
    used: int
    where: str


def read_space(settings: DiskSettings, root: HostRoot) -> Space:
    """Return how large the guests' storage is.

    :raises DriverOptionError: an option names what is not there
    :raises HostReadError: the storage does not answer
    """
    if settings.images_type == "lvm":
        return read_volume_group(settings.volume_group)
    if settings.images_type == "rbd":
        return read_pool(settings)
    return read_file_system(settings.instances_path, root)


def disk_total(space: Space) -> Source:
    """Return the total of DISK_GB in whole GiB, rounded down (``value``), and where it was read."""
    return Source("driver", f"size of {space.where}", space.total // GIB)


# -- instances_path


def read_file_system(path: str, root: HostRoot) -> Space:
    """Return the space of the file system that holds a directory.

    :raises DriverOptionError: there is no such directory
    """
    if not path:
        raise DriverOptionError(
            "[DEFAULT] instances_path is empty",
            "name the directory where guests have their disks, or unset it",
        )
    try:
        info = root.disk_usage(path)
    except Absent as error:
        raise DriverOptionError(
            f"[DEFAULT] instances_path = {path} does not exist",
            "create it, or set where guests have their disks",
        ) from error
    size = info.f_frsize
    return Space(
        total=size * info.f_blocks,
        free=size * info.f_bavail,
        used=size * (info.f_blocks - info.f_bfree),
        where=f"the file system of {path} ([DEFAULT] instances_path)",
    )


# -- LVM


def read_volume_group(name: str | None, run: Callable[[str], str] | None = None) -> Space:
    """Return the space of an LVM volume group.

    :param run: what to ask instead of vgs(8): takes the name, returns its output
    :raises DriverOptionError: the option is unset, or vgs does not know the group
    """
    if not name:
        raise DriverOptionError(
            "[libvirt] images_type = lvm needs [libvirt] images_volume_group",
            "name the volume group of the guests' disks",
        )
    return parse_vgs((run or _run_vgs)(name), name)


def _run_vgs(name: str) -> str:
    command = [
        "vgs",
        "--noheadings",
        "--nosuffix",
        "--separator",
        "|",
        "--units",
        "b",
        "-o",
        "vg_size,vg_free",
        name,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_VGS_SECONDS, check=False)
    except FileNotFoundError as error:
        raise HostReadError("[libvirt] images_type = lvm: there is no vgs command", "install lvm2") from error
    except subprocess.TimeoutExpired as error:
        raise HostReadError(
            f"vgs {name} did not answer in {_VGS_SECONDS} s", "see whether a disk of the volume group hangs"
        ) from error
    if done.returncode:
        raise DriverOptionError(
            f"[libvirt] images_volume_group = {name}: {done.stderr.strip() or 'vgs failed'}",
            "name an LVM volume group of this host, and run as a user who may read it",
        )
    return done.stdout


def parse_vgs(text: str, name: str) -> Space:
    """Return the space that ``vgs -o vg_size,vg_free`` tells: two numbers of bytes with a bar between.

    :raises HostReadError: it says something else
    """
    try:
        total, free = (int(part) for part in text.strip().split("|"))
    except ValueError as error:
        raise HostReadError(
            f"vgs {name} says {text.strip()[:60]!r}, not SIZE|FREE in bytes",
            "see what vgs prints for the volume group",
        ) from error
    return Space(total, free, total - free, f"LVM volume group {name} ([libvirt] images_volume_group)")


# -- Ceph


def read_pool(settings: DiskSettings, rados: ModuleType | None = None) -> Space:
    """Return the space of a Ceph pool.

    :param rados: the python bindings; imported when left out
    :raises HostReadError: the bindings are not installed, or Ceph does not answer
    :raises DriverOptionError: there is no such pool
    """
    rados = rados or _import_rados()
    try:
        cluster = rados.Rados(rados_id=settings.rbd_user, conffile=settings.ceph_conf)
        cluster.connect(timeout=settings.rbd_timeout)
        try:
            code, answer, complaint = cluster.mon_command(json.dumps({"prefix": "df", "format": "json"}), b"")
        finally:
            cluster.shutdown()
    except rados.Error as error:
        raise _ceph_silent(str(error)) from error
    if code:
        raise _ceph_silent(complaint or f"error {code}")
    return parse_ceph_df(answer, settings.rbd_pool)


def _import_rados() -> ModuleType:
    """Return Ceph's python bindings; they come with Ceph's packages, not from PyPI."""
    try:
        importlib.import_module("rbd")  # Nova asks for both
        return importlib.import_module("rados")
    except ImportError as error:
        raise HostReadError(
            f"[libvirt] images_type = rbd needs Ceph's python bindings: {error}",
            "install python3-rados and python3-rbd for this Python",
        ) from error


def _ceph_silent(reason: str) -> HostReadError:
    return HostReadError(
        f"Ceph does not answer ([libvirt] images_type = rbd): {reason}",
        "see whether ceph df works with [libvirt] rbd_user and images_rbd_ceph_conf",
    )


def parse_ceph_df(text: str | bytes, pool: str) -> Space:
    """Return the space that ``ceph df --format=json`` tells: total of the cluster, the rest of the pool.

    :raises DriverOptionError: it does not know the pool
    :raises HostReadError: it is no such document
    """
    try:
        answer: Mapping[str, Any] = json.loads(text)
        total = int(answer["stats"]["total_bytes"])
        pools: dict[str, Mapping[str, Any]] = {entry["name"]: entry["stats"] for entry in answer["pools"]}
        if pool in pools:
            stats = pools[pool]
            where = f"the Ceph cluster of pool {pool} ([libvirt] images_rbd_pool)"
            return Space(total, int(stats["max_avail"]), int(stats["bytes_used"]), where)
    except (ValueError, KeyError, TypeError) as error:
        raise _ceph_silent(f"its answer to df cannot be understood ({error!r})") from error
    raise DriverOptionError(
        f"[libvirt] images_rbd_pool = {pool}: Ceph has no such pool",
        f"name one of its pools: {', '.join(sorted(pools))}",
    )


# -- what the image cache takes


def with_image_cache(reserved: Source, settings: DiskSettings, root: HostRoot) -> Source:
    """Return what is reserved of DISK_GB in GiB: what the option says and, if asked for, the image cache."""
    if not settings.reserve_image_cache:
        return reserved
    cached = -(-read_image_cache(settings, root) // GIB)
    return replace(
        reserved, value=reserved.value + cached, detail=f"{reserved.detail}, and {cached} GB of image cache"
    )


def read_image_cache(settings: DiskSettings, root: HostRoot) -> int:
    """Return how many bytes the files of the image cache take on the disk.

    0 where the cache lies on another file system than the guests' disks, or does not exist. Files that go
    while they are counted take nothing.

    :raises HostReadError: it is there but cannot be read
    """
    directory = root.locate(str(Path(settings.instances_path, settings.cache_subdirectory)))
    try:
        if root.locate(settings.instances_path).stat().st_dev != directory.stat().st_dev:
            return 0
        return sum(map(_taken, directory.iterdir()))
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise unreadable(directory, error) from error


def _taken(path: Path) -> int:
    try:
        info = path.stat()
    except FileNotFoundError:
        return 0
    return info.st_blocks * 512 if stat.S_ISREG(info.st_mode) else 0
