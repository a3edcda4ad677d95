"""What others do to Placement: instances come, an operator sets a trait. And a look at what is there."""

from __future__ import annotations

import uuid

from benchmarks.work import CUSTOM_TRAIT_OF_OTHERS, Work, custom_names
from reporter.library import connect


class Neighbour:
    """Another client of the same Placement; nothing it does is measured."""

    def __init__(self, url: str) -> None:
        self._client = connect(url=url)

    def make_known(self, works: list[Work]) -> None:
        """Have Placement know all custom names, so that no client has to create them first."""
        classes, traits = custom_names(works)
        for name in sorted(classes):
            self._client.request("PUT", f"/resource_classes/{name}")
        for name in sorted(traits):
            self._client.request("PUT", f"/traits/{name}")

    def boot(self, root_uuid: str, consumers: int) -> None:
        """That many instances, each with a VGPU of the root."""
        resources = {"VCPU": 1, "MEMORY_MB": 512, "VGPU": 1}
        for _ in range(consumers):
            body = {
                "allocations": {root_uuid: {"resources": resources}},
                "project_id": "benchmarks",
                "user_id": "benchmarks",
                "consumer_generation": None,
            }
            self._client.request("PUT", f"/allocations/{uuid.uuid4()}", body, microversion="1.36")

    def set_trait(self, provider_uuid: str) -> None:
        """Add a trait that no reporter knows."""
        generation, traits = self._client.traits(provider_uuid)
        body = {
            "resource_provider_generation": generation,
            "traits": sorted({*traits, CUSTOM_TRAIT_OF_OTHERS}),
        }
        self._client.request("PUT", f"/resource_providers/{provider_uuid}/traits", body)

    def check(self, work: Work, consumers: int = 0) -> None:
        """Placement has what the host has: a benchmark of work that is not done says nothing.

        :raises AssertionError: it has not
        """
        listed = {each.uuid for each in self._client.list_tree(work.root.uuid)}
        assert listed == {node.uuid for node in work.nodes}, "the providers are not those that were reported"
        for node in (work.root, work.leaf):
            assert self._client.inventories(node.uuid)[1] == node.inventory, f"{node.name}: another inventory"
            assert self._client.traits(node.uuid)[1] >= set(node.traits), f"{node.name}: traits are missing"
        if work.move_vgpus_to:
            moved = sum(len(self._client.consumers_of(each)) for each in work.move_vgpus_to)
            assert moved == consumers, f"{moved} consumers moved, not {consumers}"
