"""What the CPUs have done since the host was booted, through psutil (/proc/stat, cpufreq)."""

from __future__ import annotations

import psutil

NANOSECONDS = 1_000_000_000


def read_cpu_stats() -> dict[str, int | None]:
    """Return the time spent in each state in ns over all CPUs, and the frequency in MHz, of this machine.

    ``kernel`` has interrupts in it and ``user`` has niced processes, as libvirt counts them. The frequency is
    None where the machine does not tell it, as most virtual ones do not.
    """
    times = psutil.cpu_times()
    frequency = psutil.cpu_freq()
    return {
        "kernel": _nanoseconds(times.system + times.irq + times.softirq),
        "idle": _nanoseconds(times.idle),
        "user": _nanoseconds(times.user + times.nice),
        "iowait": _nanoseconds(times.iowait),
        "frequency": round(frequency.current) if frequency and frequency.current else None,
    }


def _nanoseconds(seconds: float) -> int:
    return round(seconds * NANOSECONDS)
