"""Reports as an outline: what is created, changed and deleted, provider by provider, and what is held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from provider_tree import Action, Change, Kind
from provider_tree.inventory import FIELDS, same_value
from reporter.render.outline import Entry, Span, Style, line
from reporter.render.tree import describe_record

if TYPE_CHECKING:
    from reporter.policy import Held
    from reporter.report import Report

_SIGNS: Mapping[Action, tuple[str, Style]] = {
    Action.CREATE: ("+ ", "added"),
    Action.DELETE: ("- ", "removed"),
}
_CHANGED: tuple[str, Style] = ("~ ", "changed")


def outline_reports(reports: Sequence[Report], *, requests: bool = False) -> list[Entry]:
    """What was found at each node, and at the end how much it is.

    :param requests: list the requests as well
    """
    entries = [entry for report in reports for entry in _outline_report(report, requests)]
    return [*entries, line(summarize(reports))]


def summarize(reports: Sequence[Report]) -> str:
    """One line: how much is changed, by how many requests, and how much is held back."""
    applied = all(report.applied for report in reports)
    count = sum(len(report.changes) for report in reports)
    held = sum(len(report.held) for report in reports)
    ending = f"; {count_of(held, 'change')} held back" if held else ""
    if not count:
        return f"nothing to change{ending}"
    totals = count_actions(reports)
    verbs = {"create": "created", "update": "updated", "delete": "deleted"} if applied else None
    parts = [
        f"{number} {verbs[action] if verbs else f'to {action}'}"
        for action, number in totals.items()
        if number
    ]
    requests = sum(len(report.plan.requests) for report in reports)
    return f"{', '.join(parts)}: {count_of(count, 'change')}, {count_of(requests, 'request')}{ending}"


def count_actions(reports: Iterable[Report]) -> dict[str, int]:
    """How many things are created, updated and deleted in all."""
    totals = {"create": 0, "update": 0, "delete": 0}
    for report in reports:
        for action, number in report.changes.summary().items():
            totals[action] += number
    return totals


def count_of(number: int, noun: str) -> str:
    """``1 request``, ``2 requests``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def describe_change(change: Change) -> str:
    """A change in a line, without its provider and its reason."""
    return "".join(span.text for span in _spans(change))


def _outline_report(report: Report, requests: bool) -> Iterator[Entry]:
    by_provider: dict[str, list[Change]] = {}
    for change in report.changes:
        by_provider.setdefault(change.uuid, []).append(change)
    for changes in by_provider.values():
        yield _provider(changes)
    if report.held:
        yield line(
            Span(f"{report.node}: held back", "warning"),
            Span(_what_force_does(report.held), "faint"),
            below=[_held(each, report.root_uuid) for each in report.held],
        )
    for notice in report.notices:
        yield line(Span("note: ", "warning"), f"{report.node}: {notice}")
    if requests and report.plan:
        yield line("requests", below=[line(str(each)) for each in report.plan.requests])
    if report.adoption is not None and not report.applied:
        yield line(
            Span("sync will ask for --adopt: ", "warning"),
            report.adoption.what,
            below=[line(report.adoption.advice)],
        )


def _held(held: Held, root_uuid: str) -> Entry:
    """A change that is not made; which provider it is of, where that is not the node itself."""
    change = held.change
    whose = [] if change.uuid == root_uuid else [Span(f"{change.provider}: ", "name")]
    return line(*whose, *_spans(change), Span(f": {held.why}", "warning"))


def _what_force_does(held: Iterable[Held]) -> str:
    forced = {each.forceable for each in held}
    if forced == {True}:
        return " (sync --force makes these as well)"
    return " (sync --force makes some of these as well)" if True in forced else ""


def _provider(changes: Sequence[Change]) -> Entry:
    """The changes of one provider; that it is new or goes stands in its own line."""
    first = changes[0]
    heading = [Span(first.provider, "name"), Span(f" {first.uuid}", "faint")]
    place = next((each for each in changes if each.kind is Kind.PROVIDER), None)
    whole = place is not None and place.action in (Action.CREATE, Action.DELETE)
    if place is not None and whole:
        sign, style = _SIGNS[place.action]
        parent = (place.after or place.before)["parent"]
        under = f" under {parent}" if parent else ""
        heading = [Span(f"{sign}{first.provider}", style), Span(f" {first.uuid}{under}", "faint")]
        heading += _reason(place)
    below = [line(*_spans(each), *_reason(each)) for each in changes if not (whole and each is place)]
    return line(*heading, below=below)


def _reason(change: Change) -> list[Span]:
    return [Span(f"  ({change.reason})", "faint")] if change.reason else []


def _spans(change: Change) -> list[Span]:
    sign, style = _SIGNS.get(change.action, _CHANGED)
    match change.kind:
        case Kind.PROVIDER:
            return [Span(sign, style), Span(_place(change))]
        case Kind.INVENTORY:
            name = change.resource_class or ""
            return [Span(f"{sign}{name}", style), Span(f": {_record(change, name)}")]
        case Kind.TRAITS | Kind.AGGREGATES:
            return _members(change, sign, style)
        case Kind.ALLOCATIONS:
            held = f"{_amounts(change.before)} -> {_amounts(change.after)}"
            return [Span(sign, style), Span(f"allocations of consumer {change.consumer}: {held}")]


def _place(change: Change) -> str:
    old, new = change.before, change.after
    match change.action:
        case Action.RENAME:
            return f"renamed: {old['name']} -> {new['name']}"
        case Action.MOVE:
            return f"moved: from under {old['parent'] or 'nothing'} to under {new['parent'] or 'nothing'}"
        case _:
            parent = (new or old)["parent"]
            return f"provider, under {parent}" if parent else "provider"


def _record(change: Change, name: str) -> str:
    if change.before is None or change.after is None:
        return describe_record((change.after or change.before)[name])
    old, new = change.before[name], change.after[name]
    differing = [field for field in FIELDS if not same_value(field, old[field], new[field])]
    return ", ".join(f"{field} {old[field]} -> {new[field]}" for field in differing)


def _members(change: Change, sign: str, style: Style) -> list[Span]:
    before, after = set(change.before or ()), set(change.after or ())
    if not before or not after:
        return [Span(f"{sign}{change.kind.value}", style), Span(f": {', '.join(sorted(before | after))}")]
    spans = [Span(sign, style), Span(f"{change.kind.value}:")]
    spans += [Span(f" +{each}", "added") for each in sorted(after - before)]
    spans += [Span(f" -{each}", "removed") for each in sorted(before - after)]
    return spans


def _amounts(held: Mapping[str, Mapping[str, Any]]) -> str:
    parts = [
        f"{amount} {resource_class} of {provider}"
        for provider, amounts in held.items()
        for resource_class, amount in amounts.items()
    ]
    return ", ".join(parts) or "nothing"
