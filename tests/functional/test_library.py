"""The library, as a program that is not our command line uses it."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import drivers
import provider_tree
import reporter
from reporter.errors import ConfigurationError
from reporter.placement.errors import NotFound
from tests.functional.drivers import TreeDriver, host_tree
from tests.functional.reporting import reporter_for


@pytest.mark.parametrize("package", [reporter, drivers, provider_tree])
def test_public_names_are_there_and_documented(package: ModuleType) -> None:
    assert package.__all__
    for name in package.__all__:
        public = getattr(package, name)
        assert not callable(public) or inspect.getdoc(public), name


def test_a_tree_is_read_by_any_of_its_names_and_uuids(placement: Any) -> None:
    root = placement.add_provider("host")
    child = placement.add_provider("gpu", root)
    placement.set_inventory(child, {"VGPU": 4})
    client = reporter.connect(url=placement.url)
    for known, requests in ((root, 1), ("host", 2), (child, 1), ("gpu", 2)):
        placement.requests.clear()
        tree = reporter.read_tree(client, known)
        assert [each.name for each in tree.providers()] == ["host", "gpu"]
        assert tree.provider("gpu").inventory["VGPU"]["total"] == 4
        assert len(placement.requests) == requests + 2 * 3


def test_a_uuid_may_be_the_name_of_another(placement: Any) -> None:
    """As Ironic's nodes are named."""
    name = "5c7e0c3e-0f0c-4c8a-9d0b-6a4f0e1d7a52"
    placement.add_provider(name)
    assert len(reporter.read_tree(reporter.connect(url=placement.url), name)) == 1


@pytest.mark.parametrize("unknown", ["compute-1", "5c7e0c3e-0f0c-4c8a-9d0b-6a4f0e1d7a52", "", "a&b=c"])
def test_what_placement_does_not_have_is_not_found(placement: Any, unknown: str) -> None:
    placement.add_provider("node")
    with pytest.raises(NotFound, match=f"has no provider {unknown}"):
        reporter.read_tree(reporter.connect(url=placement.url), unknown)


def test_one_placement_is_named_in_one_way() -> None:
    for given in ({}, {"cloud": "a", "url": "http://127.0.0.1"}):
        with pytest.raises(TypeError, match="exactly one"):
            reporter.connect(**given)


def test_only_nodes_of_the_driver_are_reported(placement: Any, tmp_path: Path) -> None:
    with reporter_for(TreeDriver(host_tree()), placement.url, tmp_path) as mine:
        for call in (mine.diff, mine.sync):
            with pytest.raises(ConfigurationError, match="no node 'nod'") as caught:
                call("nod")
            assert caught.value.advice == "it has node"
    assert not placement.requests
