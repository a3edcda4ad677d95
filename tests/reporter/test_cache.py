"""The kept snapshot serves the next start, or is as if there were none."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from provider_tree import ProviderTree, diff
from reporter.placement.snapshot import Snapshot
from reporter.state.cache import load_snapshot, save_snapshot
from reporter.state.directory import StateDirectory
from tests.functional.drivers import host_tree
from tests.strategies import valid_trees

HERE, HOUR = "http://placement", 3600.0


def snapshot(tree: ProviderTree | None = None) -> Snapshot:
    """As it was read: every provider has a generation."""
    tree = tree or host_tree("gpu0")
    for at, each in enumerate(list(tree.providers())):
        tree.replace(replace(each, generation=at + 3))
    return Snapshot(next(iter(tree.providers())).uuid, tree)


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(valid_trees(1, 6, roots=1))
def test_it_comes_back_as_it_was(tmp_path: Path, tree: ProviderTree) -> None:
    state = StateDirectory(tmp_path / os.urandom(8).hex())
    kept, now = snapshot(tree), time.time()
    save_snapshot(state, "node", kept, HERE, now)
    loaded = load_snapshot(state, "node", kept.root_uuid, HERE, HOUR)
    assert loaded is not None
    found, read_at = loaded
    assert (found.root_uuid, read_at) == (kept.root_uuid, now)
    assert found.tree == kept.tree
    assert not diff(kept.tree, found.tree)
    assert {each.uuid: each.generation for each in found.tree.providers()} == {
        each.uuid: each.generation for each in kept.tree.providers()
    }


def test_it_is_of_one_placement_one_node_and_one_time(state: StateDirectory) -> None:
    kept = snapshot()
    uuid, now = kept.root_uuid, time.time()
    assert load_snapshot(state, "node", uuid, HERE, HOUR) is None
    save_snapshot(state, "node", kept, HERE, now - 100)
    assert load_snapshot(state, "node", uuid, HERE, HOUR)
    assert load_snapshot(state, "other", uuid, HERE, HOUR) is None
    assert load_snapshot(state, "node", "another uuid", HERE, HOUR) is None
    assert load_snapshot(state, "node", uuid, "http://other", HOUR) is None
    assert load_snapshot(state, "node", uuid, HERE, 50) is None
    # The clock was set back: nobody knows how old it is.
    save_snapshot(state, "node", kept, HERE, now + 1000)
    assert load_snapshot(state, "node", uuid, HERE, HOUR) is None


def first_of(document: Any) -> Any:
    return document["providers"][0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document.update(format_version=2),
        lambda document: document.update(read_at="yesterday"),
        lambda document: document.pop("read_at"),
        lambda document: document.update(providers=7),
        lambda document: document.update(providers=[[]]),
        lambda document: first_of(document).pop(),
        lambda document: first_of(document).__setitem__(2, None),
        lambda document: first_of(document).__setitem__(3, "no such parent"),
        lambda document: first_of(document).__setitem__(4, None),
        lambda document: first_of(document).__setitem__(4, {"VCPU": 3}),
        lambda document: first_of(document).__setitem__(5, [{}]),
        lambda document: document["providers"].append(first_of(document)),
        lambda document: document["providers"].append(["x", first_of(document)[1], 1, None, {}, [], []]),
        lambda document: document.clear(),
    ],
)
def test_what_is_damaged_is_as_if_there_were_none(state: StateDirectory, damage: Any) -> None:
    kept = snapshot()
    save_snapshot(state, "node", kept, HERE, time.time())
    file = state.node_file("node", "snapshot")
    document = json.loads(file.read_text())
    damage(document)
    file.write_text(json.dumps(document))
    assert load_snapshot(state, "node", kept.root_uuid, HERE, HOUR) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format_version": 1}'])
def test_what_is_no_snapshot_is_as_if_there_were_none(state: StateDirectory, content: bytes) -> None:
    file = state.node_file("node", "snapshot")
    state.write(file, {})
    file.write_bytes(content)
    assert load_snapshot(state, "node", "uuid", HERE, HOUR) is None


def test_provider_whose_generation_is_not_known_is_read_again(state: StateDirectory) -> None:
    """After a reshape; with it goes what hangs on it, and nothing else."""
    kept = snapshot(host_tree("gpu0", "gpu1"))
    kept.tree.replace(replace(kept.tree.provider("gpu0"), generation=None))
    save_snapshot(state, "node", kept, HERE, time.time())
    loaded = load_snapshot(state, "node", kept.root_uuid, HERE, HOUR)
    assert loaded is not None
    assert {each.name for each in loaded[0].tree.providers()} == {"node", "gpu1"}
