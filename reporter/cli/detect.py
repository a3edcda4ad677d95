"""``detect``: the facts of a machine."""

from __future__ import annotations

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
    sysroot = arguments.sysroot or "/"
    root = HostRoot(sysroot)
    if not any(root.exists(name) for name in ("proc", "sys")):
        raise DriverError(
            f"{sysroot} has neither proc nor sys", "--sysroot takes a directory with copies of /proc and /sys"
        )
    document = facts_document(read_facts(root))
    if arguments.format == "text":
        print_outline(outline_facts(document))
        for warning in document["warnings"]:
            cli.warn(warning)
    else:
        print_document(document, arguments.format)
    return 0
