"""The order in which changes can be made.

Placement refuses a provider whose name is taken or whose parent is not there, and the deletion of one that
has children. The plain order (parents first, deletions last and children first) heeds all that, except where
a name passes from one provider to another. A provider that takes the name of one that is to go comes after
that, unless what goes has children that move to the new one: then it goes last, under another name.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence

from .change import Action, Change, Kind
from .errors import UnsupportedChange
from .provider import Provider

Providers = Mapping[str, Provider]
Edge = tuple[int, int]

_PLACED = (Action.CREATE, Action.MOVE)
_NAMED = (Action.CREATE, Action.RENAME)


def top_down(uuids: Collection[str], providers: Providers) -> list[str]:
    """These of the providers, parents before children and siblings by name.

    Only they and what is above them is visited.
    """
    below: dict[str | None, list[str]] = {}
    seen = set()
    for each in uuids:
        uuid: str | None = each
        while uuid is not None and uuid not in seen:
            seen.add(uuid)
            parent = providers[uuid].parent_uuid
            below.setdefault(parent, []).append(uuid)
            uuid = parent
    ordered = []
    stack: list[str | None] = [None]
    while stack:
        uuid = stack.pop()
        if uuid is not None and uuid in uuids:
            ordered.append(uuid)
        stack.extend(sorted(below.get(uuid, ()), key=lambda kid: providers[kid].name, reverse=True))
    return ordered


def in_legal_order(changes: Sequence[Change], before: Providers, after: Providers) -> Sequence[Change]:
    """The changes, given in the plain order, in one in which Placement takes them all.

    :raises UnsupportedChange: if there is none, or if a provider and one below it trade places
    """
    places = [change for change in changes if change.kind is Kind.PROVIDER]
    _refuse_inversions(places, before, after)
    holder = {provider.name: uuid for uuid, provider in before.items()}
    if not any(_takes(change, holder) for change in places):
        return changes
    named, placed = list(_name_edges(changes, holder)), list(_place_edges(changes, before, after))
    try:
        return _sorted(changes, [*named, *placed], before, after)
    except UnsupportedChange:
        # What goes, but not before its children have moved away, can have any name until then.
        kept = [edge for edge in named if changes[edge[0]].action is not Action.DELETE]
        if len(kept) == len(named):
            raise
        return _sorted(changes, [*kept, *placed], before, after)


def _takes(change: Change, holder: Mapping[str, str]) -> bool:
    """Whether a change gives a provider a name that another has."""
    return change.action in _NAMED and holder.get(change.provider, change.uuid) != change.uuid


def _refuse_inversions(places: Sequence[Change], before: Providers, after: Providers) -> None:
    for change in places:
        if change.action is not Action.MOVE:
            continue
        for above in _ancestors(change.uuid, after):
            if above in before and change.uuid in _ancestors(above, before):
                raise UnsupportedChange(
                    f"{change.provider} and {after[above].name} would trade places:"
                    f" {before[above].name} is below {before[change.uuid].name} and would be above it",
                    "move one of them elsewhere first, and to its place when that is done",
                )


def _ancestors(uuid: str, providers: Providers) -> Iterator[str]:
    parent = providers[uuid].parent_uuid
    while parent is not None:
        yield parent
        parent = providers[parent].parent_uuid


def _name_edges(changes: Sequence[Change], holder: Mapping[str, str]) -> Iterator[Edge]:
    """A name is given up before it is taken."""
    gives_up = {
        change.uuid: index
        for index, change in enumerate(changes)
        if change.kind is Kind.PROVIDER and change.action in (Action.RENAME, Action.DELETE)
    }
    for index, change in enumerate(changes):
        if change.kind is Kind.PROVIDER and _takes(change, holder):
            yield gives_up[holder[change.provider]], index


def _place_edges(changes: Sequence[Change], before: Providers, after: Providers) -> Iterator[Edge]:
    """A provider comes before what it holds and what is put below it; children go before their parents."""
    placed: dict[str, int] = {}
    deleted: dict[str, int] = {}
    for index, change in enumerate(changes):
        if change.kind is not Kind.PROVIDER:
            if change.uuid not in before:
                yield placed[change.uuid], index
        elif change.action in _PLACED:
            placed[change.uuid] = index
        elif change.action is Action.DELETE:
            deleted[change.uuid] = index
    for uuid, index in placed.items():
        above = after[uuid].parent_uuid
        if above is not None and above not in before:
            yield placed[above], index
    for uuid, provider in before.items():
        if provider.parent_uuid in deleted:
            yield deleted[uuid] if uuid in deleted else placed[uuid], deleted[provider.parent_uuid]


def _sorted(
    changes: Sequence[Change], edges: Collection[Edge], before: Providers, after: Providers
) -> list[Change]:
    """The changes with the first of each edge before the second, and otherwise nearly as they were.

    A move that would put a provider below itself waits until the other move is made that keeps it from that.
    """
    later: dict[int, list[int]] = {}
    waits_for = [0] * len(changes)
    for first, second in edges:
        later.setdefault(first, []).append(second)
        waits_for[second] += 1
    ready = [index for index, count in enumerate(waits_for) if not count]
    parents = {uuid: provider.parent_uuid for uuid, provider in before.items()}
    done: dict[int, Change] = {}
    held: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        change = changes[index]
        if change.kind is Kind.PROVIDER and change.action in _PLACED:
            parent = after[change.uuid].parent_uuid
            if change.uuid in _chain(parent, parents):
                held.append(index)
                continue
            parents[change.uuid] = parent
            while held:
                heapq.heappush(ready, held.pop())
        done[index] = change
        for second in later.get(index, ()):
            waits_for[second] -= 1
            if not waits_for[second]:
                heapq.heappush(ready, second)
    if len(done) < len(changes):
        raise _no_order(changes, {second: first for first, second in sorted(edges) if first not in done})
    return list(done.values())


def _chain(uuid: str | None, parents: Mapping[str, str | None]) -> Iterator[str]:
    while uuid is not None:
        yield uuid
        uuid = parents[uuid]


def _no_order(changes: Sequence[Change], waits_for: Mapping[int, int]) -> UnsupportedChange:
    """What to say of changes each of which waits for another."""
    index = min(waits_for)
    path: list[int] = []
    while index in waits_for and index not in path:
        path.append(index)
        index = waits_for[index]
    start = path.index(index) if index in path else 0
    cycle = "; ".join(str(changes[each]) for each in reversed(path[start:]))
    return UnsupportedChange(
        f"each of these changes needs another one made first: {cycle}",
        "give one of the providers a name that is free first, and the name it is to have when that is done",
    )
