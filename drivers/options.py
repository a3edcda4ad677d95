"""The options that all drivers share, with the names, types, defaults and bounds of Nova 34 (nova/conf/*.py).

An existing nova.conf therefore works as it is. One default differs: ``state_path`` is where Nova's packages
put it, since there is no Nova source tree to fall back on.
"""

from __future__ import annotations

import socket
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from oslo_config import cfg

from drivers.errors import DriverOptionError

if TYPE_CHECKING:
    from drivers.base import ComputeDriver

Options = Mapping[str, Sequence[cfg.Opt]]


def my_ipv4() -> str:
    """Return the address from which this host would speak to others; 127.0.0.1 where it could not.

    Connecting a datagram socket chooses the source address and sends nothing. 192.0.2.0 is for documentation
    only (RFC 5737).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.0", 80))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _ratio(kind: str, resource_class: str) -> list[cfg.Opt]:
    """Return the pair of options that set the allocation ratio of one resource class."""
    initial = {"cpu": 4.0, "ram": 1.0, "disk": 1.0}[kind]
    return [
        cfg.FloatOpt(
            f"{kind}_allocation_ratio",
            default=None,
            min=0.0,
            help=f"The allocation ratio of {resource_class}. While it is set it wins over everything, even "
            "a ratio that others wrote to Placement. Unset (or 0.0): a new inventory gets "
            f"initial_{kind}_allocation_ratio, an existing one keeps the ratio that it has in Placement.",
        ),
        cfg.FloatOpt(
            f"initial_{kind}_allocation_ratio",
            default=initial,
            min=0.0,
            help=f"The allocation ratio of {resource_class} where Placement has no such inventory yet and "
            f"{kind}_allocation_ratio is unset.",
        ),
    ]


_DEFAULT: tuple[cfg.Opt, ...] = (
    cfg.HostDomainOpt(
        "host",
        default=socket.gethostname(),
        sample_default="<the host name>",
        help="The name of this host: a host name, a fully qualified one, or an IP address.",
    ),
    cfg.StrOpt(
        "my_ip",
        default=my_ipv4(),
        sample_default="<the IPv4 address of this host>",
        help="The address of this host on the management network.",
    ),
    cfg.StrOpt(
        "pybasedir",
        default=sysconfig.get_path("purelib"),
        sample_default="<the directory of Python's packages>",
        help="Where Nova is installed. Other options may name it: $pybasedir.",
    ),
    cfg.StrOpt(
        "state_path",
        default="/var/lib/nova",
        help="Where Nova keeps its state. Only read: Nova's compute_id file there tells the node's uuid.",
    ),
    cfg.StrOpt(
        "instances_path",
        default="$state_path/instances",
        help="The directory that holds the disks of the instances; DISK_GB is the size of its file system.",
    ),
    *_ratio("cpu", "VCPU"),
    *_ratio("ram", "MEMORY_MB"),
    *_ratio("disk", "DISK_GB"),
    cfg.IntOpt(
        "reserved_host_cpus", default=0, min=0, help="How many of the VCPU are kept for the host itself."
    ),
    cfg.IntOpt(
        "reserved_host_memory_mb", default=512, min=0, help="Memory kept for the host itself, in MiB."
    ),
    cfg.IntOpt(
        "reserved_host_disk_mb",
        default=0,
        min=0,
        help="Disk space kept for the host itself, in MiB; DISK_GB reserves it rounded up to whole GiB.",
    ),
)

_COMPUTE: tuple[cfg.Opt, ...] = (
    cfg.ListOpt(
        "image_type_exclude_list",
        default=[],
        help="Image formats (raw, qcow2, …) that are not advertised even though the driver supports them.",
    ),
)

HOST_OPTIONS: Options = {"DEFAULT": _DEFAULT, "compute": _COMPUTE}


def all_options(driver_class: type[ComputeDriver] | None = None) -> Iterator[tuple[str, Sequence[cfg.Opt]]]:
    """Yield (group, options): the shared ones, then those of ``driver_class``."""
    yield from HOST_OPTIONS.items()
    if driver_class is not None:
        yield from driver_class.options.items()


def register(conf: cfg.ConfigOpts, driver_class: type[ComputeDriver] | None = None) -> None:
    """Register the shared options and those of the driver; registering them again changes nothing.

    :raises DriverOptionError: the driver names an option that is there already with another type or default
    """
    for group, options in all_options(driver_class):
        try:
            conf.register_opts(options, group=None if group == "DEFAULT" else group)
        except cfg.DuplicateOptError as error:
            name = driver_class.__name__ if driver_class else "another part of the program"
            raise DriverOptionError(
                f"[{group}] {error.opt_name} is defined twice, differently ({name})",
                "give the driver's option another name or group",
            ) from error
