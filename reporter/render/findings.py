"""What an audit found, as an outline and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from reporter.render.changes import count_of
from reporter.render.outline import Entry, Span, line

if TYPE_CHECKING:
    from reporter.audit import AuditFinding

FORMAT_VERSION = 1


def outline_findings(findings: Sequence[AuditFinding]) -> list[Entry]:
    """One entry a finding, below it what to do, and at the end how many there are."""
    entries = [
        line(
            Span(f"{each.kind}: ", "warning"),
            Span(each.provider, "name"),
            Span(f" {each.uuid}" if each.uuid else "", "faint"),
            f": {each.message}",
            below=[line(each.advice)],
        )
        for each in findings
    ]
    return [*entries, line(count_of(len(findings), "finding") if findings else "nothing found")]


def findings_document(findings: Sequence[AuditFinding]) -> dict[str, Any]:
    """The same for programs."""
    return {"format_version": FORMAT_VERSION, "findings": [asdict(each) for each in findings]}
