"""Logging of the commands: to stderr, warnings only unless asked for more."""

from __future__ import annotations

import logging
import sys

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)

#: Libraries that tell each step at INFO, and at WARNING what our own errors say in two lines. So do
#: Python's warnings: with ``insecure = true``, urllib3's of each request.
_CHATTY = ("apscheduler", "keystoneauth", "openstack", "py.warnings", "stevedore", "urllib3")
_LIBRARY_LEVELS = (logging.ERROR, logging.WARNING, logging.NOTSET)


class StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Writes to what is sys.stderr at that moment: a progress display puts itself there for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        self.stream = sys.stderr
        super().emit(record)


def log_to_stderr(verbose: int, formatter: logging.Formatter | None = None) -> None:
    """Send the log to stderr.

    :param verbose: 0 warnings, 1 what is going on, 2 everything
    """
    handler = StderrHandler()
    handler.setFormatter(formatter or _Formatter("%(levelname)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[min(verbose, len(_LEVELS) - 1)])
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(_LIBRARY_LEVELS[min(verbose, len(_LIBRARY_LEVELS) - 1)])


class _Formatter(logging.Formatter):
    """Levels in small letters, as our own errors and warnings are written."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = super().format(record)
        return record.levelname.lower() + text.removeprefix(record.levelname)
