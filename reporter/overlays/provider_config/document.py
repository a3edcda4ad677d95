"""One provider file: YAML text → the additions that it asks for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from drivers.yaml_text import UnsafeYaml, scan_events
from provider_tree.inventory import complete
from reporter.errors import ConfigurationError

#: Stands for every root provider that is a compute node and is not named otherwise.
COMPUTE_NODE = "$COMPUTE_NODE"

_MAJOR = 1
_KNOWN_MINOR = 0
_MESSAGE_LENGTH = 300
_ADVICE = "see Nova's administrator guide, Managing Resource Providers Using Config Files"


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """What a file adds to one provider.

    :ivar key: uuid or name as written, or :data:`COMPUTE_NODE`
    :ivar lookup: what to look for in a tree: the name, or the uuid as Placement writes it
    :ivar inventory: class → complete record
    """

    path: Path
    key: str
    lookup: str
    inventory: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()


def parse_file(path: Path, text: str) -> tuple[list[ProviderConfig], list[str]]:
    """Parse the text of a file; ``path`` is for messages.

    :return: what it adds, and what of it is ignored
    :raises ConfigurationError: it is not YAML, or not what Nova's schema 1.x allows
    """
    try:
        # Nova's own reader, so that what it takes is taken: a key that stands twice, above all.
        scan_events(text, yaml.SafeLoader)
        document = yaml.safe_load(text)
    except UnsafeYaml as error:
        raise ConfigurationError(f"{path}, line {error.line}: {error}", error.advice) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigurationError(f"{path}{where} is not YAML: {reason}", "correct the file") from error
    warnings = _check_version(path, document)
    _check_schema(path, document)
    configs: list[ProviderConfig] = []
    for provider in document.get("providers", []):
        config = _provider(path, provider)
        if provider.get("inventories", {}).get("additional") or config.traits:
            configs.append(config)
        else:
            warnings.append(f"{path}: provider {config.key} gets no inventories or traits: ignored")
    return configs, warnings


def _check_version(path: Path, document: Any) -> list[str]:
    try:
        version = document["meta"]["schema_version"]
        major, minor = (int(part) for part in version.split(".", 1))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ConfigurationError(
            f"{path} does not say which schema it follows", "write meta: {schema_version: '1.0'}"
        ) from error
    if major != _MAJOR:
        raise ConfigurationError(f"{path} follows schema {version}, which is not known", "1.0 is")
    if minor == _KNOWN_MINOR:
        return []
    return [f"{path} follows schema {version}; what is newer than {_MAJOR}.{_KNOWN_MINOR} in it is ignored"]


def _check_schema(path: Path, document: Any) -> None:
    import jsonschema  # noqa: PLC0415 - 0.1 s that hosts without provider files need not spend

    validator = jsonschema.Draft7Validator(_SCHEMA)
    try:
        error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    except TypeError as problem:  # a pattern was held against a name that is none
        raise ConfigurationError(
            f"{path}: a resource class has a name that is no text",
            "put it in quotes: YAML takes 5, yes or null for something else",
        ) from problem
    if error is not None:
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
        # jsonschema quotes what is wrong, however much that is.
        message = " ".join(error.message.split())
        message = message if len(message) <= _MESSAGE_LENGTH else f"{message[:_MESSAGE_LENGTH]}…"
        raise ConfigurationError(f"{path}: {where.lstrip('.') or 'document'}: {message}", _ADVICE)


def _provider(path: Path, provider: Mapping[str, Any]) -> ProviderConfig:
    identification = provider["identification"]
    key = str(identification.get("uuid") or identification.get("name"))
    inventory = dict(_inventories(provider))
    traits = frozenset(provider.get("traits", {}).get("additional", ()))
    for what, names in (("resource class", inventory), ("trait", traits)):
        wrong = sorted(name for name in names if not name.startswith("CUSTOM_"))
        if wrong:
            raise ConfigurationError(
                f"{path}: provider {key}: {what} {wrong[0]} is not custom", "its name must start with CUSTOM_"
            )
    lookup = key.lower() if "uuid" in identification and key != COMPUTE_NODE else key
    return ProviderConfig(path, key, lookup, inventory, traits)


def _inventories(provider: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for classes in provider.get("inventories", {}).get("additional", ()):
        for name, record in dict(classes).items():
            # JSON Schema takes 4.0 for an integer.
            numbers = {
                key: value if key == "allocation_ratio" else int(value) for key, value in record.items()
            }
            yield name, complete(numbers)


_NAME = "^[A-Z0-9_]{1,255}$"
_HEX = "[0-9A-Fa-f]"
_UUID = f"^{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}$"
_INTEGERS = ("total", "reserved", "min_unit", "max_unit", "step_size")


def _list_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """``additional`` is the only way to change something yet; others are left to later schemas."""
    return {"type": "object", "properties": {"additional": {"type": "array", "items": item}}}


_RECORD = {
    "type": "object",
    "properties": {
        **{name: {"type": "integer"} for name in _INTEGERS},
        "allocation_ratio": {"type": "number"},
    },
    "required": ["total"],
    "additionalProperties": False,
}
_IDENTIFICATION = {
    "type": "object",
    "properties": {
        "uuid": {"type": "string", "pattern": f"{_UUID}|^{re.escape(COMPUTE_NODE)}\\Z"},
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
    },
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "__source_file": {"not": {}},
        "meta": {
            "type": "object",
            "properties": {"schema_version": {"type": "string", "pattern": "^1.([0-9]|[1-9][0-9]+)$"}},
            "required": ["schema_version"],
        },
        "providers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "identification": _IDENTIFICATION,
                    "inventories": _list_of(
                        {
                            # Nova takes anything that names no class; other lists it cannot merge.
                            "type": ["object", "array", "string"],
                            "maxItems": 0,
                            "maxLength": 0,
                            "patternProperties": {_NAME: _RECORD},
                            "additionalProperties": False,
                        }
                    ),
                    "traits": _list_of({"type": "string", "pattern": _NAME}),
                },
                "required": ["identification"],
            },
        },
    },
    "required": ["meta"],
}
