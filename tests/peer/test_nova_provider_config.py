"""Provider files beside Nova's own loader: it takes and refuses the same, and reads the same out of them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from provider_tree.inventory import complete
from reporter.errors import ConfigurationError
from reporter.overlays.provider_config.files import ProviderFiles
from tests.peer.nova_process import needs_nova, run_beside_nova

pytestmark = needs_nova

UUID = "b8a1d0a4-5e2b-4ee7-a3ac-d7ce6a4e0f6d"
GOOD: dict[str, Any] = {
    "meta": {"schema_version": "1.0"},
    "providers": [
        {
            "identification": {"uuid": "$COMPUTE_NODE"},
            "inventories": {
                "additional": [{"CUSTOM_A": {"total": 3}, "CUSTOM_B": {"total": 4, "reserved": 1}}]
            },
            "traits": {"additional": ["CUSTOM_T", "CUSTOM_U"]},
        },
        {"identification": {"uuid": UUID}, "traits": {"additional": ["CUSTOM_T"]}},
        {
            "identification": {"name": "node_gpu"},
            "inventories": {"additional": [{"CUSTOM_A": {"total": 1, "allocation_ratio": 1.5}}, {}]},
        },
    ],
}
VALUES: list[Any] = [
    *(None, True, 0, -1, 3, 3.0, 3.5, 10**12, float("inf"), "", "3"),
    *("CUSTOM_A", "CUSTOM_", "custom_a", "VCPU", "CUSTOM_" + "X" * 248, "CUSTOM_" + "X" * 249),
    *("$COMPUTE_NODE", UUID, UUID.upper(), UUID[:-1], "n" * 200, "n" * 201),
    *("1.0", "1.1", "1.10", "1.01", "2.0", "0.9", "1", "1.0.0", " 1.0", "latest"),
    *([], {}, ["CUSTOM_A"], {"additional": []}, {"additional": ["CUSTOM_T"]}, {"total": 3}),
    *({"name": "x"}, {"uuid": UUID}, {"name": "node", "uuid": UUID}),
]
KEYS = [
    "total", "reserved", "min_unit", "max_unit", "step_size", "allocation_ratio", "generation", "CUSTOM_A",
    "CUSTOM_NEW", "VCPU", "lower", "additional", "removed", "name", "uuid", "inventories", "traits", "meta",
    "providers", "__source_file", "identification", "schema_version",
]  # fmt: skip


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(node, dict | list):
        for key in node if isinstance(node, dict) else range(len(node)):
            yield from places(node[key], (*path, key))


def mutated(chance: random.Random) -> Any:
    """The good document with one or two things changed, taken away, added or doubled."""
    document = copy.deepcopy(GOOD)
    for _ in range(chance.randint(1, 2)):
        path = chance.choice([each for each in places(document) if each] or [()])
        if not path:
            return chance.choice(VALUES)
        above = document
        for step in path[:-1]:
            above = above[step]
        kind = chance.choice(["change", "change", "drop", "add", "double"])
        if kind == "drop":
            del above[path[-1]]
        elif kind == "add" and isinstance(above, dict):
            above[chance.choice(KEYS)] = copy.deepcopy(chance.choice(VALUES))
        elif kind == "double" and isinstance(above, list):
            above.append(copy.deepcopy(above[path[-1]]))
        else:
            above[path[-1]] = copy.deepcopy(chance.choice(VALUES))
    return document


def has_items_that_nova_lets_through(document: Any) -> bool:
    """Nova does not look whether an ``additional`` inventory is a mapping, and fails when it merges one that
    holds something else.
    """
    try:
        return any(
            not isinstance(item, dict) and item not in ([], "")
            for provider in document["providers"]
            for item in provider.get("inventories", {}).get("additional", [])
        )
    except (TypeError, KeyError, AttributeError):
        return False


def ours(directory: Path) -> dict[str, Any] | None:
    try:
        files = ProviderFiles.read(ProviderFiles.signature(directory))
    except ConfigurationError:
        return None
    return {
        config.key: {"inventories": dict(config.inventory), "traits": sorted(config.traits)}
        for config in files.configs
    }


def test_same_acceptance_and_same_contents(tmp_path: Path) -> None:
    chance = random.Random(20)
    documents = [GOOD, *(mutated(chance) for _ in range(500))]
    documents = [each for each in documents if not has_items_that_nova_lets_through(each)]
    for number, document in enumerate(documents):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "a.yaml").write_text(yaml.safe_dump(document))
        if number % 7 == 0:
            (directory / "b.yaml").write_text(yaml.safe_dump(mutated(chance)))
    by_nova = json.loads(run_beside_nova("provider_config.py", str(tmp_path)))
    taken = 0
    for number, document in enumerate(documents):
        expected, found = by_nova[str(number)], ours(tmp_path / str(number))
        if expected is not None:
            taken += 1
            for config in expected.values():
                config["inventories"] = {
                    name: complete(record) for name, record in config["inventories"].items()
                }
        assert found == expected, yaml.safe_dump(document)
    assert 50 < taken < len(documents) - 50


def test_same_texts(tmp_path: Path) -> None:
    version = "meta: {schema_version: '1.0'}"
    texts = [
        *("", "a: [", "[]", "- 1", "meta: {schema_version: 1.0}", version, "\x00", "\t", "a: 2001-99-99"),
        f"{version}\nproviders: []\nproviders: []",
        f"{version}\n---\n{version}",
        "%YAML 9.9\n---\na: b",
        "meta: {schema_version: '1.0\n'}",
        "meta: !!python/object/apply:os.system ['true']",
    ]
    for number, text in enumerate(texts):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "a.yaml").write_text(text)
    by_nova = json.loads(run_beside_nova("provider_config.py", str(tmp_path)))
    for number, text in enumerate(texts):
        assert ours(tmp_path / str(number)) == by_nova[str(number)], text


def test_document_that_is_part_of_itself_is_refused_by_us_alone(tmp_path: Path) -> None:
    """Nova walks only what it knows; whoever prints the document would not come to an end."""
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "a.yaml").write_text("meta: &a {schema_version: '1.0', x: *a}")
    assert json.loads(run_beside_nova("provider_config.py", str(tmp_path)))["0"] == {}
    assert ours(tmp_path / "0") is None
