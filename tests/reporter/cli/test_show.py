from __future__ import annotations

import uuid

import yaml

from tests.functional.conftest import RealPlacement
from tests.reporter.cli.commands import Cli, node

CHILD = {"name": "device", "parent": "node", "inventory": {"VGPU": 2}, "traits": ["CUSTOM_FAST"]}


def test_json_has_what_scripts_rely_on(cli: Cli) -> None:
    aggregate = str(uuid.uuid4())
    cli.tree(node(traits=["HW_CPU_X86_AVX2", "COMPUTE_NODE"], aggregates=[aggregate]), CHILD)
    result = cli("show", "--format", "json")
    assert result.code == 0
    root, child = result.json["providers"]
    assert root == {
        "name": "node",
        "uuid": root["uuid"],
        "parent": None,
        "inventory": {
            "VCPU": {
                "total": 8,
                "reserved": 0,
                "min_unit": 1,
                "max_unit": 2147483647,
                "step_size": 1,
                "allocation_ratio": 1.0,
            }
        },
        "traits": ["COMPUTE_NODE", "HW_CPU_X86_AVX2"],
        "aggregates": [aggregate],
    }
    assert (child["name"], child["parent"]) == ("device", "node")
    assert str(uuid.UUID(child["uuid"])) == child["uuid"]


def test_yaml_is_a_document_that_the_static_driver_reads(cli: Cli) -> None:
    cli.tree(node(), CHILD)
    first = cli("show", "--format", "yaml")
    cli.tree(*yaml.safe_load(first.out)["providers"])
    assert cli("show", "--format", "yaml").out == first.out


def test_text_draws_the_tree(cli: Cli) -> None:
    cli.tree(node(traits=["COMPUTE_NODE"]), CHILD)
    lines = cli("show").out.splitlines()
    assert lines[0].startswith("node ")
    assert lines[1:3] == ["  VCPU: total 8", "  traits: COMPUTE_NODE"]
    assert lines[3].startswith("  device ")
    assert lines[4:] == ["    VGPU: total 2", "    traits: CUSTOM_FAST"]


def test_the_driver_needs_no_placement_and_no_state_directory(cli: Cli) -> None:
    cli.common += ["--placement", "http://127.0.0.1:1"]
    assert cli("show", "--driver", "host").code == 0
    assert not cli.state.exists()


def test_uuids_are_those_of_the_last_sync(placed: Cli) -> None:
    placed.tree(node(), CHILD)
    assert placed("sync").code == 0
    of_driver = placed("show", "--format", "json").json["providers"]
    of_placement = placed("show", "--from", "placement", "--format", "json").json["providers"]
    assert [each["uuid"] for each in of_driver] == [each["uuid"] for each in of_placement]
    assert [each["inventory"] for each in of_driver] == [each["inventory"] for each in of_placement]


def test_from_placement_shows_what_others_put_there(placed: Cli, placement: RealPlacement) -> None:
    placed.tree(node())
    placed("sync")
    uuid_of_node = placement.uuid_of("node")
    placement.add_provider("node:agent", uuid_of_node)
    shown = placed("show", "--from", "placement", "--format", "json").json["providers"]
    assert [each["name"] for each in shown] == ["node", "node:agent"]
    assert "CUSTOM_OWNER_PLACEMENT_REPORTER" in shown[0]["traits"]


def test_from_placement_what_is_not_there(placed: Cli) -> None:
    placed.tree(node())
    result = placed("show", "--from", "placement")
    result.assert_explained("error: Placement has nothing of node\n")
    placed.tree(node(), node("other"))
    assert placed("sync", "--node", "other").code == 0
    result = placed("show", "--from", "placement")
    assert result.code == 0
    assert result.err == "warning: Placement has no provider node\n"


def test_from_placement_any_node_by_name(placed: Cli, placement: RealPlacement) -> None:
    """An operator looks at a host that is not the one where the command runs."""
    placement.add_provider("elsewhere")
    result = placed("show", "--from", "placement", "--node", "elsewhere", "--format", "json")
    assert [each["name"] for each in result.json["providers"]] == ["elsewhere"]


def test_several_nodes_and_one_of_them(cli: Cli) -> None:
    cli.tree(node("b"), node("a"))
    assert [each["name"] for each in cli("show", "--format", "json").json["providers"]] == ["a", "b"]
    assert [each["name"] for each in cli("show", "--node", "b", "--format", "json").json["providers"]] == [
        "b"
    ]


def test_node_selects_and_does_not_rename(cli: Cli) -> None:
    cli.tree(node("a"), node("b"))
    cli("show", "--node", "c").assert_explained("no node 'c'", "a, b")


def test_names_cannot_drive_the_terminal(placed: Cli, placement: RealPlacement) -> None:
    root = placement.add_provider("evil")
    placement.add_provider("\x1b]0;owned\x07\x1b[2J", root)
    out = placed("show", "--from", "placement", "--node", "evil").out
    assert "\x1b" not in out
    assert "\\x1b]0;owned\\x07" in out


def test_what_breaks_scheduling_is_warned_of(cli: Cli) -> None:
    """The tree is shown all the same: it is for finding out."""
    cli.tree(node(inventory={"VCPU": {"total": 8, "max_unit": 16}}))
    result = cli("show")
    assert result.code == 0
    assert "VCPU: total 8, max_unit 16" in result.out
    assert result.err.startswith("warning: ")
