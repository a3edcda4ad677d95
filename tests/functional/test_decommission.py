"""``adopt`` and ``forget``: taking a node over by hand, forgetting it, decommissioning it."""

from __future__ import annotations

import shutil
import uuid
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from reporter.adoption import adopt, decommission, forget
from reporter.errors import AdoptionNeeded, IdentityError, ReporterError
from reporter.placement.errors import PlacementError
from reporter.state.directory import StateDirectory
from reporter.state.ledger import load_ledger
from tests.functional.drivers import ScriptedDriver, TreeDriver, host_tree
from tests.functional.reporting import Database, client_for, reporter_for


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


@pytest.fixture
def driver() -> TreeDriver:
    tree = host_tree("numa0", "numa1")
    for name in ("numa0", "numa1"):
        child = tree.new_child(f"{name}-gpu", name)
        tree.update_inventory(child, {"VGPU": {"total": 2}})
    return TreeDriver(tree)


@pytest.fixture
def synced(placement: Any, driver: TreeDriver, state: StateDirectory) -> TreeDriver:
    with reporter_for(driver, placement.url, state.path) as reporter:
        reporter.sync("node")
    return driver


def add_child_of_others(placement: Any, parent: str) -> str:
    uuid_: str = placement.add_provider("node:Open vSwitch agent", parent)
    placement.set_traits(uuid_, "CUSTOM_VNIC_TYPE_NORMAL")
    return uuid_


def test_decommission_deletes_what_is_ours_children_first(
    placement: Any, state: StateDirectory, synced: TreeDriver
) -> None:
    neighbour = placement.add_provider("another host")
    done = decommission(client_for(placement.url), state, "node")
    assert done.deleted == ("numa0-gpu", "numa1-gpu", "numa0", "numa1", "node")
    assert {each["uuid"] for each in placement.tree().values()} == {neighbour}
    assert state.nodes() == []
    assert list((state.path / "nodes").iterdir()) == []
    with pytest.raises(ReporterError, match="nothing is known"):
        decommission(client_for(placement.url), state, "node")


@pytest.mark.parametrize("name", ["node", "numa1-gpu"])
def test_nothing_goes_while_anything_is_allocated(
    placement: Any, state: StateDirectory, synced: TreeDriver, name: str
) -> None:
    resource_class = {"node": "VCPU"}.get(name, "VGPU")
    consumer = placement.allocate({synced.tree.provider(name).uuid: {resource_class: 1}})
    before = placement.tree()
    with pytest.raises(ReporterError, match=f"{name} has allocations: 1 {resource_class}"):
        decommission(client_for(placement.url), state, "node")
    assert placement.tree() == before
    assert state.nodes() == ["node"]
    placement.delete(f"/allocations/{consumer}")
    decommission(client_for(placement.url), state, "node")
    assert placement.tree() == {}


@pytest.mark.parametrize("parent", ["node", "numa0-gpu"])
def test_children_of_others_are_refused_by_name(
    placement: Any, state: StateDirectory, synced: TreeDriver, parent: str
) -> None:
    add_child_of_others(placement, synced.tree.provider(parent).uuid)
    before = placement.tree()
    with pytest.raises(ReporterError, match="node:Open vSwitch agent") as refusal:
        decommission(client_for(placement.url), state, "node")
    assert "Neutron" in refusal.value.advice
    assert placement.tree() == before
    assert state.nodes() == ["node"]


def test_what_was_interrupted_goes_on(
    placement: Any, state: StateDirectory, synced: TreeDriver, tmp_path: Path
) -> None:
    database, kept = Database(placement), tmp_path / "kept"
    content = database.save()
    shutil.copytree(state.path, kept)
    for stop in count():
        database.restore(content)
        shutil.rmtree(state.path)
        shutil.copytree(kept, state.path)
        left = stop

        def fail(method: str, path: str) -> tuple[str, bytes] | None:
            nonlocal left
            if method == "DELETE":
                left -= 1
                if left < 0:
                    return "500 Internal Server Error", b""
            return None

        placement.hook = fail
        try:
            decommission(client_for(placement.url), state, "node")
        except PlacementError:
            assert state.nodes() == ["node"]
        else:
            break
        finally:
            placement.hook = None
        decommission(client_for(placement.url), state, "node")
        assert placement.tree() == {}
        assert state.nodes() == []
    assert stop == 5


def test_provider_that_comes_into_use_meanwhile_stays(
    placement: Any, state: StateDirectory, synced: TreeDriver
) -> None:
    gpu = synced.tree.provider("numa1-gpu").uuid

    def boot(method: str, path: str) -> None:
        if method == "DELETE":
            placement.hook = None
            placement.allocate({gpu: {"VGPU": 1}})

    placement.hook = boot
    with pytest.raises(ReporterError):
        decommission(client_for(placement.url), state, "node")
    assert {"node", "numa1", "numa1-gpu"} <= set(placement.tree())
    with pytest.raises(ReporterError, match="numa1-gpu has allocations: 1 VGPU"):
        decommission(client_for(placement.url), state, "node")


def test_root_made_anew_by_others_stays(placement: Any, state: StateDirectory) -> None:
    driver = TreeDriver(host_tree())
    with reporter_for(driver, placement.url, state.path) as reporter:
        reporter.sync("node")
    placement.delete(f"/resource_providers/{driver.uuid}")
    placement.add_provider("node", uuid_=driver.uuid)
    with pytest.raises(ReporterError, match="made anew") as refusal:
        decommission(client_for(placement.url), state, "node")
    assert "adopt node" in refusal.value.advice
    assert set(placement.tree()) == {"node"}
    adopt(client_for(placement.url), state, "node")
    decommission(client_for(placement.url), state, "node")
    assert placement.tree() == {}


def test_beside_nova_only_our_children_go(placement: Any, state: StateDirectory) -> None:
    root = placement.add_provider("node")
    placement.set_inventory(root, {"VCPU": 8})
    placement.allocate({root: {"VCPU": 1}})
    theirs = add_child_of_others(placement, root)

    def device(tree: Any, node: str, _allocations: object) -> None:
        if not tree.exists("device"):
            tree.new_child("device", node)
        tree.update_inventory("device", {"CUSTOM_DEVICE": {"total": 1}})

    with reporter_for(ScriptedDriver(device), placement.url, state.path, manage="children") as reporter:
        reporter.sync("node")
    consumer = placement.allocate({placement.uuid_of("device"): {"CUSTOM_DEVICE": 1}})
    with pytest.raises(ReporterError, match="device has allocations"):
        decommission(client_for(placement.url), state, "node")
    placement.delete(f"/allocations/{consumer}")
    assert decommission(client_for(placement.url), state, "node").deleted == ("device",)
    assert {each["uuid"] for each in placement.tree().values()} == {root, theirs}


@pytest.mark.parametrize("adopted", [True, False])
def test_root_that_was_ours_before_it_became_nova_s_stays(
    placement: Any, state: StateDirectory, driver: TreeDriver, adopted: bool
) -> None:
    """[reporter] manage was tree, and is children since nova-compute runs on the host."""
    if adopted:
        placement.add_provider("node", uuid_=driver.uuid)
    with reporter_for(driver, placement.url, state.path) as reporter:
        reporter.sync("node", adopt=True)
    placement.allocate({str(driver.uuid): {"VCPU": 1}})
    root = placement.tree()["node"]
    done = decommission(client_for(placement.url), state, "node", manage="children")
    assert done.deleted == ("numa0-gpu", "numa1-gpu", "numa0", "numa1")
    assert placement.tree() == {"node": root}


def test_forgotten_node_stays_and_needs_adoption(
    placement: Any, state: StateDirectory, synced: TreeDriver
) -> None:
    before = placement.tree()
    forget(state, "node")
    assert placement.tree() == before
    with reporter_for(synced, placement.url, state.path) as reporter:
        with pytest.raises(AdoptionNeeded):
            reporter.sync("node")
        adopt(reporter.client, state, "node")
        assert placement.tree() == before
        reporter.sync("node")


def test_adopting_under_the_uuid_that_the_host_tells(placement: Any, state: StateDirectory) -> None:
    """Nova's provider has the host's uuid and another name; the error proposes to adopt the node."""
    root = placement.add_provider("name-that-nova-gave")
    driver = ScriptedDriver(lambda _tree, _node, _allocations: None, uuid=root)
    with reporter_for(driver, placement.url, state.path) as reporter:
        with pytest.raises(AdoptionNeeded) as refusal:
            reporter.sync("node")
        assert "adopt node" in refusal.value.advice
        adopted = adopt(reporter.client, state, "node", lambda: root)
        assert adopted.uuid == root
        reporter.sync("node")
        assert placement.uuid_of("node") == root


def test_adopting_a_node_whose_provider_was_renamed(
    placement: Any, state: StateDirectory, synced: TreeDriver
) -> None:
    body = {"name": "renamed", "parent_provider_uuid": None}
    placement.put(f"/resource_providers/{synced.uuid}", body)
    assert adopt(client_for(placement.url), state, "node").uuid == synced.uuid
    assert load_ledger(state, "node").entries, "what we set is still known"


def test_adopting_another_provider_forgets_the_former(
    placement: Any, state: StateDirectory, synced: TreeDriver
) -> None:
    for each in ("numa0-gpu", "numa1-gpu", "numa0", "numa1", "node"):
        placement.delete(f"/resource_providers/{synced.tree.provider(each).uuid}")
    holder = placement.add_provider("node")
    adopt(client_for(placement.url), state, "node")
    ledger = load_ledger(state, "node")
    assert (ledger.root_uuid, ledger.adopted, ledger.entries) == (holder, True, {})


def test_what_cannot_be_adopted(placement: Any, state: StateDirectory) -> None:
    client = client_for(placement.url)
    with pytest.raises(IdentityError, match="no provider named node"):
        adopt(client, state, "node", lambda: str(uuid.uuid4()))
    placement.add_provider("child", placement.add_provider("above"))
    with pytest.raises(IdentityError, match="not a root"):
        adopt(client, state, "child")
    assert state.nodes() == []
