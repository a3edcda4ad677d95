"""Records that Placement would refuse, or would take and then never schedule to.

The bounds are those of openstack-placement 16: placement/schemas/*.py, and what its handlers check besides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final
from uuid import UUID

from .inventory import DEFAULTS, FIELDS, MAX_INT, MAX_RATIO
from .names import CUSTOM, MAX_LENGTH, is_resource_class, is_trait, is_well_formed
from .provider import Provider
from .reading import ReadableTree

MAX_NAME: Final = 200
_SMALLEST: Final = {"total": 1, "reserved": 0, "min_unit": 1, "max_unit": 1, "step_size": 1}

Usages = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a record, apart from whose it is.

    :ivar field: the field at fault; "" for the record as a whole
    :ivar refused: Placement would refuse it, or it can only be a mistake; otherwise it is a warning
    """

    field: str
    message: str
    refused: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a provider.

    :ivar resource_class: the class at fault, None where it is the provider, a trait or an aggregate
    :ivar field: of an inventory record; otherwise "name", "uuid", "traits.NAME" or "aggregates.UUID"
    :ivar refused: Placement would refuse it, or it can only be a mistake; otherwise it is a warning
    """

    provider: str
    uuid: str
    resource_class: str | None
    field: str | None
    message: str
    refused: bool

    def __str__(self) -> str:
        where = ".".join(part for part in (self.resource_class, self.field) if part)
        return f"{self.provider}: {where}: {self.message}" if where else f"{self.provider}: {self.message}"


def lint(
    tree: ReadableTree | Iterable[Provider],
    usages: Usages | None = None,
    *,
    known: Collection[str] = frozenset(),
) -> list[Finding]:
    """What is wrong with a tree, or with some providers of one, provider by provider from the root down.

    :param usages: how much of each class will be in use, by provider uuid
    :param known: names of traits and classes that this Placement has, besides the standard and custom ones
    """
    findings: list[Finding] = []
    lower: dict[str, str] = {}
    for provider in tree.providers() if isinstance(tree, ReadableTree) else tree:
        findings += _of_provider(provider, known)
        findings += _of_inventory(provider, (usages or {}).get(provider.uuid, {}), known)
        twin = lower.setdefault(provider.name.casefold(), provider.name)
        if twin != provider.name:
            message = f"differs from {twin} in case alone, which is a duplicate to MySQL"
            findings.append(Finding(provider.name, provider.uuid, None, "name", message, refused=False))
    return findings


def _of_provider(provider: Provider, known: Collection[str]) -> Iterator[Finding]:
    def finding(field: str, message: str) -> Finding:
        return Finding(provider.name, provider.uuid, None, field, message, refused=True)

    if not provider.name or len(provider.name) > MAX_NAME:
        yield finding("name", f"must have 1 to {MAX_NAME} characters, has {len(provider.name)}")
    if not is_uuid(provider.uuid):
        yield finding("uuid", f"{provider.uuid!r} is not a uuid")
    elif provider.uuid != str(UUID(provider.uuid)):
        yield finding("uuid", f"{provider.uuid!r} is {UUID(provider.uuid)} to Placement: write it so")
    for trait in sorted(provider.traits):
        if not is_trait(trait) and trait not in known:
            yield finding(f"traits.{trait}", unknown_name(trait))
    for aggregate in sorted(provider.aggregates):
        if not is_uuid(aggregate):
            yield finding(f"aggregates.{aggregate}", "is not a uuid")


def _of_inventory(provider: Provider, in_use: Mapping[str, int], known: Collection[str]) -> Iterator[Finding]:
    for name in sorted(provider.inventory.keys() | in_use.keys()):
        problems: list[Problem] = []
        if name not in provider.inventory:
            if in_use[name]:
                problems = [Problem("", f"{in_use[name]} in use, but there is no inventory", refused=True)]
        else:
            if not is_resource_class(name) and name not in known:
                problems = [Problem("", unknown_name(name), refused=True)]
            problems += record_problems(provider.inventory[name], in_use.get(name, 0))
        for problem in problems:
            yield Finding(
                provider.name, provider.uuid, name, problem.field or None, problem.message, problem.refused
            )


def record_problems(record: Mapping[str, Any], used: int = 0) -> list[Problem]:
    """What is wrong with one inventory record of which `used` is in use."""
    problems = [
        Problem(field, "is not a field of an inventory", refused=True)
        for field in record
        if field not in FIELDS
    ]
    values = {**DEFAULTS, **record}
    for field in FIELDS:
        message = _bad_value(field, values.get(field))
        if message:
            problems.append(Problem(field, message, refused=True))
    return problems or list(_inconsistencies(values, used))


def _bad_value(field: str, value: Any) -> str:
    """Why the value of one field cannot be; nothing if it can."""
    if field not in DEFAULTS and value is None:
        return "is missing"
    kind, name = ((int, float), "a number") if field == "allocation_ratio" else (int, "a whole number")
    if isinstance(value, bool) or not isinstance(value, kind):
        return f"must be {name}, is {value!r}"
    if field == "allocation_ratio":
        if not isfinite(value) or not 0 < value <= MAX_RATIO:
            return f"must be above 0 and at most {MAX_RATIO}, is {value}"
    elif not _SMALLEST[field] <= value <= MAX_INT:
        return f"must be from {_SMALLEST[field]} to {MAX_INT}, is {value}"
    return ""


def _inconsistencies(record: Mapping[str, Any], used: int) -> Iterator[Problem]:
    """What is wrong between fields that are each in order."""
    total, reserved, least, most, step, ratio = (record[field] for field in FIELDS)
    if reserved > total:
        yield Problem("reserved", f"is {reserved}, more than the total of {total}", refused=True)
        return
    if least > most:
        yield Problem("min_unit", f"is {least}, more than the max_unit of {most}", refused=True)
        return
    if most > total and most != MAX_INT:
        yield Problem("max_unit", f"is {most}, more than the total of {total}", refused=False)
    capacity = (total - reserved) * ratio
    smallest = -(-least // step) * step
    if smallest > most:
        message = f"no multiple of {step} is from {least} to {most}: nothing can be allocated"
        yield Problem("step_size", message, refused=False)
    elif 0 < capacity < smallest:
        message = (
            f"{smallest} is the least to allocate and {capacity:g} all there is: nothing can be allocated"
        )
        yield Problem("min_unit", message, refused=False)
    if used > capacity:
        field = "reserved" if reserved == total else "total"
        yield Problem(field, f"leaves a capacity of {capacity:g}, less than the {used} in use", refused=False)


def unknown_name(name: str) -> str:
    """Why Placement would not take the name of a trait or class."""
    if len(name) > MAX_LENGTH:
        return f"the name has {len(name)} characters, at most {MAX_LENGTH} are possible"
    if not is_well_formed(name):
        return f"{name!r} is not a name: 1 to {MAX_LENGTH} of A-Z, 0-9 and _"
    if name == CUSTOM:
        return f"the name has nothing after {CUSTOM}"
    return f"{name} is neither a standard name nor begins with CUSTOM_"


def is_uuid(text: object) -> bool:
    """Whether Placement would take a text for a uuid."""
    if not isinstance(text, str):
        return False
    try:
        UUID(text)
    except ValueError:
        return False
    return True
