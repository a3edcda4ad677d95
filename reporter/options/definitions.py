"""The options of ``[reporter]``, and all options by group for the generators of sample and reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from oslo_config import cfg, types

#: Groups that no other program reads: what they hold and we do not know is a misspelling.
OWN_GROUPS = ("reporter", "static", "host_driver")

#: keystoneauth1 keeps ten connections to a host; more would be opened and closed for each request.
MAX_CONNECTIONS = 10


class FiniteFloat(types.Float):
    """A number that is one: neither nan nor infinite, which no bound catches."""

    def __call__(self, value: Any) -> float | None:
        """Convert ``value``."""
        number: float | None = super().__call__(value)
        if number is not None and not math.isfinite(number):
            raise ValueError("Should be a finite number")
        return number


def _seconds(name: str, default: float, minimum: float, help_: str) -> cfg.Opt:
    return cfg.Opt(name, type=FiniteFloat(min=minimum), default=default, help=help_)


REPORTER_GROUP = cfg.OptGroup("reporter", title="placement-reporter", help="How placement-reporter works.")

REPORTER_OPTIONS: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "driver",
        default="host",
        help="What the provider tree is made from: host (this machine), libvirt (this compute node), static "
        "(a document), or the name of an installed driver. --driver on the command line goes first.",
    ),
    _seconds("interval", 60, 1, "Seconds between two cycles of the service."),
    _seconds(
        "jitter",
        10,
        0,
        "Each cycle of the service starts up to so many seconds early or late, so that many hosts do not "
        "ask Placement at the same moment.",
    ),
    cfg.StrOpt(
        "state_dir",
        help="The directory that keeps the node's uuid and what was set in Placement. Unset: "
        "$STATE_DIRECTORY, else /var/lib/placement-reporter for root, else "
        "$XDG_STATE_HOME/placement-reporter. --state-dir on the command line goes first.",
    ),
    cfg.StrOpt(
        "owner_trait",
        default="CUSTOM_OWNER_PLACEMENT_REPORTER",
        regex=r"^(CUSTOM_[A-Z0-9_]{1,248})?$",
        help="A custom trait, CUSTOM_ and then A-Z, 0-9 and _, that marks the providers made by "
        "placement-reporter. Empty: no mark.",
    ),
    cfg.StrOpt(
        "manage",
        default="tree",
        choices=[
            ("tree", "the whole tree: the root provider and all that the driver puts below it"),
            ("children", "providers below the root only; the root is nova-compute's or another agent's"),
        ],
        help="How much of the node's tree is written.",
    ),
    cfg.StrOpt(
        "reshape",
        default="always",
        choices=[
            ("always", "in every cycle that needs it"),
            ("startup", "in the first cycle of the service only, as Nova does"),
            ("never", "never; a tree that needs it is reported as held back"),
        ],
        help="When inventory may move between providers together with its allocations.",
    ),
    cfg.StrOpt(
        "atomic",
        default="auto",
        choices=[
            ("auto", "where the role allows it, inventories of several providers change in one transaction"),
            ("off", "each provider by a request of its own"),
        ],
        help="Whether POST /reshaper, which needs the service role, is used to write inventories.",
    ),
    cfg.Opt(
        "max_shrink_percent",
        type=FiniteFloat(min=0, max=100),
        default=50,
        help="In the service, a resource class whose capacity falls by more than so many percent at once is "
        "held back until it has been seen in several cycles. 100: never held back.",
    ),
    cfg.IntOpt(
        "connections",
        default=4,
        min=1,
        max=MAX_CONNECTIONS,
        help="How many requests may be under way at once. An embedded Placement always gets one.",
    ),
    _seconds(
        "full_refresh_interval",
        3600,
        0,
        "Seconds after which the whole tree is read again although Placement says that nothing changed. "
        "0: in every cycle.",
    ),
)


def list_opts() -> list[tuple[cfg.OptGroup | str, Sequence[cfg.Opt]]]:
    """Every option of the project, by group, for ``oslo-config-generator``.

    Those of a driver whose extra is not installed are left out.
    """
    from drivers import BUILTIN  # noqa: PLC0415 - the generators alone need all drivers
    from drivers.options import HOST_OPTIONS  # noqa: PLC0415 - the same
    from reporter.auth import placement_options  # noqa: PLC0415 - keystoneauth1 takes 0.2 s to import
    from reporter.overlays import OPTIONS as OVERLAY_OPTIONS  # noqa: PLC0415 - the generators alone

    merged: dict[str, list[cfg.Opt]] = {"DEFAULT": [], "reporter": list(REPORTER_OPTIONS)}
    merged["placement"] = list(placement_options())
    sources = [HOST_OPTIONS, OVERLAY_OPTIONS, *(options_of_driver(name) or {} for name in BUILTIN)]
    for groups in sources:
        for group, options in groups.items():
            known = merged.setdefault(group, [])
            known.extend(option for option in options if option not in known)
    return [(REPORTER_GROUP if name == "reporter" else name, options) for name, options in merged.items()]


def options_of_driver(name: str) -> Mapping[str, Sequence[cfg.Opt]] | None:
    """What a driver adds, by group; None where it cannot be imported, mostly for want of an extra."""
    from drivers import load_driver_class  # noqa: PLC0415 - needed by few commands
    from drivers.errors import DriverError  # noqa: PLC0415 - the same

    try:
        return load_driver_class(name).options
    except DriverError:
        return None
