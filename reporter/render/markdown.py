"""Reports as Markdown, for a ticket or a review."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reporter.render.changes import describe_change, summarize
from reporter.render.outline import printable

if TYPE_CHECKING:
    from reporter.report import Report

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")
_HEAD = "| Provider | Change | Why |\n| --- | --- | --- |\n"


def reports_markdown(reports: Sequence[Report]) -> str:
    """For each node a heading, a table of what changes, what is held, and the requests."""
    return "\n".join(part for report in reports for part in _parts(report))


def _parts(report: Report) -> Iterator[str]:
    yield f"## {_text(report.node)}\n\n{_text(summarize([report]))}\n"
    if report.changes:
        yield _HEAD + "".join(
            _row(each.provider, describe_change(each), each.reason) for each in report.changes
        )
    if report.held:
        yield "Held back:\n"
        yield _HEAD + "".join(
            _row(each.change.provider, describe_change(each.change), each.why) for each in report.held
        )
    notices = list(report.notices)
    if report.adoption is not None and not report.applied:
        notices.append(f"sync will ask for --adopt: {report.adoption.what}")
    if notices:
        yield "".join(f"- {_text(each)}\n" for each in notices)
    if report.plan:
        requests = "".join(f"{each}\n" for each in report.plan.requests)
        yield f"Requests:\n\n```\n{requests}```\n"


def _row(provider: str, change: str, why: str) -> str:
    return f"| {_text(provider)} | {_code(change)} | {_text(why)} |\n"


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", printable(text))


def _code(text: str) -> str:
    return "`" + printable(text).replace("`", "'").replace("|", "\\|") + "`"
