"""The command line: one file a command, imported when it is given, so that ``--help`` is quick.

``main`` alone turns errors into text and exit codes: 0 done, 1 any error, 2 ``diff`` or ``audit`` found
something, 3 ``sync`` done but something is held back.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from provider_tree.errors import ExplainedError

__all__ = ["main"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    :param argv: without the program's name; by default the process's
    :return: the exit code
    """
    verbose = 0
    _open_streams()
    try:
        for stream in (sys.stdout, sys.stderr):
            _never_fail_to_encode(stream)
        arguments = _parse(sys.argv[1:] if argv is None else argv)
        verbose = arguments.verbose
        from reporter.cli.logs import log_to_stderr  # noqa: PLC0415 - --help does without

        log_to_stderr(verbose)
        code = _command(arguments.target)(arguments)
        sys.stdout.flush()
    except SystemExit as ended:  # argparse, after --help and --version
        code = ended.code if isinstance(ended.code, int) else 1
        return _flushed(code)
    except BrokenPipeError:
        _discard_stdout()
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        _say("interrupted", "what was begun is finished by the next sync")
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - what nobody expected is told in two lines like any other error
        _fail(error, verbose)
        return _flushed(1)
    return code


def _fail(error: Exception, verbose: int) -> None:
    from provider_tree.errors import ExplainedError  # noqa: PLC0415 - all of that package, which --help spares

    if verbose > 1:
        import logging  # noqa: PLC0415 - set up by now

        logging.getLogger(__name__).debug("The error came from here:", exc_info=error)
    if isinstance(error, ExplainedError):
        report_error(error)
    else:
        _say(
            f"{type(error).__name__}: {error}",
            "this is a defect: please report it together with what -vv prints",
        )


def report_error(error: ExplainedError) -> None:
    """Write what went wrong and what to do to stderr."""
    _say(error.what, error.advice or "-v tells more of what went before")


def warn(text: str) -> None:
    """Write a line to stderr that the reader should know but need not act on."""
    _write(f"warning: {_one_line(text)}\n")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    from reporter.cli.arguments import parse  # noqa: PLC0415 - keeps what main needs first small

    return parse(argv)


def _command(target: str) -> Callable[[argparse.Namespace], int]:
    module, _, name = target.partition(":")
    command: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), name)
    return command


def _say(what: str, advice: str) -> None:
    _write(f"error: {_one_line(what)}\nhint: {_one_line(advice)}\n")


def _write(text: str) -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _discard_stdout()
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        pass  # nobody listens; the exit code still tells


def _one_line(text: str) -> str:
    """One line, without what would drive a terminal."""
    from reporter.render.outline import printable  # noqa: PLC0415 - --help does without

    return printable(" ".join(text.split()))


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        _discard_stdout()
    return code


def _discard_stdout() -> None:
    """Nobody reads what is still buffered: Python would complain of it at exit."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass  # no real file behind it


def _open_streams() -> None:
    """Have a stdout and a stderr, though the process was started without (``>&-``).

    The files that take their descriptors would get what others print.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - for good


def _never_fail_to_encode(stream: object) -> None:
    """A name that the terminal's character set lacks is printed escaped."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
