"""What a reshape must move: resource classes that leave one provider for another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.errors import ReshapeFailed
from drivers.reshape import consumers_of, move_allocations
from drivers.static.reshape_rules import ReshapeRule
from provider_tree.provider import Provider

if TYPE_CHECKING:
    from drivers.base import Allocations

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Leaving:
    """A class that a provider has in Placement and is not to have any more, while others newly get one.

    :ivar source: the provider that has it
    :ivar gaining: uuid → name of the providers that newly get the class
    :ivar rules: what the document says of it, in its order, with each destination as it is to be
    """

    resource_class: str
    source: Provider
    gaining: Mapping[str, str]
    rules: Sequence[tuple[ReshapeRule, Provider]] = ()

    def __str__(self) -> str:
        names = [rule.destination for rule, _ in self.rules] or sorted(self.gaining.values())
        return f"{self.resource_class} moves from {self.source.name} to {', '.join(dict.fromkeys(names))}"


def find_leaving(
    current: Iterable[Provider],
    desired: Mapping[str, Provider],
    rules: Sequence[ReshapeRule],
    is_ours: Callable[[str, str], bool] | None = None,
) -> list[Leaving]:
    """Return the classes that leave a provider and have somewhere to go; one that only goes is no reshape.

    :param current: the providers of the node's tree, as Placement has them
    :param desired: uuid → provider, as they are to be
    :param is_ours: whether a document brought a class to a provider (by uuid); left out, all that is there. A
        class that others brought to a provider of theirs leaves it only where a rule says so.
    """
    had = {provider.uuid: provider for provider in current}
    gone = [
        (resource_class, provider)
        for provider in had.values()
        for resource_class in _classes_gone(provider, desired.get(provider.uuid))
    ]
    if not gone:
        return []
    gaining: dict[str, dict[str, str]] = {}
    for each in desired.values():
        before = had[each.uuid].inventory if each.uuid in had else {}
        for resource_class in each.inventory.keys() - before.keys():
            gaining.setdefault(resource_class, {})[each.uuid] = each.name
    by_name = {provider.name: provider for provider in desired.values()}
    found = [
        Leaving(name, source, gaining.get(name, {}), _rules_for(name, source, rules, by_name))
        for name, source in gone
    ]
    return [each for each in found if each.rules or (each.gaining and _may_leave(each, desired, is_ours))]


def _may_leave(
    leaving: Leaving, desired: Mapping[str, Provider], is_ours: Callable[[str, str], bool] | None
) -> bool:
    uuid = leaving.source.uuid
    return is_ours is None or uuid in desired or is_ours(uuid, leaving.resource_class)


def _classes_gone(provider: Provider, wanted: Provider | None) -> list[str]:
    if wanted is not None:
        return sorted(provider.inventory.keys() - wanted.inventory.keys())
    return [] if _is_anothers(provider) else sorted(provider.inventory)


def _rules_for(
    resource_class: str, source: Provider, rules: Sequence[ReshapeRule], by_name: Mapping[str, Provider]
) -> list[tuple[ReshapeRule, Provider]]:
    """Return the rules that speak of this class of this provider, with the destination of each."""
    return [
        (rule, by_name[rule.destination])
        for rule in rules
        if (rule.resource_class, rule.source) == (resource_class, source.name) and rule.destination in by_name
    ]


def _is_anothers(provider: Provider) -> bool:
    """Tell whether a service that marks its providers (OWNER_NOVA, OWNER_CYBORG) keeps this one."""
    return any(trait.startswith("OWNER_") for trait in provider.traits)


def move(leaving: Leaving, allocations: Allocations) -> None:
    """Move the allocations of a class that leaves, by the rules, or to the one provider that newly gets it.

    :param allocations: edited in place
    :raises ReshapeFailed: several providers newly get it, and no rule says which consumer goes where; or one
        says a provider that does not get it
    """
    name, source = leaving.resource_class, leaving.source
    if leaving.rules:
        for rule, destination in leaving.rules:
            moved = move_allocations(
                allocations, name, source.uuid, destination.uuid, rule.consumers, rule.to_class
            )
            if moved and rule.to_class not in destination.inventory:
                raise ReshapeFailed(
                    f"consumer {min(moved)} is to move with {name} of {source.name} to {destination.name}, "
                    f"says the document, which gives that provider no {rule.to_class}",
                    f"correct the document: its reshape section, or the inventory of {destination.name}",
                )
    elif len(leaving.gaining) == 1:
        move_allocations(allocations, name, source.uuid, next(iter(leaving.gaining)))
    left = sorted(consumers_of(allocations, name, source.uuid))
    if left:
        shown = ", ".join(left[:_SHOWN]) + (f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else "")
        raise ReshapeFailed(
            f"{name} leaves {source.name}, and nothing says where these consumers go: {shown}",
            f"add to the document: 'reshape: [{{class: {name}, from: {source.name}, to: NAME, consumers: "
            "[UUID, …]}]'; a rule without consumers takes all the rest",
        )
