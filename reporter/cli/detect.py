"""``detect``: the facts of a machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import DriverError
from drivers.host.facts import facts_document, read_facts
from drivers.root import HostRoot
from reporter import cli
from reporter.render.facts import outline_facts
from reporter.render.output import print_document, print_outline

if TYPE_CHECKING:
    import argparse


def detect(arguments: argparse.Namespace) -> int:
    """Print them."""
    sysroot = Path(arguments.sysroot or "/")
    if not any((sysroot / name).is_dir() for name in ("proc", "sys")):
        raise DriverError(
            f"{sysroot} has neither proc nor sys", "--sysroot takes a directory with copies of /proc and /sys"
        )
    document = facts_document(read_facts(HostRoot(sysroot)))
    if arguments.format == "text":
        print_outline(outline_facts(document))
        for warning in document["warnings"]:
            cli.warn(warning)
    else:
        print_document(document, arguments.format)
    return 0
