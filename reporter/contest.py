"""Two writers who want different things: after three rounds we leave the record alone, instead of a war.

A record is a class of an inventory, a single trait or aggregate, or a provider's being there, its name or
its place. Rounds are kept in the state directory, so that those of single ``sync`` runs count as those of the
service do, and ``diff`` knows of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from provider_tree import Action, Change, Kind
from reporter.errors import StateError
from reporter.policy import Held

if TYPE_CHECKING:
    from reporter.state.directory import StateDirectory
    from reporter.state.ledger import Ledger

ROUNDS = 3
WHY = f"another writer changed it back on {ROUNDS} cycles in a row"

_FORMAT_VERSION = 1
_MEMBERS = (Kind.TRAITS, Kind.AGGREGATES)


class Contest:
    """Counts the cycles in a row that made the very same change to what we had set, each undone by others.

    A record is taken up again when the driver wants something else, or somebody else sets what we want.
    """

    def __init__(self) -> None:
        self._rounds: dict[str, int] | None = None
        self._saved: dict[str, int] = {}

    def load(self, state: StateDirectory, node: str) -> None:
        """Go on from what another process has counted; a file that cannot be used counts for nothing."""
        if self._rounds is not None:
            return
        try:
            rounds = (state.read(state.node_file(node, "contest")) or {}).get("rounds", {})
            self._rounds = {str(key): int(count) for key, count in rounds.items()}
        except (StateError, AttributeError, TypeError, ValueError):
            self._rounds = {}
        self._saved = self._rounds

    def save(self, state: StateDirectory, node: str) -> None:
        """Keep the rounds, where they are others than before.

        :raises reporter.errors.StateError: the state directory cannot be written
        """
        rounds = self._rounds or {}
        if rounds != self._saved:
            state.write(
                state.node_file(node, "contest"), {"format_version": _FORMAT_VERSION, "rounds": rounds}
            )
            self._saved = rounds

    def left_alone(self, changes: Iterable[Change]) -> list[Held]:
        """The changes that have been made and undone too often; of traits, only of those traits."""
        rounds = self._rounds or {}
        held = []
        for change in changes:
            contested = {item for item in _items(change) if rounds.get(_key(change, item), 0) >= ROUNDS}
            if contested:
                held.append(Held(_only(change, contested), WHY))
        return held

    def made(self, changes: Iterable[Change], held: Iterable[Held], ledger: Ledger) -> None:
        """Remember what a cycle made; what it neither made nor left alone is settled.

        :param ledger: as it was before: to set something for the first time is no round
        """
        rounds = self._rounds or {}
        made = {
            key: rounds.get(key, 0) + 1
            for change in changes
            for item in _items(change)
            if _had_been_set(change, item, ledger)
            for key in [_key(change, item)]
        }
        keys = [_key(each.change, item) for each in held for item in _items(each.change)]
        self._rounds = made | {key: rounds[key] for key in keys if key in rounds}


def _items(change: Change) -> Iterator[str]:
    """What a change is about, one by one: ``+TRAIT`` and ``-TRAIT``, or all of it as ""."""
    if change.kind in _MEMBERS:
        before, after = set(change.before or ()), set(change.after or ())
        yield from (f"+{each}" for each in sorted(after - before))
        yield from (f"-{each}" for each in sorted(before - after))
    elif change.kind is not Kind.ALLOCATIONS:
        yield ""


def _key(change: Change, item: str) -> str:
    what = item or json.dumps([change.action, change.resource_class, change.after], sort_keys=True)
    return f"{change.uuid} {change.kind} {what}"


def _only(change: Change, items: set[str]) -> Change:
    """The change of these members alone."""
    if change.kind not in _MEMBERS:
        return change
    before = set(change.before or ())
    after = before | {each[1:] for each in items if each[0] == "+"}
    after -= {each[1:] for each in items if each[0] == "-"}
    return replace(change, after=sorted(after) or None)


def _had_been_set(change: Change, item: str, ledger: Ledger) -> bool:
    entry = ledger.entry(change.uuid)
    if change.kind in _MEMBERS:
        ours = getattr(entry, change.kind.value, ())
        return item[0] == "-" or item[1:] in ours
    if change.action is not Action.CREATE:
        return True
    return entry is not None and (change.kind is Kind.PROVIDER or change.resource_class in entry.classes)
