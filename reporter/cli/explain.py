"""``explain``: where each value of a provider comes from, and what lost."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from provider_tree.errors import ExplainedError
from reporter.cli.wiring import Wiring
from reporter.errors import ReporterError
from reporter.explain import Explanation
from reporter.explain import explain as explain_report
from reporter.placement import errors
from reporter.progress import ProgressDisplay
from reporter.render.explanations import explanations_document, outline_explanations
from reporter.render.output import print_document, print_outline

if TYPE_CHECKING:
    import argparse


def explain(arguments: argparse.Namespace) -> int:
    """Print it for one provider, by name or uuid, or for one of its fields."""
    with Wiring(arguments) as parts, ProgressDisplay("comparing") as progress:
        found = _of_provider(parts, arguments.provider, progress)
    if arguments.field is not None:
        chosen = [each for each in found if is_about(each.field, arguments.field)]
        if not chosen:
            raise _no_such_field(arguments.provider, arguments.field, found)
        found = chosen
    if arguments.format == "text":
        print_outline(outline_explanations(found))
    else:
        print_document(explanations_document(found), arguments.format)
    return 0


def is_about(field: str, asked: str) -> bool:
    """Whether a field is the one that was asked for, or a part of it.

    ``VCPU`` asks for all of that record, ``traits`` for all traits, a trait's name for that trait,
    ``allocation_ratio`` for that of every class.
    """
    return field == asked or field.startswith(f"{asked}.") or field.partition(".")[2] == asked


def _of_provider(parts: Wiring, asked: str, progress: ProgressDisplay) -> list[Explanation]:
    seen: list[str] = []
    failure: ExplainedError | None = None
    for node in parts.nodes:
        try:
            report = parts.reporter.sync_once(node, dry_run=True, progress=progress)
        except errors.PLACEMENT_FAILS:
            raise
        except ExplainedError as error:
            failure = failure or error
            continue
        provider = next((each for each in report.wanted.providers() if asked in (each.name, each.uuid)), None)
        seen += [each.name for each in report.wanted.providers()]
        if provider is not None:
            settings = parts.settings
            explained = explain_report(
                report, parts.conf.reporter.driver, settings.owner_trait, settings.manage
            )
            return [each for each in explained if each.provider == provider.name]
    if failure is not None:  # it may be of the node that could not be looked at
        raise failure
    close = difflib.get_close_matches(asked, seen, n=1)
    raise ReporterError(
        f"there is no provider {asked!r} in the driver's trees",
        f"did you mean {close[0]}?" if close else "'placement-reporter show' lists them",
    )


def _no_such_field(provider: str, asked: str, found: list[Explanation]) -> ReporterError:
    names = {each.field for each in found} | {each.field.partition(".")[0] for each in found}
    close = difflib.get_close_matches(asked, sorted(names), n=1)
    records = sorted({each.field.partition(".")[0] for each in found})
    return ReporterError(
        f"provider {provider} has no {asked}",
        f"did you mean {close[0]}?" if close else f"it has {', '.join(records) or 'nothing'}",
    )
