"""What others set stays, what we set and no longer want goes, and a memory that is wrong does no harm."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Vocabulary
from provider_tree import ProviderTree
from reporter.adoption import decommission
from reporter.errors import AdoptionNeeded, InvalidWish, ReporterError, StateError
from reporter.sync import Reporter
from tests.functional.drivers import ScriptedDriver, TreeDriver, host_tree
from tests.functional.reporting import MARKER, assert_is, client_for, reporter_for

AGGREGATES = sorted(str(uuid.uuid4()) for _ in range(4))
NEIGHBOURS = {
    "node_0000:84:00.0": ({"CUSTOM_PCI_10DE_20B0": 1}, ["COMPUTE_MANAGED_PCI_DEVICE", "OWNER_NOVA"]),
    "node_amd_sev": ({"MEM_ENCRYPTION_CONTEXT": 15}, ["HW_CPU_X86_AMD_SEV"]),
    "node:NIC Switch agent": ({}, ["CUSTOM_VNIC_TYPE_DIRECT"]),
    "node_fpga": ({"FPGA": 1}, ["OWNER_CYBORG"]),
    "blazar_node": ({"CUSTOM_RESERVATION_X": 1}, ["CUSTOM_BLAZAR"]),
}


def add_neighbours(placement: Any, root: str, below: dict[str, str] | None = None) -> dict[str, Any]:
    """Providers of Nova, Neutron, Cyborg and Blazar under a root; what the tree has of them."""
    for name, (inventory, traits) in NEIGHBOURS.items():
        provider = placement.add_provider(name, (below or {}).get(name, root))
        if inventory:
            placement.set_inventory(provider, inventory)
        placement.set_traits(provider, *traits)
        placement.set_aggregates(provider, AGGREGATES[0])
    device = placement.add_provider(
        "node:NIC Switch agent:eth0", placement.tree()["node:NIC Switch agent"]["uuid"]
    )
    placement.set_inventory(device, {"NET_BW_EGR_KILOBIT_PER_SEC": 10_000})
    return neighbours(placement)


def neighbours(placement: Any) -> dict[str, Any]:
    names = [*NEIGHBOURS, "node:NIC Switch agent:eth0"]
    return {name: each for name, each in placement.tree().items() if name in names}


def add_traits(placement: Any, provider: str, *traits: str) -> None:
    current = placement.get(f"/resource_providers/{provider}/traits")["traits"]
    placement.set_traits(provider, *{*current, *traits})


def add_inventory(placement: Any, provider: str, inventory: dict[str, Any]) -> None:
    current = placement.get(f"/resource_providers/{provider}/inventories")["inventories"]
    placement.set_inventory(provider, {**current, **inventory})


@pytest.mark.parametrize("atomic", ["auto", "off"])
def test_what_others_set_stays_and_what_was_ours_goes(placement: Any, tmp_path: Path, atomic: str) -> None:
    first = host_tree("gpu0", "gpu1")
    first.update_aggregates("node", [AGGREGATES[1]])
    driver = TreeDriver(first)
    with reporter_for(driver, placement.url, tmp_path, atomic=atomic) as reporter:
        reporter.sync_once("node")
        root, gpu0 = first.provider("node").uuid, first.provider("gpu0").uuid
        for provider in (root, gpu0):
            add_traits(placement, provider, "CUSTOM_OPERATOR", "HW_NIC_SRIOV")
            add_inventory(placement, provider, {"CUSTOM_LICENCE": {"total": 3, "max_unit": 1}})
        placement.set_aggregates(root, AGGREGATES[1], AGGREGATES[2])
        placement.set_aggregates(gpu0, AGGREGATES[3])
        theirs = add_neighbours(placement, root)
        assert not reporter.sync_once("node").changes

        second = host_tree("gpu0", vcpus=16)
        second.update_inventory("node", {"VCPU": {"total": 16}})
        second.update_traits("node", ["COMPUTE_NODE"])
        second.update_inventory("gpu0", {})
        driver.tree = second
        reporter.sync_once("node")
        tree = placement.tree()
        assert set(tree) == {"node", "gpu0", *theirs}
        assert neighbours(placement) == theirs
        assert tree["node"]["traits"] == ["COMPUTE_NODE", "CUSTOM_OPERATOR", MARKER, "HW_NIC_SRIOV"]
        assert tree["node"]["aggregates"] == [AGGREGATES[2]]
        assert tree["node"]["inventory"].keys() == {"VCPU", "CUSTOM_LICENCE"}
        assert tree["node"]["inventory"]["CUSTOM_LICENCE"]["max_unit"] == 1
        assert tree["gpu0"]["traits"] == ["CUSTOM_GPU", "CUSTOM_OPERATOR", MARKER, "HW_NIC_SRIOV"]
        assert tree["gpu0"]["aggregates"] == [AGGREGATES[3]]
        assert tree["gpu0"]["inventory"].keys() == {"CUSTOM_LICENCE"}
        assert not reporter.sync_once("node", dry_run=True).changes


def test_what_was_there_before_us_stays_even_when_we_wanted_it_for_a_while(
    placement: Any, tmp_path: Path
) -> None:
    driver = TreeDriver(host_tree())
    root = placement.add_provider("node", uuid_=driver.uuid)
    placement.set_traits(root, "COMPUTE_NODE", "CUSTOM_OPERATOR")
    placement.set_inventory(root, {"CUSTOM_LICENCE": 3})
    placement.set_aggregates(root, AGGREGATES[0])
    driver.tree.update_traits("node", ["COMPUTE_NODE", "CUSTOM_OPERATOR", "CUSTOM_OURS"])
    driver.tree.update_aggregates("node", AGGREGATES[:2])
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node", adopt=True)
        driver.tree.update_traits("node", [])
        driver.tree.update_aggregates("node", [])
        driver.tree.update_inventory("node", {"VCPU": {"total": 8}})
        reporter.sync_once("node")
    tree = placement.tree()
    assert tree["node"]["traits"] == ["COMPUTE_NODE", "CUSTOM_OPERATOR"]
    assert tree["node"]["aggregates"] == [AGGREGATES[0]]
    assert tree["node"]["inventory"].keys() == {"VCPU", "CUSTOM_LICENCE"}


def test_class_that_others_set_just_as_we_want_it_stays_theirs(placement: Any, tmp_path: Path) -> None:
    """What the driver leaves out of a record are defaults, and so no difference."""
    driver = TreeDriver(host_tree())
    root = placement.add_provider("node", uuid_=driver.uuid)
    placement.set_inventory(root, {"VCPU": 8, "CUSTOM_LICENCE": {"total": 3, "allocation_ratio": 1.1}})
    wanted: dict[str, dict[str, Any]] = {
        "VCPU": {"total": 8},
        "CUSTOM_LICENCE": {"total": 3, "allocation_ratio": 1.1},
    }
    driver.tree.update_inventory("node", {**wanted, "CUSTOM_OURS": {"total": 1}})
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node", adopt=True)
        driver.tree.update_inventory("node", {"MEMORY_MB": {"total": 512}})
        reporter.sync_once("node")
    assert placement.tree()["node"]["inventory"].keys() == {"VCPU", "CUSTOM_LICENCE", "MEMORY_MB"}


def test_driver_sees_inventories_and_providers_but_not_our_traits_and_aggregates(
    placement: Any, tmp_path: Path
) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    driver.tree.update_aggregates("node", [AGGREGATES[0]])
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        add_traits(placement, str(driver.uuid), "CUSTOM_OPERATOR")
        reporter.sync_once("node")
    seen = driver.seen[-1]
    assert seen.provider("node").traits == {"CUSTOM_OPERATOR"}
    assert seen.provider("node").aggregates == frozenset()
    assert seen.provider("gpu0").traits == frozenset()
    assert seen.provider("gpu0").inventory["VGPU"]["total"] == 4


def test_provider_of_ours_with_a_child_of_others_stays_emptied_until_the_child_is_gone(
    placement: Any, tmp_path: Path
) -> None:
    driver = TreeDriver(host_tree("gpu0", "gpu1"))
    gpu0 = driver.tree.provider("gpu0").uuid
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        theirs = placement.add_provider("fpga", gpu0)
        placement.set_traits(theirs, "OWNER_CYBORG")
        add_traits(placement, gpu0, "CUSTOM_OPERATOR")
        driver.tree = host_tree()
        report = reporter.sync_once("node")
        assert any("gpu0" in each and "fpga" in each for each in report.notices)
        tree = placement.tree()
        assert set(tree) == {"node", "gpu0", "fpga"}
        assert tree["gpu0"]["inventory"] == {}
        assert tree["gpu0"]["traits"] == ["CUSTOM_OPERATOR", MARKER]
        again = reporter.sync_once("node")
        assert not again.changes
        assert again.notices
        placement.delete(f"/resource_providers/{theirs}")
        reporter.sync_once("node")
        assert set(placement.tree()) == {"node"}


def test_what_we_set_on_a_neighbour_goes_when_the_driver_no_longer_names_it(
    placement: Any, tmp_path: Path
) -> None:
    """A document named Nova's provider, to add something to it, and then no longer does."""
    driver = TreeDriver(host_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        theirs = add_neighbours(placement, str(driver.uuid))
        name = "node_0000:84:00.0"
        driver.tree.new_child(name, "node", uuid=theirs[name]["uuid"])
        driver.tree.update_inventory(name, {"CUSTOM_LICENCE": {"total": 2}, "FPGA": {"total": 1}})
        driver.tree.update_traits(name, ["CUSTOM_RACK", "OWNER_NOVA"])
        driver.tree.update_aggregates(name, [AGGREGATES[1]])
        reporter.sync_once("node")
        found = placement.tree()[name]
        assert found["inventory"].keys() == {"CUSTOM_PCI_10DE_20B0", "CUSTOM_LICENCE", "FPGA"}
        assert found["aggregates"] == [*AGGREGATES[:2]]
        driver.tree.remove(name)
        reporter.sync_once("node")
        assert neighbours(placement) == theirs
        assert not reporter.sync_once("node").changes


def test_vocabulary_goes_even_when_the_ledger_is_lost(placement: Any, tmp_path: Path) -> None:
    """A driver that unsets what it knows: the traits of its vocabulary go, whoever set them, others stay."""
    driver = TreeDriver(host_tree("gpu0"))
    driver.words = Vocabulary(trait_prefixes=("HW_CPU_",), classes=frozenset({"PCPU"}))
    driver.tree.update_traits("node", ["HW_CPU_X86_AVX", "HW_CPU_X86_AVX2", "CUSTOM_HOST"])
    driver.tree.update_inventory("node", {"PCPU": {"total": 2}, "VCPU": {"total": 6}})
    state = tmp_path / "state"
    with reporter_for(driver, placement.url, state) as reporter:
        reporter.sync_once("node")
    add_traits(placement, str(driver.uuid), "CUSTOM_OPERATOR")
    theirs = add_neighbours(placement, str(driver.uuid))
    shutil.rmtree(state)
    driver.tree.update_traits("node", ["HW_CPU_X86_AVX"])
    driver.tree.update_inventory("node", {"VCPU": {"total": 8}})
    with reporter_for(driver, placement.url, state) as reporter:
        with pytest.raises(AdoptionNeeded):
            reporter.sync_once("node")
        reporter.sync_once("node", adopt=True)
        tree = placement.tree()
        # CUSTOM_HOST was ours, but nobody remembers that.
        assert tree["node"]["traits"] == ["CUSTOM_HOST", "CUSTOM_OPERATOR", MARKER, "HW_CPU_X86_AVX"]
        assert tree["node"]["inventory"].keys() == {"VCPU"}
        assert neighbours(placement) == theirs
        assert "gpu0" in tree
        driver.tree = host_tree()
        reporter.sync_once("node")
        assert "gpu0" in placement.tree()


def test_ledger_from_an_old_backup_deletes_nothing_of_others(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    state = tmp_path / "state"
    with reporter_for(driver, placement.url, state) as reporter:
        reporter.sync_once("node")
        shutil.copytree(state, tmp_path / "backup")
        driver.tree.new_child("gpu1", "node")
        driver.tree.update_traits("node", ["COMPUTE_NODE", "CUSTOM_LATER"])
        reporter.sync_once("node")
    theirs = add_neighbours(placement, str(driver.uuid))
    add_traits(placement, str(driver.uuid), "CUSTOM_OPERATOR")
    shutil.rmtree(state)
    shutil.copytree(tmp_path / "backup", state)
    driver.tree.update_traits("node", ["COMPUTE_NODE"])
    with reporter_for(driver, placement.url, state) as reporter:
        reporter.sync_once("node")
        assert not reporter.sync_once("node").changes
    assert neighbours(placement) == theirs
    assert {"CUSTOM_OPERATOR", "COMPUTE_NODE"} <= set(placement.tree()["node"]["traits"])


def test_ledger_that_is_newer_than_placement_deletes_nothing(placement: Any, tmp_path: Path) -> None:
    """Placement was restored from a backup: providers are back at generations that we have seen pass."""
    from tests.functional.reporting import Database

    driver = TreeDriver(host_tree("gpu0", "gpu1"))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        database = Database(placement)
        backup = database.save()
        for total in range(10, 16):
            driver.tree.update_inventory("gpu0", {"VGPU": {"total": total}})
            driver.tree.update_inventory("node", {"VCPU": {"total": total}})
            reporter.sync_once("node")
    database.restore(backup)
    driver.tree.remove("gpu0")
    driver.tree.remove("gpu1")
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        with pytest.raises(AdoptionNeeded, match="restored from a backup"):
            reporter.sync_once("node")
        reporter.sync_once("node", adopt=True)
        # gpu1 had not moved, so it is known as ours; gpu0 might be anybody's.
        assert set(placement.tree()) == {"node", "gpu0"}


def test_ledger_of_another_placement_says_nothing_of_same_uuids_here(
    make_placement: Any, tmp_path: Path
) -> None:
    """Tried out on one, then turned to the one where nova-compute has reported the host under its uuid."""
    first, second = make_placement(), make_placement()
    driver = TreeDriver(host_tree("gpu0"))
    root, gpu = str(driver.uuid), driver.tree.provider("gpu0").uuid
    with reporter_for(driver, first.url, tmp_path) as reporter:
        reporter.sync("node")
    for name, parent, uuid_ in (("node", None, root), ("gpu0", root, gpu)):
        second.add_provider(name, parent, uuid_)
        for total in range(1, 9):
            second.set_inventory(uuid_, {"VGPU" if parent else "VCPU": total})
    second.set_traits(root, "COMPUTE_NODE", "CUSTOM_HOST", "OWNER_NOVA")
    driver.tree.remove("gpu0")
    theirs = second.tree()
    with Reporter(driver, client_for(second.url, label="the second"), tmp_path) as reporter:
        with pytest.raises(AdoptionNeeded):
            reporter.sync("node")
        with pytest.raises(ReporterError, match="another one"):
            decommission(reporter.client, reporter.state, "node")
        assert second.tree() == theirs
        reporter.sync("node", adopt=True)
    assert second.tree()["gpu0"] == theirs["gpu0"]


def test_placement_that_goes_by_another_url_needs_no_adoption(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync("node")
    driver.tree.remove("gpu0")
    with Reporter(driver, client_for(placement.url, label="https"), tmp_path) as reporter:
        reporter.sync("node")
        assert set(placement.tree()) == {"node"}
        assert decommission(reporter.client, reporter.state, "node").deleted == ("node",)


def test_child_made_again_by_others_with_our_uuid_is_theirs(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    gpu0 = driver.tree.provider("gpu0").uuid
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        placement.delete(f"/resource_providers/{gpu0}")
        placement.add_provider("gpu0", driver.uuid, gpu0)
        add_traits(placement, gpu0, "CUSTOM_THEIRS")
        driver.tree = host_tree()
        reporter.sync_once("node")
        assert placement.tree()["gpu0"]["traits"] == ["CUSTOM_THEIRS"]


def test_child_deleted_by_others_is_made_again(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        placement.delete(f"/resource_providers/{driver.tree.provider('gpu0').uuid}")
        reporter.sync_once("node")
        assert_is(placement, driver.tree)


def test_our_child_that_others_moved_or_renamed_comes_back(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree("gpu0", "gpu1"))
    uuids = [driver.tree.provider(each).uuid for each in ("gpu0", "gpu1")]
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        placement.put(
            f"/resource_providers/{uuids[0]}", {"name": "strange", "parent_provider_uuid": uuids[1]}
        )
        reporter.sync_once("node")
        assert_is(placement, driver.tree)


def test_name_that_a_driver_wants_is_a_neighbour_s(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        theirs = placement.add_provider("gpu0", driver.uuid)
        driver.tree = host_tree("gpu0")
        with pytest.raises(InvalidWish, match=theirs):
            reporter.sync_once("node")
    assert placement.tree()["gpu0"]["uuid"] == theirs


def below_the_root(tree: ProviderTree, node: str, _allocations: object = None) -> None:
    """A driver that writes on the root and on a child of its own."""
    tree.update_inventory(node, {"VCPU": {"total": 99}})
    tree.add_traits(node, "CUSTOM_OURS")
    if not tree.exists("device"):
        tree.new_child("device", node)
    tree.update_inventory("device", {"CUSTOM_DEVICE": {"total": 1}})


def only_the_root(tree: ProviderTree, node: str, _allocations: object = None) -> None:
    tree.update_inventory(node, {"VCPU": {"total": 99}})


@pytest.mark.parametrize("told", [True, False])
def test_children_mode_never_writes_the_root(placement: Any, tmp_path: Path, told: bool) -> None:
    root = placement.add_provider("node")
    placement.set_inventory(root, {"VCPU": 8})
    placement.set_traits(root, "OWNER_NOVA")
    theirs = add_neighbours(placement, root)
    before = placement.tree()["node"]
    generation = placement.generation(root)
    driver = ScriptedDriver(below_the_root, uuid=root if told else None)
    with reporter_for(driver, placement.url, tmp_path, manage="children") as reporter:
        report = reporter.sync_once("node")
        assert any("root not ours: 2 records" in each for each in report.notices)
        tree = placement.tree()
        assert tree["node"] == before
        assert placement.generation(root) == generation
        assert tree["device"]["inventory"].keys() == {"CUSTOM_DEVICE"}
        assert tree["device"]["parent"] == "node"
        assert neighbours(placement) == theirs
        again = reporter.sync_once("node")
        assert not again.changes
        assert again.requests_sent == 1

        driver.edit = lambda tree, _node, _allocations: tree.remove("device")
        reporter.sync_once("node")
        assert set(placement.tree()) == {"node", *theirs}


def test_children_mode_with_nothing_below_the_root_is_an_error(placement: Any, tmp_path: Path) -> None:
    placement.add_provider("node")
    driver = ScriptedDriver(only_the_root)
    with reporter_for(driver, placement.url, tmp_path, manage="children") as reporter:
        for dry_run in (True, False):
            with pytest.raises(InvalidWish, match="nothing"):
                reporter.sync_once("node", dry_run=dry_run)


def test_children_mode_never_renames_the_root(placement: Any, tmp_path: Path) -> None:
    root = placement.add_provider("name.of.nova")
    driver = ScriptedDriver(below_the_root, node="ours", uuid=root)
    with reporter_for(driver, placement.url, tmp_path, manage="children") as reporter:
        reporter.sync_once("ours")
        assert not reporter.sync_once("ours").changes
    assert set(placement.tree()) == {"name.of.nova", "device"}


def flip_back(placement: Any, provider: str) -> Callable[[], None]:
    """Another writer who sets a total again and again."""
    return lambda: add_inventory(placement, provider, {"VCPU": {"total": 1}})


def test_record_that_another_writer_changes_back_is_left_alone_after_three_rounds(
    placement: Any, tmp_path: Path
) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    change_back = flip_back(placement, str(driver.uuid))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        for _ in range(3):
            change_back()
            assert not reporter.sync_once("node", service=True).held
        change_back()
        for _ in range(3):
            report = reporter.sync_once("node", service=True)
            assert not report.changes
            assert [each.change.resource_class for each in report.held] == ["VCPU"]
        assert placement.tree()["node"]["inventory"]["VCPU"]["total"] == 1
        # Everything else goes on, and so does the record itself when we want something else.
        driver.tree.update_traits("gpu0", ["CUSTOM_MORE"])
        reporter.sync_once("node", service=True)
        assert "CUSTOM_MORE" in placement.tree()["gpu0"]["traits"]
        driver.tree = host_tree("gpu0", vcpus=12)
        assert not reporter.sync_once("node", service=True).held
        assert placement.tree()["node"]["inventory"]["VCPU"]["total"] == 12


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"format_version": 1}', '{"format_version": 2}'])
def test_ledger_that_is_not_one_is_an_error_and_nothing_is_written(
    placement: Any, tmp_path: Path, content: str
) -> None:
    driver = TreeDriver(host_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
    before = placement.tree()
    ledger = tmp_path / "nodes" / "node.ledger.json"
    ledger.write_text(content)
    driver.tree = host_tree("gpu0")
    with reporter_for(driver, placement.url, tmp_path) as reporter, pytest.raises(StateError) as error:
        reporter.sync_once("node")
    assert str(ledger) in error.value.what
    assert error.value.advice
    assert placement.tree() == before


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format_version": 1, "providers": 3}'])
def test_snapshot_that_is_not_one_is_as_if_there_were_none(
    placement: Any, tmp_path: Path, damage: str
) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
    (tmp_path / "nodes" / "node.snapshot.json").write_text(damage)
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        assert not reporter.sync_once("node").changes
    assert json.loads((tmp_path / "nodes" / "node.snapshot.json").read_text())["root_uuid"] == driver.uuid
