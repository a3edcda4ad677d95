"""A plan that was saved is made exactly as it was, or refused: against a real Placement."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import Allocations, ComputeDriver
from drivers.errors import ReshapeNeeded
from drivers.reshape import move_allocations
from provider_tree import ProviderTree
from reporter.errors import AdoptionNeeded, StalePlan
from reporter.placement.errors import PlacementError
from reporter.plan_file import load_plans, save_plans
from reporter.report import Report
from reporter.saved_plan import SavedPlan
from reporter.sync import Reporter
from tests.functional.drivers import ScriptedDriver, TreeDriver, host_tree
from tests.functional.reporting import MARKER, Database, assert_is, reporter_for
from tests.functional.test_any_two_trees import possible, slow_examples, two_trees

AGGREGATE = str(uuid.uuid4())


def save(reporter: Reporter, file: Path) -> Report:
    """``diff --out FILE``."""
    report = reporter.diff("node")
    save_plans(file, [SavedPlan.of(report, reporter.client.label)])
    return report


def carry_out(reporter: Reporter, file: Path, **how: Any) -> Report:
    """``sync --plan FILE``."""
    (saved,) = load_plans(file)
    with reporter.state.lock():
        return reporter.sync_once("node", saved=saved, **how)


def writes(placement: Any) -> list[tuple[str, str]]:
    return [each for each in placement.requests if each[0] != "GET"]


class Failing:
    """A hook: Placement answers the writing requests but for the first few with an error."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.failed = False

    def __call__(self, method: str, path: str) -> tuple[str, bytes] | None:
        if method == "GET":
            return None
        self.left -= 1
        if self.left >= 0:
            return None
        self.failed = True
        return "500 Internal Server Error", b""


def first_tree() -> ProviderTree:
    return host_tree("gpu0", "gpu1", "gpu2", vcpus=32)


def second_tree() -> ProviderTree:
    """Of everything something: a new child, others gone, moved and renamed, records of each kind changed."""
    tree = host_tree("gpu0", "gpu2", vcpus=64)
    tree.update_inventory("node", {"VCPU": {"total": 64}, "CUSTOM_LICENCE": {"total": 2}})
    tree.update_traits("node", ["COMPUTE_NODE", "CUSTOM_NEW"])
    tree.update_aggregates("gpu0", [AGGREGATE])
    tree.new_child("numa0", "node")
    tree.update_inventory("numa0", {"PCPU": {"total": 4}})
    tree.update_traits("numa0", ["HW_NUMA_ROOT"])
    tree.move("gpu2", "numa0")
    tree.rename("gpu2", "gpu2-below-numa0")
    return tree


@pytest.mark.parametrize("atomic", ["auto", "off"])
@pytest.mark.parametrize("exists", [False, True])
def test_exactly_the_requests_that_were_saved(
    placement: Any, tmp_path: Path, atomic: str, exists: bool
) -> None:
    driver, file = TreeDriver(first_tree()), tmp_path / "plan.json"
    with reporter_for(driver, placement.url, tmp_path / "state", atomic=atomic) as reporter:
        if exists:
            reporter.sync("node")
        driver.tree = second_tree()
        planned = save(reporter, file)
    wanted, driver.tree = driver.tree, host_tree("something", "else")
    with reporter_for(driver, placement.url, tmp_path / "state", atomic="off") as reporter:
        placement.requests.clear()
        report = carry_out(reporter, file)
        assert writes(placement) == [(each.method, each.path) for each in planned.plan.requests]
        assert report.changes == planned.changes
        assert report.applied
        assert_is(placement, wanted)
        # What it made is ours from then on.
        reporter.sync("node")
        assert_is(placement, driver.tree)


Mutation = Callable[[Any, ProviderTree], object]

MUTATIONS: dict[str, Mutation] = {
    "inventory of provider node": lambda at, tree: at.set_inventory(tree.provider("node").uuid, {"VCPU": 7}),
    "inventory of provider gpu0": lambda at, tree: at.set_inventory(tree.provider("gpu0").uuid, {"VGPU": 7}),
    "traits of provider node": lambda at, tree: at.set_traits(tree.provider("node").uuid, "CUSTOM_THEIRS"),
    "aggregates of provider node": lambda at, tree: at.set_aggregates(tree.provider("node").uuid, AGGREGATE),
    "aggregates of provider gpu2": lambda at, tree: at.set_aggregates(tree.provider("gpu2").uuid, AGGREGATE),
    "name of provider gpu0": lambda at, tree: put_place(at, tree, "gpu0", name="another"),
    "name of provider gpu2": lambda at, tree: put_place(at, tree, "gpu2", name="another"),
    "parent of provider gpu2": lambda at, tree: put_place(at, tree, "gpu2", parent="gpu0"),
    "traits of provider gpu1": lambda at, tree: at.set_traits(tree.provider("gpu1").uuid),
    "provider gpu0 is gone": lambda at, tree: at.delete(f"/resource_providers/{tree.provider('gpu0').uuid}"),
    "provider gpu1 is gone": lambda at, tree: at.delete(f"/resource_providers/{tree.provider('gpu1').uuid}"),
    "provider numa0 exists": lambda at, tree: at.add_provider(
        "numa0", tree.provider("node").uuid, second_tree().provider("numa0").uuid
    ),
    "numa0": lambda at, tree: at.add_provider("numa0", tree.provider("node").uuid),
    "gpu1": lambda at, tree: at.add_provider("a child of others", tree.provider("gpu1").uuid),
    "1 VGPU": lambda at, tree: at.allocate({tree.provider("gpu1").uuid: {"VGPU": 1}}),
}


def put_place(
    placement: Any, tree: ProviderTree, provider: str, name: str | None = None, parent: str = "node"
) -> None:
    body = {"name": name or provider, "parent_provider_uuid": tree.provider(parent).uuid}
    placement.put(f"/resource_providers/{tree.provider(provider).uuid}", body)


@pytest.mark.parametrize("what", MUTATIONS)
def test_refused_when_what_it_touches_has_changed(placement: Any, tmp_path: Path, what: str) -> None:
    driver, file = TreeDriver(first_tree()), tmp_path / "plan.json"
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        reporter.sync("node")
        driver.tree = second_tree()
        save(reporter, file)
        MUTATIONS[what](placement, first_tree())
        before = placement.tree()
        with pytest.raises(StalePlan) as refusal:
            carry_out(reporter, file)
        assert what in refusal.value.what
        assert "diff" in refusal.value.advice
        assert placement.tree() == before


def test_in_use_is_a_reason_that_force_overrides(placement: Any, tmp_path: Path) -> None:
    driver, file = TreeDriver(host_tree()), tmp_path / "plan.json"
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        reporter.sync("node")
        driver.tree = host_tree(vcpus=4)
        save(reporter, file)
        placement.allocate({str(driver.uuid): {"VCPU": 6}})
        with pytest.raises(StalePlan, match="6 VCPU in use, 4 would be left"):
            carry_out(reporter, file)
        carry_out(reporter, file, force=True)
        assert_is(placement, driver.tree)


def test_what_it_does_not_touch_may_change(placement: Any, tmp_path: Path) -> None:
    driver, file = TreeDriver(host_tree("gpu0", "gpu1")), tmp_path / "plan.json"
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        reporter.sync("node")
        driver.tree = host_tree("gpu0", "gpu1", vcpus=16)
        save(reporter, file)
        placement.set_traits(driver.tree.provider("gpu1").uuid, MARKER, "CUSTOM_GPU", "CUSTOM_THEIRS")
        neighbour = placement.add_provider("neighbour", driver.tree.provider("gpu0").uuid)
        carry_out(reporter, file)
        tree = placement.tree()
        assert tree["node"]["inventory"]["VCPU"]["total"] == 16
        assert "CUSTOM_THEIRS" in tree["gpu1"]["traits"]
        assert tree["neighbour"]["uuid"] == neighbour
        assert not reporter.diff("node").changes


@pytest.mark.parametrize("atomic", ["auto", "off"])
def test_allocations_that_move_generations_are_no_reason(placement: Any, tmp_path: Path, atomic: str) -> None:
    """Some come after the plan was made, some right before each of its requests."""
    driver, file = TreeDriver(first_tree()), tmp_path / "plan.json"
    root = str(driver.uuid)
    with reporter_for(driver, placement.url, tmp_path / "state", atomic=atomic) as reporter:
        reporter.sync("node")
        driver.tree = second_tree()
        save(reporter, file)
        placement.allocate({root: {"VCPU": 1}, driver.tree.provider("gpu0").uuid: {"VGPU": 1}})
        seen: set[str] = set()

        def boot(method: str, path: str) -> None:
            if method in ("PUT", "POST") and path not in seen:
                seen.add(path)
                placement.allocate({root: {"VCPU": 1}})

        placement.hook = boot
        carry_out(reporter, file)
        placement.hook = None
        assert_is(placement, driver.tree)
        assert not reporter.diff("node").changes


def test_second_time_is_refused(placement: Any, tmp_path: Path) -> None:
    driver, file = TreeDriver(first_tree()), tmp_path / "plan.json"
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        save(reporter, file)
        carry_out(reporter, file)
        with pytest.raises(StalePlan, match="already"):
            carry_out(reporter, file)


def test_nothing_to_do_is_no_error(placement: Any, tmp_path: Path) -> None:
    driver, file = TreeDriver(first_tree()), tmp_path / "plan.json"
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        reporter.sync("node")
        save(reporter, file)
        assert not carry_out(reporter, file).changes


@pytest.mark.parametrize(("atomic", "exists"), [("auto", True), ("off", False)])
def test_what_stopped_half_way_goes_on(placement: Any, tmp_path: Path, atomic: str, exists: bool) -> None:
    driver, state, file = TreeDriver(first_tree()), tmp_path / "state", tmp_path / "plan.json"
    with reporter_for(driver, placement.url, state, atomic=atomic) as reporter:
        if exists:
            reporter.sync("node")
        driver.tree = second_tree()
        planned = save(reporter, file)
    database = Database(placement)
    content = database.save()
    kept = tmp_path / "kept"
    if exists:
        shutil.copytree(state, kept)
    for stop in count():
        database.restore(content)
        shutil.rmtree(state, ignore_errors=True)
        if exists:
            shutil.copytree(kept, state)
        placement.hook = failing = Failing(stop)
        try:
            with reporter_for(driver, placement.url, state) as reporter:
                carry_out(reporter, file)
        except PlacementError:
            assert failing.failed
        if not failing.failed:
            break
        placement.hook = None
        placement.requests.clear()
        with reporter_for(driver, placement.url, state) as reporter:
            report = carry_out(reporter, file)
            assert_is(placement, driver.tree)
            made = writes(placement)
            assert made == [(each.method, each.path) for each in report.plan.requests]
            # Only what creates a name is done twice.
            again = [path for _, path in made if not path.startswith(("/traits", "/resource_classes"))]
            assert len(again) <= len(planned.plan.requests) - stop
            assert not reporter.diff("node").changes
    assert stop == len(planned.plan.requests)


@given(trees=two_trees(), atomic=st.sampled_from(["auto", "off"]), data=st.data())
@settings(slow_examples, max_examples=8)
def test_any_plan_goes_on_where_it_stopped(
    make_placement: Any, tmp_path_factory: Any, trees: Any, atomic: str, data: st.DataObject
) -> None:
    placement, tmp_path = make_placement(), tmp_path_factory.mktemp("plan")
    first, second = trees
    if not possible(first, second):
        return
    driver, file = TreeDriver(first), tmp_path / "plan.json"
    node = driver.node
    with reporter_for(driver, placement.url, tmp_path / "state", atomic=atomic) as reporter:
        reporter.sync(node)
        driver.tree = second
        report = reporter.diff(node)
        save_plans(file, [SavedPlan.of(report, reporter.client.label)])
        (saved,) = load_plans(file)
        stops = data.draw(st.lists(st.integers(0, max(len(report.plan.requests) - 1, 0)), max_size=2))
        for stop in stops if report.plan else ():
            placement.hook = Failing(stop)
            try:
                reporter.sync_once(node, saved=saved)
            except PlacementError:
                continue
            break
        placement.hook = None
        try:
            reporter.sync_once(node, saved=saved)
        except StalePlan as refusal:
            assert "already" in refusal.what  # noqa: PT017 - a refusal is fine once all is done
        assert_is(placement, second)


@pytest.mark.parametrize("stop", [1, 5, 8])
def test_what_stopped_half_way_is_refused_when_others_changed_it(
    placement: Any, tmp_path: Path, stop: int
) -> None:
    driver, file = TreeDriver(first_tree()), tmp_path / "plan.json"
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        reporter.sync("node")
        driver.tree = second_tree()
        save(reporter, file)
        placement.hook = Failing(stop)
        with pytest.raises(PlacementError):
            carry_out(reporter, file)
        placement.hook = None
        root = str(driver.uuid)
        traits = placement.tree()["node"]["traits"]
        placement.set_traits(root, *traits, "CUSTOM_THEIRS")
        before = placement.tree()
        with pytest.raises(StalePlan, match="traits of provider node"):
            carry_out(reporter, file)
        assert placement.tree() == before
        # A sync takes it from there.
        reporter.sync("node")
        assert "CUSTOM_THEIRS" in placement.tree()["node"]["traits"]


def test_others_who_come_between_end_it(placement: Any, tmp_path: Path) -> None:
    driver, file = TreeDriver(first_tree()), tmp_path / "plan.json"
    root = str(driver.uuid)
    with reporter_for(driver, placement.url, tmp_path / "state", atomic="off") as reporter:
        reporter.sync("node")
        driver.tree = second_tree()
        save(reporter, file)

        def tag(method: str, path: str) -> None:
            if method == "PUT" and path == f"/resource_providers/{root}/traits":
                placement.hook = None
                placement.set_traits(root, *placement.tree()["node"]["traits"], "CUSTOM_THEIRS")

        placement.hook = tag
        with pytest.raises(StalePlan, match="traits of provider node"):
            carry_out(reporter, file)


# Reshapes


def vgpus_on_children(tree: ProviderTree, node: str, allocations: Allocations | None) -> None:
    """VGPU moves from the root to a child for each consumer's half."""
    inventory = dict(tree.data(node).inventory)
    if "VGPU" not in inventory:
        return
    if allocations is None:
        raise ReshapeNeeded("VGPU of the root belongs to its devices")
    del inventory["VGPU"]
    tree.update_inventory(node, inventory)
    for at, name in enumerate(("gpu0", "gpu1")):
        child = tree.new_child(name, node)
        tree.update_inventory(name, {"VGPU": {"total": 4}})
        move_allocations(allocations, "VGPU", tree.data(node).uuid, child, sorted(allocations)[at::2])


def on_the_root(tree: ProviderTree, node: str, _allocations: Allocations | None) -> None:
    tree.update_inventory(node, {"VCPU": {"total": 64}, "VGPU": {"total": 8}})


@pytest.fixture
def reshaping(placement: Any, tmp_path: Path) -> tuple[ScriptedDriver, Path, list[str]]:
    """A plan that moves the VGPUs of four consumers; one of them has something on another host."""
    driver, file = ScriptedDriver(on_the_root), tmp_path / "plan.json"
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        reporter.sync("node")
        root = placement.uuid_of("node")
        other = placement.add_provider("other")
        placement.set_inventory(other, {"DISK_GB": 100})
        consumers = [placement.allocate({root: {"VCPU": 1, "VGPU": 1}}) for _ in range(3)]
        consumers.append(placement.allocate({root: {"VCPU": 1, "VGPU": 1}, other: {"DISK_GB": 5}}))
        driver.edit = vgpus_on_children
        save(reporter, file)
    return driver, file, consumers


def assert_reshaped(placement: Any, consumers: list[str]) -> None:
    tree = placement.tree()
    assert "VGPU" not in tree["node"]["inventory"]
    children = {tree["gpu0"]["uuid"], tree["gpu1"]["uuid"]}
    for consumer in consumers:
        held = placement.allocations(consumer)
        assert held[tree["node"]["uuid"]] == {"VCPU": 1}
        assert [each["VGPU"] for uuid, each in held.items() if uuid in children] == [1]
    assert placement.allocations(consumers[-1])[tree["other"]["uuid"]] == {"DISK_GB": 5}


def test_moves_are_saved_too(placement: Any, tmp_path: Path, reshaping: Any) -> None:
    driver, file, consumers = reshaping
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        carry_out(reporter, file)
        assert_reshaped(placement, consumers)
        assert not reporter.diff("node").changes
    assert list((tmp_path / "state" / "allocations").iterdir()), "what was is kept"


def test_moved_consumer_with_a_new_generation_alone_is_read_again(
    placement: Any, tmp_path: Path, reshaping: Any
) -> None:
    driver, file, consumers = reshaping
    body = placement.get(f"/allocations/{consumers[0]}")
    body["allocations"] = {rp: {"resources": each["resources"]} for rp, each in body["allocations"].items()}
    placement.put(f"/allocations/{consumers[0]}", body)
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        carry_out(reporter, file)
    assert_reshaped(placement, consumers)


def grow(placement: Any, consumer: str) -> None:
    body = placement.get(f"/allocations/{consumer}")
    root = placement.uuid_of("node")
    body["allocations"] = {root: {"resources": {"VCPU": 2, "VGPU": 1}}}
    placement.put(f"/allocations/{consumer}", body)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (grow, "the allocations of consumer"),
        (lambda placement, consumer: placement.delete(f"/allocations/{consumer}"), "the allocations of"),
        (
            lambda placement, _consumer: placement.allocate({placement.uuid_of("node"): {"VGPU": 1}}),
            "1 VGPU in use, 0 would be left",
        ),
    ],
)
def test_moves_are_refused_when_allocations_differ(
    placement: Any, tmp_path: Path, reshaping: Any, change: Callable[[Any, str], object], why: str
) -> None:
    driver, file, consumers = reshaping
    change(placement, consumers[0])
    before = placement.tree()
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        with pytest.raises(StalePlan, match=why):
            carry_out(reporter, file)
    assert placement.tree() == before
    assert all("VGPU" in str(placement.allocations(each)) for each in consumers[1:])


@pytest.mark.parametrize("stop", range(6))
def test_reshape_that_stopped_half_way_goes_on(
    placement: Any, tmp_path: Path, reshaping: Any, stop: int
) -> None:
    driver, file, consumers = reshaping
    placement.hook = failing = Failing(stop)
    for _ in range(2):
        with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
            try:
                carry_out(reporter, file)
            except PlacementError:
                assert failing.failed
            except StalePlan as refusal:
                assert "already" in refusal.what  # noqa: PT017 - nothing had failed
        placement.hook = None
    assert_reshaped(placement, consumers)


def test_role_that_is_missing_leaves_everything_as_it_was(
    placement: Any, tmp_path: Path, reshaping: Any
) -> None:
    driver, file, consumers = reshaping
    before = placement.tree()
    with reporter_for(driver, placement.url, tmp_path / "state", roles="admin") as reporter:
        with pytest.raises(PlacementError) as refusal:
            carry_out(reporter, file)
    assert "role service" in refusal.value.advice
    assert placement.tree() == before
    assert placement.allocations(consumers[0]) == {placement.uuid_of("node"): {"VCPU": 1, "VGPU": 1}}


# What else may have changed since


def test_settings_are_those_of_now(placement: Any, tmp_path: Path, reshaping: Any) -> None:
    driver, file, _ = reshaping
    before = placement.tree()
    with reporter_for(driver, placement.url, tmp_path / "state", reshape="never") as reporter:
        with pytest.raises(StalePlan, match="never"):
            carry_out(reporter, file)
    with reporter_for(driver, placement.url, tmp_path / "state", manage="children") as reporter:
        with pytest.raises(StalePlan, match="children"):
            carry_out(reporter, file)
    assert placement.tree() == before


def another_reporter(driver: ComputeDriver, url: str, state: Path) -> Reporter:
    reporter = reporter_for(driver, url, state)
    reporter.client._label = "another Placement"
    return reporter


def test_another_placement_is_refused(make_placement: Any, tmp_path: Path) -> None:
    driver, file = TreeDriver(first_tree()), tmp_path / "plan.json"
    with reporter_for(driver, make_placement().url, tmp_path / "state") as reporter:
        save(reporter, file)
    other = make_placement()
    with another_reporter(driver, other.url, tmp_path / "state") as reporter:
        with pytest.raises(StalePlan, match="another Placement"):
            carry_out(reporter, file)
    assert other.tree() == {}


def test_root_that_is_not_ours_needs_adoption(placement: Any, tmp_path: Path) -> None:
    driver, file = TreeDriver(host_tree("gpu0")), tmp_path / "plan.json"
    placement.add_provider("node", uuid_=driver.uuid)
    before = placement.tree()
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        save(reporter, file)
        with pytest.raises(AdoptionNeeded):
            carry_out(reporter, file)
        assert placement.tree() == before
        carry_out(reporter, file, adopt=True)
        assert_is(placement, driver.tree, not_marked=["node"])
        assert reporter.diff("node").adoption is None


def test_markdown_of_a_plan_has_its_moves(placement: Any, tmp_path: Path, reshaping: Any) -> None:
    from reporter.render.markdown import reports_markdown

    driver, _, consumers = reshaping
    with reporter_for(driver, placement.url, tmp_path / "state") as reporter:
        text = reports_markdown([reporter.diff("node")])
    assert all(f"allocations of consumer {each}" in text for each in consumers)
    assert "POST /reshaper\n" in text
    assert text.count("| --- | --- | --- |") == 1
