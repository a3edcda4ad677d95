from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers.errors import ReshapeFailed, ReshapeNeeded
from drivers.static.driver import StaticDriver
from provider_tree import ProviderTree
from tests.drivers.static.test_driver import ROOT, make_driver, make_tree

C1, C2, C3 = (f"{digit}" * 8 + "-aaaa-4aaa-8aaa-aaaaaaaaaaaa" for digit in "123")
G0, G1 = "11111111-2222-4333-8444-555555555555", "22222222-2222-4333-8444-555555555555"


def consumer(**holds: dict[str, int]) -> dict[str, Any]:
    """Allocations by provider; ``root``, ``g0``, ``g1`` stand for their uuids."""
    uuids = {"root": ROOT, "g0": G0, "g1": G1}
    return {
        "allocations": {uuids[name]: {"resources": held} for name, held in holds.items()},
        "project_id": "p",
        "user_id": "u",
        "consumer_generation": 1,
    }


def gpu(name: str, uuid: str, **inventory: int) -> dict[str, Any]:
    return {"name": name, "uuid": uuid, "parent": "node1", "inventory": inventory}


def placement(**inventory: int) -> ProviderTree:
    tree = make_tree()
    tree.update_inventory("node1", {name: {"total": total} for name, total in inventory.items()})
    return tree


def reshape(driver: StaticDriver, tree: ProviderTree, allocations: dict[str, Any]) -> ProviderTree:
    """What the reporter does: ask, and ask again with the allocations."""
    with pytest.raises(ReshapeNeeded):
        driver.update_provider_tree(tree.copy(), "node1")
    driver.update_provider_tree(tree, "node1", allocations)
    return tree


def test_a_class_that_goes_to_one_other_provider_takes_its_allocations_along(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, [{"name": "node1", "inventory": {"VCPU": 8}}, gpu("g0", G0, VGPU=16)])
    tree = placement(VCPU=8, VGPU=16)
    with pytest.raises(ReshapeNeeded, match="node1: VGPU moves from node1 to g0"):
        driver.update_provider_tree(tree.copy(), "node1")
    allocations = {C1: consumer(root={"VCPU": 2, "VGPU": 1}), C2: consumer(root={"VGPU": 3})}
    reshape(driver, tree, allocations)
    assert allocations == {C1: consumer(root={"VCPU": 2}, g0={"VGPU": 1}), C2: consumer(g0={"VGPU": 3})}
    assert tree.provider("g0").inventory == {"VGPU": {"total": 16}}
    driver.update_provider_tree(tree, "node1")  # done: nothing more to move


def test_a_provider_that_goes_gives_its_class_to_another(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, [{"name": "node1"}, gpu("g1", G1, VGPU=16)])
    tree = make_tree(("g0", G0))
    tree.update_inventory("g0", {"VGPU": {"total": 16}})
    allocations = {C1: consumer(g0={"VGPU": 2})}
    reshape(driver, tree, allocations)
    assert allocations == {C1: consumer(g1={"VGPU": 2})}
    assert "g0" not in tree


def test_several_providers_can_be_gathered_into_one(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, [{"name": "node1", "inventory": {"VGPU": 32}}])
    tree = make_tree(("g0", G0), ("g1", G1))
    for name in ("g0", "g1"):
        tree.update_inventory(name, {"VGPU": {"total": 16}})
    allocations = {C1: consumer(g0={"VGPU": 2}, g1={"VGPU": 1}), C2: consumer(g1={"VGPU": 4})}
    reshape(driver, tree, allocations)
    assert allocations == {C1: consumer(root={"VGPU": 3}), C2: consumer(root={"VGPU": 4})}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"VCPU": 8}, [{"name": "node1", "inventory": {"VCPU": 8}}, gpu("g0", G0, VGPU=16)]),  # only new
        ({"VCPU": 8, "VGPU": 1}, [{"name": "node1", "inventory": {"VCPU": 8}}]),  # only gone
        ({"VCPU": 8}, [{"name": "node1", "inventory": {"VCPU": 4}}]),  # only less
        ({"VCPU": 8}, [{"name": "node1", "inventory": {"VCPU": 4}}, gpu("g0", G0, VCPU=4)]),  # stays, and new
    ],
)
def test_what_is_no_reshape(tmp_path: Path, before: dict[str, int], after: list[dict[str, Any]]) -> None:
    make_driver(tmp_path, after).update_provider_tree(placement(**before), "node1")


def test_a_service_that_marks_its_providers_keeps_them(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, [{"name": "node1"}, gpu("g0", G0, VGPU=16)])
    tree = make_tree(("cyborg", G1))
    tree.update_inventory("cyborg", {"VGPU": {"total": 1}})
    tree.update_traits("cyborg", ["OWNER_CYBORG"])
    driver.update_provider_tree(tree, "node1")


class TestSeveralDestinations:
    AFTER = ({"name": "node1", "inventory": {"VCPU": 8}}, gpu("g0", G0, VGPU=8), gpu("g1", G1, VGPU=8))

    def allocations(self) -> dict[str, Any]:
        return {
            C1: consumer(root={"VGPU": 1}),
            C2: consumer(root={"VGPU": 2}),
            C3: consumer(root={"VGPU": 3}),
        }

    def test_without_a_rule_the_consumers_are_named_and_nothing_moves(self, tmp_path: Path) -> None:
        driver = make_driver(tmp_path, list(self.AFTER))
        with pytest.raises(ReshapeFailed, match=f"VGPU leaves node1.*: {C1}, {C2}, {C3}") as caught:
            reshape(driver, placement(VCPU=8, VGPU=16), self.allocations())
        assert "class: VGPU, from: node1, to: NAME" in caught.value.advice

    def test_many_consumers_are_counted(self, tmp_path: Path) -> None:
        driver = make_driver(tmp_path, list(self.AFTER))
        many = {f"{at:08}-aaaa-4aaa-8aaa-aaaaaaaaaaaa": consumer(root={"VGPU": 1}) for at in range(12)}
        with pytest.raises(ReshapeFailed, match="and 7 more"):
            reshape(driver, placement(VCPU=8, VGPU=16), many)

    def test_without_consumers_there_is_nothing_to_decide(self, tmp_path: Path) -> None:
        tree = placement(VCPU=8, VGPU=16)
        reshape(make_driver(tmp_path, list(self.AFTER)), tree, {C1: consumer(root={"VCPU": 1})})
        assert set(tree.provider("node1").inventory) == {"VCPU"}

    def test_rules_say_who_goes_where(self, tmp_path: Path) -> None:
        rules = [
            {"class": "VGPU", "from": "node1", "to": "g0", "consumers": [C2]},
            {"class": "VGPU", "from": "node1", "to": "g1"},
        ]
        driver = make_driver(tmp_path, list(self.AFTER), reshape=rules)
        allocations, tree = self.allocations(), placement(VCPU=8, VGPU=16)
        reshape(driver, tree, allocations)
        assert allocations == {
            C1: consumer(g1={"VGPU": 1}),
            C2: consumer(g0={"VGPU": 2}),
            C3: consumer(g1={"VGPU": 3}),
        }
        driver.update_provider_tree(tree, "node1")  # a rule that has done its work may stay

    def test_whom_the_rules_forget_is_named(self, tmp_path: Path) -> None:
        rules = [{"class": "VGPU", "from": "node1", "to": "g0", "consumers": [C1, C3]}]
        driver = make_driver(tmp_path, list(self.AFTER), reshape=rules)
        with pytest.raises(ReshapeFailed, match=f"where these consumers go: {C2}$"):
            reshape(driver, placement(VCPU=8, VGPU=16), self.allocations())


def test_a_class_can_become_another_on_the_same_provider(tmp_path: Path) -> None:
    rules = [{"class": "VCPU", "from": "node1", "to": "node1", "to_class": "PCPU"}]
    driver = make_driver(tmp_path, [{"name": "node1", "inventory": {"PCPU": 8}}], reshape=rules)
    allocations = {C1: consumer(root={"VCPU": 2})}
    reshape(driver, placement(VCPU=8), allocations)
    assert allocations == {C1: consumer(root={"PCPU": 2})}
    assert driver.reshape_rules.class_changes == {("VCPU", "PCPU")}
