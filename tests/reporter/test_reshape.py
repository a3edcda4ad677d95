"""What a driver may make of allocations, what goes to the reshaper, and what is kept of how it was."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import ReshapeFailed
from drivers.reshape import move_allocations
from drivers.reshape_rules import ReshapeRules
from provider_tree import ProviderTree
from reporter import reshape
from reporter.state.directory import StateDirectory
from tests.functional.drivers import host_tree

TREE = host_tree("gpu0", "gpu1", vcpus=100)
ROOT, GPU0, GPU1 = (each.uuid for each in TREE.providers())
ELSEWHERE = "99999999-9999-4999-8999-999999999999"
PINNING = ReshapeRules(class_changes=frozenset({("VCPU", "PCPU")}))


def consumer(held: Any) -> dict[str, Any]:
    return {
        "allocations": held,
        "project_id": "project",
        "user_id": "user",
        "consumer_generation": 3,
        "consumer_type": "INSTANCE",
    }


amounts = st.integers(1, 9)
resources = st.dictionaries(st.sampled_from(["VCPU", "PCPU", "VGPU"]), amounts, min_size=1)
holdings = st.dictionaries(
    st.sampled_from([ROOT, GPU0, GPU1, ELSEWHERE]),
    resources.map(lambda held: {"resources": held}),
    min_size=1,
)
consumers = st.dictionaries(st.sampled_from(["c1", "c2", "c3"]), holdings.map(consumer))


def on(**held: dict[str, int]) -> dict[str, Any]:
    """A consumer's allocations; ``root``, ``gpu0``, ``gpu1`` and ``elsewhere`` stand for their uuids."""
    uuids = {"root": ROOT, "gpu0": GPU0, "gpu1": GPU1, "elsewhere": ELSEWHERE}
    return consumer({uuids[name]: {"resources": each} for name, each in held.items()})


def roomy(*classes: str) -> ProviderTree:
    """A tree whose providers all have plenty of everything."""
    tree = TREE.copy()
    for provider in list(tree.providers()):
        tree.update_inventory(provider.uuid, {name: {"total": 1000} for name in classes})
    return tree


ROOMY = roomy("VCPU", "PCPU", "VGPU")


def check(
    before: Any,
    after: Any,
    tree: ProviderTree = ROOMY,
    rules: ReshapeRules | None = None,
    usages: dict[str, dict[str, int]] | None = None,
) -> None:
    moved = reshape.moved(before, after)
    reshape.check(before, moved, tree, usages or {}, rules or ReshapeRules())


@given(
    consumers,
    st.lists(st.tuples(*[st.sampled_from([ROOT, GPU0, GPU1])] * 2, st.sampled_from(["VCPU", "VGPU"]))),
)
def test_whatever_moves_within_the_tree_is_fine(before: Any, moves: list[tuple[str, str, str]]) -> None:
    after = copy.deepcopy(before)
    for source, destination, name in moves:
        move_allocations(after, name, source, destination)
    check(before, after)
    moved = reshape.moved(before, after)
    for each, allocation in reshape.reshaper_body(moved).items():
        assert {key: allocation[key] for key in ("project_id", "user_id", "consumer_generation")} == {
            "project_id": "project",
            "user_id": "user",
            "consumer_generation": 3,
        }
        # What is held elsewhere would be deleted were it not named.
        assert allocation["allocations"].get(ELSEWHERE) == before[each]["allocations"].get(ELSEWHERE)
        # The reshaper refuses zeros and empty providers.
        for held in allocation["allocations"].values():
            assert held["resources"]
            assert all(held["resources"].values())
    assert all(before[each] == after[each] for each in before.keys() - moved.keys())


@given(consumers.filter(bool), st.data())
def test_no_amount_is_lost_or_invented(before: Any, data: st.DataObject) -> None:
    after = copy.deepcopy(before)
    name = data.draw(st.sampled_from(sorted(after)))
    provider = data.draw(st.sampled_from(sorted(after[name]["allocations"])))
    held = after[name]["allocations"][provider]["resources"]
    held[data.draw(st.sampled_from(sorted(held)))] += data.draw(st.sampled_from([-1, 1, 5]))
    with pytest.raises(ReshapeFailed, match=name) as error:
        check(before, after)
    assert error.value.advice


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda all_: all_.pop("c1"), "c1"),
        (lambda all_: all_.update(c9=all_["c1"]), "c9"),
        (lambda all_: all_["c1"].pop("allocations"), "c1"),
        (lambda all_: all_.update(c1=None), "c1"),
        (lambda all_: all_["c1"]["allocations"].update({GPU0: {}}), "c1"),
        (lambda all_: all_["c1"]["allocations"].update({GPU0: {"resources": {"VGPU": "2"}}}), "c1"),
        (lambda all_: all_["c1"]["allocations"].update({GPU0: {"resources": {"VGPU": True}}}), "c1"),
        (lambda all_: all_["c1"]["allocations"].update({GPU0: {"resources": {"VGPU": -1}}}), "c1"),
        (lambda all_: all_["c1"]["allocations"].update({GPU0: {"resources": {"VGPU": 1.0}}}), "c1"),
    ],
)
def test_what_is_no_allocation_is_a_defect_of_the_driver(change: Callable[[Any], object], named: str) -> None:
    before = {"c1": on(root={"VGPU": 2}), "c2": on(root={"VGPU": 1})}
    after = copy.deepcopy(before)
    change(after)
    with pytest.raises(ReshapeFailed, match=named) as error:
        reshape.moved(before, after)
    assert "defect of the driver" in error.value.advice


def test_only_amounts_are_the_driver_s_to_change() -> None:
    before = {"c1": on(root={"VGPU": 2}), "c2": on(root={"VGPU": 1})}
    after = {
        "c1": {**on(gpu0={"VGPU": 2}), "project_id": "x", "consumer_generation": None, "consumer_type": "X"},
        "c2": {**on(root={"VGPU": 1}), "user_id": "somebody else"},
    }
    moved = reshape.moved(before, after)
    assert moved == {"c1": {**before["c1"], "allocations": after["c1"]["allocations"]}}


def test_moves_are_not_tied_to_what_the_driver_goes_on_to_edit() -> None:
    before = {"c1": on(root={"VGPU": 2})}
    after = {"c1": on(gpu0={"VGPU": 2})}
    moved = reshape.moved(before, after)
    after["c1"]["allocations"].clear()
    assert moved["c1"]["allocations"] == {GPU0: {"resources": {"VGPU": 2}}}


def test_classes_that_may_turn_into_each_other() -> None:
    before = {"c1": on(root={"VCPU": 4}, elsewhere={"DISK_GB": 1})}
    for after in (on(root={"PCPU": 4}), on(root={"VCPU": 1, "PCPU": 3}), on(gpu0={"PCPU": 4})):
        after["allocations"][ELSEWHERE] = {"resources": {"DISK_GB": 1}}
        check(before, {"c1": after}, rules=PINNING)
        with pytest.raises(ReshapeFailed, match="c1"):
            check(before, {"c1": after})
    for wrong in ({"PCPU": 3}, {"PCPU": 5}, {"VCPU": 4, "PCPU": 1}):
        with pytest.raises(ReshapeFailed, match="c1"):
            check(before, {"c1": on(root=wrong, elsewhere={"DISK_GB": 1})}, rules=PINNING)


def test_additions_are_never_losses() -> None:
    rules = ReshapeRules(additions=frozenset({"VGPU"}))
    before = {"c1": on(root={"VGPU": 2, "VCPU": 1})}
    check(before, {"c1": on(root={"VGPU": 2, "VCPU": 1}, gpu0={"VGPU": 1})}, rules=rules)
    for wrong in (on(root={"VGPU": 1, "VCPU": 1}), on(root={"VGPU": 3, "VCPU": 2}), on(root={"VGPU": 3})):
        with pytest.raises(ReshapeFailed, match="c1"):
            check(before, {"c1": wrong}, rules=rules)


def test_destination_that_is_not_there() -> None:
    before = {"c1": on(root={"VGPU": 2})}
    with pytest.raises(ReshapeFailed, match=f"c1 to {ELSEWHERE}"):
        check(before, {"c1": on(elsewhere={"VGPU": 2})})
    with pytest.raises(ReshapeFailed, match="c1 to gpu0: it has none"):
        check(before, {"c1": on(gpu0={"VGPU": 2})}, tree=roomy("VCPU"))


@given(
    st.integers(1, 20),
    st.integers(0, 20),
    st.sampled_from([0.5, 1.0, 1.5, 16.0]),
    st.integers(0, 20),
    amounts,
)
def test_destination_has_room_for_all_together(
    total: int, reserved: int, ratio: float, in_use: int, amount: int
) -> None:
    """Two consumers move to where somebody is already."""
    record = {"total": total, "reserved": min(reserved, total), "allocation_ratio": ratio}
    tree = roomy("VCPU")
    tree.update_inventory(GPU0, {"VGPU": record})
    before = {each: on(root={"VGPU": amount}) for each in ("c1", "c2")}
    after = {each: on(gpu0={"VGPU": amount}) for each in ("c1", "c2")}
    usages = {GPU0: {"VGPU": in_use}, ROOT: {"VGPU": 2 * amount}}
    if in_use + 2 * amount <= (total - record["reserved"]) * ratio:
        reshape.check(before, after, tree, usages, ReshapeRules())
    else:
        with pytest.raises(ReshapeFailed, match=r"consumer c[12] .*gpu0"):
            reshape.check(before, after, tree, usages, ReshapeRules())


def test_place_that_is_too_full_already_may_be_swapped_but_not_filled() -> None:
    tree = roomy("VCPU")
    tree.update_inventory(GPU0, {"VGPU": {"total": 4}})
    tree.update_inventory(GPU1, {"VGPU": {"total": 4}})
    before = {"c1": on(gpu0={"VGPU": 3}), "c2": on(gpu1={"VGPU": 3})}
    usages = {GPU0: {"VGPU": 6}, GPU1: {"VGPU": 6}}
    check(before, {"c1": on(gpu1={"VGPU": 3}), "c2": on(gpu0={"VGPU": 3})}, tree, usages=usages)
    with pytest.raises(ReshapeFailed, match=r"c1 .*gpu1: VGPU would have 9 in use of 4"):
        check(before, {"c1": on(gpu1={"VGPU": 3}), "c2": before["c2"]}, tree, usages=usages)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), amounts)
def test_units_of_the_destination(least: int, most: int, step: int, amount: int) -> None:
    tree = roomy("VCPU")
    tree.update_inventory(
        GPU0, {"VGPU": {"total": 100, "min_unit": least, "max_unit": most, "step_size": step}}
    )
    before, after = {"c1": on(root={"VGPU": amount})}, {"c1": on(gpu0={"VGPU": amount})}
    if least <= amount <= most and amount % step == 0:
        check(before, after, tree)
    else:
        with pytest.raises(ReshapeFailed, match=f"c1 would hold {amount} VGPU of gpu0"):
            check(before, after, tree)


@given(consumers, consumers)
def test_usages_follow_the_moves(before: Any, after: Any) -> None:
    usages = {ROOT: {"VCPU": 50, "PCPU": 50, "VGPU": 50}, GPU0: {"VGPU": 100}}
    result = reshape.usages_after(usages, before, after)
    assert result.keys() == usages.keys()
    for uuid, each in result.items():
        for name, amount in each.items():
            held = [
                sum(one["allocations"].get(uuid, {"resources": {}})["resources"].get(name, 0) for one in all_)
                for all_ in (before.values(), after.values())
            ]
            assert amount == usages[uuid].get(name, 0) - held[0] + held[1]


# What is kept


def saved(path: Path) -> list[Path]:
    return sorted((path / "allocations").iterdir(), key=lambda each: each.stat().st_mtime_ns)


def test_last_ten_files_of_each_node_are_kept(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    for at in range(13):
        for node in ("node", "node.allocations", "*", "a/b"):
            reshape.save_before(state, node, {"c1": on(root={"VGPU": at})})
    names = [each.name for each in saved(tmp_path)]
    assert len(names) == 40
    kept = [json.loads(each.read_text()) for each in saved(tmp_path)]
    for node in ("node", "node.allocations", "*", "a/b"):
        of_node = [each["allocations"]["c1"] for each in kept if each["node"] == node]
        assert of_node == [on(root={"VGPU": at}) for at in range(3, 13)]


def test_same_content_is_kept_once_and_pushes_nothing_out(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    reshape.save_before(state, "node", {"c1": on(root={"VGPU": 1})})
    for _ in range(20):
        reshape.save_before(state, "node", {"c1": on(gpu0={"VGPU": 1})})
    assert [json.loads(each.read_text())["allocations"]["c1"] for each in saved(tmp_path)] == [
        on(root={"VGPU": 1}),
        on(gpu0={"VGPU": 1}),
    ]


def test_file_that_cannot_be_read_is_no_reason_not_to_write_another(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    reshape.save_before(state, "node", {"c1": on(root={"VGPU": 1})})
    saved(tmp_path)[0].write_text("{")
    reshape.save_before(state, "node", {"c1": on(root={"VGPU": 1})})
    assert json.loads(saved(tmp_path)[-1].read_text())["node"] == "node"
