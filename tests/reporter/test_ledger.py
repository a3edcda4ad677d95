"""What we remember of what we set: it covers all that is ours, at any moment, and nothing of others'."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from provider_tree import ProviderTree, diff
from provider_tree.errors import UnsupportedChange
from reporter.errors import StateError
from reporter.names import Known
from reporter.plan import make_plan
from reporter.state.directory import StateDirectory
from reporter.state.ledger import (
    Entry,
    Ledger,
    LedgerCache,
    after_cycle,
    before_writing,
    former_name,
    load_ledger,
    save_ledger,
)
from tests.functional.drivers import host_tree
from tests.reporter.model import Model
from tests.strategies import edited, valid_trees

Cycle = tuple[Ledger, ProviderTree, ProviderTree]
EVERYTHING = Known(frozenset(), frozenset())


def some(draw: st.DrawFn, items: frozenset[str]) -> frozenset[str]:
    return frozenset(draw(st.sets(st.sampled_from(sorted(items))))) if items else frozenset()


@st.composite
def entries(draw: st.DrawFn, tree: ProviderTree) -> dict[str, Entry]:
    """What we may have set of what is there, at any generation until now."""
    drawn = {}
    for each in tree.providers():
        entry = Entry(
            each.name,
            draw(st.integers(0, each.generation or 0)),
            draw(st.booleans()),
            some(draw, frozenset(each.inventory)),
            some(draw, each.traits),
            some(draw, each.aggregates),
        )
        if entry:
            drawn[each.uuid] = entry
    return drawn


@st.composite
def cycles(draw: st.DrawFn) -> Cycle:
    """A ledger that is valid for what Placement has, and what it is to have."""
    before = draw(valid_trees(1, 5, roots=1))
    root = next(iter(before.roots)).uuid
    wanted = draw(edited(before))
    assume([each.uuid for each in wanted.roots] == [root])
    return Ledger("node", root, entries=draw(entries(before))), before, wanted


def after(wanted: ProviderTree, later: int) -> ProviderTree:
    """The tree when it has been written: each generation has moved on."""
    tree = wanted.copy()
    for each in list(tree.providers()):
        tree.replace(replace(each, generation=(each.generation or 0) + later))
    return tree


@settings(max_examples=50)
@given(cycles(), st.integers(0, 5))
def test_what_we_brought_is_ours_and_what_was_there_is_not(cycle: Cycle, later: int) -> None:
    ledger, before, wanted = cycle
    settled = after_cycle(ledger, before, wanted, after(wanted, later))
    assert settled.entries.keys() <= {each.uuid for each in wanted.providers()}
    for now in wanted.providers():
        was, old = ledger.entry(now.uuid), settled.entry(now.uuid)
        ours, entry = was or Entry(now.name, 0), old or Entry(now.name, 0)
        if now.uuid not in before:
            assert entry.created
            assert (entry.classes, entry.traits, entry.aggregates) == (
                frozenset(now.inventory),
                now.traits,
                now.aggregates,
            )
            continue
        had = before.provider(now.uuid)
        assert entry.created == ours.created
        changed = {name for name, each in now.inventory.items() if had.inventory.get(name) != each}
        assert entry.classes == (ours.classes & now.inventory.keys()) | changed
        assert entry.traits == (ours.traits & now.traits) | (now.traits - had.traits)
        assert entry.aggregates == (ours.aggregates & now.aggregates) | (now.aggregates - had.aggregates)
    # It stands, and a cycle that changes nothing changes nothing.
    written = after(wanted, later)
    assert settled.valid_for(written, "") is settled
    assert after_cycle(settled, written, written, written) == settled


@settings(max_examples=50)
@given(cycles(), st.randoms(use_true_random=False))
def test_ledger_that_was_written_ahead_covers_what_a_crash_leaves(cycle: Cycle, random: object) -> None:
    ledger, before, wanted = cycle
    try:
        changes = diff(before, wanted)
    except UnsupportedChange:
        assume(False)
    intent = before_writing(ledger, before, wanted)
    # Nothing that was ours is forgotten, and generations that were valid still are.
    for uuid, old in ledger.entries.items():
        entry = intent.entries[uuid]
        assert old.classes <= entry.classes
        assert old.traits <= entry.traits
        assert old.aggregates <= entry.aggregates
        assert entry.created >= old.created
        assert entry.generation <= old.generation
    names = [each for tree in (before, wanted) for each in tree.providers()]
    model = Model(
        before,
        Known(
            frozenset(name for each in names for name in each.inventory),
            frozenset(trait for each in names for trait in each.traits),
        ),
    )
    for request in make_plan(changes, before, wanted, EVERYTHING).requests:
        model.make(request)
        left = model.tree()
        valid = intent.valid_for(left, "")
        for now in left.providers():
            entry = valid.entry(now.uuid) or Entry(now.name, 0)
            if now.uuid not in before:
                assert entry.created
                continue
            had = before.provider(now.uuid)
            brought = {name for name in now.inventory if now.inventory[name] != had.inventory.get(name)}
            # A record that only has its defaults spelt out is no other.
            brought = {name for name in brought if name not in had.inventory}
            assert brought <= entry.classes
            assert now.traits - had.traits <= entry.traits
            assert now.aggregates - had.aggregates <= entry.aggregates
        # What others had there is not claimed.
        for uuid, entry in intent.entries.items():
            if uuid in before:
                ours = ledger.entry(uuid) or Entry("", 0)
                had = before.provider(uuid)
                assert not (entry.traits - ours.traits) & had.traits
                assert not (entry.aggregates - ours.aggregates) & had.aggregates
                assert entry.created == ours.created


def test_entry_counts_while_placement_has_the_provider_and_no_older() -> None:
    tree = ProviderTree()
    tree.new_root("node", "root", generation=5)
    tree.new_child("gpu", "node", uuid="gpu", generation=0)

    def valid(uuid: str, generation: int) -> bool:
        ledger = Ledger("node", "root", entries={uuid: Entry("x", generation, created=True)})
        return ledger.valid_for(tree, "").entry(uuid) is not None

    assert valid("root", 4)
    assert valid("root", 5)
    assert valid("gpu", 0)
    assert not valid("root", 6)
    assert not valid("gpu", 1)
    assert not valid("gone", 0)
    assert Ledger("node").valid_for(tree, "") == Ledger("node")


def test_generation_that_is_not_told_is_bounded_by_what_is_known() -> None:
    """After a request whose answer does not say: never above what Placement has, or it would not count."""
    before = ProviderTree()
    before.new_root("node", "root", generation=7)
    wanted = before.copy()
    wanted.add_traits("node", "CUSTOM_A")
    wanted.new_child("gpu", "node", uuid="gpu")
    untold = wanted.copy()
    untold.replace(replace(untold.provider("node"), generation=None))
    settled = after_cycle(Ledger("node", "root"), before, wanted, untold)
    assert settled.entries["root"].generation == 7
    assert settled.entries["gpu"].generation == 0


def test_root_is_ours_if_we_made_it_or_it_was_given_to_us() -> None:
    made = Ledger("node", "root", entries={"root": Entry("node", 1, created=True)})
    assert made.owns_root()
    assert not replace(made, root_uuid="other").owns_root()
    assert not Ledger("node", entries=made.entries).owns_root()
    assert not Ledger("node", "root", entries={"root": Entry("node", 1)}).owns_root()
    assert Ledger("node", "root", adopted=True).owns_root()


# In the state directory


ledgers = st.builds(
    Ledger,
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
    st.none() | st.uuids().map(str),
    st.booleans(),
    valid_trees().flatmap(entries),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ledger=ledgers)
def test_ledger_comes_back_as_it_was(ledger: Ledger, tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / str(os.urandom(8).hex()))
    assert load_ledger(state, ledger.node) == Ledger(ledger.node)
    save_ledger(state, ledger)
    assert load_ledger(state, ledger.node) == ledger
    assert state.nodes() == [ledger.node]


@pytest.mark.parametrize(
    "damage",
    [
        {"providers": 3},
        {"providers": {"uuid": {"name": "x"}}},
        {"providers": {"uuid": {"name": "x", "generation": None, "created": True}}},
        {"providers": []},
        {"format_version": 2},
        {"format_version": "1"},
    ],
)
def test_what_is_no_ledger_is_an_error_that_says_what_to_do(tmp_path: Path, damage: object) -> None:
    state = StateDirectory(tmp_path)
    save_ledger(state, Ledger("node", "root", entries={"root": Entry("node", 1, created=True)}))
    file = state.node_file("node", "ledger")
    file.write_text(json.dumps({**json.loads(file.read_text()), **damage}))  # type: ignore[dict-item] # a dict
    with pytest.raises(StateError) as error:
        load_ledger(state, "node")
    assert str(file) in error.value.what
    assert error.value.advice


def test_cache_notices_what_others_write(tmp_path: Path) -> None:
    state, cache = StateDirectory(tmp_path), LedgerCache()
    assert cache.load(state, "node") == Ledger("node")
    first = Ledger("node", "root")
    cache.save(state, first)
    assert cache.load(state, "node") is first
    assert LedgerCache().load(state, "node") == first
    # ``adopt`` in another process
    adopted = Ledger("node", "root", adopted=True)
    save_ledger(state, adopted)
    loaded = cache.load(state, "node")
    assert loaded == adopted
    assert cache.load(state, "node") is loaded
    # ``forget``
    state.delete(state.node_file("node", "ledger"))
    assert cache.load(state, "node") == Ledger("node")


def test_former_name_of_a_host(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    assert former_name(state, "new", "root", "host") is None
    save_ledger(state, Ledger("old", "root", driver="host"))
    # By its uuid, where the host tells; else if there is no other node that it could be.
    assert former_name(state, "new", "root", None) == "old"
    assert former_name(state, "new", "another", "host") is None
    assert former_name(state, "new", None, "host") == "old"
    assert former_name(state, "new", None, "static") is None
    assert former_name(state, "new", None, None) is None
    save_ledger(state, Ledger("third", "other root", driver="host"))
    assert former_name(state, "new", None, "host") is None
    assert former_name(state, "new", "other root", "host") == "third"


def test_entry_that_is_all_there() -> None:
    provider = host_tree("gpu0").provider("gpu0")
    assert Entry("gpu0", 0, classes=frozenset({"VGPU"}), traits=frozenset({"CUSTOM_GPU"})).is_all_in(provider)
    assert not Entry("gpu0", 0, classes=frozenset({"VGPU", "VCPU"})).is_all_in(provider)
    assert not Entry("gpu0", 0, traits=frozenset({"CUSTOM_B"})).is_all_in(provider)
    assert not Entry("gpu0", 0, aggregates=frozenset({"a"})).is_all_in(provider)
