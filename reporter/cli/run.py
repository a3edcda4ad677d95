"""``run``: the service."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING

from reporter.cli.logs import log_to_stderr
from reporter.cli.wiring import Wiring
from reporter.service.loop import Service
from reporter.service.systemd import JournalFormatter, stderr_is_journal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

LOG = logging.getLogger("reporter.service")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LINE = "%(asctime)s %(levelname)-7s %(message)s"


def run(arguments: argparse.Namespace) -> int:
    """Sync until SIGTERM or SIGINT, or until the terminal goes that it was started in."""
    _log(arguments.verbose)
    ends = (*_SIGNALS, signal.SIGHUP) if _at_terminal() else _SIGNALS
    if signal.SIGHUP not in ends:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is what it could be of use to
    stopping = threading.Event()
    with Wiring(arguments, writing=True, stopping=stopping) as parts:
        settings, conf = parts.settings, parts.conf
        nodes = parts.nodes
        service = Service(
            parts.reporter, parts.current_nodes, settings.interval, conf.reporter.jitter, stopping
        )
        LOG.info(
            "Reporting %s every %g s with driver %s", _some(nodes), settings.interval, conf.reporter.driver
        )
        gc.freeze()  # what is loaded by now stays: no collection need look at it again
        with contextlib.suppress(_Signalled):
            _raise_on(ends)
            service.start()
            if signal.SIGHUP not in ends:
                _hurry_on_hangup(service)
            service.wait()
        if not service.stop():
            _leave("a cycle that hangs, in the driver or waiting for Placement, is left behind")
        LOG.info("Stopped")
    return 0


def _log(verbose: int) -> None:
    if stderr_is_journal():
        log_to_stderr(verbose, JournalFormatter("%(message)s"))
    else:
        log_to_stderr(verbose, logging.Formatter(_LINE))
    if not verbose:
        LOG.setLevel(logging.INFO)
    if verbose < 2:  # it complains of rounds that take longer than an interval, which is no fault
        logging.getLogger("apscheduler").setLevel(logging.ERROR)


class _Signalled(BaseException):
    """Raised in the main thread, which only waits: setting what it waits for could deadlock."""


def _at_terminal() -> bool:
    """Whether stdin is a terminal; once that has gone it can no longer be told."""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def _hurry_on_hangup(service: Service) -> None:
    """SIGHUP asks a daemon to look at its files again: of ours, the configuration's alone are read once."""

    def hurry(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # another one in here could deadlock
        LOG.info(
            "SIGHUP: a cycle now; configuration files are read at start only, documents and provider.yaml "
            "files in each cycle"
        )
        service.hurry()
        signal.signal(signal.SIGHUP, hurry)

    signal.signal(signal.SIGHUP, hurry)


def _raise_on(signals: Sequence[signal.Signals]) -> None:
    """The first signal stops in order, the second at once."""

    def at_once(number: int, _frame: FrameType | None) -> None:
        os._exit(128 + number)

    def in_order(_number: int, _frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, at_once)
        raise _Signalled

    for each in signals:
        signal.signal(each, in_order)


def _leave(why: str) -> None:
    """End the process though a thread hangs: nothing that it could be doing needs finishing."""
    LOG.warning("Stopped; %s", why)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def _some(nodes: list[str]) -> str:
    return nodes[0] if len(nodes) == 1 else f"{len(nodes)} nodes"
