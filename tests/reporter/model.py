"""A Placement in memory: what it refuses of the requests of a plan, and what they make of a tree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from provider_tree import Provider, ProviderTree
from reporter.names import Known
from reporter.plan import Request


class Refused(Exception):
    """Placement would answer 400, 404 or 409."""


class Model:
    """Obeys placement-facts: unique names and uuids, parents first, known names, no orphans.

    :ivar providers: uuid → provider, generations not looked at
    """

    def __init__(self, tree: ProviderTree, known: Known) -> None:
        self.providers = {each.uuid: each for each in tree.providers()}
        self.classes, self.traits = set(known.classes), set(known.traits)

    def copy(self) -> Model:
        other = Model(ProviderTree(), Known(frozenset(self.classes), frozenset(self.traits)))
        other.providers = dict(self.providers)
        return other

    def make(self, request: Request) -> None:
        body = dict(request.body or {})
        match request.method, request.path.strip("/").split("/"):
            case "PUT", ["resource_classes", name]:
                self.classes.add(name)
            case "PUT", ["traits", name]:
                self.traits.add(name)
            case "POST", ["resource_providers"]:
                if body["uuid"] in self.providers:
                    raise Refused(f"uuid {body['uuid']} is taken")
                self._place(Provider(body["uuid"], ""), body)
            case "PUT", ["resource_providers", uuid]:
                self._place(self._there(uuid), body)
            case "PUT", ["resource_providers", uuid, "inventories"]:
                self._set_inventory(uuid, body["inventories"])
            case "PUT", ["resource_providers", uuid, ("traits" | "aggregates") as kind]:
                self._set_members(uuid, kind, frozenset(body[kind]))
            case "POST", ["reshaper"]:
                for uuid, each in body["inventories"].items():
                    self._set_inventory(uuid, each["inventories"])
            case "DELETE", ["resource_providers", uuid]:
                self._there(uuid)
                if any(each.parent_uuid == uuid for each in self.providers.values()):
                    raise Refused(f"{uuid} has children")
                del self.providers[uuid]
            case _:
                raise AssertionError(f"{request} is no request of a plan")

    def _there(self, uuid: str) -> Provider:
        if uuid not in self.providers:
            raise Refused(f"there is no provider {uuid}")
        return self.providers[uuid]

    def _place(self, provider: Provider, body: dict[str, Any]) -> None:
        name, parent = body["name"], body["parent_provider_uuid"]
        if any(each.name == name and each.uuid != provider.uuid for each in self.providers.values()):
            raise Refused(f"name {name} is taken")
        above = parent
        while above is not None:
            if above == provider.uuid:
                raise Refused(f"{provider.uuid} would be below itself")
            above = self._there(above).parent_uuid
        self.providers[provider.uuid] = replace(provider, name=name, parent_uuid=parent)

    def _set_inventory(self, uuid: str, inventory: dict[str, Any]) -> None:
        if unknown := inventory.keys() - self.classes:
            raise Refused(f"unknown classes {unknown}")
        self.providers[uuid] = replace(self._there(uuid), inventory=inventory)

    def _set_members(self, uuid: str, kind: str, members: frozenset[str]) -> None:
        if kind == "traits" and (unknown := members - self.traits):
            raise Refused(f"unknown traits {unknown}")
        provider = self._there(uuid)
        self.providers[uuid] = (
            replace(provider, traits=members) if kind == "traits" else replace(provider, aggregates=members)
        )

    def tree(self) -> ProviderTree:
        return ProviderTree.from_providers(self.providers.values())
