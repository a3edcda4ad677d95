"""Which provider a node is, and whose."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provider_tree import ProviderTree
from reporter.errors import AdoptionNeeded, IdentityError, ReporterError
from reporter.sync import Reporter
from tests.functional.drivers import ManyNodes, ScriptedDriver, TreeDriver, host_tree
from tests.functional.reporting import MARKER, assert_is, reporter_for

WAYS: tuple[dict[str, Any], ...] = ({}, {"adopt": True}, {"dry_run": True})


def report_vcpus(tree: ProviderTree, node: str, _allocations: object = None) -> None:
    tree.update_inventory(node, {"VCPU": {"total": 8}})
    tree.add_traits(node, "COMPUTE_NODE")


@pytest.fixture
def driver() -> ScriptedDriver:
    return ScriptedDriver(report_vcpus)


@pytest.fixture
def reporter(placement: Any, driver: ScriptedDriver, tmp_path: Path) -> Iterator[Reporter]:
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        yield reporter


def test_root_of_nova_needs_adoption_once(
    placement: Any, driver: ScriptedDriver, reporter: Reporter, tmp_path: Path
) -> None:
    root = placement.add_provider("node")
    placement.set_inventory(root, {"VCPU": 4})
    placement.set_traits(root, "OWNER_NOVA", "COMPUTE_NODE")
    before = placement.tree()
    with pytest.raises(AdoptionNeeded) as refusal:
        reporter.sync_once("node")
    assert root in refusal.value.what
    assert "OWNER_NOVA" in refusal.value.what
    assert "--adopt" in refusal.value.advice
    dry = reporter.sync_once("node", dry_run=True)
    assert dry.changes
    assert dry.adoption is not None
    assert placement.tree() == before

    adopted = reporter.sync_once("node", adopt=True)
    assert adopted.applied
    assert placement.tree()["node"]["inventory"]["VCPU"]["total"] == 8
    assert placement.tree()["node"]["uuid"] == root
    # We did not make it: our marker does not go there, and OWNER_NOVA stays.
    assert MARKER not in placement.tree()["node"]["traits"]
    assert "OWNER_NOVA" in placement.tree()["node"]["traits"]
    assert reporter.sync_once("node").adoption is None
    with reporter_for(driver, placement.url, tmp_path / "state") as restarted:
        assert not restarted.sync_once("node").changes
        assert restarted.sync_once("node", dry_run=True).adoption is None


def test_adoption_that_changes_nothing_is_remembered_too(
    placement: Any, driver: ScriptedDriver, reporter: Reporter, tmp_path: Path
) -> None:
    root = placement.add_provider("node")
    placement.set_inventory(root, {"VCPU": 8})
    placement.set_traits(root, "COMPUTE_NODE")
    assert not reporter.sync_once("node", adopt=True).changes
    with reporter_for(driver, placement.url, tmp_path / "state") as restarted:
        restarted.sync_once("node")


def test_adopted_by_one_state_directory_is_not_adopted_by_another(
    placement: Any, driver: ScriptedDriver, reporter: Reporter, tmp_path: Path
) -> None:
    placement.add_provider("node")
    reporter.sync_once("node", adopt=True)
    with reporter_for(driver, placement.url, tmp_path / "another") as other, pytest.raises(AdoptionNeeded):
        other.sync_once("node")


def test_our_own_root_with_the_state_lost_needs_adoption(
    placement: Any, driver: ScriptedDriver, reporter: Reporter, tmp_path: Path
) -> None:
    reporter.sync_once("node")
    with reporter_for(driver, placement.url, tmp_path / "new") as amnesiac:
        with pytest.raises(AdoptionNeeded):
            amnesiac.sync_once("node")
        amnesiac.sync_once("node", adopt=True)


def test_uuid_of_the_host_is_the_root_s(placement: Any, driver: ScriptedDriver, reporter: Reporter) -> None:
    driver.uuid = str(uuid.uuid4())
    reporter.sync_once("node")
    assert placement.uuid_of("node") == driver.uuid


def test_uuid_of_the_host_finds_nova_s_root_under_another_name(
    placement: Any, driver: ScriptedDriver, reporter: Reporter
) -> None:
    driver.uuid = placement.add_provider("old-name")
    with pytest.raises(AdoptionNeeded, match=driver.uuid):
        reporter.sync_once("node")
    reporter.sync_once("node", adopt=True)
    assert placement.uuid_of("node") == driver.uuid
    assert placement.uuid_of("old-name") is None


def test_name_held_by_another_uuid_is_refused_whatever_the_flags(
    placement: Any, driver: ScriptedDriver, reporter: Reporter
) -> None:
    holder = placement.add_provider("node")
    driver.uuid = str(uuid.uuid4())
    for flags in WAYS:
        with pytest.raises(IdentityError) as refusal:
            reporter.sync_once("node", **flags)
        assert holder in refusal.value.what
        assert driver.uuid in refusal.value.what
        assert refusal.value.advice
    assert list(placement.tree()) == ["node"]


def test_uuid_of_the_host_that_contradicts_what_we_made_is_refused(
    placement: Any, driver: ScriptedDriver, reporter: Reporter
) -> None:
    """A compute_id file that appears or changes later, or a document with another uuid."""
    reporter.sync_once("node")
    ours = placement.uuid_of("node")
    driver.uuid = str(uuid.uuid4())
    with pytest.raises(IdentityError) as refusal:
        reporter.sync_once("node")
    assert ours in refusal.value.what
    assert driver.uuid in refusal.value.what
    assert placement.uuid_of("node") == ours


def test_root_deleted_by_others_is_made_again_under_its_uuid(
    placement: Any, driver: ScriptedDriver, reporter: Reporter
) -> None:
    reporter.sync_once("node")
    root = placement.uuid_of("node")
    placement.delete(f"/resource_providers/{root}")
    assert reporter.sync_once("node").changes
    assert placement.uuid_of("node") == root
    assert MARKER in placement.tree()["node"]["traits"]


def test_root_deleted_and_its_name_taken_by_others(
    placement: Any, driver: ScriptedDriver, reporter: Reporter
) -> None:
    reporter.sync_once("node")
    placement.delete(f"/resource_providers/{placement.uuid_of('node')}")
    theirs = placement.add_provider("node")
    with pytest.raises(AdoptionNeeded, match=theirs):
        reporter.sync_once("node")
    dry = reporter.sync_once("node", dry_run=True)
    assert dry.adoption is not None
    assert placement.tree()["node"]["inventory"] == {}
    reporter.sync_once("node", adopt=True)
    assert placement.tree()["node"]["inventory"]["VCPU"]["total"] == 8
    assert not reporter.sync_once("node").changes


def test_root_made_again_by_others_with_our_uuid_is_theirs(
    placement: Any, driver: ScriptedDriver, reporter: Reporter
) -> None:
    reporter.sync_once("node")
    root = placement.uuid_of("node")
    placement.delete(f"/resource_providers/{root}")
    placement.add_provider("node", uuid_=root)
    with pytest.raises(AdoptionNeeded):
        reporter.sync_once("node")


def test_node_that_is_not_a_root_is_refused(
    placement: Any, driver: ScriptedDriver, reporter: Reporter
) -> None:
    above = placement.add_provider("above")
    child = placement.add_provider("node", above)
    for told in (None, child):
        driver.uuid = told
        for flags in WAYS:
            with pytest.raises(IdentityError, match="not a root"):
                reporter.sync_once("node", **flags)
    assert placement.tree()["node"]["inventory"] == {}


def test_name_of_a_lost_root_taken_by_a_child_is_refused(
    placement: Any, driver: ScriptedDriver, reporter: Reporter
) -> None:
    reporter.sync_once("node")
    placement.delete(f"/resource_providers/{placement.uuid_of('node')}")
    child = placement.add_provider("node", placement.add_provider("above"))
    for flags in WAYS:
        with pytest.raises(ReporterError, match=child):
            reporter.sync_once("node", **flags)
    assert placement.tree()["node"]["inventory"] == {}
    assert placement.tree()["above"]["inventory"] == {}


def test_our_root_that_others_put_below_another_is_refused(
    placement: Any, driver: ScriptedDriver, reporter: Reporter
) -> None:
    reporter.sync_once("node")
    above = placement.add_provider("above")
    ours = placement.uuid_of("node")
    placement.put(f"/resource_providers/{ours}", {"name": "node", "parent_provider_uuid": above})
    with pytest.raises(IdentityError, match="not a root"):
        reporter.sync_once("node")
    assert set(placement.tree()) == {"above", "node"}


def test_name_of_a_child_taken_elsewhere_names_the_holder(placement: Any, tmp_path: Path) -> None:
    holder = placement.add_provider("gpu0", placement.add_provider("another host"))
    driver = TreeDriver(host_tree("gpu0"))
    with reporter_for(driver, placement.url, tmp_path) as reporter, pytest.raises(IdentityError) as refusal:
        reporter.sync_once("node")
    assert "gpu0" in refusal.value.what
    assert holder in refusal.value.what
    assert refusal.value.advice


def test_host_with_a_uuid_that_is_renamed_keeps_everything(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        neighbour = placement.add_provider("node:Open vSwitch agent", driver.uuid)
        consumer = placement.allocate({str(driver.uuid): {"VCPU": 2}})
    driver = TreeDriver(host_tree("gpu0", root="node-2"))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        dry = reporter.sync_once("node-2", dry_run=True)
        assert dry.adoption is None
        assert [str(each) for each in dry.changes] == ["rename node -> node-2"]
        reporter.sync_once("node-2")
        assert_is(placement, driver.tree, besides=["node:Open vSwitch agent"])
        assert placement.uuid_of("node:Open vSwitch agent") == neighbour
        assert placement.allocations(consumer) == {driver.uuid: {"VCPU": 2}}
        assert not reporter.sync_once("node-2").changes
        driver.tree.update_traits("gpu0", [])
        reporter.sync_once("node-2")
        assert_is(placement, driver.tree, besides=["node:Open vSwitch agent"])


def test_host_without_a_uuid_that_is_renamed_keeps_everything(
    placement: Any, driver: ScriptedDriver, reporter: Reporter, tmp_path: Path
) -> None:
    reporter.sync_once("node")
    root = placement.uuid_of("node")
    driver.node = "node-2"
    with reporter_for(driver, placement.url, tmp_path / "state") as restarted:
        restarted.sync_once("node-2")
        assert {name: each["uuid"] for name, each in placement.tree().items()} == {"node-2": root}
        assert not restarted.sync_once("node-2").changes
    driver.node = "node"
    with reporter_for(driver, placement.url, tmp_path / "state") as restarted:
        restarted.sync_once("node")
        assert {name: each["uuid"] for name, each in placement.tree().items()} == {"node": root}


def test_former_name_of_a_renamed_node_is_free_for_another(placement: Any, tmp_path: Path) -> None:
    """The static driver makes uuids of names: that of the former name went along with the renamed node."""

    class Named(ManyNodes):
        def new_node_uuid(self, nodename: str) -> str | None:
            return str(uuid.uuid5(uuid.NAMESPACE_DNS, nodename))

    def edit(tree: ProviderTree, node: str, _allocations: object) -> None:
        tree.update_inventory(node, {"VCPU": {"total": 8}})

    for nodes in (["first"], ["second"], ["second", "first"]):
        with reporter_for(Named(edit, *nodes), placement.url, tmp_path) as reporter:
            for _ in range(2):
                for node in nodes:
                    reporter.sync(node)
            assert set(placement.tree()) == set(nodes)
            assert not any(reporter.diff(node).changes for node in nodes)


def test_new_name_that_another_provider_has_is_refused(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
    holder = placement.add_provider("node-2")
    driver = TreeDriver(host_tree("gpu0", root="node-2"))
    with reporter_for(driver, placement.url, tmp_path) as reporter, pytest.raises(IdentityError) as refusal:
        reporter.sync_once("node-2")
    assert holder in refusal.value.what
    assert set(placement.tree()) == {"node", "gpu0", "node-2"}


class AnotherDriver(ScriptedDriver):
    name = "another"


def test_node_of_another_driver_in_the_same_state_directory_is_not_renamed(
    placement: Any, reporter: Reporter, tmp_path: Path
) -> None:
    reporter.sync_once("node")
    ours = placement.tree()["node"]
    other = AnotherDriver(report_vcpus, node="node-2")
    with reporter_for(other, placement.url, tmp_path / "state") as second:
        second.sync_once("node-2")
    assert placement.tree()["node"] == ours
    assert set(placement.tree()) == {"node", "node-2"}


def test_children_mode_makes_no_root(placement: Any, driver: ScriptedDriver, tmp_path: Path) -> None:
    reporter = reporter_for(driver, placement.url, tmp_path, manage="children")
    with reporter, pytest.raises(IdentityError, match="children"):
        reporter.sync_once("node")
    assert placement.tree() == {}
