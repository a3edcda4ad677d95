"""What is checked of a cycle that nothing has disturbed, since the others are compared with that one."""

from __future__ import annotations

from collections import Counter
from typing import Any

from provider_tree import ProviderTree
from tests.faults.scenarios import NODE
from tests.faults.stage import Stage
from tests.faults.world import AGGREGATES, World
from tests.functional.reporting import MARKER

_NOT_WISHED = {"CUSTOM_OPERATOR", MARKER}


def assert_as_wished(stage: Stage) -> None:
    """Placement gets exactly what the driver makes of an empty tree, and others have what they had."""
    wished = ProviderTree()
    wished.new_root(NODE, stage.after[NODE]["uuid"])
    stage.scenario.after(wished, NODE, None)
    for provider in wished.providers():
        has = stage.after[provider.name]
        totals = {each: record[0] for each, record in has["inventory"].items() if each != "CUSTOM_LICENCE"}
        assert totals == {each: record["total"] for each, record in provider.inventory.items()}
        assert has["traits"] - _NOT_WISHED == provider.traits
        assert has["aggregates"] - {AGGREGATES[1]} == provider.aggregates
    names = {each.name for each in wished.providers()} | stage.scenario.emptied
    assert stage.after.keys() == names | _of_others(stage.after) | {"allocations"}
    for world in (stage.after, stage.taken_back):
        _assert_others_have_what_they_had(stage.before, world)
    assert _held(stage.after) == _held(stage.before)
    assert (
        stage.taken_back[NODE]["traits"] <= _NOT_WISHED | stage.before.get(NODE, {"traits": set()})["traits"]
    )


def _of_others(world: World) -> set[str]:
    return {name for name in world if name.startswith(("agent below ", "storage"))}


def _assert_others_have_what_they_had(before: World, now: World) -> None:
    assert _of_others(before)
    for name in _of_others(before):
        assert now[name] == before[name]
    has = {each["uuid"]: each for name, each in now.items() if name != "allocations"}
    for name, had in before.items():
        if name != "allocations" and "CUSTOM_OPERATOR" in had["traits"]:
            assert "CUSTOM_OPERATOR" in has[had["uuid"]]["traits"]
            assert AGGREGATES[1] in has[had["uuid"]]["aggregates"]
            assert has[had["uuid"]]["inventory"]["CUSTOM_LICENCE"] == had["inventory"]["CUSTOM_LICENCE"]


def _held(world: World) -> dict[str, Any]:
    """Consumer → who it is, and how much of each class it holds, wherever."""
    result = {}
    for consumer, each in world["allocations"].items():
        amounts: Counter[str] = Counter()
        for place, used in each.items():
            if place != "of":
                amounts[place[1]] += used
        result[consumer] = (each["of"], amounts)
    return result
