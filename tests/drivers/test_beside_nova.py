"""The contract's names and values are Nova 34's."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from typing import Any

import pytest

from drivers import options
from drivers.base import ComputeDriver
from drivers.capabilities import CAPABILITY_TRAITS_MAP
from tests.peer.nova_process import needs_nova

pytestmark = needs_nova

SCRIPT = """
import inspect, json
import nova.conf
from nova.virt import driver, event
CONF = nova.conf.CONF
def option(group, name):
    opt = (CONF._groups[group]._opts if group != "DEFAULT" else CONF._opts)[name]["opt"]
    limits = {key: getattr(opt.type, key, None) for key in ("min", "max")}
    return {"type": type(opt).__name__, "default": opt.default, **limits}
names = json.loads(input())
print(json.dumps({
    "traits": driver.CAPABILITY_TRAITS_MAP,
    "capabilities": driver.ComputeDriver.capabilities,
    "options": {f"{group}.{name}": option(group, name) for group, name in names},
    "methods": {
        name: [p for p in inspect.signature(method).parameters]
        for name, method in inspect.getmembers(driver.ComputeDriver, inspect.isfunction)
    },
    "transitions": {
        name.removeprefix("EVENT_LIFECYCLE_"): value
        for name, value in vars(event).items() if name.startswith("EVENT_LIFECYCLE_")
    },
}))
"""

OURS = [(group, option.name) for group, listed in options.HOST_OPTIONS.items() for option in listed]


@pytest.fixture(scope="module")
def nova() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        input=json.dumps(OURS),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_capabilities_and_their_traits(nova: dict[str, Any]) -> None:
    assert dict(CAPABILITY_TRAITS_MAP) == nova["traits"]
    assert dict(ComputeDriver.capabilities) == nova["capabilities"]


def test_the_methods_take_what_novas_take(nova: dict[str, Any]) -> None:
    own = {"new_node_uuid", "note_ownership", "__init__"}
    for name, method in inspect.getmembers(ComputeDriver, inspect.isfunction):
        if name not in own:
            ours = list(inspect.signature(method).parameters)
            theirs = nova["methods"][name]
            assert [each for each in ours if each != "self"] == [each for each in theirs if each != "self"], (
                name
            )


def test_options_have_novas_types_bounds_and_defaults(nova: dict[str, Any]) -> None:
    for group, listed in options.HOST_OPTIONS.items():
        for option in listed:
            theirs = nova["options"][f"{group}.{option.name}"]
            assert type(option).__name__ == theirs["type"]
            assert {key: getattr(option.type, key, None) for key in ("min", "max")} == {
                key: theirs[key] for key in ("min", "max")
            }
            if option.name != "state_path":  # Nova's is the directory of its sources
                assert option.default == theirs["default"], option.name


def test_transitions_have_novas_numbers(nova: dict[str, Any]) -> None:
    from drivers.events import Transition

    assert {each.name: each.value for each in Transition} == nova["transitions"]
