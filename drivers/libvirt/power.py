"""Power management of dedicated CPUs, which Nova does and we only check: ``[libvirt] cpu_power_management``.

/sys/devices/system/cpu/cpuN/online, cpufreq/scaling_governor; Documentation/admin-guide/pm/cpufreq.rst of
the kernel.
"""

from __future__ import annotations

from drivers.errors import Absent, DriverOptionError, HostReadError
from drivers.libvirt.cpu_sets import DEDICATED_SET, CpuSettings, format_cpus
from drivers.root import HostRoot


def check_power_management(settings: CpuSettings, strategy: str | None, root: HostRoot) -> None:
    """Refuse dedicated CPUs that Nova could not switch as configured.

    :param strategy: ``cpu_power_management_strategy``, None where power management is off
    :raises DriverOptionError: their governors differ, or one of them cannot be switched
    """
    if strategy is None:
        return
    if strategy not in {"cpu_state", "governor"}:
        raise DriverOptionError(
            f"[libvirt] cpu_power_management_strategy = {strategy} is not valid", "use cpu_state or governor"
        )
    if not settings.dedicated_set:
        return
    if strategy == "cpu_state":
        _check_same_governor(settings.dedicated_set - {0}, root)
    else:
        _check_governors(settings.dedicated_set, root)


def _check_same_governor(cpus: frozenset[int], root: HostRoot) -> None:
    governors = {_governor(cpu, root) for cpu in cpus if _is_online(cpu, root)}
    if len(governors) > 1:
        raise DriverOptionError(
            f"[libvirt] cpu_power_management: the CPUs of {DEDICATED_SET} have different governors: "
            f"{', '.join(sorted(map(str, governors)))}",
            "give them the same governor",
        )


def _check_governors(cpus: frozenset[int], root: HostRoot) -> None:
    name = "[libvirt] cpu_power_management_strategy = governor"
    if offline := [cpu for cpu in cpus if not _is_online(cpu, root)]:
        raise DriverOptionError(
            f"{name}: CPU {format_cpus(offline)} of {DEDICATED_SET} is offline",
            "bring it online, or use cpu_state",
        )
    if without := [cpu for cpu in cpus - {0} if _governor(cpu, root) is None]:
        raise DriverOptionError(
            f"{name}: CPU {format_cpus(without)} of {DEDICATED_SET} has no governor",
            "use cpu_state on this host",
        )


def _is_online(cpu: int, root: HostRoot) -> bool:
    # CPUs that cannot be switched have no such file and are online.
    return root.find_int(f"sys/devices/system/cpu/cpu{cpu}/online") != 0


def _governor(cpu: int, root: HostRoot) -> str | None:
    try:
        return root.read_text(f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor").strip()
    except (Absent, HostReadError):  # an offline CPU's cannot be read
        return None
