"""``audit``: what is wrong in Placement around our nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reporter.audit import audit as find
from reporter.cli.wiring import Wiring
from reporter.progress import ProgressDisplay
from reporter.render.findings import findings_document, outline_findings
from reporter.render.output import print_document, print_outline

if TYPE_CHECKING:
    import argparse

FOUND = 2
"""Exit code: there is something that a person should look at."""


def audit(arguments: argparse.Namespace) -> int:
    """Look, and print what was found; Placement is only read."""
    with Wiring(arguments) as parts, ProgressDisplay("looking"):
        findings = find(parts.reporter, parts.nodes)
    if arguments.format == "text":
        print_outline(outline_findings(findings))
    else:
        print_document(findings_document(findings), arguments.format)
    return FOUND if findings else 0
