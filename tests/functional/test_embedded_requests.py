"""What the placement fixture promises to the other functional tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import requests

HEADERS = {"X-Auth-Token": "admin", "X-Roles": "admin,service", "OpenStack-API-Version": "placement 1.39"}


def test_tree_comes_back_as_it_was_arranged(placement: Any) -> None:
    root = placement.add_provider("node")
    child = placement.add_provider("node_gpu", root)
    placement.set_inventory(root, {"VCPU": 8, "CUSTOM_WIDGET": {"total": 4, "reserved": 1}})
    placement.set_traits(child, "HW_CPU_X86_AVX2", "CUSTOM_FAST")
    aggregate = "b8a1d0a4-5e2b-4ee7-a3ac-d7ce6a4e0f6d"
    placement.set_aggregates(root, aggregate)
    consumer = placement.allocate({root: {"VCPU": 2}})
    tree = placement.tree()
    assert tree["node_gpu"]["parent"] == "node"
    assert tree["node_gpu"]["traits"] == ["CUSTOM_FAST", "HW_CPU_X86_AVX2"]
    assert tree["node"]["inventory"]["CUSTOM_WIDGET"]["reserved"] == 1
    assert tree["node"]["aggregates"] == [aggregate]
    assert placement.allocations(consumer) == {root: {"VCPU": 2}}


def test_only_requests_to_the_url_are_recorded(placement: Any) -> None:
    placement.add_provider("node")
    requests.get(f"{placement.url}/resource_providers?name=node", headers=HEADERS, timeout=5)
    assert placement.requests == [("GET", "/resource_providers?name=node")]


def test_hook_can_write_between_requests_and_answer_itself(placement: Any) -> None:
    def hook(method: str, path: str) -> tuple[str, bytes] | None:
        if path == "/fail":
            return "503 Service Unavailable", b"{}"
        placement.add_provider("made by the hook")
        return None

    placement.hook = hook
    listed = requests.get(f"{placement.url}/resource_providers", headers=HEADERS, timeout=5).json()
    assert [provider["name"] for provider in listed["resource_providers"]] == ["made by the hook"]
    assert requests.get(f"{placement.url}/fail", headers=HEADERS, timeout=5).status_code == 503


def test_placements_of_one_test_are_apart(make_placement: Callable[[], Any]) -> None:
    first, second = make_placement(), make_placement()
    first.add_provider("only in the first")
    second.put("/traits/CUSTOM_ONLY_IN_THE_SECOND")
    assert second.tree() == {}
    assert "CUSTOM_ONLY_IN_THE_SECOND" not in first.get("/traits")["traits"]
    assert "HW_CPU_X86_AVX2" in first.get("/traits")["traits"]


def test_another_placement_starts_quickly(make_placement: Callable[[], Any]) -> None:
    make_placement()
    started = time.process_time()
    make_placement()
    assert time.process_time() - started < 0.5
