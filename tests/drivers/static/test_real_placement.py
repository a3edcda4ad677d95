"""Documents on their way to a real Placement: nodes come, change, move what is in use, and go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("placement")

from drivers.errors import ReshapeFailed
from provider_tree.document import to_document
from reporter.embedded import EmbeddedPlacement
from reporter.sync import Reporter
from tests.drivers.static.test_driver import make_driver, write_document
from tests.functional.reporting import client_for, reporter_for

C1, C2 = (f"{digit}" * 8 + "-aaaa-4aaa-8aaa-aaaaaaaaaaaa" for digit in "12")
TENANT = "99999999-aaaa-4aaa-8aaa-aaaaaaaaaaaa"

FLAT: list[dict[str, Any]] = [{"name": "node1", "inventory": {"VCPU": 8, "VGPU": 16}}]
NESTED: list[dict[str, Any]] = [
    {"name": "node1", "inventory": {"VCPU": 8}},
    {"name": "node1_gpu0", "parent": "node1", "inventory": {"VGPU": 8}},
    {"name": "node1_gpu1", "parent": "node1", "inventory": {"VGPU": 8}},
]


@pytest.fixture(scope="module")
def placement() -> Iterator[str]:
    with EmbeddedPlacement() as running:
        yield running.url


@pytest.fixture
def reporter(placement: str, tmp_path: Path) -> Iterator[Reporter]:
    with reporter_for(make_driver(tmp_path, FLAT), placement, tmp_path / "state") as made:
        yield made


def hold(url: str, consumer: str, provider: str, resources: dict[str, int]) -> None:
    answer = client_for(url)._adapter.put(
        f"/allocations/{consumer}",
        json={
            "allocations": {provider: {"resources": resources}},
            "project_id": TENANT,
            "user_id": TENANT,
            "consumer_generation": None,
            "consumer_type": "INSTANCE",
        },
        microversion="1.38",
    )
    assert answer.status_code == 204, answer.text


def held(url: str, consumer: str) -> dict[str, dict[str, int]]:
    found = client_for(url).allocation(consumer)
    assert found is not None
    return {uuid: dict(resources) for uuid, resources in found.resources.items()}


def test_a_node_from_its_first_document_to_its_last(
    reporter: Reporter, placement: str, tmp_path: Path
) -> None:
    path = tmp_path / "tree.yaml"
    root = reporter.sync_once("node1").root_uuid
    assert root == reporter.driver.new_node_uuid("node1")
    hold(placement, C1, root, {"VCPU": 2, "VGPU": 1})
    hold(placement, C2, root, {"VGPU": 3})

    write_document(path, NESTED)
    with pytest.raises(ReshapeFailed, match=f"{C1}, {C2}"):
        reporter.sync_once("node1")
    assert held(placement, C2) == {root: {"VGPU": 3}}

    rules = [
        {"class": "VGPU", "from": "node1", "to": "node1_gpu0", "consumers": [C1]},
        {"class": "VGPU", "from": "node1", "to": "node1_gpu1"},
    ]
    write_document(path, NESTED, reshape=rules)
    report = reporter.sync_once("node1")
    uuids = {each.name: each.uuid for each in report.wanted.providers()}
    assert held(placement, C1) == {root: {"VCPU": 2}, uuids["node1_gpu0"]: {"VGPU": 1}}
    assert held(placement, C2) == {uuids["node1_gpu1"]: {"VGPU": 3}}
    assert not reporter.sync_once("node1").changes

    write_document(path, FLAT)
    reporter.sync_once("node1")
    assert held(placement, C1) == {root: {"VCPU": 2, "VGPU": 1}}
    assert held(placement, C2) == {root: {"VGPU": 3}}
    shown = to_document(reporter.sync_once("node1").current)["providers"]
    assert [each["name"] for each in shown] == ["node1"]
