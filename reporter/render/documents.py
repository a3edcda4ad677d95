"""Reports as plain data: what JSON and YAML hold. Keys may be added, never change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reporter.render.changes import count_actions

if TYPE_CHECKING:
    from reporter.report import Report

FORMAT_VERSION = 1


def reports_document(reports: Sequence[Report]) -> dict[str, Any]:
    """What was found or done at all nodes."""
    return {
        "format_version": FORMAT_VERSION,
        "changes": [
            {"node": report.node, **change.as_dict()} for report in reports for change in report.changes
        ],
        "requests": [
            {"node": report.node, "method": request.method, "path": request.path, "stage": request.stage}
            for report in reports
            for request in report.plan.requests
        ],
        "summary": count_actions(reports),
        "nodes": [_node(report) for report in reports],
    }


def _node(report: Report) -> dict[str, Any]:
    adoption = report.adoption
    return {
        "node": report.node,
        "uuid": report.root_uuid,
        "applied": report.applied,
        "requests_sent": report.requests_sent,
        "held": [{**each.change.as_dict(), "why": each.why} for each in report.held],
        "notices": list(report.notices),
        "adoption": None if adoption is None else {"what": adoption.what, "advice": adoption.advice},
    }
