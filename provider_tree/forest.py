"""Who is whose child: providers by uuid and by name, and the order of the trees they make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Self

from .provider import Provider


class Forest:
    """Trees of providers, without a lock. Every look-up is a dict access; none walks a tree.

    :ivar by_uuid: all providers
    :ivar uuid_of: their uuids by name
    :ivar children: uuids of the children of each provider that has any, in the order they were added;
        those of None are the roots
    """

    __slots__ = ("by_uuid", "children", "uuid_of")

    def __init__(self) -> None:
        self.by_uuid: dict[str, Provider] = {}
        self.uuid_of: dict[str, str] = {}
        # The inner dicts are ordered sets: removing one child of thousands must not search a list.
        self.children: dict[str | None, dict[str, None]] = {None: {}}

    def copy(self) -> Self:
        """Another forest of the same providers; the cost is that of copying dicts."""
        new = type(self)()
        new.by_uuid = self.by_uuid.copy()
        new.uuid_of = self.uuid_of.copy()
        new.children = {parent: kids.copy() for parent, kids in self.children.items()}
        return new

    def has(self, name_or_uuid: str | None) -> bool:
        """Whether there is such a provider."""
        return name_or_uuid in self.by_uuid or name_or_uuid in self.uuid_of

    def find(self, name_or_uuid: str) -> Provider:
        """The provider with this uuid, or else with this name.

        :raises ValueError: if there is none
        """
        found = self.by_uuid.get(name_or_uuid)
        if found is not None:
            return found
        uuid = self.uuid_of.get(name_or_uuid)
        if uuid is None:
            raise ValueError(f"No such provider {name_or_uuid}")
        return self.by_uuid[uuid]

    def root_of(self, provider: Provider) -> Provider:
        """The root above a provider; the steps are those up the tree."""
        while provider.parent_uuid is not None:
            provider = self.by_uuid[provider.parent_uuid]
        return provider

    def walk(self, uuid: str | None = None) -> Iterator[str]:
        """The uuids of a provider and all below it, or of everything: parents first, siblings in order."""
        stack = list(reversed(self.children[None])) if uuid is None else [uuid]
        while stack:
            uuid = stack.pop()
            yield uuid
            if uuid in self.children:
                stack.extend(reversed(self.children[uuid]))

    def add(self, provider: Provider) -> None:
        """Put in a provider whose parent is there; last among its siblings.

        :raises ValueError: if its uuid or its name is taken
        """
        for taken in (provider.uuid, provider.name):
            if self.has(taken):
                raise ValueError(f"Provider {taken} already exists.")
        self._link(provider)

    def _link(self, provider: Provider) -> None:
        self.by_uuid[provider.uuid] = provider
        self.uuid_of[provider.name] = provider.uuid
        self.children.setdefault(provider.parent_uuid, {})[provider.uuid] = None

    def put(self, provider: Provider) -> None:
        """Store another value of a provider that is there, in the same place, maybe with another name."""
        old = self.by_uuid[provider.uuid]
        if old.name != provider.name:
            is_uuid_of_another = provider.name != provider.uuid and provider.name in self.by_uuid
            if provider.name in self.uuid_of or is_uuid_of_another:
                raise ValueError(f"Provider {provider.name} already exists.")
            del self.uuid_of[old.name]
            self.uuid_of[provider.name] = provider.uuid
        self.by_uuid[provider.uuid] = provider

    def move(self, provider: Provider) -> None:
        """Store a provider that is there below its new parent_uuid, last among its new siblings.

        :raises ValueError: if the new parent is the provider itself or below it
        """
        parent_uuid = provider.parent_uuid
        above = parent_uuid
        while above is not None:
            if above == provider.uuid:
                raise ValueError(f"Provider {provider.name} cannot be moved below itself.")
            above = self.by_uuid[above].parent_uuid
        self._unlink(self.by_uuid[provider.uuid])
        self.by_uuid[provider.uuid] = provider
        self.children.setdefault(parent_uuid, {})[provider.uuid] = None

    def _unlink(self, provider: Provider) -> None:
        siblings = self.children[provider.parent_uuid]
        del siblings[provider.uuid]
        if not siblings and provider.parent_uuid is not None:
            del self.children[provider.parent_uuid]

    def remove(self, uuid: str) -> None:
        """Take out a provider and all below it."""
        gone = list(self.walk(uuid))
        self._unlink(self.by_uuid[uuid])
        for each in gone:
            provider = self.by_uuid.pop(each)
            del self.uuid_of[provider.name]
            self.children.pop(each, None)

    def populate(self, additions: Mapping[str, Provider]) -> None:
        """Put in providers in any order, each in place of the one with its uuid and all below that.

        Nothing changes if anything is wrong.

        :raises ValueError: if a parent would be missing, parents would make a cycle, or two providers
            would have one name
        """
        replaced = {
            each for uuid in additions if uuid in self.by_uuid for each in self._under(uuid, additions)
        }
        ordered = self._parents_first(additions, replaced)
        names: dict[str, str] = {}
        for new in ordered:
            holder = names.setdefault(new.name, new.uuid)
            if holder == new.uuid:
                holder = self.uuid_of.get(new.name, new.uuid)
                if holder in replaced:
                    continue
            if holder != new.uuid:
                raise ValueError(f"Provider {new.name} already exists.")
        for uuid in additions:
            if uuid in self.by_uuid:
                self.remove(uuid)
        for new in ordered:
            self._link(new)

    def _under(self, uuid: str, additions: Mapping[str, Any]) -> Iterator[str]:
        # Stops at providers which are replaced themselves: what is below those is walked from there.
        stack = [uuid]
        while stack:
            uuid = stack.pop()
            yield uuid
            stack.extend(kid for kid in self.children.get(uuid, ()) if kid not in additions)

    def _parents_first(self, additions: Mapping[str, Provider], replaced: set[str]) -> list[Provider]:
        waiting: dict[str | None, list[Provider]] = {}
        missing = []
        ready = []
        for provider in additions.values():
            parent = provider.parent_uuid
            if parent in additions:
                waiting.setdefault(parent, []).append(provider)
            elif parent is None or (parent in self.by_uuid and parent not in replaced):
                ready.append(provider)
            else:
                missing.append(parent)
        if missing:
            raise ValueError(f"The following parents were not found: {_join(missing)}")
        ordered = []
        for provider in ready:  # grows as it is read
            ordered.append(provider)
            ready.extend(waiting.pop(provider.uuid, ()))
        if waiting:
            cycle = chain.from_iterable(waiting.values())
            raise ValueError(f"These providers are below each other: {_join(each.uuid for each in cycle)}")
        return ordered


def _join(uuids: Iterable[str]) -> str:
    return ", ".join(sorted(set(uuids)))
