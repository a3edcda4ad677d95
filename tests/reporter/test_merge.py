"""The three-way merge: what others set stays, what we want is there, what we wanted once is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from drivers.base import Vocabulary
from provider_tree import Provider, ProviderTree, diff
from reporter.errors import InvalidWish
from reporter.merge import Covered, keep_root, merge, moved_classes
from reporter.state.ledger import Entry, Ledger, after_cycle
from reporter.view import ViewCache, driver_view
from tests.functional.drivers import become, host_tree
from tests.functional.node_trees import ROOT, two_trees

MARKER = "CUSTOM_OURS"
NOBODY_S = Vocabulary()

few = settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))


def some(draw: st.DrawFn, items: frozenset[str]) -> frozenset[str]:
    return frozenset(draw(st.sets(st.sampled_from(sorted(items))))) if items else frozenset()


@st.composite
def cycles(draw: st.DrawFn) -> tuple[ProviderTree, Ledger, ProviderTree]:
    """What Placement has, what of it is ours, and what a driver wants that edits any of it."""
    current, other = draw(two_trees())
    entries = {}
    for provider in current.providers():
        entry = Entry(
            provider.name,
            0,
            draw(st.booleans()),
            some(draw, frozenset(provider.inventory)),
            some(draw, provider.traits),
            some(draw, provider.aggregates),
        )
        if entry:
            entries[provider.uuid] = entry
    ledger = Ledger("node", ROOT.uuid, entries=entries)
    desired = driver_view(current, ledger)
    become(desired, other)
    return current, ledger, desired


def merged(current: ProviderTree, ledger: Ledger, desired: ProviderTree) -> ProviderTree:
    """The merge, where it can be: not if others have a name that the driver wants."""
    try:
        return merge(current, desired, ledger, NOBODY_S, Covered(), MARKER).tree
    except InvalidWish:
        assume(False)
        raise


@given(cycles())
@few
def test_nothing_of_others_is_lost(cycle: tuple[ProviderTree, Ledger, ProviderTree]) -> None:
    current, ledger, desired = cycle
    tree = merged(*cycle)
    for had in current.providers():
        ours = ledger.entry(had.uuid) or Entry(had.name, 0)
        if had.uuid not in tree:
            assert ours.created
            continue
        now = tree.provider(had.uuid)
        assert had.traits - ours.traits <= now.traits
        assert had.aggregates - ours.aggregates <= now.aggregates
        wanted = desired.provider(had.uuid).inventory if had.uuid in desired else {}
        for name in had.inventory.keys() - ours.classes:
            assert now.inventory[name] == wanted.get(name, had.inventory[name])


@given(cycles())
@few
def test_all_that_the_driver_wants_is_there(cycle: tuple[ProviderTree, Ledger, ProviderTree]) -> None:
    current, ledger, desired = cycle
    tree = merged(*cycle)
    for wanted in desired.providers():
        now = tree.provider(wanted.uuid)
        assert (now.name, now.parent_uuid) == (wanted.name, wanted.parent_uuid)
        assert wanted.traits <= now.traits
        assert wanted.aggregates <= now.aggregates
        assert wanted.inventory.items() <= now.inventory.items()
        entry = ledger.entry(wanted.uuid)
        if wanted.uuid not in current or (entry and entry.created):
            assert MARKER in now.traits


@given(cycles())
@few
def test_what_we_set_and_no_longer_want_goes(cycle: tuple[ProviderTree, Ledger, ProviderTree]) -> None:
    _, ledger, desired = cycle
    tree = merged(*cycle)
    for uuid, ours in ledger.entries.items():
        if uuid not in desired:
            kept_for_others = uuid in tree and (tree.children(uuid) or tree.provider(uuid).inventory)
            assert uuid not in tree or kept_for_others or not ours.created
            if kept_for_others and ours.created:
                assert tree.provider(uuid).inventory.keys().isdisjoint(ours.classes)
            continue
        wanted, now = desired.provider(uuid), tree.provider(uuid)
        assert (now.traits & ours.traits) - {MARKER} <= wanted.traits
        assert now.aggregates & ours.aggregates <= wanted.aggregates
        assert now.inventory.keys() & ours.classes <= wanted.inventory.keys()


@given(cycles())
@few
def test_next_cycle_with_the_same_wish_changes_nothing(
    cycle: tuple[ProviderTree, Ledger, ProviderTree],
) -> None:
    current, ledger, desired = cycle
    tree = merged(*cycle)
    settled = after_cycle(ledger, current, tree, tree).valid_for(tree, "")
    again = driver_view(tree, settled, ViewCache())
    become(again, desired)
    assert not diff(tree, merge(tree, again, settled, NOBODY_S, Covered(), MARKER).tree)


def test_vocabulary_is_the_driver_s_whoever_set_it() -> None:
    current = host_tree()
    current.update_traits("node", ["HW_CPU_X86_AVX", "HW_CPU_X86_AVX2", "CUSTOM_X"])
    current.update_inventory("node", {"VCPU": {"total": 8}, "PCPU": {"total": 2}, "CUSTOM_Y": {"total": 1}})
    desired = current.copy()
    desired.update_traits("node", ["HW_CPU_X86_AVX"])
    desired.update_inventory("node", {"VCPU": {"total": 8}})
    words = Vocabulary(trait_prefixes=("HW_CPU_",), classes=frozenset({"PCPU"}))
    root = merge(current, desired, Ledger("node"), words, Covered()).tree.provider("node")
    assert root.traits == {"HW_CPU_X86_AVX", "CUSTOM_X"}
    assert root.inventory.keys() == {"VCPU", "CUSTOM_Y"}


def test_unchanged_providers_are_the_very_same_objects() -> None:
    """So that a diff of a large tree skips them."""
    current = host_tree("gpu0", "gpu1")
    ledger = after_cycle(Ledger("node"), ProviderTree(), current, current)
    desired = driver_view(current, ledger)
    become(desired, current)
    tree = merge(current, desired, ledger, NOBODY_S, Covered()).tree
    assert all(tree.provider(each.uuid) is each for each in current.providers())


@pytest.mark.parametrize("ours", [True, False])
def test_root_that_a_driver_takes_away_is_a_defect_of_the_driver(ours: bool) -> None:
    current = host_tree("gpu0")
    ledger = after_cycle(Ledger("node"), ProviderTree(), current, current) if ours else Ledger("node")
    with pytest.raises(InvalidWish, match="root"):
        merge(current, ProviderTree(), ledger, NOBODY_S, Covered())


def test_root_that_a_driver_takes_away_from_a_new_node_is_one_too() -> None:
    with pytest.raises(InvalidWish, match="removed the root"):
        merge(ProviderTree(), ProviderTree(), Ledger("node"), NOBODY_S, Covered())


def test_second_root_is_a_defect_of_the_driver() -> None:
    current = host_tree()
    desired = host_tree()
    desired.new_root("storage", "99999999-9999-4999-8999-999999999999")
    with pytest.raises(InvalidWish, match="storage"):
        merge(current, desired, Ledger("node"), NOBODY_S, Covered())


def test_reshape_covers_what_moves_and_whose_allocations_move() -> None:
    current = host_tree("gpu0", "theirs")
    current.update_inventory("node", {"VCPU": {"total": 8}, "VGPU": {"total": 8}, "PCPU": {"total": 2}})
    desired = current.copy()
    desired.remove("theirs")
    desired.update_inventory("node", {})
    desired.new_child("gpu1", "node")
    desired.update_inventory("gpu1", {"VGPU": {"total": 8}})
    root = current.provider("node").uuid
    covered = moved_classes(current, desired, {(root, "PCPU")})
    assert {name for uuid, name in covered.classes if uuid == root} == {"VGPU", "PCPU"}
    # Its class appears elsewhere, but nobody's allocations left it: it may well be a neighbour's.
    assert not covered.whole_provider(current.provider("theirs"))
    gone = current.provider("theirs").uuid
    assert moved_classes(current, desired, {(gone, "VGPU")}).whole_provider(current.provider("theirs"))


def test_children_mode_counts_what_it_drops() -> None:
    current = host_tree("gpu0")
    desired = current.copy()
    desired.update_inventory("node", {"VCPU": {"total": 9}, "PCPU": {"total": 1}})
    desired.update_traits("node", ["COMPUTE_NODE", "CUSTOM_A"])
    desired.rename("node", "another name")
    desired.update_traits("gpu0", ["CUSTOM_B"])
    wanted = merge(current, desired, Ledger("node"), NOBODY_S, Covered())
    kept = keep_root(wanted, current, current.provider("node").uuid)
    assert kept.tree.provider("node") is current.provider("node")
    assert "CUSTOM_B" in kept.tree.provider("gpu0").traits
    # VCPU, PCPU, CUSTOM_A and the name; what the driver left out stays anyhow.
    assert kept.notices == ("root not ours: 4 records",)


def test_view_is_made_again_when_the_provider_or_the_ledger_has_changed() -> None:
    current = host_tree()
    uuid = current.provider("node").uuid
    cache = ViewCache()
    first = Ledger("node", uuid, entries={uuid: Entry("node", 0, traits=frozenset({"COMPUTE_NODE"}))})
    assert driver_view(current, first, cache).provider("node").traits == {"CUSTOM_HOST"}
    second = Ledger("node", uuid, entries={uuid: Entry("node", 0, traits=frozenset({"CUSTOM_HOST"}))})
    assert driver_view(current, second, cache).provider("node").traits == {"COMPUTE_NODE"}
    current.add_traits("node", "CUSTOM_NEW")
    assert driver_view(current, second, cache).provider("node").traits == {"COMPUTE_NODE", "CUSTOM_NEW"}
    adopted: Provider = replace(current.provider("node"), traits=frozenset())
    current.replace(adopted)
    assert driver_view(current, second, cache).provider("node").traits == frozenset()
