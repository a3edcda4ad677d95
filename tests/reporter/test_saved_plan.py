"""Saved plans as files, and how far one has been carried out, without a Placement."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_tree import Changes, ProviderTree, diff
from provider_tree.errors import UnsupportedChange
from reporter.errors import ReporterError, StalePlan
from reporter.names import Known
from reporter.plan import Plan, Request, make_plan
from reporter.plan_file import load_plans, save_plans
from reporter.plan_progress import written
from reporter.report import Report
from reporter.saved_plan import SavedPlan
from reporter.state.ledger import Entry, Ledger
from tests.strategies import tree_pairs

CONSUMER = "7a1f6e5c-3a6e-4c1d-9d5a-1f2b3c4d5e6f"


def saved_plan(
    current: ProviderTree, wanted: ProviderTree, *, atomic: bool = False, **more: Any
) -> SavedPlan | None:
    """The plan that leads from one tree to the other; None if there is none."""
    try:
        changes = diff(current, wanted)
        plan = make_plan(changes, current, wanted, Known(), atomic=atomic)
    except UnsupportedChange:
        return None
    report = Report("node", "root", current, wanted, wanted, changes, plan, **more)
    return SavedPlan.of(report, "http://placement")


def of_everything(tree: ProviderTree) -> Ledger:
    """A ledger that says that we made all of it."""
    return Ledger("node", entries={each.uuid: Entry(each.name, 0, created=True) for each in tree.providers()})


def saved_example(**more: Any) -> SavedPlan:
    current, wanted = ProviderTree(), ProviderTree()
    wanted.new_root("node", "11111111-1111-4111-8111-111111111111")
    wanted.update_inventory("node", {"VCPU": {"total": 8, "allocation_ratio": 0.1}})
    wanted.update_traits("node", ["COMPUTE_NODE"])
    saved = saved_plan(current, wanted, **more)
    assert saved is not None
    return saved


@given(trees=tree_pairs(), atomic=st.booleans())
def test_file_holds_all_of_a_plan(
    tmp_path_factory: pytest.TempPathFactory, trees: tuple[ProviderTree, ProviderTree], atomic: bool
) -> None:
    saved = saved_plan(*trees, atomic=atomic)
    if saved is None:
        return
    file = tmp_path_factory.mktemp("plan") / "plan.json"
    save_plans(file, [saved, replace(saved, node="another")])
    first, second = load_plans(file)
    assert [each.node for each in (first, second)] == ["node", "another"]
    assert first.plan == saved.plan
    assert first.changes == saved.changes
    assert first.root_uuid == saved.root_uuid
    # Generations are not part of it.
    assert first.before.keys() == saved.before.keys()
    for uuid, each in saved.before.items():
        assert replace(first.before[uuid], generation=each.generation, inventory={}) == replace(
            each, inventory={}
        )
    assert first.remaining(trees[0], {}, Ledger("node")) == saved.plan


@given(trees=tree_pairs(), atomic=st.booleans(), data=st.data())
def test_every_stage_that_was_made_is_left_out(
    trees: tuple[ProviderTree, ProviderTree], atomic: bool, data: st.DataObject
) -> None:
    current, wanted = trees
    saved = saved_plan(current, wanted, atomic=atomic)
    if saved is None or not saved.plan:
        return
    stages = saved.plan.stages()
    made = data.draw(st.integers(0, len(stages) - 1))
    half_way = carried_out([each for stage in stages[:made] for each in stage], current)
    left = saved.remaining(half_way, {}, of_everything(wanted))
    expected = [each for stage in stages[made:] for each in stage]
    # A request that leaves a record as it was may be made twice.
    assert [each for each in left.requests if each in expected] == expected
    done = carried_out(list(saved.plan.requests), current)
    assert not diff(done, wanted)
    with pytest.raises(StalePlan, match="already"):
        saved.remaining(done, {}, of_everything(wanted))


def carried_out(requests: list[Request], tree: ProviderTree) -> ProviderTree:
    """What Placement makes of requests."""
    tree = tree.copy()
    for request in requests:
        for (what, uuid), value in written(request).items():
            if what != "place":
                key = "inventory" if what == "inventories" else what
                tree.replace(replace(tree.provider(uuid), **{key: value}))
            elif value is None:
                tree.remove(uuid)
            elif uuid not in tree:
                name, parent = value
                if parent is None:
                    tree.new_root(name, uuid)
                else:
                    tree.new_child(name, parent, uuid=uuid)
            else:
                tree.rename(uuid, value[0])
                tree.move(uuid, value[1])
    return tree


def test_provider_that_others_made_is_not_ours_to_go_on_with() -> None:
    saved = saved_example()
    half_way = carried_out(list(saved.plan.requests[:1]), ProviderTree())
    with pytest.raises(StalePlan, match="provider node exists"):
        saved.remaining(half_way, {}, Ledger("node"))
    assert saved.remaining(half_way, {}, of_everything(half_way)).requests == saved.plan.requests[1:]


def test_later_stage_without_an_earlier_one_is_somebody_else_s() -> None:
    saved = saved_example()
    requests = saved.plan.requests
    assert [each.path.rpartition("/")[2] for each in requests[1:]] == ["traits", "inventories"]
    strange = carried_out([requests[0], requests[2]], ProviderTree())
    with pytest.raises(StalePlan, match="inventory of provider node changed"):
        saved.remaining(strange, {}, of_everything(strange))


def test_ratio_that_a_database_rounds_is_no_difference() -> None:
    current, wanted = ProviderTree(), ProviderTree()
    for tree, total in ((current, 8), (wanted, 9)):
        tree.new_root("node", "11111111-1111-4111-8111-111111111111", 1)
        tree.update_inventory("node", {"VCPU": {"total": total, "allocation_ratio": 1.1}})
    saved = saved_plan(current, wanted)
    current.update_inventory("node", {"VCPU": {"total": 8, "allocation_ratio": 1.10000002}})
    assert saved is not None
    assert saved.remaining(current, {}, Ledger("node")) == saved.plan


# Files


def test_format_version_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    save_plans(file, [saved_example()])
    document = json.loads(file.read_text("utf-8"))
    assert document["format_version"] == 1
    file.write_text(json.dumps(document | {"format_version": 2}), "utf-8")
    with pytest.raises(ReporterError, match="version 2, not 1") as error:
        load_plans(file)
    assert "diff --out" in error.value.advice


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '"text"',
        "{}",
        '{"format_version": 1}',
        '{"format_version": 1, "nodes": 3}',
        '{"format_version": 1, "nodes": [{}]}',
        "\x00",
        "[" * 100_000,
    ],
)
def test_what_is_not_a_plan(tmp_path: Path, content: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(content, "utf-8")
    with pytest.raises(ReporterError, match="is not a plan") as error:
        load_plans(file)
    assert str(file) in error.value.what
    assert error.value.advice


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ReporterError, match="is not a plan"):
        load_plans(file)


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({})


@given(data=st.data(), value=scalars)
def test_plan_that_was_edited_badly_is_a_plan_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, value: Any
) -> None:
    file = tmp_path_factory.mktemp("plan") / "plan.json"
    held = {"allocations": {"x": {"resources": {"VCPU": 1}}}, "consumer_generation": 3}
    consumers = {CONSUMER: {**held, "project_id": "p", "user_id": "u"}}
    save_plans(file, [saved_example(consumers_before=consumers)])
    document = json.loads(file.read_text("utf-8"))
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            place[key] = value
            break
        place = place[key]
    file.write_text(json.dumps(document), "utf-8")
    with contextlib.suppress(ReporterError):
        for saved in load_plans(file):
            saved.wanted(ProviderTree())
            saved.remaining(ProviderTree(), {}, Ledger("node"))


@pytest.mark.parametrize("request_", [("DELETE", "/allocations/x"), ("POST", "/allocations"), ("GET", "/")])
def test_no_other_requests_can_be_slipped_in(tmp_path: Path, request_: tuple[str, str]) -> None:
    file = tmp_path / "plan.json"
    saved = saved_example()
    method, path = request_
    more = (*saved.plan.requests, Request(9, method, path))
    save_plans(file, [replace(saved, plan=Plan(more))])
    with pytest.raises(ReporterError, match="not a request of a plan"):
        load_plans(file)


@pytest.mark.parametrize(
    "edit",
    [
        lambda node: node["requests"][-1]["body"]["inventories"]["VCPU"].update(total=99),
        lambda node: node["after"][0]["inventory"]["VCPU"].update(total=99),
        lambda node: node["requests"][1].update(path="/resource_providers/other/traits"),
        lambda node: node["requests"][1].update(uuids=["other"]),
        lambda node: node["requests"][0]["body"].update(name="other"),
        lambda node: node["requests"].pop(),
        lambda node: node["after"].clear(),
    ],
)
def test_plan_whose_requests_do_not_make_what_it_says_is_refused(
    tmp_path: Path, edit: Callable[[Any], object]
) -> None:
    """It would leave us with a wrong idea of what Placement has."""
    file = tmp_path / "plan.json"
    save_plans(file, [saved_example()])
    document = json.loads(file.read_text("utf-8"))
    edit(document["nodes"][0])
    file.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ReporterError, match="is not a plan"):
        load_plans(file)


def test_file_is_replaced_whole_and_through_links(tmp_path: Path) -> None:
    file, link = tmp_path / "plan.json", tmp_path / "link"
    file.write_text("old", "utf-8")
    link.symlink_to(file)
    save_plans(link, [saved_example()])
    assert link.is_symlink()
    assert len(load_plans(file)) == 1
    assert {each.name for each in tmp_path.iterdir()} == {"plan.json", "link"}


def test_pipe_is_written_to_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        save_plans(pipe, [])
        assert json.loads(os.read(reader, 4096)) == {"format_version": 1, "nodes": []}
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_directory_that_cannot_be_written(
    public_dir: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    with unprivileged(), pytest.raises(ReporterError, match="cannot write the plan") as error:
        save_plans(public_dir / "plan.json", [saved_example()])
    assert "--out" in error.value.advice
    assert list(public_dir.iterdir()) == []


def test_changes_left_is_what_is_printed() -> None:
    saved = saved_example()
    half_way = carried_out(list(saved.plan.requests[:2]), ProviderTree())
    left = saved.changes_left(half_way, Plan(saved.plan.requests[2:]))
    assert [str(each) for each in left] == ["add VCPU total 8, allocation_ratio 0.1"]
    assert saved.changes_left(ProviderTree(), saved.plan) == Changes(saved.changes)
