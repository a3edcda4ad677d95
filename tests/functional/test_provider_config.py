"""Provider files in a real Placement: what is in a file comes, and what leaves it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from provider_tree import ProviderTree
from reporter.errors import ReporterError
from reporter.overlays import OPTIONS, load_overlays
from reporter.report import Report
from reporter.settings import Settings
from reporter.sync import Reporter
from tests.functional.drivers import Edit, ScriptedDriver
from tests.functional.reporting import client_for

AGENT = "33333333-3333-4333-8333-333333333333"
Cycle = Callable[[str | None], Report]


def host(tree: ProviderTree, node: str, _allocations: object) -> None:
    """What a driver does that knows its root and one child, and nothing of others."""
    tree.update_inventory(node, {"VCPU": {"total": 8}})
    tree.add_traits(node, "COMPUTE_NODE")
    if "gpu" not in tree:
        tree.new_child("gpu", node)
    tree.update_inventory("gpu", {"VGPU": {"total": 4}})


class Host:
    """Cycles with the text of a provider file; None for no file."""

    def __init__(self, placement: Any, directory: Path, edit: Edit) -> None:
        self.placement = placement
        self.edit = edit
        self.directory = directory
        self.files = directory / "provider_config"
        self.files.mkdir()
        self._versions = 0

    def write(self, text: str | None) -> None:
        for path in self.files.iterdir():
            path.unlink()
        if text is not None:
            self._versions += 1
            path = self.files / f"{self._versions}.yaml"
            path.write_text(f"meta: {{schema_version: '1.0'}}\nproviders:\n{text}")

    def overlays(self) -> Any:
        conf = cfg.ConfigOpts()
        conf.register_opts(OPTIONS["compute"], group="compute")
        conf([], default_config_files=[], default_config_dirs=[])
        conf.set_override("provider_config_location", str(self.files), group="compute")
        return load_overlays(conf)

    @contextmanager
    def service(self) -> Iterator[Reporter]:
        client = client_for(self.placement.url)
        state = self.directory / "state"
        settings = Settings(connections=1)
        with Reporter(ScriptedDriver(self.edit), client, state, settings, self.overlays()) as reporter:
            yield reporter

    def sync(self, text: str | None, **how: Any) -> Report:
        """As a command would: nothing is remembered but in the state directory."""
        self.write(text)
        with self.service() as reporter:
            return reporter.sync("node", **how)


def rebuild(tree: ProviderTree, node: str, allocations: object) -> None:
    """A driver that drops what it does not know, which the reporter puts back."""
    for child in list(tree.children(node)):
        if child.name != "gpu":
            tree.remove(child.uuid)
    host(tree, node, allocations)


DRIVERS = pytest.mark.parametrize("machine", [host, rebuild], indirect=True)


@pytest.fixture
def machine(placement: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Host:
    """A host that is in Placement, with a provider of another agent's below it."""
    made = Host(placement, tmp_path, getattr(request, "param", host))
    made.sync(None)
    placement.add_provider("agent", placement.uuid_of("node"), AGENT)
    placement.set_inventory(AGENT, {"CUSTOM_AGENTS": {"total": 7, "reserved": 1}})
    placement.set_traits(AGENT, "CUSTOM_VNIC")
    return made


def entry(provider: str, total: int = 10, trait: str = "CUSTOM_RACK") -> str:
    return (
        f"  - identification: {{{provider}}}\n"
        f"    inventories: {{additional: [CUSTOM_LICENSE: {{total: {total}}}]}}\n"
        f"    traits: {{additional: [{trait}]}}\n"
    )


@DRIVERS
@pytest.mark.parametrize("provider", ["uuid: $COMPUTE_NODE", "name: node", "name: gpu", f"uuid: {AGENT}"])
def test_comes_changes_and_goes(machine: Host, provider: str) -> None:
    placement = machine.placement
    before = placement.tree()
    name = {"uuid: $COMPUTE_NODE": "node", f"uuid: {AGENT}": "agent"}.get(provider, provider[6:])

    machine.sync(entry(provider))
    tree = placement.tree()
    assert tree[name]["inventory"]["CUSTOM_LICENSE"]["total"] == 10
    assert set(tree[name]["traits"]) - set(before[name]["traits"]) == {"CUSTOM_RACK"}
    assert machine.sync(entry(provider)).changes == ()

    machine.sync(entry(provider, 12, "CUSTOM_ROOM"))
    tree = placement.tree()
    assert tree[name]["inventory"]["CUSTOM_LICENSE"]["total"] == 12
    assert set(tree[name]["traits"]) - set(before[name]["traits"]) == {"CUSTOM_ROOM"}

    machine.sync(None)
    assert placement.tree() == before
    assert machine.sync(None).changes == ()


@DRIVERS
def test_only_what_is_named_is_written(machine: Host) -> None:
    placement = machine.placement
    machine.sync(entry(f"uuid: {AGENT}"))
    # The agent goes on with its own business, also with what it takes for its whole inventory.
    placement.set_inventory(
        AGENT, {"CUSTOM_AGENTS": {"total": 9}, "CUSTOM_MORE": 3, "CUSTOM_LICENSE": {"total": 10}}
    )
    assert machine.sync(entry(f"uuid: {AGENT}")).changes == ()
    placement.set_inventory(AGENT, {"CUSTOM_AGENTS": {"total": 9}})
    machine.sync(entry(f"uuid: {AGENT}"))
    inventory = placement.tree()["agent"]["inventory"]
    assert {name: record["total"] for name, record in inventory.items()} == {
        "CUSTOM_AGENTS": 9,
        "CUSTOM_LICENSE": 10,
    }


def test_what_nova_has_put_there_from_the_same_file_is_taken_over(machine: Host) -> None:
    machine.placement.set_inventory(AGENT, {"CUSTOM_AGENTS": {"total": 7}, "CUSTOM_LICENSE": 3})
    machine.sync(entry(f"uuid: {AGENT}"))
    assert machine.placement.tree()["agent"]["inventory"]["CUSTOM_LICENSE"]["total"] == 10


@pytest.mark.parametrize("provider", ["name: node", f"uuid: {AGENT}"])
def test_record_that_placement_would_refuse_is_left_out_and_the_rest_goes_on(
    machine: Host, provider: str
) -> None:
    name = "agent" if AGENT in provider else "node"
    unfit = entry(provider).replace("total: 10", "total: 10, reserved: 11")
    report = machine.sync(unfit)
    assert "CUSTOM_LICENSE" not in machine.placement.tree()[name]["inventory"]
    assert "CUSTOM_RACK" in machine.placement.tree()[name]["traits"]
    [notice] = report.notices
    assert f"CUSTOM_LICENSE of {name} left out: reserved is 11" in notice
    assert str(machine.files) in notice

    machine.sync(entry(provider))
    assert machine.placement.tree()[name]["inventory"]["CUSTOM_LICENSE"]["total"] == 10
    assert not machine.sync(unfit).changes, "what was good stays until the file is corrected"


def test_record_of_a_driver_that_placement_would_refuse_is_an_error(machine: Host) -> None:
    def edit(tree: ProviderTree, node: str, allocations: object) -> None:
        host(tree, node, allocations)
        tree.update_inventory("gpu", {"VGPU": {"total": 4, "reserved": 5}})
        tree.note("gpu", "VGPU", "the firmware of the GPU")

    before = machine.placement.tree()
    machine.write(entry("name: gpu"))
    with machine.service() as reporter:
        reporter.driver.edit = edit
        with pytest.raises(ReporterError, match=r"VGPU\.reserved: is 5") as error:
            reporter.sync("node")
    assert "the firmware of the GPU" in error.value.advice
    assert machine.placement.tree() == before


@DRIVERS
def test_service_follows_the_files(machine: Host) -> None:
    placement = machine.placement
    before = placement.tree()
    with machine.service() as reporter:
        for total in (10, 11):
            machine.write(entry(f"uuid: {AGENT}", total))
            reporter.sync("node")
            assert placement.tree()["agent"]["inventory"]["CUSTOM_LICENSE"]["total"] == total
            assert reporter.sync("node").changes == ()
        machine.write("  - nonsense\n")
        report = reporter.sync("node")
        assert report.changes == ()
        assert any("the last good version stays at work" in notice for notice in report.notices)
        machine.write(None)
        reporter.sync("node")
        assert placement.tree() == before


def test_diff_says_which_file_it_comes_from(machine: Host) -> None:
    machine.write(entry("name: gpu"))
    with machine.service() as reporter:
        changes = reporter.diff("node").changes
    assert any(str(machine.files) in change.reason for change in changes if change.provider == "gpu")
    assert "CUSTOM_LICENSE" not in machine.placement.tree()["gpu"]["inventory"]


def test_class_of_the_driver_is_refused_in_every_cycle(machine: Host) -> None:
    def with_licenses(tree: ProviderTree, node: str, allocations: object) -> None:
        host(tree, node, allocations)
        tree.update_inventory("gpu", {"CUSTOM_LICENSE": {"total": 1}})

    machine.write(None)
    with machine.service() as reporter:
        reporter.driver.edit = with_licenses
        reporter.sync("node")
        before = machine.placement.tree()
    machine.write(entry("name: gpu"))
    for _ in range(2):
        with machine.service() as reporter:
            reporter.driver.edit = with_licenses
            with pytest.raises(ReporterError, match="CUSTOM_LICENSE already"):
                reporter.sync("node")
    assert machine.placement.tree() == before
