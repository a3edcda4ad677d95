"""What the libraries of an embedded Placement may say in the logs of this program."""

from __future__ import annotations

import logging

#: Loggers that tell every request, migration and rule; what goes wrong stays audible.
_CHATTY = ("placement", "alembic", "oslo_policy", "oslo_db", "oslo_concurrency", "waitress")


def hush() -> None:
    """Leave out the everyday, unless the program has said how it wants these loggers.

    Called before the libraries are imported: some log while they are.
    """
    for name in _CHATTY:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a queue is what one thread is meant to have
    fault = logging.getLogger("placement.fault_wrap")
    if _one_line not in fault.filters:
        fault.addFilter(_one_line)


def _one_line(record: logging.LogRecord) -> bool:
    """Leave the traceback of an internal error out; the client gets the error as well."""
    record.exc_info = None
    return True
