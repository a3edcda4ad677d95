from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from drivers import load_driver
from drivers.errors import DriverError, DriverOptionError
from drivers.static.driver import StaticDriver
from drivers.static.shape import reshape_tree
from provider_tree import ProviderTree
from provider_tree.diff import diff
from provider_tree.document import to_document
from provider_tree.errors import InvalidTree
from tests.drivers.configured import make_conf
from tests.strategies import valid_trees

ROOT = "8a0f3f6e-2a5e-4d5c-9a7f-0c5a1b1c2d3e"
GPU = "11111111-2222-4333-8444-555555555555"
OTHER = "22222222-2222-4333-8444-555555555555"
AGGREGATE = "7b6f5d5c-4f0e-4b2a-a8a0-6d3c8b1f2e10"

NODE: list[dict[str, Any]] = [
    {
        "name": "node1",
        "inventory": {"VCPU": {"total": 8}},
        "traits": ["COMPUTE_NODE"],
        "aggregates": [AGGREGATE],
    },
    {"name": "node1_gpu", "parent": "node1", "inventory": {"VGPU": {"total": 16}}},
]


def write_document(path: Path, providers: list[dict[str, Any]], **more: Any) -> None:
    path.write_text(yaml.safe_dump({"format_version": 1, "providers": providers, **more}))
    os.utime(path, (1_700_000_000, 1_700_000_000))  # old enough for its time stamp to be believed


def make_driver(directory: Path, providers: list[dict[str, Any]], **more: Any) -> StaticDriver:
    write_document(directory / "tree.yaml", providers, **more)
    driver = load_driver(
        "static", make_conf(directory, f"[static]\npath = {directory}/tree.yaml\n", "static")
    )
    assert isinstance(driver, StaticDriver)
    driver.init_host("host")
    return driver


def make_tree(*children: tuple[str, str]) -> ProviderTree:
    """What Placement has: node1, and children by name and uuid below it."""
    tree = ProviderTree()
    tree.new_root("node1", ROOT, generation=5)
    for name, uuid in children:
        tree.new_child(name, ROOT, uuid, generation=2)
    return tree


def shown(tree: ProviderTree) -> list[dict[str, Any]]:
    return [{key: each[key] for key in ("name", "parent")} for each in to_document(tree)["providers"]]


class TestNodes:
    def test_each_root_is_a_node(self, tmp_path: Path) -> None:
        driver = make_driver(
            tmp_path, [{"name": "n2", "uuid": OTHER}, {"name": "n1"}, {"name": "c", "parent": "n1"}]
        )
        assert driver.get_available_nodes() == ["n1", "n2"]
        assert driver.node_is_available("n2")
        assert not driver.node_is_available("c")

    def test_only_the_uuids_that_the_document_names_are_told(self, tmp_path: Path) -> None:
        """The others are those that Placement has for the names."""
        driver = make_driver(tmp_path, [{"name": "n2", "uuid": OTHER}, {"name": "n1"}])
        assert driver.get_nodenames_by_uuid() == {OTHER: "n2"}

    def test_a_new_node_gets_the_same_uuid_in_every_run(self, tmp_path: Path) -> None:
        made = [make_driver(tmp_path, [{"name": "n1"}]).new_node_uuid("n1") for _ in range(2)]
        assert made[0] is not None
        assert made[0] == made[1]
        assert make_driver(tmp_path, [{"name": "n1", "uuid": OTHER}]).new_node_uuid("n1") == OTHER
        assert make_driver(tmp_path, [{"name": "n1"}]).new_node_uuid("n9") is None

    def test_a_node_that_no_document_has(self, tmp_path: Path) -> None:
        driver = make_driver(tmp_path, NODE)
        tree = ProviderTree()
        tree.new_root("node9", ROOT)
        with pytest.raises(DriverError, match="no document has a root provider node9"):
            driver.update_provider_tree(tree, "node9")

    def test_a_child_is_no_node(self, tmp_path: Path) -> None:
        driver = make_driver(tmp_path, NODE)
        with pytest.raises(DriverError, match="no document has a root provider node1_gpu"):
            driver.update_provider_tree(make_tree(), "node1_gpu")

    def test_the_driver_claims_nothing_beyond_what_it_set(self, tmp_path: Path) -> None:
        vocabulary = make_driver(tmp_path, NODE).vocabulary
        assert not vocabulary.has_trait("COMPUTE_NODE")
        assert not vocabulary.has_class("VCPU")


class TestTree:
    def test_a_new_node(self, tmp_path: Path) -> None:
        driver, tree = make_driver(tmp_path, NODE), make_tree()
        driver.update_provider_tree(tree, "node1")
        node, gpu = tree.provider("node1"), tree.provider("node1_gpu")
        assert (node.uuid, node.generation) == (ROOT, 5)
        assert node.inventory == {"VCPU": {"total": 8}}
        assert (node.traits, node.aggregates) == ({"COMPUTE_NODE"}, {AGGREGATE})
        assert (gpu.parent_uuid, gpu.generation) == (ROOT, None)
        assert tree.notes("node1_gpu")["VGPU"].detail == f"{tmp_path}/tree.yaml: providers[1].inventory.VGPU"

    def test_uuids_are_the_same_in_the_next_run(self, tmp_path: Path) -> None:
        trees = [make_tree(), make_tree()]
        for tree in trees:
            make_driver(tmp_path, NODE).update_provider_tree(tree, "node1")
        assert trees[0] == trees[1]

    def test_the_second_time_changes_nothing(self, tmp_path: Path) -> None:
        driver, tree = make_driver(tmp_path, NODE), make_tree()
        driver.update_provider_tree(tree, "node1")
        again = tree.copy()
        driver.update_provider_tree(again, "node1")
        assert not diff(tree, again)

    def test_a_provider_keeps_the_uuid_that_placement_has_for_its_name(self, tmp_path: Path) -> None:
        driver, tree = make_driver(tmp_path, NODE), make_tree(("node1_gpu", GPU))
        driver.update_provider_tree(tree, "node1")
        assert (tree.provider("node1_gpu").uuid, tree.provider(GPU).generation) == (GPU, 2)

    def test_what_others_added_stays_and_the_inventory_is_the_documents(self, tmp_path: Path) -> None:
        driver, tree = make_driver(tmp_path, NODE), make_tree()
        tree.update_traits("node1", ["CUSTOM_GOLD"])
        tree.update_aggregates("node1", [OTHER])
        tree.update_inventory("node1", {"VCPU": {"total": 2}, "CUSTOM_OLD": {"total": 1}})
        driver.update_provider_tree(tree, "node1")
        node = tree.provider("node1")
        assert node.traits == {"CUSTOM_GOLD", "COMPUTE_NODE"}
        assert node.aggregates == {OTHER, AGGREGATE}
        assert node.inventory == {"VCPU": {"total": 8}}

    def test_providers_that_the_document_does_not_name_go(self, tmp_path: Path) -> None:
        """The reporter puts back those that it did not make."""
        tree = make_tree(("old", GPU))
        tree.new_child("older", GPU)
        make_driver(tmp_path, NODE).update_provider_tree(tree, "node1")
        assert shown(tree) == [{"name": "node1", "parent": None}, {"name": "node1_gpu", "parent": "node1"}]

    def test_other_trees_are_left_alone(self, tmp_path: Path) -> None:
        """A sharing provider, say."""
        tree = make_tree()
        tree.new_root("shared", OTHER)
        make_driver(tmp_path, NODE).update_provider_tree(tree, "node1")
        assert "shared" in tree

    def test_of_several_nodes_only_the_one_asked_for(self, tmp_path: Path) -> None:
        driver = make_driver(tmp_path, [*NODE, {"name": "node2"}, {"name": "below2", "parent": "node2"}])
        tree = make_tree()
        driver.update_provider_tree(tree, "node1")
        assert {each.name for each in tree.providers()} == {"node1", "node1_gpu"}


class TestNamesAndPlaces:
    def test_a_provider_with_a_uuid_is_renamed(self, tmp_path: Path) -> None:
        providers = [NODE[0], {"name": "gpu0", "uuid": GPU, "parent": "node1"}]
        tree = make_tree(("node1_gpu", GPU))
        make_driver(tmp_path, providers).update_provider_tree(tree, "node1")
        assert (tree.provider(GPU).name, tree.provider(GPU).generation) == ("gpu0", 2)

    def test_a_new_provider_may_take_the_name_that_another_gives_up(self, tmp_path: Path) -> None:
        first = make_tree()
        make_driver(tmp_path, [NODE[0], {"name": "a", "parent": "node1"}]).update_provider_tree(
            first, "node1"
        )
        uuid = first.provider("a").uuid
        providers = [
            NODE[0],
            {"name": "b", "uuid": uuid, "parent": "node1"},
            {"name": "a", "parent": "node1"},
        ]
        make_driver(tmp_path, providers).update_provider_tree(first, "node1")
        assert first.provider("b").uuid == uuid
        assert first.provider("a").uuid != uuid

    def test_names_can_be_swapped(self, tmp_path: Path) -> None:
        providers = [
            NODE[0],
            {"name": "a", "uuid": GPU, "parent": "node1"},
            {"name": "b", "uuid": OTHER, "parent": "node1"},
        ]
        tree = make_tree(("b", GPU), ("a", OTHER))
        make_driver(tmp_path, providers).update_provider_tree(tree, "node1")
        assert (tree.provider(GPU).name, tree.provider(OTHER).name) == ("a", "b")

    def test_parent_and_child_can_change_places(self, tmp_path: Path) -> None:
        providers = [NODE[0], {"name": "b", "parent": "node1"}, {"name": "a", "parent": "b"}]
        tree = make_tree(("a", GPU))
        tree.new_child("b", "a", OTHER)
        make_driver(tmp_path, providers).update_provider_tree(tree, "node1")
        assert (tree.provider("b").parent_uuid, tree.provider("a").parent_uuid) == (ROOT, OTHER)

    def test_a_provider_that_goes_does_not_take_along_what_stays(self, tmp_path: Path) -> None:
        tree = make_tree(("old", OTHER))
        tree.new_child("node1_gpu", "old", GPU)
        make_driver(tmp_path, NODE).update_provider_tree(tree, "node1")
        assert tree.provider(GPU).parent_uuid == ROOT
        assert "old" not in tree

    def test_a_node_that_placement_has_under_another_uuid_is_refused(self, tmp_path: Path) -> None:
        driver = make_driver(tmp_path, [{"name": "node1", "uuid": OTHER}])
        with pytest.raises(
            DriverError, match=f"node node1 is provider {ROOT}, and the document says {OTHER}"
        ):
            driver.update_provider_tree(make_tree(), "node1")

    @pytest.mark.parametrize("uuid", [{}, {"uuid": GPU}])
    def test_a_name_in_another_tree_is_refused(self, tmp_path: Path, uuid: dict[str, str]) -> None:
        tree = make_tree()
        tree.new_root("node1_gpu", OTHER)
        driver = make_driver(tmp_path, [NODE[0], {"name": "node1_gpu", "parent": "node1", **uuid}])
        with pytest.raises(DriverError, match=f"node1_gpu is the name of provider {OTHER}"):
            driver.update_provider_tree(tree, "node1")

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(valid_trees(min_size=1, max_size=6, roots=1), valid_trees(min_size=1, max_size=6, roots=1))
    def test_any_tree_becomes_any_other(self, before: ProviderTree, after: ProviderTree) -> None:
        """With uuids and names in any relation, the root's aside."""
        (old_root,), (new_root,) = before.roots, after.roots
        wanted = {each.uuid: each for each in after.providers()}
        if old_root.uuid != new_root.uuid:
            if old_root.uuid in wanted or new_root.uuid in before:
                return
            after = _with_root(after, new_root.uuid, old_root.uuid)
            wanted = {each.uuid: each for each in after.providers()}
        reshape_tree(before, old_root.uuid, wanted)
        assert before == after


def _with_root(tree: ProviderTree, old: str, new: str) -> ProviderTree:
    from dataclasses import replace

    return ProviderTree.from_providers(
        replace(
            each,
            uuid=new if each.uuid == old else each.uuid,
            parent_uuid=new if each.parent_uuid == old else each.parent_uuid,
        )
        for each in tree.providers()
    )


class TestReading:
    def test_a_document_is_read_again_only_when_it_has_changed(self, tmp_path: Path) -> None:
        driver = make_driver(tmp_path, NODE)
        first = driver._documents
        assert driver.get_available_nodes(refresh=True) == ["node1"]
        assert driver._documents is first
        write_document(tmp_path / "tree.yaml", [{"name": "node2"}])
        assert driver.get_available_nodes() == ["node1"]
        assert driver.get_available_nodes(refresh=True) == ["node2"]

    def test_a_file_too_young_for_its_time_stamp_is_read_again(self, tmp_path: Path) -> None:
        driver = make_driver(tmp_path, [{"name": "node1"}])
        (tmp_path / "tree.yaml").write_text("providers: [{name: node2}]")
        stamp = (tmp_path / "tree.yaml").stat()
        assert driver.get_available_nodes(refresh=True) == ["node2"]
        (tmp_path / "tree.yaml").write_text("providers: [{name: node3}]")
        os.utime(tmp_path / "tree.yaml", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        assert driver.get_available_nodes(refresh=True) == ["node3"]

    def test_files_of_a_directory_come_and_go(self, tmp_path: Path) -> None:
        trees = tmp_path / "trees"
        trees.mkdir()
        write_document(trees / "a.yaml", [{"name": "n1"}])
        driver = load_driver("static", make_conf(tmp_path, f"[static]\npath = {trees}\n", "static"))
        assert driver.get_available_nodes(refresh=True) == ["n1"]
        write_document(trees / "b.yaml", [{"name": "n2"}])
        assert driver.get_available_nodes(refresh=True) == ["n1", "n2"]
        (trees / "a.yaml").unlink()
        assert driver.get_available_nodes(refresh=True) == ["n2"]

    def test_a_mistake_is_an_error_until_it_is_corrected_never_an_empty_tree(self, tmp_path: Path) -> None:
        driver = make_driver(tmp_path, NODE)
        (tmp_path / "tree.yaml").write_text("providers: [{name: node1")
        for _ in range(2):
            with pytest.raises(InvalidTree, match=r"tree\.yaml:2"):
                driver.update_provider_tree(make_tree(), "node1")
        (tmp_path / "tree.yaml").unlink()
        with pytest.raises(DriverOptionError, match="does not exist"):
            driver.get_available_nodes(refresh=True)
        write_document(tmp_path / "tree.yaml", NODE)
        assert driver.get_available_nodes(refresh=True) == ["node1"]

    def test_a_mistake_shows_at_the_start(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidTree):
            make_driver(tmp_path, [{"name": "n1"}, {"name": "n1"}])

    def test_the_option_must_be_set(self, tmp_path: Path) -> None:
        driver = load_driver("static", make_conf(tmp_path, driver="static"))
        with pytest.raises(DriverOptionError, match=r"\[static\] path is not set"):
            driver.init_host("host")

    def test_the_largest_size_can_be_set(self, tmp_path: Path) -> None:
        write_document(tmp_path / "tree.yaml", NODE)
        text = f"[static]\npath = {tmp_path}/tree.yaml\nmax_size = 20\n"
        with pytest.raises(InvalidTree, match="is larger than 20 bytes"):
            load_driver("static", make_conf(tmp_path, text, "static")).init_host("host")


def test_the_example_document_is_one(tmp_path: Path) -> None:
    example = Path(__file__).resolve().parents[3] / "etc" / "static.example.yaml"
    driver = load_driver("static", make_conf(tmp_path, f"[static]\npath = {example}\n", "static"))
    driver.init_host("host")
    named = {name: uuid for uuid, name in driver.get_nodenames_by_uuid().items()}
    for node in driver.get_available_nodes():
        tree = ProviderTree()
        tree.new_root(node, named.get(node, ROOT))
        driver.update_provider_tree(tree, node)
        assert len(tree) > 1
