"""What cycles share: the parts of a Reporter, what it remembers of each node, and how a cycle is to go."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reporter.contest import Contest
from reporter.names import Names
from reporter.policy import Patience
from reporter.state.cache import SnapshotKeeper
from reporter.state.ledger import LedgerCache
from reporter.view import ViewCache

if TYPE_CHECKING:
    from drivers.base import ComputeDriver
    from reporter.placement.client import PlacementClient
    from reporter.placement.snapshot import Snapshot
    from reporter.settings import Settings
    from reporter.state.directory import StateDirectory
    from reporter.wish import Overlay

Progress = Callable[[str, int, int], None]
"""Called with what is going on, how much of it is done, and how much there is."""


@dataclass
class Context:
    """What all cycles of a Reporter share.

    :ivar names: which names Placement has, as far as it was asked
    :ivar reshaper_forbidden: Placement answered 403 to the reshaper once; not tried again for mere
        inventories
    """

    driver: ComputeDriver
    client: PlacementClient
    state: StateDirectory
    settings: Settings
    overlays: tuple[Overlay, ...]
    executor: Executor
    reshaper_forbidden: bool = False
    names: Names = field(default_factory=Names)

    @property
    def driver_name(self) -> str:
        """What people call the driver."""
        return self.driver.name or type(self.driver).__name__

    def may_send_inventories_at_once(self) -> bool:
        """Whether inventories of several providers may go through the reshaper."""
        if self.settings.atomic == "off" or self.reshaper_forbidden:
            return False
        return "service" in (self.client.roles() or ())


@dataclass
class NodeMemory:
    """What is remembered of a node between two cycles of one process.

    :ivar read_at: seconds since the epoch of the last full reading; ``refresh_at``, of the next
    :ivar synced: a cycle that wrote has succeeded
    :ivar renamed_from: the name of the host until now
    """

    snapshot: Snapshot | None = None
    read_at: float = 0.0
    refresh_at: float = 0.0
    synced: bool = False
    renamed_from: str | None = None
    patience: Patience = field(default_factory=lambda: Patience(60.0))
    contest: Contest = field(default_factory=Contest)
    views: ViewCache = field(default_factory=ViewCache)
    ledger: LedgerCache = field(default_factory=LedgerCache)
    keeper: SnapshotKeeper = field(default_factory=SnapshotKeeper)

    @classmethod
    def with_interval(cls, interval: float) -> NodeMemory:
        """For cycles that come so many seconds apart."""
        return cls(patience=Patience(interval))


@dataclass(frozen=True, slots=True)
class Mode:
    """How a cycle goes: see ``Reporter.sync_once``.

    :ivar one_by_one: inventories do not go through the reshaper, since others keep moving the providers
    """

    dry_run: bool = False
    adopt: bool = False
    force: bool = False
    service: bool = False
    one_by_one: bool = False
