"""What ``explain`` and the reasons of ``diff`` say of a host that lives through some changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivers import load_driver
from provider_tree import ProviderTree, Source
from reporter.explain import Explanation, explain
from reporter.options import load_config
from reporter.overlays import load_overlays
from reporter.placement.client import PlacementClient
from reporter.settings import Settings
from reporter.sync import Reporter
from tests.functional.drivers import ScriptedDriver, TreeDriver, host_tree
from tests.functional.reporting import MARKER, client_for, reporter_for


def explained(reporter: Reporter, node: str) -> dict[tuple[str, str], Explanation]:
    report = reporter.diff(node)
    settings = reporter.settings
    found = explain(report, reporter.driver.name, settings.owner_trait, settings.manage)
    return {(each.provider, each.field): each for each in found}


def host_reporter(client: PlacementClient, directory: Path, text: str = "") -> Reporter:
    """A reporter with the driver ``host`` of this machine, configured anew as a restart does."""
    file = directory / "test.conf"
    file.write_text(f"[DEFAULT]\nhost = node\n{text}", "utf-8")
    conf = load_config([file], [], driver="host")
    driver = load_driver("host", conf)
    driver.init_host("node")
    return Reporter(driver, client, directory / "state", Settings(), load_overlays(conf))


def test_ratio_that_sticks_after_its_option_is_unset(placement: Any, tmp_path: Path) -> None:
    client, field = client_for(placement.url), ("node", "VCPU.allocation_ratio")
    with host_reporter(client, tmp_path, "cpu_allocation_ratio = 3.0") as reporter:
        (change,) = [each for each in reporter.diff("node").changes if each.resource_class == "VCPU"]
        assert "CPUs" in change.reason
        reporter.sync("node")
        told = explained(reporter, "node")[field]
        assert told.value == 3.0
        assert told.source.kind == "configuration"
        assert "cpu_allocation_ratio" in told.source.detail
        assert str(tmp_path / "test.conf") in told.source.detail
    with host_reporter(client, tmp_path) as reporter:
        assert not reporter.diff("node").changes
        told = explained(reporter, "node")[field]
        assert told.value == 3.0
        assert told.source.kind == "placement"
        assert "kept from Placement" in told.source.detail
        assert "unset" in told.source.detail
        assert [each.kind for each in told.source.lost] == ["default"]
        assert "initial_cpu_allocation_ratio" in told.source.lost[0].detail
    with host_reporter(client, tmp_path, "cpu_allocation_ratio = 5.0") as reporter:
        (change,) = reporter.diff("node").changes
        assert "cpu_allocation_ratio" in change.reason
        lost = explained(reporter, "node")[field].source.lost
        assert ("what Placement has", 3.0) in [(each.detail, each.value) for each in lost]


def test_provider_file_is_named_and_so_is_what_left_it(placement: Any, tmp_path: Path) -> None:
    files = tmp_path / "provider_config"
    files.mkdir()
    (files / "a.yaml").write_text(
        "meta: {schema_version: '1.0'}\n"
        "providers:\n"
        "- identification: {name: node}\n"
        "  inventories:\n    additional:\n    - CUSTOM_LICENCE: {total: 22}\n"
        "  traits:\n    additional: [CUSTOM_GOLD]\n",
        "utf-8",
    )
    text = f"[compute]\nprovider_config_location = {files}\n"
    with host_reporter(client_for(placement.url), tmp_path, text) as reporter:
        reporter.sync("node")
        found = explained(reporter, "node")
        for field in ("CUSTOM_LICENCE.total", "traits.CUSTOM_GOLD"):
            assert found["node", field].source == Source(
                "document", str(files / "a.yaml"), found["node", field].source.value
            )
        (files / "a.yaml").unlink()
        reasons = {each.kind.value: each.reason for each in reporter.diff("node").changes}
        assert reasons == {"inventory": "no longer reported", "traits": "no longer set"}


def test_what_others_have_in_our_tree_is_theirs(placement: Any, tmp_path: Path) -> None:
    with host_reporter(client_for(placement.url), tmp_path) as reporter:
        reporter.sync("node")
        root = placement.uuid_of("node")
        agent = placement.add_provider("node:Open vSwitch agent", root)
        placement.set_inventory(agent, {"NET_BW_EGR_KILOBIT_PER_SEC": 1000})
        placement.set_traits(agent, "CUSTOM_VNIC_TYPE_NORMAL")
        placement.set_traits(root, *placement.tree()["node"]["traits"], "CUSTOM_OPERATOR")
        found = explained(reporter, "node")
        for provider, field in [
            ("node:Open vSwitch agent", "NET_BW_EGR_KILOBIT_PER_SEC.total"),
            ("node:Open vSwitch agent", "traits.CUSTOM_VNIC_TYPE_NORMAL"),
            ("node:Open vSwitch agent", "name"),
            ("node", "traits.CUSTOM_OPERATOR"),
        ]:
            assert found[provider, field].source.kind == "placement"
        assert "somebody else" in found["node", "traits.CUSTOM_OPERATOR"].source.detail
        assert found["node", f"traits.{MARKER}"].source.detail == "[reporter] owner_trait"
        assert all(each.source.detail for each in found.values())


def test_held_change_is_said_where_its_value_would_be(placement: Any, tmp_path: Path) -> None:
    def edit(tree: ProviderTree, node: str, _allocations: object) -> None:
        tree.update_inventory(node, {"VCPU": {"total": vcpus}})

    vcpus, driver = 8, ScriptedDriver(edit)
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync("node")
        placement.allocate({placement.uuid_of("node"): {"VCPU": 6}})
        vcpus = 4
        told = explained(reporter, "node")["node", "VCPU.total"]
        assert told.value == 8
        assert "6 VCPU in use" in told.source.detail
        assert [(each.kind, each.value) for each in told.source.lost] == [("driver", 4)]
        untouched = explained(reporter, "node")["node", "VCPU.reserved"]
        assert untouched.source.kind == "default"


def test_provider_that_stays_although_the_driver_no_longer_has_it(placement: Any, tmp_path: Path) -> None:
    """One is in use, and others have a child below the other: neither is somebody else's."""
    driver = TreeDriver(host_tree("gpu0", "gpu1"))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync("node")
        gpu0, gpu1 = (driver.tree.provider(name).uuid for name in ("gpu0", "gpu1"))
        placement.allocate({gpu0: {"VGPU": 1}})
        placement.add_provider("theirs", gpu1)
        driver.tree.remove("gpu0")
        driver.tree.remove("gpu1")
        found = explained(reporter, "node")
    for field in ("VGPU.total", "traits.CUSTOM_GPU", f"traits.{MARKER}", "name"):
        assert found["gpu0", field].source.detail == "the change is held: in use: 1 VGPU"
    assert found["gpu1", f"traits.{MARKER}"].source.detail == "[reporter] owner_trait"
    assert "others need it" in found["gpu1", "name"].source.detail
    assert "somebody else" in found["theirs", "name"].source.detail


def test_root_that_is_not_ours_is_explained_as_placement_has_it(placement: Any, tmp_path: Path) -> None:
    """[reporter] manage = children: what the driver wants of the root has lost."""

    def edit(tree: ProviderTree, node: str, _allocations: object) -> None:
        tree.update_inventory(node, {"VCPU": {"total": 8}})
        if "gpu" not in tree:
            tree.new_child("gpu", node)
        tree.update_inventory("gpu", {"VGPU": {"total": 1}})

    root = placement.add_provider("node")
    placement.set_inventory(root, {"VCPU": 4})
    placement.set_traits(root, "COMPUTE_NODE")
    with reporter_for(ScriptedDriver(edit), placement.url, tmp_path, manage="children") as reporter:
        found = explained(reporter, "node")
    told = found["node", "VCPU.total"]
    assert (told.value, told.source.kind) == (4, "placement")
    assert "root is not ours" in told.source.detail
    assert [(each.kind, each.value) for each in told.source.lost] == [("driver", 8)]
    for field in ("VCPU.reserved", "traits.COMPUTE_NODE", "name"):
        assert found["node", field].source.kind == "placement"
        assert not found["node", field].source.lost
    assert found["gpu", "VGPU.total"].source.kind == "driver"


def test_origins_are_those_of_this_cycle(placement: Any, tmp_path: Path) -> None:
    """In a service the tree that Placement has comes from the last cycle."""
    sources = iter(["the first file", "the second file"])

    def edit(tree: ProviderTree, node: str, _allocations: object) -> None:
        tree.update_inventory(node, {"VCPU": {"total": 8}})
        tree.add_traits(node, "CUSTOM_A")
        if (source := next(sources, None)) is not None:
            tree.note(node, "traits.CUSTOM_A", Source("document", source))

    with reporter_for(ScriptedDriver(edit), placement.url, tmp_path) as reporter:
        reporter.sync("node")
        assert explained(reporter, "node")["node", "traits.CUSTOM_A"].source.detail == "the second file"
        assert explained(reporter, "node")["node", "traits.CUSTOM_A"].source.detail == "driver scripted"


def test_reasons_in_the_lines_of_diff(placement: Any, tmp_path: Path) -> None:
    """Each is a few words, also for a host whose records come from many places."""
    with host_reporter(client_for(placement.url), tmp_path) as reporter:
        changes = reporter.diff("node").changes
        assert all(0 < len(each.reason) < 70 for each in changes), [each.reason for each in changes]
