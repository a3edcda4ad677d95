"""What ``audit`` finds in a Placement where things went wrong; and that it only reads."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import DriverError
from provider_tree import ProviderTree, Source
from reporter.audit import AuditFinding, audit
from reporter.placement.errors import PlacementError
from reporter.sightings import keep_sightings
from reporter.sync import Reporter
from tests.functional.drivers import ManyNodes, ScriptedDriver, TreeDriver, host_tree
from tests.functional.reporting import MARKER, reporter_for
from tests.reporter.cli.commands import files_below

NOW = 2_000_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def look(reporter: Reporter, *nodes: str, now: float | None = None) -> list[AuditFinding]:
    """Audit, and make sure that nothing was written: to Placement, or to the state directory."""
    before = files_below(reporter.state.path)
    sent: list[str] = []
    original = reporter.client.request

    def watched(method: str, path: str, *rest: Any, **more: Any) -> Any:
        sent.append(method)
        return original(method, path, *rest, **more)

    reporter.client.request = watched  # type: ignore[method-assign]  # to see what it sends
    try:
        found = audit(reporter, list(nodes) or ["node"], now=now)
    finally:
        reporter.client.request = original  # type: ignore[method-assign]  # as above
    assert set(sent) == {"GET"}
    assert files_below(reporter.state.path) == before
    return found


def kinds(found: list[AuditFinding]) -> list[tuple[str, str]]:
    assert all(each.message and each.advice for each in found)
    return [(each.kind, each.provider) for each in found]


@pytest.mark.parametrize("synced", [True, False])
def test_healthy_host_has_no_findings(placement: Any, tmp_path: Path, synced: bool) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        if synced:
            reporter.sync("node")
            root = str(driver.uuid)
            # What others have is theirs, and no finding.
            placement.set_traits(root, *placement.tree()["node"]["traits"], "CUSTOM_OPERATOR")
            placement.set_aggregates(root, str(uuid.uuid4()))
            agent = placement.add_provider("node:Open vSwitch agent", root)
            placement.set_inventory(agent, {"NET_BW_EGR_KILOBIT_PER_SEC": 1000})
            placement.allocate({root: {"VCPU": 1}, agent: {"NET_BW_EGR_KILOBIT_PER_SEC": 10}})
        assert look(reporter) == []


# Nodes


def report_vcpus(tree: ProviderTree, node: str, _allocations: object) -> None:
    tree.update_inventory(node, {"VCPU": {"total": 8}})


def age(reporter: Reporter, node: str, days: float, now: float) -> None:
    """Let the last report of a node be some days ago."""
    for kind in ("ledger", "snapshot"):
        file = reporter.state.node_file(node, kind)
        if file.exists():
            os.utime(file, (now - days * DAY, now - days * DAY))


@pytest.mark.parametrize(
    ("days", "used", "kind"), [(1, False, "stray node"), (8, False, "orphan"), (8, True, "stray node")]
)
def test_node_that_is_gone(placement: Any, tmp_path: Path, days: float, used: bool, kind: str) -> None:
    driver = ManyNodes(report_vcpus, "a", "b", "c")
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        for node in driver.nodes:
            reporter.sync(node)
        if used:
            placement.allocate({placement.uuid_of("b"): {"VCPU": 1}})
        driver.nodes.remove("b")
        age(reporter, "b", days, NOW)
        (found,) = look(reporter, *driver.nodes, now=NOW)
        assert (found.kind, found.provider, found.uuid) == (kind, "b", placement.uuid_of("b"))
        assert "forget b --delete" in found.advice
        assert f"{days:.1f} days" in found.message
        assert ("has allocations" in found.message) == used


def test_one_selected_node_does_not_make_the_others_strays(placement: Any, tmp_path: Path) -> None:
    driver = ManyNodes(report_vcpus, "a", "b", "c")
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        for node in driver.nodes:
            reporter.sync(node)
        assert look(reporter, "a") == []


def test_node_that_others_made_anew_is_theirs(placement: Any, tmp_path: Path) -> None:
    driver = ManyNodes(report_vcpus, "a", "b")
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        for node in driver.nodes:
            reporter.sync(node)
        root = placement.uuid_of("b")
        placement.delete(f"/resource_providers/{root}")
        placement.add_provider("b", uuid_=root)
        driver.nodes.remove("b")
        assert look(reporter, "a") == []


def test_strays_beside_nova_are_our_children_alone(placement: Any, tmp_path: Path) -> None:
    def device(tree: ProviderTree, node: str, _allocations: object) -> None:
        if not tree.exists(f"{node}-device"):
            tree.new_child(f"{node}-device", node)
        tree.update_inventory(f"{node}-device", {"CUSTOM_DEVICE": {"total": 1}})

    for name in ("a", "b"):
        placement.add_provider(name)
    driver = ManyNodes(device, "a", "b")
    with reporter_for(driver, placement.url, tmp_path, manage="children") as reporter:
        for node in driver.nodes:
            reporter.sync(node)
        driver.nodes.remove("b")
        (found,) = look(reporter, "a")
        assert (found.kind, found.provider) == ("stray node", "b")
        assert found.message.startswith("1 provider of ours")


def test_renamed_host_is_told_as_such_before_its_sync(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree("gpu0"))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync("node")
    driver = TreeDriver(host_tree("gpu0", root="renamed"))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        (found,) = look(reporter, "renamed")
        assert (found.kind, found.provider, found.uuid) == ("clash", "node", driver.uuid)
        assert "renamed" in found.advice
        reporter.sync("renamed")
        assert look(reporter, "renamed") == []


# Clashes


def test_name_belongs_to_another_provider(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync("node")
        body = {"name": "moved aside", "parent_provider_uuid": None}
        placement.put(f"/resource_providers/{driver.uuid}", body)
        holder = placement.add_provider("node")
        found = look(reporter)
        assert kinds(found)[0] == ("clash", "node")
        assert found[0].uuid == holder
        assert holder in found[0].advice


def test_uuid_of_the_host_contradicts_the_name(placement: Any, tmp_path: Path) -> None:
    """Nova refuses to start in this case, and so does sync; audit tells of it and goes on."""
    holder = placement.add_provider("node")
    driver = ScriptedDriver(report_vcpus, uuid=str(uuid.uuid4()))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        (found,) = look(reporter)
    assert found.kind == "clash"
    assert holder in found.message


def test_root_that_is_not_ours(placement: Any, tmp_path: Path) -> None:
    root = placement.add_provider("node")
    with reporter_for(ScriptedDriver(report_vcpus), placement.url, tmp_path) as reporter:
        (found,) = look(reporter)
    assert (found.kind, found.uuid) == ("clash", root)
    assert "--adopt" in found.advice


@pytest.mark.parametrize("same", ["name", "uuid"])
def test_child_whose_name_or_uuid_is_taken_elsewhere(placement: Any, tmp_path: Path, same: str) -> None:
    driver = TreeDriver(host_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync("node")
        driver.tree = host_tree("gpu0")
        gpu0 = driver.tree.provider("gpu0").uuid
        elsewhere = placement.add_provider("another host")
        holder = placement.add_provider(
            "gpu0" if same == "name" else "other", elsewhere, gpu0 if same == "uuid" else None
        )
        (found,) = look(reporter)
        assert found.kind == "clash"
        assert holder in found.message


def test_one_node_in_trouble_does_not_keep_the_others_from_being_looked_at(
    placement: Any, tmp_path: Path
) -> None:
    def edit(tree: ProviderTree, node: str, allocations: object) -> None:
        if node == "b" and broken:
            raise DriverError("the BMC of b does not answer", "look at it")
        report_vcpus(tree, node, allocations)

    broken, driver = False, ManyNodes(edit, "a", "b", "c")
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        for node in driver.nodes:
            reporter.sync(node)
        broken = True
        placement.set_inventory(placement.uuid_of("c"), {"VCPU": {"total": 8, "allocation_ratio": 0.0}})
        found = look(reporter, *driver.nodes)
        assert kinds(found) == [("failing node", "b"), ("unhealthy record", "c")]
        assert "BMC" in found[0].message


def test_placement_that_does_not_answer_is_an_error(placement: Any, tmp_path: Path) -> None:
    with reporter_for(TreeDriver(host_tree()), placement.url, tmp_path) as reporter:
        placement.hook = lambda _method, _path: ("503 Service Unavailable", b"")
        with pytest.raises(PlacementError):
            audit(reporter, ["node"])


# After the ledger was lost


def forgetful(placement: Any, tmp_path: Path, driver: TreeDriver) -> Reporter:
    """Sync, lose the state directory, take everything over again."""
    with reporter_for(driver, placement.url, tmp_path / "lost") as reporter:
        reporter.sync("node")
    shutil.rmtree(tmp_path / "lost")
    reporter = reporter_for(driver, placement.url, tmp_path / "state")
    reporter.sync("node", adopt=True)
    return reporter


def with_notes(tree: ProviderTree) -> ProviderTree:
    """As the drivers of this project give them."""
    for provider in list(tree.providers()):
        tree.note(provider.uuid, "name", Source("driver", "found"))
        for trait in provider.traits:
            tree.note(provider.uuid, f"traits.{trait}", Source("driver", "found"))
    return tree


def test_child_with_our_mark_that_nobody_reports_any_more(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(with_notes(host_tree("gpu0", "gpu1")))
    with forgetful(placement, tmp_path, driver) as reporter:
        assert look(reporter) == []
        driver.tree = with_notes(host_tree("gpu1"))
        reporter.sync("node")
        (found,) = look(reporter)
        assert (found.kind, found.provider) == ("orphan", "gpu0")
        assert found.uuid in found.advice
        placement.allocate({found.uuid: {"VGPU": 1}})
        assert look(reporter) == []


def test_trait_that_no_driver_will_ever_take_away(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(with_notes(host_tree("gpu0")))
    with forgetful(placement, tmp_path, driver) as reporter:
        wanted = host_tree("gpu0")
        wanted.update_traits("node", ["COMPUTE_NODE"])
        driver.tree = with_notes(wanted)
        reporter.sync("node")
        assert "CUSTOM_HOST" in placement.tree()["node"]["traits"], "it may be somebody else's"
        (found,) = look(reporter)
        assert (found.kind, found.provider) == ("stray trait", "node")
        assert found.message.startswith("CUSTOM_HOST: ")


# Records


UNHEALTHY = {
    "allocation_ratio": {"total": 8, "allocation_ratio": 0.0},
    "min_unit": {"total": 8, "min_unit": 4, "max_unit": 2},
    "max_unit": {"total": 8, "max_unit": 9},
    "reserved": {"total": 8, "reserved": 8},
    "total": {"total": 2},
}


@pytest.mark.parametrize("field", UNHEALTHY)
def test_records_that_placement_took_though_they_break_scheduling(
    placement: Any, tmp_path: Path, field: str
) -> None:
    driver = TreeDriver(host_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync("node")
        root = str(driver.uuid)
        placement.allocate({root: {"VCPU": 4}})
        placement.set_inventory(root, {**placement.tree()["node"]["inventory"], "VCPU": UNHEALTHY[field]})
        (found,) = look(reporter)
        assert (found.kind, found.provider, found.uuid) == ("unhealthy record", "node", root)
        assert found.message.startswith(f"VCPU.{field}: ")


def test_device_that_its_present_user_is_the_last_to_get_is_healthy(placement: Any, tmp_path: Path) -> None:
    """Nova's one_time_use: reserved once it is in use."""
    driver = TreeDriver(host_tree())
    driver.tree.new_child("device", "node")
    driver.tree.update_inventory("device", {"CUSTOM_PCI_10DE_20B0": {"total": 1}})
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync("node")
        placement.allocate({placement.uuid_of("device"): {"CUSTOM_PCI_10DE_20B0": 1}})
        driver.tree.update_inventory("device", {"CUSTOM_PCI_10DE_20B0": {"total": 1, "reserved": 1}})
        reporter.sync("node")
        assert placement.tree()["device"]["inventory"]["CUSTOM_PCI_10DE_20B0"]["reserved"] == 1
        assert look(reporter) == []


def test_record_that_is_left_alone_in_a_contest(placement: Any, tmp_path: Path) -> None:
    driver = TreeDriver(host_tree())
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync("node")
        for _ in range(4):
            traits = set(placement.tree()["node"]["traits"]) - {"CUSTOM_HOST"}
            placement.set_traits(str(driver.uuid), *traits)
            reporter.sync("node")
        (found,) = look(reporter)
        assert (found.kind, found.provider) == ("contested record", "node")
        assert "+CUSTOM_HOST" in found.message


# Consumers


class Hypervisor(ScriptedDriver):
    """Knows some instances."""

    def __init__(self) -> None:
        super().__init__(report_vcpus)
        self.instances: list[str] = []

    def list_instance_uuids(self) -> list[str]:
        if not self.instances:
            raise DriverError("libvirtd is down", "start it")
        return self.instances


@pytest.fixture
def hypervisor(placement: Any, tmp_path: Path) -> Any:
    driver = Hypervisor()
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        reporter.sync("node")
        root = placement.uuid_of("node")
        driver.instances = [placement.allocate({root: {"VCPU": 1}})]
        yield reporter, root


def cycle(reporter: Reporter, now: float) -> None:
    """As the service and ``sync`` do."""
    with reporter.state.lock():
        keep_sightings(reporter, reporter.sync_once("node"), now)


def test_consumer_is_told_of_after_an_hour_of_sightings(placement: Any, hypervisor: Any) -> None:
    reporter, root = hypervisor
    stray = placement.allocate({root: {"VCPU": 1}})
    for minutes in range(0, 61, 10):
        now = NOW + minutes * MINUTE
        cycle(reporter, now)
        assert look(reporter, now=now) == [] or minutes == 60
    (found,) = look(reporter, now=NOW + HOUR)
    assert (found.kind, found.provider, found.uuid) == ("unknown consumer", "node", root)
    assert stray in found.message
    assert "1.0 h" in found.message
    assert "migration" in found.advice
    assert "build" in found.advice


def test_consumer_that_the_hypervisor_gets_to_know_begins_anew(placement: Any, hypervisor: Any) -> None:
    reporter, root = hypervisor
    driver = reporter.driver
    migrating = placement.allocate({root: {"VCPU": 1}})
    cycle(reporter, NOW)
    driver.instances.append(migrating)
    cycle(reporter, NOW + 40 * MINUTE)
    driver.instances.remove(migrating)
    cycle(reporter, NOW + 80 * MINUTE)
    assert look(reporter, now=NOW + 100 * MINUTE) == []
    cycle(reporter, NOW + 120 * MINUTE)
    assert kinds(look(reporter, now=NOW + 145 * MINUTE)) == [("unknown consumer", "node")]
    driver.instances.append(migrating)
    assert look(reporter, now=NOW + 146 * MINUTE) == [], "it is known now"


def test_sightings_with_a_long_gap_say_nothing(placement: Any, hypervisor: Any) -> None:
    reporter, root = hypervisor
    placement.allocate({root: {"VCPU": 1}})
    cycle(reporter, NOW)
    assert look(reporter, now=NOW + 3 * HOUR) == []
    cycle(reporter, NOW + 3 * HOUR)
    assert look(reporter, now=NOW + 3 * HOUR) == []


def test_hypervisor_that_cannot_tell_makes_nobody_unknown(placement: Any, hypervisor: Any) -> None:
    reporter, root = hypervisor
    placement.allocate({root: {"VCPU": 1}})
    known, reporter.driver.instances = reporter.driver.instances, []
    for minutes in range(0, 91, 10):
        cycle(reporter, NOW + minutes * MINUTE)
    assert look(reporter, now=NOW + 90 * MINUTE) == []
    reporter.driver.instances = known
    cycle(reporter, NOW + 100 * MINUTE)
    assert look(reporter, now=NOW + 100 * MINUTE) == []


def test_cycles_look_only_once_in_a_while(placement: Any, hypervisor: Any) -> None:
    reporter, _ = hypervisor
    looks = 0
    for minutes in range(61):
        placement.requests.clear()
        cycle(reporter, NOW + minutes * MINUTE)
        asked = [path for _, path in placement.requests]
        looks += any(path.endswith("/allocations") for path in asked)
    assert looks == 3


def test_driver_without_hypervisor_costs_nothing(placement: Any, tmp_path: Path) -> None:
    with reporter_for(ScriptedDriver(report_vcpus), placement.url, tmp_path) as reporter:
        reporter.sync("node")
        placement.requests.clear()
        cycle(reporter, NOW)
        assert len(placement.requests) == 1
        assert not reporter.state.node_file("node", "sightings").exists()


def test_mark_is_what_the_configuration_says(placement: Any, tmp_path: Path) -> None:
    with reporter_for(TreeDriver(host_tree()), placement.url, tmp_path, owner_trait="") as reporter:
        reporter.sync("node")
        assert MARKER not in placement.tree()["node"]["traits"]
        assert look(reporter) == []
