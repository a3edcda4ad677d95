"""What others keep in Placement, and all that Placement has, read from its database in a millisecond."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

AGGREGATES = [f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "23456"]
CONSUMERS = [f"aaaaaaaa-0000-4000-8000-00000000000{digit}" for digit in range(6)]

_PROVIDERS = """
    SELECT p.uuid, p.name, p.generation, parent.uuid, root.uuid
    FROM resource_providers p LEFT JOIN resource_providers parent ON parent.id = p.parent_provider_id
    LEFT JOIN resource_providers root ON root.id = p.root_provider_id"""
_INVENTORIES = """
    SELECT p.uuid, c.name, i.total, i.reserved, i.min_unit, i.max_unit, i.step_size, i.allocation_ratio
    FROM inventories i JOIN resource_classes c ON c.id = i.resource_class_id
    JOIN resource_providers p ON p.id = i.resource_provider_id"""
_TRAITS = """
    SELECT p.uuid, t.name FROM resource_provider_traits pt JOIN traits t ON t.id = pt.trait_id
    JOIN resource_providers p ON p.id = pt.resource_provider_id"""
_AGGREGATES = """
    SELECT p.uuid, a.uuid
    FROM resource_provider_aggregates pa JOIN placement_aggregates a ON a.id = pa.aggregate_id
    JOIN resource_providers p ON p.id = pa.resource_provider_id"""
_ALLOCATIONS = """
    SELECT a.consumer_id, p.name AS provider, c.name, a.used, k.generation, j.external_id, u.external_id,
    k.consumer_type_id
    FROM allocations a JOIN resource_providers p ON p.id = a.resource_provider_id
    JOIN resource_classes c ON c.id = a.resource_class_id LEFT JOIN consumers k ON k.uuid = a.consumer_id
    LEFT JOIN projects j ON j.id = k.project_id LEFT JOIN users u ON u.id = k.user_id"""
_NAMES = "SELECT name FROM traits WHERE name LIKE 'CUSTOM%' UNION SELECT name FROM resource_classes"

World = Mapping[str, Any]
"""Provider name → what it has; "allocations" → consumer → what it holds, its project, user and type."""


class Dump:
    """What a Placement has at one moment.

    :ivar world: all but the generations and the names that are known and not used
    :ivar key: tells apart any two states
    """

    def __init__(self, path: str) -> None:
        with closing(sqlite3.connect(path)) as database:
            rows = [
                database.execute(query).fetchall()
                for query in (_PROVIDERS, _INVENTORIES, _TRAITS, _AGGREGATES, _ALLOCATIONS, _NAMES)
            ]
        self.key = repr([sorted(map(repr, each)) for each in rows])
        providers, inventories, traits, aggregates, allocations, _ = rows
        records: dict[str, dict[str, Any]] = {
            uuid: {"uuid": uuid, "above": above, "inventory": {}, "traits": set(), "aggregates": set()}
            for uuid, _, _, *above in providers
        }
        for uuid, name, *record in inventories:
            records[uuid]["inventory"][name] = record
        for uuid, name in traits:
            records[uuid]["traits"].add(name)
        for uuid, name in aggregates:
            records[uuid]["aggregates"].add(name)
        held: dict[str, dict[Any, Any]] = {}
        for consumer, provider, name, used, _, *who in allocations:
            held.setdefault(consumer, {"of": who})[provider, name] = used
        self.world: World = {name: records[uuid] for uuid, name, *_ in providers} | {"allocations": held}


def add_shared_storage(placement: Any) -> str:
    """Another tree, which instances of ours use too; its uuid."""
    storage = str(placement.add_provider("storage"))
    placement.set_inventory(storage, {"DISK_GB": 1000})
    placement.set_traits(storage, "MISC_SHARES_VIA_AGGREGATE")
    placement.set_aggregates(storage, AGGREGATES[0])
    placement.allocate({storage: {"DISK_GB": 10}}, CONSUMERS[0])
    return storage


def add_others(placement: Any, provider: str) -> None:
    """A class, a trait and an aggregate of others on a provider, and a child of theirs with all of it."""
    base = f"/resource_providers/{provider}"
    inventory = placement.get(f"{base}/inventories")["inventories"]
    placement.set_inventory(provider, {**inventory, "CUSTOM_LICENCE": 3})
    placement.set_traits(provider, *placement.get(f"{base}/traits")["traits"], "CUSTOM_OPERATOR")
    aggregates = placement.get(f"{base}/aggregates")["aggregates"]
    placement.set_aggregates(provider, *aggregates, AGGREGATES[1])
    agent = placement.add_provider(f"agent below {provider}", provider)
    placement.set_inventory(agent, {"NET_BW_EGR_KILOBIT_PER_SEC": 1000})
    placement.set_traits(agent, "CUSTOM_PHYSNET_A")
    placement.set_aggregates(agent, AGGREGATES[1])
