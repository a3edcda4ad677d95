"""``diff`` and ``sync`` against a real Placement."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from tests.functional.conftest import RealPlacement
from tests.reporter.cli.commands import Cli, files_below, node
from tests.reporter.cli.http_faults import answering

CHILD = {"name": "device", "parent": "node", "inventory": {"VGPU": 2}}


def test_diff_then_sync_then_nothing(placed: Cli, placement: RealPlacement) -> None:
    placed.tree(node(traits=["COMPUTE_NODE"]), CHILD)
    assert placed("diff", "--format", "json").code == 2
    done = placed("sync")
    assert done.code == 0
    assert placement.tree()["device"]["inventory"]["VGPU"]["total"] == 2
    again = placed("diff", "--format", "json")
    assert (again.code, again.json["changes"], again.json["requests"]) == (0, [], [])
    assert placed("sync").out == "nothing to change\n"


def test_diff_json_has_what_scripts_rely_on(placed: Cli, placement: RealPlacement) -> None:
    placed.tree(node(traits=["COMPUTE_NODE"]), CHILD)
    placed("sync")
    aggregate = str(uuid.uuid4())
    placed.tree(node(inventory={"VCPU": {"total": 16}}, aggregates=[aggregate], traits=["COMPUTE_NODE"]))
    found = placed("diff", "--format", "json").json
    assert found["format_version"] == 1
    changes = {(each["provider"], each["kind"]): each for each in found["changes"]}
    inventory = changes["node", "inventory"]
    assert inventory["action"] == "update"
    assert inventory["before"]["VCPU"]["total"] == 8
    assert inventory["after"]["VCPU"]["total"] == 16
    assert inventory["reason"]
    assert changes["node", "aggregates"]["after"] == [aggregate]
    assert changes["device", "provider"]["action"] == "delete"
    assert found["summary"] == {"create": 1, "update": 1, "delete": 1}
    placement.requests.clear()
    placed("sync")
    made = [(method, path) for method, path in placement.requests if method != "GET"]
    assert [(each["method"], each["path"]) for each in found["requests"]] == made


def test_diff_writes_nothing(placed: Cli, placement: RealPlacement) -> None:
    placed.tree(node())
    placed("diff")
    assert not placed.state.exists()
    placed("sync")
    before = files_below(placed.state)
    placed.tree(node(inventory={"VCPU": {"total": 16}}), CHILD)
    placement.requests.clear()
    assert placed("diff").code == 2
    assert files_below(placed.state) == before
    assert {method for method, _ in placement.requests} == {"GET"}


def test_text_says_what_changes_and_how_much(placed: Cli) -> None:
    placed.tree(node(traits=["COMPUTE_NODE", "CUSTOM_OLD"]), CHILD)
    placed("sync")
    placed.tree(
        node(
            inventory={"VCPU": {"total": 16, "reserved": 1}, "DISK_GB": 5},
            traits=["COMPUTE_NODE", "CUSTOM_NEW"],
        )
    )
    lines = placed("diff").out.splitlines()
    text = "\n".join(line.partition("  (")[0] if line.startswith("  ") else line for line in lines)
    assert "  ~ VCPU: total 8 -> 16, reserved 0 -> 1" in text
    assert "  + DISK_GB: total 5" in text
    assert "  ~ traits: +CUSTOM_NEW -CUSTOM_OLD" in text
    assert any(line.startswith("- device ") for line in lines)
    assert lines[-1].startswith("1 to create, 2 to update, 1 to delete: 4 changes, ")
    assert placed("sync").out.splitlines()[-1].startswith("1 created, 2 updated, 1 deleted: 4 changes, ")


def test_markdown(placed: Cli) -> None:
    placed.tree(node("a_node"))
    out = placed("diff", "--format", "markdown").out
    assert "## a\\_node\n" in out
    assert "| a\\_node | `+ VCPU: total 8` |" in out
    assert "POST /resource_providers\n" in out


def test_a_provider_that_is_not_ours_needs_adoption(placed: Cli, placement: RealPlacement) -> None:
    theirs = placement.add_provider("node")
    placement.set_traits(theirs, "COMPUTE_NODE")
    placed.tree(node())
    compared = placed("diff")
    assert compared.code == 2
    assert "sync will ask for --adopt" in compared.out
    assert placed("diff", "--format", "json").json["nodes"][0]["adoption"]["what"]
    before = placement.tree()
    placed("sync").assert_explained(theirs, "--adopt")
    assert placement.tree() == before
    assert placed("sync", "--adopt").code == 0
    assert placement.tree()["node"]["inventory"]["VCPU"]["total"] == 8
    placed.tree(node(inventory={"VCPU": {"total": 9}}))
    assert placed("sync").code == 0


def test_what_is_in_use_is_held(placed: Cli, placement: RealPlacement) -> None:
    placed.tree(node())
    placed("sync")
    uuid_of_node = placement.uuid_of("node")
    assert uuid_of_node
    placement.allocate({uuid_of_node: {"VCPU": 6}})
    placed.tree(node(inventory={"VCPU": {"total": 4}, "DISK_GB": 10}))
    compared = placed("diff", "--format", "json")
    assert compared.code == 2
    assert compared.json["nodes"][0]["held"][0]["why"]
    done = placed("sync")
    assert done.code == 3
    assert "held back" in done.out
    assert {k: v["total"] for k, v in placement.tree()["node"]["inventory"].items()} == {
        "VCPU": 8,
        "DISK_GB": 10,
    }
    assert placed("diff").code == 2, "what is held still differs"
    assert placed("sync", "--force").code == 0
    assert placement.tree()["node"]["inventory"]["VCPU"]["total"] == 4


def test_a_saved_plan_is_made_exactly_or_refused(
    placed: Cli, placement: RealPlacement, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    placed.tree(node())
    assert placed("diff", "--out", str(plan)).code == 2
    assert json.loads(plan.read_text("utf-8"))["format_version"] == 1
    placed.tree(node(inventory={"VCPU": {"total": 99}}))
    assert placed("sync", "--plan", str(plan)).code == 0
    assert placement.tree()["node"]["inventory"]["VCPU"]["total"] == 8, "the plan, not today's wish"
    placed("sync", "--plan", str(plan)).assert_explained("no longer fits", "diff --out")
    placed("sync", "--plan", str(plan), "--node", "other").assert_explained("no plan for node other")
    placed("sync", "--plan", str(tmp_path / "absent")).assert_explained("absent")
    placed("diff", "--out", str(tmp_path / "absent" / "plan")).assert_explained("cannot write the plan")


def test_one_node_that_fails_does_not_keep_the_others(placed: Cli, placement: RealPlacement) -> None:
    placement.add_provider("b")
    placed.tree(node("a"), node("b"), node("c"))
    result = placed("sync")
    assert result.code == 1
    assert "provider b" in result.err
    assert {name for name, each in placement.tree().items() if each["inventory"]} == {"a", "c"}


def test_what_holds_for_all_nodes_is_told_once(placed: Cli, placement: RealPlacement, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    placed.tree(node("a"), node("b"), node("c"))
    assert placed("diff", "--out", str(plan)).code == 2
    assert placed("sync", "--plan", str(plan)).code == 0
    placed("sync", "--plan", str(plan)).assert_explained("carried out already")


@pytest.mark.parametrize("command", ["diff", "sync"])
def test_placement_that_fails_is_not_asked_for_each_node(cli: Cli, command: str) -> None:
    cli.tree(*(node(f"node{number}") for number in range(20)))
    with answering(200, "<html>", "text/html") as url:
        cli("--placement", url, command).assert_explained("not a JSON object", "name=node1 ")


def test_node_selects(placed: Cli, placement: RealPlacement) -> None:
    placed.tree(node("a"), node("b"))
    assert placed("sync", "--node", "b").code == 0
    assert list(placement.tree()) == ["b"]
    placed("sync", "--node", "x").assert_explained("no node 'x'", "a, b")


def test_a_running_writer_is_named_and_readers_go_on(placed: Cli) -> None:
    from reporter.state.directory import StateDirectory

    placed.tree(node())
    placed("sync")
    with StateDirectory(placed.state).lock():
        import os

        placed("sync").assert_explained(f"pid {os.getpid()}", "--state-dir")
        assert placed("diff").code == 0
        assert placed("show").code == 0
        assert placed("show", "--from", "placement").code == 0


@pytest.mark.parametrize("command", ["diff", "show"])
def test_reading_commands_work_on_a_state_directory_that_cannot_be_written(placed: Cli, command: str) -> None:
    placed.tree(node())
    placed("sync")
    for path in [*placed.state.rglob("*"), placed.state]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = files_below(placed.state)
    try:
        assert placed(command).code == 0
        assert files_below(placed.state) == before
    finally:
        for path in [placed.state, *placed.state.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
