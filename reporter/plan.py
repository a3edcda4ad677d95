"""Changes → the requests that make them: pure, ordered, and each prefix of them leaves Placement legal and
safe.

The order, stage by stage (requests of one stage are independent and may go at once):

1. resource classes and traits that Placement does not know yet
2. renames (also of what is to be deleted, where its name is wanted), creations top-down, moves top-down
3. inventories that lose (classes, capacity), also of what is to be deleted where others gain the same class:
   what is gone must not be handed out, nor be there twice
4. traits, then aggregates: they are there before the capacity that they describe
5. inventories that gain; or, with the role for it, all inventories at once, and then there is no 3
6. deletions, bottom-up

Generations are not part of a plan: ``apply`` fills in the ones it knows when it sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from provider_tree import Action, Change, Kind
from provider_tree.errors import UnsupportedChange
from provider_tree.inventory import capacity, complete
from reporter.names import Known
from reporter.placement.client import MICROVERSION, RESHAPER_MICROVERSION

if TYPE_CHECKING:
    from provider_tree import Provider, ProviderTree


Inventory = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Request:
    """One request to Placement.

    :ivar stage: requests with the same stage do not depend on each other
    :ivar uuids: the providers that the request writes; generations of theirs belong into the body where
                 ``conditional`` says so
    :ivar conditional: the body carries ``resource_provider_generation``
    """

    stage: int
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    uuids: tuple[str, ...] = ()
    conditional: bool = False
    microversion: str = MICROVERSION

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_reshape(self) -> bool:
        """Whether it goes to the reshaper."""
        return self.path == "/reshaper"


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests in the order in which they go."""

    requests: tuple[Request, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requests)

    def consumers(self) -> list[str]:
        """The consumers whose allocations move."""
        bodies = [each.body for each in self.requests if each.is_reshape and each.body]
        return sorted({consumer for body in bodies for consumer in body["allocations"]})

    def stages(self) -> list[list[Request]]:
        """The requests, grouped by stage."""
        groups: dict[int, list[Request]] = {}
        for request in self.requests:
            groups.setdefault(request.stage, []).append(request)
        return [groups[stage] for stage in sorted(groups)]


def make_plan(
    changes: Iterable[Change],
    current: ProviderTree,
    wanted: ProviderTree,
    missing: Known,
    *,
    atomic: bool = False,
    allocations: Mapping[str, Mapping[str, Any]] | None = None,
) -> Plan:
    """The requests for ``changes``, which lead from ``current`` to ``wanted``.

    :param missing: names that Placement has to learn first
    :param atomic: inventories of several providers go out in one ``POST /reshaper``
    :param allocations: consumers to be moved, as the reshaper takes them; None if none are
    """
    planner = _Planner(tuple(changes), current, wanted)
    planner.names(missing)
    planner.providers()
    if allocations is not None or (atomic and planner.writes_several_inventories()):
        planner.contents_at_once(allocations or {})
    else:
        planner.contents_one_by_one()
    planner.deletions()
    return Plan(tuple(planner.requests))


@dataclass
class _Planner:
    changes: tuple[Change, ...]
    current: ProviderTree
    wanted: ProviderTree
    requests: list[Request] = field(default_factory=list)
    _stage: int = 0

    def names(self, missing: Known) -> None:
        self._add(
            [self._request("PUT", f"/resource_classes/{each}") for each in sorted(missing.classes)]
            + [self._request("PUT", f"/traits/{each}") for each in sorted(missing.traits)]
        )

    def providers(self) -> None:
        """Where providers are and what they are called."""
        by_action = {
            action: [each for each in self.changes if each.kind is Kind.PROVIDER and each.action is action]
            for action in (Action.CREATE, Action.RENAME, Action.MOVE)
        }
        taken = {each.provider for each in by_action[Action.CREATE] + by_action[Action.RENAME]}
        for doomed in self._deletions():
            if doomed.provider in taken:
                # Deleting it now may be too early: its allocations or children may still have to move away.
                self._add(
                    [self._place(replace(self.current.provider(doomed.uuid), name=f"deleted {doomed.uuid}"))]
                )
        for uuid in _in_name_order(by_action[Action.RENAME], self.current):
            name = self.wanted.provider(uuid).name
            self._add([self._place(replace(self.current.provider(uuid), name=name))])
        for level in self._levels(by_action[Action.CREATE], self.wanted):
            self._add([self._create(uuid) for uuid in level])
        # Top-down: then no new parent is, for the moment, below its own child.
        for level in self._levels(by_action[Action.MOVE], self.wanted):
            self._add([self._place(self.wanted.provider(uuid)) for uuid in level])

    def writes_several_inventories(self) -> bool:
        """Whether the scheduler would see half a change, were inventories written one by one."""
        changed = self._with_new_inventory()
        return len(changed) > 1 or bool(self._passing_on(changed))

    def contents_at_once(self, allocations: Mapping[str, Mapping[str, Any]]) -> None:
        self._descriptions()
        self._add([self._reshaper(self._with_new_inventory(), allocations)])

    def contents_one_by_one(self) -> None:
        changed = self._with_new_inventory()
        gaining = [each for each in changed if self._gained(each)]
        losing = [each for each in changed if not self._gained(each)]
        gained = self._gained_of(gaining)
        losing += [self._without_gains(each) for each in gaining if self._loses_first(each, gained)]
        losing += [replace(each, inventory={}) for each in self._passing_on(gaining)]
        self._add([self._inventories(each) for each in losing])
        self._descriptions()
        self._add([self._inventories(each) for each in gaining])

    def _with_new_inventory(self) -> list[Provider]:
        return [self.wanted.provider(uuid) for uuid in _changed(self.changes, Kind.INVENTORY)]

    def _descriptions(self) -> None:
        self._add([self._traits(uuid) for uuid in _changed(self.changes, Kind.TRAITS)])
        self._add([self._aggregates(uuid) for uuid in _changed(self.changes, Kind.AGGREGATES)])

    def deletions(self) -> None:
        for level in reversed(self._levels(self._deletions(), self.current)):
            self._add(
                [self._request("DELETE", f"/resource_providers/{uuid}", uuids=(uuid,)) for uuid in level]
            )

    def _deletions(self) -> list[Change]:
        return [each for each in self.changes if each.kind is Kind.PROVIDER and each.action is Action.DELETE]

    def _levels(self, changes: list[Change], tree: ProviderTree) -> list[list[str]]:
        """The changed providers, grouped by their depth in ``tree``, top-down."""
        if not changes:
            return []
        depth = _depths(tree)
        levels: dict[int, list[str]] = {}
        for change in changes:
            levels.setdefault(depth[change.uuid], []).append(change.uuid)
        return [levels[level] for level in sorted(levels)]

    def _create(self, uuid: str) -> Request:
        body = {"uuid": uuid, **_place_body(self.wanted.provider(uuid))}
        return self._request("POST", "/resource_providers", body, uuids=(uuid,))

    def _place(self, after: Provider) -> Request:
        return self._request(
            "PUT", f"/resource_providers/{after.uuid}", _place_body(after), uuids=(after.uuid,)
        )

    def _passing_on(self, changed: list[Provider]) -> list[Provider]:
        """What is to be deleted and offers a class that another one gains."""
        gained = self._gained_of(changed)
        doomed = [self.current.provider(each.uuid) for each in self._deletions()]
        return [each for each in doomed if not gained.isdisjoint(each.inventory)]

    def _gained_of(self, changed: list[Provider]) -> set[str]:
        return {name for each in changed for name in self._gained(each)}

    def _gained(self, after: Provider) -> set[str]:
        return _more(self._had(after), after.inventory)

    def _had(self, after: Provider) -> Inventory:
        return self.current.provider(after.uuid).inventory if after.uuid in self.current else {}

    def _loses_first(self, after: Provider, gained: set[str]) -> bool:
        """Whether what a provider gains must wait until its losses have been written.

        Else another one may have gained already what this one still hands out; or, with traits changed in
        between, it hands out what no trait of it describes any more.
        """
        had = self._had(after)
        if not gained.isdisjoint(_more(after.inventory, had)):
            return True
        goes = not had.keys() <= after.inventory.keys()
        return goes and not self.current.provider(after.uuid).traits <= after.traits

    def _without_gains(self, after: Provider) -> Provider:
        """Each class with the less of what it has and what it is to have."""
        had = self._had(after)
        gained = self._gained(after)
        kept = {
            name: had[name] if name in gained else record
            for name, record in after.inventory.items()
            if name in had
        }
        return replace(after, inventory=kept)

    def _inventories(self, after: Provider) -> Request:
        body = {"inventories": _plain(after.inventory)}
        return self._conditional(after.uuid, "inventories", body)

    def _traits(self, uuid: str) -> Request:
        return self._conditional(uuid, "traits", {"traits": sorted(self.wanted.provider(uuid).traits)})

    def _aggregates(self, uuid: str) -> Request:
        return self._conditional(
            uuid, "aggregates", {"aggregates": sorted(self.wanted.provider(uuid).aggregates)}
        )

    def _reshaper(self, providers: list[Provider], allocations: Mapping[str, Mapping[str, Any]]) -> Request:
        inventories = {each.uuid: {"inventories": _plain(each.inventory)} for each in providers}
        doomed = [self.current.provider(each.uuid) for each in self._deletions()]
        inventories.update({each.uuid: {"inventories": {}} for each in doomed if each.inventory})
        if not inventories:
            # Placement wants at least one: those that the allocations are of, as they are.
            touched = {uuid for each in allocations.values() for uuid in each["allocations"]}
            inventories = {
                uuid: {"inventories": _plain(self.wanted.provider(uuid).inventory)}
                for uuid in sorted(touched)
                if uuid in self.wanted
            }
        return self._request(
            "POST",
            "/reshaper",
            {"inventories": inventories, "allocations": allocations},
            uuids=tuple(inventories),
            conditional=True,
            microversion=RESHAPER_MICROVERSION,
        )

    def _conditional(self, uuid: str, what: str, body: Mapping[str, Any]) -> Request:
        return self._request(
            "PUT", f"/resource_providers/{uuid}/{what}", body, uuids=(uuid,), conditional=True
        )

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None, **more: Any) -> Request:
        return Request(self._stage, method, path, body, **more)

    def _add(self, requests: list[Request]) -> None:
        if requests:
            self.requests.extend(requests)
            self._stage += 1


def _more(old: Inventory, new: Inventory) -> set[str]:
    """The classes of which the one inventory hands out more than the other."""
    return {name for name, record in new.items() if name not in old or capacity(record) > capacity(old[name])}


def _plain(inventory: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: complete(record) for name, record in sorted(inventory.items())}


def _place_body(provider: Provider) -> dict[str, Any]:
    return {"name": provider.name, "parent_provider_uuid": provider.parent_uuid}


def _changed(changes: Iterable[Change], kind: Kind) -> list[str]:
    """The providers with a change of that kind, each once, in order."""
    return list(dict.fromkeys(each.uuid for each in changes if each.kind is kind))


def _depths(tree: ProviderTree) -> dict[str, int]:
    depths: dict[str, int] = {}
    for provider in tree.providers():
        depths[provider.uuid] = depths.get(provider.parent_uuid or "", -1) + 1
    return depths


def _in_name_order(renames: Iterable[Change], current: ProviderTree) -> list[str]:
    """The renamed providers, a name's old holder before its new one.

    ``provider_tree.diff`` has refused cycles of names.
    """
    pending = {each.uuid: each.provider for each in renames}
    order: list[str] = []
    while pending:
        held = {current.provider(uuid).name: uuid for uuid in pending}
        free = [uuid for uuid, name in pending.items() if held.get(name, uuid) == uuid]
        if not free:
            raise UnsupportedChange(
                f"{', '.join(sorted(pending.values()))}: these names go round in a circle"
            )
        order.extend(free)
        for uuid in free:
            del pending[uuid]
    return order
