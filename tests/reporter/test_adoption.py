from __future__ import annotations

from reporter.adoption import children_first, is_below
from reporter.placement.client import ProviderSummary


def test_trees_of_any_depth_are_decommissioned() -> None:
    chain = {str(n): ProviderSummary(str(n), f"p{n}", n, str(n - 1) if n else None, "0") for n in range(3000)}
    assert [each.uuid for each in children_first(chain)] == [str(n) for n in reversed(range(3000))]
    assert is_below(chain["2999"], {"0": chain["0"]}, chain)
    assert not is_below(chain["0"], chain, chain)
