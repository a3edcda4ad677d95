"""YAML text → plain data, safely: only YAML's own types, no key twice, nothing that blows up.

libyaml is used where it is installed. It composes nested nodes by recursion in C, so a text that nests deeply
enough would end the process; and a few lines of aliases of aliases stand for billions of nodes. Both are
found first, in the stream of events, which costs neither stack nor memory.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

MAX_DEPTH = 64
_FREE_EXPANSION = 10_000
_EXPANSION_FACTOR = 100
_MAX_EXPANSION = 5_000_000

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_WRITE_OUT = "write it out, or use fewer aliases"
_MERGE = "tag:yaml.org,2002:merge"


class UnsafeYaml(ValueError):
    """The text is YAML but is refused; ``line`` counts from 1."""

    def __init__(self, what: str, line: int, advice: str) -> None:
        super().__init__(what)
        self.line = line
        self.advice = advice


class _Loader(_Base):  # type: ignore[misc]  # which of PyYAML's two loaders it is depends on the installation
    """The safe loader, with keys that may stand only once."""

    def construct_document(self, node: yaml.Node) -> Any:
        # Depth first, so that what an alias or a merge names is complete by the time it is named.
        return self.construct_object(node, deep=True)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "expected a mapping", node.start_mark)
        own: dict[Hashable, Any] = {}
        merged: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            value = self.construct_object(value_node, deep=True)
            if key_node.tag == _MERGE:
                _merge(merged, value, key_node)
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark)
            if key in own:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            own[key] = value
        return {**merged, **own}


def _merge(merged: dict[Hashable, Any], value: Any, key_node: yaml.Node) -> None:
    """Take over what ``<<`` names; of several mappings the earlier counts (yaml.org/type/merge.html)."""
    for mapping in value if isinstance(value, list) else [value]:
        if not isinstance(mapping, dict):
            raise yaml.constructor.ConstructorError(None, None, "<< needs a mapping", key_node.start_mark)
        for key, each in mapping.items():
            merged.setdefault(key, each)


def parse_yaml(text: str) -> Any:
    """Return the one document that the text holds; None for an empty one.

    :raises UnsafeYaml: it nests too deeply, or its aliases stand for too much
    :raises yaml.YAMLError: it is not YAML, has several documents, a key twice, or Python objects
    """
    scan_events(text)
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # PyYAML believes tags without looking: !!int of nothing, !!timestamp of a word.
        raise yaml.YAMLError(f"a value is not what its tag or its form says ({error})") from error
    finally:
        loader.dispose()


def scan_events(text: str, loader: Any = _Base) -> None:
    """Refuse what would overwhelm the reader. Errors as :func:`parse_yaml`.

    :param loader: PyYAML's class that the text is to be read with afterwards
    """
    sizes: dict[str, int] = {}
    open_nodes: list[list[Any]] = []
    written = expanded = 0
    for event in yaml.parse(text, Loader=loader):
        size, anchor = 0, getattr(event, "anchor", None)
        if isinstance(event, yaml.events.ScalarEvent):
            size = 1
        elif isinstance(event, yaml.events.CollectionStartEvent):
            written += 1
            open_nodes.append([1, anchor])
            if len(open_nodes) > MAX_DEPTH:
                raise UnsafeYaml(f"nested more than {MAX_DEPTH} levels deep", _line(event), "make it flatter")
            continue
        elif isinstance(event, yaml.events.CollectionEndEvent):
            size, anchor = open_nodes.pop()
        elif isinstance(event, yaml.events.AliasEvent):
            if any(name == anchor for _, name in open_nodes):
                raise UnsafeYaml(f"the alias *{anchor} stands inside what it names", _line(event), _WRITE_OUT)
            size = sizes.get(str(anchor), 1)
            expanded += size
            if expanded > min(_FREE_EXPANSION + _EXPANSION_FACTOR * written, _MAX_EXPANSION):
                raise UnsafeYaml(
                    f"its aliases stand for {expanded:,} nodes or more", _line(event), _WRITE_OUT
                )
            anchor = None
        written += size == 1
        if anchor:
            sizes[anchor] = size
        if open_nodes:
            open_nodes[-1][0] += size


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None, "events of a text have a mark"
    return event.start_mark.line + 1


def find_line(text: str, path: list[str | int]) -> int | None:
    """Return the line (from 1) at which the innermost part of ``path`` that exists begins.

    :param path: keys and positions from the top, e.g. ``["providers", 3, "inventory", "VCPU"]``
    """
    try:
        scan_events(text)
        node = yaml.compose(text, Loader=_Base)
    except (yaml.YAMLError, UnsafeYaml):
        return None
    line: int | None = None
    for step in path:
        found = _child(node, step)
        if found is None:
            break
        at, node = found
        line = at.start_mark.line + 1
    return line


def _child(node: Any, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the node that shows the place of a child, and the child itself."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key, value
    return None
