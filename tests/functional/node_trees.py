"""Hypothesis strategies for trees of one node, and for what becomes of them."""

from __future__ import annotations

from hypothesis import strategies as st

from provider_tree import Provider, ProviderTree, diff
from provider_tree.errors import UnsupportedChange
from tests.strategies import contents, provider_names, uuids, valid_trees

ROOT = Provider("00000000-0000-4000-8000-00000000000a", "the node")


def _add(draw: st.DrawFn, tree: ProviderTree) -> None:
    parent = draw(st.sampled_from(list(tree.providers())))
    name = draw(provider_names.filter(lambda name: name not in tree))
    uuid = tree.new_child(name, parent.uuid, uuid=draw(uuids.filter(lambda uuid: uuid not in tree)))
    tree.replace(draw(contents(tree.provider(uuid))))


def _remove(draw: st.DrawFn, tree: ProviderTree) -> None:
    if provider := _child(draw, tree):
        tree.remove(provider.uuid)


def _put_in_place_of(draw: st.DrawFn, tree: ProviderTree) -> None:
    """Another provider with the name of one that goes."""
    if provider := _child(draw, tree):
        tree.remove(provider.uuid)
        parent = draw(st.sampled_from(list(tree.providers())))
        uuid = tree.new_child(
            provider.name, parent.uuid, uuid=draw(uuids.filter(lambda uuid: uuid not in tree))
        )
        tree.replace(draw(contents(tree.provider(uuid))))


def _rename(draw: st.DrawFn, tree: ProviderTree) -> None:
    if provider := _child(draw, tree):
        tree.rename(provider.uuid, draw(provider_names.filter(lambda name: name not in tree)))


def _move(draw: st.DrawFn, tree: ProviderTree) -> None:
    if provider := _child(draw, tree):
        below = set(tree.get_provider_uuids(provider.uuid))
        parents = [each.uuid for each in tree.providers() if each.uuid not in below]
        tree.move(provider.uuid, draw(st.sampled_from(parents)))


def _refill(draw: st.DrawFn, tree: ProviderTree) -> None:
    tree.replace(draw(contents(draw(st.sampled_from(list(tree.providers()))))))


def _child(draw: st.DrawFn, tree: ProviderTree) -> Provider | None:
    children = [each for each in tree.providers() if each.parent_uuid is not None]
    return draw(st.sampled_from(children)) if children else None


EDITS = (_add, _remove, _put_in_place_of, _rename, _move, _refill)


@st.composite
def node_trees(draw: st.DrawFn, max_size: int = 6) -> ProviderTree:
    """A tree of the one node of these tests."""
    tree = draw(valid_trees(1, max_size, roots=1))
    root = next(iter(tree.roots))
    others = [
        each if each.parent_uuid != root.uuid else _below(each, ROOT.uuid)
        for each in tree.providers()
        if each.uuid != root.uuid
    ]
    return ProviderTree.from_providers([draw(contents(ROOT)), *others])


def _below(provider: Provider, parent: str) -> Provider:
    return Provider(
        provider.uuid,
        provider.name,
        provider.generation,
        parent,
        provider.inventory,
        provider.traits,
        provider.aggregates,
    )


@st.composite
def two_trees(draw: st.DrawFn) -> tuple[ProviderTree, ProviderTree]:
    """Two trees of one node: the second edited from the first, or another one altogether."""
    first = draw(node_trees())
    if draw(st.integers(0, 3)) == 0:
        second = draw(node_trees())
    else:
        second = first.copy()
        for edit in draw(st.lists(st.sampled_from(EDITS), max_size=6)):
            edit(draw, second)
    return first, second


def possible(first: ProviderTree, second: ProviderTree) -> bool:
    """Whether requests can lead from one to the other: not if two swap names, or parent and child places."""
    try:
        diff(first, second)
    except UnsupportedChange:
        return False
    return True
