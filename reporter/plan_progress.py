"""How far a saved plan has been carried out: what its requests write, compared with what Placement has now.

A record of a provider that the plan touches is no surprise if it is as the plan found it, or as one of the
plan's requests leaves it: a plan may have stopped half-way. Any other is somebody else's change. Requests go
stage by stage, so nothing of a later stage can have been made while something of an earlier one has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provider_tree import inventory
from reporter.errors import StalePlan
from reporter.reshape import resources_of

if TYPE_CHECKING:
    from provider_tree import Provider
    from reporter.plan import Request

Record = tuple[str, str]
"""``place``, ``inventories``, ``traits`` or ``aggregates`` and the provider's uuid; ``allocations`` and the
consumer's."""

_OF_A_PROVIDER = ("place", "inventories", "traits", "aggregates")


def written(request: Request) -> dict[Record, Any]:
    """What the request makes of which records; of none, if it creates a trait or a class.

    A place is (name, parent uuid), or None for no provider.

    :raises ValueError: no plan has such a request; or LookupError, AttributeError, TypeError
    """
    body = request.body or {}
    match request.method, request.path.strip("/").split("/"):
        case "DELETE", ["resource_providers", uuid]:
            return {("place", uuid): None}
        case ("POST", ["resource_providers"]) | ("PUT", ["resource_providers", _]):
            uuid = body.get("uuid") or request.uuids[0]
            return {("place", uuid): (body["name"], body["parent_provider_uuid"])}
        case "PUT", ["resource_providers", uuid, "inventories" | "traits" | "aggregates" as what]:
            return {(what, uuid): dict(body[what]) if what == "inventories" else frozenset(body[what])}
        case "POST", ["reshaper"]:
            inventories = {uuid: dict(each["inventories"]) for uuid, each in body["inventories"].items()}
            allocations = {uuid: _held(each) for uuid, each in body["allocations"].items()}
            return {("inventories", uuid): each for uuid, each in inventories.items()} | {
                ("allocations", uuid): each for uuid, each in allocations.items()
            }
        case "PUT", ["traits" | "resource_classes", _]:
            return {}
    raise ValueError(f"{request} is not a request of a plan")


def records(
    providers: Mapping[str, Provider], consumers: Mapping[str, Mapping[str, Any]]
) -> dict[Record, Any]:
    """All records of these providers and consumers, as ``written`` has them."""
    found: dict[Record, Any] = {}
    for uuid, each in providers.items():
        values = ((each.name, each.parent_uuid), dict(each.inventory), each.traits, each.aggregates)
        found.update({(what, uuid): value for what, value in zip(_OF_A_PROVIDER, values, strict=True)})
    found.update({("allocations", uuid): _held(each) for uuid, each in consumers.items()})
    return found


def refuse_contradiction(
    requests: Iterable[Request], before: Mapping[Record, Any], after: Mapping[Record, Any]
) -> None:
    """See that the requests lead from the one to the other, and name what they write.

    :param after: without the allocations, of which only the requests tell what they are to be
    :raises ValueError: somebody has edited the plan
    """
    made = dict(before)
    for request in requests:
        values = written(request)
        if {uuid for what, uuid in values if what in _OF_A_PROVIDER} != set(request.uuids):
            raise ValueError(f"{request} does not write what it says that it writes")
        for record, value in values.items():
            if record[0] == "allocations" and record not in before:
                raise ValueError(f"{request} moves consumer {record[1]}, of which nothing else is said")
            made[record] = value
            if record[0] == "place" and value is None:
                for each in _OF_A_PROVIDER:
                    made.pop((each, record[1]), None)
    for record in {*made, *after}:
        what, uuid = record
        absent = _ABSENT.get(what)
        if what in _OF_A_PROVIDER and not _same(record, made.get(record, absent), after.get(record, absent)):
            raise ValueError(f"its requests do not make the {what} of provider {uuid} that it says they make")


@dataclass
class Progress:
    """Compares the requests of a plan with the records that it found and those of now.

    :param before: records of what the plan touches, as they were; of a provider to be made there are none
    :param now: the same as they are
    :param names: provider uuid → what people call it
    :param ours: whether we made a provider, of which the plan said that it is to be made
    """

    requests: Iterable[Request]
    before: Mapping[Record, Any]
    now: Mapping[Record, Any]
    names: Mapping[str, str]
    ours: Callable[[str], bool]
    _values: dict[Record, list[Any]] = field(default_factory=dict)
    _steps: list[tuple[Request, dict[Record, int]]] = field(default_factory=list)

    def remaining(self) -> list[Request]:
        """The requests that have not been made yet, those that only create names included; none if all have.

        :raises StalePlan: a record is neither as it was nor as the plan leaves it, or got there otherwise
        """
        self._follow()
        reached = {record: self._reached(record) for record in self._values}
        made = {id(request): self._is_made(steps, reached) for request, steps in self._steps if steps}
        open_stages = [request.stage for request, steps in self._steps if steps and not made[id(request)]]
        for request, steps in self._steps:
            if open_stages and made.get(id(request)) and request.stage > min(open_stages):
                raise self._stale(next(iter(steps)))
        if made and not open_stages:
            return []
        return [request for request, _ in self._steps if not made.get(id(request))]

    def _follow(self) -> None:
        """Find the values that each record has one after the other."""
        self._values = {record: [value] for record, value in self.before.items()}
        for request in self.requests:
            steps = {}
            for record, value in written(request).items():
                values = self._values_of(record)
                if not _same(record, values[-1], value):
                    values.append(value)
                    steps[record] = len(values) - 1
            self._steps.append((request, steps))

    def _values_of(self, record: Record) -> list[Any]:
        what, uuid = record
        if what == "place" and record not in self._values:
            self._values.update({(each, uuid): [_ABSENT.get(each)] for each in _OF_A_PROVIDER})
        return self._values.setdefault(record, [_ABSENT.get(what)])

    def _reached(self, record: Record) -> int:
        """Which of a record's values it has now."""
        values = self._values[record]
        what, uuid = record
        place = ("place", uuid)
        if what in _OF_A_PROVIDER[1:] and place not in self.now and None in self._values.get(place, ()):
            # Not made yet, or gone as it should be: ``place`` tells.
            return 0 if place not in self.before else len(values) - 1
        value = self.now.get(record, _ABSENT.get(what))
        if record == place and value is not None and record not in self.before and not self.ours(uuid):
            raise self._stale(record)
        reached = next((at for at in reversed(range(len(values))) if _same(record, values[at], value)), None)
        if reached is None:
            raise self._stale(record)
        return reached

    def _is_made(self, steps: Mapping[Record, int], reached: Mapping[Record, int]) -> bool:
        made = [record for record, step in steps.items() if reached[record] >= step]
        if made and len(made) < len(steps):
            raise self._stale(made[0])  # the reshaper makes all or nothing
        return bool(made)

    def _stale(self, record: Record) -> StalePlan:
        what, uuid = record
        if what == "allocations":
            return stale(f"the allocations of consumer {uuid} have changed")
        name = self.names.get(uuid, uuid)
        was, now = self.before.get(("place", uuid)), self.now.get(("place", uuid))
        if what == "place" and was is None:
            return stale(f"provider {name} exists by now")
        if was and not now:
            return stale(f"provider {name} is gone")
        if was and now and what == "place":
            what = "name" if was[0] != now[0] else "parent"
        what = "inventory" if what == "inventories" else what
        return stale(f"{what} of provider {name} changed since")


def stale(what: str) -> StalePlan:
    """The refusal of a plan."""
    return StalePlan(f"the plan no longer fits: {what}", "look again and make a new one with diff --out FILE")


_ABSENT: Mapping[str, Any] = {"inventories": {}, "traits": frozenset(), "aggregates": frozenset()}


def _held(allocation: Mapping[str, Any]) -> tuple[Any, ...]:
    return allocation["project_id"], allocation["user_id"], resources_of(allocation)


def _same(record: Record, one: Any, other: Any) -> bool:
    if record[0] != "inventories":
        return bool(one == other)
    return one.keys() == other.keys() and all(inventory.same(one[name], other[name]) for name in one)
