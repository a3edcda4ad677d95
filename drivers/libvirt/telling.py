"""Telling people something once, not in every cycle."""

from __future__ import annotations

import logging
from collections.abc import Iterable


class Teller:
    """Logs warnings; one that was among the last ones already is not logged again.

    :param log: where to
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: frozenset[str] = frozenset()

    def tell(self, warnings: Iterable[str]) -> None:
        """Log those that are new since the last call."""
        now = tuple(dict.fromkeys(warnings))
        for warning in now:
            if warning not in self._told:
                self._log.warning("%s", warning)
        self._told = frozenset(now)
