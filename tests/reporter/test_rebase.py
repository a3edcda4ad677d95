"""What we were to change is changed on what others have made of it meanwhile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reporter.rebase import rebased_inventory, rebased_members

members = st.frozensets(st.sampled_from("abcdef"))
records = st.fixed_dictionaries(
    {"total": st.integers(1, 3)}, optional={"allocation_ratio": st.sampled_from([1.0, 2.0])}
)
inventories = st.dictionaries(st.sampled_from(["VCPU", "VGPU", "CUSTOM_A"]), records)


@given(before=members, planned=members, now=members)
def test_members_that_we_bring_or_take_away_are_ours_and_all_others_theirs(
    before: frozenset[str], planned: frozenset[str], now: frozenset[str]
) -> None:
    result = rebased_members(before, sorted(planned), now)
    touched = before ^ planned
    assert result & touched == planned & touched
    assert result - touched == now - touched


@given(before=inventories, planned=inventories, now=inventories)
def test_classes_that_only_one_side_changed_are_as_that_side_has_them(
    before: dict[str, dict[str, float]],
    planned: dict[str, dict[str, float]],
    now: dict[str, dict[str, float]],
) -> None:
    def filled(inventory: dict[str, dict[str, float]], name: str) -> dict[str, float] | None:
        return {"allocation_ratio": 1.0, **inventory[name]} if name in inventory else None

    names = before.keys() | planned.keys() | now.keys()
    ours = {name for name in names if filled(before, name) != filled(planned, name)}
    theirs = {name for name in names if filled(before, name) != filled(now, name)}
    result = rebased_inventory(before, planned, now)
    assert (result is None) == bool(ours & theirs)
    if result is not None:
        for name in names:
            assert filled(result, name) == filled(planned if name in ours else now, name)
