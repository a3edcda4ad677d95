"""Inventories move together with the allocations on them; all else that consumers hold stays."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import ReshapeFailed
from drivers.reshape import move_allocations
from drivers.reshape_rules import ReshapeRules
from provider_tree import Action, Kind, ProviderTree
from reporter.placement.errors import ConcurrentUpdate
from reporter.render.changes import outline_reports
from reporter.render.outline import plain_lines
from reporter.saved_plan import SavedPlan
from tests.functional.drivers import become, host_tree
from tests.functional.reporting import assert_is
from tests.functional.reshaping import Node, flat_tree, in_turn, nested_tree


@pytest.fixture
def node(placement: Any, tmp_path: Path) -> Node:
    """Synced, with 16 VGPUs on the root."""
    made = Node(placement, tmp_path / "state")
    made.sync()
    placement.requests.clear()
    return made


def consumer(placement: Any, uuid_: str) -> dict[str, Any]:
    """Everything that Placement has of a consumer."""
    return dict(placement.get(f"/allocations/{uuid_}"))


def uuids(tree: ProviderTree, *names: str) -> list[str]:
    return [tree.provider(name).uuid for name in names]


def test_vgpus_of_consumers_move_to_children_and_nothing_else_of_theirs(node: Node, placement: Any) -> None:
    storage = placement.add_provider("shared storage")
    placement.set_inventory(storage, {"DISK_GB": 100})
    placement.set_traits(storage, "MISC_SHARES_VIA_AGGREGATE")
    one, other = sorted(str(uuid.uuid4()) for _ in range(2))
    placement.allocate({node.root: {"VCPU": 2, "VGPU": 1}, storage: {"DISK_GB": 20}}, one, "MIGRATION")
    placement.allocate({node.root: {"VGPU": 3}}, other)
    bystander = placement.allocate({node.root: {"VCPU": 1}, storage: {"DISK_GB": 5}})
    before = {each: consumer(placement, each) for each in (one, other, bystander)}

    tree = nested_tree()
    node.wants(tree, in_turn)
    report = node.sync()

    gpu0, gpu1 = uuids(tree, "gpu0", "gpu1")
    assert_is(placement, tree, besides=["shared storage"])
    assert placement.allocations(one) == {
        node.root: {"VCPU": 2},
        gpu0: {"VGPU": 1},
        storage: {"DISK_GB": 20},
    }
    assert placement.allocations(other) == {gpu1: {"VGPU": 3}}
    assert consumer(placement, bystander)["consumer_generation"] == before[bystander]["consumer_generation"]
    for each in (one, other):
        for field in ("project_id", "user_id", "consumer_type"):
            assert consumer(placement, each)[field] == before[each][field]
    [reshape] = [each for each in report.plan.requests if each.is_reshape]
    assert reshape.body is not None
    assert set(reshape.body["inventories"]) == {node.root, gpu0, gpu1}
    assert set(reshape.body["allocations"]) == {one, other}
    again = node.sync()
    assert (again.changes, again.held) == ((), ())


def test_consumers_without_a_type_are_moved_too(node: Node, placement: Any) -> None:
    """Nova's consumers have the type ``unknown``, which later versions of the API refuse to write."""
    instance = str(uuid.uuid4())
    body = {
        "allocations": {node.root: {"resources": {"VGPU": 2}}},
        "project_id": "project",
        "user_id": "user",
        "consumer_generation": None,
    }
    placement.request("PUT", f"/allocations/{instance}", body, version="1.28")
    tree = nested_tree("gpu0")
    node.wants(tree)
    node.sync()
    now = consumer(placement, instance)
    assert now["consumer_type"] == "unknown"
    assert (now["project_id"], now["user_id"]) == ("project", "user")
    assert placement.allocations(instance) == {tree.provider("gpu0").uuid: {"VGPU": 2}}


def test_doomed_providers_go_in_emptied_and_are_deleted_after(node: Node, placement: Any) -> None:
    old = nested_tree("gpu_a", "gpu_b")
    node.wants(old, in_turn)
    node.sync()
    gpu_a, gpu_b = uuids(old, "gpu_a", "gpu_b")
    held = placement.allocate({gpu_a: {"VGPU": 2}, gpu_b: {"VGPU": 1}, node.root: {"VCPU": 1}})

    # The new GPU takes over a name as well, and the old ones have a child.
    new = nested_tree("gpu_new")
    new.rename("gpu_new", "gpu_a")
    gpu_new = new.provider("gpu_a").uuid

    def gather(tree: ProviderTree, allocations: Any) -> None:
        for gpu in (gpu_a, gpu_b):
            move_allocations(allocations, "VGPU", gpu, gpu_new)

    node.wants(new, gather, needed=lambda tree: gpu_b in tree)
    report = node.sync()
    requests = list(report.plan.requests)
    at = next(at for at, each in enumerate(requests) if each.is_reshape)
    assert requests[at].body is not None
    assert requests[at].body["inventories"][gpu_a] == {"inventories": {}}
    assert {each.path.rpartition("/")[2] for each in requests[at + 1 :]} == {gpu_a, gpu_b}
    assert {each.method for each in requests[at + 1 :]} == {"DELETE"}
    assert_is(placement, new)
    assert placement.allocations(held) == {gpu_new: {"VGPU": 3}, node.root: {"VCPU": 1}}


@pytest.mark.parametrize("service", [False, True])
def test_any_cycle_may_reshape_and_what_moves_does_not_count_as_shrinking(
    node: Node, placement: Any, service: bool
) -> None:
    held = placement.allocate({node.root: {"VGPU": 2}})
    for _ in range(3):
        assert not node.sync(service=service).changes
    tree = nested_tree("gpu0", vgpus=16)
    node.wants(tree)
    report = node.sync(service=service)
    assert not report.held
    assert_is(placement, tree)
    assert placement.allocations(held) == {tree.provider("gpu0").uuid: {"VGPU": 2}}


def test_reshape_of_a_node_that_nobody_uses_is_not_held_in_the_service(node: Node, placement: Any) -> None:
    """Else its VGPUs would be there twice until patience is over."""
    tree = nested_tree("gpu0", vgpus=16)
    node.wants(tree)
    assert not node.sync(service=True).held
    assert_is(placement, tree)


def test_diff_names_each_consumer_that_moves_and_changes_nothing(node: Node, placement: Any) -> None:
    one, other = sorted(placement.allocate({node.root: {"VGPU": n, "VCPU": 1}}) for n in (1, 2))
    tree = nested_tree()
    node.wants(tree, in_turn)
    before = placement.tree()
    report = node.reporter.diff("node")
    moves = [each for each in report.changes if each.kind is Kind.ALLOCATIONS]
    assert [each.consumer for each in moves] == [one, other]
    assert {each.action for each in moves} == {Action.MOVE}
    amount = placement.allocations(one)[node.root]["VGPU"]
    assert moves[0].before == {"node": {"VCPU": 1, "VGPU": amount}}
    assert moves[0].after == {"node": {"VCPU": 1}, "gpu0": {"VGPU": amount}}
    text = "\n".join(plain_lines(outline_reports([report])))
    assert f"allocations of consumer {one}: 1 VCPU of node, {amount} VGPU of node -> " in text
    assert f"{amount} VGPU of gpu0" in text
    assert node.writes() == []
    assert placement.tree() == before


def test_saved_plan_moves_what_it_said_or_refuses(node: Node, placement: Any) -> None:
    held = placement.allocate({node.root: {"VGPU": 2}})
    tree = nested_tree("gpu0")
    node.wants(tree)
    saved = SavedPlan.of(node.reporter.diff("node"), node.reporter.client.label)
    # Allocations of others move the root on: no reason to refuse.
    bystander = placement.allocate({node.root: {"VCPU": 1}})
    node.driver.edit = lambda *_: pytest.fail("a saved plan asks no driver")
    node.sync(saved=saved)
    assert_is(placement, tree)
    assert placement.allocations(held) == {tree.provider("gpu0").uuid: {"VGPU": 2}}
    assert placement.allocations(bystander) == {node.root: {"VCPU": 1}}


@pytest.mark.parametrize("when", ["startup", "never"])
def test_reshape_that_may_not_be_is_held_and_said(
    placement: Any, tmp_path: Path, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(placement, tmp_path, reshape=when)
    node.sync()
    held = placement.allocate({node.root: {"VGPU": 2}})
    before = placement.tree()
    tree = nested_tree("gpu0")
    node.wants(tree)
    for _ in range(2):
        report = node.sync(service=True, force=True)
        assert placement.tree() == before
        assert placement.allocations(held) == {node.root: {"VGPU": 2}}
        kept = [each.change for each in report.held]
        assert [each.consumer for each in kept if each.kind is Kind.ALLOCATIONS] == [held]
        assert {("VGPU", "node"), ("VGPU", "gpu0")} <= {(each.resource_class, each.provider) for each in kept}
        assert all(f"reshape = {when}" in each.why for each in report.held)
    text = "\n".join(plain_lines(outline_reports([report])))
    assert f"consumer {held}: 2 VGPU of node -> 2 VGPU of gpu0" in text
    assert "--force" not in text

    with node.start(reshape=when):
        node.sync()
    moved = {tree.provider("gpu0").uuid: {"VGPU": 2}}
    assert placement.allocations(held) == (moved if when == "startup" else {node.root: {"VGPU": 2}})


def test_reshape_that_may_not_be_is_held_though_it_could_not_be_either(
    placement: Any, tmp_path: Path
) -> None:
    """Nothing would move: that a destination has no room is no reason to report nothing of the host."""
    node = Node(placement, tmp_path, reshape="never")
    node.sync()
    held = placement.allocate({node.root: {"VGPU": 2}})
    tree = nested_tree("gpu0", vgpus=1)
    tree.update_inventory("node", {"VCPU": {"total": 6}})
    node.wants(tree)
    report = node.sync()
    assert placement.tree()["node"]["inventory"]["VCPU"]["total"] == 6
    assert placement.allocations(held) == {node.root: {"VGPU": 2}}
    assert {each.why for each in report.held} == {"[reporter] reshape = never"}
    with node.start(reshape="always"), pytest.raises(ReshapeFailed, match="cannot move to gpu0"):
        node.sync()


def test_startup_lasts_until_a_cycle_has_succeeded(placement: Any, tmp_path: Path) -> None:
    node = Node(placement, tmp_path)
    node.sync()
    held = placement.allocate({node.root: {"VGPU": 2}})
    tree = nested_tree("gpu0")
    node.wants(tree)
    node.start(reshape="startup")
    placement.hook = lambda _method, _path: ("503 Service Unavailable", b"")
    with pytest.raises(Exception, match="503"):
        node.sync()
    placement.hook = None
    node.sync()
    assert placement.allocations(held) == {tree.provider("gpu0").uuid: {"VGPU": 2}}


def test_what_a_reshape_does_not_concern_is_not_held_with_it(placement: Any, tmp_path: Path) -> None:
    node = Node(placement, tmp_path, reshape="never")
    node.sync()
    held = placement.allocate({node.root: {"VGPU": 2}})
    tree = nested_tree("gpu0")
    tree.update_inventory("node", {"VCPU": {"total": 6}})
    tree.update_traits("node", ["COMPUTE_STATUS_DISABLED"])
    node.wants(tree)
    report = node.sync()
    root = placement.tree()["node"]
    assert "COMPUTE_STATUS_DISABLED" in root["traits"]
    assert root["inventory"]["VCPU"]["total"] == 6
    assert root["inventory"]["VGPU"]["total"] == 16
    assert all("VGPU" not in each["inventory"] for name, each in placement.tree().items() if name != "node")
    assert placement.allocations(held) == {node.root: {"VGPU": 2}}
    assert {each.change.kind for each in report.held} >= {Kind.ALLOCATIONS, Kind.INVENTORY}
    # Once it may be, it goes on from here.
    with node.start(reshape="always"):
        node.sync()
    assert_is(placement, tree)


def cpus_become_pinned(tree: ProviderTree, allocations: Any) -> None:
    root = next(tree.providers()).uuid
    move_allocations(allocations, "VCPU", root, root, to_class="PCPU")


def test_class_that_turns_into_another_where_the_driver_declares_it(placement: Any, tmp_path: Path) -> None:
    """Also on a root that others made, whose classes are nobody's that we know of."""
    root = placement.add_provider("node", uuid_=host_tree().provider("node").uuid)
    placement.set_inventory(root, {"VCPU": 8, "MEMORY_MB": 1024})
    held = placement.allocate({root: {"VCPU": 3, "MEMORY_MB": 512}})
    node = Node(placement, tmp_path)
    node.driver.rules = ReshapeRules(class_changes=frozenset({("VCPU", "PCPU")}))
    tree = host_tree()
    tree.update_inventory("node", {"PCPU": {"total": 8}, "MEMORY_MB": {"total": 1024}})
    node.wants(tree, cpus_become_pinned, needed=lambda given: "VCPU" in given.provider("node").inventory)
    node.sync(adopt=True)
    assert placement.allocations(held) == {root: {"PCPU": 3, "MEMORY_MB": 512}}
    assert set(placement.tree()["node"]["inventory"]) == {"PCPU", "MEMORY_MB"}
    assert not node.sync().changes


def test_class_that_nobody_uses_turns_into_another_as_well(placement: Any, tmp_path: Path) -> None:
    """Else it would be there twice."""
    root = placement.add_provider("node", uuid_=host_tree().provider("node").uuid)
    placement.set_inventory(root, {"VCPU": 8, "VGPU": 8, "MEMORY_MB": 1024})
    node = Node(placement, tmp_path)
    node.driver.rules = ReshapeRules(class_changes=frozenset({("VCPU", "PCPU")}))
    tree = nested_tree("gpu0")
    tree.update_inventory("node", {"PCPU": {"total": 8}, "MEMORY_MB": {"total": 1024}})
    node.wants(tree, cpus_become_pinned)
    node.sync(adopt=True)
    assert_is(placement, tree, not_marked=["node"])


def test_amounts_that_the_driver_declares_may_be_added(node: Node, placement: Any) -> None:
    """A device that an instance has had all along, and that Placement was never told of."""
    held = placement.allocate({node.root: {"VCPU": 1}})
    tree = flat_tree()
    device = tree.new_child("device", "node")
    tree.update_inventory("device", {"CUSTOM_DEVICE": {"total": 1}})

    def add(_tree: ProviderTree, allocations: Any) -> None:
        allocations[held]["allocations"][device] = {"resources": {"CUSTOM_DEVICE": 1}}

    node.driver.rules = ReshapeRules(additions=frozenset({"CUSTOM_DEVICE"}))
    node.wants(tree, add, needed=lambda given: not given.exists("device"))
    node.sync()
    assert placement.allocations(held) == {node.root: {"VCPU": 1}, device: {"CUSTOM_DEVICE": 1}}


def test_neighbour_s_provider_stays_though_its_class_moves_elsewhere(node: Node, placement: Any) -> None:
    """The driver leaves it out and moves nothing off it, so it has nothing to do with the reshape."""
    theirs = placement.add_provider("theirs", node.root)
    placement.set_inventory(theirs, {"VGPU": 2})
    placement.set_traits(theirs, "CUSTOM_THEIRS")
    before = placement.tree()["theirs"]
    placement.allocate({node.root: {"VGPU": 2}})
    tree = nested_tree("gpu0")
    node.wants(tree)
    node.sync()
    assert placement.tree()["theirs"] == before
    assert_is(placement, tree, besides=["theirs"])


def test_neighbour_s_provider_whose_allocations_the_driver_moves_goes(node: Node, placement: Any) -> None:
    """As when devices that Nova reported become ours."""
    theirs = placement.add_provider("theirs", node.root)
    placement.set_inventory(theirs, {"VGPU": 2})
    held = placement.allocate({theirs: {"VGPU": 2}})
    tree = nested_tree("gpu0")

    def take_over(wanted: ProviderTree, allocations: Any) -> None:
        move_allocations(allocations, "VGPU", theirs, wanted.provider("gpu0").uuid)

    node.wants(tree, take_over)
    node.sync()
    assert_is(placement, tree)
    assert placement.allocations(held) == {tree.provider("gpu0").uuid: {"VGPU": 2}}


class Interference:
    """A hook that does something before our request that moves allocations, so many times."""

    def __init__(self, do: Any, times: int = 1) -> None:
        self._do, self._left, self._seen = do, times, 0

    def __call__(self, method: str, path: str) -> None:
        if path != "/reshaper":
            return
        self._seen += 1
        if self._left and self._seen % 2 == 0:  # the first of two only asks whether we may
            self._left -= 1
            self._do()


def grow(placement: Any, consumer_: str, root: str) -> None:
    """The consumer is resized by Nova."""
    body = consumer(placement, consumer_)
    body["allocations"] = {root: {"resources": {"VGPU": 5, "VCPU": 2}}}
    placement.put(f"/allocations/{consumer_}", body)


def test_consumer_that_somebody_else_changes_in_the_middle(node: Node, placement: Any) -> None:
    held = placement.allocate({node.root: {"VGPU": 2}})
    tree = nested_tree("gpu0")
    node.wants(tree)
    placement.hook = Interference(lambda: grow(placement, held, node.root))
    node.sync()
    assert placement.allocations(held) == {node.root: {"VCPU": 2}, tree.provider("gpu0").uuid: {"VGPU": 5}}
    assert_is(placement, tree)


def test_consumer_that_goes_in_the_middle(node: Node, placement: Any) -> None:
    gone, held = (placement.allocate({node.root: {"VGPU": 2}}) for _ in range(2))
    tree = nested_tree("gpu0")
    node.wants(tree)
    placement.hook = Interference(lambda: placement.delete(f"/allocations/{gone}"))
    node.sync()
    assert placement.allocations(gone) == {}
    assert placement.allocations(held) == {tree.provider("gpu0").uuid: {"VGPU": 2}}


def test_consumer_that_comes_in_the_middle_moves_as_well(node: Node, placement: Any) -> None:
    placement.allocate({node.root: {"VGPU": 2}})
    late = str(uuid.uuid4())
    tree = nested_tree("gpu0")
    node.wants(tree)
    placement.hook = Interference(lambda: placement.allocate({node.root: {"VGPU": 1}}, late))
    node.sync()
    assert placement.allocations(late) == {tree.provider("gpu0").uuid: {"VGPU": 1}}
    assert_is(placement, tree)


def test_consumer_that_always_changes_ends_in_an_error_and_moves_later(
    node: Node, placement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reporter.sync._PAUSE", 0.001)
    held = placement.allocate({node.root: {"VGPU": 2}})
    tree = nested_tree("gpu0")
    node.wants(tree)
    placement.hook = Interference(lambda: grow(placement, held, node.root), times=99)
    with pytest.raises(ConcurrentUpdate) as error:
        node.sync()
    assert error.value.advice
    assert placement.allocations(held) == {node.root: {"VGPU": 5, "VCPU": 2}}
    placement.hook = None
    node.sync()
    assert_is(placement, tree)


def test_reshape_below_a_root_of_others(placement: Any, tmp_path: Path) -> None:
    root = placement.add_provider("node", uuid_=host_tree().provider("node").uuid)
    placement.set_inventory(root, {"VCPU": 8})
    before = placement.tree()["node"]
    old, new = nested_tree("gpu_a"), nested_tree("gpu_b")
    node = Node(placement, tmp_path, manage="children")
    node.driver.edit = lambda tree, _node, _allocations: become(tree, old)
    node.sync()
    gpu_a, gpu_b = old.provider("gpu_a").uuid, new.provider("gpu_b").uuid
    held = placement.allocate({gpu_a: {"VGPU": 2}, root: {"VCPU": 1}})
    node.wants(
        new,
        lambda _tree, allocations: to_gpu(allocations, gpu_a, gpu_b),
        needed=lambda tree: gpu_a in tree,
    )
    node.sync()
    assert placement.tree()["node"] == before
    assert placement.allocations(held) == {gpu_b: {"VGPU": 2}, root: {"VCPU": 1}}
    assert set(placement.tree()) == {"node", "gpu_b"}


def to_gpu(allocations: Any, source: str, destination: str) -> None:
    move_allocations(allocations, "VGPU", source, destination)


def test_class_that_moves_off_a_provider_that_others_need_is_not_left_there(
    node: Node, placement: Any
) -> None:
    """Else it would be there twice, and whoever takes it there next would be moved again."""
    theirs = placement.add_provider("theirs", node.root)
    placement.set_inventory(theirs, {"VGPU": 2, "CUSTOM_THEIRS": 1})
    held = placement.allocate({theirs: {"VGPU": 2, "CUSTOM_THEIRS": 1}})
    tree = nested_tree("gpu0")
    gpu0 = tree.provider("gpu0").uuid
    node.wants(
        tree,
        lambda _tree, allocations: to_gpu(allocations, theirs, gpu0),
        needed=lambda given: theirs in given and "VGPU" in given.provider(theirs).inventory,
    )
    node.sync()
    assert set(placement.tree()["theirs"]["inventory"]) == {"CUSTOM_THEIRS"}
    assert placement.allocations(held) == {gpu0: {"VGPU": 2}, theirs: {"CUSTOM_THEIRS": 1}}
    assert_is(placement, tree, besides=["theirs"])
    assert not node.sync().changes
