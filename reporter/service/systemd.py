"""What systemd is told and how it likes its log: sd_notify(3), sd-daemon(3)."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping


def notify(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Tell the service manager something, like ``READY=1`` or ``STATUS=…``; nothing where there is none."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.connect(address)
            connection.sendall(state.encode())
    except OSError as error:
        logging.getLogger(__name__).debug("systemd does not listen: %s", error)


def stderr_is_journal(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether stderr goes to the journal, which has times and names of its own (systemd.exec(5))."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class JournalFormatter(logging.Formatter):
    """Lines begin with the priority that the journal is to give them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return "\n".join(
            f"<{_priority(record.levelno)}>{line}" for line in super().format(record).split("\n")
        )


def _priority(level: int) -> int:
    """The priority of syslog(3)."""
    steps = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
    return next((priority for least, priority in steps if level >= least), 7)
