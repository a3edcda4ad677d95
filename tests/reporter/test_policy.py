"""What is held back, and the tree that is left."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provider_tree import Action, Change, Changes, Kind, ProviderTree, diff
from provider_tree.errors import UnsupportedChange
from provider_tree.inventory import MAX_INT, capacity, complete
from reporter.errors import InvalidWish
from reporter.policy import Held, Patience, in_use, needs_usages, renames_root, shrinks, without
from tests.functional.drivers import host_tree
from tests.functional.node_trees import possible, two_trees
from tests.strategies import records


def inventory_change(before: dict[str, object] | None, after: dict[str, object] | None) -> Change:
    action = Action.CREATE if before is None else Action.UPDATE if after is not None else Action.DELETE
    return Change(
        Kind.INVENTORY,
        action,
        "node",
        "uuid",
        None if before is None else {"VCPU": complete(before)},
        None if after is None else {"VCPU": complete(after)},
        resource_class="VCPU",
    )


@given(before=records(), after=st.none() | records(), used=st.integers(0, 300))
def test_capacity_never_falls_below_what_is_in_use(
    before: dict[str, object], after: dict[str, object] | None, used: int
) -> None:
    change = inventory_change(before, after)
    left = 0 if after is None else capacity(after)
    held = in_use([change], {"uuid": {"VCPU": used}})
    if left >= used or left >= capacity(before):
        assert not held
    elif not (after and before["total"] == after["total"] == after.get("reserved") == 1):
        assert held
        assert str(used) in held[0].why
        assert needs_usages([change]) == {"uuid"}


def test_what_was_overcommitted_before_may_grow_and_stays_as_it_is() -> None:
    assert not in_use([inventory_change({"total": 4}, {"total": 6})], {"uuid": {"VCPU": 10}})
    assert in_use([inventory_change({"total": 4}, {"total": 3})], {"uuid": {"VCPU": 10}})
    assert not in_use([inventory_change({"total": 4}, {"total": 4, "max_unit": 2})], {"uuid": {"VCPU": 10}})


def test_single_device_that_is_set_aside_while_in_use_is_not_held() -> None:
    """As a device that is to be cleaned after each use: reserved while its user still has it."""
    change = inventory_change({"total": 1, "reserved": 0}, {"total": 1, "reserved": 1})
    assert not in_use([change], {"uuid": {"VCPU": 1}})
    assert not shrinks([change], 50.0, ())


def test_provider_in_use_is_not_deleted() -> None:
    tree = host_tree("gpu0")
    [change] = diff(tree, host_tree())
    assert needs_usages([change]) == {change.uuid}
    assert not in_use([change], {change.uuid: {"VGPU": 0}})
    [held] = in_use([change], {change.uuid: {"VGPU": 2, "VCPU": 0}})
    assert held.why == "in use: 2 VGPU"


@pytest.mark.parametrize(
    ("before", "after", "held"),
    [
        ({"total": 100}, {"total": 50}, False),
        ({"total": 100}, {"total": 49}, True),
        ({"total": 100}, None, True),
        ({"total": 100}, {"total": 100, "reserved": 60}, True),
        ({"total": 100, "allocation_ratio": 4.0}, {"total": 100, "allocation_ratio": 1.0}, True),
        ({"total": 100, "allocation_ratio": 4.0}, {"total": 400}, False),
        ({"total": 1, "reserved": 1}, None, False),
        (None, {"total": 1}, False),
        ({"total": MAX_INT, "allocation_ratio": 1e30}, {"total": 1}, True),
    ],
)
def test_shrinking_by_more_than_half(
    before: dict[str, object] | None, after: dict[str, object] | None, held: bool
) -> None:
    change = inventory_change(before, after)
    assert bool(shrinks([change], 50.0, ())) == held
    assert not shrinks([change], 50.0, {("uuid", "VCPU")}), "what a reshape moves does not count"


def test_held_change_passes_when_it_was_seen_three_times_an_interval_apart() -> None:
    times = [0.0, 10.0, 59.0, 61.0, 100.0, 121.5, 130.0]
    patience = Patience(60.0, iter(times).__next__)
    held = [Held(inventory_change({"total": 8}, {"total": 1}), "shrinks")]
    seen = [[each.why for each in patience.still_held(held)] for _ in times]
    once, twice = ["shrinks; seen 1 of 3 times"], ["shrinks; seen 2 of 3 times"]
    assert seen == [once, once, once, twice, twice, [], []]


def test_patience_starts_anew_when_something_else_is_wished_or_nothing() -> None:
    clock = count(0, 100)
    patience = Patience(60.0, lambda: float(next(clock)))
    one = [Held(inventory_change({"total": 8}, {"total": 3}), "shrinks")]
    other = [Held(inventory_change({"total": 8}, None), "shrinks")]
    for wishes in (one, one, other, one, one, [], one, one):
        assert bool(patience.still_held(wishes)) == bool(wishes)
    assert not patience.still_held(one)


def shrinking_to(total: int) -> list[Held]:
    return [Held(inventory_change({"total": 100}, {"total": total}), "shrinks")]


def test_a_total_that_varies_shrinks_all_the_same() -> None:
    clock = count(0, 60)
    patience = Patience(60.0, lambda: float(next(clock)))
    assert [bool(patience.still_held(shrinking_to(total))) for total in (40, 41, 39)] == [True, True, False]


def test_a_total_that_falls_by_half_once_more_is_waited_for_again() -> None:
    """What was seen twice says nothing of a reading that is gone wrong now."""
    clock = count(0, 60)
    patience = Patience(60.0, lambda: float(next(clock)))
    seen = [bool(patience.still_held(shrinking_to(total))) for total in (40, 40, 1, 1, 1)]
    assert seen == [True, True, True, True, False]


def test_a_round_that_begins_some_milliseconds_early_counts() -> None:
    times = iter([0.0, 59.99, 119.97])
    patience = Patience(60.0, times.__next__)
    assert [bool(patience.still_held(shrinking_to(40))) for _ in range(3)] == [True, True, False]


def test_new_name_of_the_host_holds_what_comes_and_goes_with_it() -> None:
    """A host that booted as localhost names its children after itself, too."""
    before = host_tree("node_gpu", "node_nic")
    after = host_tree("localhost_gpu", root="localhost", vcpus=16)
    after.update_traits("localhost", ["COMPUTE_NODE"])
    root = before.provider("node").uuid
    changes = diff(before, after)
    tree = without(after, before, renames_root(changes, root))
    assert {each.name for each in tree.providers()} == {"node", "node_gpu", "node_nic"}
    assert tree.provider("node").inventory["VCPU"]["total"] == 16
    assert not renames_root(diff(before, host_tree("another")), root)


def test_new_provider_that_is_held_does_not_take_those_with_it_that_were_to_move_there() -> None:
    before = host_tree("gpu0", "gpu1")
    after = before.copy()
    after.new_child("between", "node")
    after.new_child("below", "between")
    after.move("gpu0", "below")
    changes = diff(before, after)
    held = [Held(each, "") for each in changes if each.action is Action.CREATE and each.provider == "between"]
    tree = without(after, before, held)
    assert {each.name for each in tree.providers()} == {"node", "gpu0", "gpu1"}
    assert not diff(before, tree)


def test_move_that_is_held_keeps_the_parent_that_was_to_go() -> None:
    before = host_tree("numa0", "numa1")
    before.new_child("nic", "numa0")
    after = before.copy()
    after.move("nic", "numa1")
    after.remove("numa0")
    held = [Held(each, "") for each in diff(before, after) if each.action is Action.MOVE]
    assert not diff(before, without(after, before, held))


@st.composite
def held_changes(draw: st.DrawFn) -> tuple[ProviderTree, ProviderTree, list[Held]]:
    """Two trees of one node and some of the changes between them; what a new provider has comes with it."""
    current, wanted = draw(two_trees())
    changes = diff(current, wanted) if possible(current, wanted) else Changes()
    may_be_held = [each for each in changes if each.kind is Kind.PROVIDER or each.uuid in current]
    held = [each for each in may_be_held if draw(st.booleans())]
    return current, wanted, [Held(each, "") for each in held]


@given(held_changes())
@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
def test_what_is_held_is_not_changed_and_no_provider_is_lost(
    case: tuple[ProviderTree, ProviderTree, list[Held]],
) -> None:
    current, wanted, held = case
    try:
        tree = without(wanted, current, held)
        left = diff(current, tree)
    except (InvalidWish, UnsupportedChange):
        return  # a name is wanted twice then: said, and nothing is done
    for each in held:
        same = [
            change
            for change in left
            if (change.kind, change.uuid, change.resource_class, change.action)
            == (each.change.kind, each.change.uuid, each.change.resource_class, each.change.action)
        ]
        assert not same
    # To hold something never deletes anything more.
    gone = {each.uuid for each in current.providers() if each.uuid not in tree}
    assert gone <= {each.uuid for each in current.providers() if each.uuid not in wanted}
    # What is not held, and of no provider that is concerned, is as it was to be.
    for provider in wanted.providers():
        concerned = any(each.change.uuid == provider.uuid for each in held)
        if provider.uuid in current and not concerned:
            assert tree.provider(provider.uuid).inventory == provider.inventory
            assert tree.provider(provider.uuid).traits == provider.traits
