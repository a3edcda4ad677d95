"""Documents → the trees that they describe, with the place in the documents that each value comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from drivers.static.files import read_text
from drivers.static.reshape_rules import ReshapeRule, parse_rules
from drivers.yaml_text import UnsafeYaml, find_line, parse_yaml
from provider_tree.document import from_document
from provider_tree.errors import InvalidTree
from provider_tree.provider import Provider
from provider_tree.source import Source
from provider_tree.tree import ProviderTree

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Documents:
    """All documents together.

    :ivar tree: every provider, with notes on where each of its values stands
    :ivar named_uuids: the uuids that a document names; the others are made up and count for nothing
    :ivar files: provider uuid → the document that it is in
    :ivar rules: the ``reshape`` sections
    """

    tree: ProviderTree
    named_uuids: frozenset[str]
    files: Mapping[str, Path]
    rules: tuple[ReshapeRule, ...]


def load_documents(paths: Iterable[Path], max_size: int) -> Documents:
    """Return what the files describe; a provider's parent must be in the same file.

    :param max_size: of each file, in bytes
    :raises InvalidTree: a file is wrong; says at which line, where that can be told
    :raises HostReadError: a file cannot be read
    """
    providers: dict[str, Provider] = {}
    files: dict[str, Path] = {}
    named: set[str] = set()
    rules: list[ReshapeRule] = []
    by_name: dict[str, Path] = {}
    for path in paths:
        text = read_text(path, max_size)
        data = _parse(path, text)
        try:
            tree = from_document(data, allowed=("reshape",))
            rules.extend(parse_rules(data.get("reshape"), tree))
        except InvalidTree as error:
            raise _located(path, text, error) from error
        for index, entry in enumerate(data["providers"] or ()):
            provider = tree.provider(entry["name"])
            _refuse_second(path, index, provider, by_name, files)
            by_name[provider.name] = files[provider.uuid] = path
            providers[provider.uuid] = _with_notes(provider, f"{path}: providers[{index}]")
            if entry.get("uuid") is not None:
                named.add(provider.uuid)
    return Documents(ProviderTree.from_providers(providers.values()), frozenset(named), files, tuple(rules))


def _parse(path: Path, text: str) -> Any:
    try:
        return _parse_json(text) if path.suffix == ".json" else parse_yaml(text)
    except UnsafeYaml as error:
        raise InvalidTree(f"{path}:{error.line}: {error}", error.advice) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        what = (error.problem or error.context or "is not YAML").replace("\n", " ")
        raise InvalidTree(f"{where}: {what}", "correct the YAML at that line") from error
    except json.JSONDecodeError as error:
        raise InvalidTree(f"{path}:{error.lineno}: {error.msg}", "correct the JSON at that line") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidTree(f"{path}: {' '.join(str(error).split())}", "correct the file") from error
    except RecursionError as error:
        raise InvalidTree(f"{path}: is nested too deeply", "compare it with the example document") from error


def _parse_json(text: str) -> Any:
    """Return what JSON text holds.

    :raises ValueError: it is not JSON, has a key twice, or a number that JSON does not know (NaN)
    """
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _located(path: Path, text: str, error: InvalidTree) -> InvalidTree:
    """Return the error with the file and, if the place it names can be found there, the line."""
    place, colon, _ = error.what.removeprefix("the document.").partition(": ")
    steps = [int(digits) if digits else name for name, digits in _STEP.findall(place)] if colon else []
    line = find_line(text, steps)
    return InvalidTree(f"{path}:{line}: {error.what}" if line else f"{path}: {error.what}", error.advice)


def _refuse_second(
    path: Path, index: int, provider: Provider, by_name: Mapping[str, Path], files: Mapping[str, Path]
) -> None:
    """Refuse a name or a uuid that another file has; within a file that has been seen to already."""
    for field, value, other in (
        ("name", provider.name, by_name.get(provider.name)),
        ("uuid", provider.uuid, files.get(provider.uuid)),
    ):
        if other is not None:
            raise InvalidTree(
                f"{path}: providers[{index}].{field}: {value} is the {field} of a provider in {other}",
                "give one of the two another, or remove one of the files",
            )


def _with_notes(provider: Provider, place: str) -> Provider:
    notes = {"name": Source("document", f"{place}.name", provider.name)}
    for name, record in provider.inventory.items():
        notes[name] = Source("document", f"{place}.inventory.{name}", dict(record))
    notes.update({f"traits.{name}": Source("document", f"{place}.traits") for name in provider.traits})
    notes.update(
        {f"aggregates.{uuid}": Source("document", f"{place}.aggregates") for uuid in provider.aggregates}
    )
    return Provider(
        provider.uuid,
        provider.name,
        None,
        provider.parent_uuid,
        provider.inventory,
        provider.traits,
        provider.aggregates,
        notes=notes,
    )
