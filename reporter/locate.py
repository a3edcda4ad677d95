"""Finding a node's tree in Placement: which root it is, and what is there, with as few requests as can be."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reporter import identity
from reporter.errors import IdentityError
from reporter.placement.snapshot import Snapshot, read_snapshot
from reporter.state.cache import load_snapshot
from reporter.state.ledger import former_name, load_ledger

if TYPE_CHECKING:
    from reporter.context import Context, NodeMemory
    from reporter.state.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Locator:
    """Looks for one node.

    :ivar progress: called with the number of providers read and to be read
    """

    context: Context
    memory: NodeMemory
    node: str
    progress: Callable[[int, int], None] | None = None

    def ledger(self) -> Ledger:
        """The node's ledger. A host that was renamed goes on with the one that it had under its old name."""
        state = self.context.state
        stored = self.memory.ledger.load(state, self.node)
        if stored.root_uuid is not None:
            return stored
        is_alone = self.context.driver.get_available_nodes() == [self.node]
        former = former_name(
            state, self.node, self._uuid_told(), self.context.driver_name if is_alone else None
        )
        if former is None:
            return stored
        self.memory.renamed_from = former
        return replace(load_ledger(state, former), node=self.node)

    def find_tree(self, ledger: Ledger, *, take_name_holder: bool) -> tuple[identity.Root, Snapshot]:
        """The node's root and what Placement has of its tree.

        :param take_name_holder: where the name belongs to a provider with another uuid, take that one
        :raises AdoptionNeeded: there is one, and it may not be taken
        :raises IdentityError: what the host says of itself contradicts what Placement has
        """
        told = self._uuid_told()
        identity.check_told(ledger, told)
        new_uuid = self.context.driver.new_node_uuid(self.node)
        root = identity.find_root(self.context.client, self.node, ledger, told, new_uuid)
        snapshot = self.snapshot(root)
        if root.uuid in snapshot.tree:
            if not self._is_another_node_s(root, snapshot):
                identity.check_is_root(snapshot, root)
                return root, snapshot
            root = identity.Root(self.node, str(uuid.uuid4()), name_looked_up=True)
            snapshot = self.snapshot(root)
        holder = identity.name_holder(self.context.client, root)
        if holder is not None:
            taken = identity.name_is_taken(root, holder, told)
            if isinstance(taken, IdentityError) or not take_name_holder:
                raise taken
            root = identity.Root(self.node, holder.uuid, name_looked_up=True)
            snapshot = self.snapshot(root)
            identity.check_is_root(snapshot, root)
            return root, snapshot
        if self.context.settings.manage == "children":
            raise IdentityError(
                f"Placement has no provider {root.node}, and [reporter] manage = children makes no root",
                "start nova-compute on this host first, or set [reporter] manage = tree",
            )
        return root, snapshot

    def _is_another_node_s(self, root: identity.Root, snapshot: Snapshot) -> bool:
        """Whether a uuid made of a free name is in use: a node of ours that was called so took it along."""
        if not root.name_looked_up or snapshot.tree.provider(root.uuid).name == self.node:
            return False
        state = self.context.state
        others = (each for each in state.nodes() if each != self.node)
        return any(load_ledger(state, each).root_uuid == root.uuid for each in others)

    def snapshot(self, root: identity.Root) -> Snapshot:
        """The tree of that root, read as far as it has moved since it was last read."""
        memory, now = self.memory, time.time()
        previous = memory.snapshot
        if previous is None:
            max_age = self.context.settings.full_refresh_interval
            kept = load_snapshot(self.context.state, self.node, root.uuid, self.context.client.label, max_age)
            if kept is not None:
                previous, memory.read_at = kept
                memory.keeper.is_saved(previous)
                memory.refresh_at = memory.read_at + self._refresh_interval()
        # Before it was read: the clock has been set back, and the time of the next reading means nothing.
        is_due = not memory.read_at <= now < memory.refresh_at
        is_full = previous is None or previous.root_uuid != root.uuid or is_due
        if is_full:
            self.context.names.ask_again()
        memory.snapshot = read_snapshot(
            self.context.client,
            root.uuid,
            None if is_full else previous,
            self.context.executor,
            self.progress,
        )
        if is_full:  # one that failed is still due
            memory.read_at, memory.refresh_at = now, now + self._refresh_interval()
        return memory.snapshot

    def _refresh_interval(self) -> float:
        return self.context.settings.full_refresh_interval * random.uniform(0.9, 1.1)  # noqa: S311 - jitter

    def _uuid_told(self) -> str | None:
        return identity.uuid_told(self.context.driver, self.node)
