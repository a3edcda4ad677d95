"""How long the host has been up, and its load: proc_uptime(5) and proc_loadavg(5)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from drivers.root import HostRoot, malformed

UPTIME = "proc/uptime"
LOADAVG = "proc/loadavg"

_NUMBER = r"\d+(?:\.\d+)?"
_UPTIME = re.compile(rf"({_NUMBER})\s+{_NUMBER}\s*\Z")
_LOADAVG = re.compile(rf"({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})\s")


def read_uptime(root: HostRoot, now: datetime, users: int) -> str:
    """Return the line that uptime(1) prints.

    :param now: the time of day to begin it with
    :param users: how many are logged in
    :raises Absent: there is no /proc/uptime or /proc/loadavg
    :raises HostReadError: one of them cannot be read, or says something else than it should
    """
    up = root.read_text(UPTIME)
    match = _UPTIME.match(up)
    if match is None:
        raise malformed(root.display(UPTIME), "two numbers of seconds", up)
    load = root.read_text(LOADAVG)
    averages = _LOADAVG.match(load)
    if averages is None:
        raise malformed(root.display(LOADAVG), "three load averages", load)
    return format_uptime(now, timedelta(seconds=float(match[1])), users, averages.groups())


def format_uptime(now: datetime, up: timedelta, users: int, load: tuple[str, ...]) -> str:
    """Return ``12:30:01 up 3 days,  2:05,  1 user,  load average: 0.00, 0.01, 0.05``."""
    minutes = up.seconds // 60
    days = f"{up.days} {'day' if up.days == 1 else 'days'}, " if up.days else ""
    hours = f"{minutes // 60:2}:{minutes % 60:02}" if minutes >= 60 else f"{minutes} min"
    people = f"{users} {'user' if users == 1 else 'users'}"
    return f" {now:%H:%M:%S} up {days}{hours},  {people},  load average: {', '.join(load)}"
