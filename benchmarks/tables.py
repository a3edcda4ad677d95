"""Samples → medians, and medians → tables that read well as text and as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.meter import Cost
from benchmarks.scenarios import ALL, Sample

NOVA, OURS = "Nova 34", "ours"


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """What was measured, whoever did it."""

    scenario: str
    consumers: int
    providers: int


@dataclass(frozen=True, slots=True)
class Result:
    """The medians of a case for one client, out of ``goes`` measurements.

    :ivar in_next_cycle: each time; None where the question makes no sense
    """

    cost: Cost
    goes: int
    in_next_cycle: bool | None = None


Results = dict[Case, dict[str, Result]]
"""Case → client → medians."""


def medians(samples: Iterable[Sample]) -> Results:
    """The medians of the samples, in the order of the scenarios."""
    groups: dict[Case, dict[str, list[Sample]]] = {}
    for each in samples:
        case = Case(each.scenario, each.consumers, each.providers)
        groups.setdefault(case, {}).setdefault(each.client, []).append(each)
    order = sorted(groups, key=lambda case: (ALL.index(case.scenario), case.consumers, case.providers))
    return {case: {client: _median(several) for client, several in groups[case].items()} for case in order}


def _median(samples: list[Sample]) -> Result:
    told = [each.in_next_cycle for each in samples if each.in_next_cycle is not None]
    return Result(
        Cost(
            int(statistics.median(each.cost.requests for each in samples)),
            statistics.median(each.cost.cpu for each in samples),
            statistics.median(each.cost.wall for each in samples),
        ),
        len(samples),
        all(told) if told else None,
    )


def comparison(results: Results) -> str:
    """Both clients side by side; a ratio is Nova's divided by ours."""
    header = ["", "consumers", "providers", "requests: Nova", "ours"]
    header += ["CPU: Nova", "ours", "ratio", "wall: Nova", "ours", "ratio"]
    rows = []
    for case, by_client in results.items():
        nova = by_client[NOVA].cost if NOVA in by_client else None
        ours = by_client[OURS].cost if OURS in by_client else None
        row = [case.scenario, str(case.consumers), str(case.providers)]
        row += [str(each.requests) if each else "-" for each in (nova, ours)]
        for name in ("cpu", "wall"):
            pair = [getattr(each, name) if each else None for each in (nova, ours)]
            row += [seconds(each) for each in pair]
            row.append(f"{pair[0] / pair[1]:.1f}" if pair[0] and pair[1] else "-")
        rows.append(row)
    return table(header, rows)


def seconds(value: float | None) -> str:
    """A time for people."""
    if value is None:
        return "-"
    if value >= 1:
        return f"{value:.1f} s"
    return f"{value * 1e3:.0f} ms" if value >= 0.1 else f"{value * 1e3:.1f} ms"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they must be: the first to the left, the others to the right."""
    widths = [max(len(line[at]) for line in [header, *rows]) for at in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [header, rule, *rows]
    return "\n".join(
        "| " + " | ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) + " |"
        for line in lines
    )
