"""A mapping that trees share with each other, and that therefore refuses to change."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Generic, NoReturn, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class FrozenDict(dict[K, V], Generic[K, V]):
    """A dict that cannot be edited; every kind of copy of it is an ordinary dict that can.

    A dict rather than a proxy so that it can be compared, pickled and written as JSON like one.
    """

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("this record is shared between trees; edit a copy and update the tree with it")

    __setitem__ = _refuse
    __delitem__ = _refuse
    __ior__ = _refuse
    clear = _refuse
    pop = _refuse
    popitem = _refuse
    setdefault = _refuse
    update = _refuse

    def __copy__(self) -> dict[K, V]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[K, V]:
        return {key: deepcopy(value, memo) for key, value in self.items()}

    def __reduce__(self) -> tuple[type, tuple[dict[K, V]]]:
        return type(self), (dict(self),)


def frozen_records(records: Mapping[str, Mapping[str, Any]]) -> FrozenDict[str, FrozenDict[str, Any]]:
    """A frozen copy of inventory records keyed by resource class; what is frozen already is shared."""
    if isinstance(records, FrozenDict):
        return records
    return FrozenDict(
        (key, record if isinstance(record, FrozenDict) else FrozenDict(record))
        for key, record in records.items()
    )
