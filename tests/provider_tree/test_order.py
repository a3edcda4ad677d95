"""The order of changes where names and places pass from one provider to another."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider_tree import Kind, Provider, ProviderTree, UnsupportedChange, diff
from tests.provider_tree.apply import apply_changes


def make(*places):
    """A tree of "uuid name parent" lines."""
    rows = [place.split() for place in places]
    return ProviderTree.from_providers(
        Provider(uuid, name, 1, parent[0] if parent else None) for uuid, name, *parent in rows
    )


def said(current, desired):
    changes = diff(current, desired)
    apply_changes(current, changes)
    return [str(change) for change in changes]


def test_a_name_freed_by_a_deletion():
    current, desired = make("r host", "a gpu r"), make("r host", "b gpu r")
    assert said(current, desired) == ["delete gpu", "create gpu under host"]


def test_a_name_freed_by_a_rename():
    current, desired = make("r host", "a gpu r"), make("r host", "a gpu1 r", "b gpu r")
    assert said(current, desired) == ["rename gpu -> gpu1", "create gpu under host"]


def test_a_chain_of_renames_begins_at_its_free_end():
    current, desired = make("r 1", "a 2 r", "b 3 a"), make("r 2", "a 3 r", "b 4 a")
    assert said(current, desired) == ["rename 3 -> 4", "rename 2 -> 3", "rename 1 -> 2"]


def test_a_child_that_takes_over_from_its_deleted_parent():
    current, desired = make("r host", "a gpu r", "b part a"), make("r host", "b gpu r")
    assert said(current, desired) == ["move gpu from gpu to host", "delete gpu", "rename part -> gpu"]


def test_a_new_parent_that_takes_the_name_of_its_child():
    current, desired = make("r host", "a gpu r"), make("r host", "n gpu r", "a part n")
    assert said(current, desired) == [
        "rename gpu -> part",
        "create gpu under host",
        "move part from host to gpu",
    ]


def test_children_of_a_deleted_provider_are_moved_first():
    current, desired = make("r host", "a numa r", "b gpu a"), make("r host", "b gpu r")
    assert said(current, desired) == ["move gpu from numa to host", "delete numa"]


@pytest.mark.parametrize(
    ("current", "desired"),
    [
        (("r host", "a one r", "b two r"), ("r host", "a two r", "b one r")),
        (("r host", "a one r", "b two r", "c three r"), ("r host", "a two r", "b three r", "c one r")),
    ],
)
def test_names_that_go_round_have_no_order(current, desired):
    with pytest.raises(UnsupportedChange, match=r"needs another one made first: rename .+; rename") as error:
        diff(make(*current), make(*desired))
    assert "a name that is free" in error.value.advice


def test_a_replacement_that_keeps_the_name_and_takes_over_the_children():
    current, desired = make("r host", "a numa r", "b gpu a"), make("r host", "n numa r", "b gpu n")
    assert said(current, desired) == ["create numa under host", "move gpu from numa to numa", "delete numa"]


@pytest.mark.parametrize(
    ("current", "desired"),
    [
        (("r host", "a numa r", "b gpu a"), ("r host", "b gpu r", "a numa b")),
        (("a numa", "b gpu a"), ("b gpu", "a numa b")),
        (("r host", "a numa r", "b gpu a"), ("r host", "b gpu r", "n new b", "a numa n")),
    ],
)
def test_parent_and_child_do_not_trade_places(current, desired):
    with pytest.raises(
        UnsupportedChange, match=r"numa and gpu would trade places: gpu is below numa"
    ) as error:
        diff(make(*current), make(*desired))
    assert error.value.advice


@st.composite
def small_trees(draw):
    """Trees of a few uuids and names, so that two of them contend for both."""
    size = draw(st.integers(0, 4))
    ids = draw(st.permutations("abcde"))[:size]
    names = draw(st.permutations("12345"))[:size]
    providers = []
    for uuid, name in zip(ids, names, strict=True):
        parents = [None, *(each.uuid for each in providers)]
        providers.append(Provider(uuid, name, None, draw(st.sampled_from(parents))))
    return ProviderTree.from_providers(providers)


def places(tree):
    return {(each.uuid, each.name, each.parent_uuid) for each in tree.providers()}


@settings(max_examples=300)
@given(small_trees(), small_trees())
def test_what_has_an_order_gets_one_unless_providers_trade_places(current, desired):
    try:
        changes = diff(current, desired)
    except UnsupportedChange as error:
        if "trade places" not in error.what:
            assert not has_order(current, desired)
        return
    assert all(change.kind is Kind.PROVIDER for change in changes)
    assert places(apply_changes(current, changes)) == places(desired)


def has_order(current, desired):
    """Whether any order of the single changes is possible, by trying them all."""
    steps = []
    before, after = current.by_uuid(), desired.by_uuid()
    for uuid, provider in after.items():
        if uuid not in before:
            steps.append(("create", provider))
            continue
        if before[uuid].name != provider.name:
            steps.append(("rename", provider))
        if before[uuid].parent_uuid != provider.parent_uuid:
            steps.append(("move", provider))
    steps += [("delete", provider) for uuid, provider in before.items() if uuid not in after]
    return search(current, steps)


def search(tree, steps):
    if not steps:
        return True
    for at, step in enumerate(steps):
        try:
            next_tree = made(tree, *step)
        except ValueError:
            continue
        if search(next_tree, steps[:at] + steps[at + 1 :]):
            return True
    return False


def made(tree, action, provider):
    tree = tree.copy()
    if action == "create" and provider.parent_uuid is None:
        tree.new_root(provider.name, provider.uuid)
    elif action == "create":
        tree.new_child(provider.name, provider.parent_uuid, uuid=provider.uuid)
    elif action == "rename":
        tree.rename(provider.uuid, provider.name)
    elif action == "move":
        tree.move(provider.uuid, provider.parent_uuid)
    elif tree.children(provider.uuid):
        raise ValueError
    else:
        tree.remove(provider.uuid)
    return tree
