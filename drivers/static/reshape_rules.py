"""The ``reshape`` section of a document: where allocations go when a resource class leaves a provider.

    reshape:
      - {class: VGPU, from: node1, to: node1_gpu0, consumers: [uuid, …]}
      - {class: VGPU, from: node1, to: node1_gpu1}                        # all the rest
      - {class: VCPU, from: node1, to: node1, to_class: PCPU}

A rule does nothing unless its class is about to leave, so it can stay in the document afterwards.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from provider_tree.errors import InvalidTree
from provider_tree.names import is_resource_class

_KEYS = ("class", "from", "to", "consumers", "to_class")
_EXAMPLE = "write it as {class: VGPU, from: NAME, to: NAME}; consumers and to_class may be added"


@dataclass(frozen=True, slots=True)
class ReshapeRule:
    """Allocations of one class that move from one provider to another, by name.

    :ivar consumers: whose; None for all that are left
    :ivar to_class: the class that they become
    """

    resource_class: str
    source: str
    destination: str
    consumers: tuple[str, ...] | None
    to_class: str


def parse_rules(section: Any, providers: Container[str]) -> tuple[ReshapeRule, ...]:
    """Return the rules of a document's ``reshape`` section; none where there is no section.

    :param providers: what the document names; a destination must be among them
    :raises InvalidTree: what is wrong, and at which path in the document
    """
    if section is None:
        return ()
    if not isinstance(section, list):
        raise InvalidTree("reshape: must be a list", _EXAMPLE)
    return tuple(_rule(entry, f"reshape[{index}]", providers) for index, entry in enumerate(section))


def _rule(entry: Any, path: str, providers: Container[str]) -> ReshapeRule:
    if not isinstance(entry, Mapping):
        raise InvalidTree(f"{path}: must be a mapping", _EXAMPLE)
    for key in entry:
        if key not in _KEYS:
            raise InvalidTree(f"{path}.{key}: is not known", f"known are {', '.join(_KEYS)}")
    resource_class = _class(entry, path, "class")
    destination = _name(entry, path, "to")
    if destination not in providers:
        raise InvalidTree(f"{path}.to: there is no provider {destination!r} in the document", _EXAMPLE)
    return ReshapeRule(
        resource_class,
        _name(entry, path, "from"),
        destination,
        _consumers(entry.get("consumers"), f"{path}.consumers"),
        _class(entry, path, "to_class") if entry.get("to_class") is not None else resource_class,
    )


def _name(entry: Mapping[str, Any], path: str, key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise InvalidTree(f"{path}.{key}: must be text", _EXAMPLE)
    return value


def _class(entry: Mapping[str, Any], path: str, key: str) -> str:
    name = _name(entry, path, key)
    if not is_resource_class(name):
        raise InvalidTree(
            f"{path}.{key}: {name!r} is not a resource class", "a name of your own has to begin with CUSTOM_"
        )
    return name


def _consumers(value: Any, path: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise InvalidTree(f"{path}: must be a list of uuids", _EXAMPLE)
    found: list[str] = []
    for index, each in enumerate(value):
        try:
            found.append(str(UUID(each)))
        except (ValueError, AttributeError, TypeError) as error:
            raise InvalidTree(
                f"{path}[{index}]: {each!r} is not a uuid", "consumers are named by uuid"
            ) from error
    return tuple(found)
