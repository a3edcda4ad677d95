"""Plans lead from one tree to another by requests of which each prefix is legal and safe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from provider_tree import Changes, ProviderTree, diff
from provider_tree.errors import UnsupportedChange
from provider_tree.inventory import capacity
from reporter.names import Known
from reporter.placement.client import MICROVERSION, RESHAPER_MICROVERSION
from reporter.plan import Plan, Request, make_plan
from tests.functional.drivers import host_tree
from tests.reporter.model import Model, Refused
from tests.strategies import tree_pairs

NOTHING = Known(frozenset(), frozenset())


def names_of(*trees: ProviderTree) -> Known:
    providers = [each for tree in trees for each in tree.providers()]
    return Known(
        frozenset(name for each in providers for name in each.inventory),
        frozenset(trait for each in providers for trait in each.traits),
    )


def changes_between(before: ProviderTree, after: ProviderTree) -> Changes:
    try:
        return diff(before, after)
    except UnsupportedChange:
        assume(False)
        raise


Case = tuple[ProviderTree, ProviderTree, Plan, Model]


@st.composite
def plans(draw: st.DrawFn) -> Case:
    """Two trees, the plan that leads from one to the other, and a Placement that has the first."""
    before, after = draw(tree_pairs(1, 6))
    needed, had = names_of(after), names_of(before)
    missing = Known(needed.classes - had.classes, needed.traits - had.traits)
    changes = changes_between(before, after)
    plan = make_plan(changes, before, after, missing, atomic=draw(st.booleans()))
    return before, after, plan, Model(before, had)


@settings(max_examples=40)
@given(plans())
def test_plan_leads_to_what_is_wanted(case: Case) -> None:
    _, after, plan, model = case
    for request in plan.requests:
        model.make(request)
    assert not diff(model.tree(), after)
    assert bool(plan) == bool(plan.requests)


@settings(max_examples=40)
@given(plans(), st.randoms(use_true_random=False))
def test_requests_of_a_stage_do_not_depend_on_each_other(case: Case, random: Any) -> None:
    _, after, plan, model = case
    for stage in plan.stages():
        # Each alone is legal before the others, and so is any order.
        for request in stage:
            model.copy().make(request)
        for request in random.sample(stage, len(stage)):
            model.make(request)
        written = [uuid for request in stage for uuid in request.uuids]
        assert len(written) == len(set(written))
    assert not diff(model.tree(), after)
    assert [request for stage in plan.stages() for request in stage] == list(plan.requests)


@settings(max_examples=40)
@given(plans())
def test_plan_may_stop_after_any_request_and_another_goes_on(case: Case) -> None:
    _, after, plan, model = case
    for request in plan.requests:
        model.make(request)
        now = model.tree()
        missing = names_of(after)
        missing = Known(missing.classes - model.classes, missing.traits - model.traits)
        other = model.copy()
        for each in make_plan(diff(now, after), now, after, missing).requests:
            other.make(each)
        assert not diff(other.tree(), after)


@settings(max_examples=40)
@given(plans())
def test_capacity_is_described_before_it_is_there_and_goes_before_more_comes(case: Case) -> None:
    before, after, plan, model = case
    for request in plan.requests:
        model.make(request)
        gained = [uuid for uuid in model.providers if gains(before, model, uuid)]
        for uuid in gained:
            now, wanted = model.providers[uuid], after.provider(uuid)
            assert (now.traits, now.aggregates) == (wanted.traits, wanted.aggregates)
            assert (now.name, now.parent_uuid) == (wanted.name, wanted.parent_uuid)
        if gained:
            for provider in after.providers():
                if provider.uuid in before and not more(
                    before.provider(provider.uuid).inventory, provider.inventory
                ):
                    now = model.providers[provider.uuid]
                    assert not more(provider.inventory, now.inventory)


@settings(max_examples=40)
@given(plans())
def test_no_capacity_is_there_twice_at_any_moment(case: Case) -> None:
    before, after, plan, model = case
    most = offered(before) | offered(after)  # the larger of both, class by class
    for request in plan.requests:
        model.make(request)
        assert offered(model.tree()) <= most


def offered(tree: ProviderTree) -> Counter[str]:
    found: Counter[str] = Counter()
    for provider in tree.providers():
        found.update({name: capacity(record) for name, record in provider.inventory.items()})
    return found


def vgpus_elsewhere() -> Iterator[tuple[str, ProviderTree, ProviderTree]]:
    """VGPUs that go from one provider to another: what becomes of the first, and both trees."""
    yield "is deleted", host_tree("old"), host_tree("new")
    before, after = host_tree("old", "new"), host_tree("old", "new")
    before.update_inventory("new", {})
    after.update_inventory("old", {"CUSTOM_ENGINE": {"total": 1}})
    yield "gains another class", before, after


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize(("what", "before", "after"), list(vgpus_elsewhere()))
def test_class_that_goes_to_another_provider_is_never_in_both(
    what: str, before: ProviderTree, after: ProviderTree, atomic: bool
) -> None:
    plan = make_plan(diff(before, after), before, after, NOTHING, atomic=atomic)
    model = Model(before, names_of(before, after))
    for request in plan.requests:
        model.make(request)
        assert offered(model.tree())["VGPU"] <= 4, (what, str(request))
    assert not diff(model.tree(), after)


def test_no_class_is_offered_with_the_traits_of_the_one_that_takes_its_place() -> None:
    before, after = host_tree("gpu0"), host_tree("gpu0")
    before.update_traits("gpu0", ["CUSTOM_VGPU"])
    after.update_inventory("gpu0", {"CUSTOM_ENGINE": {"total": 1}})
    after.update_traits("gpu0", ["CUSTOM_ENGINES"])
    model = Model(before, names_of(before, after))
    for request in make_plan(diff(before, after), before, after, NOTHING).requests:
        model.make(request)
        now = model.tree().provider("gpu0")
        assert "VGPU" not in now.inventory or "CUSTOM_VGPU" in now.traits
        assert "CUSTOM_ENGINE" not in now.inventory or "CUSTOM_ENGINES" in now.traits


def gains(before: ProviderTree, model: Model, uuid: str) -> bool:
    had = before.provider(uuid).inventory if uuid in before else {}
    return more(had, model.providers[uuid].inventory)


def more(old: Any, new: Any) -> bool:
    """Whether anything of an inventory can be handed out that the other has not."""
    return any(capacity(record) > (capacity(old[name]) if name in old else 0) for name, record in new.items())


@settings(max_examples=40)
@given(plans())
def test_each_write_carries_what_it_needs(case: Case) -> None:
    _, _, plan, _ = case
    for request in plan.requests:
        assert request.method in {"POST", "PUT", "DELETE"}
        assert request.microversion == (RESHAPER_MICROVERSION if request.is_reshape else MICROVERSION)
        # Generations are filled in when it is sent.
        assert "generation" not in str(request.body)
        kind = request.path.rpartition("/")[2]
        assert request.conditional == (kind in {"inventories", "traits", "aggregates", "reshaper"})
        assert str(request) == f"{request.method} {request.path}"


@settings(max_examples=40)
@given(tree_pairs(1, 6))
def test_several_inventories_go_in_one_request_where_it_may_be(
    pair: tuple[ProviderTree, ProviderTree],
) -> None:
    before, after = pair
    changes = changes_between(before, after)
    at_once = kinds(make_plan(changes, before, after, NOTHING, atomic=True).requests)
    one_by_one = kinds(make_plan(changes, before, after, NOTHING).requests)
    assert "reshaper" not in one_by_one
    assert one_by_one == at_once or ("inventories" not in at_once and at_once.count("reshaper") == 1)


def kinds(requests: Iterable[Request]) -> list[str]:
    return [each.path.rpartition("/")[2] for each in requests]


def test_one_inventory_needs_no_reshaper() -> None:
    before, after = host_tree("gpu0"), host_tree("gpu0", vcpus=9)
    [request] = make_plan(diff(before, after), before, after, NOTHING, atomic=True).requests
    assert request.path.endswith("/inventories")


def test_model_refuses_what_placement_would() -> None:
    """The tests above are worth nothing otherwise."""
    tree = host_tree("gpu0", "gpu1")
    root, gpu0, _ = [each.uuid for each in tree.providers()]
    model = Model(tree, names_of(tree))
    place = {"name": "gpu1", "parent_provider_uuid": root}
    for request in (
        Request(0, "PUT", f"/resource_providers/{gpu0}", place),
        Request(0, "PUT", f"/resource_providers/{root}", {"name": "node", "parent_provider_uuid": gpu0}),
        Request(0, "POST", "/resource_providers", {"uuid": "new", "name": "x", "parent_provider_uuid": "?"}),
        Request(0, "DELETE", f"/resource_providers/{root}"),
        Request(0, "PUT", f"/resource_providers/{gpu0}/traits", {"traits": ["CUSTOM_UNHEARD_OF"]}),
        Request(0, "PUT", f"/resource_providers/{gpu0}/inventories", {"inventories": {"CUSTOM_X": {}}}),
    ):
        try:
            model.make(request)
        except Refused:
            continue
        raise AssertionError(f"{request} was not refused")


def test_allocations_move_with_all_inventories_and_before_the_deletions() -> None:
    before, after = host_tree("old"), host_tree("new")
    old, new = before.provider("old").uuid, after.provider("new").uuid
    moved = {"consumer": {"allocations": {new: {"resources": {"VGPU": 1}}}}}
    plan = make_plan(diff(before, after), before, after, NOTHING, allocations=moved)
    at = next(at for at, each in enumerate(plan.requests) if each.is_reshape)
    body = plan.requests[at].body or {}
    assert body["allocations"] == moved
    assert body["inventories"][old] == {"inventories": {}}
    assert set(body["inventories"]) == {old, new}
    assert [each.method for each in plan.requests[at + 1 :]] == ["DELETE"]
    assert plan.consumers() == ["consumer"]
    assert make_plan(diff(before, after), before, after, NOTHING).consumers() == []
