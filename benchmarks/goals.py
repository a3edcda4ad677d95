"""What we want to reach, and whether a run did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks import processes, scenarios
from benchmarks.tables import NOVA, OURS, Case, Results, seconds


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal, and what was found."""

    text: str
    found: str
    met: bool


def check(results: Results, figures: Mapping[str, float]) -> list[Goal]:
    """Every goal that the run has measurements for."""
    goals: list[Goal] = []
    for case, by_client in results.items():
        goals += _of_ours(case, results)
        if NOVA in by_client and OURS in by_client:
            goals += _beside_nova(case, results)
    return [*goals, *_of_processes(figures)]


def _of_ours(case: Case, results: Results) -> Iterator[Goal]:
    if OURS not in results[case]:
        return
    ours = results[case][OURS]
    most = {
        scenarios.FIRST_SYNC: 3 * case.providers + 12,
        scenarios.IDLE: 1,
        scenarios.RESTART: 2,
        scenarios.ONE_CHANGE: 2,
    }.get(case.scenario)
    if most is not None:
        sent = ours.cost.requests
        yield Goal(f"{_name(case)}: at most {most} requests", str(sent), sent <= most)
    if ours.in_next_cycle is not None:
        found = "seen" if ours.in_next_cycle else "not seen"
        yield Goal(f"{_name(case)}: seen in the next cycle", found, ours.in_next_cycle)


def _beside_nova(case: Case, results: Results) -> Iterator[Goal]:
    limits: dict[str, float] = {}
    if (case.scenario, case.providers, case.consumers) == (scenarios.IDLE, 10, 50):
        limits = {"cpu": 1 / 20, "wall": 1 / 30}
    elif case.scenario == scenarios.FIRST_SYNC and case.providers >= 10:
        limits = {"requests": 1 / 2, "wall": 1 / 2}
    elif case.scenario == scenarios.ONE_CHANGE and case.providers == 1000:
        limits = {"cpu": 1 / 20}
    elif case.scenario == scenarios.RESHAPE:
        limits = {"wall": 4 / 5 if case.providers <= 10 else 1 / 3}
    nova, ours = (results[case][client].cost for client in (NOVA, OURS))
    for quantity, limit in limits.items():
        share = getattr(ours, quantity) / getattr(nova, quantity)
        text = f"{_name(case)}: {quantity} under {limit:.3f} of Nova's"
        yield Goal(text, f"{share:.3f}", share < limit)


def _of_processes(figures: Mapping[str, float]) -> Iterator[Goal]:
    for name, found in figures.items():
        if name == processes.RSS:
            yield Goal("service: under 70 MB resident", f"{found:.1f} MB", found < 70)
        else:
            limit = 0.3 if name == processes.HELP else 1.0
            yield Goal(f"{name}: under {limit:g} s", seconds(found), found < limit)


def _name(case: Case) -> str:
    of = f"{case.providers} provider{'s' if case.providers > 1 else ''}"
    return f"{case.scenario}, {of}" + (f", {case.consumers} consumers" if case.consumers else "")
