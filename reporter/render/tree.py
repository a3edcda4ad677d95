"""A provider tree as an outline: each provider with its records, and below it its children."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from provider_tree.inventory import DEFAULTS, complete
from reporter.render.outline import Entry, Span, line

if TYPE_CHECKING:
    from provider_tree import Provider, ProviderTree


def outline_tree(tree: ProviderTree) -> list[Entry]:
    """The trees, one entry a root."""
    made: dict[str, Entry] = {}
    for provider in reversed(list(tree.providers())):  # children before their parents
        children = sorted(tree.children(provider.uuid), key=lambda each: each.name)
        made[provider.uuid] = _provider(provider, [made.pop(each.uuid) for each in children])
    return [made[root.uuid] for root in sorted(tree.roots, key=lambda each: each.name)]


def _provider(provider: Provider, children: list[Entry]) -> Entry:
    below = [
        line(Span(name, "added"), f": {describe_record(record)}")
        for name, record in sorted(provider.inventory.items())
    ]
    below += _names("traits", provider.traits)
    below += _names("aggregates", provider.aggregates)
    return line(Span(provider.name, "name"), Span(f" {provider.uuid}", "faint"), below=[*below, *children])


def _names(label: str, names: frozenset[str]) -> list[Entry]:
    return [line(Span(f"{label}: ", "faint"), ", ".join(sorted(names)))] if names else []


def describe_record(record: Mapping[str, Any]) -> str:
    """An inventory record in a line: the total, and each field that is not what Placement makes it anyway."""
    full = complete(record)
    special = [f"{field} {full[field]}" for field, default in DEFAULTS.items() if full[field] != default]
    return ", ".join([f"total {full['total']}", *special])
