"""``diff``: what a sync would change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reporter.cli.cycles import for_each_node, print_reports
from reporter.cli.wiring import Wiring
from reporter.plan_file import save_plans
from reporter.progress import ProgressDisplay
from reporter.saved_plan import SavedPlan

if TYPE_CHECKING:
    import argparse

DIFFERENT = 2
"""Exit code: there is something to change, or would be were it not held."""


def diff(arguments: argparse.Namespace) -> int:
    """Compare and print; nothing is written but the file of ``--out``."""
    with Wiring(arguments) as parts, ProgressDisplay("comparing") as progress:
        reporter = parts.reporter
        reports, failure = for_each_node(
            parts.nodes, lambda node: reporter.sync_once(node, dry_run=True, progress=progress)
        )
        if arguments.out is not None and failure is None:
            label = parts.client.label
            save_plans(arguments.out, [SavedPlan.of(each, label) for each in reports])
    if reports:
        print_reports(reports, arguments)
    if failure is not None:
        raise failure
    return DIFFERENT if any(report.changes or report.held for report in reports) else 0
