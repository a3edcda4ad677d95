"""The last snapshot of a node, kept so that a restart with nothing changed costs one request.

It is a cache: absent, unreadable, of another Placement or of another release, it is as if there were none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from provider_tree import Provider, ProviderTree
from reporter.errors import StateError
from reporter.placement.snapshot import Snapshot

if TYPE_CHECKING:
    from reporter.state.directory import StateDirectory

FORMAT_VERSION = 1

_SAVED_EVERY = 600.0  # seconds, in the service


class SnapshotKeeper:
    """Saves the snapshots of a node as they come: only new ones, and in the service not each of them.

    What is not saved when the process is killed costs three requests for each provider that moved meanwhile.
    """

    def __init__(self) -> None:
        self._saved: Snapshot | None = None
        self._saved_at = float("-inf")
        self._pending: Callable[[], None] | None = None

    def is_saved(self, snapshot: Snapshot) -> None:
        """That one was read from the state directory."""
        self._saved = snapshot

    def keep(
        self,
        state: StateDirectory,
        node: str,
        snapshot: Snapshot,
        endpoint: str,
        read_at: float,
        *,
        at_once: bool,
    ) -> None:
        """Save the snapshot, now or later; see ``save_snapshot``.

        :param at_once: now; otherwise when the last saving is some minutes ago, or at ``flush``
        """
        if snapshot is not self._saved:
            self._saved = snapshot
            self._pending = partial(save_snapshot, state, node, snapshot, endpoint, read_at)
        if at_once or time.monotonic() - self._saved_at >= _SAVED_EVERY:
            self.flush()

    def flush(self) -> None:
        """Save what has been put off.

        :raises reporter.errors.StateError: the state directory cannot be written
        """
        if self._pending is not None:
            self._pending()
            self._pending, self._saved_at = None, time.monotonic()


def save_snapshot(
    state: StateDirectory, node: str, snapshot: Snapshot, endpoint: str, read_at: float
) -> None:
    """Keep the snapshot.

    :param endpoint: the URL of the Placement that it was read from
    :param read_at: seconds since the epoch of the last full reading
    """
    providers = [
        [
            each.uuid,
            each.name,
            each.generation,
            each.parent_uuid,
            {name: dict(record) for name, record in each.inventory.items()},
            sorted(each.traits),
            sorted(each.aggregates),
        ]
        for each in snapshot.tree.providers()
        if each.generation is not None
    ]
    state.write(
        state.node_file(node, "snapshot"),
        {
            "format_version": FORMAT_VERSION,
            "endpoint": endpoint,
            "root_uuid": snapshot.root_uuid,
            "read_at": read_at,
            "providers": providers,
        },
    )


def load_snapshot(
    state: StateDirectory, node: str, uuid: str, endpoint: str, max_age: float
) -> tuple[Snapshot, float] | None:
    """The kept snapshot and when it was fully read; None if it does not serve.

    :param uuid: of the root that is wanted
    :param max_age: seconds
    """
    try:
        document = state.read(state.node_file(node, "snapshot"))
        if document is None or not _serves(document, uuid, endpoint, max_age):
            return None
        tree = ProviderTree.from_providers(_provider(each) for each in document["providers"])
        return Snapshot(document["root_uuid"], tree), float(document["read_at"])
    except (StateError, LookupError, TypeError, ValueError, AttributeError):
        return None


def _serves(document: dict[str, Any], uuid: str, endpoint: str, max_age: float) -> bool:
    age = time.time() - float(document["read_at"])
    return (
        document["format_version"] == FORMAT_VERSION
        and document["endpoint"] == endpoint
        and document["root_uuid"] == uuid
        and 0 <= age <= max_age
    )


def _provider(fields: list[Any]) -> Provider:
    uuid, name, generation, parent_uuid, inventory, traits, aggregates = fields
    return Provider(
        uuid, name, int(generation), parent_uuid, inventory, frozenset(traits), frozenset(aggregates)
    )
