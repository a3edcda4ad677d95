"""What Nova's own tests of ProviderTree (tests/peer) do not ask for."""

import copy
import pickle
import threading
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_tree import Provider, ProviderSubTree, ProviderTree, Source
from tests.strategies import edited, tree_pairs, valid_trees

ROOT = "11111111-1111-1111-1111-111111111111"
OTHER = "22222222-2222-2222-2222-222222222222"
THIRD = "33333333-3333-3333-3333-333333333333"


@pytest.fixture
def tree():
    tree = ProviderTree()
    tree.new_root("host", ROOT, generation=1)
    tree.new_child("host_NUMA0", ROOT, uuid=OTHER)
    tree.update_inventory("host", {"VCPU": {"total": 8, "allocation_ratio": 4.0}})
    return tree


class TestNamesAndUuids:
    def test_a_second_provider_of_a_name_is_refused_even_with_a_uuid_of_its_own(self, tree):
        with pytest.raises(ValueError, match="host_NUMA0 already exists"):
            tree.new_child("host_NUMA0", ROOT, uuid=THIRD)
        assert len(tree) == 2

    def test_a_second_root_of_a_name_is_refused(self, tree):
        with pytest.raises(ValueError, match="host already exists"):
            tree.new_root("host", THIRD)
        tree.remove("host")
        assert len(tree) == 0

    def test_a_child_without_a_uuid_gets_the_same_one_in_every_run(self, tree):
        first = tree.new_child("gpu0", "host")
        assert first == str(uuid.uuid5(uuid.UUID(ROOT), "gpu0"))
        tree.remove("gpu0")
        assert tree.new_child("gpu0", "host") == first

    def test_a_derived_uuid_that_is_taken_is_derived_again(self, tree):
        first = tree.new_child("gpu0", "host")
        tree.rename("gpu0", "gpu1")
        second = tree.new_child("gpu0", "host")
        tree.rename("gpu0", "gpu2")
        third = tree.new_child("gpu0", "host")
        assert len({first, second, third}) == 3

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_a_provider_without_a_uuid_is_refused(self, tree, nothing):
        before = tree.copy()
        with pytest.raises(ValueError, match="other has no uuid"):
            tree.new_root("other", nothing)
        with pytest.raises(ValueError, match="other has no uuid"):
            tree.populate_from_iterable([{"name": "other", "uuid": nothing}])
        assert tree == before

    def test_a_parent_whose_uuid_is_no_uuid_can_have_children(self):
        tree = ProviderTree()
        tree.new_root("host", "host")
        assert uuid.UUID(tree.new_child("gpu0", "host"))

    def test_ironic_nodes_have_their_uuid_for_a_name(self):
        tree = ProviderTree()
        tree.new_root(ROOT, ROOT)
        assert tree.data(ROOT).name == ROOT
        with pytest.raises(ValueError, match="already exists"):
            tree.new_child(ROOT, ROOT)

    def test_a_uuid_goes_before_a_name(self):
        odd = [Provider(ROOT, OTHER), Provider(OTHER, "host")]
        tree = ProviderTree.from_providers(odd)
        assert tree.provider(OTHER).name == "host"

    def test_populating_with_a_name_that_is_taken_changes_nothing(self, tree):
        before = tree.copy()
        listing = [
            {"uuid": ROOT, "name": "host"},
            {"uuid": THIRD, "name": "gpu", "parent_provider_uuid": ROOT},
            {"uuid": OTHER, "name": "gpu", "parent_provider_uuid": ROOT},
        ]
        with pytest.raises(ValueError, match="gpu already exists"):
            tree.populate_from_iterable(listing)
        with pytest.raises(ValueError, match="host already exists"):
            tree.populate_from_iterable([{"uuid": THIRD, "name": "host"}])
        assert tree == before

    def test_populating_may_give_a_name_to_another_provider_when_the_first_goes(self, tree):
        tree.populate_from_iterable(
            [
                {"uuid": ROOT, "name": "host_NUMA0"},
                {"uuid": OTHER, "name": "host", "parent_provider_uuid": ROOT},
            ]
        )
        assert tree.provider("host").parent_uuid == ROOT


class TestPlaces:
    def test_rename(self, tree):
        tree.rename("host", "renamed")
        assert "host" not in tree
        assert tree.provider("renamed").uuid == ROOT
        assert list(tree.roots_by_name) == ["renamed"]
        with pytest.raises(ValueError, match="already exists"):
            tree.rename("renamed", "host_NUMA0")
        tree.rename("renamed", "renamed")

    def test_move_takes_along_what_is_below(self, tree):
        tree.new_child("gpu", "host_NUMA0")
        tree.new_child("host_NUMA1", "host")
        tree.move("host_NUMA0", "host_NUMA1")
        assert [tree.provider(each).name for each in tree.get_provider_uuids()] == [
            "host",
            "host_NUMA1",
            "host_NUMA0",
            "gpu",
        ]

    def test_move_to_the_top(self, tree):
        tree.move("host_NUMA0", None)
        assert [root.name for root in tree.roots] == ["host", "host_NUMA0"]
        assert tree.root_of("host_NUMA0").uuid == OTHER

    @pytest.mark.parametrize("target", ["host", "host_NUMA0"])
    def test_nothing_moves_below_itself(self, tree, target):
        before = tree.copy()
        with pytest.raises(ValueError, match="below itself"):
            tree.move("host", target)
        assert tree == before

    def test_replace_takes_new_contents_and_nothing_else(self, tree):
        tree.replace(Provider(OTHER, "host_NUMA0", 5, ROOT, traits=frozenset({"HW_NUMA_ROOT"})))
        assert tree.data("host_NUMA0").traits == {"HW_NUMA_ROOT"}
        with pytest.raises(ValueError, match="rename or move"):
            tree.replace(Provider(OTHER, "host_NUMA1", 5, ROOT))
        with pytest.raises(ValueError, match="rename or move"):
            tree.replace(Provider(OTHER, "host_NUMA0", 5, None))
        with pytest.raises(ValueError, match="No such provider"):
            tree.replace(Provider(THIRD, "host_NUMA0", 5, ROOT))

    def test_from_providers_takes_any_order_but_no_duplicates(self, tree):
        providers = list(tree.providers())
        assert ProviderTree.from_providers(reversed(providers)) == tree
        with pytest.raises(ValueError, match="already exists"):
            ProviderTree.from_providers([*providers, providers[0], Provider(ROOT, "x")])
        with pytest.raises(ValueError, match=f"parents were not found: {ROOT}"):
            ProviderTree.from_providers(providers[1:])

    def test_questions_about_places(self, tree):
        assert [child.name for child in tree.children("host")] == ["host_NUMA0"]
        assert tree.children("host_NUMA0") == []
        assert "host" in tree
        assert 5 not in tree
        with pytest.raises(ValueError, match="No such provider nothing"):
            tree.provider("nothing")


class TestInventory:
    def test_a_field_left_out_is_stored_as_left_out_though_the_answer_is_novas(self, tree):
        assert tree.update_inventory("host", {"VCPU": {"total": 8}}) is False
        assert tree.data("host").inventory == {"VCPU": {"total": 8}}

    def test_what_the_caller_edits_later_does_not_reach_the_tree(self, tree):
        inventory = {"VCPU": {"total": 2}}
        resources = {"PMEM": {"a"}}
        tree.update_inventory("host", inventory)
        tree.update_resources("host", resources)
        inventory["VCPU"]["total"] = 3
        resources["PMEM"].add("b")
        data = tree.data("host")
        data.inventory["VCPU"]["total"] = 4
        data.traits.add("X")
        data.resources["PMEM"].clear()
        assert tree.data("host").inventory == {"VCPU": {"total": 2}}
        assert tree.data("host").resources == {"PMEM": {"a"}}
        assert tree.data("host").traits == set()

    def test_saying_again_what_is_there_keeps_the_very_same_provider(self, tree):
        before = tree.provider("host")
        tree.update_inventory("host", tree.data("host").inventory, generation=1)
        tree.update_traits("host", [])
        tree.add_aggregates("host")
        assert tree.provider("host") is before


class TestNotes:
    def test_text_stands_for_a_drivers_source(self, tree):
        tree.note("host", "VCPU.total", "/proc/cpuinfo")
        assert tree.notes("host") == {"VCPU.total": Source("driver", "/proc/cpuinfo")}

    def test_a_later_note_takes_the_place_of_an_earlier_one(self, tree):
        found = Source("driver", "/proc/cpuinfo", 8)
        said = Source("configuration", "nova.conf", 6, lost=(Source("default", "", 1),))
        tree.note("host", "VCPU.total", found)
        tree.note("host", "VCPU.total", said.over(found, None))
        assert tree.notes("host")["VCPU.total"].lost == (Source("default", "", 1), found)
        last = Source("document", "provider.yaml", 4).over(tree.notes("host")["VCPU.total"])
        assert [each.value for each in last.lost] == [6, 1, 8]

    def test_notes_do_not_count_in_comparisons_but_stay_through_changes_and_copies(self, tree):
        other = tree.copy()
        tree.note("host", "VCPU", "somewhere")
        assert tree == other
        tree.add_traits("host", "COMPUTE_NODE")
        tree.rename("host", "renamed")
        for each in (tree.copy(), copy.deepcopy(tree), pickle.loads(pickle.dumps(tree))):
            assert each.notes(ROOT) == {"VCPU": Source("driver", "somewhere")}


class TestCopies:
    def test_each_tree_has_a_lock_of_its_own(self, tree):
        other = copy.deepcopy(tree)
        with tree.lock:
            thread = threading.Thread(target=other.remove, args=("host",))
            thread.start()
            thread.join(5)
            assert not thread.is_alive()

    def test_a_subtree_stays_one_through_copies(self, tree):
        for way in (copy.deepcopy, ProviderTree.copy, lambda each: pickle.loads(pickle.dumps(each))):
            again = way(tree.subtree("host"))
            assert isinstance(again, ProviderSubTree)
            assert again.scope_rp_uuid == "host"
            assert again == tree

    def test_an_empty_tree_is_true_and_no_tree_can_be_a_key(self):
        assert ProviderTree()
        with pytest.raises(TypeError):
            hash(ProviderTree())
        assert ProviderTree() != {}

    @given(st.data())
    def test_edits_of_a_copy_do_not_show_in_the_original(self, data):
        tree = data.draw(valid_trees())
        before = list(tree.providers())
        data.draw(edited(tree))
        assert list(tree.providers()) == before

    @given(valid_trees())
    def test_every_way_of_copying_gives_an_equal_tree_in_the_same_order(self, tree):
        for way in (ProviderTree.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))):
            again = way(tree)
            assert again == tree
            assert again.get_provider_uuids() == tree.get_provider_uuids()
            assert [p.data() for p in again.providers()] == [p.data() for p in tree.providers()]


@given(tree_pairs())
def test_every_provider_is_found_by_name_and_uuid_and_comes_after_its_parent(pair):
    _, tree = pair
    seen = {None}
    for provider in tree.providers():
        assert provider.parent_uuid in seen
        seen.add(provider.uuid)
        assert tree.provider(provider.uuid) is provider
        assert (
            tree.provider(provider.name).name == provider.name or provider.name in tree.get_provider_uuids()
        )
        assert provider.uuid in tree.get_provider_uuids_in_tree(tree.root_of(provider.uuid).uuid)
    assert len(seen) == len(tree) + 1


def test_threads_that_add_and_remove_leave_a_whole_tree(tree):
    def work(number):
        for at in range(50):
            tree.new_child(f"{number}-{at}", "host")
            tree.add_traits("host", f"CUSTOM_{number}_{at}")
            tree.get_provider_uuids()
            if at % 2:
                tree.remove(f"{number}-{at}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tree) == 2 + 4 * 25
    assert len(tree.data("host").traits) == 4 * 50


def test_a_provider_of_another_tree_is_added_with_all_that_it_has() -> None:
    one, other = ProviderTree(), ProviderTree()
    root = one.new_root("root", ROOT, generation=2)
    child = one.new_child("child", root, generation=3)
    one.update_inventory("child", {"VGPU": {"total": 4}})
    one.update_traits("child", ["CUSTOM_A"])
    with pytest.raises(ValueError, match="No such provider"):
        other.add(one.provider(child))
    for each in (root, child):
        other.add(one.provider(each))
    assert other == one
    with pytest.raises(ValueError, match="already exists"):
        other.add(one.provider(child))
