"""``explain``, ``audit``, ``adopt`` and ``forget``."""

from __future__ import annotations

from tests.functional.conftest import RealPlacement
from tests.reporter.cli.commands import Cli, node


def test_explain_says_where_each_value_comes_from(placed: Cli, tmp_path: object) -> None:
    placed.tree(node(traits=["HW_CPU_X86_AVX2"]))
    result = placed("explain", "node", "--format", "json")
    assert result.code == 0
    found = {each["field"]: each for each in result.json["explanations"]}
    assert found["VCPU.total"]["value"] == 8
    assert found["VCPU.total"]["source"]["kind"] == "document"
    assert f"{tmp_path}/tree.yaml" in found["VCPU.total"]["source"]["detail"]
    assert found["VCPU.total"]["lost"] == []
    assert "traits.HW_CPU_X86_AVX2" in found
    text = placed("explain", "node", "VCPU.total").out
    assert text.splitlines()[0] == "node"
    assert text.splitlines()[1].startswith("  VCPU.total = 8  document: ")


def test_explain_shows_what_lost(placed: Cli) -> None:
    placed.config({"DEFAULT": {"host": "node", "cpu_allocation_ratio": "3.0"}})
    found = placed("explain", "node", "VCPU.allocation_ratio", "--format", "json").json["explanations"]
    (only,) = found
    assert only["value"] == 3.0
    assert only["source"]["kind"] == "configuration"
    assert "cpu_allocation_ratio" in only["source"]["detail"]
    assert only["lost"]
    assert "instead of" in placed("explain", "node", "VCPU.allocation_ratio").out


def test_explain_takes_a_class_a_trait_or_a_field_of_all_classes(placed: Cli) -> None:
    placed.tree(node(inventory={"VCPU": 8, "DISK_GB": 9}, traits=["HW_CPU_X86_AVX2"]))

    def fields(asked: str) -> list[str]:
        result = placed("explain", "node", asked, "--format", "json")
        return [each["field"] for each in result.json["explanations"]]

    assert len(fields("VCPU")) == 6
    assert fields("HW_CPU_X86_AVX2") == ["traits.HW_CPU_X86_AVX2"]
    assert fields("allocation_ratio") == ["DISK_GB.allocation_ratio", "VCPU.allocation_ratio"]


def test_explain_of_what_is_not_there(placed: Cli) -> None:
    placed.tree(node("compute-1"))
    placed("explain", "compute-2").assert_explained("compute-2", "did you mean compute-1?")
    placed("explain", "compute-1", "VCP").assert_explained("VCP", "did you mean VCPU?")


def test_one_node_in_trouble_does_not_keep_the_others_from_being_explained(
    placed: Cli, placement: RealPlacement
) -> None:
    placement.add_provider("a")
    placed.tree(node("a", uuid="0c2a0c0e-6d1b-4d6f-8f39-1b6c0a3d9e01"), node("b"))
    assert placed("explain", "b", "VCPU.total").code == 0
    placed("explain", "a").assert_explained("a is the name of provider")
    assert placed("audit").out.startswith("clash: a: a is the name of provider")


def test_audit_finds_and_exits_2(placed: Cli, placement: RealPlacement) -> None:
    placed.tree(node())
    placed("sync")
    clean = placed("audit")
    assert (clean.code, clean.out) == (0, "nothing found\n")
    root = placement.uuid_of("node")
    assert root
    placement.set_inventory(root, {"VCPU": {"total": 8, "allocation_ratio": 0.0}})
    placement.requests.clear()
    found = placed("audit", "--format", "json")
    assert found.code == 2
    assert {method for method, _ in placement.requests} == {"GET"}
    (first, *_) = found.json["findings"]
    assert (first["kind"], first["provider"], first["uuid"]) == ("unhealthy record", "node", root)
    assert "allocation_ratio" in first["message"]
    text = placed("audit").out
    assert text.startswith(f"unhealthy record: node {root}: ")


def test_adopt_lets_the_next_sync_write(placed: Cli, placement: RealPlacement) -> None:
    theirs = placement.add_provider("node")
    placed.tree(node())
    assert placed("sync").code == 1
    before = placement.tree()
    adopted = placed("adopt", "node", "--format", "json")
    assert adopted.json == {"format_version": 1, "node": "node", "uuid": theirs}
    assert placement.tree() == before
    assert placed("sync").code == 0
    placed("adopt", "nobody").assert_explained("nobody")


def test_forget(placed: Cli, placement: RealPlacement) -> None:
    placed.tree(node(), {"name": "device", "parent": "node"})
    placed("sync")
    assert placed("forget", "node").code == 0
    assert set(placement.tree()) == {"node", "device"}
    assert placed("sync").code == 1, "it is not ours any more"
    placed("forget", "node").assert_explained("node")


def test_forget_delete_decommissions_what_is_not_in_use(placed: Cli, placement: RealPlacement) -> None:
    placed.tree(node(), {"name": "device", "parent": "node"})
    placed("sync")
    root = placement.uuid_of("node")
    assert root
    consumer = placement.allocate({root: {"VCPU": 1}})
    placed("forget", "node", "--delete").assert_explained("1 VCPU")
    assert set(placement.tree()) == {"node", "device"}
    placement.delete(f"/allocations/{consumer}")
    done = placed("forget", "node", "--delete")
    assert done.code == 0
    assert "deleted: device, node" in done.out
    assert placement.tree() == {}
