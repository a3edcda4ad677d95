"""What ``diff`` and ``sync`` share: a cycle for each node, and printing what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from provider_tree.errors import ExplainedError
from reporter import cli
from reporter.placement import errors
from reporter.render.changes import outline_reports
from reporter.render.documents import reports_document
from reporter.render.markdown import reports_markdown
from reporter.render.output import print_document, print_outline, print_text

if TYPE_CHECKING:
    import argparse

    from reporter.report import Report


def for_each_node(
    nodes: Sequence[str], cycle: Callable[[str], Report]
) -> tuple[list[Report], ExplainedError | None]:
    """Run a cycle for each node. One that fails does not keep the others from theirs, but Placement does.

    :return: the reports, and the last failure; those before it have been told, what says the same once
    """
    reports: list[Report] = []
    failure: ExplainedError | None = None
    in_a_row = 0
    for node in nodes:
        try:
            reports.append(cycle(node))
            in_a_row = 0
        except ExplainedError as error:
            in_a_row = in_a_row + 1 if isinstance(error, errors.PLACEMENT_FAILS) else 0
            enough = in_a_row >= errors.ENOUGH_IN_A_ROW and type(failure) is type(error)
            if failure is not None and not enough and str(failure) != str(error):
                cli.report_error(failure)
            failure = error
            if enough:
                break
    return reports, failure


def print_reports(reports: Sequence[Report], arguments: argparse.Namespace) -> None:
    """Print reports in the form that was asked for."""
    match arguments.format:
        case "text":
            print_outline(outline_reports(reports, requests=arguments.verbose > 0))
        case "markdown":
            print_text(reports_markdown(reports))
        case form:
            print_document(reports_document(reports), form)
