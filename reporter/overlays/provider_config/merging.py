"""Which provider of a tree gets what from the provider files. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provider_tree.source import Source
from reporter.errors import ConfigurationError
from reporter.overlays.provider_config.document import COMPUTE_NODE, ProviderConfig

if TYPE_CHECKING:
    from provider_tree import Provider, ProviderTree

#: The trait that marks what $COMPUTE_NODE stands for.
_COMPUTE_NODE_TRAIT = "COMPUTE_NODE"


@dataclass(frozen=True, slots=True)
class Addition:
    """What one provider gets.

    :ivar inventory: its whole inventory with what is added; None where nothing is
    :ivar notes: where what is added comes from
    """

    uuid: str
    inventory: Mapping[str, Mapping[str, Any]] | None
    traits: frozenset[str]
    notes: Mapping[str, Source] = field(default_factory=dict)


def strip(tree: ProviderTree, configs: Sequence[ProviderConfig]) -> None:
    """Take the classes out of the tree that the files name for its providers.

    What $COMPUTE_NODE stands for is not known yet: the driver has not marked its roots. So it means all here.
    """
    for config in configs:
        keys = [root.uuid for root in tree.roots] if config.key == COMPUTE_NODE else [config.lookup]
        for key in keys:
            had = tree.provider(key).inventory if key in tree else {}
            left = {name: record for name, record in had.items() if name not in config.inventory}
            if len(left) != len(had):
                tree.update_inventory(key, left)


def resolve(tree: ProviderTree, configs: Sequence[ProviderConfig]) -> tuple[list[Addition], dict[str, Path]]:
    """What each provider gets, and which keys name no provider of this tree, with their files.

    :raises ConfigurationError: a provider is named twice, or has a class already that a file adds
    """
    by_uuid: dict[str, ProviderConfig] = {}
    additions: list[Addition] = []
    for config, provider in targets(tree, configs):
        other = by_uuid.setdefault(provider.uuid, config)
        if other is not config:
            raise ConfigurationError(
                f"{config.path}: provider {config.key} is {other.key} of {other.path}",
                "name each provider once, by uuid or by name",
            )
        additions.append(_addition(config, provider))
    found = {config.key for config, _ in targets(tree, configs)}
    absent = {each.key: each.path for each in configs if each.key not in {*found, COMPUTE_NODE}}
    return additions, absent


def targets(
    tree: ProviderTree, configs: Sequence[ProviderConfig]
) -> Iterator[tuple[ProviderConfig, Provider]]:
    """The providers that each definition is for; those of $COMPUTE_NODE are named by no other."""
    keys = {config.lookup for config in configs}
    for config in configs:
        if config.key == COMPUTE_NODE:
            yield from ((config, root) for root in _compute_nodes(tree.roots, keys))
        elif config.lookup in tree:
            yield config, tree.provider(config.lookup)


def _compute_nodes(roots: Iterable[Provider], keys: set[str]) -> Iterator[Provider]:
    for root in roots:
        if _COMPUTE_NODE_TRAIT in root.traits and not keys & {root.uuid, root.name}:
            yield root


def _addition(config: ProviderConfig, provider: Provider) -> Addition:
    taken = sorted(config.inventory.keys() & provider.inventory.keys())
    if taken:
        raise ConfigurationError(
            f"{config.path}: provider {provider.name} has {taken[0]} already, from the driver",
            f"take {taken[0]} out of the file",
        )
    detail = str(config.path)
    notes = {name: Source("document", detail, dict(each)) for name, each in config.inventory.items()}
    notes |= {f"traits.{name}": Source("document", detail) for name in config.traits}
    inventory = {**provider.inventory, **config.inventory} if config.inventory else None
    return Addition(provider.uuid, inventory, config.traits, notes)
