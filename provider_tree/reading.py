"""What can be asked of a tree of providers, and how it is copied."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, ValuesView
from typing import Any, Self

from .forest import Forest
from .provider import Provider, ProviderData


class ReadableTree:
    """The questions of ProviderTree."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._forest = Forest()

    @classmethod
    def from_providers(cls, providers: Iterable[Provider]) -> Self:
        """A tree of these providers, which may come in any order.

        :raises ValueError: if a uuid or a name occurs twice, a parent is missing or parents make a cycle
        """
        by_uuid: dict[str, Provider] = {}
        for provider in providers:
            if by_uuid.setdefault(provider.uuid, provider) is not provider:
                raise ValueError(f"Provider {provider.uuid} already exists.")
        tree = cls()
        tree._forest.populate(by_uuid)
        return tree

    @property
    def roots(self) -> ValuesView[Provider]:
        """The providers without a parent."""
        return self.roots_by_uuid.values()

    @property
    def roots_by_uuid(self) -> dict[str, Provider]:
        """The providers without a parent; editing the dict does not change the tree."""
        with self.lock:
            return {uuid: self._forest.by_uuid[uuid] for uuid in self._forest.children[None]}

    @property
    def roots_by_name(self) -> dict[str, Provider]:
        """The providers without a parent; editing the dict does not change the tree."""
        return {root.name: root for root in self.roots}

    def get_provider_uuids(self, name_or_uuid: str | None = None) -> list[str]:
        """The uuids of a provider and all below it, or of all; parents before their children."""
        with self.lock:
            return list(self._forest.walk(None if name_or_uuid is None else self._find(name_or_uuid).uuid))

    def get_provider_uuids_in_tree(self, name_or_uuid: str) -> list[str]:
        """The uuids of the whole tree that a provider is part of; parents before their children."""
        with self.lock:
            return list(self._forest.walk(self.root_of(name_or_uuid).uuid))

    def provider(self, name_or_uuid: str) -> Provider:
        """The provider itself, which is immutable."""
        with self.lock:
            return self._find(name_or_uuid)

    def providers(self) -> Iterator[Provider]:
        """All providers as they are now, in the order of get_provider_uuids."""
        with self.lock:
            found = [self._forest.by_uuid[uuid] for uuid in self._forest.walk()]
        return iter(found)

    def by_uuid(self) -> dict[str, Provider]:
        """All providers as they are now, in no particular order."""
        with self.lock:
            return self._forest.by_uuid.copy()

    def children(self, name_or_uuid: str) -> list[Provider]:
        """The providers directly below one."""
        with self.lock:
            kids = self._forest.children.get(self._find(name_or_uuid).uuid, ())
            return [self._forest.by_uuid[uuid] for uuid in kids]

    def root_of(self, name_or_uuid: str) -> Provider:
        """The root of the tree that a provider is part of."""
        with self.lock:
            return self._forest.root_of(self._find(name_or_uuid))

    def exists(self, name_or_uuid: str) -> bool:
        """Whether there is such a provider."""
        with self.lock:
            return self._forest.has(name_or_uuid)

    def data(self, name_or_uuid: str) -> ProviderData:
        """A copy of a provider's data as it is now, for the caller to edit at will."""
        return self.provider(name_or_uuid).data()

    def __len__(self) -> int:
        return len(self._forest.by_uuid)

    def __bool__(self) -> bool:
        # Code written for Nova tells "no tree" from "a tree" by truth; an empty tree is a tree.
        return True

    def __contains__(self, name_or_uuid: object) -> bool:
        return isinstance(name_or_uuid, str) and self.exists(name_or_uuid)

    def __eq__(self, other: object) -> bool:
        """Whether the same providers are there; the order of siblings and the notes do not count."""
        if not isinstance(other, ReadableTree):
            return NotImplemented
        return self.by_uuid() == other.by_uuid()

    __hash__ = None  # type: ignore[assignment]  # it changes

    # Copies

    def copy(self) -> Self:
        """An independent tree with the same providers."""
        with self.lock:
            new = object.__new__(type(self))
            new.__setstate__({**self.__dict__, "_forest": self._forest.copy()})
            return new

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.copy().__dict__.items() if key != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lock = threading.RLock()

    def _find(self, name_or_uuid: str) -> Provider:
        return self._forest.find(name_or_uuid)
