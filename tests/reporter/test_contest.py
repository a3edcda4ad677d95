"""Counting rounds of a contest, without a Placement."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from provider_tree import Changes, Kind, ProviderTree, diff
from provider_tree.errors import UnsupportedChange
from reporter.contest import ROUNDS, Contest
from reporter.policy import without
from reporter.state.directory import StateDirectory
from reporter.state.ledger import Entry, Ledger
from tests.strategies import tree_pairs


def everything_set(tree: ProviderTree) -> Ledger:
    """A ledger that says that all of the tree is ours."""
    return Ledger(
        "node",
        entries={
            each.uuid: Entry(
                each.name,
                0,
                created=True,
                classes=frozenset(each.inventory),
                traits=each.traits,
                aggregates=each.aggregates,
            )
            for each in tree.providers()
        },
    )


def possible(trees: tuple[ProviderTree, ProviderTree]) -> Changes:
    """The changes from the first to the second; none if requests cannot lead there."""
    try:
        return diff(*trees)
    except UnsupportedChange:
        return Changes()


@given(tree_pairs())
def test_all_that_is_undone_three_times_is_left_alone(trees: tuple[ProviderTree, ProviderTree]) -> None:
    changes, contest = possible(trees), Contest()
    ledger = everything_set(trees[1])
    for _ in range(ROUNDS):
        assert contest.left_alone(changes) == []
        contest.made(changes, [], ledger)
    held = contest.left_alone(changes)
    assert [each.change for each in held] == list(changes)
    contest.made([], held, ledger)
    assert contest.left_alone(changes) == held
    contest.made([], [], ledger)
    assert contest.left_alone(changes) == []


@given(tree_pairs())
def test_what_we_set_for_the_first_time_is_no_contest(trees: tuple[ProviderTree, ProviderTree]) -> None:
    current, wanted = trees
    creations = [each for each in possible((ProviderTree(), wanted)) if each.uuid not in current]
    contest = Contest()
    for _ in range(ROUNDS):
        contest.made(creations, [], Ledger("node"))
    assert contest.left_alone(creations) == []


@given(tree_pairs(min_size=1))
def test_records_left_alone_are_as_others_have_them(trees: tuple[ProviderTree, ProviderTree]) -> None:
    current, wanted = trees
    records = (Kind.INVENTORY, Kind.TRAITS, Kind.AGGREGATES)
    changes = [
        each
        for each in possible(trees)
        if each.kind in records and each.uuid in current and each.uuid in wanted
    ]
    contest = Contest()
    for _ in range(ROUNDS):
        contest.made(changes, [], everything_set(wanted))
    tree = without(wanted, current, contest.left_alone(changes))
    for uuid in {each.uuid for each in changes}:
        is_now, had = tree.provider(uuid), current.provider(uuid)
        assert (is_now.traits, is_now.aggregates) == (had.traits, had.aggregates)
        assert is_now.inventory.keys() == had.inventory.keys()


def test_rounds_outlive_the_process(tmp_path: Path) -> None:
    state, wanted = StateDirectory(tmp_path), ProviderTree()
    current = ProviderTree()
    for tree, total in ((current, 1), (wanted, 8)):
        tree.new_root("node", "11111111-1111-4111-8111-111111111111", 1)
        tree.update_inventory("node", {"VCPU": {"total": total, "allocation_ratio": 1.1}})
    changes = diff(current, wanted)
    for _ in range(ROUNDS):
        contest = Contest()
        contest.load(state, "node")
        assert contest.left_alone(changes) == []
        contest.made(changes, [], Ledger("node"))
        contest.save(state, "node")
    contest = Contest()
    contest.load(state, "node")
    assert [each.change for each in contest.left_alone(changes)] == list(changes)


@pytest.mark.parametrize("others", ["CUSTOM_THEIRS", "CUSTOM_OURS"])
def test_members_that_come_and_go_beside_do_not_count(others: str) -> None:
    contest = Contest()
    for number in range(ROUNDS + 1):
        current, wanted = ProviderTree(), ProviderTree()
        for tree in (current, wanted):
            tree.new_root("node", "11111111-1111-4111-8111-111111111111", 1)
        current.update_traits("node", [others] if number % 2 else [])
        wanted.update_traits("node", [others, "CUSTOM_A"] if number % 2 else ["CUSTOM_A"])
        changes = diff(current, wanted)
        held = contest.left_alone(changes)
        contest.made(changes, held, everything_set(wanted))
    assert [str(each.change) for each in held] == ["traits +CUSTOM_A"]
