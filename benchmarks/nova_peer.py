"""Nova 34's SchedulerReportClient as nova-compute uses it: ``python -m benchmarks.nova_peer URL``."""

from __future__ import annotations

import logging
import sys
from typing import Any

import nova.conf
from keystoneauth1.loading import get_plugin_loader
from nova import context
from nova.scheduler.client.report import SchedulerReportClient

from benchmarks.peer_loop import serve
from benchmarks.work import Work, move_vgpus, restate

CONF = nova.conf.CONF


class NovaPeer:
    """Does what ResourceTracker._update_to_placement does to Placement, with a driver that restates all."""

    def __init__(self, url: str) -> None:
        configure(url)
        self._context = context.get_admin_context()
        self._tree: Any = None
        self._client: Any = None
        self._work = Work([])

    def begin(self, work: Work) -> None:
        self._work = work
        self.restart()

    def wish(self, work: Work) -> None:
        self._work = work

    def restart(self) -> None:
        self._client = SchedulerReportClient()
        # By default policy the reshaper is for role "service"; noauth2 takes the roles from this header.
        self._client._client.session.additional_headers["X-Roles"] = "admin,service"  # noqa: SLF001 - no other way

    def expire(self) -> None:
        limit = CONF.compute.resource_provider_association_refresh
        for uuid in self._client._association_refresh_time:  # noqa: SLF001 - five minutes are long to wait
            self._client._association_refresh_time[uuid] -= limit + 1  # noqa: SLF001 - the same

    def cycle(self, as_every_minute: bool) -> None:
        root, moving = self._work.root, bool(self._work.move_vgpus_to)
        client = self._client
        tree = client.get_provider_subtree_and_ensure_root(self._context, root.uuid, name=root.name)
        allocations: dict[str, Any] = {}
        if as_every_minute or moving:
            allocations = client.get_allocations_for_provider_tree(self._context, root.name)
        restate(tree, self._work)
        if moving:
            move_vgpus(self._work, allocations)
        client.update_from_provider_tree(self._context, tree, allocations=allocations if moving else None)
        self._tree = tree

    def traits_seen(self, uuid: str) -> list[str]:
        return sorted(self._tree.data(uuid).traits)


def configure(url: str) -> None:
    CONF([], project="nova", default_config_files=[])
    CONF.set_override("auth_type", "admin_token", "placement")
    options = [option._to_oslo_opt() for option in get_plugin_loader("admin_token").get_options()]  # noqa: SLF001
    CONF.register_opts(options, group="placement")
    CONF.set_override("endpoint", url, "placement")
    CONF.set_override("token", "admin", "placement")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    serve(NovaPeer(sys.argv[1]))
