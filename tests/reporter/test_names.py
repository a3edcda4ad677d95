"""Which names Placement has to learn, and which it can never know."""

from __future__ import annotations

from hypothesis import given

from provider_tree import ProviderTree, diff
from provider_tree.errors import UnsupportedChange
from reporter.names import Known, Names, names_to_ask_for, without_names
from tests.strategies import tree_pairs, valid_trees


def known(classes: str = "", traits: str = "") -> Known:
    return Known(frozenset(classes.split()), frozenset(traits.split()))


def test_custom_names_are_to_be_created_and_standard_ones_are_strange() -> None:
    names = Names()
    asked = known("VCPU CUSTOM_A CUSTOM_B", "COMPUTE_NODE HW_NEW CUSTOM_T")
    names.learn(asked, known("VCPU CUSTOM_A", "COMPUTE_NODE"))
    assert names.missing(asked) == known("CUSTOM_B", "CUSTOM_T")
    assert names.strange() == known(traits="HW_NEW")


def test_strange_names_are_asked_for_again_after_a_while() -> None:
    names = Names()
    names.learn(known("VCPU", "HW_NEW"), known("VCPU"))
    names.ask_again()
    assert names.asked == known("VCPU")
    assert names.strange() == Known()
    names.learn(known(traits="HW_NEW"), known(traits="HW_NEW"))
    assert names.found == known("VCPU", "HW_NEW")


@given(tree_pairs())
def test_only_what_no_provider_has_is_asked_for(trees: tuple[ProviderTree, ProviderTree]) -> None:
    current, wanted = trees
    try:
        changes = diff(current, wanted)
    except UnsupportedChange:
        return
    asked = names_to_ask_for(changes, current)
    had_classes = {name for each in current.providers() for name in each.inventory}
    had_traits = {name for each in current.providers() for name in each.traits}
    new_classes = {name for each in wanted.providers() for name in each.inventory} - had_classes
    new_traits = {name for each in wanted.providers() for name in each.traits} - had_traits
    assert asked == Known(frozenset(new_classes), frozenset(new_traits))


@given(valid_trees())
def test_without_names(tree: ProviderTree) -> None:
    names = known("VCPU SRIOV_NET_VF", "HW_NUMA_ROOT OWNER_NOVA")
    left, had = without_names(tree, names, ProviderTree())
    for each in left.providers():
        before = tree.provider(each.uuid)
        assert each.inventory.keys() == before.inventory.keys() - names.classes
        assert each.traits == before.traits - names.traits
    assert had.classes == {name for each in tree.providers() for name in each.inventory} & names.classes
    assert had.traits == {name for each in tree.providers() for name in each.traits} & names.traits
    # What Placement has by now stays.
    assert not diff(tree, without_names(tree, names, tree)[0])
