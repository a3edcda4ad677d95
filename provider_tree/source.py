"""Where a value in a tree came from, and what it displaced."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["driver", "configuration", "document", "placement", "default"]


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of one value; provenance only, never part of a comparison of trees.

    :ivar kind: what sort of place it came from
    :ivar detail: where exactly, for people: "/proc/meminfo", "nova.conf [DEFAULT] cpu_allocation_ratio"
    :ivar value: the value as that place gave it
    :ivar lost: what would have applied otherwise, the nearest contender first
    """

    kind: Kind
    detail: str
    value: Any = None
    lost: tuple[Source, ...] = ()

    def over(self, *losers: Source | None) -> Source:
        """The same source, recorded as having won against `losers` and all they had won against."""
        beaten = [entry for loser in losers if loser for entry in (replace(loser, lost=()), *loser.lost)]
        return replace(self, lost=(*self.lost, *beaten))
