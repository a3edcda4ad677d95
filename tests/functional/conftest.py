"""A real, empty Placement for each test: openstack-placement on an SQLite file, over HTTP."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

HEADERS = {
    "X-Auth-Token": "admin",
    "X-Roles": "admin,service",
    "OpenStack-API-Version": "placement 1.39",
}

#: What a hook is called with: method and path (with the query). It may return a status and a body to answer.
Hook = Callable[[str, str], tuple[str, bytes] | None]


class RealPlacement:
    """A Placement whose requests are recorded, and what tests need to arrange and look at it.

    ``url`` is for the code under test. The methods go through a second door: they are not recorded and
    not hooked, so a hook may call them (a second writer between a read and a write).
    """

    def __init__(self, application: Any, prefix: str, stack: ExitStack) -> None:
        from reporter.embedded.server import LoopbackServer

        self._application = application
        self._prefix = prefix
        #: (method, path with the query) of each request that came to ``url``
        self.requests: list[tuple[str, str]] = []
        #: called before each request that comes to ``url``; what it returns is answered instead
        self.hook: Hook | None = None
        public = LoopbackServer(self._recorded, prefix)
        stack.callback(public.close)
        private = LoopbackServer(application, prefix)
        stack.callback(private.close)
        self.url = public.url
        self._private = private.url
        self._session = requests.Session()
        self._session.headers.update(HEADERS)
        stack.callback(self._session.close)

    def _recorded(self, environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"].removeprefix(self._prefix)
        if environ.get("QUERY_STRING"):
            path += f"?{environ['QUERY_STRING']}"
        self.requests.append((environ["REQUEST_METHOD"], path))
        answer = self.hook(environ["REQUEST_METHOD"], path) if self.hook else None
        if answer is None:
            return self._application(environ, start_response)
        status, body = answer
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    # The bare API: each returns the body (None where there is none) and fails the test on an error status.

    def request(self, method: str, path: str, body: Any = None, version: str | None = None) -> Any:
        headers = {"OpenStack-API-Version": f"placement {version}"} if version else None
        response = self._session.request(method, self._private + path, json=body, headers=headers, timeout=30)
        assert response.ok, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def put(self, path: str, body: Any = None) -> Any:
        return self.request("PUT", path, body)

    def post(self, path: str, body: Any) -> Any:
        return self.request("POST", path, body)

    def delete(self, path: str) -> Any:
        return self.request("DELETE", path)

    # Arranging

    def add_provider(self, name: str, parent: str | None = None, uuid_: str | None = None) -> str:
        """Create a provider below the provider with uuid ``parent``; its uuid."""
        body = {"name": name, "uuid": uuid_ or str(uuid.uuid4())}
        if parent:
            body["parent_provider_uuid"] = parent
        return str(self.post("/resource_providers", body)["uuid"])

    def set_inventory(self, provider: str, inventory: Mapping[str, int | Mapping[str, Any]]) -> None:
        """Replace the inventory; a number is a total. Custom classes are created."""
        for name in inventory:
            if name.startswith("CUSTOM_"):
                self.put(f"/resource_classes/{name}")
        records = {k: {"total": v} if isinstance(v, int) else dict(v) for k, v in inventory.items()}
        self.put(
            f"/resource_providers/{provider}/inventories",
            {"resource_provider_generation": self.generation(provider), "inventories": records},
        )

    def set_traits(self, provider: str, *traits: str) -> None:
        """Replace the traits; custom ones are created."""
        for trait in traits:
            if trait.startswith("CUSTOM_"):
                self.put(f"/traits/{trait}")
        self.put(
            f"/resource_providers/{provider}/traits",
            {"resource_provider_generation": self.generation(provider), "traits": list(traits)},
        )

    def set_aggregates(self, provider: str, *aggregates: str) -> None:
        self.put(
            f"/resource_providers/{provider}/aggregates",
            {"resource_provider_generation": self.generation(provider), "aggregates": list(aggregates)},
        )

    def allocate(
        self, resources: Mapping[str, Mapping[str, int]], consumer: str | None = None, type_: str = "INSTANCE"
    ) -> str:
        """Give ``{provider uuid: {class: amount}}`` to a consumer that has nothing yet; its uuid."""
        consumer = consumer or str(uuid.uuid4())
        body = {
            "allocations": {
                provider: {"resources": dict(amounts)} for provider, amounts in resources.items()
            },
            "project_id": "tests",
            "user_id": "tests",
            "consumer_generation": None,
            "consumer_type": type_,
        }
        self.put(f"/allocations/{consumer}", body)
        return consumer

    # Looking

    def generation(self, provider: str) -> int:
        return int(self.get(f"/resource_providers/{provider}")["generation"])

    def uuid_of(self, name: str) -> str | None:
        found = self.get(f"/resource_providers?name={name}")["resource_providers"]
        return str(found[0]["uuid"]) if found else None

    def tree(self) -> dict[str, dict[str, Any]]:
        """All of it: name → uuid, parent (a name or None), inventory, traits, aggregates (both sorted)."""
        listed = self.get("/resource_providers")["resource_providers"]
        names = {provider["uuid"]: provider["name"] for provider in listed}
        return {
            provider["name"]: {
                "uuid": provider["uuid"],
                "parent": names.get(provider["parent_provider_uuid"]),
                **self._contents(provider["uuid"]),
            }
            for provider in listed
        }

    def _contents(self, provider: str) -> dict[str, Any]:
        base = f"/resource_providers/{provider}"
        return {
            "inventory": self.get(f"{base}/inventories")["inventories"],
            "traits": sorted(self.get(f"{base}/traits")["traits"]),
            "aggregates": sorted(self.get(f"{base}/aggregates")["aggregates"]),
        }

    def allocations(self, consumer: str) -> dict[str, dict[str, int]]:
        """``{provider uuid: {class: amount}}`` of a consumer."""
        found = self.get(f"/allocations/{consumer}")["allocations"]
        return {provider: held["resources"] for provider, held in found.items()}


@pytest.fixture(scope="session")
def placement_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that has its schema, traits and classes already."""
    pytest.importorskip("placement", reason="needs the embedded extra")
    from reporter.embedded.application import load_application

    path = tmp_path_factory.mktemp("placement") / "template.sqlite"
    load_application(path, "", durable=False).close()
    return path


@pytest.fixture
def make_placement(placement_template: Path, tmp_path: Path) -> Iterator[Callable[[], RealPlacement]]:
    """For tests that need more than one Placement: each call starts another."""
    from reporter.embedded.application import load_application

    with ExitStack() as stack:

        def make() -> RealPlacement:
            name = uuid.uuid4().hex
            path = tmp_path / f"{name}.sqlite"
            shutil.copy(placement_template, path)
            application = load_application(path, f"/{name}", durable=False)
            stack.callback(application.close)
            return RealPlacement(application, f"/{name}", stack)

        yield make


@pytest.fixture
def placement(make_placement: Callable[[], RealPlacement]) -> RealPlacement:
    return make_placement()
