"""What is in use in a tree, told in one request where Placement can, and always as each provider tells it."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from provider_tree import ProviderTree
from provider_tree.inventory import capacity
from reporter.placement.usages import providers_in_use, read_usages
from tests.functional.drivers import TreeDriver, host_tree
from tests.functional.reporting import client_for, reporter_for
from tests.functional.reshaping import Node, in_turn, nested_tree
from tests.functional.test_request_counts import counted

GPUS = tuple(f"gpu{number}" for number in range(12))


def any_tree(dice: random.Random) -> ProviderTree:
    """A host some of whose providers offer nothing, or only to those who ask for a lot."""
    tree = host_tree(*GPUS[:6], vcpus=4)
    for gpu in GPUS[:6]:
        if dice.random() < 0.8:
            step = dice.choice((1, 3))
            tree.update_inventory(
                gpu, {"VGPU": {"total": dice.choice((3, 12)), "min_unit": step, "step_size": step}}
            )
    return tree


@pytest.mark.parametrize("seed", range(6))
def test_usages_are_those_that_each_provider_tells(placement: Any, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    tree = any_tree(dice)
    other = placement.add_provider("another host")
    placement.set_inventory(other, {"VGPU": 12})
    placement.allocate({other: {"VGPU": 1}})
    with reporter_for(TreeDriver(tree), placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
    for provider in tree.providers():
        for name, record in provider.inventory.items():
            if dice.random() < 0.5:  # some hosts are full, some unused
                placement.allocate({provider.uuid: {name: dice.choice((capacity(record), 3))}})
    uuids = tree.get_provider_uuids()
    told = {uuid: placement.get(f"/resource_providers/{uuid}/usages")["usages"] for uuid in uuids}
    with ThreadPoolExecutor(1) as executor:
        found = read_usages(client_for(placement.url), uuids, tree, executor)
    assert found == told
    in_use = {uuid for uuid in uuids if any(told[uuid].values())}
    assert in_use <= set(providers_in_use(client_for(placement.url), tree))


def test_full_hosts_are_asked_provider_by_provider(placement: Any, tmp_path: Path) -> None:
    tree = host_tree(*GPUS[:3], vcpus=4)
    with reporter_for(TreeDriver(tree), placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
    full = {
        each.uuid: {name: capacity(record) for name, record in each.inventory.items()}
        for each in tree.providers()
        if each.inventory
    }
    placement.allocate(full)
    with ThreadPoolExecutor(1) as executor:
        assert read_usages(client_for(placement.url), list(full), tree, executor) == full


def test_whoever_may_not_ask_for_candidates_asks_each_provider(placement: Any, tmp_path: Path) -> None:
    tree = host_tree(*GPUS[:3], vcpus=4)
    with reporter_for(TreeDriver(tree), placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
    held = placement.allocate({tree.provider("gpu1").uuid: {"VGPU": 1}})

    def forbid(_method: str, path: str) -> tuple[str, bytes] | None:
        return ("403 Forbidden", b"{}") if path.startswith("/allocation_candidates") else None

    placement.hook = forbid
    uuids = tree.get_provider_uuids()
    with ThreadPoolExecutor(1) as executor:
        usages = read_usages(client_for(placement.url), uuids, tree, executor)
    assert {uuid: each for uuid, each in usages.items() if any(each.values())} == placement.allocations(held)


@pytest.mark.parametrize("size", [4, 12])
def test_removing_many_providers_asks_once_what_is_in_use(placement: Any, tmp_path: Path, size: int) -> None:
    driver = TreeDriver(host_tree(*GPUS[:size]))
    with reporter_for(driver, placement.url, tmp_path) as reporter:
        reporter.sync_once("node")
        driver.tree = host_tree()
        with counted(placement) as arrived:
            reporter.sync_once("node")
    assert [method for method, _ in arrived] == ["GET", "GET"] + ["DELETE"] * size


@pytest.mark.parametrize("size", [4, 12])
def test_reshape_reads_allocations_where_there_are_some(placement: Any, tmp_path: Path, size: int) -> None:
    gpus = GPUS[:size]
    flat = nested_tree(*gpus)
    flat.update_inventory("node", {"VCPU": {"total": 8}, "VGPU": {"total": 16}})
    node = Node(placement, tmp_path, flat)
    node.sync()
    consumers = [placement.allocate({node.root: {"VGPU": 1}}) for _ in range(2)]
    node.wants(nested_tree(*gpus, vgpus=9), in_turn)
    with counted(placement) as arrived:
        node.sync()
    asked = [path for _, path in arrived if path.endswith("/allocations")]
    assert asked == [f"/resource_providers/{node.root}/allocations"]
    assert node.root not in {uuid for each in consumers for uuid in placement.allocations(each)}


def test_what_comes_into_use_while_we_look_is_not_lost(placement: Any, tmp_path: Path) -> None:
    """A provider was not in use when we asked, and is when it is emptied: we read again."""
    gpus = GPUS[:4]
    flat = nested_tree(*gpus)
    flat.update_inventory("node", {"VCPU": {"total": 8}, "VGPU": {"total": 16}})
    node = Node(placement, tmp_path, flat)
    node.sync()
    consumers: list[str] = []

    def allocate_late(_method: str, path: str) -> None:
        if path == "/reshaper" and not consumers:
            consumers.append(placement.allocate({node.root: {"VGPU": 2}}))

    placement.hook = allocate_late
    node.wants(nested_tree(*gpus, vgpus=9), in_turn)
    node.sync()
    [consumer] = consumers
    [(uuid, held)] = placement.allocations(consumer).items()
    assert (uuid != node.root, held) == (True, {"VGPU": 2})
