"""``sync``: one cycle."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from reporter.cli.cycles import for_each_node, print_reports
from reporter.cli.wiring import Wiring
from reporter.errors import ReporterError
from reporter.plan_file import load_plans
from reporter.progress import ProgressDisplay
from reporter.sightings import keep_sightings

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from reporter.report import Report
    from reporter.saved_plan import SavedPlan

HELD = 3
"""Exit code: done, but something is held back."""


def sync(arguments: argparse.Namespace) -> int:
    """Make Placement what it should be, and print what was done."""
    with Wiring(arguments, writing=True) as parts, ProgressDisplay("comparing") as progress:
        reporter = parts.reporter
        saved = None if arguments.plan is None else _load(arguments.plan, arguments.node)

        def cycle(node: str) -> Report:
            report = reporter.sync_once(
                node,
                adopt=arguments.adopt,
                force=arguments.force,
                saved=None if saved is None else saved[node],
                progress=progress,
            )
            keep_sightings(reporter, report, time.time())
            return report

        reports, failure = for_each_node(parts.nodes if saved is None else list(saved), cycle)
    if reports:
        print_reports(reports, arguments)
    if failure is not None:
        raise failure
    return HELD if any(report.held for report in reports) else 0


def _load(file: Path, node: str | None) -> dict[str, SavedPlan]:
    """The plans in a file by node; with ``--node`` that one.

    :raises ReporterError: the file has no plan of that node
    """
    plans = {each.node: each for each in load_plans(file)}
    if node is None:
        return plans
    if node not in plans:
        raise ReporterError(f"{file} has no plan for node {node}", f"it has {', '.join(plans) or 'none'}")
    return {node: plans[node]}
