"""One resource provider, as a value."""

from __future__ import annotations

import uuid as uuidlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from copy import deepcopy
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

from .frozen import FrozenDict, frozen_records
from .source import Source


class ProviderData(NamedTuple):
    """A point-in-time copy of a provider; the caller may edit what it holds without touching the tree."""

    uuid: str
    name: str
    generation: int | None
    parent_uuid: str | None
    inventory: dict[str, Any]
    traits: set[str]
    aggregates: set[str]
    resources: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Provider:
    """A resource provider. An update makes another one, so trees share those that did not change.

    :raises ValueError: if the uuid is empty or None
    :ivar generation: Placement's counter of changes; None where it does not know the provider yet
    :ivar inventory: records by resource class, as they were given: Placement's defaults are not filled in
    :ivar resources: sets of assignable resources by class, as Nova's drivers keep them (vPMEM)
    :ivar notes: where values came from, keyed "VCPU", "VCPU.total", "traits.HW_CPU_X86_AVX2",
        "aggregates.UUID" or "name"; takes no part in comparisons
    """

    uuid: str
    name: str
    generation: int | None = None
    parent_uuid: str | None = None
    inventory: Mapping[str, Mapping[str, Any]] = field(default_factory=FrozenDict, hash=False)
    traits: frozenset[str] = frozenset()
    aggregates: frozenset[str] = frozenset()
    resources: Mapping[str, AbstractSet[Any]] = field(default_factory=FrozenDict, hash=False)
    notes: Mapping[str, Source] = field(default_factory=FrozenDict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.uuid:
            raise ValueError(f"Provider {self.name} has no uuid")
        put = object.__setattr__
        if not isinstance(self.inventory, FrozenDict):
            put(self, "inventory", frozen_records(self.inventory))
        if not isinstance(self.traits, frozenset):
            put(self, "traits", frozenset(self.traits))
        if not isinstance(self.aggregates, frozenset):
            put(self, "aggregates", frozenset(self.aggregates))
        if not isinstance(self.resources, FrozenDict):
            put(self, "resources", FrozenDict(deepcopy(dict(self.resources))))
        if not isinstance(self.notes, FrozenDict):
            put(self, "notes", FrozenDict(self.notes))

    def changed(self, **values: Any) -> Provider:
        """The provider with other values of some fields: dataclasses.replace, in half the time."""
        new = object.__new__(Provider)
        for name in _FIELDS:
            object.__setattr__(new, name, values[name] if name in values else getattr(self, name))
        new.__post_init__()
        return new

    def data(self) -> ProviderData:
        """A copy to look at or to edit, in the shape of Nova's ProviderData."""
        return ProviderData(
            self.uuid,
            self.name,
            self.generation,
            self.parent_uuid,
            {name: dict(record) for name, record in self.inventory.items()},
            set(self.traits),
            set(self.aggregates),
            deepcopy(dict(self.resources)),
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Provider:
        return self


_FIELDS: Final = tuple(each.name for each in fields(Provider))

_UNPARSABLE: Final = uuidlib.UUID("3c0b6ff0-0f0c-5c8a-9d0b-6a4f0e1d7a52")


def derive_uuid(namespace: str | uuidlib.UUID, name: str) -> str:
    """The uuid of a provider called `name` under `namespace`, the same in every run.

    :param namespace: the parent's uuid; text that is no uuid serves as well
    """
    return str(uuidlib.uuid5(_namespace(namespace), name))


def _namespace(namespace: str | uuidlib.UUID) -> uuidlib.UUID:
    if isinstance(namespace, uuidlib.UUID):
        return namespace
    try:
        return uuidlib.UUID(namespace)
    except ValueError:
        return uuidlib.uuid5(_UNPARSABLE, namespace)
