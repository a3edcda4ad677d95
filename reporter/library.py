"""What a program that is not our command line starts with: a Placement, and the tree of a host in it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from provider_tree.lint import is_uuid
from reporter import auth
from reporter.placement import errors
from reporter.placement.client import PlacementClient
from reporter.placement.snapshot import read_snapshot

if TYPE_CHECKING:
    from keystoneauth1.session import Session

    from provider_tree import ProviderTree
    from reporter.options import Configuration

_CONNECTIONS = 4


def connect(
    *,
    cloud: str | None = None,
    conf: Configuration | None = None,
    session: Session | None = None,
    url: str | None = None,
) -> PlacementClient:
    """A client for one Placement. Nothing is sent before it is used.

    :param cloud: a name in clouds.yaml, read by openstacksdk
    :param conf: what ``load_config`` gave: ``[placement]`` names the Placement
    :param session: a keystoneauth1 session, whose catalog has Placement
    :param url: of a Placement without authentication, for tests and loopback
    :raises TypeError: not exactly one of them is given
    :raises reporter.errors.ConfigurationError: what is given does not name a Placement
    """
    given = [each for each in (cloud, conf, session, url) if each is not None]
    if len(given) != 1:
        raise TypeError("connect() takes exactly one of cloud, conf, session and url")
    if cloud is not None:
        return PlacementClient(auth.adapter_from_cloud(cloud))
    if conf is not None:
        return PlacementClient(auth.adapter_from_conf(conf))
    if session is not None:
        return PlacementClient(auth.adapter_from_session(session))
    return PlacementClient(auth.adapter_from_url(url or ""))


def read_tree(
    placement: PlacementClient, name_or_uuid: str, *, connections: int = _CONNECTIONS
) -> ProviderTree:
    """The whole tree in Placement that a provider is part of, with inventories, traits and aggregates.

    1 request by uuid, 2 by name, and 3 a provider, several at once.

    :param name_or_uuid: of any provider of the tree; what can be both is a uuid
    :raises reporter.placement.errors.NotFound: there is no such provider
    :raises reporter.placement.errors.PlacementError: see that module
    """
    with ThreadPoolExecutor(connections, thread_name_prefix="placement") as executor:
        if is_uuid(name_or_uuid):
            tree = read_snapshot(placement, name_or_uuid, None, executor).tree
            if len(tree):
                return tree
        found = placement.find_provider(name_or_uuid)
        if found is not None:
            return read_snapshot(placement, found.uuid, None, executor).tree
    raise errors.NotFound(
        f"Placement has no provider {name_or_uuid}", "check the name, and which Placement it is"
    )
