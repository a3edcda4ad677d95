"""An inventory record: its fields, Placement's defaults and what two records have in common.

A record is a mapping with `total` and any of the other fields; Placement fills in what is left out
(placement/handlers/inventory.py, INVENTORY_DEFAULTS).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose
from typing import Any, Final

from .frozen import FrozenDict

MAX_INT: Final = 2147483647
"""The largest number Placement stores, and its way of saying that max_unit has no limit."""

MAX_RATIO: Final = 3.40282e38
"""The largest allocation_ratio Placement takes: what a single-precision column holds."""

DEFAULTS: Final[Mapping[str, Any]] = FrozenDict(
    reserved=0, min_unit=1, max_unit=MAX_INT, step_size=1, allocation_ratio=1.0
)
FIELDS: Final = ("total", "reserved", "min_unit", "max_unit", "step_size", "allocation_ratio")

# MySQL keeps the ratio in a FLOAT and gives six significant digits of it back.
_RATIO_TOLERANCE: Final = 1e-5


def complete(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with all six fields, in the order of FIELDS, as Placement would store it.

    Fields that Placement does not know are left out. A missing `total` has no default and becomes None.
    """
    full = {"total": None, **DEFAULTS}
    for field in FIELDS:
        if field in record:
            full[field] = record[field]
    return full


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two records are one to Placement: defaults filled in, the ratio compared with a tolerance."""
    return all(same_value(field, value_of(a, field), value_of(b, field)) for field in FIELDS)


def value_of(record: Mapping[str, Any], field: str) -> Any:
    """The value of a field, or the default that Placement gives it."""
    return record[field] if field in record else DEFAULTS.get(field)


def same_value(field: str, a: Any, b: Any) -> bool:
    """Whether two values of one field are the same to Placement."""
    if a == b:
        return True
    if field != "allocation_ratio":
        return False
    return _is_number(a) and _is_number(b) and isclose(a, b, rel_tol=_RATIO_TOLERANCE)


def capacity(record: Mapping[str, Any]) -> int:
    """How much of a class can be allocated: (total - reserved) * allocation_ratio, rounded down.

    :raises TypeError: if the record has no total
    """
    full = complete(record)
    return int((full["total"] - full["reserved"]) * full["allocation_ratio"])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
