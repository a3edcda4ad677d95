"""VCPU and PCPU: which of the host's CPUs guests share, and which are theirs alone.

``[compute] cpu_shared_set`` makes VCPU, ``[compute] cpu_dedicated_set`` makes PCPU; the old ``vcpu_pin_set``
makes VCPU and excludes the second. Without any of them every online CPU is a VCPU.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from drivers.cpu_list import format_cpu_list
from drivers.errors import DriverOptionError
from provider_tree.source import Source

PIN_SET = "[DEFAULT] vcpu_pin_set"
SHARED_SET = "[compute] cpu_shared_set"
DEDICATED_SET = "[compute] cpu_dedicated_set"
_SYNTAX = "give CPU numbers, ranges and exclusions, e.g. 0-15,^3,20"

# More CPUs than any host has; a range such as 0-99999999999 would otherwise fill the memory.
_HIGHEST_CPU = 1 << 20


@dataclass(frozen=True, slots=True)
class CpuSettings:
    """The CPU sets as configured, each None where its option is unset (or empty), and what goes with them."""

    pin_set: frozenset[int] | None
    shared_set: frozenset[int] | None
    dedicated_set: frozenset[int] | None
    reserved_host_cpus: int
    power_management: bool


@dataclass(frozen=True, slots=True)
class CpuMap:
    """The host's CPUs: how many there are (0 … total-1), and which are online."""

    total: int
    online: frozenset[int]

    @property
    def present(self) -> frozenset[int]:
        """All of them, online or not."""
        return frozenset(range(self.total))


@dataclass(frozen=True, slots=True)
class CpuSets:
    """The CPUs that guests share and those that are dedicated to one guest each, and which option says so."""

    shared: frozenset[int]
    dedicated: frozenset[int]
    shared_by: str
    dedicated_by: str = DEDICATED_SET


def parse_cpu_spec(text: str) -> frozenset[int]:
    """Return the CPUs of a list such as ``0-15,^3,20``; empty entries are skipped.

    :raises ValueError: an entry is no number, range, or exclusion of one
    """
    included: set[int] = set()
    excluded: set[int] = set()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        chosen = excluded if entry.startswith("^") else included
        chosen.update(_cpus_of(entry.removeprefix("^"), entry))
    return frozenset(included - excluded)


def _cpus_of(rule: str, entry: str) -> range:
    first, dash, last = rule.partition("-")
    try:
        start = int(first)
        end = int(last) if dash else start
    except ValueError:
        raise ValueError(f"{entry!r} is neither a CPU number nor a range of them") from None
    if start > end:
        raise ValueError(f"the range {entry!r} ends before it begins")
    if start < 0 or end > _HIGHEST_CPU:
        raise ValueError(f"{entry!r} names CPUs that no host has")
    return range(start, end + 1)


def read_cpu_set(text: str | None, option: str) -> frozenset[int] | None:
    """Return the CPUs that an option names, None where it is unset.

    :raises DriverOptionError: it cannot be parsed, or names no CPU at all
    """
    if not text:
        return None
    try:
        cpus = parse_cpu_spec(text)
    except ValueError as error:
        raise DriverOptionError(f"{option} = {text!r}: {error}", _SYNTAX) from error
    if not cpus:
        raise DriverOptionError(f"{option} = {text!r} leaves no CPU", _SYNTAX)
    return cpus


def check_cpu_settings(settings: CpuSettings) -> None:
    """Refuse combinations of CPU options that contradict one another.

    :raises DriverOptionError: two of the sets overlap, or exclude each other
    """
    shared, dedicated = settings.shared_set or frozenset(), settings.dedicated_set or frozenset()
    if settings.pin_set is not None:
        if dedicated:
            raise DriverOptionError(
                f"{PIN_SET} and {DEDICATED_SET} are both set",
                f"unset vcpu_pin_set and move its CPUs to {SHARED_SET} or {DEDICATED_SET}",
            )
        return
    if not (shared or dedicated):
        return
    if both := shared & dedicated:
        raise DriverOptionError(
            f"{SHARED_SET} and {DEDICATED_SET} both name {_cpus(both)}", "give each CPU to one of the two"
        )
    if settings.reserved_host_cpus:
        raise DriverOptionError(
            f"[DEFAULT] reserved_host_cpus cannot go with {SHARED_SET} or {DEDICATED_SET}",
            "unset reserved_host_cpus and leave the host's CPUs out of both sets",
        )


def choose_cpus(settings: CpuSettings, host: CpuMap) -> CpuSets:
    """Return which CPUs are shared and which are dedicated.

    :raises DriverOptionError: a configured CPU is offline, or the host does not have it
    """
    dedicated = settings.dedicated_set or frozenset()
    if settings.power_management:
        # Power management takes idle dedicated CPUs offline itself, so being there is enough.
        _check_there(dedicated, host.present, DEDICATED_SET, "present")
    else:
        _check_there(dedicated, host.online, DEDICATED_SET, "online")
    if settings.pin_set is not None:
        _check_there(settings.pin_set, host.online, PIN_SET, "online")
        return CpuSets(settings.pin_set, dedicated, PIN_SET)
    if settings.shared_set is not None:
        _check_there(settings.shared_set, host.online, SHARED_SET, "online")
        return CpuSets(settings.shared_set, dedicated, SHARED_SET)
    if dedicated:
        return CpuSets(frozenset(), dedicated, DEDICATED_SET)
    return CpuSets(host.online, dedicated, "")


def _check_there(wanted: frozenset[int], there: frozenset[int], option: str, word: str) -> None:
    if missing := wanted - there:
        raise DriverOptionError(
            f"{option} names {_cpus(missing)}, which {'is' if len(missing) == 1 else 'are'} not {word}",
            f"choose among the CPUs that are: {format_cpus(there)}",
        )


def cpu_totals(sets: CpuSets) -> dict[str, Source]:
    """Return the totals of VCPU and PCPU, each with where it comes from."""
    shared_by = (
        f"CPUs of {sets.shared_by}: {format_cpus(sets.shared)}" if sets.shared_by else "online CPUs (libvirt)"
    )
    return {
        "VCPU": Source("driver", shared_by, len(sets.shared)),
        "PCPU": Source(
            "driver", f"CPUs of {sets.dedicated_by}: {format_cpus(sets.dedicated)}", len(sets.dedicated)
        ),
    }


def format_cpus(cpus: Collection[int]) -> str:
    """Return CPUs as a list of ranges, e.g. ``0-2,8``; ``none`` where there is none."""
    return format_cpu_list(cpus) or "none"


def _cpus(cpus: Collection[int]) -> str:
    return f"CPU {format_cpus(cpus)}"
