"""Trees of resource providers, with the interface of Nova's ProviderTree.

A driver written for Nova works on these as it is. What differs: names and uuids are unique throughout, each
tree has a lock of its own, looking a provider up does not walk the tree, and copies share what they have in
common, so that copying and comparing large trees is cheap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, Final

from .frozen import FrozenDict
from .provider import Provider, derive_uuid
from .reading import ReadableTree
from .source import Source

_SHARING_TRAIT: Final = "MISC_SHARES_VIA_AGGREGATE"


class ProviderTree(ReadableTree):
    """Resource providers below one or more roots. Safe to use from several threads.

    Where a method takes `name_or_uuid`, a uuid goes before a name, and a provider that is not there is a
    ValueError.
    """

    def subtree(self, name_or_uuid: str) -> ProviderSubTree:
        """A copy of the one tree that has this root.

        :raises ValueError: also if the provider is not a root
        """
        with self.lock:
            root = self._find(name_or_uuid)
            if root.parent_uuid is not None:
                raise ValueError(f"Provider {name_or_uuid} is not a root provider")
            new = ProviderSubTree(name_or_uuid)
            new._forest.populate(  # noqa: SLF001  # a tree of ours, just made
                {uuid: self._forest.by_uuid[uuid] for uuid in self._forest.walk(root.uuid)}
            )
            return new

    # Providers coming, going and changing places

    def new_root(self, name: str, uuid: str, generation: int | None = None) -> str:
        """Add a provider without a parent and return its uuid.

        :raises ValueError: if the uuid or the name is taken, or there is no uuid
        """
        with self.lock:
            self._forest.add(Provider(uuid, name, generation))
            return uuid

    def new_child(
        self, name: str, parent: str, uuid: str | None = None, generation: int | None = None
    ) -> str:
        """Add a provider below another and return its uuid.

        :param parent: name or uuid of the parent
        :param uuid: derived from the parent's and the name if it is left out, so that the next run agrees
        :raises ValueError: if the uuid or the name is taken, or there is no such parent
        """
        with self.lock:
            above = self._find(parent)
            new = Provider(uuid or self._unused_uuid(above.uuid, name), name, generation, above.uuid)
            self._forest.add(new)
            return new.uuid

    def add(self, provider: Provider) -> None:
        """Add a provider with all that it has, below the parent that it names.

        :raises ValueError: if the uuid or the name is taken, or there is no such parent
        """
        with self.lock:
            if provider.parent_uuid is not None:
                self._find(provider.parent_uuid)
            self._forest.add(provider)

    def _unused_uuid(self, parent_uuid: str, name: str) -> str:
        uuid = derive_uuid(parent_uuid, name)
        count = 1
        while self._forest.has(uuid):
            count += 1
            uuid = derive_uuid(parent_uuid, f"{name}#{count}")
        return uuid

    def populate_from_iterable(self, provider_dicts: Iterable[Mapping[str, Any]]) -> None:
        """Add providers as Placement lists them, each in place of the one that has its uuid.

        A provider that was there loses its inventory, traits and aggregates, and all providers below it
        that are not given as well. Unlike in Nova, nothing changes if anything is wrong.

        :param provider_dicts: dicts with `uuid` and `name`, and maybe `generation` and
            `parent_provider_uuid`; of two with one uuid the later counts
        :raises ValueError: if a parent is missing, parents make a cycle, or a name occurs twice
        """
        new = {
            each["uuid"]: Provider(
                each["uuid"], each["name"], each.get("generation"), each.get("parent_provider_uuid")
            )
            for each in provider_dicts
        }
        with self.lock:
            self._forest.populate(new)

    def remove(self, name_or_uuid: str) -> None:
        """Remove a provider and all below it."""
        with self.lock:
            self._forest.remove(self._find(name_or_uuid).uuid)

    def rename(self, name_or_uuid: str, name: str) -> None:
        """Give a provider another name.

        :raises ValueError: also if the name is taken
        """
        with self.lock:
            self._forest.put(replace(self._find(name_or_uuid), name=name))

    def move(self, name_or_uuid: str, parent: str | None) -> None:
        """Put a provider, with all below it, under another parent; None makes it a root.

        :raises ValueError: also if the new parent is the provider itself or below it
        """
        with self.lock:
            provider = self._find(name_or_uuid)
            parent_uuid = None if parent is None else self._find(parent).uuid
            if parent_uuid != provider.parent_uuid:
                self._forest.move(replace(provider, parent_uuid=parent_uuid))

    def replace(self, provider: Provider) -> None:
        """Give the provider with this uuid the contents of this one.

        :raises ValueError: if there is no provider with the uuid, or its name or its parent is another
        """
        with self.lock:
            old = self._forest.by_uuid.get(provider.uuid)
            if old is None:
                raise ValueError(f"No such provider {provider.uuid}")
            if (old.name, old.parent_uuid) != (provider.name, provider.parent_uuid):
                raise ValueError(f"Provider {old.name} has another name or parent: rename or move it")
            self._forest.put(provider)

    # Inventories

    def has_inventory(self, name_or_uuid: str) -> bool:
        """Whether a provider has any inventory record."""
        return bool(self.provider(name_or_uuid).inventory)

    def has_inventory_changed(self, name_or_uuid: str, inventory: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether an inventory differs from a provider's; a field that it leaves out does not count."""
        return _differs(self.provider(name_or_uuid).inventory, inventory)

    def update_inventory(
        self,
        name_or_uuid: str,
        inventory: Mapping[str, Mapping[str, Any]],
        generation: int | None = None,
    ) -> bool:
        """Store an inventory; a generation is stored even if nothing else changed.

        What is stored is what was given, also where the answer is False because all that differs is a field
        left out: to Placement that field now has its default.

        :returns: what has_inventory_changed says
        """
        with self.lock:
            old = self._find(name_or_uuid).inventory
            return self._store(name_or_uuid, generation, inventory=inventory) and _differs(old, inventory)

    def has_sharing_provider(self, resource_class: str) -> bool:
        """Whether any provider shares inventory of a class with other trees."""
        return any(
            resource_class in provider.inventory and _SHARING_TRAIT in provider.traits
            for provider in self.by_uuid().values()
        )

    # Traits

    def has_traits(self, name_or_uuid: str, traits: Iterable[str]) -> bool:
        """Whether a provider has all of these traits; yes if none is asked for."""
        return self.provider(name_or_uuid).traits.issuperset(traits)

    def have_traits_changed(self, name_or_uuid: str, traits: Iterable[str]) -> bool:
        """Whether a provider's traits are not exactly these."""
        return self.provider(name_or_uuid).traits != frozenset(traits)

    def update_traits(self, name_or_uuid: str, traits: Iterable[str], generation: int | None = None) -> bool:
        """Store a provider's traits, and a generation in any case; returns whether the traits changed."""
        with self.lock:
            return self._store(name_or_uuid, generation, traits=frozenset(traits))

    def add_traits(self, name_or_uuid: str, *traits: str) -> None:
        """Add traits to those a provider has. Without any, the provider need not be there."""
        with self.lock:
            if traits:
                self._store(name_or_uuid, traits=self._find(name_or_uuid).traits.union(traits))

    def remove_traits(self, name_or_uuid: str, *traits: str) -> None:
        """Take traits away, those the provider has. Without any, the provider need not be there."""
        with self.lock:
            if traits:
                self._store(name_or_uuid, traits=self._find(name_or_uuid).traits.difference(traits))

    # Aggregates

    def in_aggregates(self, name_or_uuid: str, aggregates: Iterable[str]) -> bool:
        """Whether a provider is in all of these aggregates; yes if none is asked for."""
        return self.provider(name_or_uuid).aggregates.issuperset(aggregates)

    def have_aggregates_changed(self, name_or_uuid: str, aggregates: Iterable[str]) -> bool:
        """Whether a provider's aggregates are not exactly these."""
        return self.provider(name_or_uuid).aggregates != frozenset(aggregates)

    def update_aggregates(
        self, name_or_uuid: str, aggregates: Iterable[str], generation: int | None = None
    ) -> bool:
        """Store a provider's aggregates, and a generation in any case; returns whether they changed."""
        with self.lock:
            return self._store(name_or_uuid, generation, aggregates=frozenset(aggregates))

    def add_aggregates(self, name_or_uuid: str, *aggregates: str) -> None:
        """Add aggregates to those a provider is in."""
        with self.lock:
            self._store(name_or_uuid, aggregates=self._find(name_or_uuid).aggregates.union(aggregates))

    def remove_aggregates(self, name_or_uuid: str, *aggregates: str) -> None:
        """Take a provider out of aggregates, those it is in."""
        with self.lock:
            self._store(name_or_uuid, aggregates=self._find(name_or_uuid).aggregates.difference(aggregates))

    # Assignable resources and notes

    def update_resources(self, name_or_uuid: str, resources: Mapping[str, AbstractSet[Any]]) -> bool:
        """Store a provider's assignable resources by class; returns whether they changed."""
        with self.lock:
            return self._store(name_or_uuid, resources=resources)

    def note(self, name_or_uuid: str, field: str, source: Source | str) -> None:
        """Record where a value came from, in place of what was recorded before.

        :param field: "VCPU", "VCPU.total", "traits.HW_CPU_X86_AVX2", "aggregates.UUID" or "name"
        :param source: text stands for a driver's source with that detail
        """
        if isinstance(source, str):
            source = Source("driver", source)
        with self.lock:
            provider = self._find(name_or_uuid)
            if provider.notes.get(field) != source:
                notes = FrozenDict({**provider.notes, field: source})
                self._forest.put(replace(provider, notes=notes))

    def notes(self, name_or_uuid: str) -> Mapping[str, Source]:
        """Where a provider's values came from, by field."""
        return self.provider(name_or_uuid).notes

    def _store(self, name_or_uuid: str, generation: int | None = None, **fields: Any) -> bool:
        """Store fields of a provider; returns whether any of them changed. A generation of None is none."""
        provider = self._find(name_or_uuid)
        changed = {key: value for key, value in fields.items() if getattr(provider, key) != value}
        updates = changed
        if generation is not None and generation != provider.generation:
            updates = {**changed, "generation": generation}
        if updates:
            self._forest.put(provider.changed(**updates))
        return bool(changed)


class ProviderSubTree(ProviderTree):
    """A copy of one tree of several, which says whose it is."""

    def __init__(self, scope_rp_uuid: str) -> None:
        super().__init__()
        self._scope_rp_uuid = scope_rp_uuid

    @property
    def scope_rp_uuid(self) -> str:
        """The root as it was asked for: nothing outside its tree is spoken for."""
        return self._scope_rp_uuid


def _differs(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> bool:
    if old.keys() != new.keys():
        return True
    for key, record in new.items():
        stored = old[key]
        if any(field not in stored or stored[field] != value for field, value in record.items()):
            return True
    return False
