"""Pauses that grow from failure to failure, up to a limit: what comes up again is not hammered."""

from __future__ import annotations

import random
from dataclasses import dataclass

_MOST_INTERVALS = 16
_MOST_SECONDS = 900.0
_LONGEST_ASKED = 3600.0  # of Retry-After: who asks for more gets this


@dataclass
class Backoff:
    """How often something failed in a row, and when to try it again.

    :ivar interval: seconds between two tries while all is well; the first pause is as long
    :ivar due: the moment (of the clock that is passed in) before which not to try
    :ivar firm: nothing shortens the pause
    """

    interval: float
    failures: int = 0
    due: float = float("-inf")
    firm: bool = False

    def is_due(self, now: float) -> bool:
        """Whether the pause is over."""
        return now >= self.due

    def failed(self, now: float, at_least: float | None = None, *, firm: bool = False) -> float:
        """Count a failure.

        :param at_least: seconds that the other side asked for
        :param firm: ``interrupt`` does not end the pause
        :return: seconds to pause; ±20 %, so that many hosts do not come back at the same moment
        """
        self.failures += 1
        limit = max(self.interval, min(_MOST_SECONDS, _MOST_INTERVALS * self.interval))
        grown = min(limit, self.interval * 2.0 ** min(self.failures - 1, 10))
        jittered = grown * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        pause = max(jittered, min(at_least or 0.0, _LONGEST_ASKED))
        self.due, self.firm = now + pause, firm
        return pause

    def interrupt(self) -> None:
        """Something happened that the failure may have been about: the next try may come at once."""
        if not self.firm:
            self.due = float("-inf")

    def succeeded(self) -> int:
        """Start anew.

        :return: how many failures there had been in a row
        """
        failures, self.failures, self.due = self.failures, 0, float("-inf")
        return failures
