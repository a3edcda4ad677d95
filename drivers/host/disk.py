"""The disk that holds the instances: statvfs(3) of its file system."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.errors import Absent, DriverOptionError
from drivers.root import HostRoot

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """A file system, in bytes.

    :ivar path: the directory that was asked for
    :ivar free: what an ordinary user may still fill
    :ivar used: what is taken; less than total - free where blocks are kept for root
    """

    path: str
    total: int
    free: int
    used: int

    @property
    def total_gb(self) -> int:
        """The size in whole GiB, rounded down."""
        return self.total // GIB


def choose_path(root: HostRoot, configured: str | None, instances_path: str) -> str:
    """Return the directory whose file system counts: the configured one, else Nova's if it is there, else /.

    :raises DriverOptionError: the configured directory does not exist
    :raises HostReadError: whether it does cannot be told
    """
    if configured is not None:
        if not root.exists(configured):
            raise DriverOptionError(
                f"[host_driver] disk_path: {configured} does not exist",
                "create it, or name the directory that will hold the instances",
            )
        return configured
    return instances_path if root.exists(instances_path) else "/"


def read_disk(root: HostRoot, path: str) -> DiskFacts:
    """Return the file system that holds ``path``.

    :raises Absent: there is no such path
    :raises HostReadError: the file system does not answer
    """
    status = root.disk_usage(path)
    unit = status.f_frsize
    if not status.f_blocks:
        # A pseudo file system such as /proc; as DISK_GB it would mean "no disk".
        raise Absent(f"{path} is on a file system without blocks", "name a directory on a disk")
    return DiskFacts(
        path,
        total=unit * status.f_blocks,
        free=unit * status.f_bavail,
        used=unit * (status.f_blocks - status.f_bfree),
    )
