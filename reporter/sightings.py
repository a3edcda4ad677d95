"""Since when consumers have held something of a node that its hypervisor does not know.

One moment tells nothing: a migration or a build holds its allocations before, or after, the hypervisor has
the guest. So the commands that hold the state directory's lock look once in a while and keep what they saw,
and ``audit``, which only reads, tells of those that have been unknown for an hour.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from reporter.errors import StateError

if TYPE_CHECKING:
    from drivers.base import ComputeDriver
    from provider_tree import Provider
    from reporter.report import Report
    from reporter.state.directory import StateDirectory
    from reporter.sync import Reporter

LOG = logging.getLogger(__name__)

SPAN = 3600.0  # seconds that a consumer must have been unknown for
EVERY = 1800.0  # seconds between two looks: each costs a request a provider that has inventory
_GAP = 7200.0  # seconds without a look, after which what was seen before says nothing

_FORMAT_VERSION = 1


def keep_sightings(reporter: Reporter, report: Report, now: float) -> None:
    """Look, if it is time to, and keep what was seen. That it fails is no reason to fail.

    The caller holds ``reporter.state.lock()``.

    :param report: of the cycle that has just ended
    :param now: seconds since the epoch
    """
    file = reporter.state.node_file(report.node, "sightings")
    looked_at, first_seen = _read(reporter.state, report.node)
    if 0 <= now - looked_at < EVERY:
        return
    if not 0 <= now - looked_at <= _GAP:
        first_seen = {}
    try:
        unknown = unknown_consumers(reporter, report.wanted.providers())
        if unknown is not None:
            seen = {consumer: first_seen.get(consumer, now) for consumer in unknown}
            document = {"format_version": _FORMAT_VERSION, "looked_at": now, "first_seen": seen}
            reporter.state.write(file, document)
    except Exception as error:  # noqa: BLE001 - a driver's, too: the cycle has been done
        LOG.debug("%s: cannot compare consumers with the hypervisor's instances: %s", report.node, error)


def unknown_since(state: StateDirectory, node: str, now: float) -> Mapping[str, float]:
    """Consumer → seconds since the epoch from which on it was unknown at each look."""
    looked_at, first_seen = _read(state, node)
    return first_seen if 0 <= now - looked_at <= _GAP else {}


def unknown_consumers(reporter: Reporter, providers: Iterable[Provider]) -> dict[str, Provider] | None:
    """Consumers that hold something of these providers, and that the hypervisor does not know now.

    :return: consumer → the first provider that it holds something of; None if the driver has no hypervisor
    :raises drivers.errors.DriverError: the hypervisor cannot tell
    """
    known = _instances(reporter.driver)
    if known is None:
        return None
    offering = [each for each in providers if each.inventory]
    found: dict[str, Provider] = {}
    with ThreadPoolExecutor(reporter.settings.connections) as executor:
        consumers = executor.map(reporter.client.consumers_of, [each.uuid for each in offering])
        for provider, holders in zip(offering, consumers, strict=True):
            for consumer in sorted(holders - known):
                found.setdefault(consumer, provider)
    return found


def _instances(driver: ComputeDriver) -> frozenset[str] | None:
    try:
        return frozenset(driver.list_instance_uuids())
    except NotImplementedError:
        return None


def _read(state: StateDirectory, node: str) -> tuple[float, dict[str, float]]:
    """When somebody last looked, and what has been seen since when; a file of no use is as none."""
    try:
        document = state.read(state.node_file(node, "sightings")) or {}
        seen = {str(consumer): float(since) for consumer, since in document.get("first_seen", {}).items()}
        return float(document.get("looked_at", 0)), seen
    except (StateError, AttributeError, TypeError, ValueError):
        return 0.0, {}
