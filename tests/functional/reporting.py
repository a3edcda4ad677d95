"""Reporters for tests, and what Placement must have when they are done."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from keystoneauth1.adapter import Adapter
from keystoneauth1.noauth import NoAuth
from keystoneauth1.session import Session

from drivers.base import ComputeDriver
from provider_tree import ProviderTree
from provider_tree.inventory import complete, same
from reporter.placement.client import PlacementClient
from reporter.settings import Settings
from reporter.state.directory import StateDirectory
from reporter.sync import Reporter
from tests.functional.drivers import contents

MARKER = "CUSTOM_OWNER_PLACEMENT_REPORTER"


def client_for(
    url: str,
    roles: str = "admin,service",
    timeout: float | None = 30,
    label: str = "the Placement of this test",
) -> PlacementClient:
    """A client as the command line makes it for ``--placement URL``."""
    session = Session(auth=NoAuth(endpoint=url), timeout=timeout)
    return PlacementClient(
        Adapter(
            session,
            service_type="placement",
            endpoint_override=url,
            additional_headers={"X-Auth-Token": "admin", "X-Roles": roles},
        ),
        label=label,
    )


def reporter_for(
    driver: ComputeDriver,
    url: str,
    state: Path,
    *,
    roles: str = "admin,service",
    timeout: float | None = 30,
    **settings: Any,
) -> Reporter:
    """A reporter with one connection, unless ``settings`` say otherwise."""
    client = client_for(url, roles, timeout)
    return Reporter(driver, client, StateDirectory(state), Settings(**{"connections": 1, **settings}))


def assert_is(
    placement: Any,
    wanted: ProviderTree,
    *,
    not_marked: Iterable[str] = (),
    besides: Sequence[str] = (),
) -> None:
    """Placement has exactly these providers, each but those of ``not_marked`` with our marker trait.

    :param besides: names of providers that are not looked at
    """
    found = {name: each for name, each in placement.tree().items() if name not in besides}
    expected = contents(wanted)
    assert found.keys() == expected.keys()
    for name, each in expected.items():
        marker = set() if name in not_marked else {MARKER}
        assert_same_inventory(found[name]["inventory"], each["inventory"])
        is_now = {**found[name], "inventory": None}
        assert is_now == {**each, "inventory": None, "traits": sorted({*each["traits"], *marker})}


def assert_same_inventory(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Two inventories are one to Placement."""
    assert found.keys() == expected.keys()
    for name, record in expected.items():
        assert same(found[name], record), (name, complete(found[name]), complete(record))


class Database:
    """The database of a Placement that runs, to be kept and put back: quicker than another Placement."""

    def __init__(self, placement: Any) -> None:
        self._path = placement._application._state.manager.writer.get_engine().url.database

    def save(self) -> bytes:
        with closing(sqlite3.connect(self._path)) as live:
            return live.serialize()

    def restore(self, content: bytes) -> None:
        with closing(sqlite3.connect(":memory:")) as kept, closing(sqlite3.connect(self._path)) as live:
            kept.deserialize(content)
            kept.backup(live)
