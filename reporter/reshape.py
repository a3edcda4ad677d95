"""Moving allocations: read them, hand them to the driver, check what it made of them, and say what moved.

``POST /reshaper`` replaces everything that a consumer holds, so each consumer goes in whole: other trees'
providers, its generation, project and user included. Only consumers that the driver changed go in at all.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from drivers.errors import ReshapeFailed
from provider_tree import Action, Change, Kind
from provider_tree.inventory import capacity, complete
from reporter.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

    from drivers.base import Allocations
    from drivers.reshape_rules import ReshapeRules
    from provider_tree import ProviderTree
    from reporter.placement.client import Allocation, PlacementClient
    from reporter.state.directory import StateDirectory

_SAVED_FILES = 10


def read_allocations(
    client: PlacementClient, uuids: Iterable[str], executor: Executor
) -> dict[str, Allocation]:
    """All that the consumers of these providers hold, anywhere.

    :return: consumer uuid → allocation
    """
    consumers = sorted(set().union(*executor.map(client.consumers_of, uuids)))
    found = executor.map(client.allocation, consumers)
    return {each.consumer: each for each in found if each is not None}


def read_consumers(client: PlacementClient, consumers: Iterable[str], executor: Executor) -> Allocations:
    """What these consumers hold now, in a driver's shape; one that holds nothing is missing."""
    found = executor.map(client.allocation, sorted(consumers))
    return for_driver({each.consumer: each for each in found if each is not None})


def for_driver(allocations: Mapping[str, Allocation]) -> Allocations:
    """The allocations as a driver gets them, to be edited in place (Nova's shape)."""
    return {
        consumer: {
            "allocations": {
                uuid: {"resources": dict(resources)} for uuid, resources in each.resources.items()
            },
            "project_id": each.project_id,
            "user_id": each.user_id,
            "consumer_generation": each.consumer_generation,
            "consumer_type": each.consumer_type,
        }
        for consumer, each in allocations.items()
    }


def moved(before: Allocations, after: Allocations) -> Allocations:
    """The consumers whose allocations the driver changed, as they are to be.

    :raises ReshapeFailed: the driver added or dropped a consumer, or left something that is no allocation
    """
    if strange := before.keys() ^ after.keys():
        raise ReshapeFailed(
            f"the driver added or dropped consumers in a reshape: {', '.join(sorted(strange))}",
            "a driver may only edit the allocations it is given; this is a defect of the driver",
        )
    for consumer, allocation in after.items():
        _refuse_malformed(consumer, allocation)
    return {
        # Generation, project and user are not the driver's to decide.
        consumer: {**before[consumer], "allocations": copy.deepcopy(after[consumer]["allocations"])}
        for consumer in sorted(before)
        if resources_of(before[consumer]) != resources_of(after[consumer])
    }


def _refuse_malformed(consumer: str, allocation: Any) -> None:
    try:
        amounts = resources_of(allocation).values()
    except (LookupError, TypeError, AttributeError) as error:
        what = f"what the driver leaves for consumer {consumer} is no allocation: {error!r}"
    else:
        wrong = [each for each in amounts if type(each) is not int or each < 0]
        if not wrong:
            return
        what = f"the driver would give consumer {consumer} an amount of {wrong[0]!r}"
    raise ReshapeFailed(what, "this is a defect of the driver")


def resources_of(allocation: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """(Provider uuid, resource class) → amount, without zeros."""
    return {
        (uuid, resource_class): amount
        for uuid, each in allocation["allocations"].items()
        for resource_class, amount in each["resources"].items()
        if amount
    }


def reshaper_body(consumers: Allocations) -> dict[str, dict[str, Any]]:
    """The ``allocations`` of ``POST /reshaper`` at 1.37; it takes no consumer type, stored ones stay."""
    body: dict[str, dict[str, Any]] = {}
    for consumer, each in consumers.items():
        by_provider: dict[str, dict[str, dict[str, int]]] = {}
        for (uuid, resource_class), amount in sorted(resources_of(each).items()):
            by_provider.setdefault(uuid, {"resources": {}})["resources"][resource_class] = amount
        body[consumer] = {
            "allocations": by_provider,
            "project_id": each["project_id"],
            "user_id": each["user_id"],
            "consumer_generation": each["consumer_generation"],
        }
    return body


def describe(
    before: Allocations, after: Allocations, current: ProviderTree, wanted: ProviderTree
) -> list[Change]:
    """One change a consumer that moves; before and after name the providers of the tree."""
    return [
        Change(
            kind=Kind.ALLOCATIONS,
            action=Action.MOVE,
            provider=wanted_root.name,
            uuid=wanted_root.uuid,
            before=_named(before[consumer], current, wanted),
            after=_named(after[consumer], current, wanted),
            reason="reshape",
            consumer=consumer,
        )
        for wanted_root in list(wanted.providers())[:1]
        for consumer in sorted(after)
    ]


def _named(allocation: Mapping[str, Any], *trees: ProviderTree) -> dict[str, dict[str, int]]:
    named: dict[str, dict[str, int]] = {}
    for (uuid, resource_class), amount in sorted(resources_of(allocation).items()):
        name = next((tree.provider(uuid).name for tree in trees if uuid in tree), uuid)
        named.setdefault(name, {})[resource_class] = amount
    return named


def check(
    before: Allocations,
    after: Allocations,
    wanted: ProviderTree,
    usages: Mapping[str, Mapping[str, int]],
    rules: ReshapeRules,
) -> None:
    """Refuse a reshape that loses or invents amounts, or whose destinations have no room.

    :param after: the consumers that move (``moved``)
    :param usages: provider uuid → class → amount in use now, for providers that gain
    :param rules: class changes and additions that the driver declares
    :raises ReshapeFailed: names the consumer
    """
    used: Counter[tuple[str, str]] = Counter(
        {(uuid, name): amount for uuid, each in usages.items() for name, amount in each.items()}
    )
    gained: dict[tuple[str, str], str] = {}
    for consumer, allocation in after.items():
        old, new = resources_of(before[consumer]), resources_of(allocation)
        _check_conserved(consumer, old, new, rules)
        for place in old.keys() | new.keys():
            change = new.get(place, 0) - old.get(place, 0)
            used[place] += change
            if change > 0:
                gained[place] = consumer
                _check_is_there(consumer, place, wanted)
        for place, amount in new.items():
            # Also what does not move: Placement looks at all that is written.
            _check_units(consumer, place, amount, wanted)
    for place, consumer in sorted(gained.items()):
        uuid, resource_class = place
        provider = wanted.provider(uuid)
        room = capacity(provider.inventory[resource_class])
        # What is overcommitted already may stay so, as long as it gets no worse.
        if used[place] > max(room, usages.get(uuid, {}).get(resource_class, 0)):
            raise ReshapeFailed(
                f"consumer {consumer} cannot move to {provider.name}: {resource_class} would have "
                f"{used[place]} in use of {room}",
                "raise the destination's total or allocation_ratio, or move the consumer elsewhere",
            )


def _check_conserved(
    consumer: str, old: Mapping[tuple[str, str], int], new: Mapping[tuple[str, str], int], rules: ReshapeRules
) -> None:
    change: Counter[str] = Counter()
    for (_, resource_class), amount in new.items():
        change[rules.group(resource_class)] += amount
    for (_, resource_class), amount in old.items():
        change[rules.group(resource_class)] -= amount
    for group, amount in sorted(change.items()):
        if amount < 0 or (amount > 0 and group not in {rules.group(each) for each in rules.additions}):
            raise ReshapeFailed(
                f"the driver would change what consumer {consumer} holds: {amount:+d} {group}",
                "a reshape moves amounts, it does not change them; this is a defect of the driver",
            )


def _check_is_there(consumer: str, place: tuple[str, str], wanted: ProviderTree) -> None:
    uuid, resource_class = place
    if uuid not in wanted:
        raise ReshapeFailed(
            f"the driver would move {resource_class} of consumer {consumer} to {uuid}, not in the tree",
            "this is a defect of the driver",
        )
    provider = wanted.provider(uuid)
    if resource_class not in provider.inventory:
        raise ReshapeFailed(
            f"the driver would move {resource_class} of consumer {consumer} to {provider.name}: it has none",
            "this is a defect of the driver",
        )


def _check_units(consumer: str, place: tuple[str, str], amount: int, wanted: ProviderTree) -> None:
    uuid, resource_class = place
    if uuid not in wanted or resource_class not in wanted.provider(uuid).inventory:
        return  # another tree's, or the policy's to hold
    provider = wanted.provider(uuid)
    record = complete(provider.inventory[resource_class])
    if not record["min_unit"] <= amount <= record["max_unit"] or amount % record["step_size"]:
        raise ReshapeFailed(
            f"consumer {consumer} would hold {amount} {resource_class} of {provider.name}, which hands out "
            f"{record['min_unit']} to {record['max_unit']} in steps of {record['step_size']}",
            "adapt min_unit, max_unit or step_size of the destination, or move the consumer elsewhere",
        )


def usages_after(
    usages: Mapping[str, Mapping[str, int]], before: Allocations, after: Allocations
) -> dict[str, dict[str, int]]:
    """What is in use on each provider when the consumers have moved."""
    result = {uuid: dict(each) for uuid, each in usages.items()}
    for sign, allocations in ((-1, before), (1, after)):
        for allocation in allocations.values():
            for (uuid, resource_class), amount in resources_of(allocation).items():
                if uuid in result:
                    result[uuid][resource_class] = result[uuid].get(resource_class, 0) + sign * amount
    return result


def save_before(state: StateDirectory, node: str, before: Allocations) -> None:
    """Keep what the consumers hold now, so that a person can put it back; of each node the last few files.

    A reshape that Placement refuses again and again must not push out what was kept of those that it made:
    the same content is kept once.
    """
    directory = state.path / "allocations"
    prefix = f"{state.node_file(node, 'allocations').stem}."
    kept = [each for each in directory.glob(f"{prefix}*.json") if each.stem.removeprefix(prefix).isdigit()]
    kept.sort(key=lambda each: each.stat().st_mtime_ns)
    content = {"format_version": 1, "node": node, "allocations": before}
    if kept and _content(state, kept[-1]) == content:
        return
    state.write(directory / f"{prefix}{time.time_ns()}.json", content)
    for old in kept[: -_SAVED_FILES + 1]:
        state.delete(old)


def _content(state: StateDirectory, file: Path) -> object:
    try:
        return state.read(file)
    except StateError:
        return None
