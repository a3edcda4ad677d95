"""What the service logs: a line for a cycle that changed something or failed, nothing for an idle one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from provider_tree.errors import ExplainedError
from reporter.render.changes import count_of, summarize

if TYPE_CHECKING:
    from reporter.report import Report

LOG = logging.getLogger("reporter.service")


class Journal:
    """Remembers what has been said of one node (or of the driver as a whole), to say it once.

    :param subject: what the lines begin with
    """

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._failure = ""
        self._repeat_at = 1
        self._told: frozenset[str] = frozenset()

    def done(self, report: Report, seconds: float, failures: int) -> None:
        """A cycle ended well.

        :param failures: how many before it had failed
        """
        self.works_again(failures)
        level = logging.INFO if report.changes else logging.DEBUG
        LOG.log(level, "%s: %s, %.2f s", self._subject, summarize([report]), seconds)
        for request in report.plan.requests:
            LOG.debug("%s: %s", self._subject, request)
        lines = [f"held back: {each.change.provider}: {each.change}: {each.why}" for each in report.held]
        self._tell_once([*lines, *report.notices])

    def works_again(self, failures: int) -> None:
        """After failures, something succeeded."""
        if failures:
            LOG.info("%s: works again after %s", self._subject, count_of(failures, "failed attempt"))
        self._failure, self._repeat_at = "", 1

    def is_known(self, error: Exception) -> bool:
        """Whether that is what failed the last time, and is not over."""
        return _text(error) == self._failure

    def failed(self, error: Exception, failures: int, pause: float, *, firm: bool = True) -> None:
        """A cycle failed. The same failure is told again at the 2nd, 4th, 8th … time only.

        :param firm: nothing makes the pause shorter
        """
        text = _text(error)
        if text != self._failure:
            self._failure, self._repeat_at = text, failures
        told = failures >= self._repeat_at
        if told:
            self._repeat_at = 2 * failures
        LOG.log(
            logging.ERROR if told else logging.DEBUG,
            "%s: %s (attempt %d failed; the next in %.0f s%s)",
            self._subject,
            " ".join(text.split()),
            failures,
            pause,
            "" if firm else " at the latest",
            exc_info=None if isinstance(error, ExplainedError) or not told else error,
        )

    def _tell_once(self, lines: list[str]) -> None:
        for each in lines:
            if each not in self._told:
                LOG.warning("%s: %s", self._subject, each)
        self._told = frozenset(lines)


def _text(error: Exception) -> str:
    if isinstance(error, ExplainedError):
        return f"{error.what}; {error.advice}" if error.advice else error.what
    return f"{type(error).__name__}: {error}; this is a defect, please report it"
