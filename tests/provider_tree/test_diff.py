import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider_tree import Action, Change, Kind, ProviderTree, UnsupportedChange, diff
from provider_tree.inventory import complete
from tests.provider_tree.apply import apply_changes
from tests.strategies import tree_pairs, valid_trees

ROOT = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def tree():
    tree = ProviderTree()
    tree.new_root("host", ROOT, generation=1)
    tree.update_inventory("host", {"VCPU": {"total": 8, "reserved": 2, "allocation_ratio": 4.0}})
    tree.update_traits("host", ["COMPUTE_NODE", "HW_CPU_X86_AVX2"])
    tree.new_child("host_NUMA0", "host", generation=1)
    return tree


def said(current, desired):
    return [str(change) for change in diff(current, desired)]


def plain(tree):
    """What a tree comes to in Placement."""
    return {
        provider.uuid: (
            provider.name,
            provider.parent_uuid,
            {key: complete(record) for key, record in provider.inventory.items()},
            provider.traits,
            provider.aggregates,
        )
        for provider in tree.providers()
    }


def test_changes_say_what_they_are(tree):
    desired = tree.copy()
    desired.update_inventory(
        "host", {"VCPU": {"total": 16, "reserved": 2}, "DISK_GB": {"total": 9, "reserved": 1}}
    )
    desired.add_traits("host", "CUSTOM_B", "CUSTOM_A")
    desired.remove_traits("host", "HW_CPU_X86_AVX2")
    desired.add_aggregates("host", "a")
    desired.remove("host_NUMA0")
    desired.new_child("gpu", "host")
    desired.update_inventory("gpu", {"VGPU": {"total": 4}})
    assert said(tree, desired) == [
        "add DISK_GB total 9, reserved 1",
        "VCPU.total 8 -> 16, VCPU.allocation_ratio 4.0 -> 1.0",
        "traits +CUSTOM_A +CUSTOM_B -HW_CPU_X86_AVX2",
        "aggregates +a",
        "create gpu under host",
        "add VGPU total 4",
        "delete host_NUMA0",
    ]
    assert diff(tree, desired).summary() == {"create": 4, "update": 2, "delete": 1}
    assert said(desired, tree)[0] == "remove DISK_GB (total 9)"


def test_places_say_what_they_are(tree):
    desired = tree.copy()
    desired.rename("host", "renamed")
    desired.move("host_NUMA0", None)
    assert said(tree, desired) == ["move host_NUMA0 from host to the top", "rename host -> renamed"]
    assert said(ProviderTree(), tree.subtree("host"))[0] == "create host"
    gone = Change(Kind.ALLOCATIONS, Action.DELETE, "host", ROOT, {}, None, consumer="c")
    assert str(gone) == "delete allocations of c"


def test_the_data_of_changes(tree):
    desired = tree.copy()
    desired.update_inventory("host", {})
    desired.update_traits("host", [])
    desired.rename("host_NUMA0", "host_N0")
    uuid = tree.provider("host_NUMA0").uuid
    full = complete({"total": 8, "reserved": 2, "allocation_ratio": 4.0})
    assert list(diff(tree, desired)) == [
        Change(Kind.INVENTORY, Action.DELETE, "host", ROOT, {"VCPU": full}, None, resource_class="VCPU"),
        Change(Kind.TRAITS, Action.DELETE, "host", ROOT, ["COMPUTE_NODE", "HW_CPU_X86_AVX2"], None),
        Change(
            Kind.PROVIDER,
            Action.RENAME,
            "host_N0",
            uuid,
            {"name": "host_NUMA0", "uuid": uuid, "parent": "host"},
            {"name": "host_N0", "uuid": uuid, "parent": "host"},
        ),
    ]
    assert diff(tree, desired)[0].as_dict() == {
        "provider": "host",
        "uuid": ROOT,
        "kind": "inventory",
        "action": "delete",
        "before": {"VCPU": full},
        "after": None,
        "reason": "",
        "resource_class": "VCPU",
    }


def test_changes_are_values(tree):
    other = tree.copy()
    other.update_inventory("host", {"VCPU": {"total": 4}})
    other.update_traits("host", ["COMPUTE_NODE"])
    other.remove("host_NUMA0")
    changes = diff(tree, other)
    assert set(changes) == set(diff(tree, other))
    assert hash(changes) == hash(diff(tree, other))
    assert len({*changes, *diff(other, tree)}) == 2 * len(changes)


def test_a_field_dropped_is_a_change(tree):
    desired = tree.copy()
    desired.update_inventory("host", {"VCPU": {"total": 8, "allocation_ratio": 4.0}})
    assert said(tree, desired) == ["VCPU.reserved 2 -> 0"]


def test_a_default_spelled_out_is_none(tree):
    desired = tree.copy()
    record = complete({"total": 8, "reserved": 2, "allocation_ratio": 4.0000001})
    desired.update_inventory("host", {"VCPU": record}, generation=7)
    desired.note("host", "VCPU", "somewhere")
    assert desired.provider("host") is not tree.provider("host")
    assert not diff(tree, desired)


def test_what_is_below_a_deleted_provider_goes_before_it(tree):
    tree.new_child("gpu", "host_NUMA0")
    desired = tree.copy()
    desired.remove("host_NUMA0")
    assert said(tree, desired) == ["delete gpu", "delete host_NUMA0"]


def test_provider_replaced_under_its_name_hands_its_children_over(tree):
    """As when a document comes to say which uuid it has."""
    tree.new_child("gpu", "host_NUMA0", uuid=ROOT.replace("1", "3"))
    desired = tree.copy()
    desired.rename("host_NUMA0", "old")
    desired.new_child("host_NUMA0", "host", uuid=ROOT.replace("1", "2"))
    desired.move("gpu", "host_NUMA0")
    desired.remove("old")
    changes = diff(tree, desired)
    assert [(each.action, each.uuid[0]) for each in changes] == [
        (Action.CREATE, "2"),
        (Action.MOVE, "3"),
        (Action.DELETE, tree.provider("host_NUMA0").uuid[0]),
    ]
    assert plain(apply_changes(tree, changes)) == plain(desired)


@given(valid_trees())
def test_nothing_changes_from_a_tree_to_itself(tree):
    assert diff(tree, tree) == ()
    assert diff(tree, ProviderTree.from_providers(tree.providers())).changes == ()


@given(tree_pairs())
def test_making_the_changes_gives_the_desired_tree(pair):
    current, desired = pair
    try:
        changes = diff(current, desired)
    except UnsupportedChange:
        return
    made = apply_changes(current, changes)
    assert plain(made) == plain(desired)
    assert diff(made, desired) == ()
    assert bool(changes) == (plain(current) != plain(desired))
    assert sum(changes.summary().values()) == len(changes)
    assert all(str(change) for change in changes)


@settings(max_examples=50)
@given(valid_trees(max_size=4), valid_trees(max_size=4))
def test_strange_trees_can_be_made_each_other(current, desired):
    try:
        changes = diff(current, desired)
    except UnsupportedChange:
        return
    assert plain(apply_changes(current, changes)) == plain(desired)


@settings(max_examples=50)
@given(tree_pairs(), st.randoms())
def test_the_order_depends_on_nothing_but_the_trees(pair, shuffler: random.Random):
    current, desired = pair
    assert outcome(shuffled(current, shuffler), shuffled(desired, shuffler)) == outcome(current, desired)


def outcome(current, desired):
    try:
        return diff(current, desired)
    except UnsupportedChange as error:
        return error.what


def shuffled(tree, shuffler):
    """The same tree with everything put in in another order."""
    providers = list(tree.providers())
    shuffler.shuffle(providers)
    new = ProviderTree.from_providers(providers)
    for provider in providers:
        items = list(provider.inventory.items())
        shuffler.shuffle(items)
        new.update_inventory(provider.uuid, {})
        new.update_inventory(provider.uuid, dict(items))
    return new
