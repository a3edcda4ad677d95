"""Where each value comes from, and what lost: for ``explain``, and in a few words for each change of a
``diff``.

Drivers tell through ``provider_tree.note``. What they do not tell is found from the ways a value can come
about: the driver set it, it is Placement's default, or somebody else put it there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from provider_tree import Action, Change, Changes, Kind, Source
from provider_tree.inventory import FIELDS, complete, same, same_value
from reporter.state.ledger import Ledger

if TYPE_CHECKING:
    from provider_tree import Provider, ProviderTree
    from reporter.policy import Held
    from reporter.report import Report
    from reporter.settings import Manage

_OTHERS = Source("placement", "kept from Placement: somebody else set it")
_BEFORE_US = Source("placement", "kept from Placement: it was there before us")
_NEEDED = Source("placement", "kept from Placement: the driver no longer has it, and others need it")
_ROOT_NOT_OURS = "kept from Placement: the root is not ours"
_DEFAULT = Source("default", "Placement's default")
_MARK = Source("configuration", "[reporter] owner_trait")

_WHOLE = ""  # stands for every field of a provider
_MEMBERS = (Kind.TRAITS.value, Kind.AGGREGATES.value)
_SHORT = 60  # characters that two origins may have together in a reason


@dataclass(frozen=True, slots=True)
class Explanation:
    """One value of one provider.

    :ivar field: ``VCPU.total``, ``traits.HW_CPU_X86_AVX2``, ``aggregates.UUID``, ``name``
    """

    provider: str
    field: str
    value: Any
    source: Source


def explain(report: Report, driver: str, owner_trait: str, manage: Manage = "tree") -> list[Explanation]:
    """Every value that Placement is to have for the node, with its origin; providers top-down.

    :param driver: its name, for values that it gives no note of
    :param manage: ``children``: what the driver wants of the root has lost
    """
    told = Teller(report.current, report.desired, report.ledger or Ledger(report.node), driver, owner_trait)
    held = dict(_held_fields(report.held))
    explanations = []
    for provider in report.wanted.providers():
        for field, value in _values(provider):
            source = told.source(provider.uuid, field)
            why = held.get((provider.uuid, field)) or held.get((provider.uuid, _WHOLE))
            if manage == "children" and provider.uuid == report.root_uuid:
                source = told.kept(provider.uuid, field, value, _ROOT_NOT_OURS)
            elif why is not None:
                source = told.kept(provider.uuid, field, value, f"the change is held: {why}")
            explanations.append(Explanation(provider.name, field, value, source))
    return explanations


def _held_fields(held: Iterable[Held]) -> Iterator[tuple[tuple[str, str], str]]:
    """(Provider uuid, field) of what would be otherwise, and why it is not."""
    for each in held:
        change = each.change
        if change.kind is Kind.INVENTORY:
            fields = [f"{change.resource_class}.{field}" for field in _differing(change)]
        elif change.kind.value in _MEMBERS:
            fields = [f"{change.kind}.{item}" for item in {*(change.before or ())} ^ {*(change.after or ())}]
        else:
            fields = [_WHOLE if change.action is Action.DELETE else "name"]
        yield from (((change.uuid, field), each.why) for field in fields)


def _differing(change: Change) -> list[str]:
    """The fields of an inventory record that change; all, where it comes or goes."""
    if not (change.before and change.after):
        return list(FIELDS)
    old, new = change.before[change.resource_class], change.after[change.resource_class]
    return [each for each in FIELDS if not same_value(each, old[each], new[each])]


def _values(provider: Provider) -> Iterator[tuple[str, Any]]:
    for name in sorted(provider.inventory):
        record = complete(provider.inventory[name])
        for field in FIELDS:
            yield f"{name}.{field}", record[field]
    for trait in sorted(provider.traits):
        yield f"traits.{trait}", True
    for aggregate in sorted(provider.aggregates):
        yield f"aggregates.{aggregate}", True
    yield "name", provider.name


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells the origins of values, and the reasons of changes.

    :ivar desired: what the driver and the overlays want, with their notes
    :ivar ledger: what we set, valid for ``current``
    :ivar driver: its name
    :ivar moved: (provider uuid, class) pairs that a reshape takes away
    """

    current: ProviderTree
    desired: ProviderTree
    ledger: Ledger
    driver: str
    owner_trait: str
    moved: Collection[tuple[str, str]] = ()

    def with_reasons(self, changes: Iterable[Change]) -> Changes:
        """The changes, each with a reason in a few words."""
        return Changes(self.with_reason(each) for each in changes)

    def with_reason(self, change: Change) -> Change:
        """The change with its reason."""
        return change if change.reason else replace(change, reason=self.reason(change))

    def source(self, uuid: str, field: str) -> Source:
        """The origin of a value that Placement is to have."""
        if uuid not in self.desired:
            return self._left_out(uuid, field)
        provider = self.desired.provider(uuid)
        name, _, item = field.partition(".")
        if field in provider.notes:
            return provider.notes[field]
        if name in _MEMBERS:
            return self._of_member(provider, name, item)
        return self._of_name(provider) if name == "name" else self._of_record(provider, name, item)

    def kept(self, uuid: str, field: str, value: Any, why: str) -> Source:
        """The origin of a value that stays as Placement has it; over the one that is wanted instead."""
        source = Source("placement", why, value)
        desired = dict(_values(self.desired.provider(uuid))) if uuid in self.desired else {}
        if desired.get(field, value) == value:
            return source
        return source.over(replace(self.source(uuid, field), value=desired[field]))

    @property
    def _driver(self) -> Source:
        return Source("driver", f"driver {self.driver}")

    def _left_out(self, uuid: str, field: str) -> Source:
        """Of a provider that the driver does not have, and that stays: its owner's, or ours and emptied."""
        entry = self.ledger.entry(uuid)
        ours = entry is not None and entry.created
        if ours and field == f"{Kind.TRAITS}.{self.owner_trait}":
            return _MARK
        return _NEEDED if ours and field == "name" else _OTHERS

    def _of_record(self, provider: Provider, name: str, field: str) -> Source:
        if name not in provider.inventory:
            return _OTHERS
        record = provider.inventory[name]
        if field not in record:
            return _DEFAULT
        if name in provider.notes:
            return provider.notes[name]
        had = self._had(provider)
        before_us = (
            had is not None
            and name not in self._ours(provider.uuid, "classes")
            and name in had.inventory
            and same(had.inventory[name], record)
        )
        return self._theirs(provider) if before_us else self._driver

    def _of_member(self, provider: Provider, kind: str, item: str) -> Source:
        if item == self.owner_trait:
            return _MARK
        if item not in getattr(provider, kind):
            return _OTHERS
        had = self._had(provider)
        before_us = (
            had is not None and item in getattr(had, kind) and item not in self._ours(provider.uuid, kind)
        )
        return self._theirs(provider) if before_us else self._driver

    def _theirs(self, provider: Provider) -> Source:
        """Of a value that is there, not ours, and left alone by the driver or wanted as well."""
        entry = self.ledger.entry(provider.uuid)
        return _OTHERS if entry is not None and entry.created else _BEFORE_US

    def _of_name(self, provider: Provider) -> Source:
        had, entry = self._had(provider), self.ledger.entry(provider.uuid)
        theirs = had is not None and had.name == provider.name and not (entry and entry.created)
        return _BEFORE_US if theirs else self._driver

    def _had(self, provider: Provider) -> Provider | None:
        return self.current.by_uuid().get(provider.uuid)

    def _ours(self, uuid: str, kind: str) -> frozenset[str]:
        entry = self.ledger.entry(uuid)
        ours: frozenset[str] = getattr(entry, kind) if entry else frozenset()
        return ours

    def reason(self, change: Change) -> str:
        """Why the change is made, in a few words."""
        match change.kind, change.action:
            case Kind.INVENTORY, _:
                return self._reason_of_record(change)
            case ((Kind.TRAITS | Kind.AGGREGATES), _):
                return self._reason_of_members(change)
            case Kind.PROVIDER, Action.DELETE:
                return f"driver {self.driver} no longer has it"
            case Kind.PROVIDER, Action.RENAME if change.after["parent"] is None:
                return "the host was renamed"
            case _:
                notes = self.desired.provider(change.uuid).notes if change.uuid in self.desired else {}
                return notes["name"].detail if "name" in notes else f"driver {self.driver}"

    def _reason_of_record(self, change: Change) -> str:
        name = change.resource_class or ""
        if change.after is None:
            if (change.uuid, name) in self.moved:
                return "reshape"
            ours = name in self._ours(change.uuid, "classes")
            return "no longer reported" if ours else f"driver {self.driver} reports none"
        new: Mapping[str, Any] = change.after[name]
        old: Mapping[str, Any] = change.before[name] if change.before else {}
        fields = [each for each in FIELDS if not same_value(each, new[each], old[each])] if old else ["total"]
        return self._in_short(change.uuid, [f"{name}.{each}" for each in fields])

    def _reason_of_members(self, change: Change) -> str:
        kind, before, after = change.kind.value, set(change.before or ()), set(change.after or ())
        parts = []
        if gained := sorted(after - before):
            wanted = [each for each in gained if each != self.owner_trait] or gained
            parts.append(self._in_short(change.uuid, [f"{kind}.{each}" for each in wanted]))
        if lost := before - after:
            ours = not lost.isdisjoint(self._ours(change.uuid, kind))
            parts.append("no longer set" if ours else f"driver {self.driver} unsets it")
        return "; ".join(parts)

    def _in_short(self, uuid: str, fields: list[str]) -> str:
        """Where these fields come from: one origin or two, or that of most of them, or how many there are."""
        count = Counter(self.source(uuid, field).detail for field in fields)
        if len(count) > 1:
            del count[self._driver.detail]  # the others say more
        details = [detail for detail, _ in count.most_common()]
        text = ", ".join(details)
        if len(details) == 1 or (len(details) == 2 and len(text) <= _SHORT):
            return text
        if 2 * count[details[0]] >= len(fields):
            return f"mostly {details[0]}"
        return f"driver {self.driver}, {len(details)} sources"
