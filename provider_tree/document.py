"""A tree as a plain document: what `show` prints and what the static driver reads.

    {"format_version": 1,
     "providers": [{"name": "compute-1", "uuid": "...", "parent": null,
                    "inventory": {"VCPU": {"total": 8, ...}}, "traits": [...], "aggregates": [...]}]}

To be read, a provider needs no more than a name, and an inventory record no more than a total, for which a
number alone does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final
from uuid import UUID

from .errors import InvalidTree
from .inventory import FIELDS, complete
from .lint import MAX_NAME, is_uuid, record_problems, unknown_name
from .names import is_resource_class, is_trait, standard_classes, standard_traits
from .provider import Provider, derive_uuid
from .reading import ReadableTree
from .tree import ProviderTree

FORMAT_VERSION: Final = 1
ROOTS: Final = UUID("6d2c8a5e-6a0f-5d0b-8a5f-0f4c2b8f7a31")
"""The namespace of the uuids of roots that have none in their document."""

_CUSTOM_ADVICE: Final = "a name of your own has to begin with CUSTOM_"
_SHAPE_ADVICE: Final = "compare it with the example document"
_RECORD_ADVICE: Final = "Placement would refuse the record, or never allocate from it: correct the document"
_TOP: Final = ("format_version", "providers")
_PROVIDER: Final = ("name", "uuid", "parent", "inventory", "traits", "aggregates")


def to_document(tree: ReadableTree) -> dict[str, Any]:
    """The tree as plain data: roots first, then by name; all fields of all records, lists sorted."""
    providers = tree.by_uuid()
    ordered = sorted(providers.values(), key=lambda each: (each.parent_uuid is not None, each.name))
    return {
        "format_version": FORMAT_VERSION,
        "providers": [
            {
                "name": each.name,
                "uuid": each.uuid,
                "parent": None if each.parent_uuid is None else providers[each.parent_uuid].name,
                "inventory": {name: complete(each.inventory[name]) for name in sorted(each.inventory)},
                "traits": sorted(each.traits),
                "aggregates": sorted(each.aggregates),
            }
            for each in ordered
        ],
    }


def from_document(document: Any, *, namespace: UUID = ROOTS, allowed: Collection[str] = ()) -> ProviderTree:
    """The tree that a document describes.

    A uuid left out is made of the parent's uuid and the name, for a root of `namespace` and the name, so
    that it is the same every time.

    :param document: what a YAML or JSON reader made of it
    :param allowed: further keys that may stand beside "providers"
    :raises InvalidTree: what is wrong, and at which path in the document
    """
    top = _mapping(document, "the document", (*_TOP, *allowed))
    version = top.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise InvalidTree(
            f"format_version: {version!r} is not known", f"this version reads format {FORMAT_VERSION}"
        )
    if "providers" not in top:
        raise InvalidTree("the document has no providers", 'give them as a list: "providers: [...]"')
    entries = _list(top["providers"], "providers")
    records = [_mapping(entry, f"providers[{at}]", _PROVIDER) for at, entry in enumerate(entries)]
    at = _positions(records)
    parents = [_parent(index, record, at) for index, record in enumerate(records)]
    uuids: dict[int, str] = {}
    for index in _parents_first(records, parents):
        parent = parents[index]
        above = namespace if parent is None else uuids[parent]
        uuids[index] = _uuid(index, records[index]) or derive_uuid(above, records[index]["name"])
    _refuse_duplicates(uuids)
    return ProviderTree.from_providers(
        _provider(index, record, uuids[index], None if parent is None else uuids[parent])
        for index, (record, parent) in enumerate(zip(records, parents, strict=True))
    )


def _positions(records: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Where in the document the provider of each name is."""
    positions: dict[str, int] = {}
    for index, record in enumerate(records):
        path = f"providers[{index}].name"
        if "name" not in record:
            raise InvalidTree(f"{path}: is missing", "a provider needs a name")
        name = _text(record["name"], path)
        if not 0 < len(name) <= MAX_NAME:
            raise InvalidTree(
                f"{path}: must have 1 to {MAX_NAME} characters, has {len(name)}",
                "shorten the name" if name else "a provider needs a name",
            )
        first = positions.setdefault(name, index)
        if first != index:
            raise InvalidTree(
                f"{path}: {name!r} is the name of providers[{first}] already",
                "provider names are unique in all of Placement: give one of the two another",
            )
    return positions


def _parent(index: int, record: Mapping[str, Any], positions: Mapping[str, int]) -> int | None:
    parent = record.get("parent")
    if parent is None:
        return None
    path = f"providers[{index}].parent"
    if _text(parent, path) not in positions:
        raise InvalidTree(
            f"{path}: there is no provider {parent!r} in the document",
            _nearest(parent, positions) or "name a provider of the document, or null for a root",
        )
    return positions[parent]


def _parents_first(records: Sequence[Mapping[str, Any]], parents: Sequence[int | None]) -> list[int]:
    below: dict[int | None, list[int]] = {}
    for index, parent in enumerate(parents):
        below.setdefault(parent, []).append(index)
    ordered = below.pop(None, [])
    for index in ordered:  # grows as it is read
        ordered.extend(below.pop(index, ()))
    if below:
        index = min(index for kids in below.values() for index in kids)
        names = [records[each]["name"] for each in _cycle(index, parents)]
        raise InvalidTree(
            f"providers[{index}].parent: {' is below '.join(names)}",
            "a provider cannot be below itself: give one of them another parent, or null",
        )
    return ordered


def _cycle(index: int | None, parents: Sequence[int | None]) -> list[int]:
    """The providers of the cycle above one, the first again at the end."""
    path: list[int] = []
    while index is not None and index not in path:
        path.append(index)
        index = parents[index]
    assert index is not None, "a provider outside all trees has a cycle above it"
    return [*path[path.index(index) :], index]


def _uuid(index: int, record: Mapping[str, Any]) -> str | None:
    uuid = record.get("uuid")
    if uuid is None:
        return None
    path = f"providers[{index}].uuid"
    if not is_uuid(_text(uuid, path)):
        raise InvalidTree(f"{path}: {uuid!r} is not a uuid", "leave it out to have one derived from the name")
    return str(UUID(uuid))


def _refuse_duplicates(uuids: Mapping[int, str]) -> None:
    first: dict[str, int] = {}
    for index, uuid in sorted(uuids.items()):
        if first.setdefault(uuid, index) != index:
            raise InvalidTree(
                f"providers[{index}].uuid: {uuid} is the uuid of providers[{first[uuid]}] already",
                "each provider needs one of its own; left out, it is derived from the name",
            )


def _provider(index: int, record: Mapping[str, Any], uuid: str, parent_uuid: str | None) -> Provider:
    path, name = f"providers[{index}]", record["name"]
    try:
        inventory = _inventory(record.get("inventory"), f"{path}.inventory")
        traits = _traits(record.get("traits"), f"{path}.traits")
        aggregates = _aggregates(record.get("aggregates"), f"{path}.aggregates")
    except InvalidTree as error:
        raise InvalidTree(f"{error.what}, in provider {name!r}", error.advice) from None
    return Provider(uuid, name, None, parent_uuid, inventory, traits, aggregates)


def _inventory(value: Any, path: str) -> dict[str, Mapping[str, Any]]:
    if value is None:
        return {}
    records = {}
    for name, given in _mapping(value, path).items():
        here = f"{path}.{name}"
        if not is_resource_class(name):
            raise InvalidTree(
                f"{here}: {unknown_name(name)}", _nearest(name, standard_classes()) or _CUSTOM_ADVICE
            )
        record = _mapping(given, here, FIELDS) if isinstance(given, Mapping) else {"total": given}
        for problem in record_problems(record):
            if problem.refused:
                where = f"{here}.{problem.field}" if problem.field else here
                raise InvalidTree(f"{where}: {problem.message}", _RECORD_ADVICE)
        records[name] = record
    return records


def _traits(value: Any, path: str) -> frozenset[str]:
    names = [_text(each, f"{path}[{at}]") for at, each in enumerate(_list(value, path))]
    for at, name in enumerate(names):
        if not is_trait(name):
            advice = _nearest(name, standard_traits()) or _CUSTOM_ADVICE
            raise InvalidTree(f"{path}[{at}]: {unknown_name(name)}", advice)
    return frozenset(names)


def _aggregates(value: Any, path: str) -> frozenset[str]:
    uuids = [_text(each, f"{path}[{at}]") for at, each in enumerate(_list(value, path))]
    for at, uuid in enumerate(uuids):
        if not is_uuid(uuid):
            raise InvalidTree(f"{path}[{at}]: {uuid!r} is not a uuid", "aggregates are named by their uuids")
    return frozenset(str(UUID(uuid)) for uuid in uuids)


def _mapping(value: Any, path: str, allowed: Collection[str] | None = None) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidTree(f"{path}: must be a mapping, is {_kind(value)}", _SHAPE_ADVICE)
    for key in value:
        _text(key, f"{path}: the key {key!r}")
        if allowed is not None and key not in allowed:
            known = f"known are {', '.join(allowed)}"
            raise InvalidTree(f"{path}.{key}: is not known", _nearest(key, allowed) or known)
    return value


def _list(value: Any, path: str) -> Sequence[Any]:
    if value is None:
        return []
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise InvalidTree(f"{path}: must be a list, is {_kind(value)}", _SHAPE_ADVICE)
    return value


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise InvalidTree(f"{path}: must be text, is {_kind(value)}", "put it in quotes")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidTree(
            f"{path}: {value!r} is no Unicode text", "write both escapes of a pair, or the character"
        ) from None
    return value


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {value!r}"


def _nearest(name: str, names: Collection[str]) -> str:
    """Advice with the name that was probably meant, or nothing."""
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else ""
