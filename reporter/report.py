"""The outcome of a cycle, as a value: the same for a dry run and for the real thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provider_tree import Changes, ProviderTree
    from reporter.errors import AdoptionNeeded
    from reporter.plan import Plan
    from reporter.policy import Held
    from reporter.state.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Report:
    """What a cycle found for one node, and what it did or would do.

    :ivar current: the node's tree as Placement had it; empty if it had none
    :ivar desired: what the driver and the overlays want, with notes of where each value came from
    :ivar wanted: what Placement is to have: ``desired`` merged with what others set, less what is held
    :ivar changes: from ``current`` to ``wanted``
    :ivar plan: the requests that make them
    :ivar held: changes that a policy holds back
    :ivar notices: lines for people: warnings of the driver, things that stay because others need them
    :ivar adoption: why a sync would refuse to write, if it would
    :ivar ledger: what we had set before the cycle, as far as Placement bears it out
    :ivar consumers_before: consumers that a reshape moves, as they are (a driver's shape)
    :ivar applied: the requests were made
    :ivar requests_sent: all requests of the cycle, reads included
    """

    node: str
    root_uuid: str
    current: ProviderTree
    desired: ProviderTree
    wanted: ProviderTree
    changes: Changes
    plan: Plan
    held: tuple[Held, ...] = ()
    notices: tuple[str, ...] = ()
    adoption: AdoptionNeeded | None = None
    ledger: Ledger | None = None
    consumers_before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    applied: bool = False
    requests_sent: int = 0
