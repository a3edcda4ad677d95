"""What a driver tells unasked: an instance changed state, or the inventory should be read again."""

from __future__ import annotations

import enum
import time


class Transition(enum.IntEnum):
    """The lifecycle changes of an instance, numbered as in Nova's nova/virt/event.py."""

    STARTED = 0
    STOPPED = 1
    PAUSED = 2
    RESUMED = 3
    SUSPENDED = 4
    POSTCOPY_STARTED = 5
    MIGRATION_COMPLETED = 6


class Event:
    """Something that happened on the host.

    :param timestamp: seconds since the epoch; now when left out
    """

    def __init__(self, timestamp: float | None = None) -> None:
        self.timestamp = time.time() if timestamp is None else timestamp

    def get_timestamp(self) -> float:
        """Return when it happened, in seconds since the epoch."""
        return self.timestamp

    def _details(self) -> str:
        return ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.timestamp}{self._details()}>"


class InstanceEvent(Event):
    """Something that happened to one instance."""

    def __init__(self, uuid: str, timestamp: float | None = None) -> None:
        super().__init__(timestamp)
        self.uuid = uuid

    def get_instance_uuid(self) -> str:
        """Return the uuid of the instance."""
        return self.uuid

    def _details(self) -> str:
        return f": instance {self.uuid}"


class LifecycleEvent(InstanceEvent):
    """An instance started, stopped, was paused and so on.

    :param transition: one of :class:`Transition`, or a number that is none of them
    """

    def __init__(self, uuid: str, transition: int, timestamp: float | None = None) -> None:
        super().__init__(uuid, timestamp)
        self.transition = transition

    def get_transition(self) -> int:
        """Return what happened, as a number of :class:`Transition`."""
        return self.transition

    def get_name(self) -> str:
        """Return what happened in words, e.g. ``Postcopy started``; ``Unknown`` for an unknown number."""
        try:
            return Transition(self.transition).name.replace("_", " ").capitalize()
        except ValueError:
            return "Unknown"

    def _details(self) -> str:
        return f": instance {self.uuid} {self.get_name().lower()}"


class InventoryEvent(Event):
    """What the host has may have changed (a device came or went): asks for a cycle.

    :param nodename: the node concerned; None for all the driver's nodes
    :param reason: why, in a few words for the log, e.g. ``device pci_0000_84_00_0 added``
    """

    def __init__(self, nodename: str | None = None, reason: str = "", timestamp: float | None = None) -> None:
        super().__init__(timestamp)
        self.nodename = nodename
        self.reason = reason

    def _details(self) -> str:
        return f": {self.nodename or 'every node'}, {self.reason or 'no reason given'}"
